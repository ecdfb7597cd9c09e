package experiments

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/internal/figure"
	"rlhfsim/internal/stats"
	"rlhfsim/sim"
)

// Figures of more arms than a panel has lines for: frontier and winrate show all
// of them, the others the best.

// manyArms is the largest number of arms that are dealt out over several figures.
const manyArms = 2 * maxLines

// families are kinds of methods by what they learn from: a colour and a marker
// each, where there are too many arms for one of their own.
var families = []struct {
	title    string
	style    figure.Style
	sections []string
}{
	{"sees a reward", figure.Blue, []string{"ppo", "grpo", "ilql", "exact"}},
	{"best of n, RAFT", figure.Orange, []string{"raft"}},
	{"online preferences", figure.Purple, []string{"online"}},
	{"offline preference pairs", figure.Vermillion, []string{"dpo"}},
}

// family is the index of an arm's family.
func (a Arm) family() int {
	m, _ := sim.MethodByName(a.Method)
	for i, f := range families {
		if slices.Contains(f.sections, m.Section) {
			return i
		}
	}
	return 0
}

// order is a point's arms by their place in the ranking, then those without one
// as the file has them.
func (r *Run) order(point int) []int {
	places := r.Ranking(point)
	place := func(arm int) int {
		i := slices.IndexFunc(places, func(p Place) bool { return p.Arm == r.Experiment.Points[point].Arms[arm].Name })
		if i < 0 {
			return len(places)
		}
		return i
	}
	var order []int
	for arm := range r.Experiment.Points[point].Arms {
		order = append(order, arm)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(place(a), place(b)) })
	return order
}

// chosen are the arms that a figure of single arms shows, best first where that
// matters: those asked for, all where they are not many, else the best-ranked.
// note says for the caption what is left out.
func (r *Run) chosen(point int, s FigureSpec, arms []int) (chosen []int, note string) {
	all := r.Experiment.Points[point].Arms
	if len(s.Arms) > 0 {
		return slices.DeleteFunc(slices.Clone(arms), func(arm int) bool { return !slices.Contains(s.Arms, all[arm].Name) }), ""
	}
	if len(arms) <= manyArms {
		return arms, ""
	}
	for _, arm := range r.order(point) {
		if slices.Contains(arms, arm) && len(chosen) < maxLines {
			chosen = append(chosen, arm)
		}
	}
	which := "first"
	if len(r.Ranking(point)) > 0 {
		which = "best-ranked"
	}
	return chosen, fmt.Sprintf("The %d %s of %d arms; rlhfsim plot RUN --figure %s --arms NAME,… draws others. ", maxLines, which, len(arms), s.Kind)
}

// asked are the lines of the arms that a figure of all arms shows: all, or those
// asked for.
func (r *Run) asked(point int, s FigureSpec) []line {
	lines := r.lines(point)
	if len(s.Arms) > 0 {
		lines = slices.DeleteFunc(lines, func(l line) bool { return !slices.Contains(s.Arms, l.arm.Name) })
	}
	return restyled(lines)
}

// restyled gives lines the styles of a panel in their order.
func restyled(lines []line) []line {
	for i := range lines {
		lines[i].style = figure.Style(i % maxLines)
	}
	return lines
}

// single are the lines of a figure of single arms, among those that keep holds
// for, with the note for its caption.
func (r *Run) single(point int, s FigureSpec, keep func(line) bool) ([]line, string) {
	byArm := map[int]line{}
	var arms []int
	for _, l := range r.lines(point) {
		if keep == nil || keep(l) {
			byArm[l.group.Arm] = l
			arms = append(arms, l.group.Arm)
		}
	}
	arms, note := r.chosen(point, s, arms)
	var lines []line
	for _, arm := range arms {
		lines = append(lines, byArm[arm])
	}
	return restyled(lines), note
}

// The pipeline has this many boxes beside and below the reward model where there
// are too many arms for it.
const (
	upperBoxes = 3
	lowerBoxes = 2
)

func (a Arm) offline() bool {
	m, _ := sim.MethodByName(a.Method)
	return m.Offline
}

