package issuer

import (
	"encoding/json"
	"fmt"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// state is everything the decision reads. It is the journal, folded: only apply changes it, whether a row was just decided or is replayed. Cards and payments
// beyond the capacity are in the store (cache, recent).
type state struct {
	currency uint16
	// currencies are the others in which cards have purses, in order.
	currencies []int
	book       *ledger.Book
	cards      map[int64]*Card
	cache      cache
	recent     recent
	archive    journal.Archive // nil: everything is in memory
	last       uint64          // last row applied
	again      bool            // rows are being replayed
	// directory is also read beside the writer.
	directory directory
}

func newState(currency uint16, capacity Capacity) *state {
	capacity = capacity.orDefault()
	s := &state{
		currency: currency, book: ledger.NewBook(), cards: map[int64]*Card{}, cache: cache{capacity: capacity}, recent: newRecent(capacity.Payments),
	}
	s.open(AccountScheme, schemeSpec(currency))
	s.open(AccountFunding, fundingSpec(currency))
	return s
}

func schemeSpec(currency uint16) ledger.AccountSpec {
	return ledger.AccountSpec{Name: "scheme", Currency: currency, Kind: ledger.Liability}
}

func fundingSpec(currency uint16) ledger.AccountSpec {
	return ledger.AccountSpec{Name: "funding", Currency: currency, Kind: ledger.Asset}
}

// accountSpec is the card's account. A credit line lets it go below zero; the decision holds it to the line (available).
func accountSpec(c *Card) ledger.AccountSpec {
	return ledger.AccountSpec{Name: nameAccount, Currency: uint16(c.Currency), Kind: ledger.Liability, NoOverdraft: c.CreditMinor == 0}
}

func purseSpec(c *Card) ledger.AccountSpec {
	return ledger.AccountSpec{Name: namePurse, Currency: uint16(c.Currency), Kind: ledger.Liability}
}

// The names of cards' accounts in the ledger. Whose they are says AccountName: a text for each would cost more than the account.
const (
	nameAccount = "account"
	namePurse   = "purse"
)

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
	offlinePIN  bool // the card says that it has checked the PIN
	settles     bool // the cryptogram has confirmed what was booked of the last load
	authCode    string
	loading     bool   // the request was about a load
	token       bool   // the network vouched for a token: no counter of the card's
	follows     bool   // the request was about an earlier payment
	deferred    bool   // rides are paid after they were taken
	load        load   // of a Held row: balance before and after
	proof       string // key of the request that proves the ride, when this one does not
}

const (
	flagPINGiven    = 1
	flagCounterUsed = 2
	flagOfflinePIN  = 4
	flagSettles     = 8
	flagLoading     = 16
	flagToken       = 32
	flagFollows     = 64
	flagDeferred    = 128

	noteBytes = 2 // flags and tries
)

func (n note) bytes() []byte {
	var flags byte
	if n.pinGiven {
		flags |= flagPINGiven
	}
	if n.counterUsed {
		flags |= flagCounterUsed
	}
	if n.offlinePIN {
		flags |= flagOfflinePIN
	}
	if n.settles {
		flags |= flagSettles
	}
	if n.loading {
		flags |= flagLoading
	}
	if n.follows {
		flags |= flagFollows
	}
	if n.token {
		flags |= flagToken
	}
	if n.deferred {
		flags |= flagDeferred
	}
	b := []byte{flags, byte(n.tries)}
	if n.load.reason != 0 {
		b = n.load.bytes(b)
	}
	return append(b, n.proof...)
}

// longNote tells the kinds whose note says more behind the flags: loads, what follows an earlier payment, and balances told.
func longNote(kind journal.Kind) bool {
	switch kind {
	case journal.Held, journal.Refunded, journal.Voided, journal.Completed, journal.Noted:
		return true
	}
	return false
}

func readNote(r *journal.Row) (note, error) {
	if len(r.Note) < noteBytes || len(r.Note) > noteBytes && !longNote(r.Kind) && r.Note[0]&flagDeferred == 0 {
		return note{}, fmt.Errorf("row %d: note of %d bytes, want %d", r.Seq, len(r.Note), noteBytes)
	}
	flags := r.Note[0]
	code, _ := splitAnswer(r.Answer)
	return note{
		tries: int(r.Note[1]), pinGiven: flags&flagPINGiven != 0, counterUsed: flags&flagCounterUsed != 0, offlinePIN: flags&flagOfflinePIN != 0,
		settles: flags&flagSettles != 0, loading: flags&flagLoading != 0, token: flags&flagToken != 0, deferred: flags&flagDeferred != 0,
		authCode: code,
	}, nil
}

