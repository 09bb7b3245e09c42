package dukpt

import (
	"errors"
	"testing"
)

// The short form joins 32, 27 and 21 bits; what does not fit has none.
func TestShortSerialNumbers(t *testing.T) {
	for _, c := range []struct{ id, short string }{
		{"12345678 00000001 00000001", "12345678000000200001"},
		{"12345678 07FFFFFF 001FFFFF", "12345678FFFFFFFFFFFF"},
		{"00000000 00000000 00000000", "00000000000000000000"},
	} {
		b := unhex(t, c.id[:8]+c.id[9:17]+c.id[18:])
		ksn, err := ParseAESKSN(b)
		if err != nil {
			t.Fatal(err)
		}
		short, err := ksn.Short()
		if err != nil || string(short[:]) != string(unhex(t, c.short)) {
			t.Errorf("%s: %X, %v, want %s", c.id, short, err, c.short)
		}
		if back, err := ParseAESShortKSN(short[:]); err != nil || back != ksn {
			t.Errorf("%s comes back as %v, %v", c.id, back, err)
		}
	}
	for _, id := range []string{"123456780800000000000001", "123456780000000100200000"} {
		ksn, err := ParseAESKSN(unhex(t, id))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ksn.Short(); !errors.Is(err, ErrKSN) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, n := range []int{0, 9, 11, 12} {
		if _, err := ParseAESShortKSN(make([]byte, n)); !errors.Is(err, ErrKSN) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// A host's key is that of the device, and refused where there is none.
func TestHostKeys(t *testing.T) {
	bdk := mustKey(t, TDEA2, unhex(t, "0123456789ABCDEFFEDCBA9876543210"))
	ksn, err := ParseTDESKSN(unhex(t, "FFFF9876543210E00001"))
	if err != nil {
		t.Fatal(err)
	}
	// source: X9.24-1:2009 annex A.4, PIN encryption key of counter 1.
	if k, err := TDESHostKey(bdk, ksn, PINEncryption); err != nil || string(k.Reveal()) != string(unhex(t, "042666B49184CF5C68DE9628D0397B36")) {
		t.Errorf("%X, %v", k.Reveal(), err)
	}
	if _, err := TDESHostKey(bdk, ksn, KeyEncryption); !errors.Is(err, ErrUsage) {
		t.Error(err)
	}
	if _, err := TDESHostKey(bdk, ksn.WithCounter(0), PINEncryption); !errors.Is(err, ErrCounter) {
		t.Error(err)
	}
	aes := mustKey(t, AES128, unhex(t, "FEDCBA9876543210F1F1F1F1F1F1F1F1"))
	if _, err := TDESHostKey(aes, ksn, PINEncryption); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	serial := NewAESKSN([8]byte(unhex(t, "1234567890123456")), 1)
	if _, err := AESHostKey(bdk, serial, PINEncryption, TDEA2); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	if _, err := AESHostKey(aes, NewAESKSN(serial.InitialKeyID(), 0), PINEncryption, TDEA2); !errors.Is(err, ErrCounter) {
		t.Error(err)
	}
	if k, err := AESHostKey(aes, serial, PINEncryption, AES128); err != nil || k.Type() != AES128 {
		t.Error(err)
	}
}
