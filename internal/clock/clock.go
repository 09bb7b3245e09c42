// Package clock tells the time and sets timers, either from the machine or by hand.
//
// It follows no standard. It promises that everything that waits in a role waits on a Clock, so that the
// simulator and the tests can move time themselves and see the same order of timers on every run. It does not
// keep time zones or business dates, and it does not smooth a wall clock that is set back.
package clock

import "time"

// Clock is where a shell gets the time from. Pure packages do not hold one: they are given the instant with each call.
type Clock interface {
	// Now is the present instant.
	Now() time.Time
	// AfterFunc calls f once after d. The real clock calls it on a goroutine of its own, Manual inside Advance or Set.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a call that has not happened yet.
type Timer interface {
	// Stop cancels the call. It is false when the call has already started or was cancelled before.
	Stop() bool
}

type realClock struct{}

// Real is the machine's clock.
func Real() Clock { return realClock{} }

func (realClock) Now() time.Time { return time.Now() }

func (realClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
