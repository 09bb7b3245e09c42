package transit

import (
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
)

// oneRider is a city with somebody who has a card.
func oneRider(t testing.TB, profile string) (*city, *transittest.Card) {
	t.Helper()
	return newCity(t, profileNamed(t, profile)), transittest.NewCard(t, 1)
}

// ridden lets a card ride for 5.00 in the morning of the first day, and the gates hand in what they have.
func (c *city) ridden(card *transittest.Card) {
	c.Helper()
	c.ride(card, "a", "c", c.at(0, 8, 10))
	c.at(0, 9, 0)
	c.upload("a", "c")
}

// poor lets the acquirer refuse every bill for want of money while it is true.
func (c *city) poor() *bool {
	poor := true
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if poor && m.Info.MessageType == unionpay.KindSale {
			return unionpay.InsufficientFunds
		}
		return unionpay.Approved
	}
	return &poor
}

// TestADayOnTheMetro: a ride is verified when the tap comes in, billed at the close, and paid.
func TestADayOnTheMetro(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.ridden(card)
	if len(c.bank.Requests) != 1 || c.bank.Requests[0].Info.MessageType != unionpay.KindPreAuth || c.bank.HeldMine != 0 {
		t.Fatalf("%d requests, %d held: want one verification, given back", len(c.bank.Requests), c.bank.HeldMine)
	}
	if len(c.bank.Requests[0].ICC.Get(emv.TagAC)) == 0 {
		t.Error("the verification has no chip data")
	}
	c.closeDay(0)
	c.oneBill(Paid, 500)
	if c.bank.Minor != 500 {
		t.Errorf("the acquirer owes %d", c.bank.Minor)
	}
	if got := c.office.state.totals.States; got[TapCharged] != 2 || got[TapPending] != 0 {
		t.Errorf("states of taps %v", got)
	}
	c.closeDay(1)
	c.oneBill(Paid, 500)
}

// TestTheCap: the third ride of a day costs less, and a fourth nothing.
func TestTheCap(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	for hour := 8; hour < 12; hour++ {
		c.ride(card, "a", "c", c.at(0, hour, 10))
	}
	c.at(0, 13, 0)
	c.upload("a", "c")
	c.closeDay(0)
	c.oneBill(Paid, 1000)
}

// TestADebt: a bill that is refused puts the card on the list; the calendar collects it, and the list lets it go.
func TestADebt(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	poor := c.poor()
	c.ridden(card)
	c.closeDay(0)
	c.oneBill(Owed, 500)
	id := card.ID(transittest.IDs(t))
	c.at(1, 5, 2)
	if l, _ := c.listed(id); l.reason != denylist.Debt {
		t.Fatalf("on the list: %v", l)
	}
	*poor = false
	c.at(1, 12, 0) // six hours after the refusal
	c.oneBill(Paid, 500)
	if _, on := c.listed(id); on {
		t.Error("the card is still on the list")
	}
	c.audit()
	c.agrees()
}

// TestADebtIsGivenUp: when the calendar is at its end the debt is written off, and the card stays on the list until the rider pays.
func TestADebtIsGivenUp(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.poor()
	c.ridden(card)
	c.closeDay(0)
	c.at(16, 0, 0)
	b := c.oneBill(WrittenOff, 500)
	if tries := len(c.bank.Requests) - 1; tries != len(calendarOfRetries)+1 {
		t.Errorf("asked %d times", tries)
	}
	id := card.ID(transittest.IDs(t))
	if _, on := c.listed(id); !on {
		t.Error("a card whose debt was given up is let in")
	}
	if done, ok := c.ask(Settle{Account: 1, Bill: b.seq}).(Done); !ok || done.Minor != 500 {
		t.Fatalf("the rider cannot pay: %v", done)
	}
	c.at(16, 0, 2)
	if _, on := c.listed(id); on {
		t.Error("the card is still on the list")
	}
	c.audit()
	c.agrees()
}

