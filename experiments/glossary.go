package experiments

// concept is a word of the field that no field or metric explains.
type concept struct {
	Name    string
	Also    []string // other spellings and abbreviations
	Meaning string
	Formula string
	Source  string
	See     []string
}

// glossary is in the order of the pipeline: the world, learning from people,
// optimising, and what comes out.
var glossary = []concept{
	{Name: "gold", Also: []string{"gold reward", "true reward", "true values"}, Meaning: "What the simulated people want: a sum of tables over counts ([[world.value]]). It decides how they rank, and it measures what learners really achieve; no learner ever sees it.",
		Formula: "gold(x,y) = Σ_k worth_k[min(count_k(x,y), last)]", Source: "the name: Gao et al. 2022 (arXiv 2210.10760), section 2", See: []string{"proxy", "world.value", "exact/gold_reward"}},
	{Name: "proxy", Also: []string{"proxy reward", "learned reward"}, Meaning: "The reward model's score: what PPO is told to maximise in place of gold, which it cannot see. The two agree where rankings were collected, and drift apart where the policy goes next.",
		Formula: "r(x,y) = b_x + Σ_t w[x, y_t]", Source: "the name: Gao et al. 2022 (arXiv 2210.10760), section 2", See: []string{"gold", "reward hacking", "exact/proxy_reward"}},
	{Name: "base model", Also: []string{"pre-training"}, Meaning: "The policy after training on raw text: fluent, and as rude and rambling as the text. The stage base.", Source: "Ouyang et al. 2022 (arXiv 2203.02155)", See: []string{"base", "SFT"}},
	{Name: "SFT", Also: []string{"supervised fine-tuning", "supervised fine tuning", "reference policy", "reference", "pi_ref", "π_ref", "ref"}, Meaning: "Supervised fine-tuning: the base policy trained on demonstrations that people wrote. The finished SFT policy is where alignment starts and the reference of every KL and win rate.",
		Formula: "L = −(1/n) Σ log π(token)", Source: "Ouyang et al. 2022 (arXiv 2203.02155), section 3.5", See: []string{"sft.demonstrations", "KL", "win rate"}},
	{Name: "demonstration", Also: []string{"demonstrations"}, Meaning: "A prompt with a response that a person wrote for it; SFT learns from them.", See: []string{"sft.demonstrations", "sft.file"}},
	{Name: "policy", Also: []string{"pi", "π"}, Meaning: "What is trained: probabilities of the next word given the prompt and the last words, from a table of logits. Written π; a response's probability is the product over its words.",
		Formula: "π(y|x) = Π_t softmax(logits[x, context_t])[y_t]", See: []string{"policy.order", "policy.parametrisation"}},
	{Name: "EOS", Also: []string{"end of sequence"}, Meaning: "The outcome that ends a response. A response that reaches world.max_length is cut without it.", See: []string{"world.max_length", "ppo.missing_eos_penalty", "val/num_eos_tokens"}},
	{Name: "ranking", Also: []string{"rankings", "comparison", "comparisons", "preferences", "preference"}, Meaning: "A prompt with K responses in a rater's order; it implies K(K−1)/2 comparisons. The reward model and DPO learn from the same ones.",
		Source: "Ouyang et al. 2022 (arXiv 2203.02155), section 3.5: K = 4 to 9", See: []string{"labels.rankings", "labels.responses_per_ranking", "Plackett-Luce"}},
	{Name: "rater", Also: []string{"raters", "labeller", "labeler", "annotator"}, Meaning: "A simulated person who ranks responses by gold plus noise of their own. Two raters of the same pair may disagree.",
		Formula: "P(a above b) = σ((gold_a − gold_b)/T)", See: []string{"labels.rater_temperature", "labels.label_noise", "exact/rater_agreement"}},
	{Name: "Bradley-Terry", Also: []string{"BT", "bradley terry"}, Meaning: "The model of paired comparisons: each response has a strength, and the stronger one wins with a probability that grows with the difference. The raters' model for two responses, and the reward model's loss.",
		Formula: "P(a ≻ b) = σ(r_a − r_b)", Source: "Bradley and Terry 1952; as a reward-model loss Ouyang et al. 2022 (arXiv 2203.02155), equation 1", See: []string{"Plackett-Luce", "reward", "loss"}},
	{Name: "Plackett-Luce", Also: []string{"PL", "plackett luce"}, Meaning: "Bradley-Terry for more than two: the best is chosen with probability proportional to exp(strength), then the best of the rest. How raters here rank.",
		Formula: "P(y_1 ≻ … ≻ y_K) = Π_k exp(s_k) / Σ_{j≥k} exp(s_j)", Source: "Luce 1959; Plackett 1975", See: []string{"Bradley-Terry", "labels.responses_per_ranking"}},
	{Name: "reward model", Also: []string{"RM", "judge"}, Meaning: "A model of the raters fitted to their rankings by the Bradley-Terry loss: one number for each word and prompt. It cannot see what is not in its features, and that is what gets hacked.",
		Formula: "r(x,y) = b_x + Σ_t w[x, y_t]", Source: "Ouyang et al. 2022 (arXiv 2203.02155), section 3.5", See: []string{"proxy", "reward", "eval_accuracy"}},
	{Name: "RLHF", Also: []string{"reinforcement learning from human feedback"}, Meaning: "Reinforcement learning from human feedback: SFT, then a reward model from rankings, then PPO against it with a KL penalty.", Source: "Christiano et al. 2017 (arXiv 1706.03741); Ouyang et al. 2022 (arXiv 2203.02155)", See: []string{"ppo", "objective"}},
	{Name: "KL", Also: []string{"KL divergence", "kullback-leibler", "distance"}, Meaning: "Kullback-Leibler divergence, here of the policy from the SFT policy: how far alignment has moved it, in nats per response. Never negative; an estimate of it can be.",
		Formula: "KL(π‖π_SFT) = E_π[log π(y|x) − log π_SFT(y|x)]", Source: "Kullback and Leibler 1951", See: []string{"exact/kl", "objective/kl", "k1", "beta"}},
	{Name: "nat", Also: []string{"nats"}, Meaning: "The unit of information with natural logarithms: 1 nat = 1/ln 2 = 1.44 bits.", See: []string{"KL", "exact/entropy"}},
	{Name: "beta", Also: []string{"β", "leash", "KL coefficient", "kl penalty"}, Meaning: "The leash: what a nat of distance from the SFT policy costs. Small: the policy chases the reward model, flaws and all. Large: it stays what it was. One objective.beta is shared by all arms unless one says otherwise.",
		Formula: "J(π) = E[r] − β KL(π‖π_SFT)", Source: "Ziegler et al. 2019 (arXiv 1909.08593), equation 2", See: []string{"objective.beta", "ppo.kl_coef", "dpo.beta", "pi*"}},
	{Name: "k1", Meaning: "The plain estimator of the KL: unbiased, sometimes negative. As a penalty in the reward its expected gradient is that of the KL.",
		Formula: "k1 = log π − log π_ref", Source: "Schulman 2020, \"Approximating KL Divergence\"", See: []string{"ppo.kl_estimator", "objective/kl", "k2", "k3"}},
	{Name: "k2", Meaning: "Half the squared log-ratio: never negative, biased. policy/approxkl_avg is it.", Formula: "k2 = ½ (log π − log π_ref)²", Source: "Schulman 2020, \"Approximating KL Divergence\"", See: []string{"policy/approxkl_avg", "k1"}},
	{Name: "k3", Meaning: "An unbiased estimator of the KL's value that is never negative. As a penalty inside the reward its gradient is not the KL's.",
		Formula: "k3 = (ρ − 1) − log ρ, ρ = π_ref/π", Source: "Schulman 2020, \"Approximating KL Divergence\"", See: []string{"ppo.kl_estimator", "k1"}},
	{Name: "straight-through KL", Also: []string{"k1_plus", "k3_plus", "k1+", "k3+", "low_var_kl+"}, Meaning: "An estimator with the value of one and the slope of k2, whose expectation in the loss is the gradient of the token's KL; those of k1 and k3 are not. k1_plus and k3_plus.",
		Formula: "k1 or k3, ∂k/∂log π = log π − log π_ref", Source: "verl (kl_penalty with a \"+\")", See: []string{"ppo.kl_estimator", "grpo.kl_estimator", "k1", "k2", "k3"}},
	{Name: "full KL", Also: []string{"full", "exact per-state KL", "per-state KL"}, Meaning: "The exact KL of the state that a word was said in, a sum over all outcomes: no estimate. In the reward it teaches decisions about later states, in the loss about their own; together they are the gradient of the KL of the whole response. The estimator \"full\".",
		Formula: "Σ_w π(w) (log π(w) − log π_ref(w))", Source: "TRL 0.8 (kl_penalty \"full\")", See: []string{"ppo.kl_estimator", "grpo.kl_estimator", "k1"}},
	{Name: "compute_dpo_loss", Also: []string{"chapter-loss", "chapter loss", "the chapter's loss"}, Meaning: "The textbook chapter's snippet: DPO's formula on the mean over the vocabulary of log softmax, in place of a response's log-probability. It illustrates the formula on random numbers; its gradient makes the chosen row uniform. `rlhfsim chapter-loss` prints it beside the real loss.",
		Formula: "−log σ(β [(m_0 − m_0^ref) − (m_1 − m_1^ref)]), m = mean log softmax", Source: "the chapter", See: []string{"dpo", "implicit reward"}},
	{Name: "GAE", Also: []string{"generalised advantage estimation", "generalized advantage estimation", "advantage"}, Meaning: "Generalised advantage estimation: how much better a word turned out than the value head expected, averaged over horizons with weight λ. λ = 1: the whole return; 0: one step.",
		Formula: "Â_t = Σ_l (γλ)^l δ_{t+l}, δ_t = R_t + γV_{t+1} − V_t", Source: "Schulman et al. 2016 (arXiv 1506.02438), equation 16", See: []string{"ppo.lam", "ppo.gamma", "ppo.whiten_advantages"}},
	{Name: "implicit reward", Also: []string{"implicit rewards"}, Meaning: "The reward that a policy would be optimal for: DPO trains it in place of a reward model.",
		Formula: "β [log π(y|x) − log π_ref(y|x)]", Source: "Rafailov et al. 2023 (arXiv 2305.18290), equation 5", See: []string{"rewards/chosen", "dpo"}},
	{Name: "likelihood displacement", Also: []string{"displacement"}, Meaning: "In DPO the chosen response may lose probability while the loss falls: only the difference to the rejected one is trained, and both can fall. Not a bug in itself; the mass goes to responses that nobody ranked.",
		Source: "Razin et al. 2024 (arXiv 2410.08847)", See: []string{"logps/chosen", "rewards/chosen", "rewards/margins"}},
	{Name: "pi*", Also: []string{"π*", "optimum", "optimal policy", "pi star"}, Meaning: "The best possible policy for a reward at β: the SFT policy, reweighted. Known here in closed form, so that every curve is drawn against it. It need not lie in the policy class; the gap figure says what that costs.",
		Formula: "π*(y|x) = π_SFT(y|x) exp(r(x,y)/β) / Z(x)", Source: "Rafailov et al. 2023 (arXiv 2305.18290), equation 4", See: []string{"J*", "beta", "exact/gap"}},
	{Name: "J*", Also: []string{"optimal objective", "J star", "of J*"}, Meaning: "The best possible value of the objective, reached by π*. The summary's \"of J*\" is the share of the way from the SFT policy to it.",
		Formula: "J* = β E_x[log Z(x)]; J* − J(π) = β KL(π‖π*)", Source: "Rafailov et al. 2023 (arXiv 2305.18290), appendix A.1", See: []string{"pi*", "exact/gap", "exact/objective"}},
	{Name: "gap", Also: []string{"optimality gap", "regret"}, Meaning: "What a policy lacks of the best possible. exact/gap is by the proxy; exact/gold_gap is by gold, and has three causes: the reward model, the policy class, the optimiser.",
		Formula: "J* − J(π)", See: []string{"exact/gap", "exact/gold_gap", "figure gap"}},
	{Name: "frontier", Also: []string{"reward-KL frontier", "pareto frontier"}, Meaning: "The most reward that any policy can have at each distance from SFT: the curve of π* over all β. Dotted in the overopt figure; no run can lie above it.",
		Formula: "{(KL(π*_β‖π_SFT), E_{π*_β}[r]) : β > 0}", Source: "Rafailov et al. 2023 (arXiv 2305.18290), figure 2", See: []string{"pi*", "figure overopt"}},
	{Name: "over-optimisation", Also: []string{"overoptimisation", "overoptimization", "over-optimization", "goodhart", "Goodhart's law"}, Meaning: "Beyond some distance from SFT the proxy goes on rising while gold falls: the measure has become the target. `rlhfsim run hacking` shows it.",
		Formula: "R_gold(d) rises, peaks and falls in d = √KL", Source: "Gao et al. 2022 (arXiv 2210.10760)", See: []string{"reward hacking", "figure overopt", "beta"}},
	{Name: "reward hacking", Also: []string{"reward gaming", "hacking"}, Meaning: "A policy that pleases the reward model and not the people: it has found what the model gets wrong, and says that. Here visible in words: \"restart restart restart\".",
		Source: "Amodei et al. 2016 (arXiv 1606.06565), section 4; Skalse et al. 2022 (arXiv 2209.13085)", See: []string{"over-optimisation", "proxy", "exact/gold_reward"}},
	{Name: "win rate", Also: []string{"win-rate"}, Meaning: "How often people would prefer one policy's response to another's, ties counting half; here exact, and against SFT.",
		Formula: "P(gold(y) > gold(y′)) + ½ P(equal)", Source: "Stiennon et al. 2020 (arXiv 2009.01325)", See: []string{"exact/win_rate"}},
	{Name: "cell", Also: []string{"cells"}, Meaning: "A piece of work: the shared stages of one seed, or one arm of one seed, at one point of the sweep. Finished cells are kept, so that running again does only what is missing.", See: []string{"arm", "seed", "grid"}},
	{Name: "interval", Also: []string{"confidence interval", "bootstrap", "ci_low", "ci_high"}, Meaning: "A 95 % percentile bootstrap interval of the mean over seeds (2000 resamples, percentiles expanded for small n): how much another set of seeds would change the number.",
		Source: "Efron 1979; the expansion: Hesterberg 2015", See: []string{"seed", "seeds"}},
	{Name: "exact", Also: []string{"exactness"}, Meaning: "Computed as a sum over every possible response by dynamic programming, without sampling; everything under exact/ is. What had to be estimated stands under mc/, with its standard error.", See: []string{"mc/win_rate", "exact/kl"}},
}
