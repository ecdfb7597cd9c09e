package experiments

import (
	"cmp"
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
	// decided: its 95 % interval contains 0. With fewer than minSeeds seeds none
	// can be, and the rank is the place.
	Rank int
	Gap  stats.Interval
	Line
}

// rankedArms is the number of arms from which a run has a ranking.
const rankedArms = maxLines + 1

// Ranking orders a point's arms, the smallest gap first; empty where there are
// few arms, or where they have different objectives.
func (r *Run) Ranking(point int) []Place {
	places, known := r.rankings[point]
	if !known {
		places = r.rank(point)
		r.rankings[point] = places
	}
	return places
}

func (r *Run) rank(point int) []Place {
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
		line := g.line(a.Label, a.Config.Objective.Beta)
		line.Arm = a.Name
		places = append(places, Place{Gap: g.Interval("exact/gap"), Line: line})
	}
	slices.SortStableFunc(places, func(a, b Place) int { return cmp.Compare(a.Gap.Mean, b.Gap.Mean) })
	first := 0
	for i := range places {
		if !r.decides() || stats.PairedDifference(gaps[places[i].Arm], gaps[places[first].Arm], level, resamples, "exact/gap").Low > 0 {
			first = i
		}
		places[i].Rank = first + 1
	}
	return places
}

// decides reports whether there are seeds enough to decide a difference.
func (r *Run) decides() bool { return len(r.Experiment.Seeds) >= minSeeds }

func (r *Run) rankingTable(point int) pretty.Writer {
	t := plainTable()
	head := pretty.Row{"no.", "rank", "", "gap", "of J*", "gold reward", "KL, nats"}
	if !r.decides() {
		head = slices.Delete(head, 1, 2)
	}
	t.AppendHeader(head)
	for i, p := range r.Ranking(point) {
		row := pretty.Row{i + 1, p.Rank, p.Label, two(p.Gap), p.ofJStar(), two(p.Gold), mean2(p.KL)}
		if !r.decides() {
			row = slices.Delete(row, 1, 2)
		}
		t.AppendRow(row)
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
		if lacking := r.lacking(point); lacking != "" {
			fmt.Fprintf(&b, "Not ranked, because cells failed: %s.\n\n", lacking)
		}
	}
	if b.Len() > 0 {
		fmt.Fprintf(&b, "Gap: J* − J, J = proxy − β KL, exact%s\n", r.rankingNote())
	}
	return b.String()
}

// rankingNote says how far the order can be trusted.
func (r *Run) rankingNote() string {
	switch n := len(r.Experiment.Seeds); {
	case n == 1:
		return ". 1 seed, so no intervals: the order is that of this seed."
	case !r.decides():
		return fmt.Sprintf("; mean [95 %% interval] over %d seeds. Fewer than %d seeds decide no difference: the order is that of these seeds.", n, minSeeds)
	default:
		return fmt.Sprintf("; mean [95 %% interval] over %d seeds. Arms share a rank with the first of them while their paired difference is undecided.", n)
	}
}

// lacking names a point's arms of which cells are missing, "" where there is none.
func (r *Run) lacking(point int) string {
	var names []string
	seeds := len(r.Experiment.Seeds)
	for arm, a := range r.Experiment.Points[point].Arms {
		done := 0
		for seed := range seeds {
			if _, there := r.keys[cellID{point, arm, seed}]; there {
				done++
			}
		}
		if done < seeds {
			names = append(names, fmt.Sprintf("%s (%d of %s done)", a.Label, done, plural(seeds, "seed")))
		}
	}
	return strings.Join(names, ", ")
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
