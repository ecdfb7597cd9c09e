package ppo

import (
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// value is the value head: a table with one number for each position, prompt
// and context, with an Adam of its own. It cannot see the words before the
// context, whose worth is already decided: that part of a return stays noise.
type value struct {
	v, g  []float64
	adam  *policy.Adam
	limit float64
}

func newValue(n int, maxGradNorm float64) *value {
	return &value{v: make([]float64, n), g: make([]float64, n), adam: policy.NewAdam(n), limit: maxGradNorm}
}

func (v *value) update(lr float64) {
	policy.ClipGradNorm(v.g, v.limit)
	v.adam.Step(v.v, v.g, lr)
	clear(v.g)
}

// valueSamples is how many responses to each prompt the value head starts from.
const valueSamples = 1024

// InitValueWithReward starts the value head from the reward model, where
// init_value_with_reward asks for it (Ouyang et al. 2022, InstructGPT, appendix C.4;
// the field is AlpacaFarm's):
//
//	V(t, x, c) = mean of r(x, y_<t) over prefixes y_<t by which the reference comes to context c
//
// A critic that is a network reads the prefix itself, and starts with what the reward
// model has learned to see. This table has no features to take over and does not know
// the words before its context, so it takes the score of a prefix in the mean, sampled
// with the reference's own responses, and as the model gives it: neither clipped nor
// scaled. A state that none of them passed gets the mean over all prefixes of its prompt.
func (t *Trainer) InitValueWithReward(r *rng.Stream) {
	if !t.cfg.InitValueWithReward {
		return
	}
	v, visits, mean := t.value.v, make([]float64, len(t.value.v)), make([]float64, t.ref.Prompts)
	for x := range mean {
		mean[x] = t.sumPrefixes(v, visits, policy.Prompt(x), r)
	}
	for i, n := range visits {
		if n > 0 {
			v[i] /= n
		} else {
			v[i] = mean[i%t.ref.Rows()/t.ref.Contexts()]
		}
	}
}

// sumPrefixes adds the scores of the prefixes of sampled responses to x, and how many
// they are, at the states where a token follows them; it returns the mean of all.
func (t *Trainer) sumPrefixes(sum, visits []float64, x policy.Prompt, r *rng.Stream) float64 {
	ref, total, n := t.ref, 0.0, 0.0
	y := make(policy.Response, 0, ref.MaxLength)
	for range valueSamples {
		y = ref.Sample(y[:0], x, r)
		context, state, score := ref.Start(), 0, 0.0
		for at := range min(len(y)+1, ref.MaxLength) {
			state, score = at*ref.Rows()+ref.Row(at, x, context)/ref.Outcomes(), t.reward.Score(x, y[:at])
			sum[state] += score
			visits[state]++
			total, n = total+score, n+1
			if at < len(y) {
				context = ref.Next(context, y[at])
			}
		}
		if after := behind(ref.Shape, state); t.rollout.past != nil && len(y) < ref.MaxLength && after >= 0 {
			sum[after] += score
			visits[after]++
		}
	}
	return total / n
}
