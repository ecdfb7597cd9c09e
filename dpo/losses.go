package dpo

import (
	"slices"
	"strings"

	"rlhfsim/internal/num"
)

// Loss is a preference loss, a pure function: Of reads the log-probabilities of
// a batch and fills Loss, DChosen and DRejected.
type Loss struct {
	Name    string
	Title   string // what it is called in full, with its paper
	Formula string // of one pair; c, r = log π/π_ref of chosen and rejected, h = c − r, w, l = log π
	Uses    []string
	Needs   Need
	Of      func(b *Batch, c *Config)
	Reward  func(b *Batch, i int) (chosen, rejected float64) // the implicit rewards of pair i before their β; nil = LogRatios
}

// uses says whether the optional field matters to the loss.
func (l Loss) uses(name string) bool { return slices.Contains(l.Uses, name) }

// Need is what a loss must be told besides log-probabilities.
type Need int

const (
	NeedKL       Need = 1 << iota // Batch.KL, the reference point of KTO
	NeedDelta                     // Batch.Delta, the running mean of the rewards
	NeedScores                    // Batch.ScoreDifference, rewards of the responses
	NeedRankings                  // Batch.Lists, whole rankings
	NeedTies                      // Batch.Tied, which pairs were called equal
)

// The optional fields that several losses share.
var (
	usesSync      = []string{"sync_ref_model", "ref_model_sync_steps", "ref_model_mixup_alpha"}
	usesReference = append([]string{"reference_free"}, usesSync...)
	usesTokens    = append([]string{"ld_alpha", "use_weighting"}, usesReference...)
	usesMargin    = append([]string{"f_divergence_type", "f_alpha_divergence_coef"}, usesTokens...)
)

func with(shared []string, own ...string) []string { return append(own, shared...) }

