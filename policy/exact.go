package policy

import (
	"context"

	"rlhfsim/internal/num"
)

// Additive is a reward that is a sum over the decisions of a response,
//
//	r(x,y) = Bias[x] + Σ_t R[x, c_t, y_t]
//
// with c_t the context before decision t: a bag of words, or bigrams. R has the
// layout of one logit table, [prompts][contexts][words+1].
type Additive struct {
	Bias []float64 // [prompts]
	R    []float64
}

// Expectations are exact sums over every response, weighted by π and the
// prompts' probabilities.
type Expectations struct {
	Reward  float64 // E[r(x,y)] of the additive reward; 0 without one
	KL      float64 // KL(π‖ref) = E[log π(y|x) − log π_ref(y|x)], nats per response
	Entropy float64 // −E[log π(y|x)], nats per response
	Length  float64 // expected number of words, EOS not counted
}

// Evaluator computes exact quantities of policies of one shape by dynamic
// programming over (position, context). It owns its scratch space, so it
// allocates nothing per call and serves one goroutine at a time.
type Evaluator struct {
	*geometry
	weights []float64 // probability of each prompt
	ctx     context.Context

	occupied, following []float64 // d_t(c): probability of deciding in context c at position t
	visits              []float64 // Σ_t d_t(c)
	alpha, alphaNext    []float64 // [states][contexts], see forward
	live, liveNext      []bool    // states with any probability
	step                []float64 // one row of outcomes
	mass                []float64 // [max_length+1][states]
}

// NewEvaluator evaluates policies of shape s; weights are the prompts'
// probabilities (nil: equally likely).
func NewEvaluator(s Shape, weights []float64) *Evaluator {
	e := &Evaluator{geometry: newGeometry(s), weights: weights, ctx: context.Background()}
	if weights == nil {
		e.weights = make([]float64, s.Prompts)
		for x := range e.weights {
			e.weights[x] = 1 / float64(s.Prompts)
		}
	}
	e.occupied, e.following = make([]float64, e.contexts), make([]float64, e.contexts)
	e.visits = make([]float64, e.contexts)
	e.step = make([]float64, s.Outcomes())
	return e
}

// Until makes the evaluator give up soon after ctx ends, within a prompt and a
// position. What it returns from then on means nothing: whoever uses it asks
// whether ctx has ended before the result goes anywhere.
func (e *Evaluator) Until(ctx context.Context) *Evaluator {
	e.ctx = ctx
	return e
}

// Stopped says that the context of Until has ended.
func (e *Evaluator) Stopped() bool { return e.ctx.Err() != nil }

// Expect computes the expectations of π; ref may be nil (KL 0), and so may r.
//
// With d_t(c) the probability that decision t is taken in context c,
//
//	d_0 = 1[start],  d_{t+1}(c·w) = Σ_c d_t(c) π(w|c),
//
// and for any function f of a decision, E[Σ_t f] = Σ_t Σ_c d_t(c) Σ_w π(w|c) f(c,w).
func (e *Evaluator) Expect(c, ref *Chain, r *Additive) Expectations {
	var sum Expectations
	for x, weight := range e.weights {
		own := e.ExpectPrompt(c, ref, r, Prompt(x))
		sum.Reward += float64(weight * own.Reward)
		sum.KL += float64(weight * own.KL)
		sum.Entropy += float64(weight * own.Entropy)
		sum.Length += float64(weight * own.Length)
	}
	return sum
}

// ExpectPrompt is Expect for one prompt alone.
func (e *Evaluator) ExpectPrompt(c, ref *Chain, r *Additive, x Prompt) Expectations {
	var sum Expectations
	if r != nil {
		sum.Reward = r.Bias[x]
	}
	clear(e.visits)
	clear(e.occupied)
	e.occupied[e.start] = 1
	// Where every position has the same rows, the visits of all positions are
	// worth one pass over the rows instead of MaxLength.
	stationary := c.Positions == 1 && (ref == nil || ref.Positions == 1)
	for t := range e.MaxLength {
		if e.Stopped() {
			break
		}
		for context, d := range e.occupied {
			e.visits[context] += d
		}
		if !stationary || t == e.MaxLength-1 {
			e.addRows(&sum, c, ref, r, x, t)
			clear(e.visits)
		}
		e.advance(c, x, t)
	}
	return sum
}

// addRows adds the visited rows' terms: Σ_c visits(c) Σ_w π(w|c) f(c,w).
func (e *Evaluator) addRows(sum *Expectations, c, ref *Chain, r *Additive, x Prompt, t int) {
	n := e.Outcomes()
	for context, d := range e.visits {
		if d == 0 {
			continue
		}
		at := c.Row(t, x, context)
		p, logp := c.P[at:at+n], c.LogP[at:at+n]
		negEntropy := num.Dot(p, logp)
		sum.Entropy -= float64(d * negEntropy)
		sum.Length += float64(d * (1 - p[n-1]))
		if ref != nil {
			from := ref.Row(t, x, context)
			kl := 0.0
			for w, l := range ref.LogP[from : from+n] {
				kl += float64(p[w] * (logp[w] - l))
			}
			sum.KL += float64(d * kl)
		}
		if r != nil {
			from := (int(x)*e.contexts + context) * n
			sum.Reward += float64(d * num.Dot(p, r.R[from:from+n]))
		}
	}
}

// advance moves the occupancy from position t to t+1.
func (e *Evaluator) advance(c *Chain, x Prompt, t int) {
	clear(e.following)
	for context, d := range e.occupied {
		if d != 0 {
			at, to := c.Row(t, x, context), int(e.base[context])
			num.Axpy(e.following[to:to+e.Words], d, c.P[at:at+e.Words])
		}
	}
	e.occupied, e.following = e.following, e.occupied
}
