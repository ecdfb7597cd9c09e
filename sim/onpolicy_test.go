package sim

import (
	"context"
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/num"
	"rlhfsim/ppo"
)

// A preset decides its section of the defaults and nothing else.
func TestDefaultFor(t *testing.T) {
	for _, m := range Methods {
		c := DefaultFor(m.Name)
		c.GRPO, c.RAFT, c.Online = Default().GRPO, Default().RAFT, Default().Online
		if m.Section == "ppo" {
			c.PPO = Default().PPO
		}
		a, b := Arm{Method: "ppo", Config: c}, Arm{Method: "ppo", Config: Default()}
		if a.OwnPart() != b.OwnPart() {
			t.Errorf("%s changes other sections", m.Name)
		}
		if m.Updates(DefaultFor(m.Name)) < 1 {
			t.Errorf("%s takes no updates", m.Name)
		}
	}
	if c := DefaultFor("rloo").GRPO; c.Advantage != "leave_one_out" {
		t.Errorf("rloo: %+v", c)
	}
	if n := len(ppo.GroupMethods) + len(ppo.OnlineMethods) + 5; len(Methods) < n {
		t.Errorf("%d methods, want %d", len(Methods), n)
	}
}

// NLPO without a mask is PPO to the bit, with one it is not; and the critic that starts
// from the reward model draws from a stream of its own.
func TestNLPOIsPPOWithAMask(t *testing.T) {
	c := smallConfig()
	s := mustShared(t, c, 1)
	run := func(method string, change func(c *ppo.Config)) *Result {
		own := c
		own.PPO.TopMask = DefaultFor(method).PPO.TopMask
		own.Evaluation.Every = 1
		change(&own.PPO)
		out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: method, Config: own})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	plain := run("ppo", func(*ppo.Config) {})
	open := run("nlpo", func(c *ppo.Config) { c.TopMask = 1 })
	if !slices.Equal(plain.Policy.Logits, open.Policy.Logits) {
		t.Error("nlpo with top_mask = 1 is not ppo")
	}
	if masked := run("nlpo", func(*ppo.Config) {}); slices.Equal(plain.Policy.Logits, masked.Policy.Logits) {
		t.Error("the mask changes nothing")
	}
	started := run("ppo", func(c *ppo.Config) { c.InitValueWithReward = true })
	const sampled = "objective/scores" // of the first batch
	if a, b := plain.Rows[1].Get(sampled), started.Rows[1].Get(sampled); a != b || slices.Equal(plain.Policy.Logits, started.Policy.Logits) {
		t.Errorf("scores of the first batch %v and %v, other samples: or the same policy in the end", a, b)
	}
}

// PPO-ptx mixes in the corpus that the base was trained on, line by line.
func TestPtxUsesTheCorpusOfTheBase(t *testing.T) {
	c := smallConfig()
	c.PPO.PtxCoef, c.PPO.PtxBatchSize, c.PPO.NumPPOEpochs = 1, c.Base.Lines, 1
	s := mustShared(t, c, 1)
	out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: "ppo", Config: c})
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for _, d := range s.World.rawText(c.Base, s.stream("base", "text")) {
		want -= s.SFT.LogProb(d.Prompt, d.Response) / float64(c.Base.Lines)
	}
	first := math.NaN()
	for _, r := range out.Rows {
		if v := r.Get("loss/ptx_avg"); !math.IsNaN(v) {
			first = v
			break
		}
	}
	// Recorded after some steps, and falling: near what the SFT policy has, and below.
	if !(first < want && first > 0.5*want) {
		t.Errorf("the corpus has −log π = %v after ten steps, %v at the start", first, want)
	}
}

// The gradient of every critic-free method is held against the exact one where
// that is asked for, the punishment of long responses being part of J.
func TestGradientsOfGroupMethods(t *testing.T) {
	s := mustShared(t, smallConfig(), 1)
	for _, m := range ppo.GroupMethods {
		if m.Name == "pass_at_k" || m.Name == "maxrl" { // they climb the best of a group, and successes, not J
			continue
		}
		c := smallConfig()
		c.GRPO = m.Defaults
		c.GRPO.TotalEpisodes, c.GRPO.BatchSize, c.GRPO.OverlongPenalty = 512, 512, 0.5
		c.Evaluation.Gradient = true
		out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: m.Name, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		first := out.Rows[0]
		cosine, bias, floor := first.Get("exact/gradient_cosine"), first.Get("exact/gradient_bias"), first.Get("mc/gradient_bias_unbiased")
		if !(cosine > 0.7) || !(bias < 0.6) || !(floor > 0) {
			t.Errorf("%s: cosine %v, bias %v, noise alone %v", m.Name, cosine, bias, floor)
		}
		if unbiased := m.Name == "rloo" || m.Name == "remax"; unbiased && bias > 2*floor {
			t.Errorf("%s: bias %v, noise alone %v", m.Name, bias, floor)
		}
	}
}

// Labels by the raters themselves are not hacked: with few rankings behind the
// reward model, online DPO reaches more gold when it asks people.
func TestRatersCanLabelOnline(t *testing.T) {
	c := smallConfig()
	c.Labels.Rankings, c.Labels.LabelNoise, c.Objective.Beta, c.Online.Beta = 20, 0.1, 0.1, 0.1
	s := mustShared(t, c, 1)
	c.Online.Judge, c.Online.TotalEpisodes = "sample", 12_800
	gold := map[string]float64{}
	for _, labeler := range []string{"reward_model", "raters"} {
		c.Online.Labeler = labeler
		out, err := s.RunArm(context.Background(), Arm{Name: "a", Method: "online_dpo", Config: c})
		if err != nil {
			t.Fatal(err)
		}
		gold[labeler] = out.Rows[len(out.Rows)-1].Get("exact/gold_reward")
	}
	if start := s.start().Gold; !(gold["raters"] > gold["reward_model"]+0.1 && gold["raters"] > start) {
		t.Errorf("gold by labeler: %v, SFT %v", gold, s.start().Gold)
	}
	r := raters{Rater{World: s.World, Temperature: 2}}
	y, z := s.Rankings[0].Responses[0], s.Rankings[0].Responses[1]
	got, want := num.Sigmoid(r.Score(0, y)-r.Score(0, z)), r.Prefers(s.World.Value(0, y), s.World.Value(0, z))
	if !(math.Abs(got-want) <= 1e-15) {
		t.Errorf("a rater prefers the first with probability %v, by scores %v", want, got)
	}
}
