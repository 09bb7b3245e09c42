// Package sim runs the whole network from one seed, single-threaded: cards, tills, acquirer, switch and issuers as the same cores that the program runs, joined
// by links that lose, repeat, delay and reorder messages, and processes that crash and start again.
//
// It promises that the same seed and options give the same run, byte for byte, so that a failing seed is a bug report of one line. Time is a clock moved by
// hand; every message is written and read again as bytes of its dialect. After a run internal/verify says whether money, counters and outcomes hold together.
//
// It opens no socket and no file, checks no MAC (package link does) and measures nothing.
package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tapnet/card"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// Rates say how often something goes wrong, in parts of a thousand.
type Rates struct {
	Drop      int // of messages
	Duplicate int
	Delay     int // beyond the usual latency, up to longDelay: past every time-out
	Crash     int // of commits: the process stops before or after the rows are durable
	Tear      int // of taps: the card leaves the field and comes back
	WrongPIN  int // of PINs
}

// Rough is a network on a bad day.
func Rough() Rates {
	return Rates{Drop: 60, Duplicate: 60, Delay: 60, Crash: 15, Tear: 250, WrongPIN: 150}
}

// Passage is a message about to cross a link.
type Passage struct {
	From, To string
	Message  unionpay.Message
	Wire     []byte
}

// Fate is what a link does with a message: nothing arrives, or one copy after each of the delays.
type Fate struct{ Delays []time.Duration }

// Options say what to run. The zero value is the demo profile with quiet links.
type Options struct {
	Profile *personalization.Profile
	Start   time.Time // zero is noon in Shanghai on a day when the profile's cards are valid
	Sales   int
	// SaleEvery is the mean time between two sales; zero is half a minute.
	SaleEvery time.Duration
	Rates     Rates
	// Link decides what happens to each message instead of Rates, when it is set. Nil for a passage leaves it to Rates.
	Link func(Passage) *Fate
}

const (
	saleEveryDefault = 30 * time.Second
	latencyMax       = 400 * time.Millisecond
	longDelay        = 3 * time.Minute
	restartMax       = 90 * time.Second
	thousand         = 1000
	// healWithin bounds the time that a healthy network needs to finish what is under way: the longest back-off many times over.
	healWithin = 48 * time.Hour
	// Random sales lie on both sides of the purses' money and of the no-PIN limit.
	largeSaleMinor, smallSaleMinor = 150_000, 3_000
)

// Tally counts what happened in a run.
type Tally struct {
	Sales, Interrupted                             int // Interrupted: the till crashed during the sale
	Ends                                           map[pos.End]int
	Messages, Dropped, Duplicated, Delayed, Unread int // Unread: the receiver was down
	Crashes, Tears                                 int
}

// World is a network and its time.
type World struct {
	seed    uint64
	options Options
	random  *rand.Rand
	clock   *clock.Manual
	healthy bool
	nodes   []*node
	byName  map[string]*node
	tills   []*till
	holders []*holder
	vaults  map[string]*hsm.HSM
	tally   Tally
	failure error
}

// holder is a person with a card.
type holder struct {
	personal *personalization.Card
	chip     *card.Card
}

// New builds the world of a seed: keys, cards and roles, with the cards enrolled.
func New(seed uint64, o Options) (*World, error) {
	if o.Profile == nil {
		profile, err := personalization.Load("demo")
		if err != nil {
			return nil, err
		}
		o.Profile = profile
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	}
	if o.SaleEvery <= 0 {
		o.SaleEvery = saleEveryDefault
	}
	w := &World{
		seed: seed, options: o, random: rand.New(rand.NewPCG(seed, 0)), clock: clock.NewManual(o.Start), byName: map[string]*node{},
		vaults: map[string]*hsm.HSM{}, tally: Tally{Ends: map[pos.End]int{}},
	}
	w.healthy = true // nothing goes wrong while the world is built
	if err := w.build(); err != nil {
		return nil, fmt.Errorf("sim: seed %d: %w", seed, err)
	}
	w.healthy = false
	return w, nil
}

