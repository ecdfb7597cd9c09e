package ppo

import (
	"iter"
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
	step      int

	rewards, advantage, length, greedy []float64 // of each response
	penalty                            []float64 // k(t) of each token, where it stands in the reward
	logp, weight, loss, slope          []float64 // of each token, see Tokens
	visits, weighted                   []float64 // of each row: share of the tokens, and their weight in the loss
	response                           Tokens
	said                               policy.Response
}

// NewGroup prepares the alignment of pi, which starts as a copy of ref, with a
// valid configuration; promptWeights are the prompts' probabilities.
func NewGroup(cfg GroupConfig, pi, ref *policy.Softmax, reward Scorer, promptWeights []float64) *GroupTrainer {
	t := &GroupTrainer{cfg: cfg, objective: NewGroupObjective(cfg), baseline: baseline(cfg.Advantage), policy: policy.NewTrainer(pi, cfg.MaxGradNorm),
		ref: ref, reward: reward, weights: promptWeights, rollout: newRollout(cfg.BatchSize, pi.Shape),
		said: make(policy.Response, 0, pi.MaxLength)}
	for _, f := range []*[]float64{&t.rewards, &t.advantage, &t.length, &t.greedy} {
		*f = make([]float64, cfg.BatchSize)
	}
	for _, f := range []*[]float64{&t.penalty, &t.logp, &t.weight, &t.loss, &t.slope} {
		*f = make([]float64, cfg.BatchSize*pi.MaxLength)
	}
	t.visits, t.weighted = make([]float64, pi.Rows()), make([]float64, pi.Rows())
	return t
}

// Steps is the number of batches of the whole training.
func (t *GroupTrainer) Steps() int {
	return (t.cfg.TotalEpisodes + t.cfg.BatchSize - 1) / t.cfg.BatchSize
}

// Step samples one batch of groups and updates the policy on it.
func (t *GroupTrainer) Step(r *rng.Stream) GroupStats {
	s := GroupStats{LearningRate: scheduled(t.cfg.LRSchedulerType, t.cfg.LearningRate, t.step, t.Steps())}
	t.sample(r, &s)
	t.measure(&s)
	t.advantages(&s)
	groups, parts := t.cfg.BatchSize/t.cfg.NumGenerations, t.cfg.StepsPerGeneration
	for range t.cfg.NumIterations {
		for k := range parts { // groups are independent draws, so their order needs no shuffle
			from, to := k*groups/parts*t.cfg.NumGenerations, (k+1)*groups/parts*t.cfg.NumGenerations
			t.backward(from, to, &s)
			s.GradNorm += t.policy.Update(s.LearningRate)
		}
	}
	s.average(t.cfg.NumIterations * parts)
	t.step++
	s.Episode = float64(t.step * t.cfg.BatchSize)
	return s
}

// maxDraws is how often dynamic sampling draws a group before it takes one
// without a signal (verl's max_num_gen_batches).
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
	r := t.reward.Score(x, y)
	if t.cfg.OverlongPenalty == 0 {
		return r
	}
	longest := t.cfg.SoftMaxLength
	if longest == 0 {
		longest = t.policy.Policy.MaxLength
	}
	return r + float64(t.cfg.OverlongPenalty*Overlong(len(y), longest, t.cfg.SoftPunishCache))
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
	if c.KLIn != "loss" {
		b.penalties(penalty, t.policy.Policy, t.ref, c.KLEstimator)
		s.KL = mean(penalty) * float64(c.NumIterations*c.StepsPerGeneration) // a mean over updates in the end, like what is in the loss
	}
	for e := range b.prompt {
		from, to := b.start[e], b.start[e+1]
		t.length[e] = float64(to - from)
		if c.KLIn == "reward" {
			t.rewards[e] -= float64(c.Beta * num.Sum(penalty[from:to]))
		}
	}
	t.greedyRewards()
	Advantages(t.advantage, Groups{Size: c.NumGenerations, Reward: t.rewards, Length: t.length, Greedy: t.greedy}, t.baseline, c.ScaleRewards)
	if c.NormalizeAdvantages {
		Normalize(t.advantage)
	}
	for e, a := range t.advantage {
		from, to := b.start[e], b.start[e+1]
		if c.KLIn == "token_reward" {
			ReturnsToGo(b.advantage[from:to], penalty[from:to], c.Beta, a)
		} else {
			fill(b.advantage[from:to], a)
		}
	}
	if c.WhitenAdvantages {
		Whiten(b.advantage, true)
	}
}

