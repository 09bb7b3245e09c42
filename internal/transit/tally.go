package transit

import "tapnet/internal/transit/fares"

// tallies are kept as bills move, so that whoever asks for a day or for all debts does not make the writer look through millions of bills. They follow from
// the bills and journeys in memory, and are not written anywhere.
type tallies struct {
	states [billStateEnd]uint64
	debts  map[uint64]bool // bills that keep a card on the list
	days   map[fares.Date]*DayView
	purse  uint64 // payments of cards by themselves that the acquirer refused
}

func (t *tallies) day(date fares.Date) *DayView {
	d := t.days[date]
	if d == nil {
		d = &DayView{}
		t.days[date] = d
	}
	return d
}

// bill counts a bill as it stands (sign 1), or takes it out before it changes (sign -1).
func (t *tallies) bill(b *bill, sign int64) {
	t.states[b.state] += uint64(sign)
	switch {
	case sign < 0:
		delete(t.debts, b.seq)
	case b.state.Denies():
		t.debts[b.seq] = true
	}
	d := t.day(b.day)
	d.Bills += int(sign)
	d.Billed += sign * b.minor
	d.Refunded += sign * b.refunded
	switch {
	case b.state == Paid || b.state == Returning || b.state == Settled:
		d.Paid += sign * b.minor
	case b.state == WrittenOff:
		d.Lost += sign * b.minor
	case b.state.Denies():
		d.Owed += sign * b.minor
	default:
		d.Open += sign * b.minor
	}
}

// journey counts what a journey has been billed.
func (t *tallies) journey(b *booked, sign int64) {
	d := t.day(b.day)
	d.Journeys += int(sign)
	d.Minor += sign * b.minor
}
