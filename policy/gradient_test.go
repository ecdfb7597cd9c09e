package policy

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The exact gradient against central differences of the exact objective.
func TestExactGradientAgainstFiniteDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		counts := NewCountReward(w.Shape, w.counts)
		o := Objective{Ref: &w.ref.Chain, Additive: w.reward, Counts: counts, Beta: rapid.Float64Range(0, 2).Draw(t, "beta")}
		j := func(p *Softmax) float64 {
			x := e.Expect(&p.Chain, &w.ref.Chain, w.reward)
			return x.Reward + e.ExpectCounts(&p.Chain, counts) - o.Beta*x.KL
		}
		g := e.NewGradient()
		e.Gradient(g, &w.pi.Chain, o)
		near(t, "J", g.Value, j(w.pi))
		grad := make([]float64, w.Cells())
		g.LogProbs(grad, &w.pi.Chain, o)
		w.pi.LogitGradient(grad)
		z := append([]float64(nil), w.pi.Logits...)
		q := w.pi.Clone()
		for range 12 {
			i := rapid.IntRange(0, len(z)-1).Draw(t, "entry")
			const h = 1e-5
			at := z[i]
			z[i] = at + h
			_ = q.SetLogits(z)
			up := j(q)
			z[i] = at - h
			_ = q.SetLogits(z)
			d := (up - j(q)) / (2 * h)
			z[i] = at
			if !(math.Abs(grad[i]-d) <= 1e-7) {
				t.Fatalf("∂J/∂z[%d] = %v, by differences %v", i, grad[i], d)
			}
		}
	})
}

// With the whole prefix as context the class holds every policy, so its
// optimum is π* itself.
func TestInClassOptimumOfTheFullClassIsTheOptimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		beta := rapid.Float64Range(0.1, 3).Draw(t, "beta")
		e := NewEvaluator(w.Shape, w.weights)
		in := e.NewInClass(w.pi, Objective{Ref: &w.ref.Chain, Additive: w.reward, Beta: beta})
		o, err := e.NewOptimum(&w.ref.Chain, w.reward, beta)
		if err != nil {
			t.Fatal(err)
		}
		if in.Value > o.Value+1e-9 {
			t.Fatalf("J in class %v is above J* %v", in.Value, o.Value)
		}
		stationary(t, in)
		if w.Order >= w.MaxLength-1 && !(math.Abs(in.Value-o.Value) <= 1e-8) {
			t.Fatalf("J in class %v, J* %v", in.Value, o.Value)
		}
	})
}

// stationary wants a natural gradient below 1e-8. About one random world in a
// hundred thousand is so flat that the steps run out just above it.
func stationary(t *rapid.T, in InClass) {
	limit := 1e-8
	if in.Steps == inClassSteps {
		limit = 1e-7
	}
	if in.GradientNorm > limit {
		t.Fatalf("no stationary point: natural gradient %v after %d steps", in.GradientNorm, in.Steps)
	}
}

func TestInClassOptimumOfCountsIsStationary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		o := Objective{Ref: &w.ref.Chain, Counts: NewCountReward(w.Shape, w.counts), Beta: rapid.Float64Range(0.1, 3).Draw(t, "beta")}
		in := e.NewInClass(w.ref, o)
		g := e.NewGradient()
		e.Gradient(g, &w.ref.Chain, o)
		if in.Value < g.Value-1e-12 {
			t.Fatalf("J %v → %v", g.Value, in.Value)
		}
		stationary(t, in)
	})
}

func BenchmarkGradient(b *testing.B) {
	e, pi, ref, additive, gold := benchmarkWorld(b)
	g := e.NewGradient()
	b.Run("proxy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Gradient(g, &pi.Chain, Objective{Ref: &ref.Chain, Additive: additive, Beta: 0.5})
		}
	})
	b.Run("gold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Gradient(g, &pi.Chain, Objective{Ref: &ref.Chain, Counts: gold, Beta: 0.5})
		}
	})
}
