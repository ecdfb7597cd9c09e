package sim

import (
	"rlhfsim/ilql"
	"rlhfsim/policy"
)

var ilqlFamily = family{
	Section: "ilql", section: func(c Config) any { return c.ILQL },
	unused: func(c Config, name string) string { return c.ILQL.Unused(name) },
	build:  buildILQL,
}

// buildILQL learns from the ranked responses as the reward model scores them, not from
// the people's order. Its policy is a product of tables, in no class but the free table's.
func buildILQL(s *Shared, c Config, pi *policy.Softmax) learner {
	var data []ilql.Scored
	for _, ranking := range s.Rankings {
		for _, y := range ranking.Responses {
			data = append(data, ilql.Scored{Prompt: ranking.Prompt, Response: y, Reward: s.Scorer.Score(ranking.Prompt, y)})
		}
	}
	*pi = *pi.Free()
	t := ilql.New(c.ILQL, pi, s.SFT, data, s.stream("ilql", "init"))
	return newLearner(t.Steps(), t.Step)
}
