package experiments

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"rlhfsim/internal/atomicfile"
)

// changed are the fields that people change first.
var changed = []string{"objective.beta", "labels.rankings", "labels.label_noise", "ppo.cliprange", "ppo.num_ppo_epochs", "dpo.learning_rate", "dpo.num_train_epochs"}

// New writes a small experiment file that extends another one: what it extends,
// and the fields that people change first, commented out at their values.
func New(path, from string) error {
	if _, err := os.Lstat(path); err == nil {
		return Usage(fmt.Sprintf("%s is there already; choose another name", path))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Usage(fmt.Sprintf("cannot write %s: %v", path, reason(err)))
	}
	if filepath.Ext(path) != ".toml" {
		return Usage(fmt.Sprintf("an experiment file ends in .toml: write %s.toml", path))
	}
	e, err := Load(from, nil)
	if err != nil {
		return err
	}
	parent := from
	if _, err := Show(from); err != nil { // a path, relative to the new file
		absolute, err := filepath.Abs(from)
		if err != nil {
			return err
		}
		folder, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			return err
		}
		if parent, err = filepath.Rel(folder, absolute); err != nil {
			parent = absolute
		}
		if parent = filepath.ToSlash(parent); !strings.Contains(parent, "/") {
			parent = "./" + parent
		}
	}
	if err := atomicfile.Write(path, e.child(parent)); err != nil {
		return Usage(fmt.Sprintf("cannot write %s: %v", path, reason(err)))
	}
	return nil
}

func (e *Experiment) child(parent string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `# Everything that is not written here is as in %s.
# rlhfsim check FILE   what would run, what differs, and what is best possible
# rlhfsim run FILE     run it

format   = 1
extends  = %s
title    = %s
question = "What do you want to know?"

# Take the # off what you want to change.
`, parent, quoted(parent), quoted(e.Title+", changed"))
	fmt.Fprintf(&b, "# %-28s # %s\n", fmt.Sprintf("seeds = %s", seedText(e.Seeds)), "a number of seeds, or a list of them")
	c := e.Points[0].Config
	for _, path := range changed {
		v := reflect.ValueOf(c)
		for _, part := range strings.Split(path, ".") {
			v, _ = fieldsOf(v).get(part)
		}
		fmt.Fprintf(&b, "# %-28s # %s\n", path+" = "+goLiteral(v), fieldDocs[path].Doc)
	}
	b.WriteString(`
# Several values at once: every combination, with every seed.
# [grid]
# labels.rankings = [100, 400, 1600]
`)
	return []byte(b.String())
}
