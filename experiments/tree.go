package experiments

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Limits of an experiment file, checked before anything is decoded: decoders
// take minutes and gigabytes on files made to hurt.
const (
	maxBytes = 64 << 10
	maxDepth = 12 // of dotted keys, and of arrays and tables inside one another
	maxNodes = 20_000
)

// kind is the type of a TOML value.
type kind string

const (
	table   kind = "a table"
	list    kind = "a list"
	text    kind = "a string"
	whole   kind = "a whole number"
	decimal kind = "a number with a point"
	boolean kind = "true or false"
	other   kind = "a date or time"
)

// node is a TOML value that remembers where it was written.
type node struct {
	kind  kind
	at    place // the value
	keyAt place // its key
	value any   // string, int64, float64 or bool
	items []*node
	keys  []string // of a table, in the order written
	under map[string]*node
}

func newTable(at place) *node {
	return &node{kind: table, at: at, keyAt: at, under: map[string]*node{}}
}

func (n *node) set(key string, child *node) {
	if _, there := n.under[key]; !there {
		n.keys = append(n.keys, key)
	}
	n.under[key] = child
}

func (n *node) remove(key string) {
	delete(n.under, key)
	n.keys = slices.DeleteFunc(n.keys, func(k string) bool { return k == key })
}

// get follows a dotted path of tables; nil where there is nothing.
func (n *node) get(path ...string) *node {
	for _, key := range path {
		if n == nil || n.kind != table {
			return nil
		}
		n = n.under[key]
	}
	return n
}

// find is the node at a path with indices, "world.value[2].worth", or the
// nearest one above it that was written down.
func (n *node) find(path string) *node {
	at := n
	for _, part := range strings.Split(path, ".") {
		name, index, indexed := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		next := at.get(name)
		if next == nil {
			return at
		}
		at = next
		if i, err := strconv.Atoi(index); indexed && err == nil && i < len(at.items) {
			at = at.items[i]
		}
	}
	return at
}

// merged is base with over laid on top: tables merge key by key, everything
// else is replaced whole. Neither is changed.
func merged(base, over *node) *node {
	if base == nil || base.kind != table || over.kind != table {
		return over
	}
	out := newTable(over.at)
	out.keyAt = over.keyAt
	for _, k := range base.keys {
		out.set(k, base.under[k])
	}
	for _, k := range over.keys {
		out.set(k, merged(out.under[k], over.under[k]))
	}
	return out
}

// without is n less every leaf that other holds too.
func without(n, other *node) *node {
	if n.kind != table {
		return n
	}
	out := newTable(n.at)
	out.keyAt = n.keyAt
	for _, k := range n.keys {
		child, rival := n.under[k], other.get(k)
		switch {
		case rival == nil:
			out.set(k, child)
		case child.kind == table && rival.kind == table:
			out.set(k, without(child, rival))
		}
	}
	return out
}

// leaves calls f for every value below n that is no table.
func (n *node) leaves(path string, f func(path string, leaf *node)) {
	if n.kind != table {
		f(path, n)
		return
	}
	for _, k := range n.keys {
		n.under[k].leaves(strings.TrimPrefix(path+"."+k, "."), f)
	}
}

// parser turns one file into a tree.
type parser struct {
	p      unstable.Parser
	file   string
	lines  []string
	starts []int // offset of each line
	root   *node
	nodes  int
	out    *reporter
	stop   bool
}