// TestATapCollectsADebt: a card that is refused at the gate brings fresh chip data, at most every half hour.
func TestATapCollectsADebt(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	poor := c.poor()
	c.ridden(card)
	c.closeDay(0)
	c.at(1, 5, 2)
	c.devices["b"].Deny(snapshot(t, c))
	if d := c.tap(card, "b", gate.In, c.at(1, 6, 0)); d.Reason() != gate.DeniedDebt {
		t.Fatalf("the gate says %v", d.Reason())
	}
	asked := len(c.bank.Requests)
	c.upload("b")
	if len(c.bank.Requests) != asked+1 || c.bank.Requests[asked].EntryMode.Mode() != unionpay.EntryContactless {
		t.Fatalf("%d requests after the tap", len(c.bank.Requests)-asked)
	}
	c.tap(card, "b", gate.In, c.at(1, 6, 10))
	c.upload("b")
	if len(c.bank.Requests) != asked+1 {
		t.Error("asked again within half an hour")
	}
	*poor = false
	c.tap(card, "b", gate.In, c.at(1, 6, 40))
	c.upload("b")
	c.oneBill(Paid, 500)
	c.audit()
	c.agrees()
}

// snapshot is the deny list as a gate would have it.
func snapshot(t testing.TB, c *city) *denylist.Snapshot {
	t.Helper()
	base := c.office.base(c.Clock.Now())
	image, err := denylist.BuildBase(base.Entries, base.Info, base.Chain, transittest.Signer)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := denylist.OpenBase(image, c.deps.trust())
	if err != nil {
		t.Fatal(err)
	}
	list, err := denylist.NewList(opened, denylist.Position{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Snapshot()
}

// TestSilence: no answer is taken back, and asked again later.
func TestSilence(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	silent := true
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if silent && m.Info.MessageType == unionpay.KindSale {
			return ""
		}
		return unionpay.Approved
	}
	c.ridden(card)
	c.closeDay(0)
	c.oneBill(Asked, 500)
	silent = false
	c.at(1, 5, 2)
	c.oneBill(Due, 500)
	if on := len(c.office.state.list.told); on != 0 {
		t.Errorf("%d on the list because a line was down", on)
	}
	c.at(1, 12, 0)
	c.oneBill(Paid, 500)
	c.audit()
	c.agrees()
}

// TestALostCard is not asked again, stays on the list as lost, and does not stop the card that replaces it.
func TestALostCard(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if m.Info.MessageType == unionpay.KindSale {
			return unionpay.LostCard
		}
		return unionpay.Approved
	}
	c.ridden(card)
	c.closeDay(0)
	c.oneBill(Stopped, 500)
	asked := len(c.bank.Requests)
	c.at(3, 0, 0)
	if len(c.bank.Requests) != asked {
		t.Error("a lost card is asked again")
	}
	if l, _ := c.listed(card.ID(transittest.IDs(t))); l.reason != denylist.Lost || l.kind != denylist.Credential {
		t.Errorf("on the list as %v", l)
	}
	c.audit()
	c.agrees()
}

// TestMaximumHeld: the profile that holds the maximum fare at the entry completes it with the journey's.
func TestMaximumHeld(t *testing.T) {
	c, card := oneRider(t, "preauth")
	c.tap(card, "a", gate.In, c.at(0, 8, 10))
	c.upload("a")
	if c.bank.HeldMine != 1500 {
		t.Fatalf("%d held", c.bank.HeldMine)
	}
	c.tap(card, "c", gate.Out, c.at(0, 8, 40))
	c.upload("c")
	c.oneBill(Paid, 500)
	if c.bank.HeldMine != 0 || c.bank.Minor != 500 {
		t.Errorf("%d held, %d owed", c.bank.HeldMine, c.bank.Minor)
	}
	c.audit()
	c.agrees()
	c.closeDay(0)
	c.oneBill(Paid, 500)
}

// TestZeroVerification asks for nothing and bills like any other.
func TestZeroVerification(t *testing.T) {
	c, card := oneRider(t, "zero")
	c.ridden(card)
	if len(c.bank.Requests) != 1 || !c.bank.Requests[0].Amount.IsZero() {
		t.Fatalf("%d requests", len(c.bank.Requests))
	}
	c.closeDay(0)
	c.oneBill(Paid, 500)
}