// greedyRewards scores the greedy response to each prompt, for the baseline that
// needs it.
func (t *GroupTrainer) greedyRewards() {
	if t.cfg.Advantage != "greedy" {
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
	size := Size{Responses: to - from, Tokens: t.tokensIn(from, to), MaxLength: t.policy.Policy.MaxLength}
	size.Items = float64(t.tokensIn(0, len(t.rollout.prompt))) / float64(t.cfg.StepsPerGeneration)
	return size
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
// the policy, and what it measured on the way to the statistics.
func (t *GroupTrainer) backward(first, end int, s *GroupStats) {
	b, size := t.rollout, t.size(first, end)
	share := 1 / float64(max(1, size.Tokens))
	clear(t.visits)
	clear(t.weighted)
	lowMin, highMax := math.Inf(1), 0.0
	for e := first; e < end; e++ {
		if !t.counts(e) {
			continue
		}
		from, to := b.start[e], b.start[e+1]
		y := t.tokens(from, to)
		kl := t.objective.Of(y)
		each := t.objective.Loss.Aggregation(int(to-from), size)
		for j := from; j < to; j++ {
			t.policy.G[b.index[j]] += float64(each * t.slope[j])
			t.visits[b.row[j]] += share
			t.weighted[b.row[j]] += each
		}
		s.Loss += float64(each * num.Sum(y.Loss))
		s.KL += float64(share * kl)
		low, high := float64(y.Low)/float64(to-from), float64(y.High)/float64(to-from)
		lowMin, highMax = min(lowMin, low), max(highMax, high)
		part := 1 / float64(size.Responses)
		if t.cfg.ImportanceSamplingLevel == "token" {
			part = share * float64(to-from)
		}
		s.ClipLowMean += float64(part * low)
		s.ClipHighMean += float64(part * high)
	}
	if !math.IsInf(lowMin, 1) {
		s.ClipLowMin += lowMin
	}
	s.ClipHighMax += highMax
	if t.cfg.KLIn == "loss" && t.cfg.KLEstimator == full {
		loss, kl := fullPenalty(t.policy, t.ref, t.weighted, t.visits, t.cfg.Beta)
		s.Loss, s.KL = s.Loss+loss, s.KL+kl
	}
	entropy := entropyBonus(t.policy, t.visits, t.cfg.EntropyCoef)
	s.Entropy += entropy
	s.Loss -= float64(t.cfg.EntropyCoef * entropy)
}

// tokens is one response under the current policy.
func (t *GroupTrainer) tokens(from, to int32) *Tokens {
	b, pi := t.rollout, t.policy.Policy
	for j := from; j < to; j++ {
		t.logp[j] = pi.LogP[b.index[j]]
	}
	t.response = Tokens{LogP: t.logp[from:to], Old: b.old[from:to], Ref: b.ref[from:to], Advantage: b.advantage[from:to],
		Weight: t.weight[from:to], Loss: t.loss[from:to], Slope: t.slope[from:to]}
	return &t.response
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

// GroupStats of one step. Those of the samples are over the batch, those of the
// updates means over all updates on it.
type GroupStats struct {
	Loss         float64 // loss: what is minimised, entropy bonus included
	Reward       float64 // reward: mean score, overlong punishment included, KL not
	RewardStd    float64 // reward_std: over the batch, unbiased
	FracZeroStd  float64 // frac_reward_zero_std: share of groups whose rewards are all equal
	PassRate     float64 // dynamic_filtering_pass_rate: share of the groups drawn that were kept
	KL           float64 // kl: mean KL penalty of a token, by the estimator chosen
	SequenceKL   float64 // objective/kl: Σ_t log π_old − log π_ref per response (k1 estimate)
	Entropy      float64 // entropy: mean entropy of the rows visited, nats per token
	ClipLowMean  float64 // clip_ratio/low_mean: share of weights cut off below
	ClipLowMin   float64 // clip_ratio/low_min: the smallest such share of a response
	ClipHighMean float64 // clip_ratio/high_mean
	ClipHighMax  float64 // clip_ratio/high_max: the largest share of a response

	MeanLength, MinLength, MaxLength                   float64 // completions/mean_length, …: tokens, EOS included
	ClippedRatio                                       float64 // completions/clipped_ratio: share of responses that were cut
	MeanTerminated, MinTerminated, MaxTerminatedLength float64 // completions/mean_terminated_length, …: of the others, 0 without any
	GradNorm                                           float64 // norm of the gradient before clipping
	LearningRate                                       float64
	Episode                                            float64 // responses learned from so far
}

// All yields the metrics under TRL's names (GRPOTrainer); objective/kl and
// episode are PPOTrainer's, dynamic_filtering_pass_rate is OpenRLHF's.
func (s GroupStats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("loss", s.Loss) && yield("reward", s.Reward) && yield("reward_std", s.RewardStd) &&
			yield("frac_reward_zero_std", s.FracZeroStd) && yield("dynamic_filtering_pass_rate", s.PassRate) &&
			yield("kl", s.KL) && yield("objective/kl", s.SequenceKL) && yield("entropy", s.Entropy) &&
			yield("clip_ratio/low_mean", s.ClipLowMean) && yield("clip_ratio/low_min", s.ClipLowMin) &&
			yield("clip_ratio/high_mean", s.ClipHighMean) && yield("clip_ratio/high_max", s.ClipHighMax) &&
			yield("clip_ratio/region_mean", s.ClipLowMean+s.ClipHighMean) &&
			yield("completions/mean_length", s.MeanLength) && yield("completions/min_length", s.MinLength) &&
			yield("completions/max_length", s.MaxLength) && yield("completions/clipped_ratio", s.ClippedRatio) &&
			yield("completions/mean_terminated_length", s.MeanTerminated) && yield("completions/min_terminated_length", s.MinTerminated) &&
			yield("completions/max_terminated_length", s.MaxTerminatedLength) &&
			yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate) && yield("episode", s.Episode)
	}
}

// measure takes what the statistics say of the samples.
func (t *GroupTrainer) measure(s *GroupStats) {
	b := t.rollout
	n, groups := t.cfg.NumGenerations, 0.0
	if n == 1 {
		n = len(b.prompt) // groups of one say nothing: the batch is one
	}
	s.Reward, s.RewardStd = mean(b.total), deviation(b.total)
	for e := 0; e < len(b.prompt); e += n {
		groups++
		if deviation(b.total[e:e+n]) <= 1e-8 {
			s.FracZeroStd++
		}
	}
	s.FracZeroStd /= groups
	t.measureLengths(s)
	for j := range b.old {
		s.SequenceKL += b.old[j] - b.ref[j]
	}
	s.SequenceKL /= float64(len(b.prompt))
}

func (t *GroupTrainer) measureLengths(s *GroupStats) {
	b, ended := t.rollout, 0.0
	s.MinLength, s.MinTerminated = math.Inf(1), math.Inf(1)
	for e := range b.prompt {
		n := float64(b.start[e+1] - b.start[e])
		s.MeanLength += n / float64(len(b.prompt))
		s.MinLength, s.MaxLength = min(s.MinLength, n), max(s.MaxLength, n)
		if b.ended(e) {
			ended++
			s.MeanTerminated += n
			s.MinTerminated, s.MaxTerminatedLength = min(s.MinTerminated, n), max(s.MaxTerminatedLength, n)
		}
	}
	s.ClippedRatio = 1 - ended/float64(len(b.prompt))
	s.MeanTerminated /= max(1, ended)
	if ended == 0 {
		s.MinTerminated = 0
	}
}

// average turns the sums over updates into means.
func (s *GroupStats) average(updates int) {
	n := float64(updates)
	for _, v := range []*float64{&s.Loss, &s.KL, &s.Entropy, &s.ClipLowMean, &s.ClipLowMin, &s.ClipHighMean, &s.ClipHighMax, &s.GradNorm} {
		*v /= n
	}
}
