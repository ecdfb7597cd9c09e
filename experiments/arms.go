package experiments

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"reflect"
	"slices"
	"strings"

	"rlhfsim/dpo"
	"rlhfsim/internal/field"
	"rlhfsim/sim"
)

// The largest experiment: cells beyond this are a mistake more often than a wish.
const (
	maxSeeds    = 10_000
	maxCells    = 100_000
	maxArms     = 100
	maxVariants = 1000
)

// maxDemonstrationBytes bounds a JSONL file of demonstrations.
const maxDemonstrationBytes = 8 << 20

// armTree is an [[arm]] as written: its own fields and what names it.
type armTree struct {
	name, label, method string
	own                 *node // the sections it changes
}

func (l *loader) seeds() []uint64 {
	n := l.root.get("seeds")
	count := 10
	switch {
	case n == nil:
	case n.kind == whole:
		if v := n.value.(int64); v >= 1 && v <= maxSeeds {
			count = int(v)
		} else {
			l.out.add(codeValue, n.at, fmt.Sprintf("`seeds = %d` is impossible", v), fmt.Sprintf("must be at least 1 and at most %d", maxSeeds))
			return nil
		}
	case n.kind == list:
		return l.seedList(n)
	default:
		l.out.add(codeType, n.at, fmt.Sprintf("`seeds` must be a whole number or a list of them, found %s", n.kind), "write seeds = 10, or seeds = [0, 7, 9]")
	}
	seeds := make([]uint64, count)
	for i := range seeds {
		seeds[i] = uint64(i)
	}
	return seeds
}

func (l *loader) seedList(n *node) []uint64 {
	var seeds []uint64
	for _, item := range n.items {
		v, ok := item.value.(int64)
		if !ok || v < 0 || slices.Contains(seeds, uint64(v)) {
			l.out.add(codeValue, item.at, "`seeds` lists something that is no seed", "seeds are different whole numbers, 0 or above")
			return nil
		}
		seeds = append(seeds, uint64(v))
	}
	if len(seeds) == 0 || len(seeds) > maxSeeds {
		l.out.add(codeValue, n.at, fmt.Sprintf("`seeds` lists %d seeds", len(seeds)), fmt.Sprintf("must be at least 1 and at most %d", maxSeeds))
	}
	return seeds
}

// armSections are the sections that arms may change: everything else is shared.
func armSections() []string {
	out := []string{"objective"}
	for _, m := range sim.Methods {
		if !slices.Contains(out, m.Section) {
			out = append(out, m.Section)
		}
	}
	return out
}

// tables yields the items of a list of tables at the top of the file, [[name]],
// with their places in the list; what is none is reported.
func (l *loader) tables(name string, most int, code Code) iter.Seq2[int, *node] {
	return func(yield func(int, *node) bool) {
		n := l.root.get(name)
		switch {
		case n == nil:
			return
		case n.kind != list:
			l.out.add(codeType, n.at, fmt.Sprintf("`%s` must be written [[%s]], in double brackets", name, name), "")
			return
		case len(n.items) > most:
			l.out.add(code, n.at, fmt.Sprintf("the file has %d %ss", len(n.items), name), fmt.Sprintf("at most %d", most))
			return
		}
		for i, item := range n.items {
			if item.kind != table {
				l.out.add(codeType, item.at, fmt.Sprintf("`%s` must be a list of tables", name), fmt.Sprintf("write [[%s]]", name))
				continue
			}
			if !yield(i, item) {
				return
			}
		}
	}
}

