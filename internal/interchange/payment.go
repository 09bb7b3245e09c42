package interchange

import (
	"fmt"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// status is how a routed payment ended first. Legal transitions: pending → answered, timedOut, reversed.
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
	answer  []byte                     // the first answer, packed; nil when there was none
	request *unionpay.FinancialRequest // as forwarded, without PIN; only while pending and only in the process that forwarded it
	sealed  []byte                     // as received, without PIN, for rest; only while pending
	date    int32                      // business date under which it was forwarded, for field 15 of everything that follows
}

// given is the first answer; zero when there was none. Answers are read when a row comes in, so that these bytes are sound.
func (p *payment) given() unionpay.Answer {
	answer, err := unionpay.ParseAnswer(p.answer)
	if err != nil {
		panic("interchange: a checked answer cannot be read: " + err.Error())
	}
	return answer
}

// reversal is one reversal, or one notice about scripts, repeated to its issuer until acknowledged.
type reversal struct {
	seq      uint64
	content  [16]byte
	to       string // "" when no issuer saw the original
	original string
	sealed   []byte // what Rearm sends again; nil once acknowledged
	date     int32  // business date of the payment it takes back
	notice   bool
}

// endMark behind a payment's key is the key of its Answered row, so that this can be found when the payment is no longer in memory. The TimedOut row has the
// key of the switch's own reversal, which follows from the payment's as well.
const endMark = "e"

// adviceReason marks the row of an advice: its issuer may answer it without a row.
const adviceReason = 1

// state is the journal, folded; only apply changes what survives a restart. Payments and reversals that have ended are in memory as far as the capacity goes.
type state struct {
	own       string // institution of the switch, as keys write it
	payments  *journal.Recent[*payment]
	reversals *journal.Recent[*reversal]
	bySeq     map[uint64]string // open rows by number: the key of the payment or reversal they opened
	begun     *journal.Begun
	archive   journal.Archive
	last      uint64 // last row applied
}

func newState(institution string, capacity journal.Capacity) *state {
	capacity = capacity.OrDefault()
	return &state{
		own: institution, payments: journal.NewRecent[*payment](capacity.Ended, true, nil), reversals: journal.NewRecent[*reversal](capacity.Ended, true, nil),
		bySeq: map[uint64]string{}, begun: journal.NewBegun(capacity.Rows),
	}
}

// apply brings the state to where the row left it.
//
//	Requested     a payment was forwarded: Key, Content, Note = parties and sealed request; Reason = adviceReason when it only tells what has happened;
//	              Answer = what the token service said, of a payment by token
//	Declined      a payment was refused by the switch itself: Key, Content, Answer; Note = what the token service said, of a payment by token
//	Answered      the issuer's answer came in time: Key = payment's with endMark, Linked = Requested row, Answer
//	TimedOut      no answer in time, the switch reverses: Linked = Requested row, Key = key of the reversal, Answer = what the acquirer was told
//	Reversed      the acquirer reverses: Key, Content, Payment = original's key, Note = parties and sealed reversal
//	Refused       a reversal came before its payment, whose key is spent: Key = original's, Linked = Reversed row
//	ScriptReported  what became of scripts: Key, Content, Payment = original's key, Note = parties and sealed notice
//	Acknowledged  the issuer acknowledged a reversal or a notice: Linked = TimedOut, Reversed or ScriptReported row
func (s *state) apply(r *journal.Row) error {
	s.last = r.Seq
	switch r.Kind {
	case journal.Requested:
		return s.applyRequested(r)
	case journal.Declined:
		p, err := declineOf(r)
		if err == nil {
			s.payments.End(r.Key, p, r.Seq)
		}
		return err
	case journal.Answered, journal.TimedOut:
		return s.applyEnd(r)
	case journal.Reversed, journal.ScriptReported:
		return s.applyReversed(r)
	case journal.Refused:
		s.payments.End(r.Key, earlyOf(r), r.Seq)
		return nil
	case journal.Acknowledged:
		key := s.bySeq[r.Linked]
		v, known := s.reversals.Get(key)
		if !known {
			return fmt.Errorf("row %d: acknowledges row %d, whose reversal does not wait for it", r.Seq, r.Linked)
		}
		v.sealed = nil
		delete(s.bySeq, r.Linked)
		s.begun.End(key)
		s.reversals.End(key, v, r.Seq)
		return nil
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for a switch", r.Seq, r.Kind)
	}
}

