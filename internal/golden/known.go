package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// wholeNumbers writes 4.0 as 4: some libraries write whole numbers so.
func wholeNumbers(document []byte) ([]byte, error) {
	var tree any
	if err := json.Unmarshal(document, &tree); err != nil {
		return nil, err
	}
	if hasHole(tree) {
		return nil, errors.New("a list has a null where a value should be")
	}
	return json.Marshal(tree)
}

// hasHole says whether a list in the tree has a null, which would be read as 0.
func hasHole(tree any) bool {
	switch v := tree.(type) {
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return item == nil || hasHole(item) })
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), hasHole)
	}
	return false
}

// known fails on a number of an object, or a list of them, that no field of the struct
// reads, here or in the objects inside: a misspelt name would be compared with nothing.
// It fails too where a field tagged required:"true" is missing. Others are names that
// somebody else reads.
func known(raw json.RawMessage, as reflect.Type, others ...string) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	fields, names := map[string]reflect.Type{}, []string(nil)
	for _, f := range reflect.VisibleFields(as) {
		if f.Anonymous {
			continue
		}
		name := jsonName(f)
		fields[name], names = f.Type, append(names, name)
		if f.Tag.Get("required") != "" && missing(object, name) {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		of, ok := fields[strings.ToLower(name)]
		if !ok && object[name][0] != '"' && !slices.Contains(others, name) {
			return fmt.Errorf("unknown field %q; known: %s", name, strings.Join(names, ", "))
		}
		if err := knownInside(object[name], of); err != nil {
			return fmt.Errorf("%s%w", name, err)
		}
	}
	return nil
}

// knownInside is known for a field that holds an object or a list of objects. Its
// errors begin with what stands between the field's name and the reason.
func knownInside(raw json.RawMessage, of reflect.Type) error {
	switch {
	case of == nil:
		return nil
	case of.Kind() == reflect.Struct:
		if err := known(raw, of); err != nil {
			return fmt.Errorf(": %w", err)
		}
	case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return fmt.Errorf(": %w", err)
		}
		for i, item := range items {
			if err := known(item, of.Elem()); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
	}
	return nil
}

// jsonName is a field as it stands in a document, in lower case.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		name = f.Name
	}
	return strings.ToLower(name)
}

func missing(object map[string]json.RawMessage, name string) bool {
	for key, v := range object {
		if strings.EqualFold(key, name) && string(v) != "null" {
			return false
		}
	}
	return true
}
