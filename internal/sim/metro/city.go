package metro

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
)

// Options are one run. Zero: the defaults.
type Options struct {
	Seed     uint64
	Gates    int     // default 1000
	Stations int     // default 80
	Taps     int     // about how many; default 100,000
	Bad      float64 // part of the credentials that nobody pays for
	Chase    float64 // part of the bad ones that go from gate to gate as fast as they can
	Pay      float64 // part of the stopped ones that pay in the end
	Wait     bool    // a first ride waits for a grant of the back office
	Listed   int     // entries of the base; default 1000

	Hours         time.Duration // simulated; default one
	Publish       time.Duration // between two deltas; default 30 s
	Poll          time.Duration // between two questions of a gate; default 20 s
	Authorization time.Duration // about what the issuer takes; default 4 s
	Loss          float64       // of messages, each way
	Alter         float64       // of answers, a bit
	Repeat        float64       // of questions, once more
	Outages       float64       // of a gate in an hour
	Outage        time.Duration // how long one lasts
	Fare          int64         // the highest, in minor units; default 15.00
	Rotate        time.Duration // so long after the first rider the deny list goes to a new key; 0: it stays with its first
	Force         bool          // the new key is put in force before the gates hold it
}

// Rough is a line as bad as it gets in a tunnel.
func Rough() Options {
	return Options{Loss: 0.05, Alter: 0.005, Repeat: 0.02, Outages: 0.05, Outage: 2 * time.Minute, Bad: 0.01, Chase: 0.1, Pay: 0.3}
}

func (o *Options) withDefaults() {
	set := func(v *int, text int) {
		if *v == 0 {
			*v = text
		}
	}
	during := func(v *time.Duration, text time.Duration) {
		if *v == 0 {
			*v = text
		}
	}
	set(&o.Gates, 1000)
	set(&o.Stations, 80)
	set(&o.Taps, 100_000)
	set(&o.Listed, 1000)
	during(&o.Hours, time.Hour)
	during(&o.Publish, 30*time.Second)
	during(&o.Poll, gate.DefaultPollEvery)
	during(&o.Authorization, 4*time.Second)
	if o.Fare == 0 {
		o.Fare = 1500
	}
}

// ErrOptions is wrapped when a run is not possible.
var ErrOptions = errors.New("simulation of gates is not possible")

func (o *Options) check() error {
	for _, part := range [...]float64{o.Bad, o.Chase, o.Pay, o.Loss, o.Alter, o.Repeat, o.Outages} {
		if part < 0 || part > 1 {
			return fmt.Errorf("a part of %v: %w", part, ErrOptions)
		}
	}
	const maxGates, maxTaps, maxHours = 10_000, 10_000_000, 48 * time.Hour
	if o.Gates < 1 || o.Gates > maxGates || o.Taps < 1 || o.Taps > maxTaps || o.Stations < 1 || o.Stations > o.Gates ||
		o.Hours < time.Minute || o.Hours > maxHours || o.Publish < time.Second || o.Poll < time.Second || o.Fare < 1 || o.Rotate < 0 || o.Rotate > o.Hours {
		return fmt.Errorf("%d gates, %d stations, %d taps, %v: %w", o.Gates, o.Stations, o.Taps, o.Hours, ErrOptions)
	}
	return nil
}

// warmUp is how long the gates run before the first rider: each fetches its list.
const warmUp = 2 * time.Minute

// city is one run.
type city struct {
	queue
	options Options
	start   time.Time
	end     time.Time
	random  *rand.Rand
	lanes   []*lane
	byPlace [][]*lane
	desk    *desk
	office  Office
	epochs  [gate.MaxKeys]denylist.EpochKey
	bad     map[denylist.ID]*rider
	first   map[uint64]uint64      // the hash that a credential has under the first key, by any
	ids     map[string]denylist.ID // by card number
	riders  []*rider
	report  *Report
	failed  error
	adds    []time.Duration
	removes []time.Duration
}

// Run simulates.
func Run(ctx context.Context, o Options) (*Report, error) {
	o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &city{options: o, start: time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC), random: rand.New(rand.NewPCG(o.Seed, 1)),
		bad: map[denylist.ID]*rider{}, first: map[uint64]uint64{}, ids: map[string]denylist.ID{}, report: &Report{Options: o}}
	c.end = c.start.Add(warmUp + o.Hours)
	if err := c.build(); err != nil {
		return nil, fmt.Errorf("build the simulation: %w", err)
	}
	const step = time.Minute
	last := c.end.Add(settle + collect)
	for at := c.start; at.Before(last) && c.failed == nil && c.desk.failed == nil; at = at.Add(step) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.run(at)
	}
	c.finishRotation(last)
	books, err := c.desk.books(last)
	if err := errors.Join(c.failed, err); err != nil {
		return nil, fmt.Errorf("simulation of gates: %w", err)
	}
	c.finish(&books, last)
	return c.report, nil
}

