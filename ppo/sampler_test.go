package ppo

import (
	"testing"

	"rlhfsim/internal/rng"
)

// A sampler says what adding up the row says, at any quantile and on every step of it.
func TestSamplerAddsUp(t *testing.T) {
	pi := randomPolicy(t, small, 3)
	var s sampler
	s.follow(pi)
	r, n := rng.New(1), pi.Outcomes()
	for row := range pi.Rows() {
		sum := 0.0
		for w, p := range pi.P[row*n : row*n+n] {
			if got := s.draw(row, sum); got != w { // an outcome begins where the last one ends
				t.Errorf("row %d: %d at %v, want %d", row, got, sum, w)
			}
			if got := s.draw(row, sum+float64(p*(0.01+0.98*r.Float64()))); got != w {
				t.Errorf("row %d: %d within outcome %d", row, got, w)
			}
			sum += p
		}
		if got := s.draw(row, 1); got != n-1 {
			t.Errorf("row %d: %d at 1", row, got)
		}
	}
}

// What it added up is forgotten when the policy moves, or another one samples.
func TestSamplersFollowThePolicy(t *testing.T) {
	pi, other := randomPolicy(t, small, 3), randomPolicy(t, small, 4)
	b := newRollout(1, small)
	same := func(what string, own *sampler) {
		var fresh sampler
		fresh.follow(own.of)
		r := rng.New(2)
		for range 1000 {
			row, u := r.IntN(own.of.Rows()), r.Float64()
			if got, want := own.draw(row, u), fresh.draw(row, u); got != want {
				t.Fatalf("%s: %d, want %d", what, got, want)
			}
		}
	}
	same("at first", b.sampler(pi))
	same("another", b.sampler(other))
	if b.sampler(pi) == b.sampler(other) {
		t.Error("two policies share their sums")
	}
	if err := pi.SetLogits(other.Logits); err != nil {
		t.Fatal(err)
	}
	same("moved", b.sampler(pi))
	same("a third", b.sampler(pi.Clone()))
	if err := other.SetLogits(randomPolicy(t, small, 5).Logits); err != nil {
		t.Fatal(err)
	}
	same("in the place of another", b.sampler(other))
}
