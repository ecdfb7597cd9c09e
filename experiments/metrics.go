package experiments

import (
	"slices"
	"strings"

	"rlhfsim/sim"
)

// metricDoc says what a column of metrics.csv means. A name that means another
// thing in another stage (loss, entropy) has an entry for each meaning.
type metricDoc struct {
	Name      string   // a trailing * stands for any text: "exact/count/*"
	Stages    []string // base, sft, reward, a section for all of its methods, or "arms" for every method; nil = all of them
	Unit      string
	Formula   string
	Meaning   string
	Source    string   // whose name or definition it is
	Elsewhere []string // what others call it
	See       []string
}

// Stages that share metrics.
var (
	inPolicies = []string{"base", "sft", "arms"}
	inArms     = []string{"arms"}
	inFits     = []string{"base", "sft"}
	inReward   = []string{"reward"}
	inPPO      = []string{"ppo"}
	inDPO      = []string{"dpo"}
	inGroup    = []string{"grpo"}
	inRaft     = []string{"raft"}
	inOnline   = []string{"online"}
	inILQL     = []string{"ilql"}
	inSampled  = []string{"grpo", "raft"}
)

// Where names and definitions come from.
const (
	trlPPO    = "TRL PPOTrainer, after OpenAI's lm-human-preferences"
	trlOldPPO = "TRL 0.8 PPOTrainer"
	trlDPO    = "TRL DPOTrainer"
	trlGRPO   = "TRL GRPOTrainer"
	trlOnline = "TRL OnlineDPOTrainer"
	trlx      = "trlX AccelerateILQLTrainer"
	trlXPO    = "TRL 1.10 XPOTrainer"
	trlNash   = "TRL 1.10 NashMDTrainer"
	trlReward = "TRL RewardTrainer"
	trlSFT    = "TRL SFTTrainer"
	ours      = "rlhfsim"
)

// keyDocs are the columns of metrics.csv that say which row it is.
var keyDocs = []metricDoc{
	{Name: "arm", Unit: "name", Meaning: "The arm's name; empty for the stages that all arms share.", Source: ours, See: []string{"stage", "cell"}},
	{Name: "seed", Unit: "whole number", Meaning: "The seed; everything random in a cell follows from it.", Source: ours, See: []string{"cell"}},
	{Name: "stage", Unit: "name", Meaning: "base, sft, reward, or the arm's method.", Source: ours, See: []string{"step"}},
	{Name: "step", Unit: "steps", Meaning: "Steps taken: optimiser calls for base, sft, reward, dpo and exact, batches of sampled responses (with all their epochs) for ppo. Exact metrics are of the policy after that many steps; training metrics are what the step measured before its own update.", Source: ours, See: []string{"evaluation.every"}},
	{Name: "variant", Unit: "name", Meaning: "The name of the [[variant]], where a file has some.", Source: ours},
}

