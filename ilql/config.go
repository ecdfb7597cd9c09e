package ilql

import (
	"rlhfsim/internal/card"
	"rlhfsim/internal/field"
)

// Card describes the method "ilql".
var Card = card.Card{
	Title:   "Implicit Language Q-Learning",
	Idea:    "offline Q-learning on the ranked responses and their rewards; the SFT policy is steered by Q",
	Formula: "π ∝ π_β exp(b (min Q̂ − V)); Q → r + γ V(s′), V → the τ-expectile of Q̂ in the data, CQL and AWAC terms",
	Paper:   "Snell et al. 2022, arXiv 2206.11871, section 4; losses and fields as in trlX's ILQLConfig",
	Differs: "only trlX has it, with α = 0.001 and b = 1 for networks, here 0.1 and 3 for tables; its loop syncs the targets after an epoch, and only where 5 divides the steps so far, here every 5 steps; it samples the 20 likeliest words, here all of them, so that KL stays finite",
	Exact:   "without the CQL term V is, to 1e-4, the expectile recursion of the data; at trlX's α the targets are less than a quarter of the way to the heads after the chapter's 1280 steps; two heads of a table end equal, so two_qs changes nothing that lasts",
	Also:    []string{"ILQL", "offline Q-learning", "implicit Q-learning", "IQL"},
}

// Config is in the order of the equations; names are trlX's, but for its two betas.
type Config struct {
	NumTrainEpochs   int  `toml:"num_train_epochs"`
	BatchSize        int  `toml:"batch_size"`        // responses a step
	NormalizeRewards bool `toml:"normalize_rewards"` // to mean 0 and deviation 1 over the data, as trlX always does

	Gamma     float64 `toml:"gamma"`      // γ
	TwoQs     bool    `toml:"two_qs"`     // two heads, of which the lower counts
	InitRange float64 `toml:"init_range"` // where their entries begin: evenly in ± this
	Tau       float64 `toml:"tau"`        // τ
	CQLScale  float64 `toml:"cql_scale"`  // c
	AWACScale float64 `toml:"awac_scale"` // a; 0 leaves π_β the SFT policy
	AWACBeta  float64 `toml:"awac_beta"`  // β, in trlX plainly beta

	Alpha               float64 `toml:"alpha"` // of the targets' Polyak average
	StepsForTargetQSync int     `toml:"steps_for_target_q_sync"`
	GenBeta             float64 `toml:"gen_beta"` // b

	LearningRate      float64 `toml:"learning_rate"`       // of π_β
	ValueLearningRate float64 `toml:"value_learning_rate"` // of Q and V
}

// Default is trlX's but for α and b, see Card, and sizes and learning rates of tables.
func Default() Config {
	return Config{
		NumTrainEpochs: 40, BatchSize: 128, NormalizeRewards: true,
		Gamma: 0.99, TwoQs: true, InitRange: 0.01, Tau: 0.7, CQLScale: 0.1, AWACScale: 1,
		Alpha: 0.1, StepsForTargetQSync: 5, GenBeta: 3,
		LearningRate: 0.001, ValueLearningRate: 0.03,
	}
}

// Validate reports every field that cannot stand.
func (c Config) Validate() error {
	var k field.Checker
	k.Count("num_train_epochs", c.NumTrainEpochs, 0, 1_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	k.Range("gamma", c.Gamma, 0, 1)
	k.NonNegative("init_range", c.InitRange)
	k.Require(c.Tau > 0 && c.Tau < 1, "tau", c.Tau, "above 0 and below 1")
	k.NonNegative("cql_scale", c.CQLScale)
	k.NonNegative("awac_scale", c.AWACScale)
	k.NonNegative("awac_beta", c.AWACBeta)
	k.Require(c.Alpha > 0 && c.Alpha <= 1, "alpha", c.Alpha, "above 0 and at most 1")
	k.Count("steps_for_target_q_sync", c.StepsForTargetQSync, 1, 1_000_000)
	k.NonNegative("gen_beta", c.GenBeta)
	k.Positive("learning_rate", c.LearningRate)
	k.Positive("value_learning_rate", c.ValueLearningRate)
	return k.Err()
}

// Unused says why a field of the configuration changes nothing; "" when it does
// change something.
func (c Config) Unused(name string) string {
	switch {
	case (name == "awac_beta" || name == "learning_rate") && c.AWACScale == 0:
		return "awac_scale = 0 leaves the behaviour policy as it is"
	case name == "two_qs" && c.InitRange == 0:
		return "two heads that begin alike stay alike: init_range = 0 makes one of them"
	}
	return ""
}

// heads is how many Q functions there are.
func (c Config) heads() int {
	if c.TwoQs {
		return 2
	}
	return 1
}
