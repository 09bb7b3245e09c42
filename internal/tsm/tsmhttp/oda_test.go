package tsmhttp

import (
	"context"
	"errors"
	"strings"
	"testing"

	"tapnet/card/cardtest"
	"tapnet/element"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/internal/testkeys"
	"tapnet/internal/tsm"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/sdk/hce/hcetest"
	"tapnet/terminal"
	"tapnet/tlv"
)

// bank certifies with TEST keys. Forged, it signs with a key that its certificate does not name.
type bank struct{ forged bool }

func (b bank) Certify(q tsm.Certification) (tsm.Certificates, error) {
	ca, authority, signer := testkeys.CA(0), testkeys.CAKey(0), testkeys.Issuer(0)
	if q.Algorithm == oda.SM2 {
		ca, authority, signer = testkeys.SM2CA(0), testkeys.SM2CAKey(0), testkeys.SM2Issuer(0)
	}
	certificate, remainder, err := oda.MakeIssuerCertificate(ca, oda.IssuerCertSpec{IIN: "629998", Expiry: q.Expiry, Serial: [3]byte{1}, Public: signer.Public()})
	if err != nil {
		return tsm.Certificates{}, err
	}
	issuer := tlv.Append(nil, emv.TagCAIndex, []byte{authority.Index})
	issuer = present(present(issuer, emv.TagIssuerExponent, signer.Public().Exponent()), emv.TagIssuerRemainder, remainder)
	issuer = tlv.Append(issuer, emv.TagIssuerCertificate, certificate)
	if b.forged && q.Algorithm == oda.SM2 {
		signer = testkeys.SM2Issuer(1)
	} else if b.forged {
		signer = testkeys.Issuer(1)
	}
	own, rest, err := oda.MakeICCCertificate(signer, oda.ICCCertSpec{PAN: q.Number, Expiry: q.Expiry, Serial: q.Serial, Public: q.Public, Static: q.Static})
	body := present(tlv.Append(nil, emv.TagICCCertificate, own), emv.TagICCExponent, q.Public.Exponent())
	return tsm.Certificates{Issuer: issuer, Card: present(body, emv.TagICCRemainder, rest)}, err
}

func present(dst []byte, tag tlv.Tag, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return tlv.Append(dst, tag, value)
}

// authorities are those behind the bank's certificates.
func authorities(t testing.TB) *oda.Keys {
	t.Helper()
	keys, err := oda.NewKeys(testkeys.CAKey(0), testkeys.SM2CAKey(0))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// gate is a tap at a terminal that approves now what proves itself, and authorizes later.
func gate(t testing.TB, e *element.Element) kernel.Outcome {
	t.Helper()
	field := element.NewField(e)
	defer field.Remove()
	zero := money.New(0, money.CNY)
	r, err := hcetest.Gate(t, authorities(t)).Tap(context.Background(), field, terminal.Request{Amount: money.New(700, money.CNY), Other: zero, Now: cardtest.Today, Counter: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r.Outcome
}

// TestProvesItselfOffline: with every wallet, under RSA with triple DES and AES and under SM2 with SM4, an application proves itself to a terminal without a
// network, and its cryptogram is right when it is asked about later. A certificate of another key is noticed.
func TestProvesItselfOffline(t *testing.T) {
	for _, wallet := range []string{"phone", "wearable"} {
		for _, ref := range []string{"tok1", "tok2", "tok3"} {
			w := newWhole(t, 0x70, wallet)
			if p := w.run("", ref, "personalize"); p.Failed != "" {
				t.Fatalf("%s, %s: %s", wallet, ref, p.Failed)
			}
			o := gate(t, w.element)
			if o.Kind != kernel.Approved || !o.Deferred || o.ODA.Version != 1 {
				t.Errorf("%s, %s: %v, %v, %+v", wallet, ref, o.Kind, o.Reason, o.ODA)
			}
			if why := w.verify(ref, o.Data); why != "" {
				t.Errorf("%s, %s, later: %s", wallet, ref, why)
			}
			w.nothingSecret()
		}
	}
	for _, ref := range []string{"tok1", "tok2"} {
		w := newWhole(t, 0x70, "phone")
		w.banks = bank{forged: true}
		w.start()
		if p := w.run("", ref, "personalize"); p.Failed != "" {
			t.Fatal(p.Failed)
		}
		if o := gate(t, w.element); o.Kind == kernel.Approved {
			t.Errorf("%s: a forged certificate opens the gate", ref)
		}
		if o := hcetest.Tap(t, hcetest.Terminal(t), element.NewField(w.element), 100); o.Kind != kernel.OnlineRequest {
			t.Errorf("%s: %v online", ref, o.Kind)
		}
	}
}

// TestNobodyCertifies: without a bank that certifies, the application pays online and proves nothing.
func TestNobodyCertifies(t *testing.T) {
	w := newWhole(t, 0x70, "phone")
	w.banks = nil
	w.start()
	if p := w.run("", "tok1", "personalize"); p.Failed != "" {
		t.Fatal(p.Failed)
	}
	if why := w.pay("tok1", 100); why != "" {
		t.Error(why)
	}
	if o := gate(t, w.element); o.Kind == kernel.Approved {
		t.Errorf("approved offline: %+v", o.ODA)
	}
}

// refusing is a bank that does not answer.
type refusing struct{}

func (refusing) Certify(tsm.Certification) (tsm.Certificates, error) {
	return tsm.Certificates{}, errors.New("no answer")
}

// TestBankSilent: while nobody certifies that should, the session waits: nothing is sent, and the same answers go on later.
func TestBankSilent(t *testing.T) {
	w := newWhole(t, 0x70, "phone")
	w.banks = refusing{}
	w.start()
	w.host = element.NewHost(w.element)
	p := w.progress(w.open("", "tok1", "personalize"))
	answers := w.relay(p.Commands)
	if status, body := w.step(p, answers); status != 503 || !strings.Contains(body, tsmapi.Unavailable.Term().EN) {
		t.Errorf("%d %s", status, body)
	}
	w.banks = bank{}
	w.start()
	for p = w.progress(w.step(p, answers)); !p.Done; {
		p = w.progress(w.step(p, w.relay(p.Commands)))
	}
	if p.Failed != "" {
		t.Error(p.Failed)
	}
}
