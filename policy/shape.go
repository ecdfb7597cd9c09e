package policy

import (
	"fmt"
	"math"
)

// Shape is the geometry of a world as a policy sees it. The policy's table has
// one row for each (prompt, context) and one column for each outcome of a
// decision: the words in order, then EOS.
type Shape struct {
	Prompts   int // number of prompts, ≥ 1
	Words     int // number of words, ≥ 1, EOS not counted
	MaxLength int // a response that reaches this many words stops there, ≥ 1
	Order     int // the context is the last Order words, ≥ 1 (1 = bigram)
}

// MaxCells bounds the entries of one table (8 bytes each), so that a size typed
// by mistake is refused instead of exhausting the machine's memory.
const MaxCells = 1 << 27

// Outcomes is the number of columns of a row: every word, and EOS.
func (s Shape) Outcomes() int { return s.Words + 1 }

// EOS is the token of the end-of-sequence decision.
func (s Shape) EOS() Token { return Token(s.Words) }

// Window is the number of words a context can hold: Order, or less where
// responses are too short to ever fill it.
func (s Shape) Window() int { return max(1, min(s.Order, s.MaxLength-1)) }

// Contexts is the number of contexts, Σ_{k=0..n} Words^k for a window of n words.
// Full windows come first, in base-Words order (oldest word most significant),
// then the shorter ones, and last the empty one, Start.
func (s Shape) Contexts() int {
	total, power := 1, 1
	for range s.Window() {
		power *= s.Words
		total += power
	}
	return total
}

// Start is the context before the first word.
func (s Shape) Start() int { return s.Contexts() - 1 }

// Rows is the number of rows of one table: prompts × contexts.
func (s Shape) Rows() int { return s.Prompts * s.Contexts() }

// Cells is the number of entries of one table: prompts × contexts × outcomes.
func (s Shape) Cells() int { return s.Rows() * s.Outcomes() }

// Validate reports a geometry that is impossible, or whose table would hold
// more than MaxCells entries; it computes in floating point so that absurd
// sizes cannot overflow.
func (s Shape) Validate() error {
	if s.Prompts < 1 || s.Words < 1 || s.MaxLength < 1 || s.Order < 1 {
		return fmt.Errorf("policy: prompts %d, words %d, max_length %d and order %d must all be at least 1",
			s.Prompts, s.Words, s.MaxLength, s.Order)
	}
	if cells := s.CellsNeeded(); cells > MaxCells {
		return fmt.Errorf("policy: a table of %.3g entries (%.3g MB) is needed, the limit is %d (%d MB)",
			cells, cells*8/1e6, MaxCells, MaxCells*8/1000000)
	}
	return nil
}

// CellsNeeded is Cells computed in floating point, for shapes not yet validated.
func (s Shape) CellsNeeded() float64 {
	contexts, power := 1.0, 1.0
	for k := 0; k < s.Window() && contexts < math.MaxInt64; k++ {
		power *= float64(s.Words)
		contexts += power
	}
	return contexts * float64(s.Prompts) * float64(s.Words+1)
}

// ladder is a shape's context arithmetic with the sums taken once. Contexts of
// the same length lie side by side; offset[k] is where those of k words begin.
type ladder struct {
	words, window int
	offset        []int // by number of words held, 0..window
	tail          int   // Words^(window−1): contexts that share their newest word
}

func (s Shape) ladder() ladder {
	n := s.Window()
	l := ladder{words: s.Words, window: n, offset: make([]int, n+1), tail: 1}
	size := make([]int, n+1)
	size[0] = 1
	for k := 1; k <= n; k++ {
		size[k] = size[k-1] * s.Words
	}
	for k := n - 1; k >= 0; k-- {
		l.offset[k] = l.offset[k+1] + size[k+1]
	}
	l.tail = size[n-1]
	return l
}

// held is the number of words that context c holds.
func (l ladder) held(c int) int {
	k := l.window
	for c < l.offset[k] || (k > 0 && c >= l.offset[k-1]) {
		k--
	}
	return k
}

// base is the context that follows c when word 0 is said; word w leads to base+w.
func (l ladder) base(c int) int {
	k := l.held(c)
	if k == l.window {
		return (c % l.tail) * l.words
	}
	return l.offset[k+1] + (c-l.offset[k])*l.words
}

// last is the newest word of context c, −1 for the empty context.
func (l ladder) last(c int) int {
	k := l.held(c)
	if k == 0 {
		return -1
	}
	return (c - l.offset[k]) % l.words
}

// NewestWords is the newest word of every context, −1 for the empty one.
func (s Shape) NewestWords() []int {
	l, newest := s.ladder(), make([]int, s.Contexts())
	for c := range newest {
		newest[c] = l.last(c)
	}
	return newest
}

// geometry is the shape with every context's successor and newest word in
// tables: what sampling and the exact recursions walk along.
type geometry struct {
	Shape
	contexts, start int
	base            []int32 // context after saying word 0; word w leads to base[c]+w
	last            []int32 // newest word of the context, −1 at the start
	groups          [][]int32
}

func newGeometry(s Shape) *geometry {
	l := s.ladder()
	n := s.Contexts()
	g := &geometry{Shape: s, contexts: n, start: n - 1, base: make([]int32, n), last: make([]int32, n)}
	byBase := map[int32]int{}
	for c := range n {
		b := int32(l.base(c))
		g.base[c], g.last[c] = b, int32(l.last(c))
		k, seen := byBase[b]
		if !seen {
			k = len(g.groups)
			byBase[b] = k
			g.groups = append(g.groups, nil)
		}
		g.groups[k] = append(g.groups[k], int32(c))
	}
	return g
}

// Start is the context before the first word.
func (g *geometry) Start() int { return g.start }

// Contexts is the number of contexts.
func (g *geometry) Contexts() int { return g.contexts }

// Rows is the number of rows of one table.
func (g *geometry) Rows() int { return g.Prompts * g.contexts }

// Next is the context after saying w in context c.
func (g *geometry) Next(c int, w Token) int { return int(g.base[c]) + int(w) }