// parse reads a TOML file. Problems go to out; nil means that the file cannot
// be understood at all.
func parse(file string, data []byte, out *reporter) *node {
	if len(data) > maxBytes {
		out.add(codeSize, place{file: file}, fmt.Sprintf("%s is too large: an experiment file has at most %d bytes", file, maxBytes), "put long lists of demonstrations in a JSONL file and name it in `sft.file`")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	p := &parser{file: file, lines: strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"), root: newTable(place{file: file}), out: out}
	p.starts = []int{0}
	for i, c := range data {
		if c == '\n' {
			p.starts = append(p.starts, i+1)
		}
	}
	if !utf8.Valid(data) {
		out.add(codeSyntax, place{file: file}, file+" is not UTF-8 text", "")
		return nil
	}
	if !p.walk(data) || !p.verify(data) {
		return nil
	}
	return p.root
}

// walk builds the tree, expression by expression, within the limits.
func (p *parser) walk(data []byte) bool {
	p.p.Reset(data)
	into := p.root
	for p.p.NextExpression() && !p.stop {
		e := p.p.Expression()
		switch e.Kind {
		case unstable.Table:
			into = p.open(p.root, e.Key(), false)
		case unstable.ArrayTable:
			into = p.open(p.root, e.Key(), true)
		case unstable.KeyValue:
			p.keyValue(into, e, 0)
		}
	}
	var bad *unstable.ParserError
	if err := p.p.Error(); errors.As(err, &bad) {
		p.out.add(codeSyntax, p.where(p.p.Range(bad.Highlight)), "this is not TOML: "+bad.Message, "")
		return false
	} else if err != nil {
		p.out.add(codeSyntax, place{file: p.file}, "this is not TOML: "+err.Error(), "")
		return false
	}
	return !p.stop
}

// verify lets the reference decoder judge what the grammar alone cannot see:
// keys and tables defined twice, numbers out of range.
func (p *parser) verify(data []byte) bool {
	var all map[string]any
	_, err := toml.Decode(string(data), &all)
	if err == nil {
		return true
	}
	var bad toml.ParseError
	if errors.As(err, &bad) {
		p.out.add(codeSyntax, p.line(bad.Position.Line, bad.Position.Col, bad.Position.Len), bad.Message, "")
	} else {
		p.out.add(codeSyntax, place{file: p.file}, err.Error(), "")
	}
	return false
}

// where is the place of a range of the file. (The library's own Shape counts
// lines from the top every time, which takes a second on a file made to hurt.)
func (p *parser) where(r unstable.Range) place {
	offset := int(r.Offset)
	line := sort.SearchInts(p.starts, offset+1)
	col := offset - p.starts[line-1] + 1
	width := int(r.Length)
	if line < len(p.starts) {
		width = min(width, p.starts[line]-1-offset)
	}
	return p.line(line, col, width)
}

func (p *parser) line(line, col, width int) place {
	at := place{file: p.file, line: line, col: max(1, col), width: max(1, width)}
	if line >= 1 && line <= len(p.lines) {
		at.text = p.lines[line-1]
		if col >= 1 && col <= len(at.text) { // bytes to characters
			at.col = utf8.RuneCountInString(at.text[:col-1]) + 1
		}
	}
	return at
}

// limit stops a file that is nested or long beyond all reason.
func (p *parser) limit(depth int, at place) bool {
	p.nodes++
	if depth > maxDepth || p.nodes > maxNodes {
		p.out.add(codeSize, at, fmt.Sprintf("an experiment file is nested at most %d deep and has at most %d values", maxDepth, maxNodes), "")
		p.stop = true
	}
	return p.stop
}

// open finds or makes the table of a [header] or [[header]].
func (p *parser) open(from *node, keys unstable.Iterator, array bool) *node {
	at, depth := from, 0
	for keys.Next() {
		key := keys.Node()
		where := p.where(key.Raw)
		if depth++; p.limit(depth, where) {
			return at
		}
		at = p.step(at, string(key.Data), where, array && keys.IsLast())
	}
	return at
}

// step enters key, making a table (or a further table of a list) where needed.
func (p *parser) step(at *node, key string, where place, array bool) *node {
	next := at.under[key]
	switch {
	case array:
		if next == nil || next.kind != list {
			next = &node{kind: list, at: where, keyAt: where}
			at.set(key, next)
		}
		next.items = append(next.items, newTable(where))
	case next == nil:
		next = newTable(where)
		at.set(key, next)
	}
	if next.kind == list && len(next.items) > 0 {
		next = next.items[len(next.items)-1]
	}
	if next.kind != table { // defined twice: the reference decoder says so
		return newTable(where)
	}
	return next
}

func (p *parser) keyValue(into *node, e *unstable.Node, depth int) {
	for keys := e.Key(); keys.Next(); {
		key := keys.Node()
		where := p.where(key.Raw)
		if depth++; p.limit(depth, where) {
			return
		}
		if !keys.IsLast() {
			into = p.step(into, string(key.Data), where, false)
			continue
		}
		child := p.value(e.Value(), where, depth)
		child.keyAt = where
		into.set(string(key.Data), child)
	}
}

// value turns a parsed value into a node; near is its key, the place of values
// that have none of their own.
func (p *parser) value(v *unstable.Node, near place, depth int) *node {
	n := &node{at: near, keyAt: near}
	if v.Raw.Length > 0 {
		n.at = p.where(v.Raw)
	}
	if p.limit(depth, n.at) {
		return n
	}
	switch v.Kind {
	case unstable.String:
		n.kind, n.value = text, string(v.Data)
	case unstable.Bool:
		n.kind, n.value = boolean, string(v.Data) == "true"
	case unstable.Integer:
		number, err := strconv.ParseInt(strings.ReplaceAll(string(v.Data), "_", ""), 0, 64)
		if err != nil { // 08 and the like: the reference decoder says so
			number = 0
		}
		n.kind, n.value = whole, number
	case unstable.Float:
		n.kind, n.value = decimal, parseFloat(string(v.Data))
	case unstable.Array:
		n.kind = list
		for it := v.Children(); it.Next() && !p.stop; {
			n.items = append(n.items, p.value(it.Node(), near, depth+1))
		}
		if len(n.items) > 0 && n.items[0].kind != table {
			n.at = n.items[0].at
		}
	case unstable.InlineTable:
		n.kind, n.under = table, map[string]*node{}
		for it := v.Children(); it.Next() && !p.stop; {
			p.keyValue(n, it.Node(), depth+1)
		}
	default:
		n.kind = other
	}
	return n
}

func parseFloat(data string) float64 {
	data = strings.ReplaceAll(data, "_", "")
	f, err := strconv.ParseFloat(data, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return math.NaN()
	}
	return f
}
