package reward

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Of two responses there is one comparison and one choice: all losses agree.
func TestLossesOfTwoResponsesAreOne(t *testing.T) {
	m := randomModel(1, 3, 3)
	rankings := randomRankings(50, 2, 1, 3, m, 3)
	var losses []float64
	var gradients [][]float64
	for _, kind := range LossTypes {
		tr := trainerAt(Config{LearningRate: 1e-3, BatchSize: 50, CenterRewardsCoefficient: 0.1, LossType: kind}, m, rankings)
		losses = append(losses, tr.Step(rng.New(1)).Loss)
		gradients = append(gradients, tr.grad)
	}
	for k := 1; k < len(losses); k++ {
		if math.Abs(losses[k]-losses[0]) > 1e-12 {
			t.Errorf("%s: loss %v, pairwise %v", LossTypes[k], losses[k], losses[0])
		}
		for i, g := range gradients[k] {
			if math.Abs(g-gradients[0][i]) > 1e-12 {
				t.Errorf("%s: gradient %v, pairwise %v", LossTypes[k], g, gradients[0][i])
			}
		}
	}
}

// The probabilities of all orders of the same responses sum to 1.
func TestPlackettLuceIsADistribution(t *testing.T) {
	rewards := []float64{0.3, -1.2, 2, 0.7}
	total := 0.0
	var visit func(order []float64, left []float64)
	visit = func(order, left []float64) {
		if len(left) == 0 {
			total += num.Exp(-3 * PlackettLuce(make([]float64, 4), order, 1)) // 3 choices
		}
		for i, r := range left {
			visit(append(slices.Clone(order), r), slices.Delete(slices.Clone(left), i, i+1))
		}
	}
	visit(nil, rewards)
	if math.Abs(total-1) > 1e-12 {
		t.Errorf("the orders' probabilities sum to %v", total)
	}
}

// Ziegler et al. 2019, equation 1, with the numbers put in by hand: four equal
// rewards give log 4, and the choice pulls by 1 − 1/4.
func TestPickBestByHand(t *testing.T) {
	slope := make([]float64, 4)
	if loss := PickBest(slope, make([]float64, 4), 1); math.Abs(loss-math.Log(4)) > 1e-15 {
		t.Errorf("loss %v", loss)
	}
	if math.Abs(slope[0]+0.75) > 1e-15 || math.Abs(slope[3]-0.25) > 1e-15 {
		t.Errorf("slope %v", slope)
	}
}

// With a margin, the best must be further above the worst than above the second.
func TestMarginGrowsWithTheDistanceOfRanks(t *testing.T) {
	rankings := []policy.Ranking{{Responses: []policy.Response{{0}, {1}, {2}}}}
	c := Config{LearningRate: 0.05, BatchSize: 1, LossType: PairwiseLoss, Margin: 2}
	m := &Linear{Prompts: 1, Words: 3, Weight: []float64{1, 0.4, 0}, Bias: []float64{0}}
	want := -(num.LogSigmoid(0.6-1) + num.LogSigmoid(1-2) + num.LogSigmoid(0.4-1)) / 3
	if got := trainerAt(c, m, rankings).Step(rng.New(1)).Loss; math.Abs(got-want) > 1e-15 {
		t.Errorf("loss %v, want %v", got, want)
	}
}

func TestToldOrder(t *testing.T) {
	r := policy.Ranking{Responses: make([]policy.Response, 3)}
	for _, c := range []struct {
		reversed []bool // of (0,1), (0,2), (1,2)
		want     []int
	}{
		{nil, []int{0, 1, 2}},
		{[]bool{true, false, false}, []int{1, 0, 2}},
		{[]bool{true, true, true}, []int{2, 1, 0}},
		{[]bool{false, true, false}, []int{0, 1, 2}}, // a cycle: as ranked
	} {
		r.Reversed = c.reversed
		if got := told(3, r.Comparisons(nil)); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.reversed, got, c.want)
		}
	}
}

// Fitted to rankings that a judge made by Plackett-Luce, every loss finds the judge.
func TestEveryLossRecoversTheJudge(t *testing.T) {
	judge := randomModelOf(Bigrams, 1, 3, 4)
	rankings := randomRankings(6000, 4, 1, 3, judge, 4)
	for i := range rankings {
		clear(rankings[i].Reversed)
	}
	fresh := rng.New(9)
	for _, loss := range LossTypes {
		tr := fit(Config{Model: Bigrams, LossType: loss, LearningRate: 0.02, NumTrainEpochs: 10, BatchSize: 64}, 1, 3, rankings)
		r := rng.New(5)
		for range tr.Steps() {
			tr.Step(r)
		}
		off := 0.0
		for range 200 {
			y, z := policy.Response{policy.Token(fresh.IntN(3)), policy.Token(fresh.IntN(3))}, policy.Response{policy.Token(fresh.IntN(3))}
			d := tr.Model().Score(0, y) - tr.Model().Score(0, z) - judge.Score(0, y) + judge.Score(0, z)
			off += d * d / 200
		}
		if off > 0.02 {
			t.Errorf("%s: differences off by %v (mean square)", loss, off)
		}
	}
}
