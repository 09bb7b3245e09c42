package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journaltest"
	"tapnet/internal/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemStoreConformance(t *testing.T) {
	var mu sync.Mutex
	places := map[string]*journal.MemStore{}
	journaltest.Store(t, func(_ testing.TB, place string) journal.Store {
		mu.Lock()
		defer mu.Unlock()
		if s, ok := places[place]; ok {
			return s.Reopen()
		}
		places[place] = journal.NewMemStore()
		return places[place]
	})
}

// running is a writer whose Run is on its own goroutine. Commits can be held up.
type running struct {
	*journal.Writer
	store   *journal.MemStore
	machine *adder
	cancel  context.CancelFunc
	result  chan error

	mu       sync.Mutex
	released []string
	commits  [][]uint64 // row numbers of every commit
}

func run(t *testing.T, store *journal.MemStore, change func(*journal.Config)) *running {
	t.Helper()
	r := &running{store: store, machine: newAdder(), result: make(chan error, 1)}
	cfg := journal.Config{Machine: r.machine, Store: store, Clock: clock.NewManual(start), Owner: t.Name(), Release: r.release}
	if change != nil {
		change(&cfg)
	}
	r.Writer = journal.NewWriter(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() { r.result <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-r.Done()
	})
	return r
}

func (r *running) release(effects []journal.Effect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range effects {
		r.released = append(r.released, effects[i].Trace.(string))
	}
}

func (r *running) releasedSoFar() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.released)
}

func (r *running) submit(t *testing.T, ev journal.Event) {
	t.Helper()
	if err := r.Submit(t.Context(), ev); err != nil {
		t.Fatalf("Submit: %v", err)
	}
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.result; err != nil {
		t.Fatalf("Run: %v", err)
	}
}

// gate lets the test decide when a commit goes on.
type gate struct{ entered, leave chan struct{} }

func newGate(store *journal.MemStore, note func([]journal.Row)) *gate {
	g := &gate{entered: make(chan struct{}), leave: make(chan struct{})}
	store.SetFaults(journal.Faults{BeforeCommit: func(rows []journal.Row) error {
		note(rows)
		g.entered <- struct{}{}
		<-g.leave
		return nil
	}})
	return g
}

