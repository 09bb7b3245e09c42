package sim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// world is a network, its people and its time.
type world struct {
	seed     uint64
	faults   Faults
	hooks    hooks
	inspect  func(verify.Snapshot) error
	days     int
	tell     func()
	observe  func(verify.Snapshot)
	random   *rand.Rand
	began    time.Time
	clock    *clock.Manual // the true time, and the queue of events
	calendar clock.Calendar
	capacity issuer.Capacity
	profile  *personalization.Profile
	nodes    []*node
	byName   map[string]*node
	tills    []*till
	holders  []*holder // everybody who ever held a card
	wires    map[string]*wire
	vaults   map[string]*hsm.HSM
	tasks    map[*task]struct{}
	loot     []unionpay.FinancialRequest // captured requests

	building, over bool
	taps           int
	serial         int // of the last card made
	moments        int // at which a process could have stopped
	flying         int // messages under way
	counts         Counts
	findings       []Finding
	noted          hash.Hash
}

const (
	cardsInUse = 20
	// settleWithin bounds the time that a network in which nobody pays needs to finish what is under way: the longest back-off many times over.
	settleWithin = 72 * time.Hour
	// inARush is the share of sales that follow hard on the last, in parts of a thousand; the others wait.
	inARush = 700
	rushGap = 3 * time.Second
	// firstCheck is after how many taps everything is checked for the first time; from there on the distance doubles, as a check costs what the world is old.
	firstCheck = 125
)

// newWorld builds the world of a seed: keys, cards and roles, with the cards enrolled.
func newWorld(seed uint64, o Options) (*world, error) {
	w := &world{
		seed: seed, hooks: o.hooks, inspect: o.Inspect, days: o.Days, random: rand.New(rand.NewPCG(seed, 1)), byName: map[string]*node{}, wires: map[string]*wire{},
		vaults: map[string]*hsm.HSM{}, tasks: map[*task]struct{}{}, counts: Counts{Ends: map[string]int{}, Verbs: map[pos.Verb]int{}},
		noted: sha256.New(), tell: func() {}, observe: o.Observe,
	}
	if w.faults = o.Faults; !o.hooks.steady {
		w.faults = o.Faults.mood(w.random)
	}
	// Some day of three years, some time of the day: months, years and a leap day end in some of the worlds.
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC).AddDate(0, 0, w.random.IntN(3*365))
	w.began = day.Add(w.upTo(24 * time.Hour)).Truncate(time.Second)
	w.clock = clock.NewManual(w.began)
	w.calendar = clock.Calendar{Zone: clock.Shanghai(), CutOff: time.Duration(w.random.IntN(2)) * 23 * time.Hour}
	if w.capacity = drawCapacity(w.random); w.hooks.whole {
		w.capacity = wholeCapacity()
	}
	if w.hooks.world != nil {
		w.hooks.world(w)
	}
	w.building = true // nothing goes wrong meanwhile
	if err := w.build(); err != nil {
		return nil, fmt.Errorf("sim: seed %d: %w", seed, err)
	}
	w.building = false
	return w, nil
}

func (w *world) now() time.Time     { return w.clock.Now() }
func (w *world) age() time.Duration { return w.now().Sub(w.began) }

// source is a stream of random bytes of its own for each part of the world.
func (w *world) source(label string) io.Reader {
	return rand.NewChaCha8(sha256.Sum256(append(binary.BigEndian.AppendUint64([]byte("tapnet sim 2\x00"), w.seed), label...)))
}

// note makes what somebody sent part of the run's digest.
func (w *world) note(who string, what []byte) {
	_, _ = io.WriteString(w.noted, who) // a hash takes everything
	_, _ = w.noted.Write(what)
}

// digest is a hash over every message sent and the end of every journal.
func (w *world) digest() []byte {
	for _, n := range w.nodes {
		seq, chain, err := n.disk.Last(context.Background())
		fmt.Fprintf(w.noted, "%s %d %x %v\n", n.name, seq, chain, err)
	}
	fmt.Fprintf(w.noted, "%+v %v", w.counts, w.findings)
	return w.noted.Sum(nil)
}

