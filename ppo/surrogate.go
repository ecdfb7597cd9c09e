package ppo

import "rlhfsim/internal/num"

// Tokens is one response as a loss term sees it: what is known of each token,
// and room for what the term returns.
type Tokens struct {
	LogP, Old, Ref []float64 // log π_θ, log π_old, log π_ref
	Advantage      []float64 // Â_t; the same for every token unless rewards are per token

	Weight []float64 // importance weight of each token, see Weigh
	Share  float64   // ∂log w/∂log π_t where one weight serves the response, 0 where each token has its own

	Loss  []float64 // ℓ_t
	Slope []float64 // ∂(Σ_s ℓ_s)/∂log π_t
	Low   int       // weights that the lower bound cut off, in [0, tokens]
	High  int       // and the upper one
}

// Levels are the ways to weigh a response's tokens.
var Levels = []string{"token", "sequence", "response"}

// Weigh fills the importance weights, with ρ_t = π_θ(y_t)/π_old(y_t):
//
//	token     w_t = ρ_t                  (Schulman et al. 2017)
//	sequence  w   = (Π_t ρ_t)^(1/|y|)    (Zheng et al. 2025, GSPO, arXiv 2507.18071, equation 7)
//	response  w   = Π_t ρ_t              (Ahmadian et al. 2024, RLOO: the whole response is one action)
func (y *Tokens) Weigh(level string) {
	for t := range y.Weight {
		y.Weight[t] = y.LogP[t] - y.Old[t]
	}
	y.Share = 0
	if level == "token" {
		num.ExpTo(y.Weight, y.Weight)
		return
	}
	sum := num.Sum(y.Weight)
	y.Share = 1
	if level == "sequence" {
		y.Share = 1 / float64(len(y.Weight))
		sum /= float64(len(y.Weight))
	}
	fill(y.Weight, num.Exp(sum))
}

// Surrogate fills Loss, Slope, Low and High of a weighed response.
type Surrogate func(y *Tokens, c *GroupConfig)

// ofWeight makes a Surrogate of a function of one weight and one advantage: the
// loss, its derivative with respect to log w, and the side on which w was cut
// off (−1, 0, +1). Where one weight serves the response, every token moves it:
// ∂Σℓ/∂log π_t = Share · Σ_s ∂ℓ_s/∂log w.
func ofWeight(f func(w, advantage float64, c *GroupConfig) (loss, slope float64, side int)) Surrogate {
	return func(y *Tokens, c *GroupConfig) {
		y.Low, y.High = 0, 0
		for t, w := range y.Weight {
			var side int
			y.Loss[t], y.Slope[t], side = f(w, y.Advantage[t], c)
			y.count(side)
		}
		if y.Share != 0 {
			fill(y.Slope, float64(y.Share*num.Sum(y.Slope)))
		}
	}
}

// ofCoefficient makes a Surrogate of a coefficient that is held fixed, a
// weighted REINFORCE term: ℓ_t = −f(w) Â_t log π_t.
func ofCoefficient(f func(w, advantage float64, c *GroupConfig) (coefficient float64, side int)) Surrogate {
	return func(y *Tokens, c *GroupConfig) {
		y.Low, y.High = 0, 0
		for t, w := range y.Weight {
			coefficient, side := f(w, y.Advantage[t], c)
			y.Slope[t] = float64(-coefficient * y.Advantage[t])
			y.Loss[t] = float64(y.Slope[t] * y.LogP[t])
			y.count(side)
		}
	}
}

func (y *Tokens) count(side int) {
	switch {
	case side < 0:
		y.Low++
	case side > 0:
		y.High++
	}
}

// Clip is the range of a clipped surrogate.
type Clip struct {
	Low, High float64 // ε of the lower bound 1−ε and of the upper 1+ε; apart in "clip-higher" (DAPO, equation 10)
	Delta     float64 // largest ratio where the advantage is negative, +Inf for none
}

