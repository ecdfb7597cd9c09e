package rng

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestGolden pins the numbers. The expected words were computed by a separate
// implementation of SHA-256 seeding and PCG-DXSM in Python, so this also
// notices a change in the standard library. If it has to be edited, Version
// has to be bumped.
func TestGolden(t *testing.T) {
	cases := []struct {
		seed uint64
		path []string
		want [3]uint64
	}{
		{0, nil, [3]uint64{0x848c23cb329d8521, 0x36ad7d8d9336f2fe, 0xc059be0654dafa13}},
		{1, []string{"golden"}, [3]uint64{0x60160092f0b82832, 0xebe5aef2ef9bfd5f, 0x91b628f90854c9e9}},
		{1<<64 - 1, []string{"policy", "init", "é"}, [3]uint64{0x1528d10e047e96c8, 0x11d8ca187cd50a28, 0x558f7d6e4957fe09}},
	}
	for _, c := range cases {
		s := New(c.seed, c.path...)
		for i, want := range c.want {
			if got := s.Uint64(); got != want {
				t.Errorf("New(%d, %q) draw %d = %#x, want %#x", c.seed, c.path, i, got, want)
			}
		}
	}
}

// TestGoldenDerived pins how the methods turn words into results.
func TestGoldenDerived(t *testing.T) {
	s := New(1, "golden")
	perm := make([]int, 8)
	s.Perm(perm)
	got := fmt.Sprint(perm, s.IntN(1000), s.IntN(1000), math.Float64bits(s.Float64()),
		s.Categorical([]float64{1, 2, 3, 4}), s.Categorical([]float64{1, 2, 3, 4}))
	const want = "[0 2 4 5 1 7 6 3] 134 868 4605452628868706233 2 0"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNamesGiveDifferentStreams(t *testing.T) {
	names := []struct {
		seed uint64
		path []string
	}{
		{1, nil}, {2, nil}, {1, []string{""}}, {1, []string{"", ""}},
		{1, []string{"a"}}, {1, []string{"b"}}, {2, []string{"a"}},
		{1, []string{"ab", "c"}}, {1, []string{"a", "bc"}}, {1, []string{"abc"}},
		{1, []string{"a", "b"}}, {1, []string{"b", "a"}}, {1 << 63, []string{"a"}},
	}
	seen := map[uint64]int{}
	for i, name := range names {
		first := New(name.seed, name.path...).Uint64()
		if j, ok := seen[first]; ok {
			t.Errorf("streams %v and %v start alike", names[j], name)
		}
		seen[first] = i
		if again := New(name.seed, name.path...).Uint64(); again != first {
			t.Errorf("stream %v is not reproducible", name)
		}
	}
}

// TestStreamsAreUncorrelated looks at two streams whose names differ in one
// bit. The correlation of n uniforms has standard deviation 1/sqrt(n).
func TestStreamsAreUncorrelated(t *testing.T) {
	const n = 100000
	a, b := New(2, "x"), New(3, "x")
	sum := 0.0
	for range n {
		sum += (a.Float64() - 0.5) * (b.Float64() - 0.5)
	}
	if r := 12 * sum / n; !(math.Abs(r) <= 4/math.Sqrt(n)) {
		t.Errorf("correlation %v", r)
	}
}

// chiSquare returns the statistic of counts against the expected shares.
func chiSquare(counts []int, shares []float64) float64 {
	n, x := 0, 0.0
	for _, c := range counts {
		n += c
	}
	for i, c := range counts {
		expected := float64(n) * shares[i]
		x += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	return x
}

func even(n int) []float64 {
	return slices.Repeat([]float64{1 / float64(n)}, n)
}

// TestUniformity compares with the 0.1 % and 99.9 % points of the chi-square
// distribution: too even is as suspicious as too uneven.
func TestUniformity(t *testing.T) {
	s := New(11, "uniformity")
	ints, floats, perms := make([]int, 10), make([]int, 10), make([]int, 24)
	weighted := make([]int, 4)
	idx := make([]int, 4)
	for range 240000 {
		ints[s.IntN(10)]++
		floats[int(s.Float64()*10)]++
		weighted[s.Categorical([]float64{3, 1, 0.5, 0.5})]++
		s.Perm(idx)
		perms[rank(idx)]++
	}
	cases := []struct {
		name      string
		x         float64
		low, high float64
	}{
		{"IntN", chiSquare(ints, even(10)), 1.152, 27.88},
		{"Float64", chiSquare(floats, even(10)), 1.152, 27.88},
		{"Perm", chiSquare(perms, even(24)), 7.529, 49.73},
		{"Categorical", chiSquare(weighted, []float64{0.6, 0.2, 0.1, 0.1}), 0.0243, 16.27},
	}
	for _, c := range cases {
		if c.x < c.low || c.x > c.high {
			t.Errorf("%s: chi-square %v outside [%v, %v]", c.name, c.x, c.low, c.high)
		}
	}
}

// rank numbers the permutations of 0..3 from 0 to 23 (Lehmer code).
func rank(p []int) int {
	r := 0
	for i := range p {
		smaller := 0
		for _, later := range p[i+1:] {
			if later < p[i] {
				smaller++
			}
		}
		r = r*(len(p)-i) + smaller
	}
	return r
}

// TestIntNLargeBound uses a bound of 3/4 of 2^63, for which a modulo without
// rejection would return the lower third more often than its share.
func TestIntNLargeBound(t *testing.T) {
	bound := uint64(3) << 61
	if bound > math.MaxInt {
		t.Skip("int has 32 bits")
	}
	s := New(5, "large")
	counts := make([]int, 3)
	for range 30000 {
		v := s.IntN(int(bound))
		if v < 0 || uint64(v) >= bound {
			t.Fatalf("%d out of range", v)
		}
		counts[uint64(v)/(bound/3)]++
	}
	if x := chiSquare(counts, even(3)); x > 13.82 {
		t.Errorf("chi-square %v, counts %v", x, counts)
	}
}

func TestPermAndShuffleKeepTheElements(t *testing.T) {
	s := New(1, "perm")
	dst := []int{9, 9, 9, 9, 9}
	s.Perm(dst)
	slices.Sort(dst)
	if !slices.Equal(dst, []int{0, 1, 2, 3, 4}) {
		t.Errorf("Perm made %v", dst)
	}
	other := []int{7, 7, 8, 9}
	s.Shuffle(other)
	slices.Sort(other)
	if !slices.Equal(other, []int{7, 7, 8, 9}) {
		t.Errorf("Shuffle made %v", other)
	}
	s.Perm(nil)
}

func TestCategoricalAvoidsZeroWeights(t *testing.T) {
	s := New(1, "zero")
	tiny := math.SmallestNonzeroFloat64
	for _, p := range [][]float64{{0, 1, 0}, {0, 0, 0.3, 0.1, 0}, {0, tiny, 0}, {0, tiny, tiny, 0, 0}, {1e300, 0}} {
		for range 2000 {
			if i := s.Categorical(p); p[i] == 0 {
				t.Fatalf("Categorical(%v) = %d", p, i)
			}
		}
	}
}

func TestPickBorders(t *testing.T) {
	p := []float64{0, 0.25, 0, 0.5, 0.25, 0}
	for _, c := range []struct {
		target float64
		want   int
	}{{0, 1}, {0.2499, 1}, {0.25, 3}, {0.7499, 3}, {0.75, 4}, {1, 4}} {
		if got := pick(p, c.target); got != c.want {
			t.Errorf("pick at %v = %d, want %d", c.target, got, c.want)
		}
	}
}

func TestPanics(t *testing.T) {
	s := New(1)
	cases := map[string]func(){
		"IntN(0)":      func() { s.IntN(0) },
		"IntN(-1)":     func() { s.IntN(-1) },
		"no weights":   func() { s.Categorical(nil) },
		"zero weights": func() { s.Categorical([]float64{0, 0}) },
		"negative":     func() { s.Categorical([]float64{2, -1}) },
		"NaN":          func() { s.Categorical([]float64{1, math.NaN()}) },
		"infinite":     func() { s.Categorical([]float64{1, math.Inf(1)}) },
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestDrawsDoNotAllocate(t *testing.T) {
	s := New(1, "alloc")
	idx := make([]int, 16)
	p := []float64{0.5, 0.25, 0.25}
	var sink float64
	n := testing.AllocsPerRun(100, func() {
		s.Perm(idx)
		sink += float64(s.Uint64()) + s.Float64() + float64(s.IntN(10)) + float64(s.Categorical(p))
	})
	if n != 0 {
		t.Errorf("%v allocations per run", n)
	}
}
