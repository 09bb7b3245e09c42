package sam_test

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"tapnet/dukpt"
	"tapnet/internal/pos"
	"tapnet/internal/pos/sam"
	"tapnet/iso8583/unionpay"
	"tapnet/pinblock"
)

var _ pos.SecureAccess = (*sam.Module)(nil)

// memory is a module's memory that fails on demand.
type memory struct {
	state []byte
	full  bool
}

func (m *memory) Load() ([]byte, error) { return m.state, nil }

func (m *memory) Store(state []byte) error {
	if m.full {
		return errors.New("full")
	}
	m.state = bytes.Clone(state)
	return nil
}

// The base keys, serial numbers and results are those of the standards: X9.24-1:2009 annex A (base key, counter 1, PIN 1234, PIN block in clear 041274EDCBA9876F) and the AES test
// vectors of ASC X9; see dukpt/testdata/vectors.
const (
	tdesBase = "0123456789ABCDEFFEDCBA9876543210"
	tdesKSN  = "FFFF9876543210E00000"
	aesBase  = "FEDCBA9876543210F1F1F1F1F1F1F1F1"
	aesID    = "1234567890123456"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(t testing.TB, kind dukpt.Type, s string) dukpt.Key {
	t.Helper()
	k, err := dukpt.NewKey(kind, unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// inject loads a module as a key loading device does.
func inject(t testing.TB, method unionpay.KeyMethod, m *memory) *sam.Module {
	t.Helper()
	var initial dukpt.Key
	var err error
	ksn := unhex(t, aesID)
	if method == unionpay.KeyAESShort {
		ksn = unhex(t, "1234567800123456")
	}
	if method == unionpay.KeyTDES {
		ksn = unhex(t, tdesKSN)
		serial, parseErr := dukpt.ParseTDESKSN(ksn)
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		initial, err = dukpt.TDESInitialKey(key(t, dukpt.TDEA2, tdesBase), serial)
	} else {
		initial, err = dukpt.AESInitialKey(key(t, dukpt.AES128, aesBase), [8]byte(ksn))
	}
	if err != nil {
		t.Fatal(err)
	}
	module, err := sam.Inject(method, m, initial, ksn)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// hostKey is the host's side: base key and serial number give the working key.
func hostKey(t testing.TB, serial unionpay.KeySerial, usage dukpt.Usage, kind dukpt.Type) dukpt.Key {
	t.Helper()
	var k dukpt.Key
	var err error
	switch serial.Method() {
	case unionpay.KeyTDES:
		ksn, parseErr := dukpt.ParseTDESKSN(serial.Bytes())
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		k, err = dukpt.TDESHostKey(key(t, dukpt.TDEA2, tdesBase), ksn, usage)
	default:
		parse := dukpt.ParseAESKSN
		if serial.Method() == unionpay.KeyAESShort {
			parse = dukpt.ParseAESShortKSN
		}
		ksn, parseErr := parse(serial.Bytes())
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		k, err = dukpt.AESHostKey(key(t, dukpt.AES128, aesBase), ksn, usage, kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func block(t testing.TB) pinblock.Block {
	t.Helper()
	b, err := pinblock.FromBytes(unhex(t, "041274EDCBA9876F"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var methods = []unionpay.KeyMethod{unionpay.KeyTDES, unionpay.KeyAES, unionpay.KeyAESShort}

// TestAnnexA is the worked example of X9.24-1:2009, annex A.4: the first PIN block of the device.
func TestAnnexA(t *testing.T) {
	m := inject(t, unionpay.KeyTDES, new(memory))
	plain := block(t)
	for i, want := range []string{"FFFF9876543210E00001 1B9C1845EB993A7A", "FFFF9876543210E00002 10A01C8D02C69107", "FFFF9876543210E00003 18DC07B94797B466"} {
		got, serial, err := m.EncipherPINUnique(plain)
		if err != nil {
			t.Fatal(err)
		}
		if text := serial.String() + " " + strings.ToUpper(hex.EncodeToString(func() []byte { b := got.Reveal(); return b[:] }())); text != want {
			t.Errorf("PIN %d: %s, want %s", i+1, text, want)
		}
	}
}

func TestHostReadsWhatTheModuleEnciphers(t *testing.T) {
	for _, method := range methods {
		memory := new(memory)
		m := inject(t, method, memory)
		plain := block(t)
		seen := map[string]bool{}
		for round := range 40 {
			if round%7 == 6 { // the phone starts anew
				var err error
				if m, err = sam.Open(method, memory); err != nil {
					t.Fatal(err)
				}
			}
			got, serial, err := m.EncipherPINUnique(plain)
			if err != nil || seen[serial.String()] {
				t.Fatalf("method %d: %v, serial number %s twice: %t", method, err, serial, seen[serial.String()])
			}
			seen[serial.String()] = true
			c, err := hostKey(t, serial, dukpt.PINEncryption, dukpt.TDEA2).Cipher()
			if err != nil {
				t.Fatal(err)
			}
			b := got.Reveal()
			c.Decrypt(b[:], b[:])
			if want := plain.Reveal(); b != want {
				t.Errorf("method %d: the host reads another PIN block", method)
			}
			data := []byte("6299990000000017=30122010000000")
			sealed, serial, err := m.EncipherData(data)
			if err != nil {
				t.Fatal(err)
			}
			if c, err = hostKey(t, serial, dukpt.DataEncrypt, dukpt.AES128).Cipher(); err != nil {
				t.Fatal(err)
			}
			cipher.NewCBCDecrypter(c, make([]byte, c.BlockSize())).CryptBlocks(sealed, sealed)
			if open := bytes.TrimRight(sealed, "\x00"); !bytes.Equal(open, append(bytes.Clone(data), 0x80)) {
				t.Errorf("method %d: the host reads other data", method)
			}
		}
	}
}

// A key is used only when the memory has forgotten it.
func TestNothingIsEncipheredWithoutMemory(t *testing.T) {
	for _, method := range methods {
		memory := new(memory)
		m := inject(t, method, memory)
		memory.full = true
		plain := block(t)
		if _, _, err := m.EncipherPINUnique(plain); !errors.Is(err, sam.ErrMemory) {
			t.Errorf("method %d: %v", method, err)
		}
		if _, _, err := m.EncipherData(nil); !errors.Is(err, sam.ErrMemory) {
			t.Errorf("method %d: %v", method, err)
		}
		if _, _, err := m.EncipherData(make([]byte, 1025)); !errors.Is(err, sam.ErrData) {
			t.Errorf("method %d: %v", method, err)
		}
	}
}

func TestModulesThatAreNone(t *testing.T) {
	initial := key(t, dukpt.AES128, aesBase)
	if _, err := sam.Inject(9, new(memory), initial, unhex(t, aesID)); err == nil {
		t.Error("a method that is none")
	}
	if _, err := sam.Inject(unionpay.KeyAES, new(memory), initial, unhex(t, "12")); !errors.Is(err, dukpt.ErrKSN) {
		t.Errorf("initial key ID: %v", err)
	}
	if _, err := sam.Inject(unionpay.KeyTDES, new(memory), initial, unhex(t, tdesKSN)); !errors.Is(err, dukpt.ErrKey) {
		t.Errorf("AES key for triple DES: %v", err)
	}
	for _, method := range methods {
		if _, err := sam.Open(method, &memory{state: []byte("no state")}); !errors.Is(err, dukpt.ErrState) {
			t.Errorf("method %d: %v", method, err)
		}
	}
	if _, err := sam.Inject(unionpay.KeyAES, &memory{full: true}, initial, unhex(t, aesID)); !errors.Is(err, sam.ErrMemory) {
		t.Error("injected without memory")
	}
	// A device whose number has more than 27 bits has no short form.
	m, err := sam.Inject(unionpay.KeyAESShort, new(memory), initial, unhex(t, "12345678F0123456"))
	if err != nil {
		t.Fatal(err)
	}
	plain := block(t)
	if _, _, err := m.EncipherPINUnique(plain); !errors.Is(err, sam.ErrExhausted) {
		t.Errorf("short form: %v", err)
	}
}
