package sim

import (
	"cmp"
	"reflect"
	"slices"

	"rlhfsim/dpo"
	"rlhfsim/ilql"
	"rlhfsim/internal/card"
	"rlhfsim/internal/field"
	"rlhfsim/policy"
	"rlhfsim/ppo"
)

// Method is one way to align a policy.
type Method struct {
	Name string
	card.Card
	family
	preset func(c *Config) // what the method sets in its section; nil: nothing
}

// family is what all methods of a section share.
type family struct {
	Section  string // the section of an experiment file that configures them
	Offline  bool   // they learn from the people's rankings alone, no reward and no samples of their own
	section  func(c Config) any
	updates  func(c Config) int                         // gradient steps in a step; nil: one
	validate func(k *field.Checker, m Method, c Config) // what they ask for besides; nil: nothing
	unused   func(c Config, name string) string         // why a field of the section changes nothing; nil: all matter
	stream   string                                     // names their random streams; "": each its own
	build    func(s *Shared, c Config, pi *policy.Softmax) learner
}

// Methods is the table of methods that an arm can name.
var Methods = slices.Concat(
	[]Method{
		{Name: "ppo", Card: ppo.Card, family: ppoFamily},
		{Name: "dpo", Card: dpo.Card, family: dpoFamily},
		{Name: "nlpo", Card: ppo.NLPOCard, family: ppoFamily, preset: func(c *Config) { c.PPO = ppo.DefaultNLPO() }},
	},
	groupMethods(), raftMethods(), onlineMethods(),
	[]Method{{Name: "ilql", Card: ilql.Card, family: ilqlFamily}},
	lossMethods(),
	[]Method{{Name: "exact", Card: exactCard, family: exactFamily}},
)

// lossMethods are the preference losses as methods of their own: DPO with another
// loss_type. "sft" is a stage's name and stays a loss.
func lossMethods() (out []Method) {
	for _, l := range dpo.Losses {
		if l.Name != "sft" {
			out = append(out, Method{Name: l.Name, Card: l.Card, family: dpoFamily, preset: func(c *Config) {
				c.DPO.LossType = l.Name
				if l.Preset != nil {
					l.Preset(&c.DPO)
				}
			}})
		}
	}
	return out
}

// MethodByName is the method of that name.
func MethodByName(name string) (Method, bool) {
	i := slices.IndexFunc(Methods, func(m Method) bool { return m.Name == name })
	if i < 0 {
		return Method{}, false
	}
	return Methods[i], true
}

// Defaults is Default with what the method sets in its own section: what an arm
// starts from.
func (m Method) Defaults() Config {
	c := Default()
	if m.preset != nil {
		m.preset(&c)
	}
	return c
}

// DefaultFor is the Defaults of the method of that name; without one, Default.
func DefaultFor(method string) Config {
	m, _ := MethodByName(method)
	return m.Defaults()
}

// Uses says whether a field of its section matters to the method at its defaults.
func (m Method) Uses(field string) bool {
	return m.unused == nil || m.unused(m.Defaults(), field) == ""
}

// Setting is a field of a method's section that is not at the method's default.
type Setting struct {
	Field          string // dotted
	Value, Default any
	Unused         string // why it changes nothing; "" when it does change something
}

// Settings lists what was set in the section of the arm's method.
func (c Config) Settings(method string) []Setting {
	m, known := MethodByName(method)
	if !known {
		return nil
	}
	return settings(m.Section, m.section(c), m.section(m.Defaults()), func(name string) string {
		if m.unused == nil {
			return ""
		}
		return m.unused(c, name)
	})
}

// SharedSettings lists what was set in the sections of the policy and the reward model.
func (c Config) SharedSettings() []Setting {
	rank := func(name string) string {
		if name == "rank" && c.Policy.Parametrisation != policy.LowRank {
			return "only parametrisation = \"low_rank\" uses it"
		}
		return ""
	}
	return append(settings("policy", c.Policy, Default().Policy, rank), settings("reward", c.Reward, Default().Reward, c.Reward.Unused)...)
}

