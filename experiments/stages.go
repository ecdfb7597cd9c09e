package experiments

import (
	"errors"
	"fmt"

	"rlhfsim/policy"
	"rlhfsim/reward"
	"rlhfsim/sim"
)

// goldOptimum names the best possible policy for what people want.
const goldOptimum = "gold's optimum"

// Stage is a policy of a run, ready to be asked what it says.
type Stage struct {
	Name  string // "base", "sft", an arm's name, "optimum"
	Label string // for figures and tables
	Chain *policy.Chain
	// Gold is set instead of Chain for the optimum for gold, which is no chain.
	Gold *policy.CountOptimum
}

// MostLikely is what the stage most likely says.
func (s Stage) MostLikely(x policy.Prompt, k int) []policy.Likely {
	if s.Gold != nil {
		return s.Gold.MostLikely(x, k)
	}
	return s.Chain.MostLikely(x, k)
}

// Learned is what one seed of a point learned: the tensors of its cells, or of
// its files under policies/.
type Learned struct {
	Base, SFT    []float64 // logits
	Weight, Bias []float64 // of the reward model
	Arms         map[string][]float64
}

// Stages rebuilds the policies of a point from what it learned: base, SFT, the
// arms that are there, the exact optimum of the learned reward, and, where the
// world is small enough, that of gold itself.
func (p Point) Stages(l Learned) (*sim.World, []Stage, error) {
	w, err := sim.NewWorld(p.Config)
	if err != nil {
		return nil, nil, err
	}
	var out []Stage
	add := func(name, label string, logits []float64) error {
		pi, err := policy.NewSoftmax(w.Shape, policy.Table)
		if err == nil {
			err = pi.SetLogits(logits)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, Stage{Name: name, Label: label, Chain: &pi.Chain})
		return nil
	}
	if err := add("base", "base", l.Base); err != nil {
		return nil, nil, err
	}
	if err := add("sft", "SFT", l.SFT); err != nil {
		return nil, nil, err
	}
	for _, a := range p.Arms {
		if logits, there := l.Arms[a.Name]; there {
			if err := add(a.Name, a.Label, logits); err != nil {
				return nil, nil, err
			}
		}
	}
	model := reward.NewModel(p.Config.Reward.Model, w.Shape.Prompts, w.Shape.Words)
	if len(l.Weight) != len(model.Weight) || len(l.Bias) != len(model.Bias) {
		return nil, nil, fmt.Errorf("reward: %d weights and %d biases where %s has %d and %d", len(l.Weight), len(l.Bias), model.Kind, len(model.Weight), len(model.Bias))
	}
	model.Weight, model.Bias = l.Weight, l.Bias
	proxy := model.Additive(w.Shape)
	e, beta := policy.NewEvaluator(w.Shape, w.Weights), p.Config.Objective.Beta
	o, err := e.NewOptimum(out[1].Chain, &proxy, beta)
	if err != nil {
		return nil, nil, err
	}
	out = append(out, Stage{Name: "optimum", Label: "optimum", Chain: &o.Chain})
	lattice, err := policy.NewCountValue(w.Shape, w.Gold)
	if errors.Is(err, policy.ErrTooLarge) {
		return w, out, nil
	}
	if err != nil {
		return nil, nil, err
	}
	gold, err := e.NewCountOptimum(out[1].Chain, lattice, beta)
	if err != nil {
		return nil, nil, err
	}
	return w, append(out, Stage{Name: goldOptimum, Label: goldOptimum, Gold: gold}), nil
}

// learned collects the tensors of a seed; ok is false where its shared stages
// are not there.
func (r *Run) learned(point, seed int) (l Learned, ok bool) {
	shared := r.tensors(cellID{point, -1, seed})
	if shared == nil {
		return l, false
	}
	l = Learned{Base: shared[0].Data, SFT: shared[1].Data, Weight: shared[2].Data, Bias: shared[3].Data, Arms: map[string][]float64{}}
	for arm, a := range r.Experiment.Points[point].Arms {
		if own := r.tensors(cellID{point, arm, seed}); own != nil {
			l.Arms[a.Name] = own[0].Data
		}
	}
	return l, true
}
