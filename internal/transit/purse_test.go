package transit

import (
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/iso8583/unionpay"
)

// asked counts the requests of a kind that the bank got, a repeat as one, and what they were about.
func (c *city) asked(kind unionpay.MessageType) (n int, minor int64) {
	seen := map[string]bool{}
	for _, r := range c.bank.Requests {
		if key := unionpay.TerminalKey(r); r.Info.MessageType == kind && !seen[key] {
			seen[key] = true
			n, minor = n+1, minor+r.Amount.Minor()
		}
	}
	return n, minor
}

func (c *city) paidIs(back bool, states ...PurseState) {
	c.Helper()
	v, _ := c.ask(ViewAccount{Account: 1}).(AccountView)
	if len(v.Paid) != len(states) {
		c.Fatalf("paid by the card: %+v, want %d", v.Paid, len(states))
	}
	for i, p := range v.Paid {
		if p.State != states[i] || p.Minor != 700 || p.Tap.Device != "bus" || p.Place != "K" || p.Back != back {
			c.Errorf("paid by the card: %+v, want %v", p, states[i].Term())
		}
	}
}

// TestPurse: what a card has paid by itself is told to the acquirer, the same again until it is answered, and then no more; no fare is charged, no request shows
// the cryptogram of that payment, and the rider sees it.
func TestPurse(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	card.Purse, card.Pays = true, 700
	says := unionpay.ResponseCode("")
	c.bank.Says = func(*unionpay.FinancialRequest) unionpay.ResponseCode { return says }
	c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
	c.upload("bus")
	c.paidIs(false, PurseWaits)
	c.at(0, 9, 0)
	c.restart()
	c.at(0, 10, 0)
	says = unionpay.NetworkUnreachable // no definite answer
	c.at(0, 11, 0)
	c.paidIs(false, PurseWaits)
	says = unionpay.Approved
	c.at(0, 12, 0)
	c.paidIs(false, PurseTaken)
	told := len(c.bank.Requests)
	first := c.bank.Requests[0]
	for _, m := range c.bank.Requests {
		if m.Info.MessageType != unionpay.KindOfflineUpload || unionpay.TerminalKey(m) != unionpay.TerminalKey(first) || m.Amount.Minor() != 700 ||
			string(m.ICC.Get(emv.TagAC)) != string(first.ICC.Get(emv.TagAC)) || len(first.ICC.Get(emv.TagAC)) == 0 {
			t.Errorf("told %+v, first %+v", m.Payment, first.Payment)
		}
	}
	if told < 3 {
		t.Errorf("told %d times, while nobody answered", told)
	}
	c.closeDay(0)
	c.at(2, 0, 0)
	if totals := &c.office.state.totals; len(c.bank.Requests) != told || totals.States[TapPurse] != 1 || len(c.bills()) != 0 || totals.Purse != 700 || c.bank.Minor != 700 {
		t.Errorf("%d requests after the answer, states %v, %d bills, %d taken, the acquirer owes %d", len(c.bank.Requests)-told, totals.States, len(c.bills()),
			totals.Purse, c.bank.Minor)
	}
	if c.listedAs(card) != 0 {
		t.Error("the card is on the list")
	}
	c.audit()
	c.agrees()
	c.sameAfterReplay()
}

// TestPursePaidForNoRide: the gate stayed shut, or the rider did not go through; the money goes back as a refund of the upload, whichever comes first, and over
// a restart.
func TestPursePaidForNoRide(t *testing.T) {
	for _, name := range []string{"refused", "not passed", "not passed, known before", "not passed, told before"} {
		t.Run(name, func(t *testing.T) {
			c, card := oneRider(t, "aggregate")
			card.Purse, card.Pays = true, 700
			line := name == "not passed, told before"
			c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
				if !line && c.Clock.Now().Before(morning.Add(4*time.Hour)) {
					return ""
				}
				return unionpay.Approved
			}
			bus := c.devices["bus"]
			state := TapPurse
			if name == "refused" {
				entry := Outside{Kind: denylist.Credential, Number: card.Number, Sequence: card.Sequence, Expiry: card.Expires, Reason: denylist.Lost}
				if err, no := c.ask(List{Entries: []Outside{entry}}).(error); no {
					t.Fatal(err)
				}
				c.at(0, 8, 5)
				bus.Deny(snapshot(t, c))
				state = TapRefused
			}
			d := c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
			if (d.Reason() == gate.OK) == (name == "refused") {
				t.Fatalf("the gate says %v", d.Reason())
			}
			switch name {
			case "not passed, known before":
				first := bus.Chunk(0)
				bus.NotPassed(d.Record, c.at(0, 8, 11))
				c.ask(Ingest{Chunk: bus.Chunk(0)})
				c.ask(Ingest{Chunk: first})
			case "refused":
				c.upload("bus")
			default:
				c.upload("bus")
				if line {
					c.at(0, 9, 0)
					c.paidIs(false, PurseTaken)
				}
				bus.NotPassed(d.Record, c.at(0, 9, 11))
				c.upload("bus")
			}
			c.restart()
			c.at(0, 20, 0)
			c.paidIs(true, PurseReturned)
			uploads, paid := c.asked(unionpay.KindOfflineUpload)
			refunds, back := c.asked(unionpay.KindOfflineRefund)
			if uploads != 1 || refunds != 1 || paid != 700 || back != 700 || c.bank.Minor != 0 || c.office.state.totals.Purse != 0 ||
				c.office.state.totals.States[state] != 1 {
				t.Errorf("told %d of %d, given back %d of %d, the acquirer owes %d, states %v", uploads, paid, refunds, back, c.bank.Minor, c.office.state.totals.States)
			}
			c.closeDay(0)
			c.audit()
			c.agrees()
			c.sameAfterReplay()
		})
	}
}

