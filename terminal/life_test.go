package terminal_test

import (
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/terminal"
)

// life is one card through the hands of terminals drawn at random, in the field and in the slot, with its issuer behind them and a hand
// that pulls it away at a write.
type life struct {
	rt     *rapid.T
	t      *testing.T
	chip   *card.Card
	issued *cardtest.Issued
	bank   *bank
	cfg    terminal.Config
	books  int64 // what the purse should hold, as far as the terminals know
	last   uint16
}

// randomCard draws a profile: suites, key, purse, limits, checks, what the card is allowed to do by itself.
func randomCard(rt *rapid.T) cardtest.Options {
	o := cardtest.Options{Contact: true, SM: rapid.Bool().Draw(rt, "SM"), LongKey: rapid.IntRange(0, 3).Draw(rt, "long key") == 0}
	o.Suite = rapid.SampledFrom([]cryptogram.Suite{cryptogram.TDES(), cryptogram.SM4(), cryptogram.AES()}).Draw(rt, "suite")
	if o.SM {
		o.Suite = cryptogram.TDES()
	}
	funds := rapid.SampledFrom([]byte{0x80, 0x80, 0x40, 0x20, 0x00}).Draw(rt, "funds")
	more := rapid.SampledFrom([]byte{0x10, 0x19, 0x01}).Draw(rt, "other bits")
	limits := rapid.SliceOfN(rapid.Int64Range(0, 60_000), 5, 5).Draw(rt, "amounts")
	counts := rapid.SliceOfN(rapid.ByteRange(0, 8), 2, 2).Draw(rt, "counts")
	action := rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(rt, "default action")
	checks := rapid.ByteRange(0, 15).Draw(rt, "checks")
	atc := rapid.SampledFrom([]uint16{1, 1, 1, 0, 0xFFF0}).Draw(rt, "counter")
	full := rapid.IntRange(0, 4).Draw(rt, "full dialogue only") == 0
	o.Change = func(image *card.Image) {
		a, s := &image.Applications[0], &image.State.Applications[0]
		a.Processing = emv.AdditionalProcessing{funds | more, 0x10, 0xF0, 0}
		a.Objects.Set(emv.TagDefaultAction, action)
		a.Objects.Set(emv.TagLowerConsecutiveLimit, counts[:1])
		a.Objects.Set(emv.TagUpperConsecutiveLimit, counts[1:])
		a.Contact.Checks, a.Contact.FullOnly = card.Checks(checks), full
		s.ATC, s.LastOnlineATC = atc, atc
		s.Purses[0] = card.Purse{Balance: limits[0], BalanceLimit: 100_000, SingleLimit: limits[1], ResetThreshold: limits[2] / 10, CVMLimit: 100_000}
		s.CumulativeLimit, s.CumulativeUpperLimit = min(limits[3], limits[4]), max(limits[3], limits[4])
	}
	return o
}

// randomTerminal draws what a terminal can do and where its limits are.
func (l *life) randomTerminal() {
	rt := l.rt
	l.cfg = contactConfig(l.issued)
	l.cfg.Kernel.SM = rapid.Bool().Draw(rt, "terminal with SM")
	l.cfg.Kernel.Type = rapid.SampledFrom([]byte{0x21, 0x22, 0x23, 0x25}).Draw(rt, "type")
	l.cfg.Kernel.FDDA00Allowed = true
	l.cfg.TTQ = rapid.SampledFrom([]emv.TTQ{{0x36, 0, 0, 0x80}, {0x36, 0, 0, 0}, {0x28, 0, 0, 0x80}, {0x76, 0, 0, 0x80}}).Draw(rt, "qualifiers")
	l.cfg.Combinations[0].Limits.Floor = yuan(rapid.Int64Range(0, 60_000).Draw(rt, "floor in the field"))
	a := &l.cfg.Contact.Applications[0]
	a.FloorLimit, a.ECLimit = yuan(rapid.Int64Range(0, 60_000).Draw(rt, "floor")), yuan(rapid.Int64Range(0, 60_000).Draw(rt, "cash limit"))
}

// tear draws the write at which the power fails.
func (l *life) tear(f *card.Field) *card.Field {
	if n := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 4, 5, -1, -2, -3, -4, -5}).Draw(l.rt, "tear"); n > 0 {
		f.TearBeforeCommit(n)
	} else if n < 0 {
		f.TearAfterCommit(-n)
	}
	return f
}

