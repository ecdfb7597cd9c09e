package num

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// inputs is a fixed sequence over the whole range of a function, the hard
// places included.
func inputs(n int, from, to float64) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	xs := []float64{0, math.Copysign(0, -1), 1, -1, 0.5, math.Ln2, -math.Ln2, from, to, 1e-300, -1e-300, 5e-324, 1e-17, -1e-17}
	for len(xs) < n {
		xs = append(xs, from+float64((to-from)*(float64(r.Uint64()>>11)/(1<<53))))
		xs = append(xs, math.Ldexp(float64(r.Uint64()>>11)/(1<<53)-0.5, r.IntN(20)-15))
	}
	return xs
}

// ulps is the distance of got from the exact value in units of its last place.
func ulps(got float64, exact *big.Float) float64 {
	want, _ := exact.Float64()
	if got == want || math.IsInf(want, 0) {
		if got == want {
			return 0
		}
		return math.Inf(1)
	}
	unit := math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want)
	d := new(big.Float).Sub(new(big.Float).SetPrec(300).SetFloat64(got), exact)
	d.Quo(d, new(big.Float).SetFloat64(unit))
	out, _ := d.Float64()
	return math.Abs(out)
}

// bigExp is e^x to about 200 bits: the series at x/2^k, squared k times.
func bigExp(x float64) *big.Float {
	const prec = 320
	k := max(0, math.Ilogb(x)+8)
	if x == 0 {
		k = 0
	}
	z := new(big.Float).SetPrec(prec).SetMantExp(new(big.Float).SetPrec(prec).SetFloat64(x), -k)
	sum, term := new(big.Float).SetPrec(prec).SetInt64(1), new(big.Float).SetPrec(prec).SetInt64(1)
	for n := int64(1); n < 60; n++ {
		term.Mul(term, z)
		term.Quo(term, new(big.Float).SetPrec(prec).SetInt64(n))
		sum.Add(sum, term)
	}
	for range k {
		sum.Mul(sum, sum)
	}
	return sum
}

func TestExpWithinTwoUlp(t *testing.T) {
	worst := 0.0
	for _, x := range inputs(20_000, -745, 709.7) {
		if d := ulps(Exp(x), bigExp(x)); d > worst {
			worst = d
			if d > 2 {
				t.Fatalf("Exp(%v) is off by %.2f ulp", x, d)
			}
		}
	}
	t.Logf("largest error %.3f ulp", worst)
}

// log is checked through its inverse: e^(log x) / x − 1 is the error of the
// logarithm, whose derivative there is 1.
func TestLogWithinTwoUlp(t *testing.T) {
	worst := 0.0
	for _, x := range append(inputs(20_000, 1e-3, 1e3), inputs(2000, 0.9, 1.1)...) {
		if x <= 0 {
			continue
		}
		got := Log(x)
		ratio := new(big.Float).Quo(bigExp(got), new(big.Float).SetPrec(300).SetFloat64(x))
		miss := ratio.Sub(ratio, big.NewFloat(1).SetPrec(300))
		d, _ := miss.Float64()
		unit := math.Nextafter(math.Abs(got), math.Inf(1)) - math.Abs(got)
		if d = math.Abs(d) / unit; d > worst && got != 0 {
			worst = d
			if d > 2 {
				t.Fatalf("Log(%v) is off by %.2f ulp", x, d)
			}
		}
	}
	t.Logf("largest error %.3f ulp", worst)
}

func TestLog1pAndExpm1NearZero(t *testing.T) {
	for _, x := range inputs(20_000, -0.7, 5) {
		if d := math.Abs(Log1p(x) - math.Log1p(x)); d > 4e-16*math.Abs(math.Log1p(x)) {
			t.Fatalf("Log1p(%v) = %v, want %v", x, Log1p(x), math.Log1p(x))
		}
		if d := math.Abs(Expm1(x) - math.Expm1(x)); d > 6e-16*math.Abs(math.Expm1(x)) {
			t.Fatalf("Expm1(%v) = %v, want %v", x, Expm1(x), math.Expm1(x))
		}
	}
}

func TestSpecialValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"Exp(∞)", Exp(inf), inf}, {"Exp(−∞)", Exp(-inf), 0}, {"Exp(710)", Exp(710), inf}, {"Exp(−746)", Exp(-746), 0}, {"Exp(NaN)", Exp(nan), nan},
		{"Exp(−745)", Exp(-745), 5e-324}, {"Exp(709.78)", Exp(709.78), 1.7928227943945155e308}, /* where Go’s own is infinite */
		{"Log(0)", Log(0), -inf}, {"Log(−1)", Log(-1), nan}, {"Log(∞)", Log(inf), inf}, {"Log(NaN)", Log(nan), nan}, {"Log(1)", Log(1), 0},
		{"Log1p(−1)", Log1p(-1), -inf}, {"Log1p(∞)", Log1p(inf), inf}, {"Expm1(−∞)", Expm1(-inf), -1}, {"Expm1(∞)", Expm1(inf), inf}, {"Expm1(−800)", Expm1(-800), -1},
		{"Sigmoid(0)", Sigmoid(0), 0.5}, {"Sigmoid(∞)", Sigmoid(inf), 1}, {"Sigmoid(−∞)", Sigmoid(-inf), 0}, {"Sigmoid(NaN)", Sigmoid(nan), nan},
		{"LogSigmoid(−800)", LogSigmoid(-800), -800}, {"LogSigmoid(800)", LogSigmoid(800), 0}, {"LogSigmoid(NaN)", LogSigmoid(nan), nan},
		{"LogSumExp()", LogSumExp(nil), -inf}, {"LogSumExp(−∞)", LogSumExp([]float64{-inf}), -inf}, {"LogSumExp(1000, 1000)", LogSumExp([]float64{1000, 1000}), 1000 + math.Ln2},
	} {
		if c.got != c.want && !(math.IsNaN(c.got) && math.IsNaN(c.want)) && !(math.Abs(c.got-c.want) <= 1e-15*math.Abs(c.want)) {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestTanh(t *testing.T) {
	for x := -30.0; x <= 30; x += 0.0137 {
		if d := math.Abs(Tanh(x) - math.Tanh(x)); d > 5e-16*math.Abs(math.Tanh(x)) {
			t.Fatalf("Tanh(%v) = %v, want %v", x, Tanh(x), math.Tanh(x))
		}
	}
	for _, x := range []float64{0, 1e-300, 1e-9, math.Inf(1)} {
		if Tanh(x) != math.Tanh(x) || Tanh(-x) != -Tanh(x) {
			t.Errorf("Tanh(±%v) = %v, %v", x, Tanh(x), Tanh(-x))
		}
	}
	if !math.IsNaN(Tanh(math.NaN())) {
		t.Error("Tanh(NaN) is a number")
	}
}

func TestSigmoidsAgree(t *testing.T) {
	for _, x := range inputs(5000, -40, 40) {
		if d := Exp(LogSigmoid(x)) - Sigmoid(x); !(math.Abs(d) <= 1e-15) {
			t.Fatalf("at %v log σ and σ differ by %v", x, d)
		}
		if d := Sigmoid(x) + Sigmoid(-x) - 1; !(math.Abs(d) <= 3e-16) {
			t.Fatalf("σ(x) + σ(−x) − 1 = %v at %v", d, x)
		}
	}
}

// The same bits on every processor: these were taken on amd64, and any other
// architecture that runs the tests must arrive at them.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func TestLogSigmoidSlopeIsBoth(t *testing.T) {
	for _, x := range append(inputs(20_000, -60, 60), 800, -800, math.Inf(1), math.Inf(-1), math.NaN()) {
		if value, slope := LogSigmoidSlope(x); !same(value, LogSigmoid(x)) || !same(slope, Sigmoid(-x)) {
			t.Fatalf("LogSigmoidSlope(%v) = %v, %v, not %v, %v", x, value, slope, LogSigmoid(x), Sigmoid(-x))
		}
	}
}

func TestLogSigmoidSlopesAreEach(t *testing.T) {
	xs := append(inputs(2_001, -60, 60), 800, -800, math.Inf(1), math.Inf(-1), math.NaN())
	value, slope := make([]float64, len(xs)), make([]float64, len(xs))
	LogSigmoidSlopes(value, slope, xs)
	for i, x := range xs {
		v, s := LogSigmoidSlope(x)
		if !same(v, value[i]) || !same(s, slope[i]) {
			t.Fatalf("%v: %v, %v, not %v, %v", x, value[i], slope[i], v, s)
		}
	}
}

func TestSplitIsExact(t *testing.T) {
	for _, x := range append(inputs(20_000, 0, 1e3), 0x1p-1022, 0x1p-1074, 3*0x1p-1074, math.MaxFloat64, math.Sqrt2/2, math.Nextafter(math.Sqrt2/2, 0), math.Sqrt2, math.Nextafter(math.Sqrt2, 0)) {
		if x = math.Abs(x); x == 0 {
			continue
		}
		m, n := split(x)
		if m < math.Sqrt2/2 || m > math.Sqrt2 || math.Ldexp(m, n) != x {
			t.Fatalf("split(%v) = %v, %d", x, m, n)
		}
	}
}

func TestSameBitsEverywhere(t *testing.T) {
	for name, c := range map[string]struct {
		f    func(float64) float64
		want string
	}{
		"exp": {Exp, "ca06cb849c4630d0"}, "log": {Log, "4b1ff58a7aa8eae5"}, "log1p": {Log1p, "8910b7c260f01c62"}, "expm1": {Expm1, "62c69b2c84bfbafc"}, "sigmoid": {Sigmoid, "0609c9c57a7e9a5c"},
	} {
		h := fnv.New64a()
		for _, x := range inputs(100_000, -700, 700) {
			y := c.f(x)
			if math.IsNaN(y) { // any NaN is the same answer
				y = 0
			}
			_ = binary.Write(h, binary.LittleEndian, math.Float64bits(y))
		}
		if got := fmt.Sprintf("%016x", h.Sum64()); got != c.want {
			t.Errorf("%s gives %s, want %s", name, got, c.want)
		}
	}
}

func TestSumsHaveOneOrder(t *testing.T) {
	xs := inputs(1003, -1e6, 1e6)
	for n := range 40 {
		var lanes [4]float64
		whole := n - n%4
		for i := range whole {
			lanes[i%4] += xs[i]
		}
		want := (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
		for i := whole; i < n; i++ {
			want += xs[i]
		}
		if got := Sum(xs[:n]); got != want {
			t.Errorf("Sum of %d = %v, want %v", n, got, want)
		}
		ones := make([]float64, n)
		for i := range ones {
			ones[i] = 1
		}
		if got := Dot(xs[:n], ones); got != want {
			t.Errorf("Dot of %d = %v, want %v", n, got, want)
		}
	}
}

func TestSoftmaxRows(t *testing.T) {
	for width := 1; width <= 33; width++ {
		z := inputs(width*7, -20, 20)[:width*7]
		p, logp := make([]float64, len(z)), make([]float64, len(z))
		SoftmaxRows(p, logp, z, width)
		shifted, q, logq := make([]float64, len(z)), make([]float64, len(z)), make([]float64, len(z))
		for i, v := range z {
			shifted[i] = v + 3
		}
		SoftmaxRows(q, logq, shifted, width)
		for at := 0; at < len(z); at += width {
			if s := Sum(p[at : at+width]); !(math.Abs(s-1) <= 1e-14) {
				t.Errorf("width %d: a row sums to %v", width, s)
			}
			for i := at; i < at+width; i++ {
				if !(math.Abs(Exp(logp[i])-p[i]) <= 1e-15) || !(math.Abs(p[i]-q[i]) <= 1e-14) || !(math.Abs(logp[i]-(z[i]-LogSumExp(z[at:at+width]))) <= 1e-13) {
					t.Errorf("width %d, entry %d: p %v, log p %v", width, i, p[i], logp[i])
				}
			}
		}
	}
}

// Adam by its paper (Kingma & Ba 2015, Algorithm 1), with decoupled decay.
func TestAdam(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const n = 37
	param, m, v := make([]float64, n), make([]float64, n), make([]float64, n)
	want, wm, wv := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range param {
		param[i] = r.Float64() - 0.5
		want[i] = param[i]
	}
	const lr, b1, b2, eps, decay = 0.01, 0.9, 0.999, 1e-8, 0.1
	for step := 1; step <= 50; step++ {
		bias1, bias2 := 1-math.Pow(b1, float64(step)), 1-math.Pow(b2, float64(step))
		g := make([]float64, n)
		for i := range g {
			g[i] = r.Float64() - 0.3
			wm[i] = b1*wm[i] + (1-b1)*g[i]
			wv[i] = b2*wv[i] + (1-b2)*g[i]*g[i]
			want[i] -= lr*decay*want[i] + lr*(wm[i]/bias1)/(math.Sqrt(wv[i]/bias2)+eps)
		}
		Adam(param, m, v, g, AdamParams{LR: lr, Beta1: b1, Beta2: b2, Eps: eps, WeightDecay: decay, Bias1: bias1, Bias2: bias2})
	}
	for i := range param {
		if !(math.Abs(param[i]-want[i]) <= 1e-14) {
			t.Errorf("parameter %d is %v, want %v", i, param[i], want[i])
		}
	}
}

// table is the size of the chapter's logit table.
const table = 200 * 25

func BenchmarkSoftmaxRows(b *testing.B) {
	z, p, logp := inputs(table, -3, 3)[:table], make([]float64, table), make([]float64, table)
	b.ReportAllocs()
	for b.Loop() {
		SoftmaxRows(p, logp, z, 25)
	}
}

func BenchmarkAdam(b *testing.B) {
	g := inputs(table, -3, 3)[:table]
	param, m, v := make([]float64, table), make([]float64, table), make([]float64, table)
	b.ReportAllocs()
	for b.Loop() {
		Adam(param, m, v, g, AdamParams{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Bias1: 0.1, Bias2: 0.001})
	}
}
