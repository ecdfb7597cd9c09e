package ppo

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"rlhfsim/internal/golden"
	"rlhfsim/internal/num"
)

// Kinds are the kinds of documents that Recompute reads.
var Kinds = []string{"ppo", "ppo_trl112", "grpo", "rloo", "group_advantages", "token_advantages", "kl_penalty", "critic", "traj_ppo_update"}

// Recompute reads a document of golden values (its schema is described in
// testdata/golden/README.md) and computes every result again with the functions
// that training uses.
func Recompute(data []byte) ([]golden.Value, error) {
	kind, err := golden.Kind(data)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "ppo", "ppo_trl112":
		return golden.Results(data, ppoResult.of)
	case "grpo":
		return golden.Results(data, groupResult.of)
	case "rloo":
		return golden.Results(data, rlooResult.of)
	case "group_advantages":
		return golden.Results(data, advantageResult.of)
	case "token_advantages":
		return golden.Results(data, tokenAdvantageResult.of)
	case "kl_penalty":
		return golden.Results(data, klResult.of)
	case "critic":
		return golden.Results(data, criticResult.of)
	case "traj_ppo_update":
		return golden.Runs(data, updateRun.of)
	}
	return nil, fmt.Errorf("a document of kind %q; known kinds: %q", kind, Kinds)
}

// masked are rectangular tables of tokens, of which those under the mask count.
type masked struct {
	Mask [][]int     `json:"completion_mask"`
	LogP [][]float64 `json:"per_token_logps"`
	Old  [][]float64 `json:"old_per_token_logps"`
	Ref  [][]float64 `json:"ref_per_token_logps"`
}

// check requires the named tables to have the mask's rows and lengths.
func (p masked) check(tables map[string][][]float64, advantages []float64) error {
	if len(advantages) != len(p.Mask) {
		return fmt.Errorf("%d advantages for %d responses", len(advantages), len(p.Mask))
	}
	for name, table := range tables {
		if !sameShape(table, p.Mask) {
			return fmt.Errorf("%s has not the shape of completion_mask", name)
		}
	}
	return nil
}

// sameShape says whether two tables have equally many rows, of the same lengths.
func sameShape[A, B any](a [][]A, b [][]B) bool {
	return slices.EqualFunc(a, b, func(x []A, y []B) bool { return len(x) == len(y) })
}

// under are the entries of a row under its mask; zeros where there is no row.
func under(mask []int, row []float64) []float64 {
	var out []float64
	for t, m := range mask {
		switch {
		case m == 0:
		case row == nil:
			out = append(out, 0)
		default:
			out = append(out, row[t])
		}
	}
	return out
}

// spread puts the entries back to where the mask has them.
func spread(mask []int, entries []float64) []float64 {
	out := make([]float64, len(mask))
	for t, m := range mask {
		if m != 0 {
			out[t], entries = entries[0], entries[1:]
		}
	}
	return out
}

// tokens is one response with room for its loss.
func tokens(logp, old, ref []float64, advantage float64) *Tokens {
	n := len(logp)
	y := &Tokens{LogP: logp, Old: old, Ref: ref, Advantage: make([]float64, n), Weight: make([]float64, n), Marked: make([]bool, n), Loss: make([]float64, n), Slope: make([]float64, n)}
	fill(y.Advantage, advantage)
	return y
}

// batchLoss is the loss of a batch and its gradient, what both group trainers of
// TRL return; clipped counts weights cut off, kl sums the penalties.
func batchLoss(o *GroupObjective, ys []*Tokens, size Size) (loss float64, grad [][]float64, clipped, kl float64) {
	o.Prepare(ys, nil) // which draws nothing, see onlyChoice
	for _, y := range ys {
		each, penalty := o.Of(y, size)
		kl += penalty
		loss += float64(each * num.Sum(y.Loss))
		own := make([]float64, len(y.Slope))
		num.Axpy(own, each, y.Slope)
		grad = append(grad, own)
		cut := float64(y.Low + y.High)
		if y.Share != 0 { // one weight a response
			cut /= float64(max(1, len(y.LogP)))
		}
		clipped += cut
	}
	return loss, grad, clipped, kl
}

type groupCase struct {
	masked
	Advantages      []float64
	TokenAdvantages [][]float64 `json:"token_advantages"` // where tokens have one of their own
	MaxLength       int         `json:"max_completion_length"`
	Items           *float64    `json:"num_items_in_batch"`
}

