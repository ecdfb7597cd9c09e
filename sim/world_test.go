package sim

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
	"rlhfsim/reward"
)

// smallConfig is a world of two prompts and seven words that trains in
// milliseconds.
func smallConfig() Config {
	c := Default()
	c.World = WorldConfig{
		MaxLength: 3,
		Words: field.Table[[]string]{{Key: "answer", Value: []string{"restart", "charge"}}, {Key: "link", Value: []string{"it", "then"}},
			{Key: "polite", Value: []string{"please"}}, {Key: "harm", Value: []string{"smash", "burn"}}},
		Prompts: []PromptConfig{{Text: "my phone is frozen", Answers: []string{"restart"}, Weight: 1}, {Text: "my battery is empty", Answers: []string{"charge"}, Weight: 3}},
		Values: []ValueConfig{{Count: rightAnswer, Worth: []float64{0, 2}}, {Count: wrongAnswer, Worth: []float64{0, -0.7}}, {Count: "polite", Worth: []float64{0, 0.8, -0.6}},
			{Count: "harm", Worth: []float64{0, -3}}, {Count: repeat, Worth: []float64{0, -0.8}}, {Count: length, Worth: []float64{-1, 0, 0, -0.3}}},
	}
	c.Base.Lines = 300
	c.Base.Weights = field.Table[float64]{{Key: "answer", Value: 1}, {Key: "link", Value: 1}, {Key: "harm", Value: 1}}
	c.SFT.Demonstrations = []DemonstrationConfig{{"my phone is frozen", "restart it please"}, {"my battery is empty", "charge it"}}
	c.Labels.Rankings, c.Labels.HeldOut = 60, 40
	c.PPO.TotalEpisodes, c.PPO.BatchSize = 320, 32
	c.GRPO.TotalEpisodes, c.GRPO.BatchSize = 320, 32
	c.RAFT.TotalEpisodes, c.RAFT.BatchSize = 320, 32
	c.Online.TotalEpisodes, c.Online.BatchSize = 320, 32
	c.DPO.NumTrainEpochs = 2
	return c
}

func mustWorld(t testing.TB, c Config) *World {
	t.Helper()
	w, err := NewWorld(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *World) say(t testing.TB, text string) policy.Response {
	t.Helper()
	var y policy.Response
	for _, word := range strings.Fields(text) {
		token, known := w.token[word]
		if !known {
			t.Fatalf("no word %q", word)
		}
		y = append(y, token)
	}
	return y
}

func TestValueIsTheSumOfTheTables(t *testing.T) {
	w := mustWorld(t, smallConfig())
	for _, c := range []struct {
		prompt policy.Prompt
		text   string
		want   float64
	}{
		{0, "", -1},
		{0, "restart", 2},
		{0, "charge", -0.7},
		{1, "charge", 2},
		{0, "restart charge", 2 - 0.7},
		{0, "restart restart", 2 - 0.8},
		{0, "please restart it", 2 + 0.8 - 0.3},
		{0, "please please please", -0.6 - 0.8 - 0.3},
		{0, "smash burn", -3},
		{1, "restart then restart", -0.7 - 0.3},
	} {
		if got := w.Value(c.prompt, w.say(t, c.text)); !(math.Abs(got-c.want) <= 1e-12) {
			t.Errorf("prompt %d, %q is worth %v, want %v", c.prompt, c.text, got, c.want)
		}
	}
	if got := w.Weights[1]; got != 0.75 {
		t.Errorf("the second prompt has probability %v", got)
	}
	if w.Text(nil) != "(silence)" || w.Text(w.say(t, "charge it")) != "charge it" {
		t.Error("words are not printed as they are")
	}
}

func TestRatersRankByPlackettLuce(t *testing.T) {
	w := mustWorld(t, smallConfig())
	h := Rater{World: w, Temperature: 1.5}
	ys := []policy.Response{w.say(t, "restart"), w.say(t, "please"), w.say(t, "it")}
	scores := make([]float64, 3)
	for i, y := range ys {
		scores[i] = num.Exp(w.Value(0, y) / 1.5)
	}
	const n = 60_000
	seen := map[string]float64{}
	r := rng.New(1)
	for range n {
		ranking := h.Rank(0, ys, r)
		name := ""
		for _, y := range ranking.Responses {
			name += w.Text(y) + " "
		}
		seen[name]++
	}
	chi2 := 0.0
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		p, left, name := 1.0, scores[0]+scores[1]+scores[2], ""
		for _, i := range order {
			p *= scores[i] / left
			left -= scores[i]
			name += w.Text(ys[i]) + " "
		}
		chi2 += (seen[name] - n*p) * (seen[name] - n*p) / (n * p)
	}
	if chi2 > 25.7 { // 5 degrees of freedom, 0.9999 quantile
		t.Errorf("χ² = %.1f", chi2)
	}
}

