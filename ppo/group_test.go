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

func smallGroup(change func(c *GroupConfig)) GroupConfig {
	c := DefaultGroup()
	c.BatchSize, c.TotalEpisodes, c.LRSchedulerType = 32, 3200, "constant"
	if change != nil {
		change(&c)
	}
	return c
}

// Every entry of the gradient for every loss, level and KL, against differences
// of the loss: of the same functions for what they return, and of a loss with
// the coefficient held where the method holds it.
func TestGroupGradientAgainstFiniteDifferences(t *testing.T) {
	var cases []GroupConfig
	for _, l := range GroupLosses {
		for _, level := range Levels {
			c := smallGroup(func(c *GroupConfig) {
				c.ClipCovRatio, c.ClipCovLB, c.KLCovRatio = 0.2, 0.3, 0.2
				c.LossType, c.ImportanceSamplingLevel, c.EpsilonHigh, c.Beta = l.Name, level, 0.3, 0.1
				switch l.Name {
				case "cispo":
					c.EpsilonHigh = 1.2
				case "dppo_tv":
					c.Epsilon, c.EpsilonHigh = 0.01, 0.02
				case "dppo_kl":
					c.Epsilon, c.EpsilonHigh = 1e-4, 2e-4
				}
			})
			cases = append(cases, c)
			c.Delta, c.UseBiasCorrectionKL = 1.5, true
			cases = append(cases, c)
		}
	}
	for _, name := range estimators {
		if k, _ := estimator(name, 0); k.StraightThrough { // its slope is k2's, not its own
			continue
		}
		cases = append(cases, smallGroup(func(c *GroupConfig) { c.KLEstimator, c.Beta, c.EntropyCoef = name, 0.3, 0.05 }))
	}
	for _, name := range []string{"k3", full} {
		cases = append(cases, smallGroup(func(c *GroupConfig) { c.KLEstimator, c.Beta, c.KLAggregation = name, 0.3, "token_mean" }))
	}
	for _, mode := range lossAggModes[1:] {
		cases = append(cases, smallGroup(func(c *GroupConfig) { c.LossAggMode, c.Beta = mode, 0.3 }))
	}
	for _, level := range Levels[:2] { // ratios beyond the clamp, at either sign of the advantage
		for _, loss := range []string{"grpo", "sapo"} {
			cases = append(cases, smallGroup(func(c *GroupConfig) {
				c.LossType, c.ImportanceSamplingLevel, c.LogRatioClamp, c.Epsilon, c.Beta = loss, level, 0.03, 0.2, 0.1
			}))
		}
	}
	for _, c := range cases {
		name := fmt.Sprintf("%s/%s/%s/%s/δ=%v/correct=%v/clamp=%v", c.LossType, c.ImportanceSamplingLevel, c.KLEstimator, c.KLAggregation, c.Delta, c.UseBiasCorrectionKL, c.LogRatioClamp)
		ref := randomPolicy(t, small, 1)
		tr := NewGroup(c, ref.Clone(), ref, byPrompt{}, half)
		tr.cfg.NumIterations = 6
		r := rng.New(1)
		for range 4 {
			tr.Step(r) // leave the reference and the sampling policy
		}
		pi := tr.policy.Policy
		size := tr.size(0, 32)
		fixed := frozenCoefficients(tr)
		loss := func() float64 { return groupLossByDefinition(tr, size, fixed) }
		want := slopes(t, pi, 1e-5, loss)
		if norm := num.Dot(want, want); !(norm >= 1e-5) {
			t.Errorf("%s: a gradient of %v is too small to test anything", name, norm)
		}
		var s GroupStats
		tr.backward(0, 32, rng.New(9), &s)
		pi.LogitGradient(tr.policy.G)
		for i := range want {
			if !(math.Abs(tr.policy.G[i]-want[i]) <= 2e-8) {
				t.Errorf("%s: ∂L/∂z[%d] = %.12g, want %.12g", name, i, tr.policy.G[i], want[i])
			}
		}
		if slices.Contains([]string{"dppo_tv", "dppo_kl"}, c.LossType) && (s.ClipLowMean == 0 || s.ClipHighMean == 0) {
			t.Errorf("%s: no token is left out on one side", name)
		}
		if held(c) {
			continue
		}
		if l := loss(); !(math.Abs(s.Loss-l) <= 1e-12) {
			t.Errorf("%s: loss %v, want %v", name, s.Loss, l)
		}
	}
}

// What a loss does not use makes no difference, also where it is shared with others.
func TestLossesWithTokenWeights(t *testing.T) {
	for _, l := range GroupLosses {
		if !l.TokenWeights {
			continue
		}
		slopes := map[string][]float64{}
		for _, level := range Levels {
			o := NewGroupObjective(smallGroup(func(c *GroupConfig) { c.LossType, c.ImportanceSamplingLevel, c.KLCovRatio = l.Name, level, 1 }))
			y := tokens([]float64{-1, -2, -0.5}, []float64{-1.2, -1.5, -0.6}, []float64{-1, -1, -1}, 0.7)
			o.Prepare([]*Tokens{y}, rng.New(1))
			o.Of(y, Size{Responses: 1, Tokens: 3, Items: 3, MaxLength: 3})
			slopes[level] = y.Slope
		}
		if slices.Contains(l.Uses, "importance_sampling_level") || !slices.Equal(slopes["token"], slopes["sequence"]) || !slices.Equal(slopes["token"], slopes["response"]) {
			t.Errorf("%s: %v", l.Name, slopes)
		}
		measured := func(level string) GroupStats { // clip shares are of tokens, too
			c := smallGroup(func(c *GroupConfig) {
				c.LossType, c.ImportanceSamplingLevel, c.NumIterations, c.LearningRate, c.Epsilon, c.EpsilonHigh = l.Name, level, 4, 0.1, 0.001, 0.001
			})
			s := NewGroup(c, randomPolicy(t, small, 2), randomPolicy(t, small, 1), byPrompt{}, half).Step(rng.New(1))
			s.own = lossMetric{}
			return s
		}
		if a, b := measured("token"), measured("sequence"); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s measures %+v, at another level %+v", l.Name, a, b)
		}
	}
}

// held says whether the loss holds a coefficient fixed, so that it is no
// function whose value could be differenced.
func held(c GroupConfig) bool {
	return slices.Contains([]string{"cispo", "cispo_two_sided", "vespo", "dppo_tv", "dppo_kl"}, c.LossType)
}

// frozenCoefficients are the derivatives of the surrogate by log π for the
// losses that hold a coefficient, nil for the others.
func frozenCoefficients(t *GroupTrainer) []float64 {
	if !held(t.cfg) {
		return nil
	}
	b := t.rollout
	out := make([]float64, len(b.index))
	t.objective.Prepare(t.look(0, len(b.prompt)), rng.New(9))
	for e := range b.prompt {
		y := &t.response[e]
		logw := 0.0
		for i := range y.LogP {
			logw += y.LogP[i] - y.Old[i]
		}
		for i := range y.LogP {
			k := min(y.Weight[i], t.cfg.EpsilonHigh)
			switch t.cfg.LossType {
			case "dppo_tv", "dppo_kl":
				k = y.Weight[i]
				if t.cfg.Delta != 0 {
					k = min(k, t.cfg.Delta)
				}
				if leaves(t.cfg, y.Advantage[i], math.Exp(y.LogP[i]), math.Exp(y.Old[i])) {
					k = 0
				}
			case "cispo_two_sided":
				k = min(max(y.Weight[i], 1-t.cfg.Epsilon), 1+t.cfg.EpsilonHigh)
			case "vespo":
				kk, lambda := t.cfg.VESPOKNeg, t.cfg.VESPOLambdaNeg
				if y.Advantage[i] >= 0 {
					kk, lambda = t.cfg.VESPOKPos, t.cfg.VESPOLambdaPos
				}
				w := math.Exp(logw)
				k = math.Exp(lambda) * math.Pow(w, kk) * math.Exp(-lambda*w)
			}
			out[int(b.start[e])+i] = -k * y.Advantage[i]
		}
	}
	return out
}

// leaves says whether DPPO leaves out a token of probability p, sampled at q.
func leaves(c GroupConfig, advantage, p, q float64) bool {
	tv, kl := p-q, q*math.Log(q/p)+(1-q)*math.Log((1-q)/(1-p))
	if c.LossType == "dppo_tv" {
		return advantage > 0 && tv > c.EpsilonHigh || advantage < 0 && tv < -c.Epsilon
	}
	return advantage > 0 && p > q && kl > c.EpsilonHigh || advantage < 0 && p < q && kl > c.Epsilon
}

// groupLossByDefinition is L of the batch under the current policy.
func groupLossByDefinition(t *GroupTrainer, size Size, fixed []float64) float64 {
	b, pi, c, total := t.rollout, t.policy.Policy, t.cfg, 0.0
	entropy, tokens := 0.0, 0.0
	t.objective.Prepare(t.look(0, len(b.prompt)), rng.New(9))
	for e := range b.prompt {
		from, to := int(b.start[e]), int(b.start[e+1])
		y := &t.response[e]
		t.objective.Of(y, size)
		sum := num.Sum(y.Loss)
		if fixed != nil {
			sum = 0
			for i := range y.LogP {
				k := math.Exp(y.Ref[i]-y.LogP[i]) - 1 - (y.Ref[i] - y.LogP[i])
				if c.UseBiasCorrectionKL {
					k *= y.Weight[i]
				}
				sum += fixed[from+i]*y.LogP[i] + c.Beta*k
			}
		}
		for j := from; j < to; j++ {
			at, end := int(b.row[j])*pi.Outcomes(), (int(b.row[j])+1)*pi.Outcomes()
			if c.KLEstimator == full {
				for k := at; k < end; k++ {
					total += t.objective.KLMean(to-from, size) * c.Beta * pi.P[k] * (pi.LogP[k] - t.ref.LogP[k])
				}
			}
			tokens++
			for k := at; k < end; k++ {
				entropy -= pi.P[k] * pi.LogP[k]
			}
		}
		total += t.objective.Loss.Aggregation(to-from, size) * sum
	}
	return total - c.EntropyCoef*entropy/tokens
}

// Clipping by hand, at and beyond each bound.
func TestClipBounds(t *testing.T) {
	c := Clip{Low: 0.2, High: 0.3, Delta: 2, Most: math.Inf(1)}
	for _, v := range []struct{ ratio, advantage, loss, slope, clipped float64 }{
		{1.1, 1, -1.1, -1.1, 0}, {1.4, 1, -1.3, 0, 1}, {0.5, 1, -0.5, -0.5, 0},
		{0.5, -1, 0.8, 0, 1}, {1.4, -1, 1.4, 1.4, 0}, {3, -1, 2, 0, 0},
	} {
		loss, slope, clipped := Clipped(v.ratio, v.advantage, c)
		if !(math.Abs(loss-v.loss) <= 1e-15) || !(math.Abs(slope-v.slope) <= 1e-15) || clipped != v.clipped {
			t.Errorf("ρ = %v, Â = %v: %v, %v, %v", v.ratio, v.advantage, loss, slope, clipped)
		}
	}
	// The dual clip as its paper writes it: max(min(ρÂ, clip(ρ)Â), cÂ) where Â < 0.
	for _, ratio := range []float64{0.1, 0.9, 1.2, 1.9, 2.5, 10} {
		want := -max(min(-ratio, -min(max(ratio, 0.8), 1.3)), -2)
		loss, _, _ := Clipped(ratio, -1, c)
		near(t, "dual clip", loss, want, 1e-15)
	}
}

