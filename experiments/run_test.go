package experiments

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rlhfsim/internal/safetensors"
	"rlhfsim/policy"
	"rlhfsim/sim"
)

// quick is the chapter cut down to fractions of a second.
var quick = []string{"seeds=3", "base.lines=200", "labels.rankings=30", "labels.held_out=20", "ppo.total_episodes=512", "dpo.num_train_epochs=1"}

func quickRun(t *testing.T, dir string, jobs int, overrides ...string) (*Run, Files) {
	t.Helper()
	e, err := Load("chapter", append(slices.Clone(quick), overrides...))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "cells"), 0o777); err != nil {
		t.Fatal(err)
	}
	r, err := Execute(context.Background(), e, Options{Dir: dir, Jobs: jobs})
	if err != nil {
		t.Fatal(err)
	}
	return r, tables(t, r)
}

func sameFiles(t *testing.T, what string, a, b Files) {
	t.Helper()
	names := slices.Sorted(maps.Keys(a))
	if !slices.Equal(names, slices.Sorted(maps.Keys(b))) {
		t.Fatalf("%s: other files", what)
	}
	for _, name := range names {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

func TestSameBytesWhateverTheJobsAndTheHistory(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	_, want := quickRun(t, one, 1)
	_, got := quickRun(t, two, 3)
	sameFiles(t, "three jobs", want, got)

	// Some cells lost, one damaged: only those are computed again.
	cells, err := os.ReadDir(filepath.Join(two, "cells"))
	if err != nil || len(cells) != 9 {
		t.Fatalf("%d cells, %v", len(cells), err)
	}
	for i, c := range cells {
		path := filepath.Join(two, "cells", c.Name())
		switch i % 3 {
		case 0:
			err = os.Remove(path)
		case 1:
			err = os.Truncate(path, 1000)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, got := quickRun(t, two, 2)
	sameFiles(t, "resumed", want, got)
	if r.Reused != 3 {
		t.Errorf("%d cells were reused, want 3", r.Reused)
	}
	damaged, _ := filepath.Glob(filepath.Join(two, "cells", "*.damaged"))
	if len(damaged) != 3 {
		t.Errorf("%d damaged cells were set aside, want 3", len(damaged))
	}
	// Fewer seeds are a part of more.
	r, _ = quickRun(t, two, 2, "seeds=5")
	if r.Reused != 9 {
		t.Errorf("with two more seeds %d cells were reused, want 9", r.Reused)
	}
}

func TestStoppingKeepsFinishedCells(t *testing.T) {
	dir := t.TempDir()
	e, err := Load("chapter", quick)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	if err := os.Mkdir(filepath.Join(dir, "cells"), 0o777); err != nil {
		t.Fatal(err)
	}
	r, err := Execute(ctx, e, Options{Dir: dir, Jobs: 1, Progress: func(p Progress) {
		if p.Done == 4 {
			cancel(ErrStopped)
		}
	}})
	if !errors.Is(err, ErrStopped) || len(r.keys) != 4 {
		t.Fatalf("%v after %d cells", err, len(r.keys))
	}
	_, want := quickRun(t, t.TempDir(), 2)
	again, got := quickRun(t, dir, 2)
	sameFiles(t, "resumed", want, got)
	if again.Reused != 4 {
		t.Errorf("%d cells were reused, want 4", again.Reused)
	}
}

func TestAFailingArmNeitherHidesNorKillsTheOthers(t *testing.T) {
	r, files := quickRun(t, t.TempDir(), 2, "dpo.learning_rate=1e308", "dpo.max_grad_norm=0")
	if len(r.Failures) != 3 {
		t.Fatalf("%d failures: %v", len(r.Failures), r.Failures)
	}
	for _, f := range r.Failures {
		var e *sim.NonFiniteError
		if !errors.As(f.Err, &e) || e.Stage != "dpo" || !strings.Contains(f.Cell, "arm dpo, seed") {
			t.Errorf("%s: %v", f.Cell, f.Err)
		}
	}
	text := string(files["metrics.csv"])
	if !strings.Contains(text, "\nppo,2,ppo,") || strings.Contains(text, "\ndpo,") || strings.Contains(text, "NaN") {
		t.Error("metrics.csv does not hold exactly what was done")
	}
	figures(t, r)
	if _, err := r.Summaries(); err != nil {
		t.Errorf("summary of a run with a failed arm: %v", err)
	}
}

func TestTablesAreWhatTheyPromise(t *testing.T) {
	r, files := quickRun(t, t.TempDir(), 2)
	rows, err := csv.NewReader(bytes.NewReader(files["metrics.csv"])).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rows[0][:4], ","); got != "arm,seed,stage,step" {
		t.Errorf("metrics.csv begins with %s", got)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	stages := map[string]bool{}
	for _, row := range rows[1:] {
		stages[row[2]] = true
		if (row[0] == "") != (row[2] == "base" || row[2] == "sft" || row[2] == "reward") {
			t.Errorf("arm %q at stage %s", row[0], row[2])
		}
		if row[2] == "reward" {
			continue
		}
		for _, name := range []string{"exact/gold_reward", "exact/kl", "exact/entropy", "exact/length"} {
			if row[column[name]] == "" {
				t.Errorf("%v has no %s", row[:4], name)
			}
		}
		if row[0] != "" && (row[column["exact/objective"]] == "" || row[column["exact/gap"]] == "" || row[column["exact/proxy_reward"]] == "") {
			t.Errorf("%v lacks an exact metric", row[:4])
		}
		if row[3] == "0" && row[column["exact/win_rate"]] == "" {
			t.Errorf("%v has no win rate", row[:4])
		}
	}
	if len(stages) != 5 {
		t.Errorf("stages %v", stages)
	}
	if head, _, _ := strings.Cut(string(files["summary.csv"]), "\n"); head != "arm,stage,metric,n,mean,ci_low,ci_high" {
		t.Errorf("summary.csv begins with %s", head)
	}
	tensors, meta, err := safetensors.Decode(files["policies/seed-1/ppo.safetensors"])
	if err != nil || len(tensors) != 1 || tensors[0].Name != "logits" || !slices.Equal(tensors[0].Shape, []int{8, 25, 25}) || !strings.Contains(meta["words"], `"restart"`) {
		t.Errorf("policy: %v, %v", meta, err)
	}
	tensors, _, err = safetensors.Decode(files["policies/seed-1/reward.safetensors"])
	if err != nil || len(tensors) != 2 || tensors[0].Name != "weight" || tensors[1].Name != "bias" {
		t.Errorf("reward: %v", err)
	}
	for _, name := range []string{"experiment.toml", "resolved.toml", "summary.md"} {
		if len(files[name]) == 0 {
			t.Errorf("no %s", name)
		}
	}
	if md := r.Markdown(); !strings.Contains(md, "| PPO |") || !strings.Contains(md, "over 3 seeds") {
		t.Errorf("summary.md:\n%s", md)
	}
}

func TestSweptFieldsHaveColumnsAndFolders(t *testing.T) {
	r, files := quickRun(t, t.TempDir(), 2, "seeds=2", "grid.labels.rankings=[10,20]")
	head, rest, _ := strings.Cut(string(files["metrics.csv"]), "\n")
	if !strings.HasPrefix(head, "arm,seed,stage,step,labels.rankings,") || !strings.Contains(rest, "\nppo,1,ppo,0,20,") {
		t.Errorf("metrics.csv: %s", head)
	}
	if head, _, _ := strings.Cut(string(files["summary.csv"]), "\n"); head != "arm,labels.rankings,stage,metric,n,mean,ci_low,ci_high" {
		t.Errorf("summary.csv begins with %s", head)
	}
	if files["policies/labels.rankings=10/seed-0/dpo.safetensors"] == nil {
		t.Error("no policy under the swept value's folder")
	}
	figures(t, r)
}

// All tables of a run can be computed again from its policies and resolved.toml.
func TestPoliciesReproduceTheExactNumbers(t *testing.T) {
	r, _ := quickRun(t, t.TempDir(), 2, "seeds=1")
	l, ok := r.learned(0, 0)
	if !ok {
		t.Fatal("nothing was learned")
	}
	w, stages, err := r.Experiment.Points[0].Stages(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if names := len(stages); names != 6 {
		t.Errorf("%d stages", names)
	}
	e, gold := policy.NewEvaluator(w.Shape, w.Weights), policy.NewCountReward(w.Shape, w.Gold)
	sft := stages[1].Speaker.(*policy.Chain)
	for _, s := range stages[:4] {
		arm, stage := -1, s.Name
		for i, a := range r.Experiment.Points[0].Arms {
			if a.Name == s.Name {
				arm, stage = i, a.Method
			}
		}
		g := r.group(0, arm, stage)
		pi := s.Speaker.(*policy.Chain)
		again := e.Expect(pi, sft, nil)
		for name, got := range map[string]float64{"exact/gold_reward": e.ExpectCounts(pi, gold), "exact/kl": again.KL, "exact/entropy": again.Entropy, "exact/length": again.Length} {
			if want := g.Final(name)[0]; got != want {
				t.Errorf("%s: %s is %v, recorded as %v", s.Name, name, got, want)
			}
		}
	}
	optimum := &stages[4].Speaker.(*policy.Optimum).Chain
	best, want := e.Expect(optimum, sft, nil), r.cell(cellID{0, 0, 0}).Optimum
	if best.KL != want.KL || e.ExpectCounts(optimum, gold) != want.Gold {
		t.Errorf("optimum: KL %v, recorded as %v", best.KL, want.KL)
	}
}

// The numbers of the engine, on every architecture. A change of them is a change
// of sim.EngineVersion and belongs in the changelog.
func TestDigestsOfTheEngine(t *testing.T) {
	for name, c := range map[string]struct {
		overrides []string
		want      string
	}{
		"bigram table":    {nil, "d8d495dae2561d9b"},
		"shared, K = 3":   {[]string{"policy.parametrisation=shared", "labels.responses_per_ranking=3", "labels.label_noise=0.1"}, "2e9d9c4a2a9a16f2"},
		"adaptive KL, k3": {[]string{"ppo.adap_kl_ctrl=true", "ppo.kl_estimator=k3", "ppo.entropy_coef=0.01", "ppo.num_mini_batches=2", "dpo.label_smoothing=0.1"}, "3248c309893a7497"},
	} {
		_, files := quickRun(t, t.TempDir(), 2, c.overrides...)
		h := sha256.New()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if name == "metrics.csv" || name == "summary.csv" || strings.HasPrefix(name, "policies/") {
				fmt.Fprintf(h, "%s %d\n", name, len(files[name]))
				h.Write(files[name])
			}
		}
		if got := hex.EncodeToString(h.Sum(nil)[:8]); got != c.want {
			t.Errorf("%s: engine %s gives %s, want %s", name, sim.EngineVersion, got, c.want)
		}
	}
}

// A world whose lattice is too large for exact win rates says so and estimates
// them, under names of their own.
func TestTooLargeForExactWinRates(t *testing.T) {
	var tables []string
	for _, count := range []string{"right answer", "wrong answer", "link", "polite", "filler", "sarcasm", "harm", "repeat"} {
		tables = append(tables, fmt.Sprintf("{ count = %q, worth = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] }", count))
	}
	r, files := quickRun(t, t.TempDir(), 2, "seeds=1", "policy.order=2", "world.max_length=9", "world.value=["+strings.Join(tables, ", ")+"]", "ppo.total_episodes=64", "evaluation.every=1000")
	head, _, _ := strings.Cut(string(files["metrics.csv"]), "\n")
	if strings.Contains(head, "exact/win_rate") || !strings.Contains(head, "mc/win_rate,mc/win_rate_se") || !strings.Contains(head, "mc/accuracy_ceiling_se") || !strings.Contains(head, "exact/gold_reward") {
		t.Errorf("columns %s", head)
	}
	if md := r.Markdown(); !strings.Contains(md, "≈") || !strings.Contains(md, "estimated") {
		t.Errorf("summary.md:\n%s", md)
	}
	figures(t, r)
}

// What a judge learned is read back from its file by talk, and from the run
// itself, as the same stages.
func TestRewardModelsAreReadBack(t *testing.T) {
	for name, c := range map[string]struct {
		overrides []string
		tensors   int
	}{
		"bigrams":             {[]string{"reward.model=bigrams", "reward.loss_type=plackett_luce", "policy.parametrisation=low_rank"}, 2},
		"ensemble of bigrams": {[]string{"reward.model=bigrams", "reward.num_ensemble=2", "reward.aggregate=worst_case"}, 6},
		"mlp":                 {[]string{"reward.model=mlp", "reward.hidden_size=3", "reward.count_cap=2"}, 4},
		"ensemble of mlps":    {[]string{"reward.model=mlp", "reward.hidden_size=2", "reward.count_cap=1", "reward.num_ensemble=2", "reward.aggregate=uncertainty_weighted"}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r, files := quickRun(t, dir, 1, append(c.overrides, "seeds=1")...)
			for name, data := range files {
				if err := writeFileAt(filepath.Join(dir, filepath.FromSlash(name)), data); err != nil {
					t.Fatal(err)
				}
			}
			p := r.Experiment.Points[0]
			read, err := p.load(filepath.Join(dir, "policies", fmt.Sprintf("seed-%d", r.Experiment.Seeds[0])), "")
			if err != nil {
				t.Fatal(err)
			}
			kept, ok := r.learned(0, 0)
			if !ok || !reflect.DeepEqual(read, kept) || len(read.Reward) != c.tensors {
				t.Fatalf("the files hold something else than the run: %d tensors", len(read.Reward))
			}
			_, stages, err := p.Stages(t.Context(), read)
			if err != nil || len(stages) != 6 {
				t.Fatalf("%d stages, %v", len(stages), err)
			}
			read.Reward = read.Reward[:len(read.Reward)-1]
			if _, _, err := p.Stages(t.Context(), read); err == nil {
				t.Error("a missing tensor was not noticed")
			}
		})
	}
}

// Ctrl-C while tables and figures are written stops that too.
func TestStoppingWhileWriting(t *testing.T) {
	dir := t.TempDir()
	r, _ := quickRun(t, dir, 2, "seeds=1")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrStopped)
	if err := r.finish(ctx, RunOptions{Dir: dir}, time.Now(), func(string, int, int) {}); !errors.Is(err, ErrStopped) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run.json")); err == nil {
		t.Error("a run that was stopped says that it is done")
	}
}

// A world in which the optimum would take minutes is described at once, without it.
func TestALargeWorldIsForetold(t *testing.T) {
	e, err := Load("random-world", []string{"world.random.words=500", "world.max_length=6"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(t.Context(), e, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if p.Skipped < longestCheck || len(p.Optimum) != 0 || p.Seconds < longestCheck || p.MemoryBytes < 1e9 || p.TableBytes != 8*16*501*501 || p.States == 0 {
		t.Errorf("%+v", p)
	}
	for _, want := range []string{"at least about", "is not computed here: it would take about", " GB;"} {
		if text := p.Text(); !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
}

// A silence is broken by what is being done, less and less often; quiet stays quiet.
func TestProgressBreaksASilence(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false)
	p.total = 15
	p.update(Progress{Done: 3})
	p.doing("arm ppo, seed 0")("ppo", 30, 300)
	p.say()
	if got := out.String(); !strings.HasSuffix(got, " s: 3 of 15 cells, arm ppo, seed 0: ppo, 30 of 300\n") || p.wait != 2*firstSilence {
		t.Errorf("%q, then after %v", got, p.wait)
	}
	p.stop()
	out.Reset()
	p.say() // a timer that fired already
	if out.Len() > 0 {
		t.Errorf("said after the end: %q", out.String())
	}
	if newProgress(&out, true).timer != nil {
		t.Error("quiet, and yet there is a timer")
	}
}
