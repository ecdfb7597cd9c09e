package experiments

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rlhfsim/sim"
)

func TestEmbeddedExperimentsLoadAndResolve(t *testing.T) {
	for _, name := range Embedded() {
		for _, overrides := range [][]string{nil, {"seeds=[3,5]", "objective.beta=0.25"}, {"ppo.kl_coef=0.1", "dpo.learning_rate=1e-3"}} {
			e, err := Load(name, overrides)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			path := filepath.Join(t.TempDir(), "resolved.toml")
			writeFile(t, path, e.Resolved)
			again, err := Load(path, nil)
			if err != nil {
				t.Fatalf("%s resolved: %v\n%s", name, err, e.Resolved)
			}
			if fmt.Sprint(e.Points) != fmt.Sprint(again.Points) || fmt.Sprint(e.Seeds) != fmt.Sprint(again.Seeds) || e.Name != again.Name || fmt.Sprint(e.Swept) != fmt.Sprint(again.Swept) {
				t.Errorf("%s: the resolved file means something else", name)
			}
			if string(again.Resolved) != string(e.Resolved) {
				t.Errorf("%s: resolving twice gives another text", name)
			}
		}
	}
}

// load writes the text to a file named x.toml, loads it, and returns the report.
func load(t *testing.T, text string, overrides ...string) (*Experiment, string) {
	t.Helper()
	t.Chdir(t.TempDir())
	writeFile(t, "x.toml", []byte(text))
	e, err := Load("x.toml", overrides)
	if err != nil {
		return nil, err.Error()
	}
	return e, ""
}

const head = "format = 1\nextends = \"chapter\"\n"

