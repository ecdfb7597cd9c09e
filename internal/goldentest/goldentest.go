// Package goldentest finds the golden documents that a test should read: by their
// kind, not by name, so that another document dropped into testdata/golden is read
// like those that are there.
package goldentest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Document is a file of testdata/golden.
type Document struct {
	Name string // without its folder
	Kind string
	Data []byte
}

// Documents are all golden documents of some kinds, or of any where none is named,
// read from a package of the module's first level. There must be some.
func Documents(t testing.TB, kinds ...string) (all []Document) {
	t.Helper()
	paths, err := filepath.Glob("../testdata/golden/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ Kind string }
		if err := json.Unmarshal(data, &head); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(kinds) == 0 || slices.Contains(kinds, head.Kind) {
			all = append(all, Document{filepath.Base(path), head.Kind, data})
		}
	}
	if len(all) == 0 {
		t.Fatalf("no golden document of kind %q", kinds)
	}
	return all
}

// Each runs f on each document of a kind, a subtest a file, decoded into a T.
func Each[T any](t *testing.T, kind string, f func(t *testing.T, document T)) {
	t.Helper()
	for _, d := range Documents(t, kind) {
		t.Run(d.Name, func(t *testing.T) {
			var document T
			if err := json.Unmarshal(d.Data, &document); err != nil {
				t.Fatal(err)
			}
			f(t, document)
		})
	}
}

// Spoil damages every field of a document in many ways, one after another, and calls f
// each time; in a list it goes on with the first object. In the end all is as it was.
func Spoil(tree map[string]any, f func()) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		whole := tree[key]
		for _, bad := range []any{nil, "x", -1.0, 0.0, 0.5, 1e9, 1e300, []any{}, []any{1.0}, []any{"x"}, []any{[]any{}, []any{-1.0, 1e9}}, map[string]any{}, true} {
			tree[key] = bad
			f()
		}
		delete(tree, key)
		f()
		inner := whole
		if list, ok := whole.([]any); ok && len(list) > 0 {
			tree[key] = list[1:]
			f()
			inner = list[0]
		}
		tree[key] = whole
		if object, ok := inner.(map[string]any); ok {
			Spoil(object, f)
		}
	}
}
