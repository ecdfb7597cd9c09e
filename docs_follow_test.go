package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// block is a fenced piece of a page: its language, the file it is to be saved as
// ("+NAME": added to it), and its text.
type block struct{ language, file, text string }

func blocks(page string) (out []block) {
	var b *block
	for line := range strings.Lines(page) {
		info, fence := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		switch {
		case fence && b != nil:
			out = append(out, *b)
			b = nil
		case fence:
			b = new(block)
			b.language, b.file, _ = strings.Cut(info, " ")
		case b != nil:
			b.text += line
		}
	}
	return out
}

// follow does in an empty folder what a page says: saves the blocks that name a
// file, runs those in sh, and looks for every line of the block without a
// language behind them in what they printed.
func follow(t *testing.T, path string) {
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	printed, ran := "", 0
	for _, b := range blocks(string(page)) {
		switch {
		case b.file != "":
			name, add := strings.CutPrefix(b.file, "+")
			old, err := os.ReadFile(filepath.Join(dir, name))
			if add != (err == nil) {
				t.Errorf("the block of %s: is it a new file or not? %v", b.file, err)
			}
			if !add {
				old = nil
			}
			if err := os.WriteFile(filepath.Join(dir, name), append(old, b.text...), 0o666); err != nil {
				t.Fatal(err)
			}
		case b.language == "sh":
			printed = ""
			for _, line := range commands(b.text) {
				ran++
				c := exec.Command("sh", "-c", line)
				c.Dir = dir
				out, err := c.CombinedOutput()
				if printed += string(out); err != nil {
					t.Errorf("%s: %v\n%s", line, err, out)
				}
			}
		case b.language == "" && ran > 0:
			have := map[string]bool{}
			for line := range strings.Lines(printed) {
				have[strings.TrimSpace(line)] = true
			}
			for line := range strings.Lines(b.text) {
				if line = strings.TrimSpace(line); line != "..." && line != "" && !have[line] {
					t.Errorf("the page shows a line that was not printed:\n  %s\nprinted:\n%s", line, printed)
				}
			}
		}
	}
	if ran == 0 {
		t.Error("the page has no command")
	}
}

// commands are the lines of a block in sh, in the words of an installed program,
// without remarks; those about other programs, or about getting this one, are not
// for a test.
func commands(text string) (out []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		line = strings.ReplaceAll(strings.TrimSpace(line), "go run . ", "rlhfsim ")
		if line != "" && line[0] != '#' && !strings.HasPrefix(line, "go ") && !strings.HasPrefix(line, "git ") && !strings.HasPrefix(line, "cd ") {
			out = append(out, line)
		}
	}
	return out
}

// What the pages tell to type works, and prints what they show. Those that take
// more than a few seconds: where DOCS=all.
func TestThePagesCanBeFollowed(t *testing.T) {
	if testing.Short() {
		t.Skip("runs experiments")
	}
	pages := []string{"docs/how-to/own-world.md", "docs/how-to/compare-arms.md"}
	if os.Getenv("DOCS") == "all" {
		pages = append(pages, "docs/how-to/try-a-method.md", "docs/how-to/compare-and-sweep.md", "docs/how-to/write-a-claim.md", "docs/tutorial.md", "README.md")
	}
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) { follow(t, page) })
	}
}

func TestBlocks(t *testing.T) {
	got := blocks("a\n```toml x.toml\nb\n\n```\n```sh\nc # d\n# e\ngo run . list\n```\n")
	if fmt.Sprint(got) != "[{toml x.toml b\n\n} {sh  c # d\n# e\ngo run . list\n}]" {
		t.Errorf("%q", got)
	}
	if c := commands(got[1].text); fmt.Sprint(c) != "[c rlhfsim list]" {
		t.Errorf("%q", c)
	}
}