// Clipped is the surrogate of one token as a loss, its derivative with respect
// to log π(y_t), and 1 where the clipped term is the larger one
// (Schulman et al. 2017, eq. 7):
//
//	ℓ = max(−Â min(ρ, δ), −Â clip(ρ, 1−ε_low, 1+ε_high)),   ∂ℓ/∂log π = −Â ρ, or 0 where cut off
//
// since ∂ρ/∂log π = ρ. The bound δ > 1+ε_high acts on negative advantages only,
// and is the dual clip (Ye et al. 2020, arXiv 1912.09729) as well as the
// two-sided clip (INTELLECT-2, arXiv 2505.07291): one formula, found twice.
func Clipped(ratio, advantage float64, c Clip) (loss, slope, clipped float64) {
	plain := -advantage * min(ratio, c.Delta)
	bound := -advantage * min(max(ratio, 1-c.Low), 1+c.High)
	switch {
	case bound > plain:
		return bound, 0, 1
	case ratio > c.Delta:
		return plain, 0, 0
	}
	return plain, plain, 0
}

// side is where TRL counts a ratio as clipped.
func (c Clip) side(ratio, advantage float64) int {
	ratio = min(ratio, c.Delta)
	switch {
	case advantage < 0 && ratio < 1-c.Low:
		return -1
	case advantage > 0 && ratio > 1+c.High:
		return 1
	}
	return 0
}

// ppoClip is Clipped for a response.
var ppoClip = ofWeight(func(w, a float64, c *GroupConfig) (loss, slope float64, side int) {
	clip := c.clip()
	loss, slope, _ = Clipped(w, a, clip)
	return loss, slope, clip.side(w, a)
})

// reinforce is −Â log π: the policy gradient of the samples as they are.
var reinforce = ofCoefficient(func(_, _ float64, _ *GroupConfig) (float64, int) { return 1, 0 })

// cispo weighs −Â log π with the ratio, cut off above at ε_high, which here is
// a ratio and not a distance from 1 (MiniMax-M1, arXiv 2506.13585).
var cispo = ofCoefficient(func(w, a float64, c *GroupConfig) (float64, int) {
	if w > c.EpsilonHigh {
		if a > 0 {
			return c.EpsilonHigh, 1
		}
		return c.EpsilonHigh, 0
	}
	return w, 0
})

// sapo bends the ratio instead of cutting it off (Gao et al. 2025, SAPO, arXiv
// 2511.20347), with a temperature for each sign of the advantage:
//
//	ℓ = −(4/τ) σ(τ(w − 1)) Â,   ∂ℓ/∂log w = −4 σ(1 − σ) w Â
var sapo = ofWeight(func(w, a float64, c *GroupConfig) (loss, slope float64, side int) {
	tau := c.SAPOTemperatureNeg
	if a > 0 {
		tau = c.SAPOTemperaturePos
	}
	s := num.Sigmoid(float64(tau * (w - 1)))
	return -float64(s * 4 / tau * a), -float64(4 * float64(s*(1-s)) * float64(w*a)), 0
})

var vespoFloor = num.Log(1e-8)

// vespo weighs −Â log π with a gamma-shaped function of the response's weight,
// cut off at e^20 and 1e−8 (VESPO, arXiv 2602.10693; TRL's get_gamma_weights):
//
//	φ(w) = e^λ w^k e^(−λw),   w = Π_t ρ_t,   (k, λ) for each sign of Â
func vespo(y *Tokens, c *GroupConfig) {
	const top = 20
	logw := 0.0
	for t := range y.LogP {
		logw += min(max(y.LogP[t]-y.Old[t], -top), top)
	}
	logw = min(max(logw, vespoFloor), top)
	y.Low, y.High = 0, 0
	for t, a := range y.Advantage {
		k, lambda := c.VESPOKNeg, c.VESPOLambdaNeg
		if a >= 0 {
			k, lambda = c.VESPOKPos, c.VESPOLambdaPos
		}
		phi := num.Exp(lambda + float64(k*logw) - float64(lambda*num.Exp(logw)))
		y.Slope[t] = float64(-phi * a)
		y.Loss[t] = float64(y.Slope[t] * y.LogP[t])
	}
}

