package ppo

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// fiveByFour are the rewards of the RLHF book's worked example, five prompts with four
// responses each.
func fiveByFour() *choice {
	b := &choice{size: 4, reward: []float64{
		0.7, 0.3, 0.5, 0.2,
		0.4, 0.8, 0.6, 0.5,
		0.9, 0.3, 0.4, 0.7,
		0.2, 0.5, 0.8, 0.6,
		0.5, 0.4, 0.3, 0.6}}
	for i := range b.reward {
		b.response = append(b.response, policy.Response{policy.Token(i)})
	}
	return b
}

// The book's example, and what a percentile keeps of it.
func TestSelections(t *testing.T) {
	for _, c := range []struct {
		rule  string
		level float64
		want  []int
	}{
		{"top_per_prompt", 0, []int{0, 5, 8, 14, 19}},
		{"top_k_overall", 0, []int{8, 5, 14, 0, 11}}, // of the two with 0.7 the earlier first
		{"percentile", 0.5, []int{0, 2, 5, 6, 8, 11, 14, 15, 16, 19}},
		{"percentile", 0.7, []int{0, 5, 8, 14, 19}}, // 0.1 of the way from the second best to the best
		{"percentile", 0.6, []int{0, 2, 5, 6, 8, 11, 14, 15, 16, 19}},
	} {
		b := fiveByFour()
		b.level = c.level
		selection(c.rule).choose(b, nil)
		if !slices.Equal(b.kept, c.want) {
			t.Errorf("%s at %v: %v, want %v", c.rule, c.level, b.kept, c.want)
		}
	}
	b := fiveByFour()
	b.response[2], b.reward[2] = b.response[0], b.reward[0]
	b.response[4] = b.response[0] // of another prompt
	fromPercentile(b, nil)
	if slices.Contains(b.kept, 2) || !slices.Contains(b.kept, 4) || len(b.kept) != 19 {
		t.Errorf("one response twice: %v", b.kept)
	}
}

// Of equal rewards the first is the best.
func TestBestOfEquals(t *testing.T) {
	for want, rewards := range [][]float64{{2, 2, 1, 2}, {1, 2, 2}, {0, 1, 2}} {
		if got := best(rewards); got != want {
			t.Errorf("%v: %d, want %d", rewards, got, want)
		}
	}
}

// numpy's: np.quantile([1, 2, 4, 8], [0, 0.25, 0.7, 1]).
func TestQuantile(t *testing.T) {
	for q, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.7: 4.4, 1: 8} {
		near(t, fmt.Sprintf("quantile %v", q), quantile([]float64{1, 2, 4, 8}, q), want, 1e-15)
	}
	near(t, "of one", quantile([]float64{3}, 0.7), 3, 0)
}

// The controls learn as many as their rules, each response equally often, and only they
// draw random numbers.
func TestRandomSelections(t *testing.T) {
	const times = 20000
	for _, rule := range Selections {
		counts, r := make([]float64, 20), rng.New(1)
		for range times {
			b := fiveByFour()
			rule.choose(b, r)
			if rule.Name != "percentile" && len(b.kept) != 5 {
				t.Fatalf("%s keeps %v", rule.Name, b.kept)
			}
			for g := range 5 {
				if rule.Name == "random_per_prompt" && b.kept[g]/4 != g {
					t.Fatalf("%v are not of each group", b.kept)
				}
			}
			for _, i := range b.kept {
				counts[i]++
			}
		}
		random := rule.Name == "random_per_prompt" || rule.Name == "random_k_overall"
		for i, n := range counts {
			if random && !(math.Abs(n-times/4) <= 5*math.Sqrt(times*3.0/16)) {
				t.Errorf("%s keeps response %d %v times of %d", rule.Name, i, n, times)
			}
		}
		if drew := r.Uint64() != rng.New(1).Uint64(); drew != random {
			t.Errorf("%s draws random numbers: %v", rule.Name, drew)
		}
	}
}

