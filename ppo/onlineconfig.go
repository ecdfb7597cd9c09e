package ppo

import (
	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
)

// OnlineConfig is a method that learns from comparisons of fresh samples; names
// are those of TRL's OnlineDPOConfig, XPOConfig and NashMDConfig.
type OnlineConfig struct {
	TotalEpisodes   int     `toml:"total_episodes"`    // responses sampled in all
	BatchSize       int     `toml:"batch_size"`        // responses a step, two a prompt
	SyncParamsEvery int     `toml:"sync_params_every"` // steps for which the sampling policy stays as it is
	Labeler         string  `toml:"labeler"`           // whose scores are compared: "reward_model", or "raters"
	Judge           string  `toml:"judge"`             // "argmax", "sample" or "probability"
	LossType        string  `toml:"loss_type"`         // a key of OnlineLosses
	Beta            float64 `toml:"beta"`              // β
	Alpha           float64 `toml:"alpha"`             // α of xpo
	MixtureCoef     float64 `toml:"mixture_coef"`      // m of nash_md
	NumIterations   int     `toml:"num_iterations"`    // updates on each batch
	LearningRate    float64 `toml:"learning_rate"`
	LRSchedulerType string  `toml:"lr_scheduler_type"` // "constant", or "linear" to 0
	MaxGradNorm     float64 `toml:"max_grad_norm"`     // 0 = no clipping
}

// DefaultOnline is online DPO, with a learning rate for tables.
func DefaultOnline() OnlineConfig {
	return OnlineConfig{TotalEpisodes: 25600, BatchSize: 128, SyncParamsEvery: 1, Labeler: "reward_model", Judge: "argmax", LossType: "sigmoid",
		Beta: 0.1, Alpha: 1e-5, MixtureCoef: 0.5, NumIterations: 1, LearningRate: 0.03, LRSchedulerType: "linear", MaxGradNorm: 1}
}

// labelers are who can compare two responses: the reward model, which was fitted to
// comparisons once, or the people themselves, asked again for every pair.
var labelers = []string{"reward_model", "raters"}

// Judge says how two scores become the probability P that the first response is
// the preferred one; with Draw it is a label drawn with that probability.
type Judge struct {
	Name, Idea string
	P          func(margin float64) float64
	Draw       bool
}

// Judges is the table of judges.
var Judges = []Judge{
	{"argmax", "the higher score wins, a tie is half a win (TRL)", func(m float64) float64 {
		switch {
		case m > 0:
			return 1
		case m < 0:
			return 0
		}
		return 0.5
	}, false},
	{"sample", "one label drawn with probability σ(r_1 − r_2) (oat's bt_sample)", num.Sigmoid, true},
	{"probability", "σ(r_1 − r_2) itself, as from infinitely many labels", num.Sigmoid, false},
}

// Validate reports every field that cannot stand.
func (c OnlineConfig) Validate() error {
	var k field.Checker
	k.Count("total_episodes", c.TotalEpisodes, 1, 1_000_000_000)
	k.Count("batch_size", c.BatchSize, 2, 1_000_000)
	k.Require(c.BatchSize%2 == 0, "batch_size", c.BatchSize, "even: responses come in pairs")
	k.Count("sync_params_every", c.SyncParamsEvery, 1, 1_000_000)
	field.OneOf(&k, "labeler", c.Labeler, labelers)
	field.OneOf(&k, "judge", c.Judge, names(Judges, func(j Judge) string { return j.Name }))
	field.OneOf(&k, "loss_type", c.LossType, names(OnlineLosses, func(l OnlineLoss) string { return l.Name }))
	k.Positive("beta", c.Beta)
	k.NonNegative("alpha", c.Alpha)
	k.Range("mixture_coef", c.MixtureCoef, 0, 1)
	k.Count("num_iterations", c.NumIterations, 1, 1000)
	k.Positive("learning_rate", c.LearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// OnlineMethod is a published method as what it changes in DefaultOnline.
type OnlineMethod struct {
	Name, Idea, Paper string
	Defaults          OnlineConfig
}

func onlinePreset(change func(c *OnlineConfig)) OnlineConfig {
	c := DefaultOnline()
	change(&c)
	return c
}

// OnlineMethods is the table of online preference methods.
var OnlineMethods = []OnlineMethod{
	{"online_dpo", "Online DPO: compare two samples of the current policy, then DPO's loss", "Guo et al. 2024, arXiv 2402.04792", DefaultOnline()},
	{"iterative_dpo", "Iterative DPO: as online DPO, with a sampling policy that is renewed now and then", "Xiong et al. 2023, arXiv 2312.11456", onlinePreset(func(c *OnlineConfig) { c.SyncParamsEvery = 50 })},
	{"online_ipo", "Online IPO: the same with IPO's loss", "Calandriello et al. 2024, arXiv 2403.08635", onlinePreset(func(c *OnlineConfig) { c.LossType = "ipo" })},
	{"xpo", "Exploratory Preference Optimization: online DPO against the reference, with an exploration bonus", "Xie et al. 2024, arXiv 2405.21046", onlinePreset(func(c *OnlineConfig) { c.LossType = "xpo" })},
	{"nash_md", "Nash Mirror Descent: play against a mixture of policy and reference", "Munos et al. 2023, arXiv 2312.00886", onlinePreset(func(c *OnlineConfig) { c.LossType, c.Judge = "nash_md", "probability" })},
	{"sppo", "Self-Play Preference Optimization: raise what beats the policy itself", "Wu et al. 2024, arXiv 2405.00675", onlinePreset(func(c *OnlineConfig) {
		c.LossType, c.Judge, c.SyncParamsEvery, c.NumIterations = "sppo", "probability", 50, 4
	})},
}