// apply brings the state to where the row left it.
func (s *state) apply(r *journal.Row) error {
	s.last = r.Seq
	switch r.Kind {
	case journal.Opened:
		return s.applyEnrolment(r)
	case journal.CardChanged:
		return s.applyChange(r)
	case journal.Approved, journal.Declined, journal.Uploaded:
		return s.applyDecision(r)
	case journal.Reversed:
		return s.applyReversal(r)
	case journal.Held, journal.Loaded, journal.Voided, journal.Adjusted, journal.Completed:
		return s.applyHolding(r)
	case journal.ScriptReported:
		return s.applyReport(r)
	case journal.Posted:
		return s.applyDeposit(r)
	case journal.Refunded:
		return s.applySequel(r)
	case journal.Noted:
		if answers(Reason(r.Reason)) {
			return s.applyDecision(r)
		}
		return s.applyMark(r)
	case journal.Refused:
		if r.Key != "" { // a reversal has come first
			s.remember(keyOf(r.Key), reference{}, payment{seq: r.Seq, early: true})
		}
		return nil
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for an issuer", r.Seq, r.Kind)
	}
}

// applyHolding folds rows about what is held: of loads, and with a key of what follows an earlier payment.
func (s *state) applyHolding(r *journal.Row) error {
	switch {
	case (r.Kind == journal.Voided || r.Kind == journal.Completed) && r.Key != "":
		return s.applySequel(r)
	case r.Kind == journal.Voided && Reason(r.Reason) == PreAuthGivesWay:
		return s.applyGivesWay(r)
	case r.Kind == journal.Voided && Reason(r.Reason) == OfflineTakesOver:
		return s.takeBack(r)
	case r.Kind == journal.Held && Reason(r.Reason) == HeldAgain:
		return s.applyHeldAgain(r)
	case r.Kind == journal.Held:
		return s.applyHeld(r)
	case r.Kind == journal.Completed:
		return s.applyPaidOut(r)
	}
	return s.applySettled(r)
}

func (s *state) transfer(r *journal.Row) error {
	if r.Debit == 0 {
		return nil
	}
	do := s.book.Apply
	if s.again && s.archive != nil {
		do = s.book.Redo // the balances may know of it
	}
	if code := do(r.Transfer()); code != ledger.OK {
		return fmt.Errorf("row %d: the ledger refuses it: %s", r.Seq, code)
	}
	return nil
}

// rowCard is the card a row names, which must be known, and whether the row is still to be folded into it.
func (s *state) rowCard(r *journal.Row) (c *Card, fresh bool, err error) {
	if c, err = s.card(r.Card); err != nil {
		return nil, false, fmt.Errorf("row %d: %w", r.Seq, err)
	}
	if c == nil {
		return nil, false, fmt.Errorf("row %d: unknown card %d", r.Seq, r.Card)
	}
	return c, r.Seq > c.seq, nil
}

func (s *state) applyEnrolment(r *journal.Row) error {
	if s.again {
		if old, err := s.card(r.Card); err != nil || old != nil {
			return err
		}
	}
	var e Enrolment
	if err := json.Unmarshal(r.Note, &e); err != nil {
		return fmt.Errorf("row %d: enrolment: %w", r.Seq, err)
	}
	e.SealedPAN = nil // the row has it
	c, err := newCard(e)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	s.open(c.account, accountSpec(c))
	s.open(c.purse, purseSpec(c))
	s.openSecond(c, nil)
	s.keep(c)
	s.changed(c, r.Seq)
	return nil
}

func (s *state) applyDeposit(r *journal.Row) error {
	c, fresh, err := s.rowCard(r)
	if err != nil {
		return err
	}
	if fresh {
		s.changed(c, r.Seq)
	}
	return s.transfer(r)
}

