package card_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/pinblock"
	"tapnet/tlv"
)

func keyOf(t testing.TB, s string) cryptogram.Key {
	t.Helper()
	k, err := cryptogram.NewKey(unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// published makes the card of the published example [REF V-2] to [REF V-7]: its keys, counter, balance and verification results.
func published(t testing.TB, change func(*card.Image)) *insertion {
	t.Helper()
	_, issued := contactCard(t, func(image *card.Image) {
		a, s := &image.Applications[0], &image.State.Applications[0]
		s.ATC, s.LastOnlineATC, s.PINTries = 0x023F, 0x023F, 0
		s.Purses[0].Balance = 1000
		a.Objects.Set(emv.TagDefaultAction, []byte{0, 0})
		a.Contact.PDOL = nil
		a.Contact.CashAFL = nil
		for i := range a.Records {
			a.Records[i].Updatable = a.Records[i].SFI == 3 && a.Records[i].Number == 1
		}
		if change != nil {
			change(image)
		}
	})
	issued.CardKeys = cryptogram.CardKeys{
		AC:  keyOf(t, "014D996FCC8F49157DC8B49E3BCDFD99"),
		MAC: keyOf(t, "4189345AD478091860D3586478D14AB1"),
		ENC: keyOf(t, "36B13B54CA7B3D35122CAEA263B7FC1B"),
	}
	c, err := card.New(&issued.Image, card.NewSoftCrypto(issued.Suite, issued.CardKeys, issued.Key), nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := insert(t, c, issued)
	i.sale = sale{amount: 1, random: [4]byte{0x1E, 0x78, 0xEE, 0xBC}}
	i.tvr = emv.TVR{0x00, 0x80, 0x04, 0x60, 0x00}
	i.selectApplication()
	i.send(apdu.GPO(nil), apdu.OK)
	i.send(apdu.InternalAuthenticate([]byte{1, 2, 3, 4}), apdu.OK)
	data := i.terminalData(false, "")
	data.Set(emv.TagTransactionDate, []byte{0x14, 0x07, 0x01})
	response := i.send(apdu.GenerateAC(0x80, i.list(emv.TagCDOL1).Build(nil, data)), apdu.OK)
	i.answer = i.parse(response, []tlv.Tag{emv.TagCID, emv.TagATC, emv.TagAC, emv.TagIAD}, []int{1, 2, 8})
	const want = "801E" + "80" + "0240" + "5D016C91005E7CC2" + "07010103A04002010A010000001000D1F61152"
	if got := strings.ToUpper(hex.EncodeToString(response)); got != want {
		t.Fatalf("first cryptogram\n%s, want\n%s", got, want)
	}
	return i
}

func (i *insertion) raw(command string, want apdu.SW) {
	i.Helper()
	cmd, err := apdu.ParseCommand(unhex(i, command))
	if err != nil {
		i.Fatal(err)
	}
	i.send(cmd, want)
}

// The published cryptogram, its issuer's answers, and script commands with their MACs, as they stand in the appendix.
func TestPublishedScripts(t *testing.T) {
	i := published(t, nil)
	i.raw("00820000 0A 21415243527CE78F3031", apdu.OK) // ARC 01
	i = published(t, nil)
	i.raw("00820000 0A C01B237749040E2B3030", apdu.OK)
	i.raw("00820000 0A C01B237749040E2B3030", apdu.ConditionsNotSatisfied) // once

	i.raw("04DA9F790A 000000010000 8D410252", apdu.OK)
	i.raw("04DA9F780A 000000100000 A2D39F37", apdu.OK)
	i.raw("04DC011C09 1122334455 79E7CE00", apdu.OK)
	i.raw("8424000004 5154F5A2", apdu.OK)
	s := i.chip.State()
	if p := s.Applications[0].Purses[0]; p.Balance != 10000 || p.SingleLimit != 100000 {
		t.Errorf("purse %+v", p)
	}
	if s.Applications[0].PINTries != 3 {
		t.Errorf("%d PIN tries", s.Applications[0].PINTries)
	}
	if got := i.send(apdu.ReadRecord(3, 1), apdu.OK); !bytes.Equal(got, unhex(t, "1122334455")) {
		t.Errorf("record %X", got)
	}
	i.raw("841E000004 42CA0591", apdu.OK)
	if !i.state().Blocked {
		t.Error("application is not blocked")
	}
	i.raw("04DA9F790A 000000010000 8D410252", apdu.ConditionsNotSatisfied) // a blocked application takes no load
	i.raw("8418000004 FC1D8DD2", apdu.OK)
	if i.state().Blocked {
		t.Error("application is still blocked")
	}
	i.raw("8416000004 CED3BD17", apdu.OK)
	if !i.chip.State().Blocked {
		t.Error("card is not blocked")
	}
	i.raw("8418000004 FC1D8DD2", apdu.ConditionsNotSatisfied)
	i.first = i.terminalData(false, "")
	i.generate(emv.TC, emv.AAC, false, "00")
}

// PIN changes under both keys the sources name [REF V-7].
func TestPublishedPINChange(t *testing.T) {
	pin, err := pinblock.ParsePIN("123456")
	if err != nil {
		t.Fatal(err)
	}
	for variant, command := range map[cryptogram.PINVariant]string{
		cryptogram.PINVariantENC: "8424000214 67E9CDE728CC295DC48BAFEFD63D7B4E D3126104",
		cryptogram.PINVariantAC:  "8424000214 4E1E3255E1888C05B5FBB6E0734B84EB BC44C8CF",
	} {
		i := published(t, func(image *card.Image) { image.Applications[0].Contact.PINVariant = variant })
		i.raw(command, apdu.OK)
		if i.state().PIN != card.StorePIN(pin) || i.state().PINTries != 3 {
			t.Errorf("variant %v: the PIN is another, %d tries", variant, i.state().PINTries)
		}
		other := published(t, func(image *card.Image) { image.Applications[0].Contact.PINVariant = 1 - variant })
		other.raw(command, apdu.WrongData)
		if !other.state().History.ScriptFailed || other.state().PIN != card.StorePIN(cardtest.HolderPIN()) {
			t.Errorf("variant %v: accepted under the other key", variant)
		}
	}
}

// A change that proves the current PIN [REF 3.4].
func TestPINChangeWithCurrent(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	next, err := pinblock.ParsePIN("97531")
	if err != nil {
		t.Fatal(err)
	}
	ac := i.online()
	for _, current := range []string{"1111", cardtest.PIN} {
		known, err := pinblock.ParsePIN(current)
		if err != nil {
			t.Fatal(err)
		}
		data := issued.Suite.EncipherPINChange(issued.CardKeys, i.atc(), cryptogram.PINVariantENC, next, known)
		response, _ := i.try(i.seal(0x84, apdu.InsPINChange, 0, apdu.PINChangeWithOldPIN, data[:], ac))
		if ok := current == cardtest.PIN; (response.SW == apdu.OK) != ok {
			t.Errorf("with %s: %v", current, response.SW)
		}
	}
	if i.state().PIN != card.StorePIN(next) {
		t.Error("the PIN did not change")
	}
	i.settle()
	i.open(false)
	i.send(apdu.Verify(apdu.VerifyPlaintext, block(next)), apdu.OK)
}

// script is one row: a command under a good MAC and what must follow.
func TestScriptRefusals(t *testing.T) {
	for _, row := range []struct {
		name         string
		cla, ins     byte
		p1, p2       byte
		data         string
		want         apdu.SW
		changes      bool
		leavesFailed bool
	}{
		{"unknown object", 4, apdu.InsPutData, 0x9F, 0x7E, "00", apdu.DataNotFound, false, true},
		{"counter", 4, apdu.InsPutData, 0x9F, 0x36, "0001", apdu.DataNotFound, false, true},
		{"advanced amount", 4, apdu.InsPutData, 0xDF, 0x63, "000000000000", apdu.WrongParameters, false, true},
		{"second purse", 4, apdu.InsPutData, 0xDF, 0x79, "000000000000", apdu.DataNotFound, false, true},
		{"object that is not there", 4, apdu.InsPutData, 0x9F, 0x75, "000000000000", apdu.DataNotFound, false, true},
		{"short", 4, apdu.InsPutData, 0x9F, 0x79, "0000001000", apdu.WrongLength, false, true},
		{"empty", 4, apdu.InsPutData, 0x9F, 0x79, "", apdu.WrongLength, false, true},
		{"no digits", 4, apdu.InsPutData, 0x9F, 0x79, "00000000000A", apdu.WrongData, false, true},
		{"limit no digits", 4, apdu.InsPutData, 0x9F, 0x78, "F00000000000", apdu.WrongData, false, true},
		{"above the balance limit", 4, apdu.InsPutData, 0x9F, 0x79, "000000100001", apdu.WrongData, false, true},
		{"limit below the balance", 4, apdu.InsPutData, 0x9F, 0x77, "000000008749", apdu.WrongData, false, true},
		{"record no number", 4, apdu.InsUpdateRecord, 1, 0x28, "7000", apdu.WrongParameters, false, true},
		{"record 0", 4, apdu.InsUpdateRecord, 0, 0x2C, "7000", apdu.WrongParameters, false, true},
		{"record of no file", 4, apdu.InsUpdateRecord, 1, 0x4C, "7000", apdu.FileNotFound, false, true},
		{"record not there", 4, apdu.InsUpdateRecord, 9, 0x2C, "7000", apdu.RecordNotFound, false, true},
		{"record certified", 4, apdu.InsUpdateRecord, 2, 0x1C, "7000", apdu.SecurityStatusNotSatisfied, false, true},
		{"record empty", 4, apdu.InsUpdateRecord, 1, 0x2C, "", apdu.WrongLength, false, true},
		{"block P1", 0x84, apdu.InsApplicationBlock, 1, 0, "", apdu.WrongParameters, false, true},
		{"block data", 0x84, apdu.InsApplicationBlock, 0, 0, "00", apdu.WrongLength, false, true},
		{"unblock P2", 0x84, apdu.InsApplicationUnblock, 0, 1, "", apdu.WrongParameters, false, true},
		{"card block data", 0x84, apdu.InsCardBlock, 0, 0, "00", apdu.WrongLength, false, true},
		{"PIN P1", 0x84, apdu.InsPINChange, 1, 0, "", apdu.WrongParameters, false, true},
		{"PIN P2", 0x84, apdu.InsPINChange, 0, 3, "", apdu.WrongParameters, false, true},
		{"PIN unblock data", 0x84, apdu.InsPINChange, 0, 0, "00", apdu.WrongLength, false, true},
		{"PIN change short", 0x84, apdu.InsPINChange, 0, 2, "00", apdu.WrongLength, false, true},
		{"PIN change nonsense", 0x84, apdu.InsPINChange, 0, 2, strings.Repeat("00", 16), apdu.WrongData, false, true},

		{"balance", 4, apdu.InsPutData, 0x9F, 0x79, "000000100000", apdu.OK, true, false},
		{"balance to nothing", 4, apdu.InsPutData, 0x9F, 0x79, "000000000000", apdu.OK, true, false},
		{"balance limit", 4, apdu.InsPutData, 0x9F, 0x77, "000000008750", apdu.OK, true, false},
		{"reset threshold", 4, apdu.InsPutData, 0x9F, 0x6D, "000000000500", apdu.OK, true, false},
		{"CVM limit", 4, apdu.InsPutData, 0x9F, 0x6B, "000000000500", apdu.OK, true, false},
		{"lower limit", 4, apdu.InsPutData, 0x9F, 0x58, "01", apdu.OK, true, false},
		{"upper limit", 4, apdu.InsPutData, 0x9F, 0x59, "01", apdu.OK, true, false},
		{"country limit", 4, apdu.InsPutData, 0x9F, 0x72, "01", apdu.OK, true, false},
		{"currency limit", 4, apdu.InsPutData, 0x9F, 0x53, "09", apdu.OK, true, false},
		{"cumulative limit", 4, apdu.InsPutData, 0x9F, 0x54, "000000009999", apdu.OK, true, false},
		{"upper cumulative limit", 4, apdu.InsPutData, 0x9F, 0x5C, "000000009999", apdu.OK, true, false},
		{"record", 4, apdu.InsUpdateRecord, 1, 0x2C, "7003950101", apdu.OK, true, false},
	} {
		for _, after := range []bool{false, true} {
			c, issued := contactCard(t, nil)
			i := insert(t, c, issued)
			ac := i.online()
			if after {
				i.settle()
			}
			before := c.State()
			i.send(i.seal(row.cla, row.ins, row.p1, row.p2, unhex(t, row.data), ac), row.want)
			now := c.State()
			s := &now.Applications[0]
			if s.History.ScriptFailed != row.leavesFailed {
				t.Errorf("%s: failure remembered: %v", row.name, s.History.ScriptFailed)
			}
			if want := map[bool]byte{false: 0, true: 1}[after]; s.History.ScriptCount != want {
				t.Errorf("%s: %d commands counted, want %d", row.name, s.History.ScriptCount, want)
			}
			s.History = before.Applications[0].History
			if changed := now != before; changed != row.changes {
				t.Errorf("%s: changed: %v", row.name, changed)
			}
			if row.changes && row.ins == apdu.InsPutData {
				tag := tlv.Tag(row.p1)<<8 | tlv.Tag(row.p2)
				if got, _ := tlv.Find(i.send(apdu.GetData(tag), apdu.OK), tag); !bytes.Equal(got, unhex(t, row.data)) {
					t.Errorf("%s: GET DATA tells %X", row.name, got)
				}
			}
			// The next payment carries the news to the issuer.
			if after {
				i.payNext(row.leavesFailed)
			}
		}
	}
}

// payNext looks at what the next first cryptogram says about the last script.
func (i *insertion) payNext(failed bool) {
	i.Helper()
	i.online()
	cvr := i.iad(i.answer).CVR
	if cvr.Has(emv.CVRLastScriptFailed) != failed || cvr.ScriptCount() != 1 {
		i.Errorf("next CVR %v", cvr)
	}
	i.settle()
	if h := i.state().History; h != (card.History{}) {
		i.Errorf("after the next online payment: failed %v, %d commands", h.ScriptFailed, h.ScriptCount)
	}
}

// Without a good MAC nothing happens, and after a bad one nothing more in this payment [REF 3.3].
func TestScriptMAC(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	ac := i.online()
	good := i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9000), ac)
	for _, row := range []struct {
		name string
		cmd  func() apdu.Command
		want apdu.SW
	}{
		{"no MAC", func() apdu.Command {
			return apdu.Command{CLA: 4, INS: apdu.InsPutData, P1: 0x9F, P2: 0x79, Data: []byte{1, 2, 3}}
		}, apdu.SecureMessagingMissing},
		{"another amount", func() apdu.Command { bad := good; bad.Data = append(bcd(9001), good.Data[6:]...); return bad }, apdu.SecureMessagingIncorrect},
		{"another tag", func() apdu.Command { bad := good; bad.P2 = 0x77; return bad }, apdu.SecureMessagingIncorrect},
		{"another cryptogram", func() apdu.Command { return i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9000), make([]byte, 8)) }, apdu.SecureMessagingIncorrect},
	} {
		i.online()
		ac = i.answer.Get(emv.TagAC)
		good = i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9000), ac)
		i.send(row.cmd(), row.want)
		if i.state().Purses[0].Balance != 8750 || !i.state().History.ScriptFailed {
			t.Errorf("%s: balance %d", row.name, i.state().Purses[0].Balance)
		}
		if row.want == apdu.SecureMessagingIncorrect {
			i.send(good, apdu.ConditionsNotSatisfied)
		}
	}
	// Issuer authentication that failed ends scripts too.
	ac = i.online()
	good = i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9000), ac)
	i.send(apdu.ExternalAuthenticate(make([]byte, 10)), apdu.IssuerAuthenticationFailed)
	i.send(good, apdu.ConditionsNotSatisfied)
	// A payment that did not go online has no scripts.
	c, issued = contactCard(t, nil)
	i = insert(t, c, issued)
	i.open(false)
	i.generate(emv.TC, emv.TC, false, "")
	i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9000), i.answer.Get(emv.TagAC)), apdu.ConditionsNotSatisfied)
	i.open(false)
	i.generate(emv.ARQC, emv.ARQC, false, "")
	ac = i.answer.Get(emv.TagAC)
	i.generate(emv.TC, emv.TC, false, "Y3")
	i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9000), ac), apdu.ConditionsNotSatisfied)
	// Secure messaging is not optional.
	i.online()
	i.raw("00DA9F790A 000000010000 00000000", apdu.ClassNotSupported)
	i.raw("801E000004 00000000", apdu.ClassNotSupported)
}

