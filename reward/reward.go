// Package reward fits the reward model, the "judge", to human rankings:
//
//	r(x,y) = b_x + Σ_t w_x[y_t]    (or of pairs of words, or a small network, see Kind)
//	L(w,b) = −1/C(K,2) E_{(x,y_1≻…≻y_K)} [ Σ_{i<j} log σ(r(x,y_i) − r(x,y_j)) ] + c · mean (r_i + r_j)²
//
// The first term is Ouyang et al. 2022 (InstructGPT, arXiv 2203.02155), equation
// 1: all C(K,2) comparisons of a ranking are one batch element. The second is the
// centring term of Eisenstein et al. 2023 (arXiv 2312.09244; TRL's
// center_rewards_coefficient), its mean taken like the first's.
//
// Other likelihoods of a ranking are the LossTypes.
//
//	x, y     prompt and response        w_x[v]   what the judge gives for word v at prompt x
//	b_x      what it gives anyway       K        responses in a ranking
//	σ        1/(1+e^−z)                 c        Config.CenterRewardsCoefficient
package reward

import (
	"iter"
	"math"
	"slices"

	"rlhfsim/internal/field"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Config is the model and its fit, named as in TRL's RewardConfig where it has
// the field.
type Config struct {
	Model                    Kind     `toml:"model"`
	LossType                 LossType `toml:"loss_type"`
	TieNu                    float64  `toml:"tie_nu"`    // ν of rao_kupper and davidson
	DropTies                 bool     `toml:"drop_ties"` // leave out comparisons that raters called equal
	Margin                   float64  `toml:"margin"`    // of pairwise: how far the best must be above the worst; 0 = off
	LearningRate             float64  `toml:"learning_rate"`
	NumTrainEpochs           int      `toml:"num_train_epochs"`
	BatchSize                int      `toml:"batch_size"`                 // rankings a step
	WeightDecay              float64  `toml:"weight_decay"`               // of the weights, decoupled (AdamW)
	CenterRewardsCoefficient float64  `toml:"center_rewards_coefficient"` // c, 0 = off
	MaxGradNorm              float64  `toml:"max_grad_norm"`              // 0 = no clipping

	HiddenSize int      `toml:"hidden_size"` // of mlp: units of its hidden layer
	Counts     []string `toml:"counts"`      // of mlp: the counts it reads; none = all that the world has
	CountCap   int      `toml:"count_cap"`   // of mlp: from this number on all counts look the same to it

	NumEnsemble     int       `toml:"num_ensemble"`     // models fitted, each to a resample of the rankings
	Aggregate       Aggregate `toml:"aggregate"`        // how their scores become one
	UncertaintyCoef float64   `toml:"uncertainty_coef"` // λ of uncertainty_weighted
}

// Default suits some hundreds to thousands of rankings.
func Default() Config {
	return Config{Model: BagOfWords, LossType: PairwiseLoss, TieNu: 2, LearningRate: 0.05, NumTrainEpochs: 10, BatchSize: 16, WeightDecay: 0.01, MaxGradNorm: 1,
		HiddenSize: 8, CountCap: 3,
		NumEnsemble: 1, Aggregate: MeanScore, UncertaintyCoef: 0.5}
}

// Validate reports every field that cannot stand.
func (c Config) Validate() error {
	var k field.Checker
	field.OneOf(&k, "model", c.Model, Kinds)
	field.OneOf(&k, "loss_type", c.LossType, LossTypes)
	c.checkTies(&k)
	k.NonNegative("margin", c.Margin)
	k.Positive("learning_rate", c.LearningRate)
	k.Count("num_train_epochs", c.NumTrainEpochs, 0, 1_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	k.NonNegative("weight_decay", c.WeightDecay)
	k.NonNegative("center_rewards_coefficient", c.CenterRewardsCoefficient)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	k.Count("hidden_size", c.HiddenSize, 1, 1000)
	k.Count("count_cap", c.CountCap, 1, 64)
	k.Count("num_ensemble", c.NumEnsemble, 1, 100)
	field.OneOf(&k, "aggregate", c.Aggregate, Aggregates)
	k.NonNegative("uncertainty_coef", c.UncertaintyCoef)
	if c.NumEnsemble == 1 && c.Aggregate != MeanScore {
		k.Add(&field.Error{Field: "aggregate", Value: c.Aggregate, Allowed: "\"mean\" while num_ensemble is 1", Why: "one model has no disagreement to go by"})
	}
	return k.Err()
}

// UsesTies says whether the loss can learn from comparisons that were called equal.
func (c Config) UsesTies() bool { return c.LossType == RaoKupperLoss || c.LossType == DavidsonLoss }

// checkTies checks ν, and that ties are not to be dropped where they cannot be: a
// ranking with a tie is no sequence of choices.
func (c Config) checkTies(k *field.Checker) {
	if c.LossType == DavidsonLoss {
		k.Require(c.TieNu > 0 && c.TieNu <= 1e6, "tie_nu", c.TieNu, "above 0 and at most 1e+06 for davidson")
	} else {
		k.Require(c.TieNu > 1 && c.TieNu <= 1e6, "tie_nu", c.TieNu, "above 1 and at most 1e+06; for davidson above 0")
	}
	k.Require(!c.DropTies || c.LossType != PlackettLuceLoss && c.LossType != PickBestLoss, "drop_ties", c.DropTies, "false for "+string(c.LossType)+", which takes whole rankings")
}

// Unused says why a field of the configuration changes nothing; "" when it does
// change something.
func (c Config) Unused(name string) string {
	switch {
	case name == "tie_nu" && !c.UsesTies():
		return "only loss_type = \"rao_kupper\" and \"davidson\" use it"
	case name == "margin" && c.LossType != PairwiseLoss:
		return "only loss_type = \"pairwise\" uses it"
	case (name == "hidden_size" || name == "counts" || name == "count_cap") && c.Model != MLP:
		return "only model = \"mlp\" uses it"
	case name == "uncertainty_coef" && c.Aggregate != UncertaintyWeighted:
		return "only aggregate = \"uncertainty_weighted\" uses it"
	}
	return ""
}

// Stats is what one step measured on its batch, before its update. Means are
// over the comparisons of a ranking, then over rankings.
type Stats struct {
	Loss         float64 // L
	Accuracy     float64 // share of comparisons with r(chosen) > r(rejected); a tie is none, as in TRL
	Margin       float64 // mean r(chosen) − r(rejected)
	MinReward    float64 // over the batch's responses
	MeanReward   float64
	MaxReward    float64
	GradNorm     float64 // before clipping
	LearningRate float64
}

// All yields the metrics under TRL's names (RewardTrainer).
func (s Stats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("loss", s.Loss) && yield("accuracy", s.Accuracy) && yield("margin", s.Margin) &&
			yield("min_reward", s.MinReward) && yield("mean_reward", s.MeanReward) && yield("max_reward", s.MaxReward) &&
			yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate)
	}
}

