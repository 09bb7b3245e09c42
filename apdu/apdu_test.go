package apdu

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"tapnet/glossary"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("hex %q: %v", s, err)
	}
	return b
}

func TestParseCommand(t *testing.T) {
	long := bytes.Repeat([]byte{0xAB}, MaxDataBytes)
	for name, c := range map[string]struct {
		wire string
		want Command
	}{
		"case 1":             {"84160000", Command{CLA: 0x84, INS: 0x16, Le: NoLe}},
		"case 2":             {"80CA9F3608", Command{CLA: 0x80, INS: 0xCA, P1: 0x9F, P2: 0x36, Le: 8}},
		"case 2, Le 256":     {"00B2011C00", Command{INS: 0xB2, P1: 0x01, P2: 0x1C, Le: 256}},
		"case 3":             {"84160000 04 CED3BD17", Command{CLA: 0x84, INS: 0x16, Data: unhex(t, "CED3BD17"), Le: NoLe}},
		"case 4":             {"80A80000 02 8300 00", Command{CLA: 0x80, INS: 0xA8, Data: unhex(t, "8300"), Le: 256}},
		"case 4, Le 1":       {"80A80000 02 8300 01", Command{CLA: 0x80, INS: 0xA8, Data: unhex(t, "8300"), Le: 1}},
		"longest, case 3":    {"80AE8000 FF" + hex.EncodeToString(long), Command{CLA: 0x80, INS: 0xAE, P1: 0x80, Data: long, Le: NoLe}},
		"longest, case 4":    {"80AE8000 FF" + hex.EncodeToString(long) + "00", Command{CLA: 0x80, INS: 0xAE, P1: 0x80, Data: long, Le: 256}},
		"one byte of data":   {"00200080 01 FF", Command{INS: 0x20, P2: 0x80, Data: []byte{0xFF}, Le: NoLe}},
		"Lc 1, Le 255":       {"00200080 01 FF FF", Command{INS: 0x20, P2: 0x80, Data: []byte{0xFF}, Le: 255}},
		"select, trace [S4]": {"00A40400 0E 325041592E5359532E4444463031 00", Select([]byte("2PAY.SYS.DDF01"))},
	} {
		wire := unhex(t, c.wire)
		got, err := ParseCommand(wire)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v, %v", name, got, err)
		}
		if !bytes.Equal(c.want.Bytes(), wire) {
			t.Errorf("%s: bytes %X", name, c.want.Bytes())
		}
	}
}

func TestParseCommandRefused(t *testing.T) {
	for name, wire := range map[string]string{
		"nothing": "", "one byte": "00", "three bytes": "00A404", "Lc 00": "00A404000000", "Lc 00 and data": "00A404000011",
		"extended case 2": "00B20000 000100", "extended case 3": "00A40400 000002 3F00", "extended case 4": "00A40400 000002 3F00 0100",
		"Lc too large": "00A40400 03 3F00", "Lc too large by far": "00A40400 FF 3F00", "two bytes of Le": "00A40400 02 3F00 0000", "Lc too small": "00A40400 01 3F0000",
		"too long": "80AE8000 FF" + strings.Repeat("00", MaxDataBytes) + "0000",
	} {
		if c, err := ParseCommand(unhex(t, wire)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: accepted as %v", name, c)
		}
	}
}

