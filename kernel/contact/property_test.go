package contact_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
)

// rules is what every outcome keeps to, whatever the card did.
func rules(t interface{ Errorf(string, ...any) }, cfg contact.Config, tx contact.Transaction, host contact.Event, o contact.Outcome) {
	answer, spoke := host.(contact.HostAnswer)
	app := cfg.Applications[0]
	codes := func(terminal emv.TVR) bool {
		for i := range terminal {
			if terminal[i]&o.TVR[i] != 0 {
				return true
			}
		}
		return false
	}
	if o.Reason.Term().EN == "" || o.Kind == 0 {
		t.Errorf("outcome without kind or reason: %v", o)
	}
	if o.Reverse && (!o.HostApproved || o.Kind == kernel.Approved) {
		t.Errorf("reverses what nobody approved: %v %v", o.Kind, o.Reason)
	}
	if o.HostApproved && (!o.Online || !spoke || !answer.Approved) {
		t.Errorf("approval of a host that gave none")
	}
	if o.Kind != kernel.Approved {
		return
	}
	if o.Cryptogram.Type() != emv.TC || len(o.Data.Get(emv.TagAC)) != 8 {
		t.Errorf("approved without a TC: %v", o.Data)
	}
	if o.HostApproved {
		return
	}
	withoutHost := tx.OfflineOnly || cfg.Terminal.Type&0xF == 3 || cfg.Terminal.Type&0xF == 6
	switch {
	case tx.Purse != contact.PurseNone:
		t.Errorf("a purse was loaded without the host")
	case o.OnlinePIN:
		t.Errorf("approved with a PIN that nobody checked")
	case withoutHost && !o.ElectronicCash && cfg.Terminal.Type&0xF <= 4 && cfg.Terminal.Type&0xF%3 == 1 && !cfg.OnlineOnlyDefault:
		t.Errorf("approved by a terminal that has no say")
	case codes(app.TACDenial):
		t.Errorf("approved what the terminal denies: %v", o.TVR)
	case (withoutHost || o.Online) && codes(app.TACDefault):
		t.Errorf("approved without the host what must not be: %v", o.TVR)
	case !withoutHost && !o.Online && codes(app.TACOnline):
		t.Errorf("approved on the spot what must go online: %v", o.TVR)
	case !withoutHost && !o.Online && tx.ForceOnline:
		t.Errorf("approved on the spot what the merchant wants online")
	case !withoutHost && !o.Online && (cfg.Terminal.Type&0xF == 1 || cfg.Terminal.Type&0xF == 4):
		t.Errorf("approved on the spot by a terminal that is online only")
	case !o.ElectronicCash && o.TSI.Has(emv.TSITerminalRiskPerformed) && app.FloorLimit.Currency() == money.CNY && tx.Amount.Cmp(app.FloorLimit) >= 0 &&
		!o.TVR.Has(emv.TVRFloorLimitExceeded):
		t.Errorf("floor limit not seen")
	}
}

// TestAnyTerminalWithAnyCard draws terminals, transactions, cards that keep to the rules and cards that do not.
func TestAnyTerminalWithAnyCard(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := newScene(t)
		drawTerminal(r, s)
		drawCard(r, s)
		s.host = rapid.SampledFrom([]contact.Event{s.host, contact.HostSilent{}, contact.HostAnswer{ARC: [2]byte{'0', '5'}},
			contact.HostAnswer{ARC: [2]byte{'0', '0'}, Approved: true, Scripts: unhex(t, "7106 8604 84180000 7206 8604 84180000")}}).Draw(r, "host")
		s.sign()
		for range rapid.IntRange(0, 2).Draw(r, "surprises") {
			n := rapid.IntRange(1, 25).Draw(r, "command")
			s.answer[n] = rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 2, 30),
				rapid.SampledFrom([][]byte{sw(apdu.OK), sw(apdu.ConditionsNotSatisfied), sw(apdu.FileNotFound), sw(apdu.RecordNotFound)})).Draw(r, "answer")
		}
		host := s.host
		rules(r, s.cfg, s.tx, host, s.play())
	})
}

func drawTerminal(r *rapid.T, s *scene) {
	field := rapid.SliceOfN(rapid.Byte(), 5, 5)
	flag := rapid.Bool()
	a := &s.cfg.Applications[0]
	a.TACDefault, a.TACOnline, a.TACDenial = emv.TVR(field.Draw(r, "TAC default")), emv.TVR(field.Draw(r, "TAC online")), emv.TVR{}
	a.TACDenial[rapid.IntRange(0, 4).Draw(r, "denial byte")] = 1 << rapid.IntRange(0, 7).Draw(r, "denial bit")
	a.FloorLimit = money.New(rapid.Int64Range(0, 3000).Draw(r, "floor"), money.CNY)
	a.Threshold = money.New(rapid.Int64Range(0, 3000).Draw(r, "threshold"), money.CNY)
	a.TargetPercent = rapid.IntRange(0, 99).Draw(r, "target")
	a.MaxTargetPercent = rapid.IntRange(a.TargetPercent, 99).Draw(r, "max target")
	s.cfg.Terminal.Type = rapid.SampledFrom([]byte{0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x14}).Draw(r, "type")
	s.cfg.Terminal.Capabilities = emv.TerminalCapabilities(rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(r, "capabilities"))
	s.cfg.Selectable, s.cfg.OnlineOnlyDefault = flag.Draw(r, "selectable"), flag.Draw(r, "online-only default")
	s.tx.ForceOnline = flag.Draw(r, "force")
	s.tx.Amount = money.New(rapid.Int64Range(1, 3000).Draw(r, "amount"), money.CNY)
	s.tx.Seed[0] = rapid.Byte().Draw(r, "seed")
	if flag.Draw(r, "stop list") {
		s.cfg.Terminal.ExceptionFile = func(kernel.Presented) bool { return true }
	}
	if s.tx.Purse = contact.PurseOperation(max(0, rapid.IntRange(-5, 5).Draw(r, "purse"))); s.tx.Purse == contact.PurseNone {
		s.tx.OfflineOnly = flag.Draw(r, "offline")
	}
}

