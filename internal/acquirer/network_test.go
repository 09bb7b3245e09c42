package acquirer_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

const own, theSwitch = "30010000", "00010000"

func dialect(peer string) unionpay.Dialect {
	if peer == theSwitch {
		return unionpay.Switch
	}
	return unionpay.Terminal
}

// bank is an acquirer with one merchant and two terminals.
type bank struct {
	*networktest.Rig
	acquirer *acquirer.Acquirer
	vault    acquirer.Vault
	hsm      *hsm.HSM
	card     *networktest.Card
	stan     uint32
}

func newAcquirer(t testing.TB, vault acquirer.Vault) *acquirer.Acquirer {
	t.Helper()
	return newBounded(t, vault, journal.Capacity{})
}

func newBounded(t testing.TB, vault acquirer.Vault, capacity journal.Capacity) *acquirer.Acquirer {
	t.Helper()
	a, err := acquirer.New(acquirer.Deps{
		Institution: own, Switch: theSwitch, Vault: vault, PINKey: networktest.PINKey, SealKey: networktest.KeySeal, Calendar: networktest.Shanghai, Currency: 156, Capacity: capacity,
		Merchants: []acquirer.Merchant{{ID: networktest.Merchant, Name: "SHOP ONE", Category: "5411"}, {ID: "301000054110002", Name: "SHOP TWO", Category: "5812"}},
		Terminals: []acquirer.Terminal{{ID: networktest.Terminal, Merchant: networktest.Merchant}, {ID: "T0000002", Merchant: "301000054110002"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newBank(t testing.TB) *bank {
	t.Helper()
	vault := networktest.NewHSM(t, 2, map[string]string{theSwitch: "acquirer-switch", networktest.Terminal: "terminal", "T0000002": "other"})
	a := newAcquirer(t, vault)
	rig := networktest.NewRig(t, a, journal.NewMemStore(), clock.NewManual(networktest.Start), dialect)
	return &bank{Rig: rig, acquirer: a, vault: vault, hsm: vault, card: networktest.NewCard(t, "", 50_000)}
}

func (b *bank) request(minor int64) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	return b.card.Pay(b.stan, minor)
}

func (b *bank) upload(minor int64) *unionpay.FinancialRequest {
	b.Helper()
	b.stan++
	return b.card.PayOffline(b.stan, minor)
}

// forwarded delivers a terminal's request and gives what went to the switch.
func (b *bank) forwarded(m *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	b.Helper()
	out := b.Deliver(networktest.Terminal, m)
	if len(out) != 1 || out[0].To != theSwitch {
		b.Fatalf("%d messages left, want one to the switch", len(out))
	}
	return out[0].Message.(*unionpay.FinancialRequest)
}

// answer delivers the switch's answer and gives what went to the terminal.
func (b *bank) answer(forwarded *unionpay.FinancialRequest, code unionpay.ResponseCode) []networktest.Sent {
	b.Helper()
	return b.Deliver(theSwitch, unionpay.Respond(forwarded, unionpay.Answer{Response: code, AuthCode: "123456"}))
}

func (b *bank) claims() int64 {
	if err := b.acquirer.Book().Audit(); err != nil {
		b.Error(err)
	}
	return b.acquirer.Book().Balance(acquirer.AccountScheme).DebitsPending
}

func code(m networktest.Sent) unionpay.ResponseCode { return unionpay.PaymentOf(m.Message).Response }

// reversal is what a till sends to take a request back.
func reversal(m *unionpay.FinancialRequest) *unionpay.ReversalRequest {
	p := m.Payment
	p.PINBlock, p.NewPIN, p.Track2, p.Response = nil, nil, pan.Track2{}, unionpay.ReasonTimeout
	return &unionpay.ReversalRequest{Payment: p}
}

func acknowledgement(m unionpay.Message, code unionpay.ResponseCode) unionpay.Message {
	return unionpay.Respond(m, unionpay.Answer{Response: code})
}

func TestAnApprovalIsForwardedClaimedAndAnswered(t *testing.T) {
	b := newBank(t)
	m := b.request(29_900)
	onward := b.forwarded(m)
	if onward.Acquirer != own || onward.Forwarder != own || onward.MerchantName != "SHOP ONE" || onward.MerchantType != "5411" || len(onward.RRN) != 12 ||
		onward.SettlementDate != "1121" || onward.TransmissionTime != "1121040000" || onward.STAN == 0 {
		t.Errorf("forwarded %+v", onward)
	}
	if b.claims() != 0 {
		t.Error("a claim before the answer")
	}
	out := b.answer(onward, unionpay.Approved)
	if len(out) != 1 || out[0].To != networktest.Terminal || code(out[0]) != "00" {
		t.Fatalf("answer %+v", out)
	}
	answer := unionpay.PaymentOf(out[0].Message)
	if answer.STAN != m.STAN || answer.RRN != onward.RRN || answer.AuthCode != "123456" || answer.Info.Batch != 1 {
		t.Errorf("answer %+v", answer)
	}
	if b.claims() != 29_900 {
		t.Errorf("claims %d", b.claims())
	}
	if row := b.LastRow(); row.Kind != journal.Answered || row.Phase != ledger.Pending || row.RRN != onward.RRN {
		t.Errorf("row %+v", row)
	}
}

func TestADeclineIsPassedOn(t *testing.T) {
	b := newBank(t)
	if out := b.answer(b.forwarded(b.request(100)), unionpay.InsufficientFunds); len(out) != 1 || code(out[0]) != "51" || b.claims() != 0 {
		t.Errorf("answer %+v, claims %d", out, b.claims())
	}
}

func TestWhatTheAcquirerRefusesItself(t *testing.T) {
	for name, c := range map[string]struct {
		want   unionpay.ResponseCode
		rows   int
		change func(*bank, *unionpay.FinancialRequest)
	}{
		"unknown terminal":   {"97", 0, func(_ *bank, m *unionpay.FinancialRequest) { m.Terminal = "T9999999" }},
		"another's terminal": {"97", 0, func(_ *bank, m *unionpay.FinancialRequest) { m.Terminal = "T0000002" }},
		"merchant":           {"03", 1, func(_ *bank, m *unionpay.FinancialRequest) { m.Merchant = "301000054110002" }},
		"amount":             {"13", 1, func(_ *bank, m *unionpay.FinancialRequest) { m.Amount = money.New(0, money.CNY) }},
		"currency":           {"58", 1, func(_ *bank, m *unionpay.FinancialRequest) { m.Amount = money.New(100, money.HKD) }},
		"garbled PIN": {"99", 1, func(b *bank, m *unionpay.FinancialRequest) {
			garbage, err := pinblock.FromBytes([]byte("notapin!"))
			if err != nil {
				b.Fatal(err)
			}
			m.PINBlock = &garbage
		}},
		"no PIN key": {"96", 1, func(b *bank, m *unionpay.FinancialRequest) {
			m.PINBlock = networktest.EncipherPIN(b, b.hsm, networktest.Terminal, "1234", m.PAN)
			if err := b.hsm.Delete(networktest.PINKey(networktest.Terminal)); err != nil {
				b.Fatal(err)
			}
		}},
	} {
		b := newBank(t)
		m := b.request(100)
		c.change(b, m)
		first := b.Answer(networktest.Terminal, m)
		if code(first) != c.want || len(b.Rows()) != c.rows {
			t.Errorf("%s: answer %s and %d rows, want %s and %d", name, code(first), len(b.Rows()), c.want, c.rows)
		}
		if again := b.Answer(networktest.Terminal, m); !bytes.Equal(first.Bytes, again.Bytes) {
			t.Errorf("%s: a repeat gets another answer", name)
		}
	}
}

// A stranger who names somebody else's terminal must not use up the key of its next payment.
func TestAStrangerCannotTakeATerminalsKey(t *testing.T) {
	b := newBank(t)
	m := b.request(100)
	theirs := *m
	theirs.Amount = money.New(999, money.CNY)
	if out := b.Answer("T0000002", &theirs); code(out) != "97" {
		t.Fatalf("answer %s", code(out))
	}
	b.forwarded(m)
}

func TestReferencesAreUnique(t *testing.T) {
	b := newBank(t)
	seen := map[string]bool{}
	for i := range 6 {
		m := b.request(100)
		if i%2 == 0 {
			m.Merchant = "301000054110002"
			b.Answer(networktest.Terminal, m)
		} else {
			b.forwarded(m)
		}
		if rrn := b.LastRow().RRN; len(rrn) != 12 || seen[rrn] {
			t.Errorf("reference %q is used twice or not twelve characters", rrn)
		} else {
			seen[rrn] = true
		}
	}
}

func TestThePINIsTranslatedAndNeverKept(t *testing.T) {
	b := newBank(t)
	m := b.request(100)
	m.PINBlock = networktest.EncipherPIN(t, b.hsm, networktest.Terminal, "246810", m.PAN)
	onward := b.forwarded(m)
	want := networktest.EncipherPIN(t, b.hsm, theSwitch, "246810", m.PAN)
	if onward.PINBlock == nil || onward.PINBlock.Reveal() != want.Reveal() {
		t.Error("the PIN did not arrive under the switch's key")
	}
	b.answer(onward, unionpay.Approved)
	b.Deliver(networktest.Terminal, reversal(m))
	b.NoSecrets([]pan.Number{m.PAN}, m.PINBlock, want)
}

func TestARepeatGetsTheFirstAnswerByteForByte(t *testing.T) {
	b := newBank(t)
	m := b.request(100)
	onward := b.forwarded(m)
	if out := b.Deliver(networktest.Terminal, m); len(out) != 0 {
		t.Fatalf("a repeat of a pending payment made %d messages", len(out))
	}
	first := b.answer(onward, unionpay.Approved)[0]
	b.Clock.Advance(30 * time.Hour)
	rows := len(b.Rows())
	if again := b.Answer(networktest.Terminal, m); !bytes.Equal(first.Bytes, again.Bytes) {
		t.Errorf("first %X\nagain %X", first.Bytes, again.Bytes)
	}
	other := *m
	other.Amount = money.New(101, money.CNY)
	if out := b.Answer(networktest.Terminal, &other); code(out) != "94" {
		t.Errorf("other content: %s", code(out))
	}
	if out := b.answer(onward, unionpay.InsufficientFunds); len(out) != 0 || b.claims() != 100 {
		t.Error("a second answer of the switch counts")
	}
	if len(b.Rows()) != rows {
		t.Error("repeats made rows")
	}
}

func TestSilenceBecomesAReversal(t *testing.T) {
	b := newBank(t)
	m := b.request(100)
	onward := b.forwarded(m)
	if out := b.Advance(44 * time.Second); len(out) != 0 {
		t.Fatalf("%d messages before the time-out", len(out))
	}
	out := b.Advance(time.Second)
	if len(out) != 2 || out[0].To != networktest.Terminal || code(out[0]) != "98" || out[1].To != theSwitch {
		t.Fatalf("after the time-out: %+v", out)
	}
	taken := out[1].Message.(*unionpay.ReversalRequest)
	if unionpay.OriginalKey(taken) != unionpay.NetworkKey(onward) || !taken.Track2.IsZero() || taken.PINBlock != nil {
		t.Errorf("reversal %+v", taken)
	}
	timeout := out[0]
	if again := b.Answer(networktest.Terminal, m); !bytes.Equal(timeout.Bytes, again.Bytes) {
		t.Error("a repeat after the time-out gets another answer")
	}
	if out := b.answer(onward, unionpay.Approved); len(out) != 0 || b.claims() != 0 {
		t.Error("a late answer counts")
	}
	for _, wait := range []time.Duration{time.Minute, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
		if out := b.Advance(wait - time.Second); len(out) != 0 {
			t.Fatalf("sent again before %v", wait)
		}
		if out := b.Advance(time.Second); len(out) != 1 || !bytes.Equal(out[0].Bytes, b.encode(taken)) {
			t.Fatalf("after %v: %d messages", wait, len(out))
		}
	}
	for _, refused := range []unionpay.ResponseCode{unionpay.SystemFault, unionpay.IssuerTimeout} {
		b.Deliver(theSwitch, acknowledgement(taken, refused))
	}
	if b.acquirer.Outstanding() != 1 {
		t.Fatal("a fault ended the reversal")
	}
	b.Deliver(theSwitch, acknowledgement(taken, unionpay.Approved))
	if b.acquirer.Outstanding() != 0 || b.LastRow().Kind != journal.Acknowledged {
		t.Error("the acknowledgement did not end the reversal")
	}
	rows := len(b.Rows())
	b.Deliver(theSwitch, acknowledgement(taken, unionpay.Approved))
	if out := b.Advance(time.Hour); len(out) != 0 || len(b.Rows()) != rows {
		t.Error("it goes on after the acknowledgement")
	}
}

func (b *bank) encode(m unionpay.Message) []byte {
	b.Helper()
	wire, err := unionpay.Encode(unionpay.Switch, nil, m, nil)
	if err != nil {
		b.Fatal(err)
	}
	return wire
}

func TestATerminalsReversal(t *testing.T) {
	for name, prepare := range map[string]func(*bank, *unionpay.FinancialRequest){
		"of an approval": func(b *bank, m *unionpay.FinancialRequest) { b.answer(b.forwarded(m), unionpay.Approved) },
		"while pending":  func(b *bank, m *unionpay.FinancialRequest) { b.forwarded(m) },
	} {
		b := newBank(t)
		m := b.request(100)
		prepare(b, m)
		out := b.Deliver(networktest.Terminal, reversal(m))
		if len(out) != 2 || out[0].To != networktest.Terminal || code(out[0]) != "00" || out[1].To != theSwitch || b.claims() != 0 {
			t.Fatalf("%s: %+v, claims %d", name, out, b.claims())
		}
		b.Clock.Advance(23 * time.Hour) // another business date
		if again := b.Answer(networktest.Terminal, reversal(m)); !bytes.Equal(out[0].Bytes, again.Bytes) {
			t.Errorf("%s: a repeated reversal gets another answer", name)
		}
		changed := reversal(m)
		changed.Amount = money.New(7, money.CNY)
		if again := b.Answer(networktest.Terminal, changed); code(again) != "94" {
			t.Errorf("%s: other content: %s", name, code(again))
		}
		b.Deliver(theSwitch, acknowledgement(out[1].Message, unionpay.Approved))
		if b.acquirer.Outstanding() != 0 || b.claims() != 0 {
			t.Errorf("%s: %d outstanding", name, b.acquirer.Outstanding())
		}
	}
}

func TestReversalsThatMoveNothing(t *testing.T) {
	for name, prepare := range map[string]func(*bank, *unionpay.FinancialRequest){
		"of a decline":          func(b *bank, m *unionpay.FinancialRequest) { b.answer(b.forwarded(m), unionpay.InsufficientFunds) },
		"of the unknown":        func(*bank, *unionpay.FinancialRequest) {},
		"of an offline payment": func(b *bank, m *unionpay.FinancialRequest) { b.stan--; *m = *b.upload(100); b.forwarded(m) },
		"of an accepted payment": func(b *bank, m *unionpay.FinancialRequest) {
			b.stan--
			*m = *b.upload(100)
			b.answer(b.forwarded(m), unionpay.Approved)
		},
		"of what it had reversed": func(b *bank, m *unionpay.FinancialRequest) { b.forwarded(m); b.Advance(time.Minute) },
	} {
		b := newBank(t)
		m := b.request(100)
		prepare(b, m)
		before, outstanding := b.acquirer.Book().Digest(), b.acquirer.Outstanding()
		if out := b.Deliver(networktest.Terminal, reversal(m)); len(out) != 1 || code(out[0]) != "00" {
			t.Fatalf("%s: %+v", name, out)
		}
		if b.acquirer.Book().Digest() != before || b.acquirer.Outstanding() != outstanding {
			t.Errorf("%s: something moved", name)
		}
	}
	b := newBank(t)
	m := b.request(100)
	b.Deliver(networktest.Terminal, reversal(m))
	if out := b.Answer(networktest.Terminal, m); code(out) != "68" {
		t.Errorf("the original after its reversal: %s", code(out))
	}
	if out := b.Deliver("T0000002", reversal(m)); len(out) != 1 || code(out[0]) != "97" {
		t.Error("another terminal may reverse")
	}
}

func TestAnUploadIsRepeatedNotReversed(t *testing.T) {
	b := newBank(t)
	m := b.upload(500)
	onward := b.forwarded(m)
	for range 8 {
		if out := b.Advance(10 * time.Minute); len(out) == 0 {
			t.Fatal("the upload is not repeated")
		}
		for _, sent := range b.Out {
			if sent.To != theSwitch || !bytes.Equal(sent.Bytes, b.encode(onward)) {
				t.Fatalf("repeated as %T to %s", sent.Message, sent.To)
			}
		}
	}
	for _, trouble := range []unionpay.ResponseCode{unionpay.SystemFault, unionpay.IssuerTimeout, unionpay.IssuerInoperative} {
		if out := b.answer(onward, trouble); len(out) != 0 || b.acquirer.Outstanding() != 1 {
			t.Fatalf("%s ended the upload", trouble)
		}
	}
	if out := b.answer(onward, unionpay.Approved); len(out) != 1 || code(out[0]) != "00" {
		t.Fatalf("answer %+v", out)
	}
	if got := b.acquirer.Book().Balance(acquirer.AccountScheme); got.DebitsPosted != 500 || got.DebitsPending != 0 {
		t.Errorf("books %+v", got)
	}
	if out := b.Advance(time.Hour); len(out) != 0 || b.acquirer.Outstanding() != 0 {
		t.Error("it goes on after the answer")
	}
}

// flakyVault fails on demand, as a security module that is being restarted.
type flakyVault struct {
	acquirer.Vault
	down bool
}

func (v *flakyVault) OpenData(name, context string, sealed []byte) ([]byte, error) {
	if v.down {
		return nil, fmt.Errorf("security module is down")
	}
	return v.Vault.OpenData(name, context, sealed)
}

func (v *flakyVault) SealData(name, context string, data []byte) ([]byte, error) {
	if v.down {
		return nil, fmt.Errorf("security module is down")
	}
	return v.Vault.SealData(name, context, data)
}

func TestAnUploadOutlivesTroubleWithTheSecurityModule(t *testing.T) {
	b := newBank(t)
	vault := &flakyVault{Vault: b.hsm, down: true}
	b.Rig = b.Restart(newAcquirer(t, vault))
	m := b.upload(500)
	if out := b.Answer(networktest.Terminal, m); code(out) != "96" {
		t.Fatalf("answer %s", code(out))
	}
	vault.down = false
	b.forwarded(m)
}

// A reversal that cannot be opened is not acknowledged: the merchant would believe it and the cardholder's money would stay held.
func TestAReversalOutlivesTroubleWithTheSecurityModule(t *testing.T) {
	b := newBank(t)
	vault := &flakyVault{Vault: b.hsm}
	b.acquirer = newAcquirer(t, vault)
	b.Rig = b.Restart(b.acquirer)
	m := b.request(300)
	b.answer(b.forwarded(m), unionpay.Approved)
	rows := len(b.Rows())
	vault.down = true
	if out := b.Answer(networktest.Terminal, reversal(m)); code(out) != "96" || len(b.Rows()) != rows {
		t.Fatalf("answer %s, %d new rows", code(out), len(b.Rows())-rows)
	}
	vault.down = false
	if out := b.Deliver(networktest.Terminal, reversal(m)); len(out) != 2 || code(out[0]) != "00" || out[1].To != theSwitch {
		t.Fatalf("%d messages left, want acknowledgement and reversal", len(out))
	}
	if b.claims() != 0 {
		t.Errorf("claims %d", b.claims())
	}
}

// What the security module cannot open when the process starts is opened later: every payment ends.
func TestARestartOutlivesTroubleWithTheSecurityModule(t *testing.T) {
	b := newBank(t)
	taken, silent, offline := b.request(300), b.request(400), b.upload(500)
	b.answer(b.forwarded(taken), unionpay.Approved)
	b.Deliver(networktest.Terminal, reversal(taken))
	b.forwarded(silent)
	b.forwarded(offline)
	vault := &flakyVault{Vault: b.hsm, down: true}
	a := newAcquirer(t, vault)
	b.Rig = b.Restart(a)
	if len(b.Out) != 0 || len(b.Advance(5*time.Minute)) != 0 || a.Outstanding() != 3 {
		t.Fatalf("%d outstanding while nothing can be opened", a.Outstanding())
	}
	vault.down = false
	for _, sent := range b.Advance(time.Minute) {
		switch m := sent.Message.(type) {
		case *unionpay.ReversalRequest:
			b.Deliver(theSwitch, acknowledgement(m, unionpay.Approved))
		case *unionpay.FinancialRequest:
			b.Deliver(theSwitch, unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved}))
		}
	}
	if a.Outstanding() != 0 || a.Book().Audit() != nil {
		t.Errorf("%d outstanding, books %v", a.Outstanding(), a.Book().Audit())
	}
}

// TestCrashAtEveryRow stops the process after every row. What was pending then ends: payments are reversed, uploads and reversals are sent again, and the books
// agree with those outcomes, however little is kept in memory.
func TestCrashAtEveryRow(t *testing.T) {
	for _, capacity := range append(tiny, journal.Capacity{}) {
		crashAtEveryRow(t, capacity)
	}
}

func crashAtEveryRow(t *testing.T, capacity journal.Capacity) {
	t.Helper()
	b := newBank(t)
	b.Rig = b.Restart(newBounded(t, b.vault, capacity))
	approvedRequest, silent, reversedRequest, offline := b.request(100), b.request(200), b.request(300), b.upload(400)
	cancelled := reversal(reversedRequest)
	cancelled.Response = unionpay.ReasonMACError
	b.answer(b.forwarded(approvedRequest), unionpay.Approved)
	b.forwarded(silent)
	b.answer(b.forwarded(reversedRequest), unionpay.Approved)
	b.Deliver(networktest.Terminal, cancelled)
	b.forwarded(offline)
	out := b.Advance(50 * time.Second)
	for _, sent := range append(out, b.Advance(2*time.Minute)...) {
		if m, ok := sent.Message.(*unionpay.ReversalRequest); ok {
			b.Deliver(theSwitch, acknowledgement(m, unionpay.Approved))
		}
	}
	whole := b.Rows()
	for n := range len(whole) + 1 {
		// The first one reads all rows and writes cells back with its own; the second one goes on from those.
		a := newBounded(t, b.vault, capacity)
		rig := networktest.NewRig(t, a, b.Prefix(n), b.Clock, dialect)
		sent := rig.Out
		sent = append(sent, rig.Advance(time.Second)...)
		for range 3 {
			for _, m := range sent {
				switch message := m.Message.(type) {
				case *unionpay.ReversalRequest:
					rig.Deliver(theSwitch, acknowledgement(message, unionpay.Approved))
				case *unionpay.FinancialRequest:
					rig.Deliver(theSwitch, unionpay.Respond(message, unionpay.Answer{Response: unionpay.Approved}))
				}
			}
			sent = rig.Advance(10 * time.Minute)
		}
		if a.Outstanding() != 0 {
			t.Errorf("after row %d: %d outstanding", n, a.Outstanding())
		}
		if err := a.Book().Audit(); err != nil {
			t.Errorf("after row %d: %v", n, err)
		}
		if n == len(whole) {
			if again := rig.Answer(networktest.Terminal, approvedRequest); code(again) != "00" {
				t.Error("the approval is forgotten")
			}
		}
		// The same rows once more: replay of everything that followed the crash.
		twin := newBounded(t, b.vault, capacity)
		networktest.NewRig(t, twin, rig.Store.Reopen(), b.Clock, dialect)
		if !slices.Equal(twin.Book().Sheet(), a.Book().Sheet()) || twin.Outstanding() != 0 {
			t.Errorf("after row %d: replay differs", n)
		}
	}
}

// The reversal that goes out after a crash is the one that went out before it, byte for byte: the next hop must not see other content under its key.
func TestAReversalAfterACrashIsTheSame(t *testing.T) {
	for _, reason := range []unionpay.ResponseCode{unionpay.ReasonTimeout, unionpay.ReasonMACError, unionpay.ReasonCancel} {
		b := newBank(t)
		m := b.request(300)
		b.answer(b.forwarded(m), unionpay.Approved)
		taken := reversal(m)
		taken.Response = reason
		before := b.Deliver(networktest.Terminal, taken)[1]
		rig := b.Restart(newAcquirer(t, b.vault))
		if len(rig.Out) != 1 || !bytes.Equal(rig.Out[0].Bytes, before.Bytes) {
			t.Errorf("reason %s: another reversal after the crash", reason)
		}
	}
}

func TestBusinessDateChangesAtMidnightInShanghai(t *testing.T) {
	b := newBank(t)
	b.Clock.Set(time.Date(2026, 11, 21, 15, 59, 59, 0, time.UTC))
	if onward := b.forwarded(b.request(1)); onward.SettlementDate != "1121" || b.LastRow().BusinessDate != 20261121 {
		t.Errorf("before midnight: %s", onward.SettlementDate)
	}
	b.Clock.Advance(time.Second)
	if onward := b.forwarded(b.request(1)); onward.SettlementDate != "1122" || b.LastRow().BusinessDate != 20261122 {
		t.Errorf("after midnight: %s", onward.SettlementDate)
	}
}

func TestNewChecksItsDeps(t *testing.T) {
	sound := acquirer.Deps{Institution: own, Switch: theSwitch, Vault: newBank(t).hsm, PINKey: networktest.PINKey, SealKey: "seal", Currency: 156,
		Merchants: []acquirer.Merchant{{ID: "M"}}}
	for name, change := range map[string]func(*acquirer.Deps){
		"institution": func(d *acquirer.Deps) { d.Institution = "" }, "switch": func(d *acquirer.Deps) { d.Switch = "" },
		"vault": func(d *acquirer.Deps) { d.Vault = nil }, "PIN keys": func(d *acquirer.Deps) { d.PINKey = nil },
		"seal key": func(d *acquirer.Deps) { d.SealKey = "" }, "currency": func(d *acquirer.Deps) { d.Currency = 0 },
		"merchant twice": func(d *acquirer.Deps) { d.Merchants = []acquirer.Merchant{{ID: "M"}, {ID: "M"}} },
		"stray terminal": func(d *acquirer.Deps) { d.Terminals = []acquirer.Terminal{{ID: "T", Merchant: "X"}} },
	} {
		d := sound
		change(&d)
		if _, err := acquirer.New(d); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
