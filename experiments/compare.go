package experiments

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/internal/stats"
	"rlhfsim/sim"
)

// CompareOptions say what to compare.
type CompareOptions struct {
	Arms    []string // names, or RUN:NAME; empty: every arm against the first, or the same arm across runs
	Metrics []string // empty: compareMetrics
	Stat    string   // "mean", "iqm" or "median"
	KL      float64  // where to compare at equal KL; 0: as far as all seeds of both reach
	Values  []string // "field=value" of the points
}

// compareMetrics are compared where none are named.
var compareMetrics = []string{"exact/gold_reward", "exact/proxy_reward", "exact/kl", "exact/win_rate", "exact/objective", "exact/gap"}

// Statistics are the summaries over seeds that can be asked for.
var Statistics = []string{"mean", "iqm", "median"}

func statistic(name string) (stats.Statistic, error) {
	switch name {
	case "", "mean":
		return stats.Mean, nil
	case "iqm":
		return stats.IQM, nil
	case "median":
		return stats.Median, nil
	}
	return nil, Usage(fmt.Sprintf("--stat %s: choose one of %s%s", name, strings.Join(Statistics, ", "), meant(name, Statistics)))
}

// Comparison is two arms side by side.
type Comparison struct {
	A         string       `json:"a"`
	B         string       `json:"b"`
	Point     string       `json:"point,omitempty"`
	Differs   []Difference `json:"differs"`
	Same      []string     `json:"same"` // sections
	Paired    bool         `json:"paired"`
	Seeds     []uint64     `json:"seeds"` // of both where paired
	Pairing   string       `json:"pairing"`
	Statistic string       `json:"statistic"`
	End       []Contrast   `json:"end"`
	Missing   []string     `json:"missing,omitempty"`       // metrics that not both record
	NoCell    []string     `json:"missing_cells,omitempty"` // seeds that an arm should have and has not
	EqualKL   *EqualKL     `json:"equal_kl,omitempty"`
	NoKL      string       `json:"no_equal_kl,omitempty"` // why there is none
	Verdict   string       `json:"verdict"`

	a, b side
}

// Difference is a field that the two arms have otherwise.
type Difference struct {
	Field string `json:"field"`
	A     string `json:"a"`
	B     string `json:"b"`
}

// Contrast is one metric of both.
type Contrast struct {
	Metric     string         `json:"metric"`
	A          float64        `json:"a"`
	B          float64        `json:"b"`
	Difference stats.Interval `json:"difference"`             // A − B
	Above      stats.Interval `json:"p_above"`                // P(A above B), a tie counts half
	Needed     int            `json:"seeds_needed,omitempty"` // for a difference of this size to show; 0: unknown
}

// EqualKL is gold and proxy where both arms have moved equally far.
type EqualKL struct {
	KL    float64  `json:"kl"`
	Gold  Contrast `json:"gold_reward"`
	Proxy Contrast `json:"proxy_reward"`
}

// side is one arm of one run at one point.
type side struct {
	run        *Run
	point, arm int
	label      string
}

func (s side) config() sim.Config { return s.data().Config }

func (s side) data() Arm { return s.run.Experiment.Points[s.point].Arms[s.arm] }

// rows are a seed's records, nil where it has none.
func (s side) rows(seed int) []sim.Row {
	if c := s.run.cell(cellID{s.point, s.arm, seed}); c != nil {
		return c.Rows
	}
	return nil
}

// final is a metric at the end of each seed that has it; name says exact/ where
// it is exact and mc/ where it is estimated.
func (s side) final(metric string) (values map[uint64]float64, name string) {
	names := []string{metric}
	if short, exact := strings.CutPrefix(metric, "exact/"); exact {
		names = append(names, "mc/"+short)
	}
	for _, name = range names {
		values = map[uint64]float64{}
		for k, seed := range s.run.Experiment.Seeds {
			if rows := s.rows(k); rows != nil {
				if v := rows[len(rows)-1].Get(name); !math.IsNaN(v) {
					values[seed] = v
				}
			}
		}
		if len(values) > 0 {
			return values, name
		}
	}
	return nil, metric
}

