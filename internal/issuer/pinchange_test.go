package issuer_test

import (
	"bytes"
	"fmt"
	"testing"

	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/pinblock"
)

const newPIN = "864209"

// changePIN is a request to change the PIN; unblock, without a new one, to give the chip its tries back.
func (b *chipBank) changePIN(before, after string) *unionpay.FinancialRequest {
	b.Helper()
	m := b.request(b.chip, 0, unionpay.ProcessingPINChange, unionpay.KindPINChange, b.chip.insert(0, 0x70, ""))
	m.Condition, m.EntryMode = unionpay.ConditionNormal, unionpay.NewEntryMode(unionpay.EntryContact, true)
	m.PINBlock = networktest.EncipherPIN(b, b.hsm, theSwitch, before, m.PAN)
	if after == "" {
		m.Processing, m.Info.MessageType = unionpay.ProcessingPINUnblock, unionpay.KindPINUnblock
		return m
	}
	m.NewPIN = networktest.EncipherPIN(b, b.hsm, theSwitch, after, m.PAN)
	return m
}

func (b *chipBank) onChip() card.StoredPIN { return b.chip.chip.State().Applications[0].PIN }

func stored(t testing.TB, digits string) card.StoredPIN {
	t.Helper()
	pin, err := pinblock.ParsePIN(digits)
	if err != nil {
		t.Fatal(err)
	}
	return card.StorePIN(pin)
}

// knows says which PIN is the account's: that one is right, the other one is wrong, and no try is gone in the end.
func (b *chipBank) knows(right, wrong string) {
	b.Helper()
	for _, digits := range []string{wrong, right} {
		m := b.sale(100, "")
		m.PINBlock, m.EntryMode = networktest.EncipherPIN(b, b.hsm, theSwitch, digits, m.PAN), unionpay.NewEntryMode(unionpay.EntryContact, true)
		want := issuer.Approved
		if digits == wrong {
			want = issuer.PINWrong
		}
		b.chip.finish(b.answer(m, want), false)
	}
}

func (b *chipBank) reason(want issuer.Reason) {
	b.Helper()
	if got := issuer.Reason(b.LastRow().Reason); got != want {
		b.Fatalf("the last row says %q, want %q", got.Term().EN, want.Term().EN)
	}
}

func TestAPINIsChangedWithEverySuite(t *testing.T) {
	for _, suite := range []cryptogram.Suite{cryptogram.SuiteTDES, cryptogram.SuiteSM4, cryptogram.SuiteAES} {
		t.Run(suite.Name(), func(t *testing.T) {
			b := newChipBank(t, suite)
			m := b.changePIN(rightPIN, newPIN)
			answer := b.answer(m, issuer.PINChangeSent)
			if again := b.answer(m, issuer.PINChangeSent); !bytes.Equal(again.ICC.Bytes(), answer.ICC.Bytes()) {
				t.Error("a repeat carries another script")
			}
			_, results := b.chip.finish(answer, false)
			if b.onChip() != stored(t, newPIN) || results[0] != 0x20 {
				t.Fatalf("results %X", results)
			}
			b.tell(m, results)
			b.reason(issuer.PINChangeDone)
			rows := len(b.Rows())
			b.tell(m, results) // twice
			if len(b.Rows()) != rows {
				t.Error("the second notice made rows")
			}
			b.knows(newPIN, rightPIN)
			b.answer(b.sale(100, newPIN), issuer.Approved) // the card agrees
		})
	}
}

func TestAPINChangeThatFailsLeavesTheOldPIN(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.changePIN(rightPIN, newPIN)
	answer := b.answer(m, issuer.PINChangeSent)
	template := answer.ICC.Get(emv.TagScript2)
	template[len(template)-1]++ // somebody between spoils the MAC
	_, results := b.chip.finish(answer, false)
	if results[0] != 0x11 || b.onChip() != stored(t, cardtest.PIN) {
		t.Fatalf("results %X", results)
	}
	b.tell(m, results)
	b.reason(issuer.PINChangeFailed)
	b.knows(rightPIN, newPIN)
	rows := b.Rows()
	if got := issuer.Reason(rows[len(rows)-3].Reason); got != issuer.PINChangeDisproven {
		t.Errorf("the card's word is %q", got.Term().EN)
	}
}

