package experiments

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"

	"rlhfsim/dpo"
	"rlhfsim/internal/card"
	"rlhfsim/sim"
)

// Topic is one thing that can be explained.
type Topic struct {
	Term      string   `json:"term"`
	Kind      string   `json:"kind"`
	Meaning   string   `json:"meaning"`
	Formula   string   `json:"formula,omitempty"`
	Unit      string   `json:"unit,omitempty"`
	Stages    []string `json:"stages,omitempty"`
	Type      string   `json:"type,omitempty"`
	Default   string   `json:"default,omitempty"`
	Allowed   string   `json:"allowed,omitempty"`
	UsedBy    string   `json:"used_by,omitempty"`
	Elsewhere string   `json:"elsewhere,omitempty"`
	Differs   string   `json:"differs,omitempty"` // where TRL, OpenRLHF and verl have a method otherwise
	Exact     string   `json:"exact,omitempty"`   // what an exact check says of it
	Source    string   `json:"source,omitempty"`
	Example   string   `json:"example,omitempty"`
	Fixed     string   `json:"fixed,omitempty"`
	See       []string `json:"see_also,omitempty"`

	also    []string // other names for it here; of a field its last part
	named   []string // what a field is called where people talk of it: "PPO-ptx"
	foreign []string // what other systems call it
}

// The kinds of topics, in the order of the index.
const (
	kindConcept = "concept"
	kindMethod  = "method"
	kindLoss    = "loss type"
	kindChoice  = "choice"
	kindSection = "section"
	kindField   = "field"
	kindMetric  = "metric"
	kindColumn  = "column"
	kindCount   = "count"
	kindFigure  = "figure"
	kindCode    = "error code"
)

var topicKinds = []string{kindConcept, kindMethod, kindLoss, kindChoice, kindSection, kindField, kindMetric, kindColumn, kindCount, kindFigure, kindCode}

// topicNote is what some fields and figures have to say besides.
type topicNote struct {
	Meaning, Formula, Source string
	See                      []string
	Also                     []string // what the field calls it
}

// methodSee are the terms to read on with, by section.
var methodSee = map[string][]string{
	"ppo":    {"reward model", "GAE", "ppo.cliprange", "ppo.kl_coef"},
	"dpo":    {"implicit reward", "dpo.beta", "dpo.loss_type", "likelihood displacement"},
	"grpo":   {"grpo.advantage", "grpo.loss_type", "grpo.kl_in", "grpo.scale_rewards"},
	"raft":   {"raft.num_generations", "raft.select", "raft.sample_from", "reward/kept"},
	"online": {"online.loss_type", "online.judge", "online.labeler", "online.sync_params_every"},
	"ilql":   {"ilql.tau", "ilql.gen_beta", "ilql.cql_scale", "reward model"},
	"exact":  {"exact.reward", "objective/exact"},
}

// figureDocs has an entry for every figure that a run draws.
var figureDocs = map[string]topicNote{
	"pipeline":  {Meaning: "The whole loop as a diagram, with this run's numbers in its boxes and what each stage most likely answers to the first prompt.", Source: "after Ouyang et al. 2022 (arXiv 2203.02155), figure 2", See: []string{"RLHF"}},
	"curves":    {Meaning: "The exact metrics of each arm over its steps: mean and 95 % interval over seeds.", See: []string{"exact/gold_reward", "exact/kl", "interval"}},
	"overopt":   {Meaning: "Gold and proxy over distance from SFT, √KL: where the proxy rises and gold falls the reward model is being hacked. Dotted: the exact frontiers, which no run can pass.", Source: "Gao et al. 2022 (arXiv 2210.10760), figure 1", See: []string{"over-optimisation", "frontier"}},
	"reward":    {Meaning: "How good the reward model is: accuracy on held-out rankings over training, between a perfect judge and another rater, and calibration.", See: []string{"eval_accuracy", "exact/accuracy_ceiling"}},
	"counts":    {Meaning: "How likely each stage is to say any word of each kind that people care about.", See: []string{"exact/any/*", "world.value.count"}},
	"curve":     {Meaning: "Any metrics of the arms over training (y), a panel each."},
	"frontier":  {Meaning: "Where the arms end in reward and KL, under the exact frontiers, which no policy can pass. More than six arms are numbered points with a key, coloured by what their methods learn from.", Source: "Rafailov et al. 2023 (arXiv 2305.18290), figure 2", See: []string{"frontier", "pi*"}},
	"winrate":   {Meaning: "Win rate against the SFT policy of every stage and of the optima; of more than six arms sorted.", See: []string{"win rate", "exact/win_rate"}},
	"margins":   {Meaning: "Implicit rewards of chosen and rejected responses, and their log-probabilities, over training.", See: []string{"rewards/margins", "likelihood displacement"}},
	"best-of-n": {Meaning: "Best of n: reward and KL over n, chosen by the judge and by gold (evaluation.best_of_n).", Source: "Gao et al. 2022 (arXiv 2210.10760), figure 1", See: []string{"over-optimisation"}},
	"sweep":     {Meaning: "Final metrics (y) over a swept field (x), a line for each arm.", See: []string{"grid"}},
	"gap":       {Meaning: "What each arm loses against the best possible gold objective, and to what: the reward model, the policy class, the optimiser.", See: []string{"exact/gold_gap"}},
}

