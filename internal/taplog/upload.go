package taplog

import (
	"fmt"
	"time"

	"tapnet/gate"
)

// Backlog says how much waits.
func (l *Log) Backlog() (b gate.Backlog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.segments {
		s := &l.segments[i]
		if s.to.Sequence <= l.sent.head.Sequence {
			continue
		}
		records, bytes := s.to.Sequence-s.from.Sequence, s.size
		if s.from.Sequence == l.sent.segment && l.sent.head.Sequence > s.from.Sequence {
			records, bytes = s.to.Sequence-l.sent.head.Sequence, s.size-l.sent.offset
		}
		if b.Records == 0 {
			b.Since = s.last
		}
		b.Records, b.Bytes = b.Records+records, b.Bytes+bytes
	}
	return b
}

// Receipt is the last that was acknowledged.
func (l *Log) Receipt() gate.Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.receipt
}

// Chunk is the next piece to upload, false when everything is. Asked again without an acknowledgement it begins at the same record.
func (l *Log) Chunk() (gate.Chunk, bool, error) {
	s, from, offset, ok := l.next()
	if !ok {
		return gate.Chunk{}, false, nil
	}
	b, err := l.disk.Read(s.name())
	if err != nil {
		return gate.Chunk{}, false, fmt.Errorf("read a segment for upload: %w", err)
	}
	if int64(len(b)) < segmentHeader+s.size {
		return gate.Chunk{}, false, fmt.Errorf("segment %s is too short: %w", s.name(), gate.ErrBroken)
	}
	c, err := gate.NewChunk(l.options.Key, l.options.Device, from, b[segmentHeader+offset:segmentHeader+s.size])
	return c, err == nil, err
}

// next is a copy of the segment with the first record that waits, and where that stands.
func (l *Log) next() (s segment, from gate.Head, offset int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.to.Sequence <= l.sent.head.Sequence || s.size == 0 {
			continue
		}
		if s.from.Sequence == l.sent.segment && l.sent.offset > 0 {
			return s, l.sent.head, l.sent.offset, true
		}
		return s, s.from, 0, true
	}
	return s, from, 0, false
}

// Acknowledge takes a receipt as it came from the back office: what it has is durable there, and may go here. A receipt for less than an earlier one
// says that the back office lost something: what is still here is uploaded again.
func (l *Log) Acknowledge(sealed []byte) error {
	receipt, err := gate.ParseReceipt(l.options.Key, l.options.Device, sealed)
	if err != nil {
		return err
	}
	at, err := l.check(receipt)
	if err != nil {
		return err
	}
	if l.Receipt() != receipt {
		if err := l.replaceState(func(s *state) { s.sealed, s.receipt = sealed, receipt }); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = at
	return nil
}

// check says what is wrong with a receipt: it is for a record that was never written, or for another one with that number.
func (l *Log) check(receipt gate.Receipt) (place, error) {
	l.mu.Lock()
	segments := append([]segment(nil), l.segments...)
	l.mu.Unlock()
	oldest, head := segments[0].from, segments[len(segments)-1].to
	switch {
	case receipt.Sequence > head.Sequence:
		return place{}, fmt.Errorf("number %d, the last here is %d: %w", receipt.Sequence, head.Sequence, gate.ErrLost)
	case receipt.Sequence < oldest.Sequence: // what it lacks is gone from here as well
		return place{segment: oldest.Sequence, head: gate.Head{Sequence: receipt.Sequence}}, nil
	}
	at := l.locate(receipt)
	if at.head.Sequence != receipt.Sequence || at.head.Link != receipt.Link && !begins(at.head) {
		return place{}, fmt.Errorf("number %d is another record here: %w: %w", receipt.Sequence, ErrReceipt, gate.ErrLost)
	}
	return at, nil
}

// locate finds the place behind a record; the place of nothing when it is not there.
func (l *Log) locate(receipt gate.Receipt) place {
	l.mu.Lock()
	segments := append([]segment(nil), l.segments...)
	l.mu.Unlock()
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		switch {
		case receipt.Sequence > s.to.Sequence:
			return place{head: gate.Head{Sequence: receipt.Sequence, Link: receipt.Link}} // between two chains
		case receipt.Sequence == s.to.Sequence:
			return place{segment: s.from.Sequence, offset: s.size, head: s.to}
		case receipt.Sequence > s.from.Sequence:
			return l.inside(s, receipt.Sequence)
		case receipt.Sequence == s.from.Sequence && i == 0:
			return place{segment: s.from.Sequence, head: s.from}
		}
	}
	return place{head: gate.Head{Sequence: receipt.Sequence, Link: receipt.Link}}
}

// inside walks one segment.
func (l *Log) inside(s segment, sequence uint64) place {
	b, err := l.disk.Read(s.name())
	if err != nil || int64(len(b)) < segmentHeader+s.size {
		return place{}
	}
	b = b[segmentHeader : segmentHeader+s.size]
	for offset := 0; offset < len(b); {
		n := gate.RecordLength(b[offset:])
		if n == 0 || offset+n > len(b) {
			break
		}
		r, link, err := gate.ParseRecord(b[offset : offset+n])
		if err != nil {
			break
		}
		offset += n
		if r.Sequence == sequence {
			return place{segment: s.from.Sequence, offset: int64(offset), head: gate.Head{Sequence: sequence, Link: link}}
		}
	}
	return place{}
}

// Maintain removes what is uploaded and old, and reserves numbers ahead of time. The uploader calls it now and then.
func (l *Log) Maintain(now time.Time) error {
	l.mu.Lock()
	head, reserved := l.segments[len(l.segments)-1].to, l.state.reserved
	l.mu.Unlock()
	if head.Sequence+reserveFew > reserved {
		if err := l.reserve(head.Sequence + reserveFew); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	for l.removable(0) && l.old(l.segments[0].last, now) {
		if err := l.removeOldest(); err != nil {
			return err
		}
	}
	return nil
}

// old reports whether an instant is long gone, or so far ahead that the clock was wrong.
func (l *Log) old(at, now time.Time) bool {
	age := now.Sub(at)
	return age > l.options.Keep || age < -maxClockStep
}
