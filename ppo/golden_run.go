package ppo

import (
	"fmt"
	"math"
	"slices"

	"rlhfsim/internal/golden"
	"rlhfsim/policy"
)

// updateRun is a whole update in torch, a run of the kind traj_ppo_update, which the
// trainer's own rollout and backward pass replay, with what differs put around them.
// There the value is linear, V = w·φ with φ a one-hot prompt, a one-hot context and t/T:
// the trainer's table is filled from w, and its gradient pulled back to w. And there one
// optimizer and one norm serve both.
type updateRun struct {
	Config          updateConfig    `required:"true"`
	InitialLogits   [][][]float64   `json:"initial_logits"` // context 0 is the start, context k+1 follows word k
	ReferenceLogits [][][]float64   `json:"reference_logits"`
	InitialWeights  []float64       `json:"initial_value_weights"`
	Episodes        []updateEpisode // EOS, the token V, is written out
	Orders          [][]int         `json:"epoch_orders"`
	Old             [][]float64     `json:"old_logprobs"`
	Ref             [][]float64     `json:"ref_logprobs"`
	Values          [][]float64     `json:"old_values"`
	TokenRewards    [][]float64     `json:"token_rewards"`
	GAE             [][]float64     `json:"gae_before_whitening"`
	Advantages      [][]float64
	Returns         [][]float64
	Steps           []updateStep
}

type updateConfig struct {
	P           int      `required:"true"`
	V           int      `required:"true"`
	T           int      `required:"true"`
	N           int      `required:"true"`
	Gamma       float64  `required:"true"`
	Lam         float64  `required:"true"`
	Clip        float64  `required:"true"`
	VClip       *float64 // nil: none
	KLCoef      float64  `json:"kl_coef" required:"true"`
	VFCoef      float64  `json:"vf_coef" required:"true"`
	EntCoef     float64  `json:"ent_coef" required:"true"`
	Whiten      bool     `required:"true"`
	MaxGradNorm *float64 `json:"max_grad_norm"` // nil: none
	Optimizer   string   `required:"true"`
	LR          float64  `required:"true"`
}

type updateEpisode struct {
	Prompt int     `required:"true"`
	Tokens []int   `required:"true"`
	Score  float64 `required:"true"`
}

type updateStep struct {
	Epoch, Minibatch *int
	Indices          []int
	PolicyLoss       *float64      `json:"policy_loss"`
	ValueLoss        *float64      `json:"value_loss"`
	Entropy          *float64      `json:"entropy"`
	TotalLoss        *float64      `json:"total_loss"`
	PolicyClip       *float64      `json:"policy_clipfrac"`
	ValueClip        *float64      `json:"value_clipfrac"`
	ApproxKL         *float64      `json:"approxkl"`
	GradNorm         *float64      `json:"grad_norm"`
	WeightsAfter     []float64     `json:"value_weights_after"`
	LogitsAfter      [][][]float64 `json:"logits_after"` // of some steps only
}

// minibatches of an epoch: the first half of its order and the rest.
const minibatches = 2

// of computes a run and compares every number of it.
func (run updateRun) of(out *golden.Comparison) error {
	if err := run.check(); err != nil {
		return err
	}
	r, err := run.start()
	if err != nil {
		return err
	}
	r.load()
	r.rollout()
	if err := r.compareRollout(out); err != nil {
		return err
	}
	for k := range minibatches * len(run.Orders) {
		var step updateStep // where the document has none, it is filled in
		if len(run.Steps) > 0 {
			step = run.Steps[k]
		}
		if err := r.step(k, step, out); err != nil {
			return err
		}
	}
	return nil
}

// shape is the policy's geometry, with no more positions than are said.
func (run updateRun) shape() policy.Shape {
	s := policy.Shape{Prompts: run.Config.P, Words: run.Config.V, MaxLength: 1, Order: 1}
	for _, e := range run.Episodes {
		s.MaxLength = max(s.MaxLength, len(e.Tokens))
	}
	return s
}