// pictured are the arms in the pipeline's boxes: those asked for, all where they
// are few, else the best-ranked of each family and as many more as have a place.
func (r *Run) pictured(point int, s FigureSpec) (arms []int, note string) {
	all := r.Experiment.Points[point].Arms
	order := r.order(point)
	if len(s.Arms) > 0 || len(all) <= maxLines {
		slices.Sort(order)
		arms, _ = r.chosen(point, s, order)
		return arms[:min(len(arms), maxLines)], ""
	}
	// Exact ascent is a yardstick, no learner: last.
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(yardstick(all[a]), yardstick(all[b])) })
	left := map[bool]int{false: upperBoxes, true: lowerBoxes}
	seen := map[int]bool{}
	take := func(another bool) {
		for _, arm := range order {
			a := all[arm]
			if left[a.offline()] > 0 && !slices.Contains(arms, arm) && (another || !seen[a.family()]) {
				seen[a.family()] = true
				left[a.offline()]--
				arms = append(arms, arm)
			}
		}
	}
	take(false)
	take(true)
	which := "first"
	if len(r.Ranking(point)) > 0 {
		which = "best-ranked"
	}
	return arms, fmt.Sprintf("%d of %d arms, the %s learners of each kind. ", len(arms), len(all), which)
}

func yardstick(a Arm) int {
	if a.Method == "exact" {
		return 1
	}
	return 0
}

// frontierOfAll is the frontier figure of more arms than names fit in: each a
// numbered point, in the colour of its family.
func (r *Run) frontierOfAll(point int, lines []line) figure.Figure {
	lines = r.ranked(point, lines)
	f := figure.Figure{Title: r.titled(point, "the frontier"), Columns: 2, WidthCM: 24, RowCM: 11, Key: numbered(lines)}
	frontiers := r.frontiers(point)
	outside := map[int]bool{}
	for _, q := range frontierPanels {
		p := figure.Panel{Title: q.title, XLabel: "√KL to the SFT policy (KL in nats)", YLabel: q.label()}
		for _, k := range q.frontiers {
			if len(frontiers[k].X) > 0 {
				p.Series = append(p.Series, frontiers[k])
			}
		}
		addCrowd(&p, q.metric, lines, outside)
		f.Panels = append(f.Panels, p)
	}
	f.Caption = r.crowdCaption(point, lines, outside)
	return f
}

// addCrowd adds the ends of the lines to a panel and fits its axes to most of
// them; those beyond are noted in outside.
func addCrowd(p *figure.Panel, metric string, lines []line, outside map[int]bool) {
	var x, y []float64
	for k, l := range lines {
		s := l.end(metric)
		s.Mark, s.Style = strconv.Itoa(k+1), families[l.arm.family()].style
		p.Series = append(p.Series, s)
		x, y = append(x, s.X...), append(y, s.Y...)
	}
	left, right := usual(x)
	low, high := usual(y)
	left = max(left, 0)
	p.XMin, p.XMax, p.YMin, p.YMax = &left, &right, &low, &high
	for k := range lines {
		if x[k] < left || x[k] > right || y[k] < low || y[k] > high {
			outside[k] = true
		}
	}
}

// ranked puts lines in the order of the ranking.
func (r *Run) ranked(point int, lines []line) []line {
	var out []line
	for _, arm := range r.order(point) {
		if i := slices.IndexFunc(lines, func(l line) bool { return l.group.Arm == arm }); i >= 0 {
			out = append(out, lines[i])
		}
	}
	return out
}

// numbered is the key to numbered arms, family by family.
func numbered(lines []line) []figure.KeyGroup {
	var key []figure.KeyGroup
	for i, f := range families {
		g := figure.KeyGroup{Title: f.title, Style: f.style}
		for k, l := range lines {
			if l.arm.family() == i {
				g.Entries = append(g.Entries, figure.KeyEntry{Mark: strconv.Itoa(k + 1), Label: l.label})
			}
		}
		if len(g.Entries) > 0 {
			key = append(key, g)
		}
	}
	return key
}

