package dpo

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

var small = policy.Shape{Prompts: 2, Words: 3, MaxLength: 3, Order: 1}

func randomPolicy(t testing.TB, s policy.Shape, seed uint64) *policy.Softmax {
	p, err := policy.NewSoftmax(s, policy.Table)
	if err != nil {
		t.Fatal(err)
	}
	r := rng.New(seed, "dpo test")
	z := make([]float64, s.Cells())
	for i := range z {
		z[i] = 3 * (r.Float64() - 0.5)
	}
	if err := p.SetLogits(z); err != nil {
		t.Fatal(err)
	}
	return p
}

func randomPairs(p *policy.Softmax, n int, seed uint64) []policy.Pair {
	r := rng.New(seed, "dpo pairs")
	pairs := make([]policy.Pair, n)
	for i := range pairs {
		x := policy.Prompt(r.IntN(p.Prompts))
		pairs[i] = policy.Pair{Prompt: x, Chosen: p.Sample(nil, x, r), Rejected: p.Sample(nil, x, r)}
	}
	return pairs
}

func metrics(s Stats) map[string]float64 {
	m := map[string]float64{}
	for name, v := range s.All() {
		m[name] = v
	}
	return m
}

// loss is L by its definition, from log-probabilities of whole responses.
func loss(pi, ref *policy.Softmax, pairs []policy.Pair, c Config) float64 {
	sum := 0.0
	for _, p := range pairs {
		h := pi.LogProb(p.Prompt, p.Chosen) - ref.LogProb(p.Prompt, p.Chosen) - pi.LogProb(p.Prompt, p.Rejected) + ref.LogProb(p.Prompt, p.Rejected)
		l, _ := Sigmoid(h, c.Beta, c.LabelSmoothing)
		sum += l
	}
	return sum / float64(len(pairs))
}

func config(pairs int) Config {
	c := Default()
	c.BatchSize, c.LRSchedulerType, c.MaxGradNorm = pairs, "constant", 0
	return c
}

// gradient is ∂L/∂z of the whole table on all pairs, by the trainer's own
// functions; the loss and the other measures come along. G is left clear.
func gradient(d *Trainer) ([]float64, Stats) {
	all := make([]int, len(d.pairs))
	for i := range all {
		all[i] = i
	}
	d.gather(all)
	d.baselines(all)
	d.loss.Of(d.batch, &d.cfg)
	s := d.measure(all)
	d.scatter(all)
	d.trainer.Policy.LogitGradient(d.trainer.G)
	g := slices.Clone(d.trainer.G)
	clear(d.trainer.G)
	return g, s
}

func TestGradientAgainstFiniteDifferences(t *testing.T) {
	ref := randomPolicy(t, small, 1)
	pairs := randomPairs(ref, 20, 1)
	for _, epsilon := range []float64{0, 0.2} {
		pi := randomPolicy(t, small, 2)
		c := config(20)
		c.Beta, c.LabelSmoothing = 0.7, epsilon
		d := New(c, pi, ref, pairs)
		g, measured := gradient(d)
		if want := loss(pi, ref, pairs, c); !(math.Abs(measured.Loss-want) <= 1e-12) {
			t.Errorf("loss %v, by definition %v", measured.Loss, want)
		}
		start, q, norm := slices.Clone(pi.Logits), pi.Clone(), 0.0
		for i := range start {
			const h = 1e-5
			z := slices.Clone(start)
			z[i] += h
			_ = q.SetLogits(z)
			up := loss(q, ref, pairs, c)
			z[i] -= 2 * h
			_ = q.SetLogits(z)
			slope := (up - loss(q, ref, pairs, c)) / (2 * h)
			norm += slope * slope
			if !(math.Abs(g[i]-slope) <= 1e-9) {
				t.Fatalf("ε = %v: ∂L/∂z[%d] = %v, by differences %v", epsilon, i, g[i], slope)
			}
		}
		if norm < 1e-4 {
			t.Fatal("the gradient is too small to test anything")
		}
		if s := d.Step(rng.New(1)); !(math.Abs(s.GradNorm-math.Sqrt(norm)) <= 1e-8) {
			t.Errorf("ε = %v: gradient norm %v, by differences %v", epsilon, s.GradNorm, math.Sqrt(norm))
		}
	}
}

