package cloudkey

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"tapnet/des"
	"tapnet/emv/cryptogram"
)

// Master is the card key of a token as a security module lends it: it derives and gives nothing away by itself.
type Master interface {
	// SessionKey is the suite's key of one counter [REF 4.1].
	SessionKey(atc uint16) cryptogram.Key
	// Encipher enciphers two blocks of 8 bytes, each on its own, with triple DES.
	Encipher(blocks [16]byte) [16]byte
}

// CardKeyMaster is a Master over a card key in memory. It belongs inside a security module, or into a test.
func CardKeyMaster(suite cryptogram.Suite, card cryptogram.Key) Master {
	return &cardKeyMaster{suite, card}
}

type cardKeyMaster struct {
	suite cryptogram.Suite
	card  cryptogram.Key
}

func (m *cardKeyMaster) SessionKey(atc uint16) cryptogram.Key { return m.suite.SessionKey(m.card, atc) }

func (m *cardKeyMaster) Encipher(blocks [16]byte) (out [16]byte) {
	key := m.card.Reveal()
	var cipher des.Triple
	cipher.Set(&key)
	for at := 0; at < len(blocks); at += des.BlockBytes {
		b := des.EnterBytes(blocks[at:]).EncryptTriple(&cipher).LeaveBytes()
		copy(out[at:], b[:])
	}
	return out
}

// String says that there is a key.
func (*cardKeyMaster) String() string { return "master of a token key " + redacted }

// Format prints String for every verb.
func (m *cardKeyMaster) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(m.String())) }

// SchemeID names a scheme on the wire.
type SchemeID byte

// The schemes.
const (
	SchemeQCK1    SchemeID = 1 // one key for each counter: session keys of the token's suite
	SchemeQCK1EMV SchemeID = 2 // the same with the common session key of EMV
	SchemeLUK     SchemeID = 3 // one key for several counters, by an index
)

// Slot says which key of a batch is meant: the first counter it serves, and the index of a limited-use key.
type Slot struct {
	ATC   uint16
	Index Index // LUK only
}

// Scheme is a way to give a phone keys, as a value: which key serves a counter and which cryptogram it makes. A phone uses Cryptogram with
// the key it was given; a server uses Expected, which derives the same key again.
type Scheme interface {
	ID() SchemeID
	Name() string
	// MaxUses is how many taps one key may serve.
	MaxUses() int
	// Derive gives the key of a slot.
	Derive(m Master, slot Slot) (cryptogram.Key, error)
	// Cryptogram is the application cryptogram over data, as cryptogram.Suite.AppendData builds it.
	Cryptogram(suite cryptogram.Suite, key cryptogram.Key, data []byte) [8]byte
}

// ErrScheme says that there is no such scheme, or that it does not go with what is asked of it.
var ErrScheme = errors.New("key scheme is not usable")

// SchemeOf returns a scheme by its number; the error wraps ErrScheme.
func SchemeOf(id SchemeID) (Scheme, error) {
	switch id {
	case SchemeQCK1:
		return QCK1, nil
	case SchemeQCK1EMV:
		return QCK1EMV, nil
	case SchemeLUK:
		return LUK, nil
	}
	return nil, fmt.Errorf("scheme %d: %w", id, ErrScheme)
}

// The schemes.
var (
	// QCK1 is the default: the suite's session key of each counter. A server that knows nothing of phones verifies the cryptogram.
	QCK1 Scheme = sessionScheme{SchemeQCK1, "QCK-1"}
	// QCK1EMV is QCK1 with the common session key derivation of EMV for triple DES [EMV B2 A1.3.1].
	QCK1EMV Scheme = sessionScheme{SchemeQCK1EMV, "QCK-1 EMV"}
	// LUK has one limited-use key for each class of a batch, derived from an index of year, hour and count. Known from one source.
	LUK Scheme = lukScheme{}
)

// Expected is the server's side of a scheme: the cryptogram that the phone should have made.
func Expected(s Scheme, m Master, slot Slot, suite cryptogram.Suite, data []byte) ([8]byte, error) {
	key, err := s.Derive(m, slot)
	if err != nil {
		return [8]byte{}, err
	}
	return s.Cryptogram(suite, key, data), nil
}

// Verify compares a cryptogram with the expected one in constant time.
func Verify(s Scheme, m Master, slot Slot, suite cryptogram.Suite, data []byte, ac [8]byte) (bool, error) {
	want, err := Expected(s, m, slot, suite, data)
	return err == nil && subtle.ConstantTimeCompare(want[:], ac[:]) == 1, err
}

type sessionScheme struct {
	id   SchemeID
	name string
}

func (s sessionScheme) ID() SchemeID   { return s.id }
func (s sessionScheme) Name() string   { return s.name }
func (s sessionScheme) String() string { return s.name }
func (sessionScheme) MaxUses() int     { return 1 }

func (s sessionScheme) Derive(m Master, slot Slot) (cryptogram.Key, error) {
	if slot.Index != (Index{}) {
		return cryptogram.Key{}, fmt.Errorf("%s: a key has no index: %w", s.name, ErrScheme)
	}
	if s.id == SchemeQCK1EMV {
		high, low := byte(slot.ATC>>8), byte(slot.ATC)
		return newKey(m.Encipher([16]byte{0: high, 1: low, 2: 0xF0, 8: high, 9: low, 10: 0x0F})), nil
	}
	return m.SessionKey(slot.ATC), nil
}

