package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// movedPast is a Trainer with scores behind EOS, after some steps, and a fresh batch.
func movedPast(t *testing.T, change func(c *Config)) (tr *Trainer, s Stats) {
	t.Helper()
	c := smallConfig()
	c.ScorePosition, c.LearningRate, c.ValueLearningRate, c.KLCoef, c.Lam = "after_eos", 0.05, 0.1, 0.3, 0.7
	if change != nil {
		change(&c)
	}
	ref := randomPolicy(t, small, 1)
	tr = New(c, ref.Clone(), ref, byPrompt{}, half)
	r := rng.New(1)
	for range 5 {
		tr.Step(r)
	}
	tr.collect(&tr.scale, r, &s)
	return tr, s
}

// The layout of TRL's PPOTrainer: padded rows of rewards and values, in which the
// position behind EOS has the score and a value, GAE over all of them, and means over
// tokens and these positions for what is whitened and for the value loss.
func TestScoreBehindEOS(t *testing.T) {
	for _, whiten := range []bool{false, true} {
		tr, s := movedPast(t, func(c *Config) { c.WhitenRewards, c.Gamma = whiten, 0.9 })
		b, p := tr.rollout, tr.rollout.past
		var reward [][]float64
		var all []float64
		cut, behindEOS, total := 0, 0, 0.0
		for e, y := range b.response {
			from, to := b.start[e], b.start[e+1]
			total += b.total[e]
			var row []float64
			for j := from; j < to; j++ {
				row = append(row, -0.3*(b.old[j]-b.ref[j]))
			}
			if n := int(to - from); n > len(y) && n < small.MaxLength {
				row = append(row, tr.reward.Score(b.prompt[e], y))
				behindEOS++
			} else {
				row[n-1] += tr.reward.Score(b.prompt[e], y)
				cut++
			}
			reward, all = append(reward, row), append(all, row...)
		}
		if cut == 0 || behindEOS == 0 {
			t.Fatalf("%d with and %d without a position behind EOS", behindEOS, cut)
		}
		near(t, "objective/scores", s.Scores, total/float64(len(b.response)), 1e-15)
		near(t, "objective/rlhf_reward", s.RLHFReward, num.Sum(all)/float64(len(b.response)), 1e-12)
		mean, variance := moments(all)
		if whiten {
			b.whitenRewards(false)
			for _, row := range reward {
				for i := range row {
					row[i] = (row[i]-mean)/math.Sqrt(variance+1e-8) + mean
				}
			}
		}
		b.advantages(tr.value, 0.9, 0.7, &s)
		n, loss := float64(len(all)), 0.0
		for e, row := range reward {
			from := b.start[e]
			own := make([]float64, len(row))
			for i := range own {
				if own[i] = 0; from+int32(i) < b.start[e+1] {
					own[i] = tr.value.v[b.state[from+int32(i)]]
				} else { // a state of its own: the same prompt, last words and next position
					last := b.state[b.start[e+1]-1]
					own[i] = tr.value.v[int32(small.MaxLength*tr.ref.Rows()+tr.ref.Rows())+last]
				}
			}
			gae := 0.0
			for i := len(row) - 1; i >= 0; i-- {
				next := 0.0
				if i+1 < len(row) {
					next = own[i+1]
				}
				gae = row[i] + 0.9*next - own[i] + 0.9*0.7*gae
				if j := from + int32(i); j < b.start[e+1] {
					near(t, "Â", b.advantage[j], gae, 1e-12)
				} else {
					near(t, "return behind EOS", p.returns[e], gae+own[i], 1e-12)
				}
				loss += 0.5 * gae * gae / n // before the update V is what it was
			}
		}
		var got Stats
		tr.backward(tr.order, &got)
		near(t, "loss/value_avg", got.ValueLoss, loss, 1e-12)
	}
}

// By hand: of 1, 3 and 5 the mean is 3 and the variance 4, or over N 8/3; an episode
// without the position has no part in it.
func TestRewardsBehindEOSAreWhitenedToo(t *testing.T) {
	for biased, sigma := range map[bool]float64{false: math.Sqrt(4 + 1e-8), true: math.Sqrt(8. / 3)} {
		tokens, p := []float64{1, 3}, newPast(2, 1)
		p.state, p.reward = []int32{-1, 0}, []float64{99, 5}
		near(t, "σ", p.whiten(tokens, biased), sigma, 1e-12)
		for i, got := range []float64{tokens[0], tokens[1], p.reward[1]} {
			near(t, "whitened", got, (float64(2*i-2))/sigma+3, 1e-12)
		}
		if p.reward[0] != 99 {
			t.Errorf("%v", p.reward)
		}
	}
}

