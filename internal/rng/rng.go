// Package rng provides named deterministic random streams.
//
// Every consumer of randomness opens its own stream, identified by a seed and
// a path such as ("policy", "init"). The numbers of a stream depend on nothing
// but that name, so adding, removing or reordering consumers cannot change what
// the others draw. All arithmetic is on 64-bit integers or is an exact scaling
// by a power of two, so a stream is the same on every architecture.
package rng

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
)

// Version is hashed into the seed of every stream. A change of numbers bumps
// it: any edit that makes a method return something else for the same name.
const Version = 1

// Stream is one sequence of pseudo-random numbers (PCG-DXSM, 128 bits of
// state). It is created by New; the zero value is a valid stream but shares
// its numbers with every other zero value. A Stream must not be used by two
// goroutines at once; give each its own path instead.
type Stream struct {
	pcg rand.PCG
}

// New returns the stream named by seed and path, for example
// New(7, "reward", "batch"). Different names give independent streams. Paths
// are compared element by element: ("ab", "c") and ("a", "bc") differ.
func New(seed uint64, path ...string) *Stream {
	hi, lo := seeds(seed, path)
	s := new(Stream)
	s.pcg.Seed(hi, lo)
	return s
}

// seeds hashes a stream's name with SHA-256 and returns the first 16 bytes of
// the digest as two little-endian words. The hashed text is Version, seed, and
// for each path element its length in bytes and its bytes; all numbers are
// 8 bytes, little-endian. The length prefix keeps element borders apart.
func seeds(seed uint64, path []string) (hi, lo uint64) {
	buf := make([]byte, 0, 128)
	buf = binary.LittleEndian.AppendUint64(buf, Version)
	buf = binary.LittleEndian.AppendUint64(buf, seed)
	for _, element := range path {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(len(element)))
		buf = append(buf, element...)
	}
	sum := sha256.Sum256(buf)
	return binary.LittleEndian.Uint64(sum[0:8]), binary.LittleEndian.Uint64(sum[8:16])
}

// Uint64 returns 64 uniform bits.
func (s *Stream) Uint64() uint64 {
	return s.pcg.Uint64()
}

// Float64 returns a multiple of 2^-53, uniform in [0, 1).
func (s *Stream) Float64() float64 {
	return float64(s.pcg.Uint64()>>11) * 0x1p-53 // both steps are exact
}

// IntN returns a uniform integer in [0, n). It panics if n <= 0.
//
// It is Lemire's method ("Fast Random Integer Generation in an Interval",
// ACM TOMACS 2019): the high word of a 128-bit product, rejecting the few low
// words that would favour some results. It always uses 64-bit words, so the
// result and the number of draws do not depend on the size of int.
func (s *Stream) IntN(n int) int {
	if n <= 0 {
		panic("rng: IntN needs n > 0")
	}
	bound := uint64(n)
	hi, lo := bits.Mul64(s.pcg.Uint64(), bound)
	if lo < bound { // only then is the exact threshold worth its division
		threshold := -bound % bound // 2^64 mod bound
		for lo < threshold {
			hi, lo = bits.Mul64(s.pcg.Uint64(), bound)
		}
	}
	return int(hi)
}

// Shuffle permutes idx uniformly in place (Fisher-Yates from the end).
func (s *Stream) Shuffle(idx []int) {
	for i := len(idx) - 1; i > 0; i-- {
		j := s.IntN(i + 1)
		idx[i], idx[j] = idx[j], idx[i]
	}
}

// Perm fills dst with a uniform permutation of 0, 1, ..., len(dst)-1. What dst
// held before has no influence.
func (s *Stream) Perm(dst []int) {
	for i := range dst {
		dst[i] = i
	}
	s.Shuffle(dst)
}

// Categorical returns an index i with probability p[i] / sum(p). The weights
// need not sum to one; an index of weight zero is never returned. One number
// is drawn. It panics if a weight is negative or NaN, or if the sum is zero
// (also for an empty p) or infinite.
func (s *Stream) Categorical(p []float64) int {
	total := 0.0
	for _, weight := range p {
		if !(weight >= 0) { // so written because NaN fails it too
			panic("rng: Categorical needs non-negative weights")
		}
		total += weight
	}
	if total == 0 || total > math.MaxFloat64 {
		panic("rng: Categorical needs a positive finite sum of weights")
	}
	return pick(p, s.Float64()*total)
}

// pick returns the first index at which the cumulative sum of p exceeds
// target. There the sum has just grown, so that weight is not zero. With
// subnormal weights the product that made target may round up to the whole
// sum; the last positive weight is then the answer.
func pick(p []float64, target float64) int {
	cumulative := 0.0
	last := 0
	for i, weight := range p {
		cumulative += weight
		if target < cumulative {
			return i
		}
		if weight > 0 {
			last = i
		}
	}
	return last
}
