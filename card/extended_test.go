package card_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
)

// merchantFile is the file of the extended application in these tests.
const merchantFile = 0x15

// merchant is a transit operator's side of the extended application.
type merchant struct {
	*reader
	chip    *card.Card
	issued  *cardtest.Issued
	opening cryptogram.Key
	key     cryptogram.Key // of the record
	kind    byte
	sale    sale
}

func newMerchant(t testing.TB, indicator byte, change func(*card.Image)) *merchant {
	t.Helper()
	_, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		a := &image.Applications[0]
		a.PDOL = append(a.PDOL, emv.DOLEntry{Tag: emv.TagCAPPIndicator, Len: 1})
		a.Extended = emv.ExtendedIndicator{indicator}
		a.Files = []card.ExtendedFile{{SFI: merchantFile}}
		a.Objects.Set(emv.TagSegmentLimit, bcd(2000))
		if change != nil {
			change(image)
		}
	}})
	m := &merchant{issued: issued, opening: keyOf(t, "0123456789ABCDEFFEDCBA9876543210"), key: keyOf(t, "00112233445566778899AABBCCDDEEFF")}
	keys := card.NewSoftCrypto(issued.Suite, issued.CardKeys, issued.Key).WithFileKey(merchantFile, m.opening)
	c, err := card.New(&issued.Image, keys, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m.chip, m.reader, m.sale = c, present(t, c, issued), sale{ttq: offlineGate, amount: 100}
	return m
}

func (m *merchant) appendCommand(content []byte) apdu.Command {
	wrapped := m.issued.Suite.WrapKey(m.opening, m.key)
	data := append(wrapped[:], content...)
	mac := m.issued.Suite.Cryptogram(m.opening, append([]byte{4, apdu.InsAppendRecord, 0, merchantFile << 3, byte(len(data) + 4)}, data...))
	return apdu.Command{CLA: 4, INS: apdu.InsAppendRecord, P2: merchantFile << 3, Data: append(data, mac[:4]...)}
}

func (m *merchant) recordMAC(data []byte) []byte {
	input := bytes.Clone(data)
	atc := m.chip.State().Applications[0].ATC
	input[6] ^= byte(atc >> 8)
	input[7] ^= byte(atc)
	mac := m.issued.Suite.Cryptogram(m.key, input)
	return mac[:4]
}

func (m *merchant) update(content []byte) apdu.Command {
	header := []byte{0x84, apdu.InsUpdateCAPPDataCache, 1, merchantFile << 3, byte(len(content) + 4)}
	mac := m.recordMAC(append(header, content...))
	return apdu.Command{CLA: 0x84, INS: apdu.InsUpdateCAPPDataCache, P1: 1, P2: merchantFile << 3, Data: append(bytes.Clone(content), mac...)}
}

func (m *merchant) read(id ...byte) apdu.Command {
	return apdu.Command{CLA: 0x80, INS: apdu.InsReadCAPPData, P1: 1, P2: merchantFile << 3, Data: id, Le: 256}
}

func (m *merchant) initiate(want apdu.SW) emv.Data {
	m.Helper()
	m.selectApplication()
	d := m.sale.data()
	d.Set(emv.TagCAPPIndicator, []byte{m.kind})
	data := m.send(apdu.GPO(m.pdol.Build(nil, d)), want)
	if want != apdu.OK {
		return emv.Data{}
	}
	return m.inside(data, emv.TagResponse2)
}

// register creates the merchant's record.
func (m *merchant) register(content string) {
	m.Helper()
	m.selectApplication()
	m.send(m.appendCommand([]byte(content)), apdu.OK)
}

// ride pays with a new content of the record.
func (m *merchant) ride(kind byte, amount int64, content string) {
	m.Helper()
	m.kind, m.sale.amount = kind, amount
	m.initiate(apdu.OK)
	m.send(m.read([]byte(content[:2])...), apdu.OK)
	m.send(m.update([]byte(content)), apdu.OK)
	m.send(last(), apdu.OK)
}

func (m *merchant) state() card.ApplicationState { return m.chip.State().Applications[0] }

func (m *merchant) money(balance, advanced int64) {
	m.Helper()
	if s := m.state(); s.Purses[0].Balance != balance || s.SegmentUsed != advanced {
		m.Errorf("balance %d, advanced %d; want %d, %d", s.Purses[0].Balance, s.SegmentUsed, balance, advanced)
	}
}