// The memory for changed records ends.
func TestUpdatedRecordsEnd(t *testing.T) {
	c, issued := contactCard(t, func(image *card.Image) {
		for n := byte(3); n < 3+card.MaxUpdatedRecords; n++ {
			image.Applications[0].Records = append(image.Applications[0].Records, card.Record{SFI: 5, Number: n, Body: []byte{0x95, 1, n}, Updatable: true})
		}
	})
	i := insert(t, c, issued)
	ac := i.online()
	for n := byte(3); n < 3+card.MaxUpdatedRecords; n++ {
		i.send(i.seal(4, apdu.InsUpdateRecord, n, 0x2C, []byte{0x70, 0x03, 0x95, 1, n + 1}, ac), apdu.OK)
	}
	i.send(i.seal(4, apdu.InsUpdateRecord, 1, 0x2C, []byte{0x70, 0}, ac), apdu.NotEnoughMemory)
	i.send(i.seal(4, apdu.InsUpdateRecord, 4, 0x2C, []byte{0x70, 0x03, 0x95, 1, 99}, ac), apdu.OK) // one that is there already
	if got := i.send(apdu.ReadRecord(5, 4), apdu.OK); !bytes.Equal(got, []byte{0x70, 3, 0x95, 1, 99}) {
		t.Errorf("record %X", got)
	}
}

