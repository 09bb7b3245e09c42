package terminal_test

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/terminal"
)

// TestAnyTerminalWithAnyRealCard lets a card live: sales and loads by terminals drawn at random, torn now and then. An approval
// without the host carries a TC that the issuer verifies and keeps to the terminal's limits, the counter never goes back, and the
// purse holds what was loaded less what was paid.
func TestAnyTerminalWithAnyRealCard(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c, issued, b := insertion(t, cardtest.Options{Balance: rapid.Int64Range(0, 100_000).Draw(r, "balance")})
		b.script = func(b *bank, q contact.Online, atc uint16, arqc [8]byte) []byte {
			if q.Purse == contact.PurseNone {
				return nil
			}
			return fill(b, q, atc, arqc)
		}
		books, counter := balance(c), c.State().Applications[0].ATC
		for range rapid.IntRange(1, 4).Draw(r, "transactions") {
			paid := oneTransaction(r, t, c, issued, b)
			if books -= paid; books != balance(c) {
				r.Fatalf("the purse holds %d, the books say %d", balance(c), books)
			}
			if now := c.State().Applications[0].ATC; now < counter {
				r.Fatalf("counter went from %d to %d", counter, now)
			} else {
				counter = now
			}
		}
	})
}

// oneTransaction returns what has left the purse as far as the terminal knows in the end.
func oneTransaction(r *rapid.T, t *testing.T, c *card.Card, issued *cardtest.Issued, b *bank) int64 {
	cfg := contactConfig(issued)
	a := &cfg.Contact.Applications[0]
	a.FloorLimit, a.ECLimit = yuan(rapid.Int64Range(0, 60_000).Draw(r, "floor")), yuan(rapid.Int64Range(0, 60_000).Draw(r, "cash limit"))
	cfg.Kernel.Type = rapid.SampledFrom([]byte{0x21, 0x22, 0x23, 0x25}).Draw(r, "type")
	b.arc = rapid.SampledFrom([]string{"00", "00", "05"}).Draw(r, "answer")
	b.forged = rapid.IntRange(0, 9).Draw(r, "forged") == 0
	p := people(b)
	if rapid.IntRange(0, 4).Draw(r, "line") == 0 {
		p.Online = nil
	}
	q := terminal.InsertRequest{Request: request(rapid.Int64Range(1, 60_000).Draw(r, "amount"))}
	if rapid.IntRange(0, 2).Draw(r, "load") == 0 {
		q.Purse = rapid.SampledFrom([]contact.PurseOperation{contact.PurseLoad, contact.PurseCashLoad, contact.PurseCashLoadVoid}).Draw(r, "operation")
	} else {
		q.OfflineOnly = rapid.Bool().Draw(r, "offline")
	}
	term := newTerminal(t, cfg)
	field := card.NewSlot(c)
	if rapid.IntRange(0, 3).Draw(r, "torn") == 0 {
		tear := rapid.SampledFrom([]func(*card.Field, int){(*card.Field).TearBeforeCommand, (*card.Field).TearAfterCommand,
			(*card.Field).TearBeforeCommit, (*card.Field).TearAfterCommit}).Draw(r, "where")
		tear(field, rapid.IntRange(1, 24).Draw(r, "when"))
	}
	result, err := term.Insert(context.Background(), field, q, p)
	if err != nil {
		r.Fatal(err)
	}
	o := result.Outcome
	if o.Kind == kernel.Approved && !o.HostApproved {
		offlineRules(r, &q, a, &o)
		if !cryptogramOK(t, issued, o.Data) {
			r.Fatalf("the issuer cannot verify the TC of %v", o.Reason)
		}
	}
	if result.Unsettled != nil {
		field.Present()
		if result, err = term.Settle(context.Background(), field, result.Unsettled); err != nil || result.Unsettled != nil {
			r.Fatalf("not settled: %v, %v", result.Outcome.Reason, err)
		}
		o = result.Outcome
	}
	amount := q.Amount.Minor()
	switch {
	case o.Reason == contact.ReasonCashApproved, o.Reason == contact.ReasonPaidWithoutProof:
		return amount
	case o.Reason == contact.ReasonLoaded:
		return -amount
	case o.Reason == contact.ReasonUnloaded:
		return amount
	}
	return 0
}

func offlineRules(r *rapid.T, q *terminal.InsertRequest, a *contact.Application, o *contact.Outcome) {
	switch {
	case q.Purse != contact.PurseNone:
		r.Fatal("a load without the host")
	case o.ElectronicCash && q.Amount.Cmp(a.ECLimit) > 0:
		r.Fatalf("electronic cash above the limit")
	case !o.ElectronicCash && !q.OfflineOnly && !o.Online && q.Amount.Cmp(a.FloorLimit) >= 0 && a.TACOnline.Has(emv.TVRFloorLimitExceeded):
		r.Fatalf("approved on the spot above the floor limit")
	case o.Cryptogram.Type() != emv.TC:
		r.Fatalf("approved with %v", o.Cryptogram)
	}
}

// FuzzInsert plays any answers to an insertion over a reader: it ends, and never with an approval that no TC carries.
func FuzzInsert(f *testing.F) {
	_, issued, b := insertion(f, cardtest.Options{})
	term := newTerminal(f, contactConfig(issued))
	for _, kind := range []byte{0, 1, 2} {
		c, _, _ := insertion(f, cardtest.Options{})
		var seed []byte
		recording := &through{to: card.NewSlot(c), change: func(_ apdu.Command, b []byte) []byte {
			seed = append(append(seed, byte(len(b)>>8), byte(len(b))), b...)
			return b
		}}
		q := terminal.InsertRequest{Request: request(1250), Purse: contact.PurseOperation(kind)}
		if _, err := term.Insert(context.Background(), recording, q, people(b)); err != nil {
			f.Fatal(err)
		}
		f.Add(kind, seed)
	}
	f.Fuzz(func(t *testing.T, kind byte, answers []byte) {
		q := terminal.InsertRequest{Request: request(1250), Purse: contact.PurseOperation(kind % 6), Contactless: kind&0x80 != 0}
		sent := 0
		r, err := term.Insert(context.Background(), reply(func(apdu.Command) []byte {
			if sent++; sent > 17*(contact.MaxCommands+terminal.MaxCandidates+1) {
				t.Fatal("no end")
			}
			if len(answers) < 2 {
				return nil
			}
			n := min(int(answers[0])<<8|int(answers[1]), 258, len(answers)-2)
			b := answers[2 : 2+n]
			answers = answers[2+n:]
			return b
		}), q, terminal.People{})
		if err != nil {
			t.Fatal(err)
		}
		if o := r.Outcome; o.Kind == kernel.Approved && (o.Cryptogram.Type() != emv.TC || o.HostApproved || q.Purse != contact.PurseNone) {
			t.Errorf("%v: %v", o.Reason, o.Cryptogram)
		}
	})
}
