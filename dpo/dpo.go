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

// Batch is all that a preference loss sees: for every pair of a minibatch the
// log-probabilities of its two responses, and room for what the loss returns.
type Batch struct {
	Chosen, Rejected       []float64 // log π_θ(y_w|x), log π_θ(y_l|x)
	RefChosen, RefRejected []float64 // the same under π_ref
	Loss                   []float64 // ℓ of each pair; L is their mean
	DChosen, DRejected     []float64 // ∂ℓ/∂Chosen, ∂ℓ/∂Rejected
}

// LogRatios is log π_θ/π_ref of the chosen and the rejected response of pair i;
// h is their difference.
func (b *Batch) LogRatios(i int) (chosen, rejected float64) {
	return b.Chosen[i] - b.RefChosen[i], b.Rejected[i] - b.RefRejected[i]
}

// Loss is a preference loss, a pure function: Of reads the log-probabilities of
// a batch and fills Loss, DChosen and DRejected.
type Loss struct {
	Name string
	Of   func(b *Batch, c Config)
}

// Losses is the table of loss types.
var Losses = []Loss{
	{"sigmoid", ofMargin(func(h float64, c Config) (float64, float64) { return Sigmoid(h, c.Beta, c.LabelSmoothing) })},
}

// ofMargin makes a Loss of a function of h alone: ∂ℓ/∂log π(y_w) = ℓ′(h) and
// ∂ℓ/∂log π(y_l) = −ℓ′(h).
func ofMargin(f func(h float64, c Config) (loss, slope float64)) func(*Batch, Config) {
	return func(b *Batch, c Config) {
		for i := range b.Chosen {
			chosen, rejected := b.LogRatios(i)
			loss, slope := f(chosen-rejected, c)
			b.Loss[i], b.DChosen[i], b.DRejected[i] = loss, slope, -slope
		}
	}
}

// Sigmoid is the loss of DPO (equation 7), with the label smoothing of
// conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences";
// current TRL has no smoothing under this name):
//
//	ℓ(h)  = −(1−ε) log σ(βh) − ε log σ(−βh) = −log σ(βh) + εβh
//	ℓ′(h) = −β [(1−ε) σ(−βh) − ε σ(βh)]     = −β [σ(−βh) − ε]
//
// The right-hand forms, from log σ(−z) = log σ(z) − z and σ(z) = 1 − σ(−z), halve
// the exponentials and are what is computed.
func Sigmoid(h, beta, epsilon float64) (loss, slope float64) {
	z := float64(beta * h)
	return float64(epsilon*z) - num.LogSigmoid(z), float64(-beta * (num.Sigmoid(-z) - epsilon))
}

// Stats is what one step measured on its batch, before its update; means over
// the batch's pairs.
type Stats struct {
	Loss            float64
	RewardsChosen   float64 // β log π/π_ref of the chosen responses
	RewardsRejected float64
	Accuracy        float64 // share of pairs with the chosen implicit reward above the rejected, a tie is none
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
	batch   Batch
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
	t := &Trainer{cfg: cfg, trainer: policy.NewTrainer(pi, cfg.MaxGradNorm), pairs: make([]pair, len(pairs)),
		batches: policy.NewBatches(len(pairs), cfg.BatchSize), entropy: make([]float64, pi.Rows())}
	t.loss = Losses[slices.IndexFunc(Losses, func(l Loss) bool { return l.Name == cfg.LossType })]
	// All paths side by side, so that a batch stays in the cache.
	flat, rows := make([]int32, 0, 2*pi.MaxLength*len(pairs)), make([]int32, 0, 2*pi.MaxLength*len(pairs))
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
	n := min(cfg.BatchSize, len(pairs))
	for _, column := range t.batch.columns() {
		*column = make([]float64, n)
	}
	return t
}

func (b *Batch) columns() [7]*[]float64 {
	return [...]*[]float64{&b.Chosen, &b.Rejected, &b.RefChosen, &b.RefRejected, &b.Loss, &b.DChosen, &b.DRejected}
}

