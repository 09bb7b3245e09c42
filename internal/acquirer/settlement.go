package acquirer

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// till is what the acquirer keeps of a terminal: its batches that are not settled yet, and which lists it has. Batches rise: the first request of a higher
// one opens it. A batch that is settled stays until the terminal shows by a request in a higher one that it has heard of it; if it goes on in the batch
// instead, the answer was lost, and the terminal will settle again.
type till struct {
	sheets []sheet                             // in the order of their batches
	lists  [unionpay.DownloadCAKeys + 1]uint32 // version of each list that the terminal has installed
	last   uint64                              // last row about it
	// devices are those whose PINs it sends under a key for each transaction, and lastSerial the last row about them.
	devices    []device
	lastSerial uint64

	currency uint16 // of its batches
}

// sheet is what a batch adds up to.
type sheet struct {
	batch  uint32
	closed bool // it was settled
	totals unionpay.Totals
}

// sheetsMost bounds the batches of one terminal: a terminal settles daily, and one that has left so many behind has lost them.
const sheetsMost = 16

func (t *till) sheet(batch uint32) *sheet {
	for i := range t.sheets {
		if t.sheets[i].batch == batch {
			return &t.sheets[i]
		}
	}
	return nil
}

// highest is the batch reached.
func (t *till) highest() uint32 {
	if n := len(t.sheets); n > 0 {
		return t.sheets[n-1].batch
	}
	return 0
}

// reach opens a batch, unless the terminal has gone beyond it.
func (t *till) reach(batch uint32) {
	if s := t.sheet(batch); s != nil {
		s.closed = false
		return
	}
	if batch <= t.highest() {
		return
	}
	t.sheets = slices.DeleteFunc(t.sheets, func(s sheet) bool { return s.closed })
	t.sheets = append(t.sheets, sheet{batch: batch})
	t.sheets = slices.Clone(t.sheets[max(0, len(t.sheets)-sheetsMost):])
}

// numbers is the till as its cell has it.
func (t *till) numbers() []uint64 {
	var n []uint64
	for _, v := range t.lists[1:] {
		n = append(n, uint64(v))
	}
	for _, s := range t.sheets {
		closed := uint64(0)
		if s.closed {
			closed = 1
		}
		n = append(n, uint64(s.batch), closed, uint64(s.totals.Debit.Minor), uint64(s.totals.Debit.Count), uint64(s.totals.Credit.Minor),
			uint64(s.totals.Credit.Count))
	}
	return n
}

const (
	listNumbers  = int(unionpay.DownloadCAKeys)
	sheetNumbers = 6
)

func (s *state) restoreTill(cell *journal.Cell) error {
	place := cell.ID - tillCell
	if place < 0 || place >= int64(len(s.order)) {
		return fmt.Errorf("cell %d: the terminal is unknown", cell.ID)
	}
	n, err := readNumbers(cell)
	if err == nil && (len(n) < listNumbers || (len(n)-listNumbers)%sheetNumbers != 0) {
		err = fmt.Errorf("cell %d: %w", cell.ID, errCell)
	}
	if err != nil {
		return err
	}
	t := s.tills[s.order[place]]
	t.last = s.written
	for i := range t.lists[1:] {
		t.lists[i+1] = uint32(n[i])
	}
	for v := range slices.Chunk(n[listNumbers:], sheetNumbers) {
		t.sheets = append(t.sheets, sheet{batch: uint32(v[0]), closed: v[1] == 1, totals: unionpay.Totals{
			Debit: unionpay.Sum{Minor: int64(v[2]), Count: int(v[3])}, Credit: unionpay.Sum{Minor: int64(v[4]), Count: int(v[5])}}})
	}
	return nil
}

// Layout of a terminal's key [REF 6.1]: terminal 8, batch 6, trace number 6, class 1.
const (
	batchAt     = 8
	batchDigits = 6
)

