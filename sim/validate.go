package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rlhfsim/dpo"
	"rlhfsim/internal/field"
	"rlhfsim/policy"
	"rlhfsim/reward"
)

// The counts a value table may name besides the word groups.
const (
	rightAnswer = "right answer"
	wrongAnswer = "wrong answer"
	repeat      = "repeat"
	length      = "length"
)

var specialCounts = []string{rightAnswer, wrongAnswer, repeat, length}

// Limits of a world: generous for anything that runs on a laptop, and small
// enough that nothing overflows before the size of the tables is checked.
const (
	maxLength  = 64
	maxWords   = 1 << 16
	maxPrompts = 1 << 16
	maxLines   = 10_000_000
)

// Validate reports every problem of the configuration at once, as field.Errors
// whose Field is the dotted path from the root of an experiment file.
func (c Config) Validate() error {
	var k field.Checker
	if c.World.Random.Words != 0 { // nothing can be said of a world that cannot be generated
		c.World.Random.validate(&k, c)
		if k.Count("world.max_length", c.World.MaxLength, 1, maxLength); k.Err() != nil {
			return k.Err()
		}
		c = c.Expanded()
	}
	c.World.validate(&k)
	field.OneOf(&k, "policy.parametrisation", c.Policy.Parametrisation, policy.Parametrisations)
	k.Count("policy.order", c.Policy.Order, 1, maxLength)
	k.Count("policy.rank", c.Policy.Rank, 1, maxWords)
	c.Base.validate(&k, c.World)
	k.Under("sft", c.SFT.FitConfig.Validate())
	c.validateDemonstrations(&k)
	c.Labels.validate(&k)
	k.Under("reward", c.Reward.Validate())
	c.validateCounts(&k)
	c.validateTies(&k)
	k.Positive("objective.beta", c.Objective.Beta)
	k.Under("ppo", c.PPO.Validate())
	k.Under("grpo", c.GRPO.Validate())
	k.Under("raft", c.RAFT.Validate())
	k.Under("online", c.Online.Validate())
	k.Under("ilql", c.ILQL.Validate())
	k.Under("dpo", c.DPO.Validate())
	k.Under("exact", c.Exact.Validate())
	k.Count("evaluation.every", c.Evaluation.Every, 1, 1_000_000)
	k.Count("evaluation.best_of_n", c.Evaluation.BestOfN, 0, 1<<20)
	if k.Err() == nil {
		c.validateSize(&k)
		c.validateBestOfN(&k)
	}
	return k.Err()
}

// ValidateFor is Validate and what the method of an arm asks for besides.
func (c Config) ValidateFor(method string) error {
	var k field.Checker
	err := c.Validate()
	if m, _ := MethodByName(method); m.validate != nil {
		m.validate(&k, m, c)
	}
	return errors.Join(err, k.Err())
}

// validateDPO says what stands between preferences with ties and the loss, and that
// a method named after a loss has that loss.
func validateDPO(k *field.Checker, m Method, c Config) {
	if own := m.Defaults().DPO.LossType; m.preset != nil && c.DPO.LossType != own {
		k.Add(&field.Error{Field: "dpo.loss_type", Value: fmt.Sprintf("%q", c.DPO.LossType), Allowed: fmt.Sprintf("%q with method = %q", own, m.Name), Help: "method = \"dpo\" takes any loss"})
	}
	if ties, why := c.DPO.UsesTies(); c.Labels.TieNu > 1 && !ties && !c.DPO.DropTies {
		k.Add(&field.Error{Field: "labels.tie_nu", Value: c.Labels.TieNu, Allowed: fmt.Sprintf("1 with dpo.loss_type = %q", c.DPO.LossType),
			Why: why, Help: "dpo.loss_type = \"rao_kupper\" or \"davidson\" uses ties, and dpo.drop_ties = true leaves them out"})
	}
	if steps := c.dpoSteps(); c.DPO.SyncRefModel && c.DPO.RefModelSyncSteps >= steps && steps > 0 {
		k.Add(&field.Error{Field: "dpo.ref_model_sync_steps", Value: c.DPO.RefModelSyncSteps, Allowed: fmt.Sprintf("below %d, the steps that the training takes", steps), Why: "the reference would never move"})
	}
	if l, _ := dpo.Find(c.DPO.LossType); l.Needs&dpo.NeedRankings != 0 && c.DPO.DropTies {
		k.Add(&field.Error{Field: "dpo.drop_ties", Value: true, Allowed: "false for " + l.Name + ", which takes whole rankings"})
	}
}

