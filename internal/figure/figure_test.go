package figure

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
)

func mustSVG(t *testing.T, d drawable) string {
	t.Helper()
	b, err := d.SVG()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSVGIsReproducible(t *testing.T) {
	for i, d := range demos() {
		if mustSVG(t, d) != mustSVG(t, demos()[i]) {
			t.Errorf("%s: two calls differ", d.name)
		}
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	for _, d := range demos() {
		s := mustSVG(t, d)
		dec := xml.NewDecoder(strings.NewReader(s))
		for {
			_, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", d.name, err)
			}
		}
		if n := strings.Count(s, "<text "); n == 0 || n != strings.Count(s, "font-family:"+families) || n != strings.Count(s, "textLength=") {
			t.Errorf("%s: not every text has fallback fonts and a length", d.name)
		}
		if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("%s: a coordinate is not finite", d.name)
		}
	}
}

func TestPNGSize(t *testing.T) {
	f := demoReward()
	f.WidthCM, f.HeightCM = 16, 8
	b, err := f.PNG()
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	w, h := int(math.Round(16/2.54*dpi)), int(math.Round(8/2.54*dpi))
	if got := img.Bounds().Size(); got.X != w || got.Y != h {
		t.Errorf("size %v, want %d x %d", got, w, h)
	}
	r, g, bl, _ := img.At(0, 0).RGBA()
	if r != 0xffff || g != 0xffff || bl != 0xffff {
		t.Error("the background is not white")
	}
}

