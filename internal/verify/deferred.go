package verify

import "tapnet/internal/journal"

// flagDeferred in the note of a decision: rides were paid after they were taken. The counter of a gate's cryptogram need not be above all others, only new;
// without a counter an earlier request of the card's has proven the ride.
const flagDeferred = 128

// deferred tells a decision about rides.
func deferred(r *journal.Row) bool { return len(r.Note) > 0 && r.Note[0]&flagDeferred != 0 }

// uncounted tells a decision that rests on no counter of the card's.
func uncounted(r *journal.Row) bool { return byToken(r) || deferred(r) && r.ATC == 0 }

// honours reports whether the counter of a decision may be honoured.
func (h *holder) honours(r *journal.Row) bool {
	switch {
	case uncounted(r), h.swiped(r):
		return true
	case deferred(r):
		return h.window.fresh(r.ATC)
	}
	return h.rises(r.ATC)
}
