package ppo

import "rlhfsim/internal/num"

// score asks for the rewards of whole responses, and makes of them what stands on the
// last token: cut off at ± cliprange_reward, changed where the response was cut, scaled.
func (t *Trainer) score(scale *rewardScale, s *Stats) {
	b := t.rollout
	for e, y := range b.response {
		b.total[e] = clipped(t.reward.Score(b.prompt[e], y), t.cfg.CliprangeReward)
		if b.ended(e) {
			s.NumEOSTokens++
		} else {
			b.total[e] = t.cfg.truncated(b.total[e])
		}
	}
	scale.divide(b.total)
	s.Scores = num.Sum(b.total) / float64(len(b.total))
}

// clipped is a score within ±limit; 0 = no limit.
func clipped(score, limit float64) float64 {
	if limit == 0 {
		return score
	}
	return min(max(score, -limit), limit)
}

// success makes of a score what a verifier says: 1 from the least one on that will do,
// 0 below.
func success(score, least float64) float64 {
	if score >= least {
		return 1
	}
	return 0
}

// truncations are what can become of the score of a response that was cut:
//
//	subtract  r − missing_eos_penalty   TRL's PPOTrainer
//	replace   truncated_value           lm-human-preferences, AlpacaFarm (penalty_reward_value), torchtune (reward_penalty)
//	scale     truncated_value · r       ProRL, in OpenRLHF (stop_properly_penalty_coef); it lifts a negative score
var truncations = []string{"subtract", "replace", "scale"}

func (c *Config) truncated(score float64) float64 {
	switch c.TruncatedReward {
	case "replace":
		return c.TruncatedValue
	case "scale":
		return float64(score * c.TruncatedValue)
	}
	return score - c.MissingEOSPenalty
}
