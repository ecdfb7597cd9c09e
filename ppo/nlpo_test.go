package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

func nlpoConfig() Config {
	c := smallConfig()
	c.TopMask, c.TargetUpdateIterations = 0.6, 5
	return c
}

// A row by hand: the fewest outcomes whose probability passes p, the first of equals, and
// EOS; what is left is renormalised, and the rest has none.
func TestNucleus(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 4, MaxLength: 1, Order: 1}
	for _, c := range []struct {
		top     float64
		allowed []bool
	}{
		{0.35, []bool{false, true, false, false, true}}, {0.41, []bool{true, true, false, false, true}},
		{0.7, []bool{true, true, true, false, true}}, {0.99, []bool{true, true, true, true, true}},
	} {
		pi, err := policy.NewSoftmax(s, policy.Table)
		if err != nil {
			t.Fatal(err)
		}
		p, z := []float64{0.25, 0.4, 0.25, 0.03, 0.07}, make([]float64, s.Cells())
		for i := range z {
			z[i] = math.Log(p[i%5])
		}
		if err := pi.SetLogits(z); err != nil {
			t.Fatal(err)
		}
		m := newNucleus(c.top, pi, 1)
		if at := m.allowed[len(m.allowed)-5:]; !slices.Equal(at, c.allowed) {
			t.Errorf("top %v: %v", c.top, at)
		}
		left := 0.0
		for w, ok := range c.allowed {
			if ok {
				left += p[w]
			}
		}
		for w, ok := range c.allowed {
			want := 0.0
			if ok {
				want = p[w] / left
				near(t, "log π^m", m.actor.Policy.LogP[w], math.Log(want), 1e-12)
			}
			near(t, "π^m", m.actor.Policy.P[w], want, 1e-12)
		}
	}
}

// As in RL4LMs an outcome goes where those before it hold more than p, not where they hold
// p: at p = ½, of ½, ¼, ⅛, … two stay.
func TestNucleusAtItsBound(t *testing.T) {
	pi := randomPolicy(t, policy.Shape{Prompts: 1, Words: 4, MaxLength: 1, Order: 1}, 1)
	m := newNucleus(0.5, pi, 1)
	for at := 0; at < len(pi.P); at += 5 {
		copy(pi.P[at:], []float64{0.125, 0.25, 0.5, 0.0625, 0.0625})
	}
	m.renew(pi)
	if want := []bool{false, true, true, false, true}; !slices.Equal(m.allowed[:5], want) {
		t.Errorf("%v, want %v", m.allowed[:5], want)
	}
}

