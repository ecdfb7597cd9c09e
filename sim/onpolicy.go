package sim

import (
	"rlhfsim/policy"
	"rlhfsim/ppo"
)

var (
	groupFamily = family{
		Section: "grpo", section: func(c Config) any { return c.GRPO },
		updates: func(c Config) int { return c.GRPO.NumIterations * c.GRPO.StepsPerGeneration },
		unused:  func(c Config, name string) string { return c.GRPO.Unused(name) },
		build:   buildGroup,
	}
	raftFamily = family{
		Section: "raft", section: func(c Config) any { return c.RAFT },
		updates: func(c Config) int { return c.RAFT.NumTrainEpochs },
		unused:  func(c Config, name string) string { return c.RAFT.Unused(name) },
		build:   buildRaft,
	}
	onlineFamily = family{
		Section: "online", section: func(c Config) any { return c.Online },
		updates: func(c Config) int { return c.Online.NumIterations },
		unused:  func(c Config, name string) string { return c.Online.Unused(name) }, validate: validateOnline,
		build: buildOnline,
	}
)

// groupMethods are the presets of ppo.GroupMethods as methods of their own: all
// read [grpo], and differ in what that section holds where nothing is written.
func groupMethods() (out []Method) {
	for _, m := range ppo.GroupMethods {
		out = append(out, Method{m.Name, m.Card, groupFamily, func(c *Config) { c.GRPO = m.Defaults }})
	}
	return out
}

// raftMethods fine-tune on the best of their samples, configured by [raft].
func raftMethods() (out []Method) {
	for _, m := range ppo.RaftMethods {
		out = append(out, Method{m.Name, m.Card, raftFamily, func(c *Config) { c.RAFT = m.Defaults }})
	}
	return out
}

// onlineMethods are the presets of ppo.OnlineMethods, configured by [online].
func onlineMethods() (out []Method) {
	for _, m := range ppo.OnlineMethods {
		out = append(out, Method{m.Name, m.Card, onlineFamily, func(c *Config) { c.Online = m.Defaults }})
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
