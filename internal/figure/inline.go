package figure

import (
	"math"
	"strings"

	"gonum.org/v1/plot/vg"
)

// segment is a straight piece of something drawn.
type segment struct{ a, b vg.Point }

// scene is what a label must not cover.
type scene struct {
	lines  []segment // weight 1
	edges  []segment // edges of bands, of lesser weight
	blocks []vg.Rectangle
	points []vg.Point     // of a crowd
	labels []vg.Rectangle // those placed so far
	leads  []segment      // and their leaders
}

func (s *scene) polyline(pts []vg.Point) {
	for i := 1; i < len(pts); i++ {
		s.lines = append(s.lines, segment{pts[i-1], pts[i]})
	}
}

// scene collects the lines, markers, intervals and bars of the panel.
func (t *tile) scene() *scene {
	sc := &scene{}
	for i, s := range t.p.Series {
		k := t.p.pen(s)
		if !k.noLine {
			for _, l := range t.path(s) {
				sc.polyline(l)
			}
		}
		for _, j := range t.marked(i, k) {
			at, away := t.spot(s, j)
			sc.blocks = append(sc.blocks, blockOf(at, away))
			if s.Mark != "" {
				sc.points = append(sc.points, at)
			}
			if k.noLine && s.hasInterval(j) {
				sc.lines = append(sc.lines, segment{t.at(s.X[j], s.Lo[j]), t.at(s.X[j], s.Hi[j])})
			}
		}
		if !s.Points {
			sc.bands(t, s)
		}
	}
	for _, h := range t.p.HLines {
		if usable(h.Y) && t.y.holds(h.Y) {
			sc.polyline([]vg.Point{t.at(t.x.lo, h.Y), t.at(t.x.hi, h.Y)})
		}
	}
	for _, l := range t.diagonal() {
		if t.p.Diagonal {
			sc.polyline(l)
		}
	}
	for i := range t.p.Bars {
		if usable(t.p.Bars[i].Value) {
			sc.blocks = append(sc.blocks, grow(t.barRect(i), 14))
		}
	}
	return sc
}

func (s *scene) bands(t *tile, of Series) {
	for _, r := range runs(len(of.X), of.hasInterval) {
		pts := t.bandPath(of, r)
		for i := 1; i < len(pts); i++ {
			s.edges = append(s.edges, segment{pts[i-1], pts[i]})
		}
	}
}

// cost weighs what a rectangle would cover.
func (s *scene) cost(r vg.Rectangle) float64 {
	cost := 0.0
	for _, lines := range [][]segment{s.lines, s.leads} {
		for _, l := range lines {
			if hits(r, l) {
				cost += 100
			}
		}
	}
	for _, l := range s.edges {
		if hits(r, l) {
			cost += 2
		}
	}
	for _, blocks := range [][]vg.Rectangle{s.blocks, s.labels} {
		for _, b := range blocks {
			if overlap(r, b) {
				cost += 150
			}
		}
	}
	return cost
}

// crossings counts the lines a leader would cross, other than near its start.
func (s *scene) crossings(l segment) float64 {
	n := 0.0
	d := dist(l.a, l.b)
	if d == 0 {
		return 0
	}
	l.a = l.a.Add(l.b.Sub(l.a).Scale(min(1, 4/d)))
	for _, lines := range [][]segment{s.lines, s.leads} {
		for _, o := range lines {
			if intersect(l, o) {
				n++
			}
		}
	}
	return n
}

// through counts the labels and markers a leader would run through, those at its
// start apart.
func (s *scene) through(l segment) float64 {
	n := 0.0
	for _, blocks := range [][]vg.Rectangle{s.blocks, s.labels} {
		for _, b := range blocks {
			if hits(b, l) && nearest(b, l.a) != l.a {
				n++
			}
		}
	}
	return n
}

// nowhere is the place of a label that has none yet.
var nowhere = vg.Rectangle{Min: vg.Point{X: -2, Y: -2}, Max: vg.Point{X: -1, Y: -1}}

// placeInline puts each label at the cheapest spot near its line. Those of a crowd
// are taken up again when all have a place: the first did not know of the last.
func (t *tile) placeInline() {
	if len(t.inline) == 0 {
		return
	}
	sc := t.scene()
	sc.labels, sc.leads = make([]vg.Rectangle, len(t.inline)), make([]segment, len(t.inline))
	for i := range t.inline {
		sc.labels[i], sc.leads[i] = nowhere, segment{nowhere.Min, nowhere.Min}
	}
	for turn := range marksReach.turns {
		for i := range t.inline {
			if turn < t.inline[i].reach().turns {
				t.placeLabel(i, sc)
			}
		}
	}
}

