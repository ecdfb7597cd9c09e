package ppo

import (
	"math"

	"rlhfsim/internal/num"
)

// A divergence says how far a token's log-probability is from that under which it was
// sampled, of the two distributions only this token against all others (Qi et al. 2026,
// DPPO, arXiv 2602.04879, section 4.4: the binary approximation).
type divergence func(logp, old float64) float64

// binaryTV is |π − π_old|.
func binaryTV(logp, old float64) float64 { return math.Abs(num.Exp(logp) - num.Exp(old)) }

// binaryKL is π_old log(π_old/π) + (1−π_old) log((1−π_old)/(1−π)), with verl's 1e−8 for
// what is left to the others where a token is certain.
func binaryKL(logp, old float64) float64 {
	const least = 1e-8
	p, q := num.Exp(logp), num.Exp(old)
	return float64(q*(old-logp)) + float64((1-q)*num.Log((1-q+least)/(1-p+least)))
}

// dppo is −Â log π, weighed with the ratio up to δ, of the tokens that do not lead out of
// a trust region of radius ε (ibid., section 4.3; the weight held fixed and cut off as in
// verl's compute_policy_loss_dppo_tv and _kl):
//
//	ℓ = −M min(ρ, δ) Â log π,   M = 0 where D > ε_high, Â > 0, ρ > 1, or D > ε_low, Â < 0, ρ < 1
func dppo(d divergence) Surrogate {
	return func(y *Tokens, c *GroupConfig) {
		clip := c.clip()
		y.Low, y.High = 0, 0
		for t, w := range y.Weight {
			a, logp, old := y.Advantage[t], y.LogP[t], y.Old[t]
			held, _ := clip.hold(w)
			y.Slope[t] = float64(-min(held, clip.Delta) * a)
			switch {
			case a > 0 && logp > old && d(logp, old) > clip.High:
				y.High++
				y.Slope[t] = 0
			case a < 0 && logp < old && d(logp, old) > clip.Low:
				y.Low++
				y.Slope[t] = 0
			}
			y.Loss[t] = float64(y.Slope[t] * logp)
		}
	}
}
