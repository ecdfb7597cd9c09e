package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/field"
)

// What truncated_reward makes of the responses that were cut, and of no others.
func TestTruncatedReward(t *testing.T) {
	for _, c := range []struct {
		how   string
		value float64
		want  func(score float64) float64
	}{
		{"subtract", -1, func(score float64) float64 { return score - 5 }},
		{"replace", -3, func(float64) float64 { return -3 }},
		{"replace", 0, func(float64) float64 { return 0 }},
		{"scale", 0.25, func(score float64) float64 { return score / 4 }},
	} {
		cfg := smallConfig()
		cfg.MissingEOSPenalty, cfg.TruncatedReward, cfg.TruncatedValue = 5, c.how, c.value
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		tr, r := warm(t, cfg, byPrompt{})
		s := tr.Step(r)
		cut, sum := 0, 0.0
		for e, y := range tr.rollout.response {
			want := byPrompt{}.Score(tr.rollout.prompt[e], y)
			if len(y) == small.MaxLength {
				cut++
				want = c.want(want)
			}
			near(t, c.how+": score", tr.rollout.total[e], want, 1e-12)
			sum += want / 32
		}
		near(t, c.how+": objective/scores", s.Scores, sum, 1e-12)
		if cut == 0 || cut == 32 {
			t.Errorf("%d of 32 cut", cut)
		}
	}
}

func TestTruncatedRewardIsValidated(t *testing.T) {
	for _, c := range []struct {
		how, wrong string
		value      float64
	}{
		{"subtract", "", -1}, {"replace", "", 7}, {"scale", "", 0}, {"scale", "", 1},
		{"scale", "truncated_value", -1}, {"scale", "truncated_value", 1.5}, {"replace", "truncated_value", math.Inf(-1)},
		{"subtract", "truncated_value", math.NaN()}, {"drop", "truncated_reward", -1},
	} {
		cfg := Default()
		cfg.TruncatedReward, cfg.TruncatedValue = c.how, c.value
		var wrong []string
		for _, e := range field.All(cfg.Validate()) {
			wrong = append(wrong, e.Field)
		}
		if c.wrong == "" != (len(wrong) == 0) || c.wrong != "" && !slices.Equal(wrong, []string{c.wrong}) {
			t.Errorf("%s, %v: %q", c.how, c.value, wrong)
		}
	}
	subtract, replace := Default(), Default()
	replace.TruncatedReward = "replace"
	for _, name := range []string{"missing_eos_penalty", "truncated_value"} {
		if (subtract.Unused(name) == "") != (name == "missing_eos_penalty") || (replace.Unused(name) == "") != (name == "truncated_value") {
			t.Errorf("%s: %q and %q", name, subtract.Unused(name), replace.Unused(name))
		}
	}
}