// Compare reads finished runs and sets their arms side by side.
func Compare(dirs []string, o CompareOptions) ([]Comparison, error) {
	stat, err := statistic(o.Stat)
	if err != nil {
		return nil, err
	}
	var runs []*Run
	for _, dir := range dirs {
		r, err := OpenRun(dir)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	pairs, err := choose(runs, o)
	if err != nil {
		return nil, err
	}
	if err := oneFolderTwice(dirs); err != nil {
		return nil, err
	}
	if len(o.Metrics) == 0 {
		o.Metrics = compareMetrics
	}
	if o.Stat == "" {
		o.Stat = "mean"
	}
	var out []Comparison
	for _, p := range pairs {
		c, err := compare(p[0], p[1], o, stat)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// oneFolderTwice refuses to compare a run with itself.
func oneFolderTwice(dirs []string) error {
	var seen []os.FileInfo
	for i, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		for k, other := range seen {
			if os.SameFile(info, other) {
				return Usage(fmt.Sprintf("%s and %s are the same run, which differs from itself in nothing; `rlhfsim compare %s` compares its arms", dirs[k], dirs[i], dirs[k]))
			}
		}
		seen = append(seen, info)
	}
	return nil
}

// choose lists the pairs to compare.
func choose(runs []*Run, o CompareOptions) ([][2]side, error) {
	names := runNames(runs)
	points := make([][]int, len(runs))
	for i, r := range runs {
		var err error
		if points[i], err = r.Experiment.pointsWith(o.Values); err != nil {
			return nil, Usage(err.Error())
		}
		if len(runs) > 1 && len(points[i]) > 1 {
			return nil, Usage(fmt.Sprintf("%s has %d points; say which one, as in `rlhfsim compare … %s`", runs[i].Dir, len(points[i]), strings.ReplaceAll(runs[i].Experiment.Points[0].title(runs[i].Experiment.Swept), " = ", "=")))
		}
	}
	var out [][2]side
	for k := range points[0] { // several points only where there is one run
		arms, err := chooseArms(runs, names, points, k, o)
		if err != nil {
			return nil, err
		}
		if len(o.Arms) == 0 && len(runs) > 1 {
			for _, a := range arms[1:] {
				for _, b := range arms[:slices.IndexFunc(arms, func(s side) bool { return s.run != runs[0] })] {
					if a.run != runs[0] && a.data().Name == b.data().Name {
						out = append(out, [2]side{a, b})
					}
				}
			}
			continue
		}
		for _, b := range arms[1:] {
			out = append(out, [2]side{arms[0], b})
		}
	}
	if len(out) == 0 {
		if len(runs) > 1 {
			return nil, Usage("the runs have no arm of the same name; say which to compare with --arms RUN:ARM,RUN:ARM")
		}
		return nil, Usage("the run has one arm only; compare it with another run: rlhfsim compare RUN RUN")
	}
	return out, nil
}

// chooseArms are the sides at the k-th chosen point, those named or all.
func chooseArms(runs []*Run, names []string, points [][]int, k int, o CompareOptions) ([]side, error) {
	var all []side
	var known []string
	for i, r := range runs {
		point := points[i][min(k, len(points[i])-1)]
		for arm, a := range r.Experiment.Points[point].Arms {
			label := a.Label
			if len(runs) > 1 {
				label = names[i] + ":" + a.Label
			}
			all = append(all, side{r, point, arm, label})
			known = append(known, names[i]+":"+a.Name)
		}
	}
	if len(o.Arms) == 0 {
		return all, nil
	}
	var out []side
	for _, want := range o.Arms {
		var found []side
		for i, s := range all {
			if known[i] == want || s.data().Name == want && (len(runs) == 1 || !strings.Contains(want, ":")) {
				found = append(found, s)
			}
		}
		if len(found) == 0 {
			short := known
			if len(runs) == 1 {
				short = nil
				for _, s := range all {
					short = append(short, s.data().Name)
				}
			}
			return nil, Usage(fmt.Sprintf("no arm %q%s (arms: %s)", want, meant(want, short), strings.Join(short, ", ")))
		}
		out = append(out, found...)
	}
	if len(out) < 2 {
		return nil, Usage("--arms names one arm; name two, as in --arms ppo,dpo")
	}
	for i, s := range out {
		if slices.Contains(out[:i], s) {
			return nil, Usage(fmt.Sprintf("--arms names %s more than once; an arm differs from itself in nothing", s.label))
		}
	}
	return out, nil
}

// runNames tell runs apart: their folders' names, or whole paths.
func runNames(runs []*Run) []string {
	var names []string
	for _, r := range runs {
		names = append(names, filepath.Base(r.Dir))
	}
	for i := range names {
		if slices.Index(names, names[i]) != i {
			for k, r := range runs {
				names[k] = filepath.Clean(r.Dir)
			}
			break
		}
	}
	return names
}

func compare(a, b side, o CompareOptions, stat stats.Statistic) (Comparison, error) {
	c := Comparison{A: a.label, B: b.label, Point: a.run.Experiment.Points[a.point].title(a.run.Experiment.Swept), Statistic: o.Stat, a: a, b: b}
	c.Differs, c.Same = differences(a, b)
	c.pair()
	for _, metric := range o.Metrics {
		va, name := a.final(metric)
		vb, other := b.final(metric)
		if len(va) == 0 || len(vb) == 0 || name != other {
			if slices.Contains(compareMetrics, metric) {
				c.Missing = append(c.Missing, metric)
				continue
			}
			return c, Usage(fmt.Sprintf("%s and %s do not both record %q at their end%s", a.label, b.label, metric, meant(metric, a.run.metricNamesOf(a.point, a.arm, ""))))
		}
		c.End = append(c.End, c.contrast(name, va, vb, stat))
	}
	if len(c.End) == 0 {
		return c, Usage(fmt.Sprintf("%s and %s have nothing to compare: are their cells finished?%s", a.label, b.label, strings.Join(append([]string{""}, c.NoCell...), "\n  ")))
	}
	c.equalKL(o.KL, stat)
	c.Verdict = c.verdict()
	return c, nil
}

// missingSeeds says in words which seeds of its own run an arm has not, "" where it
// has all.
func (s side) missingSeeds() string {
	var gone []string
	for k, seed := range s.run.Experiment.Seeds {
		if s.rows(k) == nil {
			gone = append(gone, strconv.FormatUint(seed, 10))
		}
	}
	if len(gone) == 0 {
		return ""
	}
	what := "seed"
	if len(gone) > 1 {
		what = "seeds"
	}
	return fmt.Sprintf("%s has no cell for %s %s", s.label, what, strings.Join(gone, ", "))
}

// pair finds the seeds that both have.
func (c *Comparison) pair() {
	for _, s := range []side{c.a, c.b} {
		if gone := s.missingSeeds(); gone != "" {
			c.NoCell = append(c.NoCell, fmt.Sprintf("%s; `rlhfsim run %s -o %s` computes what is missing", gone, filepath.Join(s.run.Dir, "resolved.toml"), s.run.Dir))
		}
	}
	for k, seed := range c.a.run.Experiment.Seeds {
		if j := slices.Index(c.b.run.Experiment.Seeds, seed); j >= 0 && c.a.rows(k) != nil && c.b.rows(j) != nil {
			c.Seeds = append(c.Seeds, seed)
		}
	}
	ca, cb := c.a.config(), c.b.config()
	ca.Evaluation = cb.Evaluation // decides when to look, not what is there
	shared := reflect.DeepEqual(ca.SharedPart(), cb.SharedPart())
	switch {
	case len(c.Seeds) < 1:
		c.Pairing = "no seed is common, so the arms are compared as independent samples"
	case shared:
		c.Paired, c.Pairing = true, fmt.Sprintf("paired over %s: both arms start from the same base, SFT, rankings and reward model", plural(len(c.Seeds), "seed"))
	default:
		c.Paired, c.Pairing = true, fmt.Sprintf("paired over %s: the same random streams, but what comes before the arms differs too", plural(len(c.Seeds), "seed"))
	}
}

// contrast compares a metric over the seeds.
func (c *Comparison) contrast(name string, a, b map[uint64]float64, stat stats.Statistic) Contrast {
	var x, y []float64
	if c.Paired {
		for _, seed := range c.Seeds {
			va, inA := a[seed]
			vb, inB := b[seed]
			if inA && inB {
				x, y = append(x, va), append(y, vb)
			}
		}
	} else {
		x, y = inOrder(a, c.a.run.Experiment.Seeds), inOrder(b, c.b.run.Experiment.Seeds)
	}
	out := Contrast{Metric: name, A: stat(x), B: stat(y), Needed: seedsNeeded(x, y, c.Paired)}
	out.Difference = stats.Difference(x, y, c.Paired, stat, level, resamples, name)
	if c.Paired && c.Statistic == "mean" {
		out.Difference = stats.PairedDifference(x, y, level, resamples, name)
	}
	out.Above = stats.Improvement(x, y, c.Paired, level, resamples, name)
	return out
}

func inOrder(values map[uint64]float64, seeds []uint64) []float64 {
	var out []float64
	for _, seed := range seeds {
		if v, there := values[seed]; there {
			out = append(out, v)
		}
	}
	return out
}

// seedsNeeded is about how many seeds would show a difference of the size seen
// with a power of 80 % at 5 %: ((1.96 + 0.84) σ/δ)², σ that of the differences.
func seedsNeeded(x, y []float64, paired bool) int {
	var sigma float64
	if paired {
		d := make([]float64, len(x))
		for i := range d {
			d[i] = x[i] - y[i]
		}
		sigma = stats.SD(d)
	} else {
		sigma = math.Hypot(stats.SD(x), stats.SD(y))
	}
	delta := math.Abs(stats.Mean(x) - stats.Mean(y))
	if math.IsNaN(sigma) || delta == 0 {
		return 0
	}
	n := 2.8 * sigma / delta
	return int(math.Min(math.Ceil(n*n), 1e6))
}

// equalKL compares gold and proxy where both arms have first moved to a KL, by
// linear interpolation between the records of each seed.
func (c *Comparison) equalKL(at float64, stat stats.Statistic) {
	ra, rb := c.a.reach(), c.b.reach()
	least, short := ra, c.A
	if rb < ra {
		least, short = rb, c.B
	}
	if at == 0 {
		if at = math.Floor(least*10) / 10; at == 0 {
			at = math.Floor(least*100) / 100
		}
	}
	if !(at > 0) || at > least {
		c.NoKL = fmt.Sprintf("no comparison at equal KL: some seed of %s reaches %.2g nats only", short, least)
		return
	}
	gather := func(s side, metric string) map[uint64]float64 {
		out := map[uint64]float64{}
		for k, seed := range s.run.Experiment.Seeds {
			if v, ok := atKL(s.rows(k), metric, at); ok {
				out[seed] = v
			}
		}
		return out
	}
	c.EqualKL = &EqualKL{KL: at,
		Gold:  c.contrast("exact/gold_reward", gather(c.a, "exact/gold_reward"), gather(c.b, "exact/gold_reward"), stat),
		Proxy: c.contrast("exact/proxy_reward", gather(c.a, "exact/proxy_reward"), gather(c.b, "exact/proxy_reward"), stat)}
}

// reach is the KL that all seeds get to.
func (s side) reach() float64 {
	least := math.Inf(1)
	for k := range s.run.Experiment.Seeds {
		if rows := s.rows(k); rows != nil {
			top := 0.0
			for _, row := range rows {
				top = max(top, row.Get("exact/kl"))
			}
			least = min(least, top)
		}
	}
	return least
}

// atKL is a metric where a trajectory first reaches a KL.
func atKL(rows []sim.Row, metric string, kl float64) (float64, bool) {
	for i, row := range rows {
		here := row.Get("exact/kl")
		if here < kl {
			continue
		}
		if i == 0 || here == kl {
			return row.Get(metric), true
		}
		before := rows[i-1].Get("exact/kl")
		share := (kl - before) / (here - before)
		was := rows[i-1].Get(metric)
		return was + float64(share*(row.Get(metric)-was)), true
	}
	return 0, false
}

// differences are the fields that differ, among the sections that either arm
// uses, and the sections that are the same.
func differences(a, b side) (differ []Difference, same []string) {
	if a.data().Method != b.data().Method {
		differ = append(differ, Difference{"method", a.data().Method, b.data().Method})
	}
	one, two := sectionOf(a.data().Method), sectionOf(b.data().Method)
	ca, cb := reflect.ValueOf(a.config()), reflect.ValueOf(b.config())
	for _, f := range fieldsOf(ca) {
		read := f.name == one || f.name == two
		if slices.Contains(armSections()[1:], f.name) && !read {
			continue
		}
		other, _ := fieldsOf(cb).get(f.name)
		own := leafDifferences(f.name, f.value, other)
		if len(own) == 0 {
			same = append(same, f.name)
		}
		// A method's section says nothing where only one of the arms reads it.
		if read && one != two {
			continue
		}
		differ = append(differ, own...)
	}
	return differ, same
}

func leafDifferences(path string, a, b reflect.Value) []Difference {
	if a.Kind() == reflect.Struct {
		var out []Difference
		others := fieldsOf(b)
		for i, f := range fieldsOf(a) {
			out = append(out, leafDifferences(join(path, f.name), f.value, others[i].value)...)
		}
		return out
	}
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return nil
	}
	show := func(v reflect.Value) string {
		if v.Kind() == reflect.Slice && v.Len() > 0 && v.Index(0).Kind() == reflect.Struct {
			return fmt.Sprintf("%d entries", v.Len())
		}
		return goLiteral(v)
	}
	return []Difference{{path, show(a), show(b)}}
}
