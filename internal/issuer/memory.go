package issuer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// payment is what the issuer remembers of a request it answered, so that a repeat gets the first answer and a reversal finds its original. It holds no
// pointer: millions of them cost the garbage collector nothing.
type payment struct {
	seq      uint64
	content  [16]byte
	card     int64
	minor    int64
	date     int32
	reason   Reason
	atc      uint16
	currency uint16
	code     approvalCode
	noPIN    bool
	held     bool   // the hold of seq still stands
	spends   bool   // the counter is this one's
	early    bool   // the reversal came first; no request was decided
	hold     uint64 // of a mark: row of the hold that stands, see standing
}

// identity is a request's key and content, by which a repeat is known.
type identity struct {
	key     string
	content [16]byte
}

// identify takes what Prepare has computed already, or computes it.
func identify(m *unionpay.FinancialRequest, f *Finding) identity {
	if f != nil && f.id.key != "" {
		return f.id
	}
	return identity{unionpay.NetworkKey(m), unionpay.ContentHash(m)}
}

// keyChars is the length of a payment's key at the switch; the keys of terminals are shorter.
const keyChars = 39

// paymentKey is a payment's key with its length behind it. Keys order as their texts do: by time.
type paymentKey [keyChars + 1]byte

const hashedKey = 0xFF // in the place of the length

func keyOf(key string) (k paymentKey) {
	if len(key) > keyChars { // no message that was decoded has such a key
		sum := sha256.Sum256([]byte(key))
		copy(k[:], sum[:])
		k[keyChars] = hashedKey
		return k
	}
	copy(k[:], key)
	k[keyChars] = byte(len(key))
	return k
}

// reference is a retrieval reference number: 12 characters in field 37.
type reference [12]byte

func referenceOf(rrn string) (r reference) {
	copy(r[:], rrn)
	return r
}

// approvalCode is field 38 of an approval; zero is none.
type approvalCode [6]byte

func codeOf(s string) (c approvalCode) {
	copy(c[:], s)
	return c
}

// String gives the six digits, or nothing.
func (c approvalCode) String() string {
	if c == (approvalCode{}) {
		return ""
	}
	return string(c[:])
}

// recent is the payments decided last. Older ones are in the journal, where they are looked for when a key is not above the horizon: the greatest key
// that was ever forgotten. Keys rise with time, so a new payment costs no look-up.
type recent struct {
	capacity int
	ring     ring
	scripts  map[paymentKey]scripts  // what the answers to some of them carried for the chip
	follows  map[paymentKey]followed // what some of them went on with
	proofs   map[paymentKey]string   // see proofOf
	horizon  paymentKey
	// published is the horizon for Prepare; nil while nothing was forgotten. It may lag: Handle looks again.
	published atomic.Pointer[paymentKey]
	forgot    int
}

// publishEvery is how many payments are forgotten between two publications of the horizon: a copy each time would cost more than the rare second look.
const publishEvery = 512

func newRecent(capacity int) recent {
	return recent{capacity: capacity, ring: newRing(), scripts: map[paymentKey]scripts{}, follows: map[paymentKey]followed{}, proofs: map[paymentKey]string{}}
}

// put remembers a payment. Of those that are forgotten for it gone is told; none of them is younger than durable, the last row known to be on disk.
func (m *recent) put(k paymentKey, rrn reference, p payment, durable uint64, gone func(payment)) {
	if e := m.ring.find(k); e != nil {
		e.payment = p
		return
	}
	e := m.ring.add(k, rrn)
	e.payment, e.since = p, p.seq
	for m.ring.len() > m.capacity && m.ring.oldest().since <= durable {
		old := m.ring.oldest()
		gone(old.payment)
		delete(m.scripts, old.key)
		delete(m.follows, old.key)
		delete(m.proofs, old.key)
		m.forget(old.key)
		m.ring.forget()
	}
}

// reasonOf is the decision on the last payment with that reference, for people who ask why.
func (m *recent) reasonOf(rrn reference) Reason {
	if e := m.ring.findRRN(rrn); e != nil {
		return e.reason
	}
	return 0
}

func (m *recent) forget(k paymentKey) {
	if k[keyChars] != hashedKey && bytes.Compare(k[:], m.horizon[:]) > 0 {
		m.horizon = k
	}
	if m.forgot%publishEvery == 0 {
		horizon := m.horizon
		m.published.Store(&horizon)
	}
	m.forgot++
}

// beyond says that payments up to this key may be in the journal and not in memory.
func (m *recent) beyond(key string) {
	m.horizon = keyOf(key[:min(len(key), keyChars)]) // the greatest may be that of a mark, behind its payment's
	horizon := m.horizon
	m.published.Store(&horizon)
	m.forgot++
}

func (k *paymentKey) within(horizon *paymentKey) bool {
	return k[keyChars] == hashedKey || bytes.Compare(k[:], horizon[:]) <= 0
}

