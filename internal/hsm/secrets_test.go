package hsm

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"tapnet/emv/cryptogram"
	"tapnet/pinblock"
)

// TestCryptogram: V-3 through the HSM, with ARPC (V-5) and the IDD MAC (V-4) computed behind the result.
func TestCryptogram(t *testing.T) {
	h := everyKey(t)
	suite := cryptogram.TDES()
	n := mustPAN(t, vectorPAN)
	entry := h.keys["good/E0"]
	master, _ := cryptogram.NewKey(entry.value)
	data := []byte("what the card signed")
	session := suite.SessionKey(suite.CardKey(master, n, "01"), 0x0240)
	check := CryptogramCheck{MasterKey: "good/E0", MACMasterKey: "good/E2", PAN: n, Sequence: "001", ATC: 0x0240, Data: data,
		AC: suite.Cryptogram(session, data), Suite: suite}
	result, err := h.VerifyCryptogram(check)
	if err != nil || !result.OK {
		t.Fatalf("%v, %v", result, err)
	}
	if got, want := result.ARPC([2]byte{'0', '0'}), suite.ARPC(session, check.AC, [2]byte{'0', '0'}); got != want {
		t.Errorf("ARPC = %x, want %x", got, want)
	}
	macMaster, _ := cryptogram.NewKey(h.keys["good/E2"].value)
	macSession := suite.SessionKey(suite.CardKey(macMaster, n, "01"), 0x0240)
	value := []byte{0, 0, 0, 0x10, 0}
	code := suite.IDDMAC(macSession, 0x0240, value)
	if ok, err := result.VerifyIDD(value, code); !ok || err != nil {
		t.Errorf("IDD MAC: %t, %v", ok, err)
	}
	code[0] ^= 1
	if ok, err := result.VerifyIDD(value, code); ok || err != nil {
		t.Errorf("wrong IDD MAC: %t, %v", ok, err)
	}
	header := [5]byte{0x84, 0x24, 0, 2, 4}
	if got, err := result.ScriptMAC(header, value); err != nil || got != suite.ScriptMAC(macSession, header, 0x0240, check.AC, value) {
		t.Errorf("script MAC: %x, %v", got, err)
	}
	for name, change := range map[string]func(c *CryptogramCheck){
		"cryptogram": func(c *CryptogramCheck) { c.AC[0] ^= 1 },
		"data":       func(c *CryptogramCheck) { c.Data = append([]byte("x"), c.Data...) },
		"counter":    func(c *CryptogramCheck) { c.ATC++ },
		"sequence":   func(c *CryptogramCheck) { c.Sequence = "02" },
		"account":    func(c *CryptogramCheck) { c.PAN = mustPAN(t, "6228000100001118") },
	} {
		changed := check
		change(&changed)
		result, err := h.VerifyCryptogram(changed)
		if err != nil || result.OK {
			t.Errorf("another %s: %v, %v", name, result, err)
		}
		if result.ARPC([2]byte{'0', '0'}) != [8]byte{} {
			t.Errorf("another %s: there is an ARPC", name)
		}
		if _, err := result.VerifyIDD(value, code); err == nil {
			t.Errorf("another %s: the IDD MAC was looked at", name)
		}
	}
	check.MACMasterKey = ""
	result, _ = h.VerifyCryptogram(check)
	if _, err := result.VerifyIDD(value, code); err == nil {
		t.Error("IDD MAC without a master key")
	}
	if _, err := h.VerifyCryptogram(CryptogramCheck{MasterKey: "good/E0"}); err == nil {
		t.Error("a check without suite and account number")
	}
}

