//go:build unix

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C ends a run and a check of worlds in which every stage is long, with the
// code of what was stopped; a run goes on from there to the bytes of one that nobody
// disturbed.
func TestCtrlCEndsLongComputations(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "rlhfsim")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stopped := func(after time.Duration, args ...string) {
		t.Helper()
		var stderr bytes.Buffer
		c := exec.Command(program, args...)
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		signalled := time.Now()
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		if code := c.ProcessState.ExitCode(); code != exitStopped || !strings.Contains(stderr.String(), "stopping") {
			t.Errorf("%v: exit code %d\n%s", args, code, stderr.String())
		}
		if took := time.Since(signalled); took > 10*time.Second { // a second, but for a busy machine
			t.Errorf("%v stopped after %v", args, took)
		}
	}
	large := []string{"random-world", "world.random.words=60", "world.max_length=14"}
	stopped(700*time.Millisecond, append([]string{"check"}, large...)...)
	for _, after := range []time.Duration{300 * time.Millisecond, 2500 * time.Millisecond} {
		stopped(after, append([]string{"run", "-o", filepath.Join(dir, "large")}, large...)...)
	}

	small := func(folder string) []string {
		return []string{"run", "random-world", "-o", folder, "seeds=1", "base.lines=200", "ppo.total_episodes=327680", "dpo.num_train_epochs=2", "labels.rankings=100", "labels.held_out=20"}
	}
	whole, torn := filepath.Join(dir, "whole"), filepath.Join(dir, "torn")
	stopped(500*time.Millisecond, small(torn)...) // a small part of what it takes
	for _, folder := range []string{whole, torn} {
		if out, err := exec.Command(program, small(folder)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	want, got := tree(t, whole), tree(t, torn)
	for name, data := range want {
		if !bytes.Equal(got[name], data) {
			t.Errorf("%s differs after the stop", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}
