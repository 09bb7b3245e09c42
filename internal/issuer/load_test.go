package issuer_test

import (
	"bytes"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

func (b *chipBank) wantMoney(available, shadow, inDoubt int64) {
	b.Helper()
	c, _ := b.issuer.Card(1)
	if got := b.issuer.Available(1); got != available {
		b.Fatalf("%d on the account, want %d", got, available)
	}
	if got := b.shadow(); got != shadow {
		b.Fatalf("%d in the shadow account, want %d", got, shadow)
	}
	if got := c.InDoubt(); got != inDoubt {
		b.Fatalf("%d in doubt, want %d", got, inDoubt)
	}
}

func TestEverySuiteEndToEnd(t *testing.T) {
	for _, suite := range []cryptogram.Suite{cryptogram.SuiteTDES, cryptogram.SuiteSM4, cryptogram.SuiteAES} {
		t.Run(suite.Name(), func(t *testing.T) {
			b := newChipBank(t, suite)
			b.order(issuer.Script{Command: issuer.ScriptPutData, Tag: 0x9F78, Value: []byte{0, 0, 0, 0x01, 0x23, 0x00}})
			m := b.sale(29_900, "")
			answer := b.answer(m, issuer.Approved)
			_, results := b.chip.finish(answer, false) // the card checks the answer's cryptogram and the script's MAC
			if got := b.chip.chip.State().Applications[0].Purses[0].SingleLimit; got != 12_300 {
				t.Fatalf("single limit %d: results %X", got, results)
			}
			b.tell(m, results)
			m = b.loadFor(10_000, rightPIN)
			answer = b.answer(m, issuer.LoadHeld)
			_, results = b.chip.finish(answer, false)
			b.tell(m, results)
			if b.chip.purse() != 18_750 {
				t.Fatalf("%d on the chip", b.chip.purse())
			}
			b.wantMoney(1_000_000-29_900-10_000, 18_750, 0)
		})
	}
}

func TestACardUsesItsOwnSuiteOnly(t *testing.T) {
	for _, enrolled := range [][]byte{nil, {cryptogram.AlgorithmAES}, {cryptogram.AlgorithmTDES, cryptogram.AlgorithmAES}} {
		b := newChipBank(t, cryptogram.SuiteSM4, func(e *issuer.Enrolment) { e.Algorithms = enrolled })
		b.answer(b.sale(100, ""), issuer.CryptogramWrong)
	}
	b := newChipBank(t, cryptogram.SuiteSM4, func(e *issuer.Enrolment) { e.Algorithms = []byte{cryptogram.AlgorithmTDES, cryptogram.AlgorithmSM4} })
	b.answer(b.sale(100, ""), issuer.Approved)
}

func (b *chipBank) order(list ...issuer.Script) {
	b.Helper()
	b.alter(issuer.Change{Card: 1, Scripts: list})
}

func TestLoadHappens(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.loadFor(20_000, rightPIN)
	answer := b.answer(m, issuer.LoadHeld)
	b.wantMoney(980_000, 8_750, 20_000)
	if len(answer.AuthCode) != 6 || len(answer.ICC.Bytes()) > 255 {
		t.Errorf("answer %+v", answer)
	}
	again := b.answer(m, issuer.LoadHeld)
	if !bytes.Equal(again.ICC.Bytes(), answer.ICC.Bytes()) {
		t.Error("a repeat carries another script")
	}
	_, results := b.chip.finish(answer, false)
	b.tell(m, results)
	b.wantMoney(980_000, 28_750, 0)
	rows := len(b.Rows())
	b.tell(m, results) // twice
	if len(b.Rows()) != rows {
		t.Error("the second notice made rows")
	}
	b.answer(b.sale(100, ""), issuer.Approved)
	b.wantMoney(979_900, 28_750, 0)
	if last := b.answer(m, issuer.LoadHeld); !bytes.Equal(last.ICC.Bytes(), answer.ICC.Bytes()) {
		t.Error("a late repeat carries another script")
	}
}

func TestLoadsAreRefused(t *testing.T) {
	lost := issuer.Lost
	for _, c := range []struct {
		reason  issuer.Reason
		minor   int64
		prepare func(*chipBank, *unionpay.FinancialRequest)
	}{
		{issuer.LoadNeedsPIN, 100, func(b *chipBank, m *unionpay.FinancialRequest) { m.PINBlock = nil }},
		{issuer.PINWrong, 100, func(b *chipBank, m *unionpay.FinancialRequest) { b.withPIN(m, wrongPIN); m.EntryMode = "051" }},
		{issuer.PurseFull, 100_000 - 8_750 + 1, func(*chipBank, *unionpay.FinancialRequest) {}},
		{issuer.ScriptOutOfReach, 100, func(_ *chipBank, m *unionpay.FinancialRequest) { m.EntryMode = "071" }},
		{issuer.CardLost, 100, func(b *chipBank, _ *unionpay.FinancialRequest) { b.alter(issuer.Change{Card: 1, Status: &lost}) }},
		{issuer.NotEnoughMoney, 50_000, func(b *chipBank, _ *unionpay.FinancialRequest) {
			b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{}})
			b.answer(b.withPINByContact(b.sale(980_000, "")), issuer.Approved)
		}},
		{issuer.ChipDataMismatch, 100, func(_ *chipBank, m *unionpay.FinancialRequest) { m.Amount = moneyOf(101) }},
		{issuer.CryptogramWrong, 100, func(_ *chipBank, m *unionpay.FinancialRequest) { m.CardSequence = "002" }},
		{issuer.NothingToVoid, 100, func(_ *chipBank, m *unionpay.FinancialRequest) { m.Processing = unionpay.ProcessingLoadCashCancel }},
		{issuer.PurseTooLow, 100, func(_ *chipBank, m *unionpay.FinancialRequest) { m.Processing = unionpay.ProcessingUnload }},
	} {
		b := newChipBank(t, cryptogram.SuiteTDES)
		t.Log(c.reason)
		var m *unionpay.FinancialRequest
		if c.reason == issuer.NotEnoughMoney {
			c.prepare(b, nil)
			m = b.loadFor(c.minor, rightPIN)
		} else {
			m = b.loadFor(c.minor, rightPIN)
			c.prepare(b, m)
		}
		answer := b.answer(m, c.reason)
		if issuer.Reason(b.LastRow().Reason) != c.reason {
			t.Errorf("reason %q", issuer.Reason(b.LastRow().Reason))
		}
		if len(answer.ICC.Get(0x72)) != 0 || b.shadow() != 8_750 {
			t.Errorf("%s loads all the same", c.reason)
		}
	}
}

