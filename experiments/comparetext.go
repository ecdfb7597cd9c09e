package experiments

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	pretty "github.com/jedib0t/go-pretty/v6/table"

	"rlhfsim/internal/figure"
)

// sentence says what an interval allows: above, below, or undecided.
func (k Contrast) sentence(a, b, what, where string) string {
	d := k.Difference
	if k.Metric == "exact/gold_reward" || k.Metric == "exact/proxy_reward" {
		what = strings.TrimSuffix(strings.TrimPrefix(k.Metric, "exact/"), "_reward")
	}
	least, most := min(math.Abs(d.Low), math.Abs(d.High)), max(math.Abs(d.Low), math.Abs(d.High))
	signed := func(v float64) string { return minus(unsignedZero(fmt.Sprintf("%.*f", digits(least), v))) }
	size := fmt.Sprintf("%s [%s, %s]", signed(math.Abs(d.Mean)), signed(least), signed(most))
	switch {
	case d.N < 2:
		return fmt.Sprintf("%s: %s's %s is %s, %s's %s; one seed says nothing about others", where, a, what, signed(k.A), b, signed(k.B))
	case d.Low > 0:
		return fmt.Sprintf("%s: %s's %s is %s above %s's", where, a, what, size, b)
	case d.High < 0:
		return fmt.Sprintf("%s: %s's %s is %s below %s's", where, a, what, size, b)
	case d.Low == 0 && d.High == 0:
		return fmt.Sprintf("%s: %s and %s have the same %s", where, a, b, what)
	}
	text := fmt.Sprintf("%s: undecided, the difference in %s is %s [%s, %s]", where, what, signed(d.Mean), signed(d.Low), signed(d.High))
	if k.Needed > 0 && k.Needed < 1e6 {
		text += fmt.Sprintf("; about %s would show a difference of this size", plural(max(k.Needed, d.N+1), "seed"))
	}
	return text
}

// digits are enough for a bound that is not 0 not to be printed as 0.
func digits(bound float64) int {
	n := 2
	for limit := 0.005; n < 6 && bound > 0 && bound < limit; limit /= 10 {
		n++
	}
	return n
}

// verdict never claims more than the intervals.
func (c *Comparison) verdict() string {
	first := c.End[0]
	for _, k := range c.End {
		if k.Metric == "exact/gold_reward" {
			first = k
		}
	}
	parts := []string{first.sentence(c.A, c.B, first.Metric, "at the end")}
	if c.EqualKL != nil {
		parts = append(parts, c.EqualKL.Gold.sentence(c.A, c.B, "gold", fmt.Sprintf("at KL %s", number(c.EqualKL.KL))))
	}
	return strings.Join(parts, "\n")
}

// CompareText is the comparisons for a terminal.
func CompareText(all []Comparison) string {
	var b strings.Builder
	for i, c := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s\n%s\n%s\n%s\n", c.title(), c.head(), trimRight(c.table().Render()), c.foot())
	}
	return b.String()
}

// CompareMarkdown is the same for a file.
func CompareMarkdown(all []Comparison) string {
	var b strings.Builder
	b.WriteString("# Comparison\n")
	for _, c := range all {
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n\n%s\n\n%s\n", c.title(), c.head(), c.table().RenderMarkdown(), strings.ReplaceAll(c.foot(), "\n", "\n\n"))
	}
	return b.String()
}

func (c Comparison) title() string {
	title := c.A + " − " + c.B
	if c.Point != "" {
		title += " (" + c.Point + ")"
	}
	return title
}

func (c Comparison) head() string {
	var b strings.Builder
	for i, d := range c.Differs {
		lead := "         "
		if i == 0 {
			lead = "differs  "
		}
		fmt.Fprintf(&b, "%s%s: %s, %s\n", lead, d.Field, d.A, d.B)
	}
	if len(c.Differs) == 0 {
		b.WriteString("differs  nothing\n")
	}
	fmt.Fprintf(&b, "same     %s\nseeds    %s", strings.Join(c.Same, ", "), c.Pairing)
	for _, gone := range c.NoCell {
		fmt.Fprintf(&b, "\nmissing  %s", gone)
	}
	return b.String()
}

func (c Comparison) foot() string {
	over := c.Statistic + " over seeds; [95 % bootstrap interval]"
	if c.End[0].Difference.N < 2 {
		over = "one seed, so no interval of a difference"
	}
	note := fmt.Sprintf("%s\nabove: probability that %s is above %s in a seed, ties half", over, c.A, c.B)
	if c.NoKL != "" {
		note += "\n" + c.NoKL
	} else {
		note += fmt.Sprintf("\nat KL %s: where each seed's training first gets that far, between its records linearly", number(c.EqualKL.KL))
	}
	if len(c.Missing) > 0 {
		note += "\nnot compared, because not both record it: " + strings.Join(c.Missing, ", ")
	}
	return note + "\n" + c.Verdict
}

func (c Comparison) contrasts() []Contrast {
	all := append([]Contrast{}, c.End...)
	if c.EqualKL != nil {
		for _, k := range []Contrast{c.EqualKL.Gold, c.EqualKL.Proxy} {
			k.Metric += " at KL " + number(c.EqualKL.KL)
			all = append(all, k)
		}
	}
	return all
}

