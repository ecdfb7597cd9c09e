// Package reward fits the reward model, the "judge", to human rankings:
//
//	r(x,y) = b_x + Σ_t w_x[y_t]
//	L(w,b) = −1/C(K,2) E_{(x,y_1≻…≻y_K)} [ Σ_{i<j} log σ(r(x,y_i) − r(x,y_j)) ] + c · mean (r_i + r_j)²
//
// The first term is Ouyang et al. 2022 (InstructGPT, arXiv 2203.02155), equation
// 1: all C(K,2) comparisons of a ranking are one batch element. The second is the
// centring term of Eisenstein et al. 2023 (arXiv 2312.09244; TRL's
// center_rewards_coefficient), its mean taken like the first's.
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
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Config is the fit of a reward model, named as in TRL's RewardConfig.
type Config struct {
	LearningRate             float64 `toml:"learning_rate"`
	NumTrainEpochs           int     `toml:"num_train_epochs"`
	BatchSize                int     `toml:"batch_size"`                 // rankings a step
	WeightDecay              float64 `toml:"weight_decay"`               // of the weights, decoupled (AdamW)
	CenterRewardsCoefficient float64 `toml:"center_rewards_coefficient"` // c, 0 = off
	MaxGradNorm              float64 `toml:"max_grad_norm"`              // 0 = no clipping
}

// Default suits some hundreds to thousands of rankings.
func Default() Config {
	return Config{LearningRate: 0.05, NumTrainEpochs: 10, BatchSize: 16, WeightDecay: 0.01, MaxGradNorm: 1}
}

// Validate reports every field that cannot stand.
func (c Config) Validate() error {
	var k field.Checker
	k.Positive("learning_rate", c.LearningRate)
	k.Count("num_train_epochs", c.NumTrainEpochs, 0, 1_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	k.NonNegative("weight_decay", c.WeightDecay)
	k.NonNegative("center_rewards_coefficient", c.CenterRewardsCoefficient)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// Model is a bag of words for each prompt.
type Model struct {
	Prompts, Words int
	Weight         []float64 // w [prompts][words]
	Bias           []float64 // b [prompts]
}

// Score is r(x,y). A model is a ppo.Scorer.
func (m *Model) Score(x policy.Prompt, y policy.Response) float64 {
	sum := m.Bias[x]
	for _, t := range y {
		sum += m.Weight[int(x)*m.Words+int(t)]
	}
	return sum
}

// Additive is the same reward laid out along a policy's decisions, EOS worth 0.
func (m *Model) Additive(s policy.Shape) policy.Additive {
	a := policy.Additive{Bias: slices.Clone(m.Bias), R: make([]float64, s.Cells())}
	for row := range s.Rows() {
		x := row / s.Contexts()
		copy(a.R[row*s.Outcomes():], m.Weight[x*m.Words:(x+1)*m.Words])
	}
	return a
}

// Shift subtracts one constant so that the demonstrations score 0 on average:
// Bradley-Terry leaves the zero point open, and InstructGPT (section 3.5) fixes
// it so before reinforcement learning. Without demonstrations it stays open.
func (m *Model) Shift(demonstrations []policy.Demonstration) {
	if len(demonstrations) == 0 {
		return
	}
	sum := 0.0
	for _, d := range demonstrations {
		sum += m.Score(d.Prompt, d.Response)
	}
	for x := range m.Bias {
		m.Bias[x] -= sum / float64(len(demonstrations))
	}
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
	model    *Model
	rankings []policy.Ranking
	compared [][]policy.Comparison // of each ranking
	batches  policy.Batches

	params, grad  []float64 // weights, then biases
	weights, bias *policy.Adam
	scores, slope []float64 // of one ranking's responses: r_k, ∂L/∂r_k
}

// New prepares the fit of an all-zero model to the rankings.
func New(cfg Config, prompts, words int, rankings []policy.Ranking) *Trainer {
	n := prompts * words
	params := make([]float64, n+prompts)
	t := &Trainer{
		cfg: cfg, rankings: rankings, batches: policy.NewBatches(len(rankings), cfg.BatchSize),
		model:  &Model{Prompts: prompts, Words: words, Weight: params[:n:n], Bias: params[n:]},
		params: params, grad: make([]float64, len(params)), weights: policy.NewAdam(n), bias: policy.NewAdam(prompts),
	}
	// Two optimisers, because only weights decay: decay says that no word matters
	// until shown, but where a prompt's rewards lie is not a preference.
	t.weights.WeightDecay = cfg.WeightDecay
	longest := 0
	for _, r := range rankings {
		t.compared = append(t.compared, r.Comparisons(nil))
		longest = max(longest, len(r.Responses))
	}
	t.scores, t.slope = make([]float64, longest), make([]float64, longest)
	return t
}

// Steps is the number of steps of the whole fit.
func (t *Trainer) Steps() int { return t.cfg.NumTrainEpochs * t.batches.PerEpoch() }

// Model is the model being fitted.
func (t *Trainer) Model() *Model { return t.model }

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
	n := len(t.model.Weight)
	t.weights.Step(t.params[:n], t.grad[:n], t.cfg.LearningRate)
	t.bias.Step(t.params[n:], t.grad[n:], t.cfg.LearningRate)
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
	each := weight / float64(len(compared))
	for _, c := range compared {
		loss, dChosen, dRejected := Pairwise(scores[c.Chosen], scores[c.Rejected], 0, t.cfg.CenterRewardsCoefficient)
		s.Loss += float64(each * loss)
		s.Margin += float64(each * (scores[c.Chosen] - scores[c.Rejected]))
		if scores[c.Chosen] > scores[c.Rejected] {
			s.Accuracy += each
		}
		slope[c.Chosen] += float64(each * dChosen)
		slope[c.Rejected] += float64(each * dRejected)
	}
	words := t.model.Words
	for k, y := range ranking.Responses {
		for _, v := range y { // ∂r/∂w_x[v] = how often v is said
			t.grad[int(ranking.Prompt)*words+int(v)] += slope[k]
		}
		t.grad[len(t.model.Weight)+int(ranking.Prompt)] += slope[k]
	}
}

// Pairwise is the loss of one comparison and its derivatives,
//
//	ℓ = −log σ(d) + c (r_w + r_l)²,  d = r_w − r_l − margin
//	∂ℓ/∂r_w = −σ(−d) + 2c (r_w + r_l),  ∂ℓ/∂r_l = σ(−d) + 2c (r_w + r_l)
//
// (Ouyang et al. 2022, eq. 1; the margin is Touvron et al. 2023, eq. 2).
func Pairwise(chosen, rejected, margin, center float64) (loss, dChosen, dRejected float64) {
	d := chosen - rejected - margin
	sum := chosen + rejected
	pull := num.Sigmoid(-d)
	tie := 2 * float64(center*sum)
	return float64(float64(center*sum)*sum) - num.LogSigmoid(d), tie - pull, tie + pull
}
