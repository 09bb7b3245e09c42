package oda_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/internal/testkeys"
	"tapnet/pan"
)

// tamper changes every bit of every byte, and every byte to its complement, and expects a refusal each time. Dropping
// the last byte and adding one are refused too.
func tamper(t *testing.T, what string, good []byte, verify func([]byte) error) {
	t.Helper()
	if err := verify(good); err != nil {
		t.Fatalf("%s: the good value fails: %v", what, err)
	}
	refused := func(bad []byte, how string) {
		t.Helper()
		err := verify(bad)
		var f *oda.Failure
		if !errors.As(err, &f) || !errors.Is(err, oda.ErrAuthentication) {
			t.Errorf("%s: %s: error %v", what, how, err)
		}
	}
	bad := slices.Clone(good)
	for i := range good {
		for _, mask := range []byte{0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF} {
			bad[i] ^= mask
			refused(bad, fmt.Sprintf("byte %d XOR %02X", i, mask))
			bad[i] ^= mask
		}
	}
	refused(good[:len(good)-1], "one byte shorter")
	refused(append(slices.Clone(good), 0), "one byte longer")
	refused(nil, "absent")
}

func TestEveryTamperedByteFails(t *testing.T) {
	c := readChain(t)
	v := c.v
	cert90, rest92 := v.bytes(t, "tag90"), v.bytes(t, "tag92")
	cert46, rest48 := v.bytes(t, "tag9F46"), v.bytes(t, "tag9F48")
	issuer := func(cert, rest, exponent []byte) error {
		_, err := c.recoverIssuer(cert, rest, exponent)
		return err
	}
	icc := func(cert, rest, exponent, static []byte) error {
		_, err := c.recoverICC(cert, rest, exponent, static)
		return err
	}
	three := []byte{3}
	tamper(t, "90", cert90, func(b []byte) error { return issuer(b, rest92, three) })
	tamper(t, "92", rest92, func(b []byte) error { return issuer(cert90, b, three) })
	tamper(t, "9F32", three, func(b []byte) error { return issuer(cert90, rest92, b) })
	tamper(t, "9F46", cert46, func(b []byte) error { return icc(b, rest48, three, c.static) })
	tamper(t, "9F48", rest48, func(b []byte) error { return icc(cert46, b, three, c.static) })
	tamper(t, "9F47", three, func(b []byte) error { return icc(cert46, rest48, b, c.static) })
	tamper(t, "static data under 9F46", c.static, func(b []byte) error { return icc(cert46, rest48, three, b) })

	ssad, number := v.bytes(t, "tag93"), v.bytes(t, "9F37")
	static := func(ssad, static []byte) error {
		_, err := oda.VerifySSAD(c.issuerKey, ssad, static)
		return err
	}
	tamper(t, "93", ssad, func(b []byte) error { return static(b, c.static) })
	tamper(t, "static data under 93", c.static, func(b []byte) error { return static(ssad, b) })
	dda := func(sdad, data []byte) error {
		_, err := oda.VerifyDDA(c.iccKey, sdad, data)
		return err
	}
	tamper(t, "DDA", v.bytes(t, "dda_sdad"), func(b []byte) error { return dda(b, number) })
	tamper(t, "DDOL data", number, func(b []byte) error { return dda(v.bytes(t, "dda_sdad"), b) })
	for version, key := range []string{"fdda00_9F4B", "fdda01_9F4B"} {
		tamper(t, key, v.bytes(t, key), func(b []byte) error {
			_, err := oda.VerifyFDDA(c.iccKey, b, c.fdda[version])
			return err
		})
	}
	tamper(t, "9F69", c.fdda[1].CardAuthData, func(b []byte) error {
		in := c.fdda[1]
		in.CardAuthData = b
		_, err := oda.VerifyFDDA(c.iccKey, v.bytes(t, "fdda01_9F4B"), in)
		return err
	})
}

