package dpo

import "rlhfsim/internal/num"

// TextbookLoss is the value and the gradient of ComputeDPOLoss.
type TextbookLoss struct {
	Loss                     float64
	GradChosen, GradRejected []float64 // ∂Loss/∂ the policy's logits, row 0 and row 1
}

// ComputeDPOLoss is the chapter's compute_dpo_loss: DPO on two rows of logits over
// a vocabulary of V, row 0 standing for the chosen and row 1 for the rejected
// response, whose "log-probability" is the mean of log_softmax over all words:
//
//	ℓ̄(z)  = (1/V) Σ_v log softmax(z)_v = mean(z) − log Σ_v e^{z_v}
//	h     = [ℓ̄(z_0) − ℓ̄(z_0^ref)] − [ℓ̄(z_1) − ℓ̄(z_1^ref)]
//	L     = −log σ(βh)
//	∂L/∂z_{0,v} = −β σ(−βh) (1/V − softmax(z_0)_v),  ∂L/∂z_{1,v} = β σ(−βh) (1/V − softmax(z_1)_v)
//
// It illustrates the formula on random numbers. It is not DPO of two responses: a
// mean over the vocabulary is no log-probability of anything said (the rest of this
// package sums over the words that were), and its gradient makes the chosen row
// uniform instead of making a response likely.
//
// The logits are two rows each, all of one length.
func ComputeDPOLoss(policyLogits, referenceLogits [][]float64, beta float64) TextbookLoss {
	n := len(policyLogits[0])
	out := TextbookLoss{GradChosen: make([]float64, n), GradRejected: make([]float64, n)}
	chosen := meanLogProb(policyLogits[0], out.GradChosen) - MeanLogProb(referenceLogits[0])
	rejected := meanLogProb(policyLogits[1], out.GradRejected) - MeanLogProb(referenceLogits[1])
	loss, slope := Sigmoid(chosen-rejected, beta, 0)
	uniform := 1 / float64(n)
	for v := range n {
		out.GradChosen[v] = float64(slope * (uniform - out.GradChosen[v]))
		out.GradRejected[v] = -float64(slope * (uniform - out.GradRejected[v]))
	}
	out.Loss = loss
	return out
}

// MeanLogProb is the mean over the vocabulary of log softmax(z).
func MeanLogProb(z []float64) float64 { return meanLogProb(z, make([]float64, len(z))) }

// meanLogProb leaves softmax(z) in p.
func meanLogProb(z, p []float64) float64 {
	logp := make([]float64, len(z))
	num.SoftmaxRows(p, logp, z, len(z))
	return num.Sum(logp) / float64(len(z))
}
