package dpo

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"rlhfsim/internal/num"
)

// batchOf reads a case of sequence sums.
func batchOf(c *node) *Batch {
	n := len(c.floats("policy_chosen_logps", -1))
	b := NewBatch(n)
	b.Chosen, b.Rejected = c.floats("policy_chosen_logps", n), c.floats("policy_rejected_logps", n)
	b.RefChosen, b.RefRejected = c.floats("ref_chosen_logps", n), c.floats("ref_rejected_logps", n)
	b.ChosenLen, b.RejectedLen = ones(n), ones(n)
	if c.has("chosen_len") {
		b.ChosenLen, b.RejectedLen = c.floats("chosen_len", n), c.floats("rejected_len", n)
	}
	return b
}

func ones(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

func scaled(v []float64, by float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = float64(v[i] * by)
	}
	return out
}

var version024 = regexp.MustCompile(`(^|[^\d.])0\.24(\.\d|\D|$)`)

// fromTRL says whether the source is TRL; of024, whether it is TRL 0.24.
func (d *Document) fromTRL() bool { return strings.Contains(strings.ToLower(d.Source), "trl") }
func (d *Document) of024() bool   { return d.fromTRL() && version024.MatchString(d.Source) }

// mixture is the loss of a result, in TRL's form where that made it.
func (d *Document) mixture(c Config, n int) *Mixture {
	m := NewMixture(c, n)
	m.sharpSigmoid = d.fromTRL()
	return m
}

// config reads the settings of a result, any field of Config under its name. TRL
// 0.24 differs in two losses; a δ of bco_pair says so too.
func (d *Document) config(r *node) Config {
	c, top := Default(), d.node("", d.tree)
	c.LossType = top.text("loss_type")
	c.AverageLogProb = c.AverageLogProb && !d.of024()
	c.RunningDelta = d.of024() || r.has("delta")
	into := reflect.ValueOf(&c).Elem()
	for i, name := range fieldNames() {
		if r.m[name] == nil { // null is the default
			r.seen[name] = true
			continue
		}
		switch f := into.Field(i); f.Kind() {
		case reflect.Float64:
			f.SetFloat(r.number(name, 0))
		case reflect.Int:
			f.SetInt(int64(r.index(name, math.MaxInt32)))
		case reflect.Bool:
			f.SetBool(r.flag(name))
		case reflect.String:
			f.SetString(r.text(name))
		}
	}
	if r.has("loss_types") { // a mixture, with loss_weights
		var names []string
		flatten(r.get("loss_types"), func(v any) { names = append(names, fmt.Sprint(v)) })
		c.LossType = strings.Join(names, "+")
	}
	parts := strings.Split(c.LossType, "+")
	if r.has("loss_weights") {
		c.LossWeights = r.floats("loss_weights", len(parts))
	}
	for _, name := range parts {
		if l, known := Find(name); !known || l.Needs&^NeedDelta != 0 {
			d.fail(r.path, "loss %q is unknown, or needs more than pairs", name)
		}
	}
	if slices.ContainsFunc(parts, func(name string) bool { return name != "sft" }) {
		c.Beta = r.beta()
	}
	return c
}

// pairwise is DPOTrainer.compute_loss on sequence sums. BCO's δ runs over the
// results of one β in the order of their cases.
func (d *Document) pairwise(r *node) {
	c, b := d.config(r), batchOf(r.theCase())
	n := float64(len(b.Loss))
	if c.UseWeighting || c.LDAlpha != 1 || c.SyncRefModel || c.ReferenceFree {
		d.fail(r.path, "ld_alpha, use_weighting, sync_ref_model and reference_free are about more than sums of log-probabilities")
	}
	if d.err != nil {
		return
	}
	if NewMixture(c, 0).Needs(&c)&NeedDelta != 0 {
		b.Delta = d.runningDelta(r, c)
		r.put("delta", ofValues, b.Delta)
	}
	m := d.mixture(c, len(b.Loss))
	m.Of(b, &c)
	r.put("loss", ofValues, mean(b.Loss))
	if len(m.Parts) == 1 {
		r.puts("per_sequence_loss", ofValues, b.Loss)
	}
	r.puts("grad_policy_chosen_logps", ofGradients, scaled(b.DChosen, 1/n))
	r.puts("grad_policy_rejected_logps", ofGradients, scaled(b.DRejected, 1/n))
	if r.has("reward_chosen") {
		chosen, rejected := make([]float64, len(b.Loss)), make([]float64, len(b.Loss))
		for i := range chosen {
			u, v := b.LogRatios(i)
			chosen[i], rejected[i] = float64(c.Beta*u), float64(c.Beta*v)
		}
		r.puts("reward_chosen", ofValues, chosen)
		r.puts("reward_rejected", ofValues, rejected)
	}
}

