package figure

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		name             string
		want, size, good []float64
		lo, hi           float64
	}{
		{"apart stay", []float64{10, 50}, []float64{10, 10}, []float64{10, 50}, 0, 100},
		{"same place", []float64{50, 50, 50}, []float64{10, 10, 10}, []float64{40, 50, 60}, 0, 100},
		{"order kept", []float64{51, 50}, []float64{10, 10}, []float64{55.5, 45.5}, 0, 100},
		{"sizes differ", []float64{50, 50}, []float64{10, 20}, []float64{42.5, 57.5}, 0, 100},
		{"pushed down", []float64{99, 99}, []float64{10, 10}, []float64{85, 95}, 0, 100},
		{"pushed up", []float64{-5, 3, 80}, []float64{10, 10, 10}, []float64{5, 15, 80}, 0, 100},
		{"chain", []float64{20, 25, 31}, []float64{10, 10, 10}, []float64{46.0/3 + 0, 76.0 / 3, 106.0 / 3}, 0, 100},
		{"full", []float64{0, 0}, []float64{10, 10}, []float64{5, 15}, 0, 12},
		{"none", nil, nil, nil, 0, 1},
	} {
		got := spread(c.want, c.size, c.lo, c.hi)
		if len(got) != len(c.good) {
			t.Fatalf("%s: %v", c.name, got)
		}
		for i := range got {
			if !(math.Abs(got[i]-c.good[i]) <= 1e-9) {
				t.Errorf("%s: got %v, want %v", c.name, got, c.good)
				break
			}
		}
	}
}

func TestSpreadNeverOverlaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + r.IntN(8)
		want, size := make([]float64, n), make([]float64, n)
		total := 0.0
		for i := range want {
			want[i], size[i] = 120*r.Float64()-10, 1+10*r.Float64()
			total += size[i]
		}
		got := spread(want, size, 0, math.Max(100, total))
		for i := range got {
			if got[i]-size[i]/2 < -1e-9 || got[i]+size[i]/2 > math.Max(100, total)+1e-9 {
				t.Fatalf("out of bounds: want %v size %v got %v", want, size, got)
			}
			for j := range i {
				if math.Abs(got[i]-got[j]) < (size[i]+size[j])/2-1e-9 {
					t.Fatalf("overlap: want %v size %v got %v", want, size, got)
				}
				if (want[i]-want[j])*(got[i]-got[j]) < 0 {
					t.Fatalf("order lost: want %v got %v", want, got)
				}
			}
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		s    span
		n    int
		want string
	}{
		{span{-1.6, 0.5}, 6, "−1.5 −1.0 −0.5 0.0 0.5"},
		{span{0, 240}, 6, "0 50 100 150 200"},
		{span{-0.3, 0.3}, 4, "−0.2 0.0 0.2"},
		{span{0, 20000}, 5, "0 5k 10k 15k 20k"},
		{span{0, 4.2e6}, 5, "0 1M 2M 3M 4M"},
		{span{0, 3e-7}, 4, "0 1e−7 2e−7 3e−7"},
		{span{0.1, 0.9}, 3, "0.5"},
		{span{1, 1}, 3, ""},
	} {
		var got []string
		for _, k := range ticks(c.s, c.n) {
			got = append(got, k.label)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("ticks(%v, %d) = %q, want %q", c.s, c.n, s, c.want)
		}
		if len(got) > c.n {
			t.Errorf("ticks(%v, %d): %d ticks", c.s, c.n, len(got))
		}
	}
	if got := number(-0.0001, 2); got != "0.00" {
		t.Errorf("minus zero printed as %q", got)
	}
}

