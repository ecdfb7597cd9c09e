package ppo

import (
	"fmt"

	"rlhfsim/internal/card"
	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
)

// OnlineConfig is a method that learns from comparisons of fresh samples; names
// are those of TRL's OnlineDPOConfig, XPOConfig and NashMDConfig.
type OnlineConfig struct {
	TotalEpisodes   int     `toml:"total_episodes"`    // responses sampled in all
	BatchSize       int     `toml:"batch_size"`        // responses a step, two a prompt
	SyncParamsEvery int     `toml:"sync_params_every"` // steps for which the sampling policy stays as it is: a round
	Reference       string  `toml:"reference"`         // "sft", or "round": the policy as it was at the round's beginning
	Labeler         string  `toml:"labeler"`           // whose scores are compared: "reward_model", or "raters"
	Judge           string  `toml:"judge"`             // an entry of Judges
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
	return OnlineConfig{TotalEpisodes: 25600, BatchSize: 128, SyncParamsEvery: 1, Reference: "sft", Labeler: "reward_model", Judge: "argmax", LossType: "sigmoid",
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
	{"argmax", "the higher score wins, a tie is half a win", func(m float64) float64 {
		switch {
		case m > 0:
			return 1
		case m < 0:
			return 0
		}
		return 0.5
	}, false},
	{"argmax_first", "the higher score wins, a tie goes to the first response (TRL)", func(m float64) float64 {
		if m >= 0 {
			return 1
		}
		return 0
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
	field.OneOf(&k, "reference", c.Reference, references)
	field.OneOf(&k, "labeler", c.Labeler, labelers)
	field.OneOf(&k, "judge", c.Judge, names(Judges, func(j Judge) string { return j.Name }))
	field.OneOf(&k, "loss_type", c.LossType, names(OnlineLosses, func(l OnlineLoss) string { return l.Name }))
	k.Positive("beta", c.Beta)
	k.NonNegative("alpha", c.Alpha)
	k.Range("mixture_coef", c.MixtureCoef, 0, 1)
	k.Count("num_iterations", c.NumIterations, 1, 1000)
	c.checkOnPolicy(&k)
	k.Positive("learning_rate", c.LearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// checkOnPolicy refuses samples of an earlier policy where the loss takes them for
// the policy's own.
func (c OnlineConfig) checkOnPolicy(k *field.Checker) {
	for _, l := range OnlineLosses {
		if l.Name != c.LossType || !l.OnPolicy {
			continue
		}
		for _, f := range []struct {
			name  string
			value int
		}{{"sync_params_every", c.SyncParamsEvery}, {"num_iterations", c.NumIterations}} {
			if f.value > 1 {
				k.Add(&field.Error{Field: f.name, Value: f.value, Allowed: fmt.Sprintf("1 with loss_type = %q", l.Name), Why: "it has no ratio to make up for samples of an earlier policy"})
			}
		}
	}
}

// references are who the log-ratios are taken against.
var references = []string{"sft", "round"}

// OnlineMethod is a published method as what it changes in DefaultOnline.
type OnlineMethod struct {
	Name string
	card.Card
	Defaults OnlineConfig
}

func onlinePreset(change func(c *OnlineConfig)) OnlineConfig {
	c := DefaultOnline()
	change(&c)
	return c
}

// OnlineMethods is the table of online preference methods.
var OnlineMethods = []OnlineMethod{
	{
		Name: "online_dpo",
		Card: card.Card{
			Title:   "Online DPO",
			Idea:    "compare two samples of the current policy, then DPO's loss",
			Formula: "−P log σ(βh) − (1−P) log σ(−βh), h = log π/π_ref(y_1) − log π/π_ref(y_2)",
			Paper:   "Guo et al. 2024, arXiv 2402.04792",
			Differs: "TRL gives a tie to the first response (judge = \"argmax_first\"), here it is half a label; it samples at temperature 0.9, here at 1. OpenRLHF and verl do not have it",
			Exact:   "the loss follows the samples, and no gradient runs through them: a policy that is π* for the judge's preferences does not move",
			Also:    []string{"OAIF", "online_DPO"},
		},
		Defaults: DefaultOnline(),
	},
	{
		Name: "iterative_dpo",
		Card: card.Card{
			Title:   "Iterative DPO",
			Idea:    "online DPO in rounds: the sampling policy is renewed now and then",
			Formula: "online DPO's, y_1 and y_2 from the policy of sync_params_every steps ago at most",
			Paper:   "Xiong et al. 2023, arXiv 2312.11456",
			Differs: "TRL and verl do not have it; OpenRLHF's script of rounds was removed in 2026. The reference stays the SFT policy as in the paper; reference = \"round\" renews it with the sampling policy",
			Also:    []string{"iterative DPO in rounds", "batch online DPO"},
		},
		Defaults: onlinePreset(func(c *OnlineConfig) { c.SyncParamsEvery = 50 }),
	},
	{
		Name: "online_ipo",
		Card: card.Card{
			Title:   "Online IPO",
			Idea:    "online DPO with IPO's loss",
			Formula: "P (h − 1/(2β))² + (1−P) (h + 1/(2β))²",
			Paper:   "Calandriello et al. 2024, arXiv 2403.08635",
			Differs: "TRL as here, on sums (its offline ipo divides by lengths); OpenRLHF and verl do not have it",
		},
		Defaults: onlinePreset(func(c *OnlineConfig) { c.LossType = "ipo" }),
	},
	{
		Name: "xpo",
		Card: card.Card{
			Title:   "Exploratory Preference Optimization",
			Idea:    "online DPO against the reference, with a bonus for what it would not say",
			Formula: "online DPO's + α log π(y_2), y_2 ~ π_ref",
			Paper:   "Xie et al. 2024, arXiv 2405.21046, algorithm 1",
			Differs: "TRL as here, but a tie goes to the first response (judge = \"argmax_first\"); the paper keeps the pairs of earlier rounds, TRL and this do not. OpenRLHF and verl do not have it",
		},
		Defaults: onlinePreset(func(c *OnlineConfig) { c.LossType = "xpo" }),
	},
	{
		Name: "nash_md",
		Card: card.Card{
			Title:   "Nash Mirror Descent",
			Idea:    "play against a geometric mixture of policy and reference",
			Formula: "−sg[P − ½ − β log π/π_ref(y_1)] log π(y_1), y_2 ~ π^{1−m} π_ref^m, word by word",
			Paper:   "Munos et al. 2023, arXiv 2312.00886",
			Differs: "TRL's KL term weighs each token's log-ratio with its own gradient only and so misses what a token does to later ones; here the whole response is one action. OpenRLHF and verl do not have it",
			Exact:   "its expected gradient is that of P(π ≻ rival) − β KL(π‖π_ref), the rival held fixed: a game's payoff, not J, so exact/gap is not what it climbs",
			Also:    []string{"Nash-MD-PG"},
		},
		Defaults: onlinePreset(func(c *OnlineConfig) { c.LossType, c.Judge = "nash_md", "probability" }),
	},
	{
		Name: "sppo",
		Card: card.Card{
			Title:   "Self-Play Preference Optimization",
			Idea:    "raise what beats the policy itself, by multiplicative weights",
			Formula: "½ Σ_i (log π/π_t(y_i) − (P_i − ½)/β)², π_t the policy of this round",
			Paper:   "Wu et al. 2024, arXiv 2405.00675, equation 4.4",
			Differs: "TRL has the hard-label form as a loss of pairs, sppo_hard here; verl's recipe is not in its source. The paper estimates P_i from five samples a prompt, here it is the judge's of a pair",
			Exact:   "it has no leash to the SFT policy, only to its last round: exact/gap is not what it climbs",
		},
		Defaults: onlinePreset(func(c *OnlineConfig) {
			c.LossType, c.Judge, c.SyncParamsEvery, c.NumIterations = "sppo", "probability", 50, 4
		}),
	},
}