// metricDocs has an entry for every metric that a stage can record.
var metricDocs = []metricDoc{
	{Name: "exact/gold_reward", Stages: inPolicies, Unit: "worth", Formula: "E[gold(x,y)], y ~ π(·|x)",
		Meaning: "What the people here would say of the policy's responses, on average: the true objective, which no learner sees. An exact sum over every response.",
		Source:  "gold reward: Gao et al. 2022 (arXiv 2210.10760)", See: []string{"gold", "exact/proxy_reward", "over-optimisation"}},
	{Name: "exact/proxy_reward", Stages: inArms, Unit: "reward", Formula: "E[r(x,y)], y ~ π(·|x)",
		Meaning: "What the reward model would say of the policy's responses, on average. Where it rises while exact/gold_reward falls, the reward model is being hacked.",
		Source:  "proxy reward: Gao et al. 2022 (arXiv 2210.10760)", See: []string{"proxy", "reward hacking", "exact/gold_reward"}},
	{Name: "exact/kl", Stages: inPolicies, Unit: "nats per response", Formula: "KL(π‖π_SFT) = E[log π(y|x) − log π_SFT(y|x)], y ~ π(·|x)",
		Meaning: "How far the policy has moved from the SFT policy. Exact, so never negative; the sampled estimate of it is objective/kl.",
		Source:  ours, See: []string{"KL", "objective/kl", "beta"}},
	{Name: "exact/entropy", Stages: inPolicies, Unit: "nats per response", Formula: "−E[log π(y|x)], y ~ π(·|x)",
		Meaning: "How much the policy varies what it says. 0: always the same response.", Source: ours, See: []string{"objective/entropy", "policy/entropy_avg"}},
	{Name: "exact/length", Stages: inPolicies, Unit: "words", Formula: "E[|y|], EOS not counted",
		Meaning: "Words in a response, on average.", Source: ours, See: []string{"world.max_length"}},
	{Name: "exact/objective", Stages: inArms, Unit: "reward", Formula: "J(π) = E[r] − β KL(π‖π_SFT)",
		Meaning: "What RLHF maximises, at the arm's objective.beta, whatever coefficient the method itself uses or adapts: all arms are measured alike.",
		Source:  "Ziegler et al. 2019 (arXiv 1909.08593), equation 2; Rafailov et al. 2023 (arXiv 2305.18290), equation 3", See: []string{"J*", "exact/gap", "objective.beta"}},
	{Name: "exact/gap", Stages: inArms, Unit: "reward", Formula: "J* − J(π) = β KL(π‖π*) ≥ 0",
		Meaning: "What the policy lacks of the best possible objective for this reward model. 0: no policy can do better by the proxy.",
		Source:  "J* = β E[log Z]: Rafailov et al. 2023 (arXiv 2305.18290), equation 4 and appendix A.1", See: []string{"J*", "pi*", "exact/gold_gap"}},
	{Name: "exact/win_rate", Stages: inPolicies, Unit: "share", Formula: "P(gold(y) > gold(y′)) + ½ P(gold(y) = gold(y′)), y ~ π, y′ ~ π_SFT",
		Meaning: "How often people would prefer the policy's response to the SFT policy's, same prompt, ties counting half. First and last step of a stage.",
		Source:  "win rate against SFT: Stiennon et al. 2020 (arXiv 2009.01325)", See: []string{"win rate", "mc/win_rate"}},
	{Name: "exact/gold_gap", Stages: inArms, Unit: "gold", Formula: "J*_gold − J_gold(π), J_gold = E[gold] − β KL(π‖π_SFT)",
		Meaning: "What is lost against the best possible policy for what people really want. It is the sum of the parts exact/gold_gap_…. Last step of an arm.",
		Source:  ours, See: []string{"gap", "exact/gold_gap_reward_model", "exact/gold_gap_class", "exact/gold_gap_optimisation"}},
	{Name: "exact/gold_gap_reward_model", Stages: inArms, Unit: "gold", Formula: "J*_gold − J_gold(π*_proxy) ≥ 0",
		Meaning: "Lost by optimising the learned reward perfectly instead of gold.", Source: ours, See: []string{"exact/gold_gap", "gap"}},
	{Name: "exact/gold_gap_class", Stages: inArms, Unit: "gold", Formula: "J_gold(π*_proxy) − J_gold(π_class)",
		Meaning: "Lost by then staying in the policy class, at the best stationary point found from three starts. Negative where the class keeps the policy from the reward model's mistakes.", Source: ours, See: []string{"exact/gold_gap", "exact/class_spread", "policy.order"}},
	{Name: "exact/gold_gap_optimisation", Stages: inArms, Unit: "gold", Formula: "J_gold(π_class) − J_gold(π)",
		Meaning: "Lost by the optimiser, its noise and its stopping. Stopping early can make it negative.", Source: ours, See: []string{"exact/gold_gap"}},
	{Name: "exact/class_spread", Stages: inArms, Unit: "reward", Formula: "max J(π_class) − min J(π_class)",
		Meaning: "The proxy objective at the best minus that at the worst stationary point found from the three starts; near 0 where the class has one optimum.", Source: ours, See: []string{"exact/gold_gap_class"}},
	{Name: "exact/class_gradient_norm", Stages: inArms, Unit: "reward", Formula: "‖∇J‖ (natural) at π_class",
		Meaning: "The norm of the natural gradient where the search in the policy class ended (it ends below 1e-9): how settled that point is.", Source: ours, See: []string{"exact/gold_gap_class"}},
	{Name: "exact/count/*", Stages: inPolicies, Unit: "events per response", Formula: "E[number of events in y], y ~ π(·|x)",
		Meaning: "How often a response has an event that people care about, for each table of gold (spaces become _), not capped. First and last step of a stage.", Source: ours, See: []string{"world.value.count", "exact/any/*"}},
	{Name: "exact/any/*", Stages: inPolicies, Unit: "share", Formula: "P(at least one event in y), y ~ π(·|x)",
		Meaning: "How many responses have at least one such event. First and last step of a stage.", Source: ours, See: []string{"world.value.count", "exact/count/*"}},
	{Name: "exact/gold_p10", Stages: inPolicies, Unit: "worth", Formula: "inf {v : P(gold(x,y) ≤ v) ≥ 0.1}",
		Meaning: "A tenth of the responses are worth this or less. First and last step of a stage.", Source: ours, See: []string{"exact/gold_reward", "exact/gold_p50"}},
	{Name: "exact/gold_p50", Stages: inPolicies, Unit: "worth", Formula: "inf {v : P(gold(x,y) ≤ v) ≥ 0.5}",
		Meaning: "The median worth of a response. First and last step of a stage.", Source: ours, See: []string{"exact/gold_reward"}},
	{Name: "exact/gold_p90", Stages: inPolicies, Unit: "worth", Formula: "inf {v : P(gold(x,y) ≤ v) ≥ 0.9}",
		Meaning: "Nine tenths of the responses are worth this or less. First and last step of a stage.", Source: ours, See: []string{"exact/gold_reward", "exact/gold_p50"}},
	{Name: "exact/rater_agreement", Stages: inReward, Unit: "share", Formula: "E[p² + (1−p)²], p = P(label prefers y to y′)",
		Meaning: "How often two raters give the same label to a pair of responses from the writer of the ranked ones. InstructGPT's labellers: 72.6 %. Last step.",
		Source:  "Ouyang et al. 2022 (arXiv 2203.02155), section 3.4", See: []string{"exact/accuracy_ceiling", "labels.rater_temperature"}},
	{Name: "exact/accuracy_ceiling", Stages: inReward, Unit: "share", Formula: "E[max(p, 1−p)], p = P(label prefers y to y′)",
		Meaning: "The accuracy of a judge who knows gold: no reward model does better on average, because raters themselves are noisy. Last step.", Source: ours, See: []string{"eval_accuracy", "exact/rater_agreement"}},

	{Name: "exact/gradient_norm", Stages: inArms, Unit: "reward", Formula: "‖∇J‖ with respect to the logits; for dpo ‖∇L‖ of the population",
		Meaning: "The norm of the exact gradient, with evaluation.gradient = true.", Source: ours, See: []string{"evaluation.gradient", "exact/gradient_cosine"}},
	{Name: "exact/gradient_cosine", Stages: inArms, Unit: "cosine", Formula: "mean of cos(ĝ, ∇J) over 32 rollouts; for dpo between the data's gradient and ∇L",
		Meaning: "How well the learner's gradient points: 1 is the direction of the exact one.", Source: ours, See: []string{"evaluation.gradient", "exact/gradient_bias"}},
	{Name: "exact/gradient_bias", Stages: inArms, Unit: "share", Formula: "‖mean ĝ − ∇J‖/‖∇J‖, for critic-free methods under the best common factor; for dpo ‖data's − ∇L‖/‖∇L‖",
		Meaning: "How far the mean of the learner's gradients is from the exact one; compare with mc/gradient_bias_unbiased.", Source: ours, See: []string{"evaluation.gradient", "mc/gradient_bias_unbiased"}},
	{Name: "exact/population_loss", Stages: inDPO, Unit: "nats", Formula: "E[−log σ(βh)] over endless pairs",
		Meaning: "The sigmoid loss on endless pairs, in worlds of up to 1,000 responses, with evaluation.gradient = true.", Source: ours, See: []string{"evaluation.gradient", "loss"}},
	{Name: "mc/gradient_cosine_se", Stages: inArms, Unit: "cosine", Formula: "s/√n", Meaning: "The standard error of exact/gradient_cosine over rollouts.", Source: ours, See: []string{"exact/gradient_cosine"}},
	{Name: "mc/gradient_bias_unbiased", Stages: inArms, Unit: "share", Formula: "√(variance of ĝ/n)/‖∇J‖", Meaning: "The bias that an unbiased estimate of this noise would show.", Source: ours, See: []string{"exact/gradient_bias"}},
	{Name: "mc/win_rate", Stages: inPolicies, Unit: "share", Formula: "mean over 20 000 sampled pairs", Meaning: "An estimate of exact/win_rate, in worlds where the exact one would need too large a lattice of counts.", Source: ours, See: []string{"exact/win_rate", "mc/win_rate_se"}},
	{Name: "mc/win_rate_se", Stages: inPolicies, Unit: "share", Formula: "s/√n", Meaning: "The standard error of mc/win_rate.", Source: ours, See: []string{"mc/win_rate"}},
	{Name: "mc/rater_agreement", Stages: inReward, Unit: "share", Formula: "mean over 20 000 sampled pairs", Meaning: "An estimate of exact/rater_agreement, in worlds too large for the exact one.", Source: ours, See: []string{"exact/rater_agreement"}},
	{Name: "mc/rater_agreement_se", Stages: inReward, Unit: "share", Formula: "s/√n", Meaning: "The standard error of mc/rater_agreement.", Source: ours, See: []string{"mc/rater_agreement"}},
	{Name: "mc/accuracy_ceiling", Stages: inReward, Unit: "share", Formula: "mean over 20 000 sampled pairs", Meaning: "An estimate of exact/accuracy_ceiling, in worlds too large for the exact one.", Source: ours, See: []string{"exact/accuracy_ceiling"}},
	{Name: "mc/accuracy_ceiling_se", Stages: inReward, Unit: "share", Formula: "s/√n", Meaning: "The standard error of mc/accuracy_ceiling.", Source: ours, See: []string{"mc/accuracy_ceiling"}},

	{Name: "loss", Stages: inFits, Unit: "nats per token", Formula: "−(1/n) Σ log π(token)",
		Meaning: "The cross-entropy of the batch's n tokens, EOS included.", Source: trlSFT, See: []string{"SFT"}},
	{Name: "loss", Stages: inReward, Unit: "nats", Formula: "mean of −log σ(r_w − r_l) + c (r_w + r_l)²",
		Meaning: "The Bradley-Terry loss over the comparisons of each ranking, then over rankings; w is the response that the label prefers, c is reward.center_rewards_coefficient. 0.693 is guessing.",
		Source:  "Ouyang et al. 2022 (arXiv 2203.02155), equation 1; " + trlReward, See: []string{"Bradley-Terry", "reward.center_rewards_coefficient"}},
	{Name: "loss", Stages: inDPO, Unit: "nats", Formula: "mean of −log σ(βh) + εβh, h = log π/π_SFT of y_w − the same of y_l (loss_type sigmoid)",
		Meaning: "The preference loss over the batch's pairs; w is the chosen response, l the rejected one, ε is dpo.label_smoothing. For sigmoid 0.693 is where training starts.",
		Source:  "Rafailov et al. 2023 (arXiv 2305.18290), equation 7; " + trlDPO, See: []string{"dpo.loss_type", "dpo.beta"}},
	{Name: "entropy", Stages: []string{"base", "sft", "dpo", "grpo", "raft"}, Unit: "nats per token", Formula: "mean of −Σ_a π(a) log π(a) over the rows visited",
		Meaning: "How undecided the policy is about the next word, at the batch's tokens.", Source: "TRL", See: []string{"exact/entropy"}},
	{Name: "mean_token_accuracy", Stages: inFits, Unit: "share", Formula: "share of tokens that are the most probable outcome of their row",
		Meaning: "How often the policy's first guess is the word that was written.", Source: trlSFT, See: []string{"loss"}},
	{Name: "grad_norm", Unit: "loss per logit", Formula: "‖∇L‖₂",
		Meaning: "The norm of the gradient before clipping to max_grad_norm; for ppo of the policy alone, averaged over its updates.", Source: "TRL, transformers Trainer", See: []string{"ppo.max_grad_norm"}},
	{Name: "entropy_coef", Stages: []string{"grpo"}, Unit: "reward per nat", Formula: "c of the bonus c H before the step", Meaning: "The weight of the entropy bonus; it moves under grpo.use_adaptive_entropy.", Source: "TRL GRPOTrainer", See: []string{"grpo.entropy_coef", "grpo.use_adaptive_entropy"}},
	{Name: "learning_rate", Stages: []string{"base", "sft", "reward", "dpo", "exact", "grpo", "raft", "online"}, Unit: "logits per step", Formula: "α of Adam at this step",
		Meaning: "The step's learning rate, after the schedule. PPO's is called lr.", Source: "TRL, transformers Trainer", Elsewhere: []string{"charts/learning_rate"}, See: []string{"lr"}},

	{Name: "accuracy", Stages: inReward, Unit: "share", Formula: "share of comparisons with r_w > r_l",
		Meaning: "How often the reward model agrees with the label, on the batch it is about to learn from; a tie counts as wrong.", Source: trlReward, See: []string{"eval_accuracy"}},
	{Name: "margin", Stages: inReward, Unit: "reward", Formula: "mean of r_w − r_l", Meaning: "How far the preferred response is ahead.", Source: trlReward, See: []string{"eval_margin"}},
	{Name: "min_reward", Stages: inReward, Unit: "reward", Formula: "min r(x,y)", Meaning: "The lowest score of the batch's responses.", Source: trlReward},
	{Name: "mean_reward", Stages: inReward, Unit: "reward", Formula: "mean r(x,y)", Meaning: "The mean score of the batch's responses. After the last step one constant is subtracted so that the demonstrations score 0 on average.", Source: trlReward},
	{Name: "max_reward", Stages: inReward, Unit: "reward", Formula: "max r(x,y)", Meaning: "The highest score of the batch's responses.", Source: trlReward},
	{Name: "eval_loss", Stages: inReward, Unit: "nats", Formula: "mean of −log σ(r_w − r_l)", Meaning: "The Bradley-Terry loss on held-out rankings.", Source: "TRL, transformers Trainer", See: []string{"labels.held_out"}},
	{Name: "eval_accuracy", Stages: inReward, Unit: "share", Formula: "share of comparisons with r_w > r_l", Meaning: "How often the reward model agrees with the label on held-out rankings; ties count half. Compare with exact/accuracy_ceiling, not with 1.", Source: trlReward, See: []string{"exact/accuracy_ceiling", "labels.held_out"}},
	{Name: "eval_margin", Stages: inReward, Unit: "reward", Formula: "mean of r_w − r_l", Meaning: "How far the preferred response is ahead, on held-out rankings.", Source: trlReward},

	{Name: "objective/kl", Stages: []string{"ppo", "grpo", "online"}, Unit: "nats per response", Formula: "mean of Σ_t [log π_old(y_t) − log π_SFT(y_t)] (k1)",
		Meaning: "The sampled estimate of exact/kl on the step's responses, by k1 whatever kl_estimator says. An estimate: it can be negative by chance; the exact one cannot.", Source: trlPPO, Elsewhere: []string{"objective/kl_dist"}, See: []string{"exact/kl", "k1", "ppo.kl_estimator"}},
	{Name: "objective/entropy", Stages: []string{"ppo", "online"}, Unit: "nats per response", Formula: "mean of −Σ_t log π_old(y_t)", Meaning: "The sampled estimate of exact/entropy.", Source: trlPPO, See: []string{"exact/entropy"}},
	{Name: "objective/non_score_reward", Stages: inPPO, Unit: "reward", Formula: "−β × the KL estimate by ppo.kl_estimator", Meaning: "The part of the reward that is the KL penalty.", Source: trlPPO, See: []string{"objective/rlhf_reward"}},
	{Name: "objective/rlhf_reward", Stages: inPPO, Unit: "reward", Formula: "scores + non-score reward", Meaning: "The sampled estimate of the objective, with the method's own β.", Source: trlPPO, See: []string{"exact/objective", "objective/kl_coef"}},
	{Name: "objective/scores", Stages: inPPO, Unit: "reward", Formula: "mean of (r(x,y) − [cut] × missing_eos_penalty)/σ", Meaning: "What the reward model said of the step's responses, as it enters the token rewards: changed for those that were cut (ppo.truncated_reward), scaled where ppo.scale_reward says so (σ = 1 elsewhere).", Source: trlPPO, Elsewhere: []string{"ppo/mean_scores", "critic/score", "objective/score", "charts/episodic_return"}, See: []string{"exact/proxy_reward", "ppo.missing_eos_penalty", "ppo.truncated_reward", "ppo.scale_reward"}},
	{Name: "objective/kl_coef", Stages: inPPO, Unit: "reward per nat", Formula: "β", Meaning: "The KL coefficient of this step; it moves where ppo.adap_kl_ctrl is set.", Source: trlOldPPO, Elsewhere: []string{"actor/kl_coef"}, See: []string{"ppo.kl_coef", "ppo.adap_kl_ctrl"}},
	{Name: "objective/exact", Stages: []string{"exact"}, Unit: "reward, or gold", Formula: "J(π) = E[r] − β KL(π‖π_SFT)", Meaning: "The objective before the step, for the reward that is climbed (exact.reward).", Source: ours, See: []string{"exact/objective", "exact.reward"}},
	{Name: "policy/approxkl_avg", Stages: inPPO, Unit: "nats per token", Formula: "mean of ½ (log π − log π_old)²", Meaning: "How far the updates have moved the policy from the one that sampled (estimator k2): what ppo.target_kl stops. Not the distance from SFT.", Source: trlPPO, Elsewhere: []string{"losses/approx_kl", "losses/old_approx_kl", "actor/ppo_kl", "ppo_kl", "ppo/policy/policykl", "train/approx_kl"}, See: []string{"ppo.target_kl", "objective/kl", "k2"}},
	{Name: "policy/clipfrac_avg", Stages: inPPO, Unit: "share", Formula: "share of tokens with −Â clip(ρ, 1−ε, 1+ε) > −Âρ", Meaning: "How many tokens the clip takes out of the gradient.", Source: trlPPO, Elsewhere: []string{"losses/clipfrac", "actor/pg_clipfrac", "ppo_clip_ratio", "train/clip_fraction"}, See: []string{"ppo.cliprange"}},
	{Name: "policy/entropy_avg", Stages: inPPO, Unit: "nats per token", Formula: "mean of −Σ_a π(a) log π(a) over the rows visited", Meaning: "How undecided the policy is about the next word.", Source: trlPPO, Elsewhere: []string{"losses/entropy", "actor/entropy"}, See: []string{"exact/entropy", "ppo.entropy_coef"}},
	{Name: "loss/policy_avg", Stages: inPPO, Unit: "advantage", Formula: "mean of max(−Âρ, −Â clip(ρ, 1−ε, 1+ε)), ρ = π/π_old", Meaning: "PPO's clipped surrogate. Not a sign of progress: with whitened advantages it stays near 0 however well training goes.",
		Source: "Schulman et al. 2017 (arXiv 1707.06347), equation 7; " + trlPPO, Elsewhere: []string{"losses/policy_loss", "actor/pg_loss", "policy_loss", "train/policy_gradient_loss"}, See: []string{"ppo.cliprange", "exact/objective"}},
	{Name: "loss/value_avg", Stages: inPPO, Unit: "reward²", Formula: "mean of ½ max((V−R)², (clip(V, V_old ± c) − R)²)", Meaning: "The value head's clipped squared error; R are the returns.", Source: trlPPO, Elsewhere: []string{"losses/value_loss", "critic/vf_loss", "critic_loss", "train/value_loss"}, See: []string{"ppo.cliprange_value", "ppo.vf_coef", "ppo/val/var_explained"}},
	{Name: "val/clipfrac_avg", Stages: inPPO, Unit: "share", Formula: "share of tokens whose clipped value term is the larger", Meaning: "How many tokens the value clip takes out of the gradient.", Source: trlPPO, Elsewhere: []string{"critic/vf_clipfrac"}, See: []string{"ppo.cliprange_value"}},
	{Name: "val/ratio", Stages: inPPO, Unit: "ratio", Formula: "mean of ρ = π(y_t)/π_old(y_t)", Meaning: "The mean probability ratio over all updates of the step; 1 in the first pass.", Source: trlPPO, See: []string{"val/ratio_var", "ppo.cliprange"}},
	{Name: "val/ratio_var", Stages: inPPO, Unit: "ratio²", Formula: "variance over minibatches of their mean ρ", Meaning: "How much that ratio differs between minibatches.", Source: trlPPO, See: []string{"val/ratio"}},
	{Name: "val/num_eos_tokens", Stages: inPPO, Unit: "responses", Formula: "number of responses with EOS", Meaning: "How many of the step's responses ended themselves instead of being cut.", Source: trlPPO, See: []string{"ppo.missing_eos_penalty", "world.max_length"}},
	{Name: "ppo/val/var_explained", Stages: inPPO, Unit: "share", Formula: "1 − Var(R − V)/Var(R)", Meaning: "How much of the returns the value head foresees, before the update. 0: no better than a constant; negative: worse.", Source: trlOldPPO, Elsewhere: []string{"losses/explained_variance", "critic/vf_explained_var", "train/explained_variance", "explained_variance"}, See: []string{"loss/value_avg"}},
	{Name: "ppo/returns/mean", Stages: inPPO, Unit: "reward", Formula: "mean of R = Â + V", Meaning: "The mean return over the step's tokens.", Source: trlOldPPO, Elsewhere: []string{"critic/returns/mean"}, See: []string{"GAE"}},
	{Name: "ppo/returns/var", Stages: inPPO, Unit: "reward²", Formula: "variance of R = Â + V", Meaning: "The variance of the returns.", Source: trlOldPPO, See: []string{"ppo/val/var_explained"}},
	{Name: "ppo/epochs", Stages: inPPO, Unit: "passes", Formula: "passes taken over the batch", Meaning: "Fewer than ppo.num_ppo_epochs after an early stop.", Source: ours, See: []string{"ppo.early_stopping", "ppo.target_kl"}},
	{Name: "lr", Stages: inPPO, Unit: "logits per step", Formula: "α of Adam at this step", Meaning: "The policy's learning rate, after the schedule.", Source: trlPPO, Elsewhere: []string{"charts/learning_rate"}, See: []string{"ppo.learning_rate", "ppo.lr_scheduler_type"}},
	{Name: "episode", Stages: []string{"ppo", "grpo", "raft", "online"}, Unit: "responses", Formula: "responses sampled so far", Meaning: "The budget used, of total_episodes.", Source: trlPPO, Elsewhere: []string{"global_step"}, See: []string{"ppo.total_episodes"}},

	{Name: "loss/kl_avg", Stages: inPPO, Unit: "nats per token", Formula: "mean of k(t), see ppo.kl_estimator", Meaning: "The KL penalty of a token, where it stands in the loss (ppo.kl_in).", Source: ours, Elsewhere: []string{"actor/kl_loss"}, See: []string{"ppo.kl_in", "ppo.kl_estimator"}},
	{Name: "loss/ptx_avg", Stages: inPPO, Unit: "nats per line", Formula: "mean of −log π(line)", Meaning: "The cross-entropy of the pre-training lines mixed in, where ppo.ptx_coef is set.", Source: "Ouyang et al. 2022 (arXiv 2203.02155), equation 2", See: []string{"ppo.ptx_coef"}},

	{Name: "loss", Stages: inGroup, Unit: "advantage", Formula: "Σ_i a_i Σ_t [ℓ(w_t, Â_t) + β k(t)] − c_e H", Meaning: "What is minimised. Not a sign of progress: at ratio 1 it is minus a mean advantage.", Source: trlGRPO, Elsewhere: []string{"actor/pg_loss", "policy_loss"}, See: []string{"grpo.loss_type", "exact/objective"}},
	{Name: "loss", Stages: inRaft, Unit: "nats per token", Formula: "(1/n) Σ [−log π(token) + raft.kl_coef KL(π‖π_SFT)] over the responses kept", Meaning: "The cross-entropy of the best responses' tokens, and the KL penalty.", Source: trlSFT, See: []string{"reward/kept"}},
	{Name: "loss", Stages: inOnline, Unit: "as the loss type", Formula: "mean over pairs of ℓ", Meaning: "The loss of fresh pairs, see online.loss_type; for sigmoid 0.693 is where training starts.", Source: trlOnline, See: []string{"online.loss_type"}},
	{Name: "reward", Stages: inSampled, Unit: "reward", Formula: "mean of r(x,y)", Meaning: "What the reward model said of the step's responses, the punishment of long ones included, the KL not.", Source: trlGRPO, Elsewhere: []string{"critic/score/mean"}, See: []string{"exact/proxy_reward"}},
	{Name: "reward_std", Stages: inSampled, Unit: "reward", Formula: "standard deviation of r(x,y) over the batch", Meaning: "How much the rewards of the step's responses differ.", Source: trlGRPO, See: []string{"frac_reward_zero_std"}},
	{Name: "reward/kept", Stages: inRaft, Unit: "reward", Formula: "mean of max_i r(x,y_i), or of what else raft.select keeps", Meaning: "The mean score of the responses that are learned.", Source: ours, See: []string{"raft.num_generations", "raft.select"}},
	{Name: "frac_reward_zero_std", Stages: inGroup, Unit: "share", Formula: "share of groups with equal rewards", Meaning: "How many groups teach nothing, because no response is better than another.", Source: trlGRPO, See: []string{"grpo.dynamic_sampling"}},
	{Name: "dynamic_filtering_pass_rate", Stages: inGroup, Unit: "share", Formula: "groups kept/groups drawn", Meaning: "How many groups had something to teach; 1 without grpo.dynamic_sampling.", Source: "OpenRLHF", See: []string{"grpo.dynamic_sampling"}},
	{Name: "kl", Stages: inGroup, Unit: "nats per token", Formula: "mean of k(t), see grpo.kl_estimator", Meaning: "The KL penalty of a token, wherever it stands.", Source: trlGRPO, Elsewhere: []string{"actor/kl_loss"}, See: []string{"grpo.kl_in", "objective/kl"}},
	{Name: "clip_ratio/low_mean", Stages: inGroup, Unit: "share", Formula: "share of weights below 1−ε at Â < 0", Meaning: "How many importance weights the lower bound takes out of the gradient.", Source: trlGRPO, See: []string{"grpo.epsilon"}},
	{Name: "clip_ratio/low_min", Stages: inGroup, Unit: "share", Formula: "smallest such share of a response", Meaning: "The response that the lower bound touches least.", Source: trlGRPO, See: []string{"clip_ratio/low_mean"}},
	{Name: "clip_ratio/high_mean", Stages: inGroup, Unit: "share", Formula: "share of weights above 1+ε_high at Â > 0", Meaning: "How many importance weights the upper bound cuts off.", Source: trlGRPO, See: []string{"grpo.epsilon_high"}},
	{Name: "clip_ratio/high_max", Stages: inGroup, Unit: "share", Formula: "largest such share of a response", Meaning: "The response that the upper bound touches most.", Source: trlGRPO, See: []string{"clip_ratio/high_mean"}},
	{Name: "clip_ratio/region_mean", Stages: inGroup, Unit: "share", Formula: "low_mean + high_mean", Meaning: "How many importance weights are cut off at all.", Source: trlGRPO, Elsewhere: []string{"actor/pg_clipfrac"}, See: []string{"clip_ratio/low_mean", "clip_ratio/high_mean"}},
	{Name: "cispo_clip_ratio", Stages: inGroup, Unit: "share", Formula: "share of weights above ε_high at Â > 0, with loss_type = \"cispo\"", Meaning: "How many importance weights CISPO caps; the same number as clip_ratio/high_mean, under TRL's name.", Source: trlGRPO, See: []string{"grpo.epsilon_high", "clip_ratio/high_mean"}},
	{Name: "actor/pg_clipfrac", Stages: inGroup, Unit: "share", Formula: "share of tokens that do not count, with loss_type = \"clip_cov\"", Meaning: "How many tokens Clip-Cov leaves out: a fixed number, or fewer where fewer qualify.", Source: "verl", See: []string{"grpo.clip_cov_ratio", "grpo.clip_cov_lb"}},
	{Name: "vespo/phi_seq_mean", Stages: inGroup, Unit: "ratio", Formula: "mean over responses of φ(w) = e^λ w^k e^(−λw), with loss_type = \"vespo\"", Meaning: "What VESPO's weight makes of a response's advantage: 1 on the policy's own samples.", Source: trlGRPO, See: []string{"grpo.vespo_k_pos", "grpo.vespo_lambda_pos"}},
	{Name: "completions/mean_length", Stages: inGroup, Unit: "tokens", Formula: "mean number of tokens, EOS included", Meaning: "How long the step's responses are.", Source: trlGRPO, Elsewhere: []string{"response_length/mean"}, See: []string{"exact/length"}},
	{Name: "completions/min_length", Stages: inGroup, Unit: "tokens", Formula: "smallest number of tokens", Meaning: "The shortest response of the step.", Source: trlGRPO, See: []string{"completions/mean_length"}},
	{Name: "completions/max_length", Stages: inGroup, Unit: "tokens", Formula: "largest number of tokens", Meaning: "The longest response of the step.", Source: trlGRPO, See: []string{"completions/mean_length"}},
	{Name: "completions/clipped_ratio", Stages: inGroup, Unit: "share", Formula: "share of responses without EOS", Meaning: "How many responses reached world.max_length and were cut.", Source: trlGRPO, Elsewhere: []string{"response_length/clip_ratio"}, See: []string{"world.max_length", "grpo.mask_truncated_completions"}},
	{Name: "completions/mean_terminated_length", Stages: inGroup, Unit: "tokens", Formula: "mean number of tokens of responses with EOS", Meaning: "How long the responses are that ended themselves; 0 where none did.", Source: trlGRPO, See: []string{"completions/mean_length"}},
	{Name: "completions/min_terminated_length", Stages: inGroup, Unit: "tokens", Formula: "smallest number of tokens of responses with EOS", Meaning: "The shortest of them.", Source: trlGRPO, See: []string{"completions/mean_terminated_length"}},
	{Name: "completions/max_terminated_length", Stages: inGroup, Unit: "tokens", Formula: "largest number of tokens of responses with EOS", Meaning: "The longest of them.", Source: trlGRPO, See: []string{"completions/mean_terminated_length"}},
	{Name: "objective/scores", Stages: inOnline, Unit: "reward", Formula: "mean of r(x,y)", Meaning: "What the reward model said of both responses of the step's pairs.", Source: trlOnline, See: []string{"exact/proxy_reward"}},
	{Name: "objective/scores_margin", Stages: inOnline, Unit: "reward", Formula: "mean of |r(x,y_1) − r(x,y_2)|", Meaning: "How far apart the two responses of a pair score. (TRL's XPOTrainer wrote objective/model_scores − objective/ref_scores under this name.)", Source: trlOnline, See: []string{"online.judge"}},
	{Name: "loss/dpo", Stages: inOnline, Unit: "nats", Formula: "mean of −P log σ(βh) − (1−P) log σ(−βh), with loss_type = \"xpo\"", Meaning: "The part of XPO's loss that is DPO's.", Source: trlXPO, See: []string{"loss/xpo"}},
	{Name: "loss/xpo", Stages: inOnline, Unit: "nats", Formula: "mean of α log π(y_2|x), with loss_type = \"xpo\"", Meaning: "The part of XPO's loss that explores: it falls as the policy leaves the reference's responses.", Source: trlXPO, See: []string{"online.alpha", "loss/dpo"}},
	{Name: "objective/model_scores", Stages: inOnline, Unit: "reward", Formula: "mean of r(x,y_1), with loss_type = \"xpo\"", Meaning: "What the judge scores the policy's own responses.", Source: trlXPO, See: []string{"objective/ref_scores", "exact/proxy_reward"}},
	{Name: "objective/ref_scores", Stages: inOnline, Unit: "reward", Formula: "mean of r(x,y_2), with loss_type = \"xpo\"", Meaning: "What the judge scores the reference's responses.", Source: trlXPO, See: []string{"objective/model_scores"}},
	{Name: "rewards/probabilities", Stages: inOnline, Unit: "probability", Formula: "mean of P(y_1 ≻ y_2), with loss_type = \"nash_md\"", Meaning: "How likely the judge prefers the policy's response to the mixture's; ½ where neither wins.", Source: trlNash, See: []string{"online.mixture_coef"}},
	{Name: "val/contain_eos_token", Stages: inOnline, Unit: "share", Formula: "share of responses with EOS", Meaning: "How many responses ended themselves instead of being cut.", Source: trlOnline, See: []string{"world.max_length"}},
	{Name: "losses/loss", Stages: inILQL, Unit: "as its parts", Formula: "L_Q + L_V + c L_CQL + a L_AWAC", Meaning: "What is minimised; its parts have other units, so look at them.", Source: trlx, See: []string{"losses/loss_q", "losses/loss_v", "losses/loss_cql", "losses/loss_awac"}},
	{Name: "losses/loss_q", Stages: inILQL, Unit: "reward²", Formula: "Σ_i mean of (Q_i(s,a) − r − γ V(s′))²", Meaning: "How far the heads are from their targets, summed over the heads. It ends above 0 where a state is followed by several outcomes.", Source: "Snell et al. 2022 (arXiv 2206.11871), section 4.1; " + trlx, See: []string{"qvalues/*", "ilql.gamma"}},
	{Name: "losses/loss_v", Stages: inILQL, Unit: "reward²", Formula: "mean of |τ − 1[u < 0]| u², u = min Q̂(s,a) − V(s)", Meaning: "The expectile loss of V. It stays above 0 where words differ in worth.", Source: "Kostrikov et al. 2021 (arXiv 2110.06169), equation 5; " + trlx, See: []string{"ilql.tau", "values/*"}},
	{Name: "losses/loss_cql", Stages: inILQL, Unit: "nats", Formula: "−Σ_i mean of log softmax(Q_i(s,·))_a", Meaning: "The conservative term before its weight: how little the heads, read as logits, expect the data.", Source: "Kumar et al. 2020 (arXiv 2006.04779); " + trlx, See: []string{"ilql.cql_scale"}},
	{Name: "losses/loss_awac", Stages: inILQL, Unit: "nats per token", Formula: "mean of −exp(β(min Q̂ − V)) log π_β(a|s)", Meaning: "The weighted cross-entropy of the data under the behaviour policy.", Source: "Nair et al. 2020 (arXiv 2006.09359); " + trlx, See: []string{"ilql.awac_scale", "ilql.awac_beta"}},
	{Name: "values/*", Stages: inILQL, Unit: "reward", Formula: "mean, min, max and std of V(s)", Meaning: "The value head at the batch's tokens.", Source: trlx, See: []string{"losses/loss_v"}},
	{Name: "qvalues/*", Stages: inILQL, Unit: "reward", Formula: "mean, min, max and std of Q_i(s,a), i = 0, 1", Meaning: "Each Q head at the batch's tokens.", Source: trlx, See: []string{"losses/loss_q", "ilql.two_qs"}},
	{Name: "awac_weight/*", Stages: inILQL, Unit: "factor", Formula: "mean, min, max and std of exp(β(min Q̂ − V))", Meaning: "What the batch's tokens weigh in the behaviour policy's loss; 1 at β = 0.", Source: trlx, See: []string{"losses/loss_awac"}},
	{Name: "beta", Stages: inOnline, Unit: "reward per nat", Formula: "β", Meaning: "The method's own β.", Source: trlOnline, See: []string{"online.beta"}},

	{Name: "rewards/chosen", Stages: []string{"dpo", "online"}, Unit: "reward", Formula: "mean of β [log π(y_w|x) − log π_SFT(y_w|x)]", Meaning: "The implicit reward of the chosen responses. It may fall while training succeeds: only the margin is trained.", Source: trlDPO + "; Rafailov et al. 2023 (arXiv 2305.18290), section 4", Elsewhere: []string{"rewards_train/chosen"}, See: []string{"implicit reward", "rewards/margins", "logps/chosen"}},
	{Name: "rewards/rejected", Stages: []string{"dpo", "online"}, Unit: "reward", Formula: "mean of β [log π(y_l|x) − log π_SFT(y_l|x)]", Meaning: "The implicit reward of the rejected responses.", Source: trlDPO, Elsewhere: []string{"rewards_train/rejected"}, See: []string{"rewards/chosen"}},
	{Name: "rewards/accuracies", Stages: []string{"dpo", "online"}, Unit: "share", Formula: "share of pairs with reward(y_w) > reward(y_l)", Meaning: "How often the implicit reward agrees with the label; a tie counts as wrong.", Source: trlDPO, See: []string{"rewards/margins", "exact/accuracy_ceiling"}},
	{Name: "kl", Stages: inDPO, Unit: "nats per response", Formula: "mean of z₀", Meaning: "The reference point of KTO: how far the policy has moved, by the batch's mismatched pairs or exactly (dpo.kl_estimate). Recorded for kto.", Source: "TRL KTOTrainer; Ethayarajh et al. 2024 (arXiv 2402.01306)", See: []string{"dpo.kl_estimate"}},
	{Name: "delta", Stages: inDPO, Unit: "reward", Formula: "running mean of the implicit rewards", Meaning: "The reward shift of BCO. Recorded for bco and bco_pair.", Source: "TRL BCOTrainer; Jung et al. 2024 (arXiv 2404.04656)", See: []string{"dpo.running_delta"}},
	{Name: "rewards/margins", Stages: []string{"dpo", "online"}, Unit: "reward", Formula: "mean of reward(y_w) − reward(y_l) = βh", Meaning: "How far the chosen response is ahead by the implicit reward.", Source: trlDPO, See: []string{"rewards/accuracies"}},
	{Name: "logps/chosen", Stages: []string{"dpo", "online"}, Unit: "nats per response", Formula: "mean of log π(y_w|x)", Meaning: "The log-probability of the chosen responses. That it falls is not a bug: see likelihood displacement.", Source: trlDPO, Elsewhere: []string{"logps_train/chosen"}, See: []string{"likelihood displacement", "logps/rejected"}},
	{Name: "logps/rejected", Stages: []string{"dpo", "online"}, Unit: "nats per response", Formula: "mean of log π(y_l|x)", Meaning: "The log-probability of the rejected responses.", Source: trlDPO, Elsewhere: []string{"logps_train/rejected"}, See: []string{"logps/chosen"}},
}

