package ppo

import (
	"fmt"

	"rlhfsim/internal/golden"
)

// klCase are tokens under the policy and the reference.
type klCase struct {
	LogP [][]float64 `json:"logprob"`
	Ref  [][]float64 `json:"ref_logprob"`
}

type klResult struct {
	Estimator string      `json:"kl_estimator"`
	Clamp     float64     `json:"kl_clamp"`
	KL        [][]float64 `json:"kl"`
	Grad      [][]float64 `json:"grad_logprob"` // ∂k(t)/∂log π_t
}

// of computes the penalty of every token and its slope.
func (r klResult) of(in klCase, out *golden.Comparison) error {
	k, err := r.estimator()
	if err != nil {
		return err
	}
	if !sameShape(in.Ref, in.LogP) {
		return fmt.Errorf("ref_logprob has not the shape of logprob")
	}
	var values, slopes [][]float64
	for i, row := range in.LogP {
		kl, grad := make([]float64, len(row)), make([]float64, len(row))
		for t, logp := range row {
			kl[t], grad[t] = k.At(logp, in.Ref[i][t])
		}
		values, slopes = append(values, kl), append(slopes, grad)
	}
	if err := out.Table("kl", r.KL, values, golden.OfValues); err != nil {
		return err
	}
	return out.Table("grad_logprob", r.Grad, slopes, golden.OfGradients)
}

// estimator is the one that the result names.
func (r klResult) estimator() (KLEstimator, error) {
	k, ok := estimator(r.Estimator, r.Clamp)
	if !ok || r.Clamp < 0 {
		return k, fmt.Errorf("kl_estimator %q with kl_clamp %v; known: %q, and a clamp of at least 0", r.Estimator, r.Clamp, estimators[:len(KLEstimators)])
	}
	return k, nil
}
