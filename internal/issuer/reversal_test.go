package issuer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

func moneyOf(minor int64) money.Amount { return money.New(minor, money.CNY) }

var strange = func() pan.Number {
	n, err := pan.CompleteLuhn("629999100000077")
	if err != nil {
		panic(err)
	}
	return n
}()

func (b *bank) alter(change issuer.Change) {
	b.Helper()
	if reply := b.Command(issuer.Alter{Change: change}); reply != (issuer.Done{}) {
		b.Fatalf("alter: %v", reply)
	}
}

func TestReversalReleasesTheHoldOnce(t *testing.T) {
	b := newBank(t)
	m := b.pay(29_900)
	b.expect(m, issuer.Approved)
	b.wantHeld(29_900)
	first := b.expect(networktest.ReversalAtSwitch(m), issuer.ReversalDone)
	b.wantHeld(0)
	if again := b.Answer(theSwitch, networktest.ReversalAtSwitch(m)); !bytes.Equal(first.Bytes, again.Bytes) {
		t.Error("a repeated reversal gets another answer")
	}
	// The switch's own reversal of the same payment has another key and moves nothing.
	other := networktest.ReversalAtSwitch(m)
	other.Forwarder = theSwitch
	b.expect(other, issuer.ReversalNoEffect)
	b.wantHeld(0)
	changed := networktest.ReversalAtSwitch(m)
	changed.Amount = moneyOf(1)
	if sent := b.Answer(theSwitch, changed); unionpay.PaymentOf(sent.Message).Response != "94" {
		t.Error("same key, other content is not refused")
	}
	b.wantHeld(0)
}

func TestReversalBeforeTheOriginal(t *testing.T) {
	b := newBank(t)
	m := b.pay(29_900)
	b.expect(networktest.ReversalAtSwitch(m), issuer.ReversalEarly)
	other := networktest.ReversalAtSwitch(m)
	other.Forwarder = theSwitch
	b.expect(other, issuer.ReversalNoEffect)
	for range 2 {
		if sent := b.Answer(theSwitch, m); unionpay.PaymentOf(sent.Message).Response != "68" {
			t.Fatalf("the late original is answered %s", unionpay.PaymentOf(sent.Message).Response)
		}
		b.wantHeld(0)
	}
	b.audit()
}

func TestReversalOfADeclineMovesNothing(t *testing.T) {
	b := newBank(t)
	m := b.pay(100_001)
	b.expect(m, issuer.AboveNoPINLimit)
	b.expect(networktest.ReversalAtSwitch(m), issuer.ReversalNoEffect)
	b.wantHeld(0)
}

func TestReversalOfAnOfflinePaymentMovesNothing(t *testing.T) {
	b := newBank(t)
	m := b.offline(700)
	b.expect(m, issuer.PurseAccepted)
	b.expect(networktest.ReversalAtSwitch(m), issuer.ReversalNoEffect)
	if got := b.issuer.Book().Balance(issuer.AccountScheme).CreditsPosted; got != 700 {
		t.Errorf("the scheme has %d", got)
	}
}

func TestAReversalGivesTheLimitsBack(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) {
		e.Limits = issuer.Limits{DayMinor: 60_000, DayCount: 1, NoPINDayMinor: 60_000}
	})
	m := b.pay(60_000)
	b.expect(m, issuer.Approved)
	b.expect(b.pay(1), issuer.AboveNoPINLimit)
	b.expect(networktest.ReversalAtSwitch(m), issuer.ReversalDone)
	b.expect(b.pay(60_000), issuer.Approved)
}

func TestUploadsComeLateAndOutOfOrder(t *testing.T) {
	b := newBank(t)
	var uploads []*unionpay.FinancialRequest
	for range 4 {
		uploads = append(uploads, b.offline(500))
	}
	online := b.pay(900)
	b.expect(online, issuer.Approved)
	for _, at := range []int{2, 0, 3} {
		b.expect(uploads[at], issuer.PurseAccepted)
	}
	b.stan++
	twice := *uploads[2]
	twice.STAN = b.stan
	b.expect(&twice, issuer.CounterUsed)
	book := b.issuer.Book()
	if got := book.Balance(issuer.AccountScheme); got.CreditsPosted != 1_500 || got.CreditsPending != 900 {
		t.Errorf("scheme %+v", got)
	}
	for range 70 { // the window moves on
		b.expect(b.pay(1), issuer.Approved)
		b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{}})
	}
	b.expect(uploads[1], issuer.CounterUsed)
	// The purse's books agree with the chip but for the payment that came too late.
	if got := b.card.Purse(); got != 50_000-2_000 {
		t.Errorf("chip %d", got)
	}
}

