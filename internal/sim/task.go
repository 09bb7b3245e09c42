package sim

import (
	"iter"
	"time"
)

// task is something a person does that takes simulated time: it runs until it waits, gives way to the rest of the world, and is resumed by an event. It is a
// coroutine: one thing runs at a time, and which one follows from the events alone.
type task struct {
	world *world
	next  func() (struct{}, bool)
	stop  func()
	give  func(struct{}) bool
}

// begin runs a task up to its first wait.
func (w *world) begin(body func(*task)) {
	t := &task{world: w}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.give = yield
		body(t)
	})
	w.tasks[t] = struct{}{}
	t.resume()
}

// resume goes on until the task waits again or ends.
func (t *task) resume() {
	if _, more := t.next(); !more {
		delete(t.world.tasks, t)
	}
}

// wait gives way until somebody resumes the task. It is false when the world has ended.
func (t *task) wait() bool { return t.give(struct{}{}) }

// sleep waits for d.
func (t *task) sleep(d time.Duration) bool {
	t.world.clock.AfterFunc(d, t.resume)
	return t.wait()
}

// end lets every task finish that still waits; what they do then counts no more.
func (w *world) end() {
	w.over = true
	for t := range w.tasks {
		t.stop()
	}
	clear(w.tasks)
}