// Every kind of bad input, and what the report must say of it.
func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		text      string
		overrides []string
		want      []string
	}{
		"syntax":               {text: head + "[ppo\n", want: []string{"E002", "x.toml:3:5", "[ppo"}},
		"key twice":            {text: head + "seeds = 1\nseeds = 2\n", want: []string{"E002", "x.toml:4:", "seeds"}},
		"too large":            {text: head + strings.Repeat("# filler\n", 9000), want: []string{"E003", "65536"}},
		"too deep":             {text: head + "a" + strings.Repeat(".a", 40) + " = 1\n", want: []string{"E003", "x.toml:3:"}},
		"no format":            {text: "extends = \"chapter\"\n", want: nil},
		"other format":         {text: "format = 2\nextends = \"chapter\"\n", want: []string{"E004", "x.toml:1:10", "format = 1"}},
		"extends nothing":      {text: "format = 1\nextends = \"chaptr\"\n", want: []string{"E001", "x.toml:2:11", "did you mean chapter?"}},
		"extends itself":       {text: "format = 1\nextends = \"x.toml\"\n", want: []string{"E005", "circle"}},
		"misspelt":             {text: head + "[labels]\nrankngs = 3\n", want: []string{"E012", "x.toml:4:1", "rankngs = 3", "did you mean `rankings`?"}},
		"foreign":              {text: head + "[ppo]\nclip_coef = 0.2\n", want: []string{"E012", "did you mean `cliprange`?", "CleanRL `clip_coef`, SB3 `clip_range`"}},
		"other section":        {text: head + "[ppo]\nlabel_smoothing = 0.2\n", want: []string{"E013", "belongs in [dpo]"}},
		"no such section":      {text: head + "[pop]\nx = 1\n", want: []string{"E012", "did you mean `ppo`?"}},
		"string for number":    {text: head + "[objective]\nbeta = \"0.1\"\n", want: []string{"E021", "x.toml:4:8", "found a string", "write 0.1 without quotes"}},
		"number for string":    {text: head + "[dpo]\nloss_type = 3\n", want: []string{"E021", "a string", `write "3", in quotes`}},
		"float for int":        {text: head + "[ppo]\nbatch_size = 1.5\n", want: []string{"E021", "a whole number"}},
		"list for number":      {text: head + "[objective]\nbeta = [1, 2]\n", want: []string{"E021", "x.toml:4:"}},
		"nan":                  {text: head + "objective.beta = nan\n", want: []string{"E034", "x.toml:3:18", "finite"}},
		"range and why":        {text: head + "[labels]\nlabel_noise = 0.6\n", want: []string{"E034", "x.toml:4:15", "below 0.5", "carries no information"}},
		"huge":                 {text: head + "[world]\nmax_length = 1000000000\n", want: []string{"E034", "x.toml:4:14", "at most 64"}},
		"memory":               {text: head + "[world]\nmax_length = 30\n[policy]\norder = 20\n", want: []string{"E034", "policy.order", "MB"}},
		"unknown word":         {text: head + "[sft]\ndemonstrations = [{ prompt = \"i am so tired\", completion = \"rets\" }]\n", want: []string{"E034", "x.toml:4:", "did you mean \"rest\"?"}},
		"unknown prompt":       {text: head + "[sft]\ndemonstrations = [{ prompt = \"i am so tird\", completion = \"rest\" }]\n", want: []string{"E034", "did you mean \"i am so tired\"?"}},
		"table and words":      {text: head + "[[world.value]]\ncount = \"polit\"\nworth = [0, 1]\n", want: []string{"E034", "x.toml:4:9", "did you mean \"polite\"?"}},
		"worth too long":       {text: head + "[[world.value]]\ncount = \"harm\"\nworth = [0, 1, 2, 3, 4, 5, 6, 7]\n", want: []string{"E034", "at most 7 numbers"}},
		"no arm's method":      {text: head + "[[arm]]\nname = \"a\"\n", want: []string{"E041", "x.toml:3:3", "methods: ppo, dpo"}},
		"no such method":       {text: head + "[[arm]]\nmethod = \"pop\"\n", want: []string{"E041", "did you mean \"ppo\"?"}},
		"arms with a name":     {text: head + "[[arm]]\nmethod = \"ppo\"\n[[arm]]\nmethod = \"ppo\"\n", want: []string{"E041", "two arms"}},
		"bad arm name":         {text: head + "[[arm]]\nname = \"a/b\"\nmethod = \"ppo\"\n", want: []string{"E041", "x.toml:4:8", "letters"}},
		"arm upstream":         {text: head + "[[arm]]\nmethod = \"ppo\"\nlabels.rankings = 3\n", want: []string{"E013", "[grid]"}},
		"arm field":            {text: head + "[[arm]]\nmethod = \"ppo\"\nppo.cliprang = 3\n", want: []string{"E012", "x.toml:5:5", "cliprange"}},
		"grid no list":         {text: head + "[grid]\nlabels.rankings = 3\n", want: []string{"E051", "x.toml:4:19"}},
		"grid unknown":         {text: head + "[grid]\nlabels.rankngs = [3, 4]\n", want: []string{"E012", "rankings"}},
		"grid too large":       {text: head + "seeds = 10000\n[grid]\nlabels.rankings = [1, 2, 3, 4, 5]\nobjective.beta = [1, 2, 3]\n", want: []string{"E051", "cells"}},
		"variant twice":        {text: head + "[[variant]]\nname = \"a\"\n[[variant]]\nname = \"a\"\n", want: []string{"E051", "x.toml:6:8", "two variants"}},
		"variant's seeds":      {text: head + "[[variant]]\nseeds = 3\n", want: []string{"E012", "x.toml:4:1"}},
		"grid value twice":     {text: head + "[grid]\nlabels.rankings = [3, 3]\n", want: []string{"E051", "x.toml:4:23", "twice"}},
		"grid of seeds":        {text: head + "[grid]\nseeds = [3, 4]\n", want: []string{"E051", "cannot be swept"}},
		"lr in an arm":         {text: head + "[[arm]]\nmethod = \"ppo\"\nlr = 0.1\n", want: []string{"E012", "x.toml:5:1", "did you mean `ppo.learning_rate`?"}},
		"a field's and a slip": {text: head + "seed = 3\n", want: []string{"E013", "as world.random.seed; at the top there is `seeds`"}},
		"in many sections":     {text: head + "max_grad_norm = 1\n", want: []string{"E013", "belongs in [base] or [dpo] or [exact]"}},
		"quoted grid key":      {text: head + "[grid]\n\"labels.rankings\" = [3, 4]\n", want: nil},
		"grid section":         {text: head + "[grid]\nlabls.rankings = [3, 4]\n", want: []string{"E012", "x.toml:4:1", "did you mean `labels`?"}},
		"beta at the top":      {text: head + "beta = 3\n", want: []string{"E013", "objective.beta"}},
		"seeds":                {text: head + "seeds = 0\n", want: []string{"E034", "x.toml:3:9"}},
		"seeds twice":          {text: head + "seeds = [1, 1]\n", want: []string{"E034", "different"}},
		"file missing":         {text: head + "[sft]\nfile = \"none.jsonl\"\n", want: []string{"E061", "x.toml:4:8"}},
		"override unknown":     {text: head, overrides: []string{"ppo.clip=0.1"}, want: []string{"E012", "command line: ppo.clip=0.1", "cliprange"}},
		"override no value":    {text: head, overrides: []string{"ppo"}, want: []string{"E002", "key=value"}},
		"override range":       {text: head, overrides: []string{"objective.beta=-1"}, want: []string{"E034", "command line: objective.beta=-1"}},
		"NUL":                  {text: head + "title = \"a\x00b\"\n", want: []string{"E002"}},
		"not UTF-8":            {text: head + "title = \"\xff\"\n", want: []string{"E002"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, report := load(t, c.text, c.overrides...)
			if c.want == nil {
				if report != "" {
					t.Errorf("refused: %s", report)
				}
				return
			}
			for _, want := range append(c.want, "Nothing was run.") {
				if !strings.Contains(report, want) {
					t.Errorf("the report lacks %q:\n%s", want, report)
				}
			}
		})
	}
}

