package experiments

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/internal/field"
	"rlhfsim/sim"
)

const maxClaims = 1000

// claimLoader reads the [[claim]] tables and checks every name in them against
// the experiment: arms, stages, metrics, swept fields and their values.
type claimLoader struct {
	*loader
	e      *Experiment
	config sim.Config // of the first point, a random world written out
}

func (l *loader) claims(e *Experiment) []Claim {
	c := claimLoader{l, e, e.Points[0].Config.Expanded()}
	var out []Claim
	for i, item := range l.tables("claim", maxClaims, codeClaim) {
		out = append(out, c.claim(item, fmt.Sprintf("claim[%d]", i)))
	}
	return out
}

// wrong reports a problem of a claim. On the command line an arm or a grid may
// have been changed under it, so the report says how to go on.
func (l claimLoader) wrong(at place, message, label string) {
	var notes []string
	if len(l.command.keys) > 0 {
		notes = append(notes, "help: `claim=[]` runs the experiment without its claims")
	}
	l.out.add(codeClaim, at, message, label, notes...)
}

// claim reads one table. What it names is checked only where the types are
// right.
func (l claimLoader) claim(n *node, path string) Claim {
	var c Claim
	if problems := len(l.out.all); !l.fields(n, path, &c) || len(l.out.all) > problems {
		return c
	}
	l.side(n, &c.Of, "of")
	if c.Trend != "" {
		l.trend(n, &c)
	} else {
		l.comparison(n, &c)
	}
	if c.Says == "" {
		c.Says = c.sentence()
	}
	return c
}

// fields decodes the table's keys, reporting unknown ones and wrong types.
func (l claimLoader) fields(n *node, path string, c *Claim) bool {
	d := &decoder{out: l.out}
	at := ""
	texts := map[string]*string{"says": &c.Says, "metric": &c.Metric, "of": &c.Of.Name, "at": &at, "is": &c.Is, "trend": &c.Trend, "over": &c.Over}
	for _, key := range n.keys {
		child, here := n.under[key], join(path, key)
		switch into, isText := texts[key]; {
		case isText:
			if d.is(child, here, text) {
				*into = child.value.(string)
			}
		case key == "by":
			d.float(child, here, reflect.ValueOf(&c.By).Elem())
		case key == "where":
			c.Of.Where = l.pins(child, here)
		case key == "than":
			l.than(child, here, c)
		default:
			d.unknown(child, path, key, []string{"says", "metric", "of", "at", "where", "is", "than", "by", "trend", "over"})
		}
	}
	c.Of.At = l.moment(n, at)
	return len(d.wrong) == 0
}

// than is a number, a name, or a table of what `of`, `at` and `where` say there.
func (l claimLoader) than(n *node, path string, c *Claim) {
	d := &decoder{out: l.out}
	switch n.kind {
	case whole, decimal:
		d.float(n, path, reflect.ValueOf(&c.Number).Elem())
	case text:
		c.Than = Side{Name: n.value.(string), At: Moment{Kind: "last"}}
	case table:
		at := ""
		for _, key := range n.keys {
			child, here := n.under[key], join(path, key)
			switch key {
			case "of", "at":
				if d.is(child, here, text) {
					*map[string]*string{"of": &c.Than.Name, "at": &at}[key] = child.value.(string)
				}
			case "where":
				c.Than.Where = l.pins(child, here)
			default:
				d.unknown(child, path, key, []string{"of", "at", "where"})
			}
		}
		c.Than.At = l.moment(n, at)
	default:
		l.out.add(codeType, n.at, fmt.Sprintf("`%s` must be a number, a name or a table, found %s", path, n.kind), `write 0.5, "dpo" or { of = "dpo", at = "KL 2" }`)
	}
}

// moment reads "first", "last", "best", "step 40" or "KL 2.0".
func (l claimLoader) moment(n *node, said string) Moment {
	if said == "" {
		return Moment{Kind: "last"}
	}
	if slices.Contains([]string{"first", "last", "best"}, said) {
		return Moment{Kind: said}
	}
	kind, number, _ := strings.Cut(said, " ")
	v, err := strconv.ParseFloat(number, 64)
	if (kind == "step" || kind == "KL") && err == nil && v >= 0 && !math.IsInf(v, 0) {
		return Moment{Kind: kind, Value: v}
	}
	label := `write "first", "last", "best", "step 40" or "KL 2.0"`
	if near := field.Nearest(kind, []string{"first", "last", "best", "step", "KL"}); near != "" && near != kind {
		label = fmt.Sprintf("did you mean %q? (%s)", near, label)
	}
	l.wrong(n.find("at").at, fmt.Sprintf("`at = %q` is no moment of a training", said), label)
	return Moment{Kind: "last"}
}

