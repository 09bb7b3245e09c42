package pan

import (
	"fmt"
	"time"
)

// Expiry is the month a card expires at the end of. Expiries compare with ==. The zero value is no expiry.
type Expiry struct {
	year2 uint8 // two-digit year
	month uint8 // 1 to 12
}

const (
	expiryChars    = 4
	firstYear1900s = 50 // 50 to 99 are 1950 to 1999, 00 to 49 are 2000 to 2049 [EMV B4]
	monthsPerYear  = 12
	tensPlace      = 10
	centuryOf1900s = 1900
	centuryOf2000s = 2000
)

// ParseExpiry reads four digits, year before month, as on track 2 and in field 14: "3012" is December 2030.
func ParseExpiry(yymm string) (Expiry, error) {
	if len(yymm) != expiryChars || !allDigits(yymm) {
		return Expiry{}, fmt.Errorf("parse expiry: want four digits: %w", ErrInvalid)
	}
	e := Expiry{year2: twoDigits(yymm[:2]), month: twoDigits(yymm[2:])}
	if e.month < 1 || e.month > monthsPerYear {
		return Expiry{}, fmt.Errorf("parse expiry: month %d: %w", e.month, ErrInvalid)
	}
	return e, nil
}

func twoDigits(s string) uint8 { return (s[0]-'0')*tensPlace + s[1] - '0' }

// IsZero reports whether e is the zero value.
func (e Expiry) IsZero() bool { return e == Expiry{} }

// Equal reports whether both are the same month.
func (e Expiry) Equal(other Expiry) bool { return e == other }

// YYMM returns the four digits ParseExpiry reads, "" for the zero value.
func (e Expiry) YYMM() string {
	if e.IsZero() {
		return ""
	}
	return string(e.AppendYYMM(make([]byte, 0, expiryChars)))
}

// AppendYYMM appends what YYMM returns.
func (e Expiry) AppendYYMM(dst []byte) []byte {
	if e.IsZero() {
		return dst
	}
	return append(dst, '0'+e.year2/tensPlace, '0'+e.year2%tensPlace, '0'+e.month/tensPlace, '0'+e.month%tensPlace)
}

// String returns what YYMM returns.
func (e Expiry) String() string { return e.YYMM() }

// MarshalText returns what YYMM returns.
func (e Expiry) MarshalText() ([]byte, error) { return []byte(e.YYMM()), nil }

// LastDay returns midnight UTC at the start of the last day the card is good for; the zero time for the zero value.
func (e Expiry) LastDay() time.Time {
	if e.IsZero() {
		return time.Time{}
	}
	year := centuryOf2000s + int(e.year2)
	if e.year2 >= firstYear1900s {
		year = centuryOf1900s + int(e.year2)
	}
	// Day 0 of the next month is the last day of this one.
	return time.Date(year, time.Month(e.month)+1, 0, 0, 0, 0, 0, time.UTC)
}

// Expired reports whether the calendar date of on, in the location on carries, lies after the last day.
// A card without an expiry has expired.
func (e Expiry) Expired(on time.Time) bool {
	year, month, day := on.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).After(e.LastDay())
}

// After is the opposite of Expired.
func (e Expiry) After(on time.Time) bool { return !e.Expired(on) }
