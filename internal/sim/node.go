package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	world   *World
	name    string // peer name: institution or terminal
	kind    string // of verify
	dialect func(peer string) unionpay.Dialect
	make    func() (role, error)
	told    func(finding any) // what the role tells its local callers, may be nil
	role    role
	store   *journal.MemStore
	stepper *journal.Stepper
	timers  *journal.Timers
	up      bool
	life    int // counts starts
}

var errCrash = errors.New("sim: the process stops")

// start begins a life of the process on what its journal holds.
func (n *node) start() error {
	r, err := n.make()
	if err != nil {
		return err
	}
	n.life++
	life := n.life
	n.role, n.up = r, true
	n.timers = journal.NewTimers(n.world.clock, func(name string) {
		if n.up && n.life == life {
			n.handle(journal.Event{Timer: name})
		}
	})
	n.store = n.store.Reopen()
	n.stepper, _, err = journal.NewStepper(context.Background(), journal.Config{
		Machine: r, Store: n.store, Clock: n.world.clock, Release: n.release, Owner: fmt.Sprintf("%s life %d", n.name, life),
	})
	if err != nil {
		return fmt.Errorf("%s: start: %w", n.name, err)
	}
	n.store.SetFaults(journal.Faults{BeforeCommit: n.maybeCrash, AfterCommit: n.maybeCrash})
	return nil
}

// maybeCrash is asked around commits. A till does not crash there: between a card's own approval and the till's row lies real money, and what a merchant does
// about it is not the network's to solve; tills crash between events instead.
func (n *node) maybeCrash([]journal.Row) error {
	if n.kind != verify.Till && n.world.chance(n.world.options.Rates.Crash) {
		return errCrash
	}
	return nil
}

// crash ends this life; the next begins a while later. Messages that arrive meanwhile are lost.
func (n *node) crash() {
	n.up = false
	n.timers.Stop()
	n.world.tally.Crashes++
	n.world.clock.AfterFunc(time.Duration(n.world.random.Int64N(int64(restartMax))), func() {
		if err := n.start(); err != nil {
			n.world.fail("%w", err)
		}
	})
}

// handle gives the role an event. A failed commit is the end of this life.
func (n *node) handle(ev journal.Event) {
	n.role.Prepare(&ev)
	if _, err := n.stepper.Step(context.Background(), ev); err != nil {
		if !errors.Is(err, errCrash) {
			n.world.fail("%s: %w", n.name, err)
		}
		n.crash()
	}
}

func (n *node) release(effects []journal.Effect) {
	for i := range effects {
		e := effects[i]
		if n.timers.Apply(&e) {
			continue
		}
		n.role.Finish(&e)
		if n.told != nil {
			n.told(e.Finding)
		}
		if e.Message != nil {
			n.send(e.To, e.Message)
		}
	}
}

// send writes a message and hands it to the link.
func (n *node) send(to string, m unionpay.Message) {
	w := n.world
	wire, err := unionpay.Encode(n.dialect(to), nil, m, nil)
	if err != nil {
		w.fail("%s: a message to %s cannot be written: %w", n.name, to, err)
		return
	}
	w.tally.Messages++
	for _, delay := range w.fate(Passage{From: n.name, To: to, Message: m, Wire: wire}).Delays {
		w.clock.AfterFunc(delay, func() { w.arrive(n.name, to, wire) })
	}
}

func (w *World) arrive(from, to string, wire []byte) {
	n := w.byName[to]
	switch {
	case n == nil:
		w.fail("%s sends to %s, who is nobody", from, to)
		return
	case !n.up:
		w.tally.Unread++
		return
	}
	m, err := unionpay.Decode(n.dialect(from), wire)
	if err != nil {
		w.fail("%s: a message from %s cannot be read: %w", to, from, err)
		return
	}
	n.handle(journal.Event{From: from, Message: m})
}

// ask lets the role carry out a local command and returns its reply.
func (n *node) ask(command any) (reply any, err error) {
	if !n.up {
		return nil, errInterrupted
	}
	n.handle(journal.Event{Command: command, Reply: func(v any) { reply = v }})
	if stopped, ok := reply.(error); ok {
		return nil, stopped
	}
	return reply, nil
}

// rebuild makes the role again from its rows.
func (n *node) rebuild() (role, error) {
	again, err := n.make()
	if err != nil {
		return nil, err
	}
	err = n.store.Reopen().Load(context.Background(), 0, again.Replay)
	return again, err
}

// book is a role's books as a digest, zero for a role without any.
func (n *node) book(r role) [32]byte {
	if keeper, ok := r.(interface{ Book() *ledger.Book }); ok {
		return keeper.Book().Digest()
	}
	return [32]byte{}
}

func (n *node) outstanding() int {
	if sender, ok := n.role.(interface{ Outstanding() int }); ok {
		return sender.Outstanding()
	}
	return 0
}

// Snapshot is what verify checks: every journal, the books, and what the chips say.
func (w *World) Snapshot(quiet bool) (verify.Snapshot, error) {
	s := verify.Snapshot{Calendar: calendar(), Quiet: quiet, At: w.Now()}
	for _, n := range w.nodes {
		m := verify.Member{Role: n.kind, Name: n.name}
		err := n.store.Reopen().Load(context.Background(), 0, func(r *journal.Row) error {
			m.Rows = append(m.Rows, *r)
			return nil
		})
		if err != nil {
			return s, fmt.Errorf("%s: %w", n.name, err)
		}
		keeper := n.role
		if !n.up {
			// A process that is down shows the books it will have: its last life may have decided what never became durable.
			if keeper, err = n.rebuild(); err != nil {
				return s, fmt.Errorf("%s: %w", n.name, err)
			}
		}
		if k, ok := keeper.(interface{ Book() *ledger.Book }); ok {
			m.Balances = map[ledger.Account]ledger.Balance{}
			for line := range k.Book().Lines() {
				m.Balances[line.Account] = line.Balance
			}
		}
		s.Members = append(s.Members, m)
	}
	for _, h := range w.holders {
		application := h.chip.State().Applications[0]
		s.Cards = append(s.Cards, verify.CardState{
			Issuer: h.personal.Record.Issuer, Card: h.personal.Record.Card, ATC: application.ATC, PurseMinor: application.Purses[0].Balance,
		})
	}
	return s, nil
}
