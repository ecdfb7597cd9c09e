package sim

import (
	"fmt"
	"math"

	"rlhfsim/internal/field"
	"rlhfsim/internal/rng"
)

// RandomConfig generates a world of any size, for questions of scale: words,
// prompts, what people value, the raw text's weights and the demonstrations.
type RandomConfig struct {
	Words          int `toml:"words"`          // 0: the world is written out
	Groups         int `toml:"groups"`         // the first holds the answers
	Prompts        int `toml:"prompts"`        // one right answer each
	Demonstrations int `toml:"demonstrations"` // written for prompts in turn
	Seed           int `toml:"seed"`           // of the world, not of a run
}

func (r RandomConfig) validate(k *field.Checker, c Config) {
	k.Count("world.random.words", r.Words, 1, maxWords)
	k.Count("world.random.groups", r.Groups, 1, min(64, r.Words))
	k.Count("world.random.prompts", r.Prompts, 1, maxPrompts)
	k.Count("world.random.demonstrations", r.Demonstrations, 1, 100_000)
	k.Count("world.random.seed", r.Seed, 0, math.MaxInt32)
	for _, own := range []struct {
		path    string
		written bool
	}{
		{"world.words", len(c.World.Words) > 0}, {"world.prompt", len(c.World.Prompts) > 0}, {"world.value", len(c.World.Values) > 0},
		{"base.weights", len(c.Base.Weights) > 0}, {"sft.demonstrations", len(c.SFT.Demonstrations) > 0},
	} {
		if own.written {
			k.Add(&field.Error{Field: own.path, Value: "set", Allowed: "left out", Why: "[world.random] generates it"})
		}
	}
}

// Expanded is the configuration with its random world written out.
func (c Config) Expanded() Config {
	if c.World.Random.Words == 0 {
		return c
	}
	g := generator{RandomConfig: c.World.Random, longest: c.World.MaxLength, r: rng.New(uint64(c.World.Random.Seed), "random world")}
	c.World.Words = g.words()
	c.World.Prompts = g.prompts(c.World.Words[0].Value)
	c.World.Values, c.Base.Weights = g.values(c.World.Words)
	c.SFT.Demonstrations = g.demonstrations(c.World)
	c.World.Random = RandomConfig{}
	return c
}

type generator struct {
	RandomConfig
	longest int
	r       *rng.Stream
}

// words are w0, w1, …: a third of them (at least one) answers, the rest dealt
// to the other groups in equal parts.
func (g generator) words() field.Table[[]string] {
	answers := g.Words
	if g.Groups > 1 {
		answers = min(max(1, g.Words/3), g.Words-g.Groups+1)
	}
	table := make(field.Table[[]string], g.Groups)
	for i := range table {
		table[i].Key = fmt.Sprint("group", i)
	}
	table[0].Key = "answer"
	for w := range g.Words {
		group := 0
		if w >= answers {
			group = 1 + (w-answers)*(g.Groups-1)/(g.Words-answers)
		}
		table[group].Value = append(table[group].Value, fmt.Sprint("w", w))
	}
	return table
}

func (g generator) prompts(answers []string) []PromptConfig {
	out := make([]PromptConfig, g.Prompts)
	for x := range out {
		out[x] = PromptConfig{Text: fmt.Sprint("prompt ", x), Answers: []string{answers[x%len(answers)]}, Weight: 1}
	}
	return out
}

// values are those of the chapter's kind: an answer is wanted, a group is liked
// or disliked, and too much of a good thing is not; disliked groups are said
// more often.
func (g generator) values(groups field.Table[[]string]) ([]ValueConfig, field.Table[float64]) {
	values := []ValueConfig{{rightAnswer, g.worth(0, 2)}, {wrongAnswer, g.worth(0, -0.7, -1.4)}, {repeat, g.worth(0, -0.8, -1.6, -2.4)}}
	var weights field.Table[float64]
	for i, group := range groups {
		weight := 1.0
		if i > 0 {
			slope, curve := tenth(2*g.r.Float64()-1.2), tenth(0.4*g.r.Float64())
			values = append(values, ValueConfig{group.Key, g.worth(0, slope, 2*slope-curve, 3*slope-3*curve)})
			weight = tenth(0.5 + g.r.Float64())
			if slope < 0 {
				weight = tenth(weight + 0.5)
			}
		}
		weights = append(weights, field.Entry[float64]{Key: group.Key, Value: weight})
	}
	return values, weights
}

func tenth(v float64) float64 { return math.Round(10*v) / 10 }

// worth cuts a table to the counts that a response can reach.
func (g generator) worth(table ...float64) []float64 {
	for i, v := range table {
		table[i] = tenth(v)
	}
	return table[:min(len(table), g.longest+1)]
}

// demonstrations are the right answer, and sometimes a word before or after it.
func (g generator) demonstrations(w WorldConfig) []DemonstrationConfig {
	var all []string
	for _, group := range w.Words {
		all = append(all, group.Value...)
	}
	out := make([]DemonstrationConfig, g.Demonstrations)
	for i := range out {
		p := w.Prompts[i%len(w.Prompts)]
		said, other := p.Answers[0], all[g.r.IntN(len(all))]
		switch form := g.r.IntN(3); {
		case g.longest < 2 || form == 0:
		case form == 1:
			said += " " + other
		default:
			said = other + " " + said
		}
		out[i] = DemonstrationConfig{p.Text, said}
	}
	return out
}
