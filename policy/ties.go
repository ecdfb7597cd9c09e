package policy

import "rlhfsim/internal/num"

// Models of comparisons that may be called ties, of the difference d of two strengths:
// the negative log-likelihood of a clear preference for the first, or of a tie, and
// its derivative with respect to d. The reward model fits them to d = r_w − r_l, DPO to
// d = β [log π/π_ref(y_w) − log π/π_ref(y_l)].

// RaoKupper is the model of Rao and Kupper (1967), in which two responses are told
// apart when their strengths e^r differ by a factor of ν > 1 (at 1 there are no ties):
//
//	P(w ≻ l) = σ(d − log ν),  P(w ~ l) = (ν² − 1) σ(d − log ν) σ(−d − log ν)
//
// The slopes are −σ(log ν − d), and σ(d + log ν) − σ(log ν − d) of a tie.
func RaoKupper(d, nu float64, tied bool) (loss, slope float64) {
	threshold := num.Log(nu)
	win, rest := num.LogSigmoidSlope(d - threshold)
	if !tied {
		return -win, -rest
	}
	return -num.Log(float64((nu-1)*(nu+1))) - win - num.LogSigmoid(-d-threshold), num.Sigmoid(d+threshold) - rest
}

// Davidson is the model of Davidson (1970), in which ties are ν > 0 times as likely as
// the geometric mean of the two strengths says (at 0 there are none):
//
//	P(w ≻ l) = 1/S,  P(w ~ l) = 2ν e^−d/2/S,  S = 1 + e^−d + 2ν e^−d/2
//
// The slopes are −(e^−d + ν e^−d/2)/S, and ½ more for a tie. Where d < 0 the fractions
// are taken times e^d, so that nothing overflows.
func Davidson(d, nu float64, tied bool) (loss, slope float64) {
	half := num.Exp(-max(d, -d) / 2) // e^−|d|/2
	e, ties := float64(half*half), float64(2*float64(nu*half))
	sum := 1 + (e + ties)
	loss, lost := num.Log1p(e+ties), e+ties/2
	if d < 0 {
		loss, lost = loss-d, 1+ties/2
	}
	if !tied {
		return loss, -(lost / sum)
	}
	return loss + d/2 - num.Log(2*nu), 0.5 - lost/sum
}
