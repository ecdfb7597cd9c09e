package ppo

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

func online(change func(*OnlineConfig)) OnlineConfig {
	c := DefaultOnline()
	c.BatchSize, c.TotalEpisodes, c.LRSchedulerType = 32, 3200, "constant"
	if change != nil {
		change(&c)
	}
	return c
}

// Online DPO and IPO with a decided judge are TRL's pair losses.
func TestGoldenOnlineLosses(t *testing.T) {
	t.Run("dpo_sigmoid.json", func(t *testing.T) {
		var g struct {
			Cases []struct {
				Chosen      []float64 `json:"policy_chosen_logps"`
				Rejected    []float64 `json:"policy_rejected_logps"`
				RefChosen   []float64 `json:"ref_chosen_logps"`
				RefRejected []float64 `json:"ref_rejected_logps"`
			}
			Results []struct {
				Case           int
				Beta           float64
				LabelSmoothing float64   `json:"label_smoothing"`
				Loss           []float64 `json:"per_sequence_loss"`
				Grad           []float64 `json:"grad_policy_chosen_logps"`
			}
		}
		readGolden(t, "dpo_sigmoid.json", &g)
		for _, r := range g.Results {
			in := g.Cases[r.Case]
			c := online(func(c *OnlineConfig) { c.Beta = r.Beta })
			for i, want := range r.Loss {
				// Either response may be the first.
				for _, first := range []float64{1, 0} {
					d := Duel{LogP: [2]float64{in.Chosen[i], in.Rejected[i]}, Ref: [2]float64{in.RefChosen[i], in.RefRejected[i]}, P: first}
					k := 0
					if first == 0 {
						d.LogP[0], d.LogP[1], d.Ref[0], d.Ref[1] = d.LogP[1], d.LogP[0], d.Ref[1], d.Ref[0]
						k = 1
					}
					loss, slope := onlineSigmoid(&d, &c)
					near(t, "loss", loss, want, 1e-12)
					near(t, "∂L/∂log π", slope[k]/float64(len(r.Loss)), r.Grad[i], 1e-12)
				}
			}
		}
	})
}

// Slopes of the losses that are functions of log π.
func TestOnlineSlopes(t *testing.T) {
	for _, l := range OnlineLosses {
		if l.Name == "nash_md" {
			continue // holds its advantage fixed
		}
		for _, p := range []float64{0, 0.3, 1} {
			c := online(func(c *OnlineConfig) { c.Beta, c.Alpha = 0.7, 0.2 })
			d := Duel{LogP: [2]float64{-3, -2.2}, Ref: [2]float64{-2.5, -2.9}, Old: [2]float64{-2.8, -2.4}, P: p}
			_, slope := l.Of(&d, &c)
			for k := range 2 {
				const h = 1e-6
				up, down := d, d
				up.LogP[k], down.LogP[k] = d.LogP[k]+h, d.LogP[k]-h
				a, _ := l.Of(&up, &c)
				b, _ := l.Of(&down, &c)
				near(t, l.Name+": slope", slope[k], (a-b)/(2*h), 1e-8)
			}
		}
	}
}

// The values of the losses, written out.
func TestOnlineLossValues(t *testing.T) {
	c := online(func(c *OnlineConfig) { c.Beta, c.Alpha = 0.7, 0.2 })
	d := Duel{LogP: [2]float64{-3, -2.2}, Ref: [2]float64{-2.5, -2.9}, Old: [2]float64{-2.8, -2.4}, P: 0.3}
	h, lsg := (-3+2.5)-(-2.2+2.9), func(x float64) float64 { return -math.Log(1 + math.Exp(-x)) }
	dpo := -0.3*lsg(0.7*h) - 0.7*lsg(-0.7*h)
	advantage := 0.3 - 0.5 - 0.7*(-3+2.5)
	for name, want := range map[string]float64{
		"sigmoid": dpo, "xpo": dpo + 0.2*-2.2, "ipo": 0.3*math.Pow(h-1/1.4, 2) + 0.7*math.Pow(h+1/1.4, 2), "nash_md": advantage * 3,
		"sppo": 0.5*math.Pow(-3+2.8-(0.3-0.5)/0.7, 2) + 0.5*math.Pow(-2.2+2.4-(0.7-0.5)/0.7, 2),
	} {
		l, _ := onlineLoss(name)
		loss, slope := l.Of(&d, &c)
		near(t, name, loss, want, 1e-12)
		if name == "nash_md" {
			near(t, name+": slope", slope[0], -advantage, 1e-12)
		}
	}
}

