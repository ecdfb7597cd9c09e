package dpo

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"rlhfsim/internal/field"
)

// Config is the training, named as in TRL's DPOConfig, KTOConfig, CPOConfig and
// ORPOConfig. LabelSmoothing and the fields of the second and third group may only
// be set where the loss uses them.
type Config struct {
	Beta           float64   `toml:"beta"`            // β
	LossType       string    `toml:"loss_type"`       // a name in Losses, or several joined by "+"
	LossWeights    []float64 `toml:"loss_weights"`    // of the several; none = 1 each
	LabelSmoothing float64   `toml:"label_smoothing"` // ε, 0 to below 0.5

	// What changes any loss that compares with a reference policy.
	ReferenceFree        bool    `toml:"reference_free"`          // a uniform reference, log π_ref := 0
	FDivergenceType      string  `toml:"f_divergence_type"`       // the divergence whose leash defines the reward
	FAlphaDivergenceCoef float64 `toml:"f_alpha_divergence_coef"` // α of alpha_divergence
	LDAlpha              float64 `toml:"ld_alpha"`                // LD-DPO: weight of the tokens beyond the shorter response's length
	PerToken             bool    `toml:"per_token"`               // log-ratios (or f-scores) divided by the responses' lengths
	UseWeighting         bool    `toml:"use_weighting"`           // WPO: weigh pairs by how likely the policy is to say them
	SyncRefModel         bool    `toml:"sync_ref_model"`          // TR-DPO: move the reference to the policy now and then
	RefModelSyncSteps    int     `toml:"ref_model_sync_steps"`
	RefModelMixupAlpha   float64 `toml:"ref_model_mixup_alpha"` // z_ref ← α z + (1−α) z_ref

	// What belongs to one loss.
	AverageLogProb    bool    `toml:"average_log_prob"` // ipo: log-ratios per token (TRL), not per response (the paper)
	DiscoPOPTau       float64 `toml:"discopop_tau"`     // τ
	RunningDelta      bool    `toml:"running_delta"`    // bco_pair: shift by the running mean of the rewards (as TRL 0.24)
	KLEstimate        string  `toml:"kl_estimate"`      // kto: z₀ from "mismatched" pairs, or "exact" for each prompt
	DesirableWeight   float64 `toml:"desirable_weight"`
	UndesirableWeight float64 `toml:"undesirable_weight"`
	CPOAlpha          float64 `toml:"cpo_alpha"`     // weight of the chosen responses' NLL
	SimPOGamma        float64 `toml:"simpo_gamma"`   // γ, the target margin of the scaled rewards
	Alpha             float64 `toml:"alpha"`         // AlphaPO's shape of the reward
	SLiCDelta         float64 `toml:"slic_delta"`    // δ
	SLiCLambda        float64 `toml:"slic_lambda"`   // λ
	DPOPLambda        float64 `toml:"dpop_lambda"`   // λ
	RDPOAlpha         float64 `toml:"rdpo_alpha"`    // α, reward per token
	ChiPORMax         float64 `toml:"chipo_r_max"`   // R_max: margins are clipped at ±2 R_max
	RaoKupperNu       float64 `toml:"rao_kupper_nu"` // ν, at least 1
	DavidsonNu        float64 `toml:"davidson_nu"`   // ν, at least 0

	DropTies bool `toml:"drop_ties"` // leave out comparisons that raters called equal

	LearningRate    float64 `toml:"learning_rate"`
	LRSchedulerType string  `toml:"lr_scheduler_type"` // "constant", or "linear" to 0
	NumTrainEpochs  int     `toml:"num_train_epochs"`
	BatchSize       int     `toml:"batch_size"`    // pairs (rankings of plackett_luce) a step
	MaxGradNorm     float64 `toml:"max_grad_norm"` // 0 = no clipping
}

// Default is TRL's where it makes sense for a table, else the paper's.
func Default() Config {
	return Config{
		Beta: 0.1, LossType: "sigmoid",
		FDivergenceType: reverseKL, FAlphaDivergenceCoef: 0.5, LDAlpha: 1, RefModelSyncSteps: 512, RefModelMixupAlpha: 0.6,
		AverageLogProb: true, DiscoPOPTau: 0.05, KLEstimate: "mismatched", DesirableWeight: 1, UndesirableWeight: 1,
		CPOAlpha: 1, SimPOGamma: 0.5, Alpha: 0.25, SLiCDelta: 1, SLiCLambda: 0.1, DPOPLambda: 50, RDPOAlpha: 0.01,
		ChiPORMax: 10, RaoKupperNu: 3, DavidsonNu: 1,
		LearningRate: 0.01, LRSchedulerType: "linear", NumTrainEpochs: 3, BatchSize: 64, MaxGradNorm: 1,
	}
}

