package golden

import (
	"math"
	"testing"
)

// A number agrees within its tolerance; beyond it within the noise, and is then no
// evidence; beyond both not at all.
func TestValueAgrees(t *testing.T) {
	for _, c := range []struct {
		want, got, noise     float64
		agrees, undetermined bool
	}{
		{1, 1, 0, true, false},
		{1, 1 + 0.9e-9, 0, true, false},
		{1, 1 - 0.9e-9, 1, true, false}, // noise or not
		{1, 1 + 1.1e-9, 0, false, false},
		{1, 1 + 1.1e-9, 0.5e-9, true, true},
		{1, 1.25, 0.3, true, true},
		{1, 1.25, 0.2, false, false},
		{-100, -102, 3, true, true}, // noise is absolute
		{-100, -102, 1, false, false},
		{0, 0.9e-15, 0, true, false}, // of numbers below 1e−6 as if they were 1e−6
		{0, 1.1e-15, 0, false, false},
		{math.NaN(), 5, 0, true, false}, // none in the document
		{1, math.NaN(), 0, false, false},
		{1, math.Inf(1), 0.1, false, false},
	} {
		v := Value{Want: c.want, Got: c.got, Tolerance: OfValues, Noise: c.noise}
		if v.Agrees() != c.agrees || v.Undetermined() != c.undetermined {
			t.Errorf("%+v: agrees %v, undetermined %v", v, v.Agrees(), v.Undetermined())
		}
	}
}