// live makes the taps, looks at the books on the way, lets the network finish what is under way, and looks again. A broken invariant ends it. The error is
// that ctx ended.
func (w *world) live(ctx context.Context, taps int) error {
	defer w.end()
	check := firstCheck
	mean := time.Duration(w.days) * 24 * time.Hour / time.Duration(taps) * thousand / (thousand - inARush)
	for w.taps < taps && len(w.findings) == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.advance(w.gap(mean))
		w.somebody()
		if w.taps == check/2 {
			w.check(false)
		}
		if w.taps == check {
			check *= 2
			w.settle()
			w.check(true)
		}
		w.tell()
	}
	w.settle()
	if len(w.findings) == 0 {
		w.reread()
		w.check(true)
	}
	w.counts.Days = w.dateChanges()
	return nil
}

// gap draws the time to the next sale: soon, or later, or just about when the business date changes.
func (w *world) gap(mean time.Duration) time.Duration {
	if w.random.IntN(thousand) < inARush {
		return w.upTo(rushGap)
	}
	gap := w.upTo(2 * mean)
	cut := w.nextCut().Sub(w.now())
	if cut > 0 && cut < gap && w.random.IntN(2) == 0 {
		gap = max(cut-w.upTo(2*rushGap), 0)
	}
	return gap
}

// nextCut is when the business date changes next.
func (w *world) nextCut() time.Time {
	local := w.now().In(w.calendar.Zone)
	year, month, day := local.Date()
	cut := time.Date(year, month, day, 0, 0, 0, 0, w.calendar.Zone).Add(w.calendar.CutOff)
	for !cut.After(local) {
		cut = cut.AddDate(0, 0, 1)
	}
	return cut
}

func (w *world) dateChanges() int {
	dates := 0
	for at, last := w.began, int32(0); !at.After(w.now()); at = at.Add(time.Hour) {
		if date := w.calendar.BusinessDate(at); date != last {
			dates, last = dates+1, date
		}
	}
	return dates - 1
}

// step does the next thing that is due by deadline. It reports whether there was one.
func (w *world) step(deadline time.Time) bool {
	at, ok := w.clock.NextAt()
	if !ok || at.After(deadline) || len(w.findings) > 0 {
		return false
	}
	defer w.catch()
	w.clock.Set(at)
	return true
}

// catch turns the panic of a core into a finding: a bug of its own that it noticed.
func (w *world) catch() {
	if p := recover(); p != nil {
		w.find(lawSurprise, "panic: %v at %s", "崩溃：%v，位于%s", p, origin(string(debug.Stack())))
	}
}

// origin is the first place in a stack after the panic that is not the runtime's.
func origin(stack string) string {
	_, after, _ := strings.Cut(stack, "panic(")
	for _, line := range strings.Split(after, "\n") {
		if place, ok := strings.CutPrefix(line, "\t"); ok && !strings.Contains(place, "runtime/") {
			name, _, _ := strings.Cut(place[strings.LastIndex(place, "/")+1:], " ")
			return name
		}
	}
	return "?"
}

// advance lets time pass.
func (w *world) advance(d time.Duration) {
	target := w.now().Add(d)
	for w.step(target) {
		continue
	}
	if len(w.findings) == 0 {
		w.clock.Set(target)
	}
}

// settle lets the network finish what is under way, with everything still going wrong, and finds fault with one that cannot.
func (w *world) settle() {
	deadline := w.now().Add(settleWithin)
	for !w.quiet() && w.step(deadline) {
		continue
	}
	if len(w.findings) == 0 && !w.quiet() {
		w.find(lawSettles, "after %v without a sale: %s", "停止交易%v后：%s", settleWithin, w.busy())
	}
}

// quiet reports whether nothing is under way.
func (w *world) quiet() bool { return w.busy() == "" }

// busy says what is under way, "" for nothing.
func (w *world) busy() string {
	if w.flying > 0 || len(w.tasks) > 0 {
		return fmt.Sprintf("%d messages on the way, %d people waiting", w.flying, len(w.tasks))
	}
	for _, n := range w.nodes {
		switch {
		case !n.up:
			return n.name + " is down"
		case len(n.inbox) > 0:
			return n.name + " has messages to decide"
		case n.outstanding() > 0:
			return fmt.Sprintf("%s has %d messages that nobody acknowledged", n.name, n.outstanding())
		case n.timers.Pending() > 0:
			return fmt.Sprintf("%s has %d timers", n.name, n.timers.Pending())
		}
	}
	return ""
}

func (w *world) add(n *node) {
	n.world, n.disk, n.answers = w, journal.NewMemStore(), map[string][sha256.Size]byte{}
	if n.dialect == nil {
		n.dialect = func(string) unionpay.Dialect { return unionpay.Switch }
	}
	w.nodes = append(w.nodes, n)
	w.byName[n.name] = n
}
