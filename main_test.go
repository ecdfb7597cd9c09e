package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rlhfsim": main})
}

// TestScripts runs the command line as users type it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", UpdateScripts: os.Getenv("UPDATE") != ""})
}

// tiny is the chapter cut down to fractions of a second.
var tiny = []string{"run", "chapter", "seeds=2", "base.lines=200", "labels.rankings=30", "labels.held_out=20", "ppo.total_episodes=512", "dpo.num_train_epochs=1"}

func call(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

func TestJSONParses(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{append(tiny, "--json"), {"check", "chapter", "--json"}, {"list", "--json"}, {"talk", "runs/chapter", "--json"}} {
		code, stdout, stderr := call(args...)
		var v any
		if err := json.Unmarshal([]byte(stdout), &v); code != 0 || err != nil {
			t.Errorf("%v: exit %d, %v\n%s", args, code, err, stderr)
		}
	}
}

func TestAFolderInUseIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("r/cells", 0o777); err != nil {
		t.Fatal(err)
	}
	lock := flock.New("r/.lock")
	if got, err := lock.TryLock(); !got {
		t.Fatal(err)
	}
	code, _, stderr := call(append(tiny, "-o", "r")...)
	if code != exitHeld || !strings.Contains(stderr, "another process") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	_ = lock.Unlock()
	if code, _, stderr := call(append(tiny, "-q", "-o", "r")...); code != 0 || stderr != "" {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// A claim that fails is exit code 3, only where it is asked for.
func TestExitCodesOfClaims(t *testing.T) {
	t.Chdir(t.TempDir())
	claims := func(than string) string {
		return `claim=[{ metric = "exact/gold_reward", of = "ppo", is = "above", than = ` + than + ` }]`
	}
	run := append(tiny, "seeds=5", "-q")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{claims("-9.0"), "--check-claims"}, exitDone},
		{[]string{claims("9.0"), "--check-claims"}, exitMismatch},
		{[]string{claims("9.0")}, exitDone},
		{[]string{claims("9.0"), "--check-claims", "seeds=2"}, exitDone}, // undecided
		{[]string{claims("9.0"), "--check-claims", "dpo.learning_rate=1e308", "dpo.max_grad_norm=0"}, exitFailed},
		{[]string{claims("x"), "--check-claims"}, exitUsage},
		{[]string{"claim=[]", "--check-claims"}, exitUsage},
	} {
		if code, _, stderr := call(append(run[:len(run):len(run)], c.args...)...); code != c.want {
			t.Errorf("%v: exit %d, want %d\n%s", c.args, code, c.want, stderr)
		}
	}
}

// brokenPipe is a standard output whose reader has gone away.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestStandardOutputThatFails(t *testing.T) {
	t.Chdir(t.TempDir())
	var stderr bytes.Buffer
	if code := run(tiny, nil, brokenPipe{}, &stderr); code != 0 {
		t.Errorf("closed pipe: exit %d: %s", code, &stderr)
	}
	if _, err := os.Stat("runs/chapter/figures/pipeline.svg"); err != nil {
		t.Error("the files are not finished")
	}
	stderr.Reset()
	if code := run(tiny, nil, fullDisk{}, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "no space left") {
		t.Errorf("full disk: exit %d: %s", code, &stderr)
	}
}

// Ctrl-C keeps finished cells, exits 75, and the same command gives the bytes
// of a run that was never interrupted.
func TestInterruptAndResume(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the program")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "rlhfsim")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	args := []string{"run", "chapter", "seeds=4", "--jobs", "1"}
	command := exec.Command(bin, append(args, "-o", "stopped")...)
	command.Dir = dir
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	// Wait for the first cell, then interrupt.
	for range 2000 {
		if cells, _ := os.ReadDir(filepath.Join(dir, "stopped", "cells")); len(cells) > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := command.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitStopped || !strings.Contains(stderr.String(), "the same command goes on from there") {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "stopped", "metrics.csv")); err == nil {
		t.Error("an interrupted run has tables")
	}
	for _, to := range []string{"stopped", "whole"} {
		command := exec.Command(bin, append(args, "-q", "-o", to)...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	for _, name := range []string{"metrics.csv", "summary.csv", "figures/curves.svg", "policies/seed-3/ppo.safetensors"} {
		a, errA := os.ReadFile(filepath.Join(dir, "stopped", name))
		b, errB := os.ReadFile(filepath.Join(dir, "whole", name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs after an interruption", name)
		}
	}
}
