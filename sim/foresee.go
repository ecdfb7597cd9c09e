package sim

import (
	"context"
	"errors"

	"rlhfsim/policy"
	"rlhfsim/reward"
)

// Forecast is about what a seed costs, told by the sizes of its tables before
// anything is computed: right within a factor of three, a network's own lattice
// left out.
type Forecast struct {
	Table    int     // bytes of one policy
	TooLarge error   // why there is no lattice of counts, as in Lab
	States   int     // of the lattice of counts, for each context; 0: over the budget
	Shared   float64 // seconds for the stages that arms share
	Optimum  float64 // seconds for the optimum at one β
	Arm      float64 // seconds for what an arm is measured against; its training is not in it
	Held     int     // bytes of the lattice, which all cells share
	Asked    int     // bytes while gold's optimum is asked what it says
	Cell     int     // bytes for each cell worked on
}

// What one core does in a second, and what beginning a row takes.
const (
	multiplications = 6e9   // along a row
	perRow          = 6e-9  // seconds
	entries         = 2.5e8 // exponentials, or updates by Adam
	comparisons     = 3e7   // by a rater
	lookups         = 4e6   // of a count state's value

	usualSearch = 40 // evaluations in a search for a stationary point
)

// Foresee looks at the sizes of a validated configuration. Of the lattice it
// builds one prompt's share.
func Foresee(ctx context.Context, c Config) (Forecast, error) {
	w, err := NewWorld(c)
	if err != nil {
		return Forecast{}, err
	}
	c = c.Expanded()
	s, one := w.Shape, w.Shape
	one.Prompts = 1
	gold, err := policy.NewCountValue(ctx, one, w.Gold)
	if err != nil && !errors.Is(err, policy.ErrTooLarge) {
		return Forecast{}, err
	}
	z := size{prompts: float64(s.Prompts), length: float64(s.MaxLength), words: float64(s.Words), rows: float64(s.Rows()), cells: float64(s.Cells())}
	f := Forecast{Table: 8 * s.Cells(), TooLarge: err, Cell: int(12*8*z.cells + 16*z.length*z.cells)} // policies, gradient, moments; the optimum has rows for each position
	won := z.pass(2 * samples / z.rows)
	if gold != nil {
		f.addLattice(z, gold, len(w.Gold), c.SFT.Generate > 0)
		won = z.pass(float64(gold.Reached()))
	}
	f.addTime(c, z, z.evaluation(w.Gold), won)
	return f, nil
}

// size is a world's, in floating point.
type size struct{ prompts, length, words, rows, cells float64 }

// pass is a walk over the table for each of so many positions of count states.
func (z size) pass(positions float64) float64 {
	return positions * (z.rows*perRow + z.cells/multiplications)
}

// evaluation walks once for each state of each count, and for KL and entropy.
func (z size) evaluation(gold policy.Counts) float64 {
	walks := 2.0
	for _, count := range gold {
		if count.Kind == policy.CountLength {
			walks++
		} else {
			walks += float64(len(count.Worth))
		}
	}
	return z.pass(walks * z.length)
}

func (f *Forecast) addLattice(z size, gold *policy.CountValue, counts int, writers bool) {
	states, values, contexts := float64(gold.States()), float64(gold.Values()), z.rows/z.prompts
	f.States = gold.States()
	f.Shared += z.prompts * (states*(z.length+8)/lookups + values*values/comparisons)
	f.Held = int(z.prompts * states * (8*z.words + 12*(z.length+1) + 4*float64(counts+6))) // moves; values and masses; components
	optimum := 8 * contexts * float64(gold.Reached())                                      // of a prompt
	f.Asked = int(2 * optimum)                                                             // what follows each state, and the best that can
	f.Cell += int(16 * states * contexts)
	if writers {
		f.Cell += int(z.prompts * optimum)
	}
}

// addTime adds up what every seed computes; an evaluation with its win rate
// counts events, too.
func (f *Forecast) addTime(c Config, z size, evaluation, won float64) {
	soft, last, search := z.length*z.cells/entries, 3*evaluation+won, 0.0
	if f.States > 0 {
		search = usualSearch * evaluation
	}
	f.Optimum = soft + last + 2*search
	f.Arm = last + search
	steps := float64(c.Base.FitConfig.Steps(c.Base.Lines) + c.SFT.FitConfig.Steps(c.SFT.Size()))
	f.Shared += steps*z.cells/entries + (steps/float64(c.Evaluation.Every)+4)*evaluation + 5*last
	if c.Reward.Model != reward.MLP { // the frontier, and the search for its peak
		f.Shared += 2 * frontierPoints * (soft + evaluation)
	}
}
