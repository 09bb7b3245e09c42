package metro

import (
	"container/heap"
	"time"
)

// event is something that happens at an instant. Of two at one instant the one that was planned first comes first.
type event struct {
	at    time.Time
	order uint64
	do    func(now time.Time)
}

type queue struct {
	events []event
	order  uint64
}

func (q *queue) Len() int { return len(q.events) }
func (q *queue) Less(i, k int) bool {
	a, b := &q.events[i], &q.events[k]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.order < b.order
}
func (q *queue) Swap(i, k int) { q.events[i], q.events[k] = q.events[k], q.events[i] }
func (q *queue) Push(x any)    { q.events = append(q.events, x.(event)) }
func (q *queue) Pop() any {
	n := len(q.events) - 1
	e := q.events[n]
	q.events = q.events[:n]
	return e
}

func (q *queue) plan(at time.Time, do func(now time.Time)) {
	q.order++
	heap.Push(q, event{at, q.order, do})
}

// run does everything up to an instant.
func (q *queue) run(until time.Time) {
	for len(q.events) > 0 && !q.events[0].at.After(until) {
		e := heap.Pop(q).(event)
		e.do(e.at)
	}
}
