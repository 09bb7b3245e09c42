package cryptogram

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"tapnet/emv"
	"tapnet/mac"
	"tapnet/pinblock"
	"tapnet/tlv"
)

// random returns a source whose seed a failing test prints.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	const seed = 20261121
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, seed))
}

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// TestRetailMACAgainstPackageMAC: two implementations of one algorithm in the tree must agree for every length.
func TestRetailMACAgainstPackageMAC(t *testing.T) {
	r := random(t)
	for length := range 300 {
		var key [KeyBytes]byte
		data := make([]byte, length)
		fill(r, key[:])
		fill(r, data)
		if got, want := retailMAC(key, data), mac.Retail(key, data); got != want {
			t.Fatalf("%d bytes: %X, want %X", length, got, want)
		}
	}
}

func TestDerivationDoesNotAllocate(t *testing.T) {
	master := mustKey(t, "F0C34A8124CEE0A91A0B034AA97D6EAC")
	n := mustPAN(t, "6228000100001")
	tags := dataOf(t, "9F02:000000000001 9F03:000000000000 9F1A:0156 95:0080046000 5F2A:0156 9A:140701 9C:00 9F37:1E78EEBC "+
		"82:7D00 9F36:0240")
	buf := make([]byte, 0, 64)
	var source emv.Source = &tags
	cvr := emv.CVR{0x03, 0xA0, 0x40, 0x02}
	ac := [8]byte(unhex(t, "5D016C91005E7CC2"))
	suite := SuiteTDES
	allocs := testing.AllocsPerRun(100, func() {
		session := suite.SessionKey(suite.CardKey(master, n, "01"), 0x0240)
		data, err := suite.AppendData(buf[:0], CVN01, cvr, source)
		if err != nil || !suite.Verify(session, data, ac) {
			t.Fatal("cryptogram refused", err)
		}
		_ = suite.ARPC(session, ac, [2]byte{'0', '0'})
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestKeysMaskThemselves(t *testing.T) {
	const clear = "0123456789ABCDEFFEDCBA9876543210"
	key := mustKey(t, clear)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", key, "keys", CardKeys{AC: key})
	asJSON, err := json.Marshal(map[string]any{"key": key, "keys": CardKeys{ENC: key}})
	if err != nil {
		t.Fatal(err)
	}
	prints := []string{log.String(), string(asJSON), key.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		prints = append(prints, fmt.Sprintf(verb, key), fmt.Sprintf(verb, CardKeys{MAC: key}), fmt.Sprintf(verb, &key))
	}
	for _, p := range prints {
		lower := strings.ToLower(p)
		if strings.Contains(lower, "0123456789abcdef") || strings.Contains(p, "1 35 69") || !strings.Contains(p, "redacted") {
			t.Errorf("key shows in %q", p)
		}
	}
}

func TestNewKeyRefuses(t *testing.T) {
	for _, n := range []int{0, 1, 8, 15, 17, 24, 32} {
		if _, err := NewKey(make([]byte, n)); !errors.Is(err, ErrKeyLength) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if !(Key{}).IsZero() || mustKey(t, "00000000000000000000000000000001").IsZero() {
		t.Error("IsZero")
	}
}

// TestAppendDataRefuses: a cryptogram over less than the list, or over a cut value, must not be computed silently.
func TestAppendDataRefuses(t *testing.T) {
	complete := dataOf(t, "9F02:000000000001 9F03:000000000000 9F1A:0156 95:0080046000 5F2A:0156 9A:140701 9C:00 9F37:1E78EEBC "+
		"82:7D00 9F36:0240")
	cvr := emv.NewCVR()
	prefix := []byte{1, 2, 3}
	for tag := range complete.All() {
		missing := complete.Clone()
		missing.Delete(tag)
		got, err := SuiteTDES.AppendData(prefix, CVN01, cvr, missing)
		var dataError *DataError
		if !errors.As(err, &dataError) || dataError.Tag != tag || !errors.Is(err, ErrMissingData) {
			t.Errorf("without %v: %v", tag, err)
		}
		if !bytes.Equal(got, prefix) {
			t.Errorf("without %v: dst changed to %X", tag, got)
		}
		short := complete.Clone()
		short.Set(tag, complete.Get(tag)[1:])
		if _, err := SuiteTDES.AppendData(nil, CVN01, cvr, short); !errors.Is(err, ErrDataLength) {
			t.Errorf("short %v: %v", tag, err)
		}
		long := complete.Clone()
		long.Set(tag, append(complete.Get(tag), 0))
		if _, err := SuiteTDES.AppendData(nil, CVN01, cvr, long); !errors.Is(err, ErrDataLength) {
			t.Errorf("long %v: %v", tag, err)
		}
	}
	for _, cvn := range []byte{0x00, 0x02, 0x16, 0x18, 0xFF} {
		if _, err := SuiteTDES.AppendData(nil, cvn, cvr, complete); !errors.Is(err, ErrUnknownVersion) {
			t.Errorf("version %02X: %v", cvn, err)
		}
		if _, known := SuiteTDES.DataTags(cvn); known {
			t.Errorf("version %02X has tags", cvn)
		}
	}
	if _, err := SuiteTDES.AppendData(nil, CVN01, cvr); !errors.Is(err, ErrMissingData) {
		t.Errorf("no sources: %v", err)
	}
}

func TestDataTags(t *testing.T) {
	want := []tlv.Tag{0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37, 0x82, 0x9F36, 0x9F10}
	if got, _ := SuiteTDES.DataTags(CVN01); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("version 01: %v", got)
	}
	want = []tlv.Tag{0x9F02, 0x9F37, 0x9F36, 0x9F10}
	if got, _ := SuiteTDES.DataTags(CVN17); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("version 17: %v", got)
	}
}

// TestWithDataList: an issuer's own list changes its copy of the suite and no other.
func TestWithDataList(t *testing.T) {
	own := SuiteTDES.WithDataList(DataList{CVN: CVN01, Tags: emv.DOL{{Tag: emv.TagATC, Len: 2}}})
	data, err := own.AppendData(nil, CVN01, emv.CVR{3, 0xA0, 0, 0}, dataOf(t, "9F36:0240"))
	if err != nil || !bytes.Equal(data, []byte{0x02, 0x40, 0xA0}) {
		t.Errorf("own list: %X, %v", data, err)
	}
	if n, _ := SuiteTDES.DataLength(CVN01); n != 37 {
		t.Errorf("the standard list became %d bytes", n)
	}
	if n, _ := SuiteTDES.DataLength(CVN17); n != 13 {
		t.Errorf("fast list is %d bytes", n)
	}
}

func TestSequence(t *testing.T) {
	cases := map[string]string{
		"": "\x00\x00", "1": "\x00\x01", "01": "\x00\x01", "001": "\x00\x01", "45": "\x04\x05", "1x": "\x01\x00",
	}
	for text, want := range cases {
		if got := sequencePair(text); string(got[:]) != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPINChangeWithCurrentPIN(t *testing.T) {
	keys := exampleKeys(t)
	r := random(t)
	for _, digits := range []string{"1234", "12345", "123456", "123456789012"} {
		for _, variant := range []PINVariant{PINVariantENC, PINVariantAC} {
			next, current, atc := mustPIN(t, digits), mustPIN(t, "98765"), uint16(r.Uint32())
			data := SuiteTDES.EncipherPINChange(keys, atc, variant, next, current)
			got, err := SuiteTDES.DecipherPINChange(keys, atc, variant, data, current)
			if err != nil || !got.Equal(next) {
				t.Errorf("%s variant %v: %v", digits, variant, err)
			}
			if data == SuiteTDES.EncipherPINChange(keys, atc, variant, next, pinblock.PIN{}) {
				t.Errorf("%s variant %v: current PIN does not count", digits, variant)
			}
			if got, err := SuiteTDES.DecipherPINChange(keys, atc, variant, data, mustPIN(t, "98764")); err == nil && got.Equal(next) {
				t.Errorf("%s variant %v: accepted with another current PIN", digits, variant)
			}
		}
	}
}

func TestDecipherPINChangeRefuses(t *testing.T) {
	keys := exampleKeys(t)
	session := SuiteTDES.SessionKey(keys.ENC, 1)
	good := SuiteTDES.EncipherPINChange(keys, 1, PINVariantENC, mustPIN(t, "1234"), pinblock.PIN{})
	clear := tdesDecipher(session.b, good)
	for i := range clear {
		for bit := range 8 {
			bad := clear
			bad[i] ^= 1 << bit
			got, err := SuiteTDES.DecipherPINChange(keys, 1, PINVariantENC, tdesEncipher(session.b, bad), pinblock.PIN{})
			inPIN := i >= 1 && i <= pinBlockBytes // there another valid PIN may come out
			if err == nil && (!inPIN || got.Reveal() == "1234") {
				t.Errorf("byte %d bit %d: accepted", i, bit)
			}
		}
	}
	if _, err := SuiteTDES.DecipherPINChange(keys, 2, PINVariantENC, good, pinblock.PIN{}); !errors.Is(err, ErrPINChange) {
		t.Errorf("another counter: %v", err)
	}
}

func TestIDDMACLongForm(t *testing.T) {
	// Ten bytes of value: counter and value are filled to 16 bytes, then padded [REF 1.7].
	session := mustKey(t, "EA80DA2ED32A471AC343F55484147A0F")
	value := unhex(t, "00000010000000002500")
	want := SuiteTDES.Cryptogram(session, append(append([]byte{0x02, 0x40}, value...), 0, 0, 0, 0))
	if got := SuiteTDES.IDDMAC(session, 0x0240, value); !bytes.Equal(got[:], want[:4]) {
		t.Errorf("%X, want %X", got, want[:4])
	}
}

func TestParseIssuerAuthDataRefuses(t *testing.T) {
	for _, n := range []int{0, 8, 9, 11, 16} {
		if _, _, ok := ParseIssuerAuthData(make([]byte, n)); ok {
			t.Errorf("%d bytes accepted", n)
		}
	}
}

func TestAppendPadding(t *testing.T) {
	for n := range 17 {
		padded := AppendPadding(make([]byte, n), 8)
		if len(padded)%8 != 0 || len(padded) <= n || len(padded) > n+8 || padded[n] != 0x80 {
			t.Errorf("%d bytes: %X", n, padded)
		}
	}
}

func BenchmarkFullCheck(b *testing.B) {
	master := mustKey(b, "F0C34A8124CEE0A91A0B034AA97D6EAC")
	n := mustPAN(b, "6228000100001")
	data := unhex(b, "000000000001000000000000015600800460000156140701001E78EEBC7D00024003A04002")
	ac := [8]byte(unhex(b, "5D016C91005E7CC2"))
	suite := SuiteTDES
	b.ReportAllocs()
	for b.Loop() {
		session := suite.SessionKey(suite.CardKey(master, n, "01"), 0x0240)
		if !suite.Verify(session, data, ac) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkARPC(b *testing.B) {
	session := mustKey(b, "D4102725E6E5AD329E55AAB50BF23DA9")
	b.ReportAllocs()
	for b.Loop() {
		_ = SuiteTDES.ARPC(session, [8]byte{1}, [2]byte{'0', '0'})
	}
}
