package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// byPrompt is a reward that depends on prompt, words and order.
type byPrompt struct{}

func (byPrompt) Score(x policy.Prompt, y policy.Response) float64 {
	sum := 0.3 * float64(x)
	for t, w := range y {
		sum += float64(w)*0.7 - 0.2*float64(t) - 0.5
	}
	return sum
}

// warm is a trainer some steps into its training: away from the reference,
// with a value head that has learned something.
func warm(t *testing.T, c Config, reward Scorer) (*Trainer, *rng.Stream) {
	ref := randomPolicy(t, small, 21)
	tr, r := New(c, ref.Clone(), ref, reward, half), rng.New(22)
	for range 5 {
		tr.Step(r)
	}
	return tr, r
}

func average(xs []float64) (mean, variance float64) {
	for _, x := range xs {
		mean += x / float64(len(xs))
	}
	for _, x := range xs {
		variance += (x - mean) * (x - mean) / float64(len(xs)-1)
	}
	return mean, variance
}

// Where nothing moves (both learning rates 0) the statistics of the updates
// follow from the rollout: each is the mean over minibatches of a mean over
// their tokens, every episode is in exactly one, and −Â ρ is −Â.
func TestStatisticsAreMeansOverMinibatches(t *testing.T) {
	c := smallConfig()
	c.NumPPOEpochs = 1
	tr, r := warm(t, c, byPrompt{})
	tr.cfg.NumMiniBatches, tr.cfg.LearningRate, tr.cfg.ValueLearningRate = 3, 0, 0
	s := tr.Step(r)
	b, pi := tr.rollout, tr.policy.Policy
	seen := slices.Sorted(slices.Values(tr.order))
	for i, e := range seen {
		if i != e {
			t.Fatalf("episodes %v", seen)
		}
	}
	var want Stats
	for _, episodes := range [][]int{tr.order[:10], tr.order[10:21], tr.order[21:]} {
		var tokens []int32
		for _, e := range episodes {
			for j := b.start[e]; j < b.start[e+1]; j++ {
				tokens = append(tokens, j)
			}
		}
		each := 1 / float64(3*len(tokens))
		for _, j := range tokens {
			want.PolicyLoss -= each * b.advantage[j]
			want.ValueLoss += each * 0.5 * math.Pow(b.value[j]-b.returns[j], 2)
			for k := int(b.row[j]) * pi.Outcomes(); k < (int(b.row[j])+1)*pi.Outcomes(); k++ {
				want.PolicyEntropy -= each * pi.P[k] * pi.LogP[k]
			}
		}
	}
	if len(tr.ratios) != 3 {
		t.Errorf("%d minibatches", len(tr.ratios))
	}
	near(t, "loss/policy_avg", s.PolicyLoss, want.PolicyLoss, 1e-12)
	near(t, "loss/value_avg", s.ValueLoss, want.ValueLoss, 1e-12)
	near(t, "policy/entropy_avg", s.PolicyEntropy, want.PolicyEntropy, 1e-12)
	near(t, "val/ratio", s.Ratio, 1, 1e-12)
	if math.Abs(want.PolicyLoss) < 1e-4 {
		t.Error("minibatches of equal size cannot tell the means apart")
	}

	tr.cfg.NumPPOEpochs = 2 // a second pass over other minibatches: means, not sums
	tr.ratios = make([]float64, 0, 6)
	twice := tr.Step(r)
	if len(tr.ratios) != 6 || twice.Epochs != 2 {
		t.Errorf("%d minibatches in %v epochs", len(tr.ratios), twice.Epochs)
	}
	near(t, "loss/value_avg of two epochs", twice.ValueLoss, s.ValueLoss, 0.5)
	near(t, "val/ratio of two epochs", twice.Ratio, 1, 1e-12)
}

// What average divides, and what it makes of the ratios.
func TestAverage(t *testing.T) {
	s := Stats{PolicyLoss: 3, ClipFrac: 6, ApproxKL: 9, ValueLoss: 12, ValueClipFrac: 15, PolicyEntropy: 18, GradNorm: 21, KL: 5}
	s.average([]float64{0.9, 1, 1.4})
	want := Stats{PolicyLoss: 1, ClipFrac: 2, ApproxKL: 3, ValueLoss: 4, ValueClipFrac: 5, PolicyEntropy: 6, GradNorm: 7, KL: 5, Ratio: s.Ratio, RatioVar: s.RatioVar}
	if s != want {
		t.Errorf("%+v", s)
	}
	near(t, "val/ratio", s.Ratio, 1.1, 1e-12)
	near(t, "val/ratio_var", s.RatioVar, 0.07, 1e-12)
}

