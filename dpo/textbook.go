package dpo

import "rlhfsim/internal/num"

// ComputeDPOLoss is the chapter's compute_dpo_loss: DPO on two rows of logits over
// a vocabulary of V, row 0 standing for the chosen and row 1 for the rejected
// response, whose "log-probability" is the mean of log_softmax over all words:
//
//	ℓ̄(z) = (1/V) Σ_v log softmax(z)_v = mean(z) − log Σ_v e^{z_v}
//	h    = [ℓ̄(z_0) − ℓ̄(z_0^ref)] − [ℓ̄(z_1) − ℓ̄(z_1^ref)]
//	L    = −log σ(βh)
//
// It illustrates the formula on random numbers. It is not DPO of two responses: a
// mean over the vocabulary is the log-probability of nothing that was said (the rest
// of this package sums over the words that were), and its gradient makes the chosen
// row uniform instead of making a response likely.
//
// The logits are two rows each, all of one length.
func ComputeDPOLoss(policyLogits, referenceLogits [][]float64, beta float64) (loss float64) {
	loss, _ = textbook(policyLogits, referenceLogits, beta, [2][]float64{})
	return loss
}

// ComputeDPOLossGradient also returns the derivatives with respect to the policy's
// two rows of logits:
//
//	∂L/∂z_{0,v} = −β σ(−βh) (1/V − softmax(z_0)_v),  ∂L/∂z_{1,v} = β σ(−βh) (1/V − softmax(z_1)_v)
func ComputeDPOLossGradient(policyLogits, referenceLogits [][]float64, beta float64) (loss float64, gradient [2][]float64) {
	n := len(policyLogits[0])
	p := [2][]float64{make([]float64, n), make([]float64, n)}
	loss, slope := textbook(policyLogits, referenceLogits, beta, p)
	for row, sign := range []float64{slope, -slope} {
		uniform := float64(sign / float64(n))
		for v, q := range p[row] {
			p[row][v] = uniform - float64(sign*q)
		}
	}
	return loss, p
}

// textbook is L and ∂L/∂h. It leaves the policy's probabilities in p where p has
// room for them.
func textbook(policyLogits, referenceLogits [][]float64, beta float64, p [2][]float64) (loss, slope float64) {
	chosen := meanLogProb(policyLogits[0], p[0]) - MeanLogProb(referenceLogits[0])
	rejected := meanLogProb(policyLogits[1], p[1]) - MeanLogProb(referenceLogits[1])
	return Sigmoid(chosen-rejected, beta, 0)
}

// MeanLogProb is ℓ̄(z), the mean over the vocabulary of log softmax(z).
func MeanLogProb(z []float64) float64 { return meanLogProb(z, nil) }

// meanLogProb leaves softmax(z) in p, if there is a p. A vocabulary is taken in
// blocks that stay in the processor's nearest cache: with m_b = max_{v∈b} z_v,
//
//	log Σ_v e^{z_v} = log Σ_b e^{m_b + log Σ_{v∈b} e^{z_v − m_b}},  softmax(z)_v = e^{z_v − m_b} · e^{m_b − log Σ_v e^{z_v}}
func meanLogProb(z, p []float64) float64 {
	const block = 1024
	var own [block]float64
	tops, logs, sum := make([]float64, 0, 64), make([]float64, 0, 64), 0.0
	for at := 0; at < len(z); at += block {
		part := z[at:min(at+block, len(z))]
		to := own[:len(part)]
		if p != nil {
			to = p[at : at+len(part)]
		}
		top, total := num.ExpShifted(to, part)
		tops, logs = append(tops, top), append(logs, top+num.Log(total))
		sum += num.Sum(part)
	}
	total := num.LogSumExp(logs)
	for b, top := range tops {
		if p == nil {
			break
		}
		scale := num.Exp(top - total)
		for v, part := 0, p[b*block:min((b+1)*block, len(p))]; v < len(part); v++ {
			part[v] *= scale
		}
	}
	return sum/float64(len(z)) - total
}
