package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

var someLines = []policy.Demonstration{{Prompt: 0, Response: policy.Response{0, 1}}, {Prompt: 1, Response: policy.Response{2, 2, 2}}, {Prompt: 0}}

// The gradient of what can be switched on (clip-higher, dual clip, every KL in
// the loss, PPO-ptx) against differences of the loss written out.
func TestAdditionsAgainstFiniteDifferences(t *testing.T) {
	for _, estimatorName := range estimators {
		if k, _ := estimator(estimatorName, 0); k.StraightThrough { // its slope is k2's, not its own
			continue
		}
		c := smallConfig()
		c.KLIn, c.KLEstimator, c.KLCoef, c.PtxCoef, c.PtxBatchSize = "loss", estimatorName, 0.7, 0.4, 3
		c.Cliprange, c.CliprangeHigh, c.DualClip, c.NumPPOEpochs, c.LearningRate = 0.1, 0.15, 1.2, 8, 0.08
		ref := randomPolicy(t, small, 1)
		tr := New(c, ref.Clone(), ref, byPrompt{}, half)
		tr.MixPretraining(someLines)
		r := rng.New(1)
		for range 3 {
			tr.Step(r)
		}
		b, pi := tr.rollout, tr.policy.Policy
		dual := 0
		loss := func() (sum float64) {
			n := float64(len(b.index))
			for j, i := range b.index {
				ratio, a := math.Exp(pi.LogP[i]-b.old[j]), b.advantage[j]
				l := math.Max(-a*ratio, -a*math.Min(math.Max(ratio, 0.9), 1.15))
				if a < 0 && l > -1.2*a {
					l = -1.2 * a
					dual++
				}
				k := pi.LogP[i] - b.ref[j]
				switch estimatorName {
				case "k2":
					k = k * k / 2
				case "k3":
					k += math.Exp(-k) - 1
				case "abs":
					k = math.Abs(k)
				case "k1_positive":
					k = math.Max(0, k)
				case full:
					k = 0
					for w := int(b.row[j]) * pi.Outcomes(); w < (int(b.row[j])+1)*pi.Outcomes(); w++ {
						k += pi.P[w] * (pi.LogP[w] - ref.LogP[w])
					}
				}
				sum += (l + 0.7*k) / n
			}
			for _, d := range someLines {
				sum -= 0.4 * pi.LogProb(d.Prompt, d.Response) / 3
			}
			return sum
		}
		want := slopes(t, pi, 1e-6, loss)
		var s Stats
		s.klInLoss = true
		tr.pretraining.next(r)
		tr.backward(tr.order, &s)
		pi.LogitGradient(tr.policy.G)
		for i := range want {
			near(t, estimatorName+": ∂L/∂z", tr.policy.G[i], want[i], 2e-8)
		}
		near(t, "loss", s.PolicyLoss+0.7*s.KLLoss+0.4*s.PtxLoss, loss(), 1e-12)
		if num.Dot(want, want) < 1e-4 || dual == 0 {
			t.Errorf("%s: gradient² %v, %d tokens at the dual clip", estimatorName, num.Dot(want, want), dual)
		}
	}
}

// PPO's ratios e^±0.3 are held to e^±0.1: what they lose is a constant.
func TestLogRatioClampOfPPO(t *testing.T) {
	for _, off := range []float64{0.3, -0.3} {
		c := smallConfig()
		c.Cliprange, c.LogRatioClamp = 0.9, 0.1
		ref := randomPolicy(t, small, 1)
		tr := New(c, randomPolicy(t, small, 2), ref, byPrompt{}, half)
		tr.Step(rng.New(1))
		b, want := tr.rollout, 0.0
		for j, i := range b.index {
			b.old[j] = tr.policy.Policy.LogP[i] - off
			want -= b.advantage[j] * math.Exp(off/3) / float64(len(b.index))
		}
		var s Stats
		tr.backward(tr.order, &s)
		near(t, "loss", s.PolicyLoss, want, 1e-14)
		near(t, "½ log²ρ, held as well", s.ApproxKL, 0.005, 1e-14)
		near(t, "gradient²", num.Dot(tr.policy.G, tr.policy.G), 0, 0)
	}
}

