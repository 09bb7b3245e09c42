package issuer_test

import (
	"testing"

	"tapnet/emv"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// preAuthOf is a pre-authorization as it arrives from the switch.
func (b *bank) preAuth(minor int64) *unionpay.FinancialRequest {
	b.Helper()
	m := b.pay(minor)
	m.Authorization, m.Processing, m.Condition, m.Info.MessageType = true, unionpay.ProcessingPreAuth, unionpay.ConditionPreAuth, unionpay.KindPreAuth
	return m
}

// after is what a merchant does to an earlier payment.
func (b *bank) after(of *unionpay.FinancialRequest, kind unionpay.MessageType, minor int64) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	m := &unionpay.FinancialRequest{Payment: of.Payment}
	m.STAN, m.Amount, m.Info.MessageType, m.ICC, m.Track2, m.PINBlock = b.stan, moneyOf(minor), kind, emv.Data{}, pan.Track2{}, nil
	m.Processing, m.Original = unionpay.ProcessingVoid, unionpay.OriginalOf(of)
	m.EntryMode = unionpay.NewEntryMode(unionpay.EntryManual, false)
	switch kind {
	case unionpay.KindPreAuthCancel:
		m.Authorization = true
	case unionpay.KindCompletion, unionpay.KindCompletionNote:
		m.Processing = unionpay.ProcessingSale
	}
	m.Advice = kind == unionpay.KindCompletionNote || kind == unionpay.KindRefund
	return m
}

func (b *bank) has(want int64) {
	b.Helper()
	if got := b.issuer.Available(1); got != want {
		b.Errorf("available %d, want %d", got, want)
	}
	if err := b.issuer.Book().Audit(); err != nil {
		b.Error(err)
	}
}

func (b *bank) says(m unionpay.Message, want issuer.Reason) {
	b.Helper()
	first := b.Answer(theSwitch, m)
	if got := unionpay.PaymentOf(first.Message).Response; got != want.ResponseCode() {
		b.Errorf("answer %s, want %s for %q", got, want.ResponseCode(), want)
	}
	if again := b.Answer(theSwitch, m); string(again.Bytes) != string(first.Bytes) {
		b.Errorf("a repeat is answered otherwise: %s", unionpay.PaymentOf(again.Message).Response)
	}
}

const opened = 1_000_000

func TestAVoidGivesMoneyAndLimitsBack(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{DayMinor: 90_000, DayCount: 2} })
	sale := b.pay(90_000)
	b.says(sale, issuer.Approved)
	b.has(opened - 90_000)
	b.says(b.after(sale, unionpay.KindVoid, 80_000), issuer.OtherAmount)
	void := b.after(sale, unionpay.KindVoid, 90_000)
	b.says(void, issuer.VoidDone)
	b.has(opened)
	b.says(b.after(sale, unionpay.KindVoid, 90_000), issuer.NothingToUndo)
	b.says(b.after(sale, unionpay.KindRefund, 1), issuer.NothingToRefund)
	b.says(networktest.ReversalAtSwitch(void), issuer.ReversalDone) // the till did not hear the answer
	b.has(opened - 90_000)
	b.says(b.pay(1), issuer.AboveDayLimit)
	b.says(b.after(sale, unionpay.KindVoid, 90_000), issuer.VoidDone)
	b.says(b.pay(90_000), issuer.Approved)
	b.says(void, issuer.VoidDone) // repeated: the first answer
	b.has(opened - 90_000)
}

func TestRefundsInParts(t *testing.T) {
	b := newBank(t)
	sale := b.pay(10_000)
	b.says(b.after(sale, unionpay.KindRefund, 100), issuer.NothingToRefund) // nothing was sold yet
	b.says(sale, issuer.Approved)
	b.says(b.after(sale, unionpay.KindRefund, 4_000), issuer.SaleRefunded)
	b.says(b.after(sale, unionpay.KindRefund, 6_001), issuer.RefundTooHigh)
	b.says(b.after(sale, unionpay.KindVoid, 10_000), issuer.NothingToUndo)
	b.says(b.after(sale, unionpay.KindRefund, 6_000), issuer.SaleRefunded)
	b.says(b.after(sale, unionpay.KindRefund, 1), issuer.NothingToRefund)
	b.has(opened)
	reversed := b.pay(700)
	b.says(reversed, issuer.Approved)
	b.says(networktest.ReversalAtSwitch(reversed), issuer.ReversalDone)
	b.says(b.after(reversed, unionpay.KindRefund, 700), issuer.NothingToRefund)
}

