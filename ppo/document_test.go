package ppo

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/goldentest"
	"rlhfsim/internal/rng"
)

// The rewards, advantages, losses and gradients of TRL's PPO (0.9.6, the
// lm-human-preferences formulas, and 1.12) and of its group trainers, computed by
// the functions that the trainers here use.
func TestGoldenDocuments(t *testing.T) {
	for _, file := range goldentest.Documents(t, Kinds...) {
		t.Run(file.Name, func(t *testing.T) {
			values, err := Recompute(file.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if !v.Agrees() {
					t.Errorf("results[%d].%s = %.15g, want %.15g", v.Result, v.Field, v.Got, v.Want)
				}
			}
			if len(values) == 0 {
				t.Error("no values")
			}
		})
	}
}

// Documents with something missing, too short, too long or of another sign are
// an error or other numbers, never a panic.
func TestRecomputeNeverPanics(t *testing.T) {
	r, refused := rng.New(1, "documents"), 0
	for _, file := range []string{"ppo_trl096.json", "ppo_trl112.json", "grpo_token.json", "grpo_sequence.json", "rloo.json", "group_advantages.json"} {
		var whole map[string]any
		readGolden(t, file, &whole)
		results := whole["results"].([]any)
		for range 100 {
			first := r.IntN(len(results))
			doc := map[string]any{"kind": whole["kind"], "results": results[first : first+1]}
			if cases, ok := whole["cases"]; ok {
				doc["cases"] = cases
			}
			text, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &doc); err != nil { // a copy that may be damaged
				t.Fatal(err)
			}
			target := doc["results"].([]any)[0].(map[string]any)
			if cases, ok := doc["cases"].([]any); ok && r.IntN(2) == 0 {
				target = cases[int(target["case"].(float64))].(map[string]any)
			}
			damage(target, r)
			if text, err = json.Marshal(doc); err != nil {
				t.Fatal(err)
			}
			if _, err := Recompute(text); err != nil {
				refused++
			}
		}
	}
	if refused < 100 {
		t.Errorf("only %d documents were refused", refused)
	}
}

// damage changes one field of an object.
func damage(object map[string]any, r *rng.Stream) {
	var names []string
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	name := names[r.IntN(len(names))]
	switch v := object[name].(type) {
	case []any:
		switch inner, ok := v[0].([]any); {
		case ok && r.IntN(2) == 0:
			v[r.IntN(len(v))] = inner[:r.IntN(len(inner))]
		case r.IntN(2) == 0:
			object[name] = v[:r.IntN(len(v))]
		default:
			object[name] = append(slices.Clone(v), v[0])
		}
	case float64:
		object[name] = []float64{-v, 0, 1e9, -1}[r.IntN(4)]
	default:
		delete(object, name)
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
		`{"kind": "grpo", "cases": [{}], "results": [{"loss_type": "gspo", "importance_sampling_level": "token", "epsilon_low": 0.2}]}`: "loss_type",
		`{"kind": "ppo", "cases": [{}], "results": [{}]}`:                                                                  "without scores",
		`{"kind": "ppo", "cases": [{"scores": [1], "length": [2], "old_logprobs": [[-1]]}], "results": [{}]}`:              "2 tokens in a row of 1",
		`{"kind": "ppo_trl112", "cases": [{"scores": [1], "sequence_lengths": [0], "logprobs": [[-1]]}], "results": [{}]}`: "equally long",
		`{"kind": "ppo", "cases": [{"scores": [1], "length": [1], "old_logprobs": [[-1]], "ref_logprobs": [[-1]], "new_logprobs": [[-1]],
			"values": [[0]], "new_values": [[0]]}], "results": [{}]}`: "KL estimator",
		`{"kind": "rloo", "cases": [{"completion_mask": [[1]], "advantages": []}], "results": [{"epsilon_low": 0.2}]}`:                     "0 advantages for 1",
		`{"kind": "group_advantages", "results": [{"algo": "grpo", "num_generations": 2, "rewards_per_func": [[1]]}]}`:                     "groups of 2",
		`{"kind": "group_advantages", "results": [{"algo": "x", "num_generations": 1, "rewards_per_func": [[1]], "reward_weights": [1]}]}`: "algo",
	} {
		if _, err := Recompute([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
