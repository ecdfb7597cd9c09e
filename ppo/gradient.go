package ppo

import "rlhfsim/internal/rng"

// KLCoef is the KL coefficient of the next step.
func (t *Trainer) KLCoef() float64 { return t.kl.coef }

// EstimateGradient rolls out one batch and fills dst with its estimate of ∇J, what
// the first update of a step would climb without entropy bonus and pre-training mix
// (no part of J), in units of the objective and with respect to the logits:
//
//	ĝ = 1/episodes Σ_episodes Σ_t (Â_t − β k′_t) ∇ log π(y_t)
//
// at ratio 1 (k′ is the slope of a KL penalty that stands in the loss), before clipping. Whitened advantages are scaled back by the
// standard deviation that whitening divided by; what it does to their mean stays.
// Neither the policy nor the value head learns from it. The expectation of ĝ is
// ∇J where λ = γ = 1 and nothing is whitened, and for any λ once V is exact; under a
// mask (NLPO) it is another, that of what the masked policy earns.
func (t *Trainer) EstimateGradient(dst []float64, r *rng.Stream) {
	b, s, scale, scores := t.rollout, Stats{}, 1.0, t.scale
	t.collect(&scores, r, &s) // by a copy of what was seen: nothing learns from this batch
	if t.cfg.WhitenRewards {
		scale *= b.whitenRewards(t.cfg.BiasedWhitening)
	}
	b.advantages(t.value, t.cfg.Gamma, t.cfg.Lam, &s)
	if t.cfg.WhitenAdvantages {
		scale *= Whiten(b.advantage, true, t.cfg.BiasedWhitening)
	}
	clear(dst)
	each := scale / float64(len(b.prompt))
	for j, i := range b.index {
		dst[i] += float64(each * b.advantage[j])
	}
	if t.mask != nil {
		t.actor.Policy.LogitGradient(dst)
	}
	if inLoss(t.cfg.KLIn) {
		t.subtractKL(dst, each)
	}
	t.policy.Policy.LogitGradient(dst)
}

// subtractKL takes each times the derivative of β Σ_t k(t) off dst.
func (t *Trainer) subtractKL(dst []float64, each float64) {
	b, pi, beta := t.rollout, t.policy.Policy, t.kl.coef
	k, estimated := estimator(t.cfg.KLEstimator, t.cfg.KLClamp)
	n := pi.Outcomes()
	for j, i := range b.index {
		if estimated {
			_, slope := k.At(b.whole[j], b.ref[j])
			dst[i] -= float64(float64(each*beta) * slope)
			continue
		}
		at, to := int(b.row[j])*n, (int(b.row[j])+1)*n
		FullKLGradient(dst[at:to], pi.P[at:to], pi.LogP[at:to], t.ref.LogP[at:to], -float64(each*beta))
	}
}

// EstimateGradient samples one batch and fills dst with the gradient that the
// first update of a step would climb, on the whole batch and with respect to the
// logits: −∂L/∂z, in the units of the loss. Nothing learns from it.
func (t *GroupTrainer) EstimateGradient(dst []float64, r *rng.Stream) {
	var s GroupStats
	t.sample(r, &s)
	t.advantages(&s)
	t.backward(0, len(t.rollout.prompt), r, &s)
	t.policy.Policy.LogitGradient(t.policy.G)
	for i, g := range t.policy.G {
		dst[i] = -g
	}
	clear(t.policy.G)
}