// Who writes the second response, seen by a reference that says nothing.
func TestRivals(t *testing.T) {
	silent := randomPolicy(t, small, 1)
	z := make([]float64, small.Cells())
	for i := small.Words; i < len(z); i += small.Outcomes() {
		z[i] = 50
	}
	must(silent.SetLogits(z))
	for loss, want := range map[string]bool{"sigmoid": false, "ipo": false, "sppo": false, "xpo": true, "nash_md": true} {
		tr := NewOnline(online(func(c *OnlineConfig) { c.LossType, c.MixtureCoef = loss, 1 }), randomPolicy(t, small, 2), silent, byPrompt{}, half)
		tr.Step(rng.New(1))
		first, second := 0, 0
		for i := 0; i < 32; i += 2 {
			first, second = first+len(tr.rollout.response[i]), second+len(tr.rollout.response[i+1])
		}
		if first == 0 || (second == 0) != want {
			t.Errorf("%s: %d words in first responses, %d in second", loss, first, second)
		}
	}
}

// Updates on one batch: the loss and the norm are means over them.
func TestOnlineIterations(t *testing.T) {
	ref, pi := randomPolicy(t, small, 7), randomPolicy(t, small, 8)
	c := online(func(c *OnlineConfig) { c.NumIterations = 3 })
	s := NewOnline(c, pi.Clone(), ref, byPrompt{}, half).Step(rng.New(1))
	tr := NewOnline(c, pi.Clone(), ref, byPrompt{}, half)
	var other OnlineStats
	tr.sample(rng.New(1), &other)
	loss, norm := 0.0, 0.0
	for range 3 {
		loss += tr.backward(&other, false) / 3
		norm += tr.policy.Update(c.LearningRate) / 3
	}
	near(t, "loss", s.Loss, loss, 1e-12)
	near(t, "grad_norm", s.GradNorm, norm, 1e-12)
	near(t, "episode", s.Episode, 32, 0)
	c.NumIterations = 1
	once := NewOnline(c, pi.Clone(), ref, byPrompt{}, half).Step(rng.New(1)) // all else is measured before the first
	once.Loss, once.GradNorm = s.Loss, s.GradNorm
	if fmt.Sprint(s) != fmt.Sprint(once) {
		t.Errorf("three updates: %+v, one: %+v", s, once)
	}
}

// SPPO compares with the policy that sampled: on the first update the log-ratios are 0,
// and the loss is ½ Σ_i ((P_i − ½)/β)², whatever the policy.
func TestSPPOAgainstTheSampler(t *testing.T) {
	ref, pi := randomPolicy(t, small, 7), randomPolicy(t, small, 8)
	tr := NewOnline(online(func(c *OnlineConfig) { c.LossType, c.Judge, c.Beta = "sppo", "probability", 0.5 }), pi, ref, byPrompt{}, half)
	s, want := tr.Step(rng.New(1)), 0.0
	for _, p := range tr.preferred {
		want += 4 * (p - 0.5) * (p - 0.5) / 16
	}
	near(t, "loss", s.Loss, want, 1e-12)
}

