package experiments

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"rlhfsim/internal/figure"
	"rlhfsim/internal/num"
	"rlhfsim/internal/stats"
	"rlhfsim/sim"
)

// A panel never holds more lines than this, dotted references apart; a figure
// with more is dealt out over several.
const maxLines = 6

// drawing is a figure in its three forms.
type drawing interface {
	SVG() ([]byte, error)
	PNG() ([]byte, error)
	CSV() []byte
}

// line is one arm at one point, with what it takes to draw it.
type line struct {
	point int
	arm   Arm
	label string
	style figure.Style
	group Group
	best  []sim.Exact // of each seed: the exact optimum at the arm's beta
	scale float64     // gradient steps in a step
}

func (r *Run) lines(point int) []line {
	var lines []line
	p := r.Experiment.Points[point]
	for arm, a := range p.Arms {
		g := r.group(point, arm, a.Method)
		if len(g.Runs) == 0 {
			continue
		}
		l := line{point: point, arm: a, group: g, label: a.Label, scale: 1}
		if m, known := sim.MethodByName(a.Method); known {
			l.scale = float64(m.Updates(a.Config))
		}
		for seed := range r.Experiment.Seeds {
			if c := r.cell(cellID{g.Point, g.Arm, seed}); c != nil {
				l.best = append(l.best, *c.Optimum)
			}
		}
		lines = append(lines, l)
	}
	return restyled(lines)
}

// track is a metric over training: its interval over seeds at every step that
// all seeds recorded, and at each seed's end.
func (g Group) track(metric string) (steps []float64, at []stats.Interval) {
	if len(g.Runs) == 0 {
		return nil, nil
	}
	// Seeds may end at different steps (as many as they have pairs); the last
	// records go together.
	rows := len(g.Runs[0])
	last := 0.0
	for _, run := range g.Runs {
		rows = min(rows, len(run))
		last = max(last, float64(run[len(run)-1].Step))
	}
	for k := range rows {
		var values []float64
		for _, run := range g.Runs {
			row := run[k]
			if k == rows-1 {
				row = run[len(run)-1]
			}
			if v := row.Get(metric); !math.IsNaN(v) {
				values = append(values, v)
			}
		}
		if len(values) < len(g.Runs) {
			continue
		}
		step := float64(g.Runs[0][k].Step)
		if k == rows-1 {
			step = last
		}
		steps = append(steps, step)
		at = append(at, interval(values, metric))
	}
	return steps, at
}

func series(label string, style figure.Style, x []float64, y []stats.Interval) figure.Series {
	s := figure.Series{Label: label, Style: style, X: x}
	for _, i := range y {
		s.Y, s.Lo, s.Hi = append(s.Y, i.Mean), append(s.Lo, i.Low), append(s.Hi, i.High)
	}
	return s
}

func (r *Run) caption(what string) string {
	n := len(r.Experiment.Seeds)
	if n == 1 {
		return what + " One seed, so no interval."
	}
	return fmt.Sprintf("%s Lines are means over n = %s seeds, bands 95 %% bootstrap intervals of the mean.", what, r.seedsThere())
}

// seedsThere is how many seeds the run has, of each arm where cells are missing.
func (r *Run) seedsThere() string {
	least, most := len(r.Experiment.Seeds), 0
	for point, p := range r.Experiment.Points {
		for arm := range p.Arms {
			n := 0
			for seed := range r.Experiment.Seeds {
				if _, there := r.keys[cellID{point, arm, seed}]; there {
					n++
				}
			}
			if n > 0 { // an arm without any is not drawn
				least, most = min(least, n), max(most, n)
			}
		}
	}
	if least < most {
		return fmt.Sprintf("%d to %d", least, most)
	}
	return strconv.Itoa(least)
}

func (r *Run) barCaption(what string) string {
	return strings.NewReplacer("Lines are means", "Bars are means", "bands", "whiskers").Replace(r.caption(what))
}

func (r *Run) pointCaption(what string) string {
	return strings.Replace(r.barCaption(what), "Bars are means", "Points are means", 1)
}

