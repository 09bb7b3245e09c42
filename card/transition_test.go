package card_test

import (
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
)

// TestTransitions sends every command in every phase of both interfaces: where it has no place it is answered with 6985 and changes
// nothing; where it has one, with anything else.
func TestTransitions(t *testing.T) {
	const (
		idle = iota
		directory
		selected
		paying    // qPBOC after GPO
		dialogue  // after a GPO that opens the dialogue
		online    // after ARQC
		completed // after TC
		phases
	)
	names := [phases]string{"idle", "directory", "selected", "paying", "dialogue", "online", "completed"}
	reach := func(i *insertion, phase int, on card.Interface) bool {
		switch {
		case on == card.Contact && phase == paying:
			return false
		case on == card.Contactless:
			i.field, i.pdol, i.sale.ttq = card.NewField(i.chip), i.issued.Image.Applications[0].PDOL, emv.TTQ{0x40}
		}
		switch phase {
		case directory:
			i.send(apdu.Select([]byte(map[card.Interface]emv.AID{card.Contact: emv.PSE, card.Contactless: emv.PPSE}[on])), apdu.OK)
		case selected:
			i.selectApplication()
		case paying:
			i.sale.ttq = onlineOnly
			i.open(false)
		case dialogue:
			i.open(false)
		case online:
			i.online()
		case completed:
			i.payOnline()
		}
		return true
	}
	all := []int{idle, directory, selected, paying, dialogue, online, completed}
	application := all[selected:]
	for _, row := range []struct {
		name    string
		cmd     func(i *insertion) apdu.Command
		contact []int // phases with a place for it
		tap     []int
	}{
		{"SELECT", func(i *insertion) apdu.Command { return apdu.Select(i.aid.Bytes()) }, all, all},
		{"GPO", func(i *insertion) apdu.Command { return apdu.GPO(i.pdol.Build(nil, i.terminalData(false, ""))) }, []int{selected}, []int{selected}},
		{"READ RECORD", func(*insertion) apdu.Command { return apdu.ReadRecord(1, 1) }, all[directory:], application},
		{"GET DATA", func(*insertion) apdu.Command { return apdu.GetData(emv.TagATC) }, application, application},
		{"GET CHALLENGE", func(*insertion) apdu.Command { return apdu.GetChallenge() }, []int{dialogue}, []int{dialogue}},
		{"INTERNAL AUTHENTICATE", func(*insertion) apdu.Command { return apdu.InternalAuthenticate(make([]byte, 4)) }, []int{dialogue}, []int{dialogue}},
		{"VERIFY", func(*insertion) apdu.Command { return apdu.Verify(apdu.VerifyPlaintext, make([]byte, 8)) }, []int{dialogue}, nil},
		{"GENERATE AC", func(*insertion) apdu.Command { return apdu.GenerateAC(0, nil) }, []int{dialogue, online}, []int{dialogue, online}},
		{"EXTERNAL AUTHENTICATE", func(*insertion) apdu.Command { return apdu.ExternalAuthenticate(make([]byte, 10)) }, []int{online}, []int{online}},
		{"PUT DATA", script(4, apdu.InsPutData), []int{online, completed}, []int{online, completed}},
		{"UPDATE RECORD", script(4, apdu.InsUpdateRecord), []int{online, completed}, []int{online, completed}},
		{"APPLICATION BLOCK", script(0x84, apdu.InsApplicationBlock), []int{online, completed}, []int{online, completed}},
		{"APPLICATION UNBLOCK", script(0x84, apdu.InsApplicationUnblock), []int{online, completed}, []int{online, completed}},
		{"CARD BLOCK", script(0x84, apdu.InsCardBlock), []int{online, completed}, []int{online, completed}},
		{"PIN CHANGE", script(0x84, apdu.InsPINChange), []int{online, completed}, []int{online, completed}},
		{"READ CAPP DATA", func(*insertion) apdu.Command {
			return apdu.Command{CLA: 0x80, INS: apdu.InsReadCAPPData, Data: make([]byte, 2)}
		}, nil, nil},
		{"UPDATE CAPP DATA CACHE", script(0x84, apdu.InsUpdateCAPPDataCache), nil, nil},
		{"APPEND RECORD", script(4, apdu.InsAppendRecord), []int{selected}, []int{selected}},
		{"GET TRANS PROVE", func(*insertion) apdu.Command {
			return apdu.Command{CLA: 0x80, INS: apdu.InsGetTransProve, Data: make([]byte, 2)}
		}, application, application},
	} {
		for _, on := range []card.Interface{card.Contact, card.Contactless} {
			places := row.contact
			if on == card.Contactless {
				places = row.tap
			}
			for phase := range phases {
				c, issued := contactCard(t, nil)
				i := insert(t, c, issued)
				if !reach(i, phase, on) {
					continue
				}
				wanted := false
				for _, p := range places {
					wanted = wanted || p == phase
				}
				before := c.State()
				response, _ := i.try(row.cmd(i))
				if placed := response.SW != apdu.ConditionsNotSatisfied; placed != wanted {
					t.Errorf("%s, interface %d, %s: %v", row.name, on, names[phase], response.SW)
				}
				if !wanted && c.State() != before {
					t.Errorf("%s, interface %d, %s: state changed", row.name, on, names[phase])
				}
			}
		}
	}
}

