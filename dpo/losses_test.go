package dpo

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// configOf is a valid Config of the loss with nothing at a value that hides a term.
func configOf(lossType string) Config {
	c := Default()
	c.Beta, c.LossType = 0.4, lossType
	for _, name := range strings.Split(lossType, "+") {
		if l, _ := Find(name); l.uses("label_smoothing") {
			c.LabelSmoothing = 0.1
		}
		switch name {
		case "bco_pair":
			c.RunningDelta = true
		case "kto":
			c.DesirableWeight, c.UndesirableWeight = 0.8, 1.3
		case "dpop":
			c.DPOPLambda = 2
		case "slic_hf":
			c.SLiCDelta = 3
		case "discopop":
			c.DiscoPOPTau = 0.3
		}
	}
	return c
}

// variants are the table's losses, and what their options make of them.
func variants() (out []Config) {
	for _, l := range Losses {
		c := configOf(l.Name)
		out = append(out, c)
		if l.uses("f_divergence_type") {
			for _, f := range divergences[1:] {
				d := c
				d.FDivergenceType = f
				if f == "alpha_divergence" {
					d.FAlphaDivergenceCoef = 1.2
				}
				out = append(out, d)
			}
		}
		if l.uses("per_token") {
			d := c
			d.PerToken = true
			out = append(out, d)
		}
		if l.uses("use_weighting") {
			d := c
			d.LDAlpha, d.UseWeighting = 0.3, true
			out = append(out, d)
		}
	}
	sum := configOf("ipo")
	sum.AverageLogProb = false
	mpo := configOf("sigmoid+bco_pair+sft")
	mpo.LossWeights = []float64{0.8, 0.2, 1}
	weighted := configOf("hinge")
	weighted.LossWeights = []float64{0.5}
	free := configOf("sigmoid")
	free.ReferenceFree = true
	return append(out, sum, mpo, weighted, free, configOf("aot+sft"))
}

func (c Config) testName() string {
	name := c.LossType
	for _, part := range []struct {
		on   bool
		name string
	}{{c.FDivergenceType != "reverse_kl", c.FDivergenceType}, {c.UseWeighting, "weighted"}, {c.PerToken, "per token"}, {!c.AverageLogProb, "sums"}, {c.ReferenceFree, "free"}} {
		if part.on {
			name += " " + part.name
		}
	}
	return name
}

// randomBatch has log-probabilities near the reference's, so that no term of a
// loss is saturated, and every baseline filled.
func randomBatch(n int, seed uint64, name string) *Batch {
	r, b := rng.New(seed, name), NewBatch(n)
	for i := range n {
		b.RefChosen[i], b.RefRejected[i] = -1-8*r.Float64(), -1-8*r.Float64()
		b.Chosen[i], b.Rejected[i] = b.RefChosen[i]+2*r.Float64()-1, b.RefRejected[i]+2*r.Float64()-1
		b.ChosenLen[i], b.RejectedLen[i] = float64(1+r.IntN(5)), float64(1+r.IntN(5))
		b.Weight[i], b.KL[i], b.ScoreDifference[i] = 0.5+r.Float64(), 0.2, 2*r.Float64()-1
		k := 2 + r.IntN(4)
		list := List{LogP: make([]float64, k), Ref: make([]float64, k), D: make([]float64, k)}
		for j := range k {
			list.LogP[j], list.Ref[j] = -8*r.Float64(), -8*r.Float64()
		}
		b.Lists = append(b.Lists, list)
	}
	b.Delta = 0.15
	return b
}

