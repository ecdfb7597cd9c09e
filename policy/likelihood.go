package policy

import (
	"fmt"

	"rlhfsim/internal/num"
)

// LogLikelihood is E_{x, y~q}[log π(y|x)], the objective of maximum likelihood
// on endless data from q, and fills dst with its derivative with respect to
// each log-probability of π (the convention of Trainer.G, for an objective to
// climb). With d_t(c) the probability that q decides in context c at position t,
//
//	E[log π(y|x)] = Σ_x p(x) Σ_t Σ_c d_t(c) Σ_w q(w|c) log π(w|x,c)
//
// so the derivative is the expected number of times that q takes the decision.
func (e *Evaluator) LogLikelihood(dst []float64, pi, q *Chain) float64 {
	clear(dst)
	sum, n := 0.0, e.Outcomes()
	for x, weight := range e.weights {
		clear(e.occupied)
		e.occupied[e.start] = 1
		for t := range e.MaxLength {
			for c, d := range e.occupied {
				if d > 0 {
					from, to := q.Row(t, Prompt(x), c), pi.Row(0, Prompt(x), c)
					num.Axpy(dst[to:to+n], weight*d, q.P[from:from+n])
				}
			}
			e.advance(q, Prompt(x), t)
		}
	}
	for i, visits := range dst {
		if visits > 0 {
			sum += float64(visits * pi.LogP[i])
		}
	}
	return sum
}

// Responses lists every response of a shape, shortest first; the error wraps
// ErrTooLarge where there are more than limit.
func (s Shape) Responses(limit int) ([]Response, error) {
	all := []Response{nil}
	for from := 0; from < len(all); from++ {
		if len(all[from]) == s.MaxLength {
			continue
		}
		for w := range s.Words {
			if len(all) == limit {
				return nil, fmt.Errorf("%w: more than %d responses", ErrTooLarge, limit)
			}
			all = append(all, append(all[from][:len(all[from]):len(all[from])], Token(w)))
		}
	}
	return all, nil
}
