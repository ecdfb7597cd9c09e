package num

import "math"

// ExpTo is dst[i] = Exp(src[i]); dst may be src.
func ExpTo(dst, src []float64) { expShifted(dst, src, 0) }

// expShifted is dst[i] = Exp(src[i] − top); it returns their sum, in the order of Sum.
func expShifted(dst, src []float64, top float64) float64 {
	dst = dst[:len(src)]
	var lanes [4]float64
	i, whole := 0, len(src)&^3
	for i < whole {
		i += expBlocks(dst[i:whole], src[i:whole], top, &lanes)
		if i < whole { // the next four, with an extreme value among them, go the scalar way
			for k := range lanes {
				dst[i+k] = Exp(src[i+k] - top)
				lanes[k] += dst[i+k]
			}
			i += 4
		}
	}
	sum := (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
	for ; i < len(src); i++ {
		dst[i] = Exp(src[i] - top)
		sum += dst[i]
	}
	return sum
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

// CountAtMost is how many of x are at most u.
func CountAtMost(x []float64, u float64) int {
	done, count := countAtMostBlocks(x, u)
	for _, v := range x[done:] {
		if v <= u {
			count++
		}
	}
	return count
}

// SoftmaxRows fills p and logp with the softmax of each row of width logits and
// its logarithm: with m = max z, logp = z − m − log Σ e^(z−m), p = e^(z−m) · (1/Σ).
// It takes a few rows at a time, which stay in the processor's nearest cache.
func SoftmaxRows(p, logp, logits []float64, width int) {
	const some = 32
	var sums, scale, shift [some]float64
	for len(logits) > 0 {
		n := min(some*width, len(logits))
		rows := n / width
		shiftRowsByMax(logp[:n], logits[:n], width)
		ExpTo(p[:n], logp[:n])
		sumRows(sums[:rows], p[:n], width)
		for row, sum := range sums[:rows] {
			scale[row], shift[row] = 1/sum, Log(sum)
		}
		scaleAndShiftRows(p[:n], logp[:n], scale[:rows], shift[:rows], width)
		p, logp, logits = p[n:], logp[n:], logits[n:]
	}
}

// shiftRowsByMax is dst[i] = z[i] − the maximum of its row. A maximum of −0 counts as
// +0, so that the order in which zeros are met does not show.
func shiftRowsByMax(dst, z []float64, width int) {
	for at := shiftRowBlocks(dst, z, width); at < len(z); at += width {
		row := z[at : at+width]
		top := row[0]
		for _, v := range row {
			if v > top {
				top = v
			}
		}
		top += 0
		for i, v := range row {
			dst[at+i] = v - top
		}
	}
}

// sumRows fills the Sum of each row.
func sumRows(dst, p []float64, width int) {
	for row := sumRowBlocks(dst, p, width); row < len(dst); row++ {
		dst[row] = Sum(p[row*width : (row+1)*width])
	}
}

// scaleAndShiftRows is p[i] ·= scale, logp[i] −= shift, those of their row.
func scaleAndShiftRows(p, logp, scale, shift []float64, width int) {
	for row := scaleShiftRowBlocks(p, logp, scale, shift, width); row < len(scale); row++ {
		for i := row * width; i < (row+1)*width; i++ {
			p[i] *= scale[row]
			logp[i] -= shift[row]
		}
	}
}

// ExpShifted fills dst with e^(z−m), m = max z, and returns m, Σ e^(z−m) and Σ z; at
// least one z.
func ExpShifted(dst, z []float64) (top, sum, sumZ float64) {
	done, top, sumZ := maxSumBlocks(z)
	for _, v := range z[done:] {
		if v > top {
			top = v
		}
		sumZ += v
	}
	top += 0 // as in shiftRowsByMax
	return top, expShifted(dst, z, top), sumZ
}

// Affine is x[i] = from − by·(scale·x[i]).
func Affine(x []float64, from, by, scale float64) {
	for i := affineBlocks(x, from, by, scale); i < len(x); i++ {
		x[i] = from - float64(by*float64(scale*x[i]))
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
