package figure

import (
	"slices"

	"gonum.org/v1/plot/vg"
)

// KeyGroup is a heading of a figure's key, in the style of the points or bars
// that it explains, and what their marks stand for.
type KeyGroup struct {
	Title   string
	Style   Style
	Entries []KeyEntry
}

// KeyEntry says what a mark stands for.
type KeyEntry struct{ Mark, Label string }

// Geometry of the key in points.
const (
	keySize   = 7.5
	keyPitch  = keySize * 1.32
	keyIndent = 9.0 // room of the marker
	keyApart  = 14.0
	keyAbove  = 10.0
)

// keyLine is a line of the key: a heading where mark is "".
type keyLine struct {
	mark, label string
	style       Style
}

// key is a figure's key laid out in columns.
type key struct {
	columns     [][]keyLine
	pitch       vg.Length // from column to column
	marks       vg.Length // width of the marks
	bars        bool      // it explains bars
	headingOnly bool
}

// newKey deals the groups out over as many columns as fit side by side.
func newKey(groups []KeyGroup, inner vg.Length, bars bool) key {
	k := key{bars: bars, headingOnly: true}
	var lines []keyLine
	widest := vg.Length(0)
	for _, g := range groups {
		lines = append(lines, keyLine{"", clean(g.Title), g.Style})
		widest = max(widest, width(clean(g.Title), keySize, true))
		for _, e := range g.Entries {
			k.headingOnly = false
			lines = append(lines, keyLine{clean(e.Mark), clean(e.Label), g.Style})
			k.marks = max(k.marks, width(clean(e.Mark), keySize, true)+4)
		}
	}
	for _, l := range lines {
		if l.mark != "" {
			widest = max(widest, k.marks+width(l.label, keySize, false))
		}
	}
	k.pitch = keyIndent + widest + keyApart
	k.deal(lines, max(1, int((inner+keyApart)/k.pitch)))
	return k
}

// deal fills at most n columns of equal height, in order; no heading ends one.
func (k *key) deal(lines []keyLine, n int) {
	for height := (len(lines) + n - 1) / n; len(lines) > 0; height++ {
		k.columns = nil
		for rest := lines; len(rest) > 0; {
			take := min(height, len(rest))
			if take > 1 && take < len(rest) && rest[take-1].mark == "" && !k.headingOnly {
				take--
			}
			k.columns, rest = append(k.columns, rest[:take]), rest[take:]
		}
		if len(k.columns) <= n {
			return
		}
	}
}

// height is that of the key with the space above it, 0 where there is none.
func (k key) height() vg.Length {
	rows := 0
	for _, c := range k.columns {
		rows = max(rows, len(c))
	}
	if rows == 0 {
		return 0
	}
	return keyAbove + vg.Length(rows)*keyPitch
}

// draw draws the key below top.
func (k key) draw(c vg.Canvas, left, top vg.Length) {
	for i, column := range k.columns {
		x, y := left+vg.Length(i)*k.pitch, top-keyAbove-keyPitch/2
		for _, l := range column {
			k.line(c, l, x, y)
			y -= keyPitch
		}
	}
}

func (k key) line(c vg.Canvas, l keyLine, x, y vg.Length) {
	look := l.style.look()
	at := vg.Point{X: x + 3, Y: y}
	if k.bars {
		fill(c, corners(around(at, 3)), tint(look.line, 0.75))
	} else {
		look.marker.draw(c, at, markerR, look.line, false)
	}
	x += keyIndent
	if l.mark == "" {
		text{size: keySize, bold: true, ink: look.text}.middle(c, x, y, []string{l.label})
		return
	}
	text{size: keySize, bold: true, ink: look.text, at: right}.middle(c, x+k.marks-4, y, []string{l.mark})
	text{size: keySize, ink: ink}.middle(c, x+k.marks, y, []string{l.label})
}

// hasBars reports whether the figure shows bars.
func (f Figure) hasBars() bool {
	return slices.ContainsFunc(f.Panels, func(p Panel) bool { return len(p.Bars) > 0 })
}