// The penalty is in one place: the reward or the loss.
func TestKLInLossLeavesTheRewardAlone(t *testing.T) {
	c := smallConfig()
	c.KLIn, c.KLEstimator, c.KLCoef = "loss", full, 0.5
	ref, pi := randomPolicy(t, small, 1), randomPolicy(t, small, 2)
	s := New(c, pi, ref, byPrompt{}, half).Step(rng.New(1))
	if s.NonScoreReward != 0 || s.KLLoss <= 0 {
		t.Errorf("%+v", s)
	}
	names := map[string]bool{}
	for name := range s.All() {
		names[name] = true
	}
	if !names["loss/kl_avg"] || names["loss/ptx_avg"] {
		t.Errorf("metrics %v", names)
	}
}

// The exact KL of a state in the reward is what k1 estimates.
func TestFullKLInTheReward(t *testing.T) {
	c := smallConfig()
	c.BatchSize, c.TotalEpisodes, c.KLCoef, c.KLEstimator = 20_000, 20_000, 1, full
	ref, pi := randomPolicy(t, small, 1), randomPolicy(t, small, 2)
	e := policy.NewEvaluator(small, half)
	want := e.Expect(&pi.Chain, &ref.Chain, nil).KL
	s := New(c, pi, ref, byPrompt{}, half).Step(rng.New(1))
	near(t, "−E Σ KL", s.NonScoreReward, -want, 0.02)
	near(t, "objective/kl", s.KL, want, 0.03)
}

// The exact KL of the state in both places is the gradient of the sequence's KL in
// expectation; each token's penalty is taken off its reward, and stands in the loss.
func TestKLInBothPlaces(t *testing.T) {
	c := smallConfig()
	c.KLIn, c.KLEstimator, c.KLCoef, c.Lam, c.WhitenAdvantages = "both", full, 0.5, 1, false
	ref, pi := randomPolicy(t, small, 1), randomPolicy(t, small, 2)
	s := New(c, pi.Clone(), ref, byPrompt{}, half).Step(rng.New(1))
	if s.NonScoreReward >= 0 || s.KLLoss <= 0 {
		t.Errorf("%+v", s)
	}
	e := policy.NewEvaluator(small, half)
	want := exactGradientOf(e, pi, ref, c.KLCoef)
	tr, r := New(c, pi.Clone(), ref, words{0, 0, 0}, half), rng.New(1)
	sum, own := make([]float64, len(want)), make([]float64, len(want))
	for range 400 {
		tr.EstimateGradient(own, r)
		num.Axpy(sum, 1./400, own)
	}
	if cos := cosine(sum, want); !(cos >= 0.999) {
		t.Errorf("cosine %v with the gradient of the sequence's KL", cos)
	}
	group := tinyGroup(t, tiny, "reinforce", 1, words{0, 0}, func(c *GroupConfig) {
		c.Advantage, c.Beta, c.KLIn, c.KLEstimator = "none", 1, "both", full
	})
	exact := exactGradient(group.policy.Policy, group.ref, words{0, 0}, 1, unequal)
	for i, g := range expectedGradient(group, unequal) {
		near(t, "E[g] with the full KL in both places", g, exact[i], 1e-14)
	}
}

func exactGradientOf(e *policy.Evaluator, pi, ref *policy.Softmax, beta float64) []float64 {
	g, add := e.NewGradient(), additive(words{0, 0, 0}, pi.Shape)
	o := policy.Objective{Ref: &ref.Chain, Additive: &add, Beta: beta}
	e.Gradient(g, &pi.Chain, o)
	out := make([]float64, pi.Cells())
	g.LogProbs(out, &pi.Chain, o)
	pi.LogitGradient(out)
	return out
}