func TestAllProblemsAtOnceInFileOrder(t *testing.T) {
	_, report := load(t, head+"[objective]\nbeta = \"0.1\"\n[ppo]\nclip_coef = 1\nlam = 3\n[labels]\nlabel_noise = 0.6\n")
	last := 0
	for _, want := range []string{":4:8", ":6:1", ":7:7", ":9:15", "4 errors."} {
		at := strings.Index(report, want)
		if at <= last {
			t.Fatalf("%q is not where it should be in\n%s", want, report)
		}
		last = at
	}
}

func TestEveryFieldIsDocumentedAndNoOther(t *testing.T) {
	fields := map[string]bool{}
	for _, f := range docFields() {
		fields[f] = true
		if fieldDocs[f].Doc == "" {
			t.Errorf("%s is not documented", f)
		}
	}
	for f := range fieldDocs {
		if !fields[f] {
			t.Errorf("%s is documented and does not exist", f)
		}
	}
}

func TestPrecedence(t *testing.T) {
	e, report := load(t, head+"[objective]\nbeta = 0.5\n[ppo]\nlam = 0.8\n[[arm]]\nname = \"a\"\nmethod = \"ppo\"\nppo.lam = 0.7\n[[arm]]\nname = \"b\"\nmethod = \"ppo\"\nobjective.beta = 0.25\n", "seeds=2")
	if report != "" {
		t.Fatal(report)
	}
	p := e.Points[0]
	if len(e.Seeds) != 2 || p.Config.PPO.Lam != 0.8 || p.Arms[0].Config.PPO.Lam != 0.7 || p.Arms[1].Config.PPO.Lam != 0.8 {
		t.Errorf("seeds %v, lam %v, %v, %v", e.Seeds, p.Config.PPO.Lam, p.Arms[0].Config.PPO.Lam, p.Arms[1].Config.PPO.Lam)
	}
	// The coefficients follow objective.beta, the arm's own where it has one.
	if p.Arms[0].Config.PPO.KLCoef != 0.5 || p.Arms[1].Config.PPO.KLCoef != 0.25 || p.Arms[1].Config.DPO.Beta != 0.25 {
		t.Errorf("β %v, %v", p.Arms[0].Config.PPO.KLCoef, p.Arms[1].Config.PPO.KLCoef)
	}
	e, report = load(t, head+"[[arm]]\nname = \"a\"\nmethod = \"ppo\"\nppo.lam = 0.7\n", "ppo.lam=0.6")
	if report != "" || e.Points[0].Arms[0].Config.PPO.Lam != 0.6 {
		t.Errorf("the command line does not win over an arm: %s", report)
	}
}

