package journal

import (
	"sync"

	"tapnet/internal/clock"
)

// Timers keeps a role's named timers for its shell: Release gives it the effects that set and cancel them, and it
// calls fire with the name of one that falls due. Setting a name again replaces its timer.
type Timers struct {
	clock clock.Clock
	fire  func(name string)
	mu    sync.Mutex
	set   map[string]*namedTimer
}

type namedTimer struct{ timer clock.Timer }

// NewTimers makes an empty set. fire is called on the clock's goroutine and usually submits Event{Timer: name}.
func NewTimers(c clock.Clock, fire func(name string)) *Timers {
	return &Timers{clock: c, fire: fire, set: make(map[string]*namedTimer)}
}

// Apply sets or cancels the timer the effect names and reports whether it named one.
func (t *Timers) Apply(e *Effect) bool {
	if e.Timer == "" || e.After == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set == nil {
		return true // stopped
	}
	if old := t.set[e.Timer]; old != nil {
		old.timer.Stop()
		delete(t.set, e.Timer)
	}
	if e.After < 0 {
		return true
	}
	name, entry := e.Timer, new(namedTimer)
	t.set[name] = entry
	entry.timer = t.clock.AfterFunc(e.After, func() {
		if t.take(name, entry) {
			t.fire(name)
		}
	})
	return true
}

// take removes a timer that fell due. It is false for one that was replaced or cancelled in the meantime.
func (t *Timers) take(name string, entry *namedTimer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set[name] != entry {
		return false
	}
	delete(t.set, name)
	return true
}

// Pending is the number of timers that wait.
func (t *Timers) Pending() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.set)
}

// Stop cancels every timer; later effects are ignored.
func (t *Timers) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, entry := range t.set {
		entry.timer.Stop()
	}
	t.set = nil
}