func TestLimits(t *testing.T) {
	if l, s := Sigmoid(3, 1e-9, 0); !(math.Abs(l-math.Ln2) <= 1e-8) || !(math.Abs(s) <= 1e-9) {
		t.Errorf("β → 0: loss %v, slope %v", l, s)
	}
	// With smoothing ε the optimum is βh = log((1−ε)/ε) (Mitchell 2023).
	if _, s := Sigmoid(math.Log(9)/0.5, 0.5, 0.1); !(math.Abs(s) <= 1e-12) {
		t.Errorf("slope %v at the optimum of the smoothed loss", s)
	}
	if l, _ := Sigmoid(-5000, 1, 0); l != 5000 {
		t.Errorf("loss %v far on the wrong side", l)
	}
	if l, s := Sigmoid(5000, 1, 0); l != 0 || s != 0 {
		t.Errorf("loss %v, slope %v far on the right side", l, s)
	}
	for _, h := range []float64{-40, -3, 0, 0.7, 25} {
		l0, s0 := Sigmoid(h, 0.3, 0)
		if l, s := Sigmoid(h, 0.3, 1e-13); !(math.Abs(l-l0) <= 1e-11) || !(math.Abs(s-s0) <= 1e-11) {
			t.Errorf("ε → 0 at h = %v: loss %v and slope %v, unsmoothed %v and %v", h, l, s, l0, s0)
		}
	}
}

// The loss and slope as Mitchell (2023) writes them, two terms each.
func TestSigmoidIsTheTwoTermLoss(t *testing.T) {
	for _, epsilon := range []float64{0, 0.1, 0.49} {
		for _, h := range []float64{-100, -3, 0, 0.7, 60} {
			const beta = 0.6
			l, s := Sigmoid(h, beta, epsilon)
			z := beta * h
			same(t, "loss", l, -(1-epsilon)*num.LogSigmoid(z)-epsilon*num.LogSigmoid(-z), 1e-14)
			same(t, "slope", s, -beta*((1-epsilon)*num.Sigmoid(-z)-epsilon*num.Sigmoid(z)), 1e-14)
		}
	}
}

// "the examples are weighed by how much higher the implicit reward model rates
// the dispreferred completions, scaled by β" (Rafailov et al. 2023, section 4,
// "What does the DPO update do?"): the weight is β σ(r̂(y_l) − r̂(y_w)).
func TestSection4PairsTheModelGetsWrongWeighMore(t *testing.T) {
	const beta = 0.1
	before := math.Inf(1)
	for _, h := range []float64{-10, -1, 0, 1, 10} {
		_, slope := Sigmoid(h, beta, 0)
		same(t, "weight", -slope, beta*num.Sigmoid(-beta*h), 1e-15)
		if !(0 < -slope && -slope < before) {
			t.Errorf("weight %v at h = %v, %v at the h before", -slope, h, before)
		}
		before = -slope
	}
}

