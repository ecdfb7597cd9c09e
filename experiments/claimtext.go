package experiments

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/internal/stats"
)

// title is the claim's sentence with the swept fields it leaves open.
func (v Verdict) title(swept []string) string {
	var open []string
	for _, field := range swept {
		if value, is := v.At[field]; is {
			open = append(open, field+" = "+value)
		}
	}
	if open == nil {
		return v.Says
	}
	return v.Says + " (" + strings.Join(open, ", ") + ")"
}

// why is what an undecided verdict lacks.
func (v Verdict) why() string {
	switch {
	case v.Verdict != undecided:
		return ""
	case v.Note != "":
		return v.Note
	case v.SeedsNeeded == 0:
		return fmt.Sprintf("more than %d seeds needed", maxSeeds)
	}
	return fmt.Sprintf("about %d seeds needed", v.SeedsNeeded)
}

// numbers are the difference and its interval, to three digits, and the margin.
func (v Verdict) numbers() string {
	if v.Difference.N == 0 {
		return ""
	}
	text := three(v.Difference.Mean)
	if v.Difference.N > 1 {
		text += fmt.Sprintf(" [%s, %s]", three(v.Difference.Low), three(v.Difference.High))
	}
	if v.By > 0 {
		text += fmt.Sprintf(", margin %v", v.By)
	}
	return text
}

// three prints three significant digits, more before the point where there are.
func three(x float64) string {
	digits := 0
	if x != 0 {
		digits = min(max(0, 2-int(math.Floor(math.Log10(math.Abs(x))))), 9)
	}
	return strings.ReplaceAll(strconv.FormatFloat(x, 'f', digits, 64), "-", "−")
}

// line is the claim with its numbers and what it lacks.
func (v Verdict) line(swept []string) string {
	text := v.title(swept)
	if n := v.numbers(); n != "" {
		text += ": " + n
	}
	if why := v.why(); why != "" {
		text += " (" + why + ")"
	}
	return text
}

// claimsText is the claims' block of the terminal summary.
func (r *Run) claimsText(all []Verdict) string {
	if len(all) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nclaims (difference [95 %% bootstrap interval], %s)\n", plural(len(r.Experiment.Seeds), "seed"))
	for _, v := range all {
		fmt.Fprintf(&b, "  %-9s  %s\n", v.Verdict, v.line(r.Experiment.Swept))
	}
	return b.String()
}

// claimsMarkdown is the Claims section of summary.md.
func (r *Run) claimsMarkdown() string {
	all := r.Verdicts()
	if len(all) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## Claims\n\nThe difference (or the size of the trend) is a mean over seeds, with a 95 %% bootstrap interval.\n\n")
	fmt.Fprintf(&b, "| verdict | claim | difference | remark |\n| --- | --- | --- | --- |\n")
	for _, v := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.Verdict, strings.ReplaceAll(v.title(r.Experiment.Swept), "|", "\\|"), v.numbers(), v.why())
	}
	return b.String() + "\n"
}

// claimsCSV has one row for each claim and each combination of the swept fields
// that it leaves open.
func (r *Run) claimsCSV() []byte {
	swept := r.Experiment.Swept
	head := append([]string{"claim"}, swept...)
	lines := [][]string{append(head, "says", "metric", "verdict", "n", "difference", "ci_low", "ci_high", "by", "seeds_needed", "note")}
	for _, v := range r.Verdicts() {
		line := []string{strconv.Itoa(v.Claim)}
		for _, field := range swept {
			line = append(line, v.At[field])
		}
		line = append(line, v.Says, v.Metric, v.Verdict, strconv.Itoa(v.Difference.N))
		line = append(line, intervalCells(v.Difference)...)
		lines = append(lines, append(line, number(v.By), orNothing(v.SeedsNeeded), v.Note))
	}
	return writeCSV(lines)
}

func intervalCells(i stats.Interval) []string {
	if i.N == 0 {
		return []string{"", "", ""}
	}
	return []string{number(i.Mean), number(i.Low), number(i.High)}
}

func orNothing(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// check is --check-claims: it names what fails and what is open on stderr, and
// is ErrClaims where a claim fails. A claim that is undecided is no failure: more
// seeds may decide it either way.
func (r *Run) check(all []Verdict, stderr io.Writer, quiet bool) error {
	for _, v := range all {
		switch v.Verdict {
		case fails:
			fmt.Fprintf(stderr, "error: a claim fails: %s\n", v.line(r.Experiment.Swept))
		case undecided:
			if quiet {
				continue
			}
			fmt.Fprintf(stderr, "warning: a claim is undecided: %s\n", v.line(r.Experiment.Swept))
		}
	}
	if slices.ContainsFunc(all, func(v Verdict) bool { return v.Verdict == fails }) {
		return ErrClaims
	}
	return nil
}
