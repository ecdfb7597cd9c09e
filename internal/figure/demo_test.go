package figure

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// wave makes smooth numbers that look measured.
func wave(i int, phase float64) float64 {
	return math.Sin(0.37*float64(i)+phase) + 0.6*math.Sin(1.13*float64(i)+2*phase)
}

// curve samples f with a band that grows with x.
func curve(label string, style Style, n int, phase, noise float64, f func(x float64) float64) Series {
	s := Series{Label: label, Style: style}
	for i := range n {
		x := float64(i) * 4
		y := f(x) + noise*wave(i, phase)
		half := 3 * noise * (0.6 + x/(4*float64(n)))
		s.X, s.Y = append(s.X, x), append(s.Y, y)
		s.Lo, s.Hi = append(s.Lo, y-half), append(s.Hi, y+half)
	}
	return s
}

// decay rises from a to b with the given scale.
func decay(a, b, scale float64) func(float64) float64 {
	return func(x float64) float64 { return b + (a-b)*math.Exp(-x/scale) }
}

func demoCurves() Figure {
	const n = 61
	hump := func(top, when float64) func(float64) float64 {
		return func(x float64) float64 { return -1.49 + top*(x/when)*math.Exp(1-x/when) }
	}
	pair := func(noise float64, ppo, dpo func(float64) float64) []Series {
		return []Series{curve("PPO", Blue, n, 0.3, noise, ppo), curve("DPO", Vermillion, n, 1.1, noise, dpo)}
	}
	axis := "policy updates"
	return Figure{
		Name:  "curves",
		Title: "PPO climbs the proxy while the gold reward turns",
		Caption: "Mean of n = 16 seeds; bands are 95 % bootstrap intervals over seeds. Dotted: the exact optimum " +
			"of the KL-regularised objective at β = 0.1. KL is measured against the supervised policy, in nats.",
		Panels: []Panel{
			{Title: "gold reward", XLabel: axis, YLabel: "gold reward", Series: pair(0.02, hump(1.6, 120), decay(-1.49, 0.22, 60)),
				HLines: []HLine{{Y: 0.41, Label: "exact optimum", Style: Neutral}}},
			{Title: "proxy reward", XLabel: axis, YLabel: "reward-model score", Series: pair(0.02, decay(-1.2, 1.4, 90), decay(-1.2, 0.8, 60)),
				HLines: []HLine{{Y: 1.52, Label: "exact optimum", Style: Neutral}}},
			{Title: "distance from the reference policy", XLabel: axis, YLabel: "KL (nats)", Series: pair(0.05, decay(0, 6.2, 110), decay(0, 5.9, 70)),
				HLines: []HLine{{Y: 4.7, Label: "exact optimum", Style: Neutral}}},
			{Title: "proxy minus gold", XLabel: axis, YLabel: "gap", Series: pair(0.02, decay(0.3, 2.2, 120), decay(0.3, 0.6, 60))},
		},
	}
}

func demoOveropt() Figure {
	path := func(label string, style Style, dash bool, end, phase float64, f func(float64) float64) Series {
		s := Series{Label: label, Style: style, Dash: dash}
		for i := range 50 {
			x := end * float64(i) / 49
			y := f(x) + 0.01*wave(i, phase)
			s.X, s.Y = append(s.X, x), append(s.Y, y)
			s.Lo, s.Hi = append(s.Lo, y-0.03-0.02*x), append(s.Hi, y+0.03+0.02*x)
		}
		return s
	}
	frontier := func(label string, f func(float64) float64) Series {
		s := Series{Label: label, Style: Neutral, Dotted: true}
		for i := range 100 {
			x := 3.2 * float64(i) / 99
			s.X, s.Y = append(s.X, x), append(s.Y, f(x))
		}
		return s
	}
	gold := func(a, b float64) func(float64) float64 { return func(x float64) float64 { return -1.49 + x*(a-b*x) } }
	return Figure{
		Name:    "overopt",
		Title:   "Over-optimisation: the proxy keeps rising, the gold reward does not",
		Caption: "Trajectories of n = 16 seeds averaged at equal distance; bands are 95 % bootstrap intervals. Solid: gold reward. Dashed: proxy. Dotted: exact frontier of the tilted policies.",
		Columns: 1, WidthCM: 15, HeightCM: 11,
		Panels: []Panel{{
			XLabel: "√KL from the reference policy (√nats)", YLabel: "reward",
			Series: []Series{
				path("PPO, gold", Blue, false, 2.9, 0.2, gold(1.55, 0.36)),
				path("PPO, proxy", Blue, true, 2.9, 0.9, gold(1.6, 0.21)),
				path("DPO, gold", Vermillion, false, 2.1, 1.4, gold(1.4, 0.38)),
				path("DPO, proxy", Vermillion, true, 2.1, 2.2, gold(1.42, 0.25)),
				frontier("exact frontier, gold", gold(1.75, 0.31)),
				frontier("exact frontier, proxy", gold(1.85, 0.2)),
			},
		}},
	}
}