// titled puts a point's swept values into a figure's title.
func (r *Run) titled(point int, what string) string {
	title := r.Experiment.Title + ": " + what
	if at := r.Experiment.Points[point].title(r.Experiment.Swept); at != "" {
		title += " (" + at + ")"
	}
	return title
}

// curves is gold, proxy, KL and gap over policy updates.
func (r *Run) curves(point int, lines []line) figure.Figure {
	named := func(metric string, optimum func(sim.Exact) float64) figure.Panel {
		words := wordsOf(metric)
		return curve(lines, metric, words.title, words.axis, optimum)
	}
	return figure.Figure{Title: r.titled(point, "training"), Columns: 2, Panels: []figure.Panel{
		named("exact/gold_reward", func(e sim.Exact) float64 { return e.Gold }),
		named("exact/proxy_reward", func(e sim.Exact) float64 { return e.Proxy }),
		named("exact/kl", func(e sim.Exact) float64 { return e.KL }),
		named("exact/gap", func(sim.Exact) float64 { return 0 }),
	}, Caption: r.caption("Exact values, no sampling. Dotted: the best possible policy for the learned reward at this β.")}
}

// curve is one metric over policy updates, with its value at the optimum where
// that is known (nil: it is not) and the same for all lines.
func curve(lines []line, metric, title, label string, optimum func(sim.Exact) float64) figure.Panel {
	p := figure.Panel{Title: title, XLabel: "policy updates (gradient steps)", YLabel: label}
	seen := map[float64]bool{}
	for _, l := range lines {
		x, y := l.group.track(metric)
		for i := range x {
			x[i] *= l.scale
		}
		p.Series = append(p.Series, series(l.label, l.style, x, y))
		if optimum == nil || len(l.best) == 0 {
			continue
		}
		best := mean(l.best, optimum)
		if key := math.Round(best * 1e6); !seen[key] {
			seen[key] = true
			p.HLines = append(p.HLines, figure.HLine{Y: best, Label: "optimum", Style: figure.Neutral})
		}
	}
	if len(p.HLines) > 1 { // one optimum for each beta or each reward model: the lines would say nothing
		p.HLines = nil
	}
	return p
}

func mean(all []sim.Exact, of func(sim.Exact) float64) float64 {
	var values []float64
	for _, e := range all {
		values = append(values, of(e))
	}
	return stats.Mean(values)
}

// overopt is gold and proxy over √KL, with the exact frontier of the learned
// reward (Gao et al. 2022, figure 1); more than two arms get a panel each.
func (r *Run) overopt(point int, lines []line) figure.Figure {
	beta, kl := r.peak(point)
	f := figure.Figure{Title: r.titled(point, "reward against distance"), WidthCM: 17, HeightCM: 11,
		Caption: r.caption(fmt.Sprintf("Solid: gold, what people want. Dashed: proxy, what the judge says. Dotted, exact: both for the optimum of the learned reward from a large β (left) to a small one, and gold for its own optimum. The proxy's optimum starts to hurt at β < %.2f, KL > %.2f.", beta.Mean, kl.Mean))}
	if len(r.bestOfN(point)) > 0 {
		f.Caption = strings.Replace(f.Caption, "Dotted, exact:", "Diamonds, exact: the best of n SFT responses as the judge chooses, n growing to the right. Dotted, exact:", 1)
	}
	if len(lines) <= 2 {
		f.Panels = []figure.Panel{r.overoptPanel(point, lines, "")}
		return f
	}
	f.Columns, f.WidthCM, f.HeightCM = 2, 24, 0
	for _, l := range lines {
		l.style = figure.Blue
		label := l.label
		l.label = ""
		f.Panels = append(f.Panels, r.overoptPanel(point, []line{l}, label))
	}
	return f
}