func (r *running) note(rows []journal.Row) {
	var seqs []uint64
	for i := range rows {
		seqs = append(seqs, rows[i].Seq)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits = append(r.commits, seqs)
}

func numbers(from, to int) (out []string) {
	for i := from; i <= to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func TestWriterReleasesInOrder(t *testing.T) {
	r := run(t, journal.NewMemStore(), nil)
	<-r.Ready()
	for i := range 3000 {
		r.submit(t, journal.Event{Command: add{key: fmt.Sprintf("%08d", i), account: 1, amount: 1}})
	}
	r.stop(t)
	if want := numbers(1, 3000); !slices.Equal(r.released, want) {
		t.Fatalf("%d released, want %d in order", len(r.released), len(want))
	}
	if rows := journaltest.Load(t, r.store, 0); len(rows) != 3000 {
		t.Fatalf("%d rows", len(rows))
	}
	stats := r.Stats()
	if stats.Events != 3000 || stats.Rows != 3000 || stats.Largest > journal.DefaultMaxBatch || stats.Batches < 3000/journal.DefaultMaxBatch {
		t.Fatalf("stats %+v", stats)
	}
}

// While batch N is held in Commit, the events of N+1 are decided, nothing of either leaves, and N+1 grows.
func TestWriterDoubleBuffers(t *testing.T) {
	store := journal.NewMemStore()
	decided := make(chan int, 100)
	var r *running
	r = run(t, store, func(c *journal.Config) {
		c.MaxBatch = 4
		c.Machine = signalling{c.Machine.(*adder), decided}
	})
	<-r.Ready()
	g := newGate(store, r.note)
	r.submit(t, journal.Event{Command: add{account: 1, amount: 1}})
	<-decided
	<-g.entered // row 1 alone is in Commit: the writer did not wait to fill the batch
	for range 6 {
		r.submit(t, journal.Event{Command: add{account: 1, amount: 1}})
	}
	for range 4 {
		<-decided // rows 2 to 5 are decided while row 1 is being committed; the batch is full then
	}
	if got := r.releasedSoFar(); len(got) != 0 {
		t.Fatalf("released before the commit: %v", got)
	}
	g.leave <- struct{}{}
	<-g.entered // rows 2 to 5
	if got := r.releasedSoFar(); !slices.Equal(got, numbers(1, 1)) {
		t.Fatalf("released during the second commit: %v", got)
	}
	<-decided
	<-decided
	g.leave <- struct{}{}
	<-g.entered // rows 6 and 7
	g.leave <- struct{}{}
	r.stop(t)
	want := [][]uint64{{1}, {2, 3, 4, 5}, {6, 7}}
	if !slices.EqualFunc(r.commits, want, slices.Equal[[]uint64]) {
		t.Fatalf("commits %v, want %v", r.commits, want)
	}
	if !slices.Equal(r.released, numbers(1, 7)) {
		t.Fatalf("released %v", r.released)
	}
}

// signalling tells the test that an event was decided.
type signalling struct {
	*adder
	decided chan int
}

func (s signalling) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	s.adder.Handle(now, ev, step)
	s.decided <- s.handled
}

// An answer without rows still waits for the rows it was decided upon.
func TestAnswerWithoutRowsWaits(t *testing.T) {
	store := journal.NewMemStore()
	decided := make(chan int, 100)
	var r *running
	r = run(t, store, func(c *journal.Config) { c.Machine = signalling{c.Machine.(*adder), decided} })
	<-r.Ready()
	g := newGate(store, r.note)
	r.submit(t, journal.Event{Command: add{account: 1, amount: 1}})
	<-g.entered
	r.submit(t, journal.Event{})
	<-decided
	<-decided
	if got := r.releasedSoFar(); len(got) != 0 {
		t.Fatalf("released early: %v", got)
	}
	g.leave <- struct{}{}
	r.stop(t)
	if want := []string{"1", "at 1"}; !slices.Equal(r.released, want) {
		t.Fatalf("released %q, want %q", r.released, want)
	}
}

func TestWriterFailStop(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			store := journal.NewMemStore()
			broken := errors.New("the disk is gone")
			decided := make(chan int, 100)
			entered, leave := make(chan struct{}), make(chan struct{})
			var r *running
			r = run(t, store, func(c *journal.Config) { c.Machine = signalling{c.Machine.(*adder), decided} })
			<-r.Ready()
			if _, err := r.Ask(t.Context(), journal.Event{Command: add{account: 1, amount: 1}}); err != nil {
				t.Fatal(err)
			}
			<-decided
			fail := func([]journal.Row) error {
				entered <- struct{}{}
				<-leave
				return broken
			}
			if when == "before" {
				store.SetFaults(journal.Faults{BeforeCommit: fail})
			} else {
				store.SetFaults(journal.Faults{AfterCommit: fail})
			}
			var mu sync.Mutex
			var replies []any
			reply := func(v any) { mu.Lock(); defer mu.Unlock(); replies = append(replies, v) }
			r.submit(t, journal.Event{Command: add{account: 1, amount: 1}, Reply: reply})
			<-entered
			r.submit(t, journal.Event{Command: add{account: 1, amount: 1}, Reply: reply}) // the speculative batch
			<-decided
			<-decided
			close(leave)
			if err := <-r.result; !errors.Is(err, broken) {
				t.Fatalf("Run: %v", err)
			}
			var stopped *journal.StoppedError
			if err := r.Submit(t.Context(), journal.Event{}); !errors.As(err, &stopped) || !errors.Is(err, broken) {
				t.Fatalf("later Submit: %v", err)
			}
			if _, err := r.Ask(t.Context(), journal.Event{}); !errors.As(err, &stopped) {
				t.Fatalf("later Ask: %v", err)
			}
			if !slices.Equal(r.released, numbers(1, 1)) {
				t.Fatalf("released %v", r.released)
			}
			if len(replies) != 2 {
				t.Fatalf("replies %v", replies)
			}
			for _, v := range replies {
				if err, ok := v.(*journal.StoppedError); !ok || !errors.Is(err, broken) {
					t.Errorf("reply %v", v)
				}
			}
			want := map[string]int{"before": 1, "after": 2}[when]
			if rows := journaltest.Load(t, store, 0); len(rows) != want {
				t.Fatalf("%d rows are durable, want %d", len(rows), want)
			}
		})
	}
}

func TestWriterIsFencedOff(t *testing.T) {
	store := journal.NewMemStore()
	first := run(t, store, nil)
	if seq, err := first.Ask(t.Context(), journal.Event{Command: add{account: 1, amount: 5}}); err != nil || seq != uint64(1) {
		t.Fatal(seq, err)
	}
	second := run(t, store.Reopen(), nil)
	<-second.Ready()
	if _, err := first.Ask(t.Context(), journal.Event{Command: add{account: 1, amount: 5}}); !errors.Is(err, journal.ErrStaleEpoch) {
		t.Fatalf("Ask of the old writer: %v", err)
	}
	if err := <-first.result; !errors.Is(err, journal.ErrStaleEpoch) {
		t.Fatalf("Run of the old writer: %v", err)
	}
	if seq, err := second.Ask(t.Context(), journal.Event{Command: add{account: 1, amount: 5}}); err != nil || seq != uint64(2) {
		t.Fatal(seq, err)
	}
	second.stop(t)
	if second.machine.sums[1] != 10 || second.released[0] != "rearmed at 1" {
		t.Fatalf("sums %v, released %v", second.machine.sums, second.released)
	}
}

