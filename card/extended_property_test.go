package card_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"pgregory.net/rapid"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/tlv"
)

// rides is a card of the extended application in the hands of merchants, its issuer, and a hand that pulls it away at a write.
type rides struct {
	*merchant
	rt    *rapid.T
	tear  int   // the write at which the power fails: before it when positive, after it when negative
	worth int64 // what the card is worth: balance and reserves less what was advanced
}

// value is what the holder has on the card [REF 2.8].
func value(s *card.ApplicationState) int64 {
	v := s.Purses[0].Balance - s.SegmentUsed
	for _, p := range s.Preauths {
		v += p.Amount
	}
	return v
}

func newRides(rt *rapid.T, t *testing.T) *rides {
	suite := rapid.SampledFrom([]cryptogram.Suite{cryptogram.TDES(), cryptogram.SM4(), cryptogram.AES()}).Draw(rt, "suite")
	held := rapid.Int64Range(0, 6000).Draw(rt, "balance")
	limit := rapid.Int64Range(0, 3000).Draw(rt, "limit of the advance")
	both := rapid.Bool().Draw(rt, "two sets of algorithms") && suite.Cipher() == cryptogram.CipherTDES
	_, issued, err := cardtest.Issue(cardtest.Options{Contact: true, Suite: suite, SM: both, Change: func(image *card.Image) {
		a, s := &image.Applications[0], &image.State.Applications[0]
		a.PDOL = append(a.PDOL, emv.DOLEntry{Tag: emv.TagCAPPIndicator, Len: 1})
		a.Extended, a.Files = emv.ExtendedIndicator{0x03}, []card.ExtendedFile{{SFI: merchantFile}}
		a.Objects.Set(emv.TagSegmentLimit, bcd(limit))
		a.AIP = emv.AIP{} // signing is slow and tested elsewhere
		if a.SM != nil {
			a.SM.AIP = emv.AIP{}
		}
		s.Purses[0] = card.Purse{Balance: held, BalanceLimit: 8000, SingleLimit: 5000, CVMLimit: 100_000}
	}})
	if err != nil {
		rt.Fatal(err)
	}
	m := &merchant{issued: issued, opening: keyOf(t, "0123456789ABCDEFFEDCBA9876543210"), key: keyOf(t, "00112233445566778899AABBCCDDEEFF")}
	var keys card.Crypto = card.NewSoftCrypto(suite, issued.CardKeys, issued.Key).WithFileKey(merchantFile, m.opening)
	if both {
		keys = card.Dual{Crypto: keys, SM: issued.Crypto.(card.Dual).SM}
	}
	c, err := card.New(&issued.Image, keys, nil, rand.Reader)
	if err != nil {
		rt.Fatal(err)
	}
	m.chip, m.reader, m.sale = c, present(tossed{t, rt}, c, issued), sale{ttq: offlineGate, sm: both && rapid.Bool().Draw(rt, "terminal with SM")}
	return &rides{merchant: m, rt: rt, worth: held}
}

// set gives the card to a reader, with the moment at which it is pulled away.
func (r *rides) set(f *card.Field) {
	r.field = f
	r.tear = rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5}).Draw(r.rt, "tear")
	if r.tear > 0 {
		f.TearBeforeCommit(r.tear)
	} else if r.tear < 0 {
		f.TearAfterCommit(-r.tear)
	}
}

// payment is a payment of any kind, with the merchant's record where there is one to write. It says what may leave the card.
func (r *rides) payment(kind byte) (moved int64, content []byte, answered bool) {
	id := rapid.SampledFrom([]string{"T1", "T1", "P2", "X4"}).Draw(r.rt, "merchant")
	r.sale.amount = rapid.Int64Range(0, 1500).Draw(r.rt, "amount")
	content = append([]byte(id), rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(r.rt, "content")...)
	if moved = -r.sale.amount; kind == 2 {
		moved = 0 // set aside, not spent
	}
	d := r.sale.data()
	d.Set(emv.TagCAPPIndicator, []byte{kind})
	if response, ok := r.try(apdu.Select(r.aid.Bytes())); !ok || response.SW != apdu.OK {
		return moved, content, false
	}
	response, ok := r.try(apdu.GPO(r.pdol.Build(nil, d)))
	if !ok || response.SW != apdu.OK {
		return moved, content, false
	}
	if kind != 0 && rapid.IntRange(0, 9).Draw(r.rt, "forgets the record") != 0 {
		number := byte(0)
		for _, x := range r.chip.State().Extended {
			if bytes.HasPrefix(x.Bytes[:], []byte(id)) {
				number = x.Number
			}
		}
		if response, ok = r.try(r.updateOf(number, content)); !ok {
			return moved, content, false
		}
	}
	response, ok = r.try(last())
	return moved, content, ok && response.SW == apdu.OK
}

