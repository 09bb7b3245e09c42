package verify

import (
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// The operator's accounts.
const (
	operatorRiders   ledger.Account = 1
	operatorAcquirer ledger.Account = 2
	operatorFares    ledger.Account = 3
	operatorLoss     ledger.Account = 4
	operatorCounter  ledger.Account = 5
)

// What a request is for, as rows say it.
const (
	askVerify   = 1
	askHold     = 2
	askComplete = 4
	askRefund   = 7
	askUpload   = 8
	askReturn   = 9
)

// billState is where a bill stands, as far as money goes.
type billState uint8

const (
	billDue billState = iota + 1
	billOwed
	billPaid
	billSettled
	billLost
	billStopped // owed, and the card will not pay
)

type transitBill struct {
	credential                 int32
	state                      billState
	asked                      uint64 // the request under way
	minor, refunded, returning int64
	day, ridden                int64  // its day, and of the first of its journeys, since 1970
	tries                      uint8  // that ended without money
	code                       uint16 // of the last answer
	rrn                        string // of the one that paid
}

// askStatus is where a request stands.
type askStatus uint8

const (
	askPending  askStatus = iota + 1
	askSilent             // taken back, not acknowledged yet
	askHeld               // an approved verification or maximum
	askReturned           // given back, not acknowledged yet
)

type transitAsk struct {
	seq, bill  uint64
	key        string
	kind       uint16
	credential int32
	minor      int64
	status     askStatus
}

// toldAsk is an approval that the acquirer must know too.
type toldAsk struct {
	row   uint64
	kind  uint16
	key   string
	rrn   string
	minor int64
}

// traceMost keeps trace numbers within field 11.
const traceMost = 999_999

// requested takes up a request to the acquirer.
func (t *transit) requested(r *journal.Row) {
	t.moves(r, 0, 0, 0)
	t.report.Requests++
	if t.terminal == "" {
		t.terminal = r.Terminal
	}
	sameText := func(field, found, expected string) {
		if found != expected {
			t.fault(r, field, quoted(found), quoted(expected))
		}
	}
	sameText("terminal", r.Terminal, t.terminal)
	t.same(r, "stan", int64(r.STAN), int64(t.stan%traceMost+1))
	if t.stan = r.STAN; t.stan == traceMost {
		t.batch++
	}
	if first, twice := t.byKey[r.Key]; twice || r.Key == "" {
		t.fault(r, "key", fill("the key of row %d", "与第%d行相同的键", first), fill("a key of its own", "唯一的键"))
	}
	t.byKey[r.Key] = r.Seq
	a := &transitAsk{seq: r.Seq, bill: r.Linked, key: r.Key, kind: r.Reason, credential: int32(r.Card), minor: r.Amount, status: askPending}
	t.asks[r.Seq] = a
	rider := t.rider(r)
	switch {
	case a.kind == askVerify || a.kind == askHold:
		t.same(r, "linked", int64(r.Linked), 0)
		if rider != nil {
			rider.verifying = true
		}
		return
	case a.kind == askUpload:
		if t.purses--; t.purses < 0 {
			t.fault(r, "reason", fill("an upload", "上送"), fill("a card that paid by itself", "卡内支付的刷卡"))
			t.purses = 0
		}
		return
	case a.kind == askReturn:
		t.gives(r, a)
		return
	case a.kind == 0 || a.kind > askReturn:
		t.fault(r, "reason", number(r.Reason), fill("what a request can be for: 1 to %d", "请求用途：1至%d", askReturn))
	}
	b := t.bills[r.Linked]
	if b == nil {
		t.fault(r, "linked", number(r.Linked), fill("a bill", "账单"))
		return
	}
	t.asksFor(r, a, b)
}

// gives holds a refund against what a card paid by itself: an upload that the acquirer took, the whole of it, once.
func (t *transit) gives(r *journal.Row, a *transitAsk) {
	if paid, taken := t.uploads[r.Linked]; !taken || paid != a.minor {
		t.fault(r, "linked", fill("%d of row %d", "第%[2]d行的%[1]d", a.minor, r.Linked), fill("all of an upload that the acquirer took", "收单行已接受的整笔上送"))
	}
	delete(t.uploads, r.Linked)
}

// asksFor holds a request against its bill.
func (t *transit) asksFor(r *journal.Row, a *transitAsk, b *transitBill) {
	t.same(r, "card", r.Card, int64(b.credential))
	if b.asked != 0 {
		t.fault(r, "linked", fill("a bill that row %d asks for", "第%d行正在扣款的账单", b.asked), fill("one request at a time", "同一时间仅一笔请求"))
	}
	b.asked = a.seq
	if a.kind == askRefund {
		if b.state != billPaid || a.minor <= 0 || a.minor > b.minor-b.refunded || a.minor > t.owed[b.credential] {
			t.fault(r, "amount", number(a.minor), fill("what was paid and is owed to the rider", "已支付且应退乘客的金额"))
		}
		t.owed[b.credential] -= a.minor
		b.returning = a.minor
		return
	}
	if b.state != billDue && b.state != billOwed {
		t.fault(r, "linked", number(r.Linked), fill("a bill that is not paid", "未支付的账单"))
	}
	t.same(r, "amount", a.minor, b.minor)
}

// followed ends a request, or takes it further.
func (t *transit) followed(r *journal.Row) {
	a := t.asks[r.Linked]
	if a == nil {
		t.fault(r, "linked", number(r.Linked), fill("a request that goes on", "未结束的请求"))
		return
	}
	t.same(r, "card", r.Card, int64(a.credential))
	repeats := a.kind == askUpload || a.kind == askRefund || a.kind == askReturn
	legal := false
	switch r.Kind {
	case journal.Answered:
		legal = a.status == askPending
	case journal.TimedOut:
		legal = a.status == askPending && !repeats
	case journal.Voided:
		legal = a.status == askHeld
	case journal.Acknowledged:
		legal = a.status == askSilent || a.status == askReturned
	}
	if !legal {
		t.fault(r, FieldEnd, r.Kind.Term(), fill("what can follow row %d", "可接续第%d行的结果", r.Linked))
		return
	}
	if r.Kind == journal.Answered {
		t.answered(r, a)
		return
	}
	t.moves(r, 0, 0, 0)
	switch r.Kind {
	case journal.TimedOut:
		a.status = askSilent
	case journal.Voided:
		a.status = askReturned
	case journal.Acknowledged:
		if rider := t.numbered(a.credential); rider != nil && a.status == askSilent && (a.kind == askVerify || a.kind == askHold) {
			rider.verifying = false
		}
		if b := t.bills[a.bill]; b != nil && a.status == askSilent {
			b.tries++
		}
		t.end(a)
	}
}

func (t *transit) end(a *transitAsk) {
	delete(t.asks, a.seq)
	if b := t.bills[a.bill]; b != nil && b.asked == a.seq {
		b.asked = 0
	}
}

// answered ends a request by its answer.
func (t *transit) answered(r *journal.Row, a *transitAsk) {
	t.same(r, "amount", r.Amount, a.minor)
	answer, err := unionpay.ParseAnswer(r.Answer)
	if err != nil {
		t.fault(r, "answer", wordUnfit, wordReadable)
		return
	}
	if answer.Response.Pack() != r.Reason {
		t.fault(r, "reason", codeTerm(r.Reason), codeTerm(answer.Response.Pack()))
	}
	approved := answer.Response.Approved()
	of, stop := classOf(answer.Response)
	t.judged(r, a, of, stop)
	if approved && a.minor > 0 {
		t.told = append(t.told, toldAsk{r.Seq, a.kind, a.key, answer.RRN, a.minor})
	}
	var debit, credit ledger.Account
	switch {
	case !approved || a.minor == 0 || a.kind == askVerify || a.kind == askHold:
	case a.kind == askRefund:
		debit, credit = operatorRiders, operatorAcquirer
	case a.kind == askUpload:
		debit, credit = operatorAcquirer, operatorFares
	case a.kind == askReturn:
		debit, credit = operatorFares, operatorAcquirer
	default:
		debit, credit = operatorAcquirer, operatorRiders
	}
	t.moves(r, debit, credit, a.minor)
	if approved && a.minor > 0 && (a.kind == askVerify || a.kind == askHold) {
		a.status = askHeld
		return
	}
	t.end(a)
	if a.kind == askUpload && approved {
		t.report.PurseMinor += a.minor
		t.uploads[a.seq] = a.minor
	}
	if a.kind == askReturn && approved {
		t.report.PurseMinor -= a.minor
	}
	if b := t.bills[a.bill]; b != nil {
		t.billed(r, a, b, of, answer.RRN)
	}
	if a.kind == askComplete {
		t.completed(a)
	}
}

// billed is what an answer makes of the bill that was asked for.
func (t *transit) billed(r *journal.Row, a *transitAsk, b *transitBill, of class, rrn string) {
	if a.kind == askRefund {
		if b.returning = 0; of == classApproved {
			b.refunded += a.minor
		} else {
			t.owed[b.credential] += a.minor
		}
		return
	}
	b.code = r.Reason
	if of == classFunds || of == classSystem {
		b.tries++
	}
	switch of {
	case classApproved:
		b.rrn = rrn
		t.stands(b, billPaid)
	case classCard:
		t.stands(b, billStopped)
	case classFunds:
		t.stands(b, billOwed)
	}
}

// completed ends the hold that a completion has used, or shown to be gone.
func (t *transit) completed(a *transitAsk) {
	for seq, hold := range t.asks {
		if hold.kind == askHold && hold.credential == a.credential && hold.status == askHeld {
			delete(t.asks, seq)
		}
	}
}

// decided is what the operator, the rider or the calendar decides about a bill.
func (t *transit) decided(r *journal.Row) {
	b := t.bills[r.Linked]
	if b == nil {
		t.fault(r, "linked", number(r.Linked), fill("a bill", "账单"))
		return
	}
	if b.asked != 0 {
		t.fault(r, "linked", fill("a bill that row %d asks for", "第%d行正在扣款的账单", b.asked), fill("one that nobody asks for", "未在扣款中的账单"))
	}
	open := b.state == billDue || b.state == billOwed || b.state == billStopped
	switch {
	case r.Kind == journal.Expired && open:
		t.moves(r, operatorLoss, operatorRiders, b.minor)
		t.stands(b, billLost)
	case r.Kind == journal.Settled && open:
		t.moves(r, operatorCounter, operatorRiders, b.minor)
		t.settles(b)
	case r.Kind == journal.Settled && b.state == billLost:
		t.moves(r, operatorCounter, operatorLoss, b.minor)
		t.settles(b)
	case r.Kind == journal.Adjusted && open && r.Amount > 0 && r.Amount <= b.minor && r.Amount <= t.owed[b.credential]:
		t.moves(r, 0, 0, 0)
		t.owed[b.credential] -= r.Amount
		if b.minor -= r.Amount; b.minor == 0 {
			t.stands(b, billSettled)
		}
	default:
		t.fault(r, FieldEnd, r.Kind.Term(), fill("what can become of the bill of row %d", "第%d行账单可能的结果", r.Linked))
	}
}

// settles ends a bill that the rider has paid another way, and what the last verification said of the card.
func (t *transit) settles(b *transitBill) {
	t.stands(b, billSettled)
	if rider := t.numbered(b.credential); rider != nil {
		rider.refused = false
		t.unsettled(b.credential)
	}
}
