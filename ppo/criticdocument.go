package ppo

import (
	"fmt"
	"math"

	"rlhfsim/internal/golden"
)

// criticCase is what a critic learns from: the reward of each token, its values when
// the batch was sampled, and those it has now.
type criticCase struct {
	Mask      [][]int     `json:"completion_mask"`
	Reward    [][]float64 `json:"token_rewards"`
	Values    [][]float64
	NewValues [][]float64 `json:"new_values"`
}

type criticResult struct {
	Gamma   float64     `required:"true"`
	Lam     float64     `required:"true"`
	Clip    *float64    `json:"cliprange_value"` // none: values move freely
	GAE     [][]float64 // before any whitening
	Returns [][]float64
	Loss    *float64    `json:"value_loss"` // mean over the tokens
	Clipped *float64    `json:"value_clipfrac"`
	Grad    [][]float64 `json:"grad_new_values"`
}

// of computes advantages, returns, and the value loss with its gradient.
func (r criticResult) of(in criticCase, out *golden.Comparison) error {
	tables := map[string][][]float64{"token_rewards": in.Reward, "values": in.Values, "new_values": in.NewValues}
	if err := (masked{Mask: in.Mask}).check(tables, make([]float64, len(in.Mask))); err != nil {
		return err
	}
	within, tokens := math.Inf(1), 0
	if r.Clip != nil {
		within = *r.Clip
	}
	if within < 0 {
		return fmt.Errorf("cliprange_value = %v: it must be at least 0", within)
	}
	var loss, clipped float64
	var gae, returns, grad [][]float64
	for i, mask := range in.Mask {
		reward, old, now := under(mask, in.Reward[i]), under(mask, in.Values[i]), under(mask, in.NewValues[i])
		own, target, slope := make([]float64, len(old)), make([]float64, len(old)), make([]float64, len(old))
		GAE(own, reward, old, r.Gamma, r.Lam)
		for t := range own {
			target[t] = own[t] + old[t]
			l, d, cut := ClippedValue(now[t], old[t], target[t], within)
			loss, clipped, slope[t] = loss+l, clipped+cut, d
		}
		tokens += len(own)
		gae, returns, grad = append(gae, spread(mask, own)), append(returns, spread(mask, target)), append(grad, spread(mask, slope))
	}
	each := 1 / float64(max(1, tokens))
	for i, row := range grad {
		grad[i] = scaled(row, each)
	}
	out.Number("value_loss", r.Loss, each*loss, golden.OfValues)
	out.Optional("value_clipfrac", r.Clipped, each*clipped, golden.OfFloat32)
	if err := out.Table("gae", r.GAE, gae, golden.OfValues); err != nil {
		return err
	}
	if err := out.Table("returns", r.Returns, returns, golden.OfValues); err != nil {
		return err
	}
	return out.Table("grad_new_values", r.Grad, grad, golden.OfGradients)
}