// TestPurseRefusedByTheAcquirer: the ride was given away, which is counted; a card that is none puts itself on the list.
func TestPurseRefusedByTheAcquirer(t *testing.T) {
	for code, listed := range map[unionpay.ResponseCode]denylist.Reason{unionpay.InsufficientFunds: 0, unionpay.SuspectedFraud: denylist.Counterfeit} {
		c, card := oneRider(t, "aggregate")
		card.Purse, card.Pays = true, 700
		c.bank.Says = func(*unionpay.FinancialRequest) unionpay.ResponseCode { return code }
		d := c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
		c.upload("bus")
		c.devices["bus"].NotPassed(d.Record, c.at(0, 9, 0)) // nothing was taken: nothing goes back
		c.upload("bus")
		c.at(0, 12, 0)
		c.paidIs(true, PurseRefused)
		if r, _ := c.ask(ViewReport{}).(Report); r.PurseRefused != 1 || r.Acquirer != 0 || len(c.bank.Requests) != 1 {
			t.Errorf("%s: %+v, %d requests", code, r, len(c.bank.Requests))
		}
		if got := c.listedAs(card); got != listed {
			t.Errorf("%s: on the list as %v, want %v", code, got, listed)
		}
		c.audit()
		c.agrees()
		c.sameAfterReplay()
	}
}

// TestPurseOfADebtor: what a refused card pays by itself is no proof of a debt.
func TestPurseOfADebtor(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.poor()
	c.ridden(card)
	c.closeDay(0)
	c.at(1, 10, 0)
	c.devices["bus"].Deny(snapshot(t, c))
	card.Purse, card.Pays = true, 700
	if d := c.tap(card, "bus", gate.Ride, c.at(1, 10, 10)); d.Reason() == gate.OK {
		t.Fatal("let in")
	}
	before := len(c.bank.Requests)
	c.upload("bus")
	for _, m := range c.bank.Requests[before:] {
		if kind := m.Info.MessageType; kind != unionpay.KindOfflineUpload && kind != unionpay.KindOfflineRefund && len(m.ICC.Get(emv.TagAC)) != 0 {
			t.Errorf("a request of kind %s shows the payment's cryptogram", kind)
		}
	}
	c.at(1, 11, 0)
	c.paidIs(true, PurseReturned)
	c.audit()
	c.agrees()
	c.sameAfterReplay()
}

// TestManyPaymentsOfACard: the latest are remembered.
func TestManyPaymentsOfACard(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	card.Purse, card.Pays = true, 700
	for i := range maxPaid + 10 {
		c.tap(card, "bus", gate.Ride, c.at(0, 8, i/2))
		c.upload("bus")
	}
	c.at(0, 12, 0)
	if v, _ := c.ask(ViewAccount{Account: 1}).(AccountView); len(v.Paid) != maxPaid || v.Paid[maxPaid-1].Tap.Sequence < v.Paid[0].Tap.Sequence {
		t.Errorf("%d are remembered", len(v.Paid))
	}
	if want := int64(maxPaid+10) * 700; c.bank.Minor != want || c.office.state.totals.Purse != want {
		t.Errorf("paid %d, taken %d", c.bank.Minor, c.office.state.totals.Purse)
	}
	c.sameAfterReplay()
}

// TestAPurseIsKept: what still has to be told or given back while the security module opens nothing is there after a start from the kept state, and goes out.
func TestAPurseIsKept(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	card.Purse, card.Pays = true, 700
	first := c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
	c.upload("bus")
	c.paidIs(false, PurseTaken)
	c.box.Locked = true
	c.devices["bus"].NotPassed(first.Record, c.at(0, 9, 0))
	c.tap(card, "bus", gate.Ride, c.at(0, 9, 10))
	c.upload("bus")
	c.closeDay(0)
	again := c.newOffice()
	if err := again.Open(t.Context(), c.Store, c.office.kept.row); err != nil || c.office.kept.row == 0 {
		t.Fatalf("kept as of row %d, %v", c.office.kept.row, err)
	}
	if len(again.state.returns) != 1 || len(again.state.purses) != 1 || again.state.returns[again.state.accounts[1].paid[0].Request] != 1 {
		t.Errorf("%d to be given back, %d to be told", len(again.state.returns), len(again.state.purses))
	}
	c.sameAfterReplay()
	c.restart()
	c.box.Locked = false
	c.at(1, 6, 0)
	v, _ := c.ask(ViewAccount{Account: 1}).(AccountView)
	if len(v.Paid) != 2 || v.Paid[0].State != PurseReturned || v.Paid[1].State != PurseTaken || c.bank.Minor != 700 {
		t.Errorf("%+v, the acquirer owes %d", v.Paid, c.bank.Minor)
	}
	c.audit()
	c.agrees()
	c.sameAfterReplay()
}
