package policy

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
)

func TestContextsAreTheLastWords(t *testing.T) {
	for order := 1; order <= 3; order++ {
		s := Shape{Prompts: 1, Words: 3, MaxLength: 5, Order: order}
		g := newGeometry(s)
		name := map[string]int{} // window of words → context
		for _, y := range responses(s) {
			if len(y) == s.MaxLength {
				continue
			}
			c := g.start
			for _, w := range y {
				c = g.Next(c, w)
			}
			window := fmt.Sprint(y[max(0, len(y)-order):])
			if old, seen := name[window]; seen && old != c {
				t.Fatalf("order %d: %v leads to context %d and to %d", order, window, old, c)
			}
			name[window] = c
			if last := int(g.last[c]); len(y) > 0 && last != int(y[len(y)-1]) || len(y) == 0 && last != -1 {
				t.Errorf("order %d: after %v the newest word is %d", order, y, last)
			}
		}
		if len(name) != s.Contexts() {
			t.Errorf("order %d: %d windows for %d contexts", order, len(name), s.Contexts())
		}
	}
}

func TestBigramContextIsTheWordAndStartComesLast(t *testing.T) {
	s := Shape{Prompts: 2, Words: 4, MaxLength: 6, Order: 1}
	g := newGeometry(s)
	if s.Contexts() != 5 || g.start != 4 {
		t.Fatalf("%d contexts, start %d", s.Contexts(), g.start)
	}
	for c := range 5 {
		for w := range Token(4) {
			if g.Next(c, w) != int(w) {
				t.Errorf("context %d, word %d leads to %d", c, w, g.Next(c, w))
			}
		}
	}
}