// dpoSteps is how many steps a preference method takes; fewer where ties are dropped.
func (c Config) dpoSteps() int {
	size := c.Labels.Rankings
	if l, _ := dpo.Find(c.DPO.LossType); l.Needs&dpo.NeedRankings == 0 {
		size *= c.Labels.ResponsesPerRanking * (c.Labels.ResponsesPerRanking - 1) / 2
	}
	batch := max(1, c.DPO.BatchSize)
	return c.DPO.NumTrainEpochs * ((size + batch - 1) / batch)
}

// validateOnline refuses raters who call ties: the losses are about preferences.
func validateOnline(k *field.Checker, _ Method, c Config) {
	if c.Online.Labeler == "raters" && c.Labels.TieNu > 1 {
		k.Add(&field.Error{Field: "labels.tie_nu", Value: c.Labels.TieNu, Allowed: "1 with online.labeler = \"raters\"", Why: "an online method asks who is better and has no place for ties", Help: "online.labeler = \"reward_model\" compares scores"})
	}
}

// validateTies refuses ties that the reward model cannot use.
func (c Config) validateTies(k *field.Checker) {
	if c.Labels.TieNu > 1 && !c.Reward.UsesTies() && !c.Reward.DropTies {
		k.Add(&field.Error{Field: "labels.tie_nu", Value: c.Labels.TieNu, Allowed: fmt.Sprintf("1 with reward.loss_type = %q", c.Reward.LossType),
			Why: "it has no place for ties", Help: "reward.loss_type = \"rao_kupper\" or \"davidson\" uses ties, and with \"pairwise\" reward.drop_ties = true leaves them out"})
	}
}

func (w WorldConfig) validate(k *field.Checker) {
	k.Count("world.max_length", w.MaxLength, 1, maxLength)
	words := w.validateWords(k)
	if len(w.Prompts) == 0 {
		k.Add(&field.Error{Field: "world.prompt", Value: "nothing", Allowed: "at least one [[world.prompt]]"})
	}
	k.Count("world.prompt", max(1, len(w.Prompts)), 1, maxPrompts)
	seen := map[string]bool{}
	for i, p := range w.Prompts {
		at := fmt.Sprintf("world.prompt[%d]", i)
		k.Require(strings.TrimSpace(p.Text) != "", at+".text", fmt.Sprintf("%q", p.Text), "some text")
		k.Require(!seen[p.Text], at+".text", fmt.Sprintf("%q", p.Text), "different from the other prompts' texts")
		seen[p.Text] = true
		k.Positive(at+".weight", p.Weight)
		for _, a := range p.Answers {
			if !words[a] {
				k.Add(unknownWord(at+".answers", a, w))
			}
		}
	}
	w.validateValues(k)
}

// validateWords checks the groups and returns the set of all words.
func (w WorldConfig) validateWords(k *field.Checker) map[string]bool {
	group := map[string]string{}
	words := map[string]bool{}
	for _, g := range w.Words {
		at := "world.words." + g.Key
		k.Require(!slices.Contains(specialCounts, g.Key), at, g.Key, "another name: \"right answer\", \"wrong answer\", \"repeat\" and \"length\" are counts of their own")
		k.Require(len(g.Value) > 0, at, "[]", "at least one word")
		for _, word := range g.Value {
			if word == "" || strings.ContainsAny(word, " \t\r\n") {
				k.Add(&field.Error{Field: at, Value: fmt.Sprintf("%q", word), Allowed: "one word, without spaces"})
			}
			if other, twice := group[word]; twice {
				k.Add(&field.Error{Field: at, Value: fmt.Sprintf("%q", word), Allowed: "in one group only", Why: "it stands in " + other + " already"})
			}
			group[word] = g.Key
			words[word] = true
		}
	}
	if len(words) == 0 {
		k.Add(&field.Error{Field: "world.words", Value: "nothing", Allowed: "at least one group of words"})
	}
	k.Count("world.words", max(1, len(words)), 1, maxWords)
	return words
}

