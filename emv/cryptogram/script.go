package cryptogram

import (
	"errors"
	"fmt"
	"io"

	"tapnet/pinblock"
)

// ScriptProfile is what suites differ in when they secure script commands. The zero value is that of 3DES.
type ScriptProfile struct {
	// Chained enciphers data in cipher block chaining from zeros instead of block by block [EMV B2 A1.1].
	Chained bool
	// AlwaysPadded puts the mark 80 behind data that end with a block, too. Published PBOC practice pads only what does not.
	AlwaysPadded bool
	// KeysFromCryptogram derives the session keys of scripts from the cryptogram of the transaction instead of the counter
	// [EMV B2 A1.3.1]. UnionPay has one rule for all session keys [REF 4.1]. Only Script and what it gives follow it.
	KeysFromCryptogram bool
}

// MaxScriptData is the most data a script command carries in the clear: with length byte and padding they stay below the
// 251 bytes that a short command has room for beside the MAC.
const MaxScriptData = 0xEF

// ErrScriptData says that deciphered data are no script data. It never holds them.
var ErrScriptData = errors.New("not enciphered script data")

// Script is secure messaging of one transaction: everything that issuer and card have to agree on, as one value. It masks itself.
type Script struct {
	suite    Suite
	keys     CardKeys // of the card
	mac, enc Key      // of the transaction
	atc      uint16
	arqc     [8]byte
}

// Script returns the secure messaging of a transaction: keys are the card's, arqc its cryptogram. A side that lacks the ENC key may
// leave it zero and must not encipher.
func (s Suite) Script(keys CardKeys, atc uint16, arqc [8]byte) Script {
	c := Script{suite: s, keys: keys, atc: atc, arqc: arqc}
	c.mac, c.enc = s.scriptKey(keys.MAC, atc, arqc), s.scriptKey(keys.ENC, atc, arqc)
	return c
}

func (s Suite) scriptKey(card Key, atc uint16, arqc [8]byte) Key {
	if !s.script.KeysFromCryptogram || card.IsZero() {
		return s.SessionKey(card, atc)
	}
	var block [16]byte
	copy(block[:], arqc[:])
	if s.primitives.blockBytes == len(arqc) { // two blocks, told apart by their third byte
		copy(block[8:], arqc[:])
		block[2], block[10] = 0xF0, 0x0F
	}
	return Key{s.primitives.encipher(card.b, block)}
}

// MAC returns the MAC of a command, as Suite.ScriptMAC does.
func (c Script) MAC(header [5]byte, data []byte) [4]byte {
	return c.suite.ScriptMAC(c.mac, header, c.atc, c.arqc, data)
}

// Encipher returns the data field of a command enciphered: length byte, data, and the mark 80 with zeros up to a block when they do
// not end with one. It panics on more than MaxScriptData bytes: they fit in no command.
func (c Script) Encipher(data []byte) []byte { return c.suite.EncipherScript(c.enc, data) }

// Decipher is the inverse of Encipher. The error is ErrScriptData.
func (c Script) Decipher(data []byte) ([]byte, error) { return c.suite.DecipherScript(c.enc, data) }

// EncipherPINChange is Suite.EncipherPINChange under the keys of this transaction.
func (c Script) EncipherPINChange(v PINVariant, next, current pinblock.PIN) [16]byte {
	return c.suite.encipherPINChange(c.enc, v.key(c.keys), next, current)
}

// DecipherPINChange is the card's side of EncipherPINChange.
func (c Script) DecipherPINChange(v PINVariant, data [16]byte, current pinblock.PIN) (pinblock.PIN, error) {
	return c.suite.decipherPINChange(c.enc, v.key(c.keys), data, current)
}

// String shows no key.
func (Script) String() string { return redacted }

// Format shows no key, whatever the verb.
func (Script) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText shows no key.
func (Script) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// EncipherScript enciphers the data field of a script command with the ENC session key [EMV B2 9.3] [REF 3.4].
func (s Suite) EncipherScript(encSession Key, data []byte) []byte {
	if len(data) > MaxScriptData {
		panic(fmt.Sprintf("cryptogram: script data of %d bytes", len(data)))
	}
	size := s.primitives.blockBytes
	out := make([]byte, 0, 1+len(data)+size)
	out = append(out, byte(len(data)))
	out = append(out, data...)
	if len(out)%size != 0 || s.script.AlwaysPadded {
		out = AppendPadding(out, size)
	}
	s.eachBlock(out, func(before, block []byte) {
		xorInto(block, before)
		s.oneBlock(s.primitives.encipher, encSession, block)
	}, false)
	return out
}

// DecipherScript is the card's side of EncipherScript. It answers ErrScriptData whatever is wrong with length or padding.
func (s Suite) DecipherScript(encSession Key, enciphered []byte) ([]byte, error) {
	size := s.primitives.blockBytes
	if len(enciphered) == 0 || len(enciphered)%size != 0 || len(enciphered) > MaxScriptData+1+size {
		return nil, ErrScriptData
	}
	out := append([]byte(nil), enciphered...)
	s.eachBlock(out, func(before, block []byte) {
		s.oneBlock(s.primitives.decipher, encSession, block)
		xorInto(block, before)
	}, true)
	length := int(out[0])
	if length > MaxScriptData || 1+length > len(out) {
		return nil, ErrScriptData
	}
	want := append([]byte(nil), out[:1+length]...)
	if len(want)%size != 0 || s.script.AlwaysPadded {
		want = AppendPadding(want, size)
	}
	if string(want) != string(out) {
		return nil, ErrScriptData
	}
	return out[1 : 1+length], nil
}

// eachBlock calls do for each block with the enciphered block before it, nil when blocks are not chained. Backwards when
// deciphering, so that what stands before is still enciphered.
func (s Suite) eachBlock(data []byte, do func(before, block []byte), backwards bool) {
	size := s.primitives.blockBytes
	for i := 0; i < len(data); i += size {
		at := i
		if backwards {
			at = len(data) - size - i
		}
		var before []byte
		if s.script.Chained && at > 0 {
			before = data[at-size : at]
		}
		do(before, data[at:at+size])
	}
}

// oneBlock changes a block of either size in place: the primitives take 16 bytes, and 3DES treats their halves alike.
func (s Suite) oneBlock(change func(key, block [16]byte) [16]byte, key Key, block []byte) {
	var in [16]byte
	copy(in[:], block)
	out := change(key.b, in)
	copy(block, out[:])
}

func xorInto(dst, src []byte) {
	for i, b := range src {
		dst[i] ^= b
	}
}
