package unionpay

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"tapnet/iso8583"
	"tapnet/pan"
	"tapnet/tlv"
)

// fullTokenData has every member.
func fullTokenData(t testing.TB) TokenData {
	t.Helper()
	return TokenData{
		Operation: OperationResolve, Token: number(t), Reference: "T0000000000000000000000000000001", PAR: "6299" + strings.Repeat("A", PARChars-4), Requestor: "62900000001",
		Assurance: "12", Reason: TokenCooling, Class: ClassCVM, Verification: CryptogramVerified, Storage: StorageFile, Device: "phone-1",
		Evidence: &TokenEvidence{Method: 2, Age: 3, Risk: 0, Latency: 7},
	}
}

// tokenMessages is a question and both kinds of answer.
func tokenMessages(t testing.TB) []Message {
	t.Helper()
	ask := fullPayment(t, Switch)
	ask.Track2, ask.Track3 = pan.Track2{}, Track3{}
	ask.Additional = opaque(t, TokenData{Operation: OperationResolve})
	request := &TokenRequest{Payment: ask}
	yes := Respond(request, Answer{Response: Approved}).(*TokenResponse)
	yes.PINBlock, yes.Additional = ask.PINBlock, opaque(t, fullTokenData(t))
	no := Respond(request, Answer{Response: TokenLost.ResponseCode()}).(*TokenResponse)
	no.Additional = opaque(t, TokenData{Reason: TokenLost})
	return []Message{request, yes, no}
}

func opaque(t testing.TB, d TokenData) Opaque {
	t.Helper()
	o, err := d.Opaque()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTokenMessages(t *testing.T) {
	for _, m := range tokenMessages(t) {
		b, err := Encode(Switch, nil, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(Switch, b)
		if err != nil || !equal(t, m, again) || NetworkKey(again) != NetworkKey(m) || ContentHash(again) != ContentHash(m) {
			t.Errorf("%v: %+v became %+v", err, m, again)
		}
		if _, err := Encode(Terminal, nil, m, nil); err == nil {
			t.Error("a terminal speaks of tokens")
		}
	}
	if TypeTokenRequest.Response() != TypeTokenResponse || TypeTokenRequest.Class() != '1' || !TypeTokenResponse.IsResponse() {
		t.Error("types")
	}
}

func TestTokenMessagesRefused(t *testing.T) {
	for name, change := range map[string]func(m *TokenRequest){
		"without token data": func(m *TokenRequest) { m.Additional = "" },
		"damaged token data": func(m *TokenRequest) { m.Additional = "\xDF\x20\x01" },
		"unknown operation":  func(m *TokenRequest) { m.Additional = "\xDF\x20\x01\x09" },
		"without token":      func(m *TokenRequest) { m.PAN = pan.Number{} },
	} {
		m := tokenMessages(t)[0].(*TokenRequest)
		change(m)
		b, err := Encode(Switch, nil, m, nil)
		if err == nil {
			_, err = Decode(Switch, b)
		}
		var field *iso8583.FieldError
		if !errors.As(err, &field) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenData(t *testing.T) {
	full := fullTokenData(t)
	o := opaque(t, full)
	again, err := ParseTokenData(o)
	if err != nil || *again.Evidence != *full.Evidence {
		t.Fatalf("%v: %+v", err, again)
	}
	again.Evidence, full.Evidence = nil, nil
	if again != full {
		t.Errorf("%+v became %+v", full, again)
	}
	for name, d := range map[string]TokenData{
		"operation":    {Operation: 9},
		"reference":    {Reference: "a b"},
		"long":         {Reference: strings.Repeat("a", 33)},
		"PAR":          {PAR: "6299"},
		"requestor":    {Requestor: "1234"},
		"letters":      {Requestor: "1234567890a"},
		"assurance":    {Assurance: "1"},
		"class":        {Class: 3},
		"verification": {Verification: 4},
		"storage":      {Storage: 5},
		"device":       {Device: "a b"},
	} {
		if _, err := d.Opaque(); !errors.Is(err, ErrContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]Opaque{
		"twice":      "\xDF\x20\x01\x01\xDF\x20\x01\x01",
		"out of row": "\xDF\x28\x01\x01\xDF\x20\x01\x01",
		"unknown":    "\xDF\x30\x01\x01",
		"empty":      "\xDF\x20\x00",
		"long form":  "\xDF\x20\x81\x01\x01",
		"cut short":  "\xDF\x20\x02\x01",
		"no reason":  "\xDF\x25\x02\x00\x00",
	} {
		if _, err := ParseTokenData(o); !errors.Is(err, ErrContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenReasonsStandOnce(t *testing.T) {
	seen, last := map[TokenReason]bool{}, TokenReason(0)
	for _, r := range TokenReasons() {
		if seen[r] || r <= last || r.Term().EN == "" || r.Term().ZH == "" || !r.ResponseCode().Known() || r.ResponseCode().Approved() != (r < 100) {
			t.Errorf("reason %d", r)
		}
		seen[r], last = true, r
	}
	if unknown := TokenReason(999); unknown.Known() || unknown.ResponseCode() != SystemFault || unknown.String() == "" {
		t.Error("an unknown reason")
	}
}

func FuzzParseTokenData(f *testing.F) {
	f.Add([]byte(opaque(f, fullTokenData(f))))
	f.Add(tlv.Append(nil, tagReason, []byte{0, 100}))
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := ParseTokenData(Opaque(in))
		if err != nil {
			return
		}
		if out, err := d.Opaque(); err != nil || !bytes.Equal([]byte(out), in) {
			t.Fatalf("%X became %X, %v", in, string(out), err)
		}
	})
}
