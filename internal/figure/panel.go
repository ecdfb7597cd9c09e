package figure

import (
	"image/color"

	"gonum.org/v1/plot/vg"
)

// hasData reports whether the panel shows at least one value.
func (p *Panel) hasData() bool {
	_, y := p.extents()
	return y.any
}

// hasX reports whether the x axis carries numbers.
func (p *Panel) hasX() bool {
	x, _ := p.extents()
	return x.any && len(p.Bars) == 0
}

// extents collects what the axes have to cover.
func (p *Panel) extents() (x, y extent) {
	for _, s := range p.Series {
		for i := range s.X {
			if !usable(s.X[i]) || !usable(s.Y[i]) {
				continue
			}
			x.add(s.X[i])
			y.add(s.Y[i])
			if s.Lo != nil && s.Mark == "" {
				y.add(s.Lo[i], s.Hi[i])
			}
		}
	}
	for _, h := range p.HLines {
		y.add(h.Y)
	}
	for _, b := range p.Bars {
		if usable(b.Value) {
			y.add(b.reach())
		}
		if b.hasInterval() {
			y.add(b.Lo, b.Hi)
		}
	}
	return x, y
}

func (b Bar) hasInterval() bool {
	return usable(b.Value) && usable(b.Lo) && usable(b.Hi) && b.Lo < b.Hi
}

// spans chooses the ranges of the axes.
func (p *Panel) spans() (x, y span) {
	ex, ey := p.extents()
	if len(p.Bars) > 0 {
		ey.add(0)
		y := ey.span(0, 0, nil, nil)
		room := 0.14 * (y.hi - y.lo) // for the printed values
		if ey.hi > 0 {
			y.hi += room
		}
		switch stacked := len(p.key()) > 0; {
		case ey.lo < 0 && stacked: // theirs stand above
			y.lo -= 0.03 * (y.hi - y.lo)
		case ey.lo < 0:
			y.lo -= room
		}
		return span{0.5, float64(len(p.Bars)) + 0.5}, y.limited(p.YMin, p.YMax)
	}
	return ex.span(0.02, 0.02, p.XMin, p.XMax), ey.span(0.05, 0.06, p.YMin, p.YMax)
}

// drawGrid draws the light horizontal grid.
func (t *tile) drawGrid(c vg.Canvas) {
	for _, k := range t.yt {
		if !t.y.holds(k.at) {
			continue
		}
		y := t.at(t.x.lo, k.at).Y
		stroke(c, []vg.Point{{X: t.data.Min.X, Y: y}, {X: t.data.Max.X, Y: y}}, gridInk, 0.6, nil)
	}
}

// drawAxes draws the left and bottom spines with ticks and labels.
func (t *tile) drawAxes(c vg.Canvas) {
	lo, hi := t.data.Min, t.data.Max
	stroke(c, []vg.Point{{X: lo.X, Y: hi.Y}, lo, {X: hi.X, Y: lo.Y}}, spine, 0.6, nil)
	num := text{size: tickSize, ink: spine, at: right}
	for _, k := range t.yt {
		y := t.at(t.x.lo, k.at).Y
		stroke(c, []vg.Point{{X: lo.X - tickLength, Y: y}, {X: lo.X, Y: y}}, spine, 0.6, nil)
		num.middle(c, lo.X-tickLength-2, y, []string{k.label})
	}
	num.at = centre
	under := lo.Y - tickLength - 3
	for _, k := range t.xt {
		x := t.at(k.at, t.y.lo).X
		stroke(c, []vg.Point{{X: x, Y: lo.Y - tickLength}, {X: x, Y: lo.Y}}, spine, 0.6, nil)
		num.below(c, x, under, []string{k.label})
	}
	for i, lines := range t.cats {
		cat := text{size: t.catSize, ink: spine, at: centre}
		x := t.at(float64(i+1), t.y.lo).X
		if t.catsUp {
			h := maxWidth(lines, t.catSize, false)
			cat.upward(c, x+blockHeight(len(lines), t.catSize)/2, under-h/2, lines)
			continue
		}
		cat.below(c, x, under, lines)
	}
	t.drawAxisLabels(c)
}

func (t *tile) drawAxisLabels(c vg.Canvas) {
	mid := t.data.Min.Add(t.data.Max).Scale(0.5)
	lab := text{size: labelSize, ink: ink, at: centre}
	lab.below(c, mid.X, t.data.Min.Y-tickLength-3-t.underTicks-4, t.xlab)
	if len(t.ylab) > 0 {
		lab.upward(c, t.box.Min.X+blockHeight(len(t.ylab), labelSize), mid.Y, t.ylab)
	}
}

