package policy

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
)

// The oracle of every exact quantity is enumeration: the list of all responses
// of a tiny world with their probabilities, and plain sums over it.

// responses lists every response of the shape.
func responses(s Shape) []Response {
	all := []Response{nil}
	for from := 0; from < len(all); from++ {
		if len(all[from]) < s.MaxLength {
			for w := range s.Words {
				all = append(all, append(slices.Clip(all[from]), Token(w)))
			}
		}
	}
	return all
}

// randomSoftmax is a policy with independent logits in (−2, 2)·scale.
func randomSoftmax(t testing.TB, s Shape, scale float64, r *rng.Stream) *Softmax {
	p, err := NewSoftmax(s, Table)
	if err != nil {
		t.Fatal(err)
	}
	z := make([]float64, len(p.Logits))
	for i := range z {
		z[i] = scale * 4 * (r.Float64() - 0.5)
	}
	if err := p.SetLogits(z); err != nil {
		t.Fatal(err)
	}
	return p
}

// tiny is a random world: geometry, two policies, an additive reward, counts
// and prompt weights.
type tiny struct {
	Shape
	pi, ref *Softmax
	reward  *Additive
	counts  Counts
	weights []float64
}

func drawTiny(t *rapid.T) tiny {
	s := Shape{Prompts: rapid.IntRange(1, 3).Draw(t, "prompts"), Words: rapid.IntRange(1, 3).Draw(t, "words"),
		MaxLength: rapid.IntRange(1, 5).Draw(t, "max_length"), Order: rapid.IntRange(1, 3).Draw(t, "order")}
	r := rng.New(rapid.Uint64().Draw(t, "seed"), "tiny")
	w := tiny{Shape: s, weights: make([]float64, s.Prompts)}
	p, _ := NewSoftmax(s, Table)
	draw := func(scale float64) *Softmax {
		q := p.Clone()
		z := make([]float64, len(q.Logits))
		for i := range z {
			z[i] = scale * 4 * (r.Float64() - 0.5)
		}
		_ = q.SetLogits(z)
		return q
	}
	w.pi, w.ref = draw(1), draw(0.7)
	w.reward = &Additive{Bias: make([]float64, s.Prompts), R: make([]float64, s.Cells())}
	for i := range w.reward.R {
		w.reward.R[i] = 4 * (r.Float64() - 0.5)
	}
	total := 0.0
	for x := range w.weights {
		w.reward.Bias[x], w.weights[x] = r.Float64(), 0.1+r.Float64()
		total += w.weights[x]
	}
	for x := range w.weights {
		w.weights[x] /= total
	}
	for k := range 4 {
		c := Count{Kind: CountKind(k % 3), Worth: make([]float64, 1+r.IntN(4))}
		for i := range c.Worth {
			c.Worth[i] = float64(r.IntN(7)) / 10 // tenths, so that ties occur
		}
		if c.Kind == CountWords {
			c.Hit = make([]bool, s.Prompts*s.Words)
			for i := range c.Hit {
				c.Hit[i] = r.Float64() < 0.5
			}
		}
		w.counts = append(w.counts, c)
	}
	return w
}

// mean is E_{x,y~π}[f], by enumeration.
func (w tiny) mean(c *Chain, f func(x Prompt, y Response, p float64) float64) float64 {
	sum := 0.0
	for x, weight := range w.weights {
		for _, y := range responses(w.Shape) {
			p := num.Exp(c.LogProb(Prompt(x), y))
			sum += weight * p * f(Prompt(x), y, p)
		}
	}
	return sum
}

func (w tiny) additive(x Prompt, y Response) float64 {
	sum := w.reward.Bias[x]
	for _, i := range w.ref.Path(nil, x, y) {
		sum += w.reward.R[i]
	}
	return sum
}

