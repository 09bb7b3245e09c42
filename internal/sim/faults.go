package sim

import (
	"math/rand/v2"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Faults say how often something goes wrong. Rates are in parts of a thousand. A link's own rates are drawn once for each world, from zero to twice these.
type Faults struct {
	Drop      int // of messages
	Duplicate int
	Delay     int // beyond the usual latency, up to longDelay: past every time-out
	Stale     int // of messages: another copy turns up within staleMax, perhaps on another business date
	Outage    int // of messages: the link then loses everything for up to outageMax
	Crash     int // of durable writes: the process stops before the write, after it, or while its messages leave
	Sudden    int // of sales: some process stops, whatever it does
	Vault     int // of operations of a security module: it does not answer
	Zombie    int // of restarts: the old process goes on for a moment
	Batch     int // of messages: decided in one batch with what comes next
	Skew      time.Duration
	Tear      int // of taps: the card leaves the field
	WrongPIN  int // of PINs
	Replay    int // of sales: somebody sends captured chip data again
	Change    int // of sales: a holder or a bank changes a card
}

// Rough is a network on a bad day.
func Rough() Faults {
	return Faults{
		Drop: 40, Duplicate: 60, Delay: 40, Stale: 4, Outage: 1, Crash: 4, Sudden: 6, Vault: 4, Zombie: 250, Batch: 250,
		Skew: 4 * time.Minute, Tear: 150, WrongPIN: 100, Replay: 20, Change: 60,
	}
}

// mood draws how bad the day of one world is: some have a quiet network and crashing machines, some the other way round.
func (f Faults) mood(r *rand.Rand) Faults {
	for _, group := range [][]*int{
		{&f.Drop, &f.Duplicate, &f.Delay, &f.Stale}, {&f.Outage}, {&f.Crash, &f.Sudden}, {&f.Vault}, {&f.Tear}, {&f.WrongPIN}, {&f.Replay}, {&f.Change},
	} {
		for halves := [...]int{1, 2, 2, 4, 8}[r.IntN(5)]; len(group) > 0; group = group[1:] {
			*group[0] = min((*group[0]*halves+1)/2, rateMost)
		}
	}
	return f
}

const (
	thousand = 1000
	// rateMost leaves every message a good chance in the end.
	rateMost   = 300
	latencyMax = 400 * time.Millisecond
	longDelay  = 3 * time.Minute
	staleMax   = 36 * time.Hour
	outageMax  = 30 * time.Minute
	restartMax = 90 * time.Second
	batchMax   = 5 * time.Millisecond
	// driftMax is how fast a clock may go wrong, in parts of a million: a cheap crystal in the sun.
	driftMax = 200
	million  = 1_000_000
)

// passage is a message about to cross a link.
type passage struct {
	from, to string
	message  unionpay.Message
	wire     []byte
}

// hooks are where the tests of this package plant bugs.
type hooks struct {
	// world sees each world before it is built.
	world func(w *world)
	// role wraps a core whenever one is made.
	role func(kind, name string, r role) role
	// store wraps a node's store, once for its life.
	store func(kind, name string, s *journal.MemStore) journal.Store
	// link decides about a message, when it returns true: one copy after each of the delays.
	link func(p passage) (delays []time.Duration, decided bool)
	// memory wraps a chip's memory.
	memory func(m memory) memory
	// crashAt is the number of the one moment at which a process stops, counted over all moments at which one could; 0 is none.
	crashAt int
	// steady gives every world the faults of the options, without a mood of its own.
	steady bool
	// cards is the number of cards in use at a time; 0 is cardsInUse.
	cards int
	// whole lets issuers keep everything in memory and show no card, for bugs that the invariants of cells and cards would find first.
	whole bool
}

// chance is true in parts of a thousand, and never while the world is being built.
func (w *world) chance(rate int) bool {
	return rate > 0 && !w.building && w.random.IntN(thousand) < rate
}

// upTo draws a time between zero and most.
func (w *world) upTo(most time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(most)))
}

// wire is one direction between two nodes.
type wire struct {
	drop, duplicate, delay int
	downUntil              time.Time
	sent                   uint64
	latest                 uint64 // highest number that has arrived
}

// wireOf gives a direction its own character when it is used first.
func (w *world) wireOf(from, to string) *wire {
	key := from + ">" + to
	l := w.wires[key]
	if l == nil {
		draw := func(rate int) int { return w.random.IntN(2*rate + 1) }
		f := w.faults
		l = &wire{drop: draw(f.Drop), duplicate: draw(f.Duplicate), delay: draw(f.Delay)}
		w.wires[key] = l
	}
	return l
}

// fate draws what happens to a message: one copy arrives after each of the delays.
func (w *world) fate(l *wire, p passage) []time.Duration {
	if w.hooks.link != nil {
		if delays, decided := w.hooks.link(p); decided {
			return delays
		}
	}
	if w.now().Before(l.downUntil) {
		w.counts.Lost++
		return nil
	}
	if w.chance(w.faults.Outage) {
		l.downUntil = w.now().Add(w.upTo(outageMax))
	}
	delays := []time.Duration{w.upTo(latencyMax)}
	if w.chance(l.delay) {
		delays[0] += w.upTo(longDelay)
		w.counts.Delayed++
	}
	if w.chance(l.duplicate) {
		delays = append(delays, w.upTo(latencyMax)+w.upTo(longDelay)*time.Duration(w.random.IntN(2)))
		w.counts.Duplicated++
	}
	if w.chance(w.faults.Stale) {
		delays = append(delays, w.upTo(staleMax))
		w.counts.Duplicated++
	}
	if w.chance(l.drop) {
		delays = delays[1:]
		w.counts.Lost++
	}
	return delays
}

// skewed is a node's own clock: some way off, and going wrong.
type skewed struct {
	world  *clock.Manual
	base   time.Time
	offset time.Duration
	ppm    int64
}

var _ clock.Clock = (*skewed)(nil)

func (w *world) newClock() *skewed {
	s := &skewed{world: w.clock, base: w.now()}
	if most := w.faults.Skew; most > 0 && !w.building {
		s.offset = w.upTo(2*most) - most
		s.ppm = w.random.Int64N(2*driftMax+1) - driftMax
	}
	return s
}

// Now implements clock.Clock.
func (s *skewed) Now() time.Time {
	now := s.world.Now()
	return now.Add(s.offset + now.Sub(s.base)/million*time.Duration(s.ppm))
}

// AfterFunc implements clock.Clock: a clock that goes fast fires early.
func (s *skewed) AfterFunc(d time.Duration, f func()) clock.Timer {
	return s.world.AfterFunc(max(d-d/million*time.Duration(s.ppm), 0), f)
}

// offMost is how far a clock can be off within a world: what it began with, and what it gathers.
func (w *world) offMost() time.Duration {
	return w.faults.Skew + w.age()/million*driftMax + time.Second
}