func TestGridAndVariantsMultiply(t *testing.T) {
	e, report := load(t, head+"[grid]\nlabels.rankings = [10, 20]\nobjective.beta = [0.5, 1]\n[[variant]]\nname = \"careful\"\nlabels.rater_temperature = 0.5\n[[variant]]\nname = \"noisy\"\nlabels.label_noise = 0.2\n")
	if report != "" {
		t.Fatal(report)
	}
	if got := fmt.Sprint(e.Swept); got != "[labels.rankings objective.beta variant]" || len(e.Points) != 8 {
		t.Fatalf("swept %s, %d points", got, len(e.Points))
	}
	p := e.Points[6]
	if fmt.Sprint(p.Values) != "[20 0.5 noisy]" || p.Config.Labels.Rankings != 20 || p.Config.Objective.Beta != 0.5 || p.Config.Labels.LabelNoise != 0.2 || p.Arms[0].Config.PPO.KLCoef != 0.5 {
		t.Errorf("point %v: %+v", p.Values, p.Config.Labels)
	}
	if p.folder(e.Swept) != "labels.rankings=20,objective.beta=0.5,variant=noisy/" {
		t.Errorf("folder %q", p.folder(e.Swept))
	}
}

func TestExtendsAChainOfFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("sub", 0o777); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "a.toml", []byte("format = 1\nextends = \"chapter\"\nseeds = 4\n[ppo]\nlam = 0.5\ncliprange = 0.3\n"))
	writeFile(t, "sub/b.toml", []byte("format = 1\nextends = \"../a.toml\"\n[ppo]\nlam = 0.6\n[sft]\nfile = \"more.jsonl\"\n"))
	writeFile(t, "sub/more.jsonl", []byte("{\"prompt\": \"i am so tired\", \"completion\": \"rest\"}\n\n{\"prompt\": \"i am so tired\", \"completion\": \"please rest\"}\n"))
	e, err := Load("sub/b.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := e.Points[0].Config
	if c.PPO.Lam != 0.6 || c.PPO.Cliprange != 0.3 || len(e.Seeds) != 4 || e.Name != "b" || len(c.SFT.Demonstrations) != 42 || c.SFT.File != "" {
		t.Errorf("lam %v, cliprange %v, seeds %v, name %s, %d demonstrations", c.PPO.Lam, c.PPO.Cliprange, e.Seeds, e.Name, len(c.SFT.Demonstrations))
	}
	writeFile(t, "sub/more.jsonl", []byte("{\"prompt\": \"i am so tired\", \"completion\": \"rest\"}\n{\"prompt\": \"i am so tired\", \"chosen\": \"rest\"}\n"))
	if _, err = Load("sub/b.toml", nil); err == nil || !strings.Contains(err.Error(), "more.jsonl:2:1") {
		t.Errorf("a bad line: %v", err)
	}
}

