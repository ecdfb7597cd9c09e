package policy

import (
	"rlhfsim/internal/num"
	"slices"
)

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
		own := e.decisions(g, pi, o, Prompt(x), weight)
		if o.Additive != nil {
			own += o.Additive.Bias[x]
		}
		if o.Counts != nil {
			for _, term := range o.Counts.terms {
				own += e.endings(g, pi, term.machines[x], term.worth[x], Prompt(x), weight)
			}
		}
		g.Value += float64(weight * own)
	}
}

// decisions adds the share of what rides on decisions, and the visits. It returns
// the expectation at prompt x.
//
//	Q_t(c,w) = r(c,w) + V_{t+1}(c·w),  Q_t(c,EOS) = r(c,EOS)
//	V_t(c)   = Σ_w π(w|c) [Q_t(c,w) − β log(π/π_ref)],  V_T = 0
func (e *Evaluator) decisions(g *Gradient, pi *Chain, o Objective, x Prompt, weight float64) float64 {
	e.occupancies(g, pi, x, &oneState)
	g.value, g.after = grown(g.value, e.contexts), grown(g.after, e.contexts)
	clear(g.after)
	n := e.Outcomes()
	for t := e.MaxLength - 1; t >= 0 && !e.Stopped(); t-- {
		for c := range e.contexts {
			cell := (int(x)*e.contexts + c) * n
			p, logp, ref := pi.P[cell:cell+n], pi.LogP[cell:cell+n], o.Ref.LogP[cell:cell+n]
			copy(e.step, g.after[e.base[c]:][:e.Words])
			e.step[e.Words] = 0
			if o.Additive != nil {
				num.Axpy(e.step, 1, o.Additive.R[cell:cell+n])
			}
			d := weight * g.occupancy[t*e.contexts+c]
			g.Visits[int(x)*e.contexts+c] += d
			num.Axpy(g.Q[cell:cell+n], d, e.step)
			v := dot(p, e.step)
			for w, l := range ref {
				v -= float64(o.Beta * float64(p[w]*(logp[w]-l)))
			}
			g.value[c] = v
		}
		g.value, g.after = g.after, g.value
	}
	return g.after[e.start]
}

// endings adds the share of what ending in a state of an automaton is worth,
// [max_length+1][states]. It returns the expectation at prompt x.
//
//	Q_t(s,c,w) = V_{t+1}(s·w, c·w),  Q_t(s,c,EOS) = worth(t,s)
//	V_t(s,c)   = Σ_w π(w|c) Q_t(s,c,w),  V_T(s,c) = worth(T,s)
func (e *Evaluator) endings(g *Gradient, pi *Chain, a *automaton, worth []float64, x Prompt, weight float64) float64 {
	e.occupancies(g, pi, x, a)
	size := a.states * e.contexts
	g.value, g.after = grown(g.value, size), grown(g.after, size)
	for i := range g.after {
		g.after[i] = worth[e.MaxLength*a.states+i/e.contexts]
	}
	everywhere := e.mayVanish(pi, x)
	for t := e.MaxLength - 1; t >= 0 && !e.Stopped(); t-- {
		for s := range a.reached(t) {
			for _, group := range e.groups {
				row := e.futures(g.after, a, s, int(e.base[group[0]]), worth[t*a.states+s])
				for _, c := range group {
					at := s*e.contexts + int(c)
					if d := weight * g.occupancy[t*size+at]; d != 0 || everywhere {
						g.value[at] = e.ending(g, pi, a, row, x, s, int(c), d)
					}
				}
			}
		}
		g.value, g.after = g.after, g.value
	}
	return g.after[e.start]
}

// ending adds one decision's Q-values, d being its probability, and returns V.
// row has them as if no word were a repeat.
func (e *Evaluator) ending(g *Gradient, pi *Chain, a *automaton, row []float64, x Prompt, s, c int, d float64) float64 {
	n, last := e.Outcomes(), int(e.last[c])
	cell := (int(x)*e.contexts + c) * n
	kept := 0.0
	if a.again != nil && last >= 0 {
		kept = row[last]
		row[last] = g.after[int(a.again[s*e.Words+last])*e.contexts+int(e.base[c])+last]
	}
	num.Axpy(g.Q[cell:cell+n], d, row)
	v := dot(pi.P[cell:cell+n], row)
	if a.again != nil && last >= 0 {
		row[last] = kept
	}
	return v
}

// futures is Q_t(s,c,·) for the contexts that words lead to base+w from, in the
// evaluator's scratch row.
func (e *Evaluator) futures(after []float64, a *automaton, s, base int, end float64) []float64 {
	row := e.step
	if a.next == nil {
		copy(row, after[base:base+e.Words])
	} else {
		for w, to := range a.next[s*e.Words : (s+1)*e.Words] {
			row[w] = after[int(to)*e.contexts+base+w]
		}
	}
	row[e.Words] = end
	return row
}

// mayVanish says whether a response to x could have a probability of 0 in
// floating point. If not, a decision without any probability cannot be reached,
// and nothing asks for its V.
func (e *Evaluator) mayVanish(pi *Chain, x Prompt) bool {
	n := e.contexts * e.Outcomes()
	return float64(e.MaxLength)*slices.Min(pi.LogP[int(x)*n:(int(x)+1)*n]) < -700
}

// dot sums in the order of the words.
func dot(p, q []float64) float64 {
	sum := 0.0
	for w, v := range q {
		sum += float64(p[w] * v)
	}
	return sum
}

// occupancies keeps α_t(s,c) of every position, see forward.
func (e *Evaluator) occupancies(g *Gradient, pi *Chain, x Prompt, a *automaton) {
	size := a.states * e.contexts
	g.occupancy = grown(g.occupancy, e.MaxLength*size)
	e.reserve(a)
	e.alpha[e.start] = 1
	e.live[0] = true
	for t := range e.MaxLength {
		copy(g.occupancy[t*size:(t+1)*size], e.alpha[:a.reached(t)*e.contexts])
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
