package num

import "golang.org/x/sys/cpu"

// useAVX2 and useAVX512 choose the vector loops. They multiply and add in separate
// roundings and in the order of the definitions, so they give the same bits; tests
// switch them off to compare. Only the exponential has a wider version: sums have four
// lanes, and what divides or takes roots was no faster.
var (
	useAVX2   = cpu.X86.HasAVX2
	useAVX512 = cpu.X86.HasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ
)

// Each …AVX2 function works on whole blocks of four (AVX512: eight) and returns
// nothing, or how many elements it did; n is a multiple of that.

//go:noescape
func expAVX512(dst, src *float64, top float64, lanes *[4]float64, n int) (done int)

//go:noescape
func expAVX2(dst, src *float64, top float64, lanes *[4]float64, n int) (done int)

//go:noescape
func axpyAVX2(dst *float64, a float64, x *float64, n int)

//go:noescape
func dotAVX2(a, b *float64, n int) float64

//go:noescape
func countAtMostAVX2(x *float64, u float64, n int) int

//go:noescape
func maxSumAVX2(z *float64, lanes *[4]float64, n int) float64

//go:noescape
func affineAVX2(x *float64, from, by, scale float64, n int)

//go:noescape
func adamAVX2(param, m, v, grad *float64, c *adamConstants, n int)

//go:noescape
func logSigmoidAVX2(value, slope, x *float64, n int)

// The …Rows functions do whole rows of at least one block, what is left over included.

//go:noescape
func shiftRowsAVX2(dst, z *float64, width, rows int)

//go:noescape
func sumRowsAVX2(dst, p *float64, width, rows int)

//go:noescape
func scaleShiftRowsAVX2(p, logp, scale, shift *float64, width, rows int)

// blocks is the part of n elements that the vector loops do.
func blocks(n int) int {
	if !useAVX2 {
		return 0
	}
	return n &^ 3
}

// expBlocks is dst[i] = Exp(src[i] − top), each added to the lane i mod 4. It stops
// before a block that holds a difference beyond ±700 or a NaN.
func expBlocks(dst, src []float64, top float64, lanes *[4]float64) int {
	n, done := blocks(len(src)), 0
	if wide := n &^ 7; useAVX512 && wide > 0 {
		if done = expAVX512(&dst[0], &src[0], top, lanes, wide); done < wide {
			return done
		}
	}
	if done == n {
		return n
	}
	return done + expAVX2(&dst[done], &src[done], top, lanes, n-done)
}

func axpyBlocks(dst []float64, a float64, x []float64) int {
	n := blocks(len(x))
	if n > 0 {
		axpyAVX2(&dst[0], a, &x[0], n)
	}
	return n
}

func dotBlocks(a, b []float64) (int, float64) {
	n := blocks(len(a))
	if n == 0 {
		return dotLanes(a, b)
	}
	return n, dotAVX2(&a[0], &b[0], n)
}

func countAtMostBlocks(x []float64, u float64) (done, count int) {
	n := blocks(len(x))
	if n == 0 {
		return 0, 0
	}
	return n, countAtMostAVX2(&x[0], u, n)
}

func maxSumBlocks(z []float64) (int, float64, float64) {
	n := blocks(len(z))
	if n == 0 {
		return maxSumLanes(z)
	}
	var lanes [4]float64
	top := maxSumAVX2(&z[0], &lanes, n)
	return n, top, (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

func affineBlocks(x []float64, from, by, scale float64) int {
	n := blocks(len(x))
	if n > 0 {
		affineAVX2(&x[0], from, by, scale, n)
	}
	return n
}

func adamBlocks(param, m, v, grad []float64, c *adamConstants) int {
	n := blocks(len(param))
	if n > 0 {
		adamAVX2(&param[0], &m[0], &v[0], &grad[0], c, n)
	}
	return n
}

// logSigmoidBlocks wants e^−|x| in slope.
func logSigmoidBlocks(value, slope, x []float64) int {
	n := blocks(len(x))
	if n > 0 {
		logSigmoidAVX2(&value[0], &slope[0], &x[0], n)
	}
	return n
}

// The functions on rows do all of them or none; they return how many entries of z, or
// rows, they did.

func shiftRowBlocks(dst, z []float64, width int) int {
	if blocks(width) == 0 || len(z) == 0 {
		return 0
	}
	shiftRowsAVX2(&dst[0], &z[0], width, len(z)/width)
	return len(z)
}

func sumRowBlocks(dst, p []float64, width int) int {
	if blocks(width) == 0 || len(dst) == 0 {
		return 0
	}
	sumRowsAVX2(&dst[0], &p[0], width, len(dst))
	return len(dst)
}

func scaleShiftRowBlocks(p, logp, scale, shift []float64, width int) int {
	if blocks(width) == 0 || len(scale) == 0 {
		return 0
	}
	scaleShiftRowsAVX2(&p[0], &logp[0], &scale[0], &shift[0], width, len(scale))
	return len(scale)
}
