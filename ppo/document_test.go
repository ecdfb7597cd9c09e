package ppo

import (
	"os"
	"strings"
	"testing"
)

// The losses, gradients and advantages of TRL's group trainers, computed by the
// functions that the trainer here uses.
func TestGoldenGroup(t *testing.T) {
	for _, file := range []string{"grpo_token.json", "grpo_sequence.json", "rloo.json", "group_advantages.json"} {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile("../testdata/golden/" + file)
			if err != nil {
				t.Fatal(err)
			}
			values, err := Recompute(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if !v.Agrees() {
					t.Errorf("results[%d].%s = %.15g, want %.15g", v.Result, v.Field, v.Got, v.Want)
				}
			}
			if len(values) < 100 {
				t.Errorf("only %d values", len(values))
			}
		})
	}
}

// What is no such document is an error, never a panic.
func TestRecomputeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                "JSON",
		`{"kind": "dpo"}`:  "known kinds",
		`{"kind": "grpo"}`: "without results",
		`{"kind": "grpo", "cases": [{}], "results": [{"case": 1}]}`: "case 1 of 1",
		`{"kind": "grpo", "cases": [{"completion_mask": [[1]], "advantages": [1], "per_token_logps": [[-1, -2]]}],
			"results": [{"loss_type": "grpo", "importance_sampling_level": "token", "epsilon_low": 0.2}]}`: "shape",
		`{"kind": "grpo", "cases": [{}], "results": [{"loss_type": "gspo", "importance_sampling_level": "token", "epsilon_low": 0.2}]}`:    "loss_type",
		`{"kind": "rloo", "cases": [{"completion_mask": [[1]], "advantages": []}], "results": [{"epsilon_low": 0.2}]}`:                     "0 advantages for 1",
		`{"kind": "group_advantages", "results": [{"algo": "grpo", "num_generations": 2, "rewards_per_func": [[1]]}]}`:                     "groups of 2",
		`{"kind": "group_advantages", "results": [{"algo": "x", "num_generations": 1, "rewards_per_func": [[1]], "reward_weights": [1]}]}`: "algo",
	} {
		if _, err := Recompute([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
