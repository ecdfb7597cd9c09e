package ppo

import (
	"fmt"
	"math"

	"rlhfsim/internal/field"
)

// GroupConfig is a critic-free method: which baseline, which KL, which loss. The
// order is that of a step; names are those of TRL's GRPOConfig.
type GroupConfig struct {
	TotalEpisodes  int `toml:"total_episodes"`  // responses sampled in all, re-drawn groups not counted
	BatchSize      int `toml:"batch_size"`      // responses a step
	NumGenerations int `toml:"num_generations"` // n, responses to the same prompt

	BinaryReward             bool    `toml:"binary_reward"`              // 1 from success_score on, 0 below, in place of the score
	SuccessScore             float64 `toml:"success_score"`              // the least score that is a success
	CliprangeReward          float64 `toml:"cliprange_reward"`           // scores are cut off at ± this, 0 = no clipping
	OverlongPenalty          float64 `toml:"overlong_penalty"`           // factor of the soft overlong punishment, 0 = off
	SoftMaxLength            int     `toml:"soft_max_length"`            // L, in tokens; 0 = the world's max_length
	SoftPunishCache          int     `toml:"soft_punish_cache"`          // tokens before L over which the punishment grows
	MaskTruncatedCompletions bool    `toml:"mask_truncated_completions"` // responses that were cut do not count in the loss
	DropMaskedResponses      bool    `toml:"drop_masked_responses"`      // nor in the number of responses that it divides by
	DynamicSampling          bool    `toml:"dynamic_sampling"`           // groups whose rewards are all equal are drawn again

	Advantage           string  `toml:"advantage"`            // a key of Baselines
	ScaleRewards        string  `toml:"scale_rewards"`        // see Advantages
	ScaleEpsilon        float64 `toml:"scale_epsilon"`        // beside the deviation: 1e−4 in TRL, 1e−6 in verl, 1e−9 in OpenRLHF
	CliprangeAdvantage  float64 `toml:"cliprange_advantage"`  // (R − b)/σ is cut off at ± this, 0 = no clipping
	NormalizeAdvantages bool    `toml:"normalize_advantages"` // over the batch's responses
	WhitenAdvantages    bool    `toml:"whiten_advantages"`    // over the batch's tokens
	BiasedWhitening     bool    `toml:"biased_whitening"`     // by the variance over N instead of N−1, as OpenRLHF does

	Beta                float64 `toml:"beta"`           // β
	KLIn                string  `toml:"kl_in"`          // a place in klPlaces
	KLEstimator         string  `toml:"kl_estimator"`   // a key of KLEstimators, or "full"
	KLClamp             float64 `toml:"kl_clamp"`       // largest penalty of a token, 0 = none
	Gamma               float64 `toml:"gamma"`          // γ, of what follows a token where its penalty stands in its own reward
	KLAggregation       string  `toml:"kl_aggregation"` // of the KL in the loss: "as_loss", or "token_mean"
	UseBiasCorrectionKL bool    `toml:"use_bias_correction_kl"`

	LossType                string  `toml:"loss_type"`                 // a key of GroupLosses
	LossAggMode             string  `toml:"loss_agg_mode"`             // "as_loss", or a key of aggregations
	ImportanceSamplingLevel string  `toml:"importance_sampling_level"` // "token", "sequence" or "response"
	Epsilon                 float64 `toml:"epsilon"`                   // ε of the lower bound
	EpsilonHigh             float64 `toml:"epsilon_high"`              // and of the upper, 0 = epsilon; of cispo, gmpo and dppo see there
	Delta                   float64 `toml:"delta"`                     // largest ratio at a negative advantage, 0 = none
	LogRatioClamp           float64 `toml:"log_ratio_clamp"`           // of every ratio's logarithm, 0 = none
	SAPOTemperaturePos      float64 `toml:"sapo_temperature_pos"`
	SAPOTemperatureNeg      float64 `toml:"sapo_temperature_neg"`
	VESPOKPos               float64 `toml:"vespo_k_pos"`
	VESPOLambdaPos          float64 `toml:"vespo_lambda_pos"`
	VESPOKNeg               float64 `toml:"vespo_k_neg"`
	VESPOLambdaNeg          float64 `toml:"vespo_lambda_neg"`
	ClipCovRatio            float64 `toml:"clip_cov_ratio"` // share of the tokens that Clip-Cov leaves out
	ClipCovLB               float64 `toml:"clip_cov_lb"`    // of tokens whose covariance lies between this
	ClipCovUB               float64 `toml:"clip_cov_ub"`    // and this
	KLCovRatio              float64 `toml:"kl_cov_ratio"`   // share of the tokens that KL-Cov holds back
	PPOKLCoef               float64 `toml:"ppo_kl_coef"`    // factor of their |log ρ|
	DROBeta                 float64 `toml:"dro_beta"`       // β of DRO's squared log-ratio
	EntropyCoef             float64 `toml:"entropy_coef"`   // of the bonus, or where an adaptive one begins
	UseAdaptiveEntropy      bool    `toml:"use_adaptive_entropy"`
	EntropyTarget           float64 `toml:"entropy_target"` // nats per token
	EntropyCoefMin          float64 `toml:"entropy_coef_min"`
	EntropyCoefMax          float64 `toml:"entropy_coef_max"`
	EntropyCoefDelta        float64 `toml:"entropy_coef_delta"` // after each update

	NumIterations      int     `toml:"num_iterations"`       // passes over each batch
	StepsPerGeneration int     `toml:"steps_per_generation"` // updates in a pass, each on a part of the groups
	LearningRate       float64 `toml:"learning_rate"`
	LRSchedulerType    string  `toml:"lr_scheduler_type"` // "constant", or "linear" to 0
	MaxGradNorm        float64 `toml:"max_grad_norm"`     // 0 = no clipping
}

