package card_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/tlv"
)

// tossed lets the helpers of these tests run under rapid, which prints the seed that repeats a failure.
type tossed struct {
	testing.TB
	rt *rapid.T
}

func (t tossed) Helper()                      { t.rt.Helper() }
func (t tossed) Fatal(args ...any)            { t.rt.Fatal(args...) }
func (t tossed) Fatalf(f string, args ...any) { t.rt.Fatalf(f, args...) }
func (t tossed) Error(args ...any)            { t.rt.Error(args...) }
func (t tossed) Errorf(f string, args ...any) { t.rt.Errorf(f, args...) }
func (t tossed) Logf(f string, args ...any)   { t.rt.Logf(f, args...) }

// life is a card in the hands of random terminals, some of them hostile, an issuer that loads it, and a hand that pulls it out.
type life struct {
	*insertion
	rt      *rapid.T
	seen    map[[8]byte]string // cryptograms that left the card
	initial int64
	loaded  int64 // by the issuer
	spent   int64 // from the purse, as far as the terminals know
	opened  int64 // the amount of GET PROCESSING OPTIONS
	tear    int   // the write at which the power fails: before it when positive, after it when negative
	torn    int64 // what a torn command may have moved: down when negative
}

func randomProfile(rt *rapid.T) func(*card.Image) {
	bits := rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(rt, "default action")
	checks := rapid.ByteRange(0, 15).Draw(rt, "checks")
	lower, upper := rapid.ByteRange(0, 6).Draw(rt, "lower"), rapid.ByteRange(0, 8).Draw(rt, "upper")
	mandatory := rapid.Bool().Draw(rt, "mandatory")
	format2 := rapid.Bool().Draw(rt, "format 2")
	amounts := rapid.SliceOfN(rapid.Int64Range(0, 9000), 4, 4).Draw(rt, "amounts")
	processing := rapid.SampledFrom([]byte{0x80, 0x40, 0x20, 0x00}).Draw(rt, "funds")
	atc := rapid.SampledFrom([]uint16{0, 1, 0xFFF8}).Draw(rt, "counter")
	return func(image *card.Image) {
		a, s := &image.Applications[0], &image.State.Applications[0]
		a.AIP = emv.AIP{} // signing is slow and tested elsewhere
		a.Objects.Set(emv.TagDefaultAction, bits)
		a.Contact.Checks, a.Contact.Format2 = card.Checks(checks), format2
		a.Objects.Set(emv.TagLowerConsecutiveLimit, []byte{lower})
		a.Objects.Set(emv.TagUpperConsecutiveLimit, []byte{upper})
		if mandatory {
			a.Objects.Set(emv.TagIssuerAuthIndicator, []byte{0x80})
		}
		a.Processing = emv.AdditionalProcessing{processing, 0x10, 0xF0, 0}
		s.ATC, s.LastOnlineATC = atc, atc
		s.Purses[0] = card.Purse{Balance: amounts[0], BalanceLimit: 10000, SingleLimit: amounts[1], CVMLimit: 100000}
		s.CumulativeLimit, s.CumulativeUpperLimit = min(amounts[2], amounts[3]), max(amounts[2], amounts[3])
	}
}

// step does one thing at random.
func (l *life) step() {
	rt := l.rt
	before := l.chip.State().Applications[0]
	l.sale = sale{ttq: rapid.SampledFrom([]emv.TTQ{offlineGate, onlineCapable, onlineOnly, {0x40}}).Draw(rt, "reader"), amount: rapid.Int64Range(0, 9000).Draw(rt, "amount")}
	l.tear = rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, -1, 2, -2, 3, -3}).Draw(rt, "tear")
	switch rapid.SampledFrom([]string{"tap", "insert", "insert", "cash", "cash", "pin", "load", "junk", "again"}).Draw(rt, "what") {
	case "tap":
		l.present(card.NewField(l.chip), l.a.PDOL)
		l.tapOnce()
	case "insert":
		l.present(card.NewSlot(l.chip), l.a.Contact.PDOL)
		l.insertOnce(false)
	case "cash":
		l.present(card.NewSlot(l.chip), l.a.Contact.PDOL)
		l.insertOnce(true)
	case "pin":
		l.present(card.NewSlot(l.chip), l.a.Contact.PDOL)
		l.guess()
	case "load":
		l.load()
	case "junk":
		_, _ = l.field.Transceive(rt.Context(), rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "bytes"))
	default:
		_, _ = l.try(apdu.ReadRecord(4, 1))
	}
	l.settleTear()
	l.laws(before)
}

// present gives the card to another reader, with the moment at which it is pulled away.
func (l *life) present(f *card.Field, pdol emv.DOL) {
	l.field, l.pdol = f, pdol
	if l.tear > 0 {
		f.TearBeforeCommit(l.tear)
	} else if l.tear < 0 {
		f.TearAfterCommit(-l.tear)
	}
}

// remember refuses a cryptogram that was there before.
func (l *life) remember(ac []byte, what string) {
	if other, twice := l.seen[[8]byte(ac)]; twice {
		l.rt.Fatalf("%s: the cryptogram of %s again", what, other)
	}
	l.seen[[8]byte(ac)] = what
}

