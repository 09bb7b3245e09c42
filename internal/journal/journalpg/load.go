package journalpg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

const (
	// pageSQL reads a page, not the rest: a long statement would keep the server from tidying up behind it for as long as
	// a replay takes.
	pageSQL = `SELECT ` + columns + ` FROM journal WHERE shard = $1 AND seq > $2 ORDER BY seq LIMIT $3`
	findSQL = `SELECT ` + columns + ` FROM journal WHERE shard = $1 AND key = $2`
	lastSQL = `SELECT seq, chain FROM journal WHERE shard = $1 ORDER BY seq DESC LIMIT 1`
	rowSQL  = `SELECT seq, chain FROM journal WHERE shard = $1 AND seq = $2`
)

// pageRows is enough that the round trip of a page costs nothing beside its rows.
const pageRows = 4096

// errStopped carries a caller's refusal, or a broken chain, out of a query that did not fail.
type errStopped struct{ cause error }

func (e *errStopped) Error() string { return e.cause.Error() }

func (e *errStopped) Unwrap() error { return e.cause }

// Load implements journal.Store. It reads on a connection of its own, so that it blocks neither commits nor FindKey.
func (s *Store) Load(ctx context.Context, after uint64, fn func(*journal.Row) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	sn := session{config: s.config, prepare: []string{pageSQL}}
	defer sn.close()
	chain, err := s.chainAt(ctx, &sn, after)
	if err != nil {
		return err
	}
	for {
		full, err := s.loadPage(ctx, &sn, &chain, fn)
		var stopped *errStopped
		switch {
		case errors.As(err, &stopped):
			return stopped.cause
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("journalpg: load after row %d: %w", chain.Seq, err)
		case !full:
			return nil
		}
	}
}

// loadPage goes on behind chain, also when it is repeated in the middle of a page.
func (s *Store) loadPage(ctx context.Context, sn *session, chain *journal.Chain, fn func(*journal.Row) error) (full bool, err error) {
	err = s.retry(sn, true, func() error {
		n := 0
		_, err := sn.query(ctx, pageSQL, [][]byte{int8Param(s.options.Shard), int8Param(int64(chain.Seq)), int8Param(pageRows)},
			func(values [][]byte) error {
				n++
				sc := scanner{values: values}
				r := sc.row()
				if sc.err != nil {
					return &errStopped{&journal.ChainError{Seq: chain.Seq + 1, Reason: sc.err.Error()}}
				}
				if err := chain.Check(&r); err != nil {
					return &errStopped{err}
				}
				if err := fn(&r); err != nil {
					return &errStopped{err}
				}
				return ctx.Err()
			})
		full = n == pageRows
		return err
	})
	return full, err
}

// chainAt is the chain as it stands after row seq.
func (s *Store) chainAt(ctx context.Context, sn *session, seq uint64) (journal.Chain, error) {
	switch {
	case seq == 0:
		return journal.Chain{}, nil
	case seq > math.MaxInt64:
		return journal.Chain{}, fmt.Errorf("%w: load after row %d", journal.ErrSequence, seq)
	}
	chain, err := s.chainRow(ctx, sn, rowSQL, int8Param(s.options.Shard), int8Param(int64(seq)))
	switch {
	case err != nil:
		return journal.Chain{}, fmt.Errorf("journalpg: load: %w", err)
	case chain.Seq != seq:
		return journal.Chain{}, fmt.Errorf("%w: load after row %d, which does not exist", journal.ErrSequence, seq)
	}
	return chain, nil
}

func (s *Store) lastRow(ctx context.Context, sn *session) (journal.Chain, error) {
	return s.chainRow(ctx, sn, lastSQL, int8Param(s.options.Shard))
}

// chainRow is the one row of a statement that selects seq and chain, zero when there is none.
func (s *Store) chainRow(ctx context.Context, sn *session, sql string, params ...[]byte) (chain journal.Chain, err error) {
	err = s.retry(sn, true, func() error {
		chain = journal.Chain{}
		_, err := sn.query(ctx, sql, params, func(values [][]byte) error {
			sc := scanner{values: values}
			chain.Seq = sc.unsigned(0, math.MaxInt64)
			if sc.fixed(1, chain.Hash[:]); sc.err != nil {
				return &journal.ChainError{Seq: chain.Seq, Reason: sc.err.Error()}
			}
			return nil
		})
		return err
	})
	return chain, err
}

// usable is why a read cannot begin.
func (s *Store) usable(ctx context.Context) error {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if s.closed {
		return journal.ErrClosed
	}
	return ctx.Err()
}

