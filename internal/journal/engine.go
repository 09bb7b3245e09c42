package journal

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"tapnet/internal/clock"
)

// Defaults of Config.
const (
	// DefaultMaxBatch is where larger batches stop paying: the costs of a commit are small beside those of so many rows, and while a larger one is synced too
	// few events would be left to decide.
	DefaultMaxBatch = 256
	// DefaultQueue bounds what waits for the writer to a few batches; beyond that Submit waits and the peers feel it.
	DefaultQueue = 8 * DefaultMaxBatch
)

// Config is what a Writer or Stepper is made of. Machine, Store and Clock are required.
type Config struct {
	Machine Machine
	Store   Store
	Clock   clock.Clock
	// Release does the effects of one batch, in order, after its commit. The slice is used again after the call. Effects that
	// only carry a Reply are not in it. It must not block and must not call Submit: hand over to queues.
	Release func([]Effect)
	// Durable, unless nil, is told of the rows of a batch after its commit and before its effects leave. The slice is used again after the call. It must not
	// block.
	Durable func([]Row)
	// MaxBatch is the number of events or rows after which a batch takes no more events.
	MaxBatch int
	// Queue is the number of events that may wait.
	Queue int
	// Owner names this process in the store's epoch, for people.
	Owner string
}

// batch is what some events, handled in order, made. Its memory is used again.
type batch struct {
	events  int
	rows    []Row
	effects []Effect
	replies []reply
	waiting []func(any) // the Reply of every event that has one
	back    Back
}

type reply struct {
	to    func(any)
	value any
}

func (b *batch) full(limit int) bool { return b.events >= limit || len(b.rows) >= limit }

// reset empties the batch and lets go of what it referred to.
func (b *batch) reset() {
	clear(b.rows)
	clear(b.effects)
	clear(b.replies)
	clear(b.waiting)
	b.events, b.rows, b.effects = 0, b.rows[:0], b.effects[:0]
	b.replies, b.waiting = b.replies[:0], b.waiting[:0]
	b.back.Reset()
}

// reject tells the local callers of the batch that the writer stopped.
func (b *batch) reject(err error) {
	for _, to := range b.waiting {
		to(err)
	}
}

// engine is what Writer and Stepper share: start, handle, commit, release. handle and finish touch different
// fields, so one goroutine may handle while another finishes.
type engine struct {
	cfg     Config
	keeper  Keeper // the machine, when it is one
	epoch   uint64
	chain   Chain // of the last row handled, ahead of the store
	step    Step
	durable atomic.Uint64 // last row known to be on disk
}

func newEngine(cfg Config) engine {
	if cfg.Machine == nil || cfg.Store == nil || cfg.Clock == nil {
		panic("journal: Config without Machine, Store or Clock")
	}
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = DefaultMaxBatch
	}
	if cfg.Queue <= 0 {
		cfg.Queue = DefaultQueue
	}
	if cfg.Release == nil {
		cfg.Release = func([]Effect) {}
	}
	keeper, _ := cfg.Machine.(Keeper)
	return engine{cfg: cfg, keeper: keeper}
}

