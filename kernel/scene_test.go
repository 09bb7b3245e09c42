package kernel_test

import (
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/internal/testkeys"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("hex: %v", err)
	}
	return b
}

// scene is a card, a reader and a transaction of the tests: an approved payment with version 01 unless a test changes it.
type scene struct {
	testing.TB
	cfg      kernel.Config
	tx       kernel.Transaction
	sel      kernel.Selection
	sw       apdu.SW        // of GET PROCESSING OPTIONS
	gpo      emv.Data       // contents of template 77
	issuer   emv.Data       // record 1.1
	icc      emv.Data       // record 2.1
	data     emv.Data       // record 3.1, signed
	last     emv.Data       // record 4.1
	signer   oda.PrivateKey // the issuer's
	key      oda.PrivateKey // the card's
	version  byte
	unsigned bool   // leave 9F4B out
	signCTQ  []byte // in 9F69; nil: as in the answer
	// late changes bytes after everything is signed.
	late func(*scene)
	// answer replaces the answer to command n, from 1; nil: as scripted. An empty answer: the card is gone.
	answer map[int][]byte

	commands int
}

const testPAN = "6299991000000010"

// certificates are made once: they cost a few milliseconds.
var certificates = sync.OnceValues(func() (oda.IssuerCertSpec, [2][]byte) {
	expiry, _ := pan.ParseExpiry("3012")
	spec := oda.IssuerCertSpec{IIN: "629999", Expiry: expiry, Serial: [3]byte{0, 0, 7}, Public: testkeys.Issuer(0).Public()}
	certificate, remainder, err := oda.MakeIssuerCertificate(testkeys.CA(0), spec)
	if err != nil {
		panic(err)
	}
	return spec, [2][]byte{certificate, remainder}
})

// pdol is that of the public trace [REF 1.2].
const pdol = "9F6604 9F0206 9F0306 9F1A02 9505 5F2A02 9A03 9C01 9F3704"

func fci(t testing.TB, inA5 ...[]byte) []byte {
	return tlv.Wrap(emv.TagFCI, tlv.Wrap(emv.TagDFName, emv.AIDDebit.Bytes()), tlv.Wrap(emv.TagFCIProprietary, inA5...))
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{TB: t, sw: apdu.OK, signer: testkeys.Issuer(0), key: testkeys.ICC(0), version: 1, answer: map[int][]byte{}}
	keys, err := oda.NewKeys(testkeys.CAKey(0))
	if err != nil {
		t.Fatal(err)
	}
	s.cfg = kernel.Config{
		Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xE1, 0xC8}, SerialNumber: "00000001", TerminalID: "T0000001",
		MerchantName: "CANTEEN", CAKeys: keys,
	}
	s.tx = kernel.Transaction{
		Amount: money.New(1250, money.CNY), Other: money.New(0, money.CNY), Date: time.Date(2026, 11, 21, 12, 30, 59, 0, time.UTC),
		UnpredictableNumber: [4]byte{0x1A, 0x2B, 0x3C, 0x4D}, Country: 156, TTQ: emv.TTQ{0x36, 0, 0, 0x80}, Counter: 17,
	}
	s.sel = kernel.Selection{AID: emv.AIDDebit, FCI: fci(t, tlv.Append(nil, emv.TagApplicationLabel, []byte("TEST")), tlv.Append(nil, emv.TagPDOL, unhex(t, pdol)))}
	s.gpo.Set(emv.TagAIP, unhex(t, "7C00"))
	s.gpo.Set(emv.TagAFL, unhex(t, "08010100 10010100 18010101 20010100"))
	s.gpo.Set(emv.TagATC, unhex(t, "0003"))
	s.gpo.Set(emv.TagAC, unhex(t, "0102030405060708"))
	s.setCID(emv.TC)
	s.gpo.Set(emv.TagTrack2, unhex(t, testPAN+"D30122010000000F"))
	s.gpo.Set(emv.TagPANSequence, unhex(t, "01"))
	s.gpo.Set(emv.TagCTQ, unhex(t, "0000"))
	s.gpo.Set(emv.TagAvailableOffline, unhex(t, "000000007500"))
	s.data.Set(emv.TagPAN, unhex(t, testPAN))
	s.data.Set(emv.TagExpiryDate, unhex(t, "301231"))
	s.data.Set(emv.TagCardVersion, unhex(t, "0030"))
	s.data.Set(emv.TagSDATagList, []byte{byte(emv.TagAIP)})
	s.last.Set(emv.TagECAuthCode, []byte("ECC001"))
	_, issuer := certificates()
	s.issuer.Set(emv.TagCAIndex, []byte{testkeys.CAKey(0).Index})
	s.issuer.Set(emv.TagIssuerCertificate, issuer[0])
	s.issuer.Set(emv.TagIssuerRemainder, issuer[1])
	s.issuer.Set(emv.TagIssuerExponent, testkeys.Issuer(0).Public().Exponent())
	return s
}

