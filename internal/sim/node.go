package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// role is what a node runs.
type role interface {
	journal.Machine
	Prepare(*journal.Event)
	Finish(*journal.Effect)
}

// node is one process: a role, its journal and its timers.
type node struct {
	world   *world
	name    string // peer name: institution or terminal
	kind    string // of verify
	dialect func(peer string) unionpay.Dialect
	make    func() (role, error)
	told    func(finding any) // what the role tells its local callers, may be nil
	began   func(role)        // called when a life begins, may be nil
	died    func()            // called when a life ends, may be nil

	disk    *journal.MemStore
	role    role
	stepper *journal.Stepper
	timers  *journal.Timers
	clock   *skewed
	inbox   []journal.Event // messages that wait for their batch
	up      bool
	life    int    // counts starts
	durable bool   // the last write was
	ghost   *ghost // the process before this one, when it is still about

	rows    []journal.Row                // of the disk, read so far
	answers map[string][sha256.Size]byte // first answers, by receiver and key
}

// ghost is a process that does not know that another one has taken over its journal.
type ghost struct {
	role    role
	stepper *journal.Stepper
}

var errCrash = errors.New("sim: the process stops")

// start begins a life of the process on what its journal holds.
func (n *node) start() error {
	r, err := n.newRole()
	if err != nil {
		return err
	}
	n.life++
	n.role, n.up, n.stepper = r, true, nil
	life := n.life
	n.clock = n.world.newClock()
	n.timers = journal.NewTimers(n.clock, func(name string) {
		if n.up && n.life == life {
			n.handle(journal.Event{Timer: name})
		}
	})
	stepper, _, err := journal.NewStepper(context.Background(), journal.Config{
		Machine: r, Store: n.openStore(life), Clock: n.clock, Release: func(effects []journal.Effect) { n.release(r, life, effects) },
		Owner: fmt.Sprintf("%s life %d", n.name, life),
	})
	if err != nil {
		return fmt.Errorf("%s: start: %w", n.name, err)
	}
	n.stepper = stepper
	n.world.checkResumed(n)
	if n.began != nil && n.up {
		n.began(r)
	}
	return nil
}

func (n *node) newRole() (role, error) {
	r, err := n.make()
	if err == nil && n.world.hooks.role != nil {
		r = n.world.hooks.role(n.kind, n.name, r)
	}
	return r, err
}

// openStore is a handle on the disk for one life, with the moments at which that life may end.
func (n *node) openStore(life int) journal.Store {
	handle := n.disk.Reopen()
	fault := func(durable bool) func([]journal.Row) error {
		return func([]journal.Row) error {
			if n.life != life {
				return nil // a ghost: the fence is what must stop it
			}
			if !durable {
				n.world.counts.Commits++
			}
			n.durable = durable
			if n.mayStop() {
				return errCrash
			}
			return nil
		}
	}
	handle.SetFaults(journal.Faults{BeforeCommit: fault(false), AfterCommit: fault(true)})
	var store journal.Store = handle
	if wrap := n.world.hooks.store; wrap != nil {
		store = wrap(n.kind, n.name, handle)
	}
	if n.kind == verify.Issuer {
		return counting{store, &n.world.counts}
	}
	return store
}

// mayStop draws whether the process stops at this moment.
func (n *node) mayStop() bool {
	w := n.world
	if w.building {
		return false
	}
	w.moments++
	return w.moments == w.hooks.crashAt || w.chance(w.faults.Crash)
}

// crash ends this life; the next begins a while later. Messages that arrive meanwhile are lost.
func (n *node) crash() {
	if !n.up {
		return
	}
	w, old := n.world, &ghost{n.role, n.stepper}
	n.up, n.inbox = false, nil
	n.timers.Stop()
	w.counts.Crashes++
	if n.died != nil {
		n.died()
	}
	w.clock.AfterFunc(w.upTo(restartMax), func() {
		w.counts.Restarts++
		if err := n.start(); err != nil {
			w.broken(err)
			return
		}
		if n.ghost = nil; old.stepper != nil && w.chance(w.faults.Zombie) {
			n.ghost = old
		}
	})
}

// haunt gives the next message to the process before this one as well, which was slow and not dead. Whatever it decides must not become durable.
func (n *node) haunt(ev journal.Event) {
	g := n.ghost
	n.ghost = nil
	n.world.counts.Zombies++
	before, _, _ := n.disk.Last(context.Background())
	g.role.Prepare(&ev)
	_, err := g.stepper.Step(context.Background(), ev)
	var stopped *journal.StoppedError
	after, _, _ := n.disk.Last(context.Background())
	if after != before || err != nil && !errors.Is(err, journal.ErrStaleEpoch) && !errors.As(err, &stopped) {
		n.world.find(lawFence, "%s: a process whose journal was taken over wrote on: rows %d to %d, %v", "%s：日志被接管后旧进程仍写入：第%d行至第%d行，%v",
			n.name, before, after, err)
	}
}

// handle gives the role events, as one batch. A failed commit is the end of this life.
func (n *node) handle(events ...journal.Event) {
	if n.stepper == nil {
		return // it stopped while it started
	}
	for i := range events {
		if events[i].Message == nil {
			n.role.Prepare(&events[i])
		}
	}
	if _, err := n.stepper.StepAll(context.Background(), events...); err != nil {
		if !errors.Is(err, errCrash) {
			n.world.broken(fmt.Errorf("%s: %w", n.name, err))
		}
		n.crash()
	}
}

