package sim

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// World is the hidden world of one experiment: the vocabulary, the prompts, and
// what people value. Learners see tokens; only raters and the exact evaluation
// see the values.
type World struct {
	Shape   policy.Shape
	Words   []string      // word of each token, in the order of the file
	Group   []int         // word group of each token
	Groups  []string      // names of the groups
	Prompts []string      // text of each prompt
	Weights []float64     // probability of each prompt
	Gold    policy.Counts // what people value

	answers [][]policy.Token     // the right answers of each prompt
	tables  map[string][]float64 // worth of each count, by its name

	countNames []string // of Gold's tables
	token      map[string]policy.Token
	prompt     map[string]policy.Prompt
}

// NewWorld builds the world of a validated configuration.
func NewWorld(c Config) (*World, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.Expanded()
	w := &World{Shape: c.shape(), token: map[string]policy.Token{}, prompt: map[string]policy.Prompt{}, tables: map[string][]float64{}}
	for g, group := range c.World.Words {
		w.Groups = append(w.Groups, group.Key)
		for _, word := range group.Value {
			w.token[word] = policy.Token(len(w.Words))
			w.Words = append(w.Words, word)
			w.Group = append(w.Group, g)
		}
	}
	total := 0.0
	for _, p := range c.World.Prompts {
		total += p.Weight
	}
	for x, p := range c.World.Prompts {
		w.prompt[p.Text] = policy.Prompt(x)
		w.Prompts = append(w.Prompts, p.Text)
		w.Weights = append(w.Weights, p.Weight/total)
		var answers []policy.Token
		for _, a := range p.Answers {
			answers = append(answers, w.token[a])
		}
		w.answers = append(w.answers, answers)
	}
	for _, v := range c.World.Values {
		w.Gold = append(w.Gold, w.count(v))
		w.tables[v.Count] = v.Worth
		w.countNames = append(w.countNames, v.Count)
	}
	return w, nil
}

// count turns a value table of the file into the automaton's terms.
func (w *World) count(v ValueConfig) policy.Count {
	out := policy.Count{Worth: v.Worth}
	switch v.Count {
	case repeat:
		out.Kind = policy.CountRepeat
		return out
	case length:
		out.Kind = policy.CountLength
		return out
	}
	out.Hit = make([]bool, len(w.Prompts)*len(w.Words))
	for x := range w.Prompts {
		for t := range w.Words {
			out.Hit[x*len(w.Words)+t] = w.hits(v.Count, x, policy.Token(t))
		}
	}
	return out
}

// hits says whether word t is an event of the named count at prompt x.
func (w *World) hits(count string, x int, t policy.Token) bool {
	right := slices.Contains(w.answers[x], t)
	switch count {
	case rightAnswer:
		return right
	case wrongAnswer:
		return !right && slices.ContainsFunc(w.answers, func(a []policy.Token) bool { return slices.Contains(a, t) })
	}
	return w.Groups[w.Group[t]] == count
}

// Value is the true worth of a response: the sum of the value tables.
func (w *World) Value(x policy.Prompt, y policy.Response) float64 {
	return w.Gold.Value(x, y, len(w.Words))
}

// Text is a response in words; the empty response is "(silence)".
func (w *World) Text(y policy.Response) string {
	if len(y) == 0 {
		return "(silence)"
	}
	words := make([]string, len(y))
	for i, t := range y {
		words[i] = w.Words[t]
	}
	return strings.Join(words, " ")
}

// demonstrations are the written pairs as tokens.
func (w *World) demonstrations(c SFTConfig) ([]policy.Demonstration, error) {
	var out []policy.Demonstration
	for i, d := range c.Demonstrations {
		x, known := w.prompt[d.Prompt]
		if !known {
			return nil, fmt.Errorf("sim: demonstration %d: no prompt %q", i, d.Prompt)
		}
		var y policy.Response
		for _, word := range strings.Fields(d.Completion) {
			y = append(y, w.token[word])
		}
		out = append(out, policy.Demonstration{Prompt: x, Response: y})
	}
	return out, nil
}

// rawText generates the corpus that the base policy is pre-trained on: lines of
// words drawn group by group, with repetitions and only weakly on topic.
func (w *World) rawText(c BaseConfig, r *rng.Stream) []policy.Demonstration {
	weights := make([]float64, len(w.Groups))
	members := make([][]policy.Token, len(w.Groups))
	for g, name := range w.Groups {
		weights[g], _ = c.Weights.Get(name)
	}
	total := num.Sum(weights)
	for g := range weights {
		weights[g] /= total
	}
	for t, g := range w.Group {
		members[g] = append(members[g], policy.Token(t))
	}
	lines := make([]policy.Demonstration, c.Lines)
	for i := range lines {
		x := policy.Prompt(r.Categorical(w.Weights))
		var y policy.Response
		for len(y) < w.Shape.MaxLength {
			y = append(y, w.rawWord(c, x, y, weights, members, r))
			if r.Float64() < c.Stop {
				break
			}
		}
		lines[i] = policy.Demonstration{Prompt: x, Response: y}
	}
	return lines
}

