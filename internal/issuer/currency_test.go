package issuer_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// newDualBank is a bank with a dual-currency card: 20.00 and 5,000.00 in the second one, on the chip and on the account.
func newDualBank(t testing.TB) *chipBank {
	t.Helper()
	b := newChipBank(t, cryptogram.SuiteTDES, func(e *issuer.Enrolment) { e.Card = 9 })
	_, issued := cardtest.New(t, cardtest.Options{PAN: "6299990000000002", Balance: 8_750, Contact: true, Change: func(image *card.Image) {
		a, s := &image.Applications[0], &image.State.Applications[0]
		s.Purses[0].BalanceLimit = 100_000
		a.SecondCurrency = money.HKD
		s.Purses[1] = card.Purse{Balance: 2_000, BalanceLimit: 100_000, SingleLimit: 50_000}
		a.Objects.Set(emv.TagDefaultAction, []byte{0, 0})
		a.Contact.Checks = 0
	}})
	c, err := card.New(&issued.Image, issued.Crypto, card.NewVolatile(issued.Image.State), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b.chip = &chipCard{TB: t, Issued: issued, chip: c, abroad: true}
	b.enrolChip(b.chip, 1, func(e *issuer.Enrolment) {
		e.Second = &issuer.SecondPurse{Currency: 344, OpeningMinor: 500_000, PurseMinor: 2_000}
	})
	return b
}

func (b *chipBank) abroad(account, shadow int64) {
	b.Helper()
	if x, y := b.issuer.Second(1); x != account || y != shadow {
		b.Fatalf("%d on the account and %d in the shadow account of the second currency, want %d and %d", x, y, account, shadow)
	}
}

func (c *chipCard) secondPurse() int64 { return c.chip.State().Applications[0].Purses[1].Balance }

// spend pays from the purse by contact, and gives the upload.
func (b *chipBank) spend(minor int64) *unionpay.FinancialRequest {
	b.Helper()
	b.chip.cash = true
	m := b.request(b.chip, minor, unionpay.ProcessingSale, unionpay.KindOfflineUpload, b.chip.insert(minor, 0, ""))
	b.chip.cash = false
	m.Condition = unionpay.ConditionNormal
	m.ICC.Set(emv.TagECAuthCode, []byte("ECC001"))
	return m
}

func TestTheSecondPurseLivesByItself(t *testing.T) {
	b := newDualBank(t)
	b.abroad(500_000, 2_000)
	m := b.loadFor(10_000, rightPIN)
	_, results := b.chip.finish(b.answer(m, issuer.LoadHeld), false)
	b.abroad(490_000, 2_000)
	b.tell(m, results)
	b.abroad(490_000, 12_000)
	if b.chip.secondPurse() != 12_000 || b.chip.purse() != 8_750 {
		t.Fatalf("%d and %d on the chip, results %X", b.chip.secondPurse(), b.chip.purse(), results)
	}
	pay := b.spend(3_000)
	b.answer(pay, issuer.PurseAccepted)
	b.answer(b.spend(500), issuer.PurseAccepted)
	b.abroad(490_000, 8_500)
	b.wantMoney(1_000_000, 8_750, 0) // the first currency has seen nothing

	other := b.offlineRefund(pay, 3_000)
	other.Amount = moneyOf(3_000)
	b.answer(other, issuer.CurrencyNotPermitted)
	refund := b.offlineRefund(pay, 1_000)
	refund.Amount = money.New(1_000, money.HKD)
	b.answer(refund, issuer.RefundDone)
	b.abroad(491_000, 8_500)

	// The first purse is loaded as ever.
	b.chip.abroad = false
	m = b.loadFor(1_000, rightPIN)
	_, results = b.chip.finish(b.answer(m, issuer.LoadHeld), false)
	b.tell(m, results)
	b.wantMoney(999_000, 9_750, 0)
	b.abroad(491_000, 8_500)
}

func TestLimitsOfTheSecondCurrency(t *testing.T) {
	b := newDualBank(t)
	b.answer(b.loadFor(98_001, rightPIN), issuer.PurseFull)
	b.answer(b.loadFor(100, ""), issuer.LoadNeedsPIN)
	b.answer(b.sale(100, ""), issuer.CurrencyNotPermitted) // there is a purse in it, and no more
	foreign := b.loadFor(100, rightPIN)
	foreign.Amount = money.New(100, money.MOP)
	b.answer(foreign, issuer.CurrencyNotPermitted)
	for range 5 {
		m := b.loadFor(90_000, rightPIN)
		_, results := b.chip.finish(b.answer(m, issuer.LoadHeld), false)
		b.tell(m, results)
		for range 2 {
			b.answer(b.spend(45_000), issuer.PurseAccepted)
		}
	}
	b.answer(b.loadFor(50_001, rightPIN), issuer.NotEnoughMoney)
	b.abroad(50_000, 2_000)
	b.order(issuer.Script{Command: issuer.ScriptPutData, Tag: uint16(emv.TagSecondSingleLimit), Value: []byte{0, 0, 0, 0, 0x12, 0x34}})
	b.chip.abroad = false
	m := b.sale(100, "")
	b.chip.finish(b.answer(m, issuer.Approved), false)
	if got := b.chip.chip.State().Applications[0].Purses[1].SingleLimit; got != 1_234 {
		t.Errorf("single limit %d", got)
	}
	if err := b.Command(issuer.Alter{Change: issuer.Change{Card: 1, Scripts: []issuer.Script{
		{Command: issuer.ScriptPutData, Tag: uint16(emv.TagSecondBalanceLimit), Value: []byte{0, 0, 0, 0x10, 0, 1}}}}}); err == (issuer.Done{}) {
		t.Error("a purse may hold more than one may")
	}
}

// A load that nobody reports is settled by the balance of its purse, or by the commands that the card counts, whatever the next payment is about.
func TestAnUnknownLoadOfTheSecondPurse(t *testing.T) {
	for name, torn := range map[string]bool{"loaded": false, "not loaded": true, "loaded, seen with the other purse": false, "not loaded, seen with the other purse": true} {
		t.Run(name, func(t *testing.T) {
			b := newDualBank(t)
			b.chip.finish(b.answer(b.loadFor(10_000, rightPIN), issuer.LoadHeld), torn)
			b.abroad(490_000, 2_000)
			b.restart(t, nil)
			if strings.Contains(name, "other") {
				b.chip.abroad = false
				b.chip.finish(b.answer(b.sale(100, ""), issuer.Approved), true)
				if c, _ := b.issuer.Card(1); c.InDoubt() != 0 {
					t.Errorf("%d in doubt", c.InDoubt())
				}
			}
			b.chip.abroad = true
			b.answer(b.spend(700), issuer.PurseAccepted)
			if torn {
				b.abroad(500_000, 1_300)
			} else {
				b.abroad(490_000, 11_300)
			}
			if _, shadow := b.issuer.Second(1); shadow != b.chip.secondPurse() {
				t.Errorf("shadow %d, chip %d", shadow, b.chip.secondPurse())
			}
		})
	}
}

func TestBothPursesAreUnloadedAndPaidOut(t *testing.T) {
	b := newDualBank(t)
	late := b.spend(400)
	unload := func(minor int64) {
		m := b.request(b.chip, minor, unionpay.ProcessingUnload, unionpay.KindUnload, b.chip.insert(minor, 0x17, ""))
		_, results := b.chip.finish(b.answer(m, issuer.UnloadHeld), false)
		b.tell(m, results)
	}
	unload(1_600)
	if b.chip.secondPurse() != 0 {
		t.Fatalf("%d on the chip", b.chip.secondPurse())
	}
	b.answer(b.loadFor(100, rightPIN), issuer.PurseEmptied)
	b.chip.abroad = false
	unload(8_750)
	b.restart(t, nil)
	if reply := b.Command(issuer.PayOut{Card: 1}); reply == (issuer.Done{}) {
		t.Error("paid out at once")
	}
	b.answer(late, issuer.PurseAccepted)
	b.Clock.Advance(11 * 24 * time.Hour)
	if reply := b.Command(issuer.PayOut{Card: 1}); reply != (issuer.Done{}) {
		t.Fatal(reply)
	}
	b.abroad(501_600, 0)
	b.wantMoney(1_008_750, 0, 0)
	if c, _ := b.issuer.Card(1); c.Status != issuer.Closed {
		t.Errorf("the card is %s", c.Status.Term().EN)
	}
}

// TestTheSecondCurrencyReplaysAtEveryRow stops the bank after every row, and runs it with next to no memory.
func TestTheSecondCurrencyReplaysAtEveryRow(t *testing.T) {
	b := newDualBank(t)
	tiny := issuer.Capacity{Cards: 1, Payments: 1, SliceRows: 1}
	other := newChip(t, "6299990000000003", cryptogram.SuiteTDES, 8_750)
	b.enrolChip(other, 2)
	b.restart(t, &tiny)
	for range 3 {
		m := b.loadFor(5_000, rightPIN)
		_, results := b.chip.finish(b.answer(m, issuer.LoadHeld), false)
		for range 3 {
			b.answer(b.request(other, 100, unionpay.ProcessingSale, unionpay.KindSale, other.insert(100, 0, "")), issuer.Approved)
		}
		b.restart(t, &tiny)
		b.tell(m, results)
		b.answer(b.spend(300), issuer.PurseAccepted)
		b.restart(t, &tiny)
	}
	b.abroad(485_000, 2_000+15_000-900)
	for n := range len(b.Rows()) + 1 {
		rebuilt := newIssuer(t, b.hsm)
		b.rigOn(rebuilt, n)
		if err := rebuilt.Book().Audit(); err != nil {
			t.Fatalf("after row %d: %v", n, err)
		}
		if n == len(b.Rows()) {
			if x, y := rebuilt.Second(1); x != 485_000 || y != 16_100 {
				t.Errorf("%d and %d after replay", x, y)
			}
		}
	}
	for _, r := range b.Rows() {
		if r.Kind == journal.Posted && r.Currency == 344 && r.Debit != issuer.FundingIn(344) {
			t.Errorf("opening money comes from %s", issuer.AccountName(r.Debit))
		}
	}
}

func TestASecondCurrencyThatIsNone(t *testing.T) {
	b := newChipBank(t, cryptogram.SuiteTDES)
	for name, second := range map[string]issuer.SecondPurse{
		"the first again": {Currency: 156}, "none": {}, "out of range": {Currency: 1000}, "less than nothing": {Currency: 344, PurseMinor: -1},
	} {
		if reply := b.Command(issuer.Enrol{Enrolment: issuer.Enrolment{Card: 3, Fingerprint: issuer.Fingerprint{3}, Expiry: "3012", Currency: 156, Second: &second}}); reply == (issuer.Done{}) {
			t.Errorf("%s: enrolled", name)
		}
	}
}
