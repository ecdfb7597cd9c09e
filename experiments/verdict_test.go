package experiments

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"rlhfsim/internal/rng"
	"rlhfsim/sim"
)

// synthetic is a run with one point and the arms a and b (method ppo), whose
// cells hold given curves: curves[arm][seed] are values of "m" at steps 0, 10, …,
// at a KL of step/10.
func synthetic(c Claim, curves map[string][][]float64) *Run {
	r := &Run{Experiment: &Experiment{Claims: []Claim{c}, Points: []Point{{}}}, forClaims: map[cellID][]sim.Row{}}
	p := &r.Experiment.Points[0]
	for _, name := range []string{"a", "b"} {
		for seed, curve := range curves[name] {
			if seed >= len(r.Experiment.Seeds) {
				r.Experiment.Seeds = append(r.Experiment.Seeds, uint64(seed))
			}
			r.forClaims[cellID{0, len(p.Arms), seed}] = curveRows("ppo", curve)
		}
		p.Arms = append(p.Arms, Arm{Name: name, Method: "ppo"})
	}
	for seed, curve := range curves["sft"] {
		r.forClaims[cellID{0, -1, seed}] = append(curveRows("base", []float64{-100}), curveRows("sft", curve)...)
	}
	return r
}

func curveRows(stage string, curve []float64) (rows []sim.Row) {
	for i, v := range curve {
		row := sim.Row{Stage: stage, Step: 10 * i, Metrics: []sim.Metric{{Name: overKL, Value: float64(i)}}}
		if !math.IsNaN(v) {
			row.Metrics = append(row.Metrics, sim.Metric{Name: "m", Value: v})
		}
		rows = append(rows, row)
	}
	return rows
}

// ends are curves of one record each.
func ends(values ...float64) [][]float64 {
	var out [][]float64
	for _, v := range values {
		out = append(out, []float64{v})
	}
	return out
}

var (
	near   = ends(1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.01) // mean 1.00125
	spread = ends(3, -2, 2.5, -1.5, 2, -2.5, 3.5, -1)          // mean 0.5
	last   = Moment{Kind: "last"}
	nan    = math.NaN()
)

func sideNamed(name string) Side { return Side{Name: name, At: last} }

