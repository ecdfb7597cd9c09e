package reward

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/goldentest"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// randomRankings ranks K random responses of 1 to 4 words by a given judge's
// scores plus Gumbel noise, which is Plackett-Luce.
func randomRankings(n, k, prompts, words int, judge *Linear, seed uint64) []policy.Ranking {
	r := rng.New(seed, "reward test")
	out := make([]policy.Ranking, n)
	for i := range out {
		x := policy.Prompt(r.IntN(prompts))
		type scored struct {
			y policy.Response
			s float64
		}
		var all []scored
		for range k {
			var y policy.Response
			for range 1 + r.IntN(4) {
				y = append(y, policy.Token(r.IntN(words)))
			}
			all = append(all, scored{y, judge.Score(x, y) - num.Log(-num.Log(r.Float64()))})
		}
		slices.SortFunc(all, func(a, b scored) int {
			if a.s > b.s {
				return -1
			}
			return 1
		})
		out[i].Prompt = x
		for _, s := range all {
			out[i].Responses = append(out[i].Responses, s.y)
		}
		for range k * (k - 1) / 2 {
			out[i].Reversed = append(out[i].Reversed, r.Float64() < 0.1)
		}
	}
	return out
}

func randomModel(prompts, words int, seed uint64) *Linear {
	return randomModelOf(BagOfWords, prompts, words, seed)
}

func randomModelOf(kind Kind, prompts, words int, seed uint64) *Linear {
	m := NewLinear(kind, prompts, words)
	r := rng.New(seed, "model")
	for i := range m.Weight {
		m.Weight[i] = 3 * (r.Float64() - 0.5)
	}
	for i := range m.Bias {
		m.Bias[i] = r.Float64()
	}
	return m
}

func metrics(s Stats) map[string]float64 {
	m := map[string]float64{}
	for name, v := range s.All() {
		m[name] = v
	}
	return m
}

// view is a world's size and some counts: of every second word, of each prompt's
// first, repeats and length.
func view(prompts, words int) View {
	some, own := make([]bool, prompts*words), make([]bool, prompts*words)
	for i := range some {
		some[i], own[i] = i%2 == 0, i%words == i/words
	}
	return View{Prompts: prompts, Words: words, Counts: policy.Counts{
		{Kind: policy.CountWords, Hit: some, Worth: make([]float64, 4)}, {Kind: policy.CountWords, Hit: own, Worth: make([]float64, 3)},
		{Kind: policy.CountRepeat, Worth: make([]float64, 3)}, {Kind: policy.CountLength, Worth: make([]float64, 7)},
	}}
}

// fit prepares the fit of an unfitted model.
func fit(c Config, prompts, words int, rankings []policy.Ranking) *Trainer {
	return New(c, c.NewModel(view(prompts, words), rng.New(1, "init")), rankings)
}

func linear(t *Trainer) *Linear { return t.model.(*Linear) }

// trainerAt is a trainer whose model holds the given numbers.
func trainerAt(c Config, m *Linear, rankings []policy.Ranking) *Trainer {
	c.Model = m.Kind
	t := fit(c, m.Prompts, m.Words, rankings)
	copy(linear(t).Weight, m.Weight)
	copy(linear(t).Bias, m.Bias)
	return t
}

func TestGradientAgainstFiniteDifferences(t *testing.T) {
	for _, kind := range Kinds {
		for _, loss := range LossTypes {
			for k := 2; k <= 9; k++ {
				c := Config{LearningRate: 1e-3, NumTrainEpochs: 1, BatchSize: 5, CenterRewardsCoefficient: 0.05, LossType: loss, TieNu: 2.5}
				if loss == PairwiseLoss && k%2 == 1 {
					c.Margin = 0.7
				}
				c.Model, c.HiddenSize = kind, 5
				judge := randomModelOf(Bigrams, 2, 3, uint64(k))
				checkGradient(t, fmt.Sprintf("%s, %s, K = %d", kind, loss, k), c, randomRankings(5, k, 2, 3, judge, uint64(k)))
			}
		}
	}
}