// On a bound two equal terms get half each, and the one that is cut off has no slope;
// a weight on a bound, and one without an advantage, is not counted as cut off.
func TestClipOnItsBounds(t *testing.T) {
	c := Clip{Low: 0.25, High: 0.5, Delta: 1.75, Least: 0.5, Most: 2}
	for _, v := range []struct {
		ratio, advantage, loss, slope, clipped float64
		side                                   int
	}{
		{0.75, 1, -0.75, -0.375, 0, 0}, {0.75, -1, 0.75, 0.375, 0, 0}, {1.5, 1, -1.5, -0.75, 0, 0}, {1.5, -1, 1.5, 0.75, 0, 0},
		{1.625, -1, 1.625, 1.625, 0, 0}, {1.75, -1, 1.75, 0, 0, 0}, {1.875, -1, 1.75, 0, 0, 0}, {1.75, 1, -1.5, 0, 1, 1},
		{0.625, 1, -0.625, -0.625, 0, 0}, {0.625, -1, 0.75, 0, 1, -1}, {0.625, 0, 0, 0, 0, 0}, {1.625, 0, 0, 0, 0, 0},
		{0.5, 1, -0.5, 0, 0, 0}, {0.25, 1, -0.5, 0, 0, 0}, {0.25, -1, 0.75, 0, 1, -1}, {4, 1, -1.5, 0, 1, 1}, {4, -1, 1.75, 0, 0, 0},
	} {
		loss, slope, clipped := Clipped(v.ratio, v.advantage, c)
		if loss != v.loss || slope != v.slope || clipped != v.clipped || c.side(v.ratio, v.advantage) != v.side {
			t.Errorf("ρ = %v, Â = %v: %v, %v, %v, side %d", v.ratio, v.advantage, loss, slope, clipped, c.side(v.ratio, v.advantage))
		}
		y, own := tokens([]float64{-1}, []float64{-1}, nil, v.advantage), smallGroup(nil)
		own.Epsilon, own.EpsilonHigh, own.Delta, own.LogRatioClamp = 0.25, 0.5, 1.75, math.Ln2
		for range 2 { // counts are of this call
			y.Weight[0] = v.ratio
			ppoClip(y, &own)
		}
		near(t, "ℓ", y.Loss[0], v.loss, 1e-15)
		if v.ratio != 0.5 && !(math.Abs(y.Slope[0]-v.slope) <= 1e-15) || y.Low-y.High != -v.side || y.Low+y.High != v.side*v.side { // e^−ln 2 may round
			t.Errorf("ρ = %v, Â = %v: slope %v, %d and %d cut off", v.ratio, v.advantage, y.Slope[0], y.Low, y.High)
		}
	}
	tight := Clip{Low: 0.25, High: 0.5, Delta: 3, Least: 0.875, Most: 1.125}
	for ratio, want := range map[float64]float64{0.5: 0.875, 0.875: 0.875, 1.125: 1.125, 2: 1.125} { // held within the clip, which then cuts off nothing
		for _, a := range []float64{1, -1} {
			if loss, slope, clipped := Clipped(ratio, a, tight); loss != -a*want || slope != 0 || clipped != 0 || tight.side(ratio, a) != 0 {
				t.Errorf("ρ = %v held, Â = %v: %v, %v, %v, side %d", ratio, a, loss, slope, clipped, tight.side(ratio, a))
			}
		}
	}
}

// The surrogates with a coefficient or a gate in place of the clip, on and beyond what
// bounds them, for either sign of the advantage and none.
func TestSurrogatesByHand(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) {
		c.Epsilon, c.EpsilonHigh, c.SAPOTemperaturePos, c.SAPOTemperatureNeg = 0.25, 0.5, 2, 4
	})
	capped := c
	capped.EpsilonHigh = 1.5
	σ := num.Sigmoid
	for _, v := range []struct {
		name         string
		c            GroupConfig
		weight, a    float64
		coefficient  float64 // −ℓ/(Â log π), or −ℓ/Â of sapo
		low, high    int
		slopeOfASapo float64
	}{
		{"reinforce", c, 3, 2, 1, 0, 0, 0}, {"reinforce", c, 0.2, -2, 1, 0, 0, 0},
		{"cispo", capped, 1.25, 1, 1.25, 0, 0, 0}, {"cispo", capped, 1.5, 1, 1.5, 0, 0, 0}, {"cispo", capped, 2, 1, 1.5, 0, 1, 0},
		{"cispo", capped, 2, -1, 1.5, 0, 0, 0}, {"cispo", capped, 2, 0, 1.5, 0, 0, 0}, {"cispo", capped, 0.25, -1, 0.25, 0, 0, 0},
		{"cispo_two_sided", c, 0.5, -1, 0.75, 1, 0, 0}, {"cispo_two_sided", c, 0.5, 1, 0.75, 0, 0, 0}, {"cispo_two_sided", c, 2, 3, 1.5, 0, 1, 0},
		{"cispo_two_sided", c, 2, -1, 1.5, 0, 0, 0}, {"cispo_two_sided", c, 1.25, 1, 1.25, 0, 0, 0}, {"cispo_two_sided", c, 0.75, -1, 0.75, 0, 0, 0},
		{"sapo", c, 1, 3, 1, 0, 0, 1}, {"sapo", c, 1, -3, 0.5, 0, 0, 1}, {"sapo", c, 1.5, 1, 2 * σ(1), 0, 0, 6 * σ(1) * σ(-1)}, {"sapo", c, 0.5, -1, σ(-2), 0, 0, 2 * σ(2) * σ(-2)},
	} {
		loss, _ := groupLoss(v.name)
		y := tokens([]float64{-1.25}, []float64{-1}, nil, v.a)
		for range 2 { // counts are of this call
			y.Weight[0] = v.weight
			loss.Surrogate(y, &v.c)
		}
		value, slope := v.coefficient*v.a*1.25, -v.coefficient*v.a
		if v.name == "sapo" {
			value, slope = -v.coefficient*v.a, -v.slopeOfASapo*v.a
		}
		near(t, v.name+": ℓ", y.Loss[0], value, 1e-15)
		near(t, v.name+": slope", y.Slope[0], slope, 1e-15)
		if y.Low != v.low || y.High != v.high {
			t.Errorf("%s of %v, Â = %v: %d and %d cut off", v.name, v.weight, v.a, y.Low, y.High)
		}
	}
}

// VESPO's φ with log w beyond its bounds: 20 for each token and for all, log 1e−8 below.
func TestVESPOBounds(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) {
		c.VESPOKPos, c.VESPOLambdaPos, c.VESPOKNeg, c.VESPOLambdaNeg = 0.25, 1e-9, 0.5, 2e-9
	})
	for _, v := range []struct {
		logRatio [2]float64
		logw     float64
	}{{[2]float64{1, -3}, -2}, {[2]float64{15, 15}, 20}, {[2]float64{30, -25}, 0}, {[2]float64{-30, 25}, 0}, {[2]float64{-15, -15}, math.Log(1e-8)}} {
		for _, a := range []float64{2, 0, -2} {
			y := tokens([]float64{-1, -2}, []float64{-1 - v.logRatio[0], -2 - v.logRatio[1]}, nil, a)
			k, lambda := 0.25, 1e-9
			if a < 0 {
				k, lambda = 0.5, 2e-9
			}
			φ := math.Exp(k*v.logw + lambda - lambda*math.Exp(v.logw))
			for range 2 {
				vespo(y, &c)
			}
			near(t, "φ", y.Phi, φ, 1e-14)
			for i, logp := range []float64{-1, -2} {
				near(t, "ℓ", y.Loss[i], -φ*a*logp, 1e-14)
				near(t, "slope", y.Slope[i], -φ*a, 1e-14)
			}
			if y.Low != 0 || y.High != 0 {
				t.Errorf("%d and %d cut off", y.Low, y.High)
			}
		}
	}
}

// The numbers of the formulas on one group of four rewards.
func TestBaselines(t *testing.T) {
	g := Groups{Size: 4, Reward: []float64{1, 0, .5, 2}, Length: []float64{1, 2, 3, 4}, Greedy: []float64{3, 3, 3, 3}}
	for _, c := range []struct {
		baseline, scale string
		want            []float64
	}{
		{"group_mean", "group", []float64{.14636787, -1.024575091, -.43910361, 1.317310831}},
		{"group_mean", "none", []float64{.125, -.875, -.375, 1.125}},
		{"batch_mean", "none", []float64{.125, -.875, -.375, 1.125}},
		{"leave_one_out", "none", []float64{1. / 6, -7. / 6, -.5, 1.5}},
		{"none", "none", []float64{1, 0, .5, 2}},
		{"greedy", "none", []float64{-2, -3, -2.5, -1}},
		{"length_weighted", "none", []float64{-.05, -1.05, -.55, .95}},
		{"second_best", "none", []float64{0, 0, 0, 1}},
	} {
		got := make([]float64, 4)
		Advantages(got, g, baseline(c.baseline), c.scale, scaleEpsilon)
		for i := range got {
			near(t, c.baseline, got[i], c.want[i], 1e-8)
		}
	}
	equal, got := Groups{Size: 2, Reward: []float64{.3, .3, 0, 1}}, make([]float64, 4)
	for _, epsilon := range []float64{0, 1e-9, 1} { // (R − R̄)/(σ + ε), σ = 1/√2; no deviation is no advantage
		Advantages(got, equal, baseline("group_mean"), "group", epsilon)
		for i, want := range []float64{0, 0, -.5 / (math.Sqrt(.5) + epsilon), .5 / (math.Sqrt(.5) + epsilon)} {
			near(t, "scaled", got[i], want, 1e-15)
		}
	}
}

// Scales by hand, of groups and of the batch; whatever stands beside σ is added to it.
func TestScalesByHand(t *testing.T) {
	g := Groups{Size: 2, Reward: []float64{1, 3, 0, 0}}
	for _, c := range []struct {
		scale string
		want  []float64
	}{
		{"group", []float64{-1 / (math.Sqrt2 + 0.5), 1 / (math.Sqrt2 + 0.5), 0, 0}}, {"batch", []float64{-1 / (math.Sqrt2 + 0.5), 1 / (math.Sqrt2 + 0.5), 0, 0}}, // σ² = (0 + 4 + 1 + 1)/3
		{"mean", []float64{-1 / 2.5, 1 / 2.5, 0, 0}}, {"nonzero", []float64{-2, 2, 0, 0}}, {"none", []float64{-1, 1, 0, 0}},
	} {
		got := make([]float64, 4)
		Advantages(got, g, baseline("group_mean"), c.scale, 0.5)
		for i, want := range c.want {
			near(t, c.scale, got[i], want, 1e-15)
		}
	}
	got := make([]float64, 4)
	Advantages(got, Groups{Size: 2, Reward: []float64{-3, 1, 2, -2}}, baseline("none"), "mean", 0.5) // means of −1 and 0: nothing is learned
	if !slices.Equal(got, make([]float64, 4)) {
		t.Errorf("of means that are not above 0: %v", got)
	}
	Advantages(got, Groups{Size: 4, Reward: make([]float64, 4), Greedy: []float64{1, 1, 1, 1}}, baseline("greedy"), "nonzero", 0)
	if !slices.Equal(got, []float64{-4, -4, -4, -4}) { // by the share of one
		t.Errorf("of no reward but 0: %v", got)
	}
	xs := []float64{1, 3}
	Normalize(xs, 0.5)
	near(t, "normalised", xs[0], -1/(math.Sqrt2+0.5), 1e-15)
	near(t, "normalised", xs[1], 1/(math.Sqrt2+0.5), 1e-15)
	for _, alone := range []func([]float64) float64{deviation, func(xs []float64) float64 { leaveOneOut(xs, []float64{7}, nil); return xs[0] - 7 }} {
		near(t, "alone", alone([]float64{3}), 0, 0)
	}
	// One is normalised to ∓a, the other to ±b, a and b nearly ½√2: −a + 3b and a − 3b.
	got = []float64{9, 5}
	NormalizeThenSum(got, [][]float64{{0, 1}, {2, 0}}, []float64{1, 3}, 2)
	d := 3/(math.Sqrt2+1e-4) - 0.5/(math.Sqrt(0.5)+1e-4)
	near(t, "two rewards", got[0], d/(d*math.Sqrt2+1e-4), 1e-15)
	near(t, "two rewards", got[1], -d/(d*math.Sqrt2+1e-4), 1e-15)
}

// The smallest groups and batches of each baseline stand.
func TestCompanyOfBaselines(t *testing.T) {
	for _, b := range Baselines {
		c := smallGroup(func(c *GroupConfig) {
			c.Advantage, c.ScaleRewards, c.NumGenerations = b.Name, "none", max(1, b.Group)
			c.BatchSize = max(c.NumGenerations, b.Batch)
		})
		if err := c.Validate(); err != nil || c.BatchSize > 2 {
			t.Errorf("%s: %d responses, %v", b.Name, c.BatchSize, err)
		}
	}
}

// A name that no table has is a mistake of the caller's: configurations are validated.
func TestUnknownNamesPanic(t *testing.T) {
	ref := randomPolicy(t, small, 1)
	for name, call := range map[string]func(){
		"baseline": func() { baseline("x") },
		"group":    func() { NewGroup(smallGroup(func(c *GroupConfig) { c.LossType = "x" }), ref, ref, byPrompt{}, half) },
		"online":   func() { NewOnline(online(func(c *OnlineConfig) { c.LossType = "x" }), ref, ref, byPrompt{}, half) },
		"logits":   func() { must(ref.Clone().SetLogits(nil)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: nothing said", name)
				}
			}()
			call()
		}()
	}
}

