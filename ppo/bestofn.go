package ppo

import (
	"math"

	"rlhfsim/internal/num"
)

// Best is the index of the highest reward, the first where several are.
func Best(rewards []float64) int {
	best := 0
	for i, r := range rewards {
		if r > rewards[best] {
			best = i
		}
	}
	return best
}

// BestOfN fills the probability of every outcome under best-of-n sampling: the
// one of n independent draws from p with the highest reward, drawn fairly among
// those that tie,
//
//	π_n(y) = p(y)/P(R = r_y) · [F(r_y)ⁿ − F(r_y−)ⁿ]
//
// with F the distribution function of the reward under p (Beirami et al. 2024,
// arXiv 2401.01879, section 2; ties as if broken at random).
func BestOfN(dst, p, reward []float64, n int) {
	for y, r := range reward {
		below, tied := 0.0, 0.0
		for z, other := range reward {
			switch {
			case other < r:
				below += p[z]
			case other == r:
				tied += p[z]
			}
		}
		dst[y] = 0
		if tied > 0 {
			dst[y] = float64(p[y] / tied * (power(below+tied, n) - power(below, n)))
		}
	}
}

func power(x float64, n int) float64 {
	product := 1.0
	for range n {
		product = float64(product * x)
	}
	return product
}

// BestOfNKL is log n − (n−1)/n, an upper bound on the KL of best-of-n to the
// policy it samples from, reached where no two responses tie and none has much
// probability (Beirami et al. 2024, theorem 3.1).
func BestOfNKL(n int) float64 {
	return num.Log(math.Max(float64(n), 1)) - float64(n-1)/float64(n)
}
