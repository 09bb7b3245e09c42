package transit

import (
	"cmp"
	"slices"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
)

// A chip counts its transactions and never shows a number twice. Two taps that cannot be of one chip are the sign of a copy, whatever order they come in:
//
//   - one counter at two taps;
//   - at one device, a later tap without a higher counter;
//   - a tap that a gate refused because it had seen that counter, or a higher one;
//   - at two devices that have reported since with clocks that were right, a tap without a higher counter that is later by more than clocks may differ.
//
// Clocks that nobody has compared accuse nobody, nor does what a card showed without proving that it is genuine. Such a card is stopped once, as counterfeit.
// Which of the two is the copy a counter does not tell: what both rode is charged as the gates let them in, and the operator gives back what the rider did
// not ride. When the operator releases the card, only what is tapped later counts.

// apart is how much two clocks that are right may differ.
func (d *Deps) apart() time.Duration { return 2 * d.ClockAhead }

// ancient is how old a tap is that accuses nobody: the clock of its device was lost.
const ancient = (frozenAfter + contextDays) * day

// punctual reports whether a device's clock was right when it reported last. Before that nobody knows.
func (s *state) punctual(number int32) bool {
	d := s.devices[number]
	return d.reported != 0 && d.reported.Time().Sub(d.health.At).Abs() <= s.deps.ClockAhead
}

// flagAhead marks a tap that was dated later than it came in, and is taken to be of then. It is the office's own: records have none above their flags' end.
const flagAhead gate.Flags = 1 << 15

// dated reports whether a tap's instant is known to be right, within what clocks may differ: its device has reported since, with a clock that was right.
func (s *state) dated(t *tap) bool {
	return !t.flags.Has(flagAhead) && s.punctual(t.device) && s.devices[t.device].reported.Time().UnixMilli() >= t.at()-s.deps.apart().Milliseconds()
}

// counted reports whether a tap's counter says something about a credential: also that of a tap whose rider did not go through.
func (s *state) counted(t *tap, subject int32) bool {
	return t.atc() != 0 && !t.flags.Has(gate.FlagNoODA) && s.credentials[t.credential].subject() == subject
}

// copied reports whether the taps of a credential cannot all be of one chip.
func (s *state) copied(c *credential, now time.Time) bool {
	a := s.accounts[c.account]
	from := max(s.freed[c.number], now.Add(-ancient).UnixMilli())
	before, ordered := (*tap)(nil), true
	for i := range a.taps {
		if t := &a.taps[i]; t.at() > from && s.counted(t, c.number) {
			ordered = ordered && (before == nil || before.at() <= t.at() && before.atc() < t.atc())
			before = t
		}
	}
	if ordered {
		return false
	}
	var taps []*tap
	for i := range a.taps {
		if t := &a.taps[i]; t.at() > from && s.counted(t, c.number) {
			taps = append(taps, t)
		}
	}
	return s.contradict(taps)
}

// contradict compares taps that may be of one chip.
func (s *state) contradict(taps []*tap) bool {
	slices.SortFunc(taps, func(x, y *tap) int { return cmp.Compare(x.atc(), y.atc()) })
	for i := 1; i < len(taps); i++ {
		if taps[i-1].atc() == taps[i].atc() {
			return true
		}
	}
	slices.SortFunc(taps, func(x, y *tap) int {
		return cmp.Or(cmp.Compare(x.device, y.device), cmp.Compare(x.sequence, y.sequence))
	})
	for i := 1; i < len(taps); i++ {
		if taps[i-1].device == taps[i].device && taps[i-1].atc() > taps[i].atc() {
			return true
		}
	}
	taps = slices.DeleteFunc(taps, func(t *tap) bool { return !s.dated(t) })
	slices.SortFunc(taps, func(x, y *tap) int { return cmp.Compare(x.at(), y.at()) })
	highest, next := uint16(0), 0
	for _, t := range taps {
		for ; taps[next].at() < t.at()-s.deps.apart().Milliseconds(); next++ {
			highest = max(highest, taps[next].atc())
		}
		if highest > t.atc() {
			return true
		}
	}
	return false
}

// provesCopy reports whether a gate itself has found a counter that came again, and stayed shut. Such a tap is no part of any journey, and a sign of a copy all
// the same.
func provesCopy(g *gate.Record) bool {
	return g.Kind == gate.TapRecord && g.Reason == gate.CounterBack && !g.Flags.Has(gate.FlagNoODA)
}

// accuse stops a credential of which a gate has refused a copy, unless the operator has released it since.
func (o *Office) accuse(now time.Time, c *credential, at time.Time, step *journal.Step) {
	if c = o.state.credentials[c.subject()]; c.stop == 0 && at.UnixMilli() > o.state.freed[c.number] {
		o.changed(now, int64(c.number), ReasonCounter, change{Stop: uint8(denylist.Counterfeit)}, step)
	}
}

// judge stops a credential whose counter contradicts itself.
func (o *Office) judge(now time.Time, c *credential, step *journal.Step) {
	if c = o.state.credentials[c.subject()]; c.stop == 0 && o.state.copied(c, now) {
		o.changed(now, int64(c.number), ReasonCounter, change{Stop: uint8(denylist.Counterfeit)}, step)
	}
}
