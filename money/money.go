// Package money holds an amount in minor units with its currency: [ISO 4217], field 4 and its kin of
// [ISO 8583:1987], and the packed n 12 of EMV [EMV B3 Annex A].
//
// Promise: an amount never changes its currency or its value in silence. Sums are checked for overflow, currencies
// are never mixed, reading is strict. There is no rounding, no division and no exchange rate here.
package money

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What can be wrong with an amount, beside ErrCurrency.
var (
	ErrFormat = errors.New("malformed amount")
	ErrRange  = errors.New("amount out of range")
)

const (
	n12Digits = 12
	// MaxN12 is the largest amount a message field carries, in minor units.
	MaxN12 = 999_999_999_999

	bcdBytes = n12Digits / 2
	// maxTextChars bounds what Parse reads: the longest amount with sign, grouping and fraction is shorter.
	maxTextChars = 32
	groupDigits  = 3
)

// Amount is a number of minor units of one currency. It may be negative, as a balance or a difference may.
// Amounts compare with ==. The zero value is nothing of no currency.
type Amount struct {
	minor    int64
	currency Currency
}

// New returns minor units of c: New(29900, CNY) is CNY 299.00.
func New(minor int64, c Currency) Amount { return Amount{minor: minor, currency: c} }

// Parse reads a decimal amount: "299.00", "299", "1,000.01", "-5.00". A fraction has as many digits as the currency,
// or is absent; grouping commas stand at every third digit or nowhere; no leading zeros, spaces or plus sign.
func Parse(s string, c Currency) (Amount, error) {
	if len(s) > maxTextChars {
		return Amount{}, fmt.Errorf("parse amount of %d characters: %w", len(s), ErrFormat)
	}
	if c.IsZero() {
		return Amount{}, fmt.Errorf("parse amount: %w", ErrCurrency)
	}
	body, negative := strings.CutPrefix(s, "-")
	whole, fraction, dotted := strings.Cut(body, ".")
	whole, ok := ungroup(whole)
	if !ok || !isNumber(whole) || len(whole) > 1 && whole[0] == '0' {
		return Amount{}, fmt.Errorf("parse amount %q: %w", s, ErrFormat)
	}
	switch {
	case dotted && (len(fraction) != c.Exponent() || !isNumber(fraction)):
		return Amount{}, fmt.Errorf("parse amount %q: want %d digits after the point: %w", s, c.Exponent(), ErrFormat)
	case !dotted:
		fraction = strings.Repeat("0", c.Exponent())
	}
	text := whole + fraction
	if negative {
		text = "-" + text
	}
	minor, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return Amount{}, fmt.Errorf("parse amount %q: %w", s, ErrRange)
	}
	if negative && minor == 0 {
		return Amount{}, fmt.Errorf("parse amount %q: negative zero: %w", s, ErrFormat)
	}
	return New(minor, c), nil
}

// isNumber reports whether s is one or more ASCII digits.
func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// ungroup removes grouping commas that stand where they belong.
func ungroup(s string) (string, bool) {
	groups := strings.Split(s, ",")
	if len(groups) == 1 {
		return s, true
	}
	if len(groups[0]) == 0 || len(groups[0]) > groupDigits {
		return "", false
	}
	for _, g := range groups[1:] {
		if len(g) != groupDigits {
			return "", false
		}
	}
	return strings.Join(groups, ""), true
}

// Minor returns the number of minor units.
func (a Amount) Minor() int64 { return a.minor }

// Currency returns the currency.
func (a Amount) Currency() Currency { return a.currency }

// IsZero reports whether the amount is nothing, of whatever currency.
func (a Amount) IsZero() bool { return a.minor == 0 }

// Sign returns -1, 0 or 1.
func (a Amount) Sign() int { return cmp.Compare(a.minor, 0) }

// Equal reports whether both are the same amount of the same currency.
func (a Amount) Equal(other Amount) bool { return a == other }

// Cmp returns -1, 0 or 1 as a is less than, equal to or more than b. Two currencies have no order: to compare them
// is a bug and panics.
func (a Amount) Cmp(b Amount) int {
	if a.currency != b.currency {
		panic(fmt.Sprintf("money: compare %q with %q", a.currency.code, b.currency.code))
	}
	return cmp.Compare(a.minor, b.minor)
}

// Add returns a plus b. The error wraps ErrCurrency or ErrRange.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.currency != b.currency {
		return Amount{}, fmt.Errorf("add %s to %s: %w", b.currency.code, a.currency.code, ErrCurrency)
	}
	sum := a.minor + b.minor
	// Overflow shows as a sum that moved against the sign of what was added.
	if (sum < a.minor) != (b.minor < 0) {
		return Amount{}, fmt.Errorf("add amounts: %w", ErrRange)
	}
	return New(sum, a.currency), nil
}

// Sub returns a minus b. The error wraps ErrCurrency or ErrRange.
func (a Amount) Sub(b Amount) (Amount, error) {
	if a.currency != b.currency {
		return Amount{}, fmt.Errorf("subtract %s from %s: %w", b.currency.code, a.currency.code, ErrCurrency)
	}
	difference := a.minor - b.minor
	if (difference > a.minor) != (b.minor < 0) {
		return Amount{}, fmt.Errorf("subtract amounts: %w", ErrRange)
	}
	return New(difference, a.currency), nil
}

