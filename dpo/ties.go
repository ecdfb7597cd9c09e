package dpo

import "rlhfsim/policy"

// DPO for raters who may call two responses equal (Chen et al. 2024, arXiv
// 2409.17431): the margin h = log π/π_ref(y_w) − log π/π_ref(y_l) under two models
// of preferences with ties, policy.RaoKupper and policy.Davidson at d = βh. As in
// margin.go each returns ℓ(h) and ℓ′(h).

// RaoKupper is the loss of a clear preference, −log σ(βh − log ν), ν ≥ 1.
func RaoKupper(h, beta, nu float64) (loss, slope float64) {
	loss, slope = policy.RaoKupper(float64(beta*h), nu, false)
	return loss, float64(beta * slope)
}

// RaoKupperTie is the loss of a tie, ν > 1.
func RaoKupperTie(h, beta, nu float64) (loss, slope float64) {
	loss, slope = policy.RaoKupper(float64(beta*h), nu, true)
	return loss, float64(beta * slope)
}

// Davidson is the loss of a clear preference, log(1 + e^−βh + 2ν e^−βh/2), ν ≥ 0.
func Davidson(h, beta, nu float64) (loss, slope float64) {
	loss, slope = policy.Davidson(float64(beta*h), nu, false)
	return loss, float64(beta * slope)
}

// DavidsonTie is the loss of a tie, ν > 0.
func DavidsonTie(h, beta, nu float64) (loss, slope float64) {
	loss, slope = policy.Davidson(float64(beta*h), nu, true)
	return loss, float64(beta * slope)
}
