package figure

import (
	"fmt"

	"gonum.org/v1/plot/vg"
)

// Series is one curve or one set of points. X and Y have equal length; a
// point that is not finite interrupts the line.
type Series struct {
	// Label stands at the line's end, or at the best free spot near it.
	Label string
	X, Y  []float64
	// Lo and Hi are both nil, or the interval at each point: a translucent
	// band, or error bars for Points.
	Lo, Hi []float64
	Style  Style
	// Dotted marks an exact curve: thin, dotted, without markers.
	Dotted bool
	// Dash forces a dashed line with open markers. In a panel with such a
	// series the other lines are solid, so that the dash tells two
	// quantities apart while colour and marker tell the arms apart.
	Dash bool
	// Points draws markers with error bars and no line; with Dash, open ones.
	Points bool
	// Mark stands beside the points of one of many instead of Label, and
	// Figure.Key says what it means. Their intervals are in the table only, and a
	// point beyond the axes is an arrow at their border.
	Mark string
}

// HLine is a dotted horizontal reference line with a label.
type HLine struct {
	Y     float64
	Label string
	Style Style
}

// Bar is one categorical bar. The interval is drawn if Lo < Hi. With Parts it is
// a stack of them, and Value, their sum, a diamond on it.
type Bar struct {
	Label         string
	Value, Lo, Hi float64
	Style         Style
	Parts         []Part
}

// Tick is one named position of an axis.
type Tick struct {
	At    float64
	Label string
}

// Panel is one set of axes. With Bars, the i-th bar stands at x = i+1.
type Panel struct {
	Title, XLabel, YLabel string
	Series                []Series
	HLines                []HLine
	Bars                  []Bar
	// XTicks replace the ticks of the x axis, from left to right.
	XTicks []Tick
	// Diagonal draws the dotted line y = x.
	Diagonal bool
	// Limits of the axes, found from the data where nil.
	YMin, YMax *float64
	XMin, XMax *float64
}

// Figure is a titled grid of panels with a caption below.
type Figure struct {
	// Name is the file name without extension; it is not drawn.
	Name, Title, Caption string
	Panels               []Panel
	// Columns of the grid; 0 means 2, or 1 for a single panel.
	Columns int
	// WidthCM and HeightCM are the size of the page. 0 means 17 cm wide (10
	// for a single panel), and as high as the rows, the title and the caption
	// need.
	WidthCM, HeightCM float64
	// RowCM is the height of a row of panels where HeightCM is 0; 0 means 6.2.
	RowCM float64
	// Key stands between the panels and the caption, in columns.
	Key []KeyGroup
	// Dark draws light on dark.
	Dark bool
}

// rowHeight is the height of a row of panels where none is asked for.
const rowHeight = 6.2 * vg.Centimeter

// SVG draws the figure as an SVG document. Equal figures give equal bytes.
func (f Figure) SVG() ([]byte, error) {
	g, err := f.layout()
	if err != nil {
		return nil, err
	}
	return renderSVG(g.w, g.h, f.Title, f.Dark, g.draw)
}

// PNG draws the figure at 200 dots per inch.
func (f Figure) PNG() ([]byte, error) {
	g, err := f.layout()
	if err != nil {
		return nil, err
	}
	return renderPNG(g.w, g.h, f.Dark, g.draw)
}

// check reports input that cannot be drawn as meant.
func (f Figure) check() error {
	for i, p := range f.Panels {
		if err := p.check(); err != nil {
			return fmt.Errorf("figure %q panel %s: %w", f.Name, letter(i), err)
		}
	}
	if f.Columns < 0 || f.WidthCM < 0 || f.HeightCM < 0 || f.RowCM < 0 {
		return fmt.Errorf("figure %q: negative size", f.Name)
	}
	for _, k := range f.Key {
		if err := k.Style.check(); err != nil {
			return fmt.Errorf("figure %q, key %q: %w", f.Name, k.Title, err)
		}
	}
	return nil
}

