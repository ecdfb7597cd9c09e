package experiments

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"

	"rlhfsim/internal/field"
	"rlhfsim/sim"
)

// fieldInfo is what the schema itself knows of a field. Its limits are asked of
// the checks that enforce them, so what is documented is what is enforced.
type fieldInfo struct {
	Path    string
	Kind    string   // "number", "list of numbers", …; "table" for a section
	Default string   // as TOML; "required" where a file must say it
	Allowed string   // "" where every value of the kind will do
	Options []string // all that is allowed, where those are names
	IsTable bool     // a section, or a list of tables
}

// allowedTexts say what a field may hold where the checks' own words do not say it
// best.
var allowedTexts = map[string]string{
	"world.words":                   "at least one group; each word once, without spaces",
	"world.prompt.text":             "some text, different from the other prompts'",
	"world.prompt.answers":          "words of [world.words]",
	"world.value.count":             "a word group, \"right answer\", \"wrong answer\", \"repeat\" or \"length\"; each once",
	"world.value.worth":             "1 to world.max_length + 1 numbers between -1e+06 and 1e+06",
	"policy.order":                  "at least 1 and at most 64, and a table of at most 2²⁷ entries",
	"base.weights":                  "at least 0, one above 0, under the names of word groups",
	"sft.demonstrations":            "at least one, those of sft.file included",
	"sft.demonstrations.completion": "words of [world.words], at most world.max_length of them",
	"sft.file":                      "a file of at most 8 MiB; a path is relative to the file that names it",
	"world.random.groups":           "at least 1 and at most 64, and at most world.random.words",
	"world.random.prompts":          "at least 1 and at most 65536",
	"world.random.demonstrations":   "at least 1 and at most 100000",
	"world.random.seed":             "at least 0 and at most 2147483647",
	"reward.counts":                 "none, or different names of word groups, right answer, wrong answer, repeat, length",
	"figure.kind":                   "a figure's name: rlhfsim plot --help lists them",
	"figure.x":                      "a swept field",
	"figure.y":                      "metrics, or one metric",
	"dpo.loss_weights":              "none, or one number for each loss of the sum, between 0 and 1e+06",
	"ppo.num_mini_batches":          "at least 1 and at most ppo.batch_size",

	"format":       "1",
	"extends":      "an experiment that comes with the program, or a path relative to this file",
	"name":         "letters, digits, '.', '_' and '-'",
	"seeds":        "1 to 10000, or a list of different whole numbers",
	"arm.name":     "letters, digits, '.', '_' and '-'; different for each arm",
	"variant.name": "different for each variant",
}

// fields describes every field of sim.Config, sections and tables before what
// is in them.
var fields = sync.OnceValue(describeFields)

func describeFields() []fieldInfo {
	required := map[string]bool{}
	for _, c := range []sim.Config{sim.Default(), oneOfEach()} {
		for _, e := range field.All(c.Validate()) {
			required[unindexed(e.Field)] = true
		}
	}
	var out []fieldInfo
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		for _, f := range fieldsOf(v) {
			at := join(path, f.name)
			info := fieldInfo{Path: at, Kind: kindName(f.value.Type())}
			inner, isTable := tableIn(f.value)
			info.IsTable = isTable
			switch {
			case f.value.Kind() == reflect.Struct:
			case required[at]:
				info.Default = "required"
			case followsBeta(at):
				info.Default = "objective.beta"
			case isTable:
				info.Default = "[]"
			case strings.Count(at, ".") > 1 && f.value.Kind() == reflect.String: // in a list of tables, whose texts have no defaults
				info.Default = "required"
			default:
				info.Default = goLiteral(f.value)
			}
			info.Allowed, info.Options = allowed(at, f.value.Kind())
			out = append(out, info)
			if isTable {
				walk(at, inner)
			}
		}
	}
	c := oneOfEach()
	walk("", reflect.ValueOf(&c).Elem())
	return out
}

// strayBeta is no field's default: fields that have it follow objective.beta.
const strayBeta = 0.123456789

var followers = sync.OnceValue(func() sim.Config {
	e, err := Load("chapter", []string{"objective.beta=" + float(strayBeta)})
	if err != nil {
		return sim.Default()
	}
	return e.Points[0].Config
})

// followsBeta says whether the field takes the value of objective.beta unless set.
func followsBeta(path string) bool {
	c := followers()
	v, ok := fieldAt(&c, path)
	return ok && path != "objective.beta" && v.Kind() == reflect.Float64 && v.Float() == strayBeta
}

// fieldAt is the field at a dotted path.
func fieldAt(c *sim.Config, path string) (v reflect.Value, ok bool) {
	v = reflect.ValueOf(c).Elem()
	for _, name := range strings.Split(path, ".") {
		inner, _ := tableIn(v)
		if v, ok = fieldsOf(inner).get(name); !ok {
			return v, false
		}
	}
	return v, true
}

