package experiments

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"unique"

	"rlhfsim/policy"
	"rlhfsim/reward"
	"rlhfsim/sim"
)

// Options say how a run is carried out; none of them changes a result.
type Options struct {
	Dir      string                      // the run's folder
	Jobs     int                         // cells worked on at the same time, ≥ 1
	FailFast bool                        // stop at the first cell that fails
	Progress func(Progress)              // called after each cell, never concurrently; may be nil
	Doing    func(cell string) sim.Doing // told what the work on a cell is at, by several at a time; may be nil
	Notice   func(message string)        // a message worth a line (a damaged cell); may be nil
}

// Progress is how far a run has come.
type Progress struct {
	Done, Total int    // cells
	What        string // the cell just finished
}

// Failure is one cell that stopped with an error.
type Failure struct {
	Cell string // "arm ppo, seed 3"
	Err  error
}

// Run is a run's finished cells. They lie on disk; those of one point at a time
// are held in memory, so that memory does not grow with the number of points.
type Run struct {
	Experiment *Experiment
	Dir        string
	ctx        context.Context // of the command: what is drawn and told asks policies, which may take long
	Failures   []Failure
	Reused     int // cells that were there already

	keys  map[cellID]string     // of the finished cells; Arm = −1: the shared stages
	names map[cellID]*signature // of their metrics
	point int                   // whose cells are loaded
	cells map[string]*cell

	learnedKey  string // of the cell whose tensors are held
	lastLearned []tensor

	rankings map[int][]Place // by point, once they are known

	forClaims map[cellID][]sim.Row // what claims read of the cells
	verdicts  []Verdict            // once they are known

	lost error // a finished cell that could not be read again
}

// cellID is a cell's place: indices into Points, Arms and Seeds.
type cellID struct{ point, arm, seed int }

// signature is the metrics of a cell, stage by stage, in order of appearance.
type signature struct {
	stages []string
	names  map[string][]string
}

func newRun(ctx context.Context, e *Experiment, dir string) *Run {
	return &Run{Experiment: e, Dir: dir, ctx: ctx, keys: map[cellID]string{}, names: map[cellID]*signature{}, cells: map[string]*cell{}, rankings: map[int][]Place{}}
}

// cell is a finished cell without its tensors, nil where there is none.
func (r *Run) cell(id cellID) *cell {
	key, done := r.keys[id]
	if !done {
		return nil
	}
	if id.point != r.point {
		r.turn(id.point)
	}
	c := r.cells[key]
	if c == nil {
		c = r.load(key, false)
		r.cells[key] = c
	}
	return c
}

// turn lets go of all cells but those that the next point has too.
func (r *Run) turn(point int) {
	kept := map[string]*cell{}
	for arm := -1; arm < len(r.Experiment.Points[point].Arms); arm++ {
		for seed := range r.Experiment.Seeds {
			if key := r.keys[cellID{point, arm, seed}]; r.cells[key] != nil {
				kept[key] = r.cells[key]
			}
		}
	}
	r.point, r.cells = point, kept
}

// tensors is what a finished cell learned, nil where there is none.
func (r *Run) tensors(id cellID) []tensor {
	key, done := r.keys[id]
	if !done {
		return nil
	}
	if key != r.learnedKey { // base, SFT and reward are written one after another
		r.learnedKey, r.lastLearned = key, nil
		if c := r.load(key, true); c != nil {
			r.lastLearned = c.Tensors
		}
	}
	return r.lastLearned
}

func (r *Run) load(key string, tensors bool) *cell {
	c, err := loadCell(r.Dir, key, tensors)
	if err == nil && c == nil {
		err = os.ErrNotExist
	}
	if err != nil && r.lost == nil {
		r.lost = fmt.Errorf("%s: %w", cellPath(r.Dir, key), err)
	}
	return c
}

// intern makes equal strings share their memory.
func intern(s string) string { return unique.Make(s).Value() }

// Execute computes every cell of the experiment that the folder does not hold
// yet. A failing cell is listed in Failures and the others go on. When ctx ends,
// finished cells stay and the error is context.Cause(ctx).
func Execute(ctx context.Context, e *Experiment, o Options) (*Run, error) {
	r := newRun(ctx, e, o.Dir)
	w, err := newWorker(r, o)
	if err != nil {
		return nil, err
	}
	w.workAll(ctx)
	if w.err != nil {
		return r, w.err
	}
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	return r, nil
}

