package experiments

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/internal/field"
)

// decoder fills Go values from a tree by their toml tags: the one walk that
// finds unknown keys and wrong types.
type decoder struct {
	out   *reporter
	wrong []string // paths of values that could not be read
}

// failed says whether a value at or below the path could not be read.
func (d *decoder) failed(path string) bool {
	return slices.ContainsFunc(d.wrong, func(w string) bool {
		return w == path || strings.HasPrefix(w, path+".") || strings.HasPrefix(w, path+"[")
	})
}

// decode fills v, which keeps its value where the tree says nothing.
func (d *decoder) decode(n *node, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Slice:
		d.slice(n, path, v)
	case reflect.String:
		if d.is(n, path, text) {
			v.SetString(n.value.(string))
		}
	case reflect.Int:
		if d.is(n, path, whole) {
			v.SetInt(n.value.(int64))
		}
	case reflect.Bool:
		if d.is(n, path, boolean) {
			v.SetBool(n.value.(bool))
		}
	case reflect.Float64:
		d.float(n, path, v)
	}
}

func (d *decoder) float(n *node, path string, v reflect.Value) {
	switch {
	case n.kind == whole:
		v.SetFloat(float64(n.value.(int64)))
	case d.is(n, path, decimal):
		f := n.value.(float64)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			d.wrong = append(d.wrong, path)
			d.out.add(codeValue, n.at, fmt.Sprintf("`%s` is not a finite number", path), "write a finite number")
			return
		}
		v.SetFloat(f)
	}
}

// is reports a value of another type than wanted.
func (d *decoder) is(n *node, path string, want kind) bool {
	if n.kind == want {
		return true
	}
	label := ""
	if s, ok := n.value.(string); ok && n.kind == text {
		if _, err := strconv.ParseFloat(s, 64); err == nil && (want == decimal || want == whole) || (s == "true" || s == "false") && want == boolean {
			label = "write " + s + " without quotes"
		}
	}
	if want == text && n.value != nil {
		label = fmt.Sprintf("write %q, in quotes", fmt.Sprint(n.value))
	}
	if want == list {
		label = "write a list, [ … ]"
	}
	if other, special := otherKinds[path]; special && (n.kind == list || n.kind == boolean) {
		label = other
	}
	d.wrong = append(d.wrong, path)
	d.out.add(codeType, n.at, fmt.Sprintf("`%s` must be %s, found %s", path, wanted(want), n.kind), label)
	return false
}

// otherKinds say what to write where other systems have a value of another kind.
var otherKinds = map[string]string{
	"dpo.loss_type":      "several losses are joined by +, as in \"sigmoid+sft\"",
	"grpo.scale_rewards": "true elsewhere is \"group\" here, false is \"none\"",
	"ppo.kl_in":          "write \"reward\", \"loss\" or \"both\"",
	"grpo.kl_in":         "write \"loss\", \"reward\", \"token_reward\" or \"both\"",
}

// wanted is how a type is asked for: a float may be written without a point.
func wanted(k kind) string {
	if k == decimal {
		return "a number"
	}
	return string(k)
}

// structure fills a struct from a table, reporting keys that it does not have.
func (d *decoder) structure(n *node, path string, v reflect.Value) {
	if !d.is(n, path, table) {
		return
	}
	fields := fieldsOf(v)
	for _, key := range n.keys {
		f, known := fields.get(key)
		if !known {
			d.unknown(n.under[key], path, key, fields.names())
			continue
		}
		d.decode(n.under[key], join(path, key), f)
	}
}

func (d *decoder) slice(n *node, path string, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Struct && v.Type().Elem().Name() != "" && strings.HasPrefix(v.Type().Elem().Name(), "Entry[") {
		d.entries(n, path, v)
		return
	}
	if !d.is(n, path, list) {
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	if len(n.items) == 0 {
		out = reflect.Zero(v.Type()) // as where nothing was written: the two are one configuration
	}
	for i, item := range n.items {
		if p, ok := out.Index(i).Addr().Interface().(interface{ SetDefaults() }); ok {
			p.SetDefaults()
		}
		d.decode(item, fmt.Sprintf("%s[%d]", path, i), out.Index(i))
	}
	v.Set(out)
}

// entries fills a field.Table, whose keys are free and in order.
func (d *decoder) entries(n *node, path string, v reflect.Value) {
	if !d.is(n, path, table) {
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.keys), len(n.keys))
	for i, key := range n.keys {
		out.Index(i).Field(0).SetString(key)
		d.decode(n.under[key], join(path, key), out.Index(i).Field(1))
	}
	v.Set(out)
}

// unknown reports a key that does not exist here, with what was probably meant.
func (d *decoder) unknown(n *node, path, key string, known []string) {
	if d.out.full() {
		return
	}
	section := "[" + path + "]"
	if path == "" {
		section = "at the top of the file"
	} else {
		section = "in " + section
	}
	message := fmt.Sprintf("unknown field `%s` %s", key, section)
	homes := elsewhere(key)
	if path == "" && len(homes) == 1 {
		belongs := "`" + key + "` belongs in [" + homes[0] + "], as " + homes[0] + "." + key
		if near := field.Nearest(key, known); near != "" {
			belongs += "; at the top there is `" + near + "`"
		}
		d.out.add(codePlace, n.keyAt, message, belongs)
		return
	}
	if names := foreign(path, key); len(names) > 0 {
		d.out.add(codeUnknown, n.keyAt, message, "did you mean `"+strings.Join(names, "` or `")+"`?", about(path, names)...)
		return
	}
	if near := field.Nearest(key, known); near != "" {
		d.out.add(codeUnknown, n.keyAt, message, "did you mean `"+near+"`?", about(path, []string{near})...)
		return
	}
	if len(homes) > 0 {
		d.out.add(codePlace, n.keyAt, message, "`"+key+"` belongs in ["+strings.Join(homes, "] or [")+"]")
		return
	}
	d.out.add(codeUnknown, n.keyAt, message, "", "help: the fields here are "+strings.Join(known, ", "))
}

// about is a note on what is suggested, where that is one field.
func about(path string, names []string) []string {
	if len(names) > 1 {
		return nil
	}
	doc := docOf(join(unindexed(path), names[0]))
	if doc.Doc == "" {
		doc = docOf(names[0]) // a dotted name
	}
	if doc.Doc == "" {
		return nil
	}
	return []string{strings.TrimSpace("note: " + doc.Doc + " " + doc.Elsewhere)}
}

func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

// fieldList is the fields of a struct by their toml names, embedded structs
// flattened, in order.
type fieldList []struct {
	name  string
	value reflect.Value
}

func fieldsOf(v reflect.Value) fieldList {
	var out fieldList
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			out = append(out, fieldsOf(v.Field(i))...)
			continue
		}
		if name := f.Tag.Get("toml"); name != "" {
			out = append(out, struct {
				name  string
				value reflect.Value
			}{name, v.Field(i)})
		}
	}
	return out
}

func (l fieldList) get(name string) (reflect.Value, bool) {
	for _, f := range l {
		if f.name == name {
			return f.value, true
		}
	}
	return reflect.Value{}, false
}

func (l fieldList) names() []string {
	var names []string
	for _, f := range l {
		names = append(names, f.name)
	}
	return names
}
