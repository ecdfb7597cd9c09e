package ppo

// entropyControl is the coefficient of the entropy bonus: fixed, or adaptive (He et
// al. 2025, Skywork-OR1, arXiv 2505.22312; TRL's use_adaptive_entropy). After each
// update it grows by δ where the entropy is at most the target, and falls by δ
// elsewhere; above the target no bonus is given.
type entropyControl struct {
	coef             float64
	adaptive         bool
	target           float64 // nats per token
	low, high, delta float64
	last             float64 // entropy of the last update
}

// bonus is the coefficient that holds now.
func (c *entropyControl) bonus() float64 {
	if c.adaptive && c.last > c.target {
		return 0
	}
	return c.coef
}

// see moves the coefficient after an update on tokens of that mean entropy.
func (c *entropyControl) see(entropy float64) {
	if !c.adaptive {
		return
	}
	c.last = entropy
	if entropy <= c.target {
		c.coef = min(c.coef+c.delta, c.high)
	} else {
		c.coef = max(c.coef-c.delta, c.low)
	}
}
