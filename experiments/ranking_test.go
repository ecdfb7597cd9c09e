package experiments

import (
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
	if !strings.Contains(string(files["ranking.md"]), "| 1 | ") || !strings.HasPrefix(string(files["ranking.csv"]), "rank,arm,n,gap,") {
		t.Errorf("%s\n%s", files["ranking.md"], files["ranking.csv"])
	}
	if _, files = quickRun(t, t.TempDir(), 1, "seeds=1"); files["ranking.md"] != nil {
		t.Error("two arms are ranked")
	}
}