// crowdCaption says what the numbers are and which arms the axes leave out.
func (r *Run) crowdCaption(point int, lines []line, outside map[int]bool) string {
	text := "Points: where each arm ends, "
	if len(r.Ranking(point)) > 0 {
		text += "numbered as in ranking.md, by its distance from the best possible."
	} else {
		text += "numbered as in the file."
	}
	var out []string
	for k, l := range lines {
		if outside[k] {
			out = append(out, fmt.Sprintf("%d %s at KL %.1f", k+1, l.label, l.group.Interval("exact/kl").Mean))
		}
	}
	if len(out) > 0 {
		text += " Arrows point to what lies outside the axes: " + strings.Join(out, ", ") + "."
	}
	text += " Dotted, exact: the optima of the learned reward, and of gold, from a large β (left) to a small one; nothing lies above the proxy's in b, or above the best possible gold in a."
	if len(r.Experiment.Seeds) == 1 {
		return text + " One seed."
	}
	return text + fmt.Sprintf(" Means over n = %s seeds; the table behind the figure has their 95\u00a0%% bootstrap intervals.", r.seedsThere())
}

// usual is the range of an axis that holds all values but those far out, by
// Tukey's fences: three times the interquartile range beyond the quartiles.
func usual(values []float64) (low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	first, third := stats.Quantile(sorted, 0.25), stats.Quantile(sorted, 0.75)
	reach := 3 * (third - first)
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range sorted {
		if v >= first-reach && v <= third+reach {
			low, high = min(low, v), max(high, v)
		}
	}
	pad := 0.06 * (high - low)
	if pad == 0 {
		pad = 0.5
	}
	return low - pad, high + pad
}

// winRateOfAll is the win rates of more arms than have a colour of their own:
// bars in their order, coloured by family.
func (r *Run) winRateOfAll(point int, lines []line) figure.Figure {
	low, high := 0.0, 1.1 // the numbers stand above the bars
	p := figure.Panel{YLabel: "win rate against SFT", YMin: &low, YMax: &high, HLines: []figure.HLine{{Y: 0.5, Label: "as good as SFT", Style: figure.Neutral}}}
	seen := map[int]bool{}
	for _, l := range lines {
		if i := l.group.Interval(l.group.exactOr("win_rate")); i.N > 0 {
			seen[l.arm.family()] = true
			p.Bars = append(p.Bars, bar(l.label, families[l.arm.family()].style, i))
		}
	}
	p.Bars = append(p.Bars, r.yardsticks(point)...)
	slices.SortStableFunc(p.Bars, func(a, b figure.Bar) int { return cmp.Compare(b.Value, a.Value) })
	f := figure.Figure{Title: r.titled(point, "win rates"), Panels: []figure.Panel{p}, WidthCM: 17, HeightCM: 9,
		Caption: r.barCaption(winRateCaption)}
	if len(p.Bars) > 20 {
		f.WidthCM, f.HeightCM = 24, 11
		high = 1 // too many for numbers above
	}
	for i, family := range families {
		if seen[i] {
			f.Key = append(f.Key, figure.KeyGroup{Title: family.title, Style: family.style})
		}
	}
	return f
}

// yardsticks are the bars of the base policy and of the optima.
func (r *Run) yardsticks(point int) []figure.Bar {
	base := r.group(point, -1, "base")
	optima := r.optima(point)
	var bars []figure.Bar
	for _, b := range []struct {
		label string
		style figure.Style
		at    stats.Interval
	}{
		{"base", figure.Neutral, base.Interval(base.exactOr("win_rate"))},
		{"optimum", figure.Black, optima[0]}, {goldOptimum, figure.Black, optima[1]},
	} {
		if b.at.N > 0 {
			bars = append(bars, bar(b.label, b.style, b.at))
		}
	}
	return bars
}

func bar(label string, style figure.Style, i stats.Interval) figure.Bar {
	return figure.Bar{Label: label, Value: i.Mean, Lo: i.Low, Hi: i.High, Style: style}
}
