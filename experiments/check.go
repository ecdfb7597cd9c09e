package experiments

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	pretty "github.com/jedib0t/go-pretty/v6/table"

	"rlhfsim/policy"
	"rlhfsim/sim"
)

// Plan is what an experiment would do, and the best it could do.
type Plan struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Question string   `json:"question,omitempty"`
	Cells    int      `json:"cells"`
	Seeds    []uint64 `json:"seeds"`
	Arms     []string `json:"arms"`
	Swept    []string `json:"swept,omitempty"`
	Changed  []Change `json:"changed,omitempty"`

	TableBytes  int     `json:"table_bytes"`    // of one policy's table
	MemoryBytes int     `json:"memory_bytes"`   // of a run, about
	Jobs        int     `json:"jobs"`           // cells worked on at the same time
	Seconds     float64 `json:"seconds"`        // of a run, extrapolated from a few steps of each method
	Network     int     `json:"network_states"` // behind a network's exact proxy, for each context; 0: no network
	States      int     `json:"lattice_states"` // behind exact win rates, for each context; 0: over the budget
	Budget      int     `json:"lattice_budget"` // states × contexts
	TooLarge    string  `json:"lattice_too_large,omitempty"`

	Optimum []BestCase `json:"optimum"`                   // empty where it would take too long here
	Skipped float64    `json:"skipped_seconds,omitempty"` // that it would take, about
}

// BestCase is what is best possible at one β, for the first seed: the optimum of
// the learned reward and that of gold.
type BestCase struct {
	Point string    `json:"point,omitempty"`
	Arms  []string  `json:"arms,omitempty"` // those that have this β
	Beta  float64   `json:"beta"`
	JStar float64   `json:"j_star"`
	Exact sim.Exact `json:"exact"`
	Gold  sim.Exact `json:"gold"` // of the optimum for gold itself
}

// The optimum table's own β, besides those of the arms.
var tableBetas = []float64{0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5}

const (
	shownPoints = 12                     // points beyond these would fill the screen and the minute
	probeTime   = 150 * time.Millisecond // of each method's training

	// What would take longer than this many seconds, or so many bytes, is foretold
	// and not computed.
	longestCheck, largestCheck = 60, 8 << 30
)

// NewPlan describes the experiment. Base, SFT and reward model of the first
// seed are trained for it, in memory, and the first steps of each method for an
// estimate of time; nothing is written. In a world too large for that, the sizes
// of its tables tell the time.
func NewPlan(ctx context.Context, e *Experiment, stderr io.Writer) (*Plan, error) {
	p := &Plan{Name: e.Name, Title: e.Title, Question: e.Question, Seeds: e.Seeds, Swept: e.Swept, Changed: e.Changed,
		Cells: e.Cells(), Jobs: runtime.GOMAXPROCS(0), Budget: policy.MaxStates, Optimum: []BestCase{}}
	for _, a := range e.Points[0].Arms {
		p.Arms = append(p.Arms, a.Name)
	}
	shown := e.Points[:min(len(e.Points), shownPoints)]
	slow := newProgress(stderr, false)
	defer slow.stop()
	if err := p.foresee(sim.WithDoing(ctx, slow.doing("")), e, shown); err != nil || p.Skipped > 0 {
		return p, err
	}
	var work time.Duration
	for i, point := range shown {
		took, err := p.addPoint(sim.WithDoing(ctx, slow.doing(point.title(e.Swept))), e, point, i == 0)
		if err != nil {
			return nil, err
		}
		work += took
	}
	p.Seconds = p.wholeRun(work.Seconds(), e, len(shown))
	return p, nil
}

// wholeRun extrapolates from the work on one seed of some points.
func (p *Plan) wholeRun(work float64, e *Experiment, points int) float64 {
	cells := float64(len(e.Seeds)) * float64(len(e.Points)) / float64(points)
	return work * cells / float64(min(p.Jobs, p.Cells))
}

