package experiments

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/rng"
)

// keyPlaces lists every key that a file can have: where it stands, its name, and
// a file that has `typo` in its place.
func keyPlaces() []keyPlace {
	var out []keyPlace
	add := func(section, key, text string) { out = append(out, keyPlace{section, key, head + text}) }
	for _, key := range topKeys() {
		add("", key, "TYPO = 1\n")
	}
	for _, section := range sections() {
		add("", section, "[TYPO]\nx = 1\n")
		add("variant", section, "[[variant]]\nTYPO.x = 1\n")
		add("", section, "[grid]\nTYPO.x = [1, 2]\n")
	}
	for _, section := range armSections() {
		add("arm", section, "[[arm]]\nmethod = \"ppo\"\nTYPO.x = 1\n")
	}
	for _, key := range []string{"name", "label", "method"} {
		add("arm", key, "[[arm]]\nmethod = \"ppo\"\nTYPO = \"x\"\n")
	}
	add("variant", "name", "[[variant]]\nTYPO = \"x\"\n")
	add("output", "dir", "[output]\nTYPO = \"x\"\n")
	for _, path := range docFields() {
		section, key, dotted := cutLast(path)
		switch {
		case !dotted:
		case section == "world.prompt" || section == "world.value":
			add(section, key, "[["+section+"]]\nTYPO = 1\n")
		case section == "sft.demonstrations":
			add(section, key, "[sft]\ndemonstrations = [{ TYPO = 1 }]\n")
		default:
			add(section, key, "["+section+"]\nTYPO = 1\n")
			add(section, key, "[grid]\n"+section+".TYPO = [1, 2]\n")
			if slices.Contains(armSections(), section) {
				add(section, key, "[[arm]]\nmethod = \"ppo\"\n"+section+".TYPO = 1\n")
			}
		}
	}
	return out
}

type keyPlace struct{ section, key, text string }

// edits are ways to misspell a key: a letter too many, one missing, another one,
// two swapped.
var edits = []func(r *rng.Stream, key string) string{
	func(r *rng.Stream, key string) string {
		i := r.IntN(len(key) + 1)
		return key[:i] + letter(r) + key[i:]
	},
	func(r *rng.Stream, key string) string { i := r.IntN(len(key)); return key[:i] + key[i+1:] },
	func(r *rng.Stream, key string) string { i := r.IntN(len(key)); return key[:i] + letter(r) + key[i+1:] },
	func(r *rng.Stream, key string) string {
		i := r.IntN(len(key) - 1)
		return key[:i] + key[i+1:i+2] + key[i:i+1] + key[i+2:]
	},
}

func letter(r *rng.Stream) string { i := r.IntN(27); return "abcdefghijklmnopqrstuvwxyz_"[i : i+1] }

var suggestion = regexp.MustCompile("did you mean `([^`]+)`\\?")

// Each key of the schema, wherever it can stand, with each kind of edit, is
// refused; what is suggested is the key, or another that is as near.
func TestEveryMisspeltKeyIsRefusedWithTheRightSuggestion(t *testing.T) {
	r := rng.New(1, "typos")
	t.Chdir(t.TempDir())
	tried := 0
	for _, p := range keyPlaces() {
		for kind, edit := range edits {
			typo := edit(r, p.key)
			for typo == p.key || typo == "" || means(p.section, typo) {
				typo = edit(r, p.key)
			}
			tried++
			text := strings.Replace(p.text, "TYPO", typo, 1)
			writeFile(t, "x.toml", []byte(text))
			_, err := Load("x.toml", nil)
			if err == nil {
				t.Errorf("accepted:\n%s", text)
				continue
			}
			report := err.Error()
			got := suggestion.FindStringSubmatch(report)
			if got == nil || !strings.Contains(report, fmt.Sprintf("unknown field `%s`", typo)) {
				t.Errorf("edit %d of %s: %s\n%s", kind, p.key, typo, report)
			} else if field.Distance(got[1], typo) > field.Distance(p.key, typo) {
				t.Errorf("edit %d of %s: for %s it suggests %s", kind, p.key, typo, got[1])
			}
		}
	}
	if tried < 4*len(docFields()) {
		t.Errorf("only %d misspellings", tried)
	}
}

// means says whether the misspelling is a word of its own there: another key, one
// of another section, or another library's name for one.
func means(section, typo string) bool {
	translated := len(foreign(section, typo)) > 0
	if section == "" || section == "arm" || section == "variant" {
		if slices.Contains(slices.Concat(topKeys(), sections(), []string{"name", "label", "method"}), typo) {
			return true
		}
		return translated || len(elsewhere(typo)) > 0
	}
	return translated || slices.Contains(docFields(), join(section, typo))
}
