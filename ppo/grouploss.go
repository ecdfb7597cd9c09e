package ppo

import (
	"slices"
	"strings"
)

// Size is what an aggregation may divide by.
type Size struct {
	Responses int     // B
	Tokens    int     // N, those that count in the loss
	Items     float64 // those of the whole batch sampled, per update; N where one update takes it all
	MaxLength int     // longest response possible, in tokens
}

// Aggregation says what each token of a response of n tokens weighs in the loss:
// L = Σ_i a(n_i) Σ_t ℓ_t. Which one is meant by "the mean" decides what long
// responses are worth (Liu et al. 2025, arXiv 2503.20783, section 3.1).
type Aggregation func(n int, b Size) float64

// responseMean is 1/(B n): every response counts the same, a long one's tokens less.
func responseMean(n int, b Size) float64 { return 1 / (float64(b.Responses) * float64(max(n, 1))) }

// tokenMean is 1/N: every token of the batch counts the same.
func tokenMean(_ int, b Size) float64 { return 1 / float64(max(b.Tokens, 1)) }

// maxLengthMean is 1/(B·MaxLength): a constant, so that lengths are not rewarded.
func maxLengthMean(_ int, b Size) float64 { return 1 / (float64(b.Responses) * float64(b.MaxLength)) }

// itemMean is 1/Items: every token counts the same, in whichever update it is.
func itemMean(_ int, b Size) float64 { return 1 / max(b.Items, 1) }

// responseSum is 1/B: a response counts by its length, as in the policy gradient theorem.
func responseSum(_ int, b Size) float64 { return 1 / float64(b.Responses) }

// GroupLoss is a policy loss: a surrogate of the tokens, and how they add up.
type GroupLoss struct {
	Name, Idea, Paper string
	Uses              []string // which of lossFields
	Surrogate         Surrogate
	Aggregation       Aggregation
}

// lossFields are the fields of GroupConfig that only some losses use.
var lossFields = []string{"importance_sampling_level", "epsilon", "epsilon_high", "delta", "sapo_temperature_pos", "sapo_temperature_neg",
	"vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg"}

var clipFields = lossFields[:4]

// Unused says why a field of the configuration changes nothing; "" when it does
// change something.
func (c GroupConfig) Unused(name string) string {
	l := groupLoss(c.LossType)
	if !slices.Contains(lossFields, name) || slices.Contains(l.Uses, name) {
		return ""
	}
	if len(l.Uses) == 0 {
		return "loss_type = \"" + l.Name + "\" has nothing to set"
	}
	return "loss_type = \"" + l.Name + "\" does not use it; it uses " + strings.Join(l.Uses, ", ")
}

// GroupLosses is the table of loss types; the names are TRL's where it has them.
var GroupLosses = []GroupLoss{
	{"grpo", "clipped, the mean over responses of their means", "Shao et al. 2024, arXiv 2402.03300, equation 3", clipFields, ppoClip, responseMean},
	{"bnpo", "clipped, the mean over the batch's tokens", "TRL", clipFields, ppoClip, tokenMean},
	{"dr_grpo", "clipped, the sum over tokens by a constant", "Liu et al. 2025, arXiv 2503.20783", clipFields, ppoClip, maxLengthMean},
	{"dapo", "clipped, the mean over the tokens of all updates", "Yu et al. 2025, arXiv 2503.14476, equation 8", clipFields, ppoClip, itemMean},
	{"luspo", "clipped, the mean over responses of their sums", "Liu et al. 2026, LUSPO, arXiv 2602.05261", clipFields, ppoClip, responseSum},
	{"cispo", "REINFORCE with a capped importance weight", "MiniMax-M1 2025, arXiv 2506.13585", []string{"importance_sampling_level", "epsilon_high"}, cispo, itemMean},
	{"sapo", "a soft gate in place of the clip", "Gao et al. 2025, arXiv 2511.20347", []string{"importance_sampling_level", "sapo_temperature_pos", "sapo_temperature_neg"}, sapo, responseMean},
	{"vespo", "REINFORCE with a gamma-shaped weight of the response", "VESPO, arXiv 2602.10693", lossFields[6:], vespo, itemMean},
	{"gmpo", "the geometric mean of clipped ratios", "Zhao et al. 2025, arXiv 2507.20673", []string{"epsilon", "epsilon_high"}, gmpo, responseMean},
	{"reinforce", "the plain policy gradient of the samples", "Williams 1992", nil, reinforce, responseSum},
}

func groupLoss(name string) GroupLoss {
	for _, l := range GroupLosses {
		if l.Name == name {
			return l
		}
	}
	panic("ppo: no loss " + name)
}
