// Package stats summarises a metric measured once per seed: mean, standard
// deviation, quantiles and bootstrap confidence intervals. Every function is
// pure, and its result is the same to the last bit on every architecture.
package stats

import (
	"encoding/json"
	"fmt"
	"math"
)

// Mean returns the arithmetic mean of values, in their unit, or NaN if there
// are none. It is computed as values[0] plus the mean distance to it, so that
// the mean of equal values is exactly that value. If a value is not finite, or
// a difference overflows, neither is the result.
func Mean(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	origin := values[0]
	sum := 0.0
	for _, v := range values {
		sum += v - origin
	}
	return origin + sum/float64(len(values))
}

// SD returns the standard deviation of values, in their unit: the square root
// of the unbiased variance estimate (divisor n-1). It is NaN for fewer than two
// values and exactly 0 for equal ones.
func SD(values []float64) float64 {
	if len(values) < 2 {
		return math.NaN()
	}
	mean := Mean(values)
	sum := 0.0
	for _, v := range values {
		sum += float64((v - mean) * (v - mean)) // rounded here: no fused multiply-add
	}
	return math.Sqrt(sum / float64(len(values)-1))
}

// Quantile returns the q-quantile of sorted, which must be in ascending order
// and finite. Between two values it interpolates linearly at position
// q*(n-1), which is type 7 of Hyndman and Fan (1996) and the default of R and
// NumPy. It returns NaN if sorted is empty and panics if q is not in [0, 1].
func Quantile(sorted []float64, q float64) float64 {
	if !(q >= 0 && q <= 1) { // so written because NaN fails it too
		panic(fmt.Sprintf("stats: quantile %v is not in [0, 1]", q))
	}
	if len(sorted) == 0 {
		return math.NaN()
	}
	position := float64(q * float64(len(sorted)-1))
	below := int(position)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	fraction := position - float64(below)
	return sorted[below] + float64(fraction*(sorted[below+1]-sorted[below]))
}

// MarshalJSON writes the interval as an object, or null where there are no
// values (JSON has no NaN).
func (i Interval) MarshalJSON() ([]byte, error) {
	if i.N == 0 || math.IsNaN(i.Mean) {
		return []byte("null"), nil
	}
	return json.Marshal(struct {
		Mean float64 `json:"mean"`
		Low  float64 `json:"ci_low"`
		High float64 `json:"ci_high"`
		N    int     `json:"n"`
	}{i.Mean, i.Low, i.High, i.N})
}