// countDocs are what a [[world.value]] can count.
var countDocs = []Topic{
	{Term: "word group", Meaning: "Positions of the response that hold a word of the group named; any name in [world.words] is such a count.", See: []string{"world.words", "world.value.count"}},
	{Term: "right answer", Meaning: "Positions that hold one of this prompt's answers.", See: []string{"world.prompt.answers", "wrong answer"}},
	{Term: "wrong answer", Meaning: "Positions that hold a word that answers another prompt and not this one.", See: []string{"world.prompt.answers", "right answer"}},
	{Term: "repeat", Meaning: "Positions whose word is the one just before.", See: []string{"base.repeat", "world.value.count"}},
	{Term: "length", Meaning: "Words of the response, EOS not counted.", See: []string{"exact/length", "world.max_length"}},
}

// fieldNotes are the formulas, sources and relations of fields that have some.
var fieldNotes = map[string]topicNote{
	"world":                             {See: []string{"gold", "world.words", "world.prompt", "world.value"}},
	"world.value":                       {Formula: "gold(x,y) = Σ_k worth_k[min(count_k(x,y), last)]", Source: ours, See: []string{"gold", "world.value.count"}},
	"world.value.worth":                 {Formula: "worth[min(count, last)]", Source: ours, See: []string{"gold"}},
	"world.value.count":                 {Source: ours, See: []string{"right answer", "wrong answer", "repeat", "length", "word group"}},
	"labels.rater_temperature":          {Formula: "P(a above b) = σ((gold_a − gold_b)/T)", Source: "Plackett-Luce with temperature", See: []string{"rater", "exact/rater_agreement"}},
	"labels.tie_nu":                     {Formula: "P(a ≻ b) = σ(d − log ν), P(a ~ b) = 1 − P(a ≻ b) − P(b ≻ a), d = (gold_a − gold_b)/T", Source: "Rao and Kupper 1967; Chen et al. 2024 (arXiv 2409.17431)", See: []string{"rao_kupper", "davidson", "dpo.drop_ties", "reward.drop_ties"}},
	"labels.label_noise":                {Formula: "P(label says a) = (1−ε) p + ε (1−p)", Source: "AlpacaFarm: Dubois et al. 2023 (arXiv 2305.14387)", See: []string{"dpo.label_smoothing", "exact/rater_agreement"}},
	"labels.responses_per_ranking":      {Formula: "K(K−1)/2 comparisons in a ranking", Source: "Ouyang et al. 2022 (arXiv 2203.02155), section 3.5", See: []string{"ranking", "Plackett-Luce"}},
	"reward.center_rewards_coefficient": {Formula: "L = −log σ(r_w − r_l) + c (r_w + r_l)²", Source: "TRL RewardConfig", See: []string{"reward model"}, Also: []string{"centering", "centring"}},
	"reward.weight_decay":               {Formula: "w ← w − α λ w", Source: "AdamW: Loshchilov and Hutter 2019 (arXiv 1711.05101)", See: []string{"reward model"}},
	"objective":                         {Formula: "J(π) = E[r] − β KL(π‖π_SFT)", Source: "Ziegler et al. 2019 (arXiv 1909.08593), equation 2", See: []string{"beta", "J*"}},
	"objective.beta":                    {Formula: "J(π) = E[r] − β KL(π‖π_SFT)", Source: "Ziegler et al. 2019 (arXiv 1909.08593), equation 2", See: []string{"beta", "pi*", "ppo.kl_coef", "dpo.beta"}},
	"ppo":                               {See: []string{"GAE", "ppo.cliprange", "ppo.kl_coef"}},
	"ppo.missing_eos_penalty":           {Formula: "score ← score − penalty, where there is no EOS", Source: "TRL PPOConfig", See: []string{"EOS", "ppo.truncated_reward", "val/num_eos_tokens"}},
	"ppo.top_mask":                      {Formula: "π^m ∝ π 1[w ∈ top-p of π_ψ]", Source: "NLPO: Ramamurthy et al. 2022 (arXiv 2210.01241), algorithm 1", Also: []string{"action masking", "action mask"}, See: []string{"nlpo", "ppo.target_update_iterations"}},
	"ppo.target_update_iterations":      {Formula: "ψ ← θ every µ steps", Source: "NLPO: Ramamurthy et al. 2022 (arXiv 2210.01241), algorithm 1", See: []string{"ppo.top_mask"}},
	"ppo.truncated_reward":              {Formula: "no EOS: score ← score − missing_eos_penalty, or truncated_value, or truncated_value · score", Source: "TRL PPOConfig; lm-human-preferences, AlpacaFarm, torchtune; OpenRLHF", See: []string{"EOS", "ppo.missing_eos_penalty", "ppo.truncated_value"}},
	"ppo.truncated_value":               {Formula: "score ← v, or v · score, where there is no EOS", Source: "lm-human-preferences, AlpacaFarm, torchtune; OpenRLHF", See: []string{"ppo.truncated_reward"}},
	"ppo.scale_reward":                  {Formula: "score ← score/σ", Source: "trlX PPOConfig", Also: []string{"reward scaling", "reward normalisation"}, See: []string{"beta", "ppo.whiten_rewards", "objective/scores"}},
	"ppo.kl_coef":                       {Formula: "R_t = −β KL_t, + score at the last token", Source: "TRL PPOConfig; Ziegler et al. 2019 (arXiv 1909.08593), equation 2", See: []string{"beta", "objective/kl_coef", "ppo.kl_estimator"}},
	"ppo.kl_estimator":                  {Formula: "k1 = log π/π_SFT; k3 = (ρ−1) − log ρ, ρ = π_SFT/π", Source: "Schulman 2020, \"Approximating KL Divergence\"; TRL PPOConfig", See: []string{"k1", "k3", "objective/kl"}},
	"ppo.adap_kl_ctrl":                  {Formula: "β ← β (1 + clip(KL/target − 1, ±0.2) n/horizon)", Source: "Ziegler et al. 2019 (arXiv 1909.08593), section 2.2, in the form of OpenAI's code and TRL 0.8", See: []string{"ppo.target", "ppo.horizon", "objective/kl_coef"}},
	"ppo.target":                        {Source: "TRL 0.8 PPOConfig", See: []string{"ppo.adap_kl_ctrl"}},
	"ppo.horizon":                       {Source: "TRL 0.8 PPOConfig", See: []string{"ppo.adap_kl_ctrl"}},
	"ppo.gamma":                         {Formula: "δ_t = R_t + γV_{t+1} − V_t", Source: "Schulman et al. 2016 (arXiv 1506.02438), equation 10", See: []string{"GAE", "ppo.lam"}},
	"ppo.lam":                           {Formula: "Â_t = Σ_l (γλ)^l δ_{t+l}", Source: "Schulman et al. 2016 (arXiv 1506.02438), equation 16", See: []string{"GAE", "ppo.gamma"}},
	"ppo.whiten_advantages":             {Formula: "Â ← (Â − mean)/√(var + 1e-8)", Source: "TRL PPOTrainer", See: []string{"GAE"}},
	"ppo.whiten_rewards":                {Formula: "R ← (R − mean)/√(var + 1e-8) + mean", Source: "TRL PPOConfig", See: []string{"ppo.whiten_advantages"}},
	"ppo.cliprange":                     {Formula: "max(−Âρ, −Â clip(ρ, 1−ε, 1+ε))", Source: "Schulman et al. 2017 (arXiv 1707.06347), equation 7; TRL PPOConfig", See: []string{"policy/clipfrac_avg", "val/ratio"}},
	"ppo.early_stopping":                {Source: "TRL 0.8 PPOConfig", See: []string{"ppo.target_kl", "ppo/epochs"}},
	"ppo.target_kl":                     {Formula: "stop where policy/approxkl_avg > 1.5 target_kl", Source: "TRL 0.8 PPOConfig", See: []string{"policy/approxkl_avg", "ppo.early_stopping"}},
	"ppo.init_value_with_reward":        {Formula: "V(t,x,c) = mean of r(x, y_<t) over SFT's prefixes y_<t that end in c", Source: "Ouyang et al. 2022 (arXiv 2203.02155), appendix C.4; AlpacaFarm", Also: []string{"critic initialisation"}, See: []string{"ppo.critic_warmup", "ppo/val/var_explained"}},
	"ppo.vf_coef":                       {Formula: "L = L_policy + vf_coef L_value", Source: "Schulman et al. 2017 (arXiv 1707.06347), equation 9 (c₁); TRL PPOConfig", See: []string{"loss/value_avg"}},
	"ppo.cliprange_value":               {Formula: "½ max((V−R)², (clip(V, V_old ± c) − R)²)", Source: "OpenAI baselines; TRL PPOConfig", See: []string{"loss/value_avg", "val/clipfrac_avg"}},
	"ppo.entropy_coef":                  {Formula: "L ← L − c H(π)", Source: "Schulman et al. 2017 (arXiv 1707.06347), equation 9 (c₂)", See: []string{"policy/entropy_avg"}},
	"ppo.total_episodes":                {Source: "TRL PPOConfig", See: []string{"episode", "ppo.batch_size"}},
	"ppo.batch_size":                    {Source: "TRL PPOConfig", See: []string{"step", "ppo.num_mini_batches"}},
	"ppo.num_mini_batches":              {Source: "TRL PPOConfig, after OpenAI baselines", See: []string{"ppo.num_ppo_epochs"}},
	"ppo.num_ppo_epochs":                {Source: "Schulman et al. 2017 (arXiv 1707.06347), algorithm 1 (K); TRL PPOConfig", See: []string{"ppo.num_mini_batches", "ppo/epochs"}},
	"dpo":                               {See: []string{"implicit reward", "dpo.beta"}},
	"dpo.beta":                          {Formula: "−log σ(β [log π/π_SFT(y_w) − log π/π_SFT(y_l)])", Source: "Rafailov et al. 2023 (arXiv 2305.18290), equation 7; TRL DPOConfig", See: []string{"beta", "implicit reward"}},
	"dpo.loss_type":                     {Source: "TRL DPOConfig", See: []string{"loss"}},
	"dpo.label_smoothing":               {Formula: "−(1−ε) log σ(βh) − ε log σ(−βh)", Source: "Mitchell 2023, \"A note on DPO with noisy preferences and relationship to IPO\"", See: []string{"labels.label_noise"}},
	"exact.reward":                      {Source: ours, See: []string{"gold", "proxy"}},
	"dpo.ld_alpha":                      {Formula: "log π(y) = Σ_{t ≤ shared} log π_t + α Σ_{t > shared} log π_t", Source: "LD-DPO: Liu et al. 2024 (arXiv 2409.06411); TRL DPOConfig", Also: []string{"LD-DPO", "length-desensitized DPO"}},
	"dpo.use_weighting":                 {Formula: "w(y) = exp(1/|y| Σ_t [log π(y_t) − log Σ_v π(v)²])", Source: "WPO: Zhou et al. 2024 (arXiv 2406.11827), equation 2; TRL DPOConfig", Also: []string{"WPO"}},
	"dpo.sync_ref_model":                {Formula: "z_ref ← α z_θ + (1−α) z_ref", Source: "TR-DPO: Gorbatovski et al. 2024 (arXiv 2404.09656); TRL DPOConfig", Also: []string{"TR-DPO", "reference sync"}},
	"dpo.reference_free":                {Formula: "log π_ref := 0", Source: "the DPO authors' code", Also: []string{"reference-free DPO"}},
	"dpo.f_divergence_type":             {Formula: "f′(t): reverse_kl u, forward_kl 1 − e^−u, js_divergence log 2 + log σ(u), alpha_divergence (e^{(α−1)u} − 1)/(α−1), u = log t", Source: "Wang et al. 2024 (arXiv 2309.16240); TRL DPOConfig", Also: []string{"f-DPO", "f-divergence", "f-divergences"}},
	"dpo.loss_weights":                  {Formula: "ℓ = Σ_k w_k ℓ_k", Source: "RPO: Pang et al. 2024 (arXiv 2404.19733); MPO: Wang et al. 2024 (arXiv 2411.10442); TRL DPOConfig", Also: []string{"mixture of losses", "multi-loss"}, See: []string{"sft"}},
	"ppo.ptx_coef":                      {Formula: "L − γ E_pretrain[log π]", Source: "Ouyang et al. 2022 (arXiv 2203.02155), equation 2", Also: []string{"PPO-ptx", "ptx", "pre-training mix"}, See: []string{"ppo.ptx_batch_size", "loss/ptx_avg"}},
	"ppo.cliprange_high":                {Formula: "clip(ρ, 1−ε, 1+ε_high)", Source: "DAPO: Yu et al. 2025 (arXiv 2503.14476), equation 10", Also: []string{"clip-higher"}},
	"ppo.dual_clip":                     {Formula: "max(−Â min(ρ, δ), −Â clip(ρ)) at Â < 0", Source: "Ye et al. 2020 (arXiv 1912.09729)", Also: []string{"dual-clip PPO"}},
	"grpo.epsilon_high":                 {Formula: "clip(ρ, 1−ε, 1+ε_high)", Source: "DAPO: Yu et al. 2025 (arXiv 2503.14476), equation 10", Also: []string{"clip-higher"}},
	"grpo.delta":                        {Formula: "max(−Â min(ρ, δ), −Â clip(ρ)) at Â < 0", Source: "INTELLECT-2 2025 (arXiv 2505.07291); Ye et al. 2020 (arXiv 1912.09729)", Also: []string{"two-sided clip"}},
	"grpo.overlong_penalty":             {Formula: "0 up to L − cache, ((L − cache) − n)/cache up to L, −1 beyond", Source: "DAPO: Yu et al. 2025 (arXiv 2503.14476), equation 13", Also: []string{"overlong", "soft overlong punishment", "overlong reward shaping"}, See: []string{"grpo.soft_max_length", "grpo.soft_punish_cache"}},
	"reward.num_ensemble":               {Source: "Coste et al. 2023 (arXiv 2310.02743)", Also: []string{"ensemble", "ensembles", "reward ensemble"}, See: []string{"reward.aggregate", "worst_case", "uncertainty_weighted"}},
}

