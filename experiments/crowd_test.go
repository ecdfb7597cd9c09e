package experiments

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/figure"
	"rlhfsim/sim"
)

// manyMethods is n arms of all families, as an override; own are further fields
// of arm 2.
func manyMethods(n int, own string) string {
	names := []string{"dpo", "ppo", "ipo", "kto", "rloo", "raft", "online_dpo", "hinge", "grpo", "exact"}
	var arms []string
	for i := range n {
		more := ""
		if i == 2 {
			more = own
		}
		arms = append(arms, fmt.Sprintf(`{ name = "a%d", label = "arm %d", method = %q%s }`, i, i, names[i%len(names)], more))
	}
	return "arm=[" + strings.Join(arms, ", ") + "]"
}

var shortMethods = []string{"seeds=2", "claim=[]", "grpo.total_episodes=128", "raft.total_episodes=128", "online.total_episodes=128", "exact.num_steps=3", "ppo.total_episodes=128"}

// Every method belongs to a family, and to one only.
func TestEveryMethodHasAFamily(t *testing.T) {
	for _, m := range sim.Methods {
		n := 0
		for _, f := range families {
			if slices.Contains(f.sections, m.Section) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s (section %s) is in %d families", m.Name, m.Section, n)
		}
		if offline := families[Arm{Method: m.Name}.family()].style == figure.Vermillion; offline != m.Offline {
			t.Errorf("%s: offline is %v", m.Name, m.Offline)
		}
	}
}

// Fourteen arms: one file of each figure; frontier and winrate show all of them,
// the others the best six and say so.
func TestManyArmsHaveOneFigureEach(t *testing.T) {
	dir := finished(t, append(shortMethods, manyMethods(14, ""), `figure=[{ kind = "frontier" }, { kind = "winrate" }]`)...)
	r, err := OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := figures(t, r)
	for name := range maps.Keys(files) {
		if strings.Contains(name, "-2") {
			t.Errorf("%s: dealt out", name)
		}
		if stem, is := strings.CutSuffix(name, ".svg"); is && (files[stem+".csv"] == nil || files[stem+".png"] == nil) {
			t.Errorf("%s stands alone", name)
		}
	}
	for i := range 14 {
		for _, name := range []string{"frontier", "winrate"} {
			if n := strings.Count(string(files["figures/"+name+".csv"]), fmt.Sprintf("arm %d,", i)); n != map[string]int{"frontier": 2, "winrate": 1}[name] {
				t.Errorf("%s.csv names arm %d %d times", name, i, n)
			}
		}
	}
	places := r.Ranking(0)
	for _, name := range []string{"curves", "gap", "counts", "overopt"} {
		text := string(files["figures/"+name+".csv"]) + string(files["figures/"+name+".svg"])
		for i, p := range places {
			if drawn := strings.Contains(text, p.Label+",") || strings.Contains(text, ">"+p.Label+"<"); drawn != (i < maxLines) {
				t.Errorf("%s: place %d, %s: drawn is %v", name, i+1, p.Label, drawn)
			}
		}
		if !strings.Contains(text, "The 6 best-ranked of 14 arms; rlhfsim plot RUN --figure "+name+" --arms") {
			t.Errorf("%s does not say what it leaves out", name)
		}
	}
	_, boxes, _ := strings.Cut(string(files["figures/pipeline.csv"]), "Reward model")
	if n := strings.Count(boxes, "box,arm "); n != upperBoxes+lowerBoxes {
		t.Errorf("the pipeline has %d arms:\n%s", n, boxes)
	}
	others, _ := r.pictured(0, FigureSpec{Arms: []string{"a3", "a0"}})
	if !slices.Equal(others, []int{0, 3}) {
		t.Errorf("asked for a3 and a0, got %v", others)
	}
	drawn := r.drawCurves(0, FigureSpec{Kind: "curves", Arms: []string{"a7", "a13"}})
	if s := drawn[0].(figure.Figure).Panels[0].Series; len(drawn) != 1 || len(s) != 2 || s[0].Label != "arm 7" || s[1].Label != "arm 13" {
		t.Errorf("asked for two arms: %v", drawn)
	}
	if _, err := Plot(dir, PlotOptions{Spec: FigureSpec{Kind: "curves", Arms: []string{"a77"}}}); err == nil || !strings.Contains(err.Error(), `did you mean "a7"`) {
		t.Errorf("an arm that is not there: %v", err)
	}
}

// The points of the frontier are numbered by the ranking, the key says whose they
// are, and no value leaves the axes unsaid.
func TestFrontierOfAllIsNumberedByTheRanking(t *testing.T) {
	r, err := OpenRun(finished(t, append(shortMethods, manyMethods(9, ""))...))
	if err != nil {
		t.Fatal(err)
	}
	f := r.drawFrontier(0, FigureSpec{Kind: "frontier"})[0].(figure.Figure)
	names := map[string]string{}
	for _, g := range f.Key {
		for _, e := range g.Entries {
			names[e.Mark] = e.Label
		}
	}
	for i, p := range r.Ranking(0) {
		if got := names[fmt.Sprint(i+1)]; got != p.Label {
			t.Errorf("number %d is %q, want %q", i+1, got, p.Label)
		}
	}
	for _, p := range f.Panels {
		for _, s := range p.Series {
			inside := s.X[0] <= *p.XMax && s.X[0] >= *p.XMin && s.Y[0] <= *p.YMax && s.Y[0] >= *p.YMin
			if s.Mark != "" && (names[s.Mark] != s.Label || s.Lo == nil || !inside && !strings.Contains(f.Caption, s.Mark+" "+s.Label+" at KL")) {
				t.Errorf("%s is %s, inside %v:\n%s", s.Mark, s.Label, inside, f.Caption)
			}
		}
	}
}

// The axes hold what is not far out.
func TestUsual(t *testing.T) {
	for _, c := range []struct {
		values    []float64
		low, high float64 // without the padding
	}{
		{[]float64{1, 2, 3, 4}, 1, 4}, {[]float64{1, 2, 3, 4, 100}, 1, 4}, {[]float64{-50, 1, 2, 3, 4, 5}, 1, 5},
		{[]float64{2, 2, 2, 2, 9}, 1.5 + 0.5, 2.5 - 0.5}, {[]float64{1, 2}, 1, 2},
	} {
		low, high := usual(c.values)
		if low >= c.low || low < c.low-0.51 || high <= c.high || high > c.high+0.51 {
			t.Errorf("usual(%v) = %v, %v", c.values, low, high)
		}
	}
}