func TestCleanKeepsOnlyDrawableText(t *testing.T) {
	for in, want := range map[string]string{
		"√KL ± β − π ≤ ≥ → ≈ ∞": "√KL ± β − π ≤ ≥ → ≈ ∞",
		"10⁻¹ x²":               "10^−1 x²",
		"a\tb\nc\x00":           "a b c",
		"🙂":                     "?",
		"bad \xff byte":         "bad ? byte",
	} {
		got := clean(in)
		if got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
		for _, r := range got {
			if !hasGlyph(r) {
				t.Errorf("clean(%q) keeps %q, which has no glyph", in, r)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	s := `says: "power it off, wait, power it on" averyveryverylongwordindeed 12 % [−1.52, −1.46]`
	for limit := vg.Length(30); limit < 400; limit += 7 {
		lines := wrap(glue(s), 8, false, limit)
		for _, l := range lines {
			if width(l, 8, false) > limit {
				t.Errorf("limit %v: %q is %v wide", limit, l, width(l, 8, false))
			}
		}
		flat := func(s string) string { return strings.NewReplacer(" ", "", string(nbsp), "").Replace(s) }
		if flat(strings.Join(lines, "")) != flat(s) {
			t.Errorf("limit %v lost text: %q", limit, lines)
		}
		if b := balanced(glue(s), 8, false, limit); len(b) > len(lines) {
			t.Errorf("limit %v: balancing added lines", limit)
		}
	}
}

// TestPipelineGeometry checks that text stays in its box and that arrows
// touch neither boxes nor labels.
func TestPipelineGeometry(t *testing.T) {
	d, err := demoPipeline().layout()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range d.boxes {
		if q.height() > q.rect.Max.Y-q.rect.Min.Y+1e-9 {
			t.Errorf("box %s is too low for its text", q.ID)
		}
		for _, l := range q.lines {
			if maxWidth(l, boxLineSize, false) > q.rect.Max.X-q.rect.Min.X-2*boxPad {
				t.Errorf("box %s: %q is too wide", q.ID, l)
			}
		}
	}
	for i, r := range d.routes {
		for j := 1; j < len(r.pts); j++ {
			s := segment{r.pts[j-1], r.pts[j]}
			for _, q := range d.boxes {
				if hits(grow(q.rect, -0.5), s) {
					t.Errorf("arrow %d runs through box %s", i, q.ID)
				}
			}
			for k, o := range d.routes {
				if len(o.label) > 0 && hits(o.rect, s) {
					t.Errorf("arrow %d crosses the label of arrow %d", i, k)
				}
			}
		}
		for _, q := range d.boxes {
			if len(r.label) > 0 && overlap(r.rect, q.rect) {
				t.Errorf("the label of arrow %d covers box %s", i, q.ID)
			}
		}
	}
}

// TestStylesDiffer checks the redundant coding: any two styles of the cycle
// differ in dash and in marker, and none uses the pattern of exact lines.
func TestStylesDiffer(t *testing.T) {
	for i, a := range cycle {
		for j, b := range cycle[:i] {
			if a.marker == b.marker {
				t.Errorf("styles %d and %d share a marker", i, j)
			}
			if len(a.dash) == len(b.dash) && ratio(a.dash) == ratio(b.dash) {
				t.Errorf("styles %d and %d share a dash", i, j)
			}
		}
		if len(a.dash) == 2 && a.dash[0] <= dotted[0]*2 {
			t.Errorf("style %d looks dotted", i)
		}
	}
}

func ratio(dash []vg.Length) vg.Length {
	if len(dash) == 0 {
		return 0
	}
	return dash[0]
}

func TestStackedBarsGrowBothWaysFromZero(t *testing.T) {
	b := Bar{Label: "arm", Value: 0.6, Lo: 0.5, Hi: 0.7, Parts: []Part{{Label: "a", Value: 1}, {Label: "b", Value: -0.5, Style: Green}, {Label: "c", Value: 0.3}, {Label: "d", Value: -0.2}, {Label: "none", Value: math.NaN()}}}
	from, to, low, high := b.stack()
	want := [][2]float64{{0, 1}, {0, -0.5}, {1, 1.3}, {-0.5, -0.7}, {0, 0}}
	for i, w := range want {
		if !(math.Abs(from[i]-w[0]) <= 1e-12) || !(math.Abs(to[i]-w[1]) <= 1e-12) {
			t.Errorf("part %d from %v to %v, want %v", i, from[i], to[i], w)
		}
	}
	if !(math.Abs(low+0.7) <= 1e-12) || !(math.Abs(high-1.3) <= 1e-12) {
		t.Errorf("the stack reaches from %v to %v", low, high)
	}
	f := Figure{Name: "stack", Title: "stack", Panels: []Panel{{YLabel: "y", Bars: []Bar{b}}}}
	if _, err := f.SVG(); err != nil {
		t.Fatal(err)
	}
	if csv := string(f.CSV()); !strings.Contains(csv, "arm: b,,-0.5") {
		t.Errorf("the parts are not in the CSV:\n%s", csv)
	}
	f.Panels[0].Bars[0].Parts[1].Style = -1
	if _, err := f.SVG(); err == nil {
		t.Error("a negative style was drawn")
	}
}

// six is a loop with six arms that see the same reward model.
func six() Pipeline {
	p := Pipeline{Boxes: []Box{{ID: "rm", Title: "Reward model", Lines: []string{"accuracy 76 %"}}}}
	for i := range 6 {
		id := string(rune('a' + i))
		p.Boxes = append(p.Boxes, Box{ID: id, Title: "arm " + id, Lines: []string{"gold 1.02", strings.Repeat("restart ", 1+3*(i%2))}, Col: 1, Row: float64(i)})
		p.Arrows = append(p.Arrows, Arrow{From: "rm", To: id, Label: "scores"})
	}
	return p
}

// Arrows that carry the same to a column of boxes are one tree: they leave the
// box at one point, share one trunk, and name it once.
func TestArrowsToOneColumnAreATree(t *testing.T) {
	d, err := six().layout()
	if err != nil {
		t.Fatal(err)
	}
	labels := 0
	for i, r := range d.routes {
		labels += len(r.label)
		to := d.boxes[i+1].rect
		if end := r.pts[len(r.pts)-1]; end.X != to.Min.X || end.Y <= to.Min.Y || end.Y >= to.Max.Y {
			t.Errorf("arrow %d ends at %v, not at the left of its box", i, end)
		}
		if !d.clear(r) {
			t.Errorf("arrow %d runs through a box", i)
		}
		if r.pts[0] != d.routes[0].pts[0] || i > 1 && r.pts[1] != d.routes[1].pts[1] {
			t.Errorf("arrow %d has a trunk of its own: %v", i, r.pts)
		}
	}
	if labels != 1 {
		t.Errorf("%d labels on one tree", labels)
	}
	for i := 2; i < len(d.boxes); i++ {
		if gap := d.boxes[i-1].rect.Min.Y - d.boxes[i].rect.Max.Y; !(math.Abs(float64(gap-rowGapBox)) <= 1e-6) {
			t.Errorf("%v points between boxes %d and %d", gap, i-1, i)
		}
	}
}

// Names of bars are never broken within a word, and neither names nor values
// cover one another, however many bars there are.
func TestManyBarsStayReadable(t *testing.T) {
	var p Panel
	for i, name := range []string{"base", "SFT", "PPO", "exact ascent", "REINFORCE", "RLOO", "Dr. GRPO", "length-normalised DPO", "best"} {
		v := 0.3 + 0.001234*float64(i)
		p.Bars = append(p.Bars, Bar{Label: name, Value: v, Lo: v - 0.0001, Hi: v + 0.0001, Style: Style(i)})
	}
	for _, cols := range []int{1, 2, 4} {
		f := Figure{Name: "bars", Columns: cols, WidthCM: 24, Panels: []Panel{p, p, p, p}}
		g, err := f.layout()
		if err != nil {
			t.Fatal(err)
		}
		s := &spy{Canvas: vgsvg.New(g.w, g.h)}
		g.draw(s)
		s.check(t, "bars", g.w, g.h)
		for _, tile := range g.tiles {
			for i, lines := range tile.cats {
				if strings.Join(lines, " ") != p.Bars[i].Label {
					t.Errorf("%d columns: %q is broken into %q", cols, p.Bars[i].Label, lines)
				}
			}
		}
	}
}

// A name of any length leaves room for the data: it is elided.
func TestLongNamesAreElided(t *testing.T) {
	for _, name := range []string{strings.Repeat("some words ", 30), strings.Repeat("oneword", 30)} {
		p := Panel{Bars: []Bar{{Label: name, Value: 0.5}, {Label: "SFT", Value: 0.4}}}
		f := Figure{Name: "bars", Columns: 2, WidthCM: 16, Panels: []Panel{p, p, p, p}}
		g, err := f.layout()
		if err != nil {
			t.Fatal(err)
		}
		s := &spy{Canvas: vgsvg.New(g.w, g.h)}
		g.draw(s)
		s.check(t, "bars", g.w, g.h)
		lines := g.tiles[0].cats[0]
		if last := lines[len(lines)-1]; !strings.HasSuffix(last, "…") {
			t.Errorf("%q ends with %q", name[:10], last)
		}
	}
}

// A stack's axis ends where its parts do, and a part that is nothing everywhere
// is neither drawn nor in the key.
func TestStacksWasteNoRoom(t *testing.T) {
	p := Panel{Bars: []Bar{
		{Label: "a", Value: 0.98, Parts: []Part{{Label: "judge", Value: 1}, {Label: "class", Value: 1e-17}, {Label: "optimiser", Value: -0.02}}},
		{Label: "b", Value: 1.5, Parts: []Part{{Label: "judge", Value: 1}, {Label: "class", Value: -0.001}, {Label: "optimiser", Value: 0.5}}},
	}}
	if _, y := p.spans(); y.lo < -0.1 || y.lo > -0.02 {
		t.Errorf("the axis begins at %v", y.lo)
	}
	var names []string
	for _, part := range p.key() {
		names = append(names, part.Label)
	}
	if got := strings.Join(names, ", "); got != "judge, optimiser" {
		t.Errorf("the key has %s", got)
	}
}

func TestNamedTicks(t *testing.T) {
	p := Panel{Series: []Series{{X: []float64{-2, -1, -0.99, 1}, Y: []float64{1, 2, 3, 4}}},
		XTicks: []Tick{{-2, "0.01"}, {-1, "0.1"}, {-0.99, "0.102"}, {1, "10"}}}
	g, err := Figure{Panels: []Panel{p}}.layout()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range g.tiles[0].xt {
		names = append(names, k.label)
	}
	if got := strings.Join(names, " "); got != "0.01 10 0.1" { // 0.102 has no room beside 0.1
		t.Errorf("ticks %s", got)
	}
}

// A narrow interval asks for digits, but not for more than can be read.
func TestBarsDoNotDrownInDigits(t *testing.T) {
	for want, b := range map[int]Bar{
		2: {Label: "a", Value: 13.1444, Lo: 13.1443, Hi: 13.1445},
		3: {Label: "b", Value: 0.41444, Lo: 0.41443, Hi: 0.41445},
	} {
		g, err := Figure{Panels: []Panel{{Bars: []Bar{b}}}}.layout()
		if err != nil {
			t.Fatal(err)
		}
		if got := g.tiles[0].decimals; got != want {
			t.Errorf("%v has %d decimals, want %d", b.Value, got, want)
		}
	}
}
