package policy

import (
	"fmt"
	"math"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
)

// CountOptimum is the KL-regularised optimum for a count-based reward v, such
// as gold: π*(y|x) = π_ref(y|x) exp(v(x,y)/β)/Z(x). Its next word depends on
// position, context and the state of the counts, so it is no Chain; it walks
// the lattice of a CountValue. Prompts are worked out when they are asked for, one
// goroutine at a time: in a large world all of them at once are gigabytes.
type CountOptimum struct {
	*geometry
	Beta float64

	ref     *Chain
	weights []float64
	value   *CountValue
	stopped func() bool   // of the evaluator that made it
	logZ    []float64     // of the prompts asked, NaN of the others
	u       [][][]float64 // [prompts][max_length+1][states·contexts] of those sampled, see iterate
}

// NewCountOptimum is the optimum at β, worked out for no prompt yet.
func (e *Evaluator) NewCountOptimum(ref *Chain, v *CountValue, beta float64) (*CountOptimum, error) {
	if err := e.checkOptimum(ref, beta); err != nil {
		return nil, err
	}
	o := &CountOptimum{geometry: e.geometry, Beta: beta, ref: ref, weights: e.weights, value: v, stopped: e.Stopped,
		logZ: make([]float64, e.Prompts), u: make([][][]float64, e.Prompts)}
	for x := range o.logZ {
		o.logZ[x] = math.NaN()
	}
	return o, nil
}

// LogZ is log Z(x), in nats; once the context of the evaluator has ended, anything.
func (o *CountOptimum) LogZ(x Prompt) float64 {
	if math.IsNaN(o.logZ[x]) {
		o.lattice(x)
	}
	return o.logZ[x]
}

// Value is J* = Σ_x p(x) β log Z(x).
func (o *CountOptimum) Value() (sum float64) {
	for x, weight := range o.weights {
		sum += float64(weight * float64(o.Beta*o.LogZ(Prompt(x))))
	}
	return sum
}

// lattice is U of a prompt, kept or worked out.
func (o *CountOptimum) lattice(x Prompt) [][]float64 {
	if o.u[x] != nil {
		return o.u[x]
	}
	u := o.iterate(x)
	if !o.stopped() {
		o.logZ[x] = u[0][o.start]
	}
	return u
}

// checkOptimum refuses what has no optimum: an impossible β, or a reference
// that gives some decision no probability at all.
func (e *Evaluator) checkOptimum(ref *Chain, beta float64) error {
	if !(beta > 0) || math.IsInf(beta, 0) {
		return fmt.Errorf("policy: beta is %g, it must be above 0 and finite", beta)
	}
	for _, l := range ref.LogP {
		if math.IsInf(l, -1) || math.IsNaN(l) {
			return fmt.Errorf("policy: the reference policy has a probability of 0 or NaN, so KL to it is not finite")
		}
	}
	return nil
}

// worth is v(t,s)/β at prompt x.
func (o *CountOptimum) worth(x Prompt, t, s int) float64 {
	return o.value.at(x, t, s) / o.Beta
}

// joint is the automaton of all counts at prompt x.
func (o *CountOptimum) joint(x Prompt) *automaton { return &o.value.lattice.prompts[x].automaton }

// iterate is soft value iteration on the lattice, backwards:
//
//	U_T(s,c) = v(T,s)/β
//	U_t(s,c) = log[ π_ref(EOS|c) exp(v(t,s)/β) + Σ_w π_ref(w|c) exp U_{t+1}(s·w, c·w) ]
//
// with v(t,s) the value of a response of t words that leaves the counts in
// state s, and log Z = U_0(start). For a state s the exponentials depend on w
// alone (contexts with the same successors share them), so a decision costs one
// multiplication, as in the forward pass.
func (o *CountOptimum) iterate(x Prompt) [][]float64 {
	a := o.joint(x)
	u := make([][]float64, o.MaxLength+1)
	last := make([]float64, a.states*o.contexts)
	for s := range a.states {
		for c := range o.contexts {
			last[s*o.contexts+c] = o.worth(x, o.MaxLength, s)
		}
	}
	u[o.MaxLength] = last
	future := make([]float64, o.Outcomes())
	for t := o.MaxLength - 1; t >= 0; t-- {
		u[t] = make([]float64, a.reach[t]*o.contexts)
		for s := range a.reach[t] {
			if o.stopped() {
				return u
			}
			for _, group := range o.groups {
				top := o.futures(future, x, a, u[t+1], t, s, int(o.base[group[0]]))
				o.expShift(future, top)
				for _, c := range group {
					u[t][s*o.contexts+int(c)] = top + num.Log(o.total(x, a, u[t+1], future, top, t, s, int(c)))
				}
			}
		}
	}
	return u
}

