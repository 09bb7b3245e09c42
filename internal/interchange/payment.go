package interchange

import (
	"fmt"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// status is where a routed payment stands. Legal transitions: pending → answered, timedOut, reversed; answered → reversed.
type status uint8

const (
	pending status = iota + 1
	answered
	timedOut
	reversed
)

// payment is one routed request.
type payment struct {
	seq     uint64
	content [16]byte
	from    string // acquirer
	to      string // issuer; "" when there was no route
	status  status
	answer  unionpay.Answer
	request *unionpay.FinancialRequest // as forwarded, without PIN; only while pending and only in the process that forwarded it
	sealed  []byte                     // as received, without PIN, for rest
	date    int32                      // business date under which it was forwarded, for field 15 of everything that follows
}

// reversal is one reversal on its way to an issuer, repeated until acknowledged.
type reversal struct {
	seq      uint64
	content  [16]byte
	from     string // who asked for it; "" when the switch did
	to       string
	original string
	done     bool
	sealed   []byte // what Rearm sends again; nil once acknowledged
	date     int32  // business date of the payment it takes back
}

// state is the journal, folded; only apply changes what survives a restart.
type state struct {
	payments  map[string]*payment
	reversals map[string]*reversal
	bySeq     map[uint64]string // open rows by number: the key of the payment or reversal they opened
}

func newState() *state {
	return &state{payments: map[string]*payment{}, reversals: map[string]*reversal{}, bySeq: map[uint64]string{}}
}

// apply brings the state to where the row left it.
//
//	Requested     a payment was forwarded: Key, Content, Note = parties and sealed request
//	Declined      a payment was refused by the switch itself: Key, Content, Answer
//	Answered      the issuer's answer came in time: Linked = Requested row, Answer
//	TimedOut      no answer in time, the switch reverses: Linked = Requested row, Key = key of the reversal, Answer = what the acquirer was told
//	Reversed      the acquirer reverses: Key, Content, Payment = original's key, Note = parties and sealed reversal
//	Acknowledged  the issuer acknowledged a reversal: Linked = TimedOut or Reversed row
func (s *state) apply(r *journal.Row) error {
	switch r.Kind {
	case journal.Requested:
		return s.applyRequested(r)
	case journal.Declined:
		return s.applyDeclined(r)
	case journal.Answered, journal.TimedOut:
		return s.applyEnd(r)
	case journal.Reversed:
		return s.applyReversed(r)
	case journal.Acknowledged:
		key, ok := s.bySeq[r.Linked]
		if !ok || s.reversals[key] == nil {
			return fmt.Errorf("row %d: acknowledges row %d, which opened no reversal", r.Seq, r.Linked)
		}
		v := s.reversals[key]
		v.done, v.sealed = true, nil
		return nil
	case journal.Refused:
		return nil
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for a switch", r.Seq, r.Kind)
	}
}

func (s *state) applyRequested(r *journal.Row) error {
	parties, sealed, err := readParties(r)
	if err != nil {
		return err
	}
	s.payments[r.Key] = &payment{seq: r.Seq, content: r.Content, from: parties[0], to: parties[1], status: pending, sealed: sealed, date: r.BusinessDate}
	s.bySeq[r.Seq] = r.Key
	return nil
}

func (s *state) applyDeclined(r *journal.Row) error {
	answer, err := unionpay.ParseAnswer(r.Answer)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	s.payments[r.Key] = &payment{seq: r.Seq, content: r.Content, status: answered, answer: answer}
	return nil
}

func (s *state) applyEnd(r *journal.Row) error {
	key, ok := s.bySeq[r.Linked]
	p := s.payments[key]
	if !ok || p == nil || p.status != pending {
		return fmt.Errorf("row %d: ends row %d, which is not a pending payment", r.Seq, r.Linked)
	}
	answer, err := unionpay.ParseAnswer(r.Answer)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	delete(s.bySeq, r.Linked)
	p.answer, p.status = answer, answered
	if r.Kind == journal.TimedOut {
		p.status = timedOut
		s.reversals[r.Key] = &reversal{seq: r.Seq, to: p.to, original: key, sealed: p.sealed, date: p.date}
		s.bySeq[r.Seq] = r.Key
	}
	p.request, p.sealed = nil, nil
	return nil
}

func (s *state) applyReversed(r *journal.Row) error {
	parties, sealed, err := readParties(r)
	if err != nil {
		return err
	}
	v := &reversal{seq: r.Seq, content: r.Content, from: parties[0], to: parties[1], original: r.Payment, sealed: sealed, done: parties[1] == ""}
	s.reversals[r.Key] = v
	s.bySeq[r.Seq] = r.Key
	if p := s.payments[r.Payment]; p != nil {
		if p.status == pending {
			delete(s.bySeq, p.seq)
		}
		p.status, p.request, p.sealed = reversed, nil, nil
	} else {
		s.payments[r.Payment] = &payment{seq: r.Seq, from: parties[0], status: reversed}
	}
	return nil
}

// parties and the sealed message share a row's note: two ids with a length byte each, then the sealed bytes.
func partiesNote(from, to string, sealed []byte) []byte {
	note := append([]byte{byte(len(from))}, from...)
	note = append(append(note, byte(len(to))), to...)
	return append(note, sealed...)
}

func readParties(r *journal.Row) (parties [2]string, sealed []byte, err error) {
	b := r.Note
	for i := range parties {
		if len(b) == 0 || len(b)-1 < int(b[0]) {
			return parties, nil, fmt.Errorf("row %d: note stops short", r.Seq)
		}
		parties[i], b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	return parties, append([]byte(nil), b...), nil
}
