package card_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

// dualCard issues a card with both sets of algorithms, and turns to the set that serves a terminal: issued then speaks for that one.
func dualCard(t testing.TB, sm bool) (*card.Card, *cardtest.Issued) {
	t.Helper()
	c, issued := cardtest.New(t, cardtest.Options{Contact: true, SM: true})
	if sm {
		issued.Suite, issued.CardKeys, issued.CA = cryptogram.SM4(), issued.SM, cardtest.SMCA()
	}
	return c, issued
}

func algorithm(sm bool) byte {
	if sm {
		return cryptogram.AlgorithmSM4
	}
	return cryptogram.AlgorithmTDES
}

// TestDualContactless: signature, cryptogram and issuer data of a payment from the purse follow what the terminal knows.
func TestDualContactless(t *testing.T) {
	for _, sm := range []bool{false, true} {
		c, issued := dualCard(t, sm)
		r := present(t, c, issued)
		s := sale{ttq: offlineGate, amount: 1234, sm: sm}
		gpo := r.pay(s)
		if iad := r.iad(gpo); iad.Algorithm != algorithm(sm) || iad.CryptogramType() != emv.TC {
			t.Fatalf("SM %v: issuer data %v", sm, iad)
		}
		if !cryptogramOK(t, issued, gpo, s) {
			t.Errorf("SM %v: the issuer does not accept the cryptogram", sm)
		}
		signed, all := r.readAll(gpo)
		icc := r.iccKey(issued, gpo, signed, all)
		if icc.PublicKey().Algorithm() == oda.SM2 != sm {
			t.Errorf("SM %v: %v", sm, icc.PublicKey())
		}
		if atc, err := oda.VerifyFDDA(icc, gpo.Get(emv.TagSDAD), s.signed(all)); err != nil || atc != 2 {
			t.Errorf("SM %v: counter %d, %v", sm, atc, err)
		}
		if got := r.amount(emv.TagECBalance); got != 8750-1234 {
			t.Errorf("SM %v: the purse holds %d", sm, got)
		}
		// What ends a payment can be shown again, whichever algorithms made it [REF 2.4].
		last := r.send(last(), apdu.OK)
		r.field.Present()
		r.selectApplication()
		if again := r.send(apdu.ReadRecord(4, 1), apdu.OK); !bytes.Equal(again, last) {
			t.Errorf("SM %v: another last record", sm)
		}
	}
}

// TestDualContact: on contact, static and dynamic data, the combined signature, issuer authentication, scripts and the PIN change follow too.
func TestDualContact(t *testing.T) {
	for _, sm := range []bool{false, true} {
		c, issued := dualCard(t, sm)
		i := insert(t, c, issued)
		i.sale.sm = sm
		i.open(false)
		signed, all := i.readAll(i.gpo)
		icc := i.iccKey(issued, i.gpo, signed, all)
		issuer, err := oda.RecoverIssuerKey(issued.CA, all.Get(emv.TagIssuerCertificate), all.Get(emv.TagIssuerRemainder), all.Get(emv.TagIssuerExponent),
			issued.PAN, cardtest.Today)
		if err != nil {
			t.Fatal(err)
		}
		static, err := oda.StaticData(signed, i.gpo.Get(emv.TagAIP), all.Get(emv.TagSDATagList))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oda.VerifySSAD(issuer, all.Get(emv.TagSSAD), static); err != nil {
			t.Errorf("SM %v: static data: %v", sm, err)
		}
		number := []byte{0xA1, 0xB2, 0xC3, 0xD4}
		signature, _ := tlv.Find(i.send(apdu.InternalAuthenticate(number), apdu.OK), emv.TagResponse1)
		if _, err := oda.VerifyDDA(icc, signature, number); err != nil {
			t.Errorf("SM %v: dynamic data: %v", sm, err)
		}
		i.send(apdu.GetChallenge(), apdu.OK)
		want := apdu.ConditionsNotSatisfied // nobody says how SM2 enciphers a PIN
		if !sm {
			want = apdu.WrongPIN(2)
		}
		i.send(apdu.Verify(apdu.VerifyEnciphered, make([]byte, 128)), want)
		i.send(apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN())), apdu.OK)
		i.combined(icc, 0x90, "")
		if iad := i.iad(i.answer); iad.Algorithm != algorithm(sm) {
			t.Errorf("SM %v: algorithm %02X", sm, iad.Algorithm)
		}
		ac := i.answer.Get(emv.TagAC)
		i.send(apdu.ExternalAuthenticate(i.arpc("00")), apdu.OK)
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9999), ac), apdu.OK)
		data := issued.Suite.EncipherPINChange(issued.CardKeys, i.atc(), cryptogram.PINVariantENC, cardtest.HolderPIN(), cardtest.HolderPIN())
		i.send(i.seal(0x84, apdu.InsPINChange, 0, apdu.PINChangeWithOldPIN, data[:], ac), apdu.OK)
		i.combined(icc, 0x50, "00")
		if s := i.state(); s.Purses[0].Balance != 9999 || s.PIN != card.StorePIN(cardtest.HolderPIN()) {
			t.Errorf("SM %v: purse %d", sm, s.Purses[0].Balance)
		}
	}
}