func TestDuplicateKeyStops(t *testing.T) {
	r := run(t, journal.NewMemStore(), nil)
	ev := journal.Event{Command: add{key: "K", account: 1, amount: 5}}
	if _, err := r.Ask(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	// A machine that lets a key through twice is wrong; the store is the backstop.
	var dup *journal.DuplicateKeyError
	if _, err := r.Ask(t.Context(), ev); !errors.As(err, &dup) || dup.Key != "K" {
		t.Fatalf("second use of a key: %v", err)
	}
}

func TestStartFailureStopsWriter(t *testing.T) {
	store := journal.NewMemStore()
	store.Close()
	w := journal.NewWriter(journal.Config{Machine: newAdder(), Store: store, Clock: clock.NewManual(start)})
	if err := w.Submit(t.Context(), journal.Event{}); err != nil { // waits for Run
		t.Fatal(err)
	}
	if err := w.Run(t.Context()); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("Run: %v", err)
	}
	if err := w.Submit(t.Context(), journal.Event{}); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("Submit: %v", err)
	}
	select {
	case <-w.Ready():
		t.Error("ready without a store")
	default:
	}
	defer func() {
		if recover() == nil {
			t.Error("second Run did not panic")
		}
	}()
	_ = w.Run(t.Context())
}

func TestSubmitWaitsForRoom(t *testing.T) {
	w := journal.NewWriter(journal.Config{Machine: newAdder(), Store: journal.NewMemStore(), Clock: clock.NewManual(start), Queue: 1})
	if err := w.Submit(t.Context(), journal.Event{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Submit(ctx, journal.Event{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Submit to a full queue: %v", err)
	}
	if _, err := w.Ask(ctx, journal.Event{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Ask of a full queue: %v", err)
	}
}

// Many callers and a stop in the middle: every caller hears something, and what it was told is what is durable.
func TestManyCallersAndStop(t *testing.T) {
	r := run(t, journal.NewMemStore(), func(c *journal.Config) { c.Queue, c.MaxBatch = 8, 16 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	answered := map[uint64]bool{}
	half := make(chan struct{})
	for g := range 16 {
		wg.Go(func() {
			for i := range 100 {
				if g == 0 && i == 50 {
					close(half)
				}
				seq, err := r.Ask(context.Background(), journal.Event{Command: add{account: ledger.Account(g + 1), amount: 1, silent: i%10 == 0}})
				if err != nil {
					var stopped *journal.StoppedError
					if !errors.As(err, &stopped) || stopped.Cause != nil {
						t.Errorf("Ask: %v", err)
					}
					return
				}
				if seq == nil {
					continue
				}
				mu.Lock()
				if answered[seq.(uint64)] {
					t.Errorf("row %d answered twice", seq)
				}
				answered[seq.(uint64)] = true
				mu.Unlock()
			}
		})
	}
	<-half
	r.stop(t)
	wg.Wait()
	rows := journaltest.Load(t, r.store, 0)
	for seq := range answered {
		if seq > uint64(len(rows)) {
			t.Fatalf("row %d was answered, %d are durable", seq, len(rows))
		}
	}
	var sum int64
	for _, v := range r.machine.sums {
		sum += v
	}
	if sum != int64(len(rows)) {
		t.Fatalf("%d in memory, %d durable", sum, len(rows))
	}
}

// BenchmarkWriter is the loop without a disk.
func BenchmarkWriter(b *testing.B) {
	store := nullStore{journal.NewMemStore()}
	w := journal.NewWriter(journal.Config{Machine: newAdder(), Store: store, Clock: clock.Real()})
	ctx, cancel := context.WithCancel(b.Context())
	go w.Run(ctx)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var command any = add{account: 1, amount: 1, silent: true}
		for pb.Next() {
			if err := w.Submit(ctx, journal.Event{From: "bench", Command: command}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	cancel()
	<-w.Done()
}

// nullStore forgets rows.
type nullStore struct{ *journal.MemStore }

func (nullStore) Commit(context.Context, uint64, []journal.Row, *journal.Back) error { return nil }
