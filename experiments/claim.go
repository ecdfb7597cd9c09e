package experiments

import (
	"fmt"
	"slices"
	"strings"
)

// Claim is a sentence about a run that a machine can check. It is made about the
// mean over seeds: of a difference between two sides, or of a trend.
type Claim struct {
	Says   string
	Metric string
	Of     Side
	By     float64 // margin, ≥ 0

	// A comparison: Is (above, below, equal), and what Of is compared with: Than,
	// or Number where Than has no name.
	Is     string
	Than   Side
	Number float64

	// A trend over training or over a swept field.
	Trend, Over string
}

// Side is what a claim measures: a stage of the points that it pins.
type Side struct {
	Name  string // an arm's, or base, sft, reward
	At    Moment
	Where []Pin
}

// Pin holds a swept field at one of its values.
type Pin struct{ Field, Value string }

// Moment is when in a stage's training a metric is read.
type Moment struct {
	Kind  string  // "first", "last", "best", "step" or "KL"
	Value float64 // of step and KL
}

// What a claim can say.
var (
	comparisons  = []string{"above", "below", "equal"}
	trends       = []string{"rises", "falls", "peaks inside", "dips inside"}
	sharedStages = []string{"base", "sft", "reward"}
)

// The axes of a trend besides swept fields.
const (
	overStep = "step"
	overKL   = "exact/kl"
)

// pinned is the value at which the side holds a field.
func (s Side) pinned(field string) (value string, ok bool) {
	i := slices.IndexFunc(s.Where, func(p Pin) bool { return p.Field == field })
	if i < 0 {
		return "", false
	}
	return s.Where[i].Value, true
}

// String is "ppo at KL 2 (labels.rankings = 50)".
func (s Side) String() string {
	text := s.Name
	switch s.At.Kind {
	case "first":
		text += " at first"
	case "best":
		text += " at its best"
	case "step", "KL":
		text += fmt.Sprintf(" at %s %v", s.At.Kind, s.At.Value)
	}
	var pins []string
	for _, p := range s.Where {
		pins = append(pins, p.Field+" = "+p.Value)
	}
	if pins != nil {
		text += " (" + strings.Join(pins, ", ") + ")"
	}
	return text
}

// least is how many points a trend needs.
func (c Claim) least() int {
	if strings.HasSuffix(c.Trend, "inside") {
		return 3
	}
	return 2
}

// sentence is what a claim says where its author does not.
func (c Claim) sentence() string {
	text := c.Metric + " of " + c.Of.String()
	margin := ""
	if c.By > 0 {
		margin = fmt.Sprintf(" by more than %v", c.By)
	}
	if c.Trend != "" {
		return text + " " + c.Trend + margin + ", over " + c.Over
	}
	than := fmt.Sprint(c.Number)
	if c.Than.Name != "" {
		than = "that of " + c.Than.String()
	}
	if c.Is == "equal" {
		if c.By > 0 {
			margin = fmt.Sprintf(" within %v", c.By)
		}
		return text + " equals " + than + margin
	}
	return text + " is " + c.Is + " " + than + margin
}

// direction says which values of a metric are the better ones: 1 the higher, −1
// the lower, 0 neither, so that it has no best.
func direction(metric string) int {
	for _, higher := range []string{"gold_reward", "proxy_reward", "exact/objective", "objective/exact", "win_rate", "exact/gold_p", "accuracy", "accuracies", "margin", "objective/scores", "objective/rlhf_reward"} {
		if strings.Contains(metric, higher) {
			return 1
		}
	}
	for _, lower := range []string{"loss", "exact/gap", "exact/gold_gap"} {
		if strings.Contains(metric, lower) {
			return -1
		}
	}
	return 0
}
