package ppo

import (
	"fmt"
	"math"
	"slices"

	"rlhfsim/internal/golden"
	"rlhfsim/internal/num"
)

// ppoCase is a batch of padded responses; TRL 0.9.6 gives their lengths, 1.12 the
// index of their last token, and other names to two columns.
type ppoCase struct {
	Length    []int
	Mask      [][]float64 // what Length says, once more
	Last      []int       `json:"sequence_lengths"`
	Old       [][]float64 `json:"old_logprobs"`
	OldLater  [][]float64 `json:"logprobs"`
	Ref       [][]float64 `json:"ref_logprobs"`
	New       [][]float64 `json:"new_logprobs"`
	Values    [][]float64
	NewValues [][]float64 `json:"new_values"`
	Scores    []float64
}

type ppoResult struct {
	Config struct {
		Gamma, Lam, Cliprange float64
		KLCoef                float64  `json:"kl_coef"`
		KLPenalty             string   `json:"kl_penalty"`
		KLEstimator           string   `json:"kl_estimator"`
		CliprangeHigh         float64  `json:"cliprange_high"`
		DualClip              float64  `json:"dual_clip"`
		LogRatioClamp         float64  `json:"log_ratio_clamp"`
		CliprangeValue        float64  `json:"cliprange_value"`
		VFCoef                float64  `json:"vf_coef"`
		WhitenRewards         bool     `json:"whiten_rewards"`
		RatioThreshold        *float64 `json:"ratio_threshold"` // of 0.9.6: a batch whose mean ratio is above it is skipped
	}
	KL           [][]float64 `json:"kl"`
	NonScore     [][]float64 `json:"non_score_rewards"`
	TokenRewards [][]float64 `json:"token_rewards"`
	GAE          [][]float64 `json:"gae_before_whitening"`
	Returns      [][]float64
	Advantages   [][]float64
	PolicyLoss   *float64    `json:"policy_loss"`
	ValueLoss    *float64    `json:"value_loss"`
	ValueTerm    *float64    `json:"value_loss_times_coef"`
	TotalLoss    *float64    `json:"total_loss"`
	PolicyClip   *float64    `json:"policy_clipfrac"`
	ValueClip    *float64    `json:"value_clipfrac"`
	ApproxKL     *float64    `json:"approxkl"`
	ApproxKLAll  *float64    `json:"approxkl_over_all_positions"`
	PolicyKL     *float64    `json:"policykl"`
	GradLogprobs [][]float64 `json:"grad_new_logprobs"`
	GradValues   [][]float64 `json:"grad_new_values"`
}

// ppoUpdate is one batch on its way through PPO's formulas, flat over the
// responses. A response has tokens, and places with a reward and a value: in TRL
// 1.12 one more, past its last token, where there is room.
type ppoUpdate struct {
	later                                          bool // TRL 1.12
	tokens, places                                 []int
	width                                          int
	reward, whitened, gae, returns, values, newest []float64   // of places
	kl, advantage, logRatio                        []float64   // of tokens
	pastKL, pastGAE                                [][]float64 // of each response's padding, behind its tokens and behind its places
}

// layout reads tokens and places off a case and checks its shape.
func (in *ppoCase) layout() (*ppoUpdate, error) {
	u := &ppoUpdate{later: in.Last != nil}
	if in.OldLater != nil {
		in.Old = in.OldLater
	}
	if len(in.Scores) == 0 {
		return nil, fmt.Errorf("a case without scores")
	}
	for e := range in.Scores {
		if e >= len(in.Old) {
			return nil, fmt.Errorf("%d scores for %d responses", len(in.Scores), len(in.Old))
		}
		u.width = len(in.Old[0])
		for _, table := range [][][]float64{in.Old, in.Ref, in.New, in.Values, in.NewValues} {
			if e >= len(table) || len(table[e]) != u.width {
				return nil, fmt.Errorf("row %d is not equally long in all tables", e)
			}
		}
		n, m := 0, 0
		switch {
		case e < len(in.Last):
			n = in.Last[e] + 1
			m = min(n+1, u.width)
		case e < len(in.Length):
			n, m = in.Length[e], in.Length[e]
		}
		if n < 1 || n > u.width {
			return nil, fmt.Errorf("response %d has %d tokens in a row of %d", e, n, u.width)
		}
		u.tokens, u.places = append(u.tokens, n), append(u.places, m)
	}
	return u, in.checkMask(u)
}