func settings(section string, of, standard any, unused func(name string) string) (out []Setting) {
	value, left := reflect.ValueOf(of), reflect.ValueOf(standard)
	for i := range value.NumField() {
		s := Setting{Value: value.Field(i).Interface(), Default: left.Field(i).Interface()}
		if !reflect.DeepEqual(s.Value, s.Default) {
			name := value.Type().Field(i).Tag.Get("toml")
			s.Field, s.Unused = section+"."+name, unused(name)
			out = append(out, s)
		}
	}
	return out
}

// Updates is how many gradient steps one step of the method takes.
func (m Method) Updates(c Config) int {
	if m.updates == nil {
		return 1
	}
	return m.updates(c)
}

// streamName is what the method's random streams are called: arms that differ in
// the loss alone see the same batches in the same order.
func (m Method) streamName() string { return cmp.Or(m.stream, m.Name) }

var ppoFamily = family{
	Section: "ppo", section: func(c Config) any { return c.PPO },
	updates: func(c Config) int { return c.PPO.NumPPOEpochs * c.PPO.NumMiniBatches },
	unused:  func(c Config, name string) string { return c.PPO.Unused(name) },
	stream:  "ppo", build: buildPPO,
}

var dpoFamily = family{
	Section: "dpo", Offline: true, section: func(c Config) any { return c.DPO },
	validate: validateDPO, unused: func(c Config, name string) string { return c.DPO.Unused(name) },
	stream: "dpo", build: buildDPO,
}

func buildPPO(s *Shared, c Config, pi *policy.Softmax) learner {
	t := ppo.New(c.PPO, pi, s.SFT, s.Scorer, s.World.Weights)
	if c.PPO.PtxCoef > 0 {
		t.MixPretraining(s.World.rawText(s.Config.Base, s.stream("base", "text"))) // the corpus of stage base, word for word
	}
	t.InitValueWithReward(s.stream("ppo", "value"))
	l := newLearner(t.Steps(), t.Step)
	l.diagnose = s.diagnosePPO(t, pi, c.PPO)
	return l
}

func buildDPO(s *Shared, c Config, pi *policy.Softmax) learner {
	pairs := policy.Pairs(s.Rankings)
	t := dpo.NewFrom(c.DPO, pi, s.SFT, dpo.Data{Pairs: pairs, Rankings: s.Rankings, Scorer: s.Scorer})
	l := newLearner(t.Steps(), t.Step)
	l.learn = metricsOf(t.Learn)
	if c.Evaluation.Gradient && c.DPO.LossType == "sigmoid" {
		l.diagnose = s.diagnoseDPO(pi, c.DPO, pairs)
	}
	return l
}

// EngineVersion names the numbers that this program computes. It changes
// whenever the same configuration and seed would give other bytes, so that
// results of different engines are never mixed.
const EngineVersion = "5"

// PretrainPart is the part of a configuration that decides pre-training and SFT.
func (c Config) PretrainPart() any {
	return struct {
		World      WorldConfig
		Policy     policy.Config
		Base       BaseConfig
		SFT        SFTConfig
		Evaluation EvaluationConfig
	}{c.World, c.Policy, c.Base, c.SFT, c.Evaluation}
}

// Restorable says whether the logits of base and SFT policy and the reward
// model's tensors are all that arms start from: other parametrisations than the
// free table hold more than their logits.
func (c Config) Restorable() bool { return c.Policy.Parametrisation == policy.Table }

// SharedPart is the part of a configuration that decides the shared stages:
// two configurations with equal parts have the same Shared for every seed.
func (c Config) SharedPart() any {
	return struct {
		World      WorldConfig
		Policy     policy.Config
		Base       BaseConfig
		SFT        SFTConfig
		Labels     LabelsConfig
		Reward     any
		Evaluation EvaluationConfig
	}{c.World, c.Policy, c.Base, c.SFT, c.Labels, c.Reward, c.Evaluation}
}

// OwnPart is what decides an arm beyond the shared stages: the method and its
// own section, and the objective it is measured by.
func (a Arm) OwnPart() any {
	m, _ := MethodByName(a.Method)
	return struct {
		Method    string
		Objective ObjectiveConfig
		Section   any
	}{a.Method, a.Config.Objective, m.section(a.Config)}
}
