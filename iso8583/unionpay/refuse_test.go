package unionpay

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"tapnet/emv"
	"tapnet/iso8583"
	"tapnet/money"
	"tapnet/pan"
)

// changed encodes m, changes it below the typed level, and gives the bytes.
func changed(t testing.TB, d Dialect, m Message, change func(raw *iso8583.Message) error) []byte {
	t.Helper()
	b, err := Encode(d, nil, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	var raw iso8583.Message
	if err := SpecOf(d).Unpack(b, &raw); err != nil {
		t.Fatal(err)
	}
	if err := change(&raw); err != nil {
		t.Fatal(err)
	}
	if b, err = SpecOf(d).Append(nil, &raw); err != nil {
		t.Fatal(err)
	}
	return b
}

func set(number int, text string) func(*iso8583.Message) error {
	return func(raw *iso8583.Message) error { return raw.Set(number, []byte(text)) }
}

// TestMandatoryFields takes every mandatory field out of every message, one at a time, in both directions.
func TestMandatoryFields(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		for name, m := range samples(t, d) {
			kind := MessageType("")
			if p := PaymentOf(m); p != nil {
				kind = p.kind()
			}
			mandatory := Mandatory(d, WireType(d, m), kind)
			if len(mandatory) == 0 {
				t.Errorf("%v %s: no rule", d, name)
			}
			for _, number := range mandatory {
				b := changed(t, d, m, func(raw *iso8583.Message) error {
					raw.Clear(number)
					return nil
				})
				if _, err := Decode(d, b); !errors.Is(err, ErrMissing) && (number != fieldCurrency || err == nil) || fieldOf(err) < 0 {
					t.Errorf("%v %s without field %d: %v", d, name, number, err)
				}
			}
		}
	}
	if Mandatory(Terminal, "0999", "") != nil {
		t.Error("rule for an unknown type")
	}
}

// TestKindsDemandMore: [REF 6.1], fields that only some kinds of transaction need.
func TestKindsDemandMore(t *testing.T) {
	for _, c := range []struct {
		kind          MessageType
		advice, auth  bool
		number        int
		reversal      bool
		demandedAlone bool
	}{
		{kind: KindVoid, number: 37}, {kind: KindVoid, number: 61}, {kind: KindCompletion, number: 61},
		{kind: KindCompletionVoid, number: 37}, {kind: KindOfflineUpload, number: 63}, {kind: KindLoadOther, number: 48},
		{kind: KindLoadCashCancel, number: 61}, {kind: KindPreAuthCancel, auth: true, number: 38},
		{kind: KindPreAuthCancel, auth: true, number: 61}, {kind: KindRefund, advice: true, number: 63},
		{kind: KindOfflineRefund, advice: true, number: 61}, {kind: KindCompletionNote, advice: true, number: 61},
		{kind: KindVoid, reversal: true, number: 61}, {kind: KindSale, reversal: true, number: 39},
	} {
		full := fullPayment(t, Terminal)
		full.Info.MessageType = c.kind
		var m Message = &FinancialRequest{Payment: full, Advice: c.advice, Authorization: c.auth}
		if c.reversal {
			full.PINBlock, full.Track2, full.Track3 = nil, pan.Track2{}, Track3{}
			m = &ReversalRequest{full}
		}
		b := changed(t, Terminal, m, func(raw *iso8583.Message) error {
			raw.Clear(c.number)
			return nil
		})
		if _, err := Decode(Terminal, b); !errors.Is(err, ErrMissing) || fieldOf(err) != c.number {
			t.Errorf("kind %s without field %d: %v", c.kind, c.number, err)
		}
	}
}

// TestANewPINTravelsWithItsChangeOnly: with nothing else, and never with an answer or a reversal.
func TestANewPINTravelsWithItsChangeOnly(t *testing.T) {
	for _, d := range []Dialect{Terminal, Switch} {
		for name, m := range samples(t, d) {
			p := PaymentOf(m)
			if p == nil || name == "PIN change" {
				continue
			}
			p.NewPIN = fullPayment(t, d).PINBlock
			if _, err := Encode(d, nil, m, nil); !errors.Is(err, ErrUnexpected) || fieldOf(err) != fieldNewPIN {
				t.Errorf("%s %s with a new PIN: %v", d, name, err)
			}
		}
		m := samples(t, d)["PIN change"]
		PaymentOf(m).NewPIN = nil
		if _, err := Encode(d, nil, m, nil); d == Terminal && (!errors.Is(err, ErrMissing) || fieldOf(err) != fieldNewPIN) {
			t.Errorf("%s: a change without a new PIN: %v", d, err)
		}
	}
}

