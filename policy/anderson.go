package policy

import (
	"math"

	"rlhfsim/internal/num"
)

// anderson speeds up a fixed-point iteration z ← target(z) by the points it came
// through (Anderson 1965; Walker and Ni 2011, section 2): with the residuals
// f = target(z) − z, and differences to the last points ΔZ_j = z − z_j, ΔF_j = f − f_j,
//
//	γ = argmin ‖f − Σ_j γ_j ΔF_j‖²,  z′ = z + f − Σ_j γ_j (ΔZ_j + ΔF_j)
//
// Entries are log-probabilities, weighted by how often the policy takes the
// decision.
type anderson struct {
	z, f [andersonDepth][]float64
	n    int // points remembered since the last forget; the newest is n−1 mod depth

	now, weight []float64 // f and the weights, at the point asked about
}

const (
	andersonDepth = 6
	// rarest counts in for every row's visits: rows that are hardly ever visited
	// must settle too.
	rarest = 1e-8
)

func newAnderson(cells int) *anderson {
	a := &anderson{now: make([]float64, cells), weight: make([]float64, cells)}
	for j := range a.z {
		a.z[j], a.f[j] = make([]float64, cells), make([]float64, cells)
	}
	return a
}

// remember adds a point that is being left.
func (a *anderson) remember(at *Chain, target []float64) {
	z, f := a.z[a.n%andersonDepth], a.f[a.n%andersonDepth]
	copy(z, at.LogP)
	for i, l := range at.LogP {
		f[i] = target[i] - l
	}
	a.n++
}

func (a *anderson) forget() { a.n = 0 }

// mix fills dst with z′; without memory, or where the points tell nothing, it
// reports false.
func (a *anderson) mix(dst []float64, at *Chain, target, visits []float64) bool {
	m := min(a.n, andersonDepth)
	if m == 0 {
		return false
	}
	n := at.Outcomes()
	for i, l := range at.LogP {
		a.now[i], a.weight[i] = target[i]-l, float64((visits[i/n]+rarest)*at.P[i])
	}
	gamma, ok := a.solve(m)
	if !ok {
		return false
	}
	for i, l := range at.LogP {
		dst[i] = target[i]
		for j, g := range gamma[:m] {
			dst[i] -= float64(g * (l - a.z[j][i] + a.now[i] - a.f[j][i]))
		}
	}
	return true
}

// solve is γ by the normal equations, with a ridge at the level of rounding.
func (a *anderson) solve(m int) (gamma [andersonDepth]float64, ok bool) {
	var gram [andersonDepth][andersonDepth]float64
	for i, w := range a.weight {
		if w == 0 {
			continue
		}
		var d [andersonDepth]float64
		for j := range m {
			d[j] = a.now[i] - a.f[j][i]
		}
		for j := range m {
			wd := float64(w * d[j])
			gamma[j] += float64(wd * a.now[i])
			for k := range j + 1 {
				gram[j][k] += float64(wd * d[k])
			}
		}
	}
	for j := range m {
		gram[j][j] = float64(gram[j][j]*(1+1e-12)) + 1e-300
	}
	return gamma, cholesky(&gram, &gamma, m)
}

// cholesky solves the system of the lower triangle g for x in place; it reports
// false where g is not positive definite.
func cholesky(g *[andersonDepth][andersonDepth]float64, x *[andersonDepth]float64, m int) bool {
	for j := range m {
		for k := range j + 1 {
			sum := g[j][k] - num.Dot(g[j][:k], g[k][:k])
			if j > k {
				g[j][k] = sum / g[k][k]
			} else if !(sum > 0) {
				return false
			} else {
				g[j][j] = math.Sqrt(sum)
			}
		}
	}
	for j := range m {
		x[j] = (x[j] - num.Dot(g[j][:j], x[:j])) / g[j][j]
	}
	for j := m - 1; j >= 0; j-- {
		for k := j + 1; k < m; k++ {
			x[j] -= float64(g[k][j] * x[k])
		}
		x[j] /= g[j][j]
	}
	return true
}
