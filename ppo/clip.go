package ppo

// Clip is the range of a clipped surrogate.
type Clip struct {
	Low, High float64 // ε of the lower bound 1−ε and of the upper 1+ε; apart in "clip-higher" (DAPO, equation 10)
	Delta     float64 // largest ratio where the advantage is negative, +Inf for none
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
	plain := -advantage * min(ratio, c.Delta)
	bound := -advantage * min(max(ratio, 1-c.Low), 1+c.High)
	free, inside := -advantage*ratio, -advantage*ratio // the slopes of the two terms
	if ratio >= c.Delta {
		free = 0
	}
	if ratio <= 1-c.Low || ratio >= 1+c.High {
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

// inside says whether a ratio is cut off nowhere: the two terms of Clipped are then one,
// ℓ = ∂ℓ/∂log π = −Â ρ.
func (c Clip) inside(ratio float64) bool {
	return 1-c.Low < ratio && ratio < 1+c.High && ratio < c.Delta
}

// side is where TRL counts a ratio as clipped.
func (c Clip) side(ratio, advantage float64) int {
	ratio = min(ratio, c.Delta)
	switch {
	case advantage < 0 && ratio < 1-c.Low:
		return -1
	case advantage > 0 && ratio > 1+c.High:
		return 1
	}
	return 0
}
