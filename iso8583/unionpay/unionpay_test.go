package unionpay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tapnet/glossary"
	"tapnet/iso8583"
	"tapnet/mac"
	"tapnet/money"
	"tapnet/pan"
)

// equal compares messages; pointers inside are followed, chip data and PIN blocks compared by content.
func equal(t testing.TB, a, b Message) bool {
	t.Helper()
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	pa, pb := PaymentOf(a), PaymentOf(b)
	if pa == nil {
		return reflect.DeepEqual(a, b)
	}
	return a.Type() == b.Type() && equalPayments(pa, pb)
}

func equalPayments(a, b *Payment) bool {
	ca, cb := *a, *b
	if (ca.PINBlock == nil) != (cb.PINBlock == nil) || ca.PINBlock != nil && !ca.PINBlock.Equal(*cb.PINBlock) || !ca.ICC.Equal(cb.ICC) {
		return false
	}
	if (ca.NewPIN == nil) != (cb.NewPIN == nil) || ca.NewPIN != nil && !ca.NewPIN.Equal(*cb.NewPIN) {
		return false
	}
	ca.PINBlock, cb.PINBlock, ca.NewPIN, cb.NewPIN = nil, nil, nil, nil
	ca.ICC.Reset()
	cb.ICC = ca.ICC
	return reflect.DeepEqual(ca, cb)
}

// TestSwitchSamples: the recorded and the computed key reset decode to what the notes say, re-encode to the same
// bytes, and the MAC is right where the key is known.
func TestSwitchSamples(t *testing.T) {
	for _, v := range vectors(t, "switch.txt") {
		t.Run(v.attributes["name"], func(t *testing.T) {
			input, found, err := MACInput(Switch, v.body)
			if err != nil || !bytes.Equal(found, v.hex(t, "mac")) {
				t.Fatalf("MAC found %X, %v", found, err)
			}
			if key, ok := v.attributes["key"]; ok {
				if got := mac.CBC(block(t, unhex(t, key)), input); !bytes.Equal(got[:], found) {
					t.Errorf("MAC is %X, want %X", got, found)
				}
			}
			m, err := Decode(Switch, v.body)
			if err != nil {
				t.Fatal(err)
			}
			got := m.(*NetworkRequest)
			if got.MTI != "0800" || got.Code != KeyExchange || got.Institution != "10000001" || len(got.Keys.MAC) != 8 || got.Keys.PIN != nil {
				t.Errorf("decoded %+v", got)
			}
			out, err := Encode(Switch, nil, m, func([]byte) (sum [8]byte, _ error) { copy(sum[:], found); return })
			if err != nil || !bytes.Equal(out, v.body) {
				t.Errorf("encoded\n%X, %v, want\n%X", out, err, v.body)
			}
		})
	}
}

func TestTerminalMACVectors(t *testing.T) {
	for _, v := range vectors(t, "terminalmac.txt") {
		got, err := macWith(t, Terminal, v.hex(t, "key"))(v.body)
		if err != nil || !bytes.Equal(got[:], v.hex(t, "mac")) {
			t.Errorf("%s: got %X", v.attributes["name"], got)
		}
	}
}

