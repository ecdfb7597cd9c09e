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
	s := search{Chain: c, x: x, counts: &oneState, worth: func(int, int) float64 { return 0 }, stopped: func() bool { return false }}
	return s.mostLikely(k)
}

// MostLikely is that of the optimum for a count-based reward, whose
// log-probability is the reference's plus the tilt of where the counts end; nil
// once the context of its evaluator has ended.
func (o *CountOptimum) MostLikely(x Prompt, k int) []Likely {
	logZ := o.LogZ(x)
	s := search{Chain: o.ref, x: x, counts: o.joint(x), stopped: o.stopped,
		worth: func(t, state int) float64 { return o.worth(x, t, state) - logZ }}
	return s.mostLikely(k)
}

func (s *search) mostLikely(k int) []Likely {
	if s.best = s.bestCompletions(); s.stopped() {
		return nil
	}
	heap.Push(s, node{context: s.start, bound: s.best[0][s.start]})
	var out []Likely
	for len(out) < k && len(s.open) > 0 {
		n := heap.Pop(s).(node)
		if n.done {
			out = append(out, Likely{Response: n.words, LogProb: n.logp})
			continue
		}
		s.expand(n)
	}
	return out
}

// bestCompletions is h[t][state·contexts + c] = the highest log-probability of
// any completion of a prefix of t words that leaves the counts in that state
// and has context c.
func (s *search) bestCompletions() [][]float64 {
	h := make([][]float64, s.MaxLength+1)
	for t := s.MaxLength; t >= 0; t-- {
		states := 1
		if s.counts.reach != nil {
			states = s.counts.reach[t]
		}
		h[t] = make([]float64, states*s.contexts)
		for i := range h[t] {
			if i%s.contexts == 0 && s.stopped() {
				return nil
			}
			h[t][i] = s.bestFrom(h, t, i/s.contexts, i%s.contexts)
		}
	}
	return h
}

func (s *search) bestFrom(h [][]float64, t, state, context int) float64 {
	if t == s.MaxLength {
		return s.worth(t, state)
	}
	row := s.LogP[s.Row(t, s.x, context):]
	best := row[s.Words] + s.worth(t, state)
	for w := range Token(s.Words) {
		best = max(best, row[w]+h[t+1][s.step(state, context, w)*s.contexts+s.Next(context, w)])
	}
	return best
}

// step is the counts' state after saying w.
func (s *search) step(state, context int, w Token) int {
	switch {
	case s.counts.next == nil:
		return 0
	case s.last[context] == int32(w):
		return int(s.counts.again[state*s.Words+int(w)])
	}
	return int(s.counts.next[state*s.Words+int(w)])
}

// node is a prefix (or, when done, a whole response) in the search.
type node struct {
	words   Response
	state   int // of the counts
	context int
	logp    float64
	bound   float64 // log-probability of the best response that begins so
	done    bool
}

// search is the open list, a heap with the most promising prefix first.
type search struct {
	*Chain
	x       Prompt
	counts  *automaton
	worth   func(t, state int) float64 // what ending there adds to the log-probability
	stopped func() bool
	best    [][]float64
	open    []node
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
		n.logp += s.worth(t, n.state)
		n.done = true
		heap.Push(s, n)
		return
	}
	row := s.LogP[s.Row(t, s.x, n.context):]
	end := n.logp + row[s.Words] + s.worth(t, n.state)
	s.push(node{words: n.words, logp: end, bound: end, done: true})
	for w := range Token(s.Words) {
		context, state, logp := s.Next(n.context, w), s.step(n.state, n.context, w), n.logp+row[w]
		words := append(slices.Clip(n.words), w)
		s.push(node{words: words, state: state, context: context, logp: logp, bound: logp + s.best[t+1][state*s.contexts+context]})
	}
}

// push leaves out what has no probability at all.
func (s *search) push(n node) {
	if n.bound > math.Inf(-1) {
		heap.Push(s, n)
	}
}