func (b *chipBank) withPINByContact(m *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	b.withPIN(m, rightPIN)
	m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContact, true)
	return m
}

// The outcome of a load that nobody reports is known from the card's next cryptogram.
func TestAnUnknownLoadIsSettledByTheNextCryptogram(t *testing.T) {
	for name, torn := range map[string]bool{"loaded": false, "not loaded": true} {
		for _, tap := range []bool{false, true} {
			b := newChipBank(t, cryptogram.SuiteTDES)
			t.Log(name, tap)
			answer := b.answer(b.loadFor(20_000, rightPIN), issuer.LoadHeld)
			b.chip.finish(answer, torn)
			b.wantMoney(980_000, 8_750, 20_000)
			b.restart(t, nil)
			if tap {
				b.offlineTap(500)
			} else {
				b.answer(b.sale(500, ""), issuer.Approved)
			}
			paid, spent := int64(500), int64(0)
			if tap {
				paid, spent = 0, 500
			}
			if torn {
				b.wantMoney(1_000_000-paid, 8_750-spent, 0)
			} else {
				b.wantMoney(980_000-paid, 28_750-spent, 0)
			}
		}
	}
}

// offlineTap pays from the purse without contacts and uploads it.
func (b *chipBank) offlineTap(minor int64) {
	b.Helper()
	b.stan++
	m := b.tapOffline(minor)
	b.answer(m, issuer.PurseAccepted)
}