// check requires sizes that fit one another.
func (run updateRun) check() error {
	c, s := run.Config, run.shape()
	if err := s.Validate(); err != nil {
		return err
	}
	if float64(s.MaxLength)*float64(s.Rows()+len(run.Episodes)) > policy.MaxCells/8 {
		return fmt.Errorf("episodes of %d tokens are too long", s.MaxLength)
	}
	if n := len(run.Episodes); n < minibatches || n != c.N {
		return fmt.Errorf("%d episodes, N = %d; there must be N, at least %d", n, c.N, minibatches)
	}
	if !(c.Clip >= 0) || c.VClip != nil && !(*c.VClip >= 0) || c.MaxGradNorm != nil && !(*c.MaxGradNorm > 0) {
		return fmt.Errorf("clip and vclip must be at least 0, max_grad_norm above 0")
	}
	if want := c.P + s.Outcomes() + 1; len(run.InitialWeights) != want {
		return fmt.Errorf("initial_value_weights has %d entries, want P + V + 2 = %d", len(run.InitialWeights), want)
	}
	for name, logits := range map[string][][][]float64{"initial_logits": run.InitialLogits, "reference_logits": run.ReferenceLogits} {
		if !isTable(logits, s) {
			return fmt.Errorf("%s is not [P][V+1][V+1]", name)
		}
	}
	for i, e := range run.Episodes {
		if err := e.check(c); err != nil {
			return fmt.Errorf("episodes[%d]: %w", i, err)
		}
	}
	return run.checkSteps()
}

// check requires an episode that the policy could say.
func (e updateEpisode) check(c updateConfig) error {
	n := len(e.Tokens)
	if e.Prompt < 0 || e.Prompt >= c.P || n == 0 || n > c.T {
		return fmt.Errorf("prompt %d of %d, %d tokens of at most T = %d", e.Prompt, c.P, n, c.T)
	}
	words := e.Tokens
	if words[n-1] == c.V || n < c.T { // the last is EOS
		words = words[:n-1]
	}
	for _, w := range words {
		if w < 0 || w >= c.V {
			return fmt.Errorf("token %d is no word below V = %d", w, c.V)
		}
	}
	if len(words) < n && e.Tokens[n-1] != c.V {
		return fmt.Errorf("%d tokens are fewer than T = %d, and the last is not V = %d", n, c.T, c.V)
	}
	return nil
}

// checkSteps requires orders of all episodes, and steps that follow them.
func (run updateRun) checkSteps() error {
	for i, order := range run.Orders {
		sorted := slices.Sorted(slices.Values(order))
		if len(sorted) != len(run.Episodes) || sorted[0] != 0 || sorted[len(sorted)-1] != len(sorted)-1 || len(slices.Compact(sorted)) != len(order) {
			return fmt.Errorf("epoch_orders[%d] is no order of %d episodes", i, len(run.Episodes))
		}
	}
	if n := minibatches * len(run.Orders); n == 0 || len(run.Steps) != 0 && len(run.Steps) != n {
		return fmt.Errorf("%d steps for %d epochs of %d minibatches", len(run.Steps), len(run.Orders), minibatches)
	}
	for k, step := range run.Steps {
		epoch, part := k/minibatches, k%minibatches
		if step.Epoch != nil && *step.Epoch != epoch || step.Minibatch != nil && *step.Minibatch != part {
			return fmt.Errorf("steps[%d] is minibatch %d of epoch %d", k, part, epoch)
		}
		if want := run.minibatch(k); step.Indices != nil && !slices.Equal(step.Indices, want) {
			return fmt.Errorf("steps[%d].indices are %v, epoch_orders has %v there", k, step.Indices, want)
		}
	}
	return nil
}

// minibatch is the episodes of step k.
func (run updateRun) minibatch(k int) []int {
	order, part := run.Orders[k/minibatches], k%minibatches
	n := len(order)
	return order[part*n/minibatches : (part+1)*n/minibatches]
}

func isTable(logits [][][]float64, s policy.Shape) bool {
	ok := len(logits) == s.Prompts
	for _, rows := range logits {
		ok = ok && len(rows) == s.Contexts()
		for _, row := range rows {
			ok = ok && len(row) == s.Outcomes()
		}
	}
	return ok
}

// flat puts the start, torch's context 0, behind the words' contexts.
func flat(logits [][][]float64) []float64 {
	var z []float64
	for _, rows := range logits {
		for _, row := range rows[1:] {
			z = append(z, row...)
		}
		z = append(z, rows[0]...)
	}
	return z
}

