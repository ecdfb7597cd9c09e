package experiments

import (
	"fmt"
	"math"
	"strconv"

	"rlhfsim/internal/figure"
	"rlhfsim/internal/stats"
	"rlhfsim/policy"
	"rlhfsim/sim"
)

// bestOfN is what best-of-n reaches at a point, one entry for each seed that
// has it; empty where it was not asked for.
func (r *Run) bestOfN(point int) []sim.BestOfN {
	var all []sim.BestOfN
	for seed := range r.Experiment.Seeds {
		if c := r.cell(cellID{point, -1, seed}); c != nil && c.BestOfN != nil {
			all = append(all, *c.BestOfN)
		}
	}
	return all
}

// bestOfNCSV has one row for each (swept fields, seed, chosen by, n); nil where
// nothing was asked for.
func (r *Run) bestOfNCSV() []byte {
	lines := [][]string{append(append([]string{}, r.Experiment.Swept...), "seed", "chosen_by", "n", "gold_reward", "proxy_reward", "kl", "kl_bound")}
	for point, p := range r.Experiment.Points {
		for seed, number := range r.Experiment.Seeds {
			c := r.cell(cellID{point, -1, seed})
			if c == nil || c.BestOfN == nil {
				continue
			}
			head := append(append([]string{}, p.Values...), strconv.FormatUint(number, 10))
			for _, b := range c.BestOfN.ByProxy {
				lines = append(lines, bestOfNLine(head, "proxy", b, float(b.Score)))
			}
			for _, b := range c.BestOfN.ByGold {
				lines = append(lines, bestOfNLine(head, "gold", b, ""))
			}
		}
	}
	if len(lines) == 1 {
		return nil
	}
	return writeCSV(lines)
}

func bestOfNLine(head []string, by string, b policy.BestOfN, proxy string) []string {
	return append(append([]string{}, head...), by, strconv.Itoa(b.N), float(b.Value), proxy, float(b.KL), float(b.Bound))
}

// bestOfNFigure is gold and proxy over n, and the exact KL under its bound.
func (r *Run) bestOfNFigure(point int) figure.Figure {
	all := r.bestOfN(point)
	value := func(b policy.BestOfN) float64 { return b.Value }
	reward := figure.Panel{Title: "what the one kept is worth", XLabel: "log₂ n, responses sampled", YLabel: "reward",
		Series: []figure.Series{bestOfNSeries("gold, chosen by the judge", figure.Blue, all, byProxy, value)}}
	proxy := bestOfNSeries("proxy, chosen by the judge", figure.Blue, all, byProxy, func(b policy.BestOfN) float64 { return b.Score })
	proxy.Dash = true
	kl := figure.Panel{Title: "distance from the SFT policy", XLabel: "log₂ n, responses sampled", YLabel: "KL, nats per response",
		Series: []figure.Series{bestOfNSeries("chosen by the judge", figure.Blue, all, byProxy, func(b policy.BestOfN) float64 { return b.KL })}}
	reward.Series = append(reward.Series, proxy)
	if len(all[0].ByGold) > 0 {
		reward.Series = append(reward.Series, bestOfNSeries("gold, chosen by gold", figure.Green, all, byGold, value))
		kl.Series = append(kl.Series, bestOfNSeries("chosen by gold", figure.Green, all, byGold, func(b policy.BestOfN) float64 { return b.KL }))
	}
	bound := bestOfNSeries("bound", figure.Neutral, all[:1], byProxy, func(b policy.BestOfN) float64 { return b.Bound })
	bound.Dotted, bound.Lo, bound.Hi = true, nil, nil
	kl.Series = append(kl.Series, bound)
	return figure.Figure{Title: r.titled(point, "what is kept, and how far it is"), Columns: 2, Panels: []figure.Panel{reward, kl}, WidthCM: 20,
		Caption: r.caption("Exact: n responses of the SFT policy, the best one kept. Chosen by the learned reward (the judge), or by gold, what people want. Dotted: log n − (n−1)/n, which the KL never exceeds.")}
}

func byProxy(b sim.BestOfN) []policy.BestOfN { return b.ByProxy }
func byGold(b sim.BestOfN) []policy.BestOfN  { return b.ByGold }

// bestOfNSeries is one quantity over log₂ n, with intervals over seeds.
func bestOfNSeries(label string, style figure.Style, all []sim.BestOfN, by func(sim.BestOfN) []policy.BestOfN, of func(policy.BestOfN) float64) figure.Series {
	var x []float64
	var y []stats.Interval
	for k, b := range by(all[0]) {
		var values []float64
		for _, own := range all {
			values = append(values, of(by(own)[k]))
		}
		x, y = append(x, math.Log2(float64(b.N))), append(y, interval(values, "best of n "+label))
	}
	return series(label, style, x, y)
}

// bestOfNPoints are gold and proxy of the judge's best of n over √KL, for the
// overopt figure.
func (r *Run) bestOfNPoints(point int) []figure.Series {
	all := r.bestOfN(point)
	if len(all) == 0 {
		return nil
	}
	var out []figure.Series
	for _, q := range []struct {
		label string
		of    func(policy.BestOfN) float64
	}{{"best of n: gold", func(b policy.BestOfN) float64 { return b.Value }}, {"best of n: proxy", func(b policy.BestOfN) float64 { return b.Score }}} {
		s := bestOfNSeries(q.label, figure.Purple, all, byProxy, q.of)
		kl := bestOfNSeries("kl", figure.Purple, all, byProxy, func(b policy.BestOfN) float64 { return b.KL })
		for i := range s.X {
			s.X[i] = math.Sqrt(max(0, kl.Y[i]))
		}
		s.Points, s.Dash, s.Lo, s.Hi = true, len(out) == 1, nil, nil
		out = append(out, s)
	}
	return out
}

// bestOfNText names the n at which the judge's choice is worth most.
func (r *Run) bestOfNText(point int) string {
	all := r.bestOfN(point)
	if len(all) == 0 {
		return ""
	}
	gold := bestOfNSeries("gold, chosen by the judge", figure.Blue, all, byProxy, func(b policy.BestOfN) float64 { return b.Value })
	kl := bestOfNSeries("chosen by the judge", figure.Blue, all, byProxy, func(b policy.BestOfN) float64 { return b.KL })
	best := 0
	for i, v := range gold.Y {
		if v > gold.Y[best] {
			best = i
		}
	}
	last := len(gold.Y) - 1
	size := func(i int) int { return byProxy(all[0])[i].N }
	text := fmt.Sprintf("best of n, chosen by the judge: gold %s at n = %d (KL %.2f nats), the most it reaches", signed(gold.Y[best]), size(best), kl.Y[best])
	if best < last {
		text += fmt.Sprintf("; %s at n = %d (KL %.2f)", signed(gold.Y[last]), size(last), kl.Y[last])
	}
	return text
}
