package ppo

import "fmt"

// covarianceResult is what verl's clip_cov and kl_cov are told; its defaults where a
// result does not say.
type covarianceResult struct {
	ClipCovRatio *float64 `json:"clip_cov_ratio"`
	ClipCovLB    *float64 `json:"clip_cov_lb"`
	ClipCovUB    *float64 `json:"clip_cov_ub"`
	KLCovRatio   *float64 `json:"kl_cov_ratio"`
	PPOKLCoef    *float64 `json:"ppo_kl_coef"`
}

func (r covarianceResult) set(c *GroupConfig) {
	for _, f := range []struct {
		to   *float64
		from *float64
	}{{&c.ClipCovRatio, r.ClipCovRatio}, {&c.ClipCovLB, r.ClipCovLB}, {&c.ClipCovUB, r.ClipCovUB}, {&c.KLCovRatio, r.KLCovRatio}, {&c.PPOKLCoef, r.PPOKLCoef}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
}

// onlyChoice refuses a batch of clip_cov in which more tokens qualify than are left out:
// which of them is chance, and there is no number to compare.
func onlyChoice(c GroupConfig, ys []*Tokens) error {
	if c.LossType != "clip_cov" {
		return nil
	}
	left, candidates, tokens := c.ClipCovRatio, 0, 0
	c.ClipCovRatio = 1
	NewGroupObjective(c).Prepare(ys, nil)
	for _, y := range ys {
		tokens += len(y.Marked)
		for _, marked := range y.Marked {
			if marked {
				candidates++
			}
		}
	}
	if n := share(left, tokens); candidates > n {
		return fmt.Errorf("loss_type \"clip_cov\" leaves out %d of %d tokens at random here; make clip_cov_ratio larger", n, candidates)
	}
	return nil
}
