package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
	"rlhfsim/reward"
)

// Metric is one named number of a record.
type Metric struct {
	Name  string
	Value float64
}

// Row is one record: the metrics of a stage after that many steps.
type Row struct {
	Stage   string
	Step    int
	Metrics []Metric
}

// Get is the metric of that name, NaN where the row has none.
func (r Row) Get(name string) float64 {
	for _, m := range r.Metrics {
		if m.Name == name {
			return m.Value
		}
	}
	return math.NaN()
}

// NonFiniteError stops a stage whose training produced NaN or an infinity.
type NonFiniteError struct {
	Stage, Metric string
	Step          int
	Value         float64
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("stage %s, step %d: %s is %v", e.Stage, e.Step, e.Metric, e.Value)
}

// learner is a stage's training as the loop sees it.
type learner struct {
	steps int
	step  func(*rng.Stream) iter.Seq2[string, float64]
	// learn is step where nobody looks: what it measures need only show that the
	// training has failed. The two leave the same policy behind.
	learn func(*rng.Stream) iter.Seq2[string, float64]
	// diagnose compares the learner's gradient with the exact one; nil where it
	// cannot.
	diagnose func(*rng.Stream) []Metric
}

type stats interface {
	All() iter.Seq2[string, float64]
}

func newLearner[S stats](steps int, step func(*rng.Stream) S) learner {
	return learner{steps: steps, step: metricsOf(step), learn: metricsOf(step)}
}

func metricsOf[S stats](step func(*rng.Stream) S) func(*rng.Stream) iter.Seq2[string, float64] {
	return func(r *rng.Stream) iter.Seq2[string, float64] { return step(r).All() }
}

// recorded says whether a stage is recorded after that many steps.
func (l learner) recorded(step, every int) bool { return step%every == 0 || step == l.steps }

// next takes the step after so many.
func (l learner) next(done, every int, r *rng.Stream) iter.Seq2[string, float64] {
	if l.recorded(done+1, every) {
		return l.step(r)
	}
	return l.learn(r)
}

// train is the one training loop of the program: it counts, evaluates, records
// and stops. Rows are recorded before the first step, every `every` steps and
// after the last one; evaluate adds the exact metrics of that moment, which mean
// nothing where ctx has ended meanwhile.
func train(ctx context.Context, stage string, l learner, every int, r *rng.Stream, evaluate func(row *Row, last bool)) ([]Row, error) {
	var rows []Row
	var measured []Metric
	doing := telling(ctx)
	for step := 0; ; step++ {
		doing(stage, step, l.steps)
		last := step == l.steps
		if l.recorded(step, every) {
			row := Row{Stage: stage, Step: step}
			evaluate(&row, last)
			if ctx.Err() != nil {
				return rows, context.Cause(ctx)
			}
			row.Metrics = append(row.Metrics, measured...)
			if err := checkFinite(row, row.Metrics); err != nil {
				return rows, err
			}
			rows = append(rows, row)
		}
		if last {
			return rows, nil
		}
		measured = measured[:0]
		for name, value := range l.next(step, every, r) {
			measured = append(measured, Metric{name, value})
		}
		if ctx.Err() != nil {
			return rows, context.Cause(ctx)
		}
		if err := checkFinite(Row{Stage: stage, Step: step + 1}, measured); err != nil {
			return rows, err
		}
	}
}

func checkFinite(at Row, metrics []Metric) error {
	for _, m := range metrics {
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			return &NonFiniteError{Stage: at.Stage, Step: at.Step, Metric: m.Name, Value: m.Value}
		}
	}
	return nil
}

// Lab is a world made ready for exact evaluation. Where the lattice of all
// counts would be too large, values is nil, and what needs it is estimated. It is read-only: any number
// of seeds share one.
type Lab struct {
	Config Config
	World  *World
	gold   *policy.CountReward
	values *policy.CountValue

	// TooLarge says by how much the lattice of all counts passes the budget; nil
	// where it is small enough.
	TooLarge error

	lattices *lattices

	numbers []float64 // 0, 1, …, max_length: the worths that make a count its own expectation
}