// arms reads the [[arm]] tables.
func (l *loader) arms() []armTree {
	n := l.root.get("arm")
	if n == nil || n.kind == list && len(n.items) == 0 {
		l.out.add(codeArm, l.root.at, "the experiment has no arm", "add [[arm]] with method = \"ppo\" or \"dpo\"")
		return nil
	}
	var out []armTree
	for i, item := range l.tables("arm", maxArms, codeArm) {
		for _, one := range l.spreadArm(item) {
			a := l.arm(one, fmt.Sprintf("arm[%d]", i))
			l.checkName(item, a.name, out)
			out = append(out, a)
		}
	}
	if len(out) > maxArms {
		l.out.add(codeArm, n.at, fmt.Sprintf("the file's arms and their grids make more than %d arms", maxArms), fmt.Sprintf("at most %d; sweep with [grid] instead", maxArms))
		return nil
	}
	return out
}

// checkName refuses names that would share a file: with another arm, also where upper
// and lower case are the same, or with a shared stage.
func (l *loader) checkName(item *node, name string, others []armTree) {
	i := slices.IndexFunc(others, func(b armTree) bool { return strings.EqualFold(b.name, name) })
	switch at := item.find("name").at; {
	case name == "": // its method is unknown, which is reported
	case i >= 0 && others[i].name == name:
		l.out.add(codeArm, at, fmt.Sprintf("two arms are called %q", name), "give each [[arm]] a name of its own")
	case i >= 0:
		l.out.add(codeArm, at, fmt.Sprintf("two arms are called %q and %q", others[i].name, name), "names must differ in more than upper and lower case, as they name files")
	case slices.ContainsFunc(sharedStages, func(s string) bool { return strings.EqualFold(s, name) }):
		l.out.add(codeArm, at, fmt.Sprintf("an arm cannot be called %q", name), "base, sft and reward name the files of the shared stages; `label` may hold any text")
	}
}

// armNode is an [[arm]], or one combination of its grid's values.
type armNode struct {
	*node
	swept, values []string
}

// spreadArm makes an arm of every combination of an arm's own grid.
func (l *loader) spreadArm(n *node) []armNode {
	g := n.get("grid")
	if g == nil {
		return []armNode{{node: n}}
	}
	out := []armNode{{node: without(n, only("grid"))}}
	for _, a := range l.axes(g, "arm.grid", armSections()) {
		var next []armNode
		for _, one := range out {
			for _, v := range a.values {
				if len(next) > maxArms {
					break // told of by the caller
				}
				next = append(next, armNode{merged(one.node, nested(a.path, v)), append(slices.Clone(one.swept), a.path), append(slices.Clone(one.values), plain(v))})
			}
		}
		out = next
	}
	return out
}

func (l *loader) arm(n armNode, path string) armTree {
	a := armTree{own: newTable(n.at)}
	d := &decoder{out: l.out}
	for _, key := range n.keys {
		child := n.under[key]
		switch {
		case key == "name" || key == "label" || key == "method":
			if d.is(child, join(path, key), text) {
				*map[string]*string{"name": &a.name, "label": &a.label, "method": &a.method}[key] = child.value.(string)
			}
		case slices.Contains(armSections(), key):
			a.own.set(key, child)
		case slices.Contains(sections(), key):
			l.out.add(codePlace, child.keyAt, fmt.Sprintf("an arm cannot change [%s]", key), "vary it with [grid] or [[variant]]", "why: base, SFT, rankings and reward model are shared by all arms, so that arms are compared on equal terms")
		default:
			l.unknownInArm(d, n.node, child, path, key)
		}
	}
	l.method(n.node, &a)
	l.unread(&a)
	if a.name == "" {
		a.name = a.method
	}
	if a.label == "" {
		a.label = a.name
	}
	for i, v := range n.values { // "dpo-0.03" and "DPO, dpo.learning_rate = 0.03"
		a.name += "-" + nameOf(v)
		a.label += fmt.Sprintf(", %s = %s", n.swept[i], v)
	}
	if a.name != "" && !validName(a.name) {
		l.out.add(codeArm, n.find("name").at, fmt.Sprintf("`name = %q` cannot name a file", a.name), "use letters, digits, '.', '_' and '-'; `label` may hold any text")
	}
	// The command line wins over arms too.
	a.own = without(a.own, l.command)
	l.keys(merged(without(l.root, only("arm")), a.own))
	return a
}