// futures fills dst with U after each outcome in state s where words lead to
// contexts base+w, as if no word were a repeat, and returns the largest.
func (o *CountOptimum) futures(dst []float64, x Prompt, a *automaton, next []float64, t, s, base int) float64 {
	top := o.worth(x, t, s)
	dst[o.Words] = top
	for w := range o.Words {
		dst[w] = next[int(a.next[s*o.Words+w])*o.contexts+base+w]
		top = max(top, dst[w])
		// The repeat of w leads elsewhere, and must not overflow either.
		top = max(top, next[int(a.again[s*o.Words+w])*o.contexts+base+w])
	}
	return top
}

// expShift is xs[i] ← exp(xs[i] − top).
func (o *CountOptimum) expShift(xs []float64, top float64) {
	for i := range xs {
		xs[i] -= top
	}
	num.ExpTo(xs, xs)
}

// total is Σ_outcomes π_ref(w|c) exp(U − top), the word just said leading to
// the repeat's state.
func (o *CountOptimum) total(x Prompt, a *automaton, next, future []float64, top float64, t, s, c int) float64 {
	at := o.ref.Row(t, x, c)
	p := o.ref.P[at : at+o.Outcomes()]
	w := int(o.last[c])
	if w < 0 {
		return num.Dot(p, future)
	}
	kept := future[w]
	future[w] = num.Exp(next[int(a.again[s*o.Words+w])*o.contexts+int(o.base[c])+w] - top)
	sum := num.Dot(p, future)
	future[w] = kept
	return sum
}

// row fills dst with π*(·|x, t words said, state s, context c), given the prompt's U.
func (o *CountOptimum) row(dst []float64, u [][]float64, x Prompt, t, s, c int) {
	a := o.joint(x)
	at, now := o.ref.Row(t, x, c), u[t][s*o.contexts+c]
	for w := range o.Words {
		to := o.step(a, s, c, Token(w))
		dst[w] = o.ref.LogP[at+w] + u[t+1][to*o.contexts+o.Next(c, Token(w))] - now
	}
	dst[o.Words] = o.ref.LogP[at+o.Words] + o.worth(x, t, s) - now
	num.ExpTo(dst, dst)
}

// step is the counts' state after saying w in context c.
func (o *CountOptimum) step(a *automaton, s, c int, w Token) int {
	table := a.next
	if o.last[c] == int32(w) {
		table = a.again
	}
	return int(table[s*o.Words+int(w)])
}

// LogProb is log π*(y|x), the tilt itself: log π_ref(y|x) + v(x,y)/β − log Z(x).
func (o *CountOptimum) LogProb(x Prompt, y Response) float64 {
	a := o.joint(x)
	s, c := 0, o.start
	for _, w := range y {
		s, c = o.step(a, s, c, w), o.Next(c, w)
	}
	return o.ref.LogProb(x, y) + o.worth(x, len(y), s) - o.LogZ(x)
}

// Sample draws a response to x, appending its words to dst. What it needs of the
// prompt stays in memory for the next one; once the context of the evaluator has
// ended it draws nothing.
func (o *CountOptimum) Sample(dst Response, x Prompt, r *rng.Stream) Response {
	a := o.joint(x)
	if o.u[x] = o.lattice(x); o.stopped() {
		return dst
	}
	row, s, c := make([]float64, o.Outcomes()), 0, o.start
	for t := range o.MaxLength {
		o.row(row, o.u[x], x, t, s, c)
		w := Token(r.Categorical(row))
		if w == o.EOS() {
			break
		}
		dst = append(dst, w)
		s, c = o.step(a, s, c, w), o.Next(c, w)
	}
	return dst
}

// Tilted is the distribution of the value at the optimum for that value, given
// the reference's: P*(v) = P(v) exp(v/β)/Z for each prompt, since the ratio of
// the policies depends on v alone.
func (d Distribution) Tilted(beta float64) Distribution {
	out := Distribution{Values: d.Values}
	for x, probs := range d.Probs {
		logs := make([]float64, len(probs))
		for i, p := range probs {
			logs[i] = num.Log(p) + d.Values[x][i]/beta
		}
		logZ := num.LogSumExp(logs)
		for i, l := range logs {
			logs[i] = num.Exp(l - logZ)
		}
		out.Probs = append(out.Probs, logs)
	}
	return out
}

