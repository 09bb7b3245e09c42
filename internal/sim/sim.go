// Package sim runs the whole network from one seed, single-threaded: cards, tills, acquirer, switch and issuers as the same cores that the program runs, joined
// by links that lose, repeat, delay and reorder messages, with clocks that disagree and processes that crash at their durable writes and start again.
//
// It follows no standard. It promises that the same seed and options give the same run, byte for byte, so that a failing seed is a bug report of one line. Time
// is a clock moved by hand, whose timers are the queue of events in order of time and sequence; every message is written and read again as bytes of its
// dialect; every tap is a real card and a real terminal. On the way and at the end internal/verify and this package's own invariants say whether money,
// counters and outcomes hold together.
//
// It opens no socket and no file and checks no MAC (package link does); it runs the journal's stepper, not its two goroutines, over a store in memory.
package sim

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"

	"tapnet/glossary"
	"tapnet/internal/pos"
	"tapnet/internal/verify"
)

// Options say what to run.
type Options struct {
	Seed uint64
	Days int // simulated days of each world; 0 is DefaultDays
	Taps int // in all; 0 is DefaultTaps
	// Faults say what goes wrong; the zero value is a network in which nothing does. Rough is what the command runs.
	Faults Faults
	// Inspect, when set, sees what is checked, each time that everything is; its error is a finding. The rows are not to be kept or changed.
	Inspect func(verify.Snapshot) error
	// Progress, when set, is called now and then.
	Progress func(Progress)
	// Observe, when set, is given what every check of the invariants looks at.
	Observe func(verify.Snapshot)

	hooks hooks
}

const (
	// DefaultDays lets the business date change twice in a world of full size.
	DefaultDays = 3
	// DefaultTaps is a run of a few seconds.
	DefaultTaps = 2_000
	// worldTaps is how many taps are made in one world before the next one begins. A crash replays its journal, so the cost of a tap grows with the world's
	// age, and the roles keep every payment in memory.
	worldTaps = 2_000
	// MaxDays keeps a world within the life of its cards and inside one year of transmission times, which have no year.
	MaxDays = 300
)

// Progress is where a run stands.
type Progress struct {
	Taps, Of  int
	Simulated time.Duration // since the run began
	Crashes   int
}

// Counts are what happened in a run.
type Counts struct {
	Ends       map[string]int // taps by how they ended, see Ends
	Messages   int
	Lost       int // by a link
	Duplicated int
	Delayed    int // beyond the usual latency
	Reordered  int // arrived before one that was sent earlier on the same link
	Unread     int // arrived at a process that was down
	Commits    int
	Crashes    int
	Restarts   int
	Zombies    int // processes that went on after another had taken over their journal, until the fence stopped them
	Unanswered int // operations of security modules that failed
	Tears      int // times a card left the field during a tap
	Replays    int // stolen chip data sent in a new payment
	Changes    int // cards changed by holder or bank
	Cards      int // cards issued
	Days       int // changes of the business date
	Checks     int // times that all invariants were tried
	Resumed    int // issuers that started from their cells
	Loaded     int // cards that an issuer found in its store and not in memory
	Kept       int // cells that issuers wrote back
	Recalled   int // payments that an issuer had forgotten and found in its journal
	Spent      int // of these, keys that a reversal had spent before the payment came
	Settled    int // batches
	Agreed     int // of these, with the acquirer's totals
	// Verbs counts what was done with the card in the slot and ended well.
	Verbs    map[pos.Verb]int
	Stranded int64 // minor units that left purses without a payment: a card that never came back, a till that crashed first
}

// Count is one number of Counts with its name.
type Count struct {
	Name string
	N    int
}

// List gives the counts but those of the ends, in the order of reports.
func (c *Counts) List() []Count {
	return []Count{
		{"messages", c.Messages}, {"lost", c.Lost}, {"duplicated", c.Duplicated}, {"delayed", c.Delayed}, {"reordered", c.Reordered}, {"unread", c.Unread},
		{"commits", c.Commits}, {"crashes", c.Crashes}, {"restarts", c.Restarts}, {"zombies", c.Zombies},
		{"unanswered", c.Unanswered}, {"tears", c.Tears}, {"replays", c.Replays}, {"changes", c.Changes}, {"cards", c.Cards}, {"days", c.Days},
		{"resumed", c.Resumed}, {"loaded", c.Loaded}, {"kept", c.Kept}, {"recalled", c.Recalled}, {"spent", c.Spent}, {"settled", c.Settled}, {"agreed", c.Agreed},
	}
}

// Taps is the number of taps that ended.
func (c *Counts) Taps() int {
	taps := 0
	for _, n := range c.Ends {
		taps += n
	}
	return taps
}

