package ppo

import (
	"math"

	"rlhfsim/internal/num"
)

// Groups is a batch of responses, consecutive runs of Size to the same prompt,
// with what a baseline may know of them.
type Groups struct {
	Size   int
	Reward []float64 // R of each response
	Length []float64 // its tokens
	Greedy []float64 // reward of the greedy response to its prompt; only for "greedy"
	Energy []float64 // ‖e − π‖² of each token; only for "optimal_token"
}

// Baseline is what an advantage compares a reward with: A_i = R_i − b_i, then
// scaled. A baseline that does not depend on y_i leaves the policy gradient
// unbiased (Williams 1992, section 4); one that contains R_i itself shrinks it
// by a constant, (n−1)/n for a mean over n.
type Baseline struct {
	Name, Idea, Paper string
	Group, Batch      int  // responses to the same prompt, and in all, without which a response is its own baseline
	Greedy            bool // it reads Groups.Greedy
	Fill              func(dst []float64, g Groups)
	PerToken          func(g, energy []float64, start []int32) // takes another one off what follows each of a group's tokens; nil: none
}

// Baselines is the table of baselines.
var Baselines = []Baseline{
	{Name: "none", Idea: "no baseline: the reward itself", Paper: "Williams 1992",
		Fill: func(dst []float64, _ Groups) { clear(dst) }},
	{Name: "batch_mean", Idea: "the mean reward of the batch", Paper: "Williams 1992", Batch: 2,
		Fill: func(dst []float64, g Groups) { fill(dst, mean(g.Reward)) }},
	{Name: "group_mean", Idea: "the mean reward of the same prompt's responses", Paper: "Shao et al. 2024, arXiv 2402.03300, section 4.1", Group: 2,
		Fill: perGroup(groupMean)},
	{Name: "leave_one_out", Idea: "the mean reward of the same prompt's other responses", Paper: "Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740", Group: 2,
		Fill: perGroup(leaveOneOut)},
	{Name: "greedy", Idea: "the reward of the greedy response", Paper: "Li et al. 2023, ReMax, arXiv 2310.10505", Greedy: true,
		Fill: func(dst []float64, g Groups) { copy(dst, g.Greedy) }},
	{Name: "length_weighted", Idea: "the mean reward of the same prompt's responses, weighted by length", Paper: "Hao et al. 2025, OPO, arXiv 2505.23585", Group: 2,
		Fill: perGroup(lengthWeighted)},
	{Name: "second_best", Idea: "for the best response the reward of the second, for the others their own", Paper: "Walder and Karkhanis 2025, Pass@k, arXiv 2505.15201; verl's grpo_passk", Group: 2,
		Fill: perGroup(secondBest)},
	{Name: "optimal_token", Idea: "for each token the mean of what follows in the same prompt's responses, weighted by the gradient up to there", Paper: "Li et al. 2026, OTB, arXiv 2602.07078", Group: 2,
		Fill: func(dst []float64, _ Groups) { clear(dst) }, PerToken: optimalToken},
}

func baseline(name string) Baseline {
	for _, b := range Baselines {
		if b.Name == name {
			return b
		}
	}
	panic("ppo: no baseline " + name)
}

// perGroup applies f to each group on its own.
func perGroup(f func(dst, reward, length []float64)) func([]float64, Groups) {
	return func(dst []float64, g Groups) {
		for i := 0; i < len(dst); i += g.Size {
			length := g.Length
			if length != nil {
				length = length[i : i+g.Size]
			}
			f(dst[i:i+g.Size], g.Reward[i:i+g.Size], length)
		}
	}
}

// groupMean is b = (1/n) Σ_j R_j.
func groupMean(dst, reward, _ []float64) { fill(dst, mean(reward)) }

// leaveOneOut is b_i = (1/(n−1)) Σ_{j≠i} R_j; alone, a response is its own
// baseline, as in TRL.
func leaveOneOut(dst, reward, _ []float64) {
	if len(reward) == 1 {
		dst[0] = reward[0]
		return
	}
	base, sum := reward[0], 0.0
	for _, r := range reward {
		sum += r - base
	}
	for i, r := range reward {
		dst[i] = base + (sum-(r-base))/float64(len(reward)-1)
	}
}

// lengthWeighted is b = Σ_j l_j R_j / Σ_j l_j, the baseline of least variance
// where the gradient's norm grows with the length.
func lengthWeighted(dst, reward, length []float64) {
	fill(dst, num.Dot(length, reward)/num.Sum(length))
}

// secondBest leaves an advantage to the best response alone, the first where several
// are: what it adds to the best of the group. For the others b_i = R_i.
func secondBest(dst, reward, _ []float64) {
	copy(dst, reward)
	top := best(reward)
	second := math.Inf(-1)
	for i, r := range reward {
		if i != top {
			second = max(second, r)
		}
	}
	dst[top] = second
}

// mean is taken of the differences from the first value, so that the mean of equal
// values is that value to the last bit: where a group's rewards are equal, rounding
// must not make advantages, which a division by σ + 1e−4 and Adam would blow up.
func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x - xs[0]
	}
	return xs[0] + sum/float64(len(xs))
}

