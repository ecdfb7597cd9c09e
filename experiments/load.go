package experiments

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"rlhfsim/internal/field"
	"rlhfsim/sim"
)

// header is what an experiment file has besides the sections of sim.Config.
type header struct {
	Format   int          `toml:"format"`
	Name     string       `toml:"name"`
	Title    string       `toml:"title"`
	Question string       `toml:"question"`
	Extends  string       `toml:"extends"`
	Output   outputConfig `toml:"output"`
}

type outputConfig struct {
	Dir string `toml:"dir"`
}

// document is the schema of a file: the header and all sections. `seeds`,
// `arm`, `grid`, `variant`, `figure` and `claim` have shapes of their own and are read apart.
type document struct {
	header
	sim.Config
}

// apart are the keys that document does not decode.
var apart = []string{"seeds", "arm", "grid", "variant", "figure", "claim"}

// Load reads an experiment: an embedded name or a path, and key=value overrides.
// Its error is a Problems with everything that is wrong.
func Load(ref string, overrides []string) (*Experiment, error) {
	l := &loader{out: &reporter{}, lacking: map[string]bool{}}
	root := l.read(ref, "", nil)
	if root == nil {
		return nil, l.out.err()
	}
	l.written = root
	l.command = l.commandLine(overrides)
	l.root = merged(inherited(root, l.command), l.command)
	l.root.at = root.at // what is missing is missing in the file
	l.keys(l.root)
	return l.experiment(ref)
}

// loader holds one Load's state.
type loader struct {
	out     *reporter
	source  []byte
	root    *node // file, extends and command line merged
	base    *node // what the file extends, nil when nothing
	written *node // the file on top of what it extends
	command *node // the overrides alone
	folder  string
	set     map[armField]*armSetting // what the arms' methods were told, over all points
	lacking map[string]bool          // what the file as a whole lacks, and so every arm of it
}

// baseLost says whether a misspelt extends has taken away all that the file builds on.
func (l *loader) baseLost() bool {
	return l.base == nil && slices.ContainsFunc(l.root.keys, func(key string) bool { return field.Nearest(key, []string{"extends"}) != "" })
}

// read parses a file and what it extends. seen are the files on the way here.
func (l *loader) read(ref, from string, seen []string) *node {
	name, data, folder, err := open(ref, from)
	if err != nil {
		l.missing(ref, err)
		return nil
	}
	for _, s := range seen {
		if s == name {
			l.out.add(codeExtends, place{file: name}, "the files extend each other in a circle: "+strings.Join(append(seen, name), " → "), "")
			return nil
		}
	}
	if len(seen) == 0 {
		l.source, l.folder = data, folder
	}
	tree := parse(name, data, l.out)
	if tree == nil {
		return nil
	}
	l.localFile(tree, folder)
	parent := tree.get("extends")
	if parent == nil {
		return tree
	}
	if parent.kind != text {
		return tree // decode reports the type
	}
	tree.remove("extends")
	problems := len(l.out.all)
	base := l.read(parent.value.(string), folder, append(seen, name))
	if base == nil {
		if len(l.out.all) > problems && l.out.all[problems].Code == codeMissing {
			l.out.all[problems].at = parent.at
		}
		return nil
	}
	if len(seen) == 0 {
		l.base = base
	}
	for _, own := range []string{"name", "title", "question", "claim"} { // these are about one file
		if tree.get(own) == nil {
			base = without(base, only(own))
		}
	}
	return merged(inherited(base, tree), tree)
}

// inherited is what a file takes over from the one it extends: not the world that was
// written out, where it asks for a random one.
func inherited(base, tree *node) *node {
	if n := tree.get("world", "random", "words"); n == nil || n.value == int64(0) {
		return base
	}
	out := base
	for _, path := range []string{"world.words", "world.prompt", "world.value", "base.weights", "sft.demonstrations", "sft.file"} {
		if tree.get(strings.Split(path, ".")...) == nil {
			out = without(out, nested(path, &node{kind: text}))
		}
	}
	return out
}

func only(key string) *node {
	n := newTable(place{})
	n.set(key, &node{kind: text})
	return n
}