// collect is how long after the day's close its bills are asked for.
const collect = 5 * time.Minute

// settle is how long after the last rider changes may still travel.
const settle = 15 * time.Minute

func (c *city) build() error {
	var err error
	for i := range c.epochs {
		if c.epochs[i], err = denylist.NewEpochKey(denylist.Epoch(i+1), bytes.Repeat([]byte{byte(i + 1)}, 32)); err != nil {
			return err
		}
	}
	if c.desk, err = newDesk(c, rand.New(rand.NewPCG(c.options.Seed, 2))); err != nil {
		return err
	}
	c.office = c.desk
	c.byPlace = make([][]*lane, c.options.Stations)
	for i := range c.options.Gates {
		l, err := c.lane(i)
		if err != nil {
			return err
		}
		c.lanes = append(c.lanes, l)
		c.byPlace[l.station] = append(c.byPlace[l.station], l)
		c.plan(c.start, l.work)
	}
	c.plan(c.start.Add(beat), c.desk.tick)
	c.plan(c.end.Add(settle+beat), c.desk.closeDay)
	if c.options.Rotate > 0 {
		c.plan(c.start.Add(warmUp+c.options.Rotate), c.desk.rotate)
	}
	return c.people()
}

func (c *city) lane(i int) (*lane, error) {
	l := &lane{city: c, name: fmt.Sprintf("GATE-%05d", i), station: i % c.options.Stations, held: c.epochs[:1:1], now: c.start}
	key, err := gate.NewChainKey(binary.BigEndian.AppendUint64(bytes.Repeat([]byte{2}, 24), uint64(i)))
	if err != nil {
		return nil, err
	}
	c.desk.keys[l.name] = key
	l.log = &memoryLog{key: key, device: l.name}
	config := gate.Config{Device: l.name, Station: uint32(l.station) + 1, Amount: money.New(0, money.CNY), ChainKey: key, Country: 156, Remembered: 4096}
	if c.options.Wait {
		config.Rules = []gate.Rule{{Claim: true}}
	}
	l.gate, _, _, err = gate.Replay(config, gate.Ports{IDs: identifiers(l.held), Sealer: plainBox{}, Log: l.log}, nil, gate.Head{}, c.start)
	if err != nil {
		return nil, err
	}
	l.courier, err = gate.NewCourier(gate.CourierConfig{Device: l.name, Key: key, Trust: c.desk.trust, Seed: c.options.Seed<<20 + uint64(i),
		PollEvery: c.options.Poll, LongTimeout: 10 * time.Second, Keys: l}, l.log, l, nil, c.start)
	return l, err
}

// delay is how long a message takes one way: mostly a tenth of a second, seldom seconds.
func (c *city) delay() time.Duration {
	d := 20*time.Millisecond + time.Duration(c.random.ExpFloat64()*float64(80*time.Millisecond))
	return min(d, 10*time.Second)
}

// measure takes the age of the changes that a gate has from now on.
func (c *city) measure(l *lane, before uint64, now time.Time) {
	for sequence := before + 1; sequence <= l.sequence; sequence++ {
		for _, s := range c.desk.published[sequence-1] {
			if s.removal {
				c.removes = append(c.removes, now.Sub(s.decided))
			} else {
				c.adds = append(c.adds, now.Sub(s.decided))
			}
		}
	}
}

// rider is a credential with somebody who uses it.
type rider struct {
	number  pan.Number
	id      denylist.ID
	atc     uint16
	bad     bool
	chasing bool
	stopped bool // gave up after a refusal
	opened  []opening
	paidAt  time.Time
}

// opening is one ride that a bad credential began.
type opening struct {
	lane *lane
	at   time.Time
}

func (c *city) isBad(id denylist.ID) bool {
	r := c.bad[id]
	return r != nil && r.paidAt.IsZero()
}

// pays turns a bad credential into a good one.
func (c *city) pays(id denylist.ID) {
	if r := c.bad[id]; r != nil {
		r.paidAt, r.stopped = c.start, false
	}
}

// people spreads the riders over the time. A trip has two taps, and a rider makes two trips in an hour.
func (c *city) people() error {
	const tripsPerHour = 2
	trips := max(1, int(c.options.Hours.Hours()*tripsPerHour))
	n := max(1, c.options.Taps/(2*trips))
	expiry, err := pan.ParseExpiry("3012")
	if err != nil {
		return err
	}
	for i := range n {
		number, err := pan.CompleteLuhn(fmt.Sprintf("629999%09d", i))
		if err != nil {
			return err
		}
		r := &rider{number: number, id: c.epochs[0].Credential(number, "01", expiry), bad: c.random.Float64() < c.options.Bad}
		c.ids[number.Reveal()] = r.id
		for _, k := range c.epochs {
			c.first[k.Credential(number, "01", expiry).Hash()] = r.id.Hash()
		}
		if r.bad {
			r.chasing = c.random.Float64() < c.options.Chase
			c.bad[r.id] = r
		}
		c.riders = append(c.riders, r)
		first := c.start.Add(warmUp + time.Duration(c.random.Int64N(int64(time.Hour/tripsPerHour))))
		c.plan(first, func(now time.Time) { c.enter(r, now) })
	}
	return nil
}

