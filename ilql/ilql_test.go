package ilql

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func uniform(t testing.TB, s policy.Shape) *policy.Softmax {
	t.Helper()
	pi, err := policy.NewSoftmax(s, policy.Table)
	if err != nil {
		t.Fatal(err)
	}
	return pi
}

// expectile is the τ-expectile of numbers with weights: where Σ w |τ − 1[x < v]| (x − v) = 0.
func expectile(tau float64, xs, weights []float64) float64 {
	low, high := slices.Min(xs), slices.Max(xs)
	for range 200 {
		v, slope := (low+high)/2, 0.0
		for i, x := range xs {
			if x < v {
				slope += weights[i] * (1 - tau) * (x - v)
			} else {
				slope += weights[i] * tau * (x - v)
			}
		}
		if slope > 0 {
			low = v
		} else {
			high = v
		}
	}
	return low
}

// settle trains on all data at once, ever more slowly, until nothing moves.
func settle(t *testing.T, c Config, pi, behaviour *policy.Softmax, data []Scored) *Trainer {
	t.Helper()
	c.BatchSize, c.Alpha, c.StepsForTargetQSync, c.NormalizeRewards, c.NumTrainEpochs = len(data), 1, 1, false, 6000
	tr, r := New(c, pi, behaviour, data, rng.New(1, "init")), rng.New(1)
	for range tr.Steps() {
		tr.Step(r)
		tr.cfg.ValueLearningRate *= 0.998
		tr.cfg.LearningRate *= 0.9995
	}
	return tr
}

// One decision: Q is the mean reward of a word, V the expectile of the Qs under the data,
// π_β the data's frequencies times exp(β(Q − V)), and π that times exp(b Q).
func TestOneDecision(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1}
	var data []Scored
	add := func(n int, y policy.Response, rewards ...float64) {
		for range n {
			for _, r := range rewards {
				data = append(data, Scored{Response: y, Reward: r})
			}
		}
	}
	add(1, policy.Response{0}, 2, 1)
	add(3, policy.Response{1}, -0.5)
	add(1, policy.Response{2}, 0.25)
	add(2, nil, -1) // EOS at once
	q, weights := []float64{1.5, -0.5, 0.25, -1}, []float64{2, 3, 1, 2}
	for _, tau := range []float64{0.5, 0.7, 0.95} {
		c := Default()
		c.Tau, c.CQLScale, c.AWACBeta, c.GenBeta, c.LearningRate = tau, 0, 0.8, 2, 0.01
		pi := uniform(t, s)
		tr := settle(t, c, pi, uniform(t, s), data)
		row := pi.Row(0, 0, s.Start())
		v := expectile(tau, q, weights)
		near(t, "V", tr.values.v[row/4], v, 1e-6)
		behaviour, steered := make([]float64, 4), make([]float64, 4)
		for a := range q {
			for i, h := range tr.values.heads {
				near(t, fmt.Sprintf("Q_%d(%d)", i, a), h.q[row+a], q[a], 1e-6)
			}
			behaviour[a] = weights[a] * math.Exp(0.8*(q[a]-v))
		}
		for a := range q {
			steered[a] = behaviour[a] * math.Exp(2*(q[a]-v))
		}
		for a := range q {
			near(t, "π_β", tr.behaviour.Policy.P[row+a], behaviour[a]/num.Sum(behaviour), 1e-4)
			near(t, "π", pi.P[row+a], steered[a]/num.Sum(steered), 1e-4)
		}
	}
}

