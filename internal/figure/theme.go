package figure

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot/vg"
)

// Style is an index into the Okabe-Ito cycle. It fixes the colour, the dash
// pattern and the marker together, so that a style is recognisable in
// greyscale and by colour-blind readers. Values beyond the cycle wrap around;
// negative values are an error.
type Style int

// The styles of the cycle in order, and Neutral, the grey of reference items.
const (
	Blue Style = iota
	Vermillion
	Green
	Purple
	Orange
	Sky
	Black
	Yellow

	Neutral Style = 1000
)

// look is what a style stands for.
type look struct {
	line   color.NRGBA // lines, markers, fills
	text   color.NRGBA // the same hue, dark enough to read on white
	dash   []vg.Length
	marker shape
}

var cycle = [...]look{
	{rgb(0x0072B2), rgb(0x005A8C), nil, circle},
	{rgb(0xD55E00), rgb(0xAD4C00), []vg.Length{5, 2.2}, square},
	{rgb(0x009E73), rgb(0x00704F), []vg.Length{7, 2, 1.6, 2}, triangle},
	{rgb(0xCC79A7), rgb(0x9A3F72), []vg.Length{3, 1.6}, diamond},
	{rgb(0xE69F00), rgb(0x8A5F00), []vg.Length{9, 2.5}, invTriangle},
	{rgb(0x56B4E9), rgb(0x1F6F9E), []vg.Length{7, 2, 1.6, 2, 1.6, 2}, plus},
	{rgb(0x222222), rgb(0x222222), []vg.Length{4, 1.6, 1.6, 1.6}, cross},
	{rgb(0xE6D622), rgb(0x6F6600), []vg.Length{9, 2, 3.5, 2}, pentagon},
}

var neutral = look{rgb(0x6E6E6E), rgb(0x555555), nil, circle}

// look returns the appearance of s.
func (s Style) look() look {
	if s == Neutral {
		return neutral
	}
	return cycle[int(s)%len(cycle)]
}

func (s Style) check() error {
	if s < 0 {
		return fmt.Errorf("style %d is negative", int(s))
	}
	return nil
}

// Greys of the furniture.
var (
	white   = rgb(0xFFFFFF)
	ink     = rgb(0x222222)
	spine   = rgb(0x333333)
	gridInk = rgb(0xE3E3E3)
	faint   = rgb(0x5A5A5A)
)

// Sizes in points.
const (
	titleSize   = 11.0
	panelSize   = 9.0
	labelSize   = 8.0
	tickSize    = 7.5
	directSize  = 8.0
	captionSize = 7.5

	lineWidth   = 1.4
	exactWidth  = 1.0
	markerR     = 2.3
	tickLength  = 3.0
	outerMargin = 8.0
	bandAlpha   = 0x38
)

// dotted is the pattern kept for exact quantities.
var dotted = []vg.Length{1.1, 1.9}

// forced is the pattern of Series.Dash.
var forced = []vg.Length{5, 2.2}

func rgb(v uint32) color.NRGBA {
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 0xFF}
}

// alpha returns c with opacity a.
func alpha(c color.NRGBA, a uint8) color.NRGBA {
	c.A = a
	return c
}

// tint mixes c with white; share is how much of c remains.
func tint(c color.NRGBA, share float64) color.NRGBA {
	mix := func(v uint8) uint8 { return uint8(255 - share*(255-float64(v)) + 0.5) }
	return color.NRGBA{R: mix(c.R), G: mix(c.G), B: mix(c.B), A: 0xFF}
}

// points converts centimetres to points.
func points(cm float64) vg.Length {
	return vg.Length(cm) * vg.Centimeter
}