func TestLabelNoiseReversesComparisons(t *testing.T) {
	w := mustWorld(t, smallConfig())
	h := Rater{World: w, Temperature: 1, LabelNoise: 0.2}
	r := rng.New(2)
	reversed, all := 0, 0
	for range 5000 {
		ranking := h.Rank(0, []policy.Response{w.say(t, "restart"), w.say(t, "please"), w.say(t, "it"), nil}, r)
		for _, flip := range ranking.Reversed {
			all++
			if flip {
				reversed++
			}
		}
	}
	if share := float64(reversed) / float64(all); all != 30_000 || !(math.Abs(share-0.2) <= 0.01) {
		t.Errorf("%d comparisons, %.3f reversed", all, share)
	}
	clean := Rater{World: w, Temperature: 1}
	if got, want := h.Prefers(1, 0), 0.8*clean.Prefers(1, 0)+0.2*clean.Prefers(0, 1); !(math.Abs(got-want) <= 1e-12) {
		t.Errorf("noisy preference %v, want %v", got, want)
	}
}

func TestAgreementIsExact(t *testing.T) {
	c := smallConfig()
	w := mustWorld(t, c)
	p, err := policy.NewSoftmax(w.Shape, policy.Table)
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.NewCountValue(context.Background(), w.Shape, w.Gold)
	if err != nil {
		t.Fatal(err)
	}
	h := Rater{World: w, Temperature: 1, LabelNoise: 0.05}
	agreement, ceiling := h.Agreement(t.Context(), policy.NewEvaluator(w.Shape, w.Weights).Distribution(&p.Chain, d))
	r := rng.New(3)
	agreed, right := 0.0, 0.0
	const n = 200_000
	for range n {
		x := policy.Prompt(r.Categorical(w.Weights))
		a, b := w.Value(x, p.Sample(nil, x, r)), w.Value(x, p.Sample(nil, x, r))
		pr := h.Prefers(a, b)
		one, two := r.Float64() < pr, r.Float64() < pr
		if one == two {
			agreed++
		}
		switch {
		case a == b:
			right += 0.5
		case one == (a > b):
			right++
		}
	}
	if !(math.Abs(agreement-agreed/n) <= 0.005) || !(math.Abs(ceiling-right/n) <= 0.005) {
		t.Errorf("agreement %.4f, sampled %.4f; ceiling %.4f, sampled %.4f", agreement, agreed/n, ceiling, right/n)
	}
}

func TestRawTextFollowsItsWeights(t *testing.T) {
	c := smallConfig()
	c.Base.Lines, c.Base.Repeat, c.Base.OnTopic = 20_000, 0, 1
	w := mustWorld(t, c)
	lines := w.rawText(c.Base, rng.New(4))
	words, total, wrong, one := map[string]float64{}, 0.0, 0, 0.0
	for _, l := range lines {
		if len(l.Response) == 0 || len(l.Response) > w.Shape.MaxLength {
			t.Fatalf("a line of %d words", len(l.Response))
		}
		if len(l.Response) == 1 {
			one++
		}
		for _, token := range l.Response {
			words[w.Groups[w.Group[token]]]++
			total++
			if w.answersAny(token) && !slices.Contains(w.answers[l.Prompt], token) {
				wrong++
			}
		}
	}
	for _, g := range []string{"answer", "link", "harm"} {
		if share := words[g] / total; !(math.Abs(share-1.0/3) <= 0.01) {
			t.Errorf("%s: %.3f of all words", g, share)
		}
	}
	if words["polite"] != 0 || wrong != 0 || !(math.Abs(one/20_000-c.Base.Stop) <= 0.01) {
		t.Errorf("polite %v, wrong answers %d, lines of one word %.3f", words["polite"], wrong, one/20_000)
	}
}

func TestValidateFindsEveryProblemAtOnce(t *testing.T) {
	c := smallConfig()
	c.World.Prompts[0].Answers = []string{"restrat"}
	c.World.Prompts[1].Text = c.World.Prompts[0].Text
	c.World.Values[2].Count = "polit"
	c.World.Values[0].Worth = make([]float64, 9)
	c.World.Values[3].Worth = []float64{math.NaN()}
	c.World.Words[1].Value = []string{"it", "two words", "restart"}
	c.Base.Weights[0].Key = "anser"
	c.Base.Repeat = 1.5
	c.SFT.Demonstrations[0] = DemonstrationConfig{"my phone is frosen", "restart it please it"}
	c.Labels.LabelNoise = 0.6
	c.Labels.ResponsesPerRanking = 10
	c.Labels.ResponseSource = "stf"
	c.Objective.Beta = 0
	c.Policy.Parametrisation = "tabel"
	c.Policy.Rank = 0
	c.Evaluation.Every = 0
	want := []string{"world.prompt[0].answers", "world.prompt[1].text", "world.value[2].count", "world.value[0].worth", "world.value[3].worth",
		"world.words.link", "base.weights.anser", "base.repeat", "sft.demonstrations[0].prompt", "sft.demonstrations[0].completion",
		"labels.label_noise", "labels.responses_per_ranking", "labels.response_source", "objective.beta", "policy.parametrisation", "policy.rank", "evaluation.every"}
	found := map[string]*field.Error{}
	for _, e := range field.All(c.Validate()) {
		found[e.Field] = e
	}
	for _, name := range want {
		if found[name] == nil {
			t.Errorf("%s was not reported", name)
		}
	}
	if e := found["world.prompt[0].answers"]; e != nil && e.Help != `did you mean "restart"?` {
		t.Errorf("help %q", e.Help)
	}
	if _, err := NewWorld(c); err == nil {
		t.Error("a world was built all the same")
	}
}