// Adding a constant to a row of logits changes no probability and so no loss;
// the gradient has no component along it.
func TestShiftOfLogitsChangesNothing(t *testing.T) {
	ref, pi := randomPolicy(t, small, 10), randomPolicy(t, small, 11)
	pairs := randomPairs(ref, 20, 6)
	g, before := gradient(New(config(20), pi, ref, pairs))
	n, norm := small.Outcomes(), 0.0
	shifted := slices.Clone(pi.Logits)
	for row := range small.Rows() {
		sum := 0.0
		for i := row * n; i < (row+1)*n; i++ {
			sum += g[i]
			norm += g[i] * g[i]
			shifted[i] += float64(row) - 3.5
		}
		if !(math.Abs(sum) <= 1e-15) {
			t.Errorf("row %d of the gradient sums to %v", row, sum)
		}
	}
	q := pi.Clone()
	_ = q.SetLogits(shifted)
	moved, after := gradient(New(config(20), q, ref, pairs))
	for i := range g {
		if !(math.Abs(g[i]-moved[i]) <= 1e-14) {
			t.Errorf("∂L/∂z[%d] %v → %v", i, g[i], moved[i])
		}
	}
	if norm < 1e-6 || !(math.Abs(before.Loss-after.Loss) <= 1e-14) {
		t.Errorf("loss %v → %v, gradient norm² %v", before.Loss, after.Loss, norm)
	}
}

// At the reference, with one decision a response, ∂L/∂z = −β/2 (e_w − e_l).
func TestOneTokenResponses(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1}
	ref := randomPolicy(t, s, 12)
	pi := ref.Clone()
	pairs := []policy.Pair{{Prompt: 0, Chosen: policy.Response{2}, Rejected: nil}} // silence is one decision too
	g, measured := gradient(New(config(1), pi, ref, pairs))
	want := make([]float64, s.Cells())
	want[pi.Row(0, 0, pi.Start())+2], want[pi.Row(0, 0, pi.Start())+3] = -0.05, 0.05
	for i := range g {
		if !(math.Abs(g[i]-want[i]) <= 1e-16) {
			t.Errorf("∂L/∂z[%d] = %v, want %v", i, g[i], want[i])
		}
	}
	if !(math.Abs(measured.Loss-math.Ln2) <= 1e-15) {
		t.Errorf("loss %v at the reference", measured.Loss)
	}
}

// Adam does not see the gradient's scale, except against its ε of 1e−8: clipped
// far below that, a step hardly moves.
func TestGradientIsClipped(t *testing.T) {
	ref, pi := randomPolicy(t, small, 14), randomPolicy(t, small, 15)
	c := config(20)
	c.MaxGradNorm = 1e-12
	before := slices.Clone(pi.Logits)
	s := New(c, pi, ref, randomPairs(ref, 20, 8)).Step(rng.New(1))
	for i, z := range pi.Logits {
		if !(math.Abs(z-before[i]) <= 1e-3*c.LearningRate) {
			t.Errorf("logit %d moved by %v", i, z-before[i])
		}
	}
	if s.GradNorm < 1e-3 {
		t.Errorf("gradient norm %v, before clipping", s.GradNorm)
	}
}

// The last batch of an epoch may be smaller than the others.
func TestUnevenBatches(t *testing.T) {
	ref := randomPolicy(t, small, 13)
	c := config(4)
	c.NumTrainEpochs = 2
	d, r := New(c, ref.Clone(), ref, randomPairs(ref, 6, 7)), rng.New(1)
	var sizes []int
	for range d.Steps() {
		d.Step(r)
		sizes = append(sizes, len(d.batch.Loss))
	}
	if !slices.Equal(sizes, []int{4, 2, 4, 2}) {
		t.Errorf("batches of %v", sizes)
	}
}

func TestReferenceNeverChangesAndTrainingPrefersTheChosen(t *testing.T) {
	ref := randomPolicy(t, small, 3)
	frozen := slices.Clone(ref.LogP)
	pi := ref.Clone()
	pairs := []policy.Pair{{Prompt: 0, Chosen: policy.Response{0}, Rejected: policy.Response{1, 2}}, {Prompt: 1, Chosen: nil, Rejected: policy.Response{0, 0, 0}}}
	c := config(2)
	c.NumTrainEpochs = 100
	d := New(c, pi, ref, pairs)
	r := rng.New(1)
	first := d.Step(r)
	if first.Accuracy != 0 || first.Margin != 0 || !(math.Abs(first.Loss-math.Ln2) <= 1e-12) {
		t.Errorf("at the reference: %+v", first)
	}
	var last Stats
	for range d.Steps() - 1 {
		last = d.Step(r)
	}
	if last.Accuracy != 1 || last.Loss >= first.Loss || last.Margin <= 0 {
		t.Errorf("after training: %+v", last)
	}
	if !slices.Equal(frozen, ref.LogP) {
		t.Error("the reference changed")
	}
}