// matches says whether the entry is about the column of that name.
func (d metricDoc) matches(name string) bool {
	if prefix, pattern := strings.CutSuffix(d.Name, "*"); pattern {
		return strings.HasPrefix(name, prefix) && len(name) > len(prefix)
	}
	return d.Name == name
}

// in says whether the entry holds in a stage (base, sft, reward or a method).
func (d metricDoc) in(stage string) bool {
	if d.Stages == nil || slices.Contains(d.Stages, stage) {
		return true
	}
	m, known := sim.MethodByName(stage)
	return known && (slices.Contains(d.Stages, "arms") || slices.Contains(d.Stages, m.Section))
}

// metricFor is what the metric of that name means in a stage.
func metricFor(stage, name string) (metricDoc, bool) {
	for _, d := range metricDocs {
		if d.matches(name) && d.in(stage) {
			return d, true
		}
	}
	return metricDoc{}, false
}

// columnDoc describes one column of metrics.csv: an entry of columns.json.
type columnDoc struct {
	Name    string   `json:"name"`
	Stages  []string `json:"stages,omitempty"` // where it has this meaning; none for the keys
	Meaning string   `json:"meaning"`
	Unit    string   `json:"unit,omitempty"`
	Formula string   `json:"formula,omitempty"`
	Source  string   `json:"source,omitempty"`
}

