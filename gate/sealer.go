package gate

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"log/slog"
)

// SealKey seals card data in software with AES-256 in Galois/Counter Mode, for validators without a secure module, and opens it at the
// back office. It masks itself. It may be used by many goroutines if its source of randomness may.
type SealKey struct {
	aead   cipher.AEAD
	random io.Reader
}

var _ Sealer = (*SealKey)(nil)

const sealKeyBytes = 32

// NewSealKey takes a key of 32 bytes, and where nonces come from: a record that a loss of power tore off and the one that takes its number must not share one.
func NewSealKey(key []byte, random io.Reader) (*SealKey, error) {
	if len(key) != sealKeyBytes || random == nil {
		return nil, fmt.Errorf("seal key of %d bytes, or no randomness: %w", len(key), ErrConfig)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	return &SealKey{aead: aead, random: random}, nil
}

// Seal encrypts. The nonce stands in front.
func (k *SealKey) Seal(plain, additional []byte) ([]byte, error) {
	sealed := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	if _, err := io.ReadFull(k.random, sealed); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	return k.aead.Seal(sealed, sealed, plain, additional), nil
}

// Open is the card's data; ErrForged when they are not what was sealed for that record.
func (k *SealKey) Open(sealed, additional []byte) ([]byte, error) {
	if len(sealed) < k.aead.NonceSize() {
		return nil, ErrForged
	}
	plain, err := k.aead.Open(nil, sealed[:k.aead.NonceSize()], sealed[k.aead.NonceSize():], additional)
	if err != nil {
		return nil, ErrForged
	}
	return plain, nil
}

// String says that there is a key.
func (k *SealKey) String() string { return "seal key" }

// Format prints String for every verb.
func (k *SealKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k *SealKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String.
func (k *SealKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
