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
//
// and by the losses that came after it, the table Losses. A loss is a pure function
// of the log-probabilities of a batch; margin.go, pairwise.go, unpaired.go, odds.go
// and batchwise.go hold them by what they are functions of.
package dpo

import (
	"iter"

	"rlhfsim/internal/card"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Card describes the method "dpo", which takes any of the losses.
var Card = card.Card{
	Title:   "Direct Preference Optimization",
	Idea:    "learn from the rankings' pairs, no reward model",
	Formula: "−log σ(β log π(y_w)/π_SFT(y_w) − β log π(y_l)/π_SFT(y_l)), or another of the losses",
	Paper:   "Rafailov et al. 2023, arXiv 2305.18290, equation 7; fields as in TRL's DPOConfig",
	Differs: "TRL trains AdamW at 1e-6 on networks, here Adam at a table's rate; OpenRLHF has the losses sigmoid and ipo and nll_loss_coef; verl has no preference losses",
	Exact:   "with endless data its optimum is π*, the optimum of PPO's objective at the same β; with few rankings it is the data's",
}

// Stats is what one step measured on its batch, before its update; means over
// the batch's pairs (of a ranking, its best and its worst response).
type Stats struct {
	Loss            float64
	RewardsChosen   float64 // β log π/π_ref of the chosen responses; without a reference β log π, a sum or a mean as in the loss
	RewardsRejected float64
	Accuracy        float64 // share of clear preferences with the chosen implicit reward above the rejected, equal ones are none
	Margin          float64 // RewardsChosen − RewardsRejected
	LogpsChosen     float64 // log π(y_w|x), nats per response
	LogpsRejected   float64
	Entropy         float64 // mean entropy of the rows visited, nats per token
	KL              float64 // mean z₀; KTO only
	Delta           float64 // δ; BCO only
	GradNorm        float64 // before clipping
	LearningRate    float64

	needs Need
}

// All yields the metrics under TRL's names (DPOTrainer, KTOTrainer, BCOTrainer).
func (s Stats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("loss", s.Loss) && yield("rewards/chosen", s.RewardsChosen) && yield("rewards/rejected", s.RewardsRejected) &&
			yield("rewards/accuracies", s.Accuracy) && yield("rewards/margins", s.Margin) &&
			yield("logps/chosen", s.LogpsChosen) && yield("logps/rejected", s.LogpsRejected) &&
			yield("entropy", s.Entropy) &&
			(s.needs&NeedKL == 0 || yield("kl", s.KL)) && (s.needs&NeedDelta == 0 || yield("delta", s.Delta)) &&
			yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate)
	}
}

// Scorer gives a whole response its reward: what REBEL regresses on.
type Scorer interface {
	Score(x policy.Prompt, y policy.Response) float64
}

// Data is what people said. Pairs serve every loss but plackett_luce, which
// needs Rankings; rebel needs Scorer too.
type Data struct {
	Pairs    []policy.Pair
	Rankings []policy.Ranking
	Scorer   Scorer
}

// Trainer runs a preference loss on a fixed set of pairs.
type Trainer struct {
	cfg       Config
	loss      *Mixture
	needs     Need
	trainer   *policy.Trainer
	ref       *policy.Softmax
	lists     []list // what the pairs are made of
	pairs     []pair
	paths     paths
	rankedRef [][]float64 // log π_ref of every response of whole rankings
	scores    []float64   // r(x,y_w) − r(x,y_l) of the pairs, where REBEL asks for it
	batches   policy.Batches
	step      int
	batch     *Batch
	delta     RunningMean
	kl        referencePoint
	logSq     []float64 // log Σ_w π(w|row)² of every row, for WPO
	entropy   []float64 // of every row of the table, before the step; then a 0
}

// New prepares the alignment of pi, which starts as a copy of ref, on the pairs.
func New(cfg Config, pi, ref *policy.Softmax, pairs []policy.Pair) *Trainer {
	return NewFrom(cfg, pi, ref, Data{Pairs: pairs})
}

