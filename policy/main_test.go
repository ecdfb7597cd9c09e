package policy

import (
	"flag"
	"os"
	"testing"
)

// Every property is tried on 200 random worlds, unless -rapid.checks says otherwise.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "200"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
