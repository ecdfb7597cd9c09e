package sim

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// Every metric that a run records is named, for every method there is, and
// nothing is named that no world records.
func TestMetricNamesAreThoseOfARun(t *testing.T) {
	c := smallConfig()
	c.Evaluation.Gradient = true
	s := mustShared(t, c, 1)
	rows := s.Rows
	for _, m := range Methods {
		result, err := s.RunArm(context.Background(), Arm{Method: m.Name, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, result.Rows...)
	}
	recorded := map[string][]string{}
	for _, row := range rows {
		for _, m := range row.Metrics {
			if names := c.MetricNames(row.Stage); !slices.Contains(names, m.Name) && !strings.HasPrefix(m.Name, "mc/") {
				t.Fatalf("stage %s records %s, which is not among its metrics; is the method in `trained`?", row.Stage, m.Name)
			}
			recorded[row.Stage] = append(recorded[row.Stage], m.Name)
		}
	}
	for stage, names := range recorded {
		for _, name := range c.MetricNames(stage) {
			if !slices.Contains(names, name) && !strings.HasPrefix(name, "mc/") {
				t.Errorf("stage %s never records %s", stage, name)
			}
		}
	}
}
