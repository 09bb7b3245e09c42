package card

import (
	"crypto/subtle"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/pinblock"
	"tapnet/tlv"
)

// scriptMACBytes is the length of the MAC at the end of a script command [REF 3.4].
const scriptMACBytes = 4

// maxScripts is what four bits of the card verification results count to.
const maxScripts = 15

// change is what a script command does to a copy of the state. data comes without the MAC.
type change func(c *Card, a *application, next *State, cmd apdu.Command, data []byte) apdu.SW

// script runs a command of the issuer under secure messaging [REF 3.3] [REF 3.4]: it must come after the first cryptogram of a payment
// that went online, and carry a MAC for that cryptogram. The change, its failure and the count of commands are one write.
func (c *Card) script(cmd apdu.Command, run change) (apdu.Response, error) {
	a, d := c.application(), &c.tx.dialogue
	if !d.scripts || d.macFailed || d.authentication == authenticationFailed || c.state.Blocked {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	if c.state.Applications[c.selected].Blocked && cmd.INS != apdu.InsApplicationUnblock && cmd.INS != apdu.InsPINChange && cmd.INS != apdu.InsCardBlock {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	if len(cmd.Data) < scriptMACBytes {
		return c.failScript(apdu.SecureMessagingMissing)
	}
	end := len(cmd.Data) - scriptMACBytes
	header := [5]byte{cmd.CLA, cmd.INS, cmd.P1, cmd.P2, byte(len(cmd.Data))}
	want, err := a.crypto.ScriptMAC(c.state.Applications[c.selected].ATC, header, d.ac, cmd.Data[:end])
	if err != nil {
		return refuse(noDiagnosis), nil
	}
	if subtle.ConstantTimeCompare(want[:], cmd.Data[end:]) != 1 {
		d.macFailed = true
		return c.failScript(apdu.SecureMessagingIncorrect)
	}
	next := c.state
	if sw := run(c, a, &next, cmd, cmd.Data[:end:end]); sw != apdu.OK {
		return c.failScript(sw)
	}
	c.countScript(&next)
	if ok, err := c.commit(&next); !ok {
		return refuse(apdu.MemoryFailure), err
	}
	return answer(nil)
}

// failScript makes the failure durable, so that the issuer learns of it from the next cryptogram [REF 1.8].
func (c *Card) failScript(sw apdu.SW) (apdu.Response, error) {
	c.tx.dialogue.scriptFailed = true
	next := c.state
	next.Applications[c.selected].History.ScriptFailed = true
	c.countScript(&next)
	if ok, err := c.commit(&next); !ok {
		return refuse(apdu.MemoryFailure), err
	}
	return refuse(sw), nil
}

// countScript counts the commands after the second cryptogram [REF 3.3].
func (c *Card) countScript(next *State) {
	if h := &next.Applications[c.selected].History; c.phase == phaseCompleted && h.ScriptCount < maxScripts {
		h.ScriptCount++
	}
}

func plain(cmd apdu.Command, data []byte) apdu.SW {
	switch {
	case cmd.P1 != 0 || cmd.P2 != 0:
		return apdu.WrongParameters
	case len(data) != 0:
		return apdu.WrongLength
	}
	return apdu.OK
}

func (c *Card) applicationBlock(cmd apdu.Command) (apdu.Response, error) {
	return c.script(cmd, func(c *Card, _ *application, next *State, cmd apdu.Command, data []byte) apdu.SW {
		next.Applications[c.selected].Blocked = true
		return plain(cmd, data)
	})
}

func (c *Card) applicationUnblock(cmd apdu.Command) (apdu.Response, error) {
	return c.script(cmd, func(c *Card, _ *application, next *State, cmd apdu.Command, data []byte) apdu.SW {
		s := &next.Applications[c.selected]
		s.Blocked, s.BlockedByPIN = false, false
		return plain(cmd, data)
	})
}

func (c *Card) cardBlock(cmd apdu.Command) (apdu.Response, error) {
	return c.script(cmd, func(_ *Card, _ *application, next *State, cmd apdu.Command, data []byte) apdu.SW {
		next.Blocked = true
		return plain(cmd, data)
	})
}

// pinChange sets the PIN, or only gives the tries back [REF 3.4].
func (c *Card) pinChange(cmd apdu.Command) (apdu.Response, error) {
	return c.script(cmd, func(c *Card, a *application, next *State, cmd apdu.Command, data []byte) apdu.SW {
		s := &next.Applications[c.selected]
		switch {
		case cmd.P1 != 0 || cmd.P2 > apdu.PINChange:
			return apdu.WrongParameters
		case cmd.P2 == apdu.PINUnblock && len(data) != 0, cmd.P2 != apdu.PINUnblock && len(data) != cryptogram.KeyBytes:
			return apdu.WrongLength
		case s.PIN.IsZero() && cmd.P2 != apdu.PINChange:
			return apdu.DataNotFound
		}
		if cmd.P2 != apdu.PINUnblock {
			current := s.PIN.pin()
			if cmd.P2 == apdu.PINChange {
				current = pinblock.PIN{}
			}
			pin, err := a.crypto.DecipherPINChange(s.ATC, c.tx.dialogue.ac, a.contact.PINVariant, [16]byte(data), current)
			if err != nil {
				return apdu.WrongData
			}
			s.PIN = StorePIN(pin)
		}
		s.PINTries = a.contact.PINTryLimit
		return apdu.OK
	})
}

// updateRecord replaces a record that personalisation lets the issuer change [REF 3.1]. The data are the record as it is read.
func (c *Card) updateRecord(cmd apdu.Command) (apdu.Response, error) {
	return c.script(cmd, func(c *Card, a *application, next *State, cmd apdu.Command, data []byte) apdu.SW {
		id := recordID{sfi: cmd.P2 >> sfiShift, number: cmd.P1}
		if cmd.P2&(1<<sfiShift-1) != recordNumberInP1 || id.sfi == 0 || id.number == 0 {
			return apdu.WrongParameters
		}
		r, ok := a.records[id]
		switch {
		case !ok && a.files[id.sfi]:
			return apdu.RecordNotFound
		case !ok:
			return apdu.FileNotFound
		case !r.updatable:
			return apdu.SecurityStatusNotSatisfied
		case len(data) == 0:
			return apdu.WrongLength
		}
		return next.update(byte(c.selected), id, data)
	})
}

// update puts a record into the card's memory for changed ones.
func (s *State) update(application byte, id recordID, data []byte) apdu.SW {
	place := -1
	for i := range s.Updated {
		u := &s.Updated[i]
		if u.Length != 0 && u.is(application, id) {
			place = i
			break
		}
		if u.Length == 0 && place < 0 {
			place = i
		}
	}
	if place < 0 {
		return apdu.NotEnoughMemory
	}
	u := UpdatedRecord{Application: application, SFI: id.sfi, Number: id.number, Length: uint16(len(data))}
	copy(u.Bytes[:], data)
	s.Updated[place] = u
	return apdu.OK
}

// updated is a record as the issuer last wrote it.
func (s *State) updated(application byte, id recordID) ([]byte, bool) {
	for i := range s.Updated {
		if u := &s.Updated[i]; u.Length != 0 && u.is(application, id) {
			return append([]byte(nil), u.Bytes[:u.Length]...), true
		}
	}
	return nil, false
}

func (u *UpdatedRecord) is(application byte, id recordID) bool {
	return u.Application == application && u.SFI == id.sfi && u.Number == id.number
}

// putData sets one data object [REF 1.3].
func (c *Card) putData(cmd apdu.Command) (apdu.Response, error) {
	return c.script(cmd, func(c *Card, a *application, next *State, cmd apdu.Command, data []byte) apdu.SW {
		tag := tlv.Tag(cmd.P1)<<8 | tlv.Tag(cmd.P2)
		if tag == emv.TagSegmentUsed {
			return apdu.WrongParameters // only a load settles it [REF 1.3]
		}
		s := &next.Applications[c.selected]
		for i := range writableObjects {
			if object := &writableObjects[i]; object.tag == tag && object.has(a) {
				if len(data) != object.length {
					return apdu.WrongLength
				}
				return object.write(c, a, s, data)
			}
		}
		return apdu.DataNotFound
	})
}
