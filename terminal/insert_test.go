package terminal_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/terminal"
	"tapnet/tlv"
)

// contactConfig is config with a reader with contacts.
func contactConfig(issued *cardtest.Issued) terminal.Config {
	c := config(issued)
	c.Kernel.Capabilities = emv.TerminalCapabilities{0xE0, 0xF9, 0xC8}
	c.Kernel.Additional = emv.AdditionalTerminalCapabilities{0x70, 0, 0xF0, 0xB0, 1}
	tvr := func(s string) emv.TVR { b, _ := hex.DecodeString(s); return emv.TVR(b) }
	c.Contact = contact.Config{Applications: []contact.Application{{
		AID: emv.UnionPayKernelPrefix, FloorLimit: yuan(20_000), ECLimit: yuan(100_000),
		TACDefault: tvr("D84000A800"), TACOnline: tvr("D84004F800"), TACDenial: tvr("0010000000"),
	}}}
	return c
}

// bank is the issuer of the tests: it checks each cryptogram from the data record alone, and answers.
type bank struct {
	testing.TB
	issued  *cardtest.Issued
	arc     string
	forged  bool // a wrong ARPC
	script  func(b *bank, q contact.Online, atc uint16, arqc [8]byte) []byte
	asked   int
	balance int64 // that the card has signed for

	suite cryptogram.Suite // of the payment in hand
	keys  cryptogram.CardKeys
}

func (b *bank) answer(_ context.Context, q contact.Online) (*contact.HostAnswer, error) {
	b.asked++
	if !cryptogramOK(b, b.issued, q.Data) {
		b.Error("the issuer cannot verify the cryptogram from the data record")
	}
	iad, err := emv.ParseIAD(q.Data.Get(emv.TagIAD))
	if err != nil {
		b.Fatal(err)
	}
	b.balance, _ = iad.Balance()
	raw := q.Data.Get(emv.TagATC)
	atc, arqc := uint16(raw[0])<<8|uint16(raw[1]), [8]byte(q.Data.Get(emv.TagAC))
	arc := [2]byte{b.arc[0], b.arc[1]}
	b.suite, b.keys = keysFor(b, b.issued, q.Data)
	arpc := b.suite.ARPC(b.suite.SessionKey(b.keys.AC, atc), arqc, arc)
	if b.forged {
		arpc[0] ^= 1
	}
	auth := cryptogram.IssuerAuthData(arpc, arc)
	h := &contact.HostAnswer{ARC: arc, Approved: b.arc == "00", IssuerAuth: auth[:], Code: "123456"}
	if b.script != nil && h.Approved {
		h.Scripts = b.script(b, q, atc, arqc)
	}
	return h, nil
}

// putData is an issuer script with one PUT DATA.
func (b *bank) putData(template tlv.Tag, tag tlv.Tag, value []byte, atc uint16, arqc [8]byte) []byte {
	header := [5]byte{0x04, apdu.InsPutData, byte(tag >> 8), byte(tag), byte(len(value) + 4)}
	mac := b.suite.Script(b.keys, atc, arqc).MAC(header, value)
	command := append(append(header[:], value...), mac[:]...)
	return tlv.Wrap(template, tlv.Append(nil, emv.TagScriptID, []byte{0, 0, 0, 1}), tlv.Append(nil, emv.TagScriptCommand, command))
}

// fill writes the balance that a load, a void or an unload leaves.
func fill(b *bank, q contact.Online, atc uint16, arqc [8]byte) []byte {
	minor, _ := kernel.Minor(q.Data.Get(emv.TagAmount))
	next := q.Purse.After(yuan(b.balance), yuan(minor))
	value, err := next.BCD()
	if err != nil {
		b.Fatal(err)
	}
	return b.putData(emv.TagScript2, emv.TagECBalance, value[:], atc, arqc)
}

