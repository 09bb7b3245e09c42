package hsm

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/pan"
	"tapnet/scp03"
)

const elementMaster = "8C72C72CF908411653018807950D82FBAD947562F0828A0B10B8B9606ABF3BCD"

var elementName = ElementKeys{Master: "elements", Element: scp03.Diversification{0xD9, 0xB1, 0xDE, 0x5D, 0x03, 0x62, 0xDE, 0xDC, 0xE4, 0xFB}}

func newElementWorld(t testing.TB) (*HSM, scp03.Keys) {
	t.Helper()
	h := New(seeded(43))
	importHex(t, h, "elements", UsageElementMaster, ModeDerive, AES256, NotExportable, elementMaster)
	importHex(t, h, "cloud", UsageCloudAC, ModeDerive, TDES, NotExportable, cloudMaster)
	importHex(t, h, "ac", UsageEMVAC, ModeDerive, TDES, NotExportable, cloudMaster)
	importHex(t, h, "mac", UsageEMVMAC, ModeDerive, TDES, NotExportable, "12B1AC4AF070CC35612BFE2D30AB600D")
	importHex(t, h, "enc", UsageEMVENC, ModeDerive, TDES, NotExportable, "D30F45EABC12AC3EF56B0C0D7F8654DE")
	e, err := h.find("elements")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := scp03.Diversify(e.value, elementName.Element)
	if err != nil {
		t.Fatal(err)
	}
	return h, keys
}

// TestElementChannel runs the host's end in the security module against the card's end.
func TestElementChannel(t *testing.T) {
	h, keys := newElementWorld(t)
	host, err := h.ElementChallenge()
	if err != nil {
		t.Fatal(err)
	}
	g := keys.Greet(host, scp03.Greeting{Diversification: elementName.Element, Option: 0x60, Challenge: scp03.Challenge{7}})
	channel, session := ElementChannel{Keys: elementName, Host: host, Card: g.Challenge}, keys.Session(host, g.Challenge)
	prove, st, err := h.OpenElement(channel, g, scp03.LevelComplete)
	if err != nil {
		t.Fatal(err)
	}
	card, err := session.Accept(host, g, prove)
	if err != nil || card != st {
		t.Fatal(err)
	}
	c, after, err := h.WrapElement(channel, st, apdu.Command{CLA: 0x80, INS: 0xE2, Data: []byte{1, 2, 3}, Le: apdu.NoLe})
	if err != nil {
		t.Fatal(err)
	}
	plain, cardAfter, err := session.Unwrap(card, c)
	if err != nil || !bytes.Equal(plain.Data, []byte{1, 2, 3}) || cardAfter != after {
		t.Fatal(err)
	}
	answer, err := session.WrapAnswer(cardAfter, apdu.Response{Data: []byte{9}, SW: apdu.OK})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := h.UnwrapElement(channel, after, answer); err != nil || !bytes.Equal(r.Data, []byte{9}) {
		t.Errorf("%v: %v", r, err)
	}
	answer.Data[0] ^= 1
	if _, err := h.UnwrapElement(channel, after, answer); !errors.Is(err, scp03.ErrCode) {
		t.Errorf("an altered answer: %v", err)
	}
	g.Cryptogram[0] ^= 1
	if _, _, err := h.OpenElement(channel, g, scp03.LevelComplete); !errors.Is(err, scp03.ErrCryptogram) {
		t.Errorf("another card: %v", err)
	}
	wrong := channel
	wrong.Keys.Master = "ac"
	_, _, openErr := h.OpenElement(wrong, g, scp03.LevelMAC)
	_, _, wrapErr := h.WrapElement(wrong, st, c)
	_, unwrapErr := h.UnwrapElement(wrong, st, answer)
	for _, err := range []error{openErr, wrapErr, unwrapErr} {
		if !errors.Is(err, ErrMisuse) {
			t.Errorf("a master of another usage: %v", err)
		}
	}
}

// TestSealElementCardKeys: the card keys open under the element's data key alone, and are those the issuer derives.
func TestSealElementCardKeys(t *testing.T) {
	h, keys := newElementWorld(t)
	number, err := pan.Parse("6229991234567890123")
	if err != nil {
		t.Fatal(err)
	}
	q := ElementCardKeyRequest{Keys: elementName, ACMaster: "ac", MACMaster: "mac", ENCMaster: "enc", PAN: number, Sequence: "01", Suite: cryptogram.TDES()}
	sealed, values, err := h.SealElementCardKeys(q)
	if err != nil || sealed.ID() != cps.CardKeys || values.ID() != cps.KeyCheckValues {
		t.Fatalf("%v, %v: %v", sealed, values, err)
	}
	opening := cps.Sealing{Cipher: func(_ cps.DGI, b []byte) ([]byte, error) { return keys.DataDecipher(b) }, BlockBytes: 16, Padding: cps.PadAlways}
	opened, err := opening.Open(cps.List{sealed, values})
	if err != nil || opened.Check() != nil {
		t.Fatal(err)
	}
	plain := opened[0].Reveal()
	for i, name := range []string{"ac", "mac", "enc"} {
		e, err := h.find(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := e.cardKey(q.Suite, number, "01")
		if err != nil {
			t.Fatal(err)
		}
		value, check := want.Reveal(), q.Suite.KCV(want)
		if !bytes.Equal(plain[16*i:16*i+16], value[:]) || !bytes.Equal(values.Reveal()[3*i:3*i+3], check[:]) {
			t.Errorf("key %s", name)
		}
		if bytes.Contains(sealed.Reveal(), value[:]) {
			t.Errorf("key %s left in the clear", name)
		}
	}
	for name, change := range map[string]func(*ElementCardKeyRequest){
		"a master of cloud credentials": func(q *ElementCardKeyRequest) { q.ACMaster = "cloud" },
		"masters exchanged":             func(q *ElementCardKeyRequest) { q.MACMaster = "enc" },
		"a transport key that is none":  func(q *ElementCardKeyRequest) { q.Keys.Master = "ac" },
		"another cipher":                func(q *ElementCardKeyRequest) { q.Suite = cryptogram.SM4() },
	} {
		changed := q
		change(&changed)
		if _, _, err := h.SealElementCardKeys(changed); !errors.Is(err, ErrMisuse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, change := range []func(*ElementCardKeyRequest){
		func(q *ElementCardKeyRequest) { q.PAN = pan.Number{} }, func(q *ElementCardKeyRequest) { q.Suite = cryptogram.Suite{} },
		func(q *ElementCardKeyRequest) { q.ENCMaster = "none" },
	} {
		changed := q
		change(&changed)
		if _, _, err := h.SealElementCardKeys(changed); err == nil {
			t.Error("something is missing and nobody notices")
		}
	}
	if text := fmt.Sprintf("%v %+v", q, q); bytes.Contains([]byte(text), []byte(number.Reveal())) {
		t.Error("a request prints the number")
	}
	for _, mode := range []Mode{ModeBoth, ModeEncrypt, ModeGenerate} {
		if _, err := h.Generate("other", UsageElementMaster, mode, AES128, NotExportable); err == nil {
			t.Errorf("mode %v for a master", mode)
		}
	}
	if _, err := h.Generate("other", UsageElementMaster, ModeDerive, TDES, NotExportable); err == nil {
		t.Error("triple DES for a master")
	}
}