// Where rewards decide, a rule's policy gains over its control's; a control's stays
// what it samples, but for noise.
func TestWhatRewardsAreWorth(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 2, Order: 2}
	ref, reward := randomPolicy(t, s, 1), words{1, 0.1, -1}
	expected := func(pi *policy.Softmax) (sum float64) {
		for _, y := range everyResponse(s) {
			sum += math.Exp(pi.LogProb(0, y)) * reward.Score(0, y)
		}
		return sum
	}
	gain := map[string]float64{}
	for _, rule := range Selections {
		c := DefaultRaft()
		c.Select, c.SampleFrom, c.TotalEpisodes, c.BatchSize = rule.Name, "reference", 256*200, 256
		pi := ref.Clone()
		tr, stream := NewRaft(c, pi, ref, reward, []float64{1}), rng.New(1)
		for range tr.Steps() {
			tr.Step(stream)
		}
		gain[rule.Name] = expected(pi) - expected(ref)
	}
	if !(gain["top_per_prompt"] > 0.5 && gain["top_k_overall"] > 0.5 && gain["percentile"] > 0.3) {
		t.Errorf("gains %v", gain)
	}
	if !(math.Abs(gain["random_per_prompt"]) <= 0.05) || !(math.Abs(gain["random_k_overall"]) <= 0.05) {
		t.Errorf("controls gain %v", gain)
	}
}

// The quantile rises by equal steps from update to update, one short of its end; what is
// kept of a batch gets better, and is chosen once only by the other rules.
func TestPercentileRises(t *testing.T) {
	like, c := benchmarkTrainer(t, 64), DefaultRaft()
	c.BatchSize, c.NumGenerations, c.NumTrainEpochs, c.Select = 64, 16, 3, "percentile"
	c.StartPercentile, c.EndPercentile = 0.2, 0.8
	tr := NewRaft(c, like.policy.Policy, like.ref, like.reward, like.weights)
	var s RaftStats
	tr.sample(rng.New(1), &s)
	last, size, mean := math.Inf(-1), 65, 0.0
	for k, level := range []float64{0.2, 0.4, 0.6} {
		var s RaftStats
		tr.choose(k, nil, &s)
		near(t, "level", tr.choice.level, level, 1e-15)
		if s.Kept <= last || len(tr.choice.kept) >= size {
			t.Errorf("update %d keeps %d of mean %v", k, len(tr.choice.kept), s.Kept)
		}
		last, size, mean = s.Kept, len(tr.choice.kept), mean+s.Kept/3
	}
	near(t, "reward/kept of the same samples", tr.Step(rng.New(1)).Kept, mean, 1e-12)
	near(t, "the last level", tr.choice.level, 0.6, 1e-15)
	c.Select = "top_k_overall"
	tr = NewRaft(c, like.policy.Policy, like.ref, like.reward, like.weights)
	for range 3 {
		s = tr.Step(rng.New(1))
		if slices.Sort(tr.rollout.total); len(tr.choice.kept) != 4 {
			t.Errorf("keeps %v", tr.choice.kept)
		}
		near(t, "reward/kept of the four best", s.Kept, num.Sum(tr.rollout.total[60:])/4, 1e-12)
	}
}

// With a pool what is kept are the best of all samples so far, each as it was drawn.
func TestPool(t *testing.T) {
	c := DefaultRaft()
	c.Select, c.NumGenerations, c.BatchSize, c.Pool, c.TotalEpisodes = "top_k_overall", 5, 20, true, 60
	like := benchmarkTrainer(t, 20)
	tr, r := NewRaft(c, like.policy.Policy, like.ref, like.reward, like.weights), rng.New(1)
	var all []float64
	var said []policy.Response
	for step := 1; step <= tr.Steps(); step++ {
		s := tr.Step(r)
		b := tr.rollout
		batch := b.total[20*(step-1) : 20*step]
		near(t, "reward", s.Reward, num.Sum(batch)/20, 1e-12)
		all = append(all, batch...)
		for _, y := range b.response[20*(step-1) : 20*step] {
			said = append(said, slices.Clone(y))
		}
		best := slices.Sorted(slices.Values(all))[16*step:]
		near(t, "reward/kept", s.Kept, num.Sum(best)/float64(4*step), 1e-12)
		for e, y := range said {
			if !slices.Equal(b.response[e], y) || all[e] != like.reward.Score(b.prompt[e], y) || int(b.start[e+1]-b.start[e]) < len(y) {
				t.Fatalf("step %d: episode %d is no longer what it was", step, e)
			}
		}
	}
	c.TotalEpisodes = maxPool + 1
	if problems := field.All(c.Validate()); len(problems) != 1 || problems[0].Field != "total_episodes" {
		t.Errorf("%v", problems)
	}
}

