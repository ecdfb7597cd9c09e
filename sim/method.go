package sim

import (
	"slices"

	"rlhfsim/dpo"
	"rlhfsim/policy"
	"rlhfsim/ppo"
)

// Method is one way to align a policy.
type Method struct {
	Name    string
	Title   string // one line: what it is
	Section string // the section of an experiment file that configures it
	section func(c Config) any
	build   func(s *Shared, c Config, pi *policy.Softmax) learner
}

// Methods is the table of methods that an arm can name.
var Methods = slices.Concat([]Method{
	{"ppo", "Proximal Policy Optimization against the reward model, with a KL penalty", "ppo", func(c Config) any { return c.PPO }, buildPPO},
	{"dpo", "Direct Preference Optimization on the rankings' pairs, no reward model", "dpo", func(c Config) any { return c.DPO }, buildDPO},
	{"exact", "Gradient ascent on the exact objective: what PPO would do without sampling", "exact", func(c Config) any { return c.Exact }, buildExact},
}, groupMethods(), raftMethods, onlineMethods())

func methodByName(name string) (Method, bool) {
	for _, m := range Methods {
		if m.Name == name {
			return m, true
		}
	}
	return Method{}, false
}

func buildPPO(s *Shared, c Config, pi *policy.Softmax) learner {
	t := ppo.New(c.PPO, pi, s.SFT, s.Scorer, s.World.Weights)
	if c.PPO.PtxCoef > 0 {
		t.MixPretraining(s.World.rawText(s.Config.Base, s.stream("base", "text"))) // the corpus of stage base, word for word
	}
	l := newLearner(t.Steps(), t.Step)
	l.diagnose = s.diagnosePPO(t, pi, c.PPO)
	return l
}

func buildDPO(s *Shared, c Config, pi *policy.Softmax) learner {
	pairs := policy.Pairs(s.Rankings)
	t := dpo.NewFrom(c.DPO, pi, s.SFT, dpo.Data{Pairs: pairs, Rankings: s.Rankings, Scorer: s.Scorer})
	l := newLearner(t.Steps(), t.Step)
	if c.Evaluation.Gradient && c.DPO.LossType == "sigmoid" {
		l.diagnose = s.diagnoseDPO(pi, c.DPO, pairs)
	}
	return l
}

// EngineVersion names the numbers that this program computes. It changes
// whenever the same configuration and seed would give other bytes, so that
// results of different engines are never mixed.
const EngineVersion = "3"

// PretrainPart is the part of a configuration that decides pre-training and SFT.
func (c Config) PretrainPart() any {
	return struct {
		World      WorldConfig
		Policy     policy.Config
		Base       BaseConfig
		SFT        SFTConfig
		Evaluation EvaluationConfig
	}{c.World, c.Policy, c.Base, c.SFT, c.Evaluation}
}

// Restorable says whether the logits of base and SFT policy and the reward
// model's tensors are all that arms start from: other parametrisations than the
// free table hold more than their logits.
func (c Config) Restorable() bool { return c.Policy.Parametrisation == policy.Table }

// SharedPart is the part of a configuration that decides the shared stages:
// two configurations with equal parts have the same Shared for every seed.
func (c Config) SharedPart() any {
	return struct {
		World      WorldConfig
		Policy     policy.Config
		Base       BaseConfig
		SFT        SFTConfig
		Labels     LabelsConfig
		Reward     any
		Evaluation EvaluationConfig
	}{c.World, c.Policy, c.Base, c.SFT, c.Labels, c.Reward, c.Evaluation}
}

// OwnPart is what decides an arm beyond the shared stages: the method and its
// own section, and the objective it is measured by.
func (a Arm) OwnPart() any {
	m, _ := methodByName(a.Method)
	return struct {
		Method    string
		Objective ObjectiveConfig
		Section   any
	}{a.Method, a.Config.Objective, m.section(a.Config)}
}
