package transit

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tapnet/internal/transit/fares"
)

const (
	daysPerWeek = 7
	// frozenAfter is after how many days a week's journeys are not looked at again: a tap that comes later is not charged.
	frozenAfter = 4 * daysPerWeek
	// contextDays is how much longer taps are kept: a journey may be completed by those around it.
	contextDays = 2 * daysPerWeek
)

// line is what a bill says of one journey: how much it adds to what was billed for it, and what its taps have become.
type line struct {
	tap        tapKey // the journey's name
	minor      int64  // more, or less, than before
	day        fares.Date
	credential int32
	state      TapState
	other      tapKey // the other tap of the journey, zero for none; of one that lacks a tap noTap and how that was settled
}

// noTap in the place of a device says that a journey lacks a tap.
const noTap int32 = math.MaxInt32

// gap is how a journey without one of its taps was settled. What the rider said where it was is none.
type gap uint8

const (
	gapMaximum   gap = iota + 1 // the highest fare
	gapCompleted                // by the rider's other journeys
)

// gapOf is the line's.
func (l *line) gapOf() gap {
	if l.other.device != noTap {
		return 0
	}
	return gap(l.other.sequence)
}

// plan is what is new about an account since its last bills.
type plan struct {
	lines   []line // by credential, in the order of journeys
	waiting bool   // something is still under way, held, or of a later day
	// restricted is set when too many journeys of the year are incomplete.
	restricted bool
	err        error
}

// frozen is the first day whose journeys may still change, seen from a day that is closed.
func frozen(through fares.Date) fares.Date { return (through - frozenAfter).Week() }

// plan compares what fares says of an account's taps with what was billed. It changes nothing and may run beside others.
func (s *state) plan(a *account, asOf time.Time, through fares.Date) plan {
	times := s.times(a)
	taps := s.fareTapsAt(a, times)
	rider := fares.Rider{Category: a.category, Corrections: a.corrections, Earlier: a.earlier}
	statement, err := s.deps.Book.Rate(rider, taps, asOf)
	if err != nil {
		return plan{err: fmt.Errorf("account %d: %w", a.number, err)}
	}
	p := plan{restricted: statement.Restricted}
	was := make(map[tapKey]booked, len(a.booked))
	for _, b := range a.booked {
		was[b.tap] = b
	}
	from := frozen(through)
	states := make(map[tapKey]TapState, len(a.taps))
	for i := range a.taps {
		states[tapKey{a.taps[i].device, a.taps[i].sequence}] = a.taps[i].state
	}
	owner := func(medium fares.TapID) (tapKey, bool) {
		at, ok := s.deviceBy[medium.Device]
		return tapKey{at, medium.Sequence}, ok
	}
	for i := range statement.Journeys {
		p.journey(s, a, &statement.Journeys[i], was, states, from, through, owner)
	}
	for _, id := range statement.Ignored {
		key, _ := owner(id)
		p.settled(a, key, s.deps.Book.ServiceDate(asOf), TapRepeated, states)
	}
	for _, c := range statement.Inspections {
		key, _ := owner(c.Tap.ID)
		p.settled(a, key, s.deps.Book.ServiceDate(asOf), TapInspected, states)
	}
	// What was billed for a journey that is no longer one is given back.
	for _, b := range a.booked {
		if _, left := was[b.tap]; left && b.minor != 0 && b.day >= from {
			p.lines = append(p.lines, line{tap: b.tap, minor: -b.minor, day: b.day, credential: b.credential, state: max(states[b.tap], TapPending)})
		}
	}
	p.tooLate(s, a, times, from, states)
	slices.SortStableFunc(p.lines, func(x, y line) int { return cmp.Compare(x.credential, y.credential) })
	return p
}

// journey adds the line of a journey that says something new.
func (p *plan) journey(s *state, a *account, j *fares.Journey, was map[tapKey]booked, states map[tapKey]TapState, from, through fares.Date,
	owner func(fares.TapID) (tapKey, bool),
) {
	id, _ := owner(j.ID)
	before, known := was[id]
	delete(was, id)
	if j.Day < from {
		return
	}
	if j.State == fares.Open || j.State == fares.Held || j.Day > through {
		p.waiting = true
		if known && before.minor != 0 { // a tap that came late has opened it again: what it costs is decided later
			return
		}
		return
	}
	l := line{tap: id, minor: j.Amount.Minor() - before.minor, day: j.Day, state: TapCharged}
	if j.State == fares.Unpriced {
		l.state = TapUnpriced
	}
	point := j.Start
	if !point.Tapped {
		point = j.End
	}
	for _, n := range a.credentials {
		if s.credentials[n].medium() == point.Medium {
			l.credential = n
		}
	}
	if j.Start.Tapped && j.End.Tapped && j.Start.Tap != j.End.Tap {
		l.other, _ = owner(j.End.Tap)
	}
	changed := states[id] != l.state || l.other != tapKey{} && states[l.other] != l.state
	switch j.State {
	case fares.Maximum:
		l.other = tapKey{noTap, uint64(gapMaximum)}
	case fares.Completed:
		l.other = tapKey{noTap, uint64(gapCompleted)}
	}
	if l.minor != 0 || !known || changed {
		p.lines = append(p.lines, l)
	}
}

// settled adds the line of a tap that is no part of a journey.
func (p *plan) settled(a *account, key tapKey, on fares.Date, to TapState, states map[tapKey]TapState) {
	if states[key] == to {
		return
	}
	for i := range a.taps {
		if t := &a.taps[i]; t.device == key.device && t.sequence == key.sequence {
			p.lines = append(p.lines, line{tap: key, day: on, credential: t.credential, state: to})
		}
	}
}

// tooLate ends taps that came when their weeks were over.
func (p *plan) tooLate(s *state, a *account, times []int64, from fares.Date, states map[tapKey]TapState) {
	for i := range a.taps {
		t := &a.taps[i]
		key := tapKey{t.device, t.sequence}
		if states[key] != TapPending {
			continue
		}
		if on := s.deps.Book.ServiceDate(a.when(times, i)); on < from {
			p.lines = append(p.lines, line{tap: key, day: on, credential: t.credential, state: TapTooLate})
		}
	}
}

// total is what the lines of one credential add up to.
func total(lines []line) (minor int64) {
	for i := range lines {
		minor += lines[i].minor
	}
	return minor
}

// appendLines packs the lines of one credential. See parseLines.
func appendLines(b []byte, lines []line) []byte {
	for i := range lines {
		l := &lines[i]
		b = append(b, byte(l.state))
		b = binary.AppendVarint(b, l.minor)
		b = binary.AppendVarint(b, int64(l.day))
		for _, key := range [...]tapKey{l.tap, l.other} {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(key.device)), key.sequence)
		}
	}
	return b
}

var errLines = errors.New("lines of a bill are damaged")

// parseLines reads what appendLines made.
func parseLines(b []byte) ([]line, error) {
	var lines []line
	for len(b) > 0 {
		l := line{state: TapState(b[0])}
		b = b[1:]
		bad := l.state == 0 || l.state >= tapStateEnd
		signed := func() int64 {
			v, n := binary.Varint(b)
			if n <= 0 {
				bad = true
				return 0
			}
			b = b[n:]
			return v
		}
		unsigned := func() uint64 {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				bad = true
				return 0
			}
			b = b[n:]
			return v
		}
		l.minor, l.day = signed(), fares.Date(signed())
		l.tap = tapKey{int32(unsigned()), unsigned()}
		l.other = tapKey{int32(unsigned()), unsigned()}
		if bad {
			return nil, errLines
		}
		lines = append(lines, l)
	}
	return lines, nil
}
