package pos_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/journal"
	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
	"tapnet/pinblock"
	"tapnet/terminal"
	"tapnet/tlv"
)

func mustPIN(t testing.TB, digits string) pinblock.PIN {
	t.Helper()
	pin, err := pinblock.ParsePIN(digits)
	if err != nil {
		t.Fatal(err)
	}
	return pin
}

// pinScript is what an issuer sends for a new PIN, or for none to give the tries back. spoil makes its MAC wrong.
func (h *host) pinScript(icc emv.Data, next *pinblock.PIN, spoil bool) []byte {
	atc, arqc := binary.BigEndian.Uint16(icc.Get(emv.TagATC)), [8]byte(icc.Get(emv.TagAC))
	header, data := [5]byte{0x84, apdu.InsPINChange, 0, 0, 4}, []byte{}
	if next != nil {
		enciphered := h.issued.Suite.EncipherPINChange(h.issued.CardKeys, atc, cryptogram.PINVariantENC, *next, pinblock.PIN{})
		header[3], header[4], data = apdu.PINChange, 20, enciphered[:]
	}
	mac := h.issued.Suite.Script(h.issued.CardKeys, atc, arqc).MAC(header, data)
	if spoil {
		mac[0]++
	}
	command := append(append(header[:], data...), mac[:]...)
	return append(tlv.Append(nil, emv.TagScriptID, []byte{0, 0, 0, 2}), tlv.Append(nil, emv.TagScriptCommand, command)...)
}

// chipTakes reports whether the chip holds a PIN to be its own.
func (c *counter) chipTakes(pin pinblock.PIN) bool {
	return c.chip.State().Applications[0].PIN == card.StorePIN(pin)
}

func TestAPINIsChangedOnTheChip(t *testing.T) {
	old, next := cardtest.HolderPIN(), mustPIN(t, "908172")
	c := newCounter(t, cardtest.Options{}, nil)
	c.host.script = func(icc emv.Data, _ *unionpay.FinancialRequest) []byte { return c.host.pinScript(icc, &next, false) }
	r := c.must(pos.ApprovedOnline)(c.till.ChangePIN(t.Context(), c.slot(), c.sale(12_300), next))
	m := last[*unionpay.FinancialRequest](c.host)
	if m.Processing != unionpay.ProcessingPINChange || m.Info.MessageType != unionpay.KindPINChange || m.EntryMode != "051" || m.Condition != "00" ||
		!m.Amount.IsZero() || m.PINBlock == nil || m.NewPIN == nil || m.PINBlock.Reveal() == m.NewPIN.Reveal() || len(m.ICC.Get(emv.TagAC)) != 8 {
		t.Errorf("request %+v", m)
	}
	if !c.chipTakes(next) || c.chipTakes(old) {
		t.Error("the chip has another PIN than the new one")
	}
	notice := last[*unionpay.ScriptNotice](c.host)
	if got := notice.ICC.Get(emv.TagScriptResults); len(got) != 5 || got[0]>>4 != 2 || !bytes.Equal(got[1:], []byte{0, 0, 0, 2}) {
		t.Errorf("DF31 %X", got)
	}
	if notice.NewPIN != nil || notice.PINBlock != nil || !notice.Track2.IsZero() {
		t.Error("the notice carries secrets")
	}
	slip := c.text(c.till.Slip(t.Context(), &r, shopSlip))
	if !strings.Contains(slip, "PIN CHANGE") || !strings.Contains(slip, "TC:") || strings.Contains(slip, "Amount") {
		t.Errorf("slip:\n%s", slip)
	}
	clear := []pinblock.Block{pinblock.Format0(old, m.PAN), pinblock.Format0(next, m.PAN)}
	c.NoSecrets(nil, m.PINBlock, m.NewPIN, &clear[0], &clear[1])
	// The new one pays, the old one does not.
	c.host.script = nil
	sale := c.sale(150_000)
	sale.EnterPIN = func() (pinblock.PIN, bool) { return next, true }
	c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.slot(), sale))
	if sheet, _, err := c.till.Settle(t.Context(), sale.Amount.Currency()); err != nil || sheet == nil || sheet.Totals.DebitCount != 1 || sheet.Totals.CreditCount != 0 {
		t.Errorf("sheet %+v: %v", sheet, err)
	}
}

func TestAPINThatTheCardDoesNotTakeStays(t *testing.T) {
	next := mustPIN(t, "908172")
	for _, s := range []struct {
		name string
		host func(*counter)
		end  pos.End
		kind journal.Kind // of the end row
	}{
		{"the script's MAC is wrong", func(c *counter) {
			c.host.script = func(icc emv.Data, _ *unionpay.FinancialRequest) []byte { return c.host.pinScript(icc, &next, true) }
		}, pos.DeclinedOffline, journal.Declined},
		{"no script came", func(*counter) {}, pos.DeclinedOffline, journal.Declined},
		{"the issuer says no", func(c *counter) { c.host.code = unionpay.WrongPIN }, pos.DeclinedOnline, journal.Answered},
		{"nobody answers", func(c *counter) {
			c.host.silent = func(m unionpay.Message) bool { _, request := m.(*unionpay.FinancialRequest); return request }
		}, pos.TakenBack, journal.Acknowledged},
	} {
		c := newCounter(t, cardtest.Options{}, nil)
		s.host(c)
		if s.kind == journal.Answered {
			c.host.script = nil
		}
		c.must(s.end)(c.till.ChangePIN(t.Context(), c.slot(), c.sale(0), next))
		if !c.chipTakes(cardtest.HolderPIN()) {
			t.Errorf("%s: the chip has another PIN", s.name)
		}
		found := false
		for _, row := range c.Rows() {
			found = found || row.Kind == s.kind
		}
		if !found {
			t.Errorf("%s: no row %s", s.name, s.kind)
		}
		if c.Advance(time.Hour); c.till.Outstanding() != 0 {
			t.Errorf("%s: %d outstanding", s.name, c.till.Outstanding())
		}
	}
}

