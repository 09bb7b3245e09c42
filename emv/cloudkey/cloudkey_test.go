package cloudkey

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
)

const token, device = "tok-1", "device-1"

func stream(t testing.TB, seed byte) *rand.ChaCha8 {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with seed %d", seed)
		}
	})
	return rand.NewChaCha8([32]byte{seed})
}

func ephemeral(t testing.TB, seed byte) *ecdh.PrivateKey {
	t.Helper()
	key, err := NewEphemeral(stream(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func secret(b byte) Secret { return Secret{[SecretBytes]byte(bytes.Repeat([]byte{b}, SecretBytes))} }

func cardKey(t testing.TB) cryptogram.Key {
	t.Helper()
	key, err := cryptogram.NewKey([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func material(t testing.TB) Material {
	return Material{
		Master:   CardKeyMaster(cryptogram.SuiteTDES, cardKey(t)),
		Binding:  func(c Class) Secret { return BindingKey(secret(7), device, token, c) },
		Password: secret(9), Ephemeral: ephemeral(t, 1),
	}
}

func order(t testing.TB, change func(*Order)) (Order, *ecdh.PrivateKey) {
	t.Helper()
	private := ephemeral(t, 2)
	o := Order{
		Scheme: SchemeQCK1, Token: token, BSEQ: 3, ServerTime: 1_795_000_000, Ratchet: secret(5), Device: private.PublicKey().Bytes(),
		Thresholds: Thresholds{RefillAt: 3, RefillPercent: 70, ArmSeconds: 60, Taps: 10, Amount: 100_000},
		Keys: []Key{
			{ATC: 11, Uses: 1, Class: ClassDevice, NotAfter: 1_795_600_000}, {ATC: 12, Uses: 1, Class: ClassPassword, NotAfter: 1_795_600_000},
			{ATC: 14, Uses: 1, Class: ClassOpen, NotAfter: 1_795_600_000},
		},
	}
	if change != nil {
		change(&o)
	}
	return o, private
}

func TestBatchReachesTheDevice(t *testing.T) {
	o, private := order(t, nil)
	m := material(t)
	sealed, err := Seal(o, m)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseBatch(sealed.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := read.Open(PrivateAgreement(private), o.Device)
	if err != nil {
		t.Fatal(err)
	}
	if opened.Ratchet != o.Ratchet || read.BSEQ != o.BSEQ || read.Thresholds != o.Thresholds || read.Digest() != sealed.Digest() {
		t.Errorf("batch changed on the way: %v", read)
	}
	for i, masked := range opened.Masked {
		k := read.Keys[i]
		key := Mask(masked, MaskCode(m.Binding(k.Class), token, k.ATC, k.Class, m.Password))
		if want := m.Master.SessionKey(k.ATC); !key.Equal(want) {
			t.Errorf("key of counter %d is another one", k.ATC)
		}
		wrong := Mask(masked, MaskCode(m.Binding(k.Class), token, k.ATC, k.Class, secret(1)))
		if got := wrong.Equal(m.Master.SessionKey(k.ATC)); got == (k.Class == ClassPassword) {
			t.Errorf("counter %d, %v: a wrong password gives the right key: %t", k.ATC, k.Class, got)
		}
	}
	if read.Count(true) != 2 || read.Count(false) != 1 {
		t.Errorf("%d and %d taps", read.Count(true), read.Count(false))
	}
	again, err := Seal(o, m)
	if err != nil || !bytes.Equal(again.Bytes(), sealed.Bytes()) {
		t.Errorf("the same order with the same ephemeral key gives another batch: %v", err)
	}
}

func TestBatchForAnotherDeviceOrChanged(t *testing.T) {
	o, private := order(t, nil)
	sealed, err := Seal(o, material(t))
	if err != nil {
		t.Fatal(err)
	}
	other := ephemeral(t, 9)
	if _, err := sealed.Open(PrivateAgreement(other), other.PublicKey().Bytes()); !errors.Is(err, ErrNotAuthentic) {
		t.Errorf("another device opens it: %v", err)
	}
	for at := range sealed.Bytes() {
		wire := bytes.Clone(sealed.Bytes())
		wire[at] ^= 1
		b, err := ParseBatch(wire)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		if _, err := b.Open(PrivateAgreement(private), o.Device); !errors.Is(err, ErrNotAuthentic) {
			t.Errorf("byte %d changed, and the batch opens: %v", at, err)
		}
	}
	for cut := range sealed.Bytes() {
		if _, err := ParseBatch(sealed.Bytes()[:cut]); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if _, err := ParseBatch(append(bytes.Clone(sealed.Bytes()), 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte behind it: %v", err)
	}
	if _, err := ParseBatch(make([]byte, MaxBatchBytes+1)); !errors.Is(err, ErrFormat) {
		t.Errorf("too long: %v", err)
	}
}

func TestImpossibleOrders(t *testing.T) {
	index := Index{Year: 6, Hour: 7803, Counter: 12}
	for name, change := range map[string]func(*Order){
		"no keys":             func(o *Order) { o.Keys = nil },
		"too many keys":       func(o *Order) { o.Keys = make([]Key, MaxKeys+1) },
		"counter 0":           func(o *Order) { o.Keys[0].ATC = 0 },
		"counter twice":       func(o *Order) { o.Keys[1].ATC = 11 },
		"counters backwards":  func(o *Order) { o.Keys[2].ATC = 5 },
		"last counter":        func(o *Order) { o.Keys[2].ATC = LastATC + 1 },
		"two uses":            func(o *Order) { o.Keys[1].Uses = 2 },
		"no uses":             func(o *Order) { o.Keys[1].Uses = 0 },
		"class":               func(o *Order) { o.Keys[1].Class = 3 },
		"dead on arrival":     func(o *Order) { o.Keys[1].NotAfter = o.ServerTime },
		"index":               func(o *Order) { o.Keys[1].Index = index },
		"limited-use, none":   func(o *Order) { o.Scheme = SchemeLUK },
		"scheme":              func(o *Order) { o.Scheme = 9 },
		"token":               func(o *Order) { o.Token = "a token" },
		"no token":            func(o *Order) { o.Token = "" },
		"long token":          func(o *Order) { o.Token = strings.Repeat("t", MaxRefBytes+1) },
		"number 0":            func(o *Order) { o.BSEQ = 0 },
		"number":              func(o *Order) { o.BSEQ = MaxBSEQ + 1 },
		"time":                func(o *Order) { o.ServerTime = -1 },
		"no ratchet":          func(o *Order) { o.Ratchet = Secret{} },
		"percent":             func(o *Order) { o.Thresholds.RefillPercent = 101 },
		"percent 0":           func(o *Order) { o.Thresholds.RefillPercent = 0 },
		"armed for ever":      func(o *Order) { o.Thresholds.ArmSeconds = MaxArmSeconds + 1 },
		"armed for no time":   func(o *Order) { o.Thresholds.ArmSeconds = 0 },
		"negative cap":        func(o *Order) { o.Thresholds.Amount = -1 },
		"device point":        func(o *Order) { o.Device = o.Device[:64] },
		"device not on curve": func(o *Order) { o.Device = append([]byte{4}, make([]byte, 64)...) },
		"limited-use, too many": func(o *Order) {
			o.Scheme, o.Keys = SchemeLUK, []Key{{ATC: 1, Uses: MaxLUKUses + 1, NotAfter: o.ServerTime + 1, Index: index}}
		},
		"too many taps": func(o *Order) {
			o.Scheme, o.Keys = SchemeLUK, nil
			for i := range 3 {
				o.Keys = append(o.Keys, Key{ATC: uint16(1 + 32*i), Uses: 32, NotAfter: o.ServerTime + 1, Index: index}) //nolint:gosec // small
			}
		},
	} {
		o, _ := order(t, change)
		if _, err := Seal(o, material(t)); !errors.Is(err, ErrFormat) && !errors.Is(err, ErrNotAuthentic) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o, _ := order(t, nil)
	m := material(t)
	m.Password = Secret{}
	if _, err := Seal(o, m); !errors.Is(err, ErrFormat) {
		t.Errorf("password class without a verifier: %v", err)
	}
}

// TestLimitedUse: the second scheme through the same batch, one key for several counters.
func TestLimitedUse(t *testing.T) {
	index := Index{Year: 6, Hour: 7803, Counter: 12}
	o, private := order(t, func(o *Order) {
		o.Scheme, o.Keys = SchemeLUK, []Key{{ATC: 40, Uses: 10, Class: ClassDevice, NotAfter: o.ServerTime + 1000, Index: index}}
	})
	m := material(t)
	sealed, err := Seal(o, m)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseBatch(sealed.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := read.Open(PrivateAgreement(private), o.Device)
	if err != nil {
		t.Fatal(err)
	}
	k := read.Keys[0]
	key := Mask(opened.Masked[0], MaskCode(m.Binding(k.Class), token, k.ATC, k.Class, Secret{}))
	data := []byte("what a cryptogram covers")
	ac := LUK.Cryptogram(cryptogram.SuiteTDES, key, data)
	if ok, err := Verify(LUK, m.Master, k.Slot(), cryptogram.SuiteTDES, data, ac); !ok || err != nil {
		t.Errorf("server does not agree: %v", err)
	}
	if ok, _ := Verify(LUK, m.Master, Slot{ATC: 40, Index: Index{Year: 6, Hour: 7804, Counter: 12}}, cryptogram.SuiteTDES, data, ac); ok {
		t.Error("the key of another hour gives the same cryptogram")
	}
	if _, err := Verify(LUK, m.Master, Slot{ATC: 40}, cryptogram.SuiteTDES, data, ac); err == nil {
		t.Error("a limited-use key without index")
	}
	if _, err := QCK1.Derive(m.Master, k.Slot()); !errors.Is(err, ErrScheme) {
		t.Errorf("index under QCK-1: %v", err)
	}
	for atc, want := range map[uint16]bool{39: false, 40: true, 49: true, 50: false} {
		if k.Serves(atc) != want {
			t.Errorf("counter %d is served: %t", atc, !want)
		}
	}
}

func TestIndex(t *testing.T) {
	at := IndexAt(time.Date(2026, 11, 22, 3, 30, 0, 0, time.UTC), 12)
	if at != (Index{6, 7803, 12}) || at.String() != "6 7803 12" || at.Packed() != [4]byte{0x06, 0x78, 0x03, 0x12} {
		t.Errorf("%v, %X", at, at.Packed())
	}
	for _, last := range []time.Time{time.Date(2028, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2029, 12, 31, 23, 0, 0, 0, time.UTC)} {
		if err := IndexAt(last, 99).Check(); err != nil {
			t.Error(err)
		}
	}
	for _, wrong := range [][4]byte{{0x10, 0, 0, 1}, {0x0A, 0, 0, 1}, {0, 0x87, 0x84, 1}, {0, 0x99, 0x99, 1}, {6, 0x78, 0x03, 0}, {6, 0x78, 0x0F, 1}} {
		if i, err := ParseIndex(wrong); !errors.Is(err, ErrFormat) {
			t.Errorf("%X is index %v, %v", wrong, i, err)
		}
	}
}

func TestPIN(t *testing.T) {
	for _, wrong := range []string{"", "123456789", "12a4", "１２３４"} {
		if _, err := UnlockWithPIN(cardKey(t), wrong); !errors.Is(err, ErrFormat) {
			t.Errorf("%d characters: %v", len(wrong), err)
		}
	}
}

func evidence() IAD {
	cvr := emv.NewCVR()
	cvr.SetFirst(emv.ARQC)
	return IAD{DKI: 1, CVN: 1, CVR: cvr, Algorithm: 1, Tag: [7]byte{1, 2, 3, 4, 5, 6, 7},
		Evidence: Evidence{BSEQ: 0x010203, CVM: CVMTypeFace, CVMAge: 3, Risk: RiskClock, Latency: 9}}
}

func TestIssuerData(t *testing.T) {
	iad := evidence()
	b := iad.AppendTo(nil)
	if want := "07010103A00000010FE1010203030304" + "0901020304050607"; fmt.Sprintf("%X", b) != want {
		t.Errorf("%X, want %s", b, want)
	}
	if b[IADCVMAgeAt] != 3 || b[IADLatencyAt] != 9 || b[IADTagAt] != 1 || len(b) != IADBytes {
		t.Error("offsets are wrong")
	}
	back, err := ParseIAD(b)
	if err != nil || back != iad {
		t.Errorf("%+v, %v", back, err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"a card's": func([]byte) []byte {
			return []byte("\x07\x01\x01\x03\xA0\x00\x00\x01\x0A\x01\x00\x00\x00\x10\x00\xD1\xF6\x11\x52")
		},
		"bare":      func(b []byte) []byte { return b[:8] },
		"cut":       func(b []byte) []byte { return b[:23] },
		"longer":    func(b []byte) []byte { return append(b, 0) },
		"other id":  func(b []byte) []byte { b[9] = 0xE2; return b },
		"CVM type":  func(b []byte) []byte { b[13] = 5; return b },
		"CVR":       func(b []byte) []byte { b[3] = 4; return b },
		"IDD short": func(b []byte) []byte { b[8] = 0x0A; return b },
		"nothing":   func([]byte) []byte { return nil },
		"long, id 03": func(b []byte) []byte {
			b[9] = emv.IDDBalanceAndCTTA
			return b
		},
	} {
		if got, err := ParseIAD(change(bytes.Clone(b))); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestUnits(t *testing.T) {
	for millis, want := range map[int64]byte{-5: 0, 0: 0, 1999: 0, 2000: 1, 30_000: 15, 1 << 60: 255} {
		if got := CVMAge(millis); got != want {
			t.Errorf("age %d ms: %d, want %d", millis, got, want)
		}
	}
	for nanos, want := range map[int64]byte{-1: 0, 3_999_999: 0, 4_000_000: 1, 500_000_000: 125, 2_000_000_000: 255} {
		if got := Latency(nanos); got != want {
			t.Errorf("latency %d ns: %d, want %d", nanos, got, want)
		}
	}
}

// TestTagCoversEverything: each field of the tag's input, the token and the key change it.
func TestTagCoversEverything(t *testing.T) {
	key, in := secret(3), TagInput{ATC: 5}
	tag := DeviceTag(key, token, in)
	if !CheckTag(key, token, in, tag) {
		t.Fatal("tag does not verify")
	}
	for name, change := range map[string]func(*TagInput){
		"counter": func(i *TagInput) { i.ATC++ }, "random": func(i *TagInput) { i.UnpredictableNumber[3]++ }, "amount": func(i *TagInput) { i.Amount[0]++ },
		"currency": func(i *TagInput) { i.Currency[1]++ }, "batch": func(i *TagInput) { i.BSEQ++ }, "type": func(i *TagInput) { i.CVM++ },
		"age": func(i *TagInput) { i.CVMAge++ }, "risk": func(i *TagInput) { i.Risk++ }, "latency": func(i *TagInput) { i.Latency++ },
		"cryptogram": func(i *TagInput) { i.Cryptogram[7]++ },
	} {
		changed := in
		change(&changed)
		if CheckTag(key, token, changed, tag) {
			t.Errorf("%s is not covered", name)
		}
	}
	if CheckTag(key, token+"2", in, tag) || CheckTag(secret(4), token, in, tag) {
		t.Error("token or key does not count")
	}
	if n := testing.AllocsPerRun(100, func() { tag = DeviceTag(key, token, in) }); n != 0 {
		t.Errorf("a tag allocates %v times", n)
	}
}

func TestRequests(t *testing.T) {
	private := signingKey(t)
	sign := func(body []byte) Signed {
		digest := sha256.Sum256(body)
		signature, err := private.Sign(nil, digest[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		return Signed{Body: body, Signature: signature}
	}
	q := ReplenishRequest{Token: token, Device: device, BSEQ: 4, Ratchet: secret(5), Nonce: [NonceBytes]byte{1},
		Used: []Use{{7, UseAnswered}, {9, UseArmed}}, Attestation: "{}"}
	wire := sign(q.Bytes()).Bytes()
	got, signed, err := ParseReplenish(wire)
	if err != nil || !signed.By(&private.PublicKey) || !bytes.Equal(got.Bytes(), q.Bytes()) {
		t.Errorf("%v, %v", got, err)
	}
	c := ConfirmRequest{Token: token, Device: device, BSEQ: 5, Batch: [32]byte{9}}
	confirm := sign(c.Bytes()).Bytes()
	if back, signed, err := ParseConfirm(confirm); err != nil || back != c || !signed.By(&private.PublicKey) {
		t.Errorf("%v, %v", back, err)
	}
	if _, _, err := ParseConfirm(wire); !errors.Is(err, ErrFormat) {
		t.Errorf("a request is taken for a confirmation: %v", err)
	}
	if _, _, err := ParseReplenish(confirm); !errors.Is(err, ErrFormat) {
		t.Errorf("a confirmation is taken for a request: %v", err)
	}
	for at := range wire {
		changed := bytes.Clone(wire)
		changed[at] ^= 1
		if _, signed, err := ParseReplenish(changed); err == nil && signed.By(&private.PublicKey) {
			t.Errorf("byte %d is not covered by the signature", at)
		}
		if _, _, err := ParseReplenish(wire[:at]); !errors.Is(err, ErrFormat) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
	if signed.By(nil) {
		t.Error("nobody signed")
	}
	q.Used = make([]Use, MaxUses+1)
	defer func() {
		if recover() == nil {
			t.Error("a request that is too long is encoded")
		}
	}()
	q.Bytes()
}

func signingKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), ephemeral(t, 8).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestEnvelope(t *testing.T) {
	private := ephemeral(t, 3)
	public := private.PublicKey().Bytes()
	wrapped, err := Wrap(PurposeBinding, "alias", public, []byte("thirty-two bytes of a binding key"), ephemeral(t, 4))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Unwrap(PurposeBinding, "alias", PrivateAgreement(private), public, wrapped)
	if err != nil || string(plain) != "thirty-two bytes of a binding key" {
		t.Errorf("%q, %v", plain, err)
	}
	other := ephemeral(t, 5)
	for name, open := range map[string]func() ([]byte, error){
		"purpose": func() ([]byte, error) {
			return Unwrap(PurposePassword, "alias", PrivateAgreement(private), public, wrapped)
		},
		"context": func() ([]byte, error) {
			return Unwrap(PurposeBinding, "alias2", PrivateAgreement(private), public, wrapped)
		},
		"device": func() ([]byte, error) {
			return Unwrap(PurposeBinding, "alias", PrivateAgreement(other), other.PublicKey().Bytes(), wrapped)
		},
		"cut": func() ([]byte, error) {
			return Unwrap(PurposeBinding, "alias", PrivateAgreement(private), public, wrapped[:80])
		},
		"point": func() ([]byte, error) {
			return Unwrap(PurposeBinding, "alias", PrivateAgreement(private), public, make([]byte, 100))
		},
		"long": func() ([]byte, error) {
			return Unwrap(PurposeBinding, "alias", PrivateAgreement(private), public, make([]byte, MaxEnvelopeBytes+1))
		},
	} {
		if _, err := open(); !errors.Is(err, ErrNotAuthentic) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Wrap(PurposeBinding, "alias", []byte{1}, nil, other); !errors.Is(err, ErrNotAuthentic) {
		t.Errorf("wrapped for a point off the curve: %v", err)
	}
}

// TestNothingSecretPrints searches every print of everything that holds a secret.
func TestNothingSecretPrints(t *testing.T) {
	o, _ := order(t, nil)
	m := material(t)
	sealed, err := Seal(o, m)
	if err != nil {
		t.Fatal(err)
	}
	s := secret(0x5A)
	key := cardKey(t).Reveal()
	q := ReplenishRequest{Token: token, Device: device, Ratchet: s}
	for _, v := range []any{s, &s, q, m.Master, sealed, sealed.Keys[0], PrivateAgreement(ephemeral(t, 1)), Signed{Body: q.Bytes()}, o.Ratchet} {
		var all strings.Builder
		fmt.Fprintf(&all, "%v %+v %#v %s %x %X %q %d", v, v, v, v, v, v, v, v)
		if b, err := json.Marshal(v); err == nil {
			all.Write(b)
		}
		text := strings.ToLower(all.String())
		for _, hidden := range []string{strings.Repeat("5a", 8), strings.Repeat("Z", 8), strings.Repeat("90 ", 8), fmt.Sprintf("%x", key), string(key[:]),
			strings.Repeat("05", 8), strings.Repeat("5 ", 8)} {
			if strings.Contains(text, strings.ToLower(hidden)) {
				t.Errorf("%T prints a secret", v)
			}
		}
	}
}

func FuzzParseBatch(f *testing.F) {
	o, private := order(f, nil)
	sealed, err := Seal(o, material(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed.Bytes())
	f.Add(sealed.Bytes()[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		b, err := ParseBatch(wire)
		if err != nil {
			return
		}
		if !bytes.Equal(append(b.header(), b.digest[:]...), wire) {
			t.Error("accepted batch re-encodes to other bytes")
		}
		if _, err := b.Open(PrivateAgreement(private), o.Device); err == nil && !bytes.Equal(wire, sealed.Bytes()) {
			t.Error("a forged batch opens")
		}
	})
}

func FuzzParseRequests(f *testing.F) {
	q := ReplenishRequest{Token: token, Device: device, BSEQ: 4, Ratchet: secret(5), Used: []Use{{7, UseAnswered}}}
	f.Add(Signed{Body: q.Bytes(), Signature: []byte{1}}.Bytes())
	f.Add(Signed{Body: ConfirmRequest{Token: token, Device: device}.Bytes()}.Bytes())
	f.Fuzz(func(t *testing.T, wire []byte) {
		if q, signed, err := ParseReplenish(wire); err == nil {
			if !bytes.Equal(q.Bytes(), signed.Body) || !bytes.Equal(signed.Bytes(), wire) {
				t.Error("accepted request re-encodes to other bytes")
			}
		}
		if c, signed, err := ParseConfirm(wire); err == nil {
			if !bytes.Equal(c.Bytes(), signed.Body) || !bytes.Equal(signed.Bytes(), wire) {
				t.Error("accepted confirmation re-encodes to other bytes")
			}
		}
	})
}

func FuzzParseIAD(f *testing.F) {
	f.Add(evidence().AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if iad, err := ParseIAD(b); err == nil && !bytes.Equal(iad.AppendTo(nil), b) {
			t.Errorf("%X re-encodes to other bytes", b)
		}
	})
}
