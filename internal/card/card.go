// Package card holds what a reader wants to know of a method besides its code: what
// `explain` says, what the reference pages are made of, and the names by which people
// look it up.
package card

// Card describes one method or loss. It stands in the method's entry of its table.
type Card struct {
	Title   string   // the name in full
	Idea    string   // one line, no full stop
	Formula string   // what is minimised, or what is particular of it
	Paper   string   // authors, year, arXiv number, equation or section
	Differs string   // where TRL, OpenRLHF and verl have it otherwise, and the switch that gives theirs
	Exact   string   // what an exact check says of it, or of those differences
	Also    []string // what else it is called
}
