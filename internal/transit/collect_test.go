package transit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
)

// strict is an issuer that takes no more than 50.00 in one request, and none that proves nothing: it calls that a fraud, and the card is stopped.
func (c *city) strict() {
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if len(m.ICC.Get(emv.TagAC)) == 0 && unionpay.OriginalKey(m) == "" || m.Amount.Minor() > 5000 {
			return unionpay.SuspectedFraud
		}
		return unionpay.Approved
	}
}

// TestAWeekThatCameLate is more than an issuer takes at once: it goes into several bills, each is proven, and all are paid. Where the entries came before the
// exits, some of them are paid as the highest fare first, and the rest goes back.
func TestAWeekThatCameLate(t *testing.T) {
	for _, name := range []string{"aggregate", "zero", "single", "preauth"} {
		t.Run(name, func(t *testing.T) {
			c, card := oneRider(t, name)
			c.strict()
			for d := range 7 {
				c.ride(card, "a", "d", c.at(d, 8, 10))
				c.ride(card, "a", "d", c.at(d, 18, 10))
			}
			c.at(6, 20, 0)
			c.upload("a", "d")
			c.closeDay(6)
			c.at(8, 0, 0)
			var sum int64
			for _, b := range c.bills() {
				if sum += b.minor - b.refunded; b.state != Paid || b.minor > c.deps.Profile.BillMinor {
					t.Errorf("a bill of %d is %s", b.minor, b.state)
				}
			}
			if sum != 7000 || len(c.bills()) < 2 || c.bank.Minor != 7000 || c.bank.HeldMine != 0 {
				t.Errorf("%d bills of %d, paid %d, held %d", len(c.bills()), sum, c.bank.Minor, c.bank.HeldMine)
			}
			c.audit()
			c.agrees()
			c.sameAfterReplay()
		})
	}
}

// TestSplit: whatever the lines, they add up to what they did, journey by journey; no part is above the bound or below zero.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minors := rapid.SliceOfN(rapid.Int64Range(-3000, 12_000), 1, 12).Draw(t, "lines")
		most := rapid.Int64Range(1, 6000).Draw(t, "most")
		lines := make([]line, len(minors))
		want := map[tapKey]int64{}
		for i := range minors {
			lines[i] = line{tap: tapKey{1, uint64(i + 1)}, minor: minors[i], state: TapCharged}
			want[lines[i].tap] = minors[i]
		}
		parts := split(lines, most)
		for _, part := range parts {
			if sum := total(part); len(part) == 0 || len(parts) > 1 && (sum <= 0 || sum > most) {
				t.Fatalf("a part of %d", sum)
			}
			for _, l := range part {
				want[l.tap] -= l.minor
			}
		}
		for key, left := range want {
			if left != 0 {
				t.Fatalf("journey %d: %d is in no part", key.sequence, left)
			}
		}
		if len(parts) > 1 && total(lines) <= most {
			t.Fatal("cut without need")
		}
	})
}

// TestADearJourney costs more than one request may ask for: two bills of one journey, the first out of what was held.
func TestADearJourney(t *testing.T) {
	profile := profileNamed(t, "preauth")
	profile.BillMinor = 300
	c := newCity(t, profile)
	card := transittest.NewCard(t, 1)
	c.tap(card, "a", gate.In, c.at(0, 8, 10))
	c.upload("a")
	if c.bank.HeldMine != 300 {
		t.Errorf("%d held", c.bank.HeldMine)
	}
	c.tap(card, "c", gate.Out, c.at(0, 8, 40))
	c.upload("c")
	c.closeDay(0)
	bills := c.bills()
	if len(bills) != 2 || bills[0].minor != 300 || bills[1].minor != 200 || bills[0].state != Paid || bills[1].state != Paid || c.bank.HeldMine != 0 {
		t.Fatalf("%d bills, %d held", len(bills), c.bank.HeldMine)
	}
	if day, _ := c.ask(ViewDay{Day: c.deps.Book.ServiceDate(morning)}).(DayView); day.Journeys != 1 || day.Minor != 500 {
		t.Errorf("%+v", day)
	}
	c.agrees()
	c.sameAfterReplay()
}

// TestASystemInTrouble: whether the issuer has seen the cryptogram nobody knows. The next request shows it again and names the first.
func TestASystemInTrouble(t *testing.T) {
	c, card := oneRider(t, "single")
	trouble := true
	c.bank.Says = func(*unionpay.FinancialRequest) unionpay.ResponseCode {
		if trouble {
			return unionpay.IssuerInoperative
		}
		return unionpay.Approved
	}
	c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
	c.upload("bus")
	trouble = false
	c.at(0, 20, 0)
	c.oneBill(Paid, 200)
	last := c.bank.Requests[len(c.bank.Requests)-1]
	if unionpay.OriginalKey(last) != unionpay.TerminalKey(c.bank.Requests[0]) {
		t.Errorf("names %q", unionpay.OriginalKey(last))
	}
	c.agrees()
	c.sameAfterReplay()
}

