package reward

import (
	"slices"

	"rlhfsim/policy"
)

// Kind says what a Model sees of a response.
type Kind string

const (
	// BagOfWords counts words: r(x,y) = b_x + Σ_t w_x[y_t].
	BagOfWords Kind = "bag_of_words"
	// Bigrams counts adjacent pairs: r(x,y) = b_x + Σ_t w_x[y_{t−1}, y_t], the
	// first word's neighbour being the start. It sees repetition and order.
	Bigrams Kind = "bigrams"
)

// Kinds lists what Config.Model accepts.
var Kinds = []Kind{BagOfWords, Bigrams}

// Model is a reward for each prompt that is linear in counts of words or pairs.
type Model struct {
	Kind           Kind
	Prompts, Words int
	Weight         []float64 // w [prompts][words], or [prompts][words+1][words]: the word before (the start last), the word
	Bias           []float64 // b [prompts]

	params []float64 // the two as one, while they are fitted
}

// NewModel is the model that gives 0 to everything.
func NewModel(kind Kind, prompts, words int) *Model {
	m := &Model{Kind: kind, Prompts: prompts, Words: words}
	n := prompts * m.perPrompt()
	m.params = make([]float64, n+prompts)
	m.Weight, m.Bias = m.params[:n:n], m.params[n:]
	return m
}

// perPrompt is the number of weights of a prompt.
func (m *Model) perPrompt() int {
	if m.Kind == Bigrams {
		return (m.Words + 1) * m.Words
	}
	return m.Words
}

// WeightShape is the shape of Weight.
func (m *Model) WeightShape() []int {
	if m.Kind == Bigrams {
		return []int{m.Prompts, m.Words + 1, m.Words}
	}
	return []int{m.Prompts, m.Words}
}

// row is where the weights of the words that can follow `before` begin; −1 is
// the start.
func (m *Model) row(x policy.Prompt, before int) int {
	at := int(x) * m.perPrompt()
	switch {
	case m.Kind != Bigrams:
		return at
	case before < 0:
		return at + m.Words*m.Words
	}
	return at + before*m.Words
}

// Score is r(x,y). A model is a ppo.Scorer.
func (m *Model) Score(x policy.Prompt, y policy.Response) float64 {
	sum, before := m.Bias[x], -1
	for _, t := range y {
		sum += m.Weight[m.row(x, before)+int(t)]
		before = int(t)
	}
	return sum
}

// addGradient adds slope · ∂r(x,y)/∂θ to the gradient of weights and biases:
// ∂r/∂w is how often the word, or the pair, is said, ∂r/∂b is 1.
func (m *Model) addGradient(weight, bias []float64, slope float64, x policy.Prompt, y policy.Response) {
	before := -1
	for _, t := range y {
		weight[m.row(x, before)+int(t)] += slope
		before = int(t)
	}
	bias[x] += slope
}

// Additive is the same reward laid out along a policy's decisions, EOS worth 0:
// the context of a decision holds the word before it.
func (m *Model) Additive(s policy.Shape) policy.Additive {
	a := policy.Additive{Bias: slices.Clone(m.Bias), R: make([]float64, s.Cells())}
	newest, n := s.NewestWords(), s.Outcomes()
	for x := range s.Prompts {
		for c, before := range newest {
			at := m.row(policy.Prompt(x), before)
			copy(a.R[(x*len(newest)+c)*n:], m.Weight[at:at+m.Words])
		}
	}
	return a
}

// Shift subtracts one constant so that the demonstrations score 0 on average:
// Bradley-Terry leaves the zero point open, and InstructGPT (section 3.5) fixes
// it so before reinforcement learning. Without demonstrations it stays open.
func (m *Model) Shift(demonstrations []policy.Demonstration) {
	if len(demonstrations) == 0 {
		return
	}
	sum := 0.0
	for _, d := range demonstrations {
		sum += m.Score(d.Prompt, d.Response)
	}
	for x := range m.Bias {
		m.Bias[x] -= sum / float64(len(demonstrations))
	}
}
