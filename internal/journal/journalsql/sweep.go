package journalsql

import (
	"context"
	"errors"

	"tapnet/internal/journal"
	"tapnet/internal/journal/celllog"
)

// Sweep calls fn for every cell as they lie, in no order of numbers, and stops at the first error. The cell is only valid during the call. All cells are of one
// moment. Before the writer has written anything back, it need not read the log again for that; fn may not commit then.
func (s *Store) Sweep(ctx context.Context, fn func(*journal.Cell) error) (err error) {
	if err := s.cells.look(ctx, func(*celllog.Log) error { return nil }); err != nil {
		return err
	}
	if l := s.cells.owned.Load(); l != nil {
		if swept, err := l.EachUntouched(ctx, fn); swept || err != nil {
			return err
		}
	}
	l, err := celllog.OpenReader(s.cells.path)
	if err != nil {
		return s.cells.wrap(err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return l.Each(ctx, fn)
}