// unknownInArm reports a key that an arm does not have; a field of its method's
// section is what is meant before any other's.
func (l *loader) unknownInArm(d *decoder, arm, child *node, path, key string) {
	known := append([]string{"name", "label", "method", "grid"}, armSections()...)
	if m := arm.get("method"); m != nil && m.kind == text {
		if section := sectionOf(m.value.(string)); section != "" {
			own, _ := fieldAt(new(sim.Config), section)
			names, code := foreign(section, key), codeUnknown
			if _, there := fieldsOf(own).get(key); there {
				names, code = []string{key}, codePlace
			}
			if len(names) == 1 {
				name := section + "." + names[0]
				l.out.add(code, child.keyAt, fmt.Sprintf("unknown field `%s` in [%s]", key, path), "did you mean `"+name+"`?", about("", []string{name})...)
				return
			}
		}
	}
	d.unknown(child, path, key, known)
}

// unread reports sections of an arm that its method does not read.
func (l *loader) unread(a *armTree) {
	section := sectionOf(a.method)
	for _, key := range a.own.keys {
		if key != "objective" && key != section && section != "" {
			l.out.add(codePlace, a.own.under[key].keyAt, fmt.Sprintf("method %q does not read [%s]", a.method, key), fmt.Sprintf("it reads [%s] and [objective]", section))
		}
	}
}

// sectionOf is the section that a method reads.
func sectionOf(method string) string {
	m, _ := sim.MethodByName(method)
	return m.Section
}

// unreadByAll are the sections of a tree that no arm's method reads, and the methods.
func unreadByAll(n *node, arms []armTree) (unread []*node, names, methods []string) {
	for _, a := range arms {
		if !slices.Contains(methods, a.method) {
			methods = append(methods, a.method)
		}
	}
	for _, key := range n.keys {
		section, _, _ := strings.Cut(key, ".")
		read := !slices.Contains(armSections(), section) || section == "objective" || slices.ContainsFunc(methods, func(m string) bool { return sectionOf(m) == section })
		if !read {
			unread, names = append(unread, n.under[key]), append(names, section)
		}
	}
	return unread, names, methods
}

func (l *loader) method(n *node, a *armTree) {
	if _, known := sim.MethodByName(a.method); known {
		return
	}
	var names, spellings []string
	meant := map[string]string{} // what each spelling stands for
	for _, m := range sim.Methods {
		names = append(names, m.Name)
		for _, s := range append([]string{m.Name, m.Title}, m.Also...) {
			spellings, meant[s] = append(spellings, s), m.Name
		}
	}
	label := "methods: " + strings.Join(names, ", ")
	for option, what := range dpo.OptionNames {
		if field.Alike(option, a.method) {
			label = "method = \"dpo\": " + strings.ReplaceAll(what, " is ", " is dpo.")
		}
	}
	if near := field.Nearest(a.method, spellings); near != "" && !strings.HasPrefix(label, "method =") {
		label = "did you mean \"" + meant[near] + "\"? (" + label + ")"
	}
	if a.method == "" {
		l.out.add(codeArm, n.at, "the arm does not say its method", label)
	} else {
		l.out.add(codeArm, n.find("method").at, fmt.Sprintf("there is no method %q", a.method), label)
	}
	a.method = "" // reported
}

// sections are the names of all sections of sim.Config.
func sections() []string {
	var out []string
	for _, f := range docFields() {
		if !strings.Contains(f, ".") {
			out = append(out, f)
		}
	}
	return out
}

// topKeys are the keys that stand at the top of a file, outside of sections.
func topKeys() []string {
	return append(fieldsOf(reflect.ValueOf(header{})).names(), apart...)
}

// axis is one swept field: its values as nodes.
type axis struct {
	path   string
	values []*node
}

// variantTree is a [[variant]] as written.
type variantTree struct {
	name string
	own  *node
}

