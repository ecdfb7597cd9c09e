package ppo

import "rlhfsim/policy"

// past is the position behind EOS, where TRL's PPOTrainer puts the score of a response
// that ends itself before the longest length (its actual_end; TRL thread 3750). The
// value head has a state there too, so that the last token is told of the score
// through V, as every token before it:
//
//	R_T = −β k(T),  R_{T+1} = r(x, y),  Â_{T+1} = R_{T+1} − V(s_{T+1}),  Â_T = δ_T + γλ Â_{T+1}
//
// Nothing is said there: the policy loss does not know of it, the value loss does.
type past struct {
	state                             []int32 // [episodes] entry of the value head, −1 where there is no such position
	reward, value, advantage, returns []float64
	all                               []float64 // tokens and positions behind them, to be whitened together
}

// scorePositions are where the score of a response can stand.
var scorePositions = []string{"last_token", "after_eos"}

func newPast(episodes, maxLength int) *past {
	p := &past{state: make([]int32, episodes), all: make([]float64, 0, episodes*(maxLength+1))}
	for _, f := range []*[]float64{&p.reward, &p.value, &p.advantage, &p.returns} {
		*f = make([]float64, episodes)
	}
	return p
}

// states is how many states a token can be said in.
func states(s policy.Shape) int { return s.MaxLength * s.Rows() }

// behind is the entry of the value head behind an EOS that is said in that state, after
// all states that tokens are said in; −1 at the longest length.
func behind(s policy.Shape, state int) int {
	next := state + s.Rows()
	if next >= states(s) {
		return -1
	}
	return states(s) + next
}

// find looks for the positions of a sampled batch.
func (p *past) find(b *rollout, s policy.Shape) {
	for e := range p.state {
		p.state[e] = -1
		if b.ended(e) {
			p.state[e] = int32(behind(s, int(b.state[b.start[e+1]-1])))
		}
	}
}

// has says whether episode e has such a position.
func (p *past) has(e int) bool { return p != nil && p.state[e] >= 0 }

// count is how many of some episodes have one.
func (p *past) count(episodes []int) (n int) {
	for _, e := range episodes {
		if p.has(e) {
			n++
		}
	}
	return n
}

// whiten whitens the rewards of the tokens and of the positions behind them together.
func (p *past) whiten(tokens []float64, biased bool) (by float64) {
	p.all = append(p.all[:0], tokens...)
	for e, r := range p.reward {
		if p.has(e) {
			p.all = append(p.all, r)
		}
	}
	by = Whiten(p.all, false, biased)
	at := copy(tokens, p.all)
	for e := range p.reward {
		if p.has(e) {
			p.reward[e] = p.all[at]
			at++
		}
	}
	return by
}

// advantages fills value, advantage and return of each position.
func (p *past) advantages(v []float64) {
	for e, state := range p.state {
		if p.has(e) {
			p.value[e] = v[state]
			p.advantage[e] = p.reward[e] - p.value[e]
			p.returns[e] = p.advantage[e] + p.value[e]
		}
	}
}

// pastLoss adds the gradient of c_v times the clipped value loss behind the responses.
func (t *Trainer) pastLoss(episodes []int, each float64, s *Stats) {
	p, v := t.rollout.past, t.value
	for _, e := range episodes {
		if !p.has(e) {
			continue
		}
		state := p.state[e]
		loss, slope, clipped := ClippedValue(v.v[state], p.value[e], p.returns[e], t.cfg.CliprangeValue)
		v.g[state] += float64(float64(each*t.cfg.VFCoef) * slope)
		s.ValueLoss += float64(each * loss)
		s.ValueClipFrac += float64(each * clipped)
	}
}
