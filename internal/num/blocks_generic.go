//go:build !amd64

package num

// The vector loops do nothing here: the definitions in Go do it all.

func expBlocks(_, _ []float64, _ float64, _ *[4]float64) int { return 0 }
func axpyBlocks(_ []float64, _ float64, _ []float64) int     { return 0 }
func adamBlocks(_, _, _, _ []float64, _ *adamConstants) int  { return 0 }
func logSigmoidBlocks(_, _, _ []float64) int                 { return 0 }
func affineBlocks(_ []float64, _, _, _ float64) int          { return 0 }
func maxSumBlocks(z []float64) (int, float64, float64)       { return maxSumLanes(z) }
func countAtMostBlocks(_ []float64, _ float64) (int, int)    { return 0, 0 }
func dotBlocks(a, b []float64) (int, float64)                { return dotLanes(a, b) }
func shiftRowBlocks(_, _ []float64, _ int) int               { return 0 }
func sumRowBlocks(_, _ []float64, _ int) int                 { return 0 }
func scaleShiftRowBlocks(_, _, _, _ []float64, _ int) int    { return 0 }