// oneOfEach is the default configuration with one element, nothing in it set, in
// each list of tables.
func oneOfEach() sim.Config {
	c := sim.Default()
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		for _, f := range fieldsOf(v) {
			if f.value.Kind() == reflect.Slice && !isEntries(f.value.Type()) && f.value.Type().Elem().Kind() == reflect.Struct {
				one := reflect.MakeSlice(f.value.Type(), 1, 1)
				if d, ok := one.Index(0).Addr().Interface().(interface{ SetDefaults() }); ok {
					d.SetDefaults()
				}
				f.value.Set(one)
			}
			if inner, ok := tableIn(f.value); ok {
				fill(inner)
			}
		}
	}
	fill(reflect.ValueOf(&c).Elem())
	return c
}

// tableIn is the struct that a field is, or is a list of.
func tableIn(v reflect.Value) (reflect.Value, bool) {
	switch {
	case v.Kind() == reflect.Struct:
		return v, true
	case v.Kind() == reflect.Slice && !isEntries(v.Type()) && v.Type().Elem().Kind() == reflect.Struct:
		if v.Len() == 0 {
			return reflect.New(v.Type().Elem()).Elem(), true
		}
		return v.Index(0), true
	}
	return reflect.Value{}, false
}

// kindName is a type as users know it.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		if isEntries(t) {
			return "table of " + pluralKind(kindName(t.Elem().Field(1).Type))
		}
		return "list of " + pluralKind(kindName(t.Elem()))
	}
	return "table"
}

func pluralKind(kind string) string {
	if first, rest, ok := strings.Cut(kind, " of "); ok {
		return first + "s of " + rest
	}
	return kind + "s"
}

// allowed asks the checks what a field may hold, by giving it what it may not.
func allowed(path string, kind reflect.Kind) (text string, options []string) {
	if kind == reflect.Struct || kind == reflect.Bool {
		return "", nil
	}
	if text, ok := allowedTexts[path]; ok {
		return text, nil
	}
	c := oneOfEach()
	v, _ := fieldAt(&c, path)
	spoil(v)
	for _, e := range field.All(c.Validate()) {
		if unindexed(e.Field) == path { // the checks of a section come before those between fields
			if e.Options != nil {
				return field.Quoted(e.Options), e.Options
			}
			return e.Allowed, nil
		}
	}
	return "", nil
}

// spoil makes a value one that no check lets pass, where its kind has such.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Int:
		v.SetInt(math.MinInt32)
	case reflect.Float64:
		v.SetFloat(math.NaN())
	case reflect.String:
		v.SetString("\x00")
	case reflect.Slice:
		v.SetZero()
	}
}

