package transit

import (
	"cmp"
	"math"
	"slices"
	"time"

	"tapnet/gate"
	"tapnet/internal/transit/fares"
)

// A gate corrects its clock by what the office answers to its reports. One that has not reached the office since it was switched on may be hours wrong, and
// an exit would come before its entry: two highest fares for one ride. The counters of a chip tell the order of its taps without a clock: a tap at a device
// whose clock nobody has found right is taken to be just behind the one before it, or just before the one after it, when it says otherwise. The fare is then
// that of the places, and the time between them is none. Clocks that are right may still differ a little, and are put in order the same way.
//
// An entry and the exit whose counter is the next are one ride, when one of the two clocks is not known to be right, also when they are further apart than a
// journey may take: nothing was tapped in between.
//
// What is wrong by more than mostWrong is left as it is: a copy, or a clock that was lost.
const mostWrong = 12 * time.Hour

// times are the instants of an account's taps as fares takes them, in milliseconds; nil when they are as the devices said.
func (s *state) times(a *account) []int64 {
	var order []int32 // by chip and counter
	for i := range a.taps {
		if s.counted(&a.taps[i], s.credentials[a.taps[i].credential].subject()) {
			order = append(order, int32(i))
		}
	}
	subject := func(i int32) int32 { return s.credentials[a.taps[i].credential].subject() }
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(cmp.Compare(subject(x), subject(y)), cmp.Compare(a.taps[x].atc(), a.taps[y].atc()), cmp.Compare(a.taps[x].at(), a.taps[y].at()))
	})
	var times []int64
	for from := 0; from < len(order); {
		to, wrong, twice := from+1, false, false
		for ; to < len(order) && subject(order[to]) == subject(order[from]); to++ {
			before, t := &a.taps[order[to-1]], &a.taps[order[to]]
			wrong = wrong || t.at() <= before.at() || s.stretched(a, order[to-1], order[to], before.at(), t.at())
			twice = twice || t.atc() == before.atc()
		}
		if wrong && !twice {
			if times == nil {
				times = make([]int64, len(a.taps))
				for i := range a.taps {
					times[i] = a.taps[i].at()
				}
			}
			s.straighten(a, order[from:to], times)
		}
		from = to
	}
	return times
}

// straighten puts the taps of one chip, by their counters, into the order of time.
func (s *state) straighten(a *account, order []int32, times []int64) {
	far := func(i int32) int64 { // how far a tap may be moved
		if s.dated(&a.taps[i]) {
			return s.deps.apart().Milliseconds()
		}
		return mostWrong.Milliseconds()
	}
	before := int64(math.MinInt64)
	for _, i := range order {
		if at := times[i]; at <= before && before-at < far(i) {
			times[i] = before + 1
		}
		before = max(before, times[i])
	}
	after := int64(math.MaxInt64)
	for _, i := range slices.Backward(order) {
		if at := times[i]; !s.dated(&a.taps[i]) && at >= after && at-after < mostWrong.Milliseconds() {
			times[i] = after - 1
		}
		after = min(after, times[i])
	}
	for k := 1; k < len(order); k++ {
		switch i, j := order[k-1], order[k]; {
		case !s.stretched(a, i, j, times[i], times[j]):
		case s.dated(&a.taps[i]):
			times[j] = times[i] + 1
		default:
			times[i] = times[j] - 1
		}
	}
}

// stretched reports whether an entry and the exit that follows it by the counter are further apart than a journey may take, at instants, and a clock of which
// nobody knows that it is right may be why.
func (s *state) stretched(a *account, entry, exit int32, from, to int64) bool {
	in, out := &a.taps[entry], &a.taps[exit]
	if in.direction != gate.In || out.direction != gate.Out || in.atc()+1 != out.atc() || to <= from || to-from >= mostWrong.Milliseconds() ||
		s.dated(in) && s.dated(out) {
		return false
	}
	tap := s.fareTap(in)
	tap.At = time.UnixMilli(from).UTC()
	longest := s.deps.Book.Longest(tap)
	return longest > 0 && to-from > longest.Milliseconds() && tap.Service == s.deps.Stations[out.station].Service
}

// when is the instant of a tap of an account, by what times gave.
func (a *account) when(times []int64, i int) time.Time {
	if times == nil {
		return a.taps[i].instant()
	}
	return time.UnixMilli(times[i]).UTC()
}

// fareTaps are an account's taps as package fares takes them: those that count.
func (s *state) fareTaps(a *account) []fares.Tap { return s.fareTapsAt(a, s.times(a)) }

func (s *state) fareTapsAt(a *account, times []int64) []fares.Tap {
	taps := make([]fares.Tap, 0, len(a.taps))
	for i := range a.taps {
		if t := &a.taps[i]; t.state != TapTakenBack && t.state != TapTooLate {
			taps = append(taps, s.fareTap(t))
			taps[len(taps)-1].At = a.when(times, i)
		}
	}
	return taps
}
