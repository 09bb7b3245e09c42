package oda_test

import (
	"bytes"
	"errors"
	"testing"

	"tapnet/emv/oda"
	"tapnet/glossary"
)

func checked(t *testing.T, err error) {
	t.Helper()
	var f *oda.Failure
	if err != nil && !errors.As(err, &f) {
		t.Errorf("error %v is no failure", err)
	}
}

// A block of any content under a right hash is read without panic, and what is read makes the same block again.
func FuzzIssuerCertificate(f *testing.F) {
	c := readChain(f)
	f.Add(c.v.bytes(f, "tag90_recovered"), c.v.bytes(f, "tag92"), []byte{3})
	f.Add(c.v.bytes(f, "tag9F46_recovered"), c.v.bytes(f, "tag9F48"), []byte{1, 0, 1})
	f.Fuzz(func(t *testing.T, block, remainder, exponent []byte) {
		_, err := c.recoverIssuer(block, remainder, exponent)
		checked(t, err)
		if len(block) < oda.MinModulusBytes || len(block) > oda.MaxModulusBytes {
			return
		}
		block = oda.Reseal(block, remainder, exponent)
		key, check := oda.IssuerKeyFromBlock(block, remainder, exponent, c.number, c.now)
		if check != oda.CheckNone {
			return
		}
		iin, expiry, serial, public := key.IIN(), key.ExpiryMMYY(), key.Serial(), key.PublicKey()
		again := append([]byte{0x6A, 0x02}, iin[:]...)
		again = append(again, expiry[:]...)
		again = append(again, serial[:]...)
		again = append(again, 1, 1, byte(public.Len()), byte(len(public.Exponent())))
		if !bytes.HasPrefix(block, again) || !bytes.HasSuffix(public.Modulus(), remainder) || !bytes.Equal(public.Exponent(), exponent) {
			t.Errorf("block %X gives %X, %v", block, again, public)
		}
	})
}

func FuzzICCCertificate(f *testing.F) {
	c := readChain(f)
	f.Add(c.v.bytes(f, "tag9F46_recovered"), c.v.bytes(f, "tag9F48"), []byte{3}, c.static)
	f.Add(c.v.bytes(f, "tag90_recovered"), c.v.bytes(f, "tag92"), []byte{1, 0, 1}, []byte{})
	f.Fuzz(func(t *testing.T, block, remainder, exponent, static []byte) {
		_, err := c.recoverICC(block, remainder, exponent, static)
		checked(t, err)
		if len(block) < oda.MinModulusBytes || len(block) > oda.MaxModulusBytes {
			return
		}
		block = oda.Reseal(block, remainder, exponent, static)
		key, check := oda.ICCKeyFromBlock(block, remainder, exponent, c.number, static, c.now)
		if check != oda.CheckNone {
			return
		}
		public := key.PublicKey()
		if !bytes.HasSuffix(public.Modulus(), remainder) || !bytes.Equal(public.Exponent(), exponent) || public.Len() > len(block) {
			t.Errorf("block %X gives %v", block, public)
		}
	})
}

func FuzzDynamicSignature(f *testing.F) {
	c := readChain(f)
	f.Add(c.v.bytes(f, "dda_recovered"), c.v.bytes(f, "9F37"))
	f.Add(c.v.bytes(f, "fdda01_recovered"), c.v.bytes(f, "9F69"))
	f.Add(c.v.bytes(f, "dda_sdad"), []byte{})
	f.Fuzz(func(t *testing.T, block, data []byte) {
		_, err := oda.VerifyDDA(c.iccKey, block, data)
		checked(t, err)
		_, err = oda.VerifyFDDA(c.iccKey, block, oda.FDDAInput{Version: 1, CardAuthData: data})
		checked(t, err)
		_, err = oda.VerifySSAD(c.issuerKey, block, data)
		checked(t, err)
		if len(block) < oda.MinModulusBytes || len(block) > oda.MaxModulusBytes {
			return
		}
		block = oda.Reseal(block, data)
		dynamic, check := oda.DynamicDataFromBlock(block, data)
		if check == oda.CheckNone && (int(block[3]) != len(dynamic) || !bytes.HasPrefix(block[4:], dynamic)) {
			t.Errorf("block %X gives %X", block, dynamic)
		}
		oda.DynamicNumber(dynamic)
	})
}

func FuzzStaticData(f *testing.F) {
	f.Add(byte(1), []byte{0x70, 0x03, 0x5F, 0x34, 0x00}, []byte{0x7C, 0}, []byte{0x82})
	f.Add(byte(11), []byte{0x70, 0x81, 0x80}, []byte{}, []byte{0x5A})
	f.Fuzz(func(t *testing.T, sfi byte, raw, aip, list []byte) {
		static, err := oda.StaticData([]oda.Record{{SFI: sfi, Raw: raw}}, aip, list)
		checked(t, err)
		if len(static) > oda.MaxStaticDataBytes+2 {
			t.Errorf("%d bytes", len(static))
		}
	})
}

// What is accepted reads back to itself from Reveal; letter case, blanks, comments, and the order between tags, records,
// static and ddol are the leniency of the format.
func FuzzParseDump(f *testing.F) {
	keys, now := v9Keys(f)
	f.Add([]byte(readTrace(f)))
	f.Add([]byte(v9Dump(f, "9F69 = 01A1B2C3D4000000\n9F4B = 00\n", nil)))
	f.Add([]byte("AFL = 08010300\nrecord 1.1 = 70 02 5A00 # x\nddol=00\r\ndate=20150316"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := oda.ParseDump(text)
		if err != nil {
			return
		}
		again, err := oda.ParseDump(d.Reveal())
		if err != nil {
			t.Fatalf("%q does not read back: %v", d.Reveal(), err)
		}
		if !again.Equal(d) {
			t.Errorf("%q reads back as %q", d.Reveal(), again.Reveal())
		}
		if r := d.Verify(keys, now); len(r.Text(glossary.Chinese)) == 0 {
			t.Error("empty report")
		}
	})
}
