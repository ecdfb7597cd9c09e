package experiments

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// ErrDiffers ends a verification that found other bytes.
var ErrDiffers = errors.New("the results differ")

// verify computes every cell again, in a folder that is thrown away, and compares
// cells, tables and policies with the recorded ones byte by byte.
func verify(ctx context.Context, e *Experiment, o RunOptions) error {
	if _, err := os.Stat(filepath.Join(o.Dir, "cells")); err != nil {
		return Usage(fmt.Sprintf("there is nothing to verify in %s: run the experiment first", o.Dir))
	}
	temp, err := os.MkdirTemp("", "rlhfsim-verify-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := os.Mkdir(filepath.Join(temp, "cells"), 0o777); err != nil {
		return err
	}
	bar := newProgress(o.Stderr, o.Quiet)
	defer bar.stop()
	bar.start(e, o)
	r, err := Execute(ctx, e, Options{Dir: temp, Jobs: o.Jobs, Progress: bar.update, Doing: bar.doing, Notice: bar.notice})
	bar.endBar()
	if err != nil {
		return err
	}
	same, differ := r.differingCells(o.Dir, temp)
	cells := same + len(differ)
	files, err := r.differingFiles(o.Dir)
	if err != nil {
		return err
	}
	differ = append(differ, files...)
	text := fmt.Sprintf("%d of %s byte-identical (recorded on %s, now %s/%s)\n", same, plural(cells, "cell"), recordedOn(o.Dir), runtime.GOOS, runtime.GOARCH)
	for _, d := range differ {
		text += "differs: " + d + "\n"
	}
	if err := tolerate(io.WriteString(o.Stdout, text)); err != nil {
		return err
	}
	if len(differ) > 0 {
		return ErrDiffers
	}
	return nil
}

// differingCells compares the cells of two folders: how many are the same, and the
// others with what differs. A cell that stands at several places is counted once.
func (r *Run) differingCells(recorded, fresh string) (same int, differ []string) {
	told := map[string]bool{}
	for point, p := range r.Experiment.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			for seed := range r.Experiment.Seeds {
				id := cellID{point, arm, seed}
				key, there := r.keys[id]
				if !there || told[key] {
					continue
				}
				told[key] = true
				if equal, why := sameFile(cellPath(recorded, key), cellPath(fresh, key)); equal {
					same++
				} else {
					differ = append(differ, r.name(id)+": "+why)
				}
			}
		}
	}
	return same, differ
}

// differingFiles compares tables and policies recorded in a folder with r's.
func (r *Run) differingFiles(dir string) (differ []string, err error) {
	for _, out := range r.outputs() {
		if out.name == "experiment.toml" || out.name == "resolved.toml" || out.name == "summary.md" {
			continue // words, not results
		}
		var fresh bytes.Buffer
		if err := out.write(&fresh); err != nil {
			return nil, err
		}
		recorded, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(out.name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			differ = append(differ, out.name+": not there")
		case err != nil:
			return nil, err
		case !bytes.Equal(recorded, fresh.Bytes()):
			differ = append(differ, out.name+": other bytes")
		}
	}
	return differ, nil
}

func sameFile(recorded, fresh string) (equal bool, why string) {
	a, err := os.ReadFile(recorded)
	if errors.Is(err, fs.ErrNotExist) {
		return false, "not recorded (another engine's, or never run)"
	}
	if err != nil {
		return false, err.Error()
	}
	b, err := os.ReadFile(fresh)
	if err != nil {
		return false, err.Error()
	}
	if !bytes.Equal(a, b) {
		return false, "other bytes"
	}
	return true, ""
}

// recordedOn is the machine that run.json names.
func recordedOn(dir string) string {
	var p Provenance
	data, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err != nil || json.Unmarshal(data, &p) != nil {
		return "an unknown machine"
	}
	return p.OS + "/" + p.Arch
}
