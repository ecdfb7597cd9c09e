package dpo

import (
	"errors"
	"math"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// worldOfTwo has two prompts, three words and responses of up to two words: 13
// responses, of which every pair can be listed.
func worldOfTwo(t *testing.T) (pi, ref *policy.Softmax, p *Population, value func(policy.Prompt, policy.Response) float64) {
	t.Helper()
	s := policy.Shape{Prompts: 2, Words: 3, MaxLength: 2, Order: 1}
	r := rng.New(7, "population")
	draw := func() *policy.Softmax {
		q, err := policy.NewSoftmax(s, policy.Table)
		if err != nil {
			t.Fatal(err)
		}
		z := make([]float64, s.Cells())
		for i := range z {
			z[i] = 3 * (r.Float64() - 0.5)
		}
		if err := q.SetLogits(z); err != nil {
			t.Fatal(err)
		}
		return q
	}
	pi, ref = draw(), draw()
	worth := []float64{0.7, -0.4, 0.2}
	value = func(x policy.Prompt, y policy.Response) float64 {
		v := 0.3 * float64(x)
		for _, w := range y {
			v += worth[w]
		}
		return v
	}
	p, err := NewPopulation(Population{Ref: &ref.Chain, Writer: &ref.Chain, Weights: []float64{0.3, 0.7},
		Prefers: func(x policy.Prompt, a, b policy.Response) float64 { return num.Sigmoid(value(x, a) - value(x, b)) }}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return pi, ref, p, value
}

func TestPopulationLossAgreesWithASample(t *testing.T) {
	pi, ref, p, value := worldOfTwo(t)
	g := make([]float64, len(pi.LogP))
	exact := p.Loss(g, &pi.Chain, 0.5, 0.1)
	r := rng.New(1, "pairs")
	var pairs []policy.Pair
	for len(pairs) < 200_000 {
		x := policy.Prompt(r.Categorical(p.Weights))
		a, b := ref.Sample(nil, x, r), ref.Sample(nil, x, r)
		if len(a) == len(b) && (len(a) == 0 || a[0] == b[0] && a[len(a)-1] == b[len(b)-1]) {
			continue // the same response carries no information
		}
		if r.Float64() >= num.Sigmoid(value(x, a)-value(x, b)) {
			a, b = b, a
		}
		pairs = append(pairs, policy.Pair{Prompt: x, Chosen: a, Rejected: b})
	}
	sampled := make([]float64, len(g))
	loss := DataGradient(sampled, &pi.Chain, &ref.Chain, pairs, 0.5, 0.1)
	if !(math.Abs(loss-exact) <= 4e-3) {
		t.Errorf("loss %v exactly, %v from %d pairs", exact, loss, len(pairs))
	}
	diff := 0.0
	for i := range g {
		diff = max(diff, math.Abs(g[i]-sampled[i]))
	}
	if diff > 4e-3 {
		t.Errorf("the gradients differ by %v", diff)
	}
}

func TestPopulationGradientAgainstDifferences(t *testing.T) {
	pi, _, p, _ := worldOfTwo(t)
	g := make([]float64, len(pi.LogP))
	p.Loss(g, &pi.Chain, 0.5, 0.1)
	pi.LogitGradient(g)
	const h = 1e-5
	scratch := make([]float64, len(g))
	for i := range g {
		at := func(d float64) float64 {
			q := pi.Clone()
			z := append([]float64(nil), q.Logits...)
			z[i] += d
			if err := q.SetLogits(z); err != nil {
				t.Fatal(err)
			}
			return p.Loss(scratch, &q.Chain, 0.5, 0.1)
		}
		if slope := (at(h) - at(-h)) / (2 * h); !(math.Abs(slope-g[i]) <= 1e-9) {
			t.Fatalf("∂L/∂z[%d] = %v, by differences %v", i, g[i], slope)
		}
	}
}

// DPO's optimum is the KL-regularised optimum of the raters' own reward
// (Rafailov et al. 2023, section 4): its population gradient vanishes there. The
// reward is a sum over words, so the optimum needs rows of its own for each
// position; at one word it is a table.
func TestPopulationGradientVanishesAtTheOptimum(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1}
	ref, err := policy.NewSoftmax(s, policy.Table)
	if err != nil {
		t.Fatal(err)
	}
	z := make([]float64, s.Cells())
	for i := range z {
		z[i] = math.Sin(float64(i))
	}
	if err := ref.SetLogits(z); err != nil {
		t.Fatal(err)
	}
	reward := []float64{0.7, -0.4, 0.2, 0} // of the three words and of silence
	value := func(y policy.Response) float64 {
		if len(y) == 0 {
			return reward[3]
		}
		return reward[y[0]]
	}
	p, err := NewPopulation(Population{Ref: &ref.Chain, Writer: &ref.Chain, Weights: []float64{1},
		Prefers: func(_ policy.Prompt, a, b policy.Response) float64 { return num.Sigmoid(value(a) - value(b)) }}, 100)
	if err != nil {
		t.Fatal(err)
	}
	const beta = 0.3
	best := ref.Clone()
	for i := range z {
		z[i] += reward[i%4] / beta
	}
	if err := best.SetLogits(z); err != nil {
		t.Fatal(err)
	}
	g := make([]float64, len(z))
	for _, c := range []struct {
		name string
		pi   *policy.Softmax
		zero bool
	}{{"π*", best, true}, {"π_ref", ref, false}} {
		p.Loss(g, &c.pi.Chain, beta, 0)
		c.pi.LogitGradient(g)
		norm := math.Sqrt(num.Dot(g, g))
		if (norm < 1e-15) != c.zero {
			t.Errorf("gradient norm at %s is %v", c.name, norm)
		}
	}
}

func TestPopulationRefusesAWorldThatIsTooLarge(t *testing.T) {
	_, ref, _, _ := worldOfTwo(t)
	if _, err := NewPopulation(Population{Ref: &ref.Chain}, 12); !errors.Is(err, policy.ErrTooLarge) {
		t.Fatalf("13 responses within 12: %v", err)
	}
}
