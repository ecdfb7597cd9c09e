package num

// dotLanes is the part of Dot that runs in four interleaved sums.
func dotLanes(a, b []float64) (done int, sum float64) {
	var s0, s1, s2, s3 float64
	for ; done+4 <= len(a); done += 4 {
		x, y := a[done:done+4:done+4], b[done:done+4:done+4]
		s0 += float64(x[0] * y[0])
		s1 += float64(x[1] * y[1])
		s2 += float64(x[2] * y[2])
		s3 += float64(x[3] * y[3])
	}
	return done, (s0 + s1) + (s2 + s3)
}

// maxSumLanes is the maximum of at least one z, and the part of the sum that runs in
// four interleaved ones.
func maxSumLanes(z []float64) (done int, top, sum float64) {
	top = z[0]
	for _, v := range z[:len(z)&^3] {
		if v > top {
			top = v
		}
	}
	return len(z) &^ 3, top, Sum(z[:len(z)&^3])
}
