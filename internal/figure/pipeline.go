package figure

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
)

// Box is one stage of a pipeline. Col and Row place it on the grid, counted
// from the top left; fractions are allowed.
type Box struct {
	ID, Title string
	Lines     []string
	Col, Row  float64
	Style     Style
	Emphasis  bool
}

// Arrow connects two boxes by their IDs.
type Arrow struct {
	From, To, Label string
	Dashed          bool
}

// Pipeline is a box-and-arrow diagram. Its size follows from its content.
type Pipeline struct {
	Title, Caption string
	Boxes          []Box
	Arrows         []Arrow
	Dark           bool // light on dark
}

// Geometry of the diagram in points.
const (
	boxTitleSize = 11.0
	boxLineSize  = 9.0
	arrowSize    = 8.0
	noteSize     = 8.5
	nameSize     = 13.0
	boxPad       = 7.0
	boxRadius    = 4.0
	minBox       = 84.0
	maxBox       = 114.0
	minGap       = 28.0
	maxLabel     = 46.0 // width of a label between two boxes
	rowGapBox    = 28.0
	itemGap      = 3.0 // between the lines of a box, beyond the spacing
)

// SVG draws the diagram as an SVG document. Equal diagrams give equal bytes.
func (p Pipeline) SVG() ([]byte, error) {
	d, err := p.layout()
	if err != nil {
		return nil, err
	}
	return renderSVG(d.w, d.h, p.Title, p.Dark, d.draw)
}

// PNG draws the diagram at 200 dots per inch.
func (p Pipeline) PNG() ([]byte, error) {
	d, err := p.layout()
	if err != nil {
		return nil, err
	}
	return renderPNG(d.w, d.h, p.Dark, d.draw)
}

// CSV lists the texts of the diagram in the columns kind, id, to, text: a row
// per box, one per line in a box, and one per arrow.
func (p Pipeline) CSV() []byte {
	t := newTable("kind", "id", "to", "text")
	for _, b := range p.Boxes {
		t.row("box", b.ID, "", b.Title)
		for _, l := range b.Lines {
			t.row("line", b.ID, "", l)
		}
	}
	for _, a := range p.Arrows {
		t.row("arrow", a.From, a.To, a.Label)
	}
	return t.bytes()
}

func (p Pipeline) check() error {
	seen := map[string]bool{}
	for _, b := range p.Boxes {
		if seen[b.ID] {
			return fmt.Errorf("pipeline: two boxes %q", b.ID)
		}
		seen[b.ID] = true
		if !usable(b.Col) || !usable(b.Row) || math.Abs(b.Col) > 100 || math.Abs(b.Row) > 100 {
			return fmt.Errorf("pipeline: box %q at column %s, row %s", b.ID,
				strconv.FormatFloat(b.Col, 'g', -1, 64), strconv.FormatFloat(b.Row, 'g', -1, 64))
		}
		if err := b.Style.check(); err != nil {
			return fmt.Errorf("pipeline: box %q: %w", b.ID, err)
		}
	}
	for _, a := range p.Arrows {
		if !seen[a.From] || !seen[a.To] || a.From == a.To {
			return fmt.Errorf("pipeline: arrow from %q to %q", a.From, a.To)
		}
	}
	return nil
}

// placed is a box with its wrapped text and its rectangle.
type placed struct {
	Box
	title []string
	lines [][]string // each line wrapped
	rect  vg.Rectangle
}

// diagram is a pipeline laid out and ready to be drawn.
type diagram struct {
	w, h           vg.Length
	title, caption []string
	boxes          []placed
	routes         []route
}

func (p Pipeline) layout() (*diagram, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	d := &diagram{}
	bw := d.fitText(p.Boxes)
	pitchX := (bw + p.gap()) / closest(p.Boxes, func(b Box) (float64, float64) { return b.Col, b.Row })
	d.placeBoxes(bw, pitchX)
	d.routeAll(p.Arrows)
	d.frame(p.Title, p.Caption)
	return d, nil
}

