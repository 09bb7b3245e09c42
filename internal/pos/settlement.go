package pos

import (
	"encoding/binary"
	"errors"
	"time"

	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// Settle is the command that settles the batch: first what waits is delivered (uploads, reversals, advices), then batches that were left behind, then this one.
// Its end is an Outcome with the sheet of the last one settled.
type Settle struct {
	Sale     uint64
	Currency money.Currency
}

// settling is a settlement that goes on in this process; a till that is killed settles again.
type settling struct {
	sale     uint64
	currency money.Currency
	asked    bool // 0500 is on its way
}

func (s *settling) on() bool { return s.sale != 0 }

// deliverTimer is how long a settlement waits for what is to be delivered first.
const (
	deliverTimer  = "before settlement"
	deliverWithin = 90 * time.Second
	operator      = "001" // field 63
)

func (t *Till) settle(now time.Time, c Settle, step *journal.Step) {
	refuse := NotRefused
	switch {
	case t.settling.on():
		refuse = RefusedSettling
	case len(t.state.older) == 0 && t.state.totals.IsZero() && len(t.state.payments) == 0:
		refuse = RefusedEmpty
	}
	if refuse != NotRefused {
		step.Emit(journal.Effect{Finding: Outcome{Sale: c.Sale, Refusal: refuse}})
		return
	}
	t.settling = settling{sale: c.Sale, currency: c.Currency}
	for _, effect := range t.queue.Resume() {
		step.Emit(effect)
	}
	step.Emit(delivery.Await(deliverTimer, deliverWithin))
	t.drained(now, step)
}

// drained goes on with a settlement once nothing waits to be delivered any more.
func (t *Till) drained(now time.Time, step *journal.Step) {
	if !t.settling.on() || t.settling.asked || len(t.state.payments) > 0 {
		return
	}
	step.Emit(delivery.Awaited(deliverTimer))
	sheet := Sheet{Batch: t.state.batch, Totals: t.state.totals}
	if len(t.state.older) > 0 {
		sheet = t.state.older[0]
	}
	m, err := t.settlementOf(sheet)
	if err != nil {
		t.settled(now, Outcome{Failed: true}, step)
		return
	}
	t.settling.asked = true
	r := beginRow(journal.Cleared, m, header{verb: VerbSettlement}.bytes(sheet.bytes()))
	r.Amount = 0
	t.append(step, now, r)
	t.state.payments[r.Key].message = m
	step.Emit(journal.Effect{To: t.deps.Acquirer, Message: m})
	step.Emit(delivery.Await(r.Key, t.deps.AnswerWithin))
}

// settlementOf is the message that settles a batch. Its trace number is of the batch that is open; the batch it names is the one that is settled.
func (t *Till) settlementOf(sheet Sheet) (*unionpay.SettlementRequest, error) {
	sum := func(minor, count int64) unionpay.Sum { return unionpay.Sum{Minor: minor, Count: int(count)} }
	totals, err := unionpay.Settlement{Domestic: unionpay.Totals{Debit: sum(sheet.Totals.Debit, sheet.Totals.DebitCount),
		Credit: sum(sheet.Totals.Credit, sheet.Totals.CreditCount)}}.Field48()
	if err != nil {
		return nil, err
	}
	return &unionpay.SettlementRequest{Payment: unionpay.Payment{STAN: t.state.stan%traceModulus + 1, Terminal: t.deps.Terminal, Merchant: t.deps.Merchant,
		Amount: money.New(0, t.settling.currency), Additional: totals, Reserved: operator,
		Info: unionpay.Info{MessageType: unionpay.KindNetwork, Batch: sheet.Batch, NetworkCode: unionpay.NetworkSettlement}}}, nil
}

// settlementAnswer takes the acquirer's totals. The batch ends whether they agree or not; a difference is for the two to look into.
func (t *Till) settlementAnswer(now time.Time, from string, message unionpay.Message, step *journal.Step) {
	m, ok := message.(*unionpay.SettlementResponse)
	if !ok {
		return
	}
	p := t.state.payments[unionpay.TerminalKey(m)]
	if p == nil || p.begin != journal.Cleared || from != t.deps.Acquirer || p.message == nil {
		return
	}
	step.Emit(delivery.Awaited(p.key))
	sheet, err := sheetOf(p.sealed)
	if err != nil {
		return
	}
	theirs, err := unionpay.ParseSettlement(m.Additional)
	if !m.Response.Approved() || err != nil {
		t.expire(now, p, step)
		return
	}
	sheet.Agreed = theirs.DomesticAgreement == unionpay.TotalsAgree
	t.append(step, now, journal.Row{Kind: journal.BatchClosed, Terminal: t.deps.Terminal, STAN: m.STAN, Linked: p.seq, Payment: p.key,
		Reason: m.Response.Pack(), Note: sheet.bytes()})
	t.settling.asked = false
	if len(t.state.older) > 0 || !t.state.totals.IsZero() {
		t.drained(now, step)
		return
	}
	t.settled(now, Outcome{Sheet: t.state.last}, step)
}

// settled tells the cashier.
func (t *Till) settled(_ time.Time, o Outcome, step *journal.Step) {
	o.Sale = t.settling.sale
	t.settling = settling{}
	if o.Sale != 0 {
		step.Emit(journal.Effect{Finding: o})
	}
}

// impatient ends a settlement for which something could not be delivered in time, and a download without an answer.
func (t *Till) impatient(key string, step *journal.Step) bool {
	switch key {
	case deliverTimer:
		if t.settling.on() && !t.settling.asked {
			t.settled(time.Time{}, Outcome{Refusal: RefusedUndelivered}, step)
		}
		return true
	case fetchTimer:
		if t.fetching != 0 {
			step.Emit(journal.Effect{Finding: Outcome{Sale: t.fetching, Silent: true}})
			t.fetching = 0
		}
		return true
	}
	return false
}

var errSheet = errors.New("not the sheet of a batch")

func (s Sheet) bytes() []byte {
	b := binary.AppendUvarint(nil, uint64(s.Batch))
	for _, n := range [...]int64{s.Totals.DebitCount, s.Totals.Debit, s.Totals.CreditCount, s.Totals.Credit} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	agreed := byte(0)
	if s.Agreed {
		agreed = 1
	}
	return append(b, agreed)
}

func sheetOf(b []byte) (s Sheet, err error) {
	next := func() int64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err = errSheet
			return 0
		}
		b = b[n:]
		return int64(v)
	}
	s.Batch = uint32(next())
	s.Totals = Totals{DebitCount: next(), Debit: next(), CreditCount: next(), Credit: next()}
	if err != nil || len(b) != 1 || b[0] > 1 {
		return Sheet{}, errSheet
	}
	s.Agreed = b[0] == 1
	return s, nil
}
