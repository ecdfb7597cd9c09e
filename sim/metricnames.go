package sim

import (
	"iter"
	"slices"

	"rlhfsim/dpo"
	"rlhfsim/ilql"
	"rlhfsim/policy"
	"rlhfsim/ppo"
	"rlhfsim/reward"
)

// trained are the metrics that each stage's training measures; methods share
// those of their section.
var trained = map[string]iter.Seq2[string, float64]{
	"base":   policy.FitStats{}.All(),
	"sft":    policy.FitStats{}.All(),
	"reward": reward.Stats{}.All(),
	"ppo":    ppo.Stats{}.All(),
	"dpo":    dpo.Stats{}.All(),
	"exact":  ascentStats{}.All(),
	"grpo":   ppo.GroupStats{}.All(),
	"raft":   ppo.RaftStats{}.All(),
	"online": ppo.OnlineStats{}.All(),
	"ilql":   ilql.Stats{}.All(),
}

// ownMetrics are those that only some configurations of a section have.
var ownMetrics = map[string]func(c Config) []string{
	"ppo":    func(c Config) []string { return c.PPO.OwnMetrics() },
	"grpo":   func(c Config) []string { return c.GRPO.OwnMetrics() },
	"online": func(c Config) []string { return c.Online.OwnMetrics() },
	"ilql":   func(c Config) []string { return c.ILQL.OwnMetrics() },
}

// diagnosed are the metrics of evaluation.gradient.
var diagnosed = map[string][]string{
	"ppo":  {"exact/gradient_norm", "exact/gradient_cosine", "exact/gradient_bias"},
	"grpo": {"exact/gradient_norm", "exact/gradient_cosine", "exact/gradient_bias"},
	"dpo":  {"exact/population_loss", "exact/gradient_norm", "exact/gradient_cosine", "exact/gradient_bias"},
}

// MetricNames lists every metric that a stage (base, sft, reward, or a method)
// can record in this world, which must be expanded: what a claim may be about.
// Standard errors of estimates are left out. An unknown method records nothing.
func (c Config) MetricNames(stage string) []string {
	part := stage
	if m, known := MethodByName(stage); known {
		part = m.Section
	}
	if trained[part] == nil {
		return nil
	}
	var names []string
	add := func(metrics ...Metric) {
		for _, m := range metrics {
			if !slices.Contains(names, m.Name) {
				names = append(names, m.Name)
			}
		}
	}
	if stage == "reward" {
		add(Metric{Name: "eval_loss"}, Metric{Name: "eval_accuracy"}, Metric{Name: "eval_margin"})
		add(Metric{Name: "exact/rater_agreement"}, Metric{Name: "exact/accuracy_ceiling"}, Metric{Name: "mc/rater_agreement"}, Metric{Name: "mc/accuracy_ceiling"})
	} else {
		arm := stage != "base" && stage != "sft"
		add(Exact{HasProxy: arm, HasObjective: arm, HasWinRate: true}.metrics()...)
		add(Metric{Name: "mc/win_rate"})
		for _, v := range c.World.Values {
			name := underscored(v.Count)
			add(Metric{Name: "exact/count/" + name}, Metric{Name: "exact/any/" + name})
		}
		for _, q := range goldQuantiles {
			add(Metric{Name: q.name})
		}
		if arm {
			add(Gap{}.metrics()...)
		}
	}
	for name := range trained[part] {
		add(Metric{Name: name})
	}
	if own := ownMetrics[part]; own != nil {
		for _, name := range own(c) {
			add(Metric{Name: name})
		}
	}
	if c.Evaluation.Gradient {
		for _, name := range diagnosed[part] {
			add(Metric{Name: name})
		}
	}
	return names
}
