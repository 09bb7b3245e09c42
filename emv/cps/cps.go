// Package cps reads and writes what personalizes a payment application on a chip: data groupings, each named by a data grouping identifier (DGI), and the
// STORE DATA commands that carry them [EMV CPS] [JR/T 0025.10]. The same list can so fill an application of ours or be sent to a card that is not.
//
// Promise: lists are read strictly and within limits, and an accepted list re-encodes to itself; commands number their blocks, split what does not fit and
// mark the last; a Receiver takes such commands apart again and refuses every other order. A grouping masks its data, which hold keys, PINs and account
// numbers, in every print.
//
// Not here: the secure channel (keys, MACs, INITIALIZE UPDATE), the cipher of secret groupings, which is passed in, and what an application makes of the
// data. A list that is read is in clear: what is enciphered may be longer than its identifier allows.
package cps

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Refusals of this package. They never hold data.
var (
	// ErrFormat says that bytes are no list of data groupings.
	ErrFormat = errors.New("malformed data grouping")
	// ErrContent says that the data of a grouping are not what its identifier asks for.
	ErrContent = errors.New("wrong data for this data grouping")
	// ErrLimit says that a list is longer than a card can take.
	ErrLimit = errors.New("too much personalization data")
	// ErrSequence says that a command does not follow on the one before.
	ErrSequence = errors.New("STORE DATA out of sequence")
)

// Limits of a list.
const (
	// MaxDataBytes is the longest grouping, what a length field can say. [EMV CPS]
	MaxDataBytes = 0xFFFF
	// MaxListBytes bounds a whole list: the memory of a payment chip is below 128 KiB.
	MaxListBytes = 1 << 17
	// MaxGroupings bounds the number of groupings: every record of every file would be 7650, real cards have below a hundred.
	MaxGroupings = 1024

	identifierBytes = 2
	longLength      = 0xFF // then two bytes of length follow
)

// Grouping is an identifier with its data. It masks the data: they leave through Reveal. fmt cannot see methods of a value in an unexported field, so a
// struct that holds one there and may be printed masks itself.
type Grouping struct {
	id   DGI
	data []byte
}

// NewGrouping copies data. The error wraps ErrLimit or ErrContent.
func NewGrouping(id DGI, data []byte) (Grouping, error) {
	if len(data) > MaxDataBytes {
		return Grouping{}, fmt.Errorf("data grouping %v of %d bytes, at most %d: %w", id, len(data), MaxDataBytes, ErrLimit)
	}
	g := Grouping{id: id, data: append([]byte{}, data...)}
	if err := g.check(); err != nil {
		return Grouping{}, err
	}
	return g, nil
}

// ID is the identifier.
func (g Grouping) ID() DGI { return g.id }

// Len is the number of data bytes.
func (g Grouping) Len() int { return len(g.data) }

// Reveal returns a copy of the data.
func (g Grouping) Reveal() []byte { return append([]byte{}, g.data...) }

// size is the length on the wire.
func (g Grouping) size() int { return identifierBytes + lengthBytes(len(g.data)) + len(g.data) }

func lengthBytes(n int) int {
	if n < longLength {
		return 1
	}
	return 3
}

// appendTo appends identifier, length and data: one byte of length, or FF and two. [EMV CPS]
func (g Grouping) appendTo(dst []byte) []byte {
	dst = append(dst, byte(g.id>>8), byte(g.id))
	if n := len(g.data); n < longLength {
		dst = append(dst, byte(n))
	} else {
		dst = append(dst, longLength, byte(n>>8), byte(n))
	}
	return append(dst, g.data...)
}

// Format prints the identifier and the length under every verb.
func (g Grouping) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, g.String()) }

// String prints the identifier and the length: "8000 (48 bytes)".
func (g Grouping) String() string { return fmt.Sprintf("%v (%d bytes)", g.id, len(g.data)) }

// LogValue logs what String prints.
func (g Grouping) LogValue() slog.Value { return slog.StringValue(g.String()) }

// MarshalText writes what String prints. There is no way back.
func (g Grouping) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// List is the groupings of one application, in the order in which they are sent.
type List []Grouping

