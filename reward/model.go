package reward

import (
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Kind says what a Model sees of a response, and what it can make of it.
type Kind string

const (
	// BagOfWords counts words: r(x,y) = b_x + Σ_t w_x[y_t].
	BagOfWords Kind = "bag_of_words"
	// Bigrams counts adjacent pairs: r(x,y) = b_x + Σ_t w_x[y_{t−1}, y_t], the
	// first word's neighbour being the start. It sees repetition and order.
	Bigrams Kind = "bigrams"
	// MLP is a small network over capped counts, see Network.
	MLP Kind = "mlp"
)

// Kinds lists what Config.Model accepts.
var Kinds = []Kind{BagOfWords, Bigrams, MLP}

// Scorer gives a whole response its reward.
type Scorer interface {
	Score(x policy.Prompt, y policy.Response) float64
}

// Model is a reward with parameters to fit.
type Model interface {
	Scorer
	// Tensors are the parameters by name, sharing the model's memory.
	Tensors() []Tensor
	// Lower takes a constant off every score.
	Lower(by float64)

	// parameters are all of them, those that weight decay applies to first.
	parameters() (all []float64, decayed int)
	// addGradient adds slope · ∂r(x,y)/∂θ to the gradient of the parameters.
	addGradient(grad []float64, slope float64, x policy.Prompt, y policy.Response)
}

// Tensor is a named array of parameters, in row-major order.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float64
}

// View is what a model can see of the world.
type View struct {
	Prompts, Words int
	// Counts are what a network reads: each is capped at len(Worth)−1, its worth
	// is not looked at.
	Counts policy.Counts
}

// NewModel is an unfitted model of the configured kind: a linear one gives 0 to
// everything, the parameters of a network are drawn from init.
func (c Config) NewModel(v View, init *rng.Stream) Model {
	if c.Model == MLP {
		return NewNetwork(v, c.HiddenSize, init)
	}
	return NewLinear(c.Model, v.Prompts, v.Words)
}

// Shift subtracts one constant so that the demonstrations score 0 on average:
// Bradley-Terry leaves the zero point open, and InstructGPT (section 3.5) fixes
// it so before reinforcement learning. Without demonstrations it stays open.
func Shift(m Model, demonstrations []policy.Demonstration) {
	if len(demonstrations) == 0 {
		return
	}
	sum := 0.0
	for _, d := range demonstrations {
		sum += m.Score(d.Prompt, d.Response)
	}
	m.Lower(sum / float64(len(demonstrations)))
}