// The gradient of the value loss against differences, for every state.
func TestGradientBehindEOS(t *testing.T) {
	tr, s := movedPast(t, func(c *Config) { c.VFCoef = 0.5 })
	b, p := tr.rollout, tr.rollout.past
	b.advantages(tr.value, tr.cfg.Gamma, tr.cfg.Lam, &s)
	for i := range tr.value.v {
		tr.value.v[i] += 0.3 * math.Sin(float64(7*i)) // some within the clip, some beyond
	}
	episodes := tr.order[:20]
	clipped := 0.0
	loss := func() float64 {
		sum, n, cut := 0.0, 0.0, 0.0
		add := func(now, old, target float64) {
			near := min(max(now, old-tr.cfg.CliprangeValue), old+tr.cfg.CliprangeValue)
			sum += 0.5 * max(math.Pow(now-target, 2), math.Pow(near-target, 2))
			if !(math.Abs(near-target) <= math.Abs(now-target)) {
				cut++
			}
			n++
		}
		for _, e := range episodes {
			for j := b.start[e]; j < b.start[e+1]; j++ {
				add(tr.value.v[b.state[j]], b.value[j], b.returns[j])
			}
			if p.state[e] >= 0 {
				add(tr.value.v[p.state[e]], p.value[e], p.returns[e])
			}
		}
		clipped = cut / n
		return 0.5 * sum / n
	}
	var got Stats
	tr.backward(episodes, &got)
	near(t, "loss", 0.5*got.ValueLoss, loss(), 1e-12)
	near(t, "val/clipfrac_avg", got.ValueClipFrac, clipped, 1e-12)
	moved := 0
	for i := range tr.value.v {
		const h = 1e-6
		v := tr.value.v[i]
		tr.value.v[i] = v + h
		up := loss()
		tr.value.v[i] = v - h
		down := loss()
		tr.value.v[i] = v
		near(t, "∂L/∂V", tr.value.g[i], (up-down)/(2*h), 1e-8)
		if i >= states(small) && tr.value.g[i] != 0 {
			moved++
		}
	}
	if moved == 0 || clipped == 0 {
		t.Errorf("%d states behind an EOS have a gradient, %v clipped", moved, clipped)
	}
}

// Where γ = λ = 1 it does not matter where the score stands: V behind EOS drops out.
func TestWhereTheScoreStandsMattersForLambdaBelow1Only(t *testing.T) {
	for lam, same := range map[float64]bool{1: true, 0.95: false} {
		tr, s := movedPast(t, func(c *Config) { c.Lam = lam })
		b := tr.rollout
		b.advantages(tr.value, 1, lam, &s)
		behindEOS := slices.Clone(b.advantage)
		for e := range b.response {
			if b.past.has(e) {
				b.reward[b.start[e+1]-1] += b.past.reward[e]
			}
		}
		b.past = nil
		b.advantages(tr.value, 1, lam, &s)
		worst := 0.0
		for j, a := range b.advantage {
			worst = max(worst, math.Abs(a-behindEOS[j]))
		}
		if (worst < 1e-12) != same {
			t.Errorf("λ = %v: advantages differ by %v", lam, worst)
		}
	}
}

// The value head starts behind EOS, too, from the scores of the responses that end there.
func TestInitValueBehindEOS(t *testing.T) {
	c := smallConfig()
	c.ScorePosition, c.InitValueWithReward = "after_eos", true
	ref := randomPolicy(t, small, 1)
	tr := New(c, ref.Clone(), ref, words{1, -0.5, 0.2}, half)
	tr.InitValueWithReward(rng.New(1))
	start := ref.Row(0, 0, ref.Start()) / ref.Outcomes()
	near(t, "V behind the empty response", tr.value.v[behind(small, start)], 0, 1e-15)
	for w := range small.Words { // one word and EOS: the context is the word
		at := ref.Rows() + ref.Row(1, 0, ref.Next(ref.Start(), policy.Token(w)))/ref.Outcomes()
		near(t, "V behind one word", tr.value.v[behind(small, at)], words{1, -0.5, 0.2}[w], 1e-12)
	}
}
