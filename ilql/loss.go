package ilql

import (
	"math"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// token is one decision of the data: the entry (s, a) of a table, the rows of s and of
// s′, and r.
type token struct {
	cell, row, next int32 // next −1 after the last token
	reward          float64
}

// head is a Q function with its target.
type head struct {
	q, target []float64 // [rows][outcomes]
	p, logp   []float64 // softmax of q
	g         []float64 // ∂L/∂Q
	adam      *policy.Adam
}

// values are the heads and V.
type values struct {
	outcomes int
	heads    []head
	v, gv    []float64 // [rows]
	adam     *policy.Adam
	visits   []float64 // tokens of the batch in each row

	seenV, seenWeight []float64 // of each token of the batch
	seenQ             [2][]float64
}

// newValues are some heads and V, all 0; size is that of the largest batch.
func newValues(heads, rows, outcomes, size int) *values {
	v := &values{outcomes: outcomes, v: make([]float64, rows), gv: make([]float64, rows), adam: policy.NewAdam(rows), visits: make([]float64, rows),
		seenV: make([]float64, 0, size), seenWeight: make([]float64, 0, size)}
	for i := range heads {
		v.seenQ[i] = make([]float64, 0, size)
		n := rows * outcomes
		v.heads = append(v.heads, head{q: make([]float64, n), target: make([]float64, n), p: make([]float64, n), logp: make([]float64, n), g: make([]float64, n), adam: policy.NewAdam(n)})
	}
	return v
}

// randomise draws the heads' entries evenly from ± limit; targets begin as copies.
func (t *values) randomise(limit float64, r *rng.Stream) {
	for _, h := range t.heads {
		for i := range h.q {
			h.q[i] = float64(limit * (2*r.Float64() - 1))
		}
		copy(h.target, h.q)
	}
}

// loss is L on a batch. It adds the gradients to the heads' g, to gv and to g, which is
// ∂L/∂log π_β:
//
//	∂L/∂Q_i(s,·) = 2 (Q_i(s,a) − r − γ V(s′)) 1_a + c (softmax(Q_i(s,·)) − 1_a)
//	∂L/∂V(s)     = −2 |τ − 1[u < 0]| u
//	∂L/∂log π_β  = −a exp(β u) 1_a
func (t *values) loss(batch []token, logp, g []float64, c *Config) (s Stats) {
	each := 1 / float64(max(1, len(batch)))
	t.begin()
	for _, d := range batch {
		v, target := t.v[d.row], d.reward
		if d.next >= 0 {
			target += float64(c.Gamma * t.v[d.next])
		}
		t.visits[d.row]++
		for i := range t.heads {
			h := &t.heads[i]
			miss := h.q[d.cell] - target
			s.LossQ += float64(each * float64(miss*miss))
			s.LossCQL -= float64(each * h.logp[d.cell])
			h.g[d.cell] += float64(each * (2*miss - c.CQLScale))
			t.seenQ[i] = append(t.seenQ[i], h.q[d.cell])
		}
		u := t.pessimistic(d.cell) - v
		tau := c.Tau
		if u < 0 {
			tau = 1 - c.Tau
		}
		s.LossV += float64(each * float64(tau*float64(u*u)))
		t.gv[d.row] -= float64(each * float64(2*tau*u))

		weight := num.Exp(float64(c.AWACBeta * u))
		s.LossAWAC -= float64(each * float64(weight*logp[d.cell]))
		g[d.cell] -= float64(c.AWACScale * float64(each*weight))
		t.seenV, t.seenWeight = append(t.seenV, v), append(t.seenWeight, weight)
	}
	t.addSoftmax(float64(c.CQLScale * each))
	s.Loss = s.LossQ + s.LossV + float64(c.CQLScale*s.LossCQL) + float64(c.AWACScale*s.LossAWAC)
	t.summarise(&s)
	return s
}

// begin takes the heads' softmax and forgets the last batch.
func (t *values) begin() {
	for i := range t.heads {
		h := &t.heads[i]
		num.SoftmaxRows(h.p, h.logp, h.q, t.outcomes)
		t.seenQ[i] = t.seenQ[i][:0]
	}
	clear(t.visits)
	t.seenV, t.seenWeight = t.seenV[:0], t.seenWeight[:0]
}

// addSoftmax adds what all tokens of a row share of the CQL gradient.
func (t *values) addSoftmax(scale float64) {
	for row, visits := range t.visits {
		if visits == 0 {
			continue
		}
		at := row * t.outcomes
		for i := range t.heads {
			h := &t.heads[i]
			num.Axpy(h.g[at:at+t.outcomes], float64(scale*visits), h.p[at:at+t.outcomes])
		}
	}
}

// pessimistic is min_i Q̂_i of an entry.
func (t *values) pessimistic(cell int32) float64 {
	low := t.heads[0].target[cell]
	for _, h := range t.heads[1:] {
		low = min(low, h.target[cell])
	}
	return low
}

// update takes a step of Adam on the heads and V, and clears the gradients.
func (t *values) update(learningRate float64) {
	for i := range t.heads {
		h := &t.heads[i]
		h.adam.Step(h.q, h.g, learningRate)
		clear(h.g)
	}
	t.adam.Step(t.v, t.gv, learningRate)
	clear(t.gv)
}

// sync moves the targets, Q̂ ← α Q + (1 − α) Q̂ (Polyak).
func (t *values) sync(alpha float64) {
	for _, h := range t.heads {
		for i, q := range h.q {
			h.target[i] = float64(alpha*q) + float64((1-alpha)*h.target[i])
		}
	}
}

func (t *values) summarise(s *Stats) {
	s.Values, s.AWACWeight, s.twoQs = summary(t.seenV), summary(t.seenWeight), len(t.heads) > 1
	for i := range t.heads {
		s.QValues[i] = summary(t.seenQ[i])
	}
}

func summary(xs []float64) Summary {
	s := Summary{Min: math.Inf(1), Max: math.Inf(-1)}
	n := float64(len(xs))
	for _, x := range xs {
		s.Mean += x
		s.Min, s.Max = min(s.Min, x), max(s.Max, x)
	}
	s.Mean /= n
	for _, x := range xs {
		s.Std += float64((x-s.Mean)*(x-s.Mean)) / n
	}
	s.Std = math.Sqrt(s.Std)
	return s
}
