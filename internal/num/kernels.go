package num

import "math"

// ExpTo is dst[i] = Exp(src[i]); dst may be src.
func ExpTo(dst, src []float64) {
	dst = dst[:len(src)]
	for i := 0; i < len(src); {
		i += expBlocks(dst[i:], src[i:])
		// What the vector loop leaves, the last few and blocks with an extreme
		// value in them, goes the scalar way.
		for end := min(i+4, len(src)); i < end; i++ {
			dst[i] = Exp(src[i])
		}
	}
}

// LogSigmoidSlopes is value[i], slope[i] = LogSigmoidSlope(x[i]); the three must not
// overlap.
func LogSigmoidSlopes(value, slope, x []float64) {
	value, slope = value[:len(x)], slope[:len(x)]
	for i, v := range x {
		slope[i] = -math.Abs(v)
	}
	ExpTo(slope, slope)
	for i := logSigmoidBlocks(value, slope, x); i < len(x); i++ {
		value[i], slope[i] = logSigmoidSlope(x[i], slope[i])
	}
}

// Axpy is dst[i] += a·x[i].
func Axpy(dst []float64, a float64, x []float64) {
	dst = dst[:len(x)]
	for i := axpyBlocks(dst, a, x); i < len(x); i++ {
		dst[i] += float64(a * x[i])
	}
}

// Dot is Σ a_i b_i in the order of Sum.
func Dot(a, b []float64) float64 {
	b = b[:len(a)]
	done, sum := dotBlocks(a, b)
	for i := done; i < len(a); i++ {
		sum += float64(a[i] * b[i])
	}
	return sum
}

// SoftmaxRows fills p and logp with the softmax of each row of width logits and
// its logarithm: with m = max z, logp = z − m − log Σ e^(z−m), p = e^(z−m) · (1/Σ).
func SoftmaxRows(p, logp, logits []float64, width int) {
	for at := 0; at < len(logits); at += width {
		shiftByMax(logp[at:at+width], logits[at:at+width])
	}
	ExpTo(p, logp)
	for at := 0; at < len(logits); at += width {
		sum := Sum(p[at : at+width])
		scaleAndShift(p[at:at+width], logp[at:at+width], 1/sum, Log(sum))
	}
}

// ExpShifted fills dst with e^(z−m), m = max z, and returns m and Σ e^(z−m); at
// least one z.
func ExpShifted(dst, z []float64) (top, sum float64) {
	top = shiftByMax(dst, z)
	ExpTo(dst, dst)
	return top, Sum(dst)
}

// shiftByMax is dst[i] = z[i] − max z; it returns the maximum. A maximum of −0 counts
// as +0, so that the order in which zeros are met does not show.
func shiftByMax(dst, z []float64) float64 {
	dst = dst[:len(z)]
	done, top := maxBlocks(z)
	for _, v := range z[done:] {
		if v > top {
			top = v
		}
	}
	top += 0
	for i := subBlocks(dst, z, top); i < len(z); i++ {
		dst[i] = z[i] - top
	}
	return top
}

// scaleAndShift is p[i] ·= scale, logp[i] −= shift.
func scaleAndShift(p, logp []float64, scale, shift float64) {
	logp = logp[:len(p)]
	for i := scaleShiftBlocks(p, logp, scale, shift); i < len(p); i++ {
		p[i] *= scale
		logp[i] -= shift
	}
}

// AdamParams are the constants of one Adam step; Bias1 = 1−β₁ᵗ, Bias2 = 1−β₂ᵗ.
type AdamParams struct {
	LR, Beta1, Beta2, Eps, WeightDecay, Bias1, Bias2 float64
}

// adamConstants are what the loop needs, derived once.
type adamConstants struct {
	beta1, rest1, beta2, rest2, keep, step, root, eps float64
}

// Adam takes one step of Adam with decoupled weight decay, in torch's order but
// for one rounding (a division by √Bias2 is a multiplication by its inverse):
//
//	m ← β₁ m + (1−β₁) g,  v ← β₂ v + ((1−β₂) g) g
//	θ ← θ (1 − LR·WeightDecay) − (LR/Bias1) m / (√v · (1/√Bias2) + Eps)
func Adam(param, m, v, grad []float64, a AdamParams) {
	m, v, grad = m[:len(param)], v[:len(param)], grad[:len(param)]
	c := adamConstants{
		beta1: a.Beta1, rest1: 1 - a.Beta1, beta2: a.Beta2, rest2: 1 - a.Beta2,
		keep: 1 - float64(a.LR*a.WeightDecay), step: a.LR / a.Bias1, root: 1 / math.Sqrt(a.Bias2), eps: a.Eps,
	}
	for i := adamBlocks(param, m, v, grad, &c); i < len(param); i++ {
		m[i] = float64(c.beta1*m[i]) + float64(c.rest1*grad[i])
		v[i] = float64(c.beta2*v[i]) + float64(float64(c.rest2*grad[i])*grad[i])
		param[i] = float64(param[i]*c.keep) - float64(c.step*m[i])/(float64(math.Sqrt(v[i])*c.root)+c.eps)
	}
}