// The balance alone cannot tell when as much was spent as was loaded: the card's own count of scripts does.
func TestALoadThatWasSpentIsStillKnown(t *testing.T) {
	for name, torn := range map[string]bool{"loaded": false, "not loaded": true} {
		b := newChipBank(t, cryptogram.SuiteTDES)
		t.Log(name)
		b.chip.finish(b.answer(b.loadFor(5_000, rightPIN), issuer.LoadHeld), torn)
		spent := b.tapOffline(6_000) // not uploaded yet
		b.answer(b.sale(500, ""), issuer.Approved)
		want := int64(13_750)
		if torn {
			want = 8_750
		}
		if got := b.shadow(); got != want {
			t.Errorf("shadow %d, want %d", got, want)
		}
		b.answer(spent, issuer.PurseAccepted)
		if got := b.shadow(); got != b.chip.purse() {
			t.Errorf("shadow %d, chip %d", got, b.chip.purse())
		}
	}
}

func TestATerminalsWordIsPutRight(t *testing.T) {
	for _, c := range []struct {
		torn   bool
		status byte // what the terminal claims
	}{{true, 0x20}, {false, 0x11}, {false, 0x00}} {
		b := newChipBank(t, cryptogram.SuiteTDES)
		m := b.loadFor(20_000, rightPIN)
		answer := b.answer(m, issuer.LoadHeld)
		b.chip.finish(answer, c.torn)
		id := answer.ICC.Get(0x72)[3:7]
		b.tell(m, append([]byte{c.status}, id...))
		b.answer(b.sale(500, ""), issuer.Approved)
		if got := b.shadow(); got != b.chip.purse() {
			t.Errorf("%X: shadow %d, chip %d", c.status, got, b.chip.purse())
		}
		if c.torn {
			b.wantMoney(999_500, 8_750, 0)
		} else {
			b.wantMoney(979_500, 28_750, 0)
		}
	}
}

func TestAReversalReleasesALoad(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.loadFor(20_000, rightPIN)
	b.answer(m, issuer.LoadHeld) // never arrives
	b.expect(reversalOf(m, nil), issuer.ReversalDone)
	b.wantMoney(1_000_000, 8_750, 0)
	m = b.loadFor(20_000, rightPIN)
	answer := b.answer(m, issuer.LoadHeld)
	_, results := b.chip.finish(answer, false)
	b.expect(reversalOf(m, results), issuer.ReversalNoEffect) // the terminal has the card's word
	b.wantMoney(980_000, 28_750, 0)
}

func TestCashLoadAndItsVoid(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.request(b.chip, 5_000, unionpay.ProcessingLoadCash, unionpay.KindLoadCash, b.chip.insert(5_000, 0x63, ""))
	_, results := b.chip.finish(b.answer(m, issuer.LoadCashHeld), false)
	b.tell(m, results)
	b.wantMoney(1_000_000, 13_750, 0)
	void := func() *unionpay.FinancialRequest {
		v := b.request(b.chip, 5_000, unionpay.ProcessingLoadCashCancel, unionpay.KindLoadCashCancel, b.chip.insert(5_000, 0x17, ""))
		v.Original = unionpay.OriginalOf(m)
		return v
	}
	first := void()
	b.answer(first, issuer.LoadCashVoidHeld) // never arrives
	b.expect(reversalOf(first, nil), issuer.ReversalDone)
	b.wantMoney(1_000_000, 13_750, 0)
	second := void()
	_, results = b.chip.finish(b.answer(second, issuer.LoadCashVoidHeld), false)
	b.tell(second, results)
	b.wantMoney(1_000_000, 8_750, 0)
	if b.chip.purse() != 8_750 {
		t.Errorf("chip %d", b.chip.purse())
	}
	b.answer(void(), issuer.NothingToVoid)
	if got := b.issuer.Book().Balance(issuer.AccountScheme); got.CreditsPosted != got.DebitsPosted {
		t.Errorf("scheme %+v", got)
	}
}

