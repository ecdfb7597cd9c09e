package experiments

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goldClaim = "[[claim]]\nmetric = \"exact/gold_reward\"\n"

func TestProblemsOfClaims(t *testing.T) {
	grid := "[grid]\nlabels.rankings = [50, 200]\nobjective.beta = [0.5]\n"
	for name, c := range map[string]struct {
		text      string
		overrides []string
		want      []string
	}{
		"fine":             {text: goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = 0.5\n"},
		"fine, an arm":     {text: goldClaim + "of = \"ppo\"\nat = \"KL 1.5\"\nis = \"equal\"\nthan = \"dpo\"\nby = 1\n"},
		"fine, a table":    {text: grid + goldClaim + "of = \"ppo\"\nwhere = { labels.rankings = 50.0 }\nis = \"below\"\nthan = { of = \"sft\", at = \"first\", where = { \"labels.rankings\" = 200 } }\n"},
		"fine, a trend":    {text: grid + goldClaim + "of = \"ppo\"\ntrend = \"rises\"\nover = \"labels.rankings\"\n"},
		"fine, over KL":    {text: goldClaim + "of = \"ppo\"\ntrend = \"peaks inside\"\nover = \"exact/kl\"\n"},
		"fine, a variant":  {text: "[[variant]]\nname = \"x\"\n[[variant]]\nname = \"y\"\n" + goldClaim + "of = \"ppo\"\nwhere = { variant = \"x\" }\nis = \"above\"\nthan = 0\n"},
		"single brackets":  {text: "[claim]\nmetric = \"x\"\n", want: []string{"E021", "[[claim]]"}},
		"no table":         {text: "claim = [1]\n", want: []string{"E021", "a list of tables"}},
		"too many":         {text: strings.Repeat("[[claim]]\n", 1001), want: []string{"E071", "at most 1000"}},
		"unknown key":      {text: goldClaim + "of = \"ppo\"\ntahn = 3\n", want: []string{"E012", "x.toml:6:1", "did you mean `than`?"}},
		"unknown in than":  {text: goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = { off = \"dpo\" }\n", want: []string{"E012", "x.toml:7:10", "did you mean `of`?"}},
		"type of metric":   {text: "[[claim]]\nmetric = 3\n", want: []string{"E021", "x.toml:4:10", "a string"}},
		"type of by":       {text: goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = 1\nby = \"0.1\"\n", want: []string{"E021", "x.toml:8:6", "without quotes"}},
		"type of than":     {text: goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = [1]\n", want: []string{"E021", "x.toml:7:9", "a number, a name or a table"}},
		"type of where":    {text: goldClaim + "of = \"ppo\"\nwhere = 3\n", want: []string{"E021", "x.toml:6:9", "a table"}},
		"infinite":         {text: goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = inf\n", want: []string{"E034", "finite"}},
		"no metric":        {text: "[[claim]]\nof = \"ppo\"\nis = \"above\"\nthan = 1\n", want: []string{"E071", "x.toml:3:3", "its metric"}},
		"no such metric":   {text: "[[claim]]\nmetric = \"exact/gold_rewrd\"\nof = \"ppo\"\nis = \"above\"\nthan = 1\n", want: []string{"E071", "x.toml:4:10", "did you mean \"exact/gold_reward\"?"}},
		"another's metric": {text: "[[claim]]\nmetric = \"eval_accuracy\"\nof = \"ppo\"\nis = \"above\"\nthan = 1\n", want: []string{"E071", "ppo has no metric"}},
		"than's metric":    {text: "[[claim]]\nmetric = \"rewards/margins\"\nof = \"dpo\"\nis = \"above\"\nthan = \"ppo\"\n", want: []string{"E071", "ppo has no metric"}},
		"no of":            {text: goldClaim + "is = \"above\"\nthan = 1\n", want: []string{"E071", "of = \"ppo\""}},
		"no such arm":      {text: goldClaim + "of = \"pop\"\nis = \"above\"\nthan = 1\n", want: []string{"E071", "x.toml:5:6", "did you mean \"ppo\"?", "base, sft, reward"}},
		"than no such arm": {text: goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = \"dop\"\n", want: []string{"E071", "x.toml:7:8", "did you mean \"dpo\"?"}},
		"no is":            {text: goldClaim + "of = \"ppo\"\nthan = 1\n", want: []string{"E071", "x.toml:3:3", "above, below or equal"}},
		"misspelt is":      {text: goldClaim + "of = \"ppo\"\nis = \"abov\"\nthan = 1\n", want: []string{"E071", "x.toml:6:6", "did you mean \"above\"?"}},
		"no than":          {text: goldClaim + "of = \"ppo\"\nis = \"above\"\n", want: []string{"E071", "x.toml:6:6", "than what"}},
		"negative by":      {text: goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = 1\nby = -1\n", want: []string{"E071", "x.toml:8:6", "at least 0"}},
		"no such moment":   {text: goldClaim + "of = \"ppo\"\nat = \"lst\"\nis = \"above\"\nthan = 1\n", want: []string{"E071", "x.toml:6:6", "did you mean \"last\"?"}},
		"step of nothing":  {text: goldClaim + "of = \"ppo\"\nat = \"step x\"\nis = \"above\"\nthan = 1\n", want: []string{"E071", "step 40"}},
		"no best":          {text: "[[claim]]\nmetric = \"exact/kl\"\nof = \"ppo\"\nat = \"best\"\nis = \"above\"\nthan = 1\n", want: []string{"E071", "x.toml:6:6", "has no best"}},
		"no KL":            {text: "[[claim]]\nmetric = \"eval_loss\"\nof = \"reward\"\nat = \"KL 1\"\nis = \"above\"\nthan = 1\n", want: []string{"E071", "no KL"}},
		"not swept":        {text: goldClaim + "of = \"ppo\"\nwhere = { \"labels.rankings\" = 50 }\nis = \"above\"\nthan = 1\n", want: []string{"E071", "x.toml:6:11", "is not swept"}},
		"misspelt field":   {text: grid + goldClaim + "of = \"ppo\"\nwhere = { \"labels.ranking\" = 50 }\nis = \"above\"\nthan = 1\n", want: []string{"E071", "did you mean \"labels.rankings\"?"}},
		"no such value":    {text: grid + goldClaim + "of = \"ppo\"\nwhere = { \"labels.rankings\" = 60 }\nis = \"above\"\nthan = 1\n", want: []string{"E071", "never 60", "50, 200"}},
		"two values":       {text: grid + goldClaim + "of = \"ppo\"\nwhere = { \"labels.rankings\" = 50, labels.rankings = 200 }\nis = \"above\"\nthan = 1\n", want: []string{"E071", "two values"}},
		"trend and is":     {text: goldClaim + "of = \"ppo\"\nis = \"above\"\ntrend = \"rises\"\nover = \"step\"\n", want: []string{"E071", "x.toml:6:1", "not both"}},
		"misspelt trend":   {text: goldClaim + "of = \"ppo\"\ntrend = \"peaks\"\nover = \"step\"\n", want: []string{"E071", "x.toml:6:9", "peaks inside"}},
		"over nothing":     {text: goldClaim + "of = \"ppo\"\ntrend = \"rises\"\n", want: []string{"E071", "over what"}},
		"over what":        {text: grid + goldClaim + "of = \"ppo\"\ntrend = \"rises\"\nover = \"labels.rankngs\"\n", want: []string{"E071", "did you mean \"labels.rankings\"?"}},
		"over and where":   {text: grid + goldClaim + "of = \"ppo\"\nwhere = { \"labels.rankings\" = 50 }\ntrend = \"rises\"\nover = \"labels.rankings\"\n", want: []string{"E071", "follows it"}},
		"over one value":   {text: grid + goldClaim + "of = \"ppo\"\ntrend = \"rises\"\nover = \"objective.beta\"\n", want: []string{"E071", "1 value here", "at least 2"}},
		"peak of two":      {text: grid + goldClaim + "of = \"ppo\"\ntrend = \"peaks inside\"\nover = \"labels.rankings\"\n", want: []string{"E071", "2 values here", "at least 3"}},
		"trend at":         {text: goldClaim + "of = \"ppo\"\nat = \"best\"\ntrend = \"rises\"\nover = \"step\"\n", want: []string{"E071", "has no `at`"}},
		"reward over KL":   {text: "[[claim]]\nmetric = \"eval_loss\"\nof = \"reward\"\ntrend = \"falls\"\nover = \"exact/kl\"\n", want: []string{"E071", "no KL"}},
		"over, no trend":   {text: goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = 1\nover = \"step\"\n", want: []string{"E071", "belongs to a trend"}},
		"a changed grid":   {text: grid + goldClaim + "of = \"ppo\"\nwhere = { \"labels.rankings\" = 50 }\nis = \"above\"\nthan = 1\n", overrides: []string{"grid.labels.rankings=[1,2]"}, want: []string{"never 50", "`claim=[]`"}},
		"no claims at all": {text: grid + goldClaim + "of = \"ppo\"\nwhere = { \"labels.rankings\" = 50 }\nis = \"above\"\nthan = 1\n", overrides: []string{"grid.labels.rankings=[1,2]", "claim=[]"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, report := load(t, head+c.text, c.overrides...)
			if c.want == nil {
				if report != "" {
					t.Fatalf("refused: %s", report)
				}
				writeFile(t, "y.toml", e.Resolved)
				if again, err := Load("y.toml", nil); err != nil || len(again.Claims) != len(e.Claims) || string(again.Resolved) != string(e.Resolved) {
					t.Errorf("resolved: %v\n%s", err, e.Resolved)
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

// A claim is about one file's results: what extends the file makes its own.
func TestClaimsAreNotInherited(t *testing.T) {
	e, report := load(t, head)
	if report != "" || len(e.Claims) != 0 {
		t.Errorf("%d claims of the chapter are inherited: %s", len(e.Claims), report)
	}
}

func TestSentences(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = \"sft\"\nby = 0.5\n", "exact/gold_reward of ppo is above that of sft by more than 0.5"},
		{goldClaim + "of = \"ppo\"\nat = \"KL 2.0\"\nis = \"equal\"\nthan = \"dpo\"\nby = 0.5\n", "exact/gold_reward of ppo at KL 2 equals that of dpo at KL 2 within 0.5"},
		{goldClaim + "of = \"ppo\"\nat = \"best\"\nis = \"below\"\nthan = { at = \"first\" }\n", "exact/gold_reward of ppo at its best is below that of ppo at first"},
		{goldClaim + "of = \"ppo\"\nat = \"best\"\nis = \"below\"\nthan = \"sft\"\n", "exact/gold_reward of ppo at its best is below that of sft"},
		{goldClaim + "of = \"ppo\"\ntrend = \"peaks inside\"\nover = \"step\"\n", "exact/gold_reward of ppo peaks inside, over step"},
		{goldClaim + "of = \"ppo\"\nis = \"above\"\nthan = 1\nsays = \"Better\"\n", "Better"},
	} {
		e, report := load(t, head+c.text)
		if report != "" {
			t.Fatal(report)
		}
		if got := e.Claims[0].Says; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Every experiment that comes with the program asks a question, makes claims, and
// runs: here with two seeds and little training, so its claims stay open.
func TestEmbeddedExperimentsRun(t *testing.T) {
	for _, name := range Embedded() {
		t.Run(name, func(t *testing.T) {
			overrides := []string{"seeds=2", "base.lines=100", "labels.held_out=20", "ppo.total_episodes=256", "dpo.num_train_epochs=1", "exact.num_steps=3", "evaluation.every=1"}
			e, err := Load(name, overrides)
			if err != nil {
				t.Fatal(err)
			}
			if e.Title == "" || e.Question == "" {
				t.Error("no title or no question")
			}
			// What best-of-n shows stands in best_of_n.csv, which is no metric of a stage.
			if len(e.Claims) == 0 && e.Points[0].Config.Evaluation.BestOfN == 0 {
				t.Error("no claims")
			}
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "cells"), 0o777); err != nil {
				t.Fatal(err)
			}
			for i := range e.Points { // the sizes that are swept or set for the real run
				shrink(&e.Points[i])
			}
			r, err := Execute(context.Background(), e, Options{Dir: dir, Jobs: 2})
			if err != nil || len(r.Failures) > 0 {
				t.Fatal(err, r.Failures)
			}
			for _, v := range r.Verdicts() {
				if v.Verdict == undecided && !strings.Contains(v.Note, "2 seeds") {
					t.Errorf("%s: %s", v.Says, v.why())
				}
			}
			files := tables(t, r)
			if strings.Contains(string(files["summary.md"]), "## Claims") != (len(e.Claims) > 0) || strings.Count(string(files["claims.csv"]), "\n") < 1+len(e.Claims) {
				t.Error("the claims are not in the tables")
			}
		})
	}
}

// The page of the experiments has a line for each.
func TestEmbeddedExperimentsAreDescribed(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/experiments.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Embedded() {
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/reference/experiments.md does not describe %s", name)
		}
	}
}

func shrink(p *Point) {
	p.Config.SFT.Generate, p.Config.Labels.Rankings = min(p.Config.SFT.Generate, 20), min(p.Config.Labels.Rankings, 20)
	p.Config.Evaluation.BestOfN = min(p.Config.Evaluation.BestOfN, 4)
	p.Config.SFT.NumTrainEpochs, p.Config.Reward.NumTrainEpochs = 1, 1
}
