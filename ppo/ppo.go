// Package ppo aligns a policy against a reward, by Proximal Policy Optimization
// with a KL penalty (Schulman et al. 2017, arXiv 1707.06347; as in Ziegler et
// al. 2019, arXiv 1909.08593, whose code is lm-human-preferences, in Huang et
// al. 2023, "The N Implementation Details of RLHF with PPO", and in TRL's
// PPOTrainer):
//
//	maximise  J(θ) = E_{x, y~π_θ} [ r(x,y) ] − β KL(π_θ ‖ π_ref)
//
// A step rolls out a batch of responses, spreads reward and penalty over their
// tokens, estimates advantages, and takes several epochs of clipped steps:
//
//	R_t = −β (log π_old(y_t) − log π_ref(y_t)) + 1[t = last] r(x,y)
//	Â   = GAE(R, V; γ, λ), whitened
//	L   = mean_t max(−Â_t ρ_t, −Â_t clip(ρ_t, 1−ε, 1+ε)) + c_v L_V − c_e H − γ_ptx E_pretrain[log π]
//
//	ρ_t      π_θ(y_t)/π_old(y_t), the ratio        ε     Config.Cliprange
//	V        value head, a table                   c_v   Config.VFCoef
//	Â_t      advantage of token t                  c_e   Config.EntropyCoef
//	β        KL coefficient, fixed or adaptive     H     entropy of the rows visited
//	γ_ptx    Config.PtxCoef, 0 by default
//
// Three more trainers see a reward on samples of the policy and have no value
// head: GroupTrainer weights samples against each other (REINFORCE, RLOO, GRPO and
// their family), Raft keeps the best of them, OnlineTrainer has them compared.
//
// Tokens are the words of a response and its EOS decision, where it has one.
package ppo