// Report is what came of a run.
type Report struct {
	Seed       uint64
	Days, Taps int
	Worlds     int
	Simulated  time.Duration
	Counts     Counts
	Findings   []Finding
	Digest     string // the same for the same seed and options
	Command    string // replays the run, or the world in which an invariant broke
}

// Good reports whether every invariant held.
func (r *Report) Good() bool { return len(r.Findings) == 0 }

// Broken is the finding about an invariant.
func (r *Report) Broken(name string) (Finding, bool) {
	for _, f := range r.Findings {
		if f.Name == name {
			return f, true
		}
	}
	return Finding{}, false
}

// Finding is an invariant that broke.
type Finding struct {
	Name   string
	Title  glossary.Term
	Detail glossary.Term
	Taps   int       // made in its world so far
	At     time.Time // simulated
}

// String is the finding in English.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s (after %d taps, at %s)", f.Name, f.Detail.EN, f.Taps, f.At.Format(time.RFC3339))
}

// Run makes the taps, in worlds of bounded size one after another, and stops at the first world in which an invariant breaks. The error is a surprise: the
// options are wrong, a world cannot be built, or ctx ended; what breaks in a world is in the report.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Days == 0 {
		o.Days = DefaultDays
	}
	if o.Taps == 0 {
		o.Taps = DefaultTaps
	}
	if o.Days < 1 || o.Days > MaxDays || o.Taps < 1 {
		return Report{}, fmt.Errorf("sim: %d days and %d taps: days are 1 to %d, and there is at least one tap", o.Days, o.Taps, MaxDays)
	}
	r := Report{Seed: o.Seed, Days: o.Days, Taps: o.Taps, Counts: Counts{Ends: map[string]int{}}, Command: Command(o.Seed, o.Days, o.Taps)}
	digest := sha256.New()
	for made := 0; made < o.Taps && r.Good(); {
		taps := min(worldTaps, o.Taps-made)
		seed := worldSeed(o.Seed, r.Worlds)
		w, err := newWorld(seed, o)
		if err != nil {
			return r, err
		}
		w.tell = func() {
			if o.Progress != nil {
				o.Progress(Progress{Taps: made + w.taps, Of: o.Taps, Simulated: r.Simulated + w.age(), Crashes: r.Counts.Crashes + w.counts.Crashes})
			}
		}
		if err := w.live(ctx, taps); err != nil {
			return r, err
		}
		made += w.taps
		r.Worlds++
		r.Simulated += w.age()
		r.Counts.add(&w.counts)
		r.Findings = w.findings
		if !r.Good() {
			r.Command = Command(seed, o.Days, taps)
		}
		fmt.Fprintf(digest, "%x\n", w.digest())
	}
	r.Digest = fmt.Sprintf("%x", digest.Sum(nil)[:8])
	return r, nil
}

// Command is the command line that makes a run again.
func Command(seed uint64, days, taps int) string {
	return fmt.Sprintf("tapnet sim --seed %d --days %d --taps %d", seed, days, taps)
}

// worldSeed is the seed of a world of a run: the first one has the run's, so that every world can be run alone.
func worldSeed(seed uint64, place int) uint64 {
	if place == 0 {
		return seed
	}
	return rand.NewPCG(seed, uint64(place)).Uint64() >> 1 // fits a signed number, for whoever stores it
}

func (c *Counts) add(w *Counts) {
	for end, n := range w.Ends {
		c.Ends[end] += n
	}
	c.Messages += w.Messages
	c.Lost += w.Lost
	c.Duplicated += w.Duplicated
	c.Delayed += w.Delayed
	c.Reordered += w.Reordered
	c.Unread += w.Unread
	c.Commits += w.Commits
	c.Crashes += w.Crashes
	c.Restarts += w.Restarts
	c.Zombies += w.Zombies
	c.Unanswered += w.Unanswered
	c.Tears += w.Tears
	c.Replays += w.Replays
	c.Changes += w.Changes
	c.Cards += w.Cards
	c.Days += w.Days
	c.Checks += w.Checks
	c.Stranded += w.Stranded
	c.Resumed += w.Resumed
	c.Loaded += w.Loaded
	c.Kept += w.Kept
	c.Recalled += w.Recalled
	c.Spent += w.Spent
	c.Settled += w.Settled
	c.Agreed += w.Agreed
	for verb, n := range w.Verbs {
		if c.Verbs == nil {
			c.Verbs = map[pos.Verb]int{}
		}
		c.Verbs[verb] += n
	}
}

// Law is the name and title of an invariant that runs try.
type Law struct {
	Name  string
	Title glossary.Term
}

// Laws lists every invariant: those of package verify, then this package's own.
func Laws() []Law {
	var laws []Law
	for _, v := range verify.Invariants() {
		laws = append(laws, Law{v.Name, v.Title})
	}
	return append(laws, own...)
}
