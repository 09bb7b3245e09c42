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

// ridden is the service day of the rides in this file, that on which the bank's clock starts.
const ridden = 20261121

// rides is a request of a transit operator: the gate's cryptogram is about gate minor units, the fares come to minor.
func (b *bank) rides(gate, minor int64, use unionpay.TransitUse) *unionpay.FinancialRequest {
	b.Helper()
	m := b.pay(gate)
	m.Amount, m.MerchantType = moneyOf(minor), "4111"
	m.Detail = unionpay.AppendTransit("", unionpay.Transit{Use: use, Ridden: ridden})
	return m
}

// again asks without a cryptogram, naming an earlier request.
func (b *bank) again(of *unionpay.FinancialRequest, minor int64, use unionpay.TransitUse) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	m := &unionpay.FinancialRequest{Payment: of.Payment}
	m.STAN, m.Amount, m.ICC, m.Track2, m.Original = b.stan, moneyOf(minor), emv.Data{}, pan.Track2{}, unionpay.OriginalOf(of)
	m.EntryMode, m.Processing, m.Authorization, m.Info.MessageType = unionpay.NewEntryMode(unionpay.EntryManual, false), unionpay.ProcessingSale, false, unionpay.KindSale
	m.Detail = unionpay.AppendTransit("", unionpay.Transit{Use: use, Ridden: ridden})
	return m
}

// TestFaresAreAskedForLater: the gate's cryptogram proves the card, the message says the money; both once.
func TestFaresAreAskedForLater(t *testing.T) {
	b := newBank(t)
	nominal := b.rides(0, 100, unionpay.TransitVerify)
	nominal.Authorization, nominal.Processing, nominal.Condition = true, unionpay.ProcessingPreAuth, unionpay.ConditionPreAuth
	nominal.Info.MessageType = unionpay.KindPreAuth
	b.expect(nominal, issuer.PreAuthHeld)
	b.wantHeld(100)
	fares := b.rides(0, 1_200, unionpay.TransitFares)
	b.expect(fares, issuer.Approved)
	b.expect(b.again(nominal, 700, unionpay.TransitFares), issuer.Approved)
	b.expect(b.again(fares, 500, unionpay.TransitDebt), issuer.Approved)
	b.wantHeld(100 + 1_200 + 700 + 500)
	if row := b.Rows()[len(b.Rows())-2]; row.Kind != journal.Approved || row.ATC != 0 || b.issuer.Describe(&row).ZH == "" {
		t.Errorf("%+v", row)
	}
	// A payment in a shop was made behind the gate, and comes first.
	late := b.rides(0, 300, unionpay.TransitFares)
	b.expect(b.pay(5_000), issuer.Approved)
	b.expect(late, issuer.Approved)
	b.restart(t, nil)
	repeated := *late
	b.stan++
	repeated.STAN = b.stan
	b.expect(&repeated, issuer.ChipDataMismatch)
}

// TestAnInquiryForRides verifies a card with nothing, whatever the gate's cryptogram is about.
func TestAnInquiryForRides(t *testing.T) {
	b := newBank(t)
	m := b.rides(700, 0, unionpay.TransitVerify)
	m.Processing, m.Info.MessageType = unionpay.ProcessingBalance, unionpay.KindBalance
	b.expect(m, issuer.BalanceTold)
	b.wantHeld(0)
	b.expect(b.again(m, 400, unionpay.TransitFares), issuer.Approved)
}

// TestAnAuthorizationOfNothing verifies a card without telling anything of its account; it is for who has a gate's proof, and holds nothing that could be taken.
func TestAnAuthorizationOfNothing(t *testing.T) {
	b := newBank(t)
	nothing := func(m *unionpay.FinancialRequest) *unionpay.FinancialRequest {
		m.Authorization, m.Processing, m.Condition = true, unionpay.ProcessingPreAuth, unionpay.ConditionPreAuth
		m.Info.MessageType = unionpay.KindPreAuth
		return m
	}
	first := nothing(b.rides(0, 0, unionpay.TransitVerify))
	sent := b.expect(first, issuer.CardVerified)
	if p := unionpay.PaymentOf(sent.Message); p.Balance != nil || p.AuthCode != "" {
		t.Errorf("%+v", p)
	}
	b.says(first, issuer.CardVerified)
	b.wantHeld(0)
	b.expect(b.after(first, unionpay.KindCompletion, 100), issuer.NothingToUndo)
	shown := b.rides(0, 0, unionpay.TransitVerify) // the answer was lost: the same cryptogram, with the request that brought it
	shown.ICC, shown.Original = first.ICC, unionpay.OriginalOf(first)
	b.expect(nothing(shown), issuer.CardVerified)
	b.expect(b.again(shown, 400, unionpay.TransitFares), issuer.Approved)
	b.expect(nothing(b.pay(0)), issuer.FormatError)
	plain := nothing(b.rides(0, 0, unionpay.TransitVerify))
	plain.MerchantType = "5411"
	b.expect(plain, issuer.FormatError)
	b.expect(networktest.ReversalAtSwitch(first), issuer.ReversalNoEffect)
	b.restart(t, &issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1})
	b.says(first, issuer.CardVerified)
	b.expect(b.again(shown, 400, unionpay.TransitFares), issuer.Approved)
	lost := issuer.Lost
	b.Command(issuer.Alter{Change: issuer.Change{Card: 1, Status: &lost}})
	b.expect(nothing(b.rides(0, 0, unionpay.TransitVerify)), issuer.CardLost)
	b.audited(t, b.Rows(), "")
}

