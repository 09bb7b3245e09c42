// Package pan holds the primary account number, its expiry date and track 2: [ISO 7812], [ISO 7813], and the way a
// chip carries them in tags 5A and 57 [EMV B3 Annex A].
//
// Promise: a value that exists has the right form, and no verb of fmt, no log line and no JSON shows a full number.
// This holds also when the value sits in an unexported field of another struct, where fmt cannot see its methods,
// because a value does not hold the digits as such (see covered). The digits leave only through Reveal, RevealTo and
// the methods that write them for the wire (BCD, Packed, AppendASCII, Discretionary).
//
// Not promised: that a number was ever issued, that its check digit is right (see LuhnValid), or that memory is wiped.
package pan

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Lengths of an account number in digits. ISO 7812 allows ten to nineteen; the payment messages of this project
// start at twelve, and below that the masked form would hide too little.
const (
	MinDigits = 12
	MaxDigits = 19
)

// ErrInvalid is wrapped by every refusal of this package. The text never holds a digit of the input.
var ErrInvalid = errors.New("malformed card data")

// Number is a primary account number. Numbers compare with ==. The zero value is no number: it prints as "" and
// reveals "".
type Number struct {
	digits covered
}

// Parse reads 12 to 19 decimal digits without spaces. The check digit is not looked at: published test cards and
// tokens in test ranges lack a right one.
func Parse(digits string) (Number, error) {
	if len(digits) < MinDigits || len(digits) > MaxDigits {
		return Number{}, fmt.Errorf("parse account number of %d characters, want %d to %d: %w",
			len(digits), MinDigits, MaxDigits, ErrInvalid)
	}
	if !allDigits(digits) {
		return Number{}, fmt.Errorf("parse account number: a character is not a digit: %w", ErrInvalid)
	}
	return Number{digits: cover(digits)}, nil
}

// CompleteLuhn appends the check digit to 11 to 18 digits. [ISO 7812]
func CompleteLuhn(prefix string) (Number, error) {
	if !allDigits(prefix) {
		return Number{}, fmt.Errorf("complete account number: a character is not a digit: %w", ErrInvalid)
	}
	for check := byte('0'); check <= '9'; check++ {
		if candidate := prefix + string(check); luhnValid(candidate) {
			return Parse(candidate)
		}
	}
	panic("pan: no check digit among ten")
}

// Reveal returns all digits. It is the one way to print them; a caller of it answers for where they go.
func (n Number) Reveal() string { return n.digits.digits() }

// RevealTo appends what Reveal returns.
func (n Number) RevealTo(dst []byte) []byte { return n.digits.appendTo(dst) }

// IsZero reports whether n is the zero value.
func (n Number) IsZero() bool { return n == Number{} }

// Equal reports whether both are the same number.
func (n Number) Equal(other Number) bool { return n == other }

// Len returns the number of digits, 0 for the zero value.
func (n Number) Len() int { return len(n.Reveal()) }

// Masked returns the first six and the last four digits with stars between: "629999******0017".
func (n Number) Masked() string {
	if n.IsZero() {
		return ""
	}
	return mask(n.Reveal())
}

// Last4 returns the last four digits, "" for the zero value.
func (n Number) Last4() string {
	if n.IsZero() {
		return ""
	}
	digits := n.Reveal()
	return digits[len(digits)-lastShown:]
}

// HasPrefix reports whether the number starts with the digits of bin.
func (n Number) HasPrefix(bin string) bool { return strings.HasPrefix(n.Reveal(), bin) }

// LuhnValid reports whether the last digit is the check digit of those before it. [ISO 7812]
func (n Number) LuhnValid() bool { return !n.IsZero() && luhnValid(n.Reveal()) }

// String returns what Masked returns.
func (n Number) String() string { return n.Masked() }

// Format prints the masked number under every verb.
func (n Number) Format(f fmt.State, verb rune) { writeMasked(f, verb, n.Masked()) }

// LogValue logs the masked number.
func (n Number) LogValue() slog.Value { return slog.StringValue(n.Masked()) }

// MarshalText writes the masked number. There is no way back: a number enters through Parse.
func (n Number) MarshalText() ([]byte, error) { return []byte(n.Masked()), nil }

// MarshalJSON writes the masked number as a string.
func (n Number) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, n.Masked()), nil }

// FromBCD reads the value of tag 5A: packed digits, then F to the end of the value. At most ten bytes.
// More than one F is a leniency: cards pad the field to its full ten bytes as well as to the next byte.
func FromBCD(b []byte) (Number, error) {
	const maxBytes = (MaxDigits + 1) / 2
	if len(b) > maxBytes {
		return Number{}, fmt.Errorf("unpack account number of %d bytes, want at most %d: %w", len(b), maxBytes, ErrInvalid)
	}
	var buf [2 * maxBytes]byte
	nibbles := unpack(buf[:0], b)
	end := len(nibbles)
	for end > 0 && nibbles[end-1] == padNibble {
		end--
	}
	n, err := Parse(string(nibbles[:end]))
	if err != nil {
		return Number{}, fmt.Errorf("unpack account number: %w", err)
	}
	return n, nil
}

// BCD returns the digits packed two to a byte, with a trailing F when their number is odd.
func (n Number) BCD() []byte { return pack(nil, n.Reveal()) }

// luhnValid doubles every second digit from the right, starting left of the check digit.
func luhnValid(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			d *= 2
			if d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Nibbles other than digits, as unpack writes them.
const (
	separatorNibble = 'D' // between number and expiry in tag 57
	padNibble       = 'F'
)

const nibbleAlphabet = "0123456789ABCDEF"

// unpack appends the nibbles of b as upper-case hexadecimal characters.
func unpack(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, nibbleAlphabet[c>>4], nibbleAlphabet[c&0x0F])
	}
	return dst
}

// pack appends the characters of s, digits and the separator, two to a byte, with a final F when they are odd.
func pack(dst []byte, s string) []byte {
	for i := 0; i < len(s); i += 2 {
		low := byte(0x0F)
		if i+1 < len(s) {
			low = nibble(s[i+1])
		}
		dst = append(dst, nibble(s[i])<<4|low)
	}
	return dst
}

func nibble(c byte) byte {
	if c == separatorNibble {
		return 0x0D
	}
	return c - '0'
}
