package card_test

import (
	"bytes"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/tlv"
)

func TestReadRecord(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	r := present(t, c, issued)
	r.selectApplication()
	for _, rec := range issued.Image.Applications[0].Records[:3] {
		if got := r.send(apdu.ReadRecord(rec.SFI, rec.Number), apdu.OK); !bytes.Equal(got, tlv.Wrap(0x70, rec.Body)) {
			t.Errorf("record %d.%d", rec.SFI, rec.Number)
		}
	}
	for _, row := range []struct {
		cmd  apdu.Command
		want apdu.SW
	}{
		{apdu.ReadRecord(3, 2), apdu.RecordNotFound},
		{apdu.ReadRecord(3, 255), apdu.RecordNotFound},
		{apdu.ReadRecord(4, 2), apdu.RecordNotFound},
		{apdu.ReadRecord(9, 1), apdu.FileNotFound},
		{apdu.ReadRecord(30, 1), apdu.FileNotFound},
		{apdu.ReadRecord(31, 1), apdu.WrongParameters},
		{apdu.ReadRecord(0, 1), apdu.WrongParameters},
		{apdu.ReadRecord(3, 0), apdu.WrongParameters},
		{apdu.Command{INS: apdu.InsReadRecord, P1: 1, P2: 3<<3 | 5, Le: 256}, apdu.WrongParameters},
		{apdu.Command{INS: apdu.InsReadRecord, P1: 1, P2: 3 << 3, Le: 256}, apdu.WrongParameters},
		{apdu.Command{INS: apdu.InsReadRecord, P1: 1, P2: 3<<3 | 4, Data: []byte{1}, Le: 256}, apdu.WrongLength},
		{last(), apdu.ConditionsNotSatisfied}, // not to be had without a payment
	} {
		r.send(row.cmd, row.want)
	}
}

// The last record of the offline list, when an online payment lists it too, is an ordinary record there.
func TestLastRecordOnline(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		image.Applications[0].OnlineAFL = emv.AFL{{SFI: 4, First: 1, Last: 1}}
	}})
	r := present(t, c, issued)
	r.pay(sale{ttq: onlineOnly, amount: 1})
	if got := r.send(last(), apdu.OK); !bytes.Equal(got, unhex(t, "7009 9F7406454343303031")) {
		t.Errorf("%X", got)
	}
	if got := c.State().Applications[0]; got.Purses[0].Balance != 8750 {
		t.Error("an online payment was charged to the purse")
	}
	// A declined payment lists it as well, and pays nothing.
	r.pay(sale{ttq: offlineGate, amount: 9999})
	r.send(last(), apdu.OK)
	if got := c.State().Applications[0]; got.Purses[0].Balance != 8750 || got.LastRecord.Length != 0 {
		t.Error("a declined payment was charged to the purse")
	}
}

func TestGetData(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		a := &image.Applications[0]
		a.Extended = emv.ExtendedIndicator{0x02}
		for tag, value := range map[tlv.Tag]string{0xDF4F: "9A03", 0x9F56: "80", 0x9F58: "05", 0x9F59: "0A", 0x9F72: "03", 0x9F73: "20001000",
			0x9F75: "000000001000", 0x9F76: "0840", 0xDF62: "000000000800", 0xDF63: "000000000000"} {
			a.Objects.Set(tag, unhex(t, value))
		}
		a.Objects.Set(emv.TagHolderIDNumber, []byte("110101"))
		s := &image.State.Applications[0]
		s.CumulativeLimit, s.CumulativeUpperLimit, s.InternationalLimit = 111, 222, 5
	}})
	r := present(t, c, issued)
	r.selectApplication()
	for tag, want := range map[tlv.Tag]string{
		0x9F13: "0001", 0x9F17: "03", 0x9F36: "0001", 0x9F51: "0156", 0x9F52: "C000", 0x9F53: "05", 0x9F54: "000000000111", 0x9F56: "80",
		0x9F57: "0156", 0x9F58: "05", 0x9F59: "0A", 0x9F5C: "000000000222", 0x9F5D: "000000008750", 0x9F68: "9910F000", 0x9F6B: "000000100000",
		0x9F6D: "000000001000", 0x9F72: "03", 0x9F73: "20001000", 0x9F75: "000000001000", 0x9F76: "0840", 0x9F77: "000000100000",
		0x9F78: "000000100000", 0x9F79: "000000008750", 0xDF4F: "9A03", 0xDF61: "02", 0xDF62: "000000000800", 0xDF63: "000000000000",
		0x9F4F: "9A039F21039F02069F03069F1A025F2A029F4E149C019F3602",
	} {
		if got := r.send(apdu.GetData(tag), apdu.OK); !bytes.Equal(got, tlv.Append(nil, tag, unhex(t, want))) {
			t.Errorf("%v: %X, want %s", tag, got, want)
		}
	}
	// Not in the list, though some are on the card; no second currency.
	for _, tag := range []tlv.Tag{0, 0x57, 0x5A, 0x82, 0x5F24, 0x9F10, 0x9F26, 0x9F4B, 0x9F61, 0x9F74, 0xDF71, 0xDF72, 0xDF76, 0xDF77, 0xDF78, 0xDF79, 0xFFFF} {
		r.send(apdu.GetData(tag), apdu.DataNotFound)
	}
	r.send(apdu.Command{CLA: 0x80, INS: apdu.InsGetData, P1: 0x9F, P2: 0x36, Data: []byte{0}}, apdu.WrongLength)
}