// TestVectorCryptogram: the published example [REF V-2 to V-6]: cryptogram, ARPC, IDD MAC and a script MAC from the issuer masters.
func TestVectorCryptogram(t *testing.T) {
	h := New(seeded(6))
	importHex(t, h, "ac", UsageEMVAC, ModeDerive, TDES, NotExportable, "F0C34A8124CEE0A91A0B034AA97D6EAC")
	importHex(t, h, "mac", UsageEMVMAC, ModeDerive, TDES, NotExportable, "12B1AC4AF070CC35612BFE2D30AB600D")
	data := "000000000001" + "000000000000" + "0156" + "0080046000" + "0156" + "140701" + "00" + "1E78EEBC" + "7D00" + "0240" + "03A04002"
	result, err := h.VerifyCryptogram(CryptogramCheck{MasterKey: "ac", MACMasterKey: "mac", PAN: mustPAN(t, "6228000100001"), Sequence: "01",
		ATC: 0x0240, Data: unhex(t, data), AC: [8]byte(unhex(t, "5D016C91005E7CC2")), Suite: cryptogram.TDES()})
	if err != nil || !result.OK {
		t.Fatalf("%v, %v", result, err)
	}
	if arpc := result.ARPC([2]byte{'0', '0'}); hex.EncodeToString(arpc[:]) != "c01b237749040e2b" {
		t.Errorf("ARPC = %x", arpc)
	}
	if ok, err := result.VerifyIDD(unhex(t, "0000001000"), [4]byte(unhex(t, "D1F61152"))); !ok || err != nil {
		t.Errorf("IDD MAC: %t, %v", ok, err)
	}
	header := [5]byte(unhex(t, "04DA9F790A"))
	if code, err := result.ScriptMAC(header, unhex(t, "000000010000")); err != nil || hex.EncodeToString(code[:]) != "8d410252" {
		t.Errorf("script MAC = %x, %v", code, err)
	}
}

// TestPIN: verification and translation, and what a wrong key, account or block gives.
func TestPIN(t *testing.T) {
	h := everyKey(t)
	n, other := mustPAN(t, vectorPAN), mustPAN(t, "6228000100002225")
	if _, err := h.Generate("zone/2", UsagePINEncryption, ModeBoth, TDES, NotExportable); err != nil {
		t.Fatal(err)
	}
	block := func(pin string) pinblock.Block {
		b, err := h.EncipherPIN("good/P0", pinblock.Format0(mustPIN(t, pin), n))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	reference, err := h.NewPINReference("good/V0", mustPIN(t, "123456"), n)
	if err != nil {
		t.Fatal(err)
	}
	if got, result, err := h.PINReference("good/V0", "good/P0", block("123456"), n); got != reference || result != PINOK || err != nil {
		t.Errorf("reference from a block: %v, %v", result, err)
	}
	if again, _ := h.NewPINReference("good/V0", mustPIN(t, "123456"), other); again == reference {
		t.Error("two cards with one PIN have one reference")
	}
	translated, result, err := h.TranslatePIN("good/P0", "zone/2", block("123456"), n)
	if err != nil || result != PINOK || translated.Equal(block("123456")) {
		t.Fatalf("translation: %v, %v", result, err)
	}
	noPAN, _ := h.EncipherPIN("good/P0", pinblock.FormatWithoutPAN(mustPIN(t, "123456")))
	for name, v := range map[string]struct {
		key   string
		block pinblock.Block
		want  PINResult
	}{
		"right":      {"good/P0", block("123456"), PINOK},
		"translated": {"zone/2", translated, PINOK},
		"wrong":      {"good/P0", block("123457"), PINWrong},
		"shorter":    {"good/P0", block("12345"), PINWrong},
		"other key":  {"zone/2", block("123456"), PINBadFormat},
		"no PAN":     {"good/P0", noPAN, PINBadFormat},
	} {
		if got, err := h.VerifyPIN(v.key, v.block, n, "good/V0", reference); got != v.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", name, got, err, v.want)
		}
	}
	if got, err := h.VerifyPIN("good/P0", block("123456"), other, "good/V0", reference); got == PINOK || err != nil {
		t.Errorf("another account: %v, %v", got, err)
	}
	if b, result, err := h.TranslatePIN("zone/2", "good/P0", block("123456"), n); result != PINBadFormat || err != nil || !b.IsZero() {
		t.Errorf("translating what is no PIN block: %v, %v", result, err)
	}
}