func near(t interface{ Fatalf(string, ...any) }, name string, got, want float64) {
	if !(math.Abs(got-want) <= 1e-10*max(1, math.Abs(want))) {
		t.Fatalf("%s = %.15g, by enumeration %.15g", name, got, want)
	}
}

func TestExactAgreesWithEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		beta := rapid.Float64Range(0.05, 5).Draw(t, "beta")
		optimum, err := e.NewOptimum(&w.ref.Chain, w.reward, beta)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]*Chain{"stationary": &w.pi.Chain, "optimum": &optimum.Chain} {
			one := w.mean(c, func(Prompt, Response, float64) float64 { return 1 })
			near(t, name+" Σπ", one, 1)
			got := e.Expect(c, &w.ref.Chain, w.reward)
			near(t, name+" reward", got.Reward, w.mean(c, func(x Prompt, y Response, _ float64) float64 { return w.additive(x, y) }))
			near(t, name+" length", got.Length, w.mean(c, func(_ Prompt, y Response, _ float64) float64 { return float64(len(y)) }))
			near(t, name+" entropy", got.Entropy, w.mean(c, func(_ Prompt, _ Response, p float64) float64 { return -num.Log(p) }))
			near(t, name+" kl", got.KL, w.mean(c, func(x Prompt, y Response, p float64) float64 {
				return num.Log(p) - w.ref.LogProb(x, y)
			}))
			near(t, name+" counts", e.ExpectCounts(c, NewCountReward(w.Shape, w.counts)),
				w.mean(c, func(x Prompt, y Response, _ float64) float64 { return w.counts.Value(x, y, w.Words) }))
		}
	})
}

func TestOptimumIsTheTiltedReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		beta := rapid.Float64Range(0.05, 5).Draw(t, "beta")
		o, err := e.NewOptimum(&w.ref.Chain, w.reward, beta)
		if err != nil {
			t.Fatal(err)
		}
		value := 0.0
		for x, weight := range w.weights {
			var tilted []float64
			all := responses(w.Shape)
			for _, y := range all {
				tilted = append(tilted, w.ref.LogProb(Prompt(x), y)+w.additive(Prompt(x), y)/beta)
			}
			logZ := num.LogSumExp(tilted)
			value += weight * beta * logZ
			near(t, "log Z", o.LogZ[x], logZ)
			for i, y := range all {
				near(t, fmt.Sprint("π*", y), num.Exp(o.LogProb(Prompt(x), y)), num.Exp(tilted[i]-logZ))
			}
		}
		near(t, "J*", o.Value, value)
		// J* − J(π) = β KL(π‖π*), for any π (Ziegler et al. 2019, section 2).
		at := e.Expect(&w.pi.Chain, &w.ref.Chain, w.reward)
		to := e.Expect(&w.pi.Chain, &o.Chain, nil)
		near(t, "J* − J(π)", o.Value-(at.Reward-beta*at.KL), beta*to.KL)
	})
}

