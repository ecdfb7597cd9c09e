package ppo

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"rlhfsim/internal/generated"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// The tests of this file hold estimators against the exact gradient of
// J(π) = E[r] − β KL(π‖π_ref). The expectation of an estimator is exact too: a
// sum over every batch of responses that can be sampled, each run through the
// trainer's own code, weighted with its probability.

// tiny has seven responses, so that pairs can be enumerated.
var tiny = policy.Shape{Prompts: 2, Words: 2, MaxLength: 2, Order: 1}

var unequal = []float64{0.3, 0.7}

// put makes the trainer's rollout hold the given responses to one prompt.
func put(t *GroupTrainer, x policy.Prompt, ys ...policy.Response) {
	b, pi := t.rollout, t.policy.Policy
	b.truncate(0)
	for e, y := range ys {
		b.prompt[e], b.response[e], b.total[e], b.start[e] = x, y, t.score(x, y), int32(len(b.index))
		b.index = pi.Path(b.index, x, y)
		for k, i := range b.index[b.start[e]:] {
			row := i / int32(pi.Outcomes())
			b.row, b.state = append(b.row, row), append(b.state, int32(k*pi.Rows())+row)
		}
		b.start[e+1] = int32(len(b.index))
	}
	b.finish(pi, t.ref)
}

// expectedGradient is E[−∂L/∂z] of the trainer's estimate, a batch being one group.
func expectedGradient(t *GroupTrainer, weights []float64) []float64 {
	pi := t.policy.Policy
	all := everyResponse(pi.Shape)
	sum, chance := make([]float64, pi.Cells()), rng.New(1)
	add := func(x policy.Prompt, probability float64, ys ...policy.Response) {
		var s GroupStats
		put(t, x, ys...)
		t.advantages(&s)
		t.backward(0, t.cfg.BatchSize, chance, &s)
		pi.LogitGradient(t.policy.G)
		num.Axpy(sum, -probability, t.policy.G)
		clear(t.policy.G)
	}
	ys := make([]policy.Response, t.cfg.BatchSize)
	var draw func(x policy.Prompt, k int, probability float64)
	draw = func(x policy.Prompt, k int, probability float64) {
		if k == len(ys) {
			add(x, probability, ys...)
			return
		}
		for _, y := range all {
			ys[k] = y
			draw(x, k+1, probability*math.Exp(pi.LogProb(x, y)))
		}
	}
	for x, weight := range weights {
		draw(policy.Prompt(x), 0, weight)
	}
	return sum
}

// exactGradient is ∂J/∂z.
func exactGradient(pi, ref *policy.Softmax, reward words, beta float64, weights []float64) []float64 {
	e := policy.NewEvaluator(pi.Shape, weights)
	g, add := e.NewGradient(), additive(reward, pi.Shape)
	o := policy.Objective{Ref: &ref.Chain, Additive: &add, Beta: beta}
	e.Gradient(g, &pi.Chain, o)
	out := make([]float64, pi.Cells())
	g.LogProbs(out, &pi.Chain, o)
	pi.LogitGradient(out)
	return out
}

// tinyGroup is a trainer of a method on the tiny world with one group a batch.
func tinyGroup(t testing.TB, s policy.Shape, name string, generations int, reward words, change func(*GroupConfig)) *GroupTrainer {
	for _, m := range GroupMethods {
		if m.Name == name {
			c := m.Defaults
			c.BatchSize, c.NumGenerations, c.Beta = generations, generations, 0.4
			if c.Advantage == "batch_mean" {
				c.NumGenerations = 1
			}
			if change != nil {
				change(&c)
			}
			return NewGroup(c, randomPolicy(t, s, 2), randomPolicy(t, s, 1), reward, unequal)
		}
	}
	t.Fatalf("no method %s", name)
	return nil
}

var tinyReward = words{1, -0.5}