func (c *city) anyLane() *lane { return c.lanes[c.random.IntN(len(c.lanes))] }

// enter begins a trip.
func (c *city) enter(r *rider, now time.Time) {
	if now.After(c.end) {
		return
	}
	l := c.anyLane()
	d := c.tap(r, l, gate.In, now)
	if d.Open {
		if r.bad && r.paidAt.IsZero() {
			r.opened = append(r.opened, opening{l, now})
			c.checkOpening(r, l)
		}
		if r.chasing && r.paidAt.IsZero() { // lets others in and goes on to the next gate
			c.plan(now.Add(chaseEvery), func(now time.Time) { c.enter(r, now) })
			return
		}
		c.plan(now.Add(10*time.Minute+time.Duration(c.random.Int64N(int64(10*time.Minute)))), func(now time.Time) { c.leave(r, now) })
		return
	}
	// Whoever is refused tries the next gate, twice, and then again half an hour later.
	if reason := d.Reason(); reason == gate.DeniedDebt || reason == gate.DeniedBlocked {
		c.report.Stopped++
	}
	c.plan(now.Add(20*time.Minute+time.Duration(c.random.Int64N(int64(10*time.Minute)))), func(now time.Time) { c.enter(r, now) })
}

// chaseEvery is how fast somebody gets from gate to gate who wants to let as many in as possible.
const chaseEvery = 15 * time.Second

func (c *city) leave(r *rider, now time.Time) {
	c.tap(r, c.anyLane(), gate.Out, now)
	c.plan(now.Add(5*time.Minute+time.Duration(c.random.Int64N(int64(15*time.Minute)))), func(now time.Time) { c.enter(r, now) })
}

// tap holds a card to a gate. A first ride that waits is asked for at once, over the same line.
func (c *city) tap(r *rider, l *lane, direction gate.Direction, now time.Time) gate.Decision {
	r.atc++
	c.report.Taps++
	read := c.read(r, direction)
	d, err := l.gate.Tap(read, l.snapshot(), now)
	if err == nil && d.Claim {
		c.report.Claims++
		reached := !now.Before(l.down) && c.random.Float64() >= 2*c.options.Loss
		if reached && c.office.Claim(l.name, d.Record, now) {
			read.Granted = true
			d, err = l.gate.Tap(read, l.snapshot(), now)
		}
	}
	if err != nil {
		c.failed = err
	}
	if d.Open {
		c.report.Opened++
	}
	l.tapped = now
	c.checkRotation(r, l, &d)
	return d
}

// read is the kernel's outcome for a card that is genuine.
func (c *city) read(r *rider, direction gate.Direction) gate.Read {
	o := kernel.NewOutcome(kernel.Approved, kernel.ReasonDeferred, kernel.ReasonDeferred.Term())
	o.Deferred, o.CVM, o.ODA.Status = true, kernel.CVMNone, kernel.ODAPassed
	var d emv.Data
	d.Set(emv.TagPAN, r.number.BCD())
	d.Set(emv.TagExpiryDate, []byte{0x30, 0x12, 0x31})
	d.Set(emv.TagPANSequence, []byte{1})
	d.Set(emv.TagATC, []byte{byte(r.atc >> 8), byte(r.atc)})
	d.Set(emv.TagAmount, make([]byte, 6))
	d.Set(emv.TagCurrency, []byte{1, 0x56})
	random := [4]byte{}
	binary.BigEndian.PutUint32(random[:], c.random.Uint32())
	d.Set(emv.TagUnpredictableNumber, random[:])
	o.Data = d
	return gate.Read{Outcome: o, Random: random, Direction: direction}
}

// checkOpening: a gate that has the entry did not open, and a credential opens each gate once before its entry is there, or one in all.
func (c *city) checkOpening(r *rider, l *lane) {
	if s := c.desk.changes[r.id.Hash()]; s != nil && !s.removal && s.sequence > 0 && l.sequence >= s.sequence {
		c.report.find("gate %s opened for a credential of its list", l.name)
	}
	if c.options.Wait && len(r.opened) > 1 {
		c.report.find("credential %v had %d first rides", r.id, len(r.opened))
	}
	same := func(o opening) bool { return o.lane == l }
	if n := len(r.opened); n > 1 && slices.ContainsFunc(r.opened[:n-1], same) {
		c.report.find("gate %s opened twice for a credential that nobody pays for", l.name)
	}
}
