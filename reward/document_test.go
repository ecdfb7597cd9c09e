package reward

import (
	"encoding/json"
	"strings"
	"testing"

	"rlhfsim/internal/goldentest"
)

// The losses and gradients of TRL's RewardTrainer, and fits in torch step by step,
// computed by the functions that the trainer here uses.
func TestGoldenDocuments(t *testing.T) {
	for _, file := range goldentest.Documents(t, DocumentKinds...) {
		t.Run(file.Name, func(t *testing.T) {
			values, err := Recompute(file.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if !v.Agrees() {
					t.Errorf("%s = %.17g, want %.17g", v.Path, v.Got, v.Want)
				}
			}
			if len(values) == 0 {
				t.Error("no values")
			}
		})
	}
}

func TestRecomputeRefuses(t *testing.T) {
	const run = `{"P": 1, "V": 2, "lr": 0.1, "initial_w": [[0, 0]], "pairs": [{"prompt": 0, "chosen": [0, 2], "rejected": [1]}], "loss_before_step": [0.7]}`
	if _, err := Recompute([]byte(`{"kind": "traj_reward_bt", "runs": [` + run + `]}`)); err != nil {
		t.Fatal(err)
	}
	for change, says := range map[[2]string]string{
		{`"P": 1`, `"P": 2`}:                                  "initial_w is not [P][V] = [2][2]",
		{`"P": 1, `, ``}:                                      "p is missing",
		{`"V": 2`, `"V": 1e9`}:                                "initial_w is not [P][V]",
		{`"prompt": 0`, `"prompt": 1`}:                        "no prompt 1 among P = 1",
		{`"prompt": 0, `, ``}:                                 "pairs[0]: prompt is missing",
		{`[0, 2]`, `[-1]`}:                                    "token -1",
		{`"lr": 0.1`, `"lr": 0.1, "margin": []`}:              "0 margins for 1 pairs",
		{`[0.7]`, `[]`}:                                       "loss_before_step is missing",
		{`[0.7]`, `[0.7], "w_after_step": {"2": [[0, 0]]}`}:   `"2", which is no step from 1 to 1`,
		{`[0.7]`, `[0.7], "w_after_step": {"1": [[0], [0]]}`}: "w_after_step.1 has 2 rows, computed 1",
		{`[0.7]`, `[0.7], "weight_decay": 0.1`}:               `unknown field "weight_decay"`,
	} {
		_, err := Recompute([]byte(`{"kind": "traj_reward_bt", "runs": [` + strings.Replace(run, change[0], change[1], 1) + `]}`))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", change[1], err, says)
		}
	}
	for document, says := range map[string]string{
		`{`:                                "JSON",
		`{"kind": "dpo"}`:                  "known kinds",
		`{"kind": "traj_reward_bt"}`:       "without runs",
		`{"kind": "reward", "results":[]}`: "without results",
		`{"kind": "reward", "cases": [{"rewards_chosen": [1], "rewards_rejected": []}], "results": [{"case": 0}]}`: "differ in number",
		`{"kind": "reward", "cases": [{"rewards_chosen": [1], "rewards_rejected": [0]}], "results": [{}]}`:         "case is missing",
	} {
		if _, err := Recompute([]byte(document)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", document, err, says)
		}
	}
}

// Whatever is done to a document, Recompute answers or refuses: it never panics.
func TestRecomputeSurvivesMalformedDocuments(t *testing.T) {
	for _, file := range goldentest.Documents(t, DocumentKinds...) {
		var tree map[string]any
		if err := json.Unmarshal(file.Data, &tree); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"cases", "results", "runs"} {
			if list, ok := tree[key].([]any); ok {
				tree[key] = list[:1]
			}
		}
		goldentest.Spoil(tree, func() {
			data, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = Recompute(data)
		})
	}
}
