package reward

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

func ensembleOf(aggregate Aggregate, n int) *Ensemble {
	e := &Ensemble{Aggregate: aggregate, Lambda: 0.7}
	for i := range n {
		e.Members = append(e.Members, randomModelOf(Bigrams, 2, 3, uint64(i)))
	}
	return e
}

func TestAggregates(t *testing.T) {
	y := policy.Response{0, 0, 2, 1}
	for x := range policy.Prompt(2) {
		mean, worst, weighted := ensembleOf(MeanScore, 5), ensembleOf(WorstCase, 5), ensembleOf(UncertaintyWeighted, 5)
		sum, least, squares := 0.0, math.Inf(1), 0.0
		for _, m := range mean.Members {
			sum += m.Score(x, y) / 5
			least = min(least, m.Score(x, y))
		}
		for _, m := range mean.Members {
			squares += (m.Score(x, y) - sum) * (m.Score(x, y) - sum) / 5
		}
		for name, c := range map[string][2]float64{
			"mean": {mean.Score(x, y), sum}, "the mean model": {mean.Mean().Score(x, y), sum},
			"worst case": {worst.Score(x, y), least}, "uncertainty weighted": {weighted.Score(x, y), sum - 0.7*squares},
		} {
			if !(math.Abs(c[0]-c[1]) <= 1e-12) {
				t.Errorf("%s: %v, want %v", name, c[0], c[1])
			}
		}
	}
	if same := ensembleOf(UncertaintyWeighted, 1); !(math.Abs(same.Score(0, y)-same.Members[0].Score(0, y)) <= 1e-12) {
		t.Error("one model disagrees with itself")
	}
}

// Members are fitted to resamples: they differ, and their mean judges at least
// about as well as they do alone.
func TestEnsembleMembersDiffer(t *testing.T) {
	rankings := judged(t, 120)
	c := Default()
	c.NumEnsemble, c.NumTrainEpochs, c.BatchSize = 4, 8, 16
	e := NewEnsemble(c, view(2, 4), rankings, rng.New(1, "init"), rng.New(1, "resamples"))
	r := rng.New(2)
	var first, last Stats
	for k := range e.Steps() {
		if s := e.Step(r); k == 0 {
			first = s
		} else {
			last = s
		}
	}
	if !(last.Loss < first.Loss) {
		t.Errorf("loss %v → %v", first.Loss, last.Loss)
	}
	members := e.Members()
	for i, m := range members {
		for _, other := range members[:i] {
			if slices.Equal(m.(*Linear).Weight, other.(*Linear).Weight) {
				t.Fatal("two members are the same model")
			}
		}
	}
	held := judged(t, 400)
	alone := 0.0
	for _, m := range members {
		alone += Evaluate(m, held).Loss / float64(len(members))
	}
	if together := Evaluate(e.Model(), held).Loss; together > alone+1e-9 { // the loss is convex in the scores
		t.Errorf("the mean's loss %v is above the members' mean %v", together, alone)
	}
}

// One model is fitted as ever.
func TestEnsembleOfOneIsTheModel(t *testing.T) {
	rankings := judged(t, 40)
	c := Default()
	e, m := NewEnsemble(c, view(2, 4), rankings, rng.New(1), rng.New(1)), fit(c, 2, 4, rankings)
	a, b := rng.New(3), rng.New(3)
	for range 20 {
		e.Step(a)
		m.Step(b)
	}
	for i, w := range linear(m).Weight {
		if e.Model().(*Linear).Weight[i] != w {
			t.Fatal("an ensemble of one is another model")
		}
	}
}

// judged are rankings of four responses by a judge with a weight for each word.
func judged(t *testing.T, n int) []policy.Ranking {
	t.Helper()
	r, worth := rng.New(uint64(n), "judged"), []float64{1, -1, 0.3, 0}
	var out []policy.Ranking
	for range n {
		var all []policy.Response
		var scores []float64
		for range 4 {
			y := make(policy.Response, 1+r.IntN(3))
			score := 0.0
			for k := range y {
				y[k] = policy.Token(r.IntN(4))
				score += worth[y[k]]
			}
			at := 0
			for at < len(all) && scores[at] >= score {
				at++
			}
			all = append(all[:at:at], append([]policy.Response{y}, all[at:]...)...)
			scores = append(scores[:at:at], append([]float64{score}, scores[at:]...)...)
		}
		out = append(out, policy.Ranking{Prompt: policy.Prompt(r.IntN(2)), Responses: all})
	}
	return out
}
