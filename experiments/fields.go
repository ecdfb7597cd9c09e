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
	"world":                {Doc: "The hidden world: words, prompts, and what people value."},
	"world.max_length":     {Doc: "Words of the longest response; one that reaches it is cut, without EOS.", Elsewhere: "TRL `response_length`, `max_completion_length`", Foreign: []string{"response_length", "max_completion_length", "max_new_tokens", "length"}},
	"world.words":          {Doc: "Groups of words; their order gives the words their indices.", Foreign: []string{"vocab", "vocabulary"}},
	"world.prompt":         {Doc: "One prompt: its text, its right answers, its weight.", Foreign: []string{"prompts"}},
	"world.prompt.text":    {Doc: "What the prompt says."},
	"world.prompt.answers": {Doc: "The words that answer it."},
	"world.prompt.weight":  {Doc: "Relative frequency of the prompt."},
	"world.value":          {Doc: "One table of what people value.", Foreign: []string{"gold", "values"}},
	"world.value.count":    {Doc: "What is counted: a word group, \"right answer\", \"wrong answer\", \"repeat\" or \"length\"."},
	"world.value.worth":    {Doc: "Worth of a count of 0, 1, 2, …; the last entry holds for every higher count."},

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
	"sft.learning_rate":             {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"sft.num_train_epochs":          {Doc: "Passes over the demonstrations.", Foreign: []string{"epochs", "num_epochs"}},
	"sft.batch_size":                {Doc: "Demonstrations in a step.", Foreign: []string{"per_device_train_batch_size"}},
	"sft.max_grad_norm":             {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"labels":                       {Doc: "The collection of human rankings."},
	"labels.rankings":              {Doc: "Rankings collected for training.", Foreign: []string{"comparisons", "num_labels"}},
	"labels.held_out":              {Doc: "Further rankings, for measuring the reward model.", Foreign: []string{"eval_rankings"}},
	"labels.responses_per_ranking": {Doc: "K, the responses in a ranking, 2 to 9.", Foreign: []string{"k", "K"}},
	"labels.response_source":       {Doc: "Who writes the ranked responses: \"sft\", \"base\" or \"uniform\"."},
	"labels.rater_temperature":     {Doc: "T in P(a above b) = σ((gold_a − gold_b)/T).", Foreign: []string{"temperature"}},
	"labels.label_noise":           {Doc: "Probability that a comparison is reversed.", Elsewhere: "AlpacaFarm `p_label_flip`, oat `preference_flip_prob`", Foreign: []string{"p_label_flip", "preference_flip_prob", "flip_prob", "noise"}},

	"reward":                            {Doc: "The reward model and its fit."},
	"reward.model":                      {Doc: "What the reward model sees: \"bag_of_words\", or \"bigrams\", adjacent pairs of words.", Foreign: []string{"model_type", "architecture"}},
	"reward.loss_type":                  {Doc: "How a ranking is taken: \"pairwise\" comparisons, \"plackett_luce\" (a sequence of choices) or \"pick_best\" (the first choice alone).", Foreign: []string{"loss"}},
	"reward.margin":                     {Doc: "Pairwise: how far the best response's reward must be above the worst's; nearer ranks need less.", Elsewhere: "TRL's dataset column `margin`", Foreign: []string{"reward_margin"}},
	"reward.learning_rate":              {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"reward.num_train_epochs":           {Doc: "Passes over the rankings.", Foreign: []string{"epochs", "num_epochs"}},
	"reward.batch_size":                 {Doc: "Rankings in a step.", Foreign: []string{"per_device_train_batch_size"}},
	"reward.weight_decay":               {Doc: "Decoupled weight decay (AdamW) of the word weights.", Foreign: []string{"l2"}},
	"reward.center_rewards_coefficient": {Doc: "Weight of (r_w + r_l)², which keeps rewards around 0.", Foreign: []string{"center_coef"}},
	"reward.max_grad_norm":              {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"objective":      {Doc: "The objective that all arms are measured by."},
	"objective.beta": {Doc: "β in E[r] − β KL(π‖π_SFT), the leash.", Elsewhere: "TRL `beta` (DPO), `kl_coef` (PPO)", Foreign: []string{"kl_coef", "kl_penalty"}},

	"ppo":                     {Doc: "Proximal Policy Optimization."},
	"ppo.total_episodes":      {Doc: "Responses sampled in all.", Elsewhere: "CleanRL `total_timesteps`, SB3 `total_timesteps`", Foreign: []string{"total_timesteps", "num_episodes", "episodes"}},
	"ppo.batch_size":          {Doc: "Responses sampled for each step.", Elsewhere: "OpenRLHF `rollout_batch_size`, SB3 `n_steps`", Foreign: []string{"rollout_batch_size", "n_steps", "num_steps", "local_batch_size"}},
	"ppo.missing_eos_penalty": {Doc: "Taken off the score of a response that was cut.", Elsewhere: "AlpacaFarm `penalty_reward_value`", Foreign: []string{"penalty_reward_value", "non_eos_penalty"}},
	"ppo.whiten_rewards":      {Doc: "Scale token rewards to unit variance, mean kept.", Foreign: []string{"scale_reward", "normalize_reward"}},
	"ppo.kl_coef":             {Doc: "β of the KL penalty in the reward; objective.beta unless set.", Elsewhere: "OpenRLHF `kl.init_coef`, verl `kl_ctrl.kl_coef`, TRL 0.8 `init_kl_coef`", Foreign: []string{"init_kl_coef", "init_coef", "kl_penalty_coef", "beta"}},
	"ppo.kl_estimator":        {Doc: "The KL penalty of one token: \"k1\" or \"k3\".", Elsewhere: "TRL 0.8 `kl_penalty`", Foreign: []string{"kl_penalty", "kl_type"}},
	"ppo.adap_kl_ctrl":        {Doc: "Steer the KL coefficient to a target.", Elsewhere: "verl `kl_ctrl.type`", Foreign: []string{"adaptive_kl", "kl_ctrl"}},
	"ppo.target":              {Doc: "KL in nats per response that an adaptive coefficient aims at.", Foreign: []string{"kl_target", "target_kl_ctrl"}},
	"ppo.horizon":             {Doc: "Episodes over which it does so.", Foreign: []string{"kl_horizon"}},
	"ppo.gamma":               {Doc: "γ, the discount.", Foreign: []string{"discount"}},
	"ppo.lam":                 {Doc: "λ of generalised advantage estimation.", Elsewhere: "CleanRL and SB3 `gae_lambda`, OpenRLHF `lambd`", Foreign: []string{"gae_lambda", "lambd", "lambda"}},
	"ppo.whiten_advantages":   {Doc: "Scale advantages to mean 0 and variance 1 (TRL always does).", Elsewhere: "CleanRL `norm_adv`, SB3 `normalize_advantage`", Foreign: []string{"norm_adv", "normalize_advantage"}},
	"ppo.num_ppo_epochs":      {Doc: "Passes over each batch of responses.", Elsewhere: "CleanRL `update_epochs`, SB3 `n_epochs`, OpenRLHF `max_epochs`, verl `ppo_epochs`", Foreign: []string{"update_epochs", "n_epochs", "max_epochs", "ppo_epochs", "noptepochs"}},
	"ppo.num_mini_batches":    {Doc: "Minibatches in each pass.", Elsewhere: "CleanRL `num_minibatches`", Foreign: []string{"num_minibatches", "nminibatches", "n_minibatches"}},
	"ppo.cliprange":           {Doc: "The PPO clip range ε.", Elsewhere: "CleanRL `clip_coef`, SB3 `clip_range`, OpenRLHF `eps_clip`, verl `clip_ratio`", Foreign: []string{"clip_coef", "clip_range", "eps_clip", "clip_ratio", "clip_eps", "epsilon", "clip"}},
	"ppo.early_stopping":      {Doc: "Stop the passes over a batch when the policy has moved too far."},
	"ppo.target_kl":           {Doc: "How far is too far: 1.5 times this, in nats per token.", Foreign: []string{"desired_kl"}},
	"ppo.vf_coef":             {Doc: "Weight of the value loss.", Elsewhere: "OpenAI `vf_coef`, rlhf-book `vf_coef`", Foreign: []string{"value_loss_coef", "value_coef"}},
	"ppo.cliprange_value":     {Doc: "Clip range of the value loss.", Elsewhere: "SB3 `clip_range_vf`, OpenRLHF `value_clip`, rlhf-book `clip_eps_val`", Foreign: []string{"clip_range_vf", "clip_vloss", "value_clip", "clip_eps_val", "cliprange_vf"}},
	"ppo.entropy_coef":        {Doc: "Weight of the entropy bonus.", Elsewhere: "CleanRL and SB3 `ent_coef`, verl `entropy_coeff`", Foreign: []string{"ent_coef", "entropy_coeff"}},
	"ppo.learning_rate":       {Doc: "Adam's learning rate of the policy.", Elsewhere: "OpenRLHF `actor.adam.lr`", Foreign: []string{"lr", "actor_learning_rate"}},
	"ppo.value_learning_rate": {Doc: "Adam's learning rate of the value head.", Elsewhere: "OpenRLHF `critic_learning_rate`", Foreign: []string{"critic_learning_rate", "critic_lr", "value_lr", "vf_lr"}},
	"ppo.lr_scheduler_type":   {Doc: "\"constant\", or \"linear\" to 0.", Elsewhere: "CleanRL `anneal_lr`", Foreign: []string{"anneal_lr", "lr_scheduler", "scheduler"}},
	"ppo.max_grad_norm":       {Doc: "Largest gradient norm of policy and value each; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"dpo":                   {Doc: "Direct Preference Optimization."},
	"dpo.beta":              {Doc: "β of the implicit reward; objective.beta unless set.", Elsewhere: "LlamaFactory `pref_beta`", Foreign: []string{"pref_beta", "kl_coef"}},
	"dpo.loss_type":         {Doc: "The preference loss.", Elsewhere: "LlamaFactory `pref_loss`", Foreign: []string{"pref_loss", "loss"}},
	"dpo.label_smoothing":   {Doc: "ε, the assumed probability of a reversed label (conservative DPO).", Foreign: []string{"smoothing", "eps"}},
	"dpo.learning_rate":     {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"dpo.lr_scheduler_type": {Doc: "\"constant\", or \"linear\" to 0.", Foreign: []string{"lr_scheduler", "scheduler"}},
	"dpo.num_train_epochs":  {Doc: "Passes over the pairs.", Foreign: []string{"epochs", "num_epochs", "n_epochs"}},
	"dpo.batch_size":        {Doc: "Pairs in a step.", Foreign: []string{"per_device_train_batch_size"}},
	"dpo.max_grad_norm":     {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"exact":               {Doc: "Gradient ascent on the exact objective."},
	"exact.reward":        {Doc: "What is climbed: \"proxy\", the learned reward, or \"gold\", the true values."},
	"exact.learning_rate": {Doc: "Adam's learning rate.", Foreign: []string{"lr"}},
	"exact.num_steps":     {Doc: "Gradient steps.", Elsewhere: "TRL `max_steps`", Foreign: []string{"max_steps", "steps"}},
	"exact.max_grad_norm": {Doc: "Largest gradient norm; 0 = no clipping.", Foreign: []string{"grad_clip", "clip_grad_norm"}},

	"evaluation":       {Doc: "When the exact evaluation runs."},
	"evaluation.every": {Doc: "Steps between records and exact evaluations.", Elsewhere: "TRL `logging_steps`, `eval_steps`", Foreign: []string{"eval_steps", "logging_steps", "eval_every"}},
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

// foreign translates another system's name for a field of the section.
func foreign(section, key string) (name, note string) {
	section = unindexed(section)
	if strings.HasPrefix(section, "arm") { // the name may belong to any section an arm can change
		section = ""
	}
	var hits []string
	for path, doc := range fieldDocs {
		parent, _, _ := cutLast(path)
		if slices.Contains(doc.Foreign, key) && (parent == section || section == "") {
			hits = append(hits, path)
		}
	}
	if len(hits) == 0 {
		return "", ""
	}
	slices.Sort(hits) // map order must not decide
	path := hits[0]
	doc := fieldDocs[path]
	note = "note: " + doc.Doc
	if doc.Elsewhere != "" {
		note += " " + doc.Elsewhere
	}
	if section == "" {
		return path, note
	}
	_, name, _ = cutLast(path)
	return name, note
}

// elsewhere is the section that has a field of that name, [objective] before
// others; "" when none or several do.
func elsewhere(key string) string {
	var hits []string
	for path := range fieldDocs {
		if parent, name, ok := cutLast(path); ok && name == key {
			hits = append(hits, parent)
		}
	}
	if slices.Contains(hits, "objective") {
		return "objective"
	}
	if len(hits) == 1 {
		return hits[0]
	}
	return ""
}

func cutLast(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}
