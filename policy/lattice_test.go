package policy

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"rlhfsim/internal/num"
)

// entangled is a function of the counts that is no sum over them.
func entangled(x Prompt, n []int) float64 {
	v := 0.3 * float64(x+1)
	for k, m := range n {
		v = float64(v*0.7) + math.Abs(float64(m)-float64(v*float64(k%3)))
	}
	return v
}

// of is the same of a response.
func (w tiny) entangled(x Prompt, y Response) float64 {
	n := make([]int, len(w.counts))
	for k, c := range w.counts {
		n[k] = min(c.Of(x, y, w.Words), len(c.Worth)-1)
	}
	return entangled(x, n)
}

// A reward of any shape in the counts: expectation, optimum, selection and
// gradient.
func TestAnyFunctionOfTheCountsIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		l, err := NewCountLattice(context.Background(), w.Shape, w.counts)
		if err != nil {
			t.Fatal(err)
		}
		judge, err := l.Value(context.Background(), entangled)
		if err != nil {
			t.Fatal(err)
		}
		gold, err := l.Sum(context.Background(), w.counts)
		if err != nil {
			t.Fatal(err)
		}
		beta := rapid.Float64Range(0.05, 3).Draw(t, "beta")
		score := func(x Prompt, y Response, _ float64) float64 { return w.entangled(x, y) }
		near(t, "E[r]", e.ExpectCounts(&w.pi.Chain, judge.Reward()), w.mean(&w.pi.Chain, score))
		o, err := e.NewCountOptimum(&w.ref.Chain, judge, beta)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.0
		for x, weight := range w.weights {
			for _, y := range responses(w.Shape) {
				near(t, "log π*", o.LogProb(Prompt(x), y), w.ref.LogProb(Prompt(x), y)+w.entangled(Prompt(x), y)/beta-o.LogZ(Prompt(x)))
				want += float64(weight * float64(num.Exp(o.LogProb(Prompt(x), y))*w.counts.Value(Prompt(x), y, w.Words)))
			}
		}
		at := e.States(&w.ref.Chain, l)
		near(t, "gold at the judge's optimum", e.Mean(at.Tilted(judge, beta).Distribution(gold)), want)
		j, _, kl, value := e.TiltedSelection(at.Selection(judge, gold), beta)
		near(t, "J* by tilting", j, o.Value())
		near(t, "gold by tilting", value, want)
		near(t, "KL by tilting", kl, e.ExpectCountOptimum(o, nil).KL)
		n := rapid.IntRange(1, 9).Draw(t, "n")
		got := e.BestOfN(e.States(&w.pi.Chain, l).Selection(judge, gold), []int{n})[0]
		best := w.bestOfNByEnumeration(w.entangled, func(x Prompt, y Response) float64 { return w.counts.Value(x, y, w.Words) }, n)
		near(t, "best-of-n score", got.Score, best.Score)
		near(t, "best-of-n gold", got.Value, best.Value)
		near(t, "best-of-n KL", got.KL, best.KL)
	})
}

// A sum of tables is the same on its joint lattice as on an automaton for each,
// also where some responses have no probability left.
func TestJointAndSeparateGradientsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		if rapid.Bool().Draw(t, "vanishing") {
			z := append([]float64(nil), w.pi.Logits...)
			for i := range z {
				z[i] *= 400
			}
			_ = w.pi.SetLogits(z)
		}
		e := NewEvaluator(w.Shape, w.weights)
		d, err := NewCountValue(context.Background(), w.Shape, w.counts)
		if err != nil {
			t.Fatal(err)
		}
		joint, separate := e.NewGradient(), e.NewGradient()
		e.Gradient(joint, &w.pi.Chain, Objective{Ref: &w.ref.Chain, Counts: d.Reward()})
		e.Gradient(separate, &w.pi.Chain, Objective{Ref: &w.ref.Chain, Counts: NewCountReward(w.Shape, w.counts)})
		near(t, "J", joint.Value, separate.Value)
		for i, q := range joint.Q {
			if !(math.Abs(q-separate.Q[i]) <= 1e-8) { // values on the lattice are told apart by 1e−9
				t.Fatalf("Q[%d]: %v on the joint lattice, %v on separate ones", i, q, separate.Q[i])
			}
		}
	})
}
