package validator

import (
	"context"

	"tapnet/apdu"
	"tapnet/gate"
	"tapnet/money"
	"tapnet/terminal"
)

// Segmented is an operator's record on purses: a journey is paid at its end [REF 2.8].
type Segmented struct {
	Keys gate.SegmentKeys
	SFI  byte
	ID   [2]byte
	// Enter makes the record of an entry; false when the rider is inside already.
	Enter func(record []byte) (next []byte, ok bool)
	// Leave prices the journey and makes the record after it; false when there was no entry.
	Leave func(record []byte) (fare money.Amount, next []byte, ok bool)
}

// read runs the reader. With a Segmented an entry costs the smallest unit, and an exit the rest of the fare; a card without the operator's record pays the
// configuration's amount at the entry, and the smallest unit at the exit. The amount is what the card was asked for.
func (v *Validator) read(ctx context.Context, reader apdu.Transceiver, r terminal.Request, direction gate.Direction) (terminal.Result, money.Amount, error) {
	plan := v.options.Segmented
	if plan == nil || !v.options.Purse || direction != gate.In && direction != gate.Out {
		read, err := v.terminal.Tap(ctx, reader, r)
		return read, r.Amount, err
	}
	segment := &gate.Segment{Card: reader, Keys: plan.Keys, SFI: plan.SFI, ID: plan.ID, Random: v.options.Random}
	flat := r.Amount
	r.Amount = money.New(1, flat.Currency())
	if direction == gate.In {
		segment.Next = plan.Enter
	}
	read, err := v.terminal.Tap(ctx, segment, r)
	switch {
	case err != nil || direction == gate.In && !segment.Absent:
		return read, r.Amount, err
	case direction == gate.Out && segment.Record != nil:
		fare, next, ok := plan.Leave(segment.Record)
		rest := money.New(fare.Minor()-1, flat.Currency())
		if !ok || rest.Sign() <= 0 {
			return read, r.Amount, nil
		}
		segment.Next, r.Amount = func([]byte) ([]byte, bool) { return next, true }, rest
	case direction == gate.Out: // a purse without the record paid at its entry; the smallest unit proves it here
		return read, r.Amount, nil
	default:
		r.Amount = flat
	}
	read, err = v.terminal.Tap(ctx, segment, r)
	return read, r.Amount, err
}