// runningDelta is the mean of the mean rewards of all cases up to this result's, of
// every batch equally, however large: so does TRL 0.24.
func (d *Document) runningDelta(r *node, c Config) float64 {
	var running RunningMean
	cases := d.node("", d.tree).list("cases")
	for _, other := range cases[:1+r.index("case", len(cases))] {
		b := batchOf(other)
		running.Add(b.MeanReward(c.Beta), 1)
	}
	return running.Mean
}

// perToken is compute_loss from token log-probabilities: LD-DPO and WPO. Row i of
// the first half of the tokens is chosen response i, of the second half rejected i.
func (d *Document) perToken(r *node) {
	c, in := d.config(r), r.theCase()
	chosenLen := in.floats("chosen_len", -1)
	n := len(chosenLen)
	rejectedLen := in.floats("rejected_len", n)
	policy := in.floats("policy_token_logps", -1)
	ref, logSq := in.floats("ref_token_logps", len(policy)), in.floats("log_sum_sq_probs", len(policy))
	lengths := slices.Concat(chosenLen, rejectedLen)
	for _, length := range lengths {
		in.whole("chosen_len", length, 0, len(policy)/max(1, 2*n)+1)
	}
	if d.err != nil || len(policy)%(2*n) != 0 {
		d.fail(in.at("policy_token_logps"), "not %d rows", 2*n)
		return
	}
	b, rows := NewBatch(n), tokenRows(len(policy), 2*n)
	b.separate = true
	b.ChosenLen, b.RejectedLen = chosenLen, rejectedLen
	// The padding at a row's end has log-probability 0 and counts as its last token; in
	// LD-DPO a row without tokens has none.
	for i, length := range lengths {
		if length == 0 && r.m["ld_alpha"] != nil {
			rows[i] = nil
		}
	}
	shared := func(i int) int {
		if short := min(chosenLen[i%n], rejectedLen[i%n]); short < lengths[i] {
			return int(short)
		}
		return len(rows[i])
	}
	for i := range n {
		w, l := rows[i], rows[n+i]
		b.Chosen[i], b.Rejected[i] = sumLogP(policy, w, shared(i), c.LDAlpha), sumLogP(policy, l, shared(n+i), c.LDAlpha)
		b.RefChosen[i], b.RefRejected[i] = sumLogP(ref, w, shared(i), c.LDAlpha), sumLogP(ref, l, shared(n+i), c.LDAlpha)
		b.Likelihood[i], b.LikelihoodLen[i] = sumLogP(policy, w, len(w), 1), chosenLen[i]
		if c.UseWeighting {
			b.Weight[i] = float64(wpoWeight(policy, logSq, w[:int(chosenLen[i])], 1) * wpoWeight(policy, logSq, l[:int(rejectedLen[i])], 1))
		}
	}
	d.mixture(c, n).Of(b, &c)
	g, scale := make([]float64, len(policy)), 1/float64(n)
	for i := range n {
		spread(g, rows[i], shared(i), c.LDAlpha, float64(b.DChosen[i]*scale))
		spread(g, rows[i][:int(chosenLen[i])], int(chosenLen[i]), 1, float64(b.DLikelihood[i]*scale))
		spread(g, rows[n+i], shared(n+i), c.LDAlpha, float64(b.DRejected[i]*scale))
	}
	r.put("loss", ofValues, mean(b.Loss))
	r.puts("per_sequence_loss", ofValues, b.Loss)
	r.puts("chosen_logps", ofValues, b.Chosen)
	r.puts("rejected_logps", ofValues, b.Rejected)
	r.puts("grad_policy_token_logps", ofGradients, g)
}

