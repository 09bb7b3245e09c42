package pos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"tapnet/internal/journal"
)

// What a restart must find without reading the whole journal is in cells, all of them as after the same row, the watermark:
//
//	countersCell: version 1, the last trace number, the batch; four octets each, the most significant first
//	what is open (journal.Begun), by the key of its Requested or Queued row: mark 1 waits for its answer, mark 2 timed out and its reversal is not acknowledged

const (
	cellVersion         = 1
	countersCell  int64 = 1
	countersBytes       = 1 + 4 + 4
)

var errCell = errors.New("pos: stored cell is damaged")

// begin is called before any row is replayed: the cells say what the rows up to the watermark left.
func (s *state) begin(ctx context.Context, archive journal.Archive, watermark uint64) error {
	s.last = watermark
	if watermark == 0 {
		return nil
	}
	err := archive.Cells(ctx, func(cell *journal.Cell) error {
		if cell.ID >= journal.FirstBegun {
			return s.begun.Read(cell)
		}
		if cell.ID != countersCell || len(cell.Data) != countersBytes || cell.Data[0] != cellVersion {
			return fmt.Errorf("cell %d: %w", cell.ID, errCell)
		}
		s.stan, s.batch = binary.BigEndian.Uint32(cell.Data[1:]), binary.BigEndian.Uint32(cell.Data[5:])
		return nil
	})
	if err != nil {
		return err
	}
	for _, at := range [...]status{pending, timedOut} {
		for _, key := range s.begun.Keys(byte(at)) {
			row, found, err := archive.FindKey(ctx, key)
			if err == nil && !found {
				err = errCell
			}
			if err != nil {
				return fmt.Errorf("the row of %q, which is open: %w", key, err)
			}
			s.take(row, at)
		}
	}
	return nil
}

// writeBack is called at the end of a batch: now and then everything that has changed is written back.
func (s *state) writeBack(back *journal.Back, rows int) {
	if !s.begun.Due(rows) {
		return
	}
	cell := back.Add(countersCell, [16]byte{}, s.last)
	cell.Data = binary.BigEndian.AppendUint32(append(cell.Data, cellVersion), s.stan)
	cell.Data = binary.BigEndian.AppendUint32(cell.Data, s.batch)
	s.begun.WriteBack(back, s.last)
}