func (c Comparison) table() pretty.Writer {
	t := plainTable()
	t.AppendHeader(pretty.Row{"", c.A, c.B, "difference", "above"})
	for _, k := range c.contrasts() {
		three := func(v float64) string { return minus(unsignedZero(fmt.Sprintf("%.3f", v))) }
		difference := three(k.Difference.Mean)
		if k.Difference.N > 1 {
			difference = fmt.Sprintf("%s [%s, %s]", difference, three(k.Difference.Low), three(k.Difference.High))
		}
		t.AppendRow(pretty.Row{k.Metric, three(k.A), three(k.B), difference, fmt.Sprintf("%.2f [%.2f, %.2f]", k.Above.Mean, k.Above.Low, k.Above.High)})
	}
	return t
}

// compareCSV has a row for each metric of each comparison.
func compareCSV(all []Comparison) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"a", "b", "point", "metric", "n", "value_a", "value_b", "difference", "ci_low", "ci_high", "p_above", "p_low", "p_high"}) // a bytes.Buffer does not fail
	for _, c := range all {
		for _, k := range c.contrasts() {
			_ = w.Write([]string{c.A, c.B, c.Point, k.Metric, strconv.Itoa(k.Difference.N), number(k.A), number(k.B), number(k.Difference.Mean), number(k.Difference.Low), number(k.Difference.High), number(k.Above.Mean), number(k.Above.Low), number(k.Above.High)})
		}
	}
	w.Flush()
	return b.Bytes()
}

// shownComparisons are drawn, a row each.
const shownComparisons = 4

// compareFigure is, for each comparison, gold over KL of the two arms, and their
// difference in gold at the end and at equal KL.
func compareFigure(all []Comparison) figure.Figure {
	more := ""
	if len(all) > shownComparisons {
		more = fmt.Sprintf(" The first %d of %d comparisons.", shownComparisons, len(all))
	}
	f := figure.Figure{Name: "compare", Title: "Comparison", Columns: 2, WidthCM: 20,
		Caption: fmt.Sprintf("Exact values. Left: as far as every seed goes. Right: differences in gold, A − B; one whose interval crosses 0 decides nothing. Bands and whiskers are 95 %% bootstrap intervals over seeds (first comparison: n = %d).%s", all[0].End[0].Difference.N, more)}
	for _, c := range all[:min(len(all), shownComparisons)] {
		curves := figure.Panel{Title: c.title(), XLabel: "KL to the SFT policy, nats", YLabel: "gold reward"}
		for i, s := range []side{c.a, c.b} {
			curve := goldOverKL(s)
			curve.Label, curve.Style = s.label, figure.Style(i)
			curves.Series = append(curves.Series, curve)
		}
		bars := figure.Panel{Title: "difference", YLabel: "gold reward, " + c.A + " − " + c.B}
		add := func(k Contrast, where string, style figure.Style) {
			bars.Bars = append(bars.Bars, figure.Bar{Label: where, Value: k.Difference.Mean, Lo: k.Difference.Low, Hi: k.Difference.High, Style: style})
		}
		for _, k := range c.End {
			if k.Metric == "exact/gold_reward" {
				add(k, "at the end", figure.Green)
			}
		}
		if c.EqualKL != nil {
			add(c.EqualKL.Gold, "at KL "+number(c.EqualKL.KL), figure.Purple)
		}
		f.Panels = append(f.Panels, curves, bars)
	}
	return f
}

// goldOverKL is an arm's gold at KLs that all its seeds reach.
func goldOverKL(s side) figure.Series {
	var out figure.Series
	least := s.reach()
	const points = 25
	for i := range points {
		kl := least * float64(i) / (points - 1)
		var values []float64
		for k := range s.run.Experiment.Seeds {
			if v, ok := atKL(s.rows(k), "exact/gold_reward", kl); ok {
				values = append(values, v)
			}
		}
		if len(values) == 0 {
			continue
		}
		at := interval(values, "gold over kl")
		out.X, out.Y, out.Lo, out.Hi = append(out.X, kl), append(out.Y, at.Mean), append(out.Lo, at.Low), append(out.Hi, at.High)
	}
	return out
}

// WriteComparison writes compare.md, .csv, .svg and .png and returns their paths.
func WriteComparison(dir string, all []Comparison) ([]string, error) {
	var paths []string
	write := func(name string, data []byte) error {
		path := filepath.Join(dir, name)
		paths = append(paths, path)
		return writeFileAt(path, data)
	}
	if err := write("compare.md", []byte(CompareMarkdown(all))); err != nil {
		return nil, err
	}
	if err := write("compare.csv", compareCSV(all)); err != nil {
		return nil, err
	}
	f := compareFigure(all)
	for _, form := range []struct {
		name string
		draw func() ([]byte, error)
	}{{"compare.svg", f.SVG}, {"compare.png", f.PNG}} {
		data, err := form.draw()
		if err != nil {
			return nil, err
		}
		if err := write(form.name, data); err != nil {
			return nil, err
		}
	}
	return paths, nil
}
