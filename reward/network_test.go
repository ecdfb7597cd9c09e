package reward

import (
	"math"
	"testing"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// forwardByHand is r(x,y) as the definition has it.
func forwardByHand(m *Network, x policy.Prompt, y policy.Response) float64 {
	r := m.OutputBias[0]
	for j := range m.OutputWeight {
		a := m.HiddenBias[j]
		for k, c := range m.Counts {
			most := len(c.Worth) - 1
			a += m.HiddenWeight[j*len(m.Counts)+k] * math.Min(float64(c.Of(x, y, m.Words)), float64(most)) / float64(most)
		}
		r += m.OutputWeight[j] * math.Tanh(a)
	}
	return r
}

func TestNetworkScore(t *testing.T) {
	v := view(2, 4)
	m := NewNetwork(v, 6, rng.New(3))
	for _, y := range []policy.Response{nil, {0}, {1, 1, 1, 1, 1}, {0, 2, 0, 2, 3, 3}, {3, 2, 1, 0}} {
		for x := range policy.Prompt(2) {
			n := make([]int, len(v.Counts))
			for k, c := range v.Counts {
				n[k] = c.Of(x, y, 4)
			}
			want := forwardByHand(m, x, y)
			if got := m.Score(x, y); !(math.Abs(got-want) <= 1e-14) {
				t.Errorf("score of %v at %d is %v, want %v", y, x, got, want)
			}
			if m.ScoreCounts(n) != m.Score(x, y) {
				t.Errorf("%v: by its counts %v, by its words %v", y, m.ScoreCounts(n), m.Score(x, y))
			}
		}
	}
	before := m.Score(0, policy.Response{1, 2})
	if m.Lower(0.25); !(math.Abs(m.Score(0, policy.Response{1, 2})-before+0.25) <= 1e-15) {
		t.Error("Lower did not lower the score by 0.25")
	}
}

// One word of a kind is good and two are bad: no bag of words can say so.
func TestNetworkLearnsWhatNoBagOfWordsCan(t *testing.T) {
	gold := func(y policy.Response) float64 {
		return []float64{0, 2, -2}[min(2, view(1, 3).Counts[0].Of(0, y, 3))]
	}
	r := rng.New(5, "rankings")
	sample := func(n int) []policy.Ranking {
		var out []policy.Ranking
		for len(out) < n {
			var a, b policy.Response
			for range 1 + r.IntN(3) {
				a = append(a, policy.Token(r.IntN(3)))
			}
			for range 1 + r.IntN(3) {
				b = append(b, policy.Token(r.IntN(3)))
			}
			if gold(a) < gold(b) {
				a, b = b, a
			}
			if gold(a) > gold(b) {
				out = append(out, policy.Ranking{Responses: []policy.Response{a, b}})
			}
		}
		return out
	}
	train, held := sample(600), sample(1000)
	accuracy := map[Kind]float64{}
	for _, kind := range Kinds {
		c := Default()
		c.Model = kind
		tr, batches := fit(c, 1, 3, train), rng.New(1, "batches")
		for range tr.Steps() {
			tr.Step(batches)
		}
		accuracy[kind] = Evaluate(tr.Model(), held).Accuracy
	}
	if accuracy[MLP] < 0.98 || accuracy[BagOfWords] > 0.9 {
		t.Errorf("held-out accuracy: %v", accuracy)
	}
}

// The mean of networks is no network, but a score all the same.
func TestEnsembleOfNetworks(t *testing.T) {
	v := view(1, 3)
	e := &Ensemble{Aggregate: WorstCase}
	init := rng.New(1)
	for range 3 {
		e.Members = append(e.Members, NewNetwork(v, 4, init))
	}
	y := policy.Response{0, 1, 1}
	mean, least := 0.0, math.Inf(1)
	for _, m := range e.Members {
		mean += m.Score(0, y) / 3
		least = math.Min(least, m.Score(0, y))
	}
	if got := e.Mean().Score(0, y); !(math.Abs(got-mean) <= 1e-15) || e.Score(0, y) != least {
		t.Errorf("mean %v, want %v; worst case %v, want %v", got, mean, e.Score(0, y), least)
	}
	n := []int{1, 1, 1, 3} // the counts of y
	if e.ScoreCounts(n) != least {
		t.Errorf("by counts %v, want %v", e.ScoreCounts(n), least)
	}
}