// Returns, advantages and the statistics of a rollout, from the tokens up.
func TestAdvantagesOfARollout(t *testing.T) {
	for _, whiten := range []bool{false, true} {
		c := smallConfig()
		c.WhitenAdvantages, c.Gamma, c.Lam, c.KLCoef = whiten, 0.9, 0.8, 0.3
		tr, r := warm(t, c, byPrompt{})
		head := slices.Clone(tr.value.v)
		s := tr.Step(r)
		b := tr.rollout
		var raw []float64
		entropy := 0.0
		for e, y := range b.response {
			from, to := int(b.start[e]), int(b.start[e+1])
			for i := from; i < to; i++ {
				row := int(b.index[i]) / tr.ref.Outcomes()
				near(t, "V(s_t)", b.value[i], head[(i-from)*small.Rows()+row], 0)
				sum, weight := 0.0, 1.0
				for j := i; j < to; j++ { // Σ_l (γλ)^l δ_{t+l}
					delta := -0.3*(b.old[j]-b.ref[j]) - b.value[j]
					if j+1 < to {
						delta += 0.9 * b.value[j+1]
					} else {
						delta += byPrompt{}.Score(b.prompt[e], y)
					}
					sum += weight * delta
					weight *= 0.9 * 0.8
				}
				raw = append(raw, sum)
				near(t, "return", b.returns[i], sum+b.value[i], 1e-12)
				entropy -= b.old[i] / 32
			}
		}
		mean, variance := average(raw)
		for i, a := range raw {
			if whiten {
				a = (a - mean) / math.Sqrt(variance+1e-8)
			}
			near(t, "Â", b.advantage[i], a, 1e-11)
		}
		near(t, "objective/entropy", s.Entropy, entropy, 1e-12)
		mean, all := average(b.returns)
		near(t, "ppo/returns/mean", s.ReturnsMean, mean, 1e-12)
		near(t, "ppo/returns/var", s.ReturnsVar, all, 1e-12)
		near(t, "ppo/val/var_explained", s.VarExplained, 1-variance/all, 1e-12)
		if slices.Max(head)-slices.Min(head) < 0.1 {
			t.Error("the value head is too flat to test anything")
		}
	}
}

// Whitened rewards are scaled and not shifted (TRL's shift_mean=False).
func TestWhitenedRewardsKeepTheirMean(t *testing.T) {
	c := smallConfig()
	plain, r := warm(t, c, byPrompt{})
	plain.Step(r)
	want, _ := average(plain.rollout.reward)
	tr, r := warm(t, c, byPrompt{})
	tr.cfg.WhitenRewards = true
	s := tr.Step(r)
	mean, variance := average(tr.rollout.reward)
	near(t, "mean", mean, want, 1e-12)
	near(t, "variance", variance, 1, 1e-6)
	if math.Abs(want) < 1e-3 {
		t.Error("a mean of 0 tests nothing")
	}
	near(t, "objective/rlhf_reward", s.RLHFReward, s.Scores+s.NonScoreReward, 1e-12)
}

// The mean shaped reward of a response is its score − β times the KL estimate.
func TestShapedRewardIsScoreMinusPenalty(t *testing.T) {
	for _, estimator := range []string{"k1", "k3"} {
		c := smallConfig()
		c.KLCoef, c.KLEstimator = 0.4, estimator
		tr, r := warm(t, c, byPrompt{})
		s := tr.Step(r)
		b := tr.rollout
		shaped, estimate, scores := 0.0, 0.0, 0.0
		for j, reward := range b.reward {
			shaped += reward / 32
			d := b.ref[j] - b.old[j]
			if estimator == "k1" {
				estimate -= d / 32
			} else {
				estimate += (math.Exp(d) - 1 - d) / 32
			}
		}
		for e, y := range b.response {
			scores += byPrompt{}.Score(b.prompt[e], y) / 32
		}
		near(t, estimator+": shaped reward", shaped, scores-0.4*estimate, 1e-12)
		near(t, estimator+": objective/non_score_reward", s.NonScoreReward, -0.4*estimate, 1e-12)
		near(t, estimator+": objective/rlhf_reward", s.RLHFReward, shaped, 1e-12)
		if math.Abs(estimate) < 1e-3 {
			t.Error("the policy is too near to its reference to test anything")
		}
	}
}

