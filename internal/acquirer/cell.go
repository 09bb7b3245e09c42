package acquirer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// What a restart must find without reading the whole journal is in cells, all of them as after the same row, the watermark:
//
//	an account: its number is the cell's; version 1, then pending debits, posted debits, pending credits, posted credits, last transfer
//	countersCell: version 1, then the number of payments taken so far, refused ones too
//	what is open (journal.Begun): mark 1 a pending payment, by the key of its Requested row; mark 2 a reversal that the switch has not acknowledged, by the
//	key of the TimedOut or Reversed row that sent it
//
// Numbers are unsigned varints. Open holds are not in cells: the Answered row of a payment has its hold until a row resolves it.

const (
	cellVersion = 1
	// countersCell is above every account's number.
	countersCell int64 = 1 << 39

	markPayment  byte = 1
	markReversal byte = 2
)

var errCell = errors.New("stored cell is damaged")

// begin is called before any row is replayed: the cells say what the rows up to the watermark left.
func (s *state) begin(ctx context.Context, archive journal.Archive, watermark uint64) error {
	s.archive, s.last, s.written = archive, watermark, watermark
	if err := s.payments.Attach(ctx, archive, watermark); err != nil {
		return err
	}
	if err := s.taken.Attach(ctx, archive, watermark); err != nil || watermark == 0 {
		return err
	}
	s.book.Partial()
	err := archive.Cells(ctx, func(cell *journal.Cell) error {
		switch {
		case cell.ID >= journal.FirstBegun:
			return s.begun.Read(cell)
		case cell.ID == countersCell:
			numbers, err := readCell(cell, 1)
			if err == nil {
				s.requests = numbers[0]
			}
			return err
		}
		return s.restore(cell)
	})
	if err != nil {
		return fmt.Errorf("acquirer: %w", err)
	}
	for _, key := range s.begun.Keys(markPayment) {
		row, err := s.mustFind(key)
		if err != nil {
			return err
		}
		s.take(requestOf(row))
	}
	for _, key := range s.begun.Keys(markReversal) {
		if err := s.resend(key); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) restore(cell *journal.Cell) error {
	account := ledger.Account(cell.ID)
	spec, known := s.book.Spec(account)
	if !known {
		return fmt.Errorf("cell %d: the account is nobody's", cell.ID)
	}
	n, err := readCell(cell, 5)
	if err != nil {
		return err
	}
	balance := ledger.Balance{DebitsPending: int64(n[0]), DebitsPosted: int64(n[1]), CreditsPending: int64(n[2]), CreditsPosted: int64(n[3])}
	if code := s.book.Restore(account, spec, balance, n[4]); code != ledger.OK {
		return fmt.Errorf("cell %d: %s", cell.ID, code)
	}
	return nil
}

// readCell reads a version and so many numbers.
func readCell(cell *journal.Cell, count int) ([]uint64, error) {
	b := cell.Data
	if len(b) == 0 || b[0] != cellVersion {
		return nil, fmt.Errorf("cell %d: %w: unknown version", cell.ID, errCell)
	}
	b = b[1:]
	numbers := make([]uint64, count)
	for i := range numbers {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<63-1 {
			return nil, fmt.Errorf("cell %d: %w", cell.ID, errCell)
		}
		numbers[i], b = v, b[n:]
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("cell %d: %w", cell.ID, errCell)
	}
	return numbers, nil
}

// mustFind is a row that a cell names.
func (s *state) mustFind(key string) (*journal.Row, error) {
	row, found, err := s.archive.FindKey(context.Background(), key)
	if err == nil && !found {
		err = errCell
	}
	if err != nil {
		return nil, fmt.Errorf("acquirer: the row of %q, which is open: %w", key, err)
	}
	return row, nil
}

// resend rebuilds a reversal that waits for the switch from the row that sent it.
func (s *state) resend(key string) error {
	row, err := s.mustFind(key)
	if err != nil {
		return err
	}
	original := string(row.Note)
	if row.Kind == journal.TimedOut {
		original = key[:len(key)-len(endMark)]
	}
	first, err := s.mustFind(original)
	if err != nil {
		return err
	}
	s.outgoing[row.Payment] = outgoingOf(row, first.Note)
	return nil
}

// writeBack is called at the end of a batch: now and then everything that has changed is written back.
func (s *state) writeBack(back *journal.Back, rows int, durable uint64) {
	s.payments.Settle(durable)
	s.taken.Settle(durable)
	if !s.begun.Due(rows) {
		return
	}
	for line := range s.book.Lines() {
		last := s.book.Last(line.Account)
		if last <= s.written {
			continue
		}
		cell, b := back.Add(int64(line.Account), [16]byte{}, s.last), line.Balance
		cell.Data = append(cell.Data, cellVersion)
		for _, v := range [...]int64{b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted, int64(last)} {
			cell.Data = binary.AppendUvarint(cell.Data, uint64(v))
		}
	}
	cell := back.Add(countersCell, [16]byte{}, s.last)
	cell.Data = binary.AppendUvarint(append(cell.Data, cellVersion), s.requests)
	s.begun.WriteBack(back, s.last)
	s.written = s.last
}

// look asks the journal for a payment that memory may have forgotten. It may run beside the writer.
func (s *state) look(key string) (*payment, bool, error) {
	row, found, err := s.row(key)
	if err != nil || !found {
		return nil, false, err
	}
	switch row.Kind {
	case journal.Refused:
		return earlyOf(row), true, nil
	case journal.Declined:
		p, err := declineOf(row)
		return p, err == nil, err
	case journal.Requested:
	default:
		return nil, false, nil // the key of another message
	}
	p := requestOf(row)
	end, found, err := s.row(key + endMark)
	if err != nil {
		return nil, false, err
	}
	if !found { // one that is forgotten has ended: by a reversal
		p.status, p.sealed = reversed, nil
		return p, true, nil
	}
	if err := p.finish(end); err != nil || p.hold.ID == 0 {
		return p, err == nil, err
	}
	by, released, err := s.archive.FindResolving(context.Background(), end.Seq)
	if released && err == nil {
		p.status, p.hold, p.last = reversed, ledger.Hold{}, by.Seq
	}
	return p, err == nil, err
}

// lookTaken is look for a reversal that a terminal sent.
func (s *state) lookTaken(key string) (received, bool, error) {
	row, found, err := s.row(key)
	if err != nil || !found || row.Kind != journal.Reversed {
		return received{}, false, err
	}
	return received{content: row.Content, date: row.BusinessDate}, true, nil
}

func (s *state) row(key string) (*journal.Row, bool, error) {
	if s.archive == nil {
		return nil, false, nil
	}
	return s.archive.FindKey(context.Background(), key)
}
