package policy

import (
	"cmp"
	"errors"
	"fmt"
	"math"
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

// CountReward prepares the exact expectation of a sum of tables: each count is
// followed on its own small automaton, because the expectation of a sum is the
// sum of the expectations. (The product of the automata is needed for the
// distribution only.)
type CountReward struct {
	counts   Counts
	machines [][]automaton // [counts][prompts]; empty for length, which the position already holds
}

// NewCountReward prepares counts for policies of shape s.
func NewCountReward(s Shape, counts Counts) *CountReward {
	r := &CountReward{counts: counts, machines: make([][]automaton, len(counts))}
	for k, c := range counts {
		for x := range s.Prompts {
			if c.Kind != CountLength {
				r.machines[k] = append(r.machines[k], c.machine(Prompt(x), s.Words))
			}
		}
	}
	return r
}

// ExpectCounts is E[Σ_k Worth_k[n_k(x,y)]], exactly.
func (e *Evaluator) ExpectCounts(c *Chain, r *CountReward) float64 {
	sum := 0.0
	for x, weight := range e.weights {
		own := 0.0
		for k, count := range r.counts {
			own += e.expectCount(c, Prompt(x), count, r.machines[k])
		}
		sum += float64(weight * own)
	}
	return sum
}

func (e *Evaluator) expectCount(c *Chain, x Prompt, count Count, machines []automaton) float64 {
	sum := 0.0
	if count.Kind == CountLength {
		e.forward(c, x, &oneState)
		for length, mass := range e.mass {
			sum += float64(mass * count.worth(length))
		}
		return sum
	}
	a := &machines[x]
	e.forward(c, x, a)
	for i, mass := range e.mass {
		sum += float64(mass * count.Worth[i%a.states])
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
	e.reserve(a.states)
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
	clear(e.alphaNext)
	clear(e.liveNext)
	for s, live := range e.live {
		if live {
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

// reserve makes room for an automaton of that many states and clears it.
func (e *Evaluator) reserve(states int) {
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
	clear(e.alpha)
	clear(e.mass)
	clear(e.live)
}

// MaxStates bounds states × contexts of the lattice behind a Distribution.
const MaxStates = 1 << 24

// maxCounted bounds the states that are counted to say how far over the budget
// a lattice is.
const maxCounted = 1 << 18

// ErrTooLarge is wrapped by the error for a lattice over MaxStates.
var ErrTooLarge = errors.New("policy: the lattice of count states is too large to be exact")

// CountDistribution prepares the exact distribution of a sum of tables: the
// product of all counts' automata, reduced to the states that max_length words
// can reach, for each prompt.
type CountDistribution struct {
	prompts []promptLattice
}

type promptLattice struct {
	joint  automaton
	values []float64 // the values that occur, ascending
	index  []int32   // [max_length+1][states] → values
}

// NewCountDistribution builds the lattice; the error wraps ErrTooLarge.
func NewCountDistribution(s Shape, counts Counts) (*CountDistribution, error) {
	d := &CountDistribution{}
	for x := range s.Prompts {
		p, err := newPromptLattice(s, counts, Prompt(x))
		if err != nil {
			return nil, err
		}
		d.prompts = append(d.prompts, p)
	}
	return d, nil
}

func newPromptLattice(s Shape, counts Counts, x Prompt) (promptLattice, error) {
	var machines []automaton
	var tables [][]float64
	for _, c := range counts {
		if c.Kind != CountLength {
			machines, tables = append(machines, c.machine(x, s.Words)), append(tables, c.Worth)
		}
	}
	joint, states, err := product(machines, s)
	if err != nil {
		return promptLattice{}, err
	}
	worth := make([]float64, len(states)*(s.MaxLength+1))
	for i := range worth {
		length, state := i/len(states), states[i%len(states)]
		for k, table := range tables {
			worth[i] += table[state[k]]
		}
		for _, c := range counts {
			if c.Kind == CountLength {
				worth[i] += c.worth(length)
			}
		}
		// Sums that are equal on paper must be ties although their roundings
		// differ (0.1 + 0.2 against 0.3): values are told apart by 1e−9.
		worth[i] = math.Round(worth[i]*1e9) / 1e9
	}
	p := promptLattice{joint: joint, index: make([]int32, len(worth))}
	p.values = slices.Clone(worth)
	slices.Sort(p.values)
	p.values = slices.Compact(p.values)
	for i, v := range worth {
		at, _ := slices.BinarySearch(p.values, v)
		p.index[i] = int32(at)
	}
	return p, nil
}

// product is the joint automaton over the states that MaxLength words can
// reach, found breadth first; states lists each one's component states. Words
// that move all machines alike are one class. Over the budget the error says
// how many states there are.
func product(machines []automaton, s Shape) (joint automaton, states [][]int32, err error) {
	seen := map[string]int32{}
	id := func(state []int32) int32 {
		key := string(stateKey(state))
		k, known := seen[key]
		if !known {
			k = int32(len(states))
			seen[key] = k
			states = append(states, slices.Clone(state))
		}
		return k
	}
	move := make([]int32, len(machines))
	step := func(state []int32, w int, repeat bool) int32 {
		for k, m := range machines {
			table := m.next
			if repeat && m.again != nil {
				table = m.again
			}
			move[k] = table[int(state[k])*s.Words+w]
		}
		return id(move)
	}
	id(make([]int32, len(machines)))
	class, members := wordClasses(machines, s.Words)
	next, again := make([]int32, len(members)), make([]int32, len(members))
	fits := true
	for level, from := 0, 0; level < s.MaxLength; level++ {
		joint.reach = append(joint.reach, len(states))
		for to := len(states); from < to; from++ {
			for c, w := range members {
				next[c], again[c] = step(states[from], w, false), step(states[from], w, true)
			}
			if fits = fits && len(states)*s.Contexts() <= MaxStates; fits {
				for _, c := range class {
					joint.next, joint.again = append(joint.next, next[c]), append(joint.again, again[c])
				}
			} else if len(states) > maxCounted {
				return joint, nil, fmt.Errorf("%w: more than %d states × %d contexts, the budget is %d", ErrTooLarge, maxCounted, s.Contexts(), MaxStates)
			}
		}
	}
	if !fits {
		return joint, nil, fmt.Errorf("%w: %d states × %d contexts, the budget is %d", ErrTooLarge, len(states), s.Contexts(), MaxStates)
	}
	joint.states = len(states)
	joint.reach = append(joint.reach, len(states))
	// States first reached by the last word are never left.
	size := joint.states * s.Words
	joint.next = append(joint.next, make([]int32, size-len(joint.next))...)
	joint.again = append(joint.again, make([]int32, size-len(joint.again))...)
	return joint, states, nil
}

// wordClasses are the classes of words that are events of the same counts: the
// class of each word, and one member of each.
func wordClasses(machines []automaton, words int) (class, members []int) {
	seen := map[string]int{}
	for w := range words {
		signature := make([]byte, len(machines))
		for k, m := range machines {
			if m.next[w] != 0 || m.again != nil && m.again[w] != m.next[w] {
				signature[k] = 1 + byte(m.next[w])
			}
		}
		c, known := seen[string(signature)]
		if !known {
			c = len(members)
			seen[string(signature)] = c
			members = append(members, w)
		}
		class = append(class, c)
	}
	return class, members
}

func stateKey(state []int32) []byte {
	key := make([]byte, 0, 4*len(state))
	for _, v := range state {
		key = append(key, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return key
}

// Distribution is the exact distribution of a count-based value under a policy.
type Distribution struct {
	Values [][]float64 // [prompts] the values that can occur, ascending
	Probs  [][]float64 // [prompts] their probabilities
}

// Distribution is that of the value under π, for each prompt.
func (e *Evaluator) Distribution(c *Chain, d *CountDistribution) Distribution {
	out := Distribution{}
	for x := range d.prompts {
		lattice := &d.prompts[x]
		e.forward(c, Prompt(x), &lattice.joint)
		probs := make([]float64, len(lattice.values))
		for i, mass := range e.mass {
			probs[lattice.index[i]] += mass
		}
		out.Values = append(out.Values, lattice.values)
		out.Probs = append(out.Probs, probs)
	}
	return out
}

// WinRate is P(value under a > value under b) + ½ P(equal), for independent
// responses to the same prompt, averaged over prompts. Both distributions must
// come from the same CountDistribution.
func (e *Evaluator) WinRate(a, b Distribution) float64 {
	sum := 0.0
	for x, weight := range e.weights {
		below, own := 0.0, 0.0
		for i, p := range a.Probs[x] {
			q := b.Probs[x][i]
			own += float64(p * (below + 0.5*q))
			below += q
		}
		sum += float64(weight * own)
	}
	return sum
}

// Quantile is the smallest value v with P(value ≤ v) ≥ q, over all prompts.
func (e *Evaluator) Quantile(d Distribution, q float64) float64 {
	type mass struct{ value, p float64 }
	var all []mass
	for x, weight := range e.weights {
		for i, v := range d.Values[x] {
			all = append(all, mass{v, float64(weight * d.Probs[x][i])})
		}
	}
	slices.SortFunc(all, func(a, b mass) int { return cmp.Compare(a.value, b.value) })
	below := 0.0
	for _, m := range all {
		// The last digits of the sum must not decide where q falls on a step.
		if below += m.p; below >= q-1e-12 {
			return m.value
		}
	}
	return all[len(all)-1].value
}

// States is the number of joint count states of the prompt with the most: the
// size of the lattice is states × contexts.
func (d *CountDistribution) States() int {
	most := 0
	for _, p := range d.prompts {
		most = max(most, p.joint.states)
	}
	return most
}