// recall is what the archive says about a key.
type recall struct {
	key     string
	found   bool
	payment payment
	answer  []byte      // as its row has it
	hold    ledger.Hold // when the payment is held
}

// look asks the archive for a payment that memory may have forgotten.
func (s *state) look(key string) (*recall, error) {
	out := &recall{key: key}
	ctx := context.Background()
	row, found, err := s.archive.FindKey(ctx, key)
	if err != nil || !found {
		return out, err
	}
	out.found = true
	out.answer = row.Answer
	if out.payment, err = paymentOf(row); err != nil || !out.payment.held {
		return out, err
	}
	out.hold = holdOf(row)
	_, ended, err := s.archive.FindResolving(ctx, row.Seq)
	out.payment.held = !ended
	return out, err
}

// foresee looks in parallel, before the event is handled, where memory surely has no answer.
func (s *state) foresee(key string) (*recall, error) {
	horizon := s.recent.published.Load()
	if s.archive == nil || horizon == nil {
		return nil, nil
	}
	if k := keyOf(key); !k.within(horizon) {
		return nil, nil
	}
	return s.look(key)
}

// payment finds what was decided on a key: in memory, in what was foreseen, or in the archive.
func (s *state) payment(key string, foreseen *recall) (payment, bool, error) {
	k := keyOf(key)
	if e := s.recent.ring.find(k); e != nil {
		return e.payment, true, nil
	}
	if s.archive == nil || s.recent.forgot == 0 || !k.within(&s.recent.horizon) {
		return payment{}, false, nil
	}
	if foreseen == nil || foreseen.key != key {
		var err error
		if foreseen, err = s.look(key); err != nil {
			return payment{}, false, fmt.Errorf("look for an earlier payment: %w", err)
		}
	}
	if foreseen.found {
		if foreseen.payment.held {
			s.book.Adopt(foreseen.hold)
		}
		s.recall(k, reference{}, foreseen.payment, foreseen.answer)
	}
	return foreseen.payment, foreseen.found, nil
}

// remember puts a payment into memory; of one that is forgotten for it the ledger forgets the hold as well.
func (s *state) remember(k paymentKey, rrn reference, p payment) {
	durable := s.cache.durable
	switch {
	case s.archive == nil: // what is forgotten would be lost
		durable = 0
	case s.again: // the row was read from there
		durable = p.seq
	}
	s.recent.put(k, rrn, p, durable, func(old payment) {
		if old.held {
			s.book.PutHoldAway(old.seq)
		}
	})
}

// recall remembers a payment and what its answer carried for the chip.
func (s *state) recall(k paymentKey, rrn reference, p payment, answer []byte) {
	s.remember(k, rrn, p)
	if _, carried := splitAnswer(answer); len(carried) > 0 && carried.sound() {
		s.recent.scripts[k] = carried
	}
}

// paymentOf reads back what a row with a key says. Whether a hold still stands the row alone cannot say.
func paymentOf(r *journal.Row) (payment, error) {
	p := payment{seq: r.Seq, content: r.Content, reason: Reason(r.Reason), card: r.Card, date: r.BusinessDate}
	switch r.Kind {
	case journal.Reversed:
		return p, nil
	case journal.Refused:
		return payment{seq: r.Seq, early: true}, nil
	case journal.Noted:
		if !answers(p.reason) {
			return markOf(r)
		}
	}
	n, err := readNote(r)
	p.code, p.minor, p.noPIN, p.held, p.atc = codeOf(n.authCode), r.Amount, !n.pinGiven && !n.offlinePIN, r.Kind == journal.Approved, r.ATC
	p.spends, p.currency = n.counterUsed, r.Currency
	if err == nil && p.reason == BalanceTold {
		p.minor, err = toldOf(r)
	}
	return p, err
}

func holdOf(r *journal.Row) ledger.Hold {
	return ledger.Hold{ID: r.Seq, Debit: r.Debit, Credit: r.Credit, Amount: r.Amount, Currency: r.Currency}
}

// taken is what a reversal says of the payment it takes back, beside the money: the date on which that counted towards the card's limits, and whether
// it did so without PIN. The payment itself may be long forgotten when the row is replayed.
type taken struct {
	date  int32
	noPIN bool
}

const takenBytes = 5

func (t taken) bytes() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, takenBytes), uint32(t.date))
	if t.noPIN {
		return append(b, 1)
	}
	return append(b, 0)
}

func readTaken(r *journal.Row) (taken, error) {
	if len(r.Answer) != takenBytes {
		return taken{}, fmt.Errorf("row %d: answer of %d bytes, want %d", r.Seq, len(r.Answer), takenBytes)
	}
	return taken{date: int32(binary.BigEndian.Uint32(r.Answer)), noPIN: r.Answer[4] == 1}, nil
}