// TiltedOptimum is what the distribution of a value under the reference says of
// the optimum at β without walking the lattice again: J*, the expected value
// and the KL. The ratio π*/π_ref depends on v alone, so
//
//	J* = Σ_x p(x) β log Σ_v P(v) e^{v/β},   KL = Σ_x p(x) Σ_v P*(v) log(P*(v)/P(v)).
func (e *Evaluator) TiltedOptimum(ref Distribution, beta float64) (jStar, value, kl float64) {
	return e.tiltedOptimum(ref, ref.Tilted(beta), beta)
}

func (e *Evaluator) tiltedOptimum(ref, tilted Distribution, beta float64) (jStar, value, kl float64) {
	for x, weight := range e.weights {
		own, divergence := 0.0, 0.0
		for i, p := range tilted.Probs[x] {
			if p > 0 {
				own += float64(p * ref.Values[x][i])
				divergence += float64(p * (num.Log(p) - num.Log(ref.Probs[x][i])))
			}
		}
		value += float64(weight * own)
		kl += float64(weight * divergence)
	}
	return value - float64(beta*kl), value, kl
}

// Mean is the expected value, prompts weighted.
func (e *Evaluator) Mean(d Distribution) float64 {
	sum := 0.0
	for x, weight := range e.weights {
		sum += float64(weight * num.Dot(d.Probs[x], d.Values[x]))
	}
	return sum
}

// ExpectCountOptimum computes exact expectations at the optimum, but for a reward:
// a forward pass over the lattice with the optimum's own rows,
// π*_t(w|s,c) = π_ref(w|c) exp(U_{t+1}(s·w,c·w) − U_t(s,c)). If visits is not nil,
// it is filled with how often w is expected to be said in context c, in the layout
// of one logit table and not weighted by prompt: what any additive reward and the
// expected number of any event follow from.
func (e *Evaluator) ExpectCountOptimum(o *CountOptimum, visits []float64) Expectations {
	var sum Expectations
	clear(visits)
	for x, weight := range e.weights {
		own := e.countOptimumPrompt(o, visits, Prompt(x))
		sum.KL += float64(weight * own.KL)
		sum.Entropy += float64(weight * own.Entropy)
		sum.Length += float64(weight * own.Length)
	}
	return sum
}

// Events is the expected number of a count's events, given the visits of
// ExpectCountOptimum.
func (e *Evaluator) Events(visits []float64, c Count) float64 {
	sum, n := 0.0, e.Outcomes()
	for x, weight := range e.weights {
		own := 0.0
		for context, last := range e.last {
			for w, d := range visits[(x*e.contexts+context)*n:][:e.Words] {
				if c.Kind == CountLength || c.Kind == CountWords && c.Hit[x*e.Words+w] || c.Kind == CountRepeat && int(last) == w {
					own += d
				}
			}
		}
		sum += float64(weight * own)
	}
	return sum
}

func (e *Evaluator) countOptimumPrompt(o *CountOptimum, visits []float64, x Prompt) Expectations {
	a, u := o.joint(x), o.lattice(x)
	var sum Expectations
	e.reserve(a)
	e.alpha[e.start] = 1
	row := make([]float64, e.Outcomes())
	for t := range e.MaxLength {
		clear(e.alphaNext[:a.reached(t+1)*e.contexts])
		for s := range a.reach[t] {
			if e.Stopped() {
				return sum
			}
			for c := range e.contexts {
				p := e.alpha[s*e.contexts+c]
				if p == 0 {
					continue
				}
				o.row(row, u, x, t, s, c)
				e.countDecision(&sum, o, row, p, x, t, s, c)
				if visits != nil {
					num.Axpy(visits[(int(x)*e.contexts+c)*len(row):][:len(row)], p, row)
				}
			}
		}
		e.alpha, e.alphaNext = e.alphaNext, e.alpha
	}
	return sum
}

// countDecision adds one decision's share and moves its probability on.
func (e *Evaluator) countDecision(sum *Expectations, o *CountOptimum, row []float64, p float64, x Prompt, t, s, c int) {
	a, at := o.joint(x), o.ref.Row(t, x, c)
	sum.Length += float64(p * (1 - row[e.Words]))
	for w, q := range row {
		if q == 0 {
			continue
		}
		logq := num.Log(q)
		sum.Entropy -= float64(p * float64(q*logq))
		sum.KL += float64(p * float64(q*(logq-o.ref.LogP[at+w])))
		if w < e.Words {
			e.alphaNext[o.step(a, s, c, Token(w))*e.contexts+o.Next(c, Token(w))] += float64(p * q)
		}
	}
}
