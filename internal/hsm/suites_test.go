package hsm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/emv/cryptogram"
	"tapnet/pinblock"
)

func allSuites() []cryptogram.Suite {
	return []cryptogram.Suite{cryptogram.SuiteTDES, cryptogram.SuiteSM4, cryptogram.SuiteAES}
}

// suiteOperations are the rows of the misuse table for PIN blocks of any width.
func suiteOperations(t testing.TB) []operation {
	n, pin := mustPAN(t, vectorPAN), mustPIN(t, "123456")
	block := PINBlock{Narrow: pinblock.Format0(pin, n), Wide: pinblock.FormatSM4(pin, n, pinblock.SM4Wide)}
	encrypt, decrypt := []Mode{ModeBoth, ModeEncrypt}, []Mode{ModeBoth, ModeDecrypt}
	return []operation{
		{"seal PIN", UsagePINEncryption, encrypt, func(h *HSM, k string) error { _, err := h.SealPIN(k, pin, n, pinblock.SM4Wide); return err }, nil},
		{"translate any from", UsagePINEncryption, decrypt, func(h *HSM, k string) error {
			_, _, err := h.TranslatePINBlock(k, "good/P0", block, n, pinblock.SM4Wide)
			return err
		}, nil},
		{"translate any to", UsagePINEncryption, encrypt, func(h *HSM, k string) error {
			_, _, err := h.TranslatePINBlock("good/P0", k, block, n, pinblock.SM4Wide)
			return err
		}, nil},
		{"verify any, zone", UsagePINEncryption, decrypt, func(h *HSM, k string) error {
			_, err := h.VerifyPINBlock(k, block, n, "good/V0", [16]byte{})
			return err
		}, nil},
		{"verify any, key", UsagePINVerification, []Mode{ModeGenerateVerify, ModeVerify}, func(h *HSM, k string) error {
			_, err := h.VerifyPINBlock("good/P0", block, n, k, [16]byte{})
			return err
		}, nil},
		{"script, ENC", UsageEMVENC, []Mode{ModeDerive}, func(h *HSM, k string) error {
			_, err := h.VerifyCryptogram(CryptogramCheck{MasterKey: "good/E0", ENCMasterKey: k, PAN: n, Suite: cryptogram.SuiteTDES})
			return err
		}, []Algorithm{TDES}},
	}
}

// The whole of an issuer's work with a card, in each suite, against the suite itself: cryptogram, answer, issuer data, scripts.
func TestEverySuite(t *testing.T) {
	const master = "0123456789ABCDEFFEDCBA98765432%02d"
	n, pin := mustPAN(t, vectorPAN), mustPIN(t, "123456")
	for _, suite := range allSuites() {
		algorithm := AlgorithmOf(suite)
		h := New(seeded(9))
		var masters cryptogram.CardKeys
		for i, m := range []struct {
			name  string
			usage Usage
			key   *cryptogram.Key
		}{{"ac", UsageEMVAC, &masters.AC}, {"mac", UsageEMVMAC, &masters.MAC}, {"enc", UsageEMVENC, &masters.ENC}} {
			text := fmt.Sprintf(master, 10+i)
			info := importHex(t, h, m.name, m.usage, ModeDerive, algorithm, NotExportable, text)
			var err error
			if *m.key, err = cryptogram.NewKey(unhex(t, text)); err != nil {
				t.Fatal(err)
			}
			if kcv := suite.KCV(*m.key); !bytes.Equal(info.KCV[:3], kcv[:]) {
				t.Errorf("%s: check value %X, the suite says %X", suite.Name(), info.KCV, kcv)
			}
		}
		importHex(t, h, "zone", UsagePINEncryption, ModeBoth, algorithm, NotExportable, vectorPIK)
		if _, err := h.Generate("transport", UsagePersonalization, ModeBoth, AES256, NotExportable); err != nil {
			t.Fatal(err)
		}
		card := suite.CardKeys(masters, n, "01")
		sealed, err := h.SealCardKeys(CardKeyRequest{ACMaster: "ac", MACMaster: "mac", ENCMaster: "enc", Transport: "transport", PAN: n, Sequence: "01", Suite: suite})
		if err != nil {
			t.Fatal(err)
		}
		loader, err := h.CardLoader("transport")
		if err != nil {
			t.Fatal(err)
		}
		if loaded, err := loader.Unseal(sealed, n, "01"); err != nil || loaded != card {
			t.Errorf("%s: the card gets other keys: %v", suite.Name(), err)
		}
		data := []byte("what the card signed")
		ac := suite.Cryptogram(suite.SessionKey(card.AC, 7), data)
		check := CryptogramCheck{MasterKey: "ac", MACMasterKey: "mac", ENCMasterKey: "enc", PAN: n, Sequence: "01", ATC: 7, Data: data, AC: ac, Suite: suite}
		r, err := h.VerifyCryptogram(check)
		if err != nil || !r.OK {
			t.Fatalf("%s: %v, %v", suite.Name(), r, err)
		}
		if got := r.ARPC([2]byte{'0', '0'}); got != suite.ARPC(suite.SessionKey(card.AC, 7), ac, [2]byte{'0', '0'}) {
			t.Errorf("%s: ARPC %X", suite.Name(), got)
		}
		idd := suite.IDDMAC(suite.SessionKey(card.MAC, 7), 7, []byte{0, 0, 1, 0, 0})
		if ok, err := r.VerifyIDD([]byte{0, 0, 1, 0, 0}, idd); err != nil || !ok {
			t.Errorf("%s: issuer data: %t, %v", suite.Name(), ok, err)
		}
		script := suite.Script(card, 7, ac)
		header := [5]byte{0x04, 0xDA, 0x9F, 0x79, 0x0A}
		if got, err := r.ScriptMAC(header, data); err != nil || got != script.MAC(header, data) {
			t.Errorf("%s: script MAC %X, %v", suite.Name(), got, err)
		}
		if got, err := r.EncipherScript(data); err != nil || !bytes.Equal(got, script.Encipher(data)) {
			t.Errorf("%s: enciphered script %X, %v", suite.Name(), got, err)
		}
		next, err := h.SealPIN("zone", pin, n, pinblock.SM4ZeroFilled)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []cryptogram.PINVariant{cryptogram.PINVariantENC, cryptogram.PINVariantAC} {
			got, result, err := h.EncipherPINChange(r, v, "zone", next)
			if err != nil || result != PINOK {
				t.Fatalf("%s: PIN change: %v, %v", suite.Name(), result, err)
			}
			if back, err := script.DecipherPINChange(v, got, pinblock.PIN{}); err != nil || !back.Equal(pin) {
				t.Errorf("%s: the card reads another PIN: %v", suite.Name(), err)
			}
		}
		check.AC[0] ^= 1
		if r, err := h.VerifyCryptogram(check); err != nil || r.OK {
			t.Errorf("%s: a wrong cryptogram: %v, %v", suite.Name(), r, err)
		} else if _, err := r.EncipherScript(data); err == nil {
			t.Errorf("%s: a script after a wrong cryptogram", suite.Name())
		}
	}
}

