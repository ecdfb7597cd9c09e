package num

import "math"

// ExpTo is dst[i] = Exp(src[i]); dst may be src.
func ExpTo(dst, src []float64) {
	for i, x := range src {
		dst[i] = Exp(x)
	}
}

// Axpy is dst[i] += a·x[i].
func Axpy(dst []float64, a float64, x []float64) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] += float64(a * v)
	}
}

// SoftmaxRows fills p and logp with the softmax of each row of width logits and
// its logarithm: with m = max z, logp = z − m − log Σ e^(z−m), p = e^(z−m) · (1/Σ).
func SoftmaxRows(p, logp, logits []float64, width int) {
	for at := 0; at < len(logits); at += width {
		row, shifted := logits[at:at+width], logp[at:at+width]
		top := row[0]
		for _, z := range row {
			top = max(top, z)
		}
		for i, z := range row {
			shifted[i] = z - top
		}
	}
	ExpTo(p, logp)
	for at := 0; at < len(logits); at += width {
		weights, shifted := p[at:at+width], logp[at:at+width]
		sum := Sum(weights)
		logZ, scale := Log(sum), 1/sum
		for i := range weights {
			weights[i] *= scale
			shifted[i] -= logZ
		}
	}
}

// AdamParams are the constants of one Adam step; Bias1 = 1−β₁ᵗ, Bias2 = 1−β₂ᵗ.
type AdamParams struct {
	LR, Beta1, Beta2, Eps, WeightDecay, Bias1, Bias2 float64
}

// Adam takes one step of Adam with decoupled weight decay, in torch's order:
//
//	θ ← θ (1 − LR·WeightDecay)
//	m ← β₁ m + (1−β₁) g,  v ← β₂ v + (1−β₂) g²
//	θ ← θ − (LR/Bias1) · m / (√v/√Bias2 + Eps)
func Adam(param, m, v, grad []float64, a AdamParams) {
	m, v, grad = m[:len(param)], v[:len(param)], grad[:len(param)]
	keep, rest1, rest2 := 1-float64(a.LR*a.WeightDecay), 1-a.Beta1, 1-a.Beta2
	step, root := a.LR/a.Bias1, math.Sqrt(a.Bias2)
	for i, g := range grad {
		m[i] = float64(a.Beta1*m[i]) + float64(rest1*g)
		v[i] = float64(a.Beta2*v[i]) + float64(float64(rest2*g)*g)
		param[i] = float64(param[i]*keep) - float64(step*m[i])/(math.Sqrt(v[i])/root+a.Eps)
	}
}
