package ppo

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/golden"
	"rlhfsim/internal/goldentest"
	"rlhfsim/internal/rng"
)

func readGolden(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/golden/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// The rewards, advantages, losses and gradients of TRL's PPO (0.9.6, the
// lm-human-preferences formulas, and 1.12) and of its group trainers, those of verl and
// OpenRLHF, and whole updates in torch, computed by the functions that the trainers here use.
func TestGoldenDocuments(t *testing.T) {
	noisy := map[string]bool{"grpo_token_cancelled.json": true, "grpo_sequence_cancelled.json": true} // added for their noise
	for _, file := range goldentest.Documents(t, Kinds...) {
		t.Run(file.Name, func(t *testing.T) {
			undetermined := 0
			values, err := Recompute(file.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if !v.Agrees() {
					t.Errorf("%s = %.15g, want %.15g", v.Path, v.Got, v.Want)
				}
				if v.Undetermined() {
					undetermined++
				}
			}
			if len(values) == 0 {
				t.Error("no values")
			}
			if noisy[file.Name] != (undetermined > 0) {
				t.Errorf("%d values are undetermined", undetermined)
			}
			if !strings.HasPrefix(file.Name, "group_advantages") { // whose results have what they are computed from beside them
				everyTableIsCompared(t, file.Data, values)
			}
		})
	}
}

// everyTableIsCompared looks for the tables of a document's results among the values.
func everyTableIsCompared(t *testing.T, document []byte, values []golden.Value) {
	t.Helper()
	var whole struct{ Results []map[string]any }
	if err := json.Unmarshal(document, &whole); err != nil {
		t.Fatal(err)
	}
	for i, result := range whole.Results {
		for field, v := range result {
			path := fmt.Sprintf("results[%d].%s[", i, field)
			if table, ok := v.([]any); ok && len(table) > 0 && !slices.ContainsFunc(values, func(v golden.Value) bool { return strings.HasPrefix(v.Path, path) }) {
				t.Errorf("%s…] is not compared", path)
			}
		}
	}
}

// Documents with something missing, too short, too long or of another sign are
// an error or other numbers, never a panic.
func TestRecomputeNeverPanics(t *testing.T) {
	r, refused := rng.New(1, "documents"), 0
	for _, file := range []string{"ppo_trl096.json", "ppo_trl112.json", "grpo_token.json", "grpo_sequence.json", "rloo.json", "group_advantages.json",
		"grpo_verl.json", "token_advantages_verl.json", "kl_penalty_verl.json", "critic_verl.json", "ppo_verl.json", "grpo_verl_clip_cov.json", "grpo_verl_kl_cov.json", "grpo_verl_dppo.json", "grpo_verl_dro.json", "token_advantages_verl_otb.json"} {
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

// Documents of one result each, without the results' numbers.
const (
	aPPO = `{"kind": "ppo", "cases": [{"scores": [1], "length": [1], "mask": [[1, 0]], "old_logprobs": [[-1, 0]], "ref_logprobs": [[-1, 0]], "new_logprobs": [[-1, 0]],
		"values": [[0, 0]], "new_values": [[0, 0]]}], "results": [{"case": 0, "config": {"kl_penalty": "kl", "kl_coef": 0.1}}]}`
	aLaterPPO = `{"kind": "ppo_trl112", "cases": [{"scores": [1], "sequence_lengths": [0], "logprobs": [[-1]], "ref_logprobs": [[-1]], "new_logprobs": [[-1]],
		"values": [[0]], "new_values": [[0]]}], "results": [{"case": 0, "config": {"kl_estimator": "k1"}}]}`
	aGRPO = `{"kind": "grpo", "cases": [{"completion_mask": [[1]], "advantages": [1], "per_token_logps": [[-1]], "old_per_token_logps": [[-1]], "ref_per_token_logps": [[-1]],
		"max_completion_length": 3, "num_items_in_batch": 1}],
		"results": [{"case": 0, "loss_type": "grpo", "importance_sampling_level": "token", "epsilon_low": 0.2, "epsilon_high": 0.2}]}`
	aRLOO = `{"kind": "rloo", "cases": [{"completion_mask": [[1]], "advantages": [1], "per_token_logps": [[-1]], "old_logps": [-1]}],
		"results": [{"case": 0, "epsilon_low": 0.2, "epsilon_high": 0.2}]}`
	someAdvantages = `{"kind": "group_advantages", "results": [{"algo": "grpo", "num_generations": 2, "rewards_per_func": [[1], [0]], "reward_weights": [1],
		"scale_rewards": "group", "aggregation": "sum_then_normalize"}]}`
	rlooAdvantages = `{"kind": "group_advantages", "results": [{"algo": "rloo", "num_generations": 2, "rewards_per_func": [[1], [0]], "reward_weights": [1], "beta": 0}]}`
	aClipCov       = `{"kind": "grpo", "cases": [{"completion_mask": [[1, 1], [1, 1]], "advantages": [1, -1], "per_token_logps": [[-1, -3], [-3, -1]],
		"old_per_token_logps": [[-1, -3], [-3, -1]], "ref_per_token_logps": [[-1, -3], [-3, -1]]}], "results": [{"case": 0, "loss_type": "clip_cov",
		"importance_sampling_level": "token", "epsilon_low": 0.2, "epsilon_high": 0.2, "clip_cov_lb": 0.5, "clip_cov_ratio": 0.5}]}`
	tokenAdvantages = `{"kind": "token_advantages", "cases": [{"num_generations": 2, "completion_mask": [[1], [1]], "scores": [1, 0], "greedy_scores": [0, 0],
		"old_per_token_logps": [[-1], [-1]], "ref_per_token_logps": [[-1], [-2]]}],
		"results": [{"case": 0, "advantage": "greedy", "scale_rewards": "none", "kl_in": "reward", "kl_estimator": "k1"}]}`
	aPenalty = `{"kind": "kl_penalty", "cases": [{"logprob": [[-1]], "ref_logprob": [[-2]]}], "results": [{"case": 0, "kl_estimator": "k1_plus", "kl_clamp": 0}]}`
	aCritic  = `{"kind": "critic", "cases": [{"completion_mask": [[1, 0]], "token_rewards": [[1, 0]], "values": [[0, 0]], "new_values": [[0.5, 0]]}],
		"results": [{"case": 0, "gamma": 1, "lam": 1}]}`
)

// What is no such document is an error, never a panic.
func TestRecomputeRefuses(t *testing.T) {
	for _, c := range []struct{ document, from, to, says string }{
		{aPPO, `"scores": [1]`, `"scores": []`, "without scores"},
		{aPPO, `"scores": [1]`, `"scores": [1, 1]`, "2 scores for 1 responses"},
		{aPPO, `"length": [1]`, `"length": [3]`, "3 tokens in a row of 2"},
		{aPPO, `"values": [[0, 0]]`, `"values": [[0]]`, "equally long"},
		{aPPO, `[[1, 0]]`, `[[1, 1]]`, "mask[0] is [1 1], response 0 has 1 tokens"},
		{aPPO, `[[1, 0]]`, `[[0, 1]]`, "mask[0]"},
		{aPPO, `[[1, 0]]`, `[[1]]`, "mask[0]"},
		{aPPO, `[[1, 0]]`, `[]`, "mask has 0 rows for 1 responses"},
		{aPPO, `"kl"`, `"k9"`, "KL estimator"},
		{aPPO, `"case": 0, `, ``, "results[0]: case is missing"},
		{aPPO, `"case": 0`, `"case": null`, "results[0]: case is missing"},
		{aPPO, `"case": 0`, `"case": 1`, "no case 1 among 1"},
		{aPPO, `"kl_coef": 0.1`, `"klcoef": 0.1`, `config: unknown field "klcoef"`},
		{aLaterPPO, `"k1"`, `"k1", "ratio_threshold": 10`, "ratio_threshold is of TRL 0.9.6"},
		{aGRPO, `"loss_type": "grpo"`, `"loss_type": "gspo"`, "loss_type"},
		{aGRPO, `"per_token_logps": [[-1]]`, `"per_token_logps": [[-1, -2]]`, "shape"},
		{aGRPO, `"advantages": [1]`, `"advantages": []`, "0 advantages for 1"},
		{aGRPO, `"epsilon_low": 0.2`, `"epsilon_low": -0.2`, "epsilon_low = -0.2"},
		{aGRPO, `, "epsilon_high": 0.2`, ``, "epsilon_high is missing"},
		{aGRPO, `"case": 0, `, ``, "case is missing"},
		{strings.Replace(aGRPO, `"grpo", "imp`, `"dr_grpo", "imp`, 1), `"max_completion_length": 3, `, ``, "divides by max_completion_length"},
		{strings.Replace(aGRPO, `"grpo", "imp`, `"dapo", "imp`, 1), `, "num_items_in_batch": 1`, ``, "divides by num_items_in_batch"},
		{strings.Replace(aGRPO, `"grpo", "imp`, `"dapo", "imp`, 1), `"num_items_in_batch": 1`, `"num_items_in_batch": -1`, "below 0"},
		{aRLOO, `"per_token_logps": [[-1]]`, `"per_token_logps": [[-1, -2]]`, "shape"},
		{aRLOO, `"epsilon_high": 0.2`, `"epsilon_high": -1`, "epsilon_high = -1"},
		{aRLOO, `"old_logps": [-1]`, `"old_logps": []`, "0 old_logps for 1"},
		{someAdvantages, `"num_generations": 2`, `"num_generations": 3`, "groups of 3"},
		{someAdvantages, `"num_generations": 2`, `"num_generations": 0`, "groups of 0"},
		{rlooAdvantages, `"beta": 0`, `"aggregation": "normalize_then_sum"`, `"normalize_then_sum" of "rloo"`},
		{rlooAdvantages, `"beta": 0`, `"beta": 0.1`, "2 advantages for 0 responses"},
		{aClipCov, `"clip_cov_ratio": 0.5`, `"clip_cov_ratio": 0.25`, "1 of 2 tokens at random"},
		{someAdvantages, `[[1], [0]]`, `[[1], [null]]`, "null"},
		{someAdvantages, `"grpo"`, `"x"`, "algo"},
		{someAdvantages, `"sum_then_normalize"`, `"sum"`, `aggregation "sum"`},
		{someAdvantages, `"group"`, `"groups"`, `scale_rewards "groups"`},
		{aGRPO, `"epsilon_low"`, `"kl_estimator": "full", "epsilon_low"`, "no penalty of a token"},
		{aGRPO, `"epsilon_low"`, `"kl_estimator": "k9", "epsilon_low"`, "kl_estimator"},
		{aGRPO, `"advantages": [1]`, `"advantages": [1], "token_advantages": [[1, 2]]`, "token_advantages has not the shape"},
		{tokenAdvantages, `"scores": [1, 0], `, `"scores": [1, 0, 2], `, "batch_size"},
		{tokenAdvantages, `[[1], [1]]`, `[[1]]`, "2 advantages for 1"},
		{tokenAdvantages, `"greedy_scores": [0, 0]`, `"greedy_scores": [0]`, "1 greedy_scores for 2"},
		{tokenAdvantages, `[[-1], [-2]]`, `[[-1], [-2, -1]]`, "shape"},
		{tokenAdvantages, `"advantage": "greedy", `, ``, "advantage is missing"},
		{tokenAdvantages, `"greedy", `, `"x", `, "advantage"},
		{tokenAdvantages, `"kl_in": "reward"`, `"kl_in": "loss"`, "in their reward"},
		{tokenAdvantages, `"k1"`, `"full"`, "one of tokens"},
		{aPenalty, `"k1_plus"`, `"full"`, "kl_estimator"},
		{aPenalty, `"kl_clamp": 0`, `"kl_clamp": -1`, "at least 0"},
		{aPenalty, `[[-2]]`, `[[-2, -2]]`, "shape"},
		{aCritic, `"lam": 1`, `"lambda": 1`, "lam is missing"},
		{aCritic, `"values": [[0, 0]]`, `"values": [[0]]`, "values has not the shape"},
		{aCritic, `"lam": 1`, `"lam": 1, "cliprange_value": -1`, "cliprange_value"},
	} {
		if _, err := Recompute([]byte(c.document)); err != nil {
			t.Errorf("%s: %v", c.document, err)
		}
		changed := strings.Replace(c.document, c.from, c.to, 1)
		if _, err := Recompute([]byte(changed)); changed == c.document || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", changed, err, c.says)
		}
	}
	for text, want := range map[string]string{`{`: "JSON", `{"kind": "dpo"}`: "known kinds", `{"kind": "grpo"}`: "without results"} {
		if _, err := Recompute([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Small documents with their numbers by hand, at the edges of what is accepted: groups of
// one, nothing that counts, clip ranges of 0, rewards normalised over the batch.
func TestDocumentsByHand(t *testing.T) {
	empty := `{"kind": "grpo", "cases": [{"completion_mask": [[0, 0], [MASK]], "advantages": [1, 1], "per_token_logps": [[-1, -1], [-1, -1]],
		"old_per_token_logps": [[-1, -1], [-1, -1]], "ref_per_token_logps": [[-1, -1], [-1, -1]], "num_items_in_batch": 0}], "results": [{"case": 0, "loss_type": "LOSS",
		"importance_sampling_level": "LEVEL", "epsilon_low": 0, "epsilon_high": 0, "beta": 0.1, "drop_masked_responses": DROP,
		"loss": VALUE, "grad_per_token_logps": [[0, 0], [EACH]], "clip_ratio_region_mean": 0, "kl_mean": 0}]}`
	of := func(loss, level, mask, drop, value, each string) string {
		return strings.NewReplacer("LOSS", loss, "LEVEL", level, "MASK", mask, "DROP", drop, "VALUE", value, "EACH", each).Replace(empty)
	}
	normalised := strings.NewReplacer(`"kl_in": "reward"`, `"kl_in": "reward", "normalize_advantages": true, "advantages": [[0.707106781186547524], [-0.707106781186547524]]`).Replace(tokenAdvantages)
	alone := strings.NewReplacer(`"grpo"`, `"rloo"`, `"num_generations": 2`, `"num_generations": 1`, `"aggregation": "sum_then_normalize"`, `"advantages": [0, 0]`).Replace(someAdvantages)
	for _, text := range []string{
		of("grpo", "token", "1, 1", "false", "-0.5", "-0.125, -0.125"), of("grpo", "sequence", "1, 1", "false", "-0.5", "-0.125, -0.125"), // a ratio on both bounds: half a slope
		of("grpo", "token", "1, 1", "true", "-1", "-0.25, -0.25"), of("dapo", "token", "1, 1", "false", "-2", "-0.5, -0.5"),
		of("grpo", "token", "0, 0", "true", "0", "0, 0"), of("grpo", "sequence", "0, 0", "false", "0", "0, 0"), of("grpo", "token", "0, 0", "false", "0", "0, 0"),
		normalised, alone, strings.Replace(someAdvantages, `"aggregation": "sum_then_normalize"`, `"advantages": [0.7070067953266834, -0.7070067953266834]`, 1),
		// A response without a token counts in RLOO's mean, with a ratio of 1 here.
		`{"kind": "rloo", "cases": [{"completion_mask": [[1], [0]], "advantages": [1, 3], "per_token_logps": [[-1], [-1]], "old_logps": [-1, 0]}],
			"results": [{"case": 0, "epsilon_low": 0.2, "epsilon_high": 0.2, "loss": -2, "grad_per_token_logps": [[-0.5], [0]]}]}`,
	} {
		values, err := Recompute([]byte(text))
		if err != nil || len(values) == 0 {
			t.Errorf("%s: %d values, %v", text, len(values), err)
		}
		for _, name := range []string{"loss", "kl_mean", "clip_ratio_region_mean"} { // everything that is there is compared
			if strings.Contains(text, `"`+name+`":`) && !slices.ContainsFunc(values, func(v golden.Value) bool { return v.Path == "results[0]."+name }) {
				t.Errorf("%s: %s is not compared", text, name)
			}
		}
		for _, v := range values {
			if !v.Agrees() || v.Undetermined() {
				t.Errorf("%s: %s = %v, want %v", text, v.Path, v.Got, v.Want)
			}
		}
	}
	wrong := of("grpo", "token", "1, 1", "false", "-0.5", "-0.125, -0.12500001")
	values, err := Recompute([]byte(wrong))
	if n := len(values); err != nil || values[n-1].Agrees() || !values[n-2].Agrees() {
		t.Errorf("a wrong slope: %+v, %v", values, err)
	}
}

// What counts as undetermined, by hand: more of it would let wrong numbers pass.
func TestNoiseByHand(t *testing.T) {
	const ulp = 0x1p-52
	for _, c := range []struct {
		aggregation string
		got, want   float64
	}{{"", 1e-9, 4 * ulp * 3 / 1e-4}, {"normalize_then_sum", 1e-6, 4 * ulp * 3 / 1e-4}, {"normalize_then_sum", -1e-5, 4 * ulp * 3 / 1e-4}, {"normalize_then_sum", -1e-7, 4 * ulp * 3 / 1e-8}} {
		near(t, c.aggregation, advantageResult{Aggregation: c.aggregation}.noise([]float64{2, -3, 1}, []float64{0, c.got, 0})/c.want, 1, 1e-15)
	}
	for correct, want := range map[bool]float64{false: 0, true: 0x1p-50 * 0.5 * (1 - math.Ln2)} { // β k3, r = 2
		c := smallGroup(func(c *GroupConfig) { c.Beta, c.UseBiasCorrectionKL = 0.5, correct })
		o, y := NewGroupObjective(c), tokens([]float64{-1}, []float64{-1}, []float64{-1 + math.Ln2}, 1)
		o.Prepare([]*Tokens{y}, nil)
		near(t, "of a slope", 0x1p50*klNoise(o, y, Size{Responses: 1}), 0x1p50*want, 1e-15)
		near(t, "of a slope that weighs a quarter", 0x1p50*klNoise(o, y, Size{Responses: 4}), 0x1p48*want, 1e-15)
	}
}

// What the libraries have in the padding is compared too, where it means something.
func TestPaddingIsCompared(t *testing.T) {
	for file, fields := range map[string][]string{
		"ppo_trl096_padding.json": {"token_rewards", "non_score_rewards", "gae_before_whitening", "returns"},
		"ppo_trl112.json":         {"kl", "token_rewards", "gae_before_whitening", "returns"},
	} {
		for _, field := range fields {
			var doc map[string]any
			readGolden(t, file, &doc)
			row := doc["results"].([]any)[0].(map[string]any)[field].([]any)[shortest(doc)].([]any)
			row[len(row)-1] = row[len(row)-1].(float64) + 0.5
			text, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			values, err := Recompute(text)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(values, func(v golden.Value) bool { return !v.Agrees() && strings.Contains(v.Path, field) }) {
				t.Errorf("%s: a wrong number behind the last token of %s passes", file, field)
			}
		}
	}
}

// shortest is the shortest response of the first result's case.
func shortest(doc map[string]any) (e int) {
	in := doc["cases"].([]any)[int(doc["results"].([]any)[0].(map[string]any)["case"].(float64))].(map[string]any)
	lengths, ok := in["length"].([]any)
	if !ok {
		lengths = in["sequence_lengths"].([]any)
	}
	for i, n := range lengths {
		if n.(float64) < lengths[e].(float64) {
			e = i
		}
	}
	return e
}

// A document may say its ratio_threshold, above which TRL 0.9.6 skips a batch.
func TestRatioThreshold(t *testing.T) {
	for threshold, skipped := range map[string]bool{"0.5": true, "2": false} {
		values, err := Recompute([]byte(strings.Replace(aPPO, `"kl_coef": 0.1`, `"vf_coef": 1, "ratio_threshold": `+threshold, 1)))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if v.Path == "results[0].total_loss" && (v.Got == 0) != skipped {
				t.Errorf("threshold %s: loss %v", threshold, v.Got)
			}
		}
	}
}

// What is done to a run of a document, it is computed or refused: nothing panics.
func TestRunsSurviveMalformedDocuments(t *testing.T) {
	for _, file := range goldentest.Documents(t, "traj_ppo_update")[:1] {
		var tree map[string]any
		if err := json.Unmarshal(file.Data, &tree); err != nil {
			t.Fatal(err)
		}
		tree["runs"] = tree["runs"].([]any)[:1]
		goldentest.Spoil(tree, func() {
			data, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = Recompute(data)
		})
	}
}

// aRun is a document of one run of two episodes, without results.
const aRun = `{"kind": "traj_ppo_update", "runs": [{"config": {"P": 1, "V": 1, "T": 2, "N": 2, "gamma": 1, "lam": 0.95, "clip": 0.2, "vclip": null, "kl_coef": 0.1,
	"vf_coef": 0.1, "ent_coef": 0, "whiten": true, "max_grad_norm": null, "optimizer": "adam", "lr": 0.1},
	"initial_logits": [[[0, 0], [0.5, 0]]], "reference_logits": [[[0, 0], [0, 0]]], "initial_value_weights": [0, 0.1, 0, 0],
	"episodes": [{"prompt": 0, "tokens": [0, 0], "score": 1}, {"prompt": 0, "tokens": [1], "score": 0}], "epoch_orders": [[1, 0]]}]}`

func TestRunsRefuse(t *testing.T) {
	if _, err := Recompute([]byte(aRun)); err != nil {
		t.Fatal(err)
	}
	for change, says := range map[[2]string]string{
		{`"P": 1`, `"P": 2`}:                                                  "initial_value_weights has 4 entries, want P + V + 2 = 5",
		{`"P": 1, `, ``}:                                                      "config: p is missing",
		{`"V": 1`, `"V": -1`}:                                                 "at least 1",
		{`"V": 1`, `"V": 1e9`}:                                                "the limit is",
		{`"T": 2`, `"T": 1`}:                                                  "2 tokens of at most T = 1",
		{`"N": 2`, `"N": 3`}:                                                  "2 episodes, N = 3",
		{`"clip": 0.2`, `"clip": -0.2`}:                                       "at least 0",
		{`"vclip": null`, `"vclip": -1`}:                                      "at least 0",
		{`"optimizer": "adam"`, `"optimizer": "lion"`}:                        `unknown optimizer "lion"; known: adam, adamw, sgd`,
		{`"whiten": true, `, ``}:                                              "whiten is missing",
		{`"lr": 0.1`, `"lr": 0.1, "eps": 1e-5`}:                               `unknown field "eps"`,
		{`[[[0, 0], [0.5, 0]]]`, `[[[0, 0]]]`}:                                "initial_logits is not [P][V+1][V+1]",
		{`"tokens": [1]`, `"tokens": [0]`}:                                    "1 tokens are fewer than T = 2",
		{`"tokens": [1]`, `"tokens": [2]`}:                                    "the last is not V",
		{`"tokens": [1]`, `"tokens": []`}:                                     "0 tokens",
		{`"tokens": [0, 0]`, `"tokens": [1, 0]`}:                              "token 1 is no word",
		{`[[1, 0]]`, `[[1, 1]]`}:                                              "no order of 2 episodes",
		{`[[1, 0]]`, `[[1, 2]]`}:                                              "no order of 2 episodes",
		{`[[1, 0]]`, `[]`}:                                                    "0 steps for 0 epochs",
		{`[[1, 0]]`, `[[1, 0]], "steps": [{}]`}:                               "1 steps for 1 epochs of 2",
		{`[[1, 0]]`, `[[1, 0]], "steps": [{"indices": [0]}, {}]`}:             "steps[0].indices are [0], epoch_orders has [1]",
		{`[[1, 0]]`, `[[1, 0]], "steps": [{}, {"epoch": 1}]`}:                 "steps[1] is minibatch 1 of epoch 0",
		{`[[1, 0]]`, `[[1, 0]], "steps": [{}, {"minibatch": 0}]`}:             "steps[1] is minibatch 1 of epoch 0",
		{`[[1, 0]]`, `[[1, 0]], "steps": [{}, {"loss": 0}]`}:                  `steps[1]: unknown field "loss"`,
		{`[[1, 0]]`, `[[1, 0]], "steps": [{}, {"logits_after": [[[0]]]}]`}:    "steps[1].logits_after is not",
		{`[[1, 0]]`, `[[1, 0]], "steps": [{}, {"value_weights_after": [0]}]`}: "value_weights_after has 1 entries, computed 4",
		{`[[1, 0]]`, `[[1, 0]], "returns": [[0]]`}:                            "returns has 1 rows, computed 2",
	} {
		_, err := Recompute([]byte(strings.Replace(aRun, change[0], change[1], 1)))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", change[1], err, says)
		}
	}
}

// A value's clip range of 0 holds it where it was, null lets it move.
func TestAClipRangeOf0IsNotNone(t *testing.T) {
	loss := func(vclip string) (last float64) {
		run := strings.NewReplacer(`"vclip": null`, `"vclip": `+vclip, `"score": 0`, `"score": 1`).Replace(aRun) // both steps raise the value
		values, err := Recompute([]byte(run))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if v.Path == "runs[0].steps[1].value_loss" {
				last = v.Got
			}
		}
		return last
	}
	if none, held, wide := loss("null"), loss("0.0"), loss("1e9"); none != wide || held == none {
		t.Errorf("value losses %v without a range, %v with a range of 0, %v with a wide one", none, held, wide)
	}
}
