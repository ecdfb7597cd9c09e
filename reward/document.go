package reward

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"rlhfsim/internal/golden"
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// DocumentKinds are the kinds of documents that Recompute reads.
var DocumentKinds = []string{"reward", "traj_reward_bt"}

// Recompute reads a document of golden values (its schema is described in
// testdata/golden/README.md) and computes every result again with the functions that
// training uses.
func Recompute(data []byte) ([]golden.Value, error) {
	kind, err := golden.Kind(data)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "reward":
		return golden.Results(data, lossResult.of)
	case "traj_reward_bt":
		return golden.Runs(data, fitRun.of)
	}
	return nil, fmt.Errorf("a document of kind %q; known kinds: %q", kind, DocumentKinds)
}

type lossCase struct {
	Chosen   []float64 `json:"rewards_chosen"`
	Rejected []float64 `json:"rewards_rejected"`
	Margin   []float64
}

type lossResult struct {
	UseMargin    bool     `json:"use_margin"`
	Center       *float64 `json:"center_rewards_coefficient"`
	Loss         *float64
	Accuracy     *float64
	GradChosen   []float64 `json:"grad_chosen"`
	GradRejected []float64 `json:"grad_rejected"`
}

// of is TRL's RewardTrainer.compute_loss: the mean over the batch.
func (r lossResult) of(in lossCase, out *golden.Comparison) error {
	if !r.UseMargin {
		in.Margin = make([]float64, len(in.Chosen))
	}
	n, center := len(in.Chosen), 0.0
	if n == 0 || len(in.Rejected) != n || len(in.Margin) != n {
		return fmt.Errorf("%d chosen and %d rejected rewards with %d margins differ in number", n, len(in.Rejected), len(in.Margin))
	}
	if r.Center != nil {
		center = *r.Center
	}
	loss, dChosen, dRejected := meanPairwise(in.Chosen, in.Rejected, in.Margin, center)
	right := 0.0
	for i := range in.Chosen {
		if in.Chosen[i] > in.Rejected[i] {
			right += 1 / float64(n)
		}
	}
	out.Number("loss", r.Loss, loss, golden.OfValues)
	out.Number("accuracy", r.Accuracy, right, golden.OfFloat32)
	return errors.Join(out.Row("grad_chosen", r.GradChosen, dChosen, golden.OfGradients, 0),
		out.Row("grad_rejected", r.GradRejected, dRejected, golden.OfGradients, 0))
}

// meanPairwise is the mean of Pairwise over a batch, and its derivatives.
func meanPairwise(chosen, rejected, margin []float64, center float64) (loss float64, dChosen, dRejected []float64) {
	n := float64(len(chosen))
	for i := range chosen {
		l, c, r := Pairwise(chosen[i], rejected[i], margin[i], center)
		loss += l / n
		dChosen, dRejected = append(dChosen, c/n), append(dRejected, r/n)
	}
	return loss, dChosen, dRejected
}

// fitRun is a run of traj_reward_bt: full-batch steps of Adam in torch on a linear
// model without biases.
type fitRun struct {
	P          int     `required:"true"`
	V          int     `required:"true"`
	LR         float64 `required:"true"`
	Center     float64 `json:"center_rewards_coefficient"`
	Margin     []float64
	Initial    [][]float64 `json:"initial_w"`
	LossBefore []float64   `json:"loss_before_step"` // as many as there are steps
	Pairs      []fitPair
	After      map[string][][]float64 `json:"w_after_step"`
}

type fitPair struct {
	Prompt   int   `required:"true"`
	Chosen   []int `required:"true"` // EOS, the token V, is written out
	Rejected []int `required:"true"`
}

