package policy

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestLogLikelihoodAgreesWithEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTiny(t)
		e := NewEvaluator(w.Shape, w.weights)
		o, err := e.NewOptimum(&w.ref.Chain, w.reward, 0.7) // with rows of its own for each position
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []*Chain{&w.ref.Chain, &o.Chain} {
			g := make([]float64, w.Cells())
			got := e.LogLikelihood(g, &w.pi.Chain, q)
			near(t, "E log π", got, w.mean(q, func(x Prompt, y Response, _ float64) float64 { return w.pi.LogProb(x, y) }))
			// Against central differences along one logit.
			i := rapid.IntRange(0, w.Cells()-1).Draw(t, "logit")
			w.pi.LogitGradient(g)
			const h = 1e-5
			at := func(d float64) float64 {
				p := w.pi.Clone()
				z := append([]float64(nil), p.Logits...)
				z[i] += d
				_ = p.SetLogits(z)
				return e.LogLikelihood(make([]float64, w.Cells()), &p.Chain, q)
			}
			if slope := (at(h) - at(-h)) / (2 * h); !(math.Abs(slope-g[i]) <= 1e-8*max(1, math.Abs(slope))) {
				t.Fatalf("∂/∂z[%d] = %v, by differences %v", i, g[i], slope)
			}
		}
	})
}

func TestResponsesListsEachOnce(t *testing.T) {
	s := Shape{Prompts: 1, Words: 3, MaxLength: 4, Order: 1}
	all, err := s.Responses(1000)
	if err != nil || len(all) != 1+3+9+27+81 {
		t.Fatalf("%d responses, %v", len(all), err)
	}
	seen := map[string]bool{}
	for _, y := range all {
		key := ""
		for _, w := range y {
			key += string(rune('a' + w))
		}
		if seen[key] {
			t.Fatalf("%v twice", y)
		}
		seen[key] = true
	}
	if _, err := s.Responses(120); !errors.Is(err, ErrTooLarge) {
		t.Errorf("121 responses within 120: %v", err)
	}
	if _, err := s.Responses(121); err != nil {
		t.Error(err)
	}
}
