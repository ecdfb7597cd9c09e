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
	bar.start(e, o)
	r, err := Execute(ctx, e, Options{Dir: temp, Jobs: o.Jobs, Progress: bar.update, Notice: bar.notice})
	bar.stop()
	if err != nil {
		return err
	}
	var differ []string
	seen := map[string]bool{}
	for _, key := range r.keys {
		seen[key] = true
	}
	same := 0
	for point, p := range e.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			for seed := range e.Seeds {
				id := cellID{point, arm, seed}
				if !seen[r.keys[id]] {
					continue // told of already, under another of its places
				}
				delete(seen, r.keys[id])
				equal, why := sameFile(cellPath(o.Dir, r.keys[id]), cellPath(temp, r.keys[id]))
				if equal {
					same++
				} else {
					differ = append(differ, r.name(id)+": "+why)
				}
			}
		}
	}
	cells := same + len(differ)
	for _, out := range r.outputs() {
		if out.name == "experiment.toml" || out.name == "resolved.toml" || out.name == "summary.md" {
			continue // words, not results
		}
		var fresh bytes.Buffer
		if err := out.write(&fresh); err != nil {
			return err
		}
		recorded, err := os.ReadFile(filepath.Join(o.Dir, filepath.FromSlash(out.name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			differ = append(differ, out.name+": not there")
		case err != nil:
			return err
		case !bytes.Equal(recorded, fresh.Bytes()):
			differ = append(differ, out.name+": other bytes")
		}
	}
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