func TestOverlong(t *testing.T) {
	for n, want := range map[int]float64{0: 0, 4: 0, 5: -0.5, 6: -1, 7: -1} {
		if got := Overlong(n, 6, 2); got != want {
			t.Errorf("%d tokens: %v, want %v", n, got, want)
		}
	}
	// EOS is a token, unless the response was cut.
	c := GroupConfig{OverlongPenalty: 0.5, SoftPunishCache: 2}
	for words, want := range map[int]float64{0: 0, 3: 0, 4: -0.25, 5: -0.5, 6: -0.5} {
		near(t, "to the longest length", c.LengthReward(words, 6), want, 0)
	}
	c.SoftMaxLength = 3
	for words, want := range map[int]float64{0: 0, 1: -0.25, 2: -0.5, 6: -0.5} {
		near(t, "to a length of 3", c.LengthReward(words, 6), want, 0)
	}
	c.SoftMaxLength, c.SoftPunishCache = 8, 4 // beyond what can be said: a response that was cut has no EOS
	for words, want := range map[int]float64{3: 0, 4: -0.125, 5: -0.25, 6: -0.25} {
		near(t, "to a length of 8", c.LengthReward(words, 6), want, 0)
	}
	// It is part of the score, of the greedy response's too, behind the clip.
	for _, tr := range []*GroupTrainer{tinyGroup(t, tiny, "remax", 1, words{3, -3}, func(c *GroupConfig) {
		c.OverlongPenalty, c.SoftPunishCache, c.CliprangeReward = 0.5, 1, 1
	})} {
		near(t, "score", tr.score(0, policy.Response{0, 0}), 1-0.5, 0)
		near(t, "score", tr.score(0, nil), 0, 0)
		near(t, "score", tr.score(0, policy.Response{1}), -1-0.5, 0)
		put(tr, 0, nil)
		tr.greedyRewards()
		near(t, "greedy", tr.greedy[0], tr.score(0, tr.policy.Policy.AppendGreedy(nil, 0)), 0)
	}
}

// Dynamic sampling draws the prompt anew too: one whose rewards never differ leaves
// the batch.
func TestDynamicSamplingLeavesPromptsWithoutASignal(t *testing.T) {
	ref := randomPolicy(t, small, 3)
	tr := NewGroup(smallGroup(func(c *GroupConfig) { c.DynamicSampling = true }), ref.Clone(), ref, onlyOf{1}, half)
	var s GroupStats
	tr.sample(rng.New(1), &s)
	for e, x := range tr.rollout.prompt {
		if x != 1 {
			t.Errorf("response %d is to prompt %d", e, x)
		}
	}
}

// onlyOf scores the responses to one prompt by their length, all others alike.
type onlyOf struct{ prompt policy.Prompt }

func (o onlyOf) Score(x policy.Prompt, y policy.Response) float64 {
	if x == o.prompt {
		return float64(len(y))
	}
	return 0.3
}

// The exact values of every estimator on one small state (peers' oracle): their
// expectations under π against KL(π‖π_ref).
func TestKLEstimators(t *testing.T) {
	pi, u := []float64{.5, .3, .15, .05}, math.Log(.25)
	logp, ref := make([]float64, 4), []float64{u, u, u, u}
	for i, p := range pi {
		logp[i] = math.Log(p)
	}
	near(t, "full", FullKL(pi, logp, ref), .244174, 1e-6)
	for name, want := range map[string]float64{"k1": .244174, "k2": .209427, "k3": .244174, "abs": .558366, "k1_plus": .244174, "k3_plus": .244174, "k1_positive": .401270} {
		sum := 0.0
		k, _ := estimator(name, 0)
		for i, p := range pi {
			v, slope := k.Of(logp[i], ref[i])
			sum += p * v
			const h = 1e-6
			up, _ := k.Of(logp[i]+h, ref[i])
			down, _ := k.Of(logp[i]-h, ref[i])
			if k.StraightThrough {
				near(t, name+"′", slope, logp[i]-ref[i], 0)
			} else {
				near(t, name+"′", slope, (up-down)/(2*h), 1e-8)
			}
		}
		near(t, "E "+name, sum, want, 1e-6)
	}
	clamped, _ := estimator("k3", 2)
	for _, c := range [][4]float64{{0, 0.5, math.Exp(0.5) - 1.5, 1 - math.Exp(0.5)}, {0, 5, 2, 0}} {
		v, slope := clamped.At(c[0], c[1])
		near(t, "clamped", v, c[2], 1e-15)
		near(t, "clamped′", slope, c[3], 1e-15)
	}
	k1, _ := estimator("k1", 2)
	for ratio, want := range map[float64][2]float64{-5: {-2, 0}, -2: {-2, 0}, -1: {-1, 1}, 1: {1, 1}, 2: {2, 0}, 5: {2, 0}} { // on a bound nothing comes through
		v, slope := k1.At(ratio, 0)
		near(t, "clamped k1", v, want[0], 0)
		near(t, "clamped k1′", slope, want[1], 0)
	}
	for _, name := range []string{"abs", "k1_positive"} { // on the kink, where every training starts, nothing
		k, _ := estimator(name, 0)
		v, slope := k.At(-1, -1)
		near(t, name+" of equals", v, 0, 0)
		near(t, name+" of equals′", slope, 0, 0)
	}
	near(t, "of a response", SequenceKL([]float64{-1, -2}, []float64{-3, -2.5}, k1), 2+0.5, 0)
	near(t, "of a response, clamped", SequenceKL([]float64{-1, -2}, []float64{-6, -2.5}, k1), 2+0.5, 0)
	if through, _ := estimator("k3_plus", 2); true { // a clamp of the value leaves k2's slope
		v, slope := through.At(-5, 0)
		near(t, "clamped, straight through", v, 2, 0)
		near(t, "clamped, straight through′", slope, -5, 0)
	}
}

func TestReturnsToGo(t *testing.T) {
	got := make([]float64, 3)
	ReturnsToGo(got, []float64{1, 2, 4}, 0.5, 1, 10)
	if !slices.Equal(got, []float64{6.5, 7, 8}) {
		t.Errorf("%v", got)
	}
	ReturnsToGo(got, []float64{1, 2, 4}, 0.5, 0.5, 10)
	if !slices.Equal(got, []float64{1, 3, 8}) { // 8, ½ · 8 − 1, ½ · 3 − ½
		t.Errorf("γ = ½: %v", got)
	}
}

// What a token weighs in each loss: two responses, three tokens in the update, five in
// all per update, at most seven a response; and where nothing is left to count.
func TestAggregations(t *testing.T) {
	for name, want := range map[string][2]float64{
		"grpo": {2 * 11, 2}, "bnpo": {3, 1}, "dr_grpo": {2 * 7, 2 * 7}, "dapo": {5, 1}, "luspo": {2, 2}, "cispo": {5, 1}, "cispo_two_sided": {5, 1},
		"sapo": {2 * 11, 2}, "vespo": {5, 1}, "gmpo": {2 * 11, 2}, "clip_cov": {3, 1}, "kl_cov": {3, 1}, "reinforce": {2, 2}, "gpg": {3, 1},
	} {
		l, _ := groupLoss(name)
		near(t, name, l.Aggregation(11, Size{Responses: 2, Tokens: 3, Items: 5, MaxLength: 7}), 1/want[0], 1e-16)
		near(t, name+" of nothing", l.Aggregation(0, Size{Responses: 2, MaxLength: 7}), 1/want[1], 1e-16)
	}
}

// Another way to add up is another training, unless it is the loss's own way, which is
// told. The KL goes with it.
func TestLossAggMode(t *testing.T) {
	want := map[string]float64{"token_mean": 3, "seq_mean_token_mean": 2 * 11, "seq_mean_token_sum": 2, "seq_mean_token_sum_norm": 2 * 7}
	for _, l := range GroupLosses {
		for k := range 2 * len(lossAggModes) {
			mode := lossAggModes[k/2]
			c := smallGroup(func(c *GroupConfig) { c.LossType, c.EpsilonHigh, c.Beta = l.Name, 1.2, 0.3 })
			if c.StepsPerGeneration = 1 + k%2; l.OnPolicy && k%2 == 1 {
				continue
			}
			before := twoSteps(t, c)
			c.LossAggMode = mode
			if changed := !slices.Equal(before, twoSteps(t, c)); changed != (mode != asLoss && c.Unused("loss_agg_mode") == "") {
				t.Errorf("%s, %s, %d updates: changes something: %v; unused: %q", l.Name, mode, c.StepsPerGeneration, changed, c.Unused("loss_agg_mode"))
			}
			if o := NewGroupObjective(c); mode != asLoss {
				near(t, mode, o.Loss.Aggregation(11, someSize), 1/want[mode], 1e-16)
				near(t, mode+" of the KL", o.KLMean(11, someSize), 1/want[mode], 1e-16)
			}
		}
	}
	c := smallGroup(func(c *GroupConfig) { c.LossAggMode, c.MaskTruncatedCompletions = "token_mean", true })
	for _, name := range []string{"kl_aggregation", "drop_masked_responses"} {
		if c.Unused(name) == "" {
			t.Errorf("%s is used where the loss is a mean of tokens", name)
		}
	}
}

// What every method of the table must do.
func TestGroupMethods(t *testing.T) {
	for _, m := range GroupMethods {
		t.Run(m.Name, func(t *testing.T) {
			if err := m.Defaults.Validate(); err != nil || m.Idea == "" || m.Paper == "" {
				t.Errorf("%v, %+v", err, m)
			}
			run := func(seed uint64) (before, after float64, pi *policy.Softmax) {
				c := m.Defaults
				c.BatchSize, c.TotalEpisodes = 64, 64*60
				ref := randomPolicy(t, small, 3)
				frozen := slices.Clone(ref.LogP)
				pi = ref.Clone()
				tr, r := NewGroup(c, pi, ref, words{1, 0, -1}, half), rng.New(seed)
				e, add := policy.NewEvaluator(small, half), additive(words{1, 0, -1}, small)
				before = e.Expect(&pi.Chain, &ref.Chain, &add).Reward
				for range tr.Steps() {
					tr.Step(r)
				}
				if !slices.Equal(frozen, ref.LogP) {
					t.Error("the reference changed")
				}
				return before, e.Expect(&pi.Chain, &ref.Chain, &add).Reward, pi
			}
			before, after, a := run(1)
			if !(after >= before+0.3) {
				t.Errorf("reward %v → %v", before, after)
			}
			_, _, b := run(1)
			_, _, other := run(2)
			if !slices.Equal(a.Logits, b.Logits) || slices.Equal(a.Logits, other.Logits) {
				t.Error("the seed does not decide the result")
			}
		})
	}
}

// additive lays a reward by words along the decisions.
func additive(w words, s policy.Shape) policy.Additive {
	a := policy.Additive{Bias: make([]float64, s.Prompts), R: make([]float64, s.Cells())}
	for row := range s.Rows() {
		copy(a.R[row*s.Outcomes():], w)
	}
	return a
}

// Statistics of a batch, from the responses up.
func TestGroupStats(t *testing.T) {
	ref, pi := randomPolicy(t, small, 7), randomPolicy(t, small, 8)
	c := smallGroup(func(c *GroupConfig) { c.NumGenerations, c.KLIn, c.KLEstimator, c.Beta = 4, "reward", "k1", 0.3 })
	tr := NewGroup(c, pi.Clone(), ref, byPrompt{}, half)
	s := tr.Step(rng.New(1))
	b := tr.rollout
	reward, kl, length, cut := 0.0, 0.0, 0.0, 0.0
	for e, y := range b.response {
		if b.prompt[e] != b.prompt[e/4*4] {
			t.Errorf("response %d is to another prompt than its group's", e)
		}
		score := byPrompt{}.Score(b.prompt[e], y)
		reward += score / 32
		own := pi.LogProb(b.prompt[e], y) - ref.LogProb(b.prompt[e], y)
		kl += own / 32
		near(t, "R − β KL", tr.rewards[e], score-0.3*own, 1e-12)
		n := float64(min(len(y)+1, small.MaxLength))
		length += n / 32
		if len(y) == small.MaxLength {
			cut += 1. / 32
		}
	}
	near(t, "reward", s.Reward, reward, 1e-12)
	near(t, "objective/kl", s.SequenceKL, kl, 1e-12)
	near(t, "kl", s.KL, kl/length, 1e-12)
	near(t, "completions/mean_length", s.MeanLength, length, 1e-12)
	ended := 0.0
	for e, y := range b.response {
		if b.ended(e) {
			ended += float64(len(y)+1) / (32 * (1 - cut))
		}
	}
	near(t, "completions/mean_terminated_length", s.MeanTerminated, ended, 1e-12)
	near(t, "completions/clipped_ratio", s.ClippedRatio, cut, 1e-12)
	near(t, "episode", s.Episode, 32, 0)
	if s.ClipLowMean != 0 || s.ClipHighMean != 0 || s.PassRate != 1 {
		t.Errorf("%+v", s)
	}
	_, variance := average(b.total)
	near(t, "reward_std", s.RewardStd, math.Sqrt(variance), 1e-12)
	for range s.All() {
		break // stopping early must be possible
	}
}

