package dpo

// CPOTrainer and ORPOTrainer: losses without a reference, from sums and from logits.

import (
	"slices"

	"rlhfsim/internal/num"
)

// cpo is CPOTrainer.cpo_loss without its NLL.
func (d *Document) cpo(r *node) {
	in, input, c := r.theCase(), r.text("input"), d.ofTrainer(r)
	w := in.floats("chosen_"+input+"_logps", -1)
	n := len(w)
	l := in.floats("rejected_"+input+"_logps", n)
	if d.err != nil {
		return
	}
	loss, dw, dl := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range w {
		loss[i], dw[i], dl[i] = cpoPair(w[i], l[i], &c)
	}
	if r.has("loss") || !r.has("losses") {
		r.put("loss", ofValues, mean(loss))
	}
	r.puts("losses", ofValues, loss)
	r.puts("grad_chosen_logps", ofGradients, scaled(dw, 1/float64(n)))
	r.puts("grad_rejected_logps", ofGradients, scaled(dl, 1/float64(n)))
}

// cpoPair is a margin loss on log-probabilities, or on AlphaPO's reward of them.
func cpoPair(w, l float64, c *Config) (loss, dw, dl float64) {
	if c.LossType == "simpo" {
		return AlphaPO(w, l, c.Beta, c.SimPOGamma, c.Alpha, c.LabelSmoothing)
	}
	rw, sw := AlphaReward(w, c.Alpha)
	rl, sl := AlphaReward(l, c.Alpha)
	var slope float64
	switch h := rw - rl; c.LossType {
	case "hinge":
		loss, slope = Hinge(h, c.Beta)
	case "ipo":
		loss, slope = IPO(h, c.Beta)
	default:
		loss, slope = Sigmoid(h, c.Beta, c.LabelSmoothing)
	}
	return loss, float64(slope * sw), -float64(slope * sl)
}

// orpo is ORPOTrainer.odds_ratio_loss on mean log-probabilities.
func (d *Document) orpo(r *node) {
	in, beta := r.theCase(), r.beta()
	w := in.floats("chosen_avg_logps", -1)
	n := len(w)
	l := in.floats("rejected_avg_logps", n)
	loss, dw, dl, ratio, logSigmoid := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range w {
		loss[i], dw[i], dl[i] = OddsRatio(w[i], l[i], beta)
		ratio[i] = LogOddsRatio(w[i], l[i])
		logSigmoid[i] = num.LogSigmoid(ratio[i])
	}
	for _, key := range []string{"float64", "trl_verbatim_float32"} {
		tolerance := 1.0
		if key != "float64" {
			tolerance = ofSingle / ofValues
		}
		if !r.has(key) {
			continue
		}
		o := r.object(key)
		o.puts("neg_losses", float64(ofValues*tolerance), loss)
		o.put("or_loss", float64(ofValues*tolerance), mean(loss))
		o.put("log_odds_ratio_mean", float64(ofValues*tolerance), mean(logSigmoid))
		o.putAtScale("log_odds_chosen_mean", float64(ofValues*tolerance), 1, mean(ratio))
		o.puts("grad_chosen_logps", float64(ofGradients*tolerance), scaled(dw, 1/float64(n)))
		o.puts("grad_rejected_logps", float64(ofGradients*tolerance), scaled(dl, 1/float64(n)))
		o.done()
	}
}

// sequences are 2B tokenised responses with the logits of a language model, chosen
// ones first: logits [2B][T][V], where position t predicts token t+1.
type sequences struct {
	n, width, words           int
	logits, labels, ids, mask []float64
}

func (d *Document) sequences(in *node) (q sequences, ok bool) {
	q.labels = in.floats("labels", -1)
	q.ids, q.mask, q.logits = in.floats("input_ids", len(q.labels)), in.floats("attention_mask", len(q.labels)), in.floats("logits", -1)
	rows, _ := in.get("labels").([]any)
	if d.err != nil || len(rows) == 0 || len(rows)%2 != 0 || len(q.labels) < len(rows) {
		d.fail(in.path, "not 2B rows of labels")
		return q, false
	}
	q.n, q.width, q.words = len(rows)/2, len(q.labels)/len(rows), len(q.logits)/len(q.labels)
	if q.width*len(rows) != len(q.labels) || q.words*len(q.labels) != len(q.logits) {
		d.fail(in.path, "not logits [2B][T][V] and labels [2B][T]")
	}
	for i := range q.labels {
		in.whole("labels", max(q.labels[i], 0), 0, q.words)
		in.whole("input_ids", q.ids[i], 0, q.words)
	}
	return q, d.err == nil
}

