package card_test

import (
	"bytes"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

func order(d emv.Data) (tags []tlv.Tag) {
	for tag := range d.All() {
		tags = append(tags, tag)
	}
	return tags
}

func equalTags(a, b []tlv.Tag) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// The contents and the order of template 77 [REF 2.3].
func TestAnswerOrder(t *testing.T) {
	product := bytes.Repeat([]byte{7}, 16)
	full := func(image *card.Image) {
		a := &image.Applications[0]
		a.Product, a.Holder = product, "LIN/XIA"
		a.OnlineAFL = emv.AFL{{SFI: 3, First: 1, Last: 1}}
	}
	for _, row := range []struct {
		name    string
		options cardtest.Options
		sale    sale
		want    []tlv.Tag
	}{
		{"approved, 1024-bit key", cardtest.Options{Change: full}, sale{ttq: offlineGate, amount: 1},
			[]tlv.Tag{0x82, 0x94, 0x9F36, 0x9F26, 0x9F10, 0x57, 0x5F34, 0x9F4B, 0x9F6C, 0x9F5D}},
		{"approved, 1152-bit key", cardtest.Options{LongKey: true}, sale{ttq: offlineGate, amount: 1},
			[]tlv.Tag{0x82, 0x94, 0x9F36, 0x9F26, 0x9F10, 0x57, 0x5F34, 0x9F6C, 0x9F5D}},
		{"online", cardtest.Options{}, sale{ttq: onlineOnly, amount: 1},
			[]tlv.Tag{0x82, 0x9F36, 0x57, 0x9F10, 0x9F26, 0x5F34, 0x9F6C, 0x9F5D}},
		{"online with everything", cardtest.Options{Change: full}, sale{ttq: onlineOnly, amount: 1},
			[]tlv.Tag{0x82, 0x94, 0x9F36, 0x57, 0x9F10, 0x9F26, 0x9F63, 0x5F34, 0x9F6C, 0x9F5D, 0x5F20}},
		{"declined", cardtest.Options{}, sale{ttq: offlineGate, amount: 8751},
			[]tlv.Tag{0x82, 0x9F36, 0x57, 0x9F10, 0x9F26, 0x5F34, 0x9F6C, 0x9F5D}},
		{"as little as possible", cardtest.Options{Change: func(image *card.Image) {
			image.Applications[0].Processing[0] = 0x80
			image.Applications[0].Sequence = ""
		}}, sale{ttq: onlineOnly, amount: 1}, []tlv.Tag{0x82, 0x9F36, 0x57, 0x9F10, 0x9F26, 0x9F6C}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, issued := cardtest.New(t, row.options)
			if got := order(present(t, c, issued).pay(row.sale)); !equalTags(got, row.want) {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
}

// The issuer application data: header, amounts after the payment, MAC under the session key of this counter.
func TestIssuerData(t *testing.T) {
	for _, row := range []struct {
		idd  byte
		want string
	}{
		{0, ""}, {1, "0000007516"}, {2, "0000000100"}, {3, "00000075160000000100"}, {4, "00000001000000005000"}, {5, "0000007516"},
	} {
		c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
			image.Applications[0].IDD = row.idd
			image.Applications[0].CVN = 0x17
			cumulative(100, 5000, 5000)(&image.State.Applications[0])
		}})
		r := present(t, c, issued)
		s := sale{ttq: offlineGate, amount: 1234}
		gpo := r.pay(s)
		iad := r.iad(gpo)
		if iad.DKI != 1 || iad.CVN != 0x17 || iad.Algorithm != 1 || iad.CVR != (emv.CVR{0x03, 0x90, 0, 0}) {
			t.Errorf("IDD %d: header %+v", row.idd, iad)
		}
		if !bytes.Equal(iad.IDDValue(), unhex(t, row.want)) {
			t.Errorf("IDD %d: %X, want %s", row.idd, iad.IDDValue(), row.want)
		}
		if row.idd != 0 {
			session := issued.Suite.SessionKey(issued.CardKeys.MAC, 2)
			if want := issued.Suite.IDDMAC(session, 2, iad.IDDValue()); iad.IDDMAC != want {
				t.Errorf("IDD %d: MAC %X, want %X", row.idd, iad.IDDMAC, want)
			}
		}
		if !cryptogramOK(t, issued, gpo, s) {
			t.Errorf("IDD %d: version 17 cryptogram", row.idd)
		}
	}
}

// Dynamic signatures, both versions and both places [REF 2.6].
func TestDynamicSignature(t *testing.T) {
	for _, row := range []struct {
		name    string
		long    bool
		support bool // the card knows version 01
		ttq     emv.TTQ
		version byte
	}{
		{"01 in the answer", false, true, offlineGate, 1},
		{"01 in the last record", true, true, offlineGate, 1},
		{"00: the reader does not know 01", false, true, ttq(0x28), 0},
		{"00: the card does not know 01", false, false, offlineGate, 0},
		{"00 in the last record", true, false, offlineGate, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, issued := cardtest.New(t, cardtest.Options{LongKey: row.long, Change: func(image *card.Image) {
				image.Applications[0].FDDA01 = row.support
			}})
			r := present(t, c, issued)
			s := sale{ttq: row.ttq, amount: 1234}
			gpo := r.pay(s)
			signed, all := r.readAll(gpo)
			signature, inAnswer := gpo.Value(emv.TagSDAD)
			if inAnswer == row.long {
				t.Errorf("signature in the answer: %v", inAnswer)
			}
			if !inAnswer {
				signature = all.Get(emv.TagSDAD)
			}
			in := s.signed(all)
			if in.Version != row.version {
				t.Fatalf("version %d, want %d", in.Version, row.version)
			}
			if row.version == 1 && !bytes.Equal(in.CardAuthData[5:7], gpo.Get(emv.TagCTQ)) {
				t.Error("9F69 and 9F6C differ")
			}
			icc := r.iccKey(issued, gpo, signed, all)
			if atc, err := oda.VerifyFDDA(icc, signature, in); err != nil || atc != 2 {
				t.Fatalf("counter %d, %v", atc, err)
			}
			in.UnpredictableNumber[0] ^= 1
			if _, err := oda.VerifyFDDA(icc, signature, in); err == nil {
				t.Error("the signature holds for another unpredictable number")
			}
		})
	}
}

