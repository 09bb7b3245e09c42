package fares

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tapnet/money"
)

// Batch gathers the records of one or more days by rider, to be rated at once without an office. A tap takes 24 bytes, so that a city's month fits.
type Batch struct {
	riders map[string][]kept
	shared map[string]*ticket
	texts  []string
	places map[string]int32 // of texts
	taps   int
	last   time.Time
}

// kept is a tap of the data set; its names are places in Batch.texts, and its medium is the user.
type kept struct {
	second                 int64
	number                 uint32
	device, place, service uint16
	kind                   Kind
}

// ticket is a number that riders use one after the other: each entry begins another rider.
type ticket struct {
	uses   int
	inside bool
}

// NewBatch gives an empty batch.
func NewBatch() *Batch {
	return &Batch{riders: map[string][]kept{}, shared: map[string]*ticket{}, places: map[string]int32{}}
}

// Add takes the next record. Taps are numbered anew, so that several files can follow one another. It fits ReadHangzhou. Errors wrap ErrRecord.
func (b *Batch) Add(r Record) error {
	t := &r.Tap
	k := kept{second: t.At.Unix(), number: uint32(b.taps + 1), kind: t.Kind}
	if b.taps == math.MaxUint32 || t.Route != "" || t.Direction != "" || t.Stop != 0 || t.Medium != r.User {
		return fmt.Errorf("%w: tap %s of %q cannot be kept in a batch", ErrRecord, t.ID, clip(r.User))
	}
	var err, err2, err3 error
	k.device, err = b.text(t.ID.Device)
	k.place, err2 = b.text(t.Place)
	k.service, err3 = b.text(t.Service)
	if err := cmp.Or(err, err2, err3); err != nil {
		return err
	}
	b.taps++
	rider := r.User
	if r.Shared {
		use := b.shared[r.User]
		if use == nil {
			use = &ticket{}
			b.shared[r.User] = use
		}
		if k.kind == Entry || !use.inside {
			use.uses++
		}
		use.inside = k.kind == Entry
		rider += "/" + strconv.Itoa(use.uses)
	}
	b.riders[rider] = append(b.riders[rider], k)
	if t.At.After(b.last) {
		b.last = t.At
	}
	return nil
}

// text gives the place of a name.
func (b *Batch) text(s string) (uint16, error) {
	at, ok := b.places[s]
	if !ok {
		if at = int32(len(b.texts)); at > math.MaxUint16 {
			return 0, fmt.Errorf("%w: more than %d devices and stations", ErrRecord, math.MaxUint16)
		}
		b.places[s], b.texts = at, append(b.texts, s)
	}
	return uint16(at), nil
}

// tapsOf gives a rider's taps.
func (b *Batch) tapsOf(rider string) []Tap {
	user := rider
	if cut := strings.LastIndexByte(rider, '/'); cut >= 0 && b.shared[rider[:cut]] != nil {
		user = rider[:cut]
	}
	taps := make([]Tap, 0, len(b.riders[rider]))
	for _, k := range b.riders[rider] {
		taps = append(taps, Tap{ID: TapID{b.texts[k.device], uint64(k.number)}, At: time.Unix(k.second, 0).In(b.last.Location()), Kind: k.kind,
			Service: b.texts[k.service], Medium: user, Place: b.texts[k.place]})
	}
	return taps
}

// Taps counts what was gathered.
func (b *Batch) Taps() int { return b.taps }

// Riders counts accounts; a shared number is as many as it was used.
func (b *Batch) Riders() int { return len(b.riders) }

// Settled is an instant at which no journey of the batch is open or held any more.
func (b *Batch) Settled() time.Time { return b.last.AddDate(0, 0, maxGraceDays+2) }

// Summary is what a batch comes to.
type Summary struct {
	Taps, Riders, Journeys int
	Ignored                int           // repeats of a tap
	Incomplete             int           // journeys with a missing tap, whatever became of them
	Refused                int           // riders whose taps cannot be rated; they are in no other number but Taps and Riders
	States                 map[State]int // of journeys
	Fares                  money.Amount  // before transfers and caps
	Total                  money.Amount
	Changes                map[Reason]Change // what rules took off, or added
}

// Change is what one kind of step does over all journeys.
type Change struct {
	Journeys int
	Amount   money.Amount
}

// batchPart is how many riders are rated before their statements are handed on.
const batchPart = 4096

// Rate rates every rider, some at a time, and hands the statements on in the order of the riders' names, so that a run repeats byte by byte. each and progress
// may be nil. It stops with the context's error when that ends.
func (b *Batch) Rate(ctx context.Context, book *Book, asOf time.Time, each func(*Statement) error, progress func(done int)) (Summary, error) {
	c := book.tariffs[0].currency
	sum := Summary{Taps: b.taps, Riders: len(b.riders), States: map[State]int{}, Changes: map[Reason]Change{}, Fares: money.New(0, c), Total: money.New(0, c)}
	names := slices.Sorted(maps.Keys(b.riders))
	statements := make([]*Statement, batchPart)
	done := 0
	for part := range slices.Chunk(names, batchPart) {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		var workers sync.WaitGroup
		workersAtOnce := runtime.GOMAXPROCS(0)
		for w := range workersAtOnce {
			workers.Go(func() {
				for i := w; i < len(part); i += workersAtOnce {
					statements[i], _ = book.Rate(Rider{Account: part[i]}, b.tapsOf(part[i]), asOf) // nil: counted as refused
				}
			})
		}
		workers.Wait()
		for _, s := range statements[:len(part)] {
			if s == nil {
				sum.Refused++
				continue
			}
			sum.add(s)
			if each == nil {
				continue
			}
			if err := each(s); err != nil {
				return sum, fmt.Errorf("hand on the statement of a rider: %w", err)
			}
		}
		if done += len(part); progress != nil {
			progress(done)
		}
	}
	return sum, nil
}

func (x *Summary) add(s *Statement) {
	add := func(a *money.Amount, minor int64) { *a = money.New(a.Minor()+minor, a.Currency()) }
	x.Journeys += len(s.Journeys)
	x.Ignored += len(s.Ignored)
	add(&x.Total, s.Total.Minor())
	for i := range s.Journeys {
		j := &s.Journeys[i]
		x.States[j.State]++
		if j.State.Missing() {
			x.Incomplete++
		}
		add(&x.Fares, j.Fare.Minor())
		for k := range j.Steps {
			step := &j.Steps[k]
			switch step.Reason {
			case ReasonTransfer, ReasonDayCap, ReasonWeekCap, ReasonCategory, ReasonTimeframe, ReasonOvertime:
				change := x.Changes[step.Reason]
				if change.Journeys++; change.Amount.Currency().IsZero() {
					change.Amount = money.New(0, x.Total.Currency())
				}
				add(&change.Amount, step.Amount.Minor())
				x.Changes[step.Reason] = change
			}
		}
	}
}
