package acquirer

import (
	"cmp"
	"fmt"

	"tapnet/internal/delivery"
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
	business Business
	amount   int64
	rrn      string
	original string                     // key of the payment that the request names
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

// approved reports whether the payment was approved and stands.
func (p *payment) approved() bool {
	return p.status == answered && p.network != "" && p.given().Response.Approved()
}

// reversal is one reversal, or one notice about scripts, on its way to the switch.
type reversal struct {
	seq     uint64
	row     string                // key of the row that began it
	sealed  []byte                // the request that is reversed, or the notice
	reason  unionpay.ResponseCode // why, as the reversal says it
	results []byte                // of scripts, as the reversal says it
	notice  bool
}

// settledBy reports whether an answer ends the repeating. A notice about a card that nobody knows is not asked again.
func (v *reversal) settledBy(code unionpay.ResponseCode) bool {
	return delivery.Settles(code) || v.notice && delivery.Definite(code)
}

// received is a reversal, a notice, a settlement or a batch upload that a terminal sent.
type received struct {
	content [16]byte
	date    int32           // business date of its answer
	totals  unionpay.Opaque // of a settlement's answer
}

func receivedOf(r *journal.Row) received {
	v := received{content: r.Content, date: r.BusinessDate}
	if r.Kind == journal.BatchClosed {
		v.totals = unionpay.Opaque(r.Note)
	}
	return v
}

// endMark behind a payment's key is the key of the row that ends it, so that it can be found when the payment is no longer in memory.
const endMark = "e"

// state is the journal, folded; only apply changes what survives a restart. Payments and reversals that have ended are in memory as far as the capacity goes.
type state struct {
	book     *ledger.Book
	payments *journal.Recent[*payment] // by the terminal's key
	taken    *journal.Recent[received] // the reversals that terminals sent, by their key
	shown    *journal.Recent[showing]  // the cryptograms of gates, by their key
	network  map[string]*payment       // pending ones by the key towards the switch
	bySeq    map[uint64]*payment       // pending ones by their row
	outgoing map[string]*reversal      // reversals towards the switch that nobody has acknowledged, by their key
	requests uint64                    // payments taken so far, refused ones too: numbers traces and references
	begun    *journal.Begun            // pending payments and outgoing reversals and notices
	tills    map[string]*till          // what is open at each terminal
	order    []string                  // terminals in the order of Deps
	standing []merchantStanding        // in the order of Deps.Merchants
	places   map[string]int            // of merchants
	lists    map[unionpay.DownloadKind]*list
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
	// AccountCash is what the first merchant owes for cash it took to load purses; the others' follow in the same order.
	AccountCash ledger.Account = 1 << 32
	firstCash                  = AccountCash
)

func newState(deps Deps) *state {
	merchants, currency := deps.Merchants, deps.Currency
	capacity := deps.Capacity.OrDefault()
	s := &state{
		book: ledger.NewBook(), taken: journal.NewRecent[received](capacity.Ended, false, nil),
		shown: journal.NewRecent[showing](capacity.Ended, false, nil), network: map[string]*payment{},
		bySeq: map[uint64]*payment{}, outgoing: map[string]*reversal{}, begun: journal.NewBegun(capacity.Rows), tills: map[string]*till{},
		places: map[string]int{}, lists: map[unionpay.DownloadKind]*list{},
	}
	for _, t := range deps.Terminals {
		s.tills[t.ID] = &till{currency: cmp.Or(t.Currency, deps.Currency)}
		s.order = append(s.order, t.ID)
	}
	// Keys rise for each terminal, not for all: only a look tells a new one.
	s.payments = journal.NewRecent(capacity.Ended, false, func(p *payment) { s.book.PutHoldAway(p.hold.ID) })
	s.openElsewhere(deps)
	s.open(AccountScheme, ledger.AccountSpec{Name: "scheme", Currency: currency, Kind: ledger.Asset})
	for i, m := range merchants {
		s.open(firstMerchant+ledger.Account(i), ledger.AccountSpec{Name: "merchant " + m.Name, Currency: currency, Kind: ledger.Liability})
		s.open(firstCash+ledger.Account(i), ledger.AccountSpec{Name: "cash of " + m.Name, Currency: currency, Kind: ledger.Asset})
		s.places[m.ID] = i
		s.standing = append(s.standing, merchantStanding{standing: MerchantApproved})
		if m.Waiting {
			s.standing[i].standing = MerchantWaiting
		}
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
//	Requested     a payment went to the switch: Key = terminal's, Payment = switch's key, Note = sealed request, Reason = its Business, Answer = key of the
//	              payment it names
//	Declined      the acquirer refused it: Key, Answer
//	Answered      the switch's answer: Key = payment's with endMark, Linked = Requested row, Answer; when approved what the business moves: a hold, a transfer,
//	              or the release of the hold in Resolves, when the card declined in the end (Note = key of the payment whose hold it is)
//	TimedOut      no answer in time: Key = payment's with endMark, Linked = Requested row, Payment = key of the reversal towards the switch,
//	              Answer = what the terminal was told
//	Reversed      the terminal reverses: Key, Content, Payment = key of the reversal towards the switch ("" when there is nothing to send), RRN,
//	              Linked = Requested row, 0 when there is nothing to take back; Note = original's key, Answer = results of scripts,
//	              Resolves = the hold it releases, or posts when they say that the chip has followed
//	Refused       a reversal came before its payment, whose key is spent: Key = original's, Linked = Reversed row
//	ScriptReported  what became of scripts: Key, Content, Payment = key of the notice towards the switch, Note = sealed notice, Answer = original's key; of a
//	              cash load or its void: Resolves = the hold it posts or releases
//	Acknowledged  the switch acknowledged a reversal or a notice: Payment = its key
//	Noted         the cryptogram of a gate came with a request, see transit.go: Payment = the request's key, Reason; the first time Key = the cryptogram's, again
//	              Linked = that row
//	KeysChanged   a PIN came under the key of one transaction: Note = its serial number, Reason = method
//	BatchClosed, Advised  see settlement.go; MerchantChanged see merchant.go; ParameterChanged, TerminalChanged see download.go
func (s *state) apply(r *journal.Row) error {
	s.last = r.Seq
	switch r.Kind {
	case journal.Requested:
		s.requests++
		s.reach(r)
		s.take(requestOf(r))
		s.begun.Begin(r.Key, markPayment)
		return nil
	case journal.Declined:
		s.requests++
		s.reach(r)
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
		return s.applyOther(r)
	}
}

func (s *state) applyOther(r *journal.Row) error {
	switch r.Kind {
	case journal.ScriptReported:
		return s.applyNotice(r)
	case journal.KeysChanged:
		return s.applySerial(r)
	case journal.Noted:
		return s.applyShown(r)
	case journal.BatchClosed, journal.Advised:
		return s.applyBatch(r)
	case journal.MerchantChanged:
		return s.applyMerchant(r)
	case journal.ParameterChanged, journal.TerminalChanged:
		return s.applyList(r)
	}
	return fmt.Errorf("row %d: kind %s has no meaning for an acquirer", r.Seq, r.Kind)
}

// requestOf reads a pending payment from its row.
func requestOf(r *journal.Row) *payment {
	return &payment{seq: r.Seq, last: r.Seq, content: r.Content, key: r.Key, network: r.Payment, terminal: r.Terminal, status: pending,
		business: Business(r.Reason), amount: r.Amount, rrn: r.RRN, original: string(r.Answer),
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
	if p.status == timedOut || p.business.persists() || !p.given().Response.Approved() {
		p.sealed = nil // an approval may still be reversed and needs the request; nothing else does
	}
	p.forward = nil
	return nil
}

func holdOf(r *journal.Row) ledger.Hold {
	return ledger.Hold{ID: r.Seq, Debit: r.Debit, Credit: r.Credit, Amount: r.Amount, Currency: r.Currency}
}

// resolve makes a row end a hold.
func resolve(r *journal.Row, hold ledger.Hold, phase ledger.Phase) {
	r.Phase, r.Resolves, r.Debit, r.Credit, r.Amount, r.Currency = phase, hold.ID, hold.Debit, hold.Credit, hold.Amount, hold.Currency
}

// resolved does the transfer of a row that may end a hold, and gives the payment with that key, which has the hold no more.
func (s *state) resolved(r *journal.Row, original string) error {
	if r.Resolves == 0 {
		return s.transfer(r)
	}
	p, known := s.payments.Get(original)
	if !known { // a restart: it had ended before the rows that are replayed
		var err error
		if p, known, err = s.look(original); err != nil || !known {
			return fmt.Errorf("row %d: ends the hold of row %d, whose payment is not found: %w", r.Seq, r.Resolves, err)
		}
	}
	if _, open := s.book.Hold(r.Resolves); !open { // it was put away
		s.book.Adopt(ledger.Hold{ID: r.Resolves, Debit: r.Debit, Credit: r.Credit, Amount: r.Amount, Currency: r.Currency})
	}
	if err := s.transfer(r); err != nil {
		return err
	}
	p.hold, p.last = ledger.Hold{}, r.Seq
	switch {
	case r.Phase == ledger.Post:
		s.count(r, original, 1)
	case !p.business.changesPurse():
		s.count(r, original, -1)
	}
	if r.Phase == ledger.Void {
		p.status, p.sealed, p.forward = reversed, nil, nil
	}
	if p.status != pending {
		s.payments.End(original, p, p.last)
	}
	return nil
}

func (s *state) applyEnd(r *journal.Row) error {
	p := s.bySeq[r.Linked]
	if p == nil {
		return fmt.Errorf("row %d: ends row %d, which is not a pending payment", r.Seq, r.Linked)
	}
	if err := s.resolved(r, string(r.Note)); err != nil {
		return err
	}
	if r.Resolves == 0 && r.Debit != 0 && !p.business.changesPurse() { // those count when the chip has followed
		s.count(r, p.key, 1)
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
	v := &reversal{seq: r.Seq, row: r.Key, sealed: sealed, reason: unionpay.ReasonTimeout, notice: r.Kind == journal.ScriptReported}
	if r.Kind == journal.Reversed {
		v.reason, v.results = unionpay.UnpackResponseCode(r.Reason), append([]byte(nil), r.Answer...)
	}
	return v
}

func (s *state) applyReversed(r *journal.Row) error {
	s.taken.End(r.Key, receivedOf(r), r.Seq)
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
	sealed := p.sealed
	if err := s.resolved(r, string(r.Note)); err != nil {
		return err
	}
	if now, here := s.payments.Get(string(r.Note)); here {
		p = now
	}
	if r.Payment != "" {
		s.send(r, sealed)
	}
	p.status, p.hold, p.sealed, p.forward, p.last = reversed, ledger.Hold{}, nil, nil, r.Seq
	s.close(p)
	return nil
}