func TestShapeRefusesWhatDoesNotFit(t *testing.T) {
	for _, s := range []Shape{
		{Prompts: 0, Words: 2, MaxLength: 2, Order: 1}, {Prompts: 1, Words: 0, MaxLength: 2, Order: 1},
		{Prompts: 1, Words: 2, MaxLength: 0, Order: 1}, {Prompts: 1, Words: 2, MaxLength: 2, Order: 0},
		{Prompts: 8, Words: 24, MaxLength: 1_000_000_000, Order: 1_000_000_000},
		{Prompts: 1 << 40, Words: 1 << 40, MaxLength: 6, Order: 1},
	} {
		if _, err := NewSoftmax(s, Table); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
	if _, err := NewSoftmax(Shape{Prompts: 1, Words: 1, MaxLength: 1, Order: 1}, "low"); err == nil {
		t.Error("an unknown parametrisation was accepted")
	}
}

func TestLogProbIsTheSumOverThePath(t *testing.T) {
	s := Shape{Prompts: 2, Words: 3, MaxLength: 3, Order: 2}
	p := randomSoftmax(t, s, 1, rng.New(3))
	for x := range Prompt(2) {
		sum := 0.0
		for _, y := range responses(s) {
			path := p.Path(nil, x, y)
			if want := min(len(y)+1, s.MaxLength); len(path) != want {
				t.Fatalf("%v has %d decisions, want %d", y, len(path), want)
			}
			if p.SumLogP(path) != p.LogProb(x, y) {
				t.Errorf("%v: path %v, response %v", y, p.SumLogP(path), p.LogProb(x, y))
			}
			sum += num.Exp(p.LogProb(x, y))
		}
		near(t, "Σ_y π(y)", sum, 1)
	}
}

func TestLogitsShiftsChangeNothing(t *testing.T) {
	s := Shape{Prompts: 1, Words: 3, MaxLength: 3, Order: 1}
	p := randomSoftmax(t, s, 1, rng.New(4))
	q := p.Clone()
	shifted := slices.Clone(p.Logits)
	for i := range shifted {
		shifted[i] += float64(1 + i/s.Outcomes())
	}
	if err := q.SetLogits(shifted); err != nil {
		t.Fatal(err)
	}
	for i := range p.LogP {
		near(t, "log π", q.LogP[i], p.LogP[i])
	}
	if err := q.SetLogits(shifted[1:]); err == nil {
		t.Error("a short table was accepted")
	}
}

// gradientCheck compares Trainer's chain rule with central differences of an
// arbitrary smooth loss Σ a_i log π_i + Σ p_i log p_i over the parameters.
func TestGradientAgainstFiniteDifferences(t *testing.T) {
	for _, kind := range Parametrisations {
		s := Shape{Prompts: 2, Words: 2, MaxLength: 3, Order: 1}
		p, err := Config{Parametrisation: kind, Rank: 2}.New(s)
		if err != nil {
			t.Fatal(err)
		}
		r := rng.New(5, string(kind))
		for i := range p.params {
			p.params[i] = r.Float64() - 0.5
		}
		p.refresh()
		a := make([]float64, len(p.LogP))
		for i := range a {
			a[i] = r.Float64()
		}
		loss := func() float64 {
			p.refresh()
			sum := 0.0
			for i, l := range p.LogP {
				sum += a[i]*l - 0.3*p.P[i]*l
			}
			return sum
		}
		g := slices.Clone(a)
		for i := range g {
			g[i] -= 0.3 * p.P[i] * p.LogP[i] // the entropy's share, see Update
		}
		p.LogitGradient(g)
		grad := slices.Clone(p.pull(make([]float64, len(p.params)), g))
		norm := 0.0
		for i := range p.params {
			const h = 1e-5
			at := p.params[i]
			p.params[i] = at + h
			up := loss()
			p.params[i] = at - h
			down := loss()
			p.params[i] = at
			want := (up - down) / (2 * h)
			norm += want * want
			if !(math.Abs(grad[i]-want) <= 1e-8) {
				t.Fatalf("%s: ∂L/∂θ[%d] = %v, by differences %v", kind, i, grad[i], want)
			}
		}
		if norm < 0.01 {
			t.Fatalf("%s: the gradient is too small to test anything", kind)
		}
	}
}

func TestSharedTermReachesOtherPrompts(t *testing.T) {
	s := Shape{Prompts: 2, Words: 2, MaxLength: 2, Order: 1}
	after := map[Parametrisation]float64{}
	for _, kind := range Parametrisations {
		p, _ := Config{Parametrisation: kind, Rank: 1}.New(s)
		f := NewFit(FitConfig{LearningRate: 0.1, NumTrainEpochs: 1, BatchSize: 1}, p, []Demonstration{{0, Response{1}}})
		f.Step(rng.New(1))
		after[kind] = p.LogProb(1, Response{1})
	}
	if start := 2 * math.Log(1.0/3); !(math.Abs(after[Table]-start) <= 1e-12) || after[Shared] < start+0.05 {
		t.Errorf("log-probability on the other prompt: table %v, shared %v, before %v", after[Table], after[Shared], start)
	}
}

func TestSamplesFollowTheExactDistribution(t *testing.T) {
	s := Shape{Prompts: 1, Words: 3, MaxLength: 3, Order: 2}
	p := randomSoftmax(t, s, 0.6, rng.New(6))
	for _, c := range []*Chain{&p.Chain, p.Tempered(0.7)} {
		const n = 200_000
		seen := map[string]float64{}
		r := rng.New(7)
		var y Response
		for range n {
			y = c.Sample(y[:0], 0, r)
			seen[fmt.Sprint(y)]++
		}
		chi2, all := 0.0, responses(s)
		for _, y := range all {
			want := n * num.Exp(c.LogProb(0, y))
			d := seen[fmt.Sprint(y)] - want
			chi2 += d * d / want
		}
		// 39 degrees of freedom: the 0.9999 quantile is 79.
		if chi2 > 79 {
			t.Errorf("χ² = %.1f over %d responses", chi2, len(all))
		}
	}
}

func TestTemperature(t *testing.T) {
	s := Shape{Prompts: 1, Words: 3, MaxLength: 2, Order: 1}
	p := randomSoftmax(t, s, 1, rng.New(8))
	cold := p.Tempered(0.01)
	if got, want := cold.MostLikely(0, 1)[0].Response, p.Greedy(0); !slices.Equal(got, want) {
		t.Errorf("at temperature 0.01 it says %v, greedy %v", got, want)
	}
	same := p.Tempered(1)
	for i := range same.P {
		near(t, "π at temperature 1", same.P[i], p.P[i])
	}
}

func TestFitGradientAndDescent(t *testing.T) {
	s := Shape{Prompts: 2, Words: 3, MaxLength: 3, Order: 1}
	data := []Demonstration{{0, Response{0, 1}}, {1, Response{2, 2, 2}}, {0, Response{}}}
	p := randomSoftmax(t, s, 0.5, rng.New(9))
	loss := func(p *Softmax) float64 {
		sum, tokens := 0.0, 0
		for _, d := range data {
			sum -= p.LogProb(d.Prompt, d.Response)
			tokens += len(p.Path(nil, d.Prompt, d.Response))
		}
		return sum / float64(tokens)
	}
	f := NewFit(FitConfig{LearningRate: 1e-3, NumTrainEpochs: 200, BatchSize: 3}, p, data)
	before := loss(p)
	start := slices.Clone(p.Logits)
	stats := f.Step(rng.New(1))
	near(t, "loss of the whole batch", stats.Loss, before)
	// The norm of the gradient, by differences around the start.
	norm, q := 0.0, p.Clone()
	for i := range start {
		z := slices.Clone(start)
		const h = 1e-5
		z[i] += h
		_ = q.SetLogits(z)
		up := loss(q)
		z[i] -= 2 * h
		_ = q.SetLogits(z)
		d := (up - loss(q)) / (2 * h)
		norm += d * d
	}
	if !(math.Abs(stats.GradNorm-math.Sqrt(norm)) <= 1e-8) || norm < 1e-3 {
		t.Errorf("gradient norm %v, by differences %v", stats.GradNorm, math.Sqrt(norm))
	}
	r := rng.New(2)
	for range f.Steps() {
		stats = f.Step(r)
	}
	if after := loss(p); after >= before-0.1 {
		t.Errorf("loss %v → %v", before, after)
	}
}

func TestFitStats(t *testing.T) {
	s := Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1}
	p, _ := NewSoftmax(s, Table)
	_ = p.SetLogits([]float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0})
	f := NewFit(FitConfig{LearningRate: 0.1, NumTrainEpochs: 1, BatchSize: 4}, p, []Demonstration{{0, Response{0}}, {0, Response{1}}})
	got := map[string]float64{}
	for name, v := range f.Step(rng.New(1)).All() {
		got[name] = v
	}
	z := math.Exp(2) + 3
	near(t, "loss", got["loss"], math.Log(z)-1)
	near(t, "entropy", got["entropy"], math.Log(z)-2*math.Exp(2)/z)
	near(t, "mean_token_accuracy", got["mean_token_accuracy"], 0.5)
	near(t, "learning_rate", got["learning_rate"], 0.1)
	if len(got) != 5 {
		t.Errorf("metrics %v", got)
	}
}

