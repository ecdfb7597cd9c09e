package sim

import (
	"fmt"

	"rlhfsim/internal/field"
	"rlhfsim/policy"
)

// writers are simulated careful people who write demonstrations. They know what
// is wanted and still use the language of the raw text: their responses are
// exact samples of the optimum for gold on the base policy,
//
//	P(y|x) = π_base(y|x) exp(gold(x,y)/T)/Z(x),  T = sft.writer_temperature,
//
// so a small T writes the best response known and a large one writes raw text.
// Prompts and responses have streams of their own, so that n pairs are the first
// n of any larger number.
func (s *Shared) writers() ([]policy.Demonstration, error) {
	c := s.Config.SFT
	if c.Generate == 0 {
		return nil, nil
	}
	if err := s.needsLattice(); err != nil {
		return nil, err
	}
	best, err := s.evaluator.NewCountOptimum(&s.Base.Chain, s.values, c.WriterTemperature)
	if err != nil {
		return nil, err
	}
	prompts, responses := s.stream("sft", "writers", "prompts"), s.stream("sft", "writers", "responses")
	out := make([]policy.Demonstration, c.Generate)
	for i := range out {
		if s.evaluator.Stopped() {
			break
		}
		x := policy.Prompt(prompts.Categorical(s.World.Weights))
		out[i] = policy.Demonstration{Prompt: x, Response: best.Sample(nil, x, responses)}
	}
	return out, nil
}

// needsLattice refuses writers in a world whose optimum for gold is not known.
func (l *Lab) needsLattice() error {
	if l.Config.SFT.Generate == 0 || l.values != nil {
		return nil
	}
	return &field.Error{Field: "sft.generate", Value: l.Config.SFT.Generate, Allowed: "0 in a world this large",
		Why: fmt.Sprintf("writers sample the exact optimum for gold, and its lattice would have more than %d states", policy.MaxStates)}
}