// checkGradient compares at random parameters, in a world of 2 prompts and 3 words.
func checkGradient(t *testing.T, what string, c Config, rankings []policy.Ranking) {
	t.Helper()
	at := func(params []float64) *Trainer {
		tr := fit(c, 2, 3, rankings)
		copy(tr.params, params)
		return tr
	}
	loss := func(params []float64) float64 { return at(params).Step(rng.New(1)).Loss }
	random, r := make([]float64, len(fit(c, 2, 3, rankings).params)), rng.New(uint64(len(rankings)), "parameters")
	for i := range random {
		random[i] = 2 * (r.Float64() - 0.5)
	}
	tr := at(random)
	start := slices.Clone(tr.params)
	got := tr.Step(rng.New(1)).GradNorm
	norm := 0.0
	for i := range start {
		const h = 1e-5
		p := slices.Clone(start)
		p[i] += h
		up := loss(p)
		p[i] -= 2 * h
		d := (up - loss(p)) / (2 * h)
		norm += d * d
		if !(math.Abs(tr.grad[i]-d) <= 1e-8) {
			t.Fatalf("%s: ∂L/∂θ[%d] = %v, by differences %v", what, i, tr.grad[i], d)
		}
	}
	if norm < 1e-4 || !(math.Abs(got-math.Sqrt(norm)) <= 1e-8) {
		t.Errorf("%s: gradient norm %v, by differences %v", what, got, math.Sqrt(norm))
	}
}

// "We train on all (K choose 2) comparisons from each prompt as a single batch
// element" (Ouyang et al. 2022, section 3.5): the loss of a ranking is the mean
// over its comparisons, whatever K.
func TestSection35ARankingIsOneBatchElement(t *testing.T) {
	m := randomModel(1, 3, 1)
	rankings := append(randomRankings(1, 2, 1, 3, m, 1), randomRankings(1, 9, 1, 3, m, 2)...)
	c := Config{LearningRate: 1e-3, NumTrainEpochs: 1, BatchSize: 2}
	want, correct := 0.0, 0.0
	for _, r := range rankings {
		compared := r.Comparisons(nil)
		for _, p := range compared {
			d := m.Score(0, r.Responses[p.Chosen]) - m.Score(0, r.Responses[p.Rejected])
			want -= num.LogSigmoid(d) / float64(2*len(compared))
			if d > 0 {
				correct += 1 / float64(2*len(compared))
			}
		}
	}
	s := trainerAt(c, m, rankings).Step(rng.New(1))
	if !(math.Abs(s.Loss-want) <= 1e-12) || !(math.Abs(s.Accuracy-correct) <= 1e-12) {
		t.Errorf("loss %v, want %v; accuracy %v, want %v", s.Loss, want, s.Accuracy, correct)
	}
}

// The gradient of a ranking is the mean of the gradients of its comparisons,
// each taken as a ranking of two.
func TestARankingIsTheMeanOfItsPairs(t *testing.T) {
	for k := 2; k <= 9; k++ {
		m := randomModel(1, 3, uint64(k))
		ranking := randomRankings(1, k, 1, 3, m, uint64(k))
		var pairs []policy.Ranking
		for _, p := range ranking[0].Comparisons(nil) {
			pairs = append(pairs, policy.Ranking{Responses: []policy.Response{ranking[0].Responses[p.Chosen], ranking[0].Responses[p.Rejected]}})
		}
		c := Config{LearningRate: 1e-3, NumTrainEpochs: 1, BatchSize: len(pairs), CenterRewardsCoefficient: 0.05}
		whole, apart := trainerAt(c, m, ranking), trainerAt(c, m, pairs)
		a, b := whole.Step(rng.New(1)), apart.Step(rng.New(1))
		for i := range whole.grad {
			if !(math.Abs(whole.grad[i]-apart.grad[i]) <= 1e-14) {
				t.Errorf("K = %d: ∂L/∂θ[%d] = %v, mean over pairs %v", k, i, whole.grad[i], apart.grad[i])
			}
		}
		if !(math.Abs(a.Loss-b.Loss) <= 1e-14) || !(math.Abs(a.Accuracy-b.Accuracy) <= 1e-14) || !(math.Abs(a.Margin-b.Margin) <= 1e-14) {
			t.Errorf("K = %d: %+v, pairs %+v", k, a, b)
		}
	}
}