func TestBatchesDealEveryItemOnceAnEpoch(t *testing.T) {
	b := NewBatches(10, 4)
	r := rng.New(1)
	if b.PerEpoch() != 3 {
		t.Fatalf("%d batches an epoch", b.PerEpoch())
	}
	var orders []string
	for range 3 {
		var epoch []int
		for range b.PerEpoch() {
			epoch = append(epoch, b.Next(r)...)
		}
		orders = append(orders, fmt.Sprint(epoch))
		slices.Sort(epoch)
		if len(slices.Compact(epoch)) != 10 {
			t.Errorf("an epoch dealt %v", epoch)
		}
	}
	if orders[0] == orders[1] {
		t.Error("two epochs came in the same order")
	}
}

func TestClipGradNorm(t *testing.T) {
	g := []float64{3, 4}
	if n := ClipGradNorm(g, 0); n != 5 || g[0] != 3 {
		t.Errorf("no limit: norm %v, gradient %v", n, g)
	}
	if n := ClipGradNorm(g, 1); n != 5 || !(math.Abs(g[1]-4/(5+1e-6)) <= 1e-15) {
		t.Errorf("limit 1: norm %v, gradient %v", n, g)
	}
	if ClipGradNorm(g, 2); !(math.Abs(g[0]-3/(5+1e-6)) <= 1e-15) {
		t.Errorf("a gradient within the limit was changed: %v", g)
	}
}