// TestSealing: what was sealed opens only with its key, its context and unaltered.
func TestSealing(t *testing.T) {
	h := everyKey(t)
	if _, err := h.Generate("other", UsageData, ModeBoth, AES256, NotExportable); err != nil {
		t.Fatal(err)
	}
	n := mustPAN(t, vectorPAN)
	a, _ := h.SealPAN("good/D0", n)
	b, _ := h.SealPAN("good/D0", n)
	long, _ := h.SealPAN("good/D0", mustPAN(t, "6299990000000000017"))
	if bytes.Equal(a, b) || len(a) != len(long) {
		t.Error("sealed account numbers can be compared")
	}
	if got, err := h.OpenPAN("good/D0", a); err != nil || got.Reveal() != vectorPAN {
		t.Errorf("opened %v, %v", got, err)
	}
	if _, err := h.OpenPAN("other", a); !errors.Is(err, ErrSealed) {
		t.Errorf("another key: %v", err)
	}
	if _, err := h.OpenData("good/D0", "tapnet pan 1", a); !errors.Is(err, ErrSealed) {
		t.Errorf("another use: %v", err)
	}
	for i := range a {
		a[i] ^= 0x80
		if _, err := h.OpenPAN("good/D0", a); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
		a[i] ^= 0x80
	}
	data, _ := h.SealData("good/D0", "card 1", []byte("image"))
	if got, err := h.OpenData("good/D0", "card 1", data); err != nil || string(got) != "image" {
		t.Errorf("opened %q, %v", got, err)
	}
	if _, err := h.OpenData("good/D0", "card 2", data); !errors.Is(err, ErrSealed) {
		t.Errorf("another context: %v", err)
	}
	if _, err := h.SealData("good/D0", "big", make([]byte, MaxSealedBytes+1)); err == nil {
		t.Error("sealed more than the limit")
	}
	one, _ := h.PANFingerprint("good/M7", n)
	two, _ := h.PANFingerprint("good/M7", n)
	three, _ := h.PANFingerprint("good/M7", mustPAN(t, "6228000100002225"))
	if one != two || one == three {
		t.Error("fingerprints do not tell account numbers apart")
	}
}

// TestCardKeys: sealed card keys open on the card's side into the keys the issuer will derive, for that card only.
func TestCardKeys(t *testing.T) {
	h := everyKey(t)
	n := mustPAN(t, vectorPAN)
	suite := cryptogram.TDES()
	sealed, err := h.SealCardKeys(CardKeyRequest{ACMaster: "good/E0", MACMaster: "good/E2", ENCMaster: "good/E1", Transport: "good/E5",
		PAN: n, Sequence: "01", Suite: suite})
	if err != nil {
		t.Fatal(err)
	}
	inside, err := h.CardLoader("good/E5")
	if err != nil {
		t.Fatal(err)
	}
	outside, err := NewCardLoader(h.keys["good/E5"].value)
	if err != nil {
		t.Fatal(err)
	}
	for _, loader := range []*CardLoader{inside, outside} {
		keys, err := loader.Unseal(sealed, n, "001")
		if err != nil {
			t.Fatal(err)
		}
		for usage, got := range map[Usage]cryptogram.Key{UsageEMVAC: keys.AC, UsageEMVMAC: keys.MAC, UsageEMVENC: keys.ENC} {
			master, _ := cryptogram.NewKey(h.keys["good/"+string(usage)].value)
			if !got.Equal(suite.CardKey(master, n, "01")) {
				t.Errorf("%s: not the derived key", usage)
			}
		}
	}
	if _, err := inside.Unseal(sealed, n, "02"); !errors.Is(err, ErrSealed) {
		t.Errorf("another sequence: %v", err)
	}
	if _, err := inside.Unseal(sealed, mustPAN(t, "6228000100002225"), "01"); !errors.Is(err, ErrSealed) {
		t.Errorf("another card: %v", err)
	}
	if _, err := NewCardLoader(make([]byte, 16)); err == nil {
		t.Error("a transport key of 16 bytes")
	}
}

