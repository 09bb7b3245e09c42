package denylist

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"tapnet/pan"
)

// ID is the keyed hash of a credential, a token or a payment account reference: HMAC-SHA256 under the key of an epoch. Without the
// key it cannot be turned back by trying all numbers. It is safe to store and to print.
type ID [sha256.Size]byte

// Hash is what the list holds of an ID: its first 64 bits.
func (id ID) Hash() uint64 { return binary.BigEndian.Uint64(id[:8]) }

// IsZero reports whether there is no ID.
func (id ID) IsZero() bool { return id == ID{} }

// String is the first eight bytes, in hexadecimal: enough to compare two lines of a log.
func (id ID) String() string { return hex.EncodeToString(id[:8]) }

// MarshalText is the whole ID in hexadecimal.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ID) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(id) {
		return fmt.Errorf("id of %d digits: %w", len(text), ErrEntry)
	}
	if _, err := hex.Decode(id[:], text); err != nil {
		return fmt.Errorf("id: %w: %w", ErrEntry, err)
	}
	return nil
}

// Epoch numbers the keys under which IDs are made. A new epoch comes with a new base.
type Epoch uint32

// Key sizes in bytes.
const (
	minEpochKey = 16 // the strength of the hash's first half
	maxEpochKey = 64 // the block of SHA-256: a longer key would be hashed first
)

// ErrKey is wrapped when a key has an unusable length.
var ErrKey = errors.New("key has an unusable length")

// EpochKey makes IDs in software. A gate with a secure module computes the same values there. It masks itself in every print.
type EpochKey struct {
	epoch Epoch
	key   []byte
}

// NewEpochKey takes a key of 16 to 64 bytes.
func NewEpochKey(epoch Epoch, key []byte) (EpochKey, error) {
	if len(key) < minEpochKey || len(key) > maxEpochKey {
		return EpochKey{}, fmt.Errorf("epoch key of %d bytes: %w", len(key), ErrKey)
	}
	return EpochKey{epoch: epoch, key: append([]byte(nil), key...)}, nil
}

// Epoch is the key's number.
func (k EpochKey) Epoch() Epoch { return k.epoch }

// Reveal is a copy of the key itself, to be sealed for a device and for nothing else.
func (k EpochKey) Reveal() []byte { return append([]byte(nil), k.key...) }

// Credential is the ID of one card: account number, sequence number (two digits, or empty) and month of expiry. A replacement card has
// another expiry or sequence number, so another ID.
func (k EpochKey) Credential(n pan.Number, sequence string, e pan.Expiry) ID {
	return k.id(Credential, n.Reveal(), sequence, e.YYMM())
}

// Token is the ID of a device account number. It does not depend on expiry: a token that is renewed stays the same token.
func (k EpochKey) Token(n pan.Number) ID { return k.id(Token, n.Reveal()) }

// PAR is the ID of a payment account reference: the account behind a card and all its tokens.
func (k EpochKey) PAR(reference string) ID { return k.id(PAR, reference) }

// id hashes the kind and the parts, each behind its length, so that no two lists of parts meet.
func (k EpochKey) id(kind Kind, parts ...string) ID {
	mac := hmac.New(sha256.New, k.key)
	text := make([]byte, 0, 64) // a number, a sequence number and an expiry with room to spare
	text = append(text, "tapnet denylist id 1"...)
	text = append(text, byte(kind))
	for _, part := range parts {
		text = append(text, byte(len(part)))
		text = append(text, part...)
	}
	mac.Write(text)
	var id ID
	mac.Sum(id[:0])
	return id
}

// String says which epoch, never the key.
func (k EpochKey) String() string { return fmt.Sprintf("key of epoch %d", k.epoch) }

// Format prints String for every verb.
func (k EpochKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k EpochKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String.
func (k EpochKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
