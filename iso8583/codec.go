package iso8583

import (
	"encoding/binary"
	"math/bits"
)

// maxMessageBytes bounds Unpack: offsets are kept in 16 bits, and no frame carries more (MaxFrameBytes).
const maxMessageBytes = 65535

// size is how many bytes a field of so many units has, without its length.
func (f *field) size(units int) int {
	if f.packed {
		return (units + 1) >> 1
	}
	return units
}

// check looks at every character and at the padding digit; nil when all is well.
func (f *field) check(content []byte, units int) error {
	if f.allowed == 0 {
		return nil
	}
	if !f.packed {
		if !allAllowed(content, f.allowed) {
			return ErrContent
		}
		return nil
	}
	if !allIn(content, &packedClass, f.allowed) {
		return ErrContent
	}
	if units&1 == 1 {
		if f.padLeft && content[0]>>4 != 0 || !f.padLeft && content[len(content)-1]&15 != 0 {
			return ErrPadding
		}
	}
	return nil
}

// header is the type indicator and the bitmaps; offset is where the first field begins.
type header struct {
	mti     [4]byte
	present [2]uint64
	offset  int
}

func (s *Spec) header(b []byte) (h header, err error) {
	if s.numbers == BCD {
		if len(b) < 2 {
			return h, fieldError(MTIField, 0, ErrTruncated)
		}
		if packedClass[b[0]]&packedClass[b[1]]&classDigit == 0 {
			return h, fieldError(MTIField, 0, ErrContent)
		}
		h.mti = [4]byte{'0' + b[0]>>4, '0' + b[0]&15, '0' + b[1]>>4, '0' + b[1]&15}
		h.offset = 2
	} else {
		if len(b) < 4 {
			return h, fieldError(MTIField, 0, ErrTruncated)
		}
		if !allIn(b[:4], &charClass, classDigit) {
			return h, fieldError(MTIField, 0, ErrContent)
		}
		h.mti = [4]byte(b[:4])
		h.offset = 4
	}
	if len(b) > maxMessageBytes {
		return h, fieldError(EndField, maxMessageBytes, ErrTrailing)
	}
	for word := range h.present {
		if len(b) < h.offset+8 {
			return h, fieldError(BitmapField, h.offset, ErrTruncated)
		}
		h.present[word] = binary.BigEndian.Uint64(b[h.offset:])
		h.offset += 8
		if h.present[0]&bit(1) == 0 {
			break
		}
	}
	return h, nil
}

// Outline reads only the type indicator and the bitmaps: which field is the last one, 0 for none.
func (s *Spec) Outline(b []byte) (mti [4]byte, last int, err error) {
	h, err := s.header(b)
	if err != nil {
		return mti, 0, err
	}
	h.present[0] &^= bit(1)
	for word, w := range h.present {
		if w != 0 {
			last = word<<6 + 64 - bits.TrailingZeros64(w)
		}
	}
	return h.mti, last, nil
}

// Unpack reads a message. The fields alias b. After an error m holds nothing of use.
func (s *Spec) Unpack(b []byte, m *Message) error {
	m.Reset(s)
	h, err := s.header(b)
	if err != nil {
		return err
	}
	m.MTI, m.present = h.mti, h.present
	offset := h.offset
	for n := m.Next(1); n != 0; n = m.Next(n) {
		f := &s.fields[n]
		if f.max == 0 {
			m.Reset(s)
			return fieldError(n, offset, ErrUndefined)
		}
		start := offset
		units := int(f.max)
		if f.prefix != 0 {
			var cause error
			if units, offset, cause = s.length(b, offset, f.prefix); cause == nil && (units < int(f.min) || units > int(f.max)) {
				cause = ErrLength
			}
			if cause != nil {
				m.Reset(s)
				return fieldError(n, start, cause)
			}
		}
		size := f.size(units)
		if len(b)-offset < size {
			m.Reset(s)
			return fieldError(n, start, ErrTruncated)
		}
		content := b[offset : offset+size : offset+size]
		if cause := f.check(content, units); cause != nil {
			m.Reset(s)
			return fieldError(n, start, cause)
		}
		offset += size
		m.fields[n] = entry{content, uint16(units), uint16(start), uint16(offset)}
	}
	if offset != len(b) {
		m.Reset(s)
		return fieldError(EndField, offset, ErrTrailing)
	}
	return nil
}

// length reads a length of 2 or 3 digits at offset and gives the offset behind it.
func (s *Spec) length(b []byte, offset int, digits uint8) (units, next int, cause error) {
	if s.numbers == BCD {
		size := (int(digits) + 1) >> 1
		if len(b)-offset < size {
			return 0, offset, ErrTruncated
		}
		for _, c := range b[offset : offset+size] {
			if packedClass[c]&classDigit == 0 {
				return 0, offset, ErrContent
			}
			units = units*100 + int(c>>4)*10 + int(c&15)
		}
		// The two bytes of an LLL length can say more than 999; the caller's maximum refuses that.
		return units, offset + size, nil
	}
	if len(b)-offset < int(digits) {
		return 0, offset, ErrTruncated
	}
	for _, c := range b[offset : offset+int(digits)] {
		if c < '0' || c > '9' {
			return 0, offset, ErrContent
		}
		units = units*10 + int(c-'0')
	}
	return units, offset + int(digits), nil
}

// Append writes the message behind dst. The secondary bitmap is written when a field needs it, when the message
// came with one, or after WriteSecondaryBitmap. A message of another dialect is refused.
func (s *Spec) Append(dst []byte, m *Message) ([]byte, error) {
	for _, c := range m.MTI {
		if c < '0' || c > '9' {
			return dst, fieldError(MTIField, UnknownOffset, ErrContent)
		}
	}
	if m.spec != s { // the fields lie as the other dialect writes them
		return dst, fieldError(BitmapField, UnknownOffset, ErrDialect)
	}
	out := dst
	if s.numbers == BCD {
		out = append(out, m.MTI[0]<<4|m.MTI[1]&15, m.MTI[2]<<4|m.MTI[3]&15)
	} else {
		out = append(out, m.MTI[:]...)
	}
	first := m.present[0]
	if m.present[1] != 0 {
		first |= bit(1)
	}
	out = binary.BigEndian.AppendUint64(out, first)
	if first&bit(1) != 0 {
		out = binary.BigEndian.AppendUint64(out, m.present[1])
	}
	for n := m.Next(1); n != 0; n = m.Next(n) {
		f := &s.fields[n]
		e := &m.fields[n]
		if f.prefix != 0 {
			out = s.appendLength(out, int(e.units), f.prefix)
		}
		out = append(out, e.content...)
	}
	return out, nil
}

func (s *Spec) appendLength(dst []byte, units int, digits uint8) []byte {
	hundreds, tens, ones := byte(units/100), byte(units/10%10), byte(units%10)
	if s.numbers == BCD {
		if digits == 3 {
			dst = append(dst, hundreds)
		}
		return append(dst, tens<<4|ones)
	}
	if digits == 3 {
		dst = append(dst, '0'+hundreds)
	}
	return append(dst, '0'+tens, '0'+ones)
}
