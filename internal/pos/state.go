package pos

import (
	"encoding/binary"
	"fmt"

	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/tlv"
)

type tagNumber = tlv.Tag

// status is where a sale stands. Legal transitions: pending → done, timedOut; timedOut → reversed. A sale that is done or reversed is forgotten: the till
// numbers its requests itself, so nobody repeats one, and a late answer changes nothing.
type status uint8

const (
	pending status = iota + 1
	timedOut
)

// payment is one request to the acquirer that has not ended.
type payment struct {
	seq     uint64
	key     string
	status  status
	offline bool
	sale    uint64
	request *unionpay.FinancialRequest // without PIN; only while pending and only in the process that sent it
	sealed  []byte                     // the same for rest
}

// state is the journal, folded; only apply changes what survives a restart.
type state struct {
	stan     uint32
	batch    uint32
	payments map[string]*payment // those that have not ended, by their key
	bySeq    map[uint64]*payment
	begun    *journal.Begun
	last     uint64 // last row applied
}

func newState(capacity journal.Capacity) *state {
	return &state{batch: 1, payments: map[string]*payment{}, bySeq: map[uint64]*payment{}, begun: journal.NewBegun(capacity.OrDefault().Rows)}
}

// apply brings the state to where the row left it.
//
//	Requested     a payment went to the acquirer: Key, Note = sealed request
//	Queued        the card approved offline: Key, Note = sealed request, to be uploaded
//	Answered      the acquirer's answer: Linked = Requested or Queued row, Answer
//	TimedOut      no answer in time, a reversal is on its way: Linked = Requested row
//	Acknowledged  the acquirer acknowledged the reversal: Linked = Requested row
func (s *state) apply(r *journal.Row) error {
	s.last = r.Seq
	if r.Kind == journal.Requested || r.Kind == journal.Queued {
		s.take(r, pending)
		s.begun.Begin(r.Key, byte(pending))
		s.stan = r.STAN
		return nil
	}
	p := s.bySeq[r.Linked]
	if p == nil {
		return fmt.Errorf("row %d: follows row %d, which is no payment that goes on", r.Seq, r.Linked)
	}
	from := pending
	switch r.Kind {
	case journal.Answered, journal.TimedOut:
	case journal.Acknowledged:
		from = timedOut
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for a till", r.Seq, r.Kind)
	}
	if p.status != from {
		return fmt.Errorf("row %d: kind %s does not follow from where the payment stands", r.Seq, r.Kind)
	}
	if r.Kind == journal.TimedOut {
		p.status = timedOut
		s.begun.Begin(p.key, byte(timedOut))
		return nil
	}
	delete(s.payments, p.key)
	delete(s.bySeq, p.seq)
	s.begun.End(p.key)
	return nil
}

// take makes the payment of a Requested or Queued row findable.
func (s *state) take(r *journal.Row, at status) {
	p := &payment{seq: r.Seq, key: r.Key, status: at, offline: r.Kind == journal.Queued, sealed: append([]byte(nil), r.Note...)}
	s.payments[r.Key], s.bySeq[r.Seq] = p, p
}

// counterOf reads the card's transaction counter, 0 when there is none.
func counterOf(icc emv.Data) uint16 {
	if b, ok := icc.Value(emv.TagATC); ok && len(b) == 2 {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}