// batchOf is the batch in a terminal's key.
func batchOf(key string) uint32 {
	if len(key) < batchAt+batchDigits {
		return 0
	}
	n, err := strconv.ParseUint(key[batchAt:batchAt+batchDigits], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// reach opens the batch of a row that begins a payment.
func (s *state) reach(r *journal.Row) {
	if t := s.tills[r.Terminal]; t != nil {
		t.reach(batchOf(r.Key))
		t.last = r.Seq
	}
}

// count adds what a row moved to the totals of the payment's batch, or takes it off again (sign -1). What ends long after its batch was settled counts nowhere:
// the terminal's totals of that batch are history.
func (s *state) count(r *journal.Row, key string, sign int64) {
	t := s.tills[r.Terminal]
	if t == nil || r.Currency != t.currency {
		return
	}
	sheet := t.sheet(batchOf(key))
	if sheet == nil {
		return
	}
	sum := &sheet.totals.Debit
	if isScheme(r.Credit) {
		sum = &sheet.totals.Credit
	}
	sum.Minor, sum.Count, t.last = sum.Minor+sign*r.Amount, sum.Count+int(sign), r.Seq
}

// closeBatch answers a settlement: the acquirer's totals, and whether the terminal has the same. The batch is settled either way; where they differ the
// terminal uploads it.
func (a *Acquirer) closeBatch(now time.Time, ev *journal.Event, m *unionpay.SettlementRequest, step *journal.Step) {
	answer := unionpay.Answer{Response: unionpay.Approved, SettlementDate: a.monthDay(now)}
	reply := func(totals unionpay.Opaque) {
		response, _ := unionpay.Respond(m, answer).(*unionpay.SettlementResponse)
		response.Additional = totals
		step.Emit(journal.Effect{To: ev.From, Message: response})
	}
	first, taken, known := a.closedBefore(ev, m)
	switch {
	case !known:
		return
	case !a.speaksFor(ev.From, m.Terminal):
		answer.Response = unionpay.TerminalNotRegistered
	case taken && first.content != unionpay.ContentHash(m):
		answer.Response = unionpay.DuplicateTransmission
	case taken:
		answer.SettlementDate = monthDay(first.date)
		reply(first.totals)
		return
	case a.merchantOf(m.Terminal).ID != m.Merchant:
		answer.Response = unionpay.InvalidMerchant
	}
	asked, err := unionpay.ParseSettlement(m.Additional)
	if err != nil {
		answer.Response = unionpay.FormatError
	}
	if answer.Response != unionpay.Approved {
		reply(m.Additional)
		return
	}
	totals := a.settled(m, asked)
	r := journal.Row{Kind: journal.BatchClosed, Key: unionpay.TerminalKey(m), Content: unionpay.ContentHash(m), Terminal: m.Terminal, STAN: m.STAN,
		Reason: uint16(unionpay.TotalsAgree), Note: []byte(totals), Answer: []byte(m.Additional)}
	if s, _ := unionpay.ParseSettlement(totals); s.DomesticAgreement != unionpay.TotalsAgree || s.ForeignAgreement != unionpay.TotalsAgree {
		r.Reason = uint16(unionpay.TotalsDiffer)
	}
	a.append(step, now, r)
	reply(totals)
}

func (a *Acquirer) closedBefore(_ *journal.Event, m unionpay.Message) (first received, taken, known bool) {
	first, taken, err := a.state.taken.Find(unionpay.TerminalKey(m), journal.Recall[received]{}, a.state.lookTaken)
	return first, taken, err == nil
}

// settled is field 48 of the answer. Foreign cards are not told apart: their totals are zero. Of a batch that is long gone the totals are not known.
func (a *Acquirer) settled(m *unionpay.SettlementRequest, asked unionpay.Settlement) unionpay.Opaque {
	agree := func(a, b unionpay.Totals) unionpay.Agreement {
		if a == b {
			return unionpay.TotalsAgree
		}
		return unionpay.TotalsDiffer
	}
	s := unionpay.Settlement{ForeignAgreement: agree(unionpay.Totals{}, asked.Foreign), DomesticAgreement: unionpay.TotalsNotKnown}
	t := a.state.tills[m.Terminal]
	if sheet := t.sheet(m.Info.Batch); sheet != nil {
		s.Domestic, s.DomesticAgreement = sheet.totals, agree(sheet.totals, asked.Domestic)
	} else if m.Info.Batch > t.highest() { // nothing was asked in it
		s.DomesticAgreement = agree(unionpay.Totals{}, asked.Domestic)
	}
	text, err := s.Field48()
	if err != nil { // more than the field holds: the terminal's cannot be right either
		text, _ = unionpay.Settlement{DomesticAgreement: unionpay.TotalsNotKnown, ForeignAgreement: unionpay.TotalsNotKnown}.Field48()
	}
	return text
}

// takeUpload notes what a terminal uploads of a batch whose totals differ, and the end of it, and what the acquirer's own books say of each. The answer is the
// same whatever they say: the terminal has told all it knows, and people look into the rest.
func (a *Acquirer) takeUpload(now time.Time, ev *journal.Event, m *unionpay.BatchUpload, step *journal.Step) {
	answer := unionpay.Answer{Response: unionpay.Approved, SettlementDate: a.monthDay(now)}
	first, taken, known := a.closedBefore(ev, m)
	switch {
	case !known:
		return
	case !a.speaksFor(ev.From, m.Terminal):
		answer.Response = unionpay.TerminalNotRegistered
	case taken && first.content != unionpay.ContentHash(m):
		answer.Response = unionpay.DuplicateTransmission
	case taken:
		answer.SettlementDate = monthDay(first.date)
	default:
		r := row(journal.Advised, &m.Payment)
		r.Key, r.Content, r.Payment = unionpay.TerminalKey(m), unionpay.ContentHash(m), m.Info.NetworkCode
		outcome, err := a.compare(m)
		if err != nil {
			return // the terminal sends it again
		}
		r.Reason = uint16(outcome)
		a.append(step, now, r)
	}
	step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer)})
}