// MaxRL of groups of n climbs the first n−1 terms of log p = −Σ_k (1−p)^k/k, p the
// probability of success: E[g] = Σ_{k<n} (1−p)^{k−1} ∇p (Tajwar et al. 2026, arXiv 2602.02710,
// whose estimator without a baseline has one term more). With two it is REINFORCE's.
func TestMaxRLClimbsTheLikelihood(t *testing.T) {
	for n := 2; n <= 4; n++ {
		tr := tinyGroup(t, tiny, "maxrl", n, tinyReward, func(c *GroupConfig) {
			c.LossType, c.ScaleEpsilon, c.SuccessScore, c.Beta = "reinforce", 0, 1, 0
		})
		pi := tr.policy.Policy
		want := make([]float64, pi.Cells())
		for x, weight := range unequal {
			p, slope := 0.0, make([]float64, pi.Cells())
			for _, y := range everyResponse(tiny) {
				if tinyReward.Score(0, y) < 1 {
					continue
				}
				own := math.Exp(pi.LogProb(policy.Prompt(x), y))
				p += own
				for _, i := range pi.Path(nil, policy.Prompt(x), y) {
					slope[i] += own
				}
			}
			terms := 0.0
			for k := 1; k < n; k++ {
				terms += math.Pow(1-p, float64(k-1))
			}
			pi.LogitGradient(slope)
			num.Axpy(want, weight*terms, slope)
		}
		for i, g := range expectedGradient(tr, unequal) {
			if !(math.Abs(g-want[i]) <= 1e-14) {
				t.Errorf("n = %d: E[g][%d] = %.15g, want %.15g", n, i, g, want[i])
			}
		}
	}
}

// REINFORCE, RLOO and ReMax estimate the gradient of J without bias; a baseline
// that contains the response's own reward shrinks it by (n−1)/n; Dr. GRPO's is
// that, and divided by the longest response. GRPO's division by the deviation
// changes its direction.
func TestUnbiasedEstimators(t *testing.T) {
	noBaseline := func(c *GroupConfig) { c.Advantage = "none" }
	noKL := func(c *GroupConfig) { c.Beta = 0 }
	for _, c := range []struct {
		what, method string
		generations  int
		change       func(*GroupConfig)
		beta, scale  float64
	}{
		{"REINFORCE without baseline", "reinforce", 1, noBaseline, 0.4, 1},
		{"REINFORCE, mean of two", "reinforce", 2, nil, 0.4, 0.5},
		{"RLOO", "rloo", 2, nil, 0.4, 1},
		{"RLOO, KL token by token", "rloo", 2, func(c *GroupConfig) { c.LossType, c.KLIn = "reinforce", "token_reward" }, 0.4, 1},
		{"ReMax", "remax", 1, nil, 0.4, 1},
		{"Dr. GRPO", "dr_grpo", 2, noKL, 0, 0.5 / 2},
	} {
		tr := tinyGroup(t, tiny, c.method, c.generations, tinyReward, c.change)
		want := exactGradient(tr.policy.Policy, tr.ref, tinyReward, c.beta, unequal)
		for i, g := range expectedGradient(tr, unequal) {
			if !(math.Abs(g-c.scale*want[i]) <= 1e-14) {
				t.Errorf("%s: E[g][%d] = %.15g, want %.15g", c.what, i, g, c.scale*want[i])
			}
		}
	}
	tr := tinyGroup(t, tiny, "grpo", 2, tinyReward, noKL)
	want, got := exactGradient(tr.policy.Policy, tr.ref, tinyReward, 0, unequal), expectedGradient(tr, unequal)
	if cos := cosine(got, want); !(cos <= 0.999 && cos >= 0.8) {
		t.Errorf("GRPO's direction: cosine %v", cos)
	}
}

func cosine(a, b []float64) float64 {
	return num.Dot(a, b) / math.Sqrt(num.Dot(a, a)*num.Dot(b, b))
}

// klGradient is the expected gradient of what a KL penalty adds to the loss,
// with nothing else in it.
func klGradient(t *testing.T, s policy.Shape, in, estimator string, correct bool) (got []float64, tr *GroupTrainer) {
	tr = tinyGroup(t, s, "reinforce", 1, words{0, 0, 0, 0}, func(c *GroupConfig) {
		c.Advantage, c.Beta, c.KLIn, c.KLEstimator, c.UseBiasCorrectionKL = "none", 1, in, estimator, correct
	})
	got = expectedGradient(tr, unequal)
	for i := range got {
		got[i] = -got[i]
	}
	return got, tr
}

