package ppo

import (
	"fmt"

	"rlhfsim/internal/golden"
	"rlhfsim/internal/num"
)

// tokenAdvantageCase is a batch of scored responses, those to one prompt in a row.
type tokenAdvantageCase struct {
	masked
	Size   int       `json:"num_generations"`
	Scores []float64 // r(x, y_i)
	Greedy []float64 `json:"greedy_scores"` // r of the greedy response to the same prompt

	Squares [][]float64 `json:"sum_pi_squared"` // Σ_v π_old(v)² where each token was said
}

// tokenAdvantageResult says in GroupConfig's words how the advantages come about.
type tokenAdvantageResult struct {
	Advantage   string  `required:"true"`
	Scale       string  `json:"scale_rewards" required:"true"`
	Epsilon     float64 `json:"scale_epsilon"`
	Clip        float64 `json:"cliprange_advantage"`
	Normalize   bool    `json:"normalize_advantages"`
	Whiten      bool    `json:"whiten_advantages"`
	Biased      bool    `json:"biased_whitening"`
	Beta        float64
	Gamma       *float64    // 1 where there is none
	KLIn        string      `json:"kl_in"`
	KLEstimator string      `json:"kl_estimator"`
	KLClamp     float64     `json:"kl_clamp"`
	Advantages  [][]float64 // Â_t, 0 in the padding
}

// config is the method of a result for batches of that many responses.
func (r tokenAdvantageResult) config(responses, size int) (GroupConfig, error) {
	c := DefaultGroup()
	c.BatchSize, c.NumGenerations = responses, size
	c.Advantage, c.ScaleRewards, c.ScaleEpsilon = r.Advantage, r.Scale, r.Epsilon
	c.CliprangeAdvantage = r.Clip
	if r.Gamma != nil {
		c.Gamma = *r.Gamma
	}
	c.NormalizeAdvantages, c.WhitenAdvantages, c.BiasedWhitening = r.Normalize, r.Whiten, r.Biased
	c.Beta, c.KLIn, c.KLEstimator, c.KLClamp = r.Beta, r.KLIn, r.KLEstimator, r.KLClamp
	if c.KLEstimator == full || !inReward(c.KLIn) {
		return c, fmt.Errorf("kl_in %q, kl_estimator %q: the penalty must be one of tokens, in their reward", r.KLIn, r.KLEstimator)
	}
	return c, c.Validate()
}

// of computes the advantage of every token.
func (r tokenAdvantageResult) of(in tokenAdvantageCase, out *golden.Comparison) error {
	c, err := r.config(len(in.Scores), in.Size)
	if err != nil {
		return err
	}
	if err := in.check(map[string][][]float64{"old_per_token_logps": in.Old, "ref_per_token_logps": in.Ref}, in.Scores); err != nil {
		return err
	}
	own := baseline(c.Advantage)
	if own.Greedy && len(in.Greedy) != len(in.Scores) {
		return fmt.Errorf("%d greedy_scores for %d responses", len(in.Greedy), len(in.Scores))
	}
	if own.PerToken != nil && !sameShape(in.Squares, in.Mask) {
		return fmt.Errorf("advantage %q: sum_pi_squared has not the shape of completion_mask", own.Name)
	}
	g := Groups{Size: in.Size, Reward: append([]float64{}, in.Scores...), Greedy: in.Greedy}
	var penalty []float64
	start := []int32{0}
	k, _ := estimator(c.KLEstimator, c.KLClamp)
	for i, mask := range in.Mask {
		old, ref := under(mask, in.Old[i]), under(mask, in.Ref[i])
		for t := range old {
			v, _ := k.At(old[t], ref[t])
			penalty = append(penalty, v)
		}
		if own.PerToken != nil {
			for t, squares := range under(mask, in.Squares[i]) {
				g.Energy = append(g.Energy, energy(num.Exp(old[t]), squares))
			}
		}
		g.Length, start = append(g.Length, float64(len(old))), append(start, int32(len(penalty)))
	}
	tokens := make([]float64, len(penalty))
	c.fillAdvantages(tokens, make([]float64, len(in.Scores)), g, own, penalty, start)
	var rows [][]float64
	for i, mask := range in.Mask {
		rows = append(rows, spread(mask, tokens[start[i]:start[i+1]]))
	}
	return out.Table("advantages", r.Advantages, rows, golden.OfValues)
}
