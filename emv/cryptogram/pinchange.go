package cryptogram

import (
	"errors"
	"fmt"

	"tapnet/pinblock"
)

// PINVariant says which card key a PIN change block is mixed with. Sources differ, so it is a parameter of the card
// profile, the same on both sides [REF 3.4].
type PINVariant uint8

// Variants.
const (
	PINVariantENC PINVariant = iota // the ENC card key, as a published PBOC card does
	PINVariantAC                    // the AC card key, as is EMV practice
)

// String names the variant.
func (v PINVariant) String() string {
	switch v {
	case PINVariantENC:
		return "ENC"
	case PINVariantAC:
		return "AC"
	default:
		return fmt.Sprintf("PINVariant(%d)", uint8(v))
	}
}

func (v PINVariant) key(keys CardKeys) Key {
	if v == PINVariantAC {
		return keys.AC
	}
	return keys.ENC
}

// ErrPINChange says that deciphered data is no PIN change block. It never holds the data.
var ErrPINChange = errors.New("not a PIN change block")

const (
	pinBlockBytes = 8
	pinMark       = 0x80 // padding method 2
)

// EncipherPINChange returns the enciphered data of PIN CHANGE: the new PIN mixed with a card key, and with the current
// PIN when the command proves knowledge of it (P2 = 01). A zero current means P2 = 02. The MAC is ScriptMAC's.
func (s Suite) EncipherPINChange(keys CardKeys, atc uint16, v PINVariant, next, current pinblock.PIN) [16]byte {
	return s.encipherPINChange(s.SessionKey(keys.ENC, atc), v.key(keys), next, current)
}

func (s Suite) encipherPINChange(encSession, mix Key, next, current pinblock.PIN) [16]byte {
	block := pinblock.FormatWithoutPAN(next).Reveal()
	mixPIN(&block, mix, current)
	var clear [16]byte
	clear[0] = pinBlockBytes
	copy(clear[1:], block[:])
	clear[1+pinBlockBytes] = pinMark
	return s.primitives.encipher(encSession.b, clear)
}

// DecipherPINChange is the card's side of EncipherPINChange. The error wraps ErrPINChange or comes from pinblock.
func (s Suite) DecipherPINChange(keys CardKeys, atc uint16, v PINVariant, data [16]byte, current pinblock.PIN) (pinblock.PIN, error) {
	return s.decipherPINChange(s.SessionKey(keys.ENC, atc), v.key(keys), data, current)
}

func (s Suite) decipherPINChange(encSession, mix Key, data [16]byte, current pinblock.PIN) (pinblock.PIN, error) {
	clear := s.primitives.decipher(encSession.b, data)
	var tail [16 - 1 - pinBlockBytes]byte
	tail[0] = pinMark
	if clear[0] != pinBlockBytes || [len(tail)]byte(clear[1+pinBlockBytes:]) != tail {
		return pinblock.PIN{}, ErrPINChange
	}
	block := [pinBlockBytes]byte(clear[1:])
	mixPIN(&block, mix, current)
	parsed, err := pinblock.FromBytes(block[:])
	if err != nil {
		return pinblock.PIN{}, fmt.Errorf("decipher PIN change: %w", err)
	}
	next, err := pinblock.ParseWithoutPAN(parsed)
	if err != nil {
		return pinblock.PIN{}, fmt.Errorf("decipher PIN change: %w", err)
	}
	return next, nil
}

// mixPIN is its own inverse: it adds the last four bytes of the left half of the card key and, if there is one, the
// current PIN, left-justified and filled with zeros.
func mixPIN(block *[pinBlockBytes]byte, card Key, current pinblock.PIN) {
	for i := pinBlockBytes / 2; i < pinBlockBytes; i++ {
		block[i] ^= card.b[i]
	}
	for i, digit := range []byte(current.Reveal()) {
		block[i/2] ^= (digit - '0') << (4 * (1 - i%2))
	}
}
