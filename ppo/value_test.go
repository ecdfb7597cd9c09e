package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Every prefix of every response with the probability that the reference says it: what
// the value head starts from is their mean score in each state, to the error of the
// sample, and exactly where one prefix alone leads there.
func TestValueStartsFromTheReward(t *testing.T) {
	ref := randomPolicy(t, small, 3)
	z := slices.Clone(ref.Logits)
	for i := range z { // the last word is never said to prompt 1
		if i >= len(z)/2 && i%small.Outcomes() == 2 {
			z[i] = -80
		}
	}
	if err := ref.SetLogits(z); err != nil {
		t.Fatal(err)
	}
	mass, sum, squares := make([]float64, small.MaxLength*small.Rows()), make([]float64, small.MaxLength*small.Rows()), make([]float64, small.MaxLength*small.Rows())
	prefixes, all := make([]int, len(mass)), [2][2]float64{}
	var walk func(x policy.Prompt, y policy.Response, context int, p float64)
	walk = func(x policy.Prompt, y policy.Response, context int, p float64) {
		if len(y) == small.MaxLength {
			return
		}
		row := ref.Row(len(y), x, context)
		state, score := len(y)*small.Rows()+row/small.Outcomes(), byPrompt{}.Score(x, y)
		mass[state] += p
		sum[state] += p * score
		squares[state] += p * score * score
		prefixes[state]++
		all[x][0] += p
		all[x][1] += p * score
		for w := range policy.Token(small.Words) {
			walk(x, append(slices.Clone(y), w), ref.Next(context, w), p*ref.P[row+int(w)])
		}
	}
	for x := range policy.Prompt(2) {
		walk(x, nil, ref.Start(), 1)
	}

	c := smallConfig()
	c.InitValueWithReward = true
	tr := New(c, ref.Clone(), ref, byPrompt{}, half)
	tr.InitValueWithReward(rng.New(1))
	exact, sampled, never := 0, 0, 0
	for i, v := range tr.value.v {
		x := i % small.Rows() / small.Contexts()
		switch {
		case mass[i] < 1e-20:
			never++
			near(t, "V where the reference never comes", v, all[x][1]/all[x][0], 0.05)
		case prefixes[i] == 1:
			exact++
			near(t, "V after one prefix", v, sum[i]/mass[i], 1e-12)
		default:
			sampled++
			mean := sum[i] / mass[i]
			se := math.Sqrt((squares[i]/mass[i] - mean*mean) / (mass[i] * valueSamples))
			if !(math.Abs(v-mean) <= 4.5*se) {
				t.Errorf("state %d: V = %v, mean %v ± %v", i, v, mean, se)
			}
		}
	}
	if exact < 6 || sampled < 5 || never < 3 {
		t.Errorf("%d states with one prefix, %d with several, %d never reached", exact, sampled, never)
	}
}

// constantly is what every response is worth.
type constantly float64

func (c constantly) Score(policy.Prompt, policy.Response) float64 { return float64(c) }

// A reference that says EOS at once has come to the start all the same.
func TestValueOfSilence(t *testing.T) {
	ref, c := randomPolicy(t, small, 3), smallConfig()
	z := slices.Clone(ref.Logits)
	for i := small.Words; i < len(z); i += small.Outcomes() {
		z[i] = 80
	}
	if err := ref.SetLogits(z); err != nil {
		t.Fatal(err)
	}
	c.InitValueWithReward = true
	tr := New(c, ref.Clone(), ref, constantly(2), half)
	tr.InitValueWithReward(rng.New(1))
	for _, v := range tr.value.v {
		near(t, "V", v, 2, 0)
	}
}

// Nobody asked: the value head starts from 0, and no random number is drawn.
func TestValueStartsFromZero(t *testing.T) {
	ref, r := randomPolicy(t, small, 3), rng.New(1)
	tr := New(smallConfig(), ref.Clone(), ref, byPrompt{}, half)
	tr.InitValueWithReward(r)
	if num.Dot(tr.value.v, tr.value.v) != 0 || r.Uint64() != rng.New(1).Uint64() {
		t.Error("the value head did something")
	}
}