func TestTamperedTerminalDataFailsFDDA(t *testing.T) {
	c := readChain(t)
	sdad := c.v.bytes(t, "fdda01_9F4B")
	for name, change := range map[string]func(*oda.FDDAInput){
		"unpredictable number": func(in *oda.FDDAInput) { in.UnpredictableNumber[3] ^= 1 },
		"amount":               func(in *oda.FDDAInput) { in.Amount[5] ^= 1 },
		"currency":             func(in *oda.FDDAInput) { in.Currency[1] ^= 1 },
	} {
		in := c.fdda[1]
		change(&in)
		if _, err := oda.VerifyFDDA(c.iccKey, sdad, in); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantFailure(t, err, oda.StepFDDA, oda.CheckHash)
		}
	}
}

// block is a well-formed certificate block of V-9 with one thing changed and the hash made right again.
func changed(block []byte, at int, value byte, following ...[]byte) []byte {
	block = slices.Clone(block)
	block[at] = value
	return oda.Reseal(block, following...)
}

func TestIssuerCertificateChecks(t *testing.T) {
	c := readChain(t)
	rest, three := c.v.bytes(t, "tag92"), []byte{3}
	good := c.v.bytes(t, "tag90_recovered")
	with := func(at int, value byte) []byte { return changed(good, at, value, rest, three) }
	trailer := slices.Clone(good)
	trailer[len(trailer)-1] = 0xBD
	header := slices.Clone(good)
	header[0] = 0x4A
	shortIIN := changed(changed(with(2, 0x62), 3, 0x2F, rest, three), 4, 0xFF, rest, three)
	shortIIN = changed(shortIIN, 5, 0xFF, rest, three) // 622F FFFF: three digits are enough
	for name, test := range map[string]struct {
		block []byte
		rest  []byte
		want  oda.Check
	}{
		"good":                       {good, rest, oda.CheckNone},
		"three-digit IIN":            {shortIIN, rest, oda.CheckNone},
		"trailer":                    {trailer, rest, oda.CheckTrailer},
		"header":                     {header, rest, oda.CheckHeader},
		"format of an ICC":           {with(1, 4), rest, oda.CheckFormat},
		"hash algorithm":             {with(11, 2), rest, oda.CheckHashAlgorithm},
		"hash over other data":       {good, nil, oda.CheckHash},
		"IIN of another issuer":      {with(5, 0x02), rest, oda.CheckIIN},
		"IIN with a letter":          {with(5, 0x0A), rest, oda.CheckIIN},
		"IIN with F before a digit":  {with(4, 0xF0), rest, oda.CheckIIN},
		"IIN of two digits":          {changed(changed(with(3, 0xFF), 4, 0xFF, rest, three), 5, 0xFF, rest, three), rest, oda.CheckIIN},
		"month 13":                   {with(6, 0x13), rest, oda.CheckDate},
		"month 00":                   {with(6, 0x00), rest, oda.CheckDate},
		"month 1A":                   {with(6, 0x1A), rest, oda.CheckDate},
		"year F0":                    {with(7, 0xF0), rest, oda.CheckDate},
		"October 2026":               {changed(with(6, 0x10), 7, 0x26, rest, three), rest, oda.CheckExpired},
		"November 2026":              {changed(with(6, 0x11), 7, 0x26, rest, three), rest, oda.CheckNone},
		"year 99 is 1999":            {with(7, 0x99), rest, oda.CheckExpired},
		"public key algorithm":       {with(12, 2), rest, oda.CheckPublicKeyAlgorithm},
		"key longer than the signer": {with(13, 177), rest, oda.CheckKeyLength},
		"key of 256 bits":            {with(13, 32), rest, oda.CheckKeyLength},
		"remainder too long":         {with(13, 143), rest, oda.CheckRemainder},
		"remainder not needed":       {with(13, 128), rest, oda.CheckRemainder},
		"remainder too short":        {with(13, 145), rest, oda.CheckRemainder},
		"exponent length":            {with(14, 3), rest, oda.CheckExponent},
		"modulus with a low top bit": {with(15, 0x62), rest, oda.CheckModulus},
	} {
		_, check := oda.IssuerKeyFromBlock(test.block, test.rest, three, c.number, c.now)
		if check != test.want {
			t.Errorf("%s: check %q, want %q", name, check, test.want)
		}
	}
	even := []byte{0xCD, 0x9D, 0x7A, 0x30}
	if _, check := oda.IssuerKeyFromBlock(oda.Reseal(good, even, three), even, three, c.number, c.now); check != oda.CheckModulus {
		t.Errorf("even modulus: %q", check)
	}
	for _, exponent := range [][]byte{{5}, {0}, {1, 0, 2}, {0, 3}, {}} {
		block := changed(good, 14, byte(len(exponent)), rest, exponent)
		if _, check := oda.IssuerKeyFromBlock(block, rest, exponent, c.number, c.now); check != oda.CheckExponent {
			t.Errorf("exponent %X: %q", exponent, check)
		}
	}
}

