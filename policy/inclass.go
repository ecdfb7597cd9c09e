package policy

import (
	"math"

	"rlhfsim/internal/num"
)

// InClass is a stationary point of J among the policies that have one table for
// all positions: what a perfect optimiser of the class would find from where it
// starts. J is not concave in the table, so nothing says that it is the best.
// The table is free, whatever the parametrisation of the policy it starts from.
type InClass struct {
	Policy *Softmax
	Value  float64 // J there
	// GradientNorm is that of the natural gradient, √(E Σ_t A²) with A the
	// advantage of a decision averaged over the positions that share its row.
	GradientNorm float64
	Steps        int
}

// Where the search for a stationary point ends. Ten to a hundred steps are usual.
const (
	inClassTolerance = 1e-9
	inClassSteps     = 10_000
)

// NewInClass climbs from a policy by soft policy iteration, which is the natural
// gradient (Kakade 2001) with step 1/β: each row moves towards
//
//	π(w|x,c) ∝ π_ref(w|x,c) exp( Q̄(c,w)/β ),  Q̄ = Q/Visits,
//
// the optimal answer to the Q-values averaged over the positions that share the
// row. A stationary point is a fixed point of that move, so the moves are mixed
// with the last ones as Anderson (1965) does; a mixture that would lower J or
// make the gradient longer is dropped for the plain move, and that is halved
// while it would lower J.
func (e *Evaluator) NewInClass(from *Softmax, o Objective) InClass {
	out := InClass{Policy: from.Free()}
	here, there, last := e.NewGradient(), e.NewGradient(), newAnderson(e.Cells())
	target, next, logits := make([]float64, e.Cells()), make([]float64, e.Cells()), make([]float64, e.Cells())
	e.Gradient(here, &out.Policy.Chain, o)
	out.GradientNorm = e.naturalTarget(target, here, &out.Policy.Chain, o)
	trial, step := from.Free(), 1.0
	for out.Steps < inClassSteps && out.GradientNorm > inClassTolerance && step > 1e-12 && !e.Stopped() {
		at := &out.Policy.Chain
		mixed := last.mix(logits, at, target, here.Visits)
		if !mixed {
			for i, z := range at.LogP {
				logits[i] = z + float64(step*(target[i]-z))
			}
		}
		_ = trial.SetLogits(logits) // a free table of the same shape
		e.Gradient(there, &trial.Chain, o)
		norm := e.naturalTarget(next, there, &trial.Chain, o)
		out.Steps++
		// Close to the end the gain in J is lost in rounding: there the gradient
		// must not grow. Elsewhere it may, on the way off a saddle.
		rounding := 1e-13 * (1 + math.Abs(here.Value))
		gain, longer := there.Value-here.Value, norm > 2*out.GradientNorm
		switch {
		case mixed && (gain < -rounding || longer && gain <= rounding):
			last.forget()
			continue
		case gain < -rounding:
			step /= 2
			continue
		case mixed:
		case longer && gain <= rounding: // a step that overshoots: shorter ones settle
			step = max(step/2, 1.0/256)
		default:
			step = min(1, 2*step)
		}
		last.remember(at, target)
		out.Policy, trial = trial, out.Policy
		here, there = there, here
		target, next = next, target
		out.GradientNorm = norm
	}
	out.Value = here.Value
	return out
}

// naturalTarget fills the log-probabilities that each row would move to, and
// returns the norm of the natural gradient.
func (e *Evaluator) naturalTarget(target []float64, g *Gradient, pi *Chain, o Objective) float64 {
	n, norm := e.Outcomes(), 0.0
	for row, visits := range g.Visits {
		at := row * n
		to, mean := target[at:at+n], 0.0
		for w := range to {
			q := 0.0
			if visits > 0 {
				q = g.Q[at+w] / visits
			}
			to[w] = o.Ref.LogP[at+w] + q/o.Beta
			mean += float64(pi.P[at+w] * (to[w] - pi.LogP[at+w]))
		}
		for w := range to {
			a := o.Beta * (to[w] - pi.LogP[at+w] - mean)
			norm += float64(visits * float64(pi.P[at+w]*float64(a*a)))
		}
		logZ := num.LogSumExp(to)
		for w := range to {
			to[w] -= logZ
		}
	}
	return math.Sqrt(norm)
}