// tokenRows are the paths through a flattened array of n rows of tokens.
func tokenRows(tokens, n int) [][]int32 {
	width := tokens / n
	rows := make([][]int32, n)
	for i := range width * n {
		rows[i/width] = append(rows[i/width], int32(i))
	}
	return rows
}

// kto is KTOTrainer.compute_loss.
func (d *Document) kto(r *node) {
	in, beta := r.theCase(), r.beta()
	policy := in.floats("policy_logps", -1)
	n := len(policy)
	ref := in.floats("ref_logps", n)
	var desirable []bool
	flatten(in.get("label"), func(v any) { up, _ := v.(bool); desirable = append(desirable, up) })
	up, down := r.number("desirable_weight", 1), r.number("undesirable_weight", 1)
	z0 := 0.0
	switch kind := r.text("loss_type"); kind {
	case "kto":
		mismatched := in.floats("policy_KL_logps", -1)
		z0 = MismatchedKL(mismatched, in.floats("ref_KL_logps", len(mismatched)))
	case "apo_zero_unpaired":
	default:
		d.fail(r.path, "unknown loss %q", kind)
	}
	if d.err != nil || len(desirable) != n {
		d.fail(in.at("label"), "%d labels of %d examples", len(desirable), n)
		return
	}
	loss, slope := make([]float64, n), make([]float64, n)
	for i := range policy {
		weight := down
		if desirable[i] {
			weight = up
		}
		loss[i], slope[i] = KTO(policy[i]-ref[i], beta, z0, weight, desirable[i])
	}
	r.put("kl", ofValues, z0)
	r.put("loss", ofValues, mean(loss))
	r.puts("per_example_loss", ofValues, loss)
	r.puts("grad_policy_logps", ofGradients, scaled(slope, 1/float64(n)))
}

// float32Mean is TRL's RunningMoments, which rounds to float32 on the way.
type float32Mean struct{ mean, n float64 }

func (m *float32Mean) add(mean float64, n int) float64 {
	m.n += float64(n)
	step := float32(float32(mean)-float32(m.mean)) * float32(n)
	m.mean += float64(step / float32(m.n))
	return m.mean
}

// bco is BCOTrainer.bco_loss on a sequence of batches, which share δ, once with an
// exact running mean and once with TRL's own ("trl_verbatim").
func (d *Document) bco(sequence *node) {
	beta := sequence.beta()
	var exact RunningMean
	var rounded float32Mean
	for _, step := range sequence.list("steps") {
		b := NewBatch(0)
		b.Chosen, b.Rejected = step.anyFloats("policy_chosen_logps"), step.anyFloats("policy_rejected_logps")
		b.RefChosen, b.RefRejected = step.floats("ref_chosen_logps", len(b.Chosen)), step.floats("ref_rejected_logps", len(b.Rejected))
		n := len(b.Chosen) + len(b.Rejected)
		if n == 0 {
			d.fail(step.path, "no responses")
		}
		if d.err != nil {
			return
		}
		reward := b.MeanReward(beta)
		putBCO(step.object("float64"), b, beta, exact.Add(reward, n), ofValues, ofGradients)
		if step.has("trl_verbatim") {
			putBCO(step.object("trl_verbatim"), b, beta, rounded.add(reward, n), ofSingle, ofSingle)
		}
		step.done()
	}
}

func putBCO(r *node, b *Batch, beta, delta, ofValues, ofGradients float64) {
	sides := []struct {
		policy, ref    []float64
		desirable      bool
		reward, slopes []float64
	}{{policy: b.Chosen, ref: b.RefChosen, desirable: true}, {policy: b.Rejected, ref: b.RefRejected}}
	var losses []float64
	n := float64(len(b.Chosen) + len(b.Rejected))
	for k := range sides {
		s := &sides[k]
		for i := range s.policy {
			u := s.policy[i] - s.ref[i]
			loss, slope := BCO(u, beta, delta, s.desirable)
			losses, s.slopes, s.reward = append(losses, loss), append(s.slopes, slope/n), append(s.reward, float64(beta*u))
		}
	}
	r.put("delta", ofValues, delta)
	r.put("loss", ofValues, mean(losses))
	r.puts("losses", ofValues, losses)
	r.puts("chosen_rewards", ofValues, sides[0].reward)
	r.puts("rejected_rewards", ofValues, sides[1].reward)
	r.puts("grad_policy_chosen_logps", ofGradients, sides[0].slopes)
	r.puts("grad_policy_rejected_logps", ofGradients, sides[1].slopes)
	r.done()
}

