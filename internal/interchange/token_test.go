package interchange_test

import (
	"bytes"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/interchange"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

const tokens = "19000001"

// tokenWorld is a switch with a token service; the test plays it.
type tokenWorld struct {
	*world
	token *networktest.Card // a phone
}

func newTokenSwitch(t testing.TB, vault interchange.Vault) *interchange.Switch {
	t.Helper()
	s, err := interchange.New(interchange.Deps{Institution: own, Vault: vault, PINKey: networktest.PINKey, SealKey: networktest.KeySeal,
		Calendar: networktest.Shanghai, Routes: []interchange.Route{{Prefix: "6299991", Issuer: lantern}},
		Tokens: interchange.TokenRoute{Prefix: "629998", Service: tokens}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newTokenWorld(t testing.TB) *tokenWorld {
	t.Helper()
	vault := networktest.NewHSM(t, 3, map[string]string{acquirer: "acquirer-switch", lantern: "lantern", tokens: "tokens"})
	rig := networktest.NewRig(t, newTokenSwitch(t, vault), journal.NewMemStore(), clock.NewManual(networktest.Start), networktest.SwitchDialect)
	w := &tokenWorld{world: &world{Rig: rig, hsm: vault, card: networktest.NewCard(t, "629999100000001", 50_000)}}
	w.token = networktest.NewCard(t, "629998100000001", 0)
	return w
}

func (w *tokenWorld) pay(minor int64) *unionpay.FinancialRequest {
	w.Helper()
	w.stan++
	return networktest.AtSwitch(w.token.Pay(w.stan, minor), acquirer, "1121")
}

func (w *tokenWorld) number() pan.Number { return w.card.Pay(1, 1).PAN }

// asked is the question that a message leads to.
func (w *tokenWorld) asked(out []networktest.Sent, operation unionpay.TokenOperation) *unionpay.TokenRequest {
	w.Helper()
	if len(out) == 0 || out[len(out)-1].To != tokens {
		w.Fatalf("sent %+v, want a question last", out)
	}
	q := out[len(out)-1].Message.(*unionpay.TokenRequest)
	if d, err := q.Data(); err != nil || d.Operation != operation || !q.Track2.IsZero() {
		w.Fatalf("question %+v, %v", d, err)
	}
	return q
}

// says is the token service's answer.
func (w *tokenWorld) says(q *unionpay.TokenRequest, reason unionpay.TokenReason) []networktest.Sent {
	w.Helper()
	out := unionpay.Respond(q, unionpay.Answer{Response: reason.ResponseCode()}).(*unionpay.TokenResponse)
	d := unionpay.TokenData{Reason: reason}
	if reason.ResponseCode().Approved() {
		d = unionpay.TokenData{Reason: reason, Token: q.PAN, Reference: "0123456789ABCDEF0123456789ABCDEF", PAR: "6299ABCDEFGHIJKLMNOPQRSTUVWXY",
			Requestor: "62900000001", Assurance: "12", Class: unionpay.ClassCVM, Verification: unionpay.CryptogramVerified, Storage: unionpay.StorageHCE}
		out.PAN, out.CardSequence, out.Expiry = w.number(), "001", w.card.Pay(1, 1).Expiry
		if q.PINBlock != nil {
			bound, result, err := w.hsm.RebindPIN(networktest.PINKey(tokens), networktest.PINKey(tokens), *q.PINBlock, q.PAN, out.PAN)
			if err != nil || result != hsm.PINOK {
				w.Fatal(result, err)
			}
			out.PINBlock = &bound
		}
	}
	var err error
	if out.Additional, err = d.Opaque(); err != nil {
		w.Fatal(err)
	}
	return w.Deliver(tokens, out)
}

// resolved brings a payment to the issuer.
func (w *tokenWorld) resolved(m *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	w.Helper()
	out := w.says(w.asked(w.Deliver(acquirer, m), unionpay.OperationResolve), unionpay.TokenResolved)
	if len(out) != 1 || out[0].To != lantern {
		w.Fatalf("forwarded %+v", out)
	}
	return out[0].Message.(*unionpay.FinancialRequest)
}

func TestATokenGoesToTheIssuerAsItsCard(t *testing.T) {
	w := newTokenWorld(t)
	m := w.pay(29_900)
	m.PINBlock = networktest.EncipherPIN(w, w.hsm, acquirer, "1234", m.PAN)
	onward := w.resolved(m)
	d, err := unionpay.ParseTokenData(onward.Additional)
	if err != nil || onward.PAN != w.number() || d.Token != m.PAN || d.PAR == "" || d.Requestor == "" || d.Assurance != "12" || !onward.Track2.IsZero() ||
		unionpay.NetworkKey(onward) != unionpay.NetworkKey(m) {
		t.Errorf("forwarded %+v %+v %v", onward, d, err)
	}
	if _, result, err := w.hsm.TranslatePIN(networktest.PINKey(lantern), networktest.PINKey(lantern), *onward.PINBlock, w.number()); err != nil || result != hsm.PINOK {
		t.Error("the PIN is not bound to the card", result, err)
	}
	row := w.LastRow()
	if row.Kind != journal.Requested || bytes.Contains(row.Answer, w.number().BCD()) || len(row.Answer) == 0 {
		t.Errorf("row %+v", row)
	}
	out := w.answer(lantern, onward, unionpay.Approved)
	if len(out) != 1 || out[0].To != acquirer || unionpay.PaymentOf(out[0].Message).PAN != m.PAN || code(out[0]) != "00" {
		t.Fatalf("answer %+v", out)
	}
	m.PINBlock = networktest.EncipherPIN(w, w.hsm, acquirer, "1234", m.PAN)
	if again := w.Answer(acquirer, m); !bytes.Equal(again.Bytes, out[0].Bytes) {
		t.Error("a repeat gets another answer")
	}
	w.NoSecrets([]pan.Number{w.number(), m.PAN}, m.PINBlock)
}

func TestATokenThatIsRefused(t *testing.T) {
	for _, reason := range unionpay.TokenReasons() {
		if reason.ResponseCode().Approved() {
			continue
		}
		w := newTokenWorld(t)
		m := w.pay(100)
		out := w.says(w.asked(w.Deliver(acquirer, m), unionpay.OperationResolve), reason)
		if len(out) != 1 || out[0].To != acquirer || code(out[0]) != reason.ResponseCode() || w.LastRow().Kind != journal.Declined {
			t.Errorf("%s: %+v", reason, out)
			continue
		}
		if again := w.Answer(acquirer, m); !bytes.Equal(again.Bytes, out[0].Bytes) {
			t.Errorf("%s: a repeat gets another answer", reason)
		}
		if out := w.Deliver(acquirer, networktest.ReversalAtSwitch(m)); len(out) != 1 || code(out[0]) != "00" {
			t.Errorf("%s: its reversal: %+v", reason, out)
		}
	}
}

func TestASilentTokenService(t *testing.T) {
	w := newTokenWorld(t)
	m := w.pay(100)
	q := w.asked(w.Deliver(acquirer, m), unionpay.OperationResolve)
	w.asked(w.Deliver(acquirer, m), unionpay.OperationResolve) // a repeat asks again
	out := w.Advance(10 * time.Second)
	if len(out) != 1 || out[0].To != acquirer || code(out[0]) != unionpay.IssuerInoperative {
		t.Fatalf("after the time: %+v", out)
	}
	if out := w.says(q, unionpay.TokenResolved); len(out) != 0 {
		t.Errorf("a late answer: %+v", out)
	}
	if w.Out = nil; len(w.Rows()) != 1 {
		t.Errorf("%d rows", len(w.Rows()))
	}
}

func TestATokenPaymentIsTakenBack(t *testing.T) {
	w := newTokenWorld(t)
	early := w.pay(100)
	q := w.asked(w.Deliver(acquirer, early), unionpay.OperationResolve)
	if out := w.Deliver(acquirer, networktest.ReversalAtSwitch(early)); len(out) != 1 || code(out[0]) != "00" {
		t.Fatalf("taken back before it was resolved: %+v", out)
	}
	if out := w.says(q, unionpay.TokenResolved); len(out) != 0 {
		t.Errorf("forwarded all the same: %+v", out)
	}

	m := w.pay(200)
	w.resolved(m)
	taken := networktest.ReversalAtSwitch(m)
	out := w.Deliver(acquirer, taken)
	if code(out[0]) != "00" {
		t.Fatalf("reversal: %+v", out)
	}
	w.asked(out, unionpay.OperationMap)
	w.Rig = w.Restart(newTokenSwitch(t, w.hsm)) // nothing of it is in memory
	q = w.asked(w.Out, unionpay.OperationMap)
	if out := w.says(q, unionpay.TokenServiceUnavailable); len(out) != 0 {
		t.Errorf("cannot say: %+v", out)
	}
	q = w.asked(w.Advance(time.Minute), unionpay.OperationMap)
	out = w.says(q, unionpay.TokenMapped)
	if len(out) != 1 || out[0].To != lantern || unionpay.PaymentOf(out[0].Message).PAN != w.number() {
		t.Fatalf("mapped: %+v", out)
	}
	if out := w.answer(lantern, out[0].Message, unionpay.Approved); len(out) != 0 || w.LastRow().Kind != journal.Acknowledged {
		t.Errorf("acknowledged: %+v", out)
	}
}

func TestAnIssuerThatIsSilentAboutAToken(t *testing.T) {
	w := newTokenWorld(t)
	m := w.pay(100)
	w.resolved(m)
	out := w.Advance(30 * time.Second)
	if len(out) != 2 || out[0].To != acquirer || code(out[0]) != unionpay.IssuerTimeout || unionpay.PaymentOf(out[0].Message).PAN != m.PAN {
		t.Fatalf("after the time: %+v", out)
	}
	out = w.says(w.asked(out, unionpay.OperationMap), unionpay.TokenUnknown)
	if len(out) != 1 || out[0].To != lantern {
		t.Errorf("money must not stay held for a token that is gone: %+v", out)
	}
}

func TestNobodyElseResolves(t *testing.T) {
	w := newTokenWorld(t)
	m := w.pay(100)
	q := w.asked(w.Deliver(acquirer, m), unionpay.OperationResolve)
	forged := unionpay.Respond(q, unionpay.Answer{Response: unionpay.Approved}).(*unionpay.TokenResponse)
	forged.PAN = w.number()
	var err error
	if forged.Additional, err = (unionpay.TokenData{Reason: unionpay.TokenResolved, Token: m.PAN}).Opaque(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{acquirer, lantern} {
		if out := w.Deliver(from, forged); len(out) != 0 {
			t.Errorf("%s resolves a token: %+v", from, out)
		}
	}
	claims := w.request(100)
	claims.PAN, claims.Additional = w.number(), forged.Additional
	if out := w.Deliver(acquirer, claims); len(out) != 1 || code(out[0]) != unionpay.FormatError {
		t.Errorf("an acquirer vouches for a token: %+v", out)
	}
	filled := w.pay(100)
	filled.Additional = forged.Additional
	if out := w.Deliver(acquirer, filled); len(out) != 1 || code(out[0]) != unionpay.NotPermittedToCard {
		t.Errorf("an acquirer brings token data: %+v", out)
	}
}

// TestWhatFollowsAPaymentByToken: voids, completions, refunds and advices map the token whatever state it is in, and are sent on like any other.
func TestWhatFollowsAPaymentByToken(t *testing.T) {
	w := newTokenWorld(t)
	sale := w.pay(5_000)
	w.answer(lantern, w.resolved(sale), unionpay.Approved)
	for name, change := range map[string]func(*unionpay.FinancialRequest){
		"void":   func(m *unionpay.FinancialRequest) { m.Processing = unionpay.ProcessingVoid },
		"refund": func(m *unionpay.FinancialRequest) { m.Processing, m.Advice = unionpay.ProcessingVoid, true },
	} {
		m := w.pay(5_000)
		m.Original = unionpay.OriginalOf(sale)
		change(m)
		q := w.asked(w.Deliver(acquirer, m), unionpay.OperationMap)
		if q.ICC.Has(emv.TagAC) || q.Forwarder != own {
			t.Errorf("%s: question %+v", name, q)
		}
		out := w.says(q, unionpay.TokenMapped)
		if len(out) != 1 || out[0].To != lantern || unionpay.PaymentOf(out[0].Message).PAN != w.number() {
			t.Fatalf("%s: forwarded %+v", name, out)
		}
		if m.Advice { // the acquirer repeats it until it is answered
			again := w.says(w.asked(w.Deliver(acquirer, m), unionpay.OperationMap), unionpay.TokenMapped)
			if len(again) != 1 || !bytes.Equal(again[0].Bytes, out[0].Bytes) {
				t.Errorf("%s: sent again %+v", name, again)
			}
		}
		if out := w.answer(lantern, out[0].Message, unionpay.Approved); len(out) != 1 || unionpay.PaymentOf(out[0].Message).PAN != m.PAN {
			t.Errorf("%s: answer %+v", name, out)
		}
	}
	if advice := w.pay(100); true {
		advice.Advice = true
		out := w.says(w.asked(w.Deliver(acquirer, advice), unionpay.OperationMap), unionpay.TokenServiceUnavailable)
		if len(out) != 1 || out[0].To != acquirer || w.LastRow().Kind == journal.Declined {
			t.Errorf("an advice that nobody could map is refused for good: %+v", out)
		}
	}
}
