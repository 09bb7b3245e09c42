package journalsql

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
)

// Both lists of columns stand in the order of bind and scan.
const (
	columns = `seq, kind, at, business_date, content, stan, card, atc, reason, debit, credit, amount, currency, phase,
	resolves, linked, chain, key, payment, rrn, terminal, answer, note`
	insertSQL = `INSERT INTO journal (` + columns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// Commit implements journal.Store. The loop over the rows allocates nothing.
func (s *Store) Commit(ctx context.Context, epoch uint64, rows []journal.Row, back *journal.Back) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.closed {
		return journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if back != nil {
		if err := back.Check(); err != nil {
			return err
		}
	}
	if err := run(s.stmts.begin); err != nil {
		return fmt.Errorf("journalsql: begin: %w", err)
	}
	if err := s.insertAll(epoch, rows); err != nil {
		if s.writer.AutocommitEnabled() { // SQLite has rolled back by itself, as it does when the disk is full
			return err
		}
		return errors.Join(err, run(s.stmts.rollback))
	}
	if err := run(s.stmts.commit); err != nil {
		err = fmt.Errorf("journalsql: commit: %w", err)
		if s.writer.AutocommitEnabled() {
			return err
		}
		return errors.Join(err, run(s.stmts.rollback))
	}
	s.lastSeq += uint64(len(rows))
	if s.checkpoint.committed(len(rows)) {
		_, _ = passive(s.writer) // an error is no error of the commit; the next round tries again
	}
	return s.writeBack(back)
}

// writeBack comes after the commit, so that no cell is ever ahead of the journal.
func (s *Store) writeBack(back *journal.Back) error {
	if back == nil || len(back.Cells) == 0 && back.Watermark == 0 {
		return nil
	}
	return s.cells.put(back, s.lastSeq)
}

// insertAll runs inside the transaction. The epoch is read there: BEGIN IMMEDIATE holds the write lock, so nobody
// can claim the journal between this look and the commit.
func (s *Store) insertAll(epoch uint64, rows []journal.Row) error {
	current, err := sqlitex.ResultInt64(s.stmts.epoch)
	if err != nil {
		return fmt.Errorf("journalsql: read epoch: %w", err)
	}
	if epoch == 0 || uint64(current) != epoch {
		return errors.Join(journal.ErrStaleEpoch, s.cells.strange())
	}
	for i := range rows {
		r := &rows[i]
		if want := s.lastSeq + uint64(i) + 1; r.Seq != want {
			return fmt.Errorf("%w: row %d where %d is due", journal.ErrSequence, r.Seq, want)
		}
		bind(s.stmts.insert, r)
		if err := run(s.stmts.insert); err != nil {
			return insertError(r, err)
		}
	}
	return nil
}

// insertError gives the store's refusals their types. The driver's own text for them does not name a value.
func insertError(r *journal.Row, err error) error {
	switch sqlite.ErrCode(err) {
	case sqlite.ResultConstraintUnique:
		return &journal.DuplicateKeyError{Key: r.Key}
	case sqlite.ResultConstraintPrimaryKey, sqlite.ResultConstraintRowID:
		return fmt.Errorf("%w: row %d exists", journal.ErrSequence, r.Seq)
	}
	return fmt.Errorf("journalsql: insert row %d: %w", r.Seq, err)
}

// run steps a statement that returns no rows and makes it ready for the next time.
func run(stmt *sqlite.Stmt) error {
	if _, err := stmt.Step(); err != nil {
		return err // Step has reset it
	}
	return stmt.Reset()
}

// bind sets every parameter: bindings outlive Reset.
func bind(st *sqlite.Stmt, r *journal.Row) {
	st.BindInt64(1, int64(r.Seq))
	st.BindInt64(2, int64(r.Kind))
	st.BindInt64(3, r.At.UnixMicro())
	st.BindInt64(4, int64(r.BusinessDate))
	st.BindBytes(5, r.Content[:])
	st.BindInt64(6, int64(r.STAN))
	st.BindInt64(7, r.Card)
	st.BindInt64(8, int64(r.ATC))
	st.BindInt64(9, int64(r.Reason))
	st.BindInt64(10, int64(r.Debit))
	st.BindInt64(11, int64(r.Credit))
	st.BindInt64(12, r.Amount)
	st.BindInt64(13, int64(r.Currency))
	st.BindInt64(14, int64(r.Phase))
	st.BindInt64(15, int64(r.Resolves))
	st.BindInt64(16, int64(r.Linked))
	st.BindBytes(17, r.Chain[:])
	bindText(st, 18, r.Key)
	bindText(st, 19, r.Payment)
	bindText(st, 20, r.RRN)
	bindText(st, 21, r.Terminal)
	bindBlob(st, 22, r.Answer)
	bindBlob(st, 23, r.Note)
}

func bindText(st *sqlite.Stmt, param int, s string) {
	if s == "" {
		st.BindNull(param)
		return
	}
	st.BindText(param, s)
}

func bindBlob(st *sqlite.Stmt, param int, b []byte) {
	if len(b) == 0 {
		st.BindNull(param)
		return
	}
	st.BindBytes(param, b)
}
