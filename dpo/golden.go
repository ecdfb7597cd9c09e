package dpo

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Document is a file of golden numbers: cases (inputs) and results (what a
// reference library made of them) in the layout of testdata/golden/README.md.
// Compute works all results out again with the losses of this package.
type Document struct {
	Kind    string
	Source  string
	Numbers []Number // in the order of the document's results

	tree map[string]any
	err  error
}

// Number is one computed number and what the document has in its place.
type Number struct {
	Path      string  // "results[3].per_sequence_loss[1]"
	Got       float64 // computed here
	Want      float64 // recorded; NaN where the document has none
	Scale     float64 // the largest |Want| of the array it stands in, at least 1000 tolerances: an array of nothing but noise has a scale too
	Tolerance float64 // allowed deviation relative to Scale
	Noise     float64 // deviation that rounding alone may bring about where it decides, relative to Scale; 0 elsewhere
}

// Tolerances of what is compared.
const (
	ofValues    = 1e-9
	ofGradients = 1e-8
	ofSingle    = 1e-5 // what the library rounded to float32 on the way
)

// Recorded says whether the document has the number.
func (n Number) Recorded() bool { return !math.IsNaN(n.Want) }

// Deviation is |Got − Want| relative to the scale of the number's array.
func (n Number) Deviation() float64 { return math.Abs(n.Got-n.Want) / n.Scale }

// OK says whether the number is what the document has, if it has one.
func (n Number) OK() bool {
	return !math.IsNaN(n.Got) && !math.IsInf(n.Got, 0) && (!n.Recorded() || n.Deviation() <= max(n.Tolerance, n.Noise))
}

// Undetermined says whether the number is beyond its tolerance, but within what rounding
// alone brings about: double precision does not determine it, and it shows nothing.
func (n Number) Undetermined() bool { return n.Recorded() && n.OK() && n.Deviation() > n.Tolerance }

// kinds of documents, and the field that lists their results.
var kinds = map[string]struct {
	results string
	compute func(d *Document, n *node)
}{
	"dpo":             {"results", (*Document).pairwise},
	"dpo_per_token":   {"results", (*Document).perToken},
	"kto":             {"results", (*Document).kto},
	"bco":             {"sequences", (*Document).bco},
	"cpo":             {"results", (*Document).cpo},
	"orpo":            {"results", (*Document).orpo},
	"cpo_orpo_logits": {"results", (*Document).fromLogits},
	"textbook":        {"", (*Document).textbook},
	"traj_bandit_dpo": {"runs", (*Document).bandit},
	"traj_bigram_dpo": {"runs", (*Document).bigram},
}

// Kinds lists the documents that Compute understands.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Compute reads a document and computes every result in it. It fails on
// documents that it does not understand, down to a single unknown number.
func Compute(document []byte) (*Document, error) {
	d := &Document{}
	if err := json.Unmarshal(document, &d.tree); err != nil {
		return nil, fmt.Errorf("no document: %w", err)
	}
	top := d.node("", d.tree)
	d.Kind, d.Source = top.text("kind"), top.text("source")
	kind, known := kinds[d.Kind]
	if !known {
		return nil, fmt.Errorf("unknown kind %q (known: %s)", d.Kind, strings.Join(Kinds(), ", "))
	}
	if kind.results == "" {
		kind.compute(d, top)
	} else {
		for _, n := range top.list(kind.results) {
			kind.compute(d, n)
			n.done()
			if d.err != nil {
				break
			}
		}
	}
	if d.err != nil {
		return nil, d.err
	}
	return d, nil
}

// JSON is the document with the computed numbers in place of the recorded ones.
func (d *Document) JSON() ([]byte, error) { return json.MarshalIndent(d.tree, "", " ") }

func (d *Document) fail(path, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%s: %s", strings.TrimPrefix(path, "."), fmt.Sprintf(format, args...))
	}
}

// node is an object of the document; seen are the fields that were understood.
type node struct {
	doc  *Document
	path string
	m    map[string]any
	seen map[string]bool
}

func (d *Document) node(path string, v any) *node {
	m, ok := v.(map[string]any)
	if !ok {
		d.fail(path, "not an object")
		m = map[string]any{}
	}
	return &node{d, path, m, map[string]bool{}}
}

func (n *node) has(key string) bool { _, ok := n.m[key]; return ok }

func (n *node) get(key string) any {
	n.seen[key] = true
	return n.m[key]
}

func (n *node) at(key string) string { return strings.TrimPrefix(n.path+"."+key, ".") }

// text is a string, "" where there is none.
func (n *node) text(key string) string {
	s, _ := n.get(key).(string)
	return s
}

// number is a number; otherwise where there is none.
func (n *node) number(key string, otherwise float64) float64 {
	switch v := n.get(key).(type) {
	case nil:
		return otherwise
	case float64:
		return v
	}
	n.doc.fail(n.at(key), "not a number")
	return otherwise
}

// beta is β, which a document must say: a library's default is not known here.
func (n *node) beta() float64 {
	v := n.number("beta", 0)
	switch {
	case n.m["beta"] == nil:
		n.doc.fail(n.at("beta"), "missing, and the loss needs it")
	case v < 0:
		n.doc.fail(n.at("beta"), "%v is below 0", v)
	}
	return v
}

