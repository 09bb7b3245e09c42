package emv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"

	"tapnet/tlv"
)

// Source answers for the values of data objects: a transaction, a terminal configuration, what a card sent.
type Source interface {
	// Value returns the value of tag; false when this source has none. The caller does not change it.
	Value(tag tlv.Tag) ([]byte, bool)
}

// Data is an ordered list of data objects, at most one of each tag. The zero value is empty and ready for use. A copy
// shares its contents with the original: Clone separates them.
//
// Sensitive values are masked in every print, log and JSON form; Value, All and Bytes give them in full.
type Data struct{ items []datum }

type datum struct {
	tag   tlv.Tag
	value []byte
}

// MaxDataElements bounds a decoded list. The longest real one, a card's records taken together, has fewer than 80.
const MaxDataElements = 128

// Errors of ParseData and Decode, beside those of package tlv.
var (
	ErrDuplicateTag    = errors.New("data object appears twice")
	ErrTooManyElements = errors.New("too many data objects")
)

// ParseData reads one level of TLV and copies it. A tag that appears twice is an error: whoever reads the first one and
// whoever reads the last one would disagree [EMV B3 7.1]. Values of constructed tags are kept as they are.
func ParseData(b []byte) (Data, error) {
	// A data object of a payment message takes seven bytes on average: the list need not grow.
	d := Data{items: make([]datum, 0, min(len(b)/7+2, MaxDataElements))}
	err := d.Decode(bytes.Clone(b))
	return d, err
}

// Decode is ParseData without copying: values alias b, and the memory of d is used again. After an error d is empty.
func (d *Data) Decode(b []byte) error {
	d.Reset()
	total := len(b)
	for len(b) > 0 {
		offset := total - len(b)
		e, rest, err := tlv.Next(b)
		if err != nil {
			d.Reset()
			return fmt.Errorf("parse data objects at offset %d: %w", offset, err)
		}
		b = rest
		if e.Tag == 0 { // nothing but padding was left
			break
		}
		if d.index(e.Tag) >= 0 {
			d.Reset()
			return fmt.Errorf("parse data objects at offset %d: %v: %w", offset, e.Tag, ErrDuplicateTag)
		}
		if len(d.items) == MaxDataElements {
			d.Reset()
			return fmt.Errorf("parse data objects at offset %d: %w", offset, ErrTooManyElements)
		}
		d.items = append(d.items, datum{e.Tag, e.Value})
	}
	return nil
}

func (d Data) index(tag tlv.Tag) int {
	for i := range d.items {
		if d.items[i].tag == tag {
			return i
		}
	}
	return -1
}

// Value returns the value of tag, in full; false when there is none. It makes Data a Source.
func (d Data) Value(tag tlv.Tag) ([]byte, bool) {
	if i := d.index(tag); i >= 0 {
		return d.items[i].value, true
	}
	return nil, false
}

// Get returns the value of tag, in full; nil when there is none.
func (d Data) Get(tag tlv.Tag) []byte {
	value, _ := d.Value(tag)
	return value
}

// Has reports whether tag is present.
func (d Data) Has(tag tlv.Tag) bool { return d.index(tag) >= 0 }

// Set stores a copy of value: in place when tag is present, at the end otherwise.
func (d *Data) Set(tag tlv.Tag, value []byte) {
	value = append(make([]byte, 0, len(value)), value...)
	if i := d.index(tag); i >= 0 {
		d.items[i].value = value
		return
	}
	d.items = append(d.items, datum{tag, value})
}

// Delete removes tag if it is present.
func (d *Data) Delete(tag tlv.Tag) {
	if i := d.index(tag); i >= 0 {
		d.items = append(d.items[:i], d.items[i+1:]...)
	}
}

// Reset empties the list and keeps its memory.
func (d *Data) Reset() { d.items = d.items[:0] }

// Len returns the number of data objects.
func (d Data) Len() int { return len(d.items) }

// All yields tags and values in order.
func (d Data) All() iter.Seq2[tlv.Tag, []byte] {
	return func(yield func(tlv.Tag, []byte) bool) {
		for _, item := range d.items {
			if !yield(item.tag, item.value) {
				return
			}
		}
	}
}

// AppendTo appends the TLV encoding, in order, to dst.
func (d Data) AppendTo(dst []byte) []byte {
	for _, item := range d.items {
		dst = tlv.Append(dst, item.tag, item.value)
	}
	return dst
}

// Bytes returns the TLV encoding, in order; nil when empty.
func (d Data) Bytes() []byte { return d.AppendTo(nil) }

// Equal reports whether both lists hold the same values in the same order.
func (d Data) Equal(o Data) bool {
	if len(d.items) != len(o.items) {
		return false
	}
	for i := range d.items {
		if d.items[i].tag != o.items[i].tag || !bytes.Equal(d.items[i].value, o.items[i].value) {
			return false
		}
	}
	return true
}

// Clone returns a list that shares nothing with d.
func (d Data) Clone() Data {
	var c Data
	if len(d.items) > 0 {
		c.items = make([]datum, 0, len(d.items))
	}
	for _, item := range d.items {
		c.Set(item.tag, item.value)
	}
	return c
}

// masked prints a value, or only its length when the tag is sensitive. Values of templates are masked too: they may hold
// anything.
func (i datum) masked() string {
	if entry, known := Lookup(i.tag); i.tag.Constructed() || known && entry.Sensitive {
		return fmt.Sprintf("[redacted %d]", len(i.value))
	}
	return hexString(i.value)
}

// String returns "9F02=000000000100 57=[redacted 17]".
func (d Data) String() string {
	var s strings.Builder
	for n, item := range d.items {
		if n > 0 {
			s.WriteByte(' ')
		}
		s.WriteString(item.tag.String())
		s.WriteByte('=')
		s.WriteString(item.masked())
	}
	return s.String()
}

// Format prints String for every verb.
func (d Data) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.String()) }

// LogValue masks the list in structured logs.
func (d Data) LogValue() slog.Value { return slog.StringValue(d.String()) }

// MarshalJSON returns an object of tag to masked hex, in order. It is for people: it does not decode again.
func (d Data) MarshalJSON() ([]byte, error) {
	var s bytes.Buffer
	s.WriteByte('{')
	for n, item := range d.items {
		if n > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, "%q:%q", item.tag.String(), item.masked())
	}
	s.WriteByte('}')
	return s.Bytes(), nil
}
