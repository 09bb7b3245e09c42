package issuer_test

import (
	"testing"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
)

// byItself is what a terminal uploads when the card approved by itself after nobody answered; of is the request that it sent, nil to name none.
func (b *chipBank) byItself(minor int64, tc emv.Data, of *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	b.Helper()
	m := b.request(b.chip, minor, unionpay.ProcessingSale, unionpay.KindOfflineUpload, tc)
	m.Condition = unionpay.ConditionNormal
	if of != nil {
		m.Original = unionpay.OriginalOf(of)
	}
	return m
}

func (b *chipBank) books(account, held int64) {
	b.Helper()
	if got := b.issuer.Available(1); got != account {
		b.Fatalf("%d on the account, want %d", got, account)
	}
	b.wantHeld(held)
}

// A payment that the card approved by itself is one payment, in whatever order its request, the reversal and the upload arrive, and however often.
func TestAnApprovalWithoutAnAnswerIsOnePayment(t *testing.T) {
	const minor = 5_000
	type messages struct {
		request, upload *unionpay.FinancialRequest
		reversal        *unionpay.ReversalRequest
	}
	for name, arrive := range map[string]func(*chipBank, messages){
		"request, reversal, upload": func(b *chipBank, m messages) {
			b.answer(m.request, issuer.Approved)
			b.expect(m.reversal, issuer.ReversalDone)
			b.answer(m.upload, issuer.OfflineAccepted)
		},
		"request, upload, reversal": func(b *chipBank, m messages) {
			b.answer(m.request, issuer.Approved)
			b.answer(m.upload, issuer.OfflineAccepted)
			b.expect(m.reversal, issuer.ReversalNoEffect)
		},
		"reversal, request, upload": func(b *chipBank, m messages) {
			b.expect(m.reversal, issuer.ReversalEarly)
			b.answer(m.request, issuer.AlreadyReversed)
			b.answer(m.upload, issuer.OfflineAccepted)
		},
		"upload, reversal, no request": func(b *chipBank, m messages) {
			b.answer(m.upload, issuer.OfflineAccepted)
			b.expect(m.reversal, issuer.ReversalEarly)
		},
		"upload, request, reversal": func(b *chipBank, m messages) {
			b.answer(m.upload, issuer.OfflineAccepted)
			b.answer(m.request, issuer.CounterUsed)
			b.expect(m.reversal, issuer.ReversalNoEffect)
		},
		"a declined request, upload": func(b *chipBank, m messages) {
			b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{TapMinor: 1}})
			b.answer(m.request, issuer.AboveTapLimit)
			b.answer(m.upload, issuer.OfflineAccepted)
			b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newChipBank(t, cryptogram.SuiteTDES)
			m := messages{request: b.sale(minor, "")}
			m.reversal = reversalOf(m.request, nil)
			tc := b.chip.generate(emv.TC, "Y3")
			m.upload = b.byItself(minor, tc, m.request)
			arrive(b, m)
			b.books(1_000_000-minor, 0)
			if b.shadow() != b.chip.purse() {
				t.Errorf("shadow %d, chip %d", b.shadow(), b.chip.purse())
			}
			b.answer(m.upload, issuer.OfflineAccepted)                                   // the same again
			b.answer(b.byItself(minor, tc, m.request), issuer.CounterUsed)               // once more under another number
			b.answer(b.byItself(minor, tc, nil), issuer.CounterUsed)                     //
			b.restart(t, nil)                                                            //
			b.answer(b.byItself(minor, tc, m.request), issuer.CounterUsed)               //
			b.answer(b.after(m.request, unionpay.KindVoid, minor), issuer.NothingToUndo) // of the request, which is no payment any more
			b.books(1_000_000-minor, 0)
			b.chip.finish(b.answer(b.sale(100, ""), issuer.Approved), true)
			b.books(1_000_000-minor-100, 100)
		})
	}
}