// script is a command of the issuer with a MAC that is wrong: 6988, not 6985, where it has a place.
func script(cla, ins byte) func(*insertion) apdu.Command {
	return func(*insertion) apdu.Command {
		return apdu.Command{CLA: cla, INS: ins, P2: map[bool]byte{true: 0x9F}[ins == apdu.InsPutData], Data: make([]byte, 8)}
	}
}

// A memory that refuses a write is told with 6581, and the card is as it was.
func TestContactMemoryFailure(t *testing.T) {
	for name, row := range map[string]struct {
		reach func(i *insertion)
		cmd   func(i *insertion) apdu.Command
	}{
		"GPO": {func(i *insertion) { i.selectApplication() }, func(i *insertion) apdu.Command { return apdu.GPO(i.pdol.Build(nil, i.terminalData(true, ""))) }},
		"first cryptogram": {func(i *insertion) { i.open(true) }, func(i *insertion) apdu.Command {
			return apdu.GenerateAC(0x40, i.list(emv.TagCDOL1).Build(nil, i.terminalData(true, "")))
		}},
		"second cryptogram": {func(i *insertion) { i.online() }, func(i *insertion) apdu.Command {
			return apdu.GenerateAC(0x40, i.list(emv.TagCDOL2).Build(nil, i.terminalData(false, "00")))
		}},
		"PIN": {func(i *insertion) { i.open(false) }, func(*insertion) apdu.Command {
			return apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN()))
		}},
		"issuer authentication": {func(i *insertion) { i.online() }, func(*insertion) apdu.Command { return apdu.ExternalAuthenticate(make([]byte, 10)) }},
		"script": {func(i *insertion) { i.online() }, func(i *insertion) apdu.Command {
			return i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(1), i.answer.Get(emv.TagAC))
		}},
		"failed script": {func(i *insertion) { i.online() }, func(i *insertion) apdu.Command {
			return i.seal(4, apdu.InsPutData, 0x9F, 0x7E, bcd(1), i.answer.Get(emv.TagAC))
		}},
	} {
		memory := &brokenMemory{}
		c, issued := cardtest.New(t, cardtest.Options{Contact: true, Memory: func(s card.State) card.Memory {
			memory.Memory = card.NewVolatile(s)
			return memory
		}})
		i := insert(t, c, issued)
		row.reach(i)
		before := c.State()
		memory.refuse = true
		i.send(row.cmd(i), apdu.MemoryFailure)
		if c.State() != before {
			t.Errorf("%s: state changed without a write", name)
		}
	}
}

// A layout from before the contact dialogue is read as a card that has not used it.
func TestOldState(t *testing.T) {
	c, _ := cardtest.New(t, cardtest.Options{})
	s := c.State()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var read card.State
	old := oldState(t, s)
	if err := read.UnmarshalBinary(old); err != nil || read != s {
		t.Fatalf("an old state is read differently: %v", err)
	}
	if again, err := read.MarshalBinary(); err != nil || len(again) != len(b) {
		t.Errorf("written with %d bytes, %v", len(again), err)
	}
	old[1+1+2] = 0xFF // still a state: another counter
	old[len(old)-256-2] = 0xFF
	if err := read.UnmarshalBinary(old); err == nil {
		t.Error("an old state that cannot be was accepted")
	}
}

func oldState(t testing.TB, s card.State) []byte {
	t.Helper()
	b, err := card.EncodeV1(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
