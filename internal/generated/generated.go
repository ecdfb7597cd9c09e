// Package generated keeps the generated parts of documents true: a test compares
// them with the tables that they come from, and rewrites them with -update.
package generated

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the generated parts of documents")

// Check compares one part of a Markdown file, which stands between
//
//	<!-- generated: NAME (go test ./… -update) -->
//	<!-- end -->
//
// with what it should be.
func Check(t *testing.T, file, name, want string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	begin := strings.Index(text, "<!-- generated: "+name+" ")
	if begin < 0 {
		t.Fatalf("%s has no generated part %q", file, name)
	}
	from := begin + strings.Index(text[begin:], "-->\n") + len("-->\n")
	length := strings.Index(text[from:], "<!-- end -->")
	if length < 0 {
		t.Fatalf("%s: the generated part %q has no end", file, name)
	}
	want = "\n" + strings.TrimSpace(want) + "\n\n"
	if text[from:from+length] == want {
		return
	}
	if !*update {
		t.Errorf("%s is stale: run this test with -update", file)
		return
	}
	if err := os.WriteFile(file, []byte(text[:from]+want+text[from+length:]), 0o666); err != nil {
		t.Fatal(err)
	}
}
