package sim

import (
	"rlhfsim/policy"
	"rlhfsim/ppo"
)

// groupMethods are the presets of ppo.GroupMethods as methods of their own: all
// read [grpo], and differ in what that section holds where nothing is written.
func groupMethods() []Method {
	var out []Method
	for _, m := range ppo.GroupMethods {
		out = append(out, Method{m.Name, m.Idea, "grpo", func(c Config) any { return c.GRPO }, buildGroup})
	}
	return out
}

// raftMethods fine-tune on the best of n samples; they differ in whom they sample.
var raftMethods = []Method{
	{"raft", "Rejection-sampling fine-tuning (expert iteration): learn the best of n samples of the current policy", "raft", func(c Config) any { return c.RAFT }, buildRaft},
	{"best_of_n", "Best-of-n, distilled: learn the best of n samples of the SFT policy", "raft", func(c Config) any { return c.RAFT }, buildRaft},
}

// onlineMethods are the presets of ppo.OnlineMethods, configured by [online].
func onlineMethods() []Method {
	var out []Method
	for _, m := range ppo.OnlineMethods {
		out = append(out, Method{m.Name, m.Idea, "online", func(c Config) any { return c.Online }, buildOnline})
	}
	return out
}

func buildOnline(s *Shared, c Config, pi *policy.Softmax) learner {
	var labeler ppo.Scorer = s.Scorer
	if c.Online.Labeler == "raters" {
		labeler = raters{Rater{World: s.World, Temperature: s.Config.Labels.RaterTemperature}}
	}
	t := ppo.NewOnline(c.Online, pi, s.SFT, labeler, s.World.Weights)
	if c.Online.Labeler == "raters" {
		t.LabelNoise(s.Config.Labels.LabelNoise)
	}
	return newLearner(t.Steps(), t.Step)
}

// raters score by gold over their temperature T, so that the difference of two
// scores is the log-odds of their preference, Bradley-Terry.
type raters struct{ Rater }

// Score is gold(x,y)/T.
func (r raters) Score(x policy.Prompt, y policy.Response) float64 {
	return r.World.Value(x, y) / r.Temperature
}

func buildGroup(s *Shared, c Config, pi *policy.Softmax) learner {
	t := ppo.NewGroup(c.GRPO, pi, s.SFT, s.Scorer, s.World.Weights)
	l := newLearner(t.Steps(), t.Step)
	l.diagnose = s.diagnoseGroup(t, pi, c.GRPO)
	return l
}

func buildRaft(s *Shared, c Config, pi *policy.Softmax) learner {
	t := ppo.NewRaft(c.RAFT, pi, s.SFT, s.Scorer, s.World.Weights)
	return newLearner(t.Steps(), t.Step)
}

// DefaultFor is Default with what the method sets in its own section: what an
// arm starts from.
func DefaultFor(method string) Config {
	c := Default()
	for _, m := range ppo.GroupMethods {
		if m.Name == method {
			c.GRPO = m.Defaults
		}
	}
	for _, m := range ppo.OnlineMethods {
		if m.Name == method {
			c.Online = m.Defaults
		}
	}
	if method == "best_of_n" {
		c.RAFT.SampleFrom = "reference"
	}
	return c
}

// Updates is how many gradient steps one step of the method takes.
func (m Method) Updates(c Config) int {
	switch m.Section {
	case "ppo":
		return c.PPO.NumPPOEpochs * c.PPO.NumMiniBatches
	case "grpo":
		return c.GRPO.NumIterations * c.GRPO.StepsPerGeneration
	case "online":
		return c.Online.NumIterations
	case "raft":
		return c.RAFT.NumTrainEpochs
	}
	return 1
}