// The advantages of the methods that verl has and TRL has not, token by token,
// by verl's loops (trainer/ppo/core_algos.py): token-level rewards with the KL in
// them, returns summed from the end, then each estimator's own last step.
func TestAdvantagesAsInVerl(t *testing.T) {
	ref := randomPolicy(t, small, 7)
	for _, m := range GroupMethods {
		c := m.Defaults
		c.BatchSize, c.Beta = 32, 0.3
		tr := NewGroup(c, randomPolicy(t, small, 8), ref, byPrompt{}, half)
		var s GroupStats
		tr.sample(rng.New(1), &s)
		tr.advantages(&s)
		b := tr.rollout
		sums := make([]float64, 32) // of the token-level rewards
		var want []float64
		for e, y := range b.response {
			from, to := int(b.start[e]), int(b.start[e+1])
			reward := make([]float64, to-from)
			for j := range reward {
				if c.KLIn != "loss" {
					reward[j] = -0.3 * (b.old[from+j] - b.ref[from+j])
				}
			}
			reward[to-from-1] += byPrompt{}.Score(b.prompt[e], y)
			running := make([]float64, to-from)
			for j := to - from - 1; j >= 0; j-- {
				sums[e] += reward[j]
				running[j] = sums[e]
			}
			want = append(want, running...)
		}
		per := func(f func(e int) float64) { // one advantage for all tokens of a response
			want = want[:0]
			for e := range b.response {
				for range b.start[e+1] - b.start[e] {
					want = append(want, f(e))
				}
			}
		}
		group := func(e int) (lo, hi int) {
			return e / c.NumGenerations * c.NumGenerations, e/c.NumGenerations*c.NumGenerations + c.NumGenerations
		}
		switch m.Name {
		case "reinforce_pp":
			whitenByDefinition(want)
		case "reinforce_pp_baseline":
			per(func(e int) float64 { lo, hi := group(e); m, _ := average(sums[lo:hi]); return sums[e] - m })
			whitenByDefinition(want)
		case "remax":
			for e, x := range b.prompt {
				for j := b.start[e]; j < b.start[e+1]; j++ {
					want[j] -= byPrompt{}.Score(x, tr.policy.Policy.Greedy(x))
				}
			}
		case "opo":
			per(func(e int) float64 {
				lo, hi := group(e)
				top, bottom := 0.0, 0.0
				for k := lo; k < hi; k++ {
					n := float64(b.start[k+1] - b.start[k])
					top, bottom = top+n*sums[k], bottom+n
				}
				return sums[e] - top/bottom
			})
		case "otb":
			want = tokenBaselineByDefinition(tr, want)
		case "rloo":
			per(func(e int) float64 {
				lo, hi := group(e)
				m, _ := average(sums[lo:hi])
				return sums[e]*4/3 - m*4/3
			})
		default:
			continue
		}
		for j := range want {
			near(t, m.Name+": Â_t", b.advantage[j], want[j], 1e-12)
		}
	}
}

// whitenByDefinition is verl's masked_whiten.
func whitenByDefinition(xs []float64) {
	m, variance := average(xs)
	for i := range xs {
		xs[i] = (xs[i] - m) / math.Sqrt(variance+1e-8)
	}
}

// Advantages scaled over the batch: by responses, and by tokens.
func TestAdvantagesOverTheBatch(t *testing.T) {
	ref := randomPolicy(t, small, 7)
	advantages := func(change func(*GroupConfig)) (*GroupTrainer, []float64) {
		tr := NewGroup(smallGroup(change), randomPolicy(t, small, 8), ref, byPrompt{}, half)
		var s GroupStats
		tr.sample(rng.New(1), &s)
		tr.advantages(&s)
		return tr, tr.rollout.advantage
	}
	tr, _ := advantages(func(c *GroupConfig) { c.NormalizeAdvantages = true })
	m, variance := average(tr.advantage)
	near(t, "mean over responses", m, 0, 1e-12)
	near(t, "deviation over responses", math.Sqrt(variance), 1, 1e-3) // + 1e−4 in the denominator
	_, tokens := advantages(func(c *GroupConfig) { c.WhitenAdvantages = true })
	m, variance = average(tokens)
	near(t, "mean over tokens", m, 0, 1e-12)
	near(t, "variance over tokens", variance, 1, 1e-6)
}

// What each switch makes of the rewards of one group, 2, 1, 0 and −½, on the trainer's
// own way from scores to the advantages of tokens.
func TestAdvantagesOfTheTrainer(t *testing.T) {
	for _, c := range []struct {
		what   string
		want   []float64
		change func(*GroupConfig)
	}{
		{"plain", []float64{2, 1, 0, -0.5}, nil},
		{"scale_rewards = mean", []float64{3.2, 1.6, 0, -0.8}, func(c *GroupConfig) { c.ScaleRewards = "mean" }}, // of 5/8
		{"scale_rewards = mean, ε = 1", []float64{16. / 13, 8. / 13, 0, -4. / 13}, func(c *GroupConfig) { c.ScaleRewards, c.ScaleEpsilon = "mean", 1 }},
		{"scale_rewards = nonzero", []float64{8. / 3, 4. / 3, 0, -2. / 3}, func(c *GroupConfig) { c.ScaleRewards, c.ScaleEpsilon = "nonzero", 1 }}, // three of four
		{"cliprange_advantage", []float64{0.8, 0.8, 0, -0.5}, func(c *GroupConfig) { c.CliprangeAdvantage = 0.8 }},
		{"cliprange_advantage, of what is scaled", []float64{3, 1.6, 0, -0.8}, func(c *GroupConfig) { c.ScaleRewards, c.CliprangeAdvantage = "mean", 3 }},
		{"cliprange_advantage, of what is centred", []float64{0.5, 0.375, -0.5, -0.5}, func(c *GroupConfig) { c.Advantage, c.CliprangeAdvantage = "group_mean", 0.5 }},
		{"binary_reward", []float64{1, 1, 0, 0}, func(c *GroupConfig) { c.BinaryReward, c.SuccessScore = true, 1 }},
		{"binary_reward from 0 on", []float64{1, 1, 1, 0}, func(c *GroupConfig) { c.BinaryReward = true }},
		{"binary_reward before cliprange_reward", []float64{0.25, 0.25, 0, 0}, func(c *GroupConfig) { c.BinaryReward, c.SuccessScore, c.CliprangeReward = true, 1, 0.25 }},
		{"binary_reward, scale_rewards = mean", []float64{2, 2, 0, 0}, func(c *GroupConfig) { c.BinaryReward, c.SuccessScore, c.ScaleRewards = true, 1, "mean" }},
		{"no success", []float64{0, 0, 0, 0}, func(c *GroupConfig) {
			c.BinaryReward, c.SuccessScore, c.ScaleRewards, c.Advantage = true, 2.5, "mean", "group_mean"
		}},
	} {
		tr := tinyGroup(t, tiny, "reinforce", 4, tinyReward, func(own *GroupConfig) {
			own.NumGenerations, own.Beta, own.Advantage, own.ScaleRewards, own.ScaleEpsilon = 4, 0, "none", "none", 0
			if c.change != nil {
				c.change(own)
			}
		})
		put(tr, 1, policy.Response{0, 0}, policy.Response{0}, nil, policy.Response{1})
		var s GroupStats
		tr.advantages(&s)
		for e, want := range c.want {
			for j := tr.rollout.start[e]; j < tr.rollout.start[e+1]; j++ {
				near(t, fmt.Sprintf("%s: Â of response %d", c.what, e), tr.rollout.advantage[j], want, 1e-15)
			}
		}
	}
}

// A penalty in each token's own reward is taken off what precedes it by γ^distance, as
// the score on the last token is.
func TestGammaOfTheTrainer(t *testing.T) {
	for _, in := range klPlaces {
		tr := tinyGroup(t, tiny, "reinforce", 1, tinyReward, func(c *GroupConfig) {
			c.Advantage, c.KLIn, c.Beta, c.Gamma = "none", in, 0.4, 0.5
		})
		put(tr, 1, policy.Response{0, 0})
		var s GroupStats
		tr.advantages(&s)
		first, last := tr.rollout.old[0]-tr.rollout.ref[0], tr.rollout.old[1]-tr.rollout.ref[1]
		want := []float64{2, 2}
		switch in {
		case "reward": // of the response as a whole
			want[0], want[1] = 2-0.4*(first+last), 2-0.4*(first+last)
		case "token_reward", "both":
			want[0], want[1] = 1-0.4*(first+0.5*last), 2-0.4*last
		}
		near(t, in+": Â_0", tr.rollout.advantage[0], want[0], 1e-15)
		near(t, in+": Â_1", tr.rollout.advantage[1], want[1], 1e-15)
	}
}

// The KL in the loss by its own mean: β Σ k over all tokens, whatever the loss makes of
// its own. Two responses, of one and of two tokens; the loss without them is 0.
func TestKLAggregationOfTheTrainer(t *testing.T) {
	for _, c := range []struct {
		loss, aggregation string
		short, long       float64 // what a token of each weighs
	}{
		{"grpo", "as_loss", 1. / 2, 1. / 4}, {"grpo", "token_mean", 1. / 3, 1. / 3},
		{"luspo", "as_loss", 1. / 2, 1. / 2}, {"luspo", "token_mean", 1. / 3, 1. / 3},
		{"dr_grpo", "as_loss", 1. / 4, 1. / 4}, {"dr_grpo", "token_mean", 1. / 3, 1. / 3},
	} {
		for _, estimator := range []string{"k2", full} {
			tr := tinyGroup(t, tiny, "grpo", 2, words{0, 0}, func(own *GroupConfig) {
				own.LossType, own.KLAggregation, own.KLEstimator, own.Beta = c.loss, c.aggregation, estimator, 0.3
			})
			put(tr, 1, nil, policy.Response{0})
			var s GroupStats
			tr.advantages(&s)
			tr.backward(0, 2, rng.New(9), &s)
			b, pi := tr.rollout, tr.policy.Policy
			want, kl := 0.0, 0.0
			for j, weight := range []float64{c.short, c.long, c.long} {
				k := (b.old[j] - b.ref[j]) * (b.old[j] - b.ref[j]) / 2
				if estimator == full {
					k = 0
					for w := int(b.row[j]) * pi.Outcomes(); w < (int(b.row[j])+1)*pi.Outcomes(); w++ {
						k += pi.P[w] * (pi.LogP[w] - tr.ref.LogP[w])
					}
				}
				want, kl = want+0.3*weight*k, kl+k/3
			}
			name := fmt.Sprintf("%s, %s, %s: ", c.loss, c.aggregation, estimator)
			near(t, name+"loss", s.Loss, want, 1e-15)
			near(t, name+"kl", s.KL, kl, 1e-15)
		}
	}
}

