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
//	countersCell: version 1, then the number of payments and notices taken so far, refused ones too
//	tillCell + place of a terminal: version 1, then versions of its three lists, and of each batch: number, settled (1) or not, debits, their number, credits,
//	their number
//	serialCell + place of a terminal: see serial.go; from elsewhere on accounts in other currencies, by their numbers as well
//	merchantCell + place of a merchant: version 1, then its standing
//	listCell + kind: version 1, then the last version, the current one, the one before
//	what is open (journal.Begun): mark 1 a pending payment, by the key of its Requested row; mark 2 a reversal or notice that the switch has not acknowledged,
//	by the key of the TimedOut, Reversed or ScriptReported row that sent it
//
// Numbers are unsigned varints. Open holds are not in cells: the Answered row of a payment has its hold until a row resolves it.

const (
	cellVersion = 1
	// countersCell is above every account's number.
	countersCell int64 = 1 << 39
	tillCell     int64 = 1 << 38
	merchantCell int64 = 1<<38 + 1<<37
	listCell     int64 = 1<<39 + 1

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
	if err := s.shown.Attach(ctx, archive, watermark); err != nil {
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
		case cell.ID >= int64(elsewhere):
			return s.restore(cell)
		case cell.ID > countersCell:
			return s.restoreList(cell)
		case cell.ID >= merchantCell:
			return s.restoreMerchant(cell)
		case cell.ID >= tillCell:
			return s.restoreTill(cell)
		case cell.ID >= serialCell:
			return s.restoreSerials(cell)
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
	numbers, err := readNumbers(cell)
	if err == nil && len(numbers) != count {
		err = fmt.Errorf("cell %d: %w", cell.ID, errCell)
	}
	return numbers, err
}

// readNumbers reads a version and numbers up to the end.
func readNumbers(cell *journal.Cell) (numbers []uint64, err error) {
	b := cell.Data
	if len(b) == 0 || b[0] != cellVersion {
		return nil, fmt.Errorf("cell %d: %w: unknown version", cell.ID, errCell)
	}
	for b = b[1:]; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<63-1 {
			return nil, fmt.Errorf("cell %d: %w", cell.ID, errCell)
		}
		numbers, b = append(numbers, v), b[n:]
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
	if row.Kind == journal.ScriptReported {
		s.outgoing[row.Payment] = outgoingOf(row, row.Note)
		return nil
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
	s.shown.Settle(durable)
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
	put := func(id int64, numbers ...uint64) {
		cell := back.Add(id, [16]byte{}, s.last)
		cell.Data = append(cell.Data, cellVersion)
		for _, v := range numbers {
			cell.Data = binary.AppendUvarint(cell.Data, v)
		}
	}
	put(countersCell, s.requests)
	for place, id := range s.order {
		if t := s.tills[id]; t.last > s.written {
			put(tillCell+int64(place), t.numbers()...)
		}
		if t := s.tills[id]; t.lastSerial > s.written {
			put(serialCell+int64(place), t.serials()...)
		}
	}
	for place, m := range s.standing {
		if m.last > s.written {
			put(merchantCell+int64(place), uint64(m.standing))
		}
	}
	for kind, l := range s.lists {
		if l.changed > s.written {
			put(listCell+int64(kind), uint64(l.last), uint64(l.current), uint64(l.previous))
		}
	}
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
	by, ended, err := s.archive.FindResolving(context.Background(), end.Seq)
	if ended && err == nil {
		p.hold, p.last = ledger.Hold{}, by.Seq
		if by.Phase == ledger.Void || by.Kind == journal.Reversed {
			p.status = reversed // what is sealed stays: the row that is replayed may be the one that needs it
		}
	}
	return p, err == nil, err
}

// lookTaken is look for a reversal that a terminal sent.
func (s *state) lookTaken(key string) (received, bool, error) {
	row, found, err := s.row(key)
	if err != nil || !found {
		return received{}, false, err
	}
	switch row.Kind {
	case journal.Reversed, journal.ScriptReported, journal.BatchClosed, journal.Advised:
	default:
		return received{}, false, nil
	}
	return receivedOf(row), true, nil
}

func (s *state) row(key string) (*journal.Row, bool, error) {
	if s.archive == nil {
		return nil, false, nil
	}
	return s.archive.FindKey(context.Background(), key)
}
