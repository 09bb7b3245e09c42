package card_test

import (
	"bytes"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

// insertion is a terminal's side of the contact dialogue in these tests.
type insertion struct {
	*reader
	chip   *card.Card
	issued *cardtest.Issued
	a      *card.Application
	sale   sale
	tvr    emv.TVR
	gpo    emv.Data // 82, 94
	told   [][]byte // for the combined signature
	first  emv.Data // CDOL1 data
	answer emv.Data // 9F27, 9F36, 9F26, 9F10 of the latest cryptogram
}

func insert(t testing.TB, c *card.Card, issued *cardtest.Issued) *insertion {
	a := &issued.Image.Applications[0]
	i := &insertion{reader: &reader{TB: t, field: card.NewSlot(c), pdol: a.Contact.PDOL, aid: a.AID}, chip: c, issued: issued, a: a}
	i.sale = sale{amount: 1000}
	return i
}

// contactCard issues a card with the contact profile. change may be nil.
func contactCard(t testing.TB, change func(*card.Image)) (*card.Card, *cardtest.Issued) {
	t.Helper()
	return cardtest.New(t, cardtest.Options{Contact: true, Change: change})
}

// terminalData is what the terminal tells by a list: the sale, the TVR, a response code, and whether it supports electronic cash.
func (i *insertion) terminalData(cash bool, arc string) emv.Data {
	d := i.sale.data()
	d.Set(emv.TagTVR, i.tvr[:])
	d.Set(emv.TagECTerminalSupport, []byte{0})
	if cash {
		d.Set(emv.TagECTerminalSupport, []byte{1})
	}
	if arc != "" {
		d.Set(emv.TagARC, []byte(arc))
	}
	return d
}

// open selects and initiates.
func (i *insertion) open(cash bool) {
	i.Helper()
	i.selectApplication()
	i.initiate(cash)
}

func (i *insertion) initiate(cash bool) {
	i.Helper()
	data := i.pdol.Build(nil, i.terminalData(cash, ""))
	response := i.send(apdu.GPO(data), apdu.OK)
	i.told = [][]byte{data}
	i.gpo = i.parse(response, []tlv.Tag{emv.TagAIP, emv.TagAFL}, []int{2})
}

// parse reads format 1 or 2; lengths are those of the objects before the last one.
func (i *insertion) parse(response []byte, tags []tlv.Tag, lengths []int) (d emv.Data) {
	i.Helper()
	if _, ok := tlv.Find(response, emv.TagResponse2); ok {
		return i.inside(response, emv.TagResponse2)
	}
	value, ok := tlv.Find(response, emv.TagResponse1)
	if !ok {
		i.Fatalf("neither format: %X", response)
	}
	for n, length := range lengths {
		d.Set(tags[n], value[:length])
		value = value[length:]
	}
	d.Set(tags[len(tags)-1], value)
	return d
}

// generate asks for a cryptogram and expects one of a type.
func (i *insertion) generate(asked, want emv.CID, cash bool, arc string) emv.Data {
	i.Helper()
	i.answer = i.generateWith(byte(asked), cash, arc)
	if got := emv.CID(i.answer.Get(emv.TagCID)[0]); got.Type() != want {
		i.Fatalf("asked for %v: got %v, want %v, CVR %v", asked, got, want, i.iad(i.answer).CVR)
	}
	return i.answer
}

func (i *insertion) generateWith(p1 byte, cash bool, arc string) emv.Data {
	i.Helper()
	list, data := emv.TagCDOL1, i.terminalData(cash, arc)
	if arc != "" {
		list = emv.TagCDOL2
	}
	told := i.list(list).Build(nil, data)
	response := i.send(apdu.GenerateAC(p1, told), apdu.OK)
	i.told = append(i.told, told)
	if arc == "" {
		i.first = data
	}
	return i.parse(response, []tlv.Tag{emv.TagCID, emv.TagATC, emv.TagAC, emv.TagIAD}, []int{1, 2, 8})
}

// list takes a data object list from the card's records.
func (i *insertion) list(tag tlv.Tag) emv.DOL {
	i.Helper()
	for _, r := range i.a.Records {
		if value, ok := tlv.Find(r.Body, tag); ok {
			dol, err := emv.ParseDOL(value)
			if err != nil {
				i.Fatal(err)
			}
			return dol
		}
	}
	i.Fatalf("no %v", tag)
	return nil
}

func (i *insertion) atc() uint16 {
	b := i.answer.Get(emv.TagATC)
	return uint16(b[0])<<8 | uint16(b[1])
}

// verifyCryptogram checks the latest cryptogram as the issuer does.
func (i *insertion) verifyCryptogram(cash bool, arc string) {
	i.Helper()
	iad := i.iad(i.answer)
	data := i.terminalData(cash, arc)
	data.Set(emv.TagAmountOther, make([]byte, 6))
	input, err := i.issued.Suite.AppendData(nil, iad.CVN, iad.CVR, i.answer, data, i.gpo)
	if err != nil {
		i.Fatal(err)
	}
	session := i.issued.Suite.SessionKey(i.issued.CardKeys.AC, i.atc())
	if !i.issued.Suite.Verify(session, input, [8]byte(i.answer.Get(emv.TagAC))) {
		i.Fatalf("the issuer does not accept the cryptogram %v", i.answer)
	}
	if len(iad.IDD) > 0 {
		want := i.issued.Suite.IDDMAC(i.issued.Suite.SessionKey(i.issued.CardKeys.MAC, i.atc()), i.atc(), iad.IDDValue())
		if want != iad.IDDMAC {
			i.Fatal("the issuer does not accept the discretionary data")
		}
	}
}

// arpc is the issuer's answer to the latest cryptogram.
func (i *insertion) arpc(arc string) []byte {
	session := i.issued.Suite.SessionKey(i.issued.CardKeys.AC, i.atc())
	code := [2]byte([]byte(arc))
	data := cryptogram.IssuerAuthData(i.issued.Suite.ARPC(session, [8]byte(i.answer.Get(emv.TagAC)), code), code)
	return data[:]
}

// seal puts the MAC of the issuer behind a command.
func (i *insertion) seal(cla, ins, p1, p2 byte, data []byte, ac []byte) apdu.Command {
	session := i.issued.Suite.SessionKey(i.issued.CardKeys.MAC, i.atc())
	mac := i.issued.Suite.ScriptMAC(session, [5]byte{cla, ins, p1, p2, byte(len(data) + 4)}, i.atc(), [8]byte(ac), data)
	return apdu.Command{CLA: cla, INS: ins, P1: p1, P2: p2, Data: append(bytes.Clone(data), mac[:]...)}
}

// online runs the dialogue up to the first cryptogram, for the issuer, and keeps it.
func (i *insertion) online() (arqc []byte) {
	i.Helper()
	i.open(false)
	i.generate(emv.ARQC, emv.ARQC, false, "")
	i.verifyCryptogram(false, "")
	return i.answer.Get(emv.TagAC)
}

// settle authenticates the issuer and ends the payment with its approval.
func (i *insertion) settle() {
	i.Helper()
	i.send(apdu.ExternalAuthenticate(i.arpc("00")), apdu.OK)
	i.generate(emv.TC, emv.TC, false, "00")
	i.verifyCryptogram(false, "00")
}

// pay is a whole online payment.
func (i *insertion) payOnline() {
	i.Helper()
	i.online()
	i.settle()
}

func (i *insertion) state() card.ApplicationState { return i.chip.State().Applications[0] }

func TestContactOnline(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	i.online()
	cvr := i.iad(i.answer).CVR
	if want := (emv.CVR{3, 0xA0, 0, 0}); cvr != want {
		t.Errorf("first CVR %v, want %v", cvr, want)
	}
	if !i.state().History.LastOnlineIncomplete {
		t.Error("the card does not remember that it waits for its issuer")
	}
	i.settle()
	if cvr := i.iad(i.answer).CVR; cvr != (emv.CVR{3, 0x60, 0, 0}) {
		t.Errorf("second CVR %v", cvr)
	}
	s := i.state()
	if s.History != (card.History{}) || s.LastOnlineATC != s.ATC || s.ATC != 2 {
		t.Errorf("after an online payment: %+v, last online %d of %d", s.History.LastOnlineIncomplete, s.LastOnlineATC, s.ATC)
	}
	if balance, ok := i.iad(i.answer).Balance(); !ok || balance != 8750 {
		t.Errorf("the issuer reads a balance of %d", balance)
	}
	i.send(apdu.GenerateAC(0x40, nil), apdu.ConditionsNotSatisfied)
}

// Both formats say the same [EMV B3 6.5.5.4] [EMV B3 6.5.8.4].
func TestContactFormats(t *testing.T) {
	for _, format2 := range []bool{false, true} {
		c, issued := contactCard(t, func(image *card.Image) { image.Applications[0].Contact.Format2 = format2 })
		i := insert(t, c, issued)
		i.open(false)
		if !bytes.Equal(i.gpo.Get(emv.TagAFL), issued.Image.Applications[0].Contact.AFL.Bytes()) || !bytes.Equal(i.gpo.Get(emv.TagAIP), []byte{0x7D, 0}) {
			t.Errorf("format 2 %v: %v", format2, i.gpo)
		}
		i.generate(emv.TC, emv.TC, false, "")
		i.verifyCryptogram(false, "")
	}
}

// The chain of static, dynamic and combined authentication [EMV B2 5] [EMV B2 6].
func TestContactAuthentication(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
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
	if dac, err := oda.VerifySSAD(issuer, all.Get(emv.TagSSAD), static); err != nil || dac != [2]byte{0xDA, 0xC5} {
		t.Errorf("static data: %X, %v", dac, err)
	}
	number := []byte{0xA1, 0xB2, 0xC3, 0xD4}
	response := i.send(apdu.InternalAuthenticate(number), apdu.OK)
	signature, _ := tlv.Find(response, emv.TagResponse1)
	dynamic, err := oda.VerifyDDA(icc, signature, number)
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := oda.DynamicNumber(dynamic); !ok || len(n) != 8 {
		t.Errorf("dynamic number %X", n)
	}
	i.send(apdu.InternalAuthenticate(number[:3]), apdu.WrongLength)
	i.send(apdu.InternalAuthenticate(append(bytes.Clone(number), 0)), apdu.WrongLength)
	i.send(apdu.Command{INS: apdu.InsInternalAuthenticate, P1: 1, Data: number}, apdu.WrongParameters)

	i.combined(icc, 0x90, "")
	if cvr := i.iad(i.answer).CVR; !cvr.Has(emv.CVRDDAPerformed) {
		t.Errorf("CVR %v", cvr)
	}
	i.combined(icc, 0x50, "Y3")
	if i.answer.Get(emv.TagCID)[0] != byte(emv.TC) {
		t.Errorf("CID %X", i.answer.Get(emv.TagCID))
	}
	i.send(apdu.InternalAuthenticate(number), apdu.ConditionsNotSatisfied)
}

// combined asks for a signed cryptogram and checks it as a terminal does; the cryptogram lands in answer.
func (i *insertion) combined(icc oda.ICCKey, p1 byte, arc string) {
	i.Helper()
	i.answer = i.generateWith(p1, false, arc)
	if i.answer.Has(emv.TagAC) {
		i.Fatal("the cryptogram stands beside its signature")
	}
	var rest []byte
	for tag, value := range i.answer.All() {
		if tag != emv.TagSDAD {
			rest = tlv.Append(rest, tag, value)
		}
	}
	data := i.terminalData(false, arc)
	got, err := oda.VerifyCombined(icc, i.answer.Get(emv.TagSDAD), [4]byte(data.Get(emv.TagUnpredictableNumber)),
		oda.HashTransaction(icc.PublicKey().Algorithm(), append(i.told, rest)...))
	if err != nil {
		i.Fatal(err)
	}
	if got.CID != i.answer.Get(emv.TagCID)[0] {
		i.Errorf("signed CID %02X", got.CID)
	}
	i.answer.Set(emv.TagAC, got.Cryptogram[:])
	i.verifyCryptogram(false, arc)
}

// A refusal is not signed, and a card without the method does not pretend.
func TestCombinedRefused(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	i.open(false)
	i.answer = i.generateWith(0x10, false, "")
	if i.answer.Has(emv.TagSDAD) || !i.answer.Has(emv.TagAC) {
		t.Error("a refusal is signed")
	}
	c, issued = contactCard(t, func(image *card.Image) { image.Applications[0].Contact.AIP = emv.AIP{0x7C, 0} })
	i = insert(t, c, issued)
	i.open(false)
	i.send(apdu.GenerateAC(0x90, i.list(emv.TagCDOL1).Build(nil, i.terminalData(false, ""))), apdu.WrongParameters)
	i.generate(emv.ARQC, emv.ARQC, false, "")
}

func TestGenerateRefusals(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	i.selectApplication()
	good := i.list(emv.TagCDOL1).Build(nil, i.terminalData(false, ""))
	i.send(apdu.GenerateAC(0x80, good), apdu.ConditionsNotSatisfied) // before GPO
	i.initiate(false)
	bad := bytes.Clone(good)
	bad[0] = 0xAA
	for _, row := range []struct {
		name string
		cmd  apdu.Command
		want apdu.SW
	}{
		{"reserved type", apdu.GenerateAC(0xC0, good), apdu.WrongParameters},
		{"reserved bits", apdu.GenerateAC(0x81, good), apdu.WrongParameters},
		{"P2", apdu.Command{CLA: 0x80, INS: apdu.InsGenerateAC, P1: 0x80, P2: 1, Data: good}, apdu.WrongParameters},
		{"short", apdu.GenerateAC(0x80, good[1:]), apdu.WrongLength},
		{"long", apdu.GenerateAC(0x80, append(bytes.Clone(good), 0)), apdu.WrongLength},
		{"nothing", apdu.GenerateAC(0x80, nil), apdu.WrongLength},
		{"amount no digits", apdu.GenerateAC(0x80, bad), apdu.WrongData},
		{"issuer too early", apdu.ExternalAuthenticate(make([]byte, 10)), apdu.ConditionsNotSatisfied},
		{"script too early", apdu.Command{CLA: 4, INS: apdu.InsPutData, P1: 0x9F, P2: 0x79, Data: make([]byte, 10)}, apdu.ConditionsNotSatisfied},
		{"GPO twice", apdu.GPO(i.pdol.Build(nil, i.terminalData(false, ""))), apdu.ConditionsNotSatisfied},
	} {
		before := c.State()
		i.send(row.cmd, row.want)
		if c.State() != before {
			t.Errorf("%s: state changed", row.name)
		}
	}
	i.generate(emv.ARQC, emv.ARQC, false, "")
	second := i.list(emv.TagCDOL2).Build(nil, i.terminalData(false, "00"))
	i.send(apdu.GenerateAC(0x80, second), apdu.WrongParameters)
	i.send(apdu.GenerateAC(0x40, good), apdu.WrongLength)
	i.send(apdu.Verify(apdu.VerifyPlaintext, make([]byte, 8)), apdu.ConditionsNotSatisfied) // verification is over
	i.send(apdu.GetChallenge(), apdu.ConditionsNotSatisfied)
	i.generate(emv.AAC, emv.AAC, false, "05")
}

func TestContactGPORefusals(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	good := i.pdol.Build(nil, i.terminalData(false, ""))
	for _, row := range []struct {
		cmd  apdu.Command
		want apdu.SW
	}{
		{apdu.Command{CLA: 0x80, INS: apdu.InsGPO, P1: 1, Data: tlv.Wrap(0x83, good)}, apdu.WrongParameters},
		{apdu.Command{CLA: 0x80, INS: apdu.InsGPO, P2: 1, Data: tlv.Wrap(0x83, good)}, apdu.WrongParameters},
		{apdu.GPO(good[1:]), apdu.WrongLength}, {apdu.GPO(nil), apdu.WrongLength},
		{apdu.Command{CLA: 0x80, INS: apdu.InsGPO, Data: tlv.Wrap(0x84, good)}, apdu.WrongData},
	} {
		i.selectApplication()
		i.send(row.cmd, row.want)
	}
	// A card without the dialogue, on contact.
	c, issued = cardtest.New(t, cardtest.Options{})
	slot := &reader{TB: t, field: card.NewSlot(c), aid: emv.AIDDebit, pdol: issued.Image.Applications[0].PDOL}
	slot.selectApplication()
	slot.send(slot.gpo(sale{ttq: gate}), apdu.ConditionsNotSatisfied)
	// The last counter.
	c, issued = contactCard(t, func(image *card.Image) { image.State.Applications[0].ATC = 0xFFFE })
	i = insert(t, c, issued)
	i.selectApplication()
	i.send(apdu.GPO(good), apdu.ConditionsNotSatisfied)
	i.selectApplication()
	i.send(apdu.GPO(good), apdu.ConditionsNotSatisfied)
	if c.State().Applications[0].ATC != 0xFFFF {
		t.Error("counter moved on")
	}
}

// The published trace of a contact directory and of an application's answer [REF 1.2].
func TestPublishedPSE(t *testing.T) {
	c, issued := contactCard(t, func(image *card.Image) {
		first := image.Applications[0]
		first.PDOL, first.Language = nil, "cn"
		contact := *first.Contact
		contact.PDOL, contact.CashAFL, contact.FullAFL, contact.FullAIP = nil, nil, nil, emv.AIP{}
		first.Contact, first.LoadLog = &contact, card.LogLayout{}
		image.Applications = nil
		for _, row := range []struct {
			aid      emv.AID
			label    string
			priority byte
		}{{emv.AIDCredit, "UICC CREDIT", 4}, {emv.AIDDebit, "UICC DEBIT", 2}, {emv.AIDQuasiCredit, "UICC QUASICREDIT", 3}} {
			a := first
			a.AID, a.Label, a.PreferredName, a.Priority = row.aid, row.label, row.label, row.priority
			image.State.Applications[len(image.Applications)] = image.State.Applications[0]
			image.Applications = append(image.Applications, a)
		}
	})
	_ = issued
	r := &reader{TB: t, field: card.NewSlot(c)}
	for _, row := range []struct {
		cmd  apdu.Command
		sw   apdu.SW
		want string
	}{
		{apdu.Select([]byte(emv.PSE)), apdu.OK, "6F15840E315041592E5359532E4444463031A503880101"},
		{apdu.ReadRecord(1, 1), apdu.OK, "701C611A4F08A000000333010102500B55494343204352454449548701 04"},
		{apdu.ReadRecord(1, 2), apdu.OK, "701B61194F08A000000333010101500A55494343204445424954 870102"},
		{apdu.ReadRecord(1, 3), apdu.OK, "7021611F4F08A000000333010103501055494343205155415349435245444954 870103"},
		{apdu.ReadRecord(1, 4), apdu.RecordNotFound, ""},
		{apdu.ReadRecord(2, 1), apdu.FileNotFound, ""},
		{apdu.SelectNext([]byte(emv.PSE)), apdu.FileNotFound, ""},
		{apdu.Select([]byte(emv.PPSE)), apdu.FileNotFound, ""},
		{apdu.Select(emv.RIDUnionPay[:]), apdu.OK,
			"6F3B8408A000000333010102A52F500B55494343204352454449548701045F2D02636E9F1101019F120B5549434320435245444954BF0C059F4D020B0A"},
		{apdu.SelectNext(emv.RIDUnionPay[:]), apdu.OK,
			"6F398408A000000333010101A52D500A554943432044454249548701025F2D02636E9F1101019F120A55494343204445424954BF0C059F4D020B0A"},
	} {
		if got := r.send(row.cmd, row.sw); !bytes.Equal(got, unhex(t, row.want)) {
			t.Errorf("%v\n%X, want\n%s", row.cmd, got, row.want)
		}
	}
	// Applications without a PDOL have no contactless payment and do not show themselves there.
	field := &reader{TB: t, field: card.NewField(c)}
	field.send(apdu.Select([]byte(emv.PPSE)), apdu.FileNotFound)
	field.send(apdu.Select(emv.AIDDebit.Bytes()), apdu.FileNotFound)
	field.send(apdu.Select([]byte(emv.PSE)), apdu.FileNotFound)
}

// Carriers offer one interface or two; a card need not have a directory.
func TestCarriers(t *testing.T) {
	c, issued := contactCard(t, func(image *card.Image) { image.Interfaces = card.Contactless })
	if c.PowerOn(card.Contact) != nil {
		t.Error("a card without contacts woke up in a slot")
	}
	if _, ok := insert(t, c, issued).try(apdu.Select([]byte(emv.PSE))); ok {
		t.Error("it answered there")
	}
	if got := c.PowerOn(card.Contactless); string(got) != "tapnet" {
		t.Errorf("historical bytes %q", got)
	}
	c, issued = contactCard(t, func(image *card.Image) { image.Interfaces, image.NoPSE = card.Contact, true })
	if c.PowerOn(card.Contactless) != nil {
		t.Error("a card without an antenna woke up in a field")
	}
	i := insert(t, c, issued)
	i.send(apdu.Select([]byte(emv.PSE)), apdu.FileNotFound)
	i.payOnline()
	if _, _, err := cardtest.Issue(cardtest.Options{Change: func(image *card.Image) { image.Interfaces = 8 }}); err == nil {
		t.Error("an unknown interface was accepted")
	}
}
