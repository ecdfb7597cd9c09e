package ppo

import (
	"math"
	"slices"
	"testing"

	"rlhfsim/internal/field"
	"rlhfsim/internal/rng"
)

var threeBatches = [][]float64{{1, 0, .5, 2}, {-3, 1.25}, {10, 10.5, 9, 11.75, 10}}

// trlX's RunningMoments line by line, in its names.
func TestRunningMomentsAreTrlXs(t *testing.T) {
	var got runningMoments
	mean, variance, std, count := 0.0, 1.0, 1.0, 1e-24
	for k, xs := range threeBatches {
		n, xsMean, xsVar := float64(len(xs)), 0.0, 0.0
		for _, x := range xs {
			xsMean += x / n
		}
		for _, x := range xs {
			xsVar += (x - xsMean) * (x - xsMean) / n // unbiased=False
		}
		delta, tot := xsMean-mean, count+n
		newSum := xsVar * n
		oldSum := variance*count + delta*delta*count*n/tot
		mean += delta * n / tot
		variance = (oldSum + newSum) / tot
		std = math.Sqrt(variance * tot / (tot - 1))
		count = tot
		got.add(xs)
		near(t, "mean", got.mean, mean, 1e-14)
		near(t, "std", got.deviation(), std, 1e-14)
		near(t, "std as run in Python", std, []float64{0.8539125638299665, 1.7494046606393463, 5.382948668121996}[k], 1e-14)
	}
	_, variance = moments(slices.Concat(threeBatches...))
	near(t, "std of all at once", got.deviation(), math.Sqrt(variance), 1e-14)
}

func TestRewardScale(t *testing.T) {
	for kind, sigmas := range map[string][]float64{
		"none":    {1, 1, 1},
		"running": {0.8539125638299665, 1.7494046606393463, 5.382948668121996},
		"ref":     {0.8539125638299665, 0.8539125638299665, 0.8539125638299665},
	} {
		s := rewardScale{kind: kind}
		for k, xs := range threeBatches {
			got := slices.Clone(xs)
			s.divide(got)
			for i, x := range xs {
				near(t, kind, got[i], x/sigmas[k], 1e-14)
			}
		}
		constant := []float64{3, 3}
		if (&rewardScale{kind: kind}).divide(constant); !slices.Equal(constant, []float64{3, 3}) {
			t.Errorf("%s: scores without a deviation became %v", kind, constant)
		}
	}
}

// A reward ten times as large trains the same policy once it is scaled; and a gradient
// that is estimated on the way leaves nothing behind.
func TestScaledRewardsHaveNoUnit(t *testing.T) {
	run := func(kind string, unit float64, look bool) []float64 {
		c := smallConfig()
		c.ScaleReward = kind
		ref := randomPolicy(t, small, 1)
		pi := ref.Clone()
		tr, r := New(c, pi, ref, words{unit, 0, -2 * unit}, half), rng.New(1)
		for range 10 {
			if look {
				tr.EstimateGradient(make([]float64, small.Cells()), rng.New(9))
			}
			tr.Step(r)
		}
		return pi.Logits
	}
	for _, kind := range rewardScales {
		far := 0.0
		for i, z := range run(kind, 10, false) {
			far = max(far, math.Abs(z-run(kind, 1, false)[i]))
		}
		if (far < 1e-9) != (kind != "none") {
			t.Errorf("%s: logits differ by %v", kind, far)
		}
		if !slices.Equal(run(kind, 1, true), run(kind, 1, false)) {
			t.Errorf("%s: an estimated gradient changed the training", kind)
		}
	}
}

func TestOneScoreCannotBeScaled(t *testing.T) {
	c := Default()
	c.BatchSize, c.ScaleReward = 1, "ref"
	if problems := field.All(c.Validate()); len(problems) != 1 || problems[0].Field != "scale_reward" {
		t.Errorf("%v", problems)
	}
	if c.ScaleReward = "none"; c.Validate() != nil {
		t.Error(c.Validate())
	}
	if c.ScaleReward, c.BatchSize = "whiten", 2; len(field.All(c.Validate())) != 1 {
		t.Error(c.Validate())
	}
}