func TestCommandsAsTheBooksWriteThem(t *testing.T) {
	for _, c := range []struct {
		command Command
		want    string
	}{
		{Select(unhex(t, "A000000333010101")), "00A4040008A00000033301010100"},
		{SelectNext(unhex(t, "A000000333")), "00A4040205A00000033300"},
		{GPO(nil), "80A8000002830000"},
		{GPO(unhex(t, "01020304")), "80A800000683040102030400"},
		{ReadRecord(1, 1), "00B2010C00"},
		{ReadRecord(11, 2), "00B2025C00"},
		{ReadRecord(30, 255), "00B2FFF400"},
		{GetData(0x9F79), "80CA9F7900"},
		{GetData(0x82), "80CA008200"},
		{GenerateAC(0x80, []byte{1, 2}), "80AE800002010200"},
		{InternalAuthenticate(unhex(t, "7863AFC6")), "00880000047863AFC600"},
		{ExternalAuthenticate(unhex(t, "C01B237749040E2B3030")), "008200000AC01B237749040E2B3030"},
		{GetChallenge(), "0084000008"},
		{Verify(VerifyPlaintext, unhex(t, "241234FFFFFFFFFF")), "0020008008241234FFFFFFFFFF"},
		{GetResponse(256), "00C0000000"},
	} {
		if got := fmt.Sprintf("%X", c.command.Bytes()); got != c.want {
			t.Errorf("%v = %s, want %s", c.command, got, c.want)
		}
	}
	if got := len(GPO(make([]byte, MaxPDOLBytes)).Bytes()); got != maxCommandBytes {
		t.Errorf("longest GPO is %d bytes, want %d", got, maxCommandBytes)
	}
	if GPO(make([]byte, MaxPDOLBytes+1)).Check() == nil {
		t.Error("PDOL data beyond MaxPDOLBytes are accepted")
	}
	if !(Command{CLA: 0x84}).SecureMessaging() || !(Command{CLA: 0x04}).SecureMessaging() || (Command{CLA: 0x80}).SecureMessaging() {
		t.Error("SecureMessaging does not read the class")
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]Command{
		"long data": {Data: make([]byte, MaxDataBytes+1), Le: NoLe}, "Le 257": {Le: 257}, "Le -2": {Le: -2},
	} {
		if err := c.Check(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		mustPanic(t, name, func() { c.Bytes() })
	}
	long := Response{Data: make([]byte, MaxLe+1), SW: OK}
	if err := long.Check(); !errors.Is(err, ErrFormat) {
		t.Errorf("long response: %v", err)
	}
	mustPanic(t, "long response", func() { long.Bytes() })
	if got := (Command{CLA: 0x84, INS: 0x16}).Bytes(); len(got) != 4 {
		t.Errorf("a forgotten Le is written: %X", got)
	}
}

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", name)
		}
	}()
	f()
}

func TestParseResponse(t *testing.T) {
	for _, c := range []struct {
		wire string
		data int
		sw   SW
	}{{"9000", 0, OK}, {"6A82", 0, FileNotFound}, {"7700 9000", 2, OK}, {strings.Repeat("AA", MaxLe) + "6283", MaxLe, ApplicationBlocked}} {
		r, err := ParseResponse(unhex(t, c.wire))
		if err != nil || len(r.Data) != c.data || r.SW != c.sw || !bytes.Equal(r.Bytes(), unhex(t, c.wire)) {
			t.Errorf("%s: %v, %v", c.wire, r, err)
		}
	}
	for _, wire := range []string{"", "90", strings.Repeat("AA", MaxLe+1) + "9000", strings.Repeat("AA", 1000)} {
		if _, err := ParseResponse(unhex(t, wire)); !errors.Is(err, ErrFormat) {
			t.Errorf("accepted a response of %d bytes", len(wire)/2)
		}
	}
	// Data cannot grow over the status word.
	r, _ := ParseResponse(unhex(t, "77009000"))
	if cap(r.Data) != len(r.Data) {
		t.Error("an append to the data writes over the status word")
	}
}

func TestStatusWordTable(t *testing.T) {
	words := StatusWords()
	if !slices.IsSorted(words) || len(words) != 27 {
		t.Errorf("%d status words: a new one belongs into this test too", len(words))
	}
	seenEN, seenZH := map[string]SW{}, map[string]SW{}
	for _, sw := range words {
		term := sw.Term()
		checkTerm(t, sw.String(), term)
		if other, dup := seenEN[term.EN]; dup {
			t.Errorf("%s and %s mean the same in English", sw, other)
		}
		if other, dup := seenZH[term.ZH]; dup {
			t.Errorf("%s and %s mean the same in Chinese", sw, other)
		}
		seenEN[term.EN], seenZH[term.ZH] = sw, sw
	}
	for ins, term := range instructionNames {
		checkTerm(t, fmt.Sprintf("instruction %02X", ins), term)
	}
	if InstructionName(0xFF).EN != "unknown command" {
		t.Error("an unknown instruction has a name")
	}
}