func TestPreAuthorizationsAreTakenOrLetGo(t *testing.T) {
	for _, small := range []bool{false, true} {
		b := newBank(t)
		step := func(m unionpay.Message, want issuer.Reason, left int64) {
			t.Helper()
			b.says(m, want)
			b.has(left)
			if small { // a bank that remembers next to nothing, and is restarted
				b.restart(t, &issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1})
				b.has(left)
			}
		}
		held := b.preAuth(10_000)
		step(held, issuer.PreAuthHeld, opened-10_000)
		step(b.after(held, unionpay.KindCompletion, 11_501), issuer.OtherAmount, opened-10_000)
		step(b.after(held, unionpay.KindPreAuthCancel, 9_999), issuer.OtherAmount, opened-10_000)
		take := b.after(held, unionpay.KindCompletion, 11_500)
		step(take, issuer.CompletionDone, opened-11_500)
		step(b.after(held, unionpay.KindPreAuthCancel, 10_000), issuer.NothingToUndo, opened-11_500)
		step(networktest.ReversalAtSwitch(take), issuer.ReversalDone, opened-10_000)
		cancel := b.after(held, unionpay.KindPreAuthCancel, 10_000)
		step(cancel, issuer.PreAuthCancelled, opened)
		step(networktest.ReversalAtSwitch(cancel), issuer.ReversalDone, opened-10_000)
		take = b.after(held, unionpay.KindCompletionNote, 6_000)
		step(take, issuer.CompletionDone, opened-6_000)
		step(b.after(take, unionpay.KindRefund, 1_000), issuer.SaleRefunded, opened-5_000)
		held = b.preAuth(10_000)
		step(held, issuer.PreAuthHeld, opened-15_000)
		take = b.after(held, unionpay.KindCompletion, 10_000)
		step(take, issuer.CompletionDone, opened-15_000)
		void := b.after(take, unionpay.KindCompletionVoid, 10_000)
		step(void, issuer.CompletionVoidDone, opened-5_000)
		step(b.after(take, unionpay.KindCompletionVoid, 10_000), issuer.NothingToUndo, opened-5_000)
		step(networktest.ReversalAtSwitch(void), issuer.ReversalDone, opened-15_000)
		step(networktest.ReversalAtSwitch(held), issuer.ReversalNoEffect, opened-15_000)
		b.restart(t, nil)
		b.has(opened - 15_000)
	}
}

func TestWhatACardholderHasSpentTheBankBears(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) { e.OpeningMinor, e.Limits = 10_000, issuer.Limits{} })
	sale := b.pay(10_000)
	b.says(sale, issuer.Approved)
	void := b.after(sale, unionpay.KindVoid, 10_000)
	b.says(void, issuer.VoidDone)
	b.says(b.pay(10_000), issuer.Approved)
	b.says(networktest.ReversalAtSwitch(void), issuer.ReversalDone)
	b.has(0)
	if row := b.LastRow(); row.Kind != journal.Noted {
		t.Errorf("last row %+v", row)
	}
	if funding := b.issuer.Book().Balance(issuer.AccountFunding); funding.DebitsPosted != 10_000+50_000+10_000 {
		t.Errorf("funding %+v", funding)
	}
}

func TestABalanceIsToldAndCostsNothing(t *testing.T) {
	b := newBank(t)
	b.says(b.pay(300), issuer.Approved)
	ask := func() *unionpay.FinancialRequest {
		m := b.pay(0)
		m.Processing, m.Info.MessageType = unionpay.ProcessingBalance, unionpay.KindBalance
		return m
	}
	m := b.withPIN(ask(), rightPIN)
	b.says(m, issuer.BalanceTold)
	told := unionpay.PaymentOf(b.Answer(theSwitch, m).Message).Balance
	if told == nil || told.Amount.Minor() != opened-300 || told.AmountType != unionpay.BalanceAvailable {
		t.Fatalf("balance %+v", told)
	}
	b.says(b.pay(100), issuer.Approved)
	b.restart(t, nil)
	if again := unionpay.PaymentOf(b.Answer(theSwitch, m).Message).Balance; again == nil || *again != *told {
		t.Errorf("a repeat is told %+v", again)
	}
	b.says(b.withPIN(ask(), wrongPIN), issuer.PINWrong)
	if c, _ := b.issuer.Card(1); c.Tries != 2 {
		t.Errorf("%d tries left", c.Tries)
	}
	b.has(opened - 400)
}
