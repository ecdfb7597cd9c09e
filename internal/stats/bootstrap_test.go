package stats

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"rlhfsim/internal/rng"
)

var ten = []float64{3.1, 2.7, 4.4, 1.9, 3.3, 2.2, 5.0, 2.8, 3.6, 3.0}

// TestCoverage simulates 2,000 experiments of ten seeds each and counts how
// often the 95 % interval holds the true mean.
func TestCoverage(t *testing.T) {
	normal := func(u float64) float64 { return distuv.UnitNormal.Quantile(u) }
	exponential := func(u float64) float64 { return -math.Log1p(-u) } // skewness 2
	const tail = 0.025                                                // of the plain percentile interval
	cases := []struct {
		name      string
		quantile  func(u float64) float64
		trueMean  float64
		tail      float64
		low, high float64
	}{
		{"normal", normal, 0, expandedTail(10, 0.95), 0.93, 0.97},
		{"exponential", exponential, 1, expandedTail(10, 0.95), 0.88, 0.97},
		// What the expansion is for, and proof that the first case can fail.
		{"normal, not expanded", normal, 0, tail, 0.87, 0.925},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const experiments = 2000
			stream := rng.New(1, "coverage", c.name)
			values := make([]float64, 10)
			covered := 0
			for e := range experiments {
				for i := range values {
					values[i] = c.quantile(stream.Float64())
				}
				low, high := percentiles(values, c.tail, 2000, fmt.Sprint(e))
				if low <= c.trueMean && c.trueMean <= high {
					covered++
				}
			}
			coverage := float64(covered) / experiments
			t.Logf("coverage %.4f", coverage)
			if coverage < c.low || coverage > c.high {
				t.Errorf("coverage %v outside [%v, %v]", coverage, c.low, c.high)
			}
		})
	}
}

// TestExpandedTail compares with SciPy:
// norm.cdf(-sqrt(n/(n-1)) * t.ppf(1-(1-level)/2, n-1)).
func TestExpandedTail(t *testing.T) {
	cases := []struct {
		n     int
		level float64
		want  float64
	}{
		{2, 0.9, 2.14951994e-19}, {2, 0.95, 1.69521907e-72},
		{3, 0.9, 0.000174287587}, {3, 0.95, 6.83413731e-08},
		{5, 0.95, 0.000954100552}, {5, 0.99, 1.31966199e-07},
		{10, 0.9, 0.0266630519}, {10, 0.95, 0.00855063902}, {10, 0.99, 0.000306690548},
		{20, 0.95, 0.0158808299}, {100, 0.95, 0.0230643872},
	}
	for _, c := range cases {
		if got := expandedTail(c.n, c.level); !(math.Abs(got-c.want) <= 2e-8*c.want) {
			t.Errorf("expandedTail(%d, %v) = %v, want %v", c.n, c.level, got, c.want)
		}
	}
}

// TestRoundingIsFarFromTies makes sure that noise in the last bits of Gonum's
// result cannot turn the ninth digit, for every n a study may have.
func TestRoundingIsFarFromTies(t *testing.T) {
	for n := 2; n <= 200; n++ {
		student := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}
		quantile := student.Quantile(1 - (1-0.95)/2)
		x := distuv.UnitNormal.CDF(-math.Sqrt(float64(n)/float64(n-1)) * quantile)
		if noise := 1e-12 * x; round9(x-noise) != round9(x+noise) {
			t.Errorf("n = %d: %.17g is too close to a tie", n, x)
		}
	}
}

func TestRound9(t *testing.T) {
	cases := []struct{ x, want float64 }{
		{0, 0}, {0.1234567894, 0.123456789}, {0.1234567896, 0.12345679}, {1.6e-72, 1.6e-72},
		{123456789.4, 123456789}, {-2.00000000049, -2},
	}
	for _, c := range cases {
		if got := round9(c.x); got != c.want {
			t.Errorf("round9(%v) = %v, want %v", c.x, got, c.want)
		}
	}
}

// TestBootstrapGolden pins the bits, which must not depend on the architecture.
func TestBootstrapGolden(t *testing.T) {
	values := make([]float64, 10)
	for i := range values {
		values[i] = math.Sqrt(float64(i)) // digits to the last bit, so that every rounding shows
	}
	got := Bootstrap(values, 0.95, 2000, "golden")
	want := Interval{Mean: 1.930600052603572, Low: 1.212497193661004, High: 2.526448705833309, N: 10}
	if got != want {
		t.Errorf("got %#v, want %#v", got, want)
	}
	if again := Bootstrap(values, 0.95, 2000, "golden"); again != got {
		t.Errorf("second call: %v, first call %v", again, got)
	}
	if other := Bootstrap(values, 0.95, 2000, "other"); other == got {
		t.Error("another name gave the same resamples")
	}
}

