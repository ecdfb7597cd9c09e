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
	chosen := MeanLogProb(policyLogits[0]) - MeanLogProb(referenceLogits[0])
	rejected := MeanLogProb(policyLogits[1]) - MeanLogProb(referenceLogits[1])
	loss, _ = Sigmoid(chosen-rejected, beta, 0)
	return loss
}

// ComputeDPOLossGradient also returns the derivatives with respect to the policy's
// two rows of logits:
//
//	∂L/∂z_{0,v} = −β σ(−βh) (1/V − softmax(z_0)_v),  ∂L/∂z_{1,v} = β σ(−βh) (1/V − softmax(z_1)_v)
func ComputeDPOLossGradient(policyLogits, referenceLogits [][]float64, beta float64) (loss float64, gradient [2][]float64) {
	n := len(policyLogits[0])
	gradient = [2][]float64{make([]float64, n), make([]float64, n)}
	first, second := newRow(policyLogits[0], gradient[0]), newRow(policyLogits[1], gradient[1])
	chosen := first.meanLogProb() - MeanLogProb(referenceLogits[0])
	rejected := second.meanLogProb() - MeanLogProb(referenceLogits[1])
	loss, slope := Sigmoid(chosen-rejected, beta, 0)
	first.spread(gradient[0], slope)
	second.spread(gradient[1], -slope)
	return loss, gradient
}

// MeanLogProb is ℓ̄(z), the mean over the vocabulary of log softmax(z).
func MeanLogProb(z []float64) float64 { return newRow(z, nil).meanLogProb() }

// row is what is known of a row of logits z. A vocabulary is taken in blocks b that stay
// in the processor's nearest cache: with m_b = max_{v∈b} z_v,
//
//	log Σ_v e^{z_v} = log Σ_b e^{m_b + log Σ_{v∈b} e^{z_v − m_b}},  softmax(z)_v = e^{z_v − m_b} · e^{m_b − log Σ_v e^{z_v}}
type row struct {
	tops         []float64 // m_b
	mean, logSum float64   // mean(z), log Σ_v e^{z_v}
}

const block = 1024

// newRow leaves e^{z_v − m_b} in e, if there is an e.
func newRow(z, e []float64) (r row) {
	var own [block]float64
	logs := make([]float64, 0, 64)
	for at := 0; at < len(z); at += block {
		part := z[at:min(at+block, len(z))]
		to := own[:len(part)]
		if e != nil {
			to = e[at : at+len(part)]
		}
		top, sum, sumZ := num.ExpShifted(to, part)
		r.tops, logs = append(r.tops, top), append(logs, top+num.Log(sum))
		r.mean += sumZ
	}
	r.mean, r.logSum = r.mean/float64(len(z)), num.LogSumExp(logs)
	return r
}

func (r row) meanLogProb() float64 { return r.mean - r.logSum }

// spread turns e^{z_v − m_b} into the derivative slope ∂ℓ̄/∂z_v = slope (1/V − softmax(z)_v).
func (r row) spread(e []float64, slope float64) {
	uniform := float64(slope / float64(len(e)))
	for b, top := range r.tops {
		num.Affine(e[b*block:min((b+1)*block, len(e))], uniform, slope, num.Exp(top-r.logSum))
	}
}
