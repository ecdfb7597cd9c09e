package dpo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// world is one prompt with four responses, all of one token, whose every ordered
// pair is judged by a Bradley-Terry rater: small enough for expected losses.
type world struct {
	reward    []float64
	responses []policy.Response
	ref       *policy.Softmax
}

func newWorld(t *testing.T) world {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1}
	return world{[]float64{1, 0.2, -0.3, 0.4}, []policy.Response{{0}, {1}, {2}, nil}, randomPolicy(t, s, 8)}
}

// fit descends the expected loss over all pairs, and returns log π/π_ref of every
// response, with log π.
func (w world) fit(t *testing.T, c Config) (ratio, logp []float64) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	n := len(w.reward)
	var pairs []policy.Pair
	var p []float64
	for a := range n {
		for b := range n {
			if a != b {
				pairs = append(pairs, policy.Pair{Chosen: w.responses[a], Rejected: w.responses[b]})
				p = append(p, num.Sigmoid(w.reward[a]-w.reward[b]))
			}
		}
	}
	c.BatchSize, c.MaxGradNorm = len(pairs), 0
	pi := w.ref.Clone()
	d, all := New(c, pi, w.ref, pairs), make([]int, len(pairs))
	for i := range all {
		all[i] = i
	}
	for k := range 6000 {
		d.gather(all)
		d.baselines(all)
		d.loss.Of(d.batch, &d.cfg)
		for i := range p {
			d.batch.DChosen[i] *= p[i]
			d.batch.DRejected[i] *= p[i]
		}
		d.scatter(all)
		d.trainer.Update(0.03 * math.Pow(0.9985, float64(k)))
	}
	for _, y := range w.responses {
		logp = append(logp, pi.LogProb(0, y))
		ratio = append(ratio, pi.LogProb(0, y)-w.ref.LogProb(0, y))
	}
	return ratio, logp
}

// With all pairs judged equally often, the optimum of DPO is π* ∝ π_ref exp(r/β)
// (Rafailov et al. 2023, section 4), and under another leash D_f it is where the
// f-scores differ as the rewards: β(f′(π/π_ref)(y) − f′(π/π_ref)(y′)) = r(y) − r(y′)
// (Wang et al. 2024); χPO's link is φ(t) = t + log t.
func TestPopulationOptimumHasTheRewardsDifferences(t *testing.T) {
	w := newWorld(t)
	chi := func(u float64) float64 { return num.Exp(u) + u }
	for _, f := range append(slices.Clone(divergences), "chi") {
		c := Default()
		c.Beta = 2
		link := chi
		if f == "chi" {
			c.LossType = "chipo"
		} else {
			c.FDivergenceType = f
			link = func(u float64) float64 { s, _ := FScore(u, f, c.FAlphaDivergenceCoef); return s }
		}
		ratio, logp := w.fit(t, c)
		same(t, "total probability", num.LogSumExp(logp), 0, 1e-12)
		for i := range ratio {
			same(t, f+": reward difference", c.Beta*(link(ratio[i])-link(ratio[0])), w.reward[i]-w.reward[0], 1e-6)
		}
	}
}

// Robust DPO has DPO's optimum when labels are reversed at its rate ε.
func TestRobustIsUnbiased(t *testing.T) {
	w, c := newWorld(t), Default()
	// A reversed label with probability ε: σ(r) becomes (1−ε)σ(r) + εσ(−r).
	const epsilon = 0.2
	for i, r := range w.reward {
		for _, s := range w.reward[:i] {
			p := num.Sigmoid(r - s)
			seen := (1-epsilon)*p + epsilon*(1-p)
			_, up := Robust((r-s)/c.Beta, c.Beta, epsilon)
			_, down := Robust((s-r)/c.Beta, c.Beta, epsilon)
			same(t, "expected slope of robust DPO", seen*up-(1-seen)*down, 0, 1e-12)
		}
	}
}

// IPO's optimum is π ∝ π_ref exp(1/β E_{y′~μ}[P(y ≻ y′)]) (Azar et al. 2023, section
// 5), with μ the rater's uniform choice, a response against itself counting half.
func TestPopulationOptimumOfIPO(t *testing.T) {
	w := newWorld(t)
	c := Default()
	c.LossType, c.Beta = "ipo", 0.5
	_, logp := w.fit(t, c)
	var tilted []float64
	for i, y := range w.responses {
		preference := 0.0
		for _, r := range w.reward {
			preference += num.Sigmoid(w.reward[i]-r) / 4
		}
		tilted = append(tilted, w.ref.LogProb(0, y)+preference/c.Beta)
	}
	logZ := num.LogSumExp(tilted)
	for i := range logp {
		same(t, "log π", logp[i], tilted[i]-logZ, 1e-6)
	}
}

// χPO's optimum is π = π_ref W₀(exp((r − Z)/β)) (Huang et al. 2024), W₀
// Lambert's function and Z what makes it a distribution.
func TestPopulationOptimumOfChiPO(t *testing.T) {
	w := newWorld(t)
	c := Default()
	c.LossType, c.Beta = "chipo", 0.5
	_, logp := w.fit(t, c)
	lambert := func(x float64) float64 { // Newton on v e^v = x
		v := math.Log1p(x)
		for range 60 {
			v -= (v - x*math.Exp(-v)) / (1 + v)
		}
		return v
	}
	total := func(z float64) (sum float64) {
		for i, y := range w.responses {
			sum += math.Exp(w.ref.LogProb(0, y)) * lambert(math.Exp((w.reward[i]-z)/c.Beta))
		}
		return sum
	}
	low, high := -20.0, 20.0
	for range 200 {
		if mid := (low + high) / 2; total(mid) > 1 {
			low = mid
		} else {
			high = mid
		}
	}
	for i, y := range w.responses {
		want := w.ref.LogProb(0, y) + math.Log(lambert(math.Exp((w.reward[i]-low)/c.Beta)))
		same(t, "log π", logp[i], want, 1e-6)
	}
}

// REBEL at rewards it can fit ends on the same tilt, from any pairs.
func TestREBELFitsTheRewards(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1}
	ref := randomPolicy(t, s, 8)
	pi := ref.Clone()
	c := Default()
	c.LossType, c.Beta, c.BatchSize, c.LearningRate, c.NumTrainEpochs = "rebel", 0.5, 3, 0.03, 4000
	ys := []policy.Response{{0}, {1}, {2}, nil}
	pairs := []policy.Pair{{Chosen: ys[0], Rejected: ys[1]}, {Chosen: ys[2], Rejected: ys[1]}, {Chosen: ys[3], Rejected: ys[2]}}
	reward := tableOfRewards{0.7, -0.2, 0.1, 1.5}
	d, r := NewFrom(c, pi, ref, Data{Pairs: pairs, Scorer: reward}), rng.New(1)
	for range d.Steps() {
		d.Step(r)
	}
	for i, y := range ys {
		got := pi.LogProb(0, y) - ref.LogProb(0, y) - (pi.LogProb(0, nil) - ref.LogProb(0, nil))
		same(t, "log-ratio", c.Beta*got, reward[i]-reward[3], 1e-6)
	}
}

type tableOfRewards []float64

func (r tableOfRewards) Score(x policy.Prompt, y policy.Response) float64 {
	if len(y) == 0 {
		return r[len(r)-1]
	}
	return r[y[0]]
}