// inN12 checks that the amount fits an unsigned field of twelve digits.
func (a Amount) inN12() error {
	if a.minor < 0 || a.minor > MaxN12 {
		return fmt.Errorf("write amount in %d digits: %w", n12Digits, ErrRange)
	}
	return nil
}

// AppendN12 appends twelve digits of minor units. A negative or larger amount is an error that wraps ErrRange.
func (a Amount) AppendN12(dst []byte) ([]byte, error) {
	if err := a.inN12(); err != nil {
		return dst, err
	}
	var digits [n12Digits]byte
	rest := a.minor
	for i := n12Digits - 1; i >= 0; i-- {
		digits[i] = byte('0' + rest%10)
		rest /= 10
	}
	return append(dst, digits[:]...), nil
}

// N12 returns twelve digits of minor units, as field 4 carries them. [ISO 8583:1987 4.4]
func (a Amount) N12() (string, error) {
	b, err := a.AppendN12(make([]byte, 0, n12Digits))
	return string(b), err
}

// FromN12 reads exactly twelve digits of minor units.
func FromN12(digits string, c Currency) (Amount, error) {
	if len(digits) != n12Digits || !isNumber(digits) {
		return Amount{}, fmt.Errorf("read amount: want %d digits: %w", n12Digits, ErrFormat)
	}
	if c.IsZero() {
		return Amount{}, fmt.Errorf("read amount: %w", ErrCurrency)
	}
	minor := int64(0)
	for i := range len(digits) {
		minor = minor*10 + int64(digits[i]-'0')
	}
	return New(minor, c), nil
}

// BCD returns the six bytes of an EMV amount, tag 9F02 and its kin. The error wraps ErrRange.
func (a Amount) BCD() ([6]byte, error) {
	var out [bcdBytes]byte
	if err := a.inN12(); err != nil {
		return out, err
	}
	rest := a.minor
	for i := bcdBytes - 1; i >= 0; i-- {
		out[i] = byte(rest%10 | rest/10%10<<4)
		rest /= 100
	}
	return out, nil
}

// FromBCD reads exactly six bytes of packed digits.
func FromBCD(b []byte, c Currency) (Amount, error) {
	if len(b) != bcdBytes {
		return Amount{}, fmt.Errorf("unpack amount of %d bytes, want %d: %w", len(b), bcdBytes, ErrFormat)
	}
	if c.IsZero() {
		return Amount{}, fmt.Errorf("unpack amount: %w", ErrCurrency)
	}
	minor := int64(0)
	for i, packed := range b {
		high, low := packed>>4, packed&0x0F
		if high > 9 || low > 9 {
			return Amount{}, fmt.Errorf("unpack amount: byte %d is not two digits: %w", i, ErrFormat)
		}
		minor = minor*100 + int64(high)*10 + int64(low)
	}
	return New(minor, c), nil
}

// Decimal returns the amount without grouping and currency: "1000.01". Parse reads it back.
func (a Amount) Decimal() string {
	sign, whole, fraction := a.parts()
	return sign + whole + fraction
}

// String returns the amount for a person: "CNY 1,000.01".
func (a Amount) String() string {
	sign, whole, fraction := a.parts()
	for at := len(whole) - groupDigits; at > 0; at -= groupDigits {
		whole = whole[:at] + "," + whole[at:]
	}
	text := sign + whole + fraction
	if a.currency.IsZero() {
		return text
	}
	return a.currency.code + " " + text
}

// parts returns the sign, the digits before the point, and the point with the digits after it.
func (a Amount) parts() (sign, whole, fraction string) {
	magnitude := uint64(a.minor)
	if a.minor < 0 {
		sign, magnitude = "-", -magnitude
	}
	digits := strconv.FormatUint(magnitude, 10)
	exponent := a.currency.Exponent()
	if exponent == 0 {
		return sign, digits, ""
	}
	if short := exponent + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	point := len(digits) - exponent
	return sign, digits[:point], "." + digits[point:]
}

// MarshalText writes decimal and code: "1000.01 CNY". The zero value is the empty text; units of no currency are
// an error.
func (a Amount) MarshalText() ([]byte, error) {
	if a == (Amount{}) {
		return []byte{}, nil
	}
	if a.currency.IsZero() {
		return nil, fmt.Errorf("write amount as text: %w", ErrCurrency)
	}
	return []byte(a.Decimal() + " " + a.currency.code), nil
}

// MarshalJSON writes the text of MarshalText as a string.
func (a Amount) MarshalJSON() ([]byte, error) {
	text, err := a.MarshalText()
	if err != nil {
		return nil, err
	}
	return strconv.AppendQuote(nil, string(text)), nil
}

// UnmarshalText reads what MarshalText writes.
func (a *Amount) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Amount{}
		return nil
	}
	decimal, code, ok := strings.Cut(string(text), " ")
	if !ok {
		return fmt.Errorf("read amount: want a decimal and a currency: %w", ErrFormat)
	}
	c, err := ParseCurrency(code)
	if err != nil {
		return fmt.Errorf("read amount: %w", err)
	}
	parsed, err := Parse(decimal, c)
	if err != nil {
		return fmt.Errorf("read amount: %w", err)
	}
	*a = parsed
	return nil
}