// Each readable object can be withheld by itself, and the card still pays [MISSION A4].
func TestWithhold(t *testing.T) {
	read := func(w card.Withhold) (told card.Withhold, r *reader) {
		c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
			a := &image.Applications[0]
			a.Withhold = w
			a.IDD = 0
			a.Processing.Clear(emv.APReturnAvailable)
			// Number and expiry in records of their own, so that one can be withheld without the other.
			a.Records = append(a.Records,
				card.Record{SFI: 5, Number: 1, Body: tlv.Append(nil, emv.TagPAN, make([]byte, 8))},
				card.Record{SFI: 5, Number: 2, Body: tlv.Append(nil, emv.TagExpiryDate, make([]byte, 3))},
				card.Record{SFI: 5, Number: 3, Body: tlv.Append(nil, emv.TagTrack2, make([]byte, 8))})
			a.OfflineAFL = append(emv.AFL{{SFI: 5, First: 1, Last: 3}}, a.OfflineAFL...)
		}})
		r = present(t, c, issued)
		r.pay(sale{ttq: offlineGate, amount: 1})
		r.send(last(), apdu.OK)
		fci := r.selectApplication()
		tell := func(object card.Withhold, cmd apdu.Command, refusal apdu.SW) {
			switch response, _ := r.try(cmd); response.SW {
			case apdu.OK:
				told |= object
			case refusal:
			default:
				t.Errorf("withhold %b: %v answered %v", w, cmd, response.SW)
			}
		}
		tell(card.WithholdNumber, apdu.ReadRecord(5, 1), apdu.ConditionsNotSatisfied)
		tell(card.WithholdExpiry, apdu.ReadRecord(5, 2), apdu.ConditionsNotSatisfied)
		tell(card.WithholdCounter, apdu.GetData(emv.TagATC), apdu.DataNotFound)
		tell(card.WithholdCounter, apdu.GetData(emv.TagLastOnlineATC), apdu.DataNotFound)
		tell(card.WithholdLog, apdu.ReadRecord(0x0B, 1), apdu.FileNotFound)
		tell(card.WithholdLog, apdu.GetData(emv.TagLogFormat), apdu.DataNotFound)
		tell(card.WithholdBalance, apdu.GetData(emv.TagECBalance), apdu.DataNotFound)
		tell(card.WithholdBalance, apdu.GetData(emv.TagAvailableOffline), apdu.DataNotFound)
		both := card.WithholdNumber | card.WithholdExpiry
		if response, _ := r.try(apdu.ReadRecord(5, 3)); (response.SW == apdu.OK) != (w&both == 0) {
			t.Errorf("withhold %b: track 2 answered %v", w, response.SW)
		}
		_, logEntry := tlv.Find(fci, emv.TagFCI, emv.TagFCIProprietary, emv.TagFCIDiscretionary, emv.TagLogEntry)
		if logEntry == w.Has(card.WithholdLog) {
			t.Errorf("withhold %b: FCI tells of the log: %v", w, logEntry)
		}
		return told, r
	}
	all := card.WithholdNumber | card.WithholdExpiry | card.WithholdCounter | card.WithholdLog | card.WithholdBalance
	for w := card.Withhold(0); w <= all; w++ {
		told, r := read(w)
		if told != all&^w {
			t.Errorf("withheld %b, told %b", w, told)
		}
		// In a payment the records are read as usual.
		r.readAll(r.pay(sale{ttq: offlineGate, amount: 1}))
	}
}
