package reward

import (
	"math"
	"slices"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Aggregate says how an ensemble's scores become one (Coste et al. 2023, arXiv
// 2310.02743, section 3):
//
//	mean                  r̄ = 1/n Σ_i r_i
//	worst_case            min_i r_i
//	uncertainty_weighted  r̄ − λ 1/n Σ_i (r_i − r̄)²
type Aggregate string

const (
	MeanScore           Aggregate = "mean"
	WorstCase           Aggregate = "worst_case"
	UncertaintyWeighted Aggregate = "uncertainty_weighted"
)

// Aggregates lists what Config.Aggregate accepts.
var Aggregates = []Aggregate{MeanScore, WorstCase, UncertaintyWeighted}

// Ensemble is several models of the same people.
type Ensemble struct {
	Members   []Model
	Aggregate Aggregate
	Lambda    float64 // λ of uncertainty_weighted
}

// Mean is the average member: for linear models the model of the average
// weights, so that everything about the mean score is exact.
func (e *Ensemble) Mean() Scorer {
	first, linear := e.Members[0].(*Linear)
	if !linear {
		return &Ensemble{Members: e.Members, Aggregate: MeanScore}
	}
	m := NewLinear(first.Kind, first.Prompts, first.Words)
	for _, member := range e.Members {
		params, _ := member.parameters()
		for i, w := range params {
			m.params[i] += w / float64(len(e.Members))
		}
	}
	return m
}

// Score aggregates the members' scores.
func (e *Ensemble) Score(x policy.Prompt, y policy.Response) float64 {
	return e.aggregate(func(m Model) float64 { return m.Score(x, y) })
}

// ScoreCounts is the same for networks, of a response whose counts are n.
func (e *Ensemble) ScoreCounts(n []int) float64 {
	return e.aggregate(func(m Model) float64 { return m.(*Network).ScoreCounts(n) })
}

func (e *Ensemble) aggregate(score func(Model) float64) float64 {
	least, sum, squares := math.Inf(1), 0.0, 0.0
	for _, m := range e.Members {
		r := score(m)
		least = min(least, r)
		sum += r
		squares += float64(r * r)
	}
	n := float64(len(e.Members))
	mean := sum / n
	switch e.Aggregate {
	case WorstCase:
		return least
	case UncertaintyWeighted:
		variance := max(0, squares/n-float64(mean*mean))
		return mean - float64(e.Lambda*variance)
	}
	return mean
}

// EnsembleTrainer fits the members one beside the other. Linear models that begin
// at 0 and see the same rankings come out alike, so each member is fitted to a
// resample of its own, drawn with replacement (Breiman 1996, bagging); a network
// begins at a point of its own too.
type EnsembleTrainer struct {
	cfg      Config
	trainers []*Trainer
}

// NewEnsemble prepares cfg.NumEnsemble fits. A single model is fitted to the
// rankings themselves. init draws the parameters that networks begin with,
// resample the rankings of each member.
func NewEnsemble(cfg Config, v View, rankings []policy.Ranking, init, resample *rng.Stream) *EnsembleTrainer {
	t := &EnsembleTrainer{cfg: cfg}
	for range cfg.NumEnsemble {
		own := rankings
		if cfg.NumEnsemble > 1 {
			own = make([]policy.Ranking, len(rankings))
			for i := range own {
				own[i] = rankings[resample.IntN(len(rankings))]
			}
		}
		t.trainers = append(t.trainers, New(cfg, cfg.NewModel(v, init), own))
	}
	return t
}

// Steps is the number of steps of the whole fit.
func (t *EnsembleTrainer) Steps() int { return t.trainers[0].Steps() }

// Step takes one step of every member; its statistics are means over members,
// smallest and largest reward those over all of them.
func (t *EnsembleTrainer) Step(r *rng.Stream) Stats {
	all := t.trainers[0].Step(r)
	n := float64(len(t.trainers))
	if n == 1 {
		return all
	}
	for _, m := range t.trainers[1:] {
		s := m.Step(r)
		for _, v := range [][2]*float64{{&all.Loss, &s.Loss}, {&all.Accuracy, &s.Accuracy}, {&all.Margin, &s.Margin}, {&all.MeanReward, &s.MeanReward}, {&all.GradNorm, &s.GradNorm}} {
			*v[0] += *v[1]
		}
		all.MinReward, all.MaxReward = min(all.MinReward, s.MinReward), max(all.MaxReward, s.MaxReward)
	}
	for _, v := range []*float64{&all.Loss, &all.Accuracy, &all.Margin, &all.MeanReward, &all.GradNorm} {
		*v /= n
	}
	return all
}

// Model is the mean of the members as they are: the one being fitted where there
// is one.
func (t *EnsembleTrainer) Model() Scorer {
	if len(t.trainers) == 1 {
		return t.trainers[0].Model()
	}
	return t.ensemble().Mean()
}

func (t *EnsembleTrainer) ensemble() *Ensemble {
	e := &Ensemble{Aggregate: t.cfg.Aggregate, Lambda: t.cfg.UncertaintyCoef}
	for _, m := range t.trainers {
		e.Members = append(e.Members, m.Model())
	}
	return e
}

// Members are the fitted models.
func (t *EnsembleTrainer) Members() []Model { return slices.Clone(t.ensemble().Members) }
