package figure

import (
	"image/color"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"

	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
)

// nbsp joins words that must stay on one line.
const nbsp = '\u00a0'

// lineSpacing is the distance between baselines over the font size.
const lineSpacing = 1.25

// capHeight is the height of a capital over the font size.
const capHeight = 0.70

var fontCache = sync.OnceValue(func() *font.Cache {
	return font.NewCache(liberation.Collection())
})

// face returns Liberation Sans at the given size.
func face(size vg.Length, bold bool) font.Face {
	f := font.Font{Typeface: "Liberation", Variant: "Sans"}
	if bold {
		f.Weight = stdfont.WeightBold
	}
	return fontCache().Lookup(f, size)
}

// width measures s.
func width(s string, size vg.Length, bold bool) vg.Length {
	f := face(size, bold)
	return f.Width(s)
}

// maxWidth measures the widest of the lines.
func maxWidth(lines []string, size vg.Length, bold bool) vg.Length {
	w := vg.Length(0)
	for _, l := range lines {
		w = max(w, width(l, size, bold))
	}
	return w
}

// blockHeight is the height of n lines of text.
func blockHeight(n int, size vg.Length) vg.Length {
	if n == 0 {
		return 0
	}
	return size * vg.Length(1+lineSpacing*float64(n-1))
}

// scripts maps superscripts and subscripts to what they raise or lower.
var scripts = func() map[rune]rune {
	m := map[rune]rune{}
	up, down, plain := []rune("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"), []rune("₀₁₂₃₄₅₆₇₈₉₊₋"), []rune("0123456789+−")
	for i, r := range plain {
		m[up[i]], m[down[i]] = r, r
	}
	return m
}()

// hasGlyph reports whether the font can draw r.
func hasGlyph(r rune) bool {
	f := face(10, false)
	i, err := f.Face.GlyphIndex(nil, r)
	return err == nil && i != 0
}

// clean makes s drawable: white space and control characters become spaces,
// a run of superscripts or subscripts the font cannot draw whole becomes
// "^..." or "_...", and any other missing glyph becomes "?".
func clean(s string) string {
	in := []rune(strings.ToValidUTF8(s, "?"))
	var out []rune
	for i := 0; i < len(in); i++ {
		r := in[i]
		switch {
		case r == nbsp:
			out = append(out, r)
		case unicode.IsSpace(r) || unicode.IsControl(r):
			out = append(out, ' ')
		case scripts[r] != 0:
			n := scriptRun(in[i:])
			out = append(out, plainScript(in[i:i+n])...)
			i += n - 1
		case hasGlyph(r):
			out = append(out, r)
		default:
			out = append(out, '?')
		}
	}
	return strings.TrimSpace(string(out))
}

// scriptRun counts the leading superscripts or subscripts of s, not mixed.
func scriptRun(s []rune) int {
	n := 1
	for n < len(s) && scripts[s[n]] != 0 && isSubscript(s[n]) == isSubscript(s[0]) {
		n++
	}
	return n
}

func isSubscript(r rune) bool { return r >= '₀' && r <= '₋' }

// plainScript returns run unchanged if every glyph exists, else in plain
// digits behind ^ or _.
func plainScript(run []rune) []rune {
	mark := '^'
	if isSubscript(run[0]) {
		mark = '_'
	}
	plain := []rune{mark}
	missing := false
	for _, r := range run {
		missing = missing || !hasGlyph(r)
		plain = append(plain, scripts[r])
	}
	if missing {
		return plain
	}
	return run
}

// wrap breaks s at spaces into lines no wider than limit where it can: a
// longer word is broken at its non-breaking spaces, then anywhere.
func wrap(s string, size vg.Length, bold bool, limit vg.Length) []string {
	s = clean(s)
	if s == "" {
		return nil
	}
	var lines []string
	line := ""
	for _, word := range words(s) {
		for _, piece := range pieces(word, size, bold, limit) {
			joined := piece
			if line != "" {
				joined = line + " " + piece
			}
			if line != "" && width(joined, size, bold) > limit {
				lines = append(lines, line)
				joined = piece
			}
			line = joined
		}
	}
	return append(lines, line)
}