// The outcome that nobody reports is known from the card's next cryptogram, before the PIN that comes with it is looked at.
func TestAnUnknownPINChangeIsSettledByTheNextCryptogram(t *testing.T) {
	for name, torn := range map[string]bool{"changed": false, "not changed": true} {
		t.Run(name, func(t *testing.T) {
			b := newChipBank(t, cryptogram.SuiteAES)
			b.chip.finish(b.answer(b.changePIN(rightPIN, newPIN), issuer.PINChangeSent), torn)
			b.restart(t, nil)
			if c, _ := b.issuer.Card(1); !c.PINOpen() {
				t.Error("forgotten")
			}
			if torn {
				b.knows(rightPIN, newPIN)
				return
			}
			m := b.sale(100, "")
			m.PINBlock, m.EntryMode = networktest.EncipherPIN(b, b.hsm, theSwitch, newPIN, m.PAN), unionpay.NewEntryMode(unionpay.EntryContact, true)
			b.chip.finish(b.answer(m, issuer.Approved), false)
			b.knows(newPIN, rightPIN)
		})
	}
	// The answer never reached the card at all.
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.answer(b.changePIN(rightPIN, newPIN), issuer.PINChangeSent)
	b.knows(rightPIN, newPIN)
}

// A terminal that says no while the card says yes: the card is right.
func TestTheCardsWordAboutItsPINCounts(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteSM4)
	m := b.changePIN(rightPIN, newPIN)
	_, results := b.chip.finish(b.answer(m, issuer.PINChangeSent), false)
	failed := bytes.Clone(results)
	failed[0] = 0x11
	b.tell(m, failed)
	b.reason(issuer.PINChangeFailed)
	b.knows(newPIN, rightPIN)
}

// When nobody can tell, the old PIN stays, and a late notice is still heard.
func TestALateResultOfAPINChange(t *testing.T) {
	for name, late := range map[string]bool{"late result": true, "no result": false} {
		t.Run(name, func(t *testing.T) {
			b := newChipBank(t, cryptogram.SuiteTDES)
			m := b.changePIN(rightPIN, newPIN)
			_, results := b.chip.finish(b.answer(m, issuer.PINChangeSent), false)
			b.chip.insert(100, 0, "")
			b.chip.generate(emv.AAC, "96") // a host that answers for the bank makes the card forget
			pay := b.sale(100, "")
			b.answer(pay, issuer.Approved)
			rows := b.Rows()
			if got := issuer.Reason(rows[len(rows)-2].Reason); got != issuer.PINChangeUnknown {
				t.Fatalf("the card's word is %q", got.Term().EN)
			}
			b.chip.finish(b.answer(pay, issuer.Approved), false)
			if !late {
				b.knows(rightPIN, newPIN)
				b.chip.finish(b.answer(b.changePIN(rightPIN, newPIN), issuer.PINChangeSent), false) // the way out
				b.knows(newPIN, rightPIN)
				return
			}
			b.restart(t, nil)
			b.tell(m, results)
			b.reason(issuer.PINChangeDone)
			b.knows(newPIN, rightPIN)
		})
	}
}

func TestAReversedPINChange(t *testing.T) {
	for name, reached := range map[string]bool{"reached the card": true, "did not": false} {
		t.Run(name, func(t *testing.T) {
			b := newChipBank(t, cryptogram.SuiteTDES)
			m := b.changePIN(rightPIN, newPIN)
			_, results := b.chip.finish(b.answer(m, issuer.PINChangeSent), !reached)
			b.Answer(theSwitch, reversalOf(m, results))
			if reached {
				b.knows(newPIN, rightPIN)
			} else {
				b.knows(rightPIN, newPIN)
			}
		})
	}
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.changePIN(rightPIN, newPIN)
	b.Answer(theSwitch, reversalOf(m, nil)) // before the request
	b.answer(m, issuer.AlreadyReversed)
	b.knows(rightPIN, newPIN)
}