// TestARefundOfADebt lowers it, and takes it off the list when nothing is left [REF 2.5].
func TestARefundOfADebt(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.poor()
	c.ridden(card)
	c.closeDay(0)
	b := c.oneBill(Owed, 500)
	if _, no := c.ask(RefundBill{Bill: b.seq, Minor: 501}).(error); !no {
		t.Error("more than is owed is taken off")
	}
	if done, ok := c.ask(RefundBill{Bill: b.seq, Minor: 200}).(Done); !ok || done.Minor != 200 {
		t.Fatal("a part of a debt is not taken off")
	}
	c.oneBill(Owed, 300)
	c.audit()
	c.at(1, 6, 0)
	if c.listedAs(card) != denylist.Debt {
		t.Error("not on the list with what is left")
	}
	if v, _ := c.ask(ViewDebts{}).([]BillView); len(v) != 1 || v[0].Minor != 300 {
		t.Errorf("debts %+v", v)
	}
	if done, ok := c.ask(RefundBill{Bill: b.seq}).(Done); !ok || done.Minor != 300 {
		t.Fatal("the rest is not taken off")
	}
	c.oneBill(Settled, 0)
	c.at(1, 7, 0)
	if got := c.listedAs(card); got != 0 {
		t.Errorf("on the list as %v when nothing is owed", got)
	}
	if _, no := c.ask(RefundBill{Bill: b.seq}).(error); !no {
		t.Error("nothing is taken off nothing")
	}
	c.audit()
	c.agrees()
	c.sameAfterReplay()
}

// TestAnOldRefund: what a rider paid goes back only so long.
func TestAnOldRefund(t *testing.T) {
	profile := profileNamed(t, "aggregate")
	profile.RefundWithin = 3 * day
	c := newCity(t, profile)
	c.ridden(transittest.NewCard(t, 1))
	c.closeDay(0)
	b := c.oneBill(Paid, 500)
	c.at(3, 20, 0)
	if reply, ok := c.ask(RefundBill{Bill: b.seq, Minor: 100}).(Done); !ok {
		t.Errorf("within three days: %v", reply)
	}
	c.at(4, 5, 0)
	if err, _ := c.ask(RefundBill{Bill: b.seq, Minor: 100}).(error); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "3 days") {
		t.Errorf("later: %v", err)
	}
	c.agrees()
}

// TestWhatADeskRefuses: a category that no tariff has, a place without a fare, more corrections in a year or attempts in an hour than the profile allows.
func TestWhatADeskRefuses(t *testing.T) {
	profile := profileNamed(t, "aggregate")
	profile.Corrections, profile.RiderRetries = 2, 2
	c := newCity(t, profile)
	card := transittest.NewCard(t, 1)
	c.poor()
	journeys := make([]fares.TapID, 3)
	for i := range journeys {
		journeys[i] = faresID("a", c.tap(card, "a", gate.In, c.at(0, 8+2*i, 0)).Record.Sequence)
	}
	ride := c.tap(card, "bus", gate.Ride, c.at(0, 14, 0))
	c.upload("a", "bus")
	refused := func(want error, command any) {
		t.Helper()
		rows := len(c.Rows())
		if err, _ := c.ask(command).(error); !errors.Is(err, want) || len(c.Rows()) != rows {
			t.Errorf("%+v: %v, %d rows", command, err, len(c.Rows())-rows)
		}
	}
	done := func(command any) {
		t.Helper()
		if reply, ok := c.ask(command).(Done); !ok {
			t.Errorf("%+v: %v", command, reply)
		}
	}
	refused(ErrRefused, Enrol{Account: 1, Category: "pensioner"})
	done(Enrol{Account: 1, Category: "student"})
	done(Enrol{Account: 1})
	refused(ErrRefused, Correct{Account: 1, Journey: journeys[0], Place: "Z"})
	refused(ErrRefused, Correct{Account: 1, Journey: faresID("bus", ride.Record.Sequence), Place: "C"})
	done(Correct{Account: 1, Journey: journeys[0], Place: "C"})
	done(Correct{Account: 1, Journey: journeys[0], Place: "B"}) // the same journey, another word about it
	done(Correct{Account: 1, Journey: journeys[1], Place: "C"})
	refused(ErrTooOften, Correct{Account: 1, Journey: journeys[2], Place: "C"})
	c.closeDay(0)
	var owed uint64
	for _, b := range c.bills() {
		if b.state == Owed {
			owed = b.seq
		}
	}
	done(Retry{Bill: owed, Rider: true})
	c.at(1, 5, 30)
	done(Retry{Bill: owed, Rider: true})
	refused(ErrTooOften, Retry{Bill: owed, Rider: true})
	done(Retry{Bill: owed}) // the operator may
	c.at(1, 6, 1)
	done(Retry{Bill: owed, Rider: true})
	refused(ErrTooOften, Retry{Bill: owed, Rider: true})
	c.audit()
	c.sameAfterReplay()
}

