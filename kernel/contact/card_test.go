package contact_test

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
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
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

const (
	testPAN = "6299991000000010"
	testPIN = "123456"
	pdol    = "9F7A01 9F0206 5F2A02"
	cdol1   = "9F0206 9F0306 9F1A02 9505 5F2A02 9A03 9F2103 9C01 9F3704 9F4E14"
)

// certificates are made once: they cost a few milliseconds.
var issuerCertificate = sync.OnceValues(func() ([]byte, []byte) {
	expiry, _ := pan.ParseExpiry("3012")
	spec := oda.IssuerCertSpec{IIN: "629999", Expiry: expiry, Serial: [3]byte{0, 0, 7}, Public: testkeys.Issuer(0).Public()}
	certificate, remainder, err := oda.MakeIssuerCertificate(testkeys.CA(0), spec)
	if err != nil {
		panic(err)
	}
	return certificate, remainder
})

// scene is a card, a terminal, a cardholder and a host of the tests: a sale of 12.50 with DDA that goes online and is approved, unless
// a test changes it.
type scene struct {
	testing.TB
	cfg contact.Config
	tx  contact.Transaction

	// The card.
	pse      bool
	blocked  bool // the application
	aids     []emv.AID
	priority map[emv.AID]byte
	proper   emv.Data // inside A5
	aip      emv.AIP
	format2  bool
	issuer   emv.Data // record 1.1
	icc      emv.Data // record 2.1
	data     emv.Data // record 3.1, signed
	static   emv.Data // record 4.1
	get      map[tlv.Tag][]byte
	tries    int
	signer   oda.PrivateKey // the issuer's
	key      oda.PrivateKey
	wants    emv.CID // what the card makes of the first GENERATE AC, when it is asked for that or more
	refuses  bool    // AAC to the second
	iad      []byte
	authSW   apdu.SW
	scriptSW []apdu.SW
	balance  int64
	onScript func(*scene, apdu.Command)

	// People and host.
	pins   []string
	choice int
	host   contact.Event
	papers bool

	// answer replaces the answer to the n-th command, from 1; empty: the card is gone.
	answer map[int][]byte
	// override replaces the answer to an instruction.
	override map[byte][]byte

	sent      []apdu.Command
	questions []contact.Action
	pdolData  []byte
	cdol1     []byte
	challenge []byte
	acs       int
	cursor    int
}

func newScene(t testing.TB) *scene {
	t.Helper()
	keys, err := oda.NewKeys(testkeys.CAKey(0))
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{TB: t, pse: true, aids: []emv.AID{emv.AIDDebit}, priority: map[emv.AID]byte{}, get: map[tlv.Tag][]byte{}, tries: 3,
		signer: testkeys.Issuer(0), key: testkeys.ICC(0), wants: emv.ARQC, iad: unhex(t, "07010103A0000001"), authSW: apdu.OK, pins: []string{testPIN},
		host:   contact.HostAnswer{ARC: [2]byte{'0', '0'}, Approved: true, IssuerAuth: unhex(t, "01020304050607083030")},
		answer: map[int][]byte{}, override: map[byte][]byte{}}
	s.cfg = contact.Config{
		Terminal: kernel.Config{Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xF9, 0xC8},
			Additional: emv.AdditionalTerminalCapabilities{0x70, 0, 0xF0, 0xB0, 0x01}, SerialNumber: "00000001", MerchantName: "CANTEEN", CAKeys: keys},
		Applications: []contact.Application{{AID: emv.UnionPayKernelPrefix, FloorLimit: money.New(50_000, money.CNY), ECLimit: money.New(100_000, money.CNY),
			TACDefault: tvr(t, "D84000A800"), TACOnline: tvr(t, "D84004F800"), TACDenial: tvr(t, "0010000000")}},
	}
	s.tx = contact.Transaction{Transaction: kernel.Transaction{
		Amount: money.New(1250, money.CNY), Other: money.New(0, money.CNY), Date: time.Date(2026, 11, 21, 12, 30, 59, 0, time.UTC),
		UnpredictableNumber: [4]byte{0x1A, 0x2B, 0x3C, 0x4D}, Country: 156, Counter: 17,
	}}
	s.proper.Set(emv.TagApplicationLabel, []byte("TEST DEBIT"))
	s.proper.Set(emv.TagPDOL, unhex(t, pdol))
	s.aip = emv.AIP{0x7C, 0}
	s.data.Set(emv.TagPAN, unhex(t, testPAN))
	s.data.Set(emv.TagExpiryDate, unhex(t, "301231"))
	s.data.Set(emv.TagEffectiveDate, unhex(t, "200101"))
	s.data.Set(emv.TagCardVersion, unhex(t, "0030"))
	s.data.Set(emv.TagUsageControl, unhex(t, "FF00"))
	s.data.Set(emv.TagIssuerCountry, unhex(t, "0156"))
	s.data.Set(emv.TagSDATagList, []byte{byte(emv.TagAIP)})
	s.data.Set(emv.TagCVMList, unhex(t, "0000000000000000 4103 4203 1F00"))
	s.data.Set(emv.TagIACDefault, unhex(t, "D86004A800"))
	s.data.Set(emv.TagIACDenial, unhex(t, "0010980000"))
	s.data.Set(emv.TagIACOnline, unhex(t, "D86804F800"))
	s.data.Set(emv.TagCDOL1, unhex(t, cdol1))
	s.data.Set(emv.TagCDOL2, unhex(t, "8A02"+cdol1))
	s.data.Set(emv.TagPANSequence, []byte{1})
	s.issuer.Set(emv.TagTrack2, unhex(t, testPAN+"D30122010000000F"))
	certificate, remainder := issuerCertificate()
	s.issuer.Set(emv.TagCAIndex, []byte{testkeys.CAKey(0).Index})
	s.issuer.Set(emv.TagIssuerCertificate, certificate)
	s.issuer.Set(emv.TagIssuerRemainder, remainder)
	s.issuer.Set(emv.TagIssuerExponent, testkeys.Issuer(0).Public().Exponent())
	s.icc.Set(emv.TagDDOL, unhex(t, "9F3704"))
	s.get[emv.TagATC], s.get[emv.TagLastOnlineATC] = []byte{0, 3}, []byte{0, 1}
	return s
}

