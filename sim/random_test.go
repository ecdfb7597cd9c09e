package sim

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"rlhfsim/internal/field"
)

func randomConfig(words, groups, prompts, longest int) Config {
	c := Default()
	c.World.MaxLength = longest
	c.World.Random = RandomConfig{Words: words, Groups: groups, Prompts: prompts, Demonstrations: 10, Seed: 3}
	c.Base.Lines, c.Labels.Rankings, c.Labels.HeldOut = 300, 30, 30
	c.PPO.TotalEpisodes, c.PPO.BatchSize = 200, 50
	return c
}

func TestRandomWorldsOfAnySizeAreValid(t *testing.T) {
	for _, size := range [][4]int{{1, 1, 1, 1}, {2, 2, 1, 1}, {3, 3, 5, 2}, {7, 7, 2, 3}, {50, 6, 8, 4}, {300, 20, 3, 2}} {
		c := randomConfig(size[0], size[1], size[2], size[3])
		if err := c.Validate(); err != nil {
			t.Errorf("%v: %v", size, err)
			continue
		}
		if err := c.Expanded().Validate(); err != nil {
			t.Errorf("%v, written out: %v", size, err)
		}
		w, err := NewWorld(c)
		if err != nil {
			t.Fatal(err)
		}
		if w.Shape.Words != size[0] || w.Shape.Prompts != size[2] || len(w.Groups) != size[1] {
			t.Errorf("%v became %d words, %d prompts, %d groups", size, w.Shape.Words, w.Shape.Prompts, len(w.Groups))
		}
	}
	a, b := randomConfig(30, 4, 5, 4), randomConfig(30, 4, 5, 4)
	if !reflect.DeepEqual(a.Expanded(), b.Expanded()) {
		t.Error("the same seed gives two worlds")
	}
	b.World.Random.Seed++
	if reflect.DeepEqual(a.Expanded().World, b.Expanded().World) {
		t.Error("another seed gives the same world")
	}
}

func TestRandomWorldStandsAlone(t *testing.T) {
	c := smallConfig()
	c.World.Random = RandomConfig{Words: 5, Groups: 9, Prompts: 0, Demonstrations: 1}
	var paths []string
	for _, e := range field.All(c.Validate()) {
		paths = append(paths, e.Field)
	}
	all := strings.Join(paths, " ")
	for _, want := range []string{"world.random.groups", "world.random.prompts", "world.words", "world.prompt", "world.value", "base.weights", "sft.demonstrations"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not among the problems: %s", want, all)
		}
	}
}

// Over the budget nothing that was sampled stands under exact/.
func TestBeyondTheBudgetWinRatesAreEstimates(t *testing.T) {
	c := randomConfig(24, 12, 2, 12)
	l, err := NewLab(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if l.TooLarge == nil || !strings.Contains(l.TooLarge.Error(), "states × 25 contexts, the budget is") {
		t.Fatalf("the lattice of 12 counts fits: %v", l.TooLarge)
	}
	s := mustShared(t, c, 1)
	last := s.Rows[len(s.Rows)-1]
	if math.IsNaN(last.Get("mc/rater_agreement_se")) || !math.IsNaN(last.Get("exact/rater_agreement")) {
		t.Error("the agreement of raters is not an estimate with its error")
	}
	for _, row := range s.Rows {
		if !math.IsNaN(row.Get("exact/win_rate")) {
			t.Fatal("an estimated win rate stands under exact/")
		}
	}
	if s.Frontier.Gold != nil {
		t.Error("a frontier of gold was found without its distribution")
	}
}
