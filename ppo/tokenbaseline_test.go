package ppo

import (
	"math"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/policy"
)

// tokenBaselineByDefinition takes the optimal token baseline off the rewards to go, with
// the squared lengths of the scores from the scores themselves.
func tokenBaselineByDefinition(tr *GroupTrainer, returns []float64) []float64 {
	b, pi := tr.rollout, tr.policy.Policy
	n := pi.Outcomes()
	energy := func(e, t int) (sum float64) { // of response e up to its token t
		for j := b.start[e]; j <= b.start[e]+int32(t); j++ {
			for v := range n {
				score := -pi.P[int(b.row[j])*n+v]
				if int(b.index[j]) == int(b.row[j])*n+v {
					score++
				}
				sum += score * score
			}
		}
		return sum
	}
	out := make([]float64, len(returns))
	for e := range b.prompt {
		first := e / tr.cfg.NumGenerations * tr.cfg.NumGenerations
		for t := range int(b.start[e+1] - b.start[e]) {
			there, top, bottom := 0, 0.0, 0.0
			for k := first; k < first+tr.cfg.NumGenerations; k++ {
				if t < int(b.start[k+1]-b.start[k]) {
					there++
					top += energy(k, t) * returns[int(b.start[k])+t]
					bottom += energy(k, t)
				}
			}
			base := top / (bottom + 1e-8)
			if there == 1 {
				base = 0
			}
			out[int(b.start[e])+t] = returns[int(b.start[e])+t] - base
		}
	}
	return out
}

// By hand: three responses of 3, 1 and 2 tokens. At the last token of the first nobody
// else speaks.
func TestOptimalToken(t *testing.T) {
	g := []float64{4, 2, 1, 8, -1, 5}
	optimalToken(g, []float64{1, 2, 3, 2, 1, 2}, []int32{0, 3, 4, 6})
	b0, b1 := (1*4+2*8+1*-1)/4., (2*2+2*5)/4.
	for i, want := range []float64{4 - b0, 2 - b1, 1, 8 - b0, -1 - b0, 5 - b1} {
		near(t, "Â", g[i], want, 1e-7)
	}
	alone := []float64{3, 2}
	if optimalToken(alone, []float64{1, 1}, []int32{0, 2}); alone[0] != 3 || alone[1] != 2 {
		t.Errorf("alone: %v", alone)
	}
	certain := []float64{3, 2} // W = 0: nothing to learn, nothing to take off
	if optimalToken(certain, []float64{0, 0}, []int32{0, 1, 2}); certain[0] != 3 || certain[1] != 2 {
		t.Errorf("certain: %v", certain)
	}
}

// In a table the energy of a response's first token is the squared length of the gradient
// of its log-probability.
func TestEnergyIsASquaredGradient(t *testing.T) {
	one := policy.Shape{Prompts: 2, Words: 3, MaxLength: 1, Order: 1}
	tr := tinyGroup(t, one, "otb", 2, words{1, 0, -1}, nil)
	put(tr, 1, policy.Response{2}, nil)
	var s GroupStats
	tr.advantages(&s)
	pi := tr.policy.Policy
	for e, y := range []policy.Response{{2}, nil} {
		want := 0.0
		for _, slope := range slopes(t, pi, 1e-5, func() float64 { return pi.LogProb(1, y) }) {
			want += slope * slope
		}
		near(t, "energy", tr.energy[e], want, 1e-8)
	}
}

// What is done to R − b has to know b.
func TestTokenBaselineIsTakenOffLast(t *testing.T) {
	for name, change := range map[string]func(c *GroupConfig){
		"cliprange_advantage":  func(c *GroupConfig) { c.CliprangeAdvantage = 1 },
		"normalize_advantages": func(c *GroupConfig) { c.NormalizeAdvantages = true },
		"num_generations":      func(c *GroupConfig) { c.NumGenerations = 1 },
		"":                     func(c *GroupConfig) { c.WhitenAdvantages = true },
	} {
		c := smallGroup(func(c *GroupConfig) { c.Advantage, c.ScaleRewards = "optimal_token", "none" })
		change(&c)
		problems := field.All(c.Validate())
		if name == "" && len(problems) != 0 || name != "" && (len(problems) != 1 || problems[0].Field != name) {
			t.Errorf("%s: %v", name, problems)
		}
	}
	if math.Abs(energy(1, 1)) != 0 || energy(0.5, 0.5) != 0.5 {
		t.Error("energy")
	}
}
