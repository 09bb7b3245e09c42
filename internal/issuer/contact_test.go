package issuer_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

func TestAPINCheckedByTheCardCountsUnderTheCryptogramOnly(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.answer(b.sale(200_000, ""), issuer.AboveNoPINLimit)
	right := b.sale(200_000, cardtest.PIN)
	b.answer(right, issuer.Approved)
	if n := b.LastRow().Note; n[0] != 2|4 {
		t.Errorf("note %X", n)
	}
	b.answer(b.sale(100, "9753"), issuer.OfflinePINWrong)
	if c, _ := b.issuer.Card(1); c.Tries != 3 {
		t.Errorf("the bank's own tries are %d", c.Tries)
	}
	// The word of the terminal that a PIN was right is not the card's.
	m := b.sale(200_000, "")
	m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContact, true)
	m.ICC.Set(emv.TagCVMResults, []byte{0x01, 0x00, 0x02})
	b.answer(m, issuer.AboveNoPINLimit)
	m = b.sale(200_000, "")
	iad := bytes.Clone(m.ICC.Get(emv.TagIAD))
	iad[4] |= 0x04
	m.ICC.Set(emv.TagIAD, iad)
	b.answer(m, issuer.CryptogramWrong)
}

func TestAChipCardsStripeIsRefused(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	for _, condition := range []string{unionpay.ICConditionNone, unionpay.ICConditionFallback} {
		m := b.sale(100, "")
		m.EntryMode, m.ICC, m.Info.ICCondition = unionpay.NewEntryMode(unionpay.EntryStripe, false), emv.Data{}, condition
		b.answer(m, issuer.StripeNotAllowed)
	}
}

// The stripe of a card without a chip pays with the right PIN, and with nothing less.
func TestAStripePaysForACardWithoutChip(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) { e.Stripe = true })
	swipe := func(change func(*unionpay.FinancialRequest)) *unionpay.FinancialRequest {
		m := b.pay(100)
		m.ICC, m.CardSequence = emv.Data{}, ""
		b.withPIN(m, rightPIN)
		m.EntryMode = unionpay.NewEntryMode(unionpay.EntryStripe, true)
		if change != nil {
			change(m)
		}
		return m
	}
	b.expect(swipe(nil), issuer.Approved)
	b.expect(swipe(func(m *unionpay.FinancialRequest) { m.PINBlock = nil }), issuer.NoPINSwitchedOff)
	b.expect(swipe(func(m *unionpay.FinancialRequest) { b.withPIN(m, "111111").EntryMode = "021" }), issuer.PINWrong)
	b.expect(swipe(func(m *unionpay.FinancialRequest) { m.Track2 = pan.Track2{} }), issuer.ChipDataMismatch)
	b.expect(swipe(func(m *unionpay.FinancialRequest) { m.ICC.Set(emv.TagATC, []byte{0, 1}) }), issuer.StripeNotAllowed)
	b.expect(swipe(func(m *unionpay.FinancialRequest) {
		m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContactless, true)
	}), issuer.ChipDataMissing)
	b.restart(t, nil)
	b.expect(swipe(nil), issuer.Approved)
}

// adviceOf is what a terminal says about the last cryptogram of an approved payment.
func (b *chipBank) adviceOf(m *unionpay.FinancialRequest, last emv.Data) *unionpay.FinancialRequest {
	b.Helper()
	a := b.request(b.chip, m.Amount.Minor(), unionpay.ProcessingSale, unionpay.KindSale, last)
	a.Advice, a.Original = true, unionpay.OriginalOf(m)
	return a
}

