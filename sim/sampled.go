package sim

import (
	"context"
	"math"

	"rlhfsim/policy"
)

// samples is how many pairs of responses an estimate takes.
const samples = 20_000

// sampledWinRate estimates the win rate against SFT where the lattice of counts
// is too large for the exact one, with its standard error. The same stream is
// used every time, so that differences between policies are not noise.
func (s *Shared) sampledWinRate(c *policy.Chain) (rate, se float64) {
	r := s.stream("monte carlo", "win rate")
	var e estimate
	var a, b policy.Response
	for range samples {
		if s.evaluator.Stopped() {
			break
		}
		x := policy.Prompt(r.Categorical(s.World.Weights))
		a, b = c.Sample(a[:0], x, r), s.SFT.Sample(b[:0], x, r)
		won, lost := s.World.Value(x, a), s.World.Value(x, b)
		switch {
		case math.Abs(won-lost) < 5e-10: // as in policy.CountValue
			e.add(0.5)
		case won > lost:
			e.add(1)
		default:
			e.add(0)
		}
	}
	return e.mean(), e.se()
}

// agreement is how often two raters agree, and the accuracy of a perfect judge,
// over pairs of the responses that were ranked: exact, or estimated where the
// lattice of counts is too large.
func (s *Shared) agreement(ctx context.Context, h Rater) []Metric {
	if s.values != nil {
		a, c := h.Agreement(ctx, s.evaluator.Distribution(s.writer, s.values))
		return []Metric{{"exact/rater_agreement", a}, {"exact/accuracy_ceiling", c}}
	}
	r := s.stream("monte carlo", "agreement")
	var agree, right, decided estimate
	var a, b policy.Response
	for range samples {
		if ctx.Err() != nil {
			return nil
		}
		x := policy.Prompt(r.Categorical(s.World.Weights))
		a, b = s.writer.Sample(a[:0], x, r), s.writer.Sample(b[:0], x, r)
		var own verdicts
		own.add(h, s.World.Value(x, a), s.World.Value(x, b), 1)
		agree.add(own.agree)
		right.add(own.right)
		decided.add(own.clear)
	}
	return []Metric{{"mc/rater_agreement", agree.mean()}, {"mc/rater_agreement_se", agree.se()}, {"mc/accuracy_ceiling", right.mean() / decided.mean()}, {"mc/accuracy_ceiling_se", right.se() / decided.mean()}}
}

// estimate is a running mean with its standard error.
type estimate struct{ n, sum, squares float64 }

func (e *estimate) add(v float64) {
	e.n++
	e.sum += v
	e.squares += float64(v * v)
}

func (e *estimate) mean() float64 { return e.sum / e.n }

func (e *estimate) se() float64 {
	m := e.mean()
	variance := (e.squares/e.n - float64(m*m)) * (e.n / (e.n - 1))
	return math.Sqrt(math.Max(variance, 0) / e.n)
}
