package sim

import (
	"context"
	"math"

	"rlhfsim/internal/num"
)

// FrontierPoint is the optimum at one β: of the learned reward, or of gold.
type FrontierPoint struct {
	Beta, KL, Proxy, Gold float64
}

// Frontier is the exact reward-KL frontier, from large β to small.
type Frontier struct {
	Proxy []FrontierPoint // optima of the learned reward
	Gold  []FrontierPoint // optima of gold itself (Proxy is not computed); empty where the world is too large
	// Peak is the optimum of the learned reward with the most gold, its β located
	// to 1e−6: a better optimiser, or a smaller β, hurts from there on.
	Peak FrontierPoint
}

// The frontier runs over this many β, evenly spaced in log β.
const (
	frontierPoints            = 40
	frontierHigh, frontierLow = 20.0, 0.02
)

func frontierBeta(i int) float64 {
	step := float64(i) / float64(frontierPoints-1)
	return float64(frontierHigh * num.Exp(float64(step*num.Log(frontierLow/frontierHigh))))
}

func (s *Shared) newFrontier(ctx context.Context) (f Frontier, err error) {
	best := 0
	for i := range frontierPoints {
		telling(ctx)("frontier", i, frontierPoints)
		p, err := s.proxyPoint(frontierBeta(i))
		if err != nil {
			return f, err
		}
		f.Proxy = append(f.Proxy, p)
		if p.Gold > f.Proxy[best].Gold {
			best = i
		}
		if s.values != nil {
			_, gold, kl := s.evaluator.TiltedOptimum(s.sftValues, p.Beta)
			f.Gold = append(f.Gold, FrontierPoint{Beta: p.Beta, KL: kl, Gold: gold})
		}
	}
	f.Peak, err = s.peak(frontierBeta(min(best+1, frontierPoints-1)), frontierBeta(max(best-1, 0)))
	return f, err
}

// peak finds the β between low and high whose optimum has the most gold, by
// golden-section search (the neighbours of the best grid point bracket it).
func (s *Shared) peak(low, high float64) (FrontierPoint, error) {
	inverse := (math.Sqrt(5) - 1) / 2
	at := func(share float64) (FrontierPoint, error) { return s.proxyPoint(low + float64(share*(high-low))) }
	a, err := at(1 - inverse)
	if err != nil {
		return a, err
	}
	b, err := at(inverse)
	for err == nil && high-low > 1e-6 {
		if a.Gold >= b.Gold {
			high, b = b.Beta, a
			a, err = at(1 - inverse)
		} else {
			low, a = a.Beta, b
			b, err = at(inverse)
		}
	}
	return a, err
}

// GoldAt evaluates the exact optimum for gold at β: what a perfect reward model
// and a perfect optimiser would reach. Its proxy is not computed. Where the
// world is too large for the distribution of gold, nothing is known.
func (s *Shared) GoldAt(beta float64) Exact {
	if s.values == nil {
		return Exact{}
	}
	jStar, gold, kl := s.evaluator.TiltedOptimum(s.sftValues, beta)
	return Exact{Gold: gold, KL: kl, Objective: jStar, WinRate: s.evaluator.WinRate(s.sftValues.Tilted(beta), s.sftValues), HasObjective: true, HasWinRate: true}
}
