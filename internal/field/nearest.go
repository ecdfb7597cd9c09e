package field

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest is the known name within a few edits of name, "" when none is near
// enough to be meant.
func Nearest(name string, known []string) string {
	if few := NearestFew(name, known, 1); len(few) > 0 {
		return few[0]
	}
	return ""
}

// NearestFew are the up to n known names within a few edits of name, nearest
// first. Of equally near ones those come first that begin like name, since the
// first letter is seldom the mistyped one. Upper and lower case are the same letter.
func NearestFew(name string, known []string, n int) []string {
	type candidate struct {
		name  string
		edits int
		other int // 1 where it begins with another letter
	}
	limit := min(1+len([]rune(name))/4, 3)
	var near []candidate
	for _, k := range known {
		a, b := strings.ToLower(name), strings.ToLower(k)
		d, other := Distance(a, b), 1
		if d > 0 && Alike(name, k) {
			d = 0
		}
		if a != "" && b != "" && a[0] == b[0] {
			other = 0
		}
		if d <= limit && !slices.ContainsFunc(near, func(c candidate) bool { return c.name == k }) {
			near = append(near, candidate{k, d, other})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.edits, b.edits), cmp.Compare(a.other, b.other))
	})
	var out []string
	for _, c := range near[:min(n, len(near))] {
		out = append(out, c.name)
	}
	return out
}

// Alike says whether two names are the same but for case and for what stands between
// their words: "best-of-n" and "Best of N" are best_of_n.
func Alike(a, b string) bool { return plain(a) == plain(b) && plain(a) != "" }

func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -_./", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// Distance is the number of insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment).
func Distance(a, b string) int {
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
