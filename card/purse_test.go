package card_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

// tear is one way to take the card away during a payment.
type tear struct {
	name string
	set  func(*card.Field)
}

// tears lists every moment of a payment: before and after each write, before and after each command.
func tears(commands, commits int) []tear {
	var list []tear
	for n := 1; n <= commits; n++ {
		list = append(list,
			tear{fmt.Sprintf("before write %d", n), func(f *card.Field) { f.TearBeforeCommit(n) }},
			tear{fmt.Sprintf("after write %d", n), func(f *card.Field) { f.TearAfterCommit(n) }})
	}
	for n := 1; n <= commands; n++ {
		list = append(list,
			tear{fmt.Sprintf("before command %d", n), func(f *card.Field) { f.TearBeforeCommand(n) }},
			tear{fmt.Sprintf("after command %d", n), func(f *card.Field) { f.TearAfterCommand(n) }})
	}
	return list
}

// tap runs a payment to its end or to the tear. lastHeard is the answer to the last record, if the reader heard it.
func (r *reader) tap(s sale) (gpo emv.Data, initiated bool, lastHeard []byte) {
	r.Helper()
	if _, ok := r.try(apdu.Select([]byte(emv.PPSE))); !ok {
		return gpo, false, nil
	}
	if _, ok := r.try(apdu.Select(r.aid.Bytes())); !ok {
		return gpo, false, nil
	}
	response, ok := r.try(r.gpo(s))
	if !ok {
		return gpo, false, nil
	}
	if response.SW != apdu.OK {
		r.Fatalf("GPO answered %v", response.SW)
	}
	gpo = r.inside(response.Data, emv.TagResponse2)
	afl, err := emv.ParseAFL(gpo.Get(emv.TagAFL))
	if err != nil {
		r.Fatal(err)
	}
	for rec := range afl.Records() {
		response, ok := r.try(apdu.ReadRecord(rec.SFI, rec.Number))
		if !ok {
			return gpo, true, nil
		}
		if response.SW != apdu.OK {
			r.Fatalf("record %d.%d answered %v", rec.SFI, rec.Number, response.SW)
		}
		lastHeard = response.Data
	}
	return gpo, true, lastHeard
}

// TestTearing takes the card away at every moment of an electronic cash payment: money is never lost and never doubled, and
// the same card tapped again shows the payment or has not paid [REF 2.4] [REF 2.5].
func TestTearing(t *testing.T) {
	const amount = 1234
	for _, long := range []bool{false, true} {
		options := cardtest.Options{LongKey: long}
		c, issued := cardtest.New(t, options)
		whole := present(t, c, issued)
		whole.tap(sale{ttq: offlineGate, amount: amount})
		if whole.field.Commits() != 2 {
			t.Fatalf("a payment makes %d writes, want 2", whole.field.Commits())
		}
		if got := c.State().Applications[0].Purses[0].Balance; got != 8750-amount {
			t.Fatalf("balance %d", got)
		}
		for _, tear := range tears(whole.field.Commands(), whole.field.Commits()) {
			t.Run(fmt.Sprintf("long key %v, %s", long, tear.name), func(t *testing.T) { tearOnce(t, options, amount, tear) })
		}
	}
}

