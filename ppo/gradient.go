package ppo

import (
	"math"

	"rlhfsim/internal/rng"
)

// KLCoef is the KL coefficient of the next step.
func (t *Trainer) KLCoef() float64 { return t.kl.coef }

// EstimateGradient rolls out one batch and fills dst with the gradient that the
// first update of a step would climb, in units of the objective and with respect
// to the logits:
//
//	ĝ = 1/episodes Σ_episodes Σ_t Â_t ∇ log π(y_t)
//
// at ratio 1, before clipping. Whitened advantages are scaled back by the
// standard deviation that whitening divided by; what it does to their mean stays.
// Neither the policy nor the value head learns from it. The expectation of ĝ is
// ∇J where λ = γ = 1 and nothing is whitened, and for any λ once V is exact.
func (t *Trainer) EstimateGradient(dst []float64, r *rng.Stream) {
	b, s, scale := t.rollout, Stats{}, 1.0
	b.sample(t.policy.Policy, t.ref, t.weights, r)
	b.score(t.reward, t.cfg.MissingEOSPenalty, &s)
	b.tokenRewards(t.kl.coef, t.cfg.KLEstimator, &s)
	if t.cfg.WhitenRewards {
		_, variance := moments(b.reward)
		scale *= math.Sqrt(variance + whitenEps)
		Whiten(b.reward, false)
	}
	b.advantages(t.value, t.cfg.Gamma, t.cfg.Lam, &s)
	if t.cfg.WhitenAdvantages {
		_, variance := moments(b.advantage)
		scale *= math.Sqrt(variance + whitenEps)
		Whiten(b.advantage, true)
	}
	clear(dst)
	each := scale / float64(len(b.prompt))
	for j, i := range b.index {
		dst[i] += float64(each * b.advantage[j])
	}
	t.policy.Policy.LogitGradient(dst)
}
