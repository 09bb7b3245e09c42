package validator

import (
	"bytes"
	"context"
	"time"

	"tapnet/apdu"
	"tapnet/gate"
	"tapnet/money"
	"tapnet/terminal"
)

// Segmented is an operator's record on purses: a journey is paid at its end [REF 2.8]. Options.Purse follows, and the configuration's amount is the most that
// is taken unless its Highest says more.
type Segmented struct {
	Keys gate.SegmentKeys
	SFI  byte
	ID   [2]byte
	Plan SegmentPlan
}

// SegmentPlan says what a record means. An amount below the smallest unit is taken as that: a card cannot pay nothing.
type SegmentPlan interface {
	// Enter makes the record of an entry, and says what the entry costs. The reason is gate.OK, or why the card does not pay.
	Enter(record []byte, now time.Time) (due money.Amount, next []byte, reason gate.Reason)
	// Leave prices what is left of the journey and makes the record after it.
	Leave(record []byte, now time.Time) (due money.Amount, next []byte, reason gate.Reason)
}

// taken is what a card was asked for, and why it was not.
type taken struct {
	amount  money.Amount
	refused gate.Reason
}

// read runs the reader. With a Segmented an entry costs the smallest unit, or what an unfinished journey left unpaid, and an exit the rest of the fare; a card
// without the operator's record pays the configuration's amount at the entry, and the smallest unit at the exit.
func (v *Validator) read(ctx context.Context, reader apdu.Transceiver, r terminal.Request, direction gate.Direction) (terminal.Result, taken, error) {
	if read, amount, ok, err := v.retap(ctx, reader, r.Now); ok {
		return read, taken{amount: amount}, err
	}
	plan := v.options.Segmented
	if plan == nil || direction != gate.In && direction != gate.Out {
		read, err := v.ask(ctx, reader, r)
		v.remember(&read, nil, r.Amount)
		return read, taken{amount: r.Amount}, err
	}
	segment := &gate.Segment{Card: reader, Keys: plan.Keys, SFI: plan.SFI, ID: plan.ID, Random: v.options.Random}
	flat := r.Amount
	r.Amount = money.New(1, flat.Currency())
	var due money.Amount
	var next []byte
	var reason gate.Reason
	if direction == gate.In {
		segment.Next = func(record []byte) ([]byte, bool) {
			due, next, reason = plan.Plan.Enter(record, r.Now)
			return next, reason == gate.OK && due.Minor() <= r.Amount.Minor()
		}
	}
	read, err := v.ask(ctx, segment, r)
	v.remember(&read, segment, r.Amount)
	switch {
	case err != nil || segment.Written || segment.Record == nil && !segment.Absent:
		return read, taken{amount: r.Amount}, err // trouble, done, or no card of ours
	case segment.Absent && direction == gate.In:
		r.Amount = flat
	case segment.Absent: // paid at its entry; the smallest unit proves it here
	case direction == gate.Out:
		due, next, reason = plan.Plan.Leave(segment.Record, r.Now)
	}
	if segment.Ordinary = segment.Absent; !segment.Absent {
		if reason != gate.OK {
			return read, taken{r.Amount, reason}, nil
		}
		r.Amount = v.within(due)
		seen := segment.Record
		segment.Next = func(record []byte) ([]byte, bool) { return next, bytes.Equal(record, seen) }
	}
	read, err = v.ask(ctx, segment, r)
	v.remember(&read, segment, r.Amount)
	return read, taken{amount: r.Amount}, err
}

// ask runs the terminal once.
func (v *Validator) ask(ctx context.Context, card apdu.Transceiver, r terminal.Request) (terminal.Result, error) {
	v.asking.Amount = r.Amount
	return v.terminal.Tap(ctx, card, r)
}

// within is an amount as a card can pay it and the gate may take it.
func (v *Validator) within(due money.Amount) money.Amount {
	return money.New(max(1, min(due.Minor(), v.options.Gate.Highest.Minor())), v.options.Gate.Amount.Currency())
}