func checkTerm(t *testing.T, what string, term glossary.Term) {
	t.Helper()
	if term.EN == "" || strings.ContainsFunc(term.EN, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		t.Errorf("%s has no English meaning", what)
	}
	if !strings.ContainsFunc(term.ZH, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		t.Errorf("%s has no Chinese meaning", what)
	}
}

// Every one of the 65536 status words has a meaning in both languages and four digits.
func TestEveryStatusWordHasAMeaning(t *testing.T) {
	for i := range 0x10000 {
		sw := SW(i)
		checkTerm(t, sw.String(), sw.Term())
		if len(sw.String()) != 4 {
			t.Errorf("%d prints as %s", i, sw)
		}
	}
}

func TestStatusWordNumbers(t *testing.T) {
	for n := range 16 {
		left, ok := WrongPIN(n).TriesLeft()
		if !ok || left != n {
			t.Errorf("%s leaves %d, %t", WrongPIN(n), left, ok)
		}
	}
	for _, n := range []int{-1, 16} {
		mustPanic(t, "tries", func() { WrongPIN(n) })
	}
	for _, sw := range []SW{OK, IssuerAuthenticationFailed, 0x63B0, 0x63D1, 0x64C3} {
		if _, ok := sw.TriesLeft(); ok {
			t.Errorf("%s leaves tries", sw)
		}
	}
	if n, ok := SW(0x6C1C).CorrectLe(); !ok || n != 0x1C {
		t.Error("6C1C does not ask for Le 1C")
	}
	if n, ok := SW(0x6100).MoreData(); !ok || n != 256 {
		t.Error("6100 does not announce 256 bytes")
	}
	for _, sw := range []SW{OK, 0x6283, 0x6D00} {
		_, more := sw.MoreData()
		_, le := sw.CorrectLe()
		if more || le {
			t.Errorf("%s announces data", sw)
		}
	}
	if OK.IsWarning() || !ApplicationBlocked.IsWarning() || !WrongPIN(1).IsWarning() || WrongLength.IsWarning() {
		t.Error("IsWarning is wrong")
	}
	if got := WrongPIN(2).Term().In(glossary.Chinese); !strings.Contains(got, "2") {
		t.Errorf("63C2 in Chinese: %s", got)
	}
}

func TestDataAreNotPrinted(t *testing.T) {
	c := Verify(VerifyPlaintext, unhex(t, "241234FFFFFFFFFF"))
	r := Response{Data: unhex(t, "5A086299990000000017"), SW: OK}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{c, &c, r, &r} {
			out := strings.ToLower(fmt.Sprintf(format, v))
			for _, leak := range []string{"241234", "36, 18, 52", "36 18 52", "0x24, 0x12", "62999900", "98 153", "0x62, 0x99"} {
				if strings.Contains(out, leak) {
					t.Errorf("%s of %T prints its data", format, v)
				}
			}
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{"84160000", "80CA9F3608", "8416000004CED3BD17", "80A8000002830000", "00A40400000002", "00A404000000"} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCommand(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("unknown error %v", err)
			}
			return
		}
		if !bytes.Equal(c.Bytes(), b) {
			t.Fatalf("%X re-encodes to %X", b, c.Bytes())
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	for _, seed := range []string{"9000", "63C2", "77009000", "90"} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResponse(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("unknown error %v", err)
			}
			return
		}
		if !bytes.Equal(r.Bytes(), b) {
			t.Fatalf("%X re-encodes to %X", b, r.Bytes())
		}
	})
}