// TestBootstrapNearStudent compares with the interval mean ± t*s/sqrt(n),
// which is the right one for values as symmetric as these.
func TestBootstrapNearStudent(t *testing.T) {
	got := Bootstrap(ten, 0.95, 20000, "student")
	half := 2.2621571628 * SD(ten) / math.Sqrt(10)
	if !(math.Abs(got.Mean-3.2) <= 1e-15) || got.N != 10 {
		t.Errorf("mean %v of %d values", got.Mean, got.N)
	}
	if !(math.Abs(got.Low-(got.Mean-half)) <= 0.15*half) || !(math.Abs(got.High-(got.Mean+half)) <= 0.15*half) {
		t.Errorf("interval [%v, %v], Student's is %v ± %v", got.Low, got.High, got.Mean, half)
	}
}

func TestBootstrapLevels(t *testing.T) {
	narrow := Bootstrap(ten, 0.5, 2000, "level")
	wide := Bootstrap(ten, 0.99, 2000, "level")
	if !(wide.Low < narrow.Low && narrow.Low < narrow.High && narrow.High < wide.High) {
		t.Errorf("50 %%: %v, 99 %%: %v", narrow, wide)
	}
}

func TestBootstrapSpecialCases(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	cases := []struct {
		name   string
		values []float64
		want   Interval
	}{
		{"none", nil, Interval{nan, nan, nan, 0}},
		{"one", []float64{0.3}, Interval{0.3, 0.3, 0.3, 1}},
		{"constant", slices.Repeat([]float64{0.1}, 10), Interval{0.1, 0.1, 0.1, 10}},
		{"two", []float64{1, 3}, Interval{2, 1, 3, 2}},
		{"NaN", []float64{1, nan, 2}, Interval{nan, nan, nan, 3}},
		{"infinite", []float64{1, inf, 2}, Interval{inf, nan, nan, 3}},
	}
	for _, c := range cases {
		got := Bootstrap(c.values, 0.95, 500, c.name)
		if got.N != c.want.N || !same(got.Mean, c.want.Mean) || !same(got.Low, c.want.Low) || !same(got.High, c.want.High) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// same is == with NaN equal to itself.
func same(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b)
}

func TestBootstrapLeavesValuesAlone(t *testing.T) {
	values := slices.Clone(ten)
	Bootstrap(values, 0.95, 100, "x")
	if !slices.Equal(values, ten) {
		t.Errorf("values became %v", values)
	}
}

func TestPairedDifference(t *testing.T) {
	shifted := make([]float64, len(ten))
	for i, v := range ten {
		shifted[i] = v + 0.5
	}
	if got := PairedDifference(shifted, ten, 0.95, 500, "shift"); got.High-got.Low > 1e-12 || !(math.Abs(got.Mean-0.5) <= 1e-12) || got.N != 10 {
		t.Errorf("a constant shift of 0.5 gave %v", got)
	}
	zeros := make([]float64, len(ten))
	if got, want := PairedDifference(zeros, ten, 0.95, 500, "sign").Mean, -Mean(ten); got != want {
		t.Errorf("0 - ten has mean %v, want %v", got, want)
	}
	if got, want := PairedDifference(ten, zeros, 0.95, 500, "x"), Bootstrap(ten, 0.95, 500, "x"); got != want {
		t.Errorf("ten - 0 gave %v, Bootstrap %v", got, want)
	}
}

func TestBootstrapAllocations(t *testing.T) {
	const fixed = 4 // the scratch slice and the stream; more where the compiler inlines less
	few := testing.AllocsPerRun(20, func() { Bootstrap(ten, 0.95, 10, "a") })
	many := testing.AllocsPerRun(20, func() { Bootstrap(ten, 0.95, 5000, "a") })
	if many > few || many > fixed {
		t.Errorf("%v allocations for 10 resamples, %v for 5000", few, many)
	}
}

func BenchmarkBootstrap(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Bootstrap(ten, 0.95, 2000, "benchmark")
	}
}

// The estimate is the n at which Student's interval just clears the boundary.
func TestSeedsNeeded(t *testing.T) {
	// t_{n−1} /√n < 1: t_5 = 2.571 > √6, t_6 = 2.447 < √7.
	for _, c := range []struct {
		sd, distance float64
		want         int
	}{{1, 1, 7}, {1, 0.1, 387}, {1, 100, 2}, {0, 1, 2}, {1, 0, 0}, {1, 1e-9, 0}, {math.NaN(), 1, 0}} {
		if got := SeedsNeeded(c.sd, c.distance, 0.95, 10_000); got != c.want {
			t.Errorf("SeedsNeeded(%v, %v) = %d, want %d", c.sd, c.distance, got, c.want)
		}
	}
}
