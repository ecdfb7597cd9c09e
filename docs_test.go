package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rlhfsim/internal/generated"
)

// The page of commands says what the commands' own help says.
func TestCommandsPage(t *testing.T) {
	root := (&cli{stdout: io.Discard, stderr: io.Discard}).root()
	var b strings.Builder
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "completion" && c.Name() != "help" {
			command(&b, c)
		}
	}
	generated.Check(t, "docs/reference/commands.md", "commands", b.String())
}

func command(b *strings.Builder, c *cobra.Command) {
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(b, "## %s\n\n```\n%s\n```\n\n%s\n\n", c.Name(), c.UseLine(), text)
	rows := 0
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		if rows == 0 {
			b.WriteString("| flag | default | meaning |\n| --- | --- | --- |\n")
		}
		rows++
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		value := f.DefValue
		switch {
		case f.Name == "jobs":
			value = "the processors"
		case value == "false" || value == "0":
			value = ""
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, value, f.Usage)
	})
	if rows > 0 {
		b.WriteByte('\n')
	}
	if c.Example != "" {
		fmt.Fprintf(b, "```\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
}