// frame puts the title above and the caption below what was laid out.
func (d *diagram) frame(title, caption string) {
	b := d.bounds()
	d.w = max(b.Size().X+2*outerMargin, 240)
	d.title = wrap(title, nameSize, true, d.w-2*outerMargin)
	d.caption = wrap(caption, noteSize, false, d.w-2*outerMargin)
	foot, head := vg.Length(outerMargin), vg.Length(outerMargin)
	if len(d.caption) > 0 {
		foot += blockHeight(len(d.caption), noteSize) + 9
	}
	if len(d.title) > 0 {
		head += blockHeight(len(d.title), nameSize) + 10
	}
	d.h = foot + b.Size().Y + head
	d.move(vg.Point{X: (d.w-b.Size().X)/2 - b.Min.X, Y: foot - b.Min.Y})
}

// bounds is the rectangle of all boxes and arrows.
func (d *diagram) bounds() vg.Rectangle {
	if len(d.boxes) == 0 {
		return vg.Rectangle{Max: vg.Point{X: 200, Y: 20}}
	}
	b := d.boxes[0].rect
	add := func(r vg.Rectangle) {
		b.Min = vg.Point{X: min(b.Min.X, r.Min.X), Y: min(b.Min.Y, r.Min.Y)}
		b.Max = vg.Point{X: max(b.Max.X, r.Max.X), Y: max(b.Max.Y, r.Max.Y)}
	}
	for _, q := range d.boxes {
		add(grow(q.rect, 1))
	}
	for _, r := range d.routes {
		for _, p := range r.pts {
			add(around(p, 1))
		}
		if len(r.label) > 0 {
			add(r.rect)
		}
	}
	return b
}

// move shifts everything by v.
func (d *diagram) move(v vg.Point) {
	for i := range d.boxes {
		d.boxes[i].rect = d.boxes[i].rect.Add(v)
	}
	for _, r := range d.routes {
		for i := range r.pts {
			r.pts[i] = r.pts[i].Add(v)
		}
	}
	for i := range d.routes {
		d.routes[i].rect = d.routes[i].rect.Add(v)
	}
}

// gap is the distance between neighbouring boxes: room for the labels.
func (p Pipeline) gap() vg.Length {
	g := vg.Length(minGap)
	for _, a := range p.Arrows {
		g = max(g, maxWidth(arrowLabel(a.Label, maxLabel), arrowSize, false)+8)
	}
	return g
}

// closest is the least distance in u of boxes that share a v, at most 1.
func closest(boxes []Box, uv func(Box) (u, v float64)) vg.Length {
	least := 1.0
	for i, a := range boxes {
		for _, b := range boxes[:i] {
			ua, va := uv(a)
			ub, vb := uv(b)
			if d := math.Abs(ua - ub); math.Abs(va-vb) < 1 && d > 0.05 {
				least = min(least, d)
			}
		}
	}
	return vg.Length(least)
}

// fitText wraps the text of the boxes and returns their common width.
func (d *diagram) fitText(boxes []Box) vg.Length {
	w := vg.Length(minBox)
	for _, b := range boxes {
		w = max(w, width(clean(b.Title), boxTitleSize, true)+2*boxPad)
		for _, l := range b.Lines {
			w = max(w, width(clean(l), boxLineSize, false)+2*boxPad)
		}
	}
	w = min(w, maxBox)
	for _, b := range boxes {
		q := placed{Box: b, title: wrap(b.Title, boxTitleSize, true, w-2*boxPad)}
		for _, l := range b.Lines {
			q.lines = append(q.lines, wrap(glue(l), boxLineSize, false, w-2*boxPad))
		}
		d.boxes = append(d.boxes, q)
	}
	return w
}

// glue keeps bracketed intervals and percentages on one line.
func glue(s string) string {
	out := []rune(s)
	depth := 0
	for i, r := range out {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == ' ' && (depth > 0 || i+1 < len(out) && out[i+1] == '%'):
			out[i] = nbsp
		}
	}
	return string(out)
}

func (q placed) headHeight() vg.Length {
	return blockHeight(len(q.title), boxTitleSize) + boxPad + 2
}

func (q placed) height() vg.Length {
	h := q.headHeight()
	for _, l := range q.lines {
		h += boxLineSize*lineSpacing*vg.Length(len(l)) + itemGap
	}
	if len(q.lines) > 0 {
		h += 2*boxPad - boxLineSize*(lineSpacing-1) - itemGap - 1
	}
	return h
}