// Several decisions, every prefix a state: Q and V are what the recursion
// Q(s,a) = r + γ V(s·a), V(s) = the expectile of Q under the data, gives them. At τ = ½ and
// γ = 1 that is the mean reward, and with τ the value rises towards the best in the data,
// though Q of what nobody said is never asked for.
func TestSeveralDecisions(t *testing.T) {
	s := policy.Shape{Prompts: 2, Words: 2, MaxLength: 3, Order: 3}
	r := rng.New(3)
	var data []Scored
	reward, mean, best := map[string]float64{}, 0.0, math.Inf(-1)
	for range 40 {
		y := uniform(t, s).Sample(nil, 1, r)
		if len(y) > 0 && y[0] == 0 { // a word that nobody begins with
			y[0] = 1
		}
		key := fmt.Sprint(y)
		if _, seen := reward[key]; !seen {
			reward[key] = 2*r.Float64() - 1
		}
		data = append(data, Scored{1, y, reward[key]})
		mean += reward[key] / 40
		best = max(best, reward[key])
	}
	for _, gamma := range []float64{1, 0.8} {
		last := math.Inf(-1)
		for _, tau := range []float64{0.5, 0.9, 0.99} {
			c := Default()
			c.Tau, c.Gamma, c.CQLScale, c.AWACScale, c.ValueLearningRate = tau, gamma, 0, 0, 0.03
			pi := uniform(t, s)
			tr := settle(t, c, pi, uniform(t, s), data)
			v := tr.values.v[pi.Row(0, 1, s.Start())/s.Outcomes()]
			near(t, fmt.Sprintf("V(start) at τ = %v, γ = %v", tau, gamma), v, recursion(s, data, tau, gamma, nil), 1e-4)
			if gamma == 1 && tau == 0.5 {
				near(t, "mean", v, mean, 1e-4)
			}
			if v <= last || v > best+1e-3 {
				t.Errorf("V(start) = %v at τ = %v, %v before, the best reward is %v", v, tau, last, best)
			}
			last = v
		}
	}
}

// recursion is V of a prefix by the data that begin with it.
func recursion(s policy.Shape, data []Scored, tau, gamma float64, prefix policy.Response) float64 {
	var qs, weights []float64
	for a := range policy.Token(s.Outcomes()) {
		own := prefix
		if a != s.EOS() {
			own = append(slices.Clone(prefix), a)
		}
		var rest []Scored
		for _, d := range data {
			begins := len(d.Response) >= len(own) && slices.Equal(d.Response[:len(own)], own)
			if begins && (a != s.EOS() || len(d.Response) == len(own)) {
				rest = append(rest, d)
			}
		}
		if len(rest) == 0 {
			continue
		}
		q := rest[0].Reward // at the end all are the same response
		if a != s.EOS() && len(own) < s.MaxLength {
			q = gamma * recursion(s, rest, tau, gamma, own)
		}
		qs, weights = append(qs, q), append(weights, float64(len(rest)))
	}
	return expectile(tau, qs, weights)
}

// Rewards have mean 0 and an unbiased deviation of 1 over the data.
func TestRewardsAreNormalized(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 2, MaxLength: 2, Order: 1}
	data := []Scored{{0, policy.Response{0}, 3}, {0, policy.Response{1, 1}, 5}, {0, nil, 10}}
	tr := New(Default(), uniform(t, s), uniform(t, s), data, rng.New(1))
	for i, want := range []float64{-0.8320503, -0.2773501, 1.1094004} {
		last := tr.tokens[i][len(tr.tokens[i])-1]
		near(t, "reward", last.reward, want, 1e-6)
		if last.next != -1 || len(tr.tokens[i]) > 1 && (tr.tokens[i][0].reward != 0 || tr.tokens[i][0].next != tr.tokens[i][1].row) {
			t.Errorf("response %d: %+v", i, tr.tokens[i])
		}
	}
	alone := New(Default(), uniform(t, s), uniform(t, s), data[:1], rng.New(1))
	near(t, "the only reward", alone.tokens[0][1].reward, 0, 0)
	two := New(Default(), uniform(t, s), uniform(t, s), data[:2], rng.New(1))
	near(t, "the lower of two", two.tokens[0][1].reward, -math.Sqrt(0.5), 1e-12)
	equal := New(Default(), uniform(t, s), uniform(t, s), []Scored{data[0], data[0]}, rng.New(1))
	near(t, "one of equal rewards", equal.tokens[0][1].reward, 0, 0)
}

