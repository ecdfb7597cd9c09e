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
	for _, kind := range LossTypes[:3] { // the others expect ties
		tr := trainerAt(Config{LearningRate: 1e-3, BatchSize: 50, CenterRewardsCoefficient: 0.1, LossType: kind}, m, rankings)
		losses = append(losses, tr.Step(rng.New(1)).Loss)
		gradients = append(gradients, tr.grad)
	}
	for k := 1; k < len(losses); k++ {
		if !(math.Abs(losses[k]-losses[0]) <= 1e-12) {
			t.Errorf("%s: loss %v, pairwise %v", LossTypes[k], losses[k], losses[0])
		}
		for i, g := range gradients[k] {
			if !(math.Abs(g-gradients[0][i]) <= 1e-12) {
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
	if !(math.Abs(total-1) <= 1e-12) {
		t.Errorf("the orders' probabilities sum to %v", total)
	}
}

// Ziegler et al. 2019, equation 1, with the numbers put in by hand: four equal
// rewards give log 4, and the choice pulls by 1 − 1/4.
func TestPickBestByHand(t *testing.T) {
	slope := make([]float64, 4)
	if loss := PickBest(slope, make([]float64, 4), 1); !(math.Abs(loss-math.Log(4)) <= 1e-15) {
		t.Errorf("loss %v", loss)
	}
	if !(math.Abs(slope[0]+0.75) <= 1e-15) || !(math.Abs(slope[3]-0.25) <= 1e-15) {
		t.Errorf("slope %v", slope)
	}
}

// With a margin, the best must be further above the worst than above the second.
func TestMarginGrowsWithTheDistanceOfRanks(t *testing.T) {
	rankings := []policy.Ranking{{Responses: []policy.Response{{0}, {1}, {2}}}}
	c := Config{LearningRate: 0.05, BatchSize: 1, LossType: PairwiseLoss, Margin: 2}
	m := &Linear{Prompts: 1, Words: 3, Weight: []float64{1, 0.4, 0}, Bias: []float64{0}}
	want := -(num.LogSigmoid(0.6-1) + num.LogSigmoid(1-2) + num.LogSigmoid(0.4-1)) / 3
	if got := trainerAt(c, m, rankings).Step(rng.New(1)).Loss; !(math.Abs(got-want) <= 1e-15) {
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

// withTies calls comparisons of the judge's rankings ties as the loss's model has it.
func withTies(rankings []policy.Ranking, judge *Linear, c Config) []policy.Ranking {
	of := map[LossType]func(d, nu float64, tied bool) (float64, float64){RaoKupperLoss: policy.RaoKupper, DavidsonLoss: policy.Davidson}[c.LossType]
	if of == nil {
		return rankings
	}
	out, r := slices.Clone(rankings), rng.New(11, "ties")
	for i, ranking := range out {
		for _, pair := range ranking.Comparisons(nil) {
			d := judge.Score(ranking.Prompt, ranking.Responses[pair.Chosen]) - judge.Score(ranking.Prompt, ranking.Responses[pair.Rejected])
			clear, _ := of(d, c.TieNu, false)
			out[i].Tied = append(out[i].Tied, r.Float64() >= num.Exp(-clear)/num.Sigmoid(d))
		}
	}
	return out
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
		c := Config{Model: Bigrams, LossType: loss, TieNu: 1.5, LearningRate: 0.02, NumTrainEpochs: 10, BatchSize: 64}
		tr := fit(c, 1, 3, withTies(rankings, judge, c))
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

// The likelihoods of comparisons that may be ties: their verdicts add up to 1, and
// the gradient of a ranking with ties is that of its loss.
func TestLossesWithTies(t *testing.T) {
	for _, d := range []float64{-800, -3, 0, 0.4, 90} {
		for _, of := range []func(d, nu float64, tied bool) (float64, float64){policy.RaoKupper, policy.Davidson} {
			win, _ := of(d, 1.6, false)
			lose, _ := of(-d, 1.6, false)
			tie, _ := of(d, 1.6, true)
			if sum := num.Exp(-win) + num.Exp(-lose) + num.Exp(-tie); !(math.Abs(sum-1) <= 1e-12) {
				t.Errorf("at %v the verdicts have probability %v", d, sum)
			}
		}
	}
	for _, loss := range []LossType{RaoKupperLoss, DavidsonLoss, PairwiseLoss} {
		rankings := randomRankings(4, 4, 2, 3, randomModelOf(Bigrams, 2, 3, 1), 1)
		for i := range rankings {
			rankings[i].Tied = []bool{false, true, false, true, false, i == 0}
		}
		checkGradient(t, string(loss), Config{Model: BagOfWords, LossType: loss, TieNu: 1.6, DropTies: loss == PairwiseLoss, LearningRate: 1e-3, NumTrainEpochs: 1, BatchSize: 4, CenterRewardsCoefficient: 0.05}, rankings)
	}
}

// A ranking of ties alone teaches a loss that drops them nothing, and one that
// uses them that all are equal.
func TestRankingOfTies(t *testing.T) {
	tied := []policy.Ranking{{Responses: []policy.Response{{0}, {1}}, Tied: []bool{true}}}
	m := &Linear{Prompts: 1, Words: 2, Weight: []float64{2, -1}, Bias: []float64{0}}
	dropped := trainerAt(Config{LearningRate: 0.1, BatchSize: 1, LossType: PairwiseLoss, DropTies: true}, m, tied)
	if s := dropped.Step(rng.New(1)); s.Loss != 0 || s.GradNorm != 0 || s.Accuracy != 0.5 {
		t.Errorf("dropped: %+v", s)
	}
	for _, loss := range []LossType{RaoKupperLoss, DavidsonLoss} {
		tr := trainerAt(Config{LearningRate: 0.1, BatchSize: 1, LossType: loss, TieNu: 2}, m, tied)
		if tr.Step(rng.New(1)); !(linear(tr).Weight[0] < 2 && linear(tr).Weight[1] > -1) {
			t.Errorf("%s: a tie moved the weights to %v", loss, linear(tr).Weight)
		}
	}
	if e := Evaluate(m, tied); e.N != 0 {
		t.Errorf("a tie was evaluated: %+v", e)
	}
}