// DefaultGroup is GRPO as published, with a learning rate for tables instead of
// networks: what the methods of GroupMethods differ from.
func DefaultGroup() GroupConfig {
	return GroupConfig{
		TotalEpisodes: 25600, BatchSize: 128, NumGenerations: 8, SoftPunishCache: 1,
		Advantage: "group_mean", ScaleRewards: "group", ScaleEpsilon: scaleEpsilon,
		Beta: 0.04, KLIn: "loss", KLEstimator: "k3", Gamma: 1, KLAggregation: asLoss,
		LossType: "grpo", LossAggMode: asLoss, ImportanceSamplingLevel: "token", Epsilon: 0.2,
		SAPOTemperaturePos: 1, SAPOTemperatureNeg: 1.05,
		VESPOKPos: 2, VESPOLambdaPos: 3, VESPOKNeg: 3, VESPOLambdaNeg: 2,
		ClipCovRatio: 2e-4, ClipCovLB: 1, ClipCovUB: 5, KLCovRatio: 2e-4, PPOKLCoef: 1, DROBeta: 0.05,
		EntropyTarget: 0.2, EntropyCoefMax: 1, EntropyCoefDelta: 0.005,
		NumIterations: 1, StepsPerGeneration: 1, LearningRate: 0.05, LRSchedulerType: "linear", MaxGradNorm: 1,
	}
}

