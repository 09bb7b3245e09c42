package transit

// Totals count what has gone through the office since its journal began. Amounts are minor units.
type Totals struct {
	Taps     uint64              `json:"taps"`   // of cards that a gate looked at
	Opened   uint64              `json:"opened"` // of these, those that opened
	States   map[TapState]uint64 `json:"-"`      // of all taps
	Bills    uint64              `json:"bills"`
	Charged  int64               `json:"charged_minor"`
	Credited int64               `json:"credited_minor"`
	Paid     int64               `json:"paid_minor"`
	Settled  int64               `json:"settled_minor"`
	Owed     int64               `json:"owed_minor"`
	Lost     int64               `json:"written_off_minor"`
	Refunded int64               `json:"refunded_minor"`
	Purse    int64               `json:"purse_minor"` // paid by cards themselves, and taken by the acquirer
	Debts    uint64              `json:"debts"`       // bills that were ever a debt
}

func (t *Totals) state(from, to TapState) {
	if from != 0 {
		t.States[from]--
	}
	t.States[to]++
}

// move follows a bill. What it is worth is counted once at each place.
func (t *Totals) move(b *bill, to BillState) {
	add := func(s BillState, minor int64) {
		switch {
		case s == Paid || s == Returning:
			t.Paid += minor
		case s == Settled:
			t.Settled += minor
		case s == WrittenOff:
			t.Lost += minor
		case s.Denies():
			t.Owed += minor
		}
	}
	if to.Denies() && !b.state.Denies() {
		t.Debts++
	}
	add(b.state, -b.minor)
	add(to, b.minor)
}

// perMillion is a rate per million taps that opened.
func (t *Totals) perMillion(minor int64) float64 {
	if t.Opened == 0 {
		return 0
	}
	return float64(minor) * 1e6 / float64(t.Opened)
}
