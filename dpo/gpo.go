package dpo

import "rlhfsim/internal/num"

// The losses of Generalised Preference Optimisation that have no name of their own
// (Tang et al. 2024, arXiv 2402.05749; DPO, SLiC and IPO are its logistic, hinge and
// squared ones), in z = βh. Its exponential one, e^{−z}, is left out: a pair that is
// far wrong makes it infinite.

// TruncatedQuadratic is max(0, 1−z)² with its derivative with respect to h,
// −2β max(0, 1−z).
func TruncatedQuadratic(h, beta float64) (loss, slope float64) {
	short := max(0, 1-float64(beta*h))
	return float64(short * short), float64(-2 * beta * short)
}

// Savage is (1/(1 + e^z))² = σ(−z)² with its derivative, −2β σ(−z)² σ(z). Unlike
// the others it is bounded, so pairs that are far wrong hardly count.
func Savage(h, beta float64) (loss, slope float64) {
	z := float64(beta * h)
	wrong := num.Sigmoid(-z)
	loss = float64(wrong * wrong)
	return loss, float64(-2 * beta * float64(loss*num.Sigmoid(z)))
}
