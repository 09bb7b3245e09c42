package denylist

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// MaxOverlay bounds the hashes that deltas have changed since the base: ten days of a large operator, 50 MB. A gate that gets there
// needs a new base.
const MaxOverlay = 1 << 20

// What can be wrong with a list that is signed and whole, but not the one that follows.
var (
	ErrRollback = errors.New("deny list is older than the one in use")
	ErrGap      = errors.New("a delta is missing in between")
	ErrFork     = errors.New("deny list does not continue the one in use")
	ErrEpoch    = errors.New("deny list is of another key epoch")
	ErrFull     = errors.New("too many changes since the base")
)

// Position is how far a gate has come. It is to be kept over a loss of power: it is what makes a step back visible afterwards.
type Position struct {
	Sequence uint64
	Digest   Digest // of the delta with that number; zero for number 0
	Epoch    Epoch
}

// Snapshot is the list at one moment. It never changes and may be asked by many goroutines.
type Snapshot struct {
	base     *Base
	overlay  overlay
	position Position
	info     Info // of the newest part
}

// Lookup finds the entry that stops a hash on a day. It allocates nothing.
func (s *Snapshot) Lookup(hash uint64, on Day) (Entry, bool) {
	e, listed := s.entry(hash)
	if !listed || !e.Holds(on) {
		return Entry{}, false
	}
	return e, true
}

func (s *Snapshot) entry(hash uint64) (Entry, bool) {
	if c, changed := s.overlay.find(hash); changed {
		return c.entry, c.removal == 0
	}
	return s.base.Lookup(hash)
}

// Position is how far the list has come.
func (s *Snapshot) Position() Position { return s.position }

// Epoch is the key under which the hashes were made.
func (s *Snapshot) Epoch() Epoch { return s.position.Epoch }

// Info is that of the newest delta, or of the base when none came after it.
func (s *Snapshot) Info() Info { return s.info }

// Age is how long ago the newest part was made: never negative.
func (s *Snapshot) Age(now time.Time) time.Duration { return max(0, now.Sub(s.info.Created)) }

// Overdue reports whether the publisher promised a newer list before now.
func (s *Snapshot) Overdue(now time.Time) bool { return now.After(s.info.NotAfter) }

// Changes is the number of hashes that deltas have changed since the base.
func (s *Snapshot) Changes() int { return len(s.overlay.changes) }

// Entries gives everything listed on a day, in no order: what the next base is built of.
func (s *Snapshot) Entries(on Day) []Entry {
	entries := make([]Entry, 0, s.base.Len()+len(s.overlay.changes))
	s.base.All(func(e Entry) bool {
		if _, changed := s.overlay.find(e.hash); !changed && e.Holds(on) {
			entries = append(entries, e)
		}
		return true
	})
	for _, c := range s.overlay.changes {
		if c.removal == 0 && c.entry.Holds(on) {
			entries = append(entries, c.entry)
		}
	}
	return entries
}

// List is a deny list in use. Any number of goroutines may read snapshots while one or more apply what is new.
type List struct {
	current atomic.Pointer[Snapshot]
	apply   sync.Mutex // held while a snapshot is replaced; readers never take it
}

// NewList starts with a base. kept is the position the gate had when it was last running, zero when it never was: a base that is older
// is refused, so that a loss of power does not open the way for an old list.
func NewList(b *Base, kept Position) (*List, error) {
	if err := b.follows(kept); err != nil {
		return nil, fmt.Errorf("start the deny list: %w", err)
	}
	l := &List{}
	l.current.Store(b.snapshot())
	return l, nil
}

// Restart is NewList for a gate that has kept its base and the deltas after it: the base may be older than kept as long as the deltas
// in the log lead there. On an error nothing is to be used.
func Restart(b *Base, log io.Reader, trust Trust, kept Position) (*List, error) {
	l := &List{}
	l.current.Store(b.snapshot())
	if _, err := l.ApplyLog(log, trust); err != nil {
		return nil, fmt.Errorf("restart the deny list: %w", err)
	}
	if err := l.Snapshot().position.reached(kept); err != nil {
		return nil, fmt.Errorf("restart the deny list: %w", err)
	}
	return l, nil
}