// Losses is the table of loss types.
var Losses = []Loss{
	{"sigmoid", "Direct Preference Optimization (Rafailov et al. 2023), with cDPO's label smoothing (Mitchell 2023)",
		"−log σ(βh) + ε βh", with(usesMargin, "label_smoothing"), 0,
		sigmoid, nil},
	{"sigmoid_norm", "DPO on log-ratios per token (Lambert et al. 2024, Tülu 3)",
		"−log σ(β(c/|y_w| − r/|y_l|)) + smoothing", with(usesMargin, "label_smoothing"), 0,
		ofMeanMargin(func(h float64, c *Config) (float64, float64) { return Sigmoid(h, c.Beta, c.LabelSmoothing) }), nil},
	{"hinge", "SLiC and RSO's hinge on the normalised likelihood (Liu et al. 2023)",
		"max(0, 1 − βh)", usesMargin, 0,
		ofMargin(func(h float64, c *Config) (float64, float64) { return Hinge(h, c.Beta) }), nil},
	{"ipo", "Identity Preference Optimisation (Azar et al. 2023)",
		"(c/|y_w| − r/|y_l| − 1/(2β))²; (h − 1/(2β))² with average_log_prob = false", with(usesMargin, "average_log_prob"), 0, ipo, nil},
	{"exo_pair", "Efficient Exact Optimisation (Ji et al. 2024)",
		"σ(βh)(log σ(βh) − log(1−ε)) + σ(−βh)(log σ(−βh) − log ε)", with(usesMargin, "label_smoothing"), 0,
		ofMargin(func(h float64, c *Config) (float64, float64) { return EXOPair(h, c.Beta, c.LabelSmoothing) }), nil},
	{"truncated_quadratic", "Generalised Preference Optimisation, truncated quadratic (Tang et al. 2024)",
		"max(0, 1 − βh)²", usesMargin, 0,
		ofMargin(func(h float64, c *Config) (float64, float64) { return TruncatedQuadratic(h, c.Beta) }), nil},
	{"savage", "Generalised Preference Optimisation, Savage (Tang et al. 2024)",
		"σ(−βh)²", usesMargin, 0,
		ofMargin(func(h float64, c *Config) (float64, float64) { return Savage(h, c.Beta) }), nil},
	{"nca_pair", "Noise Contrastive Alignment (Chen et al. 2024)",
		"−log σ(βc) − ½ log σ(−βc) − ½ log σ(−βr)", usesTokens, 0,
		ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return NCAPair(u, v, c.Beta) }), nil},
	{"robust", "Robust DPO (Ray Chowdhury et al. 2024)",
		"[−(1−ε) log σ(βh) + ε log σ(−βh)] / (1−2ε)", with(usesMargin, "label_smoothing"), 0,
		ofMargin(func(h float64, c *Config) (float64, float64) { return Robust(h, c.Beta, c.LabelSmoothing) }), nil},
	{"bco_pair", "Binary Classifier Optimisation on pairs (Jung et al. 2024)",
		"−log σ(βc − δ) − log σ(δ − βr), δ = 0 unless running_delta", with(usesTokens, "running_delta"), NeedDelta, bcoPair, nil},
	{"sppo_hard", "Self-Play Preference Optimisation, hard labels (Wu et al. 2024)",
		"(c − 1/(2β))² + (r + 1/(2β))²", usesTokens, 0,
		ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return SPPOHard(u, v, c.Beta) }), nil},
	{"aot", "Alignment via Optimal Transport (Melnyk et al. 2024)",
		"Sigmoid(sorted(w − l)_k − sorted(w_ref − l_ref)_k)", with(usesReference, "ld_alpha", "label_smoothing"), 0, aot, nil},
	{"aot_unpaired", "Alignment via Optimal Transport, unpaired (Melnyk et al. 2024)",
		"Sigmoid(sorted(c)_k − sorted(r)_k)", with(usesReference, "ld_alpha", "label_smoothing"), 0, aotUnpaired, nil},
	{"apo_zero", "Anchored Preference Optimisation, zero (D'Oosterlinck et al. 2024)",
		"1 − σ(βc) + σ(βr)", usesTokens, 0,
		ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return APOZero(u, v, c.Beta) }), nil},
	{"apo_down", "Anchored Preference Optimisation, down (D'Oosterlinck et al. 2024)",
		"σ(βc) + 1 − σ(βh)", usesTokens, 0,
		ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return APODown(u, v, c.Beta) }), nil},
	{"discopop", "Discovered Preference Optimisation (Lu et al. 2024)",
		"−(1−m) log σ(βh) + m e^{−βh}, m = σ(βh/τ)", with(usesMargin, "discopop_tau"), 0,
		ofMargin(func(h float64, c *Config) (float64, float64) { return DiscoPOP(h, c.Beta, c.DiscoPOPTau) }), nil},
	{"sft", "Supervised fine-tuning on the chosen responses; \"sigmoid+sft\" is RPO (Pang et al. 2024)",
		"−Σ w / Σ |y_w|, sums over the batch", nil, 0,
		func(b *Batch, c *Config) { b.clear(); b.AddNLL(1) }, logProbs},
	{"dpop", "DPO-Positive (Pal et al. 2024)",
		"−log σ(β(h − λ max(0, −c)))", with(usesTokens, "dpop_lambda"), 0,
		ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return DPOP(u, v, c.Beta, c.DPOPLambda) }), nil},
	{"rdpo", "Length-regularised DPO, R-DPO (Park et al. 2024)",
		"−log σ(βh + α(|y_w| − |y_l|))", with(usesTokens, "rdpo_alpha"), 0, rdpo, nil},
	{"chipo", "χ²-Preference Optimisation (Huang et al. 2024)",
		"−log σ(clip(β(e^c + c − e^r − r), ±2R_max))", with(usesTokens, "chipo_r_max"), 0,
		ofPair(func(u, v float64, c *Config) (float64, float64, float64) { return ChiPO(u, v, c.Beta, c.ChiPORMax) }), nil},
	{"rebel", "REgression to RElative REward Based RL (Gao et al. 2024)",
		"(βh − (r(x,y_w) − r(x,y_l)))², r the learned reward", usesTokens, NeedScores, rebel, nil},
	{"rao_kupper", "DPO under the Rao-Kupper model of ties (Chen et al. 2024)",
		"−log σ(βh − log ν), of a tie −log(ν² − 1) − log σ(βh − log ν) − log σ(−βh − log ν)", with(usesTokens, "rao_kupper_nu"), NeedTies,
		ofTies(func(h float64, c *Config) (float64, float64) { return RaoKupper(h, c.Beta, c.RaoKupperNu) },
			func(h float64, c *Config) (float64, float64) { return RaoKupperTie(h, c.Beta, c.RaoKupperNu) }), nil},
	{"davidson", "DPO under Davidson's model of ties (Chen et al. 2024)",
		"log(1 + e^{−βh} + 2ν e^{−βh/2}), of a tie the same + βh/2 − log 2ν", with(usesTokens, "davidson_nu"), NeedTies,
		ofTies(func(h float64, c *Config) (float64, float64) { return Davidson(h, c.Beta, c.DavidsonNu) },
			func(h float64, c *Config) (float64, float64) { return DavidsonTie(h, c.Beta, c.DavidsonNu) }), nil},
	{"plackett_luce", "List-wise DPO on whole rankings (Rafailov et al. 2023, appendix A.3)",
		"−Σ_k log [e^{s_k} / Σ_{j≥k} e^{s_j}], s = β log π/π_ref", usesReference, NeedRankings, plackettLuce, nil},
	{"kto", "Kahneman-Tversky Optimisation (Ethayarajh et al. 2024)",
		"½ [λ_D (1 − σ(β(c − z₀))) + λ_U (1 − σ(β(z₀ − r)))]", with(usesSync, "kl_estimate", "desirable_weight", "undesirable_weight"), NeedKL, kto, nil},
	{"apo_zero_unpaired", "APO-zero of single responses (D'Oosterlinck et al. 2024)",
		"½ [λ_D (1 − σ(βc)) + λ_U σ(βr)]", with(usesReference, "desirable_weight", "undesirable_weight"), 0,
		func(b *Batch, c *Config) { clear(b.KL); kto(b, c) }, nil},
	{"bco", "Binary Classifier Optimisation (Jung et al. 2024)",
		"½ [−log σ(βc − δ) − log σ(δ − βr)], δ the running mean reward", usesReference, NeedDelta, bco, nil},
	{"orpo", "Odds Ratio Preference Optimisation (Hong et al. 2024)",
		"L_NLL − β log σ(log odds(y_w) − log odds(y_l)), p = e^{w/|y_w|}", nil, 0, orpo, meanLogProbs},
	{"cpo", "Contrastive Preference Optimisation (Xu et al. 2024)",
		"−log σ(β(w − l)) + smoothing + cpo_alpha L_NLL", []string{"cpo_alpha", "label_smoothing"}, 0, cpo, logProbs},
	{"simpo", "Simple Preference Optimisation (Meng et al. 2024)",
		"−log σ(β(w/|y_w| − l/|y_l|) − γ) + smoothing", []string{"simpo_gamma", "label_smoothing"}, 0,
		ofMeans(func(w, l float64, c *Config) (float64, float64, float64) {
			return SimPO(w, l, c.Beta, c.SimPOGamma, c.LabelSmoothing)
		}), meanLogProbs},
	{"alphapo", "AlphaPO (Gupta et al. 2025)",
		"−log σ(β(ρ(w/|y_w|) − ρ(l/|y_l|)) − γ) + smoothing, ρ(u) = (1 − e^{−αu})/α", []string{"alpha", "simpo_gamma", "label_smoothing"}, 0,
		ofMeans(func(w, l float64, c *Config) (float64, float64, float64) {
			return AlphaPO(w, l, c.Beta, c.SimPOGamma, c.Alpha, c.LabelSmoothing)
		}), meanLogProbs},
	{"slic_hf", "Sequence Likelihood Calibration from human feedback (Zhao et al. 2023)",
		"max(0, δ − w + l) − λw", []string{"slic_delta", "slic_lambda"}, 0, slic, logProbs},
}

