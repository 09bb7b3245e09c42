package hsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"tapnet/emv/cryptogram"
	"tapnet/pan"
	"tapnet/pinblock"
)

// seeded is a random source that repeats, so that a failure does too.
func seeded(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func importHex(t testing.TB, h *HSM, name string, usage Usage, mode Mode, algorithm Algorithm, export Export, key string) KeyInfo {
	t.Helper()
	info, err := h.ImportClear(name, usage, mode, algorithm, export, unhex(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func mustPAN(t testing.TB, s string) pan.Number {
	t.Helper()
	n, err := pan.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustPIN(t testing.TB, s string) pinblock.PIN {
	t.Helper()
	p, err := pinblock.ParsePIN(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	vectorPAN = "6228000100001117" // [REF V-10]
	vectorPIK = "0123456789ABCDEFFEDCBA9876543210"
	vectorTMK = "11111111111111112222222222222222"
	vectorMAK = "FEDCBA9876543210"
	vectorMAB = "0200703C048020C0881154455354204D414320494E505554203132333435"
)

// TestVectorPINBlock: V-10, enciphering a format 0 block and its check value.
func TestVectorPINBlock(t *testing.T) {
	h := New(seeded(1))
	info := importHex(t, h, "pik", UsagePINEncryption, ModeBoth, TDES, NotExportable, vectorPIK)
	if got := hex.EncodeToString(info.KCV[:]); got != "08d7b4fb" {
		t.Errorf("KCV = %s", got)
	}
	n, pin := mustPAN(t, vectorPAN), mustPIN(t, "123456")
	for _, v := range []struct {
		clear pinblock.Block
		want  string
	}{
		{pinblock.Format0(pin, n), "60d2b73093f23f22"},
		{pinblock.FormatWithoutPAN(pin), "43e945588ed566d9"},
	} {
		got, err := h.EncipherPIN("pik", v.clear)
		if err != nil {
			t.Fatal(err)
		}
		if b := got.Reveal(); hex.EncodeToString(b[:]) != v.want {
			t.Errorf("enciphered = %x, want %s", b, v.want)
		}
	}
}

// TestVectorMAC: V-11, the terminal MAC under single and double length, X9.9 and X9.19.
func TestVectorMAC(t *testing.T) {
	h := New(seeded(1))
	importHex(t, h, "ecb-single", UsageMACLegacyECB, ModeGenerateVerify, DES, NotExportable, "0123456789ABCDEF")
	importHex(t, h, "ecb-double", UsageMACLegacyECB, ModeGenerateVerify, TDES, NotExportable, vectorPIK)
	importHex(t, h, "x99", UsageMACX99, ModeGenerateVerify, DES, NotExportable, "0123456789ABCDEF")
	importHex(t, h, "x919", UsageMACRetail, ModeGenerateVerify, TDES, NotExportable, vectorPIK)
	data := unhex(t, vectorMAB)
	for _, v := range []struct {
		key       string
		algorithm MACAlgorithm
		want      string
	}{
		{"ecb-single", LegacyECB, "4243343030413442"},
		{"ecb-double", LegacyECB, "3039324445343846"},
		{"x99", X99CBC, "849b4f14b6ca1a10"},
		{"x919", Retail, "57b9c611d17b70db"},
	} {
		got, err := h.MAC(v.key, v.algorithm, data)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got[:]) != v.want {
			t.Errorf("%s: MAC = %x, want %s", v.key, got, v.want)
		}
		if ok, err := h.VerifyMAC(v.key, v.algorithm, data, got); !ok || err != nil {
			t.Errorf("%s: verify = %t, %v", v.key, ok, err)
		}
		got[7] ^= 1
		if ok, _ := h.VerifyMAC(v.key, v.algorithm, data, got); ok {
			t.Errorf("%s: a wrong MAC was accepted", v.key)
		}
	}
}

// TestVectorSignOnKeys: V-11, working keys wrapped under the terminal master key and taken in again on the other side.
func TestVectorSignOnKeys(t *testing.T) {
	host, terminal := New(seeded(1)), New(seeded(2))
	importHex(t, host, "tmk", UsageKeyEncryption, ModeEncrypt, TDES, NotExportable, vectorTMK)
	importHex(t, terminal, "tmk", UsageKeyEncryption, ModeDecrypt, TDES, NotExportable, vectorTMK)
	importHex(t, host, "pik", UsagePINEncryption, ModeDecrypt, TDES, Exportable, vectorPIK)
	importHex(t, host, "mak", UsageMACLegacyECB, ModeGenerateVerify, DES, Exportable, vectorMAK)
	for _, v := range []struct {
		name, wrapped, kcv string
		usage              Usage
		mode               Mode
	}{
		{"pik", "cb4ab541cd5ad4fc256a882726936a5a", "08d7b4fb", UsagePINEncryption, ModeEncrypt},
		{"mak", "256a882726936a5a", "a68cdca9", UsageMACLegacyECB, ModeGenerateVerify},
	} {
		wrapped, kcv, err := host.WrapUnder("tmk", v.name)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(wrapped) != v.wrapped || hex.EncodeToString(kcv[:]) != v.kcv {
			t.Errorf("%s: wrapped %x KCV %x", v.name, wrapped, kcv)
		}
		wrong := kcv
		wrong[0] ^= 1
		if err := terminal.UnwrapUnder("tmk", v.name, v.usage, v.mode, wrapped, wrong); !errors.Is(err, ErrKCV) {
			t.Errorf("%s: a wrong check value gave %v", v.name, err)
		}
		if _, err := terminal.Info(v.name); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: installed in spite of a wrong check value", v.name)
		}
		if err := terminal.UnwrapUnder("tmk", v.name, v.usage, v.mode, wrapped, kcv); err != nil {
			t.Fatal(err)
		}
		info, _ := terminal.Info(v.name)
		if info.KCV != kcv || info.Exportable() {
			t.Errorf("%s: installed as %+v", v.name, info)
		}
	}
	clearBlock := pinblock.Format0(mustPIN(t, "123456"), mustPAN(t, vectorPAN))
	block, err := terminal.EncipherPIN("pik", clearBlock)
	if err != nil {
		t.Fatal(err)
	}
	if b := block.Reveal(); hex.EncodeToString(b[:]) != "60d2b73093f23f22" {
		t.Errorf("PIN block under the installed key: %x", b)
	}
}

// TestUnwrapChangesKey: a second key exchange gives the same name a new value; other attributes are refused.
func TestUnwrapChangesKey(t *testing.T) {
	h := New(seeded(3))
	importHex(t, h, "kek", UsageKeyEncryption, ModeBoth, TDES, NotExportable, vectorTMK)
	if _, err := h.Generate("a", UsageMACX99, ModeGenerateVerify, TDES, Exportable); err != nil {
		t.Fatal(err)
	}
	first, firstKCV, _ := h.WrapUnder("kek", "a")
	if _, err := h.Replace("a"); err != nil {
		t.Fatal(err)
	}
	second, secondKCV, _ := h.WrapUnder("kek", "a")
	if bytes.Equal(first, second) {
		t.Fatal("Replace kept the value")
	}
	for i, w := range [][]byte{first, second} {
		kcv := [][4]byte{firstKCV, secondKCV}[i]
		if err := h.UnwrapUnder("kek", "b", UsageMACX99, ModeVerify, w, kcv); err != nil {
			t.Fatal(err)
		}
		if info, _ := h.Info("b"); info.KCV != kcv {
			t.Errorf("exchange %d: KCV %x, want %x", i, info.KCV, kcv)
		}
	}
	if err := h.UnwrapUnder("kek", "b", UsageMACX99, ModeGenerate, second, secondKCV); !errors.Is(err, ErrKeyExists) {
		t.Errorf("another mode: %v", err)
	}
	if err := h.UnwrapUnder("kek", "b", UsagePINEncryption, ModeBoth, second, secondKCV); !errors.Is(err, ErrKeyExists) {
		t.Errorf("another usage: %v", err)
	}
	for _, n := range []int{0, 7, 9, 15, 17, 24} {
		if err := h.UnwrapUnder("kek", "c", UsageMACX99, ModeVerify, make([]byte, n), firstKCV); err == nil {
			t.Errorf("%d bytes were unwrapped", n)
		}
	}
}

// TestRefusedKeys: keys that must not come into being.
func TestRefusedKeys(t *testing.T) {
	h := New(seeded(4))
	long := string(bytes.Repeat([]byte{'n'}, MaxNameBytes+1))
	for name, f := range map[string]func() (KeyInfo, error){
		"no name":       func() (KeyInfo, error) { return h.Generate("", UsageData, ModeBoth, AES256, NotExportable) },
		"long name":     func() (KeyInfo, error) { return h.Generate(long, UsageData, ModeBoth, AES256, NotExportable) },
		"unknown usage": func() (KeyInfo, error) { return h.Generate("k", "Z9", ModeBoth, AES256, NotExportable) },
		"mode N":        func() (KeyInfo, error) { return h.Generate("k", UsageData, 'N', AES256, NotExportable) },
		"data with DES": func() (KeyInfo, error) { return h.Generate("k", UsageData, ModeBoth, DES, NotExportable) },
		"PIN to verify": func() (KeyInfo, error) { return h.Generate("k", UsagePINEncryption, ModeVerify, TDES, NotExportable) },
		"master both":   func() (KeyInfo, error) { return h.Generate("k", UsageEMVAC, ModeBoth, TDES, NotExportable) },
		"no algorithm":  func() (KeyInfo, error) { return h.Generate("k", UsageData, ModeBoth, 0, NotExportable) },
		"exportability": func() (KeyInfo, error) { return h.Generate("k", UsageData, ModeBoth, AES256, 'X') },
		"short": func() (KeyInfo, error) {
			return h.ImportClear("k", UsageData, ModeBoth, AES256, NotExportable, make([]byte, 31))
		},
		"equal halves": func() (KeyInfo, error) {
			return h.ImportClear("k", UsageEMVAC, ModeDerive, TDES, NotExportable, make([]byte, 16))
		},
		"parity halves": func() (KeyInfo, error) {
			return h.ImportClear("k", UsageEMVAC, ModeDerive, TDES, NotExportable, unhex(t, "10101010101010101111111111111111"))
		},
		"broken random": func() (KeyInfo, error) {
			return New(bytes.NewReader(nil)).Generate("k", UsageData, ModeBoth, AES256, NotExportable)
		},
		"constant random": func() (KeyInfo, error) {
			return New(bytes.NewReader(make([]byte, 64))).Generate("k", UsageEMVAC, ModeDerive, TDES, NotExportable)
		},
	} {
		if info, err := f(); err == nil {
			t.Errorf("%s: made %+v", name, info)
		}
	}
	if names := h.Names(); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	if _, err := h.Generate("k", UsageData, ModeBoth, AES256, NotExportable); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Generate("k", UsageData, ModeBoth, AES256, NotExportable); !errors.Is(err, ErrKeyExists) {
		t.Errorf("second key of a name: %v", err)
	}
	if err := h.Delete("k"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{h.Delete("k"), second(h.Info("k")), second(h.Replace("k"))} {
		if !errors.Is(err, ErrNoKey) {
			t.Errorf("of a deleted key: %v", err)
		}
	}
}

func second(_ KeyInfo, err error) error { return err }

// operation is one use of a key in the misuse table.
type operation struct {
	name  string
	usage Usage
	modes []Mode
	run   func(h *HSM, key string) error
	// algorithms are those the operation can be done with; empty for all that the usage admits.
	algorithms []Algorithm
}

func operations(t testing.TB) []operation {
	n := mustPAN(t, vectorPAN)
	pin := mustPIN(t, "123456")
	block := pinblock.Format0(pin, n)
	suite := cryptogram.TDES()
	check := func(ac, mac string) CryptogramCheck {
		return CryptogramCheck{MasterKey: ac, MACMasterKey: mac, PAN: n, Sequence: "01", Data: []byte{1}, Suite: suite}
	}
	seal := func(ac, mac, enc, transport string) CardKeyRequest {
		return CardKeyRequest{ACMaster: ac, MACMaster: mac, ENCMaster: enc, Transport: transport, PAN: n, Sequence: "01", Suite: suite}
	}
	compute, verify := []Mode{ModeGenerateVerify, ModeGenerate}, []Mode{ModeGenerateVerify, ModeVerify}
	encrypt, decrypt := []Mode{ModeBoth, ModeEncrypt}, []Mode{ModeBoth, ModeDecrypt}
	derive := []Mode{ModeDerive}
	ops := suiteOperations(t)
	ops = append(ops, []operation{
		{"encipher PIN", UsagePINEncryption, encrypt, func(h *HSM, k string) error { _, err := h.EncipherPIN(k, block); return err }, desFamily},
		{"translate from", UsagePINEncryption, decrypt, func(h *HSM, k string) error {
			_, _, err := h.TranslatePIN(k, "good/P0", block, n)
			return err
		}, desFamily},
		{"translate to", UsagePINEncryption, encrypt, func(h *HSM, k string) error {
			_, _, err := h.TranslatePIN("good/P0", k, block, n)
			return err
		}, desFamily},
		{"reference, zone", UsagePINEncryption, decrypt, func(h *HSM, k string) error {
			_, _, err := h.PINReference("good/V0", k, block, n)
			return err
		}, desFamily},
		{"reference, key", UsagePINVerification, compute, func(h *HSM, k string) error {
			_, _, err := h.PINReference(k, "good/P0", block, n)
			return err
		}, nil},
		{"new reference", UsagePINVerification, compute, func(h *HSM, k string) error {
			_, err := h.NewPINReference(k, pin, n)
			return err
		}, nil},
		{"verify PIN, zone", UsagePINEncryption, decrypt, func(h *HSM, k string) error {
			_, err := h.VerifyPIN(k, block, n, "good/V0", [16]byte{})
			return err
		}, desFamily},
		{"verify PIN, key", UsagePINVerification, verify, func(h *HSM, k string) error {
			_, err := h.VerifyPIN("good/P0", block, n, k, [16]byte{})
			return err
		}, nil},
		{"verify cryptogram", UsageEMVAC, derive, func(h *HSM, k string) error {
			_, err := h.VerifyCryptogram(check(k, ""))
			return err
		}, []Algorithm{TDES}},
		{"verify IDD", UsageEMVMAC, derive, func(h *HSM, k string) error {
			_, err := h.VerifyCryptogram(check("good/E0", k))
			return err
		}, []Algorithm{TDES}},
		{"seal, AC", UsageEMVAC, derive, func(h *HSM, k string) error {
			_, err := h.SealCardKeys(seal(k, "good/E2", "good/E1", "good/E5"))
			return err
		}, []Algorithm{TDES}},
		{"seal, MAC", UsageEMVMAC, derive, func(h *HSM, k string) error {
			_, err := h.SealCardKeys(seal("good/E0", k, "good/E1", "good/E5"))
			return err
		}, []Algorithm{TDES}},
		{"seal, ENC", UsageEMVENC, derive, func(h *HSM, k string) error {
			_, err := h.SealCardKeys(seal("good/E0", "good/E2", k, "good/E5"))
			return err
		}, []Algorithm{TDES}},
		{"seal, transport", UsagePersonalization, encrypt, func(h *HSM, k string) error {
			_, err := h.SealCardKeys(seal("good/E0", "good/E2", "good/E1", k))
			return err
		}, nil},
		{"card loader", UsagePersonalization, decrypt, func(h *HSM, k string) error { _, err := h.CardLoader(k); return err }, nil},
		{"fingerprint", UsageHMAC, compute, func(h *HSM, k string) error { _, err := h.PANFingerprint(k, n); return err }, nil},
		{"seal PAN", UsageData, encrypt, func(h *HSM, k string) error { _, err := h.SealPAN(k, n); return err }, nil},
		{"open PAN", UsageData, decrypt, func(h *HSM, k string) error { _, err := h.OpenPAN(k, nil); return ignoreSealed(err) }, nil},
		{"seal data", UsageData, encrypt, func(h *HSM, k string) error { _, err := h.SealData(k, "x", nil); return err }, nil},
		{"open data", UsageData, decrypt, func(h *HSM, k string) error { _, err := h.OpenData(k, "x", nil); return ignoreSealed(err) }, nil},
		{"wrap under", UsageKeyEncryption, encrypt, func(h *HSM, k string) error {
			_, _, err := h.WrapUnder(k, "good/P0")
			return err
		}, []Algorithm{TDES}},
		{"unwrap under", UsageKeyEncryption, decrypt, func(h *HSM, k string) error {
			wrapped := make([]byte, 8)
			if info, err := h.Info(k); err == nil && info.Algorithm == SM4 {
				wrapped = make([]byte, 16)
			}
			err := h.UnwrapUnder(k, "new", UsagePINEncryption, ModeBoth, wrapped, [4]byte{})
			if errors.Is(err, ErrKCV) {
				return nil
			}
			return err
		}, nil},
	}...)
	for _, a := range []MACAlgorithm{LegacyECB, X99CBC, Retail} {
		ops = append(ops,
			operation{fmt.Sprint("MAC ", a), a.Usage(), compute, func(h *HSM, k string) error {
				_, err := h.MAC(k, a, nil)
				return err
			}, nil},
			operation{fmt.Sprint("verify MAC ", a), a.Usage(), verify, func(h *HSM, k string) error {
				_, err := h.VerifyMAC(k, a, nil, [8]byte{})
				return err
			}, nil})
	}
	return ops
}

func ignoreSealed(err error) error {
	if errors.Is(err, ErrSealed) {
		return nil
	}
	return err
}

var allUsages = []Usage{UsageKeyEncryption, UsagePINEncryption, UsagePINVerification, UsageMACX99, UsageMACRetail, UsageMACLegacyECB,
	UsageHMAC, UsageData, UsageEMVAC, UsageEMVENC, UsageEMVMAC, UsagePersonalization}

// everyKey fills an HSM with a key of every usage, mode and algorithm there is, and "good/.." keys that may do all their usage allows.
func everyKey(t testing.TB) *HSM {
	h := New(seeded(5))
	for _, u := range allUsages {
		r, ok := usageRule(u)
		if !ok {
			t.Fatalf("usage %s has no rule", u)
		}
		for i, m := range r.modes {
			for j, a := range r.algorithms {
				if i == 0 && j == len(r.algorithms)-1 {
					if _, err := h.Generate("good/"+string(u), u, m, a, Exportable); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := h.Generate(fmt.Sprintf("%s/%s/%s", u, m, a), u, m, a, NotExportable); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return h
}

// TestMisuse: every operation with every key. It works with the right usage and mode and is refused with all others.
func TestMisuse(t *testing.T) {
	h := everyKey(t)
	refused, done := 0, 0
	for _, op := range operations(t) {
		for _, name := range h.Names() {
			info, err := h.Info(name)
			if err != nil {
				continue
			}
			err = op.run(h, name)
			fits := len(op.algorithms) == 0 || slices.Contains(op.algorithms, info.Algorithm)
			if info.Usage == op.usage && slices.Contains(op.modes, info.Mode) && fits {
				if done++; err != nil {
					t.Errorf("%s with %s: %v", op.name, name, err)
				}
				continue
			}
			var misuse *MisuseError
			if refused++; !errors.As(err, &misuse) || !errors.Is(err, ErrMisuse) || misuse.Key != name {
				t.Errorf("%s with %s: got %v, want a MisuseError about it", op.name, name, err)
			}
		}
		if err := op.run(h, "absent"); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s with an absent key: %v", op.name, err)
		}
	}
	t.Logf("%d uses done, %d refused", done, refused)
	if done < len(operations(t)) || refused < 5*done {
		t.Errorf("%d done and %d refused: the table does not cover the keys", done, refused)
	}
}

// TestNotExportable: only keys of the DES family (and SM4) made exportable leave, and only under a key-encrypting key of their family.
func TestNotExportable(t *testing.T) {
	h := everyKey(t)
	for _, name := range h.Names() {
		info, _ := h.Info(name)
		_, _, err := h.WrapUnder("good/K0", name)
		may := info.Exportable() && (info.Algorithm == DES || info.Algorithm == TDES)
		if may != (err == nil) || (!may && !errors.Is(err, ErrMisuse)) {
			t.Errorf("wrapping %s: %v", name, err)
		}
	}
}

func TestOddParity(t *testing.T) {
	key := make([]byte, 256)
	for i := range key {
		key[i] = byte(i)
	}
	oddParity(key)
	for i, b := range key {
		ones := 0
		for bit := range 8 {
			ones += int(b >> bit & 1)
		}
		if ones%2 != 1 || b&0xFE != byte(i)&0xFE {
			t.Fatalf("byte %02X became %02X", i, b)
		}
	}
}
