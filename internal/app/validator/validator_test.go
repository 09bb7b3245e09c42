package validator

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/taplog"
	"tapnet/kernel"
	"tapnet/money"
)

// lane is a validator with its disks, a rider's cards, and the back office behind it.
type lane struct {
	testing.TB
	*Validator
	options Options
	office  *office
	clock   *clock.Manual
	seal    *gate.SealKey
}

func newLane(t testing.TB, change func(*Options)) *lane {
	t.Helper()
	c := clock.NewManual(cardtest.Today)
	random := rand.NewChaCha8([32]byte{4})
	seal, err := gate.NewSealKey(bytes.Repeat([]byte{5}, 32), random)
	if err != nil {
		t.Fatal(err)
	}
	l := &lane{TB: t, office: newOffice(t, c), clock: c, seal: seal}
	_, issued := cardtest.New(t, cardtest.Options{SM: true})
	l.options = Options{
		Gate: gate.Config{Device: device, Station: 12, Amount: money.New(700, money.CNY), ChainKey: l.office.key, Country: 156,
			DoubleTap: gate.Never, PassBack: gate.Never},
		Courier: gate.CourierConfig{Trust: l.office.trust}, IDs: []gate.Identifier{l.office.epoch}, Sealer: seal,
		Taps: disk(t), Lists: disk(t), CAKeys: issued.CAKeys, Clock: c, Random: random, Name: "METRO",
		Line: HTTP{Base: l.office.server.URL, Client: l.office.server.Client(), Trust: l.office.trust},
	}
	if change != nil {
		change(&l.options)
	}
	l.open()
	return l
}