// Last implements journal.Store.
func (s *Store) Last(ctx context.Context) (uint64, [32]byte, error) {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if s.closed {
		return 0, [32]byte{}, journal.ErrClosed
	}
	chain, err := s.lastRow(ctx, &s.reader)
	if err != nil {
		return 0, [32]byte{}, fmt.Errorf("journalpg: last row: %w", err)
	}
	return chain.Seq, chain.Hash, nil
}

// FindKey implements journal.Store.
func (s *Store) FindKey(ctx context.Context, key string) (*journal.Row, bool, error) {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if s.closed {
		return nil, false, journal.ErrClosed
	}
	var found *journal.Row
	err := s.retry(&s.reader, true, func() error {
		found = nil
		_, err := s.reader.query(ctx, findSQL, [][]byte{int8Param(s.options.Shard), []byte(key)}, func(values [][]byte) error {
			sc := scanner{values: values}
			r := sc.row()
			found = &r
			return sc.err
		})
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("journalpg: find key: %w", err)
	}
	return found, found != nil, nil
}

// scanner reads the columns of a row and remembers the first that does not fit its field: somebody has been at the
// table.
type scanner struct {
	values [][]byte
	err    error
}

// row reads columns. It shares no memory with the values.
func (sc *scanner) row() journal.Row {
	var r journal.Row
	if len(sc.values) != int8Columns+byteaColumns {
		sc.err = fmt.Errorf("%d columns", len(sc.values))
		return r
	}
	r.Seq = sc.unsigned(0, math.MaxInt64)
	r.Kind = journal.Kind(sc.unsigned(1, math.MaxUint8))
	r.At = time.UnixMicro(sc.int64(2)).UTC()
	r.BusinessDate = int32(sc.signed(3, math.MinInt32, math.MaxInt32))
	r.STAN = uint32(sc.unsigned(4, math.MaxUint32))
	r.Card = sc.int64(5)
	r.ATC = uint16(sc.unsigned(6, math.MaxUint16))
	r.Reason = uint16(sc.unsigned(7, math.MaxUint16))
	r.Debit = ledger.Account(sc.int64(8))
	r.Credit = ledger.Account(sc.int64(9))
	r.Amount = sc.int64(10)
	r.Currency = uint16(sc.unsigned(11, math.MaxUint16))
	r.Phase = ledger.Phase(sc.unsigned(12, math.MaxUint8))
	r.Resolves = sc.unsigned(13, math.MaxInt64)
	r.Linked = sc.unsigned(14, math.MaxInt64)
	sc.fixed(15, r.Content[:])
	sc.fixed(16, r.Chain[:])
	r.Key = sc.text(17)
	r.Payment = sc.text(18)
	r.RRN = sc.text(19)
	r.Terminal = sc.text(20)
	r.Answer = sc.blob(21)
	r.Note = sc.blob(22)
	return r
}

func (sc *scanner) bad(col int) {
	if sc.err != nil {
		return
	}
	name := fmt.Sprintf("number %d", col+1)
	if len(sc.values) == int8Columns+byteaColumns {
		name = strings.TrimSpace(strings.Split(columns, ",")[col])
	}
	sc.err = fmt.Errorf("column %s does not fit", name)
}

func (sc *scanner) int64(col int) int64 {
	if col >= len(sc.values) || len(sc.values[col]) != 8 {
		sc.bad(col)
		return 0
	}
	return int64(binary.BigEndian.Uint64(sc.values[col]))
}

func (sc *scanner) signed(col int, low, high int64) int64 {
	v := sc.int64(col)
	if v < low || v > high {
		sc.bad(col)
		return 0
	}
	return v
}

func (sc *scanner) unsigned(col int, high int64) uint64 { return uint64(sc.signed(col, 0, high)) }

func (sc *scanner) fixed(col int, to []byte) {
	if col >= len(sc.values) || len(sc.values[col]) != len(to) {
		sc.bad(col)
		return
	}
	copy(to, sc.values[col])
}

func (sc *scanner) text(col int) string {
	if len(sc.values[col]) > journal.MaxTextBytes {
		sc.bad(col)
		return ""
	}
	return string(sc.values[col])
}

func (sc *scanner) blob(col int) []byte {
	switch n := len(sc.values[col]); {
	case n == 0:
		return nil
	case n > journal.MaxBlobBytes:
		sc.bad(col)
		return nil
	}
	return append([]byte(nil), sc.values[col]...)
}