func TestScriptsNeedTheirKeys(t *testing.T) {
	h, n := everyKey(t), mustPAN(t, vectorPAN)
	suite := cryptogram.SuiteSM4
	card := func(name string, usage Usage) string {
		if _, err := h.Generate(name, usage, ModeDerive, SM4, NotExportable); err != nil {
			t.Fatal(err)
		}
		return name
	}
	check := CryptogramCheck{MasterKey: card("ac", UsageEMVAC), PAN: n, Suite: suite, Data: []byte{1}}
	e, _ := h.find("ac")
	key, err := e.cardKey(suite, n, "")
	if err != nil {
		t.Fatal(err)
	}
	check.AC = suite.Cryptogram(suite.SessionKey(key, 0), check.Data)
	r, err := h.VerifyCryptogram(check)
	if err != nil || !r.OK {
		t.Fatal(err)
	}
	if _, err := r.ScriptMAC([5]byte{}, nil); err == nil {
		t.Error("a script MAC without its master key")
	}
	check.MACMasterKey = card("mac", UsageEMVMAC)
	if r, err = h.VerifyCryptogram(check); err != nil {
		t.Fatal(err)
	}
	if _, err := r.EncipherScript(nil); err == nil || !strings.Contains(err.Error(), "ENC") {
		t.Errorf("enciphering without its master key: %v", err)
	}
	if _, _, err := h.EncipherPINChange(r, cryptogram.PINVariantAC, "good/P0", PINBlock{}); err == nil {
		t.Error("a PIN change without its master key")
	}
	check.ENCMasterKey = card("enc", UsageEMVENC)
	if r, err = h.VerifyCryptogram(check); err != nil {
		t.Fatal(err)
	}
	if _, err := r.EncipherScript(make([]byte, cryptogram.MaxScriptData+1)); err == nil {
		t.Error("too much script data")
	}
	if _, result, err := h.EncipherPINChange(r, cryptogram.PINVariantAC, "good/P0", PINBlock{}); err != nil || result != PINBadFormat {
		t.Errorf("no PIN block: %v, %v", result, err)
	}
	for _, other := range []cryptogram.Suite{cryptogram.SuiteTDES, cryptogram.SuiteAES} {
		check.Suite = other
		if _, err := h.VerifyCryptogram(check); !errors.Is(err, ErrMisuse) {
			t.Errorf("SM4 masters with suite %s: %v", other.Name(), err)
		}
	}
}

