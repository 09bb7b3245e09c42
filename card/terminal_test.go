package card_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

// sale is what the terminal side of these tests puts into GET PROCESSING OPTIONS.
type sale struct {
	ttq      emv.TTQ
	amount   int64
	currency uint16 // packed: 0x0156
	random   [4]byte
	sm       bool // the terminal knows SM2, SM3 and SM4
}

// Readers of the tests.
var (
	offlineGate   = emv.TTQ{0x28, 0, 0, 0x80}    // qPBOC, offline only, fDDA 01
	onlineCapable = emv.TTQ{0x36, 0, 0, 0x80}    // qPBOC, contact, online PIN, signature
	onlineOnly    = emv.TTQ{0x36, 0x80, 0, 0x80} // … and it wants a cryptogram for the issuer
)

const yuan = 0x0156

func (s sale) data() emv.Data {
	if s.currency == 0 {
		s.currency = yuan
	}
	if s.random == ([4]byte{}) {
		s.random = [4]byte{0x1A, 0x2B, 0x3C, 0x4D}
	}
	var d emv.Data
	d.Set(emv.TagTTQ, s.ttq[:])
	d.Set(emv.TagAmount, bcd(s.amount))
	d.Set(emv.TagTerminalCountry, []byte{0x01, 0x56})
	d.Set(emv.TagCurrency, []byte{byte(s.currency >> 8), byte(s.currency)})
	d.Set(emv.TagTransactionDate, []byte{0x26, 0x11, 0x21})
	d.Set(emv.TagTransactionTime, []byte{0x12, 0x30, 0x59})
	d.Set(emv.TagTransactionType, []byte{0x00})
	d.Set(emv.TagUnpredictableNumber, s.random[:])
	d.Set(emv.TagMerchantName, []byte("CANTEEN ONE"))
	support := cryptogram.SMSupport(s.sm)
	d.Set(emv.TagSMSupport, support[:])
	return d
}

func bcd(minor int64) []byte {
	b := make([]byte, 6)
	for i := 5; i >= 0; i-- {
		b[i] = byte(minor%10) | byte(minor/10%10)<<4
		minor /= 100
	}
	return b
}

// reader drives a card through a field and fails the test on what it does not expect.
type reader struct {
	testing.TB
	field *card.Field
	pdol  emv.DOL
	aid   emv.AID
	tape  *bytes.Buffer // what is said, when it is recorded
}

func present(t testing.TB, c *card.Card, issued *cardtest.Issued) *reader {
	a := issued.Image.Applications[0]
	return &reader{TB: t, field: card.NewField(c), pdol: a.PDOL, aid: a.AID}
}

// try sends a command; ok is false when the card is gone.
func (r *reader) try(cmd apdu.Command) (response apdu.Response, ok bool) {
	r.Helper()
	raw, err := r.field.Transceive(context.Background(), cmd.Bytes())
	if r.tape != nil {
		fmt.Fprintf(r.tape, "\n> %X # %s\n", cmd.Bytes(), apdu.InstructionName(cmd.INS).EN)
		if err == nil {
			fmt.Fprintf(r.tape, "< %X\n", raw)
		} else {
			fmt.Fprintln(r.tape, "< gone")
		}
	}
	if err != nil {
		if !errors.Is(err, apdu.ErrCardLost) {
			r.Fatalf("%v: %v", cmd, err)
		}
		return apdu.Response{}, false
	}
	response, err = apdu.ParseResponse(raw)
	if err != nil {
		r.Fatalf("%v: %v", cmd, err)
	}
	return response, true
}

// send expects a status word.
func (r *reader) send(cmd apdu.Command, want apdu.SW) []byte {
	r.Helper()
	response, ok := r.try(cmd)
	if !ok {
		r.Fatalf("%v: card is gone", cmd)
	}
	if response.SW != want {
		r.Fatalf("%v: got %v, want %v", cmd, response.SW, want)
	}
	return response.Data
}

func (r *reader) selectApplication() []byte {
	r.Helper()
	return r.send(apdu.Select(r.aid.Bytes()), apdu.OK)
}

func (r *reader) gpo(s sale) apdu.Command { return apdu.GPO(r.pdol.Build(nil, s.data())) }

