package journalpg

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"tapnet/internal/journal"
)

// cellParams follow the rows: four arrays of cells, and the watermark.
const cellParams = 5

const (
	cellColumns  = `id, name, seq, data`
	cellSQL      = `SELECT ` + cellColumns + ` FROM cell WHERE shard = $1 AND id = $2`
	cellNameSQL  = `SELECT ` + cellColumns + ` FROM cell WHERE shard = $1 AND name = $2`
	cellPageSQL  = `SELECT ` + cellColumns + ` FROM cell WHERE shard = $1 AND id > $2 ORDER BY id LIMIT $3`
	resolvingSQL = `SELECT ` + columns + ` FROM journal WHERE shard = $1 AND resolves = $2 AND resolves <> 0 ORDER BY seq LIMIT 1`
	lastKeySQL   = `SELECT key FROM journal WHERE shard = $1 AND key IS NOT NULL ORDER BY key DESC LIMIT 1`
	watermarkSQL = `SELECT seq FROM watermark WHERE shard = $1`
)

// cellBatch is what a commit writes back, as parameters. Its memory is used again.
type cellBatch [cellParams][]byte

func (c *cellBatch) fill(back *journal.Back) {
	var cells []journal.Cell
	var watermark uint64
	if back != nil {
		cells, watermark = back.Cells, back.Watermark
	}
	for i, oid := range [cellParams - 1]uint32{oidInt8, oidBytea, oidInt8, oidBytea} {
		if cap(c[i]) > keepBytes {
			c[i] = nil
		}
		c[i] = appendHeader(c[i][:0], oid, len(cells))
	}
	for i := range cells {
		cell := &cells[i]
		c[0] = appendInt8(c[0], cell.ID)
		if cell.Name == [16]byte{} {
			c[1] = appendBytes(c[1], nil)
		} else {
			c[1] = appendBytes(c[1], cell.Name[:])
		}
		c[2] = appendInt8(c[2], int64(cell.Seq))
		c[3] = append(binary.BigEndian.AppendUint32(c[3], uint32(len(cell.Data))), cell.Data...)
	}
	c[cellParams-1] = binary.BigEndian.AppendUint64(c[cellParams-1][:0], watermark)
}

// appendInt8 appends an element of an array of numbers.
func appendInt8(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(dst, 8), uint64(v))
}

func (sc *scanner) cell() journal.Cell {
	c := journal.Cell{ID: sc.int64(0), Seq: sc.unsigned(2, math.MaxInt64)}
	if sc.values[1] != nil {
		sc.fixed(1, c.Name[:])
	}
	if len(sc.values[3]) > journal.MaxCellBytes {
		sc.bad(3)
	}
	c.Data = append([]byte(nil), sc.values[3]...)
	return c
}

// ask runs one question on the reading connection.
func (s *Store) ask(ctx context.Context, what, sql string, params [][]byte, row func(sc *scanner) error) error {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if s.closed {
		return journal.ErrClosed
	}
	err := s.retry(&s.reader, true, func() error {
		_, err := s.reader.query(ctx, sql, params, func(values [][]byte) error {
			sc := scanner{values: values}
			if err := row(&sc); err != nil {
				return err
			}
			return sc.err
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("journalpg: %s: %w", what, err)
	}
	return nil
}

// FindResolving implements journal.Archive.
func (s *Store) FindResolving(ctx context.Context, seq uint64) (found *journal.Row, ok bool, err error) {
	err = s.ask(ctx, "find the end of a hold", resolvingSQL, [][]byte{int8Param(s.options.Shard), int8Param(int64(seq))}, func(sc *scanner) error {
		r := sc.row()
		found = &r
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return found, found != nil, nil
}

// LastKey implements journal.Archive.
func (s *Store) LastKey(ctx context.Context) (key string, err error) {
	err = s.ask(ctx, "last key", lastKeySQL, [][]byte{int8Param(s.options.Shard)}, func(sc *scanner) error {
		key = sc.text(0)
		return nil
	})
	return key, err
}

// FindCell implements journal.Archive.
func (s *Store) FindCell(ctx context.Context, id int64) (journal.Cell, bool, error) {
	return s.findCell(ctx, cellSQL, int8Param(id))
}

// FindName implements journal.Archive.
func (s *Store) FindName(ctx context.Context, name [16]byte) (journal.Cell, bool, error) {
	if name == [16]byte{} {
		return journal.Cell{}, false, nil
	}
	return s.findCell(ctx, cellNameSQL, name[:])
}

func (s *Store) findCell(ctx context.Context, sql string, by []byte) (cell journal.Cell, found bool, err error) {
	err = s.ask(ctx, "find cell", sql, [][]byte{int8Param(s.options.Shard), by}, func(sc *scanner) error {
		cell, found = sc.cell(), true
		return nil
	})
	return cell, found && err == nil, err
}

// Cells implements journal.Archive. It reads on a connection of its own.
func (s *Store) Cells(ctx context.Context, fn func(*journal.Cell) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	sn := session{config: s.config, prepare: []string{cellPageSQL}}
	defer sn.close()
	for last, full := int64(math.MinInt64), true; full; {
		var refused error
		err := s.retry(&sn, true, func() error {
			n := 0
			_, err := sn.query(ctx, cellPageSQL, [][]byte{int8Param(s.options.Shard), int8Param(last), int8Param(pageRows)},
				func(values [][]byte) error {
					sc := scanner{values: values}
					cell := sc.cell()
					if sc.err != nil {
						return sc.err
					}
					n, last = n+1, cell.ID
					if refused = fn(&cell); refused != nil {
						return &errStopped{refused}
					}
					return ctx.Err()
				})
			full = n == pageRows
			return err
		})
		switch {
		case refused != nil:
			return refused
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("journalpg: cells after %d: %w", last, err)
		}
	}
	return nil
}

// Watermark implements journal.Archive.
func (s *Store) Watermark(ctx context.Context) (watermark uint64, err error) {
	err = s.ask(ctx, "watermark", watermarkSQL, [][]byte{int8Param(s.options.Shard)}, func(sc *scanner) error {
		watermark = sc.unsigned(0, math.MaxInt64)
		return nil
	})
	return watermark, err
}