// Targets move by α every so many steps and not between; without AWAC π_β stays.
func TestTargetsFollow(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 2, MaxLength: 2, Order: 1}
	c := Default()
	c.Alpha, c.StepsForTargetQSync, c.AWACScale = 0.25, 3, 0
	behaviour := uniform(t, s)
	tr, r := New(c, uniform(t, s), behaviour, []Scored{{0, policy.Response{0}, 3}, {0, policy.Response{1, 1}, 5}}, rng.New(1)), rng.New(1)
	for step := 1; step <= 6; step++ {
		before := slices.Clone(tr.values.heads[1].target)
		tr.Step(r)
		for i, h := range tr.values.heads[1].target {
			want := before[i]
			if step%3 == 0 {
				want = 0.25*tr.values.heads[1].q[i] + 0.75*before[i]
			}
			near(t, "target", h, want, 1e-15)
		}
	}
	if !slices.Equal(tr.behaviour.Policy.LogP, behaviour.LogP) {
		t.Error("π_β has moved")
	}
}

// A step measures all of its batch and nothing else; an epoch's last batch may be smaller.
func TestStepMeasuresItsBatch(t *testing.T) {
	tr, r := someTrainer(t, 40), rng.New(2)
	if tr.cfg.NumTrainEpochs = 3; tr.Steps() != 3 {
		t.Errorf("%d steps", tr.Steps())
	}
	var all []token
	for _, of := range tr.tokens {
		all = append(all, of...)
	}
	v := tr.values
	for range 3 {
		want := v.loss(all, tr.behaviour.Policy.LogP, make([]float64, len(v.heads[0].g)), &tr.cfg)
		clear(v.gv)
		for _, h := range v.heads {
			clear(h.g)
		}
		got := tr.Step(r)
		for _, m := range [][2]float64{{got.Loss, want.Loss}, {got.LossV, want.LossV}, {got.Values.Mean, want.Values.Mean}, {got.QValues[1].Std, want.QValues[1].Std}, {got.QValues[0].Min, want.QValues[0].Min}} {
			near(t, "metric", m[0], m[1], 1e-12)
		}
	}
	tr.cfg.BatchSize, tr.batches = 16, policy.NewBatches(40, 16)
	if tr.Steps() != 9 {
		t.Errorf("%d steps of 16, 16 and 8", tr.Steps())
	}
}

// Metrics by hand, under trlX's names; those of the second head only where there is one.
func TestMetrics(t *testing.T) {
	s := Stats{Loss: 1, LossQ: 2, LossV: 3, LossCQL: 4, LossAWAC: 5, Values: summary([]float64{1, 4, 4}),
		QValues: [2]Summary{{6, 7, 8, 9}, {10, 11, 12, 13}}, AWACWeight: Summary{14, 15, 16, 17}, twoQs: true}
	want := []string{"losses/loss 1", "losses/loss_q 2", "losses/loss_v 3", "losses/loss_cql 4", "losses/loss_awac 5",
		"values/mean 3", "values/min 1", "values/max 4", "values/std 1.414",
		"qvalues/0/mean 6", "qvalues/0/min 7", "qvalues/0/max 8", "qvalues/0/std 9",
		"qvalues/1/mean 10", "qvalues/1/min 11", "qvalues/1/max 12", "qvalues/1/std 13",
		"awac_weight/mean 14", "awac_weight/min 15", "awac_weight/max 16", "awac_weight/std 17"}
	said := func() (lines, second []string) {
		for name, v := range s.All() {
			lines = append(lines, fmt.Sprintf("%s %.4g", name, v))
			if strings.HasPrefix(name, "qvalues/1/") {
				second = append(second, name)
			}
		}
		return lines, second
	}
	lines, second := said()
	if !slices.Equal(lines, want) || !slices.Equal(second, Config{TwoQs: true}.OwnMetrics()) {
		t.Errorf("%q", lines)
	}
	c := Default()
	c.TwoQs = false
	alone := New(c, uniform(t, policy.Shape{Prompts: 1, Words: 2, MaxLength: 2, Order: 1}), uniform(t, policy.Shape{Prompts: 1, Words: 2, MaxLength: 2, Order: 1}), []Scored{{Reward: 1}}, rng.New(1))
	s = alone.Step(rng.New(1))
	if lines, second := said(); len(lines) != 17 || second != nil || c.OwnMetrics() != nil {
		t.Errorf("of one head: %q", lines)
	}
}

