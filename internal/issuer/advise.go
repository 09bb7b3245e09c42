package issuer

import (
	"fmt"
	"time"

	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// adviceRules decide on a terminal's word about the card's last cryptogram. The counter is that of the payment, used already.
var adviceRules = []rule{
	{FormatError, func(r *request) bool { return r.malformed }},
	{UnknownCard, func(r *request) bool { return r.card == nil }},
	{TypeNotPermitted, func(r *request) bool { return !r.advised }},
	{TypeNotPermitted, onCard(func(r *request, c *Card) bool {
		return r.named && (r.original.seq == 0 || r.original.early || r.original.card != c.Enrolment.Card || r.original.reason != Approved)
	})},
	{ChipDataMissing, func(r *request) bool { return !r.chip || r.cryptogram == CryptogramAbsent }},
	{ChipDataMismatch, func(r *request) bool { return !r.chipAgrees || r.named && r.minor != r.original.minor }},
	{CryptogramWrong, func(r *request) bool { return r.cryptogram == CryptogramInvalid }},
}

// advice takes what the second GENERATE AC gave (0220, naming its payment). A TC says that the card agreed: nothing moves. An AAC proves that it did not:
// the hold is let go as by a reversal. Without a row a repeat is judged again and alike. An advice that names no payment is about one that the card declined
// without asking: there is nothing to do but to hear it.
func (i *Issuer) advice(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, r *request, step *journal.Step) {
	if r.unavailable {
		i.answer(ev, m, SystemUnavailable, "", step)
		return
	}
	key := unionpay.OriginalKey(m)
	r.named, r.advised = key != "", m.Processing == unionpay.ProcessingSale
	if r.named {
		var err error
		if r.original, _, err = i.state.payment(key, nil); err != nil {
			return // the sender repeats it
		}
	}
	reason := AdviceNoted
	for _, rule := range adviceRules {
		if rule.applies(r) {
			reason = rule.reason
			break
		}
	}
	second, asked := r.cvr.Second()
	if reason == AdviceNoted && asked && second.Type() == emv.AAC && r.original.held {
		row := i.row(m, r)
		row.ATC = 0 // used by the payment
		hold, _ := i.state.book.Hold(r.original.seq)
		row.Kind, row.Payment, row.Note, row.Reason = journal.Reversed, key, []byte(key), uint16(CardDeclined)
		row.Phase, row.Resolves = ledger.Void, r.original.seq
		row.Debit, row.Credit, row.Amount, row.Currency = hold.Debit, hold.Credit, hold.Amount, hold.Currency
		row.Answer = taken{date: r.original.date, noPIN: r.original.noPIN}.bytes()
		i.append(step, now, row)
		reason = CardDeclined
	}
	i.answer(ev, m, reason, "", step)
}

// reverseLoad makes a reversal's row undo a load, unless the terminal reports that the chip has it; and lets an automatic load go with its payment.
func (i *Issuer) reverseLoad(now time.Time, m *unionpay.ReversalRequest, original payment, row *journal.Row, step *journal.Step) error {
	_, isLoad := operationOf(original.reason)
	if original.card == 0 || original.reason != Approved && !isLoad {
		return nil
	}
	c, err := i.state.card(original.card)
	if err != nil || c == nil {
		return fmt.Errorf("card %d: %w", original.card, err)
	}
	i.report(now, c, readResults(&m.Payment), row.BusinessDate, step)
	l := c.chipNow().load
	switch {
	case l.seq == 0 || l.state != loadHeld:
	case isLoad && l.seq == original.seq:
		row.Reason, row.Card, row.Phase, row.Resolves = uint16(ReversalDone), original.card, ledger.Void, l.seq
		row.Debit, row.Credit, row.Amount, row.Currency = l.debit, l.credit, l.minor, uint16(c.sideOf(l).currency)
		row.Answer = taken{}.bytes() // loads use none of the day's limits
	case l.parent == original.seq:
		i.release(now, c, l, LoadFailed, row.BusinessDate, step)
	}
	return nil
}

// checkChip says why a change of what the bank wants of the chip cannot be.
func (i *Issuer) checkChip(c *Card, change Change) error {
	if len(change.Scripts)+len(c.chipNow().queue) > queueMax {
		return fmt.Errorf("%w: at most %d wait for a card", ErrScript, queueMax)
	}
	for _, s := range change.Scripts {
		if err := s.check(); err != nil {
			return err
		}
	}
	if a := change.AutoLoad; a != nil && *a != (AutoLoad{}) && (a.ThresholdMinor <= 0 || a.AmountMinor <= 0 || a.ThresholdMinor+a.AmountMinor > purseLimitMinor) {
		return fmt.Errorf("automatic load: threshold and amount are above zero and together at most %d", purseLimitMinor)
	}
	return nil
}
