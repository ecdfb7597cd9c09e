package experiments

// choiceDocs are values that a field chooses from, where they are parts with a
// formula of their own: reward models, their losses, ensembles, policies.
var choiceDocs = []Topic{
	{Term: "bag_of_words", Meaning: "The reward model that adds up words: it cannot see order or repetition. A value of reward.model.",
		Formula: "r(x,y) = b_x + Σ_t w_x[y_t]", Source: ours, See: []string{"reward model", "reward.model", "over-optimisation"}},
	{Term: "bigrams", Meaning: "The reward model that adds up adjacent pairs of words, the first word's neighbour being the start: it sees repetition, and has many weights to learn. A value of reward.model.",
		Formula: "r(x,y) = b_x + Σ_t w_x[y_{t−1}, y_t]", Source: ours, See: []string{"reward model", "reward.model"}},
	{Term: "mlp", Meaning: "The reward model that is a small network: one hidden layer over counts of the response, capped and divided by their cap, the same for all prompts. It can learn that one kind word is nice and three are too many. All exact numbers stay exact. A value of reward.model.",
		Formula: "r(x,y) = c + Σ_j v_j tanh(b_j + Σ_k W_jk f_k),  f_k = min(n_k(x,y), cap_k)/cap_k", Source: ours, See: []string{"reward model", "reward.hidden_size", "reward.counts", "reward.count_cap"}},
	{Term: "pairwise", Meaning: "The reward model's loss that takes a ranking as all its comparisons. A value of reward.loss_type.",
		Formula: "−1/C(K,2) Σ_{i<j} log σ(r_i − r_j − margin)", Source: "Ouyang et al. 2022 (arXiv 2203.02155), equation 1", See: []string{"Bradley-Terry", "reward.loss_type", "reward.margin"}},
	{Term: "plackett_luce", Meaning: "The reward model's loss that takes a ranking as choices, the best of what is left each time. A value of reward.loss_type.",
		Formula: "−1/(K−1) Σ_{k<K} log(e^{r_k} / Σ_{j≥k} e^{r_j})", Source: "Plackett 1975; Rafailov et al. 2023 (arXiv 2305.18290), equation 18", See: []string{"Plackett-Luce", "reward.loss_type"}},
	{Term: "pick_best", Meaning: "The reward model's loss that takes the first choice of a ranking alone. A value of reward.loss_type.",
		Formula: "−log(e^{r_1} / Σ_j e^{r_j})", Source: "Ziegler et al. 2019 (arXiv 1909.08593), equation 1", See: []string{"reward.loss_type"}, also: []string{"pick-best cross-entropy", "best-of-K"}},
	{Term: "rao_kupper", Meaning: "The reward model's loss for comparisons that may be ties: two responses are told apart when their strengths differ by a factor of ν. A value of reward.loss_type.",
		Formula: "P(w ≻ l) = σ(d − log ν), P(w ~ l) = (ν² − 1) σ(d − log ν) σ(−d − log ν), d = r_w − r_l", Source: "Rao and Kupper 1967", See: []string{"labels.tie_nu", "reward.tie_nu", "davidson"}},
	{Term: "davidson", Meaning: "The reward model's loss for comparisons that may be ties: these are ν times the geometric mean of the two strengths. A value of reward.loss_type.",
		Formula: "P(w ≻ l) = 1/S, P(w ~ l) = 2ν e^{−d/2}/S, S = 1 + e^{−d} + 2ν e^{−d/2}, d = r_w − r_l", Source: "Davidson 1970", See: []string{"labels.tie_nu", "reward.tie_nu", "rao_kupper"}},
	{Term: "worst_case", Meaning: "An ensemble's score: the least of its members'. A value of reward.aggregate.",
		Formula: "min_i r_i(x,y)", Source: "Coste et al. 2023 (arXiv 2310.02743), section 3", See: []string{"reward.aggregate", "reward.num_ensemble"}, also: []string{"WCO", "worst-case optimisation"}},
	{Term: "uncertainty_weighted", Meaning: "An ensemble's score: the mean of its members', less where they disagree. A value of reward.aggregate.",
		Formula: "r̄ − λ 1/n Σ_i (r_i − r̄)²", Source: "Coste et al. 2023 (arXiv 2310.02743), section 3", See: []string{"reward.aggregate", "reward.uncertainty_coef"}, also: []string{"UWO", "uncertainty-weighted optimisation"}},
	{Term: "table", Meaning: "The policy whose logits are all free: what it learns at one prompt and context it learns there alone. A value of policy.parametrisation.",
		Formula: "z[x,c,w] = θ[x,c,w]", Source: ours, See: []string{"policy.parametrisation"}},
	{Term: "shared", Meaning: "The policy whose logits are a term for all prompts and one for each: learning generalises, and forgetting is possible. A value of policy.parametrisation.",
		Formula: "z[x,c,w] = θ[c,w] + φ[x,c,w]", Source: ours, See: []string{"policy.parametrisation"}},
	{Term: "low_rank", Meaning: "The policy whose logits are a hidden state times an output embedding, as a language model's are: raising one word moves all that resemble it, so likelihood displacement can appear. A value of policy.parametrisation.",
		Formula: "z[x,c,w] = Σ_k h[x,c,k] e[w,k]", Source: ours, See: []string{"policy.rank", "likelihood displacement"}},
}