// rawWord draws the next word of a raw line: the last one again, or a word of a
// group; a word that answers some prompt is swapped for a right one now and then.
func (w *World) rawWord(c BaseConfig, x policy.Prompt, line policy.Response, weights []float64, members [][]policy.Token, r *rng.Stream) policy.Token {
	if len(line) > 0 && r.Float64() < c.Repeat {
		return line[len(line)-1]
	}
	group := members[r.Categorical(weights)]
	t := group[r.IntN(len(group))]
	if right := w.answers[x]; w.answersAny(t) && len(right) > 0 && r.Float64() < c.OnTopic {
		return right[r.IntN(len(right))]
	}
	return t
}

func (w *World) answersAny(t policy.Token) bool {
	return slices.ContainsFunc(w.answers, func(a []policy.Token) bool { return slices.Contains(a, t) })
}

// Rater is a simulated person who ranks responses by true value plus noise of
// their own.
type Rater struct {
	World       *World
	Temperature float64 // T: P(a above b) = σ((gold_a − gold_b)/T)
	LabelNoise  float64 // probability that each implied comparison is reversed
	TieNu       float64 // ν: above 1, comparisons may be ties
}

// Rank orders responses to x by Plackett-Luce: the best is chosen with
// probability ∝ exp(gold/T), then the best of the rest, and so on. At K = 2
// that is Bradley-Terry.
func (h Rater) Rank(x policy.Prompt, responses []policy.Response, r *rng.Stream) policy.Ranking {
	left := slices.Clone(responses)
	out := policy.Ranking{Prompt: x}
	for len(left) > 0 {
		k := r.Categorical(h.choice(x, left))
		out.Responses = append(out.Responses, left[k])
		left = slices.Delete(left, k, k+1)
	}
	n := len(responses)
	for range n * (n - 1) / 2 {
		out.Reversed = append(out.Reversed, r.Float64() < h.LabelNoise)
	}
	if h.TieNu > 1 {
		out.Tied = h.ties(out, r)
	}
	return out
}

// ties draws which comparisons of a ranking its rater calls equal, so that each is
// a Rao-Kupper comparison: what stands above is preferred all the same with
// probability P_ν(a ≻ b)/P_1(a ≻ b).
func (h Rater) ties(ranking policy.Ranking, r *rng.Stream) (tied []bool) {
	for _, c := range (policy.Ranking{Responses: ranking.Responses}).Comparisons(nil) {
		d := (h.World.Value(ranking.Prompt, ranking.Responses[c.Chosen]) - h.World.Value(ranking.Prompt, ranking.Responses[c.Rejected])) / h.Temperature
		clear := num.Exp(num.LogSigmoid(d-num.Log(h.TieNu)) - num.LogSigmoid(d))
		tied = append(tied, r.Float64() >= clear)
	}
	return tied
}

// choice is the probability that each of the responses is named best.
func (h Rater) choice(x policy.Prompt, responses []policy.Response) []float64 {
	scores := make([]float64, len(responses))
	for i, y := range responses {
		scores[i] = h.World.Value(x, y) / h.Temperature
	}
	logZ := num.LogSumExp(scores)
	for i := range scores {
		scores[i] = num.Exp(scores[i] - logZ)
	}
	return scores
}

// label is the probability that a rater's label puts value a above value b, that
// it puts b above a, and that it is a tie, reversals included.
func (h Rater) label(a, b float64) (win, lose, tie float64) {
	if h.TieNu <= 1 {
		p := h.Prefers(a, b)
		return p, 1 - p, 0
	}
	d, threshold := (a-b)/h.Temperature, num.Log(h.TieNu)
	p, q := num.Sigmoid(d-threshold), num.Sigmoid(-d-threshold)
	win, lose = float64((1-h.LabelNoise)*p)+float64(h.LabelNoise*q), float64((1-h.LabelNoise)*q)+float64(h.LabelNoise*p)
	return win, lose, max(0, 1-p-q)
}

// Prefers is the probability that the label of a rater who knows no ties puts
// value a above value b, reversals included.
func (h Rater) Prefers(a, b float64) float64 {
	p := num.Sigmoid((a - b) / h.Temperature)
	return float64((1-h.LabelNoise)*p) + float64(h.LabelNoise*(1-p))
}

// Agreement is exact: over two independent responses of a policy to the same
// prompt, the probability that two raters give the same label,
// E[p² + (1−p)²] and the same with ties, and the accuracy of a perfect judge
// against one rater's clear label, E[max(p, 1−p)]. Identical values are a coin
// toss for both.
func (h Rater) Agreement(ctx context.Context, d policy.Distribution) (agreement, ceiling float64) {
	clear := 0.0
	for x, weight := range h.World.Weights {
		var own verdicts
		for i, pi := range d.Probs[x] {
			if ctx.Err() != nil {
				return 0, 0
			}
			for j, pj := range d.Probs[x] {
				own.add(h, d.Values[x][i], d.Values[x][j], float64(pi*pj))
			}
		}
		agreement += float64(weight * own.agree)
		ceiling += float64(weight * own.right)
		clear += float64(weight * own.clear)
	}
	if h.TieNu > 1 {
		ceiling /= clear
	}
	return agreement, ceiling
}

// verdicts are sums over pairs of values: how likely two raters agree, that a
// perfect judge is right about a clear label, and that the label is clear.
type verdicts struct{ agree, right, clear float64 }

func (v *verdicts) add(h Rater, a, b, mass float64) {
	win, lose, tie := h.label(a, b)
	v.agree += float64(mass * (float64(win*win) + float64(lose*lose) + float64(tie*tie)))
	v.right += float64(mass * math.Max(win, lose))
	v.clear += float64(mass * (win + lose))
}