// While the critic warms up the policy stays, and the value head learns.
func TestCriticWarmup(t *testing.T) {
	c := smallConfig()
	c.CriticWarmup = 3
	ref := randomPolicy(t, small, 1)
	tr, r := New(c, ref.Clone(), ref, words{1, 0, -1}, half), rng.New(1)
	for step := range 5 {
		values := slices.Clone(tr.value.v)
		tr.Step(r)
		if moved := !slices.Equal(tr.policy.Policy.LogP, ref.LogP); moved != (step >= 3) || slices.Equal(values, tr.value.v) {
			t.Errorf("step %d: policy moved: %v", step, moved)
		}
	}
}

// Scores are cut off before anything is done with them, penalties one by one.
func TestRewardClipAndKLClamp(t *testing.T) {
	c := smallConfig()
	c.CliprangeReward, c.KLClamp, c.KLCoef = 0.5, 0.01, 1
	ref, pi := randomPolicy(t, small, 1), randomPolicy(t, small, 2)
	tr := New(c, pi, ref, words{3, 0, -3}, half)
	var s Stats
	tr.rollout.sample(pi, ref, half, rng.New(1))
	tr.score(&tr.scale, &s)
	for _, total := range tr.rollout.total {
		if !(math.Abs(total) <= 0.5) {
			t.Errorf("a score of %v", total)
		}
	}
	tr.penalise(&s)
	for e := range tr.rollout.prompt {
		for j := tr.rollout.start[e]; j < tr.rollout.start[e+1]-1; j++ {
			near(t, "penalty", tr.rollout.reward[j], -math.Max(-0.01, math.Min(0.01, tr.rollout.old[j]-tr.rollout.ref[j])), 1e-15)
		}
	}
}

// Every update gets lines of its own, and a pass over the text deals each once.
func TestPtxDealsTheLines(t *testing.T) {
	lines := make([]policy.Demonstration, 6)
	tr, r := benchmarkTrainer(t, 8), rng.New(1)
	tr.cfg.PtxCoef, tr.cfg.PtxBatchSize = 1, 2
	tr.MixPretraining(lines)
	var dealt []int
	for range 3 {
		tr.pretraining.next(r)
		dealt = append(dealt, tr.pretraining.batch...)
	}
	slices.Sort(dealt)
	if !slices.Equal(dealt, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("lines %v", dealt)
	}
}

// PPO-ptx keeps more of the pre-training text's likelihood.
func TestPtxKeepsTheText(t *testing.T) {
	run := func(coef float64) float64 {
		c := smallConfig()
		c.PtxCoef = coef
		ref := randomPolicy(t, small, 1)
		pi := ref.Clone()
		tr, r := New(c, pi, ref, words{3, 0, -3}, half), rng.New(1)
		tr.MixPretraining(someLines)
		for range 40 {
			tr.Step(r)
		}
		sum := 0.0
		for _, d := range someLines {
			sum += pi.LogProb(d.Prompt, d.Response)
		}
		return sum
	}
	if without, with := run(0), run(1); !(with >= without+1) {
		t.Errorf("log-likelihood %v without, %v with", without, with)
	}
}

func TestPtxStep(t *testing.T) {
	tr, r := benchmarkTrainer(t, 32), rng.New(1)
	tr.cfg.PtxCoef, tr.cfg.KLIn, tr.cfg.KLEstimator = 1, "loss", full
	tr.MixPretraining(someLines)
	s, names := tr.Step(r), map[string]float64{}
	for name, value := range s.All() {
		names[name] = value
	}
	if names["loss/ptx_avg"] <= 0 || names["loss/ptx_avg"] != s.PtxLoss {
		t.Errorf("loss/ptx_avg = %v", names["loss/ptx_avg"])
	}
	if n := testing.AllocsPerRun(20, func() { tr.Step(r) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}
