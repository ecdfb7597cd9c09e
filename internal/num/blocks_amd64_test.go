package num

import (
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/cpu"
)

// The vector loops give the bits of the definitions, on every length, at every
// alignment, with extreme values in between.
func TestVectorLoopsGiveTheSameBits(t *testing.T) {
	if !cpu.X86.HasAVX2 {
		t.Skip("no AVX2 on this processor")
	}
	wide := useAVX512
	defer func() { useAVX2, useAVX512 = true, wide }()
	r := rand.New(rand.NewPCG(5, 6))
	value := func() float64 {
		switch r.IntN(12) {
		case 0:
			return []float64{0, math.Copysign(0, -1), math.Inf(-1), 705, -705, 5e-324, 1e300, -800}[r.IntN(8)]
		case 1:
			return (r.Float64() - 0.5) * 1e-9
		}
		return (r.Float64() - 0.5) * math.Ldexp(1, r.IntN(11))
	}
	random := func(n int) []float64 {
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = value()
		}
		return xs
	}
	for range 6000 {
		n, shift := 1+r.IntN(70), r.IntN(4)
		a, b, c, d := random(n + shift)[shift:], random(n + shift)[shift:], random(n + shift)[shift:], random(n + shift)[shift:]
		for i := range c {
			c[i] = math.Abs(min(c[i], 1e10)) // a second moment
			if math.IsInf(c[i], 0) {
				c[i] = 0
			}
		}
		scale := value()
		run := func(avx2, avx512 bool) (out [][]float64) {
			useAVX2, useAVX512 = avx2, avx512
			clone := func(x []float64) []float64 {
				y := append([]float64(nil), x...)
				out = append(out, y)
				return y
			}
			e := clone(a)
			ExpTo(e, a)
			top, sum, sumZ := ExpShifted(clone(b), a)
			out = append(out, []float64{top, sum, sumZ})
			Affine(clone(a), scale, b[0], c[0])
			Axpy(clone(a), scale, b)
			out = append(out, []float64{Dot(a, b), float64(CountAtMost(a, b[0])), float64(CountAtMost(a, a[n/2]))})
			LogSigmoidSlopes(clone(b), clone(b), a)
			SoftmaxRows(clone(a), clone(a), a, n)
			few := n - n%7
			SoftmaxRows(clone(b[:few]), clone(b[:few]), a[:few], 7)
			Adam(clone(a), clone(b), clone(c), d, AdamParams{LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Bias1: 0.3, Bias2: 0.02})
			return out
		}
		want := run(false, false)
		for _, avx512 := range []bool{false, wide} { // the wider ones where there are any
			got := run(true, avx512)
			for k := range want {
				for i := range want[k] {
					x, y := want[k][i], got[k][i]
					if math.Float64bits(x) != math.Float64bits(y) && !(math.IsNaN(x) && math.IsNaN(y)) {
						t.Fatalf("result %d, length %d, entry %d: %v (%x) by the definition, %v (%x) by vectors (AVX-512: %v)", k, n, i, x, math.Float64bits(x), y, math.Float64bits(y), avx512)
					}
				}
			}
		}
	}
}