func TestTheCardsLastWord(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.sale(5_000, "")
	last, _ := b.chip.finish(b.answer(m, issuer.Approved), false)
	rows := len(b.Rows())
	for range 2 {
		b.answer(b.adviceOf(m, last), issuer.AdviceNoted)
	}
	if len(b.Rows()) != rows {
		t.Error("agreement made rows")
	}
	b.wantHeld(5_000)

	m = b.sale(6_000, "")
	b.answer(m, issuer.Approved)
	last = b.chip.generate(emv.AAC, "05") // the terminal tells the card otherwise
	b.wantHeld(11_000)
	forged := last.Clone()
	forged.Set(emv.TagAC, []byte("forgery!"))
	b.answer(b.adviceOf(m, forged), issuer.CryptogramWrong)
	wrong := b.adviceOf(m, last)
	wrong.Original.STAN++
	b.answer(wrong, issuer.TypeNotPermitted)
	advice := b.adviceOf(m, last)
	b.answer(advice, issuer.CardDeclined)
	b.wantHeld(5_000)
	rows = len(b.Rows())
	b.answer(advice, issuer.CardDeclined) // again
	b.answer(b.adviceOf(m, last), issuer.AdviceNoted)
	if len(b.Rows()) != rows {
		t.Error("a repeat made rows")
	}
	b.expect(reversalOf(m, nil), issuer.ReversalNoEffect)
	b.wantHeld(5_000)
}

func (b *chipBank) waiting() int {
	c, _ := b.issuer.Card(1)
	return len(c.Waiting())
}

func TestScriptsWaitUntilTheyAreDone(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteAES)
	limit := issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F54, Value: []byte{0, 0, 0, 0, 0x77, 0x00}}
	b.order(limit, issuer.Script{Command: issuer.ScriptUnblockPIN})
	b.stan++
	tap := networktest.Adopt(b, b.chip.Issued, b.chip.chip)
	b.answer(networktest.AtSwitch(tap.Pay(b.stan, 100), acquirer, b.today()), issuer.Approved) // a tap reaches no chip
	if b.waiting() != 2 {
		t.Fatal("a tap carried them")
	}
	m := b.sale(100, "")
	b.chip.finish(b.answer(m, issuer.Approved), true) // torn
	if b.waiting() != 2 {
		t.Fatal("forgotten before their result")
	}
	m = b.sale(5_000_000, "") // declined, and carries them all the same
	answer := b.answer(m, issuer.AboveNoPINLimit)
	_, results := b.chip.finish(answer, false)
	if got := b.chip.chip.State().Applications[0].CumulativeLimit; got != 7_700 {
		t.Fatalf("limit %d, results %X", got, results)
	}
	stale := bytes.Clone(results)
	stale[3]++
	b.tell(m, stale) // of another payment
	if b.waiting() != 2 {
		t.Fatal("a stranger's result counts")
	}
	// The result may also come with the next payment.
	next := b.sale(100, "")
	next.ICC.Set(emv.TagScriptResults, results)
	b.answer(next, issuer.Approved)
	if b.waiting() != 0 {
		t.Errorf("%d wait", b.waiting())
	}
	b.tell(m, results) // late, and again
}

func TestARefusedScriptIsTriedAFewTimes(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	// The purse holds more than this limit, so that the card refuses it; the command behind it waits.
	b.order(issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F77, Value: []byte{0, 0, 0, 0, 0, 1}}, issuer.Script{Command: issuer.ScriptUnblockPIN})
	for try := range 3 {
		if b.waiting() != 2 {
			t.Fatalf("try %d: %d wait", try, b.waiting())
		}
		m := b.sale(100, "")
		_, results := b.chip.finish(b.answer(m, issuer.Approved), false)
		if results[0] != 0x11 {
			t.Fatalf("results %X", results)
		}
		b.tell(m, results)
	}
	m := b.sale(100, "")
	_, results := b.chip.finish(b.answer(m, issuer.Approved), false)
	b.tell(m, results)
	if results[0] != 0x20 || b.waiting() != 0 {
		t.Errorf("results %X, %d wait", results, b.waiting())
	}
}

