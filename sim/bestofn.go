package sim

import (
	"rlhfsim/policy"
	"rlhfsim/reward"
)

// BestOfN is what sampling n responses from the SFT policy and keeping the best
// reaches, for n = 1, 2, 4, …: chosen by the learned reward (Score is the proxy,
// Value the gold), and by gold itself (both are gold; empty where the world is
// too large for the distribution of gold).
type BestOfN struct {
	ByProxy, ByGold []policy.BestOfN `json:",omitempty"`
}

// newBestOfN computes both, exactly, up to evaluation.best_of_n.
func (s *Shared) newBestOfN() (b BestOfN, err error) {
	var sizes []int
	for n := 1; n <= s.Config.Evaluation.BestOfN; n *= 2 {
		sizes = append(sizes, n)
	}
	if len(sizes) == 0 {
		return b, nil
	}
	if s.values != nil {
		b.ByGold = s.evaluator.BestOfN(s.sftValues.Selection(), sizes)
	}
	if s.proxy.value != nil {
		b.ByProxy = s.evaluator.BestOfN(s.underSFT.selection, sizes)
		return b, nil
	}
	m, err := s.evaluator.NewMultisets()
	if err != nil {
		return b, err
	}
	bag := s.Reward.(*reward.Linear)
	b.ByProxy = s.evaluator.BestOfN(s.evaluator.BagOfWords(m, &s.SFT.Chain, bag.Weight, bag.Bias, s.World.Gold), sizes)
	return b, nil
}
