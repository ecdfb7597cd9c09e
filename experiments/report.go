package experiments

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	pretty "github.com/jedib0t/go-pretty/v6/table"
	prettytext "github.com/jedib0t/go-pretty/v6/text"

	"rlhfsim/internal/num"
	"rlhfsim/internal/stats"
	"rlhfsim/policy"
	"rlhfsim/sim"
)

// Line is a row of the summary: a stage at its end, or the exact optimum, with
// means over seeds and their intervals. Of is the share of the way from the SFT
// policy's exact objective to the best possible one.
type Line struct {
	Label   string         `json:"label"`
	Arm     string         `json:"arm,omitempty"`
	Stage   string         `json:"stage"`
	Gold    stats.Interval `json:"gold_reward"`
	Proxy   stats.Interval `json:"proxy_reward"`
	KL      stats.Interval `json:"kl"`
	WinRate stats.Interval `json:"win_rate"`
	OfJStar stats.Interval `json:"of_j_star"`
	// SFTIsBest says that the SFT policy is the best possible already, but for
	// less than noWay: there is no way of which to have come some.
	SFTIsBest bool `json:"sft_is_best,omitempty"`
	// Estimated says that the win rate is a Monte Carlo estimate: the world is
	// too large for the exact one.
	Estimated bool     `json:"win_rate_estimated,omitempty"`
	Disliked  *float64 `json:"says_disliked"` // probability of any disliked word, first seed; null where it is not known
}

// Summary is what a run found at one point, as printed and as JSON.
type Summary struct {
	Swept     map[string]string     `json:"swept,omitempty"`
	Beta      float64               `json:"beta"`
	Seeds     int                   `json:"seeds"`
	Lines     []Line                `json:"stages"`
	Ranked    bool                  `json:"ranked"`                 // the arms stand in the order of the ranking
	Lacking   string                `json:"cells_failed,omitempty"` // arms that miss seeds
	PeakBeta  stats.Interval        `json:"peak_beta"`              // of the learned reward's optimum with the most gold
	PeakKL    stats.Interval        `json:"peak_kl"`
	Agreement stats.Interval        `json:"rater_agreement"`
	Ceiling   stats.Interval        `json:"accuracy_ceiling"`
	Accuracy  stats.Interval        `json:"reward_accuracy"`
	Says      []Saying              `json:"says"`
	BestOfN   string                `json:"best_of_n,omitempty"` // a sentence, where it was asked for
	Disliked  []string              `json:"disliked_groups"`
	Loss      map[string][2]float64 `json:"loss"` // of a stage, first and last record, mean over seeds
}

// Saying is what the stages most likely answer to one prompt, in the first seed.
type Saying struct {
	Prompt string   `json:"prompt"`
	Stages []Answer `json:"stages"`
}

// Answer is a stage's most likely responses.
type Answer struct {
	Stage     string     `json:"stage"`
	Responses []Response `json:"responses"`
}

// Response is a response in words, its exact probability and its true value.
type Response struct {
	Text        string  `json:"text"`
	Probability float64 `json:"probability"`
	Gold        float64 `json:"gold"`
}

// The terminal summary shows this many prompts and responses.
const (
	summaryPrompts   = 3
	summaryResponses = 3
)

// maxSaying is the largest number of stages whose answers to more than one prompt
// are printed.
const maxSaying = 12

// maxTalking is the largest number of points of which each is asked what its
// policies say; beyond, the summary is one line for each point and arm.
const maxTalking = 12