func insertion(t testing.TB, o cardtest.Options) (*card.Card, *cardtest.Issued, *bank) {
	o.Contact = true
	c, issued := cardtest.New(t, o)
	return c, issued, &bank{TB: t, issued: issued, arc: "00"}
}

func people(b *bank) terminal.People {
	return terminal.People{
		Online: b.answer,
		PIN: func(_ context.Context, p contact.PINRequest) (contact.Event, error) {
			if p.Online {
				return contact.PINEntered{}, nil
			}
			return contact.PINEntered{PIN: cardtest.HolderPIN()}, nil
		},
	}
}

func insert(t testing.TB, term *terminal.Terminal, reader apdu.Transceiver, r terminal.InsertRequest, p terminal.People) terminal.InsertResult {
	t.Helper()
	result, err := term.Insert(context.Background(), reader, r, p)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func purse(op contact.PurseOperation, minor int64) terminal.InsertRequest {
	return terminal.InsertRequest{Request: request(minor), Purse: op}
}

func ends(t testing.TB, o contact.Outcome, kind kernel.OutcomeKind, why contact.Reason) {
	t.Helper()
	if o.Kind != kind || o.Reason != why {
		t.Errorf("%v, %q (%v), want %v, %q; TVR %v, TSI %v", o.Kind, o.Reason, o.Detail.EN, kind, why, o.TVR, o.TSI)
	}
}

func TestInsertOnline(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	b.script = func(b *bank, _ contact.Online, atc uint16, arqc [8]byte) []byte {
		return b.putData(emv.TagScript2, emv.TagCTTAL, unhex(t, "000000060000"), atc, arqc)
	}
	r := insert(t, newTerminal(t, contactConfig(issued)), card.NewSlot(c), terminal.InsertRequest{Request: request(150_000)}, people(b))
	ends(t, r.Outcome, kernel.Approved, contact.ReasonIssuerApproved)
	o := r.Outcome
	if o.ODA.Status != kernel.ODAPassed || o.Method != contact.ODACombined || o.CVM.Hex() != "440302" || b.asked != 1 {
		t.Errorf("%v %v, CVM %v, %d questions", o.Method, o.ODA, o.CVM, b.asked)
	}
	if got := fmt.Sprintf("%X", o.Data.Get(emv.TagScriptResults)); got != "2000000001" || c.State().Applications[0].CumulativeLimit != 60_000 {
		t.Errorf("script %s, limit %d", got, c.State().Applications[0].CumulativeLimit)
	}
	if !cryptogramOK(t, issued, o.Data) || o.Cryptogram != emv.TC {
		t.Error("the issuer cannot verify the TC")
	}
}

func TestInsertDeclined(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	term := newTerminal(t, contactConfig(issued))
	b.arc = "51"
	r := insert(t, term, card.NewSlot(c), terminal.InsertRequest{Request: request(150_000)}, people(b))
	ends(t, r.Outcome, kernel.Declined, contact.ReasonIssuerDeclined)
	b.arc, b.forged = "00", true
	r = insert(t, term, card.NewSlot(c), terminal.InsertRequest{Request: request(150_000)}, people(b))
	ends(t, r.Outcome, kernel.Declined, contact.ReasonCardDeclinedHost)
	if !r.Outcome.Reverse || !r.Outcome.TVR.Has(emv.TVRIssuerAuthFailed) {
		t.Errorf("reverse %v, TVR %v", r.Outcome.Reverse, r.Outcome.TVR)
	}
	r = insert(t, term, card.NewSlot(c), terminal.InsertRequest{Request: request(150_000)}, terminal.People{})
	if r.Outcome.Kind == kernel.Approved {
		t.Errorf("approved with nobody there: %v", r.Outcome.Reason)
	}
}

func TestInsertElectronicCash(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	r := insert(t, newTerminal(t, contactConfig(issued)), card.NewSlot(c), terminal.InsertRequest{Request: request(1250)}, people(b))
	ends(t, r.Outcome, kernel.Approved, contact.ReasonCashApproved)
	if balance(c) != 7500 || r.Outcome.BalanceAfter == nil || r.Outcome.BalanceAfter.Minor() != 7500 || b.asked != 0 {
		t.Errorf("balance %d, said %v", balance(c), r.Outcome.BalanceAfter)
	}
	if !cryptogramOK(t, issued, r.Outcome.Data) {
		t.Error("the issuer cannot verify the TC")
	}
}

func TestPurseLife(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	b.script = fill
	term := newTerminal(t, contactConfig(issued))
	for _, x := range []struct {
		op    contact.PurseOperation
		minor int64
		why   contact.Reason
		after int64
	}{
		{contact.PurseLoad, 5000, contact.ReasonLoaded, 13_750},
		{contact.PurseCashLoad, 1250, contact.ReasonLoaded, 15_000},
		{contact.PurseCashLoadVoid, 1250, contact.ReasonUnloaded, 13_750},
		{contact.PurseLoadFromAnother, 250, contact.ReasonLoaded, 14_000},
		{contact.PurseUnload, 0, contact.ReasonUnloaded, 0},
	} {
		r := insert(t, term, card.NewSlot(c), purse(x.op, x.minor), people(b))
		ends(t, r.Outcome, kernel.Approved, x.why)
		if balance(c) != x.after || r.Outcome.BalanceAfter == nil || r.Outcome.BalanceAfter.Minor() != x.after {
			t.Fatalf("%v: balance %d, said %v, want %d", x.op, balance(c), r.Outcome.BalanceAfter, x.after)
		}
	}
	r := insert(t, term, card.NewSlot(c), purse(contact.PurseLoad, 100_001), people(b))
	ends(t, r.Outcome, kernel.EndApplication, contact.ReasonAboveBalanceLimit)
}

// TestLoadTorn takes the card out at every command and at every write of a load: the purse holds the old or the new amount, never
// another, and the terminal's final word agrees with the card.
func TestLoadTorn(t *testing.T) {
	const before, loaded = 8750, 13_750
	tears := map[string]func(*card.Field, int){
		"before command": (*card.Field).TearBeforeCommand, "after command": (*card.Field).TearAfterCommand,
		"before write": (*card.Field).TearBeforeCommit, "after write": (*card.Field).TearAfterCommit,
	}
	for name, tear := range tears {
		for n := 1; n < 40; n++ {
			c, issued, b := insertion(t, cardtest.Options{})
			b.script = fill
			term := newTerminal(t, contactConfig(issued))
			field := card.NewSlot(c)
			tear(field, n)
			r := insert(t, term, field, purse(contact.PurseLoad, 5000), people(b))
			if !r.Outcome.Removed && r.Outcome.Kind == kernel.Approved {
				break // the tear lies behind the end
			}
			where := fmt.Sprintf("%s %d: %v", name, n, r.Outcome.Reason)
			got := balance(c)
			if got != before && got != loaded {
				t.Fatalf("%s: balance %d", where, got)
			}
			if r.Unsettled != nil {
				field.Present()
				settled, err := term.Settle(context.Background(), field, r.Unsettled)
				if err != nil || settled.Unsettled != nil {
					t.Fatalf("%s: %v, %v", where, settled.Outcome.Reason, err)
				}
				r = settled
			}
			if r.Outcome.Uncertain || (r.Outcome.Kind == kernel.Approved) != (got == loaded) {
				t.Errorf("%s: balance %d, final word %v %v", where, got, r.Outcome.Kind, r.Outcome.Reason)
			}
		}
	}
}

// TestCashTorn: a payment with electronic cash torn anywhere is either not made, or approved, or known to be charged.
func TestCashTorn(t *testing.T) {
	for n := 1; n < 30; n++ {
		for name, tear := range map[string]func(*card.Field, int){"before": (*card.Field).TearBeforeCommand, "after": (*card.Field).TearAfterCommand} {
			c, issued, b := insertion(t, cardtest.Options{})
			term := newTerminal(t, contactConfig(issued))
			field := card.NewSlot(c)
			tear(field, n)
			r := insert(t, term, field, terminal.InsertRequest{Request: request(1250)}, people(b))
			why := r.Outcome.Reason
			if !r.Outcome.Removed && r.Outcome.Kind == kernel.Approved {
				return // the tear lies behind the end
			}
			if r.Unsettled != nil {
				field.Present()
				settled, err := term.Settle(context.Background(), field, r.Unsettled)
				if err != nil {
					t.Fatal(err)
				}
				why = settled.Outcome.Reason
			}
			paid := why == contact.ReasonCashApproved || why == contact.ReasonPaidWithoutProof
			if paid != (balance(c) == 7500) {
				t.Errorf("%s %d: balance %d, %v", name, n, balance(c), why)
			}
		}
	}
}

func TestSettleSendsOtherCardsAway(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	b.script = fill
	term := newTerminal(t, contactConfig(issued))
	field := card.NewSlot(c)
	field.TearAfterCommit(2)
	var open *terminal.Unsettled
	for n := 1; n < 10 && open == nil; n++ {
		field.Present()
		field.TearAfterCommit(n)
		open = insert(t, term, field, purse(contact.PurseLoad, 5000), people(b)).Unsettled
	}
	if open == nil {
		t.Fatal("no tear left the load open")
	}
	other, _, _ := insertion(t, cardtest.Options{PAN: "629999100000002"})
	r, err := term.Settle(context.Background(), card.NewSlot(other), open)
	if err != nil || r.Outcome.Reason != contact.ReasonOtherCard || r.Unsettled == nil {
		t.Errorf("%v, %v", r.Outcome.Reason, err)
	}
}

// The same dialogue over the air, with a card that offers it.
func TestFullDialogueInTheField(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	r := insert(t, newTerminal(t, contactConfig(issued)), card.NewField(c), terminal.InsertRequest{Request: request(150_000), Contactless: true}, people(b))
	ends(t, r.Outcome, kernel.Approved, contact.ReasonIssuerApproved)
	if aip, err := emv.ParseAIP(r.Outcome.Data.Get(emv.TagAIP)); err != nil || !aip.Has(emv.AIPFullContactless) {
		t.Errorf("AIP %v, %v", aip, err)
	}
}

func TestInsertSurprises(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	term := newTerminal(t, contactConfig(issued))
	_, err := term.Insert(context.Background(), &broken{card.NewSlot(c), 3}, terminal.InsertRequest{Request: request(1250)}, people(b))
	if !errors.Is(err, errReader) {
		t.Errorf("broken reader: %v", err)
	}
	lineDown := errors.New("line down")
	p := people(b)
	p.Online = func(context.Context, contact.Online) (*contact.HostAnswer, error) { return nil, lineDown }
	r, err := term.Insert(context.Background(), card.NewSlot(c), terminal.InsertRequest{Request: request(150_000)}, p)
	if !errors.Is(err, lineDown) || r.Outcome.Kind == 0 {
		t.Errorf("line down: %v, %v", r.Outcome.Reason, err)
	}
	without := newTerminal(t, config(issued))
	if _, err := without.Insert(context.Background(), card.NewSlot(c), terminal.InsertRequest{Request: request(1)}, p); !errors.Is(err, terminal.ErrRequest) {
		t.Errorf("no slot: %v", err)
	}
	if _, err := term.Insert(context.Background(), card.NewSlot(c), purse(contact.PurseLoad, 0), p); !errors.Is(err, terminal.ErrRequest) {
		t.Errorf("nothing to load: %v", err)
	}
	hkd := terminal.InsertRequest{Request: terminal.Request{Amount: money.New(1, money.HKD), Other: money.New(0, money.HKD)}}
	if _, err := term.Insert(context.Background(), card.NewSlot(c), hkd, p); !errors.Is(err, terminal.ErrRequest) {
		t.Errorf("another currency: %v", err)
	}
}