// TestDualKeysApart: what is made with the keys of one set of algorithms is nothing under the other.
func TestDualKeysApart(t *testing.T) {
	for _, sm := range []bool{false, true} {
		c, issued := dualCard(t, !sm) // the issuer answers with the wrong set
		i := insert(t, c, issued)
		i.sale.sm = sm
		i.open(false)
		i.generate(emv.ARQC, emv.ARQC, false, "")
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9999), i.answer.Get(emv.TagAC)), apdu.SecureMessagingIncorrect)
		i.send(apdu.ExternalAuthenticate(i.arpc("00")), apdu.IssuerAuthenticationFailed)
	}
}

// TestDualFull: the same over contactless for a reader that asks for the full dialogue.
func TestDualFull(t *testing.T) {
	for _, sm := range []bool{false, true} {
		c, issued := dualCard(t, sm)
		i := insert(t, c, issued)
		i.field, i.pdol = card.NewField(c), issued.Image.Applications[0].PDOL
		i.sale.ttq, i.sale.sm = emv.TTQ{0x40, 0, 0, 0}, sm
		i.open(false)
		signed, all := i.readAll(i.gpo)
		i.combined(i.iccKey(issued, i.gpo, signed, all), 0x90, "")
		i.settle()
	}
}

// TestDualTearing: a card with two sets of algorithms torn at either write of a payment has paid all or nothing, and no counter twice.
func TestDualTearing(t *testing.T) {
	for write := 1; write <= 2; write++ {
		for _, after := range []bool{false, true} {
			c, issued := dualCard(t, true)
			r := present(t, c, issued)
			if after {
				r.field.TearAfterCommit(write)
			} else {
				r.field.TearBeforeCommit(write)
			}
			r.tap(sale{ttq: offlineGate, amount: 1000, sm: true})
			r.field.Present()
			want := int64(8750)
			if write == 2 && after {
				want -= 1000
			}
			r.selectApplication()
			if got := r.amount(emv.TagECBalance); got != want {
				t.Errorf("write %d, after %v: %d", write, after, got)
			}
		}
	}
}

func TestDualImage(t *testing.T) {
	_, issued := dualCard(t, false)
	encoded, err := issued.Image.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var read card.Image
	if err := read.UnmarshalBinary(encoded); err != nil {
		t.Fatal(err)
	}
	if again, err := read.MarshalBinary(); err != nil || !bytes.Equal(again, encoded) {
		t.Errorf("written again differently: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", issued.Crypto, issued.Crypto, issued.Crypto, issued.Crypto); strings.Count(text, "redacted") != 4 {
		t.Errorf("printed as %s", text)
	}
	for name, change := range map[string]func(*card.Image, *card.Dual){
		"no DF69 in the field":   func(i *card.Image, _ *card.Dual) { i.Applications[0].PDOL = i.Applications[0].PDOL[:12] },
		"no DF69 on contact":     func(i *card.Image, _ *card.Dual) { i.Applications[0].Contact.PDOL = i.Applications[0].Contact.PDOL[:3] },
		"no profile":             func(i *card.Image, _ *card.Dual) { i.Applications[0].SM = nil },
		"no keys":                func(_ *card.Image, d *card.Dual) { d.SM = nil },
		"keys for another":       func(_ *card.Image, d *card.Dual) { d.SM = d.Crypto },
		"another algorithm":      func(i *card.Image, _ *card.Dual) { i.Applications[0].SM.Algorithm = 1 },
		"another last record":    func(i *card.Image, _ *card.Dual) { i.Applications[0].SM.OfflineAFL = i.Applications[0].OfflineAFL[:2] },
		"no cash with SM":        func(i *card.Image, _ *card.Dual) { i.Applications[0].SM.Cash = card.DialogueFiles{} },
		"full dialogue with SM":  func(i *card.Image, _ *card.Dual) { i.Applications[0].Contact.FullAFL = nil },
		"a record is not there":  func(i *card.Image, _ *card.Dual) { i.Applications[0].SM.Contact.AFL[1].First = 9 },
		"no records for contact": func(i *card.Image, _ *card.Dual) { i.Applications[0].SM.Contact.AFL = nil },
	} {
		_, issued := dualCard(t, false)
		keys := issued.Crypto.(card.Dual)
		change(&issued.Image, &keys)
		if _, err := card.New(&issued.Image, keys, nil, rand.Reader); !errors.Is(err, card.ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := card.New(&issued.Image, issued.Crypto.(card.Dual).Crypto, nil, rand.Reader); !errors.Is(err, card.ErrImage) {
		t.Errorf("one set of keys: %v", err)
	}
	for from, to := range map[string]string{`"Algorithm":4,"AIP":"`: `"Algorithm":4,"AIP":"AA==`, `"Offline":"`: `"Offline":"AA==`} {
		broken := strings.Replace(string(encoded), from, to, 1)
		if broken == string(encoded) || read.UnmarshalBinary([]byte(broken)) == nil {
			t.Errorf("%s: accepted", to)
		}
	}
}