// Trainer fits a Model by minibatch AdamW.
type Trainer struct {
	cfg      Config
	model    Model
	rankings []policy.Ranking
	compared [][]policy.Comparison // of each ranking
	order    [][]int               // that they tell, best first
	batches  policy.Batches

	params, grad        []float64
	decayed             int          // of the parameters
	shrunk, free        *policy.Adam // of the decayed, and of the others
	scores, slope       []float64    // of one ranking's responses: r_k, ∂L/∂r_k
	sorted, sortedSlope []float64    // the same, best first
}

// New prepares the fit of a model to the rankings.
func New(cfg Config, m Model, rankings []policy.Ranking) *Trainer {
	params, decayed := m.parameters()
	t := &Trainer{
		cfg: cfg, rankings: rankings, batches: policy.NewBatches(len(rankings), cfg.BatchSize), model: m,
		params: params, grad: make([]float64, len(params)), decayed: decayed,
		shrunk: policy.NewAdam(decayed), free: policy.NewAdam(len(params) - decayed),
	}
	t.shrunk.WeightDecay = cfg.WeightDecay
	longest := 0
	for _, r := range rankings {
		compared := r.Comparisons(nil)
		if cfg.DropTies {
			compared = slices.DeleteFunc(compared, func(c policy.Comparison) bool { return c.Tied })
		}
		t.compared, t.order = append(t.compared, compared), append(t.order, told(len(r.Responses), compared))
		longest = max(longest, len(r.Responses))
	}
	t.scores, t.slope = make([]float64, longest), make([]float64, longest)
	t.sorted, t.sortedSlope = make([]float64, longest), make([]float64, longest)
	return t
}

// Steps is the number of steps of the whole fit.
func (t *Trainer) Steps() int { return t.cfg.NumTrainEpochs * t.batches.PerEpoch() }

// Model is the model being fitted.
func (t *Trainer) Model() Model { return t.model }

// Step takes one gradient step on a minibatch of rankings.
func (t *Trainer) Step(r *rng.Stream) Stats {
	batch := t.batches.Next(r)
	s := Stats{LearningRate: t.cfg.LearningRate, MinReward: math.Inf(1), MaxReward: math.Inf(-1)}
	clear(t.grad)
	responses := 0
	for _, i := range batch {
		t.rank(&s, i, 1/float64(len(batch)))
		responses += len(t.rankings[i].Responses)
	}
	s.MeanReward /= float64(responses)
	s.GradNorm = policy.ClipGradNorm(t.grad, t.cfg.MaxGradNorm)
	n := t.decayed
	t.shrunk.Step(t.params[:n], t.grad[:n], t.cfg.LearningRate)
	t.free.Step(t.params[n:], t.grad[n:], t.cfg.LearningRate)
	return s
}

