package journalsql

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"tapnet/internal/journal"
)

const (
	findKeySQL       = `SELECT ` + columns + ` FROM journal WHERE key = ?1`
	findResolvingSQL = `SELECT ` + columns + ` FROM journal WHERE resolves = ?1 AND resolves <> 0`
	lastKeySQL       = `SELECT key FROM journal WHERE key IS NOT NULL ORDER BY key DESC LIMIT 1`
)

// row looks for one row of the journal.
func (s *Store) row(ctx context.Context, what, query string, bind func(*sqlite.Stmt)) (*journal.Row, bool, error) {
	var r journal.Row
	found, err := lender(s.lookouts.look).first(ctx, what, query, bind, func(stmt *sqlite.Stmt) (err error) {
		r, err = scan(stmt)
		return err
	})
	if !found {
		return nil, false, err
	}
	return &r, true, nil
}

// FindKey implements journal.Archive.
func (s *Store) FindKey(ctx context.Context, key string) (*journal.Row, bool, error) {
	return s.row(ctx, "find key", findKeySQL, func(stmt *sqlite.Stmt) { stmt.BindText(1, key) })
}

// FindResolving implements journal.Archive.
func (s *Store) FindResolving(ctx context.Context, seq uint64) (*journal.Row, bool, error) {
	return s.row(ctx, "find resolving row", findResolvingSQL, func(stmt *sqlite.Stmt) { stmt.BindInt64(1, int64(seq)) })
}

// LastKey implements journal.Archive.
func (s *Store) LastKey(ctx context.Context) (key string, err error) {
	_, err = lender(s.lookouts.look).first(ctx, "last key", lastKeySQL, func(*sqlite.Stmt) {}, func(stmt *sqlite.Stmt) error {
		key = stmt.ColumnText(0)
		return nil
	})
	return key, err
}

// FindCell implements journal.Archive.
func (s *Store) FindCell(ctx context.Context, id int64) (c journal.Cell, found bool, err error) {
	f, err := s.cells.file(ctx, false)
	if f == nil {
		return c, false, err
	}
	found, err = lender(f.look).first(ctx, "find cell", findCellSQL, func(stmt *sqlite.Stmt) { stmt.BindInt64(1, id) },
		func(stmt *sqlite.Stmt) error { return scanCell(stmt, &c) })
	return c, found, err
}

// FindName implements journal.Archive.
func (s *Store) FindName(ctx context.Context, name [16]byte) (c journal.Cell, found bool, err error) {
	f, err := s.cells.file(ctx, false)
	if f == nil {
		return c, false, err
	}
	err = f.look(ctx, func(*sqlite.Conn) error {
		found, err = f.findName(name, &c)
		return err
	})
	return c, found, err
}

// Cells implements journal.Archive. Like Load it reads on a connection of its own.
func (s *Store) Cells(ctx context.Context, fn func(*journal.Cell) error) (err error) {
	f, err := s.cells.file(ctx, false)
	if f == nil {
		return err
	}
	conn, err := connectCells(s.cells.path)
	if err != nil {
		return fmt.Errorf("journalsql: cells: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetInterrupt(ctx.Done())
	return eachCell(ctx, conn, fn)
}

// Watermark implements journal.Archive.
func (s *Store) Watermark(ctx context.Context) (watermark uint64, err error) {
	f, err := s.cells.file(ctx, false)
	if f == nil {
		return 0, err
	}
	_, err = lender(f.look).first(ctx, "watermark", watermarkSQL, func(*sqlite.Stmt) {}, func(stmt *sqlite.Stmt) error {
		watermark = uint64(stmt.ColumnInt64(0))
		return nil
	})
	return watermark, err
}
