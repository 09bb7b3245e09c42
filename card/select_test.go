package card_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// traced makes the card of the published contactless trace [REF 1.2].
func traced(t testing.TB) func(*card.Image) {
	return func(image *card.Image) {
		a := &image.Applications[0]
		a.Label, a.PreferredName, a.Extended = "PBOC DEBIT", "PBOC DEBIT", emv.ExtendedIndicator{}
		var err error
		if a.PDOL, err = emv.ParseDOL(unhex(t, "9F66049F02069F03069F1A0295055F2A029A039C019F3704")); err != nil {
			t.Fatal(err)
		}
		a.Language = "zh"
		a.Discretionary.Set(emv.TagLoadLogEntry, []byte{0x0C, 0x0A})
	}
}

func TestPublishedTrace(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: traced(t)})
	r := present(t, c, issued)
	ppse := r.send(apdu.Select([]byte(emv.PPSE)), apdu.OK)
	if want := unhex(t, "6F30 840E325041592E5359532E4444463031 A51E BF0C1B 6119 4F08A000000333010101 500A50424F43204445424954 870101"); !bytes.Equal(ppse, want) {
		t.Errorf("PPSE\n%X, want\n%X", ppse, want)
	}
	fci := r.selectApplication()
	want := unhex(t, `6F598408A000000333010101A54D500A50424F432044454249548701019F38189F66049F02069F03069F1A0295055F2A029A039C019F3704`+
		`5F2D027A689F1101019F120A50424F43204445424954BF0C0A9F4D020B0ADF4D020C0A`)
	if !bytes.Equal(fci, want) {
		t.Errorf("FCI\n%X, want\n%X", fci, want)
	}
}

// twoApplications adds credit and stand-alone electronic cash to the debit card.
func twoApplications(image *card.Image) {
	for i, aid := range []emv.AID{emv.AIDCredit, emv.AIDElectronicCash} {
		a := image.Applications[0]
		a.AID, a.Priority, a.Kernel = aid, byte(i+2), []byte{7}
		image.Applications = append(image.Applications, a)
		image.State.Applications[i+1] = image.State.Applications[0]
	}
}

func TestSelect(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: twoApplications})
	r := present(t, c, issued)
	name := func(fci []byte) emv.AID {
		aid, _ := tlv.Find(fci, emv.TagFCI, emv.TagDFName)
		return emv.AID(aid)
	}
	ppse := r.send(apdu.Select([]byte(emv.PPSE)), apdu.OK)
	entries, _ := tlv.Find(ppse, emv.TagFCI, emv.TagFCIProprietary, emv.TagFCIDiscretionary)
	if got, err := tlv.Decode(entries); err != nil || len(got) != 3 {
		t.Errorf("PPSE has %d entries, %v", len(got), err)
	}
	r.send(apdu.SelectNext([]byte(emv.PPSE)), apdu.FileNotFound)

	rid := emv.RIDUnionPay[:]
	for _, step := range []struct {
		cmd  apdu.Command
		sw   apdu.SW
		want emv.AID
	}{
		{apdu.Select(emv.AIDCredit.Bytes()), apdu.OK, emv.AIDCredit},
		{apdu.Select(rid), apdu.OK, emv.AIDDebit},
		{apdu.SelectNext(rid), apdu.OK, emv.AIDCredit},
		{apdu.SelectNext(rid), apdu.OK, emv.AIDElectronicCash},
		{apdu.SelectNext(rid), apdu.FileNotFound, ""},
		{apdu.SelectNext(rid), apdu.FileNotFound, ""},
		{apdu.Select(rid), apdu.OK, emv.AIDDebit},
		{apdu.SelectNext(emv.AIDCredit.Bytes()), apdu.OK, emv.AIDCredit}, // another name starts anew
		{apdu.SelectNext(emv.AIDCredit.Bytes()), apdu.FileNotFound, ""},
		{apdu.Select(emv.AIDUSDebit.Bytes()), apdu.FileNotFound, ""},
		{apdu.Select([]byte(emv.PSE)), apdu.FileNotFound, ""},
		{apdu.Select(append(emv.AIDDebit.Bytes(), 1)), apdu.FileNotFound, ""},
		{apdu.Select(rid[:4]), apdu.WrongLength, ""},
		{apdu.Select(make([]byte, 17)), apdu.WrongLength, ""},
		{apdu.Command{INS: apdu.InsSelect, P1: 4, Le: 256}, apdu.WrongLength, ""},
		{apdu.Command{INS: apdu.InsSelect, P1: 0, Data: rid}, apdu.WrongParameters, ""},
		{apdu.Command{INS: apdu.InsSelect, P1: 4, P2: 1, Data: rid}, apdu.WrongParameters, ""},
	} {
		if got := name(r.send(step.cmd, step.sw)); got != step.want {
			t.Errorf("%v selected %v, want %v", step.cmd, got, step.want)
		}
	}
	// A SELECT that fails leaves the selection as it was.
	r.send(apdu.GetData(emv.TagATC), apdu.OK)
}