func TestLoadFromAnotherAccount(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	payer := newChip(t, "629999100000002", cryptogram.SuiteTDES, 100)
	b.enrolChip(payer, 2)
	load := func(pin string) *unionpay.FinancialRequest {
		m := b.request(b.chip, 7_000, unionpay.ProcessingLoadOther, unionpay.KindLoadOther, b.chip.insert(7_000, 0x62, ""))
		m.PAN, m.Track2, m.Additional = payer.PAN, payer.Image.Applications[0].Track2, unionpay.NewLoadTarget(b.chip.PAN)
		b.withPIN(m, pin)
		m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContact, true)
		return m
	}
	b.answer(load(wrongPIN), issuer.PayerPINWrong)
	if c, _ := b.issuer.Card(2); c.Tries != 2 {
		t.Errorf("%d tries", c.Tries)
	}
	m := load(rightPIN)
	_, results := b.chip.finish(b.answer(m, issuer.LoadOtherHeld), false)
	if c, _ := b.issuer.Card(2); c.Tries != 3 {
		t.Errorf("%d tries", c.Tries)
	}
	b.tell(m, results)
	b.wantMoney(1_000_000, 15_750, 0)
	if got := b.issuer.Available(2); got != 993_000 {
		t.Errorf("payer has %d", got)
	}
	m = load(rightPIN)
	m.Additional = unionpay.NewLoadTarget(strange)
	b.answer(m, issuer.UnknownCard)
	m = load(rightPIN)
	m.PAN = strange
	m.Track2 = pan.Track2{}
	b.answer(m, issuer.PayerUnknown)
}

func TestAutomaticLoad(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.alter(issuer.Change{Card: 1, AutoLoad: &issuer.AutoLoad{ThresholdMinor: 10_000, AmountMinor: 30_000}})
	m := b.sale(500, "")
	answer := b.answer(m, issuer.Approved)
	b.wantMoney(1_000_000-500-30_000, 8_750, 30_000)
	_, results := b.chip.finish(answer, false)
	b.tell(m, results)
	b.wantMoney(1_000_000-500-30_000, 38_750, 0)
	if b.chip.purse() != 38_750 {
		t.Errorf("chip %d", b.chip.purse())
	}
	if answer := b.answer(b.sale(500, ""), issuer.Approved); len(answer.ICC.Get(0x72)) != 0 {
		t.Error("a full purse is loaded")
	}
}

func TestAReversedPaymentTakesItsAutomaticLoadWithIt(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	b.alter(issuer.Change{Card: 1, AutoLoad: &issuer.AutoLoad{ThresholdMinor: 10_000, AmountMinor: 30_000}})
	m := b.sale(500, "")
	b.answer(m, issuer.Approved)
	b.expect(reversalOf(m, nil), issuer.ReversalDone)
	b.wantMoney(1_000_000, 8_750, 0)
}

func TestUnloadIsPaidOutAfterTheWindow(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	late := b.tapOffline(750)
	m := b.request(b.chip, 8_000, unionpay.ProcessingUnload, unionpay.KindUnload, b.chip.insert(8_000, 0x17, ""))
	_, results := b.chip.finish(b.answer(m, issuer.UnloadHeld), false)
	b.tell(m, results)
	if b.chip.purse() != 0 {
		t.Fatalf("chip %d", b.chip.purse())
	}
	b.wantMoney(1_000_000, 8_750, 0)
	if _, refused := b.Command(issuer.PayOut{Card: 1}).(error); !refused {
		t.Error("paid out before the window has passed")
	}
	b.answer(b.loadFor(100, rightPIN), issuer.PurseEmptied)
	b.answer(late, issuer.PurseAccepted)
	b.Clock.Advance(10 * 24 * time.Hour)
	if reply := b.Command(issuer.PayOut{Card: 1}); reply != (issuer.Done{}) {
		t.Fatal(reply)
	}
	b.wantMoney(1_008_000, 0, 0)
	if c, _ := b.issuer.Card(1); c.Status != issuer.Closed {
		t.Errorf("card is %s", c.Status.Term().EN)
	}
	if _, refused := b.Command(issuer.PayOut{Card: 1}).(error); !refused {
		t.Error("paid out twice")
	}
	b.audit()
}