func TestICCCertificateChecks(t *testing.T) {
	c := readChain(t)
	rest, three := c.v.bytes(t, "tag9F48"), []byte{3}
	good := c.v.bytes(t, "tag9F46_recovered")
	with := func(at int, value byte) []byte { return changed(good, at, value, rest, three, c.static) }
	for name, test := range map[string]struct {
		block  []byte
		static []byte
		want   oda.Check
	}{
		"good":                       {good, c.static, oda.CheckNone},
		"format of an issuer":        {with(1, 2), c.static, oda.CheckFormat},
		"hash algorithm":             {with(17, 0), c.static, oda.CheckHashAlgorithm},
		"no static data":             {good, nil, oda.CheckHash},
		"PAN differs":                {with(9, 0x27), c.static, oda.CheckPAN},
		"PAN is longer":              {with(10, 0x1F), c.static, oda.CheckPAN},
		"PAN padded with 0":          {with(11, 0xF0), c.static, oda.CheckPAN},
		"month":                      {with(12, 0x22), c.static, oda.CheckDate},
		"expired":                    {with(13, 0x25), c.static, oda.CheckExpired},
		"public key algorithm":       {with(18, 0), c.static, oda.CheckPublicKeyAlgorithm},
		"key longer than the issuer": {with(19, 145), c.static, oda.CheckKeyLength},
		"no key":                     {with(19, 0), c.static, oda.CheckKeyLength},
		"remainder":                  {with(19, 129), c.static, oda.CheckRemainder},
		"exponent length":            {with(20, 3), c.static, oda.CheckExponent},
		"modulus":                    {with(21, 0x4D), c.static, oda.CheckModulus},
	} {
		if _, check := oda.ICCKeyFromBlock(test.block, rest, three, c.number, test.static, c.now); check != test.want {
			t.Errorf("%s: check %q, want %q", name, check, test.want)
		}
	}
	if _, check := oda.ICCKeyFromBlock(good, rest, three, pan.Number{}, c.static, c.now); check != oda.CheckPAN {
		t.Errorf("no PAN: %q", check)
	}
}

func TestExpiry(t *testing.T) {
	c := readChain(t)
	cert, rest := c.v.bytes(t, "tag90"), c.v.bytes(t, "tag92")
	shanghai := time.FixedZone("CST", 8*60*60)
	for name, test := range map[string]struct {
		now     time.Time
		expired bool
	}{
		"last moment":           {time.Date(2030, 12, 31, 23, 59, 59, 0, time.UTC), false},
		"first moment after":    {time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC), true},
		"next year in Shanghai": {time.Date(2031, 1, 1, 0, 0, 0, 0, shanghai), true},
		"last hour in Shanghai": {time.Date(2030, 12, 31, 23, 0, 0, 0, shanghai), false},
	} {
		c.now = test.now
		_, err := c.recoverIssuer(cert, rest, []byte{3})
		if test.expired {
			wantFailure(t, err, oda.StepIssuerCertificate, oda.CheckExpired)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.issuerKey.ExpiredAt(test.now) != test.expired || c.iccKey.ExpiredAt(test.now) != test.expired {
			t.Errorf("%s: ExpiredAt of a cached key differs", name)
		}
	}
	c.now = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	c.ca.Expiry = "20261121"
	if _, err := c.recoverIssuer(cert, rest, []byte{3}); err != nil {
		t.Errorf("CA key on its last day: %v", err)
	}
	c.ca.Expiry = "20261120"
	_, err := c.recoverIssuer(cert, rest, []byte{3})
	wantFailure(t, err, oda.StepCAKey, oda.CheckExpired)
	c.ca.Expiry, c.ca.Modulus = "", c.ca.Modulus[:10]
	_, err = c.recoverIssuer(cert, rest, []byte{3})
	wantFailure(t, err, oda.StepCAKey, oda.CheckModulus)
}

