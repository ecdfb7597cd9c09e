package dpo

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/goldentest"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Every number that the reference libraries returned, 1e-9 (gradients 1e-8).
func TestGolden(t *testing.T) {
	for _, file := range goldentest.Documents(t, Kinds()...) {
		t.Run(file.Name, func(t *testing.T) {
			d, err := Compute(file.Data)
			if err != nil {
				t.Fatal(err)
			}
			recorded, wrong, worst := 0, 0, 0.0
			for _, n := range d.Numbers {
				if n.Recorded() {
					recorded++
					worst = max(worst, n.Deviation()/n.Tolerance)
				}
				if !n.OK() {
					if wrong++; wrong <= 5 {
						t.Errorf("%s = %.17g, the library's %.17g (off by %.3g)", n.Path, n.Got, n.Want, n.Deviation())
					}
				}
			}
			if wrong > 0 || recorded == 0 {
				t.Errorf("%d of %d numbers are wrong", wrong, recorded)
			}
			t.Logf("%d numbers, the worst at %.2g of its tolerance", recorded, worst)
		})
	}
}

// trimmed is a golden document with its first case and result only.
func trimmed(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	if results, ok := tree["results"].([]any); ok { // the first result's case first
		first := results[0].(map[string]any)
		cases := tree["cases"].([]any)
		cases[0], first["case"] = cases[int(first["case"].(float64))], 0.0
	}
	for _, key := range []string{"cases", "results", "sequences", "runs", "small", "large"} {
		if list, ok := tree[key].([]any); ok {
			tree[key] = list[:1]
		}
	}
	if large, ok := tree["large"].([]any); ok { // without the slow vocabulary of 50257
		first := large[0].(map[string]any)
		first["V"], first["results"] = 50.0, []any{map[string]any{"beta": 0.1}}
	}
	return tree
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../testdata/golden/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func compute(t *testing.T, tree map[string]any) (*Document, error) {
	t.Helper()
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return Compute(data)
}

// A document without recorded results is computed all the same, and what comes out
// is a document that passes.
func TestComputeFillsInResults(t *testing.T) {
	tree := trimmed(t, read(t, "dpo_sigmoid.json"))
	result := tree["results"].([]any)[0].(map[string]any)
	want := result["loss"].(float64)
	for _, key := range []string{"loss", "per_sequence_loss", "grad_policy_chosen_logps", "grad_policy_rejected_logps", "reward_chosen", "reward_rejected"} {
		delete(result, key)
	}
	d, err := compute(t, tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range d.Numbers {
		if n.Recorded() || !n.OK() {
			t.Errorf("%+v", n)
		}
	}
	same(t, d.Numbers[0].Path, d.Numbers[0].Got, want, 1e-12)
	data, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Compute(data)
	if err != nil || len(again.Numbers) != len(d.Numbers) {
		t.Fatalf("%d numbers, then %d, %v", len(d.Numbers), len(again.Numbers), err)
	}
	for _, n := range again.Numbers {
		if !n.Recorded() || n.Deviation() != 0 {
			t.Errorf("%+v", n)
		}
	}
}

// A document may hold losses that no library has, and set any field of Config.
func TestComputeKnowsEveryLossOfPairs(t *testing.T) {
	for _, l := range Losses {
		if l.Needs&^NeedDelta != 0 {
			continue
		}
		tree := trimmed(t, read(t, "dpo_hinge.json"))
		tree["results"] = []any{map[string]any{"case": 0.0, "loss_type": l.Name, "beta": 0.3, "label_smoothing": 0.1, "dpop_lambda": 3.0}}
		tree["source"] = "by hand"
		d, err := compute(t, tree)
		if err != nil {
			t.Fatal(err)
		}
		c, b := Default(), batchOf(d.node("cases[0]", d.tree["cases"].([]any)[0]))
		c.LossType, c.Beta, c.LabelSmoothing, c.DPOPLambda = l.Name, 0.3, 0.1, 3
		if l.Name == "bco" { // the running mean of one batch
			b.Delta = b.MeanReward(0.3)
		}
		NewMixture(c, len(b.Loss)).Of(b, &c)
		for _, n := range d.Numbers {
			if !n.OK() {
				t.Errorf("%s: %+v", l.Name, n)
			}
			if n.Path == "results[0].loss" {
				same(t, l.Name, n.Got, mean(b.Loss), 1e-14)
			}
		}
	}
}

// A number is right within its tolerance; beyond it within the noise, and is then no
// evidence; beyond both, and where nothing finite was computed, never.
func TestNumberOK(t *testing.T) {
	for _, c := range []struct {
		want, got, scale, noise float64
		ok, undetermined        bool
	}{
		{1, 1.0005, 1, 0, true, false}, {1, 1.002, 1, 0, false, false}, {1, 1.002, 4, 0, true, false},
		{1, 1.002, 1, 0.003, true, true}, {1, 1.002, 1, 0.0015, false, false}, {1, 1.0005, 1, 1, true, false},
		{1, math.NaN(), 1, 1, false, false}, {1, math.Inf(1), 1, 1, false, false},
		{math.NaN(), 5, 1, 0, true, false}, {math.NaN(), math.NaN(), 1, 0, false, false}, {math.NaN(), math.Inf(-1), 1, 0, false, false},
	} {
		n := Number{Want: c.want, Got: c.got, Scale: c.scale, Noise: c.noise, Tolerance: 1e-3}
		if n.OK() != c.ok || n.Undetermined() != c.undetermined {
			t.Errorf("%+v: OK %v, undetermined %v", n, n.OK(), n.Undetermined())
		}
	}
}

// A wrong number is found, wherever it stands.
func TestComputeFindsAWrongNumber(t *testing.T) {
	for _, file := range goldentest.Documents(t, Kinds()...) {
		d, err := compute(t, trimmed(t, file.Data))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range d.Numbers {
			n.Got += 20 * max(n.Tolerance, n.Noise) * max(n.Scale, 100*n.Tolerance)
			if n.Recorded() && n.OK() {
				t.Errorf("%s: %+v passes", file.Name, n)
			}
		}
		if (Number{Got: math.NaN(), Want: 1, Tolerance: 1}).OK() {
			t.Error("NaN passes")
		}
	}
}

// Double precision determines every number of the files here, but for those of one that
// was added for its noise; and there, none before the noise has grown.
func TestOnlyNoiseIsUndetermined(t *testing.T) {
	for _, file := range goldentest.Documents(t, Kinds()...) {
		d, err := Compute(file.Data)
		if err != nil {
			t.Fatal(err)
		}
		undetermined := 0
		for _, n := range d.Numbers {
			if n.Undetermined() {
				undetermined++
			}
			early := strings.HasSuffix(n.Path, "loss_before_step[0]") || strings.HasSuffix(n.Path, "loss_before_step[1]") || strings.Contains(n.Path, "grad_step1")
			if early && n.Noise > n.Tolerance {
				t.Errorf("%s: %+v has room before its run is noise", file.Name, n)
			}
		}
		if noisy := file.Name == "traj_bandit_dpo_noise.json"; noisy != (undetermined > 0) {
			t.Errorf("%s: %d numbers are undetermined", file.Name, undetermined)
		}
	}
}

func TestComputeRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for document, says := range map[string]string{
		"{":               "no document",
		"[]":              "no document",
		`{"kind":"grpo"}`: "unknown kind",
		`{"kind":"dpo"}`:  "results: not a list",
		`{"kind":"dpo","loss_type":"dpq","cases":[{"policy_chosen_logps":[1],"policy_rejected_logps":[1],"ref_chosen_logps":[1],"ref_rejected_logps":[1]}],"results":[{"case":0}]}`:                              `"dpq" is unknown`,
		`{"kind":"dpo","loss_type":"hinge","cases":[{"policy_chosen_logps":[1],"policy_rejected_logps":[1],"ref_chosen_logps":[1],"ref_rejected_logps":[1]}],"results":[{"case":0,"beta":1,"temperature":0.5}]}`: "results[0].temperature: unknown field",
		`{"kind":"dpo","loss_type":"hinge","cases":[{"policy_chosen_logps":[1],"policy_rejected_logps":[1],"ref_chosen_logps":[1],"ref_rejected_logps":[1]}],"results":[{"case":1,"beta":1}]}`:                   "results[0].case",
		`{"kind":"dpo","loss_type":"hinge","cases":[{"policy_chosen_logps":[1],"policy_rejected_logps":[1,2],"ref_chosen_logps":[1],"ref_rejected_logps":[1]}],"results":[{"case":0,"beta":1}]}`:                 "cases[0].policy_rejected_logps: 2 numbers",
	} {
		if _, err := Compute([]byte(document)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", document, err, says)
		}
	}
}

// Every loss but sft needs β, and nobody else knows what a library's default was.
func TestBetaIsNotMadeUp(t *testing.T) {
	for _, file := range goldentest.Documents(t, Kinds()...) {
		for _, beta := range []any{nil, -0.1} {
			tree := trimmed(t, file.Data)
			found, needless := false, false
			for _, key := range []string{"results", "sequences", "runs", "small", "large"} {
				list, ok := tree[key].([]any)
				if !ok {
					continue
				}
				object := list[0].(map[string]any)
				if inner, ok := object["results"].([]any); ok {
					object = inner[0].(map[string]any)
				}
				found, needless, object["beta"] = true, object["loss_type"] == "sft" || tree["loss_type"] == "sft", beta
			}
			if _, err := compute(t, tree); !found || !needless && (err == nil || !strings.Contains(err.Error(), "beta")) {
				t.Errorf("%s with β = %v: %v", file.Name, beta, err)
			}
		}
	}
}

// TRL 0.24 is known by its name, however it is written, and by the δ of its bco_pair.
func TestSourcesOfTRL024(t *testing.T) {
	for source, is := range map[string]bool{
		"trl 0.24.0 DPOTrainer": true, "TRL v0.24": true, "trl==0.24.0": true, "trl-0.24": true, "version 0.24.0 of TRL": true, "trl0.24": true,
		"trl 1.16.0": false, "trl 0.240": false, "trl 1.0.24": false, "mine 0.24": false, "trl 10.24": false,
	} {
		if d := (&Document{Source: source}); d.of024() != is {
			t.Errorf("%q is TRL 0.24: %v", source, !is)
		}
	}
	var tree map[string]any
	if err := json.Unmarshal(read(t, "dpo_old_0.24_unequal_batches.json"), &tree); err != nil {
		t.Fatal(err)
	}
	tree["source"] = "mine"
	d, err := compute(t, tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range d.Numbers {
		if !n.OK() {
			t.Errorf("%+v", n)
		}
	}
}

// Whatever is done to a document, Compute answers or refuses: it never panics.
func TestComputeSurvivesMalformedDocuments(t *testing.T) {
	for _, file := range goldentest.Documents(t, Kinds()...) {
		tree := trimmed(t, file.Data)
		goldentest.Spoil(tree, func() { _, _ = compute(t, tree) })
	}
}

// A batch of one has lists of one, as any other batch has lists.
func TestListsOfOneAreLists(t *testing.T) {
	d, err := Compute([]byte(`{"kind": "dpo", "loss_type": "sigmoid", "source": "mine", "results": [{"case": 0, "beta": 0.1}],
		"cases": [{"policy_chosen_logps": [-1], "policy_rejected_logps": [-2], "ref_chosen_logps": [-1], "ref_rejected_logps": [-1]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, n := range d.Numbers {
		paths = append(paths, n.Path)
	}
	if !slices.Contains(paths, "results[0].loss") || !slices.Contains(paths, "results[0].per_sequence_loss[0]") {
		t.Error(paths)
	}
}

// Where the gradient is 0, and has no noise of its own, a shadow is off by the last digits
// of the logits, again after each step.
func TestShadowsMoveTheLogits(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 2, MaxLength: 1, Order: 1}
	logits := func(of ...float64) (out []any) {
		for range s.Contexts() {
			for _, z := range of {
				out = append(out, z)
			}
		}
		return out
	}
	d := &Document{}
	run := d.node("run", map[string]any{"loss_type": "hinge", "optimizer": "sgd", "beta": 1.0, "lr": 0.5, "initial_logits": logits(3, -2, 0), "reference_logits": logits(0, 0, 0)})
	cells := []int{0, 1, 2, 3, 4, 5, 6, 7, 8}
	step := d.shadow(run, s, []policy.Pair{{Chosen: policy.Response{0}, Rejected: policy.Response{1}}}, cells, rng.New(1))
	if d.err != nil {
		t.Fatal(d.err)
	}
	was := []float64{3, -2, 0, 3, -2, 0, 3, -2, 0}
	for range 5 {
		loss, z := step()
		if loss != 0 || slices.Equal(z, was) {
			t.Errorf("loss %v, logits %v", loss, z)
		}
		for i := range z {
			same(t, "logit", z[i], was[i], 4*0x1p-52)
		}
		was = z
	}
}
