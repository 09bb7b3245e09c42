package issuer

import (
	"fmt"
	"time"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// refundMark behind a payment's key is the key of the row that says it was refunded.
const refundMark = "r"

// refundRules decide on the refund of an offline payment, in order of precedence. The merchant gives the money back whatever became of the card: a lost or
// expired one does not take it from the cardholder.
var refundRules = []rule{
	{FormatError, func(r *request) bool { return r.malformed }},
	{UnknownCard, func(r *request) bool { return r.card == nil }},
	{CardClosed, withStatus(Closed)},
	{CurrencyNotPermitted, onCard(func(r *request, c *Card) bool { return r.currency != c.Currency })},
	{NothingToRefund, onCard(func(r *request, c *Card) bool {
		return r.original.seq == 0 || r.original.early || r.original.card != c.Enrolment.Card || r.original.reason != PurseAccepted || r.refunded
	})},
	{RefundTooHigh, func(r *request) bool { return r.minor > r.original.minor }},
}

// isRefund tells the refund of an offline payment of a purse (0220, naming its upload) [REF 5].
func isRefund(m *unionpay.FinancialRequest) bool {
	return m.Advice && m.Processing == unionpay.ProcessingVoid && m.Info.MessageType == unionpay.KindOfflineRefund
}

// refund gives the money of an offline payment to the cardholder's account: the chip is not there, and nothing can raise its balance without it. A payment is
// refunded once, in whole or in part.
func (i *Issuer) refund(now time.Time, ev *journal.Event, m *unionpay.FinancialRequest, r *request, step *journal.Step) {
	if r.unavailable {
		i.answer(ev, m, SystemUnavailable, "", step)
		return
	}
	original := unionpay.OriginalKey(m)
	var err error
	if r.original, _, err = i.state.payment(original, nil); err == nil && original != "" {
		_, r.refunded, err = i.state.payment(original+refundMark, nil)
	}
	if err != nil {
		return // the sender repeats it
	}
	reason := RefundDone
	for _, rule := range refundRules {
		if rule.applies(r) {
			reason = rule.reason
			break
		}
	}
	row := i.row(m, r)
	row.ATC, row.Kind, row.Reason = 0, journal.Declined, uint16(reason)
	n := note{}
	if r.card != nil {
		n.tries = r.card.Tries
	}
	if reason == RefundDone {
		row.Kind, row.Debit, row.Credit, row.Linked = journal.Refunded, AccountScheme, r.card.account, r.original.seq
		n.authCode = authCode(step.NextSeq())
	}
	row.Answer, row.Note = []byte(n.authCode), n.bytes()
	first := step.NextSeq()
	i.append(step, now, row)
	if reason == RefundDone {
		i.append(step, now, journal.Row{Kind: journal.Noted, Key: original + refundMark, Payment: original, Linked: first, Card: row.Card,
			BusinessDate: row.BusinessDate})
	}
	i.answer(ev, m, reason, n.authCode, step)
}

// applyRefund folds money given back.
func (s *state) applyRefund(r *journal.Row) error {
	p, err := paymentOf(r)
	if err != nil {
		return err
	}
	s.recall(keyOf(r.Key), referenceOf(r.RRN), p, r.Answer)
	s.recent.byRRN[referenceOf(r.RRN)] = p.reason
	c, fresh, err := s.rowCard(r)
	if err != nil {
		return err
	}
	if err := s.transfer(r); err != nil {
		return err
	}
	if fresh {
		s.changed(c, r.Seq)
	}
	return nil
}

// applyRefunded remembers which payment a refund was of.
func (s *state) applyRefunded(r *journal.Row) error {
	if r.Key == "" || r.Linked == 0 {
		return fmt.Errorf("row %d: names no refund", r.Seq)
	}
	c, fresh, err := s.rowCard(r)
	if err != nil {
		return err
	}
	if fresh {
		s.changed(c, r.Seq)
	}
	s.remember(keyOf(r.Key), reference{}, payment{seq: r.Seq, card: r.Card, reason: RefundDone})
	return nil
}
