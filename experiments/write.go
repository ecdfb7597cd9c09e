package experiments

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"rlhfsim/internal/atomicfile"
	"rlhfsim/internal/safetensors"
	"rlhfsim/reward"
	"rlhfsim/sim"
)

// writeFileAt writes a file in one step, its folder with it.
func writeFileAt(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.Write(path, data)
}

// output is one file of a run, written piece by piece.
type output struct {
	name  string
	write func(io.Writer) error
}

// outputs are all files of the run but figures and provenance: tables, then
// policies. Each is made when it is written, so that a large run need not fit
// in memory.
func (r *Run) outputs() []output {
	text := func(name string, data func() []byte) output {
		return output{name, func(w io.Writer) error {
			_, err := w.Write(data())
			return err
		}}
	}
	all := []output{
		{"metrics.csv", r.writeMetrics}, text("columns.json", func() []byte { return jsonFile(r.columns()) }), {"summary.csv", r.writeSummary},
		text("summary.md", func() []byte { return []byte(r.Markdown()) }),
		text("claims.csv", r.claimsCSV),
		text("experiment.toml", func() []byte { return r.Experiment.Source }),
		text("resolved.toml", func() []byte { return r.Experiment.Resolved }),
	}
	if table := r.bestOfNCSV(); table != nil {
		all = append(all, text("best_of_n.csv", func() []byte { return table }))
	}
	if ranking := r.rankingMarkdown(); ranking != "" {
		all = append(all, text("ranking.md", func() []byte { return []byte(ranking) }), text("ranking.csv", r.rankingCSV))
	}
	return append(all, r.policies()...)
}

// writeMetrics writes metrics.csv: one row for each (arm, swept fields, seed,
// stage, step).
func (r *Run) writeMetrics(to io.Writer) error {
	w := csv.NewWriter(to)
	names := r.metricNames()
	if err := w.Write(slices.Concat(r.keyColumns(), names)); err != nil {
		return err
	}
	for point, p := range r.Experiment.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			for seed, number := range r.Experiment.Seeds {
				c := r.cell(cellID{point, arm, seed})
				if c == nil {
					continue
				}
				for _, row := range c.Rows {
					head := []string{p.armName(arm), strconv.FormatUint(number, 10), row.Stage, strconv.Itoa(row.Step)}
					if err := w.Write(slices.Concat(head, p.Values, metricCells(row, names))); err != nil {
						return err
					}
				}
			}
		}
	}
	w.Flush()
	return w.Error()
}

func metricCells(row sim.Row, names []string) []string {
	has := map[string]string{}
	for _, m := range row.Metrics {
		has[m.Name] = number(m.Value)
	}
	cells := make([]string, len(names))
	for i, name := range names {
		cells[i] = has[name]
	}
	return cells
}

// writeSummary writes summary.csv, which is long: one line for each metric at
// the end of each stage.
func (r *Run) writeSummary(to io.Writer) error {
	w := csv.NewWriter(to)
	if err := w.Write(slices.Concat([]string{"arm"}, r.Experiment.Swept, []string{"stage", "metric", "n", "mean", "ci_low", "ci_high"})); err != nil {
		return err
	}
	for point, p := range r.Experiment.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			for _, g := range r.groups(point, arm) {
				for _, name := range r.metricNamesOf(point, arm, g.Stage) {
					if len(g.Final(name)) == 0 {
						continue
					}
					i := g.Interval(name)
					if err := w.Write(slices.Concat([]string{p.armName(arm)}, p.Values, []string{g.Stage, name, strconv.Itoa(i.N), number(i.Mean), number(i.Low), number(i.High)})); err != nil {
						return err
					}
				}
			}
		}
	}
	w.Flush()
	return w.Error()
}

func (p Point) armName(arm int) string {
	if arm < 0 {
		return ""
	}
	return p.Arms[arm].Name
}

// number prints a float so that it reads back exactly.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func writeCSV(lines [][]string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.WriteAll(lines) // a bytes.Buffer does not fail
	return b.Bytes()
}

