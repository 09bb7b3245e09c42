package operator

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/hsm"
)

// secretFile holds the operator's secret in hexadecimal; secretBytes is its length.
const (
	secretFile  = "transit.secret"
	secretBytes = 32
)

// Secret is what all keys of a test operator follow from: of the logs of its devices, of the card data that gates seal, of the deny list. A real operator
// has these in secure modules, one for each gate. It masks itself.
type Secret struct{ value [secretBytes]byte }

// OpenSecret reads the secret of a data directory, or makes one.
func OpenSecret(dir string) (Secret, error) { return openSecret(dir, rand.Reader) }

func openSecret(dir string, random io.Reader) (Secret, error) {
	path := filepath.Join(dir, secretFile)
	text, err := os.ReadFile(path)
	if err == nil {
		return ParseSecret(string(text))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Secret{}, fmt.Errorf("read the operator's secret: %w", err)
	}
	var s Secret
	if _, err := io.ReadFull(random, s.value[:]); err != nil {
		return Secret{}, fmt.Errorf("make the operator's secret: %w", err)
	}
	if err := os.WriteFile(path, []byte(hex.EncodeToString(s.value[:])+"\n"), 0o600); err != nil {
		return Secret{}, fmt.Errorf("save the operator's secret: %w", err)
	}
	return s, nil
}

// ErrSecret is returned by ParseSecret for anything but 64 hexadecimal digits.
var ErrSecret = errors.New("the operator's secret is not 64 hexadecimal digits")

// ParseSecret reads what OpenSecret saved.
func ParseSecret(text string) (Secret, error) {
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != secretBytes {
		return Secret{}, ErrSecret
	}
	return Secret{value: [secretBytes]byte(b)}, nil
}

// String says that there is a secret.
func (s Secret) String() string { return "operator's secret" }

// Format prints String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Secret) derive(purpose string) []byte {
	mac := hmac.New(sha256.New, s.value[:])
	mac.Write([]byte("tapnet transit 1\x00" + purpose))
	return mac.Sum(nil)
}

// Device is the key of a device's log.
func (s Secret) Device(name string) (gate.ChainKey, error) {
	return gate.NewChainKey(s.derive("device " + name))
}

// IDs makes the keyed hashes of an epoch.
func (s Secret) IDs(epoch denylist.Epoch) (denylist.EpochKey, error) {
	return denylist.NewEpochKey(epoch, s.derive("epoch "+string(binary.BigEndian.AppendUint32(nil, uint32(epoch)))))
}

// Keys are the keys of the deny list as the office takes them: every epoch's follows from the secret.
type Keys struct {
	secret Secret
	random io.Reader
}

// Of implements transit.Keys.
func (k Keys) Of(epoch denylist.Epoch) (gate.Identifier, error) {
	key, err := k.secret.IDs(epoch)
	if err != nil {
		return nil, err
	}
	return key, nil
}

// For implements transit.Keys.
func (k Keys) For(device string, epoch denylist.Epoch) (gate.SealedKey, error) {
	chain, chainErr := k.secret.Device(device)
	key, keyErr := k.secret.IDs(epoch)
	if err := errors.Join(chainErr, keyErr); err != nil {
		return gate.SealedKey{}, err
	}
	return gate.SealEpochKey(chain, device, key, k.random)
}

// Signer signs the deny list; its public key is what gates trust.
func (s Secret) Signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(s.derive("deny list")) }

// Names of the keys in the operator's security module.
const (
	keyCards    = "transit-cards"
	keyMessages = "transit-messages"
)

// module is the operator's security module.
func (s Secret) module(random io.Reader) (*hsm.HSM, error) {
	h := hsm.New(random)
	for _, key := range [...]struct{ name, purpose string }{{keyCards, "cards"}, {keyMessages, "messages"}} {
		if _, err := h.ImportClear(key.name, hsm.UsageData, hsm.ModeBoth, hsm.AES256, hsm.NotExportable, s.derive(key.purpose)); err != nil {
			return nil, fmt.Errorf("keys of the operator: %w", err)
		}
	}
	return h, nil
}

// Box seals card data as a gate and opens them as the office.
type Box struct{ module *hsm.HSM }

// Box is the operator's.
func (s Secret) Box() (Box, error) { return s.BoxWith(rand.Reader) }

// BoxWith is Box with another source of randomness.
func (s Secret) BoxWith(random io.Reader) (Box, error) {
	h, err := s.module(random)
	return Box{h}, err
}

// Seal implements gate.Sealer.
func (b Box) Seal(plain, additional []byte) ([]byte, error) {
	return b.module.SealData(keyCards, string(additional), plain)
}

// Open implements transit.Opener.
func (b Box) Open(sealed, additional []byte) ([]byte, error) {
	return b.module.OpenData(keyCards, string(additional), sealed)
}
