package taplog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type openSealer struct{}

func (openSealer) Seal(plain, _ []byte) ([]byte, error) { return plain, nil }

// device is a gate with its log on a disk, and riders.
type device struct {
	testing.TB
	disk    Disk
	options Options
	config  gate.Config
	ports   gate.Ports
	gate    *gate.Gate
	log     *Log
	found   Started
	now     time.Time
	atc     uint16
}

func newDevice(t testing.TB, disk Disk) *device {
	t.Helper()
	key, err := denylist.NewEpochKey(1, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := gate.NewChainKey(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return &device{TB: t, disk: disk, now: noon,
		options: Options{Device: "GATE-07", Key: chain, Segment: minSegment, Max: 8 * minSegment, Keep: time.Minute},
		config:  gate.Config{Device: "GATE-07", Station: 12, Amount: money.New(700, money.CNY), ChainKey: chain, Country: 156, Remembered: 64},
		ports:   gate.Ports{IDs: []gate.Identifier{key}, Sealer: openSealer{}},
	}
}

func (d *device) start() error {
	g, l, found, err := Start(d.disk, d.options, d.config, d.ports, d.now)
	d.gate, d.log, d.found = g, l, found
	return err
}

func (d *device) mustStart() *device {
	d.Helper()
	if err := d.start(); err != nil {
		d.Fatal(err)
	}
	return d
}

// tap is another rider each time.
func (d *device) tap() (gate.Decision, error) {
	d.atc++
	d.now = d.now.Add(7 * time.Second)
	o := kernel.NewOutcome(kernel.Approved, kernel.ReasonDeferred, kernel.ReasonDeferred.Term())
	o.Deferred, o.CVM, o.ODA.Status = true, kernel.CVMNone, kernel.ODAPassed
	n, err := pan.Parse(withCheck(fmt.Sprintf("629999%09d", int(d.atc))))
	if err != nil {
		d.Fatal(err)
	}
	var e emv.Data
	e.Set(emv.TagPAN, n.BCD())
	e.Set(emv.TagExpiryDate, []byte{0x30, 0x12, 0x31})
	e.Set(emv.TagATC, []byte{byte(d.atc >> 8), byte(d.atc)})
	e.Set(emv.TagAmount, []byte{0, 0, 0, 0, 7, 0})
	e.Set(emv.TagCurrency, []byte{1, 0x56})
	random := [4]byte{1, 2, byte(d.atc >> 8), byte(d.atc)}
	e.Set(emv.TagUnpredictableNumber, random[:])
	o.Data = e
	return d.gate.Tap(gate.Read{Outcome: o, Random: random, Direction: gate.In}, nil, d.now)
}

// withCheck appends the check digit [ISO 7812].
func withCheck(digits string) string {
	sum := 0
	for i := range digits {
		v := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return digits + string(rune('0'+(10-sum%10)%10))
}

// office is what the back office durably has, by number.
type office struct {
	testing.TB
	key     gate.ChainKey
	records map[uint64]string
	opened  map[uint64]bool
	head    gate.Head
	gaps    int
}

func newOffice(d *device) *office {
	return &office{TB: d.TB, key: d.options.Key, records: map[uint64]string{}, opened: map[uint64]bool{}}
}

// take is the ingestion of one chunk, any number of times.
func (o *office) take(c gate.Chunk) []byte {
	o.Helper()
	c, err := gate.ParseChunk(gate.EncodeChunk(c))
	if err != nil {
		o.Fatal(err)
	}
	head, err := c.Verify(o.key, func(r gate.Record) {
		text := fmt.Sprint(r.At, r.ID, r.ATC, r.Kind, r.Reason)
		if before, again := o.records[r.Sequence]; again && before != text {
			o.Fatalf("number %d came twice: %s, %s", r.Sequence, before, text)
		}
		o.records[r.Sequence], o.opened[r.Sequence] = text, r.Kind == gate.TapRecord && r.Reason == gate.OK
	})
	if err != nil {
		o.Fatal(err)
	}
	if head.Sequence > o.head.Sequence {
		if c.First > o.head.Sequence+1 {
			if c.Before != (gate.Link{}) {
				o.Fatalf("records before %d are missing", c.First)
			}
			o.gaps++
		}
		o.head = head
	}
	return o.receipt()
}

func (o *office) receipt() []byte {
	return gate.EncodeReceipt(o.key, gate.Receipt{Device: "GATE-07", Sequence: o.head.Sequence, Link: o.head.Link})
}

// upload brings everything over, or stops at the first error.
func (o *office) upload(l *Log) error {
	for {
		c, ok, err := l.Chunk()
		if err != nil || !ok {
			return err
		}
		if err := l.Acknowledge(o.take(c)); err != nil {
			return err
		}
	}
}

// life is a device in service: taps, uploads, maintenance, until something fails. It gives the numbers of the gates that opened.
func life(d *device, o *office, random *rand.Rand, steps int, opened map[uint64]denylist.ID) {
	if d.start() != nil {
		return
	}
	for range steps {
		switch random.IntN(8) {
		case 0:
			if o.upload(d.log) != nil {
				return
			}
		case 1:
			if d.log.Maintain(d.now) != nil {
				return
			}
		default:
			decision, err := d.tap()
			if decision.Open {
				if other, again := opened[decision.Record.Sequence]; again {
					d.Fatalf("number %d opened for %v and %v", decision.Record.Sequence, other, decision.Record.ID)
				}
				opened[decision.Record.Sequence] = decision.Record.ID
			}
			if err != nil && !errors.Is(err, ErrFull) {
				return
			}
		}
	}
}

// TestPowerCutAtEveryOperation cuts the power at every write, sync, rename and removal of a device's life, and lets what was not synced survive in every
// way. Every gate that opened is in the log or at the back office, and no number is used twice.
func TestPowerCutAtEveryOperation(t *testing.T) {
	const steps = 60
	for seed := range uint64(2) {
		whole := newFlash()
		d := newDevice(t, whole)
		life(d, newOffice(d), rand.New(rand.NewPCG(seed, 0)), steps, map[uint64]denylist.ID{})
		for cut := range whole.done {
			for way := range ways {
				powerCut(t, seed, cut, way, steps)
			}
		}
	}
}

func powerCut(t *testing.T, seed uint64, cut, way, steps int) {
	t.Helper()
	at := fmt.Sprintf("seed %d, power cut at operation %d, way %d", seed, cut, way)
	disk := newFlash()
	disk.left = cut
	d := newDevice(t, disk)
	o, opened := newOffice(d), map[uint64]denylist.ID{}
	life(d, o, rand.New(rand.NewPCG(seed, 0)), steps, opened)
	random := rand.New(rand.NewPCG(seed, uint64(cut)))
	for again := range 3 { // the power fails again during recovery, and a third time
		disk = disk.after(random, way)
		if again < 2 {
			disk.left = random.IntN(40)
		}
		d.disk = disk
		life(d, o, random, steps/4, opened)
	}
	if err := d.start(); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	if err := o.upload(d.log); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	for sequence := range opened {
		if !o.opened[sequence] {
			t.Fatalf("%s: gate %d opened, and the back office has %q", at, sequence, o.records[sequence])
		}
	}
	if o.gaps != 0 || d.found.NewChain {
		t.Fatalf("%s: numbers were passed over", at)
	}
	if b := d.log.Backlog(); b.Records != 0 || b.Bytes != 0 {
		t.Fatalf("%s: %+v waits after the upload", at, b)
	}
}

// TestSyncThatFails: what a failed sync leaves in the machine's memory is made durable at the next start, or not believed.
func TestSyncThatFails(t *testing.T) {
	disk := newFlash()
	d := newDevice(t, disk).mustStart()
	if _, err := d.tap(); err != nil {
		t.Fatal(err)
	}
	disk.failing = errors.New("no sync")
	if decision, err := d.tap(); !errors.Is(err, ErrFailed) || decision.Open {
		t.Fatalf("%v, %v", decision.Open, err)
	}
	if decision, err := d.tap(); !errors.Is(err, gate.ErrLog) || decision.Open {
		t.Fatalf("%v, %v", decision.Open, err)
	}
	d.mustStart() // the same disk, without a loss of power: the record can be read
	if d.found.Records != 3 {
		t.Fatalf("%+v", d.found)
	}
	d.disk = disk.after(rand.New(rand.NewPCG(1, 1)), nothing)
	d.mustStart()
	if d.found.Records != 3 {
		t.Fatalf("what was believed is gone: %+v", d.found)
	}
}

// TestBounded: what is uploaded goes, what is not stays, and a full log shuts the gate without losing anything.
func TestBounded(t *testing.T) {
	disk := newFlash()
	d := newDevice(t, disk).mustStart()
	o := newOffice(d)
	size := func() (total int) {
		for _, f := range disk.now {
			total += len(f.content)
		}
		return total
	}
	for range 500 {
		if _, err := d.tap(); err != nil {
			t.Fatal(err)
		}
		if err := o.upload(d.log); err != nil {
			t.Fatal(err)
		}
		if size() > int(d.options.Max)+2*minSegment {
			t.Fatalf("%d bytes", size())
		}
	}
	if err := d.log.Maintain(d.now.Add(time.Hour)); err != nil || len(disk.now) > 3 {
		t.Fatalf("%d files are left: %v", len(disk.now), err)
	}
	var err error
	for range 500 {
		if _, err = d.tap(); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("full: %v", err)
	}
	full := d.log.Backlog()
	if !d.log.Full() {
		t.Error("a full log does not say so")
	}
	if err := o.upload(d.log); err != nil || d.log.Full() {
		t.Fatal("full after the upload: ", err)
	}
	if d.mustStart(); d.found.Cut != 0 || full.Records == 0 {
		t.Fatalf("%+v", d.found)
	}
	if decision, err := d.tap(); err != nil || !decision.Open || o.gaps != 0 {
		t.Fatalf("after the upload: %v, %v", decision.Reason(), err)
	}
}

// TestDamage: what a loss of power does not explain is refused, and salvaged without using a number twice.
func TestDamage(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*flash)
		want   error
		unsent bool // before the upload
	}{
		"first segment":  {func(d *flash) { flip(d, segmentName(0), 200) }, gate.ErrBroken, false},
		"its beginning":  {func(d *flash) { flip(d, segmentName(0), 9) }, gate.ErrBroken, false},
		"segment gone":   {func(d *flash) { delete(d.now, d.segments()[1]) }, gate.ErrBroken, true},
		"last gone":      {func(d *flash) { s := d.segments(); delete(d.now, s[len(s)-1]); delete(d.now, s[len(s)-2]) }, gate.ErrLost, false},
		"all gone":       {func(d *flash) { d.keep(stateName) }, gate.ErrLost, false},
		"state":          {func(d *flash) { flip(d, stateName, 12) }, errState, false},
		"noise at end":   {noise, gate.ErrBroken, false},
		"last truncated": {func(d *flash) { s := d.segments(); f := d.now[s[len(s)-1]]; f.content = f.content[:segmentHeader] }, gate.ErrLost, false},
	} {
		disk := newFlash()
		d := newDevice(t, disk).mustStart()
		o := newOffice(d)
		for range 60 {
			if _, err := d.tap(); err != nil {
				t.Fatal(err)
			}
		}
		if !c.unsent {
			if err := o.upload(d.log); err != nil {
				t.Fatal(err)
			}
		}
		last := d.gate.Head().Sequence
		c.spoil(disk)
		if err := d.start(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d.options.Salvage = true
		if err := d.start(); err != nil || !d.found.NewChain {
			t.Errorf("%s: salvage: %+v, %v", name, d.found, err)
			continue
		}
		decision, err := d.tap()
		if err != nil || decision.Record.Sequence <= last {
			t.Errorf("%s: number %d was used before: %v", name, decision.Record.Sequence, err)
		}
		d.options.Salvage = false
		if err := d.start(); err != nil {
			t.Errorf("%s: after the salvage: %v", name, err)
			continue
		}
		if c.unsent {
			continue // a hole inside a chain is the back office's to judge
		}
		if err := o.upload(d.log); err != nil || o.gaps != 1 || !o.opened[decision.Record.Sequence] {
			t.Errorf("%s: %d gaps: %v", name, o.gaps, err)
		}
	}
}

func noise(d *flash) {
	s := d.segments()
	f := d.now[s[len(s)-1]]
	f.content = append(f.content, make([]byte, 5000)...)
}

func flip(d *flash, name string, at int) { d.now[name].content[at] ^= 1 }

func (d *flash) segments() (names []string) {
	all, _ := d.Names()
	for _, name := range all {
		if _, ok := parseSegmentName(name); ok {
			names = append(names, name)
		}
	}
	return names
}

func (d *flash) keep(name string) {
	for other := range d.now {
		if other != name {
			delete(d.now, other)
		}
	}
}

// TestWiped: a device that lost everything goes on behind what the back office has.
func TestWiped(t *testing.T) {
	d := newDevice(t, newFlash()).mustStart()
	o := newOffice(d)
	for range 5 {
		if _, err := d.tap(); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.upload(d.log); err != nil {
		t.Fatal(err)
	}
	d.disk = newFlash()
	d.mustStart()
	if err := d.log.Acknowledge(o.receipt()); !errors.Is(err, gate.ErrLost) {
		t.Fatalf("a receipt for what was never written: %v", err)
	}
	d.options.After = o.head.Sequence
	d.mustStart()
	if decision, err := d.tap(); err != nil || decision.Record.Sequence <= o.head.Sequence {
		t.Fatalf("%d: %v", decision.Record.Sequence, err)
	}
	if err := o.upload(d.log); err != nil || o.gaps != 1 {
		t.Fatalf("%d gaps: %v", o.gaps, err)
	}
}

// TestReceipts: forged ones, and those that do not fit, remove nothing.
func TestReceipts(t *testing.T) {
	d := newDevice(t, newFlash()).mustStart()
	o := newOffice(d)
	for range 40 {
		if _, err := d.tap(); err != nil {
			t.Fatal(err)
		}
	}
	before := d.log.Backlog()
	other, err := gate.NewChainKey(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	key := d.options.Key
	seal := func(k gate.ChainKey, r gate.Receipt) []byte { return gate.EncodeReceipt(k, r) }
	for name, c := range map[string]struct {
		sealed []byte
		want   error
	}{
		"forged":        {seal(other, gate.Receipt{Device: "GATE-07", Sequence: 41, Link: d.gate.Head().Link}), gate.ErrForged},
		"noise":         {[]byte("x"), gate.ErrForged},
		"other device":  {seal(key, gate.Receipt{Device: "GATE-08", Sequence: 41, Link: d.gate.Head().Link}), gate.ErrMessage},
		"other record":  {seal(key, gate.Receipt{Device: "GATE-07", Sequence: 40, Link: d.gate.Head().Link}), ErrReceipt},
		"other last":    {seal(key, gate.Receipt{Device: "GATE-07", Sequence: 41}), ErrReceipt},
		"never written": {seal(key, gate.Receipt{Device: "GATE-07", Sequence: 99}), gate.ErrLost},
	} {
		if err := d.log.Acknowledge(c.sealed); !errors.Is(err, c.want) || d.log.Backlog() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	first, _, err := d.log.Chunk()
	if err != nil {
		t.Fatal(err)
	}
	receipt := o.take(first)
	if err := d.log.Acknowledge(receipt); err != nil {
		t.Fatal(err)
	}
	if err := o.upload(d.log); err != nil {
		t.Fatal(err)
	}
	// The back office was restored from an older copy: what is still here goes up again.
	if err := d.log.Acknowledge(receipt); err != nil {
		t.Fatal(err)
	}
	if c, ok, err := d.log.Chunk(); err != nil || !ok || c.First != first.First+uint64(records(first)) {
		t.Fatalf("%v from %d: %v", ok, c.First, err)
	}
	if err := o.upload(d.log); err != nil {
		t.Fatal(err)
	}
	if err := d.log.Acknowledge(seal(key, gate.Receipt{Device: "GATE-07"})); err != nil || d.log.Backlog().Records != 41 {
		t.Fatalf("a back office that has nothing: %+v, %v", d.log.Backlog(), err)
	}
}

func records(c gate.Chunk) (n int) {
	for b := c.Records; len(b) > 0; n++ {
		b = b[gate.RecordLength(b):]
	}
	return n
}

// TestDirectory is the same on files.
func TestDirectory(t *testing.T) {
	disk, err := Dir(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, disk).mustStart()
	for range 30 {
		if _, err := d.tap(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.tap(); err == nil {
		t.Error("a tap after the log is closed")
	}
	d.mustStart()
	if decision, err := d.tap(); err != nil || decision.Record.Sequence != 33 { // two starts
		t.Fatalf("%d: %v", decision.Record.Sequence, err)
	}
	names, err := disk.Names()
	if err != nil || len(names) < 3 {
		t.Fatalf("%v: %v", names, err)
	}
	if err := errors.Join(disk.Rename(segmentName(0), "x"), disk.Remove("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil { // a chain that begins later is whole
		t.Fatal(err)
	}
	if _, err := disk.Read("y"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	for name, change := range map[string]func(*device){
		"device":        func(d *device) { d.options.Device = "OTHER" },
		"no key":        func(d *device) { d.options.Key = gate.ChainKey{} },
		"small segment": func(d *device) { d.options.Segment = 1 },
		"large segment": func(d *device) { d.options.Segment = maxSegment + 1 },
		"small bound":   func(d *device) { d.options.Max = minSegment },
		"gate":          func(d *device) { d.config.VelocityLimit = -1 },
	} {
		d := newDevice(t, newFlash())
		change(d)
		if err := d.start(); !errors.Is(err, gate.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzState(f *testing.F) {
	key, err := gate.NewChainKey(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		f.Fatal(err)
	}
	s := state{reserved: 9}
	f.Add(s.encode())
	s.sealed = gate.EncodeReceipt(key, gate.Receipt{Device: "G", Sequence: 4})
	f.Add(s.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b, key, "G")
		if err == nil && !bytes.Equal(s.encode(), b) {
			t.Fatalf("%x was read, %x is written", b, s.encode())
		}
	})
}