func TestStatsAreMeansOverTheBatch(t *testing.T) {
	ref, pi := randomPolicy(t, small, 4), randomPolicy(t, small, 5)
	pairs := randomPairs(ref, 7, 2)
	c := config(7)
	got := metrics(New(c, pi.Clone(), ref, pairs).Step(rng.New(1)))
	want := map[string]float64{"learning_rate": c.LearningRate}
	for _, p := range pairs {
		lw, ll := pi.LogProb(p.Prompt, p.Chosen), pi.LogProb(p.Prompt, p.Rejected)
		rw, rl := c.Beta*(lw-ref.LogProb(p.Prompt, p.Chosen)), c.Beta*(ll-ref.LogProb(p.Prompt, p.Rejected))
		for name, v := range map[string]float64{"loss": -num.LogSigmoid(rw - rl), "rewards/chosen": rw, "rewards/rejected": rl, "rewards/margins": rw - rl, "logps/chosen": lw, "logps/rejected": ll} {
			want[name] += v / 7
		}
		if rw > rl {
			want["rewards/accuracies"] += 1.0 / 7
		}
	}
	rows, n := make([]float64, pi.Rows()), 0
	pi.RowEntropies(rows)
	for _, p := range pairs {
		for _, i := range append(pi.Path(nil, p.Prompt, p.Chosen), pi.Path(nil, p.Prompt, p.Rejected)...) {
			want["entropy"] += rows[int(i)/pi.Outcomes()]
			n++
		}
	}
	want["entropy"] /= float64(n)
	for name, v := range want {
		if !(math.Abs(got[name]-v) <= 1e-12) {
			t.Errorf("%s = %v, by definition %v", name, got[name], v)
		}
	}
	if len(got) != len(want)+1 || got["grad_norm"] <= 0 {
		t.Errorf("metrics %v", got)
	}
}

func TestLearningRateFallsLinearly(t *testing.T) {
	ref := randomPolicy(t, small, 6)
	c := config(1)
	c.LRSchedulerType, c.NumTrainEpochs, c.LearningRate = "linear", 2, 0.8
	d := New(c, ref.Clone(), ref, randomPairs(ref, 2, 3))
	r := rng.New(1)
	for _, want := range []float64{0.8, 0.6, 0.4, 0.2} {
		if got := d.Step(r).LearningRate; !(math.Abs(got-want) <= 1e-15) {
			t.Errorf("learning rate %v, want %v", got, want)
		}
	}
}

func TestSameSeedSameBits(t *testing.T) {
	ref := randomPolicy(t, small, 7)
	pairs := randomPairs(ref, 50, 4)
	run := func() []float64 {
		pi := ref.Clone()
		c := Default()
		c.BatchSize = 8
		d, r := New(c, pi, ref, pairs), rng.New(5)
		for range d.Steps() {
			d.Step(r)
		}
		return pi.Logits
	}
	if !slices.Equal(run(), run()) {
		t.Error("two runs differ")
	}
}