func tearOnce(t *testing.T, options cardtest.Options, amount int64, how tear) {
	c, issued := cardtest.New(t, options)
	before := c.State().Applications[0]
	r := present(t, c, issued)
	s := sale{ttq: offlineGate, amount: amount}
	how.set(r.field)
	gpo, initiated, heard := r.tap(s)

	// The same card is tapped again.
	r.field.Present()
	now := c.State().Applications[0]
	paid := before.Purses[0].Balance - now.Purses[0].Balance
	if paid != 0 && paid != amount {
		t.Fatalf("the card lost %d for a payment of %d", paid, amount)
	}
	if heard != nil && paid != amount {
		t.Fatal("the reader heard the last record, but the card has not paid")
	}
	if initiated && now.ATC != before.ATC+1 {
		t.Fatalf("a cryptogram left, the counter went from %d to %d", before.ATC, now.ATC)
	}
	if (now.Log.Count == before.Log.Count+1) != (paid == amount) {
		t.Error("log and purse disagree")
	}
	r.selectApplication()
	if got := r.amount(emv.TagECBalance); got != before.Purses[0].Balance-paid {
		t.Errorf("GET DATA tells %d", got)
	}
	if !initiated {
		if paid != 0 {
			t.Fatal("paid although the reader has no cryptogram")
		}
	} else if paid == amount {
		// Recovery: the last record once more, for the same counter, and it proves the payment.
		again := r.send(last(), apdu.OK)
		if heard != nil && !bytes.Equal(again, heard) {
			t.Error("the record differs when read again")
		}
		if twice := r.send(last(), apdu.OK); !bytes.Equal(again, twice) {
			t.Error("the record differs when read twice")
		}
		verifySignature(t, r, issued, gpo, again, s)
	} else {
		r.send(last(), apdu.ConditionsNotSatisfied) // nothing to show
	}
	if got := c.State().Applications[0]; got != now {
		t.Error("reading again changed the card")
	}

	// Whatever happened, the next payment is an ordinary one, paid once.
	r.field.Present()
	if _, _, heard := r.tap(s); heard == nil {
		t.Fatal("the next payment failed")
	}
	if got := c.State().Applications[0].Purses[0].Balance; got != now.Purses[0].Balance-amount {
		t.Errorf("after the next payment: %d", got)
	}
}

// verifySignature checks a dynamic signature version 01 with the last record the card gave.
func verifySignature(t testing.TB, r *reader, issued *cardtest.Issued, gpo emv.Data, lastRecord []byte, s sale) {
	t.Helper()
	var all emv.Data
	var signed []oda.Record
	for _, rec := range issued.Image.Applications[0].Records {
		if rec.SFI == 4 {
			continue
		}
		raw := r.send(apdu.ReadRecord(rec.SFI, rec.Number), apdu.OK)
		for tag, value := range r.inside(raw, emv.TagRecord).All() {
			all.Set(tag, value)
		}
		if rec.SFI == 3 {
			signed = append(signed, oda.Record{SFI: 3, Raw: raw})
		}
	}
	end := r.inside(lastRecord, emv.TagRecord)
	signature := gpo.Get(emv.TagSDAD)
	if signature == nil {
		signature = end.Get(emv.TagSDAD)
	}
	atc, err := oda.VerifyFDDA(r.iccKey(issued, gpo, signed, all), signature, s.signed(end))
	if err != nil {
		t.Fatalf("dynamic signature: %v", err)
	}
	if got := gpo.Get(emv.TagATC); atc != uint16(got[0])<<8|uint16(got[1]) {
		t.Errorf("signature is for counter %d", atc)
	}
}

// signed is what the terminal hashes.
func (s sale) signed(lastRecord emv.Data) oda.FDDAInput {
	d := s.data()
	in := oda.FDDAInput{UnpredictableNumber: [4]byte(d.Get(emv.TagUnpredictableNumber))}
	if data := lastRecord.Get(emv.TagCardAuthData); data != nil {
		in.Version, in.CardAuthData = 1, data
		in.Amount, in.Currency = [6]byte(d.Get(emv.TagAmount)), [2]byte(d.Get(emv.TagCurrency))
	}
	return in
}

