package cloudkey

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxRefBytes bounds the reference of a token or a device: it is a random identifier, not a text.
const MaxRefBytes = 64

// ErrFormat is wrapped by every refusal of bytes that are no message of this package.
var ErrFormat = errors.New("malformed cloud key message")

// CheckRef reports why a text is no reference: 1 to MaxRefBytes letters, digits, hyphens and underscores.
func CheckRef(ref string) error {
	if ref == "" || len(ref) > MaxRefBytes {
		return fmt.Errorf("reference of %d bytes, want 1 to %d: %w", len(ref), MaxRefBytes, ErrFormat)
	}
	for _, c := range []byte(ref) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return fmt.Errorf("reference holds a byte %02X: %w", c, ErrFormat)
		}
	}
	return nil
}

// appendText appends a text behind its length, two bytes: no two lists of texts run together to the same bytes.
func appendText[T string | []byte](dst []byte, text T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(text))) //nolint:gosec // callers bound every text
	return append(dst, text...)
}

func appendBSEQ(dst []byte, bseq uint32) []byte {
	return append(dst, byte(bseq>>16), byte(bseq>>8), byte(bseq))
}

// reader takes a message apart. After the first failure it yields zeros; end tells.
type reader struct {
	what string
	b    []byte
	at   int
	err  error
}

func (r *reader) fail(text string, values ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("parse %s at offset %d: %s: %w", r.what, r.at, fmt.Sprintf(text, values...), ErrFormat)
	}
}

func (r *reader) take(n int) []byte {
	if r.err == nil && len(r.b)-r.at < n {
		r.fail("%d bytes are missing", n-(len(r.b)-r.at))
	}
	if r.err != nil {
		return make([]byte, n) // n is a constant of the caller, or checked
	}
	r.at += n
	return r.b[r.at-n : r.at : r.at]
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) bseq() uint32 {
	b := r.take(3)
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}

// int64 reads a number that is not negative.
func (r *reader) int64() int64 {
	v := binary.BigEndian.Uint64(r.take(8))
	if v > 1<<63-1 {
		r.fail("number is too large")
		return 0
	}
	return int64(v)
}

func (r *reader) text(limit int) []byte {
	n := int(r.uint16())
	if n > limit {
		r.fail("text of %d bytes, at most %d", n, limit)
		n = 0
	}
	return r.take(n)
}

func (r *reader) ref() string {
	ref := string(r.text(MaxRefBytes))
	if r.err == nil {
		if err := CheckRef(ref); err != nil {
			r.fail("%v", err)
		}
	}
	return ref
}

func (r *reader) label(want string) {
	if got := r.text(len(want)); r.err == nil && string(got) != want {
		r.fail("label is not %s", want)
	}
}

func (r *reader) secret() Secret { return Secret{[SecretBytes]byte(r.take(SecretBytes))} }

func (r *reader) end() error {
	if r.err == nil && r.at != len(r.b) {
		r.fail("%d bytes follow", len(r.b)-r.at)
	}
	return r.err
}
