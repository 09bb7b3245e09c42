package card_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/pinblock"
)

// The sessions are whole dialogues with a test card, as text: ">" what the terminal sends, "<" what the card answers ("< gone" when it has
// left). The test holds them against the card byte by byte; -record writes them down again.
var record = flag.Bool("record", false, "record the sessions again")

// recorded makes a contact dialogue whose bytes are kept.
func recorded(t testing.TB, change func(*card.Image)) *insertion {
	c, issued := contactCard(t, change)
	i := insert(t, c, issued)
	i.tape = &bytes.Buffer{}
	return i
}

var sessions = map[string]struct {
	comment string
	play    func(t testing.TB) *bytes.Buffer
}{
	"qpboc-cash": {"contactless: a payment from the purse, then what anybody can read [REF 2.1] [REF 3.1]", func(t testing.TB) *bytes.Buffer {
		c, issued := cardtest.New(t, cardtest.Options{})
		r := present(t, c, issued)
		r.tape = &bytes.Buffer{}
		r.tap(sale{ttq: offlineGate, amount: 1250})
		r.send(apdu.GetData(emv.TagECBalance), apdu.OK)
		r.send(apdu.ReadRecord(0x0B, 1), apdu.OK)
		return r.tape
	}},
	"pse-online": {"contact: directory, static and dynamic data, an online payment with issuer authentication [EMV B3 10]", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, nil)
		i.send(apdu.Select([]byte(emv.PSE)), apdu.OK)
		i.send(apdu.ReadRecord(1, 1), apdu.OK)
		i.send(apdu.ReadRecord(1, 2), apdu.RecordNotFound)
		i.open(false)
		i.readAll(i.gpo)
		i.send(apdu.InternalAuthenticate([]byte{1, 2, 3, 4}), apdu.OK)
		i.generate(emv.TC, emv.TC, false, "")
		i.payOnline()
		return i.tape
	}},
	"combined": {"contact: the cryptogram inside a signature, format 2 [EMV B2 6.6]", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, func(image *card.Image) { image.Applications[0].Contact.Format2 = true })
		i.open(false)
		i.generateWith(0x50, false, "")
		return i.tape
	}},
	"pin": {"contact: a wrong PIN, the right one, and a challenge [EMV B3 6.5.12]", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, nil)
		i.open(false)
		i.send(apdu.Verify(apdu.VerifyPlaintext, make([]byte, 8)), apdu.WrongPIN(2))
		i.send(apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN())), apdu.OK)
		i.send(apdu.GetChallenge(), apdu.OK)
		i.generate(emv.TC, emv.TC, false, "")
		return i.tape
	}},
	"contact-cash": {"contact: a payment from the purse [REF 2.9]", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, nil)
		i.open(true)
		i.readAll(i.gpo)
		i.send(apdu.GetData(emv.TagECBalance), apdu.OK)
		i.send(apdu.GetData(emv.TagECResetThreshold), apdu.OK)
		i.generate(emv.TC, emv.TC, true, "")
		i.send(apdu.ReadRecord(0x0B, 1), apdu.OK)
		return i.tape
	}},
	"load": {"contact: a load by a script after the second cryptogram, and its log [REF 5]", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, nil)
		i.send(apdu.Select(i.aid.Bytes()), apdu.OK)
		i.send(apdu.GetData(emv.TagECBalance), apdu.OK)
		i.send(apdu.GetData(emv.TagECBalanceLimit), apdu.OK)
		ac := i.online()
		i.settle()
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9750), ac), apdu.OK)
		i.send(apdu.GetData(emv.TagECBalance), apdu.OK)
		i.send(apdu.ReadRecord(0x0C, 1), apdu.OK)
		i.send(apdu.ReadRecord(0x0C, 0), apdu.OK)
		return i.tape
	}},
	"load-torn": {"contact: the card leaves after the balance is written and before it can say so", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, nil)
		ac := i.online()
		i.settle()
		i.field.TearAfterCommit(i.field.Commits() + 1)
		i.try(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9750), ac))
		i.field.Present()
		i.selectApplication()
		i.send(apdu.GetData(emv.TagECBalance), apdu.OK)
		return i.tape
	}},
	"scripts": {"contact: every command of the issuer, before the second cryptogram [REF 3.3]", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, nil)
		ac := i.online()
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x58, []byte{2}, ac), apdu.OK)
		i.send(i.seal(4, apdu.InsUpdateRecord, 1, 0x2C, []byte{0x70, 3, 0x95, 1, 1}, ac), apdu.OK)
		data := i.issued.Suite.EncipherPINChange(i.issued.CardKeys, i.atc(), cryptogram.PINVariantENC, cardtest.HolderPIN(), pinblock.PIN{})
		i.send(i.seal(0x84, apdu.InsPINChange, 0, apdu.PINChange, data[:], ac), apdu.OK)
		i.send(i.seal(0x84, apdu.InsPINChange, 0, apdu.PINUnblock, nil, ac), apdu.OK)
		i.send(i.seal(0x84, apdu.InsApplicationBlock, 0, 0, nil, ac), apdu.OK)
		i.send(i.seal(0x84, apdu.InsApplicationUnblock, 0, 0, nil, ac), apdu.OK)
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x7E, []byte{2}, ac), apdu.DataNotFound)
		i.send(i.seal(0x84, apdu.InsCardBlock, 0, 0, nil, ac), apdu.OK)
		i.generate(emv.TC, emv.AAC, false, "00")
		i.field.Present()
		i.send(apdu.Select(i.aid.Bytes()), apdu.FunctionNotSupported)
		return i.tape
	}},
	"bad-script": {"contact: a wrong MAC, then a right one that comes too late; the next cryptogram tells the issuer", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, nil)
		ac := i.online()
		bad := i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9750), make([]byte, 8))
		i.send(bad, apdu.SecureMessagingIncorrect)
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9750), ac), apdu.ConditionsNotSatisfied)
		i.generate(emv.AAC, emv.AAC, false, "05")
		i.online()
		return i.tape
	}},
	"full-contactless": {"contactless: a reader without qPBOC gets the full dialogue [REF 2.1]", func(t testing.TB) *bytes.Buffer {
		i := recorded(t, nil)
		i.field, i.pdol = card.NewField(i.chip), i.issued.Image.Applications[0].PDOL
		i.sale.ttq = emv.TTQ{0x40, 0, 0, 0}
		i.payOnline()
		return i.tape
	}},
	"dual-tdes": {"a card with two sets of algorithms meets a terminal without SM2, SM3 and SM4: field, then slot [REF 4.6]", dualSession(false)},
	"dual-sm":   {"the same card meets a terminal that knows them", dualSession(true)},
	"segment": {"contactless: entry and exit of a ride, the second advanced by the card [REF 2.8]", func(t testing.TB) *bytes.Buffer {
		m := newMerchant(t, 0x01, func(image *card.Image) {
			image.State.Applications[0].Purses[0].Balance = 500
			image.Applications[0].FDDA01 = false // its number would be drawn anew each time
		})
		m.tape = &bytes.Buffer{}
		m.register("T1 out")
		m.ride(1, 0, "T1 in")
		m.ride(1, 700, "T1 out")
		m.send(apdu.GetData(emv.TagSegmentUsed), apdu.OK)
		m.send(apdu.Command{CLA: 0x80, INS: apdu.InsGetTransProve, Data: []byte{0, 3}, Le: 8}, apdu.OK)
		return m.tape
	}},
}