// receive takes a message from the wire: prepared at once, decided now or with what comes in the next moment.
func (n *node) receive(from string, m unionpay.Message) {
	w := n.world
	ev := journal.Event{From: from, Message: m}
	if n.ghost != nil {
		n.haunt(ev)
	}
	n.role.Prepare(&ev)
	n.inbox = append(n.inbox, ev)
	if w.chance(w.faults.Batch) {
		life := n.life
		w.clock.AfterFunc(w.upTo(batchMax), func() {
			if n.up && n.life == life {
				n.flush()
			}
		})
		return
	}
	n.flush()
}

func (n *node) flush() {
	if events := n.inbox; len(events) > 0 {
		n.inbox = nil
		n.handle(events...)
	}
}

// release does what a role wants done. The process may stop in the middle of it.
func (n *node) release(r role, life int, effects []journal.Effect) {
	for i := range effects {
		e := effects[i]
		r.Finish(&e)
		if n.life == life {
			if !n.up {
				return
			}
			if i > 0 && n.mayStop() {
				n.crash()
				return
			}
			if n.timers.Apply(&e) {
				continue
			}
			if n.told != nil {
				n.told(e.Finding)
			}
		}
		if e.Message != nil {
			n.send(e.To, e.Message)
		}
	}
}

// send writes a message and hands it to the link.
func (n *node) send(to string, m unionpay.Message) {
	w := n.world
	text, err := unionpay.Encode(n.dialect(to), nil, m, nil)
	if err != nil {
		w.find(lawMessages, "%s: a message to %s cannot be written: %v", "%s：发往%s的报文无法编码：%v", n.name, to, err)
		return
	}
	w.counts.Messages++
	w.note(n.name, text)
	n.checkAnswer(to, m, text)
	if n.kind == verify.Till {
		w.capture(m)
	}
	l := w.wireOf(n.name, to)
	l.sent++
	number := l.sent
	for _, delay := range w.fate(l, passage{from: n.name, to: to, message: m, wire: text}) {
		w.flying++
		w.clock.AfterFunc(delay, func() {
			w.flying--
			if number < l.latest {
				w.counts.Reordered++
			}
			l.latest = max(l.latest, number)
			w.arrive(n.name, to, text)
		})
	}
}

// checkAnswer holds every answer of somebody who has decided to the first one given to the same key.
func (n *node) checkAnswer(to string, m unionpay.Message, text []byte) {
	switch m.(type) {
	case *unionpay.FinancialResponse, *unionpay.ReversalResponse:
	default:
		return
	}
	if !delivery.Definite(unionpay.PaymentOf(m).Response) {
		return // somebody is in trouble; that is no answer to keep
	}
	key := unionpay.NetworkKey(m)
	if n.dialect(to) == unionpay.Terminal {
		key = unionpay.TerminalKey(m)
	}
	key = to + " " + key
	sum := sha256.Sum256(text)
	first, known := n.answers[key]
	if !known {
		n.answers[key] = sum
		return
	}
	if first != sum {
		p := unionpay.PaymentOf(m)
		n.world.find(lawFirst, "%s: %s of trace number %d to %s (answer %s) is not the first answer given", "%s：%s（流水号%d，发往%s，应答%s）与首次应答不同",
			n.name, m.Type(), p.STAN, to, p.Response)
	}
}

// arrive brings a message to its receiver.
func (w *world) arrive(from, to string, text []byte) {
	n := w.byName[to]
	switch {
	case n == nil:
		w.find(lawMessages, "%s sends to %s, who is nobody", "%s发往不存在的%s", from, to)
		return
	case !n.up:
		w.counts.Unread++
		return
	}
	m, err := unionpay.Decode(n.dialect(from), text)
	if err != nil {
		w.find(lawMessages, "%s: a message from %s cannot be read: %v", "%s：来自%s的报文无法解码：%v", to, from, err)
		return
	}
	n.receive(from, m)
}

// errInterrupted ends what somebody asked of a process that stopped.
var errInterrupted = errors.New("sim: the process stopped")

// ask lets the role carry out a local command and returns its reply.
func (n *node) ask(command any) (reply any, err error) {
	if !n.up {
		return nil, errInterrupted
	}
	life := n.life
	n.handle(journal.Event{Command: command, Reply: func(v any) { reply = v }})
	if !n.up || n.life != life {
		return nil, errInterrupted
	}
	if refused, ok := reply.(error); ok {
		return nil, refused
	}
	return reply, nil
}

// rebuild makes the role again from its rows.
func (n *node) rebuild() (role, error) {
	again, err := n.newRole()
	if err != nil {
		return nil, err
	}
	for i := range n.rows {
		if err := again.Replay(&n.rows[i]); err != nil {
			return nil, fmt.Errorf("row %d: %w", n.rows[i].Seq, err)
		}
	}
	return again, nil
}

// book is a role's books, nil for a role without any.
func book(r role) *ledger.Book {
	if keeper, ok := r.(interface{ Book() *ledger.Book }); ok {
		return keeper.Book()
	}
	return nil
}

func (n *node) outstanding() int {
	if sender, ok := n.role.(interface{ Outstanding() int }); ok {
		return sender.Outstanding()
	}
	return 0
}