// foresee tells time and memory from the sizes of tables, and whether the plan
// ends with that.
func (p *Plan) foresee(ctx context.Context, e *Experiment, points []Point) error {
	check, run, held := 0.0, 0.0, 0
	for i, point := range points {
		f, err := sim.Foresee(ctx, point.Config)
		if err != nil {
			return err
		}
		betas := map[float64]bool{}
		for _, a := range point.Arms {
			betas[a.Config.Objective.Beta] = true
		}
		extra := 0
		if i == 0 {
			extra = len(tableBetas)
		}
		check += f.Shared + f.Optimum*float64(len(betas)+extra)
		run += f.Shared + f.Optimum*float64(len(betas)) + f.Arm*float64(len(point.Arms))
		held = max(held, f.Held+f.Cell)
		p.describe(f.Table, f.States, f.TooLarge)
		p.MemoryBytes = max(p.MemoryBytes, f.Held+max(f.Asked, p.Jobs*f.Cell))
	}
	if check > longestCheck || held > largestCheck {
		p.Skipped, p.Seconds = check, p.wholeRun(run, e, len(points))
	}
	return nil
}

// addPoint adds a point's best cases and returns what one seed of it takes.
func (p *Plan) addPoint(ctx context.Context, e *Experiment, point Point, first bool) (time.Duration, error) {
	started := time.Now()
	lab, err := sim.NewLab(ctx, point.Config)
	if err != nil {
		return 0, err
	}
	shared, err := lab.NewShared(ctx, e.Seeds[0])
	if err != nil {
		return 0, err
	}
	took := time.Since(started)
	p.Network = max(p.Network, lab.NetworkStates())
	p.describe(8*lab.World.Shape.Cells(), lab.States(), lab.TooLarge)
	network := 8 * p.Network * lab.World.Shape.Contexts() * (2 + lab.World.Shape.MaxLength) // its lattice, forwards and backwards
	p.MemoryBytes = max(p.MemoryBytes, p.Jobs*(12*p.TableBytes+network))
	arms := map[float64][]string{}
	for _, a := range point.Arms {
		arms[a.Config.Objective.Beta] = append(arms[a.Config.Objective.Beta], a.Name)
		took += probe(ctx, shared, a)
	}
	var betas []float64
	for beta := range arms {
		betas = append(betas, beta)
	}
	if first {
		betas = append(betas, tableBetas...)
	}
	slices.Sort(betas)
	for _, beta := range slices.Compact(betas) {
		jStar, exact, err := shared.ProxyAt(ctx, beta)
		if err != nil {
			return 0, err
		}
		p.Optimum = append(p.Optimum, BestCase{Point: point.title(e.Swept), Arms: arms[beta], Beta: beta, JStar: jStar, Exact: exact, Gold: shared.GoldAt(beta)})
	}
	return took, nil
}

// probe extrapolates an arm's time from its first steps.
func probe(ctx context.Context, s *sim.Shared, a Arm) time.Duration {
	started := time.Now()
	done, total := s.Probe(ctx, sim.Arm{Name: a.Name, Method: a.Method, Config: a.Config}, func() bool { return time.Since(started) >= probeTime })
	if done == 0 {
		return 0
	}
	return time.Since(started) * time.Duration(total) / time.Duration(done)
}

// describe notes the sizes of a point's world.
func (p *Plan) describe(table, states int, tooLarge error) {
	if p.TableBytes, p.States = table, states; tooLarge != nil {
		p.TooLarge = strings.TrimPrefix(tooLarge.Error(), policy.ErrTooLarge.Error()+": ")
	}
}

