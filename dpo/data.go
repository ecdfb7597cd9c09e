package dpo

import (
	"slices"

	"rlhfsim/internal/num"
	"rlhfsim/policy"
)

// list is what one row of a batch is made of: the responses to a prompt, best
// first. A pair is a list of two.
type list struct {
	prompt    policy.Prompt
	responses []policy.Response
	tied      bool
}

// listsOf takes pairs as they are, without the ties where they are to be dropped.
func listsOf(pairs []policy.Pair, dropTies bool) []list {
	lists := make([]list, 0, len(pairs))
	for _, p := range pairs {
		if !p.Tied || !dropTies {
			lists = append(lists, list{p.Prompt, []policy.Response{p.Chosen, p.Rejected}, p.Tied})
		}
	}
	return lists
}

// byWins orders the responses of each ranking by the number of its comparisons
// that they win, ties as the rater had them: the rater's own order where label
// noise reversed nothing.
func byWins(rankings []policy.Ranking) []list {
	lists := make([]list, len(rankings))
	var comparisons []policy.Comparison
	for i, r := range rankings {
		order, wins := make([]int, len(r.Responses)), make([]int, len(r.Responses))
		comparisons = r.Comparisons(comparisons[:0])
		for _, c := range comparisons {
			wins[c.Chosen]++
		}
		for k := range order {
			order[k] = k
		}
		slices.SortStableFunc(order, func(a, b int) int { return wins[b] - wins[a] })
		lists[i] = list{prompt: r.Prompt}
		for _, k := range order {
			lists[i].responses = append(lists[i].responses, r.Responses[k])
		}
	}
	return lists
}

// pair is what is known of one row of a batch beside its paths. Batches pick pairs at
// random, so it is kept small.
type pair struct {
	refChosen, refRejected float64 // log π_ref; changed by syncReference only
	chosenLen, rejectedLen int32   // in tokens
	tokens                 int32   // of all the list's responses
	tied                   bool
}

// shared is the number of tokens that both responses have (LD-DPO).
func (p *pair) shared() int { return int(min(p.chosenLen, p.rejectedLen)) }

// paths are the responses of all lists as paths through the table, each filled up to
// the length of the longest with an index past its end, so that all loops over them
// are alike (policy.PaddedLogP). A list that is shorter than the longest has its last
// response, the rejected one, in the last place too.
type paths struct {
	entries   []int32 // [lists][responses][width], into LogP
	rows      []int32 // the same, into the rows of the table
	responses int     // of the longest list
	width     int     // of the longest path
}

// of is the j-th response of list i.
func (p *paths) of(i, j int) []int32 {
	at := (i*p.responses + j) * p.width
	return p.entries[at : at+p.width]
}

// chosen and rejected are the first and the last response of list i.
func (p *paths) chosen(i int) []int32   { return p.of(i, 0) }
func (p *paths) rejected(i int) []int32 { return p.of(i, p.responses-1) }

// rowsOf are the rows that the responses of list i visit.
func (p *paths) rowsOf(i int) []int32 {
	n := p.responses * p.width
	return p.rows[i*n : (i+1)*n]
}

// sums fills the log-probabilities of both responses of the pairs, Σ_t log π(y_t).
// A loop of its own over a whole batch, as the two below: the processor is quickest
// where little else is at hand.
func (p *paths) sums(chosen, rejected, logp []float64, pairs []int) {
	chosen, rejected = chosen[:len(pairs)], rejected[:len(pairs)]
	n, width := p.responses*p.width, p.width
	for k, i := range pairs {
		list := p.entries[i*n : (i+1)*n]
		w, l := list[:width], list[n-width:]
		l = l[:len(w)]
		sumW, sumL := 0.0, 0.0
		for t, at := range w {
			sumW += logp[at]
			sumL += logp[l[t]]
		}
		chosen[k], rejected[k] = sumW, sumL
	}
}

// spreads is the derivative of sums times a scale: every decision of a response has the
// derivative of the response's log-probability.
func (p *paths) spreads(g, dChosen, dRejected []float64, scale float64, pairs []int) {
	dChosen, dRejected = dChosen[:len(pairs)], dRejected[:len(pairs)]
	n, width := p.responses*p.width, p.width
	for k, i := range pairs {
		list := p.entries[i*n : (i+1)*n]
		d := float64(dChosen[k] * scale)
		for _, at := range list[:width] {
			g[at] += d
		}
		d = float64(dRejected[k] * scale)
		for _, at := range list[n-width:] {
			g[at] += d
		}
	}
}

