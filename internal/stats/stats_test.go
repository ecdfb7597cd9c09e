package stats

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMean(t *testing.T) {
	cases := []struct {
		values []float64
		want   float64
	}{
		{[]float64{4}, 4},
		{[]float64{1, 2, 6}, 3},
		{[]float64{-1, 1}, 0},
		{slices.Repeat([]float64{0.1}, 10), 0.1}, // the naive sum gives 0.09999999999999999
	}
	for _, c := range cases {
		if got := Mean(c.values); got != c.want {
			t.Errorf("Mean(%v) = %v, want %v", c.values, got, c.want)
		}
	}
	if got := Mean(nil); !math.IsNaN(got) {
		t.Errorf("Mean(nil) = %v, want NaN", got)
	}
}

func TestSD(t *testing.T) {
	cases := []struct {
		values []float64
		want   float64
	}{
		{[]float64{2, 4, 4, 4, 5, 5, 7, 9}, math.Sqrt(32.0 / 7)},
		{[]float64{1, 3}, math.Sqrt2},
		{slices.Repeat([]float64{0.1}, 10), 0},
	}
	for _, c := range cases {
		if got := SD(c.values); got != c.want {
			t.Errorf("SD(%v) = %v, want %v", c.values, got, c.want)
		}
	}
	for _, few := range [][]float64{nil, {3}} {
		if got := SD(few); !math.IsNaN(got) {
			t.Errorf("SD(%v) = %v, want NaN", few, got)
		}
	}
}

func TestQuantile(t *testing.T) {
	sorted := []float64{1, 2, 4, 8, 16}
	cases := []struct{ q, want float64 }{
		{0, 1}, {0.125, 1.5}, {0.25, 2}, {0.5, 4}, {0.625, 6}, {0.875, 12}, {1, 16},
	}
	for _, c := range cases {
		if got := Quantile(sorted, c.q); got != c.want {
			t.Errorf("Quantile(%v) = %v, want %v", c.q, got, c.want)
		}
	}
	if got := Quantile([]float64{7}, 0.3); got != 7 {
		t.Errorf("single value: %v", got)
	}
	if got := Quantile(nil, 0.3); !math.IsNaN(got) {
		t.Errorf("no values: %v, want NaN", got)
	}
}

func TestQuantileIsMonotoneAndWithinRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sorted := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 50).Draw(t, "values")
		slices.Sort(sorted)
		a := rapid.Float64Range(0, 1).Draw(t, "a")
		b := rapid.Float64Range(a, 1).Draw(t, "b")
		x, y := Quantile(sorted, a), Quantile(sorted, b)
		slack := 1e-9 * (1 + math.Abs(x)) // interpolation rounds
		if x > y+slack || x < sorted[0]-slack || y > sorted[len(sorted)-1]+slack {
			t.Fatalf("quantiles %v at %v, %v at %v of %v", x, a, y, b, sorted)
		}
	})
}

func TestPanics(t *testing.T) {
	nan := math.NaN()
	cases := map[string]func(){
		"quantile below 0":  func() { Quantile([]float64{1}, -0.1) },
		"quantile above 1":  func() { Quantile([]float64{1}, 1.1) },
		"quantile NaN":      func() { Quantile(nil, nan) },
		"level 0":           func() { Bootstrap([]float64{1}, 0, 10, "x") },
		"level 1":           func() { Bootstrap([]float64{1}, 1, 10, "x") },
		"level NaN":         func() { Bootstrap([]float64{1}, nan, 10, "x") },
		"no resamples":      func() { Bootstrap([]float64{1}, 0.95, 0, "x") },
		"different lengths": func() { PairedDifference([]float64{1}, nil, 0.95, 10, "x") },
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
