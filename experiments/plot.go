package experiments

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/internal/field"
	"rlhfsim/internal/figure"
	"rlhfsim/internal/stats"
	"rlhfsim/sim"
)

// FigureSpec asks for one figure, in [[figure]] or on the command line.
type FigureSpec struct {
	Kind string   `toml:"kind"` // a key of FigureKinds
	Name string   `toml:"name"` // of its files; the kind where nothing is said
	X    string   `toml:"x"`    // sweep: a swept field
	Y    []string `toml:"y"`    // curve and sweep: metrics, a panel each
	Arms []string `toml:"arms"` // only these; where nothing is said all, or the best of many
	Dark bool     `toml:"dark"` // light on dark
}

// FigureKind is one figure by name.
type FigureKind struct {
	Name, Doc string
	sweep     bool // drawn over all points of a sweep, not once for each
	automatic bool // drawn without being asked for
	draw      func(r *Run, point int, s FigureSpec) []drawing
}

// FigureKinds is the table of figures that can be named.
var FigureKinds = []FigureKind{
	{"pipeline", "the stages as boxes, with this run's numbers in them", false, true, (*Run).drawPipeline},
	{"curves", "gold, proxy, KL and gap over training", false, true, (*Run).drawCurves},
	{"curve", "any metric of the arms over training (y)", false, false, (*Run).drawCurve},
	{"overopt", "gold and proxy over √KL, with the exact frontiers", false, true, (*Run).drawOveropt},
	{"frontier", "where the arms end in reward and KL, under the exact frontiers", false, false, (*Run).drawFrontier},
	{"winrate", "win rate against the SFT policy of every stage and of the optima", false, false, (*Run).drawWinRate},
	{"margins", "implicit rewards of chosen and rejected responses, and their log-probabilities", false, false, (*Run).drawMargins},
	{"reward", "the reward model's accuracy and calibration", false, true, func(r *Run, point int, _ FigureSpec) []drawing { return []drawing{r.rewardFigure(point)} }},
	{"counts", "how often each kind of word is said", false, true, (*Run).drawCounts},
	{"gap", "what is lost against the best possible policy, and to what", false, true, (*Run).drawGap},
	{"best-of-n", "best of n: reward and KL over n (evaluation.best_of_n)", false, true, (*Run).drawBestOfN},
	{"sweep", "final metrics (y) over a swept field (x), a line for each arm", true, true, (*Run).drawSweep},
}

func figureKindNames() []string {
	var names []string
	for _, k := range FigureKinds {
		names = append(names, k.Name)
	}
	return names
}

// maxPointFigures is how many points of a sweep get figures of their own without
// being asked for.
const maxPointFigures = 6

// draw makes the run's figures one after another: those that every run has, then
// those that the file names.
func (r *Run) draw(write func(name string, data []byte) error) error {
	asked := map[string]bool{}
	for _, s := range r.Experiment.Figures {
		asked[s.fileName()] = true
	}
	for _, k := range FigureKinds {
		if k.automatic && !asked[k.Name] {
			if err := r.drawSpec(FigureSpec{Kind: k.Name}, nil, maxPointFigures, write); err != nil {
				return err
			}
		}
	}
	for _, s := range r.Experiment.Figures {
		if err := r.drawSpec(s, nil, maxPointFigures, write); err != nil {
			return err
		}
	}
	return nil
}

func (s FigureSpec) fileName() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Kind
}

// drawSpec draws one figure: once for the run, or for each of the given points
// (nil: the first most of them).
func (r *Run) drawSpec(s FigureSpec, points []int, most int, write func(name string, data []byte) error) error {
	k := FigureKinds[slices.IndexFunc(FigureKinds, func(k FigureKind) bool { return k.Name == s.Kind })]
	if points == nil {
		for point := range min(most, len(r.Experiment.Points)) {
			points = append(points, point)
		}
	}
	if k.sweep {
		points = []int{0}
	}
	for _, point := range points {
		suffix := ""
		if !k.sweep && len(r.Experiment.Swept) > 0 {
			suffix = "-" + strings.TrimSuffix(r.Experiment.Points[point].folder(r.Experiment.Swept), "/")
		}
		for i, d := range k.draw(r, point, s) {
			name := s.fileName()
			if i > 0 {
				name += fmt.Sprintf("-%d", i+1)
			}
			if err := render("figures/"+name+suffix, d, s.Dark, write); err != nil {
				return err
			}
		}
	}
	return nil
}

