package transit

import (
	"testing"

	"tapnet/gate"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transittest"
)

const segmentTariff = `
name = "line 301"
currency = "CNY"
from = "2026-01-01"

[[service]]
name = "line"
kind = "segment"

[[service.route]]
route = "301"
direction = "out"
stops = 12
sections = [0,0,0,1,1,1,2,2,2,3,3,3]
[[service.route.band]]
up_to = 1
fare = "2.00"
[[service.route.band]]
up_to = 2
fare = "3.00"
[[service.route.band]]
up_to = 4
fare = "4.00"
`

// TestASegmentedBus charges from stop to stop by the route's sections, and to the terminus where nobody tapped out; it bills what the bus's stops say, whatever
// else the operator runs.
func TestASegmentedBus(t *testing.T) {
	tariff, err := fares.Parse([]byte(segmentTariff), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newCity(t, profileNamed(t, "aggregate"))
	if c.deps.Book, err = fares.NewBook(transittest.Calendar, tariff); err != nil {
		t.Fatal(err)
	}
	for station, stop := range map[uint32]int{transittest.A: 0, transittest.B: 4, transittest.C: 8, transittest.D: 11} {
		c.deps.Stations[station] = Place{Service: "line", Place: "stop", Route: "301", Direction: "out", Stop: stop}
	}
	c.restart()
	short, long, left := transittest.NewCard(t, 1), transittest.NewCard(t, 2), transittest.NewCard(t, 3)
	c.ride(short, "a", "b", c.at(0, 8, 10))
	c.ride(long, "a", "d", c.at(0, 8, 20))
	c.tap(left, "c", gate.In, c.at(0, 8, 30))
	c.at(0, 9, 30)
	c.upload("a", "b", "c", "d")
	for d := range 5 {
		c.closeDay(d)
	}
	want := map[int32]int64{}
	for i, card := range []*transittest.Card{short, long, left} {
		at, known := c.office.state.known(card.ID(transittest.IDs(t)))
		if !known {
			t.Fatal("a card is not known")
		}
		want[at] = []int64{200, 400, 200}[i]
	}
	for _, b := range c.bills() {
		if b.minor != want[b.credential] || b.state != Paid {
			t.Errorf("credential %d: %d %s, want %d", b.credential, b.minor, b.state, want[b.credential])
		}
		delete(want, b.credential)
	}
	if len(want) != 0 {
		t.Errorf("not billed: %v", want)
	}
	c.audit()
	c.agrees()
	c.sameAfterReplay()
}