// A tie is wrong while training, as in TRL, and half right on held-out data.
func TestTies(t *testing.T) {
	m := &Linear{Prompts: 1, Words: 3, Weight: []float64{1, 1, 2}, Bias: []float64{0}}
	rankings := []policy.Ranking{{Responses: []policy.Response{{0}, {1}}}, {Responses: []policy.Response{{2}, {0}}}}
	if s := trainerAt(Config{LearningRate: 1e-3, BatchSize: 2}, m, rankings).Step(rng.New(1)); s.Accuracy != 0.5 {
		t.Errorf("training accuracy %v", s.Accuracy)
	}
	if e := Evaluate(m, rankings); e.Accuracy != 0.75 || e.N != 2 || e.Margin != 0.5 {
		t.Errorf("evaluation %+v", e)
	}
	if e := Evaluate(m, nil); e != (Evaluation{}) {
		t.Errorf("evaluation on nothing %+v", e)
	}
}

func TestSameSeedSameBits(t *testing.T) {
	judge := randomModel(2, 4, 10)
	rankings := randomRankings(50, 4, 2, 4, judge, 10)
	run := func(seed uint64) []float64 {
		tr, r := fit(Default(), 2, 4, rankings), rng.New(seed)
		for range tr.Steps() {
			tr.Step(r)
		}
		return tr.params
	}
	if !slices.Equal(run(1), run(1)) {
		t.Error("two runs differ")
	}
	if slices.Equal(run(1), run(2)) {
		t.Error("the stream has no influence")
	}
}

func TestFitRecoversTheJudge(t *testing.T) {
	judge := randomModel(2, 4, 3)
	rankings := randomRankings(4000, 4, 2, 4, judge, 3)
	for i := range rankings {
		clear(rankings[i].Reversed)
	}
	c := Config{LearningRate: 0.02, NumTrainEpochs: 12, BatchSize: 64}
	tr := fit(c, 2, 4, rankings)
	r := rng.New(1)
	for range tr.Steps() {
		tr.Step(r)
	}
	for i, w := range linear(tr).Weight {
		if !(math.Abs(w-judge.Weight[i]) <= 0.12) {
			t.Errorf("weight %d is %.3f, the judge's %.3f", i, w, judge.Weight[i])
		}
	}
	for _, b := range linear(tr).Bias {
		if !(math.Abs(b) <= 1e-9) {
			t.Errorf("comparisons at one prompt moved its bias to %v", b)
		}
	}
	fresh := randomRankings(2000, 4, 2, 4, judge, 4)
	held, ideal := Evaluate(tr.Model(), fresh), Evaluate(judge, fresh)
	if held.Accuracy < ideal.Accuracy-0.01 || held.N != 12_000 || held.Loss > ideal.Loss+0.01 || held.Margin <= 0 {
		t.Errorf("held out %+v, the judge itself %+v", held, ideal)
	}
}

func TestCalibrationOfTheTrueJudge(t *testing.T) {
	judge := randomModel(2, 4, 5)
	rankings := randomRankings(4000, 3, 2, 4, judge, 5)
	for i := range rankings {
		clear(rankings[i].Reversed)
	}
	total := 0
	for _, b := range Calibration(judge, rankings, 10) {
		total += b.N
		if b.N > 300 && (!(math.Abs(b.Predicted-b.Actual) <= 0.06) || b.Predicted < b.Low || b.Predicted > b.High) {
			t.Errorf("bin %+v", b)
		}
	}
	if total < 11_000 {
		t.Errorf("%d comparisons in the bins", total)
	}
}

// Adam does not see the gradient's scale, except against its ε of 1e−8: clipped
// far below that, a step hardly moves.
func TestGradientIsClipped(t *testing.T) {
	m := randomModel(2, 3, 11)
	c := Config{LearningRate: 0.1, BatchSize: 10, MaxGradNorm: 1e-12}
	tr := trainerAt(c, m, randomRankings(10, 3, 2, 3, m, 11))
	s := tr.Step(rng.New(1))
	for i, w := range linear(tr).Weight {
		if !(math.Abs(w-m.Weight[i]) <= 1e-3*c.LearningRate) {
			t.Errorf("weight %d moved by %v", i, w-m.Weight[i])
		}
	}
	if s.GradNorm < 1e-3 {
		t.Errorf("gradient norm %v, before clipping", s.GradNorm)
	}
}