// Validate reports every field that cannot stand.
func (c GroupConfig) Validate() error {
	var k field.Checker
	k.Count("total_episodes", c.TotalEpisodes, 1, 1_000_000_000)
	k.Count("num_generations", c.NumGenerations, 1, 1_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	if n := c.NumGenerations; n > 0 && c.BatchSize%n != 0 {
		k.Add(&field.Error{Field: "batch_size", Value: c.BatchSize, Allowed: "a multiple of num_generations", Why: "a batch is made of whole groups"})
	}
	c.checkCompany(&k)
	c.checkTokenBaseline(&k)
	k.Require(!math.IsNaN(c.SuccessScore) && !math.IsInf(c.SuccessScore, 0), "success_score", c.SuccessScore, "a finite number")
	k.NonNegative("cliprange_reward", c.CliprangeReward)
	k.NonNegative("overlong_penalty", c.OverlongPenalty)
	k.Count("soft_max_length", c.SoftMaxLength, 0, 1_000_000)
	k.Count("soft_punish_cache", c.SoftPunishCache, 1, 1_000_000)
	field.OneOf(&k, "advantage", c.Advantage, names(Baselines, func(b Baseline) string { return b.Name }))
	field.OneOf(&k, "scale_rewards", c.ScaleRewards, scales)
	k.Range("scale_epsilon", c.ScaleEpsilon, 0, 1)
	k.NonNegative("cliprange_advantage", c.CliprangeAdvantage)
	k.NonNegative("beta", c.Beta)
	field.OneOf(&k, "kl_in", c.KLIn, klPlaces)
	field.OneOf(&k, "kl_estimator", c.KLEstimator, estimators)
	k.NonNegative("kl_clamp", c.KLClamp)
	k.Range("gamma", c.Gamma, 0, 1)
	field.OneOf(&k, "kl_aggregation", c.KLAggregation, klAggregations)
	if c.KLEstimator == full && c.UseBiasCorrectionKL {
		k.Add(&field.Error{Field: "use_bias_correction_kl", Value: true, Allowed: "false with kl_estimator = \"full\"", Why: "the exact KL of a state needs no correction of its samples"})
	}
	field.OneOf(&k, "loss_type", c.LossType, names(GroupLosses, func(l GroupLoss) string { return l.Name }))
	field.OneOf(&k, "loss_agg_mode", c.LossAggMode, lossAggModes)
	field.OneOf(&k, "importance_sampling_level", c.ImportanceSamplingLevel, Levels)
	k.Positive("epsilon", c.Epsilon)
	k.NonNegative("epsilon_high", c.EpsilonHigh)
	k.Require(c.Delta == 0 || c.Delta > 1+c.clip().High && !math.IsInf(c.Delta, 0), "delta", c.Delta, "0 (none), or above 1 + epsilon_high and finite")
	k.Range("log_ratio_clamp", c.LogRatioClamp, 0, maxLogRatio)
	c.checkLoss(&k)
	for _, f := range []struct {
		name  string
		value float64
	}{{"sapo_temperature_pos", c.SAPOTemperaturePos}, {"sapo_temperature_neg", c.SAPOTemperatureNeg},
		{"vespo_k_pos", c.VESPOKPos}, {"vespo_lambda_pos", c.VESPOLambdaPos}, {"vespo_k_neg", c.VESPOKNeg}, {"vespo_lambda_neg", c.VESPOLambdaNeg}, {"dro_beta", c.DROBeta}} {
		k.Positive(f.name, f.value)
	}
	c.checkCovariance(&k)
	k.NonNegative("entropy_coef", c.EntropyCoef)
	k.NonNegative("entropy_target", c.EntropyTarget)
	k.NonNegative("entropy_coef_min", c.EntropyCoefMin)
	k.Range("entropy_coef_max", c.EntropyCoefMax, c.EntropyCoefMin, 1e6)
	k.NonNegative("entropy_coef_delta", c.EntropyCoefDelta)
	k.Count("num_iterations", c.NumIterations, 1, 1000)
	k.Count("steps_per_generation", c.StepsPerGeneration, 1, max(1, c.BatchSize/max(1, c.NumGenerations)))
	k.Positive("learning_rate", c.LearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// checkCompany asks for the other responses that a baseline or a scale compares with:
// alone, a response would be its own baseline, and nothing would be learned.
func (c GroupConfig) checkCompany(k *field.Checker) {
	group, batch := 1, 1
	for _, b := range Baselines {
		if b.Name == c.Advantage {
			group, batch = max(group, b.Group), max(batch, b.Batch)
		}
	}
	if c.DynamicSampling || c.ScaleRewards == "group" {
		group = max(group, 2)
	}
	if c.NormalizeAdvantages || c.ScaleRewards == "batch" {
		batch = max(batch, 2)
	}
	if c.NumGenerations >= 1 && c.NumGenerations < group {
		k.Add(&field.Error{Field: "num_generations", Value: c.NumGenerations, Allowed: "at least 2", Why: "a group of one has no other response to compare with"})
	} else if c.BatchSize >= 1 && c.BatchSize < batch {
		k.Add(&field.Error{Field: "batch_size", Value: c.BatchSize, Allowed: "at least 2", Why: "a batch of one has no other response to compare with"})
	}
}

// checkLoss asks what the loss asks for.
func (c GroupConfig) checkLoss(k *field.Checker) {
	for _, l := range GroupLosses {
		if l.Name != c.LossType {
			continue
		}
		if l.Check != nil {
			l.Check(k, &c)
		}
		if l.OnPolicy {
			for _, f := range []struct {
				name  string
				value int
			}{{"num_iterations", c.NumIterations}, {"steps_per_generation", c.StepsPerGeneration}} {
				if f.value > 1 {
					k.Add(&field.Error{Field: f.name, Value: f.value, Allowed: fmt.Sprintf("1 with loss_type = %q", l.Name), Why: "it has no ratio to make up for samples of an earlier policy"})
				}
			}
		}
	}
}

// maxLogRatio is a clamp that no ratio reaches: e^700 is almost the largest number.
const maxLogRatio = 700

// clip is the range of the clipped losses. A ratio of whole responses is held from
// above alone, as in verl.
func (c *GroupConfig) clip() Clip {
	r := Clip{Low: c.Epsilon, High: c.EpsilonHigh, Delta: c.Delta}.within(c.LogRatioClamp)
	if c.ImportanceSamplingLevel != "token" {
		r.Least = 0
	}
	if r.High == 0 {
		r.High = r.Low
	}
	if r.Delta == 0 {
		r.Delta = math.Inf(1)
	}
	return r
}