// Find is the loss of that name.
func Find(name string) (Loss, bool) {
	i := slices.IndexFunc(Losses, func(l Loss) bool { return l.Name == name })
	if i < 0 {
		return Loss{}, false
	}
	return Losses[i], true
}

// Mixture is a weighted sum of losses, ℓ = Σ_k w_k ℓ_k (RPO: "sigmoid+sft"; MPO,
// Wang et al. 2024, arXiv 2411.10442: "sigmoid+bco_pair+sft" at 0.8, 0.2, 1). One
// loss of weight 1 is itself.
type Mixture struct {
	Parts   []Loss
	Weights []float64
	sum     *Batch // of the parts' losses and derivatives so far
	// As TRL since 0.29: no label smoothing in sigmoid and sigmoid_norm, also where
	// another part of the mixture has it.
	sharpSigmoid bool
}

// NewMixture is the loss that a valid Config names, for batches of up to n pairs.
func NewMixture(c Config, n int) *Mixture {
	m := &Mixture{Weights: c.LossWeights}
	for _, name := range strings.Split(c.LossType, "+") {
		if l, known := Find(name); known {
			m.Parts = append(m.Parts, l)
		}
	}
	for len(m.Weights) < len(m.Parts) {
		m.Weights = append(m.Weights, 1)
	}
	if !m.simple() {
		m.sum = NewBatch(n)
	}
	return m
}

func (m *Mixture) simple() bool { return len(m.Parts) == 1 && m.Weights[0] == 1 }

// Needs is all that the parts need.
func (m *Mixture) Needs(c *Config) (n Need) {
	for _, l := range m.Parts {
		if l.uses("running_delta") && !c.RunningDelta {
			continue // the shift is all that bco_pair may need
		}
		n |= l.Needs
	}
	return n
}

// Of fills the batch's Loss, DChosen and DRejected. WPO's weights multiply the
// parts that use them.
func (m *Mixture) Of(b *Batch, c *Config) {
	if m.simple() {
		m.part(0, b, c)
		return
	}
	m.sum.separate = b.separate
	m.sum.resize(len(b.Loss))
	m.sum.clear()
	for k, weight := range m.Weights {
		m.part(k, b, c)
		num.Axpy(m.sum.Loss, weight, b.Loss)
		num.Axpy(m.sum.DChosen, weight, b.DChosen)
		num.Axpy(m.sum.DRejected, weight, b.DRejected)
		if b.separate {
			num.Axpy(m.sum.DLikelihood, weight, b.DLikelihood)
		}
	}
	copy(b.Loss, m.sum.Loss)
	copy(b.DChosen, m.sum.DChosen)
	copy(b.DRejected, m.sum.DRejected)
	if b.separate {
		copy(b.DLikelihood, m.sum.DLikelihood)
	}
}

func (m *Mixture) part(k int, b *Batch, c *Config) {
	l := m.Parts[k]
	if m.sharpSigmoid && strings.HasPrefix(l.Name, "sigmoid") {
		sharp := *c
		sharp.LabelSmoothing = 0
		c = &sharp
	}
	if b.separate {
		clear(b.DLikelihood)
	}
	l.Of(b, c)
	if c.UseWeighting && l.uses("use_weighting") {
		for i, w := range b.Weight {
			b.Loss[i] *= w
			b.DChosen[i] *= w
			b.DRejected[i] *= w
		}
	}
}