import (
	"iter"
	"math"

	"rlhfsim/internal/card"
	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Card describes the method "ppo".
var Card = card.Card{
	Title:   "Proximal Policy Optimization",
	Idea:    "clipped policy steps against the reward model, with a KL penalty and a value head",
	Formula: "max E[min(ρ_t Â_t, clip(ρ_t, 1−ε, 1+ε) Â_t)], ρ_t = π/π_old, Â = GAE of r − β KL",
	Paper:   "Schulman et al. 2017, arXiv 1707.06347, equation 7; with the KL penalty Ziegler et al. 2019, arXiv 1909.08593; fields as in TRL's PPOConfig",
	Differs: "λ = 0.95 and 4 epochs as TRL's; OpenRLHF and verl have λ = 1 and 1 epoch. TRL adds the score one position past the last token where there is one, and takes some means over padding (`losses` follows it; here the score is on the last token); OpenRLHF clamps k1 at ±10 (kl_clamp = 10), rewards at ±10 (cliprange_reward = 10), and whitens with the biased variance; verl clips dually at 3 (dual_clip = 3) and its KL is off",
	Exact:   "k1 in the reward is the only KL penalty whose expected gradient is that of the sequence's KL; λ < 1 and whitening bias the rest a little",
	Also:    []string{"PPO-clip", "RLHF's PPO"},
}

// Config is in the order of the equations; names are TRL's.
type Config struct {
	TotalEpisodes     int     `toml:"total_episodes"`   // responses sampled in all
	BatchSize         int     `toml:"batch_size"`       // responses a step (rollout batch)
	CliprangeReward   float64 `toml:"cliprange_reward"` // scores are cut off at ± this, 0 = no clipping
	MissingEOSPenalty float64 `toml:"missing_eos_penalty"`
	WhitenRewards     bool    `toml:"whiten_rewards"`

	KLCoef      float64 `toml:"kl_coef"`      // β, or where an adaptive one begins
	KLEstimator string  `toml:"kl_estimator"` // a key of KLEstimators, or "full"
	KLClamp     float64 `toml:"kl_clamp"`     // largest penalty of a token, 0 = none
	KLIn        string  `toml:"kl_in"`        // "reward", "loss" or "both"
	AdapKLCtrl  bool    `toml:"adap_kl_ctrl"`
	Target      float64 `toml:"target"`  // KL in nats per response that the adaptive coefficient aims at
	Horizon     float64 `toml:"horizon"` // episodes over which it does so

	Gamma            float64 `toml:"gamma"`             // γ
	Lam              float64 `toml:"lam"`               // λ
	WhitenAdvantages bool    `toml:"whiten_advantages"` // TRL always does

	NumPPOEpochs   int     `toml:"num_ppo_epochs"`
	NumMiniBatches int     `toml:"num_mini_batches"`
	Cliprange      float64 `toml:"cliprange"`      // ε
	CliprangeHigh  float64 `toml:"cliprange_high"` // of the upper bound, 0 = cliprange
	DualClip       float64 `toml:"dual_clip"`      // largest ratio at a negative advantage, 0 = none
	EarlyStopping  bool    `toml:"early_stopping"`
	TargetKL       float64 `toml:"target_kl"` // epochs stop when the policy has moved by 1.5 of it

	CriticWarmup   int     `toml:"critic_warmup"`   // steps in which only the value head learns
	VFCoef         float64 `toml:"vf_coef"`         // c_v
	CliprangeValue float64 `toml:"cliprange_value"` // of the value loss
	EntropyCoef    float64 `toml:"entropy_coef"`    // c_e

	PtxCoef      float64 `toml:"ptx_coef"`       // γ, 0 = off
	PtxBatchSize int     `toml:"ptx_batch_size"` // pre-training lines for each update

	LearningRate      float64 `toml:"learning_rate"`
	ValueLearningRate float64 `toml:"value_learning_rate"`
	LRSchedulerType   string  `toml:"lr_scheduler_type"` // "constant", or "linear" to 0
	MaxGradNorm       float64 `toml:"max_grad_norm"`     // of policy and value each, 0 = no clipping
}

// Default is TRL's, with learning rates for tables instead of networks.
func Default() Config {
	return Config{
		TotalEpisodes: 25600, BatchSize: 128,
		KLCoef: 0.05, KLEstimator: "k1", KLIn: "reward", Target: 6, Horizon: 10000,
		Gamma: 1, Lam: 0.95, WhitenAdvantages: true,
		NumPPOEpochs: 4, NumMiniBatches: 1, Cliprange: 0.2, TargetKL: 0.1,
		VFCoef: 0.1, CliprangeValue: 0.2, PtxBatchSize: 128,
		LearningRate: 0.03, ValueLearningRate: 0.1, LRSchedulerType: "linear", MaxGradNorm: 1,
	}
}

var schedulers = []string{"constant", "linear"}

// Validate reports every field that cannot stand.
func (c Config) Validate() error {
	var k field.Checker
	k.Count("total_episodes", c.TotalEpisodes, 1, 1_000_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	k.NonNegative("cliprange_reward", c.CliprangeReward)
	k.NonNegative("missing_eos_penalty", c.MissingEOSPenalty)
	k.NonNegative("kl_coef", c.KLCoef)
	field.OneOf(&k, "kl_estimator", c.KLEstimator, estimators)
	k.NonNegative("kl_clamp", c.KLClamp)
	field.OneOf(&k, "kl_in", c.KLIn, []string{"reward", "loss", "both"})
	k.Positive("target", c.Target)
	k.Positive("horizon", c.Horizon)
	if c.AdapKLCtrl && c.Horizon > 0 && 0.2*float64(c.BatchSize) >= c.Horizon {
		k.Add(&field.Error{Field: "horizon", Value: c.Horizon, Allowed: "above batch_size/5",
			Why: "one batch with a KL far below the target would make the coefficient 0 or negative"})
	}
	k.Range("gamma", c.Gamma, 0, 1)
	k.Range("lam", c.Lam, 0, 1)
	k.Count("num_ppo_epochs", c.NumPPOEpochs, 1, 1000)
	k.Count("num_mini_batches", c.NumMiniBatches, 1, max(1, c.BatchSize))
	k.Positive("cliprange", c.Cliprange)
	k.NonNegative("cliprange_high", c.CliprangeHigh)
	k.Require(c.DualClip == 0 || c.DualClip > 1+c.clip().High && !math.IsInf(c.DualClip, 0), "dual_clip", c.DualClip, "0 (none), or above 1 + cliprange_high and finite")
	k.Positive("target_kl", c.TargetKL)
	k.Count("critic_warmup", c.CriticWarmup, 0, 1_000_000_000)
	k.NonNegative("vf_coef", c.VFCoef)
	k.Positive("cliprange_value", c.CliprangeValue)
	k.NonNegative("entropy_coef", c.EntropyCoef)
	k.NonNegative("ptx_coef", c.PtxCoef)
	k.Count("ptx_batch_size", c.PtxBatchSize, 1, 1_000_000)
	k.Positive("learning_rate", c.LearningRate)
	k.Positive("value_learning_rate", c.ValueLearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// Unused says why a field of the configuration changes nothing; "" when it does
// change something.
func (c Config) Unused(name string) string {
	switch {
	case (name == "target" || name == "horizon") && !c.AdapKLCtrl:
		return "only adap_kl_ctrl = true uses it"
	case name == "target_kl" && !c.EarlyStopping:
		return "only early_stopping = true uses it"
	case name == "kl_clamp" && c.KLEstimator == full:
		return "the exact KL of a state is no estimate of a token"
	}
	return ""
}

// clip is the range of the clipped surrogate.
func (c Config) clip() Clip {
	r := Clip{Low: c.Cliprange, High: c.CliprangeHigh, Delta: c.DualClip}
	if r.High == 0 {
		r.High = r.Low
	}
	if r.Delta == 0 {
		r.Delta = math.Inf(1)
	}
	return r
}

// Scorer gives a whole response its reward: the reward model, or anything else.
type Scorer interface {
	Score(x policy.Prompt, y policy.Response) float64
}

// Stats of one step. Those of the rollout are means over its episodes, those of
// the updates means over all minibatches of all epochs. TRL's `eps` (episodes
// per second) is left out: a clock has no place in a record that must repeat.
type Stats struct {
	KL             float64 // objective/kl: Σ_t log π_old − log π_ref per response (k1 estimate)
	Entropy        float64 // objective/entropy: −Σ_t log π_old per response
	NonScoreReward float64 // objective/non_score_reward: −β times the KL estimate, per response
	RLHFReward     float64 // objective/rlhf_reward: scores + non-score reward
	Scores         float64 // objective/scores: after the missing-EOS penalty
	KLCoef         float64 // objective/kl_coef: β of this step

	ApproxKL      float64 // policy/approxkl_avg: mean ½ (log π − log π_old)²
	ClipFrac      float64 // policy/clipfrac_avg: share of tokens whose clipped term was the larger
	PolicyEntropy float64 // policy/entropy_avg: mean entropy of the rows visited, nats per token
	PolicyLoss    float64 // loss/policy_avg
	ValueLoss     float64 // loss/value_avg
	ValueClipFrac float64 // val/clipfrac_avg
	Ratio         float64 // val/ratio: mean ρ
	RatioVar      float64 // val/ratio_var: variance over minibatches of their mean ρ
	VarExplained  float64 // ppo/val/var_explained: 1 − Var(R−V)/Var(R) before the update
	ReturnsMean   float64 // ppo/returns/mean
	ReturnsVar    float64 // ppo/returns/var
	KLLoss        float64 // loss/kl_avg: mean KL penalty of a token, with kl_in = "loss"
	PtxLoss       float64 // loss/ptx_avg: mean −log π of a pre-training line, with ptx_coef > 0
	NumEOSTokens  float64 // val/num_eos_tokens: responses that ended themselves
	GradNorm      float64 // mean norm of the policy's gradient before clipping
	LR            float64 // lr
	Episode       float64 // episode: sampled so far
	Epochs        float64 // ppo/epochs, not a metric of TRL's: epochs taken before an early stop

	klInLoss, mixed bool // which of the optional metrics there are
}

// All yields the metrics under TRL's names (PPOTrainer; 0.8 where later ones lack them).
func (s Stats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, m := range []struct {
			name  string
			value float64
		}{
			{"objective/kl", s.KL}, {"objective/entropy", s.Entropy}, {"objective/non_score_reward", s.NonScoreReward},
			{"objective/rlhf_reward", s.RLHFReward}, {"objective/scores", s.Scores}, {"objective/kl_coef", s.KLCoef},
			{"policy/approxkl_avg", s.ApproxKL}, {"policy/clipfrac_avg", s.ClipFrac}, {"policy/entropy_avg", s.PolicyEntropy},
			{"loss/policy_avg", s.PolicyLoss}, {"loss/value_avg", s.ValueLoss}, {"val/clipfrac_avg", s.ValueClipFrac},
			{"val/ratio", s.Ratio}, {"val/ratio_var", s.RatioVar}, {"val/num_eos_tokens", s.NumEOSTokens},
			{"ppo/val/var_explained", s.VarExplained}, {"ppo/returns/mean", s.ReturnsMean}, {"ppo/returns/var", s.ReturnsVar},
			{"grad_norm", s.GradNorm}, {"lr", s.LR}, {"episode", s.Episode}, {"ppo/epochs", s.Epochs},
		} {
			if !yield(m.name, m.value) {
				return
			}
		}
		_ = (!s.klInLoss || yield("loss/kl_avg", s.KLLoss)) && (!s.mixed || yield("loss/ptx_avg", s.PtxLoss))
	}
}

// Trainer runs PPO.
type Trainer struct {
	cfg     Config
	policy  *policy.Trainer
	ref     *policy.Softmax
	reward  Scorer
	weights []float64 // probability of each prompt
	value   *value
	kl      klController
	rollout *rollout
	step    int
	order   []int // episodes, reshuffled every epoch
	visits  []float64
	ratios  []float64 // mean ratio of each minibatch

	pretraining *pretraining // nil without PPO-ptx
}

// New prepares the alignment of pi, which starts as a copy of ref, with the
// reward; promptWeights are the prompts' probabilities.
func New(cfg Config, pi, ref *policy.Softmax, reward Scorer, promptWeights []float64) *Trainer {
	t := &Trainer{
		cfg: cfg, policy: policy.NewTrainer(pi, cfg.MaxGradNorm), ref: ref, reward: reward, weights: promptWeights,
		value: newValue(pi.Shape, cfg.MaxGradNorm), rollout: newRollout(cfg.BatchSize, pi.Shape),
		kl:    klController{coef: cfg.KLCoef, adaptive: cfg.AdapKLCtrl, target: cfg.Target, horizon: cfg.Horizon},
		order: make([]int, cfg.BatchSize), visits: make([]float64, pi.Rows()),
		ratios: make([]float64, 0, cfg.NumPPOEpochs*cfg.NumMiniBatches),
	}
	for i := range t.order {
		t.order[i] = i
	}
	return t
}

// Steps is the number of rollout batches of the whole training.
func (t *Trainer) Steps() int { return (t.cfg.TotalEpisodes + t.cfg.BatchSize - 1) / t.cfg.BatchSize }

// Step rolls out one batch and takes its epochs of updates.
func (t *Trainer) Step(r *rng.Stream) Stats {
	b, s := t.rollout, Stats{LR: t.learningRate(t.cfg.LearningRate), KLCoef: t.kl.coef}
	b.sample(t.policy.Policy, t.ref, t.weights, r)
	b.score(t.reward, t.cfg.MissingEOSPenalty, t.cfg.CliprangeReward, &s)
	t.penalise(&s)
	if t.cfg.WhitenRewards {
		Whiten(b.reward, false)
	}
	b.advantages(t.value, t.cfg.Gamma, t.cfg.Lam, &s)
	if t.cfg.WhitenAdvantages {
		Whiten(b.advantage, true)
	}
	t.ratios = t.ratios[:0]
	for range t.cfg.NumPPOEpochs {
		s.Epochs++
		moved := t.epoch(r, &s)
		if t.cfg.EarlyStopping && moved > 1.5*t.cfg.TargetKL {
			break
		}
	}
	s.average(t.ratios)
	t.kl.update(s.KL, t.cfg.BatchSize)
	t.step++
	s.Episode = float64(t.step * t.cfg.BatchSize)
	return s
}

// penalise turns scores into token rewards, less the KL penalty where it stands
// in the reward.
func (t *Trainer) penalise(s *Stats) {
	b := t.rollout
	s.klInLoss, s.mixed = inLoss(t.cfg.KLIn), t.pretraining != nil
	if inReward(t.cfg.KLIn) {
		b.penalties(b.reward, t.policy.Policy, t.ref, t.cfg.KLEstimator, t.cfg.KLClamp)
	} else {
		clear(b.reward)
	}
	b.tokenRewards(t.kl.coef, s)
}

// epoch takes one pass over the rollout in shuffled minibatches, and returns
// how far the policy has moved from the one that sampled: mean log π_old − log π.
func (t *Trainer) epoch(r *rng.Stream, s *Stats) (moved float64) {
	r.Shuffle(t.order)
	n := t.cfg.NumMiniBatches
	for k := range n {
		episodes := t.order[k*len(t.order)/n : (k+1)*len(t.order)/n]
		if t.pretraining != nil {
			t.pretraining.next(r)
		}
		moved += t.minibatch(episodes, s) / float64(n)
	}
	return moved
}

// minibatch takes one clipped step of policy and value on the episodes.
func (t *Trainer) minibatch(episodes []int, s *Stats) (moved float64) {
	moved = t.backward(episodes, s)
	if t.step < t.cfg.CriticWarmup {
		clear(t.policy.G)
	} else {
		s.GradNorm += t.policy.Update(s.LR)
	}
	t.value.update(t.learningRate(t.cfg.ValueLearningRate))
	return moved
}

// backward adds the gradient of L on the episodes, ∂L/∂log π and ∂L/∂V, to
// those of policy and value, and what it measured on the way to the statistics.
func (t *Trainer) backward(episodes []int, s *Stats) (moved float64) {
	b := t.rollout
	b.ratios(t.policy.Policy, episodes)
	tokens := b.tokensOf(episodes)
	each := 1 / float64(len(tokens))
	row, visits := b.row, t.visits
	clear(visits)
	for _, j := range tokens {
		visits[row[j]] += each
	}
	moved = t.policyLoss(tokens, each, s)
	t.valueLoss(tokens, each, s)
	if s.klInLoss {
		s.KLLoss += t.klLoss(tokens, each)
	}
	if t.pretraining != nil {
		s.PtxLoss += t.pretraining.add(t.policy, t.cfg.PtxCoef)
	}
	s.PolicyEntropy += entropyBonus(t.policy, t.visits, t.cfg.EntropyCoef)
	return moved
}

// policyLoss adds the gradient of the clipped surrogate on the tokens, and returns how
// far the policy has moved. Its slices are named once, outside of the loop, as those of
// valueLoss: this is where PPO spends its time.
func (t *Trainer) policyLoss(tokens []int32, each float64, s *Stats) (moved float64) {
	b, g, clip := t.rollout, t.policy.G, t.cfg.clip()
	index, advantages, ratios, logRatios := b.index, b.advantage, b.ratio, b.logRatio
	loss, clipFrac, approxKL, ratio := s.PolicyLoss, s.ClipFrac, s.ApproxKL, 0.0
	for _, j := range tokens {
		rho, logRho := ratios[j], logRatios[j]
		own := -advantages[j] * rho
		slope, clipped := own, 0.0 // most ratios are cut off nowhere
		if !clip.inside(rho) {
			own, slope, clipped = Clipped(rho, advantages[j], clip)
		}
		g[index[j]] += float64(each * slope)
		loss += float64(each * own)
		clipFrac += float64(each * clipped)
		approxKL += float64(each * float64(0.5*float64(logRho*logRho)))
		moved -= float64(each * logRho)
		ratio += float64(each * rho)
	}
	s.PolicyLoss, s.ClipFrac, s.ApproxKL = loss, clipFrac, approxKL
	t.ratios = append(t.ratios, ratio)
	return moved
}

// valueLoss adds the gradient of c_v times the clipped value loss on the tokens.
func (t *Trainer) valueLoss(tokens []int32, each float64, s *Stats) {
	b, v, g, scale := t.rollout, t.value.v, t.value.g, float64(each*t.cfg.VFCoef)
	states, values, returns, limit := b.state, b.value, b.returns, t.cfg.CliprangeValue
	loss, clipFrac := s.ValueLoss, s.ValueClipFrac
	for _, j := range tokens {
		state := states[j]
		now, old := v[state], values[j]
		slope, clipped := now-returns[j], 0.0
		own := float64(0.5 * float64(slope*slope))
		if !insideValue(now, old, limit) {
			own, slope, clipped = ClippedValue(now, old, returns[j], limit)
		}
		g[state] += float64(scale * slope)
		loss += float64(each * own)
		clipFrac += float64(each * clipped)
	}
	s.ValueLoss, s.ValueClipFrac = loss, clipFrac
}

// klLoss adds the gradient of β times the mean KL penalty of the tokens under the
// current policy, and returns that mean.
func (t *Trainer) klLoss(tokens []int32, each float64) (kl float64) {
	b, pi, beta := t.rollout, t.policy.Policy, t.kl.coef
	k, ok := estimator(t.cfg.KLEstimator, t.cfg.KLClamp)
	if !ok {
		_, kl = fullPenalty(t.policy, t.ref, t.visits, t.visits, beta)
		return kl
	}
	for _, j := range tokens {
		v, slope := k.At(pi.LogP[b.index[j]], b.ref[j])
		t.policy.G[b.index[j]] += float64(float64(each*beta) * slope)
		kl += float64(each * v)
	}
	return kl
}

// entropyBonus is the mean entropy H of the rows visited, each by its share of
// the visits, and adds the gradient of −c_e H: for a row, g_w = c_e π_w log π_w
// (see policy.Trainer).
func entropyBonus(t *policy.Trainer, visits []float64, coef float64) float64 {
	pi, sum := t.Policy, 0.0
	n := pi.Outcomes()
	for row, share := range visits {
		if share == 0 {
			continue
		}
		p, logp := pi.P[row*n:(row+1)*n], pi.LogP[row*n:(row+1)*n]
		sum -= float64(share * num.Dot(p, logp))
		if coef > 0 {
			scale, g := coef*share, t.G[row*n:(row+1)*n]
			for w := range g {
				g[w] += float64(scale * float64(p[w]*logp[w]))
			}
		}
	}
	return sum
}

// scheduled is the learning rate of a step: constant, or falling linearly to 0
// after the last one.
func scheduled(kind string, rate float64, step, steps int) float64 {
	if kind == "constant" {
		return rate
	}
	return rate * max(0, 1-float64(step)/float64(steps))
}

func (t *Trainer) learningRate(rate float64) float64 {
	return scheduled(t.cfg.LRSchedulerType, rate, t.step, t.Steps())
}

// average turns the sums over minibatches into means.
func (s *Stats) average(ratios []float64) {
	n := float64(len(ratios))
	for _, v := range []*float64{&s.PolicyLoss, &s.ClipFrac, &s.ApproxKL, &s.ValueLoss, &s.ValueClipFrac, &s.PolicyEntropy, &s.GradNorm, &s.KLLoss, &s.PtxLoss} {
		*v /= n
	}
	s.Ratio, s.RatioVar = moments(ratios)
}
