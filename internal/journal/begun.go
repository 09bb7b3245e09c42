package journal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Begun is what a machine has begun and not ended: the part of its state that a restart must find without reading the whole journal. Each thing is named by
// the key of the row that began it, with a mark of the machine's own, and takes a cell while it is open at a write-back; the row says the rest. What begins and
// ends between two write-backs never takes one.
//
// Its cells have the numbers from FirstBegun on, used again and again: as many as were ever open at one time. The data is
//
//	version 1, mark (one octet, not zero), key
//
// and nothing at all when the cell is free. Every write-back brings all cells up to its last row, which is the watermark.
type Begun struct {
	every   int // rows between two write-backs
	rows    int // since the last
	open    map[string]byte
	changed map[string]bool  // against the store
	cells   map[string]int64 // in the store
	free    []int64
	next    int64
}

// FirstBegun is the number of the first cell of what is open; a machine's other cells have numbers below.
const FirstBegun int64 = 1 << 40

const begunVersion = 1

// NewBegun writes back once so many rows have come since the last time.
func NewBegun(every int) *Begun {
	return &Begun{every: every, open: map[string]byte{}, changed: map[string]bool{}, cells: map[string]int64{}, next: FirstBegun}
}

// Begin notes a thing as open, or changes its mark.
func (b *Begun) Begin(key string, mark byte) { b.open[key], b.changed[key] = mark, true }

// End notes that a thing is not open any more. One that is not open stays so.
func (b *Begun) End(key string) {
	delete(b.open, key)
	if _, stored := b.cells[key]; stored {
		b.changed[key] = true
	} else {
		delete(b.changed, key)
	}
}

// Len is the number of open things.
func (b *Begun) Len() int { return len(b.open) }

// Keys are the open things with that mark, in order.
func (b *Begun) Keys(mark byte) []string {
	var keys []string
	for key, m := range b.open {
		if m == mark {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

var errBegun = errors.New("cell of something open is damaged")

// Read takes a cell of the store in at the start.
func (b *Begun) Read(cell *Cell) error {
	b.next = max(b.next, cell.ID+1)
	if len(cell.Data) == 0 {
		b.free = append(b.free, cell.ID)
		return nil
	}
	if len(cell.Data) < 3 || cell.Data[0] != begunVersion || cell.Data[1] == 0 {
		return fmt.Errorf("cell %d: %w", cell.ID, errBegun)
	}
	key := string(cell.Data[2:])
	b.open[key], b.cells[key] = cell.Data[1], cell.ID
	return nil
}

// Due counts the rows of a batch and says whether it is time to write back.
func (b *Begun) Due(rows int) bool {
	b.rows += rows
	return b.rows >= b.every
}

// WriteBack adds the cells that have changed, and the watermark: last is the last row of the batch. The machine adds its own cells, all that have changed.
func (b *Begun) WriteBack(back *Back, last uint64) {
	b.rows = 0
	var ended []int64
	var begun []string
	for _, key := range slices.Sorted(maps.Keys(b.changed)) {
		mark, open := b.open[key]
		id, stored := b.cells[key]
		switch {
		case open && stored:
			appendBegun(back.Add(id, [16]byte{}, last), mark, key)
		case open:
			begun = append(begun, key)
		case stored:
			delete(b.cells, key)
			ended = append(ended, id)
		}
	}
	clear(b.changed)
	for _, key := range begun {
		var id int64
		switch {
		case len(ended) > 0:
			id, ended = ended[0], ended[1:]
		case len(b.free) > 0:
			id, b.free = b.free[len(b.free)-1], b.free[:len(b.free)-1]
		default:
			id, b.next = b.next, b.next+1
		}
		b.cells[key] = id
		appendBegun(back.Add(id, [16]byte{}, last), b.open[key], key)
	}
	for _, id := range ended {
		back.Add(id, [16]byte{}, last)
		b.free = append(b.free, id)
	}
	back.Watermark = last
}

func appendBegun(cell *Cell, mark byte, key string) {
	cell.Data = append(append(cell.Data, begunVersion, mark), key...)
}
