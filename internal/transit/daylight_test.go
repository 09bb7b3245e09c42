package transit

import (
	"testing"
	"time"
	_ "time/tzdata" // zones for machines without a zone file

	"tapnet/gate"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transittest"
)

// TestTheCloseInItsZone: a day ends where the next one begins by the operator's clocks, on the nights when they change as well, and what is tapped around that
// instant is billed with its own day.
func TestTheCloseInItsZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		start time.Duration
		day   string
		ends  time.Time
	}{
		{4 * time.Hour, "2026-03-28", time.Date(2026, 3, 29, 2, 0, 0, 0, time.UTC)},                // 23 hours
		{4 * time.Hour, "2026-10-24", time.Date(2026, 10, 25, 3, 0, 0, 0, time.UTC)},               // 25 hours
		{150 * time.Minute, "2026-03-28", time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)},            // 02:30 does not come
		{150 * time.Minute, "2026-10-24", time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)},          // 02:30 comes twice
		{150 * time.Minute, "2026-10-25", time.Date(2026, 10, 26, 1, 30, 0, 0, time.UTC)},          // and the day after
		{0, "2026-06-30", time.Date(2026, 6, 30, 22, 0, 0, 0, time.UTC)},                           // midnight in summer
		{4*time.Hour + 30*time.Second, "2026-06-30", time.Date(2026, 7, 1, 2, 0, 30, 0, time.UTC)}, // to the second
	} {
		date, err := fares.ParseDate(c.day)
		if err != nil {
			t.Fatal(err)
		}
		office := newCityOf(t, fares.Calendar{Zone: berlin, DayStart: c.start}, c.ends.Add(-2*time.Hour))
		card := transittest.NewCard(t, 1)
		for minutes := -90; minutes <= 90; minutes += 60 {
			office.tap(card, "bus", gate.Ride, c.ends.Add(time.Duration(minutes)*time.Minute))
		}
		office.Clock.Set(c.ends.Add(-time.Second))
		if _, refused := office.Command(CloseDay{Day: date}).(error); !refused {
			t.Errorf("%s from %s: closed a second before its end", c.day, c.start)
		}
		office.Clock.Set(c.ends.Add(2 * time.Hour))
		office.upload("bus")
		if reply, ok := office.ask(CloseDay{Day: date}).(Closing); !ok {
			t.Fatalf("%s from %s: %v", c.day, c.start, reply)
		}
		for office.office.state.closing != nil {
			office.Advance(time.Microsecond)
		}
		if day, _ := office.ask(ViewDay{Day: date}).(DayView); !day.Closed || day.Journeys != 2 {
			t.Errorf("%s from %s: %+v, want the two rides before its end", c.day, c.start, day)
		}
	}
}

// newCityOf is a city whose days are of another calendar.
func newCityOf(t *testing.T, calendar fares.Calendar, now time.Time) *city {
	t.Helper()
	c := newQuietCity(t, profileNamed(t, "aggregate"))
	tariff, err := fares.New(fares.Spec{Name: "bus", Currency: "CNY", From: "2026-01-01", Services: []fares.ServiceSpec{
		{Name: "bus", Kind: "flat", Fares: []fares.FareSpec{{Flat: "2.00"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if c.deps.Book, err = fares.NewBook(calendar, tariff); err != nil {
		t.Fatal(err)
	}
	c.deps.Calendar = calendar
	c.office = c.newOffice()
	c.Rig = networktest.NewRig(t, c.office, journal.NewMemStore(), clock.NewManual(now), terminalDialect)
	return c
}
