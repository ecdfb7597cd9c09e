package experiments

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rlhfsim/sim"
)

// A field that changes nothing is an error: silently ignoring it is how experiments
// come to compare two equal arms. Whether it changes something can depend on others
// that are swept, and sections are shared by arms of several methods; so what counts
// is whether it does at any point, and, where arms share it, in any of them.

// armField is a field of an arm's method.
type armField struct {
	arm   int
	field string
}

// armSetting is what all points say of it.
type armSetting struct {
	used    bool
	setting sim.Setting // where it is not
	tree    *node
}

// noArm stands for the sections that all arms share.
const noArm = -1

// settings notes what an arm's method, or what all arms share, was told at a point.
func (l *loader) settings(arm int, told []sim.Setting, tree *node) {
	if l.set == nil {
		l.set = map[armField]*armSetting{}
	}
	for _, s := range told {
		if slices.Contains(followBeta, s.Field) {
			if tree.get(strings.Split(s.Field, ".")...) == nil {
				continue // nobody wrote it
			}
			s.Default = "objective.beta"
		}
		key := armField{arm, s.Field}
		if l.set[key] == nil {
			l.set[key] = &armSetting{setting: s, tree: tree}
		}
		l.set[key].used = l.set[key].used || s.Unused == ""
	}
}

// reportUnused reports what changes nothing: a field of an arm's own, or one that no
// arm reading it uses.
func (l *loader) reportUnused(arms []armTree) {
	shared := map[string][]int{} // the arms that do not use a field they have from elsewhere
	keys := slices.SortedFunc(maps.Keys(l.set), func(a, b armField) int {
		return cmp.Or(cmp.Compare(a.arm, b.arm), cmp.Compare(a.field, b.field))
	})
	for _, key := range keys {
		s, path := l.set[key], strings.Split(key.field, ".")
		own := key.arm != noArm && arms[key.arm].own.get(path...) != nil
		switch {
		case s.used && !own:
			shared[key.field] = nil // once and for all
		case !s.used && own:
			l.unusedField(s)
		case !s.used:
			if others, seen := shared[key.field]; !seen || others != nil {
				shared[key.field] = append(others, key.arm)
			}
		}
	}
	for _, field := range slices.Sorted(maps.Keys(shared)) {
		if others := shared[field]; len(others) > 0 {
			l.unusedField(l.set[armField{others[0], field}])
		}
	}
}

func (l *loader) unusedField(s *armSetting) {
	name, left := s.setting.Field, fmt.Sprint(s.setting.Default)
	value, isText := s.setting.Value.(string)
	if isText {
		value, left = quoted(value), quoted(left)
	} else {
		value = fmt.Sprint(s.setting.Value)
	}
	l.out.add(codeValue, s.tree.find(name).at, fmt.Sprintf("`%s = %s` changes nothing", name, value), "must be left at "+left, "why: "+s.setting.Unused)
}
