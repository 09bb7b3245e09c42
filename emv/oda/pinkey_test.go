package oda_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"tapnet/emv/oda"
	"tapnet/internal/testkeys"
	"tapnet/pinblock"
)

// recoverTestCard makes and recovers a chain of TEST keys.
func recoverTestCard(t *testing.T, icc oda.PrivateKey) oda.ICCKey {
	t.Helper()
	number, now := mustPAN(t, "6299991000000010"), traceDay
	expiry := mustExpiry(t, "3012")
	cert, remainder, err := oda.MakeIssuerCertificate(testkeys.CA(0), oda.IssuerCertSpec{IIN: "629999", Expiry: expiry, Public: testkeys.Issuer(0).Public()})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := oda.RecoverIssuerKey(testkeys.CAKey(0), cert, remainder, testkeys.Issuer(0).Public().Exponent(), number, now)
	if err != nil {
		t.Fatal(err)
	}
	cert, remainder, err = oda.MakeICCCertificate(testkeys.Issuer(0), oda.ICCCertSpec{PAN: number, Expiry: expiry, Public: icc.Public()})
	if err != nil {
		t.Fatal(err)
	}
	key, err := oda.RecoverICCKey(issuer, cert, remainder, icc.Public().Exponent(), number, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestEncipherPIN(t *testing.T) {
	icc := testkeys.ICC(0)
	key := recoverTestCard(t, icc)
	pin, err := pinblock.ParsePIN("123456")
	if err != nil {
		t.Fatal(err)
	}
	challenge := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	random := bytes.Repeat([]byte{0xA5}, icc.Public().Len())
	enciphered, err := oda.EncipherPIN(key, pinblock.Format2(pin), challenge, bytes.NewReader(random))
	if err != nil || len(enciphered) != icc.Public().Len() {
		t.Fatalf("%d bytes, %v", len(enciphered), err)
	}
	block, ok := oda.DecipherPIN(icc, enciphered, challenge)
	if got, err := pinblock.ParseFormat2(block); !ok || err != nil || !got.Equal(pin) {
		t.Errorf("%v, %v", ok, err)
	}
	if _, ok := oda.DecipherPIN(icc, enciphered, [8]byte{}); ok {
		t.Error("another challenge")
	}
	if _, ok := oda.DecipherPIN(testkeys.ICC(1), enciphered, challenge); ok {
		t.Error("another key")
	}
	if _, ok := oda.DecipherPIN(icc, enciphered[1:], challenge); ok {
		t.Error("too short")
	}
	if _, ok := oda.DecipherPIN(icc, bytes.Repeat([]byte{0xFF}, len(enciphered)), challenge); ok {
		t.Error("above the modulus")
	}
	if _, ok := oda.DecipherPIN(oda.PrivateKey{}, enciphered, challenge); ok {
		t.Error("no key")
	}
	if _, err := oda.EncipherPIN(key, pinblock.Format2(pin), challenge, bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("no random bytes: %v", err)
	}
}

func TestCombined(t *testing.T) {
	icc := testkeys.ICC(0)
	key := recoverTestCard(t, icc)
	number := [4]byte{1, 2, 3, 4}
	c := oda.Combined{Number: []byte{9, 8, 7}, CID: 0x80, Cryptogram: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}
	sum := oda.TransactionHash([]byte("PDOL"), []byte("CDOL1"), []byte("answer"))
	sdad := oda.SignCDA(icc, c, number, sum)
	got, err := oda.VerifyCDA(key, sdad, number, sum)
	if err != nil || got.CID != c.CID || got.Cryptogram != c.Cryptogram || !bytes.Equal(got.Number, c.Number) {
		t.Errorf("%+v, %v", got, err)
	}
	other := sum
	other[0] ^= 1
	for name, verify := range map[string]func() error{
		"transaction":   func() error { _, err := oda.VerifyCDA(key, sdad, number, other); return err },
		"random number": func() error { _, err := oda.VerifyCDA(key, sdad, [4]byte{}, sum); return err },
		"length":        func() error { _, err := oda.VerifyCDA(key, sdad[1:], number, sum); return err },
		"changed": func() error {
			b := bytes.Clone(sdad)
			b[40] ^= 1
			_, err := oda.VerifyCDA(key, b, number, sum)
			return err
		},
		"no combined data": func() error {
			_, err := oda.VerifyCDA(key, oda.SignDynamic(icc, []byte{2, 1, 1}, number[:]), number, sum)
			return err
		},
		"another key": func() error {
			_, err := oda.VerifyCDA(key, oda.SignCDA(testkeys.ICC(1), c, number, sum), number, sum)
			return err
		},
	} {
		if err := verify(); !errors.Is(err, oda.ErrAuthentication) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
