package experiments

import (
	"fmt"
	"strings"
	"testing"

	"rlhfsim/internal/generated"
)

// The reference pages say what the tables say.
func TestReferencePages(t *testing.T) {
	generated.Check(t, "../docs/reference/fields.md", "fields", fieldPage())
	generated.Check(t, "../docs/reference/metrics.md", "metrics", metricPage())
	generated.Check(t, "../docs/reference/errors.md", "errors", errorPage())
	generated.Check(t, "../docs/reference/glossary.md", "glossary", glossaryPage())
	generated.Check(t, "../docs/reference/methods.md", "methods", methodPage())
}

// markdown is a table; empty cells stay empty.
func markdown(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			b.WriteString(strings.TrimRight(" "+strings.ReplaceAll(c, "|", "∣"), " ") + " |")
		}
		b.WriteByte('\n')
	}
	line(head)
	line(strings.Split(strings.TrimSuffix(strings.Repeat("---,", len(head)), ","), ","))
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

func code(text string) string {
	if text == "" || text == "required" {
		return text
	}
	return "`" + text + "`"
}

// prose is text in which a * is a star.
func prose(text string) string { return strings.ReplaceAll(text, "*", `\*`) }

func fieldPage() string {
	var b strings.Builder
	var rows [][]string
	flush := func() {
		if len(rows) > 0 {
			b.WriteString(markdown([]string{"field", "type", "default", "allowed", "meaning", "elsewhere"}, rows) + "\n")
			rows = nil
		}
	}
	for _, f := range fields() {
		doc := fieldDocs[f.Path]
		section, name, dotted := strings.Cut(f.Path, ".")
		if !dotted {
			flush()
			fmt.Fprintf(&b, "## [%s]\n\n%s\n\n", section, doc.Doc)
			continue
		}
		rows = append(rows, []string{code(name), f.Kind, code(f.Default), f.Allowed, doc.Doc, elsewhereText(f.Path)})
	}
	flush()
	return b.String()
}

func metricPage() string {
	var b strings.Builder
	table := func(title string, stages bool, hit func(d metricDoc) bool) {
		head, rows := []string{"metric", "meaning", "formula", "unit", "source"}, [][]string{}
		if stages {
			head = append(head, "stages")
		}
		for _, d := range metricDocs {
			if hit(d) {
				row := []string{code(d.Name), prose(d.Meaning), code(d.Formula), d.Unit, d.Source}
				if stages {
					row = append(row, strings.Join(d.Stages, ", "))
				}
				rows = append(rows, row)
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(&b, "## %s\n\n%s\n", title, markdown(head, rows))
		}
	}
	var rows [][]string
	for _, d := range keyDocs {
		rows = append(rows, []string{code(d.Name), prose(d.Meaning)})
	}
	rows = append(rows, []string{"swept fields", "Under their dotted names."})
	b.WriteString("## Keys\n\n" + markdown([]string{"column", "meaning"}, rows) + "\n")
	b.WriteString("π is any policy here; the stages \"arms\" are those of every method.\n\n")
	exact := func(d metricDoc) bool { return strings.HasPrefix(d.Name, "exact/") }
	estimate := func(d metricDoc) bool { return strings.HasPrefix(d.Name, "mc/") }
	table("Exact", true, exact)
	table("Estimated", true, estimate)
	trained := func(stage string) func(d metricDoc) bool {
		return func(d metricDoc) bool { return !exact(d) && !estimate(d) && d.in(stage) }
	}
	table("Training: base, sft", false, trained("sft"))
	table("Training: reward", false, trained("reward"))
	for _, section := range armSections()[1:] {
		methods := methodsOf(section)
		table("Training: "+strings.Join(methods, ", "), false, trained(methods[0]))
	}
	return b.String()
}

func errorPage() string {
	var b strings.Builder
	_, err := Load("chapter", []string{"ppo.clip_coef=0.1"})
	fmt.Fprintf(&b, "```\n$ rlhfsim run chapter ppo.clip_coef=0.1\n%v```\n\n", err)
	for _, c := range codeDocs {
		fmt.Fprintf(&b, "## %s: %s\n\n%s\n\n", c.Code, c.Title, c.Cause)
		fmt.Fprintf(&b, "```toml\n# wrong\n%s```\n\n```toml\n# right\n%s```\n\n", c.Example, c.Fixed)
	}
	return b.String()
}

func glossaryPage() string {
	var b strings.Builder
	for _, c := range glossary {
		fmt.Fprintf(&b, "**%s**", prose(c.Name))
		if len(c.Also) > 0 {
			fmt.Fprintf(&b, " (%s)", prose(strings.Join(c.Also, ", ")))
		}
		fmt.Fprintf(&b, ": %s", prose(c.Meaning))
		if c.Formula != "" {
			fmt.Fprintf(&b, " `%s`", c.Formula)
		}
		if c.Source != "" {
			fmt.Fprintf(&b, " Source: %s.", c.Source)
		}
		b.WriteString("\n\n")
	}
	return b.String()
}

// methodPage is every method and every preference loss, from the tables that
// decide: first an index, then an entry each.
func methodPage() string {
	var methods, losses []Topic
	for _, t := range topics() {
		switch t.Kind {
		case kindMethod:
			methods = append(methods, t)
		case kindLoss:
			losses = append(losses, t)
		}
	}
	var b strings.Builder
	part := func(title, about string, all []Topic) {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", title, about)
		var rows [][]string
		for _, t := range all {
			idea, _, _ := strings.Cut(t.Meaning, ". ")
			rows = append(rows, []string{fmt.Sprintf("[`%s`](#%s)", t.Term, t.Term), prose(idea)})
		}
		b.WriteString(markdown([]string{"name", "idea"}, rows) + "\n")
		for _, t := range all {
			b.WriteString(methodEntry(t))
		}
	}
	part("Methods", "`method = \"…\"` of an arm.", methods)
	part("Preference losses", "`method = \"…\"` of an arm too, or `dpo.loss_type = \"…\"` with `method = \"dpo\"`, several joined by `+` with `dpo.loss_weights`. c and r are log π/π_SFT of the chosen and the rejected response, h = c − r, "+
		"w and l their log-probabilities, σ the logistic function, ε `dpo.label_smoothing`.", losses)
	return b.String()
}

// methodEntry is what `explain` says, as a part of a page.
func methodEntry(t Topic) string {
	var b strings.Builder
	idea, rest, _ := strings.Cut(t.Meaning, ". ")
	fmt.Fprintf(&b, "### %s\n\n%s.\n\n", t.Term, prose(idea))
	if strings.HasPrefix(rest, "Its fields: ") {
		b.WriteString(prose(rest) + "\n\n")
	}
	fmt.Fprintf(&b, "    %s\n\n", t.Formula)
	for _, line := range []struct{ label, text string }{
		{"Paper", t.Source}, {"Defaults", code(t.Default)}, {"Elsewhere", t.Differs}, {"Exact check", t.Exact}, {"Also called", strings.Join(t.also[1:], ", ")},
	} {
		if line.text != "" {
			fmt.Fprintf(&b, "- %s: %s\n", line.label, line.text)
		}
	}
	return b.String() + "\n"
}
