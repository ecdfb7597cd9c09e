package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"rlhfsim/internal/atomicfile"
	"rlhfsim/sim"
)

// RunOptions are the flags of `rlhfsim run`.
type RunOptions struct {
	Dir                 string
	Jobs                int
	DryRun, JSON, Quiet bool
	CheckClaims         bool // fail where a claim fails
	Verify              bool // compute again and compare
	FailFast            bool // stop at the first cell that fails
	Stdout, Stderr      io.Writer
	Args                []string // for run.json
}

// How a run can end other than well.
var (
	ErrStopped = errors.New("stopped")                     // by the user; finished cells are kept
	ErrHeld    = errors.New("another process works there") // the folder is locked
	ErrCells   = errors.New("some cells failed")           // the others are done and written
	ErrClaims  = errors.New("a claim fails")               // with CheckClaims; everything is written
)

// Usage is a refusal before anything was written.
type Usage string

func (u Usage) Error() string { return string(u) }

// RunCommand runs the experiment into its folder and prints the summary.
func RunCommand(ctx context.Context, e *Experiment, o RunOptions) error {
	if o.Dir == "" {
		o.Dir = filepath.Join(e.OutputDir, e.Name)
	}
	if o.Jobs < 1 {
		return Usage(fmt.Sprintf("--jobs %d: at least 1 cell must be worked on at a time", o.Jobs))
	}
	if o.CheckClaims && len(e.Claims) == 0 {
		return Usage(fmt.Sprintf("--check-claims: %s makes no claims; add a [[claim]] to it", e.Name))
	}
	if e.Notice != "" && !o.Quiet {
		fmt.Fprintln(o.Stderr, e.Notice)
	}
	if o.DryRun {
		return dryRun(e, o)
	}
	if o.Verify {
		return verify(ctx, e, o)
	}
	release, err := occupy(o.Dir, o.Stderr)
	if err != nil {
		return err
	}
	defer release()
	started := time.Now()
	bar := newProgress(o.Stderr, o.Quiet)
	defer bar.stop()
	bar.start(e, o)
	r, err := Execute(ctx, e, Options{Dir: o.Dir, Jobs: o.Jobs, FailFast: o.FailFast, Progress: bar.update, Doing: bar.doing, Notice: bar.notice})
	bar.endBar()
	if err != nil {
		bar.stop()
	}
	if errors.Is(err, ErrStopped) {
		fmt.Fprintf(o.Stderr, "%d of %d cells are done and kept in %s; the same command goes on from there\n", len(r.keys), bar.total, o.Dir)
		return err
	}
	if errors.Is(err, errFailFast) {
		for _, f := range r.Failures {
			fmt.Fprintf(o.Stderr, "error: %s failed: %v\n", f.Cell, f.Err)
		}
		fmt.Fprintf(o.Stderr, "stopped at the first failure; %d finished cells are kept in %s, nothing else was written\n", len(r.keys), o.Dir)
		return ErrCells
	}
	if err != nil {
		return goesOn(err, o.Dir)
	}
	doing := bar.doing("")
	if err := r.finish(ctx, o, started, doing); err != nil {
		bar.stop()
		if errors.Is(err, ErrStopped) {
			fmt.Fprintf(o.Stderr, "all %d cells are done and kept in %s, tables and figures are not all written; the same command writes them\n", bar.total, o.Dir)
			return err
		}
		return goesOn(err, o.Dir)
	}
	doing("asking the policies", 0, 0)
	all, unsaid := r.Summaries()
	bar.stop()
	return r.tell(o, time.Since(started), all, unsaid)
}

// goesOn says what becomes of a run that the file system stopped.
func goesOn(err error, dir string) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%w; finished cells are kept in %s, and the same command goes on from there", err, dir)
	}
	return err
}

func dryRun(e *Experiment, o RunOptions) error {
	var b strings.Builder
	for _, p := range e.Points {
		for _, a := range p.Arms {
			for _, seed := range e.Seeds {
				fmt.Fprintf(&b, "%s seed %d", a.Name, seed)
				if len(e.Swept) > 0 {
					fmt.Fprintf(&b, "  %s", p.title(e.Swept))
				}
				b.WriteByte('\n')
			}
		}
	}
	return tolerate(io.WriteString(o.Stdout, b.String()))
}

// occupy makes the folder, or recognises it as a run's, and locks it.
func occupy(dir string, stderr io.Writer) (release func(), err error) {
	refuse := func(why string, args ...any) error {
		return Usage(fmt.Sprintf("cannot use the folder %s: %s", dir, fmt.Sprintf(why, args...)))
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, refuse("%v", reason(err))
	case len(entries) > 0 && !isRun(dir):
		return nil, refuse("it holds other files and no run; choose another with -o")
	}
	if err := os.MkdirAll(filepath.Join(dir, "cells"), 0o777); err != nil {
		return nil, refuse("%v", reason(err))
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	got, err := lock.TryLock()
	if err != nil {
		return nil, refuse("%v", reason(err))
	}
	if !got {
		fmt.Fprintf(stderr, "error: another process is running an experiment in %s; wait for it, or choose another folder with -o\n", dir)
		return nil, ErrHeld
	}
	if err := sweepUp(dir); err != nil {
		return nil, refuse("%v", reason(err))
	}
	return func() { _ = lock.Unlock() }, nil
}

// sweepUp removes what a killed run left half written.
func sweepUp(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return atomicfile.Clean(path)
	})
}

