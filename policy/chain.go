package policy

import (
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
)

// Chain is a distribution over responses, one word at a time: at every position
// a row of probabilities over the outcomes for each prompt and context. A
// softmax policy uses the same rows at every position (Positions = 1); the
// KL-regularised optimum has rows of its own for each (Positions = MaxLength).
type Chain struct {
	*geometry
	Positions int
	P         []float64 // probabilities [positions][prompts][contexts][words+1]
	LogP      []float64 // their logarithms, same layout
}

func newChain(g *geometry, positions int) Chain {
	n := positions * g.Cells()
	return Chain{geometry: g, Positions: positions, P: make([]float64, n), LogP: make([]float64, n, n+Padding)}
}

// Padding is the number of entries that PaddedLogP and PaddedG have beyond the table.
const Padding = 8

// PaddedLogP is LogP with zeros after its end. Paths filled up with indices of these
// are all as long as the longest one, and loops over them run equally often: on
// lengths that change, the processor guesses wrongly, which costs more than the
// additions of zero. There are several so that one need not wait for the other.
func (c *Chain) PaddedLogP() []float64 { return c.LogP[:len(c.LogP)+Padding] }

// Row is the index of the first entry of the row for prompt x in context c at
// position t (0-based) in P and LogP.
func (c *Chain) Row(t int, x Prompt, context int) int {
	if c.Positions == 1 {
		t = 0
	}
	return ((t*c.Prompts+int(x))*c.contexts + context) * c.Outcomes()
}

// Path appends to dst the indices into P and LogP of the decisions that make
// response y to prompt x: its words, then EOS where one is said.
func (c *Chain) Path(dst []int32, x Prompt, y Response) []int32 {
	context := c.start
	for t, w := range y {
		dst = append(dst, int32(c.Row(t, x, context)+int(w)))
		context = c.Next(context, w)
	}
	if len(y) < c.MaxLength {
		dst = append(dst, int32(c.Row(len(y), x, context)+c.Words))
	}
	return dst
}

// LogProb is log π(y|x) = Σ_t log π(y_t|x, y_<t) in nats, EOS included.
func (c *Chain) LogProb(x Prompt, y Response) float64 {
	context, sum := c.start, 0.0
	for t, w := range y {
		sum += c.LogP[c.Row(t, x, context)+int(w)]
		context = c.Next(context, w)
	}
	if len(y) < c.MaxLength {
		sum += c.LogP[c.Row(len(y), x, context)+c.Words]
	}
	return sum
}

// SumLogP is Σ LogP over a path: the log-probability of a response whose path
// was taken once and is used many times.
func (c *Chain) SumLogP(path []int32) float64 {
	sum := 0.0
	for _, i := range path {
		sum += c.LogP[i]
	}
	return sum
}

// Sample draws a response to prompt x at temperature 1, appending its words to dst.
func (c *Chain) Sample(dst Response, x Prompt, r *rng.Stream) Response {
	context, n := c.start, c.Outcomes()
	for t := range c.MaxLength {
		row := c.Row(t, x, context)
		w := Token(r.Categorical(c.P[row : row+n]))
		if w == c.EOS() {
			break
		}
		dst = append(dst, w)
		context = c.Next(context, w)
	}
	return dst
}

// Tempered is the chain with each row sharpened or flattened,
// π_T(w|·) ∝ π(w|·)^{1/T}: sampling at temperature T is Sample on Tempered(T).
func (c *Chain) Tempered(temperature float64) *Chain {
	out := newChain(c.geometry, c.Positions)
	scaled := make([]float64, len(c.LogP))
	for i, l := range c.LogP {
		scaled[i] = l / temperature
	}
	num.SoftmaxRows(out.P, out.LogP, scaled, c.Outcomes())
	return &out
}

// Greedy is the response whose every word is the most probable one (the lowest
// index where several are); it need not be the most probable response.
func (c *Chain) Greedy(x Prompt) Response { return c.AppendGreedy(nil, x) }

// likeliest is the index of the largest entry, the first where several are; where all
// are NaN, 0, so that a training that failed ends where its loss is looked at.
func likeliest(row []float64) int {
	at := 0
	for i, p := range row {
		if p > row[at] {
			at = i
		}
	}
	return at
}

// AppendGreedy is Greedy in the room that y, which is empty, brings along.
func (c *Chain) AppendGreedy(y Response, x Prompt) Response {
	context, n := c.start, c.Outcomes()
	for t := range c.MaxLength {
		row := c.LogP[c.Row(t, x, context):][:n]
		w := Token(likeliest(row))
		if w == c.EOS() {
			break
		}
		y = append(y, w)
		context = c.Next(context, w)
	}
	return y
}