func TestEveryDerivativeAgainstFiniteDifferences(t *testing.T) {
	const n = 8
	for _, c := range variants() {
		t.Run(c.testName(), func(t *testing.T) {
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			b, m := randomBatch(n, 1, "batch"), NewMixture(c, n)
			total := func() float64 {
				if len(m.Parts) == 1 && m.Parts[0].Name == "apo_zero_unpaired" {
					clear(b.KL)
				}
				m.Of(b, &c)
				return num.Sum(b.Loss)
			}
			total()
			type side struct{ logp, d []float64 }
			sides := []side{{b.Chosen, slices.Clone(b.DChosen)}, {b.Rejected, slices.Clone(b.DRejected)}}
			if m.Needs(&c)&NeedRankings != 0 {
				sides = nil
				for _, l := range b.Lists {
					sides = append(sides, side{l.LogP, slices.Clone(l.D)})
				}
			}
			largest := 0.0
			for _, s := range sides {
				for i, at := range s.logp {
					const h = 1e-5
					s.logp[i] = at + h
					up := total()
					s.logp[i] = at - h
					slope := (up - total()) / (2 * h)
					s.logp[i] = at
					largest = max(largest, math.Abs(slope))
					if !(math.Abs(s.d[i]-slope) <= 1e-8*max(1, math.Abs(slope))) {
						t.Errorf("derivative %v, by differences %v", s.d[i], slope)
					}
				}
			}
			if largest < 1e-3 {
				t.Error("the gradient is too small to test anything")
			}
		})
	}
}

// scoreByLength is a reward that tells the responses apart.
type scoreByLength struct{}

func (scoreByLength) Score(x policy.Prompt, y policy.Response) float64 { return 0.3 * float64(len(y)) }

func randomData(p *policy.Softmax, n int, seed uint64) Data {
	r := rng.New(seed, "rankings")
	data := Data{Pairs: randomPairs(p, n, seed), Scorer: scoreByLength{}}
	for range n {
		x := policy.Prompt(r.IntN(p.Prompts))
		ranking := policy.Ranking{Prompt: x}
		for range 2 + r.IntN(3) {
			ranking.Responses = append(ranking.Responses, p.Sample(nil, x, r))
		}
		data.Rankings = append(data.Rankings, ranking)
	}
	return data
}

// The whole way from logits to loss, what is detached (z₀, δ, weights) held fixed.
func TestEveryLossThroughThePolicy(t *testing.T) {
	ref := randomPolicy(t, small, 1)
	data := randomData(ref, 12, 3)
	all := make([]int, 12)
	for i := range all {
		all[i] = i
	}
	for _, c := range variants() {
		t.Run(c.testName(), func(t *testing.T) {
			c.BatchSize, c.MaxGradNorm = 12, 0
			pi := randomPolicy(t, small, 2)
			d := NewFrom(c, pi, ref, data)
			_, g := d.fullGradient()
			start, norm := slices.Clone(pi.Logits), 0.0
			at := func(i int, h float64) float64 {
				z := slices.Clone(start)
				z[i] += h
				_ = pi.SetLogits(z)
				d.gather(all)
				d.loss.Of(d.batch, &d.cfg)
				return mean(d.batch.Loss)
			}
			for i := range start {
				const h = 1e-5
				slope := (at(i, h) - at(i, -h)) / (2 * h)
				norm += slope * slope
				if !(math.Abs(g[i]-slope) <= 1e-8*max(1, math.Abs(slope))) {
					t.Fatalf("∂L/∂z[%d] = %v, by differences %v", i, g[i], slope)
				}
			}
			if norm < 1e-6 {
				t.Error("the gradient is too small to test anything")
			}
		})
	}
}

