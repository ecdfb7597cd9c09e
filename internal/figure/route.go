package figure

import (
	"math"

	"gonum.org/v1/plot/vg"
)

// route is an arrow with its corners and its label.
type route struct {
	pts    []vg.Point
	label  []string
	rect   vg.Rectangle
	dashed bool
	extra  float64 // cost of docking and label away from the usual places
}

// box finds a box by its ID.
func (d *diagram) box(id string) *placed {
	for i := range d.boxes {
		if d.boxes[i].ID == id {
			return &d.boxes[i]
		}
	}
	return nil
}

// blocked reports whether a straight arrow along a row would be wrong: a box
// is in the way, or the arrow points backwards.
func (d *diagram) blocked(from, to *placed) bool {
	if to.Col < from.Col {
		return true
	}
	for _, q := range d.boxes {
		if math.Abs(q.Row-from.Row) < 1 && q.Col > from.Col && q.Col < to.Col {
			return true
		}
	}
	return false
}

// routeAll finds the way of each arrow: the cheapest candidate given the
// boxes and the arrows already drawn. Straight arrows go first.
func (d *diagram) routeAll(arrows []Arrow) {
	d.routes = make([]route, len(arrows))
	done := make([]bool, len(arrows))
	for _, straight := range []bool{true, false} {
		for i, a := range arrows {
			from, to := d.box(a.From), d.box(a.To)
			plain := from.Row == to.Row && !d.blocked(from, to)
			if done[i] || straight != plain {
				continue
			}
			branch, found := d.branch(arrows, done, i)
			if !found {
				branch = d.routeOne(from, to, a)
			}
			d.routes[i] = branch
			done[i] = true
		}
	}
}

// branch lets an arrow leave the trunk of one that carries the same from the same
// box to another box of the same column, further up: together they are a tree.
func (d *diagram) branch(arrows []Arrow, done []bool, i int) (route, bool) {
	const turn = 9.0 // from the box to the trunk, where there is none yet
	a := arrows[i]
	to := d.box(a.To)
	for k, o := range arrows {
		if !done[k] || o.From != a.From || o.Label != a.Label || o.Dashed != a.Dashed || d.box(o.To).Col != to.Col {
			continue
		}
		pts := d.routes[k].pts
		n := len(pts)
		y := (to.rect.Min.Y + to.rect.Max.Y) / 2
		if end, before := pts[n-1], pts[n-2]; end.Y != before.Y || end.X != to.rect.Min.X || end.Y <= to.rect.Max.Y {
			continue
		}
		trunk, x := append([]vg.Point{}, pts[:n-2]...), pts[n-2].X
		if n == 2 {
			x += turn
			trunk = []vg.Point{pts[0], {X: x, Y: pts[0].Y}}
		}
		r := route{pts: append(trunk, vg.Point{X: x, Y: y}, vg.Point{X: to.rect.Min.X, Y: y}), dashed: a.Dashed}
		if d.clear(r) {
			return r, true
		}
	}
	return route{}, false
}

// clear reports whether a route runs through no box.
func (d *diagram) clear(r route) bool {
	for i := 1; i < len(r.pts); i++ {
		for _, q := range d.boxes {
			if hits(grow(q.rect, -0.5), segment{r.pts[i-1], r.pts[i]}) {
				return false
			}
		}
	}
	return true
}

// routeOne picks the cheapest combination of way and label position.
func (d *diagram) routeOne(from, to *placed, a Arrow) route {
	best, cost := route{}, math.Inf(1)
	for _, w := range ways(from, to) {
		for _, r := range w.labelled(a.Label) {
			r.dashed = a.Dashed
			if c := d.routeCost(r); c < cost {
				best, cost = r, c
			}
		}
	}
	return best
}

