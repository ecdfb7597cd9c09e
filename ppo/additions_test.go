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
		z, want := slices.Clone(pi.Logits), make([]float64, len(pi.Logits))
		const h = 1e-6
		for i := range z {
			at := func(v float64) float64 {
				moved := slices.Clone(z)
				moved[i] = v
				if err := pi.SetLogits(moved); err != nil {
					t.Fatal(err)
				}
				return loss()
			}
			want[i] = (at(z[i]+h) - at(z[i]-h)) / (2 * h)
		}
		if err := pi.SetLogits(z); err != nil {
			t.Fatal(err)
		}
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
	if without, with := run(0), run(1); with < without+1 {
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
