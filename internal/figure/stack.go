package figure

import (
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
)

// Part is one piece of a stacked bar. Parts above 0 are stacked upwards from the
// axis, parts below 0 downwards, in the order given.
type Part struct {
	Label         string
	Value, Lo, Hi float64
	Style         Style
}

// stack is where the parts of a bar begin and end, and how far they reach.
func (b Bar) stack() (from, to []float64, low, high float64) {
	for _, p := range b.Parts {
		switch {
		case !usable(p.Value):
			from, to = append(from, 0), append(to, 0)
		case p.Value < 0:
			from, to = append(from, low), append(to, low+p.Value)
			low += p.Value
		default:
			from, to = append(from, high), append(to, high+p.Value)
			high += p.Value
		}
	}
	return from, to, low, high
}

// reach is the range that a bar takes, its interval left out.
func (b Bar) reach() (low, high float64) {
	if len(b.Parts) > 0 {
		_, _, low, high = b.stack()
		return low, high
	}
	return min(b.Value, 0), max(b.Value, 0)
}

// drawStack draws the parts with their values, and the sum as a diamond.
func (t *tile) drawStack(c vg.Canvas, i int) {
	b := t.p.Bars[i]
	b.Parts = slices.DeleteFunc(slices.Clone(b.Parts), func(p Part) bool { return t.p.slight(p.Label) })
	from, to, _, high := b.stack()
	x := float64(i + 1)
	for k, p := range b.Parts {
		lo, hi := t.at(x-barHalf, min(from[k], to[k])), t.at(x+barHalf, max(from[k], to[k]))
		fill(c, corners(vg.Rectangle{Min: lo, Max: hi}), tint(p.Style.look().line, 0.75))
		stroke(c, append(corners(vg.Rectangle{Min: lo, Max: hi}), lo), white, 0.8, nil)
		// Its value, with its name where there is room beside the diamond.
		s, room := number(p.Value, t.decimals), hi.X-lo.X-6
		if y := (lo.Y + hi.Y) / 2; y > t.at(x, min(b.Lo, b.Value)).Y-10 && y < t.at(x, max(b.Hi, b.Value)).Y+10 {
			room = room/2 - 6
		}
		if named := p.Label + " " + s; room > width(named, directSize, false) {
			s = named
		}
		if hi.Y-lo.Y > directSize+2 && hi.X-lo.X > width(s, directSize, false)+14 {
			text{size: directSize, ink: ink}.middle(c, lo.X+3, (lo.Y+hi.Y)/2, []string{s})
		}
	}
	mid := t.at(x, 0).X
	if b.hasInterval() {
		t.whisker(c, mid, b.Lo, b.Hi, 4, ink)
	}
	y := t.at(x, b.Value).Y
	const r = 3.2
	diamond := []vg.Point{{X: mid, Y: y + r}, {X: mid + r, Y: y}, {X: mid, Y: y - r}, {X: mid - r, Y: y}}
	fill(c, diamond, white)
	stroke(c, append(diamond, diamond[0]), ink, 1, nil)
	top := b
	top.Value, top.Lo, top.Hi = max(high, b.Value), max(high, b.Value), max(high, b.Hi)
	t.barText(c, number(b.Value, t.decimals), mid, min(t.at(x, top.Hi).Y, t.data.Max.Y-directSize)+7)
}

// slight reports whether a part is too small to be seen in every bar.
func (p *Panel) slight(label string) bool {
	whole, most := 0.0, 0.0
	for _, b := range p.Bars {
		low, high := b.reach()
		whole = max(whole, high-low)
		for _, part := range b.Parts {
			if part.Label == label && usable(part.Value) {
				most = max(most, math.Abs(part.Value))
			}
		}
	}
	return most < 0.01*whole
}

// key lists the parts of the panel's bars that can be seen, each once.
func (p *Panel) key() []Part {
	var out []Part
	seen := map[string]bool{}
	for _, b := range p.Bars {
		for _, part := range b.Parts {
			if !seen[part.Label] && !p.slight(part.Label) {
				seen[part.Label] = true
				out = append(out, part)
			}
		}
	}
	return out
}

// drawKey explains the parts in a row above the data, and the diamond.
func (t *tile) drawKey(c vg.Canvas) {
	key := t.p.key()
	if len(key) == 0 {
		return
	}
	x, y := t.data.Min.X, t.data.Max.Y+9
	for _, p := range key {
		fill(c, corners(vg.Rectangle{Min: vg.Point{X: x, Y: y - 3}, Max: vg.Point{X: x + 7, Y: y + 4}}), tint(p.Style.look().line, 0.75))
		text{size: directSize, ink: p.Style.look().text}.middle(c, x+10, y, []string{p.Label})
		x += 10 + width(p.Label, directSize, false) + 12
	}
}
