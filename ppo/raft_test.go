package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Distilling best-of-n approaches its expected reward, found by enumeration;
// expert iteration goes beyond it.
func TestRaft(t *testing.T) {
	s := policy.Shape{Prompts: 1, Words: 3, MaxLength: 2, Order: 2}
	ref, reward := randomPolicy(t, s, 1), words{1, 0.1, -1}
	all := everyResponse(s)
	p, r := make([]float64, len(all)), make([]float64, len(all))
	expected := func(pi *policy.Softmax) float64 {
		for i, y := range all {
			p[i], r[i] = math.Exp(pi.LogProb(0, y)), reward.Score(0, y)
		}
		return num.Dot(p, r)
	}
	before := expected(ref)
	kept := make([]float64, len(p)) // π_4(y) = F(r_y)⁴ − F(r_y−)⁴, no two rewards being equal
	for i := range all {
		below := 0.0
		for j := range all {
			if r[j] < r[i] {
				below += p[j]
			}
		}
		kept[i] = math.Pow(below+p[i], 4) - math.Pow(below, 4)
	}
	target := num.Dot(kept, r)
	train := func(from string) float64 {
		c := DefaultRaft()
		c.SampleFrom, c.TotalEpisodes, c.BatchSize = from, 256*300, 256
		pi := ref.Clone()
		tr, stream := NewRaft(c, pi, ref, reward, []float64{1}), rng.New(1)
		for range tr.Steps() {
			tr.Step(stream)
		}
		return expected(pi)
	}
	distilled, iterated := train("reference"), train("policy")
	near(t, "reward of best-of-4, distilled", distilled, target, 0.03)
	if target < before+0.5 || iterated < target+0.1 {
		t.Errorf("reward %v, best of 4 %v, expert iteration %v", before, target, iterated)
	}
}

// everyResponse lists the responses of a shape.
func everyResponse(s policy.Shape) []policy.Response {
	all := []policy.Response{{}}
	for at := 0; at < len(all); at++ {
		if y := all[at]; len(y) < s.MaxLength {
			for w := range policy.Token(s.Words) {
				all = append(all, append(slices.Clone(y), w))
			}
		}
	}
	return all
}

func TestRaftValidateAndStats(t *testing.T) {
	if err := DefaultRaft().Validate(); err != nil {
		t.Error(err)
	}
	if n := len(field.All(RaftConfig{SampleFrom: "x"}.Validate())); n != 8 {
		t.Errorf("%d problems: %v", n, RaftConfig{SampleFrom: "x"}.Validate())
	}
	c := DefaultRaft()
	c.BatchSize = 30
	if problems := field.All(c.Validate()); len(problems) != 1 || problems[0].Field != "batch_size" {
		t.Errorf("%v", problems)
	}
	like := benchmarkTrainer(t, 32)
	c.BatchSize = 32
	tr, r := NewRaft(c, like.policy.Policy, like.ref, like.reward, like.weights), rng.New(1)
	s := tr.Step(r)
	b, kept, n, entropy, loss := tr.rollout, 0.0, 0.0, 0.0, 0.0
	pi := like.ref // what tr started from
	for e := 0; e < 32; e += 4 {
		kept += slices.Max(b.total[e:e+4]) / 8
	}
	near(t, "reward/kept", s.Kept, kept, 1e-12)
	for _, e := range tr.choice.kept {
		n += float64(b.start[e+1] - b.start[e])
		for j := b.start[e]; j < b.start[e+1]; j++ {
			loss -= pi.LogP[b.index[j]]
			for k := int(b.row[j]) * pi.Outcomes(); k < (int(b.row[j])+1)*pi.Outcomes(); k++ {
				entropy -= pi.P[k] * pi.LogP[k]
			}
		}
	}
	near(t, "entropy", s.Entropy, entropy/n, 1e-12)
	near(t, "loss", s.Loss, loss/n, 1e-12)
	if len(tr.choice.kept) != 8 || s.Kept <= s.Reward || n == 0 {
		t.Errorf("%+v", s)
	}
	for range s.All() {
		break // stopping early must be possible
	}
	c.NumTrainEpochs = 3
	again := benchmarkTrainer(t, 32)
	if thrice := NewRaft(c, again.policy.Policy, again.ref, again.reward, again.weights).Step(rng.New(1)); thrice.Loss >= s.Loss || thrice.Loss < 0.8*s.Loss {
		t.Errorf("a mean loss of %v over three epochs, %v in the first", thrice.Loss, s.Loss)
	}
	if n := testing.AllocsPerRun(20, func() { tr.Step(r) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

func benchmarkRaft(t testing.TB, from string, episodes int) *Raft {
	like, c := benchmarkTrainer(t, episodes), DefaultRaft()
	c.BatchSize, c.SampleFrom = episodes, from
	return NewRaft(c, like.policy.Policy, like.ref, like.reward, like.weights)
}

func BenchmarkRaftStep(b *testing.B) {
	for _, from := range []string{"policy", "reference"} {
		b.Run(from, func(b *testing.B) {
			tr, r := benchmarkRaft(b, from, 128), rng.New(2)
			b.ReportAllocs()
			for b.Loop() {
				tr.Step(r)
			}
			b.ReportMetric(float64(b.N*128)/b.Elapsed().Seconds(), "episodes/s")
		})
	}
}

func TestRaftStepAllocatesNothing(t *testing.T) {
	for _, m := range RaftMethods {
		for _, rule := range Selections {
			like, c := benchmarkTrainer(t, 160), m.Defaults
			c.BatchSize, c.Select = 160, rule.Name
			tr, r := NewRaft(c, like.policy.Policy, like.ref, like.reward, like.weights), rng.New(1)
			tr.Step(r)
			if n := testing.AllocsPerRun(20, func() { tr.Step(r) }); n != 0 {
				t.Errorf("%s, %s: %v allocations a step", m.Name, rule.Name, n)
			}
		}
	}
}
