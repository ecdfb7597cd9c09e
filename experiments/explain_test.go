package experiments

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rlhfsim/dpo"
	"rlhfsim/policy"
	"rlhfsim/reward"
	"rlhfsim/sim"
)

// everyMethod is a small run with one arm of a method of each section, and of the
// losses that report metrics of their own.
func everyMethod(t *testing.T, overrides ...string) (*Run, Files) {
	t.Helper()
	text := head + "seeds = 1\n"
	seen := map[string]bool{}
	for _, m := range sim.Methods {
		if !seen[m.Section] {
			text += fmt.Sprintf("[[arm]]\nmethod = %q\n", m.Name)
		}
		seen[m.Section] = true
	}
	for _, name := range []string{"cispo", "vespo", "clip_cov", "xpo", "nash_md"} {
		text += fmt.Sprintf("[[arm]]\nmethod = %q\n", name)
	}
	text += "[[arm]]\nname = \"kto\"\nmethod = \"dpo\"\ndpo.loss_type = \"kto\"\n[[arm]]\nname = \"bco\"\nmethod = \"dpo\"\ndpo.loss_type = \"bco\"\n"
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "x.toml"), []byte(text))
	e, err := Load(filepath.Join(dir, "x.toml"), append([]string{"base.lines=200", "labels.rankings=30", "labels.held_out=20", "ppo.total_episodes=256", "grpo.total_episodes=256", "raft.total_episodes=256", "online.total_episodes=256", "dpo.num_train_epochs=1", "exact.num_steps=5"}, overrides...))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "cells"), 0o777); err != nil {
		t.Fatal(err)
	}
	r, err := Execute(context.Background(), e, Options{Dir: dir, Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	return r, tables(t, r)
}

func TestEveryRecordedMetricIsExplained(t *testing.T) {
	var large []string
	for _, count := range []string{"right answer", "wrong answer", "link", "polite", "filler", "sarcasm", "harm", "repeat"} {
		large = append(large, fmt.Sprintf("{ count = %q, worth = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] }", count))
	}
	recorded := map[string]bool{}
	small := []string{"evaluation.gradient=true", "ppo.kl_in=loss", "ppo.ptx_coef=0.1", "world.max_length=2", `world.value=[{ count = "polite", worth = [0, 1] }]`, `sft.demonstrations=[{ prompt = "i am so tired", completion = "rest" }]`}
	for _, overrides := range [][]string{small, {"policy.order=2", "world.max_length=9", "world.value=[" + strings.Join(large, ", ") + "]", "evaluation.every=1000"}} {
		r, files := everyMethod(t, overrides...)
		for name, stages := range r.stagesOf() {
			recorded[name] = true
			for _, stage := range stages {
				d, ok := metricFor(stage, name)
				if !ok || d.Meaning == "" || d.Unit == "" || d.Formula == "" || d.Source == "" && !strings.HasSuffix(d.Name, "_reward") {
					t.Errorf("stage %s records %s, which metricDocs does not explain for that stage", stage, name)
				}
			}
		}
		header, _, _ := strings.Cut(string(files["metrics.csv"]), "\n")
		var columns []columnDoc
		if err := json.Unmarshal(files["columns.json"], &columns); err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Split(header, ",") {
			if _, err := Explain(name); err != nil {
				t.Error(err)
			}
			if !slices.ContainsFunc(columns, func(c columnDoc) bool { return c.Name == name && c.Meaning != "" }) {
				t.Errorf("columns.json lacks %s", name)
			}
		}
	}
	for _, d := range metricDocs { // and nothing is explained that no stage records
		found := false
		for name := range recorded {
			found = found || d.matches(name)
		}
		if !found {
			t.Errorf("%s is explained and recorded by none of the runs", d.Name)
		}
	}
}

func TestColumnsFollowTheTable(t *testing.T) {
	e, err := Load("ppo-vs-dpo", append(slices.Clone(quick), "seeds=1"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Run{Experiment: e}
	var names []string
	for _, c := range r.columns() {
		names = append(names, c.Name+": "+c.Meaning)
	}
	if len(names) != 5 || names[4] != "labels.rankings: "+fieldDocs["labels.rankings"].Doc {
		t.Errorf("columns %q", names)
	}
}

// Everything there is can be explained, and every "see also" leads somewhere.
func TestEverythingIsExplained(t *testing.T) {
	var terms []string
	terms = append(terms, docFields()...)
	terms = append(terms, fieldsOf(reflect.ValueOf(header{})).names()...)
	terms = append(terms, apart...)
	terms = append(terms, "output.dir", "figure.kind", "arm.name", "arm.label", "arm.method", "variant.name")
	for _, m := range sim.Methods {
		if c := m.Card; c.Title == "" || c.Idea == "" || c.Formula == "" || c.Paper == "" || c.Differs == "" {
			t.Errorf("the card of %s lacks a title, idea, formula, paper or what differs elsewhere", m.Name)
		}
		terms = append(append(terms, m.Name, m.Title), m.Also...)
	}
	for _, l := range dpo.Losses {
		terms = append(append(terms, l.Name, l.Title), l.Also...)
	}
	for _, term := range terms {
		e, err := Explain(term)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, topic := range e.Topics {
			if topic.Meaning == "" {
				t.Errorf("%s (%s) has no meaning", topic.Term, topic.Kind)
			}
		}
	}
	for _, topic := range topics() {
		for _, see := range topic.See {
			if _, err := Explain(see); err != nil {
				t.Errorf("%s: see also %s: %v", topic.Term, see, err)
			}
		}
		if !slices.Contains(topicKinds, topic.Kind) {
			t.Errorf("%s is of no known kind", topic.Term)
		}
	}
	for path := range fieldNotes {
		if _, ok := fieldDocs[path]; !ok {
			t.Errorf("fieldNotes has %s, which does not exist", path)
		}
	}
}

// What reward.model and its like choose from is explained.
func TestEveryChoiceIsExplained(t *testing.T) {
	var names []string
	for _, m := range reward.Kinds {
		names = append(names, string(m))
	}
	for _, l := range reward.LossTypes {
		names = append(names, string(l))
	}
	for _, a := range reward.Aggregates {
		if a != reward.MeanScore { // a word that needs no explanation
			names = append(names, string(a))
		}
	}
	for _, p := range policy.Parametrisations {
		names = append(names, string(p))
	}
	for _, name := range names {
		if !slices.ContainsFunc(choiceDocs, func(c Topic) bool { return c.Term == name }) {
			t.Errorf("%s is not explained", name)
		}
	}
	if len(names) != len(choiceDocs) {
		t.Errorf("%d choices are explained, there are %d", len(choiceDocs), len(names))
	}
}

// The limits that are documented are those that are enforced, and none is missing.
func TestEveryFieldSaysWhatItMayHold(t *testing.T) {
	for _, f := range fields() {
		section := f.Kind == "table"
		if f.Allowed == "" && f.Kind != "true or false" && !section {
			t.Errorf("%s (%s) does not say what is allowed", f.Path, f.Kind)
		}
		if f.Default == "" && !section {
			t.Errorf("%s does not say its default", f.Path)
		}
	}
	for path, want := range map[string][2]string{
		"ppo.cliprange":      {"0.2", "above 0 and finite"},
		"ppo.kl_coef":        {"objective.beta", "at least 0 and finite"},
		"world.max_length":   {"required", "at least 1 and at most 64"},
		"labels.label_noise": {"0.0", "at least 0 and below 0.5"},
		"exact.reward":       {`"proxy"`, `"proxy", "gold"`},
	} {
		i := slices.IndexFunc(fields(), func(f fieldInfo) bool { return f.Path == path })
		if f := fields()[i]; f.Default != want[0] || !strings.HasPrefix(f.Allowed, want[1]) {
			t.Errorf("%s: default %s, allowed %s", path, f.Default, f.Allowed)
		}
	}
}

func TestEveryFigureIsExplained(t *testing.T) {
	for _, k := range FigureKinds {
		if figureDocs[k.Name].Meaning == "" {
			t.Errorf("figure %s is not explained", k.Name)
		}
	}
	for name := range figureDocs {
		if !slices.ContainsFunc(FigureKinds, func(k FigureKind) bool { return k.Name == name }) {
			t.Errorf("figure %s is explained and does not exist", name)
		}
	}
}

// Every code there is has an example that brings it about, and a mended one
// that loads.
func TestErrorCodesAreExplainedByExamples(t *testing.T) {
	source, err := os.ReadFile("problem.go")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(string(source), "Code = \"E"), len(codeDocs); got != want {
		t.Errorf("%d codes, %d of them explained", got, want)
	}
	for _, c := range codeDocs {
		t.Run(string(c.Code), func(t *testing.T) {
			if c.Cause == "" || c.Title == "" {
				t.Error("no cause")
			}
			if _, report := load(t, c.Example); !strings.Contains(report, "error["+string(c.Code)+"]") {
				t.Errorf("the example gives\n%s", report)
			}
			t.Chdir(t.TempDir())
			writeFile(t, "more.jsonl", []byte("{\"prompt\": \"i am so tired\", \"completion\": \"rest\"}\n"))
			writeFile(t, "y.toml", []byte(c.Fixed))
			if _, err := Load("y.toml", nil); err != nil {
				t.Errorf("the mended example is refused:\n%v", err)
			}
		})
	}
}

func TestExplainFindsTerms(t *testing.T) {
	for term, want := range map[string]string{
		"exact/gap": "exact/gap", "cliprange": "ppo.cliprange", "ppo.cliprange": "ppo.cliprange", "clip_coef": "ppo.cliprange",
		"ppo.clip_coef": "ppo.cliprange", "losses/approx_kl": "policy/approxkl_avg", "e012": "E012", "Reward Hacking": "reward hacking",
		"β": "beta", "exact/count/polite": "exact/count/*", "[ppo]": "ppo", "gae_lambda": "ppo.lam", "goodhart": "over-optimisation",
		"num_seeds": "seeds", "figure gap": "gap", "`lam`": "ppo.lam", "π*": "pi*", "J*": "J*", "over-optimization": "over-optimisation",
		"clipfrac_avg": "policy/clipfrac_avg", "bt": "Bradley-Terry",
	} {
		e, err := Explain(term)
		if err != nil {
			t.Error(err)
			continue
		}
		if e.Topics[0].Term != want {
			t.Errorf("%s is explained as %s, want %s", term, e.Topics[0].Term, want)
		}
	}
	for term, want := range map[string]string{"cliprnage": "cliprange", "exact/gpa": "exact/gap", "reward hackign": "reward hacking", "E099": "E0", "xyzzy": "lists everything"} {
		if _, err := Explain(term); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", term, err)
		}
	}
}

// Names that ux tables of other libraries give for our fields are translated.
func TestOtherLibrariesNamesAreTranslated(t *testing.T) {
	for ours, theirs := range map[string]string{
		"ppo.cliprange":        "clip_coef clip_range eps_clip clip_ratio clip_eps_lo clip_eps_hi epsilon",
		"ppo.num_ppo_epochs":   "update_epochs n_epochs max_epochs ppo_epochs num_iterations",
		"ppo.num_mini_batches": "num_minibatches",
		"ppo.lam":              "gae_lambda lambd",
		"ppo.kl_coef":          "init_coef init_kl_coef",
		"ppo.cliprange_value":  "clip_vloss clip_range_vf clip_eps_val",
		"ppo.learning_rate":    "lr",
		"ppo.entropy_coef":     "ent_coef entropy_coeff",
		"ppo.truncated_value":  "penalty_reward_value stop_properly_penalty_coef reward_penalty",
		"ppo.whiten_rewards":   "normalize_reward",
		"ppo.target":           "kl_target",
		"dpo.beta":             "pref_beta",
		"dpo.loss_type":        "pref_loss",
		"labels.label_noise":   "p_label_flip preference_flip_prob",
		"world.max_length":     "response_length max_completion_length",
	} {
		section, name, _ := cutLast(ours)
		for _, key := range strings.Fields(theirs) {
			if got := foreign(section, key); !slices.Equal(got, []string{name}) {
				t.Errorf("[%s] %s is translated as %q", section, key, got)
			}
			if e, err := Explain(key); err != nil || !slices.ContainsFunc(append(e.Topics, e.Other...), func(x Topic) bool { return x.Term == ours }) {
				t.Errorf("explain %s does not lead to %s: %v", key, ours, err)
			}
		}
	}
}