func TestSignatureRange(t *testing.T) {
	c := readChain(t)
	for name, s := range map[string][]byte{
		"the modulus":    c.v.bytes(t, "icc_n"),
		"all ones":       bytes.Repeat([]byte{0xFF}, 128),
		"modulus plus 3": append(c.v.bytes(t, "icc_n")[:127], 0x9E),
	} {
		if _, err := oda.VerifyDDA(c.iccKey, s, nil); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantFailure(t, err, oda.StepDDA, oda.CheckRange)
		}
	}
	_, err := oda.VerifyDDA(c.iccKey, make([]byte, 128), nil)
	wantFailure(t, err, oda.StepDDA, oda.CheckTrailer)
	_, err = oda.VerifyDDA(oda.ICCKey{}, nil, nil)
	wantFailure(t, err, oda.StepDDA, oda.CheckLength)
	_, err = oda.VerifySSAD(oda.IssuerKey{}, nil, nil)
	wantFailure(t, err, oda.StepSSAD, oda.CheckLength)
	if _, err = oda.Recover(c.icc.Public(), make([]byte, 127)); err == nil {
		t.Error("Recover takes a short signature")
	}
}

func TestDynamicDataChecks(t *testing.T) {
	c := readChain(t)
	number := c.fdda[0].UnpredictableNumber[:]
	for _, dynamic := range [][]byte{{}, {2}, {2, 0}, {3, 0, 1}, {2, 0, 1, 0}, {2, 0, 1, 2, 3}} {
		sdad := oda.SignDynamic(c.icc, dynamic, number)
		_, err := oda.VerifyFDDA(c.iccKey, sdad, c.fdda[0])
		wantFailure(t, err, oda.StepFDDA, oda.CheckDynamicData)
		if got, err := oda.VerifyDDA(c.iccKey, sdad, number); err != nil || !bytes.Equal(got, dynamic) {
			t.Errorf("DDA of %X: %X, %v", dynamic, got, err)
		}
	}
	block := c.v.bytes(t, "dda_recovered")
	for _, test := range []struct {
		at    int
		value byte
		want  oda.Check
	}{{1, 4, oda.CheckFormat}, {2, 2, oda.CheckHashAlgorithm}, {3, 104, oda.CheckDynamicData}, {3, 255, oda.CheckDynamicData}} {
		bad := oda.SignBlock(c.icc, changed(block, test.at, test.value, number))
		_, err := oda.VerifyDDA(c.iccKey, bad, number)
		wantFailure(t, err, oda.StepDDA, test.want)
	}
	if got, err := oda.VerifyDDA(c.iccKey, oda.SignBlock(c.icc, changed(block, 3, 103, number)), number); err != nil || len(got) != 103 {
		t.Errorf("the longest dynamic data: %d bytes, %v", len(got), err)
	}
	for _, bad := range [][]byte{nil, {1, 2}, {9, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {4, 1, 2, 3}, {2}} {
		if n, ok := oda.DynamicNumber(bad); ok {
			t.Errorf("DynamicNumber(%X) = %X", bad, n)
		}
	}
}

func TestFDDAVersion(t *testing.T) {
	card := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	for name, test := range map[string]struct {
		card        []byte
		application uint16
		terminal    bool
		version     byte
		check       oda.Check
	}{
		"modern":                     {card, 0x0030, true, 1, oda.CheckNone},
		"16 bytes":                   {make16(1), 0x0030, true, 1, oda.CheckNone},
		"old card":                   {nil, 0x0020, true, 0, oda.CheckNone},
		"terminal without 01":        {nil, 0x0030, false, 0, oda.CheckNone},
		"modern card signs 00":       {nil, 0x0030, true, 0, oda.CheckVersion},
		"old card signs 01":          {card, 0x0020, true, 0, oda.CheckVersion},
		"9F69 empty":                 {[]byte{}, 0x0030, true, 0, oda.CheckCardAuthData},
		"9F69 of seven bytes":        {card[:7], 0x0030, true, 0, oda.CheckCardAuthData},
		"9F69 of seventeen bytes":    {append(make16(1), 0), 0x0030, true, 0, oda.CheckCardAuthData},
		"9F69 of an unknown version": {make16(2), 0x0030, true, 0, oda.CheckCardAuthData},
	} {
		version, err := oda.FDDAVersion(test.card, test.application, test.terminal)
		if test.check != oda.CheckNone {
			wantFailure(t, err, oda.StepFDDA, test.check)
		} else if err != nil || version != test.version {
			t.Errorf("%s: version %d, %v", name, version, err)
		}
	}
	_, err := oda.VerifyFDDA(oda.ICCKey{}, nil, oda.FDDAInput{Version: 2})
	wantFailure(t, err, oda.StepFDDA, oda.CheckVersion)
}

func make16(first byte) []byte { return append([]byte{first}, make([]byte, 15)...) }

func TestStaticData(t *testing.T) {
	body := []byte{0x5F, 0x34, 0x01, 0x01}
	raw := append([]byte{0x70, 0x04}, body...)
	aip, list := []byte{0x7C, 0x00}, []byte{0x82}
	for name, test := range map[string]struct {
		records   []oda.Record
		aip, list []byte
		want      []byte
		check     oda.Check
	}{
		"body of SFI 10":         {[]oda.Record{{SFI: 10, Body: body}}, nil, nil, body, ""},
		"body out of the record": {[]oda.Record{{SFI: 1, Raw: raw}}, nil, nil, body, ""},
		"whole record of SFI 11": {[]oda.Record{{SFI: 11, Body: body, Raw: raw}}, nil, nil, raw, ""},
		"two records and AIP":    {[]oda.Record{{SFI: 1, Raw: raw}, {SFI: 30, Raw: raw}}, aip, list, slices.Concat(body, raw, aip), ""},
		"AIP alone":              {nil, aip, list, aip, ""},
		"nothing":                {nil, aip, nil, nil, ""},
		"SFI 0":                  {[]oda.Record{{SFI: 0, Body: body}}, nil, nil, nil, oda.CheckRecord},
		"SFI 31":                 {[]oda.Record{{SFI: 31, Raw: raw}}, nil, nil, nil, oda.CheckRecord},
		"SFI 11 without raw":     {[]oda.Record{{SFI: 11, Body: body}}, nil, nil, nil, oda.CheckRecord},
		"not a template":         {[]oda.Record{{SFI: 1, Raw: body}}, nil, nil, nil, oda.CheckRecord},
		"template 77":            {[]oda.Record{{SFI: 11, Raw: append([]byte{0x77, 0x04}, body...)}}, nil, nil, nil, oda.CheckRecord},
		"cut short":              {[]oda.Record{{SFI: 1, Raw: raw[:5]}}, nil, nil, nil, oda.CheckRecord},
		"two templates":          {[]oda.Record{{SFI: 1, Raw: slices.Concat(raw, raw)}}, nil, nil, nil, oda.CheckRecord},
		"neither form":           {[]oda.Record{{SFI: 1}}, nil, nil, nil, oda.CheckRecord},
		"too much":               {[]oda.Record{{SFI: 1, Body: make([]byte, oda.MaxStaticDataBytes+1)}}, nil, nil, nil, oda.CheckRecord},
		"too many":               {make([]oda.Record, 256), nil, nil, nil, oda.CheckRecord},
		"list names another tag": {nil, aip, []byte{0x5A}, nil, oda.CheckTagList},
		"list names two tags":    {nil, aip, []byte{0x82, 0x82}, nil, oda.CheckTagList},
		"AIP missing":            {nil, nil, list, nil, oda.CheckMissing},
		"AIP of three bytes":     {nil, []byte{1, 2, 3}, list, nil, oda.CheckMissing},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := oda.StaticData(test.records, test.aip, test.list)
			if test.check != oda.CheckNone {
				wantFailure(t, err, oda.StepStaticData, test.check)
				return
			}
			if err != nil {
				t.Error(err)
			}
			equalHex(t, "static data", got, test.want)
		})
	}
}