// grid reads [grid]: dotted keys with lists of values, in file order.
func (l *loader) grid() []axis {
	n := l.root.get("grid")
	if n == nil {
		return nil
	}
	return l.axes(n, "grid", sections())
}

// axes reads a table of lists: dotted keys of the allowed sections, in file order.
func (l *loader) axes(n *node, name string, allowed []string) []axis {
	if n.kind != table {
		l.out.add(codeType, n.at, fmt.Sprintf("`%s` must be a table", name), "write lists under dotted names, as in [grid] labels.rankings = [50, 200]")
		return nil
	}
	d := &decoder{out: l.out}
	for _, key := range n.keys {
		switch section, _, _ := strings.Cut(key, "."); { // a quoted key may be dotted
		case slices.Contains(allowed, section):
		case slices.Contains(topKeys(), key), slices.Contains(sections(), key):
			l.out.add(codeSweep, n.under[key].at, fmt.Sprintf("`%s` cannot be swept in [%s]", key, name), "it takes fields of the sections: "+strings.Join(allowed, ", "))
		default:
			d.unknown(n.under[key], name, key, allowed)
		}
	}
	var axes []axis
	n.leaves("", func(path string, leaf *node) {
		if section, _, _ := strings.Cut(path, "."); !slices.Contains(allowed, section) {
			return // reported
		}
		if leaf.kind != list || len(leaf.items) == 0 {
			l.out.add(codeSweep, leaf.at, fmt.Sprintf("`%s.%s` must be a list of values", name, path), "write "+path+" = [ … ]")
			return
		}
		seen := map[string]bool{}
		for _, item := range leaf.items {
			if seen[literal(item)] {
				l.out.add(codeSweep, item.at, fmt.Sprintf("`%s.%s` lists %s twice", name, path, literal(item)), "each value once")
			}
			seen[literal(item)] = true
		}
		axes = append(axes, axis{path, leaf.items})
	})
	return axes
}

func (l *loader) variants() []variantTree {
	var out []variantTree
	for i, item := range l.tables("variant", maxVariants, codeSweep) {
		v := l.variant(item, i)
		if slices.ContainsFunc(out, func(w variantTree) bool { return w.name == v.name }) {
			l.out.add(codeSweep, item.find("name").at, fmt.Sprintf("two variants are called %q", v.name), "give each [[variant]] a name of its own")
		}
		out = append(out, v)
	}
	return out
}

func (l *loader) variant(n *node, i int) variantTree {
	v := variantTree{name: fmt.Sprint(i + 1), own: newTable(n.at)}
	d := &decoder{out: l.out}
	for _, key := range n.keys {
		child := n.under[key]
		switch {
		case key == "name":
			if d.is(child, fmt.Sprintf("variant[%d].name", i), text) {
				v.name = child.value.(string)
			}
		case slices.Contains(sections(), key):
			v.own.set(key, child)
		default:
			d.unknown(child, fmt.Sprintf("variant[%d]", i), key, append([]string{"name"}, sections()...))
		}
	}
	v.own = without(v.own, l.command)
	l.keys(merged(l.root, v.own))
	return v
}

// points multiplies variants and grid, and places the arms at each point.
func (l *loader) points(e *Experiment, arms []armTree) {
	axes, variants := l.grid(), l.variants()
	total := max(1, len(variants))
	for _, a := range axes {
		e.Swept = append(e.Swept, a.path)
		total *= len(a.values)
		if total*max(1, len(arms))*max(1, len(e.Seeds)) > maxCells {
			l.out.add(codeSweep, l.at("grid"), fmt.Sprintf("the sweep has more than %d cells", maxCells), "shorten the lists, or use fewer seeds")
			return
		}
	}
	if len(variants) == 0 {
		variants = []variantTree{{}}
	} else {
		e.Swept = append(e.Swept, "variant")
	}
	for _, v := range variants {
		tree := l.root
		if v.own != nil {
			tree = merged(tree, v.own)
		}
		l.spread(e, tree, axes, nil, v.name, arms)
	}
}

