package transit

import (
	"container/heap"
	"time"
)

// agenda orders bills by when they are asked for next. An entry that no longer says what its bill says is passed over.
type agenda struct{ entries agendaHeap }

type agendaEntry struct {
	at   stamp
	bill uint64
}

type agendaHeap []agendaEntry

func (h agendaHeap) Len() int { return len(h) }
func (h agendaHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].bill < h[j].bill
}
func (h agendaHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *agendaHeap) Push(x any)   { *h = append(*h, x.(agendaEntry)) }
func (h *agendaHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// put sets when a bill is asked for.
func (a *agenda) put(b *bill, at time.Time) {
	b.next = stampOf(at)
	a.push(b)
}

func (a *agenda) push(b *bill) { heap.Push(&a.entries, agendaEntry{b.next, b.seq}) }

// first is the bill that is asked for next; nil when none is.
func (a *agenda) first(bills map[uint64]*bill) *bill {
	for len(a.entries) > 0 {
		e := a.entries[0]
		if b := bills[e.bill]; b != nil && b.next == e.at && (b.state == Due || b.state == Owed) {
			return b
		}
		heap.Pop(&a.entries)
	}
	return nil
}

// drop takes the first entry out.
func (a *agenda) drop() { heap.Pop(&a.entries) }