func TestAReversedUnloadThatHappenedIsPaidAllTheSame(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.request(b.chip, 8_750, unionpay.ProcessingUnload, unionpay.KindUnload, b.chip.insert(8_750, 0x17, ""))
	b.chip.finish(b.answer(m, issuer.UnloadHeld), false)
	b.expect(reversalOf(m, nil), issuer.ReversalDone)
	b.wantMoney(1_000_000, 8_750, 0)
	b.answer(b.sale(100, ""), issuer.Approved)
	b.wantMoney(1_008_650, 0, 0)
}

// An unload that nobody reported is known from the next cryptogram, and so is one that the terminal only claimed.
func TestAnUnknownUnloadIsSettled(t *testing.T) {
	for _, torn := range []bool{false, true} {
		for _, claimed := range []bool{false, true} {
			b := newChipBank(t, cryptogram.SuiteTDES)
			m := b.request(b.chip, 8_750, unionpay.ProcessingUnload, unionpay.KindUnload, b.chip.insert(8_750, 0x17, ""))
			answer := b.answer(m, issuer.UnloadHeld)
			b.chip.finish(answer, torn)
			if claimed {
				b.tell(m, append([]byte{0x20}, answer.ICC.Get(0x72)[3:7]...))
			}
			b.answer(b.sale(100, ""), issuer.Approved)
			b.Clock.Advance(10 * 24 * time.Hour)
			if _, refused := b.Command(issuer.PayOut{Card: 1}).(error); refused != torn {
				t.Errorf("torn %t, claimed %t: refused %t", torn, claimed, refused)
			}
			b.audit()
		}
	}
}

func TestALostCardsPurseCannotBeBlocked(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	report, ok := b.Command(issuer.ReportLoss{Card: 1}).(issuer.LossReport)
	if !ok || report.Status != issuer.Lost || report.Purse != issuer.PurseCannotBeBlocked || report.PurseMinor != 8_750 || report.Purse.Term().ZH == "" {
		t.Fatalf("report %+v", report)
	}
	b.answer(b.sale(100, ""), issuer.CardLost)
	b.offlineTap(100) // whoever has the card spends it
	b.wantMoney(1_000_000, 8_650, 0)
	if _, refused := b.Command(issuer.ReportLoss{Card: 9}).(error); !refused {
		t.Error("an unknown card is reported")
	}
}

// TestLoadsReplayAtEveryRow stops the bank after every row: what it has says the same.
func TestLoadsReplayAtEveryRow(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteSM4)
	b.order(issuer.Script{Command: issuer.ScriptUnblockPIN})
	sale := b.sale(500, "")
	_, results := b.chip.finish(b.answer(sale, issuer.Approved), false)
	b.tell(sale, results)
	first, second := b.loadFor(20_000, rightPIN), (*unionpay.FinancialRequest)(nil)
	b.chip.finish(b.answer(first, issuer.LoadHeld), false)
	second = b.loadFor(10_000, rightPIN)
	b.chip.finish(b.answer(second, issuer.LoadHeld), true)
	b.answer(b.sale(100, ""), issuer.Approved)
	kinds := map[journal.Kind]bool{}
	for _, r := range b.Rows() {
		kinds[r.Kind] = true
	}
	for _, k := range []journal.Kind{journal.Held, journal.Loaded, journal.Voided, journal.ScriptReported} {
		if !kinds[k] {
			t.Errorf("no row %s", k)
		}
	}
	digest, answer := b.issuer.Book().Digest(), b.answer(second, issuer.LoadHeld)
	for n := range len(b.Rows()) + 1 {
		rebuilt := newIssuer(t, b.hsm)
		rig := b.rigOn(rebuilt, n)
		if err := rebuilt.Book().Audit(); err != nil {
			t.Fatalf("after row %d: %v", n, err)
		}
		if n == len(b.Rows()) {
			if rebuilt.Book().Digest() != digest {
				t.Error("the books differ after replay")
			}
			again := rig.Answer(theSwitch, second).Message.(*unionpay.FinancialResponse)
			if !bytes.Equal(again.ICC.Bytes(), answer.ICC.Bytes()) {
				t.Error("the repeat is answered otherwise after replay")
			}
		}
	}
}

