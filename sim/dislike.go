package sim

import "rlhfsim/policy"

// Disliked lists the word groups that people would rather not hear at all: the
// first word of the group already lowers a response's worth.
func (w *World) Disliked() []string {
	var names []string
	for _, name := range w.Groups {
		if c, valued := w.tables[name]; valued && len(c) > 1 && c[1] < c[0] {
			names = append(names, name)
		}
	}
	return names
}

// Says is the exact probability that a response holds at least one word of any
// of the groups, averaged over prompts.
func (w *World) Says(c *policy.Chain, groups ...string) float64 {
	any := policy.Count{Kind: policy.CountWords, Hit: make([]bool, len(w.Prompts)*len(w.Words)), Worth: []float64{0, 1}}
	for i := range any.Hit {
		for _, g := range groups {
			any.Hit[i] = any.Hit[i] || w.Groups[w.Group[i%len(w.Words)]] == g
		}
	}
	return policy.NewEvaluator(w.Shape, w.Weights).ExpectCounts(c, policy.NewCountReward(w.Shape, policy.Counts{any}))
}