func TestOptimumRefusesImpossibleBeta(t *testing.T) {
	s := Shape{Prompts: 1, Words: 2, MaxLength: 2, Order: 1}
	p := randomSoftmax(t, s, 1, rng.New(1))
	for _, beta := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		d, err := NewCountValue(context.Background(), s, Counts{{Kind: CountRepeat, Worth: []float64{0, 1}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewEvaluator(s, nil).NewCountOptimum(&p.Chain, d, beta); err == nil {
			t.Errorf("beta %v was accepted for counts", beta)
		}
		if _, err := NewEvaluator(s, nil).NewOptimum(&p.Chain, &Additive{Bias: make([]float64, 1), R: make([]float64, s.Cells())}, beta); err == nil {
			t.Errorf("beta %v was accepted", beta)
		}
	}
	for _, r := range []*Additive{{Bias: make([]float64, 2), R: make([]float64, s.Cells())}, {Bias: make([]float64, 1), R: make([]float64, 3)}} {
		if _, err := NewEvaluator(s, nil).NewOptimum(&p.Chain, r, 1); err == nil {
			t.Error("a reward of another world was accepted")
		}
	}
}

func TestDistributionAgreesWithEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		d, err := NewCountValue(context.Background(), w.Shape, w.counts)
		if err != nil {
			t.Fatal(err)
		}
		a, b := e.Distribution(&w.pi.Chain, d), e.Distribution(&w.ref.Chain, d)
		round := func(v float64) int { return int(math.Round(v * 1e6)) }
		win := 0.0
		for x, weight := range w.weights {
			pa, pb := map[int]float64{}, map[int]float64{}
			for _, y := range responses(w.Shape) {
				v := round(w.counts.Value(Prompt(x), y, w.Words))
				pa[v] += num.Exp(w.pi.LogProb(Prompt(x), y))
				pb[v] += num.Exp(w.ref.LogProb(Prompt(x), y))
			}
			for i, v := range a.Values[x] {
				near(t, fmt.Sprint("P(value = ", v, ")"), a.Probs[x][i], pa[round(v)])
			}
			for u, p := range pa {
				for v, q := range pb {
					if u > v {
						win += weight * p * q
					} else if u == v {
						win += weight * p * q / 2
					}
				}
			}
		}
		near(t, "win rate", e.WinRate(a, b), win)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		v, atMost, below := e.Quantile(a, q), 0.0, 0.0
		for x, weight := range w.weights {
			for i, value := range a.Values[x] {
				if value <= v {
					atMost += weight * a.Probs[x][i]
				}
				if value < v {
					below += weight * a.Probs[x][i]
				}
			}
		}
		if atMost < q-1e-9 || below > q+1e-9 {
			t.Fatalf("the %v quantile is %v, P(≤) %v, P(<) %v", q, v, atMost, below)
		}
		near(t, "win rate against itself", e.WinRate(a, a), 0.5)
		near(t, "both win rates", e.WinRate(a, b)+e.WinRate(b, a), 1)
	})
}

func TestCountOptimumIsTheTiltedReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		d, err := NewCountValue(context.Background(), w.Shape, w.counts)
		if err != nil {
			t.Fatal(err)
		}
		beta := rapid.SampledFrom([]float64{1e-3, 0.03, 0.4, 2, 1e3}).Draw(t, "beta")
		o, err := e.NewCountOptimum(&w.ref.Chain, d, beta)
		if err != nil {
			t.Fatal(err)
		}
		all := responses(w.Shape)
		var value, gold, kl, entropy, length, proxy float64
		r := rng.New(1)
		for x, weight := range w.weights {
			var tilted []float64
			for _, y := range all {
				tilted = append(tilted, w.ref.LogProb(Prompt(x), y)+w.counts.Value(Prompt(x), y, w.Words)/beta)
			}
			logZ := num.LogSumExp(tilted)
			value += weight * beta * logZ
			near(t, "log Z", o.LogZ(Prompt(x)), logZ)
			for i, y := range all {
				near(t, fmt.Sprint("log π*", y), o.LogProb(Prompt(x), y), tilted[i]-logZ)
				p := num.Exp(tilted[i] - logZ)
				gold += weight * p * w.counts.Value(Prompt(x), y, w.Words)
				length += weight * p * float64(len(y))
				proxy += weight * p * w.additive(Prompt(x), y)
				if p > 0 {
					entropy -= weight * p * (tilted[i] - logZ)
					kl += weight * p * (tilted[i] - logZ - w.ref.LogProb(Prompt(x), y))
				}
			}
			if y := o.Sample(nil, Prompt(x), r); len(y) > w.MaxLength {
				t.Fatalf("sampled %v", y)
			}
		}
		near(t, "J*", o.Value(), value)
		visits, additive := make([]float64, w.Cells()), 0.0
		got := e.ExpectCountOptimum(o, visits)
		for x, weight := range w.weights {
			n := len(visits) / w.Prompts
			additive += weight * (w.reward.Bias[x] + num.Dot(visits[x*n:(x+1)*n], w.reward.R[x*n:(x+1)*n]))
		}
		near(t, "an additive reward by visits", additive, proxy)
		near(t, "length", got.Length, length)
		near(t, "entropy", got.Entropy, entropy)
		near(t, "KL", got.KL, kl)
		ref := e.Distribution(&w.ref.Chain, d)
		near(t, "gold", e.Mean(ref.Tilted(beta)), gold)
		j, v, k := e.TiltedOptimum(ref, beta)
		near(t, "J* by tilting", j, value)
		near(t, "gold by tilting", v, gold)
		near(t, "KL by tilting", k, kl)
		// J* − J(π) = β KL(π‖π*) for any π.
		at, toOptimum := e.Expect(&w.pi.Chain, &w.ref.Chain, nil), 0.0
		for x, weight := range w.weights {
			for _, y := range all {
				lp := w.pi.LogProb(Prompt(x), y)
				toOptimum += weight * num.Exp(lp) * (lp - o.LogProb(Prompt(x), y))
			}
		}
		near(t, "J* − J(π)", o.Value()-(e.ExpectCounts(&w.pi.Chain, NewCountReward(w.Shape, w.counts))-beta*at.KL), beta*toOptimum)
	})
}