// JSONSchema describes experiment files for editors (JSON Schema, draft
// 2020-12), from the walk over the schema that decoding uses.
func JSONSchema() any {
	c := oneOfEach()
	infos := map[string]fieldInfo{}
	for _, f := range fields() {
		infos[f.Path] = f
	}
	s := schemaWriter{infos}
	defs, properties := schemaNode{}, schemaNode{}
	for _, f := range fieldsOf(reflect.ValueOf(&c).Elem()) {
		defs[f.name] = s.node(f.name, f.value)
		properties[f.name] = schemaNode{"$ref": "#/$defs/" + f.name}
	}
	for _, f := range fieldsOf(reflect.ValueOf(header{Output: outputConfig{Dir: "runs"}})) {
		properties[f.name] = s.node(f.name, f.value)
	}
	properties["format"] = describe(schemaNode{"const": 1}, "format")
	properties["seeds"] = describe(schemaNode{"default": 10, "anyOf": []any{
		schemaNode{"type": "integer", "minimum": 1, "maximum": maxSeeds},
		schemaNode{"type": "array", "items": schemaNode{"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": true},
	}}, "seeds")
	properties["arm"] = describe(schemaNode{"type": "array", "items": s.armNode()}, "arm")
	properties["variant"] = describe(schemaNode{"type": "array", "items": s.sections(sections(), "variant.name")}, "variant")
	properties["figure"] = describe(schemaNode{"type": "array", "items": s.figureNode()}, "figure")
	properties["claim"] = describe(schemaNode{"type": "array", "items": s.claimNode()}, "claim")
	swept := schemaNode{}
	for _, f := range fieldsOf(reflect.ValueOf(&c).Elem()) {
		swept[f.name] = s.swept(f.name, f.value)
	}
	properties["grid"] = describe(closed(swept), "grid")
	out := closed(properties)
	out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	out["title"] = "rlhfsim experiment"
	out["$defs"] = defs
	return out
}

// JSONSchemaText is JSONSchema as a file.
func JSONSchemaText() string { return string(jsonFile(JSONSchema())) }

type schemaNode map[string]any

type schemaWriter struct{ fields map[string]fieldInfo }

// closed is a table that has these keys and no other.
func closed(properties schemaNode) schemaNode {
	return schemaNode{"type": "object", "properties": properties, "additionalProperties": false}
}

func describe(n schemaNode, path string) schemaNode {
	doc := docOf(path)
	n["description"] = strings.TrimSpace(doc.Doc + " " + doc.Elsewhere)
	return n
}

// node is the schema of one field and everything in it.
func (s schemaWriter) node(path string, v reflect.Value) schemaNode {
	n := s.shape(path, v)
	info := s.fields[path]
	if info.Options != nil {
		n["enum"] = info.Options
	}
	switch v.Kind() {
	case reflect.Int, reflect.Float64, reflect.Bool, reflect.String:
		if info.Default != "required" && info.Default != "objective.beta" && info.Default != "" {
			n["default"] = v.Interface()
		}
	}
	describe(n, path)
	if info.Allowed != "" && info.Options == nil {
		n["description"] = fmt.Sprintf("%s Allowed: %s.", n["description"], info.Allowed)
	}
	return n
}

// shape is a field's type.
func (s schemaWriter) shape(path string, v reflect.Value) schemaNode {
	switch v.Kind() {
	case reflect.Int:
		return schemaNode{"type": "integer"}
	case reflect.Float64:
		return schemaNode{"type": "number"}
	case reflect.Bool:
		return schemaNode{"type": "boolean"}
	case reflect.String:
		return schemaNode{"type": "string"}
	}
	if inner, ok := tableIn(v); ok {
		properties := schemaNode{}
		for _, f := range fieldsOf(inner) {
			properties[f.name] = s.node(join(path, f.name), f.value)
		}
		if v.Kind() == reflect.Slice {
			return schemaNode{"type": "array", "items": closed(properties)}
		}
		return closed(properties)
	}
	element := reflect.New(v.Type().Elem()).Elem()
	if isEntries(v.Type()) {
		return schemaNode{"type": "object", "additionalProperties": s.shape(path, element.Field(1))}
	}
	return schemaNode{"type": "array", "items": s.shape(path, element)}
}

// swept is the schema of a field in [grid]: a list of its values.
func (s schemaWriter) swept(path string, v reflect.Value) schemaNode {
	if v.Kind() == reflect.Struct {
		properties := schemaNode{}
		for _, f := range fieldsOf(v) {
			properties[f.name] = s.swept(join(path, f.name), f.value)
		}
		return closed(properties)
	}
	if isEntries(v.Type()) {
		element := reflect.New(v.Type().Elem()).Elem().Field(1)
		return describe(schemaNode{"type": "object", "additionalProperties": listOf(s.shape(path, element))}, path)
	}
	one := s.node(path, v)
	delete(one, "default")
	return listOf(one)
}

func listOf(n schemaNode) schemaNode {
	return schemaNode{"type": "array", "items": n, "minItems": 1, "uniqueItems": true}
}

// sections is a table with the given sections and some texts of its own.
func (s schemaWriter) sections(names []string, texts ...string) schemaNode {
	properties := schemaNode{}
	for _, name := range names {
		properties[name] = schemaNode{"$ref": "#/$defs/" + name}
	}
	for _, path := range texts {
		_, name, _ := cutLast(path)
		properties[name] = describe(schemaNode{"type": "string"}, path)
	}
	return closed(properties)
}

func (s schemaWriter) armNode() schemaNode {
	n := s.sections(armSections(), "arm.name", "arm.label", "arm.method")
	var methods []string
	for _, m := range sim.Methods {
		methods = append(methods, m.Name)
	}
	n["properties"].(schemaNode)["method"].(schemaNode)["enum"] = methods
	n["required"] = []string{"method"}
	return n
}

func (s schemaWriter) figureNode() schemaNode {
	properties := schemaNode{}
	for _, f := range fieldsOf(reflect.ValueOf(FigureSpec{})) {
		properties[f.name] = s.node(join("figure", f.name), f.value)
	}
	properties["kind"].(schemaNode)["enum"] = figureKindNames()
	properties["y"] = describe(schemaNode{"anyOf": []any{schemaNode{"type": "string"}, schemaNode{"type": "array", "items": schemaNode{"type": "string"}}}}, "figure.y")
	return closed(properties)
}

func (s schemaWriter) claimNode() schemaNode {
	n := s.sections(nil, "claim.says", "claim.metric", "claim.of", "claim.at", "claim.is", "claim.trend", "claim.over")
	fields := n["properties"].(schemaNode)
	fields["is"].(schemaNode)["enum"] = []string{"above", "below", "equal"}
	fields["trend"].(schemaNode)["enum"] = []string{"rises", "falls", "peaks inside", "dips inside"}
	fields["by"] = describe(schemaNode{"type": "number", "default": 0}, "claim.by")
	fields["where"] = describe(schemaNode{"type": "object", "additionalProperties": schemaNode{}}, "claim.where")
	side := schemaNode{"of": fields["of"], "at": fields["at"], "where": fields["where"]}
	fields["than"] = describe(schemaNode{"anyOf": []any{schemaNode{"type": "number"}, schemaNode{"type": "string"}, closed(side)}}, "claim.than")
	n["required"] = []string{"metric", "of"}
	return n
}