// reverseKL is the leash of DPO itself.
const reverseKL = "reverse_kl"

var (
	schedulers  = []string{"constant", "linear"}
	divergences = []string{reverseKL, "forward_kl", "js_divergence", "alpha_divergence"}
	estimates   = []string{"mismatched", "exact"}
)

// everyLoss are the fields that stand whatever the loss; but see Loss.NoBeta.
var everyLoss = []string{"drop_ties", "beta", "loss_type", "loss_weights", "learning_rate", "lr_scheduler_type", "num_train_epochs", "batch_size", "max_grad_norm"}

// Validate reports every field that cannot stand.
func (c Config) Validate() error {
	var k field.Checker
	k.Positive("beta", c.Beta)
	c.checkLossType(&k)
	k.Require(c.LabelSmoothing >= 0 && c.LabelSmoothing < 0.5, "label_smoothing", c.LabelSmoothing, "at least 0 and below 0.5")
	field.OneOf(&k, "f_divergence_type", c.FDivergenceType, divergences)
	k.Range("f_alpha_divergence_coef", c.FAlphaDivergenceCoef, -10, 10)
	k.Range("ld_alpha", c.LDAlpha, 0, 1)
	k.Count("ref_model_sync_steps", c.RefModelSyncSteps, 1, 1_000_000)
	k.Range("ref_model_mixup_alpha", c.RefModelMixupAlpha, 0, 1)
	k.Positive("discopop_tau", c.DiscoPOPTau)
	field.OneOf(&k, "kl_estimate", c.KLEstimate, estimates)
	k.NonNegative("desirable_weight", c.DesirableWeight)
	k.NonNegative("undesirable_weight", c.UndesirableWeight)
	k.NonNegative("cpo_alpha", c.CPOAlpha)
	k.NonNegative("simpo_gamma", c.SimPOGamma)
	k.Range("alpha", c.Alpha, -10, 10)
	k.NonNegative("slic_delta", c.SLiCDelta)
	k.NonNegative("slic_lambda", c.SLiCLambda)
	k.NonNegative("dpop_lambda", c.DPOPLambda)
	k.Range("rdpo_alpha", c.RDPOAlpha, -1e6, 1e6)
	k.Positive("chipo_r_max", c.ChiPORMax)
	k.Range("rao_kupper_nu", c.RaoKupperNu, 1, 1e6)
	k.Range("davidson_nu", c.DavidsonNu, 0, 1e6)
	k.Positive("learning_rate", c.LearningRate)
	field.OneOf(&k, "lr_scheduler_type", c.LRSchedulerType, schedulers)
	k.Count("num_train_epochs", c.NumTrainEpochs, 0, 1_000_000)
	k.Count("batch_size", c.BatchSize, 1, 1_000_000)
	k.NonNegative("max_grad_norm", c.MaxGradNorm)
	return k.Err()
}

func lossNames() (names []string) {
	for _, l := range Losses {
		names = append(names, l.Name)
	}
	return names
}

// OptionNames are names that people have for a loss with an option, or a sum of losses.
var OptionNames = map[string]string{
	"rpo":    "RPO is loss_type = \"sigmoid+sft\"",
	"mpo":    "MPO is loss_type = \"sigmoid+bco_pair+sft\" with loss_weights = [0.8, 0.2, 1.0]",
	"cdpo":   "cDPO is loss_type = \"sigmoid\" with label_smoothing",
	"tr_dpo": "TR-DPO is sync_ref_model = true",
	"ld_dpo": "LD-DPO is ld_alpha below 1",
	"wpo":    "WPO is use_weighting = true",
	"f_dpo":  "f-DPO is f_divergence_type",
}

// meantLoss says what was probably meant by the name of no loss; "" when nothing is near.
func meantLoss(name string) string {
	name = strings.TrimSpace(name)
	for option, what := range OptionNames {
		if field.Alike(option, name) {
			return what
		}
	}
	var spellings []string
	meant := map[string]string{}
	for _, l := range Losses {
		for _, s := range append([]string{l.Name, l.Title}, l.Also...) {
			spellings, meant[s] = append(spellings, s), l.Name
		}
	}
	if near := field.Nearest(name, spellings); near != "" {
		return fmt.Sprintf("did you mean %q?", meant[near])
	}
	return ""
}