// Ratios of e^±0.3 are held to e^±0.1: the loss is a constant, and there is no gradient.
// One weight for the response is held from above alone.
func TestLogRatioClampOfTheTrainer(t *testing.T) {
	for _, c := range []struct {
		loss, level string
		off         float64 // log ρ
		want        float64 // ρ
	}{
		{"grpo", "token", 0.3, math.Exp(0.1)}, {"grpo", "token", -0.3, math.Exp(-0.1)}, {"grpo", "token", 0.05, math.Exp(0.05)},
		{"grpo", "sequence", 0.3, math.Exp(0.1)}, {"grpo", "sequence", -0.3, math.Exp(-0.3)},
		{"sapo", "token", 0.3, math.Exp(0.1)}, {"sapo", "token", -0.3, math.Exp(-0.1)},
		{"cispo_two_sided", "token", 0.3, math.Exp(0.1)}, {"cispo_two_sided", "token", -0.3, math.Exp(-0.1)},
	} {
		tr := tinyGroup(t, tiny, "grpo", 1, words{1, 0}, func(own *GroupConfig) {
			own.Advantage, own.ScaleRewards, own.Beta, own.Epsilon, own.LogRatioClamp = "none", "none", 0, 0.9, 0.1
			own.LossType, own.ImportanceSamplingLevel = c.loss, c.level
		})
		put(tr, 1, policy.Response{0})
		var s GroupStats
		tr.advantages(&s)
		for j := range tr.rollout.old {
			tr.rollout.old[j] -= c.off
		}
		tr.backward(0, 1, rng.New(9), &s)
		want, name := -c.want, fmt.Sprintf("%s, %s, log ρ = %v", c.loss, c.level, c.off)
		switch c.loss {
		case "sapo":
			want = -4 / (1 + math.Exp(1-c.want))
		case "cispo_two_sided": // the coefficient is held, log π is not
			want = -c.want * (tr.logp[0] + tr.logp[1]) / 2
		}
		near(t, name+": loss", s.Loss, want, 1e-14)
		if moved, held := num.Dot(tr.policy.G, tr.policy.G) != 0, c.want != math.Exp(c.off); c.loss != "cispo_two_sided" && moved == held {
			t.Errorf("%s: gradient %v", name, tr.policy.G)
		}
	}
}

// What the updates measure, over several iterations, from the policies that
// they started from: iterations are means, and levels count their own weights.
func TestStatisticsOfIterations(t *testing.T) {
	for _, level := range Levels {
		c := smallGroup(func(c *GroupConfig) {
			c.ImportanceSamplingLevel, c.NumIterations, c.LearningRate, c.Epsilon, c.EpsilonHigh, c.Beta = level, 3, 0.2, 0.05, 0.1, 0.3
		})
		ref := randomPolicy(t, small, 7)
		tr := NewGroup(c, ref.Clone(), ref, byPrompt{}, half)
		before := *tr.policy.Policy.Clone()
		s := tr.Step(rng.New(5))
		// The same once more, iteration by iteration.
		again := NewGroup(c, before.Clone(), ref, byPrompt{}, half)
		var other, want GroupStats
		again.sample(rng.New(5), &other)
		again.advantages(&other)
		b := again.rollout
		for range 3 {
			lowMin, highMax, n := 1.0, 0.0, 0.0
			var low, high, kl float64
			again.objective.Prepare(again.look(0, len(b.prompt)), rng.New(9))
			for e := range b.prompt {
				from, to := b.start[e], b.start[e+1]
				y := &again.response[e]
				ownLow, ownHigh := 0.0, 0.0
				for i, w := range y.Weight {
					if y.Advantage[i] < 0 && w < 0.95 {
						ownLow++
					}
					if y.Advantage[i] > 0 && w > 1.1 {
						ownHigh++
					}
					kl += math.Exp(y.Ref[i]-y.LogP[i]) - 1 - (y.Ref[i] - y.LogP[i])
				}
				k := float64(to - from)
				lowMin, highMax = min(lowMin, ownLow/k), max(highMax, ownHigh/k)
				if level != "token" {
					ownLow, ownHigh, k = ownLow/k, ownHigh/k, 1
				}
				low, high, n = low+ownLow, high+ownHigh, n+k
			}
			want.ClipLowMean += low / n / 3
			want.ClipHighMean += high / n / 3
			want.ClipLowMin += lowMin / 3
			want.ClipHighMax += highMax / 3
			want.KL += kl / float64(len(b.index)) / 3
			again.backward(0, 32, rng.New(9), &other)
			want.GradNorm += again.policy.Update(0.2) / 3
		}
		near(t, level+": clip_ratio/low_mean", s.ClipLowMean, want.ClipLowMean, 1e-12)
		near(t, level+": clip_ratio/high_mean", s.ClipHighMean, want.ClipHighMean, 1e-12)
		near(t, level+": clip_ratio/low_min", s.ClipLowMin, want.ClipLowMin, 1e-12)
		near(t, level+": clip_ratio/high_max", s.ClipHighMax, want.ClipHighMax, 1e-12)
		near(t, level+": kl", s.KL, want.KL, 1e-12)
		near(t, level+": grad_norm", s.GradNorm, want.GradNorm, 1e-12)
		near(t, level+": loss", s.Loss, other.Loss/3, 1e-12)
		if want.ClipLowMean == 0 || want.ClipHighMean == 0 {
			t.Errorf("%s: nothing was clipped", level)
		}
	}
}

// Metric kl, of the penalty in the reward or in the loss: a mean over tokens, and over
// the updates. In both places it is the loss's.
func TestKLMetric(t *testing.T) {
	for _, in := range klPlaces {
		ref := randomPolicy(t, small, 7)
		tr := NewGroup(smallGroup(func(c *GroupConfig) {
			c.KLIn, c.KLEstimator, c.NumIterations, c.StepsPerGeneration, c.NumGenerations, c.LearningRate = in, "k2", 3, 2, 4, 1e-12
		}), randomPolicy(t, small, 8), ref, byPrompt{}, half)
		s := tr.Step(rng.New(1))
		b, want := tr.rollout, 0.0
		for e := range b.prompt { // halves of a pass have as many tokens as they have
			half := float64(b.start[32] - b.start[16])
			if e < 16 {
				half = float64(b.start[16])
			}
			if !inLoss(in) {
				half = float64(b.start[32]) / 2
			}
			for j := b.start[e]; j < b.start[e+1]; j++ {
				want += (b.old[j] - b.ref[j]) * (b.old[j] - b.ref[j]) / 2 / half / 2
			}
		}
		near(t, in+": kl", s.KL, want, 1e-9)
	}
}

// A pass in several updates: the mean of dapo's and of grpo's gradients over the parts is
// that of the whole batch, since all divide by the same number; bnpo's is not.
func TestStepsPerGeneration(t *testing.T) {
	for _, loss := range []string{"dapo", "grpo", "bnpo"} {
		ref := randomPolicy(t, small, 7)
		c := smallGroup(func(c *GroupConfig) { c.LossType, c.NumGenerations, c.StepsPerGeneration = loss, 4, 4 })
		tr := NewGroup(c, randomPolicy(t, small, 8), ref, byPrompt{}, half)
		var s GroupStats
		tr.sample(rng.New(1), &s)
		tr.advantages(&s)
		whole := make([]float64, len(tr.policy.G))
		tr.backward(0, 32, rng.New(9), &s)
		num.Axpy(whole, 0.25, tr.policy.G) // divided by a part's share of the tokens
		if loss != "dapo" {
			num.Axpy(whole, 0.75, tr.policy.G)
		}
		clear(tr.policy.G)
		for k := range 4 {
			tr.backward(8*k, 8*k+8, rng.New(9), &s)
		}
		same := true
		for i, g := range tr.policy.G {
			same = same && math.Abs(g/4-whole[i]) < 1e-14
		}
		if size := tr.size(0, 8); size.Items != float64(len(tr.rollout.index))/4 {
			t.Errorf("an update divides by %v of %d tokens", size.Items, len(tr.rollout.index))
		}
		if same != (loss != "bnpo") {
			t.Errorf("%s: parts and whole agree: %v", loss, same)
		}
		// A step is one update on each part in turn.
		clear(tr.policy.G)
		tr, again := NewGroup(c, ref.Clone(), ref, byPrompt{}, half), NewGroup(c, ref.Clone(), ref, byPrompt{}, half)
		s = tr.Step(rng.New(2))
		again.sample(rng.New(2), &s)
		again.advantages(&s)
		for k := range 4 {
			again.backward(8*k, 8*k+8, rng.New(9), &s)
			again.policy.Update(c.LearningRate)
		}
		if !slices.Equal(tr.policy.Policy.Logits, again.policy.Policy.Logits) {
			t.Errorf("%s: a step is not its four updates", loss)
		}
	}
}

// Groups of one: the batch is what the statistics compare; and a batch in which
// no response ends.
func TestStatisticsAtTheEdges(t *testing.T) {
	ref := randomPolicy(t, small, 7)
	c := smallGroup(func(c *GroupConfig) { c.NumGenerations, c.Advantage, c.ScaleRewards = 1, "batch_mean", "none" })
	if s := NewGroup(c, ref.Clone(), ref, byPrompt{}, half).Step(rng.New(1)); s.FracZeroStd != 0 {
		t.Errorf("frac_reward_zero_std = %v", s.FracZeroStd)
	}
	z := make([]float64, small.Cells())
	for i := small.Words; i < len(z); i += small.Outcomes() {
		z[i] = -50
	}
	must(ref.SetLogits(z))
	alone := c
	alone.BatchSize, alone.Advantage = 1, "none"
	if s := NewGroup(alone, ref.Clone(), ref, byPrompt{}, half).Step(rng.New(1)); s.RewardStd != 0 || s.FracZeroStd != 1 {
		t.Errorf("a batch of one: reward_std %v, frac_reward_zero_std %v", s.RewardStd, s.FracZeroStd)
	}
	s := NewGroup(c, ref.Clone(), ref, byPrompt{}, half).Step(rng.New(1))
	if s.ClippedRatio != 1 || s.MinTerminated != 0 || s.MeanTerminated != 0 || s.MaxTerminatedLength != 0 || s.MinLength != 3 {
		t.Errorf("%+v", s)
	}
}

// Metrics of one loss: the weights that CISPO caps, the tokens that Clip-Cov leaves out,
// and VESPO's mean φ(w) by its definition; φ is 1 where the policy is the one that sampled.
func TestMetricsOfOneLoss(t *testing.T) {
	for _, l := range GroupLosses {
		c := smallGroup(func(c *GroupConfig) {
			c.LossType, c.NumIterations, c.LearningRate, c.EpsilonHigh, c.ClipCovLB = l.Name, 3, 0.3, 0.05, 0.1
			if l.Name == "cispo" {
				c.EpsilonHigh = 1.05
			}
		})
		ref := randomPolicy(t, small, 1)
		tr := NewGroup(c, ref.Clone(), ref, byPrompt{}, half)
		got := map[string]float64{}
		for name, v := range tr.Step(rng.New(1)).All() {
			got[name] = v
		}
		var own []string
		if name := map[string]string{"cispo": "cispo_clip_ratio", "vespo": "vespo/phi_seq_mean", "clip_cov": "actor/pg_clipfrac"}[l.Name]; name != "" {
			own = []string{name}
		}
		if !slices.Equal(own, c.OwnMetrics()) {
			t.Errorf("%s: own metrics %q", l.Name, c.OwnMetrics())
		}
		for _, name := range []string{"cispo_clip_ratio", "vespo/phi_seq_mean", "actor/pg_clipfrac"} {
			if _, there := got[name]; there != slices.Contains(own, name) {
				t.Errorf("%s: %s is there: %v", l.Name, name, there)
			}
		}
		switch l.Name {
		case "cispo":
			if share := got["cispo_clip_ratio"]; share <= 0 || share >= 1 || share != got["clip_ratio/high_mean"] {
				t.Errorf("%v of the weights are capped", share)
			}
		case "clip_cov": // at 2e−4 one token, where one qualifies
			if n := float64(len(tr.rollout.index)); !(math.Abs(got["actor/pg_clipfrac"]-1/n) <= 1e-15) {
				t.Errorf("%v of %v tokens are left out", got["actor/pg_clipfrac"], n)
			}
		case "vespo":
			if got["vespo/phi_seq_mean"] == 1 {
				t.Error("φ is 1 although the policy has moved")
			}
			var s GroupStats
			tr.backward(0, c.BatchSize, rng.New(9), &s)
			want := 0.0
			for e := range tr.rollout.prompt {
				w, k, lambda := 0.0, c.VESPOKNeg, c.VESPOLambdaNeg
				for j := tr.rollout.start[e]; j < tr.rollout.start[e+1]; j++ {
					w += tr.policy.Policy.LogP[tr.rollout.index[j]] - tr.rollout.old[j]
				}
				if tr.rollout.advantage[tr.rollout.start[e]] >= 0 {
					k, lambda = c.VESPOKPos, c.VESPOLambdaPos
				}
				want += math.Pow(math.Exp(w), k) * math.Exp(lambda*(1-math.Exp(w))) / float64(c.BatchSize)
			}
			near(t, "φ", s.Phi, want, 1e-12)
		}
	}
}

