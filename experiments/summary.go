package experiments

import (
	"slices"

	"rlhfsim/internal/stats"
	"rlhfsim/sim"
)

// The interval of every table and figure: 95 %, by resampling seeds.
const (
	level     = 0.95
	resamples = 2000
)

// Group is one line of work over all its seeds: a stage of a point, shared
// (Arm < 0) or of an arm.
type Group struct {
	Point, Arm int
	Stage      string
	Runs       [][]sim.Row // [seeds] the stage's records, first to last
}

// groups lists the finished work of a point's arm, or of its shared stages, in
// the order of the tables.
func (r *Run) groups(point, arm int) []Group {
	var groups []Group
	for seed := range r.Experiment.Seeds {
		c := r.cell(cellID{point, arm, seed})
		if c == nil {
			continue
		}
		for _, row := range c.Rows {
			i := slices.IndexFunc(groups, func(g Group) bool { return g.Stage == row.Stage })
			if i < 0 {
				i = len(groups)
				groups = append(groups, Group{Point: point, Arm: arm, Stage: row.Stage})
			}
			g := &groups[i]
			if row.Step == 0 {
				g.Runs = append(g.Runs, nil)
			}
			last := len(g.Runs) - 1
			g.Runs[last] = append(g.Runs[last], row)
		}
	}
	return groups
}

// Final is the metric at each seed's last record that has it.
func (g Group) Final(metric string) []float64 {
	var values []float64
	for _, rows := range g.Runs {
		for _, m := range rows[len(rows)-1].Metrics {
			if m.Name == metric {
				values = append(values, m.Value)
			}
		}
	}
	return values
}

// exactOr is the exact metric's name, or the estimate's where the world is too
// large for the exact one.
func (g Group) exactOr(name string) string {
	if len(g.Final("exact/"+name)) == 0 && len(g.Final("mc/"+name)) > 0 {
		return "mc/" + name
	}
	return "exact/" + name
}

// Interval is the mean over seeds of the metric at the end, with its interval.
func (g Group) Interval(metric string) stats.Interval {
	return interval(g.Final(metric), metric)
}

// interval names its resampling stream after the metric, so that no number
// depends on which others were computed before it, and equal values of a metric
// have equal intervals wherever they stand.
func interval(values []float64, metric string) stats.Interval {
	return stats.Bootstrap(values, level, resamples, metric)
}

// metricNames is every metric of the run, in order of first appearance.
func (r *Run) metricNames() []string {
	var names []string
	seen := map[string]bool{}
	for point, p := range r.Experiment.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			for _, name := range r.metricNamesOf(point, arm, "") {
				if !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// metricNamesOf is every metric of an arm's cells, of one stage or of all ("").
func (r *Run) metricNamesOf(point, arm int, stage string) []string {
	var stages []string
	for seed := range r.Experiment.Seeds {
		if s := r.names[cellID{point, arm, seed}]; s != nil {
			for _, name := range s.stages {
				if !slices.Contains(stages, name) && (stage == "" || stage == name) {
					stages = append(stages, name)
				}
			}
		}
	}
	var names []string
	seen := map[string]bool{}
	for _, stage := range stages {
		for seed := range r.Experiment.Seeds {
			s := r.names[cellID{point, arm, seed}]
			if s == nil {
				continue
			}
			for _, name := range s.names[stage] {
				if !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return names
}
