// Package ilql aligns a policy from scored responses alone, without a sample of its
// own, by Implicit Language Q-Learning (Snell et al. 2022, arXiv 2206.11871; losses and
// defaults as in CarperAI's trlX): offline Q-learning whose maximum over next words is
// replaced by an expectile over the words in the data (Kostrikov et al. 2021, IQL, arXiv
// 2110.06169), so that no word is valued that nobody said.
//
//	L = L_Q + L_V + c L_CQL + a L_AWAC,   means over the tokens (s, a, r, s′) of the data
//	L_Q    = Σ_i (Q_i(s,a) − r − γ V(s′))²            V = 0 after the last token
//	L_V    = |τ − 1[u < 0]| u²,  u = min_i Q̂_i(s,a) − V(s)
//	L_CQL  = −Σ_i log softmax(Q_i(s,·))_a
//	L_AWAC = −exp(β (min_i Q̂_i(s,a) − V(s))) log π_β(a|s)
//
//	π(a|s) ∝ π_β(a|s) exp(b (min_i Q̂_i(s,a) − V(s)))
//
//	s, a     a row of the policy's table (prompt and context) and an outcome
//	r        the reward, on a response's last token
//	Q_i, Q̂_i heads, and the targets that follow them slowly      γ  Config.Gamma
//	V        an expectile of the targets under the data           τ  Config.Tau
//	π_β      the behaviour policy, from the SFT policy            β  Config.AWACBeta
//	c, a     Config.CQLScale, Config.AWACScale                    b  Config.GenBeta
//
// All of them are tables with the policy's rows, so that π is a table too and everything
// about it is exact. No gradient runs through targets, V(s′) and weights.
package ilql

import (
	"iter"
	"math"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Scored is a response with its reward: what is learned from.
type Scored struct {
	Prompt   policy.Prompt
	Response policy.Response
	Reward   float64
}

// Trainer runs ILQL on a fixed set of scored responses.
type Trainer struct {
	cfg       Config
	policy    *policy.Softmax // π
	behaviour *policy.Trainer // π_β
	values    *values
	tokens    [][]token // of each response
	batches   policy.Batches
	batch     []token
	logits    []float64 // of π
	step      int
}

// New prepares the alignment of pi on the data. What becomes of pi is a product of
// tables, so its own must be free (policy.Table); π_β starts as a copy of behaviour and
// stays in its class.
func New(cfg Config, pi, behaviour *policy.Softmax, data []Scored, init *rng.Stream) *Trainer {
	size := min(cfg.BatchSize, len(data)) * pi.MaxLength
	t := &Trainer{cfg: cfg, policy: pi, behaviour: policy.NewTrainer(behaviour.Clone(), 0), values: newValues(cfg.heads(), pi.Rows(), pi.Outcomes(), size),
		batches: policy.NewBatches(len(data), cfg.BatchSize), batch: make([]token, 0, size), logits: make([]float64, pi.Cells())}
	t.values.randomise(cfg.InitRange, init)
	shift, scale := 0.0, 1.0
	if cfg.NormalizeRewards {
		shift, scale = moments(data)
	}
	for _, d := range data {
		t.tokens = append(t.tokens, tokens(pi.Path(nil, d.Prompt, d.Response), pi.Outcomes(), (d.Reward-shift)/scale))
	}
	return t
}

// moments are the mean of the rewards and their deviation (unbiased), plus torch's ε as
// in trlX; 1 of a single response.
func moments(data []Scored) (mean, deviation float64) {
	n := float64(len(data))
	for _, d := range data {
		mean += d.Reward / n
	}
	if n < 2 {
		return mean, 1
	}
	for _, d := range data {
		deviation += float64((d.Reward-mean)*(d.Reward-mean)) / (n - 1)
	}
	return mean, math.Sqrt(deviation) + 0x1p-52
}

// tokens are the decisions of a response by its path, the reward on the last.
func tokens(path []int32, outcomes int, reward float64) []token {
	out := make([]token, len(path))
	for t, cell := range path {
		out[t] = token{cell: cell, row: cell / int32(outcomes), next: -1}
		if t > 0 {
			out[t-1].next = out[t].row
		}
	}
	out[len(out)-1].reward = reward
	return out
}

// Steps is the number of steps of the whole training.
func (t *Trainer) Steps() int { return t.cfg.NumTrainEpochs * t.batches.PerEpoch() }

// Step takes one gradient step of all tables on a minibatch of responses.
func (t *Trainer) Step(r *rng.Stream) Stats {
	t.batch = t.batch[:0]
	for _, i := range t.batches.Next(r) {
		t.batch = append(t.batch, t.tokens[i]...)
	}
	s := t.values.loss(t.batch, t.behaviour.Policy.LogP, t.behaviour.G, &t.cfg)
	t.values.update(t.cfg.ValueLearningRate)
	if t.cfg.AWACScale > 0 {
		t.behaviour.Update(t.cfg.LearningRate)
	}
	t.step++
	if t.step%t.cfg.StepsForTargetQSync == 0 {
		t.values.sync(t.cfg.Alpha)
	}
	t.steer()
	return s
}

// steer sets π to π_β exp(b (min Q̂ − V)), normalised: V is the same for all outcomes of
// a row and drops out.
func (t *Trainer) steer() {
	for cell, logp := range t.behaviour.Policy.LogP {
		t.logits[cell] = logp + float64(t.cfg.GenBeta*t.values.pessimistic(int32(cell)))
	}
	if err := t.policy.SetLogits(t.logits); err != nil {
		panic(err) // the table is of the policy's own shape, and free
	}
}

// Stats is what one step measured on its batch, before its update.
type Stats struct {
	Loss       float64 // L
	LossQ      float64 // L_Q
	LossV      float64 // L_V
	LossCQL    float64 // L_CQL, not scaled
	LossAWAC   float64 // L_AWAC, not scaled
	Values     Summary // V(s)
	QValues    [2]Summary
	AWACWeight Summary

	twoQs bool
}

// Summary is of one number a token.
type Summary struct{ Mean, Min, Max, Std float64 } // Std biased

// All yields the metrics under trlX's names.
func (s Stats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("losses/loss", s.Loss) && yield("losses/loss_q", s.LossQ) && yield("losses/loss_v", s.LossV) &&
			yield("losses/loss_cql", s.LossCQL) && yield("losses/loss_awac", s.LossAWAC) &&
			s.Values.all("values", yield) && s.QValues[0].all("qvalues/0", yield) &&
			(!s.twoQs || s.QValues[1].all("qvalues/1", yield)) && s.AWACWeight.all("awac_weight", yield)
	}
}

func (s Summary) all(name string, yield func(string, float64) bool) bool {
	return yield(name+"/mean", s.Mean) && yield(name+"/min", s.Min) && yield(name+"/max", s.Max) && yield(name+"/std", s.Std)
}

// OwnMetrics are those of the second head.
func (c Config) OwnMetrics() []string {
	if !c.TwoQs {
		return nil
	}
	return []string{"qvalues/1/mean", "qvalues/1/min", "qvalues/1/max", "qvalues/1/std"}
}
