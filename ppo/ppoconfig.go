package ppo

import (
	"fmt"
	"math"

	"rlhfsim/internal/field"
)

// Config is in the order of the equations; names are TRL's.
type Config struct {
	TotalEpisodes          int     `toml:"total_episodes"`           // responses sampled in all
	BatchSize              int     `toml:"batch_size"`               // responses a step (rollout batch)
	TopMask                float64 `toml:"top_mask"`                 // p of NLPO's mask, 1 = none
	TargetUpdateIterations int     `toml:"target_update_iterations"` // µ: steps between its renewals

	CliprangeReward   float64 `toml:"cliprange_reward"`    // scores are cut off at ± this, 0 = no clipping
	TruncatedReward   string  `toml:"truncated_reward"`    // "subtract", "replace" or "scale": the score of a response without EOS
	MissingEOSPenalty float64 `toml:"missing_eos_penalty"` // what is subtracted
	TruncatedValue    float64 `toml:"truncated_value"`     // what replaces it, or multiplies it
	ScaleReward       string  `toml:"scale_reward"`        // "none", or divide scores by their deviation: "running" or "ref"
	ScorePosition     string  `toml:"score_position"`      // "last_token", or "after_eos" as TRL's PPOTrainer
	WhitenRewards     bool    `toml:"whiten_rewards"`

	KLCoef      float64 `toml:"kl_coef"`      // β, or where an adaptive one begins
	KLEstimator string  `toml:"kl_estimator"` // a key of KLEstimators, or "full"
	KLClamp     float64 `toml:"kl_clamp"`     // largest penalty of a token, 0 = none
	KLIn        string  `toml:"kl_in"`        // "reward", "loss" or "both"
	AdapKLCtrl  bool    `toml:"adap_kl_ctrl"`
	Target      float64 `toml:"target"`  // KL in nats per response that the adaptive coefficient aims at
	Horizon     float64 `toml:"horizon"` // episodes over which it does so

	Gamma            float64 `toml:"gamma"`             // γ
	Lam              float64 `toml:"lam"`               // λ
	WhitenAdvantages bool    `toml:"whiten_advantages"` // TRL always does
	BiasedWhitening  bool    `toml:"biased_whitening"`  // by the variance over N instead of N−1, as OpenRLHF does

	NumPPOEpochs   int     `toml:"num_ppo_epochs"`
	NumMiniBatches int     `toml:"num_mini_batches"`
	Cliprange      float64 `toml:"cliprange"`       // ε
	CliprangeHigh  float64 `toml:"cliprange_high"`  // of the upper bound, 0 = cliprange
	DualClip       float64 `toml:"dual_clip"`       // largest ratio at a negative advantage, 0 = none
	LogRatioClamp  float64 `toml:"log_ratio_clamp"` // of every ratio's logarithm, 0 = none
	EarlyStopping  bool    `toml:"early_stopping"`
	TargetKL       float64 `toml:"target_kl"` // epochs stop when the policy has moved by 1.5 of it

	InitValueWithReward bool    `toml:"init_value_with_reward"` // the value head starts from the reward model, not from 0
	CriticWarmup        int     `toml:"critic_warmup"`          // steps in which only the value head learns
	VFCoef              float64 `toml:"vf_coef"`                // c_v
	CliprangeValue      float64 `toml:"cliprange_value"`        // of the value loss
	EntropyCoef         float64 `toml:"entropy_coef"`           // c_e

	PtxCoef      float64 `toml:"ptx_coef"`       // γ, 0 = off
	PtxBatchSize int     `toml:"ptx_batch_size"` // pre-training lines for each update

	LearningRate      float64 `toml:"learning_rate"`
	ValueLearningRate float64 `toml:"value_learning_rate"`
	LRSchedulerType   string  `toml:"lr_scheduler_type"` // "constant", or "linear" to 0
	MaxGradNorm       float64 `toml:"max_grad_norm"`     // of policy and value each, 0 = no clipping
}

// Default is TRL's, with learning rates for tables instead of networks.
func Default() Config {
	return Config{
		TotalEpisodes: 25600, BatchSize: 128, TopMask: 1, TargetUpdateIterations: 5,
		TruncatedReward: "subtract", TruncatedValue: -1, ScaleReward: "none", ScorePosition: "last_token",
		KLCoef: 0.05, KLEstimator: "k1", KLIn: "reward", Target: 6, Horizon: 10000,
		Gamma: 1, Lam: 0.95, WhitenAdvantages: true,
		NumPPOEpochs: 4, NumMiniBatches: 1, Cliprange: 0.2, TargetKL: 0.1,
		VFCoef: 0.1, CliprangeValue: 0.2, PtxBatchSize: 128,
		LearningRate: 0.03, ValueLearningRate: 0.1, LRSchedulerType: "linear", MaxGradNorm: 1,
	}
}

var schedulers = []string{"constant", "linear"}

