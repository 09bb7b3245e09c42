package validator

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/gate"
	"tapnet/internal/taplog"
	"tapnet/money"
)

// newJourneys is a lane where a journey costs 5.00 and may last four hours, at most 7.00 is taken, and stations above 100 are unknown.
func newJourneys(t *testing.T) *lane {
	t.Helper()
	return newLane(t, func(o *Options) {
		o.Segmented = NewSegmented(Journeys{Station: o.Gate.Station, Highest: o.Gate.Amount, Fare: func(from uint32, entered, left time.Time) (money.Amount, bool) {
			const longest = 4 * time.Hour
			return money.New(500, money.CNY), from <= 100 && left.Sub(entered) <= longest
		}})
	})
}

func purseOf(c *card.Card) int64 { return c.State().Applications[0].Purses[0].Balance }

func journeyCard(t *testing.T) *card.Card {
	t.Helper()
	c, _, err := Card("journey", nil, rand.NewChaCha8([32]byte{9}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSegmented: a journey is paid at its end, out of a purse with the operator's record.
func TestSegmented(t *testing.T) {
	l := newJourneys(t)
	c := journeyCard(t)
	had := purseOf(c)
	pays := func(direction gate.Direction, want gate.Reason, price int64) {
		t.Helper()
		before := purseOf(c)
		r := l.ride(c, direction, want)
		if before-purseOf(c) != price || r.Open != (want == gate.OK) || r.Open && (r.Record.Amount != price || !r.Record.Flags.Has(gate.FlagPurse)) {
			t.Errorf("%v: paid %d, want %d: %+v", direction, before-purseOf(c), price, r.Record)
		}
	}
	pays(gate.In, gate.OK, 1)
	pays(gate.In, gate.PassBack, 0) // inside already
	pays(gate.Out, gate.OK, 499)
	pays(gate.In, gate.OK, 1) // the next journey, at once
	pays(gate.Out, gate.OK, 499)
	if had-purseOf(c) != 1000 {
		t.Errorf("two journeys of 5.00 cost %d", had-purseOf(c))
	}
	pays(gate.Out, gate.PassBack, 0) // left already
	l.clock.Advance(gate.DefaultPassBack)
	pays(gate.Out, gate.OK, 700) // without an entry
	pays(gate.In, gate.OK, 1)
	l.clock.Advance(5 * time.Hour)
	pays(gate.In, gate.OK, 700) // without an exit, long ago
	l.clock.Advance(5 * time.Hour)
	pays(gate.Out, gate.OK, 699) // too long for one journey
	l.open()
	pays(gate.In, gate.OK, 1) // the card knows, whatever became of the gate
	pays(gate.In, gate.PassBack, 0)
}

// TestSegmentedOtherPurses: a purse without the operator's file or record pays the highest fare at the entry, and gets out.
func TestSegmentedOtherPurses(t *testing.T) {
	l := newJourneys(t)
	plain, _ := cardtest.New(t, cardtest.Options{Balance: 2000, PAN: "629999100000008"})
	const without = "629999100000009"
	unregistered, _ := cardtest.New(t, cardtest.Options{Balance: 2000, PAN: without, Change: withJourneys(without, false)})
	for name, c := range map[string]*card.Card{"no file": plain, "no record": unregistered} {
		if l.ride(c, gate.Ride, gate.OK); purseOf(c) != 1300 {
			t.Errorf("%s: a flat fare: %d left", name, purseOf(c))
		}
		if r := l.ride(c, gate.In, gate.OK); purseOf(c) != 600 || r.Record.Amount != 700 {
			t.Errorf("%s: entry: %d left, %+v", name, purseOf(c), r.Record)
		}
		if r := l.ride(c, gate.Out, gate.OK); purseOf(c) != 599 || r.Record.Amount != 1 {
			t.Errorf("%s: exit: %d left, %+v", name, purseOf(c), r.Record)
		}
		if l.ride(c, gate.In, gate.CardDeclined).Open || purseOf(c) != 599 {
			t.Errorf("%s: a purse that is short of the fare: %d left", name, purseOf(c))
		}
	}
}

// TestJourneyRecords: what is not the operator's record costs nothing and opens nothing, and no fare is above the highest or below the smallest unit.
func TestJourneyRecords(t *testing.T) {
	now := cardtest.Today
	fare, known := int64(500), true
	j := Journeys{Station: 12, Highest: money.New(700, money.CNY), Fare: func(uint32, time.Time, time.Time) (money.Amount, bool) {
		return money.New(fare, money.CNY), known
	}}
	for _, record := range [][]byte{nil, []byte("T1"), []byte("T1 too short"), []byte("T2345678ab"), append(journey(3, now), 0)} {
		if _, _, reason := j.Enter(record, now); reason != gate.NotReadable {
			t.Errorf("entry with %q: %v", record, reason)
		}
		if _, _, reason := j.Leave(record, now); reason != gate.NotReadable {
			t.Errorf("exit with %q: %v", record, reason)
		}
	}
	known = false
	if due, next, reason := j.Enter(journey(900, now), now); reason != gate.OK || due.Minor() != 700 || string(next) != string(journey(12, now)) {
		t.Errorf("a journey of another operator: %v %q %v", due, next, reason)
	}
	known = true
	l := newJourneys(t)
	for _, c := range [...]struct{ fare, paid int64 }{{0, 1}, {1, 1}, {2, 1}, {700, 699}, {2000, 700}} {
		fare = c.fare
		if due, _, reason := j.Leave(journey(3, now), now); reason != gate.OK || l.within(due).Minor() != c.paid {
			t.Errorf("fare %d: %v %v", c.fare, l.within(due), reason)
		}
	}
}

// TestNoPaymentForNothing: whatever a gate can know before a purse pays, it says before.
func TestNoPaymentForNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   gate.Reason
	}{
		"numbers that are not accepted": {func(o *Options) { o.Gate.Rules = []gate.Rule{{Prefix: "629999", Refuse: true}} }, gate.NotAccepted},
		"other numbers are":             {func(o *Options) { o.Gate.Rules = []gate.Rule{{Prefix: "621"}} }, gate.NotAccepted},
		"a list that is too old":        {func(o *Options) { o.Gate.Stale, o.Line = gate.StaleShuts, nil }, gate.ListStale},
	} {
		l := newLane(t, func(o *Options) { o.Purse = true; c.change(o) })
		chip := journeyCard(t)
		before := purseOf(chip)
		r := l.ride(chip, gate.In, c.want)
		if r.Open || purseOf(chip) != before || r.Record.Flags.Has(gate.FlagPurse) || len(r.Record.Sealed) != 0 {
			t.Errorf("%s: paid %d, %+v", name, before-purseOf(chip), r.Record)
		}
		l.options.Segmented = NewSegmented(Journeys{Station: 12, Highest: l.options.Gate.Amount})
		l.open()
		if l.ride(chip, gate.In, c.want); purseOf(chip) != before {
			t.Errorf("%s: a journey paid %d", name, before-purseOf(chip))
		}
	}
	taxi := newLane(t, func(o *Options) { o.Purse = true })
	rich := journeyCard(t)
	had := purseOf(rich)
	if r, err := taxi.Tap(t.Context(), card.NewField(rich), gate.Read{Direction: gate.Ride, Amount: money.New(5000, money.CNY)}); err != nil ||
		r.Reason() != gate.WrongAmount || purseOf(rich) != had {
		t.Errorf("more than the device may take: %v, paid %d, %v", r.Reason(), had-purseOf(rich), err)
	}
	l := newLane(t, func(o *Options) { o.Purse, o.Gate.Stale, o.Line = true, gate.StaleShuts, nil })
	chip := journeyCard(t)
	before := purseOf(chip)
	if r := l.ride(chip, gate.Out, gate.OK); !r.Open || before-purseOf(chip) != 700 {
		t.Error("who is inside pays and gets out, however old the list is")
	}
}

// TestNoPaymentWithoutLog: a purse is not asked to pay into a log that has no room, or that failed.
func TestNoPaymentWithoutLog(t *testing.T) {
	fickle := &fickleDisk{Disk: disk(t)}
	l := newLane(t, func(o *Options) {
		o.Purse, o.Taps, o.Log.Segment, o.Log.Max = true, fickle, 4<<10, 16<<10
		o.Gate.Highest = o.Gate.Amount
	})
	chip := journeyCard(t)
	last := purseOf(chip)
	for range 100 {
		l.clock.Advance(time.Minute)
		r, err := l.Tap(t.Context(), card.NewField(chip), gate.Read{Direction: gate.Ride, Amount: money.New(1, money.CNY)})
		if errors.Is(err, taplog.ErrFull) {
			if purseOf(chip) != last || r.Open {
				t.Errorf("paid into a full log: %d of %d left", purseOf(chip), last)
			}
			last = -1
			break
		}
		if last = purseOf(chip); err != nil || !r.Open {
			t.Fatal(r.Reason(), err)
		}
	}
	if last >= 0 {
		t.Fatal("the log never filled up")
	}
	l.exchange(time.Minute)
	l.ride(chip, gate.Ride, gate.OK)
	fickle.fail = errors.New("no space")
	l.clock.Advance(time.Minute)
	if _, err := l.Tap(t.Context(), card.NewField(chip), gate.Read{Direction: gate.Ride}); !errors.Is(err, gate.ErrLog) {
		t.Fatalf("%v", err) // this one has paid: that the disk would fail nobody knew
	}
	l.ride(chip, gate.Ride, gate.OK)
}
