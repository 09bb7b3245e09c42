package hsm_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"tapnet/dukpt"
	"tapnet/internal/hsm"
	"tapnet/pan"
	"tapnet/pinblock"
)

// The PIN of the example in annex A.4 of X9.24-1:2009: PIN 1234, serial number FFFF9876543210E00001.
func TestTranslateUniquePIN(t *testing.T) {
	h := hsm.New(rand.NewChaCha8([32]byte{1}))
	must := func(_ hsm.KeyInfo, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	base := []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10}
	must(h.ImportClear("base", hsm.UsageDUKPTBase, hsm.ModeDerive, hsm.TDES, hsm.NotExportable, base))
	must(h.Generate("aes", hsm.UsageDUKPTBase, hsm.ModeDerive, hsm.AES128, hsm.NotExportable))
	must(h.Generate("zone", hsm.UsagePINEncryption, hsm.ModeBoth, hsm.TDES, hsm.NotExportable))
	number, err := pan.Parse("4012345678909")
	if err != nil {
		t.Fatal(err)
	}
	block, err := pinblock.FromBytes([]byte{0x1B, 0x9C, 0x18, 0x45, 0xEB, 0x99, 0x3A, 0x7A})
	if err != nil {
		t.Fatal(err)
	}
	serial := hsm.Serial{Number: []byte{0xFF, 0xFF, 0x98, 0x76, 0x54, 0x32, 0x10, 0xE0, 0x00, 0x01}}
	got, result, err := h.TranslateUniquePIN("base", serial, "zone", block, number)
	if err != nil || result != hsm.PINOK {
		t.Fatalf("%v, %v", result, err)
	}
	pin, err := pinblock.ParsePIN("1234")
	if err != nil {
		t.Fatal(err)
	}
	want, err := h.EncipherPIN("zone", pinblock.Format0(pin, number))
	if err != nil || want.Reveal() != got.Reveal() {
		t.Errorf("another block came out, %v", err)
	}
	for name, bad := range map[string]hsm.Serial{"none": {}, "short": {Number: serial.Number[:9]}, "counter zero": {Number: append(bytes.Clone(serial.Number[:7]), 0xE0, 0, 0)},
		"another counter": {Number: append(bytes.Clone(serial.Number[:9]), 2)}, "another method": {AES: true, Number: serial.Number}} {
		if _, result, err := h.TranslateUniquePIN("base", bad, "zone", block, number); result != hsm.PINBadFormat || err != nil {
			t.Errorf("%s: %v, %v", name, result, err)
		}
	}
	if _, _, err := h.TranslateUniquePIN("zone", serial, "zone", block, number); err == nil {
		t.Error("a zone key is a base key")
	}
	if _, _, err := h.TranslateUniquePIN("base", serial, "aes", block, number); err == nil {
		t.Error("a base key is a zone key")
	}
	initial, id, err := h.InjectUnique("aes", "T0000001")
	if err != nil {
		t.Fatal(err)
	}
	device, err := dukpt.NewAESDevice(initial, [dukpt.InitialKeyIDBytes]byte(id))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tx, err := device.Next()
		if err != nil {
			t.Fatal(err)
		}
		key, err := tx.Key(dukpt.PINEncryption, dukpt.TDEA2)
		if err != nil {
			t.Fatal(err)
		}
		unique, err := key.Cipher()
		if err != nil {
			t.Fatal(err)
		}
		b := pinblock.Format0(pin, number).Reveal()
		unique.Encrypt(b[:], b[:])
		enciphered, err := pinblock.FromBytes(b[:])
		if err != nil {
			t.Fatal(err)
		}
		ksn := tx.KSN().Bytes()
		got, result, err := h.TranslateUniquePIN("aes", hsm.Serial{AES: true, Number: ksn[:]}, "zone", enciphered, number)
		if err != nil || result != hsm.PINOK || got.Reveal() != want.Reveal() {
			t.Errorf("%v, %v", result, err)
		}
	}
}
