package oda_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/pan"
)

// vector is a file of "key = HEX" lines.
type vector map[string]string

func readVector(t testing.TB, name string) vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	v := make(vector)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
			v[key] = value
		}
	}
	return v
}

func (v vector) bytes(t testing.TB, key string) []byte {
	t.Helper()
	b, err := hex.DecodeString(v[key])
	if err != nil || len(b) == 0 {
		t.Fatalf("vector %q: %q: %v", key, v[key], err)
	}
	return b
}

func (v vector) private(t testing.TB, prefix string) oda.PrivateKey {
	t.Helper()
	k, err := oda.NewPrivateKey(v.bytes(t, prefix+"_p"), v.bytes(t, prefix+"_q"), 3)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPAN(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustExpiry(t testing.TB, yymm string) pan.Expiry {
	t.Helper()
	e, err := pan.ParseExpiry(yymm)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func equalHex(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s = %X, want %X", what, got, want)
	}
}

// wantFailure checks that err is a *Failure of this package with step and check, in both languages.
func wantFailure(t *testing.T, err error, step oda.Step, check oda.Check) {
	t.Helper()
	f, ok := err.(*oda.Failure)
	if !ok {
		t.Fatalf("error is %v, want a failure of %q on %q", err, step, check)
	}
	if f.Step != step || f.Check != check {
		t.Errorf("failure is %q on %q, want %q on %q", f.Step, f.Check, step, check)
	}
}

// The V-8 recording was made on this day; the chain is good for years around it.
var traceDay = time.Date(2015, 3, 16, 0, 0, 0, 0, time.UTC)

func publishedKeys(t testing.TB) *oda.Keys {
	t.Helper()
	keys, err := oda.NewKeys(oda.PublishedCAKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestV8RealCard(t *testing.T) {
	v := readVector(t, "v8.txt")
	number, static := mustPAN(t, v["pan"]), v.bytes(t, "static")
	ca, ok := publishedKeys(t).Lookup(emv.RIDUnionPay, v.bytes(t, "index")[0])
	if !ok {
		t.Fatal("no CA key 09")
	}
	caKey, err := oda.NewPublicKey(ca.Modulus, ca.Exponent)
	if err != nil {
		t.Fatal(err)
	}
	block, err := oda.Recover(caKey, v.bytes(t, "90"))
	if err != nil {
		t.Fatal(err)
	}
	equalHex(t, "issuer header", block[:15], v.bytes(t, "issuer_header"))

	issuer, err := oda.RecoverIssuerKey(ca, v.bytes(t, "90"), v.bytes(t, "92"), v.bytes(t, "9F32"), number, traceDay)
	if err != nil {
		t.Fatal(err)
	}
	hash, iin, serial := issuer.Hash(), issuer.IIN(), issuer.Serial()
	equalHex(t, "issuer modulus", issuer.PublicKey().Modulus(), v.bytes(t, "issuer_modulus"))
	equalHex(t, "issuer hash", hash[:], v.bytes(t, "issuer_hash"))
	equalHex(t, "IIN", iin[:], []byte{0x62, 0x10, 0x94, 0xFF})
	equalHex(t, "serial", serial[:], []byte{0x00, 0x11, 0x56})

	dac, err := oda.VerifySSAD(issuer, v.bytes(t, "93"), static)
	if err != nil {
		t.Fatal(err)
	}
	equalHex(t, "DAC", dac[:], v.bytes(t, "dac"))
	if block, err = oda.Recover(issuer.PublicKey(), v.bytes(t, "93")); err != nil {
		t.Fatal(err)
	}
	equalHex(t, "SDA hash", block[len(block)-21:len(block)-1], v.bytes(t, "sda_hash"))

	icc, err := oda.RecoverICCKey(issuer, v.bytes(t, "9F46"), v.bytes(t, "9F48"), v.bytes(t, "9F47"), number, static, traceDay)
	if err != nil {
		t.Fatal(err)
	}
	hash = icc.Hash()
	equalHex(t, "ICC modulus", icc.PublicKey().Modulus(), v.bytes(t, "icc_modulus"))
	equalHex(t, "ICC hash", hash[:], v.bytes(t, "icc_hash"))
	equalHex(t, "ICC exponent", icc.PublicKey().Exponent(), []byte{1, 0, 1})
	if block, err = oda.Recover(issuer.PublicKey(), v.bytes(t, "9F46")); err != nil {
		t.Fatal(err)
	}
	equalHex(t, "ICC header", block[:21], v.bytes(t, "icc_header"))

	data, err := oda.VerifyDDA(icc, v.bytes(t, "9F4B"), v.bytes(t, "9F37"))
	if err != nil {
		t.Fatal(err)
	}
	equalHex(t, "ICC dynamic data", data, []byte{0x07, 0x00, 0x06, 0x59, 0xA2, 0xF1, 0x45, 0xF4})
	if n, ok := oda.DynamicNumber(data); !ok || !bytes.Equal(n, data[1:]) {
		t.Errorf("ICC dynamic number = %X, %v", n, ok)
	}
	if block, err = oda.Recover(icc.PublicKey(), v.bytes(t, "9F4B")); err != nil {
		t.Fatal(err)
	}
	equalHex(t, "recovered SDAD", block, v.bytes(t, "sdad_recovered"))
}

// chain is V-9 as a test uses it.
type chain struct {
	v                 vector
	ca                oda.CAKey
	caPrivate, issuer oda.PrivateKey
	icc               oda.PrivateKey
	number            pan.Number
	now               time.Time
	static            []byte
	issuerKey         oda.IssuerKey
	iccKey            oda.ICCKey
	fdda              [2]oda.FDDAInput
}

func readChain(t testing.TB) *chain {
	t.Helper()
	v := readVector(t, "v9.txt")
	c := &chain{v: v, caPrivate: v.private(t, "ca"), issuer: v.private(t, "iss"), icc: v.private(t, "icc"),
		number: mustPAN(t, "6228000100001117"), now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}
	c.ca = oda.CAKey{RID: emv.RIDUnionPay, Index: v.bytes(t, "tag8F")[0], Modulus: v.bytes(t, "ca_n"),
		Exponent: v.bytes(t, "tag9F32"), SHA1: [20]byte(v.bytes(t, "ca_sha1"))}
	var err error
	c.static, err = oda.StaticData([]oda.Record{{SFI: 1, Body: v.bytes(t, "static_record")}}, v.bytes(t, "AIP"), v.bytes(t, "tag9F4A"))
	if err != nil {
		t.Fatal(err)
	}
	c.fdda[0] = oda.FDDAInput{UnpredictableNumber: [4]byte(v.bytes(t, "9F37"))}
	c.fdda[1] = oda.FDDAInput{Version: 1, UnpredictableNumber: [4]byte(v.bytes(t, "9F37")), Amount: [6]byte(v.bytes(t, "9F02")),
		Currency: [2]byte(v.bytes(t, "5F2A")), CardAuthData: v.bytes(t, "9F69")}
	if c.issuerKey, err = c.recoverIssuer(v.bytes(t, "tag90"), v.bytes(t, "tag92"), []byte{3}); err != nil {
		t.Fatal(err)
	}
	c.iccKey, err = c.recoverICC(v.bytes(t, "tag9F46"), v.bytes(t, "tag9F48"), []byte{3}, c.static)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *chain) recoverIssuer(cert, remainder, exponent []byte) (oda.IssuerKey, error) {
	return oda.RecoverIssuerKey(c.ca, cert, remainder, exponent, c.number, c.now)
}

func (c *chain) recoverICC(cert, remainder, exponent, static []byte) (oda.ICCKey, error) {
	return oda.RecoverICCKey(c.issuerKey, cert, remainder, exponent, c.number, static, c.now)
}

func TestV9Verify(t *testing.T) {
	c := readChain(t)
	v := c.v
	if err := c.ca.Verify(); err != nil {
		t.Error(err)
	}
	equalHex(t, "issuer modulus", c.issuerKey.PublicKey().Modulus(), v.bytes(t, "iss_n"))
	equalHex(t, "ICC modulus", c.iccKey.PublicKey().Modulus(), v.bytes(t, "icc_n"))
	dac, err := oda.VerifySSAD(c.issuerKey, v.bytes(t, "tag93"), c.static)
	if err != nil || dac != [2]byte{0xDA, 0xC5} {
		t.Errorf("SSAD: %X, %v", dac, err)
	}
	data, err := oda.VerifyDDA(c.iccKey, v.bytes(t, "dda_sdad"), v.bytes(t, "9F37"))
	if err != nil {
		t.Error(err)
	}
	equalHex(t, "ICC dynamic data", data, []byte{8, 1, 2, 3, 4, 5, 6, 7, 8})
	for version, key := range []string{"fdda00_9F4B", "fdda01_9F4B"} {
		atc, err := oda.VerifyFDDA(c.iccKey, v.bytes(t, key), c.fdda[version])
		if err != nil || atc != 0x000A {
			t.Errorf("%s: ATC %04X, %v", key, atc, err)
		}
		if _, err := oda.VerifyFDDA(c.iccKey, v.bytes(t, key), c.fdda[1-version]); err == nil {
			t.Errorf("%s verifies as the other version", key)
		}
	}
	for key, signer := range map[string]oda.PrivateKey{"tag90": c.caPrivate, "tag93": c.issuer, "tag9F46": c.issuer} {
		block, err := oda.Recover(signer.Public(), v.bytes(t, key))
		if err != nil {
			t.Fatal(err)
		}
		equalHex(t, key+" recovered", block, v.bytes(t, key+"_recovered"))
	}
	for key, recovered := range map[string]string{"fdda00_9F4B": "fdda00_recovered", "fdda01_9F4B": "fdda01_recovered",
		"dda_sdad": "dda_recovered"} {
		block, err := oda.Recover(c.icc.Public(), v.bytes(t, key))
		if err != nil {
			t.Fatal(err)
		}
		equalHex(t, recovered, block, v.bytes(t, recovered))
	}
}

// Everything in V-9 is made again, byte for byte, from the private keys.
func TestV9Make(t *testing.T) {
	c := readChain(t)
	v := c.v
	cert, remainder, err := oda.MakeIssuerCertificate(c.caPrivate, oda.IssuerCertSpec{IIN: "62280001", Expiry: mustExpiry(t, "3012"),
		Serial: [3]byte{0, 0, 1}, Public: c.issuer.Public()})
	if err != nil {
		t.Fatal(err)
	}
	equalHex(t, "90", cert, v.bytes(t, "tag90"))
	equalHex(t, "92", remainder, v.bytes(t, "tag92"))
	cert, remainder, err = oda.MakeICCCertificate(c.issuer, oda.ICCCertSpec{PAN: c.number, Expiry: mustExpiry(t, "3012"),
		Serial: [3]byte{0, 0, 2}, Public: c.icc.Public(), Static: c.static})
	if err != nil {
		t.Fatal(err)
	}
	equalHex(t, "9F46", cert, v.bytes(t, "tag9F46"))
	equalHex(t, "9F48", remainder, v.bytes(t, "tag9F48"))
	equalHex(t, "93", oda.SignStatic(c.issuer, [2]byte{0xDA, 0xC5}, c.static), v.bytes(t, "tag93"))
	equalHex(t, "fDDA 00", oda.SignFDDA(c.icc, 0x000A, c.fdda[0]), v.bytes(t, "fdda00_9F4B"))
	equalHex(t, "fDDA 01", oda.SignFDDA(c.icc, 0x000A, c.fdda[1]), v.bytes(t, "fdda01_9F4B"))
	equalHex(t, "DDA", oda.SignDynamic(c.icc, []byte{8, 1, 2, 3, 4, 5, 6, 7, 8}, v.bytes(t, "9F37")), v.bytes(t, "dda_sdad"))
	for prefix, k := range map[string]oda.PrivateKey{"ca": c.caPrivate, "iss": c.issuer, "icc": c.icc} {
		equalHex(t, prefix+"_n", k.Public().Modulus(), v.bytes(t, prefix+"_n"))
	}
}

func TestPublishedCAKeys(t *testing.T) {
	keys := oda.PublishedCAKeys()
	want := []byte{0x01, 0x02, 0x03, 0x04, 0x08, 0x09, 0x0A, 0x0B, 0x80, 0x85}
	var got []byte
	for _, k := range keys {
		got = append(got, k.Index)
		if err := k.Verify(); err != nil {
			t.Error(err)
		}
		if k.RID != emv.RIDUnionPay || k.Role != "production" && k.Role != "test" || k.Expiry == "" {
			t.Errorf("key %02X: RID %X, role %q, expiry %q", k.Index, k.RID, k.Role, k.Expiry)
		}
	}
	equalHex(t, "indexes", got, want)
	keys[0].Modulus[0] ^= 1
	if oda.PublishedCAKeys()[0].Modulus[0] == keys[0].Modulus[0] {
		t.Error("a caller can change the table")
	}
}