func TestAPINIsUnblockedOnTheChip(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	wrong := c.sale(150_000)
	wrong.EnterPIN = func() (pinblock.PIN, bool) { return mustPIN(t, "000000"), true }
	wrong.PINAgain = func(int) (pinblock.PIN, bool) { return mustPIN(t, "000000"), true }
	if _, err := c.till.Sale(t.Context(), c.slot(), wrong); err != nil {
		t.Fatal(err)
	}
	if tries := c.chip.State().Applications[0].PINTries; tries != 0 {
		t.Fatalf("%d tries left", tries)
	}
	c.host.script = func(icc emv.Data, _ *unionpay.FinancialRequest) []byte { return c.host.pinScript(icc, nil, false) }
	c.must(pos.ApprovedOnline)(c.till.UnblockPIN(t.Context(), c.slot(), c.sale(0)))
	m := last[*unionpay.FinancialRequest](c.host)
	if m.Processing != unionpay.ProcessingPINUnblock || m.NewPIN != nil || m.PINBlock == nil {
		t.Errorf("request %+v", m)
	}
	if tries := c.chip.State().Applications[0].PINTries; tries == 0 || !c.chipTakes(cardtest.HolderPIN()) {
		t.Errorf("%d tries left", tries)
	}
}

func TestAPINIsManagedInTheSlotOnly(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	next := mustPIN(t, "908172")
	for _, with := range []pos.Presented{c.tap(), c.stripe("120")} {
		if r := c.must(pos.NotBegun)(c.till.ChangePIN(t.Context(), with, c.sale(0), next)); r.Refusal != pos.RefusedSlot {
			t.Errorf("refusal %s", r.Refusal.Term().EN)
		}
	}
	nobody := c.sale(0)
	nobody.EnterPIN = nil
	if r, err := c.till.ChangePIN(t.Context(), c.slot(), nobody, next); err != nil || r.End == pos.ApprovedOnline || len(c.host.heard) != 0 {
		t.Errorf("end %d, %d messages: %v", r.End, len(c.host.heard), err)
	}
}

// A card that pays after a host that did not answer leaves two messages: what was asked is taken back, and the upload names it.
func TestAnUploadNamesWhatNobodyAnswered(t *testing.T) {
	// A card whose issuer lets it pay small amounts when nobody can be asked.
	c := newCounter(t, cardtest.Options{Change: func(image *card.Image) {
		for i := range image.Applications[0].Records {
			body := &image.Applications[0].Records[i].Body
			*body = bytes.ReplaceAll(*body, []byte{0xD8, 0x60, 0x04, 0xA8, 0x00}, make([]byte, 5))
		}
	}}, nil)
	config := terminalConfig(c.host.issued, 0)
	config.Contact.Applications[0].TACDefault = emv.TVR{}
	lenient, err := terminal.New(config)
	if err != nil {
		t.Fatal(err)
	}
	c.deps = func(d *pos.Deps) { d.Tap = lenient }
	c.till = c.newTill(t)
	c.Rig = c.Restart(c.till)
	c.attach()
	c.host.silent = func(m unionpay.Message) bool {
		f, request := m.(*unionpay.FinancialRequest)
		return request && f.Info.MessageType == unionpay.KindSale
	}
	asked := c.sale(2_500)
	asked.ForceOnline = true
	r := c.must(pos.ApprovedOffline)(c.till.Sale(t.Context(), c.slot(), asked))
	upload := last[*unionpay.FinancialRequest](c.host)
	reversal := last[*unionpay.ReversalRequest](c.host)
	if upload.Info.MessageType != unionpay.KindOfflineUpload || upload.Original == nil || upload.Original.STAN != reversal.STAN ||
		upload.Original.Batch != reversal.Info.Batch || upload.STAN == reversal.STAN || r.STAN != upload.STAN {
		t.Fatalf("upload %+v", upload)
	}
	if !bytes.Equal(upload.ICC.Get(emv.TagATC), reversal.ICC.Get(emv.TagATC)) || upload.ICC.Get(emv.TagCID)[0] != byte(emv.TC) || upload.EntryMode.Mode() != "05" {
		t.Errorf("chip data of upload %v, reversal %v", upload.ICC, reversal.ICC)
	}
	if c.Advance(time.Hour); c.till.Outstanding() != 0 {
		t.Errorf("%d outstanding", c.till.Outstanding())
	}
	// An ordinary offline payment names nothing.
	floor := terminalWithFloor(t, c)
	c.deps = func(d *pos.Deps) { d.Tap = floor }
	c.till = c.newTill(t)
	c.Rig = c.Restart(c.till)
	c.attach()
	c.must(pos.ApprovedOffline)(c.till.Sale(t.Context(), c.tap(), c.sale(100)))
	if m := last[*unionpay.FinancialRequest](c.host); m.Info.MessageType != unionpay.KindOfflineUpload || m.Original != nil {
		t.Errorf("upload of a tap: %+v", m.Original)
	}
}