// ways lists candidates: along the row, around one corner, or over a lane
// with two corners, each with several docking points.
func ways(from, to *placed) []route {
	f, t := from.rect, to.rect
	var out []route
	if from.Row == to.Row {
		y := (max(f.Min.Y, t.Min.Y) + min(f.Max.Y, t.Max.Y)) / 2
		pts := []vg.Point{{X: f.Max.X, Y: y}, {X: t.Min.X, Y: y}}
		if t.Min.X < f.Max.X {
			pts = []vg.Point{{X: f.Min.X, Y: y}, {X: t.Max.X, Y: y}}
		}
		out = append(out, route{pts: pts})
	}
	ports := []float64{0.5, 0.35, 0.65, 0.2, 0.8}
	for _, p := range ports {
		fx := f.Min.X + vg.Length(p)*(f.Max.X-f.Min.X)
		for _, q := range ports {
			tx := t.Min.X + vg.Length(q)*(t.Max.X-t.Min.X)
			ty := t.Min.Y + vg.Length(q)*(t.Max.Y-t.Min.Y)
			extra := 30 * (math.Abs(p-0.5) + math.Abs(q-0.5))
			for _, pts := range append(corner(f, t, fx, ty), overLane(f, t, fx, tx)...) {
				out = append(out, route{pts: pts, extra: extra})
			}
		}
	}
	return out
}

// corner goes vertically out of f and horizontally into t.
func corner(f, t vg.Rectangle, fx, ty vg.Length) [][]vg.Point {
	y, x := f.Min.Y, t.Min.X
	if ty > f.Max.Y {
		y = f.Max.Y
	} else if ty >= f.Min.Y {
		return nil
	}
	if fx > t.Max.X {
		x = t.Max.X
	} else if fx >= t.Min.X {
		return nil
	}
	return [][]vg.Point{{{X: fx, Y: y}, {X: fx, Y: ty}, {X: x, Y: ty}}}
}

// overLane goes vertically out of f, along a horizontal lane and vertically
// into t: between the rows, or above or below both.
func overLane(f, t vg.Rectangle, fx, tx vg.Length) [][]vg.Point {
	way := func(y0, lane, y1 vg.Length) []vg.Point {
		if fx == tx {
			return []vg.Point{{X: fx, Y: y0}, {X: tx, Y: y1}}
		}
		return []vg.Point{{X: fx, Y: y0}, {X: fx, Y: lane}, {X: tx, Y: lane}, {X: tx, Y: y1}}
	}
	var out [][]vg.Point
	switch {
	case t.Max.Y < f.Min.Y:
		for _, s := range []vg.Length{0.5, 0.35, 0.65} {
			out = append(out, way(f.Min.Y, f.Min.Y+s*(t.Max.Y-f.Min.Y), t.Max.Y))
		}
	case t.Min.Y > f.Max.Y:
		for _, s := range []vg.Length{0.5, 0.35, 0.65} {
			out = append(out, way(f.Max.Y, f.Max.Y+s*(t.Min.Y-f.Max.Y), t.Min.Y))
		}
	case fx != tx:
		for _, s := range []vg.Length{13, 19} {
			under, over := min(f.Min.Y, t.Min.Y)-s, max(f.Max.Y, t.Max.Y)+s
			out = append(out, way(f.Min.Y, under, t.Min.Y), way(f.Max.Y, over, t.Max.Y))
		}
	}
	return out
}

// arrowLabel wraps the label of an arrow.
func arrowLabel(s string, limit vg.Length) []string {
	return balanced(glue(s), arrowSize, false, max(limit, longestWord(s, arrowSize, false)))
}

// labelled proposes label positions beside each piece of a way; beside a
// horizontal piece and at its middle is preferred.
func (r route) labelled(label string) []route {
	if clean(label) == "" {
		return []route{r}
	}
	const off = 3.5 // between line and text
	var out []route
	for i := 1; i < len(r.pts); i++ {
		a, b := r.pts[i-1], r.pts[i]
		level := a.Y == b.Y
		limit := vg.Length(maxLabel)
		if length := dist(a, b); level && length > maxLabel+40 {
			limit = min(length-16, 160)
		}
		q := r
		q.label = arrowLabel(label, limit)
		w, h := maxWidth(q.label, arrowSize, false), blockHeight(len(q.label), arrowSize)
		for _, share := range []float64{0.5, 0.35, 0.65} {
			m := a.Add(b.Sub(a).Scale(vg.Length(share)))
			q.extra = r.extra + 30*math.Abs(share-0.5)
			if level {
				out = append(out, q.labelAt(m.X-w/2, m.Y+off, w, h), q.labelAt(m.X-w/2, m.Y-off-h, w, h))
			} else {
				q.extra += 12
				out = append(out, q.labelAt(m.X+off+1, m.Y-h/2, w, h), q.labelAt(m.X-off-1-w, m.Y-h/2, w, h))
			}
		}
	}
	return out
}

