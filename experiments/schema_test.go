package experiments

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func schemaTree(t *testing.T) map[string]any {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal([]byte(JSONSchemaText()), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// conforms checks a value against the part of JSON Schema that ours uses.
func conforms(root, schema map[string]any, value any, at string) error {
	if ref, ok := schema["$ref"].(string); ok {
		schema = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	if options, ok := schema["anyOf"].([]any); ok {
		for _, o := range options {
			if conforms(root, o.(map[string]any), value, at) == nil {
				return nil
			}
		}
		return fmt.Errorf("%s = %v is none of the kinds it may be", at, value)
	}
	if want, ok := schema["const"]; ok && fmt.Sprint(want) != fmt.Sprint(value) {
		return fmt.Errorf("%s = %v must be %v", at, value, want)
	}
	if options, ok := schema["enum"].([]any); ok && !slices.Contains(options, value) {
		return fmt.Errorf("%s = %v must be one of %v", at, value, options)
	}
	switch v := value.(type) {
	case map[string]any:
		return conformTable(root, schema, v, at)
	case []map[string]any:
		var items []any
		for _, item := range v {
			items = append(items, item)
		}
		return conforms(root, schema, items, at)
	case []any:
		if err := conformType(schema, at, "array"); err != nil {
			return err
		}
		for _, item := range v {
			if err := conforms(root, schema["items"].(map[string]any), item, at); err != nil {
				return err
			}
		}
		return nil
	case int64:
		if low, ok := schema["minimum"].(float64); ok && float64(v) < low {
			return fmt.Errorf("%s = %d is below %g", at, v, low)
		}
		return conformType(schema, at, "integer", "number")
	case float64:
		return conformType(schema, at, "number")
	case string:
		return conformType(schema, at, "string")
	case bool:
		return conformType(schema, at, "boolean")
	}
	return fmt.Errorf("%s is a %T", at, value)
}

func conformType(schema map[string]any, at string, kinds ...string) error {
	if want, ok := schema["type"].(string); ok && !slices.Contains(kinds, want) {
		return fmt.Errorf("%s is of type %s, want %s", at, kinds[0], want)
	}
	return nil
}

func conformTable(root, schema, value map[string]any, at string) error {
	if err := conformType(schema, at, "object"); err != nil {
		return err
	}
	properties, _ := schema["properties"].(map[string]any)
	for key, item := range value {
		inner, known := properties[key].(map[string]any)
		if !known {
			inner, known = schema["additionalProperties"].(map[string]any)
		}
		if !known {
			return fmt.Errorf("%s has no field %s", at, key)
		}
		if err := conforms(root, inner, item, at+"."+key); err != nil {
			return err
		}
	}
	for _, key := range anys(schema["required"]) {
		if _, ok := value[key.(string)]; !ok {
			return fmt.Errorf("%s lacks %s", at, key)
		}
	}
	return nil
}

func anys(v any) []any { all, _ := v.([]any); return all }

func readTOML(t *testing.T, text string) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := toml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestEmbeddedExperimentsConformToTheSchema(t *testing.T) {
	root := schemaTree(t)
	for _, name := range Embedded() {
		data, err := Show(name)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Load(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(data), string(e.Resolved)} {
			if err := conforms(root, root, readTOML(t, text), name); err != nil {
				t.Error(err)
			}
		}
	}
}

// What the program refuses for its keys, types or names, the schema refuses too.
func TestSchemaRefusesWhatTheProgramRefuses(t *testing.T) {
	root := schemaTree(t)
	for _, text := range []string{
		"format = 2", "colour = 1", "seeds = 0", "seeds = \"ten\"", "seeds = [-1]",
		"[ppo]\nclip_coef = 0.2", "[objective]\nbeta = \"0.1\"", "[ppo]\nbatch_size = 1.5", "[ppo]\nkl_estimator = \"k9\"",
		"[[arm]]\nmethod = \"pop\"", "[[arm]]\nname = \"a\"", "[[arm]]\nmethod = \"ppo\"\nlabels.rankings = 3",
		"[grid]\nlabels.rankings = 3", "[grid]\nlabels.rankngs = [3]", "[grid]\nlabels.rankings = [\"3\"]",
		"[[variant]]\nseeds = 3", "[world.words]\npolite = \"please\"", "[[world.prompt]]\ntxt = \"x\"",
	} {
		if conforms(root, root, readTOML(t, text), "file") == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
		if _, report := load(t, head+strings.TrimPrefix(text, "format = 2")); report == "" && !strings.HasPrefix(text, "format") {
			t.Errorf("the program accepts\n%s", text)
		}
	}
	for _, text := range []string{
		"seeds = [3, 5]", "[ppo]\ncliprange = 1", "[[arm]]\nmethod = \"ppo\"\nobjective.beta = 1\nppo.lam = 0.5",
		"[grid]\nlabels.rankings = [3, 4]\nppo.kl_estimator = [\"k1\", \"k3\"]", "[[variant]]\nname = \"a\"\nlabels.rankings = 5",
	} {
		if err := conforms(root, root, readTOML(t, text), "file"); err != nil {
			t.Error(err)
		}
	}
}

// The schema has the fields that decoding has, described, and no other.
func TestSchemaHasEveryField(t *testing.T) {
	root := schemaTree(t)
	var paths []string
	var walk func(path string, n map[string]any)
	walk = func(path string, n map[string]any) {
		if ref, ok := n["$ref"].(string); ok {
			n = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		if path != "" {
			paths = append(paths, path)
			if doc, _ := n["description"].(string); !strings.HasPrefix(doc, docOf(path).Doc) || doc == "" {
				t.Errorf("%s is described as %q", path, doc)
			}
		}
		items, _ := n["items"].(map[string]any)
		for _, n := range []map[string]any{n, items} {
			properties, _ := n["properties"].(map[string]any)
			if len(properties) > 0 && n["additionalProperties"] != false {
				t.Errorf("%s is open to any field", path)
			}
			for name, inner := range properties {
				if top, _, _ := strings.Cut(path, "."); !slices.Contains(apart, top) {
					walk(join(path, name), inner.(map[string]any))
				}
			}
		}
	}
	walk("", root)
	want := slices.Concat(docFields(), topKeys(), []string{"output.dir"})
	slices.Sort(paths)
	slices.Sort(want)
	if !slices.Equal(paths, want) {
		t.Errorf("the schema has\n%v\nwant\n%v", paths, want)
	}
	// Defaults are those of an empty file.
	ppo := root["$defs"].(map[string]any)["ppo"].(map[string]any)["properties"].(map[string]any)
	if got := ppo["cliprange"].(map[string]any)["default"]; got != 0.2 {
		t.Errorf("cliprange defaults to %v", got)
	}
	if got, has := ppo["kl_coef"].(map[string]any)["default"]; has {
		t.Errorf("kl_coef follows objective.beta, and the schema says %v", got)
	}
}