// columns describes every column of the run's metrics.csv, in its order; one
// that means different things in different stages comes once for each.
func (r *Run) columns() []columnDoc {
	var out []columnDoc
	add := func(name string, d metricDoc, stages []string) {
		out = append(out, columnDoc{name, stages, d.Meaning, d.Unit, d.Formula, d.Source})
	}
	for _, name := range r.keyColumns() {
		d := metricDoc{Unit: "as in the experiment file", Meaning: fieldDocs[name].Doc}
		if i := slices.IndexFunc(keyDocs, func(k metricDoc) bool { return k.Name == name }); i >= 0 {
			d = keyDocs[i]
		}
		add(name, d, nil)
	}
	recorded := r.stagesOf()
	for _, name := range r.metricNames() {
		for _, d := range metricDocs {
			if !d.matches(name) {
				continue
			}
			var stages []string
			for _, s := range recorded[name] {
				if d.in(s) {
					stages = append(stages, s)
				}
			}
			if len(stages) > 0 {
				add(name, d, stages)
			}
		}
	}
	return out
}

// stagesOf are the stages that record each metric, in the order of the tables.
func (r *Run) stagesOf() map[string][]string {
	out := map[string][]string{}
	for point, p := range r.Experiment.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			for seed := range r.Experiment.Seeds {
				cell := r.names[cellID{point, arm, seed}]
				if cell == nil {
					continue
				}
				for _, stage := range cell.stages {
					for _, name := range cell.names[stage] {
						if !slices.Contains(out[name], stage) {
							out[name] = append(out[name], stage)
						}
					}
				}
			}
		}
	}
	return out
}

// keyColumns are the columns of metrics.csv before the metrics.
func (r *Run) keyColumns() []string {
	return append([]string{"arm", "seed", "stage", "step"}, r.Experiment.Swept...)
}