// No gradient is clipped: Adam takes the same steps whatever the scale of the likelihood.
func TestLikelihoodIsNotClipped(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 2, MaxLength: 2, Order: 1}
	learned := func(scale float64) []float64 {
		c := Default()
		c.AWACScale, c.LearningRate = scale, 0.1
		tr, r := New(c, uniform(t, s), uniform(t, s), []Scored{{0, policy.Response{0}, 3}}, rng.New(1)), rng.New(1)
		for range 10 {
			tr.Step(r)
		}
		return tr.behaviour.Policy.Logits
	}
	large := learned(1000)
	for i, z := range learned(1) {
		near(t, "logit of π_β", large[i], z, 1e-5)
	}
}

// Gradients are finite differences, of every batch and not only of the first; those of V
// are of L_V, all else being fixed.
func TestGradients(t *testing.T) {
	tr, r := someTrainer(t, 40), rng.New(2)
	tr.cfg.BatchSize, tr.batches = 7, policy.NewBatches(40, 7)
	v, g := tr.values, tr.behaviour.G
	for range 3 {
		tr.Step(r)
	}
	tr.batch = append(append(tr.batch[:0], tr.tokens[3]...), tr.tokens[11]...)
	loss := func() Stats { return v.loss(tr.batch, tr.behaviour.Policy.LogP, g, &tr.cfg) }
	loss()
	gq, gv := slices.Clone(v.heads[1].g), slices.Clone(v.gv)
	difference := func(x *float64, of func(Stats) float64) float64 {
		const h = 1e-5
		was := *x
		*x = was + h
		up := of(loss())
		*x = was - h
		down := of(loss())
		*x = was
		return (up - down) / (2 * h)
	}
	nonzero := 0
	for row := range v.v {
		near(t, fmt.Sprintf("∂L/∂V(%d)", row), gv[row], difference(&v.v[row], func(s Stats) float64 { return s.LossV }), 1e-8)
		cell := row*v.outcomes + row%v.outcomes
		near(t, fmt.Sprintf("∂L/∂Q(%d)", cell), gq[cell], difference(&v.heads[1].q[cell], func(s Stats) float64 { return s.Loss }), 1e-8)
		if gv[row] != 0 && gq[cell] != 0 {
			nonzero++
		}
	}
	if nonzero < 2 {
		t.Errorf("%d rows", nonzero)
	}
}

// Two heads that begin apart are learned apart, and the lower of their targets counts.
func TestTwoHeads(t *testing.T) {
	v := newValues(2, 3, 2, 8)
	v.randomise(0.5, rng.New(1))
	for cell := range int32(6) {
		a, b := v.heads[0].target[cell], v.heads[1].target[cell]
		if a == b || !(math.Abs(a) <= 0.5) || a != v.heads[0].q[cell] {
			t.Errorf("entries %v and %v", a, b)
		}
		near(t, "the lower", v.pessimistic(cell), math.Min(a, b), 0)
	}
}

// Entries begin evenly in ± the limit.
func TestHeadsBeginEvenly(t *testing.T) {
	v := newValues(1, 1000, 5, 0)
	v.randomise(0.5, rng.New(1))
	s := summary(v.heads[0].q)
	near(t, "mean", s.Mean, 0, 4*0.5/math.Sqrt(3*5000))
	near(t, "deviation", s.Std, 0.5/math.Sqrt(3), 0.01)
	if s.Min < -0.5 || s.Min > -0.49 || s.Max > 0.5 || s.Max < 0.49 {
		t.Errorf("%+v", s)
	}
}

