package experiments

import (
	"fmt"
	"strings"

	"rlhfsim/internal/field"
)

// Info is what `list` says of an experiment.
type Info struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Question string `json:"question"`
}

// List describes the experiments that come with the program.
func List() ([]Info, error) {
	var out []Info
	for _, name := range Embedded() {
		e, err := Load(name, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, Info{name, e.Title, e.Question})
	}
	return out, nil
}

// ListText is List for a terminal.
func ListText(all []Info) string {
	width := 0
	for _, i := range all {
		width = max(width, len(i.Name))
	}
	var b strings.Builder
	for _, i := range all {
		fmt.Fprintf(&b, "%-*s  %s\n", width, i.Name, i.Question)
	}
	return b.String()
}

// Nearest is the known name that was probably meant, "" when none is near.
func Nearest(name string, known []string) string { return field.Nearest(name, known) }
