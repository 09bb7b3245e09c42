package transit

import (
	"testing"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/transit/transittest"
)

// listedAs is what the gates have been told of a card; 0 for nothing.
func (c *city) listedAs(card *transittest.Card) denylist.Reason {
	l, _ := c.listed(card.ID(transittest.IDs(c)))
	return l.reason
}

// TestDecisionsOfTheOperator: a debt is asked for again, given up, and paid at the counter after all; what does not fit a bill's state is refused and changes
// nothing; a replay comes to the same.
func TestDecisionsOfTheOperator(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.poor()
	c.ridden(card)
	c.closeDay(0)
	b := c.oneBill(Owed, 500)
	refused := func(command any, state BillState) {
		t.Helper()
		rows := len(c.Rows())
		if _, no := c.ask(command).(error); !no || len(c.Rows()) != rows {
			t.Errorf("%+v of a bill that is %q: not refused, or %d rows for it", command, state, len(c.Rows())-rows)
		}
		c.oneBill(state, 500)
	}
	done := func(command any, state BillState) {
		t.Helper()
		if reply, ok := c.ask(command).(Done); !ok {
			t.Fatalf("%+v: %v", command, reply)
		}
		c.oneBill(state, 500)
	}
	asked := len(c.bank.Requests)
	done(Retry{Bill: b.seq}, Owed)
	if len(c.bank.Requests) != asked+1 {
		t.Errorf("%d requests for one retry", len(c.bank.Requests)-asked)
	}
	refused(WriteOff{Bill: b.seq + 1000}, Owed)
	refused(Settle{Account: 7}, Owed)
	done(WriteOff{Bill: b.seq}, WrittenOff)
	c.at(1, 6, 0)
	if got := c.listedAs(card); got != denylist.Debt {
		t.Errorf("a card whose debt was given up is on the list as %v", got)
	}
	refused(WriteOff{Bill: b.seq}, WrittenOff)
	refused(Retry{Bill: b.seq}, WrittenOff)
	refused(RefundBill{Bill: b.seq, Minor: 100}, WrittenOff)
	done(Settle{Account: 1}, Settled)
	refused(Settle{Account: 1}, Settled)
	c.at(1, 7, 0)
	if got := c.listedAs(card); got != 0 {
		t.Errorf("after the payment the card is on the list as %v", got)
	}
	c.audit()
	c.agrees()
	c.sameAfterReplay()
}

// TestStoppedByTheOperator: gates are told, with the reason, and told when it is over.
func TestStoppedByTheOperator(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.ridden(card)
	for _, reason := range []denylist.Reason{denylist.Lost, denylist.Operator} {
		if reply, ok := c.ask(Block{Credential: 1, Reason: reason}).(Done); !ok {
			t.Fatal(reply)
		}
		c.at(0, 10+int(reason), 0)
		if got := c.listedAs(card); got != reason {
			t.Errorf("on the list as %v, want %v", got, reason)
		}
		c.devices["b"].Deny(snapshot(t, c))
		if d := c.tap(card, "b", gate.In, c.at(0, 10+int(reason), 10)); d.Reason() != gate.DeniedBlocked {
			t.Errorf("the gate says %v", d.Reason())
		}
	}
	c.ask(Unblock{Credential: 1})
	c.at(0, 20, 0)
	if got := c.listedAs(card); got != 0 {
		t.Errorf("on the list as %v after it was released", got)
	}
	for _, command := range []any{Block{Credential: 9, Reason: denylist.Lost}, Block{Credential: 1}, Unblock{Credential: 9}} {
		if _, no := c.ask(command).(error); !no {
			t.Errorf("%+v is not refused", command)
		}
	}
	c.audit()
	c.sameAfterReplay()
}

// TestTheDebtOfAnAccount stops a phone of the same payment account that nobody has seen, and lets all go when it is paid.
func TestTheDebtOfAnAccount(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	phone := transittest.NewCard(t, 2)
	card.Reference, phone.Reference = "V0010013022298169667504231315", "V0010013022298169667504231315"
	poor := c.poor()
	c.ridden(card)
	c.closeDay(0)
	c.oneBill(Owed, 500)
	c.at(1, 5, 30)
	c.devices["b"].Deny(snapshot(t, c))
	if d := c.tap(phone, "b", gate.In, c.at(1, 6, 0)); d.Reason() != gate.DeniedDebt {
		t.Errorf("the phone of a debtor: %v", d.Reason())
	}
	stranger := transittest.NewCard(t, 3)
	if d := c.tap(stranger, "b", gate.In, c.at(1, 6, 5)); d.Reason() != gate.OK {
		t.Errorf("somebody else: %v", d.Reason())
	}
	*poor = false
	c.at(1, 13, 0)
	c.oneBill(Paid, 500)
	if l, _ := c.ask(ViewList{}).(ListView); l.Entries != 0 || c.listedAs(card) != 0 {
		t.Errorf("entries are left after the payment: %+v", l)
	}
	c.devices["b"].Deny(snapshot(t, c))
	if d := c.tap(phone, "b", gate.In, c.at(1, 14, 0)); d.Reason() != gate.OK {
		t.Errorf("the phone after the payment: %v", d.Reason())
	}
}

// TestInspected: an inspector's look at a rider under way is valid and costs nothing; it names the journey.
func TestInspected(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.tap(card, "a", gate.In, c.at(0, 8, 10))
	c.tap(card, "eye", gate.Inspect, c.at(0, 8, 20))
	c.tap(card, "c", gate.Out, c.at(0, 8, 40))
	c.tap(card, "eye", gate.Inspect, c.at(0, 8, 50))
	c.at(0, 9, 0)
	c.upload("a", "c", "eye")
	c.closeDay(0)
	c.oneBill(Paid, 500)
	v, _ := c.ask(ViewAccount{Account: 1}).(AccountView)
	if v.Statement == nil || len(v.Statement.Inspections) != 2 || !v.Statement.Inspections[0].Valid || v.Statement.Inspections[1].Valid ||
		v.Statement.Inspections[0].Journey.Device != "a" || c.office.state.totals.States[TapInspected] != 2 {
		t.Errorf("%+v, states %v", v.Statement, c.office.state.totals.States)
	}
}
