package clock

import (
	"container/heap"
	"sync"
	"time"
)

// Manual is a clock that stands still until it is told to move. It is safe for use by several goroutines, and
// the functions of its timers may use it: they run with no lock held.
type Manual struct {
	mu      sync.Mutex
	now     time.Time
	entered uint64 // gives timers of the same instant the order in which they were set
	timers  timerHeap
}

var _ Clock = (*Manual)(nil)

// NewManual is a clock that shows start.
func NewManual(start time.Time) *Manual { return &Manual{now: start} }

// Now is the instant the clock was moved to. Inside a timer's function it is the instant that timer was due.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// AfterFunc calls f when the clock is moved to or past d from now. A timer that is due at once (d ≤ 0) still
// waits for the next Advance or Set, so that f never runs inside the call that set it.
func (m *Manual) AfterFunc(d time.Duration, f func()) Timer {
	if f == nil {
		panic("clock: AfterFunc without a function")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entered++
	t := &manualTimer{clock: m, due: m.now.Add(max(d, 0)), order: m.entered, call: f}
	heap.Push(&m.timers, t)
	return t
}

// Advance moves the clock forward by d and calls, on this goroutine and in order of time, every timer that falls
// due on the way, including those that the called functions set. Timers of one instant are called in the order
// in which they were set.
func (m *Manual) Advance(d time.Duration) {
	if d < 0 {
		panic("clock: Advance by a negative duration")
	}
	m.mu.Lock()
	target := m.now.Add(d)
	m.mu.Unlock()
	m.runTo(target)
}

// Set moves the clock to t. Forwards it is Advance; backwards the clock is set back and nothing is called, which is
// what a machine whose clock was wrong does.
func (m *Manual) Set(t time.Time) {
	m.mu.Lock()
	if t.Before(m.now) {
		m.now = t
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	m.runTo(t)
}

// Pending is the number of timers that wait.
func (m *Manual) Pending() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.timers)
}

// NextAt is the instant of the earliest timer that waits.
func (m *Manual) NextAt() (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.timers) == 0 {
		return time.Time{}, false
	}
	return m.timers[0].due, true
}

func (m *Manual) runTo(target time.Time) {
	for {
		call := m.popDue(target)
		if call == nil {
			return
		}
		call()
	}
}

// popDue takes the earliest timer due by target and moves the clock to it; with none left it moves the clock to
// target and returns nil. The clock never moves back here: a called function may itself have advanced it.
func (m *Manual) popDue(target time.Time) func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.timers) == 0 || m.timers[0].due.After(target) {
		if target.After(m.now) {
			m.now = target
		}
		return nil
	}
	t := heap.Pop(&m.timers).(*manualTimer)
	if t.due.After(m.now) {
		m.now = t.due
	}
	return t.call
}

type manualTimer struct {
	clock *Manual
	due   time.Time
	order uint64
	call  func()
	index int // place in the heap, -1 when it has left it
}

// Stop implements Timer.
func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.clock.timers, t.index)
	return true
}

type timerHeap []*manualTimer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].order < h[j].order
	}
	return h[i].due.Before(h[j].due)
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*manualTimer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
