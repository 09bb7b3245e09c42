package pinblock

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"log/slog"

	"tapnet/pan"
)

// WideSize is the length of a block for ciphers with 16-byte blocks.
const WideSize = 16

const (
	controlFormat4 = 0x4
	fillerFormat4  = 0xA
	// panBase is the number of digits that the length nibble of format 4 does not count. [ISO 9564-1 9.4.2]
	panBase   = 12
	randomLen = 8
)

// WideBlock is a PIN block of 16 bytes, in clear or enciphered: format 4 with AES, the forms of this network with SM4. Like Block
// it prints as [redacted], leaves through Reveal only, and does not compare with ==. The zero value is no block.
type WideBlock struct {
	_     [0]func()  // no ==: it would compare pointers, and in variable time if it did not
	words *[2]uint64 // big-endian; a pointer for the reason PIN has one
}

func wide(left, right uint64) WideBlock { return WideBlock{words: &[2]uint64{left, right}} }

// WideFromBytes takes exactly 16 bytes, in clear or enciphered.
func WideFromBytes(b []byte) (WideBlock, error) {
	if len(b) != WideSize {
		return WideBlock{}, fmt.Errorf("read PIN block of %d bytes, want %d: %w", len(b), WideSize, ErrFormat)
	}
	return wide(binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[Size:])), nil
}

// EncipherFormat4 returns the enciphered block of format 4: the PIN with 8 random bytes behind it is enciphered, the account number
// folded in, the result enciphered again. [ISO 9564-1 9.4.2] The random bytes must be fresh. A cipher of another width panics.
func EncipherFormat4(block cipher.Block, p PIN, n pan.Number, random [8]byte) WideBlock {
	mustBlock16(block)
	field := pinFieldFormat4(p, random)
	block.Encrypt(field[:], field[:])
	foldPANFormat4(&field, n)
	block.Encrypt(field[:], field[:])
	return wide(binary.BigEndian.Uint64(field[:]), binary.BigEndian.Uint64(field[Size:]))
}

// DecipherFormat4 reads an enciphered block of format 4. The error wraps ErrFormat; the wrong key or account number gives it as well,
// nearly always.
func DecipherFormat4(block cipher.Block, b WideBlock, n pan.Number) (PIN, error) {
	mustBlock16(block)
	if b.IsZero() || n.IsZero() {
		return PIN{}, fmt.Errorf("read PIN block format 4: %w", ErrFormat)
	}
	field := b.Reveal()
	block.Decrypt(field[:], field[:])
	foldPANFormat4(&field, n)
	block.Decrypt(field[:], field[:])
	word := binary.BigEndian.Uint64(field[:])
	clear(field[:])
	return parseFilled(word, controlFormat4, fillerFormat4)
}

// pinFieldFormat4 is 4, length, PIN, filler A, then what was random. [ISO 9564-1 9.4.2.1]
func pinFieldFormat4(p PIN, random [randomLen]byte) (field [WideSize]byte) {
	word := p.mustWord() | controlFormat4<<controlShift
	for i := firstPINDigit + int(nibbleAt(word, lengthNibble)); i < blockNibbles; i++ {
		word ^= uint64(filler^fillerFormat4) << (nibbleBits * (blockNibbles - 1 - i))
	}
	binary.BigEndian.PutUint64(field[:], word)
	copy(field[Size:], random[:])
	return field
}

// foldPANFormat4 folds the account number in: how many digits it has above twelve, the digits, zeros; with fewer than twelve digits,
// zeros on the left. [ISO 9564-1 9.4.2.2]
func foldPANFormat4(field *[WideSize]byte, n pan.Number) {
	digits := n.Reveal()
	if digits == "" {
		panic("pinblock: format 4 without an account number")
	}
	at := 1 // nibbles from the left
	if len(digits) < panBase {
		at += panBase - len(digits)
	} else {
		field[0] ^= byte(len(digits)-panBase) << nibbleBits
	}
	for i := range len(digits) {
		field[(at+i)/2] ^= (digits[i] - '0') << (nibbleBits * (1 - (at+i)%2))
	}
}

// SM4Layout is how a PIN block fills the 16 bytes of an SM4 block. Published examples show both, and say that the parties agree on
// one. [REF 6.1]
type SM4Layout uint8

// The layouts.
const (
	// SM4Wide fills PIN and account number to 16 bytes before they are folded: PIN and F, against zeros and twelve digits.
	SM4Wide SM4Layout = iota
	// SM4ZeroFilled is the block of format 0, then eight zero bytes.
	SM4ZeroFilled
)

// String names the layout.
func (l SM4Layout) String() string {
	switch l {
	case SM4Wide:
		return "wide"
	case SM4ZeroFilled:
		return "zero-filled"
	}
	return fmt.Sprintf("SM4Layout(%d)", uint8(l))
}

// FormatSM4 returns the clear block for one SM4 block, folded with the account number. Both must exist.
func FormatSM4(p PIN, n pan.Number, layout SM4Layout) WideBlock {
	if layout == SM4ZeroFilled {
		return wide(p.mustWord()^foldedPAN(n), 0)
	}
	return wide(p.mustWord(), ^foldedPAN(n))
}

// ParseFormatSM4 reads a clear block that FormatSM4 made. The error wraps ErrFormat; in the wide layout the wrong account number
// always gives it.
func ParseFormatSM4(b WideBlock, n pan.Number, layout SM4Layout) (PIN, error) {
	if b.IsZero() || n.IsZero() {
		return PIN{}, fmt.Errorf("read PIN block for SM4: %w", ErrFormat)
	}
	left, right := b.words[0], b.words[1]
	want := ^foldedPAN(n)
	if layout == SM4ZeroFilled {
		left, want = left^foldedPAN(n), 0
	}
	pin, err := parseFilled(left, controlFormat0, filler)
	if err != nil || right != want {
		return PIN{}, fmt.Errorf("read PIN block for SM4: %w", ErrFormat)
	}
	return pin, nil
}

// mustBlock16 stops a cipher of the wrong width: that is a mistake in the program, not in a message.
func mustBlock16(block cipher.Block) {
	if block.BlockSize() != WideSize {
		panic(fmt.Sprintf("pinblock: cipher with %d-byte blocks, want %d", block.BlockSize(), WideSize))
	}
}

// Reveal returns the bytes, zeros for the zero value. A caller of it answers for where they go.
func (b WideBlock) Reveal() [16]byte {
	var out [WideSize]byte
	if !b.IsZero() {
		binary.BigEndian.PutUint64(out[:], b.words[0])
		binary.BigEndian.PutUint64(out[Size:], b.words[1])
	}
	return out
}

// IsZero reports whether b is the zero value; a block of sixteen 00 bytes is not.
func (b WideBlock) IsZero() bool { return b.words == nil }

// Equal compares in constant time. Two zero values are equal.
func (b WideBlock) Equal(other WideBlock) bool {
	if b.IsZero() || other.IsZero() {
		return b.IsZero() && other.IsZero()
	}
	left, right := equalWords(&b.words[0], &other.words[0]), equalWords(&b.words[1], &other.words[1])
	return left && right
}

// String returns "[redacted]".
func (b WideBlock) String() string { return redacted }

// Format prints [redacted] under every verb.
func (b WideBlock) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue logs [redacted].
func (b WideBlock) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes [redacted]. There is no way back: a block enters through WideFromBytes.
func (b WideBlock) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON writes "[redacted]".
func (b WideBlock) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
