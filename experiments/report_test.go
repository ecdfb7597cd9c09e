package experiments

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"rlhfsim/internal/stats"
)

// The stages stand in one column, one of a thing is not many, and no line of a
// summary but the wide table's is longer than a terminal.
func TestSummaryText(t *testing.T) {
	r, _ := quickRun(t, t.TempDir(), 2, "base.lines=1", "labels.rankings=20", "seeds=2",
		`sft.demonstrations=[{ prompt = "my phone is frozen", completion = "restart it" }]`)
	all, err := r.Summaries()
	if err != nil {
		t.Fatal(err)
	}
	text := r.Text(all)
	lines := strings.Split(text, "\n")
	for i, want := range []string{"0 base     1 line of raw text ", "1 SFT      1 demonstration ", "2 reward   20 rankings of 4 answers "} {
		if !strings.HasPrefix(lines[i], want) || strings.LastIndex(lines[i][:51], "  ") != 48 {
			t.Errorf("%q", lines[i])
		}
	}
	for _, want := range []string{"of J*: how much of the way", "says …: in seed 0", "“my phone is frozen” (seed 0)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	caption := all[0].caption()
	all[0].Lines[2].Gold.N = 1 // as where a cell is missing
	if got := all[0].caption(); !strings.Contains(got, "over 1 to 2 seeds") || strings.Contains(caption, "1 to 2") || len(caption) > 100 {
		t.Errorf("%s\n%s", caption, got)
	}
}

// A number that is printed as 0 has no sign.
func TestNoMinusZero(t *testing.T) {
	for got, want := range map[string]string{
		signed(-0.001): "0.00", signed(-0.006): "−0.01", signed(0.001): "0.00",
		rate(stats.Interval{Mean: -0.0001, N: 2}): "0.0 %", rate(stats.Interval{Mean: -0.01, N: 2}): "−1.0 %",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Neither 0 % nor 100 % is said of what is only nearly so.
func TestShare(t *testing.T) {
	for p, want := range map[float64]string{0: "0.0 %", 0.0004: "< 0.1 %", 0.05: "5.0 %", 0.42: "42 %", 0.994: "99 %", 0.9971: "99.7 %", 0.9999: "> 99.9 %", 1: "100 %"} {
		if got := share(p); got != want {
			t.Errorf("share(%v) = %q, want %q", p, got, want)
		}
	}
}

// Many arms are counted and wrapped, not written in one line.
func TestPlanOfManyArmsFitsATerminal(t *testing.T) {
	p := Plan{Seeds: []uint64{0}, Optimum: []BestCase{{}}}
	for i := range 40 {
		p.Arms = append(p.Arms, fmt.Sprintf("arm%d", i))
	}
	p.Optimum[0].Arms = p.Arms
	for line := range strings.Lines(p.Text()) {
		if len([]rune(line)) > 100 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
	if !strings.Contains(p.Text(), "  40 arms\n") {
		t.Error(p.Text())
	}
}

// One seed has no interval, and the comparison does not speak of one.
func TestCompareOneSeedPromisesNoInterval(t *testing.T) {
	all, err := Compare([]string{finished(t, "seeds=1")}, CompareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if text := CompareText(all); strings.Contains(text, "bootstrap") || !strings.Contains(text, "one seed, so no interval") {
		t.Error(text)
	}
}

// The README shows the whole of what a run prints under its table.
func TestReadmeShowsTheLegend(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := Summary{Seeds: 10, Disliked: []string{"filler"}}
	for _, want := range []string{s.caption(), s.legend(0)} {
		if !strings.Contains(string(readme), "\n"+want+"\n") {
			t.Errorf("no %q", want)
		}
	}
}

// Where β is so large that the SFT policy is the optimum, there is no way of
// which a share could be told.
func TestNoWayToTheOptimum(t *testing.T) {
	r, _ := quickRun(t, t.TempDir(), 2, "seeds=2", "objective.beta=1e6", "claim=[]")
	all, err := r.Summaries()
	if err != nil {
		t.Fatal(err)
	}
	text := r.Text(all)
	for _, l := range all[0].Lines {
		if l.Label != "base" && l.Label != goldOptimum && l.ofJStar() != "–" {
			t.Errorf("%s: %s", l.Label, l.ofJStar())
		}
	}
	if !strings.Contains(text, "–: SFT is the best possible") || strings.Contains(text, "100.0 %") {
		t.Error(text)
	}
	r, _ = quickRun(t, t.TempDir(), 2, "seeds=2", "objective.beta=20", "claim=[]")
	if all, err = r.Summaries(); err != nil || strings.Contains(r.Text(all), "–: ") || all[0].Lines[2].OfJStar.N != 2 {
		t.Errorf("at β = 20 there is a way: %v", err)
	}
}

// A judge that is measured on ties only has no accuracy, not one of 0 %.
func TestOnlyTiesHaveNoAccuracy(t *testing.T) {
	r, _ := quickRun(t, t.TempDir(), 2, "seeds=2", "labels.tie_nu=1e6", "reward.drop_ties=true", "dpo.drop_ties=true", "labels.held_out=2", "labels.responses_per_ranking=2", "claim=[]")
	all, err := r.Summaries()
	if err != nil {
		t.Fatal(err)
	}
	if text := r.Text(all); !strings.Contains(text, "accuracy unknown (only ties were held out; two raters agree on") || strings.Contains(text, "accuracy 0.0") {
		t.Error(text)
	}
	d, _ := r.pipeline(0, FigureSpec{})
	if text := fmt.Sprint(d); !strings.Contains(text, "only ties were held out") || strings.Contains(text, "accuracy 0.0") {
		t.Error(text)
	}
	if f := r.rewardFigure(0); len(f.Panels[0].HLines) > 0 || !strings.Contains(f.Caption, "unknown: only ties") {
		t.Error(f.Caption)
	}
}
