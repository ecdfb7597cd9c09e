package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The house has one direction: main → experiments → sim → {reward, ppo, dpo, ilql} →
// policy → internal. What a package may import, besides internal packages and
// the standard library:
var mayImport = map[string][]string{
	"rlhfsim":             {"rlhfsim/experiments"},
	"rlhfsim/experiments": {"rlhfsim/sim", "rlhfsim/reward", "rlhfsim/ppo", "rlhfsim/dpo", "rlhfsim/ilql", "rlhfsim/policy"},
	"rlhfsim/sim":         {"rlhfsim/reward", "rlhfsim/ppo", "rlhfsim/dpo", "rlhfsim/ilql", "rlhfsim/policy"},
	"rlhfsim/reward":      {"rlhfsim/policy"},
	"rlhfsim/ppo":         {"rlhfsim/policy"},
	"rlhfsim/dpo":         {"rlhfsim/policy"},
	"rlhfsim/ilql":        {"rlhfsim/policy"},
	"rlhfsim/policy":      {},
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		allowed, ours := mayImport[p]
		internal := strings.HasPrefix(p, "rlhfsim/internal/")
		if !ours && !internal {
			t.Errorf("%s has no place in the house", p)
		}
		for _, to := range list(t, "-f", `{{join .Imports "\n"}}`, p) {
			if !strings.HasPrefix(to, "rlhfsim") || strings.HasPrefix(to, "rlhfsim/internal/") {
				continue
			}
			if !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s", p, to)
			}
		}
	}
}

// sim and below do no IO and pull in no command, plot or TOML library, so that
// the same engine runs in a browser page.
func TestEngineStaysPure(t *testing.T) {
	forbidden := []string{"os", "net", "os/exec", "io/ioutil", "log", "log/slog", "github.com/spf13/cobra", "github.com/BurntSushi/toml",
		"github.com/pelletier/go-toml/v2", "github.com/vbauerster/mpb/v8", "gonum.org/v1/plot"}
	for _, p := range []string{"./sim", "./reward", "./ppo", "./dpo", "./ilql", "./policy"} {
		for _, to := range list(t, "-f", `{{join .Imports "\n"}}`, p) {
			if slices.Contains(forbidden, to) {
				t.Errorf("%s imports %s", p, to)
			}
		}
		for _, to := range list(t, "-deps", p) {
			if strings.Contains(to, ".") && slices.ContainsFunc(forbidden, func(f string) bool { return strings.Contains(f, ".") && strings.HasPrefix(to, f) }) {
				t.Errorf("%s depends on %s", p, to)
			}
		}
	}
}