// Parse reads a list. Every grouping is checked for what its identifier asks. The error wraps ErrFormat, ErrContent or ErrLimit and names the offset.
func Parse(b []byte) (List, error) {
	if len(b) > MaxListBytes {
		return nil, fmt.Errorf("parse %d bytes of data groupings, at most %d: %w", len(b), MaxListBytes, ErrLimit)
	}
	var list List
	for at := 0; at < len(b); {
		if len(list) == MaxGroupings {
			return nil, fmt.Errorf("parse data groupings at offset %d: more than %d: %w", at, MaxGroupings, ErrLimit)
		}
		id, header, length, err := parseHeader(b[at:])
		if err == nil && len(b)-at-header < length {
			err = fmt.Errorf("%v announces %d bytes and has %d: %w", id, length, len(b)-at-header, ErrFormat)
		}
		if err != nil {
			return nil, fmt.Errorf("parse data groupings at offset %d: %w", at, err)
		}
		g, err := NewGrouping(id, b[at+header:at+header+length])
		if err != nil {
			return nil, fmt.Errorf("parse data groupings at offset %d: %w", at, err)
		}
		list = append(list, g)
		at += header + length
	}
	return list, nil
}

// parseHeader reads identifier and length. A long form for what fits the short one is refused.
func parseHeader(b []byte) (id DGI, header, length int, err error) {
	const short, long = identifierBytes + 1, identifierBytes + 3
	if len(b) < short {
		return 0, 0, 0, fmt.Errorf("identifier and length in %d bytes: %w", len(b), ErrFormat)
	}
	id = DGI(b[0])<<8 | DGI(b[1])
	if b[2] != longLength {
		return id, short, int(b[2]), nil
	}
	if len(b) < long {
		return 0, 0, 0, fmt.Errorf("%v: long length in %d bytes: %w", id, len(b), ErrFormat)
	}
	length = int(b[3])<<8 | int(b[4])
	if length < longLength {
		return 0, 0, 0, fmt.Errorf("%v: %d bytes in the long form of the length: %w", id, length, ErrFormat)
	}
	return id, long, length, nil
}

// AppendTo appends the list as it is sent.
func (l List) AppendTo(dst []byte) []byte {
	for _, g := range l {
		dst = g.appendTo(dst)
	}
	return dst
}

// Bytes returns the list as it is sent.
func (l List) Bytes() []byte { return l.AppendTo(nil) }

// Find returns the last grouping with the identifier: one that is sent again replaces the one before.
func (l List) Find(id DGI) (Grouping, bool) {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].id == id {
			return l[i], true
		}
	}
	return Grouping{}, false
}

// checkSize holds a list to the limits.
func (l List) checkSize() error {
	total := 0
	for _, g := range l {
		total += g.size()
	}
	if len(l) > MaxGroupings || total > MaxListBytes {
		return fmt.Errorf("%d data groupings of %d bytes: %w", len(l), total, ErrLimit)
	}
	return nil
}

// Check looks at a list in clear as a whole: key check values for as many keys as there are, RSA components all or none and of one length.
// The error wraps ErrContent or ErrLimit.
func (l List) Check() error {
	if err := l.checkSize(); err != nil {
		return err
	}
	keys, hasKeys := l.Find(CardKeys)
	values, hasValues := l.Find(KeyCheckValues)
	if hasKeys && hasValues && keys.Len()/keyBytes != values.Len()/kcvBytes {
		return fmt.Errorf("%d keys and %d check values: %w", keys.Len()/keyBytes, values.Len()/kcvBytes, ErrContent)
	}
	for _, first := range []DGI{ICCKeyQInverse, PINKeyQInverse} {
		if err := l.checkComponents(first); err != nil {
			return err
		}
	}
	return nil
}

const crtComponents = 5

// checkComponents looks at the five groupings of an RSA key.
func (l List) checkComponents(first DGI) error {
	present, length := 0, -1
	for i := range DGI(crtComponents) {
		g, ok := l.Find(first + i)
		if !ok {
			continue
		}
		present++
		if length >= 0 && g.Len() != length {
			return fmt.Errorf("data grouping %v of %d bytes, another component has %d: %w", g.id, g.Len(), length, ErrContent)
		}
		length = g.Len()
	}
	if present != 0 && present != crtComponents {
		return fmt.Errorf("%d of the components from %v on, want %d: %w", present, first, crtComponents, ErrContent)
	}
	return nil
}
