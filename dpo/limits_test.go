package dpo

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"rlhfsim/internal/generated"
	"rlhfsim/internal/num"
	"rlhfsim/policy"
)

// limits is a world of one prompt and seven responses of up to two words, whose every
// ordered pair is judged by Bradley-Terry raters: where a loss ends there is where it
// ends on endless data.
type limits struct {
	ref       *policy.Softmax
	responses []policy.Response
	pairs     []policy.Pair
	prefers   []float64 // probability of each pair as labelled
	best      float64   // J*
}

const limitBeta = 0.5

func newLimits(t *testing.T) limits {
	w := limits{ref: randomPolicy(t, policy.Shape{Prompts: 1, Words: 2, MaxLength: 2, Order: 1}, 8)}
	var err error
	if w.responses, err = w.ref.Responses(100); err != nil {
		t.Fatal(err)
	}
	tilted := make([]float64, len(w.responses))
	for i, y := range w.responses {
		tilted[i] = w.ref.LogProb(0, y) + w.Score(0, y)/limitBeta
		for j, z := range w.responses {
			if i != j {
				w.pairs = append(w.pairs, policy.Pair{Chosen: y, Rejected: z})
				w.prefers = append(w.prefers, num.Sigmoid(w.Score(0, y)-w.Score(0, z)))
			}
		}
	}
	w.best = limitBeta * num.LogSumExp(tilted)
	return w
}

// Score is what the raters want: one word, not the other, and not to stop at once.
func (limits) Score(_ policy.Prompt, y policy.Response) float64 {
	r := 0.3 * float64(len(y)-1)
	for _, word := range y {
		r += []float64{0.9, -0.6}[word]
	}
	return r
}

// limit is where the loss ends after descending its expectation over all pairs.
type limit struct {
	ofJStar, reward, kl float64
	gradient            float64 // norm of the gradient at the end
}

func (w limits) of(t *testing.T, c Config) limit {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.BatchSize, c.MaxGradNorm = len(w.pairs), 0
	pi := w.ref.Clone()
	d, all := NewFrom(c, pi, w.ref, Data{Pairs: w.pairs, Scorer: w}), make([]int, len(w.pairs))
	for i := range all {
		all[i] = i
	}
	reversed := 0.0 // labels: robust expects them at its rate
	if c.LossType == "robust" {
		reversed = c.LabelSmoothing
	}
	var out limit
	for k := range 6000 {
		d.gather(all)
		d.baselines(all)
		d.loss.Of(d.batch, &d.cfg)
		for i, p := range w.prefers {
			p = (1-reversed)*p + reversed*(1-p)
			d.batch.DChosen[i] *= p
			d.batch.DRejected[i] *= p
		}
		d.scatter(all)
		out.gradient = d.trainer.Update(0.03 * math.Pow(0.9985, float64(k)))
	}
	j := func(pi *policy.Softmax) (reward, kl float64) {
		for _, y := range w.responses {
			logp := pi.LogProb(0, y)
			reward += math.Exp(logp) * w.Score(0, y)
			kl += math.Exp(logp) * (logp - w.ref.LogProb(0, y))
		}
		return reward, kl
	}
	start, _ := j(w.ref)
	out.reward, out.kl = j(pi)
	out.ofJStar = (out.reward - limitBeta*out.kl - start) / (w.best - start)
	return out
}

// limitConfig is the loss as a method of its own; what depends on a batch is exact.
func limitConfig(l Loss) Config {
	c := Default()
	c.Beta, c.LossType = limitBeta, l.Name
	if l.Preset != nil {
		l.Preset(&c)
	}
	if l.Needs&NeedKL != 0 {
		c.KLEstimate = "exact"
	}
	return c
}

// What the cards of the losses say of their optima.
func TestWhereLossesEndOnEndlessData(t *testing.T) {
	w := newLimits(t)
	at := map[string]limit{}
	for _, l := range Losses {
		if l.Needs&NeedRankings == 0 {
			at[l.Name] = w.of(t, limitConfig(l))
		}
	}
	for _, name := range []string{"sigmoid", "savage", "rebel", "robust"} { // PPO's own optimum
		if e := at[name]; e.ofJStar < 1-1e-6 || e.ofJStar > 1+1e-9 {
			t.Errorf("%s ends at %.6f of J*", name, e.ofJStar)
		}
	}
	if a, b := at["apo_zero"], at["apo_zero_unpaired"]; !(math.Abs(a.ofJStar-b.ofJStar) <= 1e-6) {
		t.Errorf("apo_zero and its unpaired form: %v and %v", a, b)
	}
	for _, name := range []string{"ipo", "sppo_hard", "chipo", "truncated_quadratic", "nca_pair", "bco_pair"} { // more careful at the same β
		if at[name].kl >= at["sigmoid"].kl {
			t.Errorf("%s goes further than DPO: %+v", name, at[name])
		}
	}
	for _, name := range []string{"exo_pair", "rao_kupper", "davidson", "sigmoid_norm", "simpo"} { // less
		if at[name].kl <= at["sigmoid"].kl {
			t.Errorf("%s goes less far than DPO: %+v", name, at[name])
		}
	}
	if at["apo_down"].ofJStar >= 0 {
		t.Errorf("apo_down gains: %+v", at["apo_down"])
	}
	for name, e := range at {
		if e.ofJStar > 1+1e-9 {
			t.Errorf("%s is above what is possible: %+v", name, e)
		}
	}
	generated.Check(t, "../docs/reference/methods.md", "limits", limitTable(at))
}