func TestDistributionRefusesALatticeThatIsTooLarge(t *testing.T) {
	s := Shape{Prompts: 1, Words: 24, MaxLength: 40, Order: 1}
	var counts Counts
	for w := range s.Words {
		c := Count{Kind: CountWords, Hit: make([]bool, s.Words), Worth: make([]float64, 6)}
		c.Hit[w] = true
		counts = append(counts, c)
	}
	if _, err := NewCountValue(context.Background(), s, counts); err == nil {
		t.Fatal("a lattice of 6²⁴ states was accepted")
	}
}

func TestMostLikelyAgreesWithEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		o, err := e.NewOptimum(&w.ref.Chain, w.reward, 1)
		if err != nil {
			t.Fatal(err)
		}
		all := responses(w.Shape)
		d, err := NewCountValue(context.Background(), w.Shape, w.counts)
		if err != nil {
			t.Fatal(err)
		}
		gold, err := e.NewCountOptimum(&w.ref.Chain, d, 0.7)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []interface {
			LogProb(Prompt, Response) float64
			MostLikely(Prompt, int) []Likely
		}{&w.pi.Chain, &o.Chain, gold} {
			slices.SortStableFunc(all, func(a, b Response) int {
				return -cmpFloat(c.LogProb(0, a), c.LogProb(0, b))
			})
			k := min(len(all), 7)
			got := c.MostLikely(0, k)
			if len(got) != k {
				t.Fatalf("%d responses, want %d", len(got), k)
			}
			for i, l := range got {
				near(t, fmt.Sprint("log-probability of number ", i), l.LogProb, c.LogProb(0, all[i]))
				near(t, fmt.Sprint("log-probability of ", l.Response), l.LogProb, c.LogProb(0, l.Response))
			}
		}
	})
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// chapterShape has the size of the chapter's world.
var chapterShape = Shape{Prompts: 8, Words: 24, MaxLength: 6, Order: 1}

// chapterCounts has the chapter's tables: seven automata and the length.
func chapterCounts() Counts {
	s := chapterShape
	group := func(from, to, states int) Count {
		c := Count{Kind: CountWords, Hit: make([]bool, s.Prompts*s.Words), Worth: make([]float64, states)}
		for x := range s.Prompts {
			for w := from; w < to; w++ {
				c.Hit[x*s.Words+w] = true
			}
		}
		for i := range c.Worth {
			c.Worth[i] = float64(i) * 0.7
		}
		return c
	}
	right, wrong := group(0, 0, 2), group(0, 8, 3)
	for x := range s.Prompts {
		right.Hit[x*s.Words+x], wrong.Hit[x*s.Words+x] = true, false
	}
	return Counts{right, wrong, group(13, 16, 4), group(16, 19, 4), group(19, 21, 3), group(21, 24, 2),
		{Kind: CountRepeat, Worth: []float64{0, -0.8, -1.6, -2.4}}, {Kind: CountLength, Worth: []float64{-1, 0, 0, 0, 0, 0, -0.3}}}
}

