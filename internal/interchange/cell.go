package interchange

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// What a restart must find without reading the whole journal is what is open (journal.Begun), as after the row that is the watermark:
//
//	mark 1  a pending payment, by the key of its Requested row
//	mark 2  a reversal or notice that the issuer has not acknowledged, by the key of the TimedOut, Reversed or ScriptReported row that sent it
//
// There are no other cells.
const (
	markPayment  byte = 1
	markReversal byte = 2
)

var errCell = errors.New("interchange: a cell names a row that is not there")

// begin is called before any row is replayed: the cells say what the rows up to the watermark left.
func (s *state) begin(ctx context.Context, archive journal.Archive, watermark uint64) error {
	s.archive, s.last = archive, watermark
	if err := s.payments.Attach(ctx, archive, watermark); err != nil {
		return err
	}
	if err := s.reversals.Attach(ctx, archive, watermark); err != nil || watermark == 0 {
		return err
	}
	if err := archive.Cells(ctx, s.begun.Read); err != nil {
		return fmt.Errorf("interchange: %w", err)
	}
	for _, key := range s.begun.Keys(markPayment) {
		p, err := s.mustFind(key)
		if err != nil {
			return err
		}
		s.take(key, p)
	}
	for _, key := range s.begun.Keys(markReversal) {
		v, found, err := s.lookReversal(key)
		if err == nil && !found {
			err = errCell
		}
		if err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if v.sealed == nil { // the switch's own: built again from the request
			p, err := s.mustFind(v.original)
			if err != nil {
				return err
			}
			v.sealed, v.to, v.date = p.sealed, p.to, p.date
		}
		s.send(key, v)
	}
	return nil
}

// mustFind is the payment of a Requested row, pending.
func (s *state) mustFind(key string) (*payment, error) {
	row, found, err := s.row(key)
	if err == nil && (!found || row.Kind != journal.Requested) {
		err = errCell
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", key, err)
	}
	return requestOf(row)
}

// writeBack is called at the end of a batch: now and then everything that has changed is written back.
func (s *state) writeBack(back *journal.Back, rows int, durable uint64) {
	s.settle(durable)
	if s.begun.Due(rows) {
		s.begun.WriteBack(back, s.last)
	}
}

func (s *state) settle(durable uint64) {
	s.payments.Settle(durable)
	s.reversals.Settle(durable)
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
	p, err := requestOf(row)
	if err != nil {
		return nil, false, err
	}
	for _, ends := range [...]string{key + endMark, s.ownReversal(key)} {
		end, found, err := s.row(ends)
		if err != nil {
			return nil, false, err
		}
		if found && end.Linked == row.Seq {
			err := p.finish(end)
			return p, err == nil, err
		}
	}
	p.status, p.sealed = reversed, nil // one that is forgotten has ended
	return p, true, nil
}

// lookReversal is look for a reversal.
func (s *state) lookReversal(key string) (*reversal, bool, error) {
	row, found, err := s.row(key)
	if err != nil || !found {
		return nil, false, err
	}
	switch row.Kind {
	case journal.TimedOut:
		return &reversal{seq: row.Seq, original: row.Payment}, true, nil
	case journal.Reversed, journal.ScriptReported:
		v, err := passedOf(row)
		return v, err == nil, err
	}
	return nil, false, nil
}

// Layout of a payment's key [REF 6.4]: transmission time, trace number, acquirer, forwarder, class.
const (
	keyTime      = 10
	keySTAN      = keyTime + 6
	keyAcquirer  = keySTAN + 11
	networkChars = keyAcquirer + 11 + 1
)

// ownReversal is the key of the switch's own reversal of a payment (reversalOf): the same time, trace number and acquirer. It is empty when key is none.
func (s *state) ownReversal(key string) string {
	if len(key) != networkChars {
		return ""
	}
	stan, err := strconv.ParseUint(key[keyTime:keySTAN], 10, 32)
	if err != nil {
		return ""
	}
	return unionpay.NetworkKey(&unionpay.ReversalRequest{Payment: unionpay.Payment{
		TransmissionTime: key[:keyTime], STAN: uint32(stan), Acquirer: key[keySTAN:keyAcquirer], Forwarder: s.own,
	}})
}

func (s *state) row(key string) (*journal.Row, bool, error) {
	if s.archive == nil {
		return nil, false, nil
	}
	return s.archive.FindKey(context.Background(), key)
}