func TestContactlessSwitchedOff(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		twoApplications(image)
		image.NoContactless = true
	}})
	r := present(t, c, issued)
	r.send(apdu.Select([]byte(emv.PPSE)), apdu.FileNotFound)
	r.send(apdu.Select(emv.AIDDebit.Bytes()), apdu.FileNotFound)
	r.send(apdu.GetData(emv.TagECBalance), apdu.ConditionsNotSatisfied)
	// The contact side is not switched off.
	c.PowerOn(card.Contact)
	if got := process(t, c, apdu.Select(emv.AIDDebit.Bytes()).Bytes()); got != apdu.OK {
		t.Errorf("contact: %v", got)
	}
	if got := process(t, c, apdu.Select([]byte(emv.PPSE)).Bytes()); got != apdu.FileNotFound {
		t.Errorf("PPSE on contact: %v", got)
	}

	// One application alone.
	c, issued = cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		twoApplications(image)
		image.Applications[1].NoContactless = true
	}})
	r = present(t, c, issued)
	if ppse := r.send(apdu.Select([]byte(emv.PPSE)), apdu.OK); bytes.Contains(ppse, emv.AIDCredit.Bytes()) || !bytes.Contains(ppse, emv.AIDDebit.Bytes()) {
		t.Errorf("PPSE: %X", ppse)
	}
	r.send(apdu.Select(emv.AIDCredit.Bytes()), apdu.FileNotFound)
	r.send(apdu.Select(emv.AIDElectronicCash.Bytes()), apdu.OK)
}

func process(t testing.TB, c *card.Card, command []byte) apdu.SW {
	t.Helper()
	raw, err := c.Process(command)
	if err != nil {
		t.Fatal(err)
	}
	response, err := apdu.ParseResponse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return response.SW
}

func TestBlocked(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		twoApplications(image)
		image.State.Applications[0].Blocked = true
	}})
	r := present(t, c, issued)
	if fci := r.send(apdu.Select(emv.AIDDebit.Bytes()), apdu.ApplicationBlocked); len(fci) == 0 {
		t.Error("a blocked application still tells its FCI")
	}
	before := c.State()
	r.send(r.gpo(sale{ttq: gate, amount: 1}), apdu.ConditionsNotSatisfied)
	if c.State() != before {
		t.Error("a blocked application changed")
	}
	r.send(apdu.Select(emv.AIDCredit.Bytes()), apdu.OK)

	c, issued = cardtest.New(t, cardtest.Options{Change: func(image *card.Image) { image.State.Blocked = true }})
	r = present(t, c, issued)
	r.send(apdu.Select(emv.AIDDebit.Bytes()), apdu.FunctionNotSupported)
	r.send(apdu.Select([]byte(emv.PPSE)), apdu.FunctionNotSupported)
	r.send(apdu.GetData(emv.TagATC), apdu.ConditionsNotSatisfied)
}

// Unknown and misplaced commands get their status word calmly, in every state.
func TestCalmRefusals(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	a := issued.Image.Applications[0]
	s := sale{ttq: gate, amount: 100}
	gpo := apdu.GPO(a.PDOL.Build(nil, s.data())).Bytes()
	selectIt := apdu.Select(a.AID.Bytes()).Bytes()
	states := []struct {
		name  string
		reach [][]byte
	}{
		{"idle", nil},
		{"directory", [][]byte{apdu.Select([]byte(emv.PPSE)).Bytes()}},
		{"selected", [][]byte{selectIt}},
		{"initiated", [][]byte{selectIt, gpo}},
		{"paid", [][]byte{selectIt, gpo, last().Bytes()}},
	}
	always := []struct {
		command string
		want    apdu.SW
	}{
		{"", apdu.WrongLength}, {"00", apdu.WrongLength}, {"00A404", apdu.WrongLength},
		{"00A4040000", apdu.WrongLength}, {"00A4040005A0000003", apdu.WrongLength},
		{"00B2010C000000", apdu.WrongLength}, // extended length
		{"00FE0000", apdu.InstructionNotSupported}, {"80FE000000", apdu.InstructionNotSupported},
		{"00200080082C1234FFFFFFFFFF", apdu.ConditionsNotSatisfied}, // VERIFY is not for contactless
		{"80AE4000", apdu.ConditionsNotSatisfied},                   // nor is there a dialogue
		{"01A4040005A000000333", apdu.ClassNotSupported}, {"04DA9F790A00000000000000000000", apdu.ConditionsNotSatisfied}, {"00DA9F790A00000000000000000000", apdu.ClassNotSupported},
		{"80A4040005A000000333", apdu.ClassNotSupported}, {"00CA9F7900", apdu.ClassNotSupported},
		{"00A8000002830000", apdu.ClassNotSupported}, {"80B2010C00", apdu.ClassNotSupported}, {"FFA4040005A000000333", apdu.ClassNotSupported},
	}
	for _, state := range states {
		for _, row := range always {
			c.PowerOn(card.Contactless)
			for _, command := range state.reach {
				if sw := process(t, c, command); sw != apdu.OK {
					t.Fatalf("%s: %X answered %v", state.name, command, sw)
				}
			}
			if got := process(t, c, unhex(t, row.command)); got != row.want {
				t.Errorf("%s: %q answered %v, want %v", state.name, row.command, got, row.want)
			}
		}
	}

	// The order of commands.
	early := []apdu.Command{apdu.ReadRecord(3, 1), apdu.GetData(emv.TagATC), apdu.GPO(a.PDOL.Build(nil, s.data()))}
	for _, state := range states[:2] {
		c.PowerOn(card.Contactless)
		for _, command := range state.reach {
			process(t, c, command)
		}
		for _, cmd := range early {
			if got := process(t, c, cmd.Bytes()); got != apdu.ConditionsNotSatisfied {
				t.Errorf("%s: %v answered %v", state.name, cmd, got)
			}
		}
	}
	c.PowerOn(card.Contactless)
	process(t, c, selectIt)
	process(t, c, gpo)
	if got := process(t, c, gpo); got != apdu.ConditionsNotSatisfied {
		t.Errorf("a second GPO answered %v", got)
	}
	c.PowerOn(card.Contact)
	process(t, c, selectIt)
	if got := process(t, c, gpo); got != apdu.ConditionsNotSatisfied {
		t.Errorf("GPO on contact answered %v", got)
	}
}

