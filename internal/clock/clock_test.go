package clock

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestAdvanceFiresInOrderOfTime(t *testing.T) {
	m := NewManual(start)
	var got []string
	set := func(name string, d time.Duration) {
		m.AfterFunc(d, func() { got = append(got, fmt.Sprint(name, " ", m.Now().Sub(start))) })
	}
	set("c", 3*time.Second)
	set("a", time.Second)
	set("b", 2*time.Second)
	set("a2", time.Second)
	set("late", time.Minute)
	if len(got) != 0 {
		t.Fatal("a timer fired before the clock moved")
	}
	m.Advance(3 * time.Second)
	want := []string{"a 1s", "a2 1s", "b 2s", "c 3s"}
	if !slices.Equal(got, want) {
		t.Fatalf("fired %q, want %q", got, want)
	}
	if m.Pending() != 1 || !m.Now().Equal(start.Add(3*time.Second)) {
		t.Fatalf("pending %d at %v", m.Pending(), m.Now())
	}
	if at, ok := m.NextAt(); !ok || !at.Equal(start.Add(time.Minute)) {
		t.Fatalf("NextAt = %v, %v", at, ok)
	}
}

func TestTimersSetByTimersFireInTheSameWindow(t *testing.T) {
	m := NewManual(start)
	fired := 0
	var again func()
	again = func() {
		fired++
		m.AfterFunc(time.Second, again)
	}
	m.AfterFunc(time.Second, again)
	m.Advance(10 * time.Second)
	if fired != 10 || m.Pending() != 1 {
		t.Fatalf("fired %d times, %d pending", fired, m.Pending())
	}
}

func TestDueTimerWaitsForTheClock(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Hour} {
		m := NewManual(start)
		fired := false
		m.AfterFunc(d, func() { fired = true })
		if fired {
			t.Fatal("fired inside AfterFunc")
		}
		m.Advance(0)
		if !fired || !m.Now().Equal(start) {
			t.Fatalf("fired %v at %v", fired, m.Now())
		}
	}
}

func TestStop(t *testing.T) {
	m := NewManual(start)
	timer := m.AfterFunc(time.Second, func() { t.Error("a stopped timer fired") })
	other := m.AfterFunc(2*time.Second, func() {})
	if !timer.Stop() || timer.Stop() {
		t.Error("Stop is true once, before the timer fires")
	}
	m.Advance(time.Minute)
	if other.Stop() {
		t.Error("Stop of a fired timer is false")
	}
	var inside Timer
	inside = m.AfterFunc(time.Second, func() {
		if inside.Stop() {
			t.Error("Stop of a running timer is false")
		}
	})
	m.Advance(time.Second)
}

func TestSet(t *testing.T) {
	m := NewManual(start)
	fired := 0
	m.AfterFunc(time.Second, func() { fired++ })
	m.Set(start.Add(-time.Hour))
	if fired != 0 || !m.Now().Equal(start.Add(-time.Hour)) {
		t.Fatalf("set back: fired %d at %v", fired, m.Now())
	}
	m.Set(start.Add(time.Second))
	if fired != 1 || !m.Now().Equal(start.Add(time.Second)) {
		t.Fatalf("set on: fired %d at %v", fired, m.Now())
	}
	if _, ok := m.NextAt(); ok {
		t.Error("NextAt without timers")
	}
}

func TestTimerMayAdvance(t *testing.T) {
	m := NewManual(start)
	var got []time.Duration
	note := func() { got = append(got, m.Now().Sub(start)) }
	m.AfterFunc(time.Second, func() { note(); m.Advance(5 * time.Second) })
	m.AfterFunc(2*time.Second, note)
	m.AfterFunc(10*time.Second, note)
	m.Advance(3 * time.Second)
	if want := []time.Duration{time.Second, 2 * time.Second}; !slices.Equal(got, want) {
		t.Fatalf("fired at %v, want %v", got, want)
	}
	if !m.Now().Equal(start.Add(6 * time.Second)) {
		t.Fatalf("now %v: the clock moved back", m.Now())
	}
}

func TestMisusePanics(t *testing.T) {
	for name, misuse := range map[string]func(){
		"negative advance": func() { NewManual(start).Advance(-1) },
		"no function":      func() { NewManual(start).AfterFunc(1, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
}

// Many goroutines set, stop and advance: for the race detector, and no timer is lost or fires twice.
func TestConcurrentUse(t *testing.T) {
	m := NewManual(start)
	var mu sync.Mutex
	fired, stopped := 0, 0
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				timer := m.AfterFunc(time.Duration(i*g)*time.Millisecond, func() {
					mu.Lock()
					fired++
					mu.Unlock()
				})
				if i%3 == 0 && timer.Stop() {
					mu.Lock()
					stopped++
					mu.Unlock()
				}
				if i%10 == 0 {
					m.Advance(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	m.Advance(time.Hour)
	if fired+stopped != 800 || m.Pending() != 0 {
		t.Fatalf("%d fired, %d stopped, %d pending", fired, stopped, m.Pending())
	}
}

func TestOrderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewManual(start)
		delays := rapid.SliceOfN(rapid.Int64Range(0, 1000), 1, 50).Draw(t, "delays")
		var fired []time.Time
		for _, d := range delays {
			m.AfterFunc(time.Duration(d), func() { fired = append(fired, m.Now()) })
		}
		for m.Pending() > 0 {
			m.Advance(time.Duration(rapid.Int64Range(1, 300).Draw(t, "advance")))
		}
		slices.Sort(delays)
		for i, at := range fired {
			if want := start.Add(time.Duration(delays[i])); !at.Equal(want) {
				t.Fatalf("timer %d fired at %v, want %v", i, at, want)
			}
		}
		if len(fired) != len(delays) {
			t.Fatalf("%d of %d fired", len(fired), len(delays))
		}
	})
}

func TestReal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Real()
		before := c.Now()
		fired := make(chan time.Time, 1)
		c.AfterFunc(time.Second, func() { fired <- c.Now() })
		never := c.AfterFunc(time.Second, func() { t.Error("a stopped timer fired") })
		if !never.Stop() {
			t.Error("Stop before firing is true")
		}
		if got := (<-fired).Sub(before); got != time.Second {
			t.Errorf("fired after %v", got)
		}
	})
}
