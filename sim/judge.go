package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"rlhfsim/internal/field"
	"rlhfsim/policy"
	"rlhfsim/reward"
)

// Judge is the learned reward: the models, what methods that see a reward see,
// and what exact sums can make of it.
type Judge struct {
	Members []reward.Model // of the ensemble, one for a single model
	Reward  reward.Scorer  // what the exact proxy is the expectation of
	Scorer  reward.Scorer  // what methods that see a reward see

	proxy proxy
}

// proxy is the learned reward in a form with exact expectations: a linear model
// rides on the words, a network needs the lattice of the counts it reads.
type proxy struct {
	additive *policy.Additive
	counts   *policy.CountReward
	value    *policy.CountValue // the same as counts
	on       *judged            // where value lies
}

// judged is the lattice of the counts that a network reads together with those of
// gold, so that what depends on both is exact.
type judged struct {
	lattice *policy.CountLattice
	gold    *policy.CountValue
	any     []*policy.CountValue // whether there is any event, of each of gold's counts
}

// lattices are built once for each set of counts.
type lattices struct {
	mu sync.Mutex
	at map[string]*judged
}

// counter is a score that is a function of counts.
type counter interface{ ScoreCounts(n []int) float64 }

// NewJudge makes fitted reward models the judge. The proxy of linear models is
// that of their mean; of networks, that of their aggregate.
func (l *Lab) NewJudge(ctx context.Context, members []reward.Model) (Judge, error) {
	c := l.Config.Reward
	e := &reward.Ensemble{Members: members, Aggregate: c.Aggregate, Lambda: c.UncertaintyCoef}
	j := Judge{Members: members, Reward: members[0], Scorer: members[0]}
	if len(members) > 1 {
		j.Reward, j.Scorer = e.Mean(), e.Mean()
		if c.Aggregate != reward.MeanScore {
			j.Scorer = e
		}
	}
	if m, linear := j.Reward.(*reward.Linear); linear {
		additive := m.Additive(l.World.Shape)
		j.proxy.additive = &additive
		return j, nil
	}
	j.Reward = j.Scorer
	on, err := l.judged(ctx)
	if err != nil {
		return j, err
	}
	score := j.Scorer.(counter)
	j.proxy.on = on
	if j.proxy.value, err = on.lattice.Value(ctx, func(_ policy.Prompt, n []int) float64 { return score.ScoreCounts(n) }); err != nil {
		return j, err
	}
	j.proxy.counts = j.proxy.value.Reward()
	return j, nil
}

// NewModel is an unfitted reward model of the configured kind that begins with
// nothing: what fitted tensors can be copied into.
func (l *Lab) NewModel() reward.Model { return l.Config.Reward.NewModel(l.view(), nil) }

// view is what reward models can see of the world.
func (l *Lab) view() reward.View {
	return reward.View{Prompts: l.World.Shape.Prompts, Words: l.World.Shape.Words, Counts: l.readable()}
}

// judged is the lattice for the counts of the configured network.
func (l *Lab) judged(ctx context.Context) (*judged, error) {
	key := fmt.Sprintf("%q %d", l.Config.CountsRead(), l.Config.Reward.CountCap)
	l.lattices.mu.Lock()
	defer l.lattices.mu.Unlock()
	if known := l.lattices.at[key]; known != nil {
		return known, nil
	}
	names, counts := slices.Clone(l.Config.CountsRead()), l.readable()
	place := make([]int, len(l.World.Gold)) // of gold's counts among all
	for k, name := range l.World.countNames {
		own := l.World.Gold[k]
		if place[k] = slices.Index(names, name); place[k] < 0 {
			place[k] = len(names)
			names, counts = append(names, name), append(counts, own)
		} else if len(own.Worth) > len(counts[place[k]].Worth) {
			counts[place[k]].Worth = own.Worth
		}
	}
	lattice, err := policy.NewCountLattice(ctx, l.World.Shape, counts)
	if errors.Is(err, policy.ErrTooLarge) {
		return nil, &field.Error{Field: "reward.model", Value: `"mlp"`, Allowed: "\"bag_of_words\" or \"bigrams\" in a world of this size",
			Why: err.Error(), Help: "let it read fewer reward.counts, or set a smaller reward.count_cap"}
	}
	if err != nil {
		return nil, err
	}
	gold, err := lattice.Value(ctx, func(_ policy.Prompt, n []int) float64 {
		own := make([]int, len(place))
		for k, at := range place {
			own[k] = n[at]
		}
		return l.World.Gold.OfCounts(own)
	})
	if err != nil {
		return nil, err
	}
	on := &judged{lattice: lattice, gold: gold}
	for _, at := range place {
		any, err := lattice.Value(ctx, func(_ policy.Prompt, n []int) float64 { return float64(min(1, n[at])) })
		if err != nil {
			return nil, err
		}
		on.any = append(on.any, any)
	}
	l.lattices.at[key] = on
	return on, nil
}

// CountsRead names the counts that a network reads: those of the configuration,
// or every word group and then the counts that are no group. The configuration
// must be Expanded.
func (c Config) CountsRead() []string {
	if len(c.Reward.Counts) > 0 {
		return c.Reward.Counts
	}
	return slices.Concat(c.World.groupNames(), specialCounts)
}

// readable are those counts, capped; the length is not, since it costs no state.
func (l *Lab) readable() policy.Counts {
	var out policy.Counts
	for _, name := range l.Config.CountsRead() {
		most := l.Config.Reward.CountCap
		if name == length {
			most = l.World.Shape.MaxLength
		}
		out = append(out, l.World.count(ValueConfig{Count: name, Worth: make([]float64, most+1)}))
	}
	return out
}