func tvr(t testing.TB, s string) emv.TVR {
	t.Helper()
	v, err := emv.ParseTVR(unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// purse gives the card electronic cash.
func (s *scene) purse(minor int64) {
	s.balance = minor
	s.get[emv.TagECCurrency] = []byte{1, 0x56}
	s.get[emv.TagECResetThreshold], s.get[emv.TagECBalanceLimit] = n12(5000), n12(100_000)
}

func n12(minor int64) []byte {
	b, err := money.New(minor, money.CNY).BCD()
	if err != nil {
		panic(err)
	}
	return b[:]
}

// sign makes the card's certificate.
func (s *scene) sign() {
	s.Helper()
	static, err := oda.StaticData([]oda.Record{{SFI: 3, Body: s.data.Bytes()}}, s.aip[:], s.data.Get(emv.TagSDATagList))
	if err != nil {
		s.Fatal(err)
	}
	expiry, _ := pan.ParseExpiry("3012")
	number, _ := pan.Parse(testPAN)
	certificate, remainder, err := oda.MakeICCCertificate(s.signer, oda.ICCCertSpec{PAN: number, Expiry: expiry, Serial: [3]byte{0, 0, 9},
		Public: s.key.Public(), Static: static})
	if err != nil {
		s.Fatal(err)
	}
	s.icc.Set(emv.TagICCCertificate, certificate)
	if len(remainder) > 0 {
		s.icc.Set(emv.TagICCRemainder, remainder)
	}
	if exponent := s.key.Public().Exponent(); exponent != nil {
		s.icc.Set(emv.TagICCExponent, exponent)
	}
	s.static.Set(emv.TagSSAD, oda.SignStatic(s.signer, [2]byte{0xDA, 0xC5}, static))
}

func ok(b []byte) []byte { return apdu.OK.Append(b) }

func sw(w apdu.SW) []byte { return w.Append(nil) }

// reply is the card.
func (s *scene) reply(c apdu.Command) []byte {
	s.sent = append(s.sent, c)
	if b, known := s.answer[len(s.sent)]; known {
		return b
	}
	if b, known := s.override[c.INS]; known {
		return b
	}
	switch c.INS {
	case apdu.InsSelect:
		return s.selectFile(c)
	case apdu.InsReadRecord:
		return s.readRecord(c)
	case apdu.InsGPO:
		s.pdolData = c.Data[2:]
		if s.format2 {
			return ok(tlv.Wrap(emv.TagResponse2, tlv.Append(nil, emv.TagAIP, s.aip[:]), tlv.Append(nil, emv.TagAFL, unhex(s, "08010100 10010100 18010101 20010100"))))
		}
		return ok(tlv.Append(nil, emv.TagResponse1, append(s.aip[:], unhex(s, "08010100 10010100 18010101 20010100")...)))
	case apdu.InsInternalAuthenticate:
		return ok(tlv.Append(nil, emv.TagResponse1, oda.SignDynamic(s.key, []byte{2, 0xAB, 0xCD}, c.Data)))
	case apdu.InsGetData:
		return s.getData(tlv.Tag(c.P1)<<8 | tlv.Tag(c.P2))
	case apdu.InsGetChallenge:
		s.challenge = []byte{1, 2, 3, 4, 5, 6, 7, 8}
		return ok(s.challenge)
	case apdu.InsVerify:
		return s.verify(c)
	case apdu.InsGenerateAC:
		return s.generateAC(c)
	case apdu.InsExternalAuthenticate:
		return sw(s.authSW)
	}
	w := apdu.OK
	if len(s.scriptSW) > 0 {
		w, s.scriptSW = s.scriptSW[0], s.scriptSW[1:]
	}
	if s.onScript != nil && w == apdu.OK {
		s.onScript(s, c)
	}
	return sw(w)
}

func (s *scene) selectFile(c apdu.Command) []byte {
	if string(c.Data) == string(emv.PSE) {
		if !s.pse {
			return sw(apdu.FileNotFound)
		}
		return ok(tlv.Wrap(emv.TagFCI, tlv.Append(nil, emv.TagDFName, c.Data), tlv.Wrap(emv.TagFCIProprietary, tlv.Append(nil, emv.TagSFI, []byte{1}))))
	}
	if c.P2 == 0 {
		s.cursor = -1
	}
	for i, aid := range s.aids {
		if i <= s.cursor || !strings.HasPrefix(string(aid), string(c.Data)) {
			continue
		}
		s.cursor = i
		fci := tlv.Wrap(emv.TagFCI, tlv.Append(nil, emv.TagDFName, aid.Bytes()), tlv.Wrap(emv.TagFCIProprietary, s.proper.Bytes()))
		if s.blocked {
			return apdu.ApplicationBlocked.Append(fci)
		}
		return ok(fci)
	}
	return sw(apdu.FileNotFound)
}

func (s *scene) readRecord(c apdu.Command) []byte {
	if len(s.pdolData) == 0 && s.pdolData == nil { // the directory
		if int(c.P1) > len(s.aids) {
			return sw(apdu.RecordNotFound)
		}
		aid := s.aids[c.P1-1]
		entry := append(tlv.Append(nil, emv.TagAID, aid.Bytes()), tlv.Append(nil, emv.TagApplicationLabel, []byte("TEST"))...)
		if p, known := s.priority[aid]; known {
			entry = tlv.Append(entry, emv.TagPriority, []byte{p})
		}
		return ok(tlv.Wrap(emv.TagRecord, tlv.Append(nil, emv.TagApplicationTemplate, entry)))
	}
	for sfi, record := range map[byte]*emv.Data{1: &s.issuer, 2: &s.icc, 3: &s.data, 4: &s.static} {
		if c.P1 == 1 && c.P2 == apdu.SFIReference(sfi) {
			return ok(tlv.Append(nil, emv.TagRecord, record.Bytes()))
		}
	}
	return sw(apdu.RecordNotFound)
}

func (s *scene) getData(tag tlv.Tag) []byte {
	value, known := s.get[tag]
	switch {
	case tag == emv.TagPINTryCounter:
		value, known = []byte{byte(s.tries)}, true
	case tag == emv.TagECBalance && s.get[emv.TagECCurrency] != nil:
		value, known = n12(s.balance), true
	}
	if !known {
		return sw(apdu.DataNotFound)
	}
	return ok(tlv.Append(nil, tag, value))
}

func (s *scene) verify(c apdu.Command) []byte {
	block, err := pinblock.FromBytes(c.Data)
	if c.P2 == apdu.VerifyEnciphered {
		var fine bool
		if block, fine = oda.DecipherPIN(s.key, c.Data, [8]byte(s.challenge)); !fine {
			return sw(apdu.WrongData)
		}
	} else if err != nil {
		return sw(apdu.WrongLength)
	}
	pin, err := pinblock.ParseFormat2(block)
	if s.tries == 0 {
		return sw(apdu.PINBlocked)
	}
	if err != nil || pin.Reveal() != testPIN {
		s.tries--
		return sw(apdu.WrongPIN(s.tries))
	}
	s.tries = 3
	return ok(nil)
}

func (s *scene) generateAC(c apdu.Command) []byte {
	s.acs++
	asked, combined := emv.CID(c.P1).Type(), c.P1&0x10 != 0
	cid := asked
	if s.acs == 1 {
		s.cdol1 = c.Data
		if asked != emv.AAC && (s.wants == emv.AAC || asked == emv.TC) {
			cid = s.wants
		}
	} else if s.refuses {
		cid = emv.AAC
	}
	if cid == emv.TC && s.acs == 1 && s.balance > 0 && s.data.Has(emv.TagECAuthCode) {
		s.balance = max(0, s.balance-1250)
	}
	ac := [8]byte{1, 2, 3, 4, 5, 6, 7, byte(s.acs)}
	if !combined || cid == emv.AAC {
		return ok(tlv.Append(nil, emv.TagResponse1, append(append([]byte{byte(cid), 0, 3}, ac[:]...), s.iad...)))
	}
	body := tlv.Append(nil, emv.TagCID, []byte{byte(cid)})
	body = tlv.Append(body, emv.TagATC, []byte{0, 3})
	body = tlv.Append(body, emv.TagIAD, s.iad)
	parts := [][]byte{s.pdolData, s.cdol1}
	if s.acs == 2 {
		parts = append(parts, c.Data)
	}
	sdad := oda.SignCombined(s.key, oda.Combined{Number: []byte{0xAB, 0xCD}, CID: byte(cid), Cryptogram: ac}, s.tx.UnpredictableNumber,
		oda.HashTransaction(s.key.Public().Algorithm(), append(parts, body)...))
	return ok(tlv.Append(nil, emv.TagResponse2, tlv.Append(body, emv.TagSDAD, sdad)))
}

// run plays the scene to its end.
func (s *scene) run() contact.Outcome {
	s.Helper()
	s.sign()
	return s.play()
}

func (s *scene) play() contact.Outcome {
	s.Helper()
	m := contact.New(s.cfg, s.tx)
	a := m.Start()
	for a.Outcome == nil {
		if len(s.sent) > contact.MaxCommands || len(s.questions) > contact.MaxQuestions {
			s.Fatalf("%d commands, %d questions", len(s.sent), len(s.questions))
		}
		if a.Send != nil {
			if b := s.reply(*a.Send); len(b) > 0 {
				a = m.Next(contact.Response{Data: b})
			} else {
				a = m.Next(contact.CardLost{})
			}
			continue
		}
		s.questions = append(s.questions, a)
		a = m.Next(s.people(a))
	}
	return *a.Outcome
}

// gaveUp in place of a PIN: the cardholder takes the card back.
const gaveUp = "gave up"

func (s *scene) people(a contact.Action) contact.Event {
	s.Helper()
	switch {
	case a.Choose != nil:
		if s.choice < 0 {
			return contact.Cancelled{}
		}
		return contact.Chosen{Index: s.choice}
	case a.PIN != nil:
		if len(s.pins) == 0 {
			return contact.PINBypassed{}
		}
		next := s.pins[0]
		s.pins = s.pins[1:]
		if next == gaveUp {
			return contact.Cancelled{}
		}
		if a.PIN.Online {
			return contact.PINEntered{}
		}
		pin, err := pinblock.ParsePIN(next)
		if err != nil {
			s.Fatal(err)
		}
		return contact.PINEntered{PIN: pin}
	case a.Document != nil:
		return contact.DocumentChecked{Matches: s.papers}
	case a.Online != nil:
		return s.host
	}
	s.Fatal("action asks nothing")
	return nil
}

// asked is the instructions sent, for comparing the course of a dialogue.
func (s *scene) course() string {
	var names []string
	for _, c := range s.sent {
		names = append(names, apdu.InstructionName(c.INS).EN)
	}
	return strings.Join(names, ", ")
}

func otherKey() oda.PrivateKey { return testkeys.ICC(1) }

// sm2 gives card and terminal a chain of SM2 keys [REF 4.6].
func sm2(s *scene) {
	private := func(last byte) oda.PrivateKey {
		d := make([]byte, 32)
		d[0], d[31] = 0x11, last
		k, err := oda.NewSM2PrivateKey(d, oda.SM2Profile{})
		if err != nil {
			s.Fatal(err)
		}
		return k
	}
	ca := private(1)
	s.signer, s.key = private(2), private(3)
	keys, err := oda.NewKeys(oda.NewCAKey(emv.RIDUnionPay, 0xF2, ca.Public(), "20301231", "test"))
	if err != nil {
		s.Fatal(err)
	}
	expiry, _ := pan.ParseExpiry("3012")
	certificate, _, err := oda.MakeIssuerCertificate(ca, oda.IssuerCertSpec{IIN: "629999", Expiry: expiry, Serial: [3]byte{0, 0, 7}, Public: s.signer.Public()})
	if err != nil {
		s.Fatal(err)
	}
	s.cfg.Terminal.CAKeys, s.cfg.Terminal.SM = keys, true
	s.issuer.Set(emv.TagCAIndex, []byte{0xF2})
	s.issuer.Set(emv.TagIssuerCertificate, certificate)
	s.issuer.Delete(emv.TagIssuerRemainder)
	s.issuer.Delete(emv.TagIssuerExponent)
	s.proper.Set(emv.TagPDOL, unhex(s, pdol+"DF6901"))
}