// The gradient of the likelihood and the KL penalty is that of finite differences.
func TestRaftGradient(t *testing.T) {
	s := policy.Shape{Prompts: 2, Words: 3, MaxLength: 3, Order: 1}
	ref, pi, c := randomPolicy(t, s, 1), randomPolicy(t, s, 2), DefaultRaft()
	c.BatchSize, c.KLCoef = 8, 0.7
	tr := NewRaft(c, pi, ref, words{1, 0.1, -1}, []float64{0.5, 0.5})
	tr.sample(rng.New(1), &RaftStats{})
	tr.choose(0, nil, &RaftStats{})
	loss := func() float64 {
		var s RaftStats
		clear(tr.policy.G)
		tr.backward(&s)
		return s.Loss
	}
	loss()
	g := slices.Clone(tr.policy.G)
	pi.LogitGradient(g)
	logits, moved := slices.Clone(pi.Logits), 0
	at := func(i int, z float64) float64 {
		own := slices.Clone(logits)
		own[i] = z
		if err := pi.SetLogits(own); err != nil {
			t.Fatal(err)
		}
		return loss()
	}
	for i, z := range logits {
		near(t, fmt.Sprintf("∂L/∂z[%d]", i), g[i], (at(i, z+1e-5)-at(i, z-1e-5))/2e-5, 1e-8)
		if g[i] != 0 {
			moved++
		}
	}
	if moved < 8 {
		t.Errorf("%d entries move", moved)
	}
}

func TestRaftFieldsOfSelections(t *testing.T) {
	for what, change := range map[string]func(c *RaftConfig){
		"num_generations":  func(c *RaftConfig) { c.NumGenerations = 1 },
		"select":           func(c *RaftConfig) { c.Select = "best" },
		"max_grad_norm":    func(c *RaftConfig) { c.MaxGradNorm = -1 },
		"start_percentile": func(c *RaftConfig) { c.StartPercentile, c.EndPercentile = math.NaN(), 1 },
		"end_percentile":   func(c *RaftConfig) { c.EndPercentile = 0.6 },
	} {
		c := DefaultRaft()
		change(&c)
		if problems := field.All(c.Validate()); len(problems) != 1 || problems[0].Field != what {
			t.Errorf("%s: %v", what, problems)
		}
	}
	c := DefaultRaft()
	if c.Unused("start_percentile") == "" || c.Unused("end_percentile") == "" || c.Unused("select") != "" {
		t.Error("top_per_prompt uses percentiles")
	}
	c.Select = "percentile"
	if c.Unused("start_percentile") != "" || c.Unused("end_percentile") == "" {
		t.Error("one update has a beginning only")
	}
	c.NumTrainEpochs = 2
	if c.Unused("end_percentile") != "" {
		t.Error("two updates rise")
	}
}

// A last batch that total_episodes would cut short is drawn whole; a pair is enough to choose from.
func TestRaftSteps(t *testing.T) {
	c, like := DefaultRaft(), benchmarkTrainer(t, 32)
	if c.BatchSize, c.NumGenerations = 2, 2; c.Validate() != nil {
		t.Error(c.Validate())
	}
	c.BatchSize = 32
	for episodes, want := range map[int]int{1: 1, 32: 1, 33: 2, 95: 3, 96: 3} {
		c.TotalEpisodes = episodes
		if n := NewRaft(c, like.policy.Policy, like.ref, like.reward, like.weights).Steps(); n != want {
			t.Errorf("%d steps for %d episodes, want %d", n, episodes, want)
		}
	}
}
