package tsp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"tapnet/internal/journal"
)

// Capacity bounds what a token service keeps in memory; zero is the default of each.
type Capacity struct {
	Records int // records; more may be held while they wait to be written back
	Packed  int // tokens besides, as their cells have them, so that a look-up need not go to the store; below zero is none
	Ended   int // requests answered last
	Rows    int // rows between two write-backs
}

const (
	// defaultRecords take some 150 MB.
	defaultRecords = 1 << 18
	// defaultPacked take 340 bytes each once they exist: sixteen million, less than 6 GB.
	defaultPacked = 1 << 24
	// defaultEnded is minutes of a large network, in which nearly every repeat comes.
	defaultEnded = 1 << 16
	// defaultRows makes the replay of a restart a matter of milliseconds.
	defaultRows = 1 << 11
)

func (c Capacity) orDefault() Capacity {
	if c.Records <= 0 {
		c.Records = defaultRecords
	}
	if c.Packed == 0 {
		c.Packed = defaultPacked
	}
	if c.Ended <= 0 {
		c.Ended = defaultEnded
	}
	if c.Rows <= 0 {
		c.Rows = defaultRows
	}
	return c
}

// shelf holds records in memory: all that have changed since they were written back, and of the others as many as there is room for. The rest is in the
// store, and of tokens a packed copy. The writer alone changes it; find, findName and warm may run beside the writer.
type shelf struct {
	capacity int
	packed   packed
	archive  journal.Archive // nil: everything is in memory
	parts    [64]part
	places   map[int64]*place
	ring     []int64 // cells in memory, for the second-chance rule
	hand     int
	dirty    map[int64]bool

	// evicted are the cells put away last, count how many ever were: a look into the store is out of date when its record was put away since it began.
	evicted [evictedRing]evictedRecord
	count   atomic.Uint64
}

// place is where a record stands between memory and store.
type place struct {
	name    [16]byte
	seq     uint64 // last row about it
	written uint64 // last row of the batch that wrote it back
	touched atomic.Bool
}

type evictedRecord struct {
	cell int64
	name [16]byte
}

const (
	// evictedRing is more than are put away while an event waits to be handled.
	evictedRing = 1 << 13
	// tries is how many records are looked at to put one away: a bound on the work of one event.
	tries = 8
)

// part is a share of the records and of the names, each behind a lock of its own.
type part struct {
	mu     sync.RWMutex
	byCell map[int64]record
	byName map[[16]byte]int64
}

func newShelf(c Capacity) *shelf {
	s := &shelf{capacity: c.Records, places: map[int64]*place{}, dirty: map[int64]bool{}}
	s.packed.limit(c.Packed)
	return s
}

func (s *shelf) partOf(cell int64) *part      { return &s.parts[int(cell>>kindBits)%len(s.parts)] }
func (s *shelf) partNamed(n [16]byte) *part   { return &s.parts[int(n[0])%len(s.parts)] }
func (s *shelf) memory(cell int64) (r record) { return s.partOf(cell).get(cell) }

func (p *part) get(cell int64) record {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byCell[cell]
}

func (p *part) named(name [16]byte) int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byName[name]
}

// hint is a record that was found in the store, or not found, while memory did not have it.
type hint struct {
	cell   int64
	name   [16]byte
	record record // nil: there was none
	seq    uint64
	since  uint64
}

// find gives the record of a cell as it is now or was a moment ago, nil when there is none.
func (s *shelf) find(cell int64) (record, hint, error) {
	if r := s.memory(cell); r != nil {
		return r, hint{}, nil
	}
	h := hint{cell: cell, since: s.count.Load()}
	if s.archive == nil || cell <= 0 {
		return nil, h, nil
	}
	c, found, err := s.archive.FindCell(context.Background(), cell)
	if err != nil || !found {
		return nil, h, err
	}
	return h.read(&c)
}

// findName is find by name.
func (s *shelf) findName(name [16]byte) (record, hint, error) {
	if cell := s.partNamed(name).named(name); cell != 0 {
		if r := s.memory(cell); r != nil {
			return r, hint{}, nil
		}
	}
	h := hint{name: name, since: s.count.Load()}
	if s.archive == nil {
		return nil, h, nil
	}
	var near journal.Cell
	var room [slotRoom]byte
	if s.packed.find(&name, &near, &room) {
		return h.read(&near)
	}
	c, found, err := s.archive.FindName(context.Background(), name)
	if err != nil || !found {
		return nil, h, err
	}
	return h.read(&c)
}

func (h hint) read(c *journal.Cell) (record, hint, error) {
	r, err := parseRecord(c.ID, c.Data)
	if err != nil {
		return nil, h, err
	}
	h.cell, h.name, h.record, h.seq = c.ID, c.Name, r, c.Seq
	return r, h, nil
}

// stale reports whether a record may have changed since the look.
func (s *shelf) stale(h *hint) bool {
	now := s.count.Load()
	if now-h.since > evictedRing {
		return true
	}
	for at := h.since; at < now; at++ {
		if e := &s.evicted[at%evictedRing]; h.cell != 0 && e.cell == h.cell || h.name != [16]byte{} && e.name == h.name {
			return true
		}
	}
	return false
}

