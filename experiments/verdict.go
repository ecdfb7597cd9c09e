package experiments

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"rlhfsim/internal/stats"
	"rlhfsim/sim"
)

// What a run says of a claim.
const (
	holds     = "holds"
	fails     = "fails"
	undecided = "undecided"
)

// minSeeds is the least number of seeds for a verdict. Fewer cannot carry a 95 %
// interval: n fair coins all fall on one side with probability 2^(1−n), which
// is 6 % at n = 5 and 25 % at n = 3.
const minSeeds = 5

// Verdict is what a run says of one claim, at one combination of the swept
// fields that the claim leaves open.
type Verdict struct {
	Claim       int               `json:"claim"` // its number in the file, from 1
	Says        string            `json:"says"`
	Metric      string            `json:"metric"`
	At          map[string]string `json:"at,omitempty"` // the open swept fields
	Verdict     string            `json:"verdict"`      // holds, fails or undecided
	Difference  stats.Interval    `json:"difference"`   // between the sides, or the trend's size
	By          float64           `json:"by"`
	SeedsNeeded int               `json:"seeds_needed,omitempty"` // an estimate, where undecided; 0 = unknown
	Note        string            `json:"note,omitempty"`
}

// Verdicts judges every claim of the experiment.
func (r *Run) Verdicts() []Verdict {
	if r.verdicts != nil {
		return r.verdicts
	}
	if r.forClaims == nil {
		r.forClaims = r.gather()
	}
	out := []Verdict{} // not nil: [] in JSON
	for i, c := range r.Experiment.Claims {
		for _, points := range r.Experiment.places(c) {
			v := Verdict{Claim: i + 1, Says: c.Says, Metric: c.Metric, By: c.By, At: r.Experiment.open(c, points[0])}
			values, note := r.contrasts(c, points)
			v.decide(c, values)
			if note != "" {
				v.Verdict, v.SeedsNeeded, v.Note = undecided, 0, note
			}
			out = append(out, v)
		}
	}
	r.verdicts, r.forClaims = out, nil
	return out
}

// gather reads every cell once and keeps of its rows what claims are about.
func (r *Run) gather() map[cellID][]sim.Row {
	kept := map[cellID][]sim.Row{}
	if len(r.Experiment.Claims) == 0 {
		return kept
	}
	wanted := map[string]bool{overKL: true}
	for _, c := range r.Experiment.Claims {
		wanted[c.Metric] = true
	}
	for point, p := range r.Experiment.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			for seed := range r.Experiment.Seeds {
				id := cellID{point, arm, seed}
				c := r.cell(id)
				if c == nil {
					continue
				}
				for _, row := range c.Rows {
					own := row
					own.Metrics = nil // a copy of its own size: most metrics are not wanted
					for _, m := range row.Metrics {
						if wanted[m.Name] {
							own.Metrics = append(own.Metrics, m)
						}
					}
					kept[id] = append(kept[id], own)
				}
			}
		}
	}
	return kept
}

// places are the points at which a claim is made: one at a time for a
// comparison and a trend over training, all points along the axis, in order,
// for a trend over a swept field.
func (e *Experiment) places(c Claim) [][]int {
	axis := slices.Index(e.Swept, c.Over)
	var out [][]int
	for point, p := range e.Points {
		if !e.matches(p, c.Of.Where) {
			continue
		}
		i := -1
		if axis >= 0 {
			i = slices.IndexFunc(out, func(points []int) bool { return sameBut(e.Points[points[0]].Values, p.Values, axis) })
		}
		if i < 0 {
			out = append(out, []int{point})
		} else {
			out[i] = append(out[i], point)
		}
	}
	if axis >= 0 {
		for _, points := range out {
			slices.SortStableFunc(points, func(a, b int) int {
				return byNumber(e.Points[a].Values[axis], e.Points[b].Values[axis])
			})
		}
	}
	return out
}

func (e *Experiment) matches(p Point, where []Pin) bool {
	return !slices.ContainsFunc(where, func(pin Pin) bool { return p.Values[slices.Index(e.Swept, pin.Field)] != pin.Value })
}

// sameBut says whether two points differ in one field at most.
func sameBut(a, b []string, axis int) bool {
	for i := range a {
		if i != axis && a[i] != b[i] {
			return false
		}
	}
	return true
}

