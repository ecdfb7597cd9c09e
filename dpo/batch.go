package dpo

import "rlhfsim/internal/num"

// Batch is all that a preference loss sees: for every pair of a minibatch the
// log-probabilities of its two responses, and room for what the loss returns.
type Batch struct {
	Chosen, Rejected       []float64 // log π_θ(y_w|x), log π_θ(y_l|x)
	RefChosen, RefRejected []float64 // the same under π_ref
	ChosenLen, RejectedLen []float64 // |y_w|, |y_l| in tokens, EOS included

	Weight          []float64 // WPO's weight of the pair
	KL              []float64 // z₀, KTO's reference point
	ScoreDifference []float64 // r(x,y_w) − r(x,y_l)
	Delta           float64   // δ, the running mean of the rewards
	Lists           []List    // whole rankings
	Tied            []bool    // the pairs that were called equal

	Loss               []float64 // ℓ of each pair; L is their mean
	DChosen, DRejected []float64 // ∂ℓ/∂Chosen, ∂ℓ/∂Rejected (n ∂L/∂Chosen where a loss couples the pairs)

	// What the likelihood term (SFT, RPO, MPO, ORPO) reads where it is not Chosen: under
	// LD-DPO, which weighs the tokens of Chosen, log π_θ(y_w|x) with every token counted
	// in full; its tokens; and its derivative. Documents have both; a Config refuses it.
	Likelihood, LikelihoodLen, DLikelihood []float64
	separate                               bool

	left, right           []float64 // the two sides of an optimal transport
	leftOrder, rightOrder []int
}

// NewBatch has room for n pairs.
func NewBatch(n int) *Batch {
	b := &Batch{leftOrder: make([]int, n), rightOrder: make([]int, n), Tied: make([]bool, n)}
	for _, column := range b.columns() {
		*column = make([]float64, n)
	}
	return b
}

func (b *Batch) columns() [17]*[]float64 {
	return [...]*[]float64{&b.Chosen, &b.Rejected, &b.RefChosen, &b.RefRejected, &b.ChosenLen, &b.RejectedLen,
		&b.Weight, &b.KL, &b.ScoreDifference, &b.Loss, &b.DChosen, &b.DRejected, &b.left, &b.right, &b.Likelihood, &b.LikelihoodLen, &b.DLikelihood}
}

// resize gives the batch n pairs, at most those it was made for.
func (b *Batch) resize(n int) {
	for _, column := range b.columns() {
		*column = (*column)[:n]
	}
	b.leftOrder, b.rightOrder, b.Tied = b.leftOrder[:n], b.rightOrder[:n], b.Tied[:n]
}

// likelihood is what the likelihood term reads, and where its derivative goes.
func (b *Batch) likelihood() (logp, tokens, d []float64) {
	if b.separate {
		return b.Likelihood, b.LikelihoodLen, b.DLikelihood
	}
	return b.Chosen, b.ChosenLen, b.DChosen
}

func (b *Batch) clear() {
	clear(b.Loss)
	clear(b.DChosen)
	clear(b.DRejected)
}

// LogRatios is log π_θ/π_ref of the chosen and the rejected response of pair i;
// h is their difference.
func (b *Batch) LogRatios(i int) (chosen, rejected float64) {
	return b.Chosen[i] - b.RefChosen[i], b.Rejected[i] - b.RefRejected[i]
}

func mean(v []float64) float64 { return num.Sum(v) / float64(len(v)) }

// logProbs and meanLogProbs are the implicit rewards of losses without reference.
func logProbs(b *Batch, i int) (chosen, rejected float64) { return b.Chosen[i], b.Rejected[i] }

func meanLogProbs(b *Batch, i int) (chosen, rejected float64) {
	return b.Chosen[i] / perToken(b.ChosenLen[i]), b.Rejected[i] / perToken(b.RejectedLen[i])
}

// perToken is what a sum over a response of n tokens is divided by: 1 for an empty
// one, as in TRL.
func perToken(n float64) float64 { return max(1, n) }

// ratios are the log-ratios of pair i, by token divided by the responses' lengths,
// with their derivatives.
func (b *Batch) ratios(i int, byToken bool) (chosen, rejected, dc, dr float64) {
	chosen, rejected = b.LogRatios(i)
	if !byToken {
		return chosen, rejected, 1, 1
	}
	n, m := perToken(b.ChosenLen[i]), perToken(b.RejectedLen[i])
	return chosen / n, rejected / m, 1 / n, 1 / m
}

