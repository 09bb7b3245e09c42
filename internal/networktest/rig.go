// Package networktest holds what the tests of the payment roles share: cards that give real cryptograms, security modules with known keys, and a rig that
// runs one role's core with its journal, clock and timers.
//
// It is for tests only. Every message that enters or leaves the rig is written and read again as bytes of its dialect, so a role is tested on what really
// arrives. Its keys are public: nothing it makes protects anything.
package networktest

import (
	"testing"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Start is when the rig's clock begins: noon in Shanghai on a day on which every test certificate is valid.
var Start = time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)

// Shanghai is the calendar of the tests: business dates change at local midnight.
var Shanghai = clock.Calendar{Zone: clock.Shanghai()}

// Role is what a rig runs.
type Role interface {
	journal.Machine
	Prepare(*journal.Event)
	Finish(*journal.Effect)
}

// Sent is a message that left the role.
type Sent struct {
	To      string
	Message unionpay.Message // as the receiver reads it
	Bytes   []byte           // without MAC
}

// Rig runs a role single-threaded.
type Rig struct {
	testing.TB
	Role    Role
	Clock   *clock.Manual
	Store   *journal.MemStore
	Dialect func(peer string) unionpay.Dialect
	// Out collects what left since the last call of Take.
	Out []Sent
	// Findings are the effects for local callers.
	Findings []any
	timers   *journal.Timers
	stepper  *journal.Stepper
}

// SwitchDialect is the dialect of every peer of the switch and of issuers.
func SwitchDialect(string) unionpay.Dialect { return unionpay.Switch }

// NewRig starts the role on the store: rows are replayed and what the role rearms is done.
func NewRig(t testing.TB, role Role, store *journal.MemStore, manual *clock.Manual, dialect func(string) unionpay.Dialect) *Rig {
	t.Helper()
	r := &Rig{TB: t, Role: role, Clock: manual, Store: store, Dialect: dialect}
	r.timers = journal.NewTimers(manual, func(name string) { r.step(journal.Event{Timer: name}) })
	config := journal.Config{Machine: role, Store: store, Clock: manual, Release: r.release}
	var err error
	if r.stepper, _, err = journal.NewStepper(t.Context(), config); err != nil {
		t.Fatalf("start: %v", err)
	}
	return r
}

// Restart gives a rig that runs another instance of the role on the same rows and clock, as after a crash. The old one's timers are stopped.
func (r *Rig) Restart(role Role) *Rig {
	r.Helper()
	r.timers.Stop()
	return NewRig(r.TB, role, r.Store.Reopen(), r.Clock, r.Dialect)
}

func (r *Rig) step(ev journal.Event) {
	r.Helper()
	r.Role.Prepare(&ev)
	if _, err := r.stepper.Step(r.Context(), ev); err != nil {
		r.Fatalf("step: %v", err)
	}
}

func (r *Rig) release(effects []journal.Effect) {
	for i := range effects {
		e := effects[i]
		if r.timers.Apply(&e) {
			continue
		}
		r.Role.Finish(&e)
		if e.Message == nil {
			if e.Finding != nil {
				r.Findings = append(r.Findings, e.Finding)
			}
			continue
		}
		wire, err := unionpay.Encode(r.Dialect(e.To), nil, e.Message, nil)
		if err != nil {
			r.Fatalf("a message to %s cannot be sent: %v", e.To, err)
		}
		r.Out = append(r.Out, Sent{To: e.To, Message: r.read(e.To, wire), Bytes: wire})
	}
}

func (r *Rig) read(peer string, wire []byte) unionpay.Message {
	m, err := unionpay.Decode(r.Dialect(peer), wire)
	if err != nil {
		r.Fatalf("a message with %s cannot be read: %v", peer, err)
	}
	return m
}

// Deliver lets the role handle a message and returns what it sent.
func (r *Rig) Deliver(from string, m unionpay.Message) []Sent {
	r.Helper()
	wire, err := unionpay.Encode(r.Dialect(from), nil, m, nil)
	if err != nil {
		r.Fatalf("a message from %s cannot be written: %v", from, err)
	}
	r.Out = nil
	r.step(journal.Event{From: from, Message: r.read(from, wire)})
	return r.Out
}

// Answer delivers m and expects exactly one message back to the sender.
func (r *Rig) Answer(from string, m unionpay.Message) Sent {
	r.Helper()
	out := r.Deliver(from, m)
	if len(out) != 1 || out[0].To != from {
		r.Fatalf("%d messages left, want one answer to %s", len(out), from)
	}
	return out[0]
}

// Command lets the role handle a local command and returns the reply.
func (r *Rig) Command(command any) (reply any) {
	r.Helper()
	r.Out = nil
	r.step(journal.Event{Command: command, Reply: func(v any) { reply = v }})
	return reply
}

// Advance moves the clock and returns what the role sent on the way.
func (r *Rig) Advance(d time.Duration) []Sent {
	r.Helper()
	r.Out = nil
	r.Clock.Advance(d)
	return r.Out
}

// Rows reads the journal.
func (r *Rig) Rows() []journal.Row {
	r.Helper()
	var rows []journal.Row
	err := r.Store.Reopen().Load(r.Context(), 0, func(row *journal.Row) error {
		rows = append(rows, *row)
		return nil
	})
	if err != nil {
		r.Fatalf("load: %v", err)
	}
	return rows
}

// LastRow is the last row of the journal.
func (r *Rig) LastRow() journal.Row {
	r.Helper()
	rows := r.Rows()
	if len(rows) == 0 {
		r.Fatal("the journal is empty")
	}
	return rows[len(rows)-1]
}

// Prefix is a store with the first n rows of the journal: what a crash after row n leaves.
func (r *Rig) Prefix(n int) *journal.MemStore {
	r.Helper()
	store := journal.NewMemStore()
	epoch, err := store.Claim(r.Context(), "prefix")
	if err == nil && n > 0 {
		err = store.Commit(r.Context(), epoch, r.Rows()[:n], nil)
	}
	if err != nil {
		r.Fatalf("prefix of %d rows: %v", n, err)
	}
	return store
}