// A field is unused exactly where another value of it leaves the policy as it was.
func TestUnusedOnlineFieldsChangeNothing(t *testing.T) {
	run := func(c OnlineConfig) []float64 {
		ref := randomPolicy(t, small, 1)
		tr, r := NewOnline(c, randomPolicy(t, small, 2), ref, byPrompt{}, half), rng.New(1)
		tr.Step(r)
		tr.Step(r)
		return tr.policy.Policy.Logits
	}
	for _, l := range OnlineLosses {
		c := online(func(c *OnlineConfig) { c.LossType = l.Name })
		before := run(c)
		for name, change := range map[string]func(*OnlineConfig){
			"alpha":        func(c *OnlineConfig) { c.Alpha = 0.5 },
			"mixture_coef": func(c *OnlineConfig) { c.MixtureCoef = 1 },
			"reference":    func(c *OnlineConfig) { c.Reference = "round" },
		} {
			if l.Name == "nash_md" && name == "reference" {
				continue // refused: its reference is the game's, not a round's
			}
			other := c
			change(&other)
			if changed := !slices.Equal(before, run(other)); changed != (c.Unused(name) == "") {
				t.Errorf("%s: another %s changes something: %v; unused: %q", l.Name, name, changed, c.Unused(name))
			}
		}
	}
	c := online(func(c *OnlineConfig) { c.LossType = "sppo" })
	if why := c.Unused("reference"); why != `loss_type = "sppo" does not use it; "sigmoid", "ipo", "xpo" would` {
		t.Error(why)
	}
}

// Each metric has its own name, and whoever reads them may stop after any.
func TestNamesOfMetrics(t *testing.T) {
	numbered := func(fields ...*float64) {
		for k, f := range fields {
			*f = math.Ldexp(1, k)
		}
	}
	var o OnlineStats
	numbered(&o.Loss, &o.KL, &o.Entropy, &o.Scores, &o.ScoresMargin, &o.RewardsChosen, &o.RewardsRejected, &o.Accuracy,
		&o.LogpsChosen, &o.LogpsRejected, &o.EOS, &o.Beta, &o.GradNorm, &o.LearningRate, &o.Episode)
	o.metrics, o.own = xpoMetrics, [4]float64{-1, -2, -3, -4}
	var g GroupStats
	numbered(&g.Loss, &g.Reward, &g.RewardStd, &g.FracZeroStd, &g.PassRate, &g.KL, &g.SequenceKL, &g.Entropy, &g.EntropyCoef, &g.ClipLowMean, &g.ClipLowMin,
		&g.ClipHighMean, &g.ClipHighMax, &g.MeanLength, &g.MinLength, &g.MaxLength, &g.ClippedRatio, &g.MeanTerminated, &g.MinTerminated, &g.MaxTerminatedLength,
		&g.GradNorm, &g.LearningRate, &g.Episode)
	for _, c := range []struct {
		all  iter.Seq2[string, float64]
		want string
	}{
		{o.All(), "loss 1, objective/kl 2, objective/entropy 4, objective/scores 8, objective/scores_margin 16, rewards/chosen 32, rewards/rejected 64, rewards/margins -32, " +
			"rewards/accuracies 128, logps/chosen 256, logps/rejected 512, val/contain_eos_token 1024, beta 2048, grad_norm 4096, learning_rate 8192, episode 16384, " +
			"loss/dpo -1, loss/xpo -2, objective/model_scores -3, objective/ref_scores -4, "},
		{g.All(), "loss 1, reward 2, reward_std 4, frac_reward_zero_std 8, dynamic_filtering_pass_rate 16, kl 32, objective/kl 64, entropy 128, entropy_coef 256, " +
			"clip_ratio/low_mean 512, clip_ratio/low_min 1024, clip_ratio/high_mean 2048, clip_ratio/high_max 4096, clip_ratio/region_mean 2560, completions/mean_length 8192, " +
			"completions/min_length 16384, completions/max_length 32768, completions/clipped_ratio 65536, completions/mean_terminated_length 131072, " +
			"completions/min_terminated_length 262144, completions/max_terminated_length 524288, grad_norm 1048576, learning_rate 2097152, episode 4194304, "},
	} {
		got, n := "", 0
		for name, v := range c.all {
			got += fmt.Sprintf("%s %.0f, ", name, v)
			n++
		}
		if got != c.want {
			t.Errorf("%s\nwant\n%s", got, c.want)
		}
		for stop := range n {
			k := 0
			for range c.all {
				if k++; k > stop { // going on after this would panic
					break
				}
			}
		}
	}
}