// drawBars draws the bars with their intervals and values.
func (t *tile) drawBars(c vg.Canvas) {
	if len(t.p.Bars) == 0 {
		return
	}
	zero := min(max(t.at(t.x.lo, 0).Y, t.data.Min.Y), t.data.Max.Y)
	for i, b := range t.p.Bars {
		if !usable(b.Value) {
			text{size: tickSize, ink: faint, at: centre}.middle(c, t.at(float64(i+1), 0).X, zero+7, []string{"no data"})
			continue
		}
		if len(b.Parts) > 0 {
			t.drawStack(c, i)
			continue
		}
		r := t.barRect(i)
		fill(c, corners(r), tint(b.Style.look().line, 0.75))
		mid := (r.Min.X + r.Max.X) / 2
		if b.hasInterval() {
			t.whisker(c, mid, b.Lo, b.Hi, 4, ink)
		}
		t.barValue(c, b, mid)
	}
	if t.y.lo < 0 {
		stroke(c, []vg.Point{{X: t.data.Min.X, Y: zero}, {X: t.data.Max.X, Y: zero}}, spine, 0.6, nil)
	}
}

// barHalf is half the width of a bar, of a slot of 1.
const barHalf = 0.31

// barRect is the clipped rectangle of the i-th bar.
func (t *tile) barRect(i int) vg.Rectangle {
	clamp := func(y vg.Length) vg.Length { return min(max(y, t.data.Min.Y), t.data.Max.Y) }
	x := float64(i + 1)
	low, high := t.p.Bars[i].reach()
	a, b := t.at(x-barHalf, low), t.at(x+barHalf, high)
	lo, hi := clamp(min(a.Y, b.Y)), clamp(max(a.Y, b.Y))
	return vg.Rectangle{Min: vg.Point{X: a.X, Y: lo}, Max: vg.Point{X: b.X, Y: hi}}
}

// barValue prints the value beyond the end of the bar and its interval.
func (t *tile) barValue(c vg.Canvas, b Bar, x vg.Length) {
	lo, hi := b.Value, b.Value
	if b.hasInterval() {
		lo, hi = min(lo, b.Lo), max(hi, b.Hi)
	}
	y := min(t.at(0, hi).Y, t.data.Max.Y-directSize) + 7
	if b.Value < 0 {
		y = max(t.at(0, lo).Y, t.data.Min.Y+directSize) - 7
	}
	t.barText(c, number(b.Value, t.decimals), x, y)
}

// barText prints a bar's value at a height.
func (t *tile) barText(c vg.Canvas, s string, x, y vg.Length) {
	size := t.valueSize
	if size == 0 {
		return
	}
	w := width(s, size, true)
	// Hide the grid behind the number.
	fill(c, corners(vg.Rectangle{Min: vg.Point{X: x - w/2 - 1, Y: y - 4}, Max: vg.Point{X: x + w/2 + 1, Y: y + 4}}), white)
	text{size: size, bold: true, ink: ink, at: centre}.middle(c, x, y, []string{s})
}

// fitValues chooses digits and type of the bars' values: side by side they must
// fit, whatever their heights.
func (t *tile) fitValues(slot vg.Length) {
	t.decimals, t.valueSize = t.valueDecimals(), directSize
	widest := func() (w vg.Length) {
		for _, b := range t.p.Bars {
			if usable(b.Value) {
				w = max(w, width(number(b.Value, t.decimals), t.valueSize, true)+2)
			}
		}
		return w
	}
	for t.decimals > 2 && widest() > slot {
		t.decimals--
	}
	for t.valueSize > minText && widest() > slot {
		t.valueSize -= 0.25
	}
	if widest() > slot {
		t.valueSize = 0 // the table has them
	}
}

// maxDecimals of a bar's value; the table behind the figure has them all. Large
// numbers and stacks, which have many, take fewer.
func (t *tile) maxDecimals() int {
	if len(t.p.key()) > 0 || t.y.hi >= 5 || t.y.lo <= -5 {
		return 2
	}
	return 3
}

// valueDecimals is one more digit than the ticks need, at least two for
// numbers below ten, and enough to resolve half the narrowest interval.
func (t *tile) valueDecimals() int {
	d := 0
	if len(t.yt) > 1 {
		d = decimals(t.yt[1].at-t.yt[0].at) + 1
	}
	if t.y.hi < 10 && t.y.lo > -10 {
		d = max(d, 2)
	}
	for _, b := range t.p.Bars {
		if b.hasInterval() {
			d = max(d, min(t.maxDecimals(), decimals((b.Hi-b.Lo)/2)))
		}
	}
	return d
}

// whisker draws a vertical interval with caps, clipped to the panel.
func (t *tile) whisker(c vg.Canvas, x vg.Length, lo, hi float64, cap vg.Length, in color.NRGBA) {
	a := max(t.at(t.x.lo, lo).Y, t.data.Min.Y)
	b := min(t.at(t.x.lo, hi).Y, t.data.Max.Y)
	if a > b {
		return
	}
	stroke(c, []vg.Point{{X: x, Y: a}, {X: x, Y: b}}, in, 1, nil)
	if t.y.holds(lo) {
		stroke(c, []vg.Point{{X: x - cap/2, Y: a}, {X: x + cap/2, Y: a}}, in, 1, nil)
	}
	if t.y.holds(hi) {
		stroke(c, []vg.Point{{X: x - cap/2, Y: b}, {X: x + cap/2, Y: b}}, in, 1, nil)
	}
}

// corners lists the corners of r in order.
func corners(r vg.Rectangle) []vg.Point {
	return []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}}
}
