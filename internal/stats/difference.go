package stats

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"rlhfsim/internal/rng"
)

// Statistic is a summary of values over seeds: Mean, Median or IQM.
type Statistic func([]float64) float64

// Median is the middle value, the mean of the two middle ones for an even number.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return Quantile(sorted, 0.5)
}

// IQM is the interquartile mean, the mean of the middle half of the values
// (Agarwal et al. 2021, arXiv 2108.13264): a quarter of them is dropped at each
// end, a part of a value where n is no multiple of four.
func IQM(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	cut := float64(n) / 4
	sum, weight := 0.0, 0.0
	for i, v := range sorted {
		// How much of [i, i+1] lies within [cut, n−cut].
		w := min(float64(i+1), float64(n)-cut) - max(float64(i), cut)
		if w > 0 {
			sum += float64(w * v)
			weight += w
		}
	}
	return sum / weight
}

// Difference is stat(a) − stat(b) with its percentile bootstrap interval. Paired,
// a[i] and b[i] are of the same seed and are resampled together; the mean then
// has the expanded interval of PairedDifference. It panics as Bootstrap does, and
// if paired values differ in number.
func Difference(a, b []float64, paired bool, stat Statistic, level float64, resamples int, name string) Interval {
	if paired && len(a) != len(b) {
		panic(fmt.Sprintf("stats: paired difference of %d and %d values", len(a), len(b)))
	}
	value := stat(a) - stat(b)
	out := Interval{Mean: value, Low: value, High: value, N: min(len(a), len(b))}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		out.Low, out.High = math.NaN(), math.NaN()
		return out
	}
	if out.N < 2 {
		return out
	}
	stream := rng.New(0, "stats.difference", name)
	draws := make([]float64, resamples)
	x, y := make([]float64, len(a)), make([]float64, len(b))
	for i := range draws {
		for k := range x {
			j := stream.IntN(len(a))
			x[k] = a[j]
			if paired {
				y[k] = b[j]
			}
		}
		if !paired {
			for k := range y {
				y[k] = b[stream.IntN(len(b))]
			}
		}
		draws[i] = stat(x) - stat(y)
	}
	slices.Sort(draws)
	tail := expandedTail(out.N, level)
	out.Low, out.High = Quantile(draws, tail), Quantile(draws, 1-tail)
	return out
}

// Improvement is P(a > b) + ½ P(a = b) (Agarwal et al. 2021, "probability of
// improvement"): over seeds that both have where they are paired, over all pairs
// of seeds where they are not. Paired, the interval is Wilson's (1927) for a share
// of n: winning all of three seeds is no certainty, as resampling would say.
func Improvement(a, b []float64, paired bool, level float64, resamples int, name string) Interval {
	if paired {
		won := make([]float64, len(a))
		for i := range a {
			won[i] = above(a[i], b[i])
		}
		return wilson(Mean(won), len(won), level)
	}
	share := func(a, b []float64) float64 {
		sum := 0.0
		for _, x := range a {
			for _, y := range b {
				sum += above(x, y)
			}
		}
		return sum / float64(len(a)*len(b))
	}
	value := share(a, b)
	out := Interval{Mean: value, Low: value, High: value, N: min(len(a), len(b))}
	if out.N < 2 {
		return out
	}
	stream := rng.New(0, "stats.improvement", name)
	draws := make([]float64, resamples)
	x, y := make([]float64, len(a)), make([]float64, len(b))
	for i := range draws {
		for k := range x {
			x[k] = a[stream.IntN(len(a))]
		}
		for k := range y {
			y[k] = b[stream.IntN(len(b))]
		}
		draws[i] = share(x, y)
	}
	slices.Sort(draws)
	tail := (1 - level) / 2
	out.Low, out.High = Quantile(draws, tail), Quantile(draws, 1-tail)
	return out
}

// wilson is the score interval of a share p of n.
func wilson(p float64, n int, level float64) Interval {
	z, m := round9(distuv.UnitNormal.Quantile(1-float64((1-level)/2))), float64(n)
	square := float64(z*z) / m
	centre := (p + square/2) / (1 + square)
	half := float64(z*math.Sqrt(float64(p*(1-p))/m+square/(4*m))) / (1 + square)
	return Interval{Mean: p, Low: max(0, centre-half), High: min(1, centre+half), N: n}
}

func above(a, b float64) float64 {
	switch {
	case a > b:
		return 1
	case a == b:
		return 0.5
	}
	return 0
}