func TestVerdicts(t *testing.T) {
	number := func(is string, than, by float64) Claim {
		return Claim{Metric: "m", Of: sideNamed("a"), Is: is, Number: than, By: by}
	}
	than := func(is string, by float64) Claim {
		return Claim{Metric: "m", Of: sideNamed("a"), Is: is, Than: sideNamed("b"), By: by}
	}
	trend := func(kind, over string, by float64) Claim {
		return Claim{Metric: "m", Of: sideNamed("a"), Trend: kind, Over: over, By: by}
	}
	a := func(curves [][]float64) map[string][][]float64 { return map[string][][]float64{"a": curves} }
	with := func(curves, b [][]float64) map[string][][]float64 {
		return map[string][][]float64{"a": curves, "b": b}
	}
	up := [][]float64{{0, 1, 2}, {0, 1.1, 2.2}, {0.1, 1, 1.9}, {0, 0.9, 2}, {0, 1, 2.1}}
	hump := [][]float64{{0, 3, 1}, {0, 3.2, 1.1}, {0.1, 2.9, 1}, {0, 3, 0.8}, {0, 3.1, 1}}
	for name, test := range map[string]struct {
		claim Claim
		runs  map[string][][]float64
		want  string
	}{
		"above a number":             {number("above", 0.5, 0), a(near), holds},
		"not above a number":         {number("above", 1.5, 0), a(near), fails},
		"above, near the boundary":   {number("above", 1.0, 0), a(near), undecided},
		"above by less than claimed": {number("above", 0.5, 0.6), a(near), fails},
		"above by more than claimed": {number("above", 0.5, 0.4), a(near), holds},
		"below a number":             {number("below", 1.5, 0), a(near), holds},
		"not below a number":         {number("below", 0.5, 0), a(near), fails},
		"below by less than claimed": {number("below", 1.5, 0.6), a(near), fails},
		"below, wide":                {number("below", 0.5, 0), a(spread), undecided},
		"equal within the margin":    {number("equal", 1.1, 0.2), a(near), holds},
		"equal, above the margin":    {number("equal", 0.5, 0.2), a(near), fails},
		"equal, below the margin":    {number("equal", 1.5, 0.2), a(near), fails},
		"equal, too wide to say":     {number("equal", 0.5, 0.2), a(spread), undecided},
		"a mean of exactly nothing":  {number("above", 1, 0), a(ends(1, 1, 1, 1, 1)), fails},

		"above an arm, paired":     {than("above", 0), with(spread, shifted(spread, -0.01)), holds},
		"below an arm, paired":     {than("below", 0), with(spread, shifted(spread, 0.01)), holds},
		"above itself":             {than("above", 0), with(spread, spread), fails},
		"equal to the last digit":  {than("equal", 0), with(spread, spread), holds},
		"equal but for one digit":  {than("equal", 0), with(ends(1, 2, 3, 4, 5), ends(1, 2, 3, 4, 5.000001)), fails},
		"equal, one seed":          {than("equal", 0), with(ends(1), ends(1)), holds},
		"not equal, one seed":      {than("equal", 0), with(ends(1), ends(2)), fails},
		"one seed":                 {than("above", 0), with(ends(5), ends(1)), undecided},
		"four seeds":               {than("above", 0), with(ends(5, 5, 5, 5), ends(1, 1, 1, 1)), undecided},
		"five seeds":               {than("above", 0), with(ends(5, 5, 5, 5, 5), ends(1, 1, 1, 1, 1)), holds},
		"above a shared stage":     {Claim{Metric: "m", Of: sideNamed("a"), Is: "above", Than: sideNamed("sft")}, map[string][][]float64{"a": near, "sft": shifted(near, -1)}, holds},
		"a shared stage":           {Claim{Metric: "m", Of: sideNamed("sft"), Is: "below", Number: 2}, map[string][][]float64{"a": near, "sft": near}, holds},
		"never measured":           {number("above", 0, 0), a([][]float64{{nan}, {nan}, {nan}, {nan}, {nan}}), undecided},
		"not measured in one seed": {number("above", 0, 0), a(append(ends(1, 2, 1, 2, 1), []float64{nan})), undecided},

		"rises":                   {trend("rises", overStep, 0), a(up), holds},
		"rises by 1":              {trend("rises", overStep, 1), a(up), holds},
		"rises by 3":              {trend("rises", overStep, 3), a(up), fails},
		"does not fall":           {trend("falls", overStep, 0), a(up), fails},
		"falls":                   {trend("falls", overStep, 1), a(negated(up)), holds},
		"rises over KL":           {trend("rises", overKL, 0), a(up), holds},
		"peaks":                   {trend("peaks inside", overStep, 1.5), a(hump), holds},
		"peaks less than claimed": {trend("peaks inside", overStep, 2.5), a(hump), fails},
		"peaks over KL":           {trend("peaks inside", overKL, 1.5), a(hump), holds},
		"no peak in a rise":       {trend("peaks inside", overStep, 0), a(up), fails},
		"no dip in a hump":        {trend("dips inside", overStep, 0), a(hump), fails},
		"dips":                    {trend("dips inside", overStep, 1.5), a(negated(hump)), holds},
		"unequal lengths":         {trend("rises", overStep, 1.5), a(append(up[:4:4], []float64{0, 1, 2.1, -90, -90})), holds},
		"a trend of few seeds":    {trend("rises", overStep, 0), a(up[:3]), undecided},
		"a trend of two records":  {trend("peaks inside", overStep, 0), a([][]float64{{1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}}), undecided},
	} {
		t.Run(name, func(t *testing.T) {
			got := synthetic(test.claim, test.runs).Verdicts()
			if len(got) != 1 || got[0].Verdict != test.want {
				t.Errorf("%+v, want %s", got, test.want)
			}
			if got[0].Verdict == undecided && got[0].why() == "" {
				t.Error("undecided, and it does not say why")
			}
		})
	}
}

func shifted(curves [][]float64, by float64) [][]float64 {
	var out [][]float64
	for _, y := range curves {
		s := make([]float64, len(y))
		for i := range y {
			s[i] = y[i] + by
		}
		out = append(out, s)
	}
	return out
}

// The number of a claim, worked out by hand.
func TestContrasts(t *testing.T) {
	curve := [][]float64{{nan, 1, 4, 2, 3}} // steps 0 to 40, KL 0 to 4
	for name, test := range map[string]struct {
		claim Claim
		want  float64
	}{
		"first that was measured": {Claim{Of: Side{At: Moment{Kind: "first"}}}, 1},
		"last":                    {Claim{Of: Side{At: last}}, 3},
		"best":                    {Claim{Of: Side{At: Moment{Kind: "best"}}}, 4},
		"a step":                  {Claim{Of: Side{At: Moment{Kind: "step", Value: 20}}}, 4},
		"between two steps":       {Claim{Of: Side{At: Moment{Kind: "step", Value: 22.5}}}, 3.5},
		"a KL":                    {Claim{Of: Side{At: Moment{Kind: "KL", Value: 1.25}}}, 1.75},
		"a rise":                  {Claim{Trend: "rises", Over: overStep}, 1.2}, // slope 0.4 of 1, 4, 2, 3, three steps to the right
		"a peak":                  {Claim{Trend: "peaks inside", Over: overStep}, 1},
		"a dip that is none":      {Claim{Trend: "dips inside", Over: overStep}, -1}, // −2 inside, −1 at the higher end
	} {
		c := test.claim
		c.Metric, c.Of.Name = "m", "a"
		if c.Trend != "" {
			c.Of.At = last
		} else {
			c.Is = "above"
		}
		v := synthetic(c, map[string][][]float64{"a": curve}).Verdicts()[0]
		if !(math.Abs(v.Difference.Mean-test.want) <= 1e-12) {
			t.Errorf("%s: %v, want %v", name, v.Difference.Mean, test.want)
		}
	}
	lower := [][]float64{{5, 2, 3}}
	if v, _ := (Moment{Kind: "best"}).read(curveRows("ppo", lower[0]), "m"); v != 5 {
		t.Errorf("the best of a metric that should be high is %v", v)
	}
	rows := curveRows("ppo", lower[0])
	for i := range rows {
		rows[i].Metrics[1].Name = "loss"
	}
	if v, _ := (Moment{Kind: "best"}).read(rows, "loss"); v != 2 {
		t.Errorf("the best loss is %v", v)
	}
	if _, there := (Moment{Kind: "KL", Value: 9}).read(rows, "loss"); there {
		t.Error("a KL that is never reached has a value")
	}
}