// scores are what a loss under the leash D_f compares, f′(π/π_ref) of the chosen and
// the rejected response of pair i, with their derivatives; under the reverse KL the
// log-ratios themselves. By token they are divided by the responses' lengths.
func (b *Batch) scores(i int, c *Config, byToken bool) (chosen, rejected, dc, dr float64) {
	if c.FDivergenceType == reverseKL {
		return b.ratios(i, byToken)
	}
	chosen, rejected = b.LogRatios(i)
	chosen, dc = FScore(chosen, c.FDivergenceType, c.FAlphaDivergenceCoef)
	rejected, dr = FScore(rejected, c.FDivergenceType, c.FAlphaDivergenceCoef)
	if byToken {
		n, m := perToken(b.ChosenLen[i]), perToken(b.RejectedLen[i])
		chosen, dc, rejected, dr = chosen/n, dc/n, rejected/m, dr/m
	}
	return chosen, rejected, dc, dr
}

// margins takes a loss of h alone, the difference of the scores.
func (b *Batch) margins(c *Config, byToken bool, f func(h float64, c *Config) (loss, slope float64)) {
	for i := range b.Chosen {
		chosen, rejected, dc, dr := b.scores(i, c, byToken)
		loss, slope := f(chosen-rejected, c)
		b.Loss[i], b.DChosen[i], b.DRejected[i] = loss, float64(slope*dc), -float64(slope*dr)
	}
}

// ofMargin makes a Loss of a function of h alone.
func ofMargin(f func(h float64, c *Config) (loss, slope float64)) func(*Batch, *Config) {
	return func(b *Batch, c *Config) { b.margins(c, c.PerToken, f) }
}

// ofMeanMargin is ofMargin with scores per token.
func ofMeanMargin(f func(h float64, c *Config) (loss, slope float64)) func(*Batch, *Config) {
	return func(b *Batch, c *Config) { b.margins(c, true, f) }
}

// ofPair makes a Loss of a function of the two log-ratios.
func ofPair(f func(chosen, rejected float64, c *Config) (loss, dc, dr float64)) func(*Batch, *Config) {
	return func(b *Batch, c *Config) {
		for i := range b.Chosen {
			chosen, rejected := b.LogRatios(i)
			b.Loss[i], b.DChosen[i], b.DRejected[i] = f(chosen, rejected, c)
		}
	}
}

// each takes a loss of each response alone, of their log-ratios: TRL's leash D_f acts
// on margins only.
func (b *Batch) each(c *Config, f func(chosen, rejected float64, c *Config) (loss, dc, dr float64)) {
	for i := range b.Chosen {
		chosen, rejected, dc, dr := b.ratios(i, c.PerToken)
		loss, sc, sr := f(chosen, rejected, c)
		b.Loss[i], b.DChosen[i], b.DRejected[i] = loss, float64(sc*dc), float64(sr*dr)
	}
}

// ofEach makes a Loss of a function of the two log-ratios, per token where configured.
func ofEach(f func(chosen, rejected float64, c *Config) (loss, dc, dr float64)) func(*Batch, *Config) {
	return func(b *Batch, c *Config) { b.each(c, f) }
}

// ofTies makes a Loss of a function of h for clear preferences, and one for ties.
func ofTies(preference, tie func(h float64, c *Config) (loss, slope float64)) func(*Batch, *Config) {
	return func(b *Batch, c *Config) {
		for i, tied := range b.Tied {
			chosen, rejected := b.LogRatios(i)
			of := preference
			if tied {
				of = tie
			}
			b.Loss[i], b.DChosen[i], b.DRejected[i] = split(of(chosen-rejected, c))
		}
	}
}

// ofMeans makes a Loss of a function of the two mean log-probabilities.
func ofMeans(f func(w, l float64, c *Config) (loss, dw, dl float64)) func(*Batch, *Config) {
	return func(b *Batch, c *Config) {
		for i := range b.Chosen {
			w, l := meanLogProbs(b, i)
			loss, dw, dl := f(w, l, c)
			b.Loss[i], b.DChosen[i], b.DRejected[i] = loss, dw/perToken(b.ChosenLen[i]), dl/perToken(b.RejectedLen[i])
		}
	}
}

// split turns the slope along a margin into the two derivatives.
func split(loss, slope float64) (float64, float64, float64) { return loss, slope, -slope }

var sigmoidOfMargin = ofMargin(func(h float64, c *Config) (float64, float64) { return Sigmoid(h, c.Beta, c.LabelSmoothing) })

