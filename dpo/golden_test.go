package dpo

import (
	"os"
	"path/filepath"
	"testing"
)

// goldenFiles are all files that Compute reads: every dpo_*.json that there is.
func goldenFiles(t *testing.T) []string {
	t.Helper()
	const dir = "../testdata/golden/"
	files, err := filepath.Glob(dir + "dpo_*.json")
	if err != nil || len(files) < 18 {
		t.Fatalf("%d files dpo_*.json, %v", len(files), err)
	}
	for _, name := range []string{"kto", "bco", "cpo_simpo", "orpo", "cpo_orpo_logits", "traj_bandit_dpo", "traj_bigram_dpo", "textbook_dpo_loss"} {
		files = append(files, dir+name+".json")
	}
	return files
}

// Every number that the reference libraries returned, 1e-9 (gradients 1e-8).
func TestGolden(t *testing.T) {
	for _, path := range goldenFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d, err := Compute(data)
			if err != nil {
				t.Fatal(err)
			}
			recorded, wrong, worst := 0, 0, 0.0
			for _, n := range d.Numbers {
				if n.Recorded() {
					recorded++
					worst = max(worst, n.Deviation()/n.Tolerance)
				}
				if !n.OK() {
					if wrong++; wrong <= 5 {
						t.Errorf("%s = %.17g, the library's %.17g (off by %.3g)", n.Path, n.Got, n.Want, n.Deviation())
					}
				}
			}
			if wrong > 0 || recorded < 100 {
				t.Errorf("%d of %d numbers are wrong", wrong, recorded)
			}
			t.Logf("%d numbers, the worst at %.2g of its tolerance", recorded, worst)
		})
	}
}
