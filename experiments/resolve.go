package experiments

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"rlhfsim/sim"
)

// plain prints a value as it stands in a file, strings without quotes.
func plain(n *node) string {
	if n.kind == text {
		return n.value.(string)
	}
	return literal(n)
}

// literal prints a value as TOML.
func literal(n *node) string {
	switch n.kind {
	case text:
		return quoted(n.value.(string))
	case decimal:
		return float(n.value.(float64))
	case list:
		var parts []string
		for _, item := range n.items {
			parts = append(parts, literal(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case table:
		var parts []string
		for _, k := range n.keys {
			parts = append(parts, bareKey(k)+" = "+literal(n.under[k]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return fmt.Sprint(n.value)
}

// float prints the shortest decimal that reads back the same and still is a
// float in TOML.
func float(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if v == math.Trunc(v) && !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// quoted is a TOML basic string. TOML has no \x escapes, so what Go's Quote
// would write so is written \u.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func bareKey(key string) string {
	for _, r := range key {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", r) {
			return quoted(key)
		}
	}
	if key == "" {
		return `""`
	}
	return key
}

// resolved writes every field of the experiment as a file that needs no other.
func (l *loader) resolved(e *Experiment, arms []armTree) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Every field of this run. It is an experiment file: running it gives the same bytes.\n\n")
	fmt.Fprintf(&b, "format = 1\nname = %s\ntitle = %s\nquestion = %s\nseeds = %s\n\n[output]\ndir = %s\n", quoted(e.Name), quoted(e.Title), quoted(e.Question), seedText(e.Seeds), quoted(e.OutputDir))
	c := document{Config: sim.Default()}
	quiet := decoder{out: &reporter{}}
	quiet.decode(l.root, "", reflect.ValueOf(&c).Elem())
	derived := map[string]string{}
	for _, path := range followBeta {
		if l.root.get(strings.Split(path, ".")...) == nil {
			derived[path] = float(c.Objective.Beta) + ", as objective.beta"
		}
	}
	l.presets(derived)
	writeStruct(&b, "", reflect.ValueOf(c.Config), derived)
	if axes := l.grid(); len(axes) > 0 {
		fmt.Fprintf(&b, "\n[grid]\n")
		for _, a := range axes {
			fmt.Fprintf(&b, "%s = %s\n", a.path, literal(&node{kind: list, items: a.values}))
		}
	}
	for _, v := range l.variants() {
		fmt.Fprintf(&b, "\n[[variant]]\nname = %s\n", quoted(v.name))
		writeLeaves(&b, v.own)
	}
	for _, a := range arms {
		fmt.Fprintf(&b, "\n[[arm]]\nname = %s\nlabel = %s\nmethod = %s\n", quoted(a.name), quoted(a.label), quoted(a.method))
		writeLeaves(&b, a.own)
		l.writePreset(&b, a, derived)
	}
	for _, f := range e.Figures {
		fmt.Fprintf(&b, "\n[[figure]]\nkind = %s\n", quoted(f.Kind))
		if f.Name != "" {
			fmt.Fprintf(&b, "name = %s\n", quoted(f.Name))
		}
		if f.X != "" {
			fmt.Fprintf(&b, "x = %s\n", quoted(f.X))
		}
		if len(f.Y) > 0 {
			fmt.Fprintf(&b, "y = %s\n", goLiteral(reflect.ValueOf(f.Y)))
		}
		if f.Dark {
			b.WriteString("dark = true\n")
		}
	}
	l.writeClaims(&b)
	return b.Bytes()
}

const omitted = "\x00"

// presets leaves the fields whose defaults depend on the arm's method, and that
// nobody wrote, to the arms, where the method is known.
func (l *loader) presets(derived map[string]string) {
	for _, name := range presetFields() {
		if l.root.get(strings.Split(name, ".")...) == nil && derived[name] == "" {
			derived[name] = omitted
		}
	}
}

// presetFields are the fields whose defaults depend on the arm's method.
var presetFields = sync.OnceValue(func() (names []string) {
	standard := sim.Default()
	for _, m := range sim.Methods {
		own := m.Defaults()
		for _, d := range leafDifferences("", reflect.ValueOf(&own).Elem(), reflect.ValueOf(&standard).Elem()) {
			names = append(names, d.Field)
		}
	}
	return names
})

// writePreset writes the fields of the method's section that nobody wrote and
// nothing sweeps: an arm's own field would win over a sweep.
func (l *loader) writePreset(b *bytes.Buffer, a armTree, derived map[string]string) {
	swept := map[string]bool{}
	for _, axis := range l.grid() {
		swept[axis.path] = true
	}
	for _, v := range l.variants() {
		v.own.leaves("", func(path string, _ *node) { swept[path] = true })
	}
	own := sim.DefaultFor(a.method)
	for _, section := range fieldsOf(reflect.ValueOf(&own).Elem()) {
		if section.name != sectionOf(a.method) {
			continue
		}
		for _, f := range fieldsOf(section.value) {
			path := join(section.name, f.name)
			if derived[path] == omitted && !swept[path] && a.own.get(section.name, f.name) == nil {
				fmt.Fprintf(b, "%s = %s\n", path, goLiteral(f.value))
			}
		}
	}
}

func seedText(seeds []uint64) string {
	for i, s := range seeds {
		if s != uint64(i) {
			return strings.Join(strings.Fields(fmt.Sprint(seeds)), ", ")
		}
	}
	return fmt.Sprint(len(seeds))
}

func writeLeaves(b *bytes.Buffer, n *node) {
	n.leaves("", func(path string, leaf *node) {
		var parts []string
		for _, k := range strings.Split(path, ".") {
			parts = append(parts, bareKey(k))
		}
		fmt.Fprintf(b, "%s = %s\n", strings.Join(parts, "."), literal(leaf))
	})
}

// writeStruct writes a section: first its plain fields, then its tables.
func writeStruct(b *bytes.Buffer, path string, v reflect.Value, derived map[string]string) {
	var tables []func()
	for _, f := range fieldsOf(v) {
		name := join(path, f.name)
		switch {
		case f.value.Kind() == reflect.Struct:
			tables = append(tables, func() {
				fmt.Fprintf(b, "\n[%s]\n", name)
				writeStruct(b, name, f.value, derived)
			})
		case isEntries(f.value.Type()):
			tables = append(tables, func() {
				fmt.Fprintf(b, "\n[%s]\n", name)
				for i := range f.value.Len() {
					fmt.Fprintf(b, "%s = %s\n", bareKey(f.value.Index(i).Field(0).String()), goLiteral(f.value.Index(i).Field(1)))
				}
			})
		case f.value.Kind() == reflect.Slice && f.value.Type().Elem().Kind() == reflect.Struct && f.name != "demonstrations":
			tables = append(tables, func() {
				for i := range f.value.Len() {
					fmt.Fprintf(b, "\n[[%s]]\n", name)
					writeStruct(b, name, f.value.Index(i), derived)
				}
			})
		case derived[name] == omitted:
		case derived[name] != "":
			fmt.Fprintf(b, "# %s = %s\n", f.name, derived[name])
		default:
			fmt.Fprintf(b, "%s = %s\n", f.name, goLiteral(f.value))
		}
	}
	for _, write := range tables {
		write()
	}
}

func isEntries(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && strings.HasPrefix(t.Elem().Name(), "Entry[")
}

// goLiteral prints a Go value as TOML.
func goLiteral(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return quoted(v.String())
	case reflect.Float64:
		return float(v.Float())
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, goLiteral(v.Index(i)))
		}
		if v.Type().Elem().Kind() == reflect.Struct && v.Len() > 0 {
			return "[\n  " + strings.Join(parts, ",\n  ") + ",\n]"
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Struct:
		var parts []string
		for _, f := range fieldsOf(v) {
			parts = append(parts, f.name+" = "+goLiteral(f.value))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return fmt.Sprint(v.Interface())
}

// changes lists what was set on top of what the file extends.
func (l *loader) changes(arms []armTree) []Change {
	var out []Change
	base := l.base
	if base == nil {
		base = l.written
	}
	report := func(prefix string, n *node) {
		n.leaves("", func(path string, leaf *node) {
			was := ""
			if old := base.get(strings.Split(path, ".")...); old != nil {
				if was = literal(old); was == literal(leaf) {
					return
				}
			}
			from := leaf.at.file
			if leaf.at.line > 0 {
				from = fmt.Sprintf("%s:%d", from, leaf.at.line)
			}
			out = append(out, Change{Path: prefix + path, Was: was, Value: literal(leaf), From: from})
		})
	}
	for _, k := range l.root.keys {
		if l.base != nil || l.command.get(k) != nil {
			if !slices.Contains([]string{"format", "title", "question", "name", "arm", "claim"}, k) {
				part := newTable(l.root.at)
				part.set(k, l.root.under[k])
				report("", part)
			}
		}
	}
	for _, a := range arms {
		report("arm "+a.name+": ", a.own)
	}
	return out
}

// docFields lists every field of sim.Config by dotted path, sections first.
func docFields() []string {
	var out []string
	var walk func(path string, t reflect.Type)
	walk = func(path string, t reflect.Type) {
		for _, f := range fieldsOf(reflect.New(t).Elem()) {
			name := join(path, f.name)
			out = append(out, name)
			u := f.value.Type()
			if u.Kind() == reflect.Slice && !isEntries(u) {
				u = u.Elem()
			}
			if u.Kind() == reflect.Struct {
				walk(name, u)
			}
		}
	}
	walk("", reflect.TypeOf(sim.Config{}))
	return out
}
