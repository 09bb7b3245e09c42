package card_test

import (
	"bytes"
	"errors"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
)

// The cardholder's switches: contactless, one application, one application on contactless; each survives power and can be taken back.
func TestCardholderSwitches(t *testing.T) {
	memory := &brokenMemory{}
	c, issued := cardtest.New(t, cardtest.Options{Contact: true, Change: twoApplications, Memory: func(s card.State) card.Memory {
		memory.Memory = card.NewVolatile(s)
		return memory
	}})
	sees := func(on card.Interface, aid emv.AID) bool {
		t.Helper()
		c.PowerOn(on)
		return process(t, c, apdu.Select(aid.Bytes()).Bytes()) == apdu.OK
	}
	for _, row := range []struct {
		name                   string
		set                    func(on bool) error
		debitTap, debitInsert  bool
		creditTap, creditChips bool
	}{
		{"contactless", c.SetContactless, false, true, false, true},
		{"debit", func(on bool) error { return c.SetApplication(emv.AIDDebit, on) }, false, false, true, true},
		{"debit contactless", func(on bool) error { return c.SetApplicationContactless(emv.AIDDebit, on) }, false, true, true, true},
	} {
		if err := row.set(false); err != nil {
			t.Fatal(err)
		}
		for _, view := range []struct {
			on   card.Interface
			aid  emv.AID
			want bool
		}{
			{card.Contactless, emv.AIDDebit, row.debitTap}, {card.Contact, emv.AIDDebit, row.debitInsert},
			{card.Contactless, emv.AIDCredit, row.creditTap}, {card.Contact, emv.AIDCredit, row.creditChips},
		} {
			if got := sees(view.on, view.aid); got != view.want {
				t.Errorf("%s off: %v seen by interface %d: %v", row.name, view.aid, view.on, got)
			}
		}
		// The directories agree with what can be selected.
		r := &reader{TB: t, field: card.NewField(c)}
		if response, _ := r.try(apdu.Select([]byte(emv.PPSE))); bytes.Contains(response.Data, emv.AIDDebit.Bytes()) != row.debitTap {
			t.Errorf("%s off: PPSE %v %X", row.name, response.SW, response.Data)
		}
		r = &reader{TB: t, field: card.NewSlot(c)}
		r.send(apdu.Select([]byte(emv.PSE)), apdu.OK)
		if record := r.send(apdu.ReadRecord(1, 1), apdu.OK); bytes.Contains(record, emv.AIDDebit.Bytes()) != row.debitInsert {
			t.Errorf("%s off: PSE %X", row.name, record)
		}
		if err := row.set(true); err != nil {
			t.Fatal(err)
		}
		if !sees(card.Contactless, emv.AIDDebit) || !sees(card.Contact, emv.AIDDebit) {
			t.Errorf("%s does not come back", row.name)
		}
	}
	if err := c.SetApplication(emv.AIDUSDebit, true); err == nil {
		t.Error("switched an application that is not there")
	}
	memory.refuse = true
	if err := c.SetContactless(false); err == nil || errors.Is(err, card.ErrTorn) {
		t.Errorf("a worn memory: %v", err)
	}
	memory.torn = true
	if err := c.SetContactless(false); !errors.Is(err, card.ErrTorn) {
		t.Errorf("torn: %v", err)
	}
	_ = issued
}

// Each thing a reader could read can be held back by itself, on contact as on contactless, and each is told when it is not.
func TestPrivacyOnContact(t *testing.T) {
	objects := []struct {
		withhold card.Withhold
		read     apdu.Command
	}{
		{card.WithholdNumber, apdu.ReadRecord(3, 2)}, {card.WithholdExpiry, apdu.ReadRecord(3, 2)},
		{card.WithholdCounter, apdu.GetData(emv.TagATC)}, {card.WithholdLog, apdu.GetData(emv.TagLogFormat)},
		{card.WithholdBalance, apdu.GetData(emv.TagECBalance)},
	}
	for _, held := range append(objects, struct {
		withhold card.Withhold
		read     apdu.Command
	}{}) {
		c, issued := contactCard(t, func(image *card.Image) {
			a := &image.Applications[0]
			a.Withhold, a.IDD, a.Contact.IDD = held.withhold, 0, 0
			a.Processing.Clear(emv.APReturnAvailable)
		})
		i := insert(t, c, issued)
		for _, object := range objects {
			i.selectApplication()
			response, _ := i.try(object.read)
			same := object.withhold == held.withhold || bytes.Equal(object.read.Bytes(), held.read.Bytes())
			if told := response.SW == apdu.OK; told == same {
				t.Errorf("held back %b: %v answered %v", held.withhold, object.read, response.SW)
			}
		}
		i.payOnline() // a payment needs number and expiry, and works all the same
		i.send(apdu.ReadRecord(3, 2), apdu.OK)
	}
}

// An application of a partner lives beside the bank's, with its own identifier, keys, purse and log.
func TestPartnerApplication(t *testing.T) {
	const partner emv.AID = "\xF0TOLLROAD"
	_, issued := contactCard(t, func(image *card.Image) {
		a := image.Applications[0]
		a.AID, a.Label, a.PreferredName, a.Priority = partner, "TOLL ROAD", "TOLL ROAD", 0
		image.Applications = append(image.Applications, a)
		image.State.Applications[1] = image.State.Applications[0]
		image.State.Applications[1].Purses[0].Balance = 500
	})
	keys := issued.CardKeys
	keys.AC, keys.MAC = keys.MAC, keys.ENC // keys of its own
	own := card.NewSoftCrypto(issued.Suite, keys, issued.Key)
	c, err := card.New(&issued.Image, card.Keyring{issued.Crypto, own}, nil, bytes.NewReader(make([]byte, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	bank := insert(t, c, issued)
	toll := *issued
	toll.CardKeys = keys
	road := insert(t, c, &toll)
	road.reader.aid = partner
	road.field = bank.field
	road.sale.amount = 400
	road.open(true)
	road.generate(emv.TC, emv.TC, true, "")
	road.verifyCryptogram(true, "")
	bank.payOnline()
	s := c.State()
	if s.Applications[0].Purses[0].Balance != 8750 || s.Applications[1].Purses[0].Balance != 100 || s.Applications[0].Log.Count != 1 ||
		s.Applications[1].Log.Count != 1 {
		t.Error("the applications are not apart")
	}
	// A script of one cannot reach the other.
	ac := bank.online()
	bank.send(bank.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(1), ac), apdu.OK)
	road.selectApplication()
	road.send(bank.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(1), ac), apdu.ConditionsNotSatisfied)
	if c.State().Applications[1].Purses[0].Balance != 100 {
		t.Error("the other purse changed")
	}
}