// TestAStolenApprovalSpendsNoCounter: a purse payment's cryptogram, captured and shown as a request of its own, is refused and leaves the counter to the upload.
func TestAStolenApprovalSpendsNoCounter(t *testing.T) {
	b := newBank(t)
	upload := b.offline(500)
	b.stan++
	stolen := *upload
	stolen.STAN, stolen.RRN, stolen.Reserved, stolen.Info.MessageType = b.stan, "632504999999", "", unionpay.KindSale
	b.expect(&stolen, issuer.NotARequestCryptogram)
	b.expect(upload, issuer.PurseAccepted)
}

func TestUploadsOfTamperedOrForeignPayments(t *testing.T) {
	b := newBank(t)
	sound := b.offline(500)
	for name, c := range map[string]struct {
		change func(*unionpay.FinancialRequest)
		reason issuer.Reason
	}{
		"amount":     {func(m *unionpay.FinancialRequest) { m.Amount = moneyOf(501) }, issuer.ChipDataMismatch},
		"cryptogram": {func(m *unionpay.FinancialRequest) { m.ICC.Set(emv.TagAC, make([]byte, 8)) }, issuer.CryptogramWrong},
		"no chip":    {func(m *unionpay.FinancialRequest) { m.ICC = emv.Data{} }, issuer.ChipDataMissing},
		"number":     {func(m *unionpay.FinancialRequest) { m.PAN, m.Track2 = strange, pan.Track2{} }, issuer.UnknownCard},
		"void":       {func(m *unionpay.FinancialRequest) { m.Processing = unionpay.ProcessingVoid }, issuer.TypeNotPermitted},
		"advice":     {func(m *unionpay.FinancialRequest) { m.Authorization = true }, issuer.TypeNotPermitted},
	} {
		b.stan++
		m := *sound
		m.STAN, m.ICC = b.stan, sound.ICC.Clone()
		c.change(&m)
		t.Log(name)
		b.expect(&m, c.reason)
	}
	b.expect(sound, issuer.PurseAccepted)
}

// flakyVault fails on demand, as a security module that is being restarted.
type flakyVault struct {
	issuer.Vault
	down bool
}

func (v *flakyVault) PANFingerprint(key string, n pan.Number) ([16]byte, error) {
	if v.down {
		return [16]byte{}, fmt.Errorf("security module is down")
	}
	return v.Vault.PANFingerprint(key, n)
}

// An offline payment is repeated until the bank knows; trouble of the bank's own must therefore not become its answer for ever.
func TestAnUploadOutlivesTroubleWithTheSecurityModule(t *testing.T) {
	b := newBank(t)
	vault := &flakyVault{Vault: b.hsm}
	b.issuer = newIssuer(t, vault)
	b.Rig = b.Restart(b.issuer)
	vault.down = true
	upload, payment := b.offline(500), b.pay(700)
	for _, m := range []*unionpay.FinancialRequest{upload, payment} {
		if got := unionpay.PaymentOf(b.Answer(theSwitch, m).Message).Response; got != "96" {
			t.Fatalf("answer %s, want 96", got)
		}
	}
	vault.down = false
	b.expect(upload, issuer.PurseAccepted)
	if got := unionpay.PaymentOf(b.Answer(theSwitch, payment).Message).Response; got != "96" {
		t.Errorf("a repeated real-time payment is answered %s, want the first answer", got)
	}
}

