package ppo

import (
	"math"
	"testing"
)

// Both divergences by their formulas, of a token that is certain too; they are lower
// bounds of those of the whole distributions (DPPO, appendix B).
func TestBinaryDivergences(t *testing.T) {
	near(t, "TV", binaryTV(math.Log(0.75), math.Log(0.25)), 0.5, 1e-15)
	near(t, "TV", binaryTV(math.Log(0.25), math.Log(0.75)), 0.5, 1e-15)
	near(t, "KL", binaryKL(math.Log(0.5), math.Log(0.25)), 0.25*math.Log(0.5)+0.75*math.Log(1.5), 1e-7)
	near(t, "KL of equals", binaryKL(-1, -1), 0, 0)
	for _, certain := range [][2]float64{{0, -1}, {-1, 0}, {0, 0}, {0, -800}} {
		if kl := binaryKL(certain[0], certain[1]); math.IsNaN(kl) || math.IsInf(kl, 0) || kl < -1e-7 {
			t.Errorf("%v: KL %v", certain, kl)
		}
	}
	p, q := []float64{0.2, 0.3, 0.5}, []float64{0.1, 0.6, 0.3}
	tv, kl := 0.0, 0.0
	for i := range p {
		tv += math.Abs(p[i]-q[i]) / 2
		kl += q[i] * math.Log(q[i]/p[i])
	}
	for i := range p {
		if b := binaryTV(math.Log(p[i]), math.Log(q[i])); b > tv+1e-15 {
			t.Errorf("token %d: TV %v above %v", i, b, tv)
		}
		if b := binaryKL(math.Log(p[i]), math.Log(q[i])); b > kl {
			t.Errorf("token %d: KL %v above %v", i, b, kl)
		}
	}
}

// DPPO by hand: the paper's two tokens, of which PPO's clip stops the harmless one, and
// what leads back, which always counts.
func TestDPPO(t *testing.T) {
	rare, common := [2]float64{1e-2, 1e-4}, [2]float64{0.8, 0.99} // π, π_old
	for _, v := range []struct {
		p         [2]float64
		advantage float64
		counts    bool
	}{{rare, 1, true}, {rare, -1, true}, {common, -1, false}, {common, 1, true}, {[2]float64{0.99, 0.8}, 1, false}, {[2]float64{0.99, 0.8}, -1, true}} {
		for _, loss := range []string{"dppo_tv", "dppo_kl"} {
			c := smallGroup(func(c *GroupConfig) { c.LossType, c.Beta, c.Epsilon, c.Delta = loss, 0, 0.15, 50 })
			y := tokens([]float64{math.Log(v.p[0])}, []float64{math.Log(v.p[1])}, nil, v.advantage)
			o := NewGroupObjective(c)
			o.Prepare([]*Tokens{y}, nil)
			o.Of(y, Size{Tokens: 1})
			want := 0.0
			if v.counts {
				want = -v.advantage * min(v.p[0]/v.p[1], 50)
			}
			near(t, loss+": ∂ℓ/∂log π", y.Slope[0], want, 1e-13)
			near(t, loss+": ℓ", y.Loss[0], want*y.LogP[0], 1e-12)
			if cut := y.Low + y.High; cut == 1 == v.counts {
				t.Errorf("%s, %+v: %d left out", loss, v, cut)
			}
		}
	}
}