func TestStepMovesTheKLCoefficient(t *testing.T) {
	c := smallConfig()
	c.AdapKLCtrl, c.KLCoef, c.Target, c.Horizon = true, 0.2, 0.5, 1000
	tr, r := warm(t, c, byPrompt{})
	before := tr.kl.coef
	s := tr.Step(r)
	near(t, "objective/kl_coef", s.KLCoef, before, 0)
	near(t, "β", tr.kl.coef, before*(1+min(max(s.KL/0.5-1, -0.2), 0.2)*32/1000), 1e-14)
	if tr.kl.coef == before {
		t.Error("β did not move")
	}
}

func TestLearningRateDecay(t *testing.T) {
	c := smallConfig()
	c.TotalEpisodes, c.LRSchedulerType = 32*4-5, "linear" // 4 steps: the last batch counts whole
	ref := randomPolicy(t, small, 23)
	tr, r := New(c, ref.Clone(), ref, byPrompt{}, half), rng.New(24)
	if tr.Steps() != 4 {
		t.Fatalf("%d steps", tr.Steps())
	}
	for k, share := range []float64{1, 0.75, 0.5, 0.25} {
		near(t, "value learning rate", tr.learningRate(c.ValueLearningRate), c.ValueLearningRate*share, 1e-15)
		s := tr.Step(r)
		near(t, "lr", s.LR, c.LearningRate*share, 1e-15)
		near(t, "episode", s.Episode, float64(32*(k+1)), 0)
	}
	tr.cfg.LRSchedulerType = "constant"
	near(t, "constant", tr.learningRate(0.3), 0.3, 0)
}

// Policy and value are clipped each on its own.
func TestGradientClipping(t *testing.T) {
	c := smallConfig()
	c.MaxGradNorm = 0.5
	ref := randomPolicy(t, small, 25)
	tr := New(c, ref.Clone(), ref, byPrompt{}, half)
	if tr.policy.MaxGradNorm != 0.5 {
		t.Errorf("the policy's limit is %v", tr.policy.MaxGradNorm)
	}
	v := tr.value
	want, adam := slices.Clone(v.v), policy.NewAdam(len(v.v))
	for _, size := range []float64{0.01, 3, 0.2} { // one of the three is clipped
		g := make([]float64, len(v.g))
		for i := range g {
			g[i] = size * float64(i%5-2) / float64(len(g))
		}
		g[0] = size
		copy(v.g, g)
		v.update(0.1)
		norm := 0.0
		for _, x := range g {
			norm += x * x
		}
		if norm = math.Sqrt(norm); norm > 0.5 {
			for i := range g {
				g[i] *= 0.5 / (norm + 1e-6)
			}
		}
		adam.Step(want, g, 0.1)
	}
	for i := range want {
		near(t, "V", v.v[i], want[i], 1e-12)
	}
	if slices.Max(v.g) != 0 || slices.Min(v.g) != 0 {
		t.Error("the gradient was not cleared")
	}
}

// The penalty is on the responses that were cut, and on no others.
func TestMissingEOSPenalty(t *testing.T) {
	c := smallConfig()
	c.MissingEOSPenalty = 5
	tr, r := warm(t, c, byPrompt{})
	s := tr.Step(r)
	cut := 0
	for e, y := range tr.rollout.response {
		want := byPrompt{}.Score(tr.rollout.prompt[e], y)
		if len(y) == small.MaxLength {
			cut++
			want -= 5
		}
		near(t, "score", tr.rollout.total[e], want, 1e-12)
	}
	if cut == 0 || cut == 32 || s.NumEOSTokens != float64(32-cut) {
		t.Errorf("%d cut, %v ended", cut, s.NumEOSTokens)
	}
}

