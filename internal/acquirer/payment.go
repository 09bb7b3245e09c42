package acquirer

import (
	"fmt"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// status is where a merchant's payment stands. Legal transitions: pending → answered, timedOut, reversed; answered → reversed.
type status uint8

const (
	pending status = iota + 1
	answered
	timedOut
	reversed
)

// payment is one request of a terminal.
type payment struct {
	seq      uint64
	last     uint64 // the last row about it
	content  [16]byte
	key      string // terminal's key
	network  string // key towards the switch; "" when the acquirer refused it itself
	terminal string
	status   status
	upload   bool
	answer   []byte                     // the first answer, packed; nil when there was none
	hold     ledger.Hold                // the money that is held, zero when none is
	forward  *unionpay.FinancialRequest // as sent to the switch, without PIN; only while pending and only in the process that sent it
	sealed   []byte                     // the same for rest
	stan     uint32                     // the terminal's trace number, for its response
}

// given is the first answer; zero when there was none. Answers are read when a row comes in, so that these bytes are sound.
func (p *payment) given() unionpay.Answer {
	answer, err := unionpay.ParseAnswer(p.answer)
	if err != nil {
		panic("acquirer: a checked answer cannot be read: " + err.Error())
	}
	return answer
}

// reversal is one reversal on its way to the switch.
type reversal struct {
	seq    uint64
	row    string // key of the row that began it
	sealed []byte
	reason unionpay.ResponseCode // why, as the reversal says it
}

// received is a reversal that a terminal sent.
type received struct {
	content [16]byte
	date    int32 // business date of its answer
}

// endMark behind a payment's key is the key of the row that ends it, so that it can be found when the payment is no longer in memory.
const endMark = "e"

// state is the journal, folded; only apply changes what survives a restart. Payments and reversals that have ended are in memory as far as the capacity goes.
type state struct {
	book     *ledger.Book
	payments *journal.Recent[*payment] // by the terminal's key
	taken    *journal.Recent[received] // the reversals that terminals sent, by their key
	network  map[string]*payment       // pending ones by the key towards the switch
	bySeq    map[uint64]*payment       // pending ones by their row
	outgoing map[string]*reversal      // reversals towards the switch that nobody has acknowledged, by their key
	requests uint64                    // payments taken so far, refused ones too: numbers traces and references
	begun    *journal.Begun            // pending payments and outgoing reversals
	archive  journal.Archive
	last     uint64 // last row applied
	written  uint64 // last row of the last write-back
}

// The acquirer's own account; merchants' accounts follow their place in the list.
const (
	AccountScheme ledger.Account = 1 // what the scheme owes for approved payments
	firstMerchant ledger.Account = 100
	// AccountMerchants is the first merchant's; the others follow in the order of Deps.Merchants.
	AccountMerchants = firstMerchant
)

func newState(merchants []Merchant, currency uint16, capacity journal.Capacity) *state {
	capacity = capacity.OrDefault()
	s := &state{
		book: ledger.NewBook(), taken: journal.NewRecent[received](capacity.Ended, false, nil), network: map[string]*payment{},
		bySeq: map[uint64]*payment{}, outgoing: map[string]*reversal{}, begun: journal.NewBegun(capacity.Rows),
	}
	// Keys rise for each terminal, not for all: only a look tells a new one.
	s.payments = journal.NewRecent(capacity.Ended, false, func(p *payment) { s.book.PutHoldAway(p.hold.ID) })
	s.open(AccountScheme, ledger.AccountSpec{Name: "scheme", Currency: currency, Kind: ledger.Asset})
	for i, m := range merchants {
		s.open(firstMerchant+ledger.Account(i), ledger.AccountSpec{Name: "merchant " + m.Name, Currency: currency, Kind: ledger.Liability})
	}
	return s
}

func (s *state) open(account ledger.Account, spec ledger.AccountSpec) {
	if code := s.book.Open(account, spec); code != ledger.OK {
		panic(fmt.Sprintf("acquirer: opening account %d: %s", account, code))
	}
}

// apply brings the state to where the row left it.
//
//	Requested     a payment went to the switch: Key = terminal's, Payment = switch's key, Note = sealed request (Reason 1: an offline payment)
//	Declined      the acquirer refused it: Key, Answer
//	Answered      the switch's answer: Key = payment's with endMark, Linked = Requested row, Answer; a hold, or a transfer for an offline payment, when approved
//	TimedOut      no answer in time: Key = payment's with endMark, Linked = Requested row, Payment = key of the reversal towards the switch,
//	              Answer = what the terminal was told
//	Reversed      the terminal reverses: Key, Content, Payment = key of the reversal towards the switch ("" when there is nothing to send), RRN,
//	              Linked = Requested row, 0 when there is nothing to take back; Note = original's key, Resolves = the hold it releases
//	Refused       a reversal came before its payment, whose key is spent: Key = original's, Linked = Reversed row
//	Acknowledged  the switch acknowledged a reversal: Payment = its key
func (s *state) apply(r *journal.Row) error {
	s.last = r.Seq
	switch r.Kind {
	case journal.Requested:
		s.requests++
		s.take(requestOf(r))
		s.begun.Begin(r.Key, markPayment)
		return nil
	case journal.Declined:
		s.requests++
		p, err := declineOf(r)
		if err == nil {
			s.payments.End(r.Key, p, r.Seq)
		}
		return err
	case journal.Answered, journal.TimedOut:
		return s.applyEnd(r)
	case journal.Reversed:
		return s.applyReversed(r)
	case journal.Refused:
		s.payments.End(r.Key, earlyOf(r), r.Seq)
		return nil
	case journal.Acknowledged:
		v := s.outgoing[r.Payment]
		if v == nil {
			return fmt.Errorf("row %d: acknowledges a reversal that does not wait for it", r.Seq)
		}
		delete(s.outgoing, r.Payment)
		s.begun.End(v.row)
		return nil
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for an acquirer", r.Seq, r.Kind)
	}
}

// requestOf reads a pending payment from its row.
func requestOf(r *journal.Row) *payment {
	return &payment{seq: r.Seq, last: r.Seq, content: r.Content, key: r.Key, network: r.Payment, terminal: r.Terminal, status: pending, upload: r.Reason == 1,
		sealed: append([]byte(nil), r.Note...), stan: r.STAN}
}

// earlyOf is what stands for a payment whose reversal came first: its request is refused whenever it comes.
func earlyOf(r *journal.Row) *payment {
	return &payment{seq: r.Seq, last: r.Seq, key: r.Key, status: reversed}
}

// declineOf reads a payment that the acquirer refused from its row.
func declineOf(r *journal.Row) (*payment, error) {
	answer, err := answerOf(r)
	return &payment{seq: r.Seq, last: r.Seq, content: r.Content, key: r.Key, terminal: r.Terminal, status: answered, answer: answer}, err
}

func answerOf(r *journal.Row) ([]byte, error) {
	if _, err := unionpay.ParseAnswer(r.Answer); err != nil {
		return nil, fmt.Errorf("row %d: %w", r.Seq, err)
	}
	return append([]byte(nil), r.Answer...), nil
}

// take makes a pending payment findable.
func (s *state) take(p *payment) {
	s.payments.Begin(p.key, p)
	s.network[p.network], s.bySeq[p.seq] = p, p
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

// finish gives a pending payment its end.
func (p *payment) finish(r *journal.Row) error {
	answer, err := answerOf(r)
	if err != nil {
		return err
	}
	p.answer, p.status, p.last = answer, answered, r.Seq
	if r.Kind == journal.TimedOut {
		p.status = timedOut
	}
	if r.Debit != 0 && r.Phase == ledger.Pending {
		p.hold = holdOf(r)
	}
	if p.status == timedOut || p.upload || !p.given().Response.Approved() {
		p.sealed = nil // an approval may still be reversed and needs the request; nothing else does
	}
	p.forward = nil
	return nil
}

func holdOf(r *journal.Row) ledger.Hold {
	return ledger.Hold{ID: r.Seq, Debit: r.Debit, Credit: r.Credit, Amount: r.Amount, Currency: r.Currency}
}

func (s *state) applyEnd(r *journal.Row) error {
	p := s.bySeq[r.Linked]
	if p == nil {
		return fmt.Errorf("row %d: ends row %d, which is not a pending payment", r.Seq, r.Linked)
	}
	if err := s.transfer(r); err != nil {
		return err
	}
	sealed := p.sealed
	if err := p.finish(r); err != nil {
		return err
	}
	s.close(p)
	if r.Kind == journal.TimedOut {
		s.send(r, sealed)
	}
	return nil
}

// close keeps a payment that has ended.
func (s *state) close(p *payment) {
	delete(s.bySeq, p.seq)
	delete(s.network, p.network)
	s.begun.End(p.key)
	s.payments.End(p.key, p, p.last)
}

// send notes the reversal that a row sends to the switch.
func (s *state) send(r *journal.Row, sealed []byte) {
	s.outgoing[r.Payment] = outgoingOf(r, sealed)
	s.begun.Begin(r.Key, markReversal)
}

func outgoingOf(r *journal.Row, sealed []byte) *reversal {
	v := &reversal{seq: r.Seq, row: r.Key, sealed: sealed, reason: unionpay.ReasonTimeout}
	if r.Kind == journal.Reversed {
		v.reason = unionpay.UnpackResponseCode(r.Reason)
	}
	return v
}

func (s *state) applyReversed(r *journal.Row) error {
	s.taken.End(r.Key, received{content: r.Content, date: r.BusinessDate}, r.Seq)
	if r.Linked == 0 {
		return nil
	}
	p, known := s.payments.Get(string(r.Note))
	if !known { // a restart: it had ended before the rows that are replayed
		var err error
		if p, known, err = s.look(string(r.Note)); err != nil || !known {
			return fmt.Errorf("row %d: reverses row %d, which is not found: %w", r.Seq, r.Linked, err)
		}
	}
	if r.Resolves != 0 {
		if _, open := s.book.Hold(r.Resolves); !open { // it was put away
			s.book.Adopt(ledger.Hold{ID: r.Resolves, Debit: r.Debit, Credit: r.Credit, Amount: r.Amount, Currency: r.Currency})
		}
	}
	if err := s.transfer(r); err != nil {
		return err
	}
	if r.Payment != "" {
		s.send(r, p.sealed)
	}
	p.status, p.hold, p.sealed, p.forward, p.last = reversed, ledger.Hold{}, nil, nil, r.Seq
	s.close(p)
	return nil
}