// get gives the writer the record of a cell: in memory, as one of the hints has it, or looked up now.
func (s *shelf) get(cell int64, hints ...hint) (record, error) {
	if r := s.memory(cell); r != nil {
		s.places[cell].touched.Store(true)
		return r, nil
	}
	for i := range hints {
		if h := &hints[i]; h.cell == cell && h.record != nil && !s.stale(h) {
			s.admit(h)
			return h.record, nil
		}
	}
	r, h, err := s.find(cell)
	if err == nil && r != nil {
		s.admit(&h)
	}
	return r, err
}

// getName is get by name.
func (s *shelf) getName(name [16]byte, hints ...hint) (record, error) {
	if cell := s.partNamed(name).named(name); cell != 0 {
		return s.get(cell)
	}
	for i := range hints {
		if h := &hints[i]; h.name == name && !s.stale(h) {
			if h.record != nil {
				s.admit(h)
			}
			return h.record, nil
		}
	}
	r, h, err := s.findName(name)
	if err == nil && r != nil && h.record != nil {
		s.admit(&h)
	}
	return r, err
}

// admit takes a record of the store into memory.
func (s *shelf) admit(h *hint) { s.keep(h.record, &place{name: h.name, seq: h.seq}) }

// put takes a decided record in.
func (s *shelf) put(r record, seq uint64) {
	cell := r.cell()
	p := s.places[cell]
	if p == nil {
		p = &place{name: r.name()}
	}
	p.seq = seq
	s.dirty[cell] = true
	s.keep(r, p)
}

func (s *shelf) keep(r record, p *place) {
	cell := r.cell()
	p.touched.Store(true)
	if _, known := s.places[cell]; !known {
		s.places[cell] = p
		s.ring = append(s.ring, cell)
	}
	at := s.partOf(cell)
	at.mu.Lock()
	if at.byCell == nil {
		at.byCell = map[int64]record{}
	}
	at.byCell[cell] = r
	at.mu.Unlock()
	if p.name != [16]byte{} {
		at = s.partNamed(p.name)
		at.mu.Lock()
		if at.byName == nil {
			at.byName = map[[16]byte]int64{}
		}
		at.byName[p.name] = cell
		at.mu.Unlock()
	}
}

// makeRoom puts away what has not been used lately and is in the store as it is; durable is the last row known to be on disk.
func (s *shelf) makeRoom(durable uint64) {
	for range tries {
		if s.archive == nil || len(s.ring) <= s.capacity {
			return
		}
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		cell := s.ring[s.hand]
		p := s.places[cell]
		if s.dirty[cell] || p.written > durable || cell == settingsCell || kindOf(cell) == kindRequestor || p.touched.Swap(false) {
			s.hand++
			continue
		}
		s.ring[s.hand] = s.ring[len(s.ring)-1]
		s.ring = s.ring[:len(s.ring)-1]
		s.putAway(cell, p)
	}
}

func (s *shelf) putAway(cell int64, p *place) {
	n := s.count.Load()
	s.evicted[n%evictedRing] = evictedRecord{cell, p.name}
	s.count.Store(n + 1)
	if r := s.memory(cell); kindOf(cell) == kindToken && !s.packed.has(&p.name, p.seq) {
		s.packed.put(&journal.Cell{ID: cell, Name: p.name, Seq: p.seq, Data: r.append(nil)})
	}
	delete(s.places, cell)
	at := s.partOf(cell)
	at.mu.Lock()
	delete(at.byCell, cell)
	at.mu.Unlock()
	if p.name != [16]byte{} {
		at = s.partNamed(p.name)
		at.mu.Lock()
		delete(at.byName, p.name)
		at.mu.Unlock()
	}
}

// sweeper is an archive that gives its cells faster when it may choose their order.
type sweeper interface {
	Sweep(ctx context.Context, fn func(*journal.Cell) error) error
}

// warm packs the tokens that the store has.
func (s *shelf) warm(ctx context.Context) error {
	if s.archive == nil {
		return nil
	}
	each := s.archive.Cells
	if a, ok := s.archive.(sweeper); ok {
		each = a.Sweep
	}
	return each(ctx, func(c *journal.Cell) error {
		if kindOf(c.ID) == kindToken {
			s.packed.put(c)
		}
		return nil
	})
}

// writeBack adds every record that has changed; last is the last row handled.
func (s *shelf) writeBack(back *journal.Back, last uint64) {
	for _, cell := range slices.Sorted(maps.Keys(s.dirty)) {
		r, p := s.memory(cell), s.places[cell]
		c := back.Add(cell, p.name, p.seq)
		c.Data = r.append(c.Data)
		p.written = last
	}
	clear(s.dirty)
}

// as gives a record its type; a cell of another kind is damage.
func as[T record](r record, err error) (T, bool, error) {
	var none T
	if err != nil || r == nil {
		return none, false, err
	}
	t, ok := r.(T)
	if !ok {
		return none, false, fmt.Errorf("cell %d: %w: of another kind", r.cell(), errRecord)
	}
	return t, true, nil
}
