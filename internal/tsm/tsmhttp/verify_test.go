package tsmhttp

import (
	"context"
	"fmt"
	"testing"

	"tapnet/element"
	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/sdk/hce/hcetest"
)

// question is the token service's, about a tap of a token.
func (w *whole) question(ref string, minor int64) *unionpay.TokenRequest {
	w.Helper()
	field := element.NewField(w.element)
	defer field.Remove()
	o := hcetest.Tap(w, hcetest.Terminal(w), field, minor)
	opaque, err := unionpay.TokenData{Operation: unionpay.OperationVerify, Reference: ref, Storage: unionpay.StorageSE}.Opaque()
	if err != nil {
		w.Fatal(err)
	}
	w.stan++
	return &unionpay.TokenRequest{Payment: unionpay.Payment{
		PAN: w.tokens[ref].Number, Processing: unionpay.ProcessingSale, Amount: money.New(minor, money.CNY), TransmissionTime: "1122080000", STAN: w.stan,
		MerchantType: "5411", EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), CardSequence: "001", Acquirer: "10000001", Forwarder: "00000000",
		RRN: fmt.Sprintf("%012d", w.stan), Terminal: "T0000001", Merchant: "M00000000000001", Additional: opaque, ICC: o.Data,
	}}
}

// answered asks, and reads the answer. changed is how many rows it took.
func (w *whole) answered(m *unionpay.TokenRequest) (d unionpay.TokenData, changed int) {
	w.Helper()
	before := w.rows()
	w.sent = nil
	ev := journal.Event{From: "19000001", Message: m}
	w.service.Prepare(&ev)
	if _, err := w.stepper.Step(context.Background(), ev); err != nil {
		w.Fatal(err)
	}
	if len(w.sent) != 1 {
		w.Fatalf("%d answers", len(w.sent))
	}
	out, ok := w.sent[0].Message.(*unionpay.TokenResponse)
	if !ok || w.sent[0].To != "19000001" {
		w.Fatalf("%T to %q", w.sent[0].Message, w.sent[0].To)
	}
	d, err := out.Data()
	if err != nil || out.Response != d.Reason.ResponseCode() {
		w.Fatalf("response %s for %v: %v", out.Response, d.Reason, err)
	}
	return d, w.rows() - before
}

func (w *whole) rows() (n int) {
	w.Helper()
	if err := w.store.Load(context.Background(), 0, func(*journal.Row) error { n++; return nil }); err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *whole) expect(name string, m *unionpay.TokenRequest, want unionpay.TokenReason, rows int) {
	w.Helper()
	verification := unionpay.NotVerified
	switch want {
	case unionpay.TokenVerified:
		verification = unionpay.CryptogramVerified
	case unionpay.CredentialCryptogram, unionpay.CounterRepeated, unionpay.CredentialExpired, unionpay.CredentialSuspended:
		verification = unionpay.CryptogramRefused
	}
	if d, n := w.answered(m); d.Reason != want || n != rows || d.Verification != verification || d.Storage != unionpay.StorageSE {
		w.Errorf("%s: %v (%v) with %d rows, want %v with %d", name, d.Reason, d.Verification, n, want, rows)
	}
}

// TestVerify: a tap is right once, in any order, before and after a restart; the same payment again gets the same answer without a row.
func TestVerify(t *testing.T) {
	w := newWhole(t, 0x70, "phone")
	if p := w.run("", "tok1", "personalize-1"); p.Failed != "" {
		t.Fatal(p.Failed)
	}
	first, second, third := w.question("tok1", 100), w.question("tok1", 200), w.question("tok1", 300)
	w.expect("the third first", third, unionpay.TokenVerified, 1)
	w.expect("the first", first, unionpay.TokenVerified, 1)
	w.start()
	later := *first
	later.TransmissionTime = "1122090000"
	w.expect("the first again, after a restart", &later, unionpay.TokenVerified, 0)
	other := *first
	other.STAN++
	w.expect("another payment with its counter", &other, unionpay.CounterRepeated, 1)
	w.expect("the second", second, unionpay.TokenVerified, 1)
	w.start()
	w.expect("all again", second, unionpay.TokenVerified, 0)
	w.expect("all again", third, unionpay.TokenVerified, 0)
}