// A malformed GET PROCESSING OPTIONS costs nothing, not even a counter.
func TestMalformedGPO(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	r := present(t, c, issued)
	good := r.pdol.Build(nil, sale{ttq: gate, amount: 100}.data())
	badAmount := bytes.Clone(good)
	badAmount[6] = 0xAA
	notQPBOC := bytes.Clone(good)
	notQPBOC[0] = 0x40
	for _, row := range []struct {
		name string
		cmd  apdu.Command
		want apdu.SW
	}{
		{"P1", apdu.Command{CLA: 0x80, INS: apdu.InsGPO, P1: 1, Data: tlv.Wrap(0x83, good)}, apdu.WrongParameters},
		{"P2", apdu.Command{CLA: 0x80, INS: apdu.InsGPO, P2: 1, Data: tlv.Wrap(0x83, good)}, apdu.WrongParameters},
		{"no data", apdu.Command{CLA: 0x80, INS: apdu.InsGPO, Le: 256}, apdu.WrongData},
		{"empty template", apdu.GPO(nil), apdu.WrongLength},
		{"short", apdu.GPO(good[1:]), apdu.WrongLength},
		{"long", apdu.GPO(append(bytes.Clone(good), 0)), apdu.WrongLength},
		{"another template", apdu.Command{CLA: 0x80, INS: apdu.InsGPO, Data: tlv.Wrap(0x84, good)}, apdu.WrongData},
		{"two templates", apdu.Command{CLA: 0x80, INS: apdu.InsGPO, Data: append(tlv.Wrap(0x83, good), 0x83, 0x00)}, apdu.WrongLength},
		{"template cut", apdu.Command{CLA: 0x80, INS: apdu.InsGPO, Data: tlv.Wrap(0x83, good)[:20]}, apdu.WrongLength},
		{"no tag", apdu.Command{CLA: 0x80, INS: apdu.InsGPO, Data: []byte{0x1F}}, apdu.WrongLength},
		{"amount no digits", apdu.GPO(badAmount), apdu.WrongData},
		{"full dialogue only", apdu.GPO(notQPBOC), apdu.ConditionsNotSatisfied},
	} {
		before := c.State()
		r.selectApplication()
		response, ok := r.try(row.cmd)
		if !ok || response.SW != row.want {
			t.Errorf("%s: got %v, want %v", row.name, response.SW, row.want)
		}
		if c.State() != before {
			t.Errorf("%s: state changed", row.name)
		}
	}
	r.send(r.gpo(sale{ttq: gate, amount: 100}), apdu.OK)
}

func TestNoPower(t *testing.T) {
	c, _ := cardtest.New(t, cardtest.Options{})
	if _, err := c.Process(apdu.Select(emv.AIDDebit.Bytes()).Bytes()); err != card.ErrTorn {
		t.Errorf("a card without power answered %v", err)
	}
	if got := c.PowerOn(0); got != nil {
		t.Errorf("no interface: %X", got)
	}
	if got := c.PowerOn(card.Contactless); string(got) != "tapnet" {
		t.Errorf("historical bytes %q", got)
	}
}