// Every combination of key sizes and exponents in the pool makes a chain that verifies.
func TestMadeChainsVerify(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	number, expiry := mustPAN(t, "6299990000000001234"), mustExpiry(t, "3106")
	static := bytes.Repeat([]byte{0xA5}, 300)
	for _, pick := range []struct{ ca, issuer int }{{0, 0}, {3, 5}, {0, 5}, {3, 0}} {
		for _, icc := range []oda.PrivateKey{testkeys.ICC(0), testkeys.ICC(31), testkeys.ICCLarge(0), testkeys.ICCLarge(3)} {
			ca, issuer := testkeys.CAKey(pick.ca), testkeys.Issuer(pick.issuer)
			cert, rest, err := oda.MakeIssuerCertificate(testkeys.CA(pick.ca),
				oda.IssuerCertSpec{IIN: "629999", Expiry: expiry, Public: issuer.Public()})
			if err != nil {
				t.Fatal(err)
			}
			issuerKey, err := oda.RecoverIssuerKey(ca, cert, rest, issuer.Public().Exponent(), number, now)
			if err != nil {
				t.Fatal(err)
			}
			cert, rest, err = oda.MakeICCCertificate(issuer,
				oda.ICCCertSpec{PAN: number, Expiry: expiry, Serial: [3]byte{9, 8, 7}, Public: icc.Public(), Static: static})
			if err != nil {
				t.Fatal(err)
			}
			iccKey, err := oda.RecoverICCKey(issuerKey, cert, rest, icc.Public().Exponent(), number, static, now)
			if err != nil {
				t.Fatal(err)
			}
			if iccKey.PublicKey() != icc.Public() || iccKey.Serial() != [3]byte{9, 8, 7} || iccKey.ExpiryMMYY() != [2]byte{0x06, 0x31} {
				t.Errorf("ICC key %v of serial %X, expiry %X", iccKey, iccKey.Serial(), iccKey.ExpiryMMYY())
			}
			in := oda.FDDAInput{Version: 1, CardAuthData: make16(1)}
			if atc, err := oda.VerifyFDDA(iccKey, oda.SignFDDA(icc, 0xFFFE, in), in); err != nil || atc != 0xFFFE {
				t.Errorf("fDDA: ATC %04X, %v", atc, err)
			}
		}
	}
}

