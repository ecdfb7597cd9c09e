package figure

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
)

// pen is how a series is drawn.
type pen struct {
	look
	width   vg.Length
	open    bool // markers without filling
	noLine  bool
	noMarks bool
}

// pen chooses the appearance of a series within its panel.
func (p *Panel) pen(s Series) pen {
	k := pen{look: s.Style.look(), width: lineWidth}
	for _, other := range p.Series {
		if other.Dash {
			k.dash = nil // the dash tells the quantity, not the style
		}
	}
	switch {
	case s.Dotted:
		return exactPen(s.Style)
	case s.Points:
		k.noLine, k.open = true, s.Dash
	case s.Dash:
		k.dash, k.open = forced, true
	}
	return k
}

// exactPen draws exact quantities.
func exactPen(s Style) pen {
	k := pen{look: s.look(), width: exactWidth, noMarks: true}
	k.dash = dotted
	return k
}

// runs lists the stretches of consecutive points for which ok holds, as
// half-open index ranges.
func runs(n int, ok func(int) bool) [][2]int {
	var out [][2]int
	for i := 0; i < n; i++ {
		if !ok(i) {
			continue
		}
		start := i
		for i < n && ok(i) {
			i++
		}
		out = append(out, [2]int{start, i})
	}
	return out
}

func (s Series) drawable(i int) bool { return usable(s.X[i]) && usable(s.Y[i]) }

func (s Series) hasInterval(i int) bool {
	return s.Mark == "" && s.Lo != nil && s.drawable(i) && usable(s.Lo[i]) && usable(s.Hi[i])
}

// bandPath lists lo forward and hi backward over one run.
func (t *tile) bandPath(s Series, r [2]int) []vg.Point {
	var pts []vg.Point
	for i := r[0]; i < r[1]; i++ {
		pts = append(pts, t.at(s.X[i], s.Lo[i]))
	}
	for i := r[1] - 1; i >= r[0]; i-- {
		pts = append(pts, t.at(s.X[i], s.Hi[i]))
	}
	return pts
}

// drawBands draws the intervals of the lines.
func (t *tile) drawBands(c vg.Canvas) {
	for _, s := range t.p.Series {
		if s.Points || s.Lo == nil {
			continue
		}
		in := s.Style.look().line
		for _, r := range runs(len(s.X), s.hasInterval) {
			if r[1]-r[0] == 1 {
				i := r[0]
				if t.x.holds(s.X[i]) {
					t.whisker(c, t.at(s.X[i], 0).X, s.Lo[i], s.Hi[i], 4, in)
				}
				continue
			}
			fill(c, t.data.ClipPolygonXY(t.bandPath(s, r)), alpha(in, bandAlpha))
		}
	}
}

// drawReferences draws the diagonal and the horizontal lines.
func (t *tile) drawReferences(c vg.Canvas) {
	if t.p.Diagonal {
		k := exactPen(Neutral)
		for _, l := range t.diagonal() {
			stroke(c, l, k.line, k.width, k.dash)
		}
	}
	for _, h := range t.p.HLines {
		if !usable(h.Y) || !t.y.holds(h.Y) {
			continue
		}
		k, y := exactPen(h.Style), t.at(t.x.lo, h.Y).Y
		stroke(c, []vg.Point{{X: t.data.Min.X, Y: y}, {X: t.data.Max.X, Y: y}}, k.line, k.width, k.dash)
	}
}

// diagonal is the visible part of y = x.
func (t *tile) diagonal() [][]vg.Point {
	lo, hi := math.Max(t.x.lo, t.y.lo), math.Min(t.x.hi, t.y.hi)
	if lo >= hi {
		return nil
	}
	return [][]vg.Point{{t.at(lo, lo), t.at(hi, hi)}}
}

// path lists the visible polylines of a series.
func (t *tile) path(s Series) [][]vg.Point {
	var out [][]vg.Point
	for _, r := range runs(len(s.X), s.drawable) {
		var pts []vg.Point
		for i := r[0]; i < r[1]; i++ {
			pts = append(pts, t.at(s.X[i], s.Y[i]))
		}
		out = append(out, t.data.ClipLinesXY(pts)...)
	}
	return out
}

// drawSeries draws lines first and markers on top.
func (t *tile) drawSeries(c vg.Canvas) {
	for _, s := range t.p.Series {
		k := t.p.pen(s)
		if k.noLine {
			continue
		}
		for _, l := range t.path(s) {
			stroke(c, l, k.line, k.width, k.dash)
		}
	}
	for i, s := range t.p.Series {
		k := t.p.pen(s)
		for _, j := range t.marked(i, k) {
			at, away := t.spot(s, j)
			if away != (vg.Point{}) {
				outward(c, at, away, k)
				continue
			}
			if k.noLine && s.hasInterval(j) {
				t.whisker(c, at.X, s.Lo[j], s.Hi[j], 4, k.line)
			}
			t.marker(c, at, k, s)
		}
	}
}

func (t *tile) marker(c vg.Canvas, at vg.Point, k pen, s Series) {
	if k.noMarks { // a lone exact point
		circle.draw(c, at, 1.3, k.line, false)
		return
	}
	r := vg.Length(markerR)
	if s.Points && s.Mark == "" {
		r *= 1.15
	}
	k.marker.draw(c, at, r, color.Color(k.line), k.open)
}

// visible lists the points of a series that are drawn: those inside the panel,
// and all marked ones.
func (t *tile) visible(s Series) []int {
	var out []int
	for i := range s.X {
		if s.drawable(i) && (s.Mark != "" || t.x.holds(s.X[i]) && t.y.holds(s.Y[i])) {
			out = append(out, i)
		}
	}
	return out
}

// marked chooses the points that carry a marker: all of a few, else some at
// even distances, shifted between series, and always the last.
func (t *tile) marked(series int, k pen) []int {
	s := t.p.Series[series]
	vis := t.visible(s)
	if k.noMarks {
		if len(vis) == 1 && !slices.ContainsFunc(t.path(s), func(l []vg.Point) bool { return len(l) > 1 }) {
			return vis
		}
		return nil
	}
	if k.noLine || len(vis) <= 8 {
		return vis
	}
	spacing := t.data.Size().X / 6
	next := spacing * vg.Length(math.Mod(0.25+0.4*float64(series), 1))
	var out []int
	from := t.at(s.X[vis[0]], s.Y[vis[0]])
	for _, i := range vis {
		at := t.at(s.X[i], s.Y[i])
		if dist(from, at) >= next {
			out, from, next = append(out, i), at, spacing
		}
	}
	return endMark(out, vis[len(vis)-1], func(i int) bool {
		last := vis[len(vis)-1]
		return dist(t.at(s.X[i], s.Y[i]), t.at(s.X[last], s.Y[last])) < spacing/2
	})
}

// endMark appends the last point, dropping a marker too close to it.
func endMark(marks []int, last int, close func(int) bool) []int {
	if n := len(marks); n > 0 && close(marks[n-1]) {
		marks = marks[:n-1]
	}
	return append(marks, last)
}

func dist(a, b vg.Point) vg.Length {
	return vg.Length(math.Hypot(float64(a.X-b.X), float64(a.Y-b.Y)))
}
