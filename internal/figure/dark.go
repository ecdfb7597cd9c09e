package figure

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
)

// dark is a canvas that turns the colours of a light figure into those of a dark
// one: greys are mirrored, pale fills become deep ones, and dark hues are
// lightened until they can be read on the dark ground.
type dark struct{ vg.Canvas }

// SetColor sets the dark counterpart of a light figure's colour.
func (d dark) SetColor(c color.Color) { d.Canvas.SetColor(darkened(c)) }

func darkened(c color.Color) color.NRGBA {
	in := color.NRGBAModel.Convert(c).(color.NRGBA)
	r, g, b := float64(in.R)/255, float64(in.G)/255, float64(in.B)/255
	top, low := max(r, g, b), min(r, g, b)
	light, spread := (top+low)/2, top-low
	var to float64
	switch {
	case spread < 0.08: // grey
		to = 0.09 + 0.83*(1-light)
	case light > 0.8: // a pale fill
		to = 0.15 + 0.5*(1-light)
	case light < 0.45: // a dark hue, for text and lines
		to = light + 0.25
	default:
		to = light
	}
	// The same hue at another lightness: towards white or black.
	mix := func(v float64) uint8 {
		if to >= light {
			v += (1 - v) * (to - light) / (1 - light + 1e-9)
		} else {
			v *= to / (light + 1e-9)
		}
		return uint8(math.Round(255 * min(max(v, 0), 1)))
	}
	return color.NRGBA{R: mix(r), G: mix(g), B: mix(b), A: in.A}
}

// themed is the canvas to draw on.
func themed(c vg.Canvas, isDark bool) vg.Canvas {
	if isDark {
		return dark{c}
	}
	return c
}
