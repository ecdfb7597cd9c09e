package experiments

import (
	"fmt"
	"reflect"
	"slices"
)

const maxFigures = 100

// figures reads the [[figure]] tables.
func (l *loader) figures(e *Experiment) []FigureSpec {
	var out []FigureSpec
	for i, item := range l.tables("figure", maxFigures, codeFigure) {
		var s FigureSpec
		d := &decoder{out: l.out}
		problems := len(l.out.all)
		d.decode(oneMetric(item), fmt.Sprintf("figure[%d]", i), reflect.ValueOf(&s).Elem())
		if len(l.out.all) > problems {
			continue
		}
		if bad := e.checkFigure(s); bad != nil {
			at := item.at
			if n := item.get(bad.Field); n != nil {
				at = n.at
			}
			var notes []string
			if bad.Help != "" {
				notes = append(notes, "help: "+bad.Help)
			}
			l.out.add(codeFigure, at, fmt.Sprintf("`figure.%s = %v` is impossible", bad.Field, bad.Value), "must be "+bad.Allowed, notes...)
		}
		if slices.ContainsFunc(out, func(o FigureSpec) bool { return o.fileName() == s.fileName() }) {
			l.out.add(codeFigure, item.at, fmt.Sprintf("two figures are called %q", s.fileName()), "give each [[figure]] a name of its own")
		}
		out = append(out, s)
	}
	return out
}

// oneMetric lets y be a single metric as well as a list.
func oneMetric(n *node) *node {
	y := n.get("y")
	if y == nil || y.kind != text {
		return n
	}
	own := newTable(n.at)
	own.set("y", &node{kind: list, at: y.at, keyAt: y.keyAt, items: []*node{y}})
	return merged(n, own)
}