// balanced wraps s into as few lines as wrap does, of similar widths.
func balanced(s string, size vg.Length, bold bool, limit vg.Length) []string {
	lines := wrap(s, size, bold, limit)
	if len(lines) < 2 || longestWord(s, size, bold) > limit {
		return lines
	}
	for limit -= 2; limit >= longestWord(s, size, bold); limit -= 2 {
		tighter := wrap(s, size, bold, limit)
		if len(tighter) > len(lines) {
			break
		}
		lines = tighter
	}
	return lines
}

// longestWord measures the widest unbreakable part of s.
func longestWord(s string, size vg.Length, bold bool) vg.Length {
	return maxWidth(words(clean(s)), size, bold)
}

// pieces splits a word wider than limit.
func pieces(word string, size vg.Length, bold bool, limit vg.Length) []string {
	if width(word, size, bold) <= limit {
		return []string{word}
	}
	if parts := strings.Split(word, string(nbsp)); len(parts) > 1 {
		var out []string
		for _, p := range parts {
			out = append(out, pieces(p, size, bold, limit)...)
		}
		return out
	}
	var out []string
	piece := ""
	for _, r := range word {
		if piece != "" && width(piece+string(r), size, bold) > limit {
			out = append(out, piece)
			piece = ""
		}
		piece += string(r)
	}
	return append(out, piece)
}

// elided is s cut with an ellipsis to what fits into limit.
func elided(s string, size vg.Length, bold bool, limit vg.Length) string {
	if width(s, size, bold) <= limit {
		return s
	}
	runes := []rune(s)
	for len(runes) > 1 && width(string(runes)+"…", size, bold) > limit {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimRight(string(runes), " ") + "…"
}

// shortened are the lines that fit into height, the last one elided where some do not.
func shortened(lines []string, size, limit, height vg.Length) []string {
	n := len(lines)
	for n > 1 && blockHeight(n, size) > height {
		n--
	}
	if n == len(lines) {
		return lines
	}
	lines = slices.Clone(lines[:n])
	lines[n-1] = elided(lines[n-1]+"…", size, false, limit)
	return lines
}

// anchor says which point of a text sits at the given position.
type anchor int

const (
	left anchor = iota
	centre
	right
)

// shift returns how far left of the position a text of width w starts.
func (a anchor) shift(w vg.Length) vg.Length {
	return w * vg.Length(a) / 2
}

// text is a block of lines in one type size.
type text struct {
	size vg.Length
	bold bool
	ink  color.Color
	at   anchor
}

// line draws s with its baseline at p.
func (t text) line(c vg.Canvas, p vg.Point, s string) {
	if s == "" {
		return
	}
	s = strings.ReplaceAll(s, string(nbsp), " ")
	f := face(t.size, t.bold)
	c.SetColor(t.ink)
	c.FillString(f, vg.Point{X: p.X - t.at.shift(f.Width(s)), Y: p.Y}, s)
}

// below draws lines downwards from top.
func (t text) below(c vg.Canvas, x, top vg.Length, lines []string) {
	y := top - t.size*vg.Length(0.5+capHeight/2)
	for _, l := range lines {
		t.line(c, vg.Point{X: x, Y: y}, l)
		y -= t.size * lineSpacing
	}
}

// middle draws lines centred vertically on y.
func (t text) middle(c vg.Canvas, x, y vg.Length, lines []string) {
	t.below(c, x, y+blockHeight(len(lines), t.size)/2, lines)
}

// upward draws lines turned by a quarter, centred on y, left of x.
func (t text) upward(c vg.Canvas, x, y vg.Length, lines []string) {
	c.Push()
	c.Translate(vg.Point{X: x, Y: y})
	c.Rotate(math.Pi / 2)
	t.at = centre
	t.below(c, 0, blockHeight(len(lines), t.size), lines)
	c.Pop()
}

// words splits at plain spaces only, so that non-breaking spaces hold.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
}