func TestCSV(t *testing.T) {
	f := Figure{Panels: []Panel{
		{Title: "gold", Series: []Series{
			{Label: "PPO, \"16 seeds\"", X: []float64{0, 4}, Y: []float64{0.1, 1.0 / 3}, Lo: []float64{0, 0.25}, Hi: []float64{0.2, 0.5}},
			{Label: "exact", X: []float64{0}, Y: []float64{-2e-9}},
		}, HLines: []HLine{{Y: 1.5, Label: "optimum"}}},
		{Bars: []Bar{{Label: "held-out", Value: 0.7, Lo: 0.6, Hi: 0.8}, {Label: "ceiling", Value: 0.9}}},
	}}
	want := [][]string{
		{"panel", "series", "x", "y", "lo", "hi"},
		{"gold", `PPO, "16 seeds"`, "0", "0.1", "0", "0.2"},
		{"gold", `PPO, "16 seeds"`, "4", "0.3333333333333333", "0.25", "0.5"},
		{"gold", "exact", "0", "-2e-09", "", ""},
		{"gold", "optimum", "", "1.5", "", ""},
		{"b", "held-out", "", "0.7", "0.6", "0.8"},
		{"b", "ceiling", "", "0.9", "", ""},
	}
	got, err := csv.NewReader(bytes.NewReader(f.CSV())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	compareRows(t, got, want)
	p := Pipeline{Boxes: []Box{{ID: "a", Title: "A", Lines: []string{"x, y"}}, {ID: "b"}}, Arrows: []Arrow{{From: "a", To: "b", Label: "go"}}}
	got, err = csv.NewReader(bytes.NewReader(p.CSV())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	compareRows(t, got, [][]string{{"kind", "id", "to", "text"}, {"box", "a", "", "A"}, {"line", "a", "", "x, y"}, {"box", "b", "", ""}, {"arrow", "a", "b", "go"}})
}

func compareRows(t *testing.T, got, want [][]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if strings.Join(got[i], "|") != strings.Join(want[i], "|") {
			t.Errorf("row %d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestBadInputIsAnError(t *testing.T) {
	one := []float64{1}
	bad := map[string]drawable{
		"length":    Figure{Panels: []Panel{{Series: []Series{{X: one, Y: []float64{1, 2}}}}}},
		"only lo":   Figure{Panels: []Panel{{Series: []Series{{X: one, Y: one, Lo: one}}}}},
		"style":     Figure{Panels: []Panel{{Bars: []Bar{{Style: -1}}}}},
		"too small": Figure{Panels: []Panel{{}}, HeightCM: 1},
		"no room":   Figure{Panels: []Panel{{YLabel: "y"}, {}, {}, {}, {}, {}, {}}, Columns: 7, WidthCM: 5},
		"twins":     Pipeline{Boxes: []Box{{ID: "a"}, {ID: "a"}}},
		"nowhere":   Pipeline{Boxes: []Box{{ID: "a"}}, Arrows: []Arrow{{From: "a", To: "b"}}},
		"column":    Pipeline{Boxes: []Box{{ID: "a", Col: math.NaN()}}},
	}
	for name, d := range bad {
		if _, err := d.SVG(); err == nil {
			t.Errorf("%s: SVG: no error", name)
		}
		if _, err := d.PNG(); err == nil {
			t.Errorf("%s: PNG: no error", name)
		}
	}
}

func TestAwkwardInputDoesNotPanic(t *testing.T) {
	nan, inf, huge := math.NaN(), math.Inf(1), math.MaxFloat64
	zero := 0.0
	series := []Series{
		{}, {Label: "all bad", X: []float64{nan, inf}, Y: []float64{1, -inf}},
		{Label: "huge", X: []float64{-huge, huge}, Y: []float64{huge, -huge}},
		{Label: "large", X: []float64{-1e300, 1e300}, Y: []float64{1e300, -1e300}},
		{Label: "same place", X: []float64{1, 1, 1}, Y: []float64{2, 2, 2}, Lo: []float64{2, nan, 3}, Hi: []float64{2, 2, 1}},
		{Label: "denormal", X: []float64{0, 5e-324}, Y: []float64{5e-324, 0}, Dotted: true},
		{Label: "nearly constant", X: []float64{1e16, 1e16 + 2}, Y: []float64{1, math.Nextafter(1, 2)}, Style: 12345},
		{Label: strings.Repeat("endless", 30), X: []float64{0, 1}, Y: []float64{0, 1}, Points: true, Dash: true},
	}
	for _, s := range series {
		for _, p := range []Panel{
			{Series: []Series{s}}, {Series: []Series{s, s}, Diagonal: true, HLines: []HLine{{Y: nan, Label: "nan"}, {Y: inf}}},
			{Series: []Series{s}, YMin: &zero, YMax: &zero, XMin: &nan, XMax: &inf},
			{Series: []Series{s}, Bars: []Bar{{Value: nan}, {Label: "x", Value: -inf, Lo: -1, Hi: 1}, {Value: 3, Lo: 2, Hi: inf}}, YMin: &huge},
		} {
			f := Figure{Panels: []Panel{p}, Caption: "\x00\xff\u202e"}
			out := mustSVG(t, f)
			if err := xml.Unmarshal([]byte(out), new(struct{})); err != nil {
				t.Errorf("%q: %v", s.Label, err)
			}
			if _, err := f.PNG(); err != nil {
				t.Errorf("%q: %v", s.Label, err)
			}
		}
	}
	mustSVG(t, Figure{})
	mustSVG(t, Pipeline{})
	mustSVG(t, Pipeline{Boxes: []Box{{ID: "a", Lines: []string{"", strings.Repeat("word", 40)}}, {ID: "b", Col: 0.1}, {ID: "c", Row: -0.2}},
		Arrows: []Arrow{{From: "a", To: "b"}, {From: "b", To: "c", Label: "x"}, {From: "c", To: "a"}}})
}

// spy records where upright texts stand.
type spy struct {
	*vgsvg.Canvas
	depth int
	texts []string
	rects []vg.Rectangle
}

func (s *spy) Push() { s.depth++; s.Canvas.Push() }
func (s *spy) Pop()  { s.depth--; s.Canvas.Pop() }

func (s *spy) FillString(f font.Face, p vg.Point, text string) {
	if s.depth == 0 {
		size := f.Font.Size
		s.texts = append(s.texts, text)
		s.rects = append(s.rects, vg.Rectangle{
			Min: vg.Point{X: p.X, Y: p.Y - 0.2*size},
			Max: vg.Point{X: p.X + f.Width(text), Y: p.Y + 0.72*size},
		})
	}
	s.Canvas.FillString(f, p, text)
}

func (s *spy) check(t *testing.T, name string, w, h vg.Length) {
	t.Helper()
	page := vg.Rectangle{Max: vg.Point{X: w, Y: h}}
	for i, r := range s.rects {
		if inside(r, page) != r {
			t.Errorf("%s: %q is clipped", name, s.texts[i])
		}
		for j := range i {
			if overlap(grow(r, -0.2), grow(s.rects[j], -0.2)) {
				t.Errorf("%s: %q overlaps %q", name, s.texts[i], s.texts[j])
			}
		}
	}
}

// TestTextsDoNotOverlap draws the demonstration figures and looks at the
// texts, which must be apart and on the page.
func TestTextsDoNotOverlap(t *testing.T) {
	for _, f := range []Figure{demoCurves(), demoOveropt(), demoReward(), demoAwkward()} {
		g, err := f.layout()
		if err != nil {
			t.Fatal(err)
		}
		s := &spy{Canvas: vgsvg.New(g.w, g.h)}
		g.draw(s)
		s.check(t, f.Name, g.w, g.h)
		for _, tile := range g.tiles {
			for _, l := range tile.inline {
				if l.forced {
					t.Errorf("%s: label %q covers a line", f.Name, l.lines)
				}
			}
		}
	}
	d, err := demoPipeline().layout()
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{Canvas: vgsvg.New(d.w, d.h)}
	d.draw(s)
	s.check(t, "pipeline", d.w, d.h)
}
