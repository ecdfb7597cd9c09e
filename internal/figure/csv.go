package figure

import (
	"bytes"
	"encoding/csv"
	"strconv"
)

// table collects CSV rows.
type table struct {
	buf bytes.Buffer
	w   *csv.Writer
}

func newTable(header ...string) *table {
	t := &table{}
	t.w = csv.NewWriter(&t.buf)
	t.row(header...)
	return t
}

// row appends a row; writing to memory cannot fail.
func (t *table) row(cells ...string) { _ = t.w.Write(cells) }

func (t *table) bytes() []byte {
	t.w.Flush()
	return t.buf.Bytes()
}

func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// CSV lists what the figure shows, one value per row at full precision, in
// the columns panel, series, x, y, lo, hi. A panel is named by its title, or
// by its letter if it has none. Horizontal lines and bars have no x; what has
// no interval has no lo and hi.
func (f Figure) CSV() []byte {
	t := newTable("panel", "series", "x", "y", "lo", "hi")
	for i, p := range f.Panels {
		name := p.Title
		if name == "" {
			name = letter(i)
		}
		for _, s := range p.Series {
			s.rows(t, name)
		}
		for _, b := range p.Bars {
			lo, hi := "", ""
			if b.hasInterval() {
				lo, hi = exact(b.Lo), exact(b.Hi)
			}
			t.row(name, b.Label, "", exact(b.Value), lo, hi)
			for _, part := range b.Parts {
				t.row(name, b.Label+": "+part.Label, "", exact(part.Value), exact(part.Lo), exact(part.Hi))
			}
		}
		for _, h := range p.HLines {
			t.row(name, h.Label, "", exact(h.Y), "", "")
		}
	}
	return t.bytes()
}

// rows writes the points both X and Y have.
func (s Series) rows(t *table, panel string) {
	for i := range min(len(s.X), len(s.Y)) {
		lo, hi := "", ""
		if i < len(s.Lo) && i < len(s.Hi) {
			lo, hi = exact(s.Lo[i]), exact(s.Hi[i])
		}
		t.row(panel, s.Label, exact(s.X[i]), exact(s.Y[i]), lo, hi)
	}
}