// Steps is the number of steps of the whole training.
func (t *Trainer) Steps() int { return t.cfg.NumTrainEpochs * t.batches.PerEpoch() }

// Step takes one gradient step on a minibatch of pairs.
func (t *Trainer) Step(r *rng.Stream) Stats {
	pairs := t.batches.Next(r)
	t.gather(pairs)            // log π_θ and log π_ref of every response
	t.loss.Of(&t.batch, t.cfg) // ℓ, ∂ℓ/∂log π_θ(y|x)
	s := t.measure(pairs)
	t.scatter(pairs) // ∂L/∂log π_θ(y_t|x, y_<t)
	s.LearningRate = t.learningRate()
	s.GradNorm = t.trainer.Update(s.LearningRate)
	t.step++
	return s
}

// gather looks up the log-probabilities of the pairs: log π(y|x) is the sum over
// the decisions of y.
func (t *Trainer) gather(pairs []int) {
	b, pi := &t.batch, t.trainer.Policy
	for _, column := range b.columns() {
		*column = (*column)[:len(pairs)] // an epoch's last batch may be smaller
	}
	for k, i := range pairs {
		p := &t.pairs[i]
		b.Chosen[k], b.Rejected[k] = pi.SumLogP(p.chosen), pi.SumLogP(p.rejected)
		b.RefChosen[k], b.RefRejected[k] = p.refChosen, p.refRejected
	}
}

// scatter adds the gradient of the mean loss to G: each decision of a response
// has the derivative of the response's log-probability.
func (t *Trainer) scatter(pairs []int) {
	g, scale := t.trainer.G, 1/float64(len(pairs))
	for k, i := range pairs {
		p := &t.pairs[i]
		dChosen, dRejected := float64(t.batch.DChosen[k]*scale), float64(t.batch.DRejected[k]*scale)
		for _, at := range p.chosen {
			g[at] += dChosen
		}
		for _, at := range p.rejected {
			g[at] += dRejected
		}
	}
}

// measure takes the means over the batch that Stats names. The entropies of all
// rows cost a small share of the step's softmax, so they need no shortcut.
func (t *Trainer) measure(pairs []int) (s Stats) {
	b, scale, tokens := &t.batch, 1/float64(len(pairs)), 0
	t.trainer.Policy.RowEntropies(t.entropy)
	for k, i := range pairs {
		chosen, rejected := b.LogRatios(k)
		rewardChosen, rewardRejected := float64(t.cfg.Beta*chosen), float64(t.cfg.Beta*rejected)
		if rewardChosen > rewardRejected {
			s.Accuracy++
		}
		s.Loss += b.Loss[k]
		s.RewardsChosen += rewardChosen
		s.RewardsRejected += rewardRejected
		s.LogpsChosen += b.Chosen[k]
		s.LogpsRejected += b.Rejected[k]
		rows, own := t.pairs[i].rows, 0.0
		for _, row := range rows { // a sum of its own, so that the additions of several pairs overlap
			own += t.entropy[row]
		}
		s.Entropy += own
		tokens += len(rows)
	}
	for _, sum := range []*float64{&s.Loss, &s.RewardsChosen, &s.RewardsRejected, &s.LogpsChosen, &s.LogpsRejected, &s.Accuracy} {
		*sum = float64(*sum * scale)
	}
	s.Margin = s.RewardsChosen - s.RewardsRejected
	s.Entropy /= float64(tokens)
	return s
}

// learningRate of this step: constant, or falling linearly to 0 after the last
// step, as transformers' scheduler without warm-up.
func (t *Trainer) learningRate() float64 {
	if t.cfg.LRSchedulerType == "constant" {
		return t.cfg.LearningRate
	}
	return t.cfg.LearningRate * max(0, 1-float64(t.step)/float64(max(1, t.Steps())))
}
