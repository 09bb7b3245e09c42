package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/internal/link"
	"tapnet/iso8583/unionpay"
)

// Role is what every role's core offers its shell.
type Role interface {
	journal.Machine
	// Prepare does what costs time and needs no state, before the event is handled. It may run in parallel.
	Prepare(*journal.Event)
	// Finish does the same for an effect, after the commit.
	Finish(*journal.Effect)
	// Describe says what a row of the role means.
	Describe(*journal.Row) glossary.Term
}

// node runs one role.
type node struct {
	name   string // role and institution: the journal's name
	shown  string // what a trace calls it
	role   Role
	store  journal.Store
	writer *journal.Writer
	timers *journal.Timers
	log    *slog.Logger
	// send hands a message to the connection with a peer.
	send func(peer string, m unionpay.Message) error
	// apart: the role has no line now, so that nothing of it is under way.
	apart atomic.Bool

	effects effectQueue
	broke   func(error)
	running context.CancelFunc
	done    chan struct{}
	err     error
}

// inspect is the command that runs a function on the writer's goroutine, where the state may be read.
type inspect struct{ look func() }

// inspectable lets a role be inspected without knowing of it.
type inspectable struct{ Role }

// Handle runs an inspection itself and gives everything else to the role.
func (i inspectable) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	if c, ok := ev.Command.(inspect); ok {
		c.look()
		return
	}
	i.Role.Handle(now, ev, step)
}

// Open implements journal.Keeper for a role that is one; any other keeps everything in memory.
func (i inspectable) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	if keeper, ok := i.Role.(journal.Keeper); ok {
		return keeper.Open(ctx, archive, watermark)
	}
	return nil
}

// WriteBack implements journal.Keeper.
func (i inspectable) WriteBack(back *journal.Back, rows int, durable uint64) {
	if keeper, ok := i.Role.(journal.Keeper); ok {
		keeper.WriteBack(back, rows, durable)
	}
}

type nodeConfig struct {
	name  string
	shown string
	role  Role
	store journal.Store
	clock clock.Clock
	log   *slog.Logger
	told  func(n *node, rows []journal.Row)
	// broke is told why a role has stopped for good: its journal could not be written.
	broke func(error)
}

func newNode(c nodeConfig) *node {
	n := &node{name: c.name, shown: c.shown, role: c.role, broke: c.broke, log: c.log.With("node", c.name), done: make(chan struct{})}
	n.store = c.store
	n.effects.ready = sync.NewCond(&n.effects.mu)
	n.timers = journal.NewTimers(c.clock, func(name string) { n.submit(journal.Event{Timer: name}) })
	n.writer = journal.NewWriter(journal.Config{
		Machine: inspectable{c.role}, Store: n.store, Clock: c.clock, Owner: c.name, Release: n.effects.put,
		Durable: func(rows []journal.Row) { c.told(n, rows) },
	})
	return n
}

// start replays the journal and begins to work. It returns once the role is ready.
func (n *node) start(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.running = cancel
	go n.release()
	go func() {
		if n.err = n.writer.Run(running); n.err != nil {
			n.log.Error("role stopped: its journal cannot be written", "error", n.err)
			n.broke(fmt.Errorf("%s stopped: %w", n.name, n.err))
		}
		close(n.done)
	}()
	select {
	case <-n.writer.Ready():
		return nil
	case <-n.done:
		return fmt.Errorf("start %s: %w", n.name, n.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop finishes what is queued and closes the journal.
func (n *node) stop() error {
	n.timers.Stop()
	n.running()
	<-n.done
	n.effects.close()
	return errors.Join(n.err, n.store.Close())
}

// submit gives the role an event from outside. A role that has stopped takes no more; whoever waits for an answer times out, as with any broken peer.
func (n *node) submit(ev journal.Event) {
	n.role.Prepare(&ev)
	if err := n.writer.Submit(context.Background(), ev); err != nil {
		n.log.Warn("event not taken", "error", err)
	}
}

// receive is a link's OnMessage.
func (n *node) receive(s *link.Session, m unionpay.Message, _ []byte) {
	n.submit(journal.Event{From: s.Peer(), Message: m})
}

// reached is a link's OnUp: what the role sent while nobody was there goes out again.
func (n *node) reached(s *link.Session) {
	n.submit(journal.Event{Command: delivery.Up{Peer: s.Peer()}})
}

// ask gives the role a local command and waits for its reply, which comes after the commit.
func (n *node) ask(ctx context.Context, command any) (any, error) {
	ev := journal.Event{Command: command}
	n.role.Prepare(&ev)
	reply, err := n.writer.Ask(ctx, ev)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", n.name, err)
	}
	if err, refused := reply.(error); refused {
		return nil, fmt.Errorf("ask %s: %w", n.name, err)
	}
	return reply, nil
}

// look runs a function where the role's state may be read.
func (n *node) look(ctx context.Context, f func()) error {
	_, err := n.ask(ctx, inspect{look: f})
	return err
}

// release carries out effects, in order, after their commit.
func (n *node) release() {
	for {
		effects, ok := n.effects.take()
		if !ok {
			return
		}
		for i := range effects {
			n.carryOut(&effects[i])
		}
	}
}

func (n *node) carryOut(effect *journal.Effect) {
	n.role.Finish(effect)
	if n.timers.Apply(effect) || effect.Message == nil {
		return
	}
	if err := n.send(effect.To, effect.Message); err != nil {
		// The role's own timers repeat or reverse what must not be lost.
		n.log.Info("message not sent", "peer", effect.To, "type", string(effect.Message.Type()), "error", err)
	}
}

// effectQueue takes effects from the writer without ever making it wait. It is bounded by the writer's own queue: every effect comes from an event taken.
type effectQueue struct {
	mu     sync.Mutex
	ready  *sync.Cond
	items  []journal.Effect
	taken  []journal.Effect // what take gave last; its memory comes next
	closed bool
}

func (q *effectQueue) put(effects []journal.Effect) {
	q.mu.Lock()
	q.items = append(q.items, effects...)
	q.mu.Unlock()
	q.ready.Signal()
}

// take waits for effects and gives all there are. They are valid until the next call. It is false once the queue is closed and empty.
func (q *effectQueue) take() ([]journal.Effect, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.taken) // let go of what they referred to
	for len(q.items) == 0 && !q.closed {
		q.ready.Wait()
	}
	q.items, q.taken = q.taken[:0], q.items
	return q.taken, len(q.taken) > 0
}

func (q *effectQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Broadcast()
}
