package policy

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// Likely is a response and its exact log-probability.
type Likely struct {
	Response Response
	LogProb  float64
}

// MostLikely returns the k most probable responses to x, exactly, most probable
// first (ties by word index). It is an A* search whose heuristic, the best
// log-probability of any completion from (position, context), is itself exact,
// so only prefixes of answers are ever opened.
func (c *Chain) MostLikely(x Prompt, k int) []Likely {
	s := search{Chain: c, x: x, best: c.bestCompletions(x)}
	heap.Push(&s, node{context: c.start, bound: s.best[c.start]})
	var out []Likely
	for len(out) < k && len(s.open) > 0 {
		n := heap.Pop(&s).(node)
		if n.done {
			out = append(out, Likely{Response: n.words, LogProb: n.logp})
			continue
		}
		s.expand(n)
	}
	return out
}

// bestCompletions is h[t·contexts + c] = the highest log-probability of any
// completion of a prefix of t words whose context is c.
func (c *Chain) bestCompletions(x Prompt) []float64 {
	h := make([]float64, (c.MaxLength+1)*c.contexts)
	for t := c.MaxLength - 1; t >= 0; t-- {
		for context := range c.contexts {
			row := c.LogP[c.Row(t, x, context):]
			best := row[c.Words]
			after := h[(t+1)*c.contexts+int(c.base[context]):]
			for w := range c.Words {
				best = max(best, row[w]+after[w])
			}
			h[t*c.contexts+context] = best
		}
	}
	return h
}

// node is a prefix (or, when done, a whole response) in the search.
type node struct {
	words   Response
	context int
	logp    float64
	bound   float64 // log-probability of the best response that begins so
	done    bool
}

// search is the open list, a heap with the most promising prefix first.
type search struct {
	*Chain
	x    Prompt
	best []float64
	open []node
}

func (s *search) Len() int      { return len(s.open) }
func (s *search) Swap(i, j int) { s.open[i], s.open[j] = s.open[j], s.open[i] }
func (s *search) Push(n any)    { s.open = append(s.open, n.(node)) }
func (s *search) Pop() any {
	n := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	return n
}

func (s *search) Less(i, j int) bool {
	a, b := s.open[i], s.open[j]
	return cmp.Or(cmp.Compare(b.bound, a.bound), slices.Compare(a.words, b.words)) < 0
}

func (s *search) expand(n node) {
	t := len(n.words)
	if t == s.MaxLength {
		n.done = true
		heap.Push(s, n)
		return
	}
	row := s.LogP[s.Row(t, s.x, n.context):]
	end := n.logp + row[s.Words]
	s.push(node{words: n.words, logp: end, bound: end, done: true})
	for w := range Token(s.Words) {
		next, logp := s.Next(n.context, w), n.logp+row[w]
		words := append(slices.Clip(n.words), w)
		s.push(node{words: words, context: next, logp: logp, bound: logp + s.best[(t+1)*s.contexts+next]})
	}
}

// push leaves out what has no probability at all.
func (s *search) push(n node) {
	if n.bound > math.Inf(-1) {
		heap.Push(s, n)
	}
}