// Both PIN commands need a PIN on the card.
func TestCardWithoutPIN(t *testing.T) {
	c, issued := contactCard(t, func(image *card.Image) { image.State.Applications[0].PIN = card.StoredPIN{} })
	i := insert(t, c, issued)
	i.open(false)
	i.send(apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN())), apdu.DataNotFound)
	ac := i.online()
	i.send(i.seal(0x84, apdu.InsPINChange, 0, apdu.PINUnblock, nil, ac), apdu.DataNotFound)
	data := issued.Suite.EncipherPINChange(issued.CardKeys, i.atc(), cryptogram.PINVariantENC, cardtest.HolderPIN(), pinblock.PIN{})
	i.send(i.seal(0x84, apdu.InsPINChange, 0, apdu.PINChange, data[:], ac), apdu.OK) // the issuer may give it one
	i.settle()
	i.open(false)
	i.send(apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN())), apdu.OK)
}

func block(p pinblock.PIN) []byte {
	b := pinblock.Format2(p).Reveal()
	return b[:]
}

func TestVerify(t *testing.T) {
	wrong, err := pinblock.ParsePIN("0000")
	if err != nil {
		t.Fatal(err)
	}
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	right := apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN()))
	bad := apdu.Verify(apdu.VerifyPlaintext, block(wrong))
	i.selectApplication()
	i.send(right, apdu.ConditionsNotSatisfied)
	i.initiate(false)
	i.send(apdu.Verify(0x81, block(wrong)), apdu.WrongParameters)
	i.send(apdu.Command{INS: apdu.InsVerify, P1: 1, P2: 0x80, Data: block(wrong)}, apdu.WrongParameters)
	i.send(apdu.Verify(apdu.VerifyPlaintext, block(wrong)[:7]), apdu.WrongLength)
	i.send(bad, apdu.WrongPIN(2))
	i.send(bad, apdu.WrongPIN(1))
	i.send(right, apdu.OK)
	if i.state().PINTries != 3 {
		t.Errorf("%d tries after the right PIN", i.state().PINTries)
	}
	i.generate(emv.TC, emv.TC, false, "")
	if cvr := i.iad(i.answer).CVR; !cvr.Has(emv.CVROfflinePINPerformed) || cvr.Has(emv.CVROfflinePINFailed) {
		t.Errorf("CVR %v", cvr)
	}
	i.open(false)
	i.send(bad, apdu.WrongPIN(2))
	i.send(bad, apdu.WrongPIN(1))
	i.send(bad, apdu.WrongPIN(0))
	i.send(right, apdu.PINBlocked)
	i.generate(emv.TC, emv.TC, false, "") // the default action of this profile leaves this payment alone
	cvr := i.iad(i.answer).CVR
	if !cvr.Has(emv.CVROfflinePINPerformed) || !cvr.Has(emv.CVROfflinePINFailed) || !cvr.Has(emv.CVRPINLimitExceeded) {
		t.Errorf("CVR %v", cvr)
	}
	// Power does not help, and the next payment knows.
	i.field.Present()
	i.open(false)
	i.send(right, apdu.PINBlockedBefore)
	i.generate(emv.TC, emv.ARQC, false, "")
}

