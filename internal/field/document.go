package field

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// WholeNumbers writes 4.0 as 4: some libraries write whole numbers so.
func WholeNumbers(document []byte) ([]byte, error) {
	var tree any
	if err := json.Unmarshal(document, &tree); err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}

// Known fails on a number of a document's result, or a list of them, that no field of
// the struct reads: a misspelt name would be compared with nothing.
func Known(raw json.RawMessage, as reflect.Type) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	known := append(jsonNames(as), "case")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name][0] != '"' && !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			return fmt.Errorf("unknown field %q; known: %s", name, strings.Join(known, ", "))
		}
		if f, there := as.FieldByName("Config"); there && name == "config" {
			if err := Known(fields[name], f.Type); err != nil {
				return fmt.Errorf("config: %w", err)
			}
		}
	}
	return nil
}

// jsonNames are the fields of a struct as they stand in a document.
func jsonNames(of reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(of) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		if !f.Anonymous {
			names = append(names, name)
		}
	}
	return names
}