func disk(t testing.TB) taplog.Disk {
	t.Helper()
	d, err := taplog.Dir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// open starts the validator, again after a loss of power.
func (l *lane) open() {
	l.Helper()
	v, err := Open(l.options)
	if err != nil {
		l.Fatal(err)
	}
	l.Validator = v
	l.Cleanup(func() { _ = v.Close() })
}

// exchange lets the line do what is due within a while.
func (l *lane) exchange(d time.Duration) {
	l.Helper()
	for end := l.clock.Now().Add(d); l.clock.Now().Before(end); l.clock.Advance(time.Second) {
		for {
			ran, err := l.Step(l.Context())
			if err != nil {
				l.Fatal(err)
			}
			if !ran {
				break
			}
		}
	}
}

func (l *lane) ride(c *card.Card, direction gate.Direction, want gate.Reason) Result {
	l.Helper()
	l.clock.Advance(time.Minute)
	r, err := l.Tap(l.Context(), card.NewField(c), gate.Read{Direction: direction})
	if err != nil {
		l.Fatal(err)
	}
	if r.Record.Reason != want {
		l.Fatalf("%v, want %v (kernel: %v %v, authentication %v)", r.Record.Reason, want, r.Outcome.Kind, r.Outcome.Reason, r.Outcome.ODA)
	}
	return r
}

func transit(t testing.TB, sm bool) (*card.Card, *cardtest.Issued) {
	t.Helper()
	number := map[bool]string{true: "629999100000003"}[sm]
	return cardtest.New(t, cardtest.Options{SM: sm, PAN: number, Change: func(image *card.Image) {
		image.Applications[0].Extended = emv.ExtendedIndicator{0x40}
	}})
}

// TestDay is a device's day: without a list, with one, a card stopped and freed again, everything uploaded, its clock measured, and a new start.
func TestDay(t *testing.T) {
	l := newLane(t, nil)
	rsa, issued := transit(t, false)
	sm, _ := transit(t, true)
	if r := l.ride(rsa, gate.In, gate.OK); !r.Open || !r.Record.Flags.Has(gate.FlagStaleList) {
		t.Errorf("without a list: %+v", r.Record)
	}
	if r := l.ride(sm, gate.In, gate.OK); !r.Open || r.Outcome.ODA.Status != kernel.ODAPassed {
		t.Errorf("SM2: %+v", r.Outcome.ODA)
	}
	l.exchange(2 * time.Minute)
	if l.Snapshot() == nil || l.office.head.Sequence != l.gate.Head().Sequence || l.office.health.Backlog != 0 {
		t.Fatalf("list %v, %d of %d records", l.Snapshot(), l.office.head.Sequence, l.gate.Head().Sequence)
	}
	first := l.office.records[1]
	plain, err := l.seal.Open(first.Sealed, first.Additional())
	if err != nil || !bytes.Contains(plain, []byte{0x9F, 0x26, 8}) {
		t.Errorf("no cryptogram for the back office: %v", err)
	}
	id := l.office.epoch.Credential(issued.PAN, issued.Sequence, issued.Expiry)
	entry, err := denylist.NewEntry(denylist.Credential, id, denylist.Debt, 0)
	if err != nil {
		t.Fatal(err)
	}
	l.office.publish(denylist.Add(entry))
	l.exchange(time.Minute)
	l.ride(rsa, gate.In, gate.DeniedDebt)
	if l.ride(rsa, gate.Inspect, gate.DeniedDebt).Open || l.ride(rsa, gate.Out, gate.OK).Record.Flags.Has(gate.FlagStaleList) {
		t.Error("an inspection opened, or the list is old")
	}
	removed, err := denylist.Remove(id, denylist.Paid)
	if err != nil {
		t.Fatal(err)
	}
	l.office.publish(removed)
	l.exchange(time.Minute)
	l.ride(rsa, gate.In, gate.OK)
	if l.ride(rsa, gate.Inspect, gate.OK).Open {
		t.Error("an inspection opened")
	}
	l.office.skew = 90 * time.Second
	l.exchange(2 * time.Minute)
	if at := l.ride(rsa, gate.Out, gate.OK).Record.At; !at.Equal(l.clock.Now().Add(l.office.skew).Truncate(time.Millisecond)) {
		t.Errorf("record at %v, the device says %v", at, l.clock.Now())
	}
	if h := l.Health(); h.ClockOffset != 90_000 || h.Taps != 8 || h.Opened != 5 || h.Sequence != 9 {
		t.Errorf("%+v", h)
	}
	sequence := l.Snapshot().Position().Sequence
	l.open()
	if l.Started().Cut != 0 || l.Refused() != nil || l.Snapshot().Position().Sequence != sequence {
		t.Errorf("after a new start: %+v, %v", l.Started(), l.Refused())
	}
}

// TestPurse: the card pays at the gate, and nothing is authorised later.
func TestPurse(t *testing.T) {
	l := newLane(t, func(o *Options) { o.Purse = true })
	c, issued := cardtest.New(t, cardtest.Options{Balance: 2800})
	r := l.ride(c, gate.In, gate.OK)
	if !r.Record.Flags.Has(gate.FlagPurse) || c.State().Applications[0].Purses[0].Balance != 2100 || len(r.Record.Sealed) == 0 {
		t.Fatalf("%+v, %d left", r.Record, c.State().Applications[0].Purses[0].Balance)
	}
	l.ride(c, gate.In, gate.OK) // and pays for somebody else
	entry, err := denylist.NewEntry(denylist.Token, l.office.epoch.Token(issued.PAN), denylist.Counterfeit, 0)
	if err != nil {
		t.Fatal(err)
	}
	l.office.publish(denylist.Add(entry))
	l.exchange(time.Minute)
	before := c.State().Applications[0].Purses[0].Balance
	if r := l.ride(c, gate.In, gate.DeniedBlocked); r.Open || c.State().Applications[0].Purses[0].Balance != before {
		t.Errorf("a stopped card paid: %d of %d left", c.State().Applications[0].Purses[0].Balance, before)
	}
	poor, _ := cardtest.New(t, cardtest.Options{Balance: 600, PAN: "629999100000002"})
	if l.ride(poor, gate.In, gate.CardDeclined).Open {
		t.Error("a purse without the fare opens")
	}
}

// TestClaim: a first ride that waits for a grant is granted once, at whichever gate, and never without a line.
func TestClaim(t *testing.T) {
	l := newLane(t, func(o *Options) { o.Gate.Rules = []gate.Rule{{Claim: true}} })
	c, issued := transit(t, false)
	if r := l.ride(c, gate.In, gate.OK); !r.Asked || !r.Open {
		t.Fatalf("%+v", r)
	}
	if r := l.ride(c, gate.In, gate.FirstRideOpen); !r.Asked || r.Open {
		t.Fatalf("%+v", r)
	}
	l.ride(c, gate.Out, gate.OK) // who is inside gets out
	delete(l.office.claimed, l.office.epoch.Credential(issued.PAN, issued.Sequence, issued.Expiry))
	l.options.Line = nil
	l.open()
	if r := l.ride(c, gate.In, gate.FirstRideOpen); r.Open {
		t.Error("granted by nobody")
	}
}

// TestLongMemory: a rule that looks back for a day holds over a new start, after what it looks at was uploaded.
func TestLongMemory(t *testing.T) {
	l := newLane(t, func(o *Options) { o.Gate.PassBack, o.Log.Segment = 24*time.Hour, 4<<10 })
	c, _ := transit(t, false)
	other, _ := transit(t, true)
	l.ride(c, gate.Ride, gate.OK)
	for range 3 {
		l.clock.Advance(7 * time.Hour)
		l.exchange(2 * time.Minute)
		for range 6 {
			l.ride(other, gate.Inspect, gate.OK)
			l.ride(other, gate.Inspect, gate.OK)
		}
	}
	l.open()
	l.ride(c, gate.Ride, gate.PassBack)
	l.clock.Advance(3 * time.Hour)
	l.ride(c, gate.Ride, gate.OK)
}

// TestForgedReceipts remove nothing, and the device says that it got them.
func TestForgedReceipts(t *testing.T) {
	l := newLane(t, nil)
	c, _ := transit(t, false)
	l.office.forge = true
	l.ride(c, gate.In, gate.OK)
	l.exchange(2 * time.Minute)
	if h := l.Health(); h.Backlog == 0 || h.Refused == 0 || l.office.head.Sequence == 0 {
		t.Fatalf("%+v", h)
	}
	l.office.forge = false
	l.exchange(2 * time.Minute)
	if h := l.Health(); h.Backlog != 0 {
		t.Fatalf("%+v", h)
	}
}

// TestWipedDevice: a disk that was exchanged goes on behind the numbers the back office has.
func TestWipedDevice(t *testing.T) {
	l := newLane(t, nil)
	c, _ := transit(t, false)
	l.ride(c, gate.In, gate.OK)
	l.exchange(time.Minute)
	had := l.office.head.Sequence
	l.options.Taps = disk(t)
	l.open()
	l.ride(c, gate.Out, gate.OK)
	l.exchange(time.Minute)
	l.ride(c, gate.In, gate.OK)
	l.exchange(time.Minute)
	last := l.office.records[len(l.office.records)-1]
	if last.Sequence <= had+1 || last.Reason != gate.OK || l.Health().Backlog != 0 {
		t.Fatalf("%+v after %d", last, had)
	}
}

// TestLogThatFails: the gate stays shut for one rider and replays its log for the next.
func TestLogThatFails(t *testing.T) {
	fickle := &fickleDisk{Disk: disk(t)}
	l := newLane(t, func(o *Options) { o.Taps = fickle })
	c, _ := transit(t, false)
	l.ride(c, gate.In, gate.OK)
	fickle.fail = errors.New("no space")
	l.clock.Advance(time.Minute)
	r, err := l.Tap(t.Context(), card.NewField(c), gate.Read{Direction: gate.In})
	if r.Open || !errors.Is(err, gate.ErrLog) {
		t.Fatalf("%v, %v", r.Open, err)
	}
	l.ride(c, gate.In, gate.OK)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
}

// fickleDisk fails one sync.
type fickleDisk struct {
	taplog.Disk
	fail error
}

func (d *fickleDisk) Create(name string) (taplog.File, error) {
	f, err := d.Disk.Create(name)
	return fickleFile{f, d}, err
}

type fickleFile struct {
	taplog.File
	disk *fickleDisk
}

func (f fickleFile) Sync() error {
	if err := f.disk.fail; err != nil {
		f.disk.fail = nil
		return err
	}
	return f.File.Sync()
}

func TestOpenRefuses(t *testing.T) {
	l := newLane(t, nil)
	for name, change := range map[string]func(*Options){
		"no clock":  func(o *Options) { o.Clock = nil },
		"no disk":   func(o *Options) { o.Taps = nil },
		"no amount": func(o *Options) { o.Gate.Amount = money.Amount{} },
		"no device": func(o *Options) { o.Gate.Device = "" },
	} {
		o := l.options
		change(&o)
		if _, err := Open(o); !errors.Is(err, gate.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
