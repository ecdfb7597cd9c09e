package ppo

import "math"

// rewardScale divides scores by a standard deviation, so that the unit of the reward
// model no longer matters; the mean stays (trlX's scale_reward, PPOConfig and
// AcceleratePPOTrainer.make_experience):
//
//	running  r/σ, σ that of all scores so far, this batch's included
//	ref      r/σ, σ that of the first batch, which the reference samples
//
// β is then a price in deviations of the score: what is climbed is E[r] − βσ KL.
// Where all scores have been equal they stay as they are.
type rewardScale struct {
	kind string
	seen runningMoments
}

// rewardScales are what scale_reward may be; trlX spells "none" as "ignored".
var rewardScales = []string{"none", "running", "ref"}

// divide takes in the scores of a batch, and scales them.
func (s *rewardScale) divide(scores []float64) {
	if s.kind != "running" && s.kind != "ref" {
		return
	}
	if s.kind == "running" || s.seen.n == 0 {
		s.seen.add(scores)
	}
	if sigma := s.seen.deviation(); sigma > 0 {
		for e := range scores {
			scores[e] /= sigma
		}
	}
}

// runningMoments are the mean and the deviation of everything seen, from those of
// batches (Chan, Golub and LeVeque 1979, equation 2.1; trlX's RunningMoments, which
// begins with a count of 1e−24 instead of 0):
//
//	M ← M + Σ(x − x̄)² + δ² N n/(N+n),   μ ← μ + δ n/(N+n),   δ = x̄ − μ,   σ² = M/(N−1)
type runningMoments struct {
	n, mean, squares float64 // N, μ, M
}

func (m *runningMoments) add(xs []float64) {
	mean, variance := moments(xs)
	n := float64(len(xs))
	total, delta := m.n+n, mean-m.mean
	m.squares += float64(variance*(n-1)) + float64(float64(delta*delta)*float64(m.n*n/total))
	m.mean += float64(delta * (n / total))
	m.n = total
}

func (m *runningMoments) deviation() float64 { return math.Sqrt(m.squares / (m.n - 1)) }
