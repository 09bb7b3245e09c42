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

// status is where a sale stands. Legal transitions: pending → done, timedOut; timedOut → reversed.
type status uint8

const (
	pending status = iota + 1
	done
	timedOut
	reversed
)

// payment is one request to the acquirer.
type payment struct {
	seq     uint64
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
	payments map[string]*payment
	bySeq    map[uint64]*payment
}

func newState() *state {
	return &state{batch: 1, payments: map[string]*payment{}, bySeq: map[uint64]*payment{}}
}

// apply brings the state to where the row left it.
//
//	Requested     a payment went to the acquirer: Key, Note = sealed request
//	Queued        the card approved offline: Key, Note = sealed request, to be uploaded
//	Answered      the acquirer's answer: Linked = Requested or Queued row, Answer
//	TimedOut      no answer in time, a reversal is on its way: Linked = Requested row
//	Acknowledged  the acquirer acknowledged the reversal: Linked = Requested row
func (s *state) apply(r *journal.Row) error {
	if r.Kind == journal.Requested || r.Kind == journal.Queued {
		p := &payment{seq: r.Seq, status: pending, offline: r.Kind == journal.Queued, sealed: append([]byte(nil), r.Note...)}
		s.payments[r.Key], s.bySeq[r.Seq] = p, p
		s.stan = r.STAN
		return nil
	}
	p := s.bySeq[r.Linked]
	if p == nil {
		return fmt.Errorf("row %d: follows row %d, which is no payment", r.Seq, r.Linked)
	}
	from, to := pending, done
	switch r.Kind {
	case journal.Answered:
	case journal.TimedOut:
		to = timedOut
	case journal.Acknowledged:
		from, to = timedOut, reversed
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for a till", r.Seq, r.Kind)
	}
	if p.status != from {
		return fmt.Errorf("row %d: kind %s does not follow from where the payment stands", r.Seq, r.Kind)
	}
	p.status = to
	if to != timedOut {
		p.request, p.sealed = nil, nil
	}
	return nil
}

// counterOf reads the card's transaction counter, 0 when there is none.
func counterOf(icc emv.Data) uint16 {
	if b, ok := icc.Value(emv.TagATC); ok && len(b) == 2 {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}
