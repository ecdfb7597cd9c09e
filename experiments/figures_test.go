package experiments

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/figure"
)

// Every panel among several has a title, none has more than six lines
// (numbered points apart), and an arm beyond the sixth is drawn somewhere, or the caption says that it is not.
func TestPanelsHaveTitlesAndFewLines(t *testing.T) {
	arms := "arm=["
	for i := range 6 {
		arms += fmt.Sprintf(`{ name = "a%d", label = "arm %d", method = "ppo", ppo.kl_coef = %d.5 },`, i, i, i)
	}
	arms += `{ name = "a6", label = "arm 6", method = "dpo" },`
	dir := finished(t, "seeds=2", "grid.labels.rankings=[10,400]", "ppo.total_episodes=64", "claim=[]", arms+"]")
	r, err := OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range FigureKinds {
		seen := ""
		spec := FigureSpec{Kind: k.Name}
		if k.Name == "curve" {
			spec.Y = []string{"exact/kl", "exact/length"}
		}
		for _, d := range k.draw(r, 0, spec) {
			f, ok := d.(figure.Figure)
			if !ok {
				seen += d.(figure.Pipeline).Caption
				continue
			}
			seen += f.Caption
			for i, p := range f.Panels {
				if len(f.Panels) > 1 && p.Title == "" {
					t.Errorf("%s: panel %d has no title", k.Name, i)
				}
				lines := 0
				for _, s := range p.Series {
					seen += "\n" + s.Label
					if !s.Dotted && s.Mark == "" {
						lines++
					}
				}
				if lines > maxLines {
					t.Errorf("%s: %d lines in panel %d", k.Name, lines, i)
				}
				for _, b := range p.Bars {
					seen += "\n" + b.Label
				}
				seen += "\n" + p.Title
			}
		}
		if slices.Contains([]string{"reward", "best-of-n"}, k.Name) { // not about arms, or not about these
			continue
		}
		if !strings.Contains(seen, "arm 6") && !strings.Contains(seen, "of 7 arms, the") {
			t.Errorf("%s: arm 6 is missing and nothing says so:\n%s", k.Name, seen)
		}
	}
}

// On a logarithmic axis the ticks are the swept values themselves.
func TestLogarithmicSweepNamesItsValues(t *testing.T) {
	r, _ := quickRun(t, t.TempDir(), 2, "seeds=2", "grid.labels.rankings=[10,20,400]", "ppo.total_episodes=128")
	p := r.drawSweep(0, FigureSpec{Kind: "sweep", Y: []string{"exact/kl"}})[0].(figure.Figure).Panels[0]
	if p.XLabel != "labels.rankings, logarithmic" || len(p.XTicks) != 3 || p.XTicks[0].Label != "10" || p.XTicks[2].Label != "400" || p.YLabel != "KL, nats per response" {
		t.Errorf("%s, ticks %v, %s", p.XLabel, p.XTicks, p.YLabel)
	}
}
