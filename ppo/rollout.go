package ppo

import (
	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// rollout is a batch of sampled responses with everything known about their
// tokens, token after token, episode after episode.
type rollout struct {
	prompt   []policy.Prompt
	response []policy.Response
	start    []int32   // [episodes+1] where each episode's tokens begin
	total    []float64 // [episodes] score

	index, row, state []int32   // of each token: entry of the table, its row, entry of the value head
	old, ref          []float64 // log π_old of the policy that sampled, log π_ref
	whole             []float64 // log π_old of the policy whose KL counts: old, unless a mask narrows what is sampled
	reward            []float64 // R_t
	value             []float64 // V(s_t) before the update
	advantage         []float64 // Â_t
	returns           []float64 // Â_t + V(s_t), before whitening
	logRatio, ratio   []float64 // log ρ_t, ρ_t under the policy being updated, as far as the clamp lets them
	clamp             float64   // of log ρ_t, 0 = none
	picked            []int32   // the tokens of a minibatch

	samplers [2]sampler // of the policies that sample

	past *past // where the score stands behind EOS; nil where it stands on the last token
}

func newRollout(episodes int, s policy.Shape) *rollout {
	b := &rollout{prompt: make([]policy.Prompt, episodes), response: make([]policy.Response, episodes), start: make([]int32, episodes+1), total: make([]float64, episodes)}
	for e := range b.response {
		b.response[e] = make(policy.Response, 0, s.MaxLength)
	}
	n := episodes * s.MaxLength
	for _, f := range []*[]int32{&b.index, &b.row, &b.state, &b.picked} {
		*f = make([]int32, 0, n)
	}
	for _, f := range []*[]float64{&b.old, &b.ref, &b.reward, &b.value, &b.advantage, &b.returns, &b.logRatio, &b.ratio} {
		*f = make([]float64, n)
	}
	return b
}

// sample draws the responses at temperature 1: at any other temperature the
// samples would come from another policy than the one in the ratio and the KL.
func (b *rollout) sample(pi, ref *policy.Softmax, weights []float64, r *rng.Stream) {
	b.truncate(0)
	for e := range b.prompt {
		b.respond(e, policy.Prompt(draw(weights, r.Float64())), pi, r)
	}
	b.finish(pi, ref)
}

// truncate forgets the tokens from the given one on.
func (b *rollout) truncate(token int) {
	b.index, b.row, b.state = b.index[:token], b.row[:token], b.state[:token]
}

// sampler is that of a policy, of two at most.
func (b *rollout) sampler(pi *policy.Softmax) *sampler {
	s := &b.samplers[0]
	if s.of != nil && s.of != pi {
		s = &b.samplers[1]
	}
	s.follow(pi)
	return s
}

// respond samples episode e; episodes are sampled in order.
func (b *rollout) respond(e int, x policy.Prompt, pi *policy.Softmax, r *rng.Stream) {
	b.prompt[e], b.start[e] = x, int32(len(b.index))
	b.response[e] = b.episode(b.response[e][:0], x, pi, r)
	b.start[e+1] = int32(len(b.index))
}

// finish looks up what is known of the tokens sampled.
func (b *rollout) finish(pi, ref *policy.Softmax) {
	tokens := len(b.index)
	for _, f := range []*[]float64{&b.old, &b.ref, &b.reward, &b.value, &b.advantage, &b.returns, &b.logRatio, &b.ratio} {
		*f = (*f)[:tokens]
	}
	b.whole = b.old
	for j, i := range b.index {
		b.old[j], b.ref[j] = pi.LogP[i], ref.LogP[i]
	}
}

func (b *rollout) episode(y policy.Response, x policy.Prompt, pi *policy.Softmax, r *rng.Stream) policy.Response {
	sampler, context, n, first := b.sampler(pi), pi.Start(), pi.Outcomes(), int(x)*pi.Contexts()
	for t := range pi.MaxLength {
		row := first + context
		w := sampler.draw(row, r.Float64())
		b.index = append(b.index, int32(row*n+w))
		b.row = append(b.row, int32(row))
		b.state = append(b.state, int32(t*pi.Rows()+row))
		if w == pi.Words {
			break
		}
		y = append(y, policy.Token(w))
		context = pi.Next(context, policy.Token(w))
	}
	return y
}

// draw is the outcome at quantile u of the probabilities p.
func draw(p []float64, u float64) int {
	last := len(p) - 1
	for w, q := range p[:last] {
		if u -= q; u < 0 {
			return w
		}
	}
	return last
}

// ended says whether the response said EOS: it then has a token more than words.
func (b *rollout) ended(e int) bool {
	return int(b.start[e+1]-b.start[e]) > len(b.response[e])
}

// penalties fills the KL penalty of each token under the policy that sampled it.
func (b *rollout) penalties(dst []float64, pi, ref *policy.Softmax, name string, clamp float64) {
	k, ok := estimator(name, clamp)
	if !ok {
		b.fullKL(dst, pi, ref)
		return
	}
	for j := range dst {
		dst[j], _ = k.At(b.whole[j], b.ref[j])
	}
}

// fullKL fills the exact KL of the state that each token was said in.
func (b *rollout) fullKL(dst []float64, pi, ref *policy.Softmax) {
	n := int32(pi.Outcomes())
	for j, row := range b.row {
		at, to := row*n, (row+1)*n
		dst[j] = FullKL(pi.P[at:to], pi.LogP[at:to], ref.LogP[at:to])
	}
}

// tokenRewards turns penalties, which b.reward holds, into token rewards.
func (b *rollout) tokenRewards(coef float64, s *Stats) {
	n := 1 / float64(len(b.prompt))
	for e := range b.prompt {
		from, to := b.start[e], b.start[e+1]
		score := b.total[e]
		if b.past.has(e) {
			b.past.reward[e], score = score, 0
		}
		TokenRewards(b.reward[from:to], b.reward[from:to], coef, score)
		s.NonScoreReward += float64(n * (num.Sum(b.reward[from:to]) - score))
	}
	kl, entropy := 0.0, 0.0
	for j, old := range b.old {
		kl += float64(n * (b.whole[j] - b.ref[j]))
		entropy -= float64(n * old)
	}
	s.KL, s.Entropy = kl, entropy
	s.RLHFReward = s.Scores + s.NonScoreReward
}

// TokenRewards fills R_t = −β k(t), plus the score on the last token, where k(t)
// is the KL penalty of one token, see KLEstimators; dst may be k.
func TokenRewards(dst, k []float64, coef, score float64) {
	for t := range dst {
		dst[t] = float64(-coef * k[t])
	}
	dst[len(dst)-1] += score
}

// whitenRewards whitens the token rewards, and keeps their mean.
func (b *rollout) whitenRewards(biased bool) (by float64) {
	if b.past != nil {
		return b.past.whiten(b.reward, biased)
	}
	return Whiten(b.reward, false, biased)
}

// advantages fills values, advantages and returns.
func (b *rollout) advantages(v *value, gamma, lam float64, s *Stats) {
	for j, i := range b.state {
		b.value[j] = v.v[i]
	}
	if b.past != nil {
		b.past.advantages(v.v)
	}
	for e := range b.prompt {
		next, sum := 0.0, 0.0
		if b.past.has(e) {
			next, sum = b.past.value[e], b.past.advantage[e]
		}
		from, to := b.start[e], b.start[e+1]
		gaeBefore(b.advantage[from:to], b.reward[from:to], b.value[from:to], gamma, lam, next, sum)
	}
	for j, a := range b.advantage {
		b.returns[j] = a + b.value[j]
	}
	var residual float64
	s.ReturnsMean, s.ReturnsVar = moments(b.returns)
	_, residual = moments(b.advantage)
	if s.ReturnsVar > 0 {
		s.VarExplained = 1 - residual/s.ReturnsVar
	}
}

// tokensOf lists the tokens of some episodes, in that order.
func (b *rollout) tokensOf(episodes []int) []int32 {
	tokens := b.picked[:0]
	for _, e := range episodes {
		for j := b.start[e]; j < b.start[e+1]; j++ {
			tokens = append(tokens, j)
		}
	}
	return tokens
}

// ratios fills log ρ and ρ for the tokens of some episodes; of all of them in one go.
func (b *rollout) ratios(pi *policy.Softmax, episodes []int) {
	if all := len(b.response); len(episodes) == all {
		b.ratiosOf(pi, 0, b.start[all])
		return
	}
	for _, e := range episodes {
		b.ratiosOf(pi, b.start[e], b.start[e+1])
	}
}

func (b *rollout) ratiosOf(pi *policy.Softmax, from, to int32) {
	logp, old, logRatio := pi.LogP, b.old[from:to], b.logRatio[from:to]
	for j, i := range b.index[from:to] {
		logRatio[j] = logp[i] - old[j]
	}
	if b.clamp != 0 {
		for j, l := range logRatio {
			logRatio[j] = clipped(l, b.clamp)
		}
	}
	num.ExpTo(b.ratio[from:to], logRatio)
}