func TestRankingComparisonsAndPairs(t *testing.T) {
	a, b, c := Response{0}, Response{1}, Response{2}
	r := Ranking{Prompt: 1, Responses: []Response{a, b, c}, Reversed: []bool{false, true, false}, Tied: []bool{false, false, true}}
	want := []Comparison{{0, 1, false}, {2, 0, false}, {1, 2, true}}
	if got := r.Comparisons(nil); !slices.Equal(got, want) {
		t.Errorf("comparisons %v, want %v", got, want)
	}
	if pairs := Pairs([]Ranking{r}); pairs[1].Tied || !pairs[2].Tied {
		t.Errorf("pairs %v", pairs)
	}
	same := Ranking{Responses: []Response{a, a, b}}
	if got := Pairs([]Ranking{same}); len(got) != 2 || !slices.Equal(got[0].Rejected, b) {
		t.Errorf("pairs %v", got)
	}
}

func TestCountsOf(t *testing.T) {
	cs := chapterCounts()
	y := Response{0, 0, 13, 1, 1, 1}
	for i, want := range []int{2, 3, 1, 0, 0, 0, 3, 6} {
		if got := cs[i].Of(0, y, 24); got != want {
			t.Errorf("count %d of %v is %d, want %d", i, y, got, want)
		}
	}
	near(t, "value", cs.Value(0, y, 24), 0.7+1.4+0.7-2.4-0.3)
}

func TestFitConfigValidate(t *testing.T) {
	if err := DefaultFit().Validate(); err != nil {
		t.Error(err)
	}
	bad := FitConfig{LearningRate: math.NaN(), NumTrainEpochs: -1, BatchSize: 0, MaxGradNorm: math.Inf(1)}
	if n := len(field.All(bad.Validate())); n != 4 {
		t.Errorf("%d problems: %v", n, bad.Validate())
	}
	if Default().Order != 1 || Default().Parametrisation != Table {
		t.Errorf("default %+v", Default())
	}
}

func BenchmarkStep(b *testing.B) {
	for _, kind := range Parametrisations {
		b.Run(string(kind), func(b *testing.B) { benchmarkStep(b, kind) })
	}
}

func benchmarkStep(b *testing.B, kind Parametrisation) {
	writer := randomSoftmax(b, chapterShape, 1, rng.New(1))
	p, _ := Config{Parametrisation: kind, Rank: 4}.New(chapterShape)
	r := rng.New(2)
	var data []Demonstration
	for range 1000 {
		x := Prompt(r.IntN(chapterShape.Prompts))
		data = append(data, Demonstration{x, writer.Sample(nil, x, r)})
	}
	f := NewFit(FitConfig{LearningRate: 0.01, NumTrainEpochs: 1, BatchSize: 64}, p, data)
	b.ReportAllocs()
	for b.Loop() {
		f.Step(r)
	}
	b.ReportMetric(64*float64(b.N)/b.Elapsed().Seconds(), "demonstrations/s")
}

func TestStepAllocatesNothing(t *testing.T) {
	for _, kind := range Parametrisations {
		p, _ := Config{Parametrisation: kind, Rank: 4}.New(chapterShape)
		f := NewFit(DefaultFit(), p, []Demonstration{{0, Response{1, 2}}, {3, Response{4}}})
		r := rng.New(1)
		if n := testing.AllocsPerRun(20, func() { f.Step(r) }); n != 0 {
			t.Errorf("%s: %v allocations a step", kind, n)
		}
	}
}