func TestVerifyEnciphered(t *testing.T) {
	wrong, err := pinblock.ParsePIN("0000")
	if err != nil {
		t.Fatal(err)
	}
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	i.open(false)
	signed, all := i.readAll(i.gpo)
	icc := i.iccKey(issued, i.gpo, signed, all)
	encipher := func(pin pinblock.PIN, challenge []byte) apdu.Command {
		data, err := oda.EncipherPIN(icc, pinblock.Format2(pin), [8]byte(challenge), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return apdu.Verify(apdu.VerifyEnciphered, data)
	}
	challenge := i.send(apdu.GetChallenge(), apdu.OK)
	if len(challenge) != 8 {
		t.Fatalf("challenge %X", challenge)
	}
	i.send(encipher(cardtest.HolderPIN(), challenge), apdu.OK)
	i.send(encipher(cardtest.HolderPIN(), challenge), apdu.ConditionsNotSatisfied) // used up
	i.send(encipher(wrong, i.send(apdu.GetChallenge(), apdu.OK)), apdu.WrongPIN(2))
	challenge = i.send(apdu.GetChallenge(), apdu.OK)
	i.send(apdu.GetData(emv.TagPINTryCounter), apdu.OK)
	i.send(encipher(cardtest.HolderPIN(), challenge), apdu.ConditionsNotSatisfied) // good for the next command only
	i.send(apdu.GetChallenge(), apdu.OK)
	i.send(encipher(cardtest.HolderPIN(), challenge), apdu.WrongPIN(1)) // an old challenge
	i.send(apdu.GetChallenge(), apdu.OK)
	i.send(apdu.Verify(apdu.VerifyEnciphered, make([]byte, 8)), apdu.WrongLength)
	i.send(apdu.Command{INS: apdu.InsGetChallenge, P1: 1, Le: 8}, apdu.WrongParameters)
	i.send(apdu.Command{INS: apdu.InsGetChallenge, Data: []byte{1}}, apdu.WrongLength)
	i.send(encipher(cardtest.HolderPIN(), i.send(apdu.GetChallenge(), apdu.OK)), apdu.OK)
	if i.state().PINTries != 3 {
		t.Errorf("%d tries", i.state().PINTries)
	}
}

// With the bit for it, the third wrong PIN blocks the application, and the issuer can bring it back.
func TestPINBlocksApplication(t *testing.T) {
	wrong, err := pinblock.ParsePIN("0000")
	if err != nil {
		t.Fatal(err)
	}
	c, issued := contactCard(t, func(image *card.Image) {
		image.Applications[0].Objects.Set(emv.TagDefaultAction, []byte{0x00, 0x80})
	})
	i := insert(t, c, issued)
	i.open(false)
	for tries := 2; tries >= 0; tries-- {
		i.send(apdu.Verify(apdu.VerifyPlaintext, block(wrong)), apdu.WrongPIN(tries))
	}
	i.generate(emv.TC, emv.AAC, false, "")
	if cvr := i.iad(i.answer).CVR; !cvr.Has(emv.CVRBlockedByPIN) || !cvr.Has(emv.CVRPINLimitExceeded) {
		t.Errorf("CVR %v", cvr)
	}
	i.field.Present()
	i.send(apdu.Select(i.aid.Bytes()), apdu.ApplicationBlocked)
	i.initiate(true)
	i.generate(emv.ARQC, emv.AAC, false, "")
	ac := i.answer.Get(emv.TagAC)
	i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(1), ac), apdu.ConditionsNotSatisfied)
	i.send(i.seal(0x84, apdu.InsPINChange, 0, apdu.PINUnblock, nil, ac), apdu.OK)
	i.send(i.seal(0x84, apdu.InsApplicationUnblock, 0, 0, nil, ac), apdu.OK)
	i.open(false)
	i.send(apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN())), apdu.OK)
	i.generate(emv.TC, emv.TC, false, "")
}