// dualSession is a payment from the purse in the field, and an online one in the slot with the cryptogram inside a signature.
func dualSession(sm bool) func(t testing.TB) *bytes.Buffer {
	return func(t testing.TB) *bytes.Buffer {
		c, issued := dualCard(t, sm)
		r := present(t, c, issued)
		r.tape = &bytes.Buffer{}
		r.tap(sale{ttq: offlineGate, amount: 1250, sm: sm})
		i := insert(t, c, issued)
		i.tape, i.sale.sm = r.tape, sm
		i.open(false)
		signed, all := i.readAll(i.gpo)
		i.combined(i.iccKey(issued, i.gpo, signed, all), 0x90, "")
		ac := i.answer.Get(emv.TagAC)
		i.send(apdu.ExternalAuthenticate(i.arpc("00")), apdu.OK)
		i.generate(emv.TC, emv.TC, false, "00")
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(9750), ac), apdu.OK)
		return r.tape
	}
}

func TestSessions(t *testing.T) {
	for name, session := range sessions {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "sessions", name+".apdu")
			head := fmt.Sprintf("source: a card of package cardtest and TEST keys\ncomment: %s\n", session.comment)
			got := head + session.play(t).String()
			if *record {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got == string(want) {
				return
			}
			is, was := strings.Split(got, "\n"), strings.Split(string(want), "\n")
			for n := range max(len(is), len(was)) {
				if n >= len(is) || n >= len(was) || is[n] != was[n] {
					t.Fatalf("line %d differs:\n%s\nthe session has\n%s", n+1, strings.Join(is[min(n, len(is)):min(n+1, len(is))], ""), strings.Join(was[min(n, len(was)):min(n+1, len(was))], ""))
				}
			}
		})
	}
	// Nothing in the directory is without its test.
	files, err := filepath.Glob(filepath.Join("testdata", "sessions", "*.apdu"))
	if err != nil || !*record && len(files) != len(sessions) {
		t.Errorf("%d files, %d sessions, %v", len(files), len(sessions), err)
	}
}
