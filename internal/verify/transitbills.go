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
)

// billState is where a bill stands, as far as money goes.
type billState uint8

const (
	billDue billState = iota + 1
	billOwed
	billPaid
	billSettled
	billLost
)

type transitBill struct {
	credential                 int32
	state                      billState
	asked                      uint64 // the request under way
	minor, refunded, returning int64
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
	t.stan = r.STAN
	if first, twice := t.byKey[r.Key]; twice || r.Key == "" {
		t.fault(r, "key", fill("the key of row %d", "与第%d行相同的键", first), fill("a key of its own", "唯一的键"))
	}
	t.byKey[r.Key] = r.Seq
	a := &transitAsk{seq: r.Seq, bill: r.Linked, key: r.Key, kind: r.Reason, credential: int32(r.Card), minor: r.Amount, status: askPending}
	t.asks[r.Seq] = a
	if a.credential <= 0 || int(a.credential) > len(t.credentials) {
		t.fault(r, "card", number(r.Card), fill("a credential that has tapped", "已刷过卡的凭证"))
	}
	switch {
	case a.kind == askVerify || a.kind == askHold:
		t.same(r, "linked", int64(r.Linked), 0)
		return
	case a.kind == askUpload:
		if t.purses--; t.purses < 0 {
			t.fault(r, "reason", fill("an upload", "上送"), fill("a card that paid by itself", "卡内支付的刷卡"))
			t.purses = 0
		}
		return
	case a.kind == 0 || a.kind > askUpload:
		t.fault(r, "reason", number(r.Reason), fill("what a request can be for: 1 to %d", "请求用途：1至%d", askUpload))
	}
	b := t.bills[r.Linked]
	if b == nil {
		t.fault(r, "linked", number(r.Linked), fill("a bill", "账单"))
		return
	}
	t.asksFor(r, a, b)
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
	repeats := a.kind == askUpload || a.kind == askRefund
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
	default:
		debit, credit = operatorAcquirer, operatorRiders
	}
	t.moves(r, debit, credit, a.minor)
	if approved && a.minor > 0 && (a.kind == askVerify || a.kind == askHold) {
		a.status = askHeld
		return
	}
	t.end(a)
	b := t.bills[a.bill]
	switch {
	case a.kind == askUpload && approved:
		t.report.PurseMinor += a.minor
	case b == nil:
	case a.kind == askRefund:
		if b.returning = 0; approved {
			b.refunded += a.minor
		} else {
			t.owed[b.credential] += a.minor
		}
	case approved:
		b.state = billPaid
	case b.state == billDue && declines(answer.Response):
		b.state = billOwed
	}
	if a.kind == askComplete {
		t.completed(a)
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

// declines tells answers by which a bill becomes a debt for certain; after others it may be asked for again before it does, and either is right.
func declines(code unionpay.ResponseCode) bool {
	switch code {
	case unionpay.InsufficientFunds, unionpay.StolenCard, unionpay.LostCard, unionpay.ExpiredCard, unionpay.RestrictedCard:
		return true
	}
	return false
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
	open := b.state == billDue || b.state == billOwed
	switch {
	case r.Kind == journal.Expired && open:
		t.moves(r, operatorLoss, operatorRiders, b.minor)
		b.state = billLost
	case r.Kind == journal.Settled && open:
		t.moves(r, operatorCounter, operatorRiders, b.minor)
		b.state = billSettled
	case r.Kind == journal.Settled && b.state == billLost:
		t.moves(r, operatorCounter, operatorLoss, b.minor)
		b.state = billSettled
	case r.Kind == journal.Adjusted && open && r.Amount > 0 && r.Amount <= b.minor && r.Amount <= t.owed[b.credential]:
		t.moves(r, 0, 0, 0)
		t.owed[b.credential] -= r.Amount
		if b.minor -= r.Amount; b.minor == 0 {
			b.state = billSettled
		}
	default:
		t.fault(r, FieldEnd, r.Kind.Term(), fill("what can become of the bill of row %d", "第%d行账单可能的结果", r.Linked))
	}
}