// A modulus that fits into the certificate has no remainder and is filled up with BB.
func TestShortKeyHasNoRemainder(t *testing.T) {
	c := readChain(t)
	cert, rest, err := oda.MakeIssuerCertificate(testkeys.CA(0),
		oda.IssuerCertSpec{IIN: "62280001", Expiry: mustExpiry(t, "3012"), Public: c.icc.Public()})
	if err != nil || rest != nil {
		t.Fatalf("remainder %X, %v", rest, err)
	}
	key, err := oda.RecoverIssuerKey(testkeys.CAKey(0), cert, nil, []byte{3}, c.number, c.now)
	if err != nil || key.PublicKey() != c.icc.Public() {
		t.Errorf("recovered %v, %v", key, err)
	}
	block, err := oda.Recover(testkeys.CA(0).Public(), cert)
	if err != nil {
		t.Fatal(err)
	}
	equalHex(t, "padding", block[15+128:15+128+12], bytes.Repeat([]byte{0xBB}, 12))
}

func TestMakersRefuse(t *testing.T) {
	ca, issuer, expiry, number := testkeys.CA(0), testkeys.Issuer(0), mustExpiry(t, "3012"), mustPAN(t, "6299990000000001")
	for name, test := range map[string]struct {
		signer oda.PrivateKey
		spec   oda.IssuerCertSpec
	}{
		"no signer":      {oda.PrivateKey{}, oda.IssuerCertSpec{IIN: "629999", Expiry: expiry, Public: issuer.Public()}},
		"no key":         {ca, oda.IssuerCertSpec{IIN: "629999", Expiry: expiry}},
		"no expiry":      {ca, oda.IssuerCertSpec{IIN: "629999", Public: issuer.Public()}},
		"two digits":     {ca, oda.IssuerCertSpec{IIN: "62", Expiry: expiry, Public: issuer.Public()}},
		"nine digits":    {ca, oda.IssuerCertSpec{IIN: "629999000", Expiry: expiry, Public: issuer.Public()}},
		"letters":        {ca, oda.IssuerCertSpec{IIN: "62999F", Expiry: expiry, Public: issuer.Public()}},
		"key too long":   {issuer, oda.IssuerCertSpec{IIN: "629999", Expiry: expiry, Public: ca.Public()}},
		"space in front": {ca, oda.IssuerCertSpec{IIN: " 62999", Expiry: expiry, Public: issuer.Public()}},
	} {
		if _, _, err := oda.MakeIssuerCertificate(test.signer, test.spec); err == nil {
			t.Errorf("issuer, %s: accepted", name)
		}
	}
	for name, spec := range map[string]oda.ICCCertSpec{
		"no PAN":          {Expiry: expiry, Public: issuer.Public()},
		"no key":          {PAN: number, Expiry: expiry},
		"no expiry":       {PAN: number, Public: issuer.Public()},
		"key too long":    {PAN: number, Expiry: expiry, Public: ca.Public()},
		"too much static": {PAN: number, Expiry: expiry, Public: issuer.Public(), Static: make([]byte, oda.MaxStaticDataBytes+1)},
	} {
		_, _, err := oda.MakeICCCertificate(issuer, spec)
		if err == nil {
			t.Errorf("ICC, %s: accepted", name)
		} else if strings.Contains(err.Error(), "6299") {
			t.Errorf("ICC, %s: the error shows the PAN", name)
		}
	}
	for name, bug := range map[string]func(){
		"dynamic data too long": func() { oda.SignDynamic(testkeys.ICC(0), make([]byte, 104), nil) },
		"fDDA version 2":        func() { oda.SignFDDA(testkeys.ICC(0), 1, oda.FDDAInput{Version: 2}) },
		"9F69 missing":          func() { oda.SignFDDA(testkeys.ICC(0), 1, oda.FDDAInput{Version: 1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			bug()
		}()
	}
}

func TestPrivateKey(t *testing.T) {
	v := readVector(t, "v9.txt")
	p, q := v.bytes(t, "icc_p"), v.bytes(t, "icc_q")
	key := v.private(t, "icc")
	gotP, gotQ, e := key.Reveal()
	if again, err := oda.NewPrivateKey(gotP, gotQ, e); err != nil || !again.Equal(key) {
		t.Errorf("Reveal does not give the key back: %v", err)
	}
	composite := slices.Clone(p)
	composite[len(composite)-1] += 2
	small := []byte{0xFB}
	for name, test := range map[string]struct {
		p, q []byte
		e    int
	}{
		"same primes": {p, p, 3}, "no primes": {nil, nil, 3}, "composite": {composite, q, 3}, "exponent 1": {p, q, 1},
		"exponent 17": {p, q, 17}, "negative": {p, q, -3}, "tiny": {small, small, 3}, "unequal": {p, small, 3},
		"too long": {make([]byte, 249), q, 3}, "modulus too long": {bytes.Repeat([]byte{0xFF}, 125), bytes.Repeat([]byte{0xFF}, 125), 3},
	} {
		if k, err := oda.NewPrivateKey(test.p, test.q, test.e); err == nil || !k.IsZero() {
			t.Errorf("%s: accepted", name)
		}
	}
	if !(oda.PrivateKey{}).Public().IsZero() {
		t.Error("no key has a public half")
	}
}

func TestPrivateKeyMasksItself(t *testing.T) {
	key := testkeys.ICC(1)
	p, q, _ := key.Reveal()
	var out strings.Builder
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", key, "in", struct{ K oda.PrivateKey }{key})
	text, err := json.Marshal(map[string]any{"key": key, "in": []oda.PrivateKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+verb, key, struct{ hidden oda.PrivateKey }{key})
	}
	printed := strings.ToUpper(out.String())
	for _, secret := range [][]byte{p, q} {
		for _, form := range []string{fmt.Sprintf("%X", secret[8:16]), strings.ToUpper(fmt.Sprint(secret[8:12]))} {
			if strings.Contains(printed, form) {
				t.Errorf("a prime is printed")
			}
		}
	}
	if !strings.Contains(printed, "[REDACTED RSA-1024 E=3 PRIVATE KEY]") {
		t.Errorf("printed %s", printed)
	}
}

func TestKeys(t *testing.T) {
	keys := publishedKeys(t)
	if keys.Len() != 10 {
		t.Errorf("%d keys", keys.Len())
	}
	good := oda.PublishedCAKeys()[5]
	if err := keys.Add(good); !errors.Is(err, oda.ErrDuplicateKey) {
		t.Errorf("adding a key twice: %v", err)
	}
	for name, change := range map[string]func(*oda.CAKey){
		"modulus changed": func(k *oda.CAKey) { k.Modulus[20] ^= 1 },
		"index changed":   func(k *oda.CAKey) { k.Index++ },
		"RID changed":     func(k *oda.CAKey) { k.RID[4] ^= 1 },
		"exponent":        func(k *oda.CAKey) { k.Exponent = []byte{2} },
		"no modulus":      func(k *oda.CAKey) { k.Modulus = nil },
		"checksum":        func(k *oda.CAKey) { k.SHA1[0] ^= 1 },
		"expiry":          func(k *oda.CAKey) { k.Expiry = "20301332" },
	} {
		k := oda.PublishedCAKeys()[5]
		change(&k)
		if err := new(oda.Keys).Add(k); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, ok := keys.Lookup([5]byte{1}, 9); ok {
		t.Error("found a key of another provider")
	}
	for name, text := range map[string]string{
		"fields": "01 test 03", "hex": "0x test 03 20301231 00 00", "index": "0101 test 03 20301231 00 00",
		"checksum": strings.Replace(oda.PublishedText(), "A5E44B", "A5E44C", 1),
	} {
		if _, err := oda.ParseCAKeys(text); err == nil {
			t.Errorf("table with bad %s: accepted", name)
		}
	}
}

func TestRevocation(t *testing.T) {
	c := readChain(t)
	keys, err := oda.NewKeys(c.ca)
	if err != nil {
		t.Fatal(err)
	}
	cert := oda.Certificate{Certificate: c.v.bytes(t, "tag90"), Remainder: c.v.bytes(t, "tag92"), Exponent: []byte{3}, PAN: c.number}
	if key, err := keys.RecoverIssuerKey(emv.RIDUnionPay, 0xF1, cert, c.now); err != nil || key != c.issuerKey {
		t.Errorf("key %v, %v", key, err)
	}
	_, err = keys.RecoverIssuerKey(emv.RIDUnionPay, 0xF2, cert, c.now)
	wantFailure(t, err, oda.StepCAKey, oda.CheckUnknownKey)
	keys.Revoke(emv.RIDUnionPay, 0xF1, [3]byte{0, 0, 1})
	_, err = keys.RecoverIssuerKey(emv.RIDUnionPay, 0xF1, cert, c.now)
	wantFailure(t, err, oda.StepIssuerCertificate, oda.CheckRevoked)
}

func TestFailuresSpeakBothLanguages(t *testing.T) {
	for _, s := range oda.StepTerms() {
		if s.Term().EN == "" || s.Term().ZH == "" {
			t.Errorf("step %q lacks a language", s)
		}
	}
	for _, c := range oda.CheckTerms() {
		if c.Term().EN == "" || c.Term().ZH == "" {
			t.Errorf("check %q lacks a language", c)
		}
	}
	f := &oda.Failure{Step: oda.StepICCCertificate, Check: oda.CheckHash}
	if f.Error() != "offline data authentication: ICC certificate: the hash does not match" || f.Term().ZH != "IC卡公钥证书:哈希值不符" {
		t.Errorf("%v, %v", f, f.Term().ZH)
	}
}
