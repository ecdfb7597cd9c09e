package sim

import (
	"math"
	"slices"

	"rlhfsim/dpo"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
	"rlhfsim/ppo"
)

const (
	// gradientRollouts is how many rollout batches a diagnosis of PPO averages.
	gradientRollouts = 32
	// maxPopulation is the largest number of responses whose pairs are enumerated.
	maxPopulation = 1000
)

// diagnosePPO compares the gradient that PPO estimates at its next step with the
// exact one, both with respect to the logits:
//
//	exact/gradient_norm         ‖∇J‖
//	exact/gradient_cosine       mean over rollouts of cos(ĝ, ∇J)
//	exact/gradient_bias         ‖mean ĝ − ∇J‖/‖∇J‖
//	mc/gradient_cosine_se       standard error of the cosine
//	mc/gradient_bias_unbiased   the bias that noise alone would show: √(Σ Var ĝ/rollouts)/‖∇J‖
//
// J is E[r] − β KL with the coefficient of the step; a penalty for a missing EOS
// is part of r. A score that is clipped or scaled, or that being cut replaces or
// multiplies, makes it another J, which is not compared.
func (s *Shared) diagnosePPO(t *ppo.Trainer, pi *policy.Softmax, c ppo.Config) func(*rng.Stream) []Metric {
	if c.CliprangeReward > 0 || c.TruncatedReward != "subtract" || c.ScaleReward != "none" {
		return nil
	}
	worth := make([]float64, s.World.Shape.MaxLength+1)
	worth[s.World.Shape.MaxLength] = -c.MissingEOSPenalty
	return s.diagnoseEstimate(t.EstimateGradient, t.KLCoef, worth, pi, false)
}

// diagnoseGroup is the same for the methods of ppo.GroupTrainer. Their losses
// divide by deviations and lengths, so their gradients have units of their own:
// the bias is what remains under the best common factor.
func (s *Shared) diagnoseGroup(t *ppo.GroupTrainer, pi *policy.Softmax, c ppo.GroupConfig) func(*rng.Stream) []Metric {
	if c.CliprangeReward > 0 { // no sum over words any more
		return nil
	}
	worth := make([]float64, s.World.Shape.MaxLength+1)
	for n := range worth {
		worth[n] = c.LengthReward(n, s.World.Shape.MaxLength)
	}
	return s.diagnoseEstimate(t.EstimateGradient, func() float64 { return c.Beta }, worth, pi, true)
}

// diagnoseEstimate compares an estimate with ∇J of the learned reward plus the
// worth of a response's length, at the current β.
func (s *Shared) diagnoseEstimate(estimateTo func([]float64, *rng.Stream), beta func() float64, worth []float64, pi *policy.Softmax, rescale bool) func(*rng.Stream) []Metric {
	o := s.proxy.objective(&s.SFT.Chain, 0)
	if slices.ContainsFunc(worth, func(w float64) bool { return w != 0 }) {
		o.Counts = o.Counts.And(policy.NewCountReward(s.World.Shape, policy.Counts{{Kind: policy.CountLength, Worth: worth}}))
	}
	g, n := s.evaluator.NewGradient(), len(pi.LogP)
	truth, rollout, mean, square := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	return func(r *rng.Stream) []Metric {
		o.Beta = beta()
		s.evaluator.Gradient(g, &pi.Chain, o)
		g.LogProbs(truth, &pi.Chain, o)
		pi.LogitGradient(truth)
		norm := math.Sqrt(num.Dot(truth, truth))
		if norm == 0 {
			return []Metric{{"exact/gradient_norm", 0}}
		}
		clear(mean)
		clear(square)
		var cosine estimate
		for range gradientRollouts {
			if s.evaluator.Stopped() {
				return nil
			}
			estimateTo(rollout, r)
			if own := math.Sqrt(num.Dot(rollout, rollout)); own > 0 {
				cosine.add(num.Dot(rollout, truth) / (own * norm))
			}
			for i, v := range rollout {
				mean[i] += v / gradientRollouts
				square[i] += float64(v*v) / gradientRollouts
			}
		}
		factor := 1.0
		if length := num.Dot(mean, mean); rescale && length > 0 {
			factor = num.Dot(mean, truth) / length
		}
		bias, noise := 0.0, 0.0
		for i, m := range mean {
			d := float64(factor*m) - truth[i]
			bias += float64(d * d)
			noise += max(0, square[i]-float64(m*m)) / (gradientRollouts - 1)
		}
		return []Metric{{"exact/gradient_norm", norm}, {"exact/gradient_cosine", cosine.mean()}, {"exact/gradient_bias", math.Sqrt(bias) / norm},
			{"mc/gradient_cosine_se", cosine.se()}, {"mc/gradient_bias_unbiased", math.Abs(factor) * math.Sqrt(noise) / norm}}
	}
}

// diagnoseDPO compares what DPO sees, the gradient over all its pairs, with that
// of the population: endless pairs from the same writer and the same raters. It
// needs every pair of responses, so it is there in small worlds only, and for
// raters who know no ties.
//
//	exact/population_loss       the sigmoid loss in expectation
//	exact/gradient_norm         ‖∇L‖ of the population
//	exact/gradient_cosine       between the data's gradient and ∇L
//	exact/gradient_bias         ‖data's − ∇L‖/‖∇L‖
func (s *Shared) diagnoseDPO(pi *policy.Softmax, c dpo.Config, pairs []policy.Pair) func(*rng.Stream) []Metric {
	rater := Rater{World: s.World, Temperature: s.Config.Labels.RaterTemperature, LabelNoise: s.Config.Labels.LabelNoise}
	p, err := dpo.NewPopulation(dpo.Population{Ref: &s.SFT.Chain, Writer: s.writer, Weights: s.World.Weights,
		Prefers: func(x policy.Prompt, a, b policy.Response) float64 {
			return rater.Prefers(s.World.Value(x, a), s.World.Value(x, b))
		}}, maxPopulation)
	if err != nil || len(pairs) == 0 || s.Config.Labels.TieNu > 1 {
		return nil
	}
	truth, data := make([]float64, len(pi.LogP)), make([]float64, len(pi.LogP))
	return func(*rng.Stream) []Metric {
		loss := p.Loss(truth, &pi.Chain, c.Beta, c.LabelSmoothing)
		dpo.DataGradient(data, &pi.Chain, &s.SFT.Chain, pairs, c.Beta, c.LabelSmoothing)
		pi.LogitGradient(truth)
		pi.LogitGradient(data)
		norm, own, dot := math.Sqrt(num.Dot(truth, truth)), math.Sqrt(num.Dot(data, data)), num.Dot(truth, data)
		out := []Metric{{"exact/population_loss", loss}, {"exact/gradient_norm", norm}}
		if norm == 0 || own == 0 {
			return out
		}
		for i, v := range data {
			data[i] = v - truth[i]
		}
		return append(out, Metric{"exact/gradient_cosine", dot / (norm * own)}, Metric{"exact/gradient_bias", math.Sqrt(num.Dot(data, data)) / norm})
	}
}
