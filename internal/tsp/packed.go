package tsp

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"tapnet/internal/journal"
	"tapnet/internal/pages"
)

// packed holds tokens' records as their cells have them, in memory without pointers: a look-up by name costs the same among ten million as among ten thousand,
// but for what the processor's caches miss, and the garbage collector has nothing to look through. Of the misses there are two, one of the index and one of the
// slot; near and nearer begin them while there is other work to do.
//
// It stands between the records that are in use and the store: what it has is never older than the store's cell of a record that is not in use. The writer puts
// a record here when it puts it away, and Warm what the store has; the later row wins. What does not fit in stays in the store only.
type packed struct {
	parts [64]packedPart
	most  int // tokens; 0 is none
	taken atomic.Int64
}

// packedPart is a share of the names, behind a lock of its own.
type packedPart struct {
	mu sync.RWMutex
	// index is open addressing: 40 bits of the name above the number of its slot, which counts from 1. Zero is free. Nothing is ever taken out.
	index []uint64
	used  int
	slabs [][]byte
}

const (
	// slotBytes is five lines of a processor's cache: a token with a device's name of 48 characters and a few limits of its own.
	slotBytes  = 320
	slotHeader = 8 + 8 + 16 + 2 // row, cell, name, length of what follows
	slotRoom   = slotBytes - slotHeader
	// slotBits number a part's slots.
	slotBits = 24
	// firstSlots are of a part's first slab, which is small; every later one fills a huge page.
	firstSlots = 64
	slabSlots  = pages.HugeBytes / slotBytes
	// firstIndex is the first length of a part's index, a power of two. It doubles when three quarters are taken.
	firstIndex = 64
)

func (p *packed) limit(tokens int) { p.most = max(0, min(tokens, len(p.parts)<<(slotBits-1))) }

// part and tag come from different bytes of the name, which is a keyed hash.
func (p *packed) part(name *[16]byte) *packedPart { return &p.parts[int(name[0])%len(p.parts)] }
func tagOf(name *[16]byte) uint64                 { return binary.LittleEndian.Uint64(name[8:]) >> slotBits }

// near begins a look-up of a name.
func (p *packed) near(name *[16]byte) {
	part := p.part(name)
	part.mu.RLock()
	defer part.mu.RUnlock()
	if len(part.index) > 0 {
		at := tagOf(name) & uint64(len(part.index)-1)
		pages.Prefetch(part.index[at : at+1])
	}
}

// nearer goes on with it.
func (p *packed) nearer(name *[16]byte) {
	part := p.part(name)
	part.mu.RLock()
	defer part.mu.RUnlock()
	if slot := part.likely(name); slot != nil {
		pages.Prefetch(slot)
	}
}

// find copies a record's cell into c, whose Data is put into room. A record that is too long for a slot is not found here.
func (p *packed) find(name *[16]byte, c *journal.Cell, room *[slotRoom]byte) bool {
	part := p.part(name)
	part.mu.RLock()
	defer part.mu.RUnlock()
	slot := part.slot(name)
	if slot == nil {
		return false
	}
	n := binary.LittleEndian.Uint16(slot[32:])
	c.Seq, c.ID, c.Name = binary.LittleEndian.Uint64(slot), int64(binary.LittleEndian.Uint64(slot[8:])), *name
	c.Data = room[:copy(room[:n], slot[slotHeader:])]
	return n > 0
}

// has reports whether the record is here as of that row or a later one.
func (p *packed) has(name *[16]byte, seq uint64) bool {
	part := p.part(name)
	part.mu.RLock()
	defer part.mu.RUnlock()
	slot := part.slot(name)
	return slot != nil && binary.LittleEndian.Uint64(slot) >= seq
}

// put takes a record in, unless a later one is here or there is no room.
func (p *packed) put(c *journal.Cell) {
	if p.most == 0 {
		return
	}
	part := p.part(&c.Name)
	part.mu.Lock()
	defer part.mu.Unlock()
	slot := part.slot(&c.Name)
	switch {
	case slot == nil && (p.taken.Load() >= int64(p.most) || part.used == 1<<slotBits-1):
		return
	case slot == nil:
		p.taken.Add(1)
		slot = part.add(&c.Name)
	case binary.LittleEndian.Uint64(slot) >= c.Seq:
		return
	}
	data := c.Data
	if len(data) > slotRoom {
		data = nil // its slot says that only the store has it
	}
	binary.LittleEndian.PutUint64(slot, c.Seq)
	binary.LittleEndian.PutUint64(slot[8:], uint64(c.ID))
	copy(slot[16:], c.Name[:])
	binary.LittleEndian.PutUint16(slot[32:], uint16(len(data)))
	copy(slot[slotHeader:], data)
}

// slot finds a name's slot, nil when it has none.
func (p *packedPart) slot(name *[16]byte) []byte {
	if len(p.index) == 0 {
		return nil
	}
	tag, mask := tagOf(name), uint64(len(p.index)-1)
	for at := tag & mask; ; at = (at + 1) & mask {
		entry := p.index[at]
		if entry == 0 {
			return nil
		}
		if entry>>slotBits != tag {
			continue
		}
		if slot := p.at(entry); [16]byte(slot[16:32]) == *name {
			return slot
		}
	}
}

// likely is slot without a look at the name there, which with 40 bits of a hash is nearly always the right one.
func (p *packedPart) likely(name *[16]byte) []byte {
	if len(p.index) == 0 {
		return nil
	}
	tag, mask := tagOf(name), uint64(len(p.index)-1)
	for at := tag & mask; p.index[at] != 0; at = (at + 1) & mask {
		if p.index[at]>>slotBits == tag {
			return p.at(p.index[at])
		}
	}
	return nil
}

// at is the slot that an entry of the index names.
func (p *packedPart) at(entry uint64) []byte {
	slot := int(entry&(1<<slotBits-1)) - 1
	slab, from := 0, slot
	if slot >= firstSlots {
		slab, from = 1+(slot-firstSlots)/slabSlots, (slot-firstSlots)%slabSlots
	}
	from *= slotBytes
	return p.slabs[slab][from : from+slotBytes : from+slotBytes]
}

// add gives a name the next slot.
func (p *packedPart) add(name *[16]byte) []byte {
	if p.used*4 >= len(p.index)*3 {
		p.grow()
	}
	switch {
	case p.used == 0:
		p.slabs = append(p.slabs, make([]byte, firstSlots*slotBytes))
	case p.used >= firstSlots && (p.used-firstSlots)%slabSlots == 0:
		p.slabs = append(p.slabs, pages.Alloc[byte](pages.HugeBytes))
	}
	p.used++
	entry := tagOf(name)<<slotBits | uint64(p.used)
	p.enter(entry)
	return p.at(entry)
}

func (p *packedPart) enter(entry uint64) {
	mask := uint64(len(p.index) - 1)
	at := entry >> slotBits & mask
	for p.index[at] != 0 {
		at = (at + 1) & mask
	}
	p.index[at] = entry
}

func (p *packedPart) grow() {
	old := p.index
	p.index = pages.Alloc[uint64](max(firstIndex, 2*len(old)))
	for _, entry := range old {
		if entry != 0 {
			p.enter(entry)
		}
	}
	pages.Free(old)
}