// spread sets one axis after another and makes a point at the end of each path.
func (l *loader) spread(e *Experiment, tree *node, axes []axis, values []string, variant string, arms []armTree) {
	if len(axes) > 0 {
		for _, v := range axes[0].values {
			own := nested(axes[0].path, v)
			next := merged(tree, own)
			if len(l.out.all) == 0 {
				l.keys(next)
			}
			l.spread(e, next, axes[1:], append(slices.Clone(values), plain(v)), variant, arms)
		}
		return
	}
	if variant != "" {
		values = append(slices.Clone(values), variant)
	}
	p := Point{Values: values, Config: l.config(tree, "")}
	if n := len(e.Points); n > 0 {
		shareWorld(&p.Config, e.Points[n-1].Config)
	}
	l.settings(noArm, p.Config.SharedSettings(), tree)
	for i, a := range arms {
		own := merged(tree, a.own)
		c := l.config(own, a.method)
		l.settings(i, c.Settings(a.method), own)
		shareWorld(&c, p.Config)
		p.Arms = append(p.Arms, Arm{Name: a.name, Label: a.label, Method: a.method, Config: c})
	}
	e.Points = append(e.Points, p)
}

// shareWorld lets equal worlds, raw texts and demonstrations be one in memory: a
// sweep has many configurations and seldom more than one world.
func shareWorld(c *sim.Config, with sim.Config) {
	if reflect.DeepEqual(c.World, with.World) {
		c.World = with.World
	}
	if reflect.DeepEqual(c.Base, with.Base) {
		c.Base = with.Base
	}
	if reflect.DeepEqual(c.SFT, with.SFT) {
		c.SFT = with.SFT
	}
}

// nested is a tree with one leaf at a dotted path.
func nested(path string, leaf *node) *node {
	parts := strings.Split(path, ".")
	n := leaf
	for i := len(parts) - 1; i >= 0; i-- {
		t := newTable(leaf.at)
		t.set(parts[i], n)
		n = t
	}
	return n
}

// demonstrations reads sft.file into sft.demonstrations of the root tree.
func (l *loader) demonstrations() {
	n := l.root.get("sft", "file")
	if n == nil || n.kind != text || n.value.(string) == "" {
		return
	}
	path := n.value.(string)
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxDemonstrationBytes) {
		err = fmt.Errorf("it must be a file of at most %d bytes", maxDemonstrationBytes)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		l.out.add(codeData, n.at, fmt.Sprintf("cannot read `sft.file`: %v", err), "a path is relative to the file that names it")
		return
	}
	all := &node{kind: list, at: n.at, keyAt: n.keyAt}
	if old := l.root.get("sft", "demonstrations"); old != nil && old.kind == list {
		all.items = slices.Clone(old.items)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		if strings.TrimSpace(lines.Text()) != "" {
			l.demonstration(all, lines.Bytes(), place{file: path, line: number, col: 1, width: 1, text: lines.Text()})
		}
	}
	inline := newTable(n.at)
	inline.set("demonstrations", all)
	inline.set("file", &node{kind: text, value: "", at: n.at, keyAt: n.keyAt})
	top := newTable(n.at)
	top.set("sft", inline)
	l.root = merged(l.root, top)
}

func (l *loader) demonstration(all *node, line []byte, at place) {
	var d struct{ Prompt, Completion *string }
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil || d.Prompt == nil || d.Completion == nil {
		l.out.add(codeData, at, "a line of `sft.file` is no demonstration", `write {"prompt": "...", "completion": "..."}`)
		return
	}
	n := newTable(at)
	n.set("prompt", &node{kind: text, value: *d.Prompt, at: at, keyAt: at})
	n.set("completion", &node{kind: text, value: *d.Completion, at: at, keyAt: at})
	all.items = append(all.items, n)
}