func (r *Run) overoptPanel(point int, lines []line, title string) figure.Panel {
	p := figure.Panel{Title: title, XLabel: "√KL to the SFT policy (KL in nats)", YLabel: "reward"}
	for _, l := range lines {
		_, kl := l.group.track("exact/kl")
		x := make([]float64, len(kl))
		for i := range kl {
			x[i] = math.Sqrt(max(0, kl[i].Mean))
		}
		for _, m := range []struct{ name, label string }{{"exact/gold_reward", "gold"}, {"exact/proxy_reward", "proxy"}} {
			_, y := l.group.track(m.name)
			s := series(strings.TrimSpace(l.label+" "+m.label), l.style, x, y)
			s.Dash = m.label == "proxy"
			p.Series = append(p.Series, s)
		}
	}
	for _, s := range r.frontiers(point) {
		if len(s.X) > 0 {
			p.Series = append(p.Series, s)
		}
	}
	p.Series = append(p.Series, r.bestOfNPoints(point)...)
	return p
}

// frontiers are the means over seeds of the exact reward-KL frontiers: gold and
// proxy at the learned reward's optima, and gold at its own.
func (r *Run) frontiers(point int) []figure.Series {
	var proxy, gold [][]sim.FrontierPoint
	for seed := range r.Experiment.Seeds {
		if c := r.cell(cellID{point, -1, seed}); c != nil {
			proxy = append(proxy, c.Frontier.Proxy)
			if len(c.Frontier.Gold) > 0 {
				gold = append(gold, c.Frontier.Gold)
			}
		}
	}
	return []figure.Series{
		frontier("proxy's optimum: gold", proxy, func(p sim.FrontierPoint) float64 { return p.Gold }),
		frontier("proxy's optimum: proxy", proxy, func(p sim.FrontierPoint) float64 { return p.Proxy }),
		frontier("best possible gold", gold, func(p sim.FrontierPoint) float64 { return p.Gold }),
	}
}

// frontier averages one curve over seeds, β by β.
func frontier(label string, all [][]sim.FrontierPoint, y func(sim.FrontierPoint) float64) figure.Series {
	s := figure.Series{Label: label, Dotted: true, Style: figure.Neutral}
	if len(all) == 0 {
		return s
	}
	for i := range all[0] {
		var kl, value []float64
		for _, f := range all {
			kl, value = append(kl, f[i].KL), append(value, y(f[i]))
		}
		s.X, s.Y = append(s.X, math.Sqrt(max(0, stats.Mean(kl)))), append(s.Y, stats.Mean(value))
	}
	return s
}

// peak is where the learned reward's optimum has the most gold, over seeds.
func (r *Run) peak(point int) (beta, kl stats.Interval) {
	var betas, kls []float64
	for seed := range r.Experiment.Seeds {
		if c := r.cell(cellID{point, -1, seed}); c != nil {
			betas, kls = append(betas, c.Frontier.Peak.Beta), append(kls, c.Frontier.Peak.KL)
		}
	}
	return interval(betas, "peak beta"), interval(kls, "peak kl")
}

// group is the shared stage of that name at a point.
func (r *Run) group(point, arm int, stage string) Group {
	for _, g := range r.groups(point, arm) {
		if g.Stage == stage {
			return g
		}
	}
	return Group{Point: point, Arm: arm, Stage: stage}
}

// rewardFigure is how good the judge is: accuracy over training, calibration.
func (r *Run) rewardFigure(point int) figure.Figure {
	g := r.group(point, -1, "reward").measured()
	x, y := g.track("eval_accuracy")
	accuracy := figure.Panel{Title: "accuracy on held-out rankings", XLabel: "reward model updates", YLabel: "share of comparisons right",
		Series: []figure.Series{series("reward model", figure.Blue, x, y)}}
	if len(g.Runs) > 0 {
		accuracy.HLines = []figure.HLine{
			{Y: g.Interval(g.exactOr("accuracy_ceiling")).Mean, Label: "perfect judge", Style: figure.Neutral},
			{Y: g.Interval(g.exactOr("rater_agreement")).Mean, Label: "another rater", Style: figure.Neutral},
		}
	}
	about := "Comparisons of held-out rankings. A perfect judge knows every true value and is wrong only where the raters' own noise decides; another rater: how often two raters give the same label."
	if len(g.Runs) == 0 {
		about = "The accuracy is unknown: " + onlyTies + "."
	}
	zero, one := 0.0, 1.0
	calibration := figure.Panel{Title: "calibration", XLabel: "predicted preference", YLabel: "actual preference", Diagonal: true,
		Series: []figure.Series{r.calibration(point)}, XMin: &zero, XMax: &one, YMin: &zero, YMax: &one}
	return figure.Figure{Title: r.titled(point, "the reward model"), Columns: 2, Panels: []figure.Panel{accuracy, calibration}, Caption: r.caption(about)}
}

