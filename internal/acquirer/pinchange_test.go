package acquirer_test

import (
	"testing"
	"time"

	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// pinChange is a terminal's request to change the PIN.
func (b *bank) pinChange(next string) *unionpay.FinancialRequest {
	b.Helper()
	m := b.request(1)
	m.Amount, m.Processing, m.Info.MessageType = money.New(0, money.CNY), unionpay.ProcessingPINChange, unionpay.KindPINChange
	m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContact, true)
	m.PINBlock = networktest.EncipherPIN(b, b.hsm, networktest.Terminal, "123456", m.PAN)
	m.NewPIN = networktest.EncipherPIN(b, b.hsm, networktest.Terminal, next, m.PAN)
	return m
}

func (b *bank) withoutPINs(sent []networktest.Sent) {
	b.Helper()
	for _, s := range sent {
		if p := unionpay.PaymentOf(s.Message); p != nil && (p.NewPIN != nil || p.PINBlock != nil) {
			b.Errorf("%s with a PIN", s.Message.Type())
		}
	}
}

func TestBothPINsOfAChangeAreTranslatedAndNeitherIsKept(t *testing.T) {
	b := newCounter(t, false)
	m := b.pinChange("864209")
	onward := b.forwarded(m)
	secrets := []*pinblock.Block{m.PINBlock, m.NewPIN}
	for block, digits := range map[*pinblock.Block]string{onward.PINBlock: "123456", onward.NewPIN: "864209"} {
		want := networktest.EncipherPIN(t, b.hsm, theSwitch, digits, m.PAN)
		if block == nil || block.Reveal() != want.Reveal() {
			t.Errorf("%s did not arrive under the switch's key", digits)
		}
		secrets = append(secrets, want)
	}
	b.approve(onward)
	b.noMerchantMoney()
	if b.claims() != 0 {
		t.Error("money is claimed")
	}
	b.withoutPINs(b.Deliver(networktest.Terminal, reversal(m)))
	b.forwarded(b.pinChange("135790"))
	b = b.reopened() // what was sealed comes back
	b.withoutPINs(b.Advance(time.Minute))
	b.NoSecrets([]pan.Number{m.PAN}, secrets...)
}

func TestPINChangesTheAcquirerRefuses(t *testing.T) {
	garbage, err := pinblock.FromBytes([]byte("garbage!"))
	if err != nil {
		t.Fatal(err)
	}
	b := newCounter(t, false)
	m := b.pinChange("864209")
	m.NewPIN = &garbage
	if got := code(b.Answer(networktest.Terminal, m)); got != unionpay.PINFormatError {
		t.Errorf("an unreadable new PIN is answered %s", got)
	}
	m = b.pinChange("864209")
	m.Processing = unionpay.ProcessingPINUnblock
	if got := code(b.Answer(networktest.Terminal, m)); got != unionpay.InvalidAmount {
		t.Errorf("a change that says it unblocks is answered %s", got)
	}
	shop := newBank(t) // no bank's
	if got := code(shop.Answer(networktest.Terminal, shop.pinChange("864209"))); got != unionpay.NotPermittedToTerminal {
		t.Errorf("a shop is answered %s", got)
	}
}

// What a card approved by itself names the request that nobody answered; the acquirer passes the name on, if it knows it.
func TestAnUploadNamesItsRequest(t *testing.T) {
	b := newBank(t)
	m := b.request(5_000)
	onward := b.forwarded(m)
	b.Advance(time.Minute) // silence
	for name, known := range map[string]bool{"its request": true, "one that never arrived": false} {
		upload := b.upload(5_000)
		upload.Original = &unionpay.Original{Batch: m.Info.Batch, STAN: m.STAN}
		if !known {
			upload.Original.STAN += 500
		}
		sent := b.forwarded(upload)
		switch {
		case known && (sent.Original == nil || unionpay.OriginalKey(sent) != unionpay.NetworkKey(onward)):
			t.Errorf("%s: named as %+v", name, sent.Original)
		case !known && sent.Original != nil:
			t.Errorf("%s: named as %+v", name, sent.Original)
		}
		if out := b.answer(sent, unionpay.Approved); code(out[0]) != unionpay.Approved {
			t.Errorf("%s: answered %s", name, code(out[0]))
		}
	}
}