// TestVerifyRefused: each rule by itself.
func TestVerifyRefused(t *testing.T) {
	w := newWhole(t, 0x70, "phone")
	for ref, number := range map[string]string{"tok1": "1", "tok2": "2"} {
		if p := w.run("", ref, "personalize-"+number); p.Failed != "" {
			t.Fatal(p.Failed)
		}
	}
	w.run("default", "tok1", "default-tok1")
	iad := func(change func([]byte)) func(*unionpay.TokenRequest) {
		return func(m *unionpay.TokenRequest) {
			b := append([]byte(nil), m.ICC.Get(emv.TagIAD)...)
			change(b)
			m.ICC.Set(emv.TagIAD, b)
		}
	}
	about := func(ref string, op unionpay.TokenOperation) func(*unionpay.TokenRequest) {
		return func(m *unionpay.TokenRequest) {
			var err error
			if m.Additional, err = (unionpay.TokenData{Operation: op, Reference: ref}).Opaque(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*unionpay.TokenRequest)
		want   unionpay.TokenReason
		rows   int
	}{
		"nothing":                {func(*unionpay.TokenRequest) {}, unionpay.TokenVerified, 1},
		"another token's number": {func(m *unionpay.TokenRequest) { m.PAN = w.tokens["tok2"].Number }, unionpay.TokenUnknown, 1},
		"no number":              {func(m *unionpay.TokenRequest) { m.PAN = pan.Number{} }, unionpay.TokenUnknown, 1},
		"a reference of nobody":  {about("tok9", unionpay.OperationVerify), unionpay.TokenUnknown, 1},
		"a token that never came": {func(m *unionpay.TokenRequest) {
			about("tok3", unionpay.OperationVerify)(m)
			m.PAN = w.tokens["tok3"].Number
		}, unionpay.CredentialUnknown, 1},
		"another question":   {about("tok1", unionpay.OperationResolve), unionpay.VerifierUnavailable, 0},
		"no chip data":       {func(m *unionpay.TokenRequest) { m.ICC = emv.Data{} }, unionpay.TokenNoCryptogram, 1},
		"no counter":         {func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagATC, []byte{1}) }, unionpay.TokenNoCryptogram, 1},
		"half a cryptogram":  {func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagAC, []byte{1, 2, 3, 4}) }, unionpay.TokenNoCryptogram, 1},
		"another counter":    {func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagATC, []byte{9, 9}) }, unionpay.CredentialCryptogram, 1},
		"another cryptogram": {func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagAC, make([]byte, 8)) }, unionpay.CredentialCryptogram, 1},
		"another number":     {func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagUnpredictableNumber, []byte{1, 2, 3, 9}) }, unionpay.CredentialCryptogram, 1},
		"another amount":     {func(m *unionpay.TokenRequest) { m.Amount = money.New(1, money.CNY) }, unionpay.CredentialEvidence, 1},
		"another amount, twice": {func(m *unionpay.TokenRequest) {
			m.Amount = money.New(999, money.CNY)
			m.ICC.Set(emv.TagAmount, []byte{0, 0, 0, 0, 9, 0x99})
		}, unionpay.CredentialCryptogram, 1},
		"another currency":        {func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagCurrency, []byte{8, 0x40}) }, unionpay.CredentialEvidence, 1},
		"another sequence number": {func(m *unionpay.TokenRequest) { m.CardSequence = "002" }, unionpay.CredentialUnknown, 1},
		"another generation":      {iad(func(b []byte) { b[1] = 9 }), unionpay.CredentialUnknown, 1},
		"another version":         {iad(func(b []byte) { b[2] = 9 }), unionpay.CredentialUnknown, 1},
		"another algorithm":       {iad(func(b []byte) { b[7] = 4 }), unionpay.CredentialUnknown, 1},
		"a declined payment":      {iad(func(b []byte) { b[4] &^= 0x30 }), unionpay.TokenNoCryptogram, 1},
		"other results":           {iad(func(b []byte) { b[5] ^= 1 }), unionpay.CredentialCryptogram, 1},
	} {
		m := w.question("tok1", 100)
		c.change(m)
		d, n := w.answered(m)
		if d.Reason != c.want || n != c.rows {
			t.Errorf("%s: %v with %d rows, want %v with %d", name, d.Reason, n, c.want, c.rows)
		}
	}
	m := w.question("tok1", 100)
	w.run("lock", "tok1", "lock-tok1")
	w.expect("locked meanwhile", m, unionpay.CredentialSuspended, 1)
	w.run("unlock", "tok1", "unlock-tok1")
	w.expect("unlocked", m, unionpay.TokenVerified, 1)
	m = w.question("tok1", 100)
	w.run("delete", "tok1", "delete-tok1")
	w.expect("deleted meanwhile", m, unionpay.TokenUnknown, 1)
	if status, body := w.open("", "tok1", "a-second-life"); status != 409 {
		t.Errorf("a second life of a token: %d %s", status, body)
	}
}