// TestSignOnKeys: the keys of [REF V-11] in field 62 of a sign-on response, single and double length.
func TestSignOnKeys(t *testing.T) {
	pik, mak := unhex(t, "CB4AB541CD5AD4FC256A882726936A5A"), unhex(t, "256A882726936A5A")
	pinKCV, macKCV := [4]byte(unhex(t, "08D7B4FB")), [4]byte(unhex(t, "A68CDCA9"))
	for name, c := range map[string]struct {
		keys WrappedKeys
		wire string
	}{
		"double": {WrappedKeys{PIN: pik, PINKCV: pinKCV, MAC: mak, MACKCV: macKCV},
			"0040 CB4AB541CD5AD4FC256A882726936A5A 08D7B4FB 256A882726936A5A0000000000000000 A68CDCA9"},
		"single": {WrappedKeys{PIN: mak, PINKCV: macKCV, MAC: mak, MACKCV: macKCV},
			"0024 256A882726936A5A A68CDCA9 256A882726936A5A A68CDCA9"},
	} {
		m := samples(t, Terminal)["keys"].(*NetworkResponse)
		m.Code, m.Keys = SignOn, &c.keys
		b, err := Encode(Terminal, nil, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, unhex(t, c.wire)) {
			t.Errorf("%s: field 62 is not %s in %X", name, c.wire, b)
		}
		got, err := Decode(Terminal, b)
		if err != nil || !reflect.DeepEqual(got.(*NetworkResponse).Keys, &c.keys) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTerminalWire fixes the bytes of a sale, field by field [REF 6.1].
func TestTerminalWire(t *testing.T) {
	m := request(t, Terminal)
	m.ICC.Reset()
	b, err := Encode(Terminal, []byte("before"), m, macWith(t, Terminal, unhex(t, "0123456789ABCDEF")))
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	want = append(want, unhex(t, "0200 702406C020C09811")...)
	for _, part := range []string{
		"16 6299990000000017", "000000", "000000029900", "000017", "3012", "0710", "0001", "00", "12",
		"34 6299990000000017D30122200000000000", "504F533120202020", "383938303030303030303030303031", "313536",
		"60D2B73093F23F22", "2600000000000000", "0013 22000003000600",
	} {
		want = append(want, unhex(t, part)...)
	}
	if !bytes.HasPrefix(b, append([]byte("before"), want...)) {
		t.Fatalf("got\n%X, want\n%X", b[6:], want)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		key := unhex(t, "0123456789ABCDEFFEDCBA9876543210")
		for name, m := range samples(t, d) {
			t.Run(d.String()+" "+name, func(t *testing.T) {
				sum := macWith(t, d, key)
				b, err := Encode(d, nil, m, sum)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Decode(d, b)
				if err != nil {
					t.Fatal(err)
				}
				if !equal(t, got, m) {
					t.Errorf("got\n%+v, want\n%+v", got, m)
				}
				if ContentHash(got) != ContentHash(m) {
					t.Error("content hash changed on the way")
				}
				input, found, err := MACInput(d, b)
				want, _ := sum(input)
				if err != nil || !mac.Equal(found, want[:]) {
					t.Errorf("MAC %X, want %X, %v", found, want, err)
				}
				if plain, err := Encode(d, nil, m, nil); err != nil || len(plain) != len(b)-8 {
					t.Errorf("without MAC: %d bytes, %v", len(plain), err)
				} else if input, found, err := MACInput(d, plain); err != nil || found != nil || len(input) != len(plain) {
					t.Errorf("without MAC: found %X, %v", found, err)
				}
			})
		}
	}
}

// TestDecodeOwnsMemory: nothing in a decoded message changes when the receive buffer is used again.
func TestDecodeOwnsMemory(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		for name, m := range samples(t, d) {
			b, err := Encode(d, nil, m, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(d, b)
			if err != nil {
				t.Fatal(err)
			}
			clear(b)
			if !equal(t, got, m) {
				t.Errorf("%v %s: changed with the buffer", d, name)
			}
		}
	}
}

// TestDialectsMeanTheSame: an acquirer turns a terminal's message into the switch's; what both carry is equal.
func TestDialectsMeanTheSame(t *testing.T) {
	sale := fullPayment(t, Terminal)
	b, err := Encode(Terminal, nil, &FinancialRequest{Payment: sale}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(Terminal, b)
	if err != nil {
		t.Fatal(err)
	}
	forward := *m.(*FinancialRequest)
	forward.TransmissionTime, forward.Forwarder = "1121155959", "10000002"
	if b, err = Encode(Switch, nil, &forward, nil); err != nil {
		t.Fatal(err)
	}
	if m, err = Decode(Switch, b); err != nil {
		t.Fatal(err)
	}
	got, want := *PaymentOf(m), sale
	want.TransmissionTime, want.Forwarder = forward.TransmissionTime, forward.Forwarder
	want.Institutions, want.PBOC, want.Custom, want.Reserved, want.Original = "", "", "", "", nil // terminal only
	if !equalPayments(&got, &want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func TestReversalTypes(t *testing.T) {
	for d, want := range map[Dialect]string{Terminal: "\x04\x00", Switch: "0420"} {
		b, err := Encode(d, nil, samples(t, d)["reversal request"], nil)
		if err != nil || !bytes.HasPrefix(b, []byte(want)) {
			t.Errorf("%v: %X, %v", d, b[:4], err)
		}
	}
}

func TestKeys(t *testing.T) {
	sale := request(t, Terminal)
	if got := TerminalKey(sale); got != "POS1    0000030000172" {
		t.Errorf("terminal key %q", got)
	}
	if TerminalKey(sale) != TerminalKey(Respond(sale, Answer{Response: Approved})) {
		t.Error("answer has another key")
	}
	reversal := &ReversalRequest{sale.Payment}
	if TerminalKey(reversal) == TerminalKey(sale) || OriginalKey(reversal) != TerminalKey(sale) {
		t.Errorf("reversal key %q, original %q", TerminalKey(reversal), OriginalKey(reversal))
	}
	void := request(t, Terminal)
	void.STAN, void.Info.MessageType, void.Original = 18, KindVoid, OriginalOf(sale)
	if OriginalKey(void) != TerminalKey(sale) {
		t.Errorf("void names %q", OriginalKey(void))
	}
	preAuth, cancel := request(t, Terminal), request(t, Terminal)
	preAuth.Authorization, cancel.Authorization = true, true
	preAuth.Info.MessageType, cancel.Info.MessageType = KindPreAuth, KindPreAuthCancel
	cancel.STAN, cancel.Original = 19, OriginalOf(preAuth)
	if OriginalKey(cancel) != TerminalKey(preAuth) || OriginalKey(&ReversalRequest{preAuth.Payment}) != TerminalKey(preAuth) {
		t.Error("pre-authorization and cancellation do not meet")
	}
	onward := request(t, Switch)
	if got := NetworkKey(onward); got != "112115595900001700010000001000100000022" {
		t.Errorf("network key %q", got)
	}
	back := &ReversalRequest{onward.Payment}
	back.PINBlock, back.Track2, back.Original = nil, pan.Track2{}, OriginalOf(onward)
	b, err := Encode(Switch, nil, back, nil)
	if err != nil {
		t.Fatal(err)
	}
	received, err := Decode(Switch, b)
	if err != nil || OriginalKey(received) != NetworkKey(onward) {
		t.Errorf("reversal names %q, %v", OriginalKey(received), err)
	}
	if OriginalKey(sale) != "" || OriginalKey(samples(t, Switch)["echo"]) != "" {
		t.Error("a message without original names one")
	}
	if NetworkKey(samples(t, Switch)["echo"]) == "" || TerminalKey(samples(t, Terminal)["echo"]) != "POS1    0000030000098" {
		t.Error("network message has no key")
	}
}

// TestContentHash: only MAC and PIN block may change without changing the hash.
func TestContentHash(t *testing.T) {
	m := &FinancialRequest{Payment: fullPayment(t, Switch)}
	hash := ContentHash(m)
	same := *m
	same.PINBlock = nil
	if ContentHash(&same) != hash {
		t.Error("PIN block changes the hash")
	}
	advice := *m
	advice.Advice = true
	if ContentHash(&advice) == hash {
		t.Error("type does not change the hash")
	}
	fields := reflect.TypeFor[Payment]()
	for i := range fields.NumField() {
		changed := *m
		reflect.ValueOf(&changed.Payment).Elem().Field(i).SetZero()
		other := fullPayment(t, Terminal)
		if reflect.ValueOf(m.Payment).Field(i).IsZero() {
			reflect.ValueOf(&changed.Payment).Elem().Field(i).Set(reflect.ValueOf(other).Field(i))
		}
		if name := fields.Field(i).Name; (ContentHash(&changed) == hash) != (name == "PINBlock" || name == "NewPIN") {
			t.Errorf("%s: hash wrong", name)
		}
	}
	echo := samples(t, Switch)["keys"].(*NetworkResponse)
	hash = ContentHash(echo)
	echo.Keys.PIN = bytes.Clone(echo.Keys.PIN)
	echo.Keys.PIN[0]++
	if ContentHash(echo) == hash {
		t.Error("key does not change the hash")
	}
}

// TestNothingSecretIsPrinted: no message shows PAN, track, PIN block, keys or private data.
func TestNothingSecretIsPrinted(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		for name, m := range samples(t, d) {
			shown := []any{m}
			if p := PaymentOf(m); p != nil {
				shown = append(shown, p, *p)
			}
			if n := networkOf(m); n != nil {
				shown = append(shown, *n, n.Keys)
				if n.Keys != nil {
					shown = append(shown, *n.Keys)
				}
			}
			var out string
			for _, value := range shown {
				for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d") {
					out += fmt.Sprintf(verb, value)
				}
				encoded, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				out += string(encoded)
			}
			for _, secret := range []string{testPAN, "99629999", "60D2B730", "60d2b730", secretText, fmt.Sprintf("%x", secretText),
				"0101010101010101", "1 1 1 1 1 1", "0x1, 0x1, 0x1", "AQEBAQEB"} {
				if strings.Contains(out, secret) {
					t.Errorf("%v %s shows %q", d, name, secret)
				}
			}
		}
	}
}

func TestAnswer(t *testing.T) {
	sale := request(t, Switch)
	full := fullPayment(t, Terminal)
	full.Response = Approved
	a := AnswerOf(&full)
	kept, err := ParseAnswer(a.AppendBinary(nil))
	if err != nil || !bytes.Equal(kept.AppendBinary(nil), a.AppendBinary(nil)) || !kept.ICC.Equal(a.ICC) || *kept.Balance != *a.Balance {
		t.Fatalf("got %+v, %v", kept, err)
	}
	first, second := Respond(sale, a), Respond(sale, kept)
	if !equal(t, first, second) {
		t.Error("kept answer makes another response")
	}
	r := first.(*FinancialResponse)
	if r.PINBlock != nil || !r.Track2.IsZero() || r.STAN != sale.STAN || r.Type() != TypeFinancialResponse || NetworkKey(r) != NetworkKey(sale) {
		t.Errorf("response %+v", r)
	}
	r.ICC.Set(emvTag, []byte{1})
	if a.ICC.Has(emvTag) {
		t.Error("response shares chip data with the answer")
	}
	if got := Respond(sale, Answer{Response: WrongPIN}).(*FinancialResponse); got.RRN != sale.RRN || got.Response != WrongPIN {
		t.Errorf("got %+v", got)
	}
	if _, err := Encode(Switch, nil, Respond(sale, Answer{Response: WrongPIN}), nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"00", "00270002", "002700023030" + "002700023030", "0002000131", "00270000", "0036000130", "FFFF000130",
		"0037000195"} {
		if _, err := ParseAnswer(unhex(t, bad)); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a response was answered")
		}
	}()
	Respond(r, a)
}

const emvTag = 0x9F01

func TestNetworkAnswer(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		for _, code := range []NetworkCode{SignOn, SignOff, Echo} {
			m := samples(t, d)["sign-on"].(*NetworkRequest)
			m.MTI, m.Code = "", code
			b, err := Encode(d, nil, m, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(d, b)
			if err != nil {
				t.Fatal(err)
			}
			answer := got.(*NetworkRequest).Answer(Approved)
			if b, err = Encode(d, nil, answer, nil); err != nil {
				t.Fatal(err)
			}
			if got, err = Decode(d, b); err != nil || !reflect.DeepEqual(got, answer) || got.Type() != WireType(d, m).Response() {
				t.Errorf("%v %v: got %+v, %v", d, code, got, err)
			}
		}
	}
}

// TestResponseCodes prints the table's facts: every code once, two characters, both languages, approval as in [REF 6.2].
func TestResponseCodes(t *testing.T) {
	approved := []ResponseCode{"00", "10", "11", "A2", "A4", "A5", "A6"}
	seen := map[ResponseCode]bool{}
	for _, c := range ResponseCodes() {
		if seen[c] || len(c) != 2 || c.Term().EN == "" || c.Term().ZH == "" || !c.Known() {
			t.Errorf("%q: twice, wrong length or without meaning", c)
		}
		seen[c] = true
		if c.Approved() != slices.Contains(approved, c) {
			t.Errorf("%q: approved is %v", c, c.Approved())
		}
		if UnpackResponseCode(c.Pack()) != c {
			t.Errorf("%q: pack", c)
		}
	}
	for code := range strings.FieldsSeq(`00 01 03 04 05 10 11 12 13 14 15 21 22 25 30 34 38 40 41 43 45 51 54 55 57 58 59 61 62 64 65 68 75
		90 91 92 94 96 97 98 99 A0 A1 A2 A3 A4 A5 A6 A7 06 17`) {
		if !seen[ResponseCode(code)] {
			t.Errorf("%s is missing", code)
		}
	}
	for _, c := range []ResponseCode{"", "0", "ZZ", "000", "a2"} {
		if c.Approved() || c.Known() || c.Term().EN == "" || c.Term().ZH == "" {
			t.Errorf("%q is known", c)
		}
	}
	if ResponseCode("").Pack() != 0 || UnpackResponseCode(0) != "" || ResponseCode("abc").Pack() != 0 {
		t.Error("empty code")
	}
}

func TestNetworkCodes(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		for c := SignOn; c <= SmallAmountBlacklistEnd; c++ {
			if c.Term().ZH == "" || c.String() == NoNetworkCode.String() {
				t.Errorf("code %d has no row", c)
			}
			digits, ok := c.Wire(d)
			if !ok {
				continue
			}
			if got, ok := ParseNetworkCode(d, digits); !ok || got != c {
				t.Errorf("%v %s is %v", d, digits, got)
			}
		}
		if _, ok := ParseNetworkCode(d, "999"); ok {
			t.Error("999 is known")
		}
		if _, ok := ParseNetworkCode(d, ""); ok {
			t.Error("nothing is known")
		}
	}
	if NoNetworkCode.Term().EN == "" {
		t.Error("no name for no code")
	}
}

func TestFields(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		last := 1
		for _, f := range Fields(d) {
			if f.Number <= last || f.Name.In(glossary.English) == "" || f.Name.ZH == "" || f.Format == "" {
				t.Errorf("%v: %+v", d, f)
			}
			last = f.Number
			if spec, ok := SpecOf(d).Field(f.Number); !ok || spec != f.Spec {
				t.Errorf("%v field %d: %+v", d, f.Number, spec)
			}
			if got, ok := FieldOf(d, f.Number); !ok || got != f {
				t.Errorf("%v field %d not found", d, f.Number)
			}
		}
		if last != macField(d) {
			t.Errorf("%v: field %d is behind the MAC", d, last)
		}
		if _, ok := FieldOf(d, 1); ok {
			t.Error("field 1 exists")
		}
	}
	for d, want := range map[Dialect]string{Terminal: "b..999 LLL", Switch: "b..255 LLL"} {
		if f, _ := FieldOf(d, fieldICC); f.Format != want || !f.Sensitive {
			t.Errorf("%v: %+v", d, f)
		}
	}
}

