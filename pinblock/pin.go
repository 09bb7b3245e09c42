package pinblock

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"log/slog"
)

// Lengths of a PIN in digits. [ISO 9564-1 8.1]
const (
	MinDigits = 4
	MaxDigits = 12
)

const (
	nibbleBits = 4
	nibbleMask = 0xF
	filler     = 0xF // behind the last digit
	// A block is sixteen nibbles: control, length, then digits and filler.
	blockNibbles  = 16
	lengthNibble  = 1
	firstPINDigit = 2
)

// PIN is a personal identification number. It prints as [redacted]; the digits leave through Reveal only. PINs do not
// compare with ==, see Equal. The zero value is no PIN.
type PIN struct {
	_ [0]func() // no ==: it would compare pointers, and in variable time if it did not
	// The block without control nibble and account number, 0L PIN F. A pointer, so that fmt prints an address when it
	// meets a PIN in an unexported field, where it cannot see the methods.
	word *uint64
}

// ParsePIN reads 4 to 12 decimal digits. The error wraps ErrFormat and holds no digit.
func ParsePIN(digits string) (PIN, error) {
	if len(digits) < MinDigits || len(digits) > MaxDigits {
		return PIN{}, fmt.Errorf("parse PIN of %d characters, want %d to %d: %w", len(digits), MinDigits, MaxDigits, ErrFormat)
	}
	word := uint64(len(digits))
	for i := range blockNibbles - firstPINDigit {
		next := uint64(filler)
		if i < len(digits) {
			if digits[i] < '0' || digits[i] > '9' {
				return PIN{}, fmt.Errorf("parse PIN: a character is not a digit: %w", ErrFormat)
			}
			next = uint64(digits[i] - '0')
		}
		word = word<<nibbleBits | next
	}
	return PIN{word: &word}, nil
}

// Reveal returns the digits, "" for the zero value. A caller of it answers for where they go.
func (p PIN) Reveal() string {
	if p.IsZero() {
		return ""
	}
	digits := make([]byte, nibbleAt(*p.word, lengthNibble))
	for i := range digits {
		digits[i] = '0' + nibbleAt(*p.word, firstPINDigit+i)
	}
	return string(digits)
}

// nibbleAt returns nibble i of a block, counted from the left.
func nibbleAt(block uint64, i int) byte {
	return byte(block>>(nibbleBits*(blockNibbles-1-i))) & nibbleMask
}

// IsZero reports whether p is the zero value.
func (p PIN) IsZero() bool { return p.word == nil }

// Equal compares in constant time. Two zero values are equal.
func (p PIN) Equal(other PIN) bool { return equalWords(p.word, other.word) }

func equalWords(a, b *uint64) bool {
	if a == nil || b == nil {
		return a == b
	}
	var left, right [Size]byte
	binary.BigEndian.PutUint64(left[:], *a)
	binary.BigEndian.PutUint64(right[:], *b)
	return subtle.ConstantTimeCompare(left[:], right[:]) == 1
}

// String returns "[redacted]".
func (p PIN) String() string { return redacted }

// Format prints [redacted] under every verb.
func (p PIN) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue logs [redacted].
func (p PIN) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes [redacted]. There is no way back: a PIN enters through ParsePIN.
func (p PIN) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON writes "[redacted]".
func (p PIN) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