// paths are, for each sequence, the entries of the log-probabilities that say the
// tokens of its response, and those of prompt and response.
func (q sequences) paths() (responses, whole [][]int32) {
	responses, whole = make([][]int32, 2*q.n), make([][]int32, 2*q.n)
	for i := range q.labels {
		if i%q.width == 0 {
			continue // nothing predicts the first token
		}
		entry := func(word float64) int32 { return int32((i-1)*q.words + int(word)) }
		if q.labels[i] >= 0 {
			responses[i/q.width] = append(responses[i/q.width], entry(q.labels[i]))
		}
		if q.mask[i] != 0 {
			whole[i/q.width] = append(whole[i/q.width], entry(q.ids[i]))
		}
	}
	return responses, whole
}

// ofTrainer is the configuration of a result of CPOTrainer or ORPOTrainer, with the
// trainer's own name of the loss.
func (d *Document) ofTrainer(r *node) Config {
	c := Default()
	c.Beta, c.CPOAlpha, c.SimPOGamma = r.beta(), r.number("cpo_alpha", 1), r.number("simpo_gamma", 0)
	c.LabelSmoothing, c.Alpha = r.number("label_smoothing", 0), r.number("alpha", 0)
	c.LossType = r.text("loss_type")
	if r.text("name") == "orpo" {
		c.LossType = "orpo"
	}
	if c.LossType == "alphapo" {
		c.LossType = "simpo"
	}
	if !slices.Contains([]string{"sigmoid", "hinge", "ipo", "simpo", "orpo"}, c.LossType) {
		d.fail(r.path, "unknown loss %q", c.LossType)
	}
	return c
}

// wholeLoss is the loss of CPOTrainer or ORPOTrainer as one of ours: hinge and ipo
// are DPO's without a reference, simpo with another reward is alphapo, and the
// likelihood is sft with a weight.
func (c Config) wholeLoss(n int) *Mixture {
	switch name := c.LossType; {
	case name == "orpo":
	case name == "sigmoid" && c.Alpha == 0:
		c.LossType = "cpo"
	case name == "simpo" && c.Alpha != 0:
		c.LossType, c.LossWeights = "alphapo+sft", []float64{1, c.CPOAlpha}
	default:
		c.LossType, c.LossWeights = name+"+sft", []float64{1, c.CPOAlpha}
	}
	return NewMixture(c, n)
}

// ofMeansInCPO says whether a trainer's loss is of mean log-probabilities.
func ofMeansInCPO(lossType string) bool { return lossType != "sigmoid" && lossType != "hinge" }

// fromLogits is get_batch_loss_metrics of CPOTrainer and ORPOTrainer: whole losses
// from logits, the likelihood of the chosen responses included. ORPO's likelihood is
// of prompt and response. AlphaPO's reward, which CPOTrainer has for every loss, is
// put in place of the log-probabilities where our loss knows none.
func (d *Document) fromLogits(r *node) {
	q, ok := d.sequences(r.theCase())
	c := d.ofTrainer(r)
	if !ok || d.err != nil {
		return
	}
	p, logp := make([]float64, len(q.logits)), make([]float64, len(q.logits))
	num.SoftmaxRows(p, logp, q.logits, q.words)
	paths, whole := q.paths()
	n, b, likelihood := q.n, sumsOf(logp, paths[:q.n], paths[q.n:]), paths[:q.n]
	if c.LossType == "orpo" {
		likelihood = whole[:n]
	}
	b.separate = true
	for i, path := range likelihood {
		b.Likelihood[i], b.LikelihoodLen[i] = sumLogP(logp, path, len(path), 1), float64(len(path))
	}
	metrics := d.logitMetrics(b, c, q)
	slopes := b.bend(c)
	c.wholeLoss(n).Of(b, &c)
	g, each := make([]float64, len(q.logits)), 1/float64(n)
	for i := range n {
		spread(g, paths[i], len(paths[i]), 1, float64(float64(b.DChosen[i]*slopes[i])*each))
		spread(g, paths[n+i], len(paths[n+i]), 1, float64(float64(b.DRejected[i]*slopes[n+i])*each))
		spread(g, likelihood[i], len(likelihood[i]), 1, float64(b.DLikelihood[i]*each))
	}
	for at := 0; at < len(g); at += q.words {
		num.Axpy(g[at:at+q.words], -num.Sum(g[at:at+q.words]), p[at:at+q.words])
	}
	r.put("loss", ofValues, mean(b.Loss))
	r.puts("grad_logits", ofGradients, g)
	if r.has("metrics") {
		metrics(r.object("metrics"))
	}
}