// render draws a figure in its three forms.
func render(path string, d drawing, dark bool, write func(name string, data []byte) error) error {
	switch own := d.(type) {
	case figure.Figure:
		own.Dark = dark
		d = own
	case figure.Pipeline:
		own.Dark = dark
		d = own
	}
	for _, form := range []struct {
		suffix string
		draw   func() ([]byte, error)
	}{{".svg", d.SVG}, {".png", d.PNG}, {".csv", func() ([]byte, error) { return d.CSV(), nil }}} {
		data, err := form.draw()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := write(path+form.suffix, data); err != nil {
			return err
		}
	}
	return nil
}

// chunks deals lines out over figures.
func chunks(lines []line) [][]line {
	if len(lines) == 0 {
		return nil
	}
	return slices.Collect(slices.Chunk(lines, maxLines))
}

func (r *Run) drawPipeline(point int, s FigureSpec) []drawing {
	if d, ok := r.pipeline(point, s); ok {
		return []drawing{d}
	}
	return nil
}

func (r *Run) drawCurves(point int, s FigureSpec) (out []drawing) {
	lines, note := r.single(point, s, nil)
	for _, part := range chunks(lines) {
		out = append(out, noted(r.curves(point, part), note))
	}
	return out
}

// noted puts a sentence before a figure's caption.
func noted(f figure.Figure, note string) figure.Figure {
	f.Caption = note + f.Caption
	return f
}

func (r *Run) drawCurve(point int, s FigureSpec) (out []drawing) {
	metrics := s.Y
	if len(metrics) == 0 {
		metrics = []string{"exact/gold_reward"}
	}
	lines, note := r.single(point, s, nil)
	for _, part := range chunks(lines) {
		f := figure.Figure{Title: r.titled(point, strings.Join(metrics, ", ")), Columns: min(2, len(metrics)), WidthCM: 17, Caption: r.caption("")}
		for _, metric := range metrics {
			words := wordsOf(metric)
			f.Panels = append(f.Panels, curve(part, metric, words.title, words.axis, nil))
		}
		out = append(out, noted(f, note))
	}
	return out
}

func (r *Run) drawOveropt(point int, s FigureSpec) (out []drawing) {
	lines, note := r.single(point, s, nil)
	for _, part := range chunks(lines) {
		out = append(out, noted(r.overopt(point, part), note))
	}
	return out
}

// frontierPanels are what stands over √KL, with the indices of its frontiers.
var frontierPanels = []frontierPanel{
	{"what people want", "exact/gold_reward", []int{0, 2}},
	{"what the judge says", "exact/proxy_reward", []int{1}},
}

type frontierPanel struct {
	title, metric string
	frontiers     []int
}

func (q frontierPanel) label() string {
	return strings.ReplaceAll(strings.TrimPrefix(q.metric, "exact/"), "_", " ")
}

// end is where an arm ends, as a point over √KL.
func (l line) end(metric string) figure.Series {
	kl, at := l.group.Interval("exact/kl"), l.group.Interval(metric)
	return figure.Series{Label: l.label, Style: l.style, Points: true, X: []float64{math.Sqrt(max(0, kl.Mean))}, Y: []float64{at.Mean}, Lo: []float64{at.Low}, Hi: []float64{at.High}}
}

// drawFrontier is where every arm ends, under what is possible at its KL.
func (r *Run) drawFrontier(point int, s FigureSpec) []drawing {
	lines := r.asked(point, s)
	switch {
	case len(lines) == 0:
		return nil
	case len(lines) > maxLines:
		return []drawing{r.frontierOfAll(point, lines)}
	}
	f := figure.Figure{Title: r.titled(point, "the frontier"), Columns: 2, WidthCM: 24, HeightCM: 12,
		Caption: r.pointCaption("Points: where each arm ends. Dotted, exact: the optima of the learned reward, and of gold, from a large β (left) to a small one. Nothing lies above the proxy's frontier in b, or above the best possible gold in a.")}
	frontiers := r.frontiers(point)
	for _, q := range frontierPanels {
		p := figure.Panel{Title: q.title, XLabel: "√KL to the SFT policy (KL in nats)", YLabel: q.label()}
		for _, l := range lines {
			p.Series = append(p.Series, l.end(q.metric))
		}
		for _, k := range q.frontiers {
			if len(frontiers[k].X) > 0 {
				p.Series = append(p.Series, frontiers[k])
			}
		}
		f.Panels = append(f.Panels, p)
	}
	return []drawing{f}
}

