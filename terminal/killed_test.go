package terminal_test

import (
	"context"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/terminal"
)

// verb is something that changes what a card holds.
type verb struct {
	name  string
	minor int64
	moves int64 // of the purse, when it happens
	do    func(k *killed) bool
}

// killed is one run of a verb with a card that is taken away at a write.
type killed struct {
	testing.TB
	chip   *card.Card
	field  *card.Field
	issued *cardtest.Issued
	bank   *bank
	term   *terminal.Terminal
	minor  int64
	tear   func(*card.Field)
	torn   bool // the terminal noticed
}

// tapped pays in the field and, when torn, presents the card again. It reports whether the terminal says that the card has paid.
func (k *killed) tapped(r terminal.Request) bool {
	result := tap(k, k.term, k.field, r)
	if result.Torn != nil || result.Outcome.Removed {
		k.torn = true
		k.field.Present()
	}
	if result.Torn != nil {
		result = retap(k, k.term, k.field, result.Torn, 0)
	}
	o := result.Outcome
	if o.Kind != kernel.Approved {
		return false
	}
	k.check(o.Data)
	return true
}

// inserted is the same in the slot, with the dialogue's own word for a purse whose end only the card knows.
func (k *killed) inserted(q terminal.InsertRequest) bool {
	result := insert(k, k.term, k.field, q, people(k.bank))
	if result.Outcome.Removed {
		k.torn = true
	}
	if o := result.Outcome; o.Kind == kernel.Approved {
		k.check(o.Data)
	}
	if result.Unsettled != nil {
		k.field.Present()
		settled, err := k.term.Settle(context.Background(), k.field, result.Unsettled)
		if err != nil || settled.Unsettled != nil {
			k.Fatalf("not settled: %v, %v", settled.Outcome.Reason, err)
		}
		result = settled
	}
	return result.Outcome.Kind == kernel.Approved || result.Outcome.Reason == contact.ReasonPaidWithoutProof
}

// check: what is approved is a TC that the issuer's suite verifies.
func (k *killed) check(data emv.Data) {
	if !cryptogramOK(k, k.issued, data) {
		k.Error("the issuer cannot verify the cryptogram of an approval")
	}
}

var verbs = []verb{
	{"tap", 1250, -1250, func(k *killed) bool { return k.tapped(request(k.minor)) }},
	{"cash", 1250, -1250, func(k *killed) bool {
		return k.slot().inserted(terminal.InsertRequest{Request: request(k.minor)})
	}},
	{"online sale", 150_000, 0, func(k *killed) bool {
		return k.slot().inserted(terminal.InsertRequest{Request: request(k.minor)})
	}},
	{"full dialogue in the field", 150_000, 0, func(k *killed) bool {
		return k.inserted(terminal.InsertRequest{Request: request(k.minor), Contactless: true})
	}},
	{"load", 5000, 5000, func(k *killed) bool { return k.purse(contact.PurseLoad) }},
	{"cash load", 5000, 5000, func(k *killed) bool { return k.purse(contact.PurseCashLoad) }},
	{"void of a cash load", 5000, -5000, func(k *killed) bool { return k.purse(contact.PurseCashLoadVoid) }},
	{"unload", 0, -8750, func(k *killed) bool { return k.purse(contact.PurseUnload) }},
}

func (k *killed) purse(op contact.PurseOperation) bool {
	k.bank.script = fill
	return k.slot().inserted(purse(op, k.minor))
}

// slot moves the card into the slot, with the tear that is meant for it.
func (k *killed) slot() *killed {
	k.field = card.NewSlot(k.chip)
	k.tear(k.field)
	return k
}

// TestKilledAtEveryWrite takes the power away just before and just after every write of everything that changes a card, under every suite:
// the purse holds what it held or what it should hold, never another amount; the terminal's last word agrees with the card; the
// counter of the next payment is a new one.
func TestKilledAtEveryWrite(t *testing.T) {
	most := 0
	for name, o := range map[string]cardtest.Options{
		"3DES": {}, "SM4": {Suite: cryptogram.SM4()}, "AES": {Suite: cryptogram.AES()}, "SM2 and SM4": {SM: true},
	} {
		for _, v := range verbs {
			writes := 1
			for n := 0; n <= writes; n++ { // 0: nothing is torn
				for _, after := range []bool{false, true} {
					where := fmt.Sprintf("%s, %s, write %d, after %v", name, v.name, n, after)
					c, issued, b := insertion(t, o)
					cfg := contactConfig(issued)
					cfg.Kernel.SM = o.SM
					field := card.NewField(c)
					tear := func(f *card.Field) {
						if after {
							f.TearAfterCommit(n)
						} else {
							f.TearBeforeCommit(n)
						}
					}
					tear(field)
					k := &killed{TB: t, chip: c, field: field, tear: tear, issued: issued, bank: b, term: newTerminal(t, cfg), minor: v.minor}
					held, counter := balance(c), c.State().Applications[0].ATC
					done := v.do(k)
					if n == 0 {
						writes = k.field.Commits()
						most = max(most, writes)
					}
					if moved := balance(c) - held; moved != 0 && moved != v.moves || (moved != 0) != (done && v.moves != 0) {
						t.Fatalf("%s: the purse moved %d of %d, the terminal says %v", where, moved, v.moves, done)
					}
					if n == 0 && (!done || k.torn) {
						t.Fatalf("%s: not done", where)
					}
					// A payment after it has a counter of its own and is paid from what is there.
					used := c.State().Applications[0].ATC
					next := tap(t, newTerminal(t, cfg), card.NewField(c), request(1))
					atc := next.Outcome.Data.Get(emv.TagATC)
					if len(atc) != 2 || uint16(atc[0])<<8|uint16(atc[1]) != used+1 || used < counter {
						t.Fatalf("%s: next payment %v (%v) with counter %X after %d", where, next.Outcome.Kind, next.Outcome.Reason, atc, used)
					}
				}
			}
		}
	}
	if most < 4 { // counter, first and second cryptogram, script
		t.Errorf("at most %d writes: nothing was loaded", most)
	}
}

// TestForgedChainWithPublishedCodes: the published action codes name a failed DDA and not a failed CDA. A card whose certificate is forged
// is not approved offline for that [REF 1.3].
func TestForgedChainWithPublishedCodes(t *testing.T) {
	for _, o := range []cardtest.Options{{}, {SM: true}} {
		c, issued, b := insertion(t, o)
		p := people(b)
		p.Online = nil
		cfg := contactConfig(issued) // with the published codes
		cfg.Kernel.SM = o.SM
		forged := &through{to: card.NewSlot(c), change: func(cmd apdu.Command, b []byte) []byte {
			if cmd.INS == apdu.InsReadRecord && cmd.P2 == apdu.SFIReference(2) {
				b[len(b)/2] ^= 1
			}
			return b
		}}
		r := insert(t, newTerminal(t, cfg), forged, terminal.InsertRequest{Request: request(1250)}, p)
		if r.Outcome.Kind == kernel.Approved || !r.Outcome.TVR.Has(emv.TVRCDAFailed) {
			t.Errorf("SM %v: %v, %v, TVR %v", o.SM, r.Outcome.Kind, r.Outcome.Reason, r.Outcome.TVR)
		}
	}
}
