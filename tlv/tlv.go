// Package tlv reads and writes BER-TLV as EMV restricts it: [EMV B3 Annex B], [ISO 7816-4 5.2.2].
//
// It is strict: definite lengths in their shortest form, tags of one to four bytes, no byte left over. It is
// bounded: every limit is a named constant, no input makes it panic or allocate more than the limits say.
// There is one documented leniency: bytes 00 before, between and after elements carry no meaning and are
// skipped [EMV B3 Annex B]. So an accepted input re-encodes to itself, save for that padding.
//
// It knows no tag: names, formats and lengths of data objects are the business of package emv. It does not
// refuse a tag that occurs twice, because a directory rightly repeats its entries.
package tlv

import (
	"errors"
	"fmt"
	"iter"
)

// Limits on what comes from the wire.
const (
	// MaxValueBytes bounds the value of one element. A response carries 256 bytes; two length bytes leave
	// room for files and host messages built from many of them.
	MaxValueBytes = 0xFFFF
	// MaxDepth bounds nesting. The deepest template in use is 6F/A5/BF0C/61, four levels.
	MaxDepth = 8
	// MaxElements bounds the elements of one Decode or, over all levels, of one Tree. A full response of
	// two-byte elements holds 128.
	MaxElements = 512
)

// What can be wrong with an input. Callers branch on these with errors.Is.
var (
	ErrTruncated = errors.New("data ends inside an element")
	ErrLength    = errors.New("length is indefinite, not in its shortest form or too large")
	ErrTag       = errors.New("tag is malformed")
	ErrTooDeep   = errors.New("templates nest too deep")
	ErrTooMany   = errors.New("too many elements")
)

// PathError says where in the input decoding stopped.
type PathError struct {
	Path   string // tags from the outside inwards, "6F/A5/9F38"; empty when not even the first tag could be read
	Offset int    // bytes from the start of the input to the element at fault
	Err    error  // one of the Err variables of this package
}