// What early stopping compares with its limit is a mean over minibatches, as
// the statistics are.
func TestMovedIsAMeanOverMinibatches(t *testing.T) {
	tr, r := warm(t, smallConfig(), byPrompt{})
	tr.Step(r) // the policy has moved from the one that sampled
	tr.cfg.NumMiniBatches, tr.cfg.ValueLearningRate = 2, 0
	b, want := tr.rollout, 0.0
	var s Stats // its learning rate is 0: nothing moves further
	moved := tr.epoch(r, &s)
	for _, episodes := range [][]int{tr.order[:16], tr.order[16:]} {
		sum, n := 0.0, 0.0
		for _, e := range episodes {
			for j := b.start[e]; j < b.start[e+1]; j++ {
				sum += b.old[j] - tr.policy.Policy.LogP[b.index[j]]
				n++
			}
		}
		want += sum / n / 2
	}
	near(t, "mean log π_old − log π", moved, want, 1e-12)
	if math.Abs(want) < 1e-4 {
		t.Error("the policy did not move")
	}
}

// Policy and value head each have a learning rate of their own, and the norm of
// the gradient is a mean over all updates.
func TestLearningRatesAreSeparate(t *testing.T) {
	tr, r := warm(t, smallConfig(), byPrompt{})
	tr.cfg.LearningRate = 0
	logits, head := slices.Clone(tr.policy.Policy.Logits), slices.Clone(tr.value.v)
	s := tr.Step(r)
	if !slices.Equal(logits, tr.policy.Policy.Logits) || slices.Equal(head, tr.value.v) {
		t.Error("with learning_rate 0 the value head alone moves")
	}
	// Four updates with the same gradient: their mean norm is that of one.
	tr.policy.MaxGradNorm = 0
	var one Stats
	tr.minibatch(tr.order, &one)
	near(t, "grad_norm", s.GradNorm, one.GradNorm, 1e-12)
	if one.GradNorm < 1e-3 {
		t.Error("the gradient is too small to test anything")
	}

	tr, r = warm(t, smallConfig(), byPrompt{})
	tr.cfg.ValueLearningRate = 0
	logits, head = slices.Clone(tr.policy.Policy.Logits), slices.Clone(tr.value.v)
	tr.Step(r)
	if slices.Equal(logits, tr.policy.Policy.Logits) || !slices.Equal(head, tr.value.v) {
		t.Error("with value_learning_rate 0 the policy alone moves")
	}
}

// The loops of an update take what is cut off nowhere without asking Clipped and
// ClippedValue, which say the same to the last bit.
func TestInsideTheClipTheTermsAreOne(t *testing.T) {
	r, inside, insideV := rng.New(1, "inside"), 0, 0
	for range 100_000 {
		ratio, advantage := 0.5+r.Float64(), 4*r.Float64()-2
		c := Clip{Low: r.Float64() / 2, High: r.Float64() / 2, Delta: math.Inf(1), Most: math.Inf(1)}
		if r.IntN(2) == 0 {
			c.Delta = 1 + c.High + r.Float64()/4
		}
		if r.IntN(2) == 0 {
			c = c.within(r.Float64() / 2)
		}
		if low, high := c.uncut(); low < ratio && ratio < high {
			inside++
			if loss, slope, clipped := Clipped(ratio, advantage, c); loss != -advantage*ratio || slope != loss || clipped != 0 {
				t.Fatalf("%v, %v, %+v: %v, %v, %v", ratio, advantage, c, loss, slope, clipped)
			}
		}
		v, old, target, limit := r.Float64(), r.Float64(), 4*r.Float64()-2, r.Float64()
		if insideValue(v, old, limit) {
			insideV++
			d := v - target
			if loss, slope, clipped := ClippedValue(v, old, target, limit); loss != float64(0.5*float64(d*d)) || slope != d || clipped != 0 {
				t.Fatalf("%v, %v, %v, %v: %v, %v, %v", v, old, target, limit, loss, slope, clipped)
			}
		}
	}
	if inside < 1000 || insideV < 1000 {
		t.Errorf("%d and %d of 100,000 are inside", inside, insideV)
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), 0.8, 1.2} { // and the bounds themselves
		low, high := (Clip{Low: 0.2, High: 0.2, Delta: 3, Most: math.Inf(1)}).uncut()
		if low < x && x < high || insideValue(x, 1, 0.2) && x != 0.8 && x != 1.2 {
			t.Errorf("%v is inside", x)
		}
	}
}
