package ppo

import (
	"iter"
	"math"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// OnlineConfig is a method that learns from comparisons of fresh samples; names
// are those of TRL's OnlineDPOConfig, XPOConfig and NashMDConfig.
type OnlineConfig struct {
	TotalEpisodes   int     `toml:"total_episodes"`    // responses sampled in all
	BatchSize       int     `toml:"batch_size"`        // responses a step, two a prompt
	SyncParamsEvery int     `toml:"sync_params_every"` // steps for which the sampling policy stays as it is
	Judge           string  `toml:"judge"`             // "argmax", "sample" or "probability"
	LossType        string  `toml:"loss_type"`         // a key of OnlineLosses
	Beta            float64 `toml:"beta"`              // β
	Alpha           float64 `toml:"alpha"`             // α of xpo
	MixtureCoef     float64 `toml:"mixture_coef"`      // m of nash_md
	NumIterations   int     `toml:"num_iterations"`    // updates on each batch
	LearningRate    float64 `toml:"learning_rate"`
	LRSchedulerType string  `toml:"lr_scheduler_type"` // "constant", or "linear" to 0
	MaxGradNorm     float64 `toml:"max_grad_norm"`     // 0 = no clipping
}

// DefaultOnline is online DPO, with a learning rate for tables.
func DefaultOnline() OnlineConfig {
	return OnlineConfig{TotalEpisodes: 25600, BatchSize: 128, SyncParamsEvery: 1, Judge: "argmax", LossType: "sigmoid",
		Beta: 0.1, Alpha: 1e-5, MixtureCoef: 0.5, NumIterations: 1, LearningRate: 0.03, LRSchedulerType: "linear", MaxGradNorm: 1}
}

// Judges say how two scores become the probability P that the first response is
// the preferred one.
var Judges = []struct {
	Name, Idea string
	P          func(margin float64, r *rng.Stream) float64
}{
	{"argmax", "the higher score wins, a tie is half a win (TRL)", func(m float64, _ *rng.Stream) float64 {
		switch {
		case m > 0:
			return 1
		case m < 0:
			return 0
		}
		return 0.5
	}},
	{"sample", "one label drawn with probability σ(r_1 − r_2) (oat's bt_sample)", func(m float64, r *rng.Stream) float64 {
		if r.Float64() < num.Sigmoid(m) {
			return 1
		}
		return 0
	}},
	{"probability", "σ(r_1 − r_2) itself, as from infinitely many labels", func(m float64, _ *rng.Stream) float64 { return num.Sigmoid(m) }},
}

func judgeNames() []string {
	var out []string
	for _, j := range Judges {
		out = append(out, j.Name)
	}
	return out
}

// Validate reports every field that cannot stand.
func (c OnlineConfig) Validate() error {
	var k field.Checker
	k.Count("total_episodes", c.TotalEpisodes, 1, 1_000_000_000)
	k.Count("batch_size", c.BatchSize, 2, 1_000_000)
	k.Require(c.BatchSize%2 == 0, "batch_size", c.BatchSize, "even: responses come in pairs")
	k.Count("sync_params_every", c.SyncParamsEvery, 1, 1_000_000)
	field.OneOf(&k, "judge", c.Judge, judgeNames())
	field.OneOf(&k, "loss_type", c.LossType, names(OnlineLosses, func(l OnlineLoss) string { return l.Name }))
	k.Positive("beta", c.Beta)
	k.NonNegative("alpha", c.Alpha)
	k.Range("mixture_coef", c.MixtureCoef, 0, 1)
	k.Count("num_iterations", c.NumIterations, 1, 1000)
	k.Positive("learning_rate", c.LearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

// Duel is one comparison: two responses to a prompt, the first by the policy,
// and P, the probability that the first is preferred.
type Duel struct {
	LogP, Ref, Old [2]float64 // log π_θ, log π_ref, log of the policy that sampled, of each response
	P              float64
}

// LogRatio is a_i = log π_θ/π_ref of response i.
func (d *Duel) LogRatio(i int) float64 { return d.LogP[i] - d.Ref[i] }

// OnlineLoss is a loss of one comparison and its derivatives with respect to the
// log-probabilities of the two responses.
type OnlineLoss struct {
	Name, Idea, Paper string
	Rival             string // who writes the second response: "policy", "reference" or "mixture"
	Of                func(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64)
}

// OnlineLosses is the table of losses.
var OnlineLosses = []OnlineLoss{
	{"sigmoid", "DPO's loss on two fresh samples", "Guo et al. 2024, arXiv 2402.04792", "policy", onlineSigmoid},
	{"ipo", "IPO's loss on two fresh samples", "Calandriello et al. 2024, arXiv 2403.08635", "policy", onlineIPO},
	{"xpo", "DPO's loss, with a bonus for what the reference would not say", "Xie et al. 2024, arXiv 2405.21046, algorithm 1", "reference", xpo},
	{"nash_md", "the policy gradient against a mixture with the reference", "Munos et al. 2023, arXiv 2312.00886", "mixture", nashMD},
	{"sppo", "the square loss of self-play, against the policy that sampled", "Wu et al. 2024, arXiv 2405.00675", "policy", sppo},
}

func onlineLoss(name string) OnlineLoss {
	for _, l := range OnlineLosses {
		if l.Name == name {
			return l
		}
	}
	panic("ppo: no loss " + name)
}

// onlineSigmoid is −P log σ(βh) − (1−P) log σ(−βh) with h = a_1 − a_2.
func onlineSigmoid(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	z := float64(c.Beta * (d.LogRatio(0) - d.LogRatio(1)))
	loss = float64((1-d.P)*z) - num.LogSigmoid(z) // log σ(−z) = log σ(z) − z
	s := float64(c.Beta * (num.Sigmoid(z) - d.P))
	return loss, [2]float64{s, -s}
}

// onlineIPO is P (h − 1/(2β))² + (1−P) (h + 1/(2β))².
func onlineIPO(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	h, far := d.LogRatio(0)-d.LogRatio(1), 1/float64(2*c.Beta)
	won, lost := h-far, h+far
	loss = float64(d.P*float64(won*won)) + float64((1-d.P)*float64(lost*lost))
	s := float64(2 * (float64(d.P*won) + float64((1-d.P)*lost)))
	return loss, [2]float64{s, -s}
}

// xpo is onlineSigmoid + α log π(y_2), y_2 being the reference's.
func xpo(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	loss, slope = onlineSigmoid(d, c)
	slope[1] += c.Alpha
	return loss + float64(c.Alpha*d.LogP[1]), slope
}

// nashMD is −[P − ½ − β a_1] log π(y_1), the bracket held fixed: its expected
// gradient is that of P(π ≻ rival) − β KL(π‖π_ref), the whole response one action.
func nashMD(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	advantage := d.P - 0.5 - float64(c.Beta*d.LogRatio(0))
	return float64(-advantage * d.LogP[0]), [2]float64{-advantage, 0}
}

// sppo is ½ Σ_i (log π/π_t(y_i) − (P_i − ½)/β)², with P_2 = 1 − P_1 and π_t the
// policy that sampled: what multiplicative weights would make of it.
func sppo(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	for i, p := range [2]float64{d.P, 1 - d.P} {
		e := d.LogP[i] - d.Old[i] - (p-0.5)/c.Beta
		loss += float64(0.5 * float64(e*e))
		slope[i] = e
	}
	return loss, slope
}

// OnlineMethod is a published method as what it changes in DefaultOnline.
type OnlineMethod struct {
	Name, Idea, Paper string
	Defaults          OnlineConfig
}

func onlinePreset(change func(c *OnlineConfig)) OnlineConfig {
	c := DefaultOnline()
	change(&c)
	return c
}

// OnlineMethods is the table of online preference methods.
var OnlineMethods = []OnlineMethod{
	{"online_dpo", "Online DPO: compare two samples of the current policy, then DPO's loss", "Guo et al. 2024, arXiv 2402.04792", DefaultOnline()},
	{"iterative_dpo", "Iterative DPO: as online DPO, with a sampling policy that is renewed now and then", "Xiong et al. 2023, arXiv 2312.11456", onlinePreset(func(c *OnlineConfig) { c.SyncParamsEvery = 50 })},
	{"online_ipo", "Online IPO: the same with IPO's loss", "Calandriello et al. 2024, arXiv 2403.08635", onlinePreset(func(c *OnlineConfig) { c.LossType = "ipo" })},
	{"xpo", "Exploratory Preference Optimization: online DPO against the reference, with an exploration bonus", "Xie et al. 2024, arXiv 2405.21046", onlinePreset(func(c *OnlineConfig) { c.LossType = "xpo" })},
	{"nash_md", "Nash Mirror Descent: play against a mixture of policy and reference", "Munos et al. 2023, arXiv 2312.00886", onlinePreset(func(c *OnlineConfig) { c.LossType, c.Judge = "nash_md", "probability" })},
	{"sppo", "Self-Play Preference Optimization: raise what beats the policy itself", "Wu et al. 2024, arXiv 2405.00675", onlinePreset(func(c *OnlineConfig) {
		c.LossType, c.Judge, c.SyncParamsEvery, c.NumIterations = "sppo", "probability", 50, 4
	})},
}

// OnlineTrainer asks a judge which of two fresh responses is better and learns
// from the answer: preference methods without a fixed set of pairs. The judge
// compares scores of the reward.
type OnlineTrainer struct {
	cfg           OnlineConfig
	loss          OnlineLoss
	judge         func(margin float64, r *rng.Stream) float64
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
	t := &OnlineTrainer{cfg: cfg, loss: onlineLoss(cfg.LossType), policy: policy.NewTrainer(pi, cfg.MaxGradNorm), ref: ref, reward: reward,
		weights: promptWeights, rollout: newRollout(cfg.BatchSize, pi.Shape), preferred: make([]float64, cfg.BatchSize/2), source: pi}
	for _, j := range Judges {
		if j.Name == cfg.Judge {
			t.judge = j.P
		}
	}
	if cfg.SyncParamsEvery > 1 {
		t.source = pi.Clone()
	}
	switch t.loss.Rival {
	case "policy":
		t.rival = t.source
	case "reference":
		t.rival = ref
	case "mixture":
		t.rival, t.mixed = pi.Clone(), make([]float64, pi.Cells())
	}
	return t
}

// Steps is the number of batches of the whole training.
func (t *OnlineTrainer) Steps() int {
	return (t.cfg.TotalEpisodes + t.cfg.BatchSize - 1) / t.cfg.BatchSize
}

// Step samples a batch of pairs, has them judged, and learns from the verdicts.
func (t *OnlineTrainer) Step(r *rng.Stream) OnlineStats {
	s := OnlineStats{Beta: t.cfg.Beta, LearningRate: scheduled(t.cfg.LRSchedulerType, t.cfg.LearningRate, t.step, t.Steps())}
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

// sync renews the sampling policy, and the rival that is a mixture:
// π_mix(w|·) ∝ π(w|·)^(1−m) π_ref(w|·)^m, row by row.
func (t *OnlineTrainer) sync() {
	if t.step%t.cfg.SyncParamsEvery == 0 && t.source != t.policy.Policy {
		must(t.source.SetLogits(t.policy.Policy.Logits))
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
		t.preferred[i] = t.judge(margin, r)
		s.ScoresMargin += math.Abs(margin) / float64(len(t.preferred))
	}
	b.finish(t.source, t.ref)
	s.Scores = mean(b.total)
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

// All yields the metrics under TRL's names (OnlineDPOTrainer).
func (s OnlineStats) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("loss", s.Loss) && yield("objective/kl", s.KL) && yield("objective/entropy", s.Entropy) &&
			yield("objective/scores", s.Scores) && yield("objective/scores_margin", s.ScoresMargin) &&
			yield("rewards/chosen", s.RewardsChosen) && yield("rewards/rejected", s.RewardsRejected) &&
			yield("rewards/margins", s.RewardsChosen-s.RewardsRejected) && yield("rewards/accuracies", s.Accuracy) &&
			yield("logps/chosen", s.LogpsChosen) && yield("logps/rejected", s.LogpsRejected) &&
			yield("val/contain_eos_token", s.EOS) && yield("beta", s.Beta) &&
			yield("grad_norm", s.GradNorm) && yield("learning_rate", s.LearningRate) && yield("episode", s.Episode)
	}
}