// bend puts AlphaPO's reward of each response in place of its log-probability, for
// losses of CPOTrainer that are not simpo, and returns the slopes; 1 where α is 0.
func (b *Batch) bend(c Config) []float64 {
	slopes := append(ones(len(b.Chosen)), ones(len(b.Rejected))...)
	if c.Alpha == 0 || c.LossType == "simpo" || c.LossType == "orpo" {
		return slopes
	}
	for k, side := range [][]float64{b.Chosen, b.Rejected} {
		for i, v := range side {
			n := 1.0
			if ofMeansInCPO(c.LossType) {
				n = perToken([][]float64{b.ChosenLen, b.RejectedLen}[k][i])
			}
			reward, slope := AlphaReward(v/n, c.Alpha)
			side[i], slopes[k*len(side)+i] = float64(reward*n), slope
		}
	}
	return slopes
}

// sumsOf is a batch of responses given by their paths.
func sumsOf(logp []float64, chosen, rejected [][]int32) *Batch {
	b := NewBatch(len(chosen))
	for i := range chosen {
		b.Chosen[i], b.Rejected[i] = sumLogP(logp, chosen[i], len(chosen[i]), 1), sumLogP(logp, rejected[i], len(rejected[i]), 1)
		b.ChosenLen[i], b.RejectedLen[i] = float64(len(chosen[i])), float64(len(rejected[i]))
	}
	return b
}

// logitMetrics is what the two trainers log; implicit rewards are β log π, or β times
// AlphaPO's reward.
func (d *Document) logitMetrics(b *Batch, c Config, q sequences) func(m *node) {
	n := len(b.Loss)
	chosen, rejected, up, down, margins, correct := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	ratio, logSigmoid := make([]float64, n), make([]float64, n)
	for i := range n {
		chosen[i], rejected[i] = logProbs(b, i)
		if ofMeansInCPO(c.LossType) {
			chosen[i], rejected[i] = meanLogProbs(b, i)
		}
		up[i], _ = AlphaReward(chosen[i], c.Alpha)
		down[i], _ = AlphaReward(rejected[i], c.Alpha)
		if c.LossType == "orpo" {
			ratio[i] = LogOddsRatio(chosen[i], rejected[i])
			logSigmoid[i] = num.LogSigmoid(ratio[i])
		}
		margins[i] = float64(c.Beta * (up[i] - down[i]))
		if margins[i] > 0 {
			correct[i] = 1
		}
	}
	nll := 0.0
	if c.CPOAlpha != 0 || c.LossType == "orpo" { // else it is not computed
		nll = -num.Sum(b.Likelihood) / num.Sum(b.LikelihoodLen)
	}
	return func(m *node) {
		m.put("logps/chosen", ofValues, mean(chosen))
		m.put("logps/rejected", ofValues, mean(rejected))
		m.put("rewards/chosen", ofValues, mean(scaled(up, c.Beta)))
		m.put("rewards/rejected", ofValues, mean(scaled(down, c.Beta)))
		m.put("rewards/margins", ofValues, mean(margins))
		m.put("rewards/accuracies", ofSingle, mean(correct))
		m.put("nll_loss", ofValues, nll)
		if c.LossType == "orpo" {
			m.put("log_odds_ratio", ofValues, mean(logSigmoid))
			m.put("log_odds_chosen", ofValues, mean(ratio))
		}
		var sides [2][]float64
		for i := range q.labels {
			if c.LossType == "orpo" && i%q.width == q.width-1 {
				continue // ORPOTrainer leaves out the last position, which predicts nothing
			}
			side := i / (n * q.width)
			sides[side] = append(sides[side], q.logits[i*q.words:(i+1)*q.words]...)
		}
		m.put("logits/chosen", ofValues, mean(sides[0]))
		m.put("logits/rejected", ofValues, mean(sides[1]))
		m.done()
	}
}
