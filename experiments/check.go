package experiments

import (
	"context"
	"fmt"
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

	Optimum []BestCase `json:"optimum"`
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
)

// NewPlan describes the experiment. Base, SFT and reward model of the first
// seed are trained for it, in memory, and the first steps of each method for an
// estimate of time; nothing is written.
func NewPlan(ctx context.Context, e *Experiment) (*Plan, error) {
	p := &Plan{Name: e.Name, Title: e.Title, Question: e.Question, Seeds: e.Seeds, Swept: e.Swept, Changed: e.Changed,
		Cells: e.Cells(), Jobs: runtime.GOMAXPROCS(0), Budget: policy.MaxStates}
	for _, a := range e.Points[0].Arms {
		p.Arms = append(p.Arms, a.Name)
	}
	shown := e.Points[:min(len(e.Points), shownPoints)]
	var work time.Duration
	for i, point := range shown {
		took, err := p.addPoint(ctx, e, point, i == 0)
		if err != nil {
			return nil, err
		}
		work += took
	}
	cells := float64(len(e.Seeds)) * float64(len(e.Points)) / float64(len(shown))
	p.Seconds = work.Seconds() * cells / float64(min(p.Jobs, p.Cells))
	return p, nil
}

// addPoint adds a point's best cases and returns what one seed of it takes.
func (p *Plan) addPoint(ctx context.Context, e *Experiment, point Point, first bool) (time.Duration, error) {
	started := time.Now()
	lab, err := sim.NewLab(point.Config)
	if err != nil {
		return 0, err
	}
	shared, err := lab.NewShared(ctx, e.Seeds[0])
	if err != nil {
		return 0, err
	}
	took := time.Since(started)
	p.Network = max(p.Network, lab.NetworkStates())
	if p.States = lab.States(); lab.TooLarge != nil {
		p.TooLarge = strings.TrimPrefix(lab.TooLarge.Error(), policy.ErrTooLarge.Error()+": ")
	}
	p.TableBytes = 8 * lab.World.Shape.Cells()
	p.MemoryBytes = max(p.MemoryBytes, memory(lab, p.Jobs))
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
		jStar, exact, err := shared.ProxyAt(beta)
		if err != nil {
			return 0, err
		}
		p.Optimum = append(p.Optimum, BestCase{Point: point.title(e.Swept), Arms: arms[beta], Beta: beta, JStar: jStar, Exact: exact, Gold: shared.GoldAt(beta)})
	}
	return took, nil
}

// probe extrapolates an arm's time from its first steps.
func probe(ctx context.Context, s *sim.Shared, a Arm) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	started := time.Now()
	done, total := s.Probe(ctx, sim.Arm{Name: a.Name, Method: a.Method, Config: a.Config})
	if done == 0 {
		return 0
	}
	return time.Since(started) * time.Duration(total) / time.Duration(done)
}

// memory is about what a run holds: for each cell worked on a dozen tables
// (policies, their probabilities, gradient and Adam's moments) and the lattice of
// counts forwards and, for gold's optimum, backwards.
func memory(l *sim.Lab, jobs int) int {
	s := l.World.Shape
	lattice := 8 * max(l.States(), l.NetworkStates()) * s.Contexts() * (2 + s.MaxLength)
	return jobs * (12*8*s.Cells() + lattice)
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
	fmt.Fprintf(&b, "cells      %d, about %s with %d at a time\nmemory     about %s; a policy's table %s\n",
		p.Cells, duration(p.Seconds), p.Jobs, size(p.MemoryBytes), size(p.TableBytes))
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
