package experiments

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkSweep is a sweep of chapter-size cells, one and two at a time: with two
// free cores two must be at least 1.8 times as fast.
func BenchmarkSweep(b *testing.B) {
	e, err := Load("chapter", []string{"claim=[]", "seeds=4", "grid.ppo.cliprange=[0.1, 0.2, 0.3, 0.4, 0.5]"})
	if err != nil {
		b.Fatal(err)
	}
	for _, jobs := range []int{1, 2} {
		b.Run(fmt.Sprintf("jobs=%d", jobs), func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				if err := os.Mkdir(filepath.Join(dir, "cells"), 0o777); err != nil {
					b.Fatal(err)
				}
				if _, err := Execute(context.Background(), e, Options{Dir: dir, Jobs: jobs}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(e.Cells()*b.N)/b.Elapsed().Seconds(), "cells/s")
		})
	}
}
