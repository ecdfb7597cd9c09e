package experiments

import (
	"strings"

	"rlhfsim/internal/figure"
	"rlhfsim/sim"
)

// drawCounts is how likely each stage is to say any word of each kind that people
// care about.
func (r *Run) drawCounts(point int, s FigureSpec) (out []drawing) {
	lines, note := r.single(point, s, nil)
	if len(lines) == 0 {
		return []drawing{r.countsFigure(point, nil)}
	}
	for _, part := range chunks(lines) {
		out = append(out, noted(r.countsFigure(point, part), note))
	}
	return out
}

func (r *Run) countsFigure(point int, lines []line) figure.Figure {
	f := figure.Figure{Title: r.titled(point, "what is said"), Columns: 4, WidthCM: 24,
		Caption: r.barCaption("Exact probability that a response has at least one event of the kind. “best” is the optimum of the learned reward at the first arm's β.")}
	for _, v := range r.Experiment.Points[point].Config.World.Values {
		if v.Count == "length" {
			continue // nearly every response has a word
		}
		metric := "exact/any/" + strings.ReplaceAll(v.Count, " ", "_")
		p := figure.Panel{Title: v.Count, YLabel: "probability of any"}
		low, high := 0.0, 1.1 // the numbers stand above the bars
		p.YMin, p.YMax = &low, &high
		p.Bars = r.countBars(point, lines, metric)
		if longNames(p.Bars) {
			f.Columns = 2 // wider, so that names and values fit
		}
		f.Panels = append(f.Panels, p)
	}
	return f
}

// longNames reports whether a quarter of a page is too narrow for the bars.
func longNames(bars []figure.Bar) bool {
	for _, b := range bars {
		if len([]rune(b.Label)) > 40/len(bars) {
			return true
		}
	}
	return false
}

func (r *Run) countBars(point int, lines []line, metric string) []figure.Bar {
	var bars []figure.Bar
	add := func(label string, style figure.Style, values []float64) {
		if len(values) > 0 {
			i := interval(values, metric)
			bars = append(bars, figure.Bar{Label: label, Value: i.Mean, Lo: i.Low, Hi: i.High, Style: style})
		}
	}
	add("base", figure.Neutral, r.group(point, -1, "base").Final(metric))
	add("SFT", figure.Green, r.group(point, -1, "sft").Final(metric))
	for i, l := range lines {
		add(l.label, barStyles[i], l.group.Final(metric))
	}
	add("best", figure.Black, r.atOptimum(point, metric))
	return bars
}

// atOptimum is a count's metric at the first arm's optimum, for each seed.
func (r *Run) atOptimum(point int, metric string) []float64 {
	var values []float64
	for seed := range r.Experiment.Seeds {
		if c := r.cell(cellID{point, 0, seed}); c != nil {
			row := sim.Row{Metrics: c.Optimum.Counts}
			values = append(values, row.Get(metric))
		}
	}
	return values
}
