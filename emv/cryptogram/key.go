package cryptogram

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
)

// KeyBytes is the length of every key: two DES keys, or one 128-bit key.
const KeyBytes = 16

// ErrKeyLength says that bytes are not a key. It never holds the bytes.
var ErrKeyLength = errors.New("key is not 16 bytes long")

// Key is a master, card or session key. It masks itself in every print, log and JSON form. fmt cannot see methods of a
// value in an unexported field: a struct that holds one there and may be printed masks itself.
//
// The zero value is no key; IsZero tells.
type Key struct{ b [KeyBytes]byte }

// NewKey copies 16 bytes. Parity bits are taken as they are: derived PBOC keys have none [REF 4.1].
func NewKey(b []byte) (Key, error) {
	if len(b) != KeyBytes {
		return Key{}, ErrKeyLength
	}
	return Key{[KeyBytes]byte(b)}, nil
}

// Reveal returns the key itself.
func (k Key) Reveal() [KeyBytes]byte { return k.b }

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.Equal(Key{}) }

// Equal compares in constant time.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k.b[:], o.b[:]) == 1 }

// KCV returns the check value of a 3DES key: the first three bytes of eight enciphered zero bytes [X9.24]. Suite.KCV knows the
// other ciphers.
func (k Key) KCV() [3]byte {
	value := tdesCheckValue(k.b)
	return [3]byte(value[:])
}

// OddParity returns the key with the lowest bit of each byte set for odd parity. DES ignores these bits; published key
// values differ in them.
func (k Key) OddParity() Key {
	for i, b := range k.b {
		k.b[i] = b&^1 | byte(bits.OnesCount8(b>>1)+1)&1
	}
	return k
}

const redacted = "[redacted]"

// String returns "[redacted]".
func (Key) String() string { return redacted }

// Format prints "[redacted]" for every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue masks the key in structured logs.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText masks the key.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON masks the key.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// CardKeys are the three keys of one card, each derived from its own master key [REF 4.1].
type CardKeys struct {
	AC  Key // cryptograms and ARPC
	MAC Key // MACs of scripts and of issuer discretionary data
	ENC Key // enciphered script data
}
