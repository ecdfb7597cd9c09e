package dpo

import "rlhfsim/internal/card"

// The optional fields that several losses share.
var (
	usesSync      = []string{"sync_ref_model", "ref_model_sync_steps", "ref_model_mixup_alpha"}
	usesReference = append([]string{"reference_free"}, usesSync...)
	usesTokens    = append([]string{"ld_alpha", "use_weighting"}, usesReference...)
	usesPerToken  = append([]string{"per_token"}, usesTokens...)
	usesDivergent = append([]string{"f_divergence_type", "f_alpha_divergence_coef"}, usesTokens...)
	usesScores    = append([]string{"per_token"}, usesDivergent...)
)

func with(shared []string, own ...string) []string { return append(own, shared...) }

// Losses is the table of loss types. In the formulas c, r = log π/π_ref of the
// chosen and the rejected response, h = c − r, and w, l = log π of them.
var Losses = []Loss{
	{
		Name: "sigmoid",
		Card: card.Card{
			Title:   "Direct Preference Optimization",
			Idea:    "a classifier of pairs whose reward is β log π/π_ref",
			Formula: "−log σ(βh) + ε βh",
			Paper:   "Rafailov et al. 2023, arXiv 2305.18290, equation 7; label smoothing: Mitchell 2023 (conservative DPO)",
			Differs: "TRL since 0.29 has no label_smoothing under this name; TRL before, OpenRLHF and the authors' code smooth as here",
			Exact:   "a pair preferred with probability P is best at βh = log(P/(1−P)): with endless data its optimum is π*, PPO's at the same β; under smoothing P is (1−ε)P + ε(1−P)",
			Also:    []string{"dpo", "dpo loss", "cDPO", "conservative DPO"},
		},
		Uses: with(usesScores, "label_smoothing"), Of: sigmoid,
	},
	{
		Name: "sigmoid_norm",
		Card: card.Card{
			Title:   "DPO on log-ratios per token",
			Idea:    "DPO with each log-ratio divided by the response's length",
			Formula: "−log σ(β(c/|y_w| − r/|y_l|)) + smoothing",
			Paper:   "Lambert et al. 2024, Tülu 3, arXiv 2411.15124",
			Differs: "TRL has no label_smoothing here; OpenRLHF does not have it",
			Exact:   "a β per token is a weaker leash for long responses: with endless data it is not π* where lengths differ",
			Also:    []string{"length-normalised DPO", "length-normalized DPO"},
		},
		Uses: with(usesDivergent, "label_smoothing"),
		Of:   ofMeanMargin(func(h float64, c *Config) (float64, float64) { return Sigmoid(h, c.Beta, c.LabelSmoothing) }),
	},
	{
		Name: "hinge",
		Card: card.Card{
			Title:   "SLiC and RSO's hinge on the normalised likelihood",
			Idea:    "a margin of 1 is enough",
			Formula: "max(0, 1 − βh)",
			Paper:   "Liu et al. 2023, RSO, arXiv 2309.06657",
			Differs: "TRL as here; OpenRLHF does not have it",
			Exact:   "a pair is best at |βh| = 1, whatever the strength of the preference",
			Also:    []string{"RSO"},
		},
		Uses: usesScores,
		Of:   ofMargin(func(h float64, c *Config) (float64, float64) { return Hinge(h, c.Beta) }),
	},
	{
		Name: "ipo",
		Card: card.Card{
			Title:   "Identity Preference Optimisation",
			Idea:    "regress the margin on 1/(2β), so that a certain preference does not ask for an infinite one",
			Formula: "(c/|y_w| − r/|y_l| − 1/(2β))²; (h − 1/(2β))² with average_log_prob = false",
			Paper:   "Azar et al. 2023, arXiv 2310.12036, equation 17",
			Differs: "TRL and HALOs divide log-ratios by lengths, OpenRLHF and the paper do not: average_log_prob = false is theirs",
			Exact:   "a pair is best at h = (2P−1)/(2β): with endless data π ∝ π_ref exp(E_y′[P(y ≻ y′)]/β), which is not π*: how often counts, not how much",
		},
		Uses: with(usesDivergent, "average_log_prob"), Of: ipo,
	},
	{
		Name: "exo_pair",
		Card: card.Card{
			Title:   "Efficient Exact Optimisation",
			Idea:    "the reverse KL from the policy's preference to the smoothed label",
			Formula: "σ(βh)(log σ(βh) − log(1−ε)) + σ(−βh)(log σ(−βh) − log ε)",
			Paper:   "Ji et al. 2024, arXiv 2402.00856, equation 16",
			Differs: "TRL's default ε = 0 makes the loss infinite; here ε > 0 is asked for. OpenRLHF does not have it",
			Exact:   "a pair is best at βh = (2P−1) log((1−ε)/ε): beyond π*, the more the smaller ε",
			Also:    []string{"EXO"},
		},
		Uses: with(usesScores, "label_smoothing"), Preset: func(c *Config) { c.LabelSmoothing = 1e-3 }, Check: smoothed,
		Of: ofMargin(func(h float64, c *Config) (float64, float64) { return EXOPair(h, c.Beta, c.LabelSmoothing) }),
	},
	{
		Name: "truncated_quadratic",
		Card: card.Card{
			Title:   "Generalised Preference Optimisation, truncated quadratic",
			Idea:    "a hinge that is squared",
			Formula: "max(0, 1 − βh)²",
			Paper:   "Tang et al. 2024, GPO, arXiv 2402.05749",
			Differs: "none of the three has it",
			Exact:   "a pair is best at βh = 2P − 1: weaker than π*",
		},
		Uses: usesScores,
		Of:   ofMargin(func(h float64, c *Config) (float64, float64) { return TruncatedQuadratic(h, c.Beta) }),
	},
	{
		Name: "savage",
		Card: card.Card{
			Title:   "Generalised Preference Optimisation, Savage",
			Idea:    "a bounded loss: pairs that are far wrong hardly count",
			Formula: "σ(−βh)²",
			Paper:   "Tang et al. 2024, GPO, arXiv 2402.05749",
			Differs: "none of the three has it",
			Exact:   "a proper scoring rule: a pair is best at βh = log(P/(1−P)), so its optimum is π*, as DPO's",
		},
		Uses: usesScores,
		Of:   ofMargin(func(h float64, c *Config) (float64, float64) { return Savage(h, c.Beta) }),
	},
	{
		Name: "nca_pair",
		Card: card.Card{
			Title:   "Noise Contrastive Alignment on pairs",
			Idea:    "absolute rewards: the chosen one shall not fall below the reference",
			Formula: "−log σ(βc) − ½ log σ(−βc) − ½ log σ(−βr)",
			Paper:   "Chen et al. 2024, arXiv 2402.05369",
			Also:    []string{"NCA"},
			Differs: "TRL as here (it ignores f_divergence_type); OpenRLHF does not have it",
		},
		Uses: usesPerToken,
		Of:   ofEach(func(u, v float64, c *Config) (float64, float64, float64) { return NCAPair(u, v, c.Beta) }),
	},
	{
		Name: "robust",
		Card: card.Card{
			Title:   "Robust DPO",
			Idea:    "DPO's loss, unbiased when each label is reversed with probability ε",
			Formula: "[−(1−ε) log σ(βh) + ε log σ(−βh)] / (1−2ε)",
			Paper:   "Ray Chowdhury et al. 2024, arXiv 2403.00409",
			Differs: "TRL as here; OpenRLHF does not have it",
			Exact:   "its expected slope under reversed labels is DPO's under clean ones: same optimum, π*",
			Also:    []string{"rDPO"},
		},
		Uses: with(usesScores, "label_smoothing"), Preset: func(c *Config) { c.LabelSmoothing = 0.1 },
		Of: ofMargin(func(h float64, c *Config) (float64, float64) { return Robust(h, c.Beta, c.LabelSmoothing) }),
	},
	{
		Name: "bco_pair",
		Card: card.Card{
			Title:   "Binary Classifier Optimisation on pairs",
			Idea:    "one classifier for the chosen and one for the rejected responses",
			Formula: "−log σ(βc − δ) − log σ(δ − βr), δ = 0 unless running_delta",
			Paper:   "Jung et al. 2024, arXiv 2404.04656",
			Differs: "TRL has no δ any more, and ignores f_divergence_type as here; running_delta = true is TRL 0.24's. OpenRLHF does not have it",
		},
		Uses: with(usesPerToken, "running_delta"), Needs: NeedDelta, Of: bcoPair,
	},
	{
		Name: "sppo_hard",
		Card: card.Card{
			Title:   "Self-Play Preference Optimisation, hard labels",
			Idea:    "regress the chosen log-ratio on 1/(2β) and the rejected one on −1/(2β)",
			Formula: "(c − 1/(2β))² + (r + 1/(2β))²",
			Paper:   "Wu et al. 2024, arXiv 2405.00675, equation 4.7",
			Differs: "TRL as here (it ignores f_divergence_type); the method sppo plays against itself with soft labels. OpenRLHF does not have it",
		},
		Uses: usesPerToken,
		Of:   ofEach(func(u, v float64, c *Config) (float64, float64, float64) { return SPPOHard(u, v, c.Beta) }),
	},
	{
		Name: "aot",
		Card: card.Card{
			Title:   "Alignment via Optimal Transport",
			Idea:    "the margins' distribution, not each margin, shall lie above the reference's",
			Formula: "Sigmoid(sorted(w − l)_k − sorted(w_ref − l_ref)_k)",
			Paper:   "Melnyk et al. 2024, arXiv 2406.05882",
			Differs: "TRL as here; OpenRLHF does not have it",
			Also:    []string{"aot_pair"},
			Exact:   "it couples the pairs of a batch, so it depends on the batch size",
		},
		Uses: with(usesReference, "ld_alpha", "label_smoothing"), Of: aot,
	},
	{
		Name: "aot_unpaired",
		Card: card.Card{
			Title:   "Alignment via Optimal Transport, unpaired",
			Idea:    "the chosen log-ratios' distribution shall lie above the rejected ones'",
			Formula: "Sigmoid(sorted(c)_k − sorted(r)_k)",
			Paper:   "Melnyk et al. 2024, arXiv 2406.05882",
			Differs: "TRL as here; OpenRLHF does not have it",
			Exact:   "it couples the pairs of a batch, so it depends on the batch size",
		},
		Uses: with(usesReference, "ld_alpha", "label_smoothing"), Of: aotUnpaired,
	},
	{
		Name: "apo_zero",
		Card: card.Card{
			Title:   "Anchored Preference Optimisation, zero",
			Idea:    "raise the chosen and lower the rejected response, each against the reference",
			Formula: "1 − σ(βc) + σ(βr)",
			Paper:   "D'Oosterlinck et al. 2024, arXiv 2408.06266, equation 7",
			Differs: "TRL as here (it ignores f_divergence_type); OpenRLHF does not have it",
		},
		Uses: usesTokens,
		Of:   ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return APOZero(u, v, c.Beta) }),
	},
	{
		Name: "apo_down",
		Card: card.Card{
			Title:   "Anchored Preference Optimisation, down",
			Idea:    "lower both, the rejected response more: for pairs worse than the policy",
			Formula: "σ(βc) + 1 − σ(βh)",
			Paper:   "D'Oosterlinck et al. 2024, arXiv 2408.06266, equation 8",
			Differs: "TRL as here (it ignores f_divergence_type); OpenRLHF does not have it",
			Exact:   "on pairs that the policy says itself it ends below where it began: a warning, not a defect",
		},
		Uses: usesTokens,
		Of:   ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return APODown(u, v, c.Beta) }),
	},
	{
		Name: "discopop",
		Card: card.Card{
			Title:   "Discovered Preference Optimisation",
			Idea:    "what a language model found: logistic and exponential loss, blended by the margin",
			Formula: "−(1−m) log σ(βh) + m e^{−βh}, m = σ(βh/τ)",
			Paper:   "Lu et al. 2024, arXiv 2406.08414, equation 5",
			Differs: "TRL as here; OpenRLHF does not have it",
			Exact:   "at τ = 0.05 its slope at h = 0 has the wrong sign, +0.78β: on endless data a policy that begins at its reference stays there; at τ = 0.3 it ends close to π*",
			Also:    []string{"LRML"},
		},
		Uses: with(usesScores, "discopop_tau"),
		Of:   ofMargin(func(h float64, c *Config) (float64, float64) { return DiscoPOP(h, c.Beta, c.DiscoPOPTau) }),
	},
	{
		Name: "sft",
		Card: card.Card{
			Title:   "Supervised fine-tuning on the chosen responses",
			Idea:    "imitate what was chosen; \"sigmoid+sft\" is RPO, with weights 0.8, 0.2, 1 \"sigmoid+bco_pair+sft\" is MPO",
			Formula: "−Σ w / Σ |y_w|, sums over the batch",
			Paper:   "RPO: Pang et al. 2024, arXiv 2404.19733; MPO: Wang et al. 2024, arXiv 2411.10442",
			Differs: "TRL as here; OpenRLHF's nll_loss_coef is the same term as a weight beside its sigmoid",
			Exact:   "its optimum is how often each response is chosen, whatever was said before",
			Also:    []string{"RPO", "MPO", "DPO+NLL"},
		},
		Of: func(b *Batch, c *Config) { b.clear(); b.AddNLL(1) }, Reward: logProbs, NoBeta: true,
	},
	{
		Name: "dpop",
		Card: card.Card{
			Title:   "DPO-Positive",
			Idea:    "DPO, and a price for a chosen response that became less likely",
			Formula: "−log σ(β(h − λ max(0, −c)))",
			Paper:   "Pal et al. 2024, arXiv 2402.13228",
			Differs: "none of the three has it; the form is oat's, with its λ off by default",
			Also:    []string{"DPO-Positive"},
		},
		Uses: with(usesTokens, "dpop_lambda"),
		Of:   ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return DPOP(u, v, c.Beta, c.DPOPLambda) }),
	},
	{
		Name: "rdpo",
		Card: card.Card{
			Title:   "Length-regularised DPO",
			Idea:    "DPO with a reward for length that the policy need not learn",
			Formula: "−log σ(βh + α(|y_w| − |y_l|))",
			Paper:   "Park et al. 2024, arXiv 2403.19159",
			Differs: "none of the three has it; oat's lr_dpo",
			Exact:   "its optimum is π* of the reward less α a token",
			Also:    []string{"R-DPO", "LR-DPO"},
		},
		Uses: with(usesTokens, "rdpo_alpha"), Of: rdpo,
	},
	{
		Name: "chipo",
		Card: card.Card{
			Title:   "χ²-Preference Optimisation",
			Idea:    "a link that makes leaving the data as dear as the χ²-divergence",
			Formula: "−log σ(clip(β(e^c + c − e^r − r), ±2R_max))",
			Paper:   "Huang et al. 2024, arXiv 2407.13399, algorithm 1",
			Differs: "none of the three has it",
			Exact:   "with endless data π = π_ref W₀(exp((r − Z)/β)), more careful than π* at the same β",
			Also:    []string{"χPO", "chi-PO"},
		},
		Uses: with(usesTokens, "chipo_r_max"),
		Of:   ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return ChiPO(u, v, c.Beta, c.ChiPORMax) }),
	},
	{
		Name: "rebel",
		Card: card.Card{
			Title:   "REgression to RElative REward Based RL",
			Idea:    "regress the margin on the difference of the learned rewards",
			Formula: "(βh − (r(x,y_w) − r(x,y_l)))², r the learned reward",
			Paper:   "Gao et al. 2024, arXiv 2404.16767",
			Differs: "none of the three has it; the paper's is online, with π_t for the reference",
			Exact:   "with pairs that connect all responses its optimum is the learned reward's π*",
		},
		Uses: usesTokens, Needs: NeedScores, Of: rebel,
	},
	{
		Name: "rao_kupper",
		Card: card.Card{
			Title:   "DPO under the Rao-Kupper model of ties",
			Idea:    "responses are told apart when their strengths differ by a factor of ν",
			Formula: "−log σ(βh − log ν), of a tie −log(ν² − 1) − log σ(βh − log ν) − log σ(−βh − log ν)",
			Paper:   "Chen et al. 2024, arXiv 2409.17431; Rao and Kupper 1967",
			Differs: "no library has it",
			Exact:   "with ties of its own ν its optimum is π*; on data without ties it overshoots",
		},
		Uses: with(usesTokens, "rao_kupper_nu"),
		Ties: func(c *Config) string {
			return unless(c.RaoKupperNu > 1, "rao_kupper knows ties where rao_kupper_nu is above 1")
		},
		Of: ofTies(func(h float64, c *Config) (float64, float64) { return RaoKupper(h, c.Beta, c.RaoKupperNu) },
			func(h float64, c *Config) (float64, float64) { return RaoKupperTie(h, c.Beta, c.RaoKupperNu) }),
	},
	{
		Name: "davidson",
		Card: card.Card{
			Title:   "DPO under Davidson's model of ties",
			Idea:    "ties are ν times the geometric mean of the two strengths",
			Formula: "log(1 + e^{−βh} + 2ν e^{−βh/2}), of a tie the same + βh/2 − log 2ν",
			Paper:   "Chen et al. 2024, arXiv 2409.17431; Davidson 1970",
			Differs: "no library has it",
			Exact:   "with ties of its own ν its optimum is π*; on data without ties it overshoots",
		},
		Uses: with(usesTokens, "davidson_nu"),
		Ties: func(c *Config) string {
			return unless(c.DavidsonNu > 0, "davidson knows ties where davidson_nu is above 0")
		},
		Of: ofTies(func(h float64, c *Config) (float64, float64) { return Davidson(h, c.Beta, c.DavidsonNu) },
			func(h float64, c *Config) (float64, float64) { return DavidsonTie(h, c.Beta, c.DavidsonNu) }),
	},
	{
		Name: "plackett_luce",
		Card: card.Card{
			Title:   "List-wise DPO on whole rankings",
			Idea:    "a ranking is a sequence of choices among those left",
			Formula: "−Σ_k log [e^{s_k} / Σ_{j≥k} e^{s_j}], s = β log π/π_ref",
			Paper:   "Rafailov et al. 2023, arXiv 2305.18290, appendix A.3",
			Differs: "no library has it (asked for in TRL and in the authors' repository)",
			Exact:   "of two responses it is DPO; of more it wastes no comparison and counts none twice",
			Also:    []string{"list-wise DPO", "listwise DPO", "PL-DPO"},
		},
		Uses: usesReference, Needs: NeedRankings, Of: plackettLuce,
	},
	{
		Name: "kto",
		Card: card.Card{
			Title:   "Kahneman-Tversky Optimisation",
			Idea:    "thumbs up or down against a reference point, losses and gains weighed apart",
			Formula: "½ [λ_D (1 − σ(β(c − z₀))) + λ_U (1 − σ(β(z₀ − r)))]",
			Paper:   "Ethayarajh et al. 2024, arXiv 2402.01306, equation 7",
			Differs: "TRL and HALOs estimate z₀ from mismatched pairs as here; OpenRLHF removed it in 2026",
			Also:    []string{"kto_pair"},
			Exact:   "a response that is desirable with probability q wants an infinite log-ratio as soon as q > ½: no finite optimum on endless data, the training's length is the leash. The estimate of z₀ = KL(π‖π_ref) is clamped at 0, where it mostly is; kl_estimate = \"exact\" is the KL itself",
		},
		Uses: with(usesSync, "kl_estimate", "desirable_weight", "undesirable_weight"), Needs: NeedKL, Check: mismatchable, Of: kto,
	},
	{
		Name: "apo_zero_unpaired",
		Card: card.Card{
			Title:   "APO-zero of single responses",
			Idea:    "KTO with a reference point of 0",
			Formula: "½ [λ_D (1 − σ(βc)) + λ_U σ(βr)]",
			Paper:   "D'Oosterlinck et al. 2024, arXiv 2408.06266; TRL's KTOTrainer",
			Differs: "TRL as here; OpenRLHF does not have it",
			Exact:   "on pairs at equal weights it is apo_zero, at half the scale",
		},
		Uses: with(usesReference, "desirable_weight", "undesirable_weight"),
		Of:   func(b *Batch, c *Config) { clear(b.KL); kto(b, c) },
	},
	{
		Name: "bco",
		Card: card.Card{
			Title:   "Binary Classifier Optimisation",
			Idea:    "a classifier of thumbs, its reward shifted by the running mean",
			Formula: "½ [−log σ(βc − δ) − log σ(δ − βr)], δ the running mean reward",
			Paper:   "Jung et al. 2024, arXiv 2404.04656",
			Exact:   "a response that is desirable with probability q is best at βu = δ + log(q/(1−q)), up to what the responses' probabilities allow",
			Differs: "TRL rounds δ to float32 and offers a density ratio of prompts (no prompts differ here); OpenRLHF does not have it",
		},
		Uses: usesReference, Needs: NeedDelta, Of: bco,
	},
	{
		Name: "orpo",
		Card: card.Card{
			Title:   "Odds Ratio Preference Optimisation",
			Idea:    "supervised fine-tuning and an odds ratio in one, no reference",
			Formula: "L_NLL − β log σ(log odds(y_w) − log odds(y_l)), p = e^{w/|y_w|}",
			Paper:   "Hong et al. 2024, arXiv 2403.07691, equation 6",
			Differs: "TRL's likelihood counts the prompt's tokens too (here prompts are given; `losses` does as TRL); OpenRLHF does not have it",
			Exact:   "without a reference its optimum does not know where it began",
		},
		Of: orpo, Reward: meanLogProbs,
	},
	{
		Name: "cpo",
		Card: card.Card{
			Title:   "Contrastive Preference Optimisation",
			Idea:    "DPO with a uniform reference, and the chosen likelihood",
			Formula: "−log σ(β(w − l)) + smoothing + cpo_alpha L_NLL",
			Paper:   "Xu et al. 2024, arXiv 2401.08417",
			Differs: "TRL as here; OpenRLHF does not have it",
			Exact:   "without a reference its optimum does not know where it began",
		},
		Uses: []string{"cpo_alpha", "label_smoothing"}, Of: cpo, Reward: logProbs,
	},
	{
		Name: "simpo",
		Card: card.Card{
			Title:   "Simple Preference Optimisation",
			Idea:    "mean log-probabilities with a target margin, no reference",
			Formula: "−log σ(β(w/|y_w| − l/|y_l|) − γ) + smoothing",
			Paper:   "Meng et al. 2024, arXiv 2405.14734, equation 6",
			Differs: "TRL's CPOTrainer adds the chosen likelihood unless cpo_alpha = 0 (here \"simpo+sft\"), and its β = 0.1, γ = 0.5 ask for γ/β = 5 nats a token; the paper's β is 2 to 10",
			Exact:   "with endless data mean log-probabilities differ by (log-odds of the preference + γ)/β, whatever the reference said",
		},
		Uses: []string{"simpo_gamma", "label_smoothing"},
		Of: ofMeans(func(w, l float64, c *Config) (float64, float64, float64) {
			return SimPO(w, l, c.Beta, c.SimPOGamma, c.LabelSmoothing)
		}), Reward: meanLogProbs,
	},
	{
		Name: "alphapo",
		Card: card.Card{
			Title:   "AlphaPO",
			Idea:    "SimPO with a bent reward",
			Formula: "−log σ(β(ρ(w/|y_w|) − ρ(l/|y_l|)) − γ) + smoothing, ρ(u) = (1 − e^{−αu})/α",
			Paper:   "Gupta et al. 2025, arXiv 2501.03884",
			Differs: "in TRL it is CPOConfig.alpha, with any of its losses; OpenRLHF does not have it",
		},
		Uses: []string{"alpha", "simpo_gamma", "label_smoothing"},
		Of: ofMeans(func(w, l float64, c *Config) (float64, float64, float64) {
			return AlphaPO(w, l, c.Beta, c.SimPOGamma, c.Alpha, c.LabelSmoothing)
		}), Reward: meanLogProbs,
	},
	{
		Name: "slic_hf",
		Card: card.Card{
			Title:   "Sequence Likelihood Calibration from human feedback",
			Idea:    "a hinge on log-probabilities, and the chosen likelihood, no reference",
			Formula: "max(0, δ − w + l) − λw",
			Paper:   "Zhao et al. 2023, arXiv 2305.10425",
			Differs: "none of the three has it; HALOs with δ = 1, λ = 0.1 as here",
			Exact:   "without a reference its optimum does not know where it began",
			Also:    []string{"SLiC"},
		},
		Uses: []string{"slic_delta", "slic_lambda"}, Of: slic, Reward: logProbs, NoBeta: true,
	},
}

// unless is why, if not ok.
func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}