// TestAnApprovalGrowsOld: a card is verified when it is first seen, and again when its last approval is as old as the profile's trust.
func TestAnApprovalGrowsOld(t *testing.T) {
	profile := profileNamed(t, "zero")
	profile.RiskTrust, profile.LimitMinor, profile.Window = 0, 0, 0
	c := newCity(t, profile)
	card := transittest.NewCard(t, 1)
	asked := func() (n int) {
		for _, m := range c.bank.Requests {
			if m.Info.MessageType == unionpay.KindPreAuth {
				n++
			}
		}
		return n
	}
	ride := func(days, want int) {
		t.Helper()
		c.tap(card, "a", gate.In, c.at(days, 8, 10))
		c.at(days, 9, 0)
		c.upload("a")
		if got := asked(); got != want {
			t.Errorf("day %d: %d verifications, want %d", days, got, want)
		}
	}
	ride(0, 1)
	ride(1, 1)
	ride(13, 1)
	ride(14, 2)
	ride(15, 2)
	c.sameAfterReplay()
}

// TestAMarkOfRisk: a tap at a gate whose list was old asks for a verification when the last approval is a day old; one at a gate with the list does not.
func TestAMarkOfRisk(t *testing.T) {
	profile := profileNamed(t, "zero")
	profile.LimitMinor = 0
	c := newCity(t, profile)
	card := transittest.NewCard(t, 1)
	ride := func(days, hour int, listed bool, want int) {
		t.Helper()
		at := c.at(days, hour, 10)
		c.devices["a"].Deny(nil)
		if listed {
			c.devices["a"].Deny(snapshot(t, c))
		}
		if d := c.tap(card, "a", gate.In, at); d.Reason() != gate.OK || d.Record.Flags.Has(gate.FlagStaleList) == listed {
			t.Fatalf("%v, marks %b", d.Reason(), d.Record.Flags)
		}
		c.upload("a")
		if got := len(c.bank.Requests); got != want {
			t.Errorf("day %d, %d o'clock: %d verifications, want %d", days, hour, got, want)
		}
	}
	ride(0, 8, true, 1)
	ride(0, 18, false, 1)
	ride(1, 7, false, 1)
	ride(1, 9, true, 1)
	ride(1, 10, false, 2)
	ride(2, 12, true, 2)
}

// TestAReplacedCard has the number of the lost one, the next sequence and a later date. It is a card of its own: it rides when the old one is lost; what the old
// one owes stops it when both show one account, and it goes free when that is paid.
func TestAReplacedCard(t *testing.T) {
	for _, reference := range []string{"", "V0010013022298169667504231315"} {
		c, old := oneRider(t, "aggregate")
		old.Reference = reference
		poor := c.poor()
		c.ridden(old)
		replaced := old.Replaced(t)
		if reply, ok := c.ask(Block{Credential: 1, Reason: denylist.Lost}).(Done); !ok {
			t.Fatal(reply)
		}
		try := func(card *transittest.Card, at time.Time, want gate.Reason) {
			t.Helper()
			c.devices["b"].Deny(snapshot(t, c))
			if d := c.tap(card, "b", gate.In, at); d.Reason() != want {
				t.Errorf("reference %q, card %s: %v, want %v", reference, card.Sequence, d.Reason(), want)
			}
		}
		try(old, c.at(0, 10, 0), gate.DeniedBlocked)
		try(replaced, c.at(0, 10, 5), gate.OK)
		c.closeDay(0)
		c.oneBill(Owed, 500)
		stopped := gate.OK
		if reference != "" {
			stopped = gate.DeniedDebt
		}
		try(replaced, c.at(1, 6, 0), stopped)
		try(old, c.at(1, 6, 5), gate.DeniedBlocked)
		*poor = false
		c.at(1, 13, 0)
		c.oneBill(Paid, 500)
		try(replaced, c.at(1, 13, 5), gate.OK)
		try(old, c.at(1, 13, 10), gate.DeniedBlocked)
		c.upload("b")
		if n := len(c.office.state.credentials) - 1; n != 2 {
			t.Errorf("%d credentials, want the old one and the new one", n)
		}
		if same := c.office.state.credentials[1].account == c.office.state.credentials[2].account; same != (reference != "") {
			t.Errorf("reference %q: one rider: %t", reference, same)
		}
		c.audit()
		c.agrees()
		c.sameAfterReplay()
	}
}

// TestTheCalendar: a debt is asked for again six hours after the first refusal, and after 1, 2, 4, 7, 10 and 14 days [REF 2.4]; then it is given up.
func TestTheCalendar(t *testing.T) {
	c, card := oneRider(t, "single")
	var asked []time.Time
	c.bank.Says = func(*unionpay.FinancialRequest) unionpay.ResponseCode {
		asked = append(asked, c.Clock.Now())
		return unionpay.InsufficientFunds
	}
	c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
	c.upload("bus")
	c.at(20, 0, 0)
	want := []time.Duration{0, 6 * time.Hour, day, 2 * day, 4 * day, 7 * day, 10 * day, 14 * day}
	if len(asked) != len(want) {
		t.Fatalf("asked %d times, want %d", len(asked), len(want))
	}
	for i := range want {
		if got := asked[i].Sub(asked[0]); got != want[i] {
			t.Errorf("attempt %d comes %v after the first, want %v", i+1, got, want[i])
		}
	}
	c.oneBill(WrittenOff, 200)
	c.agrees()
}
