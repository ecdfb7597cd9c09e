package reward

import (
	"slices"

	"rlhfsim/internal/num"
	"rlhfsim/policy"
)

// Evaluation is a model measured on rankings that it was not fitted to, each
// comparison counting once; ties are left out.
type Evaluation struct {
	Loss     float64 // mean −log σ(r(chosen) − r(rejected))
	Accuracy float64 // share with r(chosen) > r(rejected); equal scores count half
	Margin   float64 // mean r(chosen) − r(rejected)
	N        int     // comparisons
}

// Evaluate measures the model on rankings.
func Evaluate(m Scorer, rankings []policy.Ranking) Evaluation {
	var e Evaluation
	var compared []policy.Comparison
	for _, r := range rankings {
		compared = r.Comparisons(compared[:0])
		for _, c := range compared {
			if c.Tied {
				continue
			}
			d := m.Score(r.Prompt, r.Responses[c.Chosen]) - m.Score(r.Prompt, r.Responses[c.Rejected])
			e.N++
			e.Loss -= num.LogSigmoid(d)
			e.Margin += d
			switch {
			case d > 0:
				e.Accuracy++
			case d == 0:
				e.Accuracy += 0.5
			}
		}
	}
	if e.N > 0 {
		n := float64(e.N)
		e.Loss, e.Accuracy, e.Margin = e.Loss/n, e.Accuracy/n, e.Margin/n
	}
	return e
}

// Bin is one range of predicted preference: what the model predicted there on
// average, and how often the raters did prefer the response.
type Bin struct {
	Low, High         float64 // the range of predictions
	Predicted, Actual float64 // means over the bin's comparisons; 0 when there are none
	N                 int     // comparisons in the bin
}

// Calibration compares σ(r_a − r_b) with how often a was preferred to b, in
// equal bins of the prediction. Which of the two responses is a must not depend
// on the label: it is the one that comes first in word order. Identical
// responses predict nothing and are left out.
func Calibration(m Scorer, rankings []policy.Ranking, bins int) []Bin {
	out := make([]Bin, bins)
	for i := range out {
		out[i].Low, out[i].High = float64(i)/float64(bins), float64(i+1)/float64(bins)
	}
	for _, r := range rankings {
		for _, c := range r.Comparisons(nil) {
			a, b, actual := r.Responses[c.Chosen], r.Responses[c.Rejected], 1.0
			order := slices.Compare(a, b)
			if order == 0 || c.Tied {
				continue
			}
			if order > 0 {
				a, b, actual = b, a, 0
			}
			p := num.Sigmoid(m.Score(r.Prompt, a) - m.Score(r.Prompt, b))
			bin := &out[min(int(p*float64(bins)), bins-1)]
			bin.N++
			bin.Predicted += p
			bin.Actual += actual
		}
	}
	for i := range out {
		if n := float64(out[i].N); n > 0 {
			out[i].Predicted /= n
			out[i].Actual /= n
		}
	}
	return out
}
