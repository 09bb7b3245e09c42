package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
)

// Unsettled is a payment with electronic cash, or a purse operation, whose end only the card knows: it was taken out before its
// answer arrived. Present the same card to Settle.
type Unsettled struct {
	AID    emv.AID
	Purse  contact.PurseOperation
	Before money.Amount // what the purse held

	amount   money.Amount
	identity kernel.Identity
	known    bool
	outcome  contact.Outcome
}

// Format prints the operation only: an unsettled payment holds card data.
func (u *Unsettled) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "unsettled "+u.Purse.String()+" of "+u.AID.String())
}

// Settle looks at the purse of the card that was taken out [REF 5]. The outcome is that of the interrupted operation: loaded, not
// loaded, or for a sale paid or not paid. Another card is sent away with TryAgain, and Unsettled stays set.
func (t *Terminal) Settle(ctx context.Context, reader apdu.Transceiver, u *Unsettled) (InsertResult, error) {
	s := &session{line: line{ctx, WholeAnswers(reader), t.config.Observer}, terminal: t}
	o, again, err := s.settle(u)
	if again {
		o.UI = kernel.UIRequest{Message: kernel.MessageInsertCard, Status: kernel.StatusProcessingError}
	}
	s.show(o.UI)
	r := InsertResult{Outcome: o, AID: u.AID, UI: s.result.UI}
	if again {
		r.Unsettled = u
	}
	return r, err
}

// settle compares the purse with what it held; again: the question stays open.
func (s *session) settle(u *Unsettled) (o contact.Outcome, again bool, err error) {
	o = u.outcome
	o.Kind, o.Reason = kernel.TryAgain, contact.ReasonLoadUnknown
	if u.Purse == contact.PurseNone {
		o.Reason = contact.ReasonTorn
	}
	r, err := s.send(apdu.Select(u.AID.Bytes()))
	if err != nil {
		return s.unsettled(o, err)
	}
	if r.SW != apdu.OK && r.SW != apdu.ApplicationBlocked {
		o.Reason = contact.ReasonOtherCard
		return o, true, nil
	}
	if u.known {
		r, err := s.send(apdu.ReadRecord(u.identity.Record.SFI, u.identity.Record.Number))
		if err != nil {
			return s.unsettled(o, err)
		}
		if r.SW == apdu.OK && !bytes.Equal(r.Data, u.identity.Raw) || r.SW == apdu.FileNotFound || r.SW == apdu.RecordNotFound {
			o.Reason = contact.ReasonOtherCard
			return o, true, nil
		}
	}
	tag := emv.TagECBalance
	if second, err := s.currency(emv.TagSecondECCurrency); err != nil {
		return s.unsettled(o, err)
	} else if second == u.Before.Currency() {
		tag = emv.TagSecondBalance
	}
	now, err := s.amount(tag, u.Before.Currency())
	if err != nil {
		return s.unsettled(o, err)
	}
	if now == nil {
		o.Reason = contact.ReasonOtherCard
		return o, true, nil
	}
	u.judge(&o, *now)
	return o, false, nil
}

func (s *session) unsettled(o contact.Outcome, err error) (contact.Outcome, bool, error) {
	if errors.Is(err, apdu.ErrCardLost) || errors.Is(err, errMalformed) {
		err = nil
	}
	return o, true, err
}

// judge concludes from the balance. A purse that holds neither the old nor the new amount has been used elsewhere since: that takes
// a change that was made, or was not; the log and the issuer know.
func (u *Unsettled) judge(o *contact.Outcome, now money.Amount) {
	o.BalanceAfter, o.Uncertain, o.Removed = &now, false, false
	want := u.Purse.After(u.Before, u.amount)
	switch {
	case u.Purse == contact.PurseNone && now.Minor() == u.Before.Minor()-u.amount.Minor():
		o.Kind, o.Reason = kernel.EndApplication, contact.ReasonPaidWithoutProof
	case u.Purse == contact.PurseNone && now.Minor() == u.Before.Minor():
		o.Kind, o.Reason = kernel.EndApplication, contact.ReasonNotPaid
	case u.Purse != contact.PurseNone && now.Minor() == want.Minor():
		o.Kind, o.Reason = kernel.Approved, contact.ReasonLoaded
		if want.Minor() < u.Before.Minor() {
			o.Reason = contact.ReasonUnloaded
		}
	case u.Purse != contact.PurseNone && now.Minor() == u.Before.Minor():
		o.Kind, o.Reason = kernel.Declined, contact.ReasonNotLoaded
	default:
		o.Kind, o.Uncertain = kernel.EndApplication, true
	}
}
