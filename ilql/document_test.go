package ilql

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"rlhfsim/internal/goldentest"
)

// trlX's losses, gradients and metrics, by the functions that train here.
func TestGoldenDocuments(t *testing.T) {
	for _, file := range goldentest.Documents(t, DocumentKinds...) {
		t.Run(file.Name, func(t *testing.T) {
			values, err := Recompute(file.Data)
			if err != nil {
				t.Fatal(err)
			}
			compared, paths := 0, map[string]bool{}
			for _, v := range values {
				paths[v.Path] = true
				if !math.IsNaN(v.Want) {
					compared++
				}
				if !v.Agrees() {
					t.Errorf("%s = %.15g, want %.15g", v.Path, v.Got, v.Want)
				}
			}
			if compared != len(values) || len(paths) != len(values) || compared < 100 {
				t.Errorf("%d of %d values compared, under %d names", compared, len(values), len(paths))
			}
		})
	}
}

// aDocument is of one result, without the result's numbers.
const aDocument = `{"kind": "ilql", "cases": [{"actions": [[0]], "dones": [[1, 0]], "rewards": [[1]], "logits": [[[0, 0]]], "qs": [[[[0, 1]]]], "target_qs": [[[[0, 0]]]],
	"vs": [[0, 0]]}], "results": [{"case": 0, "tau": 0.7, "gamma": 0.99, "cql_scale": 0.1, "awac_scale": 1, "beta": 0}]}`

// What is no such document is an error, never a panic.
func TestRecomputeRefuses(t *testing.T) {
	if values, err := Recompute([]byte(aDocument)); err != nil || len(values) != 5+2+2+2 {
		t.Fatalf("%d values, %v", len(values), err)
	}
	for _, c := range []struct{ from, to, says string }{
		{`"ilql"`, `"grpo"`, "known kinds"},
		{`"actions": [[0]]`, `"actions": []`, "must not be empty"},
		{`"actions": [[0]]`, `"actions": [[2]]`, "actions[0][0] = 2 is no outcome below 2"},
		{`"rewards": [[1]]`, `"rewards": [[1, 1]]`, "other sizes"},
		{`"qs": [[[[0, 1]]]]`, `"qs": [[[[0, 1, 2]]]]`, "other sizes"},
		{`"qs": [[[[0, 1]]]]`, `"qs": []`, "0 qs and 1 target_qs"},
		{`"dones": [[1, 0]]`, `"dones": [[0, 0]]`, "no token"},
		{`"tau": 0.7, `, ``, "tau is missing"},
		{`"beta": 0`, `"beta": 0, "grad_qs": []`, "grad_qs has 0 heads, qs 1"},
		{`"beta": 0`, `"beta": 0, "grad_logits": []`, "grad_logits has 0 responses"},
		{`"beta": 0`, `"beta": 0, "loss_qs": 1`, `unknown field "loss_qs"`},
	} {
		changed := strings.Replace(aDocument, c.from, c.to, 1)
		if _, err := Recompute([]byte(changed)); changed == aDocument || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", changed, err, c.says)
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
		tree["results"] = tree["results"].([]any)[:1]
		goldentest.Spoil(tree, func() {
			data, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = Recompute(data)
		})
	}
}
