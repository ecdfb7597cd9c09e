package experiments

import (
	"strings"
	"testing"

	"rlhfsim/sim"
)

// Methods and losses as people know them from papers and other systems.
func TestNamesOfMethodsAndLosses(t *testing.T) {
	for written, want := range map[string]string{
		"GRPO": `did you mean "grpo"?`, "Dr. GRPO": `did you mean "dr_grpo"?`, "best-of-n": `did you mean "best_of_n"?`, "reinforce++": `did you mean "reinforce_pp"?`,
		"SimPO": `did you mean "simpo"?`, "kto_pair": `did you mean "kto"?`, "SLiC": `did you mean "slic_hf"?`, "rpo": `method = "dpo": RPO is dpo.loss_type = "sigmoid+sft"`,
		"TR-DPO": "dpo.sync_ref_model = true", "expert iteration": `did you mean "raft"?`, "RFT": `did you mean "rft"?`, "offline Q-learning": `did you mean "ilql"?`, "quantum": "methods: ppo, dpo,",
	} {
		_, report := load(t, head+"[[arm]]\nmethod = \""+written+"\"\n")
		if !strings.Contains(report, want) || !strings.Contains(report, "E041") || !strings.Contains(report, "x.toml:4:10") || !strings.Contains(report, "1 error.") {
			t.Errorf("method %q: the report lacks %q:\n%s", written, want, report)
		}
	}
	for written, want := range map[string]string{
		`"kto_pair"`: `did you mean "kto"?`, `"DPO"`: `did you mean "sigmoid"?`, `"exo"`: `did you mean "exo_pair"?`, `"SimPO"`: `did you mean "simpo"?`, `"slic"`: `did you mean "slic_hf"?`,
		`"cdpo"`: `cDPO is loss_type = "sigmoid" with label_smoothing`, `"sigmoid + sft"`: `did you mean "sigmoid"?`, `["sigmoid", "sft"]`: `joined by +`,
	} {
		_, report := load(t, head+"[[arm]]\nmethod = \"dpo\"\ndpo.loss_type = "+written+"\n")
		if !strings.Contains(report, want) {
			t.Errorf("loss_type = %s: the report lacks %q:\n%s", written, want, report)
		}
	}
	for setting, want := range map[string]string{
		`ppo.kl_estimator="low_var_kl"`: `"low_var_kl" is "k3" here`, `ppo.kl_estimator="mse"`: `"mse" is "k2" here`, `ppo.kl_estimator="k33"`: `did you mean "k3"?`,
		`grpo.scale_rewards=true`: `true elsewhere is "group" here`, `dpo.gamma_beta_ratio=1`: "`simpo_gamma`", `grpo.n=4`: "`num_generations`", `dpo.orpo_lambda=1`: "`beta`",
		`ilql.beta=1`: "`awac_beta`", `raft.num_generations=1`: "nothing to choose",
	} {
		if _, report := load(t, head, setting); !strings.Contains(report, want) {
			t.Errorf("%s: the report lacks %q:\n%s", setting, want, report)
		}
	}
	_, report := load(t, head+"[[arm]]\nmethod = \"dpo\"\nbeta = 0.1\n")
	if !strings.Contains(report, "did you mean `dpo.beta`?") {
		t.Error(report)
	}
}

// An arm without a known method is the only problem of a file that claims something
// of it and draws its metrics.
func TestUnknownMethodWithClaimAndFigure(t *testing.T) {
	for method, problems := range map[string]string{`thod = "ppo"`: "2 errors.", `method = "poo"`: "1 error."} {
		_, report := load(t, head+"[[arm]]\nname = \"a\"\n"+method+"\n"+goldClaim+"of = \"a\"\nis = \"above\"\nthan = 0\n[[figure]]\nkind = \"curve\"\ny = \"loss/policy_avg\"\n")
		if !strings.Contains(report, "E041") || !strings.Contains(report, problems) {
			t.Errorf("%s: %s", method, report)
		}
	}
}