func limitTable(at map[string]limit) string {
	var b strings.Builder
	b.WriteString("| loss | of J\\* | reward | KL, nats | still moving |\n| --- | ---: | ---: | ---: | --- |\n")
	for _, l := range Losses {
		e, there := at[l.Name]
		if !there {
			continue
		}
		moving := ""
		if e.gradient > 1e-6 {
			moving = "yes"
		}
		fmt.Fprintf(&b, "| [`%s`](#%s) | %.1f %% | %.2f | %.2f | %s |\n", l.Name, l.Name, 100*e.ofJStar, e.reward, e.kl, moving)
	}
	return strings.ReplaceAll(b.String(), "| -", "| −")
}

// The margin that suits a pair best which is preferred with probability P: where
// P ℓ′(h) = (1−P) ℓ′(−h).
func TestBestMarginOfAPair(t *testing.T) {
	const beta = 0.7
	odds := func(p float64) float64 { return math.Log(p / (1 - p)) }
	for name, c := range map[string]struct {
		slope func(h float64) float64
		best  func(p float64) float64 // βh
	}{
		"sigmoid":             {func(h float64) float64 { _, s := Sigmoid(h, beta, 0); return s }, odds},
		"smoothed":            {func(h float64) float64 { _, s := Sigmoid(h, beta, 0.1); return s }, func(p float64) float64 { return odds(0.9*p + 0.1*(1-p)) }},
		"savage":              {func(h float64) float64 { _, s := Savage(h, beta); return s }, odds},
		"ipo":                 {func(h float64) float64 { _, s := IPO(h, beta); return s }, func(p float64) float64 { return (2*p - 1) / 2 }},
		"truncated_quadratic": {func(h float64) float64 { _, s := TruncatedQuadratic(h, beta); return s }, func(p float64) float64 { return 2*p - 1 }},
		"exo_pair":            {func(h float64) float64 { _, s := EXOPair(h, beta, 1e-3); return s }, func(p float64) float64 { return (2*p - 1) * math.Log(999) }},
		"hinge":               {func(h float64) float64 { _, s := Hinge(h, beta); return s }, func(float64) float64 { return 1 }},
	} {
		for _, p := range []float64{0.55, 0.8, 0.97} {
			below, above := 0.0, 20.0 // the expected slope rises through 0 between them
			for range 80 {
				if h := (below + above) / 2; p*c.slope(h)-(1-p)*c.slope(-h) < 0 {
					below = h
				} else {
					above = h
				}
			}
			same(t, fmt.Sprintf("%s at P = %v: βh", name, p), beta*below, c.best(p), 1e-9)
		}
	}
	// Single responses that are desirable with probability q. BCO is a classifier: βu =
	// δ + log(q/(1−q)). KTO has no such point: its slope has the sign of 1 − 2q everywhere.
	for _, q := range []float64{0.2, 0.45, 0.7, 0.99} {
		const delta, z0 = 0.3, 0.2
		u := (delta + odds(q)) / beta
		_, up := BCO(u, beta, delta, true)
		_, down := BCO(u, beta, delta, false)
		same(t, fmt.Sprintf("BCO's slope at its optimum, q = %v", q), q*up+(1-q)*down, 0, 1e-12)
		for _, u := range []float64{-9, -0.3, 0, 0.2, 4, 12} {
			_, up := KTO(u, beta, z0, 1, true)
			_, down := KTO(u, beta, z0, 1, false)
			if slope := q*up + (1-q)*down; slope == 0 || (slope < 0) != (q > 0.5) {
				t.Errorf("KTO's slope at u = %v, q = %v: %v", u, q, slope)
			}
		}
	}
	if _, slope := DiscoPOP(0, 1, 0.05); !(math.Abs(slope-0.7843) <= 1e-4) {
		t.Errorf("DiscoPOP's slope at 0: %v", slope)
	}
}
