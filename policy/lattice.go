package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"rlhfsim/internal/num"
)

// MaxStates bounds states × contexts of the lattice behind a Distribution.
const MaxStates = 1 << 24

// maxCounted bounds the states that are counted to say how far over the budget
// a lattice is.
const maxCounted = 1 << 18

// ErrTooLarge is wrapped by the error for a lattice over MaxStates.
var ErrTooLarge = errors.New("policy: the lattice of count states is too large to be exact")

// CountLattice is the product of the automata of several counts, reduced to the
// states that max_length words can reach, for each prompt. What depends on a
// response through these counts alone is exact on it.
type CountLattice struct {
	counts  Counts
	prompts []joint
}

type joint struct {
	automaton
	components [][]int32 // the state of each count's automaton, for each joint state
}

// NewCountLattice builds the lattice; of a count's Worth only the length matters
// here, at which it is capped. The error wraps ErrTooLarge, or is ctx's cause.
func NewCountLattice(ctx context.Context, s Shape, counts Counts) (*CountLattice, error) {
	l := &CountLattice{counts: counts}
	for x := range s.Prompts {
		var machines []automaton
		for _, c := range counts {
			if c.Kind != CountLength { // the position holds the length already
				machines = append(machines, c.machine(Prompt(x), s.Words))
			}
		}
		a, components, err := product(ctx, machines, s)
		if err != nil {
			return nil, err
		}
		l.prompts = append(l.prompts, joint{a, components})
	}
	return l, nil
}

// CountValue is a function of counts, laid out on their lattice: a reward, or the
// true values.
type CountValue struct {
	lattice *CountLattice
	prompts []valueTable
}

type valueTable struct {
	values []float64 // the values that occur, ascending
	index  []int32   // [max_length+1][states] → values
}

// Value lays out f(x, n), where n[k] = min(count k, len(Worth)−1); the error is
// ctx's cause.
func (l *CountLattice) Value(ctx context.Context, f func(x Prompt, n []int) float64) (*CountValue, error) {
	v := &CountValue{lattice: l}
	n := make([]int, len(l.counts))
	for x := range l.prompts {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		j := &l.prompts[x]
		worth := make([]float64, len(j.reach)*j.states)
		for i := range worth {
			component := j.components[i%j.states]
			for k, c := range l.counts {
				if c.Kind == CountLength {
					n[k] = min(i/j.states, len(c.Worth)-1)
				} else {
					n[k], component = int(component[0]), component[1:]
				}
			}
			worth[i] = f(Prompt(x), n)
		}
		v.prompts = append(v.prompts, newValueTable(worth))
	}
	return v, nil
}

func newValueTable(worth []float64) valueTable {
	t := valueTable{values: slices.Clone(worth), index: make([]int32, len(worth))}
	slices.Sort(t.values)
	t.values = slices.Compact(t.values)
	for i, v := range worth {
		at, _ := slices.BinarySearch(t.values, v)
		t.index[i] = int32(at)
	}
	return t
}

// Sum lays out the counts' own value: Σ_k Worth_k[n_k].
func (l *CountLattice) Sum(ctx context.Context, counts Counts) (*CountValue, error) {
	return l.Value(ctx, func(_ Prompt, n []int) float64 { return counts.OfCounts(n) })
}

// OfCounts is the value of a response whose counts are n. Sums that are equal on
// paper must be ties although their roundings differ (0.1 + 0.2 against 0.3):
// values are told apart by 1e−9.
func (cs Counts) OfCounts(n []int) float64 {
	sum := 0.0
	for k, c := range cs {
		sum += c.worth(n[k])
	}
	return math.Round(sum*1e9) / 1e9
}

// NewCountValue lays out a sum of tables on a lattice of its own; the error wraps
// ErrTooLarge, or is ctx's cause.
func NewCountValue(ctx context.Context, s Shape, counts Counts) (*CountValue, error) {
	l, err := NewCountLattice(ctx, s, counts)
	if err != nil {
		return nil, err
	}
	return l.Sum(ctx, counts)
}

// at is the value of a response of t words that leaves the counts in state s.
func (v *CountValue) at(x Prompt, t, s int) float64 {
	p := &v.prompts[x]
	return p.values[p.index[t*v.lattice.prompts[x].states+s]]
}