// trainingNames are the fields of every training section that are named as in
// transformers' TrainingArguments, which TRL's configurations extend.
var trainingNames = []string{"learning_rate", "num_train_epochs", "max_grad_norm", "lr_scheduler_type", "weight_decay"}

// topics lists everything that can be explained, in the order of topicKinds.
var topics = sync.OnceValue(listTopics)

func listTopics() []Topic {
	var out []Topic
	for _, c := range glossary {
		out = append(out, Topic{Term: c.Name, Kind: kindConcept, Meaning: c.Meaning, Formula: c.Formula, Source: c.Source, See: c.See, also: c.Also})
	}
	for _, m := range sim.Methods {
		if _, isLoss := dpo.Find(m.Name); !isLoss {
			out = append(out, methodTopic(m))
		}
	}
	for _, l := range dpo.Losses {
		out = append(out, lossTopic(l))
	}
	for _, t := range choiceDocs {
		t.Kind = kindChoice
		out = append(out, t)
	}
	all := fieldTopics()
	for _, kind := range []string{kindSection, kindField} {
		for _, t := range all {
			if t.Kind == kind {
				out = append(out, t)
			}
		}
	}
	for _, d := range metricDocs {
		out = append(out, d.topic(kindMetric))
	}
	for _, d := range keyDocs {
		out = append(out, d.topic(kindColumn))
	}
	for _, t := range countDocs {
		t.Kind = kindCount
		out = append(out, t)
	}
	for _, name := range figureNames() {
		d := figureDocs[name]
		out = append(out, Topic{Term: name, Kind: kindFigure, Meaning: d.Meaning, Source: d.Source, See: d.See, also: []string{"figure " + name, name + ".svg"}})
	}
	for _, c := range codeDocs {
		out = append(out, Topic{Term: string(c.Code), Kind: kindCode, Meaning: strings.ToUpper(c.Title[:1]) + c.Title[1:] + ". " + c.Cause, Example: c.Example, Fixed: c.Fixed, See: c.See})
	}
	return out
}