// Validate reports every field that cannot stand.
func (c Config) Validate() error {
	var k field.Checker
	k.Count("total_episodes", c.TotalEpisodes, 1, 1_000_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	k.Require(c.TopMask > 0 && c.TopMask <= 1, "top_mask", c.TopMask, "above 0 and at most 1 (1 = no mask)")
	k.Count("target_update_iterations", c.TargetUpdateIterations, 1, 1_000_000_000)
	k.NonNegative("cliprange_reward", c.CliprangeReward)
	field.OneOf(&k, "truncated_reward", c.TruncatedReward, truncations)
	k.NonNegative("missing_eos_penalty", c.MissingEOSPenalty)
	if c.TruncatedReward == "scale" {
		k.Range("truncated_value", c.TruncatedValue, 0, 1)
	} else {
		k.Require(!math.IsNaN(c.TruncatedValue) && !math.IsInf(c.TruncatedValue, 0), "truncated_value", c.TruncatedValue, "finite")
	}
	field.OneOf(&k, "scale_reward", c.ScaleReward, rewardScales)
	if c.ScaleReward != "none" && c.BatchSize == 1 {
		k.Add(&field.Error{Field: "scale_reward", Value: fmt.Sprintf("%q", c.ScaleReward), Allowed: "\"none\" with batch_size = 1", Why: "one score has no deviation"})
	}
	field.OneOf(&k, "score_position", c.ScorePosition, scorePositions)
	k.NonNegative("kl_coef", c.KLCoef)
	field.OneOf(&k, "kl_estimator", c.KLEstimator, estimators)
	k.NonNegative("kl_clamp", c.KLClamp)
	field.OneOf(&k, "kl_in", c.KLIn, []string{"reward", "loss", "both"})
	k.Positive("target", c.Target)
	k.Positive("horizon", c.Horizon)
	if c.AdapKLCtrl && c.Horizon > 0 && 0.2*float64(c.BatchSize) >= c.Horizon {
		k.Add(&field.Error{Field: "horizon", Value: c.Horizon, Allowed: "above batch_size/5",
			Why: "one batch with a KL far below the target would make the coefficient 0 or negative"})
	}
	k.Range("gamma", c.Gamma, 0, 1)
	k.Range("lam", c.Lam, 0, 1)
	k.Count("num_ppo_epochs", c.NumPPOEpochs, 1, 1000)
	k.Count("num_mini_batches", c.NumMiniBatches, 1, max(1, c.BatchSize))
	k.Positive("cliprange", c.Cliprange)
	k.NonNegative("cliprange_high", c.CliprangeHigh)
	k.Require(c.DualClip == 0 || c.DualClip > 1+c.clip().High && !math.IsInf(c.DualClip, 0), "dual_clip", c.DualClip, "0 (none), or above 1 + cliprange_high and finite")
	k.Range("log_ratio_clamp", c.LogRatioClamp, 0, maxLogRatio)
	k.Positive("target_kl", c.TargetKL)
	k.Count("critic_warmup", c.CriticWarmup, 0, 1_000_000_000)
	k.NonNegative("vf_coef", c.VFCoef)
	k.Positive("cliprange_value", c.CliprangeValue)
	k.NonNegative("entropy_coef", c.EntropyCoef)
	k.NonNegative("ptx_coef", c.PtxCoef)
	k.Count("ptx_batch_size", c.PtxBatchSize, 1, 1_000_000)
	k.Positive("learning_rate", c.LearningRate)
	k.Positive("value_learning_rate", c.ValueLearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// Unused says why a field of the configuration changes nothing; "" when it does
// change something.
func (c Config) Unused(name string) string {
	switch {
	case name == "target_update_iterations" && c.TopMask == 1:
		return "top_mask = 1 masks nothing"
	case name == "missing_eos_penalty" && c.TruncatedReward != "subtract":
		return "only truncated_reward = \"subtract\" uses it"
	case name == "truncated_value" && c.TruncatedReward == "subtract":
		return "only truncated_reward = \"replace\" or \"scale\" uses it"
	case (name == "target" || name == "horizon") && !c.AdapKLCtrl:
		return "only adap_kl_ctrl = true uses it"
	case name == "biased_whitening" && !c.WhitenAdvantages && !c.WhitenRewards:
		return "nothing is whitened"
	case name == "target_kl" && !c.EarlyStopping:
		return "only early_stopping = true uses it"
	case name == "kl_clamp" && c.KLEstimator == full:
		return "the exact KL of a state is no estimate of a token"
	}
	return ""
}

// clip is the range of the clipped surrogate.
func (c Config) clip() Clip {
	r := Clip{Low: c.Cliprange, High: c.CliprangeHigh, Delta: c.DualClip}.within(c.LogRatioClamp)
	if r.High == 0 {
		r.High = r.Low
	}
	if r.Delta == 0 {
		r.Delta = math.Inf(1)
	}
	return r
}