// sigmoid is Sigmoid of every pair, the exponentials of a batch in one go: the loss
// that is taken most often.
func sigmoid(b *Batch, c *Config) {
	if c.FDivergenceType != reverseKL || c.PerToken {
		sigmoidOfMargin(b, c)
		return
	}
	z := b.left
	for i := range z {
		chosen, rejected := b.LogRatios(i)
		z[i] = float64(c.Beta * (chosen - rejected))
	}
	num.LogSigmoidSlopes(b.Loss, b.DChosen, z)
	for i, win := range b.Loss {
		slope := float64(-c.Beta * (b.DChosen[i] - c.LabelSmoothing))
		b.Loss[i], b.DChosen[i], b.DRejected[i] = float64(c.LabelSmoothing*z[i])-win, slope, -slope
	}
}

func ipo(b *Batch, c *Config) {
	b.margins(c, c.AverageLogProb, func(h float64, c *Config) (float64, float64) { return IPO(h, c.Beta) })
}

func bcoPair(b *Batch, c *Config) {
	delta := 0.0
	if c.RunningDelta {
		delta = b.Delta
	}
	b.each(c, func(u, v float64, c *Config) (float64, float64, float64) { return BCOPair(u, v, c.Beta, delta) })
}

func bco(b *Batch, c *Config) {
	for i := range b.Chosen {
		chosen, rejected := b.LogRatios(i)
		loss, dc, dr := BCOPair(chosen, rejected, c.Beta, b.Delta)
		b.Loss[i], b.DChosen[i], b.DRejected[i] = loss/2, dc/2, dr/2
	}
}

func kto(b *Batch, c *Config) {
	for i, z0 := range b.KL {
		chosen, rejected := b.LogRatios(i)
		up, dc := KTO(chosen, c.Beta, z0, c.DesirableWeight, true)
		down, dr := KTO(rejected, c.Beta, z0, c.UndesirableWeight, false)
		b.Loss[i], b.DChosen[i], b.DRejected[i] = (up+down)/2, dc/2, dr/2
	}
}

func rdpo(b *Batch, c *Config) {
	for i := range b.Chosen {
		chosen, rejected := b.LogRatios(i)
		b.Loss[i], b.DChosen[i], b.DRejected[i] = split(RDPO(chosen-rejected, b.ChosenLen[i]-b.RejectedLen[i], c.Beta, c.RDPOAlpha))
	}
}

func rebel(b *Batch, c *Config) {
	for i, difference := range b.ScoreDifference {
		chosen, rejected := b.LogRatios(i)
		b.Loss[i], b.DChosen[i], b.DRejected[i] = split(REBEL(chosen-rejected, difference, c.Beta))
	}
}

var oddsRatios = ofMeans(func(w, l float64, c *Config) (float64, float64, float64) { return OddsRatio(w, l, c.Beta) })

func orpo(b *Batch, c *Config) {
	oddsRatios(b, c)
	b.AddNLL(1)
}

func cpo(b *Batch, c *Config) {
	for i := range b.Chosen {
		b.Loss[i], b.DChosen[i], b.DRejected[i] = split(Sigmoid(b.Chosen[i]-b.Rejected[i], c.Beta, c.LabelSmoothing))
	}
	b.AddNLL(c.CPOAlpha)
}

func slic(b *Batch, c *Config) {
	for i := range b.Chosen {
		b.Loss[i], b.DChosen[i], b.DRejected[i] = SLiC(b.Chosen[i], b.Rejected[i], c.SLiCDelta, c.SLiCLambda)
	}
}

// maxExponent is the largest exponent taken of a log-ratio, as in TRL.
const maxExponent = 80

// FScore is f′(t) of a divergence D_f(π‖π_ref) at the ratio t = e^u, and its
// derivative with respect to u: the reward, over β, of a policy that is optimal
// under that leash (Wang et al. 2024, arXiv 2309.16240).
//
//	reverse_kl        u                        1
//	forward_kl        1 − e^−u                 e^−u
//	js_divergence     log 2 + log σ(u)         σ(−u)
//	alpha_divergence  (e^{(α−1)u} − 1)/(α−1)   e^{(α−1)u}, exponents of at most 80
func FScore(u float64, divergence string, alpha float64) (score, slope float64) {
	switch divergence {
	case "forward_kl":
		return -num.Expm1(-u), num.Exp(-u)
	case "js_divergence":
		return ln2 + num.LogSigmoid(u), num.Sigmoid(-u)
	case "alpha_divergence":
		k := alpha - 1
		if k > -1e-6 && k < 1e-6 { // the limit
			return u, 1
		}
		x := float64(k * u)
		if x > maxExponent {
			return num.Expm1(maxExponent) / k, 0
		}
		return num.Expm1(x) / k, num.Exp(x)
	}
	return u, 1
}

const ln2 = 0.693147180559945309417232121458176568
