package stats

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"

	"gonum.org/v1/gonum/stat/distuv"

	"rlhfsim/internal/rng"
)

// Interval is a mean with its confidence interval, in the unit of the values.
type Interval struct {
	Mean float64 // NaN if N is 0
	Low  float64 // lower bound; equals Mean if N is 1
	High float64 // upper bound; equals Mean if N is 1
	N    int     // number of values (seeds) behind the mean
}

// Bootstrap returns the mean of values (one per seed) and its confidence
// interval at the given level, for example 0.95, from the given number of
// bootstrap resamples.
//
// The interval is the expanded percentile interval of Hesterberg, "What
// Teachers Should Know About the Bootstrap", The American Statistician 69(4),
// 2015: the plain percentile interval is too narrow by a factor of about
// sqrt((n-1)/n) * z/t, and noticeably so at n = 10; here the percentiles are
// moved outwards by just that factor. As with every percentile interval its
// bounds lie within the range of values, so for n below about 5 it cannot
// reach its nominal level.
//
// name names the random stream of the resampling. Each metric should have its
// own; the result then does not depend on what else is evaluated, or when.
//
// With one value, or with equal values, the interval has zero width. With none
// everything is NaN and N is 0. If the mean is not finite the bounds are NaN.
// Bootstrap panics if level is not within (0, 1) or resamples is not positive.
func Bootstrap(values []float64, level float64, resamples int, name string) Interval {
	if !(level > 0 && level < 1) { // so written because NaN fails it too
		panic(fmt.Sprintf("stats: confidence level %v is not within (0, 1)", level))
	}
	if resamples <= 0 {
		panic(fmt.Sprintf("stats: %d bootstrap resamples", resamples))
	}
	n := len(values)
	mean := Mean(values)
	switch {
	case n == 1:
		return Interval{Mean: mean, Low: mean, High: mean, N: n}
	case math.IsNaN(mean) || math.IsInf(mean, 0):
		return Interval{Mean: mean, Low: math.NaN(), High: math.NaN(), N: n}
	}
	low, high := percentiles(values, expandedTail(n, level), resamples, name)
	return Interval{Mean: mean, Low: low, High: high, N: n}
}

// PairedDifference is Bootstrap of the differences a[i] - b[i], for two
// variants run with the same seeds: what the seeds have in common cancels, so
// the interval is narrower than that of two separate means. It panics if a and
// b differ in length.
func PairedDifference(a, b []float64, level float64, resamples int, name string) Interval {
	if len(a) != len(b) {
		panic(fmt.Sprintf("stats: paired difference of %d and %d values", len(a), len(b)))
	}
	differences := make([]float64, len(a))
	for i := range a {
		differences[i] = a[i] - b[i]
	}
	return Bootstrap(differences, level, resamples, name)
}

// percentiles resamples values (two or more) with replacement and returns the
// tail and 1-tail quantiles of the resampled means.
func percentiles(values []float64, tail float64, resamples int, name string) (low, high float64) {
	// Distances to the first value keep equal values at exactly zero width,
	// and one division at the end does for all the sums.
	n, origin := float64(len(values)), values[0]
	scratch := make([]float64, resamples+len(values))
	sums, distances := scratch[:resamples], scratch[resamples:]
	for i, v := range values {
		distances[i] = v - origin
	}
	resample(sums, distances, rng.New(0, "stats.bootstrap", name))
	slices.Sort(sums)
	return origin + Quantile(sums, tail)/n, origin + Quantile(sums, 1-tail)/n
}

// resample sets each element of sums to the sum of len(values) draws from
// values with replacement.
func resample(sums, values []float64, stream *rng.Stream) {
	for i := range sums {
		sum := 0.0
		for range values {
			sum += values[stream.IntN(len(values))]
		}
		sums[i] = sum
	}
}

// expandedTail returns the probability to cut off at each end of the bootstrap
// distribution of a mean of n values: Phi(-sqrt(n/(n-1)) * t), where t is the
// upper (1-level)/2 point of Student's distribution with n-1 degrees of
// freedom. It replaces (1-level)/2.
//
// Gonum computes t and Phi with functions whose last digits differ between
// architectures; nine significant digits do not, and are more than the
// resampling can resolve.
func expandedTail(n int, level float64) float64 {
	student := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}
	t := student.Quantile(1 - float64((1-level)/2))
	return round9(distuv.UnitNormal.CDF(-math.Sqrt(float64(n)/float64(n-1)) * t))
}

// round9 rounds x to nine significant decimal digits.
func round9(x float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'e', 8, 64), 64)
	if err != nil {
		panic(err) // FormatFloat's output always parses
	}
	return rounded
}

// SeedsNeeded estimates how many seeds an interval at the given level needs to
// lie on one side of a boundary, if mean and spread stay as they are: the
// smallest n with t_{n−1} sd/√n < distance, where sd is the standard deviation of
// the values and distance that of their mean from the boundary. It is 0 where
// no n up to most does.
func SeedsNeeded(sd, distance, level float64, most int) int {
	enough := func(n int) bool {
		t := round9(distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile(1 - float64((1-level)/2)))
		return float64(t*sd)/math.Sqrt(float64(n)) < distance
	}
	if !enough(most) { // so written because NaN fails it too
		return 0
	}
	return 2 + sort.Search(most-2, func(i int) bool { return enough(2 + i) })
}
