package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"testing"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
	"rlhfsim/reward"
)

func mustShared(t testing.TB, c Config, seed uint64) *Shared {
	t.Helper()
	l, err := NewLab(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.NewShared(context.Background(), seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryStageIsRecordedFirstToLast(t *testing.T) {
	c := smallConfig()
	s := mustShared(t, c, 1)
	steps := map[string][]int{}
	for _, r := range s.Rows {
		steps[r.Stage] = append(steps[r.Stage], r.Step)
		if r.Stage == "reward" {
			continue
		}
		for _, name := range []string{"exact/gold_reward", "exact/kl", "exact/entropy", "exact/length"} {
			if math.IsNaN(r.Get(name)) {
				t.Errorf("%s step %d lacks %s", r.Stage, r.Step, name)
			}
		}
	}
	for _, m := range Methods {
		if m.Name == "exact" {
			c.Exact.NumSteps = 40
		}
		out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: m.Name, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Rows {
			steps[r.Stage] = append(steps[r.Stage], r.Step)
		}
		first, last := out.Rows[0], out.Rows[len(out.Rows)-1]
		if first.Get("exact/kl") != 0 || !(math.Abs(first.Get("exact/win_rate")-0.5) <= 1e-12) {
			t.Errorf("%s starts with KL %v, win rate %v", m.Name, first.Get("exact/kl"), first.Get("exact/win_rate"))
		}
		for _, name := range []string{"exact/proxy_reward", "exact/objective", "exact/gap", "exact/win_rate", "exact/count/harm", "exact/any/right_answer"} {
			if math.IsNaN(last.Get(name)) {
				t.Errorf("%s ends without %s", m.Name, name)
			}
		}
		parts := last.Get("exact/gold_gap_reward_model") + last.Get("exact/gold_gap_class") + last.Get("exact/gold_gap_optimisation")
		if total := last.Get("exact/gold_gap"); !(math.Abs(total-parts) <= 1e-12) || total < 0 || last.Get("exact/gold_gap_reward_model") < 0 || last.Get("exact/class_gradient_norm") > 1e-8 {
			t.Errorf("%s: the parts of the gap sum to %v, total %v", m.Name, parts, total)
		}
		if last.Get("exact/gap") < -1e-9 {
			t.Errorf("%s is above the optimum: gap %v", m.Name, last.Get("exact/gap"))
		}
	}
	for _, stage := range []string{"base", "sft", "reward", "ppo", "dpo"} {
		got := steps[stage]
		if len(got) < 2 || got[0] != 0 || !slices.IsSorted(got) {
			t.Errorf("%s was recorded at steps %v", stage, got)
		}
	}
}

func TestSameSeedSameNumbersAndStagesDoNotDisturbEachOther(t *testing.T) {
	c := smallConfig()
	a, b := mustShared(t, c, 7), mustShared(t, c, 7)
	if fmt.Sprint(a.Rows) != fmt.Sprint(b.Rows) || !slices.Equal(a.SFT.Logits, b.SFT.Logits) || !slices.Equal(a.Reward.(*reward.Linear).Weight, b.Reward.(*reward.Linear).Weight) {
		t.Error("the same seed gave other numbers")
	}
	if other := mustShared(t, c, 8); slices.Equal(a.SFT.Logits, other.SFT.Logits) {
		t.Error("another seed gave the same policy")
	}
	more := c
	more.Labels.Rankings = 120
	d := mustShared(t, more, 7)
	if !slices.Equal(a.SFT.Logits, d.SFT.Logits) {
		t.Error("more rankings changed the SFT policy")
	}
	if fmt.Sprint(a.Rankings) != fmt.Sprint(d.Rankings[:len(a.Rankings)]) || fmt.Sprint(a.HeldOut) != fmt.Sprint(d.HeldOut) {
		t.Error("the first rankings of a larger collection differ from the smaller one")
	}
	if fmt.Sprint(a.Frontier) != fmt.Sprint(b.Frontier) || len(a.Frontier.Proxy) != frontierPoints {
		t.Error("the frontier differs")
	}
}

func TestDemonstrationsScoreZeroOnAverage(t *testing.T) {
	c := smallConfig()
	s := mustShared(t, c, 1)
	written, err := s.World.demonstrations(c.SFT)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, d := range written {
		sum += s.Reward.Score(d.Prompt, d.Response)
	}
	if !(math.Abs(sum) <= 1e-9) {
		t.Errorf("demonstrations score %v in sum", sum)
	}
}

func TestFrontierIsTheParetoSet(t *testing.T) {
	s := mustShared(t, smallConfig(), 2)
	points := s.Frontier.Proxy
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		if b.Beta >= a.Beta || b.KL < a.KL-1e-12 || b.Proxy < a.Proxy-1e-12 {
			t.Errorf("from β %v to %v: KL %v → %v, proxy %v → %v", a.Beta, b.Beta, a.KL, b.KL, a.Proxy, b.Proxy)
		}
	}
	for i, p := range points {
		g := s.Frontier.Gold[i]
		// At equal β no policy has a higher gold objective than gold's own optimum.
		if g.Gold-g.Beta*g.KL < p.Gold-p.Beta*p.KL-1e-12 {
			t.Errorf("at β %v the gold optimum %v, KL %v is below the proxy's %v, KL %v", p.Beta, g.Gold, g.KL, p.Gold, p.KL)
		}
		if p.Gold > s.Frontier.Peak.Gold+1e-12 {
			t.Errorf("gold %v at β %v is above the peak %+v", p.Gold, p.Beta, s.Frontier.Peak)
		}
	}
	beta := s.Frontier.Peak.Beta
	for _, near := range []float64{beta - 1e-4, beta + 1e-4} {
		if p, err := s.proxyPoint(near); err != nil || p.Gold > s.Frontier.Peak.Gold {
			t.Errorf("gold %v at β %v is above the peak, %v", p.Gold, near, err)
		}
	}
	best := s.GoldAt(0.5)
	d, err := policy.NewCountValue(context.Background(), s.World.Shape, s.World.Gold)
	if err != nil {
		t.Fatal(err)
	}
	walked, err := s.evaluator.NewCountOptimum(&s.SFT.Chain, d, 0.5)
	if err != nil || !(math.Abs(walked.Value()-best.Objective) <= 1e-12) || best.WinRate <= 0.5 {
		t.Errorf("J* of gold is %v by tilting, %v by the lattice", best.Objective, walked.Value())
	}
	o, e, err := s.ProxyAt(t.Context(), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	if !(math.Abs(e.Gap) <= 1e-9*math.Max(1, math.Abs(o))) {
		t.Errorf("the optimum has a gap of %v", e.Gap)
	}
}

func TestNaNStopsTheStageByName(t *testing.T) {
	c := smallConfig()
	c.SFT.LearningRate, c.SFT.MaxGradNorm = 1.7e308, 0
	l, err := NewLab(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.NewShared(context.Background(), 1)
	var e *NonFiniteError
	if !errors.As(err, &e) || e.Stage != "sft" || e.Step == 0 {
		t.Errorf("error %v", err)
	}
}

func TestCancelStopsBetweenSteps(t *testing.T) {
	l, err := NewLab(t.Context(), smallConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.NewShared(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestResponseSources(t *testing.T) {
	for _, source := range responseSources {
		c := smallConfig()
		c.Labels.ResponseSource = source
		if s := mustShared(t, c, 1); len(s.Rankings) != c.Labels.Rankings {
			t.Errorf("%s: %d rankings", source, len(s.Rankings))
		}
	}
}

func TestUnknownMethod(t *testing.T) {
	s := mustShared(t, smallConfig(), 1)
	if _, err := s.RunArm(context.Background(), Arm{Method: "popo", Config: s.Config}); err == nil {
		t.Error("accepted")
	}
}

func TestPartsTellConfigurationsApart(t *testing.T) {
	a := smallConfig()
	b := a
	b.PPO.TotalEpisodes++
	if fmt.Sprint(a.SharedPart()) != fmt.Sprint(b.SharedPart()) {
		t.Error("a field of an arm changes the shared part")
	}
	ppo, dpo := Arm{Method: "ppo", Config: a}, Arm{Method: "dpo", Config: a}
	ppoB, dpoB := Arm{Method: "ppo", Config: b}, Arm{Method: "dpo", Config: b}
	if fmt.Sprint(ppo.OwnPart()) == fmt.Sprint(ppoB.OwnPart()) || fmt.Sprint(dpo.OwnPart()) != fmt.Sprint(dpoB.OwnPart()) {
		t.Error("an arm's part must hold its own section and no other's")
	}
	c := a
	c.Policy.Order = 2
	if fmt.Sprint(a.SharedPart()) == fmt.Sprint(c.SharedPart()) {
		t.Error("the policy's order is not in the shared part")
	}
	_ = policy.Table
}

// The estimate of a win rate agrees with the exact one within its error.
func TestSampledEstimatesAgreeWithTheExactNumbers(t *testing.T) {
	s := mustShared(t, smallConfig(), 3)
	e := s.exact(&s.Base.Chain, true)
	rate, se := s.sampledWinRate(&s.Base.Chain)
	if !(math.Abs(rate-e.WinRate) <= 4*se) || se <= 0 || se > 0.005 {
		t.Errorf("win rate %v ± %v, exact %v", rate, se, e.WinRate)
	}
	h := Rater{World: s.World, Temperature: 1, LabelNoise: 0.1}
	want := s.agreement(t.Context(), h)
	s.Lab = &Lab{Config: s.Config, World: s.World, gold: s.gold}
	got := s.agreement(t.Context(), h)
	for i, m := range want {
		if value, se := got[2*i].Value, got[2*i+1].Value; !(math.Abs(value-m.Value) <= 4*se) || se <= 0 {
			t.Errorf("%s: %v ± %v, exact %v", m.Name, value, se, m.Value)
		}
	}
}

// The method "exact" climbs what it says: at the end each reward's own
// objective is higher, and no step of the proxy's ascent goes past the best of
// the class.
func TestExactAscentClimbs(t *testing.T) {
	c := smallConfig()
	c.Exact.NumSteps, c.Objective.Beta = 400, 0.5
	s := mustShared(t, c, 4)
	var ends []float64
	for _, reward := range exactRewards {
		c.Exact.Reward = reward
		out, err := s.RunArm(context.Background(), Arm{Method: "exact", Config: c})
		if err != nil {
			t.Fatal(err)
		}
		first, last := out.Rows[1].Get("objective/exact"), out.Rows[len(out.Rows)-1].Get("objective/exact")
		if last <= first {
			t.Errorf("%s: J %v → %v", reward, first, last)
		}
		ends = append(ends, out.Rows[len(out.Rows)-1].Get("exact/gold_gap"))
		if reward == "proxy" {
			ideal, err := s.ideal(t.Context(), 0.5)
			if err != nil {
				t.Fatal(err)
			}
			best, spread := s.inClass(0.5, ideal, out.Policy)
			if last > best.Value+1e-9 || last < best.Value-1e-2 || spread < 0 {
				t.Errorf("J %v after ascent, %v at the best stationary point", last, best.Value)
			}
		}
	}
	if ends[1] >= ends[0] {
		t.Errorf("climbing gold leaves a gap of %v, climbing the proxy %v", ends[1], ends[0])
	}
}

// Other policy classes and reward models run through every stage and method.
func TestVariantsRunThroughAllStages(t *testing.T) {
	variants := map[string]func(*Config){
		"low_rank": func(c *Config) { c.Policy.Parametrisation, c.Policy.Rank = policy.LowRank, 3 },
		"bigrams, plackett_luce": func(c *Config) {
			c.Reward.Model, c.Reward.LossType = reward.Bigrams, reward.PlackettLuceLoss
		},
		"pick_best": func(c *Config) { c.Reward.LossType = reward.PickBestLoss },
		"margin":    func(c *Config) { c.Reward.Margin = 1 },
		"all at once": func(c *Config) {
			c.Policy.Order, c.Policy.Parametrisation, c.Policy.Rank = 2, policy.LowRank, 2
			c.Reward.Model, c.Reward.Margin = reward.Bigrams, 1
		},
	}
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			c := smallConfig()
			change(&c)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			s := mustShared(t, c, 1)
			for _, m := range Methods {
				if m.Offline && name != "low_rank" { // of its family one will do
					continue
				}
				out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: m.Name, Config: ownSmall(m, c)})
				if err != nil {
					t.Fatal(err)
				}
				last := out.Rows[len(out.Rows)-1]
				least := 1e-3
				if m.Name == "dpop" { // at its λ of 50 it hardly moves
					least = 1e-4
				}
				if !(last.Get("exact/kl") > least) || !(last.Get("exact/gap") > -1e-9) {
					t.Errorf("%s: KL %v, gap %v", m.Name, last.Get("exact/kl"), last.Get("exact/gap"))
				}
			}
		})
	}
}

// ownSmall is c with the method's own defaults, at c's sizes.
func ownSmall(m Method, c Config) Config {
	small := c
	if m.preset != nil {
		m.preset(&c)
	}
	c.GRPO.TotalEpisodes, c.RAFT.TotalEpisodes, c.Online.TotalEpisodes = small.GRPO.TotalEpisodes, small.RAFT.TotalEpisodes, small.Online.TotalEpisodes
	c.DPO.BatchSize, c.DPO.NumTrainEpochs = small.DPO.BatchSize, small.DPO.NumTrainEpochs
	if c.Online.LossType != "nash_md" { // rounds, and a reference by rounds
		c.Online.SyncParamsEvery, c.Online.Reference = 2, "round"
	}
	c.DPO.SyncRefModel, c.DPO.RefModelSyncSteps = m.Name == "sigmoid", 2
	return c
}

func TestAscentAllocatesNothing(t *testing.T) {
	for _, reward := range []string{"proxy", "gold"} {
		c := smallConfig()
		c.Exact.Reward = reward
		s := mustShared(t, c, 1)
		a := newAscent(s, c, s.SFT.Clone())
		a.step(nil)
		if n := testing.AllocsPerRun(20, func() { a.step(nil) }); n != 0 {
			t.Errorf("%s: %v allocations a step", reward, n)
		}
	}
}

// Steps that nobody records measure less, and stop a training all the same: at the step
// at which one that is measured in full would.
func TestNaNStopsUnrecordedSteps(t *testing.T) {
	s := mustShared(t, smallConfig(), 1)
	stop := func(m Method, inFull bool) *NonFiniteError {
		c := m.Defaults()
		c.DPO.LearningRate, c.DPO.MaxGradNorm, c.DPO.BatchSize = 1e308, 0, 8
		c.PPO.LearningRate, c.PPO.MaxGradNorm = 1e308, 0
		l := m.build(s, c, s.SFT.Clone())
		if inFull {
			l.learn = l.step
		}
		_, err := train(context.Background(), m.Name, l, l.steps, s.stream("test"), func(*Row, bool) {})
		var e *NonFiniteError
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", m.Name, err)
		}
		return e
	}
	for _, m := range Methods {
		if m.Section == "dpo" || m.Section == "ppo" {
			if want, got := stop(m, true), stop(m, false); got.Step != want.Step {
				t.Errorf("%s stops with %v, measured in full with %v", m.Name, got, want)
			}
		}
	}
}

// Whatever the method, a training that fails ends with an error and never with a panic.
func TestNoMethodPanicsOnNaN(t *testing.T) {
	s := mustShared(t, smallConfig(), 1)
	for _, m := range Methods {
		c := m.Defaults()
		c.DPO.LearningRate, c.PPO.LearningRate, c.GRPO.LearningRate, c.RAFT.LearningRate, c.Online.LearningRate = 1e308, 1e308, 1e308, 1e308, 1e308
		c.DPO.MaxGradNorm, c.PPO.MaxGradNorm, c.GRPO.MaxGradNorm, c.RAFT.MaxGradNorm, c.Online.MaxGradNorm = 0, 0, 0, 0, 0
		c.ILQL.LearningRate, c.ILQL.ValueLearningRate = 1e308, 1e308
		l := m.build(s, c, s.SFT.Clone())
		_, err := train(context.Background(), m.Name, l, min(l.steps, 20), s.stream("test"), func(*Row, bool) {})
		var e *NonFiniteError
		if err != nil && !errors.As(err, &e) || err == nil && m.Section != "exact" {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

// The error names the step that measured it, recorded or not.
func TestNaNIsOfItsStep(t *testing.T) {
	for _, every := range []int{1, 2, 3, 5} {
		taken := 0
		step := func(*rng.Stream) iter.Seq2[string, float64] {
			taken++
			return func(yield func(string, float64) bool) { yield("loss", 1/float64(3-taken)) }
		}
		_, err := train(context.Background(), "test", learner{steps: 7, step: step, learn: step}, every, nil, func(*Row, bool) {})
		var e *NonFiniteError
		if !errors.As(err, &e) || e.Step != 3 || taken != 3 {
			t.Errorf("every %d: %v after %d steps", every, err, taken)
		}
	}
}

func TestOnlyRecordedStepsAreMeasuredInFull(t *testing.T) {
	var taken []string
	say := func(kind string) func(*rng.Stream) iter.Seq2[string, float64] {
		return func(*rng.Stream) iter.Seq2[string, float64] {
			taken = append(taken, kind)
			return func(yield func(string, float64) bool) { yield(kind, float64(len(taken))) }
		}
	}
	rows, err := train(context.Background(), "test", learner{steps: 7, step: say("step"), learn: say("learn")}, 3, nil, func(*Row, bool) {})
	if err != nil || fmt.Sprint(taken) != "[learn learn step learn learn step step]" {
		t.Errorf("%v, %v", taken, err)
	}
	if got := fmt.Sprint(rows); got != "[{test 0 []} {test 3 [{step 3}]} {test 6 [{step 6}]} {test 7 [{step 7}]}]" {
		t.Error(got)
	}
}

// Whatever a context ends in the middle of leaves nothing behind: what is computed
// after it is what would have been computed without.
func TestNothingOfAStoppedComputationIsKept(t *testing.T) {
	c := smallConfig()
	s, undisturbed := mustShared(t, c, 1), mustShared(t, c, 1)
	over, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("enough")
	cancel(reason)
	if _, err := NewLab(over, c); !errors.Is(err, reason) {
		t.Errorf("a world: %v", err)
	}
	if _, _, err := s.ProxyAt(over, 0.5); !errors.Is(err, reason) {
		t.Errorf("an optimum: %v", err)
	}
	if _, err := s.RunArm(over, Arm{Method: "ppo", Config: c}); !errors.Is(err, reason) {
		t.Errorf("an arm: %v", err)
	}
	if _, err := s.Restore(over, 1, s.Base.Logits, s.SFT.Logits, s.Members); !errors.Is(err, reason) {
		t.Errorf("a seed: %v", err)
	}
	jStar, e, err := s.ProxyAt(t.Context(), 0.5)
	want, exact, _ := undisturbed.ProxyAt(t.Context(), 0.5)
	if err != nil || jStar != want || !reflect.DeepEqual(e, exact) {
		t.Errorf("the optimum is %v, %+v after a stop and %v, %+v without (%v)", jStar, e, want, exact, err)
	}
}

// Stages are told in their order, and what they are at.
func TestStagesAreTold(t *testing.T) {
	var stages []string
	ctx := WithDoing(t.Context(), func(stage string, done, total int) {
		if len(stages) == 0 || stages[len(stages)-1] != stage {
			stages = append(stages, stage)
		}
		if done < 0 || total > 0 && done > total {
			t.Errorf("%s: %d of %d", stage, done, total)
		}
	})
	l, err := NewLab(ctx, smallConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.NewShared(ctx, 1); err != nil {
		t.Fatal(err)
	}
	want := []string{"the lattice of counts", "base", "sft", "evaluating SFT", "evaluating base and SFT", "rankings", "how far raters agree", "reward", "frontier", "best of n"}
	if !slices.Equal(stages, want) {
		t.Errorf("told %q, want %q", stages, want)
	}
}

// What is foreseen of a world is in the sizes of what is built then.
func TestForesee(t *testing.T) {
	c := smallConfig()
	l, err := NewLab(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	small, err := Foresee(t.Context(), c)
	if err != nil || small.States != l.States() || small.Table != 8*l.World.Shape.Cells() || small.Shared <= 0 || small.Shared > 5 {
		t.Errorf("%+v (%v), the lattice has %d states", small, err, l.States())
	}
	random := func(words, length int) Forecast {
		c := Default()
		c.World.Random.Words, c.World.MaxLength = words, length
		f, err := Foresee(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	less, more := random(24, 6), random(100, 20)
	if less.Shared > 5 || more.Shared < 30 || more.Held < 100*less.Held/10 || more.Asked < 1<<28 {
		t.Errorf("a small world %+v, a large one %+v", less, more)
	}
	many := Default()
	many.World.Random.Words, many.World.Random.Prompts, many.World.MaxLength = 24, 3*many.World.Random.Prompts, 6
	if f, err := Foresee(t.Context(), many); err != nil || f.Asked != less.Asked {
		t.Errorf("asking one prompt of three times as many takes %d bytes, %d before (%v)", f.Asked, less.Asked, err)
	}
	if f := random(2000, 8); f.TooLarge == nil || f.States != 0 || f.Held != 0 {
		t.Errorf("a world without a lattice: %+v", f)
	}
}

// fuse is a context that ends when it has been asked so many times.
type fuse struct {
	context.Context
	left int
}

func (f *fuse) Err() error {
	if f.left--; f.left < 0 {
		return context.Canceled
	}
	return nil
}

// Wherever a context ends in the middle, there is an error or the whole result, and
// what arms share keeps nothing of it.
func TestAContextThatEndsAnywhere(t *testing.T) {
	c := smallConfig()
	undisturbed := mustShared(t, c, 1)
	_, exact, _ := undisturbed.ProxyAt(t.Context(), 0.5)
	arm := Arm{Method: "ppo", Config: c}
	result, err := undisturbed.RunArm(t.Context(), arm)
	if err != nil {
		t.Fatal(err)
	}
	for what, compute := range map[string]func(ctx context.Context, s *Shared) (got, want any, err error){
		"a seed": func(ctx context.Context, s *Shared) (any, any, error) {
			own, err := s.NewShared(ctx, 1)
			if err != nil {
				return nil, nil, err
			}
			return []any{own.Rows, own.Frontier, own.BestOfN}, []any{undisturbed.Rows, undisturbed.Frontier, undisturbed.BestOfN}, nil
		},
		"an optimum": func(ctx context.Context, s *Shared) (any, any, error) {
			_, e, err := s.ProxyAt(ctx, 0.5)
			return e, exact, err
		},
		"an arm": func(ctx context.Context, s *Shared) (any, any, error) {
			own, err := s.RunArm(ctx, arm)
			if err != nil {
				return nil, nil, err
			}
			return own.Rows, result.Rows, nil
		},
	} {
		s := mustShared(t, c, 1)
		stops := 0
		for n := 1; ; n += n/5 + 1 {
			got, want, err := compute(&fuse{context.Background(), n}, s)
			if err == nil {
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s whose context ended after %d questions is another one", what, n)
				}
				break
			}
			stops++
		}
		if stops < 10 {
			t.Errorf("%s asked its context only after so few stops: %d", what, stops)
		}
		if got, want, err := compute(t.Context(), s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s after %d stops is another one (%v)", what, stops, err)
		}
	}
}