func fill(dst []float64, v float64) {
	for i := range dst {
		dst[i] = v
	}
}

// scaleEpsilon stands beside a standard deviation in a denominator, as in TRL (verl
// has 1e−6, OpenRLHF 1e−9).
const scaleEpsilon = 1e-4

var scales = []string{"group", "batch", "mean", "nonzero", "none"}

// Advantages fills A_i = (R_i − b_i)/(s + ε), with a scale s of the rewards:
//
//	group    σ, their unbiased standard deviation in the group (Shao et al. 2024)
//	batch    the same over the batch
//	mean     their mean in the group (Tajwar et al. 2026, MaxRL, where they are 0 or 1);
//	         A = 0 where it is not above 0: no success, nothing learned
//	nonzero  the share of them that is not 0, without ε (verl's gpg)
//	none     no division
func Advantages(dst []float64, g Groups, b Baseline, scale string, epsilon float64) {
	b.Fill(dst, g)
	for i, r := range g.Reward {
		dst[i] = r - dst[i]
	}
	switch scale {
	case "group":
		for i := 0; i < len(dst); i += g.Size {
			divide(dst[i:i+g.Size], deviation(g.Reward[i:i+g.Size])+epsilon)
		}
	case "batch":
		divide(dst, deviation(g.Reward)+epsilon)
	case "mean":
		for i := 0; i < len(dst); i += g.Size {
			if m := mean(g.Reward[i : i+g.Size]); m > 0 {
				divide(dst[i:i+g.Size], m+epsilon)
			} else {
				clear(dst[i : i+g.Size])
			}
		}
	case "nonzero":
		divide(dst, nonzero(g.Reward))
	}
}

// nonzero is the share of values that are not 0, or of one value where all are.
func nonzero(xs []float64) float64 {
	n := 0
	for _, x := range xs {
		if x != 0 {
			n++
		}
	}
	return float64(max(1, n)) / float64(len(xs))
}

// fillAdvantages fills Â_t of every token, and on the way those of the responses, whole:
// the KL off the rewards, baseline and scale, then what kl_in, a baseline of tokens and whitening make of them.
// Response i has the tokens start[i] to start[i+1]; penalty are their k(t).
func (c *GroupConfig) fillAdvantages(dst, whole []float64, g Groups, b Baseline, penalty []float64, start []int32) {
	if c.KLIn == "reward" {
		for i := range g.Reward {
			g.Reward[i] -= float64(c.Beta * num.Sum(penalty[start[i]:start[i+1]]))
		}
	}
	Advantages(whole, g, b, c.ScaleRewards, c.ScaleEpsilon)
	for i := range whole {
		whole[i] = clipped(whole[i], c.CliprangeAdvantage)
	}
	if c.NormalizeAdvantages {
		Normalize(whole, c.ScaleEpsilon)
	}
	for i, a := range whole {
		from, to := start[i], start[i+1]
		if c.KLIn == "token_reward" || c.KLIn == "both" {
			ReturnsToGo(dst[from:to], penalty[from:to], c.Beta, c.Gamma, a)
		} else {
			fill(dst[from:to], a)
		}
	}
	if b.PerToken != nil {
		for i := 0; i < len(whole); i += g.Size {
			b.PerToken(dst, g.Energy, start[i:i+g.Size+1])
		}
	}
	if c.WhitenAdvantages {
		Whiten(dst, true, c.BiasedWhitening)
	}
}

// Normalize is (x − mean)/(σ + ε) over all of xs (TRL's normalize_advantages).
func Normalize(xs []float64, epsilon float64) {
	m, by := mean(xs), deviation(xs)+epsilon
	for i := range xs {
		xs[i] -= m
	}
	divide(xs, by)
}

// NormalizeThenSum fills the advantages for several rewards at once: each is
// normalised in its group, then they are summed by weight, and the sum is
// normalised over the batch (Liu et al. 2026, GDPO, arXiv 2601.05242; TRL's
// multi_objective_aggregation). rewards holds a list for each of them.
func NormalizeThenSum(dst []float64, rewards [][]float64, weights []float64, size int) {
	clear(dst)
	own := make([]float64, len(dst))
	for k, reward := range rewards {
		Advantages(own, Groups{Size: size, Reward: reward}, baseline("group_mean"), "group", scaleEpsilon)
		num.Axpy(dst, weights[k], own)
	}
	Normalize(dst, scaleEpsilon)
}

func deviation(xs []float64) float64 {
	if len(xs) < 2 {
		return 0
	}
	m, sum := mean(xs), 0.0
	for _, x := range xs {
		sum += float64((x - m) * (x - m))
	}
	return math.Sqrt(sum / float64(len(xs)-1))
}

// divide leaves values alone that have no deviation at all (ε = 0): they are all 0.
func divide(xs []float64, by float64) {
	if by == 0 {
		return
	}
	for i := range xs {
		xs[i] /= by
	}
}