// TestSingleRides: a bus with one fare is paid tap by tap, each with its own cryptogram.
func TestSingleRides(t *testing.T) {
	c, card := oneRider(t, "single")
	for minute := range 3 {
		c.tap(card, "bus", gate.Ride, c.at(0, 8, 10+10*minute))
		c.upload("bus")
	}
	if c.bank.Minor != 600 || len(c.bank.Requests) != 3 {
		t.Fatalf("%d owed after %d requests", c.bank.Minor, len(c.bank.Requests))
	}
	for _, m := range c.bank.Requests {
		if m.EntryMode.Mode() != unionpay.EntryContactless {
			t.Error("a payment without chip data")
		}
	}
	c.audit()
	c.agrees()
}

// TestTheLimit bills before the close what has come to as much.
func TestTheLimit(t *testing.T) {
	profile := profileNamed(t, "aggregate")
	profile.LimitMinor = 900
	c := newCity(t, profile)
	card := transittest.NewCard(t, 1)
	c.ride(card, "a", "d", c.at(0, 8, 10))
	c.at(0, 9, 0)
	c.upload("a", "d")
	if len(c.bills()) != 0 {
		t.Fatal("billed below the limit")
	}
	c.ride(card, "a", "d", c.at(0, 10, 10))
	c.at(0, 11, 0)
	c.upload("a", "d")
	c.oneBill(Paid, 1000)
	c.closeDay(0)
	c.oneBill(Paid, 1000)
}

// TestALateTap: a tap that comes after the close corrects the next bill; the closed day stays as it was.
func TestALateTap(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.ride(card, "a", "c", c.at(0, 8, 10))
	c.at(0, 9, 0)
	c.upload("a")
	c.closeDay(0)
	if len(c.bills()) != 0 {
		t.Fatal("a journey without an exit was billed within its days of grace")
	}
	c.upload("c")
	c.closeDay(1)
	c.oneBill(Paid, 500)
}

// TestIncomplete: after the days of grace the maximum is charged; an exit that comes still later gives money back.
func TestIncomplete(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.ride(card, "a", "c", c.at(0, 8, 10))
	c.at(0, 9, 0)
	c.upload("a")
	for d := range 5 {
		c.closeDay(d)
	}
	c.oneBill(Paid, 1500)
	c.upload("c")
	c.closeDay(5)
	b := c.oneBill(Paid, 1500)
	if b.refunded != 1000 || c.bank.Minor != 500 {
		t.Errorf("%d came back, the acquirer owes %d", b.refunded, c.bank.Minor)
	}
}

// TestACorrection: a rider who states where the exit was pays that fare.
func TestACorrection(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	tap := c.tap(card, "a", gate.In, c.at(0, 8, 10))
	c.upload("a")
	c.closeDay(0)
	if err, refused := c.ask(Correct{Account: 1, Journey: faresID("a", tap.Record.Sequence+7), Place: "C"}).(error); !refused {
		t.Errorf("a journey nobody made was corrected: %v", err)
	}
	if _, ok := c.ask(Correct{Account: 1, Journey: faresID("a", tap.Record.Sequence), Place: "C"}).(Done); !ok {
		t.Fatal("the correction is refused")
	}
	c.closeDay(1)
	c.oneBill(Paid, 500)
}

// TestCardAndPhone: what shows one account reference is one rider, at the tap or in the acquirer's answer; each pays for its own journeys.
func TestCardAndPhone(t *testing.T) {
	for _, atTap := range []bool{true, false} {
		c := newCity(t, profileNamed(t, "aggregate"))
		card, phone := transittest.NewCard(t, 1), transittest.NewCard(t, 2)
		const reference = "V0010013022298169667504231315"
		if atTap {
			card.Reference, phone.Reference = reference, reference
		} else {
			c.bank.References = func(*unionpay.FinancialRequest) string { return reference }
		}
		c.tap(card, "a", gate.In, c.at(0, 8, 10))
		c.tap(phone, "c", gate.Out, c.at(0, 8, 40))
		c.at(0, 9, 0)
		c.upload("a", "c")
		c.closeDay(0)
		c.oneBill(Paid, 500)
	}
}

