package sim

import (
	"context"
	"errors"
	"math"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/policy"
	"rlhfsim/reward"
)

func networkConfig() Config {
	c := smallConfig()
	c.Reward.Model, c.Reward.HiddenSize, c.Reward.CountCap = reward.MLP, 4, 2
	return c
}

// What is said of a network's optimum without listing its responses, against
// samples from it, and the exact proxy of a policy against samples of the score.
func TestNetworkOptimumAgreesWithSampling(t *testing.T) {
	for name, aggregate := range map[string]reward.Aggregate{"one": reward.MeanScore, "worst of three": reward.WorstCase} {
		t.Run(name, func(t *testing.T) {
			c := networkConfig()
			if c.Reward.Aggregate = aggregate; aggregate != reward.MeanScore {
				c.Reward.NumEnsemble = 3
			}
			s := mustShared(t, c, 2)
			const beta = 0.4
			o, err := s.evaluator.NewCountOptimum(&s.SFT.Chain, s.proxy.value, beta)
			if err != nil {
				t.Fatal(err)
			}
			jStar, e, err := s.ProxyAt(t.Context(), beta)
			if err != nil || !(math.Abs(jStar-o.Value()) <= 1e-9) || !(math.Abs(e.Gap) <= 1e-9) {
				t.Fatalf("J* %v, walking the lattice %v; gap %v; %v", jStar, o.Value(), e.Gap, err)
			}
			exact := map[string]float64{"won": e.WinRate, "gold": e.Gold, "proxy": e.Proxy, "kl": e.KL, "entropy": e.Entropy, "length": e.Length}
			for _, m := range e.Counts {
				exact[m.Name] = m.Value
			}
			sampled := map[string]*estimate{}
			add := func(name string, v float64) {
				if sampled[name] == nil {
					sampled[name] = &estimate{}
				}
				sampled[name].add(v)
			}
			r := s.stream("test", "network")
			for range 30_000 {
				x := policy.Prompt(r.Categorical(s.World.Weights))
				y, z := o.Sample(nil, x, r), s.SFT.Sample(nil, x, r)
				won := 0.5
				if d := s.World.Value(x, y) - s.World.Value(x, z); !(math.Abs(d) <= 1e-9) {
					won = (1 + math.Copysign(1, d)) / 2
				}
				add("won", won)
				add("gold", s.World.Value(x, y))
				add("proxy", s.Scorer.Score(x, y))
				add("kl", o.LogProb(x, y)-s.SFT.LogProb(x, y))
				add("entropy", -o.LogProb(x, y))
				add("length", float64(len(y)))
				for k, name := range s.World.countNames {
					n := s.World.Gold[k].Of(x, y, s.World.Shape.Words)
					add("exact/count/"+underscored(name), float64(n))
					add("exact/any/"+underscored(name), float64(min(1, n)))
				}
			}
			for name, got := range sampled {
				want, known := exact[name]
				if d := math.Abs(got.mean() - want); !known || d > 4.5*got.se()+5e-4 { // events of one in ten thousand may not occur at all
					t.Errorf("%s: sampled %v ± %v, exactly %v", name, got.mean(), got.se(), want)
				}
			}
		})
	}
}

// Every method that sees a reward can learn from a network, and the gap adds up.
func TestMethodsLearnFromANetwork(t *testing.T) {
	c := networkConfig()
	c.Evaluation.BestOfN, c.Evaluation.Gradient = 8, true
	s := mustShared(t, c, 1)
	if best := s.BestOfN.ByProxy; len(best) != 4 || !(best[3].Score > best[0].Score) {
		t.Errorf("best of n by the network: %+v", best)
	}
	for _, method := range []string{"ppo", "exact", "rloo"} {
		out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: method, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		first, last := out.Rows[0], out.Rows[len(out.Rows)-1]
		if a, b := first.Get("exact/objective"), last.Get("exact/objective"); !(b > a) {
			t.Errorf("%s: objective %v → %v", method, a, b)
		}
		if gap := last.Get("exact/gap"); gap < -1e-9 {
			t.Errorf("%s: gap %v", method, gap)
		}
		if cosine := first.Get("exact/gradient_cosine"); method != "exact" && !(cosine > 0) {
			t.Errorf("%s: cosine %v", method, cosine)
		}
		sum := last.Get("exact/gold_gap_reward_model") + last.Get("exact/gold_gap_class") + last.Get("exact/gold_gap_optimisation")
		if total := last.Get("exact/gold_gap"); !(math.Abs(sum-total) <= 1e-9) {
			t.Errorf("%s: the parts of the gap make %v, not %v", method, sum, total)
		}
		if norm := last.Get("exact/class_gradient_norm"); norm > 1e-8 {
			t.Errorf("%s: no stationary point in the class, %v", method, norm)
		}
	}
}

func TestNetworksThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"unknown count": {func(c *Config) { c.Reward.Counts = []string{"politeness"} }, "reward.counts[0]"},
		"twice":         {func(c *Config) { c.Reward.Counts = []string{"length", "length"} }, "reward.counts[1]"},
		"too large": {func(c *Config) {
			c.World = WorldConfig{MaxLength: 12, Random: RandomConfig{Words: 200, Groups: 40, Prompts: 4, Demonstrations: 5}}
			c.SFT.Demonstrations, c.SFT.Generate, c.Base.Weights = nil, 0, nil
		}, "reward.model"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := networkConfig()
			c.change(&bad)
			_, err := NewLab(t.Context(), bad)
			if problems := field.All(err); len(problems) == 0 || problems[0].Field != c.field {
				t.Errorf("%v", err)
			}
			var e *field.Error
			if !errors.As(err, &e) || e.Allowed == "" {
				t.Errorf("no way out: %v", err)
			}
		})
	}
}
