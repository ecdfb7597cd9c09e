package sim

import (
	"context"
	"math"
	"testing"

	"rlhfsim/policy"
)

// The exact best of n, against sampling n responses and keeping one, in a world
// made like the chapter's.
func TestBestOfNAgreesWithSampling(t *testing.T) {
	c := smallConfig()
	c.Evaluation.BestOfN = 9 // 1, 2, 4, 8
	s := mustShared(t, c, 3)
	if len(s.BestOfN.ByProxy) != 4 || len(s.BestOfN.ByGold) != 4 {
		t.Fatalf("%d and %d sizes", len(s.BestOfN.ByProxy), len(s.BestOfN.ByGold))
	}
	for _, by := range []struct {
		name  string
		exact []policy.BestOfN
		score func(policy.Prompt, policy.Response) float64
	}{{"proxy", s.BestOfN.ByProxy, s.Reward.Score}, {"gold", s.BestOfN.ByGold, s.World.Value}} {
		for _, want := range by.exact {
			r := s.stream("test", by.name)
			var score, gold estimate
			for range 20_000 {
				x := policy.Prompt(r.Categorical(s.World.Weights))
				top, value := math.Inf(-1), 0.0
				for range want.N {
					y := s.SFT.Sample(nil, x, r)
					if v := by.score(x, y); v > top+1e-9 {
						top, value = v, s.World.Value(x, y)
					}
				}
				score.add(top)
				gold.add(value)
			}
			if !(math.Abs(score.mean()-want.Score) <= 4.5*score.se()) || !(math.Abs(gold.mean()-want.Value) <= 4.5*gold.se()) {
				t.Errorf("chosen by %s, n = %d: score %v ± %v, exactly %v; gold %v ± %v, exactly %v", by.name, want.N, score.mean(), score.se(), want.Score, gold.mean(), gold.se(), want.Value)
			}
			if want.KL > want.Bound+1e-12 {
				t.Errorf("chosen by %s, n = %d: KL %v above %v", by.name, want.N, want.KL, want.Bound)
			}
		}
	}
}

func TestGradientsAreDiagnosedOnRequest(t *testing.T) {
	c := smallConfig()
	s := mustShared(t, c, 1)
	last := func(method string, c Config) Row {
		out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: method, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		return out.Rows[0]
	}
	if !math.IsNaN(last("ppo", c).Get("exact/gradient_cosine")) {
		t.Error("diagnosed without being asked")
	}
	plain := c
	c.Evaluation.Gradient = true
	row := last("ppo", c)
	cosine, norm, bias, floor := row.Get("exact/gradient_cosine"), row.Get("exact/gradient_norm"), row.Get("exact/gradient_bias"), row.Get("mc/gradient_bias_unbiased")
	if !(cosine > 0.1 && cosine <= 1) || !(norm > 0) || !(bias < 3*floor+0.5) {
		t.Errorf("cosine %v, norm %v, bias %v, noise %v", cosine, norm, bias, floor)
	}
	// Looking must not change what is trained.
	a, _ := s.RunArm(context.Background(), Arm{Name: "a", Method: "ppo", Config: c})
	b, _ := s.RunArm(context.Background(), Arm{Name: "a", Method: "ppo", Config: plain})
	for i := range a.Policy.Logits {
		if a.Policy.Logits[i] != b.Policy.Logits[i] {
			t.Fatal("the diagnosis changed the training")
		}
	}
}

// In a world small enough to list every pair, DPO's data is compared with its
// population.
func TestDPOIsComparedWithItsPopulation(t *testing.T) {
	c := smallConfig()
	c.World.MaxLength = 2
	c.Labels.Rankings = 3000
	for i := range c.World.Values {
		c.World.Values[i].Worth = c.World.Values[i].Worth[:min(3, len(c.World.Values[i].Worth))]
	}
	c.SFT.Demonstrations = c.SFT.Demonstrations[:0:0]
	for _, p := range c.World.Prompts {
		c.SFT.Demonstrations = append(c.SFT.Demonstrations, DemonstrationConfig{p.Text, c.World.Words[0].Value[0]})
	}
	c.Evaluation.Gradient = true
	s := mustShared(t, c, 1)
	out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: "dpo", Config: c})
	if err != nil {
		t.Fatal(err)
	}
	first, last := out.Rows[0], out.Rows[len(out.Rows)-1]
	if l := first.Get("exact/population_loss"); !(math.Abs(l-math.Ln2) <= 1e-12) {
		t.Errorf("population loss %v at the start, want log 2", l)
	}
	if cos := first.Get("exact/gradient_cosine"); !(cos > 0.9) {
		t.Errorf("the gradient of %d rankings has cosine %v with the population's", c.Labels.Rankings, cos)
	}
	if a, b := first.Get("exact/population_loss"), last.Get("exact/population_loss"); !(b < a) {
		t.Errorf("population loss %v → %v", a, b)
	}
}