// The order of the pairs in a batch changes no mean, and the log-probabilities
// count against the reference's only.
func TestInvariances(t *testing.T) {
	const n = 6
	for _, c := range variants() {
		b, m := randomBatch(n, 2, "invariance"), NewMixture(c, n)
		m.Of(b, &c)
		before := mean(b.Loss)
		for _, column := range b.columns() {
			slices.Reverse(*column)
		}
		slices.Reverse(b.Lists)
		m.Of(b, &c)
		same(t, c.testName()+", pairs reversed", mean(b.Loss), before, 1e-13)
		if !slices.ContainsFunc(m.Parts, func(l Loss) bool { return !l.uses("sync_ref_model") }) {
			for _, column := range [][]float64{b.Chosen, b.RefChosen, b.Rejected, b.RefRejected} {
				for i := range column {
					column[i] -= 1.25
				}
			}
			for _, l := range b.Lists {
				for i := range l.LogP {
					l.LogP[i] -= 1.25
					l.Ref[i] -= 1.25
				}
			}
			m.Of(b, &c)
			same(t, c.testName()+", policy and reference shifted", mean(b.Loss), before, 1e-12)
		}
	}
}

// As β → 0 the policy's word counts for nothing: every response is even odds.
func TestBetaToZero(t *testing.T) {
	b := randomBatch(4, 3, "limits")
	var logFactorials float64
	for _, l := range b.Lists {
		for k := range l.LogP {
			logFactorials += num.Log(float64(k+1)) / 4
		}
	}
	length := 0.0
	for i := range b.Chosen {
		length -= num.LogSigmoid(0.01*(b.ChosenLen[i]-b.RejectedLen[i])) / 4
	}
	for name, want := range map[string]float64{
		"sigmoid": ln2, "sigmoid_norm": ln2, "hinge": 1, "robust": ln2, "nca_pair": 2 * ln2, "apo_zero": 1, "apo_down": 1,
		"exo_pair": -ln2 - (num.Log(0.9)+num.Log(0.1))/2, "discopop": ln2/2 + 0.5, "aot": ln2, "aot_unpaired": ln2, "dpop": ln2,
		"rdpo": length, "chipo": ln2, "rao_kupper": num.Log(4), "davidson": num.Log(4), "plackett_luce": logFactorials,
		"kto": (0.8 + 1.3) / 4, "apo_zero_unpaired": 0.5, "bco_pair": -num.LogSigmoid(-0.15) - num.LogSigmoid(0.15),
		"bco": -(num.LogSigmoid(-0.15) + num.LogSigmoid(0.15)) / 2,
	} {
		c := configOf(name)
		c.Beta = 1e-12
		m := NewMixture(c, 4)
		m.Of(b, &c)
		same(t, name, mean(b.Loss), want, 1e-9)
	}
}

// What one loss becomes where its own term vanishes.
// Per token DPO is sigmoid_norm, and IPO without its own switch is IPO with it.
func TestPerToken(t *testing.T) {
	for name, as := range map[string]func(c *Config){
		"sigmoid": func(c *Config) { c.LossType = "sigmoid_norm" },
		"hinge":   nil,
	} {
		one, two := randomBatch(8, 3, name), randomBatch(8, 3, name)
		c := configOf(name)
		other := c
		c.PerToken = true
		if as == nil { // the same log-ratios, divided beforehand
			for i := range two.Chosen {
				u, v := two.LogRatios(i)
				two.Chosen[i], two.Rejected[i] = u/two.ChosenLen[i], v/two.RejectedLen[i]
				two.RefChosen[i], two.RefRejected[i] = 0, 0
			}
		} else {
			as(&other)
		}
		NewMixture(c, 8).Of(one, &c)
		NewMixture(other, 8).Of(two, &other)
		for i := range one.Loss {
			same(t, name+": loss", one.Loss[i], two.Loss[i], 1e-14)
			slope := two.DChosen[i]
			if as == nil {
				slope /= one.ChosenLen[i]
			}
			same(t, name+": slope", one.DChosen[i], slope, 1e-14)
		}
	}
}

