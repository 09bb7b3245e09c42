package pan

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

const (
	// MaxTrack2Chars is the length of track 2 without sentinels and check character. [ISO 7813]
	MaxTrack2Chars = 37
	// MaxTrack2Bytes is the longest value of tag 57.
	MaxTrack2Bytes = (MaxTrack2Chars + 1) / 2

	serviceChars = 3
)

// Track2 is the track 2 equivalent data: number, expiry, service code, discretionary data. Values compare
// with ==. The zero value is no track.
type Track2 struct {
	number Number
	expiry Expiry
	// service code and discretionary data together; covered, because the data hold the card verification value.
	rest covered
}

// ParseTrack2 reads the value of tag 57: packed digits, nibble D as separator, one F at the end when the number
// of characters is odd. At most 19 bytes.
func ParseTrack2(b []byte) (Track2, error) {
	if len(b) > MaxTrack2Bytes {
		return Track2{}, fmt.Errorf("unpack track 2 of %d bytes, want at most %d: %w", len(b), MaxTrack2Bytes, ErrInvalid)
	}
	var buf [2 * MaxTrack2Bytes]byte
	nibbles := unpack(buf[:0], b)
	// One F at most: a second one would be a byte without meaning, and the same track in two encodings.
	if last := len(nibbles) - 1; last >= 0 && nibbles[last] == padNibble {
		nibbles = nibbles[:last]
	}
	t, err := ParseTrack2String(string(nibbles))
	if err != nil {
		return Track2{}, fmt.Errorf("unpack track 2: %w", err)
	}
	return t, nil
}

// ParseTrack2String reads the characters of track 2 with '=' or 'D' as separator and without sentinels:
// number, separator, YYMM, three digits of service code, discretionary digits.
func ParseTrack2String(s string) (Track2, error) {
	if len(s) > MaxTrack2Chars {
		return Track2{}, fmt.Errorf("parse track 2 of %d characters, want at most %d: %w", len(s), MaxTrack2Chars, ErrInvalid)
	}
	at := strings.IndexAny(s, "=D")
	if at < 0 {
		return Track2{}, fmt.Errorf("parse track 2: no separator: %w", ErrInvalid)
	}
	number, err := Parse(s[:at])
	if err != nil {
		return Track2{}, fmt.Errorf("parse track 2: %w", err)
	}
	rest := s[at+1:]
	if len(rest) < expiryChars+serviceChars {
		return Track2{}, fmt.Errorf("parse track 2: %d characters after the separator, want at least %d: %w",
			len(rest), expiryChars+serviceChars, ErrInvalid)
	}
	expiry, err := ParseExpiry(rest[:expiryChars])
	if err != nil {
		return Track2{}, fmt.Errorf("parse track 2: %w", err)
	}
	rest = rest[expiryChars:]
	return NewTrack2(number, expiry, rest[:serviceChars], rest[serviceChars:])
}

// NewTrack2 puts a track together: service is three digits, discretionary may be empty.
func NewTrack2(n Number, e Expiry, service string, discretionary string) (Track2, error) {
	if n.IsZero() || e.IsZero() {
		return Track2{}, fmt.Errorf("make track 2: number or expiry is missing: %w", ErrInvalid)
	}
	if len(service) != serviceChars || !allDigits(service) {
		return Track2{}, fmt.Errorf("make track 2: service code is not three digits: %w", ErrInvalid)
	}
	if !allDigits(discretionary) {
		return Track2{}, fmt.Errorf("make track 2: discretionary data are not digits: %w", ErrInvalid)
	}
	if length := n.Len() + 1 + expiryChars + serviceChars + len(discretionary); length > MaxTrack2Chars {
		return Track2{}, fmt.Errorf("make track 2 of %d characters, want at most %d: %w", length, MaxTrack2Chars, ErrInvalid)
	}
	var rest [MaxTrack2Chars]byte
	return Track2{number: n, expiry: e, rest: cover(string(append(append(rest[:0], service...), discretionary...)))}, nil
}

// IsZero reports whether t is the zero value.
func (t Track2) IsZero() bool { return t == Track2{} }

// Equal reports whether both are the same track.
func (t Track2) Equal(other Track2) bool { return t == other }

// PAN returns the account number.
func (t Track2) PAN() Number { return t.number }

// Expiry returns the expiry month.
func (t Track2) Expiry() Expiry { return t.expiry }

// ServiceCode returns three digits, "" for the zero value.
func (t Track2) ServiceCode() string {
	if t.IsZero() {
		return ""
	}
	return t.rest.digits()[:serviceChars]
}

// Discretionary returns the issuer's digits. They hold verification values: treat them as Reveal's.
func (t Track2) Discretionary() string {
	if t.IsZero() {
		return ""
	}
	return t.rest.digits()[serviceChars:]
}

// Reveal returns all characters with 'D' as separator. ParseTrack2String reads them back.
func (t Track2) Reveal() string { return t.join(separatorNibble) }

// RevealASCII returns all characters with '=' as separator, as a text field carries them.
func (t Track2) RevealASCII() string { return t.join('=') }

// AppendASCII appends what RevealASCII returns.
func (t Track2) AppendASCII(dst []byte) []byte { return t.appendWith(dst, '=') }

func (t Track2) join(separator byte) string {
	return string(t.appendWith(make([]byte, 0, MaxTrack2Chars), separator))
}

func (t Track2) appendWith(dst []byte, separator byte) []byte {
	if t.IsZero() {
		return dst
	}
	dst = append(t.number.RevealTo(dst), separator)
	return t.rest.appendTo(t.expiry.AppendYYMM(dst))
}

// Packed returns the value of tag 57.
func (t Track2) Packed() []byte { return pack(nil, t.Reveal()) }

// Masked returns the masked number and nothing else of the track: "629999******0017D****".
func (t Track2) Masked() string {
	if t.IsZero() {
		return ""
	}
	return t.number.Masked() + string(separatorNibble) + "****"
}

// String returns what Masked returns.
func (t Track2) String() string { return t.Masked() }

// Format prints the masked track under every verb.
func (t Track2) Format(f fmt.State, verb rune) { writeMasked(f, verb, t.Masked()) }

// LogValue logs the masked track.
func (t Track2) LogValue() slog.Value { return slog.StringValue(t.Masked()) }

// MarshalText writes the masked track. There is no way back: a track enters through ParseTrack2.
func (t Track2) MarshalText() ([]byte, error) { return []byte(t.Masked()), nil }

// MarshalJSON writes the masked track as a string.
func (t Track2) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, t.Masked()), nil }
