package ppo

import (
	"math"

	"rlhfsim/internal/num"
)

// GAE fills dst with the generalised advantage estimates of one episode
// (Schulman et al. 2015, arXiv 1506.02438, eq. 16), V = 0 after the last token:
//
//	δ_t = R_t + γ V_{t+1} − V_t,   Â_t = Σ_l (γλ)^l δ_{t+l}
func GAE(dst, reward, value []float64, gamma, lam float64) {
	gaeBefore(dst, reward, value, gamma, lam, 0, 0)
}

// gaeBefore is GAE where the last token is followed by a state of value next and
// advantage sum.
func gaeBefore(dst, reward, value []float64, gamma, lam, next, sum float64) {
	for t := len(dst) - 1; t >= 0; t-- {
		delta := reward[t] + float64(gamma*next) - value[t]
		sum = delta + float64(float64(gamma*lam)*sum)
		dst[t], next = sum, value[t]
	}
}

// moments are the mean and the unbiased variance (0 for fewer than two values).
func moments(xs []float64) (mean, variance float64) {
	mean = num.Sum(xs) / float64(len(xs))
	if len(xs) < 2 {
		return mean, 0
	}
	for _, x := range xs {
		d := x - mean
		variance += float64(d * d)
	}
	return mean, variance / float64(len(xs)-1)
}

// whitenEps keeps the variance above 0.
const whitenEps = 1e-8

// Whiten scales xs to unit variance and mean 0, or, when shift is false, the mean they
// had: (x − μ)/σ [+ μ]. It returns σ, by what it divided:
//
//	√(σ² + 1e−8), σ² over N−1       TRL, verl
//	√max(σ², 1e−8), σ² over N       biased: OpenRLHF; lm-human-preferences with its 1e−8 added
func Whiten(xs []float64, shift, biased bool) (by float64) {
	mean, variance := moments(xs)
	by = math.Sqrt(variance + whitenEps)
	if n := float64(len(xs)); biased {
		by = math.Sqrt(max(variance*((n-1)/n), whitenEps))
	}
	scale, back := 1/by, mean
	if shift {
		back = 0
	}
	for i, x := range xs {
		xs[i] = float64((x-mean)*scale) + back
	}
	return by
}

// ClippedValue is the value loss of one token, its derivative with respect to
// V, and 1 where the clipped term is the larger one:
//
//	ℓ = ½ max((V − R)², (clip(V, V_old − c, V_old + c) − R)²)
//
// As in TRL 0.9.6, of two numbers that are equal in one of its max and min each gives
// half of the slope.
func ClippedValue(v, old, target, c float64) (loss, slope, clipped float64) {
	near := min(max(v, old-c), old+c)
	plain, bound := v-target, near-target
	own, far := float64(plain*plain), float64(bound*bound)
	switch {
	case far > own: // V is outside the range, where the clipped term does not move
		return float64(0.5 * far), 0, 1
	case far < own:
		return float64(0.5 * own), plain, 0
	}
	inside := plain
	if near != v {
		inside = 0
	}
	for _, end := range [2]float64{old - c, old + c} {
		if v == end {
			inside *= 0.5
		}
	}
	return float64(0.5 * own), float64(0.5 * (plain + inside)), 0
}

// insideValue says whether V is cut off nowhere: the two terms of ClippedValue are then
// one, ½ (V − R)².
func insideValue(v, old, c float64) bool { return old-c < v && v < old+c }

// klController is the KL coefficient: fixed, or steering the KL to a target
// (Ziegler et al. 2019, section 2.2, in the form of lm-human-preferences):
//
//	e = clip(KL/target − 1, −0.2, 0.2),   β ← β (1 + e n/horizon)
//
// The paper's own step, β ← β (1 + 0.1 e), is that of a horizon of ten batches.
type klController struct {
	coef            float64
	adaptive        bool
	target, horizon float64
}

// update moves the coefficient after a batch of n episodes with that mean KL.
func (k *klController) update(kl float64, n int) {
	if !k.adaptive {
		return
	}
	e := min(max(kl/k.target-1, -0.2), 0.2)
	k.coef *= 1 + float64(e*float64(n))/k.horizon
}
