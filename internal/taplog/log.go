package taplog

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"tapnet/gate"
)

// Defaults and limits of Options.
const (
	DefaultSegment = 1 << 20         // a thousand taps: what is rewritten at a start
	DefaultMax     = 256 << 20       // a quarter of a million taps: a busy gate's month without a line
	DefaultKeep    = 6 * time.Hour   // of what is uploaded, for what the gate remembers after a start
	minSegment     = 4 << 10         // a few records
	maxSegment     = 64 << 20        // what a device can hold in memory
	minSegments    = 2               // the one that grows, and one that waits
	maxClockStep   = 400 * time.Hour // a record that much later than now was made with a wrong clock, and does not hold its segment
)

// Options are one log.
type Options struct {
	Device string
	Key    gate.ChainKey
	// Segment and Max are in bytes, Keep is how long what is uploaded stays. Zero: the defaults.
	Segment int64
	Max     int64
	Keep    time.Duration
	// After is how far the back office says it has records of this device; a log that ends before it was lost, and goes on behind it.
	After uint64
	// Salvage goes on with a log that is damaged, behind all numbers that may have been used. Without it Start refuses.
	Salvage bool
}

// Errors.
var (
	// ErrFull says that the bound is reached and nothing is uploaded: nothing was written.
	ErrFull = errors.New("tap log is full")
	// ErrFailed says that a write or sync failed: nothing is certain until the next Start.
	ErrFailed = errors.New("tap log has failed")
	// ErrReceipt is wrapped when an authentic receipt says what cannot be.
	ErrReceipt = errors.New("receipt does not fit the tap log")
)

// Log is the files of one device's log. Append belongs to the gate's goroutine; the others may be called from one other.
type Log struct {
	disk    Disk
	options Options

	mu       sync.Mutex // held for memory, and by Append while it writes
	segments []segment  // the last one grows
	file     File       // of the last one
	state    state
	sent     place // what the back office has
	failed   error

	stateMu sync.Mutex // held while the file of state is replaced
}

var _ gate.Log = (*Log)(nil)

var _ gate.Uploads = (*Log)(nil)

// place is the end of a record.
type place struct {
	segment uint64 // the number before its first record: its name
	offset  int64  // in the segment's records
	head    gate.Head
}

// Append makes a record durable.
func (l *Log) Append(record []byte) error {
	r, link, err := gate.ParseRecord(record)
	if err != nil {
		return err
	}
	if err := l.reserve(r.Sequence); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	if err := l.room(int64(len(record)), r.At); err != nil {
		return err
	}
	last := &l.segments[len(l.segments)-1]
	if r.Sequence != last.to.Sequence+1 {
		return fmt.Errorf("record %d after %d: %w", r.Sequence, last.to.Sequence, gate.ErrRecord)
	}
	if _, err := l.file.Write(record); err != nil {
		return l.fail("write a record", err)
	}
	if err := l.file.Sync(); err != nil {
		return l.fail("sync a record", err)
	}
	last.size += int64(len(record))
	last.to, last.last = gate.Head{Sequence: r.Sequence, Link: link}, r.At
	return nil
}

// Full reports whether the next record may find no room, because what fills the log waits for a receipt.
func (l *Log) Full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := int64(gate.MaxRecord)
	for i := range l.segments {
		if !l.removable(i) {
			total += l.segments[i].size + segmentHeader
		}
	}
	return total > l.options.Max
}

// fail is the end of this log until it is started again: after a failed sync nobody knows what is on the disk.
func (l *Log) fail(what string, err error) error {
	l.failed = fmt.Errorf("%s: %w: %w", what, ErrFailed, err)
	return l.failed
}

// room begins a new segment when the last one is long enough, and removes old ones when the bound is near.
func (l *Log) room(n int64, now time.Time) error {
	total := n
	for i := range l.segments {
		total += l.segments[i].size + segmentHeader
	}
	for total > l.options.Max && l.removable(0) {
		total -= l.segments[0].size + segmentHeader
		if err := l.removeOldest(); err != nil {
			return err
		}
	}
	if total > l.options.Max {
		return ErrFull
	}
	last := &l.segments[len(l.segments)-1]
	if last.size+n <= l.options.Segment || last.size == 0 {
		return nil
	}
	return l.roll(last.to, now)
}

// roll begins a new segment behind a head.
func (l *Log) roll(from gate.Head, now time.Time) error {
	f, err := replace(l.disk, segmentName(from.Sequence), encodeHeader(from), true)
	if err != nil {
		return l.fail("begin a segment", err)
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return l.fail("close a segment", errors.Join(err, f.Close()))
		}
	}
	l.file = f
	l.segments = append(l.segments, segment{from: from, to: from, last: now})
	return nil
}

// removable reports whether a segment is uploaded whole, and does not grow.
func (l *Log) removable(i int) bool {
	return i < len(l.segments)-1 && l.segments[i].to.Sequence <= l.sent.head.Sequence
}

func (l *Log) removeOldest() error {
	if err := l.disk.Remove(l.segments[0].name()); err != nil {
		return l.fail("remove a segment", err)
	}
	l.segments = l.segments[1:]
	return nil
}

// reserve makes sure that a number stands in the state as possibly used before it is used.
func (l *Log) reserve(sequence uint64) error {
	l.mu.Lock()
	enough := sequence <= l.state.reserved
	l.mu.Unlock()
	if enough {
		return nil
	}
	return l.replaceState(func(s *state) { s.reserved = max(s.reserved, sequence+reserveBlock) })
}

// replaceState writes the state with a change, and believes it when it is durable.
func (l *Log) replaceState(change func(*state)) error {
	l.stateMu.Lock()
	defer l.stateMu.Unlock()
	l.mu.Lock()
	next, failed := l.state, l.failed
	l.mu.Unlock()
	if failed != nil {
		return failed
	}
	change(&next)
	err := Replace(l.disk, stateName, next.encode())
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		return l.fail("write the state", err)
	}
	l.state = next
	return nil
}

// Close closes the file. Nothing is lost without it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = ErrFailed
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