// A payment is also not paid when the reader selects again instead of reading on.
func TestAbandonedPayment(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	r := present(t, c, issued)
	r.pay(sale{ttq: offlineGate, amount: 500})
	r.send(apdu.ReadRecord(3, 1), apdu.OK)
	r.selectApplication()
	r.send(last(), apdu.ConditionsNotSatisfied)
	if got := c.State().Applications[0].Purses[0].Balance; got != 8750 {
		t.Errorf("balance %d", got)
	}
	// A later payment that stays open hides the record of the one before it: its counter is another.
	r.pay(sale{ttq: offlineGate, amount: 500})
	r.send(last(), apdu.OK)
	r.pay(sale{ttq: onlineOnly, amount: 500})
	r.send(last(), apdu.ConditionsNotSatisfied)
	r.selectApplication()
	r.send(last(), apdu.ConditionsNotSatisfied)
	if got := c.State().Applications[0].Purses[0].Balance; got != 8250 {
		t.Errorf("balance %d", got)
	}
}

// brokenMemory refuses writes without losing power.
type brokenMemory struct {
	card.Memory
	refuse bool
	torn   bool
}

func (m *brokenMemory) Commit(s *card.State) error {
	if m.torn {
		return fmt.Errorf("write: %w", card.ErrTorn)
	}
	if m.refuse {
		return errors.New("cell is worn out")
	}
	return m.Memory.Commit(s)
}

func TestMemoryFailure(t *testing.T) {
	memory := &brokenMemory{}
	c, issued := cardtest.New(t, cardtest.Options{Memory: func(s card.State) card.Memory {
		memory.Memory = card.NewVolatile(s)
		return memory
	}})
	r := present(t, c, issued)
	before := c.State()
	memory.refuse = true
	r.selectApplication()
	r.send(r.gpo(sale{ttq: offlineGate, amount: 500}), apdu.MemoryFailure)
	if c.State() != before {
		t.Error("state changed without a write")
	}
	memory.refuse = false
	r.pay(sale{ttq: offlineGate, amount: 500})
	memory.refuse = true
	r.send(last(), apdu.MemoryFailure)
	memory.refuse = false
	r.send(last(), apdu.OK) // nothing was written: the reader may ask again
	if got := c.State().Applications[0].Purses[0].Balance; got != 8250 {
		t.Errorf("balance %d", got)
	}
	r.pay(sale{ttq: offlineGate, amount: 500})
	memory.torn = true
	if _, ok := r.try(last()); ok {
		t.Error("a torn card answered")
	}
}

// The log holds the last ten payments, newest first, laid out by the log format and without a template.
func TestLog(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	r := present(t, c, issued)
	r.selectApplication()
	r.send(apdu.ReadRecord(0x0B, 1), apdu.RecordNotFound)
	for n := int64(1); n <= 12; n++ {
		r.pay(sale{ttq: offlineGate, amount: n})
		r.send(last(), apdu.OK)
	}
	r.pay(sale{ttq: onlineOnly, amount: 99}) // online payments are the issuer's to list
	r.selectApplication()
	format := r.send(apdu.GetData(emv.TagLogFormat), apdu.OK)
	value, _ := tlv.Find(format, emv.TagLogFormat)
	dol, err := emv.ParseDOL(value)
	if err != nil {
		t.Fatal(err)
	}
	for n := byte(1); n <= 10; n++ {
		d, err := dol.Split(r.send(apdu.ReadRecord(0x0B, n), apdu.OK))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(d.Get(emv.TagAmount), bcd(13-int64(n))) {
			t.Errorf("record %d: amount %X", n, d.Get(emv.TagAmount))
		}
		if want := []byte{0, 14 - n}; !bytes.Equal(d.Get(emv.TagATC), want) {
			t.Errorf("record %d: counter %X, want %X", n, d.Get(emv.TagATC), want)
		}
		if !bytes.HasPrefix(d.Get(emv.TagMerchantName), []byte("CANTEEN ONE")) || !bytes.Equal(d.Get(emv.TagTransactionTime), []byte{0x12, 0x30, 0x59}) {
			t.Errorf("record %d: %v", n, d)
		}
	}
	r.send(apdu.ReadRecord(0x0B, 11), apdu.RecordNotFound)
	r.send(apdu.ReadRecord(0x0B, 0), apdu.WrongParameters)
}