type groupResult struct {
	LossType    string  `json:"loss_type"`
	Level       string  `json:"importance_sampling_level"`
	Beta        float64 `json:"beta"`
	EpsilonLow  float64 `json:"epsilon_low" required:"true"`
	EpsilonHigh float64 `json:"epsilon_high" required:"true"`
	Delta       float64 `json:"delta"`
	Correct     bool    `json:"use_bias_correction_kl"`
	KLEstimator string  `json:"kl_estimator"` // k3 where there is none
	KLClamp     float64 `json:"kl_clamp"`
	AggMode     string  `json:"loss_agg_mode"`  // as_loss where there is none
	KLMean      string  `json:"kl_aggregation"` // the same
	LogRatio    float64 `json:"log_ratio_clamp"`
	Drop        bool    `json:"drop_masked_responses"`
	covarianceResult
	DROBeta *float64 `json:"dro_beta"` // the default where there is none

	Loss    *float64
	Grad    [][]float64 `json:"grad_per_token_logps"`
	Clipped *float64    `json:"clip_ratio_region_mean"`
	KL      *float64    `json:"kl_mean"`
}

// config is the method of a result. TRL takes bounds that nobody would train with too:
// a delta inside the range, and in cispo a largest ratio below 1.
func (r groupResult) config() (GroupConfig, error) {
	c := DefaultGroup()
	c.LossType, c.ImportanceSamplingLevel, c.Beta, c.UseBiasCorrectionKL = r.LossType, r.Level, r.Beta, r.Correct
	c.KLEstimator, c.KLClamp = cmp.Or(r.KLEstimator, c.KLEstimator), r.KLClamp
	c.LossAggMode, c.KLAggregation, c.LogRatioClamp = cmp.Or(r.AggMode, asLoss), cmp.Or(r.KLMean, asLoss), r.LogRatio
	if c.KLEstimator == full {
		return c, fmt.Errorf("kl_estimator %q: the exact KL of a state is no penalty of a token", full)
	}
	low, high, err := bounds(r.EpsilonLow, r.EpsilonHigh)
	c.Epsilon, c.EpsilonHigh = low, high
	r.covarianceResult.set(&c)
	if r.DROBeta != nil {
		c.DROBeta = *r.DROBeta
	}
	if r.LossType == "cispo" {
		c.EpsilonHigh = max(1, high)
	}
	if err == nil {
		err = c.Validate()
	}
	c.EpsilonHigh, c.Delta = high, r.Delta
	return c, err
}

// bounds are a clip's as a document has them. In a configuration a high one of 0
// means the low one; here it is 0, for which the smallest number stands: 1 + it is 1.
func bounds(low, high float64) (float64, float64, error) {
	if low < 0 || high < 0 {
		return 0, 0, fmt.Errorf("epsilon_low = %v, epsilon_high = %v: they must be at least 0", low, high)
	}
	return max(low, math.SmallestNonzeroFloat64), max(high, math.SmallestNonzeroFloat64), nil
}

// check requires what the loss's aggregation divides by, and tables of one shape.
func (in groupCase) check(c GroupConfig) error {
	divides := NewGroupObjective(c).Loss.Aggregation
	switch {
	case in.MaxLength < 1 && divides.reads(func(s *Size) { s.MaxLength++ }):
		return fmt.Errorf("loss_type %q divides by max_completion_length, which is missing or below 1", c.LossType)
	case (in.Items == nil || *in.Items < 0) && divides.reads(func(s *Size) { s.Items++ }):
		return fmt.Errorf("loss_type %q divides by num_items_in_batch, which is missing or below 0", c.LossType)
	}
	tables := map[string][][]float64{"per_token_logps": in.LogP, "old_per_token_logps": in.Old, "ref_per_token_logps": in.Ref}
	if in.TokenAdvantages != nil {
		tables["token_advantages"] = in.TokenAdvantages
	}
	return in.masked.check(tables, in.Advantages)
}

