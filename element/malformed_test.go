package element_test

import (
	"bytes"
	"testing"

	"tapnet/apdu"
	"tapnet/card/cardtest"
	"tapnet/card/imprint"
	"tapnet/element"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/scp03"
)

// TestMalformedScripts: a script whose channel is right and whose contents are not is refused with wrong data, and the memory holds what it held, bit for bit.
// The same element then takes the sound script.
func TestMalformedScripts(t *testing.T) {
	i := issue(t, cardtest.Options{}, "")
	sound, err := imprint.Write(&i.Image.Applications[0], &i.Image.State.Applications[0], &imprint.Keys{Suite: i.Suite, Card: i.CardKeys, Private: i.Key})
	if err != nil {
		t.Fatal(err)
	}
	changed := func(id cps.DGI, change func([]byte) []byte) func(cps.List) cps.List {
		return func(list cps.List) (out cps.List) {
			for _, g := range list {
				if g.ID() == id {
					data := change(g.Reveal())
					if data == nil {
						continue
					}
					if g, err = cps.NewGrouping(id, data); err != nil {
						t.Fatal(err)
					}
				}
				out = append(out, g)
			}
			return out
		}
	}
	missing := func([]byte) []byte { return nil }
	flipped := func(b []byte) []byte { b[0] ^= 2; return b }
	level := scp03.LevelComplete
	for name, spoil := range map[string]func(cps.List) cps.List{
		"no card keys":                     changed(cps.CardKeys, missing),
		"a card key of another value":      changed(cps.CardKeys, flipped),
		"another check value":              changed(cps.KeyCheckValues, flipped),
		"no check values":                  changed(cps.KeyCheckValues, missing),
		"no prime of the signature key":    changed(cps.ICCKeyP, missing),
		"another prime":                    changed(cps.ICCKeyP, flipped),
		"another private exponent":         changed(cps.ICCKeyDP, flipped),
		"no counters":                      changed(cps.PINCounters, missing),
		"no answer to SELECT":              changed(cps.FCIContactless, missing),
		"no answer to processing options":  changed(cps.GPOResponseContactless, missing),
		"processing options of one byte":   changed(cps.GPOResponseContactless, func(b []byte) []byte { return b[:1] }),
		"no issuer data":                   changed(cps.IssuerApplicationData, missing),
		"issuer data of another algorithm": changed(cps.IssuerApplicationData, func(b []byte) []byte { b[10] = 0x77; return b }),
		"no internal data":                 changed(cps.ContactInternalData, missing),
		"no settings":                      changed(imprint.EngineSettings, missing),
		"a record that the AFL lists":      changed(0x0301, missing),
	} {
		r := newRig(t, element.Blank{Option: 0x70})
		if err := r.open(level); err != nil {
			t.Fatal(err)
		}
		r.do(install(emv.AIDDebit), apdu.OK)
		r.do(personalize(emv.AIDDebit), apdu.OK)
		before, err := r.memory.Load()
		if err != nil {
			t.Fatal(err)
		}
		seal, _ := element.Sealing(r.keys)
		list, err := seal.Seal(spoil(sound))
		if err != nil { // what nobody would seal is left out afterwards
			if list, err = seal.Seal(sound); err != nil {
				t.Fatal(err)
			}
			list = spoil(list)
		}
		commands, err := cps.Commands(list, cps.Framing{DataBytes: scp03.Room(level), Packed: true})
		if err != nil {
			t.Fatal(err)
		}
		for at, c := range commands {
			if answer, err := r.command(c); err != nil || (answer.SW == apdu.OK) != (at < len(commands)-1) || answer.SW != apdu.OK && answer.SW != apdu.WrongData {
				t.Errorf("%s, command %d of %d: %v: %v", name, at+1, len(commands), answer.SW, err)
			}
		}
		if after, err := r.memory.Load(); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the memory has changed: %v", name, err)
		}
		if all := r.element.Applications(); len(all) != 1 || all[0].Life != element.Selectable {
			t.Errorf("%s: %v", name, all)
		}
		r.do(personalize(emv.AIDDebit), apdu.OK)
		for _, c := range r.script(i, level) {
			r.do(c, apdu.OK)
		}
	}
}