// An unloaded purse stays unloaded, whatever the card does meanwhile: only money on the chip says otherwise.
func TestAnEmptiedPurseStaysEmptied(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	m := b.request(b.chip, 8_750, unionpay.ProcessingUnload, unionpay.KindUnload, b.chip.insert(8_750, 0x17, ""))
	_, results := b.chip.finish(b.answer(m, issuer.UnloadHeld), false)
	b.tell(m, results)
	for range 3 {
		b.chip.finish(b.answer(b.sale(100, ""), issuer.Approved), false)
	}
	b.answer(b.loadFor(100, rightPIN), issuer.PurseEmptied)
	b.Clock.Advance(11 * 24 * time.Hour)
	if reply := b.Command(issuer.PayOut{Card: 1}); reply != (issuer.Done{}) {
		t.Fatal(reply)
	}
	if got := b.issuer.Available(1); got != 1_000_000-300+8_750 || b.shadow() != 0 {
		t.Errorf("%d on the account, %d in the shadow account", got, b.shadow())
	}
}

// A host that answers for the bank makes the card forget its scripts: that proves nothing about the load before.
func TestAForgetfulCardProvesNothing(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	answer := b.answer(b.loadFor(2_000, rightPIN), issuer.LoadHeld)
	b.chip.finish(answer, false) // nobody tells the bank
	b.chip.insert(100, 0, "")
	b.chip.generate(emv.AAC, "96") // the network, without the bank's cryptogram
	pay := b.tapOffline(9_000)
	b.answer(b.sale(100, ""), issuer.Approved)
	b.wantMoney(1_000_000-2_000-100, 8_750, 2_000)
	b.answer(pay, issuer.PurseAccepted)
	b.chip.finish(b.answer(b.sale(100, ""), issuer.Approved), false)
	b.wantMoney(1_000_000-2_000-200, 10_750-9_000, 0)
}

func TestAnOfflinePaymentIsRefundedUpToItsAmount(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	pay := b.tapOffline(3_000)
	b.answer(pay, issuer.PurseAccepted)
	refund := func(minor int64) *unionpay.FinancialRequest {
		b.stan++
		p := pay.Payment
		p.STAN, p.Processing, p.Amount, p.Info.MessageType, p.ICC = b.stan, unionpay.ProcessingVoid, moneyOf(minor), unionpay.KindOfflineRefund, emv.Data{}
		p.Original = unionpay.OriginalOf(pay)
		return &unionpay.FinancialRequest{Payment: p, Advice: true}
	}
	b.answer(refund(3_001), issuer.RefundTooHigh)
	first := refund(1_000)
	b.answer(first, issuer.RefundDone)
	b.answer(first, issuer.RefundDone) // again
	b.answer(refund(2_001), issuer.RefundTooHigh)
	b.answer(refund(2_000), issuer.RefundDone)
	b.answer(refund(1), issuer.NothingToRefund)
	b.wantMoney(1_003_000, 8_750-3_000, 0)
	unknown := refund(500)
	unknown.Original.STAN++
	b.answer(unknown, issuer.NothingToRefund)
	role := newIssuer(b, b.hsm)
	b.rigOn(role, len(b.Rows()))
	if got := role.Available(1); got != 1_003_000 {
		t.Errorf("a restart leaves %d", got)
	}
}