// NewFrom prepares the alignment of pi, which starts as a copy of ref, with all
// that a loss may need.
func NewFrom(cfg Config, pi, ref *policy.Softmax, data Data) *Trainer {
	t := &Trainer{cfg: cfg, trainer: policy.NewTrainer(pi, cfg.MaxGradNorm), ref: ref, entropy: make([]float64, pi.Rows()+1)}
	if cfg.SyncRefModel {
		t.ref = ref.Free() // it will move, out of its class too, and the caller's must not
	}
	lists := listsOf(data.Pairs, cfg.DropTies)
	if NewMixture(cfg, 0).Needs(&cfg)&NeedRankings != 0 {
		lists = byWins(data.Rankings)
	}
	n := min(cfg.BatchSize, len(lists))
	t.loss, t.batch = NewMixture(cfg, n), NewBatch(n)
	t.needs = t.loss.Needs(&t.cfg)
	t.batches = policy.NewBatches(len(lists), cfg.BatchSize)
	t.lists = lists
	t.layPaths()
	if t.needs&NeedRankings != 0 {
		t.batch.Lists = newLists(t.paths.responses, n)
		for _, l := range lists {
			t.rankedRef = append(t.rankedRef, make([]float64, len(l.responses)))
		}
	}
	if t.needs&NeedScores != 0 {
		t.scorePairs(data.Scorer)
	}
	if t.needs&NeedKL != 0 {
		t.kl = newReferencePoint(pi, n)
	}
	if cfg.UseWeighting {
		t.logSq = make([]float64, pi.Rows())
	}
	t.lookUpReference()
	return t
}

// Steps is the number of steps of the whole training.
func (t *Trainer) Steps() int { return t.cfg.NumTrainEpochs * t.batches.PerEpoch() }

// Step takes one gradient step on a minibatch of pairs, and measures it.
func (t *Trainer) Step(r *rng.Stream) Stats { return t.advance(r, t.measure) }

// Learn is Step where nobody looks: of the statistics it has only those that show that
// a training has failed.
func (t *Trainer) Learn(r *rng.Stream) Stats { return t.advance(r, t.glance) }

// advance is the step, on pairs that measure sees before their gradient is taken.
func (t *Trainer) advance(r *rng.Stream, measure func(pairs []int) Stats) Stats {
	pairs := t.batches.Next(r)
	t.gather(pairs)            // log π_θ and log π_ref of every response
	t.baselines(pairs)         // what else the loss needs: z₀, δ, weights
	t.loss.Of(t.batch, &t.cfg) // ℓ, ∂ℓ/∂log π_θ(y|x)
	s := measure(pairs)        // before the update
	t.scatter(pairs)           // ∂L/∂log π_θ(y_t|x, y_<t)
	s.LearningRate = t.learningRate()
	s.GradNorm = t.trainer.Update(s.LearningRate)
	t.step++
	t.syncReference()
	return s
}

// gather looks up the log-probabilities of the pairs: log π(y|x) is the sum over
// the decisions of y.
func (t *Trainer) gather(pairs []int) {
	b, pi := t.batch, t.trainer.Policy
	b.resize(len(pairs)) // an epoch's last batch may be smaller
	if t.cfg.LDAlpha == 1 {
		t.paths.sums(b.Chosen, b.Rejected, pi.PaddedLogP(), pairs)
	} else {
		for k, i := range pairs {
			b.Chosen[k], b.Rejected[k] = t.logProbs(pi, i)
		}
	}
	for k, i := range pairs {
		p := &t.pairs[i]
		b.RefChosen[k], b.RefRejected[k] = p.refChosen, p.refRejected
		b.ChosenLen[k], b.RejectedLen[k] = float64(p.chosenLen), float64(p.rejectedLen)
		b.Tied[k] = p.tied
	}
	if t.needs&NeedRankings != 0 {
		t.gatherLists(pairs)
	}
}

// logProbs are log π(y_w|x) and log π(y_l|x) of the i-th pair, as paths.sums takes
// them where LD-DPO weighs no token less.
func (t *Trainer) logProbs(pi *policy.Softmax, i int) (chosen, rejected float64) {
	logp, shared, alpha := pi.PaddedLogP(), t.pairs[i].shared(), t.cfg.LDAlpha
	return sumLogP(logp, t.paths.chosen(i), shared, alpha), sumLogP(logp, t.paths.rejected(i), shared, alpha)
}