// Segmented deduction: the entry costs nothing and leaves a mark, the exit pays, and the card advances what the purse lacks [REF 2.8].
func TestSegmentedDeduction(t *testing.T) {
	m := newMerchant(t, 0x01, func(image *card.Image) { image.State.Applications[0].Purses[0].Balance = 500 })
	m.register("T1 out")
	m.ride(1, 0, "T1 in at station 7")
	m.money(500, 0)
	m.kind = 1
	m.initiate(apdu.OK)
	if got := m.send(m.read('T', '1'), apdu.OK); string(got) != "T1 in at station 7" {
		t.Errorf("record %q", got)
	}
	m.ride(1, 300, "T1 out")
	m.money(200, 0)
	m.ride(1, 1000, "T1 out")
	m.money(0, 800)
	if got := m.amount(emv.TagSegmentUsed); got != 800 {
		t.Errorf("DF63 tells %d", got)
	}
	m.ride(1, 1200, "T1 out")
	m.money(0, 2000)
	m.sale.amount = 1
	if gpo := m.initiate(apdu.OK); m.iad(gpo).CryptogramType() != emv.AAC {
		t.Error("paid above the limit")
	}
	m.kind = 0 // an ordinary payment has no advance
	if gpo := m.initiate(apdu.OK); m.iad(gpo).CryptogramType() != emv.AAC {
		t.Error("an ordinary payment was advanced")
	}
	proof := apdu.Command{CLA: 0x80, INS: apdu.InsGetTransProve, Data: []byte{0, 6}, Le: 8}
	if got := m.send(proof, apdu.OK); len(got) != 8 || bytes.Equal(got, make([]byte, 8)) {
		t.Errorf("proof %X", got)
	}
	proof.Data = []byte{0, 7}
	m.send(proof, apdu.TransProveUnavailable)
	proof.Data = []byte{6}
	m.send(proof, apdu.WrongLength)
	proof.P1, proof.Data = 1, []byte{0, 6}
	m.send(proof, apdu.WrongParameters)
}

// The merchants' records of a card whose keys are SM4 or AES keys: the same commands under the card's suite.
func TestMerchantRecordsOfOtherSuites(t *testing.T) {
	for _, suite := range []cryptogram.Suite{cryptogram.SM4(), cryptogram.AES()} {
		m := newMerchant(t, 0x01, nil)
		m.issued.Suite, m.issued.CardKeys = suite, suite.CardKeys(m.issued.Masters, m.issued.PAN, m.issued.Sequence)
		m.issued.Image.Applications[0].Algorithm = suite.AlgorithmID()
		keys := card.NewSoftCrypto(suite, m.issued.CardKeys, m.issued.Key).WithFileKey(merchantFile, m.opening)
		c, err := card.New(&m.issued.Image, keys, nil, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		m.reader, m.chip = present(t, c, m.issued), c
		before := m.state().Purses[0].Balance
		m.register("T1 out")
		m.ride(1, 300, "T1 in at station 7")
		m.money(before-300, 0)
		if got := m.send(m.read('T', '1'), apdu.OK); string(got) != "T1 in at station 7" {
			t.Errorf("%v: record %q", suite.Cipher(), got)
		}
		wrong := m.appendCommand([]byte("T2 out"))
		wrong.Data[len(wrong.Data)-1] ^= 1
		m.selectApplication()
		m.send(wrong, apdu.SecureMessagingIncorrect)
	}
}

// A load pays back what was advanced [REF 2.8].
func TestLoadAfterAdvance(t *testing.T) {
	for _, row := range []struct{ advanced, load, balance, left int64 }{
		{800, 500, 0, 300}, {800, 800, 0, 0}, {800, 2000, 1200, 0}, {0, 2000, 2000, 0},
	} {
		c, issued := contactCard(t, func(image *card.Image) {
			a, s := &image.Applications[0], &image.State.Applications[0]
			a.Extended, a.Files = emv.ExtendedIndicator{1}, []card.ExtendedFile{{SFI: merchantFile}}
			a.Objects.Set(emv.TagSegmentLimit, bcd(2000))
			s.Purses[0].Balance, s.SegmentUsed = 0, row.advanced
		})
		i := insert(t, c, issued)
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(row.load), i.online()), apdu.OK)
		if s := i.state(); s.Purses[0].Balance != row.balance || s.SegmentUsed != row.left {
			t.Errorf("%+v: balance %d, advanced %d", row, s.Purses[0].Balance, s.SegmentUsed)
		}
		// The limit of the advance keeps clear of what is advanced and of the largest amount.
		ac := i.answer.Get(emv.TagAC)
		i.send(i.seal(4, apdu.InsPutData, 0xDF, 0x62, bcd(card.MaxMinor-100000), ac), apdu.WrongData)
		i.send(i.seal(4, apdu.InsPutData, 0xDF, 0x62, bcd(1500), ac), apdu.OK)
		i.send(i.seal(4, apdu.InsPutData, 0xDF, 0x61, []byte{2}, ac), apdu.OK)
		i.settle()
		if fci := i.selectApplication(); !bytes.Contains(fci, []byte{0xDF, 0x61, 1, 2}) {
			t.Errorf("FCI %X", fci)
		}
	}
}

