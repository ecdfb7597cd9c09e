package ppo

// GroupMethod is a published method, as what it changes in DefaultGroup.
type GroupMethod struct {
	Name, Idea, Paper string
	Defaults          GroupConfig
}

func preset(change func(c *GroupConfig)) GroupConfig {
	c := DefaultGroup()
	change(&c)
	return c
}

// GroupMethods is the table of critic-free methods. What their authors leave
// open, and sizes that only make sense for networks (GSPO's ε of 3e−4, learning
// rates), are DefaultGroup's. Methods
// about ratios away from 1 take four updates on each batch, as their papers do.
var GroupMethods = []GroupMethod{
	{"reinforce", "the policy gradient with the batch's mean reward as baseline", "Williams 1992", preset(func(c *GroupConfig) {
		c.NumGenerations, c.Advantage, c.ScaleRewards, c.LossType = 1, "batch_mean", "none", "reinforce"
		c.KLIn, c.KLEstimator = "reward", "k1"
	})},
	{"rloo", "REINFORCE Leave-One-Out: the other responses to the same prompt are the baseline", "Ahmadian et al. 2024, arXiv 2402.14740", preset(func(c *GroupConfig) {
		c.NumGenerations, c.Advantage, c.ScaleRewards, c.ImportanceSamplingLevel = 4, "leave_one_out", "none", "response"
		c.KLIn, c.KLEstimator = "reward", "k1"
	})},
	{"grpo", "Group Relative Policy Optimization: rewards standardised within the group", "Shao et al. 2024, DeepSeekMath, arXiv 2402.03300", DefaultGroup()},
	{"dr_grpo", "GRPO Done Right: no division by the group's deviation, nor by a response's length", "Liu et al. 2025, arXiv 2503.20783", preset(func(c *GroupConfig) {
		c.ScaleRewards, c.LossType = "none", "dr_grpo"
	})},
	{"bnpo", "GRPO with the loss averaged over the batch's tokens", "TRL", preset(func(c *GroupConfig) { c.LossType = "bnpo" })},
	{"dapo", "Decoupled clip and dynamic sampling: clip-higher, token mean, no group without a signal, overlong responses punished", "Yu et al. 2025, arXiv 2503.14476", preset(func(c *GroupConfig) {
		c.LossType, c.EpsilonHigh, c.DynamicSampling, c.OverlongPenalty, c.NumIterations = "dapo", 0.28, true, 1, 4
	})},
	{"gspo", "Group Sequence Policy Optimization: one ratio, the geometric mean, for a whole response", "Zheng et al. 2025, arXiv 2507.18071", preset(func(c *GroupConfig) {
		c.ImportanceSamplingLevel, c.NumIterations = "sequence", 4
	})},
	{"cispo", "Clipped importance-sampling weights: every token keeps a gradient", "MiniMax-M1 2025, arXiv 2506.13585", preset(func(c *GroupConfig) {
		c.LossType, c.EpsilonHigh, c.NumIterations = "cispo", 5, 4
	})},
	{"sapo", "Soft Adaptive Policy Optimization: a sigmoid gate in place of the clip", "Gao et al. 2025, arXiv 2511.20347", preset(func(c *GroupConfig) {
		c.LossType, c.NumIterations = "sapo", 4
	})},
	{"gmpo", "Geometric-Mean Policy Optimization", "Zhao et al. 2025, arXiv 2507.20673", preset(func(c *GroupConfig) {
		c.LossType, c.Epsilon, c.NumIterations = "gmpo", 0.4, 4
	})},
	{"luspo", "GSPO without its preference for short responses: a response counts by its length", "LUSPO, arXiv 2602.05261", preset(func(c *GroupConfig) {
		c.LossType, c.ImportanceSamplingLevel, c.NumIterations = "luspo", "sequence", 4
	})},
	{"vespo", "REINFORCE with a smooth weight that fades far from the sampling policy", "VESPO, arXiv 2602.10693", preset(func(c *GroupConfig) {
		c.LossType, c.NumIterations = "vespo", 4
	})},
	{"reinforce_pp", "REINFORCE++: PPO's loss and token-level KL, advantages whitened over the batch, no critic", "Hu et al. 2025, arXiv 2501.03262", preset(func(c *GroupConfig) {
		c.NumGenerations, c.Advantage, c.ScaleRewards, c.WhitenAdvantages, c.LossType = 1, "none", "none", true, "bnpo"
		c.KLIn, c.KLEstimator = "token_reward", "k1"
	})},
	{"reinforce_pp_baseline", "REINFORCE++ with the group's mean taken off first, KL (k2) in the loss", "Hu et al. 2025, arXiv 2501.03262", preset(func(c *GroupConfig) {
		c.ScaleRewards, c.WhitenAdvantages, c.LossType, c.KLEstimator = "none", true, "bnpo", "k2"
	})},
	{"remax", "the reward of the greedy response is the baseline", "Li et al. 2023, arXiv 2310.10505", preset(func(c *GroupConfig) {
		c.NumGenerations, c.Advantage, c.ScaleRewards, c.LossType = 1, "greedy", "none", "reinforce"
		c.KLIn, c.KLEstimator = "token_reward", "k1"
	})},
	{"opo", "On-Policy with the Optimal baseline: the group's rewards weighted by length", "Hao et al. 2025, arXiv 2505.23585", preset(func(c *GroupConfig) {
		c.Advantage, c.ScaleRewards, c.LossType = "length_weighted", "none", "reinforce"
		c.KLIn, c.KLEstimator = "reward", "k1"
	})},
}