func TestSpecialCases(t *testing.T) {
	const beta = 0.7
	for _, h := range []float64{-30, -2, -0.1, 0, 0.3, 4, 60} {
		want, slope := Sigmoid(h, beta, 0)
		for name, f := range map[string]func() (float64, float64){
			"robust ε=0":     func() (float64, float64) { return Robust(h, beta, 0) },
			"rdpo α=0":       func() (float64, float64) { return RDPO(h, 3, beta, 0) },
			"rao_kupper ν=1": func() (float64, float64) { return RaoKupper(h, beta, 1) },
			"davidson ν=0":   func() (float64, float64) { return Davidson(h, beta, 0) },
			"dpop λ=0":       func() (float64, float64) { l, d, _ := DPOP(h, 0, beta, 0); return l, d },
			"simpo γ=0":      func() (float64, float64) { l, d, _ := SimPO(h, 0, beta, 0, 0); return l, d },
			"plackett_luce of two": func() (float64, float64) {
				l := List{LogP: []float64{h, 0}, Ref: []float64{0, 0}, D: []float64{9, 9}}
				loss := PlackettLuce(l, beta)
				return loss, l.D[0]
			},
			"alphapo α→0": func() (float64, float64) { l, d, _ := AlphaPO(h/60, 0, 60*beta, 0, 1e-11, 0); return l, d / 60 },
		} {
			l, d := f()
			same(t, fmt.Sprintf("%s at h = %v, loss", name, h), l, want, 1e-8)
			same(t, fmt.Sprintf("%s at h = %v, slope", name, h), d, slope, 1e-8)
		}
		// A clear preference, its reverse, and Davidson's tie 2ν√(e^−z) make one.
		const nu = 0.6
		win, _ := Davidson(h, beta, nu)
		lose, _ := Davidson(-h, beta, nu)
		same(t, "Davidson's probabilities", num.Exp(-win)+num.Exp(-lose)+2*nu*num.Exp((-win-lose)/2), 1, 1e-12)
		// Rao and Kupper's tie is (ν² − 1) P(w) P(l).
		win, _ = RaoKupper(h, beta, 1+nu)
		lose, _ = RaoKupper(-h, beta, 1+nu)
		same(t, "Rao and Kupper's probabilities", num.Exp(-win)+num.Exp(-lose)+((1+nu)*(1+nu)-1)*num.Exp(-win-lose), 1, 1e-12)
	}
	for _, u := range []float64{-3, 0, 0.4} {
		for alpha, like := range map[float64]string{1 + 1e-7: "reverse_kl", 1 + 2e-6: "reverse_kl", 0: "forward_kl"} {
			s, d := FScore(u, "alpha_divergence", alpha)
			want, slope := FScore(u, like, 0)
			same(t, "f-score", s, want, 1e-4)
			same(t, "f-slope", d, slope, 1e-4)
		}
	}
	// One-token responses: per token and per response are the same.
	b := randomBatch(5, 4, "one token")
	copy(b.ChosenLen, ones(5))
	copy(b.RejectedLen, ones(5))
	for _, p := range [][2]Config{{configOf("sigmoid"), configOf("sigmoid_norm")}, {configOf("ipo"), configOf("ipo")}} {
		p[0].AverageLogProb = false
		NewMixture(p[0], 5).Of(b, &p[0])
		want := slices.Clone(b.Loss)
		NewMixture(p[1], 5).Of(b, &p[1])
		for i := range want {
			same(t, p[1].LossType+" of one token", b.Loss[i], want[i], 1e-14)
		}
	}
}

// Beyond ±2 R_max χPO's margin is clipped and its gradient gone.
func TestChiPOIsClipped(t *testing.T) {
	for _, c := range []float64{0.5, 1.6, 1.8, 4} { // margins of 0.57, 2.8, 3.4 and 28.8
		m := 0.5 * (num.Exp(c) + c - 1)
		loss, dc, dr := ChiPO(c, 0, 0.5, 1.5)
		same(t, "loss", loss, -num.LogSigmoid(min(m, 3)), 1e-14)
		if clipped := m > 3; (dc == 0) != clipped || (dr == 0) != clipped {
			t.Errorf("margin %v: derivatives %v, %v", m, dc, dr)
		}
		back, _, _ := ChiPO(0, c, 0.5, 1.5)
		same(t, "loss", back, -num.LogSigmoid(max(-m, -3)), 1e-14)
	}
}

