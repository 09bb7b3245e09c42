package issuer

import (
	"encoding/json"
	"fmt"
	"sync"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// state is everything the decision reads. It is the journal, folded: only apply changes it, whether a row was just decided or is replayed.
type state struct {
	book     *ledger.Book
	cards    map[int64]*Card
	payments map[paymentKey]payment
	byRRN    map[reference]Reason // the last decision on each reference, for people who ask why
	// directory finds the immutable part of a card by fingerprint; Prepare reads it while the writer adds cards.
	directory sync.Map // Fingerprint → *Enrolment
}

func newState(currency uint16) *state {
	s := &state{book: ledger.NewBook(), cards: map[int64]*Card{}, payments: map[paymentKey]payment{}, byRRN: map[reference]Reason{}}
	s.open(AccountScheme, ledger.AccountSpec{Name: "scheme", Currency: currency, Kind: ledger.Liability})
	s.open(AccountFunding, ledger.AccountSpec{Name: "funding", Currency: currency, Kind: ledger.Asset})
	return s
}

func (s *state) open(account ledger.Account, spec ledger.AccountSpec) {
	if code := s.book.Open(account, spec); code != ledger.OK {
		panic(fmt.Sprintf("issuer: opening account %d: %s", account, code))
	}
}

// note is what a row says beyond its columns. Authorization rows use flags only, two bytes; enrolments and changes are JSON.
type note struct {
	tries       int
	pinGiven    bool
	counterUsed bool
	authCode    string
}

const (
	flagPINGiven    = 1
	flagCounterUsed = 2
)

func (n note) bytes() []byte {
	var flags byte
	if n.pinGiven {
		flags |= flagPINGiven
	}
	if n.counterUsed {
		flags |= flagCounterUsed
	}
	return []byte{flags, byte(n.tries)}
}

func readNote(r *journal.Row) (note, error) {
	if len(r.Note) != 2 {
		return note{}, fmt.Errorf("row %d: note of %d bytes, want 2", r.Seq, len(r.Note))
	}
	return note{
		tries: int(r.Note[1]), pinGiven: r.Note[0]&flagPINGiven != 0, counterUsed: r.Note[0]&flagCounterUsed != 0,
		authCode: string(r.Answer),
	}, nil
}

// apply brings the state to where the row left it.
func (s *state) apply(r *journal.Row) error {
	switch r.Kind {
	case journal.Opened:
		return s.applyEnrolment(r)
	case journal.CardChanged:
		return s.applyChange(r)
	case journal.Approved, journal.Declined, journal.Uploaded:
		return s.applyDecision(r)
	case journal.Reversed:
		return s.applyReversal(r)
	case journal.Posted:
		return s.transfer(r)
	case journal.Refused:
		return nil
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for an issuer", r.Seq, r.Kind)
	}
}

func (s *state) transfer(r *journal.Row) error {
	if r.Debit == 0 {
		return nil
	}
	if code := s.book.Apply(r.Transfer()); code != ledger.OK {
		return fmt.Errorf("row %d: the ledger refuses it: %s", r.Seq, code)
	}
	return nil
}

func (s *state) applyEnrolment(r *journal.Row) error {
	var e Enrolment
	if err := json.Unmarshal(r.Note, &e); err != nil {
		return fmt.Errorf("row %d: enrolment: %w", r.Seq, err)
	}
	c, err := newCard(e)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	currency := uint16(e.Currency)
	// A credit line lets the account go below zero; the decision holds it to the line (available).
	s.open(c.account, ledger.AccountSpec{Name: "account " + e.Name, Currency: currency, Kind: ledger.Liability, NoOverdraft: e.CreditMinor == 0})
	s.open(c.purse, ledger.AccountSpec{Name: "purse " + e.Name, Currency: currency, Kind: ledger.Liability})
	s.cards[c.Enrolment.Card] = c
	s.directory.Store(e.Fingerprint, &c.Enrolment)
	return nil
}

func (s *state) applyChange(r *journal.Row) error {
	var change Change
	if err := json.Unmarshal(r.Note, &change); err != nil {
		return fmt.Errorf("row %d: change: %w", r.Seq, err)
	}
	c := s.cards[change.Card]
	if c == nil {
		return fmt.Errorf("row %d: change of unknown card %d", r.Seq, change.Card)
	}
	if change.Status != nil {
		c.Status = *change.Status
	}
	if change.NoPIN != nil {
		c.NoPIN = *change.NoPIN
	}
	if change.Contactless != nil {
		c.Contactless = *change.Contactless
	}
	if change.Limits != nil {
		c.Limits = *change.Limits
	}
	if change.PINTries != nil {
		c.Tries = *change.PINTries
	}
	return nil
}

func (s *state) applyDecision(r *journal.Row) error {
	n, err := readNote(r)
	if err != nil {
		return err
	}
	if err := s.transfer(r); err != nil {
		return err
	}
	p := payment{
		seq: r.Seq, content: r.Content, reason: Reason(r.Reason), code: codeOf(n.authCode), card: r.Card, minor: r.Amount, date: r.BusinessDate,
		noPIN: !n.pinGiven, held: r.Kind == journal.Approved,
	}
	s.payments[keyOf(r.Key)] = p
	s.byRRN[referenceOf(r.RRN)] = p.reason
	c := s.cards[r.Card]
	if c == nil {
		return nil
	}
	if r.Kind != journal.Uploaded {
		c.Tries = n.tries
	}
	if n.counterUsed {
		c.window.use(r.ATC)
		if r.Kind != journal.Uploaded {
			c.online = max(c.online, r.ATC)
		}
	}
	if r.Kind == journal.Approved {
		c.days.put(c.days.on(r.BusinessDate).add(&p, 1))
	}
	return nil
}

// add counts a payment (sign 1) or takes it out again (sign -1).
func (u usage) add(p *payment, sign int) usage {
	u.minor += int64(sign) * p.minor
	u.count += sign
	if p.noPIN {
		u.noPINMinor += int64(sign) * p.minor
	}
	return u
}

func (s *state) applyReversal(r *journal.Row) error {
	if err := s.transfer(r); err != nil {
		return err
	}
	s.payments[keyOf(r.Key)] = payment{seq: r.Seq, content: r.Content, reason: Reason(r.Reason), card: r.Card, date: r.BusinessDate}
	original := keyOf(string(r.Note))
	p, seen := s.payments[original]
	if !seen {
		s.payments[original] = payment{seq: r.Seq, early: true}
		return nil
	}
	if !p.held {
		return nil
	}
	p.held = false
	s.payments[original] = p
	// The day's limits give the amount back on the date it was used, unless that date is forgotten.
	if c := s.cards[p.card]; c != nil {
		if u := c.days.on(p.date); u.count > 0 {
			c.days.put(u.add(&p, -1))
		}
	}
	return nil
}

// available is what the card's account may still spend: its money, less holds, plus the credit line.
func (s *state) available(c *Card) int64 { return s.book.Available(c.account) + c.CreditMinor }