// At π* ∝ π_ref exp(r/β) a judge who follows Bradley-Terry leaves online DPO
// nothing to learn, pair by pair: h β = r_1 − r_2 (Rafailov et al. 2023, section 4).
func TestOnlineDPOStopsAtTheOptimum(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 1, Order: 1}
	ref, reward, c := randomPolicy(t, s, 1), words{1, 0.2, -0.7}, online(func(c *OnlineConfig) { c.Beta, c.Judge = 0.4, "probability" })
	z := slices.Clone(ref.LogP)
	for w, r := range reward {
		z[ref.Row(0, 0, ref.Start())+w] += r / c.Beta
	}
	best := ref.Clone()
	if err := best.SetLogits(z); err != nil {
		t.Fatal(err)
	}
	tr := NewOnline(c, best, ref, reward, []float64{1})
	for range 20 {
		if s := tr.Step(rng.New(1)); s.GradNorm > 1e-12 {
			t.Fatalf("a gradient of norm %v at the optimum", s.GradNorm)
		}
	}
}

// Nash-MD's expected gradient, by enumeration of both responses, is that of
// P(π ≻ rival) − β KL(π‖π_ref) with the rival as it is.
func TestNashMDGradient(t *testing.T) {
	ref, pi := randomPolicy(t, tiny, 1), randomPolicy(t, tiny, 2)
	c := online(func(c *OnlineConfig) {
		c.BatchSize, c.Beta, c.LossType, c.Judge, c.MixtureCoef = 2, 0.4, "nash_md", "probability", 0.3
	})
	tr := NewOnline(c, pi, ref, tinyReward, unequal)
	tr.sync()
	rival := *tr.rival.Clone()
	for i, l := range rival.LogP { // rows ∝ π^0.7 π_ref^0.3
		at := i / pi.Outcomes() * pi.Outcomes()
		if d := l - rival.LogP[at] - 0.7*(pi.LogP[i]-pi.LogP[at]) - 0.3*(ref.LogP[i]-ref.LogP[at]); !(math.Abs(d) <= 1e-12) {
			t.Fatalf("the mixture is off by %v", d)
		}
	}
	all := everyResponse(tiny)
	utility := func() (sum float64) {
		for x, weight := range unequal {
			x := policy.Prompt(x)
			for _, y := range all {
				p := weight * math.Exp(pi.LogProb(x, y))
				sum -= p * 0.4 * (pi.LogProb(x, y) - ref.LogProb(x, y))
				for _, z := range all {
					sum += p * math.Exp(rival.LogProb(x, z)) * num.Sigmoid(tinyReward.Score(x, y)-tinyReward.Score(x, z))
				}
			}
		}
		return sum
	}
	got := make([]float64, pi.Cells())
	for x, weight := range unequal {
		x := policy.Prompt(x)
		for _, y := range all {
			for _, z := range all {
				p := weight * math.Exp(pi.LogProb(x, y)+rival.LogProb(x, z))
				holder := &GroupTrainer{rollout: tr.rollout, policy: tr.policy, ref: ref, reward: tinyReward}
				put(holder, x, y, z)
				tr.preferred[0] = num.Sigmoid(tinyReward.Score(x, y) - tinyReward.Score(x, z))
				var s OnlineStats
				tr.backward(&s, false)
				pi.LogitGradient(tr.policy.G)
				num.Axpy(got, -p, tr.policy.G)
				clear(tr.policy.G)
			}
		}
	}
	z := slices.Clone(pi.Logits)
	const h = 1e-5
	for i := range z {
		at := func(v float64) float64 {
			moved := slices.Clone(z)
			moved[i] = v
			must(pi.SetLogits(moved))
			return utility()
		}
		near(t, "∂U/∂z", got[i], (at(z[i]+h)-at(z[i]-h))/(2*h), 1e-8)
	}
}

