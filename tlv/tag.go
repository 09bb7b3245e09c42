package tlv

import (
	"encoding/hex"
	"fmt"
)

// Tag is a tag of one to four bytes as written: 0x9F26 is the two bytes 9F 26. Zero is no tag.
//
// A Tag read by this package is valid. A Tag written as a constant is as valid as its author made it: see Valid.
type Tag uint32

// maxTagBytes bounds a tag. The books use at most three bytes (DF8xxx in kernel data); four fit a Tag.
const maxTagBytes = 4

const (
	constructedBit   = 0x20 // first byte, bit 6: the value is itself TLV [EMV B3 Annex B]
	multiByteTag     = 0x1F // first byte, bits 5 to 1 all set: tag number follows
	continuationBit  = 0x80 // following byte, bit 8: another byte follows
	tagNumberBits    = 0x7F
	paddingByte      = 0x00
	hexCharsPerByte  = 2
	bitsPerByte      = 8
	tagTextCharsMax  = maxTagBytes * hexCharsPerByte
	upperHexAlphabet = "0123456789ABCDEF"
)

// ParseTag reads the tag at the start of b and returns it with its length in bytes.
// The error is ErrTruncated or ErrTag.
func ParseTag(b []byte) (Tag, int, error) {
	if len(b) == 0 {
		return 0, 0, ErrTruncated
	}
	if b[0] == paddingByte {
		return 0, 0, ErrTag
	}
	tag := Tag(b[0])
	if b[0]&multiByteTag != multiByteTag {
		return tag, 1, nil
	}
	for n := 1; n < maxTagBytes; n++ {
		if n >= len(b) {
			return 0, 0, ErrTruncated
		}
		// A tag number that starts with seven zero bits and goes on has a shorter spelling: refused, so
		// that one tag has one encoding. 9F01 to 9F1E are numbers the short form could hold too, but
		// EMV allots them in this form [EMV B3 Annex B], so those stand.
		if n == 1 && b[n] == continuationBit {
			return 0, 0, ErrTag
		}
		tag = tag<<bitsPerByte | Tag(b[n])
		if b[n]&continuationBit == 0 {
			return tag, n + 1, nil
		}
	}
	return 0, 0, ErrTag
}

// ParseTagText reads a tag written in hexadecimal, as String prints it: "9F26". Either case is read.
func ParseTagText(s string) (Tag, error) {
	if len(s) > tagTextCharsMax {
		return 0, fmt.Errorf("parse tag text of %d characters: %w", len(s), ErrTag)
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return 0, fmt.Errorf("parse tag text %q: %w", s, ErrTag)
	}
	tag, n, err := ParseTag(b)
	if err != nil {
		return 0, fmt.Errorf("parse tag text %q: %w", s, err)
	}
	if n != len(b) {
		return 0, fmt.Errorf("parse tag text %q: %w", s, ErrTag)
	}
	return tag, nil
}

// Valid reports whether t is one complete tag, that is, whether ParseTag would read it back.
func (t Tag) Valid() bool {
	var buf [maxTagBytes]byte
	b := t.Append(buf[:0])
	_, n, err := ParseTag(b)
	return err == nil && n == len(b)
}

// Len returns the number of bytes of the tag, 1 to 4.
func (t Tag) Len() int {
	switch {
	case t > 0xFFFFFF:
		return 4
	case t > 0xFFFF:
		return 3
	case t > 0xFF:
		return 2
	}
	return 1
}

// Constructed reports whether the value of the tag is itself a series of TLV elements.
func (t Tag) Constructed() bool {
	first := byte(t >> (bitsPerByte * (t.Len() - 1)))
	return first&constructedBit != 0
}

// Append appends the bytes of the tag to dst.
func (t Tag) Append(dst []byte) []byte {
	for n := t.Len() - 1; n >= 0; n-- {
		dst = append(dst, byte(t>>(bitsPerByte*n)))
	}
	return dst
}

// appendText appends the tag in upper-case hexadecimal.
func (t Tag) appendText(dst []byte) []byte {
	for n := t.Len()*hexCharsPerByte - 1; n >= 0; n-- {
		dst = append(dst, upperHexAlphabet[t>>(4*n)&0xF])
	}
	return dst
}

// String returns the tag in upper-case hexadecimal: "9F26".
func (t Tag) String() string {
	var buf [tagTextCharsMax]byte
	return string(t.appendText(buf[:0]))
}

// MarshalText returns what String returns.
func (t Tag) MarshalText() ([]byte, error) { return t.appendText(nil), nil }

// UnmarshalText reads what ParseTagText reads.
func (t *Tag) UnmarshalText(text []byte) error {
	tag, err := ParseTagText(string(text))
	if err != nil {
		return err
	}
	*t = tag
	return nil
}