// policies are what each stage learned, as safetensors.
func (r *Run) policies() []output {
	var all []output
	for point, p := range r.Experiment.Points {
		folder := "policies/" + p.folder(r.Experiment.Swept)
		for seed, number := range r.Experiment.Seeds {
			add := func(name string, id cellID, from, to int, rename string) {
				if r.keys[id] == "" {
					return
				}
				all = append(all, output{fmt.Sprintf("%sseed-%d/%s.safetensors", folder, number, name), func(w io.Writer) error {
					tensors := r.tensors(id)
					if tensors == nil {
						return r.lost
					}
					if to < 0 {
						to = len(tensors)
					}
					return writeTensors(w, tensors[from:to], rename, p.metadata())
				}})
			}
			shared := cellID{point, -1, seed}
			add("base", shared, 0, 1, "logits")
			add("sft", shared, 1, 2, "logits")
			add("reward", shared, 2, -1, "")
			for arm, a := range p.Arms {
				add(a.Name, cellID{point, arm, seed}, 0, 1, "logits")
			}
		}
	}
	return all
}

// folder is "FIELD=VALUE,...", with a slash, where fields are swept. Values are
// made fit for file names.
func (p Point) folder(swept []string) string {
	if len(swept) == 0 {
		return ""
	}
	var parts []string
	for i, name := range swept {
		parts = append(parts, name+"="+strings.Map(fileRune, p.Values[i]))
	}
	return strings.Join(parts, ",") + "/"
}

func fileRune(r rune) rune {
	if r == '/' || r == '\\' || r == ':' || r < ' ' || strings.ContainsRune(`<>"|?*`, r) {
		return '_'
	}
	return r
}

// metadata names the prompts and words of a policy file's axes, and the counts
// that a network reads.
func (p Point) metadata() map[string]string {
	var prompts, words []string
	for _, x := range p.Config.World.Prompts {
		prompts = append(prompts, x.Text)
	}
	for _, g := range p.Config.World.Words {
		words = append(words, g.Value...)
	}
	about := map[string]string{
		"prompts": jsonText(prompts), "words": jsonText(words), "order": strconv.Itoa(p.Config.Policy.Order),
		"max_length": strconv.Itoa(p.Config.World.MaxLength), "engine": sim.EngineVersion,
	}
	if c := p.Config; c.Reward.Model == reward.MLP {
		about["counts"], about["count_cap"] = jsonText(c.CountsRead()), strconv.Itoa(c.Reward.CountCap)
	}
	return about
}

// jsonFile is a value as a readable file.
func jsonFile(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // texts and numbers always encode
	return b.Bytes()
}

func jsonText(v any) string {
	text, _ := json.Marshal(v) // strings always encode
	return string(text)
}

// writeTensors writes a file; rename is the name of its tensor where that is not
// the cell's own.
func writeTensors(w io.Writer, tensors []tensor, rename string, meta map[string]string) error {
	var out []safetensors.Tensor
	for _, t := range tensors {
		if rename != "" {
			t.Name = rename
		}
		out = append(out, safetensors.Tensor{Name: t.Name, Shape: t.Shape, Data: t.Data})
	}
	data, err := safetensors.Encode(out, meta)
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// Provenance is run.json: how the folder came about. It is the one file that
// differs from run to run.
type Provenance struct {
	Program  string    `json:"program"`
	Version  string    `json:"version"`
	Engine   string    `json:"engine"`
	Revision string    `json:"revision,omitempty"`
	Modified bool      `json:"modified,omitempty"`
	Go       string    `json:"go"`
	OS       string    `json:"os"`
	Arch     string    `json:"arch"`
	Args     []string  `json:"args"`
	Seeds    []uint64  `json:"seeds"`
	Jobs     int       `json:"jobs"`
	Cells    int       `json:"cells"`
	Reused   int       `json:"cells_reused"`
	Failed   []string  `json:"cells_failed,omitempty"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
}

// Provenance describes this run.
func (r *Run) Provenance(args []string, jobs int, started time.Time) Provenance {
	p := Provenance{Program: "rlhfsim", Version: Version(), Engine: sim.EngineVersion, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Args: args, Seeds: r.Experiment.Seeds, Jobs: jobs, Cells: len(r.keys), Reused: r.Reused,
		Started: started.UTC(), Seconds: time.Since(started).Seconds()}
	for _, f := range r.Failures {
		p.Failed = append(p.Failed, f.Cell+": "+f.Err.Error())
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				p.Revision = s.Value
			case "vcs.modified":
				p.Modified = s.Value == "true"
			}
		}
	}
	return p
}

// version is the release; CHANGELOG.md says what is in it.
const version = "0.1.0"

// Version is the program's version and the engine its numbers come from.
func Version() string { return version }