func drawCard(r *rapid.T, s *scene) {
	flag := rapid.Bool()
	s.aip = emv.AIP{rapid.Byte().Draw(r, "AIP"), 0}
	s.wants = rapid.SampledFrom([]emv.CID{emv.AAC, emv.TC, emv.ARQC}).Draw(r, "wants")
	s.pse, s.format2, s.refuses = flag.Draw(r, "PSE"), flag.Draw(r, "format 2"), flag.Draw(r, "refuses")
	if flag.Draw(r, "cash") {
		cash(s)
	}
	if flag.Draw(r, "purse") {
		s.purse(rapid.Int64Range(0, 90_000).Draw(r, "balance"))
	}
	list := make([]byte, 8)
	for range rapid.IntRange(0, 4).Draw(r, "rules") {
		list = append(list, rapid.SampledFrom([]byte{0x00, 0x01, 0x41, 0x42, 0x02, 0x43, 0x44, 0x05, 0x5E, 0x1F, 0x60, 0x4A}).Draw(r, "method"), byte(rapid.IntRange(0, 10).Draw(r, "condition")))
	}
	s.data.Set(emv.TagCVMList, list)
	for _, tag := range []struct {
		name string
		set  func([]byte)
	}{
		{"IAC default", func(b []byte) { s.data.Set(emv.TagIACDefault, b) }}, {"IAC online", func(b []byte) { s.data.Set(emv.TagIACOnline, b) }},
	} {
		if flag.Draw(r, tag.name+" there") {
			tag.set(rapid.SliceOfN(rapid.Byte(), 5, 5).Draw(r, tag.name))
		}
	}
	s.data.Set(emv.TagExpiryDate, rapid.SampledFrom([][]byte{{0x30, 0x12, 0x31}, {0x20, 1, 1}}).Draw(r, "expiry"))
	s.pins = rapid.SliceOfN(rapid.SampledFrom([]string{testPIN, "000000"}), 0, 4).Draw(r, "PINs")
	if flag.Draw(r, "velocity") {
		setUpper(s)
	}
	if flag.Draw(r, "wrong key") {
		s.onScript = nil
		s.override[apdu.InsInternalAuthenticate] = sw(apdu.OK)
	}
}

func setUpper(s *scene) {
	s.data.Set(emv.TagLowerOfflineLimit, []byte{1})
	s.data.Set(emv.TagUpperOfflineLimit, []byte{1})
}

// stream is R-APDUs one behind the other: two bytes of length, the response; length 0: the card is gone.
type stream struct{ rest []byte }

func (s *stream) next() []byte {
	if len(s.rest) < 2 {
		return nil
	}
	n := min(int(s.rest[0])<<8|int(s.rest[1]), 258, len(s.rest)-2)
	b := s.rest[2 : 2+n]
	s.rest = s.rest[2+n:]
	return b
}

func (s *stream) add(b []byte) { s.rest = append(append(s.rest, byte(len(b)>>8), byte(len(b))), b...) }

// FuzzResponses plays any answers to the terminal: no panic, no hang, no approval without the host that the rules forbid. The seeds
// are the recorded sessions.
func FuzzResponses(f *testing.F) {
	paths, err := filepath.Glob("testdata/sessions/*.apdu")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no sessions: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var seed stream
		for line := range bytes.Lines(text) {
			if body, found := strings.CutPrefix(strings.TrimSpace(string(line)), "< "); found {
				b, _ := hex.DecodeString(body)
				seed.add(b)
			}
		}
		for purse := range byte(3) {
			f.Add(purse, seed.rest)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, answers []byte) {
		s := newScene(t)
		s.tx.Purse = contact.PurseOperation(kind % 6)
		s.tx.OfflineOnly = kind&0x40 != 0 && s.tx.Purse == contact.PurseNone
		s.cfg.Selectable = kind&0x20 != 0
		if kind&0x80 != 0 {
			s.host = contact.HostSilent{}
		}
		host, in := s.host, stream{answers}
		m := contact.New(s.cfg, s.tx)
		a := m.Start()
		for n := 0; a.Outcome == nil; n++ {
			if n > contact.MaxCommands+contact.MaxQuestions {
				t.Fatal("no end")
			}
			if a.Send == nil {
				s.pins = []string{testPIN}
				a = m.Next(s.people(a))
			} else if b := in.next(); len(b) > 0 {
				a = m.Next(contact.Response{Data: b})
			} else {
				a = m.Next(contact.CardLost{})
			}
		}
		rules(t, s.cfg, s.tx, host, *a.Outcome)
	})
}
