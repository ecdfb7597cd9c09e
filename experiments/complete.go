package experiments

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Completion is a word that a shell may offer, and what it means.
type Completion struct{ Word, Description string }

// CompleteNames offers the experiments that come with the program.
func CompleteNames() []Completion {
	all, _ := List() // what does not load is not offered
	var out []Completion
	for _, i := range all {
		out = append(out, Completion{i.Name, i.Question})
	}
	return out
}

// CompleteSettings offers `key=` for every field that a command line can set,
// and where the word begins so, every field that [grid] can sweep.
func CompleteSettings(word string) []Completion {
	prefix := ""
	if strings.HasPrefix(word, "grid.") {
		prefix = "grid."
	}
	var out []Completion
	for _, f := range fields() {
		if !f.IsTable && strings.Count(f.Path, ".") == 1 {
			out = append(out, Completion{prefix + f.Path + "=", fieldDocs[f.Path].Doc})
		}
	}
	if prefix != "" {
		return out
	}
	for _, path := range []string{"seeds", "name", "title", "output.dir"} {
		out = append(out, Completion{path + "=", fileDocs[path].Doc})
	}
	return append(out, Completion{"grid.", fileDocs["grid"].Doc})
}

// CompleteRuns offers the folders of finished runs, below runs/ or where the
// word points.
func CompleteRuns(word string) []Completion {
	parent := "runs"
	if folder := filepath.Dir(word); folder != "." {
		parent = folder
	}
	entries, _ := os.ReadDir(parent) // a folder that is not there offers nothing
	var out []Completion
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		if _, err := os.Stat(filepath.Join(path, "run.json")); err == nil {
			out = append(out, Completion{path, runTitle(path)})
		}
	}
	return out
}

// runTitle is the title of a run's experiment, "" where it cannot be read.
func runTitle(dir string) string {
	e, err := Load(filepath.Join(dir, "resolved.toml"), nil)
	if err != nil {
		return ""
	}
	return e.Title
}

// CompleteSwept offers `field=` for every swept field of a run, with its values
// as the description: bash takes = for the end of a word, so they cannot be
// offered themselves.
func CompleteSwept(dir string) []Completion {
	e, err := Load(filepath.Join(dir, "resolved.toml"), nil)
	if err != nil {
		return nil
	}
	var out []Completion
	for i, field := range e.Swept {
		var values []string
		for _, p := range e.Points {
			if !slices.Contains(values, p.Values[i]) {
				values = append(values, p.Values[i])
			}
		}
		out = append(out, Completion{field + "=", strings.Join(values, ", ")})
	}
	return out
}

// CompleteTerms offers every term that can be explained.
func CompleteTerms() []Completion {
	var out []Completion
	seen := map[string]bool{}
	for _, t := range topics() {
		if !seen[t.Term] {
			seen[t.Term] = true
			out = append(out, Completion{t.Term, t.Kind})
		}
	}
	return out
}