// of computes the loss of GRPOTrainer on one case.
func (r groupResult) of(in groupCase, out *golden.Comparison) error {
	c, err := r.config()
	if err != nil {
		return err
	}
	if err := in.check(c); err != nil {
		return err
	}
	var ys []*Tokens
	size := Size{Responses: len(in.Mask), MaxLength: in.MaxLength}
	if in.Items != nil {
		size.Items = *in.Items
	}
	for i, mask := range in.Mask {
		y := tokens(under(mask, in.LogP[i]), under(mask, in.Old[i]), under(mask, in.Ref[i]), in.Advantages[i])
		if in.TokenAdvantages != nil {
			y.Advantage = under(mask, in.TokenAdvantages[i])
		}
		size.Tokens += len(y.LogP)
		if r.Drop && len(y.LogP) == 0 {
			size.Responses--
		}
		ys = append(ys, y)
	}
	size.Responses = max(1, size.Responses)
	if err := onlyChoice(c, ys); err != nil {
		return err
	}
	o := NewGroupObjective(c)
	loss, grad, clipped, kl := batchLoss(o, ys, size)
	weights, kls := float64(size.Tokens), float64(size.Tokens)
	if o.Config.ImportanceSamplingLevel != "token" {
		weights = float64(size.Responses)
	}
	if in.oneWide() && o.Loss.Mark == nil {
		clipped, kl = in.ofAll(o)
		weights, kls = float64(size.Responses), float64(size.Responses)
	}
	for i := range grad {
		grad[i] = spread(in.Mask[i], grad[i])
	}
	out.Number("loss", r.Loss, loss, golden.OfValues)
	out.Optional("clip_ratio_region_mean", r.Clipped, clipped/max(1, weights), golden.OfFloat32)
	out.Optional("kl_mean", r.KL, kl/max(1, kls), golden.OfValues)
	noise := make([]float64, len(ys))
	for i, y := range ys {
		noise[i] = klNoise(o, y, size)
	}
	return out.Table("grad_per_token_logps", r.Grad, grad, golden.OfGradients, noise...)
}

// klNoise bounds what rounding leaves of a slope of w·k3, −w log r in theory, but in
// TRL the difference of two numbers as large as w r: everything, at 50 nats.
func klNoise(o *GroupObjective, y *Tokens, size Size) float64 {
	if !o.Config.UseBiasCorrectionKL {
		return 0
	}
	each, kl := o.Of(y, size)
	return 0x1p-50 * float64(float64(o.Config.Beta*kl)*each)
}

// oneWide says whether all tables have one column. TRL takes them for one value a
// response, and its metrics are means over all rows, masked or not; losses that mark
// tokens are verl's, which does neither.
func (in groupCase) oneWide() bool {
	return in.TokenAdvantages == nil && !slices.ContainsFunc(in.Mask, func(row []int) bool { return len(row) != 1 })
}

// ofAll sums clipped weights and KL penalties over tables of one column. A response
// without a token has the weight 1 where one weight serves the response.
func (in groupCase) ofAll(o *GroupObjective) (clipped, kl float64) {
	var ys []*Tokens
	for i, mask := range in.Mask {
		old := in.Old[i]
		if mask[0] == 0 && o.Config.ImportanceSamplingLevel != "token" {
			old = in.LogP[i]
		}
		ys = append(ys, tokens(in.LogP[i], old, in.Ref[i], in.Advantages[i]))
	}
	_, _, clipped, kl = batchLoss(o, ys, Size{Responses: len(ys), MaxLength: 1})
	return clipped, kl
}

type rlooCase struct {
	masked
	OldLogps   []float64 `json:"old_logps"`
	Advantages []float64
}

type rlooResult struct {
	EpsilonLow  float64 `json:"epsilon_low" required:"true"`
	EpsilonHigh float64 `json:"epsilon_high" required:"true"`
	Loss        *float64
	Grad        [][]float64 `json:"grad_per_token_logps"`
}

// of computes the loss of RLOOTrainer on one case: one clipped ratio a response.
func (r rlooResult) of(in rlooCase, out *golden.Comparison) error {
	c := DefaultGroup()
	c.ImportanceSamplingLevel, c.Beta = "response", 0
	var err error
	if c.Epsilon, c.EpsilonHigh, err = bounds(r.EpsilonLow, r.EpsilonHigh); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return err
	}
	if err := in.check(map[string][][]float64{"per_token_logps": in.LogP}, in.Advantages); err != nil {
		return err
	}
	if len(in.OldLogps) != len(in.Mask) {
		return fmt.Errorf("%d old_logps for %d responses", len(in.OldLogps), len(in.Mask))
	}
	var ys []*Tokens
	for i, mask := range in.Mask {
		logp, old := under(mask, in.LogP[i]), under(mask, nil)
		if len(old) == 0 {
			logp, old = make([]float64, 1), make([]float64, 1) // counts in the mean, with a sum of 0
		}
		old[0] = in.OldLogps[i] // only their sum matters
		ys = append(ys, tokens(logp, old, old, in.Advantages[i]))
	}
	loss, grad, _, _ := batchLoss(NewGroupObjective(c), ys, Size{Responses: len(ys)})
	for i := range grad {
		grad[i] = spread(in.Mask[i], grad[i])
	}
	out.Number("loss", r.Loss, loss, golden.OfValues)
	return out.Table("grad_per_token_logps", r.Grad, grad, golden.OfGradients)
}