// winRateCaption says what a win rate is.
const winRateCaption = "P(gold of the response > gold of an SFT response to the same prompt) + ½ P(equal). “optimum” is the best policy for the learned reward at the first arm's β."

// barStyles are the arms' colours between green, SFT's, and black, the optima's.
var barStyles = []figure.Style{figure.Blue, figure.Vermillion, figure.Purple, figure.Orange, figure.Sky, figure.Yellow}

func (r *Run) drawWinRate(point int, s FigureSpec) []drawing {
	lines := r.asked(point, s)
	switch {
	case len(lines) == 0:
		return nil
	case len(lines) > maxLines:
		return []drawing{r.winRateOfAll(point, lines)}
	}
	low, high := 0.0, 1.1 // the numbers stand above the bars
	p := figure.Panel{YLabel: "win rate against SFT", YMin: &low, YMax: &high, HLines: []figure.HLine{{Y: 0.5, Label: "as good as SFT", Style: figure.Neutral}}}
	others := r.yardsticks(point)
	first := slices.IndexFunc(others, func(b figure.Bar) bool { return b.Label != "base" })
	if first < 0 {
		first = len(others)
	}
	p.Bars = append(p.Bars, others[:first]...)
	for i, l := range lines {
		if won := l.group.Interval(l.group.exactOr("win_rate")); won.N > 0 {
			p.Bars = append(p.Bars, bar(l.label, barStyles[i], won))
		}
	}
	p.Bars = append(p.Bars, others[first:]...)
	return []drawing{figure.Figure{Title: r.titled(point, "win rates"), Panels: []figure.Panel{p}, WidthCM: 17, Caption: r.barCaption(winRateCaption)}}
}

// optima are the win rates of the optimum of the learned reward and of gold's,
// at the first arm's β.
func (r *Run) optima(point int) []stats.Interval {
	var proxy, gold []float64
	for seed := range r.Experiment.Seeds {
		if c := r.cell(cellID{point, 0, seed}); c != nil {
			proxy = append(proxy, c.Optimum.WinRate)
			if c.Gold.HasWinRate {
				gold = append(gold, c.Gold.WinRate)
			}
		}
	}
	return []stats.Interval{interval(proxy, "exact/win_rate"), interval(gold, "exact/win_rate")}
}

// drawMargins is what the preference methods' arms record of their pairs.
func (r *Run) drawMargins(point int, s FigureSpec) (out []drawing) {
	lines, note := r.single(point, s, func(l line) bool { return len(l.group.Final("rewards/margins")) > 0 })
	for _, part := range chunks(lines) {
		f := figure.Figure{Title: r.titled(point, "margins"), Columns: 2, Caption: r.caption("Over the pairs of a minibatch: the implicit rewards β log π/π_ref of chosen and rejected responses, and their log-probabilities. A margin may grow while both log-probabilities fall.")}
		for _, metric := range []string{"rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected"} {
			words := wordsOf(metric)
			f.Panels = append(f.Panels, curve(part, metric, words.title, words.axis, nil))
		}
		out = append(out, noted(f, note))
	}
	return out
}

func (r *Run) drawBestOfN(point int, _ FigureSpec) []drawing {
	if len(r.bestOfN(point)) == 0 {
		return nil
	}
	return []drawing{r.bestOfNFigure(point)}
}

// sweepMetrics are the panels of a sweep where none are named.
var sweepMetrics = []string{"exact/gold_reward", "exact/proxy_reward", "exact/kl", "exact/win_rate"}

// drawSweep is final metrics over a swept field: a line for each arm, a figure
// for each combination of the other swept fields.
func (r *Run) drawSweep(_ int, s FigureSpec) (out []drawing) {
	e := r.Experiment
	if len(e.Swept) == 0 {
		return nil
	}
	if s.X == "" {
		s.X = e.Swept[0]
	}
	if len(s.Y) == 0 {
		s.Y = sweepMetrics
	}
	axis := slices.Index(e.Swept, s.X)
	for _, group := range r.along(axis) {
		ends := r.ends(group, s.Y)
		arms, note := r.chosen(group[0], s, r.everyArm(group[0]))
		for part := range slices.Chunk(arms, maxLines) {
			f := figure.Figure{Title: r.Experiment.Title + ": over " + s.X, Columns: min(2, len(s.Y)), WidthCM: 24, Caption: r.caption("At the end of training.")}
			if _, _, numeric := r.sweepAxis(group, axis); !numeric {
				f.Caption = r.barCaption("At the end of training.")
			}
			if rest := r.others(group[0], axis); rest != "" {
				f.Title += " (" + rest + ")"
			}
			for _, metric := range s.Y {
				f.Panels = append(f.Panels, r.sweepPanel(group, axis, metric, part, ends))
			}
			out = append(out, noted(f, note))
		}
	}
	return out
}

