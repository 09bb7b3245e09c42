package kernel

import "tapnet/glossary"

// ReasonText says why something ended as it did, and what to do now.
type ReasonText struct{ Why, Next glossary.Term }

// ReasonTexts is the table of a kind of reasons: the kernels count their reasons from 0, which is none.
type ReasonTexts[R ~uint8] []ReasonText

// Of is the text of a reason; of one that is not in the table that of none.
func (t ReasonTexts[R]) Of(r R) ReasonText {
	if int(r) >= len(t) {
		r = 0
	}
	return t[r]
}

// All lists the reasons.
func (t ReasonTexts[R]) All() []R {
	all := make([]R, len(t))
	for i := range t {
		all[i] = R(i)
	}
	return all
}