// replayed is a run in the middle of being trained again. θ is the logits z and then
// the weights w of the linear value function, under one optimizer.
type replayed struct {
	run         *updateRun
	trainer     *Trainer
	shape       policy.Shape
	pi, ref     *policy.Softmax
	theta, z, w []float64
	optimize    func(theta, grad []float64)
}

// start is a checked run before its first step.
func (run *updateRun) start() (*replayed, error) {
	in, s := run.Config, run.shape()
	c := Config{BatchSize: in.N, TotalEpisodes: in.N, NumPPOEpochs: len(run.Orders), NumMiniBatches: minibatches, TopMask: 1,
		Cliprange: in.Clip, CliprangeValue: math.Inf(1), VFCoef: in.VFCoef, EntropyCoef: in.EntCoef}
	if in.VClip != nil {
		c.CliprangeValue = *in.VClip
	}
	r := &replayed{run: run, shape: s, theta: append(flat(run.InitialLogits), run.InitialWeights...)}
	r.z, r.w = r.theta[:s.Cells()], r.theta[s.Cells():]
	var err error
	if r.optimize, err = in.optimizer(len(r.theta)); err != nil {
		return nil, err
	}
	if r.pi, err = policy.NewSoftmax(s, policy.Table); err != nil {
		return nil, err
	}
	r.ref = r.pi.Clone()
	if err := r.ref.SetLogits(flat(run.ReferenceLogits)); err != nil {
		return nil, err
	}
	r.trainer = New(c, r.pi, r.ref, nil, nil)
	return r, nil
}

// optimizer is one step of the run's optimizer, as torch has it by default.
func (c updateConfig) optimizer(n int) (func(theta, grad []float64), error) {
	adam := policy.NewAdam(n)
	switch c.Optimizer {
	case "adamw":
		adam.WeightDecay = 0.01
	case "adam":
	case "sgd":
		return func(theta, grad []float64) {
			for i := range theta {
				theta[i] -= float64(c.LR * grad[i])
			}
		}, nil
	default:
		return nil, fmt.Errorf("unknown optimizer %q; known: adam, adamw, sgd", c.Optimizer)
	}
	return func(theta, grad []float64) { adam.Step(theta, grad, c.LR) }, nil
}

// features calls f with each non-zero entry of φ in a state of the value table.
func (r *replayed) features(state int, f func(i int, coef float64)) {
	s := r.shape
	t, x, context := state/s.Rows(), state%s.Rows()/s.Contexts(), state%s.Contexts()
	f(x, 1)
	f(s.Prompts+(context+1)%s.Contexts(), 1)
	f(s.Prompts+s.Contexts(), float64(t)/float64(r.run.Config.T))
}

// load puts θ into the policy and the table of values.
func (r *replayed) load() {
	_ = r.pi.SetLogits(r.z)
	value := r.trainer.value
	for i := range value.v {
		v := 0.0
		r.features(i, func(k int, coef float64) { v += float64(coef * r.w[k]) })
		value.v[i] = v
	}
}

// rollout takes the document's episodes for those the policy said.
func (r *replayed) rollout() {
	b := r.trainer.rollout
	for e, episode := range r.run.Episodes {
		y := policy.Response{}
		for _, token := range episode.Tokens {
			if token < r.shape.Words {
				y = append(y, policy.Token(token))
			}
		}
		b.prompt[e], b.response[e], b.total[e], b.start[e] = policy.Prompt(episode.Prompt), y, episode.Score, int32(len(b.index))
		b.index = r.pi.Path(b.index, b.prompt[e], y)
		for t, i := range b.index[b.start[e]:] {
			row := int(i) / r.shape.Outcomes()
			b.row, b.state = append(b.row, int32(row)), append(b.state, int32(t*r.shape.Rows()+row))
		}
		b.start[e+1] = int32(len(b.index))
	}
	b.finish(r.pi, r.ref)
}

