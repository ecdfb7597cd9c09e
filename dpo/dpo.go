// Package dpo aligns a policy from preferences alone, by Direct Preference
// Optimization (Rafailov et al. 2023, arXiv 2305.18290, equation 7):
//
//	L(θ) = −E_{(x, y_w ≻ y_l)} [ log σ( β h ) ]
//	h    = log π_θ(y_w|x)/π_ref(y_w|x) − log π_θ(y_l|x)/π_ref(y_l|x)
//
//	x, y_w, y_l   prompt, chosen and rejected response
//	π_θ, π_ref    the policy, and the SFT policy it started from
//	β             strength of the KL penalty of the objective it solves
//	β log π/π_ref the implicit reward
//	ε             label smoothing: the assumed probability of a reversed label
package dpo

import (
	"iter"
	"slices"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Config is the training, named as in TRL's DPOConfig.
type Config struct {
	Beta            float64 `toml:"beta"`            // β
	LossType        string  `toml:"loss_type"`       // a key of Losses
	LabelSmoothing  float64 `toml:"label_smoothing"` // ε, 0 to below 0.5
	LearningRate    float64 `toml:"learning_rate"`
	LRSchedulerType string  `toml:"lr_scheduler_type"` // "constant", or "linear" to 0
	NumTrainEpochs  int     `toml:"num_train_epochs"`
	BatchSize       int     `toml:"batch_size"`    // pairs a step
	MaxGradNorm     float64 `toml:"max_grad_norm"` // 0 = no clipping
}

// Default is TRL's where it makes sense for a table.
func Default() Config {
	return Config{Beta: 0.1, LossType: "sigmoid", LearningRate: 0.01, LRSchedulerType: "linear", NumTrainEpochs: 3, BatchSize: 64, MaxGradNorm: 1}
}

var schedulers = []string{"constant", "linear"}

// Validate reports every field that cannot stand.
func (c Config) Validate() error {
	var k field.Checker
	k.Positive("beta", c.Beta)
	var names []string
	for _, l := range Losses {
		names = append(names, l.Name)
	}
	field.OneOf(&k, "loss_type", c.LossType, names)
	k.Require(c.LabelSmoothing >= 0 && c.LabelSmoothing < 0.5, "label_smoothing", c.LabelSmoothing, "at least 0 and below 0.5")
	k.Positive("learning_rate", c.LearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.Count("num_train_epochs", c.NumTrainEpochs, 0, 1_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// Loss is a preference loss: a function of h for one pair.
type Loss struct {
	Name string
	// Of returns the loss and its derivative with respect to h.
	Of func(h float64, c Config) (loss, slope float64)
}

// Losses is the table of loss types.
var Losses = []Loss{
	{"sigmoid", func(h float64, c Config) (float64, float64) { return Sigmoid(h, c.Beta, c.LabelSmoothing) }},
}

// Sigmoid is the loss of DPO, with the label smoothing of conservative DPO
// (Mitchell 2023, eq. 3):
//
//	ℓ(h)  = −(1−ε) log σ(βh) − ε log σ(−βh)
//	ℓ′(h) = −β [(1−ε) σ(−βh) − ε σ(βh)]
func Sigmoid(h, beta, epsilon float64) (loss, slope float64) {
	z := beta * h
	loss = -float64((1-epsilon)*num.LogSigmoid(z)) - float64(epsilon*num.LogSigmoid(-z))
	slope = -beta * (float64((1-epsilon)*num.Sigmoid(-z)) - float64(epsilon*num.Sigmoid(z)))
	return loss, slope
}

// Stats is what one step measured on its batch, before its update; means over
// the batch's pairs.
type Stats struct {
	Loss            float64
	RewardsChosen   float64 // β log π/π_ref of the chosen responses
	RewardsRejected float64
	Accuracy        float64 // share of pairs with the chosen implicit reward above the rejected
	Margin          float64 // RewardsChosen − RewardsRejected
	LogpsChosen     float64 // log π(y_w|x), nats per response
	LogpsRejected   float64
	Entropy         float64 // mean entropy of the rows visited, nats per token
	GradNorm        float64 // before clipping
	LearningRate    float64
}

// All yields the metrics under TRL's names (DPOTrainer).
func (s Stats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("loss", s.Loss) && yield("rewards/chosen", s.RewardsChosen) && yield("rewards/rejected", s.RewardsRejected) &&
			yield("rewards/accuracies", s.Accuracy) && yield("rewards/margins", s.Margin) &&
			yield("logps/chosen", s.LogpsChosen) && yield("logps/rejected", s.LogpsRejected) &&
			yield("entropy", s.Entropy) &&
			yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate)
	}
}

// Trainer runs DPO on a fixed set of pairs.
type Trainer struct {
	cfg     Config
	loss    Loss
	trainer *policy.Trainer
	pairs   []pair
	batches policy.Batches
	step    int
	entropy []float64 // of every row of the table, before the step
}

// pair is a policy.Pair as paths through the table, with the reference's
// log-probabilities, which never change.
type pair struct {
	chosen, rejected       []int32
	rows                   []int32 // the rows that both visit
	refChosen, refRejected float64
}

// New prepares the alignment of pi, which starts as a copy of ref, on the pairs.
func New(cfg Config, pi, ref *policy.Softmax, pairs []policy.Pair) *Trainer {
	t := &Trainer{cfg: cfg, trainer: policy.NewTrainer(pi, cfg.MaxGradNorm), batches: policy.NewBatches(len(pairs), cfg.BatchSize), pairs: make([]pair, len(pairs)), entropy: make([]float64, pi.Rows())}
	t.loss = Losses[slices.IndexFunc(Losses, func(l Loss) bool { return l.Name == cfg.LossType })]
	var flat, rows []int32 // all paths side by side, so that a batch stays in the cache
	for i, p := range pairs {
		at := len(flat)
		flat = pi.Path(flat, p.Prompt, p.Chosen)
		mid := len(flat)
		flat = pi.Path(flat, p.Prompt, p.Rejected)
		for _, k := range flat[at:] {
			rows = append(rows, k/int32(pi.Outcomes()))
		}
		t.pairs[i] = pair{chosen: flat[at:mid:mid], rejected: flat[mid:len(flat):len(flat)], rows: rows[at:len(rows):len(rows)],
			refChosen: ref.LogProb(p.Prompt, p.Chosen), refRejected: ref.LogProb(p.Prompt, p.Rejected)}
	}
	return t
}

// Steps is the number of steps of the whole training.
func (t *Trainer) Steps() int { return t.cfg.NumTrainEpochs * t.batches.PerEpoch() }

// Step takes one gradient step on a minibatch of pairs.
func (t *Trainer) Step(r *rng.Stream) Stats {
	s := Stats{LearningRate: t.learningRate()}
	batch := t.batches.Next(r)
	pi, g := t.trainer.Policy, t.trainer.G
	scale, tokens := 1/float64(len(batch)), 0
	pi.RowEntropies(t.entropy)
	for _, i := range batch {
		p := &t.pairs[i]
		chosen, rejected := pi.SumLogP(p.chosen), pi.SumLogP(p.rejected)
		h := (chosen - p.refChosen) - (rejected - p.refRejected)
		loss, slope := t.loss.Of(h, t.cfg)
		// ∂L/∂log π(y_w) = ℓ′(h)/n on every decision of y_w, −ℓ′(h)/n on y_l's.
		scatter(g, p.chosen, slope*scale)
		scatter(g, p.rejected, -slope*scale)
		s.add(loss, chosen, rejected, p, t.cfg.Beta)
		tokens += len(p.rows)
		for _, row := range p.rows {
			s.Entropy += t.entropy[row]
		}
	}
	s.Entropy /= float64(tokens)
	s.divide(scale)
	s.GradNorm = t.trainer.Update(s.LearningRate)
	t.step++
	return s
}

func scatter(g []float64, path []int32, v float64) {
	for _, i := range path {
		g[i] += v
	}
}

func (s *Stats) add(loss, chosen, rejected float64, p *pair, beta float64) {
	rewardChosen, rewardRejected := beta*(chosen-p.refChosen), beta*(rejected-p.refRejected)
	s.Loss += loss
	s.RewardsChosen += rewardChosen
	s.RewardsRejected += rewardRejected
	s.LogpsChosen += chosen
	s.LogpsRejected += rejected
	if rewardChosen > rewardRejected {
		s.Accuracy++
	}
}

func (s *Stats) divide(scale float64) {
	for _, v := range []*float64{&s.Loss, &s.RewardsChosen, &s.RewardsRejected, &s.LogpsChosen, &s.LogpsRejected, &s.Accuracy} {
		*v *= scale
	}
	s.Margin = s.RewardsChosen - s.RewardsRejected
}

// learningRate of this step: constant, or falling linearly to 0 after the last
// step, as transformers' scheduler without warm-up.
func (t *Trainer) learningRate() float64 {
	if t.cfg.LRSchedulerType == "constant" {
		return t.cfg.LearningRate
	}
	return t.cfg.LearningRate * max(0, 1-float64(t.step)/float64(max(1, t.Steps())))
}
