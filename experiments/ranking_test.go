package experiments

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRanking(t *testing.T) {
	r, files := quickRun(t, t.TempDir(), 2, "claim=[]", "seeds=6", `arm=[{ method = "ppo", grid.ppo.learning_rate = [0.001, 0.01, 0.02, 0.03, 0.04] }, { method = "dpo" }, { name = "again", method = "dpo" }]`)
	places := r.Ranking(0)
	if len(places) != 7 || places[0].Rank != 1 {
		t.Fatalf("%+v", places)
	}
	byName := map[string]Place{}
	for i, p := range places {
		byName[p.Arm] = p
		if i > 0 && (p.Gap.Mean < places[i-1].Gap.Mean || p.Rank < places[i-1].Rank) {
			t.Errorf("place %d: %+v after %+v", i, p, places[i-1])
		}
	}
	if byName["dpo"].Rank != byName["again"].Rank {
		t.Error("equal arms have different ranks")
	}
	if byName["ppo-0.001"].Rank <= byName["ppo-0.04"].Rank {
		t.Errorf("hardly trained %+v beside trained %+v", byName["ppo-0.001"], byName["ppo-0.04"])
	}
	if text := string(files["ranking.md"]); !strings.Contains(text, "| 1 | 1 | ") || !strings.Contains(text, "over 6 seeds. Arms share a rank") || !strings.HasPrefix(string(files["ranking.csv"]), "rank,arm,n,gap,") {
		t.Errorf("%s\n%s", files["ranking.md"], files["ranking.csv"])
	}
	if _, files = quickRun(t, t.TempDir(), 1, "seeds=1"); files["ranking.md"] != nil {
		t.Error("two arms are ranked")
	}
}

// Fewer than five seeds decide nothing: no rank is shared, and the table says so.
func TestRankingOfFewSeeds(t *testing.T) {
	for seeds, want := range map[int]string{1: "1 seed, so no intervals: the order is that of this seed.", 3: "over 3 seeds. Fewer than 5 seeds decide no difference: the order is that of these seeds."} {
		r, files := quickRun(t, t.TempDir(), 2, append(slices.Clone(shortMethods), fmt.Sprintf("seeds=%d", seeds), manyMethods(7, ""))...)
		for i, p := range r.Ranking(0) {
			if p.Rank != i+1 {
				t.Errorf("%d seeds: place %d has rank %d", seeds, i+1, p.Rank)
			}
		}
		text := string(files["ranking.md"])
		if !strings.Contains(text, want) || !strings.Contains(text, "| no. |  | gap |") || strings.Contains(text, "share a rank") || strings.Contains(text, "1 seeds") {
			t.Errorf("%d seeds:\n%s", seeds, text)
		}
	}
}

// The summary has the arms in the order of the ranking, between shared stages and
// optima, and its answers too; who failed is named in both.
func TestSummaryFollowsTheRanking(t *testing.T) {
	r, files := quickRun(t, t.TempDir(), 2, append(slices.Clone(shortMethods), manyMethods(8, ", dpo.learning_rate = 1e308, dpo.max_grad_norm = 0"))...)
	if len(r.Failures) != 2 {
		t.Fatal(r.Failures)
	}
	s, err := r.summary(0, true)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"base", "SFT"}
	for _, p := range r.Ranking(0) {
		want = append(want, p.Label)
	}
	want = append(want, "optimum", goldOptimum)
	var lines, said []string
	for _, l := range s.Lines {
		lines = append(lines, l.Label)
	}
	for _, a := range s.Says[0].Stages {
		said = append(said, a.Stage)
	}
	if len(want) != 11 || !slices.Equal(lines, want) || !slices.Equal(said, want) {
		t.Errorf("lines %v\nsaid %v\nwant %v", lines, said, want)
	}
	for name, says := range map[string]string{"ranking.md": "Not ranked, because cells failed: arm 2 (0 of 2 seeds done).", "summary.md": "cells failed: arm 2 (0 of 2 seeds done)"} {
		if !strings.Contains(string(files[name]), says) {
			t.Errorf("%s does not say %q", name, says)
		}
	}
	if !strings.Contains(string(files["summary.md"]), "the arms stand in the order of ranking.md") {
		t.Error("the summary does not say what its order is")
	}
}
