package dpo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// TR-DPO moves a reference of its own, every so many steps, by the mix of logits.
func TestTheReferenceIsSynchronised(t *testing.T) {
	ref := randomPolicy(t, small, 1)
	frozen := slices.Clone(ref.Logits)
	c := config(5)
	c.SyncRefModel, c.RefModelSyncSteps, c.RefModelMixupAlpha, c.NumTrainEpochs = true, 2, 0.3, 100
	pi := ref.Clone()
	d, r := New(c, pi, ref, randomPairs(ref, 5, 1)), rng.New(1)
	d.Step(r)
	if !slices.Equal(d.ref.Logits, frozen) {
		t.Error("the reference moved after one step")
	}
	d.Step(r)
	for i, z := range d.ref.Logits {
		same(t, "reference logit", z, 0.3*pi.Logits[i]+0.7*frozen[i], 1e-14)
	}
	if d.ref.Logits[0] == frozen[0] && d.ref.Logits[1] == frozen[1] {
		t.Error("the reference did not move")
	}
	if !slices.Equal(ref.Logits, frozen) {
		t.Error("the caller's reference moved")
	}
	all := []int{0, 1, 2, 3, 4}
	d.gather(all)
	for i := range all {
		same(t, "log π_ref", d.batch.RefChosen[i], d.ref.LogProb(d.lists[i].prompt, d.lists[i].responses[0]), 1e-13)
	}
	// α = 1 forgets the old one: at the policy every margin is 0 again.
	c.RefModelMixupAlpha, c.RefModelSyncSteps = 1, 1
	d = New(c, ref.Clone(), ref, randomPairs(ref, 5, 1))
	d.Step(r)
	if s := d.Step(r); !(math.Abs(s.Loss-math.Ln2) <= 1e-12) || !(math.Abs(s.Margin) <= 1e-12) {
		t.Errorf("loss %v, margin %v at the reference", s.Loss, s.Margin)
	}
}

// The logits mix whatever parameters make them.
func TestSynchronisingUnderTheSharedParametrisation(t *testing.T) {
	ref, err := policy.NewSoftmax(small, policy.Shared)
	if err != nil {
		t.Fatal(err)
	}
	c := config(5)
	c.SyncRefModel, c.RefModelSyncSteps = true, 1
	pi := ref.Clone()
	d, r := New(c, pi, ref, randomPairs(ref, 5, 1)), rng.New(1)
	d.Step(r)
	first := slices.Clone(pi.Logits)
	d.Step(r)
	for i, z := range d.ref.Logits {
		same(t, "reference logit", z, 0.6*pi.Logits[i]+0.4*0.6*first[i], 1e-14)
	}
}

func TestReferenceFreeIsAUniformReference(t *testing.T) {
	ref := randomPolicy(t, small, 1)
	c := config(5)
	c.ReferenceFree = true
	d := New(c, randomPolicy(t, small, 2), ref, randomPairs(ref, 5, 1))
	d.gather([]int{0, 1, 2, 3, 4})
	if num.Sum(d.batch.RefChosen) != 0 || num.Sum(d.batch.RefRejected) != 0 {
		t.Error("the reference has its say")
	}
}

// LD-DPO at α = 0 sees as many tokens of the longer response as the shorter has.
func TestLDAlphaCutsTheTail(t *testing.T) {
	pi := randomPolicy(t, small, 2)
	pairs := []policy.Pair{{Prompt: 1, Chosen: policy.Response{0, 1, 2}, Rejected: policy.Response{2}}}
	c := config(1)
	c.LDAlpha = 0
	d := New(c, pi, pi, pairs)
	d.gather([]int{0})
	path := pi.Path(nil, 1, pairs[0].Chosen)
	same(t, "log π", d.batch.Chosen[0], pi.LogP[path[0]]+pi.LogP[path[1]], 1e-15) // a word and its EOS are two
	same(t, "log π", d.batch.Rejected[0], pi.LogProb(1, pairs[0].Rejected), 1e-15)
}

// A pair of responses that the policy says exactly as often as it repeats itself,
// every row uniform, weighs 1; rarer ones weigh less.
func TestWPOWeights(t *testing.T) {
	uniform, err := policy.NewSoftmax(small, policy.Table)
	if err != nil {
		t.Fatal(err)
	}
	c := config(3)
	c.UseWeighting = true
	d := New(c, uniform, uniform.Clone(), randomPairs(uniform, 3, 1))
	d.gather([]int{0, 1, 2})
	d.baselines([]int{0, 1, 2})
	for _, w := range d.batch.Weight {
		same(t, "weight", w, 1, 1e-14)
	}
}

