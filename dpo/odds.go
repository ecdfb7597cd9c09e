package dpo

import "rlhfsim/internal/num"

// Losses that know no reference policy. w and l are the log-probabilities of the
// chosen and the rejected response, sums or means over their tokens.

// OddsRatio is the preference term of ORPO (Hong et al. 2024, arXiv 2403.07691)
// on mean log-probabilities, with odds(y) = p/(1−p), p = e^{mean log π}:
//
//	ℓ     = −β log σ(o),  o = log odds(y_w) − log odds(y_l)
//	∂ℓ/∂w = −β σ(−o) / (1−e^w),  ∂ℓ/∂l = β σ(−o) / (1−e^l)
func OddsRatio(w, l, beta float64) (loss, dw, dl float64) {
	o := LogOddsRatio(w, l)
	win, rest := num.LogSigmoidSlope(o)
	slope := float64(beta * rest)
	return -float64(beta * win), slope / num.Expm1(w), -slope / num.Expm1(l)
}

// LogOddsRatio is log odds(y_w) − log odds(y_l) = (w − l) − (log(1−e^w) − log(1−e^l)).
func LogOddsRatio(w, l float64) float64 {
	return (w - l) - (num.Log(-num.Expm1(w)) - num.Log(-num.Expm1(l)))
}

// SimPO is simple preference optimisation (Meng et al. 2024, arXiv 2405.14734)
// on mean log-probabilities, with a target margin γ and TRL's label
// smoothing ε:
//
//	ℓ     = −(1−ε) log σ(m) − ε log σ(−m),  m = β(w − l) − γ
//	∂ℓ/∂w = −∂ℓ/∂l = −β [σ(−m) − ε]
func SimPO(w, l, beta, gamma, epsilon float64) (loss, dw, dl float64) {
	loss, slope := Sigmoid(w-l-gamma/beta, beta, epsilon)
	return loss, slope, -slope
}

// AlphaPO is SimPO with another shape of reward (Gupta et al. 2025, arXiv
// 2501.03884): r(w) = (1 − e^{−αw})/α in place of w, which it becomes
// as α → 0.
//
//	m = β(r(w) − r(l)) − γ,  ∂m/∂w = β e^{−αw},  ∂m/∂l = −β e^{−αl}
func AlphaPO(w, l, beta, gamma, alpha, epsilon float64) (loss, dw, dl float64) {
	rw, sw := AlphaReward(w, alpha)
	rl, sl := AlphaReward(l, alpha)
	loss, dw, dl = SimPO(rw, rl, beta, gamma, epsilon)
	return loss, float64(dw * sw), float64(dl * sl)
}

// AlphaReward is AlphaPO's r(w) = (1 − e^{−αw})/α and its derivative e^{−αw}.
func AlphaReward(w, alpha float64) (reward, slope float64) {
	if alpha == 0 {
		return w, 1
	}
	e := num.Expm1(-float64(alpha * w))
	return -e / alpha, 1 + e
}

// SLiC is the calibration loss of sequence likelihood calibration from human
// feedback with its regulariser (Zhao et al. 2023, arXiv 2305.10425),
// the chosen response standing for the reference text:
//
//	ℓ = max(0, δ − w + l) − λ w,  ∂ℓ/∂w = −1[w − l < δ] − λ,  ∂ℓ/∂l = 1[w − l < δ]
func SLiC(w, l, delta, lambda float64) (loss, dw, dl float64) {
	loss, dw = -float64(lambda*w), -lambda
	if gap := delta - w + l; gap > 0 {
		return gap + loss, dw - 1, 1
	}
	return loss, dw, 0
}

// AddNLL adds weight · L_NLL, the negative log-likelihood of the batch's chosen
// responses per token, to the loss of every pair: what the mean over the pairs
// adds is weight · L_NLL (the SFT term of CPO, ORPO, RPO and MPO).
//
//	L_NLL = −Σ_i log π(y_w,i) / Σ_i |y_w,i|,  n ∂L_NLL/∂log π(y_w,i) = −n / Σ_i |y_w,i|
func (b *Batch) AddNLL(weight float64) {
	logp, tokens, d := b.likelihood()
	scale := weight / num.Sum(tokens)
	nll, slope := -float64(num.Sum(logp)*scale), -float64(float64(len(logp))*scale)
	for i := range logp {
		b.Loss[i] += nll
		if tokens[i] > 0 {
			d[i] += slope
		}
	}
}
