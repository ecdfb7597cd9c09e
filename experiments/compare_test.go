package experiments

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/stats"
	"rlhfsim/sim"
)

func finished(t *testing.T, overrides ...string) string {
	t.Helper()
	dir := t.TempDir()
	r, _ := quickRun(t, dir, 2, overrides...)
	if err := writeFileAt(filepath.Join(dir, "resolved.toml"), r.Experiment.Resolved); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCompareArmsOfOneRun(t *testing.T) {
	dir := finished(t)
	all, err := Compare([]string{dir}, CompareOptions{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d comparisons, %v", len(all), err)
	}
	c := all[0]
	if c.A != "PPO" || c.B != "DPO" || !c.Paired || len(c.Seeds) != 3 || len(c.Differs) != 1 || c.Differs[0].Field != "method" || !slices.Contains(c.Same, "world") {
		t.Errorf("%+v", c)
	}
	r, err := OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, b := r.group(0, 0, "ppo").Final("exact/gold_reward"), r.group(0, 1, "dpo").Final("exact/gold_reward")
	want := stats.PairedDifference(a, b, level, resamples, "exact/gold_reward")
	if got := c.End[0]; got.Metric != "exact/gold_reward" || got.Difference != want || got.A != stats.Mean(a) {
		t.Errorf("gold %+v, want %+v", got, want)
	}
	paths, err := WriteComparison(filepath.Join(dir, "compare"), all)
	if err != nil || len(paths) != 4 {
		t.Fatalf("%v, %v", paths, err)
	}
	text := CompareText(all)
	for _, want := range []string{"differs  method: ppo, dpo", "paired over 3 seeds", "at the end: ", "exact/kl"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	again, err := Compare([]string{dir}, CompareOptions{Arms: []string{"dpo", "ppo"}, Stat: "median", Metrics: []string{"loss", "exact/kl"}})
	if err == nil {
		t.Errorf("a metric that one arm lacks was compared: %+v", again)
	}
}

func TestCompareAcrossRuns(t *testing.T) {
	one, two := finished(t), finished(t, "objective.beta=0.3", "labels.rankings=40", "seeds=[1,2,7]")
	all, err := Compare([]string{one, two}, CompareOptions{})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d comparisons, %v", len(all), err)
	}
	c := all[0]
	if !slices.Equal(c.Seeds, []uint64{1, 2}) || !strings.Contains(c.Pairing, "differs too") || len(c.Differs) < 3 {
		t.Errorf("%+v", c)
	}
	three := finished(t, "seeds=[10,11]")
	if all, err = Compare([]string{one, three}, CompareOptions{Stat: "iqm"}); err != nil || all[0].Paired {
		t.Errorf("runs without a common seed: %v", err)
	}
	swept := finished(t, "seeds=2", "grid.labels.rankings=[10,20]")
	if all, err = Compare([]string{swept}, CompareOptions{}); err != nil || len(all) != 2 || all[1].Point != "labels.rankings = 20" {
		t.Errorf("%v", err)
	}
	if _, err = Compare([]string{one, swept}, CompareOptions{}); err == nil || !strings.Contains(err.Error(), "2 points") {
		t.Errorf("a point was chosen by itself: %v", err)
	}
}

func TestCompareRefusesWhatItCannot(t *testing.T) {
	dir := finished(t)
	for name, c := range map[string]struct {
		dirs []string
		o    CompareOptions
		says string
	}{
		"no run":     {[]string{t.TempDir()}, CompareOptions{}, "no run's folder"},
		"no arm":     {[]string{dir}, CompareOptions{Arms: []string{"ppo", "dpp"}}, `did you mean "dpo"?`},
		"one arm":    {[]string{dir}, CompareOptions{Arms: []string{"ppo"}}, "name two"},
		"no stat":    {[]string{dir}, CompareOptions{Stat: "mode"}, "mean, iqm, median"},
		"no metric":  {[]string{dir}, CompareOptions{Metrics: []string{"exact/gold_rewards"}}, "exact/gold_reward"},
		"not swept":  {[]string{dir}, CompareOptions{Values: []string{"labels.rankings=3"}}, "nothing was swept"},
		"same twice": {[]string{dir, dir}, CompareOptions{Arms: []string{"x:ppo", "y:ppo"}}, "no arm"},
	} {
		_, err := Compare(c.dirs, c.o)
		var usage Usage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAtKLInterpolatesToTheFirstCrossing(t *testing.T) {
	row := func(kl, gold float64) sim.Row {
		return sim.Row{Metrics: []sim.Metric{{Name: "exact/kl", Value: kl}, {Name: "exact/gold_reward", Value: gold}}}
	}
	rows := []sim.Row{row(0, 1), row(1, 3), row(0.5, 9), row(2, 5)}
	for kl, want := range map[float64]float64{0: 1, 0.25: 1.5, 1: 3, 1.25: 7} {
		if got, ok := atKL(rows, "exact/gold_reward", kl); !ok || !(math.Abs(got-want) <= 1e-12) {
			t.Errorf("at KL %v: %v, want %v", kl, got, want)
		}
	}
	if _, ok := atKL(rows, "exact/gold_reward", 2.1); ok {
		t.Error("a KL that was never reached has a value")
	}
}

// A verdict never claims more than its interval.
func TestVerdictSentences(t *testing.T) {
	k := func(low, mean, high float64) Contrast {
		return Contrast{Metric: "exact/gold_reward", Difference: stats.Interval{Mean: mean, Low: low, High: high, N: 10}, Needed: 40}
	}
	for want, c := range map[string]Contrast{
		"A's gold is 0.10 [0.05, 0.15] above B's":                           k(0.05, 0.1, 0.15),
		"A's gold is 0.10 [0.05, 0.15] below B's":                           k(-0.15, -0.1, -0.05),
		"undecided, the difference in gold is 0.10 [−0.05, 0.25]; about 40": k(-0.05, 0.1, 0.25),
		"the same gold": k(0, 0, 0),
		"one seed says": {Metric: "exact/gold_reward", Difference: stats.Interval{N: 1}},
	} {
		if got := c.sentence("A", "B", "", "at the end"); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestPlotNewAndClean(t *testing.T) {
	dir := finished(t, "seeds=2", "grid.labels.rankings=[10,20]")
	for name, o := range map[string]PlotOptions{
		"sweep":   {Spec: FigureSpec{Kind: "sweep", Y: []string{"exact/kl"}}},
		"winrate": {Spec: FigureSpec{Kind: "winrate", Dark: true}, Values: []string{"labels.rankings=20"}},
		"margins": {Spec: FigureSpec{Kind: "margins", Name: "mine"}},
		"all":     {},
		"curve":   {Spec: FigureSpec{Kind: "curve", Y: []string{"exact/kl", "exact/length"}}},
		"front":   {Spec: FigureSpec{Kind: "frontier"}},
	} {
		if paths, err := Plot(dir, o); err != nil || len(paths) == 0 {
			t.Errorf("%s: %v, %v", name, paths, err)
		}
	}
	for says, o := range map[string]PlotOptions{
		"did you mean":  {Spec: FigureSpec{Kind: "gapp"}},
		"a swept field": {Spec: FigureSpec{Kind: "sweep", X: "ppo.lam"}},
		"nothing to":    {Spec: FigureSpec{Kind: "best-of-n"}},
		"which figure":  {Spec: FigureSpec{Y: []string{"exact/kl"}}},
	} {
		if _, err := Plot(dir, o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	stray := filepath.Join(dir, "cells", "0123.cell")
	writeFile(t, stray, []byte("old"))
	if found, err := Clean(dir, true); err != nil || len(found.Removed) != 1 || found.Kept != 12 {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := Clean(dir, false); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(stray); err == nil {
		t.Error("a cell of nobody's stays")
	}
	mine := filepath.Join(t.TempDir(), "mine.toml")
	if err := New(mine, "hacking"); err != nil {
		t.Fatal(err)
	}
	if e, err := Load(mine, nil); err != nil || e.Name != "mine" {
		t.Errorf("the new file: %v", err)
	}
	child := filepath.Join(filepath.Dir(mine), "child.toml")
	if err := New(child, mine); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(child, nil); err != nil {
		t.Errorf("a file that extends a file: %v", err)
	}
	if New(mine, "chapter") == nil || New(filepath.Join(dir, "x.txt"), "chapter") == nil {
		t.Error("a file was overwritten, or is no .toml")
	}
}

func TestNamedFigures(t *testing.T) {
	_, err := Load("chapter", []string{`figure=[{ kind = "sweeep" }]`})
	if err == nil || !strings.Contains(err.Error(), `did you mean "sweep"?`) {
		t.Errorf("%v", err)
	}
	e, err := Load("chapter", []string{`figure=[{ kind = "curve", y = "exact/kl", name = "kl" }]`})
	if err != nil || len(e.Figures) != 1 || !strings.Contains(string(e.Resolved), "[[figure]]\nkind = \"curve\"\nname = \"kl\"\ny = [\"exact/kl\"]") {
		t.Errorf("%v\n%s", err, e.Resolved)
	}
	if _, err := Sweeps([]string{"labels.rankings"}); err == nil {
		t.Error("a sweep without values")
	}
	got, err := Sweeps([]string{`dpo.loss_type=sigmoid,"a,b",[1, 2]`, "seeds=1"})
	if err != nil || got[0] != `grid.dpo.loss_type=["sigmoid", "a,b", [1, 2]]` {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAnArmsOwnGrid(t *testing.T) {
	e, err := Load("chapter", []string{"claim=[]", `arm=[{ method = "dpo", label = "DPO", grid.dpo.learning_rate = [0.03, 0.1], grid.dpo.label_smoothing = [0.0, 0.1] }, { method = "ppo" }]`})
	if err != nil {
		t.Fatal(err)
	}
	arms := e.Points[0].Arms
	if len(arms) != 5 || arms[1].Name != "dpo-0.03-0.1" || arms[2].Config.DPO.LearningRate != 0.1 || arms[3].Label != "DPO, dpo.learning_rate = 0.1, dpo.label_smoothing = 0.1" {
		t.Errorf("%d arms, %+v", len(arms), arms[1].Name)
	}
	path := filepath.Join(t.TempDir(), "again.toml")
	writeFile(t, path, e.Resolved)
	if again, err := Load(path, nil); err != nil || len(again.Points[0].Arms) != 5 {
		t.Errorf("the resolved file: %v", err)
	}
	for says, arm := range map[string]string{
		"cannot be swept":  `{ method = "dpo", grid.labels.rankings = [1, 2] }`,
		"must be a list":   `{ method = "dpo", grid.dpo.beta = 1 }`,
		"make more than":   `{ method = "dpo", grid.dpo.batch_size = [` + numbers(20) + `], grid.dpo.num_train_epochs = [` + numbers(10) + `] }`,
		"dpo.learning_rat": `{ method = "dpo", grid.dpo.learning_rat = [0.1] }`,
	} {
		if _, err := Load("chapter", []string{"claim=[]", "arm=[" + arm + "]"}); err == nil || !strings.Contains(err.Error(), strings.Split(says, ".")[0]) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func numbers(n int) string {
	var out []string
	for i := range n {
		out = append(out, number(float64(i+1)))
	}
	return strings.Join(out, ", ")
}

// A new arm on finished cells starts from what they hold: ensembles, bigrams and
// all, to the same bytes.
func TestANewArmStartsFromTheCells(t *testing.T) {
	for name, overrides := range map[string][]string{
		"ensemble":  {"reward.num_ensemble=3", "reward.aggregate=worst_case"},
		"bigrams":   {"reward.model=bigrams"},
		"shared":    {"policy.parametrisation=shared"},
		"one model": nil,
	} {
		overrides = append([]string{"seeds=2", "claim=[]"}, overrides...)
		_, want := quickRun(t, t.TempDir(), 1, overrides...)
		dir := t.TempDir()
		quickRun(t, dir, 1, append(overrides, `arm=[{ method = "dpo", label = "DPO" }]`)...)
		r, got := quickRun(t, dir, 1, overrides...)
		sameFiles(t, name, want, got)
		if r.Reused != 4 {
			t.Errorf("%s: %d cells were reused, want 4", name, r.Reused)
		}
	}
}

// A comparison, and a figure's caption, say which seeds an arm has not.
func TestMissingCellsAreNamed(t *testing.T) {
	dir := finished(t)
	r, err := OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(cellPath(dir, r.keys[cellID{0, 1, 1}])); err != nil {
		t.Fatal(err)
	}
	all, err := Compare([]string{dir}, CompareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text := CompareText(all)
	if !strings.Contains(text, "missing  DPO has no cell for seed 1; `rlhfsim run ") || !strings.Contains(text, "paired over 2 seeds") || strings.Contains(text, "PPO has no cell") {
		t.Error(text)
	}
	if r, err = OpenRun(dir); err != nil {
		t.Fatal(err)
	}
	if got := r.caption(""); !strings.Contains(got, "n = 2 to 3 seeds") {
		t.Error(got)
	}
}

// A file that may not be read is not called damaged, nor a folder no run.
func TestUnreadableIsNotDamaged(t *testing.T) {
	err := unreadable("run", "0123", &fs.PathError{Op: "open", Path: "x.cell", Err: fs.ErrPermission})
	if strings.Contains(err.Error(), "damaged") || !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		t.Skip("nothing is unreadable to root")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "run"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRun(filepath.Join(dir, "run")); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Error(err)
	}
}