// index is a whole number from 0 to below limit.
func (n *node) index(key string, limit int) int { return n.whole(key, n.number(key, -1), 0, limit) }

// whole is v, a number under key, if it is a whole number from low to below high.
func (n *node) whole(key string, v float64, low, high int) int {
	if !(v >= float64(low) && v < float64(high)) || v != math.Trunc(v) {
		n.doc.fail(n.at(key), "%v is not a whole number from %d to %d", v, low, high-1)
		return low
	}
	return int(v)
}

func (n *node) flag(key string) bool {
	v, _ := n.get(key).(bool)
	return v
}

// floats lists the numbers of an array, nested or not, in order; size is their
// number, −1 for any.
func (n *node) floats(key string, size int) []float64 {
	var out []float64
	flatten(n.get(key), func(v any) {
		if f, ok := v.(float64); ok {
			out = append(out, f)
		} else {
			n.doc.fail(n.at(key), "not an array of numbers")
		}
	})
	if size < 0 && len(out) == 0 {
		n.doc.fail(n.at(key), "no numbers")
	}
	if size >= 0 && len(out) != size {
		n.doc.fail(n.at(key), "%d numbers, not %d", len(out), size)
		return make([]float64, size)
	}
	return out
}

// anyFloats lists the numbers of an array that may be empty.
func (n *node) anyFloats(key string) []float64 {
	if list, ok := n.get(key).([]any); ok && len(list) == 0 {
		return nil
	}
	return n.floats(key, -1)
}

// listOrNone lists the objects of an array that may be missing.
func (n *node) listOrNone(key string) []*node {
	if !n.has(key) {
		return nil
	}
	return n.list(key)
}

func flatten(v any, f func(any)) {
	if list, ok := v.([]any); ok {
		for _, e := range list {
			flatten(e, f)
		}
		return
	}
	f(v)
}

func (n *node) list(key string) (out []*node) {
	items, ok := n.get(key).([]any)
	if !ok || len(items) == 0 {
		n.doc.fail(n.at(key), "not a list of objects")
	}
	for i, item := range items {
		out = append(out, n.doc.node(fmt.Sprintf("%s[%d]", n.at(key), i), item))
	}
	return out
}

func (n *node) object(key string) *node { return n.doc.node(n.at(key), n.get(key)) }

// theCase is the case that a result belongs to.
func (n *node) theCase() *node {
	cases := n.doc.node("", n.doc.tree).list("cases")
	if i := n.index("case", len(cases)); i < len(cases) {
		return cases[i]
	}
	return n.doc.node("cases", map[string]any{})
}

// put records a computed number.
func (n *node) put(key string, tolerance, got float64) { n.record(key, tolerance, 0, false, got) }

// putAtScale is put for a difference of larger numbers: scale is theirs.
func (n *node) putAtScale(key string, tolerance, scale, got float64) {
	n.record(key, tolerance, scale, false, got)
}

// puts records an array of numbers in the shape of the recorded one.
func (n *node) puts(key string, tolerance float64, got []float64) {
	n.record(key, tolerance, 0, true, got...)
}

func (n *node) record(key string, tolerance, scale float64, array bool, got ...float64) {
	recorded, there := n.m[key]
	n.seen[key] = true
	var want []float64
	flatten(recorded, func(v any) {
		f, ok := v.(float64)
		if there && !ok {
			n.doc.fail(n.at(key), "not a number or an array of numbers")
		}
		want = append(want, f)
		scale = max(scale, math.Abs(f))
	})
	if there && len(want) != len(got) {
		n.doc.fail(n.at(key), "%d numbers, computed %d", len(want), len(got))
	}
	if n.doc.err != nil {
		return
	}
	_, single := recorded.(float64)
	single = single || !there && !array
	for i, v := range got {
		number := Number{Path: n.at(key), Got: v, Want: math.NaN(), Scale: max(scale, 1000*tolerance), Tolerance: tolerance}
		if !single {
			number.Path = fmt.Sprintf("%s[%d]", n.at(key), i)
		}
		if there {
			number.Want = want[i]
		}
		n.doc.Numbers = append(n.doc.Numbers, number)
	}
	if !there && !single {
		recorded = make([]any, len(got))
	}
	next := 0
	n.m[key] = replaced(recorded, got, &next)
}

// replaced is v with its numbers replaced in order; JSON has none that are not finite.
func replaced(v any, numbers []float64, next *int) any {
	if list, ok := v.([]any); ok {
		out := make([]any, len(list))
		for i, e := range list {
			out[i] = replaced(e, numbers, next)
		}
		return out
	}
	*next++
	if got := numbers[*next-1]; !math.IsNaN(got) && !math.IsInf(got, 0) {
		return got
	}
	return nil
}

// done fails on numbers that nobody read or computed.
func (n *node) done() {
	for _, key := range slices.Sorted(maps.Keys(n.m)) {
		if _, isText := n.m[key].(string); !isText && !n.seen[key] {
			n.doc.fail(n.at(key), "unknown field")
		}
	}
}
