package explain_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

const (
	number = "6299991000000017"
	gpo    = "80A80000238321360000000000000000010000000000000156000000000001561706010 02B29EBE400"
	fci    = "6F598408A000000333010101A54D500A50424F43204445424954870101 9F3818 9F66049F02069F03069F1A0295055F2A029A039C019F3704" +
		"5F2D027A68 9F110101 9F120A50424F43204445424954 BF0C0A 9F4D020B0A DF4D020C0A 9000"
	answer = "774F 82027C00 9F36020ADC 5711" + number + "D20112010123456789 9F1013 07010103A00000010A010000038787868FD1FC" +
		"9F2608AD03EE811AFAD484 5F340100 9F6C020000 9F5D06000000038787 9000"
	reset = "30303831 30383030 82200000800008000400000100000001 31313233313135333333 313536373130 3038 3130303030303031" +
		"32303030303030303030303030303030 313031 6A5D90C152DF2778 25D7E3EBF28280CD"
	selectDebit = "00A4040008A00000033301010100"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tiles fails unless the leaves of n are exactly the input.
func tiles(t testing.TB, n explain.Node, length int) {
	t.Helper()
	at := 0
	for leaf := range n.Leaves() {
		if leaf.Length == 0 && length == 0 {
			return
		}
		if leaf.Offset != at || leaf.Length <= 0 {
			t.Fatalf("leaf %s at %d+%d, want offset %d", leaf.Key, leaf.Offset, leaf.Length, at)
		}
		at += leaf.Length
		if length <= explain.MaxInputBytes && len(leaf.Hex) != 2*leaf.Length {
			t.Fatalf("leaf %s has %d hex characters for %d bytes", leaf.Key, len(leaf.Hex), leaf.Length)
		}
	}
	if at != length {
		t.Fatalf("leaves end at %d of %d", at, length)
	}
	for node := range n.All() {
		if node.Name.EN == "" || node.Name.ZH == "" || node.Key == "" {
			t.Fatalf("node %q at %d lacks a name", node.Key, node.Offset)
		}
		if node.Meaning.EN != "" && node.Meaning.ZH == "" {
			t.Fatalf("node %q: meaning %q lacks Chinese", node.Key, node.Meaning.EN)
		}
	}
}

func render(t testing.TB, n explain.Node, o explain.Options) string {
	t.Helper()
	var b strings.Builder
	if err := explain.Render(&b, n, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func value(t testing.TB, n explain.Node, key string) string {
	t.Helper()
	found, ok := n.Find(key)
	if !ok {
		t.Fatalf("no node %s", key)
	}
	return found.Value
}

// sale is a request with everything sensitive in it.
func sale(t testing.TB) *unionpay.FinancialRequest {
	t.Helper()
	n, err := pan.Parse(number)
	if err != nil {
		t.Fatal(err)
	}
	expiry, _ := pan.ParseExpiry("3012")
	track, err := pan.NewTrack2(n, expiry, "201", "0123456789")
	if err != nil {
		t.Fatal(err)
	}
	pin, _ := pinblock.FromBytes(unhex(t, "A1B2C3D4E5F60718"))
	icc, err := emv.ParseData(unhex(t, "9F2608AD03EE811AFAD484 9F2701809F1013 07010103A00000010A010000038787868FD1FC 9F3704 2B29EBE4 9F36020ADC"+
		"9505 0000000000 9A03261121 9C0100 9F0206000000029900 5F2A020156 82027C00 9F1A020156 9F0306000000000000 9F3303E0E1C8"+
		"9F34035E0300 9F350122 9F1E083132333435363738 8408A000000333010101"))
	if err != nil {
		t.Fatal(err)
	}
	return &unionpay.FinancialRequest{Payment: unionpay.Payment{
		PAN: n, Processing: unionpay.ProcessingSale, Amount: money.New(29900, money.CNY), STAN: 42, Expiry: expiry,
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, true), CardSequence: "001", Condition: "00", PINCapture: "06",
		Track2: track, Terminal: "T0000001", Merchant: "M00000000000001", PINBlock: &pin, Security: "2600000000000000", ICC: icc,
		Info: unionpay.Info{MessageType: unionpay.KindSale, Batch: 7, ReadCapability: "6", ICCondition: "0"},
	}}
}

func encode(t testing.TB, d unionpay.Dialect, m unionpay.Message) []byte {
	t.Helper()
	b, err := unionpay.Encode(d, nil, m, func([]byte) ([8]byte, error) { return [8]byte{'B', 'C', '4', '0', '0', 'A', '4', 'B'}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func switchSale(t testing.TB) []byte {
	m := sale(t)
	m.TransmissionTime, m.LocalTime, m.LocalDate, m.MerchantType = "1121093000", "173000", "1121", "5411"
	m.Acquirer, m.Forwarder, m.MerchantName, m.RRN = "10000001", "10000001", "SHOP 1 BEIJING", "632517000001"
	m.Info = unionpay.Info{}
	return encode(t, unionpay.Switch, m)
}

func TestSession(t *testing.T) {
	s := explain.NewSession(explain.Context{})
	var last explain.Node
	for i, line := range []string{selectDebit, fci, gpo, answer} {
		b := unhex(t, line)
		read := s.Command
		if i%2 == 1 {
			read = s.Response
		}
		n, err := read(b)
		if err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		tiles(t, n, len(b))
		if i == 2 {
			for key, want := range map[string]string{"9F02": "CNY 0.01", "5F2A": "CNY", "9A": "2017-06-01", "9C": "00", "9F1A": "156"} {
				if got := value(t, n, key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
			ttq, _ := n.Find("9F66")
			if !strings.Contains(ttq.Meaning.EN, "qPBOC") || !strings.Contains(ttq.Meaning.ZH, "联机 PIN") {
				t.Errorf("TTQ says %v", ttq.Meaning)
			}
		}
		last = n
	}
	for key, want := range map[string]string{"9F36": "2780", "V1": "CNY 387.87", "9F5D": "CNY 387.87", "57": "629999******0017D****"} {
		if got := value(t, last, key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	track, _ := last.Find("57")
	if want := "5711629999******0017D*****************"; track.Hex != want {
		t.Errorf("track hex %s, want %s", track.Hex, want)
	}
}

func TestWithoutListDataStayNamed(t *testing.T) {
	n, err := explain.Command(unhex(t, gpo))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := n.Find("PDOL"); !ok {
		t.Error("data without their list are not called so")
	}
	dol, _ := emv.ParseDOL(unhex(t, "9F66049F02065F2A02"))
	n, err = explain.DOLData(dol, unhex(t, "36800080 000000029900 0156"))
	if err != nil || value(t, n, "9F02") != "CNY 299.00" {
		t.Errorf("%v %v", n, err)
	}
}

func TestErrorsSayFieldAndOffset(t *testing.T) {
	dol, _ := emv.ParseDOL(unhex(t, "9F66049F0206"))
	broken := encode(t, unionpay.Terminal, sale(t))
	at := bytes.Index(broken, unhex(t, "9F1013"))
	broken[at+2] = 0xFF & 0x81
	broken[at+3] = 0x90 // 9F10 now says 144 bytes
	cases := []struct {
		name string
		err  error
		want string
	}{
		{"tlv", second(explain.TLV(unhex(t, "9F1013070101"))), "input stops short: tag 9F10 says 19 bytes, 3 are left (offset 0 of the input)"},
		{"f55", second(explain.Field55(unhex(t, "9A03261121 9F10130701010304050607"))),
			"field 55 stops short: tag 9F10 says 19 bytes, 8 are left (offset 5 of the field)"},
		{"nested", second(explain.TLV(unhex(t, "7709 9F36020ADC 9F2608AD"))),
			"template 77 stops short: tag 9F26 says 8 bytes, 1 is left (offset 7 of the input)"},
		{"no length", second(explain.TLV(unhex(t, "9F36"))), "input: tag 9F36: no length (offset 0 of the input)"},
		{"wrong length", second(explain.TLV(unhex(t, "9F360101"))), "tag 9F36 has 1 byte, want 2 (offset 0 of the input)"},
		{"lc", second(explain.Command(unhex(t, "00A404000EA0"))), "command stops short: Lc says 14 bytes, 1 is left (offset 4 of the command)"},
		{"command", second(explain.Command(unhex(t, "00A4"))), "command stops short: 2 bytes, at least 4 (offset 0 of the command)"},
		{"response", second(explain.Response(unhex(t, "90"), nil)), "response stops short: 1 byte, at least 2 (offset 0 of the response)"},
		{"list data", second(explain.DOLData(dol, unhex(t, "3680008000"))),
			"list data stops short: the list entry 9F02 says 6 bytes, 1 is left (offset 4 of the input)"},
		{"list data over", second(explain.DOLData(dol, unhex(t, "36800080 000000029900 FF"))),
			"list data: 1 byte more than the list asks for (offset 10 of the input)"},
		{"dol", second(explain.DOL(unhex(t, "9F66049F02"))), "data object list: tag 9F02 has no length (offset 3 of the input)"},
		{"ttq", second(explain.Decode("ttq", unhex(t, "36"))), "terminal transaction qualifiers (TTQ) has 1 byte, want 4 (offset 0 of the input)"},
		{"empty", second(explain.TLV(nil)), "no bytes (offset 0 of the input)"},
		{"message", second(explain.Message(unionpay.Terminal, unhex(t, "0200"))), "message stops short: the bitmap says 8 bytes, none are left (offset 2 of the message)"},
		{"message field", second(explain.Message(unionpay.Terminal, unhex(t, "0200 2000000000000000 0000"))),
			"message stops short: field 3 says 3 bytes, 2 are left (offset 10 of the message)"},
		{"kind", second(explain.Decode("nonsense", nil)), `explain: no kind "nonsense"`},
		{"field 55", second(explain.Message(unionpay.Terminal, broken)), "field 55 stops short: tag 9F10 says 144 bytes, "},
	}
	for _, c := range cases {
		if c.err == nil || !strings.HasPrefix(c.err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", c.name, c.err, c.want)
		}
		var e *explain.Error
		if errors.As(c.err, &e) && e.Term().ZH == "" {
			t.Errorf("%s: no Chinese", c.name)
		}
	}
}

func second(_ explain.Node, err error) error { return err }

func TestPartOfABrokenMessage(t *testing.T) {
	whole := encode(t, unionpay.Terminal, sale(t))
	n, err := explain.Message(unionpay.Terminal, whole)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		n, err := explain.Message(unionpay.Terminal, whole[:cut])
		if err == nil {
			t.Fatalf("cut at %d: no error", cut)
		}
		tiles(t, n, cut)
		hidden(t, n, explain.Options{})
		if cut > 90 && value(t, n, "F4") != "CNY 299.00" {
			t.Fatalf("cut at %d: the currency is not found", cut)
		}
	}
	if value(t, n, "F4") != "CNY 299.00" {
		t.Error("amount of the whole message")
	}
}

func TestMessageFields(t *testing.T) {
	terminal, switched := encode(t, unionpay.Terminal, sale(t)), switchSale(t)
	frame, err := iso8583.TerminalFraming.AppendFrame(nil, iso8583.Frame{TPDU: unhex(t, "6000030000"), Header: unhex(t, "603100310000"), Body: terminal})
	if err != nil {
		t.Fatal(err)
	}
	framed, _ := iso8583.SwitchFraming.AppendFrame(nil, iso8583.Frame{Body: switched})
	want := map[string]string{
		"MTI": "0200", "F2": "629999******0017", "F3": "000000", "F4": "CNY 299.00", "F11": "000042", "F14": "****", "22.1": "07", "22.2": "1",
		"F23": "001", "F25": "00", "F35": "629999******0017=*****************", "F41": "T0000001", "F49": "CNY", "F52": "[redacted]",
		"53.1": "2", "53.2": "6", "9F02": "CNY 299.00", "9F36": "2780", "9F27": "ARQC", "9A": "2026-11-21", "V1": "CNY 387.87",
	}
	for name, b := range map[string][]byte{"terminal": terminal, "switch": switched, "framed": frame, "framed switch": framed, "tpdu": frame[2:]} {
		n, err := explain.Frame(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		tiles(t, n, len(b))
		for key, text := range want {
			if got := value(t, n, key); got != text {
				t.Errorf("%s: %s is %q, want %q", name, key, got, text)
			}
		}
		if kind, _, err := explain.Auto(b); kind != "8583" || err != nil {
			t.Errorf("%s: auto says %s, %v", name, kind, err)
		}
	}
	n, _ := explain.Frame(terminal)
	if value(t, n, "60.1") != "22" || value(t, n, "60.2") != "000007" || value(t, n, "60.4") != "6" {
		t.Error("field 60")
	}
	mode, _ := n.Find("22.2")
	if mode.Meaning.EN != "PIN entered" {
		t.Errorf("22.2: %v", mode)
	}
}

func TestSignOnKeysAreNeverShown(t *testing.T) {
	keys := &unionpay.WrappedKeys{PIN: unhex(t, "CB4AB541CD5AD4FC256A882726936A5A"), MAC: unhex(t, "256A882726936A5B"),
		PINKCV: [4]byte{8, 0xD7, 0xB4, 0xFB}, MACKCV: [4]byte{0xA6, 0x8C, 0xDC, 0xA9}}
	b := encode(t, unionpay.Terminal, &unionpay.NetworkResponse{MTI: "0810", STAN: 1, LocalTime: "093000", LocalDate: "1121", Acquirer: "10000001",
		RRN: "632517000001", Response: "00", Terminal: "T0000001", Merchant: "M00000000000001", Batch: 1, Code: unionpay.SignOn, Keys: keys})
	for _, b := range [][]byte{b, unhex(t, reset)} {
		n, err := explain.Frame(b)
		if err != nil {
			t.Fatal(err)
		}
		tiles(t, n, len(b))
		for _, o := range []explain.Options{{}, {Reveal: true}} {
			text := strings.Join(strings.Fields(render(t, n, o)), "")
			for _, key := range []string{"CB4AB541", "256A8827", "6A5D90C1"} {
				if strings.Contains(text, key) {
					t.Errorf("key %s shown with %+v", key, o)
				}
			}
		}
	}
	n, _ := explain.Frame(b)
	if kcv, ok := n.Find("KCV"); !ok || kcv.Hex != "08D7B4FB" {
		t.Errorf("check value: %v", kcv)
	}
	code, _ := n.Find("60.3")
	if code.Meaning.EN != "sign-on" {
		t.Errorf("60.3: %v", code)
	}
}

// hidden fails when a print of n gives away what the test data keep secret.
func hidden(t testing.TB, n explain.Node, o explain.Options) {
	t.Helper()
	masked, _ := json.Marshal(n)
	prints := []string{render(t, n, o), string(masked), fmt.Sprintf("%v %+v %#v %s", n, n, n, n), fmt.Sprintf("%+v", &n), n.Masked()}
	for _, lang := range []glossary.Lang{glossary.Chinese} {
		o.Lang = lang
		prints = append(prints, render(t, n, o))
	}
	for _, text := range prints {
		text = strings.Join(strings.Fields(text), "")
		for _, secret := range []string{number, "36323939393931303030303030303137", "6299991000000", "A1B2C3D4", "3012201", "0123456789D", "D3012", "0000017D3"} {
			if strings.Contains(text, secret) {
				t.Fatalf("%s shown:\n%s", secret, prints[0])
			}
		}
	}
}

func TestMaskedUnlessRevealed(t *testing.T) {
	inputs := map[string][]byte{
		"terminal": encode(t, unionpay.Terminal, sale(t)), "response": unhex(t, answer),
		"pan": unhex(t, "5A08"+number), "padded": unhex(t, "5A0A6299991000000017FFFF"), "name": unhex(t, "5F20024142"),
		"cut pan": unhex(t, "5A0A"+number), "unknown tag": unhex(t, "DF2F08"+number), "record": unhex(t, "700A5A08"+number+"9000"),
		"unknown": unhex(t, "00DD000008"+number), "verify": unhex(t, "0020008008A1B2C3D4E5F60718"),
		"cut verify": unhex(t, "0020008009A1B2C3D4E5F60718"), "pin": unhex(t, "9908A1B2C3D4E5F60718"),
		"pin change": unhex(t, "8424000214A1B2C3D4E5F60718A1B2C3D4E5F60718D3126104"),
		"text":       unhex(t, "9F4E10"+fmt.Sprintf("%X", number)),
		"script":     unhex(t, "721B 8619 8424000214A1B2C3D4E5F60718A1B2C3D4E5F60718D3126104"),
	}
	for name, b := range inputs {
		_, n, _ := explain.Auto(b)
		tiles(t, n, len(b))
		hidden(t, n, explain.Options{})
		text := strings.Join(strings.Fields(render(t, n, explain.Options{Reveal: true})), "")
		if strings.Contains(text, "A1B2C3D4") {
			t.Errorf("%s: PIN block revealed", name)
		}
		if name != "pin" && name != "name" && !strings.Contains(name, "verify") && name != "pin change" && name != "script" && !strings.Contains(text, number) {
			t.Errorf("%s: number not revealed:\n%s", name, render(t, n, explain.Options{Reveal: true}))
		}
	}
	n, err := explain.Frame(switchSale(t))
	if err != nil {
		t.Fatal(err)
	}
	text := render(t, n, explain.Options{Width: 200})
	if strings.Contains(text, number) || strings.Contains(strings.Join(strings.Fields(text), ""), "36323939393931303030") {
		t.Error("number shown in ASCII")
	}
}

func TestCertificatesOpenWithKeys(t *testing.T) {
	keys, err := oda.NewKeys(oda.PublishedCAKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	s := explain.NewSession(explain.Context{CAKeys: keys})
	n, err := s.Response(unhex(t, record90+"9000"))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, n, "IIN"); got != "621094" {
		t.Errorf("issuer %q", got)
	}
	if value(t, n, "SER") != "001156" || value(t, n, "EXP") != "1230" || value(t, n, "LEN") != "1408" {
		t.Errorf("certificate fields %v", n)
	}
	n, err = s.Response(unhex(t, record9F46+"9000"))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, n, "PAN"); got != "621094******0011" {
		t.Errorf("account in the certificate: %q", got)
	}
	closed, _ := explain.Response(unhex(t, record9F46+"9000"), nil)
	certificate, _ := closed.Find("9F46")
	if !strings.Contains(certificate.Meaning.EN, "closed") || !strings.Contains(certificate.Hex, "****") {
		t.Errorf("closed certificate: %v %v", certificate.Meaning, certificate.Hex)
	}
}

func TestCardCommands(t *testing.T) {
	cdol := "9F02069F03069F1A0295055F2A029A039C019F3704"
	s := explain.NewSession(explain.Context{})
	exchange := func(command, response string) (c, r explain.Node) {
		t.Helper()
		for i, line := range []string{command, response} {
			b := unhex(t, line)
			var n explain.Node
			var err error
			if i == 0 {
				n, err = s.Command(b)
				c = n
			} else {
				n, err = s.Response(b)
				r = n
			}
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			tiles(t, n, len(b))
		}
		return c, r
	}
	exchange("00B2011400", "7030 8C15"+cdol+"8D17 8A02"+cdol+"9000")
	c, r := exchange("80AE80001D 000000006580 000000000000 0156 0000008000 0156 150316 00 3510540E 00", "8013 80 0006 B04398D218017BF9 07000103A0A80201 9000")
	if value(t, c, "9F02") != "CNY 65.80" || value(t, r, "9F27") != "ARQC" || value(t, r, "9F36") != "6" {
		t.Errorf("first GENERATE AC: %v %v", c, r)
	}
	c, _ = exchange("80AE40001F 3030 000000006580 000000000000 0156 0000008000 0156 150316 00 3510540E 00", "8013 40 0006 E5869B494D460AB4 0700010360AC0201 9000")
	if value(t, c, "8A") != "00" {
		t.Errorf("second GENERATE AC: %v", c)
	}
	_, r = exchange("80A80000028300 00", "800A 7C00 0801020010010501 9000")
	if afl, ok := r.Find("94"); !ok || len(afl.Children) != 2 || afl.Children[0].Meaning.EN != "SFI 1, records 1-2, 0 signed" {
		t.Errorf("locator: %v", r)
	}
	exchange("80CA9F4F00", "9F4F 08 9A03 9F0206 9F3602 9000")
	if c, _ = exchange("04DA9F790A 000000010000 8D410252", "9000"); value(t, c, "9F79") != "CNY 100.00" {
		t.Errorf("PUT DATA: %v", c)
	}
	s.LogSFI = 11
	if _, r = exchange("00B2015C00", "261121 000000001250 0240 9000"); value(t, r, "9F02") != "CNY 12.50" || value(t, r, "9F36") != "576" {
		t.Errorf("log record: %v", r)
	}
	exchange("008200000A C01B237749040E2B3030", "9000")
	exchange("0084000008", "0102030405060708 9000")
	if _, r = exchange("0020008008 26123456FFFFFFFF", "63C2"); r.Meaning.EN != "wrong PIN, 2 tries left" {
		t.Errorf("status: %v", r.Meaning)
	}
	exchange("841E000004 42CA0591", "9000")
	exchange("80A4040000", "6A82")
}

func TestAuto(t *testing.T) {
	for input, want := range map[string]string{
		"9F2608AD03EE811AFAD484": "tlv", "9F66049F02069F03069F1A02": "dol", "9000": "sw", "6A82": "sw", "63C2": "sw",
		selectDebit: "command", gpo: "command", fci: "response", reset: "8583", number + "D30122010123456789": "track2",
		"77": "tlv", "": "tlv", "9F1013070101": "tlv", "30303030": "8583",
	} {
		if kind, _, _ := explain.Auto(unhex(t, input)); kind != want {
			t.Errorf("%s: %s, want %s", input, kind, want)
		}
	}
}

func TestKinds(t *testing.T) {
	samples := map[string]string{
		"apdu": gpo, "command": gpo, "response": answer, "tlv": "9F36020240", "f55": "9F36020240", "8583": reset, "8583-switch": reset[9:],
		"8583-terminal": "0800 0000000000000000", "dol": "9F3704", "tvr": "0080046000", "tsi": "E800", "ttq": "36800080", "ctq": "8080", "aip": "7D00",
		"cvr": "03A04002", "iad": "07000103A04002010A010000001000D1F61152", "cid": "80", "afl": "0801020010010500",
		"cvm": "000000000000000042031F00", "track2": number + "D30122010123456789", "sw": "9000",
		"9F33": "E0E1C8", "9F34": "5E0300", "9F52": "C000", "9F68": "9940F000", "DF61": "11", "9F6C": "0080", "DF60": "01", "9F0D": "D8609CA800",
		"DF31": "2011223344", "9F69": "01A1B2C3D4000000", "91": "C01B237749040E2B3030", "8A": "5933", "9F35": "22", "9F63": "00112233445566778899AABBCCDDEEFF",
	}
	for _, kind := range explain.Kinds() {
		if samples[kind.Name] == "" {
			t.Errorf("no sample of %s", kind.Name)
		}
		if kind.Term.ZH == "" {
			t.Errorf("%s has no Chinese name", kind.Name)
		}
	}
	for kind, sample := range samples {
		b := unhex(t, sample)
		n, err := explain.Decode(kind, b)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		tiles(t, n, len(b))
	}
	n, _ := explain.Decode("9F68", unhex(t, "9940F000"))
	if !strings.Contains(n.Meaning.EN, "low-value") {
		t.Errorf("9F68: %v", n.Meaning)
	}
}

func TestRendering(t *testing.T) {
	all := [][]byte{unhex(t, fci), unhex(t, answer), encode(t, unionpay.Terminal, sale(t)), switchSale(t), unhex(t, gpo)}
	for _, b := range all {
		_, n, err := explain.Auto(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []explain.Options{{}, {Lang: glossary.Chinese}, {Width: 60, Lang: glossary.Chinese}, {ASCII: true}, {Width: 100, AllBit: true}} {
			limit := o.Width
			if limit == 0 {
				limit = 80
			}
			for _, line := range strings.Split(render(t, n, o), "\n") {
				if explain.Width(line) > limit {
					t.Errorf("%d columns with %+v: %s", explain.Width(line), o, line)
				}
				if o.ASCII && strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) {
					t.Errorf("not ASCII: %s", line)
				}
			}
		}
		plain := render(t, n, explain.Options{})
		if strings.Contains(plain, "\x1b") || !strings.Contains(render(t, n, explain.Options{Colour: true}), "\x1b[") {
			t.Error("colour only when asked")
		}
	}
}

func TestTextFromTheWireIsHarmless(t *testing.T) {
	n, err := explain.TLV(unhex(t, "500B1B5B33316D4142430D0A41"))
	if err != nil {
		t.Fatal(err)
	}
	if text := render(t, n, explain.Options{}); strings.ContainsAny(text, "\x1b\r") {
		t.Errorf("control characters reach the terminal: %q", text)
	}
}

func TestJSON(t *testing.T) {
	_, n, _ := explain.Auto(unhex(t, answer))
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var back explain.Node
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	tiles(t, back, len(unhex(t, answer)))
	if render(t, back, explain.Options{Lang: glossary.Chinese}) != render(t, n, explain.Options{Lang: glossary.Chinese}) {
		t.Error("a node read back prints otherwise")
	}
	if strings.Contains(render(t, back, explain.Options{Reveal: true}), number) {
		t.Error("a node read back reveals")
	}
	var out strings.Builder
	if err := explain.RenderJSON(&out, n, explain.Options{Reveal: true}); err != nil || !strings.Contains(out.String(), number) {
		t.Error("RenderJSON with Reveal", err)
	}
	if err := json.Unmarshal([]byte(`{"children":5}`), &back); err == nil {
		t.Error("bad JSON accepted")
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string]string{
		"one two three": "one two|three", "授权金额：人民币": "授权金|额：人|民币", "": "", "verylongword": "verylon|gword", "（甲乙丙丁）": "（甲乙|丙丁）",
	} {
		if got := strings.Join(explain.Wrap(text, 7), "|"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if explain.Width("金额 9F02") != 9 || explain.Pad("金额", 6) != "金额  " {
		t.Error("wide characters")
	}
}

func TestTooLong(t *testing.T) {
	b := bytes.Repeat([]byte{0x9C, 0x01, 0x00}, explain.MaxInputBytes)
	for _, kind := range explain.Kinds() {
		if kind.Name == "sw" {
			continue
		}
		n, err := explain.Decode(kind.Name, b)
		if err == nil || n.Length != len(b) {
			t.Errorf("%s: %v", kind.Name, err)
		}
	}
}

func FuzzLeavesTile(f *testing.F) {
	for i, seed := range []string{fci, gpo, answer, reset, selectDebit, "9F1013070101", "5A08" + number, "0020008008A1B2", "30303830", "8424000214"} {
		f.Add(uint8(i), unhex(f, seed))
	}
	f.Add(uint8(5), encode(f, unionpay.Terminal, sale(f)))
	f.Add(uint8(5), switchSale(f))
	pdol, _ := emv.ParseDOL(unhex(f, "9F66049F02069F03069F1A0295055F2A029A039C019F3704"))
	keys, _ := oda.NewKeys(oda.PublishedCAKeys()...)
	var names []string
	for _, kind := range explain.Kinds() {
		names = append(names, kind.Name)
	}
	for _, entry := range emv.Dictionary() {
		names = append(names, entry.Tag.String())
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		c := explain.Context{PDOL: pdol, CDOL1: pdol, LogFormat: pdol, LogSFI: 11, CAKeys: keys, Answers: unhex(t, "80A8000000")}
		for _, kind := range []string{names[int(which)%len(names)], "apdu", "8583", "tlv"} {
			n, err := c.Decode(kind, b)
			tiles(t, n, len(b))
			var e *explain.Error
			if err != nil && (!errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b)) {
				t.Fatalf("%s: %v", kind, err)
			}
			_ = render(t, n, explain.Options{Lang: glossary.Chinese})
		}
		if _, n, _ := c.Auto(b); len(b) > 0 {
			tiles(t, n, len(b))
		}
	})
}

// The tags that every scheme gives meanings of its own have none of ours in another scheme's application, until the next selection.
func TestForeignApplication(t *testing.T) {
	answer := func(s *explain.Session, aid string) explain.Node {
		t.Helper()
		if _, err := s.Command(unhex(t, fmt.Sprintf("00A40400%02X%s00", len(aid)/2, aid))); err != nil {
			t.Fatal(err)
		}
		r, err := s.Response(unhex(t, "6F22 8407 A0000000041010 A517 5004 41424344 9F38 03 9F6604 BF0C08 9F5D01FF DF610180 9000"))
		if err != nil {
			t.Errorf("%s: %v", aid, err)
		}
		return r
	}
	s := explain.NewSession(explain.Context{})
	const other = "data object of another scheme"
	r := answer(s, "A0000000041010")
	for _, tag := range []string{"9F5D", "DF61", "9F66"} {
		if n, ok := r.Find(tag); !ok || n.Name.EN != other || n.Broken || len(n.Children) > 1 {
			t.Errorf("%s: %+v", tag, n)
		}
	}
	if n, ok := r.Find("50"); !ok || n.Name.EN != "application label" || n.Value != "ABCD" {
		t.Errorf("label: %+v", n)
	}
	if _, err := s.Command(unhex(t, selectDebit)); err != nil {
		t.Fatal(err)
	}
	r, _ = s.Response(unhex(t, "9F66 04 00000000 DF6101 80 9000"))
	for _, tag := range []string{"DF61", "9F66"} {
		if n, ok := r.Find(tag); !ok || n.Name.EN == other {
			t.Errorf("our own %s: %+v", tag, n)
		}
	}
}

func TestLoadLogRecord(t *testing.T) {
	s := explain.NewSession(explain.Context{})
	exchange := func(command, response string) explain.Node {
		t.Helper()
		if _, err := s.Command(unhex(t, command)); err != nil {
			t.Fatal(err)
		}
		b := unhex(t, response)
		r, err := s.Response(b)
		if err != nil {
			t.Error(err)
		}
		tiles(t, r, len(b))
		return r
	}
	exchange(selectDebit, "6F0A A508 BF0C05 DF4D020C0A 9000")
	exchange("80CADF4F00", "DF4F 08 9A03 5F2A02 9F3602 9000")
	r := exchange("00B2016400", "9F79 000000006700 000000009700 261122 0156 0004 9000")
	if value(t, r, "OLD") != "CNY 67.00" || value(t, r, "NEW") != "CNY 97.00" || value(t, r, "TAG") != "9F79" || value(t, r, "9F36") != "4" {
		t.Errorf("%v", r)
	}
	if r = exchange("00B2016400", "9F7900000000 9000"); len(r.Children) == 0 || r.Children[0].Key != "REC" {
		t.Errorf("too short for a load: %v", r)
	}
}
