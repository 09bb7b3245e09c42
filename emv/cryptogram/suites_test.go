package cryptogram

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/emv"
	"tapnet/mac"
	"tapnet/pinblock"
	"tapnet/sm"
)

func allSuites() []Suite { return []Suite{SuiteTDES, SuiteSM4, SuiteAES} }

// Two implementations of one algorithm in the tree must agree for every length.
func TestAESMACAgainstPackageMAC(t *testing.T) {
	r := random(t)
	for length := range 100 {
		var key [KeyBytes]byte
		data := make([]byte, length)
		fill(r, key[:])
		fill(r, data)
		block, err := aes.NewCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		if got, want := aesMAC(key, data), mac.CMAC(block, data); !bytes.Equal(got[:], want[:8]) {
			t.Fatalf("%d bytes: %X, want %X", length, got, want)
		}
	}
}

func TestSM4MACAgainstCBC(t *testing.T) {
	r := random(t)
	for length := range 100 {
		var key [KeyBytes]byte
		data := make([]byte, length)
		fill(r, key[:])
		fill(r, data)
		block, err := sm.NewCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		padded := AppendPadding(bytes.Clone(data), sm.BlockBytes)
		cipher.NewCBCEncrypter(block, make([]byte, sm.BlockBytes)).CryptBlocks(padded, padded)
		if got, want := sm4MAC(key, data), padded[len(padded)-16:len(padded)-8]; !bytes.Equal(got[:], want) {
			t.Fatalf("%d bytes: %X, want %X", length, got, want)
		}
	}
}

func TestSuitesByAlgorithm(t *testing.T) {
	for _, s := range allSuites() {
		got, known := Standard(s.AlgorithmID())
		if !known || got.Cipher() != s.Cipher() || got.Name() != s.Name() || s.IsZero() {
			t.Errorf("%s: Standard gives %s, %t", s.Name(), got.Name(), known)
		}
	}
	for _, id := range []byte{0, 2, 3, 6, 0xFF} {
		if s, known := Standard(id); known || !s.IsZero() || s.Cipher() != 0 {
			t.Errorf("algorithm %02X is %s", id, s.Name())
		}
	}
	if got := SuiteSM4.WithAlgorithmID(9).AlgorithmID(); got != 9 || SuiteSM4.AlgorithmID() != AlgorithmSM4 {
		t.Errorf("WithAlgorithmID gives %02X", got)
	}
}

func TestDerivationOptions(t *testing.T) {
	const long, short = "6299990123456789012", "6228000100001"
	master := mustKey(t, "F0C34A8124CEE0A91A0B034AA97D6EAC")
	for _, s := range allSuites() {
		seen := map[Key]Derivation{}
		for _, d := range []Derivation{OptionA, OptionB, OptionC} {
			key := s.WithDerivation(d).CardKey(master, mustPAN(t, long), "01")
			if other, again := seen[key]; again {
				t.Errorf("%s: %v gives the key of %v", s.Name(), d, other)
			}
			seen[key] = d
		}
		if a, b := s.WithDerivation(OptionA), s.WithOptionB(); a.CardKey(master, mustPAN(t, short), "1") != b.CardKey(master, mustPAN(t, short), "01") {
			t.Errorf("%s: options A and B differ for a short PAN", s.Name())
		}
	}
	if a, b := SuiteAES.CardKey(master, mustPAN(t, long), "01"), SuiteAES.CardKey(master, mustPAN(t, "0"+long[1:]), "01"); a == b {
		t.Error("option C does not cover the first digit")
	}
	if a, b := SuiteAES.SessionKey(master, 1), SuiteAES.WithSession(SessionPair).SessionKey(master, 1); a == b {
		t.Error("the session rules agree")
	}
	for _, text := range []string{OptionB.String(), SessionPair.String(), SessionCounter.String(), Derivation(9).String(), SessionRule(9).String(),
		Cipher(9).String(), CipherSM4.String()} {
		if text == "" {
			t.Error("empty name")
		}
	}
}

