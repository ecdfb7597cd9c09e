package ppo

import (
	"math"
	"slices"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
)

// Mark picks tokens of a batch by what only the whole of it shows, before the
// surrogate looks at one response after the other: it fills Tokens.Marked of all.
type Mark func(batch []*Tokens, m *marking, c *GroupConfig, r *rng.Stream)

// marking is the room for a Mark's work.
type marking struct{ cov, sorted []float64 }

// covariances fills m.cov, in the order of the batch, with what each token adds to
// the covariance of log-probability and advantage, the force that makes entropy fall
// (Cui et al. 2025, arXiv 2505.22617, section 4.2):
//
//	Cov_t = (log π_t − mean log π) (Â_t − mean Â)
func (m *marking) covariances(batch []*Tokens) {
	n, logp, advantage := 0, 0.0, 0.0
	for _, y := range batch {
		n += len(y.LogP)
		logp += num.Sum(y.LogP)
		advantage += num.Sum(y.Advantage)
	}
	logp, advantage = logp/float64(n), advantage/float64(n)
	m.cov = m.cov[:0]
	for _, y := range batch {
		for t := range y.LogP {
			m.cov = append(m.cov, float64((y.LogP[t]-logp)*(y.Advantage[t]-advantage)))
		}
	}
}

// share is how many of a batch's tokens a ratio stands for, one at least.
func share(ratio float64, tokens int) int { return max(1, int(ratio*float64(tokens))) }

// markBetween is Clip-Cov's choice (ibid.): a share of the tokens, at random among
// those whose covariance lies between the bounds and that the clip leaves alone.
func markBetween(batch []*Tokens, m *marking, c *GroupConfig, r *rng.Stream) {
	m.covariances(batch)
	clip, candidates, i := c.covClip(), 0, 0
	low, high := clip.uncut()
	for _, y := range batch {
		for t, w := range y.Weight {
			clipped := 0.0
			if !(low < w && w < high) {
				_, _, clipped = Clipped(w, y.Advantage[t], clip)
			}
			y.Marked[t] = clipped == 0 && m.cov[i] > c.ClipCovLB && m.cov[i] < c.ClipCovUB
			if y.Marked[t] {
				candidates++
			}
			i++
		}
	}
	keep(batch, min(share(c.ClipCovRatio, len(m.cov)), candidates), candidates, r)
}

// keep leaves n of the marks, each subset as likely as any other (Knuth, volume 2,
// algorithm 3.4.2S).
func keep(batch []*Tokens, n, marks int, r *rng.Stream) {
	for _, y := range batch {
		for t, marked := range y.Marked {
			if !marked {
				continue
			}
			if n < marks && r.IntN(marks) >= n {
				y.Marked[t] = false
			} else {
				n--
			}
			marks--
		}
	}
}

// markLargest is KL-Cov's choice (ibid.): the share of the tokens with the largest
// covariances, the first ones where several are equal.
func markLargest(batch []*Tokens, m *marking, c *GroupConfig, _ *rng.Stream) {
	m.covariances(batch)
	m.sorted = append(m.sorted[:0], m.cov...)
	slices.Sort(m.sorted)
	n := len(m.cov)
	k := min(share(c.KLCovRatio, n), n)
	least, equal := m.sorted[n-k], 0
	for _, v := range m.sorted[n-k:] {
		if v == least {
			equal++
		}
	}
	i := 0
	for _, y := range batch {
		for t := range y.Marked {
			y.Marked[t] = m.cov[i] > least || m.cov[i] == least && equal > 0
			if m.cov[i] == least {
				equal--
			}
			i++
		}
	}
}

// covClip is the range of Clip-Cov, which has no dual clip.
func (c *GroupConfig) covClip() Clip {
	clip := c.clip()
	clip.Delta = math.Inf(1)
	return clip
}

// clipCov is the clipped surrogate, without the tokens marked.
func clipCov(y *Tokens, c *GroupConfig) {
	y.clipped(c.covClip())
	y.Left = 0
	for t, marked := range y.Marked {
		if marked {
			y.Left++
			y.Loss[t], y.Slope[t] = 0, 0
		}
	}
}

var move, _ = estimator("abs", 0)

// klCov is the surrogate without a clip, and a penalty for the tokens marked:
// ℓ = −Â ρ + c |log ρ|.
func klCov(y *Tokens, c *GroupConfig) {
	y.Low, y.High = 0, 0
	for t, w := range y.Weight {
		y.Loss[t] = float64(-y.Advantage[t] * w)
		y.Slope[t] = y.Loss[t]
		if y.Marked[t] {
			v, slope := move.At(y.LogP[t], y.Old[t])
			y.Loss[t] += float64(c.PPOKLCoef * v)
			y.Slope[t] += float64(c.PPOKLCoef * slope)
		}
	}
}

// checkCovariance reports what cannot choose tokens.
func (c GroupConfig) checkCovariance(k *field.Checker) {
	k.Require(c.ClipCovRatio > 0 && c.ClipCovRatio <= 1, "clip_cov_ratio", c.ClipCovRatio, "above 0, at most 1")
	k.Require(!math.IsNaN(c.ClipCovLB) && !math.IsInf(c.ClipCovLB, 0), "clip_cov_lb", c.ClipCovLB, "a finite number")
	if lb := c.ClipCovLB; !math.IsNaN(lb) {
		k.Require(c.ClipCovUB > lb, "clip_cov_ub", c.ClipCovUB, "above clip_cov_lb")
	}
	k.Require(c.KLCovRatio > 0 && c.KLCovRatio <= 1, "kl_cov_ratio", c.KLCovRatio, "above 0, at most 1")
	k.NonNegative("ppo_kl_coef", c.PPOKLCoef)
}
