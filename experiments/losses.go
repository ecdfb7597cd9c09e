package experiments

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/dpo"
	"rlhfsim/ilql"
	"rlhfsim/internal/golden"
	"rlhfsim/internal/rng"
	"rlhfsim/ppo"
	"rlhfsim/reward"
)

// LossCheck is a document of losses, as a reference library made it, worked out
// again with the functions that train here.
type LossCheck struct {
	Kind   string      `json:"kind"`
	Source string      `json:"source"`
	Fields []LossField `json:"fields"` // in order of appearance

	Undetermined int `json:"undetermined"` // numbers that differ by no more than rounding alone brings about: they show nothing

	document any
}

// LossField is all numbers of one name.
type LossField struct {
	Name    string  `json:"name"`
	Numbers int     `json:"numbers"`
	Largest float64 `json:"largest_difference"` // relative
	At      string  `json:"at"`                 // where it is
	Of      float64 `json:"tolerance_of_1e-9"`  // what --tolerance is multiplied by: gradients 10, float32 1000 or more
}

// lossNumber is one computed number next to the recorded one.
type lossNumber struct {
	path                 string
	got, want            float64 // want is NaN where none is recorded
	difference, tolerant float64
	undetermined         bool
}

// LossKinds are the documents that can be worked out.
func LossKinds() []string {
	return slices.Sorted(slices.Values(slices.Concat(dpo.Kinds(), ppo.Kinds, ilql.DocumentKinds, reward.DocumentKinds)))
}

// LossKindsText is the kinds in lines, to stand behind a word.
func LossKindsText() string { return wrapped(strings.Join(LossKinds(), ", "), 7) }

// Losses reads a document and computes every result in it.
func Losses(data []byte) (*LossCheck, error) {
	var head struct{ Kind, Source string }
	var tree any
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, Usage(fmt.Sprintf("this is no document of losses: %v", err))
	}
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, Usage(fmt.Sprintf("this is no document of losses: %v", err))
	}
	var numbers []lossNumber
	var values []golden.Value
	var err error
	switch {
	case slices.Contains(dpo.Kinds(), head.Kind):
		numbers, tree, err = preferenceNumbers(data)
	case slices.Contains(ppo.Kinds, head.Kind):
		values, err = ppo.Recompute(data)
	case slices.Contains(ilql.DocumentKinds, head.Kind):
		values, err = ilql.Recompute(data)
	case slices.Contains(reward.DocumentKinds, head.Kind):
		values, err = reward.Recompute(data)
	default:
		return nil, Usage(fmt.Sprintf("a document of kind %q%s (known kinds: %s)", head.Kind, meant(head.Kind, LossKinds()), strings.Join(LossKinds(), ", ")))
	}
	if err != nil {
		return nil, Usage(err.Error())
	}
	c := &LossCheck{Kind: head.Kind, Source: head.Source}
	for _, v := range values {
		tree = placed(tree, steps(v.Path), v.Got)
	}
	for _, n := range append(numbers, numbersOf(values)...) {
		c.add(n)
	}
	c.document = tree
	return c, nil
}

func (c *LossCheck) add(n lossNumber) {
	name := fieldOf(n.path)
	i := slices.IndexFunc(c.Fields, func(f LossField) bool { return f.Name == name })
	if i < 0 {
		i = len(c.Fields)
		c.Fields = append(c.Fields, LossField{Name: name, Of: n.tolerant / 1e-9})
	}
	f := &c.Fields[i]
	if math.IsNaN(n.want) {
		return
	}
	if n.undetermined {
		c.Undetermined++
		return
	}
	f.Numbers++
	// A looser number must not hide a stricter one's difference.
	if d := n.difference / n.tolerant; f.At == "" || d > f.Largest/(f.Of*1e-9) || math.IsNaN(d) {
		f.Largest, f.At, f.Of = n.difference, n.path, n.tolerant/1e-9
	}
}

var indices = regexp.MustCompile(`\[\d+\]`)

// fieldOf is a path's last name: "results[3].grad[1]" is "grad".
func fieldOf(path string) string {
	parts := strings.Split(indices.ReplaceAllString(path, ""), ".")
	return parts[len(parts)-1]
}

func preferenceNumbers(data []byte) ([]lossNumber, any, error) {
	d, err := dpo.Compute(data)
	if err != nil {
		return nil, nil, err
	}
	var out []lossNumber
	for _, n := range d.Numbers {
		out = append(out, lossNumber{n.Path, n.Got, n.Want, n.Deviation(), n.Tolerance, n.Undetermined()})
	}
	var tree any
	text, err := d.JSON()
	if err == nil {
		err = json.Unmarshal(text, &tree)
	}
	return out, tree, err
}

// numbersOf are the numbers of a document that a reader recomputes.
func numbersOf(values []golden.Value) (out []lossNumber) {
	for _, v := range values {
		out = append(out, lossNumber{v.Path, v.Got, v.Want, v.Deviation(), v.Tolerance, v.Undetermined()})
	}
	return out
}

// steps are the names and indices of a path like "results[3].grad[1]".
func steps(path string) []any {
	var out []any
	for _, part := range strings.Split(path, ".") {
		name, rest, _ := strings.Cut(part, "[")
		if name != "" {
			out = append(out, name)
		}
		for _, index := range strings.Split(strings.TrimSuffix(rest, "]"), "][") {
			if i, err := strconv.Atoi(index); err == nil {
				out = append(out, i)
			}
		}
	}
	return out
}