// The first answer carries a cryptogram that only the security module can make again. Without it a repeat gets no answer rather than another one.
func TestARepeatWaitsForTheSecurityModule(t *testing.T) {
	b := newBank(t)
	vault := &flakyVault{Vault: b.hsm}
	b.issuer = newIssuer(t, vault)
	b.Rig = b.Restart(b.issuer)
	m := b.pay(100)
	first := b.Answer(theSwitch, m)
	vault.down = true
	if out := b.Deliver(theSwitch, m); len(out) != 0 {
		t.Errorf("%d answers while the module is down", len(out))
	}
	vault.down = false
	if again := b.Answer(theSwitch, m); !bytes.Equal(again.Bytes, first.Bytes) {
		t.Error("another answer once the module is back")
	}
	// The answer to a payment during the trouble stays as it was, although a cryptogram could be made by now.
	vault.down = true
	m = b.pay(100)
	first = b.Answer(theSwitch, m)
	vault.down = false
	if again := b.Answer(theSwitch, m); !bytes.Equal(again.Bytes, first.Bytes) {
		t.Error("another answer to a payment that met the trouble")
	}
}

func TestDayLimitsChangeAtMidnightInShanghai(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{DayMinor: 60_000} })
	b.Clock.Set(time.Date(2026, 11, 21, 15, 59, 0, 0, time.UTC))
	b.expect(b.pay(60_000), issuer.Approved)
	b.expect(b.pay(1), issuer.AboveDayLimit)
	b.Clock.Set(time.Date(2026, 11, 21, 16, 0, 1, 0, time.UTC))
	b.expect(b.pay(60_000), issuer.Approved)
	if date := b.LastRow().BusinessDate; date != 20261122 {
		t.Errorf("business date %d", date)
	}
	b.expect(b.pay(1), issuer.AboveDayLimit)
	// A payment that the switch still dated before midnight counts for its own date and gives neither date new room.
	late := b.pay(1)
	late.SettlementDate = "1121"
	b.expect(late, issuer.AboveDayLimit)
	b.expect(b.pay(1), issuer.AboveDayLimit)
}

// The network names the business date, but only around the bank's own: any other date would open a fresh day's limit.
func TestAFarSettlementDateIsNotTaken(t *testing.T) {
	b := newBank(t, func(e *issuer.Enrolment) { e.Limits = issuer.Limits{DayMinor: 60_000} })
	b.expect(b.pay(60_000), issuer.Approved)
	for _, date := range []string{"1118", "1125", "0501", "0229", "1231"} {
		m := b.pay(1)
		m.SettlementDate = date
		b.expect(m, issuer.AboveDayLimit)
		if got := b.LastRow().BusinessDate; got != 20261121 {
			t.Errorf("settlement date %s became %d", date, got)
		}
	}
}

func TestSettlementDateAcrossTheYear(t *testing.T) {
	b := newBank(t)
	b.Clock.Set(time.Date(2026, 12, 31, 17, 0, 0, 0, time.UTC)) // 1 January in Shanghai
	for date, want := range map[string]int32{"1231": 20261231, "0101": 20270101, "0102": 20270102} {
		m := b.pay(1)
		m.SettlementDate = date
		b.expect(m, issuer.Approved)
		if got := b.LastRow().BusinessDate; got != want {
			t.Errorf("%s is %d, want %d", date, got, want)
		}
	}
}

func TestEnrolmentIsRefusedWholly(t *testing.T) {
	b := newBank(t)
	sound := issuer.Enrolment{Card: 7, Name: "seven", Fingerprint: issuer.Fingerprint{7}, Expiry: "3012", Currency: 156, OpeningMinor: 5}
	for name, change := range map[string]func(*issuer.Enrolment){
		"no id":          func(e *issuer.Enrolment) { e.Card = 0 },
		"taken id":       func(e *issuer.Enrolment) { e.Card = 1 },
		"huge id":        func(e *issuer.Enrolment) { e.Card = 1 << 62 },
		"no fingerprint": func(e *issuer.Enrolment) { e.Fingerprint = issuer.Fingerprint{} },
		"no expiry":      func(e *issuer.Enrolment) { e.Expiry = "3013" },
		"other currency": func(e *issuer.Enrolment) { e.Currency = 344 },
		"long currency":  func(e *issuer.Enrolment) { e.Currency = 156 + 1<<16 },
		"owes":           func(e *issuer.Enrolment) { e.OpeningMinor = -1 },
	} {
		e := sound
		change(&e)
		rows := len(b.Rows())
		if _, refused := b.Command(issuer.Enrol{Enrolment: e}).(error); !refused || len(b.Rows()) != rows {
			t.Errorf("%s: not refused", name)
		}
	}
	if reply := b.Command(issuer.Enrol{Enrolment: sound}); reply != (issuer.Done{}) {
		t.Errorf("sound: %v", reply)
	}
}