// What every online method must do.
func TestOnlineMethods(t *testing.T) {
	for _, m := range OnlineMethods {
		t.Run(m.Name, func(t *testing.T) {
			if err := m.Defaults.Validate(); err != nil || m.Idea == "" || m.Paper == "" {
				t.Errorf("%v, %+v", err, m)
			}
			run := func(seed uint64) (float64, *policy.Softmax) {
				c := m.Defaults
				c.BatchSize, c.TotalEpisodes, c.Beta = 64, 64*80, 0.3
				ref := randomPolicy(t, small, 3)
				frozen := slices.Clone(ref.LogP)
				pi := ref.Clone()
				tr, r := NewOnline(c, pi, ref, words{1, 0, -1}, half), rng.New(seed)
				e, add := policy.NewEvaluator(small, half), additive(words{1, 0, -1}, small)
				before := e.Expect(&pi.Chain, &ref.Chain, &add).Reward
				for range tr.Steps() {
					tr.Step(r)
				}
				if !slices.Equal(frozen, ref.LogP) {
					t.Error("the reference changed")
				}
				return e.Expect(&pi.Chain, &ref.Chain, &add).Reward - before, pi
			}
			gained, a := run(1)
			if !(gained >= 0.2) {
				t.Errorf("the reward rose by %v", gained)
			}
			_, b := run(1)
			_, other := run(2)
			if !slices.Equal(a.Logits, b.Logits) || slices.Equal(a.Logits, other.Logits) {
				t.Error("the seed does not decide the result")
			}
		})
	}
}

// The sampling policy is renewed every sync_params_every steps and not between.
func TestSyncParamsEvery(t *testing.T) {
	ref := randomPolicy(t, small, 3)
	tr, r := NewOnline(online(func(c *OnlineConfig) { c.SyncParamsEvery = 3 }), ref.Clone(), ref, words{1, 0, -1}, half), rng.New(1)
	var seen []string
	for range 7 {
		tr.Step(r)
		seen = append(seen, fmt.Sprint(tr.source.LogP[:4]))
	}
	for step, s := range seen {
		if same := step > 0 && s == seen[step-1]; same == (step%3 == 0) {
			t.Errorf("step %d: the sampling policy is the one before: %v", step, same)
		}
	}
}

// Between two renewals both responses are the sampling policy's, whatever the policy
// has become; the reference is the SFT policy or, by rounds, what the round began with.
func TestWhoWritesAndWhoIsCompared(t *testing.T) {
	for _, reference := range references {
		ref := randomPolicy(t, small, 3)
		tr, r := NewOnline(online(func(c *OnlineConfig) { c.SyncParamsEvery, c.Reference, c.LearningRate = 3, reference, 1 }), ref.Clone(), ref, words{1, 0, -1}, half), rng.New(1)
		var began *policy.Softmax
		for step := range 5 {
			if step%3 == 0 {
				began = tr.policy.Policy.Clone()
			}
			tr.Step(r)
			b, against := tr.rollout, ref
			if reference == "round" {
				against = began
			}
			for j, i := range b.index {
				if b.old[j] != began.LogP[i] || b.ref[j] != against.LogP[i] {
					t.Fatalf("%s, step %d, token %d: old %v, ref %v", reference, step, j, b.old[j], b.ref[j])
				}
			}
			if step%3 == 2 && slices.Equal(began.LogP, tr.policy.Policy.LogP) {
				t.Fatal("the policy has not moved")
			}
		}
		if !slices.Equal(ref.LogP, randomPolicy(t, small, 3).LogP) {
			t.Fatalf("%s: the SFT policy is another", reference)
		}
		// Everything that is said has a share of what the sampling policy says.
		counts, n := map[string]float64{}, 0.0
		frozen := tr.source.Clone()
		for range 60 {
			var s OnlineStats
			tr.sample(r, &s)
			for e, y := range tr.rollout.response {
				counts[fmt.Sprint(tr.rollout.prompt[e], y)]++
				n++
			}
		}
		for x := range policy.Prompt(2) {
			for _, y := range everyResponse(small) {
				p := half[x] * math.Exp(frozen.LogProb(x, y))
				if got := counts[fmt.Sprint(x, y)] / n; !(math.Abs(got-p) <= 4.5*math.Sqrt(p*(1-p)/n)+1e-9) {
					t.Errorf("%s: %v to %d is said with %v, the sampling policy says it with %v", reference, y, x, got, p)
				}
			}
		}
	}
}

// Without its bonus XPO is DPO's loss against the reference's responses.
func TestXPOWithoutItsBonus(t *testing.T) {
	d := Duel{LogP: [2]float64{-2, -3}, Ref: [2]float64{-2.5, -2.2}, P: 0.8}
	c := DefaultOnline()
	c.Alpha = 0
	loss, slope := xpo(&d, &c)
	want, wantSlope := onlineSigmoid(&d, &c)
	if loss != want || slope != wantSlope {
		t.Errorf("%v %v, want %v %v", loss, slope, want, wantSlope)
	}
}

