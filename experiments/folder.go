package experiments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"rlhfsim/sim"
)

// OpenRun reads a finished run's folder: its experiment, and which of its cells
// are there. Nothing is computed.
func OpenRun(dir string) (*Run, error) {
	e, err := Load(filepath.Join(dir, "resolved.toml"), nil)
	if err != nil {
		if bad := noRun(dir); bad != nil {
			return nil, bad
		}
		return nil, err
	}
	r := newRun(context.Background(), e, dir)
	trunks, err := grow(e)
	if err != nil {
		return nil, err
	}
	book := func(ids []cellID, key string) error {
		c, err := loadCell(dir, key, false)
		if err == nil && c != nil {
			r.book(ids, key, c)
		}
		return err
	}
	for _, t := range trunks {
		for _, b := range t.branches {
			if err := book(b.ids, b.key); err != nil {
				return nil, unreadable(dir, b.key, err)
			}
			for _, l := range b.leaves {
				if err := book(l.ids, l.key); err != nil {
					return nil, unreadable(dir, l.key, err)
				}
			}
		}
	}
	if len(r.keys) == 0 {
		return nil, Usage(fmt.Sprintf("%s holds no cell that this version (engine %s) can read; `rlhfsim run %s -o %s` computes them", dir, sim.EngineVersion, filepath.Join(dir, "resolved.toml"), dir))
	}
	return r, nil
}

// noRun says why a folder cannot be a run's, nil where it may be one.
func noRun(dir string) error {
	_, err := os.Stat(filepath.Join(dir, "resolved.toml"))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return Usage(fmt.Sprintf("cannot read %s: permission denied", dir))
	}
	return Usage(fmt.Sprintf("%s is no run's folder: it has no resolved.toml (run an experiment first, e.g. rlhfsim run chapter)", dir))
}

func unreadable(dir, key string, err error) error {
	if !errors.Is(err, errCorrupt) {
		return fmt.Errorf("cannot read a cell: %w", err)
	}
	return fmt.Errorf("%s: %w; `rlhfsim run %s -o %s` computes a damaged cell again", cellPath(dir, key), err, filepath.Join(dir, "resolved.toml"), dir)
}

// Cleanup is what `clean` found in a run's folder.
type Cleanup struct {
	Dir     string   `json:"dir"`
	Removed []string `json:"removed"` // files that are no part of the run
	Bytes   int64    `json:"bytes"`
	Kept    int      `json:"cells_kept"`
}

// Clean removes from a run's folder the cells that its experiment no longer has
// (an earlier engine's, or those of values that were changed since), cells set
// aside as damaged, and what a crash left half written. With dry nothing is
// removed, only listed.
func Clean(dir string, dry bool) (*Cleanup, error) {
	r, err := OpenRun(dir)
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	for _, key := range r.keys {
		ours[filepath.Base(cellPath(dir, key))] = true
	}
	entries, err := os.ReadDir(filepath.Join(dir, "cells"))
	if err != nil {
		return nil, err
	}
	out := &Cleanup{Dir: dir, Kept: len(ours), Removed: []string{}}
	for _, entry := range entries {
		if ours[entry.Name()] || !entry.Type().IsRegular() {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, "cells", entry.Name())
		if !dry {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
		out.Removed, out.Bytes = append(out.Removed, path), out.Bytes+info.Size()
	}
	sort.Strings(out.Removed)
	return out, nil
}

// Text is the cleanup for a terminal.
func (c *Cleanup) Text(dry bool) string {
	what := "removed"
	if dry {
		what = "would remove"
	}
	var b strings.Builder
	for _, path := range c.Removed {
		fmt.Fprintf(&b, "%s %s\n", what, path)
	}
	if len(c.Removed) == 0 {
		return fmt.Sprintf("nothing to remove; %s of the run stay\n", plural(c.Kept, "cell file"))
	}
	fmt.Fprintf(&b, "%s %s (%s); %s of the run stay\n", what, plural(len(c.Removed), "file"), size(int(c.Bytes)), plural(c.Kept, "cell file"))
	return b.String()
}

// PlotOptions say which figures to draw again.
type PlotOptions struct {
	Spec   FigureSpec // Kind "" = all that `run` draws
	Values []string   // "field=value" of the points
	Dir    string     // "" = the run's own folder
}

// Plot draws a run's figures again from its records and returns their paths.
func Plot(dir string, o PlotOptions) ([]string, error) {
	r, err := OpenRun(dir)
	if err != nil {
		return nil, err
	}
	to := o.Dir
	if to == "" {
		to = dir
	}
	var paths []string
	write := func(name string, data []byte) error {
		path := filepath.Join(to, filepath.FromSlash(name))
		if filepath.Ext(path) != ".csv" {
			paths = append(paths, path)
		}
		return writeFileAt(path, data)
	}
	if o.Spec.Kind == "" && len(o.Values) == 0 && o.Spec.X == "" && len(o.Spec.Y) == 0 && o.Spec.Name == "" && len(o.Spec.Arms) == 0 {
		return paths, r.draw(write)
	}
	if o.Spec.Kind == "" {
		return nil, Usage("which figure? say --figure, one of " + strings.Join(figureKindNames(), ", "))
	}
	if bad := r.Experiment.checkFigure(o.Spec); bad != nil {
		text := fmt.Sprintf("--%s %v is impossible: it must be %s", map[string]string{"kind": "figure", "x": "x", "y": "y", "name": "name", "arms": "arms"}[bad.Field], bad.Value, bad.Allowed)
		if bad.Help != "" {
			text += "; " + bad.Help
		}
		return nil, Usage(text)
	}
	points, err := r.Experiment.pointsWith(o.Values)
	if err != nil {
		return nil, Usage(err.Error())
	}
	if o.Spec.Kind == "sweep" && len(r.Experiment.Swept) == 0 {
		return nil, Usage("nothing was swept in this run, so there is no sweep to draw; see [grid] and -m")
	}
	if err := r.drawSpec(o.Spec, points, len(r.Experiment.Points), write); err != nil {
		return nil, err
	}
	if r.lost != nil {
		return nil, r.lost
	}
	if len(paths) == 0 {
		return nil, Usage(fmt.Sprintf("the run has nothing to draw in %q (%s)", o.Spec.Kind, kindDoc(o.Spec.Kind)))
	}
	return paths, nil
}

func kindDoc(kind string) string {
	for _, k := range FigureKinds {
		if k.Name == kind {
			return k.Doc
		}
	}
	return ""
}