// Summaries is one Summary for each point.
func (r *Run) Summaries() ([]Summary, error) {
	var out []Summary
	for point := range r.Experiment.Points {
		s, err := r.summary(point, len(r.Experiment.Points) <= maxTalking)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (r *Run) summary(point int, talk bool) (Summary, error) {
	e := r.Experiment
	p := e.Points[point]
	s := Summary{Beta: p.Config.Objective.Beta, Seeds: len(e.Seeds), Swept: map[string]string{}, Loss: map[string][2]float64{}}
	for i, name := range e.Swept {
		s.Swept[name] = p.Values[i]
	}
	judge := r.group(point, -1, "reward")
	s.Agreement, s.Ceiling, s.Accuracy = judge.Interval(judge.exactOr("rater_agreement")), judge.Interval(judge.exactOr("accuracy_ceiling")), judge.measured().Interval("eval_accuracy")
	for _, stage := range []struct{ name, label string }{{"base", "base"}, {"sft", "SFT"}} {
		g := r.group(point, -1, stage.name)
		s.Lines = append(s.Lines, g.line(stage.label, s.Beta))
		if loss := g.loss(); !math.IsNaN(loss[0]) { // a stage of no steps has none
			s.Loss[stage.name] = loss
		}
	}
	s.Lines[1].OfJStar = stats.Interval{N: len(e.Seeds)} // the SFT policy is where the way begins
	var best, golds []sim.Exact
	same := 0 // the line of the arm whose optimum it is
	for _, arm := range r.order(point) {
		a := p.Arms[arm]
		g := r.group(point, arm, a.Method)
		if len(g.Runs) == 0 {
			continue
		}
		s.Lines = append(s.Lines, g.line(a.Label, a.Config.Objective.Beta))
		s.Lines[len(s.Lines)-1].Arm = a.Name
		if a.Config.Objective == p.Config.Objective && best == nil {
			same = len(s.Lines) - 1
			for seed := range e.Seeds {
				if c := r.cell(cellID{point, arm, seed}); c != nil {
					best, golds = append(best, *c.Optimum), append(golds, *c.Gold)
				}
			}
		}
	}
	if best != nil {
		s.Lines = append(s.Lines, optimumLine("optimum", best), goldLine(golds))
		if s.Lines[same].SFTIsBest { // its way is that from SFT to this optimum
			s.Lines[1].SFTIsBest, s.Lines[len(s.Lines)-2].SFTIsBest = true, true
		}
	}
	s.Ranked, s.Lacking = len(r.Ranking(point)) > 0, r.lacking(point)
	s.PeakBeta, s.PeakKL = r.peak(point)
	s.BestOfN = r.bestOfNText(point)
	if !talk {
		return s, nil
	}
	return s, r.addSayings(&s, point)
}

// noWay is the KL, in nats, below which SFT policy and optimum count as one
// policy: a million responses could not tell them apart.
const noWay = 1e-6

// line is a stage at its end. By the identity J* − J(π) = β KL(π‖π*), the way from
// SFT to the optimum is their KL at the stage's own β.
func (g Group) line(label string, beta float64) Line {
	l := Line{Label: label, Stage: g.Stage, Gold: g.Interval("exact/gold_reward"), Proxy: g.Interval("exact/proxy_reward"),
		KL: g.Interval("exact/kl"), WinRate: g.Interval(g.exactOr("win_rate")), Estimated: g.exactOr("win_rate") == "mc/win_rate"}
	var shares []float64
	for _, rows := range g.Runs {
		first, last := rows[0], rows[len(rows)-1]
		switch way := first.Get("exact/gap"); {
		case math.IsNaN(way): // not known of this stage
		case way < float64(noWay*beta):
			l.SFTIsBest = true
		default:
			shares = append(shares, (last.Get("exact/objective")-first.Get("exact/objective"))/way)
		}
	}
	l.OfJStar = interval(shares, "of J*")
	l.SFTIsBest = l.SFTIsBest && len(shares) == 0
	return l
}

// measured leaves out the seeds whose held-out rankings have no clear comparison,
// only ties: without one the reward model's loss there is exactly 0 (−log σ is not)
// with nothing right.
func (g Group) measured() Group {
	var runs [][]sim.Row
	for _, rows := range g.Runs {
		if last := rows[len(rows)-1]; last.Get("eval_loss") != 0 || last.Get("eval_accuracy") != 0 {
			runs = append(runs, rows)
		}
	}
	g.Runs = runs
	return g
}

// ofJStar prints the share of the way to the optimum, "–" where there is none.
func (l Line) ofJStar() string {
	if l.SFTIsBest {
		return "–"
	}
	return rate(l.OfJStar)
}

func (g Group) loss() [2]float64 {
	var first, last []float64
	for _, rows := range g.Runs {
		if len(rows) > 1 {
			first, last = append(first, rows[1].Get("loss")), append(last, rows[len(rows)-1].Get("loss"))
		}
	}
	return [2]float64{stats.Mean(first), stats.Mean(last)}
}

func optimumLine(label string, best []sim.Exact) Line {
	of := func(name string, f func(sim.Exact) float64) stats.Interval {
		var values []float64
		for _, e := range best {
			values = append(values, f(e))
		}
		return interval(values, name)
	}
	return Line{Label: label, Stage: label, Estimated: best[0].WinRateSE > 0,
		Gold: of("exact/gold_reward", func(e sim.Exact) float64 { return e.Gold }), Proxy: of("exact/proxy_reward", func(e sim.Exact) float64 { return e.Proxy }),
		KL: of("exact/kl", func(e sim.Exact) float64 { return e.KL }), WinRate: of("exact/win_rate", func(e sim.Exact) float64 { return e.WinRate }),
		OfJStar: stats.Interval{Mean: 1, Low: 1, High: 1, N: len(best)}}
}

// goldLine is the optimum for gold itself: no proxy, and no share of the proxy's J*.
func goldLine(best []sim.Exact) Line {
	if !best[0].HasObjective { // the world is too large to know
		return Line{Label: goldOptimum, Stage: goldOptimum}
	}
	l := optimumLine(goldOptimum, best)
	l.Proxy, l.OfJStar = stats.Interval{}, stats.Interval{}
	return l
}

// addSayings asks the policies of the first seed.
func (r *Run) addSayings(s *Summary, point int) error {
	l, ok := r.learned(point, 0)
	if !ok {
		return nil
	}
	w, stages, err := r.Experiment.Points[point].Stages(r.ctx, l)
	if err != nil {
		return err
	}
	stages = inLineOrder(stages, s.Lines)
	s.Disliked = w.Disliked()
	for i := range s.Lines {
		for _, stage := range stages {
			if s.Lines[i].of(stage) {
				s.Lines[i].Disliked = says(w, stage, s.Disliked)
			}
		}
	}
	for x := range min(summaryPrompts, len(w.Prompts)) {
		s.Says = append(s.Says, saying(w, stages, x, summaryResponses))
	}
	return nil
}

// of reports whether the line is a stage's.
func (l Line) of(s Stage) bool { return s.Name == l.Arm || l.Arm == "" && s.Name == l.Stage }

// inLineOrder puts stages in the order of the table, those without a line last.
func inLineOrder(stages []Stage, lines []Line) []Stage {
	place := func(s Stage) int {
		if i := slices.IndexFunc(lines, func(l Line) bool { return l.of(s) }); i >= 0 {
			return i
		}
		return len(lines)
	}
	slices.SortStableFunc(stages, func(a, b Stage) int { return cmp.Compare(place(a), place(b)) })
	return stages
}

// says is the probability of any word of the groups; the optima that are no
// chains are not asked.
func says(w *sim.World, s Stage, groups []string) *float64 {
	var p float64
	switch pi := s.Speaker.(type) {
	case *policy.Chain:
		p = w.Says(pi, groups...)
	case *policy.Optimum:
		p = w.Says(&pi.Chain, groups...)
	default:
		return nil
	}
	return &p
}

// Markdown is summary.md: the tables and what the stages say.
func (r *Run) Markdown() string {
	var b strings.Builder
	e := r.Experiment
	fmt.Fprintf(&b, "# %s\n\n", e.Title)
	if e.Question != "" {
		fmt.Fprintf(&b, "%s\n\n", e.Question)
	}
	all, err := r.Summaries()
	if err != nil {
		return b.String() + err.Error() + "\n"
	}
	if len(all) > maxTalking {
		fmt.Fprintf(&b, "%s\n\n%s\n", r.overview(all).RenderMarkdown(), all[0].caption())
		return b.String()
	}
	for i, s := range all {
		if len(e.Swept) > 0 {
			fmt.Fprintf(&b, "## %s\n\n", e.Points[i].title(e.Swept))
		}
		fmt.Fprintf(&b, "%s\n\n%s\n\n%s\n\n%s\n", s.table(e).RenderMarkdown(), s.caption(), s.legend(e.Seeds[0]), s.peak())
		if gap := r.gapMarkdown(i); gap != "" {
			b.WriteString("\n" + gap)
		}
		for _, said := range s.Says {
			fmt.Fprintf(&b, "\n**“%s”** (seed %d)\n\n", said.Prompt, e.Seeds[0])
			for _, a := range said.Stages {
				fmt.Fprintf(&b, "- %s: %s\n", a.Stage, a.String())
			}
		}
		b.WriteString("\n")
	}
	b.WriteString(r.claimsMarkdown())
	return b.String()
}

// title is "labels.rankings = 50, …".
func (p Point) title(swept []string) string {
	var parts []string
	for i, name := range swept {
		parts = append(parts, name+" = "+p.Values[i])
	}
	return strings.Join(parts, ", ")
}

func (s Summary) caption() string {
	least := s.Seeds
	for _, l := range s.Lines {
		if l.Gold.N > 0 {
			least = min(least, l.Gold.N)
		}
	}
	n := fmt.Sprintf("mean [95 %% bootstrap interval] over %s", plural(s.Seeds, "seed"))
	if least < s.Seeds { // cells are missing
		n = fmt.Sprintf("mean [95 %% bootstrap interval] over %d to %d seeds", least, s.Seeds)
	}
	if s.Seeds == 1 {
		n = "one seed, so no intervals"
	}
	if slices.ContainsFunc(s.Lines, func(l Line) bool { return l.Estimated }) {
		return n + "; exact, but for accuracies and win rates (≈): this world's win rates are estimated from samples"
	}
	return n + "; exact, not sampled, but for the judge's accuracies"
}

// legend explains the columns that no header can.
func (s Summary) legend(seed uint64) string {
	text := "of J*: how much of the way from SFT to the best possible proxy − β KL"
	if slices.ContainsFunc(s.Lines, func(l Line) bool { return l.SFTIsBest }) {
		text += " (–: SFT is the best possible, but for a millionth of a nat)"
	}
	if s.Ranked {
		text += "; the arms stand in the order of ranking.md"
	}
	if len(s.Disliked) > 0 {
		text += fmt.Sprintf("; says …: in seed %d", seed)
	}
	return text
}

// peak says from where on a better optimiser of the proxy does harm.
func (s Summary) peak() string {
	text := fmt.Sprintf("the proxy's own optimum starts to hurt at β < %.2f, KL > %.2f nats", s.PeakBeta.Mean, s.PeakKL.Mean)
	if s.BestOfN != "" {
		text += "\n" + s.BestOfN
	}
	if s.Lacking != "" {
		text += "\ncells failed: " + s.Lacking
	}
	return text
}

// table is the summary's rows as text; Render and RenderMarkdown print it.
func (s Summary) table(e *Experiment) pretty.Writer {
	t := plainTable()
	unwanted := "says " + strings.Join(s.Disliked, "/")
	head := pretty.Row{"", "gold reward", "proxy reward", "KL, nats", "win rate", "of J*"}
	if len(s.Disliked) > 0 {
		head = append(head, unwanted)
	}
	t.AppendHeader(head)
	for _, l := range s.Lines {
		won := rate(l.WinRate)
		if l.Estimated {
			won = "≈ " + won
		}
		row := pretty.Row{l.Label, two(l.Gold), two(l.Proxy), mean2(l.KL), won, l.ofJStar()}
		if len(s.Disliked) > 0 {
			said := ""
			if l.Disliked != nil {
				said = share(*l.Disliked)
			}
			row = append(row, said)
		}
		t.AppendRow(row)
	}
	return t
}

// overview is one line for each point and arm of a large sweep.
func (r *Run) overview(all []Summary) pretty.Writer {
	t := plainTable()
	head := pretty.Row{}
	for _, name := range r.Experiment.Swept {
		head = append(head, name)
	}
	t.AppendHeader(append(head, "", "gold reward", "proxy reward", "KL, nats", "win rate", "of J*"))
	for i, s := range all {
		for _, l := range s.Lines {
			if l.Arm == "" {
				continue
			}
			row := pretty.Row{}
			for _, v := range r.Experiment.Points[i].Values {
				row = append(row, v)
			}
			t.AppendRow(append(row, l.Label, two(l.Gold), two(l.Proxy), mean2(l.KL), rate(l.WinRate), l.ofJStar()))
		}
	}
	return t
}

// plainTable has columns and no lines.
func plainTable() pretty.Writer {
	t := pretty.NewWriter()
	style := pretty.StyleLight
	style.Options = pretty.OptionsNoBordersAndSeparators
	style.Format.Header = prettytext.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "   "
	t.SetStyle(style)
	return t
}

func two(i stats.Interval) string {
	if i.N == 0 {
		return ""
	}
	if i.Low == i.High {
		return signed(i.Mean)
	}
	return fmt.Sprintf("%s [%s, %s]", signed(i.Mean), signed(i.Low), signed(i.High))
}

func mean2(i stats.Interval) string {
	if i.N == 0 {
		return ""
	}
	return signed(i.Mean)
}

func rate(i stats.Interval) string {
	if i.N == 0 {
		return ""
	}
	return minus(unsignedZero(fmt.Sprintf("%.1f", 100*i.Mean))) + " %"
}

// Text is the summary for a terminal.
func (r *Run) Text(all []Summary) string {
	var b strings.Builder
	e := r.Experiment
	if len(all) > maxTalking {
		fmt.Fprintf(&b, "%s\n%s\n", trimRight(r.overview(all).Render()), all[0].caption())
		return b.String()
	}
	for i, s := range all {
		p := e.Points[i]
		if i > 0 {
			b.WriteByte('\n')
		}
		if len(e.Swept) > 0 {
			fmt.Fprintf(&b, "%s\n", p.title(e.Swept))
		}
		c := p.Config
		fmt.Fprintf(&b, "0 base     %-38s %s\n", plural(c.Base.Lines, "line")+" of raw text", s.loss("base"))
		fmt.Fprintf(&b, "1 SFT      %-38s %s\n", plural(c.SFT.Size(), "demonstration"), s.loss("sft"))
		fmt.Fprintf(&b, "2 reward   %-38s %s; two raters agree on %.1f %%)\n",
			fmt.Sprintf("%s of %s", plural(c.Labels.Rankings, "ranking"), plural(c.Labels.ResponsesPerRanking, "answer")), s.accuracy(), 100*s.Agreement.Mean)
		fmt.Fprintf(&b, "3 policy   β = %s\n\n%s\n%s\n", number(s.Beta), trimRight(s.table(e).Render()), s.caption())
		if i == 0 {
			fmt.Fprintf(&b, "%s\n", s.legend(e.Seeds[0]))
		}
		fmt.Fprintf(&b, "%s\n", s.peak())
		if len(e.Swept) > 0 && i < len(all)-1 {
			continue // the sentences once, for the last point
		}
		for k, said := range s.Says {
			if k > 0 && len(s.Lines) > maxSaying {
				break // a page of it is enough; summary.md has the rest
			}
			fmt.Fprintf(&b, "\n“%s” (seed %d)\n%s", said.Prompt, e.Seeds[0], said.lines())
		}
	}
	return b.String()
}

// accuracy is the judge's, on held-out rankings; the caller closes the bracket.
func (s Summary) accuracy() string {
	if s.Accuracy.N == 0 {
		return "accuracy unknown (" + onlyTies
	}
	return fmt.Sprintf("accuracy %.1f %% (a perfect judge %.1f %%", 100*s.Accuracy.Mean, 100*s.Ceiling.Mean)
}

// onlyTies says why a judge's accuracy is not known.
const onlyTies = "only ties were held out"

func (s Summary) loss(stage string) string {
	loss, trained := s.Loss[stage]
	if !trained {
		return "not trained"
	}
	return fmt.Sprintf("loss %.2f → %.2f", loss[0], loss[1])
}

// trimRight takes the padding off the ends of a table's lines.
func trimRight(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func (s Saying) lines() string {
	width := 0
	for _, a := range s.Stages {
		width = max(width, len([]rune(a.Stage)))
	}
	var b strings.Builder
	for _, a := range s.Stages {
		fmt.Fprintf(&b, "  %s%s   %s\n", a.Stage, strings.Repeat(" ", width-len([]rune(a.Stage))), a.String())
	}
	return b.String()
}

// String is "restart it 12 % · duh 2 %".
func (a Answer) String() string {
	var parts []string
	for _, r := range a.Responses {
		parts = append(parts, r.Text+" "+share(r.Probability))
	}
	return strings.Join(parts, " · ")
}

// saying asks the stages for their n most likely responses to prompt x.
func saying(w *sim.World, stages []Stage, x, n int) Saying {
	s := Saying{Prompt: w.Prompts[x]}
	for _, stage := range stages {
		a := Answer{Stage: stage.Label}
		for _, l := range stage.MostLikely(prompt(x), n) {
			a.Responses = append(a.Responses, Response{Text: w.Text(l.Response), Probability: num.Exp(l.LogProb), Gold: w.Value(prompt(x), l.Response)})
		}
		s.Stages = append(s.Stages, a)
	}
	return s
}
