package dpo

import (
	"math"
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

// replay takes a run's steps of full-batch training with the Trainer, and compares.
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
		run.puts("ref_chosen_logps", ofValues, chosen)
		run.puts("ref_rejected_logps", ofValues, rejected)
	}
	var losses, offLosses []float64
	after, off, offLoss := run.object("logits_after_step"), make([]float64, s.Cells()), make([]float64, 1)
	step := d.stepper(run, t, false)
	var shadows []func() (float64, []float64)
	for k := range shadowsOfARun {
		shadows = append(shadows, d.shadow(run, s, pairs, cells, rng.New(uint64(k), "shadow")))
	}
	for k := range run.floats("loss_before_step", -1) {
		if d.err != nil {
			return
		}
		loss, g := t.fullGradient()
		if k == 0 && run.has("grad_step1") {
			run.puts("grad_step1", ofGradients, picked(g, cells))
		}
		step(g)
		for _, shadow := range shadows {
			shadowLoss, logits := shadow()
			widen(offLoss, []float64{loss}, []float64{shadowLoss})
			widen(off, t.trainer.Policy.Logits, logits)
		}
		losses, offLosses = append(losses, loss), append(offLosses, offLoss[0])
		if name := strconv.Itoa(k + 1); after.has(name) {
			after.putBeside(name, picked(t.trainer.Policy.Logits, cells), picked(off, cells))
		}
	}
	run.putBeside("loss_before_step", losses, offLosses)
	after.done()
}

// picked is a table in the order of the document.
func picked(z []float64, cells []int) []float64 {
	out := make([]float64, len(cells))
	for i, at := range cells {
		out[i] = z[at]
	}
	return out
}

// putBeside is put for numbers of a run, of which off says how far shadows of the run
// were off them. Gradients that cancel in theory are rounding noise in practice, which
// Adam divides by its ε of 1e−8, and a hinge may stand on its kink to the last digit:
// where such noise decides, two correct programs differ by far more than 1e−9. The
// shadows, whose gradients and logits are moved by last digits, show which numbers these
// are: there another program may be off by a hundred times the most that a shadow has
// been off by so far, since what noise has begun grows from step to step.
func (n *node) putBeside(key string, got, off []float64) {
	first := len(n.doc.Numbers)
	n.puts(key, ofValues, got)
	for i := range n.doc.Numbers[first:] {
		v := &n.doc.Numbers[first+i]
		v.Noise = 100 * off[i] / v.Scale
	}
}

// widen puts |a − b| into each entry of off where that is more.
func widen(off, a, b []float64) {
	for i := range off {
		off[i] = max(off[i], math.Abs(a[i]-b[i]))
	}
}

// shadowsOfARun is enough for one of them to fall on the other side of a kink.
const shadowsOfARun = 8

// shadow is one step of the same run with the gradient, and the logits after it, moved by
// rounding noise; it returns the loss before the step and the logits.
func (d *Document) shadow(run *node, s policy.Shape, pairs []policy.Pair, cells []int, r *rng.Stream) func() (loss float64, logits []float64) {
	if d.err != nil {
		return nil
	}
	t := d.start(run, s, pairs, cells)
	step := d.stepper(run, t, true)
	return func() (float64, []float64) {
		loss, g := t.fullGradient()
		jitter(g, r)
		step(g)
		z := slices.Clone(t.trainer.Policy.Logits)
		jitter(z, r)
		_ = t.trainer.Policy.SetLogits(z)
		return loss, z
	}
}

// jitter moves every number by up to a unit in the last place of the largest.
func jitter(xs []float64, r *rng.Stream) {
	unit := 0.0
	for _, x := range xs {
		unit = max(unit, float64(0x1p-52*math.Abs(x)))
	}
	for i := range xs {
		xs[i] += float64(unit * (2*r.Float64() - 1))
	}
}

// start is the Trainer of a run, at its initial logits; cells says where each entry
// of the document's tables lies in ours.
func (d *Document) start(run *node, s policy.Shape, pairs []policy.Pair, cells []int) *Trainer {
	c := Default()
	c.LossType, c.Beta, c.LearningRate = run.text("loss_type"), run.beta(), run.number("lr", c.LearningRate)
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
// step where that has Adam, or else Adam, AdamW and plain descent beside it.
func (d *Document) stepper(run *node, t *Trainer, beside bool) func(g []float64) {
	pi, lr := t.trainer.Policy, t.cfg.LearningRate
	switch optimizer := run.text("optimizer"); {
	case optimizer == "adam" && !beside:
		r := rng.New(1)
		return func([]float64) { t.Step(r) }
	case optimizer == "adam" || optimizer == "adamw":
		adam := policy.NewAdam(len(pi.Logits))
		if optimizer == "adamw" {
			adam.WeightDecay = 0.01
		}
		return func(g []float64) {
			z := slices.Clone(pi.Logits)
			adam.Step(z, g, lr)
			_ = pi.SetLogits(z)
		}
	case optimizer == "sgd":
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
