// Package field holds what a configuration says about one of its fields when
// the value cannot stand: the packages that own a Config report these, and the
// loader of experiment files turns them into messages with a position.
package field

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Error is a problem with one field of a Config.
type Error struct {
	Field   string   // dotted name inside the Config, "cliprange" or "value[2].worth"
	Value   any      // what it holds
	Allowed string   // what it may hold: "above 0", "at least 2 and at most 9"
	Options []string // all it may hold, where that is a list of names
	Why     string   // optional: the reason, one sentence
	Help    string   // optional: what to do instead
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("%s = %v: must be %s", e.Field, e.Value, e.Allowed)
	if e.Why != "" {
		msg += " (" + e.Why + ")"
	}
	return msg
}

// Checker collects the problems of a Config, so that all are told at once.
type Checker struct{ problems []error }

// Err is all problems joined, nil when there are none.
func (c *Checker) Err() error { return errors.Join(c.problems...) }

// Add reports a problem.
func (c *Checker) Add(e *Error) { c.problems = append(c.problems, e) }

// Under adds the problems of a nested Config, its name put before theirs.
func (c *Checker) Under(name string, err error) {
	for _, e := range All(err) {
		nested := *e
		nested.Field = name + "." + e.Field
		c.Add(&nested)
	}
}

// Require reports the field unless ok holds.
func (c *Checker) Require(ok bool, name string, value any, allowed string) {
	if !ok {
		c.Add(&Error{Field: name, Value: value, Allowed: allowed})
	}
}

// Range requires low ≤ value ≤ high; NaN never passes.
func (c *Checker) Range(name string, value, low, high float64) {
	allowed := fmt.Sprintf("between %g and %g", low, high)
	if math.IsInf(high, 1) {
		allowed = fmt.Sprintf("at least %g and finite", low)
	}
	c.Require(value >= low && value <= high && !math.IsInf(value, 0), name, value, allowed)
}

// Positive requires a finite number above 0.
func (c *Checker) Positive(name string, value float64) {
	c.Require(value > 0 && !math.IsInf(value, 0), name, value, "above 0 and finite")
}

// NonNegative requires a finite number of at least 0.
func (c *Checker) NonNegative(name string, value float64) { c.Range(name, value, 0, math.Inf(1)) }

// Count requires low ≤ value ≤ high for a whole number.
func (c *Checker) Count(name string, value, low, high int) {
	c.Require(value >= low && value <= high, name, value, fmt.Sprintf("at least %d and at most %d", low, high))
}

// OneOf requires one of the names listed.
func OneOf[T ~string](c *Checker, name string, value T, known []T) {
	var options []string
	for _, k := range known {
		if value == k {
			return
		}
		options = append(options, string(k))
	}
	c.Add(&Error{Field: name, Value: fmt.Sprintf("%q", string(value)), Allowed: "one of " + Quoted(options), Options: options})
}

// Quoted lists names as they are written in a file: "a", "b", "c".
func Quoted(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, fmt.Sprintf("%q", n))
	}
	return strings.Join(out, ", ")
}

// All lists the field errors inside err, in order.
func All(err error) []*Error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*Error
		for _, e := range joined.Unwrap() {
			out = append(out, All(e)...)
		}
		return out
	}
	var e *Error
	if errors.As(err, &e) {
		return []*Error{e}
	}
	return nil
}

// Table is a TOML table with free keys whose order as written matters.
type Table[V any] []Entry[V]

// Entry is one key of a Table.
type Entry[V any] struct {
	Key   string
	Value V
}

// Get is the value under key, and whether there is one.
func (t Table[V]) Get(key string) (value V, ok bool) {
	for _, e := range t {
		if e.Key == key {
			return e.Value, true
		}
	}
	return value, false
}
