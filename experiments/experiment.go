// Package experiments turns experiment files into results: it reads and checks
// TOML, runs arms × grid × seeds, and writes tables, figures and policies.
package experiments

import (
	"fmt"

	"rlhfsim/sim"
)

// Experiment is a file that was read, checked and spread out into its points.
type Experiment struct {
	Name, Title, Question string
	Source                []byte   // the file as written
	Resolved              []byte   // every field, itself a valid experiment file
	Seeds                 []uint64 // one cell for each, at each point and arm
	Swept                 []string // dotted names of the fields that differ between points
	Points                []Point  // variants × grid, at least one
	Claims                []Claim  // what the file says will come out
	OutputDir             string
	Changed               []Change
	Figures               []FigureSpec // besides those that every run has
	Notice                string       // what is no mistake, and yet worth a word; else ""
}

// Point is one combination of swept values.
type Point struct {
	Values []string   // as printed, one for each of Swept
	Config sim.Config // without what arms change
	Arms   []Arm
}

// Arm is one method at a point.
type Arm struct {
	Name   string // letters, digits, '.', '_', '-': it names files
	Label  string // for figures and tables
	Method string
	Config sim.Config // the point's, with the arm's own fields
}

// Change is a field that an experiment sets itself: on the command line, in an
// arm, or in a file that extends another.
type Change struct {
	Path  string
	Was   string // what it was without, "" where it had no value
	Value string
	From  string // "chapter.toml:12" or "command line"
}

// Cells is the number of cells: for each point and seed the shared stages, and
// every arm.
func (e *Experiment) Cells() int {
	n := 0
	for _, p := range e.Points {
		n += len(e.Seeds) * (1 + len(p.Arms))
	}
	return n
}

// Size is the experiment's size in words.
func (e *Experiment) Size() string {
	size := plural(e.Cells(), "cell") + " ("
	if len(e.Points) > 1 {
		size += plural(len(e.Points), "point") + ", "
	}
	return size + plural(len(e.Points[0].Arms), "arm") + ", " + plural(len(e.Seeds), "seed") + ")"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
