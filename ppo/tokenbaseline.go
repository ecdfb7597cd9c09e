package ppo

import (
	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/policy"
)

// optimalToken takes off, token by token, the baseline of least variance: the mean of what
// follows in the group's responses, weighted with how far each has moved the gradient (Li et
// al. 2026, OTB, arXiv 2602.07078; verl's compute_optimal_token_baseline_advantage):
//
//	Â_it = G_it − b_t,   b_t = Σ_j W_jt G_jt / (Σ_j W_jt + 1e−8),   W_jt = Σ_{s≤t} ‖e_s − π_s‖²
//
// over the responses that have a token t; where one alone is as long, b_t = 0. Response i
// has the tokens start[i] to start[i+1] of g, which holds G, and of energy, which holds the
// ‖e_s − π_s‖² and is made W.
func optimalToken(g, energy []float64, start []int32) {
	n := len(start) - 1
	for i := range n {
		for j := start[i] + 1; j < start[i+1]; j++ {
			energy[j] += energy[j-1]
		}
	}
	for t := int32(0); ; t++ {
		there, sum, weights := 0, 0.0, 0.0
		for i := range n {
			if j := start[i] + t; j < start[i+1] {
				there++
				sum += float64(energy[j] * g[j])
				weights += energy[j]
			}
		}
		if there < 2 {
			return
		}
		b := sum / (weights + 1e-8)
		for i := range n {
			if j := start[i] + t; j < start[i+1] {
				g[j] -= b
			}
		}
	}
}

// energy is ‖e − π‖² = 1 − 2π(y_t) + Σ_v π(v)², the squared length of the gradient of
// log π(y_t) by its own logits (OTB's logit-gradient proxy).
func energy(p, squares float64) float64 { return 1 - float64(2*p) + squares }

// energies fills the energy of each token under the policy that sampled it.
func (b *rollout) energies(dst []float64, pi *policy.Softmax) {
	n := int32(pi.Outcomes())
	for j, i := range b.index {
		row := pi.P[b.row[j]*n : (b.row[j]+1)*n]
		dst[j] = energy(pi.P[i], num.Dot(row, row))
	}
}

// checkTokenBaseline refuses what is done to R − b before tokens have a baseline.
func (c GroupConfig) checkTokenBaseline(k *field.Checker) {
	for _, b := range Baselines {
		if b.Name != c.Advantage || b.PerToken == nil {
			continue
		}
		const why = "its baseline is one of tokens, taken off after that"
		if c.CliprangeAdvantage > 0 {
			k.Add(&field.Error{Field: "cliprange_advantage", Value: c.CliprangeAdvantage, Allowed: "0 with advantage = \"" + b.Name + "\"", Why: why})
		}
		if c.NormalizeAdvantages {
			k.Add(&field.Error{Field: "normalize_advantages", Value: true, Allowed: "false with advantage = \"" + b.Name + "\"", Why: why})
		}
	}
}