// TestDecodeRefuses: one wrong value each.
func TestDecodeRefuses(t *testing.T) {
	full := func(d Dialect) Message { return &FinancialRequest{Payment: fullPayment(t, d)} }
	for _, c := range []struct {
		name   string
		d      Dialect
		m      Message
		number int
		text   string
		cause  error
	}{
		{"short PAN", Terminal, full(Terminal), 2, "62999900", pan.ErrInvalid},
		{"no such hour", Switch, full(Switch), 7, "1121245959", ErrContent},
		{"no such month", Switch, full(Switch), 7, "1321235959", ErrContent},
		{"trace number zero", Terminal, full(Terminal), 11, "000000", ErrContent},
		{"no such minute", Terminal, full(Terminal), 12, "236000", ErrContent},
		{"no such day", Terminal, full(Terminal), 13, "1132", ErrContent},
		{"day zero", Terminal, full(Terminal), 15, "1100", ErrContent},
		{"expiry in month 13", Terminal, full(Terminal), 14, "3013", pan.ErrInvalid},
		{"fee without sign", Switch, full(Switch), 28, "000000010", ErrContent},
		{"track without separator", Terminal, full(Terminal), 35, testPAN, pan.ErrInvalid},
		{"no such currency", Terminal, full(Terminal), 49, "157", money.ErrCurrency},
		{"currency in letters", Terminal, full(Terminal), 49, "CNY", ErrContent},
		{"balance without sign", Terminal, full(Terminal), 54, "0002156X000000001250", ErrContent},
		{"balance in an unknown currency", Terminal, full(Terminal), 54, "0002157C000000001250", money.ErrCurrency},
		{"balance with letters", Terminal, full(Terminal), 54, "0002156C00000000125A", ErrContent},
		{"balance of an unknown kind", Terminal, full(Terminal), 54, "00A2156C000000001250", ErrContent},
		{"zero owed", Terminal, full(Terminal), 54, "0002156D000000000000", ErrContent},
		{"chip data cut short", Terminal, full(Terminal), 55, "\x9F\x26\x08\x01", iso8583.ErrTruncated},
		{"chip data twice", Terminal, full(Terminal), 55, "\x82\x01\x01\x82\x01\x01", emv.ErrDuplicateTag},
		{"info ends inside the batch", Terminal, full(Terminal), 60, "2200000", iso8583.ErrLength},
		{"info ends inside the code", Terminal, full(Terminal), 60, "220000010", iso8583.ErrLength},
		{"info ends inside the account type", Switch, full(Switch), 60, "2200000100060000", iso8583.ErrLength},
		{"original too short", Terminal, full(Terminal), 61, "00000200001", iso8583.ErrLength},
		{"original with half a date", Terminal, full(Terminal), 61, "00000200001211", iso8583.ErrLength},
		{"original with a bad date", Terminal, full(Terminal), 61, "0000020000121320", ErrContent},
		{"original zero", Terminal, full(Terminal), 61, "0000020000001120", ErrContent},
		{"original at a bad time", Switch, full(Switch), 90, "0200000012139901010300010000001" + "00010000002", ErrContent},
		{"original zero at the switch", Switch, full(Switch), 90, "0200000000112001020300010000001" + "00010000002", ErrContent},
		{"network code in a payment", Switch, full(Switch), 70, "301", ErrUnexpected},
		{"new key in a payment", Switch, full(Switch), 96, "12345678", ErrUnexpected},
		{"PIN in a reversal", Terminal, samples(t, Terminal)["reversal request"], 52, "12345678", ErrUnexpected},
		{"track in a reversal", Switch, samples(t, Switch)["reversal request"], 35, testTrack, ErrUnexpected},
		{"PIN in an answer", Switch, samples(t, Switch)["financial response"], 52, "12345678", ErrUnexpected},
		{"track 3 in an answer", Terminal, samples(t, Terminal)["reversal response"], 36, "99", ErrUnexpected},
		{"PAN in an echo", Terminal, samples(t, Terminal)["echo"], 2, testPAN, ErrUnexpected},
		{"PIN in an echo", Switch, samples(t, Switch)["echo"], 52, "12345678", ErrUnexpected},
		{"additional data in an echo", Terminal, samples(t, Terminal)["echo"], 48, "12345678", ErrUnexpected},
		{"security in a terminal's echo", Terminal, samples(t, Terminal)["echo"], 53, "2600000000000000", ErrUnexpected},
		{"info at the switch", Switch, samples(t, Switch)["echo"], 60, "00000001301", ErrUnexpected},
		{"unknown network code", Switch, samples(t, Switch)["echo"], 70, "999", ErrContent},
		{"switch's network code", Terminal, samples(t, Terminal)["echo"], 60, "00000003101", ErrContent},
		{"a payment's kind", Terminal, samples(t, Terminal)["echo"], 60, "22000003301", ErrContent},
		{"info without code", Terminal, samples(t, Terminal)["echo"], 60, "00000003", ErrContent},
		{"key of neither kind", Switch, samples(t, Switch)["keys"], 53, "3600000000000000", ErrContent},
		{"key of another length", Switch, samples(t, Switch)["keys"], 53, "1000000000000000", ErrContent},
		{"security not zeros", Switch, samples(t, Switch)["keys"], 53, "1600000000000001", ErrContent},
		{"key not hex", Switch, samples(t, Switch)["keys"], 48, strings.Repeat("x", 32), ErrContent},
		{"key in lower case", Switch, samples(t, Switch)["keys"], 48, strings.Repeat("ab", 16), ErrContent},
		{"key too short", Switch, samples(t, Switch)["keys"], 48, strings.Repeat("A", 30), iso8583.ErrLength},
		{"check value too short", Switch, samples(t, Switch)["keys"], 48, strings.Repeat("A", 36), ErrContent},
		{"check value zero", Switch, samples(t, Switch)["keys"], 48, strings.Repeat("A", 32) + "00000000", ErrContent},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := changed(t, c.d, c.m, set(c.number, c.text))
			m, err := Decode(c.d, b)
			if err == nil || m != nil {
				t.Fatalf("accepted: %+v", m)
			}
			if c.cause != iso8583.ErrTruncated && !errors.Is(err, c.cause) {
				t.Errorf("got %v, want %v", err, c.cause)
			}
			if fieldOf(err) != c.number {
				t.Errorf("blamed field %d: %v", fieldOf(err), err)
			}
			if len(c.text) > 6 && strings.Contains(err.Error(), c.text) {
				t.Errorf("error shows content: %v", err)
			}
		})
	}
}

