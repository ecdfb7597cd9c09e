package ppo

import (
	"iter"
	"math"
)

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
	EntropyCoef  float64 // entropy_coef: of the bonus, before the step
	ClipLowMean  float64 // clip_ratio/low_mean: share of weights cut off below
	ClipLowMin   float64 // clip_ratio/low_min: the smallest such share of a response
	ClipHighMean float64 // clip_ratio/high_mean
	ClipHighMax  float64 // clip_ratio/high_max: the largest share of a response
	Phi          float64 // vespo/phi_seq_mean: mean over responses of φ(w), what multiplies the advantage
	LeftOut      float64 // actor/pg_clipfrac (verl's): share of the tokens that Clip-Cov left out

	MeanLength, MinLength, MaxLength                   float64 // completions/mean_length, …: tokens, EOS included
	ClippedRatio                                       float64 // completions/clipped_ratio: share of responses that were cut
	MeanTerminated, MinTerminated, MaxTerminatedLength float64 // completions/mean_terminated_length, …: of the others, 0 without any
	GradNorm                                           float64 // norm of the gradient before clipping
	LearningRate                                       float64
	Episode                                            float64 // responses learned from so far

	own lossMetric // of the loss
}

// All yields the metrics under TRL's names (GRPOTrainer); objective/kl and
// episode are PPOTrainer's, dynamic_filtering_pass_rate is OpenRLHF's.
func (s GroupStats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("loss", s.Loss) && yield("reward", s.Reward) && yield("reward_std", s.RewardStd) &&
			yield("frac_reward_zero_std", s.FracZeroStd) && yield("dynamic_filtering_pass_rate", s.PassRate) &&
			yield("kl", s.KL) && yield("objective/kl", s.SequenceKL) && yield("entropy", s.Entropy) && yield("entropy_coef", s.EntropyCoef) &&
			yield("clip_ratio/low_mean", s.ClipLowMean) && yield("clip_ratio/low_min", s.ClipLowMin) &&
			yield("clip_ratio/high_mean", s.ClipHighMean) && yield("clip_ratio/high_max", s.ClipHighMax) &&
			yield("clip_ratio/region_mean", s.ClipLowMean+s.ClipHighMean) &&
			yield("completions/mean_length", s.MeanLength) && yield("completions/min_length", s.MinLength) &&
			yield("completions/max_length", s.MaxLength) && yield("completions/clipped_ratio", s.ClippedRatio) &&
			yield("completions/mean_terminated_length", s.MeanTerminated) && yield("completions/min_terminated_length", s.MinTerminated) &&
			yield("completions/max_terminated_length", s.MaxTerminatedLength) &&
			yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate) && yield("episode", s.Episode) &&
			(s.own.Name == "" || yield(s.own.Name, s.own.Of(&s)))
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

// clipShares gathers which share of the weights was cut off on either side.
type clipShares struct{ lowMean, lowMin, highMean, highMax float64 }

// add takes in a response that counts for part of the mean.
func (c *clipShares) add(y *Tokens, part float64) {
	n := float64(len(y.LogP))
	low, high := float64(y.Low)/n, float64(y.High)/n
	c.lowMin, c.highMax = min(c.lowMin, low), max(c.highMax, high)
	c.lowMean += float64(part * low)
	c.highMean += float64(part * high)
}

// report adds the shares to the statistics; of no response at all they are 0.
func (c clipShares) report(s *GroupStats) {
	if math.IsInf(c.lowMin, 1) {
		c.lowMin = 0
	}
	s.ClipLowMean += c.lowMean
	s.ClipLowMin += c.lowMin
	s.ClipHighMean += c.highMean
	s.ClipHighMax += c.highMax
}

// average turns the sums over updates into means.
func (s *GroupStats) average(updates int) {
	n := float64(updates)
	for _, v := range []*float64{&s.Loss, &s.KL, &s.Entropy, &s.ClipLowMean, &s.ClipLowMin, &s.ClipHighMean, &s.ClipHighMax, &s.Phi, &s.LeftOut, &s.GradNorm} {
		*v /= n
	}
}
