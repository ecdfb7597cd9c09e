package dpo

import (
	"slices"
	"strings"

	"rlhfsim/internal/card"
	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
)

// Loss is a preference loss, a pure function: Of reads the log-probabilities of
// a batch and fills Loss, DChosen and DRejected. What is nil or empty is not so.
type Loss struct {
	Name string
	card.Card
	Uses   []string // the optional fields that it reads
	Needs  Need
	Preset func(c *Config)              // what it sets where it is a method of its own
	Check  func(c *Config) *field.Error // what it asks of the configuration
	Ties   func(c *Config) string       // why it cannot use ties, "" when it can; nil: it has no place for them
	Of     func(b *Batch, c *Config)
	Reward func(b *Batch, i int) (chosen, rejected float64) // the implicit rewards of pair i before their β; nil = LogRatios
	NoBeta bool                                             // β is in the rewards that are logged and not in the loss
}

// uses says whether the optional field matters to the loss.
func (l Loss) uses(name string) bool { return slices.Contains(l.Uses, name) }

// Need is what a loss must be told besides log-probabilities.
type Need int

const (
	NeedKL       Need = 1 << iota // Batch.KL, the reference point of KTO
	NeedDelta                     // Batch.Delta, the running mean of the rewards
	NeedScores                    // Batch.ScoreDifference, rewards of the responses
	NeedRankings                  // Batch.Lists, whole rankings
)

// Find is the loss of that name.
func Find(name string) (Loss, bool) {
	i := slices.IndexFunc(Losses, func(l Loss) bool { return l.Name == name })
	if i < 0 {
		return Loss{}, false
	}
	return Losses[i], true
}

// Mixture is a weighted sum of losses, ℓ = Σ_k w_k ℓ_k (RPO: "sigmoid+sft"; MPO,
// Wang et al. 2024, arXiv 2411.10442: "sigmoid+bco_pair+sft" at 0.8, 0.2, 1). One
// loss of weight 1 is itself.
type Mixture struct {
	Parts   []Loss
	Weights []float64
	sum     *Batch // of the parts' losses and derivatives so far
	// As TRL since 0.29: no label smoothing in sigmoid and sigmoid_norm, also where
	// another part of the mixture has it.
	sharpSigmoid bool
}

// NewMixture is the loss that a valid Config names, for batches of up to n pairs.
func NewMixture(c Config, n int) *Mixture {
	m := &Mixture{Weights: c.LossWeights}
	for _, name := range strings.Split(c.LossType, "+") {
		if l, known := Find(name); known {
			m.Parts = append(m.Parts, l)
		}
	}
	for len(m.Weights) < len(m.Parts) {
		m.Weights = append(m.Weights, 1)
	}
	if !m.simple() {
		m.sum = NewBatch(n)
	}
	return m
}

func (m *Mixture) simple() bool { return len(m.Parts) == 1 && m.Weights[0] == 1 }

// Needs is all that the parts need.
func (m *Mixture) Needs(c *Config) (n Need) {
	for _, l := range m.Parts {
		if l.uses("running_delta") && !c.RunningDelta {
			continue // the shift is all that bco_pair may need
		}
		n |= l.Needs
	}
	return n
}

// Of fills the batch's Loss, DChosen and DRejected. WPO's weights multiply the
// parts that use them.
func (m *Mixture) Of(b *Batch, c *Config) {
	if m.simple() {
		m.part(0, b, c)
		return
	}
	m.sum.separate = b.separate
	m.sum.resize(len(b.Loss))
	m.sum.clear()
	for k, weight := range m.Weights {
		m.part(k, b, c)
		num.Axpy(m.sum.Loss, weight, b.Loss)
		num.Axpy(m.sum.DChosen, weight, b.DChosen)
		num.Axpy(m.sum.DRejected, weight, b.DRejected)
		if b.separate {
			num.Axpy(m.sum.DLikelihood, weight, b.DLikelihood)
		}
	}
	copy(b.Loss, m.sum.Loss)
	copy(b.DChosen, m.sum.DChosen)
	copy(b.DRejected, m.sum.DRejected)
	if b.separate {
		copy(b.DLikelihood, m.sum.DLikelihood)
	}
}

func (m *Mixture) part(k int, b *Batch, c *Config) {
	l := m.Parts[k]
	if m.sharpSigmoid && strings.HasPrefix(l.Name, "sigmoid") {
		sharp := *c
		sharp.LabelSmoothing = 0
		c = &sharp
	}
	if b.separate {
		clear(b.DLikelihood)
	}
	l.Of(b, c)
	if c.UseWeighting && l.uses("use_weighting") {
		for i, w := range b.Weight {
			b.Loss[i] *= w
			b.DChosen[i] *= w
			b.DRejected[i] *= w
		}
	}
}
