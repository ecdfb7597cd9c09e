package experiments

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"

	"rlhfsim/sim"
)

// The work is a forest. Cells with the same seed and the same world, raw text and
// demonstrations share pre-training and SFT; of these, those with the same
// rankings and reward fit share the reward model; of these, arms that agree in
// all that decides them are computed once, wherever they stand in a sweep.

// trunk is pre-training and SFT of a seed.
type trunk struct {
	seed     uint64
	branches []*branch
}

// branch is rankings and reward model on a trunk.
type branch struct {
	seed   uint64
	key    string
	ids    []cellID
	config sim.Config
	leaves []*leaf
}

// leaf is an arm.
type leaf struct {
	key string
	ids []cellID
	arm Arm
}

// task is one piece of work, with what it grows on.
type task struct {
	trunk  *trunk
	branch *branch
	leaf   *leaf

	pretrained *sim.Pretrained
	shared     *sim.Shared
	missing    []*leaf // of the branch
	kept       bool    // the branch's cell is there already
}

// worker hands tasks out, last in first out: the arms of a branch are done
// before the next one begins, so memory does not grow with the number of cells.
type worker struct {
	run     *Run
	options Options

	mu          sync.Mutex
	wait        *sync.Cond
	labs        map[string]*sim.Lab // by world
	tasks       []task
	busy        int
	done, total int
	err         error // a failure of the run itself, such as a full disk
}

func newWorker(r *Run, o Options) (*worker, error) {
	w := &worker{run: r, options: o, labs: map[string]*sim.Lab{}, total: r.Experiment.Cells()}
	w.wait = sync.NewCond(&w.mu)
	trunks, err := grow(r.Experiment)
	if err != nil {
		return nil, err
	}
	for i := len(trunks) - 1; i >= 0; i-- {
		w.tasks = append(w.tasks, task{trunk: trunks[i]})
	}
	return w, nil
}

// grow sorts the cells of an experiment into the forest, in their order.
func grow(e *Experiment) ([]*trunk, error) {
	var order []*trunk
	trunks, branches, leaves := map[string]*trunk{}, map[string]*branch{}, map[string]*leaf{}
	for point, p := range e.Points {
		root, err := digest(p.Config.PretrainPart())
		if err != nil {
			return nil, err
		}
		shared, err := digest(p.Config.SharedPart())
		if err != nil {
			return nil, err
		}
		own := make([]string, len(p.Arms))
		for i, a := range p.Arms {
			if own[i], err = digest(p.Config.SharedPart(), sim.Arm{Method: a.Method, Config: a.Config}.OwnPart()); err != nil {
				return nil, err
			}
		}
		for s, seed := range e.Seeds {
			t := trunks[seeded(root, seed)]
			if t == nil {
				t = &trunk{seed: seed}
				trunks[seeded(root, seed)] = t
				order = append(order, t)
			}
			key := seeded(shared, seed)
			b := branches[key]
			if b == nil {
				b = &branch{seed: seed, key: key, config: p.Config}
				branches[key] = b
				t.branches = append(t.branches, b)
			}
			b.ids = append(b.ids, cellID{point, -1, s})
			for i, a := range p.Arms {
				key := seeded(own[i], seed)
				l := leaves[key]
				if l == nil {
					l = &leaf{key: key, arm: a}
					leaves[key] = l
					b.leaves = append(b.leaves, l)
				}
				l.ids = append(l.ids, cellID{point, i, s})
			}
		}
	}
	return order, nil
}

func (w *worker) workAll(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wait.Broadcast()
	})
	defer stop()
	var group sync.WaitGroup
	for range max(1, w.options.Jobs) {
		group.Go(func() {
			for {
				t, ok := w.take(ctx)
				if !ok {
					return
				}
				more, err := w.compute(ctx, t)
				w.finish(ctx, t, more, err)
			}
		})
	}
	group.Wait()
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
	w.tasks[len(w.tasks)-1] = task{} // what it holds may go
	w.tasks = w.tasks[:len(w.tasks)-1]
	w.busy++
	return t, true
}

// finish books the end of a task: its failure, and the tasks it leads to.
func (w *worker) finish(ctx context.Context, t task, more []task, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.wait.Broadcast()
	w.busy--
	w.tasks = append(w.tasks, more...)
	var numeric *sim.NonFiniteError
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.As(err, &numeric):
		w.fail(t, err)
		if w.options.FailFast {
			w.err = errFailFast
		}
	default:
		w.err = fmt.Errorf("%s: %w", w.run.name(t.ids()[0]), err)
	}
}

// ids are the places of a task's own cells.
func (t task) ids() []cellID {
	switch {
	case t.leaf != nil:
		return t.leaf.ids
	case t.branch != nil:
		return t.branch.ids
	}
	return t.trunk.branches[0].ids
}

// fail lists a cell that failed; what would have grown on it is done with.
func (w *worker) fail(t task, err error) {
	for _, id := range t.ids() {
		w.run.Failures = append(w.run.Failures, Failure{Cell: w.run.name(id), Err: err})
	}
	switch {
	case t.leaf != nil:
		w.step(t.leaf.ids)
	case t.branch != nil:
		w.skip(t.branch, t.missing)
	default:
		for _, b := range t.trunk.branches {
			w.skip(b, b.leaves)
		}
	}
}

