// Package pinblock builds and reads PIN blocks: [ISO 9564-1], formats 0, 2 and 4, and the blocks of this network: without account
// number, and for SM4 [REF 6.1].
//
// Promise: PINs and blocks print as [redacted] everywhere, in clear or enciphered, and a reader that refuses a block
// does not say why, so that its answer cannot be used to learn the PIN. There is no cipher here but the one that is passed to
// format 4, which cannot do without: enciphering, and who may see a clear block, is the business of the security module. Memory is
// not wiped.
package pinblock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"tapnet/pan"
)

// Size is the length of a block in bytes.
const Size = 8

const (
	redacted = "[redacted]"

	controlFormat0 = 0x0
	controlFormat2 = 0x2
	controlShift   = nibbleBits * (blockNibbles - 1)

	// panDigits is how many digits before the check digit format 0 folds into the block. [ISO 9564-1 9.3.2]
	panDigits = 12
)

// ErrFormat is wrapped by every refusal of this package.
var ErrFormat = errors.New("malformed PIN or PIN block")

// Block is a PIN block, in clear or enciphered. It prints as [redacted]; the bytes leave through Reveal only. Blocks do
// not compare with ==, see Equal. The zero value is no block.
type Block struct {
	_    [0]func() // no ==: it would compare pointers, and in variable time if it did not
	word *uint64   // the eight bytes, big-endian; a pointer for the reason PIN has one
}

func fromWord(word uint64) Block { return Block{word: &word} }

// FromBytes takes exactly eight bytes, in clear or enciphered.
func FromBytes(b []byte) (Block, error) {
	if len(b) != Size {
		return Block{}, fmt.Errorf("read PIN block of %d bytes, want %d: %w", len(b), Size, ErrFormat)
	}
	return fromWord(binary.BigEndian.Uint64(b)), nil
}

// Format0 returns the clear block of format 0: 0, length, PIN, filler F, folded with the twelve digits of the account
// number before its check digit. Both arguments must exist. [ISO 9564-1 9.3.2]
func Format0(p PIN, n pan.Number) Block {
	return fromWord(p.mustWord() ^ foldedPAN(n))
}

// FormatWithoutPAN returns the clear block 0, length, PIN, filler F, not folded with anything: PIN format 1 of field 53,
// and the block inside a PIN CHANGE script. Equal PINs give equal blocks. [REF 6.1] [REF 3.4]
func FormatWithoutPAN(p PIN) Block { return fromWord(p.mustWord()) }

// Format2 returns the clear block of format 2, which VERIFY carries to the card. [ISO 9564-1] [EMV B3 6.5.12]
func Format2(p PIN) Block { return fromWord(p.mustWord() | controlFormat2<<controlShift) }

// ParseFormat0 reads a clear block of format 0. The error wraps ErrFormat; the wrong account number gives it as well,
// most of the time.
func ParseFormat0(b Block, n pan.Number) (PIN, error) {
	if b.IsZero() || n.IsZero() {
		return PIN{}, fmt.Errorf("read PIN block format 0: %w", ErrFormat)
	}
	return parse(*b.word^foldedPAN(n), controlFormat0)
}

// ParseWithoutPAN reads a clear block that FormatWithoutPAN made.
func ParseWithoutPAN(b Block) (PIN, error) {
	if b.IsZero() {
		return PIN{}, fmt.Errorf("read PIN block without account number: %w", ErrFormat)
	}
	return parse(*b.word, controlFormat0)
}

// ParseFormat2 reads a clear block of format 2.
func ParseFormat2(b Block) (PIN, error) {
	if b.IsZero() {
		return PIN{}, fmt.Errorf("read PIN block format 2: %w", ErrFormat)
	}
	return parse(*b.word, controlFormat2)
}

// parse checks control, length, digits and filler, and answers one error for all of them.
func parse(word uint64, control byte) (PIN, error) { return parseFilled(word, control, filler) }

func parseFilled(word uint64, control, fill byte) (PIN, error) {
	length := int(nibbleAt(word, lengthNibble))
	bad := nibbleAt(word, 0) != control || length < MinDigits || length > MaxDigits
	for i := range blockNibbles - firstPINDigit {
		nibble := nibbleAt(word, firstPINDigit+i)
		isDigit, isFiller := nibble <= 9, nibble == fill
		bad = bad || i < length && !isDigit || i >= length && !isFiller
	}
	if bad {
		return PIN{}, fmt.Errorf("read PIN block format %d: %w", control, ErrFormat)
	}
	word &^= nibbleMask << controlShift
	for i := firstPINDigit + length; fill != filler && i < blockNibbles; i++ { // a PIN has one filler inside, whatever the block had
		word |= nibbleMask << (nibbleBits * (blockNibbles - 1 - i))
	}
	return PIN{word: &word}, nil
}

// foldedPAN returns four zero nibbles and the twelve digits before the check digit. A number has at least twelve
// digits, so at least eleven stand before the check digit; a missing one counts as 0 on the left. [ISO 9564-1 9.3.2]
func foldedPAN(n pan.Number) uint64 {
	digits := n.Reveal()
	if digits == "" {
		panic("pinblock: format 0 without an account number")
	}
	digits = digits[:len(digits)-1]
	if len(digits) > panDigits {
		digits = digits[len(digits)-panDigits:]
	}
	word := uint64(0)
	for i := range len(digits) {
		word = word<<nibbleBits | uint64(digits[i]-'0')
	}
	return word
}

func (p PIN) mustWord() uint64 {
	if p.IsZero() {
		panic("pinblock: format a PIN that does not exist")
	}
	return *p.word
}

// Reveal returns the bytes, zeros for the zero value. A caller of it answers for where they go.
func (b Block) Reveal() [8]byte {
	var out [Size]byte
	if !b.IsZero() {
		binary.BigEndian.PutUint64(out[:], *b.word)
	}
	return out
}

// IsZero reports whether b is the zero value; a block of eight 00 bytes is not.
func (b Block) IsZero() bool { return b.word == nil }

// Equal compares in constant time. Two zero values are equal.
func (b Block) Equal(other Block) bool { return equalWords(b.word, other.word) }

// String returns "[redacted]".
func (b Block) String() string { return redacted }

// Format prints [redacted] under every verb.
func (b Block) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue logs [redacted].
func (b Block) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes [redacted]. There is no way back: a block enters through FromBytes.
func (b Block) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON writes "[redacted]".
func (b Block) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
