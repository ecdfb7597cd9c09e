package dpo

import (
	"math"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

var tieShape = policy.Shape{Prompts: 1, Words: 3, MaxLength: 3, Order: 1}

// The three verdicts of each model add up to 1, and a tie is as likely from either
// side.
func TestVerdictsAddUp(t *testing.T) {
	const beta = 0.3
	for _, h := range []float64{-900, -4, -0.3, 0, 0.7, 12, 900} {
		for _, nu := range []float64{1.001, 2, 7} {
			win, _ := RaoKupper(h, beta, nu)
			lose, _ := RaoKupper(-h, beta, nu)
			tie, slope := RaoKupperTie(h, beta, nu)
			other, back := RaoKupperTie(-h, beta, nu)
			if sum := num.Exp(-win) + num.Exp(-lose) + num.Exp(-tie); !(math.Abs(sum-1) <= 1e-12) || !(math.Abs(tie-other) <= 1e-12*(1+tie)) || !(math.Abs(slope+back) <= 1e-15) {
				t.Errorf("Rao-Kupper at h = %v, ν = %v: %v; tie %v and %v", h, nu, sum, tie, other)
			}
			win, _ = Davidson(h, beta, nu)
			lose, _ = Davidson(-h, beta, nu)
			tie, slope = DavidsonTie(h, beta, nu)
			other, back = DavidsonTie(-h, beta, nu)
			if sum := num.Exp(-win) + num.Exp(-lose) + num.Exp(-tie); !(math.Abs(sum-1) <= 1e-12) || !(math.Abs(tie-other) <= 1e-12*(1+tie)) || !(math.Abs(slope+back) <= 1e-15) {
				t.Errorf("Davidson at h = %v, ν = %v: %v; tie %v and %v", h, nu, sum, tie, other)
			}
		}
	}
}

func TestTieSlopes(t *testing.T) {
	const beta, step = 0.7, 1e-6
	for name, f := range map[string]func(h float64) (float64, float64){
		"rao_kupper": func(h float64) (float64, float64) { return RaoKupperTie(h, beta, 1.7) },
		"davidson":   func(h float64) (float64, float64) { return DavidsonTie(h, beta, 0.4) },
	} {
		for _, h := range []float64{-5, -0.4, 0.3, 6} {
			up, _ := f(h + step)
			down, _ := f(h - step)
			if _, slope := f(h); !(math.Abs(slope-(up-down)/(2*step)) <= 1e-8) || math.Abs(slope) < 1e-6 {
				t.Errorf("%s at %v: slope %v, by differences %v", name, h, slope, (up-down)/(2*step))
			}
		}
	}
}

// Dropped ties are not there; kept ones pull the margin towards 0 and are no part
// of the accuracy.
func TestTiesInTraining(t *testing.T) {
	ref := randomPolicy(t, tieShape, 3)
	pairs := []policy.Pair{
		{Chosen: policy.Response{0}, Rejected: policy.Response{1}},
		{Chosen: policy.Response{2}, Rejected: policy.Response{0, 1}, Tied: true},
	}
	clear := New(configOf("sigmoid"), ref.Clone(), ref, pairs[:1])
	c := configOf("sigmoid")
	c.DropTies = true
	dropped := New(c, ref.Clone(), ref, pairs)
	for range 3 {
		if a, b := clear.Step(rng.New(1)), dropped.Step(rng.New(1)); a != b {
			t.Fatalf("%+v with dropped ties, %+v without ties", b, a)
		}
	}
	for _, loss := range []string{"rao_kupper", "davidson"} {
		pi := randomPolicy(t, tieShape, 4)
		far := New(configOf(loss), pi, ref, pairs[1:])
		before := math.Abs(margin(pi, ref, pairs[1]))
		s := far.Step(rng.New(1))
		if after := math.Abs(margin(pi, ref, pairs[1])); !(after < before) || s.Accuracy != 0 {
			t.Errorf("%s: a tie moved the margin from %v to %v, accuracy %v", loss, before, after, s.Accuracy)
		}
		both := New(configOf(loss), randomPolicy(t, tieShape, 4), ref, pairs).Step(rng.New(1))
		if both.Accuracy != 0 && both.Accuracy != 1 {
			t.Errorf("%s: accuracy %v of one clear pair", loss, both.Accuracy)
		}
	}
}

func margin(pi, ref *policy.Softmax, p policy.Pair) float64 {
	return pi.LogProb(p.Prompt, p.Chosen) - ref.LogProb(p.Prompt, p.Chosen) - pi.LogProb(p.Prompt, p.Rejected) + ref.LogProb(p.Prompt, p.Rejected)
}

func TestUsesTies(t *testing.T) {
	for loss, want := range map[string]bool{"sigmoid": false, "plackett_luce": false, "rao_kupper": true, "davidson": true, "rao_kupper+sft": false, "rao_kupper+davidson": true} {
		c := configOf(loss)
		if ok, why := c.UsesTies(); ok != want || (why == "") != want {
			t.Errorf("%s: %v, %q", loss, ok, why)
		}
	}
	for loss, c := range map[string]Config{"rao_kupper": {LossType: "rao_kupper", RaoKupperNu: 1}, "davidson": {LossType: "davidson"}} {
		if ok, _ := c.UsesTies(); ok {
			t.Errorf("%s without room for ties uses them", loss)
		}
	}
}

// Where raters call ties as the model says, the loss is least where the margin is
// the difference of their rewards.
func TestPopulationOptimumWithTies(t *testing.T) {
	const beta, nu = 0.4, 2.5
	type side func(h, beta, nu float64) (loss, slope float64)
	for name, model := range map[string][2]side{"rao_kupper": {RaoKupper, RaoKupperTie}, "davidson": {Davidson, DavidsonTie}} {
		clear, tie := model[0], model[1]
		for _, reward := range []float64{-2, 0, 0.7, 3} {
			h := reward / beta
			win, up := clear(h, beta, nu)
			lose, down := clear(-h, beta, nu)
			draw, pull := tie(h, beta, nu)
			if slope := float64(num.Exp(-win)*up) - float64(num.Exp(-lose)*down) + float64(num.Exp(-draw)*pull); !(math.Abs(slope) <= 1e-15) {
				t.Errorf("%s: the expected loss has slope %v at the reward difference %v", name, slope, reward)
			}
		}
	}
}
