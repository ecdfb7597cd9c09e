package ppo

import "rlhfsim/internal/card"

// GroupMethod is a published method, as what it changes in DefaultGroup.
type GroupMethod struct {
	Name string
	card.Card
	Defaults GroupConfig
}

func preset(change func(c *GroupConfig)) GroupConfig {
	c := DefaultGroup()
	change(&c)
	return c
}

// GroupMethods is the table of critic-free methods. What their authors leave open,
// sizes that only make sense for networks (GSPO's ε of 3e−4, learning rates) and the
// KL are DefaultGroup's: all methods share objective.beta, so that they climb the
// same J (as published, DAPO and Dr. GRPO have none: beta = 0). Methods about ratios
// away from 1 take four updates on each batch, as their papers do.
var GroupMethods = []GroupMethod{
	{
		Name: "reinforce",
		Card: card.Card{
			Title:   "REINFORCE with a baseline",
			Idea:    "the policy gradient with the batch's mean reward as baseline",
			Formula: "−1/B Σ_i (R_i − R̄) log π(y_i|x_i), R = r − β Σ_t k1(t)",
			Paper:   "Williams 1992",
			Differs: "verl has the loss without a baseline of its own; OpenRLHF's \"reinforce\" is REINFORCE++; TRL's RLOO is nearest",
			Exact:   "its expected gradient is (n−1)/n of ∇J; with advantage = \"none\" it is ∇J",
			Also:    []string{"vanilla policy gradient", "policy gradient"},
		},
		Defaults: preset(func(c *GroupConfig) {
			c.NumGenerations, c.Advantage, c.ScaleRewards, c.LossType = 1, "batch_mean", "none", "reinforce"
			c.KLIn, c.KLEstimator = "reward", "k1"
		}),
	},
	{
		Name: "rloo",
		Card: card.Card{
			Title:   "REINFORCE Leave-One-Out",
			Idea:    "the other responses to the same prompt are the baseline",
			Formula: "−1/B Σ_i min(ρ_i Â_i, clip(ρ_i) Â_i), Â_i = R_i − 1/(n−1) Σ_{j≠i} R_j, ρ of the whole response",
			Paper:   "Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740",
			Differs: "TRL: n = 2, else as here. OpenRLHF takes k1 off after the baseline, token by token (kl_in = \"token_reward\"); verl's is n/(n−1)(R − R̄), k1 in R as here; both have a ratio a token: importance_sampling_level = \"token\". In verl n = 1 is no error",
			Exact:   "its expected gradient is ∇J, to the last digit",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.NumGenerations, c.Advantage, c.ScaleRewards, c.ImportanceSamplingLevel = 4, "leave_one_out", "none", "response"
			c.KLIn, c.KLEstimator = "reward", "k1"
		}),
	},
	{
		Name: "grpo",
		Card: card.Card{
			Title:   "Group Relative Policy Optimization",
			Idea:    "rewards standardised within the group",
			Formula: "1/B Σ_i 1/|y_i| Σ_t [−min(ρ_t Â_i, clip(ρ_t) Â_i) + β k3(t)], Â_i = (R_i − R̄)/(σ + 1e−4)",
			Paper:   "Shao et al. 2024, DeepSeekMath, arXiv 2402.03300, equation 3",
			Differs: "σ has 1e−4 beside it in TRL, 1e−6 in verl, 1e−9 in OpenRLHF (scale_epsilon); TRL's loss_type is \"dapo\" and its β 0 by default, OpenRLHF and verl average over tokens (loss_type = \"bnpo\"); verl clips dually at 3 (delta = 3), clamps k3 at ±10 (kl_clamp = 10) and lets n = 1 pass; both clamp log ρ at ±20 (log_ratio_clamp = 20); OpenRLHF leaves masked responses out of a mean (drop_masked_responses = true)",
			Exact:   "the division by σ, the means over lengths and k3 in the loss each turn its expected gradient away from ∇J",
		},
		Defaults: DefaultGroup(),
	},
	{
		Name: "dr_grpo",
		Card: card.Card{
			Title:   "GRPO Done Right",
			Idea:    "no division by the group's deviation, nor by a response's length",
			Formula: "1/(B L) Σ_i Σ_t [−min(ρ_t Â_i, clip(ρ_t) Â_i) + β k3(t)], Â_i = R_i − R̄, L the longest length",
			Paper:   "Liu et al. 2025, arXiv 2503.20783",
			Differs: "TRL as here. OpenRLHF's dr_grpo only leaves out σ and averages over tokens; verl's seq-mean-token-sum-norm as here (before February 2026 not divided by B)",
			Exact:   "with β = 0 its expected gradient is ∇J times (n−1)/(nL); with k3 in the loss it is not",
			Also:    []string{"Dr. GRPO"},
		},
		Defaults: preset(func(c *GroupConfig) {
			c.ScaleRewards, c.LossType = "none", "dr_grpo"
		}),
	},
	{
		Name: "bnpo",
		Card: card.Card{
			Title:   "GRPO with a batch-normalised loss",
			Idea:    "GRPO with the loss averaged over the batch's tokens",
			Formula: "1/N Σ_i Σ_t [−min(ρ_t Â_i, clip(ρ_t) Â_i) + β k3(t)], N the tokens of the batch",
			Paper:   "TRL's loss_type \"bnpo\"",
			Differs: "it is the default aggregation of OpenRLHF and verl. Beta Normalization Policy Optimization (arXiv 2506.02864) is another method of that name",
		},
		Defaults: preset(func(c *GroupConfig) { c.LossType = "bnpo" }),
	},
	{
		Name: "dapo",
		Card: card.Card{
			Title:   "Decoupled Clip and Dynamic Sampling Policy Optimization",
			Idea:    "clip-higher, token mean, no group without a signal, overlong responses punished",
			Formula: "1/N Σ_i Σ_t [−min(ρ_t Â_i, clip(ρ_t, 1−ε_low, 1+ε_high) Â_i) + β k3(t)], R = r + soft overlong punishment",
			Paper:   "Yu et al. 2025, arXiv 2503.14476, equations 8 to 13",
			Differs: "the paper and TRL's recipe have no KL (beta = 0); here all methods climb the same objective. TRL has no dynamic sampling, OpenRLHF filters by the group's mean, verl by any metric and without a limit of draws (its recipe: 10 batches; here 10 draws a group); verl's punishment goes on beyond −1",
			Exact:   "dynamic sampling shifts weight to prompts whose rewards vary, the token mean to long responses: J is not what it climbs",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.EpsilonHigh, c.DynamicSampling, c.OverlongPenalty, c.NumIterations = "dapo", 0.28, true, 1, 4
		}),
	},
	{
		Name: "gspo",
		Card: card.Card{
			Title:   "Group Sequence Policy Optimization",
			Idea:    "one ratio, the geometric mean, for a whole response",
			Formula: "1/B Σ_i [−min(s_i Â_i, clip(s_i) Â_i) + β k̄3], s_i = (π(y_i)/π_old(y_i))^{1/|y_i|}",
			Paper:   "Zheng et al. 2025, arXiv 2507.18071, equations 5 to 7",
			Differs: "OpenRLHF takes the mean of responses as here (a KL in its loss stays a mean of tokens: kl_aggregation = \"token_mean\"), TRL the aggregation of its loss_type, verl its form for tokens, whose gradient is the same; the paper's ε is 3e−4 and 4e−4",
			Exact:   "on its first update it is GRPO",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.ImportanceSamplingLevel, c.NumIterations = "sequence", 4
		}),
	},
	{
		Name: "cispo",
		Card: card.Card{
			Title:   "Clipped Importance Sampling Policy Optimization",
			Idea:    "a capped weight, so that every token keeps a gradient",
			Formula: "1/N Σ_i Σ_t [−sg[min(ρ_t, ε_high)] Â_i log π(y_t) + β k3(t)]",
			Paper:   "MiniMax-M1 2025, arXiv 2506.13585, equation 4",
			Differs: "TRL as here: a cap, no lower bound. verl clips to (1 − ε_low, 1 + ε_high): loss_type = \"cispo_two_sided\"; OpenRLHF does not have it",
			Exact:   "on its first update it is bnpo",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.EpsilonHigh, c.NumIterations = "cispo", 5, 4
		}),
	},
	{
		Name: "sapo",
		Card: card.Card{
			Title:   "Soft Adaptive Policy Optimization",
			Idea:    "a sigmoid gate in place of the clip",
			Formula: "1/B Σ_i 1/|y_i| Σ_t [−(4/τ) σ(τ(ρ_t − 1)) Â_i + β k3(t)], τ by the sign of Â",
			Paper:   "Gao et al. 2025, arXiv 2511.20347",
			Differs: "TRL as here; verl the same with log_ratio_clamp = 20; OpenRLHF does not have it",
			Exact:   "on its first update it is GRPO",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.NumIterations = "sapo", 4
		}),
	},
	{
		Name: "gmpo",
		Card: card.Card{
			Title:   "Geometric-Mean Policy Optimization",
			Idea:    "the geometric mean of ratios clipped one by one",
			Formula: "1/B Σ_i [−Â_i exp(1/|y_i| Σ_t clip(log ρ_t, ±ε)) + β k̄3], the clip one-sided by the sign of Â",
			Paper:   "Zhao et al. 2025, arXiv 2507.20673",
			Differs: "TRL as here; verl's geo_mean has ε = 0.2; OpenRLHF does not have it",
			Exact:   "on its first update it is GRPO",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.Epsilon, c.NumIterations = "gmpo", 0.4, 4
		}),
	},
	{
		Name: "clip_cov",
		Card: card.Card{
			Title:   "Clip-Cov",
			Idea:    "some of the tokens that cost most entropy, by their covariance, do not count",
			Formula: "1/N Σ_i Σ_t m_t [−min(ρ_t Â_i, clip(ρ_t) Â_i)] + β k3(t), m_t = 0 for a few unclipped tokens with 1 < Cov_t < 5, Cov_t = (log π_t − mean)(Â_i − mean)",
			Paper:   "Cui et al. 2025, arXiv 2505.22617, section 4.2",
			Differs: "verl as here; the paper has no KL (beta = 0); TRL and OpenRLHF do not have it. A share of 2e−4 is one token of a batch here",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.NumIterations = "clip_cov", 4
		}),
	},
	{
		Name: "kl_cov",
		Card: card.Card{
			Title:   "KL-Cov",
			Idea:    "the tokens that cost most entropy, by their covariance, are held to where they were sampled",
			Formula: "1/N Σ_i Σ_t [−ρ_t Â_i + c m_t |log ρ_t| + β k3(t)], m_t = 1 for the tokens of the largest (log π_t − mean)(Â_i − mean), 0 elsewhere, c = ppo_kl_coef",
			Paper:   "Cui et al. 2025, arXiv 2505.22617, section 4.2",
			Differs: "verl as here, with ppo_kl_coef = 0.1; the paper has no KL to the reference (beta = 0); TRL and OpenRLHF do not have it. A share of 2e−4 is one token of a batch here",
			Exact:   "on its first update it is bnpo; it has no clip",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.NumIterations = "kl_cov", 4
		}),
	},
	{
		Name: "dppo",
		Card: card.Card{
			Title:   "Divergence Proximal Policy Optimization",
			Idea:    "tokens that move away from where they were sampled stop counting when their probability, not their ratio, has changed too much",
			Formula: "1/N Σ_i Σ_t [−M_t sg[ρ_t] Â_i log π(y_t) + β k3(t)], M_t = 0 where |π − π_old| > ε and Â_i > 0, ρ_t > 1 or Â_i < 0, ρ_t < 1, 1 elsewhere",
			Paper:   "Qi et al. 2026, arXiv 2602.04879, sections 4.3 and 4.4",
			Differs: "verl's dppo_tv and dppo_kl (loss_type = \"dppo_kl\", a KL of token against others; ε = 0.05 in its recipe) as here with log_ratio_clamp = 20 and, unless told, ρ cut off at 3 (delta = 3; its recipe: not); the recipe has dr_grpo's mean and no deviation. π_old is who sampled: in the paper the inference engine, of which there is no other here. TRL and OpenRLHF do not have it; the paper's top-K divergences are not here",
			Exact:   "on its first update it is bnpo",
			Also:    []string{"dppo_tv", "dppo_kl", "dppo-binary-tv", "dppo-binary-kl"},
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.Epsilon, c.NumIterations = "dppo_tv", 0.15, 4
		}),
	},
	{
		Name: "dro",
		Card: card.Card{
			Title:   "Direct Reward Optimisation",
			Idea:    "samples count as they are, and a squared log-ratio holds the policy to where they were sampled",
			Formula: "1/N Σ_i Σ_t [−Â_i log π(y_t) + (dro_beta/2) (log ρ_t)² + β k3(t)], Â_i = R_i − R̄",
			Paper:   "Richemond et al. 2024, arXiv 2405.19107, equation 8; Kimi k1.5 2025, arXiv 2501.12599, section 2.3.2",
			Differs: "verl's dro as here, with the advantages one chooses and no dro_beta unless told. In both papers the square is of a whole response's log-ratio; Richemond et al. sample once, hold to π_ref and learn a value in place of R̄; Kimi k1.5 has R̄, and no KL (beta = 0). TRL and OpenRLHF do not have it",
			Exact:   "on its first update it is bnpo without the deviation; on later ones it takes the samples for its own",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.ScaleRewards, c.NumIterations = "dro", "none", 4
		}),
	},
	{
		Name: "luspo",
		Card: card.Card{
			Title:   "Length-Unbiased Sequence Policy Optimization",
			Idea:    "GSPO without its preference for short responses: a response counts by its length",
			Formula: "1/B Σ_i |y_i| [−min(s_i Â_i, clip(s_i) Â_i) + β k̄3]",
			Paper:   "LUSPO 2026, arXiv 2602.05261",
			Differs: "TRL as here where importance_sampling_level = \"sequence\" and β = 0, else its mean counts padding; OpenRLHF and verl do not have it",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.ImportanceSamplingLevel, c.NumIterations = "luspo", "sequence", 4
		}),
	},
	{
		Name: "vespo",
		Card: card.Card{
			Title:   "Variational Sequence-Level Soft Policy Optimization",
			Idea:    "REINFORCE with a smooth weight that fades far from the sampling policy",
			Formula: "1/N Σ_i Σ_t [−sg[φ(w_i)] Â_i log π(y_t) + β k3(t)], φ(w) = e^λ w^k e^{−λw}, w of the whole response",
			Paper:   "VESPO 2026, arXiv 2602.10693",
			Differs: "TRL as here; OpenRLHF and verl do not have it",
			Exact:   "on its first update it is bnpo",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.LossType, c.NumIterations = "vespo", 4
		}),
	},
	{
		Name: "reinforce_pp",
		Card: card.Card{
			Title:   "REINFORCE++",
			Idea:    "PPO's loss and token-level KL, advantages whitened over the batch, no critic",
			Formula: "1/N Σ_i Σ_t −min(ρ_t Â_t, clip(ρ_t) Â_t), Â_t = whiten(r − β Σ_{s≥t} k1(s))",
			Paper:   "Hu et al. 2025, arXiv 2501.03262",
			Differs: "OpenRLHF (\"reinforce\") whitens with the biased variance (biased_whitening = true), verl with the unbiased one; both have a γ (gamma) and clamp log ρ (log_ratio_clamp = 20); TRL's docs come near it by RLOO with normalize_advantages",
			Exact:   "whitening only scales and shifts, but the shift is per token: long responses get more of it",
			Also:    []string{"reinforce++", "reinforce_plus_plus"},
		},
		Defaults: preset(func(c *GroupConfig) {
			c.NumGenerations, c.Advantage, c.ScaleRewards, c.WhitenAdvantages, c.LossType = 1, "none", "none", true, "bnpo"
			c.KLIn, c.KLEstimator = "token_reward", "k1"
		}),
	},
	{
		Name: "reinforce_pp_baseline",
		Card: card.Card{
			Title:   "REINFORCE++ with a group baseline",
			Idea:    "REINFORCE++ with the group's mean taken off first, KL (k2) in the loss",
			Formula: "1/N Σ_i Σ_t [−min(ρ_t Â_i, clip(ρ_t) Â_i) + β k2(t)], Â = whiten(R_i − R̄)",
			Paper:   "Hu et al. 2025, arXiv 2501.03262",
			Differs: "OpenRLHF has the KL in the reward by default (kl_in = \"token_reward\", kl_estimator = \"k1\"), the biased variance, and clips R − R̄, not r (cliprange_advantage = 10); verl as here but for the KL, which is off; TRL does not have it",
			Also:    []string{"reinforce++-baseline", "reinforce++ baseline", "reinforce_plus_plus_baseline"},
		},
		Defaults: preset(func(c *GroupConfig) {
			c.ScaleRewards, c.WhitenAdvantages, c.LossType, c.KLEstimator = "none", true, "bnpo", "k2"
		}),
	},
	{
		Name: "remax",
		Card: card.Card{
			Title:   "ReMax",
			Idea:    "the reward of the greedy response is the baseline",
			Formula: "−1/B Σ_i Σ_t (r(y_i) − r(greedy) − β Σ_{s≥t} k1(s)) log π(y_t)",
			Paper:   "Li et al. 2023, arXiv 2310.10505, algorithm 1",
			Differs: "verl as here with use_kl_in_reward; TRL and OpenRLHF do not have it",
			Exact:   "its expected gradient is ∇J, to the last digit",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.NumGenerations, c.Advantage, c.ScaleRewards, c.LossType = 1, "greedy", "none", "reinforce"
			c.KLIn, c.KLEstimator = "token_reward", "k1"
		}),
	},
	{
		Name: "opo",
		Card: card.Card{
			Title:   "On-Policy RL with the Optimal baseline",
			Idea:    "the group's rewards weighted by length are the baseline",
			Formula: "−1/B Σ_i (R_i − Σ_j |y_j| R_j / Σ_j |y_j|) log π(y_i)",
			Paper:   "Hao et al. 2025, arXiv 2505.23585",
			Differs: "verl as here, and with n = 1 it has no baseline; TRL and OpenRLHF do not have it",
			Exact:   "the baseline holds the response's own reward, by its length: almost ∇J, not quite",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.Advantage, c.ScaleRewards, c.LossType = "length_weighted", "none", "reinforce"
			c.KLIn, c.KLEstimator = "reward", "k1"
		}),
	},
	{
		Name: "otb",
		Card: card.Card{
			Title:   "Optimal Token Baseline",
			Idea:    "a baseline for every token: what follows in the group's responses, weighted by how far each has moved the gradient",
			Formula: "−1/B Σ_i Σ_t (G_it − Σ_j W_jt G_jt / Σ_j W_jt) log π(y_it), G_it = r(y_i) − β Σ_{s≥t} k1(s), W_jt = Σ_{s≤t} (1 − 2π(y_js) + Σ_v π(v)²)",
			Paper:   "Li et al. 2026, arXiv 2602.07078",
			Differs: "verl's optimal_token_baseline as here, with 1e−8 beside Σ W and no baseline for tokens that only one response is long enough to have; its recipe has PPO's clip, the token mean and no KL. verl's tir_optimal_token_baseline, for several turns, would differ in those last tokens alone. TRL and OpenRLHF do not have it",
			Exact:   "W is exact where every logit is free and each row visited once; the baseline holds the response's own reward: almost ∇J, not quite",
			Also:    []string{"optimal_token_baseline"},
		},
		Defaults: preset(func(c *GroupConfig) {
			c.Advantage, c.ScaleRewards, c.LossType = "optimal_token", "none", "reinforce"
			c.KLIn, c.KLEstimator = "token_reward", "k1"
		}),
	},
	{
		Name: "gpg",
		Card: card.Card{
			Title:   "Group Policy Gradient",
			Idea:    "GRPO with nothing but the group's mean: no clip, no deviation, no KL in the loss",
			Formula: "−1/N Σ_i Σ_t (R_i − R̄) log π(y_t), R = r − β Σ_t k1(t)",
			Paper:   "Chu et al. 2025, arXiv 2504.02546",
			Differs: "verl multiplies by batch/(rewards that are not 0), 1 for real-valued ones (scale_rewards = \"nonzero\"), and has no KL (beta = 0); TRL and OpenRLHF do not have it",
			Exact:   "the token mean alone turns its expected gradient away from ∇J",
		},
		Defaults: preset(func(c *GroupConfig) {
			c.ScaleRewards, c.LossType = "none", "gpg"
			c.KLIn, c.KLEstimator = "reward", "k1"
		}),
	},
	{
		Name: "pass_at_k",
		Card: card.Card{
			Title:   "GRPO for pass@k",
			Idea:    "only the best response of a group is learned from, by what it adds to the second",
			Formula: "GRPO's with Â = (R_max − R_second)/(σ + ε) for the best response and 0 for the others",
			Paper:   "Walder and Karkhanis 2025, arXiv 2505.15201; Chen et al. 2025, arXiv 2508.10751",
			Differs: "verl's grpo_passk as here, with 1e−6 beside σ; TRL and OpenRLHF do not have it",
			Exact:   "it climbs the expected best of a group, not J: exact/gap is not what it is about",
			Also:    []string{"pass@k", "grpo_passk"},
		},
		Defaults: preset(func(c *GroupConfig) { c.Advantage = "second_best" }),
	},
	{
		Name: "maxrl",
		Card: card.Card{
			Title:   "Maximum Likelihood Reinforcement Learning",
			Idea:    "successes only, and the rarer they are for a prompt the more they count",
			Formula: "1/B Σ_i 1/|y_i| Σ_t [−min(ρ_t Â_i, clip(ρ_t) Â_i) + β k3(t)], Â_i = (R_i − R̄)/(R̄ + 1e−6), R_i = 1 for a score ≥ success_score, 0 below",
			Paper:   "Tajwar et al. 2026, arXiv 2602.02710",
			Differs: "its authors' code, a fork of verl, as here; the rlhf-book has nothing beside R̄ (scale_epsilon = 0); TRL, OpenRLHF and verl do not have it",
			Exact:   "without clip, KL and means over lengths its expected gradient is that of the first n−1 terms of log p, p the probability of success, not of J: exact/gap is not what it is about",
			Also:    []string{"maximum likelihood RL"},
		},
		Defaults: preset(func(c *GroupConfig) {
			c.BinaryReward, c.ScaleRewards, c.ScaleEpsilon = true, "mean", 1e-6
		}),
	},
}
