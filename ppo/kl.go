package ppo

import (
	"slices"

	"rlhfsim/internal/num"
)

// KLEstimator estimates KL(π‖π_ref) from one token that π said: a value, and
// its derivative with respect to log π(y_t), for where the penalty stands in the
// loss. With r = π_ref/π (Schulman 2020, "Approximating KL divergence"):
//
//	k1  = −log r               unbiased
//	k2  = ½ (log r)²           small variance, biased
//	k3  = (r − 1) − log r      unbiased, never negative
//	abs = |log r|              no estimate of the KL: a penalty of TRL 0.9 and verl
//	k1_positive = max(0, k1)   no estimate either: what AlpacaFarm takes for the KL
//	k1_plus, k3_plus           k1 and k3 with the slope of k2 (verl's "k1+" and "low_var_kl+")
//
// In the reward, k1 gives the gradient of the sequence's KL in expectation. In
// the loss the expected gradients are others: of k1 0, of k2 that of KL(π‖π_ref)
// and of k3 that of KL(π_ref‖π), both token by token.
type KLEstimator struct {
	Name            string
	Of              func(logp, ref float64) (k, slope float64)
	StraightThrough bool    // the slope is another estimator's, not that of the value
	Clamp           float64 // largest |k|, from which on a slope of its own is 0; 0 = none. OpenRLHF and verl (k3) have 10
}

// At is Of within the clamp; on it, as in torch, the slope is 0.
func (k KLEstimator) At(logp, ref float64) (value, slope float64) {
	value, slope = k.Of(logp, ref)
	if k.Clamp > 0 && (value >= k.Clamp || value <= -k.Clamp) {
		value = min(max(value, -k.Clamp), k.Clamp)
		if !k.StraightThrough {
			slope = 0
		}
	}
	return value, slope
}

// KLEstimators is the table of estimators that need nothing but the token. The
// further name "full" is the exact KL of the state that the token was said in,
// see FullKL.
var KLEstimators = []KLEstimator{
	{Name: "k1", Of: func(logp, ref float64) (k, slope float64) { return logp - ref, 1 }},
	{Name: "k2", Of: func(logp, ref float64) (k, slope float64) {
		d := logp - ref
		return float64(0.5 * float64(d*d)), d
	}},
	{Name: "k3", Of: func(logp, ref float64) (k, slope float64) {
		r := num.Exp(ref - logp)
		return logp - ref + (r - 1), 1 - r
	}},
	{Name: "k1_plus", StraightThrough: true, Of: func(logp, ref float64) (k, slope float64) {
		return logp - ref, logp - ref
	}},
	{Name: "k3_plus", StraightThrough: true, Of: func(logp, ref float64) (k, slope float64) {
		return logp - ref + num.Expm1(ref-logp), logp - ref
	}},
	{Name: "abs", Of: func(logp, ref float64) (k, slope float64) {
		switch {
		case logp < ref:
			return ref - logp, -1
		case logp > ref:
			return logp - ref, 1
		}
		return 0, 0
	}},
	{Name: "k1_positive", Of: func(logp, ref float64) (k, slope float64) {
		if logp <= ref {
			return 0, 0
		}
		return logp - ref, 1
	}},
}

// Where a penalty stands. In both places (each token's reward, and the loss) an
// estimator counts twice what it teaches in each; the exact KL of the state teaches
// something else in each, and only in both the KL of the whole response.
var klPlaces = []string{"loss", "reward", "token_reward", "both"}

// klAggregations are what becomes of the penalties of tokens in the loss: what the
// loss itself makes of its tokens, or their mean over the update (OpenRLHF).
var klAggregations = []string{asLoss, "token_mean"}

func inLoss(place string) bool   { return place == "loss" || place == "both" }
func inReward(place string) bool { return place != "loss" }

// full is the name of the estimator that sums over all outcomes.
const full = "full"

var estimators = append(names(KLEstimators, func(k KLEstimator) string { return k.Name }), full)

// names lists what a configuration may choose from a table.
func names[T any](table []T, name func(T) string) []string {
	var out []string
	for _, entry := range table {
		out = append(out, name(entry))
	}
	return out
}

// estimator is the entry of that name with a clamp; ok is false for "full".
func estimator(name string, clamp float64) (k KLEstimator, ok bool) {
	i := slices.IndexFunc(KLEstimators, func(k KLEstimator) bool { return k.Name == name })
	if i < 0 {
		return k, false
	}
	k = KLEstimators[i]
	k.Clamp = clamp
	return k, true
}

// FullKL is the exact KL of one state's decision, from the whole row of
// outcomes: Σ_w π(w) (log π(w) − log π_ref(w)), never an estimate (TRL 0.9's
// kl_penalty "full"). In the reward it is blind to a decision's own state, whose
// KL does not depend on what is said; in the loss, to all later ones.
func FullKL(p, logp, ref []float64) float64 {
	sum := 0.0
	for w := range p {
		sum += float64(p[w] * (logp[w] - ref[w]))
	}
	return sum
}

// FullKLGradient adds scale times the derivative of FullKL to g, the row's
// ∂L/∂log π in the convention of policy.Trainer: g_w = π_w (log π_w − log π_ref,w).
func FullKLGradient(g, p, logp, ref []float64, scale float64) {
	for w := range p {
		g[w] += float64(scale * float64(p[w]*(logp[w]-ref[w])))
	}
}

// SequenceKL is the KL estimate of a whole response, Σ_t k(t), as RLOO takes it
// off the reward (Ahmadian et al. 2024, arXiv 2402.14740, with k1).
func SequenceKL(logp, ref []float64, k KLEstimator) float64 {
	sum := 0.0
	for t := range logp {
		v, _ := k.At(logp[t], ref[t])
		sum += v
	}
	return sum
}

// ReturnsToGo fills what follows from each token on when the score stands on
// the last one and each token costs β k: G_t = γ G_{t+1} − β k_t, G_T = score − β k_T.
func ReturnsToGo(dst, k []float64, beta, gamma, score float64) {
	for t := len(dst) - 1; t >= 0; t-- {
		score -= float64(beta * k[t])
		dst[t] = score
		score = float64(gamma * score)
	}
}

// Overlong is the soft overlong punishment (Yu et al. 2025, DAPO, arXiv
// 2503.14476, equation 13) for a response of n tokens, its EOS one of them:
//
//	0 up to L − cache,  ((L − cache) − n)/cache up to L,  −1 beyond
func Overlong(n, longest, cache int) float64 {
	return -min(max(float64(n-(longest-cache))/float64(cache), 0), 1)
}
