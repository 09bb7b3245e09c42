package pos

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapnet/internal/journal"
)

// What a restart must find without reading the whole journal is in cells, all of them as after the same row, the watermark:
//
//	countersCell: version 2, the till's counters, sheets and library
//	sheetCells + place: version 2, a batch that was left behind
//	entryCells + trace number: version 2, one transaction of the batch; that of an earlier batch is stale, the row that began it tells
//	what is open (journal.Begun), by the key of its row: the mark is its stage

const (
	cellVersion        = 2
	countersCell int64 = 1
	entryCells   int64 = 1 << 20
	sheetCells   int64 = 1 << 30
)

var errCell = errors.New("pos: stored cell is damaged")

// counters is what the counters' cell holds.
type counters struct {
	STAN, Batch, Newest uint32
	Since               uint64
	Totals              Totals
	Older               int // batches left behind
	Last                Sheet
	Library             libraryCell
}

// entryCell is what a transaction's cell holds.
type entryCell struct {
	Seq                   uint64
	Verb, Stage, Status   byte
	Dialogue, Busy        bool
	Of, Trace             Trace
	At                    time.Time
	Minor, Given          int64
	Begin                 journal.Kind
	Reason                uint16
	Key                   string
	Sealed, Final, Answer []byte
}

func cellData(dst []byte, value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic("pos: a cell cannot be written: " + err.Error())
	}
	return append(append(dst, cellVersion), text...)
}

func readCell(cell *journal.Cell, value any) error {
	if len(cell.Data) == 0 || cell.Data[0] != cellVersion {
		return fmt.Errorf("cell %d: %w", cell.ID, errCell)
	}
	if err := json.Unmarshal(cell.Data[1:], value); err != nil {
		return fmt.Errorf("cell %d: %w: %w", cell.ID, errCell, err)
	}
	return nil
}

// open is called before any row is replayed: the cells say what the rows up to the watermark left.
func (s *state) open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	s.row, s.archive = watermark, archive
	if watermark == 0 {
		return nil
	}
	var c counters
	found, older := map[uint32]*payment{}, map[int64]*Sheet{}
	err := archive.Cells(ctx, func(cell *journal.Cell) error {
		switch {
		case cell.ID >= journal.FirstBegun:
			return s.begun.Read(cell)
		case cell.ID == countersCell && cell.Data[0] == 1: // of a till that knew sales only
			if len(cell.Data) != 9 {
				return errCell
			}
			c.STAN, c.Batch = binary.BigEndian.Uint32(cell.Data[1:]), binary.BigEndian.Uint32(cell.Data[5:])
			return nil
		case cell.ID == countersCell:
			return readCell(cell, &c)
		}
		if cell.ID >= sheetCells {
			var sheet Sheet
			older[cell.ID-sheetCells] = &sheet
			return readCell(cell, &sheet)
		}
		var e entryCell
		if err := readCell(cell, &e); err != nil {
			return err
		}
		found[e.Trace.STAN] = e.payment()
		return nil
	})
	if err != nil {
		return err
	}
	s.stan, s.batch, s.newest, s.since, s.totals, s.last = c.STAN, c.Batch, c.Newest, c.Since, c.Totals, c.Last
	for i := range c.Older {
		if older[int64(i)] == nil {
			return fmt.Errorf("sheet %d: %w", i, errCell)
		}
		s.older = append(s.older, *older[int64(i)])
	}
	for stan, p := range found {
		if p.trace.Batch == s.batch && p.seq > s.since {
			s.entries[stan] = p
		}
	}
	if err := s.library.open(ctx, archive, c.Library); err != nil {
		return err
	}
	return s.openBegun(ctx, archive)
}

// openBegun finds what has not ended.
func (s *state) openBegun(ctx context.Context, archive journal.Archive) error {
	for _, at := range [...]stage{pending, timedOut, inSlot} {
		for _, key := range s.begun.Keys(byte(at)) {
			row, found, err := archive.FindKey(ctx, key)
			if err == nil && !found {
				err = errCell
			}
			if err != nil {
				return fmt.Errorf("the row of %q, which is open: %w", key, err)
			}
			p, err := paymentOf(row)
			if err != nil {
				return err
			}
			if kept := s.entries[p.trace.STAN]; kept != nil && kept.key == key {
				p = kept
			}
			p.stage = at
			if at == timedOut {
				p.status = StatusTakenBack
			}
			s.payments[key], s.bySeq[p.seq] = p, p
		}
	}
	return nil
}

func (e *entryCell) payment() *payment {
	return &payment{header: header{Verb(e.Verb), e.Dialogue, e.Of}, seq: e.Seq, key: e.Key, stage: stage(e.Stage), status: Status(e.Status),
		trace: e.Trace, at: e.At, minor: e.Minor, refunded: e.Given,
		busy: e.Busy, begin: e.Begin, sealed: e.Sealed, final: e.Final, answer: e.Answer, reason: e.Reason}
}

func (p *payment) cell() entryCell {
	return entryCell{Seq: p.seq, Verb: byte(p.verb), Stage: byte(p.stage), Status: byte(p.status), Dialogue: p.dialogue, Busy: p.busy, Of: p.of, Trace: p.trace,
		At: p.at, Minor: p.minor, Given: p.refunded, Begin: p.begin, Reason: p.reason, Key: p.key, Sealed: p.sealed, Final: p.final, Answer: p.answer}
}

// writeBack is called at the end of a batch: now and then everything that has changed is written back.
func (s *state) writeBack(back *journal.Back, rows int) {
	if !s.begun.Due(rows) {
		return
	}
	cell := back.Add(countersCell, [16]byte{}, s.row)
	cell.Data = cellData(cell.Data, counters{STAN: s.stan, Batch: s.batch, Newest: s.newest, Since: s.since, Totals: s.totals, Older: len(s.older), Last: s.last,
		Library: s.library.cell()})
	for i := range s.older {
		cell := back.Add(sheetCells+int64(i), [16]byte{}, s.row)
		cell.Data = cellData(cell.Data, s.older[i])
	}
	for _, p := range s.dirty {
		cell := back.Add(entryCells+int64(p.trace.STAN), [16]byte{}, s.row)
		cell.Data = cellData(cell.Data, p.cell())
		p.dirty = false
	}
	s.dirty = s.dirty[:0]
	s.begun.WriteBack(back, s.row)
}
