package field

// Nearest is the known name within a few edits of name, "" when none is near
// enough to be meant. Of equally near ones the first that begins like name wins,
// since the first letter is seldom the mistyped one; else the first.
func Nearest(name string, known []string) string {
	best, limit := "", min(1+len([]rune(name))/4, 3)
	for _, k := range known {
		d := distance(name, k)
		if d < limit || d == limit && (best == "" || begins(k, name) && !begins(best, name)) {
			best, limit = k, d
		}
	}
	return best
}

// begins says whether a and b share their first byte.
func begins(a, b string) bool { return a != "" && b != "" && a[0] == b[0] }

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, row := []int(nil), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		next := make([]int, len(y)+1)
		next[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}