func TestPINChangesAreRefused(t *testing.T) {
	lost := issuer.Lost
	garbage, err := pinblock.FromBytes([]byte("garbage!"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason  issuer.Reason
		prepare func(*chipBank, *unionpay.FinancialRequest)
	}{
		{issuer.PINNeeded, func(_ *chipBank, m *unionpay.FinancialRequest) { m.PINBlock = nil }},
		{issuer.PINFormatWrong, func(_ *chipBank, m *unionpay.FinancialRequest) { m.PINBlock = &garbage }},
		{issuer.NewPINFormatWrong, func(_ *chipBank, m *unionpay.FinancialRequest) { m.NewPIN = &garbage }},
		{issuer.FormatError, func(_ *chipBank, m *unionpay.FinancialRequest) { m.Amount = moneyOf(1) }},
		{issuer.FormatError, func(_ *chipBank, m *unionpay.FinancialRequest) { m.NewPIN = nil }},
		{issuer.ScriptOutOfReach, func(_ *chipBank, m *unionpay.FinancialRequest) { m.EntryMode = "071" }},
		{issuer.CardLost, func(b *chipBank, _ *unionpay.FinancialRequest) { b.alter(issuer.Change{Card: 1, Status: &lost}) }},
		{issuer.ChipDataMissing, func(_ *chipBank, m *unionpay.FinancialRequest) { m.ICC = emv.Data{} }},
		{issuer.CryptogramWrong, func(_ *chipBank, m *unionpay.FinancialRequest) { m.CardSequence = "002" }},
	} {
		b := newChipBank(t, cryptogram.SuiteTDES)
		m := b.changePIN(rightPIN, newPIN)
		c.prepare(b, m)
		answer := b.answer(m, c.reason)
		b.reason(c.reason)
		if len(answer.ICC.Get(emv.TagScript2)) != 0 {
			t.Errorf("%s changes it all the same", c.reason.Term().EN)
		}
	}
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.answer(b.loadFor(20_000, rightPIN), issuer.LoadHeld)
	b.tapOffline(8_000) // without its upload nobody knows what the card holds
	b.chip.insert(100, 0, "")
	b.chip.generate(emv.AAC, "96")
	b.answer(b.changePIN(rightPIN, newPIN), issuer.ChipInDoubt)
}

func TestAWrongOldPINCostsATry(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	for left := 2; left >= 0; left-- {
		m := b.changePIN(wrongPIN, newPIN)
		b.answer(m, issuer.PINWrong)
		b.answer(m, issuer.PINWrong) // a repeat costs none
		if c, _ := b.issuer.Card(1); c.Tries != left {
			t.Fatalf("%d tries left, want %d", c.Tries, left)
		}
	}
	b.answer(b.changePIN(rightPIN, newPIN), issuer.PINBlocked)
	tries := 3
	b.alter(issuer.Change{Card: 1, PINTries: &tries})
	b.answer(b.changePIN(wrongPIN, newPIN), issuer.PINWrong)
	b.chip.finish(b.answer(b.changePIN(rightPIN, newPIN), issuer.PINChangeSent), false)
	if c, _ := b.issuer.Card(1); c.Tries != 3 {
		t.Errorf("%d tries after the right PIN", c.Tries)
	}
	b.knows(newPIN, rightPIN)
}

// A repeat that asks for another PIN is not one, although PIN blocks are not part of what is compared else.
func TestARepeatWithAnotherNewPINIsRefused(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.changePIN(rightPIN, newPIN)
	answer := b.answer(m, issuer.PINChangeSent)
	other := *m
	other.NewPIN = networktest.EncipherPIN(b, b.hsm, theSwitch, "111222", m.PAN)
	b.answer(&other, issuer.KeyReused)
	b.chip.finish(answer, false)
	b.knows(newPIN, "111222")
}

func TestTheChipGetsItsTriesBack(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	for range 3 {
		b.chip.insert(100, 0, "9753")
	}
	if left := b.chip.chip.State().Applications[0].PINTries; left != 0 {
		t.Fatalf("%d tries left on the chip", left)
	}
	m := b.changePIN(rightPIN, "")
	b.answer(b.changePIN(wrongPIN, ""), issuer.PINWrong)
	m.STAN += 10
	m = b.changePIN(rightPIN, "")
	_, results := b.chip.finish(b.answer(m, issuer.PINUnblockSent), false)
	b.tell(m, results)
	b.reason(issuer.PINChangeDone)
	if left := b.chip.chip.State().Applications[0].PINTries; left != 3 || b.onChip() != stored(t, cardtest.PIN) {
		t.Errorf("%d tries on the chip", left)
	}
	b.knows(rightPIN, newPIN)
}

// TestPINChangesReplayAtEveryRow stops the bank after every row, and runs one with next to no memory beside it: all say the same.
func TestPINChangesReplayAtEveryRow(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	other := newChip(t, "6299990000000002", cryptogram.SuiteTDES, 8_750)
	b.enrolChip(other, 2)
	for id := range int64(2) {
		b.alter(issuer.Change{Card: id + 1, Limits: &issuer.Limits{}})
	}
	tiny := issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1}
	b.restart(t, &tiny)
	elsewhere := func() { // the first card goes to the store
		for range 3 {
			b.answer(b.request(other, 100, unionpay.ProcessingSale, unionpay.KindSale, other.insert(100, 0, "")), issuer.Approved)
		}
	}
	pins, chosen := []string{rightPIN}, map[uint64]string{}
	for n, outcome := range []string{"told", "torn", "lost", "failed", "lost", "reversed"} {
		before := pins[len(pins)-1]
		after := fmt.Sprintf("73%04d", n)
		m := b.changePIN(before, after)
		answer := b.answer(m, issuer.PINChangeSent)
		chosen[b.LastRow().Seq] = after
		_, results := b.chip.finish(answer, outcome == "torn" || outcome == "reversed")
		elsewhere()
		b.restart(t, &tiny)
		elsewhere()
		switch outcome {
		case "told":
			b.tell(m, results)
		case "failed":
			results[0] = 0x11
			b.tell(m, results)
		case "reversed":
			b.Answer(theSwitch, reversalOf(m, nil))
		}
		elsewhere()
		b.restart(t, &tiny)
		if outcome != "torn" && outcome != "reversed" {
			pins = append(pins, after)
			b.knows(after, before)
		} else {
			b.knows(before, after)
		}
	}
	seen := map[issuer.Reason]bool{}
	for _, r := range b.Rows() {
		if r.Kind == journal.ScriptReported || r.Kind == journal.Noted {
			seen[issuer.Reason(r.Reason)] = true
		}
	}
	for _, want := range []issuer.Reason{issuer.PINChangeSent, issuer.PINChangeDone, issuer.PINChangeProven, issuer.PINChangeFailed, issuer.PINChangeDisproven} {
		if !seen[want] {
			t.Errorf("no row %q", want.Term().EN)
		}
	}
	rows, known := b.Rows(), rightPIN
	tap := networktest.Adopt(b, b.chip.Issued, b.chip.chip)
	for n := range len(rows) + 1 {
		if n > 0 && rows[n-1].Kind == journal.ScriptReported {
			switch issuer.Reason(rows[n-1].Reason) {
			case issuer.PINChangeDone, issuer.PINChangeProven:
				known = chosen[rows[n-1].Linked]
			}
		}
		if n < 6 { // the cards are not enrolled yet
			continue
		}
		rebuilt := newIssuer(t, b.hsm)
		rig := b.rigOn(rebuilt, n)
		b.stan++
		m := networktest.AtSwitch(tap.Pay(b.stan, 100), acquirer, b.today()) // a tap says nothing about scripts
		m.PINBlock, m.EntryMode = networktest.EncipherPIN(b, b.hsm, theSwitch, known, m.PAN), unionpay.NewEntryMode(unionpay.EntryContactless, true)
		if got := unionpay.PaymentOf(rig.Answer(theSwitch, m).Message).Response; got != unionpay.Approved {
			t.Fatalf("after row %d the PIN is answered %s", n, got)
		}
	}
	b.restart(t, nil) // from all rows, with all memory
	b.knows(pins[len(pins)-1], "737373")
}
