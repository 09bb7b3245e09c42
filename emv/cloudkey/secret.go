package cloudkey

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// SecretBytes is the length of every secret that is no card key.
const SecretBytes = 32

// ErrSecretLength says that bytes are no secret. It never holds the bytes.
var ErrSecretLength = errors.New("secret is not 32 bytes long")

// Secret is a binding key, a ratchet, a password verifier or a key of a batch. It masks itself in every print; the zero value is none.
type Secret struct{ b [SecretBytes]byte }

// NewSecret copies 32 bytes.
func NewSecret(b []byte) (Secret, error) {
	if len(b) != SecretBytes {
		return Secret{}, ErrSecretLength
	}
	return Secret{[SecretBytes]byte(b)}, nil
}

// DrawSecret reads a secret from a random source.
func DrawSecret(random io.Reader) (Secret, error) {
	var s Secret
	if _, err := io.ReadFull(random, s.b[:]); err != nil {
		return Secret{}, fmt.Errorf("draw a secret: %w", err)
	}
	return s, nil
}

// Reveal returns the secret itself.
func (s Secret) Reveal() [SecretBytes]byte { return s.b }

// IsZero reports whether there is none.
func (s Secret) IsZero() bool { return s.Equal(Secret{}) }

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s.b[:], o.b[:]) == 1 }

// Digest is what a server keeps of a ratchet: it recognises the value and cannot give it away.
func (s Secret) Digest() [SecretBytes]byte { return sha256.Sum256(s.b[:]) }

const redacted = "[redacted]"

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// Format prints "[redacted]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue masks the secret in structured logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText masks the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON masks the secret.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// mac is HMAC-SHA256 [RFC 2104] under the secret.
func (s Secret) mac(input []byte) (out Secret) {
	h := hmac.New(sha256.New, s.b[:])
	h.Write(input)
	h.Sum(out.b[:0])
	return out
}
