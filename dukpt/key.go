package dukpt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"

	"tapnet/des"
)

const maxKeyBytes = 32

// Key is a base, initial, intermediate or working key. It masks itself in every print, log and JSON form, also inside other structs: the bytes lie behind
// two pointers, and fmt follows at most one. The zero value is no key. Keys compare with Equal.
type Key struct {
	kind     Type
	material **[maxKeyBytes]byte // never written after the key exists
}

// NewKey copies the bytes of a key. The error wraps ErrKey.
func NewKey(kind Type, b []byte) (Key, error) {
	if !kind.valid() || len(b) != kind.Bytes() {
		return Key{}, fmt.Errorf("%d bytes for a key of type %v: %w", len(b), kind, ErrKey)
	}
	return newKey(kind, b), nil
}

func newKey(kind Type, b []byte) Key {
	material := new([maxKeyBytes]byte)
	copy(material[:], b)
	return Key{kind: kind, material: &material}
}

// Type is the algorithm and length.
func (k Key) Type() Type { return k.kind }

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.material == nil }

// Reveal returns a copy of the key bytes, nil when there is no key.
func (k Key) Reveal() []byte {
	if k.IsZero() {
		return nil
	}
	return append([]byte(nil), k.bytes()...)
}

func (k Key) bytes() []byte { return (*k.material)[:k.kind.Bytes()] }

// Equal compares in constant time. Keys of different types differ.
func (k Key) Equal(o Key) bool {
	if k.kind != o.kind || k.IsZero() || o.IsZero() {
		return k.IsZero() && o.IsZero()
	}
	return subtle.ConstantTimeCompare(k.bytes(), o.bytes()) == 1
}

// Cipher makes the key ready as a block cipher. An HMAC key is none: the error wraps ErrKey.
func (k Key) Cipher() (cipher.Block, error) {
	switch {
	case k.IsZero() || k.kind.isHMAC():
		return nil, fmt.Errorf("cipher with a key of type %v: %w", k.kind, ErrKey)
	case k.kind.isAES():
		return aes.NewCipher(k.bytes())
	case k.kind == TDEA2:
		return des.NewTripleCipher(k.bytes())
	}
	return newTDEA3(k.bytes())
}

// tdea3 is triple DES with three different keys.
type tdea3 [3]*des.Cipher

func newTDEA3(key []byte) (cipher.Block, error) {
	c := new(tdea3)
	for i := range c {
		single, err := des.NewCipher(key[i*des.KeyBytes : (i+1)*des.KeyBytes])
		if err != nil {
			return nil, err
		}
		c[i] = single
	}
	return c, nil
}

func (*tdea3) BlockSize() int { return des.BlockBytes }

func (c *tdea3) Encrypt(dst, src []byte) {
	c[0].Encrypt(dst, src)
	c[1].Decrypt(dst, dst)
	c[2].Encrypt(dst, dst)
}

func (c *tdea3) Decrypt(dst, src []byte) {
	c[2].Decrypt(dst, src)
	c[1].Encrypt(dst, dst)
	c[0].Decrypt(dst, dst)
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