// Where a penalty stands decides whose gradient it is. One decision a response:
//
//	k1 in the reward             ∇KL(π‖π_ref)
//	k1 in the loss               0
//	k2 in the loss               ∇KL(π‖π_ref)
//	k3 in the loss               ∇KL(π_ref‖π)
//	k3 in the loss, corrected    ∇KL(π‖π_ref)
//	the full KL in the loss      ∇KL(π‖π_ref)
func TestGradientsOfKLEstimators(t *testing.T) {
	one := policy.Shape{Prompts: 2, Words: 3, MaxLength: 1, Order: 1}
	for _, c := range []struct {
		in, estimator string
		correct       bool
		want          string
	}{
		{"reward", "k1", false, "reverse"}, {"token_reward", "k1", false, "reverse"},
		{"loss", "k1", false, "zero"}, {"loss", "k2", false, "reverse"}, {"loss", "k3", false, "forward"},
		{"loss", "k3", true, "reverse"}, {"loss", "k1", true, "reverse"}, {"loss", full, false, "reverse"},
	} {
		got, tr := klGradient(t, one, c.in, c.estimator, c.correct)
		want := make([]float64, len(got))
		switch pi := tr.policy.Policy; c.want {
		case "reverse":
			for i, g := range exactGradient(pi, tr.ref, words{0, 0, 0}, 1, unequal) {
				want[i] = -g
			}
		case "forward": // ∂KL(π_ref‖π)/∂z_w = π_w − π_ref,w at the one context of each prompt
			for x, weight := range unequal {
				at := pi.Row(0, policy.Prompt(x), pi.Start())
				for w := at; w < at+pi.Outcomes(); w++ {
					want[w] = weight * (pi.P[w] - tr.ref.P[w])
				}
			}
		}
		for i := range want {
			if !(math.Abs(got[i]-want[i]) <= 1e-14) {
				t.Errorf("%s in the %s (corrected: %v), %s KL: [%d] = %v, want %v", c.estimator, c.in, c.correct, c.want, i, got[i], want[i])
			}
		}
		if c.want != "zero" && num.Dot(want, want) < 1e-3 {
			t.Error("too small to tell")
		}
	}
}

// Over several decisions only k1 in the reward still gives the gradient of the
// sequence's KL. In the loss every estimator misses how a decision moves the
// KL of the states after it, the exact per-state KL too.
func TestOnlyTheRewardSeesTheWholeSequence(t *testing.T) {
	reverse := func(tr *GroupTrainer) []float64 {
		want := exactGradient(tr.policy.Policy, tr.ref, words{0, 0}, 1, unequal)
		for i := range want {
			want[i] = -want[i]
		}
		return want
	}
	for _, in := range []string{"reward", "token_reward"} {
		got, tr := klGradient(t, tiny, in, "k1", false)
		for i, want := range reverse(tr) {
			if !(math.Abs(got[i]-want) <= 1e-14) {
				t.Errorf("k1 in %s: [%d] = %v, want %v", in, i, got[i], want)
			}
		}
	}
	got, _ := klGradient(t, tiny, "loss", "k1", false)
	if norm := num.Dot(got, got); norm > 1e-28 {
		t.Errorf("k1 in the loss has an expected gradient of norm² %v", norm)
	}
	for _, k := range []struct {
		name    string
		correct bool
	}{{"k2", false}, {"k3", true}, {full, false}} {
		got, tr := klGradient(t, tiny, "loss", k.name, k.correct)
		if cos := cosine(got, reverse(tr)); !(cos <= 0.9999 && cos >= 0.5) {
			t.Errorf("%s in the loss: cosine %v with the gradient of the sequence's KL", k.name, cos)
		}
	}
}