// guess tries a PIN that is wrong.
func (l *life) guess() {
	if response, ok := l.try(apdu.Select(l.aid.Bytes())); !ok || response.SW != apdu.OK {
		return
	}
	if response, ok := l.try(apdu.GPO(l.pdol.Build(nil, l.terminalData(false, "")))); !ok || response.SW != apdu.OK {
		return
	}
	for range 2 {
		before := l.state().PINTries
		response, ok := l.try(apdu.Verify(apdu.VerifyPlaintext, rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(l.rt, "PIN")))
		if left, wrong := response.SW.TriesLeft(); ok && (wrong != (before > 0) || wrong && (left != int(before)-1 || l.state().PINTries != byte(left))) {
			l.rt.Fatalf("a wrong PIN with %d tries left answered %v, %d left", before, response.SW, l.state().PINTries)
		}
	}
}

func (l *life) tapOnce() {
	if _, ok := l.try(apdu.Select(l.aid.Bytes())); !ok {
		return
	}
	response, ok := l.try(apdu.GPO(l.pdol.Build(nil, l.terminalData(false, ""))))
	if !ok || response.SW != apdu.OK {
		return
	}
	value, qpboc := tlv.Find(response.Data, emv.TagResponse2)
	if !qpboc || l.sale.ttq == (emv.TTQ{0x40}) {
		return
	}
	d, err := emv.ParseData(value)
	if err != nil {
		l.rt.Fatal(err)
	}
	l.remember(d.Get(emv.TagAC), fmt.Sprintf("tap %X", d.Get(emv.TagATC)))
	if !cryptogramOK(l, l.issued, d, l.sale) {
		l.rt.Fatal("the issuer does not accept the cryptogram of a tap")
	}
	if l.iad(d).CryptogramType() != emv.TC {
		return
	}
	before := l.state().Purses[0].Balance
	if response, ok := l.try(last()); ok && response.SW == apdu.OK {
		l.spent += before - l.state().Purses[0].Balance
	}
}

// insertOnce runs a dialogue with a terminal that asks for what it likes.
func (l *life) insertOnce(cash bool) {
	if _, ok := l.try(apdu.Select(l.aid.Bytes())); !ok {
		return
	}
	response, ok := l.try(apdu.GPO(l.pdol.Build(nil, l.terminalData(cash, ""))))
	if !ok || response.SW != apdu.OK {
		return
	}
	l.opened = l.sale.amount
	l.gpo = l.parse(response.Data, []tlv.Tag{emv.TagAIP, emv.TagAFL}, []int{2})
	if rapid.IntRange(0, 3).Draw(l.rt, "changes the amount") == 0 {
		l.sale.amount = rapid.Int64Range(0, 9000).Draw(l.rt, "other amount")
	}
	cid, ok := l.ask(rapid.SampledFrom([]byte{0, 0x40, 0x40, 0x80}).Draw(l.rt, "first"), cash, "")
	if !ok || cid != emv.ARQC {
		return
	}
	arc := rapid.SampledFrom([]string{"00", "05", "Y3", "Z3", "Y1", "51"}).Draw(l.rt, "code")
	switch rapid.IntRange(0, 2).Draw(l.rt, "authentication") {
	case 1:
		_, ok = l.try(apdu.ExternalAuthenticate(l.arpc(arc)))
	case 2:
		_, ok = l.try(apdu.ExternalAuthenticate(make([]byte, 10)))
	}
	if ok {
		_, _ = l.ask(rapid.SampledFrom([]byte{0, 0x40, 0x40}).Draw(l.rt, "second"), cash, arc)
	}
}

// ask gets a cryptogram and checks what an approval without the issuer may do.
func (l *life) ask(p1 byte, cash bool, arc string) (emv.CID, bool) {
	list := emv.TagCDOL1
	if arc != "" {
		list = emv.TagCDOL2
	}
	before := l.state()
	response, ok := l.try(apdu.GenerateAC(p1, l.list(list).Build(nil, l.terminalData(cash, arc))))
	if !ok || response.SW != apdu.OK {
		return 0, false
	}
	l.answer = l.parse(response.Data, []tlv.Tag{emv.TagCID, emv.TagATC, emv.TagAC, emv.TagIAD}, []int{1, 2, 8})
	l.remember(l.answer.Get(emv.TagAC), fmt.Sprintf("insert %X %q", l.answer.Get(emv.TagATC), arc))
	l.verifyCryptogram(cash, arc)
	cid := emv.CID(l.answer.Get(emv.TagCID)[0]).Type()
	online := arc != "" && arc != "Y3" && arc != "Z3" && arc != "Y1"
	now := l.state()
	l.spent += before.Purses[0].Balance - now.Purses[0].Balance
	if cid == emv.TC && online && arc != "00" {
		l.rt.Fatalf("approved although the issuer said %s", arc)
	}
	if cid != emv.TC || online {
		if now.Purses[0] != before.Purses[0] {
			l.rt.Fatal("the purse moved without an approval of the card")
		}
		return cid, true
	}
	l.offline(before, now, arc != "")
	return cid, true
}

