package policy

import (
	"math"

	"rlhfsim/internal/num"
)

// Selection is what choosing the best of several responses by a score needs to
// know: for each prompt the distribution of the score under the policy that
// writes them, and what a response of that score is worth on average.
type Selection struct {
	Scores [][]float64 // [prompts] the scores that occur, ascending
	Probs  [][]float64 // [prompts] their probabilities
	Values [][]float64 // [prompts] E[value | score]
}

// Selection chooses by the value itself.
func (d Distribution) Selection() Selection {
	return Selection{Scores: d.Values, Probs: d.Probs, Values: d.Values}
}

// TiltedSelection is the optimum at β for the score of a selection from the
// reference's responses: the expected value there, beside the three numbers of
// TiltedOptimum.
func (e *Evaluator) TiltedSelection(ref Selection, beta float64) (jStar, score, kl, value float64) {
	d := Distribution{Values: ref.Scores, Probs: ref.Probs}
	tilted := d.Tilted(beta)
	jStar, score, kl = e.tiltedOptimum(d, tilted, beta)
	for x, probs := range tilted.Probs {
		value += float64(e.weights[x] * num.Dot(probs, ref.Values[x]))
	}
	return jStar, score, kl, value
}

// BestOfN is the policy that samples n responses and keeps the one with the
// highest score, a tie broken by chance.
type BestOfN struct {
	N     int
	Score float64 // expected score of the one kept
	Value float64 // its expected value
	KL    float64 // KL(π_n‖π), exact, nats per response
	Bound float64 // log n − (n−1)/n, which KL never exceeds
}

// BestOfN is exact for any n ≥ 1, one result for each size. With F the
// distribution function of the score,
//
//	P_n(s) = F(s)ⁿ − F(s−)ⁿ,   KL(π_n‖π) = Σ_s P_n(s) log(P_n(s)/P(s)),
//
// since π_n/π depends on the score alone. The bound holds with equality where
// the score has no ties (Beirami et al. 2024, arXiv 2401.01879, theorem 1).
func (e *Evaluator) BestOfN(s Selection, sizes []int) []BestOfN {
	out := make([]BestOfN, len(sizes))
	for k, n := range sizes {
		out[k] = BestOfN{N: n, Bound: num.Log(float64(n)) - float64(n-1)/float64(n)}
	}
	for x, weight := range e.weights {
		steps := stepsOf(s.Probs[x])
		for k, n := range sizes {
			own := steps.best(s.Scores[x], s.Values[x], float64(n))
			out[k].Score += float64(weight * own.Score)
			out[k].Value += float64(weight * own.Value)
			out[k].KL += float64(weight * own.KL)
		}
	}
	return out
}

// step is what a score needs for any n: log P, log F and log(1 − P/F).
type step struct{ logP, logF, logBelow float64 }

type steps []step

// stepsOf adds up from the top, where F is close to 1 and large n look.
func stepsOf(probs []float64) steps {
	all := make(steps, len(probs))
	tail := 0.0 // P(score above)
	for i := len(probs) - 1; i >= 0; i-- {
		p := probs[i]
		share := min(p/(1-tail), 1) // 1 at the lowest score, up to rounding
		all[i] = step{num.Log(p), num.Log1p(-tail), num.Log1p(-share)}
		tail += p
	}
	return all
}

// best is the expectation at one n. The two powers of P_n nearly cancel where P
// is small, and both vanish where n is large, so it is computed as
//
//	log P_n = n log F + log(1 − exp(n log(1 − P/F)))
func (all steps) best(scores, values []float64, n float64) (own BestOfN) {
	const least = -745 // e^least is the smallest number above 0
	for i := len(all) - 1; i >= 0; i-- {
		at := all[i]
		if float64(n*at.logF) < least { // and so are all scores below
			break
		}
		if math.IsInf(at.logP, -1) {
			continue
		}
		log := float64(n*at.logF) + num.Log(-num.Expm1(float64(n*at.logBelow)))
		kept := num.Exp(log)
		own.Score += float64(kept * scores[i])
		own.Value += float64(kept * values[i])
		if kept > 0 {
			own.KL += float64(kept * (log - at.logP))
		}
	}
	return own
}
