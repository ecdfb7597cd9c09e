package reward

import (
	"slices"

	"rlhfsim/policy"
)

// Linear is a reward for each prompt that is linear in counts of words or pairs.
type Linear struct {
	Kind           Kind
	Prompts, Words int
	Weight         []float64 // w [prompts][words], or [prompts][words+1][words]: the word before (the start last), the word
	Bias           []float64 // b [prompts]

	params []float64 // the two as one, while they are fitted
}

// NewLinear is the model that gives 0 to everything.
func NewLinear(kind Kind, prompts, words int) *Linear {
	m := &Linear{Kind: kind, Prompts: prompts, Words: words}
	n := prompts * m.perPrompt()
	m.params = make([]float64, n+prompts)
	m.Weight, m.Bias = m.params[:n:n], m.params[n:]
	return m
}

// perPrompt is the number of weights of a prompt.
func (m *Linear) perPrompt() int {
	if m.Kind == Bigrams {
		return (m.Words + 1) * m.Words
	}
	return m.Words
}

// Tensors are weight and bias.
func (m *Linear) Tensors() []Tensor {
	shape := []int{m.Prompts, m.Words}
	if m.Kind == Bigrams {
		shape = []int{m.Prompts, m.Words + 1, m.Words}
	}
	return []Tensor{{"weight", shape, m.Weight}, {"bias", []int{m.Prompts}, m.Bias}}
}

// parameters: decay says that no word matters until shown, but where a prompt's
// rewards lie is not a preference.
func (m *Linear) parameters() (all []float64, decayed int) { return m.params, len(m.Weight) }

// row is where the weights of the words that can follow `before` begin; −1 is
// the start.
func (m *Linear) row(x policy.Prompt, before int) int {
	at := int(x) * m.perPrompt()
	switch {
	case m.Kind != Bigrams:
		return at
	case before < 0:
		return at + m.Words*m.Words
	}
	return at + before*m.Words
}

// Score is r(x,y).
func (m *Linear) Score(x policy.Prompt, y policy.Response) float64 {
	sum, before := m.Bias[x], -1
	for _, t := range y {
		sum += m.Weight[m.row(x, before)+int(t)]
		before = int(t)
	}
	return sum
}

// addGradient: ∂r/∂w is how often the word, or the pair, is said, ∂r/∂b is 1.
func (m *Linear) addGradient(grad []float64, slope float64, x policy.Prompt, y policy.Response) {
	weight, bias, before := grad[:len(m.Weight)], grad[len(m.Weight):], -1
	for _, t := range y {
		weight[m.row(x, before)+int(t)] += slope
		before = int(t)
	}
	bias[x] += slope
}

// Additive is the same reward laid out along a policy's decisions, EOS worth 0:
// the context of a decision holds the word before it.
func (m *Linear) Additive(s policy.Shape) policy.Additive {
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

// Lower takes a constant off every score.
func (m *Linear) Lower(by float64) {
	for x := range m.Bias {
		m.Bias[x] -= by
	}
}
