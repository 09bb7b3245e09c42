package journalsql

import (
	"context"

	"zombiezen.com/go/sqlite"

	"tapnet/internal/journal"
	"tapnet/internal/journal/celllog"
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
	err = s.cells.look(ctx, func(l *celllog.Log) (err error) {
		found, err = l.Find(id, &c)
		return err
	})
	return c, found, err
}

// FindName implements journal.Archive.
func (s *Store) FindName(ctx context.Context, name [16]byte) (c journal.Cell, found bool, err error) {
	err = s.cells.look(ctx, func(l *celllog.Log) (err error) {
		found, err = l.FindName(name, &c)
		return err
	})
	return c, found, err
}

// Cells implements journal.Archive. Beside a writer each cell is as it is when its turn comes.
func (s *Store) Cells(ctx context.Context, fn func(*journal.Cell) error) (err error) {
	return s.cells.all(ctx, fn)
}

// Watermark implements journal.Archive.
func (s *Store) Watermark(ctx context.Context) (watermark uint64, err error) {
	err = s.cells.look(ctx, func(l *celllog.Log) error {
		watermark = l.Watermark()
		return nil
	})
	return watermark, err
}
