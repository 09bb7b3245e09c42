package unionpay

import (
	"fmt"
	"log/slog"
	"strconv"
)

// Opaque holds the bytes of a field this package does not look into. They may contain anything, account numbers
// included, so it prints only its length; Reveal gives the bytes.
type Opaque string

// Reveal gives the bytes.
func (o Opaque) Reveal() string { return string(o) }

// String gives the length.
func (o Opaque) String() string { return "[" + strconv.Itoa(len(o)) + " bytes]" }

// Format prints the length whatever the verb.
func (o Opaque) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(o.String())) }

// LogValue logs the length.
func (o Opaque) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalText gives the length, so that JSON shows no content.
func (o Opaque) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Track3 is the third track of a magnetic stripe, kept whole for the issuer and never shown.
type Track3 struct{ digits string }

// ParseTrack3 takes up to 104 digits and '=' separators.
func ParseTrack3(s string) (Track3, error) {
	if len(s) == 0 || len(s) > maxTrack3 {
		return Track3{}, fmt.Errorf("track 3: %w", ErrContent)
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '=' {
			return Track3{}, fmt.Errorf("track 3: %w", ErrContent)
		}
	}
	return Track3{s}, nil
}

// IsZero says that there is no track.
func (t Track3) IsZero() bool { return t.digits == "" }

// Reveal gives the digits.
func (t Track3) Reveal() string { return t.digits }

// String tells only whether there is a track.
func (t Track3) String() string {
	if t.IsZero() {
		return ""
	}
	return "[redacted]"
}

// Format prints String whatever the verb.
func (t Track3) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue logs String.
func (t Track3) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText gives String.
func (t Track3) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
