package experiments

import (
	"context"
	"fmt"
	"strings"

	"rlhfsim/sim"
)

// Plan is what an experiment would do, and the best it could do.
type Plan struct {
	Name     string     `json:"name"`
	Title    string     `json:"title"`
	Question string     `json:"question,omitempty"`
	Cells    int        `json:"cells"`
	Seeds    []uint64   `json:"seeds"`
	Arms     []string   `json:"arms"`
	Swept    []string   `json:"swept,omitempty"`
	Changed  []Change   `json:"changed,omitempty"`
	Table    int        `json:"table_bytes"`    // one policy's table
	States   int        `json:"lattice_states"` // behind exact win rates, for each context; 0: too many, they are estimated
	Optimum  []BestCase `json:"optimum"`
}

// BestCase is the exact optimum of the learned reward at one β, for the first seed.
type BestCase struct {
	Point string    `json:"point,omitempty"`
	Arm   string    `json:"arm"`
	Beta  float64   `json:"beta"`
	JStar float64   `json:"j_star"`
	Exact sim.Exact `json:"exact"`
	Gold  sim.Exact `json:"gold"` // the optimum for gold itself
}

// NewPlan describes the experiment. Base, SFT and reward model of the first
// seed are trained for it, in memory; nothing is written.
func NewPlan(ctx context.Context, e *Experiment) (*Plan, error) {
	p := &Plan{Name: e.Name, Title: e.Title, Question: e.Question, Seeds: e.Seeds, Swept: e.Swept, Changed: e.Changed}
	for _, a := range e.Points[0].Arms {
		p.Arms = append(p.Arms, a.Name)
	}
	p.Cells = e.Cells()
	const shown = 12 // points beyond these would fill the screen and the minute
	for i, point := range e.Points {
		if i == shown {
			break
		}
		if err := p.addOptimum(ctx, e, point); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Plan) addOptimum(ctx context.Context, e *Experiment, point Point) error {
	lab, err := sim.NewLab(point.Config)
	if err != nil {
		return err
	}
	p.Table, p.States = 8*lab.World.Shape.Cells(), lab.States()
	shared, err := lab.NewShared(ctx, e.Seeds[0])
	if err != nil {
		return err
	}
	seen := map[float64]bool{}
	for _, a := range point.Arms {
		beta := a.Config.Objective.Beta
		if seen[beta] {
			continue
		}
		seen[beta] = true
		o, exact, err := shared.Optimum(beta)
		if err != nil {
			return err
		}
		p.Optimum = append(p.Optimum, BestCase{Point: point.title(e.Swept), Arm: a.Name, Beta: beta, JStar: o.Value, Exact: exact, Gold: shared.GoldOptimum(beta)})
	}
	return nil
}

// Text is the plan for a terminal.
func (p *Plan) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", p.Name, p.Title)
	if p.Question != "" {
		fmt.Fprintf(&b, "%s\n", p.Question)
	}
	fmt.Fprintf(&b, "\narms       %s\nseeds      %d\n", strings.Join(p.Arms, ", "), len(p.Seeds))
	if len(p.Swept) > 0 {
		fmt.Fprintf(&b, "swept      %s\n", strings.Join(p.Swept, ", "))
	}
	fmt.Fprintf(&b, "cells      %d\ntable      %.1f kB a policy\n", p.Cells, float64(p.Table)/1000)
	if p.States > 0 {
		fmt.Fprintf(&b, "lattice    %d count states for each context: win rates are exact\n", p.States)
	} else {
		b.WriteString("lattice    too large for exact win rates: they are estimated from samples\n")
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
	fmt.Fprintf(&b, "\nthe best possible policy (exact, seed %d)\n", p.Seeds[0])
	for _, o := range p.Optimum {
		if o.Point != "" {
			fmt.Fprintf(&b, "  %s\n", o.Point)
		}
		fmt.Fprintf(&b, "  β = %-6s for the proxy  J* %5s   gold %5s   KL %5.2f nats   win rate %.1f %%   proxy %s\n", number(o.Beta), signed(o.JStar), signed(o.Exact.Gold), o.Exact.KL, 100*o.Exact.WinRate, signed(o.Exact.Proxy))
		if o.Gold.HasObjective {
			fmt.Fprintf(&b, "  %-10s for gold       J* %5s   gold %5s   KL %5.2f nats   win rate %.1f %%\n", "", signed(o.Gold.Objective), signed(o.Gold.Gold), o.Gold.KL, 100*o.Gold.WinRate)
		}
	}
	return b.String()
}