func TestWhatIsNotAnApprovalWithoutAnAnswer(t *testing.T) {
	const minor = 5_000
	for name, c := range map[string]struct {
		reason issuer.Reason
		spoil  func(b *chipBank, request, upload *unionpay.FinancialRequest)
	}{
		"another request's number": {issuer.CounterUsed, func(b *chipBank, _, m *unionpay.FinancialRequest) { m.Original.STAN += 100 }},
		"no request named":         {issuer.CounterUsed, func(_ *chipBank, _, m *unionpay.FinancialRequest) { m.Original = nil }},
		"another amount":           {issuer.ChipDataMismatch, func(_ *chipBank, _, m *unionpay.FinancialRequest) { m.Amount = moneyOf(minor - 1) }},
		"a forged cryptogram": {issuer.CryptogramWrong, func(_ *chipBank, _, m *unionpay.FinancialRequest) {
			m.ICC.Set(emv.TagAC, []byte("forgery!"))
		}},
		"a voided request": {issuer.CounterUsed, func(b *chipBank, request, _ *unionpay.FinancialRequest) {
			b.answer(b.after(request, unionpay.KindVoid, minor), issuer.VoidDone)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newChipBank(t, cryptogram.SuiteTDES)
			request := b.sale(minor, "")
			upload := b.byItself(minor, b.chip.generate(emv.TC, "Y3"), request)
			b.answer(request, issuer.Approved)
			c.spoil(b, request, upload)
			b.answer(upload, c.reason)
			b.reason(c.reason)
		})
	}
	// What the card approved because the bank did is no payment of its own.
	b := newChipBank(t, cryptogram.SuiteTDES)
	request := b.sale(minor, "")
	tc, _ := b.chip.finish(b.answer(request, issuer.Approved), true)
	b.answer(b.byItself(minor, tc, request), issuer.CounterUsed)
	b.books(1_000_000-minor, minor)
}

// The chip has given the money away: what is not on the account the bank bears.
func TestTheBankBearsWhatAnAccountHasNot(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{}})
	b.chip.finish(b.answer(b.withPINByContact(b.sale(998_000, "")), issuer.Approved), true)
	request := b.sale(5_000, "")
	upload := b.byItself(5_000, b.chip.generate(emv.TC, "Y3"), request)
	b.answer(request, issuer.NotEnoughMoney)
	funding := b.issuer.Book().Balance(issuer.AccountFunding)
	b.answer(upload, issuer.OfflineAccepted)
	b.books(2_000, 998_000)
	if now := b.issuer.Book().Balance(issuer.AccountFunding); now.DebitsPosted != funding.DebitsPosted+5_000 {
		t.Errorf("the bank bears %d", now.DebitsPosted-funding.DebitsPosted)
	}
	b.answer(b.offlineRefund(upload, 5_000), issuer.RefundDone)
}

func (b *chipBank) offlineRefund(of *unionpay.FinancialRequest, minor int64) *unionpay.FinancialRequest {
	b.stan++
	p := of.Payment
	p.STAN, p.Processing, p.Amount, p.Info.MessageType, p.ICC = b.stan, unionpay.ProcessingVoid, moneyOf(minor), unionpay.KindOfflineRefund, emv.Data{}
	p.Original = unionpay.OriginalOf(of)
	return &unionpay.FinancialRequest{Payment: p, Advice: true}
}

// TestApprovalsWithoutAnAnswerReplayAtEveryRow stops the bank after every row, and runs it with next to no memory.
func TestApprovalsWithoutAnAnswerReplayAtEveryRow(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.restart(t, &issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1})
	for range 3 {
		request := b.sale(700, "")
		upload := b.byItself(700, b.chip.generate(emv.TC, "Y3"), request)
		b.answer(request, issuer.Approved)
		b.restart(t, &issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1})
		b.answer(upload, issuer.OfflineAccepted)
		b.restart(t, &issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1})
		b.answer(upload, issuer.OfflineAccepted)
		b.expect(networktest.ReversalAtSwitch(request), issuer.ReversalNoEffect)
	}
	b.books(1_000_000-2_100, 0)
	for n := range len(b.Rows()) + 1 {
		rebuilt := newIssuer(t, b.hsm)
		b.rigOn(rebuilt, n)
		if err := rebuilt.Book().Audit(); err != nil {
			t.Fatalf("after row %d: %v", n, err)
		}
		if n == len(b.Rows()) && rebuilt.Available(1) != b.issuer.Available(1) {
			t.Errorf("%d after replay", rebuilt.Available(1))
		}
	}
}
