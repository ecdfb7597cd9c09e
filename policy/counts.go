package policy

import (
	"slices"

	"rlhfsim/internal/num"
)

// CountKind says which events a Count counts.
type CountKind int

const (
	CountWords  CountKind = iota // positions that hold one of a set of words
	CountRepeat                  // positions whose word equals the word just before
	CountLength                  // words of the response
)

// Count is one table of a count-based value: the worth of a response in which
// the events of Kind come out as n is Worth[min(n, len(Worth)−1)]. Read left to
// right it is a finite-state machine whose state is the count so far.
type Count struct {
	Kind  CountKind
	Hit   []bool // for CountWords: [prompts][words], whether the word is an event
	Worth []float64
}

// Counts is a reward that is a sum of tables over counts.
type Counts []Count

// Of is the number of events in response y to prompt x, not capped. words is
// the size of the vocabulary.
func (c Count) Of(x Prompt, y Response, words int) int {
	if c.Kind == CountLength {
		return len(y)
	}
	n := 0
	for t, w := range y {
		if c.Kind == CountWords && c.Hit[int(x)*words+int(w)] || c.Kind == CountRepeat && t > 0 && y[t-1] == w {
			n++
		}
	}
	return n
}

// worth is the table's entry for n events.
func (c Count) worth(n int) float64 { return c.Worth[min(n, len(c.Worth)-1)] }

// Value is the sum over the tables for response y to prompt x.
func (cs Counts) Value(x Prompt, y Response, words int) float64 {
	sum := 0.0
	for _, c := range cs {
		sum += c.worth(c.Of(x, y, words))
	}
	return sum
}

// automaton reads a response word by word. Its state moves by next on a word
// that differs from the one before, by again on a word that repeats it.
type automaton struct {
	states      int
	next, again []int32 // [states][words]; again is nil where repeats change nothing
	reach       []int   // of a product: states 0..reach[t]−1 can be reached by t words
}

// reached is the number of states that t words can reach.
func (a *automaton) reached(t int) int {
	if a.reach == nil {
		return a.states
	}
	return a.reach[t]
}

// machine is the automaton of one word or repeat count for prompt x: state n
// means n events so far, the last state holds for every higher number.
func (c Count) machine(x Prompt, words int) automaton {
	a := automaton{states: len(c.Worth), next: make([]int32, len(c.Worth)*words)}
	if c.Kind == CountRepeat {
		a.again = make([]int32, len(a.next))
	}
	for s := range a.states {
		up := int32(min(s+1, a.states-1))
		for w := range words {
			i := s*words + w
			a.next[i] = int32(s)
			if c.Kind == CountWords && c.Hit[int(x)*words+w] {
				a.next[i] = up
			}
			if c.Kind == CountRepeat {
				a.again[i] = up
			}
		}
	}
	return a
}

// CountReward is a reward that depends on the state some automata end in: a sum
// of terms, each followed on its own, because the expectation of a sum is the sum
// of the expectations. (The product of the automata is needed for a distribution,
// and for a reward that is no sum, see CountValue.)
type CountReward struct{ terms []countTerm }

// countTerm is one automaton for each prompt, and what ending there is worth.
type countTerm struct {
	machines []*automaton
	worth    [][]float64 // [prompts] → [max_length+1][states]
}

// NewCountReward prepares a sum of tables for policies of shape s, one small
// automaton for each count.
func NewCountReward(s Shape, counts Counts) *CountReward {
	r := &CountReward{}
	for _, c := range counts {
		var term countTerm
		for x := range s.Prompts {
			m := &oneState // the position holds the length already
			if c.Kind != CountLength {
				own := c.machine(Prompt(x), s.Words)
				m = &own
			}
			worth := make([]float64, 0, (s.MaxLength+1)*m.states)
			for t := range s.MaxLength + 1 {
				if c.Kind == CountLength {
					worth = append(worth, c.worth(t))
				} else {
					worth = append(worth, c.Worth...)
				}
			}
			term.machines, term.worth = append(term.machines, m), append(term.worth, worth)
		}
		r.terms = append(r.terms, term)
	}
	return r
}

// And is the sum of two rewards.
func (r *CountReward) And(other *CountReward) *CountReward {
	if r == nil {
		return other
	}
	return &CountReward{terms: slices.Concat(r.terms, other.terms)}
}

// ExpectCounts is the expectation of a count-based reward, exactly.
func (e *Evaluator) ExpectCounts(c *Chain, r *CountReward) float64 {
	sum := 0.0
	for x, weight := range e.weights {
		own := 0.0
		for _, term := range r.terms {
			own += e.expectTerm(c, Prompt(x), term)
		}
		sum += float64(weight * own)
	}
	return sum
}