// checkMask requires a mask, where there is one, to have the tokens first.
func (in *ppoCase) checkMask(u *ppoUpdate) error {
	if in.Mask != nil && len(in.Mask) != len(u.tokens) {
		return fmt.Errorf("mask has %d rows for %d responses", len(in.Mask), len(u.tokens))
	}
	for e, row := range in.Mask {
		ok := len(row) == u.width
		for t, m := range row {
			ok = ok && (m == 1) == (t < u.tokens[e]) && (m == 0 || m == 1)
		}
		if !ok {
			return fmt.Errorf("mask[%d] is %v, response %d has %d tokens", e, row, e, u.tokens[e])
		}
	}
	return nil
}

// of computes one update of PPOTrainer and compares every number of it.
func (r ppoResult) of(in ppoCase, out *golden.Comparison) error {
	u, err := in.layout()
	if err != nil {
		return err
	}
	if u.later && r.Config.RatioThreshold != nil {
		return fmt.Errorf("config: ratio_threshold is of TRL 0.9.6, 1.12 has none")
	}
	if limit := r.Config.LogRatioClamp; !(limit >= 0 && limit <= maxLogRatio) {
		return fmt.Errorf("config: log_ratio_clamp = %v: it must be at least 0 (none) and at most %v", limit, maxLogRatio)
	}
	if err := u.rewards(in, r); err != nil {
		return err
	}
	u.advantages(in, r)
	got := u.losses(r)
	u.fill(&got, r.Config.KLCoef)
	return r.compare(got, u, out)
}

// fill puts what was worked out before the losses into the rows of a result. What TRL
// 0.9.6 has in the padding is the penalty there, and what whitened zeros add up to; in
// 1.12 all is 0.
func (u *ppoUpdate) fill(got *ppoResult, coef float64) {
	got.Advantages = u.rows(u.tokens, u.advantage)
	got.KL = joined(u.rows(u.tokens, u.kl), u.pastKL)
	for _, row := range got.KL {
		got.NonScore = append(got.NonScore, scaled(row, -coef))
	}
	got.GAE, got.Returns = joined(u.rows(u.places, u.gae), u.pastGAE), joined(u.rows(u.places, u.returns), u.pastGAE)
	if got.TokenRewards = u.rows(u.places, u.whitened); u.later {
		return
	}
	got.TokenRewards = u.rows(u.places, u.reward) // 0.9.6 shows those before whitening
	for e, n := range u.tokens {
		got.TokenRewards[e] = append(slices.Clone(got.TokenRewards[e]), got.NonScore[e][n:]...)
	}
}

// joined puts tails behind rows.
func joined(rows, tails [][]float64) [][]float64 {
	for e, tail := range tails {
		rows[e] = slices.Concat(rows[e], tail)
	}
	return rows
}

// rewards fills the token rewards, whitened where the configuration says so.
func (u *ppoUpdate) rewards(in ppoCase, r ppoResult) error {
	name := r.Config.KLEstimator
	if older, known := map[string]string{"kl": "k1", "abs": "abs", "mse": "k2"}[r.Config.KLPenalty]; known {
		name = older
	}
	k, ok := estimator(name, 0)
	if !ok {
		return fmt.Errorf("no KL estimator %q", name)
	}
	for e, n := range u.tokens {
		own, past := make([]float64, u.places[e]), make([]float64, u.width-n)
		for t := range n {
			own[t], _ = k.At(in.Old[e][t], in.Ref[e][t])
		}
		for t := range past {
			if !u.later {
				past[t], _ = k.At(in.Old[e][n+t], in.Ref[e][n+t])
			}
		}
		u.kl, u.pastKL = append(u.kl, own[:n]...), append(u.pastKL, past)
		TokenRewards(own, own, r.Config.KLCoef, in.Scores[e])
		u.reward = append(u.reward, own...)
	}
	u.whitened = append([]float64(nil), u.reward...)
	if r.Config.WhitenRewards {
		Whiten(u.whitened, false, false)
	}
	return nil
}