func TestEntryMode(t *testing.T) {
	for _, c := range []struct {
		mode                   EntryMode
		contactless, chip, pin bool
	}{
		{"071", true, true, true}, {"072", true, true, false}, {"051", false, true, true}, {"021", false, false, true},
		{"912", false, false, false}, {"981", true, true, true}, {"962", true, true, false}, {"07", false, false, false}, {"", false, false, false},
	} {
		if c.mode.Contactless() != c.contactless || c.mode.Chip() != c.chip || c.mode.PINEntered() != c.pin {
			t.Errorf("%q", c.mode)
		}
	}
	if NewEntryMode(EntryContact, true) != "051" || NewEntryMode(EntryContactless, false) != "072" {
		t.Error("NewEntryMode")
	}
}

func TestBalanceInquiry(t *testing.T) {
	m := request(t, Terminal)
	m.Processing, m.Info.MessageType, m.Amount = ProcessingBalance, KindBalance, money.New(0, money.MOP)
	b, err := Encode(Terminal, nil, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	var raw iso8583.Message
	if err := SpecOf(Terminal).Unpack(b, &raw); err != nil || raw.Has(fieldAmount) || !raw.Has(fieldCurrency) {
		t.Errorf("amount %v, %v", raw.Has(fieldAmount), err)
	}
	got, err := Decode(Terminal, b)
	if err != nil || !equal(t, got, m) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func fieldOf(err error) int {
	var fe *iso8583.FieldError
	if errors.As(err, &fe) {
		return fe.Field
	}
	return -9
}

// TestRoundTripWithoutOneField takes every field out of a full payment, one at a time: what Encode accepts comes back.
func TestRoundTripWithoutOneField(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		accepted := 0
		for i := range reflect.TypeFor[Payment]().NumField() {
			m := &FinancialRequest{Payment: fullPayment(t, d)}
			reflect.ValueOf(&m.Payment).Elem().Field(i).SetZero()
			b, err := Encode(d, nil, m, nil)
			if err != nil {
				if !errors.Is(err, ErrMissing) {
					t.Errorf("%v without %s: %v", d, reflect.TypeFor[Payment]().Field(i).Name, err)
				}
				continue
			}
			accepted++
			if got, err := Decode(d, b); err != nil || !equal(t, got, m) {
				t.Errorf("%v without %s: %v", d, reflect.TypeFor[Payment]().Field(i).Name, err)
			}
		}
		if accepted < 25 {
			t.Errorf("%v: only %d fields are optional", d, accepted)
		}
	}
}