// NewLab builds the world of a configuration and its lattices. It stops when ctx
// ends, as everything here does that takes one.
func NewLab(ctx context.Context, c Config) (*Lab, error) {
	telling(ctx)("the lattice of counts", 0, 0)
	w, err := NewWorld(c)
	if err != nil {
		return nil, err
	}
	c = c.Expanded()
	values, err := policy.NewCountValue(ctx, w.Shape, w.Gold)
	if err != nil && !errors.Is(err, policy.ErrTooLarge) {
		return nil, err
	}
	l := &Lab{Config: c, World: w, TooLarge: err, gold: policy.NewCountReward(w.Shape, w.Gold), values: values, lattices: &lattices{at: map[string]*judged{}}}
	for n := range w.Shape.MaxLength + 1 {
		l.numbers = append(l.numbers, float64(n))
	}
	if err := l.needsLattice(); err != nil || c.Reward.Model != reward.MLP {
		return l, err
	}
	_, err = l.judged(ctx)
	return l, err
}

// States is the number of count states behind exact win rates, 0 where there are
// too many and they are estimated.
func (l *Lab) States() int {
	if l.values == nil {
		return 0
	}
	return l.values.States()
}

// NetworkStates is the number of count states behind a network's exact proxy, 0
// for other reward models.
func (l *Lab) NetworkStates() int {
	if l.Config.Reward.Model != reward.MLP {
		return 0
	}
	on, err := l.judged(context.Background()) // NewLab has built it
	if err != nil {
		return 0
	}
	return on.lattice.States()
}

// Shared is what all arms of one seed start from: the policies before
// alignment, the rankings and the reward model.
type Shared struct {
	*Lab
	Seed              uint64
	Base, SFT         *policy.Softmax
	Rankings, HeldOut []policy.Ranking
	Judge
	Rows        []Row
	Calibration []reward.Bin
	Frontier    Frontier
	BestOfN     BestOfN

	underSFT  underSFT // of a network
	evaluator *policy.Evaluator
	ideals    *ideals
	sftValues policy.Distribution // empty where values is nil
	written   []policy.Demonstration
	writer    *policy.Chain // of the ranked responses
}

// calibrationBins divide the predicted preference probabilities.
const calibrationBins = 10

// Pretrained is base and SFT of one seed, before any label.
type Pretrained struct{ shared Shared }

// NewShared runs the stages that arms share, for one seed: pre-training, SFT,
// rankings, reward model.
func (l *Lab) NewShared(ctx context.Context, seed uint64) (*Shared, error) {
	p, err := l.Pretrain(ctx, seed)
	if err != nil {
		return nil, err
	}
	return p.Label(ctx, l)
}

// Pretrain runs pre-training and SFT.
func (l *Lab) Pretrain(ctx context.Context, seed uint64) (*Pretrained, error) {
	p := &Pretrained{*l.newShared(ctx, seed)}
	return p, p.shared.pretrain(ctx)
}

