package reward

import (
	"slices"

	"rlhfsim/internal/num"
	"rlhfsim/policy"
)

// LossType is what is maximised: how likely the model makes the rankings.
type LossType string

const (
	// PairwiseLoss is −log σ(r_w − r_l) for every comparison of a ranking
	// (Ouyang et al. 2022, eq. 1).
	PairwiseLoss LossType = "pairwise"
	// PlackettLuceLoss takes a ranking as a sequence of choices, the best of what
	// is left each time (Plackett 1975; Rafailov et al. 2023, eq. 18).
	PlackettLuceLoss LossType = "plackett_luce"
	// PickBestLoss takes the first choice alone (Ziegler et al. 2019, eq. 1).
	PickBestLoss LossType = "pick_best"
	// RaoKupperLoss and DavidsonLoss take comparisons that may be ties, see
	// policy.RaoKupper and policy.Davidson.
	RaoKupperLoss LossType = "rao_kupper"
	DavidsonLoss  LossType = "davidson"
)

// LossTypes lists what Config.LossType accepts.
var LossTypes = []LossType{PairwiseLoss, PlackettLuceLoss, PickBestLoss, RaoKupperLoss, DavidsonLoss}

// Pairwise is the loss of one comparison and its derivatives,
//
//	ℓ = −log σ(d) + c (r_w + r_l)²,  d = r_w − r_l − margin
//	∂ℓ/∂r_w = −σ(−d) + 2c (r_w + r_l),  ∂ℓ/∂r_l = σ(−d) + 2c (r_w + r_l)
//
// (Ouyang et al. 2022, eq. 1; the margin is Touvron et al. 2023, eq. 2).
func Pairwise(chosen, rejected, margin, center float64) (loss, dChosen, dRejected float64) {
	d := chosen - rejected - margin
	win, pull := num.LogSigmoidSlope(d)
	centring, tie := Centring(chosen, rejected, center)
	return centring - win, tie - pull, tie + pull
}

// Centring is c (r_w + r_l)² and its derivative, the same for both rewards
// (Eisenstein et al. 2023, section 2).
func Centring(chosen, rejected, center float64) (loss, d float64) {
	sum := chosen + rejected
	return float64(float64(center*sum) * sum), 2 * float64(center*sum)
}

// PickBest is the loss of one choice, the first of the rewards being that of the
// response chosen; it adds its derivatives, times weight, to slope:
//
//	ℓ = −log( e^{r_1} / Σ_j e^{r_j} ),  ∂ℓ/∂r_j = e^{r_j} / Σ_i e^{r_i} − 1[j = 1]
func PickBest(slope, rewards []float64, weight float64) (loss float64) {
	logZ := num.LogSumExp(rewards)
	for j, r := range rewards {
		slope[j] += float64(weight * num.Exp(r-logZ))
	}
	slope[0] -= weight
	return float64(weight * (logZ - rewards[0]))
}

// PlackettLuce is the loss of a whole ranking, rewards best first: the mean over
// its K−1 choices, so that a ranking is one batch element whatever K,
//
//	ℓ = −1/(K−1) Σ_{k<K} log( e^{r_k} / Σ_{j≥k} e^{r_j} )
//
// It adds its derivatives, times weight, to slope.
func PlackettLuce(slope, rewards []float64, weight float64) (loss float64) {
	choices := len(rewards) - 1
	for k := range choices {
		loss += PickBest(slope[k:], rewards[k:], weight/float64(choices))
	}
	return loss
}

// told is the order of the responses that the comparisons tell, best first. Label
// noise lies on comparisons; where they contradict one another, the response that
// won more comes first (Copeland's rule), and of equals the one ranked higher.
func told(responses int, compared []policy.Comparison) []int {
	order, wins := make([]int, responses), make([]int, responses)
	for k := range order {
		order[k] = k
	}
	for _, c := range compared {
		wins[c.Chosen]++
	}
	slices.SortStableFunc(order, func(a, b int) int { return wins[b] - wins[a] })
	return order
}
