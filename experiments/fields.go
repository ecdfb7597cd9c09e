package experiments

import (
	"slices"
	"strings"
)

// fieldDoc says what a field means, in one sentence with its unit, and what
// other systems call it.
type fieldDoc struct {
	Doc       string
	Elsewhere string   // "CleanRL `clip_coef`, …", shown with suggestions
	Foreign   []string // other systems' spellings, translated in errors
}

// fieldDocs has an entry for every field of an experiment file's sections.
var fieldDocs = map[string]fieldDoc{
	"world":                       {Doc: "The hidden world: words, prompts, and what people value."},
	"world.max_length":            {Doc: "Words of the longest response; one that reaches it is cut, without EOS.", Elsewhere: "TRL `response_length`, `max_completion_length`", Foreign: []string{"response_length", "max_completion_length", "max_new_tokens", "length"}},
	"world.words":                 {Doc: "Groups of words; their order gives the words their indices.", Foreign: []string{"vocab", "vocabulary"}},
	"world.prompt":                {Doc: "One prompt: its text, its right answers, its weight.", Foreign: []string{"prompts"}},
	"world.prompt.text":           {Doc: "What the prompt says."},
	"world.prompt.answers":        {Doc: "The words that answer it."},
	"world.prompt.weight":         {Doc: "Relative frequency of the prompt."},
	"world.value":                 {Doc: "One table of what people value.", Foreign: []string{"gold", "values"}},
	"world.value.count":           {Doc: "What is counted: a word group, \"right answer\", \"wrong answer\", \"repeat\" or \"length\"."},
	"world.random":                {Doc: "A world generated at any size, in place of words, prompts, values, base weights and demonstrations."},
	"world.random.words":          {Doc: "Words of the random world; 0: the world is written out.", Foreign: []string{"vocab_size"}},
	"world.random.groups":         {Doc: "Word groups; the first holds the answers."},
	"world.random.prompts":        {Doc: "Prompts, one right answer each."},
	"world.random.demonstrations": {Doc: "Demonstrations, written for the prompts in turn."},
	"world.random.seed":           {Doc: "Seed of the world; the runs' seeds are others."},
	"world.value.worth":           {Doc: "Worth of a count of 0, 1, 2, …; the last entry holds for every higher count."},

	"policy":                 {Doc: "The policy class."},
	"policy.order":           {Doc: "How many of the last words the policy sees; 1 is a bigram."},
	"policy.parametrisation": {Doc: "How parameters make the logits: \"table\" (all free), \"shared\" (a term for all prompts and one per prompt) or \"low_rank\" (a hidden state times an output embedding).", Foreign: []string{"parametrization"}},
	"policy.rank":            {Doc: "Dimensions of hidden state and embedding under \"low_rank\"; unused otherwise.", Elsewhere: "a language model's hidden size", Foreign: []string{"hidden_size", "d_model", "r"}},

	"base":                  {Doc: "The raw text, and pre-training on it."},
	"base.lines":            {Doc: "Lines in the corpus."},
	"base.weights":          {Doc: "How often a word of each group is said, relative to the others."},
	"base.on_topic":         {Doc: "Probability that an answer word is made the right one for the prompt at hand."},
	"base.repeat":           {Doc: "Probability that a word is the one just before again."},
	"base.stop":             {Doc: "Probability that a line ends after each word."},
	"base.learning_rate":    {Doc: "Adam's learning rate in pre-training.", Foreign: []string{"lr"}},
	"base.num_train_epochs": {Doc: "Passes over the corpus.", Foreign: []string{"epochs", "num_epochs"}},
	"base.batch_size":       {Doc: "Lines in a step.", Foreign: []string{"per_device_train_batch_size"}},
	"base.max_grad_norm":    {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"sft":                           {Doc: "Supervised fine-tuning on written demonstrations."},
	"sft.demonstrations":            {Doc: "The (prompt, completion) pairs, in words.", Foreign: []string{"pairs", "data"}},
	"sft.demonstrations.prompt":     {Doc: "The text of a prompt."},
	"sft.demonstrations.completion": {Doc: "What a person wrote.", Foreign: []string{"response", "output"}},
	"sft.file":                      {Doc: "A JSONL file of further pairs, {\"prompt\": …, \"completion\": …} a line.", Foreign: []string{"dataset", "dataset_name"}},
	"sft.generate":                  {Doc: "Further pairs, written by simulated people who know what is wanted; 0 = none.", Foreign: []string{"num_demonstrations", "max_train_samples", "train_size"}},
	"sft.writer_temperature":        {Doc: "T: they write y with probability ∝ π_base(y|x) exp(gold(x,y)/T); small = their best, large = raw text.", Foreign: []string{"demonstration_temperature"}},
	"sft.learning_rate":             {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"sft.num_train_epochs":          {Doc: "Passes over the demonstrations.", Foreign: []string{"epochs", "num_epochs"}},
	"sft.batch_size":                {Doc: "Demonstrations in a step.", Foreign: []string{"per_device_train_batch_size"}},
	"sft.max_grad_norm":             {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"labels":                       {Doc: "The collection of human rankings."},
	"labels.rankings":              {Doc: "Rankings collected for training.", Foreign: []string{"n", "num_rankings", "size", "comparisons", "num_labels"}},
	"labels.held_out":              {Doc: "Further rankings, for measuring the reward model.", Foreign: []string{"eval_rankings"}},
	"labels.responses_per_ranking": {Doc: "K, the responses in a ranking, 2 to 9.", Foreign: []string{"k", "K"}},
	"labels.response_source":       {Doc: "Who writes the ranked responses: \"sft\", \"base\" or \"uniform\"."},
	"labels.rater_temperature":     {Doc: "T in P(a above b) = σ((gold_a − gold_b)/T).", Foreign: []string{"temperature"}},
	"labels.tie_nu":                {Doc: "How readily raters call two responses equal: ν of Rao and Kupper's model; 1 = never. A comparison, not a ranking, may be a tie.", Foreign: []string{"tie_threshold"}},
	"labels.label_noise":           {Doc: "Probability that a comparison is reversed.", Elsewhere: "AlpacaFarm `p_label_flip`, oat `preference_flip_prob`", Foreign: []string{"label_flip", "flip", "p_label_flip", "preference_flip_prob", "flip_prob", "noise"}},

	"reward":                            {Doc: "The reward model and its fit."},
	"reward.model":                      {Doc: "What the reward model sees: \"bag_of_words\", \"bigrams\" (adjacent pairs of words), or \"mlp\", a small network over capped counts.", Foreign: []string{"model_type", "architecture"}},
	"reward.loss_type":                  {Doc: "How a ranking is taken: \"pairwise\" comparisons, \"plackett_luce\" (a sequence of choices), \"pick_best\" (the first choice alone), or comparisons that may be ties: \"rao_kupper\", \"davidson\".", Foreign: []string{"loss"}},
	"reward.tie_nu":                     {Doc: "rao_kupper, davidson: ν, how readily ties are called; labels.tie_nu where the raters' is known."},
	"reward.drop_ties":                  {Doc: "Leave out the comparisons that raters called equal (labels.tie_nu)."},
	"reward.margin":                     {Doc: "Pairwise: how far the best response's reward must be above the worst's; nearer ranks need less.", Elsewhere: "TRL's dataset column `margin`", Foreign: []string{"reward_margin"}},
	"reward.learning_rate":              {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"reward.num_train_epochs":           {Doc: "Passes over the rankings.", Foreign: []string{"epochs", "num_epochs"}},
	"reward.batch_size":                 {Doc: "Rankings in a step.", Foreign: []string{"per_device_train_batch_size"}},
	"reward.weight_decay":               {Doc: "Decoupled weight decay (AdamW) of the word weights.", Foreign: []string{"l2"}},
	"reward.center_rewards_coefficient": {Doc: "Weight of (r_w + r_l)², which keeps rewards around 0.", Foreign: []string{"center_rewards_coef", "center_coef"}},
	"reward.num_ensemble":               {Doc: "Reward models fitted, each to a resample of the rankings; 1 = one model, fitted to all.", Elsewhere: "oat `num_ensemble`", Foreign: []string{"ensemble", "n_ensemble", "ensemble_size"}},
	"reward.aggregate":                  {Doc: "How the scores of several become one: \"mean\", \"worst_case\" or \"uncertainty_weighted\"; exact proxies are those of the mean (of networks: of the aggregate).", Foreign: []string{"ensemble_method"}},
	"reward.uncertainty_coef":           {Doc: "λ of uncertainty_weighted, mean − λ variance.", Elsewhere: "oat `enn_lambda`", Foreign: []string{"enn_lambda", "uwo_coef"}},
	"reward.hidden_size":                {Doc: "mlp: units of the hidden layer.", Foreign: []string{"hidden_dim", "num_hidden", "width"}},
	"reward.counts":                     {Doc: "mlp: the counts it reads, named as in world.value; [] = every word group, right answer, wrong answer, repeat and length."},
	"reward.count_cap":                  {Doc: "mlp: from this number on all counts look the same to it; length is not capped."},
	"reward.max_grad_norm":              {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"objective":      {Doc: "The objective that all arms are measured by."},
	"objective.beta": {Doc: "β in E[r] − β KL(π‖π_SFT), the leash.", Elsewhere: "TRL `beta` (DPO), `kl_coef` (PPO)", Foreign: []string{"kl_coef", "kl_penalty"}},

	"ppo":                     {Doc: "Proximal Policy Optimization."},
	"ppo.total_episodes":      {Doc: "Responses sampled in all.", Elsewhere: "CleanRL `total_timesteps`, SB3 `total_timesteps`", Foreign: []string{"total_timesteps", "num_episodes", "episodes"}},
	"ppo.batch_size":          {Doc: "Responses sampled for each step.", Elsewhere: "OpenRLHF `rollout_batch_size`, SB3 `n_steps`", Foreign: []string{"rollout_batch_size", "n_steps", "num_steps", "local_batch_size"}},
	"ppo.top_mask":            {Doc: "p of NLPO's mask: only words within the top-p nucleus of a masking policy, and EOS, are sampled; 1 = no mask.", Elsewhere: "RL4LMs `top_mask`", Foreign: []string{"top_p"}},
	"ppo.cliprange_reward":    {Doc: "Scores are cut off at plus and minus this, before the KL; 0 = no clipping.", Elsewhere: "trlX `cliprange_reward`, OpenRLHF `reward.clip_range` (after the baseline), TRL RLOO `reward_clip_range`", Foreign: []string{"reward_clip_range", "reward_clip", "clip_reward"}},
	"ppo.truncated_reward":    {Doc: "What becomes of the score of a response that was cut: missing_eos_penalty is taken off (\"subtract\"), or truncated_value stands for it (\"replace\") or multiplies it (\"scale\", which lifts a negative one).", Elsewhere: "TRL subtracts; OpenAI, AlpacaFarm and torchtune replace; OpenRLHF scales, or replaces where its coefficient is negative"},
	"ppo.missing_eos_penalty": {Doc: "Taken off the score of a response that was cut.", Foreign: []string{"non_eos_penalty"}},
	"ppo.truncated_value":     {Doc: "The score of a response that was cut, or with truncated_reward = \"scale\" what it is multiplied by, 0 to 1.", Elsewhere: "AlpacaFarm `penalty_reward_value` (−1), torchtune `reward_penalty` (−3), OpenRLHF `stop_properly_penalty_coef`", Foreign: []string{"penalty_reward_value", "reward_penalty", "stop_properly_penalty_coef"}},
	"ppo.scale_reward":        {Doc: "Divide the scores by their standard deviation: of all so far (\"running\"), of the first batch (\"ref\"), or not (\"none\"). β is then a price in deviations of the score: what is climbed is E[r] − βσ KL.", Elsewhere: "trlX `scale_reward` (\"ignored\" is none)"},
	"ppo.score_position":      {Doc: "Where the score of a response stands: on its \"last_token\", or behind its EOS where there is room, \"after_eos\", as in TRL's PPOTrainer."},
	"ppo.whiten_rewards":      {Doc: "Scale token rewards to unit variance, mean kept.", Foreign: []string{"normalize_reward"}},
	"ppo.kl_coef":             {Doc: "β of the KL penalty in the reward; objective.beta unless set.", Elsewhere: "OpenRLHF `kl.init_coef`, verl `kl_ctrl.kl_coef`, TRL 0.8 `init_kl_coef`", Foreign: []string{"init_kl_coef", "init_coef", "kl_penalty_coef", "beta"}},
	"ppo.kl_estimator":        {Doc: "The KL penalty of one token: \"k1\", \"k2\", \"k3\", \"k1_plus\", \"k3_plus\", \"abs\", \"k1_positive\", or \"full\", the exact KL of the state.", Elsewhere: "TRL 0.8 `kl_penalty` (\"mse\" is k2), verl `kl_penalty` (\"low_var_kl\" is k3; a \"+\" gives k2's slope)", Foreign: []string{"kl_penalty", "kl_type"}},
	"ppo.kl_clamp":            {Doc: "Largest KL penalty of one token, beyond which it has no gradient; 0 = none.", Elsewhere: "10 in OpenRLHF, and in verl for k3", Foreign: []string{"kl_clip", "clip_kl"}},
	"ppo.kl_in":               {Doc: "Where the KL penalty stands: in the \"reward\", in the \"loss\", or in \"both\" (which the exact KL of the state needs).", Elsewhere: "verl `use_kl_in_reward`, `use_kl_loss`, OpenRLHF `kl.use_loss`", Foreign: []string{"use_kl_loss", "use_kl_in_reward"}},
	"ppo.adap_kl_ctrl":        {Doc: "Steer the KL coefficient to a target.", Elsewhere: "verl `kl_ctrl.type`", Foreign: []string{"adaptive_kl", "kl_ctrl"}},
	"ppo.target":              {Doc: "KL in nats per response that an adaptive coefficient aims at.", Foreign: []string{"kl_target", "target_kl_ctrl"}},
	"ppo.horizon":             {Doc: "Episodes over which it does so; 10 × batch_size makes the step of Ziegler et al., β ← β (1 + 0.1 e).", Elsewhere: "AlpacaFarm `k_beta` = batch_size/horizon; 0.1 in RL4LMs", Foreign: []string{"kl_horizon"}},
	"ppo.gamma":               {Doc: "γ, the discount.", Foreign: []string{"discount"}},
	"ppo.lam":                 {Doc: "λ of generalised advantage estimation.", Elsewhere: "CleanRL and SB3 `gae_lambda`, OpenRLHF `lambd`", Foreign: []string{"gae_lambda", "lambd", "lambda"}},
	"ppo.biased_whitening":    {Doc: "Whiten by the variance over N, as OpenRLHF and OpenAI's code do, instead of over N − 1, as TRL and verl do."},
	"ppo.whiten_advantages":   {Doc: "Scale advantages to mean 0 and variance 1 (TRL always does).", Elsewhere: "CleanRL `norm_adv`, SB3 `normalize_advantage`", Foreign: []string{"norm_adv", "normalize_advantage"}},
	"ppo.num_ppo_epochs":      {Doc: "Passes over each batch of responses.", Elsewhere: "CleanRL `update_epochs`, SB3 `n_epochs`, OpenRLHF `max_epochs`, verl `ppo_epochs`", Foreign: []string{"update_epochs", "n_epochs", "max_epochs", "ppo_epochs", "noptepochs"}},
	"ppo.num_mini_batches":    {Doc: "Minibatches in each pass.", Elsewhere: "CleanRL `num_minibatches`", Foreign: []string{"mini_batch_size", "ppo_mini_batch_size", "num_minibatches", "nminibatches", "n_minibatches"}},
	"ppo.cliprange":           {Doc: "The PPO clip range ε.", Elsewhere: "CleanRL `clip_coef`, SB3 `clip_range`, OpenRLHF `eps_clip`, verl `clip_ratio`", Foreign: []string{"clip_ratio_low", "clip_coef", "clip_range", "eps_clip", "clip_ratio", "clip_eps", "epsilon", "clip"}},
	"ppo.cliprange_high":      {Doc: "ε of the upper bound, for a range that is not symmetric (clip-higher); 0 = cliprange.", Elsewhere: "verl `clip_ratio_high`, TRL GRPO `epsilon_high`", Foreign: []string{"clip_ratio_high", "epsilon_high"}},
	"ppo.log_ratio_clamp":     {Doc: "Largest logarithm of a ratio, either way, beyond which it has no gradient; 0 = none.", Elsewhere: "20 in verl and OpenRLHF"},
	"ppo.dual_clip":           {Doc: "Largest ratio that counts at a negative advantage; 0 = none.", Elsewhere: "verl `clip_ratio_c`, TRL GRPO `delta`", Foreign: []string{"clip_ratio_c", "delta"}},
	"ppo.early_stopping":      {Doc: "Stop the passes over a batch when the policy has moved too far."},
	"ppo.target_kl":           {Doc: "How far is too far: 1.5 times this, in nats per token.", Foreign: []string{"desired_kl"}},
	"ppo.critic_warmup":       {Doc: "Steps in which only the value head learns.", Elsewhere: "verl `critic_warmup`, OpenRLHF `critic.freezing_steps`", Foreign: []string{"freezing_steps", "freezing_actor_steps"}},
	"ppo.vf_coef":             {Doc: "Weight of the value loss.", Elsewhere: "OpenAI `vf_coef`, rlhf-book `vf_coef`", Foreign: []string{"value_loss_coef", "value_coef"}},
	"ppo.cliprange_value":     {Doc: "Clip range of the value loss.", Elsewhere: "SB3 `clip_range_vf`, OpenRLHF `value_clip`, rlhf-book `clip_eps_val`", Foreign: []string{"clip_range_vf", "clip_vloss", "value_clip", "clip_eps_val", "cliprange_vf"}},
	"ppo.entropy_coef":        {Doc: "Weight of the entropy bonus.", Elsewhere: "CleanRL and SB3 `ent_coef`, verl `entropy_coeff`", Foreign: []string{"ent_coef", "entropy_coeff"}},
	"ppo.ptx_coef":            {Doc: "γ of PPO-ptx: weight of the log-likelihood of pre-training lines; 0 = off.", Elsewhere: "OpenRLHF `ptx_coef`, InstructGPT 27.8", Foreign: []string{"gamma_ptx", "ptx_loss_coef"}},
	"ppo.ptx_batch_size":      {Doc: "Pre-training lines in each update."},
	"ppo.learning_rate":       {Doc: "Adam's learning rate of the policy.", Elsewhere: "OpenRLHF `actor.adam.lr`", Foreign: []string{"lr", "actor_learning_rate"}},
	"ppo.value_learning_rate": {Doc: "Adam's learning rate of the value head.", Elsewhere: "OpenRLHF `critic_learning_rate`", Foreign: []string{"critic_learning_rate", "critic_lr", "value_lr", "vf_lr"}},
	"ppo.lr_scheduler_type":   {Doc: "\"constant\", or \"linear\" to 0.", Elsewhere: "CleanRL `anneal_lr`", Foreign: []string{"anneal_lr", "lr_scheduler", "scheduler"}},
	"ppo.max_grad_norm":       {Doc: "Largest gradient norm of policy and value each; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"ppo.target_update_iterations": {Doc: "Steps after which the masking policy becomes a copy of the policy.", Elsewhere: "RL4LMs `target_update_iterations` (5 to 100 in its configurations)"},
	"ppo.init_value_with_reward":   {Doc: "Start the value head from the reward model instead of 0: V of a state is the mean score of the prefixes by which the SFT policy comes to it.", Elsewhere: "AlpacaFarm `init_value_with_reward`; InstructGPT's and torchtune's critics start as the reward model", Foreign: []string{"value_checkpoint"}},

	"grpo":                            {Doc: "The critic-free methods (reinforce, rloo, grpo, dr_grpo, dapo, gspo, …): a field that is not written here is the arm's method's own.", Foreign: []string{"rloo", "reinforce", "dapo", "gspo"}},
	"grpo.total_episodes":             {Doc: "Responses sampled in all; groups drawn again are not counted.", Foreign: []string{"num_episodes", "episodes"}},
	"grpo.batch_size":                 {Doc: "Responses sampled for each step, a multiple of num_generations.", Elsewhere: "TRL `generation_batch_size`, OpenRLHF `rollout_batch_size` × `n_samples_per_prompt`", Foreign: []string{"generation_batch_size", "rollout_batch_size"}},
	"grpo.num_generations":            {Doc: "Responses to the same prompt.", Elsewhere: "OpenRLHF `n_samples_per_prompt`, verl `rollout.n`", Foreign: []string{"n", "G", "rollout_n", "num_samples", "n_samples_per_prompt", "group_size", "rloo_k"}},
	"grpo.binary_reward":              {Doc: "Give 1 for a score of at least success_score and 0 below, in place of the score, as a verifier does.", Foreign: []string{"verifiable_reward", "binarize"}},
	"grpo.success_score":              {Doc: "Least score that is a success.", Foreign: []string{"threshold", "success_threshold"}},
	"grpo.cliprange_reward":           {Doc: "Scores are cut off at plus and minus this, before baseline and KL; 0 = no clipping.", Elsewhere: "TRL RLOO `reward_clip_range`, OpenRLHF `reward.clip_range` (after the baseline: cliprange_advantage)", Foreign: []string{"reward_clip_range", "reward_clip", "clip_reward"}},
	"grpo.overlong_penalty":           {Doc: "Factor of the soft punishment of long responses (DAPO); 0 = off.", Elsewhere: "OpenRLHF `overlong_penalty_factor`", Foreign: []string{"overlong_buffer", "overlong", "overlong_penalty_factor"}},
	"grpo.soft_max_length":            {Doc: "Tokens, EOS among them, at which the punishment is whole; 0 = world.max_length.", Elsewhere: "TRL `max_completion_len` of its overlong reward", Foreign: []string{"max_completion_len"}},
	"grpo.soft_punish_cache":          {Doc: "Tokens before that over which it grows.", Elsewhere: "OpenRLHF `overlong_buffer_len`", Foreign: []string{"overlong_buffer_len", "buffer"}},
	"grpo.mask_truncated_completions": {Doc: "Leave responses that were cut out of the loss (not out of the baseline).", Foreign: []string{"overlong_filtering"}},
	"grpo.dynamic_sampling":           {Doc: "Draw groups whose rewards are all equal again, up to 10 times.", Elsewhere: "verl `filter_groups`, OpenRLHF `dynamic_filtering`", Foreign: []string{"filter_groups", "dynamic_filtering"}},
	"grpo.advantage":                  {Doc: "The baseline: \"none\", \"batch_mean\", \"group_mean\", \"leave_one_out\", \"greedy\", \"length_weighted\", \"second_best\" or \"optimal_token\".", Elsewhere: "verl `adv_estimator`, OpenRLHF `advantage_estimator`", Foreign: []string{"adv_estimator", "advantage_estimator", "baseline"}},
	"grpo.drop_masked_responses":      {Doc: "Leave responses that were cut out of the number of responses that a mean over responses divides by, too (mask_truncated_completions = true).", Elsewhere: "true in OpenRLHF, false in TRL and in verl's trainer"},
	"grpo.scale_rewards":              {Doc: "Divide advantages by the rewards' standard deviation in the \"group\" or in the \"batch\", by their \"mean\" in the group (MaxRL), by the share of them that is not 0 (\"nonzero\", verl's gpg), or not (\"none\").", Elsewhere: "verl `norm_adv_by_std_in_grpo`", Foreign: []string{"norm_adv_by_std_in_grpo"}},
	"grpo.scale_epsilon":              {Doc: "What is added to a standard deviation, or a mean, before it divides.", Elsewhere: "1e-4 in TRL, 1e-6 in verl, 1e-9 in OpenRLHF", Foreign: []string{"epsilon_std", "eps", "adv_eps"}},
	"grpo.normalize_advantages":       {Doc: "Scale advantages to mean 0 and variance 1 over the batch's responses.", Elsewhere: "TRL RLOO `normalize_advantages`", Foreign: []string{"norm_adv"}},
	"grpo.whiten_advantages":          {Doc: "The same over the batch's tokens (REINFORCE++)."},
	"grpo.biased_whitening":           {Doc: "Whiten by the variance over N, as OpenRLHF does, instead of over N − 1, as TRL and verl do."},
	"grpo.beta":                       {Doc: "β of the KL penalty; objective.beta unless set.", Elsewhere: "OpenRLHF `kl.init_coef`, verl `kl_loss_coef`", Foreign: []string{"kl_coef", "kl_loss_coef", "init_coef"}},
	"grpo.kl_in":                      {Doc: "Where the KL stands: in the \"loss\", in the \"reward\" of the response, in each token's (\"token_reward\"), or in each token's and the loss (\"both\", which the exact KL of the state needs).", Elsewhere: "verl `use_kl_in_reward`, `use_kl_loss`", Foreign: []string{"use_kl_loss", "use_kl_in_reward"}},
	"grpo.cliprange_advantage":        {Doc: "Rewards less their baseline, and scaled, are cut off at plus and minus this, before normalisation and token-level KL; 0 = no clipping.", Elsewhere: "10 in OpenRLHF, `reward.clip_range`", Foreign: []string{"clip_range", "advantage_clip"}},
	"grpo.gamma":                      {Doc: "γ, the discount of what follows a token, where the penalty of each token stands in its own reward (kl_in = \"token_reward\" or \"both\").", Foreign: []string{"discount"}},
	"grpo.kl_aggregation":             {Doc: "What becomes of the penalties of tokens where the KL is in the loss: what the loss makes of its tokens (\"as_loss\"), or their mean over the update (\"token_mean\").", Elsewhere: "OpenRLHF: \"token_mean\""},
	"grpo.kl_clamp":                   {Doc: "Largest KL penalty of one token, beyond which it has no gradient; 0 = none.", Elsewhere: "10 in OpenRLHF, and in verl for k3", Foreign: []string{"kl_clip", "clip_kl"}},
	"grpo.kl_estimator":               {Doc: "The KL penalty of one token: \"k1\", \"k2\", \"k3\", \"k1_plus\", \"k3_plus\", \"abs\", \"k1_positive\", or \"full\", the exact KL of the state.", Elsewhere: "verl `kl_loss_type`", Foreign: []string{"kl_loss_type", "kl_penalty"}},
	"grpo.use_bias_correction_kl":     {Doc: "Multiply the KL in the loss by the importance weight."},
	"grpo.loss_type":                  {Doc: "The policy loss: \"grpo\", \"bnpo\", \"dr_grpo\", \"dapo\", \"luspo\", \"cispo\", \"cispo_two_sided\", \"sapo\", \"vespo\", \"gmpo\", \"clip_cov\", \"kl_cov\", \"dppo_tv\", \"dppo_kl\", \"dro\", \"reinforce\" or \"gpg\".", Elsewhere: "verl `loss_mode`", Foreign: []string{"loss_mode", "loss"}},
	"grpo.importance_sampling_level":  {Doc: "One importance weight a \"token\", one a \"sequence\" (geometric mean, GSPO), or one a \"response\" (product, RLOO)."},
	"grpo.epsilon":                    {Doc: "The clip range ε, of the lower bound and, unless epsilon_high is set, of the upper. With dppo_tv and dppo_kl the largest divergence.", Elsewhere: "verl `clip_ratio_low`, OpenRLHF `eps_clip`", Foreign: []string{"cliprange", "clip_ratio", "clip_ratio_low", "eps_clip", "epsilon_low", "cliprange_low", "eps_clip_low", "clip_low"}},
	"grpo.epsilon_high":               {Doc: "ε of the upper bound (clip-higher); 0 = epsilon. With cispo the largest ratio itself.", Elsewhere: "verl `clip_ratio_high`", Foreign: []string{"clip_ratio_high", "cliprange_high", "eps_clip_high", "clip_high", "clip_higher"}},
	"grpo.loss_agg_mode":              {Doc: "How the loss of tokens adds up: as loss_type has it (\"as_loss\"), or as their mean over the update, as the mean over responses of their means or of their sums, or of their sums by the longest length.", Elsewhere: "verl `loss_agg_mode`: \"token-mean\", \"seq-mean-token-mean\", \"seq-mean-token-sum\", \"seq-mean-token-sum-norm\"; OpenRLHF's token_level_loss is \"token_mean\"", Foreign: []string{"token_level_loss", "aggregation", "loss_aggregation"}},
	"grpo.log_ratio_clamp":            {Doc: "Largest logarithm of an importance weight, either way, beyond which it has no gradient; 0 = none. One weight of a whole response is held from above alone.", Elsewhere: "20 in verl and OpenRLHF, 10 in verl's gspo"},
	"grpo.delta":                      {Doc: "Largest ratio that counts at a negative advantage (two-sided or dual clip), with dppo_tv and dppo_kl at any; 0 = none.", Elsewhere: "verl `clip_ratio_c`", Foreign: []string{"clip_ratio_c", "dual_clip"}},
	"grpo.sapo_temperature_pos":       {Doc: "τ of SAPO's gate at a positive advantage."},
	"grpo.sapo_temperature_neg":       {Doc: "τ of SAPO's gate at a negative advantage."},
	"grpo.vespo_k_pos":                {Doc: "k of VESPO's weight at a positive advantage."},
	"grpo.vespo_lambda_pos":           {Doc: "λ of VESPO's weight at a positive advantage."},
	"grpo.vespo_k_neg":                {Doc: "k of VESPO's weight at a negative advantage."},
	"grpo.vespo_lambda_neg":           {Doc: "λ of VESPO's weight at a negative advantage."},
	"grpo.clip_cov_ratio":             {Doc: "Share of a batch's tokens that Clip-Cov leaves out of the loss, one at least.", Elsewhere: "verl `policy_loss.clip_cov_ratio`"},
	"grpo.clip_cov_lb":                {Doc: "Clip-Cov leaves out tokens with a covariance above this …", Elsewhere: "verl `policy_loss.clip_cov_lb`"},
	"grpo.clip_cov_ub":                {Doc: "… and below this.", Elsewhere: "verl `policy_loss.clip_cov_ub`"},
	"grpo.kl_cov_ratio":               {Doc: "Share of a batch's tokens, those of the largest covariance, that KL-Cov holds back, one at least.", Elsewhere: "verl `policy_loss.kl_cov_ratio`"},
	"grpo.ppo_kl_coef":                {Doc: "Factor of the absolute log-ratio, in nats, of the tokens that KL-Cov holds back.", Elsewhere: "verl `policy_loss.ppo_kl_coef`"},
	"grpo.dro_beta":                   {Doc: "Factor of half the squared log-ratio, in nats, with which DRO holds each token to where it was sampled.", Elsewhere: "verl `policy_loss.dro_beta`"},
	"grpo.entropy_coef":               {Doc: "Weight of the entropy bonus.", Elsewhere: "verl `entropy_coeff`", Foreign: []string{"ent_coef", "entropy_coeff"}},
	"grpo.use_adaptive_entropy":       {Doc: "Steer the weight of the entropy bonus by the entropy (Skywork-OR1).", Elsewhere: "TRL GRPO `use_adaptive_entropy`"},
	"grpo.entropy_target":             {Doc: "Entropy in nats per token below which the bonus grows, and above which there is none."},
	"grpo.entropy_coef_min":           {Doc: "Smallest weight of an adaptive bonus."},
	"grpo.entropy_coef_max":           {Doc: "Largest weight of an adaptive bonus."},
	"grpo.entropy_coef_delta":         {Doc: "How much it grows or falls after each update."},
	"grpo.steps_per_generation":       {Doc: "Updates in a pass over the batch, each on a part of the groups.", Elsewhere: "OpenRLHF and verl: rollout batch / mini batch", Foreign: []string{"num_mini_batches", "num_minibatches"}},
	"grpo.num_iterations":             {Doc: "Passes over each batch.", Elsewhere: "verl `ppo_epochs`, OpenRLHF `max_epochs`", Foreign: []string{"mu", "ppo_epochs", "max_epochs", "num_ppo_epochs"}},
	"grpo.learning_rate":              {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"grpo.lr_scheduler_type":          {Doc: "\"constant\", or \"linear\" to 0.", Foreign: []string{"lr_scheduler", "scheduler"}},
	"grpo.max_grad_norm":              {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"raft":                   {Doc: "Fine-tuning on the best of n samples (raft, best_of_n, rft, quark).", Foreign: []string{"rejection_sampling", "expert_iteration"}},
	"raft.total_episodes":    {Doc: "Responses sampled in all.", Foreign: []string{"num_episodes", "episodes"}},
	"raft.batch_size":        {Doc: "Responses sampled for each step, a multiple of num_generations.", Foreign: []string{"rollout_batch_size"}},
	"raft.num_generations":   {Doc: "n, the responses to a prompt among which to choose.", Elsewhere: "TRL's former BestOfNSampler `sample_size`, trlX `n_generations_per_prompt`", Foreign: []string{"best_of_n", "sample_size", "n", "n_generations_per_prompt"}},
	"raft.select":            {Doc: "What is learned of a batch: the best of each group (\"top_per_prompt\"), as many of the best of all (\"top_k_overall\"), as many at random as controls (\"random_per_prompt\", \"random_k_overall\"), or all above a rising quantile of their group (\"percentile\").", Elsewhere: "RLHF book `selection.strategy`", Foreign: []string{"strategy", "selection"}},
	"raft.start_percentile":  {Doc: "The quantile of a batch's first update, with select = \"percentile\"."},
	"raft.end_percentile":    {Doc: "The quantile towards which it rises by equal steps; the last update is one step short of it, as in trlX."},
	"raft.pool":              {Doc: "Choose from all samples so far instead of the last batch's.", Elsewhere: "AlpacaFarm `clear_data_pool_on_each_rollout = False`"},
	"raft.kl_coef":           {Doc: "β of KL(π‖π_SFT) at the tokens learned, in the loss; 0 = none.", Foreign: []string{"beta", "kl_penalty"}},
	"raft.sample_from":       {Doc: "Who is sampled: the current \"policy\", or the \"reference\", which is the SFT policy."},
	"raft.num_train_epochs":  {Doc: "Updates on the responses kept of each batch.", Elsewhere: "trlX `n_improve_steps`", Foreign: []string{"epochs", "num_epochs", "n_improve_steps"}},
	"raft.learning_rate":     {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"raft.lr_scheduler_type": {Doc: "\"constant\", or \"linear\" to 0.", Foreign: []string{"lr_scheduler", "scheduler"}},
	"raft.max_grad_norm":     {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"online":                   {Doc: "Preference methods on fresh samples (online_dpo, iterative_dpo, online_ipo, xpo, nash_md, sppo): a field that is not written here is the arm's method's own."},
	"online.total_episodes":    {Doc: "Responses sampled in all.", Foreign: []string{"num_episodes", "episodes"}},
	"online.batch_size":        {Doc: "Responses sampled for each step, two a prompt.", Foreign: []string{"rollout_batch_size", "per_device_train_batch_size"}},
	"online.sync_params_every": {Doc: "Steps for which the sampling policy stays as it is; 1 = always the current one.", Elsewhere: "oat `sync_params_every`", Foreign: []string{"sync_steps"}},
	"online.reference":         {Doc: "Who the log-ratios are taken against: the \"sft\" policy, or the policy as it was when the \"round\" (sync_params_every) began.", Foreign: []string{"ref_model", "update_reference"}},
	"online.labeler":           {Doc: "Who compares the pairs: the \"reward_model\", or the \"raters\" themselves, asked anew for every pair (gold over their temperature, labels.label_noise).", Foreign: []string{"oracle"}},
	"online.judge":             {Doc: "What two scores say about a pair: \"argmax\" (the higher wins, a tie is half a win), \"argmax_first\" (a tie goes to the first, as in TRL), \"sample\" (one noisy label) or \"probability\" (σ of their difference).", Elsewhere: "oat `bt_sample`", Foreign: []string{"bt_sample"}},
	"online.loss_type":         {Doc: "The loss of a pair: \"sigmoid\", \"ipo\", \"xpo\", \"nash_md\" or \"sppo\".", Foreign: []string{"loss"}},
	"online.beta":              {Doc: "β; objective.beta unless set.", Foreign: []string{"kl_coef"}},
	"online.alpha":             {Doc: "α of xpo, the weight of its exploration bonus."},
	"online.mixture_coef":      {Doc: "m of nash_md: how much of the rival is the reference.", Foreign: []string{"mix_coef"}},
	"online.num_iterations":    {Doc: "Updates on each batch.", Foreign: []string{"ppo_epochs", "max_epochs"}},
	"online.learning_rate":     {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"online.lr_scheduler_type": {Doc: "\"constant\", or \"linear\" to 0.", Foreign: []string{"lr_scheduler", "scheduler"}},
	"online.max_grad_norm":     {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"ilql":                         {Doc: "Implicit Language Q-Learning: offline, from the ranked responses and what the reward model says of them."},
	"ilql.num_train_epochs":        {Doc: "Passes over the ranked responses.", Foreign: []string{"epochs", "num_epochs"}},
	"ilql.batch_size":              {Doc: "Responses in a step.", Foreign: []string{"train_batch_size"}},
	"ilql.normalize_rewards":       {Doc: "Rewards get mean 0 and standard deviation 1 over the data, as always in trlX.", Foreign: []string{"normalize_reward", "scale_reward"}},
	"ilql.gamma":                   {Doc: "Discount γ per token.", Foreign: []string{"discount"}},
	"ilql.two_qs":                  {Doc: "Learn two Q heads and trust the lower."},
	"ilql.init_range":              {Doc: "The heads' entries begin evenly spread over ± this: all that makes two heads differ."},
	"ilql.tau":                     {Doc: "τ of the expectile that V is of the Qs in the data: 0.5 is their mean, near 1 the highest.", Foreign: []string{"expectile"}},
	"ilql.cql_scale":               {Doc: "Weight of the conservative term, which lowers the Q of what nobody said.", Foreign: []string{"cql_coef", "cql_alpha"}},
	"ilql.awac_scale":              {Doc: "Weight of the likelihood of the data under the behaviour policy; 0 leaves it the SFT policy.", Foreign: []string{"awac_coef"}},
	"ilql.awac_beta":               {Doc: "β: that likelihood is weighed with exp(β(Q − V)); 0 = plainly.", Elsewhere: "trlX `beta`", Foreign: []string{"beta"}},
	"ilql.alpha":                   {Doc: "How far the targets move towards the heads at each sync.", Foreign: []string{"polyak"}},
	"ilql.steps_for_target_q_sync": {Doc: "Steps from sync to sync.", Foreign: []string{"target_update_interval"}},
	"ilql.gen_beta":                {Doc: "b of the policy π ∝ π_β exp(b(Q − V)): how much it follows Q.", Elsewhere: "trlX `gen_kwargs.beta`"},
	"ilql.learning_rate":           {Doc: "Adam's learning rate for the behaviour policy.", Foreign: []string{"lr"}},
	"ilql.value_learning_rate":     {Doc: "Adam's learning rate for Q and V.", Foreign: []string{"critic_lr"}},

	"dpo":                         {Doc: "Direct Preference Optimization."},
	"dpo.beta":                    {Doc: "β of the implicit reward; objective.beta unless set.", Elsewhere: "LlamaFactory `pref_beta`", Foreign: []string{"orpo_alpha", "orpo_lambda", "tau", "dpo_beta", "kto_beta", "pref_beta", "kl_coef"}},
	"dpo.loss_type":               {Doc: "The preference loss; several joined by \"+\" are added up.", Elsewhere: "LlamaFactory `pref_loss`", Foreign: []string{"pref_loss", "loss"}},
	"dpo.loss_weights":            {Doc: "Weights of the losses of a sum, 1 each unless set.", Elsewhere: "TRL 0.20 `rpo_alpha`, OpenRLHF `nll_loss_coef`", Foreign: []string{"pref_ftx", "rpo_alpha", "nll_loss_coef"}},
	"dpo.label_smoothing":         {Doc: "ε, the assumed probability of a reversed label (conservative DPO).", Foreign: []string{"label_smoothing_factor", "smoothing", "eps"}},
	"dpo.reference_free":          {Doc: "Take log π_ref as 0: a uniform reference."},
	"dpo.f_divergence_type":       {Doc: "The leash: \"reverse_kl\", \"forward_kl\", \"js_divergence\" or \"alpha_divergence\".", Foreign: []string{"f_divergence", "divergence"}},
	"dpo.f_alpha_divergence_coef": {Doc: "α of alpha_divergence.", Foreign: []string{"f_alpha"}},
	"dpo.ld_alpha":                {Doc: "LD-DPO: weight of tokens beyond the shorter response's length; 1 = off."},
	"dpo.use_weighting":           {Doc: "WPO: weigh a pair by how likely the policy is to say its responses.", Foreign: []string{"use_dpo_weighting", "dpo_weighting"}},
	"dpo.per_token":               {Doc: "Take the log-ratios per token instead of per response, in any loss of them; sigmoid becomes sigmoid_norm.", Foreign: []string{"length_normalization", "length_norm"}},
	"dpo.sync_ref_model":          {Doc: "TR-DPO: move the reference to the policy every ref_model_sync_steps steps.", Foreign: []string{"sync_ref"}},
	"dpo.ref_model_sync_steps":    {Doc: "Steps between two moves of the reference."},
	"dpo.ref_model_mixup_alpha":   {Doc: "How far it moves: α of the policy's logits, 1 − α of its own."},
	"dpo.average_log_prob":        {Doc: "IPO: log-ratios per token, as TRL, or of whole responses, as the paper.", Foreign: []string{"average_logp"}},
	"dpo.discopop_tau":            {Doc: "DiscoPOP: temperature of the blend of its two losses."},
	"dpo.running_delta":           {Doc: "bco_pair: shift the rewards by their running mean, as TRL 0.24."},
	"dpo.kl_estimate":             {Doc: "KTO's reference point: from \"mismatched\" pairs of the batch, or \"exact\" for each prompt."},
	"dpo.desirable_weight":        {Doc: "KTO: λ_D, weight of the chosen responses.", Foreign: []string{"lambda_d"}},
	"dpo.undesirable_weight":      {Doc: "KTO: λ_U, weight of the rejected responses.", Foreign: []string{"lambda_u"}},
	"dpo.cpo_alpha":               {Doc: "CPO: weight of the chosen responses' likelihood."},
	"dpo.simpo_gamma":             {Doc: "SimPO: target margin γ of the scaled rewards.", Elsewhere: "SimPO `gamma_beta_ratio` is γ/β", Foreign: []string{"gamma_beta_ratio", "gamma"}},
	"dpo.alpha":                   {Doc: "AlphaPO: shape of the reward (1 − p^−α)/α; 0 = log p."},
	"dpo.slic_delta":              {Doc: "SLiC-HF: the margin δ of its hinge, in nats."},
	"dpo.slic_lambda":             {Doc: "SLiC-HF: weight of the chosen response's likelihood."},
	"dpo.dpop_lambda":             {Doc: "DPOP: price of a chosen response that became less likely."},
	"dpo.rdpo_alpha":              {Doc: "R-DPO: reward per token of length, taken out of the policy's."},
	"dpo.chipo_r_max":             {Doc: "χPO: margins are clipped at plus and minus twice this."},
	"dpo.drop_ties":               {Doc: "Leave out the comparisons that raters called equal (labels.tie_nu), for losses that have no place for them."},
	"dpo.rao_kupper_nu":           {Doc: "Rao-Kupper: ν of its tie threshold log ν; 1 = DPO."},
	"dpo.davidson_nu":             {Doc: "Davidson: ν, how frequent ties are; 0 = DPO."},
	"dpo.learning_rate":           {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"dpo.lr_scheduler_type":       {Doc: "\"constant\", or \"linear\" to 0.", Foreign: []string{"lr_scheduler", "scheduler"}},
	"dpo.num_train_epochs":        {Doc: "Passes over the pairs.", Foreign: []string{"epochs", "num_epochs", "n_epochs"}},
	"dpo.batch_size":              {Doc: "Pairs in a step.", Foreign: []string{"per_device_train_batch_size"}},
	"dpo.max_grad_norm":           {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"exact":               {Doc: "Gradient ascent on the exact objective."},
	"exact.reward":        {Doc: "What is climbed: \"proxy\", the learned reward, or \"gold\", the true values."},
	"exact.learning_rate": {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"exact.num_steps":     {Doc: "Gradient steps.", Elsewhere: "TRL `max_steps`", Foreign: []string{"max_steps", "steps"}},
	"exact.max_grad_norm": {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"evaluation":           {Doc: "When the exact evaluation runs."},
	"evaluation.every":     {Doc: "Steps between records and exact evaluations.", Elsewhere: "TRL `logging_steps`, `eval_steps`", Foreign: []string{"eval_steps", "logging_steps", "eval_every"}},
	"evaluation.gradient":  {Doc: "Compare the gradients that PPO and the critic-free methods estimate with the exact one at each record; for DPO, in small worlds, the data's with the population's."},
	"evaluation.best_of_n": {Doc: "Largest n of the exact best-of-n policies, 1, 2, 4, …, up to 1,048,576; 0 = none.", Foreign: []string{"bon", "num_samples", "n_best"}},
}

// fileDocs documents what stands outside the sections.
var fileDocs = map[string]fieldDoc{
	"format":       {Doc: "The version of the file format."},
	"extends":      {Doc: "What the file builds on: tables are merged key by key, lists replaced whole; name, title and question are not inherited.", Foreign: []string{"inherits", "defaults", "preset"}},
	"name":         {Doc: "Names the run's folder.", Foreign: []string{"exp_name", "run_name"}},
	"title":        {Doc: "The title of tables and figures."},
	"question":     {Doc: "What the experiment asks."},
	"seeds":        {Doc: "How many seeds (0, 1, …), or which.", Elsewhere: "CleanRL `seed`, openrlbenchmark `num_seeds`", Foreign: []string{"num_seeds", "n_seeds", "num_runs"}},
	"output":       {Doc: "Where results go."},
	"output.dir":   {Doc: "The folder in which the run's folder is made.", Foreign: []string{"output_dir", "logdir", "log_dir"}},
	"arm":          {Doc: "One way to align the SFT policy. Where a file has arms, they replace those of the file it extends."},
	"arm.name":     {Doc: "The arm's name, which names files."},
	"arm.label":    {Doc: "The arm's name in tables and figures; any text."},
	"arm.method":   {Doc: "How the arm aligns the policy."},
	"figure":       {Doc: "A figure to draw besides those that every run draws.", Foreign: []string{"plot", "plots", "figures"}},
	"figure.kind":  {Doc: "Which figure."},
	"figure.name":  {Doc: "Names its files; the kind unless given."},
	"figure.x":     {Doc: "sweep: the swept field on the x axis."},
	"figure.y":     {Doc: "curve, sweep: metrics, a panel each."},
	"figure.arms":  {Doc: "Only these arms, by name; all where nothing is said, or the best-ranked six of more than twelve where each is drawn by itself."},
	"figure.dark":  {Doc: "Light on dark."},
	"claim":        {Doc: "A sentence about the run that the program checks.", Foreign: []string{"claims", "assert"}},
	"claim.says":   {Doc: "The sentence; made from the other fields unless given."},
	"claim.metric": {Doc: "A metric that the stage records."},
	"claim.of":     {Doc: "What the claim is about: an arm, or a shared stage, base, sft or reward."},
	"claim.at":     {Doc: "Which record: first, last, best, step N, or KL N."},
	"claim.where":  {Doc: "Which points of a sweep, as swept fields and their values."},
	"claim.is":     {Doc: "above, below or equal; a claim has either this or trend."},
	"claim.than":   {Doc: "What is compared with: a number, an arm or stage, or a table of of, at and where."},
	"claim.by":     {Doc: "The margin of the comparison."},
	"claim.trend":  {Doc: "rises, falls, peaks inside or dips inside."},
	"claim.over":   {Doc: "What the trend is over: step, exact/kl, or a swept field."},
	"grid":         {Doc: "Lists of values under dotted names; every combination is run.", Foreign: []string{"sweep", "sweeps"}},
	"variant":      {Doc: "A set of fields that are varied together; every variant is run at every point of the grid."},
	"variant.name": {Doc: "The variant's name."},
}

// spellings are further names that other systems give a field, in whatever section
// it stands.
var spellings = map[string][]string{
	"batch_size":            {"train_batch_size", "per_device_train_batch_size"},
	"beta":                  {"kl_coeff", "init_kl_coef"},
	"cliprange":             {"clip_eps_lo", "clip_eps_hi", "cliprange_policy", "clip_epsilon"},
	"cliprange_value":       {"clip_range_value"},
	"every":                 {"log_every", "log_interval"},
	"kl_coef":               {"kl_coeff", "kl_loss_coef", "init_kl"},
	"kl_estimator":          {"kl_penalty_type", "kl_loss_type"},
	"max_grad_norm":         {"gradient_clipping", "max_norm"},
	"max_length":            {"max_tokens", "max_len", "max_response_length"},
	"num_mini_batches":      {"num_minibatch"},
	"num_ppo_epochs":        {"num_iterations", "num_epochs", "epochs"},
	"num_train_epochs":      {"max_epochs", "total_epochs"},
	"rankings":              {"num_comparisons", "num_pairs"},
	"responses_per_ranking": {"num_generations", "num_responses"},
	"total_episodes":        {"num_rollouts"},
	"vf_coef":               {"vf_loss_coef"},
}

// foreignNames are all of a field's names elsewhere.
func foreignNames(path string) []string {
	_, name, _ := cutLast(path)
	out := slices.Clone(docOf(path).Foreign)
	for _, s := range spellings[name] {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// unindexed is a path as fieldDocs spells it: "world.value[2].worth" without
// the index.
func unindexed(path string) string {
	parts := strings.Split(path, ".")
	for i, p := range parts {
		parts[i], _, _ = strings.Cut(p, "[")
	}
	return strings.Join(parts, ".")
}

// foreign translates another system's name for a field of the section: to the
// field's name there, or to dotted names where the section is none or an arm.
func foreign(section, key string) []string {
	section = unindexed(section)
	inArm, anywhere := section == "arm", section == "" || section == "arm" || section == "variant"
	var hits []string
	for _, docs := range []map[string]fieldDoc{fieldDocs, fileDocs} {
		for path := range docs {
			parent, name, _ := cutLast(path)
			switch {
			case !slices.Contains(foreignNames(path), key):
			case parent == section && !anywhere:
				hits = append(hits, name)
			case anywhere && (!inArm || slices.Contains(armSections(), parent)):
				hits = append(hits, path)
			}
		}
	}
	if slices.Contains(hits, "objective.beta") { // the one that all arms share
		return []string{"objective.beta"}
	}
	slices.Sort(hits) // map order must not decide
	return hits
}

// docOf is what is known of a field, in a section or outside of them.
func docOf(path string) fieldDoc {
	if doc, ok := fieldDocs[path]; ok {
		return doc
	}
	return fileDocs[path]
}

// elsewhere are the sections that have a field of that name: [objective] alone
// where it is one of them.
func elsewhere(key string) []string {
	var hits []string
	for path := range fieldDocs {
		if parent, name, ok := cutLast(path); ok && name == key {
			hits = append(hits, parent)
		}
	}
	if slices.Contains(hits, "objective") {
		return []string{"objective"}
	}
	slices.Sort(hits)
	return hits
}

func cutLast(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}