func TestUnknownTypes(t *testing.T) {
	for _, c := range []struct {
		d   Dialect
		mti string
	}{{Terminal, "0420"}, {Terminal, "0430"}, {Switch, "0400"}, {Switch, "0410"}, {Switch, "0320"}, {Switch, "0500"}, {Terminal, "0920"}, {Terminal, "0000"}, {Switch, "1200"},
		{Switch, "0422"}} {
		b := changed(t, c.d, request(t, c.d), func(raw *iso8583.Message) error {
			copy(raw.MTI[:], c.mti)
			return nil
		})
		if _, err := Decode(c.d, b); !errors.Is(err, ErrUnknownType) || fieldOf(err) != iso8583.MTIField {
			t.Errorf("%v %s: %v", c.d, c.mti, err)
		}
	}
	if _, err := Decode(Terminal, unhex(t, "0920 0800000000000000 01")); !errors.Is(err, ErrUnknownType) {
		t.Errorf("unknown type with an undefined field: %v", err)
	}
	for name, m := range map[string]Message{
		"advice and authorization":          &FinancialRequest{Advice: true, Authorization: true},
		"advice and authorization response": &FinancialResponse{Advice: true, Authorization: true},
		"payment's type":                    &NetworkRequest{MTI: "0200", Code: Echo},
		"response's type":                   &NetworkRequest{MTI: "0810", Code: Echo},
		"request's type":                    &NetworkResponse{MTI: "0800", Code: Echo},
	} {
		if out, err := Encode(Switch, []byte("kept"), m, nil); !errors.Is(err, ErrUnknownType) || string(out) != "kept" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEncodeRefuses: what would not come back, or cannot be written.
func TestEncodeRefuses(t *testing.T) {
	payments := map[string]struct {
		number int
		change func(p *Payment)
	}{
		"trace number of seven digits":   {11, func(p *Payment) { p.STAN = 1000000 }},
		"no trace number":                {11, func(p *Payment) { p.STAN = 0 }},
		"negative amount":                {4, func(p *Payment) { p.Amount = money.New(-1, money.CNY) }},
		"amount of thirteen digits":      {4, func(p *Payment) { p.Amount = money.New(1e12, money.CNY) }},
		"no amount":                      {4, func(p *Payment) { p.Amount = money.Amount{} }},
		"amount without currency":        {4, func(p *Payment) { p.Amount = money.New(5, money.Currency{}) }},
		"letters in the processing code": {3, func(p *Payment) { p.Processing = "00000A" }},
		"short processing code":          {3, func(p *Payment) { p.Processing = "0000" }},
		"no such time":                   {12, func(p *Payment) { p.LocalTime = "250000" }},
		"half a date":                    {13, func(p *Payment) { p.LocalDate = "11" }},
		"card sequence of two digits":    {23, func(p *Payment) { p.CardSequence = "01" }},
		"long institution":               {32, func(p *Payment) { p.Acquirer = "123456789012" }},
		"long terminal":                  {41, func(p *Payment) { p.Terminal = "POS123456" }},
		"terminal ends with a blank":     {41, func(p *Payment) { p.Terminal = "POS " }},
		"terminal in Chinese":            {41, func(p *Payment) { p.Terminal = "机" }},
		"long answer code":               {39, func(p *Payment) { p.Response = "000" }},
		"short answer code":              {39, func(p *Payment) { p.Response = "0!" }},
		"balance without types":          {54, func(p *Payment) { p.Balance = &Balance{Amount: p.Amount} }},
		"balance without currency":       {54, func(p *Payment) { p.Balance = &Balance{AccountType: "00", AmountType: "01"} }},
		"batch of seven digits":          {60, func(p *Payment) { p.Info.Batch = 1000000 }},
		"batch without kind":             {60, func(p *Payment) { p.Info = Info{Batch: 1} }},
		"gap in the info":                {60, func(p *Payment) { p.Info = Info{MessageType: "22", AccountType: "000"} }},
		"letter in the info":             {60, func(p *Payment) { p.Info.ReadCapability = "x" }},
		"original without date digits":   {61, func(p *Payment) { p.Original = &Original{STAN: 1, Date: "1"} }},
		"original with a long batch":     {61, func(p *Payment) { p.Original = &Original{STAN: 1, Batch: 1e7} }},
		"too much private data":          {62, func(p *Payment) { p.Custom = Opaque(strings.Repeat("x", 1000)) }},
		"too much chip data":             {55, func(p *Payment) { p.ICC.Set(0x9F7C, make([]byte, 1100)) }},
	}
	for name, c := range payments {
		m := &FinancialRequest{Payment: fullPayment(t, Terminal)}
		c.change(&m.Payment)
		if out, err := Encode(Terminal, []byte("kept"), m, nil); fieldOf(err) != c.number || string(out) != "kept" {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := &FinancialRequest{Payment: fullPayment(t, Switch)}
	long.ICC.Set(0x9F7C, make([]byte, 200))
	if _, err := Encode(Switch, nil, long, nil); fieldOf(err) != fieldICC {
		t.Errorf("300 bytes of chip data at the switch: %v", err)
	}
	long = &FinancialRequest{Payment: fullPayment(t, Switch)}
	long.Original = &Original{Type: "0200", STAN: 1, TransmissionTime: "1"}
	if _, err := Encode(Switch, nil, long, nil); fieldOf(err) != fieldOriginalSwitch {
		t.Errorf("original without time: %v", err)
	}
	networks := map[string]struct {
		d      Dialect
		number int
		change func(n *Network)
	}{
		"code of the other dialect": {Terminal, 60, func(n *Network) { n.Code = KeyExchange }},
		"terminal's code at switch": {Switch, 70, func(n *Network) { n.Code = CAKeyGet }},
		"no code":                   {Switch, 70, func(n *Network) { n.Code = NoNetworkCode }},
		"two keys at the switch":    {Switch, 96, func(n *Network) { n.Keys = &WrappedKeys{PIN: make([]byte, 16), MAC: make([]byte, 8)} }},
		"no key at the switch":      {Switch, 96, func(n *Network) { n.Keys = &WrappedKeys{} }},
		"key of nine bytes":         {Switch, 96, func(n *Network) { n.Keys = &WrappedKeys{PIN: make([]byte, 9)} }},
		"other key's check value":   {Switch, 96, func(n *Network) { n.Keys = &WrappedKeys{PIN: make([]byte, 8), MACKCV: [4]byte{1}} }},
		"one key at the terminal":   {Terminal, 62, func(n *Network) { n.Keys = &WrappedKeys{PIN: make([]byte, 16)} }},
		"keys in an echo":           {Terminal, 62, func(n *Network) { n.Code = Echo; n.Keys = &WrappedKeys{PIN: make([]byte, 8), MAC: make([]byte, 8)} }},
		"track key beside short ones": {Terminal, 62, func(n *Network) {
			n.Keys = &WrappedKeys{PIN: make([]byte, 8), MAC: make([]byte, 8), Track: make([]byte, 16)}
		}},
		"data that look like keys": {Terminal, 62, func(n *Network) { n.Keys, n.Data = nil, Opaque(make([]byte, 40)) }},
		"batch of seven digits":    {Terminal, 60, func(n *Network) { n.Batch = 1e6 }},
		"trace number too long":    {Switch, 11, func(n *Network) { n.STAN = 1e6 }},
		"time of the wrong length": {Switch, 7, func(n *Network) { n.Time = "112115" }},
	}
	for name, c := range networks {
		m := samples(t, c.d)["keys"].(*NetworkResponse)
		c.change((*Network)(m))
		if _, err := Encode(c.d, nil, m, nil); fieldOf(err) != c.number {
			t.Errorf("%s: %v", name, err)
		}
	}
	signOn := samples(t, Terminal)["sign-on"].(*NetworkRequest)
	signOn.Operator = ""
	if _, err := Encode(Terminal, nil, signOn, nil); fieldOf(err) != fieldReserved || !errors.Is(err, ErrMissing) {
		t.Errorf("sign-on without operator: %v", err)
	}
	broken := errors.New("broken")
	failing := func([]byte) ([8]byte, error) { return [8]byte{}, broken }
	if _, err := Encode(Switch, nil, request(t, Switch), failing); !errors.Is(err, ErrMAC) || !errors.Is(err, broken) {
		t.Errorf("failing MAC: %v", err)
	}
}

// TestLeniency is the list in the package comment: accepted, and written in one way only.
func TestLeniency(t *testing.T) {
	reencoded := func(d Dialect, b []byte) []byte {
		m, err := Decode(d, b)
		if err != nil {
			t.Fatal(err)
		}
		out, err := Encode(d, nil, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	sale := request(t, Switch)
	want, err := Encode(Switch, nil, sale, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := reencoded(Switch, changed(t, Switch, sale, set(35, strings.Replace(testTrack, "=", "D", 1)))); !bytes.Equal(got, want) {
		t.Error("D in an ASCII track")
	}
	if got := reencoded(Switch, changed(t, Switch, sale, set(38, "      "))); !bytes.Equal(got, want) {
		t.Error("blank authorization code")
	}
	inquiry := request(t, Terminal)
	inquiry.Processing, inquiry.Info.MessageType, inquiry.Amount = ProcessingBalance, KindBalance, money.New(0, money.CNY)
	if want, err = Encode(Terminal, nil, inquiry, nil); err != nil {
		t.Fatal(err)
	}
	if got := reencoded(Terminal, changed(t, Terminal, inquiry, set(4, "000000000000"))); !bytes.Equal(got, want) {
		t.Error("zero amount in an inquiry")
	}
	if got := reencoded(Terminal, changed(t, Terminal, inquiry, func(raw *iso8583.Message) error {
		raw.WriteSecondaryBitmap()
		return nil
	})); !bytes.Equal(got, want) {
		t.Error("secondary bitmap without fields")
	}
	chip := append([]byte{0}, inquiry.ICC.Bytes()...)
	if got := reencoded(Terminal, changed(t, Terminal, inquiry, set(55, string(chip)))); !bytes.Equal(got, want) {
		t.Error("zero before the chip data")
	}
	b := changed(t, Terminal, inquiry, set(41, "        "))
	if _, err := Decode(Terminal, b); !errors.Is(err, ErrMissing) || fieldOf(err) != fieldTerminal {
		t.Errorf("blank terminal: %v", err)
	}
}

// TestSwitchKeys: field 53, 48 and 96 for each kind and length of key, with and without check value.
func TestSwitchKeys(t *testing.T) {
	double, single := bytes.Repeat([]byte{0xA1}, 16), bytes.Repeat([]byte{0xB2}, 8)
	for _, c := range []struct {
		keys          WrappedKeys
		security      string
		additional    string
		inNinetySixth bool
	}{
		{WrappedKeys{PIN: double}, "1600000000000000", strings.Repeat("A1", 16), false},
		{WrappedKeys{PIN: double, PINKCV: [4]byte{1, 2, 3, 0xFF}}, "1600000000000000", strings.Repeat("A1", 16) + "010203FF", false},
		{WrappedKeys{MAC: double, MACKCV: [4]byte{1}}, "2600000000000000", strings.Repeat("A1", 16) + "01000000", false},
		{WrappedKeys{MAC: single}, "2000000000000000", "", true},
		{WrappedKeys{MAC: single, MACKCV: [4]byte{1, 2, 3, 4}}, "2000000000000000", "01020304", true},
		{WrappedKeys{PIN: single}, "1000000000000000", "", true},
	} {
		m := samples(t, Switch)["sign-on"].(*NetworkRequest)
		m.MTI, m.Code, m.Keys = TypeNetworkRequest, KeyExchange, &c.keys
		b, err := Encode(Switch, nil, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		var raw iso8583.Message
		if err := SpecOf(Switch).Unpack(b, &raw); err != nil {
			t.Fatal(err)
		}
		if string(raw.Get(53)) != c.security || string(raw.Get(48)) != c.additional || raw.Has(96) != c.inNinetySixth {
			t.Errorf("53 %s, 48 %s, 96 %X", raw.Get(53), raw.Get(48), raw.Get(96))
		}
		if got, err := Decode(Switch, b); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	lone := samples(t, Switch)["keys"].(*NetworkResponse)
	lone.Keys, lone.Security = nil, "1600000000000000"
	b, err := Encode(Switch, nil, lone, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(Switch, b); err != nil || !reflect.DeepEqual(got, lone) {
		t.Errorf("security alone: %+v, %v", got, err)
	}
	keyed := samples(t, Switch)["keys"]
	if _, err := Decode(Switch, changed(t, Switch, keyed, func(raw *iso8583.Message) error { raw.Clear(53); return nil })); fieldOf(err) != 53 {
		t.Errorf("key without security: %v", err)
	}
}

func TestMACInputRefuses(t *testing.T) {
	for _, c := range []struct {
		d Dialect
		b string
	}{{Terminal, ""}, {Terminal, "0200"}, {Terminal, "0A000000000000000001"}, {Switch, "30323030"}, {Switch, "30323030 80"},
		{Switch, "30323030 8000000000000000 00"}} {
		if _, _, err := MACInput(c.d, unhex(t, c.b)); fieldOf(err) < 0 {
			t.Errorf("%v %s: %v", c.d, c.b, err)
		}
	}
}

func TestTrack3(t *testing.T) {
	for _, s := range []string{"", "99F", "99 ", strings.Repeat("9", 105)} {
		if _, err := ParseTrack3(s); !errors.Is(err, ErrContent) || len(s) > 2 && strings.Contains(err.Error(), s) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if got, err := ParseTrack3("99=1"); err != nil || got.Reveal() != "99=1" || got.IsZero() {
		t.Errorf("%v, %v", got, err)
	}
	if (Track3{}).String() != "" || !(Track3{}).IsZero() || Opaque("ab").Reveal() != "ab" {
		t.Error("zero value")
	}
}