func (e *Evaluator) expectTerm(c *Chain, x Prompt, term countTerm) float64 {
	e.forward(c, x, term.machines[x])
	sum := 0.0
	for i, worth := range term.worth[x] {
		sum += float64(e.mass[i] * worth)
	}
	return sum
}

// oneState is the automaton that counts nothing.
var oneState = automaton{states: 1}

// forward fills e.mass[length·states + s] with the probability that a response
// to x has that many words and leaves the automaton in state s. It walks
// α_t(s,c), the probability of deciding in context c and state s at position t:
//
//	α_0 = 1[start],  α_{t+1}(s·w, c·w) = Σ_{s,c} α_t(s,c) π(w|c),
//	mass(t,s) = Σ_c α_t(s,c) π(EOS|c),  mass(T,s) = Σ_c α_T(s,c).
//
// Contexts with the same successors (the same words but the oldest) are summed
// before the words are dealt out, so a decision costs one multiplication.
func (e *Evaluator) forward(c *Chain, x Prompt, a *automaton) {
	e.reserve(a)
	if e.Stopped() {
		return
	}
	e.alpha[e.start] = 1
	e.live[0] = true
	for t := range e.MaxLength {
		e.advanceLattice(c, x, a, t)
	}
	cut := e.mass[e.MaxLength*a.states:]
	for s, live := range e.live {
		if live {
			cut[s] = num.Sum(e.alpha[s*e.contexts : (s+1)*e.contexts])
		}
	}
}

// advanceLattice moves α from position t to t+1.
func (e *Evaluator) advanceLattice(c *Chain, x Prompt, a *automaton, t int) {
	if e.Stopped() {
		return
	}
	clear(e.alphaNext[:a.reached(t+1)*e.contexts])
	clear(e.liveNext)
	for s, live := range e.live {
		if live && !e.Stopped() {
			e.forwardState(c, x, a, t, s)
		}
	}
	e.alpha, e.alphaNext = e.alphaNext, e.alpha
	e.live, e.liveNext = e.liveNext, e.live
}

func (e *Evaluator) forwardState(c *Chain, x Prompt, a *automaton, t, s int) {
	from := e.alpha[s*e.contexts : (s+1)*e.contexts]
	n := e.Outcomes()
	for _, group := range e.groups {
		touched := false
		for _, context := range group {
			p := from[context]
			if p == 0 {
				continue
			}
			if !touched {
				touched = true
				clear(e.step)
			}
			at := c.Row(t, x, int(context))
			if w := e.last[context]; a.again != nil && w >= 0 {
				kept := e.step[w]
				num.Axpy(e.step, p, c.P[at:at+n])
				e.step[w] = kept // a repeat goes to a state of its own
				e.arrive(int(a.again[s*e.Words+int(w)]), int(e.base[context]+w), float64(p*c.P[at+int(w)]))
			} else {
				num.Axpy(e.step, p, c.P[at:at+n])
			}
		}
		if touched {
			e.deal(a, t, s, int(e.base[group[0]]))
		}
	}
}

// deal hands the summed row out to the successors of state s.
func (e *Evaluator) deal(a *automaton, t, s, base int) {
	e.mass[t*a.states+s] += e.step[e.Words]
	if a.next == nil {
		num.Axpy(e.alphaNext[base:base+e.Words], 1, e.step[:e.Words])
		e.liveNext[0] = true
		return
	}
	for w, to := range a.next[s*e.Words : (s+1)*e.Words] {
		e.alphaNext[int(to)*e.contexts+base+w] += e.step[w]
		e.liveNext[to] = true
	}
}

func (e *Evaluator) arrive(state, context int, p float64) {
	e.alphaNext[state*e.contexts+context] += p
	e.liveNext[state] = true
}

// reserve makes room for an automaton and clears what the first word needs.
func (e *Evaluator) reserve(a *automaton) {
	states := a.states
	n := states * e.contexts
	if cap(e.alpha) < n {
		e.alpha, e.alphaNext = make([]float64, n), make([]float64, n)
	}
	if m := (e.MaxLength + 1) * states; cap(e.mass) < m {
		e.mass = make([]float64, m)
	}
	if cap(e.live) < states {
		e.live, e.liveNext = make([]bool, states), make([]bool, states)
	}
	e.alpha, e.alphaNext = e.alpha[:n], e.alphaNext[:n]
	e.mass = e.mass[:(e.MaxLength+1)*states]
	e.live, e.liveNext = e.live[:states], e.liveNext[:states]
	if e.Stopped() { // many prompts' tables take long to clear
		return
	}
	clear(e.alpha[:a.reached(0)*e.contexts])
	clear(e.mass)
	clear(e.live)
}
