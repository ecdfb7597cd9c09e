package policy

import (
	"fmt"
	"slices"

	"rlhfsim/internal/num"
)

// Softmax is the policy π_θ(w|x,c) = softmax(z[x,c,·])_w, a table of logits
// z[prompt, context, outcome] computed from the parameters θ by a
// parametrisation. Everything that learns or evaluates sees the table only.
type Softmax struct {
	Chain
	Logits []float64 // z [prompts][contexts][words+1]

	params []float64 // θ; the same slice as Logits where every entry is free
	kind   Parametrisation
	rank   int // of LowRank
	moves  int // see Moves
}

// Moves is how often the probabilities have been computed: whoever keeps something made
// of them knows by it whether it still holds.
func (p *Softmax) Moves() int { return p.moves }

// Parametrisation says how parameters make the logit table.
type Parametrisation string

const (
	// Table leaves every entry free: θ = z.
	Table Parametrisation = "table"
	// Shared adds a term for all prompts to one per prompt,
	// z[x,c,w] = s[c,w] + d[x,c,w], so that what is learned on one prompt
	// reaches the others.
	Shared Parametrisation = "shared"
	// LowRank makes every logit an inner product of a hidden state and an output
	// embedding, see NewLowRank.
	LowRank Parametrisation = "low_rank"
)

// Parametrisations lists what Config.New accepts.
var Parametrisations = []Parametrisation{Table, Shared, LowRank}

// Config is the policy class of an experiment.
type Config struct {
	Order           int             `toml:"order"`
	Parametrisation Parametrisation `toml:"parametrisation"`
	Rank            int             `toml:"rank"` // of "low_rank"; the others have none
}

// Default is a bigram policy with a free table.
func Default() Config { return Config{Order: 1, Parametrisation: Table, Rank: 4} }

// New returns the uniform policy of the class for a shape, whose order is the
// class's.
func (c Config) New(s Shape) (*Softmax, error) {
	if c.Parametrisation == LowRank {
		return NewLowRank(s, c.Rank)
	}
	return NewSoftmax(s, c.Parametrisation)
}

// NewSoftmax returns the uniform policy (all logits 0) of a parametrisation that
// has no rank. It reports shapes that are impossible or too large, and unknown
// parametrisations.
func NewSoftmax(s Shape, kind Parametrisation) (*Softmax, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if kind != Table && kind != Shared {
		return nil, fmt.Errorf("policy: parametrisation %q without a rank (known: %v)", kind, []Parametrisation{Table, Shared})
	}
	p := &Softmax{Chain: newChain(newGeometry(s), 1), Logits: make([]float64, s.Cells()), kind: kind}
	p.params = p.Logits
	if kind == Shared {
		p.params = make([]float64, p.sharedCells()+s.Cells())
	}
	p.refresh()
	return p, nil
}

// Clone is an independent copy: the start of the next stage, or its frozen reference.
func (p *Softmax) Clone() *Softmax {
	q := &Softmax{Chain: newChain(p.geometry, 1), Logits: append([]float64(nil), p.Logits...), kind: p.kind, rank: p.rank}
	q.params = q.Logits
	if p.kind != Table {
		q.params = append([]float64(nil), p.params...)
	}
	copy(q.P, p.P)
	copy(q.LogP, p.LogP)
	return q
}

// Uniform is the uniform policy of the same shape, a free table.
func (p *Softmax) Uniform() *Softmax {
	q := &Softmax{Chain: newChain(p.geometry, 1), Logits: make([]float64, len(p.Logits)), kind: Table}
	q.params = q.Logits
	q.refresh()
	return q
}

// Free is the same policy with every entry of its table free: where a table is
// to be set, or the limits of a parametrisation are not meant.
func (p *Softmax) Free() *Softmax {
	q := &Softmax{Chain: newChain(p.geometry, 1), Logits: slices.Clone(p.Logits), kind: Table}
	q.params = q.Logits
	copy(q.P, p.P)
	copy(q.LogP, p.LogP)
	return q
}

// SetLogits replaces the table, [prompts][contexts][words+1] flattened. Under
// the shared parametrisation the shared term becomes 0. Under low_rank it is
// refused: hardly any table is a product of that rank, and the nearest one would
// be another policy. A table that was learned under low_rank goes into a Free one.
func (p *Softmax) SetLogits(logits []float64) error {
	if p.kind == LowRank {
		return fmt.Errorf("policy: a table of logits cannot be given to a low_rank policy")
	}
	if len(logits) != len(p.Logits) {
		return fmt.Errorf("policy: %d logits for a table of %d", len(logits), len(p.Logits))
	}
	if p.kind == Shared {
		clear(p.params[:p.sharedCells()])
		copy(p.params[p.sharedCells():], logits)
	} else {
		copy(p.params, logits)
	}
	p.refresh()
	return nil
}

func (p *Softmax) sharedCells() int { return p.contexts * p.Outcomes() }

// refresh recomputes logits and probabilities from the parameters.
func (p *Softmax) refresh() {
	switch p.kind {
	case LowRank:
		p.multiply()
	case Shared:
		shared, own := p.params[:p.sharedCells()], p.params[p.sharedCells():]
		for x := range p.Prompts {
			at := x * len(shared)
			for i, s := range shared {
				p.Logits[at+i] = s + own[at+i]
			}
		}
	}
	num.SoftmaxRows(p.P, p.LogP, p.Logits, p.Outcomes())
	p.moves++
}

// pull turns a derivative with respect to the logits into one with respect to
// the parameters: dst has the size of θ. For the free table it is g itself.
func (p *Softmax) pull(dst, g []float64) []float64 {
	switch p.kind {
	case Table:
		return g
	case LowRank:
		p.pullFactors(dst, g)
		return dst
	}
	n := p.sharedCells()
	shared := dst[:n]
	clear(shared)
	for x := range p.Prompts { // ∂L/∂s[c,w] = Σ_x ∂L/∂z[x,c,w]
		for i := range shared {
			shared[i] += g[x*n+i]
		}
	}
	copy(dst[n:], g) // ∂L/∂d = ∂L/∂z
	return dst
}

// LogitGradient turns g from ∂L/∂log π(w|row) into ∂L/∂z in place, for every
// row: ∂L/∂z_w = g_w − (Σ_v g_v) π_w, since ∂log π_v/∂z_w = 1[v=w] − π_w.
func (p *Softmax) LogitGradient(g []float64) {
	n := p.Outcomes()
	for at := 0; at < len(g); at += n {
		row := g[at : at+n : at+n]
		if sum := num.Sum(row); sum != 0 { // most rows are not visited by a minibatch
			num.Axpy(row, -sum, p.P[at:at+n])
		}
	}
}
