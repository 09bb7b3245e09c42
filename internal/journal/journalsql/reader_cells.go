package journalsql

import (
	"context"
	"fmt"
	"path/filepath"

	"tapnet/internal/journal"
	"tapnet/internal/journal/celllog"
)

// Watermark is the row up to which every cell is complete, zero when nothing was written back. All that a reader says about cells is of the moment at which
// it was first asked for any. Beside a writer it is asked before the ends of the journal are: then every cell is at least as far as the watermark says, and
// none is further than the rows.
func (r *Reader) Watermark(ctx context.Context) (watermark uint64, err error) {
	l, err := r.log(ctx)
	if err != nil {
		return 0, err
	}
	return l.Watermark(), nil
}

// LastInCells is the last row that a cell may know of.
func (r *Reader) LastInCells(ctx context.Context) (last uint64, err error) {
	l, err := r.log(ctx)
	if err != nil {
		return 0, err
	}
	return l.Last(), nil
}

// FindCell is the cell with that number, if there is one.
func (r *Reader) FindCell(ctx context.Context, id int64) (c journal.Cell, found bool, err error) {
	l, err := r.log(ctx)
	if err != nil {
		return c, false, err
	}
	found, err = l.Find(id, &c)
	return c, found, err
}

// Cells calls fn for every cell, in no order of numbers, and stops at the first error. The cell is only valid during the call.
func (r *Reader) Cells(ctx context.Context, fn func(*journal.Cell) error) error {
	l, err := r.log(ctx)
	if err != nil {
		return err
	}
	return l.Each(ctx, fn)
}

// log opens the cells when they are first asked for.
func (r *Reader) log(ctx context.Context) (*celllog.Log, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.cells != nil {
		return r.cells, nil
	}
	l, err := celllog.OpenReader(CellsPath(r.path))
	if err != nil {
		return nil, fmt.Errorf("journalsql: %s: %w", filepath.Base(CellsPath(r.path)), err)
	}
	r.cells = l
	return l, nil
}
