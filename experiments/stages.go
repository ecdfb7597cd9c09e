package experiments

import (
	"context"
	"fmt"

	"rlhfsim/policy"
	"rlhfsim/sim"
)

// goldOptimum names the best possible policy for what people want.
const goldOptimum = "gold's optimum"

// Stage is a policy of a run, ready to be asked what it says.
type Stage struct {
	sim.Speaker
	Name  string // "base", "sft", an arm's name, "optimum"
	Label string // for figures and tables
}

// Learned is what one seed of a point learned: the tensors of its cells, or of
// its files under policies/.
type Learned struct {
	Base, SFT []float64 // logits
	Reward    []tensor
	Arms      map[string][]float64
}

// Stages rebuilds the policies of a point from what it learned: base, SFT, the
// arms that are there, the exact optimum of the learned reward, and, where the
// world is small enough, that of gold itself. It stops when ctx ends, and so do
// the answers of the optima.
func (p Point) Stages(ctx context.Context, l Learned) (*sim.World, []Stage, error) {
	lab, err := sim.NewLab(ctx, p.Config)
	if err != nil {
		return nil, nil, err
	}
	var out []Stage
	add := func(name, label string, logits []float64) (*policy.Chain, error) {
		pi, err := policy.NewSoftmax(lab.World.Shape, policy.Table)
		if err == nil {
			err = pi.SetLogits(logits)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, Stage{&pi.Chain, name, label})
		return &pi.Chain, nil
	}
	if _, err := add("base", "base", l.Base); err != nil {
		return nil, nil, err
	}
	sft, err := add("sft", "SFT", l.SFT)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range p.Arms {
		if logits, there := l.Arms[a.Name]; there {
			if _, err := add(a.Name, a.Label, logits); err != nil {
				return nil, nil, err
			}
		}
	}
	optima, err := p.optima(ctx, lab, sft, l.Reward)
	return lab.World, append(out, optima...), err
}

// optima are the best policies for the learned reward and for gold.
func (p Point) optima(ctx context.Context, lab *sim.Lab, sft *policy.Chain, tensors []tensor) ([]Stage, error) {
	judges, err := members(lab, tensors)
	if err != nil {
		return nil, err
	}
	judge, err := lab.NewJudge(ctx, judges)
	if err != nil {
		return nil, err
	}
	beta := p.Config.Objective.Beta
	best, err := lab.Optimum(ctx, judge, sft, beta)
	if err != nil {
		return nil, err
	}
	out := []Stage{{best, "optimum", "optimum"}}
	gold, err := lab.GoldOptimum(ctx, sft, beta)
	if err != nil || gold == nil {
		return out, err
	}
	return append(out, Stage{gold, goldOptimum, goldOptimum}), nil
}

// learned collects the tensors of a seed; ok is false where its shared stages
// are not there.
func (r *Run) learned(point, seed int) (l Learned, ok bool) {
	shared := r.tensors(cellID{point, -1, seed})
	if shared == nil {
		return l, false
	}
	l = Learned{Base: shared[0].Data, SFT: shared[1].Data, Reward: shared[2:], Arms: map[string][]float64{}}
	for arm, a := range r.Experiment.Points[point].Arms {
		if own := r.tensors(cellID{point, arm, seed}); own != nil {
			l.Arms[a.Name] = own[0].Data
		}
	}
	return l, true
}