// advantages fills GAE and returns of the places and the whitened advantages of
// the tokens. TRL 0.9.6 whitens the zeros of the padding too and lets them flow
// back into the advantages.
func (u *ppoUpdate) advantages(in ppoCase, r ppoResult) {
	padding := 0.0
	if r.Config.WhitenRewards && !u.later {
		m, variance := moments(u.reward)
		padding = m - m/math.Sqrt(variance+1e-8)
	}
	rest := u.whitened
	for e, m := range u.places {
		own, reward, value := make([]float64, u.width), make([]float64, u.width), make([]float64, u.width)
		copy(value, in.Values[e][:m]) // 0 in the padding
		fill(reward, padding)
		copy(reward, rest[:m])
		rest = rest[m:]
		GAE(own, reward, value, r.Config.Gamma, r.Config.Lam)
		u.gae, u.pastGAE = append(u.gae, own[:m]...), append(u.pastGAE, own[m:])
		u.advantage = append(u.advantage, own[:u.tokens[e]]...)
		u.values = append(u.values, in.Values[e][:m]...)
		u.newest = append(u.newest, in.NewValues[e][:m]...)
		for t := range u.tokens[e] {
			u.logRatio = append(u.logRatio, clipped(in.New[e][t]-in.Old[e][t], r.Config.LogRatioClamp))
		}
	}
	for i, a := range u.gae {
		u.returns = append(u.returns, a+u.values[i])
	}
	Whiten(u.advantage, true, false)
}

// losses are the clipped losses, their gradients and what TRL measures beside.
func (u *ppoUpdate) losses(r ppoResult) ppoResult {
	var got ppoResult
	var policyLoss, policyClip, valueLoss, valueClip, approx, moved, ratios float64
	each, place := 1/float64(len(u.advantage)), 1/float64(len(u.returns))
	slopes, valueSlopes := make([]float64, len(u.advantage)), make([]float64, len(u.returns))
	clip := Config{Cliprange: r.Config.Cliprange, CliprangeHigh: r.Config.CliprangeHigh, DualClip: r.Config.DualClip, LogRatioClamp: r.Config.LogRatioClamp}.clip()
	for j, a := range u.advantage {
		ratio := num.Exp(u.logRatio[j])
		loss, slope, clipped := Clipped(ratio, a, clip)
		ratios += float64(each * ratio)
		slopes[j] = float64(each * slope)
		policyLoss += float64(each * loss)
		policyClip += float64(each * clipped)
		approx += float64(0.5 * float64(u.logRatio[j]*u.logRatio[j]))
		moved -= float64(each * u.logRatio[j])
	}
	for j, target := range u.returns {
		loss, slope, clipped := ClippedValue(u.newest[j], u.values[j], target, r.Config.CliprangeValue)
		if u.later && r.Config.CliprangeValue == 0 && u.newest[j] == u.values[j] {
			slope = u.newest[j] - target // torch.clamp lets all through where its bounds are one
		}
		valueSlopes[j] = float64(float64(r.Config.VFCoef*place) * slope)
		valueLoss += float64(place * loss)
		valueClip += float64(place * clipped)
	}
	if !u.later && ratios > r.threshold() { // the batch is skipped
		policyLoss, valueLoss = 0, 0
		clear(slopes)
		clear(valueSlopes)
	}
	mean, all := approx*each, approx/float64(u.width*len(u.tokens))
	got.ApproxKL, got.ApproxKLAll, got.PolicyKL = &mean, &all, &moved
	term := float64(r.Config.VFCoef * valueLoss)
	total := policyLoss + term
	got.ValueTerm = &term
	got.PolicyLoss, got.PolicyClip, got.ValueLoss, got.ValueClip, got.TotalLoss = &policyLoss, &policyClip, &valueLoss, &valueClip, &total
	got.GradLogprobs, got.GradValues = u.rows(u.tokens, slopes), u.rows(u.places, valueSlopes)
	return got
}

