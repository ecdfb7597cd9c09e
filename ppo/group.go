package ppo

import (
	"math"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// GroupTrainer aligns a policy without a critic: what a response is compared
// with comes from other responses. REINFORCE, RLOO, GRPO and their family
// (GroupMethods) are choices of baseline, KL and loss:
//
//	R_i = r(x,y_i) [− β Σ_t k(t)]             the KL in the reward, or below in the loss
//	Â_i = (R_i − b_i) [/σ]                    Baselines, scale_rewards
//	L   = Σ_i a_i Σ_t [ ℓ(w_t, Â_i) + β k(t) ]   GroupLosses: surrogate ℓ, aggregation a
//
//	w_t   importance weight of token t against the policy that sampled it
type GroupTrainer struct {
	cfg       GroupConfig
	objective *GroupObjective
	baseline  Baseline
	policy    *policy.Trainer
	ref       *policy.Softmax
	reward    Scorer
	weights   []float64
	rollout   *rollout
	entropy   entropyControl
	step      int

	rewards, advantage, length, greedy []float64 // of each response
	penalty, energy                    []float64 // of each token: k(t), where it stands in the reward; ‖e − π‖², where the baseline reads it
	logp, weight, loss, slope          []float64 // of each token, see Tokens
	visits, weighted                   []float64 // of each row: share of the tokens, and what their KL weighs in the loss
	marked                             []bool    // of each token, where the loss marks some
	response                           []Tokens  // of the batch
	company                            []*Tokens // those of an update that count in the loss
	said                               policy.Response
}

// NewGroup prepares the alignment of pi, which starts as a copy of ref, with a
// valid configuration; promptWeights are the prompts' probabilities.
func NewGroup(cfg GroupConfig, pi, ref *policy.Softmax, reward Scorer, promptWeights []float64) *GroupTrainer {
	t := &GroupTrainer{cfg: cfg, objective: NewGroupObjective(cfg), baseline: baseline(cfg.Advantage), policy: policy.NewTrainer(pi, cfg.MaxGradNorm),
		ref: ref, reward: reward, weights: promptWeights, rollout: newRollout(cfg.BatchSize, pi.Shape),
		said: make(policy.Response, 0, pi.MaxLength), response: make([]Tokens, cfg.BatchSize), company: make([]*Tokens, 0, cfg.BatchSize)}
	for _, f := range []*[]float64{&t.rewards, &t.advantage, &t.length, &t.greedy} {
		*f = make([]float64, cfg.BatchSize)
	}
	for _, f := range []*[]float64{&t.penalty, &t.energy, &t.logp, &t.weight, &t.loss, &t.slope} {
		*f = make([]float64, cfg.BatchSize*pi.MaxLength)
	}
	t.marked = make([]bool, cfg.BatchSize*pi.MaxLength)
	t.visits, t.weighted = make([]float64, pi.Rows()), make([]float64, pi.Rows())
	t.entropy = entropyControl{coef: cfg.EntropyCoef, adaptive: cfg.UseAdaptiveEntropy, target: cfg.EntropyTarget,
		low: cfg.EntropyCoefMin, high: cfg.EntropyCoefMax, delta: cfg.EntropyCoefDelta}
	return t
}

// Steps is the number of batches of the whole training.
func (t *GroupTrainer) Steps() int {
	return (t.cfg.TotalEpisodes + t.cfg.BatchSize - 1) / t.cfg.BatchSize
}

// Step samples one batch of groups and updates the policy on it.
func (t *GroupTrainer) Step(r *rng.Stream) GroupStats {
	s := GroupStats{LearningRate: scheduled(t.cfg.LRSchedulerType, t.cfg.LearningRate, t.step, t.Steps()), EntropyCoef: t.entropy.coef, own: t.objective.Loss.Metric}
	t.sample(r, &s)
	t.measure(&s)
	t.advantages(&s)
	groups, parts := t.cfg.BatchSize/t.cfg.NumGenerations, t.cfg.StepsPerGeneration
	for range t.cfg.NumIterations {
		for k := range parts { // groups are independent draws, so their order needs no shuffle
			from, to := k*groups/parts*t.cfg.NumGenerations, (k+1)*groups/parts*t.cfg.NumGenerations
			t.entropy.see(t.backward(from, to, r, &s))
			s.GradNorm += t.policy.Update(s.LearningRate)
		}
	}
	s.average(t.cfg.NumIterations * parts)
	t.step++
	s.Episode = float64(t.step * t.cfg.BatchSize)
	return s
}

// maxDraws is how often dynamic sampling draws a group before it takes one without a
// signal, so that a step ends where no prompt has one (verl's recipe gives up after 10
// batches; by default it does not).
const maxDraws = 10

// sample draws the groups, each for one prompt, and scores them.
func (t *GroupTrainer) sample(r *rng.Stream, s *GroupStats) {
	b, n, drawn := t.rollout, t.cfg.NumGenerations, 0
	b.truncate(0)
	for e := 0; e < len(b.prompt); e += n {
		at := len(b.index)
		for range maxDraws {
			b.truncate(at)
			x := policy.Prompt(draw(t.weights, r.Float64()))
			for k := e; k < e+n; k++ {
				b.respond(k, x, t.policy.Policy, r)
				b.total[k] = t.score(x, b.response[k])
			}
			drawn++
			if !t.cfg.DynamicSampling || !constant(b.total[e:e+n]) {
				break
			}
		}
	}
	b.finish(t.policy.Policy, t.ref)
	s.PassRate = float64(len(b.prompt)/n) / float64(drawn)
}

// score is the reward of a response, less the punishment for its length.
func (t *GroupTrainer) score(x policy.Prompt, y policy.Response) float64 {
	score := t.reward.Score(x, y)
	if t.cfg.BinaryReward {
		score = success(score, t.cfg.SuccessScore)
	}
	return clipped(score, t.cfg.CliprangeReward) + t.cfg.LengthReward(len(y), t.policy.Policy.MaxLength)
}

// LengthReward is the soft overlong punishment of a response of that many words, at
// most 0; EOS is a token more, unless the response was cut at maxLength.
func (c *GroupConfig) LengthReward(words, maxLength int) float64 {
	if c.OverlongPenalty == 0 {
		return 0
	}
	longest := c.SoftMaxLength
	if longest == 0 {
		longest = maxLength
	}
	return float64(c.OverlongPenalty * Overlong(min(words+1, maxLength), longest, c.SoftPunishCache))
}

// constant says whether all rewards are equal: such a group has no advantage.
func constant(xs []float64) bool {
	for _, x := range xs {
		if x != xs[0] {
			return false
		}
	}
	return true
}

// advantages fills Â_t of every token.
func (t *GroupTrainer) advantages(s *GroupStats) {
	b, c := t.rollout, &t.cfg
	penalty := t.penalty[:len(b.index)]
	copy(t.rewards, b.total)
	if inReward(c.KLIn) {
		b.penalties(penalty, t.policy.Policy, t.ref, c.KLEstimator, c.KLClamp)
		if !inLoss(c.KLIn) {
			s.KL = mean(penalty) * float64(c.NumIterations*c.StepsPerGeneration) // a mean over updates in the end, like what is in the loss
		}
	}
	for e := range b.prompt {
		t.length[e] = float64(b.start[e+1] - b.start[e])
	}
	t.greedyRewards()
	if t.baseline.PerToken != nil {
		b.energies(t.energy, t.policy.Policy)
	}
	g := Groups{Size: c.NumGenerations, Reward: t.rewards, Length: t.length, Greedy: t.greedy, Energy: t.energy}
	c.fillAdvantages(b.advantage, t.advantage, g, t.baseline, penalty, b.start)
}

// greedyRewards scores the greedy response to each prompt, for the baseline that
// needs it.
func (t *GroupTrainer) greedyRewards() {
	if !t.baseline.Greedy {
		return
	}
	for e, x := range t.rollout.prompt {
		t.said = t.policy.Policy.AppendGreedy(t.said[:0], x)
		t.greedy[e] = t.score(x, t.said)
	}
}

// counts says whether a response counts in the loss.
func (t *GroupTrainer) counts(e int) bool {
	return !t.cfg.MaskTruncatedCompletions || t.rollout.ended(e)
}

// size is what the aggregation of an update on responses from..to divides by.
func (t *GroupTrainer) size(from, to int) Size {
	size := Size{Responses: t.responsesIn(from, to), Tokens: t.tokensIn(from, to), MaxLength: t.policy.Policy.MaxLength}
	size.Items = float64(t.tokensIn(0, len(t.rollout.prompt))) / float64(t.cfg.StepsPerGeneration)
	return size
}

// responsesIn is the number of responses that a mean over them divides by.
func (t *GroupTrainer) responsesIn(from, to int) (n int) {
	if !t.cfg.DropMaskedResponses {
		return to - from
	}
	for e := from; e < to; e++ {
		if t.counts(e) {
			n++
		}
	}
	return max(1, n)
}

// tokensIn is the number of tokens that count in the loss.
func (t *GroupTrainer) tokensIn(from, to int) (n int) {
	for e := from; e < to; e++ {
		if t.counts(e) {
			n += int(t.rollout.start[e+1] - t.rollout.start[e])
		}
	}
	return n
}

// backward adds the gradient of L on responses first..end, ∂L/∂log π, to that of
// the policy, and what it measured on the way to the statistics. It returns the mean
// entropy of a token.
func (t *GroupTrainer) backward(first, end int, r *rng.Stream, s *GroupStats) (entropy float64) {
	b, size := t.rollout, t.size(first, end)
	t.objective.Prepare(t.look(first, end), r)
	share := 1 / float64(max(1, size.Tokens))
	clear(t.visits)
	clear(t.weighted)
	cut := clipShares{lowMin: math.Inf(1)}
	for e := first; e < end; e++ {
		if !t.counts(e) {
			continue
		}
		from, to := b.start[e], b.start[e+1]
		y := &t.response[e]
		each, kl := t.objective.Of(y, size)
		penalty := t.objective.KLMean(int(to-from), size)
		s.KL += float64(share * kl)
		for j := from; j < to; j++ {
			t.policy.G[b.index[j]] += float64(each * t.slope[j])
			t.visits[b.row[j]] += share
			t.weighted[b.row[j]] += penalty
		}
		s.Loss += float64(each * num.Sum(y.Loss))
		part := 1 / float64(size.Responses)
		s.Phi += float64(part * y.Phi)
		s.LeftOut += float64(share * float64(y.Left))
		if t.objective.Config.ImportanceSamplingLevel == "token" {
			part = share * float64(to-from)
		}
		cut.add(y, part)
	}
	cut.report(s)
	if inLoss(t.cfg.KLIn) && t.cfg.KLEstimator == full {
		loss, kl := fullPenalty(t.policy, t.ref, t.weighted, t.visits, t.cfg.Beta)
		s.Loss, s.KL = s.Loss+loss, s.KL+kl
	}
	bonus := t.entropy.bonus()
	entropy = entropyBonus(t.policy, t.visits, bonus)
	s.Entropy += entropy
	s.Loss -= float64(bonus * entropy)
	return entropy
}

// look takes in responses first..end under the current policy, and returns those
// that count.
func (t *GroupTrainer) look(first, end int) []*Tokens {
	b, pi := t.rollout, t.policy.Policy
	for j := b.start[first]; j < b.start[end]; j++ {
		t.logp[j] = pi.LogP[b.index[j]]
	}
	t.company = t.company[:0]
	for e := first; e < end; e++ {
		from, to := b.start[e], b.start[e+1]
		t.response[e] = Tokens{LogP: t.logp[from:to], Old: b.old[from:to], Ref: b.ref[from:to], Advantage: b.advantage[from:to],
			Weight: t.weight[from:to], Marked: t.marked[from:to], Loss: t.loss[from:to], Slope: t.slope[from:to]}
		if t.counts(e) {
			t.company = append(t.company, &t.response[e])
		}
	}
	return t.company
}

// fullPenalty adds the gradient of β Σ_row weight KL(π(·|row)‖π_ref(·|row)) and
// returns that sum, and the same with shares for weights and without β.
func fullPenalty(t *policy.Trainer, ref *policy.Softmax, weights, shares []float64, beta float64) (loss, kl float64) {
	pi := t.Policy
	n := pi.Outcomes()
	for row, weight := range weights {
		if weight == 0 {
			continue
		}
		at, to := row*n, (row+1)*n
		own := FullKL(pi.P[at:to], pi.LogP[at:to], ref.LogP[at:to])
		FullKLGradient(t.G[at:to], pi.P[at:to], pi.LogP[at:to], ref.LogP[at:to], beta*weight)
		loss += float64(beta * float64(weight*own))
		kl += float64(shares[row] * own)
	}
	return loss, kl
}
