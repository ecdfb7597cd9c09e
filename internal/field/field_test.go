package field

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"cliprange", "cliprange_value", "kl_coef", "lam", "beta", "delta"}
	for name, want := range map[string]string{
		"cliprang": "cliprange", "clprange": "cliprange", "clirpange": "cliprange", "cliprange_valeu": "cliprange_value",
		"kl_coeff": "kl_coef", "lm": "lam", "deta": "delta", "xyz": "", "": "", "temperature": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"ab", "ba", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}, {"β", "b", 1}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestCheckerCollectsEverything(t *testing.T) {
	var k, inner Checker
	k.Range("a", math.NaN(), 0, 1)
	k.Range("b", math.Inf(1), 0, math.Inf(1))
	k.Range("ok", 0.5, 0, 1)
	k.Positive("c", 0)
	k.NonNegative("d", -1)
	k.Count("e", 11, 1, 10)
	OneOf(&k, "f", "x", []string{"y", "z"})
	OneOf(&k, "ok", "y", []string{"y", "z"})
	inner.Add(&Error{Field: "g", Value: 3, Allowed: "2", Why: "it is so"})
	k.Under("outer", inner.Err())
	var names []string
	for _, e := range All(k.Err()) {
		names = append(names, e.Field)
	}
	if got := strings.Join(names, " "); got != "a b c d e f outer.g" {
		t.Errorf("reported %s", got)
	}
	if msg := k.Err().Error(); !strings.Contains(msg, "outer.g = 3: must be 2 (it is so)") {
		t.Errorf("message %s", msg)
	}
	var none Checker
	if none.Err() != nil || All(nil) != nil || All(errors.New("other")) != nil {
		t.Error("problems where there are none")
	}
}

func TestTableKeepsItsOrder(t *testing.T) {
	table := Table[int]{{"b", 1}, {"a", 2}}
	if v, ok := table.Get("a"); !ok || v != 2 {
		t.Errorf("a is %v, %v", v, ok)
	}
	if _, ok := table.Get("c"); ok {
		t.Error("c is there")
	}
}
