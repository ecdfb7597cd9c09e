// Package policy holds the nouns of the field (Token, Prompt, Response,
// Demonstration, Ranking, Pair), the softmax policy π_θ(y|x) over a small
// vocabulary, its maximum-likelihood training (pre-training and SFT), and
// everything about a policy that can be computed exactly: log-probabilities,
// KL, entropy, expected rewards, the distribution of a count-based reward, the
// KL-regularised optimum and the most likely responses.
package policy

import "slices"

// Token is the index of a word, 0 ≤ token < Shape.Words; the value Shape.Words
// is the end-of-sequence decision (EOS).
type Token int32

// Prompt is the index of a prompt, 0 ≤ prompt < Shape.Prompts.
type Prompt int

// Response is the words of a response, EOS not included. A response shorter
// than Shape.MaxLength ended with an EOS decision; one of that length was cut
// and carries none.
type Response []Token

// Demonstration is one supervised example: a response written for a prompt.
type Demonstration struct {
	Prompt   Prompt
	Response Response
}

// Ranking is one rater's order of K responses to a prompt, best first.
// Every order implies K(K−1)/2 comparisons; Reversed holds one flag for each,
// in the order of Pairs, true where the rater's label was flipped by noise. Tied
// holds the same for comparisons that the rater called equal; nil: none.
type Ranking struct {
	Prompt    Prompt
	Responses []Response
	Reversed  []bool
	Tied      []bool
}

// Comparison is one implied comparison of a ranking: indices into Responses. In a
// tie Chosen and Rejected say nothing.
type Comparison struct {
	Chosen, Rejected int
	Tied             bool
}

// Comparisons appends the K(K−1)/2 comparisons of the ranking to dst, (0,1),
// (0,2), …, (K−2,K−1), each reversed where Reversed says so.
func (r Ranking) Comparisons(dst []Comparison) []Comparison {
	n := 0
	for i := range r.Responses {
		for j := i + 1; j < len(r.Responses); j++ {
			c := Comparison{Chosen: i, Rejected: j}
			if n < len(r.Reversed) && r.Reversed[n] {
				c.Chosen, c.Rejected = j, i
			}
			c.Tied = n < len(r.Tied) && r.Tied[n]
			dst = append(dst, c)
			n++
		}
	}
	return dst
}

// Pair is one comparison on its own: the form that DPO and its family train on.
// In a tie Chosen and Rejected say nothing.
type Pair struct {
	Prompt           Prompt
	Chosen, Rejected Response
	Tied             bool
}

// Pairs lists the comparisons of all rankings in order. Comparisons of a
// response with an identical one carry no information about the policy and are
// left out.
func Pairs(rankings []Ranking) []Pair {
	var pairs []Pair
	var buf []Comparison
	for _, r := range rankings {
		buf = r.Comparisons(buf[:0])
		for _, c := range buf {
			chosen, rejected := r.Responses[c.Chosen], r.Responses[c.Rejected]
			if slices.Equal(chosen, rejected) {
				continue
			}
			pairs = append(pairs, Pair{Prompt: r.Prompt, Chosen: chosen, Rejected: rejected, Tied: c.Tied})
		}
	}
	return pairs
}