// requestOf reads a pending payment from its row.
func requestOf(r *journal.Row) (*payment, error) {
	parties, sealed, err := readParties(r)
	return &payment{seq: r.Seq, content: r.Content, from: parties[0], to: parties[1], status: pending, sealed: sealed, date: r.BusinessDate}, err
}

// declineOf reads a payment that the switch refused from its row.
func declineOf(r *journal.Row) (*payment, error) {
	answer, err := answerOf(r)
	return &payment{seq: r.Seq, content: r.Content, status: answered, answer: answer}, err
}

// earlyOf is what stands for a payment whose reversal came first: its request is refused whenever it comes.
func earlyOf(r *journal.Row) *payment { return &payment{seq: r.Seq, status: reversed} }

func answerOf(r *journal.Row) ([]byte, error) {
	if _, err := unionpay.ParseAnswer(r.Answer); err != nil {
		return nil, fmt.Errorf("row %d: %w", r.Seq, err)
	}
	return append([]byte(nil), r.Answer...), nil
}

func (s *state) applyRequested(r *journal.Row) error {
	p, err := requestOf(r)
	if err != nil {
		return err
	}
	s.begun.Begin(r.Key, markPayment)
	s.take(r.Key, p)
	return nil
}

// take makes a pending payment findable.
func (s *state) take(key string, p *payment) {
	s.payments.Begin(key, p)
	s.bySeq[p.seq] = key
}

// finish gives a pending payment its end.
func (p *payment) finish(r *journal.Row) (err error) {
	p.status = answered
	if r.Kind == journal.TimedOut {
		p.status = timedOut
	}
	p.request, p.sealed = nil, nil
	p.answer, err = answerOf(r)
	return err
}

func (s *state) applyEnd(r *journal.Row) error {
	key := s.bySeq[r.Linked]
	p, known := s.payments.Get(key)
	if !known || p.status != pending {
		return fmt.Errorf("row %d: ends row %d, which is not a pending payment", r.Seq, r.Linked)
	}
	sealed := p.sealed
	if err := p.finish(r); err != nil {
		return err
	}
	s.close(key, p, r.Seq)
	if r.Kind == journal.TimedOut {
		s.send(r.Key, &reversal{seq: r.Seq, to: p.to, original: key, sealed: sealed, date: p.date})
	}
	return nil
}

// close keeps a payment that has ended.
func (s *state) close(key string, p *payment, seq uint64) {
	delete(s.bySeq, p.seq)
	s.begun.End(key)
	s.payments.End(key, p, seq)
}

// send notes a reversal that is on its way to an issuer.
func (s *state) send(key string, v *reversal) {
	s.begun.Begin(key, markReversal)
	s.reversals.Begin(key, v)
	s.bySeq[v.seq] = key
}

// passedOf reads an acquirer's reversal or notice from its row.
func passedOf(r *journal.Row) (*reversal, error) {
	parties, sealed, err := readParties(r)
	return &reversal{seq: r.Seq, content: r.Content, to: parties[1], original: r.Payment, sealed: sealed, notice: r.Kind == journal.ScriptReported}, err
}

func (s *state) applyReversed(r *journal.Row) error {
	v, err := passedOf(r)
	if err != nil {
		return err
	}
	if v.to == "" {
		v.sealed = nil
		s.reversals.End(r.Key, v, r.Seq)
	} else {
		s.send(r.Key, v)
	}
	if v.notice {
		return nil
	}
	// A payment that has ended stays as it is: its first answer is given again.
	if p, known := s.payments.Get(r.Payment); known && p.status == pending {
		p.status, p.request, p.sealed = reversed, nil, nil
		s.close(r.Payment, p, r.Seq)
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