// pay selects, initiates and expects 9000; it returns the contents of template 77.
func (r *reader) pay(s sale) emv.Data {
	r.Helper()
	r.selectApplication()
	return r.inside(r.send(r.gpo(s), apdu.OK), emv.TagResponse2)
}

func (r *reader) inside(b []byte, template tlv.Tag) emv.Data {
	r.Helper()
	value, ok := tlv.Find(b, template)
	if !ok {
		r.Fatalf("no template %v", template)
	}
	d, err := emv.ParseData(value)
	if err != nil {
		r.Fatalf("template %v: %v", template, err)
	}
	return d
}

func (r *reader) iad(gpo emv.Data) emv.IAD {
	r.Helper()
	iad, err := emv.ParseIAD(gpo.Get(emv.TagIAD))
	if err != nil {
		r.Fatal(err)
	}
	return iad
}

// readAll reads the records of an answer's AFL.
func (r *reader) readAll(gpo emv.Data) (records []oda.Record, all emv.Data) {
	r.Helper()
	afl, err := emv.ParseAFL(gpo.Get(emv.TagAFL))
	if err != nil {
		r.Fatal(err)
	}
	for rec := range afl.Records() {
		raw := r.send(apdu.ReadRecord(rec.SFI, rec.Number), apdu.OK)
		for tag, value := range r.inside(raw, emv.TagRecord).All() {
			all.Set(tag, value)
		}
		if rec.Signed {
			records = append(records, oda.Record{SFI: rec.SFI, Raw: raw})
		}
	}
	return records, all
}

// amount reads an n12 object by GET DATA.
func (r *reader) amount(tag tlv.Tag) int64 {
	r.Helper()
	value, ok := tlv.Find(r.send(apdu.GetData(tag), apdu.OK), tag)
	if !ok {
		r.Fatalf("%v: no value", tag)
	}
	var minor int64
	for _, b := range value {
		minor = minor*100 + int64(b>>4)*10 + int64(b&0xF)
	}
	return minor
}

// last is the record that ends an offline payment of a test card.
func last() apdu.Command { return apdu.ReadRecord(4, 1) }

// iccKey recovers the card's public key as a terminal does.
func (r *reader) iccKey(issued *cardtest.Issued, gpo emv.Data, signed []oda.Record, all emv.Data) oda.ICCKey {
	r.Helper()
	issuer, err := oda.RecoverIssuerKey(issued.CA, all.Get(emv.TagIssuerCertificate), all.Get(emv.TagIssuerRemainder),
		all.Get(emv.TagIssuerExponent), issued.PAN, cardtest.Today)
	if err != nil {
		r.Fatal(err)
	}
	static, err := oda.StaticData(signed, gpo.Get(emv.TagAIP), all.Get(emv.TagSDATagList))
	if err != nil {
		r.Fatal(err)
	}
	icc, err := oda.RecoverICCKey(issuer, all.Get(emv.TagICCCertificate), all.Get(emv.TagICCRemainder), all.Get(emv.TagICCExponent),
		issued.PAN, static, cardtest.Today)
	if err != nil {
		r.Fatal(err)
	}
	return icc
}

// cryptogramOK checks 9F26 as the issuer does, for what the terminal says it asked.
func cryptogramOK(t testing.TB, issued *cardtest.Issued, gpo emv.Data, s sale) bool {
	t.Helper()
	iad, err := emv.ParseIAD(gpo.Get(emv.TagIAD))
	if err != nil {
		t.Fatal(err)
	}
	terminal := s.data()
	for _, tag := range []tlv.Tag{emv.TagAmountOther, emv.TagTVR} {
		if !terminal.Has(tag) {
			terminal.Set(tag, make([]byte, map[tlv.Tag]int{emv.TagAmountOther: 6, emv.TagTVR: 5}[tag]))
		}
	}
	data, err := issued.Suite.AppendData(nil, iad.CVN, iad.CVR, gpo, terminal)
	if err != nil {
		t.Fatal(err)
	}
	atc := gpo.Get(emv.TagATC)
	session := issued.Suite.SessionKey(issued.CardKeys.AC, uint16(atc[0])<<8|uint16(atc[1]))
	return issued.Suite.Verify(session, data, [8]byte(gpo.Get(emv.TagAC)))
}
