package ppo

import (
	"cmp"
	"math"
	"slices"

	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// Selection is a rule for what to learn of a batch of responses by their rewards. The
// random ones are controls that learn as many and ignore the rewards: what a rule gains
// over its control is what the rewards are worth (Lambert 2025, the RLHF book's chapter
// on rejection sampling, whose names these are, but for "percentile").
type Selection struct {
	Name, Idea, Paper string
	Rises             bool // chosen anew, and more strictly, for each update on the batch
	choose            func(b *choice, r *rng.Stream)
}

// choice is a batch to choose from, in groups of responses to the same prompt.
type choice struct {
	size     int // n, responses in a group
	reward   []float64
	response []policy.Response
	level    float64 // the quantile of "percentile" at this update

	kept  []int // what was chosen
	order []int // room for all responses
	sort  []float64
}

// Selections is the table of rules.
var Selections = []Selection{
	{Name: "top_per_prompt", Idea: "the best response of each group", Paper: "Dong et al. 2023, RAFT, arXiv 2304.06767", choose: topPerPrompt},
	{Name: "top_k_overall", Idea: "as many of the best responses of the whole batch, whatever their prompts", Paper: "Lambert 2025, RLHF book, rejection sampling", choose: topKOverall},
	{Name: "random_per_prompt", Idea: "any response of each group, the control of top_per_prompt", Paper: "Lambert 2025, RLHF book, rejection sampling", choose: randomPerPrompt},
	{Name: "random_k_overall", Idea: "as many of any responses of the batch, the control of top_k_overall", Paper: "Lambert 2025, RLHF book, rejection sampling", choose: randomKOverall},
	{Name: "percentile", Idea: "the different responses of each group from a quantile of its rewards on, which rises from update to update", Paper: "Gulcehre et al. 2023, ReST, arXiv 2308.08998; trlX's RFT", Rises: true, choose: fromPercentile},
}

// selection is the rule of that name; the zero rule where there is none.
func selection(name string) Selection {
	for _, s := range Selections {
		if s.Name == name {
			return s
		}
	}
	return Selection{}
}

// groups calls f with the first response of each group.
func (b *choice) groups(f func(from int)) {
	for from := 0; from < len(b.reward); from += b.size {
		f(from)
	}
}

func topPerPrompt(b *choice, _ *rng.Stream) {
	b.groups(func(from int) { b.kept = append(b.kept, from+best(b.reward[from:from+b.size])) })
}

// best is the index of the highest reward, the first where several are.
func best(rewards []float64) int {
	at := 0
	for i, r := range rewards {
		if r > rewards[at] {
			at = i
		}
	}
	return at
}

// topKOverall keeps one response a group in number, of equal ones the first.
func topKOverall(b *choice, _ *rng.Stream) {
	b.number()
	slices.SortFunc(b.order, func(i, j int) int {
		return cmp.Or(cmp.Compare(b.reward[j], b.reward[i]), cmp.Compare(i, j))
	})
	b.kept = append(b.kept, b.order[:len(b.order)/b.size]...)
}

func randomPerPrompt(b *choice, r *rng.Stream) {
	b.groups(func(from int) { b.kept = append(b.kept, from+r.IntN(b.size)) })
}

// randomKOverall draws without replacement.
func randomKOverall(b *choice, r *rng.Stream) {
	b.number()
	r.Shuffle(b.order)
	b.kept = append(b.kept, b.order[:len(b.order)/b.size]...)
}

// number sets order to 0, 1, ….
func (b *choice) number() {
	b.order = b.order[:0]
	for i := range b.reward {
		b.order = append(b.order, i)
	}
}

// fromPercentile keeps r(y_i) ≥ the quantile of the group's rewards, each response once.
func fromPercentile(b *choice, _ *rng.Stream) {
	b.groups(func(from int) {
		b.sort = append(b.sort[:0], b.reward[from:from+b.size]...)
		slices.Sort(b.sort)
		threshold, first := quantile(b.sort, b.level), len(b.kept)
		for i := from; i < from+b.size; i++ {
			if b.reward[i] >= threshold && !slices.ContainsFunc(b.kept[first:], func(k int) bool { return slices.Equal(b.response[k], b.response[i]) }) {
				b.kept = append(b.kept, i)
			}
		}
	})
}

// quantile is that of sorted numbers, linear between them as numpy's.
func quantile(sorted []float64, q float64) float64 {
	at := float64(q * float64(len(sorted)-1))
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + float64((at-float64(low))*(sorted[high]-sorted[low]))
}
