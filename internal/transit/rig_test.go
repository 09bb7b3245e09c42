package transit

import (
	"fmt"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// morning is eight o'clock of a service day in Shanghai.
var morning = time.Date(2026, 11, 23, 8, 0, 0, 0, transittest.Shanghai)

// city is an office with its gates and its acquirer.
type city struct {
	testing.TB
	*networktest.Rig
	office  *Office
	deps    Deps
	box     *transittest.Box
	bank    *transittest.Bank
	devices map[string]*transittest.Device
	die     func() (before, after bool)
}

func sharedHSM(t testing.TB) *hsm.HSM { return networktest.NewHSM(t, 5, nil) }

func profileNamed(t testing.TB, name string) Profile {
	t.Helper()
	p, ok := ProfileNamed(name)
	if !ok {
		t.Fatalf("no profile %q", name)
	}
	return p
}

func depsOf(t testing.TB, box *transittest.Box, profile Profile) Deps {
	d := Deps{
		Terminal: "M0000001", Merchant: "301000041110001", Acquirer: transittest.Name, Vault: box.HSM, SealKey: networktest.KeySeal, Opener: box,
		Keys: &transittest.Keys{TB: t}, Epoch: transittest.FirstEpoch, Signer: transittest.Signer, Devices: map[string]gate.ChainKey{}, Stations: map[uint32]Place{
			transittest.A: {Service: "metro", Place: "A"}, transittest.B: {Service: "metro", Place: "B"}, transittest.C: {Service: "metro", Place: "C"},
			transittest.D: {Service: "metro", Place: "D"}, transittest.Bus: {Service: "bus", Place: "K"},
			transittest.Inspector: {Service: "metro", Place: "train", Inspects: true},
		},
		Book: transittest.Book(t), Calendar: transittest.Calendar, Currency: money.CNY, Profile: profile,
	}
	for _, name := range deviceNames {
		d.Devices[name] = transittest.ChainKey(t, name)
	}
	return d
}

// deviceNames are gates a to d by station, and a bus.
var deviceNames = []string{"a", "b", "c", "d", "bus", "eye"}

func newCity(t testing.TB, profile Profile) *city { return newCityWith(t, profile, 0) }

// newQuietCity makes no delta of the deny list except twice a day.
func newQuietCity(t testing.TB, profile Profile) *city { return newCityWith(t, profile, 12*time.Hour) }

func newCityWith(t testing.TB, profile Profile, listEvery time.Duration) *city {
	t.Helper()
	c := &city{TB: t, box: &transittest.Box{HSM: sharedHSM(t), Key: networktest.KeySeal}, bank: &transittest.Bank{}, devices: map[string]*transittest.Device{}}
	c.deps = depsOf(t, c.box, profile)
	c.deps.ListEvery = listEvery
	for i, name := range deviceNames {
		c.devices[name] = transittest.NewDevice(t, c.box, name, uint32(i+1))
	}
	c.office = c.newOffice()
	c.Rig = networktest.NewRig(t, c.office, journal.NewMemStore(), clock.NewManual(morning), terminalDialect)
	return c
}

func (c *city) newOffice() *Office {
	c.Helper()
	o, err := New(c.deps)
	if err != nil {
		c.Fatal(err)
	}
	return o
}

func terminalDialect(string) unionpay.Dialect { return unionpay.Terminal }

// at moves the clock to a time of the first service day, and answers what leaves on the way.
func (c *city) at(days, hour, minute int) time.Time {
	to := time.Date(2026, 11, 23+days, hour, minute, 0, 0, transittest.Shanghai)
	for {
		next, ok := c.Clock.NextAt()
		if !ok || next.After(to) {
			break
		}
		c.serve(c.Advance(max(0, next.Sub(c.Clock.Now()))))
	}
	if d := to.Sub(c.Clock.Now()); d > 0 {
		c.serve(c.Advance(d))
	}
	return to
}

// serve lets the bank answer until nothing leaves any more.
func (c *city) serve(sent []networktest.Sent) {
	for len(sent) > 0 {
		var next []networktest.Sent
		for _, s := range sent {
			if reply := c.bank.Answer(s.Message); reply != nil {
				before, after := c.dying()
				if !before {
					c.Deliver(transittest.Name, reply)
				}
				if before || after {
					c.restart()
				}
				next = append(next, c.Out...)
			}
		}
		sent = next
	}
}

// ask gives the office a command; when it dies of it, again.
func (c *city) ask(command any) any {
	before, after := c.dying()
	if before || after {
		if after {
			c.Command(command)
		}
		c.restart()
		c.serve(c.Out)
	}
	reply := c.Command(command)
	c.serve(c.Out)
	return reply
}

func (c *city) dying() (before, after bool) {
	if c.die == nil {
		return false, false
	}
	return c.die()
}

// restart goes on with another office on the same journal. What the old one wanted to send is lost.
func (c *city) restart() {
	c.office = c.newOffice()
	c.Rig = c.Rig.Restart(c.office)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (c *city) tap(card *transittest.Card, device string, direction gate.Direction, at time.Time) gate.Decision {
	return c.devices[device].Tap(card, direction, at)
}

// upload hands in everything a device has.
func (c *city) upload(devices ...string) {
	c.Helper()
	for _, name := range devices {
		d := c.devices[name]
		if int(d.Sent.Sequence) > 0 && len(d.Log) == 0 {
			continue
		}
		if _, ok := c.ask(Ingest{Chunk: d.Chunk(0)}).(Ingested); !ok {
			c.Fatalf("chunk of %s was refused", name)
		}
	}
}

// ride taps in at one place and out at another, half an hour later.
func (c *city) ride(card *transittest.Card, from, to string, at time.Time) {
	c.tap(card, from, gate.In, at)
	c.tap(card, to, gate.Out, at.Add(30*time.Minute))
}

// closeDay closes a service day, counted from the first, at five in the morning after.
func (c *city) closeDay(days int) {
	c.Helper()
	c.at(days+1, 5, 0)
	date := c.deps.Book.ServiceDate(morning) + fares.Date(days)
	if reply, ok := c.ask(CloseDay{Day: date}).(Closing); !ok {
		c.Fatalf("the day is not closed: %v", reply)
	}
	for c.office.state.closing != nil {
		c.Advance(time.Microsecond)
		c.serve(c.Out)
	}
	c.audit()
}

// audit checks that riders, fares and payments add up.
func (c *city) audit() {
	c.Helper()
	if err := c.office.Audit(); err != nil {
		c.Error(err)
	}
}

// agrees checks that the acquirer has the same books. It holds when nothing is under way.
func (c *city) agrees() {
	c.Helper()
	c.second()
	if got := c.office.state.book.Balance(AccountAcquirer); got.DebitsPosted-got.CreditsPosted != c.bank.Minor {
		c.Errorf("the acquirer owes %d by our books and %d by its own", got.DebitsPosted-got.CreditsPosted, c.bank.Minor)
	}
}

// listed is what the gates were told of a card, by its name under any key in use.
func (c *city) listed(id denylist.ID) (l listing, on bool) {
	s := c.office.state
	if at, known := s.known(id); known {
		l, on = s.list.told[at]
		return l, on
	}
	if at, known := s.marked(id); known {
		l, on = s.list.told[-at]
	}
	return l, on
}

func (c *city) bills() []*bill {
	var all []*bill
	for _, cr := range c.office.state.credentials[1:] {
		for _, seq := range cr.bills {
			all = append(all, c.office.state.bills[seq])
		}
	}
	return all
}

func (c *city) oneBill(state BillState, minor int64) *bill {
	c.Helper()
	all := c.bills()
	if len(all) != 1 || all[0].state != state || all[0].minor != minor {
		text := ""
		for _, b := range all {
			text += fmt.Sprintf(" %d %s", b.minor, b.state)
		}
		c.Fatalf("%d bills:%s; want one of %d, %s", len(all), text, minor, state)
	}
	return all[0]
}

func faresID(device string, sequence uint64) fares.TapID {
	return fares.TapID{Device: device, Sequence: sequence}
}