func (w WorldConfig) validateValues(k *field.Checker) {
	seen := map[string]bool{}
	for i, v := range w.Values {
		at := fmt.Sprintf("world.value[%d]", i)
		if _, isGroup := w.Words.Get(v.Count); !isGroup && !slices.Contains(specialCounts, v.Count) {
			k.Add(&field.Error{Field: at + ".count", Value: fmt.Sprintf("%q", v.Count),
				Allowed: fmt.Sprintf("a word group (%s) or one of %q", strings.Join(w.groupNames(), ", "), specialCounts),
				Help:    suggest(v.Count, append(w.groupNames(), specialCounts...))})
		}
		k.Require(!seen[v.Count], at+".count", fmt.Sprintf("%q", v.Count), "valued by one table only")
		seen[v.Count] = true
		k.Require(len(v.Worth) > 0, at+".worth", "[]", "at least one number, the worth of a count of 0")
		if limit := w.MaxLength + 1; w.MaxLength >= 1 && len(v.Worth) > limit {
			k.Add(&field.Error{Field: at + ".worth", Value: fmt.Sprintf("%d numbers", len(v.Worth)), Allowed: fmt.Sprintf("at most %d numbers", limit),
				Why: fmt.Sprintf("a response has at most world.max_length = %d words, so no count is higher", w.MaxLength)})
		}
		for _, worth := range v.Worth {
			k.Range(at+".worth", worth, -1e6, 1e6)
		}
	}
	if len(w.Values) == 0 {
		k.Add(&field.Error{Field: "world.value", Value: "nothing", Allowed: "at least one [[world.value]]", Why: "without one nobody prefers anything"})
	}
}

func (w WorldConfig) groupNames() []string {
	var names []string
	for _, g := range w.Words {
		names = append(names, g.Key)
	}
	return names
}

func (b BaseConfig) validate(k *field.Checker, w WorldConfig) {
	k.Count("base.lines", b.Lines, 1, maxLines)
	k.Range("base.on_topic", b.OnTopic, 0, 1)
	k.Range("base.repeat", b.Repeat, 0, 1)
	k.Range("base.stop", b.Stop, 0, 1)
	total := 0.0
	for _, e := range b.Weights {
		k.NonNegative("base.weights."+e.Key, e.Value)
		total += e.Value
		if _, known := w.Words.Get(e.Key); !known {
			k.Add(&field.Error{Field: "base.weights." + e.Key, Value: e.Key, Allowed: "the name of a word group: " + strings.Join(w.groupNames(), ", "),
				Help: suggest(e.Key, w.groupNames())})
		}
	}
	k.Require(total > 0, "base.weights", "nothing above 0", "a weight above 0 for at least one word group")
	k.Under("base", b.FitConfig.Validate())
}

func (l LabelsConfig) validate(k *field.Checker) {
	k.Count("labels.rankings", l.Rankings, 1, maxLines)
	k.Count("labels.held_out", l.HeldOut, 1, maxLines)
	k.Count("labels.responses_per_ranking", l.ResponsesPerRanking, 2, 9)
	field.OneOf(k, "labels.response_source", l.ResponseSource, responseSources)
	k.Positive("labels.rater_temperature", l.RaterTemperature)
	k.Range("labels.tie_nu", l.TieNu, 1, 1e6)
	if !(l.LabelNoise >= 0 && l.LabelNoise < 0.5) {
		k.Add(&field.Error{Field: "labels.label_noise", Value: l.LabelNoise, Allowed: "at least 0 and below 0.5",
			Why: "at 0.5 a label carries no information; above it the labels point the wrong way"})
	}
}

var responseSources = []string{"sft", "base", "uniform"}