// TestScriptTearing kills the card at every write of a payment with PIN, authentication that fails or not, and scripts: what follows
// is the old or the new state, tries are never won, and the counter never goes back.
func TestScriptTearing(t *testing.T) {
	steps := []struct {
		name string
		send func(i *insertion, ac []byte) apdu.Command
	}{
		{"load", func(i *insertion, ac []byte) apdu.Command {
			return i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(20000), ac)
		}},
		{"record", func(i *insertion, ac []byte) apdu.Command {
			return i.seal(4, apdu.InsUpdateRecord, 1, 0x2C, []byte{0x70, 3, 0x95, 1, 1}, ac)
		}},
		{"setting", func(i *insertion, ac []byte) apdu.Command {
			return i.seal(4, apdu.InsPutData, 0x9F, 0x58, []byte{9}, ac)
		}},
		{"PIN unblock", func(i *insertion, ac []byte) apdu.Command { return i.seal(0x84, apdu.InsPINChange, 0, 0, nil, ac) }},
		{"block", func(i *insertion, ac []byte) apdu.Command {
			return i.seal(0x84, apdu.InsApplicationBlock, 0, 0, nil, ac)
		}},
		{"card block", func(i *insertion, ac []byte) apdu.Command { return i.seal(0x84, apdu.InsCardBlock, 0, 0, nil, ac) }},
		{"bad MAC", func(i *insertion, _ []byte) apdu.Command {
			return apdu.Command{CLA: 0x84, INS: apdu.InsCardBlock, Data: make([]byte, 4)}
		}},
		{"bad issuer", func(*insertion, []byte) apdu.Command { return apdu.ExternalAuthenticate(make([]byte, 10)) }},
	}
	for _, step := range steps {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after write %v", step.name, after), func(t *testing.T) {
				c, issued := contactCard(t, func(image *card.Image) { image.State.Applications[0].PINTries = 1 })
				i := insert(t, c, issued)
				ac := i.online()
				old := c.State()
				commits := i.field.Commits()
				if after {
					i.field.TearAfterCommit(commits + 1)
				} else {
					i.field.TearBeforeCommit(commits + 1)
				}
				if _, ok := i.try(step.send(i, ac)); ok {
					t.Fatal("the card answered without power")
				}
				if now := c.State(); (now != old) != after {
					t.Errorf("changed: %v", now != old)
				}
				i.field.Present()
				if now := c.State(); (now != old) != after {
					t.Errorf("after power-on: changed: %v", now != old)
				}
				if now := c.State().Applications[0].Purses[0].Balance; now != 8750 && now != 20000 {
					t.Errorf("balance %d", now)
				}
			})
		}
	}
}

