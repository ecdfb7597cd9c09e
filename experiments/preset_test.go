package experiments

import (
	"fmt"
	"path/filepath"
	"testing"

	"rlhfsim/ppo"
	"rlhfsim/sim"
)

const presets = head + `
[grpo]
learning_rate = 0.01
[grid]
"grpo.epsilon" = [0.1, 0.3]
[[arm]]
method = "dapo"
[[arm]]
method = "rloo"
grpo.num_generations = 2
[[arm]]
method = "best_of_n"
`

// A method's own defaults hold where nobody wrote the field: file, sweep, arm
// and command line win over them.
func TestPresetsOfMethods(t *testing.T) {
	e, report := load(t, presets, "grpo.delta=2")
	if report != "" {
		t.Fatal(report)
	}
	for i, epsilon := range []float64{0.1, 0.3} {
		arms := e.Points[i].Arms
		dapo, rloo, best := arms[0].Config.GRPO, arms[1].Config.GRPO, arms[2].Config.RAFT
		for _, c := range []ppo.GroupConfig{dapo, rloo} {
			if c.LearningRate != 0.01 || c.Epsilon != epsilon || c.Delta != 2 || c.Beta != arms[0].Config.Objective.Beta {
				t.Errorf("point %d: %+v", i, c)
			}
		}
		if dapo.EpsilonHigh != 0.28 || !dapo.DynamicSampling || rloo.Advantage != "leave_one_out" || rloo.NumGenerations != 2 || best.SampleFrom != "reference" {
			t.Errorf("point %d: presets %+v, %+v, %+v", i, dapo, rloo, best)
		}
	}
	path := filepath.Join(t.TempDir(), "resolved.toml")
	writeFile(t, path, e.Resolved)
	again, err := Load(path, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, e.Resolved)
	}
	if fmt.Sprint(e.Points) != fmt.Sprint(again.Points) || string(e.Resolved) != string(again.Resolved) {
		t.Errorf("the resolved file means something else:\n%s", e.Resolved)
	}
}

// Every method of the table stands in a file under its name.
func TestEveryMethodLoads(t *testing.T) {
	for _, m := range sim.Methods {
		e, report := load(t, fmt.Sprintf("%s[[arm]]\nmethod = %q\n", head, m.Name))
		if report != "" {
			t.Errorf("%s: %s", m.Name, report)
			continue
		}
		if m.Updates(e.Points[0].Arms[0].Config) < 1 {
			t.Errorf("%s takes no updates", m.Name)
		}
	}
}
