package issuer_test

import (
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
)

// TestPINChangesAreFoundInOrder lets the second opinion look at what scripts about the PIN leave.
func TestPINChangesAreFoundInOrder(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{}})
	m := b.changePIN(rightPIN, newPIN)
	_, results := b.chip.finish(b.answer(m, issuer.PINChangeSent), false)
	b.tell(m, results)
	b.knows(newPIN, rightPIN)
	b.chip.finish(b.answer(b.changePIN(newPIN, "111222"), issuer.PINChangeSent), false) // settled by the card
	b.answer(b.changePIN(wrongPIN, newPIN), issuer.PINWrong)
	b.chip.finish(b.answer(b.changePIN("111222", ""), issuer.PINUnblockSent), true)
	m = b.changePIN("111222", newPIN)
	b.chip.finish(b.answer(m, issuer.PINChangeSent), true)
	b.Answer(theSwitch, reversalOf(m, nil))
	b.answer(b.sale(100, ""), issuer.Approved)
	b.answer(b.changePIN("111222", newPIN), issuer.PINChangeSent) // open
	secondOpinion(t, 0, b, nil, []*chipCard{b.chip})
}

// TestApprovalsWithoutAnAnswerAreFoundInOrder is the same for what the card approved by itself.
func TestApprovalsWithoutAnAnswerAreFoundInOrder(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{}})
	for order := range 4 {
		m := b.sale(700, "")
		upload := b.byItself(700, b.chip.generate(emv.TC, "Y3"), m)
		if order != 0 {
			b.answer(m, issuer.Approved)
		}
		if order == 1 {
			b.Answer(theSwitch, networktest.ReversalAtSwitch(m))
		}
		b.answer(upload, issuer.OfflineAccepted)
		if order == 2 {
			b.Answer(theSwitch, networktest.ReversalAtSwitch(m))
		}
	}
	secondOpinion(t, 0, b, nil, []*chipCard{b.chip})
}

// TestASecondCurrencyIsFoundInOrder is the same for a second purse.
func TestASecondCurrencyIsFoundInOrder(t *testing.T) {
	b := newDualBank(t)
	m := b.loadFor(10_000, rightPIN)
	_, results := b.chip.finish(b.answer(m, issuer.LoadHeld), false)
	b.tell(m, results)
	pay := b.spend(3_000)
	b.answer(pay, issuer.PurseAccepted)
	b.chip.finish(b.answer(b.loadFor(500, rightPIN), issuer.LoadHeld), true)
	b.answer(b.spend(100), issuer.PurseAccepted)
	unload := b.request(b.chip, 8_900, unionpay.ProcessingUnload, unionpay.KindUnload, b.chip.insert(8_900, 0x17, ""))
	_, results = b.chip.finish(b.answer(unload, issuer.UnloadHeld), false)
	b.tell(unload, results)
	b.Clock.Advance(11 * 24 * time.Hour)
	if reply := b.Command(issuer.PayOut{Card: 1}); reply != (issuer.Done{}) {
		t.Fatal(reply)
	}
	secondOpinion(t, 0, b, nil, []*chipCard{b.chip})
}
