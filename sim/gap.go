package sim

import (
	"slices"

	"rlhfsim/policy"
)

// Gap says where an arm's distance from the best possible gold objective comes
// from. With J_gold(π) = E[gold] − β KL(π‖π_SFT),
//
//	Total = J*_gold − J_gold(π) = RewardModel + Class + Optimisation
type Gap struct {
	Total float64
	// RewardModel is lost by optimising the learned reward perfectly instead of
	// gold: J*_gold − J_gold(π*_proxy), never negative.
	RewardModel float64
	// Class is lost by then staying in the policy class, at the best stationary
	// point found there: J_gold(π*_proxy) − J_gold(π_class). It is negative where
	// the class keeps the policy from the reward model's mistakes.
	Class float64
	// Optimisation is lost by the optimiser, its noise and its stopping:
	// J_gold(π_class) − J_gold(π). Stopping early can make it negative.
	Optimisation float64
	// ClassSpread is the difference in the proxy objective between the best and
	// the worst stationary point from several starts; GradientNorm is that of the
	// natural gradient at the best.
	ClassSpread, GradientNorm float64
}

// gap explains an arm's policy at its β.
func (s *Shared) gap(pi *policy.Softmax, final Exact, ideal *ideal, beta float64) Gap {
	j := func(e Exact) float64 { return e.Gold - float64(beta*e.KL) }
	gold, optimum := ideal.gold, ideal.exact
	class, spread := s.inClass(beta, ideal, pi)
	within := s.exact(&class.Policy.Chain, false)
	return Gap{
		Total: gold.Objective - j(final), RewardModel: gold.Objective - j(optimum),
		Class: j(optimum) - j(within), Optimisation: j(within) - j(final),
		ClassSpread: spread, GradientNorm: class.GradientNorm,
	}
}

// inClass is the best stationary point of the learned reward's objective from
// three starts: the SFT policy, the base policy, and where the arm ended.
func (s *Shared) inClass(beta float64, ideal *ideal, pi *policy.Softmax) (best policy.InClass, spread float64) {
	worst := 0.0
	for i, found := range append(slices.Clip(ideal.inClass), s.evaluator.NewInClass(pi, s.proxy.objective(&s.SFT.Chain, beta))) {
		if i == 0 || found.Value > best.Value {
			best = found
		}
		if i == 0 || found.Value < worst {
			worst = found.Value
		}
	}
	return best, best.Value - worst
}

func (g Gap) metrics() []Metric {
	return []Metric{
		{"exact/gold_gap", g.Total}, {"exact/gold_gap_reward_model", g.RewardModel}, {"exact/gold_gap_class", g.Class},
		{"exact/gold_gap_optimisation", g.Optimisation}, {"exact/class_spread", g.ClassSpread}, {"exact/class_gradient_norm", g.GradientNorm},
	}
}