// visited is the sum of what each row is worth over the rows that the pairs visit.
func (p *paths) visited(worth []float64, pairs []int) (sum float64) {
	n := p.responses * p.width
	for _, i := range pairs {
		own := 0.0 // a sum of its own, so that the additions of several pairs overlap
		for _, row := range p.rows[i*n : (i+1)*n] {
			own += worth[row]
		}
		sum += own
	}
	return sum
}

// layPaths lays all paths side by side, so that a batch stays in the cache.
func (t *Trainer) layPaths() {
	pi, p := t.trainer.Policy, &t.paths
	for _, l := range t.lists {
		p.responses = max(p.responses, len(l.responses))
		for _, y := range l.responses {
			p.width = max(p.width, min(len(y)+1, pi.MaxLength))
		}
	}
	n := len(t.lists) * p.responses * p.width
	p.entries, p.rows, t.pairs = make([]int32, n), make([]int32, n), make([]pair, len(t.lists))
	var path []int32
	for i, l := range t.lists {
		lengths := make([]int, p.responses)
		for j := range p.responses {
			path = path[:0]
			if j < len(l.responses) {
				path = pi.Path(path, l.prompt, l.responses[j])
			}
			lengths[j] = len(path)
			for k := range p.width {
				entry, row := int32(len(pi.LogP)+k%policy.Padding), int32(pi.Rows())
				if k < len(path) {
					entry, row = path[k], path[k]/int32(pi.Outcomes())
				}
				p.of(i, j)[k], p.rowsOf(i)[j*p.width+k] = entry, row
			}
		}
		copy(p.rejected(i), p.of(i, len(l.responses)-1))
		worst, tokens := len(l.responses)-1, 0
		for _, n := range lengths {
			tokens += n
		}
		t.pairs[i] = pair{chosenLen: int32(lengths[0]), rejectedLen: int32(lengths[worst]), tokens: int32(tokens), tied: l.tied}
	}
}

// lookUpReference takes the reference's log-probabilities of all responses.
func (t *Trainer) lookUpReference() {
	if t.cfg.ReferenceFree { // log π_ref := 0
		return
	}
	for i := range t.pairs {
		p := &t.pairs[i]
		p.refChosen, p.refRejected = t.logProbs(t.ref, i)
	}
	for i, ref := range t.rankedRef {
		for j := range ref {
			ref[j] = sumLogP(t.ref.PaddedLogP(), t.paths.of(i, j), t.paths.width, 1)
		}
	}
}

// syncReference is the soft update of trust-region DPO (Gorbatovski et al. 2024,
// arXiv 2404.09656): every ref_model_sync_steps steps
//
//	z_ref ← α z_θ + (1−α) z_ref
func (t *Trainer) syncReference() {
	if !t.cfg.SyncRefModel || t.step%t.cfg.RefModelSyncSteps != 0 {
		return
	}
	alpha, z := t.cfg.RefModelMixupAlpha, t.ref.Logits
	for i, own := range t.trainer.Policy.Logits {
		z[i] = float64(alpha*own) + float64((1-alpha)*z[i])
	}
	if err := t.ref.SetLogits(z); err != nil {
		panic(err) // of the same shape
	}
	t.lookUpReference()
}

func (t *Trainer) scorePairs(scorer Scorer) {
	for _, l := range t.lists {
		t.scores = append(t.scores, scorer.Score(l.prompt, l.responses[0])-scorer.Score(l.prompt, l.responses[1]))
	}
}

// newLists has room for n rankings of the longest length.
func newLists(longest, n int) []List {
	lists := make([]List, n)
	for i := range lists {
		lists[i] = List{LogP: make([]float64, longest), Ref: make([]float64, longest), D: make([]float64, longest)}
	}
	return lists
}

