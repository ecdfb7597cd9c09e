package dpo

import (
	"rlhfsim/internal/num"
	"rlhfsim/policy"
)

// Population is the problem that DPO solves on endless data: pairs of different
// responses of one writer to the same prompt, labelled by people.
type Population struct {
	Ref, Writer *policy.Chain
	Weights     []float64 // probability of each prompt
	// Prefers is the probability that a is labelled the better response to x.
	Prefers func(x policy.Prompt, a, b policy.Response) float64

	responses []policy.Response
}

// NewPopulation lists the responses of the world; the error wraps
// policy.ErrTooLarge where there are more than limit (the work grows with the
// square).
func NewPopulation(p Population, limit int) (*Population, error) {
	var err error
	p.responses, err = p.Ref.Responses(limit)
	return &p, err
}

// Loss is the expected sigmoid loss, exactly, by enumeration:
//
//	L = E_x 2 Σ_{y≠y′} μ(y|x) μ(y′|x) p(y ≻ y′|x) ℓ(h(y,y′)) / P(y ≠ y′)
//
// with μ the writer. It fills dst with ∂L/∂log π(w|row), as policy.Trainer.G.
func (p *Population) Loss(dst []float64, pi *policy.Chain, beta, epsilon float64) float64 {
	clear(dst)
	n := len(p.responses)
	mu, ratio, slope := make([]float64, n), make([]float64, n), make([]float64, n)
	loss, total := 0.0, 0.0
	var path []int32
	for k, weight := range p.Weights {
		x := policy.Prompt(k)
		for i, y := range p.responses {
			mu[i] = num.Exp(p.Writer.LogProb(x, y))
			ratio[i] = pi.LogProb(x, y) - p.Ref.LogProb(x, y)
		}
		clear(slope)
		for i, y := range p.responses {
			for j, other := range p.responses {
				if i == j {
					continue
				}
				mass := float64(float64(weight*float64(mu[i]*mu[j])) * p.Prefers(x, y, other))
				total += mass // half of P(y ≠ y′), as the chosen one comes first
				l, s := Sigmoid(ratio[i]-ratio[j], beta, epsilon)
				loss += float64(mass * l)
				slope[i] += float64(mass * s)
				slope[j] -= float64(mass * s)
			}
		}
		for i, y := range p.responses {
			path = pi.Path(path[:0], x, y)
			for _, at := range path {
				dst[at] += slope[i]
			}
		}
	}
	for i := range dst {
		dst[i] /= total
	}
	return loss / total
}

// DataGradient fills dst with the gradient of the mean sigmoid loss over given
// pairs, in the same convention, and returns that loss.
func DataGradient(dst []float64, pi, ref *policy.Chain, pairs []policy.Pair, beta, epsilon float64) float64 {
	clear(dst)
	loss, each := 0.0, 1/float64(len(pairs))
	var path []int32
	for _, p := range pairs {
		h := pi.LogProb(p.Prompt, p.Chosen) - ref.LogProb(p.Prompt, p.Chosen) - pi.LogProb(p.Prompt, p.Rejected) + ref.LogProb(p.Prompt, p.Rejected)
		l, s := Sigmoid(h, beta, epsilon)
		loss += float64(each * l)
		path = pi.Path(path[:0], p.Prompt, p.Chosen)
		for _, at := range path {
			dst[at] += float64(each * s)
		}
		path = pi.Path(path[:0], p.Prompt, p.Rejected)
		for _, at := range path {
			dst[at] -= float64(each * s)
		}
	}
	return loss
}
