package experiments

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/internal/field"
	"rlhfsim/internal/safetensors"
	"rlhfsim/policy"
	"rlhfsim/sim"
)

func prompt(x int) policy.Prompt { return policy.Prompt(x) }

// TalkOptions say what to ask a run's policies.
type TalkOptions struct {
	Arm    string // only this arm, besides base, SFT and optimum; "" = all
	Prompt string // its text, a part of it, or its number from 1; "" = all
	Seed   uint64
	// FirstSeed asks for the run's first seed, whatever Seed says.
	FirstSeed bool
	N         int      // responses for each
	Values    []string // "field=value" of the point, where fields are swept
}

// Talk asks the policies in a run's folder. It reads resolved.toml and
// policies/ only, so it works on a folder copied from elsewhere.
func Talk(dir string, o TalkOptions) (sayings []Saying, from string, err error) {
	e, err := Load(filepath.Join(dir, "resolved.toml"), nil)
	if err != nil {
		if _, statErr := os.Stat(filepath.Join(dir, "resolved.toml")); statErr != nil {
			return nil, "", fmt.Errorf("%s is no run's folder: it has no resolved.toml (run an experiment first, e.g. rlhfsim run chapter)", dir)
		}
		return nil, "", err
	}
	p, err := e.point(o.Values)
	if err != nil {
		return nil, "", err
	}
	if o.FirstSeed {
		o.Seed = e.Seeds[0]
	}
	if !slices.Contains(e.Seeds, o.Seed) {
		return nil, "", fmt.Errorf("the run has no seed %d (seeds: %s)", o.Seed, seedNames(e.Seeds))
	}
	folder := filepath.Join(dir, "policies", filepath.FromSlash(p.folder(e.Swept)), fmt.Sprintf("seed-%d", o.Seed))
	l, err := p.load(folder, o.Arm)
	if err != nil {
		return nil, "", err
	}
	w, stages, err := p.Stages(context.Background(), l)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", folder, err)
	}
	prompts, err := choosePrompts(w, o.Prompt)
	if err != nil {
		return nil, "", err
	}
	for _, x := range prompts {
		sayings = append(sayings, saying(w, stages, x, o.N))
	}
	return sayings, folder, nil
}

// seedNames lists seeds for people: "0 to 9", "3, 7".
func seedNames(seeds []uint64) string {
	last := len(seeds) - 1
	if last > 1 && seeds[last] == seeds[0]+uint64(last) && slices.IsSorted(seeds) {
		return fmt.Sprintf("%d to %d", seeds[0], seeds[last])
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(seeds), " ", ", "), "[]")
}

// point is the one whose swept fields have the given values, the first where
// nothing is said.
func (e *Experiment) point(values []string) (Point, error) {
	points, err := e.pointsWith(values)
	if err != nil {
		return Point{}, err
	}
	return e.Points[points[0]], nil
}

// pointsWith are those whose swept fields have the given values, at least one.
func (e *Experiment) pointsWith(values []string) ([]int, error) {
	want := map[string]string{}
	for _, v := range values {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, fmt.Errorf("%q is no choice: write FIELD=VALUE", v)
		}
		if len(e.Swept) == 0 {
			return nil, fmt.Errorf("nothing was swept in this run, so there is no %s to choose", key)
		}
		known := false
		for _, name := range e.Swept {
			known = known || name == key
		}
		if !known {
			return nil, fmt.Errorf("%s is not swept in this run (swept: %s)", key, strings.Join(e.Swept, ", "))
		}
		want[key] = value
	}
	var have []string
	var found []int
	for k, p := range e.Points {
		fits := true
		for i, name := range e.Swept {
			if v, asked := want[name]; asked && v != p.Values[i] {
				fits = false
			}
		}
		if fits {
			found = append(found, k)
		}
		have = append(have, p.title(e.Swept))
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, fmt.Errorf("no point of the run has that; there are:\n  %s", strings.Join(have, "\n  "))
}

// load reads what a seed learned from its policy files.
func (p Point) load(folder, arm string) (Learned, error) {
	l := Learned{Arms: map[string][]float64{}}
	var err error
	if l.Base, err = readLogits(folder, "base"); err != nil {
		return l, err
	}
	if l.SFT, err = readLogits(folder, "sft"); err != nil {
		return l, err
	}
	if l.Reward, err = readTensors(folder, "reward"); err != nil {
		return l, err
	}
	var names []string
	for _, a := range p.Arms {
		names = append(names, a.Name)
		if arm != "" && a.Name != arm {
			continue
		}
		if l.Arms[a.Name], err = readLogits(folder, a.Name); err != nil {
			return l, err
		}
	}
	if arm != "" && len(l.Arms) == 0 {
		return l, fmt.Errorf("no arm %q%s (arms: %s)", arm, meant(arm, names), strings.Join(names, ", "))
	}
	return l, nil
}

func meant(name string, known []string) string {
	if near := field.Nearest(name, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// readLogits reads a policy.
func readLogits(folder, name string) ([]float64, error) {
	all, err := readTensors(folder, name)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.Name == "logits" {
			return t.Data, nil
		}
	}
	return nil, fmt.Errorf("%s has no tensor \"logits\"", filepath.Join(folder, name+".safetensors"))
}

func readTensors(folder, name string) ([]tensor, error) {
	path := filepath.Join(folder, name+".safetensors")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all, _, err := safetensors.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var out []tensor
	for _, t := range all {
		out = append(out, tensor{t.Name, t.Shape, t.Data})
	}
	return out, nil
}

// choosePrompts finds prompts by number, text, or part of it.
func choosePrompts(w *sim.World, ask string) ([]int, error) {
	var hits []int
	for x, text := range w.Prompts {
		if ask == "" || text == ask || strconv.Itoa(x+1) == ask {
			hits = append(hits, x)
		}
	}
	if len(hits) == 0 {
		for x, text := range w.Prompts {
			if strings.Contains(strings.ToLower(text), strings.ToLower(ask)) {
				hits = append(hits, x)
			}
		}
	}
	if len(hits) == 0 {
		var list []string
		for x, text := range w.Prompts {
			list = append(list, fmt.Sprintf("%d  %s", x+1, text))
		}
		return nil, fmt.Errorf("no prompt %q%s\n  %s", ask, meant(ask, w.Prompts), strings.Join(list, "\n  "))
	}
	return hits, nil
}

// TalkText is Talk's answer for a terminal.
func TalkText(all []Saying) string {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "“%s”\n", s.Prompt)
		for _, a := range s.Stages {
			fmt.Fprintf(&b, "  %s\n", a.Stage)
			for _, r := range a.Responses {
				fmt.Fprintf(&b, "    %8s  gold %5s  %s\n", share(r.Probability), signed(r.Gold), r.Text)
			}
		}
	}
	return b.String()
}
