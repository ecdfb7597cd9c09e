package dpo

import "rlhfsim/internal/num"

// Losses of one number, the margin h = log π/π_ref(y_w) − log π/π_ref(y_l): each
// returns ℓ(h) and its slope ℓ′(h), so that ∂ℓ/∂log π(y_w) = ℓ′ and
// ∂ℓ/∂log π(y_l) = −ℓ′. Throughout z = βh and σ is the logistic function.

// Sigmoid is the loss of DPO (Rafailov et al. 2023, arXiv 2305.18290, equation 7),
// with the label smoothing of conservative DPO (Mitchell 2023, "A note on DPO with
// noisy preferences"; TRL has no smoothing under this name since 0.29):
//
//	ℓ(h)  = −(1−ε) log σ(βh) − ε log σ(−βh) = −log σ(βh) + εβh
//	ℓ′(h) = −β [(1−ε) σ(−βh) − ε σ(βh)]     = −β [σ(−βh) − ε]
//
// The right-hand forms, from log σ(−z) = log σ(z) − z and σ(z) = 1 − σ(−z), halve
// the exponentials and are what is computed.
func Sigmoid(h, beta, epsilon float64) (loss, slope float64) {
	z := float64(beta * h)
	win, rest := num.LogSigmoidSlope(z)
	return float64(epsilon*z) - win, float64(-beta * (rest - epsilon))
}

// Robust is the loss of robust DPO (Ray Chowdhury et al. 2024, arXiv 2403.00409),
// unbiased when each label is reversed with probability ε:
//
//	ℓ(h)  = [−(1−ε) log σ(z) + ε log σ(−z)] / (1−2ε) = −log σ(z) − ε/(1−2ε) z
//	ℓ′(h) = −β [σ(−z) + ε/(1−2ε)]
func Robust(h, beta, epsilon float64) (loss, slope float64) {
	z, odds := float64(beta*h), epsilon/(1-float64(2*epsilon))
	win, rest := num.LogSigmoidSlope(z)
	return -win - float64(odds*z), float64(-beta * (rest + odds))
}

// Hinge is the loss of SLiC and RSO on the normalised likelihood (Liu et al. 2024,
// arXiv 2309.06657):
//
//	ℓ(h) = max(0, 1 − βh),  ℓ′(h) = −β where βh < 1, else 0
func Hinge(h, beta float64) (loss, slope float64) {
	if z := float64(beta * h); z < 1 {
		return 1 - z, -beta
	}
	return 0, 0
}

// IPO is the squared loss of Identity Preference Optimisation (Azar et al. 2023,
// arXiv 2310.12036, equation 17, where β is τ):
//
//	ℓ(h) = (h − 1/(2β))²,  ℓ′(h) = 2 (h − 1/(2β))
//
// The paper's h is the difference of sums over the response; TRL (and the paper's
// own experiments, its authors say) divides each log-ratio by its length first.
func IPO(h, beta float64) (loss, slope float64) {
	d := h - 1/float64(2*beta)
	return float64(d * d), 2 * d
}

// EXOPair is the reverse KL of Efficient Exact Optimisation for a pair (Ji et al.
// 2024, arXiv 2402.00856, equation 16), from the policy's (σ(z), σ(−z)) to the
// smoothed label (1−ε, ε):
//
//	ℓ(h)  = σ(z) [log σ(z) − log(1−ε)] + σ(−z) [log σ(−z) − log ε]
//	ℓ′(h) = β σ(z) σ(−z) [z − log((1−ε)/ε)]
func EXOPair(h, beta, epsilon float64) (loss, slope float64) {
	z := float64(beta * h)
	win, lose := num.Sigmoid(z), num.Sigmoid(-z)
	logWin := num.LogSigmoid(z) - num.Log1p(-epsilon)
	logLose := num.LogSigmoid(-z) - num.Log(epsilon)
	return float64(win*logWin) + float64(lose*logLose), float64(float64(beta*float64(win*lose)) * (logWin - logLose))
}

// DiscoPOP is the loss that a language model found (Lu et al. 2024, arXiv
// 2406.08414, equation 5), the logistic and the exponential loss blended by
// w = σ(z/τ):
//
//	ℓ(h)  = −(1−w) log σ(z) + w e^−z
//	ℓ′(h) = β [−(1−w) σ(−z) − w e^−z + w(1−w)/τ (log σ(z) + e^−z)]
//
// w e^−z is computed as e^(log w − z), which stays finite where e^−z does not.
func DiscoPOP(h, beta, tau float64) (loss, slope float64) {
	z := float64(beta * h)
	w, rest := num.Sigmoid(z/tau), num.Sigmoid(-z/tau)
	logSigmoid, exponential := num.LogSigmoid(z), num.Exp(num.LogSigmoid(z/tau)-z)
	loss = exponential - float64(rest*logSigmoid)
	slope = -float64(rest*num.Sigmoid(-z)) - exponential + float64(rest/tau*(float64(w*logSigmoid)+exponential))
	return loss, float64(beta * slope)
}

// RDPO is DPO with the lengths taken out of the reward (Park et al. 2024, arXiv
// 2403.19159):
//
//	ℓ(h) = −log σ(βh + α(|y_w| − |y_l|)),  ℓ′(h) = −β σ(−βh − α(|y_w| − |y_l|))
func RDPO(h, longer, beta, alpha float64) (loss, slope float64) {
	win, rest := num.LogSigmoidSlope(float64(beta*h) + float64(alpha*longer))
	return -win, float64(-beta * rest)
}

// REBEL is the regression to relative rewards (Gao et al. 2024, arXiv 2404.16767,
// with β = 1/η and π_ref the policy that wrote the responses):
//
//	ℓ(h) = (βh − (r(x,y_w) − r(x,y_l)))²,  ℓ′(h) = 2β (βh − (r_w − r_l))
func REBEL(h, rewardDifference, beta float64) (loss, slope float64) {
	d := float64(beta*h) - rewardDifference
	return float64(d * d), float64(float64(2*beta) * d)
}
