package sim

import (
	"math"
	"strings"

	"rlhfsim/policy"
)

// Exact is the exact evaluation of one policy: sums over every response, no
// sampling.
type Exact struct {
	Gold      float64 // E[gold]: what the people here want
	Proxy     float64 // E[learned reward]
	KL        float64 // KL(π‖π_SFT), nats per response
	Entropy   float64 // of the whole response, nats
	Length    float64 // words, EOS not counted
	Objective float64 // Proxy − β KL
	Gap       float64 // J* of the learned reward − Objective, ≥ 0
	WinRate   float64 // P(gold(π) > gold(SFT)) + ½ P(equal)

	// WinRateSE is the standard error of a win rate that had to be estimated by
	// sampling; 0 where it is exact.
	WinRateSE float64

	// Counts are, for each table of gold, the expected number of its events
	// (exact/count/…) and the probability of at least one (exact/any/…); then
	// quantiles of gold.
	Counts []Metric

	// What applies: before there is a reward model there is no Proxy, without a
	// β no Objective and Gap, and the win rate is computed on request.
	HasProxy, HasObjective, HasWinRate bool
}

// goldQuantiles of the distribution of gold are recorded with the win rate.
var goldQuantiles = []struct {
	name  string
	share float64
}{{"exact/gold_p10", 0.1}, {"exact/gold_p50", 0.5}, {"exact/gold_p90", 0.9}}

// exact evaluates a policy; the win rate, the one costly number, and the counts
// on request.
func (s *Shared) exact(c *policy.Chain, winRate bool) Exact {
	x := s.evaluator.Expect(c, &s.SFT.Chain, s.proxy.additive)
	if s.proxy.counts != nil {
		x.Reward = s.evaluator.ExpectCounts(c, s.proxy.counts)
	}
	e := Exact{Gold: s.evaluator.ExpectCounts(c, s.gold), Proxy: x.Reward, KL: x.KL, Entropy: x.Entropy, Length: x.Length,
		HasProxy: !s.proxy.none(), HasWinRate: winRate}
	if winRate {
		s.addCounts(&e, c)
	}
	switch {
	case winRate && s.values != nil:
		d := s.evaluator.Distribution(c, s.values)
		e.WinRate = s.evaluator.WinRate(d, s.sftValues)
		e.addQuantiles(s.evaluator, d)
	case winRate && !math.IsNaN(e.Gold): // a policy of NaNs has no samples; its gold is reported
		e.WinRate, e.WinRateSE = s.sampledWinRate(c)
	}
	return e
}

// against fills the objective at β and its distance from the best possible, J*.
func (e *Exact) against(beta, jStar float64) {
	e.Objective = e.Proxy - float64(beta*e.KL)
	e.Gap = jStar - e.Objective
	e.HasObjective = true
}

// metrics lists the fields that apply, under their names in metrics.csv.
func (e Exact) metrics() []Metric {
	out := []Metric{{"exact/gold_reward", e.Gold}}
	if e.HasProxy {
		out = append(out, Metric{"exact/proxy_reward", e.Proxy})
	}
	out = append(out, Metric{"exact/kl", e.KL}, Metric{"exact/entropy", e.Entropy}, Metric{"exact/length", e.Length})
	if e.HasObjective {
		out = append(out, Metric{"exact/objective", e.Objective}, Metric{"exact/gap", e.Gap})
	}
	switch {
	case e.HasWinRate && e.WinRateSE > 0:
		out = append(out, Metric{"mc/win_rate", e.WinRate}, Metric{"mc/win_rate_se", e.WinRateSE})
	case e.HasWinRate:
		out = append(out, Metric{"exact/win_rate", e.WinRate})
	}
	return append(out, e.Counts...)
}

// addCounts adds the expected number of each table's events, and the probability
// of at least one.
func (s *Shared) addCounts(e *Exact, c *policy.Chain) {
	for k, name := range s.World.countNames {
		count := s.World.Gold[k]
		count.Worth = s.numbers
		mean := s.evaluator.ExpectCounts(c, policy.NewCountReward(s.World.Shape, policy.Counts{count}))
		count.Worth = []float64{0, 1}
		any := s.evaluator.ExpectCounts(c, policy.NewCountReward(s.World.Shape, policy.Counts{count}))
		e.addCount(name, mean, any)
	}
}

func (e *Exact) addCount(name string, mean, any float64) {
	name = underscored(name)
	e.Counts = append(e.Counts, Metric{"exact/count/" + name, mean}, Metric{"exact/any/" + name, any})
}

func (e *Exact) addQuantiles(by *policy.Evaluator, gold policy.Distribution) {
	for _, q := range goldQuantiles {
		e.Counts = append(e.Counts, Metric{q.name, by.Quantile(gold, q.share)})
	}
}

// underscored is a count's name in that of a metric.
func underscored(count string) string { return strings.ReplaceAll(count, " ", "_") }
