package experiments

import (
	"fmt"
	"testing"
)

func TestEmbeddedExperimentsLoadAndResolve(t *testing.T) {
	for _, name := range Embedded() {
		e, err := Load(name, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		path := t.TempDir() + "/resolved.toml"
		writeFile(t, path, e.Resolved)
		again, err := Load(path, nil)
		if err != nil {
			t.Fatalf("%s resolved: %v\n%s", name, err, e.Resolved)
		}
		if fmt.Sprint(e.Points) != fmt.Sprint(again.Points) || fmt.Sprint(e.Seeds) != fmt.Sprint(again.Seeds) || e.Name != again.Name || fmt.Sprint(e.Swept) != fmt.Sprint(again.Swept) {
			t.Errorf("%s: the resolved file means something else", name)
		}
		if string(again.Resolved) != string(e.Resolved) {
			t.Errorf("%s: resolving twice gives another text", name)
		}
	}
}
