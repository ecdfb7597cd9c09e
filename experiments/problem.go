package experiments

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Code is the stable number of a kind of problem.
type Code string

// The codes of everything that can be wrong with an experiment.
const (
	codeMissing Code = "E001"
	codeSyntax  Code = "E002"
	codeSize    Code = "E003"
	codeFormat  Code = "E004"
	codeExtends Code = "E005"
	codeUnknown Code = "E012"
	codePlace   Code = "E013"
	codeType    Code = "E021"
	codeValue   Code = "E034"
	codeArm     Code = "E041"
	codeSweep   Code = "E051"
	codeData    Code = "E061"
	codeClaim   Code = "E071"
	codeFigure  Code = "E081"
)

// place is where something stands: in a file, or on the command line.
type place struct {
	file      string // display name; "command line" for overrides
	line, col int    // 1-based; 0 where unknown; col counts characters
	width     int    // characters to underline
	text      string // the source line
}

// Problem is one thing that is wrong with an experiment, and how to mend it.
type Problem struct {
	Code    Code
	Message string
	Label   string   // stands under the offending text
	Notes   []string // "note: …", "help: …"
	at      place
}

// Problems is everything that is wrong, all at once; as an error it is the
// whole report.
type Problems []Problem

// Error renders the report without colour.
func (ps Problems) Error() string { return ps.Render(false) }

// Render is the report as compilers print it, problems in file order.
func (ps Problems) Render(color bool) string {
	var b strings.Builder
	for _, p := range ps {
		p.render(&b, color)
		b.WriteByte('\n')
	}
	n := "1 error"
	switch {
	case len(ps) >= maxProblems:
		n = fmt.Sprintf("%d errors or more", len(ps))
	case len(ps) != 1:
		n = fmt.Sprintf("%d errors", len(ps))
	}
	fmt.Fprintf(&b, "%s. Nothing was run. More: rlhfsim explain %s\n", n, ps[0].Code)
	return b.String()
}

func (p Problem) render(b *strings.Builder, color bool) {
	red, blue, bold, off := "\x1b[1;31m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"
	if !color {
		red, blue, bold, off = "", "", "", ""
	}
	fmt.Fprintf(b, "%serror[%s]%s: %s%s%s\n", red, p.Code, off, bold, p.Message, off)
	gutter := " "
	if p.at.line > 0 {
		number := fmt.Sprint(p.at.line)
		gutter = strings.Repeat(" ", len(number))
		fmt.Fprintf(b, "%s%s-->%s %s:%d:%d\n", gutter, blue, off, p.at.file, p.at.line, p.at.col)
		fmt.Fprintf(b, "%s%s |%s\n", gutter, blue, off)
		shown, before := p.at.window()
		fmt.Fprintf(b, "%s%s |%s %s\n", blue, number, off, shown)
		indent := strings.Map(func(r rune) rune {
			if r == '\t' {
				return r
			}
			return ' '
		}, before)
		fmt.Fprintf(b, "%s%s |%s %s%s%s%s%s\n", gutter, blue, off, indent, red, strings.Repeat("^", min(max(1, p.at.width), 50)), strings.TrimRight(" "+p.Label, " "), off)
	} else if p.at.file != "" {
		fmt.Fprintf(b, "%s%s-->%s %s%s\n", gutter, blue, off, p.at.file, spaced(p.at.text))
		if p.Label != "" {
			fmt.Fprintf(b, "%s%s =%s help: %s\n", gutter, blue, off, p.Label)
		}
	}
	for _, n := range p.Notes {
		fmt.Fprintf(b, "%s%s =%s %s\n", gutter, blue, off, n)
	}
}

// window is the source line, cut around the place where it is too long to read,
// and what stands before the place.
func (at place) window() (shown, before string) {
	const width = 100
	line := []rune(at.text)
	col := min(at.col-1, len(line))
	from := 0
	if len(line) > width && col > width/2 {
		from = col - width/2
	}
	to := min(len(line), from+width)
	before = string(line[from:col])
	shown = string(line[from:to])
	if from > 0 {
		shown, before = "…"+shown, "…"+before
	}
	if to < len(line) {
		shown += "…"
	}
	return shown, before
}

func spaced(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// reporter collects problems while a file is read.
type reporter struct{ all Problems }

// A file with more problems than these needs no complete list.
const maxProblems = 100

func (r *reporter) full() bool { return len(r.all) >= maxProblems }

func (r *reporter) add(code Code, at place, message, label string, notes ...string) {
	if r.full() {
		return
	}
	r.all = append(r.all, Problem{Code: code, Message: message, Label: label, Notes: notes, at: at})
}

// err is all problems in file order without repetitions, nil when there are none.
func (r *reporter) err() error {
	if len(r.all) == 0 {
		return nil
	}
	sorted := slices.Clone(r.all)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.col, b.at.col))
	})
	type same struct {
		at      place
		message string
	}
	seen := map[same]bool{} // a grid or several arms meet the same problem again
	return Problems(slices.DeleteFunc(sorted, func(p Problem) bool {
		again := seen[same{p.at, p.Message}]
		seen[same{p.at, p.Message}] = true
		return again
	}))
}
