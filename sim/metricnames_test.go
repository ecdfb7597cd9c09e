package sim

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// Every metric that a run records is named, for every method there is, and
// nothing is named that no world records.
func TestMetricNamesAreThoseOfARun(t *testing.T) {
	c := smallConfig()
	c.Evaluation.Gradient = true
	s := mustShared(t, c, 1)
	rows := s.Rows
	for _, m := range Methods {
		result, err := s.RunArm(context.Background(), Arm{Method: m.Name, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, result.Rows...)
	}
	recorded := map[string][]string{}
	for _, row := range rows {
		for _, m := range row.Metrics {
			if names := c.MetricNames(row.Stage); !slices.Contains(names, m.Name) && !strings.HasPrefix(m.Name, "mc/") {
				t.Fatalf("stage %s records %s, which is not among its metrics; is the method in `trained`?", row.Stage, m.Name)
			}
			recorded[row.Stage] = append(recorded[row.Stage], m.Name)
		}
	}
	for stage, names := range recorded {
		for _, name := range c.MetricNames(stage) {
			if !slices.Contains(names, name) && !strings.HasPrefix(name, "mc/") {
				t.Errorf("stage %s never records %s", stage, name)
			}
		}
	}
}

// PPO's metrics of a KL in the loss, alone or beside the reward, and of mixed pre-training
// text are named where they are recorded.
func TestMetricNamesOfPPO(t *testing.T) {
	s := mustShared(t, smallConfig(), 1)
	for _, place := range []string{"reward", "loss", "both"} {
		for _, coef := range []float64{0, 0.1} {
			c := s.Config
			c.PPO.KLIn, c.PPO.PtxCoef, c.PPO.TotalEpisodes = place, coef, c.PPO.BatchSize
			result, err := s.RunArm(t.Context(), Arm{Method: "ppo", Config: c})
			if err != nil {
				t.Fatal(err)
			}
			last, names := result.Rows[len(result.Rows)-1], c.MetricNames("ppo")
			for _, name := range []string{"loss/policy_avg", "loss/kl_avg", "loss/ptx_avg"} {
				if recorded := slices.ContainsFunc(last.Metrics, func(m Metric) bool { return m.Name == name }); recorded != slices.Contains(names, name) {
					t.Errorf("kl_in %q, ptx_coef %v: %s is recorded: %v", place, coef, name, recorded)
				}
			}
		}
	}
}

// A loss's own metrics are named where it is the one configured, and only there.
func TestMetricNamesOfOneLoss(t *testing.T) {
	for stage, of := range map[string]struct {
		metrics []string
		change  func(c *Config)
	}{
		"grpo":       {[]string{"cispo_clip_ratio"}, func(c *Config) { c.GRPO.LossType = "cispo" }},
		"vespo":      {[]string{"vespo/phi_seq_mean"}, func(c *Config) { c.GRPO.LossType = "vespo" }},
		"online_dpo": {[]string{"loss/dpo", "loss/xpo", "objective/model_scores", "objective/ref_scores"}, func(c *Config) { c.Online.LossType = "xpo" }},
		"nash_md":    {[]string{"rewards/probabilities"}, func(c *Config) { c.Online.LossType = "nash_md" }},
	} {
		c := smallConfig()
		before := c.MetricNames(stage)
		of.change(&c)
		if got, want := c.MetricNames(stage), append(before, of.metrics...); len(before) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", stage, got, want)
		}
	}
}
