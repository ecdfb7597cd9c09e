package ppo

import (
	"iter"
	"math"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// OnlineTrainer asks a judge which of two fresh responses is better and learns
// from the answer: preference methods without a fixed set of pairs. The judge
// compares scores of the reward.
type OnlineTrainer struct {
	cfg           OnlineConfig
	loss          OnlineLoss
	judge         Judge
	noise         float64 // probability that a label is reversed
	policy        *policy.Trainer
	ref           *policy.Softmax
	source, rival *policy.Softmax // who writes first and second responses
	mixed         []float64       // logits of the mixture
	reward        Scorer
	weights       []float64
	rollout       *rollout
	preferred     []float64 // P of each pair
	duel          Duel
	step          int
}

// NewOnline prepares the alignment of pi, which starts as a copy of ref.
func NewOnline(cfg OnlineConfig, pi, ref *policy.Softmax, reward Scorer, promptWeights []float64) *OnlineTrainer {
	loss, known := onlineLoss(cfg.LossType)
	if !known {
		panic("ppo: no loss " + cfg.LossType)
	}
	t := &OnlineTrainer{cfg: cfg, loss: loss, policy: policy.NewTrainer(pi, cfg.MaxGradNorm), ref: ref, reward: reward,
		weights: promptWeights, rollout: newRollout(cfg.BatchSize, pi.Shape), preferred: make([]float64, cfg.BatchSize/2), source: pi}
	for _, j := range Judges {
		if j.Name == cfg.Judge {
			t.judge = j
		}
	}
	if cfg.SyncParamsEvery > 1 {
		t.source = pi.Free() // its logits are set, whatever class the policy is of
	}
	if cfg.Reference == "round" {
		t.ref = pi.Free()
	}
	switch t.loss.Rival {
	case "policy":
		t.rival = t.source
	case "reference":
		t.rival = t.ref
	case "mixture":
		t.rival, t.mixed = pi.Free(), make([]float64, pi.Cells())
	}
	return t
}

// LabelNoise makes the judge reverse its label with probability ε.
func (t *OnlineTrainer) LabelNoise(epsilon float64) { t.noise = epsilon }

// Steps is the number of batches of the whole training.
func (t *OnlineTrainer) Steps() int {
	return (t.cfg.TotalEpisodes + t.cfg.BatchSize - 1) / t.cfg.BatchSize
}

// Step samples a batch of pairs, has them judged, and learns from the verdicts.
func (t *OnlineTrainer) Step(r *rng.Stream) OnlineStats {
	s := OnlineStats{Beta: t.cfg.Beta, LearningRate: scheduled(t.cfg.LRSchedulerType, t.cfg.LearningRate, t.step, t.Steps()), metrics: t.loss.Metrics}
	t.sync()
	t.sample(r, &s)
	for k := range t.cfg.NumIterations {
		s.Loss += t.backward(&s, k == 0) / float64(t.cfg.NumIterations)
		s.GradNorm += t.policy.Update(s.LearningRate) / float64(t.cfg.NumIterations)
	}
	t.step++
	s.Episode = float64(t.step * t.cfg.BatchSize)
	return s
}

// sync begins a round where one is due, with the sampling policy and the reference
// renewed, and renews the rival that is a mixture: π_mix(w|·) ∝ π(w|·)^(1−m)
// π_ref(w|·)^m, row by row.
func (t *OnlineTrainer) sync() {
	if t.step%t.cfg.SyncParamsEvery == 0 {
		if t.source != t.policy.Policy {
			must(t.source.SetLogits(t.policy.Policy.Logits))
		}
		if t.cfg.Reference == "round" {
			must(t.ref.SetLogits(t.policy.Policy.Logits))
		}
	}
	if t.mixed == nil {
		return
	}
	m := t.cfg.MixtureCoef
	for i := range t.mixed {
		t.mixed[i] = float64((1-m)*t.source.LogP[i]) + float64(m*t.ref.LogP[i])
	}
	must(t.rival.SetLogits(t.mixed))
}

// must stops at an error that equal shapes rule out.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// sample draws the pairs and has them judged.
func (t *OnlineTrainer) sample(r *rng.Stream, s *OnlineStats) {
	b := t.rollout
	b.truncate(0)
	for i := range t.preferred {
		x := policy.Prompt(draw(t.weights, r.Float64()))
		b.respond(2*i, x, t.source, r)
		b.respond(2*i+1, x, t.rival, r)
		for e := 2 * i; e < 2*i+2; e++ {
			b.total[e] = t.reward.Score(x, b.response[e])
			if b.ended(e) {
				s.EOS += 1 / float64(len(b.prompt))
			}
		}
		margin := b.total[2*i] - b.total[2*i+1]
		t.preferred[i] = t.label(margin, r)
		s.ScoresMargin += math.Abs(margin) / float64(len(t.preferred))
	}
	b.finish(t.source, t.ref)
	s.Scores = mean(b.total)
}

// label is P of a pair, or the label drawn with it.
func (t *OnlineTrainer) label(margin float64, r *rng.Stream) float64 {
	p := t.judge.P(margin)
	if t.noise > 0 {
		p = float64((1-t.noise)*p) + float64(t.noise*(1-p))
	}
	if !t.judge.Draw {
		return p
	}
	if r.Float64() < p {
		return 1
	}
	return 0
}

// backward adds the gradient of the mean loss and returns it; on the first
// iteration it measures.
func (t *OnlineTrainer) backward(s *OnlineStats, first bool) (loss float64) {
	b, pi, each := t.rollout, t.policy.Policy, 1/float64(len(t.preferred))
	for i, p := range t.preferred {
		d := &t.duel
		d.P = p
		for k := range 2 {
			from, to := b.start[2*i+k], b.start[2*i+k+1]
			d.LogP[k] = pi.SumLogP(b.index[from:to])
			d.Ref[k], d.Old[k] = num.Sum(b.ref[from:to]), num.Sum(b.old[from:to])
		}
		own, slope := t.loss.Of(d, &t.cfg)
		loss += float64(each * own)
		for k := range 2 {
			for _, at := range b.index[b.start[2*i+k]:b.start[2*i+k+1]] {
				t.policy.G[at] += float64(each * slope[k])
			}
		}
		if first {
			s.measure(d, each)
			for k, m := range t.loss.Metrics {
				s.own[k] += float64(each * m.Of(d, [2]float64{b.total[2*i], b.total[2*i+1]}, &t.cfg))
			}
		}
	}
	return loss
}

// OnlineStats of one step, means over its pairs. Chosen is the response that the
// judge thought more likely the better one, the first where it is undecided.
type OnlineStats struct {
	Loss            float64
	KL              float64 // objective/kl: log π/π_ref of the policy's own responses
	Entropy         float64 // objective/entropy: −log π of them
	Scores          float64 // objective/scores: of all responses
	ScoresMargin    float64 // objective/scores_margin: |r_1 − r_2|
	RewardsChosen   float64 // rewards/chosen: β log π/π_ref
	RewardsRejected float64
	Accuracy        float64 // rewards/accuracies: share of pairs with the chosen implicit reward above the rejected
	LogpsChosen     float64
	LogpsRejected   float64
	EOS             float64 // val/contain_eos_token: share of responses that ended themselves
	Beta            float64
	GradNorm        float64 // before clipping
	LearningRate    float64
	Episode         float64 // responses sampled so far

	metrics []pairMetric // of the loss
	own     [4]float64   // their values
}

// measure adds one pair.
func (s *OnlineStats) measure(d *Duel, each float64) {
	chosen, rejected := 0, 1
	if d.P < 0.5 {
		chosen, rejected = 1, 0
	}
	s.KL += float64(each * d.LogRatio(0))
	s.Entropy -= float64(each * d.LogP[0])
	s.LogpsChosen += float64(each * d.LogP[chosen])
	s.LogpsRejected += float64(each * d.LogP[rejected])
	s.RewardsChosen += float64(each * float64(s.Beta*d.LogRatio(chosen)))
	s.RewardsRejected += float64(each * float64(s.Beta*d.LogRatio(rejected)))
	if d.LogRatio(chosen) > d.LogRatio(rejected) {
		s.Accuracy += each
	}
}

// All yields the metrics under TRL's names (OnlineDPOTrainer), then the loss's own.
func (s OnlineStats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		goesOn := yield("loss", s.Loss) && yield("objective/kl", s.KL) && yield("objective/entropy", s.Entropy) &&
			yield("objective/scores", s.Scores) && yield("objective/scores_margin", s.ScoresMargin) &&
			yield("rewards/chosen", s.RewardsChosen) && yield("rewards/rejected", s.RewardsRejected) &&
			yield("rewards/margins", s.RewardsChosen-s.RewardsRejected) && yield("rewards/accuracies", s.Accuracy) &&
			yield("logps/chosen", s.LogpsChosen) && yield("logps/rejected", s.LogpsRejected) &&
			yield("val/contain_eos_token", s.EOS) && yield("beta", s.Beta) &&
			yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate) && yield("episode", s.Episode)
		for k := 0; goesOn && k < len(s.metrics); k++ {
			goesOn = yield(s.metrics[k].Name, s.own[k])
		}
	}
}