// textbook is the chapter's snippet, on logits in the document ("small") or made
// by its formula ("large").
func (d *Document) textbook(top *node) {
	if !top.has("small") && !top.has("large") {
		d.fail("", "neither \"small\" nor \"large\"")
	}
	for _, in := range top.listOrNone("small") {
		words := in.index("V", 1<<22)
		z, ref := in.floats("policy_logits", 2*words), in.floats("ref_logits", 2*words)
		in.textbookResults(z, ref, words)
	}
	for _, in := range top.listOrNone("large") {
		words := in.index("V", 1<<22)
		z, ref := in.formulaLogits(words)
		in.textbookResults(z, ref, words)
	}
}

// formulaLogits makes the logits of the document's formula, with j² taken modulo
// two primes: policy[i][j] = amp·sin(a(i+1) + b q₁), row 0 times 1.5, and ref[i][j] =
// ¾ amp·cos(c(i+1) + d q₂).
func (n *node) formulaLogits(words int) (z, ref []float64) {
	amp, a, b, c, d := n.number("amp", 1), n.number("a", 0), n.number("b", 0), n.number("c", 0), n.number("d", 0)
	m1, m2 := n.whole("m1", n.number("m1", 0), 1, math.MaxInt32), n.whole("m2", n.number("m2", 0), 1, math.MaxInt32)
	z, ref = make([]float64, 2*words), make([]float64, 2*words)
	for i := range 2 * words {
		row, j := float64(i/words+1), i%words
		z[i] = float64(amp * math.Sin(float64(a*row)+float64(b*float64(j*j%m1))))
		if i < words {
			z[i] *= 1.5
		}
		ref[i] = float64(amp * 0.75 * math.Cos(float64(c*row)+float64(d*float64(j*j%m2))))
	}
	return z, ref
}

func (n *node) textbookResults(z, ref []float64, words int) {
	if n.doc.err != nil || words == 0 {
		n.doc.fail(n.at("V"), "no words")
		return
	}
	policyRows, refRows := [][]float64{z[:words], z[words:]}, [][]float64{ref[:words], ref[words:]}
	for _, r := range n.list("results") {
		loss, gradient := ComputeDPOLossGradient(policyRows, refRows, r.beta())
		g := slices.Concat(gradient[0], gradient[1])
		r.put("loss", ofValues, loss)
		if r.has("loss_float32") {
			r.put("loss_float32", ofSingle, loss)
		}
		r.put("policy_chosen", ofValues, MeanLogProb(policyRows[0]))
		r.put("policy_rejected", ofValues, MeanLogProb(policyRows[1]))
		r.put("ref_chosen", ofValues, MeanLogProb(refRows[0]))
		r.put("ref_rejected", ofValues, MeanLogProb(refRows[1]))
		abs := make([]float64, len(g))
		for i := range g {
			abs[i] = math.Abs(g[i])
		}
		r.put("grad_abs_sum", ofGradients, num.Sum(abs))
		r.put("grad_l2", ofGradients, math.Sqrt(num.Dot(g, g)))
		if r.has("grad_policy_logits") {
			r.puts("grad_policy_logits", ofGradients, g)
		}
		if r.has("grad_index") {
			picked := map[string][]float64{}
			for _, at := range r.floats("grad_index", -1) {
				j := r.whole("grad_index", at, 0, words)
				for key, v := range map[string]float64{"grad_row0": g[j], "grad_row1": g[words+j], "logit_policy_row0": z[j], "logit_policy_row1": z[words+j], "logit_ref_row0": ref[j], "logit_ref_row1": ref[words+j]} {
					picked[key] = append(picked[key], v)
				}
			}
			for _, key := range []string{"logit_policy_row0", "logit_policy_row1", "logit_ref_row0", "logit_ref_row1", "grad_row0", "grad_row1"} {
				r.puts(key, ofGradients, picked[key])
			}
		}
		r.done()
	}
}
