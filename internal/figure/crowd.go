package figure

import (
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
)

// A crowd is a panel's points that carry marks: more than names fit in. What a
// mark stands for is in the figure's key.

// markSize is the type of marks, small so that many fit.
const markSize = 6.5

// crowded reports whether the panel has marked points.
func (p *Panel) crowded() bool {
	return slices.ContainsFunc(p.Series, func(s Series) bool { return s.Mark != "" })
}

// spot is where a point is drawn. A marked one beyond the axes stands at their
// border, away is its direction.
func (t *tile) spot(s Series, i int) (at, away vg.Point) {
	at = t.at(s.X[i], s.Y[i])
	if s.Mark == "" {
		return at, away
	}
	in := vg.Point{X: min(max(at.X, t.data.Min.X), t.data.Max.X), Y: min(max(at.Y, t.data.Min.Y), t.data.Max.Y)}
	return in, vg.Point{X: sign(at.X - in.X), Y: sign(at.Y - in.Y)}
}

func sign(v vg.Length) vg.Length {
	switch {
	case v > 1e-9:
		return 1
	case v < -1e-9:
		return -1
	}
	return 0
}

// arrowLength is the length of the arrow to a point beyond the axes.
const arrowLength = 11.0

// outward draws an arrow that ends at the border.
func outward(c vg.Canvas, tip, away vg.Point, k pen) {
	angle := math.Atan2(float64(away.Y), float64(away.X))
	sin, cos := math.Sincos(angle)
	back := func(by vg.Length) vg.Point { return tip.Sub(vg.Point{X: by * vg.Length(cos), Y: by * vg.Length(sin)}) }
	stroke(c, []vg.Point{back(arrowLength), back(4)}, k.line, 1.2, nil)
	fill(c, regular(back(3.2), 3, 3.2, angle), k.line)
}

// blockOf is the room that a point takes.
func blockOf(at, away vg.Point) vg.Rectangle {
	if away == (vg.Point{}) {
		return around(at, markerR+0.5)
	}
	tail := at.Sub(away.Scale(arrowLength))
	return grow(vg.Rectangle{
		Min: vg.Point{X: min(at.X, tail.X), Y: min(at.Y, tail.Y)},
		Max: vg.Point{X: max(at.X, tail.X), Y: max(at.Y, tail.Y)},
	}, 2)
}

// reach is how far around its point a label is looked for.
type reach struct {
	gaps   []vg.Length // between the point and the text
	margin vg.Length   // kept free around the text
	leader vg.Length   // beyond it a leader shows the point
	start  vg.Length   // of the leader, from the marker
	clear  vg.Length   // between the leader and the text
	turns  int         // how often every label is placed, knowing the others
}

var (
	namesReach = reach{[]vg.Length{4, 7, 12, 18, 26, 36, 48, 62, 80, 100, 130}, 1.5, 7, 1, 1.5, 1}
	marksReach = reach{[]vg.Length{3.6, 4.4, 5.5, 7, 9, 12, 15, 19, 24, 30, 38, 48, 60}, 0.6, 4.6, 0, 0.6, 4}
)

func (l *label) reach() reach {
	switch {
	case l.arrow:
		at := marksReach
		at.leader = arrowLength
		return at
	case l.mark:
		return marksReach
	}
	return namesReach
}

// astray counts the points that are nearer to a mark than its own, which has no
// leader: whose it is would not be seen.
func (s *scene) astray(r vg.Rectangle, own vg.Point, distance vg.Length) float64 {
	n := 0.0
	for _, at := range s.points {
		if at != own && dist(nearest(r, at), at) < distance+1.5 {
			n++
		}
	}
	return n
}
