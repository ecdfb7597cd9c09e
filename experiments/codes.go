package experiments

// codeDoc explains a problem's code: what is wrong, why that is refused, and an
// experiment file that has the problem next to one that has not.
type codeDoc struct {
	Code           Code
	Title          string // what is wrong, in a few words
	Cause          string
	Example, Fixed string
	See            []string
}

const exampleHead = "format = 1\nextends = \"chapter\"\n"

// codeDocs has an entry for every code of problem.go, in order.
var codeDocs = []codeDoc{
	{Code: codeMissing, Title: "the experiment cannot be read",
		Cause:   "There is no experiment of that name in the program and no such file, or the file cannot be opened. The same holds for what a file `extends`.",
		Example: "format = 1\nextends = \"chaptr\"\n", Fixed: exampleHead,
		See: []string{"extends", "E005"}},
	{Code: codeSyntax, Title: "not TOML, or no setting",
		Cause:   "The file is not TOML (an open bracket, a key given twice, bytes that are no UTF-8), or an argument of the command line is not key=value.",
		Example: exampleHead + "[ppo\nlam = 0.9\n", Fixed: exampleHead + "[ppo]\nlam = 0.9\n",
		See: []string{"E021"}},
	{Code: codeSize, Title: "the file is too large or nested too deeply",
		Cause:   "An experiment file has at most 64 KiB and a bounded depth, so that a damaged or hostile file cannot exhaust memory. Long lists of demonstrations belong in a JSONL file that `sft.file` names.",
		Example: exampleHead + "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g.h.i.j.k.l.m = 1\n", Fixed: exampleHead,
		See: []string{"sft.file"}},
	{Code: codeFormat, Title: "the file's format is missing or unknown",
		Cause:   "`format` says which version of the file format this is, so that old files keep their meaning. This version of the program reads 1.",
		Example: "format = 2\nextends = \"chapter\"\n", Fixed: exampleHead,
		See: []string{"format"}},
	{Code: codeExtends, Title: "files extend each other in a circle",
		Cause:   "Following `extends` from this file leads back to it, so it has no beginning. The report lists the way round. Let one of them stand on its own, or extend an experiment that comes with the program.",
		Example: "format = 1\nextends = \"x.toml\" # in the file x.toml\n", Fixed: exampleHead,
		See: []string{"extends"}},
	{Code: codeUnknown, Title: "unknown field",
		Cause:   "The section has no field of that name. Nothing is ever ignored: a misspelt field would otherwise leave its default in place without a word. Other libraries' names are not accepted but translated.",
		Example: exampleHead + "[ppo]\nclip_coef = 0.1\n", Fixed: exampleHead + "[ppo]\ncliprange = 0.1\n",
		See: []string{"E013"}},
	{Code: codePlace, Title: "the field belongs elsewhere",
		Cause:   "The field exists in another section, or an arm tries to change what all arms share: base, SFT, rankings and reward model are the same for all arms, so that arms are compared on equal terms. Vary those with [grid] or [[variant]].",
		Example: exampleHead + "beta = 0.1\n", Fixed: exampleHead + "objective.beta = 0.1\n",
		See: []string{"E012", "arm", "grid", "variant"}},
	{Code: codeType, Title: "a value of the wrong type",
		Cause:   "The field wants another kind of value: a number without quotes, a text in quotes, a whole number without a point, a list in brackets.",
		Example: exampleHead + "[objective]\nbeta = \"0.1\"\n", Fixed: exampleHead + "[objective]\nbeta = 0.1\n",
		See: []string{"E034"}},
	{Code: codeValue, Title: "an impossible value",
		Cause:   "The value has the right type but lies outside what the field may hold; the report says what that is, and why. `rlhfsim explain FIELD` shows it too.",
		Example: exampleHead + "[labels]\nlabel_noise = 0.6\n", Fixed: exampleHead + "[labels]\nlabel_noise = 0.4\n",
		See: []string{"E021"}},
	{Code: codeArm, Title: "an arm that cannot be",
		Cause:   "An [[arm]] needs a method that exists and a name that no other arm has and that can name a file; a file needs at least one arm and may have at most 100.",
		Example: exampleHead + "[[arm]]\nmethod = \"pop\"\n", Fixed: exampleHead + "[[arm]]\nmethod = \"ppo\"\n",
		See: []string{"arm.method", "arm.name"}},
	{Code: codeSweep, Title: "a grid or variant that cannot be",
		Cause:   "[grid] takes lists of different values for fields of the sections; variants need names of their own; and the product of both with arms and seeds may have at most 100,000 cells.",
		Example: exampleHead + "[grid]\nlabels.rankings = 50\n", Fixed: exampleHead + "[grid]\nlabels.rankings = [50, 200]\n",
		See: []string{"grid", "variant", "cell"}},
	{Code: codeData, Title: "the demonstrations file cannot be used",
		Cause:   "`sft.file` cannot be read, or a line of it is no JSON object with exactly the texts prompt and completion. A path is relative to the file that names it.",
		Example: exampleHead + "[sft]\nfile = \"none.jsonl\"\n", Fixed: exampleHead + "[sft]\nfile = \"more.jsonl\" # {\"prompt\": \"i am so tired\", \"completion\": \"rest\"}\n",
		See: []string{"sft.file", "demonstration"}},
	{Code: codeFigure, Title: "a figure that cannot be drawn",
		Cause:   "A [[figure]] needs a kind that exists, metrics, arms and swept fields that the run has, and a name of its own.",
		Example: exampleHead + "[[figure]]\nkind = \"overoptt\"\n", Fixed: exampleHead + "[[figure]]\nkind = \"frontier\"\n",
		See: []string{"figure", "figure overopt"}},
	{Code: codeClaim, Title: "a claim that cannot be checked",
		Cause:   "A [[claim]] names an arm, stage, metric, swept field or value that is not there, or says neither `is` nor `trend`. `claim=[]` on the command line runs an experiment without its claims.",
		Example: exampleHead + "[[claim]]\nmetric = \"exact/gold\"\nof = \"ppo\"\nis = \"above\"\nthan = 0\n",
		Fixed:   exampleHead + "[[claim]]\nmetric = \"exact/gold_reward\"\nof = \"ppo\"\nis = \"above\"\nthan = 0\n",
		See:     []string{"claim", "claim.metric"}},
}