// Offline pre-authorisation sets aside and gives back [REF 2.8].
func TestPreauthorisation(t *testing.T) {
	m := newMerchant(t, 0x02, nil)
	for n := range 4 {
		m.register(fmt.Sprintf("P%d free", n))
	}
	m.kind, m.sale.amount = 2, 1000
	gpo := m.initiate(apdu.OK)
	if gpo.Has(emv.TagAC) {
		t.Error("a certificate although nothing is spent")
	}
	m.send(m.update([]byte("P1 parked")), apdu.RecordNotFound) // record 1 is another
	update := func(id string) apdu.Command {
		cmd := m.update([]byte(id))
		cmd.P1 = id[1] - '0' + 1
		header := []byte{cmd.CLA, cmd.INS, cmd.P1, cmd.P2, byte(len(cmd.Data))}
		cmd.Data = append([]byte(id), m.recordMAC(append(header, id...))...)
		return cmd
	}
	m.send(update("P0 parked"), apdu.OK)
	m.send(last(), apdu.OK)
	m.money(7750, 0)
	if proof := m.send(apdu.Command{CLA: 0x80, INS: apdu.InsGetTransProve, Data: []byte{0, 2}, Le: 8}, apdu.OK); !bytes.Equal(proof, make([]byte, 8)) {
		t.Errorf("money set aside has the proof %X", proof)
	}
	m.initiate(apdu.OK)
	m.send(update("P0 parked"), apdu.DuplicatePreauthorization)
	m.send(update("P1 parked"), apdu.OK)
	m.send(last(), apdu.OK)
	m.initiate(apdu.OK)
	m.send(update("P2 parked"), apdu.OK)
	m.send(last(), apdu.OK)
	m.money(5750, 0)
	before := m.chip.State()
	m.initiate(apdu.TooManyPreauthorizations)
	if m.chip.State() != before {
		t.Error("a refused pre-authorisation changed the card")
	}
	m.kind, m.sale.amount = 3, 600
	m.initiate(apdu.OK)
	m.send(update("P3 free"), apdu.NoMatchingPreauthorization)
	m.send(update("P1 free"), apdu.OK)
	m.send(last(), apdu.OK)
	m.money(6150, 0)
	if s := m.state(); s.Preauths[1].Open || !s.Preauths[0].Open || s.Proof.Cryptogram == [8]byte{} {
		t.Errorf("open: %+v", s.Preauths)
	}
	for _, id := range []string{"P0 free", "P2 free"} { // more than was set aside, then all of it
		m.sale.amount = 1000
		m.initiate(apdu.OK)
		m.send(update(id), apdu.OK)
		m.send(last(), apdu.OK)
	}
	m.money(6150, 0)
	m.initiate(apdu.NoMatchingPreauthorization)
}

// What is wrong with a merchant's command is refused, and nothing changes.
func TestExtendedRefusals(t *testing.T) {
	m := newMerchant(t, 0x81, nil) // with a MAC on what is read
	m.register("T1 out")
	again := m.appendCommand([]byte("T1 out"))
	bad := m.appendCommand([]byte("T2 out"))
	bad.Data[0] ^= 1
	elsewhere := m.appendCommand([]byte("T2 out"))
	elsewhere.P2 = 0x16 << 3
	withP1 := m.appendCommand([]byte("T2 out"))
	withP1.P1 = 1
	for _, row := range []struct {
		name string
		cmd  apdu.Command
		want apdu.SW
	}{
		{"the same again", again, apdu.WrongData}, {"key bent", bad, apdu.SecureMessagingIncorrect}, {"no such file", elsewhere, apdu.FileNotFound},
		{"P1", withP1, apdu.WrongParameters}, {"no content", m.appendCommand([]byte("T2")), apdu.WrongLength},
		{"read before the payment", m.read('T', '1'), apdu.ConditionsNotSatisfied},
		{"update before the payment", m.update([]byte("T1 in")), apdu.ConditionsNotSatisfied},
	} {
		m.selectApplication()
		m.send(row.cmd, row.want)
	}
	m.kind = 1
	m.initiate(apdu.OK)
	m.send(last(), apdu.CAPPRecordNotUpdated)
	random := []byte{'T', '1', 1, 2, 3, 4, 5, 6, 7, 8}
	got := m.send(m.read(random...), apdu.OK)
	if want := m.recordMAC(append(bytes.Clone(random[2:]), "T1 out"...)); !bytes.Equal(got, append([]byte("T1 out"), want...)) {
		t.Errorf("read %X", got)
	}
	m.send(m.read('T', '1'), apdu.WrongLength)
	m.send(m.read(append([]byte("T9"), random[2:]...)...), apdu.RecordNotFound)
	wrongMode := m.read(random...)
	wrongMode.P2 |= 1
	m.send(wrongMode, apdu.WrongParameters)
	next := m.read(random...)
	next.P2 |= 2
	m.send(next, apdu.RecordNotFound)
	other := m.read(random...)
	other.P2 = 0x16 << 3
	m.send(other, apdu.FileNotFound)
	update := m.update([]byte("T1 in"))
	for _, row := range []struct {
		name string
		data []byte
		want apdu.SW
	}{
		{"no MAC", []byte{1}, apdu.SecureMessagingMissing}, {"no content", update.Data[:6], apdu.WrongLength},
		{"bent", append([]byte("T1 IN"), update.Data[5:]...), apdu.SecureMessagingIncorrect}, {"no such record", append([]byte("T7 in"), update.Data[5:]...), apdu.RecordNotFound},
	} {
		cmd := update
		cmd.Data = row.data
		m.send(cmd, row.want)
	}
	m.money(8750, 0)
	m.send(update, apdu.OK)
	m.send(update, apdu.ConditionsNotSatisfied) // once
	m.send(last(), apdu.OK)
	m.send(update, apdu.ConditionsNotSatisfied)
	m.money(8650, 0)
	// A card that cannot do it pays as usual.
	m = newMerchant(t, 0x40, nil)
	m.kind = 1
	m.initiate(apdu.OK)
	m.send(last(), apdu.OK)
	m.money(8650, 0)
	// The memory ends.
	m = newMerchant(t, 0x01, nil)
	for n := range card.MaxExtendedRecords {
		m.register(fmt.Sprintf("T%d out", n))
	}
	m.send(m.appendCommand([]byte("TX out")), apdu.NotEnoughMemory)
}

