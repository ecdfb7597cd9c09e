package policy

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// A bag-of-words score depends on a response's words and not on their order, so
// its joint distribution with a count-based value lives on multisets of words:
// 0.6 million of them for 24 words and responses of up to 6, where there are 200
// million responses. Of the counts only the repeats depend on the order; they
// are followed beside the multiset.

// MaxMultisets bounds the multisets of a world that NewMultisets accepts.
const MaxMultisets = 1 << 22

// Multisets numbers all multisets of up to MaxLength words: level by level, and
// within a level in lexicographic order of the sorted words.
type Multisets struct {
	*geometry
	level []int   // where the multisets of k words begin, [max_length+2]
	words []Token // the sorted words of each multiset, level k's take k entries
	at    []int   // where the words of level k begin
	add   []int32 // [multisets below max_length][words] → the multiset with that word too
}

// MultisetsNeeded is the number of multisets of a shape, C(words+max_length,
// max_length), in floating point so that it cannot overflow.
func (s Shape) MultisetsNeeded() float64 {
	n := 1.0
	for k := 1; k <= s.MaxLength; k++ {
		n = n * float64(s.Words+k) / float64(k)
	}
	return math.Round(n)
}

// NewMultisets numbers them; the error wraps ErrTooLarge.
func (e *Evaluator) NewMultisets() (*Multisets, error) {
	if need := e.MultisetsNeeded(); need > MaxMultisets {
		return nil, fmt.Errorf("%w: %.3g multisets of words, the limit is %d", ErrTooLarge, need, MaxMultisets)
	}
	m := &Multisets{geometry: e.geometry, level: []int{0, 1}, at: []int{0, 0}}
	w := e.Words
	for k := 1; k <= e.MaxLength; k++ {
		from, to := m.level[k-1], m.level[k]
		next := to
		for id := from; id < to; id++ {
			if e.Stopped() {
				return nil, context.Cause(e.ctx)
			}
			old := m.of(k-1, id)
			first := 0
			if k > 1 {
				first = int(old[k-2])
			}
			row := make([]int32, w)
			for word := first; word < w; word++ { // appended at the end
				row[word] = int32(next)
				m.words = append(append(m.words, m.of(k-1, id)...), Token(word))
				next++
			}
			for word := range first { // inserted: add it to all but the last word, then that
				less := m.add[m.parent(k-1, id)*w+word]
				row[word] = m.add[int(less)*w+first]
			}
			m.add = append(m.add, row...)
		}
		m.level = append(m.level, next)
		m.at = append(m.at, len(m.words))
	}
	return m, nil
}

// of is the sorted words of multiset id, which has k.
func (m *Multisets) of(k, id int) []Token {
	at := m.at[k] + (id-m.level[k])*k
	return m.words[at : at+k]
}

// parent is the multiset without its last word.
func (m *Multisets) parent(k, id int) int {
	to := 0
	for _, word := range m.of(k, id)[:k-1] {
		to = int(m.add[to*m.Words+int(word)])
	}
	return to
}

// arrival is one way to have said the words of a multiset: the context it leaves
// and the repeats on the way.
type arrival struct {
	context, repeats int32
	p                float64
}

// block is what arrives at a multiset by its last word; a multiset's blocks are linked.
type block struct{ from, to, next int32 }

// BagOfWords is the exact distribution of the score
//
//	r(x,y) = bias[x] + Σ_t weight[x][y_t]
//
// under π, jointly with the mean of the counts' value. Scores that differ by
// less than 1e−9 are ties.
func (e *Evaluator) BagOfWords(m *Multisets, c *Chain, weight, bias []float64, counts Counts) Selection {
	var out Selection
	mass, late := make([]float64, m.level[len(m.level)-1]), make([]float64, m.level[len(m.level)-1])
	for x := range e.Prompts {
		clear(mass)
		clear(late)
		e.walk(m, c, Prompt(x), counts, mass, late)
		scores, probs, values := m.collect(Prompt(x), weight[x*e.Words:(x+1)*e.Words], bias[x], counts, mass, late)
		out.Scores, out.Probs, out.Values = append(out.Scores, scores), append(out.Probs, probs), append(out.Values, values)
	}
	return out
}

