package experiments

import (
	"fmt"
	"strings"

	"rlhfsim/internal/figure"
)

// gapParts are the bars of the gap figure and the columns of its table.
var gapParts = []struct {
	label, metric string
	style         figure.Style
}{
	{"reward model", "exact/gold_gap_reward_model", figure.Orange},
	{"policy class", "exact/gold_gap_class", figure.Purple},
	{"optimiser", "exact/gold_gap_optimisation", figure.Blue},
	{"total", "exact/gold_gap", figure.Black},
}

// gapFigure is where each arm's distance from the best possible gold comes from.
func (r *Run) gapFigure(point int) figure.Figure {
	f := figure.Figure{Name: "gap", Title: r.Experiment.Title + ": what is lost, and to what", Columns: 3, WidthCM: 20,
		Caption: r.barCaption("Exact, in units of gold − β KL. Lost by optimising the learned reward instead of gold; by staying in the policy class; by the optimiser. The parts sum to the total; those of class and optimiser may be negative.")}
	arms := r.Experiment.Points[point].Arms
	for arm, a := range arms[:min(len(arms), maxLines)] {
		g := r.group(point, arm, a.Method)
		p := figure.Panel{Title: a.Label, YLabel: "lost gold objective"}
		for _, part := range gapParts {
			if len(g.Final(part.metric)) == 0 {
				continue
			}
			i := g.Interval(part.metric)
			p.Bars = append(p.Bars, figure.Bar{Label: part.label, Value: i.Mean, Lo: i.Low, Hi: i.High, Style: part.style})
		}
		f.Panels = append(f.Panels, p)
	}
	return f
}

// gapMarkdown is the same as a table, "" where the world is too large to know.
func (r *Run) gapMarkdown(point int) string {
	var b strings.Builder
	for arm, a := range r.Experiment.Points[point].Arms {
		g := r.group(point, arm, a.Method)
		if len(g.Final("exact/gold_gap")) == 0 {
			continue
		}
		if b.Len() == 0 {
			b.WriteString("Lost gold objective (gold − β KL) against the best possible policy, by cause:\n\n|  | reward model | policy class | optimiser | total |\n| --- | --- | --- | --- | --- |\n")
		}
		fmt.Fprintf(&b, "| %s |", a.Label)
		for _, part := range gapParts {
			fmt.Fprintf(&b, " %s |", two(g.Interval(part.metric)))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