// Error names path and offset, never a value.
func (e *PathError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("decode TLV at offset %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("decode TLV %s at offset %d: %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns Err.
func (e *PathError) Unwrap() error { return e.Err }

// Element is one tag with its value. The value aliases the input it was read from.
type Element struct {
	Tag   Tag
	Value []byte
}

// header is the tag and length of an element and the number of bytes both take.
type header struct {
	tag    Tag
	bytes  int
	length int
}

// parseHeader reads tag and length at the start of b, where no padding is left. On an error after the tag,
// the tag is returned all the same, for the path of the error.
func parseHeader(b []byte) (header, error) {
	tag, n, err := ParseTag(b)
	if err != nil {
		return header{}, err
	}
	h := header{tag: tag}
	if n >= len(b) {
		return h, ErrTruncated
	}
	first := b[n]
	n++
	if first < 0x80 {
		h.bytes, h.length = n, int(first)
		return h, h.fits(b)
	}
	// 80 is the indefinite form, which EMV does not use; above 82 no value within MaxValueBytes needs the form.
	if first != 0x81 && first != 0x82 {
		return h, ErrLength
	}
	count := int(first - 0x80)
	if len(b)-n < count {
		return h, ErrTruncated
	}
	length := 0
	for _, c := range b[n : n+count] {
		length = length<<bitsPerByte | int(c)
	}
	// Shortest form only: one value, one encoding.
	if length < 0x80 || count == 2 && length <= 0xFF {
		return h, ErrLength
	}
	h.bytes, h.length = n+count, length
	return h, h.fits(b)
}

func (h header) fits(b []byte) error {
	if len(b)-h.bytes < h.length {
		return ErrTruncated
	}
	return nil
}

// skipPadding returns b without leading 00 bytes.
func skipPadding(b []byte) []byte {
	for len(b) > 0 && b[0] == paddingByte {
		b = b[1:]
	}
	return b
}

// Next reads the first element of b and returns it with what follows. Padding before and after the element is
// skipped, so a walk ends exactly when rest is empty:
//
//	for len(b) > 0 {
//		e, b, err = tlv.Next(b)
//		…
//	}
//
// When b is empty or holds nothing but padding, the element has Tag 0 and err is nil.
// Otherwise err is ErrTruncated, ErrLength or ErrTag. Next does not allocate.
func Next(b []byte) (e Element, rest []byte, err error) {
	b = skipPadding(b)
	if len(b) == 0 {
		return Element{}, nil, nil
	}
	h, err := parseHeader(b)
	if err != nil {
		return Element{}, nil, err
	}
	end := h.bytes + h.length
	return Element{Tag: h.tag, Value: b[h.bytes:end:end]}, skipPadding(b[end:]), nil
}

// All walks the elements of one level. After an error the walk ends.
func All(b []byte) iter.Seq2[Element, error] {
	return func(yield func(Element, error) bool) {
		for {
			e, rest, err := Next(b)
			if err != nil {
				yield(Element{}, err)
				return
			}
			if e.Tag == 0 || !yield(e, nil) {
				return
			}
			b = rest
		}
	}
}

// Decode returns the elements of one level, at most MaxElements. The error is a *PathError.
func Decode(b []byte) ([]Element, error) {
	var elements []Element
	for rest := skipPadding(b); len(rest) > 0; {
		offset := len(b) - len(rest)
		if len(elements) == MaxElements {
			return nil, &PathError{Offset: offset, Err: ErrTooMany}
		}
		h, err := parseHeader(rest)
		if err != nil {
			path := ""
			if h.tag != 0 {
				path = h.tag.String()
			}
			return nil, &PathError{Path: path, Offset: offset, Err: err}
		}
		end := h.bytes + h.length
		elements = append(elements, Element{Tag: h.tag, Value: rest[h.bytes:end:end]})
		rest = skipPadding(rest[end:])
	}
	return elements, nil
}

// Find returns the value of the first element that path leads to, from the outside inwards:
// Find(fci, 0x6F, 0xA5, 0x9F38). On each level it follows the first element with the wanted tag and looks at
// nothing behind it. It reports false when the path is empty, an element is absent, a tag on the way is not
// constructed, or the bytes up to the element are malformed. The value aliases b. Find does not allocate.
func Find(b []byte, path ...Tag) ([]byte, bool) {
	if len(path) == 0 {
		return nil, false
	}
	for level, want := range path {
		value, ok := findOne(b, want)
		if !ok {
			return nil, false
		}
		if level < len(path)-1 && !want.Constructed() {
			return nil, false
		}
		b = value
	}
	return b, true
}

func findOne(b []byte, want Tag) ([]byte, bool) {
	for len(b) > 0 {
		e, rest, err := Next(b)
		if err != nil || e.Tag == 0 {
			return nil, false
		}
		if e.Tag == want {
			return e.Value, true
		}
		b = rest
	}
	return nil, false
}

// AppendLength appends the shortest encoding of a length of n bytes, 0 to MaxValueBytes.
// A length outside is a bug of the caller and panics.
func AppendLength(dst []byte, n int) []byte {
	switch {
	case n < 0 || n > MaxValueBytes:
		panic(fmt.Sprintf("tlv: length %d outside 0 to %d", n, MaxValueBytes))
	case n < 0x80:
		return append(dst, byte(n))
	case n <= 0xFF:
		return append(dst, 0x81, byte(n))
	}
	return append(dst, 0x82, byte(n>>bitsPerByte), byte(n))
}

// Append appends one element to dst. It does not allocate when dst has room. t must be Valid; a value longer
// than MaxValueBytes panics.
func Append(dst []byte, t Tag, value []byte) []byte {
	dst = t.Append(dst)
	dst = AppendLength(dst, len(value))
	return append(dst, value...)
}

// Wrap returns one element whose value is the parts in order, for example a template around its elements.
func Wrap(t Tag, parts ...[]byte) []byte {
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	const lengthBytesMax = 3
	out := make([]byte, 0, t.Len()+lengthBytesMax+length)
	out = t.Append(out)
	out = AppendLength(out, length)
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}
