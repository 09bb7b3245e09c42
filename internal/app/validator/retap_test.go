package validator

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/gate"
	"tapnet/internal/taplog"
	"tapnet/money"
)

// TestTornPurse: whichever command the card does not hear, or whose answer the gate does not, a rider who comes back pays once and passes; somebody else in
// between pays for himself.
func TestTornPurse(t *testing.T) {
	for _, segmented := range []bool{false, true} {
		n := 1
		for ; tornOnce(t, segmented, n, false); n++ {
			tornOnce(t, segmented, n, true)
		}
		if n < 7 {
			t.Errorf("segmented %t: a tap of %d commands", segmented, n-1)
		}
	}
}

// tornOnce takes the card away at command n of its entry and of its exit; false when the tap has no such command.
func tornOnce(t *testing.T, segmented bool, n int, heard bool) bool {
	t.Helper()
	l := newLane(t, func(o *Options) {
		if o.Purse, o.Taps = true, (hastyDisk{o.Taps}); segmented {
			o.Segmented = NewSegmented(Journeys{Station: o.Gate.Station, Highest: o.Gate.Amount, Fare: func(uint32, time.Time, time.Time) (money.Amount, bool) {
				return money.New(500, money.CNY), true
			}})
		}
	})
	c := journeyCard(t)
	other, _ := cardtest.New(t, cardtest.Options{Balance: 5000, PAN: "629999100000008"})
	in, out := int64(700), int64(700)
	if segmented {
		in, out = 1, 499
	}
	torn := l.tear(c, other, gate.In, in, n, heard)
	return l.tear(c, other, gate.Out, out, n, heard) || torn
}

func (l *lane) tear(c, other *card.Card, direction gate.Direction, price int64, n int, heard bool) bool {
	l.Helper()
	l.clock.Advance(time.Hour)
	before := purseOf(c)
	field := card.NewField(c)
	if heard {
		field.TearAfterCommand(n)
	} else {
		field.TearBeforeCommand(n)
	}
	first, err := l.Tap(l.Context(), field, gate.Read{Direction: direction})
	if err != nil {
		l.Fatalf("command %d: %v", n, err)
	}
	if first.Open {
		if before-purseOf(c) != price {
			l.Errorf("%v, command %d: open for %d", direction, n, before-purseOf(c))
		}
		return false
	}
	l.clock.Advance(time.Second)
	if r, err := l.Tap(l.Context(), card.NewField(other), gate.Read{Direction: direction}); err != nil || !r.Open {
		l.Fatalf("%v, command %d: somebody else: %v, %v", direction, n, r.Reason(), err)
	}
	l.clock.Advance(time.Second)
	again, err := l.Tap(l.Context(), card.NewField(c), gate.Read{Direction: direction})
	if err != nil || !again.Open || before-purseOf(c) != price || again.Record.Amount != price || len(again.Record.Sealed) == 0 {
		l.Errorf("%v, command %d, heard %t: %v, paid %d of %d after %v, %v (kernel %v %v)", direction, n, heard, again.Reason(), before-purseOf(c), price, first.Reason(),
			err, again.Outcome.Kind, again.Outcome.Reason)
	}
	return true
}

// TestJourneysAtRandom: whatever a rider with a record does at three stations, and wherever the card is torn off, what the card lost is what the logs say, a
// gate opens for a payment alone, and a rider who is inside gets out.
func TestJourneysAtRandom(t *testing.T) {
	var lanes []*lane
	for station := range uint32(3) {
		lanes = append(lanes, newLane(t, func(o *Options) {
			o.Gate.Station, o.Taps = station+1, hastyDisk{o.Taps}
			o.Segmented = NewSegmented(Journeys{Station: station + 1, Highest: o.Gate.Amount, Fare: fareByDistance(station + 1)})
		}))
	}
	riders := 0
	rapid.Check(t, func(r *rapid.T) {
		riders++
		number := fmt.Sprintf("6299998%08d", riders)
		c, _ := cardtest.New(t, cardtest.Options{PAN: number, Change: withJourneys(number, true)})
		had, logged, inside := purseOf(c), int64(0), false
		for range rapid.IntRange(1, 12).Draw(r, "taps") {
			l := lanes[rapid.IntRange(0, 2).Draw(r, "station")]
			wait := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 20 * time.Minute, 5 * time.Hour}).Draw(r, "wait")
			for _, each := range lanes {
				each.clock.Advance(wait)
			}
			direction := rapid.SampledFrom([]gate.Direction{gate.In, gate.Out}).Draw(r, "direction")
			field := card.NewField(c)
			field.TearAfterCommand(rapid.IntRange(0, 24).Draw(r, "torn at"))
			for try := 0; ; try++ {
				before := purseOf(c)
				result, err := l.Tap(t.Context(), field, gate.Read{Direction: direction})
				if err != nil {
					r.Fatal(err)
				}
				if result.Record.Flags.Has(gate.FlagPurse) {
					logged += result.Record.Amount
				}
				if result.Open {
					inside = direction == gate.In
				}
				if result.Reason() != gate.ReadAgain {
					if lost := had - purseOf(c); lost != logged || result.Open != result.Record.Flags.Has(gate.FlagPurse) || !result.Open && before != purseOf(c) {
						r.Fatalf("the card lost %d, the logs say %d: %v at %v, %+v", lost, logged, direction, result.Reason(), result.Record)
					}
					break
				}
				field = card.NewField(c)
				if try > 2 {
					r.Fatalf("the rider does not get through: %v", result.Outcome.Reason)
				}
			}
		}
		if !inside {
			return
		}
		lanes[0].clock.Advance(time.Minute)
		if result, err := lanes[0].Tap(t.Context(), card.NewField(c), gate.Read{Direction: gate.Out}); err != nil || !result.Open {
			r.Fatalf("a rider who is inside: %v, %v", result.Reason(), err)
		}
	})
}

// fareByDistance asks a yuan for each station between, within four hours.
func fareByDistance(here uint32) func(uint32, time.Time, time.Time) (money.Amount, bool) {
	return func(from uint32, entered, left time.Time) (money.Amount, bool) {
		const yuan, longest = 100, 4 * time.Hour
		return money.New(yuan*(max(int64(from), int64(here))-min(int64(from), int64(here))), money.CNY), left.Sub(entered) <= longest
	}
}

// hastyDisk does not wait for the disk.
type hastyDisk struct{ taplog.Disk }

func (d hastyDisk) Create(name string) (taplog.File, error) {
	f, err := d.Disk.Create(name)
	return hastyFile{f}, err
}

type hastyFile struct{ taplog.File }

func (hastyFile) Sync() error { return nil }
