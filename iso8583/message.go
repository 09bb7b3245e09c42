package iso8583

import (
	"encoding/binary"
	"math/bits"
)

// entry is one field of a message.
type entry struct {
	content []byte // as on the wire, with padding, without length
	units   uint16 // what the length counts: digits when packed, else bytes
	start   uint16 // first byte of the field in the unpacked message, its length included
	end     uint16 // behind its last byte
}

// Message holds the fields of one message as they lie on the wire. The zero value is an empty message; Reset
// makes it empty again and keeps its memory. It is large (about 5 KB): keep it and use it again.
type Message struct {
	// MTI is the message type indicator in ASCII digits.
	MTI     [4]byte
	present [2]uint64 // bit 63 of the first word is field 1, the secondary bitmap
	spec    *Spec
	fields  [MaxField + 1]entry
	scratch []byte
}

// Reset empties the message and binds it to a dialect, which Set needs.
func (m *Message) Reset(s *Spec) {
	m.MTI = [4]byte{}
	m.present = [2]uint64{}
	m.spec = s
	m.scratch = m.scratch[:0]
}

// Has says whether field n is present; n = 1 asks for the secondary bitmap.
func (m *Message) Has(n int) bool {
	return n >= 1 && n <= MaxField && m.present[(n-1)>>6]&bit(n) != 0
}

func bit(n int) uint64 { return 1 << (63 - uint(n-1)&63) }

// Get gives field n as on the wire: without its length, with its padding. Nil when it is absent.
func (m *Message) Get(n int) []byte {
	if n < 2 || !m.Has(n) {
		return nil
	}
	return m.fields[n].content
}

// Units is the length of field n: digits when it is packed, else bytes.
func (m *Message) Units(n int) int {
	if n < 2 || !m.Has(n) {
		return 0
	}
	return int(m.fields[n].units)
}

// Range gives where field n lay in the message that was unpacked, its length included; zeros for a field that was
// set and not received.
func (m *Message) Range(n int) (start, end int) {
	if n < 2 || !m.Has(n) {
		return 0, 0
	}
	return int(m.fields[n].start), int(m.fields[n].end)
}

// Next gives the first present field behind n, 0 when there is none: for n := m.Next(1); n != 0; n = m.Next(n).
func (m *Message) Next(n int) int {
	if n < 1 {
		n = 1
	}
	for word := n >> 6; word < 2; word++ {
		w := m.present[word]
		if word == n>>6 {
			w &= ^uint64(0) >> (uint(n) & 63)
		}
		if w != 0 {
			return word<<6 + bits.LeadingZeros64(w) + 1
		}
	}
	return 0
}

// Text appends the characters of field n: the digits of a packed field without padding and with '=' for the
// separator, else the bytes.
func (m *Message) Text(dst []byte, n int) []byte {
	if n < 2 || !m.Has(n) {
		return dst
	}
	e := &m.fields[n]
	if m.spec == nil || !m.spec.fields[n].packed {
		return append(dst, e.content...)
	}
	units, skip := int(e.units), 0
	if m.spec.fields[n].padLeft {
		skip = units & 1
	}
	for i := skip; i < units+skip; i++ {
		nibble := e.content[i>>1]
		if i&1 == 0 {
			nibble >>= 4
		}
		nibble &= 15
		if nibble == 0xD {
			dst = append(dst, '=')
		} else {
			dst = append(dst, '0'+nibble)
		}
	}
	return dst
}

// Set puts characters into field n: digits as ASCII whatever the encoding, '=' or 'D' for the separator of a
// track. The message keeps a copy. It reports a wrong length or character and an undefined field.
func (m *Message) Set(n int, text []byte) error {
	f, err := m.settable(n, len(text))
	if err != nil {
		return err
	}
	start := len(m.scratch)
	if !f.packed {
		if f.allowed != 0 && !allAllowed(text, f.allowed) {
			return fieldError(n, UnknownOffset, ErrContent)
		}
		m.scratch = append(m.scratch, text...)
	} else {
		for _, c := range text {
			if charClass[c]&f.allowed == 0 {
				return fieldError(n, UnknownOffset, ErrContent)
			}
		}
		m.scratch = appendPacked(m.scratch, text, f.padLeft)
	}
	m.put(n, m.scratch[start:], len(text))
	return nil
}

// SetWire puts content that already lies as on the wire, padding included, into field n; units counts digits when
// the field is packed, else bytes. The message keeps the slice and does not copy it.
func (m *Message) SetWire(n int, content []byte, units int) error {
	f, err := m.settable(n, units)
	if err != nil {
		return err
	}
	if len(content) != f.size(units) {
		return fieldError(n, UnknownOffset, ErrLength)
	}
	if cause := f.check(content, units); cause != nil {
		return fieldError(n, UnknownOffset, cause)
	}
	m.put(n, content, units)
	return nil
}

func (m *Message) settable(n, units int) (*field, error) {
	if m.spec == nil || n < 2 || n > MaxField || m.spec.fields[n].max == 0 {
		return nil, fieldError(n, UnknownOffset, ErrUndefined)
	}
	f := &m.spec.fields[n]
	if units < int(f.min) || units > int(f.max) {
		return nil, fieldError(n, UnknownOffset, ErrLength)
	}
	return f, nil
}

func (m *Message) put(n int, content []byte, units int) {
	m.present[(n-1)>>6] |= bit(n)
	e := &m.fields[n]
	e.content, e.units, e.start, e.end = content, uint16(units), 0, 0
}

// Clear takes field n out.
func (m *Message) Clear(n int) {
	if n >= 2 && n <= MaxField {
		m.present[(n-1)>>6] &^= bit(n)
	}
}

// WriteSecondaryBitmap has Append write the secondary bitmap even when no field above 64 is present.
func (m *Message) WriteSecondaryBitmap() { m.present[0] |= bit(1) }

// allAllowed looks at the characters of a field that is not packed, eight at a time where the class is a range.
func allAllowed(text []byte, class uint8) bool {
	switch class {
	case classDigit:
		const high, six, three = 0xF0F0F0F0F0F0F0F0, 0x0606060606060606, 0x3333333333333333
		for ; len(text) >= 8; text = text[8:] {
			// A digit has 3 in its upper half, and still has when six is added to it.
			x := binary.LittleEndian.Uint64(text)
			if x&high|(x+six)&high>>4 != three {
				return false
			}
		}
	case classPrintable:
		const top, one, blank = 0x8080808080808080, 0x0101010101010101, 0x2020202020202020
		for ; len(text) >= 8; text = text[8:] {
			// 7F and what is above it sets the top bit of x or x+1, what is below a blank that of x-20. A carry or borrow between bytes needs such a byte.
			x := binary.LittleEndian.Uint64(text)
			if (x|(x+one)|(x-blank))&top != 0 {
				return false
			}
		}
	}
	return allIn(text, &charClass, class)
}

func allIn(text []byte, table *[256]uint8, class uint8) bool {
	and := class
	for _, c := range text {
		and &= table[c]
	}
	return and != 0
}

func appendPacked(dst, text []byte, padLeft bool) []byte {
	var high byte
	half := padLeft && len(text)&1 == 1
	for _, c := range text {
		nibble := c & 15
		if c == '=' || c == 'D' {
			nibble = 0xD
		}
		if half {
			dst = append(dst, high|nibble)
		} else {
			high = nibble << 4
		}
		half = !half
	}
	if half {
		dst = append(dst, high)
	}
	return dst
}
