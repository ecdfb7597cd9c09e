package dpo

import "rlhfsim/internal/num"

// Losses of two numbers, the log-ratios c = log π/π_ref(y_w) and r = log π/π_ref(y_l),
// which do not reduce to their difference. Each returns ℓ, ∂ℓ/∂c and ∂ℓ/∂r.

// NCAPair is noise-contrastive alignment of a pair (Chen et al. 2024, arXiv
// 2402.05369), which also holds up the likelihood of the chosen response:
//
//	ℓ     = −log σ(βc) − ½ log σ(−βc) − ½ log σ(−βr)
//	∂ℓ/∂c = β [½ σ(βc) − σ(−βc)],  ∂ℓ/∂r = ½ β σ(βr)
func NCAPair(c, r, beta float64) (loss, dc, dr float64) {
	zc, zr := float64(beta*c), float64(beta*r)
	loss = -num.LogSigmoid(zc) - float64(0.5*num.LogSigmoid(-zc)) - float64(0.5*num.LogSigmoid(-zr))
	return loss, float64(beta * (float64(0.5*num.Sigmoid(zc)) - num.Sigmoid(-zc))), float64(float64(0.5*beta) * num.Sigmoid(zr))
}

// BCOPair is binary classifier optimisation on a pair (Jung et al. 2024, arXiv
// 2404.04656). The shift δ is the running mean of the rewards, as in TRL 0.24, or 0,
// as in TRL 1.16:
//
//	ℓ     = −log σ(βc − δ) − log σ(−(βr − δ))
//	∂ℓ/∂c = −β σ(δ − βc),  ∂ℓ/∂r = β σ(βr − δ)
func BCOPair(c, r, beta, delta float64) (loss, dc, dr float64) {
	chosen, dc := BCO(c, beta, delta, true)
	rejected, dr := BCO(r, beta, delta, false)
	return chosen + rejected, dc, dr
}

// SPPOHard is self-play preference optimisation with the winner's probability
// taken as 1 (Wu et al. 2024, arXiv 2405.00675, equation 4.7):
//
//	ℓ     = (c − 1/(2β))² + (r + 1/(2β))²
//	∂ℓ/∂c = 2 (c − 1/(2β)),  ∂ℓ/∂r = 2 (r + 1/(2β))
func SPPOHard(c, r, beta float64) (loss, dc, dr float64) {
	a, b := c-0.5/beta, r+0.5/beta
	return float64(a*a) + float64(b*b), 2 * a, 2 * b
}

// APOZero is anchored preference optimisation for chosen responses better than
// the policy's own (D'Oosterlinck et al. 2024, arXiv 2408.06266, equation 7):
//
//	ℓ     = 1 − σ(βc) + σ(βr)
//	∂ℓ/∂c = −β σ(βc) σ(−βc),  ∂ℓ/∂r = β σ(βr) σ(−βr)
func APOZero(c, r, beta float64) (loss, dc, dr float64) {
	zc, zr := float64(beta*c), float64(beta*r)
	lose, lost := num.Sigmoid(-zc), num.Sigmoid(zr)
	return lose + lost, -float64(beta * float64(lose*num.Sigmoid(zc))), float64(beta * float64(lost*num.Sigmoid(-zr)))
}

// APODown is its counterpart for chosen responses worse than the policy's own
// (equation 8): both likelihoods fall, the rejected one's more. With h = c − r,
//
//	ℓ = σ(βc) + 1 − σ(βh)
//	∂ℓ/∂c = β σ(βc) σ(−βc) − β σ(βh) σ(−βh),  ∂ℓ/∂r = β σ(βh) σ(−βh)
func APODown(c, r, beta float64) (loss, dc, dr float64) {
	zc, z := float64(beta*c), float64(beta*(c-r))
	up, lose := num.Sigmoid(zc), num.Sigmoid(-z)
	slope := float64(beta * float64(lose*num.Sigmoid(z)))
	return up + lose, float64(beta*float64(up*num.Sigmoid(-zc))) - slope, slope
}

// DPOP is DPO-Positive (Pal et al. 2024, arXiv 2402.13228), which
// charges a chosen response that became less likely than under π_ref:
//
//	ℓ     = −log σ(m),  m = β(c − r − λ max(0, −c))
//	∂ℓ/∂c = −β σ(−m) (1 + λ·1[c<0]),  ∂ℓ/∂r = β σ(−m)
func DPOP(c, r, beta, lambda float64) (loss, dc, dr float64) {
	m := float64(beta * (c - r - float64(lambda*max(0, -c))))
	dr = float64(beta * num.Sigmoid(-m))
	dc = -dr
	if c < 0 {
		dc -= float64(lambda * dr)
	}
	return -num.LogSigmoid(m), dc, dr
}

// ChiPO is χ²-preference optimisation (Huang et al. 2024, arXiv 2407.13399):
// DPO with the link φ(t) = t + log t in place of log t, so that the
// policy pays the χ²-divergence as well as the KL and stays where there are data.
//
//	ℓ     = −log σ(m),  m = clip(β φ(e^c) − β φ(e^r), ±2R_max)
//	∂ℓ/∂c = −β σ(−m) (1 + e^c),  ∂ℓ/∂r = β σ(−m) (1 + e^r),  both 0 where m is clipped
func ChiPO(c, r, beta, rMax float64) (loss, dc, dr float64) {
	ec, er := num.Exp(min(c, maxExponent)), num.Exp(min(r, maxExponent))
	m, limit := float64(beta*((ec+c)-(er+r))), 2*rMax
	if m > limit || m < -limit {
		return -num.LogSigmoid(min(max(m, -limit), limit)), 0, 0
	}
	lose := float64(beta * num.Sigmoid(-m))
	return -num.LogSigmoid(m), -float64(lose * (1 + ec)), float64(lose * (1 + er))
}
