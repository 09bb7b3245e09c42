package gate

import (
	"container/list"
	"time"

	"tapnet/gate/denylist"
)

// sighting is what a gate remembers of one credential. It follows from the records alone, so that Replay finds it again.
type sighting struct {
	id        denylist.ID
	hasATC    bool
	atc       uint16      // the highest that an authenticated tap showed
	open      uint64      // number of the last tap that opened and was not taken back; 0: none
	at        time.Time   // of that tap
	direction Direction   // of that tap
	trusted   time.Time   // of the last ride on trust that is not approved; zero: none
	ride      uint64      // number of that ride
	void      uint64      // number of the last tap that was taken back
	taps      []time.Time // that opened, the latest last, at most the velocity limit
}

// memory holds the credentials seen last.
type memory struct {
	limit int
	byID  map[denylist.ID]*list.Element
	order *list.List // of *sighting, the latest in front
}

func newMemory(limit int) memory {
	return memory{limit: limit, byID: make(map[denylist.ID]*list.Element), order: list.New()}
}

// find gives what is known; nil for a stranger.
func (m *memory) find(id denylist.ID) *sighting {
	if e, ok := m.byID[id]; ok {
		return e.Value.(*sighting)
	}
	return nil
}

// full reports whether remembering id means forgetting another.
func (m *memory) full(id denylist.ID) bool { return m.find(id) == nil && m.order.Len() >= m.limit }

// touch gives what is known of id and makes it the latest; it may forget the one not seen for longest.
func (m *memory) touch(id denylist.ID) *sighting {
	if e, ok := m.byID[id]; ok {
		m.order.MoveToFront(e)
		return e.Value.(*sighting)
	}
	if m.order.Len() >= m.limit {
		oldest := m.order.Back()
		delete(m.byID, oldest.Value.(*sighting).id)
		m.order.Remove(oldest)
	}
	s := &sighting{id: id}
	m.byID[id] = m.order.PushFront(s)
	return s
}

// past is what a gate remembers of one card under all keys that it holds, the zero value of a stranger. A card that was seen before the key changed has
// two sightings; together they say what one would.
type past struct {
	hasATC    bool
	atc       uint16
	open      uint64
	at        time.Time
	direction Direction
	trusted   time.Time
	ride      uint64
	void      uint64
	taps      int // that opened within the velocity window
}

// add takes what is known under one more key.
func (p *past) add(s *sighting, now time.Time, window time.Duration) {
	if s == nil {
		return
	}
	if s.hasATC && (!p.hasATC || s.atc > p.atc) {
		p.hasATC, p.atc = true, s.atc
	}
	if max(s.open, s.void) > max(p.open, p.void) { // the last tap counts, and none when it was taken back
		p.open, p.at, p.direction = s.open, s.at, s.direction
	}
	if s.ride > p.ride {
		p.ride, p.trusted = s.ride, s.trusted
	}
	p.void = max(p.void, s.void)
	p.taps += s.count(now, window)
}

// settle closes the ride on trust, if it was taken back or its number is not above approved.
func (p *past) settle(approved uint64) {
	if p.ride <= max(p.void, approved) {
		p.trusted = time.Time{}
	}
}

// within reports whether two instants are less than d apart. A clock that was set back a long way does not hold a rider up.
func within(a, b time.Time, d time.Duration) bool { return !a.IsZero() && a.Sub(b).Abs() < d }

// learn takes a record in. Only taps whose card proved to be genuine move the counter: nobody shall lock a rider out with a number.
func (m *memory) learn(r *Record, velocityLimit int) {
	switch r.Kind {
	case TapRecord:
		m.learnTap(r, velocityLimit)
	case NotPassed:
		if s := m.find(r.ID); s != nil && s.open == r.Subject {
			s.open, s.at, s.direction, s.trusted, s.void = 0, time.Time{}, 0, time.Time{}, r.Subject
			if n := len(s.taps); n > 0 {
				s.taps = s.taps[:n-1]
			}
		}
	}
}

func (m *memory) learnTap(r *Record, velocityLimit int) {
	genuine := !r.Flags.Has(FlagNoODA)
	switch r.Reason {
	case OK:
	case DoubleTap, PassBack, TooOften:
		if !genuine {
			return
		}
	default:
		return
	}
	s := m.touch(r.ID)
	if genuine && (!s.hasATC || r.ATC > s.atc) {
		s.hasATC, s.atc = true, r.ATC
	}
	if r.Reason != OK || r.Direction == Inspect {
		return
	}
	s.open, s.at, s.direction = r.Sequence, r.At, r.Direction
	if !genuine {
		s.trusted, s.ride = r.At, r.Sequence
	}
	if len(s.taps) >= velocityLimit {
		copy(s.taps, s.taps[1:])
		s.taps = s.taps[:velocityLimit-1]
	}
	s.taps = append(s.taps, r.At)
}

// count is the number of opened taps within a window before now.
func (s *sighting) count(now time.Time, window time.Duration) (n int) {
	for _, at := range s.taps {
		if within(at, now, window) {
			n++
		}
	}
	return n
}