// threshold is the mean ratio above which TRL 0.9.6 skips a batch.
func (r ppoResult) threshold() float64 {
	if r.Config.RatioThreshold == nil {
		return 10
	}
	return *r.Config.RatioThreshold
}

func scaled(xs []float64, by float64) []float64 {
	out := make([]float64, len(xs))
	for i, x := range xs {
		out[i] = float64(x * by)
	}
	return out
}

// rows cuts a flat column into one row a response.
func (u *ppoUpdate) rows(sizes []int, column []float64) [][]float64 {
	var out [][]float64
	for _, n := range sizes {
		out, column = append(out, column[:n]), column[n:]
	}
	return out
}

// compare puts the document's numbers next to those computed. Advantages in the
// padding mean nothing and are not compared.
func (r ppoResult) compare(got ppoResult, u *ppoUpdate, out *golden.Comparison) error {
	for _, c := range []struct {
		field     string
		want, got [][]float64
		optional  bool // in one of the two versions only
		tolerance float64
	}{{"kl", r.KL, got.KL, true, golden.OfValues}, {"non_score_rewards", r.NonScore, got.NonScore, true, golden.OfValues}, {"token_rewards", r.TokenRewards, got.TokenRewards, false, golden.OfValues},
		{"gae_before_whitening", r.GAE, got.GAE, false, golden.OfValues}, {"returns", r.Returns, got.Returns, false, golden.OfValues},
		{"grad_new_logprobs", r.GradLogprobs, got.GradLogprobs, false, golden.OfGradients}, {"grad_new_values", r.GradValues, got.GradValues, false, golden.OfGradients}} {
		if c.optional && c.want == nil {
			continue
		}
		for e, row := range c.got {
			c.got[e] = append(slices.Clone(row), make([]float64, u.width-len(row))...)
		}
		if err := out.Table(c.field, c.want, c.got, c.tolerance); err != nil {
			return err
		}
	}
	if err := out.Table("advantages", clipRows(r.Advantages, got.Advantages), got.Advantages, golden.OfValues); err != nil {
		return err
	}
	out.Number("policy_loss", r.PolicyLoss, *got.PolicyLoss, golden.OfValues)
	out.Number("value_loss", r.ValueLoss, *got.ValueLoss, golden.OfValues)
	out.Optional("value_loss_times_coef", r.ValueTerm, *got.ValueTerm, golden.OfValues)
	out.Number("total_loss", r.TotalLoss, *got.TotalLoss, golden.OfValues)
	out.Number("policy_clipfrac", r.PolicyClip, *got.PolicyClip, golden.OfFloat32)
	out.Number("value_clipfrac", r.ValueClip, *got.ValueClip, golden.OfFloat32)
	out.Optional("approxkl", r.ApproxKL, *got.ApproxKL, golden.OfValues)
	out.Optional("approxkl_over_all_positions", r.ApproxKLAll, *got.ApproxKLAll, golden.OfValues)
	out.Optional("policykl", r.PolicyKL, *got.PolicyKL, golden.OfValues)
	return nil
}

// clipRows cuts each row to the length of its counterpart, where it is longer.
func clipRows(rows, like [][]float64) [][]float64 {
	if rows == nil {
		return nil
	}
	out := make([][]float64, len(rows))
	for e, row := range rows {
		out[e] = row
		if e < len(like) && len(row) > len(like[e]) {
			out[e] = row[:len(like[e])]
		}
	}
	return out
}
