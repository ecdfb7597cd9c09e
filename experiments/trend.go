package experiments

import (
	"math"
	"slices"

	"rlhfsim/internal/stats"
	"rlhfsim/sim"
)

// rows are a stage's records at a point, for one seed; ok is false where its cell
// failed.
func (r *Run) rows(point int, name string, seed int) (rows []sim.Row, ok bool) {
	arm := slices.IndexFunc(r.Experiment.Points[point].Arms, func(a Arm) bool { return a.Name == name })
	all, ok := r.forClaims[cellID{point, arm, seed}]
	for _, row := range all {
		if arm >= 0 || row.Stage == name {
			rows = append(rows, row)
		}
	}
	return rows, ok
}

// readings are the records that have both metrics; x may be "step".
func readings(rows []sim.Row, x, metric string) (xs, ys []float64) {
	for _, row := range rows {
		at, y := float64(row.Step), row.Get(metric)
		if x != overStep {
			at = row.Get(x)
		}
		if !math.IsNaN(at) && !math.IsNaN(y) { // Get is NaN where there is none
			xs, ys = append(xs, at), append(ys, y)
		}
	}
	return xs, ys
}

// read is the metric at that moment of a stage.
func (m Moment) read(rows []sim.Row, metric string) (value float64, measured bool) {
	x := overStep
	if m.Kind == "KL" {
		x = overKL
	}
	xs, ys := readings(rows, x, metric)
	if len(ys) == 0 {
		return 0, false
	}
	switch m.Kind {
	case "first":
		return ys[0], true
	case "last":
		return ys[len(ys)-1], true
	case "best":
		if direction(metric) < 0 {
			return slices.Min(ys), true
		}
		return slices.Max(ys), true
	}
	return crossing(xs, ys, m.Value)
}

// crossing is y where x first passes the value, linear between records.
func crossing(xs, ys []float64, value float64) (y float64, crossed bool) {
	for i, x := range xs {
		switch {
		case x == value:
			return ys[i], true
		case i > 0 && (xs[i-1] < value) == (value < x):
			share := (value - xs[i-1]) / (x - xs[i-1])
			return ys[i-1] + float64(share*(ys[i]-ys[i-1])), true
		}
	}
	return 0, false
}

// trendCurves are a metric along a claim's axis, one curve for each seed, all of
// the same length. Seeds without one are counted.
func (r *Run) trendCurves(c Claim, points []int) (curves [][]float64, missing int) {
	var runs [][]sim.Row
	for seed := range r.Experiment.Seeds {
		var y []float64
		var last []sim.Row
		there := true
		for _, point := range points {
			rows, ok := r.rows(point, c.Of.Name, seed)
			there, last = there && ok, rows
			if v, measured := c.Of.At.read(rows, c.Metric); measured {
				y = append(y, v)
			}
		}
		switch {
		case !there:
		case len(y) < len(points):
			missing++
		default:
			curves, runs = append(curves, y), append(runs, last)
		}
	}
	switch c.Over {
	case overStep:
		curves = alongSteps(runs, c.Metric)
	case overKL:
		curves = alongKL(runs, c.Metric)
	}
	if len(curves) > 0 && len(curves[0]) < c.least() {
		return nil, len(curves)
	}
	return curves, missing
}

// alongSteps reads a metric at the steps at which every seed records it. (Seeds
// may take a different number of steps: identical responses make no pair.)
func alongSteps(runs [][]sim.Row, metric string) (curves [][]float64) {
	count := map[float64]int{}
	for _, rows := range runs {
		steps, _ := readings(rows, overStep, metric)
		for _, s := range steps {
			count[s]++
		}
	}
	for _, rows := range runs {
		var y []float64
		steps, values := readings(rows, overStep, metric)
		for i, s := range steps {
			if count[s] == len(runs) {
				y = append(y, values[i])
			}
		}
		curves = append(curves, y)
	}
	return curves
}

// klPoints is how finely a trend over KL is read: KL evenly spaced from 0 to the
// largest that every seed reaches.
const klPoints = 21

func alongKL(runs [][]sim.Row, metric string) (curves [][]float64) {
	var most []float64
	for _, rows := range runs {
		kl, _ := readings(rows, overKL, metric)
		most = append(most, slices.Max(kl))
	}
	for _, rows := range runs {
		kl, values := readings(rows, overKL, metric)
		var y []float64
		for i := range klPoints {
			// The first record stands at a KL of 0, but for rounding.
			v, crossed := crossing(kl, values, float64(slices.Min(most)*float64(i))/(klPoints-1))
			if !crossed {
				v = values[0]
			}
			y = append(y, v)
		}
		curves = append(curves, y)
	}
	return curves
}

// fittedRise is how much the least-squares line through a curve, its points
// evenly spaced, rises from the first to the last.
func fittedRise(y []float64) float64 {
	middle := float64(len(y)-1) / 2
	rise, scale := 0.0, 0.0
	for i, v := range y {
		d := float64(i) - middle
		rise += float64(d * v)
		scale += float64(d * d)
	}
	return rise / scale * float64(len(y)-1)
}

// peaks is how far each curve's peak stands above the higher of its ends. The
// place of a seed's peak is where the mean of the other seeds is highest inside:
// chosen by its own curve, noise alone would make a peak.
func peaks(curves [][]float64) []float64 {
	var out []float64
	for i, y := range curves {
		others := slices.Concat(curves[:i], curves[i+1:])
		if len(curves) == 1 { // one seed is no verdict, but its number is shown
			others = curves
		}
		out = append(out, y[highestInside(others)]-max(y[0], y[len(y)-1]))
	}
	return out
}

func highestInside(curves [][]float64) int {
	best, top := 1, 0.0
	for k := 1; k < len(curves[0])-1; k++ {
		var column []float64
		for _, y := range curves {
			column = append(column, y[k])
		}
		if m := stats.Mean(column); k == 1 || m > top {
			best, top = k, m
		}
	}
	return best
}

func negated(curves [][]float64) [][]float64 {
	var out [][]float64
	for _, y := range curves {
		var n []float64
		for _, v := range y {
			n = append(n, -v)
		}
		out = append(out, n)
	}
	return out
}