// placeBoxes gives boxes of one row one height and puts the top left of the
// diagram at x = 0, y = 0.
func (d *diagram) placeBoxes(bw, pitchX vg.Length) {
	var plain []Box
	minCol, minRow, tallest := math.Inf(1), math.Inf(1), vg.Length(0)
	for _, q := range d.boxes {
		plain = append(plain, q.Box)
		minCol, minRow = min(minCol, q.Col), min(minRow, q.Row)
		tallest = max(tallest, q.height())
	}
	rows := closest(plain, func(b Box) (float64, float64) { return b.Row, b.Col })
	pitchY := (tallest + rowGapBox) / rows
	height := func(row float64) (h vg.Length) {
		for _, o := range d.boxes {
			if o.Row == row {
				h = max(h, o.height())
			}
		}
		return h
	}
	whole := !slices.ContainsFunc(plain, func(b Box) bool { return b.Row != math.Trunc(b.Row) })
	for i := range d.boxes {
		q := &d.boxes[i]
		h := height(q.Row)
		x, top := vg.Length(q.Col-minCol)*pitchX, -vg.Length(q.Row-minRow)*pitchY
		if whole { // each row as high as it must be
			top = 0
			for row := minRow; row < q.Row; row++ {
				top -= height(row) + rowGapBox
			}
		}
		q.rect = vg.Rectangle{Min: vg.Point{X: x, Y: top - h}, Max: vg.Point{X: x + bw, Y: top}}
	}
}

func (d *diagram) draw(c vg.Canvas) {
	head := text{size: titleSize + 1, bold: true, ink: ink}
	head.below(c, outerMargin, d.h-outerMargin, d.title)
	for _, q := range d.boxes {
		q.draw(c)
	}
	for _, r := range d.routes {
		r.draw(c)
	}
	foot := text{size: noteSize, ink: faint}
	foot.below(c, outerMargin, outerMargin+blockHeight(len(d.caption), noteSize), d.caption)
}

// draw paints a box: a tinted head with the title, the lines on white.
func (q placed) draw(c vg.Canvas) {
	k := q.Style.look()
	body, head, edge := white, tint(k.line, 0.16), vg.Length(0.9)
	if q.Emphasis {
		body, head, edge = tint(k.line, 0.07), tint(k.line, 0.30), 2
	}
	c.SetColor(body)
	c.Fill(rounded(q.rect, boxRadius))
	top := q.rect
	if len(q.lines) > 0 {
		top.Min.Y = top.Max.Y - q.headHeight()
	}
	c.SetColor(head)
	c.Fill(roundedTop(top, boxRadius, len(q.lines) == 0))
	strokePath(c, rounded(q.rect, boxRadius), k.line, edge, nil)
	title := text{size: boxTitleSize, bold: true, ink: ink}
	title.middle(c, q.rect.Min.X+boxPad, (top.Min.Y+top.Max.Y)/2, q.title)
	lines := text{size: boxLineSize, ink: ink}
	y := top.Min.Y - boxPad + 1
	for _, l := range q.lines {
		lines.below(c, q.rect.Min.X+boxPad, y, l)
		y -= boxLineSize*lineSpacing*vg.Length(len(l)) + itemGap
	}
}

// rounded is a rectangle with round corners.
func rounded(r vg.Rectangle, radius vg.Length) vg.Path {
	return roundedTop(r, radius, true)
}

// roundedTop is a rectangle with round upper and, if asked, lower corners.
func roundedTop(r vg.Rectangle, radius vg.Length, lower bool) vg.Path {
	foot := radius
	if !lower {
		foot = 0
	}
	var p vg.Path
	p.Move(vg.Point{X: r.Min.X + foot, Y: r.Min.Y})
	p.Line(vg.Point{X: r.Max.X - foot, Y: r.Min.Y})
	p.QuadTo(vg.Point{X: r.Max.X, Y: r.Min.Y}, vg.Point{X: r.Max.X, Y: r.Min.Y + foot})
	p.Line(vg.Point{X: r.Max.X, Y: r.Max.Y - radius})
	p.QuadTo(r.Max, vg.Point{X: r.Max.X - radius, Y: r.Max.Y})
	p.Line(vg.Point{X: r.Min.X + radius, Y: r.Max.Y})
	p.QuadTo(vg.Point{X: r.Min.X, Y: r.Max.Y}, vg.Point{X: r.Min.X, Y: r.Max.Y - radius})
	p.Line(vg.Point{X: r.Min.X, Y: r.Min.Y + foot})
	p.QuadTo(r.Min, vg.Point{X: r.Min.X + foot, Y: r.Min.Y})
	p.Close()
	return p
}