func TestChangesAreRefused(t *testing.T) {
	b := newBank(t)
	active, four := issuer.Active, 4
	for name, change := range map[string]issuer.Change{
		"unknown card": {Card: 9}, "to itself": {Card: 1, Status: &active}, "tries": {Card: 1, PINTries: &four},
		"negative limit": {Card: 1, Limits: &issuer.Limits{DayMinor: -1}},
	} {
		if _, refused := b.Command(issuer.Alter{Change: change}).(error); !refused {
			t.Errorf("%s: not refused", name)
		}
	}
}

// TestReplayAtEveryRow stops the process after every row and goes on with what the journal has: the state is the same, and so are the answers to repeats.
func TestReplayAtEveryRow(t *testing.T) {
	b := newBank(t)
	var asked []unionpay.Message
	do := func(m unionpay.Message) { asked = append(asked, m); b.Answer(theSwitch, m) }
	one, two, three, four := b.pay(29_900), b.withPIN(b.pay(200_000), wrongPIN), b.pay(400), b.offline(800)
	do(one)
	do(two)
	do(networktest.ReversalAtSwitch(one))
	do(networktest.ReversalAtSwitch(three)) // early
	do(three)
	do(four)
	b.Clock.Advance(13 * time.Hour)
	do(b.withPIN(b.pay(200_000), rightPIN))
	do(b.pay(600_000))
	b.alter(issuer.Change{Card: 1, Limits: &issuer.Limits{DayCount: 3}})
	whole := b.Rows()
	var answers [][]byte
	for _, m := range asked {
		answers = append(answers, b.Answer(theSwitch, m).Bytes)
	}
	if len(b.Rows()) != len(whole) {
		t.Fatal("repeats made rows")
	}
	for n := range len(whole) + 1 {
		rebuilt := newIssuer(t, b.hsm)
		rig := networktest.NewRig(t, rebuilt, b.Prefix(n), b.Clock, networktest.SwitchDialect)
		if err := rebuilt.Book().Audit(); err != nil {
			t.Fatalf("after row %d: %v", n, err)
		}
		if n < len(whole) {
			continue
		}
		if rebuilt.Book().Digest() != b.issuer.Book().Digest() {
			t.Error("the books differ after replay")
		}
		x, _ := rebuilt.Card(1)
		y, _ := b.issuer.Card(1)
		if !reflect.DeepEqual(x, y) {
			t.Errorf("card %+v\nwant %+v", x, y)
		}
		for i, m := range asked {
			if got := rig.Answer(theSwitch, m).Bytes; !bytes.Equal(got, answers[i]) {
				t.Errorf("message %d is answered otherwise after replay", i)
			}
		}
	}
}

// TestCrashAtEveryRow delivers the same messages again after a crash between any two rows, as an acquirer that got no answer does, and ends in the same books.
func TestCrashAtEveryRow(t *testing.T) {
	b := newBank(t)
	one, two, three := b.pay(29_900), b.pay(500), b.offline(800)
	asked := []unionpay.Message{one, two, networktest.ReversalAtSwitch(one), three}
	for _, m := range asked {
		b.Answer(theSwitch, m)
	}
	whole := b.Rows()
	for n := len(whole) - len(asked); n <= len(whole); n++ {
		again := newIssuer(t, b.hsm)
		rig := networktest.NewRig(t, again, b.Prefix(n), b.Clock, networktest.SwitchDialect)
		for _, m := range asked {
			rig.Answer(theSwitch, m)
		}
		if again.Book().Digest() != b.issuer.Book().Digest() {
			t.Errorf("crash after row %d: other books", n)
		}
	}
}

func TestTheJournalHoldsNoSecrets(t *testing.T) {
	b := newBank(t)
	m := b.withPIN(b.pay(200_000), rightPIN)
	b.expect(m, issuer.Approved)
	b.expect(networktest.ReversalAtSwitch(m), issuer.ReversalDone)
	b.expect(b.offline(100), issuer.PurseAccepted)
	b.NoSecrets([]pan.Number{b.card.PAN}, m.PINBlock)
	for _, row := range b.Rows() {
		if row.Kind == journal.Opened && !json.Valid(row.Note) {
			t.Error("an enrolment is not JSON")
		}
	}
}
