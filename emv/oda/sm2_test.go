package oda_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/pan"
)

// sm2Chain is V-12: a CA, an issuer and a card with SM2.
type sm2Chain struct {
	v               vector
	ca, issuer, icc oda.PrivateKey
	caKey           oda.CAKey
	number          pan.Number
	static          []byte
	now             time.Time
	fdda            oda.FDDAInput
	issuerKey       oda.IssuerKey
	iccKey          oda.ICCKey
}

func sm2Private(t testing.TB, digits string) oda.PrivateKey {
	t.Helper()
	d, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	k, err := oda.NewSM2PrivateKey(d, oda.SM2Profile{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func readSM2Chain(t testing.TB) *sm2Chain {
	t.Helper()
	v, nine := readVector(t, "v12.txt"), readVector(t, "v9.txt")
	c := &sm2Chain{v: v, ca: sm2Private(t, v["ca_d"]), issuer: sm2Private(t, v["iss_d"]), icc: sm2Private(t, v["icc_d"]),
		number: mustPAN(t, "6228000100001117"), static: append(nine.bytes(t, "static_record"), 0x7C, 0), now: traceDay}
	c.caKey = oda.NewCAKey(emv.RIDUnionPay, 0xF2, c.ca.Public(), "20301231", "test")
	c.fdda = oda.FDDAInput{Version: 1, UnpredictableNumber: [4]byte(nine.bytes(t, "9F37")), Amount: [6]byte(nine.bytes(t, "9F02")),
		Currency: [2]byte{0x01, 0x56}, CardAuthData: nine.bytes(t, "9F69")}
	var err error
	if c.issuerKey, err = oda.RecoverIssuerKey(c.caKey, v.bytes(t, "tag90"), nil, nil, c.number, c.now); err != nil {
		t.Fatal(err)
	}
	if c.iccKey, err = oda.RecoverICCKey(c.issuerKey, v.bytes(t, "tag9F46"), nil, nil, c.number, c.static, c.now); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestV12SM2Chain(t *testing.T) {
	c := readSM2Chain(t)
	for prefix, key := range map[string]oda.PrivateKey{"ca": c.ca, "iss": c.issuer, "icc": c.icc} {
		equalHex(t, prefix, key.Public().Modulus(), c.v.bytes(t, prefix+"_pub"))
	}
	if got := c.issuerKey; got.PublicKey() != c.issuer.Public() || got.IIN() != [4]byte{0x62, 0x28, 0x00, 0x01} ||
		got.ExpiryMMYY() != [2]byte{0x12, 0x30} || got.Serial() != [3]byte{0, 0, 1} {
		t.Errorf("%v, %X %X", got, got.ExpiryMMYY(), got.Serial())
	}
	if got := c.iccKey; got.PublicKey() != c.icc.Public() || got.Serial() != [3]byte{0, 0, 2} {
		t.Errorf("%v, %X", got, got.Serial())
	}
	dac, err := oda.VerifySSAD(c.issuerKey, c.v.bytes(t, "tag93"), c.static)
	if err != nil || dac != [2]byte{0xDA, 0xC5} {
		t.Errorf("signed static data: %X, %v", dac, err)
	}
	if atc, err := oda.VerifyFDDA(c.iccKey, c.v.bytes(t, "tag9F4B"), c.fdda); err != nil || atc != 0x000A {
		t.Errorf("fDDA: %04X, %v", atc, err)
	}
}

// A published card: nothing here was made by the project. It settles the layout, ZA, the identity, and what the certificate covers.
func TestPublishedSM2Card(t *testing.T) {
	v := readVector(t, "sm2-published.txt")
	keys, err := oda.NewKeys(oda.PublishedSM2CAKeys()...)
	if err != nil || keys.Len() != 2 {
		t.Fatalf("%d keys, %v", keys.Len(), err)
	}
	number, static := mustPAN(t, "6228000100001117"), v.bytes(t, "static")
	issuer, err := keys.RecoverIssuerKey(emv.RIDUnionPay, 0x57, oda.Certificate{Certificate: v.bytes(t, "tag90"), PAN: number}, traceDay)
	if err != nil {
		t.Fatal(err)
	}
	again, err := keys.RecoverIssuerKey(emv.RIDUnionPay, 0x57, oda.Certificate{Certificate: v.bytes(t, "tag90_again"), PAN: number}, traceDay)
	if err != nil || again != issuer {
		t.Errorf("the other certificate of the issuer: %v, %v", again, err)
	}
	if _, err := oda.VerifySSAD(issuer, v.bytes(t, "tag93"), static); err != nil {
		t.Error(err)
	}
	for _, card := range []string{"icc1", "icc2"} {
		remainder := []byte(nil)
		if v[card+"_9F48"] != "" {
			remainder = v.bytes(t, card+"_9F48") // left over from another profile
		}
		icc, err := oda.RecoverICCKey(issuer, v.bytes(t, card+"_9F46"), remainder, nil, number, static, traceDay)
		if err != nil {
			t.Errorf("%s: %v", card, err)
			continue
		}
		key := sm2Private(t, v[card+"_d"])
		if icc.PublicKey() != key.Public() {
			t.Errorf("%s: the certificate is for %X, the key is %X", card, icc.PublicKey().Modulus(), key.Public().Modulus())
		}
		in := oda.FDDAInput{UnpredictableNumber: [4]byte{1, 2, 3, 4}}
		if atc, err := oda.VerifyFDDA(icc, oda.SignFDDA(key, 7, in), in); err != nil || atc != 7 {
			t.Errorf("%s: fDDA: %v, %v", card, atc, err)
		}
	}
	// With ZA left out, or another identity, the published signatures do not verify.
	for _, profile := range []oda.SM2Profile{{WithoutZA: true}, {Identity: "1"}, {Identity: "1234567812345679"}} {
		ca, _ := keys.Lookup(emv.RIDUnionPay, 0x57)
		ca.Profile = profile
		_, err := oda.RecoverIssuerKey(ca, v.bytes(t, "tag90"), nil, nil, number, traceDay)
		wantFailure(t, err, oda.StepIssuerCertificate, oda.CheckSignature)
	}
}

func TestPublishedSM2CardReport(t *testing.T) {
	text := oda.ExampleSM2Dump()
	keys, err := oda.NewKeys(oda.PublishedSM2CAKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	d := parseDump(t, string(text))
	r := d.Verify(keys, traceDay)
	if err := r.Err(); err != nil || !r.Authenticated() {
		t.Fatalf("%v\n%s", err, r.Text(glossary.English))
	}
	english := r.Text(glossary.English)
	for _, want := range []string{"CA key: ok\n", "algorithm: SM2\n", "issuer identifier: 62280001\n", "data authentication code: DAC1\n",
		"ICC certificate: ok\n", "PAN: 622800******1117\n", "public key: C3AC12B8", "bytes: 27\n", "expiry (MMYY): 1220\n"} {
		if !strings.Contains(english, want) {
			t.Errorf("the report lacks %q:\n%s", want, english)
		}
	}
	if strings.Contains(english, "exponent") || strings.Contains(english, "modulus") || strings.Contains(english, "hash") {
		t.Errorf("the report speaks of RSA:\n%s", english)
	}
	key := sm2Private(t, readVector(t, "sm2-published.txt")["icc1_d"])
	in := oda.FDDAInput{UnpredictableNumber: [4]byte{1, 2, 3, 4}}
	d = parseDump(t, fmt.Sprintf("%s\n9F66 = 26000080\n9F37 = 01020304\n9F36 = 0007\n9F4B = %X\n", text, oda.SignFDDA(key, 7, in)))
	if r := d.Verify(keys, traceDay); r.Err() != nil || !strings.Contains(r.Text(glossary.Chinese), "快速动态数据认证: 通过\n") {
		t.Errorf("fDDA: %v\n%s", r.Err(), r.Text(glossary.English))
	}
	tampered := strings.Replace(string(text), "9F08020030", "9F08020031", 1)
	if r := parseDump(t, tampered).Verify(keys, traceDay); r.Authenticated() || !strings.Contains(r.Text(glossary.English), "the SM2 signature does not verify") {
		t.Errorf("tampered record:\n%s", r.Text(glossary.English))
	}
}

func TestSM2EveryTamperedByteFails(t *testing.T) {
	c := readSM2Chain(t)
	sdad, dda := c.v.bytes(t, "tag9F4B"), oda.SignDynamic(c.icc, []byte{2, 0xAA, 0xBB}, []byte("ddol"))
	cda := oda.HashTransaction(oda.SM2, []byte("transaction"))
	combined := oda.SignCombined(c.icc, oda.Combined{Number: []byte{1, 2}, CID: 0x80}, [4]byte{9}, cda)
	tamper(t, "issuer certificate", c.v.bytes(t, "tag90"), func(b []byte) error {
		_, err := oda.RecoverIssuerKey(c.caKey, b, nil, nil, c.number, c.now)
		return err
	})
	tamper(t, "ICC certificate", c.v.bytes(t, "tag9F46"), func(b []byte) error {
		_, err := oda.RecoverICCKey(c.issuerKey, b, nil, nil, c.number, c.static, c.now)
		return err
	})
	tamper(t, "static data", c.static, func(b []byte) error {
		_, err := oda.RecoverICCKey(c.issuerKey, c.v.bytes(t, "tag9F46"), nil, nil, c.number, b, c.now)
		return err
	})
	tamper(t, "signed static data", c.v.bytes(t, "tag93"), func(b []byte) error {
		_, err := oda.VerifySSAD(c.issuerKey, b, c.static)
		return err
	})
	tamper(t, "fDDA", sdad, func(b []byte) error { _, err := oda.VerifyFDDA(c.iccKey, b, c.fdda); return err })
	tamper(t, "DDA", dda, func(b []byte) error { _, err := oda.VerifyDDA(c.iccKey, b, []byte("ddol")); return err })
	tamper(t, "CDA", combined, func(b []byte) error {
		_, err := oda.VerifyCombined(c.iccKey, b, [4]byte{9}, cda)
		return err
	})
}

// recut signs what stands before the signature anew, so that a test reaches the checks behind it.
func recut(k oda.PrivateKey, cert []byte, at int, value byte, following []byte) []byte {
	head := bytes.Clone(cert[:len(cert)-64])
	head[at] = value
	return oda.SignSM2(k, head, following)
}

func TestSM2CertificateChecks(t *testing.T) {
	c := readSM2Chain(t)
	cert90, cert46 := c.v.bytes(t, "tag90"), c.v.bytes(t, "tag9F46")
	issuers := map[string]struct {
		cert  []byte
		check oda.Check
	}{
		"empty":              {nil, oda.CheckLength},
		"short":              {cert90[:141], oda.CheckLength},
		"long":               {append(bytes.Clone(cert90), 0), oda.CheckLength},
		"RSA length":         {make([]byte, 176), oda.CheckLength},
		"ICC format":         {recut(c.ca, cert90, 0, 0x14, nil), oda.CheckFormat},
		"RSA format":         {recut(c.ca, cert90, 0, 0x02, nil), oda.CheckFormat},
		"signature alg":      {recut(c.ca, cert90, 10, 0x01, nil), oda.CheckPublicKeyAlgorithm},
		"encipher alg":       {recut(c.ca, cert90, 11, 0x01, nil), oda.CheckPublicKeyAlgorithm},
		"key length":         {recut(c.ca, cert90, 13, 0x41, nil), oda.CheckKeyLength},
		"another parameter":  {recut(c.ca, cert90, 12, 0x77, nil), oda.CheckNone},
		"signer":             {recut(c.issuer, cert90, 12, 0x11, nil), oda.CheckSignature},
		"another issuer":     {recut(c.ca, cert90, 1, 0x63, nil), oda.CheckIIN},
		"month 13":           {recut(c.ca, cert90, 5, 0x13, nil), oda.CheckDate},
		"past":               {recut(c.ca, cert90, 6, 0x14, nil), oda.CheckExpired},
		"point off the line": {recut(c.ca, cert90, 77, cert90[77]^1, nil), oda.CheckCurve},
	}
	for name, one := range issuers {
		_, err := oda.RecoverIssuerKey(c.caKey, one.cert, nil, nil, c.number, c.now)
		if one.check == oda.CheckNone {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantFailure(t, err, oda.StepIssuerCertificate, one.check)
	}
	iccs := map[string]struct {
		cert  []byte
		check oda.Check
	}{
		"empty":              {nil, oda.CheckLength},
		"issuer's":           {cert90, oda.CheckLength},
		"issuer format":      {recut(c.issuer, cert46, 0, 0x12, c.static), oda.CheckFormat},
		"signature alg":      {recut(c.issuer, cert46, 16, 0x01, c.static), oda.CheckPublicKeyAlgorithm},
		"key length":         {recut(c.issuer, cert46, 19, 0x3F, c.static), oda.CheckKeyLength},
		"no static data":     {recut(c.issuer, cert46, 18, 0x11, nil), oda.CheckSignature},
		"another PAN":        {recut(c.issuer, cert46, 8, 0x16, c.static), oda.CheckPAN},
		"month 0":            {recut(c.issuer, cert46, 11, 0x00, c.static), oda.CheckDate},
		"past":               {recut(c.issuer, cert46, 12, 0x14, c.static), oda.CheckExpired},
		"point off the line": {recut(c.issuer, cert46, 83, cert46[83]^1, c.static), oda.CheckCurve},
	}
	for name, one := range iccs {
		t.Run(name, func(t *testing.T) {
			_, err := oda.RecoverICCKey(c.issuerKey, one.cert, nil, nil, c.number, c.static, c.now)
			wantFailure(t, err, oda.StepICCCertificate, one.check)
		})
	}
}

func TestSM2DynamicDataChecks(t *testing.T) {
	c := readSM2Chain(t)
	good := c.v.bytes(t, "tag9F4B")
	un := c.fdda.UnpredictableNumber[:]
	for name, one := range map[string]struct {
		sdad  []byte
		check oda.Check
	}{
		"empty":        {nil, oda.CheckLength},
		"too short":    {good[:65], oda.CheckLength},
		"too long":     {make([]byte, 255), oda.CheckLength},
		"static":       {recut(c.icc, good, 0, 0x13, un), oda.CheckFormat},
		"LDD too much": {recut(c.icc, good, 1, 4, un), oda.CheckDynamicData},
		"LDD too few":  {recut(c.icc, good, 1, 2, un), oda.CheckDynamicData},
		"other key":    {recut(c.issuer, good, 0, 0x15, un), oda.CheckSignature},
	} {
		_, err := oda.VerifyDDA(c.iccKey, one.sdad, un)
		t.Log(name)
		wantFailure(t, err, oda.StepDDA, one.check)
	}
	in := c.fdda
	in.Version = 0
	for _, dynamic := range [][]byte{{}, {2}, {2, 0, 1, 0}, {3, 0, 1}} {
		_, err := oda.VerifyFDDA(c.iccKey, oda.SignDynamic(c.icc, dynamic, un), in)
		wantFailure(t, err, oda.StepFDDA, oda.CheckDynamicData)
	}
	_, err := oda.VerifySSAD(c.issuerKey, c.v.bytes(t, "tag93")[:66], c.static)
	wantFailure(t, err, oda.StepSSAD, oda.CheckLength)
	_, err = oda.VerifySSAD(c.issuerKey, recut(c.issuer, c.v.bytes(t, "tag93"), 0, 0x12, c.static), c.static)
	wantFailure(t, err, oda.StepSSAD, oda.CheckFormat)
	if _, err := oda.Recover(c.icc.Public(), good[:64]); !errors.Is(err, oda.ErrAuthentication) {
		t.Errorf("recovering from an SM2 signature: %v", err)
	}
	if got := c.icc.Public().DynamicLength(3); got != len(good) {
		t.Errorf("DynamicLength(3) = %d, want %d", got, len(good))
	}
	most := c.icc.Public().MaxDynamicData()
	if sdad := oda.SignDynamic(c.icc, make([]byte, most), un); len(sdad) > 255-4 {
		t.Errorf("%d bytes of dynamic data give %d bytes, which fit in no answer", most, len(sdad))
	}
}

func TestChainsDoNotMix(t *testing.T) {
	c, rsa := readSM2Chain(t), readChain(t)
	_, err := oda.RecoverIssuerKey(c.caKey, rsa.v.bytes(t, "tag90"), rsa.v.bytes(t, "tag92"), []byte{3}, c.number, c.now)
	wantFailure(t, err, oda.StepIssuerCertificate, oda.CheckLength)
	_, err = oda.RecoverIssuerKey(rsa.ca, c.v.bytes(t, "tag90"), nil, nil, c.number, c.now)
	wantFailure(t, err, oda.StepIssuerCertificate, oda.CheckLength)
	spec := oda.ICCCertSpec{PAN: c.number, Expiry: mustExpiry(t, "3012"), Public: c.icc.Public()}
	if _, _, err := oda.MakeICCCertificate(rsa.issuer, spec); err == nil {
		t.Error("an RSA key certifies an SM2 key")
	}
	spec.Public = rsa.icc.Public()
	if _, _, err := oda.MakeICCCertificate(c.issuer, spec); err == nil {
		t.Error("an SM2 key certifies an RSA key")
	}
	spec.Public = oda.PublicKey{}
	if _, _, err := oda.MakeICCCertificate(c.issuer, spec); err == nil {
		t.Error("an SM2 key certifies no key")
	}
	if _, _, err := oda.MakeIssuerCertificate(c.ca, oda.IssuerCertSpec{IIN: "622", Public: c.issuer.Public()}); err == nil {
		t.Error("a certificate without expiry is made")
	}
	if _, ok := oda.DecipherPIN(c.icc, make([]byte, 64), [8]byte{}); ok {
		t.Error("an SM2 key deciphers a PIN")
	}
	for _, ca := range []oda.CAKey{
		{Algorithm: oda.SM2, Modulus: make([]byte, 64)}, {Algorithm: oda.SM2, Modulus: c.caKey.Modulus, Exponent: []byte{3}},
		{Algorithm: 9, Modulus: c.caKey.Modulus}, {Modulus: c.caKey.Modulus, Exponent: []byte{3}},
	} {
		ca.SHA1 = ca.Checksum()
		if err := ca.Verify(); err == nil && ca.Algorithm != oda.RSA {
			t.Errorf("%v key of %d bytes is accepted", ca.Algorithm, len(ca.Modulus))
		}
	}
	changed := c.caKey
	changed.SHA1[0] ^= 1
	if err := changed.Verify(); !errors.Is(err, oda.ErrAuthentication) {
		t.Errorf("a wrong checksum: %v", err)
	}
}

// What is made verifies, whatever the profile; and nothing else does.
func TestMadeSM2ChainsVerify(t *testing.T) {
	number, now := mustPAN(t, "6299990000000008"), traceDay
	seed := []byte("sm2")
	for i, profile := range []oda.SM2Profile{{}, {Identity: "CA of another network"}, {WithoutZA: true}} {
		make := func() oda.PrivateKey {
			sum := sha256.Sum256(seed)
			seed = sum[:]
			k, err := oda.GenerateSM2PrivateKey(bytes.NewReader(bytes.Repeat(seed, 8)), profile)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		ca, issuer, icc := make(), make(), make()
		cert90, rest, err := oda.MakeIssuerCertificate(ca, oda.IssuerCertSpec{IIN: "629999", Expiry: mustExpiry(t, "3012"), Serial: [3]byte{1}, Public: issuer.Public()})
		if err != nil || rest != nil || len(cert90) != 142 {
			t.Fatalf("issuer certificate of %d bytes, remainder %X, %v", len(cert90), rest, err)
		}
		static := []byte("static data of this card")
		cert46, rest, err := oda.MakeICCCertificate(issuer, oda.ICCCertSpec{PAN: number, Expiry: mustExpiry(t, "3012"), Public: icc.Public(), Static: static})
		if err != nil || rest != nil || len(cert46) != 148 {
			t.Fatalf("ICC certificate of %d bytes, remainder %X, %v", len(cert46), rest, err)
		}
		if cert90[12] != 0x11 || cert46[18] != 0x04 {
			t.Errorf("parameters %02X and %02X", cert90[12], cert46[18])
		}
		keys, err := oda.NewKeys(oda.NewCAKey(emv.RIDUnionPay, 1, ca.Public(), "20301231", "test"))
		if err != nil {
			t.Fatal(err)
		}
		issuerKey, err := keys.RecoverIssuerKey(emv.RIDUnionPay, 1, oda.Certificate{Certificate: cert90, PAN: number}, now)
		if err != nil || issuerKey.PublicKey() != issuer.Public() {
			t.Fatalf("profile %d: %v, %v", i, issuerKey, err)
		}
		iccKey, err := oda.RecoverICCKey(issuerKey, cert46, nil, nil, number, static, now)
		if err != nil || iccKey.PublicKey() != icc.Public() {
			t.Fatalf("profile %d: %v, %v", i, iccKey, err)
		}
		if _, err := oda.VerifySSAD(issuerKey, oda.SignStatic(issuer, [2]byte{1, 2}, static), static); err != nil {
			t.Error(err)
		}
		data, err := oda.VerifyDDA(iccKey, oda.SignDynamic(icc, []byte{2, 7, 8}, []byte("x")), []byte("x"))
		if err != nil || !bytes.Equal(data, []byte{2, 7, 8}) {
			t.Errorf("DDA: %X, %v", data, err)
		}
		hash := oda.HashTransaction(oda.SM2, []byte("pdol"), []byte("cdol"))
		want := oda.Combined{Number: []byte{7, 8}, CID: 0x40, Cryptogram: [8]byte{1}}
		got, err := oda.VerifyCombined(iccKey, oda.SignCombined(icc, want, [4]byte{1}, hash), [4]byte{1}, hash)
		if err != nil || !bytes.Equal(got.Number, want.Number) || got.CID != want.CID || got.Cryptogram != want.Cryptogram {
			t.Errorf("CDA: %+v, %v", got, err)
		}
		_, err = oda.VerifyCombined(iccKey, oda.SignCombined(icc, want, [4]byte{1}, hash), [4]byte{1}, oda.HashTransaction(oda.SM2, []byte("other")))
		wantFailure(t, err, oda.StepCDA, oda.CheckTransaction)
		keys.Revoke(emv.RIDUnionPay, 1, issuerKey.Serial())
		_, err = keys.RecoverIssuerKey(emv.RIDUnionPay, 1, oda.Certificate{Certificate: cert90, PAN: number}, now)
		wantFailure(t, err, oda.StepIssuerCertificate, oda.CheckRevoked)
	}
}

func TestSM2PrivateKeyMasksItself(t *testing.T) {
	d := strings.Repeat("17", 32)
	k := sm2Private(t, d)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if p := fmt.Sprintf(verb, k); strings.Contains(p, "1717") || !strings.Contains(p, "SM2") {
			t.Errorf("%s shows %q", verb, p)
		}
	}
	if got := fmt.Sprintf("%X", k.RevealSM2()); got != d {
		t.Errorf("RevealSM2 = %s", got)
	}
	if p, q, e := k.Reveal(); p != nil || q != nil || e != 0 {
		t.Error("an SM2 key has primes")
	}
	if readChain(t).icc.RevealSM2() != nil {
		t.Error("an RSA key has an SM2 number")
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := oda.NewSM2PrivateKey(make([]byte, n), oda.SM2Profile{}); err == nil {
			t.Errorf("a key of %d bytes", n)
		}
	}
	if _, err := oda.NewSM2PublicKey(k.Public().Modulus(), oda.SM2Profile{Identity: strings.Repeat("x", 9000)}); err == nil {
		t.Error("an identity of 9000 bytes")
	}
}

// Whatever verifies is what was signed; nothing panics.
func FuzzSM2Certificates(f *testing.F) {
	c := readSM2Chain(f)
	f.Add(c.v.bytes(f, "tag90"), c.static)
	f.Add(c.v.bytes(f, "tag9F46"), c.static)
	f.Add(c.v.bytes(f, "tag93"), c.static)
	f.Add(c.v.bytes(f, "tag9F4B"), []byte{})
	f.Fuzz(func(t *testing.T, object, static []byte) {
		key, err := oda.RecoverIssuerKey(c.caKey, object, nil, nil, c.number, c.now)
		checked(t, err)
		if err == nil && key != c.issuerKey {
			t.Errorf("forged issuer certificate %X", object)
		}
		icc, err := oda.RecoverICCKey(c.issuerKey, object, nil, nil, c.number, static, c.now)
		checked(t, err)
		if err == nil && icc != c.iccKey {
			t.Errorf("forged ICC certificate %X", object)
		}
		_, err = oda.VerifySSAD(c.issuerKey, object, static)
		checked(t, err)
		_, err = oda.VerifyFDDA(c.iccKey, object, c.fdda)
		checked(t, err)
		_, err = oda.VerifyCombined(c.iccKey, object, [4]byte{}, static)
		checked(t, err)
		if len(object) < 64 {
			return
		}
		// Under a right signature every content is read without panic.
		issuerKey, err := oda.RecoverIssuerKey(c.caKey, oda.SignSM2(c.ca, bytes.Clone(object[:len(object)-64]), nil), nil, nil, c.number, c.now)
		checked(t, err)
		if err == nil && !bytes.Contains(object, issuerKey.PublicKey().Modulus()) {
			t.Errorf("%X gives %v", object, issuerKey)
		}
		data, err := oda.VerifyDDA(c.iccKey, oda.SignSM2(c.icc, bytes.Clone(object[:len(object)-64]), static), static)
		checked(t, err)
		if err == nil && !bytes.HasPrefix(object[2:], data) {
			t.Errorf("%X gives %X", object, data)
		}
	})
}

// The gate's check with SM2: three signatures.
func BenchmarkVerifySM2Chain(b *testing.B) {
	c := readSM2Chain(b)
	cert90, cert46, sdad := c.v.bytes(b, "tag90"), c.v.bytes(b, "tag9F46"), c.v.bytes(b, "tag9F4B")
	b.ReportAllocs()
	for b.Loop() {
		issuer, err := oda.RecoverIssuerKey(c.caKey, cert90, nil, nil, c.number, c.now)
		if err != nil {
			b.Fatal(err)
		}
		icc, err := oda.RecoverICCKey(issuer, cert46, nil, nil, c.number, c.static, c.now)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := oda.VerifyFDDA(icc, sdad, c.fdda); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignFDDASM2(b *testing.B) {
	c := readSM2Chain(b)
	b.ReportAllocs()
	for b.Loop() {
		oda.SignFDDA(c.icc, 1, c.fdda)
	}
}

func TestReadSM2Certificate(t *testing.T) {
	v := readVector(t, "sm2-published.txt")
	issuer, ok := oda.ReadSM2Certificate(v.bytes(t, "tag90"))
	if !ok || !issuer.Issuer() || issuer.Parameter != 0x11 || issuer.ExpiryMMYY != [2]byte{0x12, 0x20} || !bytes.Equal(issuer.Subject, []byte{0x62, 0x28, 0, 1}) {
		t.Errorf("issuer certificate: %t, parameter %02X, %X", ok, issuer.Parameter, issuer.ExpiryMMYY)
	}
	card, ok := oda.ReadSM2Certificate(v.bytes(t, "icc2_9F46"))
	if !ok || card.Issuer() || card.Parameter != 0x04 || card.Serial != [3]byte{0, 0, 1} || !bytes.Equal(card.Point, sm2Private(t, v["icc2_d"]).Public().Modulus()) {
		t.Errorf("ICC certificate: %t, parameter %02X, serial %X", ok, card.Parameter, card.Serial)
	}
	good := v.bytes(t, "tag90")
	for name, b := range map[string][]byte{"empty": nil, "short": good[:141], "long": append(bytes.Clone(good), 0), "of static data": v.bytes(t, "tag93"),
		"of RSA": readChain(t).v.bytes(t, "tag90"), "format": changedByte(good, 0, 0x14), "key length": changedByte(good, 13, 0x41)} {
		if _, ok := oda.ReadSM2Certificate(b); ok {
			t.Errorf("%s is read", name)
		}
	}
}

func changedByte(b []byte, at int, value byte) []byte {
	b = bytes.Clone(b)
	b[at] = value
	return b
}

func FuzzReadSM2Certificate(f *testing.F) {
	v := readVector(f, "sm2-published.txt")
	f.Add(v.bytes(f, "tag90"))
	f.Add(v.bytes(f, "icc1_9F46"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := oda.ReadSM2Certificate(b); ok && !bytes.Equal(c.Bytes(), b) {
			t.Errorf("%X is put together as %X", b, c.Bytes())
		}
	})
}
