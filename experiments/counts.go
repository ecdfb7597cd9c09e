package experiments

import (
	"strings"

	"rlhfsim/internal/figure"
	"rlhfsim/sim"
)

// countsFigure is how likely each stage is to say any word of each kind that
// people care about.
func (r *Run) countsFigure(point int) figure.Figure {
	f := figure.Figure{Title: r.titled(point, "what is said"), Columns: 4, WidthCM: 24,
		Caption: r.barCaption("Exact probability that a response has at least one event of the kind. “best” is the optimum of the learned reward at the first arm's β.")}
	for _, v := range r.Experiment.Points[point].Config.World.Values {
		if v.Count == "length" {
			continue // nearly every response has a word
		}
		metric := "exact/any/" + strings.ReplaceAll(v.Count, " ", "_")
		p := figure.Panel{Title: v.Count, YLabel: "probability of any"}
		zero, one := 0.0, 1.0
		p.YMin, p.YMax = &zero, &one
		p.Bars = r.countBars(point, metric)
		f.Panels = append(f.Panels, p)
	}
	return f
}

func (r *Run) countBars(point int, metric string) []figure.Bar {
	var bars []figure.Bar
	add := func(label string, style figure.Style, values []float64) {
		if len(values) > 0 {
			i := interval(values, metric)
			bars = append(bars, figure.Bar{Label: label, Value: i.Mean, Lo: i.Low, Hi: i.High, Style: style})
		}
	}
	add("base", figure.Neutral, r.group(point, -1, "base").Final(metric))
	add("SFT", figure.Green, r.group(point, -1, "sft").Final(metric))
	styles := []figure.Style{figure.Blue, figure.Vermillion, figure.Purple, figure.Orange, figure.Sky, figure.Yellow}
	arms := r.Experiment.Points[point].Arms
	for arm, a := range arms[:min(len(arms), maxLines)] {
		add(a.Label, styles[arm], r.group(point, arm, a.Method).Final(metric))
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
