package experiments

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every recorded document agrees, and comes back in its own shape.
func TestLossesOfEveryDocument(t *testing.T) {
	files, err := filepath.Glob("../testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			document, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			done, err := Losses(document)
			if err != nil && strings.Contains(err.Error(), "known kinds") {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if text, ok := done.Text(1e-9); !ok {
				t.Error(text)
			}
			again, err := done.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if done, err = Losses([]byte(again)); err != nil {
				t.Fatalf("our own document cannot be read: %v", err)
			}
			if text, ok := done.Text(1e-9); !ok {
				t.Error("our own numbers do not agree with themselves:", text)
			}
		})
	}
}