// The exact KL of a state has its gradient in two places: in the reward it
// teaches decisions about later states, in the loss about their own. Each alone
// misses the other; together they are the gradient of the sequence's KL, without
// the noise that k1 has.
func TestFullKLNeedsBothPlaces(t *testing.T) {
	later, tr := klGradient(t, tiny, "token_reward", full, false)
	own, _ := klGradient(t, tiny, "loss", full, false)
	want := exactGradient(tr.policy.Policy, tr.ref, words{0, 0}, 1, unequal)
	for i := range want {
		if !(math.Abs(later[i]+own[i]+want[i]) <= 1e-14) {
			t.Errorf("[%d] = %v + %v, want %v", i, later[i], own[i], -want[i])
		}
	}
	if num.Dot(later, later) < 1e-4 || num.Dot(own, own) < 1e-4 {
		t.Error("one of the parts is too small to tell")
	}
}

// The same by sampling: Student's t of every entry of the gradient over 2000
// batches of the trainer, at a fixed seed. 14 entries a prompt and context of
// which some are never visited; |t| < 4 leaves a chance of 0.3 % for all.
func TestSampledGradientsAreUnbiased(t *testing.T) {
	const batches = 2000
	for _, name := range []string{"reinforce", "rloo", "remax"} {
		tr := tinyGroup(t, tiny, name, 4, tinyReward, func(c *GroupConfig) {
			c.BatchSize = 16
			if name == "reinforce" {
				c.Advantage = "none"
			}
		})
		pi := tr.policy.Policy
		want := exactGradient(pi, tr.ref, tinyReward, 0.4, unequal)
		sum, squares, estimate := make([]float64, len(want)), make([]float64, len(want)), make([]float64, len(want))
		r := rng.New(1, "unbiased", name)
		for range batches {
			tr.EstimateGradient(estimate, r)
			for i, g := range estimate {
				sum[i] += g
				squares[i] += g * g
			}
		}
		tested := 0
		for i := range want {
			m := sum[i] / batches
			se := math.Sqrt((squares[i]/batches - m*m) / (batches - 1))
			if se == 0 {
				continue
			}
			tested++
			if z := (m - want[i]) / se; !(math.Abs(z) <= 4) {
				t.Errorf("%s: entry %d is %v, want %v, t = %.1f", name, i, m, want[i], z)
			}
		}
		if tested < 12 {
			t.Errorf("%s: only %d entries tested", name, tested)
		}
	}
}

// The expected first update of every critic-free method against ∇J, by enumeration of
// every group of three: what its card says, and what the page of methods shows.
func TestExpectedGradientsOfTheMethods(t *testing.T) {
	at := map[string][2]float64{} // cosine, and length in units of ∇J's
	for _, m := range GroupMethods {
		at[m.Name] = againstExact(tinyGroup(t, tiny, m.Name, 3, tinyReward, func(c *GroupConfig) {
			c.DynamicSampling, c.OverlongPenalty = false, 0 // another distribution, another reward
			if m.Defaults.NumGenerations == 1 {
				c.NumGenerations = 1
			}
		}))
	}
	for name, scale := range map[string]float64{"rloo": 1, "remax": 1, "reinforce": 2. / 3} {
		near(t, name+": cosine", at[name][0], 1, 1e-12)
		near(t, name+": length", at[name][1], scale, 1e-12)
	}
	for name, as := range map[string]string{"gspo": "grpo", "sapo": "grpo", "gmpo": "grpo", "cispo": "bnpo", "vespo": "bnpo", "kl_cov": "bnpo", "dppo": "bnpo"} {
		near(t, name+" as "+as, at[name][0], at[as][0], 1e-12)
	}
	for _, name := range []string{"grpo", "dr_grpo", "bnpo", "dapo", "luspo", "reinforce_pp", "reinforce_pp_baseline", "opo", "otb", "gpg", "clip_cov", "dro"} {
		if cos := at[name][0]; !(cos <= 0.9999 && cos >= 0.7) {
			t.Errorf("%s: cosine %v", name, cos)
		}
	}
	var b strings.Builder
	b.WriteString("| method | cosine with ∇J | length |\n| --- | ---: | ---: |\n")
	for _, m := range GroupMethods {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %.4f | %.3f |\n", m.Name, m.Name, at[m.Name][0], at[m.Name][1])
	}
	generated.Check(t, "../docs/reference/methods.md", "gradients", b.String())
}

