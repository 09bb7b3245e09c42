package hsm

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tapnet/pan"
	"tapnet/pinblock"
)

func vaultNumber(t testing.TB, prefix string) pan.Number {
	t.Helper()
	n, err := pan.CompleteLuhn(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVaultSealsForOneRecordOnly(t *testing.T) {
	v, _, err := NewVault(rand.Reader, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	first, err := v.NewDataKey("bank", 1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := v.NewDataKey("bank", 2)
	if err != nil {
		t.Fatal(err)
	}
	n, name := vaultNumber(t, "629999100000001"), [16]byte{1}
	sealed, err := v.SealNumber(first, name, n)
	if err != nil || len(sealed) != SealedPANBytes || bytes.Contains(sealed, []byte(n.Reveal()[:6])) {
		t.Fatalf("%d bytes, %v", len(sealed), err)
	}
	if got, err := v.OpenNumber(first, name, sealed); err != nil || !got.Equal(n) {
		t.Fatal(got, err)
	}
	other := first
	other.Tenant = "other bank"
	for what, try := range map[string]func() error{
		"another name":   func() error { _, err := v.OpenNumber(first, [16]byte{2}, sealed); return err },
		"another epoch":  func() error { _, err := v.OpenNumber(second, name, sealed); return err },
		"another tenant": func() error { _, err := v.OpenNumber(other, name, sealed); return err },
		"cut short":      func() error { _, err := v.OpenNumber(first, name, sealed[:20]); return err },
	} {
		if err := try(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	moved, err := v.ResealNumber(first, second, name, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.OpenNumber(second, name, moved); err != nil || !got.Equal(n) {
		t.Fatal(got, err)
	}
	if _, err := v.ResealNumber(first, other, name, sealed); !errors.Is(err, ErrMisuse) {
		t.Error("moved to another tenant", err)
	}
}

func TestVaultNeedsItsCustodians(t *testing.T) {
	v, shares, err := NewVault(rand.Reader, 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	key, err := v.NewDataKey("bank", 1)
	if err != nil {
		t.Fatal(err)
	}
	n := vaultNumber(t, "629999100000001")
	sealed, err := v.SealNumber(key, [16]byte{1}, n)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LockedVault(rand.Reader, v.Quorum())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.OpenNumber(key, [16]byte{1}, sealed); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	present := func(s Share) (int, error) {
		parsed, err := ParseShare(s.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		return again.Present(parsed)
	}
	for i, want := range []int{1, 2, 2} {
		if have, err := present(shares[[]int{4, 1, 1}[i]]); have != want || err != nil || again.Unlocked() {
			t.Fatalf("share %d: %d, %v", i, have, err)
		}
	}
	wrong := Share{number: 3, value: make([]byte, 32)}
	if _, err := present(wrong); !errors.Is(err, ErrShares) || again.Unlocked() {
		t.Fatal("a wrong share unlocked the vault", err)
	}
	for _, at := range []int{0, 2, 4} {
		if _, err := present(shares[at]); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := again.OpenNumber(key, [16]byte{1}, sealed); err != nil || !got.Equal(n) {
		t.Fatal(got, err)
	}
	again.Lock()
	if _, err := again.SealNumber(key, [16]byte{1}, n); !errors.Is(err, ErrLocked) || again.Unlocked() {
		t.Error(err)
	}
}

func TestAnyQuorumOfSharesGivesTheKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.IntRange(2, 8).Draw(t, "of")
		need := rapid.IntRange(2, of).Draw(t, "need")
		secret := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")
		shares, err := splitSecret(rand.Reader, secret, need, of)
		if err != nil {
			t.Fatal(err)
		}
		chosen := map[byte]Share{}
		for _, s := range rapid.Permutation(shares).Draw(t, "order")[:need] {
			chosen[s.number] = s
		}
		if !bytes.Equal(combineShares(chosen), secret) {
			t.Fatal("another key")
		}
		for number := range chosen {
			delete(chosen, number)
			break
		}
		if bytes.Equal(combineShares(chosen), secret) {
			t.Fatal("one share too few gives the key")
		}
	})
}

func TestVaultRefusals(t *testing.T) {
	for _, q := range [][2]int{{0, 0}, {1, 1}, {1, 5}, {3, 2}, {2, MaxCustodians + 1}} {
		if _, _, err := NewVault(rand.Reader, q[0], q[1]); err == nil {
			t.Errorf("%d of %d", q[0], q[1])
		}
		if _, err := LockedVault(rand.Reader, Quorum{Need: q[0], Of: q[1]}); err == nil {
			t.Errorf("locked, %d of %d", q[0], q[1])
		}
	}
	for _, text := range []string{"", "zz", "01", "00" + strings.Repeat("11", 32), "01" + strings.Repeat("11", 31)} {
		if _, err := ParseShare(text); !errors.Is(err, ErrShares) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestVaultPrintsNothing(t *testing.T) {
	v, shares, err := NewVault(rand.Reader, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"v": v, "s": shares[0]})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %v %+v %#v", v, v, v, text, shares[0], shares, shares[0])
	if strings.Contains(all, shares[0].Reveal()[2:10]) || strings.Contains(all, fmt.Sprintf("%x", v.key.value[:4])) {
		t.Error(all)
	}
}

func TestRebindPIN(t *testing.T) {
	h := New(rand.Reader)
	for _, name := range []string{"switch", "to"} {
		if _, err := h.Generate(name, UsagePINEncryption, ModeBoth, TDES, NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	token, number := vaultNumber(t, "629998110000001"), vaultNumber(t, "629999100000001")
	pin, err := pinblock.ParsePIN("1234")
	if err != nil {
		t.Fatal(err)
	}
	block, err := h.EncipherPIN("switch", pinblock.Format0(pin, token))
	if err != nil {
		t.Fatal(err)
	}
	bound, result, err := h.RebindPIN("switch", "to", block, token, number)
	if err != nil || result != PINOK {
		t.Fatal(result, err)
	}
	want, err := h.EncipherPIN("to", pinblock.Format0(pin, number))
	if err != nil || bound.Reveal() != want.Reveal() {
		t.Error("not the block of the account number", err)
	}
	if _, result, err := h.RebindPIN("switch", "to", block, number, token); result != PINBadFormat || err != nil {
		t.Error("a block of another number was taken", result, err)
	}
	if _, _, err := h.RebindPIN("switch", "to", block, token, token); err == nil {
		t.Error("bound to the token again")
	}
	if _, err := h.Generate("hmac", UsageHMAC, ModeGenerateVerify, HMAC, NotExportable); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.RebindPIN("hmac", "to", block, token, number); !errors.Is(err, ErrMisuse) {
		t.Error(err)
	}
}

func TestTokenDigits(t *testing.T) {
	h := New(rand.Reader)
	for name, a := range map[string]Algorithm{"t": AES256, "m": HMAC} {
		usage, mode := UsageTokenization, ModeBoth
		if a == HMAC {
			usage, mode = UsageHMAC, ModeGenerateVerify
		}
		if _, err := h.Generate(name, usage, mode, a, NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	belongs := func(s string) bool { return s[0] != '9' }
	hidden, err := h.EncipherDigits("t", []byte("x"), "0000000017", belongs)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := h.DecipherDigits("t", []byte("x"), hidden, belongs); err != nil || back != "0000000017" {
		t.Error(back, err)
	}
	if _, err := h.EncipherDigits("m", nil, "0000000017", belongs); !errors.Is(err, ErrMisuse) {
		t.Error(err)
	}
	n := vaultNumber(t, "629999100000001")
	one, err := h.HashDigits("m", []byte("a"), n, 9)
	two, err2 := h.HashDigits("m", []byte("b"), n, 9)
	same, err3 := h.HashDigits("m", []byte("a"), n, 9)
	if err != nil || err2 != nil || err3 != nil || one == two || one != same || len(one) != 9 {
		t.Error(one, two, same, err, err2, err3)
	}
	if _, err := h.HashDigits("m", nil, n, 20); err == nil {
		t.Error("too many digits")
	}
	if digits, err := h.RandomDigits(40); err != nil || len(digits) != 40 || strings.Trim(digits, "0123456789") != "" {
		t.Error(digits, err)
	}
	covered, err := h.CoverNumber("t", 3, 77)
	if err != nil {
		t.Fatal(err)
	}
	if k, found, err := h.UncoverNumber("t", 3, covered); k != 77 || !found || err != nil {
		t.Error(k, found, err)
	}
	for _, kind := range []byte{0, 2} {
		if _, found, _ := h.UncoverNumber("t", kind, covered); found {
			t.Error("found under another kind")
		}
	}
	covered[3] ^= 1
	if _, found, _ := h.UncoverNumber("t", 3, covered); found {
		t.Error("found what nobody made")
	}
}
