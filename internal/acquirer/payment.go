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
	content  [16]byte
	key      string // terminal's key
	network  string // key towards the switch; "" when the acquirer refused it itself
	terminal string
	status   status
	upload   bool
	answer   unionpay.Answer
	hold     uint64                     // row that holds the money, 0 when none is held
	forward  *unionpay.FinancialRequest // as sent to the switch, without PIN; only while pending and only in the process that sent it
	sealed   []byte                     // the same for rest
	stan     uint32                     // the terminal's trace number, for its response
}

// reversal is one reversal on its way to the switch.
type reversal struct {
	seq      uint64
	original string // terminal's key
	sealed   []byte
	reason   unionpay.ResponseCode // why, as the reversal says it
	done     bool
}

// received is a reversal that a terminal sent.
type received struct {
	content [16]byte
	date    int32 // business date of its answer
}

// state is the journal, folded; only apply changes what survives a restart.
type state struct {
	book     *ledger.Book
	payments map[string]*payment // by the terminal's key
	network  map[string]*payment // by the key towards the switch
	bySeq    map[uint64]*payment
	// taken remembers the reversals that terminals sent, by their key; outgoing are those towards the switch, by theirs.
	taken    map[string]received
	outgoing map[string]*reversal
	requests uint64 // payments taken so far, refused ones too: numbers traces and references
}

// The acquirer's own account; merchants' accounts follow their place in the list.
const (
	AccountScheme ledger.Account = 1 // what the scheme owes for approved payments
	firstMerchant ledger.Account = 100
	// AccountMerchants is the first merchant's; the others follow in the order of Deps.Merchants.
	AccountMerchants = firstMerchant
)

func newState(merchants []Merchant, currency uint16) *state {
	s := &state{
		book: ledger.NewBook(), payments: map[string]*payment{}, network: map[string]*payment{}, bySeq: map[uint64]*payment{},
		taken: map[string]received{}, outgoing: map[string]*reversal{},
	}
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
//	Answered      the switch's answer: Linked = Requested row, Answer; a hold, or a transfer for an offline payment, when approved
//	TimedOut      no answer in time: Linked = Requested row, Payment = key of the reversal towards the switch, Answer = what the terminal was told
//	Reversed      the terminal reverses: Key, Content, Payment = key of the reversal towards the switch ("" when there is nothing to send), RRN,
//	              Linked = Requested row, 0 when the original is unknown; Note = original's key, Resolves = the hold it releases
//	Acknowledged  the switch acknowledged a reversal: Payment = its key
func (s *state) apply(r *journal.Row) error {
	switch r.Kind {
	case journal.Requested:
		p := &payment{seq: r.Seq, content: r.Content, key: r.Key, network: r.Payment, terminal: r.Terminal, status: pending, upload: r.Reason == 1,
			sealed: append([]byte(nil), r.Note...), stan: r.STAN}
		s.payments[r.Key], s.network[r.Payment], s.bySeq[r.Seq] = p, p, p
		s.requests++
		return nil
	case journal.Declined:
		answer, err := unionpay.ParseAnswer(r.Answer)
		if err != nil {
			return fmt.Errorf("row %d: %w", r.Seq, err)
		}
		s.payments[r.Key] = &payment{seq: r.Seq, content: r.Content, key: r.Key, terminal: r.Terminal, status: answered, answer: answer}
		s.requests++
		return nil
	case journal.Answered, journal.TimedOut:
		return s.applyEnd(r)
	case journal.Reversed:
		return s.applyReversed(r)
	case journal.Acknowledged:
		v := s.outgoing[r.Payment]
		if v == nil {
			return fmt.Errorf("row %d: acknowledges a reversal that was never sent", r.Seq)
		}
		v.done, v.sealed = true, nil
		return nil
	case journal.Refused:
		return nil
	default:
		return fmt.Errorf("row %d: kind %s has no meaning for an acquirer", r.Seq, r.Kind)
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

func (s *state) applyEnd(r *journal.Row) error {
	p := s.bySeq[r.Linked]
	if p == nil || p.status != pending {
		return fmt.Errorf("row %d: ends row %d, which is not a pending payment", r.Seq, r.Linked)
	}
	answer, err := unionpay.ParseAnswer(r.Answer)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	if err := s.transfer(r); err != nil {
		return err
	}
	p.answer, p.status = answer, answered
	if r.Kind == journal.TimedOut {
		p.status = timedOut
		s.outgoing[r.Payment] = &reversal{seq: r.Seq, original: p.key, sealed: p.sealed, reason: unionpay.ReasonTimeout}
	}
	if r.Debit != 0 && r.Phase == ledger.Pending {
		p.hold = r.Seq
	}
	if p.status == answered && !answer.Response.Approved() || p.upload {
		p.sealed = nil // an approval may still be reversed and needs the request; nothing else does
	}
	p.forward = nil
	return nil
}

func (s *state) applyReversed(r *journal.Row) error {
	if err := s.transfer(r); err != nil {
		return err
	}
	s.taken[r.Key] = received{content: r.Content, date: r.BusinessDate}
	original := string(r.Note)
	p := s.bySeq[r.Linked]
	if p == nil {
		if s.payments[original] == nil {
			s.payments[original] = &payment{seq: r.Seq, key: original, terminal: r.Terminal, status: reversed}
		}
		return nil
	}
	if r.Payment != "" {
		s.outgoing[r.Payment] = &reversal{seq: r.Seq, original: p.key, sealed: p.sealed, reason: unionpay.UnpackResponseCode(r.Reason)}
	}
	p.status, p.hold, p.sealed, p.forward = reversed, 0, nil, nil
	return nil
}