// book notes a finished cell under all its places.
func (r *Run) book(ids []cellID, key string, c *cell) {
	s := &signature{names: map[string][]string{}}
	for _, row := range c.Rows {
		names, known := s.names[row.Stage]
		if !known {
			s.stages = append(s.stages, row.Stage)
		}
		for _, m := range row.Metrics {
			if !slices.Contains(names, m.Name) {
				names = append(names, intern(m.Name))
			}
		}
		s.names[row.Stage] = names
	}
	for _, other := range r.names { // most cells have the same ones
		if slices.Equal(other.stages, s.stages) && slices.EqualFunc(s.stages, s.stages, func(a, _ string) bool { return slices.Equal(s.names[a], other.names[a]) }) {
			s = other
			break
		}
	}
	for _, id := range ids {
		r.keys[id], r.names[id] = key, s
	}
}

// name is a cell's place in words.
func (r *Run) name(id cellID) string {
	e := r.Experiment
	text := fmt.Sprintf("seed %d", e.Seeds[id.seed])
	if id.arm >= 0 {
		text = fmt.Sprintf("arm %s, %s", e.Points[id.point].Arms[id.arm].Name, text)
	} else {
		text = "base, SFT and reward, " + text
	}
	for i, field := range e.Swept {
		text += fmt.Sprintf(", %s = %s", field, e.Points[id.point].Values[i])
	}
	return text
}

// sharedCell is the shared stages of a seed as a cell.
func sharedCell(s *sim.Shared) *cell {
	c := &cell{Rows: s.Rows, Calibration: s.Calibration, Frontier: &s.Frontier, Tensors: []tensor{logits("base", s.Base), logits("sft", s.SFT)}}
	add := func(m reward.Model, suffix string) {
		for _, t := range m.Tensors() {
			c.Tensors = append(c.Tensors, tensor{t.Name + suffix, t.Shape, t.Data})
		}
	}
	if mean, linear := s.Reward.(*reward.Linear); linear && len(s.Members) > 1 {
		add(mean, "")
	}
	for i, m := range s.Members {
		add(m, memberSuffix(i, len(s.Members)))
	}
	if s.BestOfN.ByProxy != nil {
		c.BestOfN = &s.BestOfN
	}
	return c
}

// memberSuffix tells the tensors of an ensemble's members apart.
func memberSuffix(i, members int) string {
	if members == 1 {
		return ""
	}
	return fmt.Sprintf(".%d", i)
}

// members rebuilds the reward models from their tensors.
func members(l *sim.Lab, tensors []tensor) ([]reward.Model, error) {
	data := map[string][]float64{}
	for _, t := range tensors {
		data[t.Name] = t.Data
	}
	var out []reward.Model
	for i := range l.Config.Reward.NumEnsemble {
		m := l.NewModel()
		for _, t := range m.Tensors() {
			name := t.Name + memberSuffix(i, l.Config.Reward.NumEnsemble)
			if len(data[name]) != len(t.Data) {
				return nil, fmt.Errorf("reward: tensor %s has %d entries where reward.model = %q has %d", name, len(data[name]), l.Config.Reward.Model, len(t.Data))
			}
			copy(t.Data, data[name])
		}
		out = append(out, m)
	}
	return out, nil
}

// restore rebuilds the shared stages from their cell, so that a new arm need not
// train them again.
func restore(ctx context.Context, l *sim.Lab, seed uint64, c *cell) (*sim.Shared, error) {
	judges, err := members(l, c.Tensors[2:])
	if err != nil {
		return nil, err
	}
	return l.Restore(ctx, seed, c.Tensors[0].Data, c.Tensors[1].Data, judges)
}

// armCell is an arm's result as a cell.
func armCell(name string, result *sim.Result) *cell {
	return &cell{Rows: result.Rows, Optimum: &result.Optimum, Gold: &result.Gold, Tensors: []tensor{logits(name, result.Policy)}}
}

// logits is a policy's table as a tensor [prompts, contexts, words+1].
func logits(name string, p *policy.Softmax) tensor {
	return tensor{Name: name, Shape: []int{p.Prompts, p.Contexts(), p.Outcomes()}, Data: p.Logits}
}

// errFailFast stops a run at its first failure.
var errFailFast = errors.New("stopped at the first failure")