func TestEveryScriptCommand(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteSM4)
	run := func(list ...issuer.Script) {
		t.Helper()
		b.order(list...)
		for range 8 {
			if b.waiting() == 0 {
				return
			}
			m := b.sale(100, "")
			_, results := b.chip.finish(b.answer(m, issuer.Approved), false)
			b.tell(m, results)
			if results[0] != 0x20 {
				t.Fatalf("results %X", results)
			}
		}
		t.Fatalf("%d still wait", b.waiting())
	}
	amount := []byte{0, 0, 0, 0x02, 0, 0}
	run(issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F54, Value: amount}, issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F5C, Value: amount},
		issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F58, Value: []byte{3}}, issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F59, Value: []byte{9}},
		issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F6D, Value: amount}, issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F77, Value: amount},
		issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F78, Value: amount}, issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F6B, Value: amount})
	state := b.chip.chip.State().Applications[0]
	if p := state.Purses[0]; p.BalanceLimit != 20_000 || p.SingleLimit != 20_000 || p.ResetThreshold != 20_000 || p.CVMLimit != 20_000 || state.CumulativeLimit != 20_000 {
		t.Errorf("card %+v", p)
	}
	b.order(issuer.Script{Command: issuer.ScriptBlockApplication}, issuer.Script{Command: issuer.ScriptUnblockApplication}, issuer.Script{Command: issuer.ScriptUnblockPIN})
	m := b.sale(100, "")
	_, results := b.chip.finish(b.answer(m, issuer.Approved), false)
	b.tell(m, results)
	b.order(issuer.Script{Command: issuer.ScriptBlockCard})
	m = b.sale(100, "")
	_, results = b.chip.finish(b.answer(m, issuer.Approved), false)
	if !b.chip.chip.State().Blocked {
		t.Errorf("not blocked: %X", results)
	}
}

func TestScriptsThatAreNone(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	many := make([]issuer.Script, 17)
	for at := range many {
		many[at] = issuer.Script{Command: issuer.ScriptUnblockPIN}
	}
	for name, list := range map[string][]issuer.Script{
		"unknown": {{Command: 99}}, "none": {{}}, "balance": {{Command: issuer.ScriptPutData, Tag: 0x9F79, Value: make([]byte, 6)}},
		"its own": {{Command: 6, Tag: 0x9F79, Value: make([]byte, 6)}}, "length": {{Command: issuer.ScriptPutData, Tag: 0x9F78, Value: []byte{1}}},
		"digits": {{Command: issuer.ScriptPutData, Tag: 0x9F78, Value: []byte{0, 0, 0, 0, 0, 0xAA}}}, "data": {{Command: issuer.ScriptBlockCard, Value: []byte{1}}},
		"ceiling": {{Command: issuer.ScriptPutData, Tag: 0x9F77, Value: []byte{0, 0, 0, 0x10, 0, 1}}}, "many": many,
	} {
		if _, refused := b.Command(issuer.Alter{Change: issuer.Change{Card: 1, Scripts: list}}).(error); !refused {
			t.Errorf("%s: taken", name)
		}
	}
	for _, auto := range []issuer.AutoLoad{{ThresholdMinor: 1}, {AmountMinor: 1}, {ThresholdMinor: -1, AmountMinor: 5}, {ThresholdMinor: 60_000, AmountMinor: 50_000}} {
		if _, refused := b.Command(issuer.Alter{Change: issuer.Change{Card: 1, AutoLoad: &auto}}).(error); !refused {
			t.Errorf("%+v: taken", auto)
		}
	}
	if reply := b.Command(issuer.Enrol{Enrolment: issuer.Enrolment{Card: 7, Fingerprint: issuer.Fingerprint{7}, Expiry: "3012", Currency: 156, Algorithms: []byte{1, 1}}}); reply == (issuer.Done{}) {
		t.Error("an algorithm twice is taken")
	}
	for _, row := range b.Rows() {
		if row.Kind == journal.CardChanged && !json.Valid(row.Note) {
			t.Error("a change is not JSON")
		}
	}
}
