package hsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"tapnet/emv/cps"
	"tapnet/emv/oda"
	"tapnet/pan"
	"tapnet/scp03"
)

func signKeyRequest(t testing.TB) ElementSignKeyRequest {
	t.Helper()
	number, err := pan.Parse("6299982112345678")
	if err != nil {
		t.Fatal(err)
	}
	return ElementSignKeyRequest{Keys: elementName, Master: "sign", AID: []byte{0xA0, 0, 0, 3, 0x33, 1, 1, 1}, PAN: number, Sequence: "01"}
}

// TestSealElementSignKey: asking again gives the same key, anything else asked for gives another, and the private half opens on the element alone.
func TestSealElementSignKey(t *testing.T) {
	h, keys := newElementWorld(t)
	importHex(t, h, "sign", UsageElementSign, ModeDerive, AES256, NotExportable, elementMaster)
	opening := cps.Sealing{Cipher: func(_ cps.DGI, b []byte) ([]byte, error) { return keys.DataDecipher(b) }, BlockBytes: 16, Padding: cps.PadAlways}
	seen := map[string]string{}
	for name, change := range map[string]func(*ElementSignKeyRequest){
		"RSA":                  func(*ElementSignKeyRequest) {},
		"SM2":                  func(q *ElementSignKeyRequest) { q.Algorithm = oda.SM2 },
		"another element":      func(q *ElementSignKeyRequest) { q.Keys.Element[0] ^= 1; q.Algorithm = oda.SM2 },
		"another application":  func(q *ElementSignKeyRequest) { q.AID = append(q.AID, 1); q.Algorithm = oda.SM2 },
		"another sequence":     func(q *ElementSignKeyRequest) { q.Sequence = "02"; q.Algorithm = oda.SM2 },
		"another account, RSA": func(q *ElementSignKeyRequest) { q.PAN = numberOf(t, "6299982112345686") },
	} {
		q := signKeyRequest(t)
		change(&q)
		public, sealed, err := h.SealElementSignKey(q)
		if err != nil {
			t.Fatal(err)
		}
		again, sealedAgain, err := h.SealElementSignKey(q)
		if err != nil || again != public || !bytes.Equal(sealed.Bytes(), sealedAgain.Bytes()) {
			t.Errorf("%s: asked again it is another key: %v", name, err)
		}
		modulus := hex.EncodeToString(public.Modulus())
		if other := seen[modulus]; other != "" {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[modulus] = name
		if name == "another element" {
			continue
		}
		opened, err := opening.Open(sealed)
		if err != nil || opened.Check() != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range opened {
			if plain := opened[i].Reveal(); q.Algorithm == oda.RSA && bytes.Contains(sealed.Bytes(), plain) {
				t.Errorf("%s: %v left in the clear", name, opened[i].ID())
			}
		}
		if q.Algorithm == oda.RSA {
			p, _ := opened.Find(cps.ICCKeyP)
			r, _ := opened.Find(cps.ICCKeyQ)
			product := new(big.Int).Mul(new(big.Int).SetBytes(p.Reveal()), new(big.Int).SetBytes(r.Reveal()))
			if !bytes.Equal(product.Bytes(), public.Modulus()) || len(public.Modulus()) != rsaElementKeyBytes || !bytes.Equal(public.Exponent(), []byte{3}) {
				t.Errorf("%s: the halves do not belong together", name)
			}
			continue
		}
		d, _ := opened.Find(cps.ICCKeyExponent)
		if key, err := oda.NewSM2PrivateKey(d.Reveal(), oda.SM2Profile{}); err != nil || key.Public() != public {
			t.Errorf("%s: the halves do not belong together: %v", name, err)
		}
	}
}

func numberOf(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSealElementSignKeyRefused(t *testing.T) {
	h, keys := newElementWorld(t)
	importHex(t, h, "sign", UsageElementSign, ModeDerive, AES256, NotExportable, elementMaster)
	for name, change := range map[string]func(*ElementSignKeyRequest){
		"the channels' master":         func(q *ElementSignKeyRequest) { q.Master = "elements" },
		"a master of cryptograms":      func(q *ElementSignKeyRequest) { q.Master = "ac" },
		"a transport key that is none": func(q *ElementSignKeyRequest) { q.Keys.Master = "sign" },
	} {
		q := signKeyRequest(t)
		change(&q)
		if _, _, err := h.SealElementSignKey(q); !errors.Is(err, ErrMisuse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, change := range []func(*ElementSignKeyRequest){
		func(q *ElementSignKeyRequest) { q.PAN = pan.Number{} }, func(q *ElementSignKeyRequest) { q.AID = nil }, func(q *ElementSignKeyRequest) { q.Master = "none" },
	} {
		q := signKeyRequest(t)
		change(&q)
		if _, _, err := h.SealElementSignKey(q); err == nil {
			t.Error("something is missing and nobody notices")
		}
	}
	if got, err := h.InjectElement(elementName); err != nil || got != keys {
		t.Errorf("the element's keys at its production: %v", err)
	}
	if _, err := h.InjectElement(ElementKeys{Master: "sign", Element: scp03.Diversification{1}}); !errors.Is(err, ErrMisuse) {
		t.Errorf("injected under another master: %v", err)
	}
	if _, err := h.Generate("other", UsageElementSign, ModeBoth, AES256, NotExportable); err == nil {
		t.Error("another mode for a master")
	}
}
