package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// memCells is what a MemStore keeps beside its rows.
type memCells struct {
	byID      map[int64]Cell
	byName    map[[16]byte]int64
	resolving map[uint64]uint64 // hold → row that ended it
	lastKey   string
	watermark uint64
}

func newMemCells() memCells {
	return memCells{byID: map[int64]Cell{}, byName: map[[16]byte]int64{}, resolving: map[uint64]uint64{}}
}

var errCellName = errors.New("journal: a cell's name is another's or changes")

func (c *memCells) check(back *Back) error {
	if back == nil {
		return nil
	}
	for i := range back.Cells {
		cell := &back.Cells[i]
		if old, ok := c.byID[cell.ID]; ok && old.Name != cell.Name {
			return fmt.Errorf("%w: cell %d", errCellName, cell.ID)
		}
		if id, ok := c.byName[cell.Name]; ok && cell.Name != [16]byte{} && id != cell.ID {
			return fmt.Errorf("%w: cell %d", errCellName, cell.ID)
		}
	}
	return back.Check()
}

func (c *memCells) put(back *Back) {
	if back == nil {
		return
	}
	for _, cell := range back.Cells {
		cell.Data = slices.Clone(cell.Data)
		c.byID[cell.ID] = cell
		if cell.Name != [16]byte{} {
			c.byName[cell.Name] = cell.ID
		}
	}
	c.watermark = max(c.watermark, back.Watermark)
}

// cell gives a copy.
func (c *memCells) cell(id int64) (Cell, bool) {
	cell, ok := c.byID[id]
	cell.Data = slices.Clone(cell.Data)
	return cell, ok
}

// reading runs f while nobody commits.
func (m *MemStore) reading(f func(d *memDisk)) error {
	if _, err := m.state(); err != nil {
		return err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	f(m.disk)
	return nil
}

// FindResolving implements Archive.
func (m *MemStore) FindResolving(_ context.Context, seq uint64) (row *Row, found bool, err error) {
	err = m.reading(func(d *memDisk) {
		if by := d.cells.resolving[seq]; by != 0 {
			r := d.rows[by-1].row()
			row, found = &r, true
		}
	})
	return row, found, err
}

// LastKey implements Archive.
func (m *MemStore) LastKey(context.Context) (key string, err error) {
	err = m.reading(func(d *memDisk) { key = d.cells.lastKey })
	return key, err
}

// FindCell implements Archive.
func (m *MemStore) FindCell(_ context.Context, id int64) (cell Cell, found bool, err error) {
	err = m.reading(func(d *memDisk) { cell, found = d.cells.cell(id) })
	return cell, found, err
}

// FindName implements Archive.
func (m *MemStore) FindName(_ context.Context, name [16]byte) (cell Cell, found bool, err error) {
	err = m.reading(func(d *memDisk) {
		if id, ok := d.cells.byName[name]; ok {
			cell, found = d.cells.cell(id)
		}
	})
	return cell, found, err
}

// Cells implements Archive.
func (m *MemStore) Cells(ctx context.Context, fn func(*Cell) error) error {
	var all []Cell
	if err := m.reading(func(d *memDisk) {
		for _, id := range slices.Sorted(maps.Keys(d.cells.byID)) {
			cell, _ := d.cells.cell(id)
			all = append(all, cell)
		}
	}); err != nil {
		return err
	}
	for i := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// Watermark implements Archive.
func (m *MemStore) Watermark(context.Context) (watermark uint64, err error) {
	err = m.reading(func(d *memDisk) { watermark = d.cells.watermark })
	return watermark, err
}

// TamperCell changes a stored cell behind everybody's back.
func (m *MemStore) TamperCell(id int64, change func(*Cell)) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	cell, _ := m.disk.cells.cell(id)
	change(&cell)
	m.disk.cells.byID[id] = cell
}
