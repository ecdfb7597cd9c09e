package ppo

import "iter"

// Stats of one step. Those of the rollout are means over its episodes, those of
// the updates means over all minibatches of all epochs. TRL's `eps` (episodes
// per second) is left out: a clock has no place in a record that must repeat.
type Stats struct {
	KL             float64 // objective/kl: Σ_t log π_old − log π_ref per response (k1 estimate)
	Entropy        float64 // objective/entropy: −Σ_t log π_old per response
	NonScoreReward float64 // objective/non_score_reward: −β times the KL estimate, per response
	RLHFReward     float64 // objective/rlhf_reward: scores + non-score reward
	Scores         float64 // objective/scores: as they enter the token rewards, clipped and scaled, changed where a response was cut
	KLCoef         float64 // objective/kl_coef: β of this step

	ApproxKL      float64 // policy/approxkl_avg: mean ½ (log π − log π_old)²
	ClipFrac      float64 // policy/clipfrac_avg: share of tokens whose clipped term was the larger
	PolicyEntropy float64 // policy/entropy_avg: mean entropy of the rows visited, nats per token
	PolicyLoss    float64 // loss/policy_avg
	ValueLoss     float64 // loss/value_avg
	ValueClipFrac float64 // val/clipfrac_avg
	Ratio         float64 // val/ratio: mean ρ
	RatioVar      float64 // val/ratio_var: variance over minibatches of their mean ρ
	VarExplained  float64 // ppo/val/var_explained: 1 − Var(R−V)/Var(R) before the update
	ReturnsMean   float64 // ppo/returns/mean
	ReturnsVar    float64 // ppo/returns/var
	KLLoss        float64 // loss/kl_avg: mean KL penalty of a token, with kl_in = "loss" or "both"
	PtxLoss       float64 // loss/ptx_avg: mean −log π of a pre-training line, with ptx_coef > 0
	NumEOSTokens  float64 // val/num_eos_tokens: responses that ended themselves
	GradNorm      float64 // mean norm of the policy's gradient before clipping
	LR            float64 // lr
	Episode       float64 // episode: sampled so far
	Epochs        float64 // ppo/epochs, not a metric of TRL's: epochs taken before an early stop

	klInLoss, mixed bool // which of the optional metrics there are
}

// All yields the metrics under TRL's names (PPOTrainer; 0.8 where later ones lack them).
func (s Stats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, m := range []struct {
			name  string
			value float64
		}{
			{"objective/kl", s.KL}, {"objective/entropy", s.Entropy}, {"objective/non_score_reward", s.NonScoreReward},
			{"objective/rlhf_reward", s.RLHFReward}, {"objective/scores", s.Scores}, {"objective/kl_coef", s.KLCoef},
			{"policy/approxkl_avg", s.ApproxKL}, {"policy/clipfrac_avg", s.ClipFrac}, {"policy/entropy_avg", s.PolicyEntropy},
			{"loss/policy_avg", s.PolicyLoss}, {"loss/value_avg", s.ValueLoss}, {"val/clipfrac_avg", s.ValueClipFrac},
			{"val/ratio", s.Ratio}, {"val/ratio_var", s.RatioVar}, {"val/num_eos_tokens", s.NumEOSTokens},
			{"ppo/val/var_explained", s.VarExplained}, {"ppo/returns/mean", s.ReturnsMean}, {"ppo/returns/var", s.ReturnsVar},
			{"grad_norm", s.GradNorm}, {"lr", s.LR}, {"episode", s.Episode}, {"ppo/epochs", s.Epochs},
		} {
			if !yield(m.name, m.value) {
				return
			}
		}
		_ = (!s.klInLoss || yield("loss/kl_avg", s.KLLoss)) && (!s.mixed || yield("loss/ptx_avg", s.PtxLoss))
	}
}

// OwnMetrics are the metrics that not every configuration reports.
func (c Config) OwnMetrics() (names []string) {
	if inLoss(c.KLIn) {
		names = append(names, "loss/kl_avg")
	}
	if c.PtxCoef > 0 {
		names = append(names, "loss/ptx_avg")
	}
	return names
}

// average turns the sums over minibatches into means.
func (s *Stats) average(ratios []float64) {
	n := float64(len(ratios))
	for _, v := range []*float64{&s.PolicyLoss, &s.ClipFrac, &s.ApproxKL, &s.ValueLoss, &s.ValueClipFrac, &s.PolicyEntropy, &s.GradNorm, &s.KLLoss, &s.PtxLoss} {
		*v /= n
	}
	s.Ratio, s.RatioVar = moments(ratios)
}