type advantageResult struct {
	Algo        string
	Size        int          `json:"num_generations"`
	PerFunction [][]*float64 `json:"rewards_per_func"` // [responses][reward functions]
	Weights     []float64    `json:"reward_weights"`
	Scale       string       `json:"scale_rewards"`
	Aggregation string
	Beta        float64
	Normalize   bool `json:"normalize_advantages"`
	masked
	Advantages []float64
}

// of computes the advantages of GRPOTrainer or RLOOTrainer.
func (r advantageResult) of(_ struct{}, out *golden.Comparison) error {
	rewards, err := r.rewards()
	if err != nil {
		return err
	}
	got := make([]float64, len(rewards))
	groups := Groups{Size: r.Size, Reward: rewards}
	switch {
	case r.Algo == "grpo" && !slices.Contains(scales, r.Scale):
		return fmt.Errorf("scale_rewards %q; known: %q", r.Scale, scales)
	case r.Algo == "grpo" && r.Aggregation == "normalize_then_sum":
		NormalizeThenSum(got, r.byFunction(), r.Weights, r.Size)
	case r.Algo == "grpo" && (r.Aggregation == "sum_then_normalize" || r.Aggregation == ""):
		Advantages(got, groups, baseline("group_mean"), r.Scale, scaleEpsilon)
	case r.Algo == "grpo" || r.Algo == "rloo" && r.Aggregation != "":
		return fmt.Errorf("aggregation %q of %q; known: sum_then_normalize, normalize_then_sum, both of grpo", r.Aggregation, r.Algo)
	case r.Algo == "rloo":
		if err := r.penalise(rewards); err != nil {
			return err
		}
		Advantages(got, groups, baseline("leave_one_out"), "none", scaleEpsilon)
		if r.Normalize {
			Normalize(got, scaleEpsilon)
		}
	default:
		return fmt.Errorf("algo %q; known: grpo, rloo", r.Algo)
	}
	return out.Row("advantages", r.Advantages, got, golden.OfValues, r.noise(rewards, got))
}

// noise is what a library makes of equal rewards, whose mean it may round: an ulp,
// divided by 1e−4, and once more where the sum of such is normalised again.
func (r advantageResult) noise(rewards, got []float64) float64 {
	largest := func(xs []float64) (top float64) {
		for _, x := range xs {
			top = max(top, math.Abs(x))
		}
		return top
	}
	noise := 4 * 0x1p-52 * largest(rewards) / scaleEpsilon
	if r.Aggregation == "normalize_then_sum" && largest(got) < 1e-6 {
		noise /= scaleEpsilon
	}
	return noise
}

// rewards is the weighted sum of the reward functions for each response.
func (r advantageResult) rewards() ([]float64, error) {
	if r.Size < 1 || len(r.PerFunction) == 0 || len(r.PerFunction)%r.Size != 0 {
		return nil, fmt.Errorf("%d responses in groups of %d", len(r.PerFunction), r.Size)
	}
	out := make([]float64, len(r.PerFunction))
	for i, own := range r.PerFunction {
		if len(own) != len(r.Weights) {
			return nil, fmt.Errorf("rewards_per_func[%d] has %d entries for %d weights", i, len(own), len(r.Weights))
		}
		for k, reward := range own {
			if reward == nil {
				return nil, fmt.Errorf("rewards_per_func[%d] has null for a reward: a response without one has no advantage to compare", i)
			}
			out[i] += float64(*reward * r.Weights[k])
		}
	}
	return out, nil
}

// byFunction is a list of rewards for each reward function.
func (r advantageResult) byFunction() [][]float64 {
	out := make([][]float64, len(r.Weights))
	for _, own := range r.PerFunction {
		for k, reward := range own {
			out[k] = append(out[k], *reward)
		}
	}
	return out
}

// penalise takes β times the KL estimate (k1) of each response off its reward.
func (r advantageResult) penalise(rewards []float64) error {
	if r.Beta == 0 {
		return nil
	}
	if err := r.check(map[string][][]float64{"old_per_token_logps": r.Old, "ref_per_token_logps": r.Ref}, rewards); err != nil {
		return err
	}
	k1, _ := estimator("k1", 0)
	for i, mask := range r.Mask {
		rewards[i] -= float64(r.Beta * SequenceKL(under(mask, r.Old[i]), under(mask, r.Ref[i]), k1))
	}
	return nil
}
