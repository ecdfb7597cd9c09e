package policy

import (
	"context"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"rlhfsim/internal/num"
)

// bestOfNByEnumeration lists responses, groups them by score and raises the
// distribution function to the n-th power in plain arithmetic.
func (w tiny) bestOfNByEnumeration(score, value func(Prompt, Response) float64, n int) BestOfN {
	var out BestOfN
	for x, weight := range w.weights {
		p, mean := map[int]float64{}, map[int]float64{}
		var keys []int
		at := map[int]float64{}
		for _, y := range responses(w.Shape) {
			s := score(Prompt(x), y)
			k := int(math.Round(s * 1e7))
			if _, seen := p[k]; !seen {
				keys = append(keys, k)
			}
			q := num.Exp(w.pi.LogProb(Prompt(x), y))
			p[k] += q
			mean[k] += q * value(Prompt(x), y)
			at[k] = s
		}
		for _, k := range keys {
			below := 0.0
			for _, j := range keys {
				if j < k {
					below += p[j]
				}
			}
			chosen := math.Pow(below+p[k], float64(n)) - math.Pow(below, float64(n))
			out.Score += weight * chosen * at[k]
			out.Value += weight * chosen * mean[k] / p[k]
			if chosen > 0 {
				out.KL += weight * chosen * math.Log(chosen/p[k])
			}
		}
	}
	return out
}

func TestBestOfNAgreesWithEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		d, err := NewCountValue(context.Background(), w.Shape, w.counts)
		if err != nil {
			t.Fatal(err)
		}
		m, err := e.NewMultisets()
		if err != nil {
			t.Fatal(err)
		}
		weight, bias := make([]float64, w.Prompts*w.Words), w.reward.Bias
		for i := range weight {
			weight[i] = math.Round(10*w.reward.R[i]) / 10 // tenths, so that ties occur
		}
		bag := func(x Prompt, y Response) float64 {
			sum := bias[x]
			for _, v := range y {
				sum += weight[int(x)*w.Words+int(v)]
			}
			return sum
		}
		gold := func(x Prompt, y Response) float64 { return w.counts.Value(x, y, w.Words) }
		n := rapid.IntRange(1, 9).Draw(t, "n")
		for _, by := range []struct {
			name  string
			got   Selection
			score func(Prompt, Response) float64
		}{
			{"gold", e.Distribution(&w.pi.Chain, d).Selection(), gold},
			{"bag of words", e.BagOfWords(m, &w.pi.Chain, weight, bias, w.counts), bag},
		} {
			got, want := e.BestOfN(by.got, []int{n})[0], w.bestOfNByEnumeration(by.score, gold, n)
			near(t, by.name+" score", got.Score, want.Score)
			near(t, by.name+" gold", got.Value, want.Value)
			near(t, by.name+" KL", got.KL, want.KL)
			if got.KL > got.Bound+1e-12 {
				t.Fatalf("%s: KL %v above the bound %v", by.name, got.KL, got.Bound)
			}
		}
	})
}

// Known numbers: four scores, equally likely.
func TestBestOfNOnAKnownDistribution(t *testing.T) {
	e := NewEvaluator(Shape{Prompts: 1, Words: 4, MaxLength: 1, Order: 1}, nil)
	s := Selection{Scores: [][]float64{{-0.3, 0.2, 1, 2}}, Probs: [][]float64{{0.25, 0.25, 0.25, 0.25}}, Values: [][]float64{{-0.3, 0.2, 1, 2}}}
	for n, want := range map[int]float64{2: 0.173980, 4: 0.590310, 16: 1.330075} {
		if got := e.BestOfN(s, []int{n})[0]; !(math.Abs(got.KL-want) <= 5e-7) {
			t.Errorf("KL at n = %d is %v, want %v", n, got.KL, want)
		}
	}
}

// A continuous score reaches the bound; a million equally likely scores nearly
// do, at any n. The naive difference of powers would have no digits left.
func TestBestOfNReachesTheBoundWithoutTies(t *testing.T) {
	const size = 1 << 20
	s := Selection{Scores: [][]float64{make([]float64, size)}, Probs: [][]float64{make([]float64, size)}}
	for i := range size {
		s.Scores[0][i], s.Probs[0][i] = float64(i)/size, 1.0/size
	}
	s.Values = s.Scores
	e := NewEvaluator(Shape{Prompts: 1, Words: 4, MaxLength: 1, Order: 1}, nil)
	for _, n := range []int{1, 2, 16, 1024} {
		got := e.BestOfN(s, []int{n})[0]
		if !(math.Abs(got.KL-got.Bound) <= 2e-3*got.Bound+1e-9) || !(math.Abs(got.Score-float64(n)/float64(n+1)) <= 2e-6) {
			t.Errorf("n = %d: KL %v, bound %v, score %v", n, got.KL, got.Bound, got.Score)
		}
	}
	top := e.BestOfN(s, []int{1 << 20})[0] // sup: the best of a million draws from a million values
	if !(top.KL < top.Bound && top.KL > 0.95*top.Bound) {
		t.Errorf("n = 2^20: KL %v, bound %v", top.KL, top.Bound)
	}
}

func TestMultisetsRefuseAWorldThatIsTooLarge(t *testing.T) {
	if _, err := NewEvaluator(Shape{Prompts: 1, Words: 200, MaxLength: 6, Order: 1}, nil).NewMultisets(); err == nil {
		t.Fatal("more than a hundred million multisets were accepted")
	}
}

func BenchmarkBestOfN(b *testing.B) {
	e, pi, _, _, _ := benchmarkWorld(b)
	m, err := e.NewMultisets()
	if err != nil {
		b.Fatal(err)
	}
	weight, bias := make([]float64, e.Prompts*e.Words), make([]float64, e.Prompts)
	for i := range weight {
		weight[i] = num.Log(float64(i + 2))
	}
	var s Selection
	b.Run("distribution", func(b *testing.B) {
		for b.Loop() {
			s = e.BagOfWords(m, &pi.Chain, weight, bias, chapterCounts())
		}
	})
	for _, n := range []int{2, 1 << 20} {
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			for b.Loop() {
				e.BestOfN(s, []int{n})
			}
		})
	}
}
