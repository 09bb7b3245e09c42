package journalsql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"zombiezen.com/go/sqlite"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

const (
	loadSQL  = `SELECT ` + columns + ` FROM journal WHERE seq > ?1 ORDER BY seq`
	lastSQL  = `SELECT seq, chain FROM journal ORDER BY seq DESC LIMIT 1`
	chainSQL = `SELECT seq, chain FROM journal WHERE seq = ?1`
)

// Load implements journal.Store. It reads on a connection of its own, so that it blocks neither commits nor FindKey.
func (s *Store) Load(ctx context.Context, after uint64, fn func(*journal.Row) error) (err error) {
	if err := s.lookouts.look(ctx, func(*sqlite.Conn) error { return nil }); err != nil {
		return err
	}
	conn, err := connect(s.path)
	if err != nil {
		return fmt.Errorf("journalsql: load: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetInterrupt(ctx.Done())
	chain, err := chainAt(conn, after)
	if err != nil {
		return err
	}
	stmt, err := conn.Prepare(loadSQL)
	if err != nil {
		return fmt.Errorf("journalsql: load: %w", err)
	}
	stmt.BindInt64(1, int64(after))
	for {
		more, err := stmt.Step()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("journalsql: load after row %d: %w", chain.Seq, err)
		}
		if !more {
			return nil
		}
		r, err := scan(stmt)
		if err != nil {
			return &journal.ChainError{Seq: chain.Seq + 1, Reason: err.Error()}
		}
		if err := chain.Check(&r); err != nil {
			return err
		}
		if err := fn(&r); err != nil {
			return err
		}
	}
}

// chainAt is the chain as it stands after row seq.
func chainAt(conn *sqlite.Conn, seq uint64) (journal.Chain, error) {
	if seq == 0 {
		return journal.Chain{}, nil
	}
	if seq > math.MaxInt64 {
		return journal.Chain{}, fmt.Errorf("%w: load after row %d", journal.ErrSequence, seq)
	}
	stmt, err := conn.Prepare(chainSQL)
	if err != nil {
		return journal.Chain{}, fmt.Errorf("journalsql: load: %w", err)
	}
	stmt.BindInt64(1, int64(seq))
	found, hash, ok, err := stepChain(stmt)
	switch {
	case err != nil:
		return journal.Chain{}, fmt.Errorf("journalsql: load: %w", err)
	case !ok:
		return journal.Chain{}, fmt.Errorf("%w: load after row %d, which does not exist", journal.ErrSequence, seq)
	}
	return journal.Chain{Seq: found, Hash: hash}, nil
}

// stepChain reads the one row of a statement that selects seq and chain.
func stepChain(stmt *sqlite.Stmt) (seq uint64, hash [32]byte, ok bool, err error) {
	more, err := stmt.Step()
	if err != nil {
		return 0, hash, false, err
	}
	if more {
		seq = uint64(stmt.ColumnInt64(0))
		if n := stmt.ColumnBytes(1, hash[:]); n != len(hash) || stmt.ColumnLen(1) != len(hash) {
			err = &journal.ChainError{Seq: seq, Reason: "chain has a wrong length"}
		}
	}
	return seq, hash, more, errors.Join(err, stmt.Reset())
}

// Last implements journal.Store.
func (s *Store) Last(ctx context.Context) (seq uint64, hash [32]byte, err error) {
	err = s.lookouts.look(ctx, func(conn *sqlite.Conn) error {
		stmt, err := conn.Prepare(lastSQL)
		if err != nil {
			return fmt.Errorf("journalsql: last row: %w", err)
		}
		if seq, hash, _, err = stepChain(stmt); err != nil {
			return fmt.Errorf("journalsql: last row: %w", err)
		}
		return nil
	})
	return seq, hash, err
}

// scan reads a row and refuses numbers that its fields cannot hold: somebody has been at the file.
func scan(st *sqlite.Stmt) (journal.Row, error) {
	sc := scanner{st: st}
	var r journal.Row
	r.Seq = sc.unsigned(0, math.MaxInt64)
	r.Kind = journal.Kind(sc.unsigned(1, math.MaxUint8))
	r.At = time.UnixMicro(st.ColumnInt64(2)).UTC()
	r.BusinessDate = int32(sc.signed(3, math.MinInt32, math.MaxInt32))
	sc.fixed(4, r.Content[:])
	r.STAN = uint32(sc.unsigned(5, math.MaxUint32))
	r.Card = st.ColumnInt64(6)
	r.ATC = uint16(sc.unsigned(7, math.MaxUint16))
	r.Reason = uint16(sc.unsigned(8, math.MaxUint16))
	r.Debit = ledger.Account(st.ColumnInt64(9))
	r.Credit = ledger.Account(st.ColumnInt64(10))
	r.Amount = st.ColumnInt64(11)
	r.Currency = uint16(sc.unsigned(12, math.MaxUint16))
	r.Phase = ledger.Phase(sc.unsigned(13, math.MaxUint8))
	r.Resolves = sc.unsigned(14, math.MaxInt64)
	r.Linked = sc.unsigned(15, math.MaxInt64)
	sc.fixed(16, r.Chain[:])
	r.Key = sc.text(17)
	r.Payment = sc.text(18)
	r.RRN = sc.text(19)
	r.Terminal = sc.text(20)
	r.Answer = sc.blob(21)
	r.Note = sc.blob(22)
	return r, sc.err
}

// scanner remembers the first column that does not fit.
type scanner struct {
	st     *sqlite.Stmt
	column string
	err    error
}

func (sc *scanner) bad(col int) {
	if sc.err == nil {
		sc.column = sc.st.ColumnName(col)
		sc.err = fmt.Errorf("column %s does not fit", sc.column)
	}
}

func (sc *scanner) signed(col int, low, high int64) int64 {
	v := sc.st.ColumnInt64(col)
	if v < low || v > high {
		sc.bad(col)
		return 0
	}
	return v
}

func (sc *scanner) unsigned(col int, high int64) uint64 { return uint64(sc.signed(col, 0, high)) }

func (sc *scanner) fixed(col int, to []byte) {
	if sc.st.ColumnLen(col) != len(to) || sc.st.ColumnBytes(col, to) != len(to) {
		sc.bad(col)
	}
}

func (sc *scanner) text(col int) string {
	if sc.st.ColumnLen(col) > journal.MaxTextBytes {
		sc.bad(col)
		return ""
	}
	return sc.st.ColumnText(col)
}

func (sc *scanner) blob(col int) []byte {
	n := sc.st.ColumnLen(col)
	switch {
	case n == 0:
		return nil
	case n > journal.MaxBlobBytes:
		sc.bad(col)
		return nil
	}
	b := make([]byte, n)
	sc.st.ColumnBytes(col, b)
	return b
}
