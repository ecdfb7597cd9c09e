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
	"rlhfsim/internal/card"
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
	Differs: "λ = 0.95 and 4 epochs as TRL's; OpenRLHF and verl have λ = 1 and 1 epoch. TRL adds the score one position past the last token where there is one (score_position = \"after_eos\"), and takes some means over padding (`losses` follows it); OpenRLHF clamps k1 at ±10 (kl_clamp = 10), rewards at ±10 (cliprange_reward = 10), and whitens with the biased variance (biased_whitening = true); verl clips dually at 3 (dual_clip = 3) and its KL is off",
	Exact:   "k1 in the reward is the only KL penalty whose expected gradient is that of the sequence's KL; λ < 1 and whitening bias the rest a little. In the chapter's world (β = 0.7) a critic that starts from the reward model (init_value_with_reward) brings the gap after 20 of 300 steps from 0.43 to 0.38, smaller in each of 30 seeds, at the end from 0.087 to 0.078, smaller in 27; at β = 0.1 it makes no difference",
	Also:    []string{"PPO-clip", "RLHF's PPO"},
}

// Scorer gives a whole response its reward: the reward model, or anything else.
type Scorer interface {
	Score(x policy.Prompt, y policy.Response) float64
}

// Trainer runs PPO.
type Trainer struct {
	cfg     Config
	policy  *policy.Trainer
	ref     *policy.Softmax
	reward  Scorer
	weights []float64 // probability of each prompt
	value   *value
	scale   rewardScale
	kl      klController
	rollout *rollout
	step    int
	order   []int // episodes, reshuffled every epoch
	visits  []float64
	ratios  []float64 // mean ratio of each minibatch

	actor *policy.Trainer // who samples and is updated: the policy, or what a mask leaves of it
	mask  *nucleus        // nil without NLPO

	pretraining *pretraining // nil without PPO-ptx
}

// New prepares the alignment of pi, which starts as a copy of ref, with the
// reward; promptWeights are the prompts' probabilities.
func New(cfg Config, pi, ref *policy.Softmax, reward Scorer, promptWeights []float64) *Trainer {
	t := &Trainer{
		cfg: cfg, policy: policy.NewTrainer(pi, cfg.MaxGradNorm), ref: ref, reward: reward, weights: promptWeights,
		value: newValue(states(pi.Shape), cfg.MaxGradNorm), rollout: newRollout(cfg.BatchSize, pi.Shape),
		scale: rewardScale{kind: cfg.ScaleReward},
		kl:    klController{coef: cfg.KLCoef, adaptive: cfg.AdapKLCtrl, target: cfg.Target, horizon: cfg.Horizon},
		order: make([]int, cfg.BatchSize), visits: make([]float64, pi.Rows()),
		ratios: make([]float64, 0, cfg.NumPPOEpochs*cfg.NumMiniBatches),
	}
	t.rollout.clamp = cfg.LogRatioClamp
	for i := range t.order {
		t.order[i] = i
	}
	if cfg.ScorePosition == "after_eos" {
		t.value = newValue(2*states(pi.Shape), cfg.MaxGradNorm)
		t.rollout.past = newPast(cfg.BatchSize, pi.MaxLength)
	}
	t.actor = t.policy
	if cfg.TopMask < 1 {
		t.mask = newNucleus(cfg.TopMask, pi, cfg.BatchSize*pi.MaxLength)
		t.actor = &t.mask.actor
	}
	return t
}

// Steps is the number of rollout batches of the whole training.
func (t *Trainer) Steps() int { return (t.cfg.TotalEpisodes + t.cfg.BatchSize - 1) / t.cfg.BatchSize }

// Step rolls out one batch and takes its epochs of updates.
func (t *Trainer) Step(r *rng.Stream) Stats {
	b, s := t.rollout, Stats{LR: t.learningRate(t.cfg.LearningRate), KLCoef: t.kl.coef}
	t.collect(&t.scale, r, &s)
	if t.cfg.WhitenRewards {
		b.whitenRewards(t.cfg.BiasedWhitening)
	}
	b.advantages(t.value, t.cfg.Gamma, t.cfg.Lam, &s)
	if t.cfg.WhitenAdvantages {
		Whiten(b.advantage, true, t.cfg.BiasedWhitening)
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
	if t.mask != nil && t.step%t.cfg.TargetUpdateIterations == 0 {
		t.mask.renew(t.policy.Policy)
	}
	s.Episode = float64(t.step * t.cfg.BatchSize)
	return s
}

// collect rolls out a batch: responses, scores, and the rewards of their tokens.
func (t *Trainer) collect(scale *rewardScale, r *rng.Stream, s *Stats) {
	t.rollout.sample(t.actor.Policy, t.ref, t.weights, r)
	if t.mask != nil {
		t.mask.unmasked(t.rollout, t.policy.Policy)
	}
	if p := t.rollout.past; p != nil {
		p.find(t.rollout, t.ref.Shape)
	}
	t.score(scale, s)
	t.penalise(s)
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
	if t.mask != nil {
		t.mask.follow(t.policy.Policy)
	}
	t.value.update(t.learningRate(t.cfg.ValueLearningRate))
	return moved
}

// backward adds the gradient of L on the episodes, ∂L/∂log π and ∂L/∂V, to
// those of policy and value, and what it measured on the way to the statistics.
func (t *Trainer) backward(episodes []int, s *Stats) (moved float64) {
	b := t.rollout
	b.ratios(t.actor.Policy, episodes)
	tokens := b.tokensOf(episodes)
	each := 1 / float64(len(tokens))
	row, visits := b.row, t.visits
	clear(visits)
	for _, j := range tokens {
		visits[row[j]] += each
	}
	moved = t.policyLoss(tokens, each, s)
	place := 1 / float64(len(tokens)+b.past.count(episodes))
	t.valueLoss(tokens, place, s)
	t.pastLoss(episodes, place, s)
	if s.klInLoss {
		s.KLLoss += t.klLoss(tokens, each)
	}
	if t.pretraining != nil {
		s.PtxLoss += t.pretraining.add(t.policy, t.cfg.PtxCoef)
	}
	s.PolicyEntropy += entropyBonus(t.actor, t.visits, t.cfg.EntropyCoef)
	if t.mask != nil {
		t.mask.pull(t.policy.G)
	}
	return moved
}

// policyLoss adds the gradient of the clipped surrogate on the tokens, and returns how
// far the policy has moved. Its slices are named once, outside of the loop, as those of
// valueLoss: this is where PPO spends its time.
func (t *Trainer) policyLoss(tokens []int32, each float64, s *Stats) (moved float64) {
	b, g, clip := t.rollout, t.actor.G, t.cfg.clip()
	index, advantages, ratios, logRatios := b.index, b.advantage, b.ratio, b.logRatio
	low, high := clip.uncut()
	loss, clipFrac, approxKL, ratio := s.PolicyLoss, s.ClipFrac, s.ApproxKL, 0.0
	for _, j := range tokens {
		rho, logRho := ratios[j], logRatios[j]
		own := -advantages[j] * rho
		slope, clipped := own, 0.0 // most ratios are cut off nowhere
		if !(low < rho && rho < high) {
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
