package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// With γ = λ = 1 and nothing whitened, the estimator's mean is the exact
// gradient of J (Williams 1992): 20,000 rollouts agree within their error. With
// λ = 0 and a value head that knows nothing it must not.
func TestEstimatedGradientIsUnbiased(t *testing.T) {
	ref := randomPolicy(t, small, 3)
	pi := randomPolicy(t, small, 4)
	reward := words{1, 0, -1}
	additive := policy.Additive{Bias: make([]float64, small.Prompts), R: make([]float64, small.Cells())}
	for i := range additive.R {
		if w := i % small.Outcomes(); w < small.Words {
			additive.R[i] = reward[w]
		}
	}
	e := policy.NewEvaluator(small, half)
	objective := policy.Objective{Ref: &ref.Chain, Additive: &additive, Beta: 0.4}
	g, truth := e.NewGradient(), make([]float64, small.Cells())
	e.Gradient(g, &pi.Chain, objective)
	g.LogProbs(truth, &pi.Chain, objective)
	pi.LogitGradient(truth)

	for _, c := range []struct {
		lam      float64
		unbiased bool
	}{{1, true}, {0, false}} {
		cfg := smallConfig()
		cfg.KLCoef, cfg.Lam, cfg.WhitenAdvantages = 0.4, c.lam, false
		tr, r := New(cfg, pi.Clone(), ref, reward, half), rng.New(5)
		for i := range tr.value.v {
			tr.value.v[i] = 0.3 * math.Sin(float64(i)) // any baseline will do
		}
		const n = 20_000
		mean, square, estimate := make([]float64, len(truth)), make([]float64, len(truth)), make([]float64, len(truth))
		for range n {
			tr.EstimateGradient(estimate, r)
			for i, v := range estimate {
				mean[i] += v / n
				square[i] += v * v / n
			}
		}
		worst := 0.0
		for i := range truth {
			if se := math.Sqrt((square[i] - mean[i]*mean[i]) / n); se > 0 {
				worst = max(worst, math.Abs(mean[i]-truth[i])/se)
			}
		}
		if (worst < 4.5) != c.unbiased {
			t.Errorf("λ = %v: the mean is off by up to %.1f standard errors", c.lam, worst)
		}
	}
}

// Whitening divides by a number that EstimateGradient multiplies back.
func TestEstimatedGradientKeepsItsScale(t *testing.T) {
	ref, pi := randomPolicy(t, small, 3), randomPolicy(t, small, 4)
	norm := func(whiten bool) float64 {
		cfg := smallConfig()
		cfg.BatchSize, cfg.WhitenAdvantages, cfg.KLCoef = 20_000, whiten, 0.4
		tr, g, sum := New(cfg, pi.Clone(), ref, words{1, 0, -1}, half), make([]float64, small.Cells()), 0.0
		tr.EstimateGradient(g, rng.New(1))
		for _, v := range g {
			sum += v * v
		}
		return math.Sqrt(sum)
	}
	if a, b := norm(false), norm(true); !(math.Abs(a-b) <= 0.2*a) {
		t.Errorf("norm %v plain, %v whitened", a, b)
	}
}

// The estimate is the first update's own gradient in other units, wherever the
// KL stands and whatever estimates it.
func TestEstimatedGradientIsTheFirstUpdates(t *testing.T) {
	for _, in := range []string{"reward", "loss", "both"} {
		for i, k := range slices.Concat(estimators, estimators) {
			cfg := smallConfig()
			if i >= len(estimators) {
				cfg.TopMask = 0.6
			}
			cfg.KLIn, cfg.KLEstimator, cfg.KLCoef, cfg.WhitenAdvantages = in, k, 0.6, false
			tr := New(cfg, randomPolicy(t, small, 4), randomPolicy(t, small, 3), byPrompt{}, half)
			got := make([]float64, small.Cells())
			tr.EstimateGradient(got, rng.New(1))
			s := Stats{klInLoss: in != "reward"}
			tr.backward(tr.order, &s)
			tr.policy.Policy.LogitGradient(tr.policy.G)
			perEpisode := float64(len(tr.rollout.index)) / float64(cfg.BatchSize)
			for i, g := range tr.policy.G {
				near(t, in+", "+k, got[i], -perEpisode*g, 1e-12)
			}
		}
	}
}
