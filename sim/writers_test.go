package sim

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"rlhfsim/internal/field"
)

// Written pairs are exact samples: their mean gold is that of the optimum on the
// base policy, within four standard errors.
func TestWritersSampleTheOptimum(t *testing.T) {
	c := smallConfig()
	c.SFT.Generate, c.SFT.WriterTemperature = 4000, 0.5
	s := mustShared(t, c, 1)
	sum, squares, n := 0.0, 0.0, 0.0
	for _, d := range s.written[len(c.SFT.Demonstrations):] {
		v := s.World.Value(d.Prompt, d.Response)
		sum, squares, n = sum+v, squares+v*v, n+1
	}
	if n != 4000 {
		t.Fatalf("%v pairs were written", n)
	}
	_, want, _ := s.evaluator.TiltedOptimum(s.evaluator.Distribution(&s.Base.Chain, s.values), 0.5)
	mean := sum / n
	if se := math.Sqrt((squares/n - mean*mean) / n); !(math.Abs(mean-want) <= 4*se) {
		t.Errorf("mean gold %v ± %v, the optimum has %v", mean, se, want)
	}
}

// n pairs are the first n of any larger number, and no other stream is touched.
func TestWritersAreAPrefixAndAlone(t *testing.T) {
	c := smallConfig()
	few, many := c, c
	few.SFT.Generate, many.SFT.Generate = 5, 20
	a, b, none := mustShared(t, few, 1), mustShared(t, many, 1), mustShared(t, c, 1)
	if fmt.Sprint(a.written) != fmt.Sprint(b.written[:len(a.written)]) {
		t.Error("five pairs are not the first of twenty")
	}
	if fmt.Sprint(a.Base.Logits) != fmt.Sprint(none.Base.Logits) || len(none.written) != len(c.SFT.Demonstrations) {
		t.Error("writing changes what comes before")
	}
}

func TestWritersAlone(t *testing.T) {
	c := smallConfig()
	c.SFT.Demonstrations = nil
	if c.Validate() == nil {
		t.Error("no demonstrations at all are accepted")
	}
	c.SFT.Generate = 3
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.SFT.WriterTemperature = 0
	if errs := field.All(c.Validate()); len(errs) != 1 || errs[0].Field != "sft.writer_temperature" {
		t.Errorf("%v", errs)
	}
}

func TestWritersNeedTheLattice(t *testing.T) {
	l := &Lab{Config: smallConfig()} // without a lattice
	if err := l.needsLattice(); err != nil {
		t.Error(err)
	}
	l.Config.SFT.Generate = 1
	var e *field.Error
	if err := l.needsLattice(); !errors.As(err, &e) || e.Field != "sft.generate" {
		t.Errorf("%v", err)
	}
}
