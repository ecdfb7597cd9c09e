package policy

import (
	"iter"
	"slices"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
)

// FitConfig is maximum-likelihood training by minibatch Adam; pre-training on
// raw text and supervised fine-tuning differ in their data only.
type FitConfig struct {
	LearningRate   float64 `toml:"learning_rate"`
	NumTrainEpochs int     `toml:"num_train_epochs"`
	BatchSize      int     `toml:"batch_size"`
	MaxGradNorm    float64 `toml:"max_grad_norm"`
}

// DefaultFit suits a few thousand short lines.
func DefaultFit() FitConfig {
	return FitConfig{LearningRate: 0.05, NumTrainEpochs: 3, BatchSize: 64, MaxGradNorm: 1}
}

// Validate reports every field that cannot stand.
func (c FitConfig) Validate() error {
	var k field.Checker
	k.Positive("learning_rate", c.LearningRate)
	k.Count("num_train_epochs", c.NumTrainEpochs, 0, 1_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// Steps is the number of optimiser steps on n demonstrations.
func (c FitConfig) Steps(n int) int {
	b := NewBatches(n, c.BatchSize)
	return c.NumTrainEpochs * b.PerEpoch()
}

// FitStats is what one step measured, before its update.
type FitStats struct {
	Loss              float64 // −(1/n) Σ log π(token), nats per token of the batch, EOS included
	Entropy           float64 // mean entropy of the rows visited, nats per token
	MeanTokenAccuracy float64 // share of tokens that are their row's most probable outcome
	GradNorm          float64 // norm of the gradient before clipping
	LearningRate      float64
}

// All yields the metrics under TRL's names (SFTTrainer).
func (s FitStats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("loss", s.Loss) && yield("entropy", s.Entropy) &&
			yield("mean_token_accuracy", s.MeanTokenAccuracy) && yield("grad_norm", s.GradNorm) &&
			yield("learning_rate", s.LearningRate)
	}
}

// Fit trains a policy on demonstrations by maximum likelihood:
//
//	L(θ) = −(1/n) Σ_{(x,y)∈batch} Σ_t log π_θ(y_t|x,y_<t),  n = tokens in the batch
//
// (Ouyang et al. 2022, section 3.5, "Supervised fine-tuning").
type Fit struct {
	cfg     FitConfig
	trainer *Trainer
	paths   [][]int32 // one a demonstration
	batches Batches
	entropy []float64 // of every row of the table, before the step
}

// NewFit prepares the training of p on the demonstrations.
func NewFit(cfg FitConfig, p *Softmax, data []Demonstration) *Fit {
	f := &Fit{cfg: cfg, trainer: NewTrainer(p, cfg.MaxGradNorm), batches: NewBatches(len(data), cfg.BatchSize), entropy: make([]float64, p.Rows())}
	for _, d := range data {
		f.paths = append(f.paths, p.Path(nil, d.Prompt, d.Response))
	}
	return f
}

// Steps is the number of optimiser steps of the whole training.
func (f *Fit) Steps() int { return f.cfg.NumTrainEpochs * f.batches.PerEpoch() }

// Step takes one minibatch gradient step.
func (f *Fit) Step(r *rng.Stream) FitStats {
	batch := f.batches.Next(r)
	p, g := f.trainer.Policy, f.trainer.G
	s := FitStats{LearningRate: f.cfg.LearningRate}
	p.RowEntropies(f.entropy)
	tokens := 0
	for _, d := range batch {
		tokens += len(f.paths[d])
	}
	scale := 1 / float64(tokens)
	for _, d := range batch {
		for _, i := range f.paths[d] {
			s.Loss -= float64(p.LogP[i] * scale)
			g[i] -= scale // ∂L/∂log π(y_t)
			row := int(i) / p.Outcomes()
			s.Entropy += float64(f.entropy[row] * scale)
			if p.LogP[i] == slices.Max(p.LogP[row*p.Outcomes():(row+1)*p.Outcomes()]) {
				s.MeanTokenAccuracy += scale
			}
		}
	}
	s.GradNorm = f.trainer.Update(s.LearningRate)
	return s
}

// RowEntropies fills dst with the entropy of each row of a stationary chain,
// −Σ_w π(w|row) log π(w|row) in nats.
func (c *Chain) RowEntropies(dst []float64) {
	n := c.Outcomes()
	for row := range dst {
		dst[row] = -num.Dot(c.P[row*n:(row+1)*n], c.LogP[row*n:(row+1)*n])
	}
}

// Batches deals the indices 0..n−1 in minibatches, reshuffled every epoch. The
// last batch of an epoch may be smaller.
type Batches struct {
	order []int
	size  int
	at    int
}

// NewBatches deals n items in batches of the given size.
func NewBatches(n, size int) Batches {
	b := Batches{order: make([]int, n), size: min(size, max(n, 1)), at: n}
	for i := range b.order {
		b.order[i] = i
	}
	return b
}

// PerEpoch is the number of batches in one pass over the data.
func (b *Batches) PerEpoch() int { return (len(b.order) + b.size - 1) / b.size }

// Next is the next batch, valid until the call after it.
func (b *Batches) Next(r *rng.Stream) []int {
	if b.at >= len(b.order) {
		b.at = 0
		r.Shuffle(b.order)
	}
	end := min(b.at+b.size, len(b.order))
	batch := b.order[b.at:end]
	b.at = end
	return batch
}
