package journal

import (
	"context"
	"fmt"
)

// Cell is a piece of a machine's state, say one card with its balances and counters, kept in the store beside the rows it follows from. It is a cache of
// them: a start need not replay every row, memory need not hold every piece, and a checker can compare it with what the rows say.
type Cell struct {
	ID   int64    // the machine's own number of the piece, above zero
	Name [16]byte // a second way to find it, unique; zero for none. It never changes
	Seq  uint64   // the last row that is folded into Data
	Data []byte   // the machine's own encoding, at most MaxCellBytes
}

// MaxCellBytes bounds a cell: a card takes some 150 bytes, and a page of the store should hold many.
const MaxCellBytes = 4 << 10

// Back is what a commit writes back besides its rows, never before them: cells may lag behind the rows on disk and are not ahead of them.
type Back struct {
	Cells []Cell
	// Watermark, unless zero, promises that with these cells every cell in the store holds every row up to this number.
	Watermark uint64
}

// Reset empties b and keeps its memory.
func (b *Back) Reset() { b.Cells, b.Watermark = b.Cells[:0], 0 }

// Add makes room for a cell and returns it, with empty Data whose memory may be used. It is valid until the next Add.
func (b *Back) Add(id int64, name [16]byte, seq uint64) *Cell {
	if len(b.Cells) < cap(b.Cells) {
		b.Cells = b.Cells[:len(b.Cells)+1]
	} else {
		b.Cells = append(b.Cells, Cell{})
	}
	c := &b.Cells[len(b.Cells)-1]
	*c = Cell{ID: id, Name: name, Seq: seq, Data: c.Data[:0]}
	return c
}

// Check reports what no store takes.
func (b *Back) Check() error {
	for i := range b.Cells {
		c := &b.Cells[i]
		switch {
		case c.ID <= 0:
			return fmt.Errorf("journal: cell number %d is not above zero", c.ID)
		case len(c.Data) > MaxCellBytes:
			return fmt.Errorf("journal: cell %d of %d bytes, more than %d", c.ID, len(c.Data), MaxCellBytes)
		}
	}
	return nil
}

// Archive is what can be read of a store while another goroutine commits to it. It shows committed batches only, whole ones.
type Archive interface {
	// FindKey is the row with that key.
	FindKey(ctx context.Context, key string) (*Row, bool, error)
	// FindResolving is the row that posts or voids the hold of row seq.
	FindResolving(ctx context.Context, seq uint64) (*Row, bool, error)
	// LastKey is the greatest key of any row, "" when none has one.
	LastKey(ctx context.Context) (string, error)
	// FindCell is the cell of that number, FindName the one of that name. Data is the caller's.
	FindCell(ctx context.Context, id int64) (Cell, bool, error)
	FindName(ctx context.Context, name [16]byte) (Cell, bool, error)
	// Cells calls fn for every cell in order of number, and stops at the first error. The cell is only valid during the call.
	Cells(ctx context.Context, fn func(*Cell) error) error
	// Watermark is the highest one committed.
	Watermark(ctx context.Context) (uint64, error)
}

// Keeper is a Machine that does not hold all of its state in memory: what it may forget it finds again in the archive.
type Keeper interface {
	Machine
	// Open is called once, before the first Replay. Rows up to the watermark are in the cells and are not replayed; a later one may be in some cells
	// already, those whose Seq says so.
	Open(ctx context.Context, archive Archive, watermark uint64) error
	// WriteBack is called when a batch of rows goes to the store: back is empty and takes cells as they are after the last of these rows. Without rows it is
	// called before the writer stops, again and again until it adds nothing, so that the next start has little to do. What is written
	// back may be forgotten once durable, the last row known to be on disk, has reached the last row of that batch. The memory of back's cells is used
	// again for a later batch, and nothing else may refer to it.
	WriteBack(back *Back, rows int, durable uint64)
}