// end is a metric at the end of an arm at a point.
type end struct {
	point, arm int
	metric     string
}

// ends are the metrics at the ends of all arms, read point by point.
func (r *Run) ends(points []int, metrics []string) map[end]stats.Interval {
	out := map[end]stats.Interval{}
	for _, point := range points {
		for arm := range r.Experiment.Points[point].Arms {
			for _, metric := range metrics {
				if i, found := r.final(point, arm, metric); found {
					out[end{point, arm, metric}] = i
				}
			}
		}
	}
	return out
}

// along groups the points that differ in one swept field only.
func (r *Run) along(axis int) [][]int {
	var order []string
	groups := map[string][]int{}
	for point := range r.Experiment.Points {
		key := r.others(point, axis)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], point)
	}
	var out [][]int
	for _, key := range order {
		out = append(out, groups[key])
	}
	return out
}

// others are a point's swept values but one, in words.
func (r *Run) others(point, axis int) string {
	names, values := slices.Clone(r.Experiment.Swept), slices.Clone(r.Experiment.Points[point].Values)
	p := Point{Values: slices.Delete(values, axis, axis+1)}
	return p.title(slices.Delete(names, axis, axis+1))
}

func (r *Run) everyArm(point int) []int {
	var arms []int
	for arm := range r.Experiment.Points[point].Arms {
		arms = append(arms, arm)
	}
	return arms
}

// sweepPanel is one metric over the values of a swept field: lines where they
// are numbers (on a logarithmic axis where they span two decades), bars where
// they are words.
func (r *Run) sweepPanel(points []int, axis int, metric string, shown []int, ends map[end]stats.Interval) figure.Panel {
	x, label, numeric := r.sweepAxis(points, axis)
	words := wordsOf(metric)
	p := figure.Panel{Title: words.title, YLabel: words.axis}
	if numeric {
		p.XLabel = label
	}
	if numeric && strings.HasSuffix(label, logScale) {
		p.XTicks = r.sweepTicks(points, axis, x)
	}
	arms := r.Experiment.Points[points[0]].Arms
	for k, arm := range shown {
		s := figure.Series{Label: arms[arm].Label, Style: figure.Style(k)}
		for k, point := range points {
			i, found := ends[end{point, arm, metric}]
			if !found {
				continue
			}
			if numeric {
				s.X, s.Y, s.Lo, s.Hi = append(s.X, x[k]), append(s.Y, i.Mean), append(s.Lo, i.Low), append(s.Hi, i.High)
			} else {
				name := r.Experiment.Points[point].Values[axis]
				if len(arms) > 1 {
					name = arms[arm].Label + ", " + name
				}
				p.Bars = append(p.Bars, figure.Bar{Label: name, Value: i.Mean, Lo: i.Low, Hi: i.High, Style: s.Style})
			}
		}
		if numeric && len(s.X) > 0 {
			p.Series = append(p.Series, s)
		}
	}
	return p
}

// metricWords are the title and the axis of a panel that shows one metric.
type metricWords struct{ title, axis string }

var wordsOfMetrics = map[string]metricWords{
	"exact/gold_reward":  {"what people want", "gold reward"},
	"exact/proxy_reward": {"what the judge says", "proxy reward"},
	"exact/kl":           {"distance from the SFT policy", "KL, nats per response"},
	"exact/gap":          {"distance from the optimum", "gap, J* − J"},
	"exact/win_rate":     {"how often people prefer it", "win rate against SFT"},
	"rewards/margins":    {"how far chosen is above rejected", "difference of implicit rewards"},
	"rewards/accuracies": {"how often chosen is above rejected", "share of pairs"},
	"logps/chosen":       {"the chosen responses", "log-probability"},
	"logps/rejected":     {"the rejected responses", "log-probability"},
}

func wordsOf(metric string) metricWords {
	if w, ok := wordsOfMetrics[metric]; ok {
		return w
	}
	return metricWords{metric, metric}
}

