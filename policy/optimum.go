package policy

import (
	"context"
	"fmt"

	"rlhfsim/internal/num"
)

// Optimum is the policy that maximises J(π) = E_π[r] − β KL(π‖π_ref),
//
//	π*(y|x) = π_ref(y|x) exp(r(x,y)/β) / Z(x),   J* = Σ_x p(x) β log Z(x)
//
// (Rafailov et al. 2023, eq. 4; Ziegler et al. 2019, section 2).
type Optimum struct {
	Chain             // π*, with rows of its own for each position
	Value   float64   // J*
	LogZ    []float64 // log Z(x) for each prompt
	Beta    float64
	Weights []float64
}

// NewOptimum computes the optimum for an additive reward by soft value
// iteration over (position, context), backwards from the last position:
//
//	U_T = 0,  U_t(c) = log Σ_w π_ref(w|c) exp(R(c,w)/β + U_{t+1}(c·w)),
//	π*_t(w|c) = π_ref(w|c) exp(R(c,w)/β + U_{t+1}(c·w) − U_t(c)),
//
// where EOS ends the sum (no U after it). log Z(x) = U_0(start) + Bias[x]/β.
func (e *Evaluator) NewOptimum(ref *Chain, r *Additive, beta float64) (*Optimum, error) {
	if err := e.checkOptimum(ref, beta); err != nil {
		return nil, err
	}
	if len(r.R) != e.Cells() || len(r.Bias) != e.Prompts {
		return nil, fmt.Errorf("policy: a reward of %d entries and %d biases does not fit a world of %d and %d", len(r.R), len(r.Bias), e.Cells(), e.Prompts)
	}
	o := &Optimum{Chain: newChain(e.geometry, e.MaxLength), LogZ: make([]float64, e.Prompts), Beta: beta, Weights: e.weights}
	rows, n := e.Rows(), e.Outcomes()
	scores := make([]float64, rows*n) // the softmax's logits: log π_ref + R/β + U_{t+1}
	u := make([]float64, rows)
	for t := e.MaxLength - 1; t >= 0; t-- {
		if e.Stopped() {
			return nil, context.Cause(e.ctx)
		}
		for row := range rows {
			x, context := row/e.contexts, row%e.contexts
			from := ref.Row(t, Prompt(x), context)
			for w := range n {
				scores[row*n+w] = ref.LogP[from+w] + r.R[row*n+w]/beta
			}
			if t < e.MaxLength-1 {
				after := u[x*e.contexts+int(e.base[context]):]
				for w := range e.Words {
					scores[row*n+w] += after[w]
				}
			}
		}
		at := t * rows * n
		p, logp := o.P[at:at+rows*n], o.LogP[at:at+rows*n]
		num.SoftmaxRows(p, logp, scores, n)
		for row := range rows { // all of U_{t+1} has been read
			u[row] = scores[row*n] - logp[row*n]
		}
	}
	for x, weight := range e.weights {
		o.LogZ[x] = u[x*e.contexts+e.start] + r.Bias[x]/beta
		o.Value += float64(weight * float64(beta*o.LogZ[x]))
	}
	return o, nil
}
