package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// covBatch is a batch with the covariances −1, 1, ½, −1, 1, ½, since the means are −2
// and 0; of its fifth token the ratio is above any clip, and the advantage positive.
func covBatch() []*Tokens {
	return []*Tokens{
		tokens([]float64{-1, -3, -2.5}, []float64{-1, -3, -2.4}, nil, -1),
		tokens(nil, nil, nil, 7),
		tokens([]float64{-3, -1, -1.5}, []float64{-3, -1.5, -1.5}, nil, 1),
	}
}

func prepared(c GroupConfig, r *rng.Stream) (o *GroupObjective, batch []*Tokens, marked []int) {
	o, batch = NewGroupObjective(c), covBatch()
	o.Prepare(batch, r)
	at := 0
	for _, y := range batch {
		for _, m := range y.Marked {
			if m {
				marked = append(marked, at)
			}
			at++
		}
	}
	return o, batch, marked
}

func TestCovariances(t *testing.T) {
	var m marking
	if m.covariances(covBatch()); !slices.Equal(m.cov, []float64{-1, 1, 0.5, -1, 1, 0.5}) {
		t.Errorf("%v", m.cov)
	}
}

// KL-Cov marks the largest, the first of equal ones, one at least. What it adds is
// |log ρ|, and it clips nothing.
func TestKLCov(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.Beta, c.PPOKLCoef = "kl_cov", 0, 2 })
	for _, w := range []struct {
		ratio float64
		want  []int
	}{{1e-9, []int{1}}, {0.17, []int{1}}, {0.34, []int{1, 4}}, {0.5, []int{1, 2, 4}}, {0.7, []int{1, 2, 4, 5}}, {0.9, []int{0, 1, 2, 4, 5}}, {1, []int{0, 1, 2, 3, 4, 5}}} {
		c.KLCovRatio = w.ratio
		if _, _, got := prepared(c, nil); !slices.Equal(got, w.want) {
			t.Errorf("%v: %v, want %v", w.ratio, got, w.want)
		}
	}
	c.KLCovRatio = 0.5
	o, batch, _ := prepared(c, nil)
	up, down := math.Exp(0.5), math.Exp(-0.1) // ρ of the fifth token, and of the third
	for k, want := range map[int][2][]float64{
		0: {{1, 1, down + 2*0.1}, {1, 1, down - 2}},
		2: {{-1, -up + 2*0.5, -1}, {-1, -up + 2, -1}},
	} {
		if o.Of(batch[k], Size{}); batch[k].Low != 0 || batch[k].High != 0 {
			t.Errorf("%d and %d clipped", batch[k].Low, batch[k].High)
		}
		for i := range want[0] {
			near(t, "ℓ", batch[k].Loss[i], want[0][i], 1e-15)
			near(t, "∂ℓ/∂log π", batch[k].Slope[i], want[1][i], 1e-15)
		}
	}
}

// Clip-Cov leaves out tokens between its bounds that the clip has not cut off, each
// choice of the number wanted as often as any other.
func TestClipCov(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.Beta, c.ClipCovRatio, c.ClipCovLB = "clip_cov", 0, 1, 0.4 })
	o, batch, got := prepared(c, nil)
	if !slices.Equal(got, []int{1, 2, 5}) { // 4 is clipped
		t.Fatalf("%v", got)
	}
	o.Of(batch[0], Size{})
	near(t, "ℓ", batch[0].Loss[0], 1, 1e-15)
	if y := batch[0]; y.Slope[0] != 1 || y.Loss[1] != 0 || y.Slope[1] != 0 || y.Loss[2] != 0 || y.Slope[2] != 0 {
		t.Errorf("%+v", y)
	}
	for _, bounds := range []struct {
		low, high float64
		want      []int
	}{{0.5, 5, []int{1}}, {0.4, 1, []int{2, 5}}, {1, 5, nil}} { // both bounds are excluded
		c.ClipCovLB, c.ClipCovUB = bounds.low, bounds.high
		if _, _, got := prepared(c, nil); !slices.Equal(got, bounds.want) {
			t.Errorf("%+v: %v", bounds, got)
		}
	}
	c.ClipCovRatio, c.ClipCovLB, c.ClipCovUB = 0.34, 0.4, 5 // two of six tokens, from three candidates
	seen, r := map[[2]int]float64{}, rng.New(1)
	const n = 30_000
	for range n {
		_, _, got := prepared(c, r)
		if len(got) != 2 {
			t.Fatalf("%v", got)
		}
		seen[[2]int{got[0], got[1]}]++
	}
	for _, pair := range [][2]int{{1, 2}, {1, 5}, {2, 5}} {
		near(t, "share", seen[pair]/n, 1./3, 4*math.Sqrt(2./9/n))
	}
}

