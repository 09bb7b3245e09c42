package interchange_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/interchange"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

const own, acquirer, lantern, willow = "00010000", "30010000", "10010000", "10020000"

// world is a switch with two issuers and an acquirer.
type world struct {
	*networktest.Rig
	hsm  *hsm.HSM
	card *networktest.Card
	stan uint32
}

func newSwitch(t testing.TB, vault interchange.Vault) *interchange.Switch {
	t.Helper()
	return newBounded(t, vault, journal.Capacity{})
}

func newBounded(t testing.TB, vault interchange.Vault, capacity journal.Capacity) *interchange.Switch {
	t.Helper()
	s, err := interchange.New(interchange.Deps{Institution: own, Vault: vault, PINKey: networktest.PINKey, SealKey: networktest.KeySeal,
		Calendar: networktest.Shanghai, Capacity: capacity, Routes: []interchange.Route{
			{Prefix: "6299", Issuer: willow}, {Prefix: "6299991", Issuer: lantern}, {Prefix: "62", Issuer: willow},
		}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t testing.TB) *world {
	t.Helper()
	vault := networktest.NewHSM(t, 3, map[string]string{acquirer: "acquirer-switch", lantern: "lantern", willow: "willow"})
	rig := networktest.NewRig(t, newSwitch(t, vault), journal.NewMemStore(), clock.NewManual(networktest.Start), networktest.SwitchDialect)
	return &world{Rig: rig, hsm: vault, card: networktest.NewCard(t, "", 50_000)}
}

func (w *world) request(minor int64) *unionpay.FinancialRequest {
	w.Helper()
	w.stan++
	return networktest.AtSwitch(w.card.Pay(w.stan, minor), acquirer, "1121")
}

func (w *world) upload(minor int64) *unionpay.FinancialRequest {
	w.Helper()
	w.stan++
	return networktest.AtSwitch(w.card.PayOffline(w.stan, minor), acquirer, "1121")
}

func (w *world) forwarded(m *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	w.Helper()
	out := w.Deliver(acquirer, m)
	if len(out) != 1 || out[0].To != lantern {
		w.Fatalf("%d messages left, want one to the issuer", len(out))
	}
	return out[0].Message.(*unionpay.FinancialRequest)
}

func (w *world) answer(from string, m unionpay.Message, code unionpay.ResponseCode) []networktest.Sent {
	w.Helper()
	return w.Deliver(from, unionpay.Respond(m, unionpay.Answer{Response: code, AuthCode: "000007"}))
}

func code(m networktest.Sent) unionpay.ResponseCode { return unionpay.PaymentOf(m.Message).Response }

func TestAPaymentIsRoutedByTheLongestPrefix(t *testing.T) {
	w := newWorld(t)
	m := w.request(29_900)
	onward := w.forwarded(m)
	if onward.Receiver != lantern || onward.SettlementDate != "1121" || unionpay.NetworkKey(onward) != unionpay.NetworkKey(m) {
		t.Errorf("forwarded %+v", onward)
	}
	out := w.answer(lantern, onward, unionpay.Approved)
	if len(out) != 1 || out[0].To != acquirer || code(out[0]) != "00" || unionpay.PaymentOf(out[0].Message).AuthCode != "000007" {
		t.Fatalf("answer %+v", out)
	}
	other := networktest.NewCard(t, "629998100000001", 0)
	w.stan++
	if out := w.Deliver(acquirer, networktest.AtSwitch(other.Pay(w.stan, 1), acquirer, "1121")); len(out) != 1 || out[0].To != willow {
		t.Errorf("another range went to %+v", out)
	}
}

func TestWhatTheSwitchRefusesItself(t *testing.T) {
	for name, c := range map[string]struct {
		want   unionpay.ResponseCode
		change func(*world, *unionpay.FinancialRequest)
	}{
		"no route": {"15", func(w *world, m *unionpay.FinancialRequest) {
			n, err := pan.CompleteLuhn("999999100000001")
			if err != nil {
				w.Fatal(err)
			}
			m.PAN, m.Track2 = n, pan.Track2{}
		}},
		"garbled PIN": {"99", func(w *world, m *unionpay.FinancialRequest) {
			garbage, err := pinblock.FromBytes([]byte("notapin!"))
			if err != nil {
				w.Fatal(err)
			}
			m.PINBlock = &garbage
		}},
		"no PIN key": {"96", func(w *world, m *unionpay.FinancialRequest) {
			m.PINBlock = networktest.EncipherPIN(w, w.hsm, acquirer, "1234", m.PAN)
			if err := w.hsm.Delete(networktest.PINKey(lantern)); err != nil {
				w.Fatal(err)
			}
		}},
	} {
		w := newWorld(t)
		m := w.request(100)
		c.change(w, m)
		first := w.Answer(acquirer, m)
		if code(first) != c.want || w.LastRow().Kind != journal.Declined {
			t.Errorf("%s: %s", name, code(first))
		}
		w.Clock.Advance(30 * time.Hour)
		if again := w.Answer(acquirer, m); !bytes.Equal(first.Bytes, again.Bytes) {
			t.Errorf("%s: a repeat gets another answer", name)
		}
		if out := w.Deliver(acquirer, networktest.ReversalAtSwitch(m)); len(out) != 1 || code(out[0]) != "00" {
			t.Errorf("%s: its reversal: %+v", name, out)
		}
	}
}

func TestThePINIsTranslatedAndNeverKept(t *testing.T) {
	w := newWorld(t)
	m := w.request(100)
	m.PINBlock = networktest.EncipherPIN(t, w.hsm, acquirer, "246810", m.PAN)
	onward := w.forwarded(m)
	want := networktest.EncipherPIN(t, w.hsm, lantern, "246810", m.PAN)
	if onward.PINBlock == nil || onward.PINBlock.Reveal() != want.Reveal() {
		t.Error("the PIN did not arrive under the issuer's key")
	}
	w.Deliver(acquirer, networktest.ReversalAtSwitch(m))
	silent := w.request(200)
	silent.PINBlock = networktest.EncipherPIN(t, w.hsm, acquirer, "135790", m.PAN)
	w.forwarded(silent)
	w.Advance(time.Minute)
	w.NoSecrets([]pan.Number{m.PAN}, m.PINBlock, want, silent.PINBlock, networktest.EncipherPIN(t, w.hsm, lantern, "135790", m.PAN))
}

func TestBothPINsOfAChangeAreTranslatedAndNeitherIsKept(t *testing.T) {
	w := newWorld(t)
	var secrets []*pinblock.Block
	change := func(next string) *unionpay.FinancialRequest {
		m := w.request(1)
		m.Amount, m.Processing, m.Info.MessageType = money.New(0, money.CNY), unionpay.ProcessingPINChange, unionpay.KindPINChange
		m.EntryMode = unionpay.NewEntryMode(unionpay.EntryContact, true)
		m.PINBlock = networktest.EncipherPIN(t, w.hsm, acquirer, "246810", m.PAN)
		m.NewPIN = networktest.EncipherPIN(t, w.hsm, acquirer, next, m.PAN)
		secrets = append(secrets, m.PINBlock, m.NewPIN)
		return m
	}
	m := change("864209")
	onward := w.forwarded(m)
	for block, digits := range map[*pinblock.Block]string{onward.PINBlock: "246810", onward.NewPIN: "864209"} {
		want := networktest.EncipherPIN(t, w.hsm, lantern, digits, m.PAN)
		if block == nil || block.Reveal() != want.Reveal() {
			t.Errorf("%s did not arrive under the issuer's key", digits)
		}
		secrets = append(secrets, want)
	}
	w.forwarded(change("135790"))
	for _, sent := range w.Advance(time.Minute) {
		if p := unionpay.PaymentOf(sent.Message); p.NewPIN != nil || p.PINBlock != nil {
			t.Errorf("%s with a PIN", sent.Message.Type())
		}
	}
	w.NoSecrets([]pan.Number{m.PAN}, secrets...)
	garbage := change("135790")
	block, err := pinblock.FromBytes([]byte("garbage!"))
	if err != nil {
		t.Fatal(err)
	}
	garbage.NewPIN = &block
	if got := code(w.Answer(acquirer, garbage)); got != unionpay.PINFormatError {
		t.Errorf("an unreadable new PIN is answered %s", got)
	}
}

func TestARepeatGetsTheFirstAnswerByteForByte(t *testing.T) {
	w := newWorld(t)
	m := w.request(100)
	onward := w.forwarded(m)
	if out := w.Deliver(acquirer, m); len(out) != 0 {
		t.Fatalf("a repeat of a pending payment made %d messages", len(out))
	}
	first := w.answer(lantern, onward, unionpay.Approved)[0]
	w.Clock.Advance(30 * time.Hour)
	rows := len(w.Rows())
	if again := w.Answer(acquirer, m); !bytes.Equal(first.Bytes, again.Bytes) {
		t.Errorf("first %X\nagain %X", first.Bytes, again.Bytes)
	}
	other := *m
	other.Merchant = "301000054119999"
	if out := w.Answer(acquirer, &other); code(out) != "94" {
		t.Errorf("other content: %s", code(out))
	}
	if out := w.answer(lantern, onward, unionpay.InsufficientFunds); len(out) != 0 {
		t.Error("a second answer of the issuer counts")
	}
	if len(w.Rows()) != rows {
		t.Error("repeats made rows")
	}
}

func TestOnlyTheIssuerThatWasAskedAnswers(t *testing.T) {
	w := newWorld(t)
	onward := w.forwarded(w.request(100))
	if out := w.answer(willow, onward, unionpay.Approved); len(out) != 0 {
		t.Error("another issuer's answer counts")
	}
	if out := w.answer(lantern, onward, unionpay.Approved); len(out) != 1 {
		t.Error("the issuer's answer does not count any more")
	}
}

func TestSilenceBecomesAReversal(t *testing.T) {
	w := newWorld(t)
	m := w.request(100)
	onward := w.forwarded(m)
	if out := w.Advance(29 * time.Second); len(out) != 0 {
		t.Fatalf("%d messages before the time-out", len(out))
	}
	out := w.Advance(time.Second)
	if len(out) != 2 || out[0].To != acquirer || code(out[0]) != "98" || out[1].To != lantern {
		t.Fatalf("after the time-out: %+v", out)
	}
	timeout, first := out[0], out[1]
	taken := first.Message.(*unionpay.ReversalRequest)
	if taken.Forwarder != own || unionpay.OriginalKey(taken) != unionpay.NetworkKey(m) || !taken.Track2.IsZero() {
		t.Errorf("reversal %+v", taken)
	}
	if again := w.Answer(acquirer, m); !bytes.Equal(timeout.Bytes, again.Bytes) {
		t.Error("a repeat after the time-out gets another answer")
	}
	if out := w.answer(lantern, onward, unionpay.Approved); len(out) != 0 {
		t.Error("a late answer counts")
	}
	for _, wait := range []time.Duration{time.Minute, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
		if out := w.Advance(wait - time.Second); len(out) != 0 {
			t.Fatalf("sent again before %v", wait)
		}
		if out := w.Advance(time.Second); len(out) != 1 || !bytes.Equal(out[0].Bytes, first.Bytes) {
			t.Fatalf("after %v: %d messages", wait, len(out))
		}
	}
	w.answer(willow, taken, unionpay.Approved)
	w.answer(lantern, taken, unionpay.SystemFault)
	if out := w.Advance(10 * time.Minute); len(out) != 1 {
		t.Fatal("a fault, or somebody else, ended the reversal")
	}
	w.answer(lantern, taken, unionpay.OriginalNotFound)
	if out := w.Advance(time.Hour); len(out) != 0 || w.LastRow().Kind != journal.Acknowledged {
		t.Error("the acknowledgement did not end the reversal")
	}
	// The acquirer's own reversal comes on top and is delivered too.
	if out := w.Deliver(acquirer, networktest.ReversalAtSwitch(m)); len(out) != 2 || code(out[0]) != "00" || out[1].To != lantern {
		t.Errorf("the acquirer's reversal: %+v", out)
	}
}

func TestAnAcquirersReversal(t *testing.T) {
	for name, prepare := range map[string]func(*world, *unionpay.FinancialRequest){
		"of an approval": func(w *world, m *unionpay.FinancialRequest) { w.answer(lantern, w.forwarded(m), unionpay.Approved) },
		"while pending":  func(w *world, m *unionpay.FinancialRequest) { w.forwarded(m) },
		"of the unknown": func(*world, *unionpay.FinancialRequest) {},
	} {
		w := newWorld(t)
		m := w.request(100)
		prepare(w, m)
		out := w.Deliver(acquirer, networktest.ReversalAtSwitch(m))
		if len(out) != 2 || out[0].To != acquirer || code(out[0]) != "00" || out[1].To != lantern {
			t.Fatalf("%s: %+v", name, out)
		}
		w.Clock.Advance(23 * time.Hour)
		if again := w.Answer(acquirer, networktest.ReversalAtSwitch(m)); !bytes.Equal(out[0].Bytes, again.Bytes) {
			t.Errorf("%s: a repeated reversal gets another answer", name)
		}
		changed := networktest.ReversalAtSwitch(m)
		changed.Merchant = "301000054119999"
		if again := w.Answer(acquirer, changed); code(again) != "94" {
			t.Errorf("%s: other content: %s", name, code(again))
		}
		w.answer(lantern, out[1].Message, unionpay.Approved)
		if out := w.Advance(time.Hour); len(out) != 0 {
			t.Errorf("%s: it goes on after the acknowledgement", name)
		}
		late := w.Deliver(acquirer, m)
		want := map[string]unionpay.ResponseCode{"of an approval": "00", "while pending": "68", "of the unknown": "68"}[name]
		if len(late) != 1 || code(late[0]) != want {
			t.Errorf("%s: the request again: %+v", name, late)
		}
	}
}

func TestAnUploadIsForwardedUntilTheIssuerDecides(t *testing.T) {
	w := newWorld(t)
	w.Clock.Set(time.Date(2026, 11, 21, 15, 59, 59, 0, time.UTC)) // a second before the business date changes
	m := w.upload(500)
	onward := w.forwarded(m)
	if out := w.Advance(time.Hour); len(out) != 0 {
		t.Fatalf("an upload timed out: %+v", out)
	}
	for _, trouble := range []unionpay.ResponseCode{unionpay.SystemFault, unionpay.IssuerInoperative} {
		if out := w.answer(lantern, onward, trouble); len(out) != 0 {
			t.Errorf("%s was taken for an answer", trouble)
		}
	}
	first := w.encode(onward)
	for range 2 {
		if again := w.forwarded(m); !bytes.Equal(w.encode(again), first) {
			t.Error("it is forwarded with other content, on another date")
		}
		w.Rig = w.Restart(newSwitch(t, w.hsm)) // the second time after a crash
	}
	w.forwarded(m)
	out := w.answer(lantern, onward, unionpay.Approved)
	if len(out) != 1 || code(out[0]) != "00" {
		t.Fatalf("answer %+v", out)
	}
	if again := w.Answer(acquirer, m); !bytes.Equal(out[0].Bytes, again.Bytes) {
		t.Error("a repeat gets another answer")
	}
}

func (w *world) encode(m unionpay.Message) []byte {
	w.Helper()
	wire, err := unionpay.Encode(unionpay.Switch, nil, m, nil)
	if err != nil {
		w.Fatal(err)
	}
	return wire
}

// flakyVault fails on demand, as a security module that is being restarted.
type flakyVault struct {
	interchange.Vault
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

func TestTroubleWithTheSecurityModule(t *testing.T) {
	w := newWorld(t)
	vault := &flakyVault{Vault: w.hsm, down: true}
	w.Rig = w.Restart(newSwitch(t, vault))
	upload, payment := w.upload(500), w.request(700)
	taken := networktest.ReversalAtSwitch(payment)
	for _, m := range []unionpay.Message{upload, payment, taken} {
		if out := w.Answer(acquirer, m); code(out) != "96" {
			t.Errorf("%T: answer %s, want 96", m, code(out))
		}
	}
	vault.down = false
	w.forwarded(upload)
	if out := w.Answer(acquirer, payment); code(out) != "96" {
		t.Errorf("a repeated payment is answered %s, want the first answer", code(out))
	}
	if out := w.Answer(acquirer, taken); code(out) != "00" {
		t.Errorf("the reversal is answered %s once the module is back", code(out))
	}
}

// What the security module cannot open when the process starts is opened later: every payment ends.
func TestARestartOutlivesTroubleWithTheSecurityModule(t *testing.T) {
	w := newWorld(t)
	taken, silent := w.request(300), w.request(400)
	w.answer(lantern, w.forwarded(taken), unionpay.Approved)
	w.Deliver(acquirer, networktest.ReversalAtSwitch(taken))
	w.forwarded(silent)
	vault := &flakyVault{Vault: w.hsm, down: true}
	again := newSwitch(t, vault)
	w.Rig = w.Restart(again)
	if len(w.Out) != 0 || len(w.Advance(5*time.Minute)) != 0 || again.Outstanding() != 2 {
		t.Fatalf("%d outstanding while nothing can be opened", again.Outstanding())
	}
	vault.down = false
	reversals := 0
	for _, sent := range w.Advance(time.Minute) {
		if m, ok := sent.Message.(*unionpay.ReversalRequest); ok {
			w.Deliver(lantern, unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved}))
			reversals++
		}
	}
	if again.Outstanding() != 0 || reversals < 2 {
		t.Errorf("%d outstanding, %d reversals sent", again.Outstanding(), reversals)
	}
}

// TestCrashAtEveryRow stops the process after every row. What was pending is reversed or waits for its repeat; reversals are delivered again as they were,
// however little is kept in memory.
func TestCrashAtEveryRow(t *testing.T) {
	for _, capacity := range append(tiny, journal.Capacity{}) {
		crashAtEveryRow(t, capacity)
	}
}

func crashAtEveryRow(t *testing.T, capacity journal.Capacity) {
	t.Helper()
	w := newWorld(t)
	w.Rig = w.Restart(newBounded(t, w.hsm, capacity))
	fine, silent, cancelled, offline := w.request(100), w.request(200), w.request(300), w.upload(400)
	w.answer(lantern, w.forwarded(fine), unionpay.Approved)
	w.forwarded(silent)
	w.forwarded(cancelled)
	before := map[string][]byte{}
	remember := func(sent []networktest.Sent) {
		for _, m := range sent {
			if taken, ok := m.Message.(*unionpay.ReversalRequest); ok {
				before[unionpay.NetworkKey(taken)] = m.Bytes
			}
		}
	}
	remember(w.Deliver(acquirer, networktest.ReversalAtSwitch(cancelled)))
	w.forwarded(offline)
	remember(w.Advance(40 * time.Second))
	whole := w.Rows()
	if len(before) != 2 {
		t.Fatalf("%d reversals", len(before))
	}
	for n := range len(whole) + 1 {
		rig := networktest.NewRig(t, newBounded(t, w.hsm, capacity), w.Prefix(n), w.Clock, networktest.SwitchDialect)
		sent := rig.Out
		sent = append(sent, rig.Advance(time.Second)...)
		for _, m := range sent {
			taken, ok := m.Message.(*unionpay.ReversalRequest)
			if !ok {
				if code(m) != "98" || m.To != acquirer {
					t.Errorf("after row %d: %s to %s", n, code(m), m.To)
				}
				continue
			}
			if was := before[unionpay.NetworkKey(taken)]; was != nil && !bytes.Equal(was, m.Bytes) {
				t.Errorf("after row %d: another reversal than before the crash", n)
			}
			rig.Deliver(lantern, unionpay.Respond(taken, unionpay.Answer{Response: unionpay.Approved}))
		}
		if out := rig.Advance(time.Hour); len(out) != 0 {
			t.Errorf("after row %d: %d messages are still repeated", n, len(out))
		}
		if n == len(whole) {
			if out := rig.Answer(acquirer, fine); code(out) != "00" {
				t.Error("the approval is forgotten")
			}
		}
		again := networktest.NewRig(t, newBounded(t, w.hsm, capacity), rig.Store.Reopen(), w.Clock, networktest.SwitchDialect)
		if len(again.Out) != 0 {
			t.Errorf("after row %d: %d messages left once more", n, len(again.Out))
		}
	}
}

func TestNewChecksItsDeps(t *testing.T) {
	sound := interchange.Deps{Institution: own, Vault: newWorld(t).hsm, PINKey: networktest.PINKey, SealKey: "seal"}
	for name, change := range map[string]func(*interchange.Deps){
		"institution": func(d *interchange.Deps) { d.Institution = "" }, "vault": func(d *interchange.Deps) { d.Vault = nil },
		"PIN keys": func(d *interchange.Deps) { d.PINKey = nil }, "seal key": func(d *interchange.Deps) { d.SealKey = "" },
		"prefix": func(d *interchange.Deps) { d.Routes = []interchange.Route{{Issuer: lantern}} },
		"issuer": func(d *interchange.Deps) { d.Routes = []interchange.Route{{Prefix: "62"}} },
	} {
		d := sound
		change(&d)
		if _, err := interchange.New(d); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestAMemberSpeaksForItself: a member can neither pay nor reverse in another's name, and nothing it tries makes a row.
func TestAMemberSpeaksForItself(t *testing.T) {
	w := newWorld(t)
	m := w.request(100)
	onward := w.forwarded(m)
	if out := w.answer(lantern, onward, unionpay.Approved); len(out) != 1 {
		t.Fatal("no answer")
	}
	rows := len(w.Rows())
	inItsName := networktest.ReversalAtSwitch(m)
	inOwnName := networktest.ReversalAtSwitch(m)
	inOwnName.Acquirer, inOwnName.Forwarder = willow, willow
	early := networktest.ReversalAtSwitch(w.request(100))
	early.Forwarder = willow
	for name, forged := range map[string]unionpay.Message{
		"a payment": w.request(200), "a repeat": m, "a reversal": inItsName, "a reversal of another's payment": inOwnName,
		"a reversal before the payment": early,
	} {
		if out := w.Answer(willow, forged); code(out) != unionpay.TerminalNotRegistered {
			t.Errorf("%s: %s", name, code(out))
		}
	}
	if len(w.Rows()) != rows {
		t.Errorf("%d rows were made", len(w.Rows())-rows)
	}
	if out := w.Deliver(acquirer, networktest.ReversalAtSwitch(m)); len(out) != 2 || out[1].To != lantern {
		t.Errorf("the acquirer's own reversal: %+v", out)
	}
}
