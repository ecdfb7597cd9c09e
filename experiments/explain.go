package experiments

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"rlhfsim/internal/field"
)

// How well a topic answers to a term, best first.
const (
	byName    = iota // it is called that
	byAlias          // it is also called that
	byPart           // the last part of its name: `cliprange` of ppo.cliprange
	byForeign        // others call it that
	noMatch
)

// Explanation is what there is to say of a term.
type Explanation struct {
	Topics []Topic `json:"topics"`
	Other  []Topic `json:"other,omitempty"` // further meanings, less likely meant
	Note   string  `json:"note,omitempty"`
}

// Explain looks a term up; its error suggests what was probably meant.
func Explain(term string) (Explanation, error) {
	term = strings.TrimSpace(strings.Trim(term, "`\"'"))
	all := topics()
	best := noMatch
	levels := make([]int, len(all))
	for i, t := range all {
		levels[i] = t.answers(term)
		best = min(best, levels[i])
	}
	if best == noMatch {
		return Explanation{}, unknownTerm(term, all)
	}
	var e Explanation
	for i, t := range all {
		switch {
		case levels[i] == best:
			e.Topics = append(e.Topics, t)
		case levels[i] < noMatch:
			e.Other = append(e.Other, t)
		}
	}
	if best == byForeign {
		e.Note = fmt.Sprintf("`%s` is another system's name; here it is called:", term)
	}
	return e, nil
}

// answers says how well the topic's names fit a term.
func (t Topic) answers(term string) int {
	same := func(name string) bool { return strings.EqualFold(name, term) || field.Alike(name, term) }
	part := func(name string) bool { return name != t.Term && same(name) }
	switch {
	case same(t.Term) || t.Kind == kindMetric && metricDoc{Name: t.Term}.matches(term):
		return byName
	case t.Kind != kindField && slices.ContainsFunc(t.also, same), slices.ContainsFunc(t.named, same):
		return byAlias
	case t.Kind == kindField && part(lastPart(t.Term, ".")) || t.Kind == kindMetric && part(lastPart(t.Term, "/")):
		return byPart
	}
	section, name, dotted := cutLast(term)
	parent, _, _ := cutLast(t.Term)
	if slices.ContainsFunc(t.foreign, same) || t.Kind == kindField && dotted && section == parent && slices.Contains(t.foreign, name) {
		return byForeign
	}
	return noMatch
}

func lastPart(name, separator string) string {
	return name[strings.LastIndex(name, separator)+len(separator):]
}

// unknownTerm names the nearest terms, or those that hold the word.
func unknownTerm(term string, all []Topic) error {
	var names []string
	for _, t := range all {
		names = append(names, t.Term)
		names = append(append(names, t.also...), t.named...)
		if t.Kind == kindMetric {
			names = append(names, lastPart(t.Term, "/"))
		}
	}
	for _, t := range all {
		names = append(names, t.foreign...)
	}
	near := field.NearestFew(term, names, 3)
	if len(near) == 0 && len(term) >= 3 {
		for _, name := range names {
			if strings.Contains(strings.ToLower(name), strings.ToLower(term)) && len(near) < 5 && !slices.Contains(near, name) {
				near = append(near, name)
			}
		}
	}
	if len(near) == 0 {
		return fmt.Errorf("nothing here is called %q; `rlhfsim explain` lists everything that can be explained", term)
	}
	return fmt.Errorf("nothing here is called %q; did you mean %s?", term, strings.Join(near, ", "))
}

// The width of explanations on a terminal, and the most that are shown in full.
const (
	explainWidth = 92
	explainFull  = 3
)

// Text is an explanation for a terminal.
func (e Explanation) Text() string {
	var b strings.Builder
	if e.Note != "" {
		b.WriteString(e.Note + "\n\n")
	}
	short := e.Other
	if len(e.Topics) > explainFull {
		short = append(slices.Clone(e.Topics), short...)
	} else {
		for i, t := range e.Topics {
			if i > 0 {
				b.WriteByte('\n')
			}
			t.text(&b)
		}
		if len(short) > 0 {
			b.WriteString("\nalso\n")
		}
	}
	width := 0
	for _, t := range short {
		width = max(width, utf8.RuneCountInString(t.Term))
	}
	for _, t := range short {
		first, _, _ := strings.Cut(t.Meaning, ". ")
		fmt.Fprintf(&b, "  %-*s  %s\n", width, t.Term, wrapped(fmt.Sprintf("(%s) %s.", t.Kind, strings.TrimSuffix(first, ".")), width+4))
	}
	return b.String()
}

// text writes one topic in full.
func (t Topic) text(b *strings.Builder) {
	fmt.Fprintf(b, "%s  (%s)\n  %s\n\n", t.Term, t.Kind, wrapped(t.Meaning, 2))
	for _, line := range []struct{ label, text string }{
		{"formula", t.Formula}, {"unit", t.Unit}, {"stages", strings.Join(t.Stages, ", ")},
		{"type", t.Type}, {"default", t.Default}, {"allowed", t.Allowed}, {"used by", t.UsedBy},
		{"elsewhere", t.Elsewhere}, {"differs", t.Differs}, {"exact", t.Exact}, {"source", t.Source}, {"see also", strings.Join(t.See, ", ")},
	} {
		if line.text != "" {
			fmt.Fprintf(b, "  %-10s %s\n", line.label, wrapped(line.text, 13))
		}
	}
	for _, block := range []struct{ label, text string }{{"wrong", t.Example}, {"right", t.Fixed}} {
		if block.text != "" {
			fmt.Fprintf(b, "  %s\n      %s\n", block.label, strings.ReplaceAll(strings.TrimSpace(block.text), "\n", "\n      "))
		}
	}
}

// wrapped breaks a text into lines; those after the first are indented.
func wrapped(text string, indent int) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > explainWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// IndexEntry is one line of the index of all topics.
type IndexEntry struct {
	Term string `json:"term"`
	Kind string `json:"kind"`
}

// Index lists everything that can be explained, by kind; a term that has several
// meanings of one kind comes once.
func Index() []IndexEntry {
	var out []IndexEntry
	for _, t := range topics() {
		if e := (IndexEntry{t.Term, t.Kind}); !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b IndexEntry) int {
		return cmp.Compare(slices.Index(topicKinds, a.Kind), slices.Index(topicKinds, b.Kind))
	})
	return out
}

// IndexText is the index for a terminal.
func IndexText(all []IndexEntry) string {
	var b strings.Builder
	for _, kind := range topicKinds {
		var names []string
		for _, e := range all {
			if e.Kind == kind {
				names = append(names, strings.ReplaceAll(e.Term, " ", "\x00")) // terms are not broken
			}
		}
		if len(names) == 0 {
			continue
		}
		lines := wrapped(strings.Join(names, ", "), 2)
		fmt.Fprintf(&b, "%ss\n  %s\n\n", kind, strings.ReplaceAll(lines, "\x00", " "))
	}
	b.WriteString("`rlhfsim explain TERM` says more; other libraries' names work too.\n")
	return b.String()
}
