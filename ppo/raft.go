package ppo

import (
	"fmt"
	"iter"

	"rlhfsim/internal/card"
	"rlhfsim/internal/field"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// RaftConfig is the training of Raft.
type RaftConfig struct {
	TotalEpisodes   int     `toml:"total_episodes"`   // responses sampled in all
	BatchSize       int     `toml:"batch_size"`       // responses a step
	NumGenerations  int     `toml:"num_generations"`  // n, responses to a prompt among which to choose
	Select          string  `toml:"select"`           // an entry of Selections
	StartPercentile float64 `toml:"start_percentile"` // of "percentile": the quantile of a batch's first update
	EndPercentile   float64 `toml:"end_percentile"`   // the one towards which it rises
	SampleFrom      string  `toml:"sample_from"`      // "policy" (expert iteration) or "reference" (best-of-n, distilled)
	Pool            bool    `toml:"pool"`             // choose from all samples so far, not from the last batch
	KLCoef          float64 `toml:"kl_coef"`          // β of the KL to the reference at the tokens learned, 0 = none
	NumTrainEpochs  int     `toml:"num_train_epochs"` // updates on the responses kept of a batch
	LearningRate    float64 `toml:"learning_rate"`
	LRSchedulerType string  `toml:"lr_scheduler_type"` // "constant", or "linear" to 0
	MaxGradNorm     float64 `toml:"max_grad_norm"`     // 0 = no clipping
}

// DefaultRaft samples as much as the other methods by default do.
func DefaultRaft() RaftConfig {
	return RaftConfig{TotalEpisodes: 25600, BatchSize: 128, NumGenerations: 4, Select: "top_per_prompt", StartPercentile: 0.7, EndPercentile: 0.95, SampleFrom: "policy", NumTrainEpochs: 1,
		LearningRate: 0.03, LRSchedulerType: "linear", MaxGradNorm: 1}
}

// RaftMethod is a published method as what it changes in DefaultRaft.
type RaftMethod struct {
	Name string
	card.Card
	Defaults RaftConfig
}

// RaftMethods differ in whom they sample and what they keep.
var RaftMethods = []RaftMethod{
	{
		Name: "raft",
		Card: card.Card{
			Title:   "Reward-rAnked Fine-Tuning (rejection sampling, expert iteration)",
			Idea:    "learn the best of n samples of the current policy",
			Formula: "−1/N Σ_{y*} Σ_t log π(y*_t), y* = argmax_i r(x, y_i), y_i ~ π",
			Paper:   "Dong et al. 2023, arXiv 2304.06767, algorithm 1; Anthony et al. 2017",
			Differs: "none of the three has it any more: TRL's BestOfNSampler went in 2025, OpenRLHF's script in 2026",
			Exact:   "no KL holds it: it goes on as long as it is run",
			Also:    []string{"rejection sampling", "rejection-sampling fine-tuning", "expert iteration", "best-of-n fine-tuning"},
		},
		Defaults: DefaultRaft(),
	},
	{
		Name: "best_of_n",
		Card: card.Card{
			Title:   "Best-of-n, distilled",
			Idea:    "learn the best of n samples of the SFT policy",
			Formula: "−1/N Σ_{y*} Σ_t log π(y*_t), y* = argmax_i r(x, y_i), y_i ~ π_SFT",
			Paper:   "Stiennon et al. 2020, arXiv 2009.01325; Dong et al. 2023, arXiv 2304.06767",
			Differs: "none of the three has it any more: TRL's BestOfNSampler went in 2025",
			Exact:   "its target is best-of-n's own distribution, KL at most log n − (n−1)/n (figure best-of-n shows it exactly)",
			Also:    []string{"BoN", "best of n sampling", "BOND"},
		},
		Defaults: raftPreset(func(c *RaftConfig) { c.SampleFrom = "reference" }),
	},
	{
		Name: "rft",
		Card: card.Card{
			Title:   "Reinforced Self-Training (ReST; trlX's RFT)",
			Idea:    "learn all samples above a quantile of their group, which rises from update to update",
			Formula: "−1/N Σ_y Σ_t log π(y_t) over the different y with r(x,y) ≥ the q-quantile of r(x,y_1) … r(x,y_n), y_i ~ π",
			Paper:   "Gulcehre et al. 2023, ReST, arXiv 2308.08998, algorithm 1; fields as in trlX's RFTConfig",
			Differs: "of these libraries only trlX has it: it adds the samples of earlier rounds to the pool, here each batch is its own as in the paper, updates on the pool in minibatches, and moves the lowest and highest of all prompts' quantiles inwards by 1e−3; its n_improve_steps are num_train_epochs, from one to the next q rises by (end − start)/num_train_epochs",
			Exact:   "no KL holds it: it goes on as long as it is run",
			Also:    []string{"RFT", "ReST", "reinforced self-training"},
		},
		Defaults: raftPreset(func(c *RaftConfig) {
			c.Select, c.NumGenerations, c.NumTrainEpochs = "percentile", 32, 4
			c.BatchSize = 1024 // few rounds of many samples each, as in the paper
		}),
	},
	{
		Name: "quark",
		Card: card.Card{
			Title:   "Quantized Reward Konditioning",
			Idea:    "learn the best fifth of all samples so far, with a KL penalty",
			Formula: "1/N Σ_y Σ_t [−log π(y_t) + β KL(π‖π_SFT)(s_t)] over the 1/n of all y so far with the highest r(x,y)",
			Paper:   "Lu et al. 2022, Quark, arXiv 2205.13636, algorithm 1; the authors' code has 5 quantiles and β = 0.05",
			Differs: "a network is told the quantile of each response by a token and learns all of them; in a table each token would have a table of its own, and as only the best one is ever sampled, it is the one learned, which is AlpacaFarm's train_on_best_quantile. The quantiles are of all prompts together as there; the entropy bonus of the authors' code (0.06) is left out, AlpacaFarm's is 0 too; num_generations is their number",
			Exact:   "the KL is exact at the states of the responses learned, not over those the policy visits",
			Also:    []string{"reward conditioning", "quantized reward"},
		},
		Defaults: raftPreset(func(c *RaftConfig) {
			c.Select, c.NumGenerations, c.BatchSize, c.Pool, c.KLCoef = "top_k_overall", 5, 160, true, 0.05
		}),
	},
}

func raftPreset(change func(c *RaftConfig)) RaftConfig {
	c := DefaultRaft()
	change(&c)
	return c
}

// Validate reports every field that cannot stand.
func (c RaftConfig) Validate() error {
	var k field.Checker
	k.Count("total_episodes", c.TotalEpisodes, 1, 1_000_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	if n := c.NumGenerations; n < 2 || n > 1_000_000 {
		k.Add(&field.Error{Field: "num_generations", Value: n, Allowed: "at least 2 and at most 1000000", Why: "of one response there is nothing to choose: the policy would imitate its own samples"})
	}
	field.OneOf(&k, "select", c.Select, names(Selections, func(s Selection) string { return s.Name }))
	k.Range("start_percentile", c.StartPercentile, 0, 1)
	k.Range("end_percentile", c.EndPercentile, 0, 1)
	if c.EndPercentile < c.StartPercentile {
		k.Add(&field.Error{Field: "end_percentile", Value: c.EndPercentile, Allowed: "at least start_percentile", Why: "the quantile rises from update to update"})
	}
	if n := c.NumGenerations; n > 0 && c.BatchSize%n != 0 {
		k.Add(&field.Error{Field: "batch_size", Value: c.BatchSize, Allowed: "a multiple of num_generations", Why: "a batch is made of whole groups"})
	}
	if c.Pool && c.TotalEpisodes > maxPool {
		k.Add(&field.Error{Field: "total_episodes", Value: c.TotalEpisodes, Allowed: fmt.Sprintf("at most %d with pool = true", maxPool), Why: "all of them are kept in memory"})
	}
	k.NonNegative("kl_coef", c.KLCoef)
	field.OneOf(&k, "sample_from", c.SampleFrom, []string{"policy", "reference"})
	k.Count("num_train_epochs", c.NumTrainEpochs, 1, 1000)
	k.Positive("learning_rate", c.LearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// maxPool bounds the memory of a pool, 100 bytes a token.
const maxPool = 1_000_000

// Unused says why a field of the configuration changes nothing; "" when it does
// change something.
func (c RaftConfig) Unused(name string) string {
	if rises := selection(c.Select).Rises; !rises && (name == "start_percentile" || name == "end_percentile") {
		return "only select = \"percentile\" uses it"
	}
	if name == "end_percentile" && c.NumTrainEpochs == 1 {
		return "with num_train_epochs = 1 nothing rises"
	}
	return ""
}

// Raft fine-tunes on the best of n samples, or what else a Selection keeps of
// them (rejection sampling; Dong et al. 2023, RAFT, arXiv 2304.06767, algorithm
// 1; with samples of the current policy it is expert iteration, Anthony et al.
// 2017). Without kl_coef no KL holds it: only where it samples from does.
//
//	y_1 … y_n ~ π,  y* = argmax_i r(x, y_i),  L = (1/N) Σ_{y*} Σ_t [−log π_θ(y*_t) + β KL(π_θ‖π_ref)(s_t)]
type Raft struct {
	cfg         RaftConfig
	policy      *policy.Trainer
	source, ref *policy.Softmax
	reward      Scorer
	weights     []float64
	rollout     *rollout
	rule        Selection
	choice      choice // what it keeps are episodes
	visits      []float64
	step        int
}

// NewRaft prepares the fine-tuning of pi, which starts as a copy of ref.
func NewRaft(cfg RaftConfig, pi, ref *policy.Softmax, reward Scorer, promptWeights []float64) *Raft {
	size := cfg.BatchSize
	t := &Raft{cfg: cfg, policy: policy.NewTrainer(pi, cfg.MaxGradNorm), source: pi, ref: ref, reward: reward, weights: promptWeights,
		visits: make([]float64, pi.Rows()), rule: selection(cfg.Select)}
	if cfg.Pool {
		size *= t.Steps()
	}
	t.rollout = newRollout(size, pi.Shape)
	t.choice = choice{size: cfg.NumGenerations, kept: make([]int, 0, size), order: make([]int, 0, size), sort: make([]float64, 0, cfg.NumGenerations)}
	if cfg.SampleFrom == "reference" {
		t.source = ref
	}
	return t
}

// Steps is the number of batches of the whole training.
func (t *Raft) Steps() int { return (t.cfg.TotalEpisodes + t.cfg.BatchSize - 1) / t.cfg.BatchSize }

// Step samples a batch, keeps the best of each group, or what else the rule keeps,
// and learns them.
func (t *Raft) Step(r *rng.Stream) RaftStats {
	s := RaftStats{LearningRate: scheduled(t.cfg.LRSchedulerType, t.cfg.LearningRate, t.step, t.Steps())}
	t.sample(r, &s)
	chosen := 0
	for k := range t.cfg.NumTrainEpochs {
		if k == 0 || t.rule.Rises {
			t.choose(k, r, &s)
			chosen++
		}
		t.backward(&s)
		s.GradNorm += t.policy.Update(s.LearningRate)
	}
	for _, v := range []*float64{&s.Loss, &s.Entropy, &s.GradNorm} {
		*v /= float64(t.cfg.NumTrainEpochs)
	}
	s.Kept /= float64(chosen)
	t.step++
	s.Episode = float64(t.step * t.cfg.BatchSize)
	return s
}

// sample draws the groups of a batch, which take the place of the last one's or, with
// a pool, stand behind them.
func (t *Raft) sample(r *rng.Stream, s *RaftStats) {
	b, n := t.rollout, t.cfg.NumGenerations
	first := 0
	if t.cfg.Pool {
		first = t.step * t.cfg.BatchSize
	} else {
		b.truncate(0)
	}
	end := first + t.cfg.BatchSize
	for e := first; e < end; e += n {
		x := policy.Prompt(draw(t.weights, r.Float64()))
		for k := e; k < e+n; k++ {
			b.respond(k, x, t.source, r)
			b.total[k] = t.reward.Score(x, b.response[k])
		}
	}
	t.choice.reward, t.choice.response = b.total[:end], b.response[:end]
	s.Reward, s.RewardStd = mean(b.total[first:end]), deviation(b.total[first:end])
}

// choose keeps what the rule says for the k-th update on the batch.
func (t *Raft) choose(k int, r *rng.Stream, s *RaftStats) {
	c := &t.choice
	c.kept, c.level = c.kept[:0], t.cfg.StartPercentile+float64(float64(k)*(t.cfg.EndPercentile-t.cfg.StartPercentile))/float64(t.cfg.NumTrainEpochs)
	t.rule.choose(c, r)
	sum := 0.0
	for _, e := range c.kept {
		sum += c.reward[e]
	}
	s.Kept += sum / float64(len(c.kept))
}

// backward adds the gradient of the likelihood of the responses kept, and of the KL
// at their tokens.
func (t *Raft) backward(s *RaftStats) {
	b, tokens := t.rollout, 0
	for _, e := range t.choice.kept {
		tokens += int(b.start[e+1] - b.start[e])
	}
	each := 1 / float64(tokens)
	clear(t.visits)
	for _, e := range t.choice.kept {
		for j := b.start[e]; j < b.start[e+1]; j++ {
			t.policy.G[b.index[j]] -= each
			t.visits[b.row[j]] += each
			s.Loss -= float64(each * t.policy.Policy.LogP[b.index[j]])
		}
	}
	s.Entropy += entropyBonus(t.policy, t.visits, 0)
	if t.cfg.KLCoef > 0 {
		_, kl := fullPenalty(t.policy, t.ref, t.visits, t.visits, t.cfg.KLCoef)
		s.Loss += float64(t.cfg.KLCoef * kl)
	}
}

// RaftStats of one step.
type RaftStats struct {
	Loss         float64 // −log π of a token of the responses kept, and the KL penalty
	Reward       float64 // mean score of all samples
	RewardStd    float64 // over the batch, unbiased
	Kept         float64 // reward/kept: mean score of the responses kept, over the choices made
	Entropy      float64 // mean entropy of the rows visited, nats per token
	GradNorm     float64 // before clipping
	LearningRate float64
	Episode      float64 // responses sampled so far
}

// All yields the metrics, under TRL's names where it has them.
func (s RaftStats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("loss", s.Loss) && yield("reward", s.Reward) && yield("reward_std", s.RewardStd) && yield("reward/kept", s.Kept) &&
			yield("entropy", s.Entropy) && yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate) && yield("episode", s.Episode)
	}
}
