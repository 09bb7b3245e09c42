package verify

import "tapnet/internal/journal"

// swiped tells a decision about the stripe of a card without a chip: it rests on no counter, where a chip counts from 1.
func (h *holder) swiped(r *journal.Row) bool { return h.stripe && r.ATC == 0 }

// forStripe: the chips of all other cards have counters, and a decision without one is found where its row is read again.
func forStripe(r *journal.Row) bool { return r.ATC == 0 }
