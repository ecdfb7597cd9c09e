package dpo

import "rlhfsim/internal/num"

// DPO for raters who may call two responses equal (Chen et al. 2024, arXiv
// 2409.17431): the margin h = log π/π_ref(y_w) − log π/π_ref(y_l) under two models
// of preferences with ties (Rao and Kupper 1967; Davidson 1970). As in margin.go
// each returns ℓ(h) and ℓ′(h), and z = βh.

// RaoKupper is the loss of a clear preference under the Rao-Kupper model, in which
// two responses are told apart when their strengths differ by a factor of ν:
//
//	P(y_w ≻ y_l) = e^{r_w} / (e^{r_w} + ν e^{r_l}) = σ(z − log ν),  ν ≥ 1
//	ℓ(h) = −log σ(z − log ν),  ℓ′(h) = −β σ(log ν − z)
func RaoKupper(h, beta, nu float64) (loss, slope float64) {
	win, rest := num.LogSigmoidSlope(float64(beta*h) - num.Log(nu))
	return -win, float64(-beta * rest)
}

// Davidson is the loss of a clear preference under Davidson's model, in which ties
// are ν times the geometric mean of the two strengths:
//
//	P(y_w ≻ y_l) = 1 / (1 + e^−z + 2ν e^−z/2),  ν ≥ 0
//	ℓ(h)  = log(1 + e^−z + 2ν e^−z/2)
//	ℓ′(h) = −β (e^−z + ν e^−z/2) / (1 + e^−z + 2ν e^−z/2)
//
// For z < 0 both fractions are taken times e^z, so that nothing overflows.
func Davidson(h, beta, nu float64) (loss, slope float64) {
	z := float64(beta * h)
	half := num.Exp(-max(z, -z) / 2) // e^−|z|/2
	e, ties := float64(half*half), float64(2*float64(nu*half))
	sum := 1 + (e + ties)
	loss, lost := num.Log1p(e+ties), e+ties/2
	if z < 0 {
		loss, lost = loss-z, 1+ties/2
	}
	return loss, float64(-beta * (lost / sum))
}

// RaoKupperTie is the loss of a tie:
//
//	P(y_w ~ y_l) = (ν² − 1) σ(z − log ν) σ(−z − log ν),  ν > 1
//	ℓ(h)  = −log(ν² − 1) − log σ(z − log ν) − log σ(−z − log ν)
//	ℓ′(h) = β [σ(z + log ν) − σ(log ν − z)]
func RaoKupperTie(h, beta, nu float64) (loss, slope float64) {
	z, threshold := float64(beta*h), num.Log(nu)
	loss = -num.Log(float64((nu-1)*(nu+1))) - num.LogSigmoid(z-threshold) - num.LogSigmoid(-z-threshold)
	return loss, float64(beta * (num.Sigmoid(z+threshold) - num.Sigmoid(threshold-z)))
}

// DavidsonTie is the loss of a tie, whose probability is 2ν e^−z/2 times that of a
// clear preference:
//
//	P(y_w ~ y_l) = 2ν e^−z/2 / (1 + e^−z + 2ν e^−z/2),  ν > 0
//	ℓ(h)  = Davidson's + z/2 − log 2ν,  ℓ′(h) = Davidson's + β/2
func DavidsonTie(h, beta, nu float64) (loss, slope float64) {
	loss, slope = Davidson(h, beta, nu)
	return loss + float64(beta*h)/2 - num.Log(2*nu), slope + beta/2
}