// localFile makes the path of a demonstrations file absolute where it was
// written, so that it means the same wherever it is merged.
func (l *loader) localFile(tree *node, folder string) {
	if f := tree.get("sft", "file"); f != nil && f.kind == text {
		if path := f.value.(string); path != "" && !filepath.IsAbs(path) {
			f.value = filepath.Join(folder, path)
		}
	}
}

// open finds an experiment by embedded name or path, relative to folder from.
func open(ref, from string) (name string, data []byte, folder string, err error) {
	if !strings.ContainsAny(ref, `/\`) && !strings.HasSuffix(ref, ".toml") {
		if data, err = Show(ref); err == nil {
			return ref + ".toml", data, "", nil
		}
		if from == "" {
			if _, statErr := os.Stat(ref); statErr != nil {
				return ref, nil, "", err
			}
		}
	}
	path := ref
	if from != "" && !filepath.IsAbs(path) {
		path = filepath.Join(from, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return path, nil, "", err
	}
	if !info.Mode().IsRegular() {
		return path, nil, "", errors.New("it is not a file")
	}
	if info.Size() > maxBytes { // parse says so; there is no need to read it all
		return path, make([]byte, maxBytes+1), filepath.Dir(path), nil
	}
	data, err = os.ReadFile(path)
	return path, data, filepath.Dir(path), err
}

func (l *loader) missing(ref string, err error) {
	label := "experiments that come with the program: " + strings.Join(Embedded(), ", ")
	if near := field.Nearest(strings.TrimSuffix(filepath.Base(ref), ".toml"), Embedded()); near != "" {
		label = "did you mean " + near + "? (they are: " + strings.Join(Embedded(), ", ") + ")"
	}
	if _, statErr := os.Stat(filepath.Join(ref, "resolved.toml")); statErr == nil {
		label = "it is a run's folder; its experiment is " + filepath.Join(ref, "resolved.toml")
	} else if errors.Is(err, fs.ErrPermission) {
		label = "its permissions keep this user from reading it"
	}
	reason := err.Error()
	var path *fs.PathError
	if errors.As(err, &path) {
		reason = path.Err.Error()
	} else if strings.HasPrefix(reason, "no experiment") {
		reason = "no such experiment or file"
	}
	l.out.add(codeMissing, place{file: ref}, fmt.Sprintf("cannot read experiment %q: %s", ref, reason), label)
}

// commandLine turns key=value arguments into a tree of their own.
func (l *loader) commandLine(overrides []string) *node {
	root := newTable(place{file: commandLineName})
	for _, o := range overrides {
		at := place{file: commandLineName, text: o}
		key, value, ok := strings.Cut(o, "=")
		if !ok || key == "" {
			l.out.add(codeSyntax, at, fmt.Sprintf("%q is no setting", o), "write key=value, as in ppo.cliprange=0.1")
			continue
		}
		into := root
		parts := strings.Split(key, ".")
		for _, p := range parts[:len(parts)-1] {
			next := into.under[p]
			if next == nil || next.kind != table {
				next = newTable(at)
				into.set(p, next)
			}
			into = next
		}
		into.set(parts[len(parts)-1], overrideValue(value, at))
	}
	return root
}

// Sweeps turns "key=a,b,c" into overrides of [grid]. Commas inside brackets or
// quotes do not part values.
func Sweeps(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		key, list, ok := strings.Cut(arg, "=")
		if !ok || key == "" || strings.TrimSpace(list) == "" {
			return nil, Usage(fmt.Sprintf("-m %s: write key=value,value,…, as in -m labels.rankings=100,400", arg))
		}
		var values []string
		for _, v := range splitValues(list) {
			values = append(values, literal(overrideValue(strings.TrimSpace(v), place{file: commandLineName, text: arg})))
		}
		out = append(out, "grid."+key+"=["+strings.Join(values, ", ")+"]")
	}
	return out, nil
}

func splitValues(list string) []string {
	var values []string
	depth, quote, from := 0, rune(0), 0
	for i, r := range list {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '[' || r == '{':
			depth++
		case r == ']' || r == '}':
			depth--
		case r == ',' && depth == 0:
			values = append(values, list[from:i])
			from = i + 1
		}
	}
	return append(values, list[from:])
}

const commandLineName = "command line"

// overrideValue reads a value as TOML; what is none is a string, so that quotes
// are not needed on a command line.
func overrideValue(value string, at place) *node {
	quiet := &reporter{}
	tree := parse(commandLineName, []byte("x = "+value), quiet)
	n := tree.get("x")
	if n == nil || len(tree.keys) != 1 {
		n = &node{kind: text, value: value}
		if _, err := strconv.ParseInt(value, 10, 64); errors.Is(err, strconv.ErrRange) { // too big for TOML, yet no text
			f, _ := strconv.ParseFloat(value, 64)
			n = &node{kind: decimal, value: f}
		}
	}
	n.relocate(at)
	return n
}

func (n *node) relocate(at place) {
	n.at, n.keyAt = at, at
	for _, item := range n.items {
		item.relocate(at)
	}
	for _, k := range n.keys {
		n.under[k].relocate(at)
	}
}

// keys checks every key and type of the merged tree, arms and sweeps included.
func (l *loader) keys(root *node) {
	d := &decoder{out: l.out}
	rest := newTable(root.at)
	for _, k := range root.keys {
		rest.set(k, root.under[k])
	}
	for _, k := range apart {
		rest.remove(k)
	}
	doc := document{Config: sim.Default()}
	v := reflect.ValueOf(&doc).Elem()
	known := append(fieldsOf(v).names(), apart...)
	for _, key := range rest.keys {
		if f, ok := fieldsOf(v).get(key); ok {
			d.decode(rest.under[key], key, f)
		} else {
			d.unknown(rest.under[key], "", key, known)
		}
	}
	if rest.get("format") == nil {
		l.out.add(codeFormat, root.at, "the file does not say which format it has", "write format = 1 in its first line")
	} else if n := rest.get("format"); n.kind == whole && doc.Format != 1 {
		l.out.add(codeFormat, n.at, fmt.Sprintf("`format = %d` is not known to this version", doc.Format), "this version reads format = 1")
	}
}

// experiment spreads the merged tree out into points and arms.
func (l *loader) experiment(ref string) (*Experiment, error) {
	e := &Experiment{Source: l.source, OutputDir: "runs"}
	e.Name = nameOf(ref)
	e.Seeds = l.seeds()
	var h header
	h.Output.Dir = e.OutputDir
	quiet := decoder{out: &reporter{}} // keys has reported everything
	quiet.decode(l.root, "", reflect.ValueOf(&h).Elem())
	if h.Name != "" {
		e.Name = h.Name
	}
	if !validName(e.Name) {
		l.out.add(codeValue, l.at("name"), fmt.Sprintf("`name = %q` cannot name a folder", e.Name), "use letters, digits, '.', '_' and '-'")
	}
	e.Title, e.Question, e.OutputDir = h.Title, h.Question, h.Output.Dir
	if e.Title == "" {
		e.Title = e.Name
	}
	l.demonstrations()
	arms := l.arms()
	if _, names, methods := unreadByAll(l.command, arms); len(names) > 0 { // a loop over experiments may set more than each one needs
		e.Notice = fmt.Sprintf("note: no arm reads [%s], which the command line sets; the arms' methods: %s", strings.Join(names, "], ["), strings.Join(methods, ", "))
	}
	l.points(e, arms)
	l.reportUnused(arms)
	if g := l.root.get("grid"); g != nil && len(l.out.all) == 0 {
		unread, names, methods := unreadByAll(g, arms)
		for i, n := range unread {
			l.out.add(codeSweep, n.at, fmt.Sprintf("no arm reads [%s]: a sweep of it changes nothing", names[i]), "the arms' methods: "+strings.Join(methods, ", "))
		}
	}
	if len(e.Points) > 0 && len(arms) > 0 && e.Points[0].Config.Validate() == nil {
		e.Claims = l.claims(e)
	}
	e.Figures = l.figures(e)
	if err := l.out.err(); err != nil {
		return nil, err
	}
	e.Changed = l.changes(arms)
	e.Resolved = l.resolved(e, arms)
	return e, nil
}

func (l *loader) at(path string) place { return l.root.find(path).at }

// followBeta are the fields that are objective.beta where a file does not set them.
var followBeta = []string{"ppo.kl_coef", "grpo.beta", "online.beta", "dpo.beta"}

// config decodes the sections of a tree over the defaults of the arm's method
// (none: ""), fills what follows from other fields, and checks values. Problems are placed where the tree has the field.
func (l *loader) config(tree *node, method string) sim.Config {
	doc := document{Config: sim.DefaultFor(method)}
	quiet := decoder{out: &reporter{}}
	quiet.decode(tree, "", reflect.ValueOf(&doc).Elem())
	if tree.get("ppo", "kl_coef") == nil {
		doc.PPO.KLCoef = doc.Objective.Beta
	}
	if tree.get("grpo", "beta") == nil {
		doc.GRPO.Beta = doc.Objective.Beta
	}
	if tree.get("online", "beta") == nil {
		doc.Online.Beta = doc.Objective.Beta
	}
	if tree.get("dpo", "beta") == nil {
		doc.DPO.Beta = doc.Objective.Beta
	}
	if quiet.failed("world") {
		return doc.Config // reported; what follows from a world half read would only confuse
	}
	for _, e := range field.All(doc.Config.ValidateFor(method)) {
		var notes []string
		if e.Why != "" {
			notes = append(notes, "why: "+e.Why)
		}
		if help := cmp.Or(e.Help, meantValue(e)); help != "" {
			notes = append(notes, "help: "+help)
		}
		if quiet.failed(e.Field) {
			continue
		}
		name := e.Field
		if slices.Contains(followBeta, name) && tree.get(strings.Split(name, ".")...) == nil {
			name = "objective.beta"
			notes = append(notes, "note: "+e.Field+" follows it")
		}
		message, written := fmt.Sprintf("`%s = %v` is impossible", name, e.Value), tree.find(name)
		if written == tree && (l.baseLost() || l.lacking[message]) {
			continue // a consequence, or told of the file
		}
		if written == tree && written.at.line == 0 {
			l.lacking[message] = true
		}
		l.out.add(codeValue, written.at, message, "must be "+e.Allowed, notes...)
	}
	if len(l.out.all) > 0 {
		return doc.Config
	}
	return doc.Config.Expanded()
}

// foreignValues are other systems' words for what a field chooses from.
var foreignValues = map[string]string{
	"kl": "k1", "mse": "k2", "low_var_kl": "k3", "low_var_kl+": "k3_plus", "k3+": "k3_plus", "k2+": "k2", "k1+": "k1_plus", "kl+": "k1_plus",
	"nn": "mlp", "network": "mlp", "neural": "mlp", "linear_decay": "linear", "bt": "pairwise", "bradley_terry": "pairwise", "pl": "plackett_luce",
	"min": "worst_case", "wco": "worst_case", "uwo": "uncertainty_weighted", "ref": "reference", "sft": "reference", "rm": "reward_model", "humans": "raters",
	"loo": "leave_one_out", "rloo": "leave_one_out", "grpo": "group_mean", "remax": "greedy", "opo": "length_weighted", "seq": "sequence",
}

// meantValue says which option was probably meant, "" when none is near.
func meantValue(e *field.Error) string {
	value := strings.Trim(fmt.Sprint(e.Value), "\"")
	if known := foreignValues[value]; slices.Contains(e.Options, known) && known != value {
		return fmt.Sprintf("%q is %q here", value, known)
	}
	if near := field.Nearest(value, e.Options); near != "" && len(e.Options) > 0 {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// nameOf makes a run's name of a file's: what cannot stand in it becomes '-'.
func nameOf(ref string) string {
	return strings.Map(func(r rune) rune {
		if validName("x" + string(r)) {
			return r
		}
		return '-'
	}, strings.TrimSuffix(filepath.Base(ref), ".toml"))
}

func validName(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return false
		}
	}
	return name != "" && name != "." && name != ".." && len(name) <= 100
}