func (p Panel) check() error {
	for _, s := range p.Series {
		if len(s.X) != len(s.Y) {
			return fmt.Errorf("series %q: %d x for %d y", s.Label, len(s.X), len(s.Y))
		}
		if (s.Lo != nil || s.Hi != nil) && (len(s.Lo) != len(s.Y) || len(s.Hi) != len(s.Y)) {
			return fmt.Errorf("series %q: %d lo and %d hi for %d y", s.Label, len(s.Lo), len(s.Hi), len(s.Y))
		}
		if err := s.Style.check(); err != nil {
			return fmt.Errorf("series %q: %w", s.Label, err)
		}
	}
	for _, h := range p.HLines {
		if err := h.Style.check(); err != nil {
			return fmt.Errorf("line %q: %w", h.Label, err)
		}
	}
	for _, b := range p.Bars {
		if err := b.Style.check(); err != nil {
			return fmt.Errorf("bar %q: %w", b.Label, err)
		}
		for _, part := range b.Parts {
			if err := part.Style.check(); err != nil {
				return fmt.Errorf("bar %q, part %q: %w", b.Label, part.Label, err)
			}
		}
	}
	return nil
}

// letter names the i-th panel: a to z, then aa, ab, ...
func letter(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return letter(i/26-1) + letter(i%26)
}

// page is a figure laid out and ready to be drawn.
type page struct {
	w, h           vg.Length
	title, caption []string
	key            key
	tiles          []*tile
}

func (f Figure) columns() int {
	n := f.Columns
	if n == 0 {
		n = 2
	}
	return max(1, min(n, len(f.Panels)))
}

// layout decides the place of everything.
func (f Figure) layout() (*page, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	g := &page{w: points(f.WidthCM), h: points(f.HeightCM)}
	cols := f.columns()
	if g.w == 0 {
		g.w = points(17)
		if cols == 1 {
			g.w = points(10)
		}
	}
	inner := g.w - 2*outerMargin
	if inner < 60 {
		return nil, fmt.Errorf("figure %q: %g cm is too narrow", f.Name, f.WidthCM)
	}
	g.title = wrap(f.Title, titleSize, true, inner)
	g.caption = wrap(f.Caption, captionSize, false, inner)
	g.key = newKey(f.Key, inner, f.hasBars())
	rows := (len(f.Panels) + cols - 1) / cols
	if g.h == 0 {
		row := points(f.RowCM)
		if row == 0 {
			row = rowHeight
		}
		g.h = g.headHeight() + g.key.height() + g.footHeight() + vg.Length(rows)*row
	}
	area := vg.Rectangle{
		Min: vg.Point{X: outerMargin, Y: g.footHeight() + g.key.height()},
		Max: vg.Point{X: g.w - outerMargin, Y: g.h - g.headHeight()},
	}
	if area.Max.Y-area.Min.Y < 60*vg.Length(rows) {
		return nil, fmt.Errorf("figure %q: %g cm is too low for %d rows", f.Name, f.HeightCM, rows)
	}
	var err error
	if g.tiles, err = tilesOf(f.Panels, area, cols); err != nil {
		return nil, fmt.Errorf("figure %q: %w", f.Name, err)
	}
	return g, nil
}

// headHeight is the height of the title with its margins.
func (g *page) headHeight() vg.Length {
	if len(g.title) == 0 {
		return outerMargin
	}
	return outerMargin + blockHeight(len(g.title), titleSize) + 8
}

// footHeight is the height of the caption with its margins.
func (g *page) footHeight() vg.Length {
	if len(g.caption) == 0 {
		return outerMargin
	}
	return outerMargin + blockHeight(len(g.caption), captionSize) + 7
}

func (g *page) draw(c vg.Canvas) {
	title := text{size: titleSize, bold: true, ink: ink}
	title.below(c, outerMargin, g.h-outerMargin, g.title)
	for _, t := range g.tiles {
		t.draw(c)
	}
	g.key.draw(c, outerMargin, g.footHeight()+g.key.height())
	caption := text{size: captionSize, ink: faint}
	caption.below(c, outerMargin, g.footHeight()-7, g.caption)
}
