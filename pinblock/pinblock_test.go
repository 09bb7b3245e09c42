package pinblock

import (
	"bytes"
	"crypto/des"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"tapnet/pan"
)

func mustPIN(t testing.TB, digits string) PIN {
	t.Helper()
	p, err := ParsePIN(digits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustPAN(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustBlock(t testing.TB, text string) Block {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	block, err := FromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors/pinblock.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") || strings.HasSuffix(f[0], ":") {
			continue
		}
		p := mustPIN(t, f[1])
		var block Block
		var back PIN
		switch f[0] {
		case "format0":
			block = Format0(p, mustPAN(t, f[2]))
			back, err = ParseFormat0(block, mustPAN(t, f[2]))
		case "without-pan":
			block = FormatWithoutPAN(p)
			back, err = ParseWithoutPAN(block)
		case "format2":
			block = Format2(p)
			back, err = ParseFormat2(block)
		default:
			t.Fatalf("line %d: unknown format %q", i+1, f[0])
		}
		got := block.Reveal()
		if fmt.Sprintf("%X", got[:]) != f[3] {
			t.Errorf("line %d: block %X, want %s", i+1, got, f[3])
		}
		if err != nil || !back.Equal(p) || back.Reveal() != f[1] {
			t.Errorf("line %d: PIN does not come back: %v", i+1, err)
		}
	}
}

// The enciphered half of V-10, so that the whole published row is checked somewhere without a security module.
func TestEncipheredVector(t *testing.T) {
	key, _ := hex.DecodeString("0123456789ABCDEFFEDCBA98765432100123456789ABCDEF")
	cipher, err := des.NewTripleDESCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		block Block
		want  string
	}{
		{Format0(mustPIN(t, "123456"), mustPAN(t, "6228000100001117")), "60D2B73093F23F22"},
		{FormatWithoutPAN(mustPIN(t, "123456")), "43E945588ED566D9"},
	} {
		clear := c.block.Reveal()
		var out [8]byte
		cipher.Encrypt(out[:], clear[:])
		if fmt.Sprintf("%X", out[:]) != c.want {
			t.Errorf("enciphered %X, want %s", out, c.want)
		}
	}
}

func TestParsePINRefused(t *testing.T) {
	for _, digits := range []string{"", "1", "123", "1234567890123", "12 4", "12a4", "-123", "+1234", "１２３４", "1234\n", "12F4"} {
		p, err := ParsePIN(digits)
		if !errors.Is(err, ErrFormat) || !p.IsZero() {
			t.Errorf("accepted %q", digits)
		}
		if err != nil && len(digits) > 2 && strings.Contains(err.Error(), digits) {
			t.Errorf("the error repeats the input: %v", err)
		}
	}
}

