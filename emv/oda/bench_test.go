package oda_test

import (
	"testing"

	"tapnet/emv/oda"
	"tapnet/internal/testkeys"
)

// The gate's check: CA 1408, issuer 1152, card 1024 bits, all with exponent 3.
func BenchmarkVerifyChain(b *testing.B) {
	c := readChain(b)
	cert90, rest92, cert46, rest48 := c.v.bytes(b, "tag90"), c.v.bytes(b, "tag92"), c.v.bytes(b, "tag9F46"), c.v.bytes(b, "tag9F48")
	sdad, three := c.v.bytes(b, "fdda01_9F4B"), []byte{3}
	b.ReportAllocs()
	for b.Loop() {
		issuer, err := oda.RecoverIssuerKey(c.ca, cert90, rest92, three, c.number, c.now)
		if err != nil {
			b.Fatal(err)
		}
		icc, err := oda.RecoverICCKey(issuer, cert46, rest48, three, c.number, c.static, c.now)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := oda.VerifyFDDA(icc, sdad, c.fdda[1]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyFDDA(b *testing.B) {
	c := readChain(b)
	sdad := c.v.bytes(b, "fdda01_9F4B")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := oda.VerifyFDDA(c.iccKey, sdad, c.fdda[1]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyFDDALargeExponent(b *testing.B) {
	c := readChain(b)
	icc := testkeys.ICC(testkeys.ICCCount - 1)
	cert, rest, err := oda.MakeICCCertificate(c.issuer, oda.ICCCertSpec{PAN: c.number, Expiry: mustExpiry(b, "3012"), Public: icc.Public()})
	if err != nil {
		b.Fatal(err)
	}
	key, err := c.recoverICC(cert, rest, []byte{1, 0, 1}, nil)
	if err != nil {
		b.Fatal(err)
	}
	sdad := oda.SignFDDA(icc, 1, c.fdda[1])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := oda.VerifyFDDA(key, sdad, c.fdda[1]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignFDDA1024(b *testing.B) {
	c := readChain(b)
	for b.Loop() {
		oda.SignFDDA(c.icc, 1, c.fdda[1])
	}
}

func BenchmarkMakeICCCertificate1152(b *testing.B) {
	c := readChain(b)
	spec := oda.ICCCertSpec{PAN: c.number, Expiry: mustExpiry(b, "3012"), Public: c.icc.Public(), Static: c.static}
	for b.Loop() {
		if _, _, err := oda.MakeICCCertificate(c.issuer, spec); err != nil {
			b.Fatal(err)
		}
	}
}