func (r route) labelAt(x, y, w, h vg.Length) route {
	r.rect = vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + w, Y: y + h}}
	return r
}

// routeCost weighs covered boxes, crossed arrows and labels, corners, length.
func (d *diagram) routeCost(r route) float64 {
	cost := r.extra + 14*float64(len(r.pts)-2)
	for i := 1; i < len(r.pts); i++ {
		s := segment{r.pts[i-1], r.pts[i]}
		cost += float64(dist(s.a, s.b)) / 20
		for _, q := range d.boxes {
			if hits(grow(q.rect, -0.5), s) {
				cost += 1000
			}
		}
		for _, o := range d.routes {
			cost += o.clash(s)
		}
		if len(r.label) > 0 && hits(grow(r.rect, 1), s) {
			cost += 400
		}
	}
	if len(r.label) > 0 {
		cost += d.labelCost(r.rect)
	}
	return cost
}

// labelCost weighs what a label would cover.
func (d *diagram) labelCost(rect vg.Rectangle) float64 {
	cost := 0.0
	for _, q := range d.boxes {
		if overlap(rect, grow(q.rect, 1)) {
			cost += 400
		}
	}
	for _, o := range d.routes {
		if len(o.label) > 0 && overlap(grow(rect, 2), o.rect) {
			cost += 400
		}
		for i := 1; i < len(o.pts); i++ {
			if hits(grow(rect, 4), segment{o.pts[i-1], o.pts[i]}) {
				cost += 400
			}
		}
	}
	return cost
}

// clash weighs a new piece against a route already chosen.
func (r route) clash(s segment) float64 {
	cost := 0.0
	if len(r.label) > 0 && hits(grow(r.rect, 5), s) {
		cost += 400
	}
	wide := vg.Rectangle{
		Min: vg.Point{X: min(s.a.X, s.b.X), Y: min(s.a.Y, s.b.Y)},
		Max: vg.Point{X: max(s.a.X, s.b.X), Y: max(s.a.Y, s.b.Y)},
	}
	for i := 1; i < len(r.pts); i++ {
		if hits(grow(wide, 5), segment{r.pts[i-1], r.pts[i]}) {
			cost += 60
		}
	}
	return cost
}

// draw paints the line with rounded corners, the head and the label.
func (r route) draw(c vg.Canvas) {
	n := len(r.pts)
	if n < 2 {
		return
	}
	const headLength, headWidth, clear = 6.5, 5.0, 1.5
	end, before := r.pts[n-1], r.pts[n-2]
	dir := end.Sub(before).Scale(1 / max(dist(end, before), 1e-6))
	tip := end.Sub(dir.Scale(clear))
	base := tip.Sub(dir.Scale(headLength))
	side := vg.Point{X: -dir.Y, Y: dir.X}.Scale(headWidth / 2)
	var dash []vg.Length
	if r.dashed {
		dash = []vg.Length{4, 2.5}
	}
	pts := append(append([]vg.Point{}, r.pts[:n-1]...), base)
	strokePath(c, roundedLine(pts, 5), spine, 1.1, dash)
	fill(c, []vg.Point{tip, base.Add(side), base.Sub(side)}, spine)
	lab := text{size: arrowSize, ink: faint, at: centre}
	lab.below(c, (r.rect.Min.X+r.rect.Max.X)/2, r.rect.Max.Y, r.label)
}

// roundedLine is a polyline with its corners rounded.
func roundedLine(pts []vg.Point, radius vg.Length) vg.Path {
	var p vg.Path
	p.Move(pts[0])
	for i := 1; i < len(pts)-1; i++ {
		a, b, c := pts[i-1], pts[i], pts[i+1]
		in := min(radius, dist(a, b)/2)
		out := min(radius, dist(b, c)/2)
		p.Line(b.Add(a.Sub(b).Scale(in / max(dist(a, b), 1e-6))))
		p.QuadTo(b, b.Add(c.Sub(b).Scale(out/max(dist(b, c), 1e-6))))
	}
	p.Line(pts[len(pts)-1])
	return p
}