func (c Config) validateDemonstrations(k *field.Checker) {
	k.Count("sft.generate", c.SFT.Generate, 0, maxLines)
	k.Positive("sft.writer_temperature", c.SFT.WriterTemperature)
	if c.SFT.Size() <= 0 {
		k.Add(&field.Error{Field: "sft.demonstrations", Value: "nothing", Allowed: "at least one { prompt = \"…\", completion = \"…\" }", Help: "sft.generate = 40 lets simulated people write 40"})
	}
	texts, words := map[string]bool{}, map[string]bool{}
	for _, p := range c.World.Prompts {
		texts[p.Text] = true
	}
	for _, g := range c.World.Words {
		for _, w := range g.Value {
			words[w] = true
		}
	}
	for i, d := range c.SFT.Demonstrations {
		at := fmt.Sprintf("sft.demonstrations[%d]", i)
		if !texts[d.Prompt] {
			k.Add(&field.Error{Field: at + ".prompt", Value: fmt.Sprintf("%q", d.Prompt), Allowed: "the text of a [[world.prompt]]", Help: suggest(d.Prompt, c.World.texts())})
		}
		said := strings.Fields(d.Completion)
		for _, word := range said {
			if !words[word] {
				k.Add(unknownWord(at+".completion", word, c.World))
			}
		}
		if len(said) > c.World.MaxLength && c.World.MaxLength >= 1 {
			k.Add(&field.Error{Field: at + ".completion", Value: fmt.Sprintf("%q", d.Completion), Allowed: fmt.Sprintf("at most world.max_length = %d words", c.World.MaxLength)})
		}
	}
}

func (w WorldConfig) texts() []string {
	var texts []string
	for _, p := range w.Prompts {
		texts = append(texts, p.Text)
	}
	return texts
}

func unknownWord(path, word string, w WorldConfig) *field.Error {
	var known []string
	for _, g := range w.Words {
		known = append(known, g.Value...)
	}
	return &field.Error{Field: path, Value: fmt.Sprintf("%q", word), Allowed: "a word of [world.words]", Help: suggest(word, known)}
}

// suggest is "did you mean …?" for a name close to a known one, else "".
func suggest(name string, known []string) string {
	if near := field.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// validateSize refuses worlds whose tables, or whose lattice of counts, would
// not fit.
func (c Config) validateSize(k *field.Checker) {
	if need := c.shape().CellsNeeded(); need > policy.MaxCells {
		name := "policy.order"
		if c.Policy.Order == 1 {
			name = "world.words"
		}
		k.Add(&field.Error{Field: name, Value: c.Policy.Order, Allowed: fmt.Sprintf("small enough for a table of at most %d entries (%d MB)", policy.MaxCells, policy.MaxCells*8/1_000_000),
			Why: fmt.Sprintf("%d prompts, %d words and an order of %d need %.3g entries (%.3g MB)", c.shape().Prompts, c.shape().Words, c.Policy.Order, need, need*8/1e6)})
		return
	}
	if s, r := c.shape(), c.Policy.Rank; c.Policy.Parametrisation == policy.LowRank {
		k.Require(r*(s.Rows()+s.Outcomes()) <= policy.MaxCells, "policy.rank", r, fmt.Sprintf("small enough for at most %d parameters", policy.MaxCells))
	}
}

// validateBestOfN refuses worlds with too many multisets of words.
func (c Config) validateBestOfN(k *field.Checker) {
	if c.Reward.Model == reward.MLP { // its counts' lattice is enough
		return
	}
	if c.Evaluation.BestOfN > 0 && c.Reward.Model == reward.Bigrams {
		k.Add(&field.Error{Field: "evaluation.best_of_n", Value: c.Evaluation.BestOfN, Allowed: "0 with reward.model = \"bigrams\"",
			Why: "the score must depend on the words and not on their order, or on counts"})
	}
	if need := c.shape().MultisetsNeeded(); c.Evaluation.BestOfN > 0 && need > policy.MaxMultisets {
		k.Add(&field.Error{Field: "evaluation.best_of_n", Value: c.Evaluation.BestOfN, Allowed: "0 in a world of this size",
			Why: fmt.Sprintf("%d words and responses of up to %d make %.3g multisets of words, the limit is %d", c.shape().Words, c.shape().MaxLength, need, policy.MaxMultisets)})
	}
}

// shape is the geometry of the world's policies.
func (c Config) shape() policy.Shape {
	words := 0
	for _, g := range c.World.Words {
		words += len(g.Value)
	}
	return policy.Shape{Prompts: len(c.World.Prompts), Words: words, MaxLength: c.World.MaxLength, Order: c.Policy.Order}
}