// TestNothingPrintsKeys prints every value and error this package gives out, under every verb, and looks for key bytes in them.
func TestNothingPrintsKeys(t *testing.T) {
	h := everyKey(t)
	n := mustPAN(t, vectorPAN)
	suite := cryptogram.TDES()
	master, _ := cryptogram.NewKey(h.keys["good/E0"].value)
	session := suite.SessionKey(suite.CardKey(master, n, "01"), 1)
	result, err := h.VerifyCryptogram(CryptogramCheck{MasterKey: "good/E0", MACMasterKey: "good/E2", PAN: n, Sequence: "01", ATC: 1,
		AC: suite.Cryptogram(session, nil), Suite: suite})
	if err != nil || !result.OK {
		t.Fatal(result, err)
	}
	loader, _ := h.CardLoader("good/E5")
	sealed, _ := h.SealCardKeys(CardKeyRequest{ACMaster: "good/E0", MACMaster: "good/E2", ENCMaster: "good/E1", Transport: "good/E5",
		PAN: n, Sequence: "01", Suite: suite})
	keys, _ := loader.Unseal(sealed, n, "01")
	reference, _ := h.NewPINReference("good/V0", mustPIN(t, "123456"), n)
	type around struct {
		inner  CryptogramResult
		loader *CardLoader
		h      *HSM
	}
	values := []any{h, result, &result, loader, keys, &keys, around{result, loader, h}, h.keys, h.keys["good/E0"],
		[]any{h, result, loader, keys}, reference}
	for _, name := range h.Names() {
		info, _ := h.Info(name)
		values = append(values, info)
		for _, op := range operations(t) {
			values = append(values, op.run(h, name))
		}
	}
	_, _, err = h.WrapUnder("good/K0", "E0/X/TDES")
	values = append(values, err, h.UnwrapUnder("good/K0", "x", UsageMACX99, ModeVerify, make([]byte, 16), [4]byte{1}))
	var printed bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&printed, nil))
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&printed, verb, v)
		}
		if j, err := json.Marshal(v); err == nil {
			printed.Write(j)
		}
		logger.Info("value", "v", v)
	}
	secrets := [][]byte{}
	for _, e := range h.keys {
		secrets = append(secrets, e.value)
	}
	for _, k := range []cryptogram.Key{session, keys.AC, keys.MAC, keys.ENC} {
		b := k.Reveal()
		secrets = append(secrets, b[:])
	}
	lower := strings.ToLower(printed.String())
	for _, secret := range secrets {
		part := secret[:8]
		for form, text := range map[string]string{
			"raw": string(part), "hex": hex.EncodeToString(part), "decimal": strings.Trim(fmt.Sprint(part), "[]"),
			"go":     strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}"),
			"base64": base64.StdEncoding.EncodeToString(part)[:10], "comma": strings.ReplaceAll(strings.Trim(fmt.Sprint(part), "[]"), " ", ","),
		} {
			if strings.Contains(lower, strings.ToLower(text)) {
				at := strings.Index(lower, strings.ToLower(text))
				t.Errorf("a key is printed, as %s: %.40q", form, lower[max(0, at-200):at])
			}
		}
	}
	t.Logf("%d values, %d bytes printed, %d keys looked for", len(values), printed.Len(), len(secrets))
	if strings.Contains(printed.String(), vectorPAN) {
		t.Error("an account number is printed")
	}
}

// TestConcurrentUse is for the race detector: operations, key changes and listing at the same time.
func TestConcurrentUse(t *testing.T) {
	h := everyKey(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				if _, err := h.MAC("good/M1", X99CBC, []byte("data")); err != nil {
					t.Error(err)
				}
				if _, err := h.Replace("good/M1"); err != nil {
					t.Error(err)
				}
				_ = h.Names()
			}
		})
	}
	group.Wait()
}