// offline: an approval that nobody else gave keeps within every limit that is switched on.
func (l *life) offline(before, now card.ApplicationState, last bool) {
	checks := l.a.Contact.Checks
	if before.Blocked {
		l.rt.Fatal("a blocked application approved")
	}
	if paid := before.Purses[0].Balance - now.Purses[0].Balance; paid != 0 {
		if paid != l.sale.amount || paid != l.opened || paid > now.Purses[0].SingleLimit {
			l.rt.Fatalf("the purse paid %d for %d", paid, l.sale.amount)
		}
		return
	}
	since, limit, total := int(now.ATC)-int(now.LastOnlineATC), emv.TagLowerConsecutiveLimit, now.CumulativeLimit
	if last {
		limit, total = emv.TagUpperConsecutiveLimit, now.CumulativeUpperLimit
	}
	if checks.Has(card.CheckConsecutive) && since > int(l.a.Objects.Get(limit)[0]) && l.sale.amount > 0 {
		l.rt.Fatalf("offline for the %dth time", since)
	}
	if checks.Has(card.CheckCumulative) && now.Cumulative > total && l.sale.amount > 0 {
		l.rt.Fatalf("a total of %d, the limit is %d", now.Cumulative, total)
	}
}

// load is a load by the issuer in an online payment of its own.
func (l *life) load() {
	l.present(card.NewSlot(l.chip), l.a.Contact.PDOL)
	if response, ok := l.try(apdu.Select(l.aid.Bytes())); !ok || response.SW != apdu.OK {
		return
	}
	response, ok := l.try(apdu.GPO(l.pdol.Build(nil, l.terminalData(false, ""))))
	if !ok || response.SW != apdu.OK {
		return
	}
	l.gpo = l.parse(response.Data, []tlv.Tag{emv.TagAIP, emv.TagAFL}, []int{2})
	if cid, ok := l.ask(0x80, false, ""); !ok || cid != emv.ARQC {
		return
	}
	balance, _ := l.iad(l.answer).Balance()
	if balance != l.state().Purses[0].Balance {
		l.rt.Fatalf("the card tells its issuer %d, it holds %d", balance, l.state().Purses[0].Balance)
	}
	amount := rapid.Int64Range(0, 4000).Draw(l.rt, "load")
	ac := l.answer.Get(emv.TagAC)
	l.torn = amount
	if response, ok := l.try(l.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(balance+amount), ac)); ok {
		l.torn = 0
		if (response.SW == apdu.OK) != (balance+amount <= 10000) {
			l.rt.Fatalf("load of %d on %d: %v", amount, balance, response.SW)
		}
		if response.SW == apdu.OK {
			l.loaded += amount
		}
	}
}

// settleTear finds out what a torn command did: old or new, never another.
func (l *life) settleTear() {
	if _, ok := l.try(apdu.Select(l.aid.Bytes())); !ok {
		l.field.Present()
		switch missing := l.state().Purses[0].Balance - (l.initial + l.loaded - l.spent); {
		case missing == 0:
		case missing > 0 && missing == l.torn:
			l.loaded += missing
		case missing < 0 && -missing == l.sale.amount:
			l.spent -= missing
		default:
			l.rt.Fatalf("a torn command moved %d, of a payment of %d, of a load of %d", missing, l.sale.amount, l.torn)
		}
	}
	l.torn = 0
}

func (l *life) laws(before card.ApplicationState) {
	now := l.state()
	if now.Purses[0].Balance != l.initial+l.loaded-l.spent {
		l.rt.Fatalf("the purse holds %d: began with %d, loaded %d, spent %d", now.Purses[0].Balance, l.initial, l.loaded, l.spent)
	}
	if now.ATC < before.ATC || int(now.ATC) > int(before.ATC)+1 {
		l.rt.Fatalf("counter from %d to %d", before.ATC, now.ATC)
	}
	if now.PINTries > before.PINTries {
		l.rt.Fatalf("PIN tries from %d to %d", before.PINTries, now.PINTries)
	}
	if before.Blocked && !now.Blocked {
		l.rt.Fatal("unblocked by nobody")
	}
	if now.Purses[0].Balance < 0 || now.Purses[0].Balance > now.Purses[0].BalanceLimit {
		l.rt.Fatalf("balance %d", now.Purses[0].Balance)
	}
}

// TestLife: random terminals on random profiles, with tears at every write. The card never approves above its limits by itself, its counter
// never goes back, no cryptogram comes twice, every cryptogram is one the issuer accepts, and the purse conserves value.
func TestLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, issued, err := cardtest.Issue(cardtest.Options{Contact: true, Change: randomProfile(rt)})
		if err != nil {
			rt.Fatal(err)
		}
		l := &life{insertion: insert(tossed{rt: rt}, c, issued), rt: rt, seen: map[[8]byte]string{}}
		l.initial = l.state().Purses[0].Balance
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			l.step()
		}
	})
}
