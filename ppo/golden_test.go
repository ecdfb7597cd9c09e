package ppo

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"rlhfsim/internal/goldentest"
	"rlhfsim/policy"
)

func readGolden(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/golden/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// Whole updates in torch: the shipping rollout and backward pass, with what
// differs put around them. There the value is linear, V = w·φ with φ a one-hot
// prompt, a one-hot context and t/T: the table is filled from w and its
// gradient pulled back to w. And there one optimiser and one norm serve both.
func TestGoldenTrajectory(t *testing.T) {
	type document struct{ Runs []goldenRun }
	goldentest.Each(t, "traj_ppo_update", func(t *testing.T, d document) {
		if len(d.Runs) == 0 {
			t.Fatal("no runs")
		}
		for _, run := range d.Runs {
			run.check(t)
		}
	})
}

type goldenRun struct {
	Config struct {
		P, V, T, N              int
		Gamma, Lam, Clip, VClip float64
		KLCoef                  float64 `json:"kl_coef"`
		VFCoef                  float64 `json:"vf_coef"`
		EntCoef                 float64 `json:"ent_coef"`
		Whiten                  bool
		MaxGradNorm             float64 `json:"max_grad_norm"` // 0 for null
		Optimizer               string
		LR                      float64
	}
	InitialLogits   [][][]float64 `json:"initial_logits"`
	ReferenceLogits [][][]float64 `json:"reference_logits"`
	InitialWeights  []float64     `json:"initial_value_weights"`
	Episodes        []struct {
		Prompt int
		Tokens []int
		Score  float64
	}
	Orders       [][]int     `json:"epoch_orders"`
	Old          [][]float64 `json:"old_logprobs"`
	Ref          [][]float64 `json:"ref_logprobs"`
	Values       [][]float64 `json:"old_values"`
	TokenRewards [][]float64 `json:"token_rewards"`
	GAE          [][]float64 `json:"gae_before_whitening"`
	Advantages   [][]float64
	Returns      [][]float64
	Steps        []struct {
		Indices      []int
		PolicyLoss   float64       `json:"policy_loss"`
		ValueLoss    float64       `json:"value_loss"`
		Entropy      float64       `json:"entropy"`
		TotalLoss    float64       `json:"total_loss"`
		PolicyClip   float64       `json:"policy_clipfrac"`
		ValueClip    float64       `json:"value_clipfrac"`
		ApproxKL     float64       `json:"approxkl"`
		GradNorm     float64       `json:"grad_norm"`
		WeightsAfter []float64     `json:"value_weights_after"`
		LogitsAfter  [][][]float64 `json:"logits_after"`
	}
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

// features calls f with each non-zero entry of φ in a state of the value table.
func (run *goldenRun) features(s policy.Shape, state int, f func(i int, coef float64)) {
	t, x, context := state/s.Rows(), state%s.Rows()/s.Contexts(), state%s.Contexts()
	f(x, 1)
	f(s.Prompts+(context+1)%s.Contexts(), 1)
	f(s.Prompts+s.Contexts(), float64(t)/float64(s.MaxLength))
}

// replayed is a run in the middle of being trained again. θ is the logits z and then
// the weights w of the linear value function, under one optimiser.
type replayed struct {
	run         *goldenRun
	trainer     *Trainer
	shape       policy.Shape
	pi, ref     *policy.Softmax
	theta, z, w []float64
}

func (run *goldenRun) check(t *testing.T) {
	in := run.Config
	s := policy.Shape{Prompts: in.P, Words: in.V, MaxLength: in.T, Order: 1}
	c := Config{BatchSize: in.N, TotalEpisodes: in.N, NumPPOEpochs: len(run.Orders), NumMiniBatches: 2,
		Cliprange: in.Clip, CliprangeValue: in.VClip, VFCoef: in.VFCoef, EntropyCoef: in.EntCoef}
	if in.VClip == 0 { // null
		c.CliprangeValue = math.Inf(1)
	}
	r := &replayed{run: run, shape: s, pi: randomPolicy(t, s, 1), ref: randomPolicy(t, s, 1)}
	r.theta = append(flat(run.InitialLogits), run.InitialWeights...)
	r.z, r.w = r.theta[:s.Cells()], r.theta[s.Cells():]
	if err := r.ref.SetLogits(flat(run.ReferenceLogits)); err != nil {
		t.Fatal(err)
	}
	r.trainer = New(c, r.pi, r.ref, nil, nil)
	r.load(t)
	r.rollout(t)
	r.checkRollout(t)
	adam := policy.NewAdam(len(r.theta))
	for k := range run.Steps {
		r.checkStep(t, k, adam)
	}
}

// load puts θ into the policy and the table of values.
func (r *replayed) load(t *testing.T) {
	if err := r.pi.SetLogits(r.z); err != nil {
		t.Fatal(err)
	}
	value := r.trainer.value
	for i := range value.v {
		v := 0.0
		r.run.features(r.shape, i, func(k int, coef float64) { v += coef * r.w[k] })
		value.v[i] = v
	}
}

// rollout takes the document's episodes for those the policy said.
func (r *replayed) rollout(t *testing.T) {
	b, in := r.trainer.rollout, r.run.Config
	for e, episode := range r.run.Episodes {
		y := policy.Response{}
		for _, token := range episode.Tokens {
			if token < in.V {
				y = append(y, policy.Token(token))
			}
		}
		b.prompt[e], b.response[e], b.total[e], b.start[e] = policy.Prompt(episode.Prompt), y, episode.Score, int32(len(b.index))
		b.index = r.pi.Path(b.index, b.prompt[e], y)
		if n := len(b.index) - int(b.start[e]); n != len(episode.Tokens) {
			t.Fatalf("%d decisions for %v", n, episode.Tokens)
		}
		for k, i := range b.index[b.start[e]:] {
			row := int(i) / r.shape.Outcomes()
			b.row, b.state = append(b.row, int32(row)), append(b.state, int32(k*r.shape.Rows()+row))
		}
	}
	n := len(b.index)
	b.start[in.N] = int32(n)
	for _, f := range []*[]float64{&b.old, &b.ref, &b.reward, &b.value, &b.advantage, &b.returns, &b.logRatio, &b.ratio} {
		*f = (*f)[:n]
	}
	for j, i := range b.index {
		b.old[j], b.ref[j] = r.pi.LogP[i], r.ref.LogP[i]
	}
}

// checkRollout compares everything that is worked out once, before the updates.
func (r *replayed) checkRollout(t *testing.T) {
	b, run, in := r.trainer.rollout, r.run, r.run.Config
	var stats Stats
	b.penalties(b.reward, r.pi, r.ref, "k1", 0)
	b.tokenRewards(in.KLCoef, &stats)
	b.advantages(r.trainer.value, in.Gamma, in.Lam, &stats)
	run.compare(t, "old log π", b, b.old, run.Old)
	run.compare(t, "ref log π", b, b.ref, run.Ref)
	run.compare(t, "old value", b, b.value, run.Values)
	run.compare(t, "token reward", b, b.reward, run.TokenRewards)
	run.compare(t, "gae", b, b.advantage, run.GAE)
	run.compare(t, "return", b, b.returns, run.Returns)
	if in.Whiten {
		Whiten(b.advantage, true)
	}
	run.compare(t, "advantage", b, b.advantage, run.Advantages)
}

// checkStep compares the k-th minibatch's statistics and what its step leaves.
func (r *replayed) checkStep(t *testing.T, k int, adam *policy.Adam) {
	in, want, order := r.run.Config, r.run.Steps[k], r.run.Orders[k/2]
	episodes := order[:len(order)/2]
	if k%2 == 1 {
		episodes = order[len(order)/2:]
	}
	if !slices.Equal(episodes, want.Indices) {
		t.Fatalf("episodes %v, want %v", episodes, want.Indices)
	}
	var got Stats
	r.trainer.backward(episodes, &got)
	near(t, "policy_loss", got.PolicyLoss, want.PolicyLoss, 1e-9)
	near(t, "value_loss", got.ValueLoss, want.ValueLoss, 1e-9)
	near(t, "entropy", got.PolicyEntropy, want.Entropy, 1e-9)
	near(t, "total_loss", got.PolicyLoss+in.VFCoef*got.ValueLoss-in.EntCoef*got.PolicyEntropy, want.TotalLoss, 1e-9)
	near(t, "policy_clipfrac", got.ClipFrac, want.PolicyClip, 1e-12)
	near(t, "value_clipfrac", got.ValueClipFrac, want.ValueClip, 1e-12)
	near(t, "approxkl", got.ApproxKL, want.ApproxKL, 1e-9)

	grad := r.gradient()
	near(t, "grad_norm", policy.ClipGradNorm(grad, in.MaxGradNorm), want.GradNorm, 1e-9)
	switch in.Optimizer {
	case "adam":
		adam.Step(r.theta, grad, in.LR)
	case "sgd":
		for i := range r.theta {
			r.theta[i] -= in.LR * grad[i]
		}
	default:
		t.Fatalf("optimizer %q", in.Optimizer)
	}
	r.load(t)
	for i := range r.w {
		near(t, "value weight", r.w[i], want.WeightsAfter[i], 1e-9)
	}
	if want.LogitsAfter != nil {
		for i, v := range flat(want.LogitsAfter) {
			near(t, "logit", r.z[i], v, 1e-9)
		}
	}
}

// gradient is the loss's with respect to θ; what the trainer gathered is cleared.
func (r *replayed) gradient() []float64 {
	policyG, valueG := r.trainer.policy.G, r.trainer.value.g
	r.pi.LogitGradient(policyG)
	grad := append(slices.Clone(policyG), make([]float64, len(r.w))...)
	for i, slope := range valueG {
		r.run.features(r.shape, i, func(k int, coef float64) { grad[r.shape.Cells()+k] += coef * slope })
	}
	clear(policyG)
	clear(valueG)
	return grad
}

func (run *goldenRun) compare(t *testing.T, what string, b *rollout, got []float64, want [][]float64) {
	t.Helper()
	for e := range run.Episodes {
		for j := b.start[e]; j < b.start[e+1]; j++ {
			near(t, what, got[j], want[e][j-b.start[e]], 1e-11)
		}
	}
}
