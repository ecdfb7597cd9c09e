package policy

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/rng"
)

func newLowRank(t *testing.T, s Shape, rank int) *Softmax {
	t.Helper()
	p, err := NewLowRank(s, rank)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLowRankStartsUniformAndCanLearn(t *testing.T) {
	s := Shape{Prompts: 2, Words: 3, MaxLength: 3, Order: 1}
	p := newLowRank(t, s, 2)
	for _, q := range p.P {
		if !(math.Abs(q-0.25) <= 1e-15) {
			t.Fatalf("a start with a probability of %v", q)
		}
	}
	if !slices.Equal(p.params, newLowRank(t, s, 2).params) {
		t.Error("two starts differ")
	}
	trainer := NewTrainer(p, 0)
	trainer.G[0] = -1
	_, b, _ := p.factors(p.params)
	embedding := slices.Clone(b)
	trainer.Update(0.1)
	a, b, _ := p.factors(p.params)
	if slices.Max(a[:2]) == 0 || p.P[0] <= 0.25 {
		t.Error("the first step taught the hidden state nothing")
	}
	if !slices.Equal(b, embedding) {
		t.Error("with a = 0 the first gradient of b is 0")
	}
}

// All logits that a policy of rank r can have, less the bias, are a matrix of rank r.
func TestLowRankTableHasItsRank(t *testing.T) {
	s := Shape{Prompts: 3, Words: 4, MaxLength: 3, Order: 1}
	for rank := 1; rank <= 3; rank++ {
		p := newLowRank(t, s, rank)
		r := rng.New(3)
		for i := range p.params {
			p.params[i] = r.Float64() - 0.5
		}
		p.refresh()
		_, _, bias := p.factors(p.params)
		n := p.Outcomes()
		m := make([][]float64, p.Rows())
		for row := range m {
			m[row] = slices.Clone(p.Logits[row*n : (row+1)*n])
			for w := range m[row] {
				m[row][w] -= bias[w]
			}
		}
		if got := matrixRank(m); got != rank {
			t.Errorf("rank %d: the table has rank %d", rank, got)
		}
	}
}

// matrixRank is by Gaussian elimination; it destroys m.
func matrixRank(m [][]float64) (rank int) {
	for col := 0; col < len(m[0]) && rank < len(m); col++ {
		best := rank
		for row := rank; row < len(m); row++ {
			if !(math.Abs(m[row][col]) <= math.Abs(m[best][col])) {
				best = row
			}
		}
		if math.Abs(m[best][col]) < 1e-9 {
			continue
		}
		m[rank], m[best] = m[best], m[rank]
		for row := rank + 1; row < len(m); row++ {
			f := m[row][col] / m[rank][col]
			for i := range m[row] {
				m[row][i] -= f * m[rank][i]
			}
		}
		rank++
	}
	return rank
}

func TestLowRankCopies(t *testing.T) {
	s := Shape{Prompts: 2, Words: 3, MaxLength: 3, Order: 1}
	p := newLowRank(t, s, 2)
	data := []Demonstration{{0, Response{1, 2}}, {1, Response{0}}}
	cfg := FitConfig{LearningRate: 0.1, NumTrainEpochs: 1, BatchSize: 2}
	for range 3 {
		NewFit(cfg, p, data).Step(rng.New(1))
	}
	if err := p.SetLogits(make([]float64, s.Cells())); err == nil {
		t.Error("a table was given to a low_rank policy")
	}
	q, free := p.Clone(), p.Free()
	before := slices.Clone(p.Logits)
	if !slices.Equal(q.LogP, p.LogP) || !slices.Equal(free.LogP, p.LogP) {
		t.Fatal("a copy is another policy")
	}
	NewFit(cfg, q, data).Step(rng.New(1))
	if err := free.SetLogits(make([]float64, s.Cells())); err != nil {
		t.Error(err)
	}
	if !slices.Equal(p.Logits, before) || slices.Equal(q.Logits, before) {
		t.Error("a copy shares its parameters, or cannot learn")
	}
}

// Likelihood displacement: preferring one of two responses can lower the
// probability of both, where their embeddings are alike (Razin et al. 2024,
// theorem 1). A free table cannot do so in one step of gradient descent.
func TestLikelihoodDisplacementNeedsSharedEmbeddings(t *testing.T) {
	s := Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1}
	// Both words lie in the same direction, the rejected one further out.
	p := newLowRank(t, s, 1)
	_, b, _ := p.factors(p.params)
	copy(b, []float64{1, 2, -1, -1}) // chosen 0, rejected 1, others 2 and EOS
	p.refresh()
	free := p.Free()
	chosen := p.Row(0, 0, p.start)
	grow := func(p *Softmax) float64 {
		before := p.P[chosen]
		g := make([]float64, len(p.P))
		g[chosen], g[chosen+1] = -1, 1 // descend −(log π(w) − log π(l))
		p.LogitGradient(g)
		for i, d := range p.pull(make([]float64, len(p.params)), g) {
			if i < p.Rows()*p.rank || p.kind == Table { // the hidden state alone
				p.params[i] -= 0.2 * d
			}
		}
		p.refresh()
		return p.P[chosen] - before
	}
	if d := grow(p); d >= 0 {
		t.Errorf("low_rank: the chosen response gained %v", d)
	}
	if d := grow(free); d <= 0 {
		t.Errorf("table: the chosen response gained %v", d)
	}
}

func TestLowRankRefusesImpossibleRanks(t *testing.T) {
	s := Shape{Prompts: 1, Words: 2, MaxLength: 2, Order: 1}
	for _, rank := range []int{0, -1, 1 << 40} {
		if _, err := NewLowRank(s, rank); err == nil {
			t.Errorf("rank %d was accepted", rank)
		}
	}
	if _, err := NewSoftmax(s, LowRank); err == nil {
		t.Error("low_rank without a rank was accepted")
	}
}