// sumLogP is the log-probability of a response, the sum over its path. In LD-DPO
// (Liu et al. 2024, arXiv 2409.06411) the tokens beyond the length that
// the two responses share weigh α.
func sumLogP(logp []float64, path []int32, shared int, alpha float64) float64 {
	if alpha == 1 { // one sum in order
		shared = len(path)
	}
	sum, tail := 0.0, 0.0
	for _, i := range path[:shared] {
		sum += logp[i]
	}
	if shared == len(path) {
		return sum
	}
	for _, i := range path[shared:] {
		tail += logp[i]
	}
	return sum + float64(alpha*tail)
}

// spread is the derivative of sumLogP: each decision of a response has the
// derivative d of the response's log-probability, times α in the tail.
func spread(g []float64, path []int32, shared int, alpha, d float64) {
	if alpha == 1 {
		shared = len(path)
	}
	for _, at := range path[:shared] {
		g[at] += d
	}
	d *= alpha
	for _, at := range path[shared:] {
		g[at] += d
	}
}

// scatter adds the gradient of the mean loss to G.
func (t *Trainer) scatter(pairs []int) {
	g, scale := t.trainer.PaddedG(), 1/float64(len(pairs))
	if t.needs&NeedRankings != 0 {
		t.scatterLists(pairs, scale)
		return
	}
	if t.cfg.LDAlpha == 1 {
		t.paths.spreads(g, t.batch.DChosen, t.batch.DRejected, scale, pairs)
		return
	}
	for k, i := range pairs {
		p := &t.pairs[i]
		spread(g, t.paths.chosen(i), p.shared(), t.cfg.LDAlpha, float64(t.batch.DChosen[k]*scale))
		spread(g, t.paths.rejected(i), p.shared(), t.cfg.LDAlpha, float64(t.batch.DRejected[k]*scale))
	}
}

// glance measures what cannot stay finite where training fails. The loss alone can: a
// hinge of NaN is 0.
func (t *Trainer) glance([]int) Stats {
	b := t.batch
	return Stats{Loss: mean(b.Loss), LogpsChosen: mean(b.Chosen), LogpsRejected: mean(b.Rejected)}
}

// measure takes the means over the batch that Stats names. The entropies of all
// rows cost a small share of the step's softmax, so they need no shortcut.
func (t *Trainer) measure(pairs []int) Stats {
	b, beta, rewards := t.batch, t.cfg.Beta, t.loss.Parts[0].Reward
	loss, rewardsChosen, rewardsRejected, logpsChosen, logpsRejected := 0.0, 0.0, 0.0, 0.0, 0.0
	right, decided, tokens := 0, len(pairs), 0
	for k, i := range pairs {
		chosen, rejected := b.LogRatios(k)
		if rewards != nil {
			chosen, rejected = rewards(b, k)
		}
		rewardChosen, rewardRejected := float64(beta*chosen), float64(beta*rejected)
		switch {
		case b.Tied[k]:
			decided--
		case rewardChosen > rewardRejected:
			right++
		}
		loss += b.Loss[k]
		rewardsChosen += rewardChosen
		rewardsRejected += rewardRejected
		logpsChosen += b.Chosen[k]
		logpsRejected += b.Rejected[k]
		tokens += int(t.pairs[i].tokens)
	}
	t.trainer.Policy.RowEntropies(t.entropy[:len(t.entropy)-1])
	scale := 1 / float64(len(pairs))
	s := Stats{
		Loss: float64(loss * scale), RewardsChosen: float64(rewardsChosen * scale), RewardsRejected: float64(rewardsRejected * scale),
		Accuracy:    float64(float64(right) * (1 / float64(max(1, decided)))),
		LogpsChosen: float64(logpsChosen * scale), LogpsRejected: float64(logpsRejected * scale),
		Entropy: t.paths.visited(t.entropy, pairs) / float64(tokens), Delta: b.Delta, needs: t.needs,
	}
	s.Margin = s.RewardsChosen - s.RewardsRejected
	if t.needs&NeedKL != 0 {
		s.KL = mean(b.KL)
	}
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
