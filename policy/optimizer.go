package policy

import (
	"math"

	"rlhfsim/internal/num"
)

// Adam is the state of Adam (Kingma & Ba 2015, Algorithm 1) with decoupled
// weight decay (Loshchilov & Hutter 2019), in torch's arithmetic: ε is added
// to √v̂, after the bias correction.
type Adam struct {
	Beta1, Beta2, Eps, WeightDecay float64

	m, v           []float64
	power1, power2 float64 // β₁ᵗ and β₂ᵗ
}

// NewAdam is Adam over n parameters with the usual constants (0.9, 0.999, 1e−8).
func NewAdam(n int) *Adam {
	return &Adam{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, m: make([]float64, n), v: make([]float64, n), power1: 1, power2: 1}
}

// Step moves params against grad at learning rate lr.
func (a *Adam) Step(params, grad []float64, lr float64) {
	a.power1 *= a.Beta1
	a.power2 *= a.Beta2
	num.Adam(params, a.m, a.v, grad, num.AdamParams{
		LR: lr, Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay,
		Bias1: 1 - a.power1, Bias2: 1 - a.power2,
	})
}

// ClipGradNorm scales grad so that its Euclidean norm is at most limit, and
// returns the norm before clipping. As in torch the factor is
// min(1, limit/(norm+1e−6)); a limit of 0 leaves the gradient as it is.
func ClipGradNorm(grad []float64, limit float64) float64 {
	norm := math.Sqrt(num.Dot(grad, grad))
	if limit > 0 && norm+1e-6 > limit {
		scale := limit / (norm + 1e-6)
		for i := range grad {
			grad[i] *= scale
		}
	}
	return norm
}

// Trainer applies gradients to a policy: the one place where a derivative with
// respect to log-probabilities becomes a change of parameters.
type Trainer struct {
	Policy *Softmax
	// G is the derivative of the loss with respect to each log-probability,
	// ∂L/∂log π, in the layout of LogP. A method fills it, then calls Update.
	G           []float64
	MaxGradNorm float64 // 0 = no clipping

	adam *Adam
	pull []float64
}

// NewTrainer trains p with Adam.
func NewTrainer(p *Softmax, maxGradNorm float64) *Trainer {
	t := &Trainer{Policy: p, G: make([]float64, len(p.LogP), len(p.LogP)+Padding), MaxGradNorm: maxGradNorm, adam: NewAdam(len(p.params))}
	if p.kind != Table {
		t.pull = make([]float64, len(p.params))
	}
	return t
}

// PaddedG is G with entries after its end that nothing reads: where the padding of
// paths goes (PaddedLogP).
func (t *Trainer) PaddedG() []float64 { return t.G[:len(t.G)+Padding] }

// Update takes one Adam step against G, clears G, and returns the norm of the
// gradient with respect to the parameters before clipping. (An entropy bonus
// fits G too: g_w = −π_w log π_w on a row gives ∂H/∂z.)
func (t *Trainer) Update(lr float64) (gradNorm float64) {
	t.Policy.LogitGradient(t.G)
	grad := t.Policy.pull(t.pull, t.G)
	norm := ClipGradNorm(grad, t.MaxGradNorm)
	t.adam.Step(t.Policy.params, grad, lr)
	t.Policy.refresh()
	clear(t.G)
	return norm
}
