package iso8583

import (
	"bytes"
	"testing"
)

// TestAllAllowed: looking at eight characters at a time finds what looking at each finds, whatever the character and wherever it stands.
func TestAllAllowed(t *testing.T) {
	for _, class := range []uint8{classDigit, classAlphaNumeric, classPrintable, classTrack} {
		for length := range 25 {
			for _, filler := range []byte{'0', '9'} {
				text := bytes.Repeat([]byte{filler}, length)
				if !allAllowed(text, class) {
					t.Fatalf("class %d: %q refused", class, text)
				}
				for at := range length {
					for c := range 256 {
						text[at] = byte(c)
						if got, want := allAllowed(text, class), allIn(text, &charClass, class); got != want {
							t.Fatalf("class %d: %q: %t, want %t", class, text, got, want)
						}
					}
					text[at] = filler
				}
			}
		}
	}
	// Two wrong neighbours must not make up for each other.
	for a := range 256 {
		for b := range 256 {
			text := []byte("12345678")
			text[3], text[4] = byte(a), byte(b)
			for _, class := range []uint8{classDigit, classPrintable} {
				if got, want := allAllowed(text, class), allIn(text, &charClass, class); got != want {
					t.Fatalf("class %d: %q: %t, want %t", class, text, got, want)
				}
			}
		}
	}
}