// Every pair of zones: what goes in at one side comes out at the other, and nothing else.
func TestTranslateBetweenAllAlgorithms(t *testing.T) {
	h, n, pin := everyKey(t), mustPAN(t, vectorPAN), mustPIN(t, "123456")
	reference, err := h.NewPINReference("good/V0", pin, n)
	if err != nil {
		t.Fatal(err)
	}
	zones := []Algorithm{DES, TDES, AES128, AES256, SM4}
	for _, from := range zones {
		for _, to := range zones {
			for _, layout := range []pinblock.SM4Layout{pinblock.SM4Wide, pinblock.SM4ZeroFilled} {
				source, target := fmt.Sprintf("P0/B/%s", from), fmt.Sprintf("P0/B/%s", to)
				block, err := h.SealPIN(source, pin, n, layout)
				if err != nil {
					t.Fatal(err)
				}
				moved, result, err := h.TranslatePINBlock(source, target, block, n, layout)
				if err != nil || result != PINOK {
					t.Errorf("%v to %v: %v, %v", from, to, result, err)
					continue
				}
				if result, err := h.VerifyPINBlock(target, moved, n, "good/V0", reference); err != nil || result != PINOK {
					t.Errorf("%v to %v: verified %v, %v", from, to, result, err)
				}
				if _, result, err := h.TranslatePINBlock(source, target, PINBlock{}, n, layout); err != nil || result != PINBadFormat {
					t.Errorf("%v to %v, no block: %v, %v", from, to, result, err)
				}
				if result, err := h.VerifyPINBlock(target, moved, mustPAN(t, "6299990000000017"), "good/V0", reference); err != nil || result == PINOK {
					t.Errorf("%v to %v, another account: %v, %v", from, to, result, err)
				}
			}
		}
	}
	if _, err := h.SealPIN("good/P0", pinblock.PIN{}, n, 0); err == nil {
		t.Error("a PIN that does not exist is enciphered")
	}
	wrong, err := h.SealPIN("P0/B/SM4", mustPIN(t, "654321"), n, 0)
	if err != nil {
		t.Fatal(err)
	}
	if result, err := h.VerifyPINBlock("P0/B/SM4", wrong, n, "good/V0", reference); err != nil || result != PINWrong {
		t.Errorf("another PIN: %v, %v", result, err)
	}
	if p := fmt.Sprintf("%v %+v %#v %x", wrong, wrong, wrong, wrong); strings.Count(p, "[redacted]") != 4 {
		t.Errorf("%q", p)
	}
}

// A published sign-on with SM4: the terminal master key, a PIN key under it, and its check value; then the PIN of that example
// (nameidi.com/n/9rd4jp1z.html).
func TestPublishedSM4SignOn(t *testing.T) {
	h := New(seeded(1))
	importHex(t, h, "tmk", UsageKeyEncryption, ModeBoth, SM4, NotExportable, "1234567890ABCDEFABCDEF0987654321")
	wrapped := unhex(t, "3D66234C49E4296FF9C78D8BACBD6A76")
	if err := h.UnwrapUnder("tmk", "pik", UsagePINEncryption, ModeBoth, wrapped, [4]byte(unhex(t, "861E83E3"))); err != nil {
		t.Fatal(err)
	}
	if err := h.UnwrapUnder("tmk", "other", UsagePINEncryption, ModeBoth, wrapped, [4]byte{1}); !errors.Is(err, ErrKCV) {
		t.Errorf("a wrong check value: %v", err)
	}
	for _, n := range []int{0, 8, 15, 24, 32} {
		if err := h.UnwrapUnder("tmk", "other", UsagePINEncryption, ModeBoth, make([]byte, n), [4]byte{}); err == nil || errors.Is(err, ErrKCV) {
			t.Errorf("%d bytes under an SM4 key: %v", n, err)
		}
	}
	number := mustPAN(t, "6230606601007726888")
	block, err := h.SealPIN("pik", mustPIN(t, "123654"), number, pinblock.SM4ZeroFilled)
	if b := block.Wide.Reveal(); err != nil || !bytes.Equal(b[:], unhex(t, "E639B7346D93D4ECE1E991CDCC84936E")) {
		t.Errorf("PIN block %X, %v", b, err)
	}
	importHex(t, h, "clear", UsagePINEncryption, ModeBoth, SM4, Exportable, "F351D490994603795C6EBEE8FAEBB481")
	if got, kcv, err := h.WrapUnder("tmk", "clear"); err != nil || !bytes.Equal(got, wrapped) || kcv != [4]byte(unhex(t, "861E83E3")) {
		t.Errorf("wrapped %X, check value %X, %v", got, kcv, err)
	}
}

func TestKeysOfEverySuiteSurviveTheFile(t *testing.T) {
	h := everyKey(t)
	var file bytes.Buffer
	if err := h.write(&file, []byte("passphrase"), 4); err != nil {
		t.Fatal(err)
	}
	back, err := Read(seeded(2), &file, []byte("passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range h.Names() {
		want, _ := h.Info(name)
		if got, err := back.Info(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
