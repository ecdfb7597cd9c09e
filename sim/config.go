package sim

import (
	"rlhfsim/dpo"
	"rlhfsim/ilql"
	"rlhfsim/internal/field"
	"rlhfsim/policy"
	"rlhfsim/ppo"
	"rlhfsim/reward"
)

// Config is everything that decides one cell but its seed and its arm's name.
// The sections are those of an experiment file.
type Config struct {
	World      WorldConfig      `toml:"world"`
	Policy     policy.Config    `toml:"policy"`
	Base       BaseConfig       `toml:"base"`
	SFT        SFTConfig        `toml:"sft"`
	Labels     LabelsConfig     `toml:"labels"`
	Reward     reward.Config    `toml:"reward"`
	Objective  ObjectiveConfig  `toml:"objective"`
	PPO        ppo.Config       `toml:"ppo"`
	GRPO       ppo.GroupConfig  `toml:"grpo"`
	RAFT       ppo.RaftConfig   `toml:"raft"`
	Online     ppo.OnlineConfig `toml:"online"`
	ILQL       ilql.Config      `toml:"ilql"`
	DPO        dpo.Config       `toml:"dpo"`
	Exact      ExactConfig      `toml:"exact"`
	Evaluation EvaluationConfig `toml:"evaluation"`
}

// WorldConfig is the hidden world: words, prompts, and what people value.
type WorldConfig struct {
	MaxLength int                   `toml:"max_length"` // words of the longest response
	Words     field.Table[[]string] `toml:"words"`      // groups of words, in the order of their indices
	Prompts   []PromptConfig        `toml:"prompt"`
	Values    []ValueConfig         `toml:"value"`
	Random    RandomConfig          `toml:"random"`
}

// PromptConfig is one prompt and the words that answer it.
type PromptConfig struct {
	Text    string   `toml:"text"`
	Answers []string `toml:"answers"`
	Weight  float64  `toml:"weight"` // relative frequency; all 1 = equally likely
}

// ValueConfig is one table of what people value: Worth[n] for a response in
// which Count comes out as n, the last entry for every higher count.
type ValueConfig struct {
	Count string    `toml:"count"` // a word group, "right answer", "wrong answer", "repeat" or "length"
	Worth []float64 `toml:"worth"`
}

// BaseConfig is the raw text of the world and the pre-training on it.
type BaseConfig struct {
	Lines   int                  `toml:"lines"`    // (prompt, line) pairs in the corpus
	Weights field.Table[float64] `toml:"weights"`  // how often a word of each group is said
	OnTopic float64              `toml:"on_topic"` // probability that an answer word answers the prompt at hand
	Repeat  float64              `toml:"repeat"`   // probability that a word is the one just before again
	Stop    float64              `toml:"stop"`     // probability that a line ends after each word
	policy.FitConfig
}

// SFTConfig is supervised fine-tuning on written demonstrations.
type SFTConfig struct {
	Demonstrations []DemonstrationConfig `toml:"demonstrations"`
	File           string                `toml:"file"` // JSONL, {"prompt": "...", "completion": "..."} a line; added to Demonstrations

	Generate          int     `toml:"generate"`           // further pairs, written by simulated people
	WriterTemperature float64 `toml:"writer_temperature"` // T: they write y with probability ∝ π_base(y|x) exp(gold(x,y)/T)
	policy.FitConfig
}

// Size is the number of pairs that SFT sees.
func (c SFTConfig) Size() int { return len(c.Demonstrations) + c.Generate }

// DemonstrationConfig is one (prompt, completion) pair in words.
type DemonstrationConfig struct {
	Prompt     string `toml:"prompt"`
	Completion string `toml:"completion"`
}

// LabelsConfig is the collection of human rankings.
type LabelsConfig struct {
	Rankings            int     `toml:"rankings"`              // rankings collected for training
	HeldOut             int     `toml:"held_out"`              // further rankings, for measuring the reward model
	ResponsesPerRanking int     `toml:"responses_per_ranking"` // K, 2 to 9
	ResponseSource      string  `toml:"response_source"`       // who wrote the ranked responses: "sft", "base" or "uniform"
	RaterTemperature    float64 `toml:"rater_temperature"`     // T: P(a above b) = σ((gold_a − gold_b)/T)
	LabelNoise          float64 `toml:"label_noise"`           // probability that a comparison is reversed
	TieNu               float64 `toml:"tie_nu"`                // ν: raters call responses equal whose strengths differ by less, in the sense of Rao and Kupper; 1 = never
}

// ObjectiveConfig is the objective E[r] − β KL(π‖π_ref) that PPO and DPO share.
type ObjectiveConfig struct {
	Beta float64 `toml:"beta"`
}

// EvaluationConfig says when the exact evaluation runs.
type EvaluationConfig struct {
	Every    int  `toml:"every"`     // optimiser steps (rollout batches for PPO) between evaluations
	Gradient bool `toml:"gradient"`  // compare the learners' gradients with the exact ones
	BestOfN  int  `toml:"best_of_n"` // largest n of the exact best-of-n policies, 0 = none
}

// Default is the configuration of every field that an experiment file leaves
// out; the world itself has no default.
func Default() Config {
	return Config{
		World:      WorldConfig{Random: RandomConfig{Groups: 6, Prompts: 8, Demonstrations: 40}},
		Policy:     policy.Default(),
		Base:       BaseConfig{Lines: 4000, OnTopic: 0.2, Repeat: 0.15, Stop: 0.25, FitConfig: policy.DefaultFit()},
		SFT:        SFTConfig{WriterTemperature: 1, FitConfig: policy.FitConfig{LearningRate: 0.02, NumTrainEpochs: 4, BatchSize: 8, MaxGradNorm: 1}},
		Labels:     LabelsConfig{Rankings: 400, HeldOut: 400, ResponsesPerRanking: 4, ResponseSource: "sft", RaterTemperature: 1, TieNu: 1},
		Reward:     reward.Default(),
		Objective:  ObjectiveConfig{Beta: 0.3},
		PPO:        ppo.Default(),
		GRPO:       ppo.DefaultGroup(),
		RAFT:       ppo.DefaultRaft(),
		Online:     ppo.DefaultOnline(),
		ILQL:       ilql.Default(),
		DPO:        dpo.Default(),
		Exact:      ExactConfig{Reward: "proxy", LearningRate: 0.05, NumSteps: 300},
		Evaluation: EvaluationConfig{Every: 10},
	}
}

// SetDefaults is the prompt before its fields are read: equally likely.
func (p *PromptConfig) SetDefaults() { p.Weight = 1 }
