package reward

import (
	"math"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Network is a network with one hidden layer over capped counts, the same for all
// prompts:
//
//	r(x,y) = c + Σ_j v_j h_j,  h_j = tanh( b_j + Σ_k W_jk f_k ),  f_k = min(n_k(x,y), cap_k)/cap_k
//
// The counts are relative to the prompt (a "right answer" is one to x), so what it
// learns at one prompt holds at all, and unlike a linear model it can learn that
// one kind word is nice and three are too many.
type Network struct {
	Counts policy.Counts // n_k
	Words  int           // of the vocabulary

	HiddenWeight []float64 // W [hidden][counts]
	HiddenBias   []float64 // b [hidden]
	OutputWeight []float64 // v [hidden]
	OutputBias   []float64 // c [1]

	params []float64 // W, v, b, c as one, while they are fitted
}

// MaxCounts bounds the counts a network reads.
const MaxCounts = 64

// NewNetwork draws W, b, v and c uniformly from ±1/√(inputs of the layer), as
// PyTorch's Linear does; without init all are 0.
func NewNetwork(v View, hidden int, init *rng.Stream) *Network {
	k := len(v.Counts)
	m := &Network{Counts: v.Counts, Words: v.Words, params: make([]float64, hidden*k+2*hidden+1)}
	m.HiddenWeight, m.OutputWeight = m.params[:hidden*k:hidden*k], m.params[hidden*k:hidden*(k+1):hidden*(k+1)]
	m.HiddenBias, m.OutputBias = m.params[hidden*(k+1):hidden*(k+2):hidden*(k+2)], m.params[hidden*(k+2):]
	if init == nil {
		return m
	}
	for _, layer := range []struct {
		params []float64
		inputs int
	}{{m.HiddenWeight, k}, {m.HiddenBias, k}, {m.OutputWeight, hidden}, {m.OutputBias, hidden}} {
		bound := 1 / math.Sqrt(float64(layer.inputs))
		for i := range layer.params {
			layer.params[i] = float64(bound * (2*init.Float64() - 1))
		}
	}
	return m
}

// Tensors are the two layers' weights and biases.
func (m *Network) Tensors() []Tensor {
	hidden := len(m.HiddenBias)
	return []Tensor{
		{"hidden.weight", []int{hidden, len(m.Counts)}, m.HiddenWeight}, {"hidden.bias", []int{hidden}, m.HiddenBias},
		{"output.weight", []int{hidden}, m.OutputWeight}, {"output.bias", []int{1}, m.OutputBias},
	}
}

func (m *Network) parameters() (all []float64, decayed int) {
	return m.params, len(m.HiddenWeight) + len(m.OutputWeight)
}

// Lower takes a constant off every score.
func (m *Network) Lower(by float64) { m.OutputBias[0] -= by }

// Score is r(x,y).
func (m *Network) Score(x policy.Prompt, y policy.Response) float64 {
	var room [MaxCounts]float64
	return m.forward(m.inputs(room[:0], x, y))
}

// ScoreCounts is the reward of a response whose counts are n.
func (m *Network) ScoreCounts(n []int) float64 {
	var room [MaxCounts]float64
	f := room[:0]
	for k, c := range m.Counts {
		f = append(f, capped(n[k], c))
	}
	return m.forward(f)
}

// inputs appends f(x,y).
func (m *Network) inputs(f []float64, x policy.Prompt, y policy.Response) []float64 {
	for _, c := range m.Counts {
		f = append(f, capped(c.Of(x, y, m.Words), c))
	}
	return f
}

func capped(n int, c policy.Count) float64 {
	most := len(c.Worth) - 1
	return float64(min(n, most)) / float64(most)
}

func (m *Network) forward(f []float64) float64 {
	r := m.OutputBias[0]
	for j, v := range m.OutputWeight {
		r += float64(v * m.hidden(j, f))
	}
	return r
}

func (m *Network) hidden(j int, f []float64) float64 {
	a := m.HiddenBias[j]
	for k, w := range m.HiddenWeight[j*len(f) : (j+1)*len(f)] {
		a += float64(w * f[k])
	}
	return num.Tanh(a)
}

// addGradient is back-propagation by hand:
//
//	∂r/∂c = 1,  ∂r/∂v_j = h_j,  ∂r/∂b_j = v_j (1 − h_j²),  ∂r/∂W_jk = v_j (1 − h_j²) f_k
func (m *Network) addGradient(grad []float64, slope float64, x policy.Prompt, y policy.Response) {
	var room [MaxCounts]float64
	f := m.inputs(room[:0], x, y)
	hidden := len(m.OutputWeight)
	weight, output := grad[:hidden*len(f)], grad[hidden*len(f):]
	bias := output[hidden:]
	for j, v := range m.OutputWeight {
		h := m.hidden(j, f)
		output[j] += float64(slope * h)
		back := float64(slope * float64(v*(1-float64(h*h))))
		bias[j] += back
		for k, input := range f {
			weight[j*len(f)+k] += float64(back * input)
		}
	}
	bias[hidden] += slope
}
