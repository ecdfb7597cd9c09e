package ilql

import (
	"errors"
	"fmt"
	"slices"

	"rlhfsim/internal/golden"
	"rlhfsim/internal/num"
)

// DocumentKinds are the kinds of documents that Recompute reads.
var DocumentKinds = []string{"ilql"}

// Recompute reads a document of golden values (its schema is described in
// testdata/golden/README.md) and computes every result again with the functions that
// training uses.
func Recompute(data []byte) ([]golden.Value, error) {
	kind, err := golden.Kind(data)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(DocumentKinds, kind) {
		return nil, fmt.Errorf("a document of kind %q; known kinds: %q", kind, DocumentKinds)
	}
	return golden.Results(data, lossResult.of)
}

// lossCase is what a network said of B padded responses of up to T tokens.
type lossCase struct {
	Actions [][]int         // [B][T]
	Dones   [][]int         // [B][T+1]: 1 before each token, 0 from the end on
	Rewards [][]float64     // [B][T]
	Logits  [][][]float64   // [B][T][V] of π_β
	Qs      [][][][]float64 // [heads][B][T][V]
	Targets [][][][]float64 `json:"target_qs"`
	Vs      [][]float64     // [B][T+1]
}

type lossResult struct {
	Tau       float64 `required:"true"`
	Gamma     float64 `required:"true"`
	CQLScale  float64 `json:"cql_scale" required:"true"`
	AWACScale float64 `json:"awac_scale" required:"true"`
	Beta      float64 `required:"true"`

	Loss       *float64
	LossQ      *float64           `json:"loss_q"`
	LossV      *float64           `json:"loss_v"`
	LossCQL    *float64           `json:"loss_cql"`
	LossAWAC   *float64           `json:"loss_awac"`
	Values     *documentSummary   // of V
	QValues    []*documentSummary // of each head
	AWACWeight *documentSummary   `json:"awac_weight"`
	GradLogits [][][]float64      `json:"grad_logits"`
	GradQs     [][][][]float64    `json:"grad_qs"`
	GradVs     [][]float64        `json:"grad_vs"`
}

type documentSummary struct{ Mean, Min, Max, Std *float64 }

// of is trlX's ILQLConfig.loss and its derivatives: every position is a row of its own.
func (r lossResult) of(in lossCase, out *golden.Comparison) error {
	if err := in.check(); err != nil {
		return err
	}
	t, batch := in.tables()
	if len(batch) == 0 {
		return errors.New("dones leaves no token")
	}
	c := Config{Tau: r.Tau, Gamma: r.Gamma, CQLScale: r.CQLScale, AWACScale: r.AWACScale, AWACBeta: r.Beta}
	p, logp, g := in.behaviour()
	s := t.loss(batch, logp, g, &c)
	logitGradient(g, p, t.outcomes)
	out.Number("loss", r.Loss, s.Loss, golden.OfValues)
	out.Number("loss_q", r.LossQ, s.LossQ, golden.OfValues)
	out.Number("loss_v", r.LossV, s.LossV, golden.OfValues)
	out.Number("loss_cql", r.LossCQL, s.LossCQL, golden.OfValues)
	out.Number("loss_awac", r.LossAWAC, s.LossAWAC, golden.OfValues)
	r.Values.compare("values", s.Values, out)
	for i := range min(len(r.QValues), len(t.heads)) {
		r.QValues[i].compare(fmt.Sprintf("qvalues[%d]", i), s.QValues[i], out)
	}
	r.AWACWeight.compare("awac_weight", s.AWACWeight, out)
	return r.gradients(in, t, g, out)
}

func (d *documentSummary) compare(name string, got Summary, out *golden.Comparison) {
	if d == nil {
		return
	}
	out.Optional(name+".mean", d.Mean, got.Mean, golden.OfValues)
	out.Optional(name+".min", d.Min, got.Min, golden.OfValues)
	out.Optional(name+".max", d.Max, got.Max, golden.OfValues)
	out.Optional(name+".std", d.Std, got.Std, golden.OfValues)
}

// gradients compares the derivatives with respect to all that the network said.
func (r lossResult) gradients(in lossCase, t *values, g []float64, out *golden.Comparison) error {
	err := in.compare("grad_logits", r.GradLogits, g, out)
	for i, h := range t.heads {
		var want [][][]float64
		if r.GradQs != nil {
			if len(r.GradQs) != len(t.heads) {
				return fmt.Errorf("grad_qs has %d heads, qs %d", len(r.GradQs), len(t.heads))
			}
			want = r.GradQs[i]
		}
		err = errors.Join(err, in.compare(fmt.Sprintf("grad_qs[%d]", i), want, h.g, out))
	}
	return errors.Join(err, out.Table("grad_vs", r.GradVs, slices.Collect(slices.Chunk(t.gv, len(in.Vs[0]))), golden.OfGradients))
}