func TestEvaluationAllocatesNothing(t *testing.T) {
	e, pi, ref, additive, gold := benchmarkWorld(t)
	run := func() {
		e.Expect(&pi.Chain, &ref.Chain, additive)
		e.ExpectCounts(&pi.Chain, gold)
	}
	run()
	if n := testing.AllocsPerRun(10, run); n != 0 {
		t.Errorf("%v allocations an evaluation", n)
	}
}

func benchmarkWorld(t testing.TB) (*Evaluator, *Softmax, *Softmax, *Additive, *CountReward) {
	r := rng.New(1, "benchmark")
	pi, ref := randomSoftmax(t, chapterShape, 1, r), randomSoftmax(t, chapterShape, 1, r)
	additive := &Additive{Bias: make([]float64, chapterShape.Prompts), R: make([]float64, chapterShape.Cells())}
	return NewEvaluator(chapterShape, nil), pi, ref, additive, NewCountReward(chapterShape, chapterCounts())
}

// BenchmarkEvaluate is one exact evaluation of the chapter's world: everything
// recorded at an evaluation step but the win rate.
func BenchmarkEvaluate(b *testing.B) {
	e, pi, ref, additive, gold := benchmarkWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		e.Expect(&pi.Chain, &ref.Chain, additive)
		e.ExpectCounts(&pi.Chain, gold)
	}
}

func BenchmarkWinRate(b *testing.B) {
	e, pi, ref, _, _ := benchmarkWorld(b)
	d, err := NewCountValue(context.Background(), chapterShape, chapterCounts())
	if err != nil {
		b.Fatal(err)
	}
	against := e.Distribution(&ref.Chain, d)
	for b.Loop() {
		e.WinRate(e.Distribution(&pi.Chain, d), against)
	}
}

func BenchmarkCountOptimum(b *testing.B) {
	e, _, ref, _, _ := benchmarkWorld(b)
	d, err := NewCountValue(context.Background(), chapterShape, chapterCounts())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("policy", func(b *testing.B) {
		for b.Loop() {
			o, err := e.NewCountOptimum(&ref.Chain, d, 0.3)
			if err != nil {
				b.Fatal(err)
			}
			o.Value()
		}
	})
	o, err := e.NewCountOptimum(&ref.Chain, d, 0.3)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("expectations", func(b *testing.B) {
		for b.Loop() {
			e.ExpectCountOptimum(o, nil)
		}
	})
	against := e.Distribution(&ref.Chain, d)
	b.Run("tilted", func(b *testing.B) {
		for b.Loop() {
			e.TiltedOptimum(against, 0.3)
		}
	})
}

func BenchmarkOptimum(b *testing.B) {
	e, _, ref, additive, _ := benchmarkWorld(b)
	for b.Loop() {
		if _, err := e.NewOptimum(&ref.Chain, additive, 0.3); err != nil {
			b.Fatal(err)
		}
	}
}