// Two payments draw two card random numbers.
func TestCardRandomNumber(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	r := present(t, c, issued)
	var seen [][]byte
	for range 2 {
		_, all := r.readAll(r.pay(sale{ttq: offlineGate, amount: 1}))
		seen = append(seen, all.Get(emv.TagCardAuthData))
	}
	if bytes.Equal(seen[0], seen[1]) {
		t.Error("the card random number repeats")
	}
	if want := []byte{1, seen[0][1], seen[0][2], seen[0][3], seen[0][4], 0, 0, 0}; !bytes.Equal(seen[0], want) {
		t.Errorf("9F69 %X", seen[0])
	}
}

// A source of randomness that fails costs a counter, not money.
func TestNoRandom(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Random: bytes.NewReader(nil)})
	r := present(t, c, issued)
	r.selectApplication()
	r.send(r.gpo(sale{ttq: offlineGate, amount: 1}), 0x6F00)
	r.send(last(), apdu.ConditionsNotSatisfied)
	if got := c.State().Applications[0]; got.ATC != 2 || got.Purses[0].Balance != 8750 {
		t.Errorf("counter %d, balance %d", got.ATC, got.Purses[0].Balance)
	}
}

// Offline authentication of an online payment: an AFL and a signature, and nothing is spent.
func TestODAForOnline(t *testing.T) {
	for _, long := range []bool{false, true} {
		c, issued := cardtest.New(t, cardtest.Options{LongKey: long, Change: func(image *card.Image) {
			image.Applications[0].Extended = emv.ExtendedIndicator{0x40}
		}})
		r := present(t, c, issued)
		s := sale{ttq: ttq(0x37, 0x80, 0, 0x80), amount: 1234}
		gpo := r.pay(s)
		if got := r.iad(gpo).CryptogramType(); got != emv.ARQC {
			t.Fatalf("answered %v", got)
		}
		signed, all := r.readAll(gpo)
		signature := gpo.Get(emv.TagSDAD)
		if signature == nil {
			signature = all.Get(emv.TagSDAD)
		}
		if _, err := oda.VerifyFDDA(r.iccKey(issued, gpo, signed, all), signature, s.signed(all)); err != nil {
			t.Error(err)
		}
		if got := c.State().Applications[0]; got.Purses[0].Balance != 8750 || got.LastRecord.Length != 0 {
			t.Errorf("balance %d", got.Purses[0].Balance)
		}
		// Without the reader's bit it is an ordinary online answer.
		if gpo := r.pay(sale{ttq: onlineOnly, amount: 1}); gpo.Has(emv.TagAFL) || gpo.Has(emv.TagSDAD) {
			t.Error("offline data without need")
		}
	}
}

// What was read without paying can never pay: static data hold no cryptogram, and an answer made for one unpredictable number
// is worth nothing for another amount, number, currency or counter.
func TestReadingCannotPay(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	r := present(t, c, issued)
	r.selectApplication()
	for sfi := byte(1); sfi <= 30; sfi++ {
		for number := byte(1); number <= 16; number++ {
			response, _ := r.try(apdu.ReadRecord(sfi, number))
			for _, tag := range []tlv.Tag{emv.TagAC, emv.TagSDAD, emv.TagIAD, emv.TagCardAuthData} {
				if _, found := tlv.Find(response.Data, emv.TagRecord, tag); found {
					t.Errorf("record %d.%d tells %v without a payment", sfi, number, tag)
				}
			}
		}
	}
	for tag := range 0x10000 {
		if response, _ := r.try(apdu.GetData(tlv.Tag(tag))); response.SW == apdu.OK {
			if tlv.Tag(tag) == emv.TagAC || tlv.Tag(tag) == emv.TagSDAD || tlv.Tag(tag) == emv.TagIAD {
				t.Errorf("GET DATA tells %X", tag)
			}
		}
	}
	if c.State().Applications[0].ATC != 1 {
		t.Error("reading used a counter")
	}
	// An attacker's own tap, replayed to a terminal that asked something else.
	s := sale{ttq: offlineGate, amount: 100, random: [4]byte{1, 1, 1, 1}}
	gpo := r.pay(s)
	signed, all := r.readAll(gpo)
	icc := r.iccKey(issued, gpo, signed, all)
	if !cryptogramOK(t, issued, gpo, s) {
		t.Fatal("the original does not verify")
	}
	for name, other := range map[string]sale{
		"number":   {ttq: offlineGate, amount: 100, random: [4]byte{1, 1, 1, 2}},
		"amount":   {ttq: offlineGate, amount: 101, random: s.random},
		"currency": {ttq: offlineGate, amount: 100, random: s.random, currency: dollar},
	} {
		if cryptogramOK(t, issued, gpo, other) {
			t.Errorf("the cryptogram holds for another %s", name)
		}
		if _, err := oda.VerifyFDDA(icc, gpo.Get(emv.TagSDAD), other.signed(all)); err == nil {
			t.Errorf("the signature holds for another %s", name)
		}
	}
	next := gpo.Clone()
	next.Set(emv.TagATC, []byte{0, 3})
	if cryptogramOK(t, issued, next, s) {
		t.Error("the cryptogram holds for another counter")
	}
}
