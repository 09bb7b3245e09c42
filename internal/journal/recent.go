package journal

import (
	"context"
	"slices"
	"sync/atomic"
)

// Capacity bounds what a machine keeps in memory of what has ended, and what a restart replays. Zero is the default of each.
type Capacity struct {
	Ended int // things of a kind (payments, reversals) that ended last; more are held while the archive may not show them yet
	Rows  int // rows between two write-backs of cells
}

const (
	// defaultEnded takes some 60 MB: minutes of a large network, in which nearly every repeat and reversal comes.
	defaultEnded = 1 << 16
	// defaultRows makes the replay of a restart a matter of milliseconds and the share of cells in a commit small.
	defaultRows = 1 << 11
)

// OrDefault fills in what is zero.
func (c Capacity) OrDefault() Capacity {
	if c.Ended <= 0 {
		c.Ended = defaultEnded
	}
	if c.Rows <= 0 {
		c.Rows = defaultRows
	}
	return c
}

// Recent is a machine's things of one kind by their key: all that are open, and of those that have ended the ones that did last. Others are in the archive,
// where the machine's own function looks for them. Until an archive is attached nothing is forgotten.
//
// Foresee may run beside the writer; everything else belongs to the writer.
type Recent[V any] struct {
	capacity int
	rising   bool
	gone     func(V)
	things   map[string]thing[V]
	ended    int      // of things
	queue    []ending // oldest first, from head on; an entry whose thing has changed since is stale
	head     int

	archive Archive
	beyond  bool   // there are things in the archive that are not in memory
	horizon string // the greatest key of them, when keys rise
	view    atomic.Pointer[view]

	// forgotten are the keys forgotten last, count how many ever were. A look into the archive is out of date when its key was forgotten since it began.
	forgotten [forgottenRing]string
	count     atomic.Uint64
}

type thing[V any] struct {
	value V
	ended uint64 // the last row about it; 0 while it is open
}

type ending struct {
	key string
	seq uint64
}

// view is what Foresee may read. It may lag: Find looks again.
type view struct{ horizon string }

const (
	// forgottenRing is more than are forgotten while an event waits to be handled; after more than that the look is made again.
	forgottenRing = 1 << 10
	// publishEvery is how many things are forgotten between two publications of the horizon.
	publishEvery = 256
	// staleSpare is how many stale entries the queue may always have.
	staleSpare = 1 << 10
)

// NewRecent keeps so many ended things. rising says that keys rise with time, more or less: then a key above every forgotten one is new without a look. gone,
// unless nil, is told of everything that is forgotten.
func NewRecent[V any](capacity int, rising bool, gone func(V)) *Recent[V] {
	if gone == nil {
		gone = func(V) {}
	}
	return &Recent[V]{capacity: capacity, rising: rising, gone: gone, things: map[string]thing[V]{}}
}

// Attach lets things be forgotten: the archive has them. What lies before the watermark is there and not in memory.
func (m *Recent[V]) Attach(ctx context.Context, archive Archive, watermark uint64) error {
	m.archive = archive
	if watermark == 0 {
		return nil
	}
	if m.rising {
		last, err := archive.LastKey(ctx)
		if err != nil {
			return err
		}
		m.horizon = last
	}
	m.beyond = true
	m.view.Store(&view{m.horizon})
	return nil
}

// Get is the thing with that key in memory.
func (m *Recent[V]) Get(key string) (V, bool) {
	t, ok := m.things[key]
	return t.value, ok
}

// Begin keeps an open thing.
func (m *Recent[V]) Begin(key string, v V) {
	if t, ok := m.things[key]; ok && t.ended != 0 {
		m.ended--
	}
	m.things[key] = thing[V]{value: v}
}

// End keeps a thing that has ended: seq is the last row about it. It is called again when a later row changes the thing.
func (m *Recent[V]) End(key string, v V, seq uint64) {
	if t, ok := m.things[key]; !ok || t.ended == 0 {
		m.ended++
	}
	m.things[key] = thing[V]{v, seq}
	m.queue = append(m.queue, ending{key, seq})
}

// Len is the number of things in memory.
func (m *Recent[V]) Len() int { return len(m.things) }

// Settle forgets what is beyond the capacity, as far as every look into the archive will find it: durable is the last row known to be on disk.
func (m *Recent[V]) Settle(durable uint64) {
	if m.archive == nil {
		return
	}
	for m.head < len(m.queue) {
		e := m.queue[m.head]
		if t := m.things[e.key]; t.ended != e.seq {
			m.head++
			continue
		}
		if m.ended <= m.capacity || e.seq > durable {
			break
		}
		m.head++
		m.forget(e.key)
	}
	if m.head > staleSpare && m.head > len(m.queue)/2 || len(m.queue)-m.head > 2*m.ended+staleSpare {
		m.tidy()
	}
}

// tidy drops what is behind and what is stale from the queue.
func (m *Recent[V]) tidy() {
	kept := slices.DeleteFunc(m.queue[m.head:], func(e ending) bool { return m.things[e.key].ended != e.seq })
	n := copy(m.queue, kept)
	clear(m.queue[n:])
	m.queue, m.head = m.queue[:n], 0
}

func (m *Recent[V]) forget(key string) {
	m.gone(m.things[key].value)
	delete(m.things, key)
	m.ended--
	m.horizon = max(m.horizon, key)
	m.beyond = true
	n := m.count.Load()
	m.forgotten[n%forgottenRing] = key
	m.count.Store(n + 1)
	if n%publishEvery == 0 {
		m.view.Store(&view{m.horizon})
	}
}

// Look asks the archive for what is known of a key. It may run beside the writer and changes nothing.
type Look[V any] func(key string) (V, bool, error)

// Recall is what a look into the archive found before the event was handled. The zero value is that nobody looked.
type Recall[V any] struct {
	key    string
	since  uint64 // count when the look began
	looked bool
	found  bool
	value  V
}

// Foresee looks before the event is handled, where memory may not have the thing. A look that fails is made again by Find.
func (m *Recent[V]) Foresee(key string, look Look[V]) (r Recall[V]) {
	v := m.view.Load()
	if v == nil || m.rising && key > v.horizon {
		return r
	}
	r.key, r.since = key, m.count.Load()
	value, found, err := look(key)
	if err != nil {
		return Recall[V]{}
	}
	r.value, r.found, r.looked = value, found, true
	return r
}

// Find is the thing with that key: in memory, as foreseen, or looked for now. What comes from the archive is not kept: a machine that changes it gives it to
// End.
func (m *Recent[V]) Find(key string, foreseen Recall[V], look Look[V]) (v V, found bool, err error) {
	if t, ok := m.things[key]; ok {
		return t.value, true, nil
	}
	if !m.beyond || m.rising && key > m.horizon {
		return v, false, nil
	}
	if foreseen.looked && foreseen.key == key && !m.forgotSince(key, foreseen.since) {
		return foreseen.value, foreseen.found, nil
	}
	return look(key)
}

func (m *Recent[V]) forgotSince(key string, since uint64) bool {
	now := m.count.Load()
	if now-since > forgottenRing {
		return true
	}
	for n := since; n < now; n++ {
		if m.forgotten[n%forgottenRing] == key {
			return true
		}
	}
	return false
}
