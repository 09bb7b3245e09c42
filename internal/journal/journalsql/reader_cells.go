package journalsql

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"tapnet/internal/journal"
)

// Watermark is the row up to which every cell is complete, zero when nothing was written back. Beside a writer it is read before the cells and they before
// the ends: then every cell is at least as far as the watermark says, and none is further than the rows.
func (r *Reader) Watermark(ctx context.Context) (watermark uint64, err error) {
	_, err = r.first(ctx, "watermark", watermarkSQL, func(*sqlite.Stmt) {}, func(stmt *sqlite.Stmt) { watermark = uint64(stmt.ColumnInt64(0)) })
	return watermark, err
}

// FindCell is the cell with that number, if there is one.
func (r *Reader) FindCell(ctx context.Context, id int64) (c journal.Cell, found bool, err error) {
	found, err = r.first(ctx, "find cell", findCellSQL, func(stmt *sqlite.Stmt) { stmt.BindInt64(1, id) }, func(stmt *sqlite.Stmt) { readCell(stmt, &c) })
	return c, found, err
}

// allCellsSQL takes the cells as they lie: in any other order each would be a page of its own.
const allCellsSQL = `SELECT id, seq, name, data FROM cell ORDER BY place`

// Cells calls fn for every cell, in no order of numbers, and stops at the first error. The cell is only valid during the call. All cells are of one moment: a
// writer's log does not start anew meanwhile, which for a million cells is a second.
func (r *Reader) Cells(ctx context.Context, fn func(*journal.Cell) error) error {
	if r.cells == nil {
		return nil
	}
	stmt, err := r.cells.Prepare(allCellsSQL)
	if err != nil {
		return fmt.Errorf("journalsql: read cells: %w", err)
	}
	var c journal.Cell
	for {
		more, err := stmt.Step()
		if err != nil {
			return fmt.Errorf("journalsql: read cells after %d: %w", c.ID, errors.Join(ctx.Err(), err))
		}
		if !more {
			return stmt.Reset()
		}
		readCell(stmt, &c)
		if err := fn(&c); err != nil {
			return errors.Join(err, stmt.Reset())
		}
	}
}

// first runs a query that has one row or none.
func (r *Reader) first(ctx context.Context, what, query string, bind, read func(*sqlite.Stmt)) (found bool, err error) {
	if r.cells == nil {
		return false, nil
	}
	stmt, err := r.cells.Prepare(query)
	if err != nil {
		return false, fmt.Errorf("journalsql: %s: %w", what, err)
	}
	bind(stmt)
	if found, err = stmt.Step(); err != nil {
		return false, fmt.Errorf("journalsql: %s: %w", what, errors.Join(ctx.Err(), err))
	}
	if found {
		read(stmt)
	}
	return found, stmt.Reset()
}

// readCell is scanCell for a store that may be damaged: a name or data that cannot be is empty, a number below zero is beyond every row.
func readCell(stmt *sqlite.Stmt, c *journal.Cell) {
	c.ID, c.Seq, c.Name = stmt.ColumnInt64(0), uint64(stmt.ColumnInt64(1)), [16]byte{}
	if stmt.ColumnLen(2) == len(c.Name) {
		stmt.ColumnBytes(2, c.Name[:])
	}
	n := stmt.ColumnLen(3)
	if n > journal.MaxCellBytes+padBlock {
		n = 0
	}
	if cap(c.Data) < n {
		c.Data = make([]byte, n)
	}
	c.Data = c.Data[:n]
	if n > 0 {
		stmt.ColumnBytes(3, c.Data)
	}
	c.Data, _ = unpad(c.Data)
}
