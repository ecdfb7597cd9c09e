package ppo

import "rlhfsim/internal/rng"

// GroupObjective is the loss that a GroupConfig composes: a surrogate of the
// importance weights, an aggregation, and the KL where it stands in the loss,
//
//	L = Σ_i a_i Σ_t ℓ(w_t, Â_t) + β Σ_i b_i Σ_t k(t),   b = a unless kl_aggregation says otherwise
type GroupObjective struct {
	Config   GroupConfig
	Loss     GroupLoss
	KL       KLEstimator
	KLInLoss bool        // by an estimator; "full" needs whole rows and is the trainer's
	KLMean   Aggregation // of the KL's tokens

	marking marking
}

// NewGroupObjective composes the loss of a valid configuration.
func NewGroupObjective(c GroupConfig) *GroupObjective {
	loss, known := groupLoss(c.LossType)
	if !known {
		panic("ppo: no loss " + c.LossType)
	}
	loss.Aggregation = loss.aggregation(c.LossAggMode)
	if loss.TokenWeights {
		c.ImportanceSamplingLevel = "token"
	}
	o := &GroupObjective{Config: c, Loss: loss}
	k, estimated := estimator(c.KLEstimator, c.KLClamp)
	o.KL, o.KLInLoss = k, estimated && inLoss(c.KLIn) && c.Beta != 0
	o.KLMean = loss.Aggregation
	if c.KLAggregation == "token_mean" {
		o.KLMean = tokenMean
	}
	return o
}

// Prepare weighs the responses of a batch and picks the tokens that the loss treats
// apart, if it does, at random where its rule is.
func (o *GroupObjective) Prepare(batch []*Tokens, r *rng.Stream) {
	tokens := 0
	for _, y := range batch {
		y.Weigh(o.Config.ImportanceSamplingLevel)
		tokens += len(y.LogP)
	}
	if o.Loss.Mark != nil && tokens > 0 {
		o.Loss.Mark(batch, &o.marking, &o.Config, r)
	}
}

// Of fills the loss of every token of a prepared response and its slopes. It returns
// what each of them weighs in L, and Σ_t k(t), 0 where the KL is not in the loss.
func (o *GroupObjective) Of(y *Tokens, size Size) (each, kl float64) {
	o.Loss.Surrogate(y, &o.Config)
	each = o.Loss.Aggregation(len(y.LogP), size)
	if o.KLInLoss {
		share := o.KLMean(len(y.LogP), size) / each // 1 where it is the loss's own
		kl = y.AddKL(o.KL, float64(o.Config.Beta*share), o.Config.UseBiasCorrectionKL)
	}
	return each, kl
}