// Far from the reference every loss stays a number.
func TestExtremesStayFinite(t *testing.T) {
	for _, c := range variants() {
		b, m := randomBatch(2, 5, "extremes"), NewMixture(c, 2)
		b.Chosen[0], b.Rejected[0], b.Chosen[1], b.Rejected[1] = -2000, -1e-3, -1e-3, -2000
		b.Weight[0], b.Weight[1] = 1, 1
		for _, l := range b.Lists {
			l.LogP[0] = -3000
		}
		m.Of(b, &c)
		for i := range b.Loss {
			// The exponentials of forward_kl and AlphaPO are infinite by their definition.
			if c.FDivergenceType == "forward_kl" || c.LossType == "alphapo" {
				continue
			}
			for _, v := range []float64{b.Loss[i], b.DChosen[i], b.DRejected[i]} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("%s: pair %d: %v %v %v", c.testName(), i, b.Loss[i], b.DChosen[i], b.DRejected[i])
				}
			}
		}
	}
}

// Two pairs worked out by hand in float64, in losses that no golden file has.
func TestWorkedExamples(t *testing.T) {
	b := NewBatch(2)
	b.Chosen, b.Rejected = []float64{-3, -5}, []float64{-4, -4.5}
	b.RefChosen, b.RefRejected = []float64{-3.5, -4.8}, []float64{-3.8, -4.6}
	b.ChosenLen, b.RejectedLen = []float64{4, 6}, []float64{5, 5}
	for _, w := range []struct {
		change func(c *Config)
		want   float64
	}{
		{func(c *Config) {}, .683509616},
		{func(c *Config) { c.LabelSmoothing = 0.1 }, .685509616},
		{func(c *Config) { c.LossType, c.LabelSmoothing = "robust", 0.1 }, .681009616},
		{func(c *Config) { c.LossType = "hinge" }, .98},
		{func(c *Config) { c.LossType = "ipo" }, 24.456701389},
		{func(c *Config) { c.LossType, c.AverageLogProb = "ipo", false }, 23.29},
		{func(c *Config) { c.LossType, c.LabelSmoothing = "exo_pair", 1e-3 }, 2.727081964},
		{func(c *Config) { c.LossType = "nca_pair" }, 1.381581836},
		{func(c *Config) { c.LossType = "bco_pair" }, 1.376506844},
		{func(c *Config) { c.LossType = "sppo_hard" }, 48.17},
		{func(c *Config) { c.LossType = "aot_unpaired" }, .683247174},
		{func(c *Config) { c.LossType = "apo_zero" }, .995001291},
		{func(c *Config) { c.LossType = "apo_down" }, .998752072},
		{func(c *Config) { c.LossType = "discopop" }, .850345973},
		{func(c *Config) { c.LossType = "sigmoid_norm" }, .690374307},
		{func(c *Config) { c.LossType = "dpop" }, .997020533},
		{func(c *Config) { c.LossType = "rdpo" }, .683397146},
		{func(c *Config) { c.LossType = "chipo" }, .671234956},
		{func(c *Config) { c.LossType, c.CPOAlpha = "cpo", 0 }, .681428154},
		{func(c *Config) { c.LossType, c.Beta = "simpo", 2 }, .903104007},
		{func(c *Config) { c.LossType, c.SLiCLambda = "slic_hf", 0 }, .75},
	} {
		c := Default()
		w.change(&c)
		NewMixture(c, 2).Of(b, &c)
		same(t, c.LossType, mean(b.Loss), w.want, 1e-9)
	}
}

