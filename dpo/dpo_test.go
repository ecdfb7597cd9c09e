package dpo

import (
	"encoding/json"
	"math"
	"os"
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

func TestGradientAgainstFiniteDifferences(t *testing.T) {
	ref := randomPolicy(t, small, 1)
	pairs := randomPairs(ref, 20, 1)
	for _, epsilon := range []float64{0, 0.2} {
		pi := randomPolicy(t, small, 2)
		c := config(20)
		c.Beta, c.LabelSmoothing = 0.7, epsilon
		start, q, norm := slices.Clone(pi.Logits), pi.Clone(), 0.0
		for i := range start {
			const h = 1e-5
			z := slices.Clone(start)
			z[i] += h
			_ = q.SetLogits(z)
			up := loss(q, ref, pairs, c)
			z[i] -= 2 * h
			_ = q.SetLogits(z)
			d := (up - loss(q, ref, pairs, c)) / (2 * h)
			norm += d * d
		}
		s := New(c, pi, ref, pairs).Step(rng.New(1))
		if norm < 1e-4 {
			t.Fatal("the gradient is too small to test anything")
		}
		if math.Abs(s.GradNorm-math.Sqrt(norm)) > 1e-8 {
			t.Errorf("ε = %v: gradient norm %v, by differences %v", epsilon, s.GradNorm, math.Sqrt(norm))
		}
		_ = q.SetLogits(start)
		if want := loss(q, ref, pairs, c); math.Abs(s.Loss-want) > 1e-12 {
			t.Errorf("loss %v, by definition %v", s.Loss, want)
		}
	}
}

func TestSlopeAgainstFiniteDifferences(t *testing.T) {
	for _, l := range Losses {
		for _, h := range []float64{-30, -2, 0, 0.3, 5} {
			c := Default()
			c.Beta, c.LabelSmoothing = 0.4, 0.1
			const d = 1e-6
			up, _ := l.Of(h+d, c)
			down, _ := l.Of(h-d, c)
			if _, slope := l.Of(h, c); math.Abs(slope-(up-down)/(2*d)) > 1e-8 {
				t.Errorf("%s at h = %v: slope %v, by differences %v", l.Name, h, slope, (up-down)/(2*d))
			}
		}
	}
}

func TestLimits(t *testing.T) {
	if l, s := Sigmoid(3, 1e-9, 0); math.Abs(l-math.Ln2) > 1e-8 || math.Abs(s) > 1e-9 {
		t.Errorf("β → 0: loss %v, slope %v", l, s)
	}
	// With smoothing ε the optimum is βh = log((1−ε)/ε) (Mitchell 2023).
	if _, s := Sigmoid(math.Log(9)/0.5, 0.5, 0.1); math.Abs(s) > 1e-12 {
		t.Errorf("slope %v at the optimum of the smoothed loss", s)
	}
	if l, _ := Sigmoid(-5000, 1, 0); l != 5000 {
		t.Errorf("loss %v far on the wrong side", l)
	}
}

// "The weight of the example is how incorrectly the implicit reward model
// orders the completions" (Rafailov et al. 2023, section 4).
func TestSection4PairsTheModelGetsWrongWeighMore(t *testing.T) {
	_, wrong := Sigmoid(-10, 0.1, 0)
	_, right := Sigmoid(10, 0.1, 0)
	if !(wrong < right && right < 0) {
		t.Errorf("slope %v where wrong, %v where right", wrong, right)
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
	if first.Accuracy != 0 || first.Margin != 0 || math.Abs(first.Loss-math.Ln2) > 1e-12 {
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
		if math.Abs(got[name]-v) > 1e-12 {
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
		if got := d.Step(r).LearningRate; math.Abs(got-want) > 1e-15 {
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
				scatter(d.trainer.G, pi.Path(nil, 0, ya), slope)
				scatter(d.trainer.G, pi.Path(nil, 0, yb), -slope)
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
		if got, want := pi.LogProb(0, y), tilted[a]-logZ; math.Abs(got-want) > 1e-6 {
			t.Errorf("log π(%v) = %v, optimum %v", y, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{Beta: 0, LossType: "sigmod", LabelSmoothing: 0.5, LearningRate: -1, LRSchedulerType: "cosine", NumTrainEpochs: -1, BatchSize: 0, MaxGradNorm: math.NaN()}
	if n := len(field.All(bad.Validate())); n != 8 {
		t.Errorf("%d problems: %v", n, bad.Validate())
	}
}

// golden is the common layout of testdata/golden/dpo_*.json.
type golden struct {
	Cases []struct {
		PolicyChosen   []float64 `json:"policy_chosen_logps"`
		PolicyRejected []float64 `json:"policy_rejected_logps"`
		RefChosen      []float64 `json:"ref_chosen_logps"`
		RefRejected    []float64 `json:"ref_rejected_logps"`
	}
	Results []struct {
		Case           int
		Beta           float64
		LabelSmoothing float64 `json:"label_smoothing"`
		Loss           float64
		PerSequence    []float64 `json:"per_sequence_loss"`
		GradChosen     []float64 `json:"grad_policy_chosen_logps"`
		GradRejected   []float64 `json:"grad_policy_rejected_logps"`
		RewardChosen   []float64 `json:"reward_chosen"`
		RewardRejected []float64 `json:"reward_rejected"`
	}
}

func readGolden(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/golden/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// same compares with a reference library's number, relative where it is large.
func same(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s = %.17g, the library's %.17g", what, got, want)
	}
}

func TestGoldenSigmoid(t *testing.T) {
	t.Run("dpo_sigmoid.json", func(t *testing.T) {
		var g golden
		readGolden(t, "dpo_sigmoid.json", &g)
		if len(g.Results) == 0 {
			t.Fatal("no results")
		}
		for _, r := range g.Results {
			c := g.Cases[r.Case]
			mean, n := 0.0, float64(len(c.PolicyChosen))
			for i := range c.PolicyChosen {
				a, b := c.PolicyChosen[i]-c.RefChosen[i], c.PolicyRejected[i]-c.RefRejected[i]
				l, slope := Sigmoid(a-b, r.Beta, 0) // TRL's sigmoid ignores label_smoothing
				mean += l / n
				same(t, "per_sequence_loss", l, r.PerSequence[i], 1e-12)
				same(t, "grad chosen", slope/n, r.GradChosen[i], 1e-12)
				same(t, "grad rejected", -slope/n, r.GradRejected[i], 1e-12)
				same(t, "reward_chosen", r.Beta*a, r.RewardChosen[i], 1e-12)
				same(t, "reward_rejected", r.Beta*b, r.RewardRejected[i], 1e-12)
			}
			same(t, "loss", mean, r.Loss, 1e-12)
		}
	})
}

func BenchmarkStep(b *testing.B) {
	chapter := policy.Shape{Prompts: 8, Words: 24, MaxLength: 6, Order: 1}
	ref := randomPolicy(b, chapter, 1)
	pairs := randomPairs(ref, 1500, 1)
	for _, batch := range []int{64, 512, 4096} {
		b.Run(map[int]string{64: "batch=64", 512: "batch=512", 4096: "batch=4096"}[batch], func(b *testing.B) {
			c := config(batch)
			many := pairs
			for len(many) < batch {
				many = append(many, pairs...)
			}
			d, r := New(c, ref.Clone(), ref, many[:max(batch, 1500)]), rng.New(2)
			b.ReportAllocs()
			updates := 0
			for b.Loop() {
				updates += min(batch, len(d.pairs))
				d.Step(r)
			}
			b.ReportMetric(float64(updates)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	ref := randomPolicy(t, small, 9)
	d, r := New(Default(), ref.Clone(), ref, randomPairs(ref, 100, 5)), rng.New(1)
	if n := testing.AllocsPerRun(20, func() { d.Step(r) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}