// Two tokens by hand, the second in row 0: Q of the first is to be 0.1 + 0.9 · 0.5, of the
// second its reward of 2.
func TestLossByHand(t *testing.T) {
	v := newValues(1, 2, 2, 2)
	v.v = []float64{0.5, 0.25}
	v.heads[0].q, v.heads[0].target = []float64{1, 0, 1, 0}, []float64{0, 0, 1.25, 0}
	c := Config{Gamma: 0.9, Tau: 0.7, CQLScale: 10, AWACScale: 100, AWACBeta: 2}
	logp := []float64{-1, -1, -3, -1}
	s := v.loss([]token{{cell: 2, row: 1, next: 0, reward: 0.1}, {cell: 0, row: 0, next: -1, reward: 2}}, logp, make([]float64, 4), &c)
	near(t, "L_Q", s.LossQ, (0.45*0.45+1)/2, 1e-15)
	near(t, "L_V", s.LossV, (0.7+0.3*0.25)/2, 1e-15)
	near(t, "L_CQL", s.LossCQL, math.Log1p(math.Exp(-1)), 1e-15)
	near(t, "L_AWAC", s.LossAWAC, (3*math.Exp(2)+math.Exp(-1))/2, 1e-14)
	near(t, "L", s.Loss, s.LossQ+s.LossV+10*s.LossCQL+100*s.LossAWAC, 1e-12)
	one := v.loss([]token{{cell: 0, row: 0, next: -1, reward: 2}}, logp, make([]float64, 4), &c)
	near(t, "L_Q of one token", one.LossQ, 1, 0)
}

func TestValidateAndUnused(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{NumTrainEpochs: -1, Gamma: 2, InitRange: -1, CQLScale: -1, AWACScale: -1, AWACBeta: -1, GenBeta: -1}
	if n := len(field.All(bad.Validate())); n != 13 {
		t.Errorf("%d problems: %v", n, bad.Validate())
	}
	for _, tau := range []float64{0, 1, math.NaN()} {
		c := Default()
		c.Tau = tau
		if c.Validate() == nil {
			t.Errorf("τ = %v passes", tau)
		}
	}
	c := Default()
	if c.NumTrainEpochs, c.BatchSize = 0, 1; c.Validate() != nil {
		t.Error(c.Validate())
	}
	c.AWACScale, c.InitRange = 0, 0
	for name, unused := range map[string]bool{"awac_beta": true, "learning_rate": true, "two_qs": true, "tau": false} {
		if (c.Unused(name) != "") != unused || Default().Unused(name) != "" {
			t.Errorf("%s: %q, %q", name, c.Unused(name), Default().Unused(name))
		}
	}
}

func someTrainer(t testing.TB, responses int) *Trainer {
	s := policy.Shape{Prompts: 8, Words: 24, MaxLength: 6, Order: 1}
	pi, r := uniform(t, s), rng.New(1, "data")
	var data []Scored
	for i := range responses {
		x := policy.Prompt(i % 8)
		data = append(data, Scored{x, pi.Sample(nil, x, r), r.Float64()})
	}
	return New(Default(), pi, uniform(t, s), data, rng.New(1))
}

func TestStepAllocatesNothing(t *testing.T) {
	tr, r := someTrainer(t, 1600), rng.New(1)
	if n := testing.AllocsPerRun(20, func() { tr.Step(r) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
	names := 0
	for range tr.Step(r).All() {
		names++
	}
	for range tr.Step(r).All() {
		break // stopping early must be possible
	}
	if names != 21 {
		t.Errorf("%d metrics", names)
	}
}

func BenchmarkStep(b *testing.B) {
	tr, r := someTrainer(b, 1600), rng.New(1)
	b.ReportAllocs()
	for b.Loop() {
		tr.Step(r)
	}
}
