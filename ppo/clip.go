package ppo

import (
	"math"

	"rlhfsim/internal/num"
)

// Clip is the range of a clipped surrogate.
type Clip struct {
	Low, High float64 // ε of the lower bound 1−ε and of the upper 1+ε; apart in "clip-higher" (DAPO, equation 10)
	Delta     float64 // largest ratio where the advantage is negative, +Inf for none

	Least, Most float64 // bounds of every ratio, beyond which it is a constant; 0 and +Inf for none
}

// within holds every ratio to e^±limit, a limit of its logarithm (verl and OpenRLHF:
// 20); 0 is none.
func (c Clip) within(limit float64) Clip {
	c.Least, c.Most = 0, math.Inf(1)
	if limit != 0 {
		c.Least, c.Most = num.Exp(-limit), num.Exp(limit)
	}
	return c
}

// hold returns the ratio within the bounds of all ratios, and whether it reached one.
func (c Clip) hold(ratio float64) (held float64, beyond bool) {
	if ratio <= c.Least || ratio >= c.Most {
		return min(max(ratio, c.Least), c.Most), true
	}
	return ratio, false
}

// Clipped is the surrogate of one token as a loss, its derivative with respect
// to log π(y_t), and 1 where the clipped term is the larger one
// (Schulman et al. 2017, eq. 7):
//
//	ℓ = max(−Â min(ρ, δ), −Â clip(ρ, 1−ε_low, 1+ε_high)),   ∂ℓ/∂log π = −Â ρ, or 0 where cut off
//
// since ∂ρ/∂log π = ρ. The bound δ > 1+ε_high acts on negative advantages only,
// and is the dual clip (Ye et al. 2020, arXiv 1912.09729) as well as the
// two-sided clip (INTELLECT-2, arXiv 2505.07291): one formula, found twice. As in
// torch, a ratio on a bound counts as cut off, and of two equal terms each gives half.
func Clipped(ratio, advantage float64, c Clip) (loss, slope, clipped float64) {
	held, beyond := c.hold(ratio)
	plain := -advantage * min(held, c.Delta)
	bound := -advantage * min(max(held, 1-c.Low), 1+c.High)
	free, inside := -advantage*held, -advantage*held // the slopes of the two terms
	if beyond || ratio >= c.Delta {
		free = 0
	}
	if beyond || ratio <= 1-c.Low || ratio >= 1+c.High {
		inside = 0
	}
	switch {
	case bound > plain:
		return bound, inside, 1
	case bound < plain:
		return plain, free, 0
	}
	return plain, float64(0.5 * (free + inside)), 0
}

// uncut is the open range of ratios that are cut off nowhere: the two terms of Clipped
// are then one, ℓ = ∂ℓ/∂log π = −Â ρ.
func (c Clip) uncut() (low, high float64) {
	return max(1-c.Low, c.Least), min(1+c.High, c.Delta, c.Most)
}

// side is where TRL counts a ratio as clipped.
func (c Clip) side(ratio, advantage float64) int {
	held, _ := c.hold(ratio)
	ratio = min(held, c.Delta)
	switch {
	case advantage < 0 && ratio < 1-c.Low:
		return -1
	case advantage > 0 && ratio > 1+c.High:
		return 1
	}
	return 0
}
