package acquirer_test

import (
	"testing"

	"tapnet/emv"
	"tapnet/internal/acquirer"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

// after is what a terminal asks about an earlier payment.
func (b *bank) after(m *unionpay.FinancialRequest, answer *unionpay.Payment, kind unionpay.MessageType, minor int64) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	next := &unionpay.FinancialRequest{Payment: m.Payment}
	next.STAN, next.Amount, next.Info.MessageType, next.Track2, next.ICC = b.stan, money.New(minor, money.CNY), kind, pan.Track2{}, emv.Data{}
	next.Processing, next.RRN, next.AuthCode = unionpay.ProcessingVoid, answer.RRN, answer.AuthCode
	next.Original = &unionpay.Original{Batch: m.Info.Batch, STAN: m.STAN}
	next.EntryMode = unionpay.NewEntryMode(unionpay.EntryManual, false)
	if kind == unionpay.KindCompletion || kind == unionpay.KindCompletionNote {
		next.Processing, next.Condition = unionpay.ProcessingSale, unionpay.ConditionPreAuth
	}
	next.Advice = kind == unionpay.KindRefund || kind == unionpay.KindCompletionNote
	next.Authorization = kind == unionpay.KindPreAuthCancel
	if next.Advice {
		next.Reserved = "CUP"
	}
	return next
}

// done has a request approved and gives what the terminal is told.
func (b *bank) done(m *unionpay.FinancialRequest) *unionpay.Payment {
	b.Helper()
	onward := b.forwarded(m)
	if key := unionpay.OriginalKey(m); (key != "") != (unionpay.OriginalKey(onward) != "") {
		b.Errorf("onward it names %q", unionpay.OriginalKey(onward))
	}
	return unionpay.PaymentOf(b.answer(onward, unionpay.Approved)[0].Message)
}

// earned is what the merchant is owed, for good and on hold.
func (b *bank) earned(posted, pending int64) {
	b.Helper()
	a := b.acquirer.Book().Balance(acquirer.AccountMerchants)
	if p, h := a.CreditsPosted-a.DebitsPosted, a.CreditsPending-a.DebitsPending; p != posted || h != pending {
		b.Errorf("the merchant is owed %d and %d, want %d and %d", p, h, posted, pending)
	}
	if err := b.acquirer.Book().Audit(); err != nil {
		b.Error(err)
	}
}

func TestWhatFollowsASale(t *testing.T) {
	b := newCounter(t, false)
	sale := b.request(10_000)
	sold := b.done(sale)
	void := b.after(sale, sold, unionpay.KindVoid, 10_000)
	b.done(void)
	b.earned(0, 0)
	b.Deliver(networktest.Terminal, reversal(void)) // the terminal did not hear of it
	b.earned(0, 10_000)
	b.done(b.after(sale, sold, unionpay.KindRefund, 4_000))
	b.earned(-4_000, 10_000)
	b.reopened()
	b.earned(-4_000, 10_000)
	for name, c := range map[string]struct {
		want   unionpay.ResponseCode
		kind   unionpay.MessageType
		minor  int64
		change func(m *unionpay.FinancialRequest)
	}{
		"more than was paid":  {"64", unionpay.KindRefund, 10_001, nil},
		"void of a part":      {"64", unionpay.KindVoid, 9_999, nil},
		"not a pre-auth":      {"25", unionpay.KindCompletion, 10_000, nil},
		"not a completion":    {"25", unionpay.KindCompletionVoid, 10_000, nil},
		"of nothing":          {"25", unionpay.KindVoid, 10_000, func(m *unionpay.FinancialRequest) { m.Original.STAN = 99 }},
		"another reference":   {"25", unionpay.KindVoid, 10_000, func(m *unionpay.FinancialRequest) { m.RRN = "632502999999" }},
		"another code":        {"25", unionpay.KindVoid, 10_000, func(m *unionpay.FinancialRequest) { m.AuthCode = "999999" }},
		"a refund as request": {"12", unionpay.KindRefund, 100, func(m *unionpay.FinancialRequest) { m.Advice, m.Reserved = false, "" }},
	} {
		m := b.after(sale, sold, c.kind, c.minor)
		if c.change != nil {
			c.change(m)
		}
		if got := code(b.Answer(networktest.Terminal, m)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestPreAuthorizationsMoveNothingUntilTheyAreCompleted(t *testing.T) {
	b := newCounter(t, false)
	held := func() (*unionpay.FinancialRequest, *unionpay.Payment) {
		m := b.request(10_000)
		m.Authorization, m.Processing, m.Condition, m.Info.MessageType = true, unionpay.ProcessingPreAuth, unionpay.ConditionPreAuth, unionpay.KindPreAuth
		return m, b.done(m)
	}
	m, answer := held()
	b.earned(0, 0)
	b.done(b.after(m, answer, unionpay.KindPreAuthCancel, 10_000))
	b.earned(0, 0)
	m, answer = held()
	if got := code(b.Answer(networktest.Terminal, b.after(m, answer, unionpay.KindCompletion, 11_501))); got != "64" {
		t.Errorf("116 per cent: %s", got)
	}
	take := b.after(m, answer, unionpay.KindCompletion, 11_500)
	taken := b.done(take)
	b.earned(0, 11_500)
	b.done(b.after(take, taken, unionpay.KindCompletionVoid, 11_500))
	b.earned(0, 0)
	m, answer = held()
	note := b.after(m, answer, unionpay.KindCompletionNote, 8_000)
	b.Deliver(networktest.Terminal, note)
	b.reopened() // it is sent again until it is answered
	if len(b.Out) == 0 || b.acquirer.Outstanding() != 1 {
		t.Fatalf("%d outstanding", b.acquirer.Outstanding())
	}
	b.answer(b.Out[0].Message.(*unionpay.FinancialRequest), unionpay.Approved)
	b.earned(8_000, 0)
	m, _ = held()
	b.Deliver(networktest.Terminal, reversal(m))
	b.earned(8_000, 0)
	ask := b.request(0)
	ask.Processing, ask.Info.MessageType = unionpay.ProcessingBalance, unionpay.KindBalance
	b.done(ask)
	b.earned(8_000, 0)
}
