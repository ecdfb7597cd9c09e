package sim

import (
	"sync"

	"rlhfsim/policy"
)

// ideal is what all arms of a seed with the same β are measured against; it is
// computed by the first that needs it.
type ideal struct {
	optimum *policy.Optimum  // of the learned reward
	exact   Exact            // at it
	gold    Exact            // at the optimum for gold
	inClass []policy.InClass // stationary points found from the SFT and the base policy
}

// ideals are a seed's, by β, and its exact start.
type ideals struct {
	mu    sync.Mutex
	at    map[float64]*ideal
	start *Exact // of the SFT policy
}

// ideal is that of an arm's β.
func (s *Shared) ideal(beta float64) (*ideal, error) {
	s.ideals.mu.Lock()
	defer s.ideals.mu.Unlock()
	if known := s.ideals.at[beta]; known != nil {
		return known, nil
	}
	o, err := s.evaluator.NewOptimum(&s.SFT.Chain, s.proxy, beta)
	if err != nil {
		return nil, err
	}
	i := &ideal{optimum: o, exact: s.exact(&o.Chain, true), gold: s.GoldOptimum(beta)}
	i.exact.against(o)
	if i.gold.HasObjective {
		for _, from := range []*policy.Softmax{s.SFT, s.Base} {
			i.inClass = append(i.inClass, s.evaluator.NewInClass(from, s.objective(beta)))
		}
	}
	s.ideals.at[beta] = i
	return i, nil
}

// objective is what the learned reward asks for at β.
func (s *Shared) objective(beta float64) policy.Objective {
	return policy.Objective{Ref: &s.SFT.Chain, Additive: s.proxy, Beta: beta}
}

// start is the exact evaluation of the SFT policy, where every arm begins.
func (s *Shared) start() Exact {
	s.ideals.mu.Lock()
	defer s.ideals.mu.Unlock()
	if s.ideals.start == nil {
		e := s.exact(&s.SFT.Chain, true)
		s.ideals.start = &e
	}
	return *s.ideals.start
}