// GMPO by its formula, with tokens beyond each bound.
func TestGMPO(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.Epsilon, c.EpsilonHigh = "gmpo", 0.4, 0.3 })
	for _, a := range []float64{0.7, -1.3} {
		y := tokens([]float64{-1, -2, -0.5}, []float64{-1.5, -1.2, -0.6}, nil, a) // log ρ = 0.5, −0.8, 0.1
		gmpo(y, &c)
		clipped := []float64{0.3, -0.8, 0.1}
		if a < 0 {
			clipped = []float64{0.5, -0.4, 0.1}
		}
		w := math.Exp((clipped[0] + clipped[1] + clipped[2]) / 3)
		slopes := []float64{0, -w * a, -w * a}
		if a < 0 {
			slopes = []float64{-w * a, 0, -w * a}
		}
		for i := range y.Loss {
			near(t, "ℓ", y.Loss[i], -w*a, 1e-14)
			near(t, "∂Σℓ/∂log π", y.Slope[i], slopes[i], 1e-14)
		}
		if gmpo(y, &c); y.Low+y.High != 1 || (y.High == 1) != (a > 0) {
			t.Errorf("%d and %d cut off", y.Low, y.High)
		}
	}
}

// Without an advantage nothing is cut off, as in the other losses.
func TestGMPOWithoutAnAdvantage(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.Epsilon, c.EpsilonHigh = "gmpo", 0.4, 0.3 })
	y := tokens([]float64{-1, -2}, []float64{-2, -1}, nil, 0)
	if gmpo(y, &c); y.Low != 0 || y.High != 0 || y.Slope[0] != 0 || y.Slope[1] != 0 {
		t.Errorf("%d and %d cut off, slopes %v", y.Low, y.High, y.Slope)
	}
}

// On a bound, whatever the sign, GMPO's ratio is not cut off, and has half its slope.
func TestGMPOOnItsBounds(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.Epsilon, c.EpsilonHigh = "gmpo", 0.5, 0.25 })
	for _, a := range []float64{2, -2} {
		y := tokens([]float64{-1, -2, -1}, []float64{-1.25, -1.5, -1}, nil, a) // log ρ = ¼, −½, 0
		gmpo(y, &c)
		w := math.Exp(-0.25 / 3)
		for i, share := range []float64{0.5, 0.5, 1} {
			near(t, "ℓ", y.Loss[i], -w*a, 1e-15)
			near(t, "∂Σℓ/∂log π", y.Slope[i], -w*a*share, 1e-15)
		}
		if y.Low != 0 || y.High != 0 {
			t.Errorf("%d and %d cut off", y.Low, y.High)
		}
	}
}

// GMPO's loss is a mean over responses, whatever their lengths.
func TestGMPOIsAMeanOverResponses(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.Epsilon, c.Beta = "gmpo", 10, 0 })
	short, long := tokens([]float64{-1}, []float64{-1.5}, nil, 1), tokens([]float64{-1, -2, -0.5}, []float64{-1.5, -1.2, -0.6}, nil, -2)
	loss, _, _, _ := batchLoss(NewGroupObjective(c), []*Tokens{short, long}, Size{Responses: 2, Tokens: 4})
	near(t, "loss", loss, (-math.Exp(0.5)+2*math.Exp(-0.2/3))/2, 1e-15)
}

// DRO by hand: a token that has become likelier, and one that has become rarer; no ratio
// anywhere, nothing cut off.
func TestDRO(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.Beta, c.DROBeta = "dro", 0, 0.5 })
	y := tokens([]float64{-1, -3}, []float64{-3, -2}, nil, -0.75)
	o := NewGroupObjective(c)
	o.Prepare([]*Tokens{y}, nil)
	if o.Of(y, Size{Tokens: 2}); !slices.Equal(y.Loss, []float64{-0.75 + 0.25*4, -2.25 + 0.25}) || !slices.Equal(y.Slope, []float64{0.75 + 1, 0.75 - 0.5}) || y.Low+y.High != 0 {
		t.Errorf("%+v", y)
	}
}

// Dynamic sampling leaves no group without a signal where there is one to find,
// and gives up where there is none.
func TestDynamicSampling(t *testing.T) {
	ref := randomPolicy(t, small, 4)
	c := smallGroup(func(c *GroupConfig) { c.DynamicSampling, c.NumGenerations = true, 2 })
	tr := NewGroup(c, ref.Clone(), ref, words{1, 1, 0}, half)
	s := tr.Step(rng.New(1))
	if s.FracZeroStd != 0 || s.PassRate == 1 || s.PassRate < 0.3 {
		t.Errorf("%v of the groups are constant, pass rate %v", s.FracZeroStd, s.PassRate)
	}
	for e, y := range tr.rollout.response { // nothing is left of the groups drawn again
		if path := ref.Path(nil, tr.rollout.prompt[e], y); !slices.Equal(path, tr.rollout.index[tr.rollout.start[e]:tr.rollout.start[e+1]]) {
			t.Errorf("response %d is not what its tokens say", e)
		}
	}
	if n := int(tr.rollout.start[32]); n != len(tr.rollout.index) || tr.rollout.start[0] != 0 {
		t.Errorf("%d tokens, the responses end at %d", len(tr.rollout.index), n)
	}
	s = NewGroup(c, ref.Clone(), ref, words{0, 0, 0}, half).Step(rng.New(1))
	if s.FracZeroStd != 1 || s.PassRate != 0.1 || s.GradNorm != 0 {
		t.Errorf("without a signal: %+v", s)
	}
	c.DynamicSampling = false
	if s = NewGroup(c, ref.Clone(), ref, words{0, 0, 0}, half).Step(rng.New(1)); s.FracZeroStd != 1 || s.PassRate != 1 {
		t.Errorf("not sampled again: %+v", s)
	}
}

// Responses that were cut lose their gradient, but not their place in the baseline.
func TestMaskTruncatedCompletions(t *testing.T) {
	ref := randomPolicy(t, small, 5)
	c := smallGroup(func(c *GroupConfig) { c.MaskTruncatedCompletions, c.Beta, c.OverlongPenalty = true, 0, 1 })
	tr := NewGroup(c, ref.Clone(), ref, words{1, 0, -1}, half)
	var s GroupStats
	r := rng.New(1)
	tr.sample(r, &s)
	tr.advantages(&s)
	size := tr.size(0, 32)
	tr.backward(0, 32, rng.New(9), &s)
	tokens, ended := 0, 0
	b := tr.rollout
	for e := range b.prompt {
		if b.ended(e) {
			ended++
			tokens += int(b.start[e+1] - b.start[e])
		} else if want := (words{1, 0, -1}).Score(0, b.response[e]) - 1; b.total[e] != want {
			t.Errorf("score of a cut response %v, want %v", b.total[e], want)
		}
	}
	for i, g := range tr.policy.G {
		said := false
		for e := range b.prompt {
			said = said || b.ended(e) && slices.Contains(b.index[b.start[e]:b.start[e+1]], int32(i))
		}
		if g != 0 && !said {
			t.Errorf("only cut responses said entry %d, and it has a gradient", i)
		}
	}
	if size.Tokens != tokens || tokens == len(b.index) || size.Responses != 32 {
		t.Errorf("%+v, %d of %d tokens", size, tokens, len(b.index))
	}
	kept, lossKept := slices.Clone(tr.policy.G), s.Loss
	clear(tr.policy.G)
	s = GroupStats{}
	tr.cfg.DropMaskedResponses = true
	if size = tr.size(0, 32); size.Responses != ended || ended == 0 || ended == 32 {
		t.Errorf("%+v, %d ended", size, ended)
	}
	tr.backward(0, 32, rng.New(9), &s)
	by := 32 / float64(ended) // the mean is over fewer
	near(t, "loss", s.Loss, by*lossKept, 1e-14)
	for i, g := range tr.policy.G {
		near(t, "gradient", g, by*kept[i], 1e-15)
	}
	entropy, left := 0.0, 0.0
	for e := range b.prompt {
		for j := b.start[e]; b.ended(e) && j < b.start[e+1]; j++ {
			at, to := int(b.row[j])*small.Outcomes(), (int(b.row[j])+1)*small.Outcomes()
			entropy -= num.Dot(ref.P[at:to], ref.LogP[at:to]) / float64(tokens)
		}
	}
	near(t, "entropy", s.Entropy, entropy, 1e-14)
	s = GroupStats{}
	for e := range b.prompt { // not even what an earlier update left of them
		from, to := b.start[e], b.start[e+1]
		y := &tr.response[e]
		fill(y.Weight, 2)
		fill(b.advantage[from:to], 1)
		if b.ended(e) {
			fill(b.old[from:to], 0) // ρ = π, far below 1 − ε
			fill(b.advantage[from:to], -1)
			left += float64(to-from) / float64(tokens)
		}
	}
	tr.backward(0, 32, rng.New(9), &s)
	near(t, "clip_ratio/low_mean", s.ClipLowMean, left, 1e-14)
	near(t, "clip_ratio/low_min", s.ClipLowMin, 1, 0)
	near(t, "clip_ratio/high_mean", s.ClipHighMean, 0, 0)
	var cut []policy.Response
	for range 32 {
		cut = append(cut, policy.Response{0, 0, 0})
	}
	put(tr, 0, cut...)
	if size = tr.size(0, 32); size.Responses != 1 || size.Tokens != 0 {
		t.Errorf("all are cut: %+v", size)
	}
}