// applyBatch folds a settlement or a part of an upload.
//
//	BatchClosed  the terminal settled: Key, Content, Answer = its totals, Note = what it was answered, Reason = 1 they agree, 2 they differ
//	Advised      the terminal uploaded a payment of a closed batch: Key, Content, Payment = what the message says of it (field 60.3), Reason = UploadOutcome
func (s *state) applyBatch(r *journal.Row) error {
	s.taken.End(r.Key, receivedOf(r), r.Seq)
	t := s.tills[r.Terminal]
	if t == nil {
		return fmt.Errorf("row %d: terminal %q is unknown", r.Seq, r.Terminal)
	}
	if batch := batchOf(r.Key); r.Kind == journal.BatchClosed {
		if batch > t.highest() {
			t.reach(batch)
		}
		if sheet := t.sheet(batch); sheet != nil {
			sheet.closed = true
		}
		t.last = r.Seq
	}
	return nil
}

// Batch is the last batch of a terminal, its totals, and whether it was settled. It belongs to the writer.
func (a *Acquirer) Batch(terminal string) (batch uint32, totals unionpay.Totals, closed bool) {
	if t := a.state.tills[terminal]; t != nil && len(t.sheets) > 0 {
		s := t.sheets[len(t.sheets)-1]
		return s.batch, s.totals, s.closed
	}
	return 0, unionpay.Totals{}, false
}

// CashOwed is what a merchant owes for cash it took to load purses: for good, and while nobody knows whether the chip has it. It belongs to the writer.
func (a *Acquirer) CashOwed(terminal string) (posted, pending int64) {
	_, cash := a.accounts(terminal)
	b := a.state.book.Balance(cash)
	return b.DebitsPosted - b.CreditsPosted, b.DebitsPending - b.CreditsPending
}
