package figure

import (
	"math"
	"strconv"
	"strings"
)

// minus is the true minus sign, as wide as a digit.
const minus = "\u2212"

// tick is one labelled position of an axis.
type tick struct {
	at    float64
	label string
}

// span is a range of an axis, lo < hi.
type span struct{ lo, hi float64 }

// frac maps v to 0..1 within the span.
func (s span) frac(v float64) float64 { return (v - s.lo) / (s.hi - s.lo) }

func (s span) holds(v float64) bool { return v >= s.lo && v <= s.hi }

// usable reports whether v can be drawn.
func usable(v float64) bool { return !math.IsNaN(v) && math.Abs(v) <= 1e300 }

// extent collects the range of the data.
type extent struct {
	lo, hi float64
	any    bool
}

// add takes the usable ones of vs into account.
func (e *extent) add(vs ...float64) {
	for _, v := range vs {
		if !usable(v) {
			continue
		}
		if !e.any {
			e.lo, e.hi, e.any = v, v, true
			continue
		}
		e.lo, e.hi = math.Min(e.lo, v), math.Max(e.hi, v)
	}
}

// span pads the extent by the given shares of its length and applies the
// limits asked for. A range without length is widened around its value.
func (e extent) span(padLo, padHi float64, lo, hi *float64) span {
	s := span{e.lo, e.hi}
	if !e.any {
		s = span{0, 1}
	}
	size := math.Max(math.Abs(s.lo), math.Abs(s.hi))
	if s.hi-s.lo <= 1e-9*size || s.hi-s.lo < 1e-290 {
		pad := 0.1 * size
		if pad < 1e-12 {
			pad = 0.5
		}
		s.lo, s.hi = s.lo-pad, s.hi+pad
	} else {
		d := s.hi - s.lo
		s.lo, s.hi = s.lo-padLo*d, s.hi+padHi*d
	}
	return s.limited(lo, hi)
}

// limited replaces the ends of s where the limits leave a non-empty range.
func (s span) limited(lo, hi *float64) span {
	t := s
	if lo != nil && usable(*lo) {
		t.lo = *lo
	}
	if hi != nil && usable(*hi) {
		t.hi = *hi
	}
	if t.hi-t.lo > 1e-290 {
		return t
	}
	return s
}

// ticks returns at most n (at least 2) positions at steps of 1, 2 or 5 times
// a power of ten.
func ticks(s span, n int) []tick {
	step := tickStep(s, max(n, 2))
	if step == 0 {
		return nil
	}
	var at []float64
	first, last := math.Ceil(s.lo/step-1e-9), math.Floor(s.hi/step+1e-9)
	if math.Max(math.Abs(first), math.Abs(last)) > 1e12 {
		return nil // the labels could not tell the ticks apart
	}
	for i := first; i <= last; i++ {
		at = append(at, i*step)
	}
	return labelTicks(at, step)
}

// tickStep is the smallest 1-2-5 step that gives at most n ticks.
func tickStep(s span, n int) float64 {
	d := s.hi - s.lo
	if !(d > 0) || math.IsInf(d, 0) {
		return 0
	}
	k := math.Floor(math.Log10(d/float64(n))) - 1
	for ; k < 309; k++ {
		for _, m := range []float64{1, 2, 5} {
			step := m * math.Pow(10, k)
			if math.Floor(s.hi/step+1e-9)-math.Ceil(s.lo/step-1e-9)+1 <= float64(n) {
				return step
			}
		}
	}
	return 0
}

// labelTicks writes the positions with as many decimals as the step needs, in
// thousands or with an exponent if that is shorter.
func labelTicks(at []float64, step float64) []tick {
	top := 0.0
	for _, v := range at {
		top = math.Max(top, math.Abs(v))
	}
	write := func(v float64) string { return number(v, decimals(step)) }
	switch {
	case top >= 1e9 || step < 1e-5:
		write = exponent
	case top >= 1e6 && step >= 1e4:
		write = func(v float64) string { return suffixed(v, 1e6, "M", step) }
	case top >= 1e4 && step >= 100:
		write = func(v float64) string { return suffixed(v, 1e3, "k", step) }
	}
	out := make([]tick, len(at))
	for i, v := range at {
		out[i] = tick{v, write(v)}
	}
	return out
}

func suffixed(v, unit float64, suffix string, step float64) string {
	if v == 0 {
		return "0"
	}
	return number(v/unit, decimals(step/unit)) + suffix
}

// exponent writes v like 2e−6.
func exponent(v float64) string {
	if v == 0 {
		return "0"
	}
	mantissa, e, _ := strings.Cut(strconv.FormatFloat(v, 'e', 3, 64), "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	if power := strings.TrimLeft(e[1:], "0"); power != "" {
		mantissa += "e" + strings.TrimPrefix(e[:1], "+") + power
	}
	return strings.ReplaceAll(mantissa, "-", minus)
}

// decimals is how many digits after the point show the step.
func decimals(step float64) int {
	return int(math.Min(9, math.Max(0, -math.Floor(math.Log10(step)+1e-9))))
}

// number writes v with a true minus sign and never as minus zero.
func number(v float64, dec int) string {
	s := strconv.FormatFloat(v, 'f', dec, 64)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return strings.ReplaceAll(s, "-", minus)
}