func (b *Base) position() Position {
	return Position{Sequence: b.info.Sequence, Digest: b.chain, Epoch: b.info.Epoch}
}

func (b *Base) snapshot() *Snapshot { return &Snapshot{base: b, position: b.position(), info: b.info} }

func (b *Base) follows(kept Position) error { return b.position().reached(kept) }

// reached reports why p is behind kept or beside it. A later position of an earlier epoch is behind: epochs only go up.
func (p Position) reached(kept Position) error {
	switch {
	case p.Sequence < kept.Sequence || p.Epoch < kept.Epoch:
		return fmt.Errorf("number %d of epoch %d, kept was %d of %d: %w", p.Sequence, p.Epoch, kept.Sequence, kept.Epoch, ErrRollback)
	case p.Sequence == kept.Sequence && p.Digest != kept.Digest:
		return fmt.Errorf("number %d: %w", p.Sequence, ErrFork)
	}
	return nil
}

// Snapshot is the list now.
func (l *List) Snapshot() *Snapshot { return l.current.Load() }

// Replace takes a new base, of the same number or a later one. Deltas that it contains are forgotten. An image that is no longer in
// use may be unmapped when the last Snapshot taken before is gone.
func (l *List) Replace(b *Base) error {
	l.apply.Lock()
	defer l.apply.Unlock()
	if err := b.follows(l.Snapshot().position); err != nil {
		return fmt.Errorf("replace the base: %w", err)
	}
	l.current.Store(b.snapshot())
	return nil
}

// Apply takes the next delta. The one that was applied last is taken again without effect, since networks repeat.
func (l *List) Apply(d *Delta) error {
	l.apply.Lock()
	defer l.apply.Unlock()
	s := l.Snapshot()
	if d.info.Sequence == s.position.Sequence && d.digest == s.position.Digest {
		return nil
	}
	if err := s.precedes(d); err != nil {
		return fmt.Errorf("apply delta %d after number %d: %w", d.info.Sequence, s.position.Sequence, err)
	}
	overlay := s.overlay.with(d.changes)
	if len(overlay.changes) > MaxOverlay {
		return fmt.Errorf("apply delta %d: %w", d.info.Sequence, ErrFull)
	}
	l.current.Store(&Snapshot{
		base: s.base, overlay: overlay, info: d.info,
		position: Position{Sequence: d.info.Sequence, Digest: d.digest, Epoch: d.info.Epoch},
	})
	return nil
}

func (s *Snapshot) precedes(d *Delta) error {
	switch at := s.position; {
	case d.info.Sequence == at.Sequence:
		return ErrFork
	case d.info.Sequence < at.Sequence:
		return ErrRollback
	case d.info.Sequence > at.Sequence+1:
		return ErrGap
	case d.info.Epoch != at.Epoch:
		return ErrEpoch
	case d.previous != at.Digest:
		return ErrFork
	}
	return nil
}

// ApplyLog applies the deltas of a log, one behind the other, and counts those that were new. Deltas that the list contains already are
// passed over, if they are signed. It stops at the first that is refused; what came before stays applied.
func (l *List) ApplyLog(log io.Reader, trust Trust) (applied int, err error) {
	for {
		d, err := ReadDelta(log, trust)
		if err == io.EOF { //nolint:errorlint // ReadDelta promises io.EOF itself
			return applied, nil
		}
		if err != nil {
			return applied, err
		}
		at := l.Snapshot().position.Sequence
		if d.info.Sequence < at {
			continue
		}
		if err := l.Apply(d); err != nil {
			return applied, err
		}
		if d.info.Sequence > at {
			applied++
		}
	}
}
