package card

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/pinblock"
)

// challengeBytes is what GET CHALLENGE answers [EMV B3 6.5.6].
const challengeBytes = 8

// StoredPIN is the reference PIN as the card keeps it: a block of format 2. The zero value is no PIN. It prints itself masked.
type StoredPIN [8]byte

// StorePIN packs a PIN for the card's memory.
func StorePIN(p pinblock.PIN) StoredPIN { return pinblock.Format2(p).Reveal() }

// IsZero reports whether the card has no PIN.
func (p StoredPIN) IsZero() bool { return p == StoredPIN{} }

// matches compares in constant time.
func (p StoredPIN) matches(block [8]byte) bool {
	return subtle.ConstantTimeCompare(p[:], block[:]) == 1 && !p.IsZero()
}

// pin is the PIN itself; the zero PIN when there is none.
func (p StoredPIN) pin() pinblock.PIN {
	block, err := pinblock.FromBytes(p[:])
	if err != nil {
		return pinblock.PIN{}
	}
	pin, err := pinblock.ParseFormat2(block)
	if err != nil {
		return pinblock.PIN{}
	}
	return pin
}

// valid reports whether there is no PIN or a well-formed one.
func (p StoredPIN) valid() bool { return p.IsZero() || !p.pin().IsZero() }

const redactedPIN = "[redacted PIN]"

// String shows no PIN.
func (p StoredPIN) String() string { return redactedPIN }

// Format shows no PIN, whatever the verb.
func (p StoredPIN) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redactedPIN) }

// LogValue masks the PIN in structured logs.
func (p StoredPIN) LogValue() slog.Value { return slog.StringValue(redactedPIN) }

// MarshalText masks the PIN.
func (p StoredPIN) MarshalText() ([]byte, error) { return []byte(redactedPIN), nil }

// getChallenge draws the number that an enciphered PIN must repeat. It is good for the next command only [EMV B3 6.5.6].
func (c *Card) getChallenge(cmd apdu.Command) (apdu.Response, error) {
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return refuse(apdu.WrongParameters), nil
	}
	if len(cmd.Data) != 0 {
		return refuse(apdu.WrongLength), nil
	}
	d := &c.tx.dialogue
	if _, err := io.ReadFull(c.random, d.challenge[:]); err != nil {
		return refuse(noDiagnosis), nil
	}
	d.challenged = true
	return answer(append([]byte(nil), d.challenge[:]...))
}

// verify checks the offline PIN [EMV B3 6.5.12]. The try is durably used up before the comparison, so that pulling the card out at
// the right moment gains nothing.
func (c *Card) verify(cmd apdu.Command) (apdu.Response, error) {
	a, d := c.application(), &c.tx.dialogue
	challenged := d.challenged
	d.challenged = false
	if cmd.P1 != 0 || cmd.P2 != apdu.VerifyPlaintext && cmd.P2 != apdu.VerifyEnciphered {
		return refuse(apdu.WrongParameters), nil
	}
	enciphered := cmd.P2 == apdu.VerifyEnciphered
	length := len(StoredPIN{})
	if enciphered {
		length = a.crypto.PINLength()
	}
	s := &c.state.Applications[c.selected]
	switch {
	case s.PIN.IsZero():
		return refuse(apdu.DataNotFound), nil // no reference data [ISO 7816-4 5.1.3]
	case !d.aip.Has(emv.AIPCardholderVerification) || enciphered && length == 0 || s.Blocked:
		return refuse(apdu.ConditionsNotSatisfied), nil
	case len(cmd.Data) != length:
		return refuse(apdu.WrongLength), nil
	case d.triesBefore == 0:
		return refuse(apdu.PINBlockedBefore), nil
	case s.PINTries == 0:
		return refuse(apdu.PINBlocked), nil
	case enciphered && !challenged:
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	return c.tryPIN(a, cmd.Data, enciphered)
}

// tryPIN uses up a try, compares, and gives all tries back to who knows the PIN.
func (c *Card) tryPIN(a *application, data []byte, enciphered bool) (apdu.Response, error) {
	d, next := &c.tx.dialogue, c.state
	s := &next.Applications[c.selected]
	s.PINTries--
	if s.PINTries == 0 && a.defaultAction().Has(emv.ADAPINLimitBlock) {
		s.Blocked, s.BlockedByPIN = true, true // taken back below when the last try is right
	}
	if ok, err := c.commit(&next); !ok {
		return refuse(apdu.MemoryFailure), err
	}
	var block [8]byte
	known := true
	if enciphered {
		clear, ok := a.crypto.DecipherPIN(data, d.challenge)
		if known = ok; ok {
			block = clear.Reveal()
		}
	} else {
		block = [8]byte(data)
	}
	d.cvr.Set(emv.CVROfflinePINPerformed)
	if !known || !s.PIN.matches(block) {
		d.cvr.Set(emv.CVROfflinePINFailed)
		return refuse(apdu.WrongPIN(int(s.PINTries))), nil
	}
	s.PINTries, s.Blocked, s.BlockedByPIN = max(s.PINTries+1, a.contact.PINTryLimit), false, false
	if ok, err := c.commit(&next); !ok {
		return refuse(apdu.MemoryFailure), err
	}
	d.cvr.Clear(emv.CVROfflinePINFailed)
	return answer(nil)
}