// Now is the time of the world.
func (w *World) Now() time.Time { return w.clock.Now() }

// Tally gives the counts so far.
func (w *World) Tally() Tally { return w.tally }

// chance is true in parts of a thousand while the world is not healthy. It draws even then, so that healing changes nothing else.
func (w *World) chance(rate int) bool { return w.random.IntN(thousand) < rate && !w.healthy }

func (w *World) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("sim: seed %d at %s: "+format, append([]any{w.seed, w.Now().Format(time.RFC3339Nano)}, args...)...)
	}
}

// Step moves to the next thing that is due and does it. It reports whether there was one.
func (w *World) Step() bool {
	at, ok := w.clock.NextAt()
	if !ok || w.failure != nil {
		return false
	}
	w.clock.Set(at)
	return true
}

// Run makes the sales of the options, looks at the books on the way, lets the network heal and finish, and looks again. The error is the first thing that does
// not hold, with the seed that repeats it.
func (w *World) Run() error {
	for w.tally.Sales < w.options.Sales && w.failure == nil {
		w.clock.Advance(time.Duration(w.random.Int64N(int64(2 * w.options.SaleEvery))))
		w.randomSale()
		if findings := w.Check(false); len(findings) > 0 {
			w.fail("after %d sales: %v", w.tally.Sales, findings)
		}
	}
	return w.Settle()
}

// Settle lets the network heal, waits until nothing is under way, and checks everything.
func (w *World) Settle() error {
	w.healthy = true
	for deadline := w.Now().Add(healWithin); w.Step(); {
		if w.Now().After(deadline) {
			w.fail("not quiet after %v", healWithin)
		}
	}
	if w.failure != nil {
		return w.failure
	}
	for _, n := range w.nodes {
		if open := n.outstanding(); open != 0 {
			w.fail("%s: %d messages nobody acknowledged", n.name, open)
		}
	}
	w.checkReplay()
	if findings := w.Check(true); len(findings) > 0 {
		w.fail("%v", findings)
	}
	return w.failure
}

// Check tries all invariants. quiet means that nothing is under way.
func (w *World) Check(quiet bool) []verify.Finding {
	snapshot, err := w.Snapshot(quiet)
	if err != nil {
		w.fail("%w", err)
	}
	return verify.Check(snapshot)
}

// checkReplay builds every role again from its rows: the books must be the same.
func (w *World) checkReplay() {
	for _, n := range w.nodes {
		again, err := n.rebuild()
		switch {
		case err != nil:
			w.fail("%s: replay: %w", n.name, err)
		case n.book(again) != n.book(n.role):
			w.fail("%s: replay gives other books", n.name)
		}
	}
}

// errInterrupted ends a sale whose till crashed.
var errInterrupted = errors.New("sim: the till crashed")

// fate draws what a link does with a message.
func (w *World) fate(p Passage) Fate {
	if w.options.Link != nil && !w.healthy {
		if fate := w.options.Link(p); fate != nil {
			return *fate
		}
	}
	latency := func() time.Duration { return time.Duration(w.random.Int64N(int64(latencyMax))) }
	rates := w.options.Rates
	fate := Fate{Delays: []time.Duration{latency()}}
	if w.chance(rates.Delay) {
		fate.Delays[0] += time.Duration(w.random.Int64N(int64(longDelay)))
		w.tally.Delayed++
	}
	if w.chance(rates.Duplicate) {
		fate.Delays = append(fate.Delays, latency()+time.Duration(w.random.Int64N(int64(longDelay))))
		w.tally.Duplicated++
	}
	if w.chance(rates.Drop) {
		fate.Delays = slices.Delete(fate.Delays, 0, 1)
		w.tally.Dropped++
	}
	return fate
}