// of computes a run and compares every number of it.
func (run fitRun) of(out *golden.Comparison) error {
	rankings, err := run.rankings()
	if err != nil {
		return err
	}
	if err := run.check(); err != nil {
		return err
	}
	m := NewLinear(BagOfWords, run.P, run.V)
	copy(m.Weight, slices.Concat(run.Initial...))
	step := run.stepper(m, rankings)
	var losses []float64
	for k := range run.LossBefore {
		losses = append(losses, step())
		clear(m.Bias)
		name := strconv.Itoa(k + 1)
		if want := run.After[name]; want != nil {
			if err := out.Table("w_after_step."+name, want, m.rows(), golden.OfValues); err != nil {
				return err
			}
		}
	}
	return out.Row("loss_before_step", run.LossBefore, losses, golden.OfValues, 0)
}

// check requires sizes that fit one another.
func (run fitRun) check() error {
	if len(run.Initial) != run.P || slices.ContainsFunc(run.Initial, func(row []float64) bool { return len(row) != run.V }) || run.P*run.V == 0 {
		return fmt.Errorf("initial_w is not [P][V] = [%d][%d]", run.P, run.V)
	}
	if run.Margin != nil && len(run.Margin) != len(run.Pairs) {
		return fmt.Errorf("%d margins for %d pairs", len(run.Margin), len(run.Pairs))
	}
	if len(run.LossBefore) == 0 {
		return errors.New("loss_before_step is missing: it has as many entries as steps were taken")
	}
	for name := range run.After {
		if k, err := strconv.Atoi(name); err != nil || k < 1 || k > len(run.LossBefore) || name != strconv.Itoa(k) {
			return fmt.Errorf("w_after_step has %q, which is no step from 1 to %d", name, len(run.LossBefore))
		}
	}
	return nil
}

// rankings are the pairs, without EOS, which is worth nothing.
func (run fitRun) rankings() (all []policy.Ranking, err error) {
	words := func(tokens []int) (y policy.Response) {
		for _, w := range tokens {
			switch {
			case w < 0 || w > run.V:
				err = fmt.Errorf("token %d is neither a word below V = %d nor V", w, run.V)
			case w < run.V:
				y = append(y, policy.Token(w))
			}
		}
		return y
	}
	for i, p := range run.Pairs {
		if p.Prompt < 0 || p.Prompt >= run.P {
			return nil, fmt.Errorf("pairs[%d]: there is no prompt %d among P = %d", i, p.Prompt, run.P)
		}
		all = append(all, policy.Ranking{Prompt: policy.Prompt(p.Prompt), Responses: []policy.Response{words(p.Chosen), words(p.Rejected)}})
		if err != nil {
			return nil, fmt.Errorf("pairs[%d]: %w", i, err)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("a run without pairs")
	}
	return all, nil
}

// rows are the weights prompt by prompt.
func (m *Linear) rows() [][]float64 { return slices.Collect(slices.Chunk(m.Weight, m.Words)) }

// stepper is one step, which returns the loss before it: the trainer's, or where the
// pairs have margins, which rankings have not, Pairwise's under the trainer's Adam.
func (run fitRun) stepper(m *Linear, rankings []policy.Ranking) func() (loss float64) {
	t := New(Config{LearningRate: run.LR, BatchSize: len(rankings), CenterRewardsCoefficient: run.Center}, m, rankings)
	if run.Margin == nil {
		r := rng.New(1)
		return func() float64 { return t.Step(r).Loss }
	}
	return func() float64 {
		var chosen, rejected []float64
		for _, r := range rankings {
			chosen, rejected = append(chosen, m.Score(r.Prompt, r.Responses[0])), append(rejected, m.Score(r.Prompt, r.Responses[1]))
		}
		loss, dChosen, dRejected := meanPairwise(chosen, rejected, run.Margin, run.Center)
		clear(t.grad)
		for i, r := range rankings {
			m.addGradient(t.grad, dChosen[i], r.Prompt, r.Responses[0])
			m.addGradient(t.grad, dRejected[i], r.Prompt, r.Responses[1])
		}
		t.shrunk.Step(m.Weight, t.grad[:len(m.Weight)], run.LR)
		return loss
	}
}