// TestNotPassed: a tap whose rider did not go through counts for nothing, whichever comes first.
func TestNotPassed(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	tap := c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
	d := c.devices["bus"]
	first := d.Chunk(0)
	d.NotPassed(tap.Record, c.at(0, 8, 11))
	second := d.Chunk(0)
	if _, ok := c.ask(Ingest{Chunk: second}).(Ingested); !ok {
		t.Fatal("a later piece is refused")
	}
	got, ok := c.ask(Ingest{Chunk: first}).(Ingested)
	if !ok || len(got.Missing) != 0 || got.Receipt.Sequence != second.First {
		t.Fatalf("%+v", got)
	}
	c.closeDay(0)
	if len(c.bills()) != 0 || c.office.state.totals.States[TapTakenBack] != 1 {
		t.Errorf("%d bills, states %v", len(c.bills()), c.office.state.totals.States)
	}
}

// TestMaximumReleased: what is held for a ride that costs nothing, or that nobody ever completes, is given back.
func TestMaximumReleased(t *testing.T) {
	held := func(c *city, want int64) {
		t.Helper()
		if c.bank.HeldMine != want {
			t.Errorf("%d held, not %d", c.bank.HeldMine, want)
		}
		c.audit()
	}
	t.Run("not passed", func(t *testing.T) {
		c, card := oneRider(t, "preauth")
		tap := c.tap(card, "a", gate.In, c.at(0, 8, 10))
		c.upload("a")
		held(c, 1500)
		c.devices["a"].NotPassed(tap.Record, c.at(0, 8, 11))
		c.upload("a")
		c.closeDay(0)
		held(c, 0)
		if c.bank.Minor != 0 {
			t.Errorf("%d paid", c.bank.Minor)
		}
		c.restart()
		held(c, 0)
	})
	t.Run("dearer than the hold", func(t *testing.T) {
		profile := profileNamed(t, "preauth")
		profile.MaximumMinor = 300
		c := newCity(t, profile)
		card := transittest.NewCard(t, 1)
		c.tap(card, "a", gate.In, c.at(0, 8, 10))
		c.upload("a")
		held(c, 300)
		c.tap(card, "c", gate.Out, c.at(0, 8, 40))
		c.upload("c")
		c.oneBill(Paid, 500)
		c.closeDay(0)
		held(c, 0)
		c.agrees()
	})
	t.Run("too old", func(t *testing.T) {
		profile := profileNamed(t, "preauth")
		profile.HoldLife = time.Hour
		c := newCity(t, profile)
		card := transittest.NewCard(t, 1)
		c.tap(card, "a", gate.In, c.at(0, 8, 10))
		c.upload("a")
		held(c, 1500)
		c.closeDay(0)
		held(c, 0)
		c.closeDay(4) // the journey was never completed: the highest fare, asked for without a hold
		if c.bank.Minor == 0 {
			t.Error("the incomplete journey costs nothing")
		}
		c.agrees()
	})
}

// TestWindow: journeys are gathered over several closes, and billed together when the window has passed.
func TestWindow(t *testing.T) {
	profile := profileNamed(t, "zero")
	profile.LimitMinor, profile.Window = 0, 3*day
	c := newCity(t, profile)
	card := transittest.NewCard(t, 1)
	for d := range 3 {
		c.ride(card, "a", "c", c.at(d, 8, 10))
		c.at(d, 9, 0)
		c.upload("a", "c")
		c.closeDay(d)
		bills := len(c.bills())
		if want := d / 2; bills != want {
			t.Fatalf("day %d: %d bills, not %d", d, bills, want)
		}
		if d == 1 {
			c.restart()
		}
	}
	c.oneBill(Paid, 1500)
	c.agrees()
	c.audit()
	c.ride(card, "a", "c", c.at(3, 8, 10))
	c.upload("a", "c")
	c.closeDay(3)
	if len(c.bills()) != 1 {
		t.Error("a new window did not begin")
	}
}

// TestWindowEndsAtTheLimit: the cumulative limit comes before the window's end.
func TestWindowEndsAtTheLimit(t *testing.T) {
	profile := profileNamed(t, "zero")
	profile.LimitMinor, profile.Window = 1000, 7*day
	c := newCity(t, profile)
	card := transittest.NewCard(t, 1)
	for d := range 2 {
		c.ride(card, "a", "c", c.at(d, 8, 10))
		c.at(d, 9, 0)
		c.upload("a", "c")
		if d == 0 {
			c.closeDay(d)
			if len(c.bills()) != 0 {
				t.Fatal("billed before the limit")
			}
		}
	}
	c.oneBill(Paid, 1000)
	c.agrees()
}