func TestBlocksRefused(t *testing.T) {
	n := mustPAN(t, "629999000000") // folds in little: the digits before the check digit are 62999900000
	for _, text := range []string{
		"141234FFFFFFFFFF", "241234FFFFFFFFFF", "F41234FFFFFFFFFF", // control
		"031234FFFFFFFFFF", "001234FFFFFFFFFF", "0D1234567890123F", "0F1234FFFFFFFFFF", "0E12345678901234", // length
		"04A234FFFFFFFFFF", "04123AFFFFFFFFFF", "06123456FFFFFFF0", "041234FFFFFFFFF0", "0412345FFFFFFFFF", "05123FFFFFFFFFFF", // digits, filler
		"0000000000000000", "FFFFFFFFFFFFFFFF",
	} {
		if _, err := ParseWithoutPAN(mustBlock(t, text)); !errors.Is(err, ErrFormat) {
			t.Errorf("accepted %s without account number", text)
		}
		word := *mustBlock(t, text).word ^ foldedPAN(n)
		if _, err := ParseFormat0(fromWord(word), n); !errors.Is(err, ErrFormat) {
			t.Errorf("accepted %s as format 0", text)
		}
	}
	for _, text := range []string{"041234FFFFFFFFFF", "231234FFFFFFFFFF", "2D1234567890123F", "24A234FFFFFFFFFF", "241234FFFFFFFFF0"} {
		if _, err := ParseFormat2(mustBlock(t, text)); !errors.Is(err, ErrFormat) {
			t.Errorf("accepted %s as format 2", text)
		}
	}
	for _, size := range []int{0, 7, 9, 16} {
		if _, err := FromBytes(make([]byte, size)); !errors.Is(err, ErrFormat) {
			t.Errorf("accepted %d bytes", size)
		}
	}
	for name, err := range map[string]error{
		"format 0, no block":  second(ParseFormat0(Block{}, n)),
		"format 0, no number": second(ParseFormat0(Format2(mustPIN(t, "1234")), pan.Number{})),
		"without, no block":   second(ParseWithoutPAN(Block{})),
		"format 2, no block":  second(ParseFormat2(Block{})),
	} {
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ PIN, err error) error { return err }

// A refused block tells nothing but its format: one text for every cause.
func TestOneErrorForAllCauses(t *testing.T) {
	texts := map[string]bool{}
	for _, text := range []string{"141234FFFFFFFFFF", "031234FFFFFFFFFF", "04A234FFFFFFFFFF", "041234FFFFFFFFF0"} {
		texts[second(ParseWithoutPAN(mustBlock(t, text))).Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("%d different errors", len(texts))
	}
}

func TestWrongAccountNumberIsSeen(t *testing.T) {
	block := Format0(mustPIN(t, "1234"), mustPAN(t, "6299990000000017"))
	if _, err := ParseFormat0(block, mustPAN(t, "6299990000005517")); !errors.Is(err, ErrFormat) {
		t.Errorf("the block of another number is read: %v", err)
	}
}

func TestMissingArgumentsPanic(t *testing.T) {
	p, n := mustPIN(t, "1234"), mustPAN(t, "629999000000")
	for name, f := range map[string]func(){
		"no PIN":      func() { Format0(PIN{}, n) },
		"no number":   func() { Format0(p, pan.Number{}) },
		"no PIN bare": func() { FormatWithoutPAN(PIN{}) },
		"no PIN 2":    func() { Format2(PIN{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestEqualAndZero(t *testing.T) {
	a, b, c := mustPIN(t, "1234"), mustPIN(t, "1234"), mustPIN(t, "12345")
	if !a.Equal(b) || a.Equal(c) || a.Equal(PIN{}) || !(PIN{}).Equal(PIN{}) || (PIN{}).Reveal() != "" {
		t.Error("PINs compare wrongly")
	}
	x, y := mustBlock(t, "0000000000000000"), mustBlock(t, "0000000000000001")
	if !x.Equal(x) || x.Equal(y) || x.Equal(Block{}) || x.IsZero() || !(Block{}).IsZero() || (Block{}).Reveal() != [8]byte{} {
		t.Error("blocks compare wrongly")
	}
}

type hidden struct {
	pin   PIN
	block Block
	list  []Block
}

func TestNothingPrintsPINOrBlock(t *testing.T) {
	p := mustPIN(t, "739164205837")
	block := Format0(p, mustPAN(t, "6299990000000017"))
	h := hidden{p, block, []Block{block}}
	var out strings.Builder
	for _, value := range []any{p, &p, block, &block, h, &h, []PIN{p}, map[string]Block{"k": block}, struct{ P PIN }{p}, struct{ B *Block }{&block}} {
		for _, verb := range "vsqxXdTpcbUtogeEfFGw" {
			for _, flags := range []string{"", "+", "#", "-40", "040", ".3", " "} {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", value)
			}
		}
		text, err := json.Marshal(value)
		fmt.Fprintln(&out, string(text), err)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("pin", "pin", p, "block", block, "hidden", h, "list", []any{p, &block})
	}
	raw, lower := block.Reveal(), strings.ToLower(out.String())
	for name, needle := range map[string]string{
		"PIN": "739164205837", "PIN in hex": hex.EncodeToString([]byte("739164205837")), "PIN word": fmt.Sprint(*p.word), "PIN word in hex": fmt.Sprintf("%x", *p.word),
		"block in hex": hex.EncodeToString(raw[:]), "block word": fmt.Sprint(*block.word), "block word in hex": fmt.Sprintf("%x", *block.word),
		"block in decimal": strings.Trim(fmt.Sprint(raw[:]), "[]"), "block raw": strings.ToLower(string(raw[:])),
	} {
		if strings.Contains(lower, needle) {
			t.Errorf("%s is printed somewhere", name)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s %q %x %d", p, p, p, block, block, block, block); got != strings.TrimSpace(strings.Repeat("[redacted] ", 7)) {
		t.Errorf("prints %q", got)
	}
	text, err := json.Marshal([]any{p, block})
	if err != nil || string(text) != `["[redacted]","[redacted]"]` {
		t.Errorf("JSON %s %v", text, err)
	}
}

// A block that is read as format 0 is the block the PIN makes: nothing else decodes to it.
func FuzzParseFormat0(f *testing.F) {
	f.Add([]byte{0x04, 0x12, 0xAD, 0x6F, 0xFF, 0xFF, 0xFF, 0xFE})
	f.Add([]byte{0x0C, 0x12, 0xAD, 0xC6, 0x78, 0x90, 0x12, 0xFE})
	f.Add(make([]byte, 8))
	n := mustPAN(f, "6299990000000017")
	f.Fuzz(func(t *testing.T, b []byte) {
		block, err := FromBytes(b)
		if err != nil {
			return
		}
		raw := block.Reveal()
		if !bytes.Equal(raw[:], b) {
			t.Error("bytes do not come back")
		}
		if p, err := ParseFormat0(block, n); err == nil && !Format0(p, n).Equal(block) {
			t.Error("format 0 does not come back")
		}
		if p, err := ParseWithoutPAN(block); err == nil && !FormatWithoutPAN(p).Equal(block) {
			t.Error("the block without account number does not come back")
		}
		if p, err := ParseFormat2(block); err == nil && !Format2(p).Equal(block) {
			t.Error("format 2 does not come back")
		}
	})
}
