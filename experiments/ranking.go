package experiments

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pretty "github.com/jedib0t/go-pretty/v6/table"

	"rlhfsim/internal/stats"
)

// Place is an arm's place in a ranking by its distance from the best possible
// objective, exact/gap.
type Place struct {
	// Rank is shared by arms whose paired difference to the first of them is not
	// decided: its 95 % interval contains 0.
	Rank    int
	Arm     string
	Label   string
	Gap     stats.Interval
	Gold    stats.Interval
	KL      stats.Interval
	OfJStar stats.Interval
}

// rankedArms is the number of arms from which a run has a ranking.
const rankedArms = maxLines + 1

// Ranking orders a point's arms, the smallest gap first; empty where there are
// few arms, or where they have different objectives.
func (r *Run) Ranking(point int) []Place {
	p := r.Experiment.Points[point]
	if len(p.Arms) < rankedArms || slices.ContainsFunc(p.Arms, func(a Arm) bool { return a.Config.Objective != p.Arms[0].Config.Objective }) {
		return nil
	}
	var places []Place
	gaps := map[string][]float64{}
	for arm, a := range p.Arms {
		g := r.group(point, arm, a.Method)
		if len(g.Runs) < len(r.Experiment.Seeds) {
			continue // some of its cells failed
		}
		gaps[a.Name] = g.Final("exact/gap")
		places = append(places, Place{Arm: a.Name, Label: a.Label, Gap: g.Interval("exact/gap"), Gold: g.Interval("exact/gold_reward"), KL: g.Interval("exact/kl"), OfJStar: g.line("").OfJStar})
	}
	slices.SortStableFunc(places, func(a, b Place) int {
		switch {
		case a.Gap.Mean < b.Gap.Mean:
			return -1
		case a.Gap.Mean > b.Gap.Mean:
			return 1
		}
		return 0
	})
	first := 0
	for i := range places {
		d := stats.PairedDifference(gaps[places[i].Arm], gaps[places[first].Arm], level, resamples, "exact/gap")
		if d.Low > 0 {
			first = i
		}
		places[i].Rank = first + 1
	}
	return places
}

func (r *Run) rankingTable(point int) pretty.Writer {
	t := plainTable()
	t.AppendHeader(pretty.Row{"rank", "", "gap", "of J*", "gold reward", "KL, nats"})
	for _, p := range r.Ranking(point) {
		t.AppendRow(pretty.Row{p.Rank, p.Label, two(p.Gap), rate(p.OfJStar), two(p.Gold), mean2(p.KL)})
	}
	return t
}

// rankingMarkdown is ranking.md, "" where no point has a ranking.
func (r *Run) rankingMarkdown() string {
	var b strings.Builder
	for point, p := range r.Experiment.Points {
		if len(r.Ranking(point)) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# %s: arms by their distance from the best possible\n\n", r.Experiment.Title)
		if title := p.title(r.Experiment.Swept); title != "" {
			fmt.Fprintf(&b, "%s\n\n", title)
		}
		fmt.Fprintf(&b, "%s\n\n", r.rankingTable(point).RenderMarkdown())
	}
	if b.Len() > 0 {
		fmt.Fprintf(&b, "Gap: J* − J, J = proxy − β KL, exact; mean [95 %% interval] over %d seeds. Arms share a rank with the first of them while their paired difference is undecided.\n", len(r.Experiment.Seeds))
	}
	return b.String()
}

// rankingCSV is the same in numbers.
func (r *Run) rankingCSV() []byte {
	lines := [][]string{append(slices.Clone(r.Experiment.Swept), "rank", "arm", "n", "gap", "ci_low", "ci_high", "gold_reward", "kl")}
	for point, p := range r.Experiment.Points {
		for _, place := range r.Ranking(point) {
			lines = append(lines, slices.Concat(p.Values, []string{strconv.Itoa(place.Rank), place.Arm, strconv.Itoa(place.Gap.N), number(place.Gap.Mean), number(place.Gap.Low), number(place.Gap.High), number(place.Gold.Mean), number(place.KL.Mean)}))
		}
	}
	return writeCSV(lines)
}
