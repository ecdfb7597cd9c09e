package dpo

import "rlhfsim/internal/num"

// Losses of a single response and its thumb, up (desirable) or down. On pairs the
// chosen response is desirable and the rejected one is not, and a pair's loss is
// the mean of the two, so that the batch's is the mean over its examples.

// KTO is Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306,
// equation 7) of a response with log-ratio u = log π/π_ref; weight is λ_D or λ_U and
// z₀ the reference point, see MismatchedKL. No gradient runs through z₀.
//
//	desirable:   ℓ = λ_D (1 − σ(β(u − z₀))),  ∂ℓ/∂u = −λ_D β σ(v) σ(−v),  v = β(u − z₀)
//	undesirable: ℓ = λ_U (1 − σ(β(z₀ − u))),  ∂ℓ/∂u =  λ_U β σ(v) σ(−v)
//
// With z₀ = 0 it is the unpaired form of APO-zero (TRL's apo_zero_unpaired).
func KTO(u, beta, z0, weight float64, desirable bool) (loss, slope float64) {
	v := float64(beta * (u - z0))
	up, down := num.Sigmoid(v), num.Sigmoid(-v)
	slope = float64(float64(weight*beta) * float64(up*down))
	if desirable {
		return float64(weight * down), -slope
	}
	return float64(weight * up), slope
}

// MismatchedKL is KTO's estimate of the reference point z₀ = KL(π‖π_ref) from
// responses that belong to other prompts (arXiv 2402.01306):
//
//	ẑ₀ = max(0, mean_i [log π(y′_i|x_i) − log π_ref(y′_i|x_i)])
func MismatchedKL(logp, ref []float64) float64 {
	if len(logp) == 0 {
		return 0
	}
	sum := 0.0
	for i := range logp {
		sum += logp[i] - ref[i]
	}
	return max(0, sum/float64(len(logp)))
}

// BCO is binary classifier optimisation (Jung et al. 2024, arXiv 2404.04656)
// of a response with log-ratio u: a classifier of the reward βu that
// is shifted by δ, the running mean of the rewards. No gradient runs through δ.
//
//	desirable:   ℓ = −log σ(βu − δ),     ∂ℓ/∂u = −β σ(δ − βu)
//	undesirable: ℓ = −log σ(−(βu − δ)),  ∂ℓ/∂u =  β σ(βu − δ)
func BCO(u, beta, delta float64, desirable bool) (loss, slope float64) {
	z := float64(beta*u) - delta
	if desirable {
		return -num.LogSigmoid(z), -float64(beta * num.Sigmoid(-z))
	}
	return -num.LogSigmoid(-z), float64(beta * num.Sigmoid(z))
}

// RunningMean is the mean of all rewards so far: the shift δ of BCO, told the mean
// of a batch at a time (TRL's RunningMoments, in float64).
type RunningMean struct {
	Mean float64
	n    float64
}

// Add takes in n more rewards by their mean, and returns the mean with them.
func (m *RunningMean) Add(mean float64, n int) float64 {
	m.n += float64(n)
	m.Mean += float64((mean - m.Mean) * (float64(n) / m.n))
	return m.Mean
}

// MeanReward is the mean of β log π/π_ref over all responses of a batch.
func (b *Batch) MeanReward(beta float64) float64 {
	sum := 0.0
	for i := range b.Chosen {
		sum += float64(beta * (b.Chosen[i] - b.RefChosen[i]))
	}
	for i := range b.Rejected {
		sum += float64(beta * (b.Rejected[i] - b.RefRejected[i]))
	}
	return sum / float64(len(b.Chosen)+len(b.Rejected))
}