func (s *state) applyChange(r *journal.Row) error {
	var change Change
	if err := json.Unmarshal(r.Note, &change); err != nil {
		return fmt.Errorf("row %d: change: %w", r.Seq, err)
	}
	c, fresh, err := s.rowCard(r)
	if err != nil || !fresh {
		return err
	}
	s.changed(c, r.Seq)
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
	if len(change.Scripts) > 0 || change.AutoLoad != nil {
		c.setChip(func(h *chip) {
			for _, s := range change.Scripts {
				h.queue = append(h.queue, order{Script: s})
			}
			if change.AutoLoad != nil {
				h.auto = *change.AutoLoad
			}
		})
	}
	return nil
}

func (s *state) applyDecision(r *journal.Row) error {
	p, err := paymentOf(r)
	if err != nil {
		return err
	}
	s.recall(keyOf(r.Key), referenceOf(r.RRN), p, r.Answer)
	if r.Card == 0 {
		return nil
	}
	if proof := proofOf(r); proof != "" {
		s.recent.proofs[keyOf(r.Key)] = proof
	}
	c, fresh, err := s.rowCard(r)
	if err != nil {
		return err
	}
	if err := s.transfer(r); err != nil {
		return err
	}
	if fresh {
		s.fold(c, r, &p)
	}
	return nil
}

// fold brings a card's counters and limits used to where a decision left them.
func (s *state) fold(c *Card, r *journal.Row, p *payment) {
	n, _ := readNote(r) // paymentOf has read it
	s.changed(c, r.Seq)
	if r.Kind != journal.Uploaded {
		c.Tries = n.tries
	}
	if n.counterUsed {
		c.window.use(r.ATC)
		if r.Kind != journal.Uploaded {
			c.online = max(c.online, r.ATC)
		}
	}
	_, carried := splitAnswer(r.Answer)
	pin, changes := pinOf(r, carried)
	if sent := carried.ordered(); sent.count > 0 || n.settles || changes {
		c.setChip(func(h *chip) {
			if changes {
				h.pin = pin
			}
			if sent.count > 0 {
				h.sent = sent
			}
			if n.settles {
				h.load = load{}
			}
		})
	}
	if r.Kind == journal.Approved {
		c.days.put(c.days.on(r.BusinessDate).add(p, 1))
	}
}

// add counts a payment (sign 1) or takes it out again (sign -1). Whoever reverses a payment that was voided or refunded before gives money twice, which is his
// own; the card's day gives back no more than was used.
func (u usage) add(p *payment, sign int) usage {
	u.minor = max(0, u.minor+int64(sign)*p.minor)
	u.count = max(0, u.count+sign)
	if p.noPIN {
		u.noPINMinor = max(0, u.noPINMinor+int64(sign)*p.minor)
	}
	return u
}

func (s *state) applyReversal(r *journal.Row) error {
	switch {
	case r.Resolves != 0:
		if err := s.takeBack(r); err != nil {
			return err
		}
	case r.Card != 0:
		if err := s.applyUndone(r); err != nil {
			return err
		}
	}
	// Remembered last: the original must not be forgotten for it before its hold is gone.
	s.remember(keyOf(r.Key), reference{}, payment{seq: r.Seq, content: r.Content, reason: Reason(r.Reason), card: r.Card, date: r.BusinessDate})
	return nil
}

// takeBack releases a hold and what it used of the card's limits.
func (s *state) takeBack(r *journal.Row) error {
	back, err := readTaken(r)
	if err != nil {
		return err
	}
	c, fresh, err := s.moneyRow(r)
	if err != nil {
		return err
	}
	original := keyOf(string(r.Note))
	if e := s.recent.ring.find(original); e != nil {
		e.held = false
	}
	if !fresh {
		return nil
	}
	if c.chipNow().load.seq == r.Resolves {
		c.setChip(func(h *chip) { h.load.state = loadReturned })
	}
	// The day's limits give the amount back on the date it was used, unless that date is forgotten.
	if u := c.days.on(back.date); u.count > 0 {
		c.days.put(u.add(&payment{minor: r.Amount, noPIN: back.noPIN}, -1))
	}
	return nil
}

// available is what the card's account may still spend: its money, less holds, plus the credit line.
func (s *state) available(c *Card) int64 { return s.availableOn(c.first()) }