func (l *life) tap() {
	before := l.chip.State().Applications[0]
	field, term := l.tear(card.NewField(l.chip)), newTerminal(l.t, l.cfg)
	p := people(l.bank)
	l.bank.script = nil
	r := request(rapid.Int64Range(1, 60_000).Draw(l.rt, "amount"))
	r.Dialogue = &p
	result, err := term.Tap(context.Background(), field, r)
	if err != nil {
		l.rt.Fatal(err)
	}
	if result.Torn != nil {
		field.Present()
		if result, err = term.Retap(context.Background(), field, result.Torn, cardtest.Today); err != nil {
			l.rt.Fatal(err)
		}
	}
	o := result.Outcome
	l.counted(o.Data)
	if o.Reason == kernel.ReasonInterrupted { // the terminal says that it does not know: the card does
		l.books = balance(l.chip)
	}
	if o.Kind != kernel.Approved {
		return
	}
	l.approved(fmt.Sprintf("tap, %v", o.Reason), &before, o.Data, r.Amount.Minor(), result.Dialogue == nil, !(result.Dialogue != nil && result.Dialogue.Outcome.HostApproved))
}

func (l *life) insert(q terminal.InsertRequest) {
	before := l.chip.State().Applications[0]
	slot, term := l.tear(card.NewSlot(l.chip)), newTerminal(l.t, l.cfg)
	if q.Contactless {
		slot = l.tear(card.NewField(l.chip))
	}
	p := people(l.bank)
	if rapid.IntRange(0, 4).Draw(l.rt, "line") == 0 {
		p.Online = nil
	}
	l.bank.arc = rapid.SampledFrom([]string{"00", "00", "05"}).Draw(l.rt, "answer")
	l.bank.forged = rapid.IntRange(0, 9).Draw(l.rt, "forged") == 0
	defer func() { l.bank.arc, l.bank.forged = "00", false }()
	l.bank.script = nil
	if q.Purse != contact.PurseNone {
		l.bank.script = fill
	}
	result, err := term.Insert(context.Background(), slot, q, p)
	if err != nil {
		l.rt.Fatal(err)
	}
	o := result.Outcome
	l.counted(o.Data)
	if o.Kind == kernel.Approved {
		l.approved(fmt.Sprintf("insert, %v", o.Reason), &before, o.Data, q.Amount.Minor(), false, !o.HostApproved)
	}
	if result.Unsettled != nil {
		slot.Present()
		if result, err = term.Settle(context.Background(), slot, result.Unsettled); err != nil || result.Unsettled != nil {
			l.rt.Fatalf("not settled: %v, %v", result.Outcome.Reason, err)
		}
		o = result.Outcome
	}
	switch {
	case o.Reason == contact.ReasonCashApproved, o.Reason == contact.ReasonPaidWithoutProof:
		l.books -= q.Amount.Minor()
	case o.Reason == contact.ReasonLoaded:
		l.books += q.Amount.Minor()
	case o.Reason == contact.ReasonUnloaded:
		l.books = q.Purse.After(yuan(l.books), q.Amount).Minor()
	}
}

// counted: the counter of each payment is higher than that of all before.
func (l *life) counted(data emv.Data) {
	b := data.Get(emv.TagATC)
	if len(b) != 2 {
		return
	}
	atc := uint16(b[0])<<8 | uint16(b[1])
	if atc <= l.last {
		l.rt.Fatalf("counter %d after %d", atc, l.last)
	}
	l.last = atc
}