// calibration is the mean over seeds of predicted and actual preference in each
// bin; a bin that some seed left empty is averaged over the others.
func (r *Run) calibration(point int) figure.Series {
	s := figure.Series{Label: "reward model", Points: true, Style: figure.Blue}
	for bin := range 10 {
		var predicted, actual []float64
		for seed := range r.Experiment.Seeds {
			if c := r.cell(cellID{point, -1, seed}); c != nil && bin < len(c.Calibration) && c.Calibration[bin].N > 0 {
				predicted, actual = append(predicted, c.Calibration[bin].Predicted), append(actual, c.Calibration[bin].Actual)
			}
		}
		if len(actual) == 0 {
			continue
		}
		i := interval(actual, "calibration")
		s.X, s.Y, s.Lo, s.Hi = append(s.X, stats.Mean(predicted)), append(s.Y, i.Mean), append(s.Lo, i.Low), append(s.Hi, i.High)
	}
	return s
}

// pipeline is the chapter's loop with this run's numbers in its boxes.
func (r *Run) pipeline(point int, s FigureSpec) (figure.Pipeline, bool) {
	p := r.Experiment.Points[point]
	l, ok := r.learned(point, 0)
	if !ok {
		return figure.Pipeline{}, false
	}
	w, stages, err := p.Stages(r.ctx, l)
	if err != nil {
		return figure.Pipeline{}, false
	}
	says := map[string]string{}
	for _, stage := range stages {
		for _, top := range stage.MostLikely(0, 1) {
			says[stage.Name] = fmt.Sprintf("“%s” %s", w.Text(top.Response), share(num.Exp(top.LogProb)))
		}
	}
	judge := r.group(point, -1, "reward")
	c := p.Config
	arms, note := r.pictured(point, s)
	d := figure.Pipeline{
		Title: r.titled(point, fmt.Sprintf("%d prompts, %d words, everything exactly known", w.Shape.Prompts, w.Shape.Words)),
		Caption: note + fmt.Sprintf("Gold is what the simulated people want; no learner sees it. %s In quotes: the most likely answer to “%s” (seed %d). β = %s.",
			r.meansOver(), w.Prompts[0], r.Experiment.Seeds[0], number(c.Objective.Beta)),
		Boxes: []figure.Box{
			{ID: "base", Title: "0 Base: raw text", Lines: []string{fmt.Sprintf("%d lines", c.Base.Lines), gold(r.group(point, -1, "base")), says["base"]}, Col: 0, Style: figure.Neutral},
			{ID: "sft", Title: "1 SFT", Lines: []string{fmt.Sprintf("%d demonstrations", c.SFT.Size()), gold(r.group(point, -1, "sft")), says["sft"]}, Col: 1, Style: figure.Green},
			{ID: "rankings", Title: "2a People rank", Lines: []string{fmt.Sprintf("%d rankings of %d answers", c.Labels.Rankings, c.Labels.ResponsesPerRanking), percent("two raters agree", judge, "rater_agreement")}, Col: 2, Style: figure.Purple},
			{ID: "reward", Title: "2b Reward model", Lines: accuracyLines(judge), Col: 3, Style: figure.Orange},
		},
		Arrows: []figure.Arrow{{From: "base", To: "sft"}, {From: "sft", To: "rankings", Label: "answers"}, {From: "rankings", To: "reward"}},
	}
	r.addArms(&d, point, arms, says)
	return d, true
}

