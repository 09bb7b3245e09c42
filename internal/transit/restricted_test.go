package transit

import (
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transittest"
)

// onto begins the city anew on the first rows of another's journal.
func (c *city) onto(of *city, rows int) {
	c.Helper()
	c.deps = of.deps
	c.office = c.newOffice()
	c.Rig = networktest.NewRig(c, c.office, of.Prefix(rows), clock.NewManual(of.Clock.Now()), terminalDialect)
}

// strict is a city that restricts a rider after so many incomplete journeys.
func strict(t testing.TB) *city {
	t.Helper()
	c := newCity(t, profileNamed(t, "aggregate"))
	tariff, err := fares.Parse([]byte(transittest.Tariff+"restrict_after = 3\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.deps.Book, err = fares.NewBook(transittest.Calendar, tariff); err != nil {
		t.Fatal(err)
	}
	c.office = c.newOffice()
	c.Rig = networktest.NewRig(t, c.office, journal.NewMemStore(), clock.NewManual(morning), terminalDialect)
	return c
}

// without lets a card go in on so many days from the first, and never out.
func (c *city) without(card *transittest.Card, days int) {
	for d := range days {
		c.tap(card, "a", gate.In, c.at(d, 8, 0))
		c.upload("a")
		c.closeDay(d)
	}
}

// TestARestrictedRider: three journeys without an exit in a year, and everything of the rider is on the list until its end: also a phone that nobody has seen,
// and a new card of the account. The year's end frees them.
func TestARestrictedRider(t *testing.T) {
	c := strict(t)
	card, phone := transittest.NewCard(t, 1), transittest.NewCard(t, 2)
	card.Reference = "V0010013022298169667504231315"
	phone.Reference = card.Reference
	c.without(card, 2)
	if c.because(ReasonRestricted) != 0 {
		t.Fatal("restricted too early")
	}
	c.tap(card, "a", gate.In, c.at(2, 8, 0))
	c.upload("a")
	c.closeDay(2)
	c.at(3, 5, 3)
	if n, l := c.because(ReasonRestricted), c.listedAs(card); n != 1 || l != denylist.Operator {
		t.Fatalf("restricted %d times, on the list as %v", n, l)
	}
	par := transittest.IDs(t).PAR(card.Reference)
	if l, on := c.listed(par); !on || l.until != denylist.DayOf(time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("of the account the list says %+v", l)
	}
	if granted := c.ask(Claim{ID: card.ID(transittest.IDs(t)), Epoch: transittest.FirstEpoch}); granted != false {
		t.Errorf("a ride on trust: %v", granted)
	}
	c.devices["b"].Deny(snapshot(t, c))
	if d := c.tap(phone, "b", gate.In, c.at(3, 9, 0)); d.Reason() == gate.OK {
		t.Error("a phone of the account is let in")
	}
	c.tap(phone, "d", gate.In, c.at(3, 9, 5)) // a gate without the list
	c.upload("d")
	c.at(3, 9, 7)
	if l := c.listedAs(phone); l != denylist.Operator {
		t.Errorf("a phone that joined the account is on the list as %v", l)
	}
	c.second()
	for d := 3; d < 39; d++ {
		c.closeDay(d)
	}
	if n := c.because(ReasonFreed); n != 1 || c.because(ReasonRestricted) != 1 {
		t.Errorf("freed %d times at the end of the year, restricted %d times", n, c.because(ReasonRestricted))
	}
	c.at(40, 12, 0)
	if c.listedAs(card) == denylist.Operator || c.listedAs(phone) == denylist.Operator {
		t.Error("the year is over, and the rider is restricted")
	}
	c.audit()
	c.sameAfterReplay()
	c.second()
}

// TestARestrictionIsEnded: by the rider, who says where an exit was, or by the operator, who is not contradicted by the next close.
func TestARestrictionIsEnded(t *testing.T) {
	t.Run("by the rider", func(t *testing.T) {
		c, card := strict(t), transittest.NewCard(t, 1)
		c.without(card, 3)
		if done, ok := c.ask(Correct{Account: 1, Journey: faresID("a", 3), Place: "C"}).(Done); !ok {
			t.Fatalf("corrected: %v", done)
		}
		c.closeDay(3)
		if n := c.because(ReasonFreed); n != 1 {
			t.Errorf("freed %d times", n)
		}
		c.at(4, 9, 0)
		if l := c.listedAs(card); l == denylist.Operator {
			t.Errorf("on the list as %v", l)
		}
		c.sameAfterReplay()
		c.second()
	})
	t.Run("by the operator", func(t *testing.T) {
		c, card := strict(t), transittest.NewCard(t, 1)
		c.without(card, 3)
		if c.because(ReasonRestricted) != 1 {
			t.Fatal("not restricted")
		}
		c.ask(Unblock{Credential: 1})
		c.at(3, 6, 0)
		if l := c.listedAs(card); l == denylist.Operator {
			t.Errorf("released, and on the list as %v", l)
		}
		c.tap(card, "a", gate.In, c.at(3, 8, 0))
		c.upload("a")
		c.closeDay(3)
		if n := c.because(ReasonRestricted); n != 1 {
			t.Errorf("restricted %d times in a year that was forgiven", n)
		}
		c.sameAfterReplay()
		c.second()
	})
}

// TestARestrictionAndACrash: an office that starts from any beginning of the journal comes to the same restriction, once.
func TestARestrictionAndACrash(t *testing.T) {
	c, card := strict(t), transittest.NewCard(t, 1)
	c.without(card, 3)
	rows := c.Rows()
	for n := len(rows) - 12; n <= len(rows); n++ {
		again := newCity(t, profileNamed(t, "aggregate"))
		again.onto(c, n)
		again.at(3, 12, 0)
		again.closeDay(3)
		if got := again.because(ReasonRestricted); got != 1 {
			t.Errorf("after %d of %d rows restricted %d times", n, len(rows), got)
		}
		again.sameAfterReplay()
	}
}