// TestADebtIsPaidLater: a refusal for want of money proves the ride; the next attempt needs no card.
func TestADebtIsPaidLater(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) { e.OpeningMinor = 100 })
	first := b.rides(0, 600, unionpay.TransitFares)
	b.expect(first, issuer.NotEnoughMoney)
	b.expect(b.again(first, 600, unionpay.TransitDebt), issuer.NotEnoughMoney)
	b.expect(b.again(first, 100, unionpay.TransitDebt), issuer.Approved)
	lost := issuer.Lost
	if reply := b.Command(issuer.Alter{Change: issuer.Change{Card: 1, Status: &lost}}); reply != (issuer.Done{}) {
		t.Fatal(reply)
	}
	b.expect(b.again(first, 50, unionpay.TransitDebt), issuer.CardLost)
}

// TestNothingElseIsDeferred: outside the rule's bounds the chip must have signed the amount, as ever.
func TestNothingElseIsDeferred(t *testing.T) {
	refused := func(name string, want issuer.Reason, change func(*bank, *unionpay.FinancialRequest)) {
		b := newBank(t)
		m := b.rides(0, 600, unionpay.TransitFares)
		change(b, m)
		sent := b.Answer(theSwitch, m)
		if got := issuer.Reason(b.LastRow().Reason); got != want || unionpay.PaymentOf(sent.Message).Response != want.ResponseCode() {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	indicate := func(m *unionpay.FinancialRequest, use unionpay.TransitUse, ridden int32) {
		m.Detail = unionpay.AppendTransit("", unionpay.Transit{Use: use, Ridden: ridden})
	}
	mismatch := issuer.ChipDataMismatch
	refused("no indicator", mismatch, func(_ *bank, m *unionpay.FinancialRequest) { m.Detail = "" })
	refused("a damaged indicator", mismatch, func(_ *bank, m *unionpay.FinancialRequest) { m.Detail = "\xC1\x01\x02" })
	refused("a shop", mismatch, func(_ *bank, m *unionpay.FinancialRequest) { m.MerchantType = "5411" })
	refused("above the cumulative limit", mismatch, func(_ *bank, m *unionpay.FinancialRequest) { m.Amount = moneyOf(5_001) })
	refused("gathered too long", mismatch, func(_ *bank, m *unionpay.FinancialRequest) { indicate(m, unionpay.TransitFares, 20261110) })
	refused("a ride of the future", mismatch, func(_ *bank, m *unionpay.FinancialRequest) { indicate(m, unionpay.TransitFares, 20261123) })
	refused("a debt too old", mismatch, func(_ *bank, m *unionpay.FinancialRequest) { indicate(m, unionpay.TransitDebt, 20261001) })
	refused("a gate that asks for too much", mismatch, func(b *bank, m *unionpay.FinancialRequest) {
		*m = *b.rides(1_501, 600, unionpay.TransitFares)
	})
	refused("a forged cryptogram", mismatch, func(_ *bank, m *unionpay.FinancialRequest) { m.ICC.Set(emv.TagAC, make([]byte, 8)) })
	refused("no cryptogram and no reference", issuer.ChipDataMissing, func(b *bank, m *unionpay.FinancialRequest) {
		*m = *b.again(m, 600, unionpay.TransitFares)
	})
	refused("a reference to nothing", issuer.ChipDataMissing, func(b *bank, m *unionpay.FinancialRequest) {
		*m = *b.again(m, 600, unionpay.TransitFares)
		m.Original.STAN = 999
	})
	refused("a reference to a refused cryptogram", issuer.ChipDataMissing, func(b *bank, m *unionpay.FinancialRequest) {
		m.ICC.Set(emv.TagAC, make([]byte, 8))
		b.Answer(theSwitch, m)
		*m = *b.again(m, 600, unionpay.TransitFares)
	})
	refused("a reference to another card's", issuer.ChipDataMissing, func(b *bank, m *unionpay.FinancialRequest) {
		b.Answer(theSwitch, m)
		next := b.again(m, 600, unionpay.TransitFares)
		b.card = networktest.NewCard(b, strange.Reveal(), 0)
		b.enrol(b.card, 2)
		next.PAN = b.card.PAN
		*m = *next
	})
	refused("another acquirer's reference", issuer.ChipDataMissing, func(b *bank, m *unionpay.FinancialRequest) {
		b.Answer(theSwitch, m)
		*m = *b.again(m, 600, unionpay.TransitFares)
		m.Acquirer = "10000002"
	})
	refused("an ordinary payment without a chip", issuer.ChipDataMissing, func(b *bank, m *unionpay.FinancialRequest) {
		b.Answer(theSwitch, m)
		*m = *b.again(m, 600, unionpay.TransitFares)
		m.Detail = ""
	})
}