func TestValidateGroup(t *testing.T) {
	bad := GroupConfig{Advantage: "x", ScaleRewards: "x", KLIn: "x", KLEstimator: "x", LossType: "x", ImportanceSamplingLevel: "x", LRSchedulerType: "x", Beta: -1, Delta: 0.5}
	if n := len(field.All(bad.Validate())); n != 29 {
		t.Errorf("%d problems: %v", n, bad.Validate())
	}
	for name, change := range map[string]func(*GroupConfig){
		"batch_size":             func(c *GroupConfig) { c.BatchSize = 12 },
		"num_generations":        func(c *GroupConfig) { c.NumGenerations = 1 },
		"steps_per_generation":   func(c *GroupConfig) { c.StepsPerGeneration = 5 },
		"epsilon_high":           func(c *GroupConfig) { c.LossType, c.EpsilonHigh = "cispo", 0.5 },
		"delta":                  func(c *GroupConfig) { c.Delta = 1.01 + c.EpsilonHigh },
		"use_bias_correction_kl": func(c *GroupConfig) { c.UseBiasCorrectionKL, c.KLEstimator = true, full },
		"num_iterations":         func(c *GroupConfig) { c.LossType, c.NumIterations = "gpg", 2 },
		"entropy_coef_max":       func(c *GroupConfig) { c.EntropyCoefMin = 2 },
		"clip_cov_ratio":         func(c *GroupConfig) { c.ClipCovRatio = 1.1 },
		"clip_cov_lb":            func(c *GroupConfig) { c.ClipCovLB = math.NaN() },
		"clip_cov_ub":            func(c *GroupConfig) { c.ClipCovUB = 1 },
		"kl_cov_ratio":           func(c *GroupConfig) { c.KLCovRatio = 0 },
		"ppo_kl_coef":            func(c *GroupConfig) { c.PPOKLCoef = -1 },
		"dro_beta":               func(c *GroupConfig) { c.DROBeta = math.Inf(1) },
	} {
		problems := field.All(smallGroup(change).Validate())
		if len(problems) != 1 || problems[0].Field != name {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		value, told := map[string]any{"batch_size": 12, "num_generations": 1, "steps_per_generation": 5, "epsilon_high": 0.5, "use_bias_correction_kl": true, "num_iterations": 2}[name]
		if told && problems[0].Value != value {
			t.Errorf("%s = %v, not %v", name, value, problems[0].Value)
		}
	}
	for _, name := range []string{"reinforce", "gpg"} {
		problems := field.All(smallGroup(func(c *GroupConfig) { c.LossType, c.StepsPerGeneration, c.NumIterations = name, 2, 2 }).Validate())
		if len(problems) != 2 || problems[1].Field != "steps_per_generation" || problems[1].Allowed != fmt.Sprintf("1 with loss_type = %q", name) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// The range of every number: the last values on either side that stand, and the first
// that do not.
func TestRangesOfGroupFields(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	setInt := func(set func(c *GroupConfig, v int)) func(*GroupConfig, float64) {
		return func(c *GroupConfig, v float64) { set(c, int(v)) }
	}
	for name, f := range map[string]struct {
		set       func(*GroupConfig, float64)
		fine, bad []float64
	}{
		"total_episodes": {setInt(func(c *GroupConfig, v int) { c.TotalEpisodes = v }), []float64{1, 1e9}, []float64{0, 1e9 + 1}},
		"batch_size": {setInt(func(c *GroupConfig, v int) {
			c.BatchSize, c.NumGenerations, c.Advantage, c.ScaleRewards = v, 1, "none", "none"
		}),
			[]float64{1, 1e6}, []float64{0, 1e6 + 1}},
		"num_generations": {setInt(func(c *GroupConfig, v int) { c.BatchSize, c.NumGenerations = 1e6, v }), []float64{2, 1e6},
			[]float64{1}}, // more would be no part of the batch either
		"success_score":        {func(c *GroupConfig, v float64) { c.SuccessScore = v }, []float64{-1e9, 0, 1e9}, []float64{-inf, nan, inf}},
		"cliprange_reward":     {func(c *GroupConfig, v float64) { c.CliprangeReward = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"overlong_penalty":     {func(c *GroupConfig, v float64) { c.OverlongPenalty = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"soft_max_length":      {setInt(func(c *GroupConfig, v int) { c.SoftMaxLength = v }), []float64{0, 1e6}, []float64{-1, 1e6 + 1}},
		"soft_punish_cache":    {setInt(func(c *GroupConfig, v int) { c.SoftPunishCache = v }), []float64{1, 1e6}, []float64{0, 1e6 + 1}},
		"scale_epsilon":        {func(c *GroupConfig, v float64) { c.ScaleEpsilon = v }, []float64{0, 1}, []float64{-1e-9, 1.01, nan}},
		"cliprange_advantage":  {func(c *GroupConfig, v float64) { c.CliprangeAdvantage = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"beta":                 {func(c *GroupConfig, v float64) { c.Beta = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"kl_clamp":             {func(c *GroupConfig, v float64) { c.KLClamp = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"gamma":                {func(c *GroupConfig, v float64) { c.Gamma = v }, []float64{0, 1}, []float64{-1e-9, 1.01, nan}},
		"epsilon":              {func(c *GroupConfig, v float64) { c.Epsilon = v }, []float64{1e-9, 1e9}, []float64{0, nan, inf}},
		"epsilon_high":         {func(c *GroupConfig, v float64) { c.EpsilonHigh = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"delta":                {func(c *GroupConfig, v float64) { c.EpsilonHigh, c.Delta = 0.5, v }, []float64{0, 1.75, 1e9}, []float64{-1, 1.25, 1.5, nan, inf}},
		"log_ratio_clamp":      {func(c *GroupConfig, v float64) { c.LogRatioClamp = v }, []float64{0, 700}, []float64{-1e-9, 701, nan}},
		"sapo_temperature_pos": {func(c *GroupConfig, v float64) { c.SAPOTemperaturePos = v }, []float64{1e-9}, []float64{0, nan, inf}},
		"sapo_temperature_neg": {func(c *GroupConfig, v float64) { c.SAPOTemperatureNeg = v }, []float64{1e-9}, []float64{0, nan, inf}},
		"vespo_k_pos":          {func(c *GroupConfig, v float64) { c.VESPOKPos = v }, []float64{1e-9}, []float64{0, nan, inf}},
		"vespo_lambda_pos":     {func(c *GroupConfig, v float64) { c.VESPOLambdaPos = v }, []float64{1e-9}, []float64{0, nan, inf}},
		"vespo_k_neg":          {func(c *GroupConfig, v float64) { c.VESPOKNeg = v }, []float64{1e-9}, []float64{0, nan, inf}},
		"vespo_lambda_neg":     {func(c *GroupConfig, v float64) { c.VESPOLambdaNeg = v }, []float64{1e-9}, []float64{0, nan, inf}},
		"entropy_coef":         {func(c *GroupConfig, v float64) { c.EntropyCoef = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"entropy_target":       {func(c *GroupConfig, v float64) { c.EntropyTarget = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"entropy_coef_min":     {func(c *GroupConfig, v float64) { c.EntropyCoefMin = v }, []float64{0, 1}, []float64{-1e-9}},
		"entropy_coef_max":     {func(c *GroupConfig, v float64) { c.EntropyCoefMin, c.EntropyCoefMax = 0.5, v }, []float64{0.5, 1e6}, []float64{0.4, 1.1e6, nan}},
		"entropy_coef_delta":   {func(c *GroupConfig, v float64) { c.EntropyCoefDelta = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
		"num_iterations":       {setInt(func(c *GroupConfig, v int) { c.NumIterations = v }), []float64{1, 1000}, []float64{0, 1001}},
		"steps_per_generation": {setInt(func(c *GroupConfig, v int) { c.StepsPerGeneration = v }), []float64{1, 4}, []float64{0, 5}}, // four groups
		"learning_rate":        {func(c *GroupConfig, v float64) { c.LearningRate = v }, []float64{1e-9, 1e9}, []float64{0, nan, inf}},
		"max_grad_norm":        {func(c *GroupConfig, v float64) { c.MaxGradNorm = v }, []float64{0, 1e9}, []float64{-1e-9, nan, inf}},
	} {
		for _, v := range append(slices.Clone(f.fine), f.bad...) {
			problems := field.All(smallGroup(func(c *GroupConfig) { f.set(c, v) }).Validate())
			if fine := slices.Contains(f.fine, v); fine && len(problems) != 0 {
				t.Errorf("%s = %v: %v", name, v, problems)
			} else if !fine && (len(problems) != 1 || problems[0].Field != name || fmt.Sprint(problems[0].Value) != fmt.Sprint(v) && problems[0].Value != int(v)) {
				t.Errorf("%s = %v: %v", name, v, problems)
			}
		}
	}
	for what, change := range map[string]func(*GroupConfig){
		"ratios up to 1":            func(c *GroupConfig) { c.LossType, c.EpsilonHigh = "cispo", 1 },
		"the exact KL":              func(c *GroupConfig) { c.KLEstimator = full },
		"a corrected estimate":      func(c *GroupConfig) { c.UseBiasCorrectionKL = true },
		"one update of its samples": func(c *GroupConfig) { c.LossType = "reinforce" },
		"two to compare": func(c *GroupConfig) {
			c.NumGenerations, c.BatchSize, c.NormalizeAdvantages, c.DynamicSampling = 2, 2, true, true
		},
		"two groups of one": func(c *GroupConfig) {
			c.NumGenerations, c.BatchSize, c.Advantage, c.ScaleRewards = 1, 2, "batch_mean", "batch"
		},
	} {
		if err := smallGroup(change).Validate(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A response that would be its own baseline teaches nothing, and is refused.
func TestNoResponseIsItsOwnBaseline(t *testing.T) {
	for _, w := range []struct {
		field  string
		change func(*GroupConfig)
	}{
		{"num_generations", func(c *GroupConfig) { c.Advantage, c.ScaleRewards = "length_weighted", "none" }},
		{"num_generations", func(c *GroupConfig) { c.Advantage, c.ScaleRewards = "leave_one_out", "none" }},
		{"num_generations", func(c *GroupConfig) { c.Advantage = "none" }}, // scaled by a group of one
		{"num_generations", func(c *GroupConfig) { c.Advantage, c.ScaleRewards, c.DynamicSampling = "none", "none", true }},
		{"batch_size", func(c *GroupConfig) { c.Advantage, c.ScaleRewards, c.BatchSize = "batch_mean", "none", 1 }},
		{"batch_size", func(c *GroupConfig) { c.Advantage, c.ScaleRewards, c.BatchSize = "none", "batch", 1 }},
		{"batch_size", func(c *GroupConfig) {
			c.Advantage, c.ScaleRewards, c.BatchSize, c.NormalizeAdvantages = "none", "none", 1, true
		}},
		{"", func(c *GroupConfig) { c.Advantage, c.ScaleRewards = "batch_mean", "none" }},
		{"", func(c *GroupConfig) { c.Advantage, c.ScaleRewards, c.BatchSize = "greedy", "none", 1 }},
	} {
		c := smallGroup(func(c *GroupConfig) { c.NumGenerations = 1 })
		w.change(&c)
		problems := field.All(c.Validate())
		if w.field == "" && len(problems) != 0 || w.field != "" && (len(problems) != 1 || problems[0].Field != w.field || problems[0].Value != 1) {
			t.Errorf("%+v: %v", c, problems)
		}
	}
}

// What a loss does not read, and what only another setting switches on.
func TestUnusedGroupFields(t *testing.T) {
	for name, change := range map[string]func(*GroupConfig){
		"epsilon":                func(c *GroupConfig) { c.LossType = "reinforce" },
		"vespo_k_pos":            nil,
		"dro_beta":               func(c *GroupConfig) { c.LossType = "dppo_tv" },
		"log_ratio_clamp":        func(c *GroupConfig) { c.LossType = "dro" },
		"delta":                  func(c *GroupConfig) { c.LossType = "cispo_two_sided" },
		"use_bias_correction_kl": func(c *GroupConfig) { c.KLIn = "reward" },
		"kl_clamp":               func(c *GroupConfig) { c.KLEstimator = full },
		"entropy_target":         nil,
		"scale_epsilon":          func(c *GroupConfig) { c.ScaleRewards = "none" },
	} {
		c := smallGroup(change)
		if c.Unused(name) == "" {
			t.Errorf("%s changes nothing, and nobody says so", name)
		}
	}
	c := smallGroup(func(c *GroupConfig) { c.UseAdaptiveEntropy, c.LossType, c.KLIn = true, "cispo_two_sided", "both" })
	for _, name := range []string{"epsilon", "epsilon_high", "kl_clamp", "entropy_target", "scale_epsilon", "use_bias_correction_kl", "learning_rate"} {
		if why := c.Unused(name); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// A field is unused exactly where another value of it leaves every policy as it was: each
// loss with the fields of its own.
func TestUnusedLossFieldsChangeNothing(t *testing.T) {
	others := map[string]func(*GroupConfig){
		"importance_sampling_level": func(c *GroupConfig) { c.ImportanceSamplingLevel = "sequence" },
		"epsilon":                   func(c *GroupConfig) { c.Epsilon = 0.02 },
		"epsilon_high":              func(c *GroupConfig) { c.EpsilonHigh += 0.1 },
		"delta":                     func(c *GroupConfig) { c.Delta = 1.01 + c.EpsilonHigh },
		"log_ratio_clamp":           func(c *GroupConfig) { c.LogRatioClamp = 0.01 },
		"sapo_temperature_pos":      func(c *GroupConfig) { c.SAPOTemperaturePos = 0.5 },
		"sapo_temperature_neg":      func(c *GroupConfig) { c.SAPOTemperatureNeg = 0.5 },
		"vespo_k_pos":               func(c *GroupConfig) { c.VESPOKPos = 0.5 },
		"vespo_lambda_pos":          func(c *GroupConfig) { c.VESPOLambdaPos = 0.5 },
		"vespo_k_neg":               func(c *GroupConfig) { c.VESPOKNeg = 0.5 },
		"vespo_lambda_neg":          func(c *GroupConfig) { c.VESPOLambdaNeg = 0.5 },
		"clip_cov_ratio":            func(c *GroupConfig) { c.ClipCovRatio = 0.5 },
		"clip_cov_lb":               func(c *GroupConfig) { c.ClipCovLB = 0.1 },
		"clip_cov_ub":               func(c *GroupConfig) { c.ClipCovUB = 0.5 },
		"kl_cov_ratio":              func(c *GroupConfig) { c.KLCovRatio = 0.5 },
		"ppo_kl_coef":               func(c *GroupConfig) { c.PPOKLCoef = 0.5 },
		"dro_beta":                  func(c *GroupConfig) { c.DROBeta = 0.5 },
	}
	if len(others) != len(lossFields) {
		t.Fatalf("%d other values for %d fields", len(others), len(lossFields))
	}
	for _, l := range GroupLosses {
		c := smallGroup(func(c *GroupConfig) {
			c.LossType, c.LearningRate, c.NumIterations, c.Epsilon, c.EpsilonHigh = l.Name, 0.1, 4, 0.05, 0.04
			c.ClipCovRatio, c.ClipCovLB, c.ClipCovUB = 0.2, -0.2, 2
			if l.Name == "cispo" {
				c.EpsilonHigh = 1.05
			}
			if l.Name == "dppo_kl" { // a divergence in nats
				c.Epsilon, c.EpsilonHigh = 0.001, 0.0005
			}
			if l.OnPolicy {
				c.NumIterations = 1
			}
		})
		before := twoSteps(t, c)
		for name, change := range others {
			other := c
			change(&other)
			if changed := !slices.Equal(before, twoSteps(t, other)); changed != (c.Unused(name) == "") {
				t.Errorf("%s: another %s changes something: %v; unused: %q", l.Name, name, changed, c.Unused(name))
			}
		}
	}
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.MaskTruncatedCompletions = "x", true })
	for _, name := range append(slices.Clone(lossFields), "drop_masked_responses", "kl_aggregation") { // nobody can say
		if why := c.Unused(name); why != "" {
			t.Errorf("%s of an unknown loss: %s", name, why)
		}
	}
	if c.Unused("biased_whitening") == "" {
		t.Error("what has nothing to do with the loss is not told")
	}
}

// twoSteps is where two steps lead.
func twoSteps(t *testing.T, c GroupConfig) []float64 {
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	ref := randomPolicy(t, small, 1)
	tr, r := NewGroup(c, randomPolicy(t, small, 2), ref, byPrompt{}, half), rng.New(1)
	tr.Step(r)
	tr.Step(r)
	return tr.policy.Policy.Logits
}

// … and each switch with what it switches.
func TestUnusedSwitchesChangeNothing(t *testing.T) {
	others := map[string]func(*GroupConfig){
		"biased_whitening":       func(c *GroupConfig) { c.BiasedWhitening = true },
		"use_bias_correction_kl": func(c *GroupConfig) { c.UseBiasCorrectionKL = true },
		"kl_aggregation":         func(c *GroupConfig) { c.KLAggregation = "token_mean" },
		"gamma":                  func(c *GroupConfig) { c.Gamma = 0.5 },
		"success_score":          func(c *GroupConfig) { c.SuccessScore = 0.5 },
		"drop_masked_responses":  func(c *GroupConfig) { c.DropMaskedResponses = true },
		"kl_clamp":               func(c *GroupConfig) { c.KLClamp = 0.01 },
		"entropy_target":         func(c *GroupConfig) { c.EntropyTarget = 9 },
		"entropy_coef_min":       func(c *GroupConfig) { c.EntropyCoefMin = 0.3 },
		"entropy_coef_max":       func(c *GroupConfig) { c.EntropyCoefMax = 0.3 },
		"entropy_coef_delta":     func(c *GroupConfig) { c.EntropyCoefDelta = 0.1 },
		"scale_epsilon":          func(c *GroupConfig) { c.ScaleEpsilon = 0.5 },
	}
	mask := func(loss string) func(*GroupConfig) {
		return func(c *GroupConfig) { c.LossType, c.MaskTruncatedCompletions = loss, true }
	}
	scale := func(scale string, normalize bool) func(*GroupConfig) {
		return func(c *GroupConfig) { c.ScaleRewards, c.NormalizeAdvantages = scale, normalize }
	}
	settings := []func(*GroupConfig){
		func(*GroupConfig) {}, func(c *GroupConfig) { c.WhitenAdvantages = true }, func(c *GroupConfig) { c.BinaryReward = true },
		mask("grpo"), mask("luspo"), mask("dr_grpo"), mask("gmpo"), mask("bnpo"), mask("dapo"), mask("kl_cov"),
		scale("none", false), scale("nonzero", false), scale("mean", false), scale("batch", false), scale("none", true), scale("nonzero", true),
		func(c *GroupConfig) { c.UseAdaptiveEntropy, c.EntropyTarget, c.EntropyCoefDelta = true, 0.5, 0.4 },
	}
	for _, in := range klPlaces {
		for _, estimator := range []string{"k3", full} {
			settings = append(settings, func(c *GroupConfig) { c.KLIn, c.KLEstimator = in, estimator })
		}
	}
	used := map[string]int{}
	for _, set := range settings {
		c := smallGroup(func(c *GroupConfig) {
			c.NumIterations, c.StepsPerGeneration, c.LearningRate, c.Beta, c.EntropyCoef = 3, 2, 0.1, 0.3, 0.2
			set(c)
		})
		before := twoSteps(t, c)
		for name, change := range others {
			other := c
			change(&other)
			if other.Validate() != nil || c.UseAdaptiveEntropy && slices.Contains(entropyFields, name) {
				used[name]++ // refused together; an adaptive coefficient has a test of its own
				continue
			}
			changed := !slices.Equal(before, twoSteps(t, other))
			if changed != (c.Unused(name) == "") {
				t.Errorf("kl_in %s, %s; loss %s; scale %s: another %s changes something: %v; unused: %q", c.KLIn, c.KLEstimator, c.LossType, c.ScaleRewards, name, changed, c.Unused(name))
			}
			if changed {
				used[name]++
			}
		}
	}
	for name := range others {
		if used[name] == 0 || used[name] == len(settings) {
			t.Errorf("%s: used by %d of %d settings", name, used[name], len(settings))
		}
	}
}

// The adaptive coefficient of the entropy, step by step as TRL's.
func TestEntropyControl(t *testing.T) {
	c := entropyControl{coef: 0.01, adaptive: true, target: 0.5, high: 0.02, delta: 0.006}
	for k, step := range []struct{ entropy, coef, bonus float64 }{{0.4, 0.016, 0.016}, {0.5, 0.02, 0.02}, {0.6, 0.014, 0}, {0.7, 0.008, 0}, {0.9, 0.002, 0}, {0.9, 0, 0}, {0.1, 0.006, 0.006}} {
		c.see(step.entropy)
		near(t, fmt.Sprintf("coefficient after step %d", k), c.coef, step.coef, 1e-15)
		near(t, fmt.Sprintf("bonus after step %d", k), c.bonus(), step.bonus, 1e-15)
	}
	fixed := entropyControl{coef: 0.3, target: 1}
	fixed.see(0)
	near(t, "fixed", fixed.bonus(), 0.3, 0)
}

// The trainer's coefficient as the configuration has it: by δ after each update, within
// its bounds, reported as it was before the step.
func TestEntropyControlOfTheTrainer(t *testing.T) {
	for _, c := range []struct {
		target float64
		want   [4]float64
	}{{9, [4]float64{0.01, 0.022, 0.03, 0.03}}, {0, [4]float64{0.01, 0.004, 0.004, 0.004}}} { // no entropy is above 9, nor at most 0
		ref := randomPolicy(t, small, 5)
		tr, r := NewGroup(smallGroup(func(own *GroupConfig) {
			own.EntropyCoef, own.UseAdaptiveEntropy, own.EntropyTarget, own.EntropyCoefDelta = 0.01, true, c.target, 0.006
			own.EntropyCoefMin, own.EntropyCoefMax, own.NumIterations = 0.004, 0.03, 2
		}), ref.Clone(), ref, byPrompt{}, half), rng.New(1)
		for k, want := range c.want {
			near(t, fmt.Sprintf("target %v: entropy_coef of step %d", c.target, k), tr.Step(r).EntropyCoef, want, 1e-15)
		}
	}
}

// The batches of a training, the last one begun counting whole, and the learning rate
// over them.
func TestStepsAndLearningRate(t *testing.T) {
	ref := randomPolicy(t, small, 5)
	for episodes, want := range map[int]int{1: 1, 31: 1, 32: 1, 33: 2, 64: 2, 128: 4} {
		c, p, o := smallGroup(nil), smallConfig(), DefaultOnline()
		c.TotalEpisodes, p.TotalEpisodes, o.TotalEpisodes, o.BatchSize = episodes, episodes, episodes, 32
		for what, steps := range map[string]int{
			"group": NewGroup(c, ref.Clone(), ref, byPrompt{}, half).Steps(), "ppo": New(p, ref.Clone(), ref, byPrompt{}, half).Steps(),
			"online": NewOnline(o, ref.Clone(), ref, byPrompt{}, half).Steps(),
		} {
			if steps != want {
				t.Errorf("%s: %d steps for %d episodes, want %d", what, steps, episodes, want)
			}
		}
	}
	c, o := smallGroup(func(c *GroupConfig) { c.TotalEpisodes, c.LRSchedulerType, c.LearningRate = 128, "linear", 0.4 }), DefaultOnline()
	o.TotalEpisodes, o.BatchSize, o.LRSchedulerType, o.LearningRate = 128, 32, "linear", 0.4
	group, online, r := NewGroup(c, ref.Clone(), ref, byPrompt{}, half), NewOnline(o, ref.Clone(), ref, byPrompt{}, half), rng.New(1)
	for _, want := range []float64{0.4, 0.3, 0.2, 0.1, 0} {
		near(t, "group: learning_rate", group.Step(r).LearningRate, want, 1e-15)
		near(t, "online: learning_rate", online.Step(r).LearningRate, want, 1e-15)
	}
}

// Where ratios are 1 and no KL pulls, the methods about ratios are those without: on
// their first update GSPO, SAPO and GMPO are GRPO, CISPO and VESPO bnpo. A response of
// one token has one ratio.
func TestMethodsAgreeWhereRatiosAreOne(t *testing.T) {
	gradient := func(s policy.Shape, name string, like GroupConfig, off bool) []float64 {
		tr := tinyGroup(t, s, name, 2, tinyReward, func(c *GroupConfig) {
			own := *c
			c.ScaleRewards, c.Advantage, c.Beta = like.ScaleRewards, like.Advantage, 0
			c.LossType, c.ImportanceSamplingLevel, c.EpsilonHigh, c.Epsilon = own.LossType, own.ImportanceSamplingLevel, own.EpsilonHigh, own.Epsilon
		})
		put(tr, 1, policy.Response{0}, policy.Response{1})
		var stats GroupStats
		tr.advantages(&stats)
		if off {
			for j := range tr.rollout.old {
				tr.rollout.old[j] -= 0.05 * float64(1+j%2)
			}
		}
		tr.backward(0, 2, rng.New(9), &stats)
		return slices.Clone(tr.policy.G)
	}
	for name, as := range map[string]string{"gspo": "grpo", "sapo": "grpo", "gmpo": "grpo", "cispo": "bnpo", "vespo": "bnpo", "dapo": "bnpo", "kl_cov": "bnpo", "dppo": "bnpo", "dro": "bnpo"} {
		got, want := gradient(tiny, name, DefaultGroup(), false), gradient(tiny, as, DefaultGroup(), false)
		for i := range got {
			near(t, name+" as "+as, got[i], want[i], 1e-15)
		}
	}
	one := policy.Shape{Prompts: 2, Words: 2, MaxLength: 1, Order: 1}
	got, want := gradient(one, "gspo", DefaultGroup(), true), gradient(one, "grpo", DefaultGroup(), true)
	for i := range got {
		near(t, "gspo of one token", got[i], want[i], 1e-15)
	}
	if num.Dot(want, want) < 1e-4 {
		t.Error("too small to tell")
	}
}

// Advantages know nothing of the rewards' zero, nor, scaled by a deviation, of their unit.
func TestAdvantagesAreInvariant(t *testing.T) {
	g := Groups{Size: 4, Reward: []float64{1, 0, .5, 2}, Length: []float64{1, 2, 3, 4}}
	moved := Groups{Size: 4, Reward: []float64{13, 10, 11.5, 16}, Length: g.Length} // 3 R + 10
	for _, b := range []string{"batch_mean", "group_mean", "leave_one_out", "length_weighted"} {
		for scale, factor := range map[string]float64{"none": 3, "group": 1, "batch": 1} {
			a, c := make([]float64, 4), make([]float64, 4)
			Advantages(a, g, baseline(b), scale, 0)
			Advantages(c, moved, baseline(b), scale, 0)
			for i := range a {
				near(t, b+" "+scale, c[i], factor*a[i], 1e-14)
			}
		}
	}
}

func benchmarkGroup(b testing.TB, m GroupMethod, episodes int) *GroupTrainer {
	like := benchmarkTrainer(b, episodes)
	c := m.Defaults
	c.BatchSize = episodes
	return NewGroup(c, like.policy.Policy, like.ref, like.reward, like.weights)
}

func BenchmarkGroupStep(b *testing.B) {
	for _, m := range GroupMethods {
		b.Run(m.Name, func(b *testing.B) {
			tr, r := benchmarkGroup(b, m, 128), rng.New(2)
			b.ReportAllocs()
			for b.Loop() {
				tr.Step(r)
			}
			b.ReportMetric(float64(b.N*128)/b.Elapsed().Seconds(), "episodes/s")
		})
	}
}

func TestGroupStepAllocatesNothing(t *testing.T) {
	for _, m := range GroupMethods {
		tr, r := benchmarkGroup(t, m, 32), rng.New(1)
		tr.Step(r)
		if n := testing.AllocsPerRun(20, func() { tr.Step(r) }); n != 0 {
			t.Errorf("%s: %v allocations a step", m.Name, n)
		}
	}
}