func (sessionScheme) Cryptogram(suite cryptogram.Suite, key cryptogram.Key, data []byte) [8]byte {
	return suite.Cryptogram(key, data)
}

// MaxLUKUses bounds the taps of one limited-use key.
const MaxLUKUses = 32

type lukScheme struct{}

func (lukScheme) ID() SchemeID   { return SchemeLUK }
func (lukScheme) Name() string   { return "LUK" }
func (lukScheme) String() string { return "LUK" }
func (lukScheme) MaxUses() int   { return MaxLUKUses }

// Derive enciphers "1" and the index, and "2" and the index, each padded to a block by method 2. Parity is not adjusted.
func (lukScheme) Derive(m Master, slot Slot) (cryptogram.Key, error) {
	if err := slot.Index.Check(); err != nil {
		return cryptogram.Key{}, fmt.Errorf("limited-use key: %w", err)
	}
	const padding = 0x80
	packed := slot.Index.Packed()
	var blocks [16]byte
	for half := range 2 {
		at := half * des.BlockBytes
		copy(blocks[at:], packed[:])
		blocks[at] |= byte(half+1) << 4
		blocks[at+len(packed)] = padding
	}
	return newKey(m.Encipher(blocks)), nil
}

func (lukScheme) Cryptogram(suite cryptogram.Suite, key cryptogram.Key, data []byte) [8]byte {
	return suite.Cryptogram(key, data)
}

func newKey(b [cryptogram.KeyBytes]byte) cryptogram.Key {
	key, err := cryptogram.NewKey(b[:])
	if err != nil {
		panic("cloudkey: " + err.Error()) // the length is right
	}
	return key
}

// Index is the account parameters index of a limited-use key, Y HHHH CC: last digit of the year, whole hours since it began, and how many
// keys that hour had before. The zero value is no index.
type Index struct {
	Year    byte   // 0 to 9
	Hour    uint16 // 0 to 8783
	Counter byte   // 1 to 99: so that no index is all zeros
}

const (
	lastHour   = 366*24 - 1
	maxCounter = 99
	bcdBase    = 10
)

// IndexAt is the index of an instant; counter is 1 to 99.
func IndexAt(at time.Time, counter byte) Index {
	at = at.UTC()
	begin := time.Date(at.Year(), time.January, 1, 0, 0, 0, 0, time.UTC)
	hour := at.Sub(begin) / time.Hour
	return Index{Year: byte(at.Year() % bcdBase), Hour: uint16(hour), Counter: counter} //nolint:gosec // hours of one year
}

// Check reports why an index cannot be one.
func (i Index) Check() error {
	if i.Year >= bcdBase || i.Hour > lastHour || i.Counter == 0 || i.Counter > maxCounter {
		return fmt.Errorf("index %v: %w", i, ErrFormat)
	}
	return nil
}

// Packed returns 0Y HH HH CC as digits, four bytes.
func (i Index) Packed() [4]byte {
	two := func(v uint16) byte { return byte(v/bcdBase%bcdBase)<<4 | byte(v%bcdBase) }
	return [4]byte{i.Year, two(i.Hour / 100), two(i.Hour % 100), two(uint16(i.Counter))}
}

// ParseIndex reads what Packed returns. Four zero bytes are no index and no error.
func ParseIndex(b [4]byte) (Index, error) {
	if b == [4]byte{} {
		return Index{}, nil
	}
	var v [4]uint16
	for n, c := range b {
		if c>>4 >= bcdBase || c&0xF >= bcdBase {
			return Index{}, fmt.Errorf("index holds %02X: %w", c, ErrFormat)
		}
		v[n] = uint16(c>>4)*bcdBase + uint16(c&0xF)
	}
	if v[0] >= bcdBase {
		return Index{}, fmt.Errorf("index holds the year %d: %w", v[0], ErrFormat)
	}
	i := Index{Year: byte(v[0]), Hour: v[1]*100 + v[2], Counter: byte(v[3])} //nolint:gosec // two digits each
	return i, i.Check()
}

// String returns Y HHHH CC.
func (i Index) String() string { return fmt.Sprintf("%d %04d %02d", i.Year, i.Hour, i.Counter) }

// UnlockWithPIN is the other published way to bind a key to what the holder knows: the digits as text, shifted left by one bit so that the
// parity bit is untouched, are added to the beginning of both halves. A wrong PIN gives a wrong key. At most 8 digits.
func UnlockWithPIN(key cryptogram.Key, digits string) (cryptogram.Key, error) {
	if digits == "" || len(digits) > des.BlockBytes {
		return cryptogram.Key{}, fmt.Errorf("mobile PIN of %d digits: %w", len(digits), ErrFormat)
	}
	b := key.Reveal()
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return cryptogram.Key{}, fmt.Errorf("mobile PIN holds a character that is no digit: %w", ErrFormat)
		}
		b[i] ^= digits[i] << 1
		b[i+des.BlockBytes] ^= digits[i] << 1
	}
	return newKey(b), nil
}
