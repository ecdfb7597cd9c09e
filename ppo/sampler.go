package ppo

import (
	"rlhfsim/internal/num"
	"rlhfsim/policy"
)

// sampler draws from the rows of a policy's table by their cumulative sums, which it
// adds up when a row is first drawn from.
type sampler struct {
	of    *policy.Softmax
	moves int       // of the policy when the sums were begun
	sum   []float64 // Σ_{v ≤ w} π(v) of each cell, of the rows added up
	added []bool
}

// follow takes the policy as it is now.
func (s *sampler) follow(pi *policy.Softmax) {
	if s.of == pi && s.moves == pi.Moves() {
		return
	}
	s.of, s.moves = pi, pi.Moves()
	if s.sum == nil {
		s.sum, s.added = make([]float64, pi.Cells()), make([]bool, pi.Rows())
	}
	clear(s.added)
}

// draw is the outcome of a row at quantile u: how many others end at or before it.
func (s *sampler) draw(row int, u float64) int {
	n := s.of.Outcomes()
	sum := s.sum[row*n : row*n+n]
	if !s.added[row] {
		s.added[row] = true
		total := 0.0
		for w, p := range s.of.P[row*n : row*n+n] {
			total += p
			sum[w] = total
		}
	}
	return num.CountAtMost(sum[:n-1], u)
}
