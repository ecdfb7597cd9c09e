package figure

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
)

// shape is the form of a marker.
type shape int

const (
	noMarker shape = iota
	circle
	square
	triangle
	diamond
	invTriangle
	plus
	cross
	pentagon
)

// stroke draws the polyline through pts.
func stroke(c vg.Canvas, pts []vg.Point, ink color.Color, w vg.Length, dash []vg.Length) {
	if len(pts) < 2 {
		return
	}
	var p vg.Path
	p.Move(pts[0])
	for _, q := range pts[1:] {
		p.Line(q)
	}
	strokePath(c, p, ink, w, dash)
}

func strokePath(c vg.Canvas, p vg.Path, ink color.Color, w vg.Length, dash []vg.Length) {
	c.SetColor(ink)
	c.SetLineWidth(w)
	c.SetLineDash(dash, 0)
	c.Stroke(p)
}

// fill fills the polygon through pts.
func fill(c vg.Canvas, pts []vg.Point, ink color.Color) {
	if len(pts) < 3 {
		return
	}
	c.SetColor(ink)
	c.Fill(polygon(pts))
}

func polygon(pts []vg.Point) vg.Path {
	var p vg.Path
	p.Move(pts[0])
	for _, q := range pts[1:] {
		p.Line(q)
	}
	p.Close()
	return p
}

// regular lists the corners of a regular polygon of the given radius, the
// first one at the angle start.
func regular(at vg.Point, n int, r vg.Length, start float64) []vg.Point {
	pts := make([]vg.Point, n)
	for i := range pts {
		sin, cos := math.Sincos(start + 2*math.Pi*float64(i)/float64(n))
		pts[i] = vg.Point{X: at.X + r*vg.Length(cos), Y: at.Y + r*vg.Length(sin)}
	}
	return pts
}

// outline is the path of a filled marker of equal visual weight.
func (s shape) outline(at vg.Point, r vg.Length) vg.Path {
	const up = math.Pi / 2
	switch s {
	case square:
		return polygon(regular(at, 4, r*1.27, math.Pi/4))
	case triangle:
		return polygon(regular(at, 3, r*1.4, up))
	case diamond:
		return polygon(regular(at, 4, r*1.35, up))
	case invTriangle:
		return polygon(regular(at, 3, r*1.4, -up))
	case pentagon:
		return polygon(regular(at, 5, r*1.2, up))
	}
	var p vg.Path
	p.Move(vg.Point{X: at.X + r, Y: at.Y})
	p.Arc(at, r, 0, 2*math.Pi)
	p.Close()
	return p
}

// draw puts a marker at a point: filled with a white rim, or open.
func (s shape) draw(c vg.Canvas, at vg.Point, r vg.Length, ink color.Color, open bool) {
	switch s {
	case noMarker:
		return
	case plus, cross:
		s.arms(c, at, r*1.25, ink)
		return
	}
	p := s.outline(at, r)
	if open {
		c.SetColor(white)
		c.Fill(p)
		strokePath(c, p, ink, 1, nil)
		return
	}
	c.SetColor(ink)
	c.Fill(p)
	strokePath(c, p, white, 0.5, nil)
}

// arms draws the two strokes of a plus or a cross.
func (s shape) arms(c vg.Canvas, at vg.Point, r vg.Length, ink color.Color) {
	start := 0.0
	if s == cross {
		start = math.Pi / 4
	}
	q := regular(at, 4, r, start)
	stroke(c, []vg.Point{q[0], q[2]}, ink, 1.3, nil)
	stroke(c, []vg.Point{q[1], q[3]}, ink, 1.3, nil)
}