// The gradient of all that a masked update adds up, with respect to the logits, against
// differences of the loss written out: ratio and entropy of the masked policy, KL and
// pre-training text of the whole one.
func TestMaskedGradientAgainstFiniteDifferences(t *testing.T) {
	c := nlpoConfig()
	c.KLIn, c.KLEstimator, c.KLCoef, c.PtxCoef, c.PtxBatchSize, c.EntropyCoef = "loss", "k3", 0.7, 0.4, 3, 0.2
	c.LearningRate, c.NumPPOEpochs = 0.05, 6
	ref := randomPolicy(t, small, 1)
	tr := New(c, ref.Clone(), ref, byPrompt{}, half)
	tr.MixPretraining(someLines)
	r := rng.New(1)
	for range 3 {
		tr.Step(r)
	}
	b, pi, n := tr.rollout, tr.policy.Policy, small.Outcomes()
	masked := func(row int) (p, logp []float64) {
		sum := 0.0
		for w := range n {
			if tr.mask.allowed[row*n+w] {
				sum += pi.P[row*n+w]
			}
		}
		p, logp = make([]float64, n), make([]float64, n)
		for w := range n {
			if tr.mask.allowed[row*n+w] {
				p[w], logp[w] = pi.P[row*n+w]/sum, pi.LogP[row*n+w]-math.Log(sum)
			}
		}
		return p, logp
	}
	loss := func() (sum float64) {
		tokens := float64(len(b.index))
		for j, i := range b.index {
			p, logp := masked(int(b.row[j]))
			ratio, a := math.Exp(logp[int(i)%n]-b.old[j]), b.advantage[j]
			sum += math.Max(-a*ratio, -a*math.Min(math.Max(ratio, 0.8), 1.2)) / tokens
			k := pi.LogP[i] - b.ref[j]
			sum += 0.7 * (k + math.Exp(-k) - 1) / tokens
			sum += 0.2 * num.Dot(p, logp) / tokens
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
	out := 0
	for i := range want {
		near(t, "∂L/∂z", tr.policy.G[i], want[i], 2e-8)
		if !tr.mask.allowed[i] {
			out++
		}
	}
	near(t, "loss", s.PolicyLoss+0.7*s.KLLoss+0.4*s.PtxLoss-0.2*s.PolicyEntropy, loss(), 1e-12)
	if num.Dot(want, want) < 1e-4 || out < 5 || s.ClipFrac == 0 || num.Dot(tr.actor.G, tr.actor.G) != 0 {
		t.Errorf("gradient² %v, %d outcomes masked, %v clipped", num.Dot(want, want), out, s.ClipFrac)
	}
}

// Only what the mask allows is ever sampled; the ratio starts at 1; the KL is that of the
// whole policy, the sampled entropy that of the masked one.
func TestMaskedRollouts(t *testing.T) {
	c := nlpoConfig()
	c.NumPPOEpochs, c.KLCoef = 1, 0.3
	pi, ref := randomPolicy(t, small, 2), randomPolicy(t, small, 1)
	tr, r := New(c, pi, ref, byPrompt{}, half), rng.New(1)
	before := slices.Clone(pi.LogP)
	s, b := tr.Step(r), tr.rollout
	kl, entropy := 0.0, 0.0
	for j, i := range b.index {
		if !tr.mask.allowed[i] {
			t.Fatalf("token %d is masked", j)
		}
		kl += (before[i] - ref.LogP[i]) / 32
		entropy -= b.old[j] / 32
	}
	near(t, "objective/kl", s.KL, kl, 1e-12)
	near(t, "objective/non_score_reward", s.NonScoreReward, -0.3*kl, 1e-12)
	near(t, "objective/entropy", s.Entropy, entropy, 1e-12)
	if !(math.Abs(s.Ratio-1) <= 1e-12) || s.ApproxKL != 0 {
		t.Errorf("ratio %v", s.Ratio)
	}
}

// The mask stays for µ steps, and is then that of the policy.
func TestMaskIsRenewed(t *testing.T) {
	c := nlpoConfig()
	c.LearningRate, c.TargetUpdateIterations = 0.3, 3
	ref := randomPolicy(t, small, 1)
	tr, r := New(c, ref.Clone(), ref, words{3, 0, -3}, half), rng.New(1)
	changed := 0
	for step := 1; step <= 9; step++ {
		mask := slices.Clone(tr.mask.allowed)
		tr.Step(r)
		switch fresh := newNucleus(c.TopMask, tr.policy.Policy, 1).allowed; {
		case step%3 != 0 && !slices.Equal(mask, tr.mask.allowed):
			t.Errorf("the mask changed after step %d", step)
		case step%3 == 0 && !slices.Equal(fresh, tr.mask.allowed):
			t.Errorf("the mask was not renewed after step %d", step)
		case step%3 == 0 && !slices.Equal(mask, fresh):
			changed++
		}
	}
	if changed == 0 {
		t.Error("the mask never changed")
	}
}

// A mask that leaves everything is PPO to rounding, and p = 1 to the bit: it has none.
func TestNLPOWithoutMaskIsPPO(t *testing.T) {
	run := func(top float64) []float64 {
		c := nlpoConfig()
		c.TopMask, c.EntropyCoef = top, 0.1
		ref := randomPolicy(t, small, 4)
		pi := ref.Clone()
		tr, r := New(c, pi, ref, words{1, 0, -1}, half), rng.New(1)
		if top == 1 && (tr.mask != nil || tr.actor.Policy != pi) {
			t.Error("top_mask = 1 has a mask")
		}
		for range 10 {
			tr.Step(r)
		}
		return pi.Logits
	}
	ppo, open, masked := run(1), run(1-1e-15), run(0.6)
	far := 0.0
	for i, z := range ppo {
		near(t, "logit under an open mask", open[i], z, 1e-9)
		far = max(far, math.Abs(masked[i]-z))
	}
	if far < 0.1 {
		t.Errorf("a mask changes logits by %v", far)
	}
}

// Without a KL the expected estimate is the exact gradient of what the masked policy
// earns, E_{y~π^m}[r], by enumeration and differences; that is not ∇J.
func TestEstimatedGradientOfNLPO(t *testing.T) {
	c := nlpoConfig()
	c.KLCoef, c.Lam, c.WhitenAdvantages = 0, 1, false
	pi, ref := randomPolicy(t, small, 4), randomPolicy(t, small, 3)
	tr, reward := New(c, pi, ref, byPrompt{}, half), byPrompt{}
	var earned func(p *policy.Softmax, x policy.Prompt, y policy.Response, context int, q float64) float64
	earned = func(p *policy.Softmax, x policy.Prompt, y policy.Response, context int, q float64) float64 {
		if len(y) == small.MaxLength {
			return q * reward.Score(x, y)
		}
		row := p.Row(len(y), x, context)
		sum := q * p.P[row+small.Words] * reward.Score(x, y)
		for w := range policy.Token(small.Words) {
			sum += earned(p, x, append(slices.Clone(y), w), p.Next(context, w), q*p.P[row+int(w)])
		}
		return sum
	}
	gradient := func(who func() *policy.Softmax) []float64 {
		z, g := slices.Clone(pi.Logits), make([]float64, small.Cells())
		at := func(i int, d float64) float64 {
			moved := slices.Clone(z)
			moved[i] += d
			if err := pi.SetLogits(moved); err != nil {
				t.Fatal(err)
			}
			p := who()
			return (earned(p, 0, nil, p.Start(), 1) + earned(p, 1, nil, p.Start(), 1)) / 2
		}
		for i := range g {
			g[i] = (at(i, 1e-6) - at(i, -1e-6)) / 2e-6
		}
		at(0, 0)
		tr.mask.follow(pi)
		return g
	}
	whole := gradient(func() *policy.Softmax { return pi })
	want := gradient(func() *policy.Softmax { tr.mask.follow(pi); return tr.actor.Policy })
	const n = 4000
	mean, square, estimate := make([]float64, len(want)), make([]float64, len(want)), make([]float64, len(want))
	r := rng.New(5)
	for range n {
		tr.EstimateGradient(estimate, r)
		for i, v := range estimate {
			mean[i] += v / n
			square[i] += v * v / n
		}
	}
	worst, biased := 0.0, 0.0
	for i := range want {
		if se := math.Sqrt((square[i] - mean[i]*mean[i]) / n); se > 1e-12 {
			worst, biased = max(worst, math.Abs(mean[i]-want[i])/se), max(biased, math.Abs(mean[i]-whole[i])/se)
		} else {
			near(t, "gradient that is never estimated", mean[i], want[i], 1e-8)
		}
	}
	if worst > 4.5 || biased < 20 {
		t.Errorf("off by up to %.1f standard errors from the masked gradient, %.1f from the whole one", worst, biased)
	}
}

// Steps through several renewals allocate nothing.
func TestNLPOStepAllocatesNothing(t *testing.T) {
	tr, r := benchmarkTrainer(t, 32), rng.New(1)
	masked := New(DefaultNLPO(), tr.policy.Policy, tr.ref, tr.reward, tr.weights)
	masked.Step(r)
	if n := testing.AllocsPerRun(20, func() { masked.Step(r) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

func TestNLPOIsValidated(t *testing.T) {
	for _, top := range []float64{0, -0.1, 1.01, math.NaN()} {
		c := Default()
		if c.TopMask = top; c.Validate() == nil {
			t.Errorf("top_mask = %v passes", top)
		}
	}
	c := DefaultNLPO()
	if err := c.Validate(); err != nil || c.Unused("target_update_iterations") != "" || Default().Unused("target_update_iterations") == "" {
		t.Error(err)
	}
}
