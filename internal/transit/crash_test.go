package transit

import (
	"testing"

	"tapnet/gate"
	"tapnet/internal/clock"
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
	for _, name := range []string{"aggregate", "preauth"} {
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

// TestACrashAtEveryRow: an office that starts from any beginning of the journal, whole rows of it, is sound and can go on to close the next day.
func TestACrashAtEveryRow(t *testing.T) {
	_, whole := crashStory(t, "aggregate", crash{})
	rows := len(whole.Rows())
	for n := range rows {
		c := newQuietCity(t, profileNamed(t, "aggregate"))
		c.office = c.newOffice()
		c.Rig = networktest.NewRig(t, c.office, whole.Prefix(n), clock.NewManual(whole.Clock.Now()), terminalDialect)
		if err := c.office.Audit(); err != nil {
			t.Errorf("after %d rows: %v", n, err)
		}
		for c.office.state.closing != nil {
			c.Advance(1000)
		}
		day := max(c.office.state.closed, c.deps.Book.ServiceDate(morning)) + fares.Date(1)
		c.Clock.Set(maxTime(c.Clock.Now(), c.office.deps.closingInstant(day)))
		if reply, ok := c.Command(CloseDay{Day: day}).(Closing); !ok {
			t.Errorf("after %d rows the next day is not closed: %v", n, reply)
		}
	}
}