// cardTopic is a topic made of a card.
func cardTopic(term, kind, how string, c card.Card) Topic {
	return Topic{Term: term, Kind: kind, Meaning: c.Title + ": " + c.Idea + ". " + how, Formula: c.Formula, Source: c.Paper, Differs: c.Differs, Exact: c.Exact,
		also: append([]string{c.Title}, c.Also...)}
}

func methodTopic(m sim.Method) Topic {
	t := cardTopic(m.Name, kindMethod, "Its fields: ["+m.Section+"].", m.Card)
	t.Default, t.See = strings.Join(presetOf(m), ", "), methodSee[m.Section]
	return t
}

// presetOf lists what a method changes in the defaults of its section.
func presetOf(m sim.Method) []string {
	own, standard := m.Defaults(), sim.Default()
	var out []string
	for _, d := range leafDifferences("", reflect.ValueOf(&own).Elem(), reflect.ValueOf(&standard).Elem()) {
		out = append(out, d.Field+"="+d.A)
	}
	return out
}

func lossTopic(l dpo.Loss) Topic {
	how := "A value of dpo.loss_type"
	if _, isMethod := sim.MethodByName(l.Name); isMethod {
		how += ", and a method of its own"
	}
	t := cardTopic(l.Name, kindLoss, how+"; c, r = log π/π_SFT of the chosen and the rejected response, h = c − r, w, l = log π.", l.Card)
	t.See = lossFields(l)
	standard := dpo.Default()
	if l.Preset != nil {
		l.Preset(&standard)
	}
	for _, f := range fieldsOf(reflect.ValueOf(&standard).Elem()) {
		if slices.Contains(l.Uses, f.name) && !sharedOption(f.name) {
			t.Default += ", dpo." + f.name + "=" + goLiteral(f.value)
		}
	}
	t.Default = strings.TrimPrefix(t.Default, ", ")
	return t
}