func TestAFieldThatTheLossDoesNotUseIsRefused(t *testing.T) {
	for _, w := range []struct {
		change func(c *Config)
		field  string // "" = valid
		says   string
	}{
		{func(c *Config) { c.LossType, c.LabelSmoothing = "hinge", 0.1 }, "label_smoothing", "hinge does not use it; it uses"},
		{func(c *Config) { c.SimPOGamma = 1 }, "simpo_gamma", "sigmoid does not use it"},
		{func(c *Config) { c.LossType, c.SimPOGamma = "simpo", 1 }, "", ""},
		{func(c *Config) { c.LossType, c.ReferenceFree = "simpo", true }, "reference_free", "simpo does not use it"},
		{func(c *Config) { c.LossType, c.ReferenceFree = "orpo", true }, "reference_free", "no optional field"},
		{func(c *Config) { c.FAlphaDivergenceCoef = 0.3 }, "f_alpha_divergence_coef", "only f_divergence_type"},
		{func(c *Config) { c.FDivergenceType, c.FAlphaDivergenceCoef = "alpha_divergence", 0.3 }, "", ""},
		{func(c *Config) { c.RefModelSyncSteps = 10 }, "ref_model_sync_steps", "only sync_ref_model"},
		{func(c *Config) { c.SyncRefModel, c.RefModelSyncSteps = true, 10 }, "", ""},
		{func(c *Config) { c.LossType, c.Beta = "slic_hf", 0.3 }, "beta", "slic_hf has no β"},
		{func(c *Config) { c.LossType, c.Beta = "sft", 0.3 }, "beta", "sft has no β"},
		{func(c *Config) { c.LossType, c.Beta = "sigmoid+sft", 0.3 }, "", ""},
		{func(c *Config) { c.LossType = "exo_pair" }, "label_smoothing", "1e-3"},
		{func(c *Config) { c.LossType, c.LDAlpha = "sigmoid+sft", 0.5 }, "ld_alpha", "sft"},
		{func(c *Config) { c.LossType, c.LossWeights = "sigmoid+sft", []float64{1} }, "loss_weights", "2 losses"},
		{func(c *Config) { c.LossType, c.LossWeights = "sigmoid+sft", []float64{1, math.NaN()} }, "loss_weights", "between"},
		{func(c *Config) { c.LossType = "sigmoid+plackett_luce" }, "loss_type", "on its own"},
		{func(c *Config) { c.LossType = "sigmoid+" }, "loss_type", "several joined by +"},
		{func(c *Config) { c.LossType, c.RaoKupperNu = "rao_kupper", 0.5 }, "rao_kupper_nu", "between 1"},
		{func(c *Config) { c.LossType, c.KLEstimate = "kto", "best" }, "kl_estimate", "one of"},
	} {
		c := Default()
		w.change(&c)
		problems := field.All(c.Validate())
		for i, name := range fieldNames() { // what differs from its default and changes nothing
			value, standard := reflect.ValueOf(c).Field(i).Interface(), reflect.ValueOf(Default()).Field(i).Interface()
			if why := c.Unused(name); len(problems) == 0 && why != "" && !reflect.DeepEqual(value, standard) {
				problems = append(problems, &field.Error{Field: name, Value: value, Why: why})
			}
		}
		if w.field == "" {
			if len(problems) != 0 {
				t.Errorf("%s: %v", c.LossType, problems[0])
			}
			continue
		}
		if len(problems) != 1 || problems[0].Field != w.field || !strings.Contains(problems[0].Error(), w.says) {
			t.Errorf("%s, %s: %v", c.LossType, w.field, problems)
		}
	}
}

func TestAMisspeltLossIsSuggested(t *testing.T) {
	c := Default()
	c.LossType = "sigmoid+sfft"
	if problems := field.All(c.Validate()); len(problems) != 1 || problems[0].Help != `did you mean "sft"?` {
		t.Errorf("%v", problems)
	}
}