func TestOnPolicyLossesRefuseOldSamples(t *testing.T) {
	for name, change := range map[string]func(*OnlineConfig){
		"sync_params_every": func(c *OnlineConfig) { c.SyncParamsEvery = 2 },
		"num_iterations":    func(c *OnlineConfig) { c.NumIterations = 2 },
	} {
		c := online(change)
		if err := c.Validate(); err != nil {
			t.Errorf("sigmoid: %v", err)
		}
		c.LossType = "nash_md"
		if problems := field.All(c.Validate()); len(problems) != 1 || problems[0].Field != name {
			t.Errorf("%s: %v", name, problems)
		}
	}
	for name, loss := range map[string]string{"alpha": "sigmoid", "mixture_coef": "xpo", "reference": "nash_md"} {
		c := online(func(c *OnlineConfig) { c.LossType = loss })
		if c.Unused(name) == "" || c.Unused("beta") != "" {
			t.Errorf("%s does not use %s", loss, name)
		}
	}
}

func TestOnlineStats(t *testing.T) {
	ref, pi := randomPolicy(t, small, 7), randomPolicy(t, small, 8)
	tr := NewOnline(online(func(c *OnlineConfig) { c.Beta = 0.3 }), pi.Clone(), ref, byPrompt{}, half)
	s := tr.Step(rng.New(1))
	b := tr.rollout
	var want OnlineStats
	for i := 0; i < 32; i += 2 {
		w, l := i, i+1
		if b.total[l] > b.total[w] {
			w, l = l, w
		}
		x := b.prompt[i]
		lr := func(e int) float64 { return pi.LogProb(x, b.response[e]) - ref.LogProb(x, b.response[e]) }
		want.KL += lr(i) / 16
		want.RewardsChosen += 0.3 * lr(w) / 16
		want.RewardsRejected += 0.3 * lr(l) / 16
		want.ScoresMargin += (b.total[w] - b.total[l]) / 16
		want.LogpsChosen += pi.LogProb(x, b.response[w]) / 16
		want.LogpsRejected += pi.LogProb(x, b.response[l]) / 16
		want.Entropy -= pi.LogProb(x, b.response[i]) / 16
		want.Scores += (b.total[w] + b.total[l]) / 32
		if lr(w) > lr(l) {
			want.Accuracy += 1. / 16
		}
		loss := -math.Log(1 / (1 + math.Exp(-0.3*(lr(w)-lr(l)))))
		if b.total[w] == b.total[l] {
			loss = loss/2 - math.Log(1/(1+math.Exp(0.3*(lr(w)-lr(l)))))/2
		}
		want.Loss += loss / 16
		for e := i; e < i+2; e++ {
			if b.ended(e) {
				want.EOS += 1. / 32
			}
		}
	}
	for name, v := range map[string][2]float64{"kl": {s.KL, want.KL}, "chosen": {s.RewardsChosen, want.RewardsChosen}, "rejected": {s.RewardsRejected, want.RewardsRejected},
		"margin": {s.ScoresMargin, want.ScoresMargin}, "logps/chosen": {s.LogpsChosen, want.LogpsChosen}, "logps/rejected": {s.LogpsRejected, want.LogpsRejected},
		"entropy": {s.Entropy, want.Entropy}, "scores": {s.Scores, want.Scores}, "accuracy": {s.Accuracy, want.Accuracy}, "loss": {s.Loss, want.Loss}, "eos": {s.EOS, want.EOS}} {
		near(t, name, v[0], v[1], 1e-12)
	}
	for range s.All() {
		break // stopping early must be possible
	}
}

