// Package journal runs a role's deterministic state machine over a durable log of what it decided.
//
// It follows no standard. It promises that events are handled one at a time and in order; that nothing a machine
// decides leaves before the rows of that decision are durable, and leaves in the order it was decided; that a failed
// commit stops the writer for good; that a machine is rebuilt by replaying its rows; that only the holder of the
// highest epoch writes; and that rows form a hash chain, so that a changed or missing row is noticed when the
// journal is read. It does not know what the events mean, does not send anything (Release does), and does not
// keep anything secret: rows hold no PAN, PIN or key because roles put none in.
package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapnet/iso8583/unionpay"
)

// Event is something that happened to a role: a message, a timer that fell due, a local command, or what a parallel
// check found.
type Event struct {
	From    string // name of the peer or part it came from
	Message unionpay.Message
	Timer   string
	Command any
	Finding any
	// Reply, when not nil, is given every Effect.Reply of this event after the commit, or a *StoppedError when the writer
	// stops before that. It is called on the writer's goroutine and must not block.
	Reply func(any)
}

// Effect is something a role wants done, once its decision is durable.
type Effect struct {
	To      string // name of the peer or part it goes to
	Message unionpay.Message
	Timer   string
	After   time.Duration // above zero sets Timer, below zero cancels it
	Reply   any           // goes to the event's Reply, which the writer calls itself
	Finding any
	Trace   any
}

// Step is what a machine makes of one event. It is empty when Handle is called and its memory is used again after.
type Step struct {
	Rows    []Row
	Effects []Effect
	next    uint64
}

// NextSeq is the number the next row of this step will have, so that a row can refer to itself or to an earlier one.
func (s *Step) NextSeq() uint64 { return s.next + uint64(len(s.Rows)) }

// Append adds a row to the step. The writer numbers it and, where At is zero, dates it with the instant of the event.
// It returns the number.
func (s *Step) Append(r Row) uint64 {
	r.Seq = s.NextSeq()
	s.Rows = append(s.Rows, r)
	return r.Seq
}

// Decide adds a row, dated now, and brings the machine's state to where it leaves it. A row that the state refuses is a bug: the decision must not have
// made it.
func (s *Step) Decide(now time.Time, r Row, apply func(*Row) error) {
	r.At = now.UTC().Truncate(time.Microsecond)
	r.Seq = s.Append(r)
	if err := apply(&r); err != nil {
		panic("journal: a decision does not apply to the state it was made from: " + err.Error())
	}
}

// Emit adds an effect to the step.
func (s *Step) Emit(e Effect) { s.Effects = append(s.Effects, e) }

// NewStep is an empty step for a test that calls a Machine directly. next is the number its first row will have.
func NewStep(next uint64) *Step { return &Step{next: next} }

// reset empties the step for an event.
func (s *Step) reset(next uint64) {
	s.Rows, s.Effects, s.next = s.Rows[:0], s.Effects[:0], next
}

// Machine is a role's pure core. The writer calls it from one goroutine at a time.
type Machine interface {
	// Handle decides one event: it changes the state in memory and puts rows and effects into step. It must depend on
	// nothing but the state, now and ev. The state is ahead of the store until the commit; if that fails it is thrown
	// away. Memory that a row or effect refers to must not be changed afterwards.
	Handle(now time.Time, ev *Event, step *Step)
	// Replay brings the state to where the row left it. It is called for every row in order before the first Handle and
	// has no effects. The row is only valid during the call.
	Replay(r *Row) error
	// Rearm is called once after the last Replay: the timers that should be running and what should be sent again.
	Rearm(now time.Time) []Effect
}

// Store keeps rows, and cells that follow from them. Everything but Commit and Claim may be used while another goroutine commits.
type Store interface {
	Archive
	// Load calls fn for every row above after, in order, and stops at the first error. It checks the chain and returns a
	// *ChainError where it breaks. The row is only valid during the call; its slices and strings may be kept.
	Load(ctx context.Context, after uint64, fn func(*Row) error) error
	// Last is the number and chain of the last row, zero when there is none.
	Last(ctx context.Context) (seq uint64, chain [32]byte, err error)
	// Commit makes all the rows durable, with what is to be written back beside them unless that is nil, or none and returns an error: ErrStaleEpoch,
	// ErrSequence, a *DuplicateKeyError, or what the medium said. Rows are numbered on from the last one and sealed. After any other error than
	// these three it is not known whether the rows are durable. There may be no rows, only cells. A cancelled context does not interrupt a commit that has begun.
	Commit(ctx context.Context, epoch uint64, rows []Row, back *Back) error
	// Claim makes the caller the only one who may commit and returns its epoch, above all earlier ones.
	Claim(ctx context.Context, owner string) (epoch uint64, err error)
	Close() error
}

// ErrStaleEpoch is returned by Commit when somebody else has claimed the journal since.
var ErrStaleEpoch = errors.New("journal: another writer has taken over")

// ErrSequence is wrapped by Commit's error when rows do not continue from the last one.
var ErrSequence = errors.New("journal: rows out of sequence")

// ErrClosed is returned by a store that was closed.
var ErrClosed = errors.New("journal: store is closed")

// DuplicateKeyError is returned by Commit for a key that another row has.
type DuplicateKeyError struct{ Key string }

func (e *DuplicateKeyError) Error() string {
	return fmt.Sprintf("journal: key %q is used already", e.Key)
}

// ChainError is returned by Load where the stored rows are not the ones that were committed.
type ChainError struct {
	Seq    uint64 // the first row that does not fit
	Reason string
}

func (e *ChainError) Error() string {
	return fmt.Sprintf("journal: chain broken at row %d: %s", e.Seq, e.Reason)
}

// StoppedError is returned by Submit and Ask, and given to an event's Reply, once the writer has stopped. Unless Cause
// is nil the decision may or may not be durable.
type StoppedError struct{ Cause error }

func (e *StoppedError) Error() string {
	if e.Cause == nil {
		return "journal: writer has stopped"
	}
	return "journal: writer has stopped: " + e.Cause.Error()
}

// Unwrap is the cause.
func (e *StoppedError) Unwrap() error { return e.Cause }

// Chain follows a journal row by row and checks numbers and hashes. The zero value starts before the first row.
type Chain struct {
	Seq  uint64
	Hash [32]byte
	buf  []byte
}

// Check takes the next row, or returns a *ChainError.
func (c *Chain) Check(r *Row) error {
	if r.Seq != c.Seq+1 {
		return &ChainError{Seq: c.Seq + 1, Reason: fmt.Sprintf("found row %d", r.Seq)}
	}
	if err := r.Check(); err != nil {
		return &ChainError{Seq: r.Seq, Reason: err.Error()}
	}
	found := r.Chain
	c.buf = r.Seal(c.Hash, c.buf)
	computed := r.Chain
	r.Chain = found
	if computed != found {
		return &ChainError{Seq: r.Seq, Reason: "hash does not match"}
	}
	c.Seq, c.Hash = r.Seq, found
	return nil
}

// Seal numbers and hashes the next row.
func (c *Chain) Seal(r *Row) {
	r.Seq = c.Seq + 1
	c.buf = r.Seal(c.Hash, c.buf)
	c.Seq, c.Hash = r.Seq, r.Chain
}
