package sim

import (
	"iter"

	"rlhfsim/internal/card"
	"rlhfsim/internal/field"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// ExactConfig is the method "exact": gradient ascent on the exact objective,
// the yardstick against which sampling noise shows. It alone may climb gold,
// which is why it lives here and not with the learners.
type ExactConfig struct {
	Reward       string  `toml:"reward"` // "proxy": the learned reward; "gold": the true values
	LearningRate float64 `toml:"learning_rate"`
	NumSteps     int     `toml:"num_steps"`
	MaxGradNorm  float64 `toml:"max_grad_norm"` // 0 = no clipping
}

var exactRewards = []string{"proxy", "gold"}

// Validate reports every field that cannot stand.
func (c ExactConfig) Validate() error {
	var k field.Checker
	field.OneOf(&k, "reward", c.Reward, exactRewards)
	k.Positive("learning_rate", c.LearningRate)
	k.Count("num_steps", c.NumSteps, 0, 1_000_000)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// ascent climbs J(θ) = E[r] − β KL(π_θ‖π_SFT) by Adam on its exact gradient.
type ascent struct {
	cfg       ExactConfig
	objective policy.Objective
	evaluator *policy.Evaluator
	trainer   *policy.Trainer
	gradient  *policy.Gradient
}

// ascentStats is what one step saw, before its update.
type ascentStats struct {
	Objective    float64 // J
	GradNorm     float64
	LearningRate float64
}

// All yields the metrics by name.
func (s ascentStats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("objective/exact", s.Objective) && yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate)
	}
}

var exactCard = card.Card{
	Title:   "Gradient ascent on the exact objective",
	Idea:    "what PPO would do without sampling",
	Formula: "θ ← θ + α ∇_θ J(θ), J = E[r] − β KL(π_θ‖π_SFT), by Adam",
	Paper:   "rlhfsim",
	Differs: "no library can: the gradient is a sum over every possible response",
	Exact:   "exact.reward = \"gold\" climbs what people want, which no learner sees",
	Also:    []string{"exact ascent", "exact gradient"},
}

var exactFamily = family{Section: "exact", section: func(c Config) any { return c.Exact }, build: buildExact}

func buildExact(s *Shared, c Config, pi *policy.Softmax) learner {
	a := newAscent(s, c, pi)
	return newLearner(c.Exact.NumSteps, a.step)
}

func newAscent(s *Shared, c Config, pi *policy.Softmax) *ascent {
	a := &ascent{cfg: c.Exact, evaluator: s.evaluator, gradient: s.evaluator.NewGradient(), trainer: policy.NewTrainer(pi, c.Exact.MaxGradNorm),
		objective: s.proxy.objective(&s.SFT.Chain, c.Objective.Beta)}
	if c.Exact.Reward == "gold" {
		a.objective.Additive, a.objective.Counts = nil, s.gold
	}
	return a
}

func (a *ascent) step(*rng.Stream) ascentStats {
	a.evaluator.Gradient(a.gradient, &a.trainer.Policy.Chain, a.objective)
	a.gradient.LogProbs(a.trainer.G, &a.trainer.Policy.Chain, a.objective)
	for i := range a.trainer.G {
		a.trainer.G[i] = -a.trainer.G[i] // a loss is descended
	}
	s := ascentStats{Objective: a.gradient.Value, LearningRate: a.cfg.LearningRate}
	s.GradNorm = a.trainer.Update(s.LearningRate)
	return s
}