// start takes the journal over, rebuilds the machine and returns what it wants done. The claim comes first: after it
// no other writer adds rows that the replay would miss.
func (e *engine) start(ctx context.Context) ([]Effect, error) {
	epoch, err := e.cfg.Store.Claim(ctx, e.cfg.Owner)
	if err != nil {
		return nil, fmt.Errorf("journal: claim: %w", err)
	}
	e.epoch = epoch
	last, hash, err := e.cfg.Store.Last(ctx)
	if err != nil {
		return nil, fmt.Errorf("journal: last row: %w", err)
	}
	after, err := e.open(ctx)
	if err != nil {
		return nil, err
	}
	if after == last {
		e.chain.Seq, e.chain.Hash = last, hash
	}
	err = e.cfg.Store.Load(ctx, after, func(r *Row) error {
		if err := e.cfg.Machine.Replay(r); err != nil {
			return fmt.Errorf("journal: replay row %d: %w", r.Seq, err)
		}
		e.chain.Seq, e.chain.Hash = r.Seq, r.Chain
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal: load: %w", err)
	}
	if last != e.chain.Seq || hash != e.chain.Hash {
		return nil, &ChainError{Seq: last, Reason: fmt.Sprintf("load ended at row %d", e.chain.Seq)}
	}
	e.durable.Store(last)
	return e.cfg.Machine.Rearm(e.cfg.Clock.Now()), nil
}

// open lets a keeper see its archive and returns the row after which replay begins.
func (e *engine) open(ctx context.Context) (after uint64, err error) {
	if e.keeper == nil {
		return 0, nil
	}
	if after, err = e.cfg.Store.Watermark(ctx); err != nil {
		return 0, fmt.Errorf("journal: watermark: %w", err)
	}
	if err := e.keeper.Open(ctx, e.cfg.Store, after); err != nil {
		return 0, fmt.Errorf("journal: open at row %d: %w", after, err)
	}
	return after, nil
}

// complete ends a batch: nothing is added to it any more. It runs where events are handled, so that what is written back is the state after
// exactly the rows of this batch and those before it.
func (e *engine) complete(b *batch) {
	if e.keeper != nil && len(b.rows) > 0 {
		e.keeper.WriteBack(&b.back, len(b.rows), e.durable.Load())
	}
}

// settle writes back what waits, when everything decided is durable and nothing more will be.
func (e *engine) settle(ctx context.Context) error {
	if e.keeper == nil {
		return nil
	}
	for back := new(Back); ; back.Reset() {
		e.keeper.WriteBack(back, 0, e.durable.Load())
		if len(back.Cells) == 0 {
			return nil
		}
		if err := e.cfg.Store.Commit(ctx, e.epoch, nil, back); err != nil {
			return fmt.Errorf("journal: write back %d cells: %w", len(back.Cells), err)
		}
	}
}

// handle lets the machine decide one event and puts what it made into b.
func (e *engine) handle(ev *Event, b *batch) {
	now := e.cfg.Clock.Now().UTC().Truncate(time.Microsecond)
	e.step.reset(e.chain.Seq + 1)
	e.cfg.Machine.Handle(now, ev, &e.step)
	b.events++
	for i := range e.step.Rows {
		r := &e.step.Rows[i]
		if want := e.chain.Seq + 1; r.Seq != 0 && r.Seq != want {
			panic(fmt.Sprintf("journal: machine numbered row %d as %d", want, r.Seq))
		}
		if r.At.IsZero() {
			r.At = now
		} else {
			r.At = r.At.UTC().Truncate(time.Microsecond)
		}
		e.chain.Seal(r)
		b.rows = append(b.rows, *r)
	}
	replied := false
	for i := range e.step.Effects {
		eff := &e.step.Effects[i]
		if eff.Reply != nil {
			if ev.Reply != nil {
				b.replies = append(b.replies, reply{ev.Reply, eff.Reply})
				replied = true
			}
			if eff.onlyReply() {
				continue
			}
		}
		b.effects = append(b.effects, *eff)
	}
	if ev.Reply != nil {
		b.waiting = append(b.waiting, ev.Reply)
		if !replied {
			b.replies = append(b.replies, reply{ev.Reply, nil})
		}
	}
	clear(e.step.Rows)
	clear(e.step.Effects)
}

func (e *Effect) onlyReply() bool {
	return e.To == "" && e.Timer == "" && e.Message == nil && e.Finding == nil && e.Trace == nil
}

// commit makes the batch durable. A batch without rows has nothing to make durable, but takes its turn all the same: its
// answers may show what an earlier batch decided.
func (e *engine) commit(ctx context.Context, b *batch) error {
	if len(b.rows) == 0 {
		return nil
	}
	last := b.rows[len(b.rows)-1].Seq
	if err := e.cfg.Store.Commit(ctx, e.epoch, b.rows, &b.back); err != nil {
		return fmt.Errorf("journal: commit rows %d to %d: %w", b.rows[0].Seq, last, err)
	}
	e.durable.Store(last)
	if e.cfg.Durable != nil {
		e.cfg.Durable(b.rows)
	}
	return nil
}

// release lets the effects of a durable batch out.
func (e *engine) release(b *batch) {
	if len(b.effects) > 0 {
		e.cfg.Release(b.effects)
	}
	for i := range b.replies {
		b.replies[i].to(b.replies[i].value)
	}
}