// placed is a node of JSON with a number at a path; what is missing is made. JSON has
// no numbers that are not finite.
func placed(node any, path []any, v float64) any {
	if len(path) == 0 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return v
	}
	if key, ok := path[0].(string); ok {
		object, _ := node.(map[string]any)
		if object == nil {
			object = map[string]any{}
		}
		object[key] = placed(object[key], path[1:], v)
		return object
	}
	key, list := path[0].(int), []any(nil)
	if node != nil {
		list, _ = node.([]any)
	}
	for len(list) <= key {
		list = append(list, nil)
	}
	list[key] = placed(list[key], path[1:], v)
	return list
}

// JSON is the document with our numbers in place of the recorded ones.
func (c *LossCheck) JSON() (string, error) {
	data, err := json.MarshalIndent(c.document, "", " ")
	return string(data) + "\n", err
}

// Compared is how many numbers the document has to compare with.
func (c *LossCheck) Compared() (n int) {
	for _, f := range c.Fields {
		n += f.Numbers
	}
	return n
}

// Text is the largest difference of each field, and whether all are within the
// tolerance (relative; gradients ten times it, what went through float32 more).
func (c *LossCheck) Text(tolerance float64) (text string, ok bool) {
	t := plainTable()
	t.AppendHeader([]any{"field", "numbers", "largest difference", "allowed", "at"})
	ok = true
	for _, f := range c.Fields {
		if f.Numbers == 0 {
			continue
		}
		allowed := tolerance * f.Of
		verdict := f.At
		if !(f.Largest <= allowed) {
			ok = false
			verdict += "  differs"
		}
		t.AppendRow([]any{f.Name, f.Numbers, fmt.Sprintf("%.1e", f.Largest), fmt.Sprintf("%.0e", allowed), verdict})
	}
	by := ""
	if c.Source != "" {
		by = ", by " + c.Source
	}
	text = fmt.Sprintf("%s%s\n%s\n", c.Kind, by, trimRight(t.Render()))
	verdict := "some numbers differ"
	if ok {
		verdict = fmt.Sprintf("all %d numbers agree", c.Compared())
	}
	if c.Undetermined > 0 {
		verdict += fmt.Sprintf("; %d more are decided by rounding noise alone and show nothing", c.Undetermined)
	}
	return text + verdict + "\n", ok
}

// ChapterLoss is the chapter's own program: compute_dpo_loss on random logits of
// two responses over a vocabulary, and beside it what DPO would compute.
func ChapterLoss(vocab int, beta float64, seed uint64) string {
	r := rng.New(seed, "chapter loss")
	row := func() []float64 {
		z := make([]float64, vocab)
		for i := range z { // Box-Muller
			z[i] = math.Sqrt(-2*math.Log(1-r.Float64())) * math.Cos(2*math.Pi*r.Float64())
		}
		return z
	}
	policy, reference := [][]float64{row(), row()}, [][]float64{row(), row()}
	loss := dpo.ComputeDPOLoss(policy, reference, beta)
	words := fmt.Sprintf("%d words", vocab)
	if vocab == 1 {
		words = "1 word"
	}
	near := ""
	if beta <= 1 {
		near = fmt.Sprintf("; at random logits it is close to log 2 = %.4f", math.Ln2)
	}
	text := fmt.Sprintf("Alignment Signal: DPO-Loss=%s\n\n", short(loss)) + wrapped(fmt.Sprintf(
		"That is compute_dpo_loss on random logits (%s, β = %g, seed %d). It takes the mean of log softmax over the whole vocabulary for a response's log-probability, so it compares two distributions and not two responses%s.",
		words, beta, seed, near), 0) + "\n\n"
	return text + realLoss(policy, reference, beta, r)
}

// realLoss is what DPO computes of two one-word responses, drawn at random: the
// log-probability of the words that were said. The rows stand for one prompt, so that
// the second response is read off the same ones.
func realLoss(policy, reference [][]float64, beta float64, r *rng.Stream) string {
	vocab := len(policy[0])
	if vocab < 2 {
		return "DPO compares two different responses, which takes two words.\n"
	}
	chosen := r.IntN(vocab)
	rejected := (chosen + 1 + r.IntN(vocab-1)) % vocab // another one
	h := (policy[0][chosen] - reference[0][chosen]) - (policy[0][rejected] - reference[0][rejected])
	actual, _ := dpo.Sigmoid(h, beta, 0)
	return wrapped(fmt.Sprintf("DPO takes the log-probability of the words that were said. Of one prompt, with row 0 for its next word, and the one-word responses number %d (chosen) and %d (rejected): h = log π/π_ref(chosen) − log π/π_ref(rejected) = %.4f, and the loss −log σ(βh) is %s.",
		chosen, rejected, h, short(actual)), 0) + "\n"
}

// short prints a loss with four decimals, or with four digits where it is huge.
func short(loss float64) string {
	if loss >= 1e6 {
		return fmt.Sprintf("%.4g", loss)
	}
	return fmt.Sprintf("%.4f", loss)
}