// Reward is the value as a reward with an exact expectation and gradient.
func (v *CountValue) Reward() *CountReward {
	var term countTerm
	for x, p := range v.prompts {
		worth := make([]float64, len(p.index))
		for i, k := range p.index {
			worth[i] = p.values[k]
		}
		term.machines, term.worth = append(term.machines, &v.lattice.prompts[x].automaton), append(term.worth, worth)
	}
	return &CountReward{terms: []countTerm{term}}
}

// product is the joint automaton over the states that MaxLength words can
// reach, found breadth first; states lists each one's component states. Words
// that move all machines alike are one class. Over the budget the error says
// how many states there are.
func product(ctx context.Context, machines []automaton, s Shape) (joint automaton, states [][]int32, err error) {
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
			if ctx.Err() != nil {
				return joint, nil, context.Cause(ctx)
			}
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

// StateMass is the probability that a response ends in each state of a lattice.
type StateMass struct {
	lattice *CountLattice
	p       [][]float64 // [prompts] → [max_length+1][states]
}

// States is the distribution of the counts' states under π: of everything that
// is a function of them, at once.
func (e *Evaluator) States(c *Chain, l *CountLattice) StateMass {
	m := StateMass{lattice: l}
	for x := range l.prompts {
		e.forward(c, Prompt(x), &l.prompts[x].automaton)
		m.p = append(m.p, slices.Clone(e.mass))
	}
	return m
}

// Distribution is that of a value on the same lattice.
func (m StateMass) Distribution(v *CountValue) Distribution {
	var out Distribution
	for x, p := range m.p {
		table := &v.prompts[x]
		probs := make([]float64, len(table.values))
		for i, mass := range p {
			probs[table.index[i]] += mass
		}
		out.Values, out.Probs = append(out.Values, table.values), append(out.Probs, probs)
	}
	return out
}

// Selection is what choosing by a score needs to know of it and of a value, both
// on the same lattice.
func (m StateMass) Selection(score, value *CountValue) Selection {
	d := m.Distribution(score)
	s := Selection{Scores: d.Values, Probs: d.Probs}
	for x, p := range m.p {
		by, of := &score.prompts[x], &value.prompts[x]
		mean := make([]float64, len(by.values))
		for i, mass := range p {
			mean[by.index[i]] += float64(mass * of.values[of.index[i]])
		}
		for i, q := range d.Probs[x] {
			if q > 0 {
				mean[i] /= q
			}
		}
		s.Values = append(s.Values, mean)
	}
	return s
}

// Tilted is the same at the optimum for a value on the lattice, m being the
// reference's: P*(state) ∝ P(state) exp(value/β), for each prompt.
func (m StateMass) Tilted(v *CountValue, beta float64) StateMass {
	out := StateMass{lattice: m.lattice}
	for x, p := range m.p {
		logs := make([]float64, len(p))
		for i, mass := range p {
			logs[i] = num.Log(mass) + v.prompts[x].values[v.prompts[x].index[i]]/beta
		}
		logZ := num.LogSumExp(logs)
		for i, l := range logs {
			logs[i] = num.Exp(l - logZ)
		}
		out.p = append(out.p, logs)
	}
	return out
}

// Distribution is that of the value under π, for each prompt.
func (e *Evaluator) Distribution(c *Chain, v *CountValue) Distribution {
	return e.States(c, v.lattice).Distribution(v)
}

// WinRate is P(value under a > value under b) + ½ P(equal), for independent
// responses to the same prompt, averaged over prompts. Both distributions must
// come from the same CountValue.
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
func (l *CountLattice) States() int {
	most := 0
	for _, p := range l.prompts {
		most = max(most, p.states)
	}
	return most
}

// States is that of the lattice under the value.
func (v *CountValue) States() int { return v.lattice.States() }

// Reached is the number of states that 0, 1, …, max_length words can reach, added
// up, for the first prompt: the length of a walk over the lattice.
func (v *CountValue) Reached() int {
	sum := 0
	for _, states := range v.lattice.prompts[0].reach {
		sum += states
	}
	return sum
}

// Values is the number of values that can occur at the first prompt.
func (v *CountValue) Values() int { return len(v.prompts[0].values) }
