package sim

import (
	"context"
	"fmt"
	"sync"

	"rlhfsim/policy"
)

// ideal is what all arms of a seed with the same β are measured against; it is
// computed by the first that needs it.
type ideal struct {
	jStar   float64          // of the learned reward
	exact   Exact            // at its optimum
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
func (s *Shared) ideal(ctx context.Context, beta float64) (*ideal, error) {
	s.ideals.mu.Lock()
	defer s.ideals.mu.Unlock()
	if known := s.ideals.at[beta]; known != nil {
		return known, nil
	}
	telling(ctx)(fmt.Sprintf("the optimum at β = %g", beta), 0, 0)
	i := &ideal{gold: s.GoldAt(beta)}
	var err error
	if i.jStar, i.exact, err = s.proxyOptimum(beta); err != nil {
		return nil, err
	}
	i.exact.against(beta, i.jStar)
	if i.gold.HasObjective {
		for _, from := range []*policy.Softmax{s.SFT, s.Base} {
			i.inClass = append(i.inClass, s.evaluator.NewInClass(from, s.proxy.objective(&s.SFT.Chain, beta)))
		}
	}
	if ctx.Err() != nil { // nothing above means anything
		return nil, context.Cause(ctx)
	}
	s.ideals.at[beta] = i
	return i, nil
}

// start is the exact evaluation of the SFT policy, where every arm begins.
func (s *Shared) start() Exact {
	s.ideals.mu.Lock()
	defer s.ideals.mu.Unlock()
	if s.ideals.start == nil {
		e := s.exact(&s.SFT.Chain, true)
		if s.evaluator.Stopped() {
			return e
		}
		s.ideals.start = &e
	}
	return *s.ideals.start
}
