package terminal_test

import (
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

// fullOnly is a card without qPBOC: over the air it holds the full dialogue or nothing.
func fullOnly(format2 bool) cardtest.Options {
	return cardtest.Options{Change: func(image *card.Image) {
		k := image.Applications[0].Contact
		k.FullOnly, k.Format2 = true, format2
	}}
}

// bothPaths is a terminal that offers QuickPass and the full dialogue.
func bothPaths(issued *cardtest.Issued) terminal.Config {
	c := contactConfig(issued)
	c.TTQ.Set(emv.TTQFullContactless)
	return c
}

// TestTapGoesOn: a tap goes on with the full dialogue where card and terminal both offer it [REF 2.1], in both formats, in one tap, with
// one GET PROCESSING OPTIONS.
func TestTapGoesOn(t *testing.T) {
	for _, format2 := range []bool{false, true} {
		c, issued, b := insertion(t, fullOnly(format2))
		p := people(b)
		counted := &through{to: card.NewField(c)}
		options := 0
		counted.change = func(cmd apdu.Command, response []byte) []byte {
			if cmd.INS == apdu.InsGPO {
				options++
			}
			return response
		}
		r := request(150_000)
		r.Dialogue = &p
		result := tap(t, newTerminal(t, bothPaths(issued)), counted, r)
		want(t, result, kernel.Approved, kernel.ReasonDialogueHeld)
		if result.Dialogue == nil || options != 1 || b.asked != 1 || result.Outcome.CVM != kernel.CVMSignature && result.Outcome.CVM != kernel.CVMOnlinePIN && result.Outcome.CVM != kernel.CVMNone {
			t.Fatalf("format 2 %v: %d times opened, issuer asked %d times, %v", format2, options, b.asked, result.Outcome.CVM)
		}
		o := result.Dialogue.Outcome
		ends(t, o, kernel.Approved, contact.ReasonIssuerApproved)
		if o.Method != contact.ODACombined || o.ODA.Status != kernel.ODAPassed || !cryptogramOK(t, issued, result.Outcome.Data) {
			t.Errorf("format 2 %v: %v %v", format2, o.Method, o.ODA)
		}
		if aip, err := emv.ParseAIP(result.Outcome.Data.Get(emv.TagAIP)); err != nil || !aip.Has(emv.AIPFullContactless) {
			t.Errorf("AIP %v, %v", aip, err)
		}
		if d := result.Diagnose(); d.Cause != terminal.CauseNone {
			t.Errorf("%v", d)
		}
	}
}

// TestTapGoesOnOffline: the same without the issuer, and a decline that says whose it was.
func TestTapGoesOnOffline(t *testing.T) {
	c, issued, b := insertion(t, fullOnly(false))
	p := people(b)
	r := request(1250)
	r.Dialogue = &p
	result := tap(t, newTerminal(t, bothPaths(issued)), card.NewField(c), r)
	want(t, result, kernel.Approved, kernel.ReasonDialogueHeld)
	if b.asked != 0 || result.Outcome.Cryptogram.Type() != emv.TC || !cryptogramOK(t, issued, result.Outcome.Data) {
		t.Errorf("issuer asked %d times, %v", b.asked, result.Outcome.Cryptogram)
	}
	b.arc = "51"
	r.Amount = yuan(150_000)
	result = tap(t, newTerminal(t, bothPaths(issued)), card.NewField(c), r)
	want(t, result, kernel.Declined, kernel.ReasonDialogueHeld)
	if d := result.Diagnose(); d.Cause != terminal.CauseHolder {
		t.Errorf("%v", d)
	}
	field := card.NewField(c)
	field.TearBeforeCommand(6)
	result = tap(t, newTerminal(t, bothPaths(issued)), field, r)
	want(t, result, kernel.TryAgain, kernel.ReasonDialogueHeld)
	if d := result.Diagnose(); d.Cause != terminal.CauseCarrier || !result.Outcome.Removed || result.Torn != nil {
		t.Errorf("%v", d)
	}
}

// TestTapDoesNotGoOn: where one side does not offer it, the card is to be inserted; and qPBOC comes first on cards that have both.
func TestTapDoesNotGoOn(t *testing.T) {
	c, issued, b := insertion(t, fullOnly(false))
	p := people(b)
	with := request(1250)
	with.Dialogue = &p
	strange := contactConfig(issued)
	strange.TTQ.Set(emv.TTQFullContactless)
	strange.Contact.Applications[0].AID = emv.AIDCredit
	silent := bothPaths(issued)
	silent.Random = &short{n: 4 + 3}
	for name, row := range map[string]struct {
		config  terminal.Config
		request terminal.Request
		why     kernel.Reason
	}{
		"nobody to ask":               {bothPaths(issued), request(1250), kernel.ReasonFullDialogue},
		"not offered":                 {contactConfig(issued), with, kernel.ReasonCardRefused},
		"no such contact application": {strange, with, kernel.ReasonFullDialogue},
	} {
		result := tap(t, newTerminal(t, row.config), card.NewField(c), row.request)
		if result.Outcome.Kind != kernel.TryAnotherInterface || result.Outcome.Reason != row.why || result.Dialogue != nil {
			t.Errorf("%s: %v, %v", name, result.Outcome.Kind, result.Outcome.Reason)
		}
	}
	if _, err := newTerminal(t, silent).Tap(t.Context(), card.NewField(c), with); err == nil {
		t.Error("went on without randomness")
	}
	both, issued, b := insertion(t, cardtest.Options{})
	p = people(b)
	result := tap(t, newTerminal(t, bothPaths(issued)), card.NewField(both), with)
	want(t, result, kernel.Approved, kernel.ReasonApproved)
	if result.Dialogue != nil {
		t.Error("the full dialogue although the card has qPBOC")
	}
}

// short is randomness that ends.
type short struct{ n int }

func (s *short) Read(b []byte) (int, error) {
	n := min(s.n, len(b))
	if s.n -= n; n == 0 {
		return 0, errReader
	}
	return n, nil
}

// smTerminal knows SM2, SM3 and SM4 as well.
func smTerminal(issued *cardtest.Issued) terminal.Config {
	c := contactConfig(issued)
	c.Kernel.SM = true
	return c
}

// TestDualCard: a card with two sets of algorithms pays under the one that the terminal knows, in the field and in the slot [REF 4.6].
func TestDualCard(t *testing.T) {
	for _, sm := range []bool{false, true} {
		c, issued, b := insertion(t, cardtest.Options{SM: true})
		cfg, want04 := contactConfig(issued), cryptogram.AlgorithmTDES
		if sm {
			cfg, want04 = smTerminal(issued), cryptogram.AlgorithmSM4
		}
		term := newTerminal(t, cfg)
		algorithm := func(d emv.Data) byte {
			iad, err := emv.ParseIAD(d.Get(emv.TagIAD))
			if err != nil {
				t.Fatal(err)
			}
			return iad.Algorithm
		}
		tapped := tap(t, term, card.NewField(c), request(1250))
		want(t, tapped, kernel.Approved, kernel.ReasonApproved)
		if tapped.Outcome.ODA.Status != kernel.ODAPassed || algorithm(tapped.Outcome.Data) != want04 || !cryptogramOK(t, issued, tapped.Outcome.Data) {
			t.Errorf("SM %v: %v, algorithm %02X", sm, tapped.Outcome.ODA, algorithm(tapped.Outcome.Data))
		}
		for _, q := range []terminal.InsertRequest{{Request: request(1250)}, {Request: request(150_000)}, {Request: request(150_000), Contactless: true},
			purse(contact.PurseLoad, 5000)} {
			b.script = nil
			if q.Purse != contact.PurseNone {
				b.script = fill
			}
			reader := card.NewSlot(c)
			if q.Contactless {
				reader = card.NewField(c)
			}
			r := insert(t, term, reader, q, people(b))
			if o := r.Outcome; o.Kind != kernel.Approved || o.Method != contact.ODACombined || o.ODA.Status != kernel.ODAPassed || algorithm(o.Data) != want04 {
				t.Errorf("SM %v, %v: %v %v, %v %v, algorithm %02X", sm, q.Amount, o.Kind, o.Reason, o.Method, o.ODA, algorithm(o.Data))
			} else if !cryptogramOK(t, issued, o.Data) {
				t.Errorf("SM %v, %v: the issuer cannot verify the last cryptogram", sm, q.Amount)
			}
		}
		if b.asked != 3 {
			t.Errorf("SM %v: issuer asked %d times", sm, b.asked)
		}
	}
}