// accuracyLines are what the reward model's box says of it.
func accuracyLines(judge Group) []string {
	accuracy := judge.measured().Interval("eval_accuracy")
	if accuracy.N == 0 {
		return []string{"accuracy unknown", onlyTies}
	}
	return []string{fmt.Sprintf("accuracy %.1f %%", 100*accuracy.Mean), percent("a perfect judge", judge, "accuracy_ceiling")}
}

// addArms puts the methods that see a reward at the end of the upper row, and
// those that learn from the rankings alone below it.
func (r *Run) addArms(d *figure.Pipeline, point int, pictured []int, says map[string]string) {
	upper, lower := 0.0, 1.0
	arms := r.Experiment.Points[point].Arms
	for _, arm := range pictured {
		a := arms[arm]
		g := r.group(point, arm, a.Method)
		if len(g.Runs) == 0 {
			continue
		}
		box := figure.Box{ID: "arm " + a.Name, Title: "3 " + a.Label, Lines: []string{gold(g), percent("win rate", g, "win_rate"), fmt.Sprintf("KL %.2f nats", g.Interval("exact/kl").Mean), says[a.Name]},
			Style: figure.Blue, Emphasis: true}
		if len(pictured) > 3 { // lower boxes
			box.Lines = []string{gold(g), fmt.Sprintf("%s, KL %.2f", percent("wins", g, "win_rate"), g.Interval("exact/kl").Mean), says[a.Name]}
		}
		if a.offline() {
			box.Col, box.Row, box.Style = 3, lower, figure.Vermillion
			lower++
			d.Arrows = append(d.Arrows, figure.Arrow{From: "rankings", To: box.ID, Label: "pairs"})
		} else {
			box.Col, box.Row = 4, upper
			upper++
			if a.Method == "exact" && a.Config.Exact.Reward == "gold" { // it sees no reward model
				box.Lines = append([]string{"sees gold itself"}, box.Lines...)
			} else {
				d.Arrows = append(d.Arrows, figure.Arrow{From: "reward", To: box.ID, Label: "scores"})
			}
		}
		d.Boxes = append(d.Boxes, box)
	}
}

// meansOver says what the pipeline's numbers are.
func (r *Run) meansOver() string {
	if len(r.Experiment.Seeds) == 1 {
		return "One seed, so no intervals."
	}
	return fmt.Sprintf("Means over n = %s seeds with 95 %% bootstrap intervals.", r.seedsThere())
}

func gold(g Group) string {
	i := g.Interval("exact/gold_reward")
	if i.N == 1 {
		return "gold " + signed(i.Mean)
	}
	return fmt.Sprintf("gold %s [%s, %s]", signed(i.Mean), signed(i.Low), signed(i.High))
}

// percent prints an exact share, or "≈" and its estimate.
func percent(what string, g Group, metric string) string {
	name, about := g.exactOr(metric), ""
	if strings.HasPrefix(name, "mc/") {
		about = "≈ "
	}
	return fmt.Sprintf("%s %s%.1f %%", what, about, 100*g.Interval(name).Mean)
}

// share prints a probability as a percentage.
func share(p float64) string {
	switch {
	case p > 0 && p < 0.001:
		return "< 0.1 %"
	case p >= 0.9995 && p < 1:
		return "> 99.9 %"
	case p < 0.0995 || p >= 0.995 && p < 1: // what is not certain is not called 100 %
		return fmt.Sprintf("%.1f %%", 100*p)
	}
	return fmt.Sprintf("%.0f %%", 100*p)
}

// signed prints two decimals with a true minus sign.
func signed(v float64) string { return minus(unsignedZero(fmt.Sprintf("%.2f", v))) }

// unsignedZero takes the sign off a number whose digits are all 0.
func unsignedZero(s string) string {
	if strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}

// minus makes hyphens of a number true minus signs.
func minus(s string) string { return strings.ReplaceAll(s, "-", "−") }
