package pinblock

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"tapnet/sm"
)

func mustHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustCipher(t testing.TB, name string, key []byte) cipher.Block {
	t.Helper()
	var block cipher.Block
	var err error
	if name == "sm4" {
		block, err = sm.NewCipher(key)
	} else {
		block, err = aes.NewCipher(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return block
}

func mustWide(t testing.TB, b []byte) WideBlock {
	t.Helper()
	block, err := WideFromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

var layouts = map[string]SM4Layout{"wide": SM4Wide, "zero-filled": SM4ZeroFilled}

func TestWideVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors/wide.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 8 || strings.HasPrefix(line, "#") || strings.HasSuffix(f[0], ":") {
			continue
		}
		seen++
		block, pin, number := mustCipher(t, f[0], mustHex(t, f[1])), mustPIN(t, f[3]), mustPAN(t, f[4])
		enciphered := mustHex(t, f[7])
		var back PIN
		if layout, isSM4 := layouts[f[2]]; isSM4 {
			clear := FormatSM4(pin, number, layout).Reveal()
			if fmt.Sprintf("%X", clear) != f[6] {
				t.Errorf("%s: clear block %X, want %s", f[2], clear, f[6])
			}
			block.Encrypt(clear[:], clear[:])
			if !bytes.Equal(clear[:], enciphered) {
				t.Errorf("%s: enciphered %X, want %s", f[2], clear, f[7])
			}
			block.Decrypt(clear[:], clear[:])
			back, err = ParseFormatSM4(mustWide(t, clear[:]), number, layout)
		} else {
			if f[5] != "-" {
				got := EncipherFormat4(block, pin, number, [8]byte(mustHex(t, f[5]))).Reveal()
				if !bytes.Equal(got[:], enciphered) {
					t.Errorf("format 4: %X, want %s", got, f[7])
				}
			}
			back, err = DecipherFormat4(block, mustWide(t, enciphered), number)
		}
		if err != nil || !back.Equal(pin) {
			t.Errorf("%s reads back: %v", line, err)
		}
	}
	if seen != 6 {
		t.Errorf("%d vectors", seen)
	}
}

// The fields of format 4, a digit more or less on either side of twelve; constructed by hand from the rule.
func TestFormat4Fields(t *testing.T) {
	field := pinFieldFormat4(mustPIN(t, "123456789012"), [8]byte{1})
	if want := "4C123456789012AA0100000000000000"; fmt.Sprintf("%X", field) != want {
		t.Errorf("PIN field %X, want %s", field, want)
	}
	field = pinFieldFormat4(mustPIN(t, "1234"), [8]byte{0xFF})
	if want := "441234AAAAAAAAAAFF00000000000000"; fmt.Sprintf("%X", field) != want {
		t.Errorf("PIN field %X, want %s", field, want)
	}
	for digits, want := range map[string]string{
		"112233445566778899": "61122334455667788990000000000000", // published with psec
		"629999000000":       "06299990000000000000000000000000",
		"6299990000000":      "16299990000000000000000000000000",
	} {
		var field [WideSize]byte
		foldPANFormat4(&field, mustPAN(t, digits))
		if fmt.Sprintf("%X", field) != want {
			t.Errorf("PAN field of %d digits %X, want %s", len(digits), field, want)
		}
	}
}

func TestWideRoundTrip(t *testing.T) {
	number, other := mustPAN(t, "6299990000000017"), mustPAN(t, "6299990000000025")
	block := mustCipher(t, "aes", make([]byte, 32))
	for n := MinDigits; n <= MaxDigits; n++ {
		pin := mustPIN(t, "987654321098"[:n])
		sealed := EncipherFormat4(block, pin, number, [8]byte{byte(n)})
		if back, err := DecipherFormat4(block, sealed, number); err != nil || !back.Equal(pin) || back.Reveal() != pin.Reveal() {
			t.Errorf("format 4, %d digits: %v", n, err)
		}
		if EncipherFormat4(block, pin, number, [8]byte{byte(n + 1)}).Equal(sealed) {
			t.Error("the random bytes do not matter")
		}
		if back, err := DecipherFormat4(block, sealed, other); err == nil && back.Equal(pin) {
			t.Error("format 4 does not see the account number")
		}
		if back, err := ParseFormat2(Format2(pin)); err != nil || !back.Equal(pin) {
			t.Errorf("format 2, %d digits: %v", n, err)
		}
		for name, layout := range layouts {
			clear := FormatSM4(pin, number, layout)
			if back, err := ParseFormatSM4(clear, number, layout); err != nil || !back.Equal(pin) {
				t.Errorf("%s, %d digits: %v", name, n, err)
			}
			if back, err := ParseFormatSM4(clear, other, layout); err == nil && back.Equal(pin) {
				t.Errorf("%s does not see the account number", name)
			}
		}
	}
}

func TestWideRefused(t *testing.T) {
	number := mustPAN(t, "6299990000000017")
	block := mustCipher(t, "aes", make([]byte, 16))
	good := FormatSM4(mustPIN(t, "1234"), number, SM4Wide).Reveal()
	zeroFilled := FormatSM4(mustPIN(t, "1234"), number, SM4ZeroFilled).Reveal()
	edit := func(b [16]byte, at int, value byte) WideBlock { b[at] = value; return mustWide(t, b[:]) }
	for name, err := range map[string]error{
		"zero value":         second(ParseFormatSM4(WideBlock{}, number, SM4Wide)),
		"no account":         second(ParseFormatSM4(mustWide(t, good[:]), mustPAN(t, "6299990000000025"), SM4Wide)),
		"control":            second(ParseFormatSM4(edit(good, 0, 0x14), number, SM4Wide)),
		"length 3":           second(ParseFormatSM4(edit(good, 0, 0x03), number, SM4Wide)),
		"length 13":          second(ParseFormatSM4(edit(good, 0, 0x0D), number, SM4Wide)),
		"digit A":            second(ParseFormatSM4(edit(good, 1, 0xA2), number, SM4Wide)),
		"filler A":           second(ParseFormatSM4(edit(good, 3, 0xAF), number, SM4Wide)),
		"second half":        second(ParseFormatSM4(edit(good, 8, 0xFE), number, SM4Wide)),
		"layouts mixed up":   second(ParseFormatSM4(mustWide(t, good[:]), number, SM4ZeroFilled)),
		"layouts the other":  second(ParseFormatSM4(mustWide(t, zeroFilled[:]), number, SM4Wide)),
		"not zero-filled":    second(ParseFormatSM4(edit(zeroFilled, 15, 1), number, SM4ZeroFilled)),
		"format 4 zero":      second(DecipherFormat4(block, WideBlock{}, number)),
		"format 4 garbage":   second(DecipherFormat4(block, mustWide(t, make([]byte, 16)), number)),
		"format 4 wrong key": second(DecipherFormat4(block, EncipherFormat4(mustCipher(t, "aes", make([]byte, 32)), mustPIN(t, "1234"), number, [8]byte{}), number)),
	} {
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, 8, 15, 17} {
		if _, err := WideFromBytes(make([]byte, n)); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	single, err := des.NewCipher(make([]byte, 8))
	if err != nil {
		t.Fatal(err)
	}
	for name, misuse := range map[string]func(){
		"narrow cipher": func() { EncipherFormat4(single, mustPIN(t, "1234"), number, [8]byte{}) },
		"narrow too":    func() { _, _ = DecipherFormat4(single, mustWide(t, good[:]), number) },
		"no PIN":        func() { EncipherFormat4(block, PIN{}, number, [8]byte{}) },
		"no PIN, SM4":   func() { FormatSM4(PIN{}, number, SM4Wide) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
}

func TestWideMasksAndCompares(t *testing.T) {
	b := FormatSM4(mustPIN(t, "123456"), mustPAN(t, "6299990000000017"), SM4Wide)
	asJSON, err := json.Marshal(struct{ B WideBlock }{b})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := b.MarshalText()
	for _, p := range []string{string(asJSON), string(text), b.String(), b.LogValue().String(), fmt.Sprintf("%v %+v %#v %x %d", b, b, b, b, b)} {
		if !strings.Contains(p, redacted) || strings.Contains(p, "123456") {
			t.Errorf("%q shows the block", p)
		}
	}
	same := b.Reveal()
	if !b.Equal(mustWide(t, same[:])) || b.Equal(WideBlock{}) || !(WideBlock{}).Equal(WideBlock{}) || (WideBlock{}).Equal(b) {
		t.Error("Equal")
	}
	same[15] ^= 1
	if b.Equal(mustWide(t, same[:])) || (WideBlock{}).Reveal() != [16]byte{} {
		t.Error("Equal or Reveal of the zero value")
	}
	if SM4Wide.String() != "wide" || SM4ZeroFilled.String() != "zero-filled" || SM4Layout(7).String() == "" {
		t.Error("names of layouts")
	}
}

// What is read makes the same block again; format 4 reads back the PIN it holds.
func FuzzParseWide(f *testing.F) {
	number := mustPAN(f, "6299990000000017")
	block := mustCipher(f, "aes", make([]byte, 16))
	for _, layout := range layouts {
		b := FormatSM4(mustPIN(f, "123456"), number, layout).Reveal()
		f.Add(b[:])
	}
	b := EncipherFormat4(block, mustPIN(f, "1234"), number, [8]byte{7}).Reveal()
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, data []byte) {
		wide, err := WideFromBytes(data)
		if err != nil {
			return
		}
		for _, layout := range layouts {
			if pin, err := ParseFormatSM4(wide, number, layout); err == nil && !FormatSM4(pin, number, layout).Equal(wide) {
				t.Errorf("%v: %X is another block", layout, data)
			}
		}
		pin, err := DecipherFormat4(block, wide, number)
		if err != nil {
			return
		}
		again := EncipherFormat4(block, pin, number, [8]byte{})
		if back, err := DecipherFormat4(block, again, number); err != nil || !back.Equal(pin) {
			t.Errorf("format 4: %X: %v", data, err)
		}
	})
}