// againstExact is the cosine of the expected first update with ∇J, and their ratio.
func againstExact(tr *GroupTrainer) [2]float64 {
	want := exactGradient(tr.policy.Policy, tr.ref, tinyReward, tr.cfg.Beta, unequal)
	got := expectedGradient(tr, unequal)
	return [2]float64{cosine(got, want), math.Sqrt(num.Dot(got, got) / num.Dot(want, want))}
}

// The libraries' differences one by one: GRPO with each part put as another has it,
// and PPO-like penalties in the reward.
func TestExpectedGradientsOfTheDifferences(t *testing.T) {
	var b strings.Builder
	b.WriteString("| what | cosine with ∇J |\n| --- | ---: |\n")
	for _, c := range []struct {
		what, method string
		change       func(c *GroupConfig)
	}{
		{"GRPO without a KL, against ∇E[r]", "grpo", func(c *GroupConfig) { c.Beta = 0 }},
		{"… and without σ", "grpo", func(c *GroupConfig) { c.Beta, c.ScaleRewards = 0, "none" }},
		{"… and without lengths: Dr. GRPO", "dr_grpo", func(c *GroupConfig) { c.Beta = 0 }},
		{"Dr. GRPO, k1 in the reward (`kl_in = \"reward\"`)", "dr_grpo", func(c *GroupConfig) { c.KLIn, c.KLEstimator = "reward", "k1" }},
		{"Dr. GRPO, k2 in the loss", "dr_grpo", func(c *GroupConfig) { c.KLEstimator = "k2" }},
		{"Dr. GRPO, k3 in the loss (TRL's GRPO)", "dr_grpo", func(c *GroupConfig) { c.KLEstimator = "k3" }},
		{"Dr. GRPO, k3 in the loss times the ratio", "dr_grpo", func(c *GroupConfig) { c.UseBiasCorrectionKL = true }},
		{"Dr. GRPO, k3 with k2's slope (verl's `low_var_kl+`)", "dr_grpo", func(c *GroupConfig) { c.KLEstimator = "k3_plus" }},
		{"Dr. GRPO, k1 in the loss", "dr_grpo", func(c *GroupConfig) { c.KLEstimator = "k1" }},
		{"Dr. GRPO, the exact KL of the state in the loss", "dr_grpo", func(c *GroupConfig) { c.KLEstimator = full }},
		{"Dr. GRPO, k3 in the reward (TRL's PPO offers it)", "dr_grpo", func(c *GroupConfig) { c.KLIn, c.KLEstimator = "reward", "k3" }},
		{"Dr. GRPO, k1 clamped at 0 in the reward (AlpacaFarm)", "dr_grpo", func(c *GroupConfig) { c.KLIn, c.KLEstimator = "reward", "k1_positive" }},
		{"Dr. GRPO, \\|k1\\| in the reward (TRL 0.8, verl)", "dr_grpo", func(c *GroupConfig) { c.KLIn, c.KLEstimator = "reward", "abs" }},
		{"GRPO, k3 in the loss as a mean of its own over tokens (OpenRLHF)", "grpo", func(c *GroupConfig) { c.KLAggregation = "token_mean" }},
		{"RLOO, k1 token by token, γ = 1", "rloo", func(c *GroupConfig) { c.LossType, c.KLIn = "reinforce", "token_reward" }},
		{"… and γ = 0.9 (a field of OpenRLHF's and verl's REINFORCE++)", "rloo", func(c *GroupConfig) { c.LossType, c.KLIn, c.Gamma = "reinforce", "token_reward", 0.9 }},
		{"RLOO, k1 token by token, advantages cut off at ±1 (OpenRLHF: ±10)", "rloo", func(c *GroupConfig) { c.LossType, c.KLIn, c.CliprangeAdvantage = "reinforce", "token_reward", 1 }},
	} {
		own := againstExact(tinyGroup(t, tiny, c.method, 3, tinyReward, func(g *GroupConfig) { g.EntropyCoef = 0; c.change(g) }))
		fmt.Fprintf(&b, "| %s | %.4f |\n", c.what, own[0])
	}
	generated.Check(t, "../docs/reference/methods.md", "differences", b.String())
}