// updateOf is UPDATE CAPP DATA CACHE for a record by number.
func (r *rides) updateOf(number byte, content []byte) apdu.Command {
	header := []byte{0x84, apdu.InsUpdateCAPPDataCache, number, merchantFile << 3, byte(len(content) + 4)}
	mac := r.recordMAC(append(header, content...))
	return apdu.Command{CLA: 0x84, INS: apdu.InsUpdateCAPPDataCache, P1: number, P2: merchantFile << 3, Data: append(bytes.Clone(content), mac...)}
}

// load sets the balance by a script in a payment of its own, and says what it may move.
func (r *rides) load() (moved int64, answered bool) {
	i := insert(r.TB, r.chip, r.issued)
	r.set(i.field)
	before := r.chip.State().Applications[0]
	if response, ok := i.try(apdu.Select(i.aid.Bytes())); !ok || response.SW != apdu.OK {
		return 0, false
	}
	response, ok := i.try(apdu.GPO(i.pdol.Build(nil, i.terminalData(false, ""))))
	if !ok || response.SW != apdu.OK {
		return 0, false
	}
	response, ok = i.try(apdu.GenerateAC(0x80, i.list(emv.TagCDOL1).Build(nil, i.terminalData(false, ""))))
	if !ok || response.SW != apdu.OK {
		return 0, false
	}
	i.answer = i.parse(response.Data, []tlv.Tag{emv.TagCID, emv.TagATC, emv.TagAC, emv.TagIAD}, []int{1, 2, 8})
	amount := rapid.Int64Range(0, 9000).Draw(r.rt, "new balance")
	moved = amount - before.Purses[0].Balance
	if before.SegmentUsed > 0 {
		moved = amount // it pays the advance back first
	}
	response, ok = i.try(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(amount), i.answer.Get(emv.TagAC)))
	return moved, ok && response.SW == apdu.OK
}

// laws compares the card with what it may be after an operation.
func (r *rides) laws(before *card.State, moved int64, content []byte, answered bool) {
	r.field.Present()
	if response, ok := r.try(apdu.Select(r.aid.Bytes())); !ok || response.SW != apdu.OK {
		r.rt.Fatalf("the card is dead: %v, %v", ok, response.SW)
	}
	now := r.chip.State()
	s, was := &now.Applications[0], &before.Applications[0]
	switch got := value(s) - r.worth; {
	case answered && got != moved:
		r.rt.Fatalf("answered, and the card's worth went from %d by %d, not by %d", r.worth, got, moved)
	case got != 0 && got != moved:
		r.rt.Fatalf("the card's worth went from %d by %d, neither 0 nor %d", r.worth, got, moved)
	case got != 0 && !answered && r.tear == 0:
		r.rt.Fatalf("moved %d, and nobody was told", got)
	}
	r.worth = value(s)
	if content != nil { // the merchant's record is written with the payment, or not at all
		committed := s.LastRecord.ATC == s.ATC && s.LastRecord != was.LastRecord
		if written := now.Extended != before.Extended; written && !committed {
			r.rt.Fatal("a merchant's record without its payment")
		}
	}
	switch {
	case s.ATC < was.ATC || s.ATC > was.ATC+1:
		r.rt.Fatalf("counter from %d to %d", was.ATC, s.ATC)
	case s.Purses[0].Balance < 0 || s.Purses[0].Balance > s.Purses[0].BalanceLimit:
		r.rt.Fatalf("balance %d", s.Purses[0].Balance)
	}
	limit := r.issued.Image.Applications[0].Objects.Get(emv.TagSegmentLimit)
	if !bytes.Equal(limit, bcd(s.SegmentUsed)) && bytes.Compare(bcd(s.SegmentUsed), limit) > 0 {
		r.rt.Fatalf("%d advanced, the limit is %X", s.SegmentUsed, limit)
	}
}

// TestExtendedLife: registrations, segments, pre-authorisations, completions, ordinary payments and loads in any order, torn at any write.
// What the card is worth changes by whole operations only, the merchant's record goes with its payment, and the card never dies.
func TestExtendedLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRides(rt, t)
		r.register("T1 new")
		r.register("P2 new")
		for range rapid.IntRange(1, 14).Draw(rt, "operations") {
			before := r.chip.State()
			var moved int64
			var content []byte
			answered := false
			switch what := rapid.SampledFrom([]string{"register", "pay", "segment", "segment", "reserve", "reserve", "complete", "complete", "load"}).Draw(rt, "what"); what {
			case "register":
				r.set(card.NewField(r.chip))
				if response, ok := r.try(apdu.Select(r.aid.Bytes())); ok && response.SW == apdu.OK {
					_, _ = r.try(r.appendCommand([]byte(rapid.SampledFrom([]string{"T1", "P2", "M3", "X4"}).Draw(rt, "merchant") + " new")))
				}
			case "load":
				moved, answered = r.load()
			default:
				r.set(card.NewField(r.chip))
				moved, content, answered = r.payment(map[string]byte{"pay": 0, "segment": 1, "reserve": 2, "complete": 3}[what])
			}
			r.laws(&before, moved, content, answered)
		}
	})
}
