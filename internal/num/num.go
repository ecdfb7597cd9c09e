// Package num is the arithmetic that decides results: exp, log and the loops
// over whole tables, defined so that every processor gives the same bits.
//
// Go's math.Exp and math.Log differ between architectures, and on some the
// compiler fuses x*y + z into one rounding. Here every product that is added to
// something is wrapped, float64(x*y) + z, which forbids the fusion, and every sum
// has a fixed order. Vector versions must give the same bits as the definitions.
package num

import "math"

const (
	ln2Hi = 6.93147180369123816490e-01 // ln 2, its upper 33 bits
	ln2Lo = 1.90821492927058770002e-10 // ln 2 − ln2Hi
	log2E = 1.44269504088896338700e+00

	overflow  = 709.782712893383973096  // e^x is infinite above
	underflow = -745.133219101941108420 // e^x is 0 below
	// roundToInt added to and taken from |x| < 2⁵¹ rounds it to the nearest integer.
	roundToInt = 3 << 51
)

// Exp is e^x, within 2 ulp (FreeBSD's e_exp.c: r = x − k ln 2, then a
// rational function of r, then times 2^k).
func Exp(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > overflow:
		return math.Inf(1)
	case x < underflow:
		return 0
	}
	k := (float64(x*log2E) + roundToInt) - roundToInt
	y := expReduced(x, k)
	n := int(k)
	if n < -1021 || n > 1023 { // two steps, so that a subnormal result is rounded once
		half := n / 2
		return float64(y*power2(half)) * power2(n-half)
	}
	return y * power2(n)
}

// expReduced is e^(x − k ln 2) for |x − k ln 2| ≤ ½ ln 2.
func expReduced(x, k float64) float64 {
	const (
		p1 = 1.66666666666666657415e-01
		p2 = -2.77777777770155933842e-03
		p3 = 6.61375632143793436117e-05
		p4 = -1.65339022054652515390e-06
		p5 = 4.13813679705723846039e-08
	)
	hi := x - float64(k*ln2Hi)
	lo := float64(k * ln2Lo)
	r := hi - lo
	t := float64(r * r)
	p := p4 + float64(t*p5)
	p = p3 + float64(t*p)
	p = p2 + float64(t*p)
	p = p1 + float64(t*p)
	c := r - float64(t*p)
	return 1 - ((lo - float64(float64(r*c)/(2-c))) - hi)
}

// power2 is 2^n for −1022 ≤ n ≤ 1023.
func power2(n int) float64 { return math.Float64frombits(uint64(n+1023) << 52) }

// Log is the natural logarithm, within 1 ulp (FreeBSD's e_log.c); −Inf at 0,
// NaN below.
func Log(x float64) float64 {
	const (
		l1 = 6.666666666666735130e-01
		l2 = 3.999999999940941908e-01
		l3 = 2.857142874366239149e-01
		l4 = 2.222219843214978396e-01
		l5 = 1.818357216161805012e-01
		l6 = 1.531383769920937332e-01
		l7 = 1.479819860511658591e-01
	)
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	m, n := split(x)
	f, k := m-1, float64(n)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	t1 := float64(s2 * (l1 + float64(s4*(l3+float64(s4*(l5+float64(s4*l7)))))))
	t2 := float64(s4 * (l2 + float64(s4*(l4+float64(s4*l6)))))
	hfsq := float64(float64(0.5*f) * f)
	return float64(k*ln2Hi) - ((hfsq - (float64(s*(hfsq+(t1+t2))) + float64(k*ln2Lo))) - f)
}

// split is x = m·2^n with √½ ≤ m < √2, for a finite x above 0. Taking the bits of
// √½ off before the exponent is read decides between two n without a branch.
func split(x float64) (m float64, n int) {
	const root = 0x3fe6a09e667f3bcd // the bits of √½
	const one = 0x3ff0000000000000
	if x < 0x1p-1022 { // subnormal
		x, n = x*0x1p54, -54
	}
	bits := math.Float64bits(x) + (one - root)
	return math.Float64frombits(bits&(1<<52-1) + root), n + int(bits>>52) - 1023
}

// Log1p is log(1+x), accurate near 0: what rounding 1+x lost is made up for by
// the factor x/((1+x)−1) (Goldberg 1991, theorem 4).
func Log1p(x float64) float64 {
	u := 1 + x
	if u == 1 || math.IsInf(u, 1) {
		return x
	}
	return Log(u) * (x / (u - 1))
}

// Expm1 is e^x − 1, accurate near 0 (Kahan's form of the same idea).
func Expm1(x float64) float64 {
	u := Exp(x)
	if u == 1 {
		return x
	}
	if m := u - 1; m > -1 && !math.IsInf(m, 1) {
		return m * (x / Log(u))
	}
	return u - 1
}

// Sigmoid is σ(x) = 1/(1+e^−x).
func Sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + Exp(-x))
	}
	e := Exp(x)
	return e / (1 + e)
}

// Tanh is (e^x − e^−x)/(e^x + e^−x), accurate near 0.
func Tanh(x float64) float64 {
	if math.IsNaN(x) {
		return x
	}
	m := Expm1(-2 * math.Abs(x))
	return math.Copysign(m/(2+m), x)
}

// LogSigmoid is log σ(x) = min(x, 0) − log(1 + e^−|x|).
func LogSigmoid(x float64) float64 {
	if math.IsNaN(x) {
		return x
	}
	return min(x, 0) - Log1p(Exp(-math.Abs(x)))
}

// LogSigmoidSlope is log σ(x) and its derivative σ(−x), from one exponential: the
// same bits as LogSigmoid(x) and Sigmoid(−x).
func LogSigmoidSlope(x float64) (value, slope float64) {
	return logSigmoidSlope(x, Exp(-math.Abs(x)))
}

// logSigmoidSlope is LogSigmoidSlope, given e = e^−|x|.
func logSigmoidSlope(x, e float64) (value, slope float64) {
	slope = 1
	if x > 0 {
		slope = e
	}
	return min(x, 0) - Log1p(e), slope / (1 + e)
}

// LogSumExp is log Σ e^x; −Inf for an empty sum.
func LogSumExp(xs []float64) float64 {
	top := math.Inf(-1)
	for _, x := range xs {
		top = max(top, x)
	}
	if math.IsInf(top, 0) || math.IsNaN(top) {
		return top
	}
	sum := 0.0
	for _, x := range xs {
		sum += Exp(x - top)
	}
	return top + Log(sum)
}

// Sum adds in four interleaved lanes, (s0+s1)+(s2+s3), then the up to three
// values that are left over, in order.
func Sum(xs []float64) float64 {
	var s0, s1, s2, s3 float64
	for len(xs) >= 4 {
		s0, s1, s2, s3 = s0+xs[0], s1+xs[1], s2+xs[2], s3+xs[3]
		xs = xs[4:]
	}
	sum := (s0 + s1) + (s2 + s3)
	for _, x := range xs {
		sum += x
	}
	return sum
}