func TestValidateRefusesSizesThatCannotFit(t *testing.T) {
	c := smallConfig()
	c.World.MaxLength = 1_000_000_000
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "world.max_length") {
		t.Errorf("max_length 10⁹: %v", err)
	}
	c = smallConfig()
	c.World.MaxLength, c.Policy.Order = 40, 30
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "policy.order") || !strings.Contains(err.Error(), "MB") {
		t.Errorf("order 30: %v", err)
	}
}

func TestDefaultsAreValid(t *testing.T) {
	if err := smallConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestSaysIsTheProbabilityOfAnySuchWord(t *testing.T) {
	w := mustWorld(t, smallConfig())
	if got := strings.Join(w.Disliked(), " "); got != "harm" {
		t.Errorf("disliked: %q", got)
	}
	p, err := policy.NewSoftmax(w.Shape, policy.Table)
	if err != nil {
		t.Fatal(err)
	}
	// Uniform over 7 words and EOS: a response holds none of 2 words with
	// probability Σ_{n<3} (5/8)ⁿ (1/8) + (5/8)³.
	none := 1.0/8 + 5.0/64 + 25.0/512 + 125.0/512
	if got := w.Says(&p.Chain, "harm"); !(math.Abs(got-(1-none)) <= 1e-12) {
		t.Errorf("says harm with probability %v, want %v", got, 1-none)
	}
}

// Raters who call ties: every comparison of a ranking is one of Rao and Kupper's,
// and what is said of their agreement follows from that.
func TestRatersCallTies(t *testing.T) {
	s := mustShared(t, smallConfig(), 1)
	h := Rater{World: s.World, Temperature: 1.5, TieNu: 3}
	y := []policy.Response{s.Rankings[0].Responses[0], s.Rankings[1].Responses[1], nil}
	r := s.stream("test", "ties")
	var tied, above, agree estimate
	win, lose, tie := h.label(s.World.Value(0, y[0]), s.World.Value(0, y[2]))
	if !(math.Abs(win+lose+tie-1) <= 1e-15) || tie <= 0 {
		t.Fatalf("%v + %v + %v", win, lose, tie)
	}
	verdict := func() (first, equal float64) {
		ranking := h.Rank(0, y, r)
		for _, c := range ranking.Comparisons(nil) {
			a, b := ranking.Responses[c.Chosen], ranking.Responses[c.Rejected]
			if len(a) > 0 && len(b) > 0 || slices.Equal(a, y[1]) || slices.Equal(b, y[1]) { // not the pair asked about
				continue
			}
			if c.Tied {
				return 0, 1
			}
			if slices.Equal(a, y[0]) {
				return 1, 0
			}
		}
		return 0, 0
	}
	for range 20_000 {
		a, equal := verdict()
		b, again := verdict()
		tied.add(equal)
		above.add(a)
		same := 0.0
		if a == b && equal == again {
			same = 1
		}
		agree.add(same)
	}
	var v verdicts
	v.add(h, s.World.Value(0, y[0]), s.World.Value(0, y[2]), 1)
	for name, c := range map[string]struct {
		got  estimate
		want float64
	}{"ties": {tied, tie}, "first preferred": {above, win}, "agreement": {agree, v.agree}} {
		if !(math.Abs(c.got.mean()-c.want) <= 4.5*c.got.se()) {
			t.Errorf("%s: %v ± %v, exactly %v", name, c.got.mean(), c.got.se(), c.want)
		}
	}
}

// A loss that has no place for ties refuses raters who call them.
func TestTiesAreRefusedWhereTheyCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		method string
		fields int
	}{
		"pairwise and sigmoid": {func(c *Config) {}, "dpo", 2},
		"pairwise":             {func(c *Config) {}, "ppo", 1},
		"dropped":              {func(c *Config) { c.Reward.DropTies, c.DPO.DropTies = true, true }, "dpo", 0},
		"used": {func(c *Config) {
			c.Reward.LossType, c.DPO.LossType = reward.RaoKupperLoss, "davidson"
		}, "dpo", 0},
		"rankings": {func(c *Config) {
			c.Reward.LossType, c.Reward.DropTies, c.DPO.LossType, c.DPO.DropTies = reward.PickBestLoss, true, "plackett_luce", true
		}, "dpo", 2},
	} {
		config := smallConfig()
		config.Labels.TieNu = 2
		c.change(&config)
		if problems := field.All(config.ValidateFor(c.method)); len(problems) != c.fields {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