// Label collects rankings and fits the reward model. The lab's configuration
// may differ from that of Pretrain in these two; any number of them may run at
// the same time.
func (p *Pretrained) Label(ctx context.Context, l *Lab) (*Shared, error) {
	s := l.newShared(ctx, p.shared.Seed)
	s.Base, s.SFT, s.sftValues, s.Rows = p.shared.Base, p.shared.SFT, p.shared.sftValues, slices.Clone(p.shared.Rows)
	s.written = p.shared.written
	s.collect(ctx)
	if err := s.fitReward(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Restore rebuilds what arms start from without training: only for a Restorable
// configuration. Records, calibration and frontier are not part of it.
func (l *Lab) Restore(ctx context.Context, seed uint64, base, sft []float64, members []reward.Model) (*Shared, error) {
	s := l.newShared(ctx, seed)
	for _, p := range []struct {
		to     **policy.Softmax
		logits []float64
	}{{&s.Base, base}, {&s.SFT, sft}} {
		pi, err := policy.NewSoftmax(l.World.Shape, policy.Table)
		if err != nil {
			return nil, err
		}
		if err := pi.SetLogits(p.logits); err != nil {
			return nil, err
		}
		*p.to = pi
	}
	if s.values != nil {
		s.sftValues = s.evaluator.Distribution(&s.SFT.Chain, s.values)
	}
	s.collect(ctx)
	if err := s.setJudge(ctx, members); err != nil {
		return nil, err
	}
	return s, context.Cause(ctx)
}

func (l *Lab) newShared(ctx context.Context, seed uint64) *Shared {
	return &Shared{Lab: l, Seed: seed, ideals: &ideals{at: map[float64]*ideal{}}, evaluator: policy.NewEvaluator(l.World.Shape, l.World.Weights).Until(ctx)}
}

// With is the lab under another configuration of the same world and policy order.
func (l *Lab) With(c Config) *Lab {
	own := *l
	own.Config = c
	return &own
}

func (s *Shared) stream(path ...string) *rng.Stream { return rng.New(s.Seed, path...) }

// snapshot is a policy of an early stage, kept until its reference exists.
type snapshot struct {
	stage string
	row   int
	last  bool
	pi    *policy.Softmax
}

// pretrain runs base and SFT. The reference of every KL and win rate is the
// finished SFT policy, so the early policies are evaluated once it exists.
func (s *Shared) pretrain(ctx context.Context) error {
	c, w := s.Config, s.World
	var kept []snapshot
	run := func(stage string, pi *policy.Softmax, cfg policy.FitConfig, data []policy.Demonstration) error {
		fit := policy.NewFit(cfg, pi, data)
		at := len(s.Rows)
		rows, err := train(ctx, stage, newLearner(fit.Steps(), fit.Step), c.Evaluation.Every, s.stream(stage, "batches"),
			func(row *Row, last bool) {
				first := row.Step == 0
				kept = append(kept, snapshot{stage, at, first || last, pi.Clone()})
				at++
			})
		s.Rows = append(s.Rows, rows...)
		return err
	}
	var err error
	if s.Base, err = c.Policy.New(w.Shape); err != nil {
		return err
	}
	if err := run("base", s.Base, c.Base.FitConfig, w.rawText(c.Base, s.stream("base", "text"))); err != nil {
		return err
	}
	if s.written, err = w.demonstrations(c.SFT); err != nil {
		return err
	}
	generated, err := s.writers()
	if err != nil {
		return err
	}
	s.written = append(s.written, generated...)
	s.SFT = s.Base.Clone()
	if err := run("sft", s.SFT, c.SFT.FitConfig, s.written); err != nil {
		return err
	}
	if s.values != nil {
		telling(ctx)("evaluating SFT", 0, 0)
		s.sftValues = s.evaluator.Distribution(&s.SFT.Chain, s.values)
	}
	for i, k := range kept {
		telling(ctx)("evaluating base and SFT", i, len(kept))
		row := &s.Rows[k.row]
		row.Metrics = append(s.exact(&k.pi.Chain, k.last).metrics(), row.Metrics...)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := checkFinite(*row, row.Metrics); err != nil {
			return err
		}
	}
	return nil
}

// collect asks the raters for rankings of sampled responses.
func (s *Shared) collect(ctx context.Context) {
	c := s.Config.Labels
	writer := &s.SFT.Chain
	switch c.ResponseSource {
	case "base":
		writer = &s.Base.Chain
	case "uniform":
		writer = &s.SFT.Uniform().Chain
	}
	s.writer = writer
	s.Rankings = s.rank(ctx, writer, c.Rankings, "train")
	s.HeldOut = s.rank(ctx, writer, c.HeldOut, "held out")
}

// rank collects n rankings. Prompts, responses and judgements have streams of
// their own, so that n rankings are the first n of any larger collection.
func (s *Shared) rank(ctx context.Context, writer *policy.Chain, n int, purpose string) []policy.Ranking {
	c := s.Config.Labels
	rater := Rater{World: s.World, Temperature: c.RaterTemperature, LabelNoise: c.LabelNoise, TieNu: c.TieNu}
	prompts, responses, labels := s.stream("labels", purpose, "prompts"), s.stream("labels", purpose, "responses"), s.stream("labels", purpose, "judgements")
	rankings := make([]policy.Ranking, n)
	telling(ctx)("rankings", 0, 0)
	for i := range rankings {
		if ctx.Err() != nil {
			break
		}
		x := policy.Prompt(prompts.Categorical(s.World.Weights))
		candidates := make([]policy.Response, c.ResponsesPerRanking)
		for k := range candidates {
			candidates[k] = writer.Sample(nil, x, responses)
		}
		rankings[i] = rater.Rank(x, candidates, labels)
	}
	return rankings
}

// fitReward trains the reward model and measures it on held-out rankings.
func (s *Shared) fitReward(ctx context.Context) error {
	c := s.Config
	t := reward.NewEnsemble(c.Reward, s.view(), s.Rankings, s.stream("reward", "init"), s.stream("reward", "resamples"))
	rater := Rater{World: s.World, Temperature: c.Labels.RaterTemperature, LabelNoise: c.Labels.LabelNoise, TieNu: c.Labels.TieNu}
	telling(ctx)("how far raters agree", 0, 0)
	agreement := s.agreement(ctx, rater)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	rows, err := train(ctx, "reward", newLearner(t.Steps(), t.Step), c.Evaluation.Every, s.stream("reward", "batches"),
		func(row *Row, last bool) {
			held := reward.Evaluate(t.Model(), s.HeldOut)
			row.Metrics = append(row.Metrics, Metric{"eval_loss", held.Loss}, Metric{"eval_accuracy", held.Accuracy}, Metric{"eval_margin", held.Margin})
			if last {
				row.Metrics = append(row.Metrics, agreement...)
			}
		})
	if err != nil {
		return err
	}
	s.Rows = append(s.Rows, rows...)
	members := t.Members()
	for _, m := range members {
		reward.Shift(m, s.written)
	}
	if err := s.setJudge(ctx, members); err != nil {
		return err
	}
	s.Calibration = reward.Calibration(s.Reward, s.HeldOut, calibrationBins)
	if s.Frontier, err = s.newFrontier(ctx); err != nil {
		return err
	}
	telling(ctx)("best of n", 0, 0)
	if s.BestOfN, err = s.newBestOfN(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// Arm is one way to align the SFT policy: a method and its configuration.
type Arm struct {
	Name, Label, Method string
	Config              Config
}

// Result is what an arm learned, the records of how, and what it could have
// been: the exact optimum of the learned reward, and of gold itself, at the
// arm's objective.beta.
type Result struct {
	Policy        *policy.Softmax
	Rows          []Row
	Optimum, Gold Exact
}

// RunArm aligns a copy of the SFT policy with the arm's method. Several arms
// may run at the same time: each evaluates with scratch space of its own.
func (shared *Shared) RunArm(ctx context.Context, a Arm) (*Result, error) {
	own := *shared
	s := &own
	s.evaluator = policy.NewEvaluator(s.World.Shape, s.World.Weights).Until(ctx)
	m, known := MethodByName(a.Method)
	if !known {
		return nil, fmt.Errorf("sim: no method %q", a.Method)
	}
	best, err := s.ideal(ctx, a.Config.Objective.Beta)
	if err != nil {
		return nil, err
	}
	out := &Result{Policy: s.SFT.Clone(), Optimum: best.exact, Gold: best.gold}
	l, probe := m.build(s, a.Config, out.Policy), s.stream(m.streamName(), "gradient")
	out.Rows, err = train(ctx, a.Method, l, a.Config.Evaluation.Every, s.stream(m.streamName(), "steps"),
		func(row *Row, last bool) {
			e := s.start()
			if row.Step > 0 {
				e = s.exact(&out.Policy.Chain, last)
			}
			e.against(a.Config.Objective.Beta, best.jStar)
			row.Metrics = append(row.Metrics, e.metrics()...)
			if a.Config.Evaluation.Gradient && l.diagnose != nil {
				row.Metrics = append(row.Metrics, l.diagnose(probe)...)
			}
			if last && out.Gold.HasObjective && !math.IsNaN(e.Gold) {
				row.Metrics = append(row.Metrics, s.gap(out.Policy, e, best, a.Config.Objective.Beta).metrics()...)
			}
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Probe trains an arm until it is enough, keeps nothing, and says how many of its
// steps it took: what an estimate of time rests on.
func (shared *Shared) Probe(ctx context.Context, a Arm, enough func() bool) (done, total int) {
	own := *shared
	own.evaluator = policy.NewEvaluator(own.World.Shape, own.World.Weights).Until(ctx)
	m, _ := MethodByName(a.Method)
	pi := own.SFT.Clone()
	l := m.build(&own, a.Config, pi)
	telling(ctx)(a.Method+", a few steps", 0, 0)
	for r := own.stream(m.streamName(), "probe"); done < l.steps && !enough() && ctx.Err() == nil; done++ {
		if done%a.Config.Evaluation.Every == 0 {
			own.exact(&pi.Chain, false)
		}
		l.next(done, a.Config.Evaluation.Every, r)
	}
	return done, l.steps
}

// ProxyAt evaluates the exact optimum of the learned reward at β; jStar is its
// objective.
func (s *Shared) ProxyAt(ctx context.Context, beta float64) (jStar float64, e Exact, err error) {
	own := *s
	own.evaluator = policy.NewEvaluator(s.World.Shape, s.World.Weights).Until(ctx)
	i, err := own.ideal(ctx, beta)
	if err != nil {
		return 0, Exact{}, err
	}
	return i.jStar, i.exact, nil
}