// β → 0 is the greedy optimum, β → ∞ the reference, for both kinds of reward.
func TestOptimumAtItsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		d, err := NewCountValue(context.Background(), w.Shape, w.counts)
		if err != nil {
			t.Fatal(err)
		}
		type policyOf interface {
			LogProb(Prompt, Response) float64
		}
		at := func(beta float64) (additive, counts policyOf, jAdditive, jCounts float64) {
			a, err := e.NewOptimum(&w.ref.Chain, w.reward, beta)
			if err != nil {
				t.Fatal(err)
			}
			c, err := e.NewCountOptimum(&w.ref.Chain, d, beta)
			if err != nil {
				t.Fatal(err)
			}
			return a, c, a.Value, c.Value()
		}
		greedyA, greedyC, jA, jC := at(1e-3)
		sameA, sameC, farA, farC := at(1e6)
		for _, c := range []struct {
			name         string
			value        func(Prompt, Response) float64
			greedy, same policyOf
			j, far       float64
		}{{"additive", w.additive, greedyA, sameA, jA, farA},
			{"counts", func(x Prompt, y Response) float64 { return w.counts.Value(x, y, w.Words) }, greedyC, sameC, jC, farC}} {
			best, mean := 0.0, 0.0
			for x, weight := range w.weights {
				top := math.Inf(-1)
				for _, y := range responses(w.Shape) {
					top = max(top, c.value(Prompt(x), y))
				}
				best += weight * top
				onTop := 0.0
				for _, y := range responses(w.Shape) {
					p := num.Exp(c.greedy.LogProb(Prompt(x), y))
					if c.value(Prompt(x), y) > top-0.05 {
						onTop += p
					}
					mean += weight * num.Exp(w.ref.LogProb(Prompt(x), y)) * c.value(Prompt(x), y)
					if a, b := c.same.LogProb(Prompt(x), y), w.ref.LogProb(Prompt(x), y); !(math.Abs(a-b) <= 1e-4) {
						t.Fatalf("%s: log π* at β = 10⁶ is %v, the reference's %v", c.name, a, b)
					}
				}
				if onTop < 1-1e-9 {
					t.Fatalf("%s: at β = 10⁻³ only %v is among the best responses", c.name, onTop)
				}
			}
			// β log Z is within β·KL of the best response, KL the surprise of that response.
			if c.j > best+1e-9 || c.j < best-1e-3*50 {
				t.Fatalf("%s: J* at β = 10⁻³ is %v, the best response is worth %v", c.name, c.j, best)
			}
			if !(math.Abs(c.far-mean) <= 1e-4) {
				t.Fatalf("%s: J* at β = 10⁶ is %v, the reference's reward %v", c.name, c.far, mean)
			}
		}
	})
}

// BenchmarkCost is how the costs grow with the responses' length and with the
// number of prompts, in worlds otherwise like the chapter's.
func BenchmarkCost(b *testing.B) {
	for _, size := range []struct{ prompts, length int }{{8, 3}, {8, 6}, {8, 12}, {8, 24}, {4, 6}, {16, 6}, {32, 6}} {
		s := chapterShape
		s.Prompts, s.MaxLength = size.prompts, size.length
		r := rng.New(1, "benchmark")
		pi, ref := randomSoftmax(b, s, 1, r), randomSoftmax(b, s, 1, r)
		additive := &Additive{Bias: make([]float64, s.Prompts), R: make([]float64, s.Cells())}
		counts := chapterCounts()
		for k := range counts {
			if hit := counts[k].Hit; hit != nil { // the first eight prompts' over and over
				counts[k].Hit = nil
				for i := range s.Prompts * s.Words {
					counts[k].Hit = append(counts[k].Hit, hit[i%len(hit)])
				}
			}
		}
		e, gold := NewEvaluator(s, nil), NewCountReward(s, counts)
		d, err := NewCountValue(context.Background(), s, counts)
		if err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("prompts=%d/max_length=%d/", size.prompts, size.length)
		b.Run(name+"evaluate", func(b *testing.B) {
			for b.Loop() {
				e.Expect(&pi.Chain, &ref.Chain, additive)
				e.ExpectCounts(&pi.Chain, gold)
			}
		})
		b.Run(name+"distribution", func(b *testing.B) {
			for b.Loop() {
				e.Distribution(&pi.Chain, d)
			}
		})
		b.Run(name+"optimum", func(b *testing.B) {
			for b.Loop() {
				if _, err := e.NewOptimum(&ref.Chain, additive, 0.3); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
