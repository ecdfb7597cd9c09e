package ppo

import (
	"rlhfsim/internal/rng"
	"rlhfsim/policy"
)

// pretraining is the other half of PPO-ptx (Ouyang et al. 2022, InstructGPT,
// equation 2): lines of the pre-training text, whose likelihood each update
// raises so that alignment costs less of what the base model could do:
//
//	L − γ_ptx E_{x~D_pretrain}[log π_θ(x)]
type pretraining struct {
	paths   [][]int32
	batches policy.Batches
	batch   []int
}

// MixPretraining gives the trainer the lines that ptx_coef needs; without lines,
// or with a coefficient of 0, nothing is mixed.
func (t *Trainer) MixPretraining(lines []policy.Demonstration) {
	if t.cfg.PtxCoef == 0 || len(lines) == 0 {
		return
	}
	p := &pretraining{batches: policy.NewBatches(len(lines), t.cfg.PtxBatchSize)}
	for _, d := range lines {
		p.paths = append(p.paths, t.policy.Policy.Path(nil, d.Prompt, d.Response))
	}
	t.pretraining = p
}

// next deals the lines of the next update.
func (p *pretraining) next(r *rng.Stream) { p.batch = p.batches.Next(r) }

// add adds the gradient of −γ_ptx E[log π] to that of the policy, and returns
// E[−log π], nats per line.
func (p *pretraining) add(t *policy.Trainer, coef float64) (loss float64) {
	each := 1 / float64(len(p.batch))
	for _, line := range p.batch {
		for _, i := range p.paths[line] {
			loss -= float64(each * t.Policy.LogP[i])
			t.G[i] -= float64(coef * each)
		}
	}
	return loss
}