// sweepAxis are the positions of the points, and what they mean.
func (r *Run) sweepAxis(points []int, axis int) (x []float64, label string, numeric bool) {
	least, most := math.Inf(1), 0.0
	for _, point := range points {
		v, err := strconv.ParseFloat(r.Experiment.Points[point].Values[axis], 64)
		if err != nil {
			return nil, "", false
		}
		x = append(x, v)
		least, most = min(least, v), max(most, v)
	}
	label = r.Experiment.Swept[axis]
	if least > 0 && most >= 30*least {
		for i := range x {
			x[i] = math.Log10(x[i])
		}
		label += logScale
	}
	return x, label, true
}

// logScale ends the name of an axis on which equal factors are equally far apart.
const logScale = ", logarithmic"

// sweepTicks are the swept values themselves, from left to right.
func (r *Run) sweepTicks(points []int, axis int, x []float64) []figure.Tick {
	var ticks []figure.Tick
	for k, point := range points {
		ticks = append(ticks, figure.Tick{At: x[k], Label: minus(r.Experiment.Points[point].Values[axis])})
	}
	slices.SortFunc(ticks, func(a, b figure.Tick) int { return cmp.Compare(a.At, b.At) })
	return ticks
}

// final is a metric at the end of an arm, or of a shared stage where the arm has
// none of that name (eval_accuracy is the reward model's), exact or estimated.
func (r *Run) final(point, arm int, metric string) (stats.Interval, bool) {
	a := r.Experiment.Points[point].Arms[arm]
	groups := append([]Group{r.group(point, arm, a.Method)}, r.groups(point, -1)...)
	for i, g := range groups {
		name := metric
		if short, exact := strings.CutPrefix(metric, "exact/"); exact {
			name = g.exactOr(short)
		}
		if i > 0 && strings.HasPrefix(metric, "exact/") && g.Stage != "reward" {
			continue // base and SFT have these too, but are not what was asked for
		}
		if strings.HasPrefix(name, "eval_") {
			g = g.measured()
		}
		if len(g.Final(name)) > 0 {
			return g.Interval(name), true
		}
	}
	return stats.Interval{}, false
}

// checkFigure reports what a figure asks for and cannot have.
func (e *Experiment) checkFigure(s FigureSpec) *field.Error {
	names := figureKindNames()
	if !slices.Contains(names, s.Kind) {
		return &field.Error{Field: "kind", Value: fmt.Sprintf("%q", s.Kind), Allowed: "one of " + strings.Join(names, ", "), Help: didYouMean(s.Kind, names)}
	}
	if s.Name != "" && !validName(s.Name) {
		return &field.Error{Field: "name", Value: fmt.Sprintf("%q", s.Name), Allowed: "letters, digits, '.', '_' and '-'"}
	}
	arms := e.armNames()
	for _, arm := range s.Arms {
		if !slices.Contains(arms, arm) {
			return &field.Error{Field: "arms", Value: fmt.Sprintf("%q", arm), Allowed: "names of arms", Help: didYouMean(arm, arms)}
		}
	}
	if s.X != "" && !slices.Contains(e.Swept, s.X) {
		allowed := "a swept field: " + strings.Join(e.Swept, ", ")
		if len(e.Swept) == 0 {
			allowed = "left out: nothing is swept (see [grid])"
		}
		return &field.Error{Field: "x", Value: fmt.Sprintf("%q", s.X), Allowed: allowed, Help: didYouMean(s.X, e.Swept)}
	}
	known := e.metricNames()
	for _, y := range s.Y {
		if len(known) > 0 && !slices.Contains(known, y) {
			return &field.Error{Field: "y", Value: fmt.Sprintf("%q", y), Allowed: "a metric that some stage records (rlhfsim explain lists them)", Help: didYouMean(y, known)}
		}
	}
	return nil
}

// armNames is every arm of the experiment.
func (e *Experiment) armNames() []string {
	var names []string
	for _, p := range e.Points {
		for _, a := range p.Arms {
			if !slices.Contains(names, a.Name) {
				names = append(names, a.Name)
			}
		}
	}
	return names
}

// metricNames is every metric that some stage of the experiment can record; none
// where that cannot be said, of a file with an unknown method.
func (e *Experiment) metricNames() []string {
	var names []string
	if len(e.Points) == 0 {
		return nil
	}
	add := func(c sim.Config, stage string) {
		for _, name := range c.MetricNames(stage) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	p := e.Points[0]
	for _, stage := range []string{"base", "sft", "reward"} {
		add(p.Config, stage)
	}
	for _, a := range p.Arms {
		if _, known := sim.MethodByName(a.Method); !known {
			return nil
		}
		add(a.Config, a.Method)
	}
	return names
}

func didYouMean(name string, known []string) string {
	if near := field.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
