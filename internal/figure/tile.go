package figure

import (
	"errors"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Gaps between neighbouring panels.
const (
	columnGap = 14.0
	rowGap    = 14.0
)

// tile is a panel with its place on the page.
type tile struct {
	p            *Panel
	letter       string
	title        []string
	xlab, ylab   []string
	x, y         span
	xt, yt       []tick
	cats         [][]string // wrapped labels of the bars
	margin       []label    // labels right of the axes
	inline       []label    // labels among the data
	box          vg.Rectangle
	data         draw.Canvas // only its rectangle and clipping are used
	left, right  vg.Length   // furniture beside the data
	top, bottom  vg.Length   // furniture above and below
	marginText   vg.Length   // size of the labels in the margin
	catSize      vg.Length   // size of the labels of the bars
	catsUp       bool        // they are turned by a quarter
	valueSize    vg.Length   // size of the values of the bars
	decimals     int         // of the values of the bars
	underTicks   vg.Length   // height of the labels under the x axis
	cellW, cellH vg.Length
}

// tilesOf places the panels on a grid with aligned axes.
func tilesOf(panels []Panel, area vg.Rectangle, cols int) ([]*tile, error) {
	if len(panels) == 0 {
		return nil, nil
	}
	rows := (len(panels) + cols - 1) / cols
	size := area.Size()
	w := (size.X - columnGap*vg.Length(cols-1)) / vg.Length(cols)
	h := (size.Y - rowGap*vg.Length(rows-1)) / vg.Length(rows)
	tiles := make([]*tile, len(panels))
	for i := range panels {
		t := &tile{p: &panels[i], cellW: w, cellH: h}
		if len(panels) > 1 {
			t.letter = letter(i)
		}
		t.box.Min.X = area.Min.X + vg.Length(i%cols)*(w+columnGap)
		t.box.Max.Y = area.Max.Y - vg.Length(i/cols)*(h+rowGap)
		t.box.Max.X, t.box.Min.Y = t.box.Min.X+w, t.box.Max.Y-h
		t.measureSides()
		tiles[i] = t
	}
	share(tiles, func(i int) int { return i % cols }, func(t *tile) []*vg.Length { return []*vg.Length{&t.left, &t.right} })
	for _, t := range tiles {
		t.measureEnds()
	}
	share(tiles, func(i int) int { return i / cols }, func(t *tile) []*vg.Length { return []*vg.Length{&t.top, &t.bottom} })
	for _, t := range tiles {
		if err := t.place(); err != nil {
			return nil, err
		}
	}
	return tiles, nil
}

// share gives all tiles of a group the largest of each length.
func share(tiles []*tile, group func(int) int, lengths func(*tile) []*vg.Length) {
	var most [][]vg.Length
	for i, t := range tiles {
		g := group(i)
		for len(most) <= g {
			most = append(most, nil)
		}
		for k, l := range lengths(t) {
			if len(most[g]) <= k {
				most[g] = append(most[g], 0)
			}
			most[g][k] = max(most[g][k], *l)
		}
	}
	for i, t := range tiles {
		for k, l := range lengths(t) {
			*l = most[group(i)][k]
		}
	}
}

// measureSides finds the ranges and how much room the y axis and the labels
// on the right need.
func (t *tile) measureSides() {
	t.x, t.y = t.p.spans()
	t.ylab = balanced(t.p.YLabel, labelSize, false, t.cellH*0.72)
	if t.p.hasData() {
		t.yt = ticks(t.y, int(min(7, max(3, t.cellH*0.7/18))))
	}
	for _, k := range t.yt {
		t.left = max(t.left, width(k.label, tickSize, false))
	}
	t.left += tickLength + 3
	if len(t.ylab) > 0 {
		t.left += blockHeight(len(t.ylab), labelSize) + 6
	}
	t.findLabels()
	t.marginText = directSize
	t.right = 6
	for _, l := range t.margin {
		t.right = max(t.right, keyEnd+maxWidth(l.lines, directSize, false)+1)
	}
}

// measureEnds finds the room above and below, and the x ticks that fit.
func (t *tile) measureEnds() {
	w := t.cellW - t.left - t.right
	lead := vg.Length(0)
	if t.letter != "" {
		lead = width(t.letter, panelSize, true) + 6
	}
	t.title = wrap(t.p.Title, panelSize, false, t.cellW-lead)
	if n := max(len(t.title), min(1, len(t.letter))); n > 0 {
		t.top = blockHeight(n, panelSize) + 7
	}
	if len(t.p.key()) > 0 {
		t.top += directSize + 12
	}
	t.bottom = tickLength + 3
	if len(t.p.Bars) > 0 {
		slot := w / vg.Length(len(t.p.Bars))
		t.underTicks = t.wrapCategories(slot)
		t.fitValues(slot)
	} else {
		t.xt = t.fitTicks(w)
		if len(t.xt) > 0 {
			t.underTicks = tickSize
		}
	}
	t.bottom += t.underTicks
	t.xlab = balanced(t.p.XLabel, labelSize, false, w+t.left/2)
	if len(t.xlab) > 0 {
		t.bottom += blockHeight(len(t.xlab), labelSize) + 4
	}
}

const (
	minCategory   = 6.0 // the smallest type of the labels of the bars
	categoryShare = 0.5 // of a cell's height, which they may take
)

// wrapCategories breaks the labels of the bars to the width of a slot, in
// smaller type if a word does not fit, turned by a quarter rather than a word
// broken, and returns the height of the tallest.
func (t *tile) wrapCategories(pitch vg.Length) vg.Length {
	slot := max(pitch-4, 8)
	t.catSize = tickSize
	for _, b := range t.p.Bars {
		for t.catSize > minCategory && longestWord(b.Label, t.catSize, false) > slot {
			t.catSize -= 0.25
		}
	}
	for _, b := range t.p.Bars {
		t.catsUp = t.catsUp || longestWord(b.Label, t.catSize, false) > slot
	}
	if t.catsUp {
		return t.turnCategories(pitch)
	}
	h := vg.Length(0)
	for _, b := range t.p.Bars {
		lines := shortened(balanced(b.Label, t.catSize, false, slot), t.catSize, slot, t.cellH*categoryShare)
		t.cats = append(t.cats, lines)
		h = max(h, blockHeight(len(lines), t.catSize))
	}
	return h
}

// turnCategories is wrapCategories for labels turned by a quarter, in one line
// or more as the slot allows.
func (t *tile) turnCategories(pitch vg.Length) vg.Length {
	t.catSize = min(tickSize, max(minText, 0.8*pitch)) // 0.8: a line is higher than its letters' size
	h := vg.Length(0)
	for _, b := range t.p.Bars {
		lines := []string{clean(b.Label)}
		limit := max(t.cellH*0.3, longestWord(b.Label, t.catSize, false))
		if many := balanced(b.Label, t.catSize, false, limit); blockHeight(len(many), t.catSize) <= pitch {
			lines = many
		}
		for k, line := range lines {
			lines[k] = elided(line, t.catSize, false, t.cellH*categoryShare)
		}
		t.cats = append(t.cats, lines)
		h = max(h, maxWidth(lines, t.catSize, false))
	}
	return h
}

// fitTicks takes as many x ticks as fit side by side.
func (t *tile) fitTicks(w vg.Length) []tick {
	if !t.p.hasData() || !t.p.hasX() {
		return nil
	}
	if len(t.p.XTicks) > 0 {
		return t.namedTicks(w)
	}
	for n := 7; n > 2; n-- {
		at := ticks(t.x, n)
		need := vg.Length(0)
		for _, k := range at {
			need = max(need, width(k.label, tickSize, false)+10)
		}
		if len(at) < 2 || need <= w*vg.Length(t.x.frac(at[1].at)-t.x.frac(at[0].at)) {
			return at
		}
	}
	return ticks(t.x, 2)
}

// namedTicks are the panel's own, as many as fit side by side, the ends first.
func (t *tile) namedTicks(w vg.Length) []tick {
	var out []tick
	fits := func(k Tick) bool {
		for _, o := range out {
			apart := w * vg.Length(math.Abs(t.x.frac(k.At)-t.x.frac(o.at)))
			if apart < (width(k.Label, tickSize, false)+width(o.label, tickSize, false))/2+5 {
				return false
			}
		}
		return t.x.holds(k.At)
	}
	n := len(t.p.XTicks)
	for _, k := range append([]Tick{t.p.XTicks[0], t.p.XTicks[n-1]}, t.p.XTicks...) {
		if fits(k) {
			out = append(out, tick{k.At, k.Label})
		}
	}
	return out
}

// place fixes the data rectangle and then everything that depends on it.
func (t *tile) place() error {
	t.data.Min = vg.Point{X: t.box.Min.X + t.left, Y: t.box.Min.Y + t.bottom}
	t.data.Max = vg.Point{X: t.box.Max.X - t.right, Y: t.box.Max.Y - t.top}
	if s := t.data.Size(); s.X < 20 || s.Y < 20 {
		return errors.New("the labels leave no room for the data; enlarge the figure")
	}
	t.placeMargin()
	t.placeInline()
	return nil
}

// at maps data to the page.
func (t *tile) at(x, y float64) vg.Point {
	s := t.data.Size()
	return vg.Point{
		X: t.data.Min.X + s.X*vg.Length(t.x.frac(x)),
		Y: t.data.Min.Y + s.Y*vg.Length(t.y.frac(y)),
	}
}

// draw paints the panel from back to front.
func (t *tile) draw(c vg.Canvas) {
	t.drawHeading(c)
	t.drawGrid(c)
	if t.p.hasData() {
		t.drawBars(c)
		t.drawKey(c)
		t.drawBands(c)
		t.drawReferences(c)
		t.drawSeries(c)
	} else {
		none := text{size: labelSize, ink: faint, at: centre}
		mid := t.data.Min.Add(t.data.Max).Scale(0.5)
		none.middle(c, mid.X, mid.Y, []string{"no data"})
	}
	t.drawAxes(c)
	t.drawLabels(c)
}

func (t *tile) drawHeading(c vg.Canvas) {
	x, top := t.box.Min.X, t.box.Max.Y
	if t.letter != "" {
		text{size: panelSize, bold: true, ink: ink}.below(c, x, top, []string{t.letter})
		x += width(t.letter, panelSize, true) + 6
	}
	text{size: panelSize, ink: ink}.below(c, x, top, t.title)
}