// With every response rated equally often, the population optimum of DPO is
// π* ∝ π_ref exp(r/β) (Rafailov et al. 2023, section 4 and theorem 1).
func TestPopulationOptimumIsTheTiltedReference(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1} // four responses: three words, silence
	ref := randomPolicy(t, s, 8)
	pi := ref.Clone()
	reward := []float64{1, 0.2, -0.3, 0.4}
	ys := []policy.Response{{0}, {1}, {2}, nil}
	const beta = 0.5
	d := New(config(1), pi, ref, nil)
	for range 4000 {
		for a, ya := range ys { // the exact gradient of the expected loss
			for b, yb := range ys {
				if a == b {
					continue
				}
				h := pi.LogProb(0, ya) - ref.LogProb(0, ya) - pi.LogProb(0, yb) + ref.LogProb(0, yb)
				_, slope := Sigmoid(h, beta, 0)
				slope *= num.Sigmoid(reward[a] - reward[b])
				for _, at := range pi.Path(nil, 0, ya) {
					d.trainer.G[at] += slope
				}
				for _, at := range pi.Path(nil, 0, yb) {
					d.trainer.G[at] -= slope
				}
			}
		}
		d.trainer.Update(0.01)
	}
	var tilted []float64
	for a, y := range ys {
		tilted = append(tilted, ref.LogProb(0, y)+reward[a]/beta)
	}
	logZ := num.LogSumExp(tilted)
	for a, y := range ys {
		if got, want := pi.LogProb(0, y), tilted[a]-logZ; !(math.Abs(got-want) <= 1e-6) {
			t.Errorf("log π(%v) = %v, optimum %v", y, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	bad := Default()
	bad.Beta, bad.LossType, bad.LabelSmoothing, bad.LearningRate, bad.LRSchedulerType = 0, "sigmod", 0.5, -1, "cosine"
	bad.NumTrainEpochs, bad.BatchSize, bad.MaxGradNorm = -1, 0, math.NaN()
	if n := len(field.All(bad.Validate())); n != 8 {
		t.Errorf("%d problems: %v", n, bad.Validate())
	}
}

// same compares with a reference library's number, relative where it is large.
func same(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s = %.17g, the library's %.17g", what, got, want)
	}
}

// pairsOfTrainedLengths are pairs as long as people's pairs are: 1 to 6 words, about 3½
// in the mean, with words at random. Lengths that differ from pair to pair cost time.
func pairsOfTrainedLengths(s policy.Shape, n int) []policy.Pair {
	r := rng.New(1, "lengths")
	response := func() policy.Response {
		cumulated := []float64{0.08, 0.25, 0.50, 0.72, 0.88, 1}
		u, length := r.Float64(), 1
		for u >= cumulated[length-1] {
			length++
		}
		y := make(policy.Response, length)
		for i := range y {
			y[i] = policy.Token(r.IntN(s.Words))
		}
		return y
	}
	pairs := make([]policy.Pair, n)
	for i := range pairs {
		pairs[i] = policy.Pair{Prompt: policy.Prompt(r.IntN(s.Prompts)), Chosen: response(), Rejected: response()}
	}
	return pairs
}

// The chapter's table: 8 prompts, 25 contexts, 25 outcomes.
func BenchmarkStep(b *testing.B) {
	chapter := policy.Shape{Prompts: 8, Words: 24, MaxLength: 6, Order: 1}
	ref := randomPolicy(b, chapter, 1)
	pairs := pairsOfTrainedLengths(chapter, 4096)
	for _, batch := range []int{64, 512, 4096} {
		for _, kind := range []struct {
			name string
			step func(*Trainer, *rng.Stream) Stats
		}{{"measured", (*Trainer).Step}, {"unmeasured", (*Trainer).Learn}} {
			b.Run(fmt.Sprintf("batch=%d/%s", batch, kind.name), func(b *testing.B) {
				d, r := New(config(batch), ref.Clone(), ref, pairs), rng.New(2)
				b.ReportAllocs()
				for b.Loop() {
					kind.step(d, r)
				}
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "updates/s")
			})
		}
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	ref := randomPolicy(t, small, 9)
	d, r := New(Default(), ref.Clone(), ref, randomPairs(ref, 100, 5)), rng.New(1)
	if n := testing.AllocsPerRun(20, func() { d.Step(r) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}