func demoReward() Figure {
	cal := Series{Label: "reward model", Style: Blue, Points: true}
	for i := range 10 {
		x := 0.05 + 0.1*float64(i)
		y := x + 0.05*math.Sin(6*x) - 0.02
		cal.X, cal.Y = append(cal.X, x), append(cal.Y, y)
		cal.Lo, cal.Hi = append(cal.Lo, y-0.03-0.05*x*(1-x)), append(cal.Hi, y+0.03+0.05*x*(1-x))
	}
	zero, one := 0.0, 1.0
	return Figure{
		Name:    "reward",
		Title:   "The reward model is close to the best any judge could be",
		Caption: "n = 16 seeds; whiskers are 95 % bootstrap intervals over seeds. The ceiling is a judge who knows the gold reward: the raters themselves disagree with it.",
		Panels: []Panel{
			{Title: "accuracy on pairs", YLabel: "share of pairs ranked as the rater did", YMin: &zero, YMax: &one, Bars: []Bar{
				{Label: "training pairs", Value: 0.742, Lo: 0.736, Hi: 0.748, Style: Sky},
				{Label: "held-out pairs", Value: 0.718, Lo: 0.709, Hi: 0.727, Style: Blue},
				{Label: "perfect judge (ceiling)", Value: 0.761, Lo: 0.755, Hi: 0.767, Style: Neutral},
			}, HLines: []HLine{{Y: 0.5, Label: "chance", Style: Neutral}}},
			{Title: "calibration", XLabel: "predicted preference", YLabel: "actual preference", Diagonal: true,
				XMin: &zero, XMax: &one, YMin: &zero, YMax: &one, Series: []Series{cal}},
		},
	}
}

func demoPipeline() Pipeline {
	return Pipeline{
		Title:   "One run of the loop: what each stage does to the same policy",
		Caption: "Seed 1. Gold reward: exact mean under the policy with a 95 % bootstrap interval over n = 16 seeds. “Says” gives the most frequent answer to the prompt “my router is down”.",
		Boxes: []Box{
			{ID: "base", Title: "Base policy", Style: Neutral, Lines: []string{"gold reward −1.49 [−1.52, −1.46]", `says: "restart please" 12 %`, "H = 3.21 nats"}},
			{ID: "sft", Title: "SFT", Col: 1, Style: Sky, Lines: []string{"gold reward −0.83 [−0.86, −0.80]", `says: "have you tried restarting" 21 %`, "KL from base 0.94"}},
			{ID: "rank", Title: "Rankings", Col: 2, Style: Green, Lines: []string{"4 096 pairs", "raters agree with gold on 76 % of pairs", "32 raters, temperature 1.0"}},
			{ID: "rm", Title: "Reward model", Col: 3, Style: Purple, Lines: []string{"accuracy 0.718 [0.709, 0.727]", "ceiling 0.761", "ECE ±0.012"}},
			{ID: "ppo", Title: "PPO", Col: 4, Style: Blue, Emphasis: true, Lines: []string{"gold reward 0.31 [0.27, 0.35]", "proxy 1.38, exact optimum 0.41", `says: "power it off, wait, power it on" 44 %`, "β = 0.10"}},
			{ID: "dpo", Title: "DPO", Col: 4, Row: 1, Style: Vermillion, Emphasis: true, Lines: []string{"gold reward 0.22 [0.17, 0.27]", "no reward model, no sampling", `says: "power it off" 31 %`}},
		},
		Arrows: []Arrow{
			{From: "base", To: "sft", Label: "512 demonstrations"},
			{From: "sft", To: "rank", Label: "sample pairs"},
			{From: "rank", To: "rm", Label: "fit Bradley–Terry"},
			{From: "rm", To: "ppo", Label: "240 updates"},
			{From: "sft", To: "dpo", Label: "reference policy"},
			{From: "rank", To: "dpo", Label: "the same pairs, directly"},
			{From: "sft", To: "ppo", Label: "start and KL anchor", Dashed: true},
		},
	}
}