// Pulling the card out at the right moment wins no PIN try.
func TestVerifyTearing(t *testing.T) {
	wrong, err := pinblock.ParsePIN("0000")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		pin  pinblock.PIN
		tear func(*card.Field, int)
		want byte
	}{
		{wrong, (*card.Field).TearBeforeCommit, 3}, {wrong, (*card.Field).TearAfterCommit, 2},
		{cardtest.HolderPIN(), (*card.Field).TearBeforeCommit, 3}, {cardtest.HolderPIN(), (*card.Field).TearAfterCommit, 2},
	} {
		c, issued := contactCard(t, nil)
		i := insert(t, c, issued)
		i.open(false)
		row.tear(i.field, i.field.Commits()+1)
		if response, ok := i.try(apdu.Verify(apdu.VerifyPlaintext, block(row.pin))); ok {
			t.Fatalf("a torn card told %v", response.SW)
		}
		i.field.Present()
		if got := i.state().PINTries; got != row.want {
			t.Errorf("%d tries, want %d", got, row.want)
		}
	}
	// Between the two writes of a right PIN one try is lost, and comes back with the next right one.
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	i.open(false)
	i.field.TearBeforeCommit(i.field.Commits() + 2)
	i.try(apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN())))
	i.field.Present()
	if got := i.state().PINTries; got != 2 {
		t.Errorf("%d tries", got)
	}
	i.open(false)
	i.send(apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN())), apdu.OK)
	if got := i.state().PINTries; got != 3 {
		t.Errorf("%d tries", got)
	}
}