// The parts of XPO's loss are the loss, its two scores those of both writers, and
// Nash-MD says how often it wins; other losses have none of these columns.
func TestMetricsOfOneOnlineLoss(t *testing.T) {
	for _, l := range OnlineLosses {
		c := online(func(c *OnlineConfig) { c.LossType, c.Alpha = l.Name, 0.2 })
		ref := randomPolicy(t, small, 1)
		tr := NewOnline(c, ref.Clone(), ref, byPrompt{}, half)
		s := tr.Step(rng.New(1))
		got := map[string]float64{}
		for name, v := range s.All() {
			got[name] = v
		}
		for _, name := range []string{"loss/dpo", "loss/xpo", "objective/model_scores", "objective/ref_scores", "rewards/probabilities"} {
			if _, there := got[name]; there != slices.Contains(c.OwnMetrics(), name) {
				t.Errorf("%s: %s is there: %v", l.Name, name, there)
			}
		}
		first, second, preferred := 0.0, 0.0, mean(tr.preferred)
		for i := range tr.preferred {
			first += tr.rollout.total[2*i] / float64(len(tr.preferred))
			second += tr.rollout.total[2*i+1] / float64(len(tr.preferred))
		}
		switch l.Name {
		case "xpo":
			near(t, "loss", got["loss/dpo"]+got["loss/xpo"], s.Loss, 1e-12)
			near(t, "model", got["objective/model_scores"], first, 1e-12)
			near(t, "reference", got["objective/ref_scores"], second, 1e-12)
			if !(got["loss/xpo"] < 0) || first == second {
				t.Errorf("%v", got)
			}
		case "nash_md":
			near(t, "P", got["rewards/probabilities"], preferred, 1e-12)
		}
	}
}

func TestJudges(t *testing.T) {
	labeled := func(judge string, noise float64) *OnlineTrainer {
		tr := NewOnline(online(func(c *OnlineConfig) { c.Judge = judge }), randomPolicy(t, small, 1), randomPolicy(t, small, 2), byPrompt{}, half)
		tr.LabelNoise(noise)
		return tr
	}
	for _, noise := range []float64{0, 0.1} {
		noisy := func(p float64) float64 { return (1-noise)*p + noise*(1-p) }
		sample, sum := labeled("sample", noise), 0.0
		for r, k := rng.New(1), 0; k < 20_000; k++ {
			label := sample.label(0.8, r)
			if label != 0 && label != 1 {
				t.Fatalf("a label of %v", label)
			}
			sum += label / 20_000
		}
		near(t, "share of labels", sum, noisy(num.Sigmoid(0.8)), 0.012)
		near(t, "probability", labeled("probability", noise).label(0.8, nil), noisy(num.Sigmoid(0.8)), 1e-15)
		for margin, want := range map[float64]float64{0.1: 1, -0.1: 0, 0: 0.5} {
			near(t, "argmax_first", labeled("argmax_first", noise).label(margin, nil), noisy([]float64{want, 1}[int(2*want)%2]), 1e-15)
			near(t, "argmax", labeled("argmax", noise).label(margin, nil), noisy(want), 1e-15)
		}
	}
}

func TestValidateOnline(t *testing.T) {
	if n := len(field.All(OnlineConfig{BatchSize: 3, Judge: "x", LossType: "x", MixtureCoef: 2, Alpha: -1}.Validate())); n != 13 {
		t.Errorf("%d problems", n)
	}
}

// benchmarkOnline is a method on a world of the chapter's size.
func benchmarkOnline(t testing.TB, m OnlineMethod, episodes int) *OnlineTrainer {
	like, c := benchmarkTrainer(t, episodes), m.Defaults
	c.BatchSize, c.SyncParamsEvery = episodes, max(1, c.SyncParamsEvery/10)
	return NewOnline(c, like.policy.Policy, like.ref, like.reward, like.weights)
}

func BenchmarkOnlineStep(b *testing.B) {
	for _, m := range OnlineMethods {
		b.Run(m.Name, func(b *testing.B) {
			tr, r := benchmarkOnline(b, m, 128), rng.New(2)
			b.ReportAllocs()
			for b.Loop() {
				tr.Step(r)
			}
			b.ReportMetric(float64(b.N*128)/b.Elapsed().Seconds(), "episodes/s")
		})
	}
}

func TestOnlineStepAllocatesNothing(t *testing.T) {
	for _, m := range OnlineMethods {
		tr, r := benchmarkOnline(t, m, 32), rng.New(1)
		tr.Step(r)
		if n := testing.AllocsPerRun(20, func() { tr.Step(r) }); n != 0 {
			t.Errorf("%s: %v allocations a step", m.Name, n)
		}
	}
}