// Text is the plan for a terminal.
func (p *Plan) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", p.Name, p.Title)
	if p.Question != "" {
		fmt.Fprintf(&b, "%s\n", p.Question)
	}
	fmt.Fprintf(&b, "\narms       %s\nseeds      %d\n", wrapped(strings.Join(p.Arms, ", "), 11), len(p.Seeds))
	if len(p.Swept) > 0 {
		fmt.Fprintf(&b, "swept      %s\n", strings.Join(p.Swept, ", "))
	}
	about := "about"
	if p.Skipped > 0 {
		about = "at least about" // the arms' training is not in it
	}
	fmt.Fprintf(&b, "cells      %d, %s %s with %d at a time\nmemory     about %s; a policy's table %s\n",
		p.Cells, about, duration(p.Seconds), p.Jobs, size(p.MemoryBytes), size(p.TableBytes))
	if p.TooLarge == "" {
		fmt.Fprintf(&b, "lattice    %d count states for each context: win rates and gold's optimum are exact\n", p.States)
	} else {
		fmt.Fprintf(&b, "lattice    %s:\n           win rates are estimated from samples (mc/…, with standard errors), gold's optimum is unknown\n", p.TooLarge)
	}
	if p.Network > 0 {
		fmt.Fprintf(&b, "network    %d count states for each context: its proxy and optimum are exact\n", p.Network)
	}
	if len(p.Changed) > 0 {
		b.WriteString("\nset here\n")
		for _, c := range p.Changed {
			was := c.Was
			if was != "" {
				was += " → "
			}
			fmt.Fprintf(&b, "  %s  %s%s   (%s)\n", c.Path, was, c.Value, c.From)
		}
	}
	if p.Skipped > 0 {
		fmt.Fprintf(&b, "\nThe best possible policy is not computed here: it would take about %s. A run computes it, and Ctrl-C stops it.\nFewer words or prompts, or a smaller world.max_length, make it quick.\n", duration(p.Skipped))
		return b.String()
	}
	fmt.Fprintf(&b, "\nthe best possible policy (exact, seed %d): the optimum of the learned reward (proxy), and of gold\n%s\n", p.Seeds[0], trimRight(p.table().Render()))
	return b.String()
}

// table is the optimum table.
func (p *Plan) table() pretty.Writer {
	t := plainTable()
	head := pretty.Row{"β", "proxy's: gold", "proxy", "KL", "win rate", "gold's: gold", "KL", "win rate", ""}
	if len(p.Swept) > 0 {
		head = append(pretty.Row{"point"}, head...)
	}
	t.AppendHeader(head)
	for _, o := range p.Optimum {
		about := ""
		if o.Exact.WinRateSE > 0 {
			about = "≈ "
		}
		row := pretty.Row{number(o.Beta), signed(o.Exact.Gold), signed(o.Exact.Proxy), fmt.Sprintf("%.2f", o.Exact.KL), fmt.Sprintf("%s%.1f %%", about, 100*o.Exact.WinRate)}
		if o.Gold.HasObjective {
			row = append(row, signed(o.Gold.Gold), fmt.Sprintf("%.2f", o.Gold.KL), fmt.Sprintf("%.1f %%", 100*o.Gold.WinRate))
		} else {
			row = append(row, "?", "?", "?")
		}
		who := strings.Join(o.Arms, ", ")
		if len(o.Arms) > 3 {
			who = plural(len(o.Arms), "arm")
		}
		row = append(row, who)
		if len(p.Swept) > 0 {
			row = append(pretty.Row{o.Point}, row...)
		}
		t.AppendRow(row)
	}
	return t
}

func duration(seconds float64) string {
	switch {
	case seconds < 1:
		return "a second"
	case seconds < 120:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 7200:
		return fmt.Sprintf("%.0f min", seconds/60)
	}
	return fmt.Sprintf("%.0f h", seconds/3600)
}

func size(bytes int) string {
	switch {
	case bytes < 1_000_000:
		return fmt.Sprintf("%.0f kB", float64(bytes)/1e3)
	case bytes < 1_000_000_000:
		return fmt.Sprintf("%.0f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}