// Every suite and script profile: what is enciphered comes back, MAC and keys of the two sides are one.
func TestScriptRoundTrip(t *testing.T) {
	r := random(t)
	for _, s := range allSuites() {
		for _, p := range []ScriptProfile{{}, {Chained: true}, {AlwaysPadded: true}, {KeysFromCryptogram: true}, {true, true, true}} {
			s := s.WithScript(p)
			var keys CardKeys
			for _, k := range []*Key{&keys.AC, &keys.MAC, &keys.ENC} {
				fill(r, k.b[:])
			}
			script := s.Script(keys, uint16(r.Uint32()), [8]byte{byte(r.Uint32())})
			for _, n := range []int{0, 1, 6, 7, 8, 14, 15, 16, 100, MaxScriptData} {
				data := make([]byte, n)
				fill(r, data)
				got := script.Encipher(data)
				back, err := script.Decipher(got)
				if err != nil || !bytes.Equal(back, data) {
					t.Errorf("%s %+v, %d bytes: %X, %v", s.Name(), p, n, back, err)
				}
				got[len(got)-1] ^= 1
				if back, err := script.Decipher(got); err == nil && bytes.Equal(back, data) {
					t.Errorf("%s %+v, %d bytes: a changed block gives the same data", s.Name(), p, n)
				}
			}
			next, current := mustPIN(t, "1234"), mustPIN(t, "987654")
			block := script.EncipherPINChange(PINVariantAC, next, current)
			if pin, err := script.DecipherPINChange(PINVariantAC, block, current); err != nil || !pin.Equal(next) {
				t.Errorf("%s %+v: PIN change: %v", s.Name(), p, err)
			}
			if pin, err := script.DecipherPINChange(PINVariantAC, block, mustPIN(t, "987655")); err == nil && pin.Equal(next) {
				t.Errorf("%s %+v: the current PIN does not matter", s.Name(), p)
			}
			other := s.Script(keys, script.atc+1, [8]byte{})
			if other.MAC([5]byte{}, nil) == script.MAC([5]byte{}, nil) {
				t.Errorf("%s %+v: two transactions have one MAC", s.Name(), p)
			}
			if _, err := other.Decipher(script.Encipher(make([]byte, 40))); !errors.Is(err, ErrScriptData) {
				t.Errorf("%s %+v: another transaction deciphers: %v", s.Name(), p, err)
			}
		}
	}
}

func TestScriptRefuses(t *testing.T) {
	for _, s := range allSuites() {
		script := s.Script(CardKeys{ENC: mustKey(t, "0123456789ABCDEFFEDCBA9876543210")}, 1, [8]byte{1})
		for _, n := range []int{0, 1, 7, 9, 15, 17, 256, 1024} {
			if _, err := script.Decipher(make([]byte, n)); !errors.Is(err, ErrScriptData) {
				t.Errorf("%s, %d bytes: %v", s.Name(), n, err)
			}
		}
		if _, err := script.DecipherPINChange(PINVariantENC, [16]byte{}, pinblock.PIN{}); !errors.Is(err, ErrPINChange) && !errors.Is(err, pinblock.ErrFormat) {
			t.Errorf("%s: PIN change of zeros: %v", s.Name(), err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: too much data is enciphered", s.Name())
				}
			}()
			script.Encipher(make([]byte, MaxScriptData+1))
		}()
	}
}