// compare is of a table of entries, in which the last row of each response is not the
// document's.
func (in lossCase) compare(field string, want [][][]float64, entries []float64, out *golden.Comparison) error {
	if want != nil && len(want) != len(in.Actions) {
		return fmt.Errorf("%s has %d responses, computed %d", field, len(want), len(in.Actions))
	}
	width := in.width()
	rows := slices.Collect(slices.Chunk(entries, width))
	for b := range in.Actions {
		var own [][]float64
		if want != nil {
			own = append([][]float64{}, want[b]...)
		}
		from := b * len(in.Vs[0])
		if err := out.Table(fmt.Sprintf("%s[%d]", field, b), own, rows[from:from+len(in.Actions[0])], golden.OfGradients); err != nil {
			return err
		}
	}
	return nil
}

// width is V.
func (in lossCase) width() int { return len(in.Logits[0][0]) }

// check requires tables of one shape.
func (in lossCase) check() error {
	responses := len(in.Actions)
	if responses == 0 || len(in.Actions[0]) == 0 || len(in.Logits) == 0 || len(in.Logits[0]) == 0 || len(in.Logits[0][0]) == 0 {
		return errors.New("actions and logits must not be empty")
	}
	if len(in.Qs) < 1 || len(in.Qs) > 2 || len(in.Targets) != len(in.Qs) {
		return fmt.Errorf("%d qs and %d target_qs: there is one head or two, each with a target", len(in.Qs), len(in.Targets))
	}
	length, width := len(in.Actions[0]), in.width()
	fits := sized(in.Actions, responses, length) && sized(in.Rewards, responses, length) && sized(in.Dones, responses, length+1) && sized(in.Vs, responses, length+1)
	for _, table := range slices.Concat([][][][]float64{in.Logits}, in.Qs, in.Targets) {
		fits = fits && len(table) == responses && !slices.ContainsFunc(table, func(rows [][]float64) bool { return !sized(rows, length, width) })
	}
	if !fits {
		return fmt.Errorf("tables of other sizes than actions [%d][%d] and %d outcomes ask for", responses, length, width)
	}
	for b, row := range in.Actions {
		for t, a := range row {
			if a < 0 || a >= width {
				return fmt.Errorf("actions[%d][%d] = %d is no outcome below %d", b, t, a, width)
			}
		}
	}
	return nil
}

// sized says whether a table has that many rows of that many columns.
func sized[T any](table [][]T, rows, columns int) bool {
	return len(table) == rows && !slices.ContainsFunc(table, func(row []T) bool { return len(row) != columns })
}

// tables are Q, Q̂ and V with a row for each position, and the tokens between them.
func (in lossCase) tables() (*values, []token) {
	length, width := len(in.Actions[0]), in.width()
	t := newValues(len(in.Qs), len(in.Actions)*(length+1), width, 0)
	t.v = slices.Concat(in.Vs...)
	for i := range t.heads {
		t.heads[i].q, t.heads[i].target = in.spread(in.Qs[i]), in.spread(in.Targets[i])
	}
	var batch []token
	for b, row := range in.Actions {
		for k, a := range row {
			if in.Dones[b][k] == 0 {
				continue
			}
			d := token{row: int32(b*(length+1) + k), next: -1, reward: in.Rewards[b][k]}
			d.cell = d.row*int32(width) + int32(a)
			if in.Dones[b][k+1] != 0 {
				d.next = d.row + 1
			}
			batch = append(batch, d)
		}
	}
	return t, batch
}

// spread is a table of positions with a row of zeros behind each response.
func (in lossCase) spread(table [][][]float64) (out []float64) {
	for _, rows := range table {
		out = append(append(out, slices.Concat(rows...)...), make([]float64, in.width())...)
	}
	return out
}

// behaviour is π_β at all positions, its logarithm, and room for the gradient.
func (in lossCase) behaviour() (p, logp, g []float64) {
	logits := in.spread(in.Logits)
	p, logp, g = make([]float64, len(logits)), make([]float64, len(logits)), make([]float64, len(logits))
	num.SoftmaxRows(p, logp, logits, in.width())
	return p, logp, g
}

// logitGradient turns ∂L/∂log π into ∂L/∂z, row by row: g − (Σ g) π.
func logitGradient(g, p []float64, width int) {
	for at := 0; at < len(g); at += width {
		num.Axpy(g[at:at+width], -num.Sum(g[at:at+width]), p[at:at+width])
	}
}
