package main

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// 200 times a small sweep is killed at a random moment, while it computes, writes
// cells, tables or figures; now and then a finished cell is lost too. Then the
// same command runs to its end: every file is the one of an undisturbed run.
func TestTwoHundredKillsLeaveTheSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "rlhfsim")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	command := func(folder string) *exec.Cmd {
		return exec.Command(program, "run", "chapter", "-q", "-o", folder, "-m", "labels.rankings=20,30", "seeds=2",
			"base.lines=400", "labels.held_out=20", "ppo.total_episodes=2048", "dpo.num_train_epochs=2")
	}
	whole, torn := filepath.Join(dir, "whole"), filepath.Join(dir, "torn")
	started := time.Now()
	if out, err := command(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	took := time.Since(started)
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := command(torn)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.Int64N(int64(min(took, 250*time.Millisecond)))))
		_ = c.Process.Kill() // it may have ended by itself
		_ = c.Wait()
		if cells, _ := filepath.Glob(filepath.Join(torn, "cells", "*.cell")); len(cells) > 0 && r.IntN(2) == 0 {
			lost := cells[r.IntN(len(cells))]
			if r.IntN(2) == 0 {
				_ = os.Remove(lost)
			} else { // as a crash of the machine leaves it
				_ = os.Truncate(lost, 100)
			}
		}
	}
	if out, err := command(torn).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, got := tree(t, whole), tree(t, torn)
	for name, data := range want {
		if !bytes.Equal(got[name], data) {
			t.Errorf("%s differs after the kills", name)
		}
	}
	for name := range got {
		if want[name] == nil {
			t.Errorf("%s is left over", name)
		}
	}
}

// tree is a run's folder but for what says when and how it was made.
func tree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "run.json" || d.Name() == ".lock" || strings.HasSuffix(path, ".damaged") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		files[name] = append([]byte{}, data...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