// KTO's exact reference point is KL(π‖π_ref) of the prompt, by enumeration; the
// estimate from mismatched pairs is not below 0 and is the same for the batch.
func TestReferencePointOfKTO(t *testing.T) {
	ref, pi := randomPolicy(t, small, 1), randomPolicy(t, small, 2)
	pairs := randomPairs(pi, 6, 2)
	all := []int{0, 1, 2, 3, 4, 5}
	c := config(6)
	c.LossType, c.KLEstimate = "kto", "exact"
	d := New(c, pi, ref, pairs)
	d.gather(all)
	d.baselines(all)
	var walk func(x policy.Prompt, y policy.Response) float64
	walk = func(x policy.Prompt, y policy.Response) float64 {
		kl := 0.0
		if l := pi.LogProb(x, y); true {
			kl = math.Exp(l) * (l - ref.LogProb(x, y))
		}
		if len(y) < small.MaxLength {
			for w := range small.Words {
				kl += walk(x, append(slices.Clone(y), policy.Token(w)))
			}
		}
		return kl
	}
	for k := range all {
		same(t, "z₀", d.batch.KL[k], walk(pairs[k].Prompt, nil), 1e-12)
	}
	c.KLEstimate = "mismatched"
	d = New(c, pi, ref, pairs)
	d.gather(all)
	d.baselines(all)
	sum := 0.0
	for k, p := range pairs {
		q := pairs[(k+1)%6]
		for _, y := range []policy.Response{q.Chosen, q.Rejected} {
			sum += pi.LogProb(p.Prompt, y) - ref.LogProb(p.Prompt, y)
		}
	}
	if sum <= 0 {
		t.Fatal("the estimate is 0 and tests nothing")
	}
	for _, z0 := range d.batch.KL {
		same(t, "ẑ₀", z0, sum/12, 1e-13)
	}
	d.loss.Of(d.batch, &d.cfg)
	same(t, "the metric kl", d.measure(all).KL, sum/12, 1e-13)
	if MismatchedKL([]float64{-3}, []float64{-1}) != 0 || MismatchedKL(nil, nil) != 0 {
		t.Error("a negative estimate")
	}
}

// δ is the mean of all rewards so far, this batch's included.
func TestRunningDelta(t *testing.T) {
	ref := randomPolicy(t, small, 1)
	c := config(4)
	c.LossType, c.NumTrainEpochs = "bco", 3
	d, r := New(c, ref.Clone(), ref, randomPairs(ref, 6, 1)), rng.New(1)
	sum, n := 0.0, 0
	for range d.Steps() {
		s := d.Step(r)
		sum += (s.RewardsChosen + s.RewardsRejected) * float64(len(d.batch.Loss))
		n += 2 * len(d.batch.Loss)
		same(t, "δ", s.Delta, sum/float64(n), 1e-13)
		if metrics(s)["delta"] != s.Delta {
			t.Error("delta is not reported")
		}
	}
	// bco_pair has no shift unless it is asked for.
	c.LossType = "bco_pair"
	if _, there := metrics(New(c, ref.Clone(), ref, randomPairs(ref, 6, 1)).Step(r))["delta"]; there {
		t.Error("bco_pair without a shift reports one")
	}
	b := randomBatch(3, 1, "shift")
	NewMixture(c, 3).Of(b, &c)
	u, v := b.LogRatios(0)
	want, _, _ := BCOPair(u, v, c.Beta, 0)
	same(t, "unshifted loss", b.Loss[0], want, 1e-15)
}

// Reversed comparisons reorder a ranking by wins.
func TestRankedByWins(t *testing.T) {
	a, b, c := policy.Response{0}, policy.Response{1}, policy.Response{2}
	r := policy.Ranking{Responses: []policy.Response{a, b, c}}
	order := func(reversed ...bool) (out []policy.Token) {
		r.Reversed = reversed // of ab, ac, bc
		for _, y := range byWins([]policy.Ranking{r})[0].responses {
			out = append(out, y[0])
		}
		return out
	}
	for _, w := range []struct{ got, want []policy.Token }{
		{order(), []policy.Token{0, 1, 2}},
		{order(true, false, false), []policy.Token{1, 0, 2}},
		{order(true, true, true), []policy.Token{2, 1, 0}},
		{order(false, true, false), []policy.Token{0, 1, 2}}, // a circle: as the rater had it
	} {
		if !slices.Equal(w.got, w.want) {
			t.Errorf("order %v, want %v", w.got, w.want)
		}
	}
}

// Without a reference the reported rewards are β log π, sums or means as in the loss.
func TestRewardsWithoutReference(t *testing.T) {
	ref, pi := randomPolicy(t, small, 1), randomPolicy(t, small, 2)
	pairs := randomPairs(ref, 1, 3)
	path := pi.Path(nil, pairs[0].Prompt, pairs[0].Chosen)
	sum := pi.LogProb(pairs[0].Prompt, pairs[0].Chosen)
	for name, want := range map[string]float64{"cpo": sum, "simpo": sum / float64(len(path)), "sigmoid": sum - ref.LogProb(pairs[0].Prompt, pairs[0].Chosen)} {
		c := config(1)
		c.LossType = name
		same(t, name, New(c, pi.Clone(), ref, pairs).Step(rng.New(1)).RewardsChosen, c.Beta*want, 1e-14)
	}
}
