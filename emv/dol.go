package emv

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"tapnet/tlv"
)

// DOLEntry asks for a data object of a given length.
type DOLEntry struct {
	Tag tlv.Tag
	Len int // bytes, 0 to 255
}

// DOL is a data object list: what a card wants to be told, or how a log record is laid out [EMV B3 5.4], [EMV B3 Annex D].
type DOL []DOLEntry

const (
	// MaxDOLEntries: a list is at most 252 bytes long and an entry at least two.
	MaxDOLEntries = 126
	// MaxDOLData bounds the data a list can ask for: it must fit into one short command or one record.
	MaxDOLData = 255
)

// Errors of Split.
var (
	ErrDOLLength = errors.New("data does not have the length the list asks for")
)

// ParseDOL reads a list: tag, one length byte, and so on. An empty list is valid.
func ParseDOL(b []byte) (DOL, error) {
	var dol DOL
	total, data := len(b), 0
	for len(b) > 0 {
		offset := total - len(b)
		tag, n, err := tlv.ParseTag(b)
		if err != nil {
			return nil, fmt.Errorf("parse DOL at offset %d: %w", offset, err)
		}
		if n == len(b) {
			return nil, fmt.Errorf("parse DOL at offset %d: %v has no length: %w", offset, tag, tlv.ErrTruncated)
		}
		if len(dol) == MaxDOLEntries {
			return nil, fmt.Errorf("parse DOL at offset %d: more than %d entries", offset, MaxDOLEntries)
		}
		length := int(b[n])
		if data += length; data > MaxDOLData {
			return nil, fmt.Errorf("parse DOL at offset %d: asks for more than %d bytes", offset, MaxDOLData)
		}
		dol = append(dol, DOLEntry{tag, length})
		b = b[n+1:]
	}
	return dol, nil
}

// Bytes returns the encoded list.
func (d DOL) Bytes() []byte {
	var b []byte
	for _, e := range d {
		b = append(e.Tag.Append(b), byte(e.Len))
	}
	return b
}

// Length returns how many bytes the list asks for.
func (d DOL) Length() int {
	n := 0
	for _, e := range d {
		n += e.Len
	}
	return n
}

// Has reports whether the list asks for tag.
func (d DOL) Has(tag tlv.Tag) bool {
	for _, e := range d {
		if e.Tag == tag {
			return true
		}
	}
	return false
}

// String returns "9F02·6 9F37·4".
func (d DOL) String() string {
	var s strings.Builder
	for i, e := range d {
		if i > 0 {
			s.WriteByte(' ')
		}
		fmt.Fprintf(&s, "%v·%d", e.Tag, e.Len)
	}
	return s.String()
}

// Build appends the data the list asks for to dst. The first source that has a value wins. It does not allocate when
// dst has room.
func (d DOL) Build(dst []byte, sources ...Source) []byte {
	for _, e := range d {
		dst = appendField(dst, e, find(e.Tag, sources))
	}
	return dst
}

func find(tag tlv.Tag, sources []Source) []byte {
	for _, source := range sources {
		if source == nil {
			continue
		}
		if value, ok := source.Value(tag); ok {
			return value
		}
	}
	return nil
}

// appendField fits a value into the length asked for [EMV B3 5.4].
func appendField(dst []byte, e DOLEntry, value []byte) []byte {
	format := FormatBinary
	if entry, known := Lookup(e.Tag); known {
		format = entry.Format
	}
	switch {
	case len(value) == 0 || e.Tag.Constructed():
		// Unknown and constructed objects are hexadecimal zeros.
		return appendFill(dst, 0x00, e.Len)
	case len(value) >= e.Len && format == FormatNumeric:
		return append(dst, value[len(value)-e.Len:]...) // leftmost bytes are cut
	case len(value) >= e.Len:
		return append(dst, value[:e.Len]...) // rightmost bytes are cut
	case format == FormatNumeric:
		return append(appendFill(dst, 0x00, e.Len-len(value)), value...)
	case format == FormatCompressedNumeric:
		return appendFill(append(dst, value...), 0xFF, e.Len-len(value))
	default:
		return appendFill(append(dst, value...), 0x00, e.Len-len(value))
	}
}

func appendFill(dst []byte, b byte, n int) []byte {
	for range n {
		dst = append(dst, b)
	}
	return dst
}

// Split is the other direction: it cuts data built from the list into data objects, and copies it. The length must be
// exact, and a list that asks for a tag twice cannot be split.
func (d DOL) Split(data []byte) (Data, error) {
	if want := d.Length(); len(data) != want {
		return Data{}, fmt.Errorf("split DOL data: %d bytes, want %d: %w", len(data), want, ErrDOLLength)
	}
	data = bytes.Clone(data)
	split := Data{items: make([]datum, 0, len(d))}
	for _, e := range d {
		if split.index(e.Tag) >= 0 {
			return Data{}, fmt.Errorf("split DOL data: %v: %w", e.Tag, ErrDuplicateTag)
		}
		split.items = append(split.items, datum{e.Tag, data[:e.Len:e.Len]})
		data = data[e.Len:]
	}
	return split, nil
}

// Sources is several sources in order of precedence.
type Sources []Source

// Value asks each source in turn.
func (s Sources) Value(tag tlv.Tag) ([]byte, bool) {
	for _, source := range s {
		if source == nil {
			continue
		}
		if value, ok := source.Value(tag); ok {
			return value, true
		}
	}
	return nil, false
}
