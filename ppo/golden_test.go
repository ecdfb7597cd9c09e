package ppo

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"rlhfsim/policy"
)

func readGolden(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/golden/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// Whole updates in torch: the shipping rollout and backward pass, with what
// differs put around them. There the value is linear, V = w·φ with φ a one-hot
// prompt, a one-hot context and t/T: the table is filled from w and its
// gradient pulled back to w. And there one optimiser and one norm serve both.
func TestGoldenTrajectory(t *testing.T) {
	t.Run("traj_ppo_update.json", func(t *testing.T) {
		var g struct {
			Runs []goldenRun
		}
		readGolden(t, "traj_ppo_update.json", &g)
		if len(g.Runs) == 0 {
			t.Fatal("no runs")
		}
		for _, run := range g.Runs {
			run.check(t)
		}
	})
}

type goldenRun struct {
	Config struct {
		P, V, T, N              int
		Gamma, Lam, Clip, VClip float64
		KLCoef                  float64 `json:"kl_coef"`
		VFCoef                  float64 `json:"vf_coef"`
		EntCoef                 float64 `json:"ent_coef"`
		Whiten                  bool
		MaxGradNorm             float64 `json:"max_grad_norm"` // 0 for null
		Optimizer               string
		LR                      float64
	}
	InitialLogits   [][][]float64 `json:"initial_logits"`
	ReferenceLogits [][][]float64 `json:"reference_logits"`
	InitialWeights  []float64     `json:"initial_value_weights"`
	Episodes        []struct {
		Prompt int
		Tokens []int
		Score  float64
	}
	Orders       [][]int     `json:"epoch_orders"`
	Old          [][]float64 `json:"old_logprobs"`
	Ref          [][]float64 `json:"ref_logprobs"`
	Values       [][]float64 `json:"old_values"`
	TokenRewards [][]float64 `json:"token_rewards"`
	GAE          [][]float64 `json:"gae_before_whitening"`
	Advantages   [][]float64
	Returns      [][]float64
	Steps        []struct {
		Indices      []int
		PolicyLoss   float64       `json:"policy_loss"`
		ValueLoss    float64       `json:"value_loss"`
		Entropy      float64       `json:"entropy"`
		TotalLoss    float64       `json:"total_loss"`
		PolicyClip   float64       `json:"policy_clipfrac"`
		ValueClip    float64       `json:"value_clipfrac"`
		ApproxKL     float64       `json:"approxkl"`
		GradNorm     float64       `json:"grad_norm"`
		WeightsAfter []float64     `json:"value_weights_after"`
		LogitsAfter  [][][]float64 `json:"logits_after"`
	}
}

// flat puts the start, torch's context 0, behind the words' contexts.
func flat(logits [][][]float64) []float64 {
	var z []float64
	for _, rows := range logits {
		for _, row := range rows[1:] {
			z = append(z, row...)
		}
		z = append(z, rows[0]...)
	}
	return z
}

// features calls f with each non-zero entry of φ in a state of the value table.
func (run *goldenRun) features(s policy.Shape, state int, f func(i int, coef float64)) {
	t, x, context := state/s.Rows(), state%s.Rows()/s.Contexts(), state%s.Contexts()
	f(x, 1)
	f(s.Prompts+(context+1)%s.Contexts(), 1)
	f(s.Prompts+s.Contexts(), float64(t)/float64(s.MaxLength))
}

func (run *goldenRun) check(t *testing.T) {
	in := run.Config
	s := policy.Shape{Prompts: in.P, Words: in.V, MaxLength: in.T, Order: 1}
	c := Config{BatchSize: in.N, TotalEpisodes: in.N, NumPPOEpochs: len(run.Orders), NumMiniBatches: 2,
		Cliprange: in.Clip, CliprangeValue: in.VClip, VFCoef: in.VFCoef, EntropyCoef: in.EntCoef}
	if in.VClip == 0 { // null
		c.CliprangeValue = math.Inf(1)
	}
	pi, ref := randomPolicy(t, s, 1), randomPolicy(t, s, 1)
	// θ is the logits and then w, under one optimiser.
	theta := append(flat(run.InitialLogits), run.InitialWeights...)
	z, w := theta[:s.Cells()], theta[s.Cells():]
	if err := ref.SetLogits(flat(run.ReferenceLogits)); err != nil {
		t.Fatal(err)
	}
	tr := New(c, pi, ref, nil, nil)
	load := func() {
		if err := pi.SetLogits(z); err != nil {
			t.Fatal(err)
		}
		for i := range tr.value.v {
			v := 0.0
			run.features(s, i, func(k int, coef float64) { v += coef * w[k] })
			tr.value.v[i] = v
		}
	}
	load()

	b := tr.rollout
	for e, episode := range run.Episodes {
		y := policy.Response{}
		for _, token := range episode.Tokens {
			if token < in.V {
				y = append(y, policy.Token(token))
			}
		}
		b.prompt[e], b.response[e], b.total[e], b.start[e] = policy.Prompt(episode.Prompt), y, episode.Score, int32(len(b.index))
		b.index = pi.Path(b.index, b.prompt[e], y)
		if n := len(b.index) - int(b.start[e]); n != len(episode.Tokens) {
			t.Fatalf("%d decisions for %v", n, episode.Tokens)
		}
		for k, i := range b.index[b.start[e]:] {
			row := int(i) / s.Outcomes()
			b.row, b.state = append(b.row, int32(row)), append(b.state, int32(k*s.Rows()+row))
		}
	}
	n := len(b.index)
	b.start[in.N] = int32(n)
	for _, f := range []*[]float64{&b.old, &b.ref, &b.reward, &b.value, &b.advantage, &b.returns, &b.logRatio, &b.ratio} {
		*f = (*f)[:n]
	}
	for j, i := range b.index {
		b.old[j], b.ref[j] = pi.LogP[i], ref.LogP[i]
	}
	var stats Stats
	b.penalties(b.reward, pi, ref, "k1")
	b.tokenRewards(in.KLCoef, &stats)
	b.advantages(tr.value, in.Gamma, in.Lam, &stats)
	run.compare(t, "old log π", b, b.old, run.Old)
	run.compare(t, "ref log π", b, b.ref, run.Ref)
	run.compare(t, "old value", b, b.value, run.Values)
	run.compare(t, "token reward", b, b.reward, run.TokenRewards)
	run.compare(t, "gae", b, b.advantage, run.GAE)
	run.compare(t, "return", b, b.returns, run.Returns)
	if in.Whiten {
		Whiten(b.advantage, true)
	}
	run.compare(t, "advantage", b, b.advantage, run.Advantages)

	adam := policy.NewAdam(len(theta))
	grad := make([]float64, len(theta))
	for k, want := range run.Steps {
		order := run.Orders[k/2]
		half := len(order) / 2
		episodes := order[k%2*half : k%2*half+half]
		if !slices.Equal(episodes, want.Indices) {
			t.Fatalf("episodes %v, want %v", episodes, want.Indices)
		}
		var got Stats
		tr.backward(episodes, &got)
		near(t, "policy_loss", got.PolicyLoss, want.PolicyLoss, 1e-9)
		near(t, "value_loss", got.ValueLoss, want.ValueLoss, 1e-9)
		near(t, "entropy", got.PolicyEntropy, want.Entropy, 1e-9)
		near(t, "total_loss", got.PolicyLoss+in.VFCoef*got.ValueLoss-in.EntCoef*got.PolicyEntropy, want.TotalLoss, 1e-9)
		near(t, "policy_clipfrac", got.ClipFrac, want.PolicyClip, 1e-12)
		near(t, "value_clipfrac", got.ValueClipFrac, want.ValueClip, 1e-12)
		near(t, "approxkl", got.ApproxKL, want.ApproxKL, 1e-9)

		pi.LogitGradient(tr.policy.G)
		clear(grad)
		copy(grad, tr.policy.G)
		for i, slope := range tr.value.g {
			run.features(s, i, func(k int, coef float64) { grad[s.Cells()+k] += coef * slope })
		}
		clear(tr.policy.G)
		clear(tr.value.g)
		near(t, "grad_norm", policy.ClipGradNorm(grad, in.MaxGradNorm), want.GradNorm, 1e-9)
		switch in.Optimizer {
		case "adam":
			adam.Step(theta, grad, in.LR)
		case "sgd":
			for i := range theta {
				theta[i] -= in.LR * grad[i]
			}
		default:
			t.Fatalf("optimizer %q", in.Optimizer)
		}
		load()
		for i := range w {
			near(t, "value weight", w[i], want.WeightsAfter[i], 1e-9)
		}
		if want.LogitsAfter != nil {
			for i, v := range flat(want.LogitsAfter) {
				near(t, "logit", z[i], v, 1e-9)
			}
		}
	}
}

func (run *goldenRun) compare(t *testing.T, what string, b *rollout, got []float64, want [][]float64) {
	t.Helper()
	for e := range run.Episodes {
		for j := b.start[e]; j < b.start[e+1]; j++ {
			near(t, what, got[j], want[e][j-b.start[e]], 1e-11)
		}
	}
}