// pins reads { "labels.rankings" = 50 }: swept fields at one of their values.
func (l claimLoader) pins(n *node, path string) []Pin {
	d := &decoder{out: l.out}
	if !d.is(n, path, table) {
		return nil
	}
	var pins []Pin
	n.leaves("", func(name string, leaf *node) {
		if l.swept(leaf.keyAt, name) {
			value, ok := l.value(leaf, name)
			if slices.ContainsFunc(pins, func(p Pin) bool { return p.Field == name }) {
				l.wrong(leaf.keyAt, fmt.Sprintf("`%s` is held at two values", name), "one of them is enough")
			} else if ok {
				pins = append(pins, Pin{name, value})
			}
		}
	})
	return pins
}

// swept reports a field that does not differ between the experiment's points.
func (l claimLoader) swept(at place, name string) bool {
	if slices.Contains(l.e.Swept, name) {
		return true
	}
	label := "[grid] and [[variant]] sweep nothing here"
	if len(l.e.Swept) > 0 {
		label = "swept: " + strings.Join(l.e.Swept, ", ")
	}
	l.wrong(at, fmt.Sprintf("`%s` is not swept", name), nearestOr(name, l.e.Swept, label))
	return false
}

// values are those of a swept field, in the order of the file.
func (e *Experiment) values(name string) []string {
	var out []string
	for _, p := range e.Points {
		if v := p.Values[slices.Index(e.Swept, name)]; !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// value is the swept value that a pin means: 1 and 1.0 are the same.
func (l claimLoader) value(leaf *node, name string) (string, bool) {
	said := plain(leaf)
	for _, v := range l.e.values(name) {
		a, errA := strconv.ParseFloat(said, 64)
		b, errB := strconv.ParseFloat(v, 64)
		if v == said || errA == nil && errB == nil && a == b {
			return v, true
		}
	}
	l.wrong(leaf.at, fmt.Sprintf("`%s` is never %s here", name, literal(leaf)), nearestOr(said, l.e.values(name), "its values: "+strings.Join(l.e.values(name), ", ")))
	return "", false
}

// nearestOr is a label that suggests the nearest of the known names first.
func nearestOr(name string, known []string, label string) string {
	if near := field.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q? (%s)", near, label)
	}
	return label
}

// side checks what a side names: the stage, its metric, its moment. key is the
// side's place in the claim, "of" or "than".
func (l claimLoader) side(n *node, s *Side, key string) {
	at := n.find(key)
	var names []string
	for _, a := range l.e.Points[0].Arms {
		names = append(names, a.Name)
	}
	if s.Name == "" {
		l.wrong(n.at, "the claim does not say of what", "write of = \""+names[0]+"\"")
		return
	}
	names = append(names, sharedStages...)
	if !slices.Contains(names, s.Name) {
		l.wrong(at.at, fmt.Sprintf("there is no arm or stage %q", s.Name), nearestOr(s.Name, names, "there are: "+strings.Join(names, ", ")))
		return
	}
	l.metric(n, *s)
}

// metric checks that the side's stage records the claim's metric.
func (l claimLoader) metric(n *node, s Side) {
	m := n.get("metric")
	if m == nil {
		l.wrong(n.at, "the claim does not say its metric", `write metric = "exact/gold_reward"`)
		return
	}
	stage := s.Name
	if i := slices.IndexFunc(l.e.Points[0].Arms, func(a Arm) bool { return a.Name == s.Name }); i >= 0 {
		stage = l.e.Points[0].Arms[i].Method
	}
	name, known := m.value.(string), l.config.MetricNames(stage)
	if len(known) == 0 {
		return // an arm of an unknown method, which is an error of its own
	}
	if !slices.Contains(known, name) {
		l.wrong(m.at, fmt.Sprintf("%s has no metric %q", s.Name, name), nearestOr(name, known, "metrics.csv has "+known[0]+", "+known[1]+", "+known[2]+", …"))
		return
	}
	if s.At.Kind == "best" && direction(name) == 0 {
		l.wrong(n.find("at").at, fmt.Sprintf("`%s` has no best: neither more nor less of it is better", name), `write "first", "last", "step 40" or "KL 2.0"`)
	}
	if s.At.Kind == "KL" && !slices.Contains(known, overKL) {
		l.wrong(n.find("at").at, fmt.Sprintf("%s has no KL", s.Name), `write "first", "last", "best" or "step 40"`)
	}
}

func (l claimLoader) comparison(n *node, c *Claim) {
	if c.Over != "" {
		l.wrong(n.find("over").keyAt, "`over` belongs to a trend", `add trend = "rises", or take it out`)
	}
	if !slices.Contains(comparisons, c.Is) {
		at := n.at
		if n.get("is") != nil {
			at = n.find("is").at
		}
		l.wrong(at, fmt.Sprintf("`is = %q` compares nothing", c.Is), nearestOr(c.Is, comparisons, "write above, below or equal; or trend = \"rises\""))
		return
	}
	l.margin(n, c)
	than := n.get("than")
	switch {
	case than == nil:
		l.wrong(n.find("is").at, "the claim does not say than what", `add than = 0.5, or than = "dpo"`)
	case than.kind == text || than.kind == table:
		if than.kind == table && than.get("of") == nil {
			c.Than.Name = c.Of.Name
		}
		// Arms are compared at the same moment; a shared stage is done by then.
		if than.get("at") == nil && !slices.Contains(sharedStages, c.Than.Name) {
			c.Than.At = c.Of.At
		}
		l.side(n, &c.Than, "than")
	}
}

func (l claimLoader) margin(n *node, c *Claim) {
	if c.By < 0 {
		l.wrong(n.find("by").at, fmt.Sprintf("`by = %v` is impossible", c.By), "must be at least 0")
	}
}

func (l claimLoader) trend(n *node, c *Claim) {
	l.margin(n, c)
	for _, key := range []string{"is", "than"} {
		if n.get(key) != nil {
			l.wrong(n.find(key).keyAt, fmt.Sprintf("a claim has a trend or `%s`, not both", key), "make two claims of it")
		}
	}
	if !slices.Contains(trends, c.Trend) {
		l.wrong(n.find("trend").at, fmt.Sprintf("there is no trend %q", c.Trend), nearestOr(c.Trend, trends, "trends: "+strings.Join(trends, ", ")))
		return
	}
	at := n.find("over").at
	switch c.Over {
	case "":
		l.wrong(n.find("trend").at, "the claim does not say over what", `add over = "step", "exact/kl" or a swept field`)
	case overStep, overKL:
		if n.get("at") != nil {
			l.wrong(n.find("at").keyAt, "a trend over training has no `at`", "take it out")
		}
		if c.Over == overKL && c.Of.Name == "reward" {
			l.wrong(at, "reward has no KL", `write over = "step"`)
		}
	default:
		l.sweptTrend(at, c)
	}
}

func (l claimLoader) sweptTrend(at place, c *Claim) {
	known := append([]string{overStep, overKL}, l.e.Swept...)
	if !slices.Contains(known, c.Over) {
		l.wrong(at, fmt.Sprintf("`over = %q` is neither training nor swept", c.Over), nearestOr(c.Over, known, "there are: "+strings.Join(known, ", ")))
		return
	}
	if _, pinned := c.Of.pinned(c.Over); pinned {
		l.wrong(at, fmt.Sprintf("the claim holds `%s` at one value and follows it", c.Over), "take it out of `where`")
	}
	if n := len(l.e.values(c.Over)); n < c.least() {
		l.wrong(at, fmt.Sprintf("`%s` has %s here", c.Over, plural(n, "value")), fmt.Sprintf("%q needs at least %d", c.Trend, c.least()))
	}
}

// writeClaims writes the claims as they stand in the file.
func (l *loader) writeClaims(b *bytes.Buffer) {
	n := l.root.get("claim")
	if n == nil {
		return
	}
	for _, item := range n.items {
		fmt.Fprintf(b, "\n[[claim]]\n")
		for _, k := range item.keys {
			fmt.Fprintf(b, "%s = %s\n", bareKey(k), literal(item.under[k]))
		}
	}
}
