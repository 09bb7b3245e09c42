package journal

import (
	"context"
	"runtime"
	"sync/atomic"
)

// Writer runs a machine over a store with two goroutines: one decides, the other commits and releases. While a batch
// is being committed the next one is already being decided. It takes what is queued or about to be, and never waits on an
// idle machine; batches grow by themselves while the disk is busy.
type Writer struct {
	engine
	queue    chan Event
	ready    chan struct{} // closed after replay
	stopping chan struct{} // closed when no more events are taken
	done     chan struct{} // closed when Run is over; err is set before
	err      error
	running  atomic.Bool
	stats    counters
}

type counters struct{ events, rows, batches, largest atomic.Uint64 }

// Stats counts since the start. Largest is the number of rows in the largest batch.
type Stats struct{ Events, Rows, Batches, Largest uint64 }

// NewWriter makes a writer. Events may be submitted before Run; they wait.
func NewWriter(cfg Config) *Writer {
	w := &Writer{engine: newEngine(cfg), ready: make(chan struct{}), stopping: make(chan struct{}), done: make(chan struct{})}
	w.queue = make(chan Event, w.cfg.Queue)
	return w
}

// Ready is closed when replay is over and events are being handled.
func (w *Writer) Ready() <-chan struct{} { return w.ready }

// Done is closed when Run is over.
func (w *Writer) Done() <-chan struct{} { return w.done }

// Stats may be called at any time.
func (w *Writer) Stats() Stats {
	return Stats{Events: w.stats.events.Load(), Rows: w.stats.rows.Load(), Batches: w.stats.batches.Load(),
		Largest: w.stats.largest.Load()}
}

// Submit queues an event and waits while the queue is full. It returns the context's error or a *StoppedError; then the
// event was not handled, or, if the writer stopped at that very moment, may not have been.
func (w *Writer) Submit(ctx context.Context, ev Event) error {
	select {
	case <-w.stopping:
		return w.stopped()
	default:
	}
	select {
	case w.queue <- ev: // there is room nearly always, and a select of one is quicker
	default:
		select {
		case w.queue <- ev:
		case <-w.stopping:
			return w.stopped()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	// The writer empties the queue after closing done. An event that came later than that is taken out here.
	select {
	case <-w.done:
		w.rejectQueued()
		return w.stopped()
	default:
		return nil
	}
}

// Ask submits an event and waits for its first reply: nil when the machine gave none, in which case the decision is
// durable.
func (w *Writer) Ask(ctx context.Context, ev Event) (any, error) {
	answer := make(chan any, 1)
	ev.Reply = func(v any) {
		select {
		case answer <- v:
		default: // a second reply
		}
	}
	if err := w.Submit(ctx, ev); err != nil {
		return nil, err
	}
	select {
	case v := <-answer:
		if err, ok := v.(*StoppedError); ok {
			return nil, err
		}
		return v, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stopped is the error for callers that come too late. Err is only known once Run is over.
func (w *Writer) stopped() error {
	select {
	case <-w.done:
		return &StoppedError{Cause: w.err}
	default:
		return &StoppedError{}
	}
}

func (w *Writer) rejectQueued() {
	for {
		select {
		case ev := <-w.queue:
			if ev.Reply != nil {
				ev.Reply(w.stopped())
			}
		default:
			return
		}
	}
}

// Run claims the journal, replays it, and handles events until ctx ends or a commit fails. When ctx ends it takes no
// more events, finishes those that are queued, and returns nil. A failed commit is returned; nothing of that batch or
// of later ones is released. Run is called once.
func (w *Writer) Run(ctx context.Context) error {
	if !w.running.CompareAndSwap(false, true) {
		panic("journal: Run called twice")
	}
	effects, err := w.start(ctx)
	if err == nil {
		if len(effects) > 0 {
			w.cfg.Release(effects)
		}
		close(w.ready)
		err = w.loop(ctx)
	} else {
		close(w.stopping)
	}
	w.err = err
	close(w.done)
	w.rejectQueued()
	return err
}

// committer is the second goroutine. Batches come in through full, go back empty through free, which thereby says that it is idle.
type committer struct {
	full   chan *batch
	free   chan *batch
	failed chan error
}

// loop decides. There are two batches, one on each side: a batch is handed over only when the committer has given the other one back, and until then
// it takes further events.
func (w *Writer) loop(ctx context.Context) error {
	c := committer{full: make(chan *batch, 1), free: make(chan *batch, 1), failed: make(chan error, 1)}
	c.free <- new(batch)
	// A commit that has begun is finished even when ctx ends; see Store.Commit.
	go w.commitAll(context.WithoutCancel(ctx), c)

	current := new(batch)
	done, draining := ctx.Done(), false
	for {
		w.fill(current)
		var free <-chan *batch
		queue := w.queue
		if current.events > 0 {
			free = c.free
		} else if draining {
			break
		}
		if current.full(w.cfg.MaxBatch) {
			queue = nil
		}
		select {
		case next := <-free:
			w.gather(current)
			w.complete(current)
			c.full <- current
			current = next
		case ev := <-queue:
			w.handle(&ev, current)
		case <-done:
			close(w.stopping)
			done, draining = nil, true
		case err := <-c.failed:
			if !draining {
				close(w.stopping)
			}
			current.reject(&StoppedError{Cause: err})
			return err
		}
	}
	close(c.full)
	if err := <-c.failed; err != nil {
		return err
	}
	return w.settle(context.WithoutCancel(ctx))
}

// fill takes what is queued, without waiting.
func (w *Writer) fill(b *batch) {
	for !b.full(w.cfg.MaxBatch) {
		select {
		case ev := <-w.queue:
			w.handle(&ev, b)
		default:
			return
		}
	}
}

// gatherRounds bounds how often a batch lets others run before it is committed.
const gatherRounds = 8

// gather lets those run who are about to submit, as long as that brings events. Each commit has costs of its own, so on a busy machine these are worth waiting
// for; on an idle one nobody wants to run, and no time passes.
func (w *Writer) gather(b *batch) {
	for range gatherRounds {
		before := b.events
		runtime.Gosched()
		if w.fill(b); b.events == before {
			return
		}
	}
}

// commitAll commits and releases batch after batch. It sends one value on failed: the error that stopped it, or nil
// when full was closed.
func (w *Writer) commitAll(ctx context.Context, c committer) {
	for b := range c.full {
		if err := w.commit(ctx, b); err != nil {
			b.reject(&StoppedError{Cause: err})
			c.failed <- err
			return
		}
		w.stats.add(b)
		w.release(b)
		b.reset()
		c.free <- b
	}
	c.failed <- nil
}

func (s *counters) add(b *batch) {
	s.events.Add(uint64(b.events))
	s.rows.Add(uint64(len(b.rows)))
	s.batches.Add(1)
	if n := uint64(len(b.rows)); n > s.largest.Load() {
		s.largest.Store(n)
	}
}