// approved: what is approved is a TC that the issuer's suite verifies, and without the issuer it keeps to the card's limits.
func (l *life) approved(what string, before *card.ApplicationState, data emv.Data, amount int64, qpboc, offline bool) {
	if !cryptogramOK(tossed{l.t, l.rt}, l.issued, data) {
		l.rt.Fatalf("%s: the issuer cannot verify the TC", what)
	}
	iad, err := emv.ParseIAD(data.Get(emv.TagIAD))
	if err != nil {
		l.rt.Fatal(err)
	}
	now := l.chip.State().Applications[0]
	paid := before.Purses[0].Balance - now.Purses[0].Balance
	if !offline {
		return
	}
	if qpboc {
		l.books -= paid
		if iad.CryptogramType() != emv.TC {
			l.rt.Fatalf("%s with %v", what, iad.CryptogramType())
		}
	}
	switch {
	case before.Blocked:
		l.rt.Fatalf("%s: a blocked application approved", what)
	case paid != 0 && paid != amount:
		l.rt.Fatalf("%s: the purse paid %d for %d", what, paid, amount)
	case paid != 0 && (paid > before.Purses[0].SingleLimit || now.Purses[0].Balance < 0):
		l.rt.Fatalf("%s: the purse paid %d, its limit for one payment is %d", what, paid, before.Purses[0].SingleLimit)
	}
	if spent := now.Cumulative - before.Cumulative; qpboc && paid == 0 && (spent != amount || now.Cumulative > now.CumulativeUpperLimit) {
		l.rt.Fatalf("%s: %d of %d is in the total of %d, the limit is %d", what, spent, amount, now.Cumulative, now.CumulativeUpperLimit)
	}
	if !qpboc && paid == 0 {
		l.velocity(what, &now)
	}
}

// velocity: the checks of the dialogue that are switched on held, with the limits for a payment that nobody else approved.
func (l *life) velocity(what string, now *card.ApplicationState) {
	a := &l.issued.Image.Applications[0]
	if upper := a.Objects.Get(emv.TagUpperConsecutiveLimit)[0]; a.Contact.Checks.Has(card.CheckConsecutive) &&
		int(now.ATC)-int(now.LastOnlineATC) > max(int(upper), int(a.Objects.Get(emv.TagLowerConsecutiveLimit)[0])) {
		l.rt.Fatalf("%s: offline for the %dth time", what, now.ATC-now.LastOnlineATC)
	}
	if a.Contact.Checks.Has(card.CheckCumulative) && now.Cumulative > now.CumulativeUpperLimit {
		l.rt.Fatalf("%s: a total of %d, the limit is %d", what, now.Cumulative, now.CumulativeUpperLimit)
	}
}

// tossed lets helpers run under rapid, which prints the seed and the command that repeat a failure.
type tossed struct {
	testing.TB
	rt *rapid.T
}

func (t tossed) Helper()                      {}
func (t tossed) Fatal(args ...any)            { t.rt.Fatal(args...) }
func (t tossed) Fatalf(f string, args ...any) { t.rt.Fatalf(f, args...) }
func (t tossed) Error(args ...any)            { t.rt.Error(args...) }
func (t tossed) Errorf(f string, args ...any) { t.rt.Errorf(f, args...) }

// TestLife: any card at any terminals, with tears at every write. The card never approves above its limits by itself, its counter only
// rises, the purse holds what was loaded less what was paid, and an approval carries a TC that the issuer's suite verifies.
func TestLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := randomCard(rt)
		c, issued, err := cardtest.Issue(o)
		if err != nil {
			rt.Fatal(err)
		}
		l := &life{rt: rt, t: t, chip: c, issued: issued, bank: &bank{TB: tossed{t, rt}, issued: issued, arc: "00"}, books: balance(c)}
		l.last = c.State().Applications[0].ATC
		for range rapid.IntRange(1, 6).Draw(rt, "payments") {
			l.randomTerminal()
			q := terminal.InsertRequest{Request: request(rapid.Int64Range(1, 60_000).Draw(rt, "amount"))}
			switch rapid.SampledFrom([]string{"tap", "tap", "insert", "load", "void", "unload", "full"}).Draw(rt, "what") {
			case "tap":
				l.tap()
			case "insert":
				q.OfflineOnly = rapid.Bool().Draw(rt, "offline")
				l.insert(q)
			case "load":
				q.Purse = rapid.SampledFrom([]contact.PurseOperation{contact.PurseLoad, contact.PurseCashLoad}).Draw(rt, "load")
				l.insert(q)
			case "void":
				q.Purse = contact.PurseCashLoadVoid
				l.insert(q)
			case "unload":
				q.Amount, q.Purse = yuan(0), contact.PurseUnload
				l.insert(q)
			default:
				q.Contactless = true
				l.insert(q)
			}
			if held := balance(c); held != l.books {
				rt.Fatalf("the purse holds %d, the books say %d", held, l.books)
			}
		}
	})
}
