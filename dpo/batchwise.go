package dpo

import (
	"cmp"
	"slices"

	"rlhfsim/internal/num"
)

// aot is alignment via optimal transport on pairs (Melnyk et al. 2024, arXiv
// 2406.05882): the distribution of the policy's margins over the batch
// should dominate that of the reference's, quantile by quantile. With u(k) and
// v(k) the k-th smallest of u_i = log π(y_w,i) − log π(y_l,i) and of v_i, the same under π_ref,
//
//	L = mean_k ℓ(u(k) − v(k)),  ℓ = Sigmoid with its smoothing
//
// The loss of "pair" k is that of the k-th quantile, as in TRL; the derivative goes
// to the pair that holds it.
func aot(b *Batch, c *Config) {
	for i := range b.Chosen {
		b.left[i], b.right[i] = b.Chosen[i]-b.Rejected[i], b.RefChosen[i]-b.RefRejected[i]
	}
	b.sortQuantiles()
	for k, i := range b.leftOrder {
		loss, slope := Sigmoid(b.left[i]-b.right[b.rightOrder[k]], c.Beta, c.LabelSmoothing)
		b.Loss[k], b.DChosen[i], b.DRejected[i] = loss, slope, -slope
	}
}

// aotUnpaired is the same between the chosen and the rejected log-ratios:
// u_i = log π/π_ref(y_w,i), v_i = log π/π_ref(y_l,i).
func aotUnpaired(b *Batch, c *Config) {
	for i := range b.Chosen {
		b.left[i], b.right[i] = b.LogRatios(i)
	}
	b.sortQuantiles()
	for k, i := range b.leftOrder {
		j := b.rightOrder[k]
		loss, slope := Sigmoid(b.left[i]-b.right[j], c.Beta, c.LabelSmoothing)
		b.Loss[k], b.DChosen[i], b.DRejected[j] = loss, slope, -slope
	}
}

// sortQuantiles orders the indices of left and right by value, ties by index.
func (b *Batch) sortQuantiles() {
	ascending(b.leftOrder, b.left)
	ascending(b.rightOrder, b.right)
}

func ascending(order []int, values []float64) {
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(values[i], values[j]), cmp.Compare(i, j))
	})
}

// List is one whole ranking in a batch, best response first.
type List struct {
	LogP, Ref []float64 // log π_θ(y|x), log π_ref(y|x)
	D         []float64 // ∂ℓ/∂LogP
}

// PlackettLuce is list-wise DPO (Rafailov et al. 2023, arXiv 2305.18290, appendix
// A.3): the likelihood of the ranking y_1 ≻ … ≻ y_K when each choice
// among those left is a softmax of s_k = β log π/π_ref(y_k),
//
//	ℓ       = −Σ_k [s_k − log Σ_{j≥k} e^{s_j}]
//	∂ℓ/∂s_j = −1 + Σ_{k≤j} e^{s_j} / Σ_{i≥k} e^{s_i}
//
// On two responses it is DPO. It fills list.D and returns ℓ.
func PlackettLuce(list List, beta float64) (loss float64) {
	d, last := list.D, len(list.D)-1
	for k := range last { // the last choice is no choice
		top := list.score(k, beta)
		for j := k + 1; j <= last; j++ {
			top = max(top, list.score(j, beta))
		}
		sum := 0.0
		for j := k; j <= last; j++ {
			sum += num.Exp(list.score(j, beta) - top)
		}
		loss += top + num.Log(sum) - list.score(k, beta)
		for j := k; j <= last; j++ {
			share := num.Exp(list.score(j, beta)-top) / sum
			if k == 0 {
				d[j] = 0
			}
			d[j] += float64(beta * share)
		}
		d[k] -= beta
	}
	return loss
}

// score is s_k = β log π/π_ref(y_k).
func (l List) score(k int, beta float64) float64 { return float64(beta * (l.LogP[k] - l.Ref[k])) }

func plackettLuce(b *Batch, c *Config) {
	for i, list := range b.Lists {
		b.Loss[i] = PlackettLuce(list, c.Beta)
		b.DChosen[i], b.DRejected[i] = list.D[0], list.D[len(list.D)-1]
	}
}
