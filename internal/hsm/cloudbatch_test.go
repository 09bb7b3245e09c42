package hsm

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/pan"
)

// The reference vectors of the key scheme [REF 8]: master, token and the session key and cryptogram of counter 1.
const (
	cloudMaster = "0123456789ABCDEFFEDCBA9876543210"
	cloudAC     = "04A7DD1945EFB1AD"
	cloudData   = "00000000100000000000000001560000000000015626112100A1B2C3D47C00000103A00000"
)

type cloudWorld struct {
	h       *HSM
	keys    CloudKeys
	token   CloudToken
	private *ecdh.PrivateKey
}

func newCloudWorld(t testing.TB) *cloudWorld {
	t.Helper()
	h := New(seeded(41))
	w := &cloudWorld{h: h, keys: CloudKeys{Master: "imk-cloud", Base: "base", Data: "data"}}
	importHex(t, h, "imk-cloud", UsageCloudAC, ModeDerive, TDES, NotExportable, cloudMaster)
	importHex(t, h, "imk-card", UsageEMVAC, ModeDerive, TDES, NotExportable, cloudMaster)
	for _, k := range []struct {
		name      string
		usage     Usage
		mode      Mode
		algorithm Algorithm
	}{{"base", UsageDeviceBase, ModeDerive, HMAC}, {"data", UsageData, ModeBoth, AES256}, {"hmac", UsageHMAC, ModeGenerateVerify, HMAC}} {
		if _, err := h.Generate(k.name, k.usage, k.mode, k.algorithm, NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	number, err := pan.Parse("6229991234567890123")
	if err != nil {
		t.Fatal(err)
	}
	w.token = CloudToken{Number: number, Sequence: "01", Suite: cryptogram.SuiteTDES, Token: "T1", Device: "D1"}
	if w.private, err = cloudkey.NewEphemeral(seeded(41)); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *cloudWorld) order() CloudOrder {
	return CloudOrder{Keys: w.keys, Token: w.token, Nonce: [16]byte{1}, Order: cloudkey.Order{
		Scheme: cloudkey.SchemeQCK1, BSEQ: 1, ServerTime: 1_795_000_000, Device: w.private.PublicKey().Bytes(),
		Thresholds: cloudkey.Thresholds{RefillAt: 3, RefillPercent: 70, ArmSeconds: 60},
		Keys: []cloudkey.Key{{ATC: 1, Uses: 1, Class: cloudkey.ClassPassword, NotAfter: 1_795_600_000},
			{ATC: 2, Uses: 1, Class: cloudkey.ClassOpen, NotAfter: 1_795_600_000}},
	}}
}

// TestCloudBatch: a batch opens on its device into the reference session key once the mask is off, and into another one with a wrong password; the module
// verifies what that key makes, and the tag of the device.
func TestCloudBatch(t *testing.T) {
	w := newCloudWorld(t)
	point, err := w.h.CloudAgreement("base")
	if err != nil {
		t.Fatal(err)
	}
	verifier := cloudSecret(t, 9)
	clear := verifier.Reveal()
	envelope, err := cloudkey.Wrap(cloudkey.PurposePassword, "T1", point, clear[:], w.private)
	if err != nil {
		t.Fatal(err)
	}
	enrolled, err := w.h.EnrolCloudDevice(CloudEnrolment{Keys: w.keys, Token: w.token, Agreement: w.private.PublicKey().Bytes(), Password: envelope,
		Classes: []cloudkey.Class{cloudkey.ClassOpen, cloudkey.ClassPassword}})
	if err != nil || len(enrolled.Bindings) != 2 || bytes.Contains(enrolled.Password, clear[:]) {
		t.Fatalf("%v", err)
	}
	o := w.order()
	o.Current, o.Password = enrolled.Ratchet, enrolled.Password
	made, err := w.h.DeriveCloudBatch(o)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := made.Batch.Open(cloudkey.PrivateAgreement(w.private), w.private.PublicKey().Bytes())
	if err != nil || opened.Ratchet.Digest() != made.Ratchet {
		t.Fatalf("%v", err)
	}
	bind := map[cloudkey.Class]cloudkey.Secret{}
	for _, b := range enrolled.Bindings {
		plain, err := cloudkey.Unwrap(cloudkey.PurposeBinding, cloudkey.BindingAlias("T1", b.Class), cloudkey.PrivateAgreement(w.private), w.private.PublicKey().Bytes(),
			b.Wrapped)
		if err != nil {
			t.Fatal(err)
		}
		if bind[b.Class], err = cloudkey.NewSecret(plain); err != nil {
			t.Fatal(err)
		}
	}
	data, err := hex.DecodeString(cloudData)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		password      cloudkey.Secret
		spoil         bool
		right, bySelf bool
	}{{"right password", verifier, false, true, true}, {"wrong password", cloudSecret(t, 8), false, false, false}, {"another device", verifier, true, true, false}} {
		key := cloudkey.Mask(opened.Masked[0], cloudkey.MaskCode(bind[cloudkey.ClassPassword], "T1", 1, cloudkey.ClassPassword, c.password))
		ac := cryptogram.SuiteTDES.Cryptogram(key, data)
		if c.right && fmt.Sprintf("%X", ac) != cloudAC {
			t.Errorf("cryptogram %X, want %s", ac, cloudAC)
		}
		in := cloudkey.TagInput{ATC: 1, Cryptogram: ac}
		tag := cloudkey.DeviceTag(cloudkey.TagKey(bind[cloudkey.ClassPassword], 1), "T1", in)
		if c.spoil {
			tag[0] ^= 1
		}
		got, err := w.h.VerifyCloud(CloudCheck{Keys: w.keys, Token: w.token, Scheme: cloudkey.SchemeQCK1, Slot: cloudkey.Slot{ATC: 1},
			Class: cloudkey.ClassPassword, Data: data, Tag: tag, Input: in})
		if want := (CloudResult{c.right, c.bySelf}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func cloudSecret(t testing.TB, fill byte) cloudkey.Secret {
	t.Helper()
	s, err := cloudkey.NewSecret(bytes.Repeat([]byte{fill}, cloudkey.SecretBytes))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCloudKeysAreApart: the master of cards cannot make batches or verify phones, and the master of phones cannot do what cards need.
func TestCloudKeysAreApart(t *testing.T) {
	w := newCloudWorld(t)
	for _, wrong := range []CloudKeys{{"imk-card", "base", "data"}, {"imk-cloud", "hmac", "data"}, {"base", "base", "data"}, {"hmac", "base", "data"}} {
		o := w.order()
		o.Keys, o.Order.Keys = wrong, o.Order.Keys[1:]
		if made, err := w.h.DeriveCloudBatch(o); !errors.Is(err, ErrMisuse) || made.Batch != nil {
			t.Errorf("batch with %+v: %v", wrong, err)
		}
		check := CloudCheck{Keys: wrong, Token: w.token, Scheme: cloudkey.SchemeQCK1, Slot: cloudkey.Slot{ATC: 1}, Data: []byte{1}}
		if _, err := w.h.VerifyCloud(check); !errors.Is(err, ErrMisuse) {
			t.Errorf("verification with %+v: %v", wrong, err)
		}
	}
	check := CryptogramCheck{MasterKey: "imk-cloud", PAN: w.token.Number, Sequence: "01", ATC: 1, Data: []byte{1}, Suite: cryptogram.SuiteTDES}
	if _, err := w.h.VerifyCryptogram(check); !errors.Is(err, ErrMisuse) {
		t.Errorf("a card's cryptogram under the master of phones: %v", err)
	}
	for name, usage := range map[string]Usage{"mac": UsageEMVMAC, "enc": UsageEMVENC, "transport": UsagePersonalization} {
		algorithm, mode := TDES, ModeDerive
		if usage == UsagePersonalization {
			algorithm, mode = AES256, ModeBoth
		}
		if _, err := w.h.Generate(name, usage, mode, algorithm, NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	request := CardKeyRequest{ACMaster: "imk-cloud", MACMaster: "mac", ENCMaster: "enc", Transport: "transport", PAN: w.token.Number, Suite: cryptogram.SuiteTDES}
	if _, err := w.h.SealCardKeys(request); !errors.Is(err, ErrMisuse) {
		t.Errorf("card keys from the master of phones: %v", err)
	}
}

// TestCloudOrdersRefused: what cannot be made is an error and no batch.
func TestCloudOrdersRefused(t *testing.T) {
	w := newCloudWorld(t)
	for name, change := range map[string]func(*CloudOrder){
		"no number":              func(o *CloudOrder) { o.Token.Number = pan.Number{} },
		"no suite":               func(o *CloudOrder) { o.Token.Suite = cryptogram.Suite{} },
		"no token":               func(o *CloudOrder) { o.Token.Token = "" },
		"no device":              func(o *CloudOrder) { o.Token.Device = "a b" },
		"unknown scheme":         func(o *CloudOrder) { o.Order.Scheme = 77 },
		"suite of another key":   func(o *CloudOrder) { o.Token.Suite = cryptogram.SuiteSM4 },
		"scheme and suite":       func(o *CloudOrder) { o.Token.Suite, o.Order.Scheme = cryptogram.SuiteAES, cloudkey.SchemeQCK1EMV },
		"no password's verifier": func(*CloudOrder) {},
		"verifier of another":    func(o *CloudOrder) { o.Password = []byte("sealed") },
		"no keys":                func(o *CloudOrder) { o.Order.Keys = nil },
		"a point off the curve":  func(o *CloudOrder) { o.Order.Keys = o.Order.Keys[1:]; o.Order.Device = make([]byte, 65) },
		"unknown master":         func(o *CloudOrder) { o.Keys.Master = "none" },
	} {
		o := w.order()
		change(&o)
		if made, err := w.h.DeriveCloudBatch(o); err == nil || made.Batch != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := fmt.Sprintf("%+v %x", w.order(), w.order()); strings.Contains(text, "6229991234567890123") {
		t.Error("an order prints the token's number")
	}
}