// A response that does not count in the loss takes part in no choice, and is marked nowhere.
func TestMarksAmongThoseThatCount(t *testing.T) {
	tr := tinyGroup(t, tiny, "kl_cov", 2, tinyReward, func(c *GroupConfig) {
		c.MaskTruncatedCompletions, c.KLCovRatio, c.ScaleRewards, c.Beta = true, 0.4, "none", 0
	})
	put(tr, 1, policy.Response{0, 0}, policy.Response{1}) // the first was cut
	for j, logp := range []float64{-9, 0, -1, -2} {
		tr.rollout.advantage[j] = []float64{-9, 9, 1, 3}[j]
		tr.policy.Policy.LogP[tr.rollout.index[j]] = logp
	}
	var s GroupStats
	tr.backward(0, 2, rng.New(9), &s) // the covariances of the second are −½ twice, and the first of equals is the largest
	if !slices.Equal(tr.marked[:4], []bool{false, false, true, false}) {
		t.Errorf("%v", tr.marked[:4])
	}
}

// Without a token that counts there is nothing to mark; a single one is the largest.
func TestNothingToMark(t *testing.T) {
	alone := tokens([]float64{-1}, []float64{-1}, nil, 1)
	NewGroupObjective(smallGroup(func(c *GroupConfig) { c.LossType = "kl_cov" })).Prepare([]*Tokens{alone}, nil)
	if !alone.Marked[0] {
		t.Error("a token alone is not marked")
	}
	for _, name := range []string{"clip_cov", "kl_cov"} {
		NewGroupObjective(smallGroup(func(c *GroupConfig) { c.LossType = name })).Prepare([]*Tokens{tokens(nil, nil, nil, 1)}, nil)
	}
}

// A document in which chance decides has no numbers to compare.
func TestDocumentsWithoutChance(t *testing.T) {
	c := smallGroup(func(c *GroupConfig) { c.LossType, c.ClipCovLB = "clip_cov", 0.4 })
	for ratio, fine := range map[float64]bool{0.5: true, 0.49: false} { // three candidates of six tokens
		c.ClipCovRatio = ratio
		if err := onlyChoice(c, covBatch()); (err == nil) != fine {
			t.Errorf("%v: %v", ratio, err)
		}
	}
	coefficient, r := 3.0, covarianceResult{}
	r.PPOKLCoef = &coefficient
	if r.set(&c); c.PPOKLCoef != 3 || c.KLCovRatio != DefaultGroup().KLCovRatio {
		t.Errorf("%+v", c)
	}
}

// A table of one column, which TRL's metrics see without its mask: verl's losses do not.
// Of the tokens that count the first is marked, the second is clipped at 0.8; with those
// behind the mask three would qualify, and chance would decide.
func TestDocumentsOfOneColumn(t *testing.T) {
	values, err := Recompute([]byte(`{"kind": "grpo", "cases": [{"completion_mask": [[1], [1], [0], [0]], "advantages": [1, -1, -3, -3],
		"per_token_logps": [[-2], [-6], [-12], [-12]], "old_per_token_logps": [[-2], [-5], [-12], [-12]], "ref_per_token_logps": [[-2], [-5], [-12], [-12]]}],
		"results": [{"case": 0, "loss_type": "clip_cov", "importance_sampling_level": "token", "epsilon_low": 0.2, "epsilon_high": 0.2,
		"clip_cov_ub": 20, "loss": 0.4, "clip_ratio_region_mean": 0.5, "grad_per_token_logps": [[0], [0], [0], [0]]}]}`))
	if err != nil || len(values) != 6 {
		t.Fatalf("%+v, %v", values, err)
	}
	for _, v := range values {
		if !v.Agrees() {
			t.Errorf("%+v", v)
		}
	}
}