// sharedOption says whether most losses have the field: it need not be listed for each.
func sharedOption(field string) bool {
	n := 0
	for _, l := range dpo.Losses {
		if slices.Contains(l.Uses, field) {
			n++
		}
	}
	return n > len(dpo.Losses)/2
}

// lossFields are the fields that matter to a loss.
func lossFields(l dpo.Loss) []string {
	out := []string{"dpo.loss_type", "dpo.beta"}
	for _, name := range l.Uses {
		out = append(out, "dpo."+name)
	}
	return out
}

func figureNames() []string {
	var names []string
	for name := range figureDocs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (d metricDoc) topic(kind string) Topic {
	t := Topic{Term: d.Name, Kind: kind, Meaning: d.Meaning, Formula: d.Formula, Unit: d.Unit, Source: d.Source, See: d.See, foreign: d.Elsewhere}
	if kind == kindMetric {
		t.Stages = d.Stages
	}
	if len(d.Elsewhere) > 0 {
		t.Elsewhere = strings.Join(d.Elsewhere, ", ")
	}
	return t
}

// sectionSource is where a section's fields are from that have no note of their own.
var sectionSource = map[string]string{
	"ppo":    "TRL PPOConfig, or the systems named",
	"grpo":   "TRL GRPOConfig, or the paper of the method that uses it",
	"dpo":    "TRL DPOConfig, KTOConfig, CPOConfig, or the paper of the loss that uses it",
	"online": "TRL OnlineDPOConfig, XPOConfig, NashMDConfig",
}

// fieldTopics are the sections and fields of an experiment file.
func fieldTopics() []Topic {
	var out []Topic
	for _, f := range fields() {
		doc, note := fieldDocs[f.Path], fieldNotes[f.Path]
		t := Topic{Term: f.Path, Kind: kindField, Meaning: doc.Doc, Type: f.Kind, Default: f.Default, Allowed: f.Allowed,
			Formula: note.Formula, Source: note.Source, See: note.See, UsedBy: usedBy(f.Path), Elsewhere: elsewhereText(f.Path), foreign: foreignNames(f.Path), named: note.Also}
		_, name, dotted := cutLast(f.Path)
		switch {
		case !dotted:
			t.Kind, t.Type, t.also = kindSection, "", []string{"[" + f.Path + "]"}
		case slices.Contains(trainingNames, name):
			t.also, t.Source = []string{name}, strings.TrimPrefix(t.Source+"; ", "; ")+"named as in transformers' TrainingArguments and TRL"
		default:
			section, _, _ := strings.Cut(f.Path, ".")
			t.also, t.Source = []string{name}, cmp.Or(t.Source, sectionSource[section], ours)
		}
		out = append(out, t)
	}
	for _, path := range fileFields() {
		doc := fileDocs[path]
		t := Topic{Term: path, Kind: kindField, Meaning: doc.Doc, Allowed: allowedTexts[path], Elsewhere: elsewhereText(path), foreign: foreignNames(path)}
		if slices.Contains([]string{"output", "arm", "grid", "variant", "figure", "claim"}, path) {
			t.Kind, t.also = kindSection, []string{"[" + path + "]", "[[" + path + "]]"}
		}
		out = append(out, t)
	}
	return out
}

// fileFields are the keys outside of the sections, sorted.
func fileFields() []string {
	var out []string
	for path := range fileDocs {
		out = append(out, path)
	}
	slices.Sort(out)
	return out
}

// elsewhereText is what others call a field: with their names where known, then
// the bare spellings.
func elsewhereText(path string) string {
	doc, parts := docOf(path), []string{}
	if doc.Elsewhere != "" {
		parts = append(parts, doc.Elsewhere)
	}
	for _, name := range foreignNames(path) {
		if !strings.Contains(doc.Elsewhere, "`"+name+"`") {
			parts = append(parts, "`"+name+"`")
		}
	}
	return strings.Join(parts, ", ")
}

// usedBy says which methods a field matters to.
func usedBy(path string) string {
	section, name, _ := strings.Cut(path, ".")
	switch {
	case !slices.Contains(armSections(), section):
		return "all arms share it"
	case section == "objective":
		return "every arm"
	}
	var users []string
	all := 0
	for _, m := range sim.Methods {
		if m.Section == section {
			all++
			if name == "" || m.Uses(name) {
				users = append(users, m.Name)
			}
		}
	}
	if len(users) == 0 || len(users) == all { // of all, or of any where another field switches it on
		return strings.Join(methodsOf(section), ", ")
	}
	return strings.Join(users, ", ")
}

// methodsOf names the methods that read a section; those named after a preference
// loss are one entry.
func methodsOf(section string) []string {
	var names []string
	for _, m := range sim.Methods {
		if _, isLoss := dpo.Find(m.Name); m.Section == section && !isLoss {
			names = append(names, m.Name)
		}
	}
	if section == "dpo" {
		names = append(names, "and the methods named after its losses")
	}
	return names
}
