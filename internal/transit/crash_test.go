package transit

import (
	"testing"

	"tapnet/gate"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

func numbers(t testing.TB) (all []pan.Number) {
	for i := range 4 {
		all = append(all, transittest.NewCard(t, i).Number)
	}
	return all
}

// crash says where an office dies: at the event of that number, before it is handled or after its rows are on disk and before anybody hears of it.
type crash struct {
	at    int
	after bool
}

// crashStory runs a week with a crash in it, and gives the number of events.
func crashStory(t *testing.T, name string, die crash) (events int, c *city) {
	c = newQuietCity(t, profileNamed(t, name))
	refusals := 1
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if m.Info.MessageType == unionpay.KindSale && refusals > 0 {
			refusals--
			return unionpay.InsufficientFunds
		}
		return unionpay.Approved
	}
	c.die = func() (before, after bool) {
		events++
		return events == die.at && !die.after, events == die.at && die.after
	}
	card, other := transittest.NewCard(t, 1), transittest.NewCard(t, 2)
	c.ride(card, "a", "c", c.at(0, 8, 10))
	c.ride(other, "b", "d", c.at(0, 8, 20))
	c.tap(other, "bus", gate.Ride, c.at(0, 9, 0))
	c.upload("a", "b", "c", "d", "bus")
	c.closeDay(0)
	c.ride(card, "a", "d", c.at(1, 8, 10))
	c.upload("a", "d")
	for d := 1; d < 6; d++ {
		c.closeDay(d)
	}
	c.at(8, 0, 0)
	return events, c
}

// TestACrashAtEveryEvent: whenever the office dies, the week ends with the same charges, everything is paid once, and the books add up.
func TestACrashAtEveryEvent(t *testing.T) {
	for _, name := range []string{"aggregate", "preauth", "single", "zero"} {
		t.Run(name, func(t *testing.T) {
			events, whole := crashStory(t, name, crash{})
			want := whole.office.state.totals.Charged
			for at := 1; at <= events; at++ {
				for _, after := range []bool{false, true} {
					_, c := crashStory(t, name, crash{at, after})
					c.audit()
					c.agrees()
					totals := &c.office.state.totals
					if totals.Charged-totals.Credited != want || c.bank.Minor != want {
						t.Errorf("event %d, after its commit %t: charged %d, paid %d; want %d", at, after, totals.Charged-totals.Credited, c.bank.Minor, want)
					}
					c.sameAfterReplay()
				}
			}
			if events < 10 {
				t.Errorf("only %d events", events)
			}
		})
	}
}

// debtStory is a debt's life with a crash in it: refused, refused again because of a tap, lowered by the operator, and paid by a later tap; another one given up
// and settled at the counter; and a purse that paid for no ride.
func debtStory(t *testing.T, name string, die crash) (events int, c *city) {
	c = newQuietCity(t, profileNamed(t, name))
	poor := c.poor()
	c.die = func() (before, after bool) {
		events++
		return events == die.at && !die.after, events == die.at && die.after
	}
	debtor, lost, purse := transittest.NewCard(t, 1), transittest.NewCard(t, 2), transittest.NewCard(t, 3)
	purse.Purse, purse.Pays = true, 700
	c.ride(debtor, "a", "c", c.at(0, 8, 10))
	c.ride(lost, "a", "b", c.at(0, 8, 20))
	shut := c.tap(purse, "bus", gate.Ride, c.at(0, 8, 30))
	c.upload("a", "b", "c", "bus")
	c.devices["bus"].NotPassed(shut.Record, c.at(0, 8, 31))
	c.upload("bus")
	c.closeDay(0)
	c.devices["b"].Deny(snapshot(t, c))
	c.tap(debtor, "b", gate.In, c.at(1, 6, 0))
	c.upload("b")
	once := func(state BillState, command any) { // a command that was done before its answer was lost is not done again
		for _, b := range c.bills() {
			if b.state == state && b.refunded == 0 {
				c.ask(command)
				return
			}
		}
	}
	for _, b := range c.bills() {
		switch {
		case b.credential == 1 && b.minor == 500:
			c.ask(RefundBill{Bill: b.seq, Minor: 500 - 300})
		case b.credential != 1:
			c.ask(WriteOff{Bill: b.seq})
			once(WrittenOff, Settle{Account: int64(b.credential), Bill: b.seq})
		}
	}
	*poor = false
	c.tap(debtor, "b", gate.In, c.at(1, 7, 0))
	c.upload("b")
	c.closeDay(1)
	c.at(4, 0, 0)
	return events, c
}

// TestADebtWithACrash: whenever the office dies, the debt is paid once, less what was taken off it, and the purse has its money back.
func TestADebtWithACrash(t *testing.T) {
	for _, name := range []string{"aggregate", "single", "zero"} {
		events, whole := debtStory(t, name, crash{})
		want, bank := len(whole.bills()), whole.bank.Minor
		if want != 2 || bank != 300 || events < 10 {
			t.Fatalf("%s: %d bills, paid %d, %d events", name, want, bank, events)
		}
		for at := 1; at <= events; at++ {
			for _, after := range []bool{false, true} {
				_, c := debtStory(t, name, crash{at, after})
				c.audit()
				c.agrees()
				lowered := int64(0)
				for _, r := range c.Rows() {
					if r.Kind == journal.Adjusted {
						lowered += r.Amount
					}
				}
				for _, b := range c.bills() {
					if b.credential == 1 && (b.state != Paid || b.minor+lowered != 500) || b.credential != 1 && b.state != Settled {
						t.Errorf("%s, event %d, after its commit %t: credential %d: %d %s", name, at, after, b.credential, b.minor, b.state)
					}
				}
				if c.office.state.totals.Purse != 0 || len(c.office.state.list.told) != 0 {
					t.Errorf("%s, event %d, after its commit %t: %d kept of a purse, %d listed", name, at, after, c.office.state.totals.Purse,
						len(c.office.state.list.told))
				}
				c.sameAfterReplay()
			}
		}
	}
}

// TestACrashAtEveryRow: an office that starts from any beginning of the journal, whole rows of it, is sound and can go on to close the next day.
func TestACrashAtEveryRow(t *testing.T) {
	for _, name := range []string{"aggregate", "preauth", "single", "zero"} {
		_, week := crashStory(t, name, crash{})
		beginnings(t, name, week)
		if name != "preauth" {
			_, debts := debtStory(t, name, crash{})
			beginnings(t, name, debts)
		}
	}
}

func beginnings(t *testing.T, name string, whole *city) {
	t.Helper()
	for n := range len(whole.Rows()) {
		c := newQuietCity(t, profileNamed(t, name))
		c.office = c.newOffice()
		c.Rig = networktest.NewRig(t, c.office, whole.Prefix(n), clock.NewManual(whole.Clock.Now()), terminalDialect)
		if err := c.office.Audit(); err != nil {
			t.Errorf("%s, after %d rows: %v", name, n, err)
		}
		for c.office.state.closing != nil {
			c.Advance(1000)
		}
		day := max(c.office.state.closed, c.deps.Book.ServiceDate(morning)) + fares.Date(1)
		c.Clock.Set(maxTime(c.Clock.Now(), c.office.deps.closingInstant(day)))
		if reply, ok := c.Command(CloseDay{Day: day}).(Closing); !ok {
			t.Errorf("%s, after %d rows the next day is not closed: %v", name, n, reply)
		}
		if err := c.office.Audit(); err != nil {
			t.Errorf("%s, after %d rows and the next close: %v", name, n, err)
		}
	}
}