// byNumber orders values that are numbers; others keep the order of the file.
func byNumber(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	switch {
	case errX != nil || errY != nil || x == y:
		return 0
	case x < y:
		return -1
	}
	return 1
}

// open are the swept fields that the claim leaves open, with their values at a
// point.
func (e *Experiment) open(c Claim, point int) map[string]string {
	var out map[string]string
	for i, field := range e.Swept {
		if _, pinned := c.Of.pinned(field); pinned || field == c.Over {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[field] = e.Points[point].Values[i]
	}
	return out
}

// other is the point that than is read at: where, and else as at the point given.
func (e *Experiment) other(point int, where []Pin) int {
	values := slices.Clone(e.Points[point].Values)
	for _, pin := range where {
		values[slices.Index(e.Swept, pin.Field)] = pin.Value
	}
	return slices.IndexFunc(e.Points, func(p Point) bool { return slices.Equal(p.Values, values) })
}

// contrasts is the number that a claim is about, for each seed whose cells are
// there: paired by seed where there are two sides. note says why a seed has none.
func (r *Run) contrasts(c Claim, points []int) (values []float64, note string) {
	if c.Trend != "" {
		return r.trendContrasts(c, points)
	}
	missing := 0
	for seed := range r.Experiment.Seeds {
		a, there := r.rows(points[0], c.Of.Name, seed)
		if !there {
			continue
		}
		difference, measured := c.Of.At.read(a, c.Metric)
		number := c.Number
		if c.Than.Name != "" {
			b, there := r.rows(r.Experiment.other(points[0], c.Than.Where), c.Than.Name, seed)
			if !there {
				continue
			}
			var too bool
			number, too = c.Than.At.read(b, c.Metric)
			measured = measured && too
		}
		if !measured {
			missing++
			continue
		}
		values = append(values, difference-number)
	}
	return values, unmeasured(missing)
}

func (r *Run) trendContrasts(c Claim, points []int) (values []float64, note string) {
	curves, missing := r.trendCurves(c, points)
	switch c.Trend {
	case "rises", "falls":
		for _, y := range curves {
			values = append(values, fittedRise(y))
		}
	case "peaks inside":
		values = peaks(curves)
	case "dips inside":
		values = peaks(negated(curves))
	}
	return values, unmeasured(missing)
}

func unmeasured(seeds int) string {
	if seeds == 0 {
		return ""
	}
	return fmt.Sprintf("%s without a value: the metric is not recorded there, or the stage never gets there", plural(seeds, "seed"))
}

// decide compares the interval of the values with the claim's boundary: it holds
// where the whole interval is on the claimed side, and fails where all of it is
// on the other.
func (v *Verdict) decide(c Claim, values []float64) {
	v.Verdict, v.Difference = undecided, interval(values, c.Metric)
	is := c.Is
	switch c.Trend {
	case "rises", "peaks inside", "dips inside":
		is = "above"
	case "falls":
		is = "below"
	}
	low, high, by := v.Difference.Low, v.Difference.High, c.By
	exact := is == "equal" && by == 0 // to the last digit, in every seed: needs no interval
	if len(values) == 0 || len(values) < minSeeds && !exact {
		v.Note = fmt.Sprintf("%s; an interval needs at least %d", plural(len(values), "seed"), minSeeds)
		v.SeedsNeeded = minSeeds
		return
	}
	switch is {
	case "above":
		v.Verdict = sideOf(low > by, high <= by)
	case "below":
		v.Verdict = sideOf(high < -by, low >= -by)
	case "equal":
		v.Verdict = sideOf(low >= -by && high <= by, low > by || high < -by || exact)
	}
	if v.Verdict == undecided {
		if n := stats.SeedsNeeded(stats.SD(values), boundary(is, by, v.Difference.Mean), level, maxSeeds); n > 0 {
			v.SeedsNeeded = max(n, len(values)+1)
		}
	}
}

func sideOf(claimed, other bool) string {
	switch {
	case claimed:
		return holds
	case other:
		return fails
	}
	return undecided
}

// boundary is how far the mean is from where the verdict changes.
func boundary(is string, by, mean float64) float64 {
	switch is {
	case "above":
		return math.Abs(mean - by)
	case "below":
		return math.Abs(mean + by)
	}
	return math.Abs(by - math.Abs(mean))
}
