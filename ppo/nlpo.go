package ppo

import (
	"cmp"
	"slices"

	"rlhfsim/internal/card"
	"rlhfsim/policy"
)

// NLPOCard describes the method "nlpo".
var NLPOCard = card.Card{
	Title:   "Natural Language Policy Optimization",
	Idea:    "PPO whose samples keep to the likely words, by a copy of the policy that is renewed now and then",
	Formula: "PPO with π^m ∝ π 1[w ∈ top-p of π_ψ], ψ ← θ every µ steps",
	Paper:   "Ramamurthy et al. 2022, arXiv 2210.01241, algorithm 1; fields as in RL4LMs",
	Differs: "RL4LMs keeps at least 100 tokens by default, more than there are words here; its renewed copy is not the one that its sampler reads, so its mask stays the first; it evaluates under the mask too; none of the three has NLPO",
	Exact:   "what the mask leaves out is never sampled, so never unlearned: in the chapter's world the whole policy, which is what is evaluated, ends with a gap of 0.26 where PPO has 0.09, larger in each of 30 seeds (0.10 with top_mask = 0.99), though the samples, drawn under the mask, score 0.89 where PPO's score 0.63; objective/kl is taken over those samples and no estimate of exact/kl",
	Also:    []string{"masked PPO"},
}

// DefaultNLPO is PPO with RL4LMs' mask.
func DefaultNLPO() Config {
	c := Default()
	c.TopMask = 0.9
	return c
}

// nucleus is the mask of NLPO: the policy may say what is within the top-p nucleus
// (Holtzman et al. 2020, arXiv 1904.09751) of a masking policy π_ψ, and EOS:
//
//	π^m(w) = π_θ(w) 1[w ∈ M] / Σ_{v ∈ M} π_θ(v),   M = top-p of π_ψ, ψ ← θ every µ steps
//
// As in RL4LMs, π^m samples and stands in ratio and entropy, while the KL is that of π_θ
// itself (the paper's algorithm 1 writes π_θ in the ratio too: that would weigh samples
// by another policy than the one that drew them). The exact evaluation is of π_θ.
type nucleus struct {
	top     float64
	allowed []bool         // [cells] whether w ∈ M
	actor   policy.Trainer // π^m and ∂L/∂log π^m, which pull hands on: it has no parameters of its own
	whole   []float64      // log π_θ of the tokens sampled
	logits  []float64
	order   []int
}

// never is the logit of what may not be said: its probability is 0, its logarithm finite.
const never = -1e9

func newNucleus(top float64, pi *policy.Softmax, tokens int) *nucleus {
	n := pi.Cells()
	m := &nucleus{top: top, allowed: make([]bool, n), actor: policy.Trainer{Policy: pi.Free(), G: make([]float64, n)},
		whole: make([]float64, tokens), logits: make([]float64, n), order: make([]int, pi.Outcomes())}
	m.renew(pi)
	return m
}

// renew takes pi for the masking policy: ψ ← θ. Of a row stay the most probable
// outcomes as long as those before them hold no more than p (of equals the first).
func (m *nucleus) renew(pi *policy.Softmax) {
	n := pi.Outcomes()
	for at := 0; at < len(pi.P); at += n {
		row, before := pi.P[at:at+n], 0.0
		for w := range m.order {
			m.order[w] = w
		}
		slices.SortStableFunc(m.order, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
		for _, w := range m.order {
			m.allowed[at+w] = before <= m.top || w == pi.Words
			before += row[w]
		}
	}
	m.follow(pi)
}

// follow makes the actor π^m of pi.
func (m *nucleus) follow(pi *policy.Softmax) {
	for i, ok := range m.allowed {
		m.logits[i] = never
		if ok {
			m.logits[i] = pi.Logits[i]
		}
	}
	_ = m.actor.Policy.SetLogits(m.logits) // a free table of that size takes any
}

// pull adds the gradient that was gathered with respect to log π^m to G, which is one
// with respect to log π_θ, and clears it. For an allowed w, ∂log π^m(v)/∂z_w = 1[v=w] − π^m(w),
// and a row of derivatives with respect to the logits sums to 0: it is one with respect to
// log π_θ as well.
func (m *nucleus) pull(G []float64) {
	m.actor.Policy.LogitGradient(m.actor.G)
	for i, g := range m.actor.G {
		G[i] += g
	}
	clear(m.actor.G)
}

// unmasked notes what π_θ itself says of the tokens sampled, for the KL.
func (m *nucleus) unmasked(b *rollout, pi *policy.Softmax) {
	b.whole = m.whole[:len(b.index)]
	for j, i := range b.index {
		b.whole[j] = pi.LogP[i]
	}
}