func (w *worker) skip(b *branch, leaves []*leaf) {
	w.step(b.ids)
	for _, l := range leaves {
		w.step(l.ids)
	}
}

// step counts finished cells and tells of it.
func (w *worker) step(ids []cellID) {
	w.done += len(ids)
	if w.options.Progress != nil {
		w.options.Progress(Progress{Done: w.done, Total: w.total, What: w.run.name(ids[0])})
	}
}

// compute does a task and lists what it leads to. A panic fails its cells alone.
func (w *worker) compute(ctx context.Context, t task) (next []task, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this is a mistake of rlhfsim's, not yours: %v\n%s", p, debug.Stack())
		}
	}()
	if w.options.Doing != nil {
		ctx = sim.WithDoing(ctx, w.options.Doing(w.run.name(t.ids()[0])))
	}
	switch {
	case t.leaf != nil:
		return nil, w.computeArm(ctx, t)
	case t.branch != nil:
		return w.computeBranch(ctx, t)
	}
	return w.computeTrunk(ctx, t.trunk)
}

// computeTrunk finds what is missing, and pre-trains where that is needed for it.
func (w *worker) computeTrunk(ctx context.Context, t *trunk) ([]task, error) {
	var tasks []task
	needed := false
	for _, b := range t.branches {
		own := task{branch: b}
		for _, l := range b.leaves {
			found, err := w.reuse(l.ids, l.key)
			if err != nil {
				return nil, err
			}
			if !found {
				own.missing = append(own.missing, l)
			}
		}
		var err error
		if own.kept, err = w.reuse(b.ids, b.key); err != nil {
			return nil, err
		}
		if !own.kept || len(own.missing) > 0 {
			tasks = append(tasks, own)
			needed = needed || !own.kept || !b.config.Restorable()
		}
	}
	if !needed {
		return reversed(tasks), nil
	}
	lab, err := w.lab(ctx, t.branches[0].config)
	if err != nil {
		return nil, err
	}
	pretrained, err := lab.Pretrain(ctx, t.seed)
	if err != nil {
		return nil, err
	}
	for i := range tasks {
		tasks[i].pretrained = pretrained
	}
	return reversed(tasks), nil
}

func reversed(tasks []task) []task {
	for i, j := 0, len(tasks)-1; i < j; i, j = i+1, j-1 {
		tasks[i], tasks[j] = tasks[j], tasks[i]
	}
	return tasks
}

// computeBranch makes the shared stages and lists the arms to do on them.
func (w *worker) computeBranch(ctx context.Context, t task) ([]task, error) {
	lab, err := w.lab(ctx, t.branch.config)
	if err != nil {
		return nil, err
	}
	var s *sim.Shared
	if t.kept && t.branch.config.Restorable() {
		c, err := loadCell(w.run.Dir, t.branch.key, true)
		if err != nil {
			return nil, err
		}
		if s, err = restore(ctx, lab, t.branch.seed, c); err != nil {
			return nil, err
		}
	} else if s, err = t.pretrained.Label(ctx, lab); err != nil {
		return nil, err
	}
	if !t.kept {
		if err := w.keep(t.branch.ids, t.branch.key, sharedCell(s)); err != nil {
			return nil, err
		}
	}
	var tasks []task
	for _, l := range t.missing {
		tasks = append(tasks, task{leaf: l, shared: s})
	}
	return reversed(tasks), nil
}

func (w *worker) computeArm(ctx context.Context, t task) error {
	a := t.leaf.arm
	result, err := t.shared.RunArm(ctx, sim.Arm{Name: a.Name, Label: a.Label, Method: a.Method, Config: a.Config})
	if err != nil {
		return err
	}
	return w.keep(t.leaf.ids, t.leaf.key, armCell(a.Name, result))
}

// lab is the world of a configuration, made ready once for all that have it.
func (w *worker) lab(ctx context.Context, c sim.Config) (*sim.Lab, error) {
	key, err := digest(c.World, c.Policy.Order)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.labs[key]
	if l == nil {
		if len(w.labs) == 8 { // a sweep over worlds goes through them one by one
			clear(w.labs)
		}
		if l, err = sim.NewLab(ctx, c); err != nil {
			return nil, err
		}
		w.labs[key] = l
	}
	return l.With(c), nil
}

// reuse takes a cell from disk. A damaged one is set aside, told, and redone.
func (w *worker) reuse(ids []cellID, key string) (bool, error) {
	c, err := loadCell(w.run.Dir, key, false)
	if errors.Is(err, errCorrupt) {
		path := cellPath(w.run.Dir, key)
		w.notice(fmt.Sprintf("%s (%s): %v; it is kept as %s.damaged and computed again", path, w.run.name(ids[0]), err, path))
		return false, os.Rename(path, path+".damaged")
	}
	if err != nil || c == nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run.book(ids, key, c)
	w.run.Reused += len(ids)
	w.step(ids)
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
func (w *worker) keep(ids []cellID, key string, c *cell) error {
	if err := saveCell(w.run.Dir, key, c); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run.book(ids, key, c)
	w.step(ids)
	return nil
}
