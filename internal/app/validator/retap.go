package validator

import (
	"bytes"
	"context"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/gate"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
)

// torn is a purse that left in the middle of its payment: whether it has paid shows when it comes back [REF 2.5]. It does not outlast a start.
type torn struct {
	payment *terminal.Torn
	segment *gate.Segment // nil: an ordinary payment
	way     gate.Direction
	amount  money.Amount
	random  [4]byte
}

// remember keeps a payment that may have happened. With a Segment the record that pays is asked for after the operator's is written.
func (v *Validator) remember(read *terminal.Result, segment *gate.Segment, amount money.Amount) {
	if read.Torn != nil && v.options.Purse && (segment == nil || segment.Written || segment.Ordinary) {
		v.torn = &torn{read.Torn, segment, v.asking.Direction, amount, v.random.last}
	}
}

// retap asks a card that comes back what became of its payment, and lets it pay when it has not. False: no payment is open here, or it is not this card's.
func (v *Validator) retap(ctx context.Context, reader apdu.Transceiver, now time.Time) (read terminal.Result, amount money.Amount, ok bool, err error) {
	t := v.torn
	switch {
	case t == nil || t.way != v.asking.Direction:
		return read, amount, false, nil
	case now.Sub(t.payment.At) > terminal.DefaultRetapProcess:
		v.torn = nil
		return read, amount, false, nil
	}
	v.asking.Amount = t.amount
	card := reader
	if t.segment != nil {
		t.segment.Card, card = reader, t.segment
	}
	read, err = v.terminal.Retap(ctx, card, t.payment, now)
	switch {
	case err != nil:
		return read, t.amount, true, err
	case read.Torn != nil && read.Outcome.Reason == kernel.ReasonOtherCard:
		return read, amount, false, nil
	case read.Torn == t.payment: // gone again
		return read, t.amount, true, nil
	}
	v.torn = nil
	switch {
	case read.Torn != nil: // it paid anew, and left in the middle of that
		v.remember(&read, t.segment, t.amount)
	case read.Outcome.Kind == kernel.Approved && bytes.Equal(read.Outcome.Data.Get(emv.TagUnpredictableNumber), t.random[:]):
		v.random.last = t.random
	case read.Outcome.Reason == kernel.ReasonInterrupted:
		return read, amount, false, nil
	}
	return read, t.amount, true, nil
}
