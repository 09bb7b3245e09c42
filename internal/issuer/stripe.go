package issuer

import (
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// swipe lets the stripe of a card without a chip stand for the chip: the number and the expiry date on it are the card's. Nothing on a stripe proves more; the
// PIN does, which every swipe has [REF 6.1]. The stripe of a card with a chip stays refused, whatever the terminal says of the chip.
func (r *request) swipe(m *unionpay.FinancialRequest) {
	if !r.stripe || r.card == nil || !r.card.Stripe || m.ICC.Len() != 0 {
		return
	}
	r.chipless, r.chip, r.requestAC = true, true, true
	r.chipAgrees = m.Track2.PAN() == m.PAN && m.Track2.Expiry() == r.card.expiry
}

// swiped reports whether an approval rests on a stripe: it has no counter, and a chip counts from 1.
func swiped(r *journal.Row) bool { return r.ATC == 0 }

func swipeApproved(verified glossary.Term) glossary.Term {
	return glossary.Term{EN: "approved: stripe of a card without a chip, " + verified.EN, ZH: "批准：纯磁条卡刷卡，" + verified.ZH}
}
