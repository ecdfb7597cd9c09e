package dpo

import (
	"slices"
	"strconv"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// bandit replays one run of traj_bandit_dpo: a softmax over a prompt's responses is
// a policy of one decision, the last outcome being silence.
func (d *Document) bandit(run *node) {
	rows, _ := run.get("initial_logits").([]any)
	initial := run.floats("initial_logits", -1)
	if len(rows) == 0 || len(initial)%len(rows) != 0 {
		d.fail(run.at("initial_logits"), "not a table")
		return
	}
	n := len(initial) / len(rows)
	s := policy.Shape{Prompts: len(rows), Words: n - 1, MaxLength: 1, Order: 1}
	cells := make([]int, len(initial)) // where entry i of the file lies in the policy's table
	for i := range cells {
		cells[i] = (i/n*s.Contexts()+s.Start())*n + i%n
	}
	response := func(w int) policy.Response {
		if w == n-1 {
			return nil
		}
		return policy.Response{policy.Token(w)}
	}
	var pairs []policy.Pair
	for p := range slices.Chunk(run.floats("pairs", -1), 3) {
		if len(p) != 3 {
			d.fail(run.at("pairs"), "not [prompt, chosen, rejected]: %v", p)
			return
		}
		pairs = append(pairs, policy.Pair{Prompt: policy.Prompt(run.whole("pairs", p[0], 0, s.Prompts)), Chosen: response(run.whole("pairs", p[1], 0, n)), Rejected: response(run.whole("pairs", p[2], 0, n))})
	}
	d.replay(run, s, pairs, cells)
}

// bigram replays one run of traj_bigram_dpo, whose context 0 is the start and whose
// context k+1 follows word k; the policy's start is its last context.
func (d *Document) bigram(run *node) {
	s := policy.Shape{Prompts: run.index("P", 1<<20), Words: run.index("V", 1<<20), MaxLength: run.index("T", 1<<20), Order: 1}
	if err := s.Validate(); err != nil {
		d.fail(run.path, "%v", err)
		return
	}
	n := s.Outcomes()
	cells := make([]int, s.Cells())
	for i := range cells {
		x, context := i/(n*n), i/n%n
		cells[i] = (x*n+(context+s.Words)%n)*n + i%n
	}
	response := func(p *node, key string) (y policy.Response) {
		for _, v := range p.floats(key, -1) {
			w := p.whole(key, v, 0, s.Outcomes())
			if w == s.Words {
				return y
			}
			y = append(y, policy.Token(w))
		}
		if len(y) > s.MaxLength {
			d.fail(p.at(key), "more than %d tokens", s.MaxLength)
		}
		return y
	}
	var pairs []policy.Pair
	for _, p := range run.list("pairs") {
		pairs = append(pairs, policy.Pair{Prompt: policy.Prompt(p.index("prompt", s.Prompts)), Chosen: response(p, "chosen"), Rejected: response(p, "rejected")})
	}
	d.replay(run, s, pairs, cells)
}

// replay takes a run's steps of full-batch training with the Trainer. The rounding
// noise of gradients that cancel is what Adam divides by its ε.
func (d *Document) replay(run *node, s policy.Shape, pairs []policy.Pair, cells []int) {
	t := d.start(run, s, pairs, cells)
	if d.err != nil {
		return
	}
	if run.has("ref_chosen_logps") {
		chosen, rejected := make([]float64, len(pairs)), make([]float64, len(pairs))
		for i, p := range t.pairs {
			chosen[i], rejected[i] = p.refChosen, p.refRejected
		}
		run.put("ref_chosen_logps", ofValues, chosen...)
		run.put("ref_rejected_logps", ofValues, rejected...)
	}
	inFileOrder := func(z []float64) []float64 {
		out := make([]float64, len(cells))
		for i, at := range cells {
			out[i] = z[at]
		}
		return out
	}
	after, losses := run.object("logits_after_step"), []float64(nil)
	step := d.stepper(run, t)
	for k := range run.floats("loss_before_step", -1) {
		if d.err != nil {
			return
		}
		loss, g := t.fullGradient()
		if k == 0 && run.has("grad_step1") {
			run.put("grad_step1", ofGradients, inFileOrder(g)...)
		}
		losses = append(losses, loss)
		step(g)
		if k := strconv.Itoa(k + 1); after.has(k) {
			after.put(k, ofValues, inFileOrder(t.trainer.Policy.Logits)...)
		}
	}
	run.put("loss_before_step", ofValues, losses...)
	after.done()
}

// start is the Trainer of a run, at its initial logits; cells says where each entry
// of the document's tables lies in ours.
func (d *Document) start(run *node, s policy.Shape, pairs []policy.Pair, cells []int) *Trainer {
	c := Default()
	c.LossType, c.Beta, c.LearningRate = run.text("loss_type"), run.number("beta", c.Beta), run.number("lr", c.LearningRate)
	c.BatchSize, c.LRSchedulerType, c.MaxGradNorm = max(1, len(pairs)), "constant", 0
	if err := c.Validate(); err != nil {
		d.fail(run.path, "%v", err)
	}
	pi, err := policy.NewSoftmax(s, policy.Table)
	if err != nil {
		d.fail(run.path, "%v", err)
	}
	table := func(key string) []float64 {
		z := make([]float64, s.Cells())
		for i, v := range run.floats(key, len(cells)) {
			z[cells[i]] = v
		}
		return z
	}
	if d.err != nil {
		return nil
	}
	_ = pi.SetLogits(table("initial_logits"))
	ref := pi.Clone()
	if run.has("reference_logits") {
		_ = ref.SetLogits(table("reference_logits"))
	}
	return New(c, pi, ref, pairs)
}

// stepper is one step of the run's optimizer, given the gradient: the Trainer's own
// Adam, or AdamW and plain descent beside it.
func (d *Document) stepper(run *node, t *Trainer) func(g []float64) {
	pi, lr := t.trainer.Policy, t.cfg.LearningRate
	switch optimizer := run.text("optimizer"); optimizer {
	case "adam":
		r := rng.New(1)
		return func([]float64) { t.Step(r) }
	case "adamw":
		adam := policy.NewAdam(len(pi.Logits))
		adam.WeightDecay = 0.01
		return func(g []float64) {
			z := slices.Clone(pi.Logits)
			adam.Step(z, g, lr)
			_ = pi.SetLogits(z)
		}
	case "sgd":
		return func(g []float64) {
			z := slices.Clone(pi.Logits)
			for i := range z {
				z[i] -= float64(lr * g[i])
			}
			_ = pi.SetLogits(z)
		}
	default:
		d.fail(run.at("optimizer"), "unknown optimizer %q", optimizer)
		return func([]float64) {}
	}
}

// fullGradient is the loss of all pairs and ∂L/∂z of the whole table.
func (t *Trainer) fullGradient() (loss float64, g []float64) {
	all := make([]int, len(t.pairs))
	for i := range all {
		all[i] = i
	}
	t.gather(all)
	t.baselines(all)
	t.loss.Of(t.batch, &t.cfg)
	t.scatter(all)
	t.trainer.Policy.LogitGradient(t.trainer.G)
	g = slices.Clone(t.trainer.G)
	clear(t.trainer.G)
	return mean(t.batch.Loss), g
}
