package experiments

import (
	"fmt"
	"strings"

	"rlhfsim/internal/figure"
)

// gapParts are the pieces of the gap figure's bars and the columns of its table.
var gapParts = []struct {
	label, metric string
	style         figure.Style
}{
	{"reward model", "exact/gold_gap_reward_model", figure.Orange},
	{"policy class", "exact/gold_gap_class", figure.Purple},
	{"optimiser", "exact/gold_gap_optimisation", figure.Blue},
	{"total", "exact/gold_gap", figure.Black},
}

// drawGap is where each arm's distance from the best possible gold comes from,
// a stack for each arm; nothing where the world is too large to know.
func (r *Run) drawGap(point int, s FigureSpec) (out []drawing) {
	lines, note := r.single(point, s, func(l line) bool { return len(l.group.Final("exact/gold_gap")) > 0 })
	for _, part := range chunks(lines) {
		out = append(out, noted(r.gapFigure(point, part), note))
	}
	return out
}

func (r *Run) gapFigure(point int, lines []line) figure.Figure {
	p := figure.Panel{YLabel: "lost gold objective, gold − β KL"}
	for _, l := range lines {
		g := l.group
		total := g.Interval("exact/gold_gap")
		bar := figure.Bar{Label: l.label, Value: total.Mean, Lo: total.Low, Hi: total.High}
		for _, part := range gapParts[:len(gapParts)-1] { // the last is the total
			i := g.Interval(part.metric)
			bar.Parts = append(bar.Parts, figure.Part{Label: part.label, Value: i.Mean, Lo: i.Low, Hi: i.High, Style: part.style})
		}
		p.Bars = append(p.Bars, bar)
	}
	return figure.Figure{Title: r.titled(point, "what is lost, and to what"), Panels: []figure.Panel{p}, WidthCM: 17, HeightCM: 11,
		Caption: r.barCaption("Exact. Lost by optimising the learned reward instead of gold; by staying in the policy class; by the optimiser, its noise and its stopping. What hangs below 0 is gained. Diamond: the sum. A part too small to be seen is left out.")}
}

// gapMarkdown is the same as a table, "" where the world is too large to know.
func (r *Run) gapMarkdown(point int) string {
	var b strings.Builder
	for _, arm := range r.order(point) {
		a := r.Experiment.Points[point].Arms[arm]
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
