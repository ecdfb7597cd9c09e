package ppo

import (
	"fmt"
	"slices"
	"strings"

	"rlhfsim/internal/field"
)

// Size is what an aggregation may divide by.
type Size struct {
	Responses int     // B
	Tokens    int     // N, those that count in the loss
	Items     float64 // those of the whole batch sampled, per update; N where one update takes it all
	MaxLength int     // longest response possible, in tokens
}

// Aggregation says what each token of a response of n tokens weighs in the loss:
// L = Σ_i a(n_i) Σ_t ℓ_t. Which one is meant by "the mean" decides what long
// responses are worth (Liu et al. 2025, arXiv 2503.20783, section 3.1).
type Aggregation func(n int, b Size) float64

// responseMean is 1/(B n): every response counts the same, a long one's tokens less.
func responseMean(n int, b Size) float64 { return 1 / (float64(b.Responses) * float64(max(n, 1))) }

// tokenMean is 1/N: every token of the batch counts the same.
func tokenMean(_ int, b Size) float64 { return 1 / float64(max(b.Tokens, 1)) }

// maxLengthMean is 1/(B·MaxLength): a constant, so that lengths are not rewarded.
func maxLengthMean(_ int, b Size) float64 { return 1 / (float64(b.Responses) * float64(b.MaxLength)) }

// itemMean is 1/Items: every token counts the same, in whichever update it is.
func itemMean(_ int, b Size) float64 { return 1 / max(b.Items, 1) }

// responseSum is 1/B: a response counts by its length, as in the policy gradient theorem.
func responseSum(_ int, b Size) float64 { return 1 / float64(b.Responses) }

// asLoss leaves the aggregation to the loss.
const asLoss = "as_loss"

type namedAggregation struct {
	Name string
	Of   Aggregation
}

// aggregations are what may take the place of a loss's own, under verl's names.
var aggregations = []namedAggregation{
	{"token_mean", tokenMean}, {"seq_mean_token_mean", responseMean}, {"seq_mean_token_sum", responseSum}, {"seq_mean_token_sum_norm", maxLengthMean},
}

var lossAggModes = append([]string{asLoss}, names(aggregations, func(a namedAggregation) string { return a.Name })...)

// aggregation is the named one, or the loss's own.
func (l GroupLoss) aggregation(name string) Aggregation {
	for _, a := range aggregations {
		if a.Name == name {
			return a.Of
		}
	}
	return l.Aggregation
}

// someSize tells the divisors of aggregations apart.
var someSize = Size{Responses: 2, Tokens: 3, Items: 5, MaxLength: 7}

// same says whether two aggregations are one, as a mean over an update's tokens and one
// over those of all updates are where one update takes all.
func (c GroupConfig) same(a, b Aggregation) bool {
	size := someSize
	if c.StepsPerGeneration == 1 {
		size.Items = float64(size.Tokens)
	}
	return a(11, size) == b(11, size)
}

// reads says whether it makes a difference to change something.
func (a Aggregation) reads(change func(*Size)) bool {
	other := someSize
	change(&other)
	return a(11, other) != a(11, someSize)
}

// GroupLoss is a policy loss: a surrogate of the tokens, and how they add up.
type GroupLoss struct {
	Name, Idea, Paper string
	Uses              []string // which of lossFields
	Mark              Mark     // which tokens the surrogate treats apart; nil: none
	Surrogate         Surrogate
	TokenWeights      bool // each token has its own weight, whatever importance_sampling_level says
	Aggregation       Aggregation
	OnPolicy          bool                                   // it takes the samples for the policy's own
	Check             func(k *field.Checker, c *GroupConfig) // what else it asks for; nil: nothing
	Metric            lossMetric                             // what only it reports
}

// lossMetric is a metric of one loss alone; without a name there is none.
type lossMetric struct {
	Name string
	Of   func(s *GroupStats) float64
}

// OwnMetrics are the metrics that the configured loss alone reports.
func (c GroupConfig) OwnMetrics() []string {
	if l, _ := groupLoss(c.LossType); l.Metric.Name != "" {
		return []string{l.Metric.Name}
	}
	return nil
}

// lossFields are the fields of GroupConfig that only some losses use.
var lossFields = slices.Concat([]string{"importance_sampling_level"}, clipFields, sapoFields, vespoFields, clipCovFields, klCovFields, droFields)

