package experiments

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"rlhfsim/policy"
	"rlhfsim/sim"
)

// Options say how a run is carried out; none of them changes a result.
type Options struct {
	Dir      string               // the run's folder
	Jobs     int                  // cells worked on at the same time, ≥ 1
	Progress func(Progress)       // called after each cell, never concurrently; may be nil
	Notice   func(message string) // a message worth a line (a damaged cell); may be nil
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

// Run is a run's cells, in memory: what all tables and figures are made from.
type Run struct {
	Experiment *Experiment
	Dir        string
	Failures   []Failure
	Reused     int // cells that were there already

	shared map[cellID]*cell // Arm = −1
	arms   map[cellID]*cell
}

// cellID is a cell's place: indices into Points, Arms and Seeds.
type cellID struct{ point, arm, seed int }

// Execute computes every cell of the experiment that the folder does not hold
// yet. A failing cell is listed in Failures and the others go on. When ctx ends,
// finished cells stay and the error is context.Cause(ctx).
func Execute(ctx context.Context, e *Experiment, o Options) (*Run, error) {
	r := &Run{Experiment: e, Dir: o.Dir, shared: map[cellID]*cell{}, arms: map[cellID]*cell{}}
	labs := make([]*sim.Lab, len(e.Points))
	for i, p := range e.Points {
		var err error
		if labs[i], err = sim.NewLab(p.Config); err != nil {
			return nil, err
		}
	}
	w := &worker{run: r, options: o, labs: labs}
	for point := len(e.Points) - 1; point >= 0; point-- {
		for seed := len(e.Seeds) - 1; seed >= 0; seed-- {
			w.tasks = append(w.tasks, task{id: cellID{point, -1, seed}})
			w.total += 1 + len(e.Points[point].Arms)
		}
	}
	w.wait = sync.NewCond(&w.mu)
	var group sync.WaitGroup
	for range max(1, o.Jobs) {
		group.Go(func() { w.work(ctx) })
	}
	group.Wait()
	if w.err != nil {
		return r, w.err
	}
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	return r, nil
}

// task is one cell to compute; arms come with the shared stages they start from.
type task struct {
	id     cellID
	shared *sim.Shared
}

// worker hands tasks out, last in first out: the arms of a seed are done before
// the next seed begins, so memory does not grow with the number of seeds.
type worker struct {
	run     *Run
	options Options
	labs    []*sim.Lab

	mu          sync.Mutex
	wait        *sync.Cond
	tasks       []task
	busy        int
	done, total int
	err         error // a failure of the run itself, such as a full disk
}

func (w *worker) work(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wait.Broadcast()
	})
	defer stop()
	for {
		t, ok := w.take(ctx)
		if !ok {
			return
		}
		more, err := w.compute(ctx, t)
		w.finish(ctx, t, more, err)
	}
}

func (w *worker) take(ctx context.Context) (task, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.tasks) == 0 && w.busy > 0 && ctx.Err() == nil && w.err == nil {
		w.wait.Wait()
	}
	if len(w.tasks) == 0 || ctx.Err() != nil || w.err != nil {
		return task{}, false
	}
	t := w.tasks[len(w.tasks)-1]
	w.tasks = w.tasks[:len(w.tasks)-1]
	w.busy++
	return t, true
}

