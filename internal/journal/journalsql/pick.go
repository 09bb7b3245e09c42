package journalsql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"

	"tapnet/internal/journal"
)

// pickRows is how many rows one read transaction of Pick passes.
const pickRows = 1 << 17

// Pick calls fn for the rows above after and up to last that are of one of the cards, or of no card and one of the kinds, in order, and stops at the first
// error. There is no index for it: it passes over every row, but opens only those it gives, which are few, and checks no chain. It reads on a connection of
// its own, beside the writer, in transactions that are short enough for the log to start anew in between.
func (s *Store) Pick(ctx context.Context, after, last uint64, cards []int64, kinds []journal.Kind, fn func(*journal.Row) error) (err error) {
	if err := s.lookouts.look(ctx, func(*sqlite.Conn) error { return nil }); err != nil {
		return err
	}
	conn, err := connect(s.path)
	if err != nil {
		return fmt.Errorf("journalsql: pick: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetInterrupt(ctx.Done())
	stmt, err := conn.Prepare(pickSQL(cards, kinds))
	if err != nil {
		return fmt.Errorf("journalsql: pick: %w", err)
	}
	for last = min(last, math.MaxInt64); after < last; after += pickRows {
		stmt.BindInt64(1, int64(after))
		stmt.BindInt64(2, int64(min(last, after+pickRows)))
		if err := pickAll(ctx, stmt, fn); err != nil {
			return errors.Join(err, stmt.Reset())
		}
		if err := stmt.Reset(); err != nil {
			return fmt.Errorf("journalsql: pick: %w", err)
		}
	}
	return nil
}

func pickAll(ctx context.Context, stmt *sqlite.Stmt, fn func(*journal.Row) error) error {
	for {
		more, err := stmt.Step()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("journalsql: pick: %w", err)
		}
		if !more {
			return nil
		}
		r, err := scan(stmt)
		if err != nil {
			return &journal.ChainError{Seq: r.Seq, Reason: err.Error()}
		}
		if err := fn(&r); err != nil {
			return err
		}
	}
}

// pickSQL writes the numbers themselves: they are integers, and there may be more of them than a statement takes parameters.
func pickSQL(cards []int64, kinds []journal.Kind) string {
	var b strings.Builder
	b.WriteString(`SELECT ` + columns + ` FROM journal WHERE seq > ?1 AND seq <= ?2 AND (card IN (`)
	for i, n := range cards {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	b.WriteString(`) OR card = 0 AND kind IN (`)
	for i, k := range kinds {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(k)))
	}
	b.WriteString(`)) ORDER BY seq`)
	return b.String()
}
