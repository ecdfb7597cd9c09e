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

// Groups lists the finished work in the order of the tables: for each point the
// shared stages, then the arms.
func (r *Run) Groups() []Group {
	var groups []Group
	for point, p := range r.Experiment.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			groups = append(groups, r.groups(point, arm)...)
		}
	}
	return groups
}

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

func (r *Run) cell(id cellID) *cell {
	if id.arm < 0 {
		return r.shared[id]
	}
	return r.arms[id]
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

// metricNames is every metric of the groups, in order of first appearance.
func metricNames(groups []Group) []string {
	var names []string
	seen := map[string]bool{}
	for _, g := range groups {
		for _, rows := range g.Runs {
			for _, row := range rows {
				for _, m := range row.Metrics {
					if !seen[m.Name] {
						seen[m.Name] = true
						names = append(names, m.Name)
					}
				}
			}
		}
	}
	return names
}
