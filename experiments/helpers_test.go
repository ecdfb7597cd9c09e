package experiments

import (
	"bytes"
	"os"
	"testing"
)

// Files are the contents of a run's folder by slash-separated path.
type Files map[string][]byte

// tables are all files of a run but figures and provenance.
func tables(t testing.TB, r *Run) Files {
	t.Helper()
	files := Files{}
	for _, out := range r.outputs() {
		var b bytes.Buffer
		if err := out.write(&b); err != nil {
			t.Fatal(err)
		}
		files[out.name] = b.Bytes()
	}
	return files
}

// figures are all that a run draws.
func figures(t testing.TB, r *Run) Files {
	t.Helper()
	files := Files{}
	if err := r.draw(func(name string, data []byte) error {
		files[name] = data
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}
