package figure

import (
	"math"
	"sort"

	"gonum.org/v1/plot/vg"
)

// Geometry of a label right of the axes: a leader, a sample of the line, the
// text.
const (
	keyStart = 8.0
	keyEnd   = 25.0
	keyWidth = 14.0
	minText  = 5.0
)

// label names a line.
type label struct {
	lines  []string
	pen    pen
	series int     // index, or -1 for a reference line
	y      float64 // height of a reference line
	target vg.Point
	rect   vg.Rectangle
	leader bool
	forced bool // no free spot was found
	mark   bool // of a crowd's point
	arrow  bool // which lies beyond the axes
	size   vg.Length
}

// findLabels decides which labels stand right of the axes (lines that end
// there and horizontal lines) and which among the data.
func (t *tile) findLabels() {
	for i, s := range t.p.Series {
		vis := t.visible(s)
		if s.Label == "" || len(vis) == 0 {
			continue
		}
		l := label{pen: t.p.pen(s), series: i, lines: t.wrapLabel(s.Label), size: directSize}
		if s.Mark != "" {
			l.lines, l.mark, l.size = []string{clean(s.Mark)}, true, markSize
		}
		if t.x.frac(s.X[vis[len(vis)-1]]) > 0.9 && len(vis) > 1 && !s.Points && !t.p.crowded() { // a crowd needs the width
			t.margin = append(t.margin, l)
		} else {
			t.inline = append(t.inline, l)
		}
	}
	for _, h := range t.p.HLines {
		if h.Label == "" || !usable(h.Y) || !t.y.holds(h.Y) {
			continue
		}
		t.margin = append(t.margin, label{
			pen: exactPen(h.Style), series: -1, y: h.Y,
			lines: t.wrapLabel(h.Label),
		})
	}
	if t.p.Diagonal && t.p.hasData() && len(t.diagonal()) > 0 {
		t.inline = append(t.inline, label{pen: exactPen(Neutral), series: -1, lines: []string{"y = x"}, size: directSize})
	}
}

// wrapLabel breaks a label so that it leaves most of the width to the data;
// many labels are kept lower instead.
func (t *tile) wrapLabel(s string) []string {
	share := vg.Length(0.2)
	if len(t.p.Series)+len(t.p.HLines) > 4 {
		share = 0.3
	}
	limit := max(t.cellW*share, longestWord(s, directSize, false))
	return balanced(s, directSize, false, min(limit, t.cellW*0.3))
}

// aim finds the point a label in the margin belongs to.
func (t *tile) aim(l *label) {
	if l.series < 0 {
		l.target = vg.Point{X: t.data.Max.X, Y: t.at(t.x.lo, l.y).Y}
		return
	}
	s := t.p.Series[l.series]
	vis := t.visible(s)
	last := vis[len(vis)-1]
	l.target = t.at(s.X[last], s.Y[last])
}

// placeMargin spreads the labels on the right so that none overlap, with
// smaller type if there are too many.
func (t *tile) placeMargin() {
	if len(t.margin) == 0 {
		return
	}
	lo, hi := float64(t.data.Min.Y-5), float64(t.data.Max.Y+6)
	want, size := make([]float64, len(t.margin)), make([]float64, len(t.margin))
	measure := func() (total float64) {
		for i, l := range t.margin {
			size[i] = float64(blockHeight(len(l.lines), t.marginText) + 2.5)
			total += size[i]
		}
		return total
	}
	for total := measure(); total > hi-lo && t.marginText > minText; total = measure() {
		t.marginText -= 0.25
	}
	for i := range t.margin {
		t.aim(&t.margin[i])
		want[i] = float64(t.margin[i].target.Y)
	}
	for i, y := range spread(want, size, lo, hi) {
		l := &t.margin[i]
		h := blockHeight(len(l.lines), t.marginText)
		l.rect.Min = vg.Point{X: t.data.Max.X + keyEnd, Y: vg.Length(y) - h/2}
		l.rect.Max = vg.Point{X: t.box.Max.X, Y: vg.Length(y) + h/2}
	}
}

// spread returns the centres of intervals of the given sizes, as close to the
// wanted centres as possible (least squares) without overlap, keeping the
// order of the wanted centres and staying within lo and hi. If the intervals
// do not fit they start at lo and stay apart.
func spread(want, size []float64, lo, hi float64) []float64 {
	order := make([]int, len(want))
	total := 0.0
	for i := range order {
		order[i] = i
		total += size[i]
	}
	sort.SliceStable(order, func(a, b int) bool { return want[order[a]] < want[order[b]] })
	// Shift each wanted centre by the room taken below it: what remains is
	// to make the shifted values non-decreasing.
	type pool struct{ sum, n float64 }
	var pools []pool
	offset := make([]float64, len(want))
	below := 0.0
	for _, i := range order {
		offset[i] = below + size[i]/2
		below += size[i]
		pools = append(pools, pool{want[i] - offset[i], 1})
		for k := len(pools) - 1; k > 0 && pools[k-1].sum/pools[k-1].n > pools[k].sum/pools[k].n; k-- {
			pools[k-1] = pool{pools[k-1].sum + pools[k].sum, pools[k-1].n + pools[k].n}
			pools = pools[:k]
		}
	}
	out := make([]float64, len(want))
	next := 0
	for _, p := range pools {
		z := math.Max(lo, math.Min(p.sum/p.n, hi-total))
		for range int(p.n) {
			out[order[next]] = z + offset[order[next]]
			next++
		}
	}
	return out
}

// drawLabels draws all labels with their leaders and samples.
func (t *tile) drawLabels(c vg.Canvas) {
	for _, l := range t.margin {
		y := (l.rect.Min.Y + l.rect.Max.Y) / 2
		x := t.data.Max.X + keyStart
		if lead := []vg.Point{l.target, {X: x, Y: y}}; l.series < 0 && math.Abs(float64(y-l.target.Y)) < 0.5 {
			stroke(c, lead, l.pen.line, l.pen.width, l.pen.dash)
		} else {
			stroke(c, lead, alpha(l.pen.line, 0xA0), 0.5, nil)
		}
		l.pen.sample(c, vg.Point{X: x, Y: y})
		text{size: t.marginText, ink: l.pen.text}.middle(c, l.rect.Min.X, y, l.lines)
	}
	for _, l := range t.inline {
		if l.leader {
			at := l.reach()
			end := nearest(grow(l.rect, at.clear), l.target)
			start := l.target.Add(end.Sub(l.target).Scale(min(1, (markerR+at.start)/max(dist(end, l.target), 1))))
			stroke(c, []vg.Point{start, end}, l.pen.line, 0.5, nil)
		}
		if l.forced {
			fill(c, corners(l.rect), alpha(white, 0xD0))
		}
		text{size: l.size, ink: l.pen.text}.below(c, l.rect.Min.X, l.rect.Max.Y, l.lines)
	}
}

// sample draws a short piece of the line with its marker.
func (k pen) sample(c vg.Canvas, at vg.Point) {
	if !k.noLine {
		stroke(c, []vg.Point{at, {X: at.X + keyWidth, Y: at.Y}}, k.line, k.width, k.dash)
	}
	if !k.noMarks {
		k.marker.draw(c, vg.Point{X: at.X + keyWidth/2, Y: at.Y}, markerR, k.line, k.open)
	}
}
