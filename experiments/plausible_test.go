package experiments

import (
	"fmt"
	"strings"
	"testing"

	"rlhfsim/internal/rng"
	"rlhfsim/sim"
)

// Files as people write them, with some fields right and some wrong: each is loaded or
// its problems are told, and one that loads means the same when it is written out whole.
func FuzzPlausible(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { resolvesToItself(t, plausible(rng.New(seed, "plausible"))) })
}

var oddValues = []string{`"Onpo"`, `""`, `["a"]`, "{}", "true", "false", "-1", "0", "1", "2", "3", "0.5", "0.1", "1e300", "1e-300", "nan", "inf", "9223372036854775807", "-0.0", "[]", "[1, 2]", "[0.5]"}

// plausible is an experiment file: some fields of any section, a grid, an arm with fields
// of its own, a claim about it.
func plausible(r *rng.Stream) string {
	value := func(f fieldInfo) string {
		if len(f.Options) > 0 && r.IntN(3) > 0 {
			return fmt.Sprintf("%q", f.Options[r.IntN(len(f.Options))])
		}
		return oddValues[r.IntN(len(oddValues))]
	}
	var all []fieldInfo
	for _, f := range fields() {
		if !f.IsTable {
			all = append(all, f)
		}
	}
	some := func(from []fieldInfo, most int, line func(f fieldInfo) string) (lines []string) {
		for range r.IntN(most + 1) {
			f := from[r.IntN(len(from))]
			if !strings.Contains(strings.Join(lines, ""), f.Path+" ") { // no field twice
				lines = append(lines, f.Path+" = "+line(f)+"\n")
			}
		}
		return lines
	}
	text := fmt.Sprintf("format = 1\nextends = %q\n", Embedded()[r.IntN(len(Embedded()))]) + strings.Join(some(all, 2, value), "")
	if r.IntN(3) == 0 {
		text += "[grid]\n" + strings.Join(some(all, 2, func(f fieldInfo) string { return "[" + value(f) + ", " + value(f) + "]" }), "")
	}
	if m := sim.Methods[r.IntN(len(sim.Methods))]; r.IntN(3) > 0 {
		var own []fieldInfo
		for _, f := range all {
			if strings.HasPrefix(f.Path, m.Section+".") {
				own = append(own, f)
			}
		}
		text += fmt.Sprintf("[[arm]]\nmethod = %q\n", m.Name)
		if len(own) > 0 {
			text += strings.Join(some(own, 4, value), "")
		}
		if r.IntN(2) == 0 {
			text += goldClaim + fmt.Sprintf("of = %q\nis = \"above\"\nthan = 0\n", m.Name)
		}
	}
	return text
}