// A field that changes nothing is an error: of an arm's own, or where no arm uses it,
// at no point of a sweep.
func TestUnusedFields(t *testing.T) {
	arm := func(method string, lines ...string) string {
		return "[[arm]]\nmethod = \"" + method + "\"\n" + strings.Join(append(lines, ""), "\n")
	}
	for name, c := range map[string]struct{ text, want string }{ // want "" = valid
		"of the arm's own":             {arm("grpo", "grpo.vespo_k_pos = 3.0"), "`grpo.vespo_k_pos = 3` changes nothing"},
		"shared, used by one":          {"[dpo]\nlabel_smoothing = 0.1\n" + arm("dpo") + arm("hinge"), ""},
		"shared, used by none":         {"[dpo]\nsimpo_gamma = 0.1\n" + arm("dpo") + arm("hinge"), "sigmoid does not use it"},
		"at one point of a sweep":      {"[grid]\ndpo.loss_type = [\"sigmoid\", \"hinge\"]\n" + arm("dpo", "dpo.label_smoothing = 0.1"), ""},
		"at no point of a sweep":       {"[grid]\ndpo.loss_type = [\"savage\", \"hinge\"]\n" + arm("dpo", "dpo.label_smoothing = 0.1"), "changes nothing"},
		"a loss's own way to add up":   {arm("grpo", "grpo.loss_agg_mode = \"seq_mean_token_mean\""), "must be left at \"as_loss\""},
		"an unknown way, told once":    {arm("grpo", "grpo.loss_agg_mode = \"token-mean\""), "did you mean \"token_mean\"?\n\n1 error."},
		"swept":                        {"[grid]\ngrpo.epsilon = [0.1, 0.2]\n" + arm("reinforce"), "has no clip and no weight to set"},
		"another's switch":             {arm("ppo", "ppo.target_kl = 0.3"), "only early_stopping = true uses it"},
		"the switch is there":          {arm("ppo", "ppo.target_kl = 0.3", "ppo.early_stopping = true"), ""},
		"the default, written out":     {arm("hinge", "dpo.simpo_gamma = 0.5"), ""},
		"a rule without quantiles":     {arm("raft", "raft.start_percentile = 0.5"), "only select = \"percentile\" uses it"},
		"a rule with them":             {arm("rft", "raft.start_percentile = 0.5"), ""},
		"an AWAC term of weight 0":     {arm("ilql", "ilql.awac_scale = 0.0", "ilql.awac_beta = 1.0"), "leaves the behaviour policy as it is"},
		"β of a loss without one":      {arm("slic_hf", "dpo.beta = 0.2"), "`dpo.beta = 0.2` changes nothing"},
		"β swept":                      {"[grid]\ndpo.beta = [0.2, 0.4]\n" + arm("dpo", "dpo.loss_type = \"sft\""), "sft has no β"},
		"β that nobody wrote":          {"objective.beta = 0.2\n" + arm("slic_hf"), ""},
		"β shared with DPO":            {"[dpo]\nbeta = 0.2\n" + arm("dpo") + arm("slic_hf"), ""},
		"of the reward model":          {"[reward]\nhidden_size = 4\n" + arm("ppo"), "only model = \"mlp\" uses it"},
		"of the policy":                {"[policy]\nrank = 2\n" + arm("ppo"), "low_rank"},
		"a loss that is not DPO's own": {arm("sigmoid", "dpo.loss_type = \"ipo\""), "must be \"sigmoid\" with method = \"sigmoid\""},
		"a loss that is not its own":   {arm("kto", "dpo.loss_type = \"ipo\""), "must be \"kto\" with method = \"kto\""},
		"a reference that never moves": {arm("dpo", "dpo.sync_ref_model = true", "dpo.ref_model_sync_steps = 100000"), "the reference would never move"},
	} {
		_, report := load(t, head+c.text)
		if c.want == "" && report != "" || !strings.Contains(report, c.want) {
			t.Errorf("%s: the report lacks %q:\n%s", name, c.want, report)
		}
	}
}

// Names that would share a file with another arm's, or with a shared stage's.
func TestNamesOfArms(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a shared stage": {"[[arm]]\nname = \"SFT\"\nmethod = \"ppo\"\n", "an arm cannot be called \"SFT\""},
		"case":           {"[[arm]]\nmethod = \"ppo\"\n[[arm]]\nname = \"PPO\"\nmethod = \"dpo\"\n", "differ in more than upper and lower case"},
		"twice":          {"[[arm]]\nmethod = \"ppo\"\n[[arm]]\nmethod = \"ppo\"\n", "two arms are called \"ppo\""},
		"two unknown":    {"[[arm]]\nmethod = \"pp\"\n[[arm]]\nmethod = \"do\"\n", "2 errors."},
	} {
		if _, report := load(t, head+c.text); !strings.Contains(report, c.want) {
			t.Errorf("%s: the report lacks %q:\n%s", name, c.want, report)
		}
	}
}

// A random world takes the place of the one that the extended file has written out.
func TestARandomWorldReplacesTheInheritedOne(t *testing.T) {
	e, report := load(t, head+"[world.random]\nwords = 20\n", append(quick, "seeds=1")...)
	if report != "" || len(e.Points[0].Config.World.Prompts) != 8 || len(e.Points[0].Config.World.Words) != 6 || e.Points[0].Config.World.Words[0].Value[0] != "w0" {
		t.Errorf("%s\n%+v", report, e)
	}
	if _, report := load(t, head, "world.random.words=20"); report != "" {
		t.Error(report)
	}
	if _, report := load(t, head+"[world.random]\nwords = 20\n[world.words]\na = [\"b\"]\n"); !strings.Contains(report, "generates it") {
		t.Error(report)
	}
}

// A preference loss is the same as a method of its own and as DPO's loss_type: same
// numbers, batch for batch.
func TestALossIsAMethod(t *testing.T) {
	e, report := load(t, head+"[[arm]]\nmethod = \"ipo\"\n[[arm]]\nname = \"same\"\nmethod = \"dpo\"\ndpo.loss_type = \"ipo\"\n", append(quick, "seeds=1")...)
	if report != "" {
		t.Fatal(report)
	}
	a, b := e.Points[0].Arms[0], e.Points[0].Arms[1]
	one, two := rowsOf(t, e.Points[0].Config, a), rowsOf(t, e.Points[0].Config, b)
	for i := range one {
		for _, m := range one[i].Metrics {
			if v := two[i].Get(m.Name); v != m.Value {
				t.Errorf("step %d: %s = %v and %v", one[i].Step, m.Name, m.Value, v)
			}
		}
	}
}

func rowsOf(t *testing.T, c sim.Config, a Arm) []sim.Row {
	t.Helper()
	lab, err := sim.NewLab(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := lab.NewShared(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	out, err := shared.RunArm(t.Context(), sim.Arm{Name: a.Name, Method: a.Method, Config: a.Config})
	if err != nil {
		t.Fatal(err)
	}
	return out.Rows
}