func (t *Trainer) gatherLists(pairs []int) {
	t.batch.Lists = t.batch.Lists[:len(pairs)]
	for k, i := range pairs {
		l, n := &t.batch.Lists[k], len(t.rankedRef[i])
		l.LogP, l.Ref, l.D = l.LogP[:n], l.Ref[:n], l.D[:n]
		copy(l.Ref, t.rankedRef[i])
		for j := range l.LogP {
			l.LogP[j] = sumLogP(t.trainer.Policy.PaddedLogP(), t.paths.of(i, j), t.paths.width, 1)
		}
	}
}

func (t *Trainer) scatterLists(pairs []int, scale float64) {
	for k, i := range pairs {
		for j, d := range t.batch.Lists[k].D {
			spread(t.trainer.PaddedG(), t.paths.of(i, j), t.paths.width, 1, float64(d*scale))
		}
	}
}

// baselines fills what a loss takes as given, no gradient through it: REBEL's
// scores, WPO's weights, BCO's δ and KTO's z₀.
func (t *Trainer) baselines(pairs []int) {
	b := t.batch
	if t.needs&NeedScores != 0 {
		for k, i := range pairs {
			b.ScoreDifference[k] = t.scores[i]
		}
	}
	if t.needs&NeedDelta != 0 {
		b.Delta = t.delta.Add(b.MeanReward(t.cfg.Beta), 2*len(pairs))
	}
	if t.needs&NeedKL != 0 {
		t.fillKL(pairs)
	}
	if t.cfg.UseWeighting {
		pi := t.trainer.Policy
		logSumSquares(t.logSq, pi.P, pi.Outcomes())
		for k, i := range pairs {
			p := &t.pairs[i]
			b.Weight[k] = float64(wpoWeight(pi.LogP, t.logSq, t.paths.chosen(i)[:p.chosenLen], pi.Outcomes()) *
				wpoWeight(pi.LogP, t.logSq, t.paths.rejected(i)[:p.rejectedLen], pi.Outcomes()))
		}
	}
}

// wpoWeight is WPO's weight of a response, how likely the policy is to say it
// against what it says on average (Zhou et al. 2024, arXiv 2406.11827, equation 2,
// "sampled alignment"); a pair weighs the product of its two, without gradient:
//
//	w(y) = exp( 1/|y| Σ_t [ log π(y_t|x, y_<t) − log Σ_v π(v|x, y_<t)² ] )
//
// logSq holds the last term of every row of width outcomes.
func wpoWeight(logp, logSq []float64, path []int32, outcomes int) float64 {
	sum := 0.0
	for _, i := range path {
		sum += logp[i] - logSq[int(i)/outcomes]
	}
	return num.Exp(sum / perToken(float64(len(path))))
}

// logSumSquares is dst[row] = log Σ_v p(v|row)².
func logSumSquares(dst, p []float64, outcomes int) {
	for row := range dst {
		own := p[row*outcomes : (row+1)*outcomes]
		dst[row] = num.Log(num.Dot(own, own))
	}
}

// referencePoint is the scratch space of KTO's z₀.
type referencePoint struct {
	evaluator *policy.Evaluator
	logp, ref []float64 // mismatched responses
}

func newReferencePoint(pi *policy.Softmax, n int) referencePoint {
	return referencePoint{policy.NewEvaluator(pi.Shape, nil), make([]float64, 0, 2*n), make([]float64, 0, 2*n)}
}

// fillKL sets z₀ of every pair: one estimate for the batch from the responses of
// the next pair in it, as KTO does (a last batch of one has its own only), or the exact KL(π(·|x)‖π_ref(·|x)) of the
// pair's prompt, which the estimate stands for.
func (t *Trainer) fillKL(pairs []int) {
	pi, b := t.trainer.Policy, t.batch
	if t.cfg.KLEstimate == "exact" {
		for k, i := range pairs {
			b.KL[k] = t.kl.evaluator.ExpectPrompt(&pi.Chain, &t.ref.Chain, nil, t.lists[i].prompt).KL
		}
		return
	}
	logp, ref := t.kl.logp[:0], t.kl.ref[:0]
	for k, i := range pairs {
		x := t.lists[i].prompt
		for _, y := range t.lists[pairs[(k+1)%len(pairs)]].responses {
			logp, ref = append(logp, pi.LogProb(x, y)), append(ref, t.ref.LogProb(x, y))
		}
	}
	z0 := MismatchedKL(logp, ref)
	for k := range b.KL {
		b.KL[k] = z0
	}
}