var (
	clipFields    = []string{"epsilon", "epsilon_high", "delta", "log_ratio_clamp"}
	sapoFields    = []string{"sapo_temperature_pos", "sapo_temperature_neg"}
	vespoFields   = []string{"vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg"}
	clipCovFields = []string{"clip_cov_ratio", "clip_cov_lb", "clip_cov_ub"}
	klCovFields   = []string{"kl_cov_ratio", "ppo_kl_coef"}
	droFields     = []string{"dro_beta"}

	weightFields = append([]string{"importance_sampling_level"}, clipFields...)
)

// Unused says why a field of the configuration changes nothing; "" when it does
// change something, and where nobody can say because loss_type is unknown.
func (c GroupConfig) Unused(name string) string {
	switch l, known := groupLoss(c.LossType); {
	case slices.Contains(lossFields, name) && !known:
		return ""
	case slices.Contains(lossFields, name) && len(l.Uses) == 0:
		return fmt.Sprintf("loss_type = %q has no clip and no weight to set", l.Name)
	case slices.Contains(lossFields, name) && !slices.Contains(l.Uses, name):
		return fmt.Sprintf("loss_type = %q does not use it; it uses %s", l.Name, strings.Join(l.Uses, ", "))
	case name == "biased_whitening" && !c.WhitenAdvantages:
		return "only whiten_advantages = true uses it"
	case (name == "use_bias_correction_kl" || name == "kl_aggregation") && !inLoss(c.KLIn):
		return "only kl_in = \"loss\" or \"both\" uses it"
	case name == "loss_agg_mode" && known && slices.Contains(lossAggModes[1:], c.LossAggMode) && c.same(l.aggregation(c.LossAggMode), l.Aggregation):
		return fmt.Sprintf("loss_type = %q adds its tokens up so itself", l.Name)
	case name == "kl_aggregation" && known && c.same(l.aggregation(c.LossAggMode), tokenMean):
		return "the loss itself is the mean of tokens"
	case name == "gamma" && c.KLIn != "token_reward" && c.KLIn != "both":
		return "only kl_in = \"token_reward\" or \"both\" gives each token what follows it"
	case name == "success_score" && !c.BinaryReward:
		return "only binary_reward = true uses it"
	case name == "drop_masked_responses" && !c.MaskTruncatedCompletions:
		return "only mask_truncated_completions = true uses it"
	case name == "drop_masked_responses" && known && !l.aggregation(c.LossAggMode).reads(func(s *Size) { s.Responses++ }):
		return "the loss does not divide by the number of responses"
	case name == "kl_clamp" && c.KLEstimator == full:
		return "the exact KL of a state is no estimate of a token"
	case slices.Contains(entropyFields, name) && !c.UseAdaptiveEntropy:
		return "only use_adaptive_entropy = true uses it"
	case name == "scale_epsilon" && (c.ScaleRewards == "none" || c.ScaleRewards == "nonzero") && !c.NormalizeAdvantages:
		return fmt.Sprintf("no deviation is divided by: scale_rewards = %q", c.ScaleRewards)
	}
	return ""
}

var entropyFields = []string{"entropy_target", "entropy_coef_min", "entropy_coef_max", "entropy_coef_delta"}