func isRun(dir string) bool {
	for _, name := range []string{"cells", "run.json", "experiment.toml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// reason is a file error without the path, which the message names already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// finish writes everything but the cells, and removes what an earlier run left
// behind that is no part of this one.
func (r *Run) finish(ctx context.Context, o RunOptions, started time.Time, doing sim.Doing) error {
	ours := map[string]bool{}
	write := func(out output) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		doing("writing "+out.name, 0, 0)
		ours[out.name] = true
		path := filepath.Join(o.Dir, filepath.FromSlash(out.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		return atomicfile.StreamUnsynced(path, func(w io.Writer) error { // all of it can be made again from the cells
			if err := out.write(w); err != nil {
				return err
			}
			return context.Cause(ctx) // what was asked of policies meanwhile means nothing
		})
	}
	for _, out := range r.outputs() {
		if err := write(out); err != nil {
			return err
		}
	}
	doing("drawing figures", 0, 0)
	err := r.draw(func(name string, data []byte) error {
		return write(output{name, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		}})
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if r.lost != nil {
		return r.lost
	}
	provenance, err := json.MarshalIndent(r.Provenance(o.Args, o.Jobs, started), "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(o.Dir, "run.json"), append(provenance, '\n')); err != nil {
		return err
	}
	return prune(o.Dir, ours, "policies", "figures")
}

// prune removes files below the given folders of dir that are not ours.
func prune(dir string, ours map[string]bool, folders ...string) error {
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			if ours[filepath.ToSlash(name)] {
				return nil
			}
			if err := os.Remove(path); err != nil {
				return err
			}
			_ = os.Remove(filepath.Dir(path)) // succeeds where it was the last file
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// tell prints the summary, once all files are written; err is why there is none.
func (r *Run) tell(o RunOptions, took time.Duration, all []Summary, err error) error {
	for _, f := range r.Failures {
		fmt.Fprintf(o.Stderr, "error: %s failed: %v\n", f.Cell, f.Err)
	}
	if len(r.Failures) > 0 {
		fmt.Fprintf(o.Stderr, "the other cells are done and in the tables; lower a learning rate, then run again\n")
	}
	if err != nil && len(r.Failures) == 0 {
		return err
	}
	verdicts := r.Verdicts()
	if err == nil && !o.Quiet {
		if err := r.print(o, all, verdicts); err != nil {
			return err
		}
		fmt.Fprintf(o.Stderr, "done in %.1f s\n", took.Seconds())
	}
	if len(r.Failures) > 0 {
		return ErrCells
	}
	if o.CheckClaims {
		return r.check(verdicts, o.Stderr, o.Quiet)
	}
	return nil
}

// print puts the summary on stdout, as text or as JSON.
func (r *Run) print(o RunOptions, all []Summary, verdicts []Verdict) error {
	if !o.JSON {
		return tolerate(io.WriteString(o.Stdout, r.Text(all)+r.claimsText(verdicts)+r.pointers(o.Dir)))
	}
	data, err := json.MarshalIndent(map[string]any{"name": r.Experiment.Name, "title": r.Experiment.Title, "dir": o.Dir, "points": all, "claims": verdicts}, "", "  ")
	if err != nil {
		return err
	}
	return tolerate(o.Stdout.Write(append(data, '\n')))
}

// pointers name the figures and what to do next.
func (r *Run) pointers(dir string) string {
	next := []string{"rlhfsim talk " + dir}
	switch r.Experiment.Name {
	case "chapter":
		next = append(next, "rlhfsim run hacking", "rlhfsim check chapter objective.beta=0.1")
	case "hacking":
		next = append(next, "rlhfsim run hacking labels.rankings=4000 -o runs/hacking-more-labels")
	default:
		next = append(next, "rlhfsim run "+filepath.Join(dir, "resolved.toml")+" seeds=30 -o "+dir+"-30")
	}
	ranking := ""
	if len(r.Ranking(0)) > 0 {
		ranking = "\nranking  " + filepath.Join(dir, "ranking.md")
	}
	return fmt.Sprintf("%s\nfigures  %s\nnext     %s\n", ranking, filepath.Join(dir, "figures"), strings.Join(next, "\n         "))
}

// tolerate passes an error of writing on, but for a reader that has gone away.
func tolerate(_ int, err error) error {
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}
