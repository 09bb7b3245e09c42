package metro

import (
	"bytes"
	"errors"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
)

// lane is one gate with its line.
type lane struct {
	city     *city
	name     string
	station  int
	gate     *gate.Gate
	log      *memoryLog
	courier  *gate.Courier
	down     time.Time // until when there is no line
	sequence uint64    // of the list that it has
	held     []denylist.EpochKey
	onNew    bool      // its list is of the new epoch
	now      time.Time // of the answer that is taken in
	tapped   time.Time // last
}

// memoryLog is a tap log in memory: what outlives a loss of power is internal/taplog's subject.
type memoryLog struct {
	key    gate.ChainKey
	device string
	from   gate.Head
	bytes  []byte
}

func (l *memoryLog) Append(record []byte) error {
	l.bytes = append(l.bytes, record...)
	return nil
}

func (l *memoryLog) Chunk() (gate.Chunk, bool, error) {
	if len(l.bytes) == 0 {
		return gate.Chunk{}, false, nil
	}
	c, err := gate.NewChunk(l.key, l.device, l.from, l.bytes)
	return c, err == nil, err
}

func (l *memoryLog) Acknowledge(sealed []byte) error {
	r, err := gate.ParseReceipt(l.key, l.device, sealed)
	if err != nil {
		return err
	}
	for l.from.Sequence < r.Sequence && len(l.bytes) > 0 {
		n := gate.RecordLength(l.bytes)
		record, link, err := gate.ParseRecord(l.bytes[:n])
		if err != nil {
			return err
		}
		l.from, l.bytes = gate.Head{Sequence: record.Sequence, Link: link}, l.bytes[n:]
	}
	l.bytes = bytes.Clone(l.bytes)
	return nil
}

func (l *memoryLog) Maintain(time.Time) error { return nil }

func (l *memoryLog) Backlog() gate.Backlog { return gate.Backlog{Bytes: int64(len(l.bytes))} }

// KeepBase and KeepDelta keep nothing: no device of the simulation loses its power.
func (*lane) KeepBase([]byte, denylist.Position) error { return nil }

// KeepDelta keeps nothing.
func (*lane) KeepDelta([]byte, denylist.Position) error { return nil }

func (l *lane) snapshot() *denylist.Snapshot {
	if list := l.courier.List(); list != nil {
		return list.Snapshot()
	}
	return nil
}

var errTimeout = errors.New("no answer in time")

// work asks what is due, and comes back when something is.
func (l *lane) work(now time.Time) {
	for {
		ask, ok := l.courier.Next(now)
		if !ok {
			break
		}
		l.send(ask, now)
	}
	if wake := l.courier.Wake(); !wake.IsZero() {
		l.city.plan(later(wake, now), l.wake)
	}
}

// wake is work, unless something else has done it.
func (l *lane) wake(now time.Time) {
	if wake := l.courier.Wake(); !wake.IsZero() && !wake.After(now) {
		l.work(now)
	}
}

func later(at, now time.Time) time.Time {
	if at.After(now) {
		return at
	}
	return now.Add(time.Millisecond)
}

// send carries a question over a line that loses, delays, repeats and alters.
func (l *lane) send(ask gate.Ask, now time.Time) {
	c := l.city
	o := &c.options
	if c.random.Float64() < o.Outages*float64(o.Poll)/float64(time.Hour) {
		l.down = now.Add(o.Outage)
	}
	lost := now.Before(l.down) || c.random.Float64() < o.Loss
	there, back, over := c.delay(), c.delay(), new(bool)
	if !lost {
		c.plan(now.Add(there), func(now time.Time) {
			answer := c.office.Answer(l.name, ask, now)
			if c.random.Float64() < o.Repeat {
				answer = c.office.Answer(l.name, ask, now)
			}
			if c.random.Float64() < o.Loss {
				return
			}
			if len(answer.Body) > 0 && c.random.Float64() < o.Alter {
				answer.Body = bytes.Clone(answer.Body)
				answer.Body[c.random.IntN(len(answer.Body))] ^= 1 << c.random.IntN(8)
				c.report.Altered++
			}
			c.plan(now.Add(back), func(now time.Time) { l.done(ask, &answer, over, now) })
		})
	}
	c.plan(now.Add(ask.Timeout), func(now time.Time) { l.done(ask, nil, over, now) })
}

// done ends a question once: with its answer, or without one in time.
func (l *lane) done(ask gate.Ask, answer *gate.Answer, over *bool, now time.Time) {
	if *over {
		return
	}
	*over, l.now = true, now
	if answer == nil {
		l.city.report.Lost++
		l.courier.Done(ask, gate.Answer{}, errTimeout, now)
	} else {
		l.courier.Done(ask, *answer, nil, now)
	}
	l.applied(now)
	l.work(now)
}

// applied notes which changes the gate has from now on.
func (l *lane) applied(now time.Time) {
	s := l.snapshot()
	if s == nil || s.Position().Sequence <= l.sequence {
		return
	}
	before := l.sequence
	l.sequence = s.Position().Sequence
	l.moved(now)
	l.city.measure(l, before, now)
}
