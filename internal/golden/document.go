// Package golden reads documents of golden values: inputs, and what a reference
// library made of them (testdata/golden/README.md has the schema). Whoever computes a
// kind of document says how; here is what all of them share.
package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// Value is one number of a document, next to what our functions give for it.
type Value struct {
	Path      string  // "results[3].grad_per_token_logps[2][0]"
	Want, Got float64 // Want is NaN where the document has none
	Tolerance float64 // relative
	Noise     float64 // what rounding alone may bring about where it decides, absolute; 0 elsewhere
}

// Tolerances of values, of gradients, and of what a library put through float32.
const (
	OfValues    = 1e-9
	OfGradients = 1e-8
	OfFloat32   = 1e-6
)

// Deviation is the difference of the two relative to Want or, for numbers below 1e−6,
// to 1e−6.
func (v Value) Deviation() float64 { return math.Abs(v.Got-v.Want) / v.scale() }

func (v Value) scale() float64 { return max(math.Abs(v.Want), 1e-6) }

// Agrees says whether the two are equal within the tolerance, or the noise.
func (v Value) Agrees() bool {
	return math.IsNaN(v.Want) || v.Deviation() <= v.Tolerance || v.Undetermined()
}

// Undetermined says whether the number is beyond its tolerance, but not further than
// rounding alone brings it: double precision does not determine it, and it shows nothing.
func (v Value) Undetermined() bool {
	d := v.Deviation()
	return d > v.Tolerance && d-v.Noise/v.scale() <= v.Tolerance
}

// Kind is what a document says it is.
func Kind(document []byte) (string, error) {
	var head struct{ Kind string }
	err := json.Unmarshal(document, &head)
	return head.Kind, err
}

// Results calls f for every result, together with the case it belongs to; a kind
// whose results bring their inputs has struct{} for a case.
func Results[R, C any](document []byte, f func(R, C, *Comparison) error) ([]Value, error) {
	var cases struct{ Cases []C }
	whole, err := wholeNumbers(document)
	if err == nil {
		err = json.Unmarshal(whole, &cases)
	}
	if err != nil {
		return nil, err
	}
	return each(whole, "results", func(own R, raw json.RawMessage, out *Comparison) error {
		in, err := caseOf(raw, cases.Cases)
		if err != nil {
			return err
		}
		return f(own, in, out)
	})
}

// caseOf is the case that a result names.
func caseOf[C any](result json.RawMessage, cases []C) (in C, err error) {
	if _, none := any(in).(struct{}); none {
		return in, nil
	}
	var at struct{ Case *int }
	switch err := json.Unmarshal(result, &at); {
	case err != nil:
		return in, err
	case at.Case == nil:
		return in, errors.New("case is missing")
	case *at.Case < 0 || *at.Case >= len(cases):
		return in, fmt.Errorf("there is no case %d among %d", *at.Case, len(cases))
	}
	return cases[*at.Case], nil
}

// Runs calls f for every run, which brings its inputs.
func Runs[R any](document []byte, f func(R, *Comparison) error) ([]Value, error) {
	whole, err := wholeNumbers(document)
	if err != nil {
		return nil, err
	}
	return each(whole, "runs", func(own R, _ json.RawMessage, out *Comparison) error { return f(own, out) })
}

// each calls f for every object of a list.
func each[R any](document []byte, list string, f func(R, json.RawMessage, *Comparison) error) ([]Value, error) {
	var lists struct{ Results, Runs []json.RawMessage }
	if err := json.Unmarshal(document, &lists); err != nil {
		return nil, err
	}
	objects := lists.Results
	if list == "runs" {
		objects = lists.Runs
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("a document without %s", list)
	}
	var out Comparison
	for i, raw := range objects {
		var own R
		out.at = fmt.Sprintf("%s[%d].", list, i)
		err := known(raw, reflect.TypeFor[R](), "case")
		if err == nil {
			err = json.Unmarshal(raw, &own)
		}
		if err == nil {
			err = f(own, raw, &out)
		}
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", list, i, err)
		}
	}
	return out.values, nil
}

// Comparison collects the values of a result or run.
type Comparison struct {
	at     string
	values []Value
}

// Number puts a computed number next to one that the document may have left for us
// to fill in.
func (c *Comparison) Number(field string, want *float64, got, tolerance float64) {
	if want == nil {
		nan := math.NaN()
		want = &nan
	}
	c.values = append(c.values, Value{Path: c.at + field, Want: *want, Got: got, Tolerance: tolerance})
}

// Optional does so where the document has the number.
func (c *Comparison) Optional(field string, want *float64, got, tolerance float64) {
	if want != nil {
		c.Number(field, want, got, tolerance)
	}
}

// Row does so for a list of numbers.
func (c *Comparison) Row(field string, want, got []float64, tolerance, noise float64) error {
	if want != nil && len(want) != len(got) {
		return fmt.Errorf("%s has %d entries, computed %d", field, len(want), len(got))
	}
	for i, v := range got {
		value := Value{Path: fmt.Sprintf("%s%s[%d]", c.at, field, i), Want: math.NaN(), Got: v, Tolerance: tolerance, Noise: noise}
		if want != nil {
			value.Want = want[i]
		}
		c.values = append(c.values, value)
	}
	return nil
}

// Table does so for a ragged table, where rounding has made noise of some rows with
// one noise for each row.
func (c *Comparison) Table(field string, want, got [][]float64, tolerance float64, noise ...float64) error {
	if want != nil && len(want) != len(got) {
		return fmt.Errorf("%s has %d rows, computed %d", field, len(want), len(got))
	}
	for i, row := range got {
		var recorded []float64
		if want != nil {
			recorded = append([]float64{}, want[i]...)
		}
		own := 0.0
		if len(noise) > 0 {
			own = noise[i]
		}
		if err := c.Row(fmt.Sprintf("%s[%d]", field, i), recorded, row, tolerance, own); err != nil {
			return err
		}
	}
	return nil
}
