package dpo

import (
	"math"
	"testing"

	"rlhfsim/internal/rng"
)

// rows are two rows of n standard normal logits, nearly: sums of twelve uniforms.
func rows(n int, r *rng.Stream) [][]float64 {
	z := [][]float64{make([]float64, n), make([]float64, n)}
	for _, row := range z {
		for v := range row {
			row[v] = -6
			for range 12 {
				row[v] += r.Float64()
			}
		}
	}
	return z
}

func TestTextbookGradientAgainstFiniteDifferences(t *testing.T) {
	r := rng.New(1, "textbook")
	z, ref := rows(7, r), rows(7, r)
	const beta, h = 0.8, 1e-5
	loss, gradient := ComputeDPOLossGradient(z, ref, beta)
	if forward := ComputeDPOLoss(z, ref, beta); forward != loss {
		t.Errorf("loss %v, with its gradient %v", forward, loss)
	}
	for row, g := range gradient {
		for v := range g {
			at := z[row][v]
			z[row][v] = at + h
			up := ComputeDPOLoss(z, ref, beta)
			z[row][v] = at - h
			slope := (up - ComputeDPOLoss(z, ref, beta)) / (2 * h)
			z[row][v] = at
			if !(math.Abs(g[v]-slope) <= 1e-9) || math.Abs(slope) < 1e-6 {
				t.Errorf("∂L/∂z[%d][%d] = %v, by differences %v", row, v, g[v], slope)
			}
		}
	}
}

func TestTextbookLossAtTheReference(t *testing.T) {
	z := rows(50, rng.New(2, "textbook"))
	if l := ComputeDPOLoss(z, z, 0.1); !(math.Abs(l-math.Ln2) <= 1e-15) {
		t.Errorf("loss %v at the reference", l)
	}
}

// Two rows of GPT-2's vocabulary, as in the chapter.
func BenchmarkTextbook(b *testing.B) {
	r := rng.New(3, "textbook")
	z, ref := rows(50257, r), rows(50257, r)
	b.Run("forward", func(b *testing.B) {
		for b.Loop() {
			ComputeDPOLoss(z, ref, 0.1)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	})
	b.Run("forward and gradient", func(b *testing.B) {
		for b.Loop() {
			ComputeDPOLossGradient(z, ref, 0.1)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	})
}