// compareRollout compares everything that is worked out once, before the updates.
func (r *replayed) compareRollout(out *golden.Comparison) error {
	b, run, in := r.trainer.rollout, r.run, r.run.Config
	var stats Stats
	b.penalties(b.reward, r.pi, r.ref, "k1", 0)
	b.tokenRewards(in.KLCoef, &stats)
	b.advantages(r.trainer.value, in.Gamma, in.Lam, &stats)
	gae := slices.Clone(b.advantage)
	if in.Whiten {
		Whiten(b.advantage, true, false)
	}
	for _, c := range []struct {
		field string
		want  [][]float64
		got   []float64
	}{{"old_logprobs", run.Old, b.old}, {"ref_logprobs", run.Ref, b.ref}, {"old_values", run.Values, b.value}, {"token_rewards", run.TokenRewards, b.reward},
		{"gae_before_whitening", run.GAE, gae}, {"returns", run.Returns, b.returns}, {"advantages", run.Advantages, b.advantage}} {
		rows := make([][]float64, len(run.Episodes))
		for e := range rows {
			rows[e] = c.got[b.start[e]:b.start[e+1]]
		}
		if err := out.Table(c.field, c.want, padded(rows, c.want), golden.OfValues); err != nil {
			return err
		}
	}
	return nil
}

// padded puts zeros behind rows that are longer in a document.
func padded(rows, like [][]float64) [][]float64 {
	for e := range min(len(rows), len(like)) {
		if more := len(like[e]) - len(rows[e]); more > 0 {
			rows[e] = append(slices.Clone(rows[e]), make([]float64, more)...)
		}
	}
	return rows
}

// step compares minibatch k's statistics and what its step leaves.
func (r *replayed) step(k int, want updateStep, out *golden.Comparison) error {
	var got Stats
	in, at := r.run.Config, fmt.Sprintf("steps[%d].", k)
	r.trainer.backward(r.run.minibatch(k), &got)
	total := got.PolicyLoss + float64(in.VFCoef*got.ValueLoss) - float64(in.EntCoef*got.PolicyEntropy)
	limit := 0.0
	if in.MaxGradNorm != nil {
		limit = *in.MaxGradNorm
	}
	grad := r.gradient()
	norm := policy.ClipGradNorm(grad, limit)
	for _, c := range []struct {
		field string
		want  *float64
		got   float64
	}{{"policy_loss", want.PolicyLoss, got.PolicyLoss}, {"value_loss", want.ValueLoss, got.ValueLoss}, {"entropy", want.Entropy, got.PolicyEntropy}, {"total_loss", want.TotalLoss, total},
		{"policy_clipfrac", want.PolicyClip, got.ClipFrac}, {"value_clipfrac", want.ValueClip, got.ValueClipFrac}, {"approxkl", want.ApproxKL, got.ApproxKL}, {"grad_norm", want.GradNorm, norm}} {
		out.Number(at+c.field, c.want, c.got, golden.OfValues)
	}
	r.optimize(r.theta, grad)
	r.load()
	if err := out.Row(at+"value_weights_after", want.WeightsAfter, r.w, golden.OfValues, 0); err != nil || want.LogitsAfter == nil {
		return err
	}
	return r.compareLogits(at+"logits_after", want.LogitsAfter, out)
}

// compareLogits compares the policy's table, context by context as torch has them.
func (r *replayed) compareLogits(field string, want [][][]float64, out *golden.Comparison) error {
	if !isTable(want, r.shape) {
		return fmt.Errorf("%s is not [P][V+1][V+1]", field)
	}
	n := r.shape.Outcomes()
	for x, rows := range want {
		for context, row := range rows {
			at := (x*n + (context+r.shape.Words)%n) * n
			if err := out.Row(fmt.Sprintf("%s[%d][%d]", field, x, context), row, r.z[at:at+n], golden.OfValues, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// gradient is the loss's with respect to θ; what the trainer gathered is cleared.
func (r *replayed) gradient() []float64 {
	policyG, valueG := r.trainer.policy.G, r.trainer.value.g
	r.pi.LogitGradient(policyG)
	grad := append(slices.Clone(policyG), make([]float64, len(r.w))...)
	for i, slope := range valueG {
		r.features(i, func(k int, coef float64) { grad[r.shape.Cells()+k] += float64(coef * slope) })
	}
	clear(policyG)
	clear(valueG)
	return grad
}
