package policy

import "rlhfsim/internal/num"

// Objective is J(π) = E_π[r] − β KL(π‖π_ref), with r the sum of an additive and
// a count-based reward; either may be nil.
type Objective struct {
	Ref      *Chain // stationary, as a Softmax is
	Additive *Additive
	Counts   *CountReward
	Beta     float64 // ≥ 0
}

// Gradient is the exact gradient of an Objective at a policy, as what leads to it:
//
//	Visits[x,c] = p(x) Σ_t d_t(c)
//	Q[x,c,w]    = p(x) Σ_t d_t(c) Q_t(c,w)
//
// with Q_t(c,w) what is expected from saying w on, this decision's own KL term
// left out. Then ∂J/∂z[x,c,w] = π (q − Σ_v π q) with q = Q − β Visits log(π/π_ref):
// the policy gradient theorem (Sutton et al. 2000, theorem 1), every expectation
// an exact sum.
type Gradient struct {
	Value  float64   // J(π)
	Visits []float64 // [prompts·contexts]
	Q      []float64 // layout of one logit table

	value, after []float64 // V_t(c) and V_{t+1}(c), [states·contexts]
	occupancy    []float64 // α_t(s,c) of every position, [max_length][states·contexts]
}

// NewGradient makes room for gradients of policies of the evaluator's shape.
func (e *Evaluator) NewGradient() *Gradient {
	return &Gradient{Visits: make([]float64, e.Rows()), Q: make([]float64, e.Cells())}
}

// Gradient fills g for a stationary policy.
func (e *Evaluator) Gradient(g *Gradient, pi *Chain, o Objective) {
	g.Value = 0
	clear(g.Visits)
	clear(g.Q)
	for x, weight := range e.weights {
		own := e.backward(g, pi, o.Ref, o.Additive, o.Beta, Prompt(x), weight, &oneState, nil, true)
		if o.Additive != nil {
			own += o.Additive.Bias[x]
		}
		if o.Counts != nil {
			for k, count := range o.Counts.counts {
				a := &oneState
				if count.Kind != CountLength {
					a = &o.Counts.machines[k][x]
				}
				own += e.backward(g, pi, nil, nil, 0, Prompt(x), weight, a, count.Worth, false)
			}
		}
		g.Value += float64(weight * own)
	}
}

// backward adds one reward's share to g.Q: either what rides on decisions (r,
// and −β log(π/π_ref)), or the worth of one count on its own automaton. It
// returns the expectation at prompt x.
//
//	Q_t(s,c,w) = r(c,w) + V_{t+1}(s·w, c·w),  Q_t(s,c,EOS) = r(c,EOS) + worth(t,s)
//	V_t(s,c)   = Σ_w π(w|c) [Q_t(s,c,w) − β log(π/π_ref)],  V_T(s,c) = worth(T,s)
func (e *Evaluator) backward(g *Gradient, pi, ref *Chain, r *Additive, beta float64, x Prompt, weight float64, a *automaton, worth []float64, visits bool) float64 {
	size := a.states * e.contexts
	e.occupancies(g, pi, x, a)
	g.value, g.after = grown(g.value, size), grown(g.after, size)
	at := func(t, s int) float64 {
		switch {
		case worth == nil:
			return 0
		case a.states == 1: // the length, which the position holds
			return worth[min(t, len(worth)-1)]
		}
		return worth[s]
	}
	for s := range a.states {
		for c := range e.contexts {
			g.after[s*e.contexts+c] = at(e.MaxLength, s)
		}
	}
	n := e.Outcomes()
	for t := e.MaxLength - 1; t >= 0; t-- {
		for s := range a.states {
			for c := range e.contexts {
				cell := (int(x)*e.contexts + c) * n
				p, logp := pi.P[cell:cell+n], pi.LogP[cell:cell+n]
				d := weight * g.occupancy[t*size+s*e.contexts+c]
				if visits {
					g.Visits[int(x)*e.contexts+c] += d
				}
				v := 0.0
				for w, q := range e.futures(g, r, a, cell, s, c, at(t, s)) {
					v += float64(p[w] * q)
					g.Q[cell+w] += float64(d * q)
				}
				if ref != nil {
					for w, l := range ref.LogP[cell : cell+n] {
						v -= float64(beta * float64(p[w]*(logp[w]-l)))
					}
				}
				g.value[s*e.contexts+c] = v
			}
		}
		g.value, g.after = g.after, g.value
	}
	return g.after[e.start]
}

// futures is Q_t(s,c,·) in the evaluator's scratch row.
func (e *Evaluator) futures(g *Gradient, r *Additive, a *automaton, cell, s, c int, end float64) []float64 {
	row, base := e.step, int(e.base[c])
	if a.next == nil {
		copy(row, g.after[base:base+e.Words])
	} else {
		for w := range e.Words {
			row[w] = g.after[int(a.next[s*e.Words+w])*e.contexts+base+w]
		}
		if w := int(e.last[c]); w >= 0 && a.again != nil {
			row[w] = g.after[int(a.again[s*e.Words+w])*e.contexts+base+w]
		}
	}
	row[e.Words] = end
	if r != nil {
		num.Axpy(row, 1, r.R[cell:cell+len(row)])
	}
	return row
}

// occupancies keeps α_t(s,c) of every position, see forward.
func (e *Evaluator) occupancies(g *Gradient, pi *Chain, x Prompt, a *automaton) {
	size := a.states * e.contexts
	g.occupancy = grown(g.occupancy, e.MaxLength*size)
	e.reserve(a.states)
	e.alpha[e.start] = 1
	e.live[0] = true
	for t := range e.MaxLength {
		copy(g.occupancy[t*size:(t+1)*size], e.alpha)
		e.advanceLattice(pi, x, a, t)
	}
}

func grown(x []float64, n int) []float64 {
	if cap(x) < n {
		return make([]float64, n)
	}
	return x[:n]
}

// LogProbs fills dst with the derivative of J with respect to each
// log-probability, in the convention of Trainer.G: Q-values times π, the
// decision's own KL term included.
func (g *Gradient) LogProbs(dst []float64, pi *Chain, o Objective) {
	n := pi.Outcomes()
	for i := range dst {
		own := float64(o.Beta * float64(g.Visits[i/n]*(pi.LogP[i]-o.Ref.LogP[i])))
		dst[i] = float64(pi.P[i] * (g.Q[i] - own))
	}
}