func TestExtendedImageRefused(t *testing.T) {
	for name, change := range map[string]func(*card.Application){
		"no indicator":   func(a *card.Application) { a.Extended = emv.ExtendedIndicator{} },
		"no purse":       func(a *card.Application) { a.Processing.Clear(emv.APLowValue) },
		"file 0":         func(a *card.Application) { a.Files[0].SFI = 0 },
		"file 31":        func(a *card.Application) { a.Files[0].SFI = 31 },
		"file of a log":  func(a *card.Application) { a.Files[0].SFI = a.Log.SFI },
		"file in use":    func(a *card.Application) { a.Files[0].SFI = 3 },
		"file twice":     func(a *card.Application) { a.Files = append(a.Files, a.Files[0]) },
		"limit no digit": func(a *card.Application) { a.Objects.Set(emv.TagSegmentLimit, []byte{0xAA, 0, 0, 0, 0, 0}) },
	} {
		_, _, err := cardtest.Issue(cardtest.Options{Change: func(image *card.Image) {
			a := &image.Applications[0]
			a.Extended, a.Files = emv.ExtendedIndicator{1}, []card.ExtendedFile{{SFI: merchantFile}}
			change(a)
		}})
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestExtendedTearing takes the card away at every moment of a ride: the merchant's record and the purse change together or not at all.
func TestExtendedTearing(t *testing.T) {
	ride := func(m *merchant) bool {
		d := m.sale.data()
		d.Set(emv.TagCAPPIndicator, []byte{1})
		for _, cmd := range []func() apdu.Command{
			func() apdu.Command { return apdu.Select(m.aid.Bytes()) },
			func() apdu.Command { return apdu.GPO(m.pdol.Build(nil, d)) },
			func() apdu.Command { return m.read('T', '1') },
			func() apdu.Command { return m.update([]byte("T1 in")) },
			last,
		} {
			response, ok := m.try(cmd())
			if !ok {
				return false
			}
			if response.SW != apdu.OK {
				m.Fatalf("%v", response.SW)
			}
		}
		return true
	}
	for _, tear := range tears(5, 2) {
		t.Run(tear.name, func(t *testing.T) {
			m := newMerchant(t, 0x01, nil)
			m.register("T1 out")
			m.field.Present()
			tear.set(m.field)
			done := ride(m)
			m.field.Present()
			s := m.chip.State()
			paid, marked := s.Applications[0].Purses[0].Balance == 8650, string(s.Extended[0].Bytes[:5]) == "T1 in"
			if paid != marked || done && !paid || !paid && s.Applications[0].Purses[0].Balance != 8750 {
				t.Errorf("done %v, paid %v, marked %v, balance %d", done, paid, marked, s.Applications[0].Purses[0].Balance)
			}
		})
	}
	m := newMerchant(t, 0x01, nil)
	m.selectApplication()
	m.field.TearBeforeCommit(1)
	m.try(m.appendCommand([]byte("T1 out")))
	if m.chip.State().Extended != [card.MaxExtendedRecords]card.ExtendedRecord{} {
		t.Error("a torn record is there")
	}
}
