package policy

import (
	"fmt"
	"math"

	"rlhfsim/internal/num"
	"rlhfsim/internal/rng"
)

// NewLowRank returns the uniform policy whose logits are inner products,
//
//	z[x,c,w] = Σ_k a[x,c,k] b[w,k] + bias[w]
//
// with a the hidden state of (prompt, context) and b the output embedding of an
// outcome, k < rank: a language model's last layer. Outcomes with similar
// embeddings move together, so raising one response's likelihood moves others
// that share nothing with it but their words' directions (likelihood
// displacement: Razin et al. 2024, arXiv 2410.08847).
//
// It starts as low-rank adapters do (Hu et al. 2021, LoRA, section 4.1): a = 0
// and bias = 0 make all logits 0, random b makes the gradient of a non-zero. b is
// drawn from one stream for all seeds, with entries of variance 1/rank, so that
// ‖b[w]‖ is about 1.
func NewLowRank(s Shape, rank int) (*Softmax, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if rank < 1 || float64(rank)*float64(s.Rows()+s.Outcomes()) > MaxCells {
		return nil, fmt.Errorf("policy: rank %d, it must be at least 1 and need at most %d parameters", rank, MaxCells)
	}
	p := &Softmax{Chain: newChain(newGeometry(s), 1), Logits: make([]float64, s.Cells()), kind: LowRank, rank: rank}
	p.params = make([]float64, s.Rows()*rank+s.Outcomes()*rank+s.Outcomes())
	_, b, _ := p.factors(p.params)
	r, width := rng.New(0, "policy", "low_rank"), math.Sqrt(12/float64(rank))
	for i := range b {
		b[i] = float64(width * (r.Float64() - 0.5))
	}
	p.refresh()
	return p, nil
}

// factors divides parameters, or their gradient, into a [rows][rank],
// b [outcomes][rank] and bias [outcomes].
func (p *Softmax) factors(params []float64) (a, b, bias []float64) {
	n, m := p.Rows()*p.rank, p.Outcomes()*p.rank
	return params[:n], params[n : n+m], params[n+m:]
}

// multiply fills the logits from the factors.
func (p *Softmax) multiply() {
	a, b, bias := p.factors(p.params)
	r, n := p.rank, p.Outcomes()
	for row := range p.Rows() {
		hidden, z := a[row*r:(row+1)*r], p.Logits[row*n:(row+1)*n]
		for w := range z {
			z[w] = bias[w] + num.Dot(hidden, b[w*r:(w+1)*r])
		}
	}
}

// pullFactors is the chain rule of the product,
//
//	∂L/∂a[x,c] = Σ_w ∂L/∂z[x,c,w] b[w],  ∂L/∂b[w] = Σ_{x,c} ∂L/∂z[x,c,w] a[x,c],
//	∂L/∂bias[w] = Σ_{x,c} ∂L/∂z[x,c,w].
func (p *Softmax) pullFactors(dst, g []float64) {
	clear(dst)
	a, b, _ := p.factors(p.params)
	da, db, dbias := p.factors(dst)
	r, n := p.rank, p.Outcomes()
	for row := range p.Rows() {
		hidden, dhidden := a[row*r:(row+1)*r], da[row*r:(row+1)*r]
		for w, d := range g[row*n : (row+1)*n] {
			if d != 0 { // most rows are not visited by a minibatch
				num.Axpy(dhidden, d, b[w*r:(w+1)*r])
				num.Axpy(db[w*r:(w+1)*r], d, hidden)
				dbias[w] += d
			}
		}
	}
}