// A failed cell leaves its seed out, and the others are judged.
func TestFailedSeedsAreLeftOut(t *testing.T) {
	c := Claim{Metric: "m", Of: sideNamed("a"), Is: "above", Than: sideNamed("b")}
	r := synthetic(c, map[string][][]float64{"a": near, "b": shifted(near, -1)})
	delete(r.forClaims, cellID{0, 1, 3})
	if v := r.Verdicts()[0]; v.Verdict != holds || v.Difference.N != 7 {
		t.Errorf("%+v", v)
	}
}

// Swept fields that a claim leaves open make a verdict each; than.where reads the
// other side elsewhere; a trend follows the numbers, not the order of the file.
func TestSweptClaims(t *testing.T) {
	r := &Run{Experiment: &Experiment{Swept: []string{"x", "y"}}, forClaims: map[cellID][]sim.Row{}}
	for i, x := range []string{"100", "20", "3"} {
		for j, y := range []string{"u", "v"} {
			r.Experiment.Points = append(r.Experiment.Points, Point{Values: []string{x, y}, Arms: []Arm{{Name: "a", Method: "ppo"}}})
			for seed := range 5 {
				r.forClaims[cellID{2*i + j, 0, seed}] = curveRows("ppo", []float64{float64(10-i) + 100*float64(j) + 0.01*float64(seed)})
			}
		}
	}
	r.Experiment.Seeds = []uint64{0, 1, 2, 3, 4}
	a := func(where ...Pin) Side { return Side{Name: "a", At: last, Where: where} }
	r.Experiment.Claims = []Claim{
		{Metric: "m", Of: a(), Trend: "rises", Over: "x"},
		{Metric: "m", Of: a(Pin{"x", "100"}), Is: "above", Than: a(Pin{"x", "3"}), By: 1.9},
		{Metric: "m", Of: a(Pin{"y", "v"}, Pin{"x", "20"}), Is: "equal", Than: a(Pin{"y", "u"}, Pin{"x", "3"}), By: 1},
	}
	var got []string
	for _, v := range r.Verdicts() {
		got = append(got, fmt.Sprintf("%d%s %s %.3g", v.Claim, strings.TrimPrefix(v.title(r.Experiment.Swept), v.Says), v.Verdict, v.Difference.Mean))
	}
	want := "1 (y = u) holds 2, 1 (y = v) holds 2, 2 (y = u) holds 2, 2 (y = v) holds 2, 3 fails 101"
	if strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// Where there is nothing, a verdict is rare: noise alone makes neither a
// difference nor a peak.
func TestNoiseRarelyDecides(t *testing.T) {
	const runs, seeds = 400, 10
	stream := rng.New(1, "test")
	curve := func(n int) []float64 {
		y := make([]float64, n)
		for i := range y {
			for range 12 { // about normal
				y[i] += stream.Float64() - 0.5
			}
		}
		return y
	}
	count := func(c Claim, n int) (held, failed int) {
		for range runs {
			var curves [][]float64
			for range seeds {
				curves = append(curves, curve(n))
			}
			switch synthetic(c, map[string][][]float64{"a": curves}).Verdicts()[0].Verdict {
			case holds:
				held++
			case fails:
				failed++
			}
		}
		return held, failed
	}
	held, failed := count(Claim{Metric: "m", Of: sideNamed("a"), Is: "above"}, 1)
	if held+failed > runs*9/100 || held+failed < runs*2/100 {
		t.Errorf("a difference of nothing: %d of %d decided, want about 5 %%", held+failed, runs)
	}
	if held, _ := count(Claim{Metric: "m", Of: sideNamed("a"), Trend: "peaks inside", Over: overStep}, 9); held > runs*3/100 {
		t.Errorf("noise peaks in %d of %d runs", held, runs)
	}
}

// A peak is inside: the ends are none, whichever seeds choose it.
func TestPeaksAreInside(t *testing.T) {
	if got := peaks([][]float64{{0, 1, 2}, {5, 1, 0}}); got[0] != -1 || got[1] != -4 {
		t.Errorf("%v, want −1 and −4", got)
	}
}