// validateCounts checks what a network is to read.
func (c Config) validateCounts(k *field.Checker) {
	known := append(c.World.groupNames(), specialCounts...)
	seen := map[string]bool{}
	for i, name := range c.Reward.Counts {
		at := fmt.Sprintf("reward.counts[%d]", i)
		if !slices.Contains(known, name) {
			k.Add(&field.Error{Field: at, Value: fmt.Sprintf("%q", name), Allowed: "a word group or one of " + fmt.Sprintf("%q", specialCounts), Help: suggest(name, known)})
		}
		k.Require(!seen[name], at, fmt.Sprintf("%q", name), "named once")
		seen[name] = true
	}
	if n := len(c.Reward.Counts); c.Reward.Model == reward.MLP && (n > reward.MaxCounts || n == 0 && len(known) > reward.MaxCounts) {
		k.Add(&field.Error{Field: "reward.counts", Value: max(n, len(known)), Allowed: fmt.Sprintf("at most %d counts", reward.MaxCounts)})
	}
}

// none says that there is no reward model yet.
func (p proxy) none() bool { return p.additive == nil && p.counts == nil }

// objective is what the learned reward asks for at β.
func (p proxy) objective(ref *policy.Chain, beta float64) policy.Objective {
	return policy.Objective{Ref: ref, Additive: p.additive, Counts: p.counts, Beta: beta}
}

// underSFT is the joint distribution of a network's score and gold under the SFT
// policy: it tells all optima of the score without walking the lattice again.
type underSFT struct {
	states    policy.StateMass
	selection policy.Selection
}

// setJudge installs fitted reward models.
func (s *Shared) setJudge(ctx context.Context, members []reward.Model) (err error) {
	if s.Judge, err = s.NewJudge(ctx, members); err != nil || s.proxy.value == nil {
		return err
	}
	s.underSFT.states = s.evaluator.States(&s.SFT.Chain, s.proxy.on.lattice)
	s.underSFT.selection = s.underSFT.states.Selection(s.proxy.value, s.proxy.on.gold)
	return nil
}

// proxyOptimum is J* of the learned reward at β, and the exact evaluation of the
// optimum.
func (s *Shared) proxyOptimum(beta float64) (jStar float64, e Exact, err error) {
	if s.proxy.value != nil {
		return s.networkOptimum(beta)
	}
	o, err := s.evaluator.NewOptimum(&s.SFT.Chain, s.proxy.additive, beta)
	if err != nil {
		return 0, Exact{}, err
	}
	return o.Value, s.exact(&o.Chain, true), nil
}

// networkOptimum is the same where the optimum is no chain.
func (s *Shared) networkOptimum(beta float64) (jStar float64, e Exact, err error) {
	o, err := s.evaluator.NewCountOptimum(&s.SFT.Chain, s.proxy.value, beta)
	if err != nil {
		return 0, Exact{}, err
	}
	visits := make([]float64, s.World.Shape.Cells())
	walked := s.evaluator.ExpectCountOptimum(o, visits)
	e = Exact{Entropy: walked.Entropy, Length: walked.Length, HasProxy: true, HasWinRate: true}
	jStar, e.Proxy, e.KL, e.Gold = s.evaluator.TiltedSelection(s.underSFT.selection, beta)
	states, on := s.underSFT.states.Tilted(s.proxy.value, beta), s.proxy.on
	gold := states.Distribution(on.gold)
	e.WinRate = s.evaluator.WinRate(gold, s.underSFT.states.Distribution(on.gold))
	for k, name := range s.World.countNames {
		e.addCount(name, s.evaluator.Events(visits, s.World.Gold[k]), s.evaluator.Mean(states.Distribution(on.any[k])))
	}
	e.addQuantiles(s.evaluator, gold)
	return jStar, e, nil
}

// proxyPoint is a point of the frontier, which needs less.
func (s *Shared) proxyPoint(beta float64) (FrontierPoint, error) {
	p := FrontierPoint{Beta: beta}
	if s.proxy.value != nil {
		_, p.Proxy, p.KL, p.Gold = s.evaluator.TiltedSelection(s.underSFT.selection, beta)
		return p, nil
	}
	o, err := s.evaluator.NewOptimum(&s.SFT.Chain, s.proxy.additive, beta)
	if err != nil {
		return p, err
	}
	e := s.evaluator.Expect(&o.Chain, &s.SFT.Chain, s.proxy.additive)
	p.KL, p.Proxy, p.Gold = e.KL, e.Reward, s.evaluator.ExpectCounts(&o.Chain, s.gold)
	return p, nil
}

// Speaker is a policy that can be asked for its most likely responses.
type Speaker interface {
	MostLikely(x policy.Prompt, k int) []policy.Likely
}

// Optimum is the exact optimum for the judge's reward at β: a *policy.Optimum, or
// for a network a *policy.CountOptimum.
func (l *Lab) Optimum(ctx context.Context, j Judge, ref *policy.Chain, beta float64) (Speaker, error) {
	e := policy.NewEvaluator(l.World.Shape, l.World.Weights).Until(ctx)
	if j.proxy.value != nil {
		return e.NewCountOptimum(ref, j.proxy.value, beta)
	}
	return e.NewOptimum(ref, j.proxy.additive, beta)
}

// GoldOptimum is the exact optimum for gold at β; nil where the world is too
// large for it.
func (l *Lab) GoldOptimum(ctx context.Context, ref *policy.Chain, beta float64) (*policy.CountOptimum, error) {
	if l.values == nil {
		return nil, nil
	}
	return policy.NewEvaluator(l.World.Shape, l.World.Weights).Until(ctx).NewCountOptimum(ref, l.values, beta)
}