// Files made to hurt are refused quickly; the limit is generous, it only tells
// seconds from minutes.
func TestHostileFiles(t *testing.T) {
	for name, text := range map[string]string{
		"dotted key":     strings.Repeat("a.", 30_000) + "a = 1",
		"nested arrays":  "x = " + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000),
		"inline tables":  "x = " + strings.Repeat("{a=", 15_000) + "1" + strings.Repeat("}", 15_000),
		"many keys":      manyKeys(6000),
		"many tables":    strings.Repeat("[[arm]]\n", 7000),
		"one long value": "title = \"" + strings.Repeat("a", 60_000) + "\"",
	} {
		at := time.Now()
		_, report := load(t, "format = 1\nextends = \"chapter\"\n"+text)
		if report == "" && name != "one long value" {
			t.Errorf("%s was accepted", name)
		}
		if took := time.Since(at); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

// Whatever a field holds, a file is accepted or its problems are told: no value of
// the wrong kind, size or name takes the program down, in a file that has an arm of
// every section, claims something of each and draws it.
func TestAnyValueOfAnyField(t *testing.T) {
	text := head
	arms := map[string]bool{}
	for _, m := range sim.Methods {
		if arms[m.Section] {
			continue
		}
		arms[m.Section] = true
		text += "[[arm]]\nmethod = \"" + m.Name + "\"\n" + goldClaim + "of = \"" + m.Name + "\"\nis = \"above\"\nthan = 0\n"
	}
	text += "[[figure]]\nkind = \"curve\"\ny = \"loss/policy_avg\"\n"
	if _, report := load(t, text); report != "" {
		t.Fatal(report)
	}
	for _, name := range docFields() {
		for _, value := range []string{`"Onpo"`, `["a"]`, "true", "-1", "0", "3", "1e300", "nan"} {
			func() {
				defer func() {
					if e := recover(); e != nil {
						t.Errorf("%s = %s: %v", name, value, e)
					}
				}()
				Load("x.toml", []string{name + "=" + value})
			}()
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	return b.String()
}

func FuzzLoad(f *testing.F) {
	for _, name := range Embedded() {
		data, _ := Show(name)
		f.Add(string(data))
	}
	f.Add(head + "[grid]\nlabels.rankings = [1, 2]\n[[variant]]\nname = \"x\"\n")
	f.Add(head + "[[arm]]\nmethod = \"ppo\"\nppo.lam = 0.5\n")
	f.Add(head + "[[arm]]\nthod = \"ppo\"\n[[figure]]\nkind = \"curve\"\ny = \"loss/policy_avg\"\n")
	f.Add(head + goldClaim + "of = \"ppo\"\nat = \"KL 2\"\nis = \"equal\"\nthan = { at = \"best\" }\nby = 0.5\n")
	f.Add(head + goldClaim + "of = \"sft\"\ntrend = \"peaks inside\"\nover = \"step\"\n")
	f.Fuzz(resolvesToItself)
}

// resolvesToItself loads a file; if there is nothing wrong with it, it means the same when
// it is written out whole.
func resolvesToItself(t *testing.T, text string) {
	path := filepath.Join(t.TempDir(), "x.toml")
	writeFile(t, path, []byte(text))
	e, err := Load(path, nil)
	if err != nil {
		return
	}
	writeFile(t, path, e.Resolved)
	again, err := Load(path, nil)
	if err != nil {
		t.Fatalf("the resolved file does not load: %v\n%s\n%s", err, text, e.Resolved)
	}
	if fmt.Sprint(e.Points) != fmt.Sprint(again.Points) {
		t.Fatalf("the resolved file means something else:\n%s", text)
	}
}

// What every arm and every point of a grid meets again is said once, also where one
// value has several things wrong with it.
func TestProblemsAreToldOnce(t *testing.T) {
	e, err := Load("chapter", []string{`reward.counts=["polit","length"]`})
	var all Problems
	if e != nil || !errors.As(err, &all) || len(all) != 2 {
		t.Errorf("%v", err)
	}
	// What a file lacks its arms lack, too; and what it lacks for a misspelt extends is no other mistake.
	for text, want := range map[string]int{"": 7, "extend = \"chapter\"\n": 2} {
		_, report := load(t, "format = 1\n"+text+"[[arm]]\nmethod = \"ppo\"\n[[arm]]\nmethod = \"dpo\"\ndpo.beta = -1.0\n")
		if !strings.Contains(report, fmt.Sprint(want, " errors.")) || !strings.Contains(report, "dpo.beta") {
			t.Errorf("%swant %d errors:\n%s", text, want, report)
		}
	}
}