func (t *tile) placeLabel(i int, sc *scene) {
	l := &t.inline[i]
	sc.labels[i], sc.leads[i] = nowhere, segment{nowhere.Min, nowhere.Min}
	l.lines = balanced(strings.Join(l.lines, " "), l.size, false, min(t.cellW*0.3, t.data.Size().X*0.45))
	best := math.Inf(1)
	for k, p := range t.targets(l) {
		t.search(l, p, sc, 3*float64(k), &best)
	}
	sc.labels[i] = l.rect
	if l.leader {
		sc.leads[i] = segment{l.target, nearest(l.rect, l.target)}
	}
}

// targets lists the points a label may stand at, the best first: the end of a
// line, any of a set of points, or one of a few places on the diagonal.
func (t *tile) targets(l *label) []vg.Point {
	var out []vg.Point
	if l.series < 0 {
		d := t.diagonal()[0]
		for _, share := range []vg.Length{0.8, 0.6, 0.4, 0.2} {
			out = append(out, d[0].Add(d[1].Sub(d[0]).Scale(share)))
		}
		return out
	}
	s := t.p.Series[l.series]
	vis := t.visible(s)
	for k := len(vis) - 1; k >= max(0, len(vis)-20); k-- {
		at, away := t.spot(s, vis[k])
		l.arrow = away != (vg.Point{})
		out = append(out, at.Sub(away.Scale(arrowLength/2)))
		if !s.Points {
			break
		}
	}
	return out
}

// search tries spots around a target at growing distances and keeps the
// cheapest in l if it beats best.
func (t *tile) search(l *label, target vg.Point, sc *scene, extra float64, best *float64) {
	w := maxWidth(l.lines, l.size, false)
	h := blockHeight(len(l.lines), l.size)
	bounds := t.data.Rectangle
	bounds.Max.Y += 4
	if l.mark { // clear of the spines
		bounds = grow(t.data.Rectangle, -3)
	}
	at := l.reach()
	for _, gap := range at.gaps {
		for a := range 24 {
			sin, cos := math.Sincos(2 * math.Pi * float64(a) / 24)
			r := vg.Rectangle{Max: vg.Point{X: w, Y: h}}.Add(vg.Point{
				X: target.X + vg.Length(cos)*(w/2+gap) - w/2,
				Y: target.Y + vg.Length(sin)*(h/2+gap) - h/2,
			})
			r = inside(r, bounds)
			end := nearest(r, target)
			covered := sc.cost(grow(r, at.margin))
			lead := segment{target, end}
			away := dist(end, target)
			cost := extra + covered + 30*sc.crossings(lead) + 60*sc.through(lead) + float64(away) + 2*(1-cos)
			if l.mark && away <= at.leader {
				cost += 20 * sc.astray(r, target, away)
			}
			if cost < *best {
				*best = cost
				l.target, l.rect, l.leader, l.forced = target, r, away > at.leader, covered >= 100
			}
		}
	}
}

// inside moves r into b.
func inside(r, b vg.Rectangle) vg.Rectangle {
	dx := max(0, b.Min.X-r.Min.X) - max(0, r.Max.X-b.Max.X)
	dy := max(0, b.Min.Y-r.Min.Y) - max(0, r.Max.Y-b.Max.Y)
	return r.Add(vg.Point{X: dx, Y: dy})
}

func around(p vg.Point, r vg.Length) vg.Rectangle {
	return grow(vg.Rectangle{Min: p, Max: p}, r)
}

func grow(r vg.Rectangle, d vg.Length) vg.Rectangle {
	return vg.Rectangle{
		Min: vg.Point{X: r.Min.X - d, Y: r.Min.Y - d},
		Max: vg.Point{X: r.Max.X + d, Y: r.Max.Y + d},
	}
}

func overlap(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}

// nearest is the point of r closest to p.
func nearest(r vg.Rectangle, p vg.Point) vg.Point {
	return vg.Point{X: min(max(p.X, r.Min.X), r.Max.X), Y: min(max(p.Y, r.Min.Y), r.Max.Y)}
}

// hits reports whether a segment touches a rectangle.
func hits(r vg.Rectangle, s segment) bool {
	lo, hi := vg.Length(0), vg.Length(1)
	cut := func(from, d, a, b vg.Length) bool {
		if d == 0 {
			return from >= a && from <= b
		}
		u, v := (a-from)/d, (b-from)/d
		lo, hi = max(lo, min(u, v)), min(hi, max(u, v))
		return lo <= hi
	}
	d := s.b.Sub(s.a)
	return cut(s.a.X, d.X, r.Min.X, r.Max.X) && cut(s.a.Y, d.Y, r.Min.Y, r.Max.Y)
}

// intersect reports whether two segments cross.
func intersect(s, o segment) bool {
	side := func(p vg.Point, of segment) vg.Length {
		d, e := of.b.Sub(of.a), p.Sub(of.a)
		return d.X*e.Y - d.Y*e.X
	}
	return side(s.a, o)*side(s.b, o) < 0 && side(o.a, s)*side(o.b, s) < 0
}