func TestWeightDecayLeavesBiasesAlone(t *testing.T) {
	m := randomModel(1, 2, 6)
	same := policy.Ranking{Responses: []policy.Response{{0}, {0}}, Reversed: []bool{false}} // no gradient at all
	tr := trainerAt(Config{LearningRate: 0.1, NumTrainEpochs: 1, BatchSize: 1, WeightDecay: 0.5}, m, []policy.Ranking{same})
	tr.Step(rng.New(1))
	for i, w := range linear(tr).Weight {
		if !(math.Abs(w-m.Weight[i]*0.95) <= 1e-12) {
			t.Errorf("weight %v → %v", m.Weight[i], w)
		}
	}
	if linear(tr).Bias[0] != m.Bias[0] {
		t.Error("the bias decayed")
	}
}

// "since the RM loss is invariant to shifts in reward, we normalize the reward
// model using a bias so that the labeler demonstrations achieve a mean score of 0
// before doing RL" (Ouyang et al. 2022, section 3.5).
func TestSection35DemonstrationsScoreZero(t *testing.T) {
	m := randomModel(2, 3, 7)
	rankings := randomRankings(50, 4, 2, 3, m, 7)
	before := Evaluate(m, rankings)
	additive := m.Additive(policy.Shape{Prompts: 2, Words: 3, MaxLength: 3, Order: 1})
	bias := slices.Clone(m.Bias)
	Shift(m, nil)
	if !slices.Equal(bias, m.Bias) {
		t.Errorf("no demonstrations, and the bias went from %v to %v", bias, m.Bias)
	}
	demos := []policy.Demonstration{{Prompt: 0, Response: policy.Response{0, 1}}, {Prompt: 1, Response: policy.Response{2}}, {Prompt: 1}}
	gap := m.Score(0, demos[0].Response) - m.Score(1, demos[1].Response)
	Shift(m, demos)
	sum := 0.0
	for _, d := range demos {
		sum += m.Score(d.Prompt, d.Response)
	}
	if !(math.Abs(sum) <= 1e-12) || !(math.Abs(m.Score(0, demos[0].Response)-m.Score(1, demos[1].Response)-gap) <= 1e-12) {
		t.Errorf("sum %v", sum)
	}
	if after := Evaluate(m, rankings); !(math.Abs(after.Loss-before.Loss) <= 1e-12) || after.Accuracy != before.Accuracy || m.Bias[0] == bias[0] {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if !slices.Equal(additive.Bias, bias) {
		t.Error("an additive reward taken before the shift moved with it")
	}
}

func TestAdditiveIsTheSameReward(t *testing.T) {
	for _, kind := range []Kind{BagOfWords, Bigrams} {
		m := randomModelOf(kind, 2, 3, 8)
		for order := 1; order <= 3; order++ {
			s := policy.Shape{Prompts: 2, Words: 3, MaxLength: 4, Order: order}
			p, err := policy.NewSoftmax(s, policy.Table)
			if err != nil {
				t.Fatal(err)
			}
			a := m.Additive(s)
			for _, y := range []policy.Response{nil, {1}, {2, 0, 2}, {1, 1, 0, 2}} {
				sum := a.Bias[1]
				for _, i := range p.Path(nil, 1, y) {
					sum += a.R[i]
				}
				if !(math.Abs(sum-m.Score(1, y)) <= 1e-12) {
					t.Errorf("%s, order %d, %v: %v along the path, score %v", kind, order, y, sum, m.Score(1, y))
				}
			}
		}
	}
}

func TestStatsNamesAndRewards(t *testing.T) {
	m := randomModel(1, 3, 9)
	rankings := randomRankings(2, 3, 1, 3, m, 9)
	got := metrics(trainerAt(Config{LearningRate: 0.3, BatchSize: 2, NumTrainEpochs: 1}, m, rankings).Step(rng.New(1)))
	low, high, mean := math.Inf(1), math.Inf(-1), 0.0
	for _, r := range rankings {
		for _, y := range r.Responses {
			s := m.Score(0, y)
			low, high, mean = min(low, s), max(high, s), mean+s/6
		}
	}
	for name, want := range map[string]float64{"min_reward": low, "max_reward": high, "mean_reward": mean, "learning_rate": 0.3} {
		if !(math.Abs(got[name]-want) <= 1e-12) {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if len(got) != 8 || got["grad_norm"] <= 0 {
		t.Errorf("metrics %v", got)
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{Model: "bag", LossType: "pairwize", Margin: -1, LearningRate: 0, NumTrainEpochs: -1, BatchSize: 0, WeightDecay: -1, CenterRewardsCoefficient: math.NaN(), MaxGradNorm: -1, Aggregate: "median", UncertaintyCoef: -1}
	if n := len(field.All(bad.Validate())); n != 15 {
		t.Errorf("%d problems: %v", n, bad.Validate())
	}
	bad = Default()
	bad.Model, bad.HiddenSize, bad.CountCap = MLP, 0, 65
	if n := len(field.All(bad.Validate())); n != 2 {
		t.Errorf("%d problems: %v", n, bad.Validate())
	}
}

func TestUnusedFields(t *testing.T) {
	for _, name := range []string{"tie_nu", "hidden_size", "counts", "count_cap", "uncertainty_coef"} {
		if Default().Unused(name) == "" {
			t.Errorf("%s changes nothing, and nobody says so", name)
		}
	}
	c := Default()
	c.Model, c.LossType, c.Aggregate = MLP, DavidsonLoss, UncertaintyWeighted
	for _, name := range []string{"tie_nu", "hidden_size", "counts", "count_cap", "uncertainty_coef", "learning_rate"} {
		if why := c.Unused(name); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
	if c.Unused("margin") == "" || Default().Unused("margin") != "" {
		t.Error("a margin is the pairwise loss's")
	}
}

// TRL's whole batches as rankings of two one-word responses: the trainer's loss,
// gradient and accuracy are TRL's.
func TestGoldenRewardModelThroughTheTrainer(t *testing.T) {
	type document struct {
		Cases []struct {
			Chosen   []float64 `json:"rewards_chosen"`
			Rejected []float64 `json:"rewards_rejected"`
		}
		Results []struct {
			Case         int
			UseMargin    bool    `json:"use_margin"`
			Center       float64 `json:"center_rewards_coefficient"`
			Loss         float64
			Accuracy     float64
			GradChosen   []float64 `json:"grad_chosen"`
			GradRejected []float64 `json:"grad_rejected"`
		}
	}
	goldentest.Each(t, "reward", func(t *testing.T, g document) {
		for _, r := range g.Results {
			if r.UseMargin {
				continue
			}
			c := g.Cases[r.Case]
			n := len(c.Chosen)
			m := &Linear{Prompts: 1, Words: 2 * n, Weight: append(slices.Clone(c.Chosen), c.Rejected...), Bias: []float64{0}}
			var rankings []policy.Ranking
			for i := range n {
				rankings = append(rankings, policy.Ranking{Responses: []policy.Response{{policy.Token(i)}, {policy.Token(n + i)}}})
			}
			tr := trainerAt(Config{LearningRate: 1e-3, BatchSize: n, CenterRewardsCoefficient: r.Center}, m, rankings)
			s := tr.Step(rng.New(1))
			same(t, "loss", s.Loss, r.Loss)
			if !(math.Abs(s.Accuracy-r.Accuracy) <= 1e-6) { // TRL's went through float32
				t.Errorf("accuracy %v, TRL's %v", s.Accuracy, r.Accuracy)
			}
			for i := range n {
				same(t, "grad chosen", tr.grad[i], r.GradChosen[i])
				same(t, "grad rejected", tr.grad[n+i], r.GradRejected[i])
			}
		}
	})
}

func same(t *testing.T, what string, got, want float64) {
	t.Helper()
	within(t, what, got, want, 1e-12)
}

func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s = %.17g, TRL's %.17g", what, got, want)
	}
}

func BenchmarkStep(b *testing.B) {
	judge := randomModel(8, 24, 1)
	rankings := randomRankings(1000, 4, 8, 24, judge, 1)
	for _, kind := range Kinds {
		for _, loss := range LossTypes {
			b.Run(string(kind)+"/"+string(loss), func(b *testing.B) {
				c := Default()
				c.Model, c.LossType = kind, loss
				tr, r := fit(c, 8, 24, rankings), rng.New(2)
				b.ReportAllocs()
				for b.Loop() {
					tr.Step(r)
				}
				b.ReportMetric(float64(b.N*16)/b.Elapsed().Seconds(), "rankings/s")
			})
		}
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	judge := randomModel(2, 4, 1)
	for _, kind := range Kinds {
		for _, loss := range LossTypes {
			c := Default()
			c.Model, c.LossType = kind, loss
			tr, r := fit(c, 2, 4, randomRankings(100, 4, 2, 4, judge, 1)), rng.New(1)
			if n := testing.AllocsPerRun(20, func() { tr.Step(r) }); n != 0 {
				t.Errorf("%s, %s: %v allocations a step", kind, loss, n)
			}
		}
	}
}