// gmpo is the geometric mean of ratios that are clipped one by one, in log
// space (Zhao et al. 2025, GMPO, arXiv 2507.20673):
//
//	ℓ = −Â exp((1/|y|) Σ_t clip(log ρ_t)),  the clip one-sided by the sign of Â
func gmpo(y *Tokens, c *GroupConfig) {
	n := float64(len(y.LogP))
	high := c.clip().High
	y.Low, y.High = 0, 0
	sum := 0.0
	for t, a := range y.Advantage {
		l := y.LogP[t] - y.Old[t]
		y.Slope[t] = 1
		switch {
		case a > 0 && l > high:
			y.High++
			l, y.Slope[t] = high, 0
		case a <= 0 && l < -c.Epsilon:
			y.Low++
			l, y.Slope[t] = -c.Epsilon, 0
		}
		sum += l
	}
	w, total := num.Exp(sum/n), 0.0
	for t, a := range y.Advantage {
		y.Loss[t] = float64(-w * a)
		total += y.Loss[t]
	}
	for t := range y.Slope {
		y.Slope[t] *= total / n
	}
}

// AddKL adds the penalty β k(t) to the loss, times the importance weight where
// correct is set: that undoes having sampled from π_old, and makes the
// gradient of k3 that of KL(π‖π_ref) (TRL's use_bias_correction_kl; DeepSeek-V3.2,
// arXiv 2512.02556). It returns Σ_t of what β multiplies.
func (y *Tokens) AddKL(k KLEstimator, beta float64, correct bool) (sum float64) {
	if !correct {
		for t := range y.LogP {
			v, slope := k.Of(y.LogP[t], y.Ref[t])
			y.Loss[t] += float64(beta * v)
			y.Slope[t] += float64(beta * slope)
			sum += v
		}
		return sum
	}
	for t := range y.LogP {
		v, slope := k.Of(y.LogP[t], y.Ref[t])
		w := y.Weight[t]
		y.Loss[t] += float64(beta * float64(w*v))
		y.Slope[t] += float64(beta * float64(w*slope))
		sum += float64(w * v)
		if y.Share == 0 {
			y.Slope[t] += float64(beta * float64(w*v))
		}
	}
	if y.Share != 0 { // ∂w/∂log π_t = Share w for every token of the response
		for t := range y.Slope {
			y.Slope[t] += float64(beta * float64(y.Share*sum))
		}
	}
	return sum
}

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
	Surrogate         Surrogate
	Aggregation       Aggregation
}

// GroupLosses is the table of loss types; the names are TRL's where it has them.
var GroupLosses = []GroupLoss{
	{"grpo", "clipped, the mean over responses of their means", "Shao et al. 2024, arXiv 2402.03300, equation 3", ppoClip, responseMean},
	{"bnpo", "clipped, the mean over the batch's tokens", "TRL", ppoClip, tokenMean},
	{"dr_grpo", "clipped, the sum over tokens by a constant", "Liu et al. 2025, arXiv 2503.20783", ppoClip, maxLengthMean},
	{"dapo", "clipped, the mean over the tokens of all updates", "Yu et al. 2025, arXiv 2503.14476, equation 8", ppoClip, itemMean},
	{"luspo", "clipped, the mean over responses of their sums", "Liu et al. 2026, LUSPO, arXiv 2602.05261", ppoClip, responseSum},
	{"cispo", "REINFORCE with a capped importance weight", "MiniMax-M1 2025, arXiv 2506.13585", cispo, itemMean},
	{"sapo", "a soft gate in place of the clip", "Gao et al. 2025, arXiv 2511.20347", sapo, responseMean},
	{"vespo", "REINFORCE with a gamma-shaped weight of the response", "VESPO, arXiv 2602.10693", vespo, itemMean},
	{"gmpo", "the geometric mean of clipped ratios", "Zhao et al. 2025, arXiv 2507.20673", gmpo, responseMean},
	{"reinforce", "the plain policy gradient of the samples", "Williams 1992", reinforce, responseSum},
}

func groupLoss(name string) GroupLoss {
	for _, l := range GroupLosses {
		if l.Name == name {
			return l
		}
	}
	panic("ppo: no loss " + name)
}