// walk fills, for each multiset, the probability that a response has these
// words, and of the value that probability times the worth of its repeats.
func (e *Evaluator) walk(m *Multisets, c *Chain, x Prompt, counts Counts, mass, late []float64) {
	worth := make([]float64, m.MaxLength+1)
	for n := range worth {
		for _, count := range counts {
			if count.Kind == CountRepeat {
				worth[n] += count.worth(n)
			}
		}
	}
	arrivals, blocks, heads := []arrival{{context: int32(m.start), p: 1}}, []block{{0, 1, -1}}, []int32{0}
	for k := range m.MaxLength {
		from, to := m.level[k], m.level[k+1]
		next := make([]int32, m.level[k+2]-to)
		for i := range next {
			next[i] = -1
		}
		var nextArrivals []arrival
		var nextBlocks []block
		var all []arrival
		for id := from; id < to && !e.Stopped(); id++ {
			all = all[:0]
			for b := heads[id-from]; b >= 0; b = blocks[b].next {
				all = append(all, arrivals[blocks[b].from:blocks[b].to]...)
			}
			for _, a := range all {
				p := float64(a.p * c.P[c.Row(k, x, int(a.context))+m.Words])
				mass[id] += p
				late[id] += float64(p * worth[a.repeats])
			}
			for word := range m.Words {
				child := int(m.add[id*m.Words+word])
				begin := len(nextArrivals)
				nextArrivals = m.say(nextArrivals, all, c, k, x, Token(word))
				if k+1 < m.MaxLength {
					nextBlocks = append(nextBlocks, block{int32(begin), int32(len(nextArrivals)), next[child-to]})
					next[child-to] = int32(len(nextBlocks) - 1)
					continue
				}
				for _, a := range nextArrivals { // cut: the end of the response
					mass[child] += a.p
					late[child] += float64(a.p * worth[a.repeats])
				}
				nextArrivals = nextArrivals[:0]
			}
		}
		arrivals, blocks, heads = nextArrivals, nextBlocks, next
	}
}

// say appends where the arrivals go by a word; those that agree are added up.
func (m *Multisets) say(dst, all []arrival, c *Chain, k int, x Prompt, word Token) []arrival {
	begin := len(dst)
	for _, a := range all {
		p := float64(a.p * c.P[c.Row(k, x, int(a.context))+int(word)])
		if p == 0 {
			continue
		}
		to := arrival{context: int32(m.Next(int(a.context), word)), repeats: a.repeats, p: p}
		if m.last[a.context] == int32(word) {
			to.repeats++
		}
		known := false
		for i := range dst[begin:] {
			if old := &dst[begin+i]; old.context == to.context && old.repeats == to.repeats {
				old.p += p
				known = true
				break
			}
		}
		if !known {
			dst = append(dst, to)
		}
	}
	return dst
}

// atom is a multiset that can be said: key tells scores apart.
type atom struct {
	key   float64
	id    int32
	score float64
}

// collect sorts the multisets by score and adds up ties.
func (m *Multisets) collect(x Prompt, weight []float64, bias float64, counts Counts, mass, late []float64) (scores, probs, values []float64) {
	var atoms []atom
	for k := range m.MaxLength + 1 {
		for id := m.level[k]; id < m.level[k+1]; id++ {
			if mass[id] == 0 {
				continue
			}
			score := bias
			for _, w := range m.of(k, id) {
				score += weight[w]
			}
			atoms = append(atoms, atom{math.Round(score * 1e9), int32(id), score})
			late[id] += float64(mass[id] * m.worth(x, m.of(k, id), counts))
		}
	}
	slices.SortFunc(atoms, func(a, b atom) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Compare(a.id, b.id) // a total order: the same sums everywhere
	})
	for i, a := range atoms {
		if last := len(scores) - 1; i > 0 && atoms[i-1].key == a.key {
			probs[last] += mass[a.id]
			values[last] += late[a.id]
			continue
		}
		scores, probs, values = append(scores, a.score), append(probs, mass[a.id]), append(values, late[a.id])
	}
	for i, p := range probs {
		values[i] /= p
	}
	return scores, probs, values
}

// worth is the value of the words but for their repeats.
func (m *Multisets) worth(x Prompt, words []Token, counts Counts) float64 {
	sum := 0.0
	for _, c := range counts {
		if c.Kind != CountRepeat {
			sum += c.worth(c.Of(x, words, m.Words))
		}
	}
	return sum
}
