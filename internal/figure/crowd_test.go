package figure

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// demoCrowd is seventy numbered points in clusters, with one far off both axes.
func demoCrowd() Figure {
	left, right, low, high := 0.0, 2.0, -1.0, 2.0
	f := Figure{Name: "crowd", Title: "A crowd", WidthCM: 24, RowCM: 11, Caption: "Numbered points."}
	for panel := range 2 {
		p := Panel{Title: "panel", XLabel: "x", YLabel: "y", XMin: &left, XMax: &right, YMin: &low, YMax: &high}
		p.Series = append(p.Series, Series{Label: "frontier", Dotted: true, Style: Neutral, X: []float64{0, 1, 3}, Y: []float64{-1, 1.2, 5}})
		for i := range 70 {
			x, y := 1+0.3*wave(i, float64(panel)), 0.2+0.4*wave(i, 2)+0.1*wave(3*i, 1)
			if i == 69 {
				x, y = 8, -5
			}
			p.Series = append(p.Series, Series{Label: fmt.Sprintf("method %d", i+1), Mark: fmt.Sprint(i + 1), Points: true, Style: Style(i % 4),
				X: []float64{x}, Y: []float64{y}, Lo: []float64{y - 0.5}, Hi: []float64{y + 0.5}})
		}
		f.Panels = append(f.Panels, p)
	}
	for k := range 4 {
		g := KeyGroup{Title: fmt.Sprintf("family %d", k), Style: Style(k)}
		for i := k; i < 70; i += 4 {
			g.Entries = append(g.Entries, KeyEntry{fmt.Sprint(i + 1), fmt.Sprintf("method %d", i+1)})
		}
		f.Key = append(f.Key, g)
	}
	return f
}

// Numbers are apart from one another and on the page, the key names them all, and
// each is nearer to its own point than to any other, or has a leader.
func TestCrowdIsLegible(t *testing.T) {
	f := demoCrowd()
	g, err := f.layout()
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{Canvas: vgsvg.New(g.w, g.h)}
	g.draw(s)
	s.check(t, f.Name, g.w, g.h)
	all := "\n" + strings.Join(s.texts, "\n") + "\n"
	for i := range 70 {
		if strings.Count(all, fmt.Sprintf("\n%d\n", i+1)) < 3 || strings.Count(all, fmt.Sprintf("\nmethod %d\n", i+1)) != 1 {
			t.Errorf("number %d is not in two panels and in the key, with its name", i+1)
		}
	}
	strays := 0
	for _, tile := range g.tiles {
		for _, l := range tile.inline {
			if !l.mark || l.leader {
				continue
			}
			for i, other := range tile.p.Series {
				if at, _ := tile.spot(other, 0); i != l.series && other.Mark != "" && dist(nearest(l.rect, at), at) < dist(nearest(l.rect, l.target), l.target) {
					strays++
				}
			}
		}
	}
	if strays > 3 {
		t.Errorf("%d numbers of 140 stand nearer to another point than to their own", strays)
	}
}

// A marked point beyond the axes is an arrow at their border; lines are cut there.
func TestOutliersAreArrows(t *testing.T) {
	g, err := demoCrowd().layout()
	if err != nil {
		t.Fatal(err)
	}
	tile := g.tiles[0]
	last := tile.p.Series[len(tile.p.Series)-1]
	at, away := tile.spot(last, 0)
	if at != (vg.Point{X: tile.data.Max.X, Y: tile.data.Min.Y}) || away != (vg.Point{X: 1, Y: -1}) {
		t.Errorf("at %v, towards %v", at, away)
	}
	if tile.x.hi != 2 || tile.y.lo != -1 {
		t.Errorf("the axes reach to %v, %v", tile.x, tile.y)
	}
	for _, l := range tile.path(tile.p.Series[0]) {
		for _, p := range l {
			if p.Y > tile.data.Max.Y+1e-6 || p.X > tile.data.Max.X+1e-6 {
				t.Errorf("the frontier leaves the axes at %v", p)
			}
		}
	}
}

// The table has names and intervals, though the picture has neither.
func TestCrowdCSV(t *testing.T) {
	text := string(demoCrowd().CSV())
	if strings.Count(text, "method 70,8,-5,-5.5,-4.5") != 2 {
		t.Error(text)
	}
}

// No column of a key ends with a heading.
func TestKeyColumns(t *testing.T) {
	for _, inner := range []vg.Length{90, 200, 300, 450, 664, 900} {
		k := newKey(demoCrowd().Key, inner, false)
		n := 0
		for i, c := range k.columns {
			n += len(c)
			if c[len(c)-1].mark == "" {
				t.Errorf("%v: column %d ends with a heading", inner, i)
			}
		}
		if right := vg.Length(len(k.columns))*k.pitch - keyApart; n != 74 || right > inner && len(k.columns) > 1 {
			t.Errorf("%v: %d lines, %v wide", inner, n, right)
		}
	}
	if k := newKey([]KeyGroup{{Title: "a"}, {Title: "b"}}, 600, true); len(k.columns) != 2 || k.height() != keyAbove+keyPitch {
		t.Errorf("headings alone: %+v", k)
	}
	if newKey(nil, 600, false).height() != 0 {
		t.Error("no key takes room")
	}
}

// Values that cannot stand side by side are left to the table.
func TestValuesThatDoNotFitAreLeftOut(t *testing.T) {
	p := Panel{YLabel: "share"}
	for i := range 70 {
		p.Bars = append(p.Bars, Bar{Label: "a name", Value: 0.5 + math.Sin(float64(i))/4})
	}
	for bars, want := range map[int]bool{8: true, 70: false} {
		q := p
		q.Bars = p.Bars[:bars]
		if got := strings.Contains(mustSVG(t, Figure{Panels: []Panel{q}, WidthCM: 17}), ">0.5"); got != want {
			t.Errorf("%d bars: values are printed: %v", bars, got)
		}
	}
}