// rank adds one ranking's share of the loss and its gradient.
func (t *Trainer) rank(s *Stats, i int, weight float64) {
	ranking, compared := t.rankings[i], t.compared[i]
	scores, slope := t.scores[:len(ranking.Responses)], t.slope[:len(ranking.Responses)]
	clear(slope)
	for k, y := range ranking.Responses {
		scores[k] = t.model.Score(ranking.Prompt, y)
		s.MinReward, s.MaxReward = min(s.MinReward, scores[k]), max(s.MaxReward, scores[k])
		s.MeanReward += scores[k]
	}
	t.agree(s, compared, scores, weight)
	switch t.cfg.LossType {
	case PlackettLuceLoss, PickBestLoss:
		t.choose(s, i, scores, slope, weight)
	case RaoKupperLoss, DavidsonLoss:
		t.compareTied(s, compared, scores, slope, weight)
	default:
		t.compare(s, compared, scores, slope, weight)
	}
	for k, y := range ranking.Responses {
		t.model.addGradient(t.grad, slope[k], ranking.Prompt, y)
	}
}

// agree adds how far the model agrees with a ranking's clear comparisons; where
// there is none, all was equal to the rater and the model counts as half right.
func (t *Trainer) agree(s *Stats, compared []policy.Comparison, scores []float64, weight float64) {
	clear := 0
	for _, c := range compared {
		if !c.Tied {
			clear++
		}
	}
	if clear == 0 {
		s.Accuracy += weight / 2
		return
	}
	each := weight / float64(clear)
	for _, c := range compared {
		if c.Tied {
			continue
		}
		s.Margin += float64(each * (scores[c.Chosen] - scores[c.Rejected]))
		if scores[c.Chosen] > scores[c.Rejected] {
			s.Accuracy += each
		}
	}
}

// compareTied adds the loss of a ranking taken as comparisons of which some may
// be ties.
func (t *Trainer) compareTied(s *Stats, compared []policy.Comparison, scores, slope []float64, weight float64) {
	of, each := policy.RaoKupper, weight/float64(len(compared))
	if t.cfg.LossType == DavidsonLoss {
		of = policy.Davidson
	}
	for _, c := range compared {
		loss, d := of(scores[c.Chosen]-scores[c.Rejected], t.cfg.TieNu, c.Tied)
		centring, pull := Centring(scores[c.Chosen], scores[c.Rejected], t.cfg.CenterRewardsCoefficient)
		s.Loss += float64(each * (loss + centring))
		slope[c.Chosen] += float64(each * (d + pull))
		slope[c.Rejected] += float64(each * (pull - d))
	}
}

// compare adds the loss of a ranking taken as comparisons. The margin grows with
// the distance of the ranks, as Llama 2's does with how much better a response
// was called (Touvron et al. 2023, section 3.2.2).
func (t *Trainer) compare(s *Stats, compared []policy.Comparison, scores, slope []float64, weight float64) {
	each := weight / float64(len(compared))
	perRank := t.cfg.Margin / float64(len(scores)-1)
	for _, c := range compared {
		margin := float64(perRank * math.Abs(float64(c.Chosen-c.Rejected)))
		loss, dChosen, dRejected := Pairwise(scores[c.Chosen], scores[c.Rejected], margin, t.cfg.CenterRewardsCoefficient)
		s.Loss += float64(each * loss)
		slope[c.Chosen] += float64(each * dChosen)
		slope[c.Rejected] += float64(each * dRejected)
	}
}

// choose adds the loss of ranking i taken as choices, and the centring of its
// comparisons.
func (t *Trainer) choose(s *Stats, i int, scores, slope []float64, weight float64) {
	order, compared := t.order[i], t.compared[i]
	sorted, sortedSlope := t.sorted[:len(order)], t.sortedSlope[:len(order)]
	clear(sortedSlope)
	for k, from := range order {
		sorted[k] = scores[from]
	}
	if t.cfg.LossType == PlackettLuceLoss {
		s.Loss += PlackettLuce(sortedSlope, sorted, weight)
	} else {
		s.Loss += PickBest(sortedSlope, sorted, weight)
	}
	for k, from := range order {
		slope[from] += sortedSlope[k]
	}
	each := weight / float64(len(compared))
	for _, c := range compared {
		loss, d := Centring(scores[c.Chosen], scores[c.Rejected], t.cfg.CenterRewardsCoefficient)
		s.Loss += float64(each * loss)
		slope[c.Chosen] += float64(each * d)
		slope[c.Rejected] += float64(each * d)
	}
}