// demoAwkward collects what should not break a figure.
func demoAwkward() Figure {
	nan, inf := math.NaN(), math.Inf(1)
	f := Figure{Name: "awkward", Title: "Awkward data", Columns: 3, WidthCM: 24,
		Caption: "A caption with a 10⁻³ superscript, H₂O, a tab\there, an emoji 🙂 and <markup> & \"quotes\"."}
	f.Panels = append(f.Panels,
		Panel{Title: "no data at all", XLabel: "x", YLabel: "y"},
		Panel{Title: "a single point", XLabel: "x", YLabel: "y", Series: []Series{{Label: "lonely", X: []float64{3}, Y: []float64{-2}, Lo: []float64{-2.5}, Hi: []float64{-1}, Style: Purple}}},
		Panel{Title: "constant", XLabel: "updates", YLabel: "constant", Series: []Series{{Label: "flat", X: []float64{0, 1000, 20000}, Y: []float64{5, 5, 5}}}},
		Panel{Title: "gaps and infinities", XLabel: "x", YLabel: "y", Series: []Series{{Label: "holes", Style: Green,
			X: []float64{0, 1, 2, 3, 4, 5, 6, nan}, Y: []float64{1, 2, nan, 3, inf, 2, 1, 4},
			Lo: []float64{0, 1, nan, 2, 0, nan, 0, 3}, Hi: []float64{2, 3, nan, 4, 0, nan, 2, 5}}}},
	)
	six := Panel{Title: "six lines ending together, with a very long title that has to be wrapped", XLabel: "updates", YLabel: "a very long name of the vertical axis that wraps"}
	for k := range 6 {
		s := Series{Label: fmt.Sprintf("arm number %d", k+1), Style: Style(k)}
		for i := range 40 {
			s.X, s.Y = append(s.X, float64(i)*300), append(s.Y, 1000*(1+math.Exp(-float64(i)/8)*float64(k-3)))
		}
		six.Series = append(six.Series, s)
	}
	tiny := Panel{Title: "tiny numbers, limits cut", XLabel: "x", Series: []Series{{Label: "cut off above, with a long label", Style: Yellow}}}
	top := 2e-7
	tiny.YMax = &top
	for i := range 30 {
		tiny.Series[0].X = append(tiny.Series[0].X, float64(i)-15)
		tiny.Series[0].Y = append(tiny.Series[0].Y, 1e-9*float64(i*i-200))
	}
	bars := Panel{Title: "bars of both signs", YLabel: "change"}
	for i, v := range []float64{-1.2, 0.4, nan, 2.31, 0} {
		bars.Bars = append(bars.Bars, Bar{Label: fmt.Sprintf("category %d", i), Value: v, Lo: v - 0.3, Hi: v + 0.2, Style: Style(i)})
	}
	only := Panel{Title: "only a reference", YLabel: "y", HLines: []HLine{{Y: 2, Label: "optimum", Style: Neutral}, {Y: 2, Label: "the same", Style: Black}}}
	pts := Panel{Title: "points", XLabel: "x", YLabel: "y", Diagonal: true, Series: []Series{
		{Label: "first", Points: true, Style: Orange, X: []float64{0, 1, 2}, Y: []float64{0, 1.2, 1.8}, Lo: []float64{-0.2, 1, 1.5}, Hi: []float64{0.2, 1.4, 2.2}},
		{Label: "second", Points: true, Style: Sky, X: []float64{0, 1, 2}, Y: []float64{0.5, 0.7, 2.5}}}}
	f.Panels = append(f.Panels, six, tiny, bars, only, pts)
	return f
}

// drawable is what the demo and the tests render.
type drawable interface {
	SVG() ([]byte, error)
	PNG() ([]byte, error)
	CSV() []byte
}

type named struct {
	name string
	drawable
}

func demos() []named {
	return []named{
		{"curves", demoCurves()}, {"overopt", demoOveropt()}, {"reward", demoReward()},
		{"pipeline", demoPipeline()}, {"awkward", demoAwkward()}, {"crowd", demoCrowd()},
	}
}

// TestDemo writes the demonstration figures, to FIGURE_DEMO_DIR if it is set.
func TestDemo(t *testing.T) {
	dir := os.Getenv("FIGURE_DEMO_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, d := range demos() {
		svg, err := d.SVG()
		if err != nil {
			t.Fatal(d.name, err)
		}
		png, err := d.PNG()
		if err != nil {
			t.Fatal(d.name, err)
		}
		for ext, data := range map[string][]byte{".svg": svg, ".png": png, ".csv": d.CSV()} {
			if len(data) == 0 {
				t.Errorf("%s%s is empty", d.name, ext)
			}
			if err := os.WriteFile(filepath.Join(dir, d.name+ext), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
