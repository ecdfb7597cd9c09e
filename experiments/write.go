package experiments

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
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
	"rlhfsim/sim"
)

// Files are the contents of a run's folder by slash-separated path.
type Files map[string][]byte

// Write puts the files into dir, each atomically, in the order of their names.
func (f Files) Write(dir string) error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := atomicfile.Write(path, f[name]); err != nil {
			return err
		}
	}
	return nil
}

// Tables are metrics.csv, summary.csv, summary.md and the policies: everything
// but figures and provenance.
func (r *Run) Tables() (Files, error) {
	groups := r.Groups()
	files := Files{
		"metrics.csv":     r.metricsCSV(groups),
		"summary.csv":     r.summaryCSV(groups),
		"summary.md":      []byte(r.Markdown()),
		"experiment.toml": r.Experiment.Source,
		"resolved.toml":   r.Experiment.Resolved,
	}
	return files, r.addPolicies(files)
}

// metricsCSV has one row for each (arm, swept fields, seed, stage, step).
func (r *Run) metricsCSV(groups []Group) []byte {
	names := metricNames(groups)
	head := append([]string{"arm", "seed", "stage", "step"}, r.Experiment.Swept...)
	lines := [][]string{append(head, names...)}
	for point, p := range r.Experiment.Points {
		for arm := -1; arm < len(p.Arms); arm++ {
			for seed, number := range r.Experiment.Seeds {
				c := r.cell(cellID{point, arm, seed})
				if c == nil {
					continue
				}
				for _, row := range c.Rows {
					line := []string{p.armName(arm), strconv.FormatUint(number, 10), row.Stage, strconv.Itoa(row.Step)}
					lines = append(lines, append(append(line, p.Values...), metricCells(row, names)...))
				}
			}
		}
	}
	return writeCSV(lines)
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

// summaryCSV is long: one line for each metric at the end of each stage.
func (r *Run) summaryCSV(groups []Group) []byte {
	head := append([]string{"arm"}, r.Experiment.Swept...)
	lines := [][]string{append(head, "stage", "metric", "n", "mean", "ci_low", "ci_high")}
	for _, g := range groups {
		p := r.Experiment.Points[g.Point]
		for _, name := range metricNames([]Group{g}) {
			if len(g.Final(name)) == 0 {
				continue
			}
			i := g.Interval(name)
			line := append([]string{p.armName(g.Arm)}, p.Values...)
			lines = append(lines, append(line, g.Stage, name, strconv.Itoa(i.N), number(i.Mean), number(i.Low), number(i.High)))
		}
	}
	return writeCSV(lines)
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

// addPolicies adds what each stage learned, as safetensors.
func (r *Run) addPolicies(files Files) error {
	for point, p := range r.Experiment.Points {
		folder := "policies/" + p.folder(r.Experiment.Swept)
		for seed, number := range r.Experiment.Seeds {
			at := fmt.Sprintf("%sseed-%d/", folder, number)
			meta := p.metadata()
			if c := r.cell(cellID{point, -1, seed}); c != nil {
				for _, pi := range c.Tensors[:2] {
					if err := addLogits(files, at+pi.Name+".safetensors", pi, meta); err != nil {
						return err
					}
				}
				if err := addTensors(files, at+"reward.safetensors", c.Tensors[2:], meta); err != nil {
					return err
				}
			}
			for arm, a := range p.Arms {
				if c := r.cell(cellID{point, arm, seed}); c != nil {
					if err := addLogits(files, at+a.Name+".safetensors", c.Tensors[0], meta); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
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

// metadata names the prompts and words of a policy file's axes.
func (p Point) metadata() map[string]string {
	var prompts, words []string
	for _, x := range p.Config.World.Prompts {
		prompts = append(prompts, x.Text)
	}
	for _, g := range p.Config.World.Words {
		words = append(words, g.Value...)
	}
	return map[string]string{
		"prompts": jsonText(prompts), "words": jsonText(words), "order": strconv.Itoa(p.Config.Policy.Order),
		"max_length": strconv.Itoa(p.Config.World.MaxLength), "engine": sim.EngineVersion,
	}
}

func jsonText(v any) string {
	text, _ := json.Marshal(v) // strings always encode
	return string(text)
}

// addLogits adds a policy: in a file of its own its tensor is named "logits".
func addLogits(files Files, path string, pi tensor, meta map[string]string) error {
	pi.Name = "logits"
	return addTensors(files, path, []tensor{pi}, meta)
}

func addTensors(files Files, path string, tensors []tensor, meta map[string]string) error {
	var out []safetensors.Tensor
	for _, t := range tensors {
		out = append(out, safetensors.Tensor{Name: t.Name, Shape: t.Shape, Data: t.Data})
	}
	data, err := safetensors.Encode(out, meta)
	files[path] = data
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
		Args: args, Seeds: r.Experiment.Seeds, Jobs: jobs, Cells: len(r.shared) + len(r.arms), Reused: r.Reused,
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