// finish books a task: its result, its failure, and the tasks it leads to.
func (w *worker) finish(ctx context.Context, t task, more []task, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.wait.Broadcast()
	w.busy--
	w.tasks = append(w.tasks, more...)
	what := w.run.name(t.id)
	var numeric *sim.NonFiniteError
	switch {
	case err == nil:
		w.done++
	case ctx.Err() != nil:
		return
	case errors.As(err, &numeric):
		w.run.Failures = append(w.run.Failures, Failure{Cell: what, Err: err})
		w.done++
		if t.id.arm < 0 {
			w.done += len(w.run.Experiment.Points[t.id.point].Arms)
		}
	default:
		w.err = fmt.Errorf("%s: %w", what, err)
		return
	}
	if w.options.Progress != nil {
		w.options.Progress(Progress{Done: w.done, Total: w.total, What: what})
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

// compute does one task: from disk where it is there already.
func (w *worker) compute(ctx context.Context, t task) (more []task, err error) {
	if t.id.arm < 0 {
		return w.computeShared(ctx, t.id)
	}
	e := w.run.Experiment
	arm := e.Points[t.id.point].Arms[t.id.arm]
	name, err := w.armKey(t.id)
	if err != nil {
		return nil, err
	}
	result, err := t.shared.RunArm(ctx, sim.Arm{Name: arm.Name, Label: arm.Label, Method: arm.Method, Config: arm.Config})
	if err != nil {
		return nil, err
	}
	return nil, w.keep(w.run.arms, t.id, name, &cell{Rows: result.Rows, Optimum: &result.Optimum, Gold: &result.Gold, Tensors: []tensor{logits(arm.Name, result.Policy)}})
}

// computeShared loads or computes the shared stages and lists the arms to do.
func (w *worker) computeShared(ctx context.Context, id cellID) ([]task, error) {
	e := w.run.Experiment
	var missing []task
	for arm := range e.Points[id.point].Arms {
		own := cellID{id.point, arm, id.seed}
		name, err := w.armKey(own)
		if err != nil {
			return nil, err
		}
		if found, err := w.reuse(w.run.arms, own, name); err != nil {
			return nil, err
		} else if !found {
			missing = append(missing, task{id: own})
		}
	}
	name, err := key(e.Seeds[id.seed], e.Points[id.point].Config.SharedPart())
	if err != nil {
		return nil, err
	}
	found, err := w.reuse(w.run.shared, id, name)
	if err != nil || found && len(missing) == 0 {
		return nil, err
	}
	s, err := w.labs[id.point].NewShared(ctx, e.Seeds[id.seed])
	if err != nil {
		return nil, err
	}
	for i := range missing {
		missing[i].shared = s
	}
	if found {
		return missing, nil
	}
	m := s.Reward
	c := &cell{Rows: s.Rows, Calibration: s.Calibration, Frontier: &s.Frontier, Tensors: []tensor{
		logits("base", s.Base), logits("sft", s.SFT),
		{"weight", m.WeightShape(), m.Weight}, {"bias", []int{m.Prompts}, m.Bias},
	}}
	return missing, w.keep(w.run.shared, id, name, c)
}

func (w *worker) armKey(id cellID) (string, error) {
	e := w.run.Experiment
	p := e.Points[id.point]
	a := p.Arms[id.arm]
	return key(e.Seeds[id.seed], p.Config.SharedPart(), sim.Arm{Method: a.Method, Config: a.Config}.OwnPart())
}

// reuse takes a cell from disk. A damaged one is set aside, told, and redone.
func (w *worker) reuse(into map[cellID]*cell, id cellID, name string) (bool, error) {
	c, err := loadCell(w.run.Dir, name)
	if errors.Is(err, errCorrupt) {
		path := cellPath(w.run.Dir, name)
		w.notice(fmt.Sprintf("%s (%s): %v; it is kept as %s.damaged and computed again", path, w.run.name(id), err, path))
		return false, os.Rename(path, path+".damaged")
	}
	if err != nil || c == nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	into[id] = c
	w.run.Reused++
	if id.arm >= 0 {
		w.done++
	}
	return true, nil
}

func (w *worker) notice(message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.options.Notice != nil {
		w.options.Notice(message)
	}
}

// keep writes a finished cell and books it.
func (w *worker) keep(into map[cellID]*cell, id cellID, name string, c *cell) error {
	if err := saveCell(w.run.Dir, name, c); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	into[id] = c
	return nil
}

// logits is a policy's table as a tensor [prompts, contexts, words+1].
func logits(name string, p *policy.Softmax) tensor {
	return tensor{Name: name, Shape: []int{p.Prompts, p.Contexts(), p.Outcomes()}, Data: p.Logits}
}