// checkLossType checks the names of the losses and how they combine.
func (c Config) checkLossType(k *field.Checker) {
	var parts []Loss
	for _, name := range strings.Split(c.LossType, "+") {
		l, known := Find(name)
		if !known {
			k.Add(&field.Error{Field: "loss_type", Value: fmt.Sprintf("%q", c.LossType), Allowed: "one of " + field.Quoted(lossNames()) + ", or several joined by +", Help: meantLoss(name)})
			return
		}
		parts = append(parts, l)
	}
	k.Require(len(c.LossWeights) == 0 || len(c.LossWeights) == len(parts), "loss_weights", c.LossWeights, fmt.Sprintf("empty, or one number for each of the %d losses of loss_type", len(parts)))
	for _, w := range c.LossWeights {
		if !(w >= 0 && w <= 1e6) {
			k.Add(&field.Error{Field: "loss_weights", Value: c.LossWeights, Allowed: "numbers between 0 and 1e+06"})
			break
		}
	}
	k.Require(len(c.LossWeights) == 0 || slices.ContainsFunc(c.LossWeights, func(w float64) bool { return w != 0 }), "loss_weights", c.LossWeights, "not all 0, or nothing is learned")
	for _, l := range parts {
		k.Require(l.Needs&NeedRankings == 0 || len(c.LossWeights) == 0, "loss_weights", c.LossWeights, "empty for "+l.Name+", which is no part of a sum")
		k.Require(l.Needs&NeedRankings == 0 || len(parts) == 1, "loss_type", fmt.Sprintf("%q", c.LossType), l.Name+" on its own: it is a loss of rankings, not of pairs")
		if l.Check != nil {
			if e := l.Check(&c); e != nil {
				k.Add(e)
			}
		}
		k.Require(c.LDAlpha == 1 || l.uses("ld_alpha"), "ld_alpha", c.LDAlpha, "1, because "+l.Name+" needs the log-probabilities of whole responses")
	}
}

// mismatchable is the check of kto.
func mismatchable(c *Config) *field.Error {
	if c.KLEstimate == "exact" || c.BatchSize > 1 {
		return nil
	}
	return &field.Error{Field: "batch_size", Value: c.BatchSize, Allowed: "at least 2 for kto, whose reference point comes from the other pairs of the batch"}
}

// smoothed is the check of exo_pair.
func smoothed(c *Config) *field.Error {
	if c.LabelSmoothing > 0 {
		return nil
	}
	return &field.Error{Field: "label_smoothing", Value: c.LabelSmoothing, Allowed: "above 0 for exo_pair, whose paper takes 1e-3"}
}

// UsesTies says whether the loss can learn from comparisons that were called
// equal; why names what stands against it.
func (c Config) UsesTies() (ok bool, why string) {
	for _, name := range strings.Split(c.LossType, "+") {
		switch l, _ := Find(name); {
		case l.Needs&NeedRankings != 0:
			return false, name + " needs rankings without ties"
		case l.Ties == nil:
			return false, name + " has no place for them"
		case l.Ties(&c) != "":
			return false, l.Ties(&c)
		}
	}
	return true, ""
}

// fieldNames lists the fields of Config in order.
func fieldNames() (names []string) {
	of := reflect.TypeFor[Config]()
	for i := range of.NumField() {
		names = append(names, of.Field(i).Tag.Get("toml"))
	}
	return names
}

// Unused says why a field of the configuration changes nothing; "" when it does
// change something.
func (c Config) Unused(name string) string {
	parts := NewMixture(c, 0).Parts
	switch {
	case name == "beta" && !slices.ContainsFunc(parts, func(l Loss) bool { return !l.NoBeta }):
		return c.LossType + " has no β; only the rewards that are logged would be scaled by it"
	case slices.Contains(everyLoss, name):
		return ""
	case !slices.ContainsFunc(parts, func(l Loss) bool { return l.uses(name) }):
		uses := slices.DeleteFunc(fieldNames(), func(name string) bool {
			return !slices.ContainsFunc(parts, func(l Loss) bool { return l.uses(name) })
		})
		if len(uses) == 0 {
			return c.LossType + " uses no optional field"
		}
		return c.LossType + " does not use it; it uses " + strings.Join(uses, ", ")
	case name == "f_alpha_divergence_coef" && c.FDivergenceType != "alpha_divergence":
		return "only f_divergence_type = \"alpha_divergence\" uses it"
	case (name == "ref_model_sync_steps" || name == "ref_model_mixup_alpha") && !c.SyncRefModel:
		return "only sync_ref_model = true uses it"
	}
	return ""
}
