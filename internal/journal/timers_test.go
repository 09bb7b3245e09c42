package journal_test

import (
	"slices"
	"testing"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
)

func TestTimers(t *testing.T) {
	manual := clock.NewManual(start)
	var fired []string
	timers := journal.NewTimers(manual, func(name string) { fired = append(fired, name) })
	apply := func(name string, after time.Duration, want bool) {
		t.Helper()
		if got := timers.Apply(&journal.Effect{Timer: name, After: after}); got != want {
			t.Errorf("Apply(%q, %v) = %v", name, after, got)
		}
	}
	apply("", time.Second, false)
	apply("a", 0, false)
	apply("unknown", -1, true)
	apply("a", time.Second, true)
	apply("b", 2*time.Second, true)
	apply("c", 3*time.Second, true)
	apply("a", 5*time.Second, true) // set again
	apply("c", -1, true)            // cancelled
	manual.Advance(4 * time.Second)
	if want := []string{"b"}; !slices.Equal(fired, want) || timers.Pending() != 1 {
		t.Fatalf("fired %q, %d pending", fired, timers.Pending())
	}
	manual.Advance(time.Second)
	if want := []string{"b", "a"}; !slices.Equal(fired, want) || timers.Pending() != 0 {
		t.Fatalf("fired %q, %d pending", fired, timers.Pending())
	}
	apply("d", time.Second, true)
	timers.Stop()
	apply("e", time.Second, true)
	manual.Advance(time.Minute)
	if len(fired) != 2 || manual.Pending() != 0 {
		t.Fatalf("fired %q after Stop, %d pending", fired, manual.Pending())
	}
}

// A timer may set itself again from where it fires.
func TestTimerSetsItselfAgain(t *testing.T) {
	manual := clock.NewManual(start)
	count := 0
	var timers *journal.Timers
	timers = journal.NewTimers(manual, func(name string) {
		if count++; count < 5 {
			timers.Apply(&journal.Effect{Timer: name, After: time.Second})
		}
	})
	timers.Apply(&journal.Effect{Timer: "again", After: time.Second})
	manual.Advance(time.Hour)
	if count != 5 || timers.Pending() != 0 {
		t.Fatalf("fired %d times, %d pending", count, timers.Pending())
	}
}