func TestScriptMasksItself(t *testing.T) {
	script := SuiteSM4.Script(CardKeys{MAC: mustKey(t, "0123456789ABCDEFFEDCBA9876543210")}, 1, [8]byte{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if p := fmt.Sprintf(verb, script); p != redacted {
			t.Errorf("%s shows %q", verb, p)
		}
	}
	if text, _ := script.MarshalText(); string(text) != redacted || script.String() != redacted {
		t.Error("text shows a key")
	}
}

func TestChoose(t *testing.T) {
	yes, no := []byte{1}, []byte{0}
	cases := []struct {
		name   string
		df69   []byte
		suites []Suite
		at     int
		fits   bool
	}{
		{"none", yes, nil, -1, false},
		{"classic card, classic terminal", no, []Suite{SuiteTDES}, 0, true},
		{"classic card, SM terminal", yes, []Suite{SuiteTDES}, 0, true},
		{"SM card, SM terminal", yes, []Suite{SuiteSM4}, 0, true},
		{"SM card, classic terminal", no, []Suite{SuiteSM4}, 0, false},
		{"both, SM terminal", yes, []Suite{SuiteTDES, SuiteSM4}, 1, true},
		{"both, classic terminal", no, []Suite{SuiteSM4, SuiteTDES}, 1, true},
		{"both, nothing said", nil, []Suite{SuiteSM4, SuiteTDES}, 1, true},
		{"both, too long", []byte{1, 1}, []Suite{SuiteSM4, SuiteTDES}, 1, true},
		{"both, another value", []byte{2}, []Suite{SuiteSM4, SuiteTDES}, 1, true},
		{"AES and SM4", no, []Suite{SuiteSM4, SuiteAES}, 1, true},
	}
	for _, c := range cases {
		if at, fits := Choose(c.df69, c.suites...); at != c.at || fits != c.fits {
			t.Errorf("%s: %d, %t, want %d, %t", c.name, at, fits, c.at, c.fits)
		}
	}
	if v := SMSupport(true); !TerminalSupportsSM(v[:]) {
		t.Error("SMSupport(true) says no")
	}
	if v := SMSupport(false); TerminalSupportsSM(v[:]) {
		t.Error("SMSupport(false) says yes")
	}
}

// payment is what an issuer does for one cryptogram: both derivations, data, check, answer.
func payment(t testing.TB, suite Suite) func() {
	master := mustKey(t, "F0C34A8124CEE0A91A0B034AA97D6EAC")
	n := mustPAN(t, "6228000100001")
	tags := dataOf(t, "9F02:000000000001 9F03:000000000000 9F1A:0156 95:0080046000 5F2A:0156 9A:140701 9C:00 9F37:1E78EEBC 82:7D00 9F36:0240")
	buf := make([]byte, 0, 64)
	var source emv.Source = &tags
	cvr := emv.CVR{0x03, 0xA0, 0x40, 0x02}
	run := func() [8]byte {
		session := suite.SessionKey(suite.CardKey(master, n, "01"), 0x0240)
		data, err := suite.AppendData(buf[:0], CVN01, cvr, source)
		if err != nil {
			t.Fatal(err)
		}
		ac := suite.Cryptogram(session, data)
		_ = suite.ARPC(session, ac, [2]byte{'0', '0'})
		return ac
	}
	want := run()
	return func() {
		if run() != want {
			t.Fatal("another cryptogram")
		}
	}
}

// The cipher of the standard library lives behind an interface: one object for each of the four keys of a payment, no more.
func TestAllocations(t *testing.T) {
	for suite, most := range map[string]float64{"3DES": 0, "SM4": 0, "AES": 8} {
		for _, s := range allSuites() {
			if s.Name() != suite {
				continue
			}
			if n := testing.AllocsPerRun(100, payment(t, s)); n > most {
				t.Errorf("%s: %v allocations, at most %v", suite, n, most)
			}
		}
	}
}

func BenchmarkPayment(b *testing.B) {
	for _, s := range allSuites() {
		b.Run(s.Name(), func(b *testing.B) {
			run := payment(b, s)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

func BenchmarkScriptMAC(b *testing.B) {
	for _, s := range allSuites() {
		b.Run(s.Name(), func(b *testing.B) {
			var key Key
			data := make([]byte, 32)
			b.ReportAllocs()
			for b.Loop() {
				s.ScriptMAC(key, [5]byte{}, 1, [8]byte{}, data)
			}
		})
	}
}

// Data that decipher encipher to the same block again; nothing panics.
func FuzzDecipherScript(f *testing.F) {
	f.Add(byte(0), []byte("0123456789ABCDEF"))
	f.Add(byte(5), bytes.Repeat([]byte{7}, 32))
	keys := CardKeys{AC: Key{[16]byte{1}}, MAC: Key{[16]byte{2}}, ENC: Key{[16]byte{3}}}
	for i, s := range allSuites() {
		f.Add(byte(i), s.Script(keys, 1, [8]byte{}).Encipher([]byte("limit")))
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		s := allSuites()[kind%3].WithScript(ScriptProfile{Chained: kind&4 != 0, AlwaysPadded: kind&8 != 0})
		script := s.Script(keys, 1, [8]byte{})
		clear, err := script.Decipher(data)
		if err == nil && !bytes.Equal(script.Encipher(clear), data) {
			t.Errorf("%s: %X deciphers to %X", s.Name(), data, clear)
		}
		if len(data) >= 16 {
			block := [16]byte(data)
			pin, err := script.DecipherPINChange(PINVariantENC, block, pinblock.PIN{})
			if err == nil && script.EncipherPINChange(PINVariantENC, pin, pinblock.PIN{}) != block {
				t.Errorf("%s: %X is another PIN change", s.Name(), block)
			}
			if err != nil && strings.Contains(err.Error(), fmt.Sprintf("%X", block)) {
				t.Errorf("%v shows the data", err)
			}
		}
	})
}

func TestWrapKeyRoundTrip(t *testing.T) {
	under, key := mustKey(t, "0123456789ABCDEFFEDCBA9876543210"), mustKey(t, "F0C34A8124CEE0A91A0B034AA97D6EAC")
	for _, s := range allSuites() {
		wrapped := s.WrapKey(under, key)
		if back := s.UnwrapKey(under, wrapped); back != key || wrapped == key.Reveal() {
			t.Errorf("%s: the key does not come back", s.Name())
		}
	}
}