// GroupLosses is the table of loss types; the names are TRL's where it has them.
var GroupLosses = []GroupLoss{
	{Name: "grpo", Idea: "clipped, the mean over responses of their means", Paper: "Shao et al. 2024, arXiv 2402.03300, equation 3",
		Uses: weightFields, Surrogate: ppoClip, Aggregation: responseMean},
	{Name: "bnpo", Idea: "clipped, the mean over the batch's tokens", Paper: "TRL",
		Uses: weightFields, Surrogate: ppoClip, Aggregation: tokenMean},
	{Name: "dr_grpo", Idea: "clipped, the sum over tokens by a constant", Paper: "Liu et al. 2025, arXiv 2503.20783",
		Uses: weightFields, Surrogate: ppoClip, Aggregation: maxLengthMean},
	{Name: "dapo", Idea: "clipped, the mean over the tokens of all updates", Paper: "Yu et al. 2025, arXiv 2503.14476, equation 8",
		Uses: weightFields, Surrogate: ppoClip, Aggregation: itemMean},
	{Name: "luspo", Idea: "clipped, the mean over responses of their sums", Paper: "Liu et al. 2026, LUSPO, arXiv 2602.05261",
		Uses: weightFields, Surrogate: ppoClip, Aggregation: responseSum},
	{Name: "cispo", Idea: "REINFORCE with a capped importance weight", Paper: "MiniMax-M1 2025, arXiv 2506.13585",
		Uses: []string{"importance_sampling_level", "epsilon_high"}, Surrogate: cispo, Aggregation: itemMean,
		Metric: lossMetric{"cispo_clip_ratio", func(s *GroupStats) float64 { return s.ClipHighMean }},
		Check: func(k *field.Checker, c *GroupConfig) {
			if !(c.EpsilonHigh >= 1) {
				k.Add(&field.Error{Field: "epsilon_high", Value: c.EpsilonHigh, Allowed: "at least 1 with loss_type = \"cispo\"",
					Why: "there it is the largest ratio itself", Help: "loss_type = \"cispo_two_sided\" has verl's bounds, 1 − epsilon and 1 + epsilon_high"})
			}
		}},
	{Name: "cispo_two_sided", Idea: "REINFORCE with an importance weight clipped on both sides", Paper: "verl's cispo; MiniMax-M1 2025, arXiv 2506.13585",
		Uses: []string{"importance_sampling_level", "epsilon", "epsilon_high", "log_ratio_clamp"}, Surrogate: cispoTwoSided, Aggregation: itemMean},
	{Name: "sapo", Idea: "a soft gate in place of the clip", Paper: "Gao et al. 2025, arXiv 2511.20347",
		Uses: append([]string{"importance_sampling_level", "log_ratio_clamp"}, sapoFields...), Surrogate: sapo, Aggregation: responseMean},
	{Name: "vespo", Idea: "REINFORCE with a gamma-shaped weight of the response", Paper: "VESPO, arXiv 2602.10693",
		Uses: vespoFields, Surrogate: vespo, Aggregation: itemMean,
		Metric: lossMetric{"vespo/phi_seq_mean", func(s *GroupStats) float64 { return s.Phi }}},
	{Name: "gmpo", Idea: "the geometric mean of clipped ratios", Paper: "Zhao et al. 2025, arXiv 2507.20673",
		Uses: []string{"epsilon", "epsilon_high"}, Surrogate: gmpo, Aggregation: responseMean},
	{Name: "clip_cov", Idea: "clipped, without some of the tokens that cost most entropy, the mean over the batch's tokens", Paper: "Cui et al. 2025, arXiv 2505.22617",
		Uses: append([]string{"epsilon", "epsilon_high", "log_ratio_clamp"}, clipCovFields...), Mark: markBetween, Surrogate: clipCov, TokenWeights: true, Aggregation: tokenMean,
		Metric: lossMetric{"actor/pg_clipfrac", func(s *GroupStats) float64 { return s.LeftOut }}},
	{Name: "kl_cov", Idea: "not clipped, the tokens that cost most entropy held back, the mean over the batch's tokens", Paper: "Cui et al. 2025, arXiv 2505.22617",
		Uses: klCovFields, Mark: markLargest, Surrogate: klCov, TokenWeights: true, Aggregation: tokenMean},
	{Name: "dppo_tv", Idea: "REINFORCE with an importance weight, without the tokens that lead too far from where they were sampled: in probability", Paper: "Qi et al. 2026, arXiv 2602.04879, sections 4.3 and 4.4",
		Uses: clipFields, Surrogate: dppo(binaryTV), TokenWeights: true, Aggregation: tokenMean},
	{Name: "dppo_kl", Idea: "the same: in KL", Paper: "Qi et al. 2026, arXiv 2602.04879, sections 4.3 and 4.4",
		Uses: clipFields, Surrogate: dppo(binaryKL), TokenWeights: true, Aggregation: tokenMean},
	{Name: "dro", Idea: "REINFORCE, and the square of the log-ratio in place of an importance weight and a clip", Paper: "Richemond et al. 2024, arXiv 2405.19107, equation 8; Kimi k1.5 2025, arXiv 2501.12599, section 2.3.2",
		Uses: droFields, Surrogate: dro, Aggregation: tokenMean},
	{Name: "reinforce", Idea: "the plain policy gradient of the samples", Paper: "Williams 1992",
		Surrogate: reinforce, Aggregation: responseSum, OnPolicy: true},
	{Name: "gpg", Idea: "the same, the mean over the batch's tokens", Paper: "Chu et al. 2025, GPG, arXiv 2504.02546",
		Surrogate: reinforce, Aggregation: tokenMean, OnPolicy: true},
}

func groupLoss(name string) (loss GroupLoss, known bool) {
	for _, l := range GroupLosses {
		if l.Name == name {
			return l, true
		}
	}
	return loss, false
}
