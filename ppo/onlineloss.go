package ppo

import (
	"fmt"
	"slices"
	"strings"

	"rlhfsim/internal/num"
)

// Duel is one comparison: two responses to a prompt, the first by the policy,
// and P, the probability that the first is preferred.
type Duel struct {
	LogP, Ref, Old [2]float64 // log π_θ, log π_ref and log π of the policy that sampled the first, of each response
	P              float64
}

// LogRatio is a_i = log π_θ/π_ref of response i.
func (d *Duel) LogRatio(i int) float64 { return d.LogP[i] - d.Ref[i] }

// OnlineLoss is a loss of one comparison and its derivatives with respect to the
// log-probabilities of the two responses.
type OnlineLoss struct {
	Name, Idea, Paper string
	Uses              []string // of the fields that only some losses use
	Rival             string   // who writes the second response: "policy", "reference" or "mixture"
	OnPolicy          bool     // it takes the first response for the policy's own
	Of                func(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64)
	Metrics           []pairMetric // what only it reports, means over the pairs
}

// pairMetric is a metric of one loss alone, of a pair whose responses have these
// scores.
type pairMetric struct {
	Name string
	Of   func(d *Duel, scores [2]float64, c *OnlineConfig) float64
}

// OwnMetrics are the metrics that the configured loss alone reports.
func (c OnlineConfig) OwnMetrics() (names []string) {
	l, _ := onlineLoss(c.LossType)
	for _, m := range l.Metrics {
		names = append(names, m.Name)
	}
	return names
}

// xpoMetrics are the loss's two parts, and the scores of the two writers (TRL 1.10's
// XPOTrainer, which TRL 1.16 no longer has).
var xpoMetrics = []pairMetric{
	{"loss/dpo", func(d *Duel, _ [2]float64, c *OnlineConfig) float64 { loss, _ := onlineSigmoid(d, c); return loss }},
	{"loss/xpo", func(d *Duel, _ [2]float64, c *OnlineConfig) float64 { return float64(c.Alpha * d.LogP[1]) }},
	{"objective/model_scores", func(_ *Duel, scores [2]float64, _ *OnlineConfig) float64 { return scores[0] }},
	{"objective/ref_scores", func(_ *Duel, scores [2]float64, _ *OnlineConfig) float64 { return scores[1] }},
}

// nashMetrics is P(y_1 ≻ y_2), ½ at the equilibrium (TRL 1.10's NashMDTrainer).
var nashMetrics = []pairMetric{
	{"rewards/probabilities", func(d *Duel, _ [2]float64, _ *OnlineConfig) float64 { return d.P }},
}

// OnlineLosses is the table of losses.
var OnlineLosses = []OnlineLoss{
	{Name: "sigmoid", Idea: "DPO's loss on two fresh samples", Paper: "Guo et al. 2024, arXiv 2402.04792",
		Uses: []string{"reference"}, Rival: "policy", Of: onlineSigmoid},
	{Name: "ipo", Idea: "IPO's loss on two fresh samples", Paper: "Calandriello et al. 2024, arXiv 2403.08635",
		Uses: []string{"reference"}, Rival: "policy", Of: onlineIPO},
	{Name: "xpo", Idea: "DPO's loss, with a bonus for what the reference would not say", Paper: "Xie et al. 2024, arXiv 2405.21046, algorithm 1",
		Uses: []string{"alpha", "reference"}, Rival: "reference", Of: xpo, Metrics: xpoMetrics},
	{Name: "nash_md", Idea: "the policy gradient against a mixture with the reference", Paper: "Munos et al. 2023, arXiv 2312.00886",
		Uses: []string{"mixture_coef"}, Rival: "mixture", OnPolicy: true, Of: nashMD, Metrics: nashMetrics},
	{Name: "sppo", Idea: "the square loss of self-play, against the policy that sampled", Paper: "Wu et al. 2024, arXiv 2405.00675",
		Rival: "policy", Of: sppo},
}

var onlineFields = []string{"alpha", "mixture_coef", "reference"}

// Unused says why a field of the configuration changes nothing; "" when it does
// change something.
func (c OnlineConfig) Unused(name string) string {
	if !slices.Contains(onlineFields, name) {
		return ""
	}
	var who []string
	for _, l := range OnlineLosses {
		if slices.Contains(l.Uses, name) {
			if l.Name == c.LossType {
				return ""
			}
			who = append(who, fmt.Sprintf("%q", l.Name))
		}
	}
	return fmt.Sprintf("loss_type = %q does not use it; %s would", c.LossType, strings.Join(who, ", "))
}

func onlineLoss(name string) (loss OnlineLoss, known bool) {
	for _, l := range OnlineLosses {
		if l.Name == name {
			return l, true
		}
	}
	return loss, false
}

// onlineSigmoid is −P log σ(βh) − (1−P) log σ(−βh) with h = a_1 − a_2.
func onlineSigmoid(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	z := float64(c.Beta * (d.LogRatio(0) - d.LogRatio(1)))
	loss = float64((1-d.P)*z) - num.LogSigmoid(z) // log σ(−z) = log σ(z) − z
	s := float64(c.Beta * (num.Sigmoid(z) - d.P))
	return loss, [2]float64{s, -s}
}

// onlineIPO is P (h − 1/(2β))² + (1−P) (h + 1/(2β))².
func onlineIPO(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	h, far := d.LogRatio(0)-d.LogRatio(1), 1/float64(2*c.Beta)
	won, lost := h-far, h+far
	loss = float64(d.P*float64(won*won)) + float64((1-d.P)*float64(lost*lost))
	s := float64(2 * (float64(d.P*won) + float64((1-d.P)*lost)))
	return loss, [2]float64{s, -s}
}

// xpo is onlineSigmoid + α log π(y_2), y_2 being the reference's.
func xpo(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	loss, slope = onlineSigmoid(d, c)
	slope[1] += c.Alpha
	return loss + float64(c.Alpha*d.LogP[1]), slope
}

// nashMD is −[P − ½ − β a_1] log π(y_1), the bracket held fixed: its expected
// gradient is that of P(π ≻ rival) − β KL(π‖π_ref), the whole response one action.
func nashMD(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	advantage := d.P - 0.5 - float64(c.Beta*d.LogRatio(0))
	return float64(-advantage * d.LogP[0]), [2]float64{-advantage, 0}
}

// sppo is ½ Σ_i (log π/π_t(y_i) − (P_i − ½)/β)², with P_2 = 1 − P_1 and π_t the
// policy that sampled: what multiplicative weights would make of it.
func sppo(d *Duel, c *OnlineConfig) (loss float64, slope [2]float64) {
	for i, p := range [2]float64{d.P, 1 - d.P} {
		e := d.LogP[i] - d.Old[i] - (p-0.5)/c.Beta
		loss += float64(0.5 * float64(e*e))
		slope[i] = e
	}
	return loss, slope
}