// setCID writes issuer data whose card verification results name the cryptogram, with the balance after the payment.
func (s *scene) setCID(cid emv.CID) {
	cvr := emv.NewCVR()
	cvr.SetFirst(cid)
	iad := emv.IAD{DKI: 1, CVN: 1, CVR: cvr, Algorithm: 1, IDD: []byte{emv.IDDBalance, 0, 0, 0, 0x75, 0}}
	s.gpo.Set(emv.TagIAD, iad.Bytes())
}

func (s *scene) setCTQ(bits ...emv.CTQBit) {
	var ctq emv.CTQ
	for _, b := range bits {
		ctq.Set(b)
	}
	s.gpo.Set(emv.TagCTQ, ctq[:])
}

// sign makes the card's certificate and dynamic signature.
func (s *scene) sign() {
	s.Helper()
	body := s.data.Bytes()
	static, err := oda.StaticData([]oda.Record{{SFI: 3, Body: body}}, s.gpo.Get(emv.TagAIP), s.data.Get(emv.TagSDATagList))
	if err != nil {
		s.Fatal(err)
	}
	number, err := pan.Parse(testPAN)
	if err != nil {
		s.Fatal(err)
	}
	expiry, _ := pan.ParseExpiry("3012")
	icc := s.key
	certificate, remainder, err := oda.MakeICCCertificate(s.signer, oda.ICCCertSpec{PAN: number, Expiry: expiry, Public: icc.Public(), Static: static})
	if err != nil {
		s.Fatal(err)
	}
	s.icc.Set(emv.TagICCCertificate, certificate)
	if exponent := icc.Public().Exponent(); exponent != nil {
		s.icc.Set(emv.TagICCExponent, exponent)
	}
	if len(remainder) > 0 {
		s.icc.Set(emv.TagICCRemainder, remainder)
	}
	in := oda.FDDAInput{Version: s.version, UnpredictableNumber: s.tx.UnpredictableNumber, Currency: [2]byte{0x01, 0x56}}
	in.Amount, err = s.tx.Amount.BCD()
	if err != nil {
		s.Fatal(err)
	}
	if s.version == 1 {
		ctq := s.signCTQ
		if ctq == nil {
			if ctq = s.gpo.Get(emv.TagCTQ); ctq == nil {
				ctq = []byte{0, 0}
			}
		}
		in.CardAuthData = append(append([]byte{1, 0xA1, 0xA2, 0xA3, 0xA4}, ctq...), 0)
		s.last.Set(emv.TagCardAuthData, in.CardAuthData)
	}
	if !s.unsigned {
		atc := s.gpo.Get(emv.TagATC)
		s.gpo.Set(emv.TagSDAD, oda.SignFDDA(icc, uint16(atc[0])<<8|uint16(atc[1]), in))
	}
}

// reply is the card: an empty answer means that it is gone.
func (s *scene) reply(command apdu.Command) []byte {
	s.Helper()
	s.commands++
	if b, ok := s.answer[s.commands]; ok {
		return b
	}
	ok := func(template tlv.Tag, body []byte) []byte {
		return apdu.OK.Append(tlv.Wrap(template, body))
	}
	switch {
	case command.INS == apdu.InsGPO:
		if s.sw != apdu.OK {
			return s.sw.Append(nil)
		}
		return ok(emv.TagResponse2, s.gpo.Bytes())
	case command.INS == apdu.InsReadRecord && command.P1 == 1:
		for sfi, record := range map[byte]emv.Data{1: s.issuer, 2: s.icc, 3: s.data, 4: s.last} {
			if command.P2 == apdu.SFIReference(sfi) {
				return ok(emv.TagRecord, record.Bytes())
			}
		}
	}
	return apdu.RecordNotFound.Append(nil)
}

// run plays the scene to its end.
func (s *scene) run() kernel.Outcome {
	s.Helper()
	s.sign()
	if s.late != nil {
		s.late(s)
	}
	m := kernel.New(s.cfg, s.tx, s.sel)
	return s.play(m, m.Start())
}

func (s *scene) play(m *kernel.Machine, a kernel.Action) kernel.Outcome {
	s.Helper()
	sent := 0
	for a.Outcome == nil {
		if a.Send == nil {
			s.Fatal("action has neither a command nor an outcome")
		}
		if sent++; sent > kernel.MaxCommands {
			s.Fatalf("more than %d commands", kernel.MaxCommands)
		}
		if b := s.reply(*a.Send); len(b) > 0 {
			a = m.Next(kernel.Response{Data: b})
		} else {
			a = m.Next(kernel.CardLost{})
		}
	}
	if a.Send != nil {
		s.Fatal("action has both a command and an outcome")
	}
	return *a.Outcome
}