// Every optional field belongs to a loss, and every field that a loss names is one.
func TestEveryFieldIsUsedByALoss(t *testing.T) {
	used := map[string]bool{}
	for _, l := range Losses {
		for _, name := range l.Uses {
			used[name] = true
		}
		if l.Title == "" || l.Formula == "" {
			t.Errorf("%s is not described", l.Name)
		}
	}
	optional := 0
	for _, name := range fieldNames() {
		if slices.Contains(everyLoss, name) {
			continue
		}
		optional++
		if !used[name] {
			t.Errorf("no loss uses %s", name)
		}
	}
	if len(used) != optional {
		t.Errorf("%d names used, %d fields", len(used), optional)
	}
}

// NoBeta says of a loss that it is the same whatever β.
func TestWhichLossesHaveABeta(t *testing.T) {
	ref := randomPolicy(t, small, 9)
	pi, data := randomPolicy(t, small, 10), randomData(ref, 50, 5)
	for _, l := range Losses {
		step := func(beta float64) Stats {
			c := configOf(l.Name)
			c.Beta = beta
			return NewFrom(c, pi.Clone(), ref, data).Step(rng.New(1))
		}
		a, b := step(0.1), step(0.7)
		if same := a.Loss == b.Loss && a.GradNorm == b.GradNorm; same != l.NoBeta {
			t.Errorf("%s: the loss is %v at β = 0.1 and %v at 0.7, gradients %v and %v", l.Name, a.Loss, b.Loss, a.GradNorm, b.GradNorm)
		}
		if a.RewardsChosen == b.RewardsChosen {
			t.Errorf("%s: logged rewards without β: %v", l.Name, a.RewardsChosen)
		}
	}
}

func TestEveryLossSteps(t *testing.T) {
	ref := randomPolicy(t, small, 9)
	data := randomData(ref, 50, 5)
	for _, c := range variants() {
		c.BatchSize = 8
		d, r := NewFrom(c, ref.Clone(), ref, data), rng.New(1)
		first := d.Step(r)
		if math.IsNaN(first.Loss) || first.GradNorm == 0 {
			t.Errorf("%s: %+v", c.testName(), first)
		}
		if n := testing.AllocsPerRun(20, func() { d.Step(r) }); n != 0 {
			t.Errorf("%s: %v allocations a step", c.testName(), n)
		}
	}
}

// Learn leaves behind what Step does.
func TestLearnTakesTheSameStep(t *testing.T) {
	ref := randomPolicy(t, small, 9)
	data := randomData(ref, 50, 5)
	for _, c := range variants() {
		c.BatchSize = 8
		measured, learned := ref.Clone(), ref.Clone()
		a, b := NewFrom(c, measured, ref, data), NewFrom(c, learned, ref, data)
		ra, rb := rng.New(1), rng.New(1)
		for range 10 {
			want, got := a.Step(ra), b.Learn(rb)
			if got.GradNorm != want.GradNorm || !(math.Abs(got.Loss-want.Loss) <= 1e-12*(1+math.Abs(want.Loss))) {
				t.Errorf("%s: %+v, measured %+v", c.testName(), got, want)
			}
		}
		if !slices.Equal(measured.Logits, learned.Logits) {
			t.Errorf("%s: another policy", c.testName())
		}
		if n := testing.AllocsPerRun(20, func() { b.Learn(rb) }); n != 0 {
			t.Errorf("%s: %v allocations a step", c.testName(), n)
		}
	}
}

func BenchmarkLosses(b *testing.B) {
	chapter := policy.Shape{Prompts: 8, Words: 24, MaxLength: 6, Order: 1}
	ref := randomPolicy(b, chapter, 1)
	data := randomData(ref, 4096, 1)
	for _, l := range Losses {
		b.Run(l.Name, func(b *testing.B) {
			c := configOf(l.Name)
			c.BatchSize = 512
			d, r := NewFrom(c, ref.Clone(), ref, data), rng.New(2)
			b.ReportAllocs()
			for b.Loop() {
				d.Step(r)
			}
			b.ReportMetric(float64(b.N*512)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}
