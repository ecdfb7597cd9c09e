package ppo

import "rlhfsim/internal/num"

// Tokens is one response as a loss term sees it: what is known of each token,
// and room for what the term returns.
type Tokens struct {
	LogP, Old, Ref []float64 // log π_θ, log π_old, log π_ref
	Advantage      []float64 // Â_t; the same for every token unless rewards are per token

	Weight []float64 // importance weight of each token, see Weigh
	Share  float64   // ∂log w/∂log π_t where one weight serves the response, 0 where each token has its own
	Marked []bool    // tokens that a Mark picked, where the loss has one

	Loss  []float64 // ℓ_t
	Slope []float64 // ∂(Σ_s ℓ_s)/∂log π_t
	Low   int       // weights that the lower bound cut off, in [0, tokens]
	High  int       // and the upper one
	Phi   float64   // mean φ(w_t) of the response, of vespo
	Left  int       // tokens left out, of clip_cov
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

// together gives the slopes by log w to the tokens that move w. Where one weight serves
// the response that is every token: ∂Σℓ/∂log π_t = Share · Σ_s ∂ℓ_s/∂log w.
func (y *Tokens) together() {
	if y.Share != 0 {
		fill(y.Slope, float64(y.Share*num.Sum(y.Slope)))
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

// ppoClip is Clipped for a response, most of whose weights are cut off nowhere.
func ppoClip(y *Tokens, c *GroupConfig) { y.clipped(c.clip()) }

func (y *Tokens) clipped(clip Clip) {
	low, high := clip.uncut()
	y.Low, y.High = 0, 0
	for t, w := range y.Weight {
		a := y.Advantage[t]
		y.Loss[t] = -a * w
		y.Slope[t] = y.Loss[t]
		if !(low < w && w < high) {
			y.Loss[t], y.Slope[t], _ = Clipped(w, a, clip)
			y.count(clip.side(w, a))
		}
	}
	y.together()
}

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

// cispoTwoSided has verl's bounds: the weight is cut off at 1−ε below and 1+ε_high
// above (its compute_policy_loss_cispo).
var cispoTwoSided = ofCoefficient(func(w, a float64, c *GroupConfig) (float64, int) {
	clip := c.clip()
	held, _ := clip.hold(w)
	return min(max(held, 1-clip.Low), 1+clip.High), clip.side(w, a)
})

// sapo bends the ratio instead of cutting it off (Gao et al. 2025, SAPO, arXiv
// 2511.20347), with a temperature for each sign of the advantage:
//
//	ℓ = −(4/τ) σ(τ(w − 1)) Â,   ∂ℓ/∂log w = −4 σ(1 − σ) w Â
func sapo(y *Tokens, c *GroupConfig) {
	clip := c.clip()
	y.Low, y.High = 0, 0
	for t, w := range y.Weight {
		a, tau := y.Advantage[t], c.SAPOTemperatureNeg
		if a > 0 {
			tau = c.SAPOTemperaturePos
		}
		held, beyond := clip.hold(w)
		s := num.Sigmoid(float64(tau * (held - 1)))
		y.Loss[t] = -float64(s * 4 / tau * a)
		y.Slope[t] = -float64(4 * float64(s*(1-s)) * float64(w*a))
		if beyond {
			y.Slope[t] = 0
		}
	}
	y.together()
}

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
	y.Low, y.High, y.Phi = 0, 0, 0
	for t, a := range y.Advantage {
		k, lambda := c.VESPOKNeg, c.VESPOLambdaNeg
		if a >= 0 {
			k, lambda = c.VESPOKPos, c.VESPOLambdaPos
		}
		phi := num.Exp(lambda + float64(k*logw) - float64(lambda*num.Exp(logw)))
		y.Slope[t] = float64(-phi * a)
		y.Loss[t] = float64(y.Slope[t] * y.LogP[t])
		y.Phi += phi / float64(len(y.LogP))
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
		case a < 0 && l < -c.Epsilon:
			y.Low++
			l, y.Slope[t] = -c.Epsilon, 0
		case l == high || l == -c.Epsilon: // of two equal terms each gives half, see Clipped
			y.Slope[t] = 0.5
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

// dro is REINFORCE without a ratio: samples of an earlier policy count as they are, and
// what holds the policy to it is the square of the log-ratio (Richemond et al. 2024, DRO,
// arXiv 2405.19107, equation 8, there of whole responses and against π_ref):
//
//	ℓ = −Â log π + (β/2) log²ρ,   ∂ℓ/∂log π = −Â + β log ρ
func dro(y *Tokens, c *GroupConfig) {
	y.Low, y.High = 0, 0
	for t, a := range y.Advantage {
		logp := y.LogP[t]
		moved := float64(c.DROBeta * (logp - y.Old[t]))
		y.Loss[t] = float64(0.5*float64(moved*(logp-y.Old[t]))) - float64(a*logp)
		y.Slope[t] = moved - a
	}
}

// AddKL adds the penalty β k(t) to the loss, times the importance weight where
// correct is set: that undoes having sampled from π_old, and makes the
// gradient of k3 that of KL(π‖π_ref) (TRL's use_bias_correction_kl; DeepSeek-V3.2,
// arXiv 2512.02556). It returns Σ_t of what β multiplies.
func (y *Tokens) AddKL(k KLEstimator, beta float64, correct bool) (sum float64) {
	if !correct {
		for t := range y.LogP {
			v, slope := k.At(y.LogP[t], y.Ref[t])
			y.Loss[t] += float64(beta * v)
			y.Slope[t] += float64(beta * slope)
			sum += v
		}
		return sum
	}
	for t := range y.LogP {
		v, slope := k.At(y.LogP[t], y.Ref[t])
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
